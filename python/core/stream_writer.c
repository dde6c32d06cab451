/* The C halves of evenloop.StreamWriter and of the protocol between the streams and their transport. */
#include "streams.h"
#include "transport.h"
#include <structmember.h>

/* ---- StreamWriter ---- */

static PyObject *to_transport(PyObject *self, PyObject *name, PyObject *data)
{
    if (!as_writer(self)->transport) {
        PyErr_SetString(PyExc_AttributeError, "_transport");
        return NULL;
    }
    struct state *s = as_part(self)->state;
    PyObject *transport = Py_NewRef(as_writer(self)->transport), *args[] = { transport, data }, *result;
    if (name == s->str_write && transport_is_usual(s, transport))
        result = transport_write(transport, data);
    else
        result = PyObject_VectorcallMethod(name, args, 2, NULL);
    Py_DECREF(transport);
    if (!result)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *write_(PyObject *self, PyObject *data)
{
    return to_transport(self, as_part(self)->state->str_write, data);
}

static PyObject *writelines(PyObject *self, PyObject *data)
{
    return to_transport(self, as_part(self)->state->str_writelines, data);
}

static PyObject *drain(PyObject *self, PyObject *unused)
{
    struct state *s = as_part(self)->state;
    (void)unused;
    if (!is_usual(self, &s->writers))
        return PyObject_CallOneArg(PyTuple_GET_ITEM(s->stream_calls, CALL_DRAIN), self);
    return call_new(self, CALL_DRAIN, NULL);
}

static int writer_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct writer *w = as_writer(o);
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(w->transport);
    Py_VISIT(w->protocol);
    Py_VISIT(w->reader);
    Py_VISIT(w->loop);
    return 0;
}

static int writer_clear(PyObject *o)
{
    struct writer *w = as_writer(o);
    Py_CLEAR(w->transport);
    Py_CLEAR(w->protocol);
    Py_CLEAR(w->reader);
    Py_CLEAR(w->loop);
    return 0;
}

static void writer_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    writer_clear(o);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef writer_methods[] = {
    { "write", write_, METH_O, "write($self, data)\n--\n\nSend it; drain() waits for room." },
    { "writelines", writelines, METH_O, "writelines($self, data)\n--\n\nSend all of them." },
    { "drain", drain, METH_NOARGS, "drain($self)\n--\n\nWait until more may be written; raises what the reader's end found." },
    { 0 },
};

#define OBJECT(name) { "_" #name, T_OBJECT_EX, offsetof(struct writer, name), 0, NULL }
static const PyMemberDef writer_members[] = {
    OBJECT(transport), OBJECT(protocol), OBJECT(reader), OBJECT(loop), { 0 }
};
#undef OBJECT

static const PyType_Slot writer_slots[] = {
    { Py_tp_new, part_new },
    { Py_tp_dealloc, writer_dealloc },
    { Py_tp_traverse, writer_traverse },
    { Py_tp_clear, writer_clear },
    { Py_tp_setattro, part_setattr },
    { Py_tp_methods, (void *)writer_methods },
    { Py_tp_members, (void *)writer_members },
    { 0, NULL },
};

const PyType_Spec even__writer_spec = {
    "evenloop._core.StreamWriter", sizeof(struct writer), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, (PyType_Slot *)writer_slots
};

/* ---- the protocol ---- */

/* From a transport that does not feed readers itself: TLS, or another loop's. */
static PyObject *data_received(PyObject *self, PyObject *data)
{
    struct state *s = as_part(self)->state;
    PyObject *reference = as_protocol(self)->reader_ref, *reader = NULL;
    if (!reference || !PyWeakref_Check(reference) || PyWeakref_GetRef(reference, &reader) <= 0)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *args[] = { reader, data };
    PyObject *none = PyObject_VectorcallMethod(s->str_feed_data, args, 2, NULL);
    Py_DECREF(reader);
    if (!none)
        return NULL;
    Py_DECREF(none);
    Py_RETURN_NONE;
}

static int protocol_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_protocol(o)->reader_ref);
    Py_VISIT(as_protocol(o)->paused);
    Py_VISIT(as_protocol(o)->connection_lost);
    return 0;
}

static int protocol_clear(PyObject *o)
{
    Py_CLEAR(as_protocol(o)->reader_ref);
    Py_CLEAR(as_protocol(o)->paused);
    Py_CLEAR(as_protocol(o)->connection_lost);
    return 0;
}

static void protocol_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    protocol_clear(o);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef protocol_methods[] = {
    { "data_received", data_received, METH_O, "data_received($self, data)\n--\n\nIt goes to the reader." },
    { 0 },
};

static const PyMemberDef protocol_members[] = {
    { "_stream_reader_wr", T_OBJECT_EX, offsetof(struct protocol, reader_ref), 0, NULL },
    { "_paused", T_OBJECT_EX, offsetof(struct protocol, paused), 0, NULL },
    { "_connection_lost", T_OBJECT_EX, offsetof(struct protocol, connection_lost), 0, NULL },
    { 0 },
};

static const PyType_Slot protocol_slots[] = {
    { Py_tp_new, part_new },
    { Py_tp_dealloc, protocol_dealloc },
    { Py_tp_traverse, protocol_traverse },
    { Py_tp_clear, protocol_clear },
    { Py_tp_setattro, part_setattr },
    { Py_tp_methods, (void *)protocol_methods },
    { Py_tp_members, (void *)protocol_members },
    { 0, NULL },
};

const PyType_Spec even__protocol_spec = {
    "evenloop._core.StreamReaderProtocol", sizeof(struct protocol), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, (PyType_Slot *)protocol_slots
};
