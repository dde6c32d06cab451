/* What holds itself: an object of which the core has something, an operation or a handle, must stay until the core is
 * through with it. So it has a reference of its own meanwhile, and stands in its loop's list of those. What it calls from
 * there is called in its own context. */
#ifndef EVENLOOP_PYTHON_HELD_H
#define EVENLOOP_PYTHON_HELD_H

#include "core.h"

struct output;

struct held {
    PyObject *object;               /* borrowed: this is a part of it */
    struct loop *loop;              /* borrowed: the object has a reference */
    PyObject *context;              /* the object's to traverse and to clear */
    struct output *output;          /* what it sends by; NULL: it does not */
    void (*drop)(struct held *h);   /* the core's loop is gone: so is what it had of this */
    struct held *next, **link;      /* in the loop's list */
    unsigned count;                 /* of what the core has */
    bool entered;                   /* the context: something is being called in it */
    unsigned changes;               /* see checked.h: the end, a loss, a pause, an exchange of the protocol */
};

static inline unsigned held_changes(const struct held *h)
{
    return h->changes + h->loop->changes;
}

/* `context` NULL or None: a copy of the current one. -1 with an exception. */
int held_init(struct held *h, struct loop *loop, PyObject *object, PyObject *context, void (*drop)(struct held *h));

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

/* Call a.name(b), or a.name() without b; NULL with an exception. */
PyObject *held_call(struct held *h, PyObject *name, PyObject *a, PyObject *b);
/* Call a method of its own, in Python. */
void held_tell(struct held *h, PyObject *name);
/* An exception is set: it leaves the run if it is one that does, else it is the exception handler's. */
void held_callback_failed(struct held *h);
/* The same, but the object's end: _fatal_error(exception, message). */
void held_fatal(struct held *h, const char *message);
void held_fatal_status(struct held *h, int status, const char *message);
/* In debug mode: what it does. */
PyObject *held_log(struct held *h, const char *text);
/* The loop's thread is inside a wait, and another one calls, a finalizer maybe: the loop calls this method, soon. */
PyObject *held_call_later(struct held *h, const char *name);

#endif
