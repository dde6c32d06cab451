/* TCP in memory, for the simulated backend.
 *
 * What a socket sends goes straight into the receiver's ring, and a segment says when it will have arrived; each
 * socket's segments arrive in order, one timer a socket. What happens to a socket makes it active; sim_op.c serves those.
 *
 *   connect: the server's half is made at once, and the SYN is a segment on its way to it: there it finds a listener,
 *            or none. A full backlog keeps it waiting.
 *   close:   sends FIN and lets the socket stand as an orphan until the other end has closed too; bytes that meet an
 *            orphan are answered by a reset. Unread bytes, or SO_LINGER 0, make a reset at once.
 *
 * As in the kernel, what had arrived before a reset can still be read; then the reset is told once, after that reads
 * give 0 and writes -EPIPE. Left out: loss, TIME_WAIT, urgent data.
 */
#include "sim_net.h"
#include <poll.h>
#include <string.h>

enum { RING_MIN = 2048 };

/* ---- sockets come and go ---- */

/* Room for one more in all that has one entry a socket. */
static int reserve(struct even__sim_state *sim)
{
    if (sim->sockets < sim->capacity)
        return 0;
    uint32_t n = sim->capacity ? sim->capacity * 2 : 16;
    struct even__timers *arrivals = &sim->arrivals;
    struct even__timer_slot *t = even__realloc(arrivals->slot, (n + 2) * sizeof *t);
    if (!t)
        return -ENOMEM;
    arrivals->slot = t;
    arrivals->capacity = n + 2;
    struct even__sim_slot *slot = even__realloc(sim->slot, n * sizeof *slot);
    if (!slot)
        return -ENOMEM;
    sim->slot = slot;
    sim->capacity = n;
    return 0;
}

static void arrived(even_handle *h);

struct even__sim_socket *even__sim_socket_new(struct even__sim_state *sim, int family)
{
    if (reserve(sim) < 0)
        return NULL;
    struct even__sim_socket *s = sim->spare;
    if (s) {
        sim->spare = s->bound_next;
        *s = (struct even__sim_socket){ .ring = s->ring, .capacity = s->capacity };
    } else if (!(s = even__calloc(sizeof *s))) {
        return NULL;
    }
    s->loop = sim->loop;
    s->fd = -1;
    s->family = (uint16_t)family;
    s->window = EVEN__SIM_WINDOW;
    s->arrival = (even_timer)EVEN_TIMER(arrived);
    even__queue_init(&s->in);
    even__queue_init(&s->out);
    even__queue_init(&s->polls);
    even__queue_init(&s->canceled);
    even__queue_init(&s->accepted);
    even__queue_init(&s->waiting);
    even__queue_append(&sim->all, &s->all);
    sim->sockets++;
    return s;
}

void even__sim_socket_free(struct even__sim_socket *s)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    even__check(!s->peer && s->fd < 0 && s->pending == 0);
    if (s == sim->current) {
        s->dead = true;
        return;
    }
    even__sim_unbind(s);
    if (s->arrival.index)
        even__timers_remove(&sim->arrivals, &s->arrival);
    even_handle_cancel(&s->active);
    even_handle_cancel(&s->link);
    even__queue_remove(&s->all);
    sim->sockets--;
    s->bound_next = sim->spare;
    sim->spare = s;
}

int even__sim_fd_new(struct even__sim_socket *s)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    uint32_t i = sim->free_fds ? sim->slot[--sim->free_fds].free_fd : sim->fds++;
    sim->slot[i].by_fd = s;
    return s->fd = (int)(EVEN__SIM_FD + i);
}

static void fd_free(struct even__sim_socket *s)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    uint32_t i = (uint32_t)s->fd - EVEN__SIM_FD;
    sim->slot[i].by_fd = NULL;
    sim->slot[sim->free_fds++].free_fd = i;
    s->fd = -1;
}

/* ---- the wire ---- */

