/* What the narrator tells (EVENLOOP_EXPLAIN=1): for who has tasks of his own on this loop, a binding for another language, and
 * wants them told as C's are.
 *
 * The library raises these events of its own tasks. A face raises the same of its tasks, by even_tell(), at the points where
 * its loop does what the sentence says; it asks even_explains() first, so that nothing is paid for what nobody reads.
 */
#ifndef EVENLOOP_TRACE_H
#define EVENLOOP_TRACE_H

#include <evenloop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, sentence): `task` is the task that acts or is acted upon, `object` what it concerns. */
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

enum even_event {
#define EVEN__X(name, sentence) EVEN_EVENT_##name,
    EVEN_EVENTS(EVEN__X)
#undef EVEN__X
    EVEN_EVENT_COUNT
};

/* The event of that name ("STEP"); EVEN_EVENT_COUNT if there is none. */
EVEN_API enum even_event even_event_named(const char *name);

/* How what is no task is spoken of: "its sleep", "the future", "the coroutine f", "the generator f". */
enum even_role { EVEN_ROLE_ITS_OWN, EVEN_ROLE_SHARED, EVEN_ROLE_COROUTINE, EVEN_ROLE_GENERATOR };

/* A task, or what one waits for. The texts need to last for the call only. */
typedef struct even_thing {
    const void *id;                 /* who it is; NULL: nobody */
    const char *name;               /* a task's; NULL: it is no task */
    const char *kind;               /* "say_after", "read", "gather" */
    enum even_role role;            /* of no task */
    const char *parent;             /* a coroutine that is over: who awaited it; NULL: its caller */
    bool done, canceled;
    bool kept;                      /* a task that is over: nobody waits for it, but somebody may ask */
} even_thing;

typedef struct even_tale {
    enum even_event event;
    even_loop *loop;
    even_thing task, object;
    const char *where;              /* "gather.c:17", or "" */
    int64_t value;                  /* as the event's sentence says */
    int status;                     /* 0 or more: it went well; else a negative errno or EVEN_E... */
    const char *failure;            /* what a failure is called; NULL: as even_strerror() calls the status */
} even_tale;

/* Is it told at all? As EVENLOOP_EXPLAIN was when the process made its first loop. From any thread. */
EVEN_API bool even_explains(void);

/* Tell it, on standard error. From any thread. The loop must not have been closed. Beyond the events' own sentences:
 *   RUN       value 1: object is known already, or there is none: nothing is CREATED for it
 *   RUN_END   value 1: what the loop does from here on is not told, until the next RUN
 *   CREATED   value 1: it is eager, and begins at once, within its maker's turn
 *   RETURNED  value 1: it is over, but whether it returned is not known */
EVEN_API void even_tell(const even_tale *tale);

#ifdef __cplusplus
}
#endif
#endif
