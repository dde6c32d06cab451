/* TLS's hot half: what comes in goes through Python's own _ssl, and so does what the program writes (tls_write.c).
 * evenloop/_tls.py derives from this and from asyncio's SSLProtocol, in this order: asyncio's methods do what is rare (the
 * handshake, the end, errors), and find their attributes here.
 *
 * Python lets nobody have its SSL_CTX, so the records pass through a MemoryBIO and an SSLObject, whose methods are looked up
 * once a connection. How long a record is stands in the clear: records are counted as they come in, and none is asked for that
 * is not there, for to hear so costs an exception. */
#include "tls.h"
#include <structmember.h>

enum { COPIED = 512, BUFFER_SIZE = 64 * 1024 };

/* ---- calling ---- */

static const struct { int owner; const char *name; } method_of[] = {
    [TAKE_IN] = { INCOMING, "write" }, [GIVE_OUT] = { OUTGOING, "read" }, [DECRYPT] = { SSLOBJ, "read" },
    [ENCRYPT] = { SSLOBJ, "write" },   [PENDING] = { SSLOBJ, "pending" }, [SEND] = { TRANSPORT, "write" },
};

PyObject *tls_method(struct tls *t, int which)
{
    if (!t->ref[which]) {
        const int owner = method_of[which].owner;
        /* only: the method, whoever set it meanwhile */
        PyObject *o = owner == SSLOBJ ? PyObject_CallMethod(tls_object(t), "_ssl_calls", NULL) : Py_XNewRef(t->ref[owner]);
        PyObject *method = o ? PyObject_GetAttrString(o, method_of[which].name) : NULL;    /* only: as above */
        Py_XSETREF(t->ref[which], method);     /* only: as above */
        if (!o && !PyErr_Occurred())
            PyErr_SetString(PyExc_RuntimeError, "the TLS protocol was not initialized");
        Py_XDECREF(o);
    }
    return Py_XNewRef(t->ref[which]);
}

PyObject *tls_call(struct tls *t, int which, PyObject *argument)
{
    PyObject *function = tls_method(t, which);
    PyObject *result = !function ? NULL : argument ? PyObject_CallOneArg(function, argument) : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    return result;
}

