/* The module `bare`: serve(fd, factory, backend), and the transport. */
#include "bare.h"
#include <string.h>
#include <unistd.h>

static PyTypeObject *transport_type;
static const struct engine *engine;
static PyObject *factory;       /* while serve() runs */

static int transport_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct transport *t = (struct transport *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(t->received);
    Py_VISIT(t->lost);
    Py_VISIT(t->sending);
    Py_VISIT(t->waiting);
    return 0;
}

static int transport_clear(PyObject *self)
{
    struct transport *t = (struct transport *)self;
    Py_CLEAR(t->received);
    Py_CLEAR(t->lost);
    Py_CLEAR(t->sending);
    Py_CLEAR(t->waiting);
    return 0;
}

static void transport_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    transport_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *transport_write(PyObject *self, PyObject *data)
{
    struct transport *t = (struct transport *)self;
    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "bytes are wanted");
        return NULL;
    }
    if (t->received && PyBytes_GET_SIZE(data) > 0 && engine->write(t, data) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef transport_methods[] = {
    { "write", transport_write, METH_O, "Send all of it." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot transport_slots[] = {
    { Py_tp_traverse, transport_traverse },
    { Py_tp_clear, transport_clear },
    { Py_tp_dealloc, transport_dealloc },
    { Py_tp_methods, transport_methods },
    { 0, NULL },
};

static PyType_Spec transport_spec = {
    .name = "bare.Transport",
    .basicsize = sizeof(struct transport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = transport_slots,
};

struct transport *bare_accepted(int fd)
{
    struct transport *t = PyObject_GC_New(struct transport, transport_type);
    if (!t) {
        close(fd);
        return NULL;
    }
    t->fd = fd;
    t->references = 0;
    t->ended = false;
    t->received = t->lost = t->sending = t->waiting = NULL;
    t->sent = 0;
    PyObject_GC_Track((PyObject *)t);
    PyObject *protocol = PyObject_CallNoArgs(factory), *result = NULL;
    if (protocol) {
        t->received = PyObject_GetAttrString(protocol, "data_received");
        t->lost = PyObject_GetAttrString(protocol, "connection_lost");
        if (t->received && t->lost)
            result = PyObject_CallMethod(protocol, "connection_made", "O", t);
        Py_DECREF(protocol);
    }
    if (!result) {
        close(fd);
        transport_clear((PyObject *)t);
        Py_DECREF(t);
        return NULL;
    }
    Py_DECREF(result);
    return t;
}

int bare_received(struct transport *t, const char *data, Py_ssize_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, size);
    if (!bytes)
        return -1;
    PyObject *result = PyObject_CallOneArg(t->received, bytes);
    Py_DECREF(bytes);
    if (!result)
        return -1;
    Py_DECREF(result);
    return 0;
}

int bare_drop(struct transport *t)
{
    close(t->fd);
    PyObject *lost = t->lost;
    t->lost = NULL;
    transport_clear((PyObject *)t);
    Py_DECREF(t);
    PyObject *result = PyObject_CallOneArg(lost, Py_None);
    Py_DECREF(lost);
    if (!result)
        return -1;
    Py_DECREF(result);
    return 0;
}

int bare_keep(struct transport *t, PyObject *bytes)
{
    if (!t->waiting && !(t->waiting = PyList_New(0)))
        return -1;
    return PyList_Append(t->waiting, bytes);
}

int bare_next(struct transport *t)
{
    Py_CLEAR(t->sending);
    t->sent = 0;
    if (!t->waiting)
        return 0;
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    if (!empty)
        return -1;
    t->sending = PyObject_CallMethod(empty, "join", "O", t->waiting);
    Py_DECREF(empty);
    Py_CLEAR(t->waiting);
    return t->sending ? 0 : -1;
}

static PyObject *serve(PyObject *Py_UNUSED(module), PyObject *args)
{
    int listener;
    const char *backend;
    if (factory) {
        PyErr_SetString(PyExc_RuntimeError, "one at a time");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "iOs", &listener, &factory, &backend))
        return NULL;
    engine = strcmp(backend, "epoll") == 0 ? &bare_epoll : NULL;
#ifdef BARE_URING
    if (strcmp(backend, "multishot") == 0)
        engine = &bare_multishot;
    else if (strcmp(backend, "single") == 0)
        engine = &bare_single;
#endif
    int rc = -1;
    if (engine)
        rc = engine->serve(listener);
    else
        PyErr_Format(PyExc_ValueError, "built without %s", backend);
    factory = NULL;
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    { "serve", serve, METH_VARARGS,
      "serve(fd, factory, backend): accept on the listening socket, and call the factory's protocols, until one of them raises "
      "or a signal's handler does. Once in a process: nothing is given back but by its end." },
    { NULL, NULL, 0, NULL },
};

static PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "bare", .m_size = -1, .m_methods = functions };

PyMODINIT_FUNC PyInit_bare(void)
{
    transport_type = (PyTypeObject *)PyType_FromSpec(&transport_spec);
    return transport_type ? PyModule_Create(&definition) : NULL;
}
