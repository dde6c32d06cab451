/* Awaitables: coroutines, tasks, futures, operations and what combines them; as plain functions.
 *
 * Everything that can be waited for begins with one small header, even_awaitable, and its result follows:
 *
 *     struct say_after_co { even_awaitable base; const char *result; };
 *
 * so that a macro can be typed (`await(x)` has the type of x->result) and a function can be general: it takes
 * `&x->base`. The macros of async.h are what a C program uses; the functions here serve ISO C, C++ and bindings.
 */
#ifndef EVENLOOP_AWAIT_H
#define EVENLOOP_AWAIT_H

#include <evenloop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct even_awaitable even_awaitable;
typedef struct even_kind even_kind;
struct even__task;

enum even_state {
    EVEN_SPENT,         /* freed: kept only to be named in a message */
    EVEN_INERT,         /* nothing runs yet: a coroutine or an operation that nobody has awaited */
    EVEN_ACTIVE,        /* begun, not done */
    EVEN_DONE           /* status and result are set */
};

/*  0          8          16         24      28        30     31
 *  | kind     | waiters  | owner    | refs  | status  | state| flags |   then, at 32, the result  */
struct even_awaitable {
    const even_kind *kind;
    even_handle *waiters;           /* a ring of "wake me up" handles: scheduled, never called, when it is done */
    union {
        struct even__task *task;    /* with EVEN__TASK: the task that it is */
        even_awaitable *parent;     /* a coroutine awaited inline: the coroutine that awaits it */
        const void *site;           /* inert: where it was made */
        uint64_t loop;              /* any other that is active: the number of its loop, 0 while it has none */
    } by;
    uint32_t refs;
    int16_t status;                 /* 0, or why it failed */
    uint8_t state;
    uint8_t flags;
};

enum even__flags {
    EVEN__TASK = 1,                 /* by.task is set */
    EVEN__STATIC = 2,               /* lives for ever: the failed object of a constructor without memory */
    EVEN__FETCHED = 4,              /* somebody was told of its failure */
    EVEN__HELD = 8,                 /* a task that somebody took a reference to since it was made */
    EVEN__VALUE = 16,               /* even_value(): a negative result is a value, no failure */
    EVEN__OLD = 32,                 /* made before the run in progress */
    EVEN__FAILED = 64,              /* even_fail(): the status is set, whatever the body returns */
    EVEN__SPECIAL = 128             /* its kind has a drop function, or borrows: the last reference takes the long way */
};

enum even_result_class { EVEN_RESULT_OTHER, EVEN_RESULT_INT, EVEN_RESULT_LONG, EVEN_RESULT_VOID };

/* What a kind of awaitable is: static data. A program that defines awaitables of its own fills in `name`, `size`,
 * `result_size`, `result_class`, `start`, `cancel` and `drop`, leaves `enter` and the arguments out, and sees to even_complete().
 * A coroutine without the macros, in C++ for one, has `enter` and perhaps `drop` instead, and is done when `enter` returns. No
 * exception may leave any of these functions. (docs/own-awaitables.md) */
struct even_kind {
    const char *name;               /* "say_after": as reports name it */
    const char *file;
    int line;
    uint32_t size;                  /* of the whole object */
    uint32_t result_size;
    uint32_t argument_offset, argument_size;
    uint8_t result_class;           /* enum even_result_class */
    uint8_t borrows;                /* 1: a future's: many may wait for it; pending as soon as it is made */
    uint8_t yields;                 /* 1: even when it is done at once, whoever awaits it lets the others run first */
    uint8_t forks;                  /* 1: the library's own, for a cancellation that goes to several */
    /* A coroutine's body. Stores the result; gives it, too, if that is an int or a long, else 0. */
    long (*enter)(even_awaitable *self);
    /* Begin: called once, in the loop's thread, when it is first awaited. It may complete it at once. NULL: there is nothing
     * to begin, it is done as soon as it is awaited. */
    void (*start)(even_awaitable *self);
    /* Asked to end early: true if it will end by itself soon (with -ECANCELED, or its result if that came first);
     * false if it cannot, and the request is to wait for the next await. NULL: cannot. */
    bool (*cancel)(even_awaitable *self);
    /* The last reference is gone: give back what it holds, not its own memory. May be NULL. */
    void (*drop)(even_awaitable *self);
};