/* A method in Python: what is rare. */
int tls_tell(struct tls *t, const char *name)
{
    PyObject *none = PyObject_CallMethod(tls_object(t), name, NULL);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* An exception is set. Those of asyncio's `except Exception` end the connection, with a report; -1: it is set still. */
int tls_failed(struct tls *t)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *none = PyObject_CallMethod(tls_object(t), "_fatal_error", "Os", raised, "Fatal error on SSL protocol");
    Py_DECREF(raised);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* An exception is set: if it says only that OpenSSL wants more, it is taken. A failure to find out takes its place. */
bool tls_wants_more(struct tls *t)
{
    PyObject *raised = PyErr_GetRaisedException(), *again = PyObject_GetAttr(tls_object(t), t->state->str_again);
    const bool wants = again && PyErr_GivenExceptionMatches(raised, again);
    if (!again || wants)
        Py_DECREF(raised);
    else
        PyErr_SetRaisedException(raised);
    Py_XDECREF(again);
    return wants;
}

/* A view of memory that is ours only during a call: nobody may keep it. */
PyObject *tls_view(const char *data, size_t n, int flags)
{
    return PyMemoryView_FromMemory((char *)(uintptr_t)data, (Py_ssize_t)n, flags);
}

void tls_end_view(PyObject *view)
{
    if (Py_REFCNT(view) > 1 && PyMemoryView_Check(view)) {
        PyObject *raised = PyErr_GetRaisedException(), *none = PyObject_CallMethod(view, "release", NULL);
        if (!none)
            PyErr_WriteUnraisable(view);
        Py_XDECREF(none);
        if (raised)
            PyErr_SetRaisedException(raised);
    }
    Py_DECREF(view);
}

/* ---- coming in: records ---- */

static void count_records(struct tls *t, const unsigned char *data, size_t n)
{
    while (n > 0 && !t->unframed) {
        size_t part;
        if (t->tail < HEADER) {
            part = HEADER - t->tail < n ? HEADER - t->tail : n;
            memcpy(t->header + t->tail, data, part);
            t->tail += part;
            data += part;
            n -= part;
            if (t->tail < HEADER)
                return;
            t->body = (size_t)t->header[3] << 8 | t->header[4];
            /* Kinds 20 to 24, version 3.x. What else there may be, OpenSSL is to refuse. */
            t->unframed = t->header[0] < 20 || t->header[0] > 24 || t->header[1] != 3 || t->body > RECORD_MAX;
        }
        part = t->body < n ? t->body : n;
        t->body -= part;
        t->tail += part;
        data += part;
        n -= part;
        if (t->body == 0) {
            t->records++;
            t->ready += t->tail - HEADER;
            t->tail = 0;
        }
    }
    if (t->unframed) {
        t->records = t->records ? t->records : 1;
        t->ready = t->ready > RECORD_MAX ? t->ready : RECORD_MAX;
    }
}

static int take_in(struct tls *t, const char *data, size_t n)
{
    PyObject *piece = n <= COPIED ? PyBytes_FromStringAndSize(data, (Py_ssize_t)n) : tls_view(data, n, PyBUF_READ);
    PyObject *written = piece ? tls_call(t, TAKE_IN, piece) : NULL;
    if (piece)
        tls_end_view(piece);
    Py_XDECREF(written);
    if (written)
        count_records(t, (const unsigned char *)data, n);
    return written ? 0 : -1;
}

/* ---- coming in: what was in them ---- */

enum { NOTHING = -1, FAILED = -2 };     /* what a read gives; 0 is the end */

/* A read took data: has a whole record been used up? One of which some is left gives as much as was asked for. */
static Py_ssize_t used(struct tls *t, size_t asked, Py_ssize_t n)
{
    if (n <= 0 || t->unframed)
        return n;
    if ((size_t)n == asked) {
        PyObject *pending = tls_call(t, PENDING, NULL);     /* again: below */
        long left = pending ? PyLong_AsLong(pending) : -1;
        Py_XDECREF(pending);
        if (left != 0)
            return left < 0 && PyErr_Occurred() ? FAILED : n;
    }
    if (t->records && --t->records == 0)
        t->ready = 0;
    return n;
}

static Py_ssize_t read_failed(struct tls *t)
{
    if (!tls_wants_more(t))     /* only: how much is known to be there */
        return FAILED;
    t->records = t->ready = 0;
    return NOTHING;
}

static Py_ssize_t read_into(struct tls *t, char *to, size_t room)
{
    PyObject *read = tls_method(t, DECRYPT), *result = NULL;    /* again: used() and read_failed() look */
    PyObject *args[] = { PyLong_FromSize_t(room), tls_view(to, room, PyBUF_WRITE) };
    if (read && args[0] && args[1])
        result = PyObject_Vectorcall(read, args, 2, NULL);      /* again: as above */
    Py_XDECREF(read);
    Py_XDECREF(args[0]);
    if (args[1])
        tls_end_view(args[1]);    /* again: used() and read_failed() look */
    if (!result)
        return read_failed(t);
    Py_ssize_t n = PyLong_AsSsize_t(result);
    Py_DECREF(result);
    if (n < 0 || (size_t)n > room) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_RuntimeError, "read() of the SSL object gave %zd", n);
        return FAILED;
    }
    return used(t, room, n);
}

