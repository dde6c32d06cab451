/* The invariants of a loop, for debug builds and tests: each list is walked. docs/design.md says what must hold. */
#include "loop.h"

/* Items that a pass may look at on average: a program with 100,000 operations is not to take minutes. */
enum { WALK_MAX = 512 };

bool even__list_is_valid(even_loop *loop, const even_handle *head)
{
    const even_handle *h = head;
    do {
        if (!h->next || h->next->prev != h)
            return false;
        h = h->next;
        loop->walked++;
    } while (h != head);
    return true;
}

static bool queue_is_valid(even_loop *loop, const even_handle *head)
{
    if (!even__list_is_valid(loop, head))
        return false;
    for (const even_handle *h = head->next; h != head; h = h->next)
        if (!h->run)
            return false;
    return true;
}

bool even__timers_are_valid(const struct even__timers *timers)
{
    for (uint32_t i = 1; i <= timers->count; i++) {
        const even_timer *t = timers->slot[i].timer, *parent = timers->slot[i > 1 ? (i + 2) / 4 : 1].timer;
        if (t->index != i || t->deadline != timers->slot[i].deadline || parent->deadline > t->deadline || t->handle.next)
            return false;
    }
    return true;
}

static bool watches_are_valid(even_loop *loop)
{
    if (!even__list_is_valid(loop, &loop->watches))
        return false;
    for (const even_handle *h = loop->watches.next; h != &loop->watches; h = h->next)
        if (even__container_of(h, even_watch, all)->loop != loop)
            return false;
    return true;
}

/* In a fork's child the lists of the backend may be changed no more, and are not true any longer. */
static bool backend_is_valid(even_loop *loop)
{
    return even__loop_is_parents(loop) || loop->backend->is_valid(loop);
}

bool even__loop_is_valid(even_loop *loop)
{
    loop->walked = loop->timers.count;
    if (loop->running && loop->owner != even__thread_number())
        return false;
    return queue_is_valid(loop, &loop->ready) && queue_is_valid(loop, &loop->batch) && queue_is_valid(loop, &loop->flushing) &&
           queue_is_valid(loop, &loop->at_close) && even__timers_are_valid(&loop->timers) && watches_are_valid(loop) &&
           even__receivers_are_valid(loop) && backend_is_valid(loop) && (!loop->above || loop->above->is_valid(loop));
}

bool even__loop_is_valid_so_far(even_loop *loop)
{
    if (loop->walk_after > 0) {
        loop->walk_after--;
        return true;
    }
    bool valid = even__loop_is_valid(loop);
    loop->walk_after = loop->walked / WALK_MAX;
    return valid;
}