static void expect_arrival(struct even__sim_socket *s)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    s->arrival.deadline = s->segment[s->first_segment].at;
    s->arrival.order = s->loop->seeded ? (uint32_t)even__random(&s->loop->random) >> 1 : sim->arrival_order++;
    int rc = even__timers_add(&sim->arrivals, &s->arrival);
    even__check(rc == 0);       /* reserve() made room */
}

void even__sim_deliver(struct even__sim_socket *to, uint32_t bytes, uint32_t flags)
{
    struct even__sim_state *sim = even__sim_state_of(to);
    int64_t latency = sim->latency;
    if (to->loop->seeded && latency > 0)
        latency = 1 + (int64_t)(even__random(&to->loop->random) % (uint64_t)(2 * latency));
    int64_t at = sim->now + latency;
    struct even__sim_segment *last = &to->segment[(to->first_segment + to->segments - 1) % EVEN__SIM_SEGMENTS];
    if (to->segments && (last->at >= at || to->segments == EVEN__SIM_SEGMENTS)) {
        /* In order: not before the one before it. Without room for one more, all of it comes a little later. */
        last->at = last->at > at ? last->at : at;
        last->bytes += bytes;
        last->flags |= flags;
        return;
    }
    uint32_t next = (to->first_segment + to->segments++) % EVEN__SIM_SEGMENTS;
    to->segment[next] = (struct even__sim_segment){ at, bytes, flags };
    if (to->segments == 1)
        expect_arrival(to);
}

/* Break the connection from this end; the other one will hear of it, unless nobody is there to hear. */
static void reset_peer(struct even__sim_socket *s)
{
    struct even__sim_socket *peer = s->peer;
    if (!peer)
        return;
    s->peer = peer->peer = NULL;
    if (peer->orphan || peer->state == EMBRYO)
        even__sim_socket_free(peer);
    else
        even__sim_deliver(peer, 0, RST);
}

static void enter_backlog(struct even__sim_socket *listener, struct even__sim_socket *s)
{
    s->state = CONNECTED;
    even__queue_append(&listener->accepted, &s->link);
    listener->queued++;
    even__sim_deliver(s->peer, 0, SYN_ACK);
    even__sim_mark(listener);
}

static void syn_arrived(struct even__sim_socket *s)
{
    struct even__sim_socket *listener = even__sim_find_listener(even__sim_state_of(s), &s->local);
    if (!listener) {
        reset_peer(s);
        even__sim_socket_free(s);
        return;
    }
    s->family = listener->family;
    s->window = listener->window;
    if (listener->queued <= listener->backlog)     /* one more than it says, as Linux has it */
        enter_backlog(listener, s);
    else
        even__queue_append(&listener->waiting, &s->link);
}

static void rst_arrived(struct even__sim_socket *s)
{
    if (s->state == CONNECTING) {
        s->error = -ECONNREFUSED;
        s->state = FRESH;
    } else {
        s->error = s->fin ? -EPIPE : -ECONNRESET;
        s->state = RESET;
    }
}

static void arrived(even_handle *h)
{
    struct even__sim_socket *s = even__container_of(h, struct even__sim_socket, arrival.handle);
    struct even__sim_segment g = s->segment[s->first_segment];
    s->first_segment = (s->first_segment + 1) % EVEN__SIM_SEGMENTS;
    if (--s->segments)
        expect_arrival(s);
    if (g.flags & SYN) {
        syn_arrived(s);     /* nothing else can be in that segment: the client waits for the answer */
        return;
    }
    if (s->orphan && g.bytes) {
        reset_peer(s);
        even__sim_socket_free(s);
        return;
    }
    if (g.flags & SYN_ACK)
        s->state = CONNECTED;
    s->readable += g.bytes;
    if (g.flags & FIN)
        s->fin = true;
    if (g.flags & RST)
        rst_arrived(s);
    even__sim_mark(s);
}

