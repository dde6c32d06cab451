/* What read(), readline(), readuntil(), readexactly() and drain() give: a coroutine, as far as anybody can tell, whose body is
 * C. If what it wants is there, awaiting it suspends nobody and makes nothing but the result. */
#include "streams.h"
#include "transport.h"
#include <frameobject.h>
#include <structmember.h>

enum state_of_call { NEW, RUNNING, WAITING, LEFT, OVER };    /* WAITING: for a future; LEFT: to asyncio's coroutine */

struct call {
    PyObject_HEAD
    struct state *state;
    PyObject *self;             /* the reader or the writer */
    PyObject *argument;
    PyObject *waiter;           /* the reader's future, of ours */
    PyObject *inner;            /* what is driven meanwhile: the future's iterator, or asyncio's coroutine */
    Py_ssize_t n, looked_at;    /* bytes wanted; those of the buffer in which there is no separator */
    unsigned char kind, at;
};

/* What a step comes to. */
enum outcome { DONE, FAILED, MUST_WAIT, TO_ASYNCIO };

static struct call *as_call(PyObject *o)
{
    return (struct call *)(void *)o;
}

/* ---- the bodies ---- */

/* A paused transport is only told to go on if something was taken. */
static enum outcome take(struct reader *r, size_t n, PyObject **result)
{
    *result = n ? reader_take(r, n) : Py_NewRef(r->part.state->empty_bytes);
    return *result ? DONE : FAILED;
}

static enum outcome step_read(struct call *c, struct reader *r, bool waited, PyObject **result)
{
    if (c->n < 0)
        return TO_ASYNCIO;
    size_t size = reader_size(r);
    if (c->n == 0)
        return take(r, 0, result);
    if (size == 0 && !r->eof && !waited)
        return MUST_WAIT;
    *result = reader_take(r, size < (size_t)c->n ? size : (size_t)c->n);
    return *result ? DONE : FAILED;
}

static enum outcome step_exactly(struct call *c, struct reader *r, PyObject **result)
{
    if (c->n < 0)
        return TO_ASYNCIO;
    if (reader_size(r) < (size_t)c->n)
        return r->eof ? TO_ASYNCIO : MUST_WAIT;
    return take(r, (size_t)c->n, result);
}

static enum outcome step_until(struct call *c, struct reader *r, PyObject **result)
{
    const char *separator = PyBytes_AS_STRING(c->argument), *data = r->data + r->begin;
    Py_ssize_t length = PyBytes_GET_SIZE(c->argument), size = (Py_ssize_t)reader_size(r);
    if (size - c->looked_at >= length) {
        const char *found = length == 1
                                ? memchr(data + c->looked_at, *separator, (size_t)(size - c->looked_at))
                                : memmem(data + c->looked_at, (size_t)(size - c->looked_at), separator, (size_t)length);
        if (found)
            return found - data > r->limit ? TO_ASYNCIO : take(r, (size_t)(found - data + length), result);
        c->looked_at = size + 1 - length;
        if (c->looked_at > r->limit)
            return TO_ASYNCIO;
    }
    if (!r->eof)
        return MUST_WAIT;
    return size || c->kind == CALL_READUNTIL ? TO_ASYNCIO : take(r, 0, result);
}

static enum outcome step_next(struct call *c, struct reader *r, PyObject **result)
{
    enum outcome outcome = step_until(c, r, result);
    if (outcome != DONE || PyBytes_GET_SIZE(*result))
        return outcome;
    Py_CLEAR(*result);
    PyErr_SetNone(PyExc_StopAsyncIteration);
    return FAILED;
}

/* Nothing to wait for, as nearly always? All else is asyncio's. */
static enum outcome step_drain(struct call *c, PyObject **result)
{
    struct writer *w = as_writer(c->self);
    struct state *s = c->state;
    if (!is_usual(c->self, &s->writers) || !w->reader || !w->protocol || !w->transport || !is_usual(w->protocol, &s->protocols) ||
        as_protocol(w->protocol)->paused != Py_False || as_protocol(w->protocol)->connection_lost != Py_False)
        return TO_ASYNCIO;
    if (w->reader != Py_None) {
        struct reader *r = as_reader(w->reader);
        if (!is_usual(w->reader, &s->readers) || (r->exception && r->exception != Py_None))
            return TO_ASYNCIO;
    }
    if (transport_is_usual(s, w->transport)) {
        if (transport_is_closing(w->transport))
            return TO_ASYNCIO;
    } else {
        PyObject *transport = Py_NewRef(w->transport);
        PyObject *closing = PyObject_CallMethodNoArgs(transport, s->str_is_closing);    /* again: below */
        Py_DECREF(transport);
        if (!closing)
            return FAILED;
        Py_DECREF(closing);
        if (closing != Py_False || !w->protocol)
            return TO_ASYNCIO;
    }
    *result = Py_NewRef(Py_None);
    return DONE;
}

