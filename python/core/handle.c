/* Handles: asyncio.Handle and asyncio.TimerHandle with a handle of the core's inside. The slots of asyncio's classes hold
 * the objects, so that its methods, the collector and whoever looks at a handle find what they know. */
#include "handle.h"
#include "explain.h"
#include "scope.h"

enum { SPARE_MAX = 256 };

/* Behind asyncio's slots, at the very end. The loop is that of the slot `_loop`, which the program may write to. */
struct part {
    struct loop *loop;
    even_handle handle;
};

struct timer_part {
    struct loop *loop;
    even_timer timer;
};

static struct part *part_of(PyObject *handle)
{
    return (struct part *)(void *)((char *)handle + Py_TYPE(handle)->tp_basicsize - sizeof(struct part));
}

static struct timer_part *timer_part_of(PyObject *handle)
{
    return (struct timer_part *)(void *)((char *)handle + Py_TYPE(handle)->tp_basicsize - sizeof(struct timer_part));
}

static const struct handle_layout *layout_of(const struct loop *loop)
{
    return &loop->state->handles;
}

static void set(PyObject *o, Py_ssize_t where, PyObject *value)
{
    PyObject *old = SLOT(o, where);
    SLOT(o, where) = Py_NewRef(value);
    Py_XDECREF(old);
}

bool handle_is_cancelled(struct loop *loop, PyObject *handle)
{
    return SLOT(handle, layout_of(loop)->cancelled) == Py_True;
}

/* Since 3.14, who cancels one that another thread gave waits until it is not being called: asyncio's methods do so. */
static bool has_lock(const struct state *state, PyObject *handle)
{
    return Py_TYPE(handle) == state->thread_handle_type && state->thread_handle_type != state->handle_type;
}

/* ---- calling ---- */

struct callback {
    PyObject *function, *args;
};

static PyObject *call_back(void *data)
{
    const struct callback *c = data;
    if (PyTuple_CheckExact(c->args))
        return PyObject_Vectorcall(c->function, &PyTuple_GET_ITEM(c->args, 0), (size_t)PyTuple_GET_SIZE(c->args), NULL);
    return PyObject_CallObject(c->function, c->args);
}

static PyObject *call(const struct handle_layout *at, PyObject *handle)
{
    struct callback c = { Py_NewRef(SLOT(handle, at->callback)), Py_NewRef(SLOT(handle, at->args)) };
    PyObject *context = Py_NewRef(SLOT(handle, at->context)), *result = call_in_context(context, call_back, &c);
    Py_DECREF(c.function);
    Py_DECREF(c.args);
    Py_DECREF(context);
    return result;
}

void handle_call(struct loop *loop, PyObject *handle)
{
    PyObject *result;
    if (handle_is_cancelled(loop, handle))
        return;
    const bool explained = is_explained(loop);
    if (explained)
        explain_turn(loop, handle);     /* again: next */
    if (explained && handle_is_cancelled(loop, handle))     /* by a signal's handler, which ran meanwhile */
        return;
    /* only: of the loop, which the handle has a reference of, just its state is used */
    if (loop->debug)
        result = PyObject_CallFunctionObjArgs(loop->state->run_debug, (PyObject *)loop, handle, NULL);    /* only: as above */
    else if (has_lock(loop->state, handle))
        result = PyObject_CallMethodNoArgs(handle, loop->state->str_run);      /* only: as above */
    else
        result = call(layout_of(loop), handle);     /* again: below */
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

static PyObject *object_with(struct part *part)
{
    return (PyObject *)(void *)((char *)part - layout_of(part->loop)->handle_end);
}

static PyObject *object_with_timer(struct timer_part *part)
{
    return (PyObject *)(void *)((char *)part - layout_of(part->loop)->timer_end);
}

static void run(even_handle *h)
{
    struct part *part = even_container_of(h, struct part, handle);
    struct loop *loop = part->loop;
    PyObject *self = object_with(part);
    if (loop->raised) {         /* the run is being left: it is the first of the next one */
        even_call_soon(loop->core, h);
        return;
    }
    handle_call(loop, self);
    Py_DECREF(self);
}

/* The same of one that may still be in the inbox, where it cannot be unlinked: a cancelled one is skipped here. */
static void run_shared(even_handle *h)
{
    run(h);
}

static void run_timer(even_handle *h)
{
    struct timer_part *part = even_container_of(h, struct timer_part, timer.handle);
    struct loop *loop = part->loop;
    PyObject *self = object_with_timer(part);
    if (loop->raised) {
        even_call_soon(loop->core, h);
        return;
    }
    set(self, layout_of(loop)->scheduled, Py_False);
    handle_call(loop, self);
    Py_DECREF(self);
}

/* ---- memory: one that is gone is the next one ---- */

static PyObject **link_of(struct loop *loop, PyObject *handle)
{
    return &SLOT(handle, layout_of(loop)->callback);
}

static PyObject *spare_take(struct loop *loop, bool timer)
{
    PyObject *self = loop->spare[timer];
    if (!self)
        return NULL;
    loop->spare[timer] = *link_of(loop, self);
    loop->spare_count[timer]--;
    *link_of(loop, self) = NULL;
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
    *link_of(loop, self) = loop->spare[timer];
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
            loop->spare[timer] = *link_of(loop, self);
            loop->spare_count[timer]--;
            type->tp_free(self);
            Py_DECREF(type);
        }
}