static void refuse_all(even_handle *list)
{
    while (!even__queue_is_empty(list)) {
        struct even__sim_socket *s = even__container_of(list->next, struct even__sim_socket, link);
        even__queue_remove(&s->link);
        reset_peer(s);
        even__sim_socket_free(s);
    }
}

/* The descriptor's end, and as much of the socket as the other end does not need. */
void even__sim_close(struct even__sim_socket *s)
{
    fd_free(s);
    even__sim_unbind(s);
    s->watch[0] = s->watch[1] = NULL;
    refuse_all(&s->accepted);
    refuse_all(&s->waiting);
    if (s->peer && s->state == CONNECTED && !s->resets && !s->readable && !s->peer->orphan) {
        s->orphan = true;
        if (!s->shut_write)
            even__sim_deliver(s->peer, 0, FIN);
        s->shut_write = true;
        return;
    }
    reset_peer(s);
    even__sim_socket_free(s);
}

/* ---- what a socket can do now ---- */

static int take_error(struct even__sim_socket *s)
{
    int rc = s->error;
    s->error = 0;
    return rc;
}

/* With a seed, half of what moves bytes moves only some of them. */
static uint32_t perhaps_short(struct even__sim_socket *s, uint32_t n)
{
    return n > 1 && even__sim_perhaps(s->loop) ? 1 + (uint32_t)(even__random(&s->loop->random) % n) : n;
}

int even__sim_recv(struct even__sim_socket *s, void *buffer, size_t length, uint32_t flags)
{
    if (s->readable && length) {
        uint32_t n = perhaps_short(s, s->readable < length ? s->readable : (uint32_t)length);
        uint32_t part = s->capacity - s->head < n ? s->capacity - s->head : n;
        if (!(flags & MSG_TRUNC)) {
            memcpy(buffer, s->ring + s->head, part);
            memcpy((char *)buffer + part, s->ring, n - part);
        }
        if (flags & MSG_PEEK)
            return (int)n;
        s->head = (s->head + n) & (s->capacity - 1);
        s->used -= n;
        s->readable -= n;
        if (s->peer)
            even__sim_mark(s->peer);      /* there is room for more */
        return (int)n;
    }
    if (s->fin || s->shut_read || (!length && s->state == CONNECTED))
        return 0;
    if (s->error)
        return take_error(s);
    if (s->state == FRESH || s->state == LISTENING)
        return -ENOTCONN;
    return s->state == RESET ? 0 : EVEN__SIM_WAITS;
}

/* Room for `n` more bytes: a power of two. Less than the window if there is no memory. */
static void grow(struct even__sim_socket *s, uint32_t n)
{
    uint32_t capacity = s->capacity ? s->capacity : RING_MIN;
    while (capacity < s->used + n)
        capacity *= 2;
    unsigned char *ring = capacity > s->capacity ? even__malloc(capacity) : NULL;
    if (!ring)
        return;
    uint32_t part = s->capacity - s->head < s->used ? s->capacity - s->head : s->used;
    if (s->used) {
        memcpy(ring, s->ring + s->head, part);
        memcpy(ring + part, s->ring, s->used - part);
    }
    even__free(s->ring);
    s->ring = ring;
    s->capacity = capacity;
    s->head = 0;
}

int even__sim_send(struct even__sim_socket *s, const void *buffer, size_t length)
{
    if (s->error)
        return take_error(s);
    if (s->state == CONNECTING)
        return EVEN__SIM_WAITS;
    if (s->state != CONNECTED || s->shut_write)
        return -EPIPE;
    struct even__sim_socket *to = s->peer;
    if (!to || !length)
        return (int)length;     /* a reset is on its way to us: the bytes are lost, as those on a wire are */
    uint32_t room = to->used < to->window ? to->window - to->used : 0;
    if (!room)
        return EVEN__SIM_WAITS;
    uint32_t n = perhaps_short(s, length < room ? (uint32_t)length : room);
    grow(to, n);
    if (n > to->capacity - to->used)
        n = to->capacity - to->used;
    if (!n)
        return -ENOMEM;
    uint32_t tail = (to->head + to->used) & (to->capacity - 1);
    uint32_t part = to->capacity - tail < n ? to->capacity - tail : n;
    memcpy(to->ring + tail, buffer, part);
    memcpy(to->ring, (const char *)buffer + part, n - part);
    to->used += n;
    even__sim_deliver(to, n, 0);
    return (int)n;
}

