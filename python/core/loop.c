/* The loop's type: what is called often. evenloop.Loop derives from it and from asyncio's loop, in this order. */
#include "loop.h"
#include "child.h"
#include "clock.h"
#include "errand.h"
#include "explain.h"
#include "handle.h"
#include "held.h"
#include "nested.h"
#include "output.h"
#include "sock.h"
#include "tls.h"
#include "watch.h"
#include <math.h>
#include <structmember.h>
#include <time.h>

/* ---- errors ---- */

PyObject *raise_status(int status)
{
    if (-status > 3000) {
        PyErr_Format(PyExc_RuntimeError, "%s (%s)", even_strerror(status), even_errname(status));
        return NULL;
    }
    if (status == -ENOMEM)
        return PyErr_NoMemory();
    errno = -status;
    return PyErr_SetFromErrno(PyExc_OSError);
}

bool loop_check_open(struct loop *loop)
{
    if (!loop->closed)
        return true;
    PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
    return false;
}

bool loop_check_here(struct loop *loop)
{
    if (!loop_check_open(loop))
        return false;
    if (!loop->waiting)
        return true;
    PyErr_SetString(PyExc_RuntimeError, "the loop waits in another thread: use call_soon_threadsafe()");
    return false;
}

bool loop_takes_exception(struct loop *loop)
{
    if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) && !PyErr_ExceptionMatches(PyExc_SystemExit))
        return false;
    if (loop->raised)
        PyErr_Clear();
    else
        loop->raised = PyErr_GetRaisedException();
    if (loop->core)             /* what raised it may have closed it */
        even_loop_stop(loop->core);
    return true;
}

/* ---- running ---- */

static void before_wait(void *data)
{
    struct loop *loop = data;
    loop->waiting = PyThreadState_Get();
    (void)PyEval_SaveThread();
}

static void after_wait(void *data)
{
    struct loop *loop = data;
    PyEval_RestoreThread(loop->waiting);
    loop->waiting = NULL;
    while (loop->errands) {
        struct errand *e = loop->errands;
        loop->errands = e->next;
        e->run(e);    /* only: the errand, which its caller holds */
        e->over = true;
        sem_post(&e->done);     /* it goes on, and is gone, once we let the interpreter go */
    }
    loop_follow_clock(loop);            /* again: it asks the class alone, which got another time() meanwhile, maybe */
    if (PyErr_CheckSignals() < 0 && !loop_takes_exception(loop)) {      /* only: a run closes no loop */
        loop->raised = PyErr_GetRaisedException();      /* a signal handler's: it leaves the run, as from select() */
        even_loop_stop(loop->core);
    }
}

static int loop_setattr(PyObject *o, PyObject *name, PyObject *value)
{
    struct loop *loop = as_loop(o);
    int rc = PyObject_GenericSetAttr(o, name, value);     /* again: below */
    if (rc == 0 && PyUnicode_Compare(name, loop->state->str_time) == 0) {
        loop->own_time = value != NULL;
        if (loop->core && !loop->waiting)
            loop_follow_clock(loop);        /* only: the clock; nothing follows */
    } else if (rc == 0 && value == Py_None && loop->attached && loop->core && !loop->calling &&
               PyUnicode_Compare(name, loop->state->str_thread_id) == 0) {
        loop->attached = false;             /* a run of the program's own passes is over: another thread may make the next */
        even_loop_leave_thread(loop->core);
    }
    return rc;
}

/* ---- passes ---- */

/* What is to leave the run, leaves it. */
PyObject *loop_raise(struct loop *loop)
{
    if (!loop->raised)
        Py_RETURN_NONE;
    PyErr_SetRaisedException(loop->raised);
    loop->raised = NULL;
    return NULL;
}

/* Called by asyncio's run_forever() in its loop; makes pass after pass until stop(). By itself, outside of a run, it is one
 * pass that does not wait. */
