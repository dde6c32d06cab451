/* What the child of a fork finds: every lock of the library free, and what it guards whole, whatever the parent's other threads
 * were doing. Each lock says so once, in the file that has it:
 *
 *     static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
 *     EVEN__AT_FORK(.lock = &lock);
 *
 * Nobody may take one of these locks while holding another: a fork takes them all, in no order that a file could know. A signal
 * handler may, but only what is no mutex: that is taken last.
 */
#ifndef EVEN__FORK_H
#define EVEN__FORK_H

#include <pthread.h>

struct even__at_fork {
    pthread_mutex_t *lock;          /* taken before the fork, let go after it in both processes; or, for what is no mutex, */
    void (*take)(void);
    void (*let_go)(void);
    void (*in_child)(void);         /* once all locks are free: drops what only the parent's threads had */
    struct even__at_fork *next;
};

/* From a constructor, which EVEN__AT_FORK() writes: there is nothing to do when the lock is first needed. */
void even__at_fork(struct even__at_fork *entry);
#define EVEN__AT_FORK(...)                                                                                             \
    __attribute__((constructor)) static void even__register_at_fork(void)                                              \
    {                                                                                                                  \
        static struct even__at_fork entry = { __VA_ARGS__ };                                                           \
        even__at_fork(&entry);                                                                                         \
    }                                                                                                                  \
    _Static_assert(1, "wants a semicolon")

/* How many forks lie between this process and the program's first: the child has one more. */
extern unsigned even__forks;

#endif