int even__sim_accept(struct even__sim_socket *s, even_op *op)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    if (s->state != LISTENING)
        return -EINVAL;
    if (sim->fail_accepts) {    /* as in the kernel, which wants a descriptor before it looks for a connection */
        sim->fail_accepts--;
        return -sim->fail_accepts_with;
    }
    if (!s->queued)
        return EVEN__SIM_WAITS;
    struct even__sim_socket *a = even__container_of(s->accepted.next, struct even__sim_socket, link);
    even__queue_remove(&a->link);
    s->queued--;
    if (!even__queue_is_empty(&s->waiting)) {
        struct even__sim_socket *next = even__container_of(s->waiting.next, struct even__sim_socket, link);
        even__queue_remove(&next->link);
        enter_backlog(s, next);
    }
    void *to = op->args.accept.address;
    socklen_t *room = op->args.accept.length;
    if (to && room) {
        struct sockaddr_storage address;
        socklen_t length = even__sim_format(a, &a->remote, &address);
        memcpy(to, &address, length < *room ? length : *room);
        *room = length;
    }
    return even__sim_fd_new(a);
}

static int begin_connect(struct even__sim_socket *s, even_op *op)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    struct even__sim_endpoint to, local;
    int rc = even__sim_route(s, op->args.connect.address, op->args.connect.length, &local, &to);
    if (rc < 0)
        return rc;
    struct even__sim_socket *server = even__sim_socket_new(sim, s->family);
    if (!server)
        return -ENOMEM;
    if (s->is_bound) {
        s->local = local;
    } else if ((rc = even__sim_bind(s, local)) < 0) {
        even__sim_socket_free(server);
        return rc == -EADDRINUSE ? -EADDRNOTAVAIL : rc;
    }
    s->remote = server->local = to;
    server->remote = s->local;
    server->state = EMBRYO;
    s->state = CONNECTING;
    s->connect = op;
    s->peer = server;
    server->peer = s;
    even__sim_deliver(server, 0, SYN);
    return EVEN__SIM_WAITS;
}

int even__sim_connect(struct even__sim_socket *s, even_op *op)
{
    if (s->error)
        return take_error(s);
    if (s->connect == op)
        return s->state == CONNECTING ? EVEN__SIM_WAITS : 0;
    if (s->state == FRESH)
        return begin_connect(s, op);
    return s->state == CONNECTING ? -EALREADY : -EISCONN;
}

int even__sim_readiness(const struct even__sim_socket *s)
{
    int ready = s->error ? POLLERR : 0;
    switch ((enum even__sim_socket_state)s->state) {
    case FRESH:
        return ready | POLLOUT | POLLHUP | (s->error ? POLLIN : 0);
    case LISTENING:
        return s->queued || even__sim_state_of(s)->fail_accepts ? POLLIN : 0;
    case CONNECTING:
    case EMBRYO:
        return ready;
    case RESET:
        return ready | POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    case CONNECTED:
        break;
    }
    if (s->readable || s->fin || s->shut_read)
        ready |= POLLIN;
    if (s->fin || s->shut_read)
        ready |= POLLRDHUP;
    if (!s->peer || s->shut_write || s->peer->used < s->peer->window)
        ready |= POLLOUT;
    if (s->shut_write && (s->fin || s->shut_read))
        ready |= POLLHUP;
    return ready;
}
