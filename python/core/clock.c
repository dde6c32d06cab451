/* A clock of the program's: loop.time() overridden by a class that derives from the loop's, or set in the class or in the loop by
 * a test. Timers go by it then, as asyncio's do. */
#include "core.h"
#include "loop/loop.h"
#include <math.h>

void loop_look_for_clock(struct loop *loop)
{
    PyTypeObject *type = Py_TYPE(loop);
    PyObject *time = PyObject_GetAttr((PyObject *)(void *)type, loop->state->str_time);     /* only: what it found out */
    if (!time)
        PyErr_Clear();
    loop->class_time = time != loop->state->loop_time;
    loop->time_version = type->tp_version_tag;      /* a class that is changed gets another one, or 0 */
    Py_XDECREF(time);
}

/* asyncio's timers go by time(). So do ours, as often as asyncio would look: once a pass. -1 with an exception. */
int loop_follow_clock(struct loop *loop)
{
    int64_t ns = 0;
    const bool own = loop_has_own_clock(loop);    /* again: it has looked whether the loop is open */
    if (own) {
        PyObject *time = PyObject_CallMethodNoArgs((PyObject *)loop, loop->state->str_time);    /* again: below */
        const double now = time ? PyFloat_AsDouble(time) : -1;      /* again: below */
        Py_XDECREF(time);
        if (now == -1.0 && PyErr_Occurred())
            return -1;
        if (!loop_check_here(loop))
            return -1;
        if (even__seconds_to_ns(now, &ns) < 0)      /* NaN: nothing is due */
            ns = INT64_MIN;
    }
    loop->core->own_now = ns;
    loop->core->own_clock = own;
    return 0;
}

/* Passes, for as long as it has one. */
int loop_run_by_own_clock(struct loop *loop)
{
    int rc = even__loop_enter(loop->core);
    if (rc < 0)
        return rc;
    loop->by_own_clock = true;
    do {
        if (loop_follow_clock(loop) < 0) {    /* again: it has looked whether the loop is open */
            if (!loop_takes_exception(loop))        /* only: a run closes no loop */
                loop->raised = PyErr_GetRaisedException();
            even_loop_stop(loop->core);
        }
        rc = even__loop_pass(loop->core, true);     /* only: a run closes no loop */
    } while (rc == 0 && !loop->core->stopping && loop_has_own_clock(loop));      /* only: a run closes no loop */
    loop->core->own_clock = false;
    loop->by_own_clock = false;
    even__loop_leave(loop->core);
    return rc;
}
