/* A server at work: it accepts, makes a task of each connection, and closes what the task leaves open. */
#include "server.h"
#include "../base/sys.h"
#include <netinet/in.h>
#include <string.h>

/* How long accepting rests when descriptors or memory are short (as in asyncio). */
static const double REST_SECONDS = 1;

static const even_kind kind;

static void over_if_so(even_server *server)
{
    if (!server->closing || server->open > 0 || server->connection_count > 0 || server->aw.base.state != EVEN_ACTIVE)
        return;
    even_handle_cancel(&server->loop_closes);
    even__drop_silently(server->handler);
    server->handler = NULL;
    even__complete(&server->aw.base, 0);
}

/* ---- connections ---- */

void even__server_lost(even_stream *s)
{
    even_server *server = s->server;
    even__queue_remove(&s->link);
    even_unref(&s->aw.base);
    server->connection_count--;
    over_if_so(server);
}

static void handler_over(even_handle *h)
{
    even_stream *s = even__container_of(h, even_stream, handler_over);
    even_awaitable *handler = s->handler;
    int status = even_status_of(handler);   /* fetched: the report is made here, once */

    if (status < 0 && status != -ECANCELED && even__report_wanted(handler->kind))
        even__report("the handler '%s' failed with %s (%s)", handler->kind->name, even_errname(status),
                     even_strerror(status));
    s->handler = NULL;
    even_unref(handler);
    if (!s->closing) {
        even__stream_close(s);
        even_unref(&s->aw.base);    /* the handler's reference */
    } else if (s->fd < 0) {
        even__server_lost(s);
    }
}

/* A task for an accepted socket: 0, or -ENOMEM, and it is closed. */
static int serve(even_server *server, int fd)
{
    even_loop *loop = server->loop;
    even_stream *s = even__stream_new(loop, fd, server->handler->by.site);
    even_awaitable *handler = s ? even__clone(server->handler, &even__stream_placeholder, s) : NULL;
    if (!handler) {
        if (!s)
            loop->backend->net->close(loop, fd);
        even__stream_discard(s);
        return -ENOMEM;
    }
    even_ref_any(&s->aw.base);      /* one is the server's, one the handler's */
    s->server = server;
    s->handler = handler;
    s->handler_over.run = handler_over;
    even_handle_cancel(&s->link);
    even__queue_append(&server->connections, &s->link);
    server->connection_count++;
    even_task_options options = { .stack_size = server->stack_size };
    even__create_task(handler, &options, handler->by.site);     /* the line that named it, not one of ours */
    even__add_waiter(handler, &s->handler_over, loop);
    return 0;
}

/* ---- listening ---- */

static void close_listener(struct even__listener *l)
{
    even_server *server = l->server;
    server->loop->backend->net->close(server->loop, l->fd);
    l->fd = -1;
    if (--server->open == 0)
        even__serving_end(server);
    over_if_so(server);
}

static void accept_next(struct even__listener *l)
{
    even_op_accept(&l->accept, l->fd, NULL, NULL, 0);
}

static void rested(even_handle *h)
{
    accept_next(even__container_of(h, struct even__listener, rest.handle));
}

static void rest(struct even__listener *l, int why)
{
    if (!l->resting && even__report_wanted(l->server->handler->kind))
        even__report("accepting connections rests: %s; it is tried again each second", even_strerror(why));
    l->resting = true;
    if (even_call_later(l->server->loop, &l->rest, REST_SECONDS) < 0)
        accept_next(l);
}

static void accepted(even_op *op)
{
    struct even__listener *l = even__container_of(op, struct even__listener, accept);
    even_server *server = l->server;
    even_loop *loop = server->loop;
    int rc = op->result;

    if (even__unlikely(server->closing || loop->closing)) {
        if (rc >= 0)
            loop->backend->net->close(loop, rc);
        server->closing = true;
        close_listener(l);
        return;
    }
    if (even__likely(rc >= 0))
        rc = serve(server, rc);
    switch (rc) {
    case 0:
        l->resting = false;
        accept_next(l);
        break;
    /* The connection had an end before it was taken, or its network had: the next one may be well (accept(2)). */
    case -ECONNABORTED: case -EPROTO: case -EINTR: case -EAGAIN: case -ENETDOWN: case -ENOPROTOOPT: case -EHOSTDOWN:
    case -ENONET: case -EHOSTUNREACH: case -EOPNOTSUPP: case -ENETUNREACH:
        accept_next(l);
        break;
    default:
        rest(l, rc);
    }
}

/* A server is an awaitable, whose memory can still be looked at when it is spent. */
bool even__server_is_gone(const even_server *server, const char *who, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__likely(server->aw.base.kind == &kind && server->aw.base.state != EVEN_SPENT && !server->freed))
        return false;
    if (even__report_wanted(site))
        even__report("%s: the server was given up before, by even_server_free(); at %s", who,
                     even__site_name(site, where, sizeof where));
    return true;
}

static bool is_anothers(const even_server *server, const char *who, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__likely(even__loop_is_mine(server->loop)))
        return false;
    if (even__report_wanted(site))
        even__report("%s: the server belongs to the loop of another thread; at %s", who,
                     even__site_name(site, where, sizeof where));
    return true;
}

void even_server_close(even_server *server)
{
    const void *site = __builtin_return_address(0);
    if (!even__server_is_gone(server, "even_server_close", site) && !is_anothers(server, "even_server_close", site))
        even__server_close(server);
}

