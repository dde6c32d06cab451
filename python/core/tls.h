/* The TLS protocol's object, for tls.c (what comes in, and the type) and tls_write.c (what goes out). */
#ifndef EVENLOOP_PYTHON_TLS_H
#define EVENLOOP_PYTHON_TLS_H

#include "held.h"

/* Of a record: what it carries at most, what it is long at most, its header. */
enum { RECORD = 16 * 1024, RECORD_MAX = RECORD + 2048, HEADER = 5 };

enum phase { UNWRAPPED, HANDSHAKE, WRAPPED, FLUSHING, SHUTDOWN };

/* What it refers to. Attributes of asyncio's, methods looked up once they are needed, and our own. */
enum {
    LOOP, TRANSPORT, PROTOCOL, SSLOBJ, INCOMING, OUTGOING, STATE, WRITE_HIGH, WRITE_LOW, READ_HIGH, READ_LOW,
    TAKE_IN, GIVE_OUT, DECRYPT, ENCRYPT, PENDING, SEND,
    BUFFER, REFS
};

struct tls {
    PyObject_HEAD
    struct state *state;
    struct held held;
    struct loop *loop;              /* what LOOP is, if it is one of ours; else nothing is deferred */
    PyObject *ref[REFS];
    enum phase phase;               /* what STATE says */
    double mark[READ_LOW + 1];      /* the marks, as numbers */
    even_handle flush;              /* at the end of the pass */
    struct tls *next;               /* of those whose flush the end of a run makes */
    unsigned reading;               /* a chunk is being delivered, so many calls deep */
    bool encrypting;
    char is_buffered, app_reading_paused, app_writing_paused, ssl_reading_paused, ssl_writing_paused;
    /* coming in */
    unsigned char header[HEADER];
    size_t tail, body;              /* what came of the last record, that is not whole; what is missing of it */
    size_t records, ready;          /* whole ones that may not have been read yet: not less than there are; their bytes */
    bool unframed;                  /* these are no records: OpenSSL has to look */
    /* going out */
    PyObject **chunks;
    size_t count, capacity, taken;  /* `taken` of the first one */
    Py_ssize_t size;                /* of all */
};

static inline struct tls *as_tls(PyObject *o)
{
    return (struct tls *)(void *)o;
}

static inline PyObject *tls_object(struct tls *t)
{
    return (PyObject *)(void *)t;
}

/* ---- for the transport and the loop ---- */

/* Bytes came for a TLS protocol (an object of the state's tls_type): in place of its get_buffer() and buffer_updated(). The
 * caller has entered the transport's context and holds a reference of the object; the data need last for the call only. In it
 * the program's protocol is called, and the transport's write(), pause_reading(), close() and so on. -1 with an exception, as
 * if buffer_updated() had raised. */
int tls_feed(PyObject *tls_object, const char *data, size_t n);
/* A run ends: what was written is encrypted, and given to the transports, before those are flushed. */
void tls_flush_all(struct loop *loop);

/* ---- tls.c ---- */

/* One of the methods in `ref`; a new reference. */
PyObject *tls_method(struct tls *t, int which);
/* Call it with an argument, or with none: NULL. */
PyObject *tls_call(struct tls *t, int which, PyObject *argument);
/* Call a method in Python, for what is rare: 0, or -1 with an exception. */
int tls_tell(struct tls *t, const char *name);
/* An exception is set. Those of asyncio's `except Exception` end the connection, with a report: 0; -1: it is set still. */
int tls_failed(struct tls *t);
/* An exception is set: if it says only that OpenSSL wants more, it is taken. */
bool tls_wants_more(struct tls *t);

/* A view of memory that is ours only during a call: nobody may keep it. */
PyObject *tls_view(const char *data, size_t n, int flags);
/* Gives the reference up, of a view or of something else. */
void tls_end_view(PyObject *view);

/* ---- tls_write.c ---- */

PyObject *tls_write(PyObject *self, PyObject *data);
PyObject *tls_write_appdata(PyObject *self, PyObject *list);
/* What waits, as records; or only what fills one. What OpenSSL does not take now, it is offered again when something came. */
int tls_encrypt(struct tls *t, bool all);
/* The records that are made, to the transport; and the protocol hears when there are too many. */
int tls_send_records(struct tls *t);
/* Both, if it is the time for them; failures are the connection's. 0, or -1 with an exception that is not. */
int tls_write_out(struct tls *t, bool all);
/* Both, at the end of the pass, if anything waits. */
void tls_queue_flush(struct tls *t);
/* What `flush` runs. */
void tls_flush(even_handle *h);
/* The core's loop is gone. */
void tls_drop(struct held *h);
/* What waits does not go out; nor is there a flush queued any more. */
void tls_drop_output(struct tls *t);

#endif
