/* The sending half of a transport. */
#include "output.h"
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNKS_FIRST = 4, JOINED_MAX = 64 * 1024, TRIED_MAX = 16 * 1024 };

int output_find_slots(struct state *state, PyObject *base)
{
    struct flow_layout *at = &state->flow;
    return slot_offset(base, "_protocol_paused", &at->paused) == 0 && slot_offset(base, "_high_water", &at->high) == 0 &&
                   slot_offset(base, "_low_water", &at->low) == 0 && slot_offset(base, "_extra", &at->extra) == 0
               ? 0
               : -1;
}

static const struct flow_layout *layout_of(const struct output *o)
{
    return &o->held.loop->state->flow;
}

static bool is_paused(const struct output *o)
{
    return SLOT(o->held.object, layout_of(o)->paused) == Py_True;
}

/* One of asyncio's marks: a whole number, nearly always. */
static double mark(struct output *o, Py_ssize_t where)
{
    PyObject *object = SLOT(o->held.object, where);
    /* The second makes a float of it. */
    double value = !object ? 0 : PyLong_CheckExact(object) ? PyLong_AsDouble(object) : PyFloat_AsDouble(object);
    if (value == -1.0 && PyErr_Occurred()) {
        value = PyErr_ExceptionMatches(PyExc_OverflowError) ? Py_HUGE_VAL : value;
        PyErr_Clear();
    }
    return value;
}

/* ---- chunks ---- */

static bool has_output(const struct output *o)
{
    return o->sending || o->first < o->count;
}

static void forget_chunks(struct output *o)
{
    for (size_t i = o->first; i < o->count; i++)
        Py_DECREF(o->chunks[i]);
    o->first = o->count = 0;
    o->size = 0;
}

/* Takes the reference. */
static bool queue_chunk(struct output *o, PyObject *chunk)
{
    if (o->count == o->capacity && o->first > o->capacity / 2) {
        memmove(o->chunks, o->chunks + o->first, (o->count - o->first) * sizeof *o->chunks);
        o->count -= o->first;
        o->first = 0;
    }
    if (o->count == o->capacity) {
        size_t capacity = o->capacity ? o->capacity * 2 : CHUNKS_FIRST;
        PyObject **chunks = PyMem_RawRealloc(o->chunks, capacity * sizeof *chunks);
        if (!chunks) {
            Py_DECREF(chunk);
            PyErr_NoMemory();
            return false;
        }
        o->chunks = chunks;
        o->capacity = capacity;
    }
    o->chunks[o->count++] = chunk;
    o->size += (size_t)PyBytes_GET_SIZE(chunk);
    return true;
}

/* What waits, as one, up to where copying would cost more than a second call; or the first of it alone: a large one, a
 * message, or without memory for that. */
static PyObject *take_chunks(struct output *o)
{
    size_t total = (size_t)PyBytes_GET_SIZE(o->chunks[o->first]), end = o->first + 1, where = 0;
    while (!o->apart && end < o->count && total + (size_t)PyBytes_GET_SIZE(o->chunks[end]) <= JOINED_MAX)
        total += (size_t)PyBytes_GET_SIZE(o->chunks[end++]);
    PyObject *taken = NULL;
    if (end - o->first > 1 && !(taken = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total)))
        PyErr_Clear();
    if (!taken) {
        taken = o->chunks[o->first++];
    } else {
        for (; o->first < end; o->first++) {
            PyObject *chunk = o->chunks[o->first];
            memcpy(PyBytes_AS_STRING(taken) + where, PyBytes_AS_STRING(chunk), (size_t)PyBytes_GET_SIZE(chunk));
            where += (size_t)PyBytes_GET_SIZE(chunk);
            Py_DECREF(chunk);
        }
    }
    if (o->first == o->count)
        o->first = o->count = 0;
    return taken;
}

/* ---- sending ---- */

static void went(struct output *o, size_t n)
{
    o->sent += n;
    o->size -= n;
    if (o->sending && o->sent == (size_t)PyBytes_GET_SIZE(o->sending))
        Py_CLEAR(o->sending);
}

/* May one send by oneself? Not while an operation does; what one has sent of which nobody was told yet, is counted. */
static bool is_free(struct output *o)
{
    if (even_op_is_pending(&o->op))
        return false;
    if (!even_handle_is_queued(&o->op.handle))
        return true;
    if (o->op.kind == EVEN_OP_POLL || o->op.result < 0 || o->lost)
        return false;
    went(o, (size_t)o->op.result);
    o->op.result = 0;
    return true;
}

