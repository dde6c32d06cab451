/* What holds itself, and what it calls. */
#include "held.h"
#include "output.h"

int held_init(struct held *h, struct loop *loop, PyObject *object, PyObject *context, void (*drop)(struct held *))
{
    if (context && context != Py_None && !PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError, "context must be a contextvars.Context, not %s", Py_TYPE(context)->tp_name);
        return -1;
    }
    h->context = context && context != Py_None ? Py_NewRef(context) : PyContext_CopyCurrent();
    if (!h->context)
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
        h->drop(h);    /* only: what the core had of it is given back */
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
    /* What is called runs the loop, and that calls again: a context cannot be entered twice. */
    const bool again = h->entered;
    PyObject *context = again ? PyContext_Copy(h->context) : Py_NewRef(h->context);
    if (!context || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    h->entered = true;
    PyObject *result = PyObject_VectorcallMethod(name, args, (size_t)(b ? 2 : 1), NULL);     /* only: the context is its own */
    PyObject *raised = result ? NULL : PyErr_GetRaisedException();
    h->entered = again;
    if (PyContext_Exit(context) < 0)
        PyErr_Clear();
    Py_DECREF(context);
    if (raised)
        PyErr_SetRaisedException(raised);
    return result;
}

void held_callback_failed(struct held *h)
{
    if (loop_takes_exception(h->loop))      /* only: its object, which the caller holds, and the loop, which that holds */
        return;
    PyObject *raised = PyErr_GetRaisedException();
    /* only: as above */
    PyObject *none = PyObject_CallFunction(h->loop->state->callback_failed, "OOO", (PyObject *)h->loop, h->object, raised);
    Py_DECREF(raised);
    if (!none && !loop_takes_exception(h->loop))
        PyErr_WriteUnraisable(h->object);
    Py_XDECREF(none);
}

void held_tell(struct held *h, PyObject *name)
{
    PyObject *none = held_call(h, name, h->object, NULL);      /* only: as above */
    if (!none)
        held_callback_failed(h);
    Py_XDECREF(none);
}

void held_fatal(struct held *h, const char *message)
{
    if (loop_takes_exception(h->loop))      /* only: as above */
        return;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *none = PyObject_CallMethod(h->object, "_fatal_error", "Os", raised, message);    /* only: as above */
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
    PyObject *method = PyObject_GetAttrString(h->object, name);     /* only: as above */
    PyObject *handle = method ? PyObject_CallMethod((PyObject *)h->loop, "call_soon_threadsafe", "O", method) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(handle);
    return handle ? Py_NewRef(Py_None) : NULL;
}
