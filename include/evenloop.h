/* evenloop: asyncio for C.
 *
 * This is the one header that a program includes. It reads as a manual: first the conventions that hold
 * everywhere, then, in the headers it includes, one concept after the other:
 *
 *   evenloop/error.h    what a negative number means
 *   evenloop/loop.h     the loop, handles, timers, operations with a callback (asyncio's low-level API)
 *   evenloop/await.h    awaitables, futures, tasks, gather, wait_for, shield, cancellation: plain functions
 *   evenloop/async.h    the same as typed macros: async, await, create_task, gather, into, ... (GNU C)
 *   evenloop/io.h       TCP streams and servers
 *   evenloop/process.h  processes and signals, with a callback
 *
 * Two more are for who builds on the loop, a binding for another language for one, and are included by themselves:
 *
 *   evenloop/embed.h    parts of a pass, what stands in the loop, a clock of one's own
 *   evenloop/trace.h    the events of EVENLOOP_EXPLAIN, to tell them of tasks of one's own
 *
 * CONVENTIONS
 *
 * Errors. A function that can fail returns a negative errno (-4095..-1) or one of the codes of error.h;
 *   0 or a positive number is success. Outputs are untouched on failure. even_strerror() gives the words.
 *   The library does not set errno; each task has an errno of its own.
 * Memory. A constructor never returns NULL: where it cannot allocate, it returns an object of its own type
 *   that has already failed with -ENOMEM; awaiting it gives that status, and no program tests for NULL.
 * Ownership. Coroutines and operations are awaited once, and that ends them. Tasks and futures are counted:
 *   creating one gives you one reference, `await`, `gather` and `wait_for` take it; even_ref() makes another
 *   one, even_detach() gives yours up; `shield` and a future's producer borrow.
 * Threads. A loop, and all that belongs to it, is used by one thread at a time. The one call that any
 *   thread may make at any time is even_call_soon_threadsafe(). Tasks never change thread.
 * Forks. The child of a fork() can make loops and run them, also if it was forked in a task. The parent's loop, of which it has a
 *   copy, it can only close: what it starts there, and a run of it, fails with -EVEN_EFORK. Whoever executes a program needs none
 *   of this; even_process_spawn() does it from any thread.
 * Suspending. A call may suspend the running task only if its comment says "may suspend": `await`, and
 *   helper functions of yours that await. Between two awaits nothing else of the same loop runs.
 * Time. Seconds, as double, on the loop's monotonic clock (even_time()).
 * Cancelling. A request, delivered once, as -ECANCELED, at the await in progress. What a cancel loses is said
 *   per function; where nothing is said, nothing is lost.
 */
#ifndef EVENLOOP_H
#define EVENLOOP_H

#include <evenloop/error.h>
#include <evenloop/loop.h>
#include <evenloop/await.h>
#include <evenloop/io.h>
#include <evenloop/process.h>
#if defined(__GNUC__) && !defined(__cplusplus) && !defined(__STRICT_ANSI__)
#include <evenloop/async.h>
#elif defined(EVEN_SHORT_NAMES) && !defined(__cplusplus)
#error "evenloop: async, await and the like are GNU C: compile with gcc or clang and -std=gnu17 (or gnu11, gnu2x), not -std=c17"
#endif

#endif