static PyObject *run_once(PyObject *self, PyObject *unused)
{
    struct loop *loop = as_loop(self);
    (void)unused;
    if (!loop_check_open(loop))
        return NULL;
    PyObject *thread = PyObject_GetAttr(self, loop->state->str_thread_id);     /* again: next */
    if (!thread || !loop_check_here(loop)) {
        Py_XDECREF(thread);
        return NULL;
    }
    if (thread == Py_None)
        even_loop_stop(loop->core);
    Py_DECREF(thread);
    if (is_explained(loop))
        explain_run(loop, true);        /* again: next */
    if (!loop_check_here(loop))
        return NULL;
    loop_follow_clock(loop);            /* again: it asks the class alone */
    int rc = even_loop_run_forever(loop->core);     /* only: a run closes no loop */
    const bool parents = even_loop_is_parents(loop->core);     /* in a forked child nothing goes out */
    if (loop->held && !parents) {
        tls_flush_all(loop);    /* again: next */
        if (loop->core)
            outputs_flush(loop);    /* only: it runs nothing */
    }
    if (is_explained(loop))
        explain_run(loop, false);       /* only: what left the run */
    return loop->raised || rc >= 0 ? loop_raise(loop) : raise_status(rc);
}

static PyObject *stop(PyObject *self, PyObject *unused)
{
    (void)unused;
    as_loop(self)->stopping = true;
    if (as_loop(self)->core)
        even_loop_stop(as_loop(self)->core);
    Py_RETURN_NONE;
}

static PyObject *is_closed(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(as_loop(self)->closed);
}

static PyObject *get_debug(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (is_explained(as_loop(self)) && explain_future(as_loop(self)) < 0)
        return NULL;
    return PyBool_FromLong(as_loop(self)->debug);
}

static PyObject *loop_time(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (!as_loop(self)->core) {
        loop_check_open(as_loop(self));
        return NULL;
    }
    return PyFloat_FromDouble(even_time(as_loop(self)->core));
}

/* ---- scheduling ---- */

/* _asyncio calls with one tuple of names, of a string of its own: it is known again. */
bool take_context(struct state *state, PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **context)
{
    *context = NULL;
    if (!names)
        return true;
    if (names == state->names_context) {
        *context = args[n];
        return true;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (name != state->str_context && PyUnicode_Compare(name, state->str_context) != 0) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_TypeError, "got an unexpected keyword argument '%U'", name);
            return false;
        }
        *context = args[n + i];
    }
    if (!state->names_context && PyTuple_GET_SIZE(names) == 1 && PyTuple_GET_ITEM(names, 0) != state->str_context)
        state->names_context = Py_NewRef(names);
    return true;
}

/* In debug mode: the thread, and that it is a callback. */
static bool check_call(struct loop *loop, PyObject *callback, PyObject *method)
{
    if (!loop_check_open(loop))
        return false;
    if (!loop->debug)
        return true;
    PyObject *none = PyObject_CallFunctionObjArgs(loop->state->check_call, (PyObject *)loop, callback, method, NULL);
    Py_XDECREF(none);
    return none != NULL;
}

static bool need(Py_ssize_t n, Py_ssize_t least, const char *what)
{
    if (n >= least)
        return true;
    PyErr_Format(PyExc_TypeError, "missing required argument: %s", what);
    return false;
}

/* A handle was made, if it was. Python may have run for that, and another thread closed the loop. False with an exception. */
static bool still_open(struct loop *loop, PyObject **handle)
{
    if (*handle && !loop_check_open(loop))
        Py_CLEAR(*handle);
    return *handle != NULL;
}

/* Threads that do nothing but call would make each pass longer than the one before, for ever. So after very many calls in a pass
 * a thread lets the loop's have the interpreter, which that keeps for some milliseconds, as the interpreter's are. */
