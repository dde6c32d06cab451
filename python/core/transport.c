/* The socket transport: receiving, sending what one turn wrote as one, and what a protocol asks often.
 * evenloop/_transport.py derives from it and has the rest, which is rare: beginning, closing, errors, the end of the file.
 *
 * It is asyncio's flow-control class with our part behind the slots of that. A receiver stands while the protocol wants data;
 * a send, while there is some. Each holds a reference of the transport: its memory must stay until the core says that the
 * operation is over. What comes in while reading is paused is kept by the receiver. */
#include "transport.h"
#include "addresses.h"
#include "output.h"
#include "sock.h"
#include "streams.h"
#include "tls.h"
#include "watch.h"
#include <structmember.h>

enum {
    BULK = 120 * 1024,              /* malloc() would map more than 128 KiB anew each time */
    BULK_LEAST = 32 * 1024
};

struct transport {
    struct output out;                  /* going out, and what holds the object */
    struct loop *loop;                  /* NULL before _open() */
    PyObject *protocol;                 /* NULL once the connection is lost */
    PyObject *sock, *server, *empty_waiter;     /* the Python half's */
    void *addresses;                    /* `_extra` is made of them when somebody asks for it; NULL: it is there */
    even_receiver receiver;
    int fd;
    /* coming in */
    enum protocol_kind kind;
    bool receiving;                     /* the receiver holds a reference */
    bool delivering;                    /* the protocol is being called with what came */
    bool bulk, fed;                     /* the last piece was large; went into a stream's reader */
    bool patched;                       /* a method was set in the instance */
    char begun, paused, closing, eof, reading_over;
    char sendfile;                      /* is in progress: nothing may be written */
};

static void transport_dealloc(PyObject *o);

static struct transport *part_of(PyObject *o)
{
    return part_behind(o, transport_dealloc, sizeof(struct transport));
}

static void hold(struct transport *t)
{
    held_keep(&t->out.held);
}

static void let_go(struct transport *t)
{
    held_let_go(&t->out.held);
}

/* Call a.name(b) in the transport's context; NULL with an exception. */
static PyObject *call_method(struct transport *t, PyObject *name, PyObject *a, PyObject *b)
{
    PyObject *args[] = { a, b }, *result;
    (void)held_call(&t->out.held, name, args, 2, &result);
    return result;
}

/* Tell the Python half. */
static void tell(struct transport *t, PyObject *name)
{
    held_tell(&t->out.held, name);
}

/* An exception is set, the protocol's: _fatal_error(exc, message). */
static void protocol_failed(struct transport *t, const char *message)
{
    held_fatal(&t->out.held, message);
}

static void failed(struct transport *t, int status, const char *message)
{
    held_fatal_status(&t->out.held, status, message);
}

/* ---- receiving ---- */

static void receive(struct transport *t)
{
    if (!t->begun || t->paused || t->closing || t->reading_over || t->out.lost)
        return;
    if (!t->receiving) {
        t->receiving = true;
        hold(t);
    }
    even_receiver_start(&t->receiver);
}

/* The receiver's reference goes once nothing will come of it. */
static void received_last(struct transport *t)
{
    if (!t->receiving || even_receiver_is_active(&t->receiver) || even_handle_is_queued(&t->receiver.handle))
        return;
    t->receiving = false;
    let_go(t);
}

static void stop_receiving(struct transport *t)
{
    t->out.held.changes++;
    even_receiver_stop(&t->receiver);
    received_last(t);
}

static bool wants_data(const struct transport *t)
{
    return t->protocol && !t->out.lost && !t->closing && !t->paused;
}

/* Where the protocol wants what comes; false with an exception. */
static bool buffer_of(struct transport *t, Py_buffer *view)
{
    PyObject *protocol = Py_NewRef(t->protocol);
    PyObject *target = call_method(t, t->loop->state->str_get_buffer, protocol, t->loop->state->minus_one);
    int rc = target ? PyObject_GetBuffer(target, view, PyBUF_WRITABLE) : -1;
    Py_DECREF(protocol);
    Py_XDECREF(target);
    if (rc == 0 && view->len == 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        rc = -1;
    }
    if (rc < 0)
        protocol_failed(t, "Fatal error: protocol.get_buffer() call failed.");
    return rc == 0;
}

