/* A stream's life: made around a socket, closed once its operations are over. */
#include "stream.h"
#include "../base/sys.h"
#include <string.h>

/* ---- its source ---- */

/* Called at once when something has come, or the end; from inside the backend, so nothing of the program's runs here. */
static void has_come(even_handle *h)
{
    even_stream *s = even__container_of(h, even_stream, source.handle);
    if (even__unlikely(s->source.over) && s->source.result < 0)
        even__stream_broken(s, s->source.result);
    if (even__unlikely(s->closing))
        even__stream_close_goes_on(s);
    else if (s->reader && even__likely(!s->loop->closing))
        even__stream_read_on(s);
    else if (s->reader)
        even__stream_end_read(s);
}

/* Not by what was the moment's, so that the next one may have better luck. */
bool even__breaks_stream(int result)
{
    switch (result) {
    case 0: case -ECANCELED: case -ENOMEM: case -ENOBUFS: case -EFAULT: case -EAGAIN: case -EVEN_EFORK:
    case -EPIPE:        /* writing is over, and reading perhaps not; this the kernel does tell again */
        return false;
    default:
        return true;
    }
}

void even__stream_broken(even_stream *s, int result)
{
    if (s->failure == 0 && even__breaks_stream(result))
        s->failure = result;
}

void even__stream_refuse(const even_stream *s, even_awaitable *x)
{
    const even_task *task = even_current_task();
    const char *who = task ? even_name_any(&task->base) : "an operation", *what = x->kind->name;
    const void *site = even__is_task(x) ? NULL : even__made_at(x);
    int rc = s->fd < 0 ? -EBADF : s->closing ? -ECANCELED : s->loop != even__thread.loop ? -EVEN_EOTHERLOOP : -EBUSY;
    char where[EVEN__SITE_MAX] = "";

    if (rc != -ECANCELED && even__report_wanted(site)) {
        if (site)
            even__site_name(site, where, sizeof where);
        if (rc == -EBADF)
            even__report("%s in %s: %s%s%s", what, who, even__stream_why_not(s), site ? "; at " : "", where);
        else if (rc == -EVEN_EOTHERLOOP)
            even__report("%s in %s: the stream (descriptor %d) belongs to another loop%s%s", what, who, s->fd,
                         site ? "; at " : "", where);
        else
            even__report("%s in %s: another task is doing the same on this stream (descriptor %d)%s%s", what, who, s->fd,
                         site ? "; at " : "", where);
    }
    even__complete(x, rc);
}

/* ---- closing ----
 *
 * end the read; cancel the write, and what the source waits for -> they are over -> close the descriptor -> its handle runs
 * -> done
 *
 * The last step is a handle's, so that it comes behind the wake-ups of those whose reads and writes were over before: they
 * find a stream that tells them that it is being closed, not freed memory. */

static void closed(even_handle *h)
{
    even_stream *s = even__container_of(h, even_stream, source.op.handle);
    s->fd = -1;
    even__complete(&s->aw.base, 0);
    if (s->server && !s->handler)
        even__server_lost(s);
    even_unref(&s->aw.base);
}

/* Where the loop is being closed, no handle runs any more. */
static void close_over(even_op *op)
{
    if (op->loop->closing)
        closed(&op->handle);
    else
        even_call_soon(op->loop, &op->handle);
}

void even__stream_close_goes_on(even_stream *s)
{
    if (s->writer || s->close_begun || even_receiver_is_active(&s->source))
        return;
    s->close_begun = true;
    even_receiver_clear(&s->source);        /* what came meanwhile, and what was lent */
    even_handle_cancel(&s->source.handle);
    even_op_init(&s->source.op, s->loop, closed);
    s->source.op.complete = close_over;
    even_op_close(&s->source.op, s->fd);
}

void even__stream_close(even_stream *s)
{
    if (!s->server)
        even_handle_cancel(&s->link);
    s->closing = true;
    s->aw.base.state = EVEN_ACTIVE;
    s->aw.base.by.loop = s->loop->number;
    even_ref_any(&s->aw.base);
    if (s->reader)
        even__stream_end_read(s);
    if (s->writer)
        even_op_cancel(&s->writer->op);
    even__source_drop_kept(&s->source);     /* a piece that was lent stays: the write may be of its bytes */
    even_receiver_stop(&s->source);
    even__stream_close_goes_on(s);
}

