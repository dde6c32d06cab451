/* What the datagram transport does for each datagram: receiving by an operation, and sending where it needs no thought. All else
 * is asyncio's transport's, from which evenloop's derives: what cannot be sent at once, limits, the end. */
#include "held.h"
#include "watch.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <structmember.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LARGEST = 256 * 1024 };      /* as asyncio's max_size */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage space;
    };
    socklen_t length;
};

struct port {
    PyObject_HEAD
    struct held held;
    struct loop *loop;
    PyObject *transport, *socket;
    int fd, family;
    char connected;                 /* to one peer */
    char closing;                   /* or closed: asyncio's transport says what a send means */
    char reading;
    bool kept;                      /* a datagram came in spite of a pause: it is delivered when that is over */
    even_op recv;
    struct msghdr message;
    struct iovec part;
    char *buffer;
    struct address from, known;     /* of the datagram; of `known_object`, the last one that came or was sent to */
    PyObject *known_object;
    bool known_came;                /* so it is written as a sender is */
};

static struct port *as_port(PyObject *o)
{
    return (struct port *)(void *)o;
}

static void drop(struct held *h)
{
    even_container_of(h, struct port, held)->recv.handle.next = NULL;
}

static const struct held_kind kind = { .drop = drop };

/* ---- addresses ---- */

static PyObject *address_object(const struct address *a)
{
    char text[INET6_ADDRSTRLEN];
    if (a->length < sizeof a->any.sa_family)
        Py_RETURN_NONE;         /* of a Unix socket without a name */
    switch (a->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof text);
        return Py_BuildValue("si", text, ntohs(a->in.sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof text);
        return Py_BuildValue("siII", text, ntohs(a->in6.sin6_port), (unsigned)ntohl(a->in6.sin6_flowinfo),
                             (unsigned)a->in6.sin6_scope_id);
    case AF_UNIX: {
        size_t length = a->length - offsetof(struct sockaddr_un, sun_path);
        if (a->length <= offsetof(struct sockaddr_un, sun_path))
            Py_RETURN_NONE;
        if (!a->un.sun_path[0])     /* abstract: no name of the file system's */
            return PyBytes_FromStringAndSize(a->un.sun_path, (Py_ssize_t)length);
        return PyUnicode_DecodeFSDefaultAndSize(a->un.sun_path, (Py_ssize_t)strnlen(a->un.sun_path, length));
    }
    default:
        Py_RETURN_NONE;
    }
}

static bool is_known(const struct port *p, const struct address *a)
{
    return p->known_object && p->known_came && a->length == p->known.length && memcmp(&a->space, &p->known.space, a->length) == 0;
}

/* A new reference. Peers say more than one thing: the same address is the same object. */
static PyObject *sender(struct port *p)
{
    p->from.length = p->message.msg_namelen < sizeof p->from.space ? p->message.msg_namelen : sizeof p->from.space;
    if (is_known(p, &p->from))
        return Py_NewRef(p->known_object);
    PyObject *o = address_object(&p->from);
    if (o && o != Py_None) {
        p->known = p->from;
        p->known_came = true;
        Py_XSETREF(p->known_object, Py_NewRef(o));
    }
    return o;
}

