/* Operations and watches of simulated sockets.
 *
 * An operation waits in the queue of its socket and direction until a poll can end it. What happens to a socket (a start, an
 * arrival, room at the other end) makes it active, and a poll serves the active ones: its cost is that of what happened, not of
 * what exists.
 */
#include "sim_net.h"
#include <poll.h>

/* A transfer, from the byte on that it has come to. */
static int try_bytes(struct even__sim_socket *s, const even_op *op, size_t moved)
{
    char *buffer = (char *)op->args.bytes.buffer + moved;
    size_t length = op->args.bytes.length - moved;
    return even__op_row(op)->waits == EVEN__IN ? even__sim_recv(s, buffer, length, op->flags) : even__sim_send(s, buffer, length);
}

/* With MSG_WAITALL, until all is moved. */
static int try_all(struct even__sim_socket *s, even_op *op)
{
    int rc;
    do {    /* bounded by its length */
        if (op->moved && s->error && !(op->kind == EVEN_OP_RECV && s->readable))
            rc = 0;     /* the next operation tells it */
        else
            rc = try_bytes(s, op, op->moved);
        if (rc > 0)
            op->moved += (size_t)rc;
    } while (rc > 0 && op->moved < op->args.bytes.length);
    return rc < 0 ? rc : (int)op->moved;
}

/* 0, or why its flags cannot be had. */
static int refuse_flags(const even_op *op)
{
    const uint32_t both = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC | MSG_MORE | MSG_EOR |
                          MSG_CONFIRM | MSG_DONTROUTE;
    if (op->kind == EVEN_OP_SEND)
        return op->flags & ~both ? -EOPNOTSUPP : 0;
    if (op->flags & ~(both | MSG_PEEK | MSG_TRUNC | MSG_OOB))
        return -EOPNOTSUPP;
    return op->flags & MSG_OOB ? -EINVAL : 0;
}

static int try_poll(const struct even__sim_socket *s, int events)
{
    int ready = even__sim_readiness(s) & (events | POLLERR | POLLHUP);
    return ready ? ready : EVEN__SIM_WAITS;
}

static int try_any(struct even__sim_socket *s, even_op *op)
{
    int rc;
    switch (even__op_kind(op)) {
    case EVEN_OP_NONE:
        return -EINVAL;
    case EVEN_OP_ACCEPT:
        return even__sim_accept(s, op);
    case EVEN_OP_CONNECT:
        return even__sim_connect(s, op);
    case EVEN_OP_RECV:
    case EVEN_OP_SEND:
        if (even__unlikely(op->flags) && (rc = refuse_flags(op)) < 0)
            return rc;
        rc = even__op_wants_all(op) ? try_all(s, op) : try_bytes(s, op, 0);
        return rc == EVEN__SIM_WAITS && (op->flags & MSG_DONTWAIT) ? -EAGAIN : rc;
    case EVEN_OP_READ:
    case EVEN_OP_WRITE:
        return try_bytes(s, op, 0);
    case EVEN_OP_POLL:
        return try_poll(s, op->args.poll.events);
    case EVEN_OP_RECEIVE:
        return try_poll(s, POLLIN);
    case EVEN_OP_CLOSE:
        return s->pending > 1 ? -EBUSY : 0;
    case EVEN_OP_RECVMSG:
    case EVEN_OP_SENDMSG:
    case EVEN_OP_SENDFILE:
        return -EOPNOTSUPP;
    }
    return -EINVAL;
}

static void serve_queue(struct even__sim_socket *s, even_handle *queue)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    bool wait = false;      /* in order: what waits keeps those behind it waiting; polls are no order */
    even_handle now, *next;
    even__queue_init(&now);
    even__queue_splice(&now, queue);
    for (even_handle *h = now.next; h != &now && !wait; h = next) {
        next = h->next;
        even_op *op = even__container_of(h, even_op, handle);
        bool cancel = op->state == EVEN__OP_CANCELING;
        /* A cancel may come too late, which only a seed makes happen. */
        int rc = cancel && !even__sim_perhaps(s->loop) ? -ECANCELED : try_any(s, op);
        if (rc == EVEN__SIM_WAITS && !cancel) {
            wait = queue != &s->polls;
            continue;
        }
        even__queue_remove(h);
        if (s->connect == op)
            s->connect = NULL;
        s->pending--;
        if (op->kind == EVEN_OP_CLOSE && rc == 0)
            even__sim_close(s);
        even__sim_done(sim, op, rc == EVEN__SIM_WAITS ? -ECANCELED : rc);
    }
    even__queue_splice(&now, queue);    /* started meanwhile: behind those that wait */
    even__queue_splice(queue, &now);
}

/* They were behind another one, so that none of them can have begun. */
static void end_canceled(struct even__sim_socket *s)
{
    while (!even__queue_is_empty(&s->canceled)) {   /* bounded: an end cancels nothing */
        even_op *op = even__container_of(s->canceled.next, even_op, handle);
        even__queue_remove(&op->handle);
        s->pending--;
        even__sim_done(even__sim_state_of(s), op, -ECANCELED);
    }
}

static void serve(struct even__sim_socket *s)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    sim->current = s;
    end_canceled(s);
    bool in_first = !even__sim_perhaps(s->loop);
    serve_queue(s, in_first ? &s->in : &s->out);
    serve_queue(s, in_first ? &s->out : &s->in);
    serve_queue(s, &s->polls);
    for (int i = 0; i < 2; i++) {
        even_watch *w = s->watch[i];
        int ready = w && !(i == 1 && w == s->watch[0]) ? even__sim_readiness(s) & (w->events | POLLERR | POLLHUP) : 0;
        if (ready) {
            even__watch_ready(w, ready);
            sim->progress = true;
            even__sim_mark(s);        /* level-triggered: the next poll looks again */
        }
    }
    sim->current = NULL;
    if (s->dead)
        even__sim_socket_free(s);
}

