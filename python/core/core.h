/* The Python face's C half: a loop, its handles and watches, on the core's callback level. asyncio's own classes stay: ours
 * derive from them, and take over what is called often. */
#ifndef EVENLOOP_PYTHON_CORE_H
#define EVENLOOP_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "checked.h"
#include "layout.h"
#include <evenloop/embed.h>
#include <semaphore.h>
#include <stdbool.h>

/* Names that are looked up often, and functions of evenloop/_support.py: what is rare, and better said in Python. Each is
 * declared once, here; module.c makes them. */
#define STRINGS(X)                                                                                                     \
    X(again, "_again") X(backend, "backend") X(begins, "begins") X(buffer, "_buffer")                                  \
    X(buffer_updated, "buffer_updated")                                                                                \
    X(call_at, "call_at") X(call_soon, "call_soon") X(call_soon_threadsafe, "call_soon_threadsafe")                    \
    X(cancelled, "cancelled") X(close, "close") X(closed, "closed") X(context, "context")                              \
    X(create_future, "create_future") X(data_received, "data_received") X(datagram_received, "datagram_received")      \
    X(done, "done") X(ended, "ended") X(eof, "_eof") X(error_received, "error_received") X(feed_data, "feed_data")     \
    X(get_buffer, "get_buffer") X(is_closing, "is_closing") X(later, "later") X(limit, "_limit") X(loop, "loop")       \
    X(made, "made") X(maybe_pause, "_maybe_pause_protocol") X(maybe_resume, "_maybe_resume_protocol")                  \
    X(off, "off") X(on_eof, "_on_eof") X(on_flushed, "_on_flushed") X(on_peer_gone, "_on_peer_gone")                   \
    X(pause_reading, "pause_reading")                                                                                  \
    X(paused, "_paused") X(protocol, "_protocol") X(resume_reading, "resume_reading") X(run_begins, "run_begins")      \
    X(run, "_run") X(task, "Task") X(future, "Future")                                                                 \
    X(run_ends, "run_ends") X(seed, "seed") X(send_slowly, "_send_slowly") X(set_result, "set_result")                 \
    X(soon, "soon") X(stream_reader_wr, "_stream_reader_wr") X(time, "time")                                    \
    X(thread_id, "_thread_id") X(throw_, "throw")                                                                      \
    X(transport, "_transport") X(waiter, "_waiter") X(write, "write") X(writelines, "writelines")
#define SUPPORT(X)                                                                                                     \
    X(callback_failed) X(check_call) X(extract_stack) X(handle_failed) X(run_debug) X(transport_debug)

#define TYPES(X) X(loop) X(watch) X(wait) X(port) X(child) X(tls) X(call)
/* Those that derive from asyncio's, and are made by themselves; and those that evenloop/_streams.py makes classes with. */
#define DERIVED_TYPES(X) X(handle) X(thread_handle) X(timer_handle) X(transport)
#define BASES(X) X(reader) X(writer) X(protocol)
#define ASYNCIO(X)                                                                                                     \
    X(buffered_protocol, "asyncio.protocols", "BufferedProtocol", NULL)                                                \
    X(task, "asyncio.tasks", "Task", NULL) X(future_type, "asyncio.futures", "Future", NULL)                           \
    X(create_task, "asyncio.base_events", "BaseEventLoop", "create_task")                                              \
    X(create_future, "asyncio.base_events", "BaseEventLoop", "create_future") X(socket, "socket", "socket", NULL)      \
    X(rlock, "threading", "RLock", NULL)
/* asyncio's streams, as they are unless somebody patches them; stream_calls: what does all that ours leave to it. */
#define STREAMS(X)                                                                                                     \
    X(asyncio_reader) X(asyncio_protocol) X(future_set_result) X(asyncio_data_received) X(asyncio_feed_data)           \
    X(stream_calls) X(newline) X(empty_bytes)

/* A class that is known, and whether it still is what it was when it was made. */
struct known {
    PyTypeObject *type;
    PyObject *attributes;       /* {name: what it was} */
    unsigned version;           /* of the type, when all of them were still the same; 0: not known */
};

/* reader.c: are the attributes of a class what they were? */
bool known_recheck(struct known *known);

/* Is it of the class itself, and that not patched? */
static inline bool is_of(PyObject *o, struct known *known)
{
    return Py_TYPE(o) == known->type &&
           ((known->version && known->version == known->type->tp_version_tag) || known_recheck(known));
}

