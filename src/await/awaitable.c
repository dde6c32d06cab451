/* Awaitables: making, referring to, awaiting and completing them. */
#include "await.h"
#include "../base/sys.h"
#include <stdio.h>
#include <string.h>

static inline void *result_of(even_awaitable *x)
{
    return x + 1;
}

void *even__result_of(even_awaitable *x)
{
    return result_of(x);
}

/* ---- making ---- */

even_awaitable *even__coroutine_new(const even_kind *kind, const void *site)
{
    even_awaitable *x = even__heap_alloc(kind->size);
    if (even__likely(x))
        *x = (even_awaitable){ .kind = kind, .by.site = site, .refs = 1, .state = EVEN_INERT };
    return x;
}

/* What is no coroutine says where it was made while it is active, too: behind its kind's memory. */
static const void **site_behind(const even_awaitable *x)
{
    return (const void **)((uintptr_t)x + x->kind->size);
}

static inline even_awaitable *new_operation(const even_kind *kind, const void *site, uint8_t flags)
{
    even__check_slow(kind->size % sizeof site == 0);        /* as that of everything that begins with a header */
    even_awaitable *x = even__heap_alloc(kind->size + sizeof site);
    if (even__likely(x)) {
        *x = (even_awaitable){ .kind = kind, .by.site = site, .refs = 1, .state = EVEN_INERT, .flags = flags };
        *site_behind(x) = site;
    }
    return x;
}

even_awaitable *even__operation_new(const even_kind *kind, const void *site)
{
    return new_operation(kind, site, 0);
}

static inline even_awaitable *new_object(const even_kind *kind, const void *site)
{
    const uint8_t flags = kind->drop || kind->borrows ? EVEN__SPECIAL : 0;
    if (even__likely(!kind->enter))
        return new_operation(kind, site, flags);
    even_awaitable *x = even__coroutine_new(kind, site);
    if (even__likely(x))
        x->flags = flags;
    return x;
}

even_awaitable *even__object_new(const even_kind *kind, const void *site)
{
    return new_object(kind, site);
}

even_awaitable *even__zeroed_new(const even_kind *kind, const void *site)
{
    even_awaitable *x = new_object(kind, site);
    if (even__likely(x)) {
        memset(result_of(x), 0, kind->size - sizeof *x);
        if (kind->borrows) {
            x->state = EVEN_ACTIVE;
            x->by.loop = even__thread.loop ? even__thread.loop->number : 0;
        }
    }
    return x;
}

even_awaitable *even_awaitable_new(const even_kind *kind)
{
    return even__zeroed_new(kind, __builtin_return_address(0));
}

even_awaitable *even__clone(const even_awaitable *from, const void *placeholder, void *argument)
{
    const even_kind *kind = from->kind;
    if (from->flags & EVEN__STATIC)
        return NULL;            /* the template itself found no memory: it has no arguments */
    even_awaitable *x = even__coroutine_new(kind, from->by.site);
    if (!x)
        return NULL;
    memcpy((char *)x + kind->argument_offset, (const char *)from + kind->argument_offset, kind->argument_size);
    /* The placeholder's address is unique, so that a word equal to it is the placeholder. */
    for (size_t at = kind->argument_offset; at + sizeof(void *) <= kind->argument_offset + kind->argument_size;
         at += sizeof(void *)) {
        void *word;
        memcpy(&word, (char *)x + at, sizeof word);
        if (word == placeholder)
            memcpy((char *)x + at, &argument, sizeof argument);
    }
    return x;
}

even_awaitable *even__without_memory(even_awaitable *x)
{
    /* Threads share the object: all of them store the same. */
    unsigned class = x->kind->result_class;
    if (class == EVEN_RESULT_INT || class == EVEN_RESULT_VOID)
        __atomic_store_n((int *)result_of(x), x->status, __ATOMIC_RELAXED);
    else if (class == EVEN_RESULT_LONG)
        __atomic_store_n((long *)result_of(x), x->status, __ATOMIC_RELAXED);
    return x;
}

/* ---- references ---- */

const char *even__describe(const even_awaitable *x, char *out, size_t size)
{
    if (even__is_task(x) && x->state != EVEN_SPENT)
        snprintf(out, size, "task '%s' (%s)", even__task_name(x->by.task), x->kind->name);
    else
        snprintf(out, size, "%s '%s'", even__is_coroutine(x) ? "coroutine" : "awaitable", x->kind->name);
    return out;
}

