/* What the module keeps for an interpreter: names, functions and classes of others, types and layouts of ours. */
#ifndef EVENLOOP_PYTHON_STATE_H
#define EVENLOOP_PYTHON_STATE_H

#include "compat.h"
#include "known.h"
#include "layout.h"
#include <stdbool.h>
#include <stdint.h>

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
    X(rlock, "threading", "RLock", NULL) X(file_io, "io", "FileIO", NULL)
/* asyncio's streams, as they are unless somebody patches them; stream_calls: what does all that ours leave to it. */
#define STREAMS(X)                                                                                                     \
    X(asyncio_reader) X(asyncio_protocol) X(future_set_result) X(asyncio_data_received) X(asyncio_feed_data)           \
    X(stream_calls) X(newline) X(empty_bytes)

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

/* A type; NULL with an exception. `base` may be NULL. */
PyTypeObject *type_make(PyObject *module, const PyType_Spec *spec, PyObject *base);

#endif
