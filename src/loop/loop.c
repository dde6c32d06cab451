/* The event loop. even__loop_pass() is all of it; docs/the-loop.md explains it step by step, by these numbers. */
#include "loop.h"
#include "../base/sys.h"
#include "../trace/trace.h"
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* While handles are ready, the kernel is asked for I/O at the latest after this many passes, or this long. */
enum { LOOKS_SKIPPED_MAX = 60, LOOK_EVERY_NS = 100 * 1000 };

/* As even_loop_options says. */
enum { LENT_MAX = 16 * 1024 * 1024 };

static inline bool is_busy(const even_loop *loop)
{
    return !even__queue_is_empty(&loop->ready) || !even__queue_is_empty(&loop->flushing) || loop->stopping;
}

/* The program's clock may queue, stop, and cancel: it is asked first. */
static even__noinline int64_t timeout_by_clock(even_loop *loop)
{
    const int64_t now = even__loop_clock_ns(loop);
    const even_timer *first = even__timers_first(&loop->timers);
    int64_t left;
    if (is_busy(loop))
        return 0;
    if (!first)
        return -1;
    if (__builtin_sub_overflow(first->deadline, now, &left))
        left = first->deadline > now ? INT64_MAX : 0;
    return left > 0 ? left : 0;
}

int64_t even__loop_timeout_ns(even_loop *loop)
{
    if (is_busy(loop))
        return 0;
    const even_timer *first = even__timers_first(&loop->timers);
    if (!first)
        return -1;
    if (even__unlikely(loop->clock != NULL))
        return timeout_by_clock(loop);
    int64_t now = loop->backend->now(loop);
    return first->deadline > now ? first->deadline - now : 0;
}

/* Handles are ready, so that nobody waits: is a look at the kernel due all the same? The clock is dear against a short pass:
 * it is read at each eighth. */
static bool look_is_due(even_loop *loop)
{
    return loop->asks_each_pass || loop->looks_skipped >= LOOKS_SKIPPED_MAX || loop->backend->peek(loop) ||
           (loop->looks_skipped % 8 == 7 && loop->backend->now(loop) - loop->looked_at >= LOOK_EVERY_NS);
}

static int poll_backend(even_loop *loop, int64_t timeout)
{
    if (even__loop_is_parents(loop))
        return -EVEN_EFORK;
    if (even__likely(timeout == 0 || !loop->before_wait))
        return loop->backend->poll(loop, timeout);
    loop->before_wait(loop->wait_data);
    int rc = loop->backend->poll(loop, timeout);
    loop->after_wait(loop->wait_data);
    return rc;
}

int even__loop_look(even_loop *loop, int64_t timeout)
{
    even__trace_poll(loop, timeout);
    int rc = poll_backend(loop, timeout);
    if (even__unlikely(rc < 0))
        return rc;
    loop->looks_skipped = 0;
    if (!loop->asks_each_pass)
        loop->looked_at = loop->backend->now(loop);
    return 0;
}

void even__loop_queue_due(even_loop *loop)
{
    const int64_t now = even__unlikely(loop->clock != NULL) ? even__loop_clock_ns(loop) : loop->backend->now(loop);
    even_timer *t;
    while ((t = even__timers_first(&loop->timers)) && t->deadline <= now) { /* bounded: `now` stands still */
        even__timers_remove(&loop->timers, t);
        if (even__likely(!t->handle.next) || !even__handle_is_taken(&t->handle, "a timer that is due", NULL))
            even__call_soon(loop, &t->handle);
    }
}

void even__loop_flush(even_loop *loop)
{
    even_handle flushing;
    even__queue_init(&flushing);
    even__queue_splice(&flushing, &loop->flushing);
    while (!even__queue_is_empty(&flushing)) {      /* bounded: what these add is for the next pass */
        even_handle *h = flushing.next;
        even__queue_remove(h);
        h->run(h);
    }
}

