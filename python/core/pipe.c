/* Pipes: the transports of connect_read_pipe() and connect_write_pipe(). evenloop/_pipe.py derives from them and has the
 * rest, which is rare: beginning, closing, errors.
 *
 * A stream is read into a few bytes of the object's; what fills them is followed by a read of all that is there into memory
 * of the loop's. So a pipe that is idle keeps no large buffer, and one that is busy is read in large parts.
 * Where a read gives a message, or the end once (character devices, datagrams), one waits first and then reads once. */
#include "pipe.h"
#include "output.h"
#include "sock.h"
#include <poll.h>
#include <structmember.h>
#include <unistd.h>

enum { SMALL = 4096 };

struct reader {
    struct held held;
    struct loop *loop;          /* NULL before _open() */
    PyObject *protocol;         /* NULL once the pipe is lost */
    PyObject *pipe;             /* the Python half's */
    even_op op;
    int fd;
    bool waits_first;           /* before each read, */
    bool untouched;             /* or before the first: a named pipe that nobody has opened to write looks as if it ended */
    bool kept;                  /* a read that is over while nobody wanted it: its result, and data, are still there */
    bool reading_over;
    char begun, paused, closing;
    char buffer[SMALL];
};

struct writer {
    struct output out;
    struct loop *loop;
    PyObject *protocol, *pipe;
    even_op peer;               /* waits for the end of whoever reads */
    bool watching;
    int conn_lost;              /* writes since */
    char closing;
};

static void reader_dealloc(PyObject *o);
static void writer_dealloc(PyObject *o);

static struct reader *reader_of(PyObject *o)
{
    return part_behind(o, reader_dealloc, sizeof(struct reader));
}

static struct writer *writer_of(PyObject *o)
{
    return part_behind(o, writer_dealloc, sizeof(struct writer));
}

/* The descriptor is a pipe's now; what the core remembers of its number is another file's. But one that is watched is in
 * use already, by add_reader() for one. -1 with an exception. */
static int take_descriptor(struct loop *loop, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    int watched = number ? PyDict_Contains(loop->watches, number) : -1;
    Py_XDECREF(number);
    if (watched < 0)
        return -1;
    fd_gets_transport(loop, fd);
    if (!watched)
        even_loop_adopt(loop->core, fd);
    return 0;
}

/* _open(loop, descriptor, messages): the loop, or NULL with an exception. */
static struct loop *open_args(PyObject *self, PyObject *args, const struct loop *now, int *fd, int *messages)
{
    PyObject *loop;
    struct state *state = state_of_type(Py_TYPE(self));
    /* again: below */
    if (!state || !PyArg_ParseTuple(args, "O!ip", state->loop_type, &loop, fd, messages))
        return NULL;
    if (now) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is open already");
        return NULL;
    }
    return loop_check_here(as_loop(loop)) && take_descriptor(as_loop(loop), *fd) == 0 ? as_loop(loop) : NULL;
}

static bool is_nothing(int32_t result)
{
    return result == -ECANCELED || result == -EAGAIN || result == -EINTR;
}

/* ---- reading ---- */

static bool wants_data(const struct reader *r)
{
    return r->begun && r->protocol && !r->paused && !r->closing && !r->reading_over;
}

static void read_next(struct reader *r)
{
    if (!wants_data(r) || !r->loop->core || even_op_is_pending(&r->op) || even_handle_is_queued(&r->op.handle))
        return;
    held_keep(&r->held);
    if (r->kept)
        even_call_soon(r->loop->core, &r->op.handle);
    else if (r->waits_first || r->untouched)
        even_op_poll(&r->op, r->fd, POLLIN);
    else
        even_op_read(&r->op, r->fd, r->buffer, SMALL);
}

static void give(struct reader *r, const char *data, size_t n)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)n), *protocol = Py_NewRef(r->protocol), *none = NULL;
    PyObject *args[] = { protocol, bytes };
    if (bytes)
        (void)held_call(&r->held, r->loop->state->str_data_received, args, 2, &none);   /* again: read_next() looks */
    if (!bytes) {
        r->reading_over = true;     /* data are lost: that is the end */
        held_fatal(&r->held, "Fatal read error on pipe transport");     /* again: as above */
    } else if (!none) {
        held_callback_failed(&r->held);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(none);
    Py_DECREF(protocol);
}

