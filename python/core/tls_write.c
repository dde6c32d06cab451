/* What a TLS protocol's program writes. What one turn writes is joined into records: while a chunk is being delivered, the turn
 * is over when the protocol returns; else at the end of the pass. Full records do not wait, nor does what exceeds a mark, so that
 * nobody pauses, or does not, because of it. */
#include "tls.h"
#include "transport.h"

enum { CHUNKS_FIRST = 4 };

/* ---- the deferred flush ---- */

static bool is_queued(struct tls *t)
{
    return even_handle_is_queued(&t->flush);
}

void tls_queue_flush(struct tls *t)
{
    if (t->count == 0 || is_queued(t) || !t->loop || !t->loop->core)
        return;
    held_keep(&t->held);
    even_call_before_wait(t->loop->core, &t->flush);
}

/* ---- going out ---- */

static void drop_chunks(struct tls *t)
{
    while (t->count)
        Py_DECREF(t->chunks[--t->count]);
    t->taken = 0;
    t->size = 0;
}

void tls_drop_output(struct tls *t)
{
    drop_chunks(t);
    if (is_queued(t) && t->loop->core && !t->loop->waiting) {
        even_handle_cancel(&t->flush);
        held_let_go(&t->held);
    }
}

static size_t left_of(struct tls *t, size_t i)
{
    return (size_t)PyBytes_GET_SIZE(t->chunks[i]) - (i == 0 ? t->taken : 0);
}

/* The first chunk, joined with short ones after it if it does not fill a record. */
static PyObject *first_chunk(struct tls *t)
{
    size_t total = left_of(t, 0), n = 1;
    while (n < t->count && total < RECORD && left_of(t, n) < RECORD)
        total += left_of(t, n++);
    if (n > 1) {
        PyObject *joined = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
        if (!joined)
            return NULL;
        char *to = PyBytes_AS_STRING(joined);
        for (size_t i = 0; i < n; i++) {
            const size_t part = left_of(t, i);
            memcpy(to, PyBytes_AS_STRING(t->chunks[i]) + PyBytes_GET_SIZE(t->chunks[i]) - part, part);
            to += part;
        }
        for (size_t i = 0; i < n; i++)
            Py_DECREF(t->chunks[i]);
        t->taken = 0;
        t->chunks[0] = joined;
        memmove(t->chunks + 1, t->chunks + n, (t->count - n) * sizeof *t->chunks);
        t->count -= n - 1;
    }
    return Py_NewRef(t->chunks[0]);
}

/* Give OpenSSL some of a chunk: how much it took, or -1 with an exception. It makes as many records as that needs. */
static Py_ssize_t encrypt_some(struct tls *t, PyObject *chunk, bool all)
{
    size_t left = (size_t)PyBytes_GET_SIZE(chunk) - t->taken;
    if (!all && left > RECORD)
        left -= left % RECORD;
    const bool whole = left == (size_t)PyBytes_GET_SIZE(chunk);
    PyObject *data = whole ? Py_NewRef(chunk) : tls_view(PyBytes_AS_STRING(chunk) + t->taken, left, PyBUF_READ);
    PyObject *result = data ? tls_call(t, ENCRYPT, data) : NULL;
    if (data)
        tls_end_view(data);
    Py_ssize_t n = result ? PyLong_AsSsize_t(result) : -1;
    Py_XDECREF(result);
    if (n >= 0 && (n == 0 || (size_t)n > left)) {
        PyErr_Format(PyExc_RuntimeError, "write() of the SSL object gave %zd", n);
        return -1;
    }
    return n;
}

