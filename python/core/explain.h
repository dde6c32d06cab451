/* Explain: what the loop does, told of asyncio's tasks. */
#ifndef EVENLOOP_PYTHON_EXPLAIN_H
#define EVENLOOP_PYTHON_EXPLAIN_H

#include "loop.h"

int explain_open(struct loop *loop);
static inline bool is_explained(const struct loop *loop)
{
    return __builtin_expect(loop->explain != NULL, 0);
}
/* Only while it is explained: */
/* A callback was queued, or a timer set; with its first argument, or NULL. -1: an exception, of a signal handler's. */
int explain_soon(struct loop *loop, PyObject *callback, PyObject *argument);
int explain_later(struct loop *loop, PyObject *delay, PyObject *callback, PyObject *argument);
/* A future is being made, perhaps. */
int explain_future(struct loop *loop);
/* A handle is about to be called; NULL: it was. */
void explain_turn(struct loop *loop, PyObject *handle);
void explain_run(struct loop *loop, bool begins);
void explain_close(struct loop *loop);
PyObject *loop_tell(PyObject *self, PyObject *args);

#endif
