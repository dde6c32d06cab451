/* Reading from a stream: what has come, so many bytes, or up to a separator. */
#include "stream.h"
#include "../base/sys.h"
#include <string.h>

/* ---- even_read ---- */

static void read_over(even_op *op)
{
    struct even__transfer *t = even__transfer_of(op);
    even__transfer_end(t, &t->stream->reader, even__transfer_result(t));
}

static void read_start(even_awaitable *x)
{
    struct even__transfer *t = (struct even__transfer *)(void *)x;
    even_stream *s = t->stream;

    if (!even__transfer_begin(t, &s->reader))
        return;
    if (even__unlikely(s->begin != s->end || t->op.args.bytes.length == 0))
        even__transfer_end(t, &s->reader, (ssize_t)even__stream_take(s, t->op.args.bytes.buffer, t->op.args.bytes.length));
    else
        even_op_recv(&t->op, s->fd, t->op.args.bytes.buffer, t->op.args.bytes.length, 0);
}

static const even_kind read_kind =
    EVEN__TRANSFER_KIND("even_read", struct even__transfer, read_start, even__transfer_cancel);

even_ssize_aw *even_read(even_stream *s, void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&read_kind, -ENOMEM), -ENOMEM };
    struct even__transfer *t = even__transfer_new(&read_kind, s, read_over, __builtin_return_address(0));
    if (even__unlikely(!t))
        return &failed;
    t->op.args.bytes.buffer = buffer;
    t->op.args.bytes.length = n;
    return &t->aw;
}

/* ---- even_read_exactly, even_read_until ---- */

struct long_read {
    struct even__transfer t;
    unsigned char *buffer;
    size_t length, done;        /* asked for; read already, or (until) searched already */
    const void *separator;
    size_t separator_length;
    bool canceled;
};

static bool long_cancel(even_awaitable *x)
{
    ((struct long_read *)(void *)x)->canceled = true;
    return even__transfer_cancel(x);
}

static struct long_read *long_new(const even_kind *kind, even_stream *s, void *buffer, size_t length,
                                  void (*over)(even_op *), const void *site)
{
    struct long_read *r = even__transfer_new(kind, s, over, site);
    if (even__unlikely(!r))
        return NULL;
    r->buffer = buffer;
    r->length = length;
    r->done = 0;
    r->separator = NULL;
    r->separator_length = 0;
    r->canceled = false;
    return r;
}

/* The operation brought n bytes, n > 0: may another one follow? */
static bool may_go_on(const struct long_read *r)
{
    return !r->canceled && !r->t.stream->closing;
}

static void exactly_more(struct long_read *r)
{
    even_op_recv(&r->t.op, r->t.stream->fd, r->buffer + r->done, r->length - r->done, 0);
}

static void exactly_over(even_op *op)
{
    struct long_read *r = (struct long_read *)even__transfer_of(op);
    even_stream *s = r->t.stream;
    ssize_t result = even__transfer_result(&r->t);

    if (result > 0)
        r->done += (size_t)result;
    if (r->done == r->length) {
        result = (ssize_t)r->length;
    } else if (result > 0 && may_go_on(r)) {
        exactly_more(r);
        return;
    } else {
        result = result > 0 ? -ECANCELED : result == 0 ? -EVEN_EINCOMPLETE : result;
        if (even__stream_give_back(s, r->buffer, r->done) < 0)
            result = -ENOMEM;
    }
    even__transfer_end(&r->t, &s->reader, result);
}

static void exactly_start(even_awaitable *x)
{
    struct long_read *r = (struct long_read *)(void *)x;
    even_stream *s = r->t.stream;

    if (!even__transfer_begin(&r->t, &s->reader))
        return;
    r->done = even__stream_take(s, r->buffer, r->length);
    if (r->done == r->length)
        even__transfer_end(&r->t, &s->reader, (ssize_t)r->length);
    else
        exactly_more(r);
}

static const even_kind exactly_kind =
    EVEN__TRANSFER_KIND("even_read_exactly", struct long_read, exactly_start, long_cancel);

even_ssize_aw *even_read_exactly(even_stream *s, void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&exactly_kind, -ENOMEM), -ENOMEM };
    struct long_read *r = long_new(&exactly_kind, s, buffer, n, exactly_over, __builtin_return_address(0));
    return r ? &r->t.aw : &failed;
}

