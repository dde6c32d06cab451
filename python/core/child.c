/* Child processes: their end, by the core's watches, so that no thread waits and no signal handler is needed; and their pipes. */
#include "child.h"
#include "handle.h"
#include "held.h"
#include <evenloop/process.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
    PyObject_HEAD
    struct held held;
    struct loop *loop;
    PyObject *callback;
    even_process process;
};

static struct child *as_child(PyObject *o)
{
    return (struct child *)(void *)o;
}

static void stop(struct held *h)
{
    struct child *c = even_container_of(h, struct child, held);
    even_process_unwatch(&c->process);
    even_handle_cancel(&c->process.handle);
}

static void drop(struct held *h)
{
    (void)h;
}

static const struct held_kind kind = { .stop = stop, .drop = drop };

/* As subprocess.Popen has it; None if somebody else has read it. */
static PyObject *return_code(int status)
{
    if (status < 0)
        Py_RETURN_NONE;
    return PyLong_FromLong(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void ended(even_handle *h)
{
    struct child *c = even_container_of(h, struct child, process.handle);
    struct loop *loop = c->loop;
    if (loop->raised) {
        even_call_soon(loop->core, h);
        return;
    }
    PyObject *args[] = { PyLong_FromLong(c->process.pid), return_code(c->process.status) };
    PyObject *callback = Py_NewRef(c->callback);
    /* only: a run closes no loop */
    PyObject *handle = args[0] && args[1] ? handle_new(loop, callback, args, 2, c->held.context) : NULL;
    held_let_go(&c->held);
    if (handle)
        handle_call(loop, handle);      /* only: the child is let go of; its end comes last */
    else if (!loop_takes_exception(loop))
        PyErr_WriteUnraisable(callback);
    Py_DECREF(callback);
    Py_XDECREF(handle);
    Py_XDECREF(args[0]);
    Py_XDECREF(args[1]);
}

/* _watch_child(pid, callback): callback(pid, return code or None) once it has ended. ChildProcessError: it is no child of
 * ours, or no longer. */
PyObject *loop_watch_child(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct loop *loop = as_loop(self);
    if (n != 2) {
        PyErr_SetString(PyExc_TypeError, "_watch_child(pid, callback)");
        return NULL;
    }
    long pid = PyLong_AsLong(args[0]);
    if ((pid == -1 && PyErr_Occurred()) || !loop_check_here(loop))
        return NULL;
    struct child *c = as_child(loop->state->child_type->tp_alloc(loop->state->child_type, 0));
    if (!c)
        return NULL;
    c->loop = as_loop(Py_NewRef(self));
    c->callback = Py_NewRef(args[1]);
    held_init(&c->held, loop, (PyObject *)c, &kind);
    int rc = held_set_context(&c->held, NULL);
    if (rc == 0) {
        rc = even_process_watch(loop->core, &c->process, pid > 0 && pid == (pid_t)pid ? (pid_t)pid : 0, ended);
        if (rc < 0)
            raise_status(rc);
        else
            held_keep(&c->held);
    }
    Py_DECREF(c);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* _pipe(): (what reads, what writes), a new pipe. Its ends are files from the beginning, so that none is lost, whatever fails. */
PyObject *loop_pipe(PyObject *self, PyObject *unused)
{
    PyObject *file_io = as_loop(self)->state->file_io, *files[2] = { NULL, NULL };
    int ends[2];
    (void)unused;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    for (int i = 0; i < 2; i++) {
        if (i == 0 || files[0])
            files[i] = PyObject_CallFunction(file_io, "is", ends[i], i ? "wb" : "rb");
        if (!files[i])
            close(ends[i]);
    }
    PyObject *both = files[0] && files[1] ? PyTuple_Pack(2, files[0], files[1]) : NULL;
    PyObject *raised = both ? NULL : PyErr_GetRaisedException();
    for (int i = 0; i < 2; i++) {
        PyObject *none = !both && files[i] ? PyObject_CallMethod(files[i], "close", NULL) : NULL;
        Py_XDECREF(none);
        Py_XDECREF(files[i]);
    }
    if (raised)
        PyErr_SetRaisedException(raised);
    return both;
}

static int child_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(as_child(o)->loop);
    Py_VISIT(as_child(o)->callback);
    Py_VISIT(as_child(o)->held.context);
    return 0;
}

/* What it calls stays as long as it may be called. */
static int child_clear(PyObject *o)
{
    if (!as_child(o)->process.loop)
        Py_CLEAR(as_child(o)->callback);
    return 0;
}

static void child_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    Py_CLEAR(as_child(o)->callback);
    Py_CLEAR(as_child(o)->held.context);
    Py_XDECREF((PyObject *)as_child(o)->loop);
    type->tp_free(o);
    Py_DECREF(type);
}

static const PyType_Slot slots[] = {
    { Py_tp_dealloc, child_dealloc },
    { Py_tp_traverse, child_traverse },
    { Py_tp_clear, child_clear },
    { 0, NULL },
};

const PyType_Spec even__child_spec = {
    "evenloop._core.Child", sizeof(struct child), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, (PyType_Slot *)slots
};
