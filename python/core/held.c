/* What holds itself, and what it calls. */
#include "held.h"
#include "output.h"

int held_init(struct held *h, struct loop *loop, PyObject *object, void (*drop)(struct held *))
{
    if (!(h->context = PyContext_CopyCurrent()))
        return -1;
    h->object = object;
    h->loop = loop;
    h->drop = drop;
    return 0;
}

/* ---- all of a loop's ---- */

void transports_flush(struct loop *loop)
{
    for (struct held *h = loop->held; h; h = h->next)
        if (h->output)
            output_send_now(h->output);     /* its handles stay queued: they tell what there is to tell, in the next run */
}

void transports_drop(struct loop *loop)
{
    while (loop->held) {
        struct held *h = loop->held;
        h->drop(h);
        h->count = 1;
        held_let_go(h);
    }
}

int transports_traverse(struct loop *loop, visitproc visit, void *arg)
{
    for (struct held *h = loop->held; h; h = h->next)
        Py_VISIT(h->object);
    return 0;
}

/* ---- calling the protocol, and the Python half ---- */

PyObject *held_call(struct held *h, PyObject *name, PyObject *a, PyObject *b)
{
    PyObject *args[] = { a, b };
    if (PyContext_Enter(h->context) < 0)
        return NULL;
    PyObject *result = PyObject_VectorcallMethod(name, args, (size_t)(b ? 2 : 1), NULL);
    PyObject *raised = result ? NULL : PyErr_GetRaisedException();
    if (PyContext_Exit(h->context) < 0)
        PyErr_Clear();
    if (raised)
        PyErr_SetRaisedException(raised);
    return result;
}

void held_callback_failed(struct held *h)
{
    if (loop_takes_exception(h->loop))
        return;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *none = PyObject_CallFunction(h->loop->state->callback_failed, "OOO", (PyObject *)h->loop, h->object, raised);
    Py_DECREF(raised);
    if (!none && !loop_takes_exception(h->loop))
        PyErr_WriteUnraisable(h->object);
    Py_XDECREF(none);
}

void held_tell(struct held *h, PyObject *name)
{
    PyObject *none = held_call(h, name, h->object, NULL);
    if (!none)
        held_callback_failed(h);
    Py_XDECREF(none);
}

void held_fatal(struct held *h, const char *message)
{
    if (loop_takes_exception(h->loop))
        return;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *none = PyObject_CallMethod(h->object, "_fatal_error", "Os", raised, message);
    if (!none && !loop_takes_exception(h->loop))
        PyErr_WriteUnraisable(h->object);
    Py_XDECREF(none);
    Py_DECREF(raised);
}

void held_fatal_status(struct held *h, int status, const char *message)
{
    raise_status(status);
    held_fatal(h, message);
}

PyObject *held_log(struct held *h, const char *text)
{
    if (!h->loop->debug)
        Py_RETURN_NONE;
    return PyObject_CallFunction(h->loop->state->transport_debug, "Os", h->object, text);
}

PyObject *held_call_later(struct held *h, const char *name)
{
    PyObject *method = PyObject_GetAttrString(h->object, name);
    PyObject *handle = method ? PyObject_CallMethod((PyObject *)h->loop, "call_soon_threadsafe", "O", method) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(handle);
    return handle ? Py_NewRef(Py_None) : NULL;
}
