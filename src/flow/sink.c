/* Sinks: chunks that wait, what is being sent, and the end of the stream behind it. */
#include "sink.h"
#include "../base/sys.h"
#include <string.h>

enum {
    JOINED_MAX = 64 * 1024,     /* what is joined to one: beyond that, copying costs more than another call */
    REST_MAX = 4096             /* what is left of one that was sent in part, and may be copied for the sake of little more */
};

/* ---- chunks ---- */

struct copy {
    struct even__chunk chunk;
    char data[];
};

static void copy_release(struct even__chunk *c)
{
    even__free(c);
}

static struct copy *copy_new(size_t n)
{
    struct copy *c = even__malloc(sizeof *c + n);
    if (c)
        c->chunk = (struct even__chunk){ NULL, copy_release, c->data, n };
    return c;
}

static void drop_first(struct even__sink *s)
{
    struct even__chunk *c = s->first;
    s->first = c->next;
    s->done = 0;
    c->release(c);
}

static void drop_all(struct even__sink *s)
{
    while (s->first)
        drop_first(s);
    s->size = 0;
}

/* Make one of the chunks that follow each other and are small enough. A large one is sent by itself, and so is each without
 * memory for that; and what is left of one, unless as much comes behind it: where little goes at a time, all the rest would be
 * copied with each send. */
static void join(struct even__sink *s)
{
    const size_t rest = s->first->length - s->done;
    const bool large = s->done > 0 && rest > REST_MAX;
    size_t total = rest, chunks = 1;
    if (large && s->size < 2 * rest)
        return;
    for (const struct even__chunk *c = s->first->next; c && total + c->length <= JOINED_MAX; c = c->next, chunks++)
        total += c->length;
    struct copy *joined = chunks > 1 && (!large || total >= 2 * rest) ? copy_new(total) : NULL;
    if (!joined)
        return;
    size_t at = 0;
    for (; chunks > 0; chunks--) {
        const size_t n = s->first->length - s->done;
        memcpy(joined->data + at, (const char *)s->first->data + s->done, n);
        at += n;
        drop_first(s);
    }
    joined->chunk.next = s->first;
    if (!s->first)
        s->last = &joined->chunk;
    s->first = &joined->chunk;
}

/* ---- sending ---- */

static void tell(struct even__sink *s)
{
    if (s->at_once)
        s->handle.run(&s->handle);
    else if (!s->handle.next)
        even__call_soon(s->loop, &s->handle);
}

static void fail(struct even__sink *s, int32_t result)
{
    s->failure = result;
    drop_all(s);
}

/* Something for its end to do? True if it failed at that. */
static bool send_next(struct even__sink *s)
{
    if (s->working || s->stopped || s->failure < 0)
        return false;
    if (s->first) {
        if (s->first->next)
            join(s);
        s->working = true;
        s->end->put(s, (const char *)s->first->data + s->done, s->first->length - s->done);
    } else if (s->ending && !s->ended) {
        s->ended = true;
        int rc = s->end->shutdown(s);
        if (rc < 0)
            fail(s, rc);
    }
    return s->failure < 0;
}

void even__sink_went(struct even__sink *s, int32_t result)
{
    even__check(s->working && s->first);
    s->working = false;
    if (result > 0) {
        s->done += (size_t)result;
        s->size -= (size_t)result;
        if (s->done == s->first->length)
            drop_first(s);
    } else if (result != -EINTR && !(result == -ECANCELED && (s->stopped || s->loop->closing))) {
        fail(s, result < 0 ? result : -EPIPE);      /* an end that takes nothing, and says no why, is none */
    }
    if (even__unlikely(s->loop->closing))
        s->stopped = true;
    if (even__unlikely(s->stopped)) {
        drop_all(s);
        tell(s);
        return;
    }
    send_next(s);
    if (s->failure < 0 || s->size == 0 || (s->full && s->size <= s->low)) {
        s->full = false;
        tell(s);
    }
}

static void flush(even_handle *h)
{
    struct even__sink *s = even__container_of(h, struct even__sink, flush);
    if (send_next(s))
        tell(s);
}

static void flush_soon(struct even__sink *s)
{
    if (!s->working && !s->flush.next)
        even__queue_append(&s->loop->flushing, &s->flush);
}

/* ---- the owner's side ---- */

void even__sink_init(struct even__sink *s, even_loop *loop, const struct even__end *end, void (*run)(even_handle *))
{
    memset(s, 0, sizeof *s);
    s->handle.run = run;
    s->flush.run = flush;
    s->loop = loop;
    s->end = end;
    s->fd = -1;
    s->high = EVEN__SINK_HIGH;
    s->low = EVEN__SINK_LOW;
}

int even__sink_put(struct even__sink *s, struct even__chunk *c)
{
    if (even__unlikely(s->failure < 0 || s->ending || s->stopped))
        return s->failure < 0 ? s->failure : -EPIPE;
    if (even__unlikely(c->length == 0)) {
        c->release(c);
        return 0;
    }
    c->next = NULL;
    if (s->first)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
    s->size += c->length;
    s->full |= s->size > s->high;
    flush_soon(s);
    return 0;
}

int even__sink_put_copy(struct even__sink *s, const void *data, size_t n)
{
    struct copy *c = copy_new(n);
    if (!c)
        return -ENOMEM;
    memcpy(c->data, data, n);
    int rc = even__sink_put(s, &c->chunk);
    if (rc < 0)
        even__free(c);
    return rc;
}

void even__sink_end(struct even__sink *s)
{
    if (s->ending || s->stopped || s->failure < 0)
        return;
    s->ending = true;
    flush_soon(s);
}

void even__sink_stop(struct even__sink *s)
{
    if (s->stopped)
        return;
    s->stopped = true;
    even_handle_cancel(&s->flush);
    if (s->working) {
        s->end->cancel(s);
        return;
    }
    drop_all(s);
    if (!s->handle.next)
        even__call_soon(s->loop, &s->handle);
}

void even__sink_abort(struct even__sink *s)
{
    even_handle_cancel(&s->flush);
    /* Bounded: as long as bytes go. The end's work is over, or has begun to wait for room, once the backend was asked. */
    for (size_t left = SIZE_MAX; s->size > 0 && s->size < left && s->loop->running && !s->stopped;) {
        left = s->size;
        send_next(s);
        if (even__loop_look(s->loop, 0) < 0)
            break;
    }
    even__sink_stop(s);
}