/* What stands in the slots of a handle that is one of the loop's own two kinds. */
static inline void clear_slots(const struct handle_layout *at, PyObject *self, bool timer)
{
    for (size_t i = timer ? 0 : at->timer_only; i < at->slots_count; i++)
        Py_CLEAR(SLOT(self, at->slots[i]));
}

static inline void dealloc(PyObject *self, struct loop *loop, bool timer)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (SLOT(self, type->tp_weaklistoffset))
        PyObject_ClearWeakRefs(self);
    clear_slots(layout_of(loop), self, timer);
    if (!spare_keep(loop, self, timer)) {
        type->tp_free(self);
        Py_DECREF(type);
    }
    Py_DECREF((PyObject *)loop);
}

static void handle_dealloc(PyObject *self)
{
    dealloc(self, part_of(self)->loop, false);
}

static void timer_handle_dealloc(PyObject *self)
{
    dealloc(self, timer_part_of(self)->loop, true);
}

static void thread_handle_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct loop *loop = part_of(self)->loop;
    PyObject_GC_UnTrack(self);
    if (SLOT(self, type->tp_weaklistoffset))
        PyObject_ClearWeakRefs(self);
    slots_clear(self, type->tp_base);
    type->tp_free(self);
    Py_DECREF(type);
    Py_DECREF((PyObject *)loop);
}

static inline int traverse(PyObject *self, struct loop *loop, bool timer, visitproc visit, void *arg)
{
    if (!loop)
        return 0;               /* it is just being made */
    const struct handle_layout *at = layout_of(loop);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)loop);
    for (size_t i = timer ? 0 : at->timer_only; i < at->slots_count; i++)
        Py_VISIT(SLOT(self, at->slots[i]));
    return 0;
}

static int handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    return traverse(self, part_of(self)->loop, false, visit, arg);
}

static int timer_handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    return traverse(self, timer_part_of(self)->loop, true, visit, arg);
}

static int thread_handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)part_of(self)->loop);
    return slots_visit(self, Py_TYPE(self)->tp_base, visit, arg);
}

