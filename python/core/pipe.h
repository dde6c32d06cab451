/* The types of the pipes' transports. */
#ifndef EVENLOOP_PYTHON_PIPE_H
#define EVENLOOP_PYTHON_PIPE_H

#include "compat.h"

int pipe_types_make(PyObject *module);

#endif
