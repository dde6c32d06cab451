/* What another thread wants of a loop that waits: the loop's thread does it. */
#include "errand.h"

static void roused(even_handle *h)
{
    even_container_of(h, struct loop, rouse)->roused = false;
}

static bool is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

bool loop_errand(struct loop *loop, struct errand *e, void (*run)(struct errand *self))
{
    int rc = 0;
    if (is_finalizing() || even_loop_is_parents(loop->core)) {
        PyErr_SetString(PyExc_RuntimeError, "the loop waits in a thread that is gone, with the interpreter or with a fork");
        return false;
    }
    if (!loop->roused) {
        loop->rouse.run = roused;
        rc = even_call_soon_threadsafe(loop->core, &loop->rouse);
        loop->roused = rc == 0;
    }
    if (rc < 0 || sem_init(&e->done, 0, 0) < 0) {
        raise_status(rc < 0 ? rc : -errno);
        return false;
    }
    e->run = run;    /* only: the errand, which its caller holds */
    e->over = false;
    struct errand **last = &loop->errands;
    while (*last)
        last = &(*last)->next;
    *last = e;
    e->next = NULL;
    Py_BEGIN_ALLOW_THREADS
    while (sem_wait(&e->done) < 0)
        ;       /* a signal */
    Py_END_ALLOW_THREADS
    sem_destroy(&e->done);
    return true;
}
