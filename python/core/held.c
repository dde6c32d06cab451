/* What the core has something of, and what that calls. */
#include "held.h"
#include "scope.h"

void held_init(struct held *h, struct loop *loop, PyObject *object, const struct held_kind *kind)
{
    h->object = object;
    h->loop = loop;
    h->kind = kind;
}

int held_set_context(struct held *h, PyObject *context)
{
    if (context && context != Py_None && !PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError, "context must be a contextvars.Context, not %s", Py_TYPE(context)->tp_name);
        return -1;
    }
    h->context = context && context != Py_None ? Py_NewRef(context) : PyContext_CopyCurrent();
    return h->context ? 0 : -1;
}

/* ---- all of a loop's ---- */

void held_stop_all(struct loop *loop)
{
    for (struct held *h = loop->held; h; h = h->next)
        if (h->kind->stop)
            h->kind->stop(h);
}

void held_drop_all(struct loop *loop)
{
    while (loop->held) {
        struct held *h = loop->held;
        h->kind->drop(h);    /* only: it runs nothing */
        h->count = 1;
        held_let_go(h);
    }
}

int held_traverse(struct loop *loop, visitproc visit, void *arg)
{
    for (struct held *h = loop->held; h; h = h->next)
        Py_VISIT(h->object);
    return 0;
}

/* ---- calling the protocol, and the Python half ---- */

static inline __attribute__((always_inline)) enum kept run(struct held *h, PyObject *(*call)(void *data), void *data,
                                                           PyObject **result)
{
    const unsigned before = held_changes(h);
    /* What is called runs the loop, and that calls again: a context cannot be entered twice. */
    const bool again = h->entered;
    PyObject *context = again ? PyContext_Copy(h->context) : Py_NewRef(h->context);
    h->entered = true;
    *result = context ? call_in_context(context, call, data) : NULL;    /* only: what it finds out */
    h->entered = again;
    Py_XDECREF(context);
    return kept_since(before, held_changes(h));
}

enum kept held_run(struct held *h, PyObject *(*call)(void *data), void *data, PyObject **result)
{
    return run(h, call, data, result);
}

struct method {
    PyObject *name, *const *args;
    size_t n;
};

static PyObject *call_method(void *data)
{
    const struct method *m = data;
    return PyObject_VectorcallMethod(m->name, m->args, m->n, NULL);
}

enum kept held_call(struct held *h, PyObject *name, PyObject *const *args, size_t n, PyObject **result)
{
    return run(h, call_method, &(struct method){ name, args, n }, result);
}

void held_callback_of_failed(struct held *h, PyObject *object)
{
    struct loop *loop = h->loop;
    if (loop_takes_exception(loop))      /* only: its object, which the caller holds, and the loop, which that holds */
        return;
    PyObject *raised = PyErr_GetRaisedException();
    /* only: as above */
    PyObject *none = PyObject_CallFunction(loop->state->callback_failed, "OOO", (PyObject *)loop, object, raised);
    Py_DECREF(raised);
    if (!none && !loop_takes_exception(loop))
        PyErr_WriteUnraisable(object);
    Py_XDECREF(none);
}

void held_callback_failed(struct held *h)
{
    held_callback_of_failed(h, h->object);
}

void held_tell(struct held *h, PyObject *name)
{
    PyObject *none;
    (void)held_call(h, name, &h->object, 1, &none);     /* only: as above */
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
