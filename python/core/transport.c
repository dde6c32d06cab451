/* A socket transport's hot half: receiving, and sending what one turn wrote as one. evenloop/_transport.py has the rest, which
 * is rare: beginning, closing, errors, the end of file. (Its class derives from asyncio's, whose memory has no room for ours.)
 *
 * A receive stands while the protocol wants data; a send, while there is some. Each holds a reference of the stream: its
 * memory must stay until the core says that the operation is over. What comes in while reading is paused is kept. */
#include "core.h"
#include <structmember.h>

enum { READ_SMALL = 64 * 1024, READ_LARGE = 256 * 1024, CHUNKS_FIRST = 4 };

struct stream {
    PyObject_HEAD
    struct loop *loop;
    PyObject *transport, *protocol, *context;   /* the first two are NULL once the connection is lost */
    even_op recv, send;
    even_handle flush;              /* at the end of the turn */
    struct stream *next, **link;      /* in the loop's list of those that hold a reference of themselves */
    unsigned holds;
    int fd;
    /* coming in */
    char *buffer;
    size_t buffer_size;
    bool buffered;                  /* the protocol is a BufferedProtocol */
    char sendfile;                  /* is in progress: nothing may be written */
    char begun, paused, closing, eof, reading_over;
    bool kept;                      /* recv.result came while paused, or the protocol had not taken all of it */
    bool delivering;                /* the buffer is in use */
    size_t kept_from;               /* what of it was taken */
    char tell_flushed;              /* somebody waits for all to be sent: the end, a shutdown, sendfile */
    /* going out */
    PyObject **chunks;              /* not yet being sent */
    size_t count, capacity;
    PyObject *sending;
    size_t sent, size;              /* of `sending`; of all that is to be sent */
    int conn_lost;
};

/* Where asyncio's flow control keeps its figures: the same in every interpreter of the process. */
static struct { Py_ssize_t paused, high, low; } at;

#define SLOT(o, where) (*(PyObject **)(void *)((char *)(o) + (where)))

static struct stream *as_stream(PyObject *o)
{
    return (struct stream *)(void *)o;
}

static PyObject *object_of(struct stream *t)
{
    return (PyObject *)(void *)t;
}

/* ---- holding itself ---- */

static void hold(struct stream *t)
{
    if (t->holds++)
        return;
    Py_INCREF(object_of(t));
    t->next = t->loop->transports;
    t->link = &t->loop->transports;
    if (t->next)
        t->next->link = &t->next;
    t->loop->transports = t;
}

static void let_go(struct stream *t)
{
    if (--t->holds)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    Py_DECREF(object_of(t));
}

/* ---- calling the protocol ---- */

/* A call in the transport's context; NULL with an exception. */
static PyObject *call_method(struct stream *t, PyObject *name, PyObject *a, PyObject *b)
{
    PyObject *args[] = { a, b };
    if (PyContext_Enter(t->context) < 0)
        return NULL;
    PyObject *result = PyObject_VectorcallMethod(name, args, (size_t)(b ? 2 : 1), NULL);
    PyObject *raised = result ? NULL : PyErr_GetRaisedException();
    if (PyContext_Exit(t->context) < 0)
        PyErr_Clear();
    if (raised)
        PyErr_SetRaisedException(raised);
    return result;
}

/* Tell the Python half. */
static void tell(struct stream *t, PyObject *name)
{
    PyObject *transport = Py_XNewRef(t->transport);
    PyObject *result = transport ? call_method(t, name, transport, NULL) : NULL;
    if (transport && !result && !loop_takes_exception(t->loop)) {
        PyObject *raised = PyErr_GetRaisedException();
        result = PyObject_CallFunction(t->loop->state->callback_failed, "OOO", (PyObject *)t->loop, transport, raised);
        Py_DECREF(raised);
        if (!result && !loop_takes_exception(t->loop))
            PyErr_WriteUnraisable(transport);
    }
    Py_XDECREF(result);
    Py_XDECREF(transport);
}