/* An address in numbers becomes p->known. False, without an exception: it is written in another way, or wrong. */
static bool parse(struct port *p, PyObject *o)
{
    struct address a = { .length = 0 };
    long numbers[3] = { 0, 0, 0 };      /* port, flow info, scope */
    if (o == p->known_object)
        return true;
    Py_ssize_t n = PyTuple_CheckExact(o) ? PyTuple_GET_SIZE(o) : 0;
    if (n < 2 || n > (p->family == AF_INET6 ? 4 : 2) || !PyUnicode_CheckExact(PyTuple_GET_ITEM(o, 0)))
        return false;
    for (Py_ssize_t i = 1; i < n; i++) {
        int overflow = 1;
        if (PyLong_CheckExact(PyTuple_GET_ITEM(o, i)))
            numbers[i - 1] = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(o, i), &overflow);
        if (overflow || numbers[i - 1] < 0 || numbers[i - 1] > (i == 1 ? 0xffffL : i == 2 ? 0xfffffL : 0xffffffffL))
            return false;
    }
    Py_ssize_t length;
    const char *host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(o, 0), &length);
    if (!host)
        PyErr_Clear();
    if (!host || strlen(host) != (size_t)length)
        return false;
    if (p->family == AF_INET && inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons((uint16_t)numbers[0]);
        a.length = sizeof a.in;
    } else if (p->family == AF_INET6 && inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons((uint16_t)numbers[0]);
        a.in6.sin6_flowinfo = htonl((uint32_t)numbers[1]);
        a.in6.sin6_scope_id = (uint32_t)numbers[2];
        a.length = sizeof a.in6;
    } else {
        return false;
    }
    p->known = a;
    p->known_came = false;
    Py_XSETREF(p->known_object, Py_NewRef(o));
    return true;
}

/* ---- calling the protocol ---- */

/* In the transport's context; NULL with an exception. */
static PyObject *call_protocol(struct port *p, PyObject *name, PyObject *a, PyObject *b)
{
    PyObject *protocol = PyObject_GetAttr(p->transport, p->loop->state->str_protocol), *result = NULL;  /* only: below */
    PyObject *args[] = { protocol, a, b };
    if (protocol)       /* only: the context is the port's own; the callers look at all else */
        (void)held_call(&p->held, name, args, b ? 3 : 2, &result);
    Py_XDECREF(protocol);
    return result;
}

/* As what a handle's callback raises; whether a send of the program's own raised it is no matter. */
static void protocol_failed(struct port *p)
{
    PyObject *transport = Py_NewRef(p->transport ? p->transport : Py_None);
    held_callback_of_failed(&p->held, transport);
    Py_DECREF(transport);
}

/* error_received(OSError). */
static PyObject *tell_error(struct port *p, int error)
{
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *result = call_protocol(p, p->loop->state->str_error_received, raised, NULL);
    Py_DECREF(raised);
    return result;
}

/* ---- receiving ---- */

static void receive(struct port *p)
{
    if (!p->reading || !p->transport || even_op_is_pending(&p->recv) || even_handle_is_queued(&p->recv.handle))
        return;
    held_keep(&p->held);
    if (p->kept) {
        p->kept = false;
        even_call_soon(p->loop->core, &p->recv.handle);
        return;
    }
    p->part = (struct iovec){ p->buffer, LARGEST };
    p->message = (struct msghdr){ .msg_name = &p->from.space, .msg_namelen = sizeof p->from.space, .msg_iov = &p->part,
                                  .msg_iovlen = 1 };
    even_op_recvmsg(&p->recv, p->fd, &p->message, 0);
}

static void deliver(struct port *p)
{
    PyObject *result = NULL;
    if (p->recv.result < 0) {
        result = tell_error(p, -p->recv.result);    /* again: received() looks */
    } else {
        /* again: below */
        PyObject *data = PyBytes_FromStringAndSize(p->buffer, p->recv.result), *from = data ? sender(p) : NULL;
        if (from)
            result = call_protocol(p, p->loop->state->str_datagram_received, data, from);   /* again: received() looks */
        Py_XDECREF(data);
        Py_XDECREF(from);
    }
    if (!result)
        protocol_failed(p);
    Py_XDECREF(result);
}

static void received(even_handle *h)
{
    struct port *p = even_container_of(h, struct port, recv.handle);
    if (p->loop->raised) {
        even_call_soon(p->loop->core, h);
        return;
    }
    bool nothing = p->recv.result == -ECANCELED || p->recv.result == -EAGAIN || p->recv.result == -EINTR;
    if (!nothing && p->reading && p->transport)
        deliver(p);    /* again: receive() looks */
    else if (!nothing && !p->closing)
        p->kept = true;
    if (p->loop->core)
        receive(p);
    held_let_go(&p->held);
}

