/* Handles: asyncio.Handle and asyncio.TimerHandle with a handle of the core's inside. The slots of asyncio's classes hold
 * the objects, so that its methods, the collector and whoever looks at a handle find what they know. */
#include "core.h"
#include "layout.h"
#include "loop/loop.h"

enum { SPARE_MAX = 256 };

static struct layout {
    Py_ssize_t callback, args, cancelled, loop, source_traceback, repr, context, when, scheduled, lock;
    Py_ssize_t handle_end, timer_end;       /* and our own part */
    Py_ssize_t slots[SLOTS_MAX];            /* all of them, of either class */
    size_t slots_count, timer_only;         /* the first of them are a timer's alone */
} at;
static bool at_is_known;

struct part {
    even_handle handle;
    bool shared;        /* may still be in the inbox, where it cannot be unlinked: a cancelled one is skipped when it runs */
};

struct timer_part {
    even_timer timer;
};

static struct part *part_of(PyObject *handle)
{
    return (struct part *)(void *)((char *)handle + at.handle_end);
}

static struct timer_part *timer_part_of(PyObject *handle)
{
    return (struct timer_part *)(void *)((char *)handle + at.timer_end);
}

static void set(PyObject *o, Py_ssize_t where, PyObject *value)
{
    PyObject *old = SLOT(o, where);
    SLOT(o, where) = Py_NewRef(value);
    Py_XDECREF(old);
}

bool handle_is_cancelled(PyObject *handle)
{
    return SLOT(handle, at.cancelled) == Py_True;
}

/* Since 3.14, who cancels one that another thread gave waits until it is not being called: asyncio's methods do so. */
static bool has_lock(const struct state *state, PyObject *handle)
{
    return Py_TYPE(handle) == state->thread_handle_type && state->thread_handle_type != state->handle_type;
}

/* ---- calling ---- */

static PyObject *call(PyObject *handle)
{
    PyObject *callback = Py_NewRef(SLOT(handle, at.callback)), *args = Py_NewRef(SLOT(handle, at.args));
    PyObject *context = Py_NewRef(SLOT(handle, at.context)), *result = NULL;
    if (PyContext_Enter(context) == 0) {
        if (PyTuple_CheckExact(args))
            result = PyObject_Vectorcall(callback, &PyTuple_GET_ITEM(args, 0), (size_t)PyTuple_GET_SIZE(args), NULL);
        else
            result = PyObject_CallObject(callback, args);
        PyObject *raised = result ? NULL : PyErr_GetRaisedException();
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
            Py_CLEAR(raised);
        }
        if (raised)
            PyErr_SetRaisedException(raised);
    }
    Py_DECREF(callback);
    Py_DECREF(args);
    Py_DECREF(context);
    return result;
}

void handle_call(struct loop *loop, PyObject *handle)
{
    PyObject *result;
    if (handle_is_cancelled(handle))
        return;
    const bool explained = is_explained(loop);
    if (explained)
        explain_turn(loop, handle);     /* again: next */
    if (explained && handle_is_cancelled(handle))       /* by a signal's handler, which ran meanwhile */
        return;
    /* only: of the loop, which the handle has a reference of, just its state is used */
    if (loop->debug)
        result = PyObject_CallFunctionObjArgs(loop->state->run_debug, (PyObject *)loop, handle, NULL);    /* only: as above */
    else if (has_lock(loop->state, handle))
        result = PyObject_CallMethodNoArgs(handle, loop->state->str_run);      /* only: as above */
    else
        result = call(handle);    /* again: below */
    if (!result && !loop_takes_exception(loop)) {      /* only: as above */
        PyObject *raised = PyErr_GetRaisedException();
        /* only: as above */
        result = PyObject_CallFunctionObjArgs(loop->state->handle_failed, (PyObject *)loop, handle, raised, NULL);
        Py_DECREF(raised);
        if (!result && !loop_takes_exception(loop))    /* again: explain is looked at below */
            PyErr_WriteUnraisable(handle);
    }
    Py_XDECREF(result);
    if (explained && loop->explain)
        explain_turn(loop, NULL);
}

static struct loop *loop_of(PyObject *handle)
{
    return as_loop(SLOT(handle, at.loop));
}

static void run(even_handle *h)
{
    PyObject *self = (PyObject *)(void *)((char *)h - offsetof(struct part, handle) - at.handle_end);
    struct loop *loop = loop_of(self);
    if (loop->raised) {         /* the run is being left: it is the first of the next one */
        even_call_soon(loop->core, h);
        return;
    }
    handle_call(loop, self);
    Py_DECREF(self);
}