/* An exception is set, the protocol's: _fatal_error(exc, message). */
static void protocol_failed(struct stream *t, const char *message)
{
    if (loop_takes_exception(t->loop))
        return;
    PyObject *raised = PyErr_GetRaisedException(), *transport = Py_XNewRef(t->transport);
    PyObject *none = transport ? PyObject_CallMethod(transport, "_fatal_error", "Os", raised, message) : Py_NewRef(Py_None);
    if (!none && !loop_takes_exception(t->loop))
        PyErr_WriteUnraisable(transport);
    Py_XDECREF(none);
    Py_XDECREF(transport);
    Py_DECREF(raised);
}

static void failed(struct stream *t, int status, const char *message)
{
    raise_status(status);
    protocol_failed(t, message);
}

/* ---- receiving ---- */

static void receive(struct stream *t)
{
    if (!t->begun || t->paused || t->closing || t->reading_over || t->conn_lost || t->delivering ||
        even_op_is_pending(&t->recv) || even_handle_is_queued(&t->recv.handle))
        return;
    if (t->kept) {
        t->kept = false;
        hold(t);
        even_call_soon(t->loop->core, &t->recv.handle);
        return;
    }
    if (!t->buffer) {
        t->buffer = PyMem_RawMalloc(READ_SMALL);
        if (!t->buffer) {
            PyErr_NoMemory();
            protocol_failed(t, "Fatal read error on socket transport");
            return;
        }
        t->buffer_size = READ_SMALL;
    }
    hold(t);
    even_op_recv(&t->recv, t->fd, t->buffer, t->buffer_size, 0);
}

/* Bulk data: larger reads from now on. */
static void grow(struct stream *t)
{
    char *larger = PyMem_RawMalloc(READ_LARGE);
    if (!larger)
        return;
    PyMem_RawFree(t->buffer);
    t->buffer = larger;
    t->buffer_size = READ_LARGE;
}

/* Into the protocol's own buffers, as many as it takes; gives how much went: less if it paused, closed, or was exchanged. */
static size_t deliver_buffered(struct stream *t, const char *data, size_t n)
{
    struct state *s = t->loop->state;
    const size_t all = n;
    PyObject *const first = t->protocol;
    while (n > 0 && !t->conn_lost && !t->closing && !t->paused && t->protocol == first) {
        PyObject *protocol = Py_NewRef(t->protocol);
        PyObject *target = call_method(t, s->str_get_buffer, protocol, s->minus_one);
        Py_buffer view;
        if (!target || PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) < 0) {
            Py_XDECREF(target);
            Py_DECREF(protocol);
            protocol_failed(t, "Fatal error: protocol.get_buffer() call failed.");
            return all;
        }
        size_t room = (size_t)view.len, part = n < room ? n : room;
        memcpy(view.buf, data, part);
        PyBuffer_Release(&view);
        Py_DECREF(target);
        if (part == 0) {
            Py_DECREF(protocol);
            PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
            protocol_failed(t, "Fatal error: protocol.get_buffer() call failed.");
            return all;
        }
        PyObject *length = PyLong_FromSize_t(part);
        PyObject *none = length ? call_method(t, s->str_buffer_updated, protocol, length) : NULL;
        Py_XDECREF(length);
        Py_DECREF(protocol);
        if (!none) {
            protocol_failed(t, "Fatal error: protocol.buffer_updated() call failed.");
            return all;
        }
        Py_DECREF(none);
        data += part;
        n -= part;
    }
    return all - n;
}

