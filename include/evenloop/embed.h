/* For whoever makes a loop of his own of this one: a binding for another language, which has its own handles, its own clock and
 * its own garbage collector; a program that runs one loop inside of another.
 *
 * Most programs need none of it: they run a loop (even_run(), even_loop_run_forever()), or embed it in a foreign one by its
 * descriptor (even_loop_fd() and those beside it in loop.h). evenloop for Python stands on loop.h, process.h, trace.h and this.
 *
 * All functions are the loop's thread's; those that are not said to run handles run none.
 */
#ifndef EVENLOOP_EMBED_H
#define EVENLOOP_EMBED_H

#include <evenloop/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A pass in two halves ---------------------------------------------------------------------------------
 *
 *   for (;;) {
 *       even_loop_look(loop, INFINITY);                     waits, and queues the handles that are due
 *       even_loop_run_queued(loop, wanted, data);           runs those that one wants to run now
 *   }
 *
 * Both may be called inside of a run, from a handle: that is a pass inside of another, and what the outer one has yet to run
 * counts as queued. Outside of a run they are as even_loop_step(): no loop may be running in the thread that calls them. Before
 * another thread takes the loop over, call even_loop_leave_thread().
 */

/* The first half, docs/the-loop.md's steps 1 to 4: wait until a handle is queued, `seconds` at most (0 or less: do not wait;
 * INFINITY: as long as it takes), and queue the handles of what is over, of timers that are due, and of other threads. It does
 * not wait if one is queued already, and may return early with none. A stop that was asked of a run around it is that run's.
 * Calls the hooks of even_loop_set_wait_hooks() around a wait. Errors as of even_loop_run_forever().
 * (BaseEventLoop._run_once, until its handles) */
EVEN_API int even_loop_look(even_loop *loop, double seconds);

/* The second half: run those of the queued handles of which `wanted` is true, in their order. It is asked for each of them
 * before the first is run; what they queue is for the next time. The others stay as they are. A pass that one of them makes
 * goes on with the rest. Last run those of even_call_before_wait(). 0, or the errors of even_loop_step(). */
EVEN_API int even_loop_run_queued(even_loop *loop, bool (*wanted)(const even_handle *h, void *data), void *data);

/* The calling thread makes no more steps and halves of passes, so that another one may run the loop. Nothing inside of a run. */
EVEN_API void even_loop_leave_thread(even_loop *loop);

/* How many passes the loop has made, those inside of another not counted. While the number stays the same, it is in one pass. */
EVEN_API uint64_t even_loop_passes(const even_loop *loop);

/* ---- What stands in the loop ------------------------------------------------------------------------------
 *
 * For a collector that follows references, for those who list or count what waits, and to take it back before the loop is
 * closed, which drops it. Between two calls of an enumeration nothing may be queued, run or cancelled; who takes one out asks
 * for the next one before, or begins anew.
 */

/* The handle that is to run next (`after` NULL), and the one behind it, to those of even_call_before_wait(); NULL behind the
 * last. */
EVEN_API even_handle *even_loop_next_handle(even_loop *loop, const even_handle *after);

/* A timer that is armed (`after` NULL), and another one; NULL after the last. In no order. */
EVEN_API even_timer *even_loop_next_timer(even_loop *loop, const even_timer *after);

/* Queue what other threads have given to even_call_soon_threadsafe() by now, behind all that is queued: a pass does so by itself.
 * Until then an enumeration does not come upon it, and it cannot be cancelled. */
EVEN_API void even_loop_take_pushed(even_loop *loop);

/* ---- Time -------------------------------------------------------------------------------------------------- */

/* Timers are due by this clock, in seconds, instead of the loop's own. It is asked in each pass that has timers: for how long to
 * wait, if nothing is queued, and what is due, after that. It may stand still, jump and go back; NAN: nothing is due. It may
 * change the loop as a handle may, stop it, or take itself away. NULL: the loop's own again.
 * The times of even_call_at() are its times. even_time() stays the loop's own clock, and even_call_later() and the tasks of
 * await.h count from that. (a class that overrides loop.time) */
EVEN_API void even_loop_set_clock(even_loop *loop, double (*now)(void *data), void *data);

/* Under `sim`, time stands still, and the loop really waits, while work is done in another thread: say +1 before it is handed
 * over, and -1 in the handle by which it came back. Both in the loop's thread; then the loop cannot mistake a thread that works
 * for a deadlock. On other backends it does nothing. (loop.run_in_executor) */
EVEN_API void even_loop_count_jobs(even_loop *loop, int change);

/* ---- Operations ------------------------------------------------------------------------------------------- */

/* Hand over to the kernel what was started, and queue the handles of what is over by now, without waiting: after that, what it
 * could take of a send at once is sent. For who is about to give a connection up. Errors as of even_loop_run_forever(). */
EVEN_API int even_loop_submit(even_loop *loop);

/* ---- Forks ------------------------------------------------------------------------------------------------- */

/* True in the child of a fork, of a loop of its parent's: of that it has a copy, which it may only close. What stands there for
 * the peers, the parent sends them. */
EVEN_API bool even_loop_is_parents(const even_loop *loop);

#ifdef __cplusplus
}
#endif
#endif