/* How long it is, up to and with the separator, in what is buffered; 0: not there yet; -EVEN_ELIMIT. */
static ssize_t until_find(struct long_read *r)
{
    const even_stream *s = r->t.stream;
    size_t have = even__stream_buffered(s), back = r->separator_length - 1;
    if (have > r->length)
        have = r->length;
    if (have > 0) {
        const unsigned char *data = s->buffer + s->begin;
        size_t from = r->done > back ? r->done - back : 0;  /* it may have begun in what was searched */
        const unsigned char *at = memmem(data + from, have - from, r->separator, r->separator_length);
        if (at)
            return at - data + (ssize_t)r->separator_length;
    }
    r->done = have;
    return have == r->length ? -EVEN_ELIMIT : 0;
}

/* Over, with what is buffered, or one more operation. */
static void until_go_on(struct long_read *r)
{
    even_stream *s = r->t.stream;
    ssize_t result = until_find(r);

    if (result == 0 && !may_go_on(r))
        result = -ECANCELED;
    if (result == 0)
        result = even__stream_make_room(s);
    if (result == 0) {
        even_op_recv(&r->t.op, s->fd, s->buffer + s->end, s->capacity - s->end, 0);
        return;
    }
    if (result > 0)
        even__stream_take(s, r->buffer, (size_t)result);
    even__transfer_end(&r->t, &s->reader, result);
}

static void until_over(even_op *op)
{
    struct long_read *r = (struct long_read *)even__transfer_of(op);
    if (op->result > 0) {
        r->t.stream->end += (size_t)op->result;
        until_go_on(r);
    } else {
        ssize_t result = even__transfer_result(&r->t);
        even__transfer_end(&r->t, &r->t.stream->reader, result == 0 ? -EVEN_EINCOMPLETE : result);
    }
}

static void until_start(even_awaitable *x)
{
    struct long_read *r = (struct long_read *)(void *)x;
    if (!even__transfer_begin(&r->t, &r->t.stream->reader))
        return;
    if (r->separator_length == 0)
        even__transfer_end(&r->t, &r->t.stream->reader, -EINVAL);
    else
        until_go_on(r);
}

static const even_kind until_kind = EVEN__TRANSFER_KIND("even_read_until", struct long_read, until_start, long_cancel);

even_ssize_aw *even_read_until(even_stream *s, void *buffer, size_t capacity, const void *separator,
                               size_t separator_length)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&until_kind, -ENOMEM), -ENOMEM };
    struct long_read *r = long_new(&until_kind, s, buffer, capacity, until_over, __builtin_return_address(0));
    if (even__unlikely(!r))
        return &failed;
    r->separator = separator;
    r->separator_length = separator_length;
    return &r->t.aw;
}

/* ---- what was read ahead ---- */

enum { BUFFER_MIN = 4096 };

size_t even__stream_take(even_stream *s, void *out, size_t n)
{
    size_t have = even__stream_buffered(s);
    if (n > have)
        n = have;
    if (n == 0)
        return 0;
    memcpy(out, s->buffer + s->begin, n);
    s->begin += n;
    if (s->begin == s->end)
        s->begin = s->end = 0;
    return n;
}

static int grow(even_stream *s, size_t capacity)
{
    unsigned char *buffer = even__realloc(s->buffer, capacity);
    if (!buffer)
        return -ENOMEM;
    s->buffer = buffer;
    s->capacity = capacity;
    return 0;
}

int even__stream_give_back(even_stream *s, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    if (n > s->capacity && grow(s, n < BUFFER_MIN ? BUFFER_MIN : n) < 0)
        return -ENOMEM;
    memcpy(s->buffer, data, n);
    s->begin = 0;
    s->end = n;
    return 0;
}

int even__stream_make_room(even_stream *s)
{
    if (s->capacity - s->end >= BUFFER_MIN / 4)
        return 0;
    if (s->begin >= BUFFER_MIN / 4 && s->begin >= s->capacity / 2) {    /* moving is then paid for by what was taken */
        memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
        return 0;
    }
    return grow(s, s->capacity < BUFFER_MIN / 2 ? BUFFER_MIN : s->capacity * 2);
}