/* What waits, as records; or only what fills one. What OpenSSL does not take now, it is offered again when something came. */
int tls_encrypt(struct tls *t, bool all)
{
    int rc = 0;
    if (t->encrypting)          /* further out it goes on until nothing is left */
        return 0;
    t->encrypting = true;
    while (rc == 0 && t->count && (all || t->size >= RECORD)) {
        PyObject *chunk = first_chunk(t);
        Py_ssize_t n = chunk ? encrypt_some(t, chunk, all) : -1;    /* again: what comes next looks */
        if (n < 0) {
            rc = chunk && tls_wants_more(t) ? 1 : -1;       /* again: the loop looks at what is left */
        } else if (t->count && t->chunks[0] == chunk) {  /* it may have been lost meanwhile */
            t->taken += (size_t)n;
            t->size -= n;
            if (t->taken == (size_t)PyBytes_GET_SIZE(chunk)) {
                Py_DECREF(t->chunks[0]);
                memmove(t->chunks, t->chunks + 1, --t->count * sizeof *t->chunks);
                t->taken = 0;
            }
        }
        Py_XDECREF(chunk);
    }
    t->encrypting = false;
    return rc < 0 ? -1 : 0;
}

/* The records that are made, to the transport; and the protocol hears when there are too many. */
int tls_send_records(struct tls *t)
{
    if (!t->ssl_writing_paused && t->ref[OUTGOING]) {
        PyObject *records = tls_call(t, GIVE_OUT, NULL), *none = records;       /* again: next */
        Py_ssize_t n = records ? PyObject_Length(records) : -1;     /* again: next */
        if (n > 0 && t->ref[TRANSPORT] && t->ref[TRANSPORT] != Py_None) {
            none = tls_call(t, SEND, records);      /* again: the flags are read anew */
            Py_DECREF(records);
        }
        Py_XDECREF(none);
        if (n < 0 || !none)
            return -1;
    }
    const double size = (double)t->size;
    if (t->ssl_writing_paused || (t->app_writing_paused ? size <= t->mark[WRITE_LOW] : size >= t->mark[WRITE_HIGH]))
        return tls_tell(t, "_control_app_writing");
    return 0;
}

/* Whether it did or not, what was written is dealt with: 0, or -1 with an exception that is not the connection's. */
int tls_write_out(struct tls *t, bool all)
{
    if (t->count == 0 || (t->phase != WRAPPED && t->phase != FLUSHING))
        return 0;
    if (tls_encrypt(t, all) == 0 && tls_send_records(t) == 0)  /* only: what waits is dropped, if anything does */
        return 0;
    drop_chunks(t);
    return tls_failed(t);
}

static PyObject *write_all(void *data)
{
    return tls_write_out(data, true) < 0 ? NULL : Py_NewRef(Py_None);
}

static void write_out_later(struct tls *t)
{
    PyObject *none;
    (void)held_run(&t->held, write_all, t, &none);      /* only: the caller holds it, and it the loop */
    if (!none && !loop_takes_exception(t->loop))
        PyErr_WriteUnraisable(tls_object(t));
    Py_XDECREF(none);
}

void tls_flush(even_handle *h)
{
    struct tls *t = even_container_of(h, struct tls, flush);
    if (t->loop->raised) {
        even_call_before_wait(t->loop->core, h);
        return;
    }
    write_out_later(t);    /* again: next */
    /* Then its socket, whose end of the turn would be that of the next one. */
    PyObject *transport = Py_XNewRef(t->ref[TRANSPORT]);
    if (transport && t->loop->core)
        transport_end_turn(t->state, transport);        /* only: what the core had of it is given back */
    held_let_go(&t->held);
    Py_XDECREF(transport);
}

void tls_flush_all(struct loop *loop)
{
    struct tls *first = NULL, **last = &first;
    even_handle *next;
    for (even_handle *h = even_loop_next_handle(loop->core, NULL); h; h = next) {
        next = even_loop_next_handle(loop->core, h);
        if (h->run != tls_flush)
            continue;
        struct tls *t = even_container_of(h, struct tls, flush);
        even_handle_cancel(h);
        Py_INCREF(tls_object(t));       /* one of our own: what is called closes the loop, maybe, which lets all go */
        held_let_go(&t->held);
        t->next = NULL;
        *last = t;
        last = &t->next;
    }
    while (first) {
        struct tls *t = first;
        first = t->next;
        if (loop->core)
            write_out_later(t);     /* again: the loop is looked at each time. What it writes is the next run's */
        Py_DECREF(tls_object(t));
    }
}

