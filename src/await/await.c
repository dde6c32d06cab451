/* Awaiting: inline, as a call; or by leaving the stack until the object is done. Here a request is delivered. */
#include "await.h"
#include "../base/sys.h"
#include <stdio.h>
#include <string.h>

static int misuse(struct even__task *t, even_awaitable *x, int code, const void *site)
{
    even__report_misuse(x, code, site);
    if (t)
        t->last_status = -code;
    else
        even__thread.last_status = -code;
    return -code;
}

/* An object that must not be awaited here. The caller will drop its reference: what may not be dropped gets one more. */
static even__noinline int refuse(struct even__task *t, even_awaitable *x, const void *site)
{
    if (x->state == EVEN_SPENT) {
        ASAN_UNPOISON_MEMORY_REGION(even__result(x), x->kind->result_size);
        even__set_failed_result(x, -EVEN_ESPENT);
        return misuse(t, x, EVEN_ESPENT, site);
    }
    if (!t) {
        if (x->state == EVEN_INERT) {
            even__end_inert(x, -EVEN_ENOTASK);
            x->flags |= EVEN__FETCHED;
        } else if (x->state == EVEN_ACTIVE) {
            even__set_failed_result(x, -EVEN_ENOTASK);
        }
        return misuse(t, x, EVEN_ENOTASK, site);
    }
    /* It is active: its own result comes when it ends, over this one. */
    int code = x == t->object ? EVEN_ESELF : even__is_shared(x) ? EVEN_EOTHERLOOP : EVEN_EAWAITED;
    even__set_failed_result(x, -code);
    if (code == EVEN_EAWAITED)
        even_ref_any(x);
    return misuse(t, x, code, site);
}

static inline int fetch(struct even__task *t, even_awaitable *x)
{
    if (even__unlikely(x->status < 0) && !(x->flags & EVEN__STATIC))
        x->flags |= EVEN__FETCHED;
    return t->last_status = x->status;
}

static even__noinline void note_delivery(struct even__task *t, const void *site)
{
    t->canceled_at = site;
    t->went_on = t->plain = false;      /* the next time that it waits, it goes on */
    t->must_cancel = false;     /* several requests are one delivery */
    even__trace(CANCELED, .loop = t->loop, .task = t->object, .site = site);
}

/* The run ends, and each await is asked to end. Who does not hear it is left where it is. */
static even__noinline void renew_cancellation(struct even__task *t, even_awaitable *x)
{
    if (even__end_renew(t))
        return;
    x->flags |= EVEN__OLD;      /* what it was about to await is no news */
    even__task_suspend(t);      /* for ever */
}

/* The await is told of a request, in place of the result of x. That stays as it is where others see it. */
static int deliver(struct even__task *t, even_awaitable *x, const void *site)
{
    if (x->state != EVEN_DONE || (x->refs == 1 && !(x->flags & EVEN__STATIC)))
        even__set_failed_result(x, -ECANCELED);
    note_delivery(t, site);
    return t->last_status = -ECANCELED;
}

static inline __attribute__((always_inline)) void suspend_on(struct even__task *t, even_awaitable *x, const void *site)
{
    even__trace(WAITS, .loop = t->loop, .task = t->object, .object = x, .site = site);
    even__check_slow(t == even__thread.task && (!t->waits_for || t->waits_for == x) && t->wake.next);
    t->waits_for = x;
    t->finished_awaits = 0;
    even__task_suspend(t);
    t->waits_for = NULL;
}

/* A request was sent through x. */
static int after_request(struct even__task *t, even_awaitable *x, const void *site)
{
    t->cancel_sent = false;
    if (x->state != EVEN_DONE)
        return deliver(t, x, site);
    if (x->status == -ECANCELED)
        note_delivery(t, site);
    else if (!even__is_shared(x))
        t->must_cancel = true;      /* the operation had succeeded: its result first, the request at the next await */
    return fetch(t, x);
}

/* The task suspends with a request that nobody was told of. x has it, or the task is told when x is done; but not in place of a
 * result that would be lost with that. */
static even__noinline int suspend_with_request(struct even__task *t, even_awaitable *x, const void *site)
{
    even__add_waiter(x, &t->wake, t->loop);
    t->waits_for = x;
    const bool taken = even__pass_request_on(t);
    if (taken) {
        t->must_cancel = false;
        t->cancel_sent = true;
    }
    suspend_on(t, x, site);
    if (!taken && t->must_cancel && even__is_shared(x))
        return deliver(t, x, site);
    return t->cancel_sent ? after_request(t, x, site) : fetch(t, x);
}

static even__returns_after_switch int suspend_until_done(struct even__task *t, even_awaitable *x, const void *site)
{
    if (even__unlikely(t->must_cancel))
        return suspend_with_request(t, x, site);
    even__add_waiter(x, &t->wake, t->loop);
    suspend_on(t, x, site);
    return even__unlikely(t->cancel_sent) ? after_request(t, x, site) : fetch(t, x);
}

