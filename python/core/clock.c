/* A clock of the program's: loop.time() overridden by a class that derives from the loop's, or set in the class or in the loop by
 * a test. Timers go by it then, as asyncio's do. */
#include "clock.h"
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

/* The core asks, in the loop's thread, in a pass. What time() raises leaves the run. */
static double own_time(void *data)
{
    struct loop *loop = data;
    if (loop->raised)
        return NAN;
    loop_follow_clock(loop);            /* again: it has just found out, and asks nobody */
    if (!loop->by_own_clock)
        return even_time(loop->core);
    PyObject *time = PyObject_CallMethodNoArgs((PyObject *)loop, loop->state->str_time);    /* only: a pass closes no loop */
    const double now = time ? PyFloat_AsDouble(time) : -1;      /* only: as above */
    Py_XDECREF(time);
    if (now != -1.0 || !PyErr_Occurred())
        return now;
    if (!loop_takes_exception(loop))    /* only: as above */
        loop->raised = PyErr_GetRaisedException();
    even_loop_stop(loop->core);
    return NAN;
}

void loop_change_clock(struct loop *loop)
{
    loop->by_own_clock = !loop->by_own_clock;
    even_loop_set_clock(loop->core, loop->by_own_clock ? own_time : NULL, loop);
}