/* ---- sending ---- */

/* asyncio's own way. */
static PyObject *send_slowly(struct port *p, PyObject *data, PyObject *address)
{
    PyObject *args[] = { p->transport, data, address };
    return PyObject_VectorcallMethod(p->loop->state->str_send_slowly, args, 3, NULL);
}

/* True if it may go out here and now: nothing waits before it, and where to is known or written in numbers. */
static int may_send(struct port *p, PyObject *address)
{
    /* again: below */
    /* only: the address that was known, whose end runs nothing that matters here */
    if (p->closing || (p->connected ? address != Py_None : !parse(p, address)))
        return false;
    PyObject *buffer = PyObject_GetAttr(p->transport, p->loop->state->str_buffer);      /* again: below */
    int waiting = buffer ? PyObject_IsTrue(buffer) : -1;        /* again: below */
    Py_XDECREF(buffer);
    return waiting < 0 ? -1 : !waiting && !p->closing;
}

static PyObject *send_now(struct port *p, PyObject *data, PyObject *address)
{
    Py_buffer view;
    /* A hook may send, and close. */
    if (!p->connected && PySys_Audit("socket.sendto", "OO", p->socket, address) < 0)    /* again: may_send() looks */
        return NULL;
    int ours = p->transport ? may_send(p, address) : 0;    /* again: may_send() has looked */
    if (ours < 0)
        return NULL;
    if (!ours || !(PyBytes_CheckExact(data) || PyByteArray_CheckExact(data) || PyMemoryView_Check(data)))
        return send_slowly(p, data, address);
    /* only: of these three exact types it runs nothing */
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return send_slowly(p, data, address);
    }
    ssize_t sent = sendto(p->fd, view.buf, (size_t)view.len, MSG_NOSIGNAL | MSG_DONTWAIT, p->connected ? NULL : &p->known.any,
                          p->connected ? 0 : p->known.length);
    int error = errno;
    PyBuffer_Release(&view);        /* only: as above */
    if (sent >= 0)
        Py_RETURN_NONE;
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
        return send_slowly(p, data, address);
    PyObject *result = tell_error(p, error);
    Py_XDECREF(result);
    return result ? Py_NewRef(Py_None) : NULL;
}

/* sendto(data, addr=None) */
static PyObject *port_sendto(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    struct port *p = as_port(self);
    PyObject *found[2] = { n > 0 ? args[0] : NULL, n > 1 ? args[1] : NULL };
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = PyUnicode_CompareWithASCIIString(name, "data") == 0   ? 0
                    : PyUnicode_CompareWithASCIIString(name, "addr") == 0 ? 1
                                                                          : -1;
        if (which < 0 || found[which]) {
            PyErr_Format(PyExc_TypeError, "sendto() got an unexpected keyword argument '%U'", name);
            return NULL;
        }
        found[which] = args[n + i];
    }
    if (n > 2 || !found[0]) {
        PyErr_SetString(PyExc_TypeError, "sendto(data, addr=None)");
        return NULL;
    }
    if (!p->transport)
        Py_RETURN_NONE;
    PyObject *data = Py_NewRef(found[0]), *address = Py_NewRef(found[1] ? found[1] : Py_None);
    PyObject *transport = Py_NewRef(p->transport);     /* what it calls may end it */
    PyObject *result = send_now(p, data, address);
    Py_DECREF(transport);
    Py_DECREF(data);
    Py_DECREF(address);
    return result;
}

/* ---- for the Python half ---- */

