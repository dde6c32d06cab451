/* Passes of the program's own, inside of a run or in place of one. nest_asyncio makes them, for one, of
 *
 *     events = selector.select(timeout)       waits, and queues what is due
 *     loop._process_events(events)            runs what is the core's: transports, for one
 *     loop._ready.popleft()._run(), ...       Python's handles
 *
 * evenloop/_nested.py has the selector and the queue. */
#include "nested.h"
#include "clock.h"
#include "handle.h"
#include <math.h>

/* _select(seconds, or None) */
PyObject *loop_select(PyObject *self, PyObject *seconds)
{
    struct loop *loop = as_loop(self);
    const double most = seconds == Py_None ? INFINITY : PyFloat_AsDouble(seconds);      /* again: below */
    if ((most == -1.0 && PyErr_Occurred()) || !loop_check_here(loop))
        return NULL;
    loop_follow_clock(loop);            /* again: it asks the class alone */
    if (even_running_loop() == loop->core) {
        loop->nested = true;
        loop->nested_pass = even_loop_passes(loop->core);
    } else {
        loop->attached = true;
    }
    /* A stop of the run around this is not meant; of this one says `stopping`. */
    int rc = even_loop_look(loop->core, loop->stopping ? 0 : most);     /* only: what left it; a pass closes no loop */
    return rc < 0 ? raise_status(rc) : loop_raise(loop);
}

PyObject *loop_process_events(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct loop *loop = as_loop(self);
    if (!loop_check_here(loop))
        return NULL;
    if (even_loop_is_running(loop->core) && even_running_loop() != loop->core) {
        PyErr_SetString(PyExc_RuntimeError, "the loop runs in another thread");
        return NULL;
    }
    int rc = handles_run_core(loop);    /* only: what left it */
    return rc < 0 ? raise_status(rc) : loop_raise(loop);
}

PyObject *loop_queued(PyObject *self, PyObject *unused)
{
    (void)unused;
    return as_loop(self)->core && !as_loop(self)->waiting ? handles_list(as_loop(self), false) : PyList_New(0);
}

/* _count_queued(most) */
PyObject *loop_count_queued(PyObject *self, PyObject *most)
{
    const size_t n = PyLong_AsSize_t(most);
    if (n == (size_t)-1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromSize_t(as_loop(self)->core && !as_loop(self)->waiting ? handles_count(as_loop(self), n) : 0);
}

PyObject *loop_unqueue(PyObject *self, PyObject *unused)
{
    (void)unused;
    /* asyncio's close() clears the queue when it says already that the loop is closed. */
    if (as_loop(self)->core && !as_loop(self)->waiting)
        return handle_unqueue(as_loop(self));
    PyErr_SetString(PyExc_IndexError, "pop from an empty queue");
    return NULL;
}

PyObject *loop_requeue(PyObject *self, PyObject *handle)
{
    return loop_check_here(as_loop(self)) && handle_requeue(as_loop(self), handle) == 0 ? Py_NewRef(Py_None) : NULL;
}
