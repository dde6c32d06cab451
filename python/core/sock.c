/* What sock_recv and sock_sendall of evenloop.Loop stand on: a try that does not wait, and an object that does. */
#include "sock.h"
#include "held.h"
#include "transport.h"
#include <poll.h>
#include <structmember.h>
#include <sys/socket.h>

enum { SEND_MAX = 1 << 20 };    /* in one turn: a peer that takes it as fast as it comes is not to keep the others */

/* What is known of a descriptor's number. */
enum {
    NO_TRANSPORT = 1,       /* it was checked that no transport has it */
    DRY = 2,                /* a receive took all that was there: the next one waits first. A mistake costs a pass, no more */
};

char *loop_scratch(struct loop *loop)
{
    if (!loop->scratch)
        loop->scratch = PyMem_RawMalloc(SCRATCH);
    return loop->scratch;
}

/* The flags of a descriptor; NULL with an exception. */
static unsigned char *flags_of(struct loop *loop, int fd)
{
    if (fd < loop->fds)
        return &loop->fd_flags[fd];
    int fds = loop->fds ? loop->fds : 64;
    while (fds <= fd)
        fds *= 2;
    unsigned char *larger = PyMem_RawRealloc(loop->fd_flags, (size_t)fds);
    if (!larger) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(larger + loop->fds, 0, (size_t)(fds - loop->fds));
    loop->fd_flags = larger;
    loop->fds = fds;
    return &loop->fd_flags[fd];
}

void fd_gets_transport(struct loop *loop, int fd)
{
    if (fd < loop->fds)
        loop->fd_flags[fd] = 0;
}

PyObject *loop_forget_fd(PyObject *self, PyObject *o)
{
    int fd = PyObject_AsFileDescriptor(o);
    if (fd < 0)
        return NULL;
    fd_gets_transport(as_loop(self), fd);
    Py_RETURN_NONE;
}

/* The table of transports has room for such a descriptor. */
static bool transports_reach(struct loop *loop, int fd)
{
    if (fd < loop->transports_count)
        return true;
    int n = fd < 64 ? 64 : fd + fd / 4;
    PyObject **larger = PyMem_RawRealloc(loop->transports, (size_t)n * sizeof *larger);
    if (!larger) {
        PyErr_NoMemory();
        return false;
    }
    memset(larger + loop->transports_count, 0, (size_t)(n - loop->transports_count) * sizeof *larger);
    loop->transports = larger;
    loop->transports_count = n;
    return true;
}

int fd_set_transport(struct loop *loop, int fd, PyObject *transport)
{
    if (!transports_reach(loop, fd))
        return -1;
    loop->transports[fd] = transport;
    return 0;
}

void fd_lose_transport(struct loop *loop, int fd, PyObject *transport)
{
    if (fd < loop->transports_count && loop->transports[fd] == transport)
        loop->transports[fd] = NULL;
}

static int descriptor_number(PyObject *o)
{
    int overflow;
    long fd = PyLong_Check(o) ? PyLong_AsLongAndOverflow(o, &overflow) : -1;
    return fd >= 0 && fd <= INT_MAX ? (int)fd : -1;
}

PyObject *loop_transport_of(PyObject *self, PyObject *o)
{
    struct loop *loop = as_loop(self);
    int fd = descriptor_number(o);
    PyObject *transport = fd >= 0 && fd < loop->transports_count ? loop->transports[fd] : NULL;
    /* One without references is just ending: what is called meanwhile is not to have it. */
    return Py_NewRef(transport && Py_REFCNT(transport) > 0 ? transport : Py_None);
}

PyObject *loop_transports_known(PyObject *self, PyObject *unused)
{
    struct loop *loop = as_loop(self);
    PyObject *list = PyList_New(0);
    (void)unused;
    for (int fd = 0; list && fd < loop->transports_count; fd++) {
        if (!loop->transports[fd] || Py_REFCNT(loop->transports[fd]) == 0)
            continue;
        PyObject *number = PyLong_FromLong(fd);
        if (!number || PyList_Append(list, number) < 0)
            Py_CLEAR(list);
        Py_XDECREF(number);
    }
    return list;
}

