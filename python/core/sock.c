/* What the sock_* coroutines of evenloop.Loop stand on: one try that does not wait, and a future for readiness. */
#include "core.h"
#include <poll.h>
#include <sys/socket.h>

enum { SCRATCH = 256 * 1024 };

/* bytes, or None if it would wait: _recv_now(descriptor, n) */
PyObject *loop_recv_now(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "_recv_now(descriptor, n)");
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(args[0]);
    Py_ssize_t wanted = fd < 0 ? -1 : PyLong_AsSsize_t(args[1]);
    if (wanted < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    /* Into memory of the loop's: what was asked for may be much more than what comes. */
    if (!loop->scratch && !(loop->scratch = PyMem_RawMalloc(SCRATCH)))
        return PyErr_NoMemory();
    ssize_t got = recv(fd, loop->scratch, wanted < SCRATCH ? (size_t)wanted : (size_t)SCRATCH, MSG_DONTWAIT);
    if (got >= 0)
        return PyBytes_FromStringAndSize(loop->scratch, got);
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* How much went, or None if it would wait: _send_now(descriptor, data, from) */
PyObject *loop_send_now(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    Py_buffer view;
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "_send_now(descriptor, data, from)");
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(args[0]);
    Py_ssize_t from = fd < 0 ? -1 : PyLong_AsSsize_t(args[2]);
    if (from < 0 || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    size_t left = from < view.len ? (size_t)(view.len - from) : 0;
    ssize_t sent = send(fd, (char *)view.buf + from, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    int error = errno;
    PyBuffer_Release(&view);
    if (sent >= 0)
        return PyLong_FromSsize_t(sent);
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
        Py_RETURN_NONE;
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* ---- a future for readiness ---- */

/* One shot of poll(2). It is the future's done-callback as well: whoever cancels the future ends the poll. */
struct wait {
    PyObject_HEAD
    struct loop *loop;
    PyObject *future;
    even_op op;
    struct wait *next, **link;      /* in the loop's list of those that go on */
};

static struct wait *as_wait(PyObject *o)
{
    return (struct wait *)(void *)o;
}

/* The operation's reference. */
static void let_go(struct wait *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    Py_DECREF(w);
}

void waits_drop(struct loop *loop)
{
    while (loop->waits) {
        loop->waits->op.handle.next = NULL;
        let_go(loop->waits);
    }
}

int waits_traverse(struct loop *loop, visitproc visit, void *arg)
{
    for (struct wait *w = loop->waits; w; w = w->next)
        Py_VISIT((PyObject *)(void *)w);
    return 0;
}

static void over(even_handle *h)
{
    struct wait *w = even_container_of(h, struct wait, op.handle);
    if (w->loop->raised) {
        even_call_soon(w->loop->core, h);
        return;
    }
    PyObject *done = PyObject_CallMethodNoArgs(w->future, w->loop->state->str_done), *none = NULL;
    if (done == Py_False) {
        PyObject *args[] = { w->future, Py_None };
        none = PyObject_VectorcallMethod(w->loop->state->str_set_result, args, 2, NULL);
    }
    if ((!done || (done == Py_False && !none)) && !loop_takes_exception(w->loop))
        PyErr_WriteUnraisable(w->future);
    Py_XDECREF(done);
    Py_XDECREF(none);
    let_go(w);
}

static PyObject *future_done(PyObject *self, PyObject *args, PyObject *keywords)
{
    (void)args;
    (void)keywords;
    if (as_wait(self)->loop->core && !as_wait(self)->loop->waiting)
        even_op_cancel(&as_wait(self)->op);
    Py_RETURN_NONE;
}

/* _wait(descriptor, for writing): a future, done once it is ready */
PyObject *loop_wait(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "_wait(descriptor, for writing)");
        return NULL;
    }
    int fd = loop_check_open(loop) ? PyObject_AsFileDescriptor(args[0]) : -1, writing = fd < 0 ? -1 : PyObject_IsTrue(args[1]);
    if (writing < 0)
        return NULL;
    PyObject *future = PyObject_CallMethodNoArgs(self, loop->state->str_create_future);
    struct wait *w = future ? as_wait(loop->state->wait_type->tp_alloc(loop->state->wait_type, 0)) : NULL;
    if (!w) {
        Py_XDECREF(future);
        return NULL;
    }
    w->loop = as_loop(Py_NewRef(self));
    w->future = Py_NewRef(future);
    PyObject *callback[] = { future, (PyObject *)w };
    PyObject *none = PyObject_VectorcallMethod(loop->state->str_add_done_callback, callback, 2, NULL);
    if (!none) {
        Py_DECREF(w);
        Py_DECREF(future);
        return NULL;
    }
    Py_DECREF(none);
    even_op_init(&w->op, loop->core, over);
    w->next = loop->waits;
    w->link = &loop->waits;
    if (w->next)
        w->next->link = &w->next;
    loop->waits = w;
    even_op_poll(&w->op, fd, writing ? POLLOUT : POLLIN);       /* has our reference until it is over */
    return future;
}

static int wait_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_wait(o)->loop);
    Py_VISIT(as_wait(o)->future);
    return 0;
}

static int wait_clear(PyObject *o)
{
    Py_CLEAR(as_wait(o)->future);
    return 0;
}

static void wait_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    wait_clear(o);
    Py_XDECREF((PyObject *)as_wait(o)->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    { Py_tp_call, future_done },
    { Py_tp_dealloc, wait_dealloc },
    { Py_tp_traverse, wait_traverse },
    { Py_tp_clear, wait_clear },
    { 0, NULL },
};

PyType_Spec even__wait_spec = {
    "evenloop._core.Wait", sizeof(struct wait), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots
};