static void hold_back(struct loop *loop)
{
    enum { MANY = 1000 };
    if (!loop->core || !even_loop_is_running(loop->core))
        return;
    const uint64_t pass = even_loop_passes(loop->core);
    if (loop->pushed_pass != pass) {
        loop->pushed_pass = pass;
        loop->pushed = 0;
    }
    if (++loop->pushed % MANY)
        return;
    Py_BEGIN_ALLOW_THREADS
    (void)nanosleep(&(struct timespec){ 0, 50 * 1000 }, NULL);
    Py_END_ALLOW_THREADS
}

static PyObject *call_soon_(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names, bool threadsafe)
{
    struct loop *loop = as_loop(self);
    struct state *state = loop->state;
    PyObject *context;
    /* again: what comes next looks */
    if (!need(n, 1, "callback") || !take_context(state, args, n, names, &context) ||
        !check_call(loop, args[0], threadsafe ? state->str_call_soon_threadsafe : state->str_call_soon))
        return NULL;
    /* again: what comes next looks */
    PyObject *handle = threadsafe ? thread_handle_new(loop, args[0], args + 1, n - 1, context)
                                  : handle_new(loop, args[0], args + 1, n - 1, context);
    if (!still_open(loop, &handle))
        return NULL;
    /* While it does not wait, whoever holds the interpreter may touch the queue: so the order is that of the calls. */
    if (!loop->waiting) {
        handle_queue(loop, handle);
        if (is_explained(loop) && explain_soon(loop, args[0], n > 1 ? args[1] : NULL) < 0)
            Py_CLEAR(handle);
        return handle;
    }
    int rc = handle_queue_threadsafe(loop, handle);
    if (rc < 0) {
        Py_DECREF(handle);
        return raise_status(rc);
    }
    return handle;
}

static PyObject *call_soon(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return call_soon_(self, args, n, names, false);
}

static PyObject *call_soon_threadsafe(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *handle = call_soon_(self, args, n, names, true);      /* only: the handle, whatever becomes of the loop */
    if (handle && even_running_loop() != as_loop(self)->core)
        hold_back(as_loop(self));
    return handle;
}

static PyObject *call_at_(struct loop *loop, PyObject *when_object, PyObject *const *args, Py_ssize_t n, PyObject *context)
{
    double when = PyFloat_AsDouble(when_object);        /* again: still_open() */
    if (when == -1.0 && PyErr_Occurred())
        return NULL;
    if (isnan(when)) {
        PyErr_SetString(PyExc_ValueError, "Invalid delay: NaN (not a number)");
        return NULL;
    }
    if (loop->core && !loop->waiting)
        loop_follow_clock(loop);        /* again: it asks the class alone */
    PyObject *handle = timer_handle_new(loop, when_object, args[0], args + 1, n - 1, context);
    int rc = still_open(loop, &handle) ? timer_handle_arm(loop, handle, when) : 0;
    if (rc < 0) {
        Py_DECREF(handle);
        return raise_status(rc);
    }
    return handle;
}

static PyObject *call_at(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    struct loop *loop = as_loop(self);
    PyObject *context;
    if (!need(n, 2, "when and callback") || !take_context(loop->state, args, n, names, &context))
        return NULL;
    if (args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "when cannot be None");
        return NULL;
    }
    if (!check_call(loop, args[1], loop->state->str_call_at))
        return NULL;
    return call_at_(loop, args[0], args + 1, n - 1, context);
}

static PyObject *call_later(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    struct loop *loop = as_loop(self);
    PyObject *context;
    if (!need(n, 2, "delay and callback") || !take_context(loop->state, args, n, names, &context))
        return NULL;
    if (args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "delay must not be None");
        return NULL;
    }
    /* again: what comes next looks */
    if (!check_call(loop, args[1], loop->state->str_call_at))
        return NULL;
    /* time() may be somebody's own, in a subclass: then it counts. */
    /* again: call_at_() looks whether it is open */
    PyObject *now = PyObject_CallMethodNoArgs(self, loop->state->str_time), *when = now ? PyNumber_Add(now, args[0]) : NULL;
    Py_XDECREF(now);
    if (!when)
        return NULL;
    PyObject *handle = call_at_(loop, when, args + 1, n - 1, context);    /* again: what comes next looks */
    Py_DECREF(when);
    if (is_explained(loop) && handle &&
        explain_later(loop, args[0], args[1], n > 2 ? args[2] : NULL) < 0)
        Py_CLEAR(handle);
    return handle;
}