static bool buffer_updated(struct transport *t, PyObject *protocol, size_t n)
{
    PyObject *length = PyLong_FromSize_t(n);
    PyObject *none = length ? call_method(t, t->loop->state->str_buffer_updated, protocol, length) : NULL;
    Py_XDECREF(length);
    Py_XDECREF(none);
    if (!none)
        protocol_failed(t, "Fatal error: protocol.buffer_updated() call failed.");
    return none != NULL;
}

/* Into the protocol's own buffers, as many as it takes; gives how much went: less if it paused, closed, or was exchanged. */
static size_t give_buffered(struct transport *t, const char *data, size_t n)
{
    const size_t all = n;
    PyObject *const first = Py_NewRef(t->protocol);
    while (n > 0 && wants_data(t) && t->protocol == first) {
        Py_buffer view;
        enum kept kept;
        bool given;
        kept = call_checked(held_changes(&t->out.held), given = buffer_of(t, &view));
        if (!given)
            break;
        /* If it closed, it gets this piece all the same, as from asyncio; not if it is the protocol no longer. */
        if (kept == CHANGED && t->protocol != first) {
            PyBuffer_Release(&view);
            break;
        }
        size_t part = n < (size_t)view.len ? n : (size_t)view.len;
        memcpy(view.buf, data, part);
        PyBuffer_Release(&view);
        data += part;
        n -= part;
        if (!buffer_updated(t, first, part))
            break;
    }
    Py_DECREF(first);
    return all - n;
}

static inline void give_bytes(struct transport *t, PyObject *bytes)
{
    PyObject *protocol = Py_NewRef(t->protocol);
    PyObject *none = call_method(t, t->loop->state->str_data_received, protocol, bytes);
    Py_DECREF(protocol);
    if (!none)
        protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
    Py_XDECREF(none);
}

struct piece {
    PyObject *protocol;
    const char *data;
    size_t n;
};

static PyObject *feed_tls(void *data)
{
    const struct piece *p = data;
    return tls_feed(p->protocol, p->data, p->n) < 0 ? NULL : Py_NewRef(Py_None);
}

static void give_tls(struct transport *t, const char *data, size_t n)
{
    struct piece p = { Py_NewRef(t->protocol), data, n };
    PyObject *none;
    (void)held_run(&t->out.held, feed_tls, &p, &none);      /* again: received() looks */
    Py_DECREF(p.protocol);
    if (!none)
        protocol_failed(t, "Fatal error: protocol.buffer_updated() call failed.");
    Py_XDECREF(none);
}

/* To whoever is the protocol; what it does not want now is the receiver's again. */
static void give(struct transport *t, const char *data, size_t n)
{
    if (t->kind == PROTOCOL_TLS) {
        give_tls(t, data, n);    /* again: received() looks */
        return;
    }
    if (t->kind == PROTOCOL_BUFFERED) {
        even_receiver_untake(&t->receiver, n - give_buffered(t, data, n));    /* again: received() looks */
        return;
    }
    PyObject *protocol = Py_NewRef(t->protocol);
    int fed;
    enum kept kept = call_checked(held_changes(&t->out.held), fed = reader_feed(t->loop->state, protocol, data, n));
    Py_DECREF(protocol);
    if (fed < 0)
        protocol_failed(t, "Fatal error: protocol.data_received() call failed.");       /* again: received() looks */
    t->fed = fed;
    if (fed == 0 && kept == CHANGED)
        even_receiver_untake(&t->receiver, n);
    if (fed || kept == CHANGED)
        return;
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)n);
    if (bytes)
        give_bytes(t, bytes);
    else
        protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
    Py_XDECREF(bytes);
}

static ssize_t receive_piece(struct transport *t);

/* Much comes at once: it is received where the protocol gets it, without a copy. As even_receiver_take(); an error of the
 * protocol's is dealt with, and counts as nothing. */
