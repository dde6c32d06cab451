/* The addresses of a connection's two ends, as bytes. Few programs ask for them, and as objects of Python's they would be a
 * quarter of what an idle connection takes. They are asked of the kernel early all the same: it forgets its peer's with the
 * connection. */
#ifndef EVENLOOP_PYTHON_ADDRESSES_H
#define EVENLOOP_PYTHON_ADDRESSES_H

#include "compat.h"
#include <stdbool.h>

/* Both, first the local one: memory for addresses_free(). `peer` is what accept() gave for it, or None: the kernel is asked. NULL
 * without an exception: it is no socket of the internet, an end has no address, or there is no memory. */
void *addresses_of(int fd, PyObject *peer);
void addresses_free(void *addresses);

/* As the socket module gives them. A new reference; NULL with an exception. */
PyObject *addresses_local(const void *addresses);
PyObject *addresses_peer(const void *addresses);

#endif
