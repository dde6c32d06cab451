/* The inside of a stream, for the files of this folder. */
#ifndef EVEN__STREAM_H
#define EVEN__STREAM_H

#include "../await/await.h"
#include <evenloop/io.h>

/* A read or a write: its operation, and whose. It is over when the operation is, and lives at least as long. */
struct even__transfer {
    even_ssize_aw aw;
    even_op op;
    even_stream *stream;
};

/* The object is at the same time the awaitable that even_close() returns, so that closing needs no memory: inert while
 * it is open, active while it is being closed, done when it is closed. Its maker's reference goes with the await of
 * the close. */
struct even_stream {
    even_int_aw aw;
    int fd;                             /* -1: closed */
    even_loop *loop;
    struct even__transfer *reader;      /* in progress, one each way */
    struct even__transfer *writer;
    size_t begin, end, capacity;
    unsigned char *buffer;              /* what was read ahead, or given back: from begin to end */
    bool closing;                       /* since even_close(): nothing new begins */
    bool ended;                         /* a read was told the end */
    int failure;                        /* what broke the connection, or 0 */

    even_op close;
    even_server *server;                /* whose connection it is, or NULL: */
    even_awaitable *handler;            /*   the task that serves it, until that has ended */
    even_handle handler_over;
    even_handle link;                   /*   in the server's list */
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

/* ---- what was read ahead ---- */

static inline size_t even__stream_buffered(const even_stream *s)
{
    return s->end - s->begin;
}
/* Take up to n bytes. */
size_t even__stream_take(even_stream *s, void *out, size_t n);
/* Give back what was taken or read, while nothing is buffered: 0 or -ENOMEM. */
int even__stream_give_back(even_stream *s, const void *data, size_t n);
/* Make room for some more at the end: 0 or -ENOMEM. */
int even__stream_make_room(even_stream *s);

/* ---- reads and writes ---- */

/* NULL without memory. `size` is that of the kind. */
void *even__transfer_new(const even_kind *kind, even_stream *s, void (*complete)(even_op *op), const void *site);
/* The stream is closed, or busy in this direction: t ends with that. */
void even__transfer_refuse(struct even__transfer *t);

/* The reader's, or the writer's, place is taken, or x is over. */
static inline bool even__transfer_begin(struct even__transfer *t, struct even__transfer **place)
{
    if (even__unlikely(*place != NULL || t->stream->closing)) {
        even__transfer_refuse(t);
        return false;
    }
    *place = t;
    t->aw.base.refs++;      /* the operation's: whoever drops x, the kernel has it still */
    return true;
}

/* Of a result <= 0. What breaks a connection is told by the kernel once, be it to a read or to a write; then it tells reads
 * of an end, and writes -EPIPE. Here it stays what it was. */
ssize_t even__transfer_failure(struct even__transfer *t);

static inline ssize_t even__transfer_result(struct even__transfer *t)
{
    return even__likely(t->op.result > 0) ? t->op.result : even__transfer_failure(t);
}

/* The operation is over for good; what the result is. */
static inline void even__transfer_end(struct even__transfer *t, struct even__transfer **place, ssize_t result)
{
    even_stream *s = t->stream;
    *place = NULL;
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
