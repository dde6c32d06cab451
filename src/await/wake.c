/* The end of an object, and who is woken by it: its waiters are scheduled, never called. */
#include "await.h"
#include "../base/sys.h"
#include <stdio.h>
#include <string.h>

/* ---- the end ---- */

void even__set_failed_result(even_awaitable *x, int status)
{
    void *result = even__result(x);
    memset(result, 0, x->kind->result_size);
    if (x->kind->result_class == EVEN_RESULT_INT || x->kind->result_class == EVEN_RESULT_VOID)
        *(int *)result = status;
    else if (x->kind->result_class == EVEN_RESULT_LONG)
        *(long *)result = status;
}

void even__set_failure(even_awaitable *x, int status)
{
    even__set_failed_result(x, status);
    x->status = (int16_t)status;
}

/* Their loop is gone: nobody will run them. */
static even__noinline void let_waiters_go(even_awaitable *x)
{
    while (x->waiters)
        even__remove_waiter(x, x->waiters);
}

/* The whole ring goes to the end of the ready queue: woken in the order in which they came to wait. */
static inline void wake_waiters(even_awaitable *x)
{
    even_handle *first = x->waiters;
    even_loop *loop = even__loop_of(x);
    if (even__unlikely(!loop)) {
        let_waiters_go(x);
        return;
    }
    even_handle *last = first->prev, *head = &loop->ready;
    if (even__unlikely(even__trace_on))
        even__trace_woken(loop, x, first);
    x->waiters = NULL;
    first->prev = head->prev;
    head->prev->next = first;
    last->next = head;
    head->prev = last;
}

void even__wake_waiters_here(even_awaitable *x)
{
    x->by.loop = even__thread.loop ? even__thread.loop->number : 0;
    wake_waiters(x);
}

void even__complete(even_awaitable *x, int status)
{
    even__check(x->state == EVEN_ACTIVE);
    x->state = EVEN_DONE;
    if (even__unlikely(status < 0))
        even__set_failure(x, status);
    even__trace(DONE, .loop = even__is_task(x) ? x->by.task->loop : even__thread.loop, .task = even__current_object(),
                .object = x, .status = x->status);
    if (x->waiters)
        wake_waiters(x);
    if (even__unlikely(even__is_task(x)) && !x->by.task->stack)
        even__task_ended(x->by.task);
}