static enum outcome step(struct call *c, bool waited, PyObject **result)
{
    if (c->kind == CALL_DRAIN)
        return step_drain(c, result);
    struct reader *r = as_reader(c->self);
    /* only: RUNNING, nobody else may touch the call */
    if (!reader_is_usual(r) || (!waited && r->exception && r->exception != Py_None))
        return TO_ASYNCIO;
    switch ((enum call_kind)c->kind) {
    case CALL_READ: return step_read(c, r, waited, result);
    case CALL_READEXACTLY: return step_exactly(c, r, result);
    case CALL_NEXT: return step_next(c, r, result);
    default: return step_until(c, r, result);
    }
}

/* ---- waiting ---- */

static PyObject *iterator_of(PyObject *awaitable)
{
    PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
    if (methods && methods->am_await)
        return methods->am_await(awaitable);
    PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression", Py_TYPE(awaitable)->tp_name);
    return NULL;
}

/* For more to come; as _wait_for_data(). */
static enum outcome begin_waiting(struct call *c)
{
    struct reader *r = as_reader(c->self);
    struct state *s = c->state;
    if (r->waiter && r->waiter != Py_None)
        return TO_ASYNCIO;          /* which complains */
    if (r->paused) {
        r->paused = false;
        PyObject *transport = Py_NewRef(r->transport ? r->transport : Py_None);
        PyObject *none = PyObject_CallMethodNoArgs(transport, s->str_resume_reading);   /* again: all is read anew */
        Py_DECREF(transport);
        if (!none)
            return FAILED;
        Py_DECREF(none);
    }
    PyObject *loop = r->loop ? Py_NewRef(r->loop) : NULL;
    if (!loop)
        return TO_ASYNCIO;
    PyObject *future = PyObject_CallMethodNoArgs(loop, s->str_create_future);   /* only: as asyncio, it is set whatever stands */
    Py_DECREF(loop);
    if (!future)
        return FAILED;
    Py_XSETREF(r->waiter, Py_NewRef(future));    /* only: RUNNING, nobody else may touch the call */
    c->waiter = future;
    c->inner = iterator_of(future);
    return c->inner ? MUST_WAIT : FAILED;
}

static void end_waiting(struct call *c)
{
    Py_CLEAR(c->inner);    /* only: RUNNING, nobody else may touch the call */
    if (!c->waiter)
        return;
    struct reader *r = as_reader(c->self);
    if (r->waiter == c->waiter)
        Py_XSETREF(r->waiter, Py_NewRef(Py_None));    /* only: RUNNING, nobody else may touch the call */
    Py_CLEAR(c->waiter);
}

static void over(struct call *c)
{
    c->at = OVER;
    if (c->self)
        end_waiting(c);    /* only: RUNNING, nobody else may touch the call */
    Py_CLEAR(c->self);    /* only: RUNNING, nobody else may touch the call */
    Py_CLEAR(c->argument);
}

/* The coroutine that the call is for, from now on. */
static PyObject *asyncio_coroutine(struct call *c)
{
    PyObject *args[2] = { c->self, c->argument };
    size_t n = c->kind == CALL_READ || c->kind == CALL_READEXACTLY || c->kind == CALL_READUNTIL ? 2 : 1;
    return PyObject_Vectorcall(PyTuple_GET_ITEM(c->state->stream_calls, c->kind), args, n, NULL);
}

/* The first step of asyncio's coroutine, which takes over from a call that was woken already. An exception that was set since the
 * wake-up is for the next call: asyncio's own looks for one at its beginning only, which for it is past. */
static PySendResult send_unless_failed(struct call *c, PyObject **result)
{
    struct reader *r = c->kind == CALL_DRAIN ? NULL : as_reader(c->self);
    PyObject *exception = r ? r->exception : NULL;
    if (exception)
        r->exception = Py_NewRef(Py_None);
    PySendResult sent = PyIter_Send(c->inner, Py_None, result);         /* again: below */
    if (exception && r->exception == Py_None)
        Py_XSETREF(r->exception, exception);
    else
        Py_XDECREF(exception);
    return sent;
}

