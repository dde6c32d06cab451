/* Classes that are known, and what was patched of them. */
#include "known.h"

bool known_recheck(struct known *known)
{
    PyObject *name, *was;
    if (!known->attributes)
        return false;
    known->version = 0;
    for (Py_ssize_t at = 0; PyDict_Next(known->attributes, &at, &name, &was);) {
        PyObject *is = PyObject_GetAttr((PyObject *)(void *)known->type, name);
        Py_XDECREF(is);
        if (is != was) {
            PyErr_Clear();
            return false;
        }
    }
    known->version = known->type->tp_version_tag;       /* a type that is changed gets another one, or 0 */
    return true;
}

int hides_method(PyObject *o, PyObject *name)
{
    PyObject *method;
    if (PyObject_GetOptionalAttr((PyObject *)(void *)Py_TYPE(o), name, &method) < 0)
        return -1;
    int hides = method && PyCallable_Check(method);
    Py_XDECREF(method);
    return hides;
}
