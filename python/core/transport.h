/* The socket transport, for who writes to it or feeds from it without Python in between. */
#ifndef EVENLOOP_PYTHON_TRANSPORT_H
#define EVENLOOP_PYTHON_TRANSPORT_H

#include "loop.h"

/* How a protocol takes what comes. */
enum protocol_kind { PROTOCOL_PLAIN, PROTOCOL_BUFFERED, PROTOCOL_TLS };

int transport_type_make(PyObject *module, struct state *state);
/* Is it a socket transport of which nobody patched anything? Then these are its methods. */
bool transport_is_usual(struct state *state, PyObject *transport);
/* Is it one of ours, of this loop and with this descriptor? */
bool transport_has(PyObject *o, const struct loop *loop, int fd);
bool transport_is_closing(PyObject *transport);
PyObject *transport_write(PyObject *transport, PyObject *data);
/* If it is one of ours: what it wrote goes with the next wait. */
void transport_end_turn(struct state *state, PyObject *transport);

#endif
