/* From a transport into a reader, without Python in between: asyncio's own streams, and what ours share with them. */
#include "streams.h"

/* ---- what is known of asyncio ---- */

static bool take(PyObject *from, const char *name, PyObject **to)
{
    return (*to = PyObject_GetAttrString(from, name)) != NULL;
}

static PyObject *calls(PyObject *reader, PyObject *writer)
{
    static const char *const names[] = { "read", "readline", "readuntil", "readexactly", "__anext__", "drain" };
    enum { N = sizeof names / sizeof *names };
    PyObject *tuple = PyTuple_New(N);
    for (int i = 0; tuple && i < N; i++) {
        PyObject *function = PyObject_GetAttrString(i == CALL_DRAIN ? writer : reader, names[i]);
        if (function)
            PyTuple_SET_ITEM(tuple, i, function);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

int streams_learn(struct state *s)
{
    PyObject *streams = PyImport_ImportModule("asyncio.streams");
    PyObject *writer = streams ? PyObject_GetAttrString(streams, "StreamWriter") : NULL;
    bool ok = writer && take(streams, "StreamReader", &s->asyncio_reader) &&
              take(streams, "StreamReaderProtocol", &s->asyncio_protocol) &&
              take(s->future_type, "set_result", &s->future_set_result) &&
              take(s->asyncio_protocol, "data_received", &s->asyncio_data_received) &&
              take(s->asyncio_reader, "feed_data", &s->asyncio_feed_data) &&
              (s->stream_calls = calls(s->asyncio_reader, writer)) && (s->newline = PyBytes_FromString("\n")) &&
              (s->empty_bytes = PyBytes_FromString(""));
    Py_XDECREF(streams);
    Py_XDECREF(writer);
    return ok ? 0 : -1;
}

/* Is `o.name` its class's function `original`, as it was? -1 with an exception. */
static int has_method(PyObject *o, PyObject *name, PyObject *original)
{
    PyObject *method;
#if PY_VERSION_HEX < 0x030D0000
    int rc = _PyObject_GetMethod(o, name, &method);     /* no bound method is made */
    if (rc == 0 && !method)
        return -1;
    rc = rc == 1 && method == original;
#else
    method = PyObject_GetAttr(o, name);
    if (!method)
        return -1;
    int rc = PyMethod_Check(method) && PyMethod_GET_FUNCTION(method) == original && PyMethod_GET_SELF(method) == o;
#endif
    Py_DECREF(method);
    return rc;
}

/* ---- what is known of ours ---- */

PyObject *stream_classes(PyObject *module, PyObject *args)
{
    struct state *s = state_of_module(module);
    struct known *known[] = { &s->readers, &s->writers, &s->protocols, &s->transports };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        PyObject *type, *attributes;
        if ((size_t)PyTuple_GET_SIZE(args) <= i)
            return PyErr_Format(PyExc_TypeError, "_stream_classes() takes %zu classes", sizeof known / sizeof *known);
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(args, (Py_ssize_t)i), "O!O!", &PyType_Type, &type, &PyDict_Type, &attributes))
            return NULL;
        known[i]->version = 0;
        Py_XSETREF(known[i]->type, (PyTypeObject *)(void *)Py_NewRef(type));
        Py_XSETREF(known[i]->attributes, Py_NewRef(attributes));
    }
    Py_RETURN_NONE;
}

PyObject *part_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args;
    (void)keywords;
    PyObject *module = PyType_GetModuleByDef(type, &even__module);
    PyObject *self = module ? type->tp_alloc(type, 0) : NULL;
    if (self)
        as_part(self)->state = state_of_module(module);
    return self;
}

int part_setattr(PyObject *o, PyObject *name, PyObject *value)
{
    if (!as_part(o)->patched) {
        int hides = hides_method(o, name);
        if (hides < 0)
            return -1;
        as_part(o)->patched = hides;
    }
    return PyObject_GenericSetAttr(o, name, value);
}

/* ---- waking ---- */

int waiter_wake(struct state *s, PyObject *waiter)
{
    PyObject *none, *args[] = { waiter, Py_None };
    if ((PyObject *)(void *)Py_TYPE(waiter) == s->future_type) {
        none = PyObject_Vectorcall(s->future_set_result, args, 2, NULL);
        if (none) {
            Py_DECREF(none);
            return 0;
        }
        /* It was done already. That it was cancelled is nobody's fault. */
        PyObject *raised = PyErr_GetRaisedException();
        PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, s->str_cancelled);
        if (cancelled == Py_True)
            Py_CLEAR(raised);
        if (raised && cancelled)
            PyErr_SetRaisedException(raised);
        else
            Py_XDECREF(raised);
        Py_XDECREF(cancelled);
        return cancelled == Py_True ? 0 : -1;
    }
    PyObject *cancelled = PyObject_CallMethodNoArgs(waiter, s->str_cancelled);
    int truth = cancelled ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    if (truth)
        return truth < 0 ? -1 : 0;
    none = PyObject_VectorcallMethod(s->str_set_result, args, 2, NULL);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* ---- asyncio's reader ---- */

