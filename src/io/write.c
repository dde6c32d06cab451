/* Writing to a stream: what the socket takes, or all. Nothing is copied. */
#include "stream.h"
#include "../base/sys.h"

static void write_over(even_op *op)
{
    struct even__transfer *t = even__transfer_of(op);
    even__transfer_end(t, even__transfer_result(t));
}

static void write_start(even_awaitable *x)
{
    struct even__transfer *t = (struct even__transfer *)(void *)x;
    even_stream *s = t->stream;

    if (!even__transfer_begin(t))
        return;
    if (even__unlikely(t->op.args.bytes.length == 0))
        even__transfer_end(t, 0);
    else
        even_op_send(&t->op, s->fd, t->op.args.bytes.buffer, t->op.args.bytes.length, 0);
}

static const even_kind write_kind =
    EVEN__TRANSFER_KIND("even_write", struct even__transfer, write_start, even__transfer_cancel);

even_ssize_aw *even_write(even_stream *s, const void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&write_kind, -ENOMEM), -ENOMEM };
    struct even__transfer *t = even__transfer_new(&write_kind, s, write_over, __builtin_return_address(0));
    if (even__unlikely(!t))
        return &failed;
    t->op.args.bytes.buffer = (void *)(uintptr_t)buffer;
    t->op.args.bytes.length = n;
    return &t->aw;
}

/* ---- even_write_all: what the socket did not take goes with the next operation, without waking anybody ---- */

struct long_write {
    struct even__transfer t;
    const unsigned char *buffer;
    size_t length, done;
    bool canceled;
};

static void all_over(even_op *op)
{
    struct long_write *w = (struct long_write *)even__transfer_of(op);
    even_stream *s = w->t.stream;
    ssize_t result = even__transfer_result(&w->t);

    if (result > 0)
        w->done += (size_t)result;
    if (even__likely(w->done == w->length)) {
        result = (ssize_t)w->length;
    } else if (result >= 0) {
        if (!w->canceled && !s->closing) {
            even_op_send(&w->t.op, s->fd, w->buffer + w->done, w->length - w->done, 0);
            return;
        }
        result = -ECANCELED;
    }
    even__transfer_end(&w->t, result);
}

static void all_start(even_awaitable *x)
{
    struct long_write *w = (struct long_write *)(void *)x;
    even_stream *s = w->t.stream;

    if (!even__transfer_begin(&w->t))
        return;
    if (even__unlikely(w->length == 0))
        even__transfer_end(&w->t, 0);
    else
        even_op_send(&w->t.op, s->fd, w->buffer, w->length, 0);
}

static bool all_cancel(even_awaitable *x)
{
    ((struct long_write *)(void *)x)->canceled = true;
    return even__transfer_cancel(x);
}

static const even_kind all_kind = EVEN__TRANSFER_KIND("even_write_all", struct long_write, all_start, all_cancel);

even_ssize_aw *even_write_all(even_stream *s, const void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&all_kind, -ENOMEM), -ENOMEM };
    struct long_write *w = even__transfer_new(&all_kind, s, all_over, __builtin_return_address(0));
    if (even__unlikely(!w))
        return &failed;
    w->buffer = buffer;
    w->length = n;
    w->done = 0;
    w->canceled = false;
    return &w->t.aw;
}
