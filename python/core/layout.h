/* Where things lie in objects of classes that derive from asyncio's: their slots, and our part behind those.
 *
 * asyncio's classes are Python's, made anew in each interpreter, and another version of them may have other slots. So nothing of
 * it is known before the module is imported, and what is found out then belongs to that interpreter. */
#ifndef EVENLOOP_PYTHON_LAYOUT_H
#define EVENLOOP_PYTHON_LAYOUT_H

#include "compat.h"

enum { SLOTS_MAX = 16 };

/* Of asyncio's handles, and of our classes that derive from them. */
struct handle_layout {
    Py_ssize_t callback, args, cancelled, loop, source_traceback, repr, context, when, scheduled, lock;
    Py_ssize_t handle_end, timer_end;       /* and our own part */
    Py_ssize_t slots[SLOTS_MAX];            /* all of them, of either class */
    size_t slots_count, timer_only;         /* the first of them are a timer's alone */
};

/* Of asyncio's flow-control class, the base of all that writes: its marks, and what get_extra_info() knows. */
struct flow_layout {
    Py_ssize_t paused, high, low, extra;
};

#define SLOT(o, where) (*(PyObject **)(void *)((char *)(o) + (where)))

/* Where a slot of one of asyncio's classes lies in its objects. -1 with an exception. */
int slot_offset(PyObject *type, const char *name, Py_ssize_t *where);
/* Where all slots of a type and of its bases lie: their number; -1 with an exception. */
int slots_of(PyTypeObject *type, Py_ssize_t *where, size_t most);

/* Where a part of ours begins in the objects of a type that derives from this one. */
static inline Py_ssize_t part_offset(PyTypeObject *base)
{
    return (base->tp_basicsize + 15) & ~(Py_ssize_t)15;
}

/* Our type among an object's own and its bases: it is known by its dealloc(). */
static inline PyTypeObject *type_with(PyObject *o, destructor dealloc)
{
    PyTypeObject *type = Py_TYPE(o);
    while (type->tp_dealloc != dealloc)
        type = type->tp_base;
    return type;
}

/* Our part: the objects of our type end with it. */
static inline void *part_behind(PyObject *o, destructor dealloc, size_t size)
{
    return (char *)o + type_with(o, dealloc)->tp_basicsize - size;
}

/* For traverse() and clear() of a type with a part: the slots of its bases. Nothing is looked up that the collector may have
 * cleared already. */
int slots_visit(PyObject *o, PyTypeObject *base, visitproc visit, void *arg);
void slots_clear(PyObject *o, PyTypeObject *base);

#endif
