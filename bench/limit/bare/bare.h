/* The limit for Python: an extension with nothing but what a server cannot do without. It calls a protocol's
 * connection_made(transport), data_received(bytes) and connection_lost(None); a transport has write(bytes). No contexts, no
 * handles, no flow control, no loop: no loop for asyncio can cost less. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

struct transport {
    PyObject_HEAD
    int fd;
    int references;             /* uring: a recv that is armed, a send in flight */
    bool ended;                 /* epoll: an EOF or an error may stand behind the data */
    PyObject *received, *lost;  /* bound methods of the protocol; NULL once the connection has ended */
    PyObject *sending;          /* bytes on their way, or NULL */
    Py_ssize_t sent;            /* how many of them are gone */
    PyObject *waiting;          /* a list of what was written meanwhile, or NULL */
    char buffer[2048];          /* uring, single-shot: where it receives */
};

/* 0, or -1 with an exception. */
struct engine {
    int (*serve)(int listener);
    int (*write)(struct transport *t, PyObject *bytes);
};
#ifdef BARE_URING
extern const struct engine bare_multishot, bare_single;
#endif
extern const struct engine bare_epoll;

/* A new connection: asks the protocol of the factory. The reference is the connection's own, until bare_drop(). */
struct transport *bare_accepted(int fd);
int bare_received(struct transport *t, const char *data, Py_ssize_t size);
int bare_drop(struct transport *t);

/* Keeps what is written while other bytes are on their way; then makes it what is sent. */
int bare_keep(struct transport *t, PyObject *bytes);
int bare_next(struct transport *t);

#endif