void even__server_close(even_server *server)
{
    if (server->closing)
        return;
    server->closing = true;
    even_ref_any(&server->aw.base);     /* the last listener's end may be the server's */
    for (unsigned i = 0; i < server->count; i++) {
        struct even__listener *l = &server->listeners[i];
        if (even_op_is_pending(&l->accept)) {
            even_op_cancel(&l->accept);
        } else if (l->fd >= 0) {
            even_timer_cancel(server->loop, &l->rest);
            close_listener(l);
        }
    }
    even_unref(&server->aw.base);
}

void even_server_close_clients(even_server *server)
{
    const void *site = __builtin_return_address(0);
    if (even__server_is_gone(server, "even_server_close_clients", site) || is_anothers(server, "even_server_close_clients", site))
        return;
    for (even_handle *h = server->connections.next; h != &server->connections; h = h->next) {
        even_stream *s = even__container_of(h, even_stream, link);
        if (s->handler)
            even_cancel_any(s->handler);
    }
}

/* ---- its life ---- */

static bool cancel(even_awaitable *x)
{
    even__server_close((even_server *)(void *)x);
    return true;
}

static void drop(even_awaitable *x)
{
    even_server *server = (even_server *)(void *)x;
    if (server->handler)
        even__drop_silently(server->handler);
    even_handle_cancel(&server->loop_closes);
    even__free(server->listeners);
}

static void begin(even_awaitable *x)
{
    (void)x;
}

static const even_kind kind = {
    .name = "server",
    .size = sizeof(struct even_server),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = begin,
    .cancel = cancel,
    .drop = drop,
};

even_server *even__server_new(even_loop *loop, even_awaitable *handler, size_t stack_size, unsigned listeners)
{
    struct even__listener *l = even__calloc(listeners * sizeof *l);
    even_server *server = l ? (even_server *)(void *)even_awaitable_new(&kind) : NULL;
    if (!server) {
        even__free(l);
        return NULL;
    }
    server->loop = loop;
    server->handler = handler;
    server->stack_size = stack_size;
    server->listeners = l;
    even__queue_init(&server->connections);
    even__queue_init(&server->serving);
    return server;
}

/* The loop is being closed: the handlers' tasks are gone, and the connections go, too. */
static void loop_closes(even_handle *h)
{
    even_server *server = even__container_of(h, even_server, loop_closes);
    even_ref_any(&server->aw.base);
    for (even_handle *at = server->connections.next, *next; at != &server->connections; at = next) {
        even_stream *s = even__container_of(at, even_stream, link);
        next = at->next;
        if (s->handler) {
            even__remove_waiter(s->handler, &s->handler_over);
            even_unref(s->handler);
            s->handler = NULL;
        }
        if (!s->closing) {
            even__stream_close(s);
            even_unref(&s->aw.base);    /* the handler's reference */
        }
    }
    even_unref(&server->aw.base);
}

int even__server_begin(even_server *server)
{
    even_awaitable *x = &server->aw.base;
    even__create_task(x, NULL, NULL);
    if (!even__is_task(x))
        return x->status;
    /* Mark the task as started: a cancel must close the server, not skip its first step. */
    struct even__task *task = x->by.task;
    even_handle_cancel(&task->wake);
    task->started = true;
    for (unsigned i = 0; i < server->count; i++) {
        struct even__listener *l = &server->listeners[i];
        l->server = server;
        l->rest = (even_timer)EVEN_TIMER(rested);
        even_op_init(&l->accept, server->loop, NULL);
        l->accept.complete = accepted;
        accept_next(l);
    }
    server->open = server->count;
    server->loop_closes.run = loop_closes;
    even__queue_append(&server->loop->at_close, &server->loop_closes);
    if (task->must_cancel)      /* made while all is being shut down */
        even__server_close(server);
    return 0;
}

void even_server_free(even_server *server)
{
    const void *site = __builtin_return_address(0);
    if (!server || even__server_is_gone(server, "even_server_free", site) || is_anothers(server, "even_server_free", site))
        return;
    if (server->aw.base.state == EVEN_ACTIVE)
        even__server_close(server);
    server->freed = true;       /* its last connections may keep it for a while */
    even_unref(&server->aw.base);
}

/* ---- what it is ---- */

static int name_of(even_server *server, struct sockaddr_storage *address, socklen_t *length)
{
    for (unsigned i = 0; i < server->count; i++)
        if (server->listeners[i].fd >= 0)
            return server->loop->backend->net->name(server->loop, server->listeners[i].fd, false, address, length);
    return -EBADF;
}

int even_server_name(even_server *server, struct sockaddr_storage *address, socklen_t *length)
{
    if (even__server_is_gone(server, "even_server_name", __builtin_return_address(0)))
        return -EVEN_ESPENT;
    return name_of(server, address, length);
}

int even_server_port(even_server *server)
{
    struct sockaddr_storage address;
    socklen_t length;
    if (even__server_is_gone(server, "even_server_port", __builtin_return_address(0)))
        return -EVEN_ESPENT;
    int rc = name_of(server, &address, &length);
    if (rc < 0)
        return rc;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

size_t even_server_connections(const even_server *server)
{
    if (even__server_is_gone(server, "even_server_connections", __builtin_return_address(0)))
        return 0;
    return server->connection_count;
}