static void run_timer(even_handle *h)
{
    PyObject *self = (PyObject *)(void *)((char *)h - offsetof(struct timer_part, timer.handle) - at.timer_end);
    struct loop *loop = loop_of(self);
    if (loop->raised) {
        even_call_soon(loop->core, h);
        return;
    }
    set(self, at.scheduled, Py_False);
    handle_call(loop, self);
    Py_DECREF(self);
}

/* ---- memory: one that is gone is the next one ---- */

static void *link_of(PyObject *handle)
{
    return (char *)handle + at.callback;
}

static PyObject *spare_take(struct loop *loop, bool timer)
{
    PyObject *self = loop->spare[timer];
    if (!self)
        return NULL;
    loop->spare[timer] = *(PyObject **)link_of(self);
    loop->spare_count[timer]--;
    *(PyObject **)link_of(self) = NULL;
    if (timer)
        memset(timer_part_of(self), 0, sizeof(struct timer_part));
    else
        memset(part_of(self), 0, sizeof(struct part));
    _Py_NewReference(self);
    PyObject_GC_Track(self);
    return self;
}

static bool spare_keep(struct loop *loop, PyObject *self, bool timer)
{
#ifdef Py_GIL_DISABLED
    return false;       /* threads would meet here */
#endif
    if (!loop->core || loop->spare_count[timer] == SPARE_MAX)
        return false;
    *(PyObject **)link_of(self) = loop->spare[timer];
    loop->spare[timer] = self;
    loop->spare_count[timer]++;
    return true;
}

void handles_free(struct loop *loop)
{
    for (int timer = 0; timer < 2; timer++)
        while (loop->spare[timer]) {
            PyObject *self = loop->spare[timer];
            PyTypeObject *type = Py_TYPE(self);
            loop->spare[timer] = *(PyObject **)link_of(self);
            loop->spare_count[timer]--;
            type->tp_free(self);
            Py_DECREF(type);
        }
}

static void handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (SLOT(self, type->tp_weaklistoffset))
        PyObject_ClearWeakRefs(self);
    struct loop *loop = (struct loop *)Py_XNewRef(SLOT(self, at.loop));
    const bool timer = loop && type == loop->state->timer_handle_type, locked = loop && has_lock(loop->state, self);
    for (size_t i = timer ? 0 : at.timer_only; i < at.slots_count; i++)
        Py_CLEAR(SLOT(self, at.slots[i]));
    if (locked)
        Py_CLEAR(SLOT(self, at.lock));
    if (!loop || locked || !spare_keep(loop, self, timer)) {
        type->tp_free(self);
        Py_DECREF(type);
    }
    Py_XDECREF((PyObject *)loop);
}

/* ---- making ---- */

static PyObject *make(struct loop *loop, PyTypeObject *type, PyObject *callback, PyObject *const *args, Py_ssize_t n,
                      PyObject *context)
{
    const bool timer = type == loop->state->timer_handle_type;
    PyObject *tuple, *self;
    if (n == 0) {
        tuple = Py_NewRef(loop->state->empty_tuple);
    } else {
        tuple = PyTuple_New(n);
        if (!tuple)
            return NULL;
        for (Py_ssize_t i = 0; i < n; i++)
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    context = context && context != Py_None ? Py_NewRef(context) : PyContext_CopyCurrent();
    self = context && (timer || type == loop->state->handle_type) ? spare_take(loop, timer) : NULL;
    if (context && !self)
        self = type->tp_alloc(type, 0);
    if (!self) {
        Py_XDECREF(context);
        Py_DECREF(tuple);
        return NULL;
    }
    SLOT(self, at.callback) = Py_NewRef(callback);
    SLOT(self, at.args) = tuple;
    SLOT(self, at.context) = context;
    SLOT(self, at.loop) = Py_NewRef((PyObject *)loop);
    SLOT(self, at.cancelled) = Py_NewRef(Py_False);
    SLOT(self, at.repr) = Py_NewRef(Py_None);
    SLOT(self, at.source_traceback) = Py_NewRef(Py_None);
    if (loop->debug) {
        PyObject *stack = PyObject_CallNoArgs(loop->state->extract_stack);
        if (!stack) {
            Py_DECREF(self);
            return NULL;
        }
        set(self, at.source_traceback, stack);
        Py_DECREF(stack);
    }
    return self;
}

PyObject *handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context)
{
    PyObject *self = make(loop, loop->state->handle_type, callback, args, n, context);
    if (self)
        part_of(self)->handle.run = run;
    return self;
}

