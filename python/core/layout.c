/* Where the slots of asyncio's classes lie in an object. */
#include "layout.h"
#include <structmember.h>

int slot_offset(PyObject *type, const char *name, Py_ssize_t *where)
{
    PyObject *descriptor = PyObject_GetAttrString(type, name);
    if (!descriptor)
        return -1;
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        PyErr_Format(PyExc_ImportError, "asyncio's class has no slot '%s'", name);
        Py_DECREF(descriptor);
        return -1;
    }
    *where = ((PyMemberDescrObject *)(void *)descriptor)->d_member->offset;
    Py_DECREF(descriptor);
    return 0;
}

/* A type that a class statement has made keeps its slots behind itself. */
static const PyMemberDef *members_of(PyTypeObject *type, Py_ssize_t *n)
{
    *n = type->tp_flags & Py_TPFLAGS_HEAPTYPE ? Py_SIZE(type) : 0;
    if (*n == 0)
        return NULL;
#if PY_VERSION_HEX < 0x030C0000
    return (const PyMemberDef *)(void *)((char *)type + Py_TYPE(type)->tp_basicsize);
#else
    return PyObject_GetItemData((PyObject *)(void *)type);
#endif
}

/* Call `each` with the offset of every slot of a type and of its bases. */
static int slots_each(PyTypeObject *type, int (*each)(Py_ssize_t offset, void *data), void *data)
{
    int rc = 0;
    for (; type && rc == 0; type = type->tp_base) {
        Py_ssize_t n;
        const PyMemberDef *member = members_of(type, &n);
        for (; n > 0 && rc == 0; n--, member++)
            if (member->type == T_OBJECT_EX)
                rc = each(member->offset, data);
    }
    return rc;
}

struct list {
    Py_ssize_t *where;
    size_t count, most;
};

static int append(Py_ssize_t offset, void *data)
{
    struct list *list = data;
    if (list->count == list->most) {
        PyErr_SetString(PyExc_ImportError, "one of asyncio's classes has more slots than expected");
        return -1;
    }
    list->where[list->count++] = offset;
    return 0;
}

int slots_of(PyTypeObject *type, Py_ssize_t *where, size_t most)
{
    struct list list = { .where = where, .most = most };
    return slots_each(type, append, &list) < 0 ? -1 : (int)list.count;
}

struct visit {
    PyObject *o;
    visitproc visit;
    void *arg;
};

static int visit_one(Py_ssize_t offset, void *data)
{
    const struct visit *v = data;
    PyObject *held = SLOT(v->o, offset);
    return held ? v->visit(held, v->arg) : 0;
}

int slots_visit(PyObject *o, PyTypeObject *base, visitproc visit, void *arg)
{
    return slots_each(base, visit_one, &(struct visit){ o, visit, arg });
}

static int clear_one(Py_ssize_t offset, void *data)
{
    Py_CLEAR(SLOT((PyObject *)data, offset));
    return 0;
}

void slots_clear(PyObject *o, PyTypeObject *base)
{
    (void)slots_each(base, clear_one, o);
}
