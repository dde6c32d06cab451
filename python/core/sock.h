/* sock_recv() and sock_sendall(), and what the loop knows of descriptors. */
#ifndef EVENLOOP_PYTHON_SOCK_H
#define EVENLOOP_PYTHON_SOCK_H

#include "loop.h"

enum { SCRATCH = 256 * 1024 };

/* Memory to receive into, SCRATCH bytes, whose content nobody counts on later; NULL: there is none. */
char *loop_scratch(struct loop *loop);

PyObject *loop_recv(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *loop_send(PyObject *self, PyObject *const *args, Py_ssize_t n);
/* The descriptor is a transport's now: what was known of its number is over. */
void fd_gets_transport(struct loop *loop, int fd);
PyObject *loop_forget_fd(PyObject *self, PyObject *fd);
/* The transport that has the descriptor: one of ours, which is forgotten as it ends. -1 with an exception. */
int fd_set_transport(struct loop *loop, int fd, PyObject *transport);
void fd_lose_transport(struct loop *loop, int fd, PyObject *transport);
/* _transport_of(descriptor): it, or None. _set_transport(descriptor, one of ours, or None). _transports_known(): which there
 * are. */
PyObject *loop_transport_of(PyObject *self, PyObject *fd);
PyObject *loop_transports_known(PyObject *self, PyObject *unused);
PyObject *loop_set_transport(PyObject *self, PyObject *const *args, Py_ssize_t n);

#endif
