/* Readiness: add_reader and add_writer. One watch of the core's for each direction of a descriptor. */
#include "watch.h"
#include "errand.h"
#include "handle.h"
#include <fcntl.h>
#include <poll.h>

struct direction {
    even_watch watch;
    PyObject *handle;           /* what it calls; NULL: it does not stand */
};

struct watch {
    PyObject_HEAD
    struct loop *loop;          /* borrowed: the loop owns its watches */
    PyObject *file;             /* as it was given: what it was closed under is found by it */
    struct direction in, out;
};

static struct watch *as_watch(PyObject *o)
{
    return (struct watch *)(void *)o;
}

static void ready(struct watch *self, struct direction *d)
{
    struct loop *loop = self->loop;
    if (!d->handle || loop->raised)     /* level-triggered: it comes again */
        return;
    if (handle_is_cancelled(loop, d->handle)) {
        even_watch_stop(&d->watch);     /* by itself, not through the loop: nobody will ever read */
        Py_CLEAR(d->handle);    /* only: it is held */
        return;
    }
    PyObject *handle = Py_NewRef(d->handle);
    handle_call(loop, handle);
    Py_DECREF(handle);
}

static void in_ready(even_handle *h)
{
    struct watch *self = even_container_of(h, struct watch, in.watch.handle);
    Py_INCREF(self);
    ready(self, &self->in);    /* only: it is held */
    Py_DECREF(self);
}

static void out_ready(even_handle *h)
{
    struct watch *self = even_container_of(h, struct watch, out.watch.handle);
    Py_INCREF(self);
    ready(self, &self->out);    /* only: it is held */
    Py_DECREF(self);
}

/* ---- the loop's methods ---- */

/* The descriptor's number, as asyncio takes it: a number, or what has a fileno(). -1 with an exception. */
static int descriptor(PyObject *o)
{
    int fd = PyObject_AsFileDescriptor(o);
    if (fd >= 0)
        return fd;
    if (PyErr_ExceptionMatches(PyExc_ValueError)) {     /* in asyncio's words; -1 is a socket's that was closed */
        PyErr_Clear();
        if (PyLong_Check(o))
            PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %S", o);
        else
            PyErr_SetString(PyExc_ValueError, "Invalid file descriptor: -1");
    } else if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "Invalid file object: %R", o);
    }
    return -1;
}

static struct watch *watch_find(struct loop *loop, PyObject *number)
{
    return as_watch(PyDict_GetItemWithError(loop->watches, number));
}

/* The watch of a descriptor or a file, and *number, which is the caller's then; of a file that was closed meanwhile, too.
 * NULL: there is none, with an exception if it is no file at all. */
static struct watch *watch_of(struct loop *loop, PyObject *file, PyObject **number)
{
    PyObject *key, *value;
    int fd = descriptor(file);      /* again: next */
    *number = NULL;
    if (fd >= 0) {
        *number = PyLong_FromLong(fd);
        return *number ? watch_find(loop, *number) : NULL;
    }
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return NULL;
    for (Py_ssize_t at = 0; PyDict_Next(loop->watches, &at, &key, &value);)
        if (as_watch(value)->file == file) {
            PyErr_Clear();
            *number = Py_NewRef(key);
            return as_watch(value);
        }
    return NULL;
}

/* ---- changes: made here, or by the loop's own thread if that waits ---- */

struct change {
    struct errand errand;
    struct loop *loop;
    PyObject *number;
    PyObject *handle;           /* what is to be called; NULL: it is removed */
    bool out, stood;            /* the direction; something was called for it until now */
    int status;
    /* the caller's to let go of, afterwards: */
    struct watch *watch;        /* for a number that nobody watches yet; then the one that was changed */
    PyObject *old, *other;      /* what is called no longer; in the other direction, if that fails with it */
};

static int start(struct change *c, struct watch *w, bool out, int fd)
{
    return even_watch_start(c->loop->core, out ? &w->out.watch : &w->in.watch, fd, out ? POLLOUT : POLLIN,
                            out ? out_ready : in_ready);
}