static void shuffle(struct even__sim_state *sim, even_handle *list)
{
    uint32_t n = 0;
    while (!even__queue_is_empty(list)) {
        even_handle *h = list->next;
        even__queue_remove(h);
        sim->slot[n++].shuffled = even__container_of(h, struct even__sim_socket, active);
    }
    for (; n; n--) {
        uint32_t i = (uint32_t)(even__random(&sim->loop->random) % n);
        even__queue_append(list, &sim->slot[i].shuffled->active);
        sim->slot[i].shuffled = sim->slot[n - 1].shuffled;
    }
}

void even__sim_net_run(struct even__sim_state *sim)
{
    even_timer *t;
    while ((t = even__timers_first(&sim->arrivals)) && t->deadline <= sim->now) {   /* bounded: what is in flight */
        even__timers_remove(&sim->arrivals, t);
        t->handle.run(&t->handle);
    }
    even_handle now;
    even__queue_init(&now);
    even__queue_splice(&now, &sim->active);
    if (sim->loop->seeded)
        shuffle(sim, &now);
    while (!even__queue_is_empty(&now)) {   /* bounded: what becomes active again waits for the next run */
        even_handle *h = now.next;
        even__queue_remove(h);
        serve(even__container_of(h, struct even__sim_socket, active));
    }
}

int64_t even__sim_net_next(struct even__sim_state *sim)
{
    if (!even__queue_is_empty(&sim->active))
        return sim->now;
    const even_timer *t = even__timers_first(&sim->arrivals);
    return t ? t->deadline : INT64_MAX;
}

even_handle *even__sim_queue_of(struct even__sim_socket *s, const even_op *op)
{
    if (op->kind == EVEN_OP_POLL || op->kind == EVEN_OP_RECEIVE)
        return &s->polls;
    return even__op_row(op)->waits == EVEN__IN ? &s->in : &s->out;
}

bool even__sim_net_start(struct even__sim_state *sim, even_op *op)
{
    struct even__sim_socket *s = even__sim_find(sim, op->fd);
    if (!s)
        return false;
    even__queue_append(even__sim_queue_of(s, op), &op->handle);
    s->pending++;
    even__sim_mark(s);
    return true;
}

void even__sim_net_cancel(struct even__sim_state *sim, even_op *op)
{
    struct even__sim_socket *s = even__sim_find(sim, op->fd);
    even__check(s && s->pending > 0);
    even_handle *queue = even__sim_queue_of(s, op);
    if (queue != &s->polls && queue->next != &op->handle) {
        even__queue_remove(&op->handle);
        even__queue_append(&s->canceled, &op->handle);
    }
    even__sim_mark(s);
}

ssize_t even__sim_net_receive(struct even__sim_state *sim, int fd, void *buffer, size_t length)
{
    struct even__sim_socket *s = even__sim_find(sim, fd);
    if (!s)
        return even__sim_no_socket(fd);
    int rc = even__sim_recv(s, buffer, length, 0);
    return rc == EVEN__SIM_WAITS ? -EAGAIN : rc;
}

int even__sim_net_watch(struct even__sim_state *sim, even_watch *w)
{
    struct even__sim_socket *s = even__sim_find(sim, w->fd);
    if (!s)
        return even__sim_no_socket(w->fd);
    bool in = w->events & POLLIN, out = w->events & POLLOUT;
    if ((in && s->watch[0]) || (out && s->watch[1]))
        return -EEXIST;
    if (in)
        s->watch[0] = w;
    if (out)
        s->watch[1] = w;
    even__sim_mark(s);
    return 0;
}

void even__sim_net_unwatch(struct even__sim_state *sim, even_watch *w)
{
    struct even__sim_socket *s = even__sim_find(sim, w->fd);
    for (int i = 0; s && i < 2; i++)
        if (s->watch[i] == w)
            s->watch[i] = NULL;
}

void even__sim_net_open(struct even__sim_state *sim)
{
    even__queue_init(&sim->all);
    even__queue_init(&sim->active);
    sim->latency = EVEN__SIM_LATENCY;
    sim->next_port = EVEN__SIM_FIRST_PORT;
}

static void end_all(struct even__sim_state *sim, even_handle *queue)
{
    while (!even__queue_is_empty(queue)) {      /* bounded: while closing, what is started goes elsewhere */
        even_op *op = even__container_of(queue->next, even_op, handle);
        even__queue_remove(&op->handle);
        even__sim_done(sim, op, even__op_is(op, EVEN__OP_CLOSES) ? 0 : -ECANCELED);     /* all sockets go */
    }
}

void even__sim_net_close(struct even__sim_state *sim)
{
    for (even_handle *h = sim->all.next; h != &sim->all; h = h->next) {
        struct even__sim_socket *s = even__container_of(h, struct even__sim_socket, all);
        end_all(sim, &s->in);
        end_all(sim, &s->out);
        end_all(sim, &s->polls);
        end_all(sim, &s->canceled);
    }
    while (!even__queue_is_empty(&sim->all)) {
        struct even__sim_socket *s = even__container_of(sim->all.next, struct even__sim_socket, all);
        even__queue_remove(&s->all);
        even__free(s->ring);
        even__free(s);
    }
    while (sim->spare) {
        struct even__sim_socket *s = sim->spare;
        sim->spare = s->bound_next;
        even__free(s->ring);
        even__free(s);
    }
    even__timers_done(&sim->arrivals);
    even__free(sim->slot);
}
