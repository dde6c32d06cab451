/* Tasks: what the loop runs. The first step is a call_soon; what a task waits for holds its wake-up, and schedules it. */
#include "await.h"
#include "../base/sys.h"
#include <fenv.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the loop's tasks ---- */

/* Compilers cache thread-local addresses across a switch: a task that has begun stays where it is. */
static bool is_bound(const even_loop *loop)
{
    const struct even__tasks *tasks = loop->tasks;
    return !even__queue_is_empty(&tasks->all);
}

static void close_tasks(even_loop *loop);
static void free_tasks(even_loop *loop);
static const struct even__above above = { is_bound, close_tasks, free_tasks, even__tasks_are_valid };

struct even__tasks *even__tasks_of(even_loop *loop)
{
    struct even__tasks *tasks = loop->tasks;
    if (even__likely(tasks != NULL))
        return tasks;
    if (!(tasks = even__calloc(sizeof *tasks)))
        return NULL;
    even__queue_init(&tasks->all);
    tasks->loop = loop;
    loop->tasks = tasks;
    loop->above = &above;
    return tasks;
}

size_t even_all_tasks(even_task **out, size_t capacity)
{
    struct even__tasks *tasks = even__thread.loop ? even__thread.loop->tasks : NULL;
    size_t n = 0;
    if (!tasks)
        return 0;
    for (even_handle *h = tasks->all.next; h != &tasks->all; h = h->next, n++)
        if (n < capacity)
            out[n] = (even_task *)even__task_of_link(h)->object;
    return n;
}

even_task *even_current_task(void)
{
    return even__thread.task ? (even_task *)even__thread.task->object : NULL;
}

/* ---- names ---- */

const char *even__task_name(struct even__task *t)
{
    char text[32];
    if (!t->name) {
        snprintf(text, sizeof text, "Task-%u", t->id);
        t->name = even__strdup(text);
    }
    return t->name ? t->name : "a task";
}

const char *even_name_any(const even_awaitable *x)
{
    return even__is_task(x) && x->state != EVEN_SPENT ? even__task_name(x->by.task) : x->kind->name;
}

int even_set_name_any(even_awaitable *x, const char *name)
{
    if (!even__is_task(x) || x->state == EVEN_SPENT)
        return -EINVAL;
    if (even__is_anothers(x, "given a name", __builtin_return_address(0)))
        return -EVEN_ETHREAD;
    char *copy = even__strdup(name);
    if (!copy)
        return -ENOMEM;
    even__free(x->by.task->name);
    x->by.task->name = copy;
    return 0;
}

/* ---- running ---- */

/* What the C++ runtime knows of a thread's exceptions (the Itanium ABI: the chain of those that are caught, and how many are not)
 * is each task's own, for it may wait in a catch block. The function is NULL in a program without C++. */
struct exceptions {
    void *caught;
    unsigned uncaught;
};
struct exceptions *__cxa_get_globals(void) __attribute__((weak));

static struct exceptions take_exceptions(void)
{
    struct exceptions taken = { NULL, 0 };
    if (__cxa_get_globals) {
        taken = *__cxa_get_globals();
        *__cxa_get_globals() = (struct exceptions){ NULL, 0 };
    }
    return taken;
}

static void give_exceptions(const struct exceptions *taken)
{
    if (__cxa_get_globals)
        *__cxa_get_globals() = *taken;
}

static bool is_plain(const struct even__task *t)
{
    return !(t->own_rounding | even__sanitized | (__cxa_get_globals != NULL));
}

even__noinline void even__task_suspend_with_ado(struct even__task *t)
{
    fenv_t mine;
    const struct exceptions exceptions = take_exceptions();
    t->went_on |= t->canceled_at != NULL;
    t->plain = is_plain(t);
    if (t->own_rounding) {
        fegetenv(&mine);
        fesetenv(FE_DFL_ENV);
    }
    even__stack_leave(&even__thread.root, t->stack, even__sanitized);
    if (t->own_rounding)
        fesetenv(&mine);
    give_exceptions(&exceptions);
}

#ifdef EVEN__TSAN
__attribute__((no_sanitize("thread")))
#endif
static even__noinline __attribute__((noreturn)) void exit_with_ado(struct even__task *t)
{
    if (t->own_rounding)
        fesetenv(FE_DFL_ENV);
    even__stack_exit(&even__thread.root, t->stack, even__sanitized);
}

/* Its shadow call stack would grow with each task that ends in it. */
#ifdef EVEN__TSAN
__attribute__((no_sanitize("thread")))
#endif
void even__stack_main(void)
{
    struct even__task *t = even__thread.task;
    even__stack_begin(&even__thread.root, t->stack);
    even__body_run(t->object);
    t->over = true;
    if (even__unlikely(!t->plain))
        exit_with_ado(t);
    even__stack_exit(&even__thread.root, t->stack, false);
}