/* ---- tasks and futures: asyncio's, made without a frame of Python's ---- */

/* {"loop": loop}, kept until it is closed; a new reference. */
static PyObject *keywords_of(struct loop *loop)
{
    if (loop->keywords)
        return Py_NewRef(loop->keywords);
    PyObject *keywords = PyDict_New();
    if (keywords && PyDict_SetItem(keywords, loop->state->str_loop, (PyObject *)loop) < 0)
        Py_CLEAR(keywords);
    if (keywords && !loop->closed)
        loop->keywords = Py_NewRef(keywords);
    return keywords;
}

/* Is it still asyncio's? Until 3.11 a dict has a version: one that was not changed since need not be asked. */
static bool is_own(PyObject *dict, uint64_t *version, PyObject *name, PyObject *own)
{
#if PY_VERSION_HEX < 0x030C0000
    const uint64_t now = ((PyDictObject *)(void *)dict)->ma_version_tag;
    if (now == *version)
        return true;
#else
    const uint64_t now = 0;
#endif
    if (PyDict_GetItemWithError(dict, name) != own)
        return false;
    *version = now;
    return true;
}

static PyObject *create_task(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    struct loop *loop = as_loop(self);
    struct state *state = loop->state;
    enum { NAMES_MAX = 6 };
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    if (!loop_check_open(loop))
        return NULL;
    if (n != 1 || named > NAMES_MAX || loop->debug || (loop->task_factory && loop->task_factory != Py_None) ||
        !is_own(state->tasks, &state->tasks_version, state->str_task, state->task)) {
        PyObject *bound[NAMES_MAX + 4] = { self };
        if (n + named > NAMES_MAX + 3) {
            PyErr_SetString(PyExc_TypeError, "create_task() takes a coroutine, name= and context=");
            return NULL;
        }
        memcpy(bound + 1, args, (size_t)(n + named) * sizeof *args);
        return PyObject_Vectorcall(state->create_task, bound, (size_t)n + 1, names);
    }
    /* Task(coro, loop=self, ...) */
    PyObject *with[NAMES_MAX + 2] = { args[0], self }, *task = NULL;
    if (named == 0) {
        PyObject *keywords = keywords_of(loop), *tuple = keywords ? PyTuple_Pack(1, args[0]) : NULL;
        if (tuple)
            task = PyObject_Call(state->task, tuple, keywords);
        Py_XDECREF(tuple);
        Py_XDECREF(keywords);
        return task;
    }
    PyObject *all = PySequence_Concat(state->names_loop, names);
    if (!all)
        return NULL;
    memcpy(with + 2, args + 1, (size_t)named * sizeof *args);
    task = PyObject_Vectorcall(state->task, with, 1, all);
    Py_DECREF(all);
    return task;
}

PyObject *future_new(struct loop *loop)
{
    struct state *state = loop->state;
    if (!is_own(state->futures, &state->futures_version, state->str_future, state->future_type))
        return PyObject_CallOneArg(state->create_future, (PyObject *)loop);
    PyObject *keywords = keywords_of(loop);
    PyObject *future = keywords ? PyObject_Call(state->future_type, state->empty_tuple, keywords) : NULL;
    Py_XDECREF(keywords);
    return future;
}

static PyObject *create_future(PyObject *self, PyObject *unused)
{
    (void)unused;
    return future_new(as_loop(self));
}

