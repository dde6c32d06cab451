/* The socket system calls of net.c by name, for a backend that overrides some of them, and what both backends do by the
 * same call. */
#ifndef EVEN__NET_H
#define EVEN__NET_H

#include "backend.h"

int even__net_socket(even_loop *loop, int family, int type, int protocol);
int even__net_bind(even_loop *loop, int fd, const struct sockaddr *address, socklen_t length);
int even__net_listen(even_loop *loop, int fd, int backlog);
int even__net_name(even_loop *loop, int fd, bool peer, struct sockaddr_storage *address, socklen_t *length);
int even__net_shutdown(even_loop *loop, int fd, int how);
int even__net_set_option(even_loop *loop, int fd, int level, int option, int value);
int even__net_close(even_loop *loop, int fd);

/* EVEN_OP_SENDFILE, one try: bytes, or -EAGAIN from a socket that takes none. */
long even__net_sendfile(const even_op *op);

/* Is there something to receive, the end of the stream included? POLLIN, -EAGAIN, or the failure. */
long even__net_peek(int fd);

/* A transfer with MSG_WAITALL: moves what can be moved now. The result: all of it, or what there will ever be; -EAGAIN: the
 * rest later; or the failure. */
long even__net_transfer_all(even_op *op);

#endif