/* A body that got a cancellation, awaited something more and ended well went on after it; one that meant to says so, by
 * even_uncancel(). One that maps its failures to another result and returns did not. */
static even__noinline void report_went_on(struct even__task *t)
{
    char name[EVEN__DESCRIPTION_MAX], site[EVEN__SITE_MAX];
    if (!even__report_wanted(t->canceled_at))
        return;
    even__report("%s went on after its cancellation, which the await at %s was told; call even_uncancel() if that is intended",
                 even__describe(t->object, name, sizeof name), even__site_name(t->canceled_at, site, sizeof site));
}

void even__task_ended(struct even__task *t)
{
    even__check_slow(t->object->state == EVEN_DONE);
    even__queue_remove(&t->all);
    if (t->wake.next)
        even__queue_remove(&t->wake);
    if (even__unlikely(t->went_on && t->canceled_at && t->cancelling && t->object->status == 0))
        report_went_on(t);
    even_unref(t->object);      /* the loop's reference; the task goes with the last one */
}

/* The end of a task that ran on a stack, or never got one. */
static void task_over(struct even__task *t, int status)
{
    if (t->stack) {
        even__stack_put(t->stack);
        t->stack = NULL;
    }
    even__check_slow(t != even__thread.task);
    even__complete(t->object, status);  /* ends the task, too */
}

static even__noinline void report_stack_size(struct even__task *t)
{
    char name[EVEN__DESCRIPTION_MAX];
    if (even__report_wanted(t->object->kind))
        even__report("%s wants a stack of %" PRIu32 " bytes%s; the largest has 64 MiB",
                     even__describe(t->object, name, sizeof name), t->stack_size, t->stack_size == UINT32_MAX ? " or more" : "");
}

/* False if it is over already, and gone perhaps; or needs no stack. */
static even__noinline bool first_step(struct even__task *t)
{
    int error;
    even__check_slow(!t->stack && !t->waits_for);
    t->started = true;
    if (even__unlikely(t->must_cancel)) {   /* its body never runs */
        t->must_cancel = false;
        even__trace(CANCELED, .loop = t->loop, .task = t->object);
        task_over(t, -ECANCELED);
        return false;
    }
    if (!even__is_coroutine(t->object)) {   /* an operation needs no stack: it begins, and its end is the task's */
        if (t->object->kind->start)
            t->object->kind->start(t->object);
        else
            even__complete(t->object, 0);
        return false;
    }
    t->stack = even__stack_get(t->stack_size, &error);
    if (even__unlikely(!t->stack)) {
        if (error == -EINVAL)
            report_stack_size(t);
        task_over(t, error);
        return false;
    }
    t->last_status = 0;
    even__stack_reset(t->stack);
    if (even__unlikely(!even__thread.errno_location))
        even__thread.errno_location = &errno;
    t->innermost = t->object;
    t->plain = is_plain(t);
    return true;
}

/* What the runner of the loop has caught is not the task's. */
static even__noinline void enter_with_ado(struct even__task *t)
{
    const struct exceptions exceptions = take_exceptions();
    even__stack_enter(&even__thread.root, t->stack, even__sanitized);
    give_exceptions(&exceptions);
}

even__returns_after_switch void even__task_step(even_handle *h)
{
    struct even__task *t = even__container_of(h, struct even__task, wake);

    even__check_slow(!even__thread.task && !t->over && t->object->state == EVEN_ACTIVE && t->loop == even__thread.loop);
    even__trace(STEP, .loop = t->loop, .task = t->object, .value = t->started);
    if (even__unlikely(!t->plain) && !t->started && !first_step(t))
        return;
    even__thread.task = t;
    if (even__unlikely(!t->plain))
        enter_with_ado(t);
    else
        even__stack_enter(&even__thread.root, t->stack, false);
    even__thread.task = NULL;
    if (t->over)
        task_over(t, t->object->status);
}

void even__trace_woken(even_loop *loop, const even_awaitable *x, const even_handle *first)
{
    const even_handle *h = first;
    do {
        if (h->run == even__task_step)
            even__trace(WOKEN, .loop = loop, .task = even__container_of(h, struct even__task, wake)->object, .object = x);
        h = h->next;
    } while (h != first);
}

/* ---- making ---- */

static even__noinline void report_no_task(even_awaitable *x, int why, const void *site)
{
    char name[EVEN__DESCRIPTION_MAX], where[EVEN__SITE_MAX];
    if (!even__report_wanted(site))
        return;
    even__report("%s cannot become a task: %s; at %s", even__describe(x, name, sizeof name), even_strerror(why),
                 even__site_name(site, where, sizeof where));
}

static even__noinline even_awaitable *fail_to_make(even_awaitable *x, int status, const void *site)
{
    if (status != -ENOMEM)
        report_no_task(x, status, site);
    even__end_inert(x, status);
    return x;
}

