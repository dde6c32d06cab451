/* even_run: a loop, its main task, and the end of all. Follows asyncio.run and asyncio.Runner. */
#include "await.h"
#include "../base/sys.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- until done ---- */

struct until {
    even_handle done;
    even_loop *loop;
};

static void stop(even_handle *h)
{
    even_loop_stop(even__container_of(h, struct until, done)->loop);
}

static int report_run(int status, even_awaitable *x, const void *site)
{
    char name[EVEN__DESCRIPTION_MAX], where[EVEN__SITE_MAX];
    if (even__report_wanted(x->kind))
        even__report("%s cannot be run here: %s; at %s", even__describe(x, name, sizeof name), even_strerror(status),
                     even__site_name(site, where, sizeof where));
    return status;
}

/* Runs until x is done, the loop is stopped or fails. The loop has been entered. */
static int run_until_done(even_loop *loop, even_awaitable *x, const void *site)
{
    struct until until = { EVEN_HANDLE(stop), loop };
    int rc = 0;

    even__create_task(x, NULL, NULL);
    rc = even__check_shared(x, loop, site);
    if (rc < 0)
        return rc;
    even__add_waiter(x, &until.done, loop);
    do
        rc = even__loop_pass(loop, true);
    while (rc == 0 && !loop->stopping);
    loop->stopping = false;
    even__remove_waiter(x, &until.done);
    return rc < 0 ? rc : x->state == EVEN_DONE ? 0 : -EVEN_ESTOPPED;
}

int even_run_until_complete_any(even_loop *loop, even_awaitable *x)
{
    int rc = even__loop_enter(loop);
    if (rc < 0)
        return report_run(rc, x, __builtin_return_address(0));
    rc = run_until_done(loop, x, __builtin_return_address(0));
    even__loop_leave(loop);
    return rc;
}

/* ---- signals ---- */

/* The run that SIGINT is for: one in the process, that of the main thread. */
static struct interrupt {
    even_handle handle;
    even_loop *loop;
    even_awaitable *main;
    volatile sig_atomic_t count;
    bool delivered;
    unsigned forks;                 /* of the process whose run it is: in a child of it, nobody's */
} interrupt;

static void cancel_main(even_handle *h)
{
    (void)h;
    if (interrupt.main)
        interrupt.delivered = even_cancel_any(interrupt.main);
}

static void on_sigint(int number)
{
    if (interrupt.forks == even__forks && interrupt.count++ == 0) {
        even_call_soon_threadsafe(interrupt.loop, &interrupt.handle);
        return;
    }
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigaction(number, &standard, NULL);
    raise(number);
}

struct signals {
    struct sigaction old_int;
    bool took_int;
};

/* Nobody handles it, or a run that this process was forked in. */
static bool is_free(struct sigaction *old)
{
    if (sigaction(SIGINT, NULL, old) < 0 || (old->sa_flags & SA_SIGINFO))
        return false;
    if (old->sa_handler == on_sigint && interrupt.forks != even__forks) {
        *old = (struct sigaction){ .sa_handler = SIG_DFL };
        sigaction(SIGINT, old, NULL);   /* while `interrupt` is filled in anew */
    }
    return old->sa_handler == SIG_DFL;
}

static void take_signals(struct signals *s, even_loop *loop, even_awaitable *x)
{
    s->took_int = false;
    if (getpid() == gettid() && is_free(&s->old_int)) {
        interrupt = (struct interrupt){ EVEN_HANDLE(cancel_main), loop, x, 0, false, even__forks };
        struct sigaction ours = { .sa_handler = on_sigint };
        sigemptyset(&ours.sa_mask);
        s->took_int = sigaction(SIGINT, &ours, NULL) == 0;
    }
    even__sigpipe_ignore();
}

static void give_signals_back(struct signals *s)
{
    if (s->took_int) {
        sigaction(SIGINT, &s->old_int, NULL);
        interrupt.main = NULL;
    }
    even__sigpipe_restore();
}

static const struct even__stack *running_stack(struct even__runner *who)
{
    struct even__task *t = even__thread.task;
    if (!t)
        return NULL;
    *who = (struct even__runner){ t->name, t->object->kind->name, t->id };
    return t->stack;
}

/* ---- objects that a run leaves behind ---- */

/* Nobody took another reference: only who made it may know it, and it is no news. */
static bool is_left(const even_awaitable *x)
{
    if (x->refs != 1 || (x->flags & EVEN__STATIC))
        return false;
    return x->state == EVEN_INERT ||
           (x->state == EVEN_DONE && even__is_task(x) && !(x->flags & (EVEN__HELD | EVEN__FETCHED)));
}

static void mark_old(void *cell, void *data)
{
    even_awaitable *x = cell;
    (void)data;
    if (is_left(x))
        x->flags |= EVEN__OLD;
}

/* "was never awaited", "failed with ..., and nobody fetched its failure". */
static void sweep(void *cell, void *main)
{
    even_awaitable *x = cell;
    if (is_left(x) && !(x->flags & EVEN__OLD) && x != main)
        even_unref(x);
    else if (x->state != EVEN_SPENT)
        x->flags &= (uint8_t)~EVEN__OLD;
}

/* ---- the whole ---- */

