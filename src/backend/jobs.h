/* What virtual time must know of other threads. */
#ifndef EVEN__JOBS_H
#define EVEN__JOBS_H

#include <evenloop/loop.h>

/* Under `sim`, time stands still, and the loop really waits, while a job runs in another thread; the other backends have
 * nothing to do. Whoever hands work to a thread that comes back by even_call_soon_threadsafe() says +1 before, and -1 in
 * the handle by which it came back: both in the loop's thread, so that between the two the loop cannot mistake a working
 * thread for a deadlock, and a loop that is gone is never told. */
void even__sim_jobs(even_loop *loop, int change);

#endif
