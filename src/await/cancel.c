/* Cancelling: how a request goes from whoever asks to what is waited for, and how a run asks all of its tasks to end. A request
 * is delivered by the await that it meets, in await.c.
 *
 * As asyncio's Task.cancel(), a request is passed on to what the task waits for, and on from there: to the task that it awaits,
 * to all children of a gather, and at last to operations and futures, which end by it. All who wait on the way are told when what
 * they wait for has ended.
 *
 * One walk does that, at any depth, without a stack of its own: from a task there is one way on, so that tasks make chains, and
 * a gather is a *fork*, which knows from which fork the walk came. A walk has a number. What it meets gets that as its mark while
 * the walk is beyond it, and the next number afterwards. So each object is asked once; and where the walk comes back to its own
 * way, that is a ring, in which all would wait for each other for ever: there it is broken. */
#include "await.h"
#include "../base/sys.h"

/* ---- the walk ---- */

struct walk {
    uint32_t number;
    struct even__fork *fork;        /* in which it is; NULL: it has met none, or is through with all */
};

enum meeting { NEW, ON_THE_WAY, FINISHED };

static enum meeting meet(uint32_t mark, const struct walk *w)
{
    return mark == w->number ? ON_THE_WAY : mark == w->number + 1 ? FINISHED : NEW;
}

static struct even__fork *fork_of(even_awaitable *x)
{
    return x->kind->forks ? (struct even__fork *)(void *)((char *)x + x->kind->argument_offset) : NULL;
}

/* What can be walked through: a task that runs on a stack, or will. */
static struct even__task *walker_of(even_awaitable *x)
{
    return even__is_task(x) && !even__is_operation(x->by.task) ? x->by.task : NULL;
}

/* What the task waits for will not tell it: it is woken all the same, and finds that. */
static void break_wait(struct even__task *t)
{
    if (!t->waits_for || t->waits_for->state == EVEN_DONE || !even_handle_is_queued(&t->wake))
        return;
    even__remove_waiter(t->waits_for, &t->wake);
    even__call_soon(t->loop, &t->wake);
}

static void note_request(struct even__task *t)
{
    even__check_slow(t->object->state == EVEN_ACTIVE);
    t->cancelling++;
    even__trace(CANCEL, .loop = t->loop, .task = t->object, .object = even__current_object());
}

/* Enter a fork, unless the walk is in it, or was, or another one is, in which somebody's cancel function made this one. */
static bool ask_fork(struct walk *w, even_awaitable *x, struct even__fork *fork, struct even__task *waiter)
{
    const enum meeting meeting = meet(fork->mark, w);
    if (meeting == ON_THE_WAY && waiter)
        break_wait(waiter);
    if (meeting != NEW || fork->object)
        return true;
    if (!fork->kind->takes(x))
        return false;
    fork->mark = w->number;
    fork->object = even_ref_any(x);
    fork->at = 0;
    fork->up = w->fork;
    w->fork = fork;
    return true;
}

static bool ask_operation(even_awaitable *x)
{
    if (even__is_task(x))
        note_request(x->by.task);
    return x->kind->cancel && x->kind->cancel(x);
}

/* From x along the tasks that wait for each other, to the end of the way, or to a fork. True if x takes the request. */
static bool follow(struct walk *w, even_awaitable *x)
{
    struct even__task *last = NULL, *t;
    bool taken = false;
    while (x->state == EVEN_ACTIVE && (t = walker_of(x))) {
        const enum meeting meeting = meet(t->mark, w);
        if (meeting == ON_THE_WAY) {
            break_wait(last ? last : t);
            (last ? last : t)->cancel_sent = true;
        } else if (last) {
            last->cancel_sent = true;
        }
        if (meeting != NEW)
            return true;
        t->mark = w->number;
        note_request(t);
        if (!t->waits_for || t->waits_for->state == EVEN_DONE) {
            t->must_cancel = true;
            return true;
        }
        last = t;
        x = t->waits_for;
    }
    if (x->state == EVEN_ACTIVE)
        taken = fork_of(x) ? ask_fork(w, x, fork_of(x), last) : ask_operation(x);
    if (!last)
        return taken;
    if (taken)
        last->cancel_sent = true;
    else
        last->must_cancel = true;
    return true;
}

/* The walk is through with the way that began at x. */
static void finish(struct walk *w, even_awaitable *x)
{
    struct even__task *t;
    while (x && x->state == EVEN_ACTIVE && (t = walker_of(x)) && t->mark == w->number) {
        t->mark = w->number + 1;
        x = t->waits_for;
    }
}