/* ---- Objects and loops -----------------------------------------------------------------------------------
 *
 * An object belongs to the loop in which it became active, and so do those that wait for it. A task, a gather, a shield and a
 * future are active as soon as they are made; a future that is made outside of a run, with its first waiter.
 *
 * The loop need not run: between two runs or two steps, and from another loop of the same thread, an object is completed,
 * cancelled, referred to and given up as ever; its waiters go on when their loop does. While it is pending, another loop's task
 * cannot await it: -EVEN_EOTHERLOOP, with a report. Once it is done it has no loop: it is a value with a count, which may be
 * awaited, gathered and shielded in any loop of its thread, and outlives its loop. What is pending when its loop is closed may
 * still be completed, cancelled and given up; its waiters are not run any more.
 *
 * Another thread must not touch it, for counts are not atomic. A call there that completes, cancels, names or gives up something
 * pending, or takes a handle back from it, is reported and does nothing. even_ref() and even_unref() are too short to ask. Push
 * a handle (even_call_soon_threadsafe(), even_door_call_soon()), and let it do that. */

/* ---- Awaitables in general ------------------------------------------------------------------------------- */

/* A new object of a kind: its memory is zero behind the header, its one reference is the caller's. NULL without
 * memory: return a static one that failed, made with EVEN_AWAITABLE_FAILED(). */
EVEN_API even_awaitable *even_awaitable_new(const even_kind *kind);

#define EVEN_AWAITABLE_FAILED(kind_pointer, status) \
    { (kind_pointer), NULL, { NULL }, 1, (status), EVEN_DONE, EVEN__STATIC | EVEN__FETCHED }

/* It is done: with 0 and the result that was stored behind the header, or with a failure. Its waiters are
 * scheduled, in its loop. -EVEN_ESTATE if it was done before, -EVEN_ETHREAD if it is another thread's, both with a report.
 * (Future.set_result, set_exception) */
EVEN_API int even_complete(even_awaitable *x, int status);

EVEN_API bool even_is_done(const even_awaitable *x);
/* Its status, once done; -EINPROGRESS before. (Future.exception) */
EVEN_API int even_status_of(const even_awaitable *x);

/* Run the running task until x is done; consumes the reference. May suspend. The result is read behind the header
 * between even_await_any() and even_unref(), as `await` does:
 *     int status = even_await_any(x); ... ; even_unref(x);
 * Gives the status: that of x, or, with a report that names x, -EVEN_ENOTASK, -EVEN_ESPENT, -EVEN_EAWAITED,
 * -EVEN_ESELF, -EVEN_EOTHERLOOP. Cancelling: x is cancelled, and this waits for its end. */
EVEN_API int even_await_any(even_awaitable *x);
EVEN_API void even_unref(even_awaitable *x);
EVEN_API even_awaitable *even_ref_any(even_awaitable *x);    /* gives x */
/* Give up the caller's reference. A task goes on; a failure of it that nobody fetches is reported. An inert object is
 * dropped: "coroutine 'f' was never awaited". */
EVEN_API void even_detach_any(even_awaitable *x);

/* The status of the running task's last await: 0, or why it failed. */
EVEN_API int even_status(void);

/* Schedule a handle in the running loop when x is done; at once if it is. The handle gives no reference; take it back with
 * even_remove_done_callback() before x may go. -EVEN_ENOLOOP, -EVEN_ESPENT; -EVEN_ESTATE for a handle that is queued, or a
 * coroutine that is no task; -EVEN_EOTHERLOOP, with a report. (Future.add_done_callback) */
EVEN_API int even_add_done_callback_any(even_awaitable *x, even_handle *h);
EVEN_API void even_remove_done_callback_any(even_awaitable *x, even_handle *h);

/* ---- Tasks ----------------------------------------------------------------------------------------------- */

/* A task seen without its type: what even_current_task() gives; every create_task() result can be cast to it. */
typedef struct even_task { even_awaitable base; } even_task;

typedef struct even_task_options {
    const char *name;       /* copied; NULL: "Task-7" */
    size_t stack_size;      /* bytes, rounded up to 16, 64 or 256 KiB, or to 1, 8 or 64 MiB; more: -EINVAL; 0: 64 KiB */
    bool own_rounding;      /* it changes the floating-point environment (fenv.h): keep one for it, some 50 ns a switch */
} even_task_options;

