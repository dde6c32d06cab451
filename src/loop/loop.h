/* The loop's inside. Knows the backend below it, and no task. */
#ifndef EVEN__LOOP_H
#define EVEN__LOOP_H

#include "../backend/backend.h"
#include "../base/fork.h"
#include "../base/thread.h"
#include "queue.h"
#include <stdatomic.h>
#include <sys/types.h>

/* A 4-ary heap with its keys inline: a parent's children share a cache line. */
struct even__timer_slot {
    int64_t deadline;
    even_timer *timer;
};
struct even__timers {
    struct even__timer_slot *slot;  /* from index 1 */
    uint32_t count, capacity;
};

/* See door.c. */
struct even_door {
    _Atomic(even_handle *) inbox;   /* what was pushed, the last first; NULL: nothing was */
    _Atomic bool asleep;            /* a push must wake the backend */
    _Atomic unsigned inside;        /* how many are just waking it */
    _Atomic unsigned refs;          /* the loop's own until it is closed, and those of other threads */
};

struct even_loop {
    even_handle ready;              /* what the next pass runs, in this order */
    even_handle batch;              /* what is left of the pass in progress */
    even_handle flushing;           /* what the end of the pass runs */
    struct even__timers timers;
    uint32_t timer_order;
    const struct even__backend *backend;
    void *backend_state;
    size_t operations;              /* that are pending */
    uint32_t looks_skipped;         /* passes since the backend was last asked */
    int64_t looked_at;              /* and when */
    bool stopping, closing;
    bool asks_each_pass;            /* the kernel, also while handles are ready */
    bool ignores_sigpipe;           /* since its first write or sendfile */
    void (*before_wait)(void *data), (*after_wait)(void *data);
    void *wait_data;
    int error;                      /* a failure of the backend; ends the run */
    pid_t pid;                      /* of the process that made it */
    unsigned forks;                 /* of that process, when it did */
    uint64_t passes;
    uint64_t turns;                 /* the same, and those of a program's own that are made inside of one */
    double (*clock)(void *data);    /* what timers are due by instead of the backend's clock; NULL: nothing */
    void *clock_data;
    size_t walked, walk_after;      /* by the last check of everything, so many items; the next, after so many passes */
    uint64_t random;                /* state of the generator; 0 without a seed */
    bool seeded;
    even_handle watches;            /* all that were started */
    even_handle at_close;           /* run when the loop is closed, once its tasks are over */

    /* Receivers. */
    even_handle receivers;          /* those that are active, or keep something */
    even_handle lent;               /* those whose owner looks at a piece */
    uint64_t lent_in;               /* the pass in which the last of them was lent */
    struct even__piece *scratch;    /* the large buffer, while nobody has it */
    struct even__piece *blocks;     /* smaller ones, for what stays a while: those that are idle, by `next` */
    unsigned blocks_idle, blocks_out;
    size_t lent_bytes, lent_max;    /* of buffers that readers hold; and of how many they may */

    /* The layer above: tasks. The loop knows only that it goes first, and may be bound to a thread. */
    void *tasks;
    const struct even__above {
        bool (*is_bound)(const even_loop *loop);    /* to the thread that ran it last */
        void (*close)(even_loop *loop);     /* before the backend ends what is pending */
        void (*closed)(even_loop *loop);    /* and after */
        bool (*is_valid)(even_loop *loop);
    } *above;

    uint64_t number;                /* by which objects know it */
    even_loop *next;                /* in the list of all loops, loops.c */
    _Atomic uint64_t owner;         /* the thread that ran it last, by its number */
    _Atomic bool running;
    struct {
        even_loop *loop;
        struct even__task *task;
        struct even__root root;
    } parents;                      /* while it runs in a child that was forked in a run: what the thread goes back to */
    even_door door;                 /* the last: it stays when the rest is made anew */
};


/* Is this a child, which has but a copy of its parent's loop? What the kernel has of it is the parent's, rings in shared
 * memory for one: it is not to be touched. */
static inline bool even__loop_is_parents(const even_loop *loop)
{
    return even__unlikely(loop->forks != even__forks);
}

static inline bool even__loop_has(const even_loop *loop, unsigned property)
{
    return loop->backend->properties & property;
}

/* One pass. 0, or the failure that ends the run. */
int even__loop_pass(even_loop *loop, bool may_block);

/* Parts of a pass, for whoever needs one of them alone, from inside a handle as well: no handle runs. Steps 2 and 3: submit what
 * was started, wait for `timeout` ns at most (-1: for as long as it takes), and queue the handles of what is over. Step 4: queue
 * the timers that are due. */
int even__loop_look(even_loop *loop, int64_t timeout);
void even__loop_queue_due(even_loop *loop);