static PySendResult call_send(PyObject *o, PyObject *value, PyObject **result)
{
    struct call *c = as_call(o);
    PyObject *got = NULL;
    PySendResult sent;
    enum outcome outcome = TO_ASYNCIO;
    const char at = c->at;
    *result = NULL;
    if (at == OVER || at == RUNNING) {
        if (at == OVER)
            PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        else
            PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return PYGEN_ERROR;
    }
    if (at == NEW && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    Py_INCREF(o);
    c->at = RUNNING;
    for (bool waited = false;;) {
        if (c->inner) {
            sent = PyIter_Send(c->inner, value, &got);      /* only: RUNNING, nobody else may touch the call */
            if (sent == PYGEN_NEXT) {
                c->at = c->waiter ? WAITING : LEFT;
                break;
            }
            if (sent == PYGEN_ERROR || !c->waiter)
                break;
            Py_CLEAR(got);
            end_waiting(c);    /* only: RUNNING, nobody else may touch the call */
            waited = true;
        }
        outcome = step(c, waited, &got);    /* only: RUNNING, nobody else may touch the call */
        if (outcome == MUST_WAIT)
            outcome = begin_waiting(c);    /* only: RUNNING, nobody else may touch the call */
        if (outcome == TO_ASYNCIO) {
            end_waiting(c);    /* only: RUNNING, nobody else may touch the call */
            /* only: RUNNING, nobody else may touch the call */
            outcome = (c->inner = asyncio_coroutine(c)) ? MUST_WAIT : FAILED;
            if (c->inner && waited) {
                sent = send_unless_failed(c, &got);    /* only: RUNNING, nobody else may touch the call */
                if (sent != PYGEN_NEXT)
                    break;
                c->at = LEFT;
                break;
            }
        }
        if (outcome != MUST_WAIT) {
            sent = outcome == DONE ? PYGEN_RETURN : PYGEN_ERROR;
            break;
        }
        value = Py_None;
    }
    if (sent != PYGEN_NEXT)
        over(c);
    *result = got;
    Py_DECREF(o);
    return sent;
}

/* ---- as Python sees it ---- */

/* A result as generators give it to Python: StopIteration. */
static PyObject *returned(PySendResult sent, PyObject *result, bool quietly)
{
    if (sent != PYGEN_RETURN)
        return result;
    if (result == Py_None) {
        if (!quietly)
            PyErr_SetNone(PyExc_StopIteration);
    } else {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
    }
    Py_DECREF(result);
    return NULL;
}

static PyObject *call_send_method(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult sent = call_send(self, value, &result);
    return returned(sent, result, false);
}

static PyObject *call_next(PyObject *self)
{
    PyObject *result;
    PySendResult sent = call_send(self, Py_None, &result);
    return returned(sent, result, true);
}

static PyObject *call_await(PyObject *self)
{
    if (as_call(self)->at == WAITING || as_call(self)->at == LEFT) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(self);
}

static void raise(PyObject *const *args, Py_ssize_t n)
{
    PyObject *type = args[0], *value = n > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *traceback = n > 2 && args[2] != Py_None ? args[2] : NULL;
    if (traceback && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
    } else if (PyExceptionClass_Check(type)) {
        PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
    } else if (!PyExceptionInstance_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(type)->tp_name);
    } else if (value) {
        PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
    } else {
        PyErr_Restore(Py_NewRef((PyObject *)(void *)Py_TYPE(type)), Py_NewRef(type),
                      traceback ? Py_NewRef(traceback) : PyException_GetTraceback(type));
    }
}

static PyObject *call_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    struct call *c = as_call(self);
    if (n < 1 || n > 3) {
        PyErr_SetString(PyExc_TypeError, "throw() takes 1 to 3 arguments");
        return NULL;
    }
    if (c->at == OVER || c->at == RUNNING) {
        PyObject *none;
        return call_send(self, Py_None, &none) == PYGEN_ERROR ? NULL : none;
    }
    if (c->at == LEFT) {
        PyObject *all[4] = { c->inner, args[0], n > 1 ? args[1] : NULL, n > 2 ? args[2] : NULL };
        Py_INCREF(self);
        c->at = RUNNING;
        PyObject *result = PyObject_VectorcallMethod(c->state->str_throw_, all, (size_t)n + 1, NULL);   /* only: RUNNING */
        c->at = LEFT;
        if (!result)
            over(c);    /* only: RUNNING, nobody else may touch the call */
        Py_DECREF(self);
        return result;
    }
    Py_INCREF(self);
    over(c);
    raise(args, n);
    Py_DECREF(self);
    return NULL;
}

