/* The simulated network's addresses, and the calls on its sockets.
 *
 * One host, its loopback addresses 127.0.0.0/8 and ::1, one network a loop. Left out: AF_UNIX, datagrams, SO_REUSEPORT.
 */
#include "sim_net.h"
#include "net.h"
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* ---- addresses ---- */

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
static const uint8_t zeros[16];

static bool is_v4(const uint8_t ip[16])
{
    return memcmp(ip, v4_prefix, sizeof v4_prefix) == 0;
}

static bool is_any(const uint8_t ip[16])
{
    return memcmp(ip, zeros, 16) == 0 || (is_v4(ip) && memcmp(ip + 12, zeros, 4) == 0);
}

static bool is_loopback(const uint8_t ip[16])
{
    return memcmp(ip, &in6addr_loopback, 16) == 0 || (is_v4(ip) && ip[12] == 127);
}

static void set_v4(uint8_t ip[16], const void *address)
{
    memcpy(ip, v4_prefix, sizeof v4_prefix);
    memcpy(ip + 12, address, 4);
}

static void set_loopback(uint8_t ip[16], bool v4)
{
    if (v4)
        set_v4(ip, &(struct in_addr){ htonl(INADDR_LOOPBACK) });
    else
        memcpy(ip, &in6addr_loopback, 16);
}

static int parse(const struct even__sim_socket *s, const void *address, size_t length, struct even__sim_endpoint *e)
{
    sa_family_t family;
    if (length < sizeof family)
        return -EINVAL;
    memcpy(&family, address, sizeof family);
    if (family != s->family)
        return -EAFNOSUPPORT;
    if (family == AF_INET) {
        struct sockaddr_in in;
        if (length < sizeof in)
            return -EINVAL;
        memcpy(&in, address, sizeof in);
        set_v4(e->ip, &in.sin_addr);
        e->port = ntohs(in.sin_port);
    } else {
        struct sockaddr_in6 in6;
        if (length < sizeof in6)
            return -EINVAL;
        memcpy(&in6, address, sizeof in6);
        memcpy(e->ip, &in6.sin6_addr, 16);
        e->port = ntohs(in6.sin6_port);
    }
    return 0;
}

socklen_t even__sim_format(const struct even__sim_socket *s, const struct even__sim_endpoint *e,
                           struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (s->family == AF_INET) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(e->port) };
        memcpy(&in.sin_addr, e->ip + 12, 4);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };
    memcpy(&in6.sin6_addr, e->ip, 16);
    memcpy(out, &in6, sizeof in6);
    return sizeof in6;
}

/* Does what is bound there get what is sent to this address? */
static bool covers(const struct even__sim_socket *s, const uint8_t ip[16])
{
    if (memcmp(s->local.ip, ip, 16) == 0)
        return true;
    if (!is_any(s->local.ip))
        return false;
    return is_v4(ip) ? s->family == AF_INET || !s->only_v6 : s->family == AF_INET6;
}

static struct even__sim_socket **bucket(struct even__sim_state *sim, uint16_t port)
{
    return &sim->bound[port % EVEN__SIM_PORTS];
}

struct even__sim_socket *even__sim_find_listener(struct even__sim_state *sim, const struct even__sim_endpoint *e)
{
    struct even__sim_socket *best = NULL;
    for (struct even__sim_socket *s = *bucket(sim, e->port); s; s = s->bound_next)
        if (s->local.port == e->port && s->state == LISTENING && covers(s, e->ip) && (!best || is_any(best->local.ip)))
            best = s;
    return best;
}

static bool is_free(struct even__sim_state *sim, const struct even__sim_socket *s, const struct even__sim_endpoint *e)
{
    struct even__sim_socket wanted = { .local = *e, .family = s->family, .only_v6 = s->only_v6 };
    for (const struct even__sim_socket *o = *bucket(sim, e->port); o; o = o->bound_next)
        if (o != s && o->local.port == e->port && (covers(o, e->ip) || covers(&wanted, o->local.ip)) &&
            (o->state == LISTENING || !o->reuse || !s->reuse))
            return false;
    return true;
}

int even__sim_bind(struct even__sim_socket *s, struct even__sim_endpoint e)
{
    struct even__sim_state *sim = even__sim_state_of(s);
    if (e.port == 0) {
        for (uint32_t tries = 0; e.port == 0; tries++) {    /* bounded: each port once */
            if (tries > UINT16_MAX - EVEN__SIM_FIRST_PORT)
                return -EADDRINUSE;
            e.port = sim->next_port;
            sim->next_port = sim->next_port == UINT16_MAX ? EVEN__SIM_FIRST_PORT : (uint16_t)(sim->next_port + 1);
            for (const struct even__sim_socket *o = *bucket(sim, e.port); o && e.port; o = o->bound_next)
                if (o->local.port == e.port)
                    e.port = 0;
        }
    } else if (!is_free(sim, s, &e)) {
        return -EADDRINUSE;
    }
    s->local = e;
    s->is_bound = true;
    s->bound_next = *bucket(sim, e.port);
    *bucket(sim, e.port) = s;
    return 0;
}

void even__sim_unbind(struct even__sim_socket *s)
{
    if (!s->is_bound)
        return;
    struct even__sim_socket **p = bucket(even__sim_state_of(s), s->local.port);
    while (*p != s)
        p = &(*p)->bound_next;
    *p = s->bound_next;
    s->is_bound = false;
}

