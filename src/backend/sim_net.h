/* A socket of the simulated network, as its three parts see it: sim_net.c, the addresses and the calls on sockets; sim_tcp.c,
 * what happens on the wire; and sim_op.c, the operations and watches. */
#ifndef EVEN__SIM_NET_H
#define EVEN__SIM_NET_H

#include "sim.h"
#include "../base/sys.h"

enum { EVEN__SIM_SEGMENTS = 8, EVEN__SIM_FIRST_PORT = 32768 };

/* Not now: the operation waits. */
enum { EVEN__SIM_WAITS = INT32_MIN };

enum even__sim_socket_state { FRESH, LISTENING, CONNECTING, EMBRYO, CONNECTED, RESET };

/* What a segment carries besides its bytes, in the order in which it takes effect. */
enum { SYN = 1, SYN_ACK = 2, FIN = 4, RST = 8 };

struct even__sim_segment {
    int64_t at;
    uint32_t bytes, flags;
};

struct even__sim_endpoint {
    uint8_t ip[16];     /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

struct even__sim_socket {
    even_loop *loop;
    int32_t fd;                     /* -1: not accepted yet, or closed */
    uint16_t family;
    uint8_t state;                  /* enum even__sim_socket_state */
    bool orphan;                    /* closed, but not forgotten */
    bool dead;                      /* to be freed once it has been served */
    bool is_bound, only_v6, reuse, resets;
    bool fin, shut_read, shut_write;
    int error;                      /* to be told once */
    struct even__sim_endpoint local, remote;
    struct even__sim_socket *peer, *bound_next;
    even_handle all, active;

    even_handle in, out, polls;     /* operations that wait, */
    even_handle canceled;           /* and those that shall not, and were not the first of theirs */
    uint32_t pending;               /* how many there are */
    even_op *connect;               /* the one that began to connect */
    even_watch *watch[2];           /* for reading, for writing */

    /* What is on its way, and what has come. */
    even_timer arrival;
    struct even__sim_segment segment[EVEN__SIM_SEGMENTS];
    uint32_t first_segment, segments;
    unsigned char *ring;
    uint32_t capacity, head, used, readable, window;

    /* A listener's. */
    even_handle accepted, waiting;  /* connections in its backlog, and those that find no room in it */
    even_handle link;               /* in one of the two */
    uint32_t queued, backlog;
};

static inline struct even__sim_state *even__sim_state_of(const struct even__sim_socket *s)
{
    return even__sim_of(s->loop);
}

static inline void even__sim_mark(struct even__sim_socket *s)
{
    if (!s->active.next)
        even__queue_append(&even__sim_state_of(s)->active, &s->active);
}

static inline struct even__sim_socket *even__sim_find(const struct even__sim_state *sim, int fd)
{
    uint32_t i = (uint32_t)fd - EVEN__SIM_FD;
    return fd >= EVEN__SIM_FD && i < sim->fds ? sim->slot[i].by_fd : NULL;
}

/* For the calls on a socket: what is wrong with a descriptor that is none of ours. */
static inline int even__sim_no_socket(int fd)
{
    return fd >= 0 && fd < EVEN__SIM_FD ? -EOPNOTSUPP : -EBADF;
}

/* sim_net.c */
socklen_t even__sim_format(const struct even__sim_socket *s, const struct even__sim_endpoint *e,
                           struct sockaddr_storage *out);
struct even__sim_socket *even__sim_find_listener(struct even__sim_state *sim, const struct even__sim_endpoint *e);
int even__sim_route(const struct even__sim_socket *s, const void *address, size_t length,
                    struct even__sim_endpoint *local, struct even__sim_endpoint *to);
int even__sim_bind(struct even__sim_socket *s, struct even__sim_endpoint e);   /* port 0: one that is free */
void even__sim_unbind(struct even__sim_socket *s);

/* sim_tcp.c */
struct even__sim_socket *even__sim_socket_new(struct even__sim_state *sim, int family);    /* NULL: no memory */
int even__sim_fd_new(struct even__sim_socket *s);       /* its descriptor */
void even__sim_deliver(struct even__sim_socket *to, uint32_t bytes, uint32_t flags);
void even__sim_close(struct even__sim_socket *s);
void even__sim_socket_free(struct even__sim_socket *s);     /* its peer must know already that it is gone */
/* What the system call of that name gives, or EVEN__SIM_WAITS. */
int even__sim_recv(struct even__sim_socket *s, void *buffer, size_t length, uint32_t flags);
int even__sim_send(struct even__sim_socket *s, const void *buffer, size_t length);
int even__sim_accept(struct even__sim_socket *s, even_op *op);
int even__sim_connect(struct even__sim_socket *s, even_op *op);
int even__sim_readiness(const struct even__sim_socket *s);      /* as poll(2) says it */

/* sim_op.c: where an operation of this socket waits */
even_handle *even__sim_queue_of(struct even__sim_socket *s, const even_op *op);

#endif
