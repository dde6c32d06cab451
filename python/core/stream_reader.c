/* evenloop.StreamReader's C half: what has come and was not read, and asyncio's attributes. */
#include "streams.h"
#include <structmember.h>

enum { FIRST = 512, KEEP = 16 * 1024 };     /* bytes: of the first buffer; of one that stays when it is empty */

/* ---- the buffer ---- */

static void gone(struct reader *r)
{
    r->begin = r->end = 0;
    if (r->capacity > KEEP) {
        PyMem_RawFree(r->data);
        r->data = NULL;
        r->capacity = 0;
    }
}

/* Room for `n` bytes at its end. */
static int make_room(struct reader *r, size_t n)
{
    size_t size = reader_size(r), capacity = r->capacity ? r->capacity : FIRST;
    if (n <= r->capacity - r->end)
        return 0;
    if (n > (size_t)PY_SSIZE_T_MAX - size) {
        PyErr_NoMemory();
        return -1;
    }
    /* What was read in front pays for moving the rest. */
    if (size + n <= r->capacity && size <= r->begin) {
        memcpy(r->data, r->data + r->begin, size);
    } else {
        while (capacity < size + n)
            capacity = capacity < (size_t)PY_SSIZE_T_MAX / 2 ? capacity * 2 : size + n;
        char *data = PyMem_RawMalloc(capacity);
        if (!data) {
            PyErr_NoMemory();
            return -1;
        }
        if (size)
            memcpy(data, r->data + r->begin, size);
        PyMem_RawFree(r->data);
        r->data = data;
        r->capacity = capacity;
    }
    r->begin = 0;
    r->end = size;
    return 0;
}

static int append(struct reader *r, const char *data, size_t n)
{
    if (make_room(r, n) < 0)
        return -1;
    memcpy(r->data + r->end, data, n);
    r->end += n;
    return 0;
}

/* Whoever was given the bytearray has let go of it? */
static bool take_back(struct reader *r)
{
    if (!PyByteArray_CheckExact(r->lent) || Py_REFCNT(r->lent) != 1)
        return false;
    if (PyByteArray_GET_SIZE(r->lent) &&
        append(r, PyByteArray_AS_STRING(r->lent), (size_t)PyByteArray_GET_SIZE(r->lent)) < 0) {
        PyErr_Clear();          /* so it stays what it is */
        return false;
    }
    Py_CLEAR(r->lent);
    return true;
}

bool reader_is_usual(struct reader *r)
{
    return is_usual((PyObject *)(void *)r, &r->part.state->readers) && r->limit > 0 && r->loop && (!r->lent || take_back(r));
}

static bool is_none(PyObject *o)
{
    return !o || o == Py_None;
}

int reader_extend(struct reader *r, const char *data, size_t n)
{
    struct state *s = r->part.state;
    if (append(r, data, n) < 0)
        return -1;
    if (!is_none(r->waiter)) {
        PyObject *waiter = r->waiter;
        r->waiter = Py_NewRef(Py_None);
        int rc = waiter_wake(s, waiter);        /* again: all is read anew */
        Py_DECREF(waiter);
        if (rc < 0)
            return -1;
    }
    size_t size = reader_size(r);
    if (r->paused || is_none(r->transport) || size / 2 + size % 2 <= (size_t)r->limit)
        return 0;
    PyObject *transport = Py_NewRef(r->transport);
    PyObject *none = PyObject_CallMethodNoArgs(transport, s->str_pause_reading);    /* only: as asyncio, it is set in any case */
    Py_DECREF(transport);
    if (none) {
        r->paused = true;
    } else if (PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
        PyErr_Clear();
        Py_XSETREF(r->transport, Py_NewRef(Py_None));
    } else {
        return -1;
    }
    Py_DECREF(none ? none : Py_None);
    return 0;
}

PyObject *reader_take(struct reader *r, size_t n)
{
    PyObject *data = PyBytes_FromStringAndSize(r->data ? r->data + r->begin : NULL, (Py_ssize_t)n);
    if (!data)
        return NULL;
    r->begin += n;
    if (r->begin == r->end)
        gone(r);
    if (!r->paused || reader_size(r) > (size_t)r->limit)
        return data;
    r->paused = false;
    PyObject *transport = Py_NewRef(r->transport ? r->transport : Py_None);
    PyObject *none = PyObject_CallMethodNoArgs(transport, r->part.state->str_resume_reading);
    Py_DECREF(transport);
    if (!none)
        Py_CLEAR(data);
    Py_XDECREF(none);
    return data;
}

