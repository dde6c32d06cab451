/* wait_for: a time-out around an await. A coroutine of ours: it awaits x inline, in the task that awaits it; a timer asks that
 * task to cancel, and the request is taken back if it was the timer's. Follows asyncio.timeouts (3.12). */
#include "kinds.h"
#include "../base/sys.h"
#include <string.h>

struct own {
    even_awaitable *inner;
    even_awaitable *task;
    const void *site;               /* the program's line */
    double seconds;
    even_timer timer;
    bool expired;
    bool must_cancel_before;        /* another request was waiting to be delivered when the timer's came */
};

static void expire(even_handle *h)
{
    struct own *w = even__container_of(h, struct own, timer.handle);
    even__trace(TIMER, .loop = even__thread.loop);
    w->must_cancel_before = w->task->by.task->must_cancel;
    w->expired = even_cancel_any(w->task);
}

static long enter(even_awaitable *self)
{
    struct own *w = even__own(self);
    struct even__task *t = even__current();
    even_awaitable *x = w->inner;
    unsigned before = t->cancelling;
    int status = 0;

    w->task = t->object;
    w->timer = (even_timer)EVEN_TIMER(expire);
    w->inner = NULL;
    if (!(w->seconds <= 0))         /* NaN is refused there */
        status = even_call_later(t->loop, &w->timer, w->seconds);
    else if (x->state != EVEN_DONE)
        even_cancel_any(x);     /* no time at all: what has not begun never does */
    if (status == 0) {
        status = even__await_at(x, w->site);
        even_timer_cancel(t->loop, &w->timer);
        memcpy(even__result(self), even__result_of(x), x->kind->result_size < self->kind->result_size
                                                              ? x->kind->result_size : self->kind->result_size);
        even_unref(x);
    } else {
        even__drop_silently(x);
    }
    if (w->seconds <= 0 && status == -ECANCELED && t->cancelling == before)
        status = -ETIMEDOUT;
    /* The timer's request ends here, delivered or not; one that came from elsewhere meanwhile goes on. */
    if (w->expired && even_uncancel(NULL) <= before) {
        if (!w->must_cancel_before)
            t->must_cancel = false;
        if (status == -ECANCELED)
            status = -ETIMEDOUT;
    }
    if (status < 0)
        even__fail(status);
    return 0;                       /* what x returned is a value, be it negative */
}

static void drop(even_awaitable *self)
{
    struct own *w = even__own(self);
    if (w->inner)
        even__drop_silently(w->inner);
}

static const even_kind kinds[EVEN__KINDS] = EVEN__KINDS_OF(struct own, .name = "wait_for", .enter = enter, .drop = drop);

void even__wait_for_abandon(even_awaitable *x, even_loop *loop)
{
    if (x->kind->enter == enter)
        even_timer_cancel(loop, &((struct own *)even__own(x))->timer);
}

static struct even__failed without_memory[] = EVEN__FAILED_OF(kinds, -ENOMEM);

even_awaitable *even_wait_for_any(even_awaitable *x, double seconds)
{
    const even_kind *kind = &kinds[even__kind_index(x->kind->result_class, x->kind->result_size)];
    const void *site = __builtin_return_address(0);
    even_awaitable *self = x->kind->result_size <= EVEN__RESULT_MAX ? even__object_new(kind, site) : NULL;
    if (!self) {
        unsigned class = x->kind->result_class;
        even__drop_silently(x);
        return &without_memory[class].base;
    }
    struct own *w = even__own(self);
    *w = (struct own){ .inner = x, .site = site, .seconds = seconds };
    return self;
}
