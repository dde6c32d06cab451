/* What the loop and the tasks tell: each event is declared once, here, and raised at the few choke points of src/loop
 * and src/await; nowhere else. Off, a hook costs one predicted branch. A face with tasks of its own tells the same events
 * of them, by even__narrate().
 *
 * X(name, sentence): `task` is the task that acts or is acted upon, `object` what it concerns. */
#ifndef EVEN__TRACE_H
#define EVEN__TRACE_H

#include "../base/base.h"
#include <evenloop/await.h>

#define EVEN_EVENTS(X)                                                                                                 \
    X(RUN, "the loop begins to run; object: the main task")                                                            \
    X(RUN_END, "the loop has ended; status")                                                                           \
    X(CREATED, "task (or the program itself, NULL) made object a task, at site; it is scheduled, nothing runs yet")    \
    X(GATHERED, "task made object, a gather of value entries, at site")                                                \
    X(STEP, "task begins (value 0) or goes on (value 1)")                                                              \
    X(INLINE, "task awaits object, a coroutine, at site: a call on its own stack, no new task")                        \
    X(RETURNED, "object, a coroutine that task awaited inline, is over with status")                                   \
    X(WAITS, "task waits for object, at site: it leaves its wake-up there and gives control to the loop")              \
    X(FETCHED, "task awaits object, at site, which is done already: it only fetches the result")                       \
    X(DONE, "object is done with status")                                                                              \
    X(WOKEN, "task's wake-up was scheduled, because object is done")                                                   \
    X(CANCEL, "task was asked to cancel, by object (a task, or NULL)")                                                 \
    X(CANCELED, "the cancellation was delivered to task, at site")                                                     \
    X(POLL, "nothing is ready (or it is time to look): the loop asks the backend, for up to value ns (-1: no limit)")  \
    X(TIMER, "a timer is due; object: the sleep that it ends, if it is one's")                                         \
    X(SLEEP, "task's sleep, object, set a timer for value ns")                                                         \
    X(OPERATION, "an operation was started on descriptor value; if WAITS comes next, it is what the task waits for")

enum even__event {
#define EVEN__X(name, sentence) EVEN__EVENT_##name,
    EVEN_EVENTS(EVEN__X)
#undef EVEN__X
};

struct even__trace_event {
    enum even__event event;
    even_loop *loop;
    const even_awaitable *task, *object;
    const void *site;
    int64_t value;
    int status;
};

extern bool even__trace_on;

/* Read EVENLOOP_EXPLAIN, once. */
void even__trace_open(void);
/* Goes to the narrator. Must not change anything of the loop. */
void even__trace_emit(const struct even__trace_event *e);

/* How the narrator sees a task, or what one waits for: C's are read off their awaitables, another face fills it in. The
 * texts need to last for the call only. */
struct even__trace_thing {
    const void *id;                 /* who it is; NULL: nobody */
    const char *name;               /* a task's; NULL: it is no task */
    const char *kind;               /* "say_after", "read", "gather" */
    enum even__trace_role { EVEN__ITS_OWN, EVEN__SHARED, EVEN__COROUTINE, EVEN__GENERATOR } role;   /* of no task */
    const char *parent;             /* a coroutine that is over: who awaited it; NULL: its caller */
    bool done, canceled;
    bool kept;                      /* a task that is over: nobody waits for it, but somebody may ask */
};

/* An event, in the narrator's terms. */
struct even__trace_tale {
    enum even__event event;
    even_loop *loop;
    struct even__trace_thing task, object;
    const char *where;              /* "gather.c:17", or "" */
    int64_t value;
    int status;
    const char *failure;            /* what a failure is called; NULL: as the library calls the status */
};

/* Tell it, on standard error. From any thread. Beyond the events' own sentences:
 *   RUN       value 1: object is known already, or there is none: nothing is CREATED for it
 *   RUN_END   value 1: what the loop does from here on is not told, until the next RUN
 *   CREATED   value 1: it is eager, and begins at once, within its maker's turn
 *   RETURNED  value 1: it is over, but whether it returned is not known */
void even__narrate(const struct even__trace_tale *tale);

/* WOKEN, for each task whose wake-up stands in the ring of x's waiters. (task.c) */
void even__trace_woken(even_loop *loop, const even_awaitable *x, const even_handle *first);

#define even__trace(name, ...)                                                                                         \
    (even__likely(!even__trace_on)                                                                                     \
         ? (void)0                                                                                                     \
         : even__trace_emit(&(struct even__trace_event){ .event = EVEN__EVENT_##name, __VA_ARGS__ }))

/* Out of line: the pass is to stay small. */
static even__noinline __attribute__((unused)) void even__trace_poll_emit(even_loop *loop, int64_t timeout)
{
    even__trace(POLL, .loop = loop, .value = timeout);
}
#define even__trace_poll(l, timeout) (even__likely(!even__trace_on) ? (void)0 : even__trace_poll_emit(l, timeout))

#endif
