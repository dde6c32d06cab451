/* The end of child processes. */
#ifndef EVENLOOP_PYTHON_CHILD_H
#define EVENLOOP_PYTHON_CHILD_H

#include "loop.h"

PyObject *loop_pipe(PyObject *self, PyObject *unused);
PyObject *loop_watch_child(PyObject *self, PyObject *const *args, Py_ssize_t n);

#endif