static ssize_t receive_bulk(struct transport *t)
{
    ssize_t n;
    if (t->kind == PROTOCOL_BUFFERED) {
        Py_buffer view;
        PyObject *protocol = Py_NewRef(t->protocol);
        if (!buffer_of(t, &view)) {    /* again: received() looks */
            Py_DECREF(protocol);
            return -EAGAIN;
        }
        const bool exchanged = t->protocol != protocol;     /* as in give_buffered() */
        n = exchanged ? -EAGAIN : even_receiver_take_into(&t->receiver, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);        /* only: what was received is the protocol's that gave the buffer */
        if (n > 0)
            buffer_updated(t, protocol, (size_t)n);    /* again: received() looks */
        Py_DECREF(protocol);
        if (exchanged && wants_data(t)) {
            t->bulk = false;
            n = receive_piece(t);    /* again: received() looks */
        }
    } else {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, BULK);
        n = bytes ? even_receiver_take_into(&t->receiver, PyBytes_AS_STRING(bytes), BULK) : -ENOMEM;
        if (!bytes)
            PyErr_Clear();
        if (n > 0 && (n == BULK || _PyBytes_Resize(&bytes, n) == 0))
            give_bytes(t, bytes);
        else if (n > 0)
            protocol_failed(t, "Fatal error: protocol.data_received() call failed.");
        Py_XDECREF(bytes);
    }
    return n;
}

/* The next piece, to the protocol: as even_receiver_take(). */
static ssize_t receive_piece(struct transport *t)
{
    const void *data;
    ssize_t n;
    if (t->bulk && !t->fed && t->kind != PROTOCOL_TLS) {
        n = receive_bulk(t);    /* again: received() looks */
    } else {
        n = even_receiver_take(&t->receiver, &data);
        if (n > 0)
            give(t, data, (size_t)n);    /* again: received() looks */
    }
    if (n > 0)
        t->bulk = n >= BULK_LEAST;
    return n;
}

static void received(even_handle *h)
{
    struct transport *t = even_container_of(h, struct transport, receiver.handle);
    PyObject *self = t->out.held.object;
    if (t->loop->raised) {
        even_call_soon(t->loop->core, h);
        return;
    }
    if (t->delivering)          /* the protocol runs the loop: what came meanwhile comes once it returns */
        return;
    Py_INCREF(self);
    t->delivering = true;
    while (wants_data(t) && !t->reading_over) {      /* the end is told once */
        ssize_t n = receive_piece(t);    /* again: received() looks */
        if (t->loop->raised && (n > 0 || n == -EAGAIN)) {
            if (!even_handle_is_queued(h))      /* the rest is for the next run */
                even_call_soon(t->loop->core, h);
            break;
        }
        if (n > 0)
            continue;
        if (n == 0) {
            t->reading_over = true;
            tell(t, t->loop->state->str_on_eof);    /* again: received_last() looks */
            if (t->loop->raised && !t->closing) {   /* an exit: it is told again in the next run, as asyncio tells it */
                t->reading_over = false;
                if (!even_handle_is_queued(h))
                    even_call_soon(t->loop->core, h);
            }
        } else if (n != -EAGAIN) {
            failed(t, (int)n, "Fatal read error on socket transport");    /* again: received() looks */
        }
        break;
    }
    t->delivering = false;
    received_last(t);
    Py_DECREF(self);
}

/* The core's loop is gone. */
static void drop(struct held *h)
{
    struct transport *t = even_container_of(h, struct transport, out.held);
    output_drop(&t->out);
    t->receiver.handle.next = NULL;
    t->receiving = false;
}

static const struct held_kind kind = { .drop = drop };

/* ---- writing ---- */