/* The usual case: one record is there. What it holds is shorter than it is. */
static PyObject *read_one(struct tls *t, Py_ssize_t *got)
{
    size_t asked = t->ready < 1 ? 1 : t->ready < RECORD_MAX ? t->ready : RECORD_MAX;
    PyObject *size = PyLong_FromSize_t(asked), *data = size ? tls_call(t, DECRYPT, size) : NULL;       /* again: as above */
    Py_XDECREF(size);
    if (data && !PyBytes_CheckExact(data)) {
        PyErr_Format(PyExc_TypeError, "read() of the SSL object gave %s", Py_TYPE(data)->tp_name);
        Py_CLEAR(data);
    }
    *got = data ? used(t, asked, PyBytes_GET_SIZE(data)) : read_failed(t);
    if (data && PyBytes_GET_SIZE(data) == 0)
        Py_CLEAR(data);
    return data;
}

static PyObject *read_many(struct tls *t, Py_ssize_t *got)
{
    const size_t room = t->ready < 1 ? 1 : t->ready;
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    size_t n = 0;
    *got = data ? 1 : FAILED;
    while (data && t->records && n < room && (*got = read_into(t, PyBytes_AS_STRING(data) + n, room - n)) > 0)
        n += (size_t)*got;
    PyObject *raised = *got == FAILED ? PyErr_GetRaisedException() : NULL;
    if (n == 0)
        Py_CLEAR(data);
    else if (_PyBytes_Resize(&data, (Py_ssize_t)n) < 0 && !raised)
        *got = FAILED;
    if (raised)
        PyErr_SetRaisedException(raised);
    return data;
}

static bool may_read(struct tls *t, bool buffered)
{
    return t->records && !t->app_reading_paused && (bool)t->is_buffered == buffered &&
           (t->phase == WRAPPED || t->phase == FLUSHING) && t->ref[PROTOCOL] && t->ref[PROTOCOL] != Py_None;
}

/* Without an argument: what was to make it has failed. */
static PyObject *call_protocol(PyObject *protocol, PyObject *name, PyObject *argument)
{
    PyObject *args[] = { protocol, argument };
    return argument ? PyObject_VectorcallMethod(name, args, 2, NULL) : NULL;
}

/* The protocol was called: a failure of its own comes first, then what ended the reading. Takes both references. */
static Py_ssize_t delivered(PyObject *none, PyObject *raised, Py_ssize_t got)
{
    if (!none) {
        Py_XDECREF(raised);
        return FAILED;
    }
    Py_DECREF(none);
    if (raised)
        PyErr_SetRaisedException(raised);
    return got;
}

/* To a protocol: all of a chunk that came, as one. Data that came before a failure is delivered before it. */
static Py_ssize_t deliver(struct tls *t)
{
    PyObject *protocol = Py_NewRef(t->ref[PROTOCOL]);
    Py_ssize_t got = NOTHING;
    /* only: what was read is the protocol's that was asked */
    PyObject *data = t->records > 1 ? read_many(t, &got) : read_one(t, &got);
    PyObject *raised = got == FAILED ? PyErr_GetRaisedException() : NULL;
    PyObject *none = data ? call_protocol(protocol, t->state->str_data_received, data) : Py_NewRef(Py_None);
    Py_XDECREF(data);
    Py_DECREF(protocol);
    return delivered(none, raised, got);
}

/* To a BufferedProtocol: as much as its buffer takes. */
static Py_ssize_t deliver_buffered(struct tls *t)
{
    PyObject *protocol = Py_NewRef(t->ref[PROTOCOL]), *hint = PyLong_FromSize_t(t->ready);
    PyObject *target = call_protocol(protocol, t->state->str_get_buffer, hint);    /* again: may_read() looks */
    PyObject *none = Py_NewRef(Py_None), *raised;
    Py_ssize_t got = NOTHING, n = 0;
    Py_buffer view;
    Py_XDECREF(hint);
    if (!target || PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) < 0) {     /* again: may_read() looks */
        Py_XDECREF(target);
        Py_DECREF(protocol);
        Py_DECREF(none);
        return FAILED;
    }
    if (view.len == 0) {
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        got = FAILED;
    }
    /* It may have closed, paused, read what there was; or it is the protocol no longer. */
    /* again: what comes next looks */
    while (n < view.len && may_read(t, true) && t->ref[PROTOCOL] == protocol &&
           (got = read_into(t, (char *)view.buf + n, (size_t)(view.len - n))) > 0)
        n += got;
    raised = got == FAILED ? PyErr_GetRaisedException() : NULL;
    PyBuffer_Release(&view);    /* only: what was read is the protocol's that gave the buffer */
    Py_DECREF(target);
    if (n > 0) {
        PyObject *length = PyLong_FromSsize_t(n);
        Py_SETREF(none, call_protocol(protocol, t->state->str_buffer_updated, length));
        Py_XDECREF(length);
    }
    Py_DECREF(protocol);
    return delivered(none, raised, got);
}