/* A walk's number. Nothing that was never met has the mark of one. */
static uint32_t new_number(void)
{
    even__thread.walks += 2;
    return even__thread.walks ? even__thread.walks : (even__thread.walks = 2);
}

static bool walk_from(even_awaitable *x, uint32_t number)
{
    struct walk w = { .number = number };
    const bool taken = follow(&w, x);
    while (w.fork) {                /* bounded: each fork is entered once, and gives each of its children once */
        struct even__fork *fork = w.fork;
        even_awaitable *child = fork->kind->next(fork), *object;
        if (child) {
            fork->way = child;
            follow(&w, child);
            if (w.fork == fork)
                finish(&w, child);
            continue;
        }
        fork->mark = w.number + 1;
        w.fork = fork->up;
        finish(&w, w.fork ? w.fork->way : x);
        object = fork->object;
        fork->object = NULL;
        even_unref(object);
    }
    return taken;
}

bool even_cancel_any(even_awaitable *x)
{
    if (x->state == EVEN_DONE || x->state == EVEN_SPENT || even__is_anothers(x, "cancelled", __builtin_return_address(0)))
        return false;
    if (x->state == EVEN_INERT) {
        even__end_inert(x, -ECANCELED);
        return true;
    }
    return walk_from(x, new_number());
}

bool even__pass_request_on(struct even__task *t)
{
    return walk_from(t->waits_for, t->mark = new_number());
}

/* ---- counting ---- */

/* A main task that was asked to end by a signal takes that back: no end is near, unless all were asked already. */
static inline void main_goes_on(const struct even__task *t)
{
    const struct even__tasks *tasks = t->loop->tasks;
    if (even__unlikely(tasks->main == t->object) && !tasks->insists)
        even__end_is_off(t->loop);
}

unsigned even_cancelling(const even_task *task)
{
    const struct even__task *t = even__task_of((even_task *)(uintptr_t)task);
    return t ? t->cancelling : 0;
}

unsigned even_uncancel(even_task *task)
{
    struct even__task *t = even__task_of(task);
    if (!t)
        return 0;
    if (task && even__is_anothers(&task->base, "uncancelled", __builtin_return_address(0)))
        return t->cancelling;
    if (t->cancelling == 0)
        return 0;
    if (--t->cancelling == 0) {
        t->must_cancel = false;
        t->canceled_at = NULL;
        if (t->object->state == EVEN_ACTIVE && t->loop)
            main_goes_on(t);
    }
    return t->cancelling;
}

/* ---- the end of a run ---- */

/* Every task is asked once, as in asyncio.run(), and its cleanup may await and make tasks. After the time of grace all are asked
 * again, and from then on each await that they begin; who goes on through a hundred of these is given up. So is, after the same
 * time again, who waits for what cannot be cancelled. */

static const double GRACE = 5;
enum { ASKED_MOST = 100 };

bool even__end_is_on(const even_loop *loop)
{
    const struct even__tasks *tasks = loop->tasks;
    return tasks && tasks->ending;
}

static void give_up(struct even__task *t)
{
    char name[EVEN__DESCRIPTION_MAX], site[EVEN__SITE_MAX];
    bool wanted = even__report_wanted(t->object->kind);
    even__describe(t->object, name, sizeof name);
    if (wanted && !t->adrift)
        even__report("%s has not ended, waits for '%s', and is given up", name,
                     t->waits_for ? t->waits_for->kind->name : t->object->kind->name);
    else if (wanted && t->canceled_at)
        even__report("%s went on through a hundred cancellations and is given up; it was first told by the await at %s", name,
                     even__site_name(t->canceled_at, site, sizeof site));
    else if (wanted)
        even__report("%s began a hundred awaits that told it of no cancellation, and is given up", name);
    ((struct even__tasks *)t->loop->tasks)->stuck = true;
    even__task_abandon(t, -EVEN_ESTUCK);
}

static void reap(even_handle *h)
{
    struct even__tasks *tasks = even__container_of(h, struct even__tasks, reap);
    for (even_handle *at = tasks->all.next, *next; at != &tasks->all; at = next) {
        next = at->next;
        if (even__task_of_link(at)->adrift)
            give_up(even__task_of_link(at));
    }
}

bool even__end_renew(struct even__task *t)
{
    struct even__tasks *tasks = t->loop->tasks;
    if (t->shutdown_awaits++ < ASKED_MOST) {
        t->must_cancel = true;
        return true;
    }
    t->adrift = true;
    if (!even_handle_is_queued(&tasks->reap))
        even__call_soon(t->loop, &tasks->reap);
    return false;
}

