/* Reading from a stream: what has come, so many bytes, up to a separator, or a piece in the library's own memory.
 *
 * A read takes from the stream's source, which reads ahead. If that has enough, the read is over at once; else it waits, as the
 * stream's reader, and takes another step each time that the source has more. Nothing of a read is ever in the kernel's hands:
 * so a cancelled one is over at once, too. */
#include "stream.h"
#include "../base/sys.h"

static const ssize_t WAITS = -EAGAIN;

struct even__read {
    even_ssize_aw aw;
    even_stream *stream;
    ssize_t (*step)(struct even__read *r);      /* takes what has come: its result, or WAITS */
    bool needs_bytes;                           /* no result without any, but for an end */
};

/* ---- what all of them share ---- */

/* What the source ended with: an end, or a failure. The kernel tells what broke a connection once, be it to a read or to a
 * write, and after that an end; here it stays what it was. */
static ssize_t no_more(even_stream *s, ssize_t result)
{
    if (result == 0) {
        if (s->failure < 0 && !s->ended)
            return s->failure;
        s->ended = true;
    } else {
        even__stream_broken(s, (int)result);
    }
    return result;
}

static void end(struct even__read *r, ssize_t result)
{
    r->stream->reader = NULL;
    r->aw.result = result;
    even__complete(&r->aw.base, result < 0 ? (int)result : 0);
    even_unref(&r->aw.base);
}

void even__stream_read_on(even_stream *s)
{
    struct even__read *r = s->reader;
    ssize_t n = r->step(r);
    if (n != WAITS)
        end(r, n);
}

void even__stream_end_read(even_stream *s)
{
    end(s->reader, -ECANCELED);
}

static ssize_t first_step(struct even__read *r)
{
    even_receiver *source = &r->stream->source;
    if (even__unlikely(source->over && source->result < 0 && !even__breaks_stream(source->result)))
        even__source_forgive(source);
    return r->step(r);
}

static void start(even_awaitable *x)
{
    struct even__read *r = (struct even__read *)(void *)x;
    even_stream *s = r->stream;

    if (even__unlikely(s->reader != NULL || s->closing || s->loop != even__thread.loop)) {
        even__stream_refuse(s, x);
        return;
    }
    if (s->source.lent)
        even__source_take_back(&s->source);
    if (!r->needs_bytes || !even__source_is_dry(&s->source)) {
        ssize_t n = first_step(r);
        if (n != WAITS) {
            r->aw.result = n;
            even__complete(x, n < 0 ? (int)n : 0);
            return;
        }
        s->source.fd = s->fd;
        even_receiver_start(&s->source);
    }
    s->reader = r;
    x->refs++;      /* the stream's: whoever drops x, the stream has it still */
}

static bool cancel(even_awaitable *x)
{
    end((struct even__read *)(void *)x, -ECANCELED);
    return true;
}

static inline void *read_new(const even_kind *kind, even_stream *s, ssize_t (*step)(struct even__read *), bool needs_bytes,
                             const void *site)
{
    struct even__read *r = (struct even__read *)(void *)even__operation_new(kind, site);
    if (even__unlikely(!r))
        return NULL;
    r->aw.result = 0;
    r->stream = s;
    r->step = step;
    r->needs_bytes = needs_bytes;
    return r;
}

#define READ_KIND(kind_name, type, cancel_function)                                                                    \
    { .name = (kind_name), .size = sizeof(type), .result_size = sizeof(ssize_t), .result_class = EVEN_RESULT_LONG,     \
      .start = start, .cancel = (cancel_function) }

/* ---- even_read ---- */

struct plain {
    struct even__read read;
    void *buffer;
    size_t length;
};

static ssize_t plain_step(struct even__read *r)
{
    struct plain *p = (struct plain *)r;
    if (even__unlikely(p->length == 0))
        return 0;
    ssize_t n = even__source_read(&r->stream->source, p->buffer, p->length);
    return even__likely(n > 0 || n == WAITS) ? n : no_more(r->stream, n);
}

static const even_kind plain_kind = READ_KIND("even_read", struct plain, cancel);

even_ssize_aw *even_read(even_stream *s, void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&plain_kind, -ENOMEM), -ENOMEM };
    struct plain *p = read_new(&plain_kind, s, plain_step, n > 0, __builtin_return_address(0));
    if (even__unlikely(!p))
        return &failed;
    p->buffer = buffer;
    p->length = n > INT32_MAX ? INT32_MAX : n;
    return &p->read.aw;
}

