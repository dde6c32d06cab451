/* Handles and timers: asyncio's, with a handle of the core's inside. */
#ifndef EVENLOOP_PYTHON_HANDLE_H
#define EVENLOOP_PYTHON_HANDLE_H

#include "loop.h"

int handle_types_make(PyObject *module, struct state *state);

/* A handle of the loop; a new reference. `context` NULL or None: a copy of the current one. */
PyObject *handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context);
PyObject *timer_handle_new(struct loop *loop, PyObject *when, PyObject *callback, PyObject *const *args, Py_ssize_t n,
                           PyObject *context);
/* One that call_soon_threadsafe() gives: since 3.14 a class of its own. */
PyObject *thread_handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context);
/* Queue it: the queue has a reference of its own. */
void handle_queue(struct loop *loop, PyObject *handle);
int handle_queue_threadsafe(struct loop *loop, PyObject *handle);
int timer_handle_arm(struct loop *loop, PyObject *handle, double when);
/* For a pass of the program's own: take the first that is queued out of the queue (a new reference; NULL with an IndexError); put
 * one into it, a timer that is set too: 0, or -1 with an exception. */
PyObject *handle_unqueue(struct loop *loop);
int handle_requeue(struct loop *loop, PyObject *handle);
/* Run what is queued of the core's own, not Python's handles: transports that receive, and the like. 0, or a failure. */
int handles_run_core(struct loop *loop);
/* How many are queued of Python's; no more than `most` are counted. */
size_t handles_count(struct loop *loop, size_t most);
/* Call it, here and now; whatever it raises goes where it belongs. */
void handle_call(struct loop *loop, PyObject *handle);
/* One of ours, or asyncio's own. */
bool handle_is_cancelled(struct loop *loop, PyObject *handle);
/* Those that are queued, or the timers that are set: a new list. */
PyObject *handles_list(struct loop *loop, bool timers);
int handles_traverse(struct loop *loop, visitproc visit, void *arg);
/* The loop is being closed: drop what is queued, unrun. */
void handles_drop(struct loop *loop);
/* It is gone: so is what it kept of them. */
void handles_free(struct loop *loop);

#endif
