/* The interpreter's interface, and what older versions of it lack. */
#ifndef EVENLOOP_PYTHON_COMPAT_H
#define EVENLOOP_PYTHON_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback && value)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void PyErr_SetRaisedException(PyObject *exception)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}
#endif

#if PY_VERSION_HEX < 0x030D0000
#define PyObject_GetOptionalAttr _PyObject_LookupAttr

static inline int PyWeakref_GetRef(PyObject *reference, PyObject **object)
{
    PyObject *o = PyWeakref_GetObject(reference);
    *object = o && o != Py_None ? Py_NewRef(o) : NULL;
    return !o ? -1 : *object != NULL;
}
#endif

#endif