/* Port(transport, loop, socket, descriptor, family) */
static PyObject *port_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *transport, *loop, *socket;
    int fd, family;
    struct state *state = PyType_GetModuleState(type);
    /* again: the loop is looked at below */
    if (!state || !PyArg_ParseTuple(args, "OOOii", &transport, &loop, &socket, &fd, &family))
        return NULL;
    if (keywords || !PyObject_TypeCheck(loop, state->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "Port(transport, loop, socket, descriptor, family)");
        return NULL;
    }
    /* again: next */
    if (!loop_check_here(as_loop(loop)) || watch_forget(as_loop(loop), fd) < 0 || !loop_check_here(as_loop(loop)))
        return NULL;
    struct port *p = as_port(type->tp_alloc(type, 0));
    if (!p)
        return NULL;
    p->loop = as_loop(Py_NewRef(loop));
    p->transport = Py_NewRef(transport);
    p->socket = Py_NewRef(socket);
    p->fd = fd;
    p->family = family;
    even_op_init(&p->recv, p->loop->core, received);
    p->buffer = PyMem_RawMalloc(LARGEST);
    held_init(&p->held, p->loop, (PyObject *)p, &kind);
    if (!p->buffer)
        PyErr_NoMemory();
    if (!p->buffer || held_set_context(&p->held, NULL) < 0)
        Py_CLEAR(p);
    else
        even_loop_adopt(p->loop->core, fd);     /* Python closes its sockets itself */
    return (PyObject *)p;
}

static PyObject *begin(PyObject *self, PyObject *unused)
{
    struct port *p = as_port(self);
    (void)unused;
    if (p->loop->waiting)
        return held_call_later(&p->held, "begin");
    p->reading = !p->closing;
    if (p->loop->core)
        receive(p);
    Py_RETURN_NONE;
}

static PyObject *stop(PyObject *self, PyObject *unused)
{
    struct port *p = as_port(self);
    (void)unused;
    if (p->loop->waiting)
        return held_call_later(&p->held, "stop");
    p->reading = false;
    if (p->loop->core)
        even_op_cancel(&p->recv);
    Py_RETURN_NONE;
}

/* The end: no cycle is left. */
static PyObject *forget(PyObject *self, PyObject *unused)
{
    (void)unused;
    as_port(self)->reading = false;
    Py_CLEAR(as_port(self)->transport);
    Py_CLEAR(as_port(self)->socket);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int port_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_port(o)->loop);
    Py_VISIT(as_port(o)->transport);
    Py_VISIT(as_port(o)->socket);
    Py_VISIT(as_port(o)->held.context);
    Py_VISIT(as_port(o)->known_object);
    return 0;
}

static int port_clear(PyObject *o)
{
    Py_CLEAR(as_port(o)->transport);
    Py_CLEAR(as_port(o)->socket);
    return 0;
}

static void port_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    port_clear(o);
    Py_CLEAR(as_port(o)->held.context);
    Py_CLEAR(as_port(o)->known_object);
    PyMem_RawFree(as_port(o)->buffer);
    Py_XDECREF((PyObject *)as_port(o)->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef methods[] = {
    { "sendto", (PyCFunction)(void (*)(void))port_sendto, METH_FASTCALL | METH_KEYWORDS,
      "sendto($self, /, data, addr=None)\n--\n\nSend a datagram." },
    { "begin", begin, METH_NOARGS, NULL },
    { "stop", stop, METH_NOARGS, NULL },
    { "forget", forget, METH_NOARGS, NULL },
    { 0 },
};

static const PyMemberDef members[] = {
    { "connected", T_BOOL, offsetof(struct port, connected), 0, NULL },
    { "closing", T_BOOL, offsetof(struct port, closing), 0, NULL },
    { "reading", T_BOOL, offsetof(struct port, reading), READONLY, NULL },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_tp_new, port_new },
    { Py_tp_dealloc, port_dealloc },
    { Py_tp_traverse, port_traverse },
    { Py_tp_clear, port_clear },
    { Py_tp_methods, (void *)methods },
    { Py_tp_members, (void *)members },
    { 0, NULL },
};

const PyType_Spec even__port_spec = {
    "evenloop._core.Port", sizeof(struct port), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, (PyType_Slot *)slots
};