even__returns_after_switch int even__loop_pass(even_loop *loop, bool may_block)
{
    /* 1. The time-out: 0 if anything is ready or a stop was asked for, else up to the first deadline. */
    int64_t timeout = may_block ? even__loop_timeout_ns(loop) : 0;
    if (timeout != 0 && !even__door_sleep(loop))
        timeout = 0;

    /* 2. Submit what was started, and wait. 3. What is over queues its handles; so do the wake-ups of other threads. */
    if (timeout != 0 || even__queue_is_empty(&loop->ready) || loop->stopping || look_is_due(loop)) {
        if (!even__queue_is_empty(&loop->lent))
            even__receivers_return(loop);   /* here, and not in a look from inside a handle: what is lent then is in use */
        int rc = even__loop_look(loop, timeout);
        if (even__unlikely(rc < 0))
            return rc;
    } else {
        loop->looks_skipped++;
    }
    even__door_awake(loop);
    even__door_take(loop);

    /* 4. Timers that are due queue their handles, in the order of their deadlines. */
    if (loop->timers.count)
        even__loop_queue_due(loop);

    /* 5. Run exactly the handles that are queued now; what they queue is for the next pass. */
    even__queue_splice(&loop->batch, &loop->ready);
    while (!even__queue_is_empty(&loop->batch)) {
        even_handle *h = loop->batch.next;
        even__queue_remove(h);
        h->run(h);
    }

    /* 6. What the handles collected is handed over, so that it goes with the next wait. */
    if (!even__queue_is_empty(&loop->flushing))
        even__loop_flush(loop);
    loop->passes++;
    loop->turns++;
    even__check_slow(even__loop_is_valid_so_far(loop));
    return loop->error;
}

/* A child that was forked in a task is still in that, on its stack: it comes back to it. */
static inline void set_parents_aside(even_loop *loop)
{
    if (even__unlikely(loop->parents.loop = even__thread.loop)) {
        loop->parents.task = even__thread.task;
        loop->parents.root = even__thread.root;
        even__thread.task = NULL;
    }
}

static inline void take_parents_back(even_loop *loop)
{
    if (even__unlikely(even__thread.loop = loop->parents.loop)) {
        even__thread.task = loop->parents.task;
        even__thread.root = loop->parents.root;
    }
}

int even__loop_enter(even_loop *loop)
{
    const pid_t pid = getpid();
    if (loop->pid != pid)
        return -EVEN_EFORK;
    if (loop->running || (even__thread.loop && even__thread.loop->pid == pid))    /* a parent's runs in the parent */
        return -EVEN_ERUNNING;
    if (loop->owner != even__thread_number() && loop->above && loop->above->is_bound(loop))
        return -EVEN_ETHREAD;
    set_parents_aside(loop);
    even__thread.loop = loop;       /* attach() may end operations, of which another thread's run was told */
    int rc = loop->backend->attach(loop);
    if (rc < 0) {
        take_parents_back(loop);
        return rc;
    }
    loop->owner = even__thread_number();
    loop->running = true;
    loop->looks_skipped = LOOKS_SKIPPED_MAX;    /* the first pass looks */
    return 0;
}

static void let_go(even_loop *loop, bool comes_back)
{
    if (!even__loop_is_parents(loop))
        loop->backend->detach(loop, comes_back);
    take_parents_back(loop);
    loop->running = false;
}

void even__loop_leave(even_loop *loop)
{
    if (!even__loop_is_parents(loop))
        loop->backend->submit(loop);    /* what the last pass started: bytes to send, for one */
    loop->stopping = false;
    let_go(loop, false);
}

int even_loop_run_forever(even_loop *loop)
{
    int rc = even__loop_enter(loop);
    if (rc < 0)
        return rc;
    do
        rc = even__loop_pass(loop, true);
    while (rc == 0 && !loop->stopping);
    even__loop_leave(loop);
    return rc;
}

