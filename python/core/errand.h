/* What another thread wants of a loop that waits. */
#ifndef EVENLOOP_PYTHON_ERRAND_H
#define EVENLOOP_PYTHON_ERRAND_H

#include "loop.h"
#include <semaphore.h>

/* The loop waits in another thread (loop->waiting). It leaves that wait and does this, before it calls anything; the caller waits
 * until it is done. False with an exception: the loop's thread will never come back. */
struct errand {
    void (*run)(struct errand *self);
    sem_t done;
    bool over;
    struct errand *next;
};
bool loop_errand(struct loop *loop, struct errand *errand, void (*run)(struct errand *self));

#endif
