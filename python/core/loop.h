/* The loop: asyncio's, on one of the core's. What is known of its state, and what others ask of it. */
#ifndef EVENLOOP_PYTHON_LOOP_H
#define EVENLOOP_PYTHON_LOOP_H

#include "checked.h"
#include "state.h"
#include <evenloop/embed.h>

struct errand;
struct held;

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
    PyObject **transports;      /* by descriptor, borrowed: its socket transport, until that is gone or another has the number */
    int transports_count;
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

static inline struct loop *as_loop(PyObject *o)
{
    return (struct loop *)(void *)o;
}

/* An exception is set: does it end the run, now (true: it was taken), or is it the exception handler's? */
bool loop_takes_exception(struct loop *loop);
/* -errno or an EVEN_E... of the library's, as an exception; gives NULL. */
PyObject *raise_status(int status);
bool loop_check_open(struct loop *loop);
/* Open, and not waiting in another thread: its operations may be touched. False with an exception. */
bool loop_check_here(struct loop *loop);

/* What is to leave the run, leaves it: NULL with that exception, else None. */
PyObject *loop_raise(struct loop *loop);

/* The one keyword: context=. False with an exception. */
bool take_context(struct state *state, PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **context);

/* A Future that belongs to the loop. */
PyObject *future_new(struct loop *loop);

#endif
