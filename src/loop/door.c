/* What other threads, and signal handlers, may hold of a loop: where they push handles, and what wakes it.
 *
 * A push is one compare-and-swap, and a backend's wake() only if the loop sleeps. That the loop does not fall asleep over a
 * push: it says `asleep` first and looks at the inbox then; the push fills the inbox first and looks at `asleep` then; in the
 * total order of these four (all seq_cst) one of the two sees the other.
 *
 * The close of a loop is a push, too: of `closed`, behind which nothing can be pushed. Who wakes the loop needs its backend, so
 * the close waits until nobody is `inside` any more; who comes later finds `closed` there.
 */
#include "loop.h"
#include <sched.h>

/* The end of the stack: a handle that was pushed has a link in any case, so that a second push is noticed. */
static even_handle end;
/* An inbox that takes nothing any more. */
static even_handle closed;

static even_loop *loop_of(even_door *door)
{
    return even__container_of(door, even_loop, door);
}

static even__noinline void wake(even_door *door)
{
    atomic_fetch_add(&door->inside, 1);
    if (atomic_load(&door->inbox) != &closed && atomic_exchange(&door->asleep, false))
        loop_of(door)->backend->wake(loop_of(door));
    atomic_fetch_sub(&door->inside, 1);
}

static inline int push(even_door *door, even_handle *h, const char *who, const void *site)
{
    even_handle *head = atomic_load(&door->inbox);
    if (even__unlikely(head != &closed && (h->next || h->prev)) && even__handle_is_taken(h, who, site))
        return -EVEN_ESTATE;
    do {
        if (even__unlikely(head == &closed)) {
            h->prev = NULL;
            return -EVEN_ECLOSED;
        }
        h->prev = head ? head : &end;   /* prev is the link of the stack; next stays NULL until the loop takes it in */
    } while (!atomic_compare_exchange_weak(&door->inbox, &head, h));
    if (atomic_load(&door->asleep))
        wake(door);
    return 0;
}

int even_door_call_soon(even_door *door, even_handle *h)
{
    return push(door, h, __func__, __builtin_return_address(0));
}

int even_call_soon_threadsafe(even_loop *loop, even_handle *h)
{
    return push(&loop->door, h, __func__, __builtin_return_address(0));
}

even_door *even_loop_door(even_loop *loop)
{
    return even_door_ref(&loop->door);
}

even_door *even_door_ref(even_door *door)
{
    atomic_fetch_add_explicit(&door->refs, 1, memory_order_relaxed);
    return door;
}

void even_door_unref(even_door *door)
{
    if (door && atomic_fetch_sub_explicit(&door->refs, 1, memory_order_acq_rel) == 1)
        even__loop_recycle(loop_of(door));
}

/* ---- the loop's side ---- */

bool even__door_sleep(even_loop *loop)
{
    atomic_store(&loop->door.asleep, true);
    return atomic_load(&loop->door.inbox) == NULL;
}

/* A stack: turned round, so that they run in the order of their pushes. */
static void queue_all(even_loop *loop, even_handle *h)
{
    even_handle *first = NULL, *next;
    for (; h; h = next) {
        next = h->prev == &end ? NULL : h->prev;
        h->prev = first;
        first = h;
    }
    for (; first; first = next) {
        next = first->prev;
        first->prev = NULL;
        even__call_soon(loop, first);
    }
}

void even__door_drain(even_loop *loop)
{
    if (atomic_load(&loop->door.inbox) != &closed)      /* it does not close meanwhile: this is the thread that would */
        queue_all(loop, atomic_exchange(&loop->door.inbox, NULL));
}

void even__door_open(even_loop *loop)
{
    atomic_store(&loop->door.refs, 1);
    atomic_store(&loop->door.inside, 0);        /* a fork's child counts those who were inside in its parent */
    atomic_store(&loop->door.asleep, false);
    atomic_store(&loop->door.inbox, NULL);
}

void even__door_close(even_loop *loop)
{
    queue_all(loop, atomic_exchange(&loop->door.inbox, &closed));
    while (atomic_load(&loop->door.inside) && !even__loop_is_parents(loop))     /* bounded: they come from one call */
        sched_yield();
}
