/* Readiness: add_reader and add_writer. One watch of the core's for each direction of a descriptor. */
#include "core.h"
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
    if (handle_is_cancelled(d->handle)) {
        even_watch_stop(&d->watch);     /* by itself, not through the loop: nobody will ever read */
        Py_CLEAR(d->handle);
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
    ready(self, &self->in);
    Py_DECREF(self);
}

static void out_ready(even_handle *h)
{
    struct watch *self = even_container_of(h, struct watch, out.watch.handle);
    Py_INCREF(self);
    ready(self, &self->out);
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

static bool may_touch(struct loop *loop)
{
    if (!loop->waiting)
        return true;
    PyErr_SetString(PyExc_RuntimeError, "the loop waits in another thread: use call_soon_threadsafe()");
    return false;
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
    int fd = descriptor(file);
    *number = NULL;
    if (fd >= 0) {
        *number = PyLong_FromLong(fd);
        return *number ? watch_find(loop, *number) : NULL;
    }
    for (Py_ssize_t at = 0; PyDict_Next(loop->watches, &at, &key, &value);)
        if (as_watch(value)->file == file) {
            PyErr_Clear();
            *number = Py_NewRef(key);
            return as_watch(value);
        }
    return NULL;
}

static PyObject *add(PyObject *self, PyObject *const *args, Py_ssize_t n, bool out)
{
    struct loop *loop = as_loop(self);
    if (n < 2) {
        PyErr_SetString(PyExc_TypeError, "a descriptor and a callback are needed");
        return NULL;
    }
    int fd = loop_check_open(loop) && may_touch(loop) ? descriptor(args[0]) : -1;
    PyObject *number = fd >= 0 ? PyLong_FromLong(fd) : NULL;
    PyObject *handle = number ? handle_new(loop, args[1], args + 2, n - 2, NULL) : NULL;
    struct watch *w = handle ? watch_find(loop, number) : NULL;
    if (!handle)
        goto failed;
    if (!w) {
        if (PyErr_Occurred())
            goto failed;
        w = as_watch(loop->state->watch_type->tp_alloc(loop->state->watch_type, 0));
        if (!w)
            goto failed;
        w->loop = loop;
        w->file = Py_NewRef(args[0]);
        int rc = PyDict_SetItem(loop->watches, number, (PyObject *)w);
        Py_DECREF(w);
        if (rc < 0)
            goto failed;
    }
    struct direction *d = out ? &w->out : &w->in;
    if (d->handle) {
        PyObject *old = d->handle;
        d->handle = Py_NewRef(handle);
        PyObject *none = PyObject_CallMethod(old, "cancel", NULL);
        Py_DECREF(old);
        if (!none)
            goto failed;
        Py_DECREF(none);
    } else {
        int rc = even_watch_start(loop->core, &d->watch, fd, out ? POLLOUT : POLLIN, out ? out_ready : in_ready);
        if (rc < 0) {
            if (!w->in.handle && !w->out.handle)
                PyDict_DelItem(loop->watches, number);
            raise_status(rc);
            goto failed;
        }
        d->handle = Py_NewRef(handle);
    }
    Py_DECREF(number);
    return handle;
failed:
    Py_XDECREF(handle);
    Py_XDECREF(number);
    return NULL;
}

static PyObject *remove_direction(PyObject *self, PyObject *o, bool out)
{
    struct loop *loop = as_loop(self);
    if (loop->closed)
        Py_RETURN_FALSE;
    PyObject *number;
    struct watch *w = watch_of(loop, o, &number);
    struct direction *d = !w ? NULL : out ? &w->out : &w->in;
    PyObject *handle = d ? d->handle : NULL;
    if (!handle || !may_touch(loop)) {
        Py_XDECREF(number);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    even_watch_stop(&d->watch);
    d->handle = NULL;
    if (!w->in.handle && !w->out.handle && PyDict_DelItem(loop->watches, number) < 0)
        PyErr_Clear();
    Py_DECREF(number);
    PyObject *none = PyObject_CallMethod(handle, "cancel", NULL);
    Py_DECREF(handle);
    if (!none)
        return NULL;
    Py_DECREF(none);
    Py_RETURN_TRUE;
}

PyObject *loop_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return add(self, args, n, false);
}

PyObject *loop_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return add(self, args, n, true);
}

PyObject *loop_remove_reader(PyObject *self, PyObject *fd)
{
    return remove_direction(self, fd, false);
}

PyObject *loop_remove_writer(PyObject *self, PyObject *fd)
{
    return remove_direction(self, fd, true);
}

/* (reader's handle or None, writer's handle or None), or None. */
PyObject *loop_watched(PyObject *self, PyObject *o)
{
    PyObject *number;
    struct watch *w = watch_of(as_loop(self), o, &number);
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
            if (as_watch(o)->loop->core)
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

static PyType_Slot watch_slots[] = {
    { Py_tp_dealloc, watch_dealloc },
    { Py_tp_traverse, watch_traverse },
    { Py_tp_clear, watch_clear },
    { 0, NULL },
};

PyType_Spec even__watch_spec = {
    "evenloop._core.Watch", sizeof(struct watch), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, watch_slots
};
