/* even_start_server: sockets that listen on each address of a name, and a server around them. */
#include "resolve.h"
#include "server.h"
#include "../base/sys.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum { BACKLOG = 100, PORT_TRIES = 16 };

struct starting {
    even_int_aw aw;
    even_server **out;
    even_awaitable *handler;
    const char *host;
    int port;
    even_server_options options;
    struct even__resolve resolve;
};

/* ---- sockets ---- */

static bool was_before(const struct addrinfo *first, const struct addrinfo *a)
{
    for (; first != a; first = first->ai_next)
        if (first->ai_addrlen == a->ai_addrlen && memcmp(first->ai_addr, a->ai_addr, a->ai_addrlen) == 0)
            return true;
    return false;
}

static void set_port(struct sockaddr *address, in_port_t port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)address)->sin_port = port;
    else if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = port;
}

static int set_options(even_loop *loop, int fd, int family, const even_server_options *options)
{
    const struct even__net *net = loop->backend->net;
    int rc = net->set_option(loop, fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && options->reuse_port)
        rc = net->set_option(loop, fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0 && family == AF_INET6)      /* IPv4 has a socket of its own */
        rc = net->set_option(loop, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0)                            /* the connections inherit it; without it, they are only slower */
        (void)net->set_option(loop, fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return rc;
}

/* A socket that listens there, or a negative errno. */
static int listen_on(even_loop *loop, const struct addrinfo *a, const even_server_options *options)
{
    const struct even__net *net = loop->backend->net;
    int fd = net->socket(loop, a->ai_family, a->ai_socktype, a->ai_protocol);
    if (fd < 0)
        return fd;
    int rc = set_options(loop, fd, a->ai_family, options);
    if (rc == 0)
        rc = net->bind(loop, fd, a->ai_addr, a->ai_addrlen);
    if (rc == 0)
        rc = net->listen(loop, fd, options->backlog > 0 ? options->backlog : BACKLOG);
    if (rc < 0) {
        net->close(loop, fd);
        return rc;
    }
    return fd;
}

static void close_all(even_server *server)
{
    for (; server->count > 0; server->count--)
        server->loop->backend->net->close(server->loop, server->listeners[server->count - 1].fd);
}

/* On every address, and for port 0 the one that the first of them got. */
static int listen_everywhere(even_server *server, struct addrinfo *list, const even_server_options *options)
{
    int why_none = -EADDRNOTAVAIL;
    in_port_t port = 0;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        if (was_before(list, a))
            continue;
        if (port)
            set_port(a->ai_addr, port);
        int fd = listen_on(server->loop, a, options);
        if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {  /* a family that this machine does not have */
            why_none = fd;
            continue;
        }
        if (fd < 0) {
            close_all(server);
            return fd;
        }
        server->listeners[server->count++].fd = fd;
        int got = even_server_port(server);
        if (got < 0) {
            close_all(server);
            return got;
        }
        port = htons((uint16_t)got);
    }
    return server->count ? 0 : why_none;
}

static int listen_with_port(even_server *server, struct addrinfo *list, int port, const even_server_options *options)
{
    int rc = -EADDRINUSE;
    /* A free port of one family may be taken in the other one: then another. */
    for (int i = 0; i < (port ? 1 : PORT_TRIES) && rc == -EADDRINUSE; i++) {
        for (struct addrinfo *a = list; a && port == 0; a = a->ai_next)
            set_port(a->ai_addr, 0);
        rc = listen_everywhere(server, list, options);
    }
    return rc;
}

/* ---- the awaitable ---- */

static int make_server(struct starting *s)
{
    struct addrinfo *list = s->resolve.list;
    unsigned n = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        n++;
    even_server *server = even__server_new(s->resolve.loop, s->handler, s->options.stack_size, n);
    if (!server)
        return -ENOMEM;
    s->handler = NULL;      /* the server's now */
    int rc = listen_with_port(server, list, s->port, &s->options);
    if (rc == 0 && (rc = even__server_begin(server)) < 0)
        close_all(server);
    if (rc < 0)
        even__drop_silently(&server->aw.base);
    else
        *s->out = server;
    return rc;
}

static void resolved(struct starting *s)
{
    int rc = s->resolve.status;
    if (rc == 0)
        rc = make_server(s);
    even_freeaddrinfo(s->resolve.list);
    s->resolve.list = NULL;
    even__complete(&s->aw.base, rc);
}

static void answered(even_handle *h)
{
    struct starting *s = even__container_of(h, struct starting, resolve.handle);
    resolved(s);
    even_unref(&s->aw.base);
}

static void start(even_awaitable *x)
{
    struct starting *s = (struct starting *)(void *)x;
    const even_awaitable *handler = s->handler;
    if (handler->state != EVEN_INERT || !even__is_coroutine(handler)) {
        bool failed = handler->state == EVEN_DONE && handler->status < 0;
        if (!failed && even__report_wanted(handler->kind))
            even__report("even_start_server: the handler '%s' is no coroutine that was not begun", handler->kind->name);
        even__complete(x, failed ? handler->status : -EINVAL);
    } else if (even__resolve_port(&s->resolve, even__thread.loop, s->host, s->port, true, answered)) {
        resolved(s);
    } else {
        x->refs++;
    }
}

static bool cancel(even_awaitable *x)
{
    even__resolve_cancel(&((struct starting *)(void *)x)->resolve);
    even__complete(x, -ECANCELED);
    even_unref(x);
    return true;
}

static void drop(even_awaitable *x)
{
    struct starting *s = (struct starting *)(void *)x;
    if (s->handler)
        even__drop_silently(s->handler);
}

static const even_kind kind = {
    .name = "start_server",
    .size = sizeof(struct starting),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = start,
    .cancel = cancel,
    .drop = drop,
};

even_int_aw *even_start_server_any(even_server **server, even_awaitable *handler, const char *host, int port,
                                   const even_server_options *options)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&kind, -ENOMEM), -ENOMEM };
    struct starting *s = (struct starting *)(void *)even__zeroed_new(&kind, __builtin_return_address(0));
    if (even__unlikely(!s)) {
        even__drop_silently(handler);
        return &failed;
    }
    s->out = server;
    s->handler = handler;
    s->host = host;
    s->port = port;
    if (options)
        s->options = *options;
    return &s->aw;
}