static int read_all(struct tls *t)
{
    Py_ssize_t got = NOTHING;
    for (bool buffered; may_read(t, buffered = t->is_buffered) && got != 0 && got != FAILED;)
        got = buffered ? deliver_buffered(t) : deliver(t);
    if (got == 0)       /* the peer's close_notify */
        return tls_tell(t, "_call_eof_received") < 0 ? -1 : tls_tell(t, "_start_shutdown");
    return got == FAILED ? -1 : 0;
}

/* asyncio's _do_read(): deliver what came, then send what the protocol wrote meanwhile. */
static int read_records(struct tls *t)
{
    int rc = 0;
    if (t->phase != WRAPPED && t->phase != FLUSHING)
        return 0;
    if (!t->app_reading_paused) {
        t->reading++;
        rc = read_all(t);    /* again: what comes next looks */
        t->reading--;
        if (rc == 0)
            rc = tls_encrypt(t, true) < 0 ? -1 : tls_send_records(t);       /* again: next */
        else
            tls_queue_flush(t);
    }
    /* Not more than this can be in the BIO: only if it matters is it looked up. */
    /* only: a failure is the connection's, whose end comes once */
    if (rc == 0 && (t->ssl_reading_paused || (double)(t->ready + t->records * HEADER + t->tail) >= t->mark[READ_HIGH]))
        rc = tls_tell(t, "_control_ssl_reading");
    return rc < 0 ? tls_failed(t) : 0;
}

int tls_feed(PyObject *tls_object, const char *data, size_t n)
{
    struct tls *t = as_tls(tls_object);
    if (n == 0)
        return 0;
    /* again: what comes next looks */
    if (take_in(t, data, n) < 0)
        return -1;
    switch (t->phase) {
    case WRAPPED:
        /* Half a record more is for the next time, but for the limits. */
        return t->records || t->ssl_reading_paused || (double)t->tail >= t->mark[READ_HIGH] ? read_records(t) : 0;
    case HANDSHAKE:
        return tls_tell(t, "_do_handshake");
    case FLUSHING:
        return tls_tell(t, "_do_flush");
    case SHUTDOWN:
        return tls_tell(t, "_do_shutdown");
    default:
        return 0;
    }
}

/* ---- for the Python half ---- */

/* For transports that know nothing of tls_feed(): a buffer of its own. */
static PyObject *get_buffer(PyObject *self, PyObject *hint)
{
    struct tls *t = as_tls(self);
    (void)hint;
    if (!t->ref[BUFFER] && !(t->ref[BUFFER] = PyByteArray_FromStringAndSize(NULL, BUFFER_SIZE)))
        return NULL;
    return Py_NewRef(t->ref[BUFFER]);
}

