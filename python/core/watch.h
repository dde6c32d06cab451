/* Readiness: add_reader() and add_writer(), methods of the loop. */
#ifndef EVENLOOP_PYTHON_WATCH_H
#define EVENLOOP_PYTHON_WATCH_H

#include "loop.h"

PyObject *loop_add_reader(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *loop_add_writer(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *loop_remove_reader(PyObject *self, PyObject *fd);
PyObject *loop_remove_writer(PyObject *self, PyObject *fd);
PyObject *loop_watched(PyObject *self, PyObject *fd);
/* The descriptor is a transport's now: what watched its number before was forgotten, with the file that it meant. 0, or -1
 * with an exception. */
int watch_forget(struct loop *loop, int fd);

#endif