const void *even__made_at(const even_awaitable *x)
{
    if (x->flags & EVEN__STATIC)
        return NULL;
    if (!even__is_coroutine(x)) {
        if (x->state == EVEN_SPENT)
            ASAN_UNPOISON_MEMORY_REGION(site_behind(x), sizeof(void *));
        return *site_behind(x);
    }
    return x->state == EVEN_INERT ? x->by.site : NULL;
}

/* The same, and where it was made. */
static const char *describe_made(const even_awaitable *x, char *out, size_t size)
{
    char site[EVEN__SITE_MAX];
    const void *made_at = even__is_task(x) || even__is_coroutine(x) ? NULL : even__made_at(x);
    even__describe(x, out, size);
    size_t n = strlen(out);
    if (made_at)
        snprintf(out + n, size - n, " (made at %s)", even__site_name(made_at, site, sizeof site));
    return out;
}
enum { DESCRIBED_MADE_MAX = EVEN__DESCRIPTION_MAX + EVEN__SITE_MAX };

static even__noinline void report_never_awaited(even_awaitable *x)
{
    char name[EVEN__DESCRIPTION_MAX], site[EVEN__SITE_MAX];
    if (!even__report_wanted(x->by.site))
        return;
    even__report("%s was never %s; it was made at %s", even__describe(x, name, sizeof name),
                 x->kind->borrows ? "closed" : "awaited",     /* a stream is the one inert object that many may wait for */
                 even__site_name(x->by.site, site, sizeof site));
}

static even__noinline void report_never_fetched(even_awaitable *x)
{
    char name[DESCRIBED_MADE_MAX];
    if (!even__report_wanted(x->kind))
        return;
    even__report("%s failed with %s (%s), and nobody fetched its failure", describe_made(x, name, sizeof name),
                 even_errname(x->status), even_strerror(x->status));
}

static inline void free_object(even_awaitable *x)
{
    if (even__is_task(x))
        even__task_free(x->by.task);
    x->state = EVEN_SPENT;
    even__heap_free(x);
}

/* A drop function gives up the references that it holds, and so on, as deep as the program's objects are nested: so those that
 * it ends wait here, by their unused `waiters`, until it has returned. */
static even__noinline void release_with_drop(even_awaitable *x)
{
    x->waiters = even__thread.to_release;
    even__thread.to_release = x;
    if (even__thread.releases)
        return;
    even__thread.releases = true;
    while ((x = even__thread.to_release)) {     /* bounded: each was the last reference to it */
        even__thread.to_release = x->waiters;
        x->kind->drop(x);
        free_object(x);
    }
    even__thread.releases = false;
}

static inline void release(even_awaitable *x)
{
    if (even__likely(!x->kind->drop))
        free_object(x);
    else
        release_with_drop(x);
}

/* Given up by one who had no reference: a task that goes on has its loop's, what is awaited that of whoever awaits it. */
static even__noinline bool is_in_use(even_awaitable *x, const void *site)
{
    char name[DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__is_future(x) && !x->waiters)
        return false;
    if (even__report_wanted(site))
        even__report("%s was given up once too often (even_detach(), even_unref()), while %s; at %s",
                     describe_made(x, name, sizeof name), even__is_task(x) ? "it runs" : "somebody waits for it",
                     even__site_name(site, where, sizeof where));
    x->refs = 1;
    return true;
}

static even__noinline void unref(even_awaitable *x, const void *site)
{
    if ((x->flags & EVEN__STATIC) || x->state == EVEN_SPENT)
        return;
    even__check_slow(x->refs > 0);
    if (--x->refs > 0)
        return;
    if (even__likely(x->state == EVEN_DONE)) {
        if (even__unlikely(x->status < 0) && x->status != -ECANCELED && !(x->flags & EVEN__FETCHED) && even__is_shared(x))
            report_never_fetched(x);
    } else if (x->state == EVEN_INERT) {
        report_never_awaited(x);
    } else if (is_in_use(x, site)) {
        return;
    }
    release(x);
}

void even_unref(even_awaitable *x)
{
    /* The object of an await that went well. Narrow loads, by volatile: the compiler would make a wide one of them, and that
     * would have to wait for the narrow store of the state just before. */
    const volatile uint8_t *state = &x->state, *flags = &x->flags;
    if (even__likely(*state == EVEN_DONE && *flags == 0 && x->refs == 1)) {
        x->state = EVEN_SPENT;
        even__heap_free(x);
        return;
    }
    unref(x, __builtin_return_address(0));
}

even_awaitable *even_ref_any(even_awaitable *x)
{
    if (even__likely(!(x->flags & EVEN__STATIC))) {
        x->refs++;
        if (even__is_task(x))
            x->flags |= EVEN__HELD;
    }
    return x;
}