static PyObject *call_close(PyObject *self, PyObject *unused)
{
    struct call *c = as_call(self);
    (void)unused;
    if (c->at == RUNNING) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    if (c->at == LEFT) {
        PyObject *inner = Py_NewRef(c->inner);
        over(c);    /* only: RUNNING, nobody else may touch the call */
        PyObject *none = PyObject_CallMethodNoArgs(inner, c->state->str_close);     /* only: it is over already */
        Py_DECREF(inner);
        return none;
    }
    over(c);
    Py_RETURN_NONE;
}

static PyObject *name_of(PyObject *self, void *qualified)
{
    struct call *c = as_call(self);
    return PyObject_GetAttrString(PyTuple_GET_ITEM(c->state->stream_calls, c->kind), qualified ? "__qualname__" : "__name__");
}

static PyObject *call_repr(PyObject *self)
{
    PyObject *name = name_of(self, "");
    PyObject *text = name ? PyUnicode_FromFormat("<coroutine object %U at %p>", name, (void *)self) : NULL;
    Py_XDECREF(name);
    return text;
}

static PyObject *is_running(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(as_call(self)->at == RUNNING);
}

static PyObject *is_suspended(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(as_call(self)->at == WAITING || as_call(self)->at == LEFT);
}

/* As inspect.getcoroutinestate() says it; since 3.15 it asks for this. */
static PyObject *state_name(PyObject *self, void *unused)
{
    static const char *const names[] = {
        [NEW] = "CORO_CREATED", [RUNNING] = "CORO_RUNNING", [WAITING] = "CORO_SUSPENDED",
        [LEFT] = "CORO_SUSPENDED", [OVER] = "CORO_CLOSED",
    };
    (void)unused;
    return PyUnicode_FromString(names[(int)as_call(self)->at]);
}

/* What it waits for: a future, or what asyncio's coroutine does that took over. */
static PyObject *awaits(PyObject *self, void *unused)
{
    struct call *c = as_call(self);
    (void)unused;
    if (c->at == LEFT)
        return PyObject_GetAttrString(c->inner, "cr_await");
    return Py_NewRef(c->waiter ? c->waiter : c->inner ? c->inner : Py_None);
}

static PyObject *no_origin(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_NONE;
}

/* Of asyncio's coroutine function, which it stands for. */
static PyObject *code_of(PyObject *self, void *unused)
{
    struct call *c = as_call(self);
    (void)unused;
    PyObject *function = PyTuple_GET_ITEM(c->state->stream_calls, c->kind);
    return PyFunction_Check(function) ? Py_NewRef(PyFunction_GET_CODE(function)) : Py_NewRef(Py_None);
}

/* For those who look where a task waits: a frame of that function, at its beginning; of the coroutine that took over, its own. */
static PyObject *frame_of(PyObject *self, void *unused)
{
    struct call *c = as_call(self);
    (void)unused;
    if (c->at == LEFT)
        return PyObject_GetAttrString(c->inner, "cr_frame");
    PyObject *function = PyTuple_GET_ITEM(c->state->stream_calls, c->kind);
    if (c->at == OVER || !PyFunction_Check(function))
        Py_RETURN_NONE;
    return (PyObject *)(void *)PyFrame_New(PyThreadState_Get(), (PyCodeObject *)(void *)PyFunction_GET_CODE(function),
                                           PyFunction_GET_GLOBALS(function), NULL);
}

/* ---- life ---- */