/* A handle of asyncio's own, such as a signal's: called in the next pass. */
static PyObject *add_callback(PyObject *self, PyObject *handle)
{
    struct loop *loop = as_loop(self);
    if (!loop_check_open(loop))
        return NULL;
    if (handle_is_cancelled(loop, handle))
        Py_RETURN_NONE;
    PyObject *run = PyObject_GetAttrString(handle, "_run"), *soon = NULL;
    if (run)
        soon = handle_new(loop, run, NULL, 0, NULL);
    Py_XDECREF(run);
    if (!still_open(loop, &soon))
        return NULL;
    int rc = handle_queue_threadsafe(loop, soon);
    Py_DECREF(soon);
    if (rc < 0)
        return raise_status(rc);
    Py_RETURN_NONE;
}

/* ---- life ---- */

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args;
    struct state *state = state_of_type(type);
    if (!state)
        return NULL;
    PyObject *backend = keywords ? PyDict_GetItemWithError(keywords, state->str_backend) : NULL;
    PyObject *seed = keywords ? PyDict_GetItemWithError(keywords, state->str_seed) : NULL;
    even_loop_options options = { .backend = NULL };
    if (backend && backend != Py_None && !(options.backend = PyUnicode_AsUTF8(backend)))
        return NULL;
    if (seed && seed != Py_None && (options.seed = PyLong_AsUnsignedLongLong(seed)) == (uint64_t)-1 && PyErr_Occurred())
        return NULL;
    struct loop *loop = as_loop(type->tp_alloc(type, 0));
    if (!loop)
        return NULL;
    loop->module = Py_NewRef(PyType_GetModuleByDef(type, &even__module));
    loop->state = state;
    loop->watches = PyDict_New();
    loop->closed = true;
    int rc = loop->watches ? even_loop_new(&loop->core, &options) : 0;
    if (!loop->watches || rc < 0) {
        Py_DECREF(loop);
        return rc < 0 ? raise_status(rc) : NULL;
    }
    even_loop_set_wait_hooks(loop->core, before_wait, after_wait, loop);
    even_loop_ask_each_pass(loop->core, true);      /* as asyncio does: programs count turns */
    loop->closed = false;
    if (explain_open(loop) < 0)
        Py_CLEAR(loop);
    return (PyObject *)loop;
}

static void close_core(struct loop *loop)
{
    Py_CLEAR(loop->keywords);    /* only: `closing` keeps others out */
    if (!loop->core || loop->closing)       /* a finalizer of what is dropped here closes it, too */
        return;
    loop->closing = loop->closed = true;
    if (loop->watches)
        PyDict_Clear(loop->watches);    /* only: `closing` keeps others out */
    handles_drop(loop);    /* only: `closing` keeps others out */
    held_stop_all(loop);
    even_loop *core = loop->core;
    loop->core = NULL;
    loop->changes++;
    even_loop_close(core);
    loop->roused = false;
    held_drop_all(loop);
}

static PyObject *close_(PyObject *self, PyObject *unused)
{
    struct loop *loop = as_loop(self);
    (void)unused;
    if (loop->core && (even_loop_is_running(loop->core) || loop->calling)) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    if (loop->explain)
        explain_close(loop);        /* again: close_core() looks */
    close_core(loop);
    Py_RETURN_NONE;
}

static int loop_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_loop(o)->module);
    Py_VISIT(as_loop(o)->watches);
    Py_VISIT(as_loop(o)->keywords);
    Py_VISIT(as_loop(o)->raised);
    Py_VISIT(as_loop(o)->explain);
    Py_VISIT(as_loop(o)->task_factory);
    /* What its queues hold; not while its own thread may be changing them: then it is in use anyway. */
    if (!as_loop(o)->core || as_loop(o)->waiting)
        return 0;
    int rc = handles_traverse(as_loop(o), visit, arg);
    return rc ? rc : held_traverse(as_loop(o), visit, arg);
}