/* ---- methods ---- */

static PyObject *feed_data(PyObject *self, PyObject *data)
{
    struct reader *r = as_reader(self);
    if (r->eof || !(PyBytes_CheckExact(data) || PyByteArray_CheckExact(data)) || !reader_is_usual(r))
        return PyObject_CallFunctionObjArgs(r->part.state->asyncio_feed_data, self, data, NULL);
    bool bytes = PyBytes_CheckExact(data);
    const char *from = bytes ? PyBytes_AS_STRING(data) : PyByteArray_AS_STRING(data);
    Py_ssize_t n = bytes ? PyBytes_GET_SIZE(data) : PyByteArray_GET_SIZE(data);
    if (n && reader_extend(r, from, (size_t)n) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *at_eof(PyObject *self, PyObject *unused)
{
    struct reader *r = as_reader(self);
    (void)unused;
    int some = !r->eof ? 1 : r->lent ? PyObject_IsTrue(r->lent) : reader_size(r) > 0;
    return some < 0 ? NULL : PyBool_FromLong(!some);
}

static PyObject *get_exception(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(as_reader(self)->exception ? as_reader(self)->exception : Py_None);
}

/* A call's one argument, by place or by name; NULL: something else was given. */
static PyObject *only_argument(PyObject *const *args, Py_ssize_t n, PyObject *names, const char *name)
{
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    return n + named == 1 && (n == 1 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), name) == 0) ? args[0] : NULL;
}

/* asyncio's own coroutine. */
static PyObject *left_to_asyncio(PyObject *self, enum call_kind kind, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *all[4] = { self };
    Py_ssize_t total = n + (names ? PyTuple_GET_SIZE(names) : 0);
    if (total > 3) {
        PyErr_SetString(PyExc_TypeError, "too many arguments");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < total; i++)
        all[i + 1] = args[i];
    return PyObject_Vectorcall(PyTuple_GET_ITEM(as_part(self)->state->stream_calls, kind), all, (size_t)n + 1, names);
}

static PyObject *read_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *length = only_argument(args, n, names, "n");
    if (!length || !PyLong_CheckExact(length) || !reader_is_usual(as_reader(self)))
        return left_to_asyncio(self, CALL_READ, args, n, names);
    return call_new(self, CALL_READ, length);
}

static PyObject *readexactly(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *length = only_argument(args, n, names, "n");
    if (!length || !PyLong_CheckExact(length) || !reader_is_usual(as_reader(self)))
        return left_to_asyncio(self, CALL_READEXACTLY, args, n, names);
    return call_new(self, CALL_READEXACTLY, length);
}

static PyObject *readuntil(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *newline = as_part(self)->state->newline;
    PyObject *separator = n || names ? only_argument(args, n, names, "separator") : newline;
    if (!separator || !PyBytes_CheckExact(separator) || !PyBytes_GET_SIZE(separator) || !reader_is_usual(as_reader(self)))
        return left_to_asyncio(self, CALL_READUNTIL, args, n, names);
    return call_new(self, CALL_READUNTIL, separator);
}

static PyObject *readline(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!reader_is_usual(as_reader(self)))
        return left_to_asyncio(self, CALL_READLINE, NULL, 0, NULL);
    return call_new(self, CALL_READLINE, as_part(self)->state->newline);
}

static PyObject *next(PyObject *self)
{
    if (!reader_is_usual(as_reader(self)))
        return left_to_asyncio(self, CALL_NEXT, NULL, 0, NULL);
    return call_new(self, CALL_NEXT, as_part(self)->state->newline);
}

/* ---- attributes ---- */

/* A bytearray that is the buffer, for those who look, or change it. */
static PyObject *get_buffer(PyObject *self, void *unused)
{
    struct reader *r = as_reader(self);
    (void)unused;
    if (!r->lent) {
        r->lent = PyByteArray_FromStringAndSize(r->data ? r->data + r->begin : NULL, (Py_ssize_t)reader_size(r));
        if (!r->lent)
            return NULL;
        gone(r);
    }
    return Py_NewRef(r->lent);
}

static int none_to_delete(PyObject *value)
{
    if (value)
        return 0;
    PyErr_SetString(PyExc_AttributeError, "cannot be deleted");
    return -1;
}

static int set_buffer(PyObject *self, PyObject *value, void *unused)
{
    struct reader *r = as_reader(self);
    (void)unused;
    if (none_to_delete(value) < 0)
        return -1;
    gone(r);
    Py_XSETREF(r->lent, Py_NewRef(value));
    return 0;
}