/* The result of a read: an end, or nothing. */
static void ended(struct reader *r, int32_t result)
{
    if (is_nothing(result))
        return;
    r->reading_over = true;
    if (result == 0)
        held_tell(&r->held, r->loop->state->str_on_eof);        /* again: as above */
    else
        held_fatal_status(&r->held, result, "Fatal read error on pipe transport");
}

static int32_t read_now(struct reader *r, char *data, size_t n)
{
    ssize_t result = read(r->fd, data, n);
    return result < 0 ? -errno : (int32_t)result;
}

/* There is something: all of it. */
static void take_all(struct reader *r)
{
    char *data = loop_scratch(r->loop);
    int32_t n = data ? read_now(r, data, SCRATCH) : -ENOMEM;
    if (n > 0)
        give(r, data, (size_t)n);
    else
        ended(r, n);
}

/* What has come; if it fills the buffer, with what is behind it. How the latter ended, if it did, is kept. */
static void take(struct reader *r, size_t n)
{
    const char *data = r->buffer;
    char *large = n == SMALL ? loop_scratch(r->loop) : NULL;
    if (large) {
        memcpy(large, data, n);
        data = large;
        int32_t more = read_now(r, large + n, SCRATCH - n);
        if (more > 0) {
            n += (size_t)more;
        } else if (!is_nothing(more)) {
            r->op.result = more;
            r->kept = true;
        }
    }
    give(r, data, n);
}

static void read_over(even_handle *h)
{
    struct reader *r = even_container_of(h, struct reader, op.handle);
    const int32_t result = r->op.result;
    const bool polled = r->op.kind == EVEN_OP_POLL;
    if (r->loop->raised) {
        even_call_soon(r->loop->core, h);
        return;
    }
    r->kept = false;
    if (result == -EAGAIN)
        r->waits_first = true;          /* a file for which the kernel does not wait */
    if (!wants_data(r)) {
        r->kept = !polled && !is_nothing(result);
    } else if (result <= 0) {
        ended(r, result);    /* again: read_next() looks */
    } else if (polled) {
        r->untouched = false;
        take_all(r);    /* again: read_next() looks */
    } else {
        take(r, (size_t)result);    /* again: read_next() looks */
    }
    read_next(r);
    held_let_go(&r->held);
}

static void drop_reader(struct held *h)
{
    struct reader *r = even_container_of(h, struct reader, held);
    r->op.handle.next = NULL;
    r->kept = false;
}

static const struct held_kind reader_kind = { .drop = drop_reader };

static PyObject *reader_open(PyObject *self, PyObject *args)
{
    struct reader *r = reader_of(self);
    int fd, messages;
    struct loop *loop = open_args(self, args, r->loop, &fd, &messages);    /* again: next */
    if (!loop || held_set_context(&r->held, NULL) < 0)
        return NULL;
    held_init(&r->held, loop, self, &reader_kind);
    r->loop = as_loop(Py_NewRef((PyObject *)loop));
    r->fd = fd;
    r->waits_first = messages;
    r->untouched = true;
    even_op_init(&r->op, loop->core, read_over);
    Py_RETURN_NONE;
}

static PyObject *begin_reading(PyObject *self, PyObject *unused)
{
    struct reader *r = reader_of(self);
    (void)unused;
    r->begun = true;
    if (r->loop)
        read_next(r);
    Py_RETURN_NONE;
}

static void cancel_read(struct reader *r)
{
    r->held.changes++;
    if (r->loop->core)
        even_op_cancel(&r->op);
}

static PyObject *pause_reading(PyObject *self, PyObject *unused)
{
    struct reader *r = reader_of(self);
    (void)unused;
    if (r->loop && r->loop->waiting)
        return held_call_later(&r->held, "pause_reading");
    if (!r->loop || r->closing || r->paused)
        Py_RETURN_NONE;
    r->paused = true;
    cancel_read(r);             /* what comes from now on may be for somebody else who has the pipe */
    return held_log(&r->held, "pauses reading");
}