/* Begin and end a run in this thread: what even_loop_run_forever() does around its passes. */
int even__loop_enter(even_loop *loop);
void even__loop_leave(even_loop *loop);

/* Step 6 of a pass. */
void even__loop_flush(even_loop *loop);

/* Half the range, so that a sum or a difference with the clock cannot overflow. */
#define EVEN__FOREVER_NS INT64_C(4000000000000000000)

/* What the program's clock says (embed.c): only if there is one. */
int64_t even__loop_clock_ns(even_loop *loop);

/* ns until the next thing to do: 0 now, -1 never. */
int64_t even__loop_timeout_ns(even_loop *loop);

/* Does the handle stand in a queue, an inbox's too? Then a report says so: `who` was called with it at `site` (NULL: not
 * by the program). */
bool even__handle_is_taken(const even_handle *h, const char *who, const void *site);
static inline void even__call_soon(even_loop *loop, even_handle *h)
{
    even__queue_append(&loop->ready, h);
}

/* timers.c */
int even__timers_add(struct even__timers *timers, even_timer *t);   /* 0 or -ENOMEM */
void even__timers_remove(struct even__timers *timers, even_timer *t);
/* Is it set here? (Its index says that it is set somewhere.) */
static inline bool even__timers_have(const struct even__timers *timers, const even_timer *t)
{
    return t->index <= timers->count && timers->slot[t->index].timer == t;
}
static inline even_timer *even__timers_first(const struct even__timers *timers)
{
    return timers->count ? timers->slot[1].timer : NULL;
}
void even__timers_done(struct even__timers *timers);

/* loops.c */
even_loop *even__loop_alloc(void);              /* its memory, zero but for the door; NULL without memory */
void even__loop_recycle(even_loop *loop);       /* nobody has a reference to the door any more */
void even__loop_enlist(even_loop *loop);        /* gives it its number */
void even__loop_delist(even_loop *loop);
/* May this thread touch it? It may not while another one runs it, nor between its steps if it is bound to that. */
bool even__loop_is_mine(const even_loop *loop);
/* The open loop of that number, if it is this thread's. */
enum even__whose { EVEN__MINE, EVEN__NOBODYS, EVEN__ANOTHERS };
enum even__whose even__loop_whose(uint64_t number, even_loop **loop);

/* door.c: wake-ups from other threads */
void even__door_open(even_loop *loop);
void even__door_close(even_loop *loop);         /* what was pushed is queued, nothing more can be */
void even__door_drain(even_loop *loop);
/* Append what was pushed to the ready queue. */
static inline void even__door_take(even_loop *loop)
{
    if (even__unlikely(atomic_load_explicit(&loop->door.inbox, memory_order_relaxed) != NULL))
        even__door_drain(loop);
}
/* Say that the loop is about to sleep; false if something was pushed meanwhile, so that it must not. */
bool even__door_sleep(even_loop *loop);
static inline void even__door_awake(even_loop *loop)
{
    atomic_store_explicit(&loop->door.asleep, false, memory_order_relaxed);
}

/* sigpipe.c: counted */
void even__sigpipe_ignore(void);
void even__sigpipe_restore(void);

/* op.c: start the operation of a receiver. */
void even__op_receive(even_op *op, int fd, bool direct);

/* For backends: an operation that was started is over. */
static inline void even__op_done(even_op *op, int32_t result)
{
    even__check(op->state != EVEN__OP_IDLE);
    op->loop->operations--;
    op->handle.next = op->handle.prev = NULL;
    op->state = EVEN__OP_IDLE;
    if (even__unlikely(result < 0) && even__op_wants_all(op))
        result = even__op_moved(op, result);
    op->result = result;
    op->complete(op);
}

/* flow/source.c, as far as the loop sees to it. */
void even__receivers_open(even_loop *loop);
void even__receivers_end(even_loop *loop);      /* those of streams: at the end of a run whose loop goes with it */
void even__receivers_drop(even_loop *loop);     /* what is kept, before the backend ends the operations */
void even__receivers_close(even_loop *loop);    /* and they themselves, after that */
bool even__receivers_are_valid(even_loop *loop);

/* Seconds to ns, saturated; -EINVAL for NaN. */
int even__seconds_to_ns(double seconds, int64_t *ns);

/* check.c, for debug builds and tests. Is everything as it must be? Walks each list of the loop, of its backend and of the layer
 * above. From the loop's thread, between two handles or two passes. */
bool even__loop_is_valid(even_loop *loop);
/* The same after each pass; after fewer of them where there is much to look at. */
bool even__loop_is_valid_so_far(even_loop *loop);
/* Parts of it: are the links of a list true? Is it a heap? */
bool even__list_is_valid(even_loop *loop, const even_handle *head);
bool even__timers_are_valid(const struct even__timers *timers);

#endif