bool even__is_anothers(const even_awaitable *x, const char *what, const void *site)
{
    char name[EVEN__DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    even_loop *loop = even__thread.loop;
    if (x->state != EVEN_ACTIVE)
        return false;
    if (even__is_task(x) ? !x->by.task->loop || even__loop_is_mine(x->by.task->loop)
                         : even__is_coroutine(x) || x->by.loop == 0 || (loop && loop->number == x->by.loop) ||
                               even__loop_whose(x->by.loop, &loop) != EVEN__ANOTHERS)
        return false;
    if (even__report_wanted(site))
        even__report("%s cannot be %s: it belongs to the loop of another thread; at %s",
                     even__describe_made(x, name, sizeof name), what, even__site_name(site, where, sizeof where));
    return true;
}

static const char *why_not_to_complete(const even_awaitable *x)
{
    switch ((enum even_state)x->state) {
    case EVEN_SPENT: return "it is spent";
    case EVEN_INERT: return "nobody has begun to await it";
    case EVEN_ACTIVE: return "its body does that";
    case EVEN_DONE: break;
    }
    return x->status == -ECANCELED ? "it was cancelled" : x->status < 0 ? "it has failed already" : "it is done already";
}

static even__noinline int check_strange_completion(const even_awaitable *x, const void *site)
{
    char name[EVEN__DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__is_anothers(x, "completed", site))
        return -EVEN_ETHREAD;
    if (x->state == EVEN_ACTIVE && !even__is_coroutine(x))
        return 0;
    if (even__report_wanted(site))
        even__report("%s cannot be completed: %s; at %s", even__describe_made(x, name, sizeof name), why_not_to_complete(x),
                     even__site_name(site, where, sizeof where));
    return x->state == EVEN_SPENT ? -EVEN_ESPENT : -EVEN_ESTATE;
}

/* May it be completed, at `site`? 0; or why not, with a report. */
static inline int check_completion(const even_awaitable *x, const void *site)
{
    const even_loop *loop = even__thread.loop;
    if (even__likely(x->state == EVEN_ACTIVE && !even__is_task(x) && !even__is_coroutine(x) && loop &&
                     x->by.loop == loop->number))
        return 0;
    return check_strange_completion(x, site);
}

int even_complete(even_awaitable *x, int status)
{
    int rc = check_completion(x, __builtin_return_address(0));
    if (rc < 0)
        return rc;
    if (status > 0 || status < -4095)
        return -EINVAL;
    even__complete(x, status);
    return 0;
}

int even__set_result(even_awaitable *f, const void *value, size_t size)
{
    int rc = check_completion(f, __builtin_return_address(0));
    if (rc < 0)
        return rc;
    memcpy(even__result(f), value, size);
    even__complete(f, 0);
    return 0;
}

int even_future_check(const even_awaitable *x)
{
    return check_completion(x, __builtin_return_address(0));
}

bool even_is_done(const even_awaitable *x)
{
    return x->state == EVEN_DONE;
}

int even_status_of(const even_awaitable *x)
{
    if (x->state == EVEN_SPENT)
        return -EVEN_ESPENT;
    if (x->state != EVEN_DONE)
        return -EINPROGRESS;
    if (!(x->flags & EVEN__STATIC))
        ((even_awaitable *)(uintptr_t)x)->flags |= EVEN__FETCHED;
    return x->status;
}

/* ---- waiters ---- */

void even__add_waiter(even_awaitable *x, even_handle *h, even_loop *loop)
{
    if (x->state == EVEN_DONE) {
        even__call_soon(loop, h);
        return;
    }
    even_handle *first = x->waiters;
    even__check_slow(x->state != EVEN_SPENT && !h->next);
    if (!first) {
        x->waiters = h->next = h->prev = h;
        return;
    }
    h->next = first;
    h->prev = first->prev;
    first->prev->next = h;
    first->prev = h;
}

void even__remove_waiter(even_awaitable *x, even_handle *h)
{
    if (!h->next)
        return;
    if (x->waiters == h)
        x->waiters = h->next == h ? NULL : h->next;
    even__queue_remove(h);
}

void even__report_misuse(const even_awaitable *x, int code, const void *site)
{
    char name[EVEN__DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s: %s; at %s", even__describe_made(x, name, sizeof name), even_strerror(code),
                     even__site_name(site, where, sizeof where));
}

int even__check_shared(even_awaitable *x, const even_loop *loop, const void *site)
{
    if (x->state == EVEN_SPENT)
        return -EVEN_ESPENT;
    if (x->state != EVEN_ACTIVE)
        return 0;
    if (!even__is_shared(x))
        return -EVEN_EAWAITED;
    if (even__join_loop(x, loop))
        return 0;
    even__report_misuse(x, EVEN_EOTHERLOOP, site);
    return -EVEN_EOTHERLOOP;
}

int even_add_done_callback_any(even_awaitable *x, even_handle *h)
{
    if (!even__thread.loop)
        return -EVEN_ENOLOOP;
    if (x->state == EVEN_SPENT)
        return -EVEN_ESPENT;
    /* A coroutine that is no task ends as a call does: nobody would be told. */
    if (h->next || (x->state != EVEN_DONE && even__is_coroutine(x) && !even__is_task(x)))
        return -EVEN_ESTATE;
    if (x->state == EVEN_ACTIVE && !even__join_loop(x, even__thread.loop)) {
        even__report_misuse(x, EVEN_EOTHERLOOP, __builtin_return_address(0));
        return -EVEN_EOTHERLOOP;
    }
    even__add_waiter(x, h, even__thread.loop);
    return 0;
}

void even_remove_done_callback_any(even_awaitable *x, even_handle *h)
{
    if (h->next && !even__is_anothers(x, "freed of a callback", __builtin_return_address(0)))
        even__remove_waiter(x, h);
}
