/* The loops of the process: their numbers, by which objects know them, and their memory.
 *
 * An object that is pending says which loop it belongs to by a number that is never used again: so it needs no reference, costs a
 * loop that ends nothing, and is not mistaken for one of a later loop's at the same address.
 *
 * Memory that was a loop's stays that: a thread that still has its address, and pushes through it, finds it closed. It is used
 * again, for another loop, as late as can be. (Who holds a door is safe from that, too.)
 */
#include "loop.h"
#include <string.h>

enum { KEPT = 64 };     /* so many that are closed lie there before the oldest is used again */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static even_loop *open_loops, *oldest, **youngest = &oldest;
static unsigned kept;
static uint64_t last_number;
EVEN__AT_FORK(.lock = &lock);

even_loop *even__loop_alloc(void)
{
    even_loop *loop = NULL;
    pthread_mutex_lock(&lock);
    if (kept > KEPT) {
        kept--;
        loop = oldest;
        oldest = loop->next;        /* never the last one */
    }
    pthread_mutex_unlock(&lock);
    if (!loop)
        return even__calloc_for_good(sizeof *loop);
    memset(loop, 0, offsetof(even_loop, door));
    return loop;
}

void even__loop_recycle(even_loop *loop)
{
    pthread_mutex_lock(&lock);
    loop->next = NULL;
    *youngest = loop;
    youngest = &loop->next;
    kept++;
    pthread_mutex_unlock(&lock);
}

void even__loop_enlist(even_loop *loop)
{
    pthread_mutex_lock(&lock);
    loop->number = ++last_number;
    loop->next = open_loops;
    open_loops = loop;
    pthread_mutex_unlock(&lock);
}

void even__loop_delist(even_loop *loop)
{
    pthread_mutex_lock(&lock);
    even_loop **at = &open_loops;
    while (*at != loop)
        at = &(*at)->next;
    *at = loop->next;
    pthread_mutex_unlock(&lock);
}

bool even__loop_is_mine(const even_loop *loop)
{
    if (loop == even__thread.loop || atomic_load_explicit(&loop->owner, memory_order_relaxed) == even__thread_number())
        return true;
    return !atomic_load_explicit(&loop->running, memory_order_acquire) && !(loop->above && loop->above->is_bound(loop));
}

enum even__whose even__loop_whose(uint64_t number, even_loop **found)
{
    enum even__whose whose = EVEN__NOBODYS;
    *found = NULL;
    pthread_mutex_lock(&lock);
    even_loop *loop = number ? open_loops : NULL;
    while (loop && loop->number != number)
        loop = loop->next;
    if (loop && even__loop_is_mine(loop)) {
        *found = loop;
        whose = EVEN__MINE;
    } else if (loop) {
        whose = EVEN__ANOTHERS;
    }
    pthread_mutex_unlock(&lock);
    return whose;
}
