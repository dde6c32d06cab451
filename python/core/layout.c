/* Where the slots of asyncio's classes lie in an object. */
#include "core.h"
#include "base/fork.h"
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

int slots_of(PyTypeObject *type, Py_ssize_t *where, size_t most)
{
    size_t count = 0;
    for (; type; type = type->tp_base) {
        PyObject *dict = PyObject_GetAttrString((PyObject *)(void *)type, "__dict__"), *values;
        values = dict ? PyMapping_Values(dict) : NULL;
        Py_XDECREF(dict);
        if (!values)
            return -1;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values); i++) {
            PyObject *value = PyList_GET_ITEM(values, i);
            if (!Py_IS_TYPE(value, &PyMemberDescr_Type))
                continue;
            const PyMemberDef *member = ((PyMemberDescrObject *)(void *)value)->d_member;
            if (member->type != T_OBJECT_EX)
                continue;
            if (count == most) {
                PyErr_SetString(PyExc_ImportError, "one of asyncio's classes has more slots than expected");
                Py_DECREF(values);
                return -1;
            }
            where[count++] = member->offset;
        }
        Py_DECREF(values);
    }
    return (int)count;
}

int place_of(PyTypeObject *type, struct place *place)
{
    int found = slots_of(type, place->slots, SLOTS_MAX);
    if (found < 0)
        return -1;
    place->slots_count = (size_t)found;
    place->part = (type->tp_basicsize + 15) & ~(Py_ssize_t)15;
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
EVEN__AT_FORK(.lock = &lock);

int layout_publish(void *known, const void *found, size_t size, bool *published)
{
    pthread_mutex_lock(&lock);
    if (!*published)
        memcpy(known, found, size);
    *published = true;
    const bool same = memcmp(known, found, size) == 0;
    pthread_mutex_unlock(&lock);
    if (!same)
        PyErr_SetString(PyExc_ImportError, "asyncio's classes are made otherwise than in another interpreter of this process");
    return same ? 0 : -1;
}