static PyObject *buffer_updated(PyObject *self, PyObject *length)
{
    struct tls *t = as_tls(self);
    Py_ssize_t n = PyLong_AsSsize_t(length);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (!t->ref[BUFFER])       /* the connection is lost */
        Py_RETURN_NONE;
    if (n < 0 || n > BUFFER_SIZE) {
        PyErr_Format(PyExc_ValueError, "buffer_updated(%zd)", n);
        return NULL;
    }
    PyObject *buffer = Py_NewRef(t->ref[BUFFER]);
    int rc = tls_feed(self, PyByteArray_AS_STRING(buffer), (size_t)n);
    Py_DECREF(buffer);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* What came before the protocol was the transport's: the handshake begins with it. */
static PyObject *take_leftover(PyObject *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    int rc = take_in(as_tls(self), view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *do_read(PyObject *self, PyObject *unused)
{
    (void)unused;
    return read_records(as_tls(self)) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *do_write(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct tls *t = as_tls(self);
    return tls_encrypt(t, true) < 0 || tls_send_records(t) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *process_outgoing(PyObject *self, PyObject *unused)
{
    (void)unused;
    return tls_send_records(as_tls(self)) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *flush_now(PyObject *self, PyObject *unused)
{
    (void)unused;
    return tls_write_out(as_tls(self), true) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The connection is lost: only what asyncio looks at later stays. */
static PyObject *release(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct tls *t = as_tls(self);
    tls_drop_output(t);
    t->records = t->ready = 0;
    for (int i = TAKE_IN; i <= BUFFER; i++)
        Py_CLEAR(t->ref[i]);
    Py_RETURN_NONE;
}

/* ---- attributes ---- */

static PyObject *get_ref(PyObject *self, void *which)
{
    PyObject *o = as_tls(self)->ref[(uintptr_t)which];
    return Py_NewRef(o ? o : Py_None);
}

/* An enumerator of asyncio's, known by its name. */
static int learn_phase(struct tls *t, PyObject *state)
{
    static const char *const names[] = { "UNWRAPPED", "DO_HANDSHAKE", "WRAPPED", "FLUSHING", "SHUTDOWN" };
    PyObject *name = PyObject_GetAttrString(state, "name");     /* only: what it names */
    int rc = -1;
    if (name && PyUnicode_Check(name))
        for (enum phase p = UNWRAPPED; p <= SHUTDOWN; p++)
            if (PyUnicode_CompareWithASCIIString(name, names[p]) == 0) {
                t->phase = p;
                rc = 0;
            }
    Py_XDECREF(name);
    if (rc < 0 && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "no state of TLS: %R", state);
    return rc;
}

static int learn_mark(struct tls *t, uintptr_t which, PyObject *value)
{
    double mark = PyFloat_AsDouble(value);      /* only: the mark itself */
    if (mark == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
        mark = Py_HUGE_VAL;
    }
    t->mark[which] = mark;
    return 0;
}

static int set_ref(PyObject *self, PyObject *value, void *closure)
{
    struct tls *t = as_tls(self);
    const uintptr_t which = (uintptr_t)closure;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "it cannot be deleted");
        return -1;
    }
    /* only: what it learns */
    if (which == STATE && learn_phase(t, value) < 0)
        return -1;
    /* only: what it learns */
    if (which >= WRITE_HIGH && which <= READ_LOW && learn_mark(t, which, value) < 0)
        return -1;
    if (which == LOOP) {
        if (even_handle_is_queued(&t->flush)) {
            PyErr_SetString(PyExc_RuntimeError, "it has something to write");
            return -1;
        }
        t->loop = t->held.loop = PyObject_TypeCheck(value, t->state->loop_type) ? as_loop(value) : NULL;
    }
    for (int i = TAKE_IN; i <= SEND; i++)
        if (method_of[i].owner == (int)which)
            Py_CLEAR(t->ref[i]);    /* only: the caller holds it */
    Py_XSETREF(t->ref[which], Py_NewRef(value));
    return 0;
}

/* What waits to be encrypted; asyncio's own would be a deque, made by its __init__(). */
static PyObject *get_backlog(PyObject *self, void *unused)
{
    (void)unused;
    struct tls *t = as_tls(self);
    PyObject *list = PyList_New((Py_ssize_t)t->count);
    for (size_t i = 0; list && i < t->count; i++)
        PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef(t->chunks[i]));
    return list;
}

static int set_ignored(PyObject *self, PyObject *value, void *unused)
{
    (void)self;
    (void)value;
    (void)unused;
    return 0;
}

#define REF_AS(name, which) { name, get_ref, set_ref, NULL, (void *)(uintptr_t)(which) }
static const PyGetSetDef attributes[] = {
    REF_AS("_loop", LOOP), REF_AS("_transport", TRANSPORT), REF_AS("_app_protocol", PROTOCOL), REF_AS("_sslobj", SSLOBJ),
    REF_AS("_incoming", INCOMING), REF_AS("_outgoing", OUTGOING), REF_AS("_state", STATE),
    REF_AS("_outgoing_high_water", WRITE_HIGH), REF_AS("_outgoing_low_water", WRITE_LOW),
    REF_AS("_incoming_high_water", READ_HIGH), REF_AS("_incoming_low_water", READ_LOW),
    { "_write_backlog", get_backlog, set_ignored, NULL, NULL },
    { 0 },
};

#define FLAG(name, field) { name, T_BOOL, offsetof(struct tls, field), 0, NULL }
static const PyMemberDef members[] = {
    FLAG("_app_protocol_is_buffer", is_buffered), FLAG("_app_reading_paused", app_reading_paused),
    FLAG("_app_writing_paused", app_writing_paused), FLAG("_ssl_reading_paused", ssl_reading_paused),
    FLAG("_ssl_writing_paused", ssl_writing_paused),
    { "_write_buffer_size", T_PYSSIZET, offsetof(struct tls, size), 0, NULL },
    { 0 },
};

/* ---- the type ---- */

static const struct held_kind kind = { .drop = tls_drop };

static PyObject *tls_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args;
    (void)keywords;
    struct state *state = state_of_type(type);
    struct tls *t = state ? as_tls(type->tp_alloc(type, 0)) : NULL;
    if (!t)
        return NULL;
    t->state = state;
    t->flush.run = tls_flush;
    held_init(&t->held, NULL, (PyObject *)t, &kind);
    if (held_set_context(&t->held, NULL) < 0)
        Py_CLEAR(t);
    return (PyObject *)t;
}

static int traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_tls(o)->held.context);
    for (int i = 0; i < REFS; i++)
        Py_VISIT(as_tls(o)->ref[i]);
    return 0;
}

static int clear(PyObject *o)
{
    for (int i = TRANSPORT; i <= BUFFER; i++)   /* the loop stays, and what calls are made in */
        Py_CLEAR(as_tls(o)->ref[i]);
    return 0;
}

static void dealloc(PyObject *o)
{
    struct tls *t = as_tls(o);
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    for (int i = 0; i < REFS; i++)
        Py_CLEAR(t->ref[i]);
    Py_CLEAR(t->held.context);
    tls_drop_output(t);
    PyMem_RawFree(t->chunks);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef methods[] = {
    { "_write", tls_write, METH_O, "Send it, encrypted; what one turn of the loop writes is joined." },
    { "_write_appdata", tls_write_appdata, METH_O, NULL },
    { "get_buffer", get_buffer, METH_O, NULL },
    { "buffer_updated", buffer_updated, METH_O, NULL },
    { "_take_leftover", take_leftover, METH_O, NULL },
    { "_do_read", do_read, METH_NOARGS, NULL },
    { "_do_write", do_write, METH_NOARGS, NULL },
    { "_process_outgoing", process_outgoing, METH_NOARGS, NULL },
    { "_flush", flush_now, METH_NOARGS, NULL },
    { "_release", release, METH_NOARGS, NULL },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_tp_new, tls_new }, { Py_tp_dealloc, dealloc }, { Py_tp_traverse, traverse }, { Py_tp_clear, clear },
    { Py_tp_methods, (void *)methods }, { Py_tp_members, (void *)members }, { Py_tp_getset, (void *)attributes },
    { 0, NULL },
};

const PyType_Spec even__tls_spec = {
    "evenloop._core.TLS", sizeof(struct tls), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    (PyType_Slot *)slots
};
