/* Passes of the program's own: methods of the loop for evenloop/_nested.py. */
#ifndef EVENLOOP_PYTHON_NESTED_H
#define EVENLOOP_PYTHON_NESTED_H

#include "loop.h"

PyObject *loop_select(PyObject *self, PyObject *seconds);
PyObject *loop_process_events(PyObject *self, PyObject *unused);
PyObject *loop_queued(PyObject *self, PyObject *unused);
PyObject *loop_count_queued(PyObject *self, PyObject *most);
PyObject *loop_unqueue(PyObject *self, PyObject *unused);
PyObject *loop_requeue(PyObject *self, PyObject *handle);

#endif