static void deliver_some(struct stream *t, size_t n)
{
    if (t->buffered) {
        t->kept_from += deliver_buffered(t, t->buffer + t->kept_from, n);
        return;
    }
    const char *from = t->buffer + t->kept_from;
    t->kept_from += n;
    PyObject *data = PyBytes_FromStringAndSize(from, (Py_ssize_t)n), *protocol = Py_NewRef(t->protocol);
    PyObject *none = data ? call_method(t, t->loop->state->str_data_received, protocol, data) : NULL;
    Py_XDECREF(data);
    Py_DECREF(protocol);
    if (!none)
        protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
    Py_XDECREF(none);
}

/* What came, to whoever is the protocol; the rest is kept if that does not want it now. */
static void deliver(struct stream *t, size_t n)
{
    t->delivering = true;       /* nothing may be received over it, whatever the protocol calls */
    while (t->kept_from < n && t->protocol && !t->conn_lost && !t->closing && !t->paused)
        deliver_some(t, n - t->kept_from);
    t->delivering = false;
    t->kept = t->kept_from < n && t->protocol && !t->conn_lost && !t->closing;
    if (!t->kept)
        t->kept_from = 0;
}

static void received(even_handle *h)
{
    struct stream *t = even_container_of(h, struct stream, recv.handle);
    int32_t result = t->recv.result;
    if (t->loop->raised) {
        even_call_soon(t->loop->core, h);
        return;
    }
    if (t->closing || t->conn_lost || result == -ECANCELED || result == -EAGAIN || result == -EINTR) {
        receive(t);
    } else if (t->paused) {
        t->kept = true;
    } else if (result > 0) {
        deliver(t, (size_t)result);
        if ((size_t)result == t->buffer_size && t->buffer_size < READ_LARGE && !t->kept)
            grow(t);
        receive(t);
    } else if (result == 0) {
        t->reading_over = true;
        tell(t, t->loop->state->str_on_eof);
    } else {
        failed(t, result, "Fatal read error on socket transport");
    }
    let_go(t);
}

/* ---- sending ---- */

static void send_next(struct stream *t);

static void drop_output(struct stream *t)
{
    for (size_t i = 0; i < t->count; i++)
        Py_DECREF(t->chunks[i]);
    t->count = 0;
    t->size = 0;
}

/* One of asyncio's marks: a whole number, nearly always. */
static double mark(struct stream *t, Py_ssize_t where)
{
    double value = PyFloat_AsDouble(SLOT(t->transport, where));
    if (value == -1.0 && PyErr_Occurred())
        PyErr_Clear();
    return value;
}

/* Some of it went: the protocol may go on, and whoever waits for the end of it hears. */
static void tell_sent(struct stream *t)
{
    if (t->transport && SLOT(t->transport, at.paused) == Py_True && (double)t->size <= mark(t, at.low))
        tell(t, t->loop->state->str_maybe_resume);
    if (t->tell_flushed && t->size == 0 && !t->conn_lost)
        tell(t, t->loop->state->str_on_flushed);
}

static void sent(even_handle *h)
{
    struct stream *t = even_container_of(h, struct stream, send.handle);
    int32_t result = t->send.result;
    if (t->loop->raised) {
        even_call_soon(t->loop->core, h);
        return;
    }
    if (t->conn_lost) {
        Py_CLEAR(t->sending);
    } else if (result >= 0) {
        t->sent += (size_t)result;
        t->size -= (size_t)result;
        if (t->sent == (size_t)PyBytes_GET_SIZE(t->sending))
            Py_CLEAR(t->sending);
        send_next(t);
        tell_sent(t);
    } else if (result == -ECANCELED || result == -EAGAIN || result == -EINTR) {
        send_next(t);
    } else {
        Py_CLEAR(t->sending);
        drop_output(t);
        failed(t, result, "Fatal write error on socket transport");
    }
    let_go(t);
}