/* The number may be another file's by now, whose predecessor was closed without being removed: so what stands, stands anew. */
static int set_handle(struct change *c, struct watch *w, struct direction *d, struct direction *other, int fd)
{
    const bool again = d->handle && other->handle;
    if (d->handle)
        even_watch_stop(&d->watch);
    if (again)
        even_watch_stop(&other->watch);
    int rc = again ? start(c, w, !c->out, fd) : 0;
    if (again && rc < 0) {
        c->other = other->handle;
        other->handle = NULL;
    }
    if (rc == 0)
        rc = start(c, w, c->out, fd);
    if (rc == -EBADF && d->handle)
        rc = 0;                 /* it was closed: nothing will come, and nobody said anything before, either */
    c->old = d->handle;
    d->handle = rc == 0 ? Py_NewRef(c->handle) : NULL;
    return rc;
}

/* Of a descriptor that was closed, one direction cannot be removed alone, as asyncio's selectors have it. */
static int drop_handle(struct change *c, struct direction *d, struct direction *other, int fd)
{
    if (!d->handle)
        return 0;
    even_watch_stop(&d->watch);
    c->old = d->handle;
    d->handle = NULL;
    if (!other->handle || fcntl(fd, F_GETFD) >= 0)
        return 0;
    even_watch_stop(&other->watch);
    c->other = other->handle;
    other->handle = NULL;
    return -EBADF;
}

/* Nothing of Python's runs in here: what is dropped is the caller's. */
static void change_now(struct errand *errand)
{
    struct change *c = even_container_of(errand, struct change, errand);
    struct loop *loop = c->loop;
    const int fd = (int)PyLong_AsLong(c->number);
    c->status = -EVEN_ECLOSED;
    if (!loop->core || loop->closing)
        return;
    struct watch *w = watch_find(loop, c->number);
    c->status = 0;
    if (!w && !c->handle)
        return;
    if (!w && PyDict_SetItem(loop->watches, c->number, (PyObject *)c->watch) < 0) {
        PyErr_Clear();
        c->status = -ENOMEM;
        return;
    }
    if (w)
        /* only: the caller has the file of what is dropped */
        Py_XSETREF(c->watch, as_watch(Py_NewRef((PyObject *)w)));
    w = c->watch;
    struct direction *d = c->out ? &w->out : &w->in, *other = c->out ? &w->in : &w->out;
    c->stood = d->handle != NULL;
    c->status = c->handle ? set_handle(c, w, d, other, fd) : drop_handle(c, d, other, fd);
    if (!w->in.handle && !w->out.handle && PyDict_DelItem(loop->watches, c->number) < 0)
        PyErr_Clear();
}

/* 0, or -1 with an exception. What is called no longer is cancelled. */
static int change(struct change *c)
{
    bool made = true;
    if (c->loop->waiting)
        made = loop_errand(c->loop, &c->errand, change_now);    /* only: the change, which says how it went */
    else
        change_now(&c->errand);    /* again: next */
    if (made && c->status < 0) {
        raise_status(c->status);
        made = false;
    }
    PyObject *raised = made ? NULL : PyErr_GetRaisedException();
    PyObject *none = c->old ? PyObject_CallMethod(c->old, "cancel", NULL) : Py_NewRef(Py_None);     /* only: all is done */
    if (raised && !none)
        PyErr_Clear();
    if (raised)
        PyErr_SetRaisedException(raised);
    Py_XDECREF(c->old);
    Py_XDECREF(c->other);
    Py_XDECREF(c->watch);
    Py_XDECREF(none);
    return made && none ? 0 : -1;
}

static struct watch *watch_new(struct loop *loop, PyObject *file)
{
    struct watch *w = as_watch(loop->state->watch_type->tp_alloc(loop->state->watch_type, 0));
    if (w) {
        w->loop = loop;
        w->file = Py_NewRef(file);
    }
    return w;
}

