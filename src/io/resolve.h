/* Names to addresses, at the callback level. */
#ifndef EVEN__RESOLVE_H
#define EVEN__RESOLVE_H

#include "../loop/loop.h"
#include <netdb.h>

struct even__job;

struct even__resolve {
    even_handle handle;         /* run when it is over, unless it was over at once */
    even_loop *loop;
    struct even__job *job;      /* while a thread has it */
    int status;                 /* then: 0, or why not */
    struct addrinfo *list;      /* then: the caller's, for even_freeaddrinfo() */
};

/* True: it is over at once. `host` and `service` are copied; `hints` may be NULL. */
bool even__resolve_start(struct even__resolve *r, even_loop *loop, const char *host, const char *service,
                         const struct addrinfo *hints, void (*done)(even_handle *self));
/* The same for a TCP port; with a host of NULL, for all interfaces (`passive`) or this machine. */
bool even__resolve_port(struct even__resolve *r, even_loop *loop, const char *host, int port, bool passive,
                        void (*done)(even_handle *self));
/* Nothing will come of it. What a thread still does, it does for itself. Nothing if it is over. */
void even__resolve_cancel(struct even__resolve *r);

/* resolver.c: the threads. 0: the handle will be run; or why it cannot. */
int even__resolver_ask(struct even__resolve *r, const char *host, const char *service, const struct addrinfo *hints);

/* Threads that are at work, be it for nobody any more: tests wait until there are none. */
unsigned even__resolver_busy(void);

/* A copy of such a list in one piece, as even_freeaddrinfo() wants it: 0 or -ENOMEM. */
int even__addrinfo_copy(const struct addrinfo *from, struct addrinfo **out);

#endif