/* All that waits, as one; or the first of it alone, without memory for that. */
static PyObject *take_chunks(struct stream *t)
{
    size_t total = 0, where = 0;
    PyObject *joined = NULL;
    for (size_t i = 0; i < t->count; i++)
        total += (size_t)PyBytes_GET_SIZE(t->chunks[i]);
    if (t->count > 1 && !(joined = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total)))
        PyErr_Clear();
    if (!joined) {
        PyObject *first = t->chunks[0];
        memmove(t->chunks, t->chunks + 1, --t->count * sizeof *t->chunks);
        return first;
    }
    for (size_t i = 0; i < t->count; i++) {
        memcpy(PyBytes_AS_STRING(joined) + where, PyBytes_AS_STRING(t->chunks[i]), (size_t)PyBytes_GET_SIZE(t->chunks[i]));
        where += (size_t)PyBytes_GET_SIZE(t->chunks[i]);
        Py_DECREF(t->chunks[i]);
    }
    t->count = 0;
    return joined;
}

static bool is_sending(struct stream *t)
{
    return even_op_is_pending(&t->send) || even_handle_is_queued(&t->send.handle);
}

/* What the kernel takes without waiting, now. Failures are for the operation that comes after it. */
static void send_now(struct stream *t)
{
    while (!is_sending(t) && (t->sending || t->count)) {
        if (!t->sending) {
            t->sending = take_chunks(t);
            t->sent = 0;
        }
        size_t left = (size_t)PyBytes_GET_SIZE(t->sending) - t->sent;
        ssize_t n = send(t->fd, PyBytes_AS_STRING(t->sending) + t->sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return;
        t->sent += (size_t)n;
        t->size -= (size_t)n;
        if ((size_t)n < left)
            return;
        Py_CLEAR(t->sending);
    }
}

static void send_next(struct stream *t)
{
    if (is_sending(t) || (!t->sending && t->count == 0))
        return;
    if (!t->sending) {
        t->sending = take_chunks(t);
        t->sent = 0;
    }
    hold(t);
    even_op_send(&t->send, t->fd, PyBytes_AS_STRING(t->sending) + t->sent,
                 (size_t)PyBytes_GET_SIZE(t->sending) - t->sent, MSG_NOSIGNAL);
}

static void flush(even_handle *h)
{
    struct stream *t = even_container_of(h, struct stream, flush);
    if (t->loop->raised) {
        even_call_soon(t->loop->core, h);
        return;
    }
    send_next(t);
    if (!is_sending(t))
        tell_sent(t);           /* it went during the turn */
    let_go(t);
}

void transports_flush(struct loop *loop)
{
    for (struct stream *t = loop->transports; t; t = t->next)
        if (even_handle_is_queued(&t->flush))
            send_now(t);        /* its handle stays queued: it tells what there is to tell, in the next run */
}

void transports_drop(struct loop *loop)
{
    while (loop->transports) {
        struct stream *t = loop->transports;
        Py_CLEAR(t->sending);
        drop_output(t);
        t->flush.next = t->recv.handle.next = t->send.handle.next = NULL;
        t->holds = 1;
        let_go(t);
    }
}

int transports_traverse(struct loop *loop, visitproc visit, void *arg)
{
    for (struct stream *t = loop->transports; t; t = t->next)
        Py_VISIT(object_of(t));
    return 0;
}

static bool queue_chunk(struct stream *t, PyObject *data)
{
    PyObject *chunk = PyBytes_CheckExact(data) ? Py_NewRef(data) : PyBytes_FromObject(data);
    if (!chunk)
        return false;
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : CHUNKS_FIRST;
        PyObject **chunks = PyMem_RawRealloc(t->chunks, capacity * sizeof *chunks);
        if (!chunks) {
            Py_DECREF(chunk);
            PyErr_NoMemory();
            return false;
        }
        t->chunks = chunks;
        t->capacity = capacity;
    }
    t->chunks[t->count++] = chunk;
    t->size += (size_t)PyBytes_GET_SIZE(chunk);
    return true;
}

