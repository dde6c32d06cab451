/* The inside of awaitables and tasks. Knows the loop and the stacks; no socket. */
#ifndef EVEN__AWAIT_H
#define EVEN__AWAIT_H

#include "../base/heap.h"
#include "../loop/loop.h"
#include "../stack/stack.h"
#include "../trace/trace.h"
#include <evenloop/await.h>

/* A task: what makes an awaitable run by itself. Lives as long as the awaitable does. */
struct even__task {
    even_handle wake;               /* its next step; or "wake me up", among the waiters of what it waits for */
    even_awaitable *object;         /* what it runs; the task's identity */
    even_awaitable *waits_for;
    even_awaitable *innermost;      /* the coroutine that runs: the head of the chain of inline awaits */
    struct even__stack *stack;      /* from its first step to its end; NULL for an operation that was made a task */
    even_loop *loop;                /* NULL: it is closed, and what the task runs was not to be ended */
    even_handle all;                /* in the loop's list of tasks */
    char *name;                     /* NULL: "Task-<id>" is made when somebody asks */
    const void *canceled_at;        /* the await that got the cancellation, until uncancel */
    uint32_t id;
    union {
        uint32_t stack_size;        /* before its first step */
        int32_t last_status;        /* of its last await */
    };
    uint32_t cancelling;
    uint32_t mark;                  /* of the last walk that met it: cancel.c */
    uint8_t shutdown_awaits;        /* that were asked to end */
    uint8_t finished_awaits;        /* of what was done already, since it last let the others run */
    bool started;
    bool over;
    bool must_cancel;               /* to be delivered at the next await that suspends */
    bool cancel_sent;               /* on its way, through what it waits for */
    bool plain;                     /* has begun, and a switch needs no more: see even__task_suspend_with_ado() */
    bool own_rounding : 1;          /* keeps its own floating-point environment */
    bool adrift : 1;                /* was given up by a shutdown: never stepped again */
    bool went_on : 1;               /* has waited for something since canceled_at */
};

/* 100,000 sleeping tasks are to cost 4.7 KB each: a page of stack, its share of the page tables, and this. */
_Static_assert(sizeof(struct even__task) <= 128, "a task's record");

/* Where a cancellation forks: an object that passes it on to several others. Stands in it at its kind's argument_offset. */
struct even__fork {
    const struct even__fork_kind {
        bool (*takes)(even_awaitable *x);                   /* the request: else nobody is asked */
        even_awaitable *(*next)(struct even__fork *fork);   /* the next child that is not done, from `at` on; or NULL */
    } *kind;
    even_awaitable *object;         /* while a walk is in it: a reference */
    even_awaitable *way;            /* the child that the walk took */
    struct even__fork *up;          /* the fork from which it came */
    size_t at;
    uint32_t mark;
};

/* What the await layer keeps for a loop: made with its first task. */
struct even__tasks {
    even_loop *loop;
    even_handle all;                /* those that are not done, oldest first */
    uint32_t last_id;
    bool insists;                   /* each await is asked to end: the time for that is over */
    bool stuck;                     /* somebody had to be given up */
    bool ending;                    /* a run was asked to end, and the timer is set */
    bool over;                      /* all the time that there was has passed */
    even_awaitable *main;           /* alone was asked to end, so far */
    double grace;                   /* seconds */
    even_timer end;
    even_handle reap;               /* gives up those that are adrift */
};

/* ---- awaitables ---- */

/* An object of a kind, inert, its memory undefined behind the header; NULL without memory. */
even_awaitable *even__object_new(const even_kind *kind, const void *site);
/* The same for a kind without a body, a drop function, or many who may wait for it. */
even_awaitable *even__operation_new(const even_kind *kind, const void *site);
/* The same, its memory zero, and pending if its kind borrows, in the loop that runs: even_awaitable_new(), made at `site`. */
even_awaitable *even__zeroed_new(const even_kind *kind, const void *site);
/* Where it was made, as far as that is still known; else NULL. */
const void *even__made_at(const even_awaitable *x);

/* x ends: its status, its result if it failed, its waiters onto the ready queue. Runs nothing. */
void even__complete(even_awaitable *x, int status);
/* The result of a failure: zero, or the status where the type carries one. */
void even__set_failure(even_awaitable *x, int status);
/* Its result alone: for an await that failed by itself. */
void even__set_failed_result(even_awaitable *x, int status);
/* Of a handle that is to run in `loop`. x is done, or of this loop. */
void even__add_waiter(even_awaitable *x, even_handle *h, even_loop *loop);
void even__remove_waiter(even_awaitable *x, even_handle *h);
/* even_await_any() of a task's, on behalf of a program's line. */
int even__await_at(even_awaitable *x, const void *site);
/* Ready to be waited for by many: coroutines and operations become tasks, the rest is left as it is. Gives x. */
even_awaitable *even__create_task(even_awaitable *x, const even_task_options *options, const void *site);
/* How reports call it: "coroutine 'f'", "task 'Task-1' (f)"; into `out`. */
const char *even__describe(const even_awaitable *x, char *out, size_t size);
enum { EVEN__DESCRIPTION_MAX = 200 };
/* The same, and where it was made. */
const char *even__describe_made(const even_awaitable *x, char *out, size_t size);
enum { EVEN__DESCRIBED_MADE_MAX = EVEN__DESCRIPTION_MAX + EVEN__SITE_MAX };
/* "<what it is> was never awaited", or "closed", of an inert one. */
void even__report_never_awaited(even_awaitable *x) __attribute__((cold));
/* "<what it is>: <the words of the code>; at <site>" */
void even__report_misuse(const even_awaitable *x, int code, const void *site) __attribute__((cold));
static inline void *even__result(even_awaitable *x) { return x + 1; }
/* Give a template back without "never awaited". */
void even__drop_silently(even_awaitable *x);

