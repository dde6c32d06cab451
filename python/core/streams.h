/* evenloop's streams: StreamReader, StreamWriter and their protocol. What is frequent is C, and only as long as everything is
 * usual: an instance or a class that somebody patched, a subclass, an end, a limit, an error are asyncio's own methods', which
 * find all they look at in our objects. So what is rare is asyncio's to the letter, of the version that runs. */
#ifndef EVENLOOP_PYTHON_STREAMS_H
#define EVENLOOP_PYTHON_STREAMS_H

#include "state.h"

/* How each of them begins. */
struct part {
    PyObject_HEAD
    struct state *state;
    bool patched;               /* a method was set in the instance */
};

struct reader {
    struct part part;
    /* asyncio's attributes: NULL as long as nobody has set them */
    PyObject *loop, *limit_object, *waiter, *exception, *transport;
    Py_ssize_t limit;           /* -1: not a number that we take */
    bool eof, paused;
    PyObject *lent;             /* the data as a bytearray, while somebody may hold it; then there is none in here */
    char *data;
    size_t begin, end, capacity;
};

struct writer {
    struct part part;
    PyObject *transport, *protocol, *reader, *loop;
};

struct protocol {
    struct part part;
    PyObject *reader_ref, *paused, *connection_lost;
};

/* What a call of a method gives: in the order of state.stream_calls. */
enum call_kind { CALL_READ, CALL_READLINE, CALL_READUNTIL, CALL_READEXACTLY, CALL_NEXT, CALL_DRAIN };

static inline struct part *as_part(PyObject *o)
{
    return (struct part *)(void *)o;
}

static inline struct reader *as_reader(PyObject *o)
{
    return (struct reader *)(void *)o;
}

static inline struct writer *as_writer(PyObject *o)
{
    return (struct writer *)(void *)o;
}

static inline struct protocol *as_protocol(PyObject *o)
{
    return (struct protocol *)(void *)o;
}

/* ---- reader.c ---- */

int streams_learn(struct state *state);
/* _stream_classes(reader, writer, protocol, transport): each (class, {name: attribute}), made in evenloop/_streams.py. */
PyObject *stream_classes(PyObject *module, PyObject *classes);
/* What came, into the reader of the protocol, if that is an unmodified StreamReaderProtocol with an unmodified StreamReader,
 * asyncio's or ours: as its data_received() would do it, without bytes and without a frame. The transport must be one whose
 * pause_reading() may be called from here.
 * 1: done; 0: it is something else, call data_received(); -1: an exception, as that would raise it. */
int reader_feed(struct state *state, PyObject *protocol, const char *data, size_t n);


/* Of the class itself, and neither it nor the class is patched. */
static inline bool is_usual(PyObject *o, struct known *known)
{
    return !as_part(o)->patched && is_of(o, known);
}

PyObject *part_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
/* tp_setattro of all: takes note of methods that are set in an instance. */
int part_setattr(PyObject *o, PyObject *name, PyObject *value);
/* Wake whoever waits, if it was not cancelled. */
int waiter_wake(struct state *state, PyObject *waiter);

/* ---- stream_reader.c ---- */

/* Is all as usual, and the data in here? */
bool reader_is_usual(struct reader *r);
/* As feed_data(). */
int reader_extend(struct reader *r, const char *data, size_t n);
/* The first `n` bytes of it, which are there; resumes a transport that was paused. */
PyObject *reader_take(struct reader *r, size_t n);

static inline size_t reader_size(const struct reader *r)
{
    return r->end - r->begin;
}

/* ---- stream_call.c ---- */

/* An awaitable; nothing is done before it is awaited. `argument`, of the call that it stands for, or NULL. */
PyObject *call_new(PyObject *self, enum call_kind kind, PyObject *argument);

int spare_calls_traverse(struct state *state, visitproc visit, void *arg);
void spare_calls_drop(struct state *state);


#endif