/* Where a connect to this address goes, and from where. */
int even__sim_route(const struct even__sim_socket *s, const void *address, size_t length,
                    struct even__sim_endpoint *local, struct even__sim_endpoint *to)
{
    struct even__sim_endpoint e;
    int rc = parse(s, address, length, &e);
    if (rc < 0)
        return rc;
    bool v4 = is_v4(e.ip) || (s->family == AF_INET6 && is_v4(s->local.ip));
    if (is_any(e.ip))
        set_loopback(e.ip, v4);
    if (!is_loopback(e.ip) || is_v4(e.ip) != v4 || (v4 && s->only_v6))
        return -ENETUNREACH;
    *to = e;
    *local = s->local;
    if (is_any(local->ip))
        set_loopback(local->ip, v4);
    return 0;
}

/* ---- the calls on sockets ---- */

static int net_socket(even_loop *loop, int family, int type, int protocol)
{
    if (family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM || (protocol != 0 && protocol != IPPROTO_TCP))
        return -EPROTONOSUPPORT;
    struct even__sim_socket *s = even__sim_socket_new(even__sim_of(loop), family);
    if (!s)
        return -ENOMEM;
    if (family == AF_INET)
        set_v4(s->local.ip, zeros);
    return even__sim_fd_new(s);
}

static int net_bind(even_loop *loop, int fd, const struct sockaddr *address, socklen_t length)
{
    struct even__sim_state *sim = even__sim_of(loop);
    struct even__sim_socket *s = even__sim_find(sim, fd);
    struct even__sim_endpoint e;
    if (!s)
        return even__sim_no_socket(fd);
    int rc = parse(s, address, length, &e);
    if (rc < 0)
        return rc;
    if (s->is_bound || s->state != FRESH)
        return -EINVAL;
    if (!is_any(e.ip) && !is_loopback(e.ip))
        return -EADDRNOTAVAIL;
    return even__sim_bind(s, e);
}

static int net_listen(even_loop *loop, int fd, int backlog)
{
    struct even__sim_state *sim = even__sim_of(loop);
    struct even__sim_socket *s = even__sim_find(sim, fd);
    if (!s)
        return even__sim_no_socket(fd);
    if (s->state != FRESH && s->state != LISTENING)
        return -EINVAL;
    if (!s->is_bound) {
        int rc = even__sim_bind(s, s->local);
        if (rc < 0)
            return rc;
    }
    for (struct even__sim_socket *o = *bucket(sim, s->local.port); o; o = o->bound_next)
        if (o != s && o->state == LISTENING && o->local.port == s->local.port &&
            (covers(o, s->local.ip) || covers(s, o->local.ip)))
            return -EADDRINUSE;     /* both were bound with SO_REUSEADDR; only one can listen */
    s->state = LISTENING;
    s->backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : (uint32_t)backlog;
    even__sim_mark(s);
    return 0;
}

static int net_name(even_loop *loop, int fd, bool peer, struct sockaddr_storage *address, socklen_t *length)
{
    const struct even__sim_socket *s = even__sim_find(even__sim_of(loop), fd);
    if (!s)
        return even__sim_no_socket(fd);
    if (peer && s->state != CONNECTED)
        return -ENOTCONN;
    *length = even__sim_format(s, peer ? &s->remote : &s->local, address);
    return 0;
}

static int net_shutdown(even_loop *loop, int fd, int how)
{
    struct even__sim_socket *s = even__sim_find(even__sim_of(loop), fd);
    if (!s)
        return even__sim_no_socket(fd);
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    if (s->state != CONNECTED)
        return -ENOTCONN;
    if (how != SHUT_WR)
        s->shut_read = true;
    if (how != SHUT_RD && !s->shut_write) {
        s->shut_write = true;
        if (s->peer)
            even__sim_deliver(s->peer, 0, FIN);
    }
    even__sim_mark(s);
    return 0;
}

static int net_set_option(even_loop *loop, int fd, int level, int option, int value)
{
    struct even__sim_socket *s = even__sim_find(even__sim_of(loop), fd);
    if (!s)
        return even__sim_no_socket(fd);
    if (level == SOL_SOCKET) {
        switch (option) {
        case SO_REUSEADDR:
            s->reuse = value != 0;
            return 0;
        case SO_LINGER:
            s->resets = value == 0;
            return 0;
        case SO_RCVBUF:
            if (value < 1)
                return -EINVAL;
            s->window = value > 1 << 24 ? 1 << 24 : (uint32_t)value;
            return 0;
        case SO_SNDBUF:
        case SO_KEEPALIVE:
            return 0;
        default:
            return -ENOPROTOOPT;
        }
    }
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) {
        if (s->family != AF_INET6 || s->is_bound)
            return s->is_bound ? -EINVAL : -ENOPROTOOPT;
        s->only_v6 = value != 0;
        return 0;
    }
    return level == IPPROTO_TCP ? 0 : -ENOPROTOOPT;
}

static int net_close(even_loop *loop, int fd)
{
    struct even__sim_state *sim = even__sim_of(loop);
    struct even__sim_socket *s = even__sim_find(sim, fd);
    if (!s)
        return fd < EVEN__SIM_FD ? even__net_close(loop, fd) : -EBADF;
    if (sim->closing)
        return 0;       /* they all go */
    if (s->pending) {
        even__report("descriptor %d was to be closed while %u operations were pending on it", fd, s->pending);
        return -EBUSY;
    }
    even__sim_close(s);
    return 0;
}

const struct even__net even__sim_net = {
    .socket = net_socket,
    .bind = net_bind,
    .listen = net_listen,
    .name = net_name,
    .shutdown = net_shutdown,
    .set_option = net_set_option,
    .close = net_close,
};