PyObject *thread_handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context)
{
    struct state *s = loop->state;
    if (s->thread_handle_type == s->handle_type)
        return handle_new(loop, callback, args, n, context);
    PyObject *self = make(loop, s->thread_handle_type, callback, args, n, context);
    if (self && !(SLOT(self, at.lock) = PyObject_CallNoArgs(s->rlock)))
        Py_CLEAR(self);
    if (self)
        part_of(self)->handle.run = run;
    return self;
}

PyObject *timer_handle_new(struct loop *loop, PyObject *when, PyObject *callback, PyObject *const *args, Py_ssize_t n,
                           PyObject *context)
{
    PyObject *self = make(loop, loop->state->timer_handle_type, callback, args, n, context);
    if (!self)
        return NULL;
    timer_part_of(self)->timer.handle.run = run_timer;
    SLOT(self, at.when) = Py_NewRef(when);
    SLOT(self, at.scheduled) = Py_NewRef(Py_False);
    return self;
}

void handle_queue(struct loop *loop, PyObject *handle)
{
    Py_INCREF(handle);
    even_call_soon(loop->core, &part_of(handle)->handle);
}

int handle_queue_threadsafe(struct loop *loop, PyObject *handle)
{
    Py_INCREF(handle);
    part_of(handle)->shared = true;
    int rc = even_call_soon_threadsafe(loop->core, &part_of(handle)->handle);
    if (rc < 0)
        Py_DECREF(handle);
    return rc;
}

/* A timer that another thread sets while the loop waits is armed by the loop's own. */
struct arming {
    even_handle handle;
    PyObject *timer;
    double when;
};

static void arm(even_handle *h)
{
    struct arming *a = even_container_of(h, struct arming, handle);
    if (!handle_is_cancelled(a->timer)) {
        PyObject *timer = Py_NewRef(a->timer);
        if (even_call_at(loop_of(timer)->core, &timer_part_of(timer)->timer, a->when) < 0) {
            Py_DECREF(timer);
            PyErr_NoMemory();
            PyErr_WriteUnraisable(a->timer);
        }
    }
    Py_DECREF(a->timer);
    PyMem_RawFree(a);
}

int timer_handle_arm(struct loop *loop, PyObject *handle, double when)
{
    set(handle, at.scheduled, Py_True);
    if (loop->waiting) {
        struct arming *a = PyMem_RawMalloc(sizeof *a);
        if (!a)
            return -ENOMEM;
        *a = (struct arming){ .handle = EVEN_HANDLE(arm), .timer = Py_NewRef(handle), .when = when };
        int rc = even_call_soon_threadsafe(loop->core, &a->handle);
        if (rc < 0) {
            Py_DECREF(handle);
            PyMem_RawFree(a);
        }
        return rc;
    }
    int rc = even_call_at(loop->core, &timer_part_of(handle)->timer, when);
    if (rc == 0)
        Py_INCREF(handle);
    return rc;
}

/* ---- cancelling ---- */

static int forget(PyObject *self, struct loop *loop)
{
    set(self, at.cancelled, Py_True);
    if (loop->debug) {          /* its description is kept, for the log */
        PyObject *text = PyObject_Repr(self);
        if (!text)
            return -1;
        set(self, at.repr, text);
        Py_DECREF(text);
    }
    set(self, at.callback, Py_None);
    set(self, at.args, Py_None);
    return 0;
}

static PyObject *handle_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (handle_is_cancelled(self))
        Py_RETURN_NONE;
    struct loop *loop = loop_of(self);
    struct part *part = part_of(self);
    /* again: below */
    if (forget(self, loop) < 0)
        return NULL;
    if (even_handle_is_queued(&part->handle) && !part->shared && !loop->waiting) {
        even_handle_cancel(&part->handle);
        Py_DECREF(self);        /* the queue's */
    }
    Py_RETURN_NONE;
}

static PyObject *timer_handle_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (handle_is_cancelled(self))
        Py_RETURN_NONE;
    struct loop *loop = loop_of(self);
    even_timer *timer = &timer_part_of(self)->timer;
    /* again: below */
    if (forget(self, loop) < 0)
        return NULL;
    set(self, at.scheduled, Py_False);
    if (!loop->waiting && loop->core && (timer->index || even_handle_is_queued(&timer->handle))) {
        even_timer_cancel(loop->core, timer);
        Py_DECREF(self);
    }
    Py_RETURN_NONE;
}

/* The object that a handle of the core's is part of; NULL if it is none of ours. */
static PyObject *object_of(even_handle *h)
{
    return h->run == run         ? (PyObject *)(void *)((char *)h - offsetof(struct part, handle) - at.handle_end)
           : h->run == run_timer ? (PyObject *)(void *)((char *)h - offsetof(struct timer_part, timer.handle) - at.timer_end)
                                 : NULL;
}