static int loop_clear(PyObject *o)
{
    close_core(as_loop(o));
    Py_CLEAR(as_loop(o)->watches);
    Py_CLEAR(as_loop(o)->raised);
    Py_CLEAR(as_loop(o)->explain);
    Py_CLEAR(as_loop(o)->task_factory);
    return 0;
}

static void loop_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    loop_clear(o);
    handles_free(as_loop(o));
    Py_XDECREF(as_loop(o)->module);
    PyMem_RawFree(as_loop(o)->scratch);
    PyMem_RawFree(as_loop(o)->fd_flags);
    PyMem_RawFree(as_loop(o)->transports);
    type->tp_free(o);
    Py_DECREF(type);
}

/* _jobs(change): work goes to another thread, or came back; virtual time stands still meanwhile. */
static PyObject *jobs(PyObject *self, PyObject *change)
{
    long n = PyLong_AsLong(change);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (as_loop(self)->core)
        even_loop_count_jobs(as_loop(self)->core, (int)n);
    Py_RETURN_NONE;
}

/* ---- attributes that asyncio's own methods read and write ---- */

#define FLAG(name, reading, writing)                                                                                   \
    static PyObject *get_##name(PyObject *self, void *unused)                                                          \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        return PyBool_FromLong(as_loop(self)->reading);                                                                \
    }                                                                                                                  \
    static int set_##name(PyObject *self, PyObject *value, void *unused)                                               \
    {                                                                                                                  \
        struct loop *loop = as_loop(self);                                                                             \
        int truth = value ? PyObject_IsTrue(value) : 0;                                                                \
        (void)unused;                                                                                                  \
        if (truth < 0)                                                                                                 \
            return -1;                                                                                                 \
        writing;                                                                                                       \
        return 0;                                                                                                      \
    }

FLAG(debug_flag, debug, loop->debug = truth)
FLAG(closed_flag, closed, loop->closed = truth || !loop->core)
FLAG(stopping_flag, stopping, loop->stopping = truth; if (truth && loop->core) even_loop_stop(loop->core))

static PyObject *get_backend(PyObject *self, void *unused)
{
    (void)unused;
    if (!as_loop(self)->core)
        Py_RETURN_NONE;
    return PyUnicode_FromString(even_loop_backend(as_loop(self)->core));
}

/* What asyncio's loop keeps in a deque and in a heap; for those who look. */
static PyObject *get_handles(PyObject *self, void *timers)
{
    return as_loop(self)->core && !as_loop(self)->waiting ? handles_list(as_loop(self), timers != NULL) : PyList_New(0);
}

static int set_handles(PyObject *self, PyObject *value, void *timers)
{
    (void)self;
    (void)value;
    (void)timers;
    return 0;
}

static const PyGetSetDef attributes[] = {
    { "_ready", get_handles, set_handles, NULL, NULL },
    { "_scheduled", get_handles, set_handles, NULL, "timers" },
    { "_debug", get_debug_flag, set_debug_flag, NULL, NULL },
    { "_closed", get_closed_flag, set_closed_flag, NULL, NULL },
    { "_stopping", get_stopping_flag, set_stopping_flag, NULL, NULL },
    { "backend", get_backend, NULL, "The core's backend: 'uring', 'epoll' or 'sim'; None once closed.", NULL },
    { 0 },
};

static const PyMemberDef members[] = {
    { "_task_factory", T_OBJECT, offsetof(struct loop, task_factory), 0, NULL },
    { 0 },
};