/* The end of what one alone awaits. */
static inline __attribute__((always_inline)) int over(struct even__task *t, even_awaitable *x)
{
    int status = t->last_status = x->status;
    even__check_slow(x->state == EVEN_ACTIVE || (x->state == EVEN_DONE && x->kind->yields));
#ifndef EVEN__ASAN
    /* Nobody else refers to it: it is given back already. What a cell holds stays until it is used again, and the last 64 are
     * held back, so that the caller still reads the result; it sees that the object is spent, and has no reference to drop. */
    if (even__likely(x->refs == 1 && x->flags == 0)) {
        x->state = EVEN_SPENT;
        even__heap_free(x);
        return status;
    }
#endif
    x->state = EVEN_DONE;
    return status;
}

/* It is done already, and yet the others run first. */
static even__returns_after_switch int let_others_run(struct even__task *t, even_awaitable *x, const void *site)
{
    even__call_soon(t->loop, &t->wake);
    suspend_on(t, x, site);
    if (even__unlikely(t->must_cancel) && !x->kind->start)
        return deliver(t, x, site);     /* nothing that it did is lost with that */
    return over(t, x);
}

/* A task that awaits what is done already does not suspend. One that does nothing else must let the others run in the end, and
 * must hear that it is to end. */
enum { FINISHED_IN_A_ROW = 64 };

static even__noinline int await_one_more_finished(struct even__task *t, even_awaitable *x, const void *site)
{
    if (even__unlikely(((struct even__tasks *)t->loop->tasks)->insists))
        renew_cancellation(t, x);
    even__call_soon(t->loop, &t->wake);
    suspend_on(t, x, site);
    return t->must_cancel ? deliver(t, x, site) : fetch(t, x);
}

static even__noinline int await_general(struct even__task *t, even_awaitable *x, const void *site)
{
    if (x->state == EVEN_DONE && t) {
        even__trace(FETCHED, .loop = t->loop, .task = t->object, .object = x, .site = site);
        if (even__unlikely(++t->finished_awaits == FINISHED_IN_A_ROW))
            return await_one_more_finished(t, x, site);
        return fetch(t, x);
    }
    if (even__unlikely(!t || x->state == EVEN_SPENT || x == t->object ||
                       (x->state == EVEN_ACTIVE && (!even__is_shared(x) || !even__join_loop(x, t->loop)))))
        return refuse(t, x, site);
    if (even__unlikely(((struct even__tasks *)t->loop->tasks)->insists))
        renew_cancellation(t, x);
    if (x->state == EVEN_INERT) {
        if (even__unlikely(t->must_cancel) && x->kind->cancel) {
            t->must_cancel = false;     /* not even begun */
            even__end_inert(x, -ECANCELED);
            note_delivery(t, site);
            return fetch(t, x);
        }
        if (!x->kind->start) {
            even__end_inert(x, 0);
            return x->kind->yields ? let_others_run(t, x, site) : fetch(t, x);
        }
        x->state = EVEN_ACTIVE;
        x->by.loop = t->loop->number;
        x->kind->start(x);
        if (x->state == EVEN_DONE)
            return x->kind->yields ? let_others_run(t, x, site) : fetch(t, x);
    }
    return suspend_until_done(t, x, site);
}

/* A coroutine: its body runs here, on this stack, as a call. No task, no switch, no trip through the loop. */
static inline __attribute__((always_inline)) int await_inline(struct even__task *t, even_awaitable *x)
{
    x->state = EVEN_ACTIVE;
    x->by.parent = t->innermost;
    t->innermost = x;
    even__body_run(x);
    even__check_slow(t->innermost == x);
    t->innermost = x->by.parent;
    return over(t, x);
}

static even__noinline int await_inline_traced(struct even__task *t, even_awaitable *x, const void *site)
{
    even__trace(INLINE, .loop = t->loop, .task = t->object, .object = x, .site = site);
    even_ref_any(x);        /* to be told of */
    int status = await_inline(t, x);
    x->refs--;
    even__trace(RETURNED, .loop = t->loop, .task = t->object, .object = x, .status = status);
    return status;
}

int even_await_any(even_awaitable *x)
{
    struct even__task *t = even__thread.task;

    if (even__likely(t && x->state == EVEN_INERT && x->kind->enter)) {
        if (even__unlikely(even__trace_on))
            return await_inline_traced(t, x, __builtin_return_address(0));
        return await_inline(t, x);
    }
    return await_general(t, x, __builtin_return_address(0));
}

even__returns_after_switch int even__await_at(even_awaitable *x, const void *site)
{
    struct even__task *t = even__thread.task;

    if (x->state == EVEN_INERT && x->kind->enter)
        return even__trace_on ? await_inline_traced(t, x, site) : await_inline(t, x);
    return await_general(t, x, site);
}

/* ---- failing ---- */

void even__body_failed(even_awaitable *x, long value)
{
    if (value >= -4095 && !(x->flags & (EVEN__VALUE | EVEN__FAILED)))
        x->status = (int16_t)value;
}

int even_status(void)
{
    return even__thread.task ? even__thread.task->last_status : even__thread.last_status;
}

void even__fail(int status)
{
    even_awaitable *x = even__thread.task ? even__thread.task->innermost : NULL;
    if (!x)
        return;
    x->status = (int16_t)(status < 0 && status >= -4095 ? status : -EINVAL);
    x->flags |= EVEN__FAILED;
    even__set_failure(x, x->status);    /* the body returns what it finds there: a zero of its type */
}

void even__mark_value(void)
{
    if (even__thread.task && even__thread.task->innermost)
        even__thread.task->innermost->flags |= EVEN__VALUE;
}
