/* What must hold of a loop's tasks between two handles. */
#include "await.h"

/* A ring of waiters is looked at as far as this from each of them: a thousand tasks may wait for one object. */
enum { RING_MAX = 64 };

enum place { NOWHERE, AMONG_WAITERS, PERHAPS, READY };

static bool is_linked(const even_handle *h)
{
    return h->next && h->next->prev == h && h->prev->next == h;
}

/* Where its wake handle stands. A handle has one place: if it is linked and no waiter, it is ready. */
static enum place place_of(const struct even__task *t)
{
    const even_awaitable *x = t->waits_for;
    const even_handle *h = &t->wake;
    if (!h->next)
        return NOWHERE;
    if (!x || x->state != EVEN_ACTIVE || !x->waiters)
        return READY;
    for (int i = 0; i < RING_MAX; i++, h = h->next) {
        if (h == x->waiters)
            return AMONG_WAITERS;
        if (i > 0 && h == &t->wake)
            return READY;
    }
    return PERHAPS;
}

/* One that is not done is of this loop, is referred to, and something will go on with it. */
static bool task_is_valid(const even_loop *loop, const struct even__task *t)
{
    const even_awaitable *x = t->object;
    if (t->loop != loop || !even__is_task(x) || x->by.task != t || x->state != EVEN_ACTIVE || x->refs < 1)
        return false;
    if (t->wake.next && !is_linked(&t->wake))
        return false;
    if (t == even__current())
        return !t->waits_for && !t->wake.next;
    if (!t->started)
        return !t->stack && !t->waits_for && t->wake.next;
    if (even__is_operation(t))
        return !t->wake.next;
    return t->adrift ? !t->wake.next : t->waits_for && t->wake.next;
}

/* Those of `queue` that are steps of tasks. */
static size_t count_steps(const even_handle *queue)
{
    size_t n = 0;
    for (const even_handle *h = queue->next; h != queue; h = h->next)
        n += h->run == even__task_step;
    return n;
}

bool even__tasks_are_valid(even_loop *loop)
{
    const struct even__tasks *tasks = loop->tasks;
    size_t ready = 0, perhaps = 0;
    if (tasks->loop != loop || !even__list_is_valid(loop, &tasks->all))
        return false;
    for (even_handle *h = tasks->all.next; h != &tasks->all; h = h->next) {
        const struct even__task *t = even__task_of_link(h);
        if (!task_is_valid(loop, t))
            return false;
        const enum place place = place_of(t);
        ready += place == READY;
        perhaps += place == PERHAPS;
    }
    const size_t steps = count_steps(&loop->ready) + count_steps(&loop->batch);
    return steps >= ready && steps <= ready + perhaps;
}