PyObject *handles_list(struct loop *loop, bool timers)
{
    PyObject *list = PyList_New(0);
    even_loop *core = loop->core;
    even_handle *queues[] = { &core->batch, &core->ready };
    int rc = list ? 0 : -1;
    if (timers) {
        for (uint32_t i = 1; rc == 0 && i <= core->timers.count; i++) {
            PyObject *handle = object_of(&core->timers.slot[i].timer->handle);
            rc = handle ? PyList_Append(list, handle) : 0;
        }
        if (rc == 0)
            rc = PyList_Sort(list);         /* which is a heap, too */
    } else {
        for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
            for (even_handle *h = queues[i]->next; rc == 0 && h != queues[i]; h = h->next) {
                PyObject *handle = object_of(h);
                rc = handle ? PyList_Append(list, handle) : 0;
            }
    }
    if (rc < 0)
        Py_CLEAR(list);
    return list;
}

/* ---- for passes of the program's own ---- */

size_t handles_count(struct loop *loop, size_t most)
{
    even_handle *queues[] = { &loop->core->batch, &loop->core->ready };
    size_t n = 0;
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        for (even_handle *h = queues[i]->next; n < most && h != queues[i]; h = h->next)
            n += object_of(h) != NULL;
    return n;
}

PyObject *handle_unqueue(struct loop *loop)
{
    even__inbox_take(loop->core);
    even_handle *queues[] = { &loop->core->batch, &loop->core->ready };
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        for (even_handle *h = queues[i]->next; h != queues[i]; h = h->next) {
            PyObject *handle = object_of(h);
            if (!handle)
                continue;
            even_handle_cancel(h);
            if (h->run == run_timer)
                set(handle, at.scheduled, Py_False);
            return handle;          /* the queue's reference */
        }
    PyErr_SetString(PyExc_IndexError, "pop from an empty queue");
    return NULL;
}

int handle_requeue(struct loop *loop, PyObject *handle)
{
    struct state *s = loop->state;
    const bool timer = Py_IS_TYPE(handle, s->timer_handle_type);
    if ((!timer && !Py_IS_TYPE(handle, s->handle_type) && !Py_IS_TYPE(handle, s->thread_handle_type)) ||
        loop_of(handle) != loop) {
        PyErr_Format(PyExc_TypeError, "%R is no handle of this loop", handle);
        return -1;
    }
    even__inbox_take(loop->core);       /* it may stand there */
    even_handle *h = timer ? &timer_part_of(handle)->timer.handle : &part_of(handle)->handle;
    if (even_handle_is_queued(h) || handle_is_cancelled(handle))
        return 0;
    if (timer && timer_part_of(handle)->timer.index)
        even_timer_cancel(loop->core, &timer_part_of(handle)->timer);
    else
        Py_INCREF(handle);
    even_call_soon(loop->core, h);
    return 0;
}

void handles_run_core(struct loop *loop)
{
    even_handle *queues[] = { &loop->core->batch, &loop->core->ready }, *chosen = &loop->chosen;
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        for (even_handle *h = queues[i]->next, *next; h != queues[i]; h = next) {
            next = h->next;
            if (!object_of(h)) {
                even__queue_remove(h);
                even__queue_append(chosen, h);
            }
        }
    const bool calling = loop->calling;
    loop->calling = true;
    while (!even__queue_is_empty(chosen) && !loop->raised) {       /* a pass inside of this one goes on with them */
        even_handle *h = chosen->next;
        even__queue_remove(h);
        h->run(h);    /* again: below */
    }
    loop->calling = calling;
    even__queue_splice(&loop->core->ready, chosen);     /* an exit: they are for the next pass */
}

int handles_traverse(struct loop *loop, visitproc visit, void *arg)
{
    even_loop *core = loop->core;
    even_handle *queues[] = { &core->batch, &core->ready };
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        for (even_handle *h = queues[i]->next; h != queues[i]; h = h->next)
            Py_VISIT(object_of(h));
    for (uint32_t i = 1; i <= core->timers.count; i++)
        Py_VISIT(object_of(&core->timers.slot[i].timer->handle));
    return 0;
}