static PyObject *resume_reading(PyObject *self, PyObject *unused)
{
    struct reader *r = reader_of(self);
    (void)unused;
    if (r->loop && r->loop->waiting)
        return held_call_later(&r->held, "resume_reading");
    if (!r->loop || r->closing || !r->paused)
        Py_RETURN_NONE;
    r->paused = false;
    read_next(r);
    return held_log(&r->held, "resumes reading");
}

/* Closed. */
static PyObject *stop_reading(PyObject *self, PyObject *unused)
{
    struct reader *r = reader_of(self);
    (void)unused;
    if (!r->loop)
        Py_RETURN_NONE;
    if (r->loop->waiting)
        return held_call_later(&r->held, "_stop_reading");
    cancel_read(r);
    Py_RETURN_NONE;
}

static PyObject *is_reading(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(!reader_of(self)->closing && !reader_of(self)->paused);
}

/* ---- writing ---- */

static PyObject *writer_write(PyObject *self, PyObject *data)
{
    struct writer *w = writer_of(self);
    PyObject *chunk = output_chunk(data);    /* again: next */
    if (chunk && !w->closing && !w->out.lost && w->loop && PyBytes_GET_SIZE(chunk))
        return output_write(&w->out, chunk);
    if (!chunk)
        return NULL;
    const bool empty = PyBytes_GET_SIZE(chunk) == 0;
    Py_DECREF(chunk);
    return empty ? Py_NewRef(Py_None) : PyObject_CallMethod(self, "_write_after_loss", NULL);
}

static PyObject *get_write_buffer_size(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(output_size(&writer_of(self)->out));
}

static void watch_next(struct writer *w)
{
    if (!w->watching || !w->loop->core || even_op_is_pending(&w->peer) || even_handle_is_queued(&w->peer.handle))
        return;
    held_keep(&w->out.held);
    even_op_poll(&w->peer, w->out.fd, POLLIN);
}

static void peer_seen(even_handle *h)
{
    struct writer *w = even_container_of(h, struct writer, peer.handle);
    const int32_t result = w->peer.result;
    if (w->loop->raised) {
        even_call_soon(w->loop->core, h);
        return;
    }
    if (w->watching && !is_nothing(result)) {
        w->watching = false;
        if (result >= 0)
            held_tell(&w->out.held, w->loop->state->str_on_peer_gone);      /* again: watch_next() looks */
        else
            held_fatal_status(&w->out.held, result, "Fatal error on pipe transport");       /* again: watch_next() looks */
    }
    watch_next(w);
    held_let_go(&w->out.held);
}

static void drop_writer(struct held *h)
{
    struct writer *w = even_container_of(h, struct writer, out.held);
    output_drop(&w->out);    /* again: next */
    w->peer.handle.next = NULL;
}

static const struct held_kind writer_kind = { .drop = drop_writer };

static PyObject *writer_open(PyObject *self, PyObject *args)
{
    struct writer *w = writer_of(self);
    int fd, messages;
    struct loop *loop = open_args(self, args, w->loop, &fd, &messages);    /* again: next */
    if (!loop || held_set_context(&w->out.held, NULL) < 0)
        return NULL;
    held_init(&w->out.held, loop, self, &writer_kind);
    w->loop = as_loop(Py_NewRef((PyObject *)loop));
    output_init(&w->out, fd, false, messages);
    even_op_init(&w->peer, loop->core, peer_seen);
    Py_RETURN_NONE;
}

static PyObject *watch_peer(PyObject *self, PyObject *unused)
{
    struct writer *w = writer_of(self);
    (void)unused;
    if (!w->loop || w->closing || w->out.lost)
        Py_RETURN_NONE;
    w->watching = true;
    watch_next(w);
    Py_RETURN_NONE;
}

static PyObject *unwatch_peer(PyObject *self, PyObject *unused)
{
    struct writer *w = writer_of(self);
    (void)unused;
    if (!w->loop)
        Py_RETURN_NONE;
    if (w->loop->waiting)
        return held_call_later(&w->out.held, "_unwatch_peer");
    w->watching = false;
    if (w->loop->core)
        even_op_cancel(&w->peer);
    Py_RETURN_NONE;
}

static PyObject *flush_now(PyObject *self, PyObject *unused)
{
    (void)unused;
    return output_flush_now(&writer_of(self)->out);
}