/* Cancelling one may end others at once: each stands in one of the two lists, and whoever ends leaves it. */
static void ask_all(struct even__tasks *tasks)
{
    even_handle todo;
    even__queue_init(&todo);
    even__queue_splice(&todo, &tasks->all);
    while (!even__queue_is_empty(&todo)) {
        even_handle *h = todo.next;
        even__queue_remove(h);
        even__queue_append(&tasks->all, h);
        even_cancel_any(even__task_of_link(h)->object);
    }
}

static void insist(even_loop *loop, even_handle *when_over)
{
    struct even__tasks *tasks = loop->tasks;
    tasks->insists = true;
    ask_all(tasks);
    tasks->end = (even_timer){ .handle = *when_over };
    if (even_call_later(loop, &tasks->end, tasks->grace > 0 ? tasks->grace : GRACE) < 0)
        when_over->run(&tasks->end.handle);     /* without memory for a timer there is no more time */
}

/* The main object is no task with a stack, and did not end when it was asked: the run does without it. */
static void give_main_up(struct even__tasks *tasks)
{
    char name[EVEN__DESCRIPTION_MAX];
    if (even__report_wanted(tasks->main->kind))
        even__report("the main %s has not ended, and is given up", even__describe(tasks->main, name, sizeof name));
    tasks->stuck = true;
    even_loop_stop(tasks->loop);
}

static void time_is_over(even_handle *h)
{
    struct even__tasks *tasks = even__container_of(h, struct even__tasks, end.handle);
    even_handle todo;
    even__queue_init(&todo);
    even__queue_splice(&todo, &tasks->all);
    while (!even__queue_is_empty(&todo)) {
        struct even__task *t = even__task_of_link(todo.next);
        even__queue_remove(&t->all);
        even__queue_append(&tasks->all, &t->all);
        if (!even__is_operation(t))
            give_up(t);
    }
    tasks->over = true;         /* an operation that knows no cancel is left to the loop's end */
    if (tasks->main && !even_is_done(tasks->main))
        give_main_up(tasks);
}

static void grace_is_over(even_handle *h)
{
    struct even__tasks *tasks = even__container_of(h, struct even__tasks, end.handle);
    insist(tasks->loop, &(even_handle)EVEN_HANDLE(time_is_over));
}

void even__end_begins(even_loop *loop, double grace, even_awaitable *main)
{
    struct even__tasks *tasks = even__tasks_of(loop);
    if (!tasks || tasks->ending)
        return;
    tasks->ending = true;
    tasks->main = main;
    tasks->grace = grace > 0 || grace < 0 ? grace : GRACE;
    tasks->reap = (even_handle)EVEN_HANDLE(reap);
    tasks->end = (even_timer)EVEN_TIMER(grace_is_over);
    if (tasks->grace < 0 || even_call_later(loop, &tasks->end, tasks->grace) < 0)
        grace_is_over(&tasks->end.handle);
}

void even__end_at_once(even_loop *loop)
{
    struct even__tasks *tasks = loop->tasks;
    if (!tasks || !tasks->ending || tasks->insists)
        return;
    even_timer_cancel(loop, &tasks->end);
    grace_is_over(&tasks->end.handle);
}

void even__end_is_off(even_loop *loop)
{
    struct even__tasks *tasks = loop->tasks;
    if (!tasks || !tasks->ending)
        return;
    even_timer_cancel(loop, &tasks->end);
    even_handle_cancel(&tasks->reap);
    tasks->ending = tasks->insists = false;
    tasks->main = NULL;
}

/* A pass that failed, for want of memory perhaps, may succeed the next time: the tasks are to be unwound if it can be. */
enum { SHUTDOWN_FAILURES = 16 };

int even__tasks_shut_down(even_loop *loop, double grace)
{
    struct even__tasks *tasks = loop->tasks;
    int failed = 0, failures = 0;

    if (!tasks)
        return 0;
    even__end_begins(loop, grace, NULL);
    tasks->main = NULL;
    if (!tasks->insists)
        ask_all(tasks);
    while (failures < SHUTDOWN_FAILURES && !tasks->over && !even__queue_is_empty(&tasks->all)) {    /* bounded: see above */
        int rc = even__loop_pass(loop, true);
        loop->stopping = false;     /* it ends anyway; and would never wait, else */
        if (rc < 0) {
            failures++;
            failed = rc;
        }
    }
    even__end_is_off(loop);
    return failed ? failed : tasks->stuck ? -EVEN_ESTUCK : 0;
}