void handles_drop(struct loop *loop)
{
    even_loop *core = loop->core;
    even_handle *queues[] = { &core->batch, &core->ready };
    even__inbox_take(core);
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        for (even_handle *h = queues[i]->next, *next; h != queues[i]; h = next) {
            PyObject *handle = object_of(h);
            next = h->next;
            if (handle) {
                even_handle_cancel(h);
                Py_DECREF(handle);
                next = queues[i]->next;     /* what went with it may have cancelled others */
            } else if (h->run == arm) {
                struct arming *a = even_container_of(h, struct arming, handle);
                even_handle_cancel(h);
                Py_DECREF(a->timer);
                PyMem_RawFree(a);
                next = queues[i]->next;
            }
        }
    uint32_t i = 1;
    while (i <= core->timers.count) {
        even_timer *timer = core->timers.slot[i].timer;
        PyObject *handle = object_of(&timer->handle);
        if (handle) {
            even_timer_cancel(core, timer);
            Py_DECREF(handle);
            i = 1;
        } else {
            i++;
        }
    }
}

/* ---- types ---- */

static PyMethodDef handle_methods[] = {
    { "cancel", handle_cancel, METH_NOARGS, "Do not call it any more." },
    { 0 },
};

static PyMethodDef timer_handle_methods[] = {
    { "cancel", timer_handle_cancel, METH_NOARGS, "Do not call it any more." },
    { 0 },
};

static PyTypeObject *derive(PyObject *module, PyObject *base, const char *name, PyMethodDef *methods, size_t part,
                            Py_ssize_t *end)
{
    Py_ssize_t size = ((PyTypeObject *)(void *)base)->tp_basicsize;
    if (*end < size)
        *end = (size + 15) & ~(Py_ssize_t)15;
    PyType_Slot slots[] = { { Py_tp_dealloc, handle_dealloc }, { methods ? Py_tp_methods : 0, methods }, { 0, NULL } };
    /* Py_TPFLAGS_HAVE_GC, traverse and clear come from the base: all references are in its slots. */
    PyType_Spec spec = { name, (int)(*end + (Py_ssize_t)part), 0, Py_TPFLAGS_DEFAULT, slots };
    return type_make(module, &spec, base);
}

int handle_types_make(PyObject *module, struct state *state)
{
    int rc = -1;
    struct layout found = { 0 };
    PyObject *events = PyImport_ImportModule("asyncio.events"), *handle = NULL, *timer = NULL, *thread = NULL;
    if (!events || !(handle = PyObject_GetAttrString(events, "Handle")) ||
        !(timer = PyObject_GetAttrString(events, "TimerHandle")))
        goto out;
    const struct { PyObject *type; const char *name; Py_ssize_t *where; } names[] = {
        { handle, "_callback", &found.callback }, { handle, "_args", &found.args }, { handle, "_cancelled", &found.cancelled },
        { handle, "_loop", &found.loop }, { handle, "_source_traceback", &found.source_traceback },
        { handle, "_repr", &found.repr }, { handle, "_context", &found.context },
        { timer, "_when", &found.when }, { timer, "_scheduled", &found.scheduled },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slot_offset(names[i].type, names[i].name, names[i].where) < 0)
            goto out;
    int base = slots_of((PyTypeObject *)(void *)handle, found.slots, SLOTS_MAX);
    int all = base < 0 ? -1 : slots_of((PyTypeObject *)(void *)timer, found.slots, SLOTS_MAX);
    if (all < 0)
        goto out;
    found.slots_count = (size_t)all;
    found.timer_only = (size_t)(all - base);
    /* The larger one first: our part lies at one place in both. */
    Py_ssize_t handle_end = 0, timer_end = 0;
    if ((thread = PyObject_GetAttrString(events, "_ThreadSafeHandle"))) {
        state->thread_handle_type = derive(module, thread, "evenloop._core.ThreadSafeHandle", NULL, sizeof(struct part),
                                           &handle_end);
        if (!state->thread_handle_type || slot_offset(thread, "_lock", &found.lock) < 0)
            goto out;
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    } else {
        goto out;
    }
    state->handle_type = derive(module, handle, "evenloop._core.Handle", handle_methods, sizeof(struct part), &handle_end);
    state->timer_handle_type = derive(module, timer, "evenloop._core.TimerHandle", timer_handle_methods,
                                      sizeof(struct timer_part), &timer_end);
    found.handle_end = handle_end;
    found.timer_end = timer_end;
    if (!thread)
        state->thread_handle_type = (PyTypeObject *)(void *)Py_XNewRef((PyObject *)(void *)state->handle_type);
    rc = state->handle_type && state->timer_handle_type ? layout_publish(&at, &found, sizeof at, &at_is_known) : -1;
out:
    Py_XDECREF(thread);
    Py_XDECREF(events);
    Py_XDECREF(handle);
    Py_XDECREF(timer);
    return rc;
}