static PyObject *stream_write(PyObject *self, PyObject *data)
{
    struct stream *t = as_stream(self);
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not '%s'", Py_TYPE(data)->tp_name);
        return NULL;
    }
    if (t->eof) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot call write() after write_eof()");
        return NULL;
    }
    if (t->loop->waiting) {
        PyErr_SetString(PyExc_RuntimeError, "the loop waits in another thread: use call_soon_threadsafe()");
        return NULL;
    }
    if (t->sendfile) {
        PyErr_SetString(PyExc_RuntimeError, "unable to write; sendfile is in progress");
        return NULL;
    }
    if (PyObject_Length(data) == 0)
        Py_RETURN_NONE;
    if (t->conn_lost || !t->transport)
        return t->transport ? PyObject_CallMethod(t->transport, "_write_after_loss", NULL) : Py_NewRef(Py_None);
    if (!t->loop->core) {
        loop_check_open(t->loop);
        return NULL;
    }
    if (!queue_chunk(t, data))
        return NULL;
    if (!is_sending(t) && !even_handle_is_queued(&t->flush)) {
        hold(t);
        even_call_soon(t->loop->core, &t->flush);
    }
    const double high = mark(t, at.high);
    if ((double)t->size > high)
        send_now(t);        /* the protocol is to pause because the peer is slow, not because the turn goes on */
    if ((double)t->size > high)
        return PyObject_CallMethodNoArgs(t->transport, t->loop->state->str_maybe_pause);
    Py_RETURN_NONE;
}

static PyObject *buffer_size(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(as_stream(self)->size);
}

/* ---- for the Python half ---- */

/* Stream(transport, loop, descriptor) */
static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *transport, *loop;
    int fd;
    struct state *state = PyType_GetModuleState(type);
    if (!state || !PyArg_ParseTuple(args, "OOi", &transport, &loop, &fd))
        return NULL;
    if (keywords || !PyObject_TypeCheck(loop, state->loop_type) || !PyObject_TypeCheck(transport, state->flow_control)) {
        PyErr_SetString(PyExc_TypeError, "Stream(transport, loop, descriptor)");
        return NULL;
    }
    if (!loop_check_open(as_loop(loop)))
        return NULL;
    struct stream *t = as_stream(type->tp_alloc(type, 0));
    if (!t)
        return NULL;
    t->loop = as_loop(Py_NewRef(loop));
    t->transport = Py_NewRef(transport);
    t->fd = fd;
    even_loop_adopt(t->loop->core, fd);     /* Python closes its sockets itself */
    even_op_init(&t->recv, t->loop->core, received);
    even_op_init(&t->send, t->loop->core, sent);
    t->flush.run = flush;
    if (!(t->context = PyContext_CopyCurrent()))
        Py_CLEAR(t);
    return (PyObject *)t;
}

static PyObject *set_protocol(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct stream *t = as_stream(self);
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "set_protocol(protocol, buffered)");
        return NULL;
    }
    int buffered = PyObject_IsTrue(args[1]);
    if (buffered < 0)
        return NULL;
    Py_XSETREF(t->protocol, Py_NewRef(args[0]));
    t->buffered = buffered;
    Py_RETURN_NONE;
}

/* The loop's thread is inside a wait, and another one calls, a finalizer maybe: the loop does it. */
static PyObject *not_now(PyObject *self, const char *name)
{
    PyObject *loop = (PyObject *)as_stream(self)->loop, *method = PyObject_GetAttrString(self, name);
    PyObject *handle = method ? PyObject_CallMethod(loop, "call_soon_threadsafe", "O", method) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(handle);
    return handle ? Py_NewRef(Py_None) : NULL;
}

static PyObject *begin_reading(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (as_stream(self)->loop->waiting)
        return not_now(self, "begin_reading");
    as_stream(self)->begun = true;
    if (as_stream(self)->loop->core)
        receive(as_stream(self));
    Py_RETURN_NONE;
}

/* Paused, closed, or the end of what comes. */
static PyObject *stop_reading(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct stream *t = as_stream(self);
    if (t->loop->waiting)
        return not_now(self, "stop_reading");
    if (t->loop->core)
        even_op_cancel(&t->recv);
    Py_RETURN_NONE;
}

