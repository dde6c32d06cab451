/* Passes of the program's own, inside of a run or in place of one. nest_asyncio makes them, for one, of
 *
 *     events = selector.select(timeout)       waits, and queues what is due
 *     loop._process_events(events)            runs what is the core's: transports, for one
 *     loop._ready.popleft()._run(), ...       Python's handles
 *
 * evenloop/_nested.py has the selector and the queue. */
#include "core.h"
#include "loop/loop.h"
#include <math.h>

static int64_t saturated_ns(double seconds)
{
    const double ns = seconds * 1e9;
    return ns >= 4e18 ? INT64_C(4000000000000000000) : ns <= -4e18 ? -INT64_C(4000000000000000000) : (int64_t)ns;
}

/* _select(seconds, or None) */
PyObject *loop_select(PyObject *self, PyObject *seconds)
{
    struct loop *loop = as_loop(self);
    const double most = seconds == Py_None ? HUGE_VAL : PyFloat_AsDouble(seconds);     /* again: below */
    if (most == -1.0 && PyErr_Occurred())
        return NULL;
    /* again: it has looked whether the loop is open */
    if (!loop_check_here(loop) || loop_follow_clock(loop) < 0)
        return NULL;
    even_loop *core = loop->core;
    const bool nested = even_running_loop() == core;
    int rc = nested ? 0 : even__loop_enter(core);
    if (rc < 0)
        return raise_status(rc);
    /* A stop is of the run around this; of this one says `stopping`. */
    const bool stops = core->stopping;
    core->stopping = false;
    const bool ready = loop->stopping || !even__queue_is_empty(&core->batch) || !even__queue_is_empty(&loop->chosen);
    int64_t timeout = ready ? 0 : even__loop_timeout_ns(core), given = saturated_ns(most);
    if (timeout < 0 || timeout > given)
        timeout = most == HUGE_VAL ? timeout : given < 0 ? 0 : given;
    if (timeout != 0 && !even__inbox_sleep(core))
        timeout = 0;
    if (nested || loop->calling) {      /* what is lent is in use further out */
        loop->nested = true;
        loop->nested_pass = core->passes;
    } else {
        even__receivers_return(core);
        core->passes++;
    }
    core->turns++;
    rc = even__loop_look(core, timeout);
    even__inbox_awake(core);
    even__inbox_take(core);
    if (core->own_clock && loop_follow_clock(loop) < 0 && !loop_takes_exception(loop))     /* only: a run closes no loop */
        loop->raised = PyErr_GetRaisedException();
    even__loop_queue_due(core);
    core->stopping |= stops;
    core->own_clock = core->own_clock && nested;
    if (!nested) {
        core->running = core->stopping = false;    /* only: the errand, which its caller holds */
        even__loop_running = NULL;
        loop->attached = true;
    }
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
    handles_run_core(loop);    /* again: what comes next looks */
    return loop_raise(loop);
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
