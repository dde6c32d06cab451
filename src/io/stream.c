/* A stream's life: made around a socket, closed once its operations are over. */
#include "stream.h"
#include "../base/sys.h"
#include <string.h>

even_stream *even__stream_new(even_loop *loop, int fd)
{
    even_stream *s = even__calloc(sizeof *s);
    if (!s)
        return NULL;
    s->loop = loop;
    s->fd = fd;
    return s;
}

void even__stream_free(even_stream *s)
{
    if (!s)
        return;
    even__free(s->buffer);
    even__free(s);
}

/* ---- closing ----
 *
 * cancel the operations -> they are over -> close the descriptor -> its handle runs -> free
 *
 * The last step is a handle's, so that it comes behind the wake-ups of those whose operations were over before: they
 * find a stream that tells them that it is being closed, not freed memory. */

void even__stream_release(even_stream *s)
{
    even_server *server = s->server;
    if (s->fd >= 0 || s->handler)
        return;
    if (server)
        even__queue_remove(&s->link);
    even__stream_free(s);
    if (server)
        even__server_lost(server);
}

static void closed(even_handle *h)
{
    even_stream *s = even__container_of(h, even_stream, close.handle);
    even_awaitable *closer = s->closer;
    s->fd = -1;
    s->closer = NULL;
    even__stream_release(s);
    if (closer) {
        even__complete(closer, 0);
        even_unref(closer);
    }
}

void even__stream_close_goes_on(even_stream *s)
{
    if (s->reader || s->writer)
        return;
    even_op_init(&s->close, s->loop, closed);
    even_op_close(&s->close, s->fd);
}

void even__stream_close(even_stream *s)
{
    s->closing = true;
    if (s->reader)
        even_op_cancel(&s->reader->op);
    if (s->writer)
        even_op_cancel(&s->writer->op);
    even__stream_close_goes_on(s);
}

struct end {
    even_int_aw aw;
    even_stream *stream;
};

static void close_start(even_awaitable *x)
{
    even_stream *s = ((struct end *)(void *)x)->stream;
    if (!s) {
        even__complete(x, 0);
    } else if (s->closing) {
        even__report("even_close: the stream was closed before");
        even__complete(x, -EBADF);
    } else {
        x->refs++;
        s->closer = x;
        even__stream_close(s);
    }
}

/* As a task that was cancelled before its first step, it has not begun: it closes all the same. */
static void close_drop(even_awaitable *x)
{
    even_stream *s = ((struct end *)(void *)x)->stream;
    if (s && x->status == -ECANCELED && !s->closing)
        even__stream_close(s);
}

static const even_kind close_kind = {
    .name = "close",
    .size = sizeof(struct end),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = close_start,
    .drop = close_drop,
};

even_int_aw *even_close(even_stream *s)
{
    static even_int_aw done = { EVEN_AWAITABLE_FAILED(&close_kind, 0), 0 };
    struct end *c = (struct end *)(void *)even__object_new(&close_kind, __builtin_return_address(0));
    if (even__unlikely(!c)) {   /* it closes without memory, too; only nobody waits for that */
        if (s && !s->closing)
            even__stream_close(s);
        return &done;
    }
    c->aw.result = 0;
    c->stream = s;
    return &c->aw;
}

/* ---- half of it ---- */

static void shutdown_start(even_awaitable *x)
{
    even_stream *s = ((struct end *)(void *)x)->stream;
    int rc;
    if (s->closing)
        rc = s->fd < 0 ? -EBADF : -ECANCELED;
    else if (s->writer)
        rc = -EBUSY;
    else
        rc = s->loop->backend->net->shutdown(s->loop, s->fd, SHUT_WR);
    even__complete(x, rc);
}

static const even_kind shutdown_kind = {
    .name = "shutdown",
    .size = sizeof(struct end),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = shutdown_start,
};

even_int_aw *even_shutdown(even_stream *s)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&shutdown_kind, -ENOMEM), -ENOMEM };
    struct end *e = (struct end *)(void *)even__object_new(&shutdown_kind, __builtin_return_address(0));
    if (even__unlikely(!e))
        return &failed;
    e->aw.result = 0;
    e->stream = s;
    return &e->aw;
}

/* ---- what it is ---- */

int even_peer_name(even_stream *s, struct sockaddr_storage *address, socklen_t *length)
{
    return s->fd < 0 ? -EBADF : s->loop->backend->net->name(s->loop, s->fd, true, address, length);
}

int even_local_name(even_stream *s, struct sockaddr_storage *address, socklen_t *length)
{
    return s->fd < 0 ? -EBADF : s->loop->backend->net->name(s->loop, s->fd, false, address, length);
}

int even_stream_fd(const even_stream *s)
{
    return s->fd;
}