/* An attribute was set in an instance: does it stand before a method of the class? -1 with an exception. */
int hides_method(PyObject *o, PyObject *name);

enum { SPARE_CALLS = 64 };

/* What the module keeps for an interpreter. */
struct state {
    /* Our types; those that derive from asyncio's are made by themselves. */
#define TYPE(name) PyTypeObject *name##_type;
    TYPES(TYPE) DERIVED_TYPES(TYPE)
#undef TYPE
    /* asyncio's: */
#define FOUND(name, module, class, attribute) PyObject *name;
    ASYNCIO(FOUND)
#undef FOUND
    /* evenloop.StreamReader, StreamWriter, StreamReaderProtocol, and the SocketTransport below them: */
    struct known readers, writers, protocols, transports;
    struct handle_layout handles;
    struct flow_layout flow;
    void *spare_calls[SPARE_CALLS];
    unsigned spare_count;
    PyObject *empty_tuple, *minus_one, *names_loop, *names_context;
    PyObject *loop_time;        /* Loop.time, as long as nobody overrides it */
    PyObject *tasks, *futures;  /* the dicts of asyncio's modules: somebody may patch their classes */
    uint64_t tasks_version, futures_version;    /* of the dicts, when the classes were still asyncio's */
#define STRING(name, text) PyObject *str_##name;
    STRINGS(STRING)
#undef STRING
#define OBJECT(name) PyObject *name;
    SUPPORT(OBJECT) STREAMS(OBJECT)
#undef OBJECT
};

struct loop {
    PyObject_HEAD
    PyObject *module;           /* which has the state */
    struct state *state;
    even_loop *core;
    PyObject *watches;          /* {descriptor: Watch} */
    struct held *held;          /* all of which the core has something: transports, waits, processes, ... */
    char *scratch;              /* where sock_* receive */
    unsigned char *fd_flags;    /* by descriptor: what is known of it */
    int fds;
    PyObject *explain;          /* evenloop._explain's, or NULL: nothing is told */
    PyObject *task_factory;     /* NULL or None: asyncio's Task */
    PyObject *keywords;         /* {"loop": itself}, for what is made for it */
    PyObject *spare[2];         /* handles and timers that are gone: the memory of the next ones */
    int spare_count[2];
    PyObject *raised;           /* SystemExit or KeyboardInterrupt, on its way out of the run */
    PyThreadState *waiting;     /* the loop's thread is inside a wait and has let the interpreter go */
    struct errand *errands;     /* what other threads want done as soon as it has left that wait */
    even_handle rouse;          /* wakes it for them, while `roused` */
    unsigned time_version;      /* of the loop's class, when `class_time` was found out; 0: never */
    bool class_time, own_time;  /* its class has a time() of its own; the loop itself has one */
    bool by_own_clock;          /* the core's timers go by that */
    bool debug, closed, closing, stopping, roused;
    bool calling;               /* a pass of the program's own runs the core's handles */
    bool attached;              /* by a pass in place of a run */
    bool nested;                /* passes of the program's own were made in this pass of the core's: */
    uint64_t nested_pass;
    unsigned changes;           /* counts up as it is closed: see checked.h */
    uint64_t pushed_pass;       /* in this pass of the core's, */
    unsigned pushed;            /* so many calls of other threads came */
};

extern PyModuleDef even__module;
#define SPEC(name) extern const PyType_Spec even__##name##_spec;
TYPES(SPEC) BASES(SPEC)
#undef SPEC

static inline struct state *state_of_module(PyObject *module)
{
    return PyModule_GetState(module);
}

/* Of a type, or of one that derives from one of ours; NULL with an exception. */
static inline struct state *state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &even__module);
    return module ? state_of_module(module) : NULL;
}

static inline struct loop *as_loop(PyObject *o)
{
    return (struct loop *)(void *)o;
}

/* ---- module.c ---- */

/* A type; NULL with an exception. `base` may be NULL. */
PyTypeObject *type_make(PyObject *module, const PyType_Spec *spec, PyObject *base);

/* ---- handle.c ---- */

int handle_types_make(PyObject *module, struct state *state);

/* A handle of the loop; a new reference. `context` NULL or None: a copy of the current one. */
PyObject *handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context);
PyObject *timer_handle_new(struct loop *loop, PyObject *when, PyObject *callback, PyObject *const *args, Py_ssize_t n,
                           PyObject *context);