static PyObject *get_limit(PyObject *self, void *unused)
{
    (void)unused;
    if (as_reader(self)->limit_object)
        return Py_NewRef(as_reader(self)->limit_object);
    PyErr_SetString(PyExc_AttributeError, "_limit");
    return NULL;
}

static int set_limit(PyObject *self, PyObject *value, void *unused)
{
    struct reader *r = as_reader(self);
    (void)unused;
    if (none_to_delete(value) < 0)
        return -1;
    r->limit = PyLong_CheckExact(value) ? PyLong_AsSsize_t(value) : -1;
    PyErr_Clear();
    Py_XSETREF(r->limit_object, Py_NewRef(value));
    return 0;
}

#define FLAG(name)                                                                                                     \
    static PyObject *get_##name(PyObject *self, void *unused)                                                          \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return PyBool_FromLong(as_reader(self)->name);                                                                 \
    }                                                                                                                  \
    static int set_##name(PyObject *self, PyObject *value, void *unused)                                               \
    {                                                                                                                  \
        int truth = none_to_delete(value) < 0 ? -1 : PyObject_IsTrue(value);                                           \
        (void)unused;                                                                                                  \
        if (truth < 0)                                                                                                 \
            return -1;                                                                                                 \
        as_reader(self)->name = truth;                                                                                 \
        return 0;                                                                                                      \
    }

FLAG(eof)
FLAG(paused)

/* ---- the type ---- */

static int reader_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct reader *r = as_reader(o);
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(r->loop);
    Py_VISIT(r->limit_object);
    Py_VISIT(r->waiter);
    Py_VISIT(r->exception);
    Py_VISIT(r->transport);
    Py_VISIT(r->lent);
    return 0;
}

static int reader_clear(PyObject *o)
{
    struct reader *r = as_reader(o);
    Py_CLEAR(r->loop);
    Py_CLEAR(r->limit_object);
    Py_CLEAR(r->waiter);
    Py_CLEAR(r->exception);
    Py_CLEAR(r->transport);
    Py_CLEAR(r->lent);
    return 0;
}

static void reader_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    reader_clear(o);
    PyMem_RawFree(as_reader(o)->data);
    type->tp_free(o);
    Py_DECREF(type);
}

#define CALL METH_FASTCALL | METH_KEYWORDS
#define FUNCTION(f) (PyCFunction)(void (*)(void)) f
static const PyMethodDef methods[] = {
    { "read", FUNCTION(read_), CALL,
      "read($self, n=-1)\n--\n\nUp to `n` bytes, as soon as there are some; -1: all, to the end." },
    { "readexactly", FUNCTION(readexactly), CALL, "readexactly($self, n)\n--\n\n`n` bytes, or IncompleteReadError." },
    { "readuntil", FUNCTION(readuntil), CALL,
      "readuntil($self, separator=b'\\n')\n--\n\nUp to and with the separator." },
    { "readline", readline, METH_NOARGS, "readline($self)\n--\n\nA line with its end; what is left, at the end of all." },
    { "feed_data", feed_data, METH_O, "feed_data($self, data)\n--\n\nIt has come: for the protocol." },
    { "at_eof", at_eof, METH_NOARGS, "at_eof($self)\n--\n\nTrue if the end has come and all is read." },
    { "exception", get_exception, METH_NOARGS, "exception($self)\n--\n\nWhat set_exception() was given, or None." },
    { 0 },
};

#define OBJECT(name) { "_" #name, T_OBJECT_EX, offsetof(struct reader, name), 0, NULL }
static const PyMemberDef members[] = {
    OBJECT(loop), OBJECT(waiter), OBJECT(exception), OBJECT(transport), { 0 }
};

static const PyGetSetDef attributes[] = {
    { "_buffer", get_buffer, set_buffer, NULL, NULL },
    { "_limit", get_limit, set_limit, NULL, NULL },
    { "_eof", get_eof, set_eof, NULL, NULL },
    { "_paused", get_paused, set_paused, NULL, NULL },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_tp_new, part_new },
    { Py_tp_dealloc, reader_dealloc },
    { Py_tp_traverse, reader_traverse },
    { Py_tp_clear, reader_clear },
    { Py_tp_setattro, part_setattr },
    { Py_tp_methods, (void *)methods },
    { Py_tp_members, (void *)members },
    { Py_tp_getset, (void *)attributes },
    { Py_am_anext, next },
    { 0, NULL },
};

const PyType_Spec even__reader_spec = {
    "evenloop._core.StreamReader", sizeof(struct reader), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, (PyType_Slot *)slots
};