void tls_drop(struct held *h)
{
    even_container_of(h, struct tls, held)->flush.next = NULL;
}

/* Later it is encrypted: what may change until then is copied. NULL with an exception; what is no data has one of asyncio's. */
static PyObject *chunk_of(PyObject *data)
{
    if (PyBytes_CheckExact(data))
        return Py_NewRef(data);
    if (PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data))
        return PyBytes_FromObject(data);
    PyErr_Format(PyExc_TypeError, "data: expecting a bytes-like instance, got %s", Py_TYPE(data)->tp_name);
    return NULL;
}

/* Takes the reference. */
static bool queue_chunk(struct tls *t, PyObject *chunk)
{
    if (PyBytes_GET_SIZE(chunk) == 0) {
        Py_DECREF(chunk);
        return true;
    }
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
    t->size += PyBytes_GET_SIZE(chunk);
    return true;
}

/* May it be written, now? 0: no, and that is said; -1 with an exception. */
static int may_write(struct tls *t)
{
    if (t->loop && t->loop->waiting) {
        PyErr_SetString(PyExc_RuntimeError, "the loop waits in another thread: use call_soon_threadsafe()");
        return -1;
    }
    if (t->phase == HANDSHAKE || t->phase == WRAPPED)
        return 1;
    return tls_tell(t, "_write_after_close");
}

/* Chunks were queued: at the end of the turn they go out, or now if there is reason to. Before the end of the handshake they
 * wait for that. */
static PyObject *wrote(struct tls *t)
{
    if (t->phase != WRAPPED || t->count == 0)
        Py_RETURN_NONE;
    const bool all = (double)t->size >= t->mark[WRITE_HIGH] || t->ssl_writing_paused || t->app_writing_paused ||
                     (!t->reading && !(t->loop && t->loop->core));
    if ((all || t->size >= RECORD) && tls_write_out(t, all) < 0)       /* again: tls_queue_flush() looks */
        return NULL;
    if (!t->reading)
        tls_queue_flush(t);
    Py_RETURN_NONE;
}

PyObject *tls_write(PyObject *self, PyObject *data)
{
    struct tls *t = as_tls(self);
    PyObject *chunk = chunk_of(data);    /* again: what comes next looks */
    int may = !chunk ? -1 : PyBytes_GET_SIZE(chunk) ? may_write(t) : 0;    /* again: what comes next looks */
    if (may > 0)
        return queue_chunk(t, chunk) ? wrote(t) : NULL;
    Py_XDECREF(chunk);
    return may == 0 ? Py_NewRef(Py_None) : NULL;
}

PyObject *tls_write_appdata(PyObject *self, PyObject *list)
{
    struct tls *t = as_tls(self);
    int may = may_write(t);    /* again: what comes next looks */
    if (may <= 0)
        return may == 0 ? Py_NewRef(Py_None) : NULL;
    PyObject *iterator = PyObject_GetIter(list), *data;     /* again: below */
    bool ok = iterator != NULL;
    while (ok && (data = PyIter_Next(iterator))) {          /* again: below */
        PyObject *chunk = chunk_of(data);    /* again: what comes next looks */
        Py_DECREF(data);
        const bool open = t->phase == HANDSHAKE || t->phase == WRAPPED;     /* the iterator may have closed it */
        ok = chunk && open && queue_chunk(t, chunk);
        if (!open)
            Py_XDECREF(chunk);
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred()) {     /* what came before it was written */
        PyObject *raised = PyErr_GetRaisedException(), *none = wrote(t);    /* again: what comes next looks */
        if (!none)
            PyErr_WriteUnraisable(self);        /* only: nothing of it */
        Py_XDECREF(none);
        PyErr_SetRaisedException(raised);
        return NULL;
    }
    return wrote(t);
}