PyObject *loop_set_transport(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    int fd = n == 2 ? descriptor_number(args[0]) : -1;
    if (fd < 0 || (args[1] != Py_None && !transport_has(args[1], loop, fd)))
        return PyErr_Format(PyExc_TypeError, "_set_transport(descriptor, the transport that has it, or None)");
    if (fd_set_transport(loop, fd, args[1] == Py_None ? NULL : args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The descriptor of a socket; of one that is closed: -1, with an OSError (EBADF), as its own methods have it. */
static int descriptor_of(PyObject *sock)
{
    int fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return fd;
}

/* The descriptor of a socket that may be used so; -1 with an exception. */
static int take_socket(struct loop *loop, PyObject *sock)
{
    if (!Py_IS_TYPE(sock, (PyTypeObject *)loop->state->socket) || loop->debug) {
        PyObject *none = PyObject_CallMethod((PyObject *)loop, "_check_sock", "O", sock);       /* again: below */
        Py_XDECREF(none);
        if (!none)
            return -1;
    }
    int fd = loop_check_here(loop) ? descriptor_of(sock) : -1;     /* again: next */
    return fd < 0 || loop_check_here(loop) ? fd : -1;
}

/* Is it this descriptor still, and the loop open, after a call into Python? False with an exception. */
static bool is_still(struct loop *loop, PyObject *sock, int fd)
{
    int now = loop_check_here(loop) ? descriptor_of(sock) : -1;    /* again: below */
    if (now >= 0 && now != fd) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return now == fd && loop_check_here(loop);
}

/* One shot of poll(2) and a future for its end, which is what one awaits it by. Whoever gives up ends it by close(). */
struct wait {
    PyObject_HEAD
    struct held held;
    struct loop *loop;
    PyObject *future;
    even_op op;
    Py_ssize_t sent;
};

static PyObject *wait_new(struct loop *loop, PyObject *sock, int fd, int events);

/* bytes, or a Wait if it has to: _recv(socket, n, True after a Wait) */
PyObject *loop_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "_recv(socket, n, again)");
        return NULL;
    }
    /* Its number is asked for last: what Python runs before may close it. */
    Py_ssize_t wanted = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);      /* again: take_socket() looks */
    if (wanted < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    int fd = take_socket(loop, args[0]);        /* again: it has looked itself */
    unsigned char *flags = fd < 0 ? NULL : flags_of(loop, fd);
    /* Into memory of the loop's: what was asked for may be much more than what comes. */
    if (!flags)
        return NULL;
    if (!loop_scratch(loop))
        return PyErr_NoMemory();
    if (!(*flags & DRY) || args[2] == Py_True) {
        size_t most = wanted < SCRATCH ? (size_t)wanted : (size_t)SCRATCH;
        ssize_t got = recv(fd, loop->scratch, most, MSG_DONTWAIT);
        if (got >= 0) {
            *flags = (unsigned char)((size_t)got < most && got > 0 ? *flags | DRY : *flags & ~DRY);
            return PyBytes_FromStringAndSize(loop->scratch, got);
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError);
    }
    return wait_new(loop, args[0], fd, POLLIN);
}

