/* even_run: a loop, its main task, and the end of all. Follows asyncio.run and asyncio.Runner. */
#include "interrupt.h"
#include "../base/sys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A task that is pending now is another loop's. It may end in this run, cancelled for one, and is no less known for that. */
static void mark_old(void *cell, void *data)
{
    even_awaitable *x = cell;
    (void)data;
    if (is_left(x) || (x->state == EVEN_ACTIVE && even__is_task(x)))
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
static even__noinline void report_main(const even_awaitable *x, int status, int signal_number)
{
    char name[EVEN__DESCRIPTION_MAX];
    if (!even__report_wanted(x->kind))
        return;
    even__describe(x, name, sizeof name);
    if (status == -EINTR && signal_number)
        even__report("the main %s was interrupted by SIG%s", name, sigabbrev_np(signal_number));
    else if (status == -ECANCELED)
        even__report("the main %s was cancelled", name);
    else
        even__report("the main %s failed with %s (%s)", name, even_errname(status), even_strerror(status));
}

/* The run failed: what the main coroutine returned, if anything, is not the answer. */
static int fail_run(even_awaitable *x, int status)
{
    if (!(x->flags & EVEN__STATIC) && (x->state == EVEN_INERT || x->state == EVEN_DONE)) {
        even__end_inert(x, status);
        x->flags |= EVEN__FETCHED;
    } else if (!(x->flags & EVEN__STATIC)) {
        /* A future that is pending on; what is awaited elsewhere, where its own result comes over this one; what is spent. */
        ASAN_UNPOISON_MEMORY_REGION(x + 1, x->kind->result_size);
        even__set_failed_result(x, status);
    }
    return even__thread.last_status = status;
}

static int run(even_awaitable *x, const even_run_options *options, int abi, const void *site, int *signal_number)
{
    even_loop_options loop_options = { .backend = options ? options->backend : NULL, .seed = options ? options->seed : 0 };
    struct even__signals signals;
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
    even__overflow_watch(running_stack);
    even__signals_take(&signals, loop, x, options);
    even__sigpipe_ignore();
    even__trace(RUN, .loop = loop, .object = x, .site = site);

    int run_status = run_until_done(loop, x, site);
    int end_status = even__tasks_shut_down(loop, options ? options->grace : 0);

    even__trace(RUN_END, .loop = loop, .object = x, .status = x->status);
    *signal_number = even__signals_stopped(&signals, x);
    const int second_signal = even__signals_deadly(&signals);
    even__signals_give_back(&signals);
    even__sigpipe_restore();
    even__receivers_end(loop);
    even__loop_leave(loop);
    struct even__task *forked_in = even__thread.task;   /* a task of the parent's, if this process was forked in one */
    even__thread.loop = NULL;
    even__thread.task = NULL;
    if (!even__loop_is_parents(loop))       /* in a fork's child it is the parent's to tell of, and the loop still has some */
        even__heap_each(sweep, x);
    even__heap_settle();
    even_loop_close(loop);
    even__thread.loop = outer;
    even__thread.task = forked_in;

    if (run_status == -EVEN_ESTOPPED && end_status == -EVEN_ESTUCK)
        run_status = end_status;        /* that is what stopped it, perhaps: a main operation that cannot be cancelled */
    rc = run_status < 0 ? run_status : end_status < 0 ? end_status : *signal_number ? -EINTR : 0;
    if (rc < 0 || x->status < 0)
        report_main(x, rc < 0 ? rc : x->status, *signal_number);
    if (second_signal)
        even__die_of(second_signal);
    if (rc < 0)
        return fail_run(x, rc);
    if (!(x->flags & EVEN__STATIC))
        x->flags |= EVEN__FETCHED;
    return even__thread.last_status = x->status;
}

int even_run_any(even_awaitable *x, const even_run_options *options, int abi)
{
    int signal_number = 0;
    return run(x, options, abi, __builtin_return_address(0), &signal_number);
}

int even_main_any(even_awaitable *x, const even_run_options *options, int abi)
{
    int signal_number = 0;
    int status = run(x, options, abi, __builtin_return_address(0), &signal_number);
    int code = even__exit_by(signal_number);
    if (code == 0 && status < 0)
        code = EXIT_FAILURE;
    if (status == 0 && x->kind->result_class == EVEN_RESULT_INT)
        memcpy(&code, even__result(x), sizeof code);
    even_unref(x);
    return code;
}