int even_loop_new(even_loop **out, const even_loop_options *options)
{
    even_loop *loop = even__loop_alloc();
    if (!loop)
        return -ENOMEM;
    even__door_open(loop);
    even__queue_init(&loop->ready);
    even__queue_init(&loop->batch);
    even__queue_init(&loop->flushing);
    even__queue_init(&loop->watches);
    even__queue_init(&loop->at_close);
    even__receivers_open(loop);
    loop->lent_max = options && options->lent_max ? options->lent_max : LENT_MAX;
    loop->pid = getpid();
    loop->forks = even__forks;
    even__trace_open();
    int rc = even__backend_open(loop, options);
    if (rc < 0) {
        even__door_close(loop);
        even_door_unref(&loop->door);
        return rc;
    }
    even__loop_enlist(loop);
    *out = loop;
    return 0;
}

int even_loop_close(even_loop *loop)
{
    if (!loop)
        return 0;
    if (loop->running)
        return -EVEN_ERUNNING;
    even_loop *running = even__thread.loop;
    even__thread.loop = loop;
    if (loop->above)
        loop->above->close(loop);
    while (!even__queue_is_empty(&loop->at_close)) {    /* bounded: they are the library's, and make nothing */
        even_handle *h = loop->at_close.next;
        even__queue_remove(h);
        h->run(h);
    }
    loop->closing = true;
    even__door_close(loop);
    while (!even__queue_is_empty(&loop->watches))
        even_watch_stop(even__container_of(loop->watches.next, even_watch, all));
    even__receivers_drop(loop);
    loop->backend->close(loop);
    even__receivers_close(loop);
    even__loop_delist(loop);    /* nobody looks at its tasks any more, who wanted to know whose they are */
    if (loop->above)
        loop->above->closed(loop);
    even__thread.loop = running;
    even__queue_splice(&loop->ready, &loop->batch);
    even__queue_splice(&loop->ready, &loop->flushing);
    while (!even__queue_is_empty(&loop->ready))     /* bounded: nothing runs that could queue more */
        even__queue_remove(loop->ready.next);
    for (uint32_t i = 1; i <= loop->timers.count; i++)
        loop->timers.slot[i].timer->index = 0;
    even__timers_done(&loop->timers);
    even__report_untold();
    if (loop->ignores_sigpipe)
        even__sigpipe_restore();
    even_door_unref(&loop->door);
    return 0;
}

void even_loop_set_wait_hooks(even_loop *loop, void (*before)(void *data), void (*after)(void *data), void *data)
{
    loop->before_wait = before && after ? before : NULL;
    loop->after_wait = after;
    loop->wait_data = data;
}

void even_loop_stop(even_loop *loop)
{
    loop->stopping = true;
}

bool even_loop_is_running(const even_loop *loop)
{
    return loop->running;
}

even_loop *even_running_loop(void)
{
    return even__thread.loop;
}

const char *even_loop_backend(const even_loop *loop)
{
    return loop->backend->name;
}

unsigned even_loop_properties(const even_loop *loop)
{
    return loop->backend->properties;
}

int64_t even_time_ns(even_loop *loop)
{
    return loop->backend->now(loop);
}

double even_time(even_loop *loop)
{
    return (double)loop->backend->now(loop) * 1e-9;
}

/* ---- handles, timers ---- */

bool even__handle_is_taken(const even_handle *h, const char *who, const void *site)
{
    char where[EVEN__SITE_MAX], function[EVEN__SITE_MAX];
    const char *first_code = (const char *)(uintptr_t)h->run + 1;   /* as if that were where a call returns to */
    if (even__likely(!h->next && !h->prev))
        return false;
    if (even__report_wanted(site ? site : first_code))
        even__report("%s: the handle is queued already (its function is that at %s)%s%s", who,
                     even__site_name(first_code, function, sizeof function), site ? "; at " : "",
                     site ? even__site_name(site, where, sizeof where) : "");
    return true;
}

