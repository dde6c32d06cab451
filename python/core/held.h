/* What the core has something of: an operation, a handle that is queued. Such an object must stay until the core is through with
 * it. So it has a reference of its own meanwhile, and stands in its loop's list of those: the one list, for whatever kind. What
 * it calls from there is called in its own context. */
#ifndef EVENLOOP_PYTHON_HELD_H
#define EVENLOOP_PYTHON_HELD_H

#include "loop.h"

struct held {
    PyObject *object;               /* borrowed: this is a part of it */
    struct loop *loop;              /* borrowed: the object has a reference */
    PyObject *context;              /* the object's to traverse and to clear; NULL: it calls nobody */
    const struct held_kind *kind;
    struct held *next, **link;      /* in the loop's list */
    unsigned count;                 /* of what the core has */
    unsigned changes;               /* see checked.h: the end, a loss, a pause, an exchange of the protocol */
    bool entered;                   /* the context: something is being called in it */
};

/* What becomes of it as the loop is closed. Neither runs anything of Python's. */
struct held_kind {
    void (*stop)(struct held *h);   /* the core's loop is about to be: what would outlive that is taken back. NULL: nothing */
    void (*drop)(struct held *h);   /* it is: what the core had of this is given back */
};

static inline unsigned held_changes(const struct held *h)
{
    return h->changes + h->loop->changes;
}

void held_init(struct held *h, struct loop *loop, PyObject *object, const struct held_kind *kind);
/* NULL or None: a copy of the current one. -1 with an exception. */
int held_set_context(struct held *h, PyObject *context);

/* The core gets something of it; */
static inline void held_keep(struct held *h)
{
    if (h->count++)
        return;
    Py_INCREF(h->object);
    h->next = h->loop->held;
    h->link = &h->loop->held;
    if (h->next)
        h->next->link = &h->next;
    h->loop->held = h;
}

/* and is through with that. The last one may be the object's end. */
static inline void held_let_go(struct held *h)
{
    if (--h->count)
        return;
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    Py_DECREF(h->object);
}

/* The core's loop is about to be closed. Nothing of Python's runs. */
void held_stop_all(struct loop *loop);
/* It is gone: let go of all that it had something of. */
void held_drop_all(struct loop *loop);
int held_traverse(struct loop *loop, visitproc visit, void *arg);

/* ---- calling ---- */

/* Call it in the object's context: *result is what it gives, NULL with an exception. CHANGED: what was checked before may be
 * otherwise now (checked.h). The caller holds the object. */
enum kept held_run(struct held *h, PyObject *(*call)(void *data), void *data, PyObject **result);
/* The same with the method of that name of args[0]; `n` counts that, too. */
enum kept held_call(struct held *h, PyObject *name, PyObject *const *args, size_t n, PyObject **result);
/* Call a method of its own, in Python. A failure is dealt with. */
void held_tell(struct held *h, PyObject *name);

/* An exception is set: it leaves the run if it is one that does, else it is the exception handler's, */
void held_callback_failed(struct held *h);
/* of another object, which users know; */
void held_callback_of_failed(struct held *h, PyObject *object);
/* or the object's end: _fatal_error(exception, message). */
void held_fatal(struct held *h, const char *message);
void held_fatal_status(struct held *h, int status, const char *message);
/* In debug mode: what it does. */
PyObject *held_log(struct held *h, const char *text);
/* The loop's thread is inside a wait, and another one calls, a finalizer maybe: the loop calls this method, soon. */
PyObject *held_call_later(struct held *h, const char *name);

#endif
