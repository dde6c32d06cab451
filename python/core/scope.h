/* A call in a context of the program's: enter it, call, leave it. */
#ifndef EVENLOOP_PYTHON_SCOPE_H
#define EVENLOOP_PYTHON_SCOPE_H

#include "compat.h"

/* What the call gives; NULL with an exception: the call's, or that of a context that cannot be entered or left. */
static inline PyObject *call_in_context(PyObject *context, PyObject *(*call)(void *data), void *data)
{
    if (PyContext_Enter(context) < 0)
        return NULL;
    PyObject *result = call(data), *raised = result ? NULL : PyErr_GetRaisedException();
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(result);
        Py_CLEAR(raised);
    }
    if (raised)
        PyErr_SetRaisedException(raised);
    return result;
}

#endif
