/* Is a class, or an object of it, what it was when we looked at it? Programs patch both. */
#ifndef EVENLOOP_PYTHON_KNOWN_H
#define EVENLOOP_PYTHON_KNOWN_H

#include "compat.h"
#include <stdbool.h>

/* A class that is known, and whether it still is what it was when it was made. */
struct known {
    PyTypeObject *type;
    PyObject *attributes;       /* {name: what it was} */
    unsigned version;           /* of the type, when all of them were still the same; 0: not known */
};

/* Are the attributes of the class what they were? */
bool known_recheck(struct known *known);

/* Is it of the class itself, and that not patched? */
static inline bool is_of(PyObject *o, struct known *known)
{
    return Py_TYPE(o) == known->type &&
           ((known->version && known->version == known->type->tp_version_tag) || known_recheck(known));
}

/* An attribute was set in an instance: does it stand before a method of the class? -1 with an exception. */
int hides_method(PyObject *o, PyObject *name);

#endif