even_awaitable *even__create_task(even_awaitable *x, const even_task_options *options, const void *site)
{
    even_loop *loop = even__thread.loop;
    struct even__tasks *tasks;
    struct even__task *t;

    if (even__unlikely(x->state != EVEN_INERT)) {
        if (x->state == EVEN_SPENT || (x->state == EVEN_ACTIVE && !even__is_shared(x)))
            report_no_task(x, x->state == EVEN_SPENT ? EVEN_ESPENT : EVEN_EAWAITED, site);
        return x;
    }
    if (even__unlikely(!loop))
        return fail_to_make(x, -EVEN_ENOLOOP, site);
    if (even__unlikely(!(tasks = even__tasks_of(loop)) || !(t = even__heap_alloc_record(sizeof *t))))
        return fail_to_make(x, -ENOMEM, site);
    *t = (struct even__task){ .wake = EVEN_HANDLE(even__task_step), .object = x, .loop = loop, .id = ++tasks->last_id };
    if (options) {
        t->own_rounding = options->own_rounding;
        t->stack_size = options->stack_size > UINT32_MAX ? UINT32_MAX : (uint32_t)options->stack_size;
        if (options->name && !(t->name = even__strdup(options->name))) {
            even__heap_free(t);
            return fail_to_make(x, -ENOMEM, site);
        }
    }
    even__queue_append(&tasks->all, &t->all);
    x->by.task = t;
    x->flags |= EVEN__TASK;
    x->state = EVEN_ACTIVE;
    x->refs++;                  /* the loop's, until it is over */
    even__trace(CREATED, .loop = loop, .task = even__current_object(), .object = x, .site = site);
    if (even__unlikely(tasks->insists))
        t->must_cancel = true;
    even__call_soon(loop, &t->wake);
    return x;
}

even_awaitable *even_create_task_any(even_awaitable *x, const even_task_options *options)
{
    return even__create_task(x, options, __builtin_return_address(0));
}

void even__task_free(struct even__task *t)
{
    even__free(t->name);
    even__heap_free(t);
}

/* ---- stacks ---- */

struct even__task *even__task_of(even_task *task)
{
    if (!task)
        return even__thread.task;
    return even__is_task(&task->base) && task->base.state != EVEN_SPENT ? task->base.by.task : NULL;
}

size_t even_stack_high_water(const even_task *task)
{
    const struct even__task *t = even__task_of((even_task *)(uintptr_t)task);
    return t && t->stack ? even__stack_high_water(t->stack) : 0;
}

void even_trim(void)
{
    even__stacks_trim(0);
}

/* ---- the end of all ---- */

void even__task_abandon(struct even__task *t, int status)
{
    t->canceled_at = NULL;
    t->object->flags |= EVEN__FETCHED;
    for (even_awaitable *x = t->innermost; x; x = x == t->object ? NULL : x->by.parent)
        even__wait_for_abandon(x, t->loop);
    if (t->waits_for && t->waits_for->state != EVEN_DONE) {
        even__remove_waiter(t->waits_for, &t->wake);
        even_cancel_any(t->waits_for);  /* an operation, another thread's job too, must not end in a loop that is gone */
    }
    t->waits_for = NULL;
    if (t->loop->owner != even__thread_number())
        t->stack = NULL;            /* of another thread's pool */
    if (t->stack)
        even__stack_abandon(t->stack);
    task_over(t, status);
}

/* The loop is closed over tasks that are pending: they end with -EVEN_ECLOSED. */
static void close_tasks(even_loop *loop)
{
    struct even__tasks *tasks = loop->tasks;
    even_handle pending;

    even__queue_init(&pending);
    even__queue_splice(&pending, &tasks->all);
    while (!even__queue_is_empty(&pending)) {
        struct even__task *t = even__task_of_link(pending.next);
        char name[EVEN__DESCRIPTION_MAX];
        if (even__report_wanted(t->object->kind))
            even__report("%s was still pending when its loop was closed", even__describe(t->object, name, sizeof name));
        even__queue_remove(&t->all);
        even__queue_append(&tasks->all, &t->all);
        if (even__is_operation(t))
            even_cancel_any(t->object);     /* at once, or as the backend is closed */
        else
            even__task_abandon(t, -EVEN_ECLOSED);
    }
}

static void free_tasks(even_loop *loop)
{
    struct even__tasks *tasks = loop->tasks;
    while (!even__queue_is_empty(&tasks->all)) {    /* operations that know no cancel: who completes them finds no loop */
        struct even__task *t = even__task_of_link(tasks->all.next);
        even__queue_remove(&t->all);
        even__queue_init(&t->all);
        t->loop = NULL;
    }
    even__free(tasks);
    loop->tasks = NULL;
    loop->above = NULL;
}