static PyObject *send_last(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (writer_of(self)->loop)
        output_send_last(&writer_of(self)->out);
    Py_RETURN_NONE;
}

/* Nothing more goes out. */
static PyObject *stop_writing(PyObject *self, PyObject *unused)
{
    struct writer *w = writer_of(self);
    (void)unused;
    if (!w->loop)
        Py_RETURN_NONE;
    if (w->loop->waiting)
        return held_call_later(&w->out.held, "_stop_writing");
    w->out.lost = true;
    output_stop(&w->out);
    Py_RETURN_NONE;
}

/* ---- what both have ---- */

#define BOTH(kind)                                                                                                     \
    static PyObject *kind##_is_closing(PyObject *self, PyObject *unused)                                               \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return PyBool_FromLong(kind##_of(self)->closing);                                                              \
    }                                                                                                                  \
    static PyObject *kind##_get_protocol(PyObject *self, PyObject *unused)                                             \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        PyObject *protocol = kind##_of(self)->protocol;                                                                \
        return Py_NewRef(protocol ? protocol : Py_None);                                                               \
    }                                                                                                                  \
    static PyObject *kind##_set_protocol(PyObject *self, PyObject *protocol)                                           \
    {                                                                                                                  \
        Py_XSETREF(kind##_of(self)->protocol, Py_NewRef(protocol));                                                    \
        Py_RETURN_NONE;                                                                                                \
    }                                                                                                                  \
    static int kind##_clear(PyObject *o)                                                                               \
    {                                                                                                                  \
        slots_clear(o, type_with(o, kind##_dealloc)->tp_base);                                                         \
        Py_CLEAR(kind##_of(o)->protocol);                                                                              \
        Py_CLEAR(kind##_of(o)->pipe);                                                                                  \
        return 0;                                                                                                      \
    }

BOTH(reader)
BOTH(writer)

static int reader_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct reader *r = reader_of(o);
    Py_VISIT(Py_TYPE(o));
    int rc = slots_visit(o, type_with(o, reader_dealloc)->tp_base, visit, arg);
    if (rc)
        return rc;
    Py_VISIT(r->loop);
    Py_VISIT(r->held.context);
    Py_VISIT(r->protocol);
    Py_VISIT(r->pipe);
    return 0;
}

static int writer_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct writer *w = writer_of(o);
    Py_VISIT(Py_TYPE(o));
    int rc = slots_visit(o, type_with(o, writer_dealloc)->tp_base, visit, arg);
    if (rc)
        return rc;
    Py_VISIT(w->loop);
    Py_VISIT(w->out.held.context);
    Py_VISIT(w->protocol);
    Py_VISIT(w->pipe);
    return 0;
}

static void reader_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    reader_clear(o);
    Py_CLEAR(reader_of(o)->held.context);
    Py_CLEAR(reader_of(o)->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static void writer_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    writer_clear(o);
    Py_CLEAR(writer_of(o)->out.held.context);
    output_free(&writer_of(o)->out);
    Py_CLEAR(writer_of(o)->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef reader_methods[] = {
    { "is_closing", reader_is_closing, METH_NOARGS, "True once it is closed, or about to be." },
    { "is_reading", is_reading, METH_NOARGS, "True unless reading is paused, or it is closed." },
    { "pause_reading", pause_reading, METH_NOARGS, "No data_received() from now on." },
    { "resume_reading", resume_reading, METH_NOARGS, "What has come meanwhile comes first." },
    { "get_protocol", reader_get_protocol, METH_NOARGS, "The protocol; None once the pipe is lost." },
    { "set_protocol", reader_set_protocol, METH_O, "From now on another protocol's." },
    { "_open", reader_open, METH_VARARGS, NULL },
    { "_begin_reading", begin_reading, METH_NOARGS, NULL },
    { "_stop_reading", stop_reading, METH_NOARGS, NULL },
    { 0 },
};

static const PyMethodDef writer_methods[] = {
    { "write", writer_write, METH_O, "Write it; what one turn of the loop writes goes out as one." },
    { "get_write_buffer_size", get_write_buffer_size, METH_NOARGS, "How much is still to be written, in bytes." },
    { "is_closing", writer_is_closing, METH_NOARGS, "True once it is closed, or about to be." },
    { "get_protocol", writer_get_protocol, METH_NOARGS, "The protocol; None once the pipe is lost." },
    { "set_protocol", writer_set_protocol, METH_O, "From now on another protocol's." },
    { "_open", writer_open, METH_VARARGS, NULL },
    { "_watch_peer", watch_peer, METH_NOARGS, NULL },
    { "_unwatch_peer", unwatch_peer, METH_NOARGS, NULL },
    { "_stop_writing", stop_writing, METH_NOARGS, NULL },
    { "_flush_now", flush_now, METH_NOARGS, NULL },
    { "_send_last", send_last, METH_NOARGS, NULL },
    { 0 },
};

/* ---- the types ---- */

static int derive(PyObject *module, const char *name, PyTypeObject *base, size_t size, PyType_Slot *slots)
{
    PyType_Spec spec = { name, (int)(part_offset(base) + (Py_ssize_t)size), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, (PyType_Slot *)slots };
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, (PyObject *)(void *)base);
    int rc = type ? PyModule_AddType(module, (PyTypeObject *)(void *)type) : -1;
    Py_XDECREF(type);
    return rc;
}

static int reader_type_make(PyObject *module, PyObject *transports)
{
    PyTypeObject *base = (PyTypeObject *)(void *)PyObject_GetAttrString(transports, "ReadTransport");
    if (!base)
        return -1;
    const Py_ssize_t part = part_offset(base);
#define PART(name) (part + (Py_ssize_t)offsetof(struct reader, name))
    PyMemberDef members[] = {
        { "_pipe", T_OBJECT, PART(pipe), 0, NULL }, { "_protocol", T_OBJECT, PART(protocol), 0, NULL },
        { "_fileno", T_INT, PART(fd), READONLY, NULL }, { "_closing", T_BOOL, PART(closing), 0, NULL },
        { "_paused", T_BOOL, PART(paused), READONLY, NULL },
        { 0 },
    };
    PyType_Slot slots[] = {
        { Py_tp_dealloc, reader_dealloc }, { Py_tp_traverse, reader_traverse }, { Py_tp_clear, reader_clear },
        { Py_tp_methods, (void *)reader_methods }, { Py_tp_members, (void *)members },
        { 0, NULL },
    };
    int rc = derive(module, "evenloop._core.ReadPipe", base, sizeof(struct reader), slots);
#undef PART
    Py_DECREF(base);
    return rc;
}

static int writer_type_make(PyObject *module, PyObject *transports)
{
    PyTypeObject *base = (PyTypeObject *)(void *)PyObject_GetAttrString(transports, "_FlowControlMixin");
    if (!base)
        return -1;
    const Py_ssize_t part = part_offset(base);
#define PART(name) (part + (Py_ssize_t)offsetof(struct writer, name))
    PyMemberDef members[] = {
        { "_pipe", T_OBJECT, PART(pipe), 0, NULL }, { "_protocol", T_OBJECT, PART(protocol), 0, NULL },
        { "_fileno", T_INT, PART(out.fd), READONLY, NULL }, { "_closing", T_BOOL, PART(closing), 0, NULL },
        { "_conn_lost", T_INT, PART(conn_lost), 0, NULL },
        { "_tell_flushed", T_BOOL, PART(out.tell_flushed), 0, NULL },
        { 0 },
    };
    PyType_Slot slots[] = {
        { Py_tp_dealloc, writer_dealloc }, { Py_tp_traverse, writer_traverse }, { Py_tp_clear, writer_clear },
        { Py_tp_methods, (void *)writer_methods }, { Py_tp_members, (void *)members },
        { 0, NULL },
    };
    int rc = derive(module, "evenloop._core.WritePipe", base, sizeof(struct writer), slots);
#undef PART
    Py_DECREF(base);
    return rc;
}

/* After the socket transport's, which finds the slots of asyncio's flow control. */
int pipe_types_make(PyObject *module)
{
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    int rc = transports && reader_type_make(module, transports) == 0 ? writer_type_make(module, transports) : -1;
    Py_XDECREF(transports);
    return rc;
}
