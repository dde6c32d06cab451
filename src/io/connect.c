/* even_open_connection: a name's addresses in turn, each with a head start before the next one (RFC 8305).
 *
 * resolve -> attempt 1 -> 250 ms, or it fails -> attempt 2 beside it ... -> one succeeds: the others are cancelled ->
 * all operations are over -> done
 */
#include "resolve.h"
#include "stream.h"
#include "../base/sys.h"
#include <netinet/tcp.h>

static const int64_t HEAD_START_NS = 250 * 1000 * 1000;

struct attempt {
    even_op op;
    struct connecting *connecting;
    int fd;
    const struct addrinfo *to;
};

struct connecting {
    even_int_aw aw;
    even_stream **out;
    const char *host;
    int port;
    const void *site;
    even_stream *stream;            /* made first, so that a connection is not lost for want of memory */
    struct even__resolve resolve;
    bool resolving;
    struct attempt *attempts;       /* in the order in which they begin */
    unsigned count, next, pending;
    even_timer head_start;
    bool ending;                    /* nothing new begins */
    int error;                      /* of the first address that failed */
};

static void finish(struct connecting *c, int status)
{
    even_timer_cancel(c->stream->loop, &c->head_start);
    even_freeaddrinfo(c->resolve.list);
    even__free(c->attempts);
    if (status == 0)
        *c->out = c->stream;
    else
        even__stream_discard(c->stream);
    even__complete(&c->aw.base, status);
    even_unref(&c->aw.base);
}

static void end_attempts(struct connecting *c)
{
    c->ending = true;
    even_timer_cancel(c->stream->loop, &c->head_start);
    for (unsigned i = 0; i < c->next; i++)
        if (even_op_is_pending(&c->attempts[i].op))
            even_op_cancel(&c->attempts[i].op);
}

static void attempt_over(even_op *op);

/* Begin with the next address that there can be a socket for; without one left, and none in progress, it has failed. */
static void try_next(struct connecting *c)
{
    even_loop *loop = c->stream->loop;
    const struct even__net *net = loop->backend->net;
    while (c->next < c->count) {
        struct attempt *a = &c->attempts[c->next++];
        a->fd = net->socket(loop, a->to->ai_family, a->to->ai_socktype, a->to->ai_protocol);
        if (a->fd < 0) {
            if (c->error == 0)
                c->error = a->fd;
            continue;
        }
        (void)net->set_option(loop, a->fd, IPPROTO_TCP, TCP_NODELAY, 1);   /* without it, it is only slower */
        c->pending++;
        a->op.complete = attempt_over;
        even_op_connect(&a->op, a->fd, a->to->ai_addr, a->to->ai_addrlen);
        if (c->next < c->count)     /* without memory for the timer they go strictly in turn */
            (void)even_call_at_ns(loop, &c->head_start, loop->backend->now(loop) + HEAD_START_NS);
        return;
    }
    if (c->pending == 0)
        finish(c, c->error);
}

static void attempt_over(even_op *op)
{
    struct attempt *a = even__container_of(op, struct attempt, op);
    struct connecting *c = a->connecting;
    even_loop *loop = c->stream->loop;

    c->pending--;
    if (op->result == 0 && c->stream->fd < 0) {     /* the winner, even of a race with a cancel */
        c->stream->fd = a->fd;
        end_attempts(c);
    } else {
        loop->backend->net->close(loop, a->fd);
        if (c->error == 0)
            c->error = op->result;
    }
    if (!c->ending) {
        even_timer_cancel(loop, &c->head_start);
        try_next(c);
    } else if (c->pending == 0) {
        finish(c, c->stream->fd >= 0 ? 0 : c->error);
    }
}

static void head_start_is_over(even_handle *h)
{
    try_next(even__container_of(h, struct connecting, head_start.handle));
}

/* The first, the first of another family, the second, ... */
static void interleave(struct connecting *c)
{
    const struct addrinfo *a = c->resolve.list, *b = a;
    int family = a->ai_family;
    for (unsigned i = 0; i < c->count; i++) {
        while (a && a->ai_family != family)
            a = a->ai_next;
        while (b && b->ai_family == family)
            b = b->ai_next;
        const struct addrinfo **from = (i % 2 == 0 && a) || !b ? &a : &b;
        c->attempts[i].connecting = c;
        c->attempts[i].to = *from;
        *from = (*from)->ai_next;
    }
}

static void resolved(struct connecting *c)
{
    c->resolving = false;
    if (c->resolve.status < 0) {
        finish(c, c->resolve.status);
        return;
    }
    for (const struct addrinfo *a = c->resolve.list; a; a = a->ai_next)
        c->count++;
    c->attempts = even__calloc(c->count * sizeof *c->attempts);
    if (!c->attempts) {
        finish(c, -ENOMEM);
        return;
    }
    for (unsigned i = 0; i < c->count; i++)
        even_op_init(&c->attempts[i].op, c->stream->loop, NULL);
    interleave(c);
    try_next(c);
}

static void answered(even_handle *h)
{
    resolved(even__container_of(h, struct connecting, resolve.handle));
}

static void start(even_awaitable *x)
{
    struct connecting *c = (struct connecting *)(void *)x;
    even_loop *loop = even__thread.loop;
    if (!(c->stream = even__stream_new(loop, -1, c->site))) {
        even__complete(x, -ENOMEM);
        return;
    }
    x->refs++;
    c->head_start = (even_timer)EVEN_TIMER(head_start_is_over);
    c->resolving = true;
    if (even__resolve_port(&c->resolve, loop, c->host, c->port, false, answered))
        resolved(c);
}

static bool cancel(even_awaitable *x)
{
    struct connecting *c = (struct connecting *)(void *)x;
    if (c->resolving) {
        even__resolve_cancel(&c->resolve);
        finish(c, -ECANCELED);
        return true;
    }
    c->error = -ECANCELED;
    end_attempts(c);        /* at least one is in progress, and ends it */
    return true;
}

static const even_kind kind = {
    .name = "open_connection",
    .size = sizeof(struct connecting),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = start,
    .cancel = cancel,
};

even_int_aw *even_open_connection(even_stream **stream, const char *host, int port)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&kind, -ENOMEM), -ENOMEM };
    struct connecting *c = (struct connecting *)(void *)even__zeroed_new(&kind, __builtin_return_address(0));
    if (even__unlikely(!c))
        return &failed;
    c->site = __builtin_return_address(0);
    c->out = stream;
    c->host = host;
    c->port = port;
    return &c->aw;
}