PyObject *call_new(PyObject *self, enum call_kind kind, PyObject *argument)
{
    struct state *s = as_part(self)->state;
    Py_ssize_t n = 0;
    if (kind == CALL_READ || kind == CALL_READEXACTLY) {
        n = PyLong_AsSsize_t(argument);
        if (n == -1 && PyErr_Occurred())
            PyErr_Clear();          /* asyncio knows */
    }
    struct call *c;
    if (s->spare_count) {
        c = s->spare_calls[--s->spare_count];
        PyObject_Init((PyObject *)(void *)c, s->call_type);
        Py_DECREF(s->call_type);    /* it had one already */
    } else {
        c = PyObject_GC_New(struct call, s->call_type);
        if (!c)
            return NULL;
    }
    c->state = s;
    c->self = Py_NewRef(self);
    c->argument = Py_XNewRef(argument);
    c->waiter = c->inner = NULL;
    c->n = n;
    c->looked_at = 0;
    c->kind = (char)kind;
    c->at = NEW;
    PyObject_GC_Track(c);
    return (PyObject *)(void *)c;
}

static int call_traverse(PyObject *o, visitproc visit, void *arg)
{
    struct call *c = as_call(o);
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(c->self);
    Py_VISIT(c->argument);
    Py_VISIT(c->waiter);
    Py_VISIT(c->inner);
    return 0;
}

static int call_clear(PyObject *o)
{
    over(as_call(o));
    return 0;
}

/* As a coroutine that was forgotten. */
static void call_finalize(PyObject *o)
{
    if (as_call(o)->at != NEW)
        return;
    PyObject *raised = PyErr_GetRaisedException(), *name = name_of(o, "");
    if (!name || PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%U' was never awaited", name) < 0)
        PyErr_WriteUnraisable(name);
    Py_XDECREF(name);
    over(as_call(o));
    if (raised)
        PyErr_SetRaisedException(raised);
}

static void call_dealloc(PyObject *o)
{
    struct call *c = as_call(o);
    struct state *s = c->state;
    PyTypeObject *type = Py_TYPE(o);
    if (c->at == NEW && PyObject_CallFinalizerFromDealloc(o) < 0)      /* only: it is nobody's any more */
        return;
    PyObject_GC_UnTrack(o);
    over(c);
#ifndef Py_GIL_DISABLED
    if (s->spare_count < SPARE_CALLS && !PyObject_GC_IsFinalized(o)) {
        s->spare_calls[s->spare_count++] = c;       /* with its reference of the type, which knows how to free it */
        return;
    }
#endif
    PyObject_GC_Del(o);
    Py_DECREF(type);
}

int spare_calls_traverse(struct state *s, visitproc visit, void *arg)
{
    for (unsigned i = 0; i < s->spare_count; i++)
        Py_VISIT(Py_TYPE((PyObject *)s->spare_calls[i]));
    return 0;
}

void spare_calls_drop(struct state *s)
{
    while (s->spare_count) {
        PyObject *spare = s->spare_calls[--s->spare_count];
        PyTypeObject *type = Py_TYPE(spare);
        PyObject_GC_Del(spare);
        Py_DECREF(type);
    }
}

static const PyMethodDef methods[] = {
    { "send", call_send_method, METH_O, "Go on, until it waits or is over." },
    { "throw", (PyCFunction)(void (*)(void))call_throw, METH_FASTCALL, "Raise an exception where it waits." },
    { "close", call_close, METH_NOARGS, "Give it up." },
    { 0 },
};

static const PyGetSetDef attributes[] = {
    { "__name__", name_of, NULL, NULL, NULL },
    { "__qualname__", name_of, NULL, NULL, "" },
    { "cr_running", is_running, NULL, NULL, NULL },
    { "cr_suspended", is_suspended, NULL, NULL, NULL },
    { "cr_await", awaits, NULL, NULL, NULL },
    { "cr_frame", frame_of, NULL, NULL, NULL },
    { "cr_code", code_of, NULL, NULL, NULL },
    { "cr_origin", no_origin, NULL, NULL, NULL },
    { "cr_state", state_name, NULL, NULL, NULL },
    { 0 },
};

static const PyType_Slot slots[] = {
    { Py_tp_dealloc, call_dealloc },
    { Py_tp_traverse, call_traverse },
    { Py_tp_clear, call_clear },
    { Py_tp_finalize, call_finalize },
    { Py_tp_repr, call_repr },
    { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, call_next },
    { Py_am_await, call_await },
    { Py_am_send, call_send },
    { Py_tp_methods, (void *)methods },
    { Py_tp_getset, (void *)attributes },
    { 0, NULL },
};

const PyType_Spec even__call_spec = {
    "evenloop._core.StreamCall", sizeof(struct call), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, (PyType_Slot *)slots
};