/* The size of what could not be sent at once. */
static PyObject *flush_now(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct stream *t = as_stream(self);
    if (t->loop->core && !t->conn_lost && !t->loop->waiting)
        send_now(t);
    return PyLong_FromSize_t(t->size);
}

/* Nothing more goes out. */
static PyObject *stop_writing(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct stream *t = as_stream(self);
    if (t->loop->waiting)
        return not_now(self, "stop_writing");
    drop_output(t);
    if (!t->loop->core)
        Py_RETURN_NONE;
    even_op_cancel(&t->send);
    if (even_handle_is_queued(&t->flush)) {
        even_handle_cancel(&t->flush);
        let_go(t);
    }
    Py_RETURN_NONE;
}

/* The connection is lost: no cycle is left. */
static PyObject *forget(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_CLEAR(as_stream(self)->transport);
    Py_CLEAR(as_stream(self)->protocol);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int stream_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct stream *t = as_stream(o);
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(t->loop);
    Py_VISIT(t->transport);
    Py_VISIT(t->protocol);
    Py_VISIT(t->context);
    return 0;
}

static int stream_clear(PyObject *o)
{
    struct stream *t = as_stream(o);
    Py_CLEAR(t->transport);
    Py_CLEAR(t->protocol);
    return 0;
}

static void stream_dealloc(PyObject *o)
{
    struct stream *t = as_stream(o);
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    stream_clear(o);
    Py_CLEAR(t->context);
    Py_CLEAR(t->sending);
    drop_output(t);
    PyMem_RawFree(t->chunks);
    PyMem_RawFree(t->buffer);
    Py_XDECREF((PyObject *)t->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    { "write", stream_write, METH_O, "Send it; what one turn of the loop writes goes out as one." },
    { "buffer_size", buffer_size, METH_NOARGS, NULL },
    { "set_protocol", (PyCFunction)(void (*)(void))set_protocol, METH_FASTCALL, NULL },
    { "begin_reading", begin_reading, METH_NOARGS, NULL },
    { "stop_reading", stop_reading, METH_NOARGS, NULL },
    { "stop_writing", stop_writing, METH_NOARGS, NULL },
    { "flush_now", flush_now, METH_NOARGS, NULL },
    { "forget", forget, METH_NOARGS, NULL },
    { 0 },
};

#define FLAG(name) { #name, T_BOOL, offsetof(struct stream, name), 0, NULL }
static PyMemberDef members[] = {
    FLAG(paused), FLAG(closing), FLAG(eof), FLAG(reading_over), FLAG(tell_flushed), FLAG(sendfile),
    { "conn_lost", T_INT, offsetof(struct stream, conn_lost), 0, NULL },
    { 0 },
};

static PyType_Slot slots[] = {
    { Py_tp_new, stream_new },
    { Py_tp_dealloc, stream_dealloc },
    { Py_tp_traverse, stream_traverse },
    { Py_tp_clear, stream_clear },
    { Py_tp_methods, methods },
    { Py_tp_members, members },
    { 0, NULL },
};

PyType_Spec even__stream_spec = {
    "evenloop._core.Stream", sizeof(struct stream), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots
};

int stream_learn_slots(struct state *state)
{
    PyObject *module = PyImport_ImportModule("asyncio.transports");
    state->flow_control = module ? (PyTypeObject *)(void *)PyObject_GetAttrString(module, "_FlowControlMixin") : NULL;
    Py_XDECREF(module);
    PyObject *type = (PyObject *)(void *)state->flow_control;
    return type && slot_offset(type, "_protocol_paused", &at.paused) == 0 && slot_offset(type, "_high_water", &at.high) == 0 &&
                   slot_offset(type, "_low_water", &at.low) == 0
               ? 0
               : -1;
}