/* One that call_soon_threadsafe() gives: since 3.14 a class of its own. */
PyObject *thread_handle_new(struct loop *loop, PyObject *callback, PyObject *const *args, Py_ssize_t n, PyObject *context);
/* Queue it: the queue has a reference of its own. */
void handle_queue(struct loop *loop, PyObject *handle);
int handle_queue_threadsafe(struct loop *loop, PyObject *handle);
int timer_handle_arm(struct loop *loop, PyObject *handle, double when);
/* For a pass of the program's own: take the first that is queued out of the queue (a new reference; NULL with an IndexError); put
 * one into it, a timer that is set too: 0, or -1 with an exception. */
PyObject *handle_unqueue(struct loop *loop);
int handle_requeue(struct loop *loop, PyObject *handle);
/* Run what is queued of the core's own, not Python's handles: transports that receive, and the like. 0, or a failure. */
int handles_run_core(struct loop *loop);
/* How many are queued of Python's; no more than `most` are counted. */
size_t handles_count(struct loop *loop, size_t most);
/* Call it, here and now; whatever it raises goes where it belongs. */
void handle_call(struct loop *loop, PyObject *handle);
/* One of ours, or asyncio's own. */
bool handle_is_cancelled(struct loop *loop, PyObject *handle);
/* Those that are queued, or the timers that are set: a new list. */
PyObject *handles_list(struct loop *loop, bool timers);
int handles_traverse(struct loop *loop, visitproc visit, void *arg);
/* The loop is being closed: drop what is queued, unrun. */
void handles_drop(struct loop *loop);
/* It is gone: so is what it kept of them. */
void handles_free(struct loop *loop);

/* ---- loop.c ---- */

/* An exception is set: does it end the run, now (true: it was taken), or is it the exception handler's? */
bool loop_takes_exception(struct loop *loop);
/* -errno or an EVEN_E... of the library's, as an exception; gives NULL. */
PyObject *raise_status(int status);
bool loop_check_open(struct loop *loop);
/* Open, and not waiting in another thread: its operations may be touched. False with an exception. */
bool loop_check_here(struct loop *loop);

/* What is to leave the run, leaves it: NULL with that exception, else None. */
PyObject *loop_raise(struct loop *loop);

/* ---- errand.c ---- */

/* The loop waits in another thread (loop->waiting). It leaves that wait and does this, before it calls anything; the caller waits
 * until it is done. False with an exception: the loop's thread will never come back. */
struct errand {
    void (*run)(struct errand *self);
    sem_t done;
    bool over;
    struct errand *next;
};
bool loop_errand(struct loop *loop, struct errand *errand, void (*run)(struct errand *self));

/* ---- clock.c ---- */

/* Find out whether the loop's class has a time() of its own. */
void loop_look_for_clock(struct loop *loop);
/* Does time() mean anything else than the core's clock? */
static inline bool loop_has_own_clock(struct loop *loop)
{
    if (!loop->time_version || loop->time_version != Py_TYPE(loop)->tp_version_tag)
        loop_look_for_clock(loop);
    return loop->class_time || loop->own_time;
}
void loop_change_clock(struct loop *loop);
/* asyncio's timers go by time(). So do ours: to be called where it may have changed what that means, while the loop is open. */
static inline void loop_follow_clock(struct loop *loop)
{
    if (loop_has_own_clock(loop) != loop->by_own_clock)
        loop_change_clock(loop);
}

/* ---- nested.c ---- */

PyObject *loop_select(PyObject *self, PyObject *seconds);
PyObject *loop_process_events(PyObject *self, PyObject *unused);
PyObject *loop_queued(PyObject *self, PyObject *unused);
PyObject *loop_count_queued(PyObject *self, PyObject *most);
PyObject *loop_unqueue(PyObject *self, PyObject *unused);
PyObject *loop_requeue(PyObject *self, PyObject *handle);

/* ---- loop.c ---- */

/* The one keyword: context=. False with an exception. */
bool take_context(struct state *state, PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **context);

/* A Future that belongs to the loop. */
PyObject *future_new(struct loop *loop);

/* ---- watch.c ---- */

PyObject *loop_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *loop_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *loop_remove_reader(PyObject *self, PyObject *fd);
PyObject *loop_remove_writer(PyObject *self, PyObject *fd);
PyObject *loop_watched(PyObject *self, PyObject *fd);
/* The descriptor is a transport's now: what watched its number before was forgotten, with the file that it meant. 0, or -1
 * with an exception. */
int watch_forget(struct loop *loop, int fd);

/* ---- transport.c ---- */