/* Make x a task of the running loop: its first step is scheduled, nothing runs yet. The caller's reference stays, the
 * loop has its own. A future is left as it is. Failures are told by x, which is then done: -ENOMEM, -EVEN_ENOLOOP.
 * Gives x. Each task is awaited (or given to gather or wait_for), or detached. One with which nothing of that was done, and to
 * which nobody took another reference (even_ref()), was forgotten: if it is done when its even_run() ends, it is given up then,
 * and its failure is reported. (asyncio.create_task) */
EVEN_API even_awaitable *even_create_task_any(even_awaitable *x, const even_task_options *options);

/* The task that runs, or NULL. Borrowed. (asyncio.current_task) */
EVEN_API even_task *even_current_task(void);

/* The loop's tasks that are not done, oldest first: fills up to `capacity` borrowed pointers, gives how many there
 * are. Outside of a run: 0. (asyncio.all_tasks) */
EVEN_API size_t even_all_tasks(even_task **tasks, size_t capacity);

/* How many bytes of its stack a task (NULL: the running one) has used at most, counted in what was touched since the stack was
 * mapped: an upper bound, since stacks are reused. 0 if it has none. */
EVEN_API size_t even_stack_high_water(const even_task *task);

/* Give the memory of this thread's idle stacks back to the system. (Those that nobody wanted for a while go by themselves.) */
EVEN_API void even_trim(void);

/* A task's name: valid while the task is. Of something that is no task: its kind's name. (Task.get_name) */
EVEN_API const char *even_name_any(const even_awaitable *x);
/* The name is copied. -EINVAL if it is no task, -ENOMEM; -EVEN_ETHREAD, with a report, if it is another thread's.
 * (Task.set_name) */
EVEN_API int even_set_name_any(even_awaitable *x, const char *name);

/* ---- Cancellation ------------------------------------------------------------------------------------------ */

/* Ask a task, a future, a gather or an operation in progress to end. For a task: -ECANCELED is delivered once, at the
 * await in progress, through what it waits for; before its first step, its body never runs. True if the request was
 * taken, false if it is done already, or, with a report, if it is another thread's. (Task.cancel, Future.cancel)
 * What was passed as an argument to a body that never runs is not given back by it: keep a reference of your own. */
EVEN_API bool even_cancel_any(even_awaitable *x);
/* How many requests a task has had, less its uncancels. (Task.cancelling) */
EVEN_API unsigned even_cancelling(const even_task *task);
/* The running task (NULL), or another, is done with one request: what a body calls that goes on after its
 * cancellation. Gives how many are left; at 0 a request not yet delivered is withdrawn. (Task.uncancel) */
EVEN_API unsigned even_uncancel(even_task *task);

/* ---- Futures ----------------------------------------------------------------------------------------------- */

/* A future with a result of `result_size` bytes (up to 4096; more: it has failed with -ENOMEM), pending, of the running loop. One
 * reference, the caller's: who awaits it takes it, who completes it borrows. If its result is an int or a long, `result_class`
 * says so, and a failure of it is its result, too. even_future_new() in async.h knows both. (loop.create_future) */
EVEN_API even_awaitable *even_future_new_any(size_t result_size, enum even_result_class result_class);
/* Checked before the result is stored: 0, or -EVEN_ESTATE. */
EVEN_API int even_future_check(const even_awaitable *f);

/* ---- Combinators ------------------------------------------------------------------------------------------- */

/* Views of awaitables by their result. */
typedef struct even_int_aw { even_awaitable base; int result; } even_int_aw;
typedef struct even_ssize_aw { even_awaitable base; ssize_t result; } even_ssize_aw;

/* Done after `seconds`; its result is 0. even_sleep(0) lets all that is ready run once. NaN: -EINVAL.
 * (asyncio.sleep) */
EVEN_API even_int_aw *even_sleep(double seconds) __attribute__((warn_unused_result));

typedef struct even_gather_entry {
    even_awaitable *object;         /* taken */
    void *into;                     /* where its result goes, or NULL */
    size_t size;                    /* of the result */
} even_gather_entry;

/* Done when all are, with 0; or when the first fails, with its failure, while the others go on and their targets are
 * let go. With `statuses` each failure goes there, and the gather's own status is 0. Coroutines and operations become tasks
 * at once. Cancelling it cancels what is not done and waits for it all. (asyncio.gather) */
EVEN_API even_int_aw *even_gather_entries(const even_gather_entry *entries, size_t n, int *statuses)
    __attribute__((warn_unused_result));
/* The same over arrays: `objects` is an array of n pointers to awaitables; `results` an array of n results, or NULL. */
EVEN_API even_int_aw *even_gather_array(size_t n, const void *objects, void *results, size_t result_size, int *statuses)
    __attribute__((warn_unused_result));