/* ---- even_read_piece ---- */

struct piece {
    struct even__read read;
    const void **data;
};

static ssize_t piece_step(struct even__read *r)
{
    const void *data;
    ssize_t n = even__source_lend(&r->stream->source, &data);
    if (even__likely(n > 0))
        *((struct piece *)r)->data = data;
    return even__likely(n > 0 || n == WAITS) ? n : no_more(r->stream, n);
}

static const even_kind piece_kind = READ_KIND("even_read_piece", struct piece, cancel);

even_ssize_aw *even_read_piece(even_stream *s, const void **data)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&piece_kind, -ENOMEM), -ENOMEM };
    struct piece *p = read_new(&piece_kind, s, piece_step, true, __builtin_return_address(0));
    if (even__unlikely(!p))
        return &failed;
    p->data = data;
    return &p->read.aw;
}

/* ---- even_read_exactly ---- */

struct exactly {
    struct even__read read;
    unsigned char *buffer;
    size_t length, done;
};

/* What it has taken is the stream's again: `status`, or -ENOMEM. */
static ssize_t give_back(struct exactly *e, ssize_t status)
{
    const size_t done = e->done;
    e->done = 0;
    return even__source_give_back(&e->read.stream->source, e->buffer, done) < 0 ? -ENOMEM : status;
}

static ssize_t exactly_step(struct even__read *r)
{
    struct exactly *e = (struct exactly *)r;
    while (e->done < e->length) {       /* bounded: by its length, and the source says WAITS when it has had its turn */
        ssize_t n = even__source_read(&r->stream->source, e->buffer + e->done, e->length - e->done);
        if (n == WAITS)
            return WAITS;
        if (even__unlikely(n <= 0)) {
            n = no_more(r->stream, n);
            return give_back(e, n == 0 ? -EVEN_EINCOMPLETE : n);
        }
        e->done += (size_t)n;
    }
    return (ssize_t)e->length;
}

static bool exactly_cancel(even_awaitable *x)
{
    struct exactly *e = (struct exactly *)(void *)x;
    end(&e->read, give_back(e, -ECANCELED));
    return true;
}

static const even_kind exactly_kind = READ_KIND("even_read_exactly", struct exactly, exactly_cancel);

even_ssize_aw *even_read_exactly(even_stream *s, void *buffer, size_t n)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&exactly_kind, -ENOMEM), -ENOMEM };
    struct exactly *e = read_new(&exactly_kind, s, exactly_step, n > 0, __builtin_return_address(0));
    if (even__unlikely(!e))
        return &failed;
    e->buffer = buffer;
    e->length = n;
    e->done = 0;
    return &e->read.aw;
}

/* ---- even_read_until ---- */

struct until {
    struct even__read read;
    unsigned char *buffer;
    size_t length, searched;
    const void *separator;
    size_t separator_length;
};

static ssize_t until_step(struct even__read *r)
{
    struct until *u = (struct until *)r;
    even_receiver *source = &r->stream->source;
    if (even__unlikely(u->separator_length == 0))
        return -EINVAL;
    const size_t back = u->separator_length - 1;        /* it may have begun in what was searched */
    for (;;) {      /* bounded: by its length, and the source says WAITS when it has had its turn */
        ssize_t at = even__source_find(source, u->searched > back ? u->searched - back : 0, u->length, u->separator,
                                       u->separator_length, &u->searched);
        if (at >= 0)
            return even__source_read(source, u->buffer, (size_t)at + u->separator_length);
        if (u->searched == u->length)
            return -EVEN_ELIMIT;
        ssize_t n = even__source_more(source);
        if (n == WAITS)
            return WAITS;
        if (n <= 0) {
            n = no_more(r->stream, n);
            return n == 0 ? -EVEN_EINCOMPLETE : n;
        }
    }
}

static const even_kind until_kind = READ_KIND("even_read_until", struct until, cancel);

even_ssize_aw *even_read_until(even_stream *s, void *buffer, size_t capacity, const void *separator,
                               size_t separator_length)
{
    static even_ssize_aw failed = { EVEN_AWAITABLE_FAILED(&until_kind, -ENOMEM), -ENOMEM };
    struct until *u = read_new(&until_kind, s, until_step, capacity > 0 && separator_length > 0,
                               __builtin_return_address(0));
    if (even__unlikely(!u))
        return &failed;
    u->buffer = buffer;
    u->length = capacity;
    u->searched = 0;
    u->separator = separator;
    u->separator_length = separator_length;
    return &u->read.aw;
}
