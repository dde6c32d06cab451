/* Names to addresses, at the callback level. */
#ifndef EVEN__RESOLVE_H
#define EVEN__RESOLVE_H

#include "../loop/loop.h"
#include <netdb.h>

struct even__query;

struct even__resolve {
    even_handle handle;         /* run when it is over, unless it was over at once */
    even_loop *loop;
    struct even__query *query;  /* while the C library is asked */
    int status;                 /* once it is over: 0, or why not */
    struct addrinfo *list;      /* then, the caller's: for even_freeaddrinfo() */
};

/* True: it is over at once. `host` and `service` are copied; `hints` may be NULL. */
bool even__resolve_start(struct even__resolve *r, even_loop *loop, const char *host, const char *service,
                         const struct addrinfo *hints, void (*done)(even_handle *self));
/* The same for a TCP port; with a host of NULL, for all interfaces (`passive`) or this machine. */
bool even__resolve_port(struct even__resolve *r, even_loop *loop, const char *host, int port, bool passive,
                        void (*done)(even_handle *self));
/* Give it up: its handle will not be run. Does nothing if it is over. */
void even__resolve_cancel(struct even__resolve *r);

/* resolver.c asks the C library, in the worker pool. 0: the handle will be run; or why it cannot be asked. */
int even__resolver_ask(struct even__resolve *r, const char *host, const char *service, const struct addrinfo *hints);

/* A copy of such a list in one piece, as even_freeaddrinfo() wants it: 0 or -ENOMEM. */
int even__addrinfo_copy(const struct addrinfo *from, struct addrinfo **out);

#endif