static PyObject *add(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names, bool out)
{
    struct loop *loop = as_loop(self);
    PyObject *context;
    if (n < 2) {
        PyErr_SetString(PyExc_TypeError, "a descriptor and a callback are needed");
        return NULL;
    }
    if (!take_context(loop->state, args, n, names, &context) || !loop_check_open(loop))
        return NULL;
    int fd = descriptor(args[0]);       /* again: below */
    PyObject *number = fd >= 0 ? PyLong_FromLong(fd) : NULL;
    PyObject *handle = number ? handle_new(loop, args[1], args + 2, n - 2, context) : NULL;     /* again: next */
    /* fileno() may have closed the loop. */
    struct watch *w = handle && loop_check_open(loop) ? watch_new(loop, args[0]) : NULL;
    struct change c = { .loop = loop, .watch = w, .number = number, .handle = handle, .out = out };
    if (!w || change(&c) < 0)
        Py_CLEAR(handle);
    Py_XDECREF(number);
    return handle;
}

static PyObject *remove_direction(PyObject *self, PyObject *o, bool out)
{
    struct loop *loop = as_loop(self);
    if (loop->closed)
        Py_RETURN_FALSE;
    PyObject *number;
    struct watch *w = watch_of(loop, o, &number);       /* again: change_now() looks */
    if (!w || loop->closed) {
        Py_XDECREF(number);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    struct change c = { .loop = loop, .number = number, .out = out };
    int rc = change(&c);
    Py_DECREF(number);
    return rc < 0 ? NULL : PyBool_FromLong(c.stood);
}

PyObject *loop_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return add(self, args, n, names, false);
}

PyObject *loop_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return add(self, args, n, names, true);
}

PyObject *loop_remove_reader(PyObject *self, PyObject *fd)
{
    return remove_direction(self, fd, false);
}

PyObject *loop_remove_writer(PyObject *self, PyObject *fd)
{
    return remove_direction(self, fd, true);
}

int watch_forget(struct loop *loop, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    int rc = number ? 0 : -1;
    for (int out = 0; rc == 0 && out < 2 && watch_find(loop, number); out++) {
        struct change c = { .loop = loop, .number = number, .out = out };
        rc = change(&c);
        if (rc < 0 && PyErr_ExceptionMatches(PyExc_OSError)) {      /* it was closed, so both are gone */
            PyErr_Clear();
            rc = 0;
        }
    }
    Py_XDECREF(number);
    return rc;
}

/* (reader's handle or None, writer's handle or None), or None. */
PyObject *loop_watched(PyObject *self, PyObject *o)
{
    PyObject *number;
    struct watch *w = watch_of(as_loop(self), o, &number);    /* again: next */
    Py_XDECREF(number);
    if (!w)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    return PyTuple_Pack(2, w->in.handle ? w->in.handle : Py_None, w->out.handle ? w->out.handle : Py_None);
}

/* ---- the type ---- */

static int watch_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_watch(o)->file);
    Py_VISIT(as_watch(o)->in.handle);
    Py_VISIT(as_watch(o)->out.handle);
    return 0;
}

static int watch_clear(PyObject *o)
{
    struct direction *directions[] = { &as_watch(o)->in, &as_watch(o)->out };
    for (size_t i = 0; i < 2; i++)
        if (directions[i]->handle) {
            if (as_watch(o)->loop->core && !as_watch(o)->loop->waiting)
                even_watch_stop(&directions[i]->watch);
            Py_CLEAR(directions[i]->handle);
        }
    Py_CLEAR(as_watch(o)->file);
    return 0;
}

static void watch_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    watch_clear(o);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyType_Slot watch_slots[] = {
    { Py_tp_dealloc, watch_dealloc },
    { Py_tp_traverse, watch_traverse },
    { Py_tp_clear, watch_clear },
    { 0, NULL },
};

const PyType_Spec even__watch_spec = {
    "evenloop._core.Watch", sizeof(struct watch), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, (PyType_Slot *)watch_slots
};