/* How much was sent in all, or a Wait if it has to: _send(socket, data, from) */
PyObject *loop_send(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    Py_buffer view;
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "_send(socket, data, from)");
        return NULL;
    }
    Py_ssize_t from = PyLong_AsSsize_t(args[2]);
    if (from < 0 || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    /* As above. */
    int fd = take_socket(loop, args[0]);
    if (fd < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    const Py_ssize_t all = view.len, enough = from + SEND_MAX;
    ssize_t sent = 0;
    int error = 0;
    while (from < all && from < enough && error == 0) {
        sent = send(fd, (char *)view.buf + from, (size_t)(all - from), MSG_NOSIGNAL | MSG_DONTWAIT);
        error = sent < 0 ? errno : 0;
        from += sent > 0 ? sent : 0;
    }
    PyBuffer_Release(&view);
    if (from >= all)
        Py_RETURN_TRUE;
    if (error && error != EAGAIN && error != EWOULDBLOCK && error != EINTR) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *wait = wait_new(loop, args[0], fd, POLLOUT);
    if (wait)
        ((struct wait *)(void *)wait)->sent = from;
    return wait;
}

/* ---- waiting for readiness ---- */

static struct wait *as_wait(PyObject *o)
{
    return (struct wait *)(void *)o;
}

static void drop(struct held *h)
{
    even_container_of(h, struct wait, held)->op.handle.next = NULL;
}

static const struct held_kind kind = { .drop = drop };

static void over(even_handle *h)
{
    struct wait *w = even_container_of(h, struct wait, op.handle);
    if (w->loop->raised) {
        even_call_soon(w->loop->core, h);
        return;
    }
    /* only: the wait, which has a reference of itself, has one of the future and of the loop */
    PyObject *done = PyObject_CallMethodNoArgs(w->future, w->loop->state->str_done), *none = NULL;
    if (done == Py_False) {
        PyObject *args[] = { w->future, Py_None };
        none = PyObject_VectorcallMethod(w->loop->state->str_set_result, args, 2, NULL);        /* only: as above */
    }
    if ((!done || (done == Py_False && !none)) && !loop_takes_exception(w->loop))      /* only: as above */
        PyErr_WriteUnraisable(w->future);
    Py_XDECREF(done);
    Py_XDECREF(none);
    held_let_go(&w->held);
}

static PyObject *wait_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (as_wait(self)->loop->core && !as_wait(self)->loop->waiting)
        even_op_cancel(&as_wait(self)->op);
    Py_RETURN_NONE;
}

static PyObject *wait_new(struct loop *loop, PyObject *sock, int fd, int events)
{
    unsigned char *flags = flags_of(loop, fd);
    if (!flags)
        return NULL;
    if (!(*flags & NO_TRANSPORT)) {
        PyObject *none = PyObject_CallMethod((PyObject *)loop, "_ensure_fd_no_transport", "O", sock);   /* again: is_still() */
        Py_XDECREF(none);
        if (!none || !(flags = flags_of(loop, fd)))
            return NULL;
        *flags |= NO_TRANSPORT;
    }
    PyObject *self = (PyObject *)loop;
    PyObject *future = future_new(loop);        /* again: is_still() */
    struct wait *w = future ? as_wait(loop->state->wait_type->tp_alloc(loop->state->wait_type, 0)) : NULL;
    if (!w) {
        Py_XDECREF(future);
        return NULL;
    }
    w->loop = as_loop(Py_NewRef(self));
    w->future = future;
    if (!is_still(loop, sock, fd)) {    /* again: it has looked itself */
        Py_DECREF(w);
        return NULL;
    }
    even_op_init(&w->op, loop->core, over);
    held_init(&w->held, loop, (PyObject *)w, &kind);
    held_keep(&w->held);            /* the operation's */
    even_op_poll(&w->op, fd, events);
    return (PyObject *)w;
}

static PyObject *wait_await(PyObject *self)
{
    return PyObject_GetIter(as_wait(self)->future);
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

static const PyMethodDef methods[] = {
    { "close", wait_close, METH_NOARGS, "Nobody waits any more." },
    { 0 },
};

static const PyMemberDef members[] = {
    { "sent", T_PYSSIZET, offsetof(struct wait, sent), READONLY, "How much went before." },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_am_await, wait_await },
    { Py_tp_methods, (void *)methods },
    { Py_tp_members, (void *)members },
    { Py_tp_dealloc, wait_dealloc },
    { Py_tp_traverse, wait_traverse },
    { Py_tp_clear, wait_clear },
    { 0, NULL },
};

const PyType_Spec even__wait_spec = {
    "evenloop._core.Wait", sizeof(struct wait), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, (PyType_Slot *)slots
};
