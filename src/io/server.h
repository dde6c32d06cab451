/* The inside of a server: what listens, and its connections. */
#ifndef EVEN__SERVER_H
#define EVEN__SERVER_H

#include "stream.h"

struct even__listener {
    even_server *server;
    int fd;                     /* -1: closed */
    bool resting;               /* `rest` is armed: descriptors or memory are short */
    even_op accept;
    even_timer rest;
};

/* An awaitable that is done when the server was closed and its connections are over. It is a task, one without a stack:
 * so the end of even_run() cancels it, which closes it, and waits for its descriptors. */
struct even_server {
    even_int_aw aw;
    even_loop *loop;
    even_awaitable *handler;    /* the template */
    size_t stack_size;
    struct even__listener *listeners;
    unsigned count, open;
    bool closing, freed;
    even_handle connections;    /* streams, by their link */
    size_t connection_count;
    even_handle loop_closes;    /* in the loop's list of what is to be closed */
    even_handle serving;        /* even_serve_forever()s, by their link */
};

/* server.c: a server that listens nowhere yet, with room for so many listeners; takes the template. NULL without
 * memory: nothing is taken. */
even_server *even__server_new(even_loop *loop, even_awaitable *handler, size_t stack_size, unsigned listeners);
/* Accept from now on. */
int even__server_begin(even_server *server);

/* even_server_close(), of a server that may have been given up. */
void even__server_close(even_server *server);

/* serve.c: no socket listens any more. */
void even__serving_end(even_server *server);
/* Was it given up? Then a report says so: `who` was called with it at `site`. */
bool even__server_is_gone(const even_server *server, const char *who, const void *site);

#endif
