/* The inside of a stream, for the files of this folder. */
#ifndef EVEN__STREAM_H
#define EVEN__STREAM_H

#include "../await/await.h"
#include "../flow/source.h"
#include <evenloop/io.h>

struct even__read;

/* A write: its operation, and whose. It is over when the operation is, and lives at least as long. */
struct even__transfer {
    even_ssize_aw aw;
    even_op op;
    even_stream *stream;
};

/* The object is at the same time the awaitable that even_close() returns, so that closing needs no memory: inert while
 * it is open, active while it is being closed, done when it is closed. Its maker's reference goes with the await of
 * the close. Its descriptor is closed by the operation of its source, which has no other use for it by then. */
struct even_stream {
    even_int_aw aw;
    int fd;                             /* -1: closed */
    int failure;                        /* what broke the connection, or 0 */
    even_loop *loop;
    even_receiver source;               /* what has come; it receives since the first read that had to wait */
    struct even__read *reader;          /* in progress, one each way */
    struct even__transfer *writer;
    bool closing;                       /* since even_close(): nothing new begins */
    bool close_begun;                   /* its descriptor's is */
    bool ended;                         /* a read was told the end */

    even_server *server;                /* whose connection it is, or NULL: */
    even_awaitable *handler;            /*   the task that serves it, until that has ended */
    even_handle handler_over;
    even_handle link;                   /*   in the server's list. Of others: in the loop's list of what is to be closed */
};

/* A stream around a connected socket, which it then owns; NULL without memory. -1: the socket comes later. `site` is
 * where it was made: a stream that a run leaves open is named by that. */
even_stream *even__stream_new(even_loop *loop, int fd, const void *site);
/* Why nothing can be done with it any more. */
const char *even__stream_why_not(const even_stream *s);
/* One that never got its socket. */
void even__stream_discard(even_stream *s);
/* Begin to close it: its operations are cancelled, its descriptor is closed when they are over. */
void even__stream_close(even_stream *s);
void even__stream_close_goes_on(even_stream *s);
/* server.c: it is closed, and has no handler. */
void even__server_lost(even_stream *s);

/* It is closed, another loop's, or busy in this direction: x, a read or a write, ends with that. */
void even__stream_refuse(const even_stream *s, even_awaitable *x);

/* Is a failure the connection's own, for good? */
bool even__breaks_stream(int result);
/* It failed with that: from now on it is what broke the connection, if it did. */
void even__stream_broken(even_stream *s, int result);

/* ---- reads ---- */

/* The source has more for the reader, or has come to its end. */
void even__stream_read_on(even_stream *s);
/* The reader ends with -ECANCELED. */
void even__stream_end_read(even_stream *s);

/* ---- writes ---- */

/* NULL without memory. `size` is that of the kind. */
void *even__transfer_new(const even_kind *kind, even_stream *s, void (*complete)(even_op *op), const void *site);
/* The writer's place is taken, or t is over. */
static inline bool even__transfer_begin(struct even__transfer *t)
{
    even_stream *s = t->stream;
    if (even__unlikely(s->writer != NULL || s->closing || s->loop != even__thread.loop)) {
        even__stream_refuse(s, &t->aw.base);
        return false;
    }
    s->writer = t;
    t->aw.base.refs++;      /* the operation's: whoever drops it, the kernel has it still */
    return true;
}

/* Of a result <= 0. What broke the connection is told by the kernel once, be it to a read or to a write; then it tells writes
 * -EPIPE. Here it stays what it was. */
ssize_t even__transfer_failure(struct even__transfer *t);

static inline ssize_t even__transfer_result(struct even__transfer *t)
{
    return even__likely(t->op.result > 0) ? t->op.result : even__transfer_failure(t);
}

/* The operation is over for good; what the result is. */
static inline void even__transfer_end(struct even__transfer *t, ssize_t result)
{
    even_stream *s = t->stream;
    s->writer = NULL;
    t->aw.result = result;
    even__complete(&t->aw.base, result < 0 ? (int)result : 0);
    if (even__unlikely(s->closing))
        even__stream_close_goes_on(s);
    even_unref(&t->aw.base);
}

bool even__transfer_cancel(even_awaitable *x);

static inline struct even__transfer *even__transfer_of(even_op *op)
{
    return even__container_of(op, struct even__transfer, op);
}

#define EVEN__TRANSFER_KIND(kind_name, type, start_function, cancel_function)                                          \
    { .name = (kind_name), .size = sizeof(type), .result_size = sizeof(ssize_t), .result_class = EVEN_RESULT_LONG,     \
      .start = (start_function), .cancel = (cancel_function) }

#endif