static even__noinline void report_spent(const even_awaitable *x, const void *site)
{
    char name[EVEN__DESCRIPTION_MAX], where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s was given up once too often (even_detach()): it is spent; at %s", even__describe(x, name, sizeof name),
                     even__site_name(site, where, sizeof where));
}

void even_detach_any(even_awaitable *x)
{
    if (even__unlikely(x->state == EVEN_SPENT))
        report_spent(x, __builtin_return_address(0));
    unref(x, __builtin_return_address(0));
}

void even__drop_silently(even_awaitable *x)
{
    if (!(x->flags & EVEN__STATIC) && x->state != EVEN_SPENT && --x->refs == 0)
        release(x);
}

/* ---- the end of an awaitable ---- */

void even__set_failed_result(even_awaitable *x, int status)
{
    void *result = result_of(x);
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

void even__body_failed(even_awaitable *x, long value)
{
    if (value >= -4095 && !(x->flags & (EVEN__VALUE | EVEN__FAILED)))
        x->status = (int16_t)value;
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

void even__complete(even_awaitable *x, int status)
{
    even__check_slow(x->state == EVEN_ACTIVE);
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
    char name[DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    even_loop *loop = even__thread.loop;
    if (x->state != EVEN_ACTIVE)
        return false;
    if (even__is_task(x) ? even__loop_is_mine(x->by.task->loop)
                         : even__is_coroutine(x) || x->by.loop == 0 || (loop && loop->number == x->by.loop) ||
                               even__loop_whose(x->by.loop, &loop) != EVEN__ANOTHERS)
        return false;
    if (even__report_wanted(site))
        even__report("%s cannot be %s: it belongs to the loop of another thread; at %s",
                     describe_made(x, name, sizeof name), what, even__site_name(site, where, sizeof where));
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
    char name[DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__is_anothers(x, "completed", site))
        return -EVEN_ETHREAD;
    if (x->state == EVEN_ACTIVE && !even__is_coroutine(x))
        return 0;
    if (even__report_wanted(site))
        even__report("%s cannot be completed: %s; at %s", describe_made(x, name, sizeof name), why_not_to_complete(x),
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
    memcpy(result_of(f), value, size);
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

/* Of something pending and shared: is it this loop's, from now on at the latest? */
static inline bool join_loop(even_awaitable *x, const even_loop *loop)
{
    if (even__is_task(x))
        return x->by.task->loop == loop;
    if (even__unlikely(x->by.loop == 0))
        x->by.loop = loop->number;
    return x->by.loop == loop->number;
}

static even__noinline void report_misuse(const even_awaitable *x, int code, const void *site)
{
    char name[DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s: %s; at %s", describe_made(x, name, sizeof name), even_strerror(code),
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
    if (join_loop(x, loop))
        return 0;
    report_misuse(x, EVEN_EOTHERLOOP, site);
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
    if (even__is_shared(x) && even__check_shared(x, even__thread.loop, __builtin_return_address(0)) < 0)
        return -EVEN_EOTHERLOOP;
    even__add_waiter(x, h, even__thread.loop);
    return 0;
}

void even_remove_done_callback_any(even_awaitable *x, even_handle *h)
{
    even__remove_waiter(x, h);
}

/* ---- awaiting ---- */

static int misuse(struct even__task *t, even_awaitable *x, int code, const void *site)
{
    report_misuse(x, code, site);
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
        ASAN_UNPOISON_MEMORY_REGION(result_of(x), x->kind->result_size);
        even__set_failed_result(x, -EVEN_ESPENT);
        return misuse(t, x, EVEN_ESPENT, site);
    }
    if (!t) {
        if (x->state == EVEN_INERT) {
            x->state = EVEN_DONE;
            even__set_failure(x, -EVEN_ENOTASK);
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
    const bool taken = even_cancel_any(x);
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
                       (x->state == EVEN_ACTIVE && (!even__is_shared(x) || !join_loop(x, t->loop)))))
        return refuse(t, x, site);
    if (even__unlikely(((struct even__tasks *)t->loop->tasks)->insists))
        renew_cancellation(t, x);
    if (x->state == EVEN_INERT) {
        if (even__unlikely(t->must_cancel) && x->kind->cancel) {
            t->must_cancel = false;     /* not even begun */
            x->state = EVEN_DONE;
            even__set_failure(x, -ECANCELED);
            note_delivery(t, site);
            return fetch(t, x);
        }
        if (!x->kind->start) {
            x->state = EVEN_DONE;
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
