/* Where the slots of asyncio's classes lie in an object, and where our part begins behind them.
 *
 * It is the same in every interpreter of the process, and found out by each as it imports the module: the first one writes it
 * down, those after it compare. So it is read without a lock. */
#ifndef EVENLOOP_PYTHON_LAYOUT_H
#define EVENLOOP_PYTHON_LAYOUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

enum { SLOTS_MAX = 16 };

/* Of an object of asyncio's with a part of ours behind it. */
struct place {
    Py_ssize_t slots[SLOTS_MAX];
    size_t slots_count;
    Py_ssize_t part;
};

#define SLOT(o, where) (*(PyObject **)(void *)((char *)(o) + (where)))

/* Where a slot of one of asyncio's classes lies in its objects. -1 with an exception. */
int slot_offset(PyObject *type, const char *name, Py_ssize_t *where);
/* Where all slots of a type and of its bases lie: their number; -1 with an exception. */
int slots_of(PyTypeObject *type, Py_ssize_t *where, size_t most);
/* All of a type's, and where a part behind them begins. -1 with an exception. */
int place_of(PyTypeObject *type, struct place *place);
/* Write down what was found in `known`, which is static, unless it stands there already. -1 with an exception: another
 * interpreter found something else. */
int layout_publish(void *known, const void *found, size_t size, bool *published);

static inline int place_visit(PyObject *o, const struct place *at, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    for (size_t i = 0; i < at->slots_count; i++)
        Py_VISIT(SLOT(o, at->slots[i]));
    return 0;
}

static inline void place_clear(PyObject *o, const struct place *at)
{
    for (size_t i = 0; i < at->slots_count; i++)
        Py_CLEAR(SLOT(o, at->slots[i]));
}

#endif