/* How a protocol takes what comes. */
enum protocol_kind { PROTOCOL_PLAIN, PROTOCOL_BUFFERED, PROTOCOL_TLS };

int transport_type_make(PyObject *module, struct state *state);
/* Is it a socket transport of which nobody patched anything? Then these are its methods. */
bool transport_is_usual(struct state *state, PyObject *transport);
bool transport_is_closing(PyObject *transport);
PyObject *transport_write(PyObject *transport, PyObject *data);

/* ---- held.c ---- */

/* The core's loop is about to be closed. Nothing of Python's runs. */
void held_stop_all(struct loop *loop);
/* It is gone: let go of all that it had something of. */
void held_drop_all(struct loop *loop);
int held_traverse(struct loop *loop, visitproc visit, void *arg);

/* ---- output.c ---- */

/* A run ends: what was written goes out before. */
void outputs_flush(struct loop *loop);

/* ---- tls.c ---- */

/* Bytes came for a TLS protocol (an object of the state's tls_type): in place of its get_buffer() and buffer_updated(). The
 * caller has entered the transport's context and holds a reference of the object; the data need last for the call only. In it
 * the program's protocol is called, and the transport's write(), pause_reading(), close() and so on. -1 with an exception, as
 * if buffer_updated() had raised. */
int tls_feed(PyObject *tls_object, const char *data, size_t n);
/* A run ends: what was written is encrypted, and given to the transports, before those are flushed. */
void tls_flush_all(struct loop *loop);
/* ---- pipe.c ---- */

int pipe_types_make(PyObject *module);

/* ---- sock.c ---- */

enum { SCRATCH = 256 * 1024 };

/* Memory to receive into, SCRATCH bytes, whose content nobody counts on later; NULL: there is none. */
char *loop_scratch(struct loop *loop);

PyObject *loop_recv(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *loop_send(PyObject *self, PyObject *const *args, Py_ssize_t n);
/* The descriptor is a transport's now: what was known of its number is over. */
void fd_gets_transport(struct loop *loop, int fd);
PyObject *loop_forget_fd(PyObject *self, PyObject *fd);

/* ---- child.c ---- */

PyObject *loop_watch_child(PyObject *self, PyObject *const *args, Py_ssize_t n);

/* ---- explain.c ---- */

int explain_open(struct loop *loop);
static inline bool is_explained(const struct loop *loop)
{
    return __builtin_expect(loop->explain != NULL, 0);
}
/* Only while it is explained: */
/* A callback was queued, or a timer set; with its first argument, or NULL. -1: an exception, of a signal handler's. */
int explain_soon(struct loop *loop, PyObject *callback, PyObject *argument);
int explain_later(struct loop *loop, PyObject *delay, PyObject *callback, PyObject *argument);
/* A future is being made, perhaps. */
int explain_future(struct loop *loop);
/* A handle is about to be called; NULL: it was. */
void explain_turn(struct loop *loop, PyObject *handle);
void explain_run(struct loop *loop, bool begins);
void explain_close(struct loop *loop);
PyObject *loop_tell(PyObject *self, PyObject *args);
/* ---- reader.c ---- */

int streams_learn(struct state *state);
/* _stream_classes(reader, writer, protocol, transport): each (class, {name: attribute}), made in evenloop/_streams.py. */
PyObject *stream_classes(PyObject *module, PyObject *classes);
/* What came, into the reader of the protocol, if that is an unmodified StreamReaderProtocol with an unmodified StreamReader,
 * asyncio's or ours: as its data_received() would do it, without bytes and without a frame. The transport must be one whose
 * pause_reading() may be called from here.
 * 1: done; 0: it is something else, call data_received(); -1: an exception, as that would raise it. */
int reader_feed(struct state *state, PyObject *protocol, const char *data, size_t n);

/* ---- stream_call.c ---- */

int spare_calls_traverse(struct state *state, visitproc visit, void *arg);
void spare_calls_drop(struct state *state);

/* ---- versions ---- */

#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback && value)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void PyErr_SetRaisedException(PyObject *exception)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}
#endif

#if PY_VERSION_HEX < 0x030D0000
#define PyObject_GetOptionalAttr _PyObject_LookupAttr

static inline int PyWeakref_GetRef(PyObject *reference, PyObject **object)
{
    PyObject *o = PyWeakref_GetObject(reference);
    *object = o && o != Py_None ? Py_NewRef(o) : NULL;
    return !o ? -1 : *object != NULL;
}
#endif

#endif