static const PyMethodDef methods[] = {
    { "call_soon", (PyCFunction)(void (*)(void))call_soon, METH_FASTCALL | METH_KEYWORDS,
      "call_soon($self, callback, /, *args, context=None)\n--\n\nCall it in the next pass." },
    { "call_soon_threadsafe", (PyCFunction)(void (*)(void))call_soon_threadsafe, METH_FASTCALL | METH_KEYWORDS,
      "call_soon_threadsafe($self, callback, /, *args, context=None)\n--\n\nThe same from any thread; wakes the loop." },
    { "call_later", (PyCFunction)(void (*)(void))call_later, METH_FASTCALL | METH_KEYWORDS,
      "call_later($self, delay, callback, /, *args, context=None)\n--\n\nCall it after `delay` seconds." },
    { "call_at", (PyCFunction)(void (*)(void))call_at, METH_FASTCALL | METH_KEYWORDS,
      "call_at($self, when, callback, /, *args, context=None)\n--\n\nCall it when time() is `when`." },
    { "create_task", (PyCFunction)(void (*)(void))create_task, METH_FASTCALL | METH_KEYWORDS,
      "create_task($self, coro, /, **options)\n--\n\nMake a coroutine a task; it runs in the next pass, at the earliest." },
    { "create_future", create_future, METH_NOARGS, "A Future that belongs to the loop." },
    { "time", loop_time, METH_NOARGS, "The loop's clock, in seconds: monotonic." },
    { "stop", stop, METH_NOARGS, "Finish the pass in progress, then end the run." },
    { "is_closed", is_closed, METH_NOARGS, "True once it is closed." },
    { "get_debug", get_debug, METH_NOARGS, "True in debug mode." },
    { "_run_once", run_once, METH_NOARGS, NULL },
    { "_select", loop_select, METH_O, NULL },
    { "_process_events", loop_process_events, METH_O, NULL },
    { "_queued", loop_queued, METH_NOARGS, NULL },
    { "_count_queued", loop_count_queued, METH_O, NULL },
    { "_unqueue", loop_unqueue, METH_NOARGS, NULL },
    { "_requeue", loop_requeue, METH_O, NULL },
    { "_close_core", close_, METH_NOARGS, NULL },
    { "_add_callback", add_callback, METH_O, NULL },
    { "_add_callback_signalsafe", add_callback, METH_O, NULL },
    { "_add_reader", (PyCFunction)(void (*)(void))loop_add_reader, METH_FASTCALL | METH_KEYWORDS, NULL },
    { "_add_writer", (PyCFunction)(void (*)(void))loop_add_writer, METH_FASTCALL | METH_KEYWORDS, NULL },
    { "_remove_reader", loop_remove_reader, METH_O, NULL },
    { "_remove_writer", loop_remove_writer, METH_O, NULL },
    { "_recv", (PyCFunction)(void (*)(void))loop_recv, METH_FASTCALL, NULL },
    { "_send", (PyCFunction)(void (*)(void))loop_send, METH_FASTCALL, NULL },
    { "_forget_fd", loop_forget_fd, METH_O, NULL },
    { "_transport_of", loop_transport_of, METH_O, NULL },
    { "_set_transport", (PyCFunction)(void (*)(void))loop_set_transport, METH_FASTCALL, NULL },
    { "_transports_known", loop_transports_known, METH_NOARGS, NULL },
    { "_pipe", loop_pipe, METH_NOARGS, NULL },
    { "_watch_child", (PyCFunction)(void (*)(void))loop_watch_child, METH_FASTCALL, NULL },
    { "_jobs", jobs, METH_O, NULL },
    { "_watched", loop_watched, METH_O, NULL },
    { "_tell", loop_tell, METH_VARARGS, NULL },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_tp_new, loop_new },
    { Py_tp_dealloc, loop_dealloc },
    { Py_tp_traverse, loop_traverse },
    { Py_tp_clear, loop_clear },
    { Py_tp_methods, (void *)methods },
    { Py_tp_members, (void *)members },
    { Py_tp_getset, (void *)attributes },
    { Py_tp_setattro, loop_setattr },
    { 0, NULL },
};

const PyType_Spec even__loop_spec = {
    "evenloop._core.Loop", sizeof(struct loop), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    (PyType_Slot *)slots
};