/* The waiters of x run in the loop of this thread: x had no loop yet. */
void even__wake_waiters_here(even_awaitable *x);
/* x ends without having begun. */
static inline void even__end_inert(even_awaitable *x, int status)
{
    x->state = EVEN_DONE;
    if (status < 0)
        even__set_failure(x, status);
    if (even__unlikely(x->waiters != NULL))
        even__wake_waiters_here(x);
}

static inline bool even__is_coroutine(const even_awaitable *x) { return x->kind->enter != NULL; }
static inline bool even__is_future(const even_awaitable *x) { return x->kind->borrows; }
static inline bool even__is_task(const even_awaitable *x) { return x->flags & EVEN__TASK; }
/* Many may wait for it. */
static inline bool even__is_shared(const even_awaitable *x) { return x->kind->borrows || even__is_task(x); }

/* The loop of an active object that is no inline coroutine; NULL if it has none, or that is gone, or is another thread's. */
static inline even_loop *even__loop_of(const even_awaitable *x)
{
    even_loop *loop = even__thread.loop;
    if (even__unlikely(even__is_task(x)))
        return x->by.task->loop;
    if (even__unlikely(!loop || loop->number != x->by.loop))
        (void)even__loop_whose(x->by.loop, &loop);
    return loop;
}
/* Of something pending and shared: is it this loop's, from now on at the latest? */
static inline bool even__join_loop(even_awaitable *x, const even_loop *loop)
{
    if (even__is_task(x))
        return x->by.task->loop == loop;
    if (even__unlikely(x->by.loop == 0))
        x->by.loop = loop->number;
    return x->by.loop == loop->number;
}
/* May it be waited for in this loop, beside others? 0, and it is of this loop from now on; or -EVEN_ESPENT, -EVEN_EAWAITED, or,
 * with a report, -EVEN_EOTHERLOOP. */
int even__check_shared(even_awaitable *x, const even_loop *loop, const void *site);
/* Is it pending, and another thread's? Then a report says so: somebody wanted to `do` that with it, at `site`. */
bool even__is_anothers(const even_awaitable *x, const char *what, const void *site);

/* ---- tasks ---- */

/* A body returned a negative number: a failure, or a value. */
void even__body_failed(even_awaitable *x, long value);

struct even__tasks *even__tasks_of(even_loop *loop);    /* NULL without memory */
/* The task's own request goes on to what it is about to wait for: as even_cancel_any(), but the way has begun at the task, so
 * that a ring is broken there. */
bool even__pass_request_on(struct even__task *t);
bool even__tasks_are_valid(even_loop *loop);            /* check.c */
/* What a task's `wake` does, when that is run. */
void even__task_step(even_handle *h);
/* What is rare: its own rounding, a sanitizer to be told, a cancellation to be noted. */
void even__task_suspend_with_ado(struct even__task *t);
/* The end of a task that has no stack: its operation is done. */
void even__task_ended(struct even__task *t);
void even__task_free(struct even__task *t);
/* A task that will never be stepped again ends with `status`. Its frames are left as they are: nothing can unwind them. */
void even__task_abandon(struct even__task *t, int status);
/* If x is a wait_for in a task that is abandoned: its timer must not outlive the two. */
void even__wait_for_abandon(even_awaitable *x, even_loop *loop);
/* The task itself, or the running one for NULL; NULL if it is spent. */
struct even__task *even__task_of(even_task *task);
#define even__task_of_link(h) even__container_of(h, struct even__task, all)
/* An operation that is a task of its own, and has begun. */
static inline bool even__is_operation(const struct even__task *t) { return t->started && !t->stack; }
const char *even__task_name(struct even__task *t);
/* The end of a run, cancel.c. It begins when somebody asks, with `grace` seconds for all to end (0: five; less: none). It may
 * become urgent, or be taken back: by the main task, if that alone was asked. Then all that still runs is cancelled and awaited:
 * 0, or -EVEN_ESTUCK after a report has named who would not end. */
void even__end_begins(even_loop *loop, double grace, even_awaitable *main);
/* A task begins an await after that: true if it is to be told, false if it was told too often. */
bool even__end_renew(struct even__task *t);
void even__end_is_off(even_loop *loop);
/* Has it begun, and was not taken back? */
bool even__end_is_on(const even_loop *loop);
void even__end_at_once(even_loop *loop);
int even__tasks_shut_down(even_loop *loop, double grace);

/* Run a coroutine's body, here and now; then its status is set. */
static inline __attribute__((always_inline)) void even__body_run(even_awaitable *x)
{
    long value = x->kind->enter(x);
    if (even__unlikely(value < 0))
        even__body_failed(x, value);
}

/* Gives control to the loop; returns when the task is stepped again. */
static inline __attribute__((always_inline)) void even__task_suspend(struct even__task *t)
{
    int saved = *even__thread.errno_location;
    if (even__likely(t->plain))
        even__stack_leave(&even__thread.root, t->stack, false);
    else
        even__task_suspend_with_ado(t);
    *even__thread.errno_location = saved;
}

static inline struct even__task *even__current(void) { return even__thread.task; }
static inline const even_awaitable *even__current_object(void)
{
    return even__thread.task ? even__thread.task->object : NULL;
}

#endif