PyObject *transport_write(PyObject *self, PyObject *data)
{
    struct transport *t = part_of(self);
    PyObject *chunk = output_chunk(data);    /* again: below */
    if (chunk && !t->eof && !t->sendfile && !t->out.lost && t->loop && PyBytes_GET_SIZE(chunk))
        return output_write(&t->out, chunk);
    if (!chunk)
        return NULL;
    const bool empty = PyBytes_GET_SIZE(chunk) == 0;
    Py_DECREF(chunk);
    if (t->eof || t->sendfile) {
        PyErr_SetString(PyExc_RuntimeError,
                        t->eof ? "Cannot call write() after write_eof()" : "unable to write; sendfile is in progress");
        return NULL;
    }
    return empty ? Py_NewRef(Py_None) : PyObject_CallMethod(self, "_write_after_loss", NULL);
}

void transport_end_turn(struct state *state, PyObject *o)
{
    if (PyObject_TypeCheck(o, state->transport_type))
        output_end_turn(&part_of(o)->out);
}

static PyObject *get_write_buffer_size(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(output_size(&part_of(self)->out));
}

/* ---- what protocols ask ---- */

static PyObject *is_closing(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(part_of(self)->closing);
}

static PyObject *is_reading(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(!part_of(self)->closing && !part_of(self)->paused);
}

static PyObject *get_protocol(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *protocol = part_of(self)->protocol;
    return Py_NewRef(protocol ? protocol : Py_None);
}