/* In one line: a program that returns even_run() from main() would else end without a word. */
static even__noinline void report_main(const even_awaitable *x, int status, bool interrupted)
{
    char name[EVEN__DESCRIPTION_MAX];
    if (!even__report_wanted(x->kind))
        return;
    even__describe(x, name, sizeof name);
    if (interrupted)
        even__report("the main %s was interrupted, by SIGINT", name);
    else if (status == -ECANCELED)
        even__report("the main %s was cancelled", name);
    else
        even__report("the main %s failed with %s (%s)", name, even_errname(status), even_strerror(status));
}

/* The run failed: what the main coroutine returned, if anything, is not the answer. */
static int fail_run(even_awaitable *x, int status)
{
    if (!(x->flags & EVEN__STATIC) && (x->state == EVEN_INERT || x->state == EVEN_DONE)) {
        x->state = EVEN_DONE;
        even__set_failure(x, status);
        x->flags |= EVEN__FETCHED;
    } else if (!(x->flags & EVEN__STATIC)) {
        /* A future that is pending on; what is awaited elsewhere, where its own result comes over this one; what is spent. */
        ASAN_UNPOISON_MEMORY_REGION(x + 1, x->kind->result_size);
        even__set_failed_result(x, status);
    }
    return even__thread.last_status = status;
}

static int run(even_awaitable *x, const even_run_options *options, int abi, const void *site, bool *interrupted)
{
    even_loop_options loop_options = { options ? options->backend : NULL, options ? options->seed : 0 };
    struct signals signals;
    even_loop *loop, *outer = even__thread.loop;

    if (abi != EVEN_ABI)
        return fail_run(x, report_run(-EVEN_EABI, x, site));
    if (outer && !even__loop_is_parents(outer))
        return fail_run(x, report_run(-EVEN_ERUNNING, x, site));
    if (x->state == EVEN_SPENT || (x->state == EVEN_ACTIVE && !even__is_shared(x)))
        return fail_run(x, report_run(x->state == EVEN_SPENT ? -EVEN_ESPENT : -EVEN_EAWAITED, x, site));

    int rc = even_loop_new(&loop, &loop_options);
    if (rc < 0)
        return fail_run(x, report_run(rc, x, site));
    even__heap_each(mark_old, NULL);
    if ((rc = even__loop_enter(loop)) < 0) {
        even_loop_close(loop);
        return fail_run(x, report_run(rc, x, site));
    }
    struct even__task *forked_in = even__thread.task;   /* a task of the parent's, if this process was forked in one */
    struct even__root root = even__thread.root;
    even__thread.task = NULL;
    even__overflow_watch(running_stack);
    take_signals(&signals, loop, x);
    even__trace(RUN, .loop = loop, .object = x, .site = site);

    int run_status = run_until_done(loop, x, site);
    int end_status = even__tasks_shut_down(loop);

    even__trace(RUN_END, .loop = loop, .object = x, .status = x->status);
    *interrupted = signals.took_int && interrupt.delivered && x->status == -ECANCELED;
    give_signals_back(&signals);
    even__loop_leave(loop);
    even__heap_each(sweep, x);
    even__heap_settle();
    even_loop_close(loop);
    even__thread.loop = outer;
    even__thread.task = forked_in;
    even__thread.root = root;

    rc = run_status < 0 ? run_status : end_status < 0 ? end_status : *interrupted ? -EINTR : 0;
    if (rc < 0 || x->status < 0)
        report_main(x, rc < 0 ? rc : x->status, rc == -EINTR);
    if (rc < 0)
        return fail_run(x, rc);
    if (!(x->flags & EVEN__STATIC))
        x->flags |= EVEN__FETCHED;
    return even__thread.last_status = x->status;
}

int even_run_any(even_awaitable *x, const even_run_options *options, int abi)
{
    bool interrupted = false;
    return run(x, options, abi, __builtin_return_address(0), &interrupted);
}

/* A shell goes on with its script, or its loop, after a program that gave 130 by itself: Ctrl-C is to end that, too. So a program
 * that SIGINT ended, and whose main() gives what even_main() gave it, dies of SIGINT in the end. */
enum { INTERRUPTED = 128 + SIGINT };
static volatile bool dies_of_sigint;

static void look_at_exit_status(int status, void *unused)
{
    (void)unused;
    dies_of_sigint = status == INTERRUPTED;
}

__attribute__((destructor)) static void die_as_interrupted(void)
{
    if (!dies_of_sigint)
        return;
    struct sigaction standard = { .sa_handler = SIG_DFL };
    fflush(NULL);           /* all that exit() would still do */
    sigaction(SIGINT, &standard, NULL);
    raise(SIGINT);
}

int even_main_any(even_awaitable *x, const even_run_options *options, int abi)
{
    bool interrupted = false;
    int status = run(x, options, abi, __builtin_return_address(0), &interrupted);
    int code = interrupted ? INTERRUPTED : status < 0 ? EXIT_FAILURE : 0;
    if (interrupted)
        (void)on_exit(look_at_exit_status, NULL);
    if (status == 0 && x->kind->result_class == EVEN_RESULT_INT)
        memcpy(&code, even__result_of(x), sizeof code);
    even_unref(x);
    return code;
}