void even_call_soon(even_loop *loop, even_handle *h)
{
    if (!even__handle_is_taken(h, "even_call_soon", __builtin_return_address(0)))
        even__call_soon(loop, h);
}

void even_call_before_wait(even_loop *loop, even_handle *h)
{
    if (!even__handle_is_taken(h, __func__, __builtin_return_address(0)))
        even__queue_append(&loop->flushing, h);
}

void even_loop_ask_each_pass(even_loop *loop, bool yes)
{
    loop->asks_each_pass = yes;
}

void even_handle_cancel(even_handle *h)
{
    if (h->next)
        even__queue_remove(h);
}

int even__seconds_to_ns(double seconds, int64_t *ns)
{
    if (isnan(seconds))
        return -EINVAL;
    double n = seconds * 1e9;
    /* Rounded up, so that nothing comes early. */
    *ns = n >= 4e18 ? EVEN__FOREVER_NS : n <= -4e18 ? -EVEN__FOREVER_NS : (int64_t)ceil(n);
    return 0;
}

static even__noinline int refuse_strange_timer(const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("the timer is set in another loop, or its memory was used for something else meanwhile; at %s",
                     even__site_name(site, where, sizeof where));
    return -EVEN_ESTATE;
}

static inline int cancel_timer(even_loop *loop, even_timer *t, const void *site)
{
    if (t->index) {
        if (even__unlikely(!even__timers_have(&loop->timers, t)))
            return refuse_strange_timer(site);
        even__timers_remove(&loop->timers, t);
    } else if (t->handle.next) {
        even__queue_remove(&t->handle);
    }
    return 0;
}

static inline int set_timer(even_loop *loop, even_timer *t, int64_t deadline, const void *site)
{
    int rc = cancel_timer(loop, t, site);
    if (even__unlikely(rc < 0))
        return rc;
    t->deadline = deadline;
    /* Halved, as timers.c compares differences: a random order must be one too. */
    t->order = loop->seeded ? (uint32_t)even__random(&loop->random) >> 1 : loop->timer_order++;
    return even__timers_add(&loop->timers, t);
}

int even_call_at_ns(even_loop *loop, even_timer *t, int64_t deadline)
{
    return set_timer(loop, t, deadline, __builtin_return_address(0));
}

int even_call_at(even_loop *loop, even_timer *t, double when)
{
    int64_t ns;
    int rc = even__seconds_to_ns(when, &ns);
    return rc < 0 ? rc : set_timer(loop, t, ns, __builtin_return_address(0));
}

int even_call_later(even_loop *loop, even_timer *t, double delay)
{
    int64_t ns;
    int rc = even__seconds_to_ns(delay, &ns);
    return rc < 0 ? rc : set_timer(loop, t, loop->backend->now(loop) + ns, __builtin_return_address(0));
}

void even_timer_cancel(even_loop *loop, even_timer *t)
{
    (void)cancel_timer(loop, t, __builtin_return_address(0));
}

/* ---- embedding ---- */

int even_loop_fd(even_loop *loop)
{
    return loop->backend->fd(loop);
}

int even_loop_timeout(even_loop *loop)
{
    if (!loop->running && even__loop_enter(loop) == 0) {    /* submitting wants the thread */
        loop->backend->submit(loop);
        let_go(loop, true);
    }
    int64_t ns = even__door_sleep(loop) ? even__loop_timeout_ns(loop) : 0;
    if (ns != 0 && loop->backend->peek(loop))
        ns = 0;
    return ns < 0 ? -1 : ns >= (int64_t)INT32_MAX * 1000000 ? INT32_MAX : (int)((ns + 999999) / 1000000);
}

int even_loop_step(even_loop *loop)
{
    int rc = even__loop_enter(loop);
    if (rc < 0)
        return rc;
    rc = even__loop_pass(loop, false);
    loop->stopping = false;
    let_go(loop, false);
    return rc;
}