size_t output_size(struct output *o)
{
    if (o->size)
        (void)is_free(o);
    return o->size;
}

void output_send_now(struct output *o)
{
    if (even_loop_is_parents(o->held.loop->core))
        return;                 /* what stands there a forked child does not send a second time */
    while (is_free(o) && has_output(o)) {
        if (!o->sending) {
            o->sending = take_chunks(o);
            o->sent = 0;
        }
        const char *data = PyBytes_AS_STRING(o->sending) + o->sent;
        size_t left = (size_t)PyBytes_GET_SIZE(o->sending) - o->sent;
        ssize_t n = o->socket ? send(o->fd, data, left, MSG_NOSIGNAL | MSG_DONTWAIT) : write(o->fd, data, left);
        if (n < 0)
            return;
        went(o, (size_t)n);
        if ((size_t)n < left)
            return;
    }
}

void output_send_last(struct output *o)
{
    struct loop *loop = o->held.loop;
    if (o->lost || !loop->core || loop->waiting)
        return;
    /* What a pass before this one handed over, or has yet to, is in the kernel's hands now; and over, unless it finds no room. */
    if (even_op_is_pending(&o->op) && even_running_loop() == loop->core)
        (void)even_loop_submit(loop->core);
    output_send_now(o);
}

static void sent(even_handle *h);
static void flush(even_handle *h);

void outputs_flush(struct loop *loop)
{
    /* Who has something to send has one of two handles queued, or an operation that sends. They stay queued: they tell what there
     * is to tell, in the next run. */
    for (even_handle *h = NULL; (h = even_loop_next_handle(loop->core, h));)
        if (h->run == flush)
            output_send_now(even_container_of(h, struct output, flush));
        else if (h->run == sent)
            output_send_now(even_container_of(h, struct output, op.handle));
}

static void send_next(struct output *o)
{
    if (output_is_sending(o) || !has_output(o))
        return;
    if (!o->sending) {
        o->sending = take_chunks(o);
        o->sent = 0;
    }
    held_keep(&o->held);
    const char *data = PyBytes_AS_STRING(o->sending) + o->sent;
    const size_t left = (size_t)PyBytes_GET_SIZE(o->sending) - o->sent;
    if (o->socket)
        even_op_send(&o->op, o->fd, data, left, MSG_NOSIGNAL);
    else
        even_op_write(&o->op, o->fd, data, left);
}

/* Some of it went: the protocol may go on, and whoever waits for the end of it hears. */
static void tell_sent(struct output *o)
{
    if (!o->lost && is_paused(o) && (double)o->size <= mark(o, layout_of(o)->low))
        held_tell(&o->held, o->held.loop->state->str_maybe_resume);     /* again: next */
    if (o->tell_flushed && o->size == 0 && !o->lost)
        held_tell(&o->held, o->held.loop->state->str_on_flushed);
}

static void sent(even_handle *h)
{
    struct output *o = even_container_of(h, struct output, op.handle);
    int32_t result = o->op.result;
    if (o->held.loop->raised) {
        even_call_soon(o->held.loop->core, h);
        return;
    }
    if (o->lost) {
        Py_CLEAR(o->sending);    /* only: bytes, whose end runs nothing */
    } else if (o->op.kind == EVEN_OP_POLL) {
        send_next(o);           /* a failure is told by what is tried now */
    } else if (result >= 0) {
        went(o, (size_t)result);    /* only: what the core had of it is given back */
        send_next(o);
        tell_sent(o);    /* only: what the core had of it is given back */
    } else if (result == -EAGAIN) {
        held_keep(&o->held);    /* a file for which the kernel does not wait */
        even_op_poll(&o->op, o->fd, POLLOUT);
    } else if (result == -ECANCELED || result == -EINTR) {
        send_next(o);
    } else {
        Py_CLEAR(o->sending);    /* only: bytes, whose end runs nothing */
        forget_chunks(o);
        held_fatal_status(&o->held, result, /* only: what the core has had of it is given back */
                          o->socket ? "Fatal write error on socket transport" : "Fatal write error on pipe transport");
    }
    held_let_go(&o->held);
}