/* A run that ends sweeps what is inert: a stream that nobody closed, too. Its source is at rest by then. */
static void drop(even_awaitable *x)
{
    even_stream *s = (even_stream *)(void *)x;
    even__check(!even_receiver_is_active(&s->source));
    even_receiver_clear(&s->source);
    even_handle_cancel(&s->source.handle);
    even_handle_cancel(&s->link);
    if (s->fd >= 0)
        s->loop->backend->net->close(s->loop, s->fd);
}

/* The loop is being closed, and with it what nobody closed before: its tasks are gone, and whoever held it. */
static void left_open(even_handle *h)
{
    even_stream *s = even__container_of(h, even_stream, link);
    if (s->fd < 0)
        return;         /* it waits for its socket, which its operation will give back */
    if (!even__loop_is_parents(s->loop))    /* in a fork's child it is the parent's, which closes it yet */
        even__report_never_awaited(&s->aw.base);
    even__stream_close(s);
    even_unref(&s->aw.base);
}

static const even_kind kind = {
    .name = "stream",
    .size = sizeof(struct even_stream),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .borrows = 1,
    .drop = drop,
};

even_stream even__stream_placeholder = { .aw = { EVEN_AWAITABLE_FAILED(&kind, -EBADF), -EBADF }, .fd = -1, .closing = true };

even_stream *even__stream_new(even_loop *loop, int fd, const void *site)
{
    even_stream *s = (even_stream *)(void *)even__zeroed_new(&kind, site);
    if (!s)
        return NULL;
    s->aw.base.state = EVEN_INERT;
    s->aw.base.by.site = site;
    s->loop = loop;
    s->fd = fd;
    even_receiver_init(&s->source, loop, fd, has_come);
    s->source.at_once = true;
    s->link.run = left_open;
    even__queue_append(&loop->at_close, &s->link);
    return s;
}

void even__stream_discard(even_stream *s)
{
    if (s)
        even__drop_silently(&s->aw.base);
}

static even__noinline void report_closed(const even_stream *s, const char *who, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s: %s; at %s", who, even__stream_why_not(s), even__site_name(site, where, sizeof where));
}

const char *even__stream_why_not(const even_stream *s)
{
    if (s == &even__stream_placeholder)
        return "EVEN_STREAM stands for a connection's stream, in the handler of even_start_server() alone";
    return s->fd < 0 ? "the stream was closed" : "the stream is being closed";
}

static even__noinline void report_anothers(const even_stream *s, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("even_close: the stream (descriptor %d) belongs to the loop of another thread; at %s", s->fd,
                     even__site_name(site, where, sizeof where));
}

even_int_aw *even_close(even_stream *s)
{
    static even_int_aw anothers = { EVEN_AWAITABLE_FAILED(&kind, -EVEN_ETHREAD), -EVEN_ETHREAD };
    static even_int_aw nothing = { EVEN_AWAITABLE_FAILED(&kind, 0), 0 };
    static even_int_aw again = { EVEN_AWAITABLE_FAILED(&kind, -EBADF), -EBADF };
    if (!s)
        return &nothing;
    if (s->closing) {
        report_closed(s, "even_close", __builtin_return_address(0));
        return &again;
    }
    if (even__unlikely(s->loop != even__thread.loop) && !even__loop_is_mine(s->loop)) {
        report_anothers(s, __builtin_return_address(0));
        return &anothers;
    }
    even__stream_close(s);
    return &s->aw;
}

/* ---- half of it ---- */

struct end {
    even_int_aw aw;
    even_stream *stream;
};

static void shutdown_start(even_awaitable *x)
{
    even_stream *s = ((struct end *)(void *)x)->stream;
    int rc;
    if (s->closing && s->fd < 0)
        report_closed(s, "even_shutdown", even__made_at(x));
    if (s->closing)
        rc = s->fd < 0 ? -EBADF : -ECANCELED;
    else if (s->writer)
        rc = -EBUSY;
    else if (s->loop != even__thread.loop)
        rc = -EVEN_EOTHERLOOP;
    else
        rc = s->loop->backend->net->shutdown(s->loop, s->fd, SHUT_WR);
    if (rc == -ENOTCONN && s->failure < 0)
        rc = s->failure;
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
