/* One set of fork handlers for all locks of the library. */
#include "fork.h"
#include <stddef.h>

unsigned even__forks;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* of the list, too: nothing registers in the middle of a fork */
static struct even__at_fork *first;

/* What is no mutex comes last: a signal handler wants it, perhaps in the thread that has a mutex which is waited for here. */
static void before(void)
{
    pthread_mutex_lock(&lock);
    for (struct even__at_fork *e = first; e; e = e->next)
        if (e->lock)
            pthread_mutex_lock(e->lock);
    for (struct even__at_fork *e = first; e; e = e->next)
        if (e->take)
            e->take();
}

static void after(void)
{
    for (struct even__at_fork *e = first; e; e = e->next) {
        if (e->lock)
            pthread_mutex_unlock(e->lock);
        if (e->let_go)
            e->let_go();
    }
    pthread_mutex_unlock(&lock);
}

static void after_in_child(void)
{
    even__forks++;
    after();
    for (struct even__at_fork *e = first; e; e = e->next)
        if (e->in_child)
            e->in_child();
}

void even__at_fork(struct even__at_fork *entry)
{
    pthread_mutex_lock(&lock);
    if (!first)
        (void)pthread_atfork(before, after, after_in_child);
    entry->next = first;
    first = entry;
    pthread_mutex_unlock(&lock);
}