static void flush(even_handle *h)
{
    struct output *o = even_container_of(h, struct output, flush);
    if (o->held.loop->raised) {
        even_call_before_wait(o->held.loop->core, h);
        return;
    }
    /* Where much is left to send, an operation that finds no room waits for it, and no call is made twice. */
    if (o->tries_first && (!o->socket || o->apart || o->size <= TRIED_MAX))
        output_send_now(o);    /* only: what the core had of it is given back */
    send_next(o);
    if (!output_is_sending(o))
        /* only: bytes, whose end runs nothing */
        tell_sent(o);           /* it went during the turn */
    held_let_go(&o->held);
}

static void flush_later(struct output *o)
{
    if (output_is_sending(o) || even_handle_is_queued(&o->flush))
        return;
    held_keep(&o->held);
    even_call_before_wait(o->held.loop->core, &o->flush);
}

void output_end_turn(struct output *o)
{
    if (!even_handle_is_queued(&o->flush))
        return;
    even_handle_cancel(&o->flush);
    flush(&o->flush);
}

/* ---- writing ---- */

PyObject *output_chunk(PyObject *data)
{
    if (PyBytes_CheckExact(data))
        return Py_NewRef(data);
    if (PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data))
        return PyBytes_FromObject(data);
    PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not '%s'", Py_TYPE(data)->tp_name);
    return NULL;
}

PyObject *output_write(struct output *o, PyObject *chunk)
{
    struct loop *loop = o->held.loop;
    if (!loop_check_here(loop)) {
        Py_DECREF(chunk);
        return NULL;
    }
    if (!queue_chunk(o, chunk))
        return NULL;
    flush_later(o);
    double high;
    /* It may be a number of a class of the program's. */
    if (call_checked(held_changes(&o->held), high = mark(o, layout_of(o)->high)) == CHANGED)
        return loop_check_open(loop) ? Py_NewRef(Py_None) : NULL;
    /* Send before we decide to pause: only a slow peer may pause the protocol. Outside a run, and in one
     * inside of another, there may be no later turn that would send. */
    if ((double)o->size > high || !even_loop_is_running(loop->core) || loop->calling ||
        (loop->nested && loop->nested_pass == even_loop_passes(loop->core)))
        output_send_now(o);    /* only: what the core had of it is given back */
    if ((double)o->size > high)
        return PyObject_CallMethodNoArgs(o->held.object, loop->state->str_maybe_pause);
    Py_RETURN_NONE;
}

PyObject *output_flush_now(struct output *o)
{
    struct loop *loop = o->held.loop;
    if (!loop || !loop->core || o->lost || loop->waiting)
        return PyBool_FromLong(o->size > 0);
    output_send_now(o);    /* only: what the core had of it is given back */
    if (o->size == 0 && !is_paused(o))
        Py_RETURN_FALSE;
    flush_later(o);
    Py_RETURN_TRUE;
}

/* ---- beginning and end ---- */

void output_init(struct output *o, int fd, bool socket, bool apart)
{
    o->fd = fd;
    o->socket = socket;
    o->apart = apart;
    /* First: many messages in a pass; or where an operation's start makes the same call, and tells a pass later. What is a
     * socket of the simulation, only operations know. */
    const unsigned properties = even_loop_properties(o->held.loop->core);
    o->tries_first = apart || properties & EVEN_LOOP_TRIES_FIRST || (!socket && !(properties & EVEN_LOOP_REAL_FILES));
    even_op_init(&o->op, o->held.loop->core, sent);
    o->flush.run = flush;
}

void output_stop(struct output *o)
{
    o->held.changes++;
    forget_chunks(o);
    if (!o->held.loop->core)
        return;
    even_op_cancel(&o->op);
    if (!output_is_sending(o))
        Py_CLEAR(o->sending);    /* only: bytes, whose end runs nothing */
    if (even_handle_is_queued(&o->flush)) {
        even_handle_cancel(&o->flush);
        held_let_go(&o->held);
    }
}

void output_drop(struct output *o)
{
    Py_CLEAR(o->sending);    /* only: bytes, whose end runs nothing */
    forget_chunks(o);
    o->flush.next = o->op.handle.next = NULL;
}

void output_free(struct output *o)
{
    Py_CLEAR(o->sending);
    forget_chunks(o);
    PyMem_RawFree(o->chunks);
}