/* x, or -ETIMEDOUT once `seconds` have passed: x is cancelled then and its end waited for; a result that came first is the
 * result. A coroutine is awaited inline, no task is made. Takes x. (asyncio.wait_for) */
EVEN_API even_awaitable *even_wait_for_any(even_awaitable *x, double seconds) __attribute__((warn_unused_result));

/* Ends as x does; cancelling it does not cancel x. A coroutine or an operation becomes a task, and goes on by itself. A task or
 * a future, a gather too, is borrowed: it stays yours to await or to detach, so it wants a variable:
 *     __auto_type both = gather(a(), b());  await(shield(both));  ...  even_detach(both);
 * (asyncio.shield) */
EVEN_API even_awaitable *even_shield_any(even_awaitable *x) __attribute__((warn_unused_result));

/* ---- Running ----------------------------------------------------------------------------------------------- */

/* Which signals end a run; 0: both. Each where nobody else handles it, and in the main thread. */
enum even_stop_on { EVEN_STOP_ON_SIGINT = 1, EVEN_STOP_ON_SIGTERM = 2, EVEN_STOP_ON_NONE = 4 };

typedef struct even_run_options {
    const char *backend;            /* as even_loop_options */
    uint64_t seed;
    unsigned stop_on;               /* of enum even_stop_on */
    double grace;                   /* seconds that tasks have to end; 0: 5; less than that: none */
} even_run_options;

/* Make a loop, run x as its main task, cancel and await what still runs then, close the loop. Takes x; gives its status;
 * the result is behind the header until the caller's even_unref(). SIGPIPE is ignored meanwhile. A failure is reported in one
 * line, too; as an exit status (`return even_run(...)` in main) it is what the system makes of a negative number, 256 - errno:
 * see even_main().
 *
 * The run ends when the main task does. SIGINT and SIGTERM cancel it, once; if it ends by that, the run gives -EINTR, and if it
 * calls even_uncancel(), it goes on. Then every task that is left is cancelled once, and may await and make tasks in its
 * cleanup. After `grace` seconds (a second signal: at once), all are asked again, and so is each await that they begin: a task
 * that went on through a hundred of those is named, and given up with -EVEN_ESTUCK. So is one that waits, twice that time after
 * the beginning of the end, for what cannot be cancelled. After a second signal, the program dies of it when the run is over; of
 * a third one, or of a second one while a step blocks the loop, at once.
 * Errors: -EVEN_ERUNNING inside a loop, -EVEN_EABI, -EVEN_ESTUCK, -EVEN_EDEADLOCK under `sim`, what even_loop_new() says.
 * (asyncio.run) */
EVEN_API int even_run_any(even_awaitable *x, const even_run_options *options, int abi);

/* The same for a main() that has nothing more to do: takes x, and gives an exit status. That is x's result if it is an int,
 * 0 for any other type (of an int the system keeps the lowest eight bits); 1 for a failure of the run or of x; 130 if SIGINT
 * ended it, 143 if SIGTERM did. A program that exits with that number dies of the signal once its atexit() functions have run, so
 * that a shell's script or loop ends with it. */
EVEN_API int even_main_any(even_awaitable *x, const even_run_options *options, int abi);

/* Run a loop of yours until x is done: as loop.run_until_complete(). Takes nothing. -EVEN_ESTOPPED if the loop was
 * stopped first. */
EVEN_API int even_run_until_complete_any(even_loop *loop, even_awaitable *x);

/* ---- Under the macros -------------------------------------------------------------------------------------- */

EVEN_API even_awaitable *even__coroutine_new(const even_kind *kind, const void *site);
EVEN_API even_awaitable *even__clone(const even_awaitable *template_, const void *placeholder, void *argument);
/* The failed object of a constructor: its result tells the failure, too, where its type can. Gives x. */
EVEN_API even_awaitable *even__without_memory(even_awaitable *x);
EVEN_API int even__set_result(even_awaitable *f, const void *value, size_t size);
EVEN_API void even__fail(int status);
EVEN_API void even__mark_value(void);
EVEN_API void *even__result_of(even_awaitable *x);

#ifdef __cplusplus
static_assert(sizeof(even_awaitable) == 32, "the header of an awaitable");
}
#else
_Static_assert(sizeof(even_awaitable) == 32, "the header of an awaitable");
#endif
#endif