/* Its own reference of the loop stays as long as itself: what its memory is kept for is found by that. */
static int handle_clear(PyObject *self)
{
    slots_clear(self, Py_TYPE(self)->tp_base);
    return 0;
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
    const struct handle_layout *at = layout_of(loop);
    *(timer ? &timer_part_of(self)->loop : &part_of(self)->loop) = as_loop(Py_NewRef((PyObject *)loop));
    SLOT(self, at->callback) = Py_NewRef(callback);
    SLOT(self, at->args) = tuple;
    SLOT(self, at->context) = context;
    SLOT(self, at->loop) = Py_NewRef((PyObject *)loop);
    SLOT(self, at->cancelled) = Py_NewRef(Py_False);
    SLOT(self, at->repr) = Py_NewRef(Py_None);
    SLOT(self, at->source_traceback) = Py_NewRef(Py_None);
    if (loop->debug) {
        PyObject *stack = PyObject_CallNoArgs(loop->state->extract_stack);
        if (!stack) {
            Py_DECREF(self);
            return NULL;
        }
        set(self, at->source_traceback, stack);
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
    PyObject *self = make(loop, s->thread_handle_type, callback, args, n, context);     /* only: the layout */
    if (self && !(SLOT(self, layout_of(loop)->lock) = PyObject_CallNoArgs(s->rlock)))
        Py_CLEAR(self);
    if (self)
        part_of(self)->handle.run = run;
    return self;
}

PyObject *timer_handle_new(struct loop *loop, PyObject *when, PyObject *callback, PyObject *const *args, Py_ssize_t n,
                           PyObject *context)
{
    /* only: the layout */
    PyObject *self = make(loop, loop->state->timer_handle_type, callback, args, n, context);
    if (!self)
        return NULL;
    timer_part_of(self)->timer.handle.run = run_timer;
    SLOT(self, layout_of(loop)->when) = Py_NewRef(when);
    SLOT(self, layout_of(loop)->scheduled) = Py_NewRef(Py_False);
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
    part_of(handle)->handle.run = run_shared;
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
    struct timer_part *part = timer_part_of(a->timer);
    if (!handle_is_cancelled(part->loop, a->timer)) {
        PyObject *timer = Py_NewRef(a->timer);
        if (even_call_at(part->loop->core, &part->timer, a->when) < 0) {
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
    set(handle, layout_of(loop)->scheduled, Py_True);
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
    const struct handle_layout *at = layout_of(loop);
    set(self, at->cancelled, Py_True);
    if (loop->debug) {          /* its description is kept, for the log */
        PyObject *text = PyObject_Repr(self);
        if (!text)
            return -1;
        set(self, at->repr, text);
        Py_DECREF(text);
    }
    set(self, at->callback, Py_None);
    set(self, at->args, Py_None);
    return 0;
}

static PyObject *handle_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct part *part = part_of(self);
    struct loop *loop = part->loop;
    if (handle_is_cancelled(loop, self))
        Py_RETURN_NONE;
    /* again: below */
    if (forget(self, loop) < 0)
        return NULL;
    if (even_handle_is_queued(&part->handle) && part->handle.run != run_shared && !loop->waiting) {
        even_handle_cancel(&part->handle);
        Py_DECREF(self);        /* the queue's */
    }
    Py_RETURN_NONE;
}

static PyObject *timer_handle_cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct loop *loop = timer_part_of(self)->loop;
    if (handle_is_cancelled(loop, self))
        Py_RETURN_NONE;
    even_timer *timer = &timer_part_of(self)->timer;
    /* again: below */
    if (forget(self, loop) < 0)
        return NULL;
    set(self, layout_of(loop)->scheduled, Py_False);
    if (!loop->waiting && loop->core && (timer->index || even_handle_is_queued(&timer->handle))) {
        even_timer_cancel(loop->core, timer);
        Py_DECREF(self);
    }
    Py_RETURN_NONE;
}

/* The object that a handle of the core's is part of; NULL if it is none of ours. */
static PyObject *object_of(even_handle *h)
{
    return h->run == run || h->run == run_shared ? object_with(even_container_of(h, struct part, handle))
           : h->run == run_timer ? object_with_timer(even_container_of(h, struct timer_part, timer.handle))
                                 : NULL;
}

PyObject *handles_list(struct loop *loop, bool timers)
{
    PyObject *list = PyList_New(0);
    even_loop *core = loop->core;
    int rc = list ? 0 : -1;
    if (timers) {
        for (even_timer *t = NULL; rc == 0 && (t = even_loop_next_timer(core, t));) {
            PyObject *handle = object_of(&t->handle);
            rc = handle ? PyList_Append(list, handle) : 0;
        }
        if (rc == 0)
            rc = PyList_Sort(list);         /* which is a heap, too */
    } else {
        for (even_handle *h = NULL; rc == 0 && (h = even_loop_next_handle(core, h));) {
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
    size_t n = 0;
    for (even_handle *h = NULL; n < most && (h = even_loop_next_handle(loop->core, h));)
        n += object_of(h) != NULL;
    return n;
}

PyObject *handle_unqueue(struct loop *loop)
{
    even_loop_take_pushed(loop->core);
    for (even_handle *h = NULL; (h = even_loop_next_handle(loop->core, h));) {
        PyObject *handle = object_of(h);
        if (!handle)
            continue;
        even_handle_cancel(h);
        if (h->run == run_timer)
            set(handle, layout_of(loop)->scheduled, Py_False);
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
        (timer ? timer_part_of(handle)->loop : part_of(handle)->loop) != loop) {
        PyErr_Format(PyExc_TypeError, "%R is no handle of this loop", handle);
        return -1;
    }
    even_loop_take_pushed(loop->core);      /* it may be one of those */
    even_handle *h = timer ? &timer_part_of(handle)->timer.handle : &part_of(handle)->handle;
    if (even_handle_is_queued(h) || handle_is_cancelled(loop, handle))
        return 0;
    if (timer && timer_part_of(handle)->timer.index)
        even_timer_cancel(loop->core, &timer_part_of(handle)->timer);
    else
        Py_INCREF(handle);
    even_call_soon(loop->core, h);
    return 0;
}

static bool is_cores(const even_handle *h, void *unused)
{
    (void)unused;
    return !object_of((even_handle *)h);
}

int handles_run_core(struct loop *loop)
{
    const bool calling = loop->calling;
    loop->calling = true;
    int rc = even_loop_run_queued(loop->core, is_cores, NULL);      /* only: as in a run, nobody closes it */
    loop->calling = calling;
    return rc;
}

int handles_traverse(struct loop *loop, visitproc visit, void *arg)
{
    for (even_handle *h = NULL; (h = even_loop_next_handle(loop->core, h));)
        Py_VISIT(object_of(h));
    for (even_timer *t = NULL; (t = even_loop_next_timer(loop->core, t));)
        Py_VISIT(object_of(&t->handle));
    return 0;
}

void handles_drop(struct loop *loop)
{
    even_loop *core = loop->core;
    even_handle *before = NULL;         /* one of the core's own, which stays; they are passed over once */
    even_loop_take_pushed(core);
    for (even_handle *h; (h = even_loop_next_handle(core, before));) {
        PyObject *handle = object_of(h);
        if (!handle && h->run != arm) {
            before = h;
            continue;
        }
        even_handle_cancel(h);
        if (!handle) {
            struct arming *a = even_container_of(h, struct arming, handle);
            handle = a->timer;
            PyMem_RawFree(a);
        }
        Py_DECREF(handle);
        before = NULL;      /* what went with it may have cancelled others */
    }
    even_timer *timer = NULL;
    while ((timer = even_loop_next_timer(core, timer))) {
        PyObject *handle = object_of(&timer->handle);
        if (!handle)
            continue;
        even_timer_cancel(core, timer);
        Py_DECREF(handle);
        timer = NULL;
    }
}

/* ---- types ---- */

static const PyMethodDef handle_methods[] = {
    { "cancel", handle_cancel, METH_NOARGS, "Do not call it any more." },
    { 0 },
};

static const PyMethodDef timer_handle_methods[] = {
    { "cancel", timer_handle_cancel, METH_NOARGS, "Do not call it any more." },
    { 0 },
};

/* `end`: where the part begins; that of a larger class, if there is one. */
static PyTypeObject *derive(PyObject *module, PyObject *base, const char *name, const PyType_Slot *slots, size_t part,
                            Py_ssize_t *end)
{
    const Py_ssize_t least = part_offset((PyTypeObject *)(void *)base);
    if (*end < least)
        *end = least;
    PyType_Spec spec = { name, (int)(*end + (Py_ssize_t)part), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, (PyType_Slot *)slots };
    return type_make(module, &spec, base);
}

static const PyType_Slot handle_slots[] = {
    { Py_tp_dealloc, handle_dealloc }, { Py_tp_traverse, handle_traverse }, { Py_tp_clear, handle_clear },
    { Py_tp_methods, (void *)handle_methods }, { 0, NULL },
};

static const PyType_Slot timer_handle_slots[] = {
    { Py_tp_dealloc, timer_handle_dealloc }, { Py_tp_traverse, timer_handle_traverse }, { Py_tp_clear, handle_clear },
    { Py_tp_methods, (void *)timer_handle_methods }, { 0, NULL },
};

static const PyType_Slot thread_handle_slots[] = {
    { Py_tp_dealloc, thread_handle_dealloc }, { Py_tp_traverse, thread_handle_traverse },
    { Py_tp_clear, handle_clear }, { 0, NULL },
};

int handle_types_make(PyObject *module, struct state *state)
{
    int rc = -1;
    struct handle_layout found = { 0 };
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
        state->thread_handle_type = derive(module, thread, "evenloop._core.ThreadSafeHandle", thread_handle_slots,
                                           sizeof(struct part), &handle_end);
        if (!state->thread_handle_type || slot_offset(thread, "_lock", &found.lock) < 0)
            goto out;
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    } else {
        goto out;
    }
    state->handle_type = derive(module, handle, "evenloop._core.Handle", handle_slots, sizeof(struct part), &handle_end);
    state->timer_handle_type = derive(module, timer, "evenloop._core.TimerHandle", timer_handle_slots,
                                      sizeof(struct timer_part), &timer_end);
    found.handle_end = handle_end;
    found.timer_end = timer_end;
    if (!thread)
        state->thread_handle_type = (PyTypeObject *)(void *)Py_XNewRef((PyObject *)(void *)state->handle_type);
    state->handles = found;
    rc = state->handle_type && state->timer_handle_type ? 0 : -1;
out:
    Py_XDECREF(thread);
    Py_XDECREF(events);
    Py_XDECREF(handle);
    Py_XDECREF(timer);
    return rc;
}