/* It has more than twice its limit: pause_reading(), unless that was done, or cannot be. */
static int pause_transport(struct state *s, PyObject *reader)
{
    PyObject *transport = PyObject_GetAttr(reader, s->str_transport);
    PyObject *paused = transport && transport != Py_None ? PyObject_GetAttr(reader, s->str_paused) : NULL;
    int truth = paused ? PyObject_IsTrue(paused) : 0, rc = PyErr_Occurred() ? -1 : 0;
    if (paused && truth == 0) {
        PyObject *none = PyObject_CallMethodNoArgs(transport, s->str_pause_reading);
        if (none) {
            rc = PyObject_SetAttr(reader, s->str_paused, Py_True);
        } else if (PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
            PyErr_Clear();
            rc = PyObject_SetAttr(reader, s->str_transport, Py_None);
        } else {
            rc = -1;
        }
        Py_XDECREF(none);
    }
    Py_XDECREF(paused);
    Py_XDECREF(transport);
    return rc;
}

/* Its attributes are taken as attributes, not from its dict: up to 3.12, an instance whose dict was asked for is slower for
 * Python from then on. They are of the types that asyncio gives them; else 0, and nothing was done. */
static int feed(struct state *s, PyObject *reader, const char *data, size_t n)
{
    PyObject *eof = PyObject_GetAttr(reader, s->str_eof), *waiter = NULL, *limit_object = NULL, *buffer = NULL;
    int rc = -1;
    if (!eof || !(buffer = PyObject_GetAttr(reader, s->str_buffer)) || !(waiter = PyObject_GetAttr(reader, s->str_waiter)) ||
        !(limit_object = PyObject_GetAttr(reader, s->str_limit)))
        goto out;
    Py_ssize_t limit = PyLong_CheckExact(limit_object) ? PyLong_AsSsize_t(limit_object) : -1;
    if (limit < 0 || eof != Py_False || !PyByteArray_CheckExact(buffer)) {
        PyErr_Clear();
        rc = 0;
        goto out;
    }
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer);
    if (PyByteArray_Resize(buffer, size + (Py_ssize_t)n) < 0)
        goto out;
    memcpy(PyByteArray_AS_STRING(buffer) + size, data, n);
    if (waiter != Py_None && (PyObject_SetAttr(reader, s->str_waiter, Py_None) < 0 || waiter_wake(s, waiter) < 0))
        goto out;
    size = PyByteArray_GET_SIZE(buffer);
    rc = size / 2 + size % 2 > limit && pause_transport(s, reader) < 0 ? -1 : 1;
out:
    Py_XDECREF(eof);
    Py_XDECREF(buffer);
    Py_XDECREF(waiter);
    Py_XDECREF(limit_object);
    return rc;
}

/* ---- from the transport ---- */

static int feed_any(struct state *s, PyObject *reader, const char *data, size_t n)
{
    if (Py_TYPE(reader) == s->readers.type) {
        struct reader *r = as_reader(reader);
        return r->eof || !reader_is_usual(r) ? 0 : reader_extend(r, data, n) < 0 ? -1 : 1;
    }
    if ((PyObject *)(void *)Py_TYPE(reader) != s->asyncio_reader)
        return 0;
    int usual = has_method(reader, s->str_feed_data, s->asyncio_feed_data);
    return usual > 0 ? feed(s, reader, data, n) : usual;
}

int reader_feed(struct state *s, PyObject *protocol, const char *data, size_t n)
{
    PyObject *reference, *reader;
    if (Py_TYPE(protocol) == s->protocols.type) {
        if (!is_usual(protocol, &s->protocols) || !as_protocol(protocol)->reader_ref)
            return 0;
        reference = Py_NewRef(as_protocol(protocol)->reader_ref);
    } else if ((PyObject *)(void *)Py_TYPE(protocol) == s->asyncio_protocol) {
        int usual = has_method(protocol, s->str_data_received, s->asyncio_data_received);
        if (usual <= 0)
            return usual;
        reference = PyObject_GetAttr(protocol, s->str_stream_reader_wr);
        if (!reference)
            return -1;
    } else {
        return 0;
    }
    int rc = 0;
    if (reference == Py_None) {
        rc = 1;         /* nobody reads any more: it is dropped */
    } else if (PyWeakref_CheckRefExact(reference) && (rc = PyWeakref_GetRef(reference, &reader)) == 0) {
        rc = 1;
    } else if (rc > 0) {
        rc = feed_any(s, reader, data, n);
        Py_DECREF(reader);
    }
    Py_DECREF(reference);
    return rc;
}