static PyObject *set_protocol(PyObject *self, PyObject *protocol)
{
    struct transport *t = part_of(self);
    /* only: all that is set is set together */
    int buffered = t->loop ? PyObject_IsInstance(protocol, t->loop->state->buffered_protocol) : 0;
    if (buffered < 0)
        return NULL;
    t->kind = !buffered ? PROTOCOL_PLAIN
              : PyObject_TypeCheck(protocol, t->loop->state->tls_type) ? PROTOCOL_TLS : PROTOCOL_BUFFERED;
    t->fed = false;
    t->out.held.changes++;
    Py_XSETREF(t->protocol, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

static PyObject *pause_reading(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    if (!t->loop)
        Py_RETURN_NONE;
    if (t->loop->waiting)
        return held_call_later(&t->out.held, "pause_reading");
    if (t->closing || t->paused)
        Py_RETURN_NONE;
    t->paused = true;
    if (t->loop->core)
        stop_receiving(t);
    return held_log(&t->out.held, "pauses reading");
}

static PyObject *resume_reading(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    if (!t->loop)
        Py_RETURN_NONE;
    if (t->loop->waiting)
        return held_call_later(&t->out.held, "resume_reading");
    if (t->closing || !t->paused)
        Py_RETURN_NONE;
    t->paused = false;
    t->out.held.changes++;
    if (t->loop->core)
        receive(t);
    return held_log(&t->out.held, "resumes reading");
}

/* ---- what get_extra_info() knows ---- */

static PyObject **extra_slot(PyObject *self)
{
    return &SLOT(self, state_of_type(Py_TYPE(self))->flow.extra);
}

static void forget_addresses(struct transport *t)
{
    addresses_free(t->addresses);
    t->addresses = NULL;
}

/* _keep_addresses(what accept() gave for the peer's, or None): true if the rest of `_extra` can be made later. */
static PyObject *keep_addresses(PyObject *self, PyObject *peer)
{
    struct transport *t = part_of(self);
    void *addresses = t->addresses ? NULL : addresses_of(t->fd, peer);
    if (!addresses)
        Py_RETURN_FALSE;
    t->addresses = addresses;
    Py_CLEAR(*extra_slot(self));    /* only: what is needed of it was kept */
    Py_RETURN_TRUE;
}

/* _let_go_of_socket(): it is closed. For `_extra`, as long as nobody has asked for that, it stays in its place. */
static PyObject *let_go_of_socket(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    PyObject *sock = t->sock;
    t->sock = NULL;
    if (t->addresses)
        Py_XSETREF(*extra_slot(self), sock);    /* only: there was none */
    else
        Py_XDECREF(sock);    /* only: it is not used any more */
    Py_RETURN_NONE;
}

static PyObject *get_extra(PyObject *self, void *unused);

static PyObject *make_extra(PyObject *self, struct transport *t)
{
    PyObject *kept = *extra_slot(self), *sock = kept ? kept : t->sock, *extra = NULL;
    PyObject *local = addresses_local(t->addresses), *peer = local ? addresses_peer(t->addresses) : NULL;
    if (peer)       /* again: below */
        extra = PyObject_CallMethod(self, "_make_extra", "OOO", sock ? sock : Py_None, local, peer);
    Py_XDECREF(local);
    Py_XDECREF(peer);
    if (extra && t->addresses) {
        forget_addresses(t);
        Py_XSETREF(*extra_slot(self), extra);    /* only: it returns what is there now */
    } else {
        Py_XDECREF(extra);      /* it was made, or set, meanwhile */
        if (!extra)
            return NULL;
    }
    return get_extra(self, NULL);    /* only: as above */
}

static PyObject *get_extra(PyObject *self, void *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    if (t->addresses)
        return make_extra(self, t);
    PyObject *extra = *extra_slot(self);
    if (!extra)
        PyErr_SetString(PyExc_AttributeError, "_extra");
    return Py_XNewRef(extra);
}

static int set_extra(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    forget_addresses(part_of(self));
    Py_XSETREF(*extra_slot(self), Py_XNewRef(value));    /* only: all is set */
    return 0;
}

/* The socket is the same one each time. A name that is no plain string may be equal to one. */
static bool needs_extra(PyObject *name)
{
    return !PyUnicode_CheckExact(name) || PyUnicode_CompareWithASCIIString(name, "socket") == 0;
}

/* Of what is kept as bytes: an address is made anew each time, so that a program that asks once need not hold it for good. */
static PyObject *kept_info(const struct transport *t, PyObject *name, PyObject *otherwise)
{
    if (PyUnicode_CompareWithASCIIString(name, "peername") == 0)
        return addresses_peer(t->addresses);
    if (PyUnicode_CompareWithASCIIString(name, "sockname") == 0)
        return addresses_local(t->addresses);
    return Py_NewRef(otherwise);
}

static PyObject *get_extra_info(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *name = n > 0 ? args[0] : NULL, *otherwise = n > 1 ? args[1] : NULL;
    Py_ssize_t given = n;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++, given++) {
        PyObject *key = PyTuple_GET_ITEM(names, i);
        PyObject **to = PyUnicode_CompareWithASCIIString(key, "name") == 0 ? &name
                        : PyUnicode_CompareWithASCIIString(key, "default") == 0 ? &otherwise : NULL;
        if (!to || *to)
            return PyErr_Format(PyExc_TypeError, "get_extra_info() got an unexpected argument '%U'", key);
        *to = args[n + i];
    }
    if (!name || given > 2)
        return PyErr_Format(PyExc_TypeError, "get_extra_info() takes a name, and perhaps a default");
    if (!otherwise)
        otherwise = Py_None;
    if (part_of(self)->addresses && !needs_extra(name))
        return kept_info(part_of(self), name, otherwise);
    PyObject *extra = get_extra(self, NULL), *found = NULL;
    if (extra && PyDict_CheckExact(extra)) {
        found = Py_XNewRef(PyDict_GetItemWithError(extra, name));
        if (!found && !PyErr_Occurred())
            found = Py_NewRef(otherwise);
    } else if (extra) {
        found = PyObject_CallMethod(extra, "get", "OO", name, otherwise);    /* only: it is what it returns */
    }
    Py_XDECREF(extra);
    return found;
}

/* ---- for the Python half ---- */

/* _open(loop, descriptor, context or None), once, before all else */
static PyObject *open_(PyObject *self, PyObject *args)
{
    struct transport *t = part_of(self);
    PyObject *loop, *context;
    int fd;
    struct state *state = state_of_type(Py_TYPE(self));
    /* again: below */
    if (!state || !PyArg_ParseTuple(args, "O!iO", state->loop_type, &loop, &fd, &context))
        return NULL;
    if (t->loop) {
        PyErr_SetString(PyExc_RuntimeError, "the transport is open already");
        return NULL;
    }
    /* again: its handles may be cancelled by methods of the program's */
    if (!loop_check_here(as_loop(loop)) || watch_forget(as_loop(loop), fd) < 0)
        return NULL;
    if (!loop_check_here(as_loop(loop)) || held_set_context(&t->out.held, context) < 0 ||
        fd_set_transport(as_loop(loop), fd, self) < 0)
        return NULL;
    held_init(&t->out.held, as_loop(loop), self, &kind);
    t->loop = as_loop(Py_NewRef(loop));
    t->fd = fd;
    fd_gets_transport(t->loop, fd);
    even_loop_adopt(t->loop->core, fd);     /* Python closes its sockets itself */
    even_receiver_init(&t->receiver, t->loop->core, fd, received);
    output_init(&t->out, fd, true, false);
    Py_RETURN_NONE;
}

static PyObject *begin_reading(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    t->begun = true;
    if (t->loop && t->loop->core)
        receive(t);
    Py_RETURN_NONE;
}

/* Closed. */
static PyObject *stop_reading(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    if (!t->loop)
        Py_RETURN_NONE;
    if (t->loop->waiting)
        return held_call_later(&t->out.held, "_stop_reading");
    if (t->loop->core)
        stop_receiving(t);
    Py_RETURN_NONE;
}

static PyObject *flush_now(PyObject *self, PyObject *unused)
{
    (void)unused;
    return output_flush_now(&part_of(self)->out);
}

static PyObject *send_last(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (part_of(self)->loop)
        output_send_last(&part_of(self)->out);
    Py_RETURN_NONE;
}

/* Nothing more goes out. */
static PyObject *stop_writing(PyObject *self, PyObject *unused)
{
    struct transport *t = part_of(self);
    (void)unused;
    if (!t->loop)
        Py_RETURN_NONE;
    if (t->loop->waiting)
        return held_call_later(&t->out.held, "_stop_writing");
    output_stop(&t->out);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

bool transport_is_usual(struct state *state, PyObject *o)
{
    return is_of(o, &state->transports) && !part_of(o)->patched;
}

bool transport_has(PyObject *o, const struct loop *loop, int fd)
{
    return PyObject_TypeCheck(o, loop->state->transport_type) && part_of(o)->loop == loop && part_of(o)->fd == fd;
}

bool transport_is_closing(PyObject *o)
{
    return part_of(o)->closing;
}

static int transport_setattr(PyObject *o, PyObject *name, PyObject *value)
{
    int hides = hides_method(o, name);
    if (hides < 0)
        return -1;
    part_of(o)->patched |= hides;
    return PyObject_GenericSetAttr(o, name, value);
}

/* Ours, and asyncio's slots: their own functions for these would begin with our type again. */
static int transport_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct transport *t = part_of(o);
    PyTypeObject *type = type_with(o, transport_dealloc);
    Py_VISIT(Py_TYPE(o));
    int rc = slots_visit(o, type->tp_base, visit, arg);
    if (rc)
        return rc;
    Py_VISIT(t->loop);
    Py_VISIT(t->out.held.context);
    Py_VISIT(t->protocol);
    Py_VISIT(t->sock);
    Py_VISIT(t->server);
    Py_VISIT(t->empty_waiter);
    return 0;
}

static int transport_clear(PyObject *o)
{
    struct transport *t = part_of(o);
    slots_clear(o, type_with(o, transport_dealloc)->tp_base);
    Py_CLEAR(t->protocol);
    Py_CLEAR(t->sock);
    Py_CLEAR(t->server);
    Py_CLEAR(t->empty_waiter);
    return 0;
}

static void transport_dealloc(PyObject *o)
{
    struct transport *t = part_of(o);
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    transport_clear(o);
    forget_addresses(t);
    Py_CLEAR(t->out.held.context);
    output_free(&t->out);
    if (t->loop) {
        even_receiver_clear(&t->receiver);
        fd_lose_transport(t->loop, t->fd, o);
    }
    Py_CLEAR(t->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyMethodDef methods[] = {
    { "write", transport_write, METH_O, "Send it; what one turn of the loop writes goes out as one." },
    { "get_write_buffer_size", get_write_buffer_size, METH_NOARGS, "How much is still to be sent, in bytes." },
    { "is_closing", is_closing, METH_NOARGS, "True once it is closed, or about to be." },
    { "is_reading", is_reading, METH_NOARGS, "True unless reading is paused, or it is closed." },
    { "pause_reading", pause_reading, METH_NOARGS, "No data_received() from now on." },
    { "resume_reading", resume_reading, METH_NOARGS, "What has come meanwhile comes first." },
    { "get_protocol", get_protocol, METH_NOARGS, "The protocol; None once the connection is lost." },
    { "set_protocol", set_protocol, METH_O, "From now on another protocol's." },
    { "get_extra_info", (PyCFunction)(void (*)(void))get_extra_info, METH_FASTCALL | METH_KEYWORDS,
      "get_extra_info($self, name, default=None)\n--\n\nWhat is known of the connection: socket, sockname, peername." },
    { "_keep_addresses", keep_addresses, METH_O, NULL },
    { "_let_go_of_socket", let_go_of_socket, METH_NOARGS, NULL },
    { "_open", open_, METH_VARARGS, NULL },
    { "_begin_reading", begin_reading, METH_NOARGS, NULL },
    { "_stop_reading", stop_reading, METH_NOARGS, NULL },
    { "_stop_writing", stop_writing, METH_NOARGS, NULL },
    { "_flush_now", flush_now, METH_NOARGS, NULL },
    { "_send_last", send_last, METH_NOARGS, NULL },
    { 0 },
};

static const PyGetSetDef attributes[] = {
    { "_extra", get_extra, set_extra, NULL, NULL },
    { 0 },
};

static PyTypeObject *derive(PyObject *module, PyTypeObject *base)
{
    const Py_ssize_t part = part_offset(base);
#define PART(name) (part + (Py_ssize_t)offsetof(struct transport, name))
    PyMemberDef members[] = {
        { "_sock", T_OBJECT, PART(sock), 0, NULL }, { "_server", T_OBJECT, PART(server), 0, NULL },
        { "_protocol", T_OBJECT, PART(protocol), 0, NULL }, { "_empty_waiter", T_OBJECT, PART(empty_waiter), 0, NULL },
        { "_sock_fd", T_INT, PART(fd), READONLY, NULL }, { "_conn_lost", T_INT, PART(out.lost), 0, NULL },
        { "_paused", T_BOOL, PART(paused), READONLY, NULL }, { "_closing", T_BOOL, PART(closing), 0, NULL },
        { "_eof", T_BOOL, PART(eof), 0, NULL }, { "_tell_flushed", T_BOOL, PART(out.tell_flushed), 0, NULL },
        { "_sendfile", T_BOOL, PART(sendfile), 0, NULL },
        { 0 },
    };
    PyType_Slot slots[] = {
        { Py_tp_dealloc, transport_dealloc }, { Py_tp_traverse, transport_traverse }, { Py_tp_clear, transport_clear },
        { Py_tp_methods, (void *)methods }, { Py_tp_members, (void *)members }, { Py_tp_setattro, transport_setattr },
        { Py_tp_getset, (void *)attributes },
        { 0, NULL },
    };
    PyType_Spec spec = {
        "evenloop._core.SocketTransport", (int)(part + (Py_ssize_t)sizeof(struct transport)), 0,
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, slots
    };
    return (PyTypeObject *)(void *)PyType_FromModuleAndSpec(module, &spec, (PyObject *)(void *)base);
}

int transport_type_make(PyObject *module, struct state *state)
{
    PyObject *transports = PyImport_ImportModule("asyncio.transports");
    PyObject *base = transports ? PyObject_GetAttrString(transports, "_FlowControlMixin") : NULL;
    if (base && output_find_slots(state, base) == 0)
        state->transport_type = derive(module, (PyTypeObject *)(void *)base);
    Py_XDECREF(transports);
    Py_XDECREF(base);
    return state->transport_type ? 0 : -1;
}
