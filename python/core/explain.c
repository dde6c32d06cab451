/* Explain: asyncio's own tasks, told to the core's narrator as C's tells its own. The loop's choke points call the functions
 * here, only while loop->explain is set; evenloop/_explain.py finds out what happened to which task. */
#include "explain.h"
#include <evenloop/trace.h>

int explain_open(struct loop *loop)
{
    if (!even_explains())
        return 0;
    PyObject *module = PyImport_ImportModule("evenloop._explain");      /* only: the loop is not anybody's yet */
    /* only: as above */
    loop->explain = module ? PyObject_CallMethod(module, "Explainer", "O", (PyObject *)loop) : NULL;
    Py_XDECREF(module);
    return loop->explain ? 0 : -1;
}

/* ---- the choke points ---- */

/* Is the exception the explainer's own mistake? Else it is a signal handler's, which ran meanwhile. */
static bool is_ours(PyObject *exception)
{
    bool ours = false;
    if (!PyObject_IsInstance(exception, PyExc_Exception))
        return false;
    PyObject *traceback = PyException_GetTraceback(exception);
    while (traceback) {
        PyObject *next = PyObject_GetAttrString(traceback, "tb_next");
        if (next == Py_None) {
            PyObject *frame = PyObject_GetAttrString(traceback, "tb_frame");
            PyObject *globals = frame ? PyObject_GetAttrString(frame, "f_globals") : NULL;
            PyObject *name = globals ? PyMapping_GetItemString(globals, "__name__") : NULL;
            ours = name && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "evenloop._explain") == 0;
            Py_XDECREF(name);
            Py_XDECREF(globals);
            Py_XDECREF(frame);
            Py_CLEAR(next);
        }
        Py_DECREF(traceback);
        traceback = next;
    }
    PyErr_Clear();
    return ours;
}

/* The program must not suffer: what goes wrong is reported, and no more is explained. */
static int outcome(struct loop *loop, PyObject *result)
{
    if (result) {
        Py_DECREF(result);
        return 0;
    }
    PyObject *exception = PyErr_GetRaisedException();
    bool ours = loop->explain && is_ours(exception);    /* only: the explainer */
    PyErr_SetRaisedException(exception);
    if (!ours)
        return -1;
    PyErr_WriteUnraisable(loop->explain);       /* only: the explainer is let go of below */
    /* only: as above */
    result = PyObject_CallMethodOneArg(loop->explain, loop->state->str_off, (PyObject *)loop);
    if (!result)
        PyErr_WriteUnraisable(loop->explain);       /* only: as above */
    Py_XDECREF(result);
    Py_CLEAR(loop->explain);
    return 0;
}

static int tell_of(struct loop *loop, PyObject *method, PyObject *x, PyObject *y, PyObject *z)
{
    PyObject *explain = Py_NewRef(loop->explain);
    PyObject *result = PyObject_CallMethodObjArgs(explain, method, (PyObject *)loop, x, y, z, NULL);
    int rc = outcome(loop, result);
    Py_DECREF(explain);
    return rc;
}

int explain_soon(struct loop *loop, PyObject *callback, PyObject *argument)
{
    return tell_of(loop, loop->state->str_soon, callback, argument, NULL);
}

int explain_later(struct loop *loop, PyObject *delay, PyObject *callback, PyObject *argument)
{
    return tell_of(loop, loop->state->str_later, delay, callback, argument);
}

int explain_future(struct loop *loop)
{
    return tell_of(loop, loop->state->str_made, NULL, NULL, NULL);
}

/* Around what may leave an exception of its own: that one stays, the first. */
static void tell_around(struct loop *loop, PyObject *method, PyObject *x)
{
    PyObject *before = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    if (tell_of(loop, method, x, NULL, NULL) < 0 && !loop_takes_exception(loop)) {      /* only: what leaves the run */
        PyObject *exception = PyErr_GetRaisedException();
        if (loop->raised)
            Py_DECREF(exception);
        else
            loop->raised = exception;
        even_loop_stop(loop->core);
    }
    if (before)
        PyErr_SetRaisedException(before);
}

void explain_turn(struct loop *loop, PyObject *handle)
{
    tell_around(loop, handle ? loop->state->str_begins : loop->state->str_ended, handle);
}

void explain_run(struct loop *loop, bool begins)
{
    tell_around(loop, begins ? loop->state->str_run_begins : loop->state->str_run_ends, NULL);
}

void explain_close(struct loop *loop)
{
    tell_around(loop, loop->state->str_closed, NULL);    /* only: the explainer */
    Py_CLEAR(loop->explain);
}

/* ---- what the explainer tells ---- */

static bool event_named(const char *name, enum even_event *event)
{
    *event = even_event_named(name);
    if (*event != EVEN_EVENT_COUNT)
        return true;
    PyErr_Format(PyExc_ValueError, "no event is called '%s'", name);
    return false;
}

/* None, or (id, name, kind, role, parent, done, canceled, kept). */
static bool read_thing(PyObject *o, even_thing *thing)
{
    unsigned long long id;
    int role, done, canceled, kept;
    *thing = (even_thing){ .id = NULL };
    if (o == Py_None)
        return true;
    if (!PyTuple_Check(o)) {
        PyErr_SetString(PyExc_TypeError, "a thing is a tuple");
        return false;
    }
    if (!PyArg_ParseTuple(o, "Kzsizppp", &id, &thing->name, &thing->kind, &role, &thing->parent, &done, &canceled, &kept))
        return false;
    if (role < EVEN_ROLE_ITS_OWN || role > EVEN_ROLE_GENERATOR) {
        PyErr_SetString(PyExc_ValueError, "no such role");
        return false;
    }
    thing->id = (const void *)(uintptr_t)id;
    thing->role = (enum even_role)role;
    thing->done = done;
    thing->canceled = canceled;
    thing->kept = kept;
    return true;
}

PyObject *loop_tell(PyObject *self, PyObject *args)
{
    struct loop *loop = as_loop(self);
    even_tale tale = { .loop = loop->core };
    PyObject *task, *object;
    const char *event;
    long long value;
    /* again: below */
    if (!PyArg_ParseTuple(args, "sOOsLiz", &event, &task, &object, &tale.where, &value, &tale.status, &tale.failure) ||
        !event_named(event, &tale.event) || !read_thing(task, &tale.task) || !read_thing(object, &tale.object))
        return NULL;
    tale.value = value;
    if (loop->core)
        even_tell(&tale);
    Py_RETURN_NONE;
}
