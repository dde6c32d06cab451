/* The simulated backend's inside, and the knobs by which tests make its network misbehave. */
#ifndef EVEN__SIM_H
#define EVEN__SIM_H

#include "../loop/loop.h"

enum {
    EVEN__SIM_FD = 1 << 20,             /* the first simulated descriptor: no real one is ever that high */
    EVEN__SIM_WINDOW = 64 * 1024,       /* bytes that one direction holds, in flight and unread; SO_RCVBUF changes it */
    EVEN__SIM_LATENCY = 50 * 1000,      /* ns: nothing arrives in the instant in which it was sent */
    EVEN__SIM_PORTS = 256,
};

struct even__sim_socket;

/* What must be at hand for each socket, so that only making one can fail for want of memory. */
struct even__sim_slot {
    struct even__sim_socket *by_fd;     /* the socket of descriptor EVEN__SIM_FD + its index */
    struct even__sim_socket *shuffled;  /* scratch of a poll */
    uint32_t free_fd;                   /* a stack of closed descriptors: the last one is used first */
};

struct even__sim_state {
    even_loop *loop;
    int64_t now;                        /* ns; begins at 0 */
    int jobs;                           /* that other threads have in work */
    bool progress;                      /* this poll has completed something */
    bool closing;
    int wake_fd;
    _Atomic bool woken;                 /* since the last poll */
    even_handle strays;                 /* operations on no simulated socket: over at the next poll */

    int64_t latency;
    uint32_t fail_accepts;
    int fail_accepts_with;
    struct even__timers arrivals;       /* of each socket the next one */
    uint32_t arrival_order;
    even_handle all, active;            /* sockets; those that something happened to */
    struct even__sim_socket *current;   /* is being served: freed afterwards */
    struct even__sim_socket *spare;     /* freed ones, with their buffers */
    struct even__sim_slot *slot;
    uint32_t sockets, capacity, fds, free_fds;
    uint16_t next_port;
    struct even__sim_socket *bound[EVEN__SIM_PORTS];   /* by port */
};

static inline struct even__sim_state *even__sim_of(even_loop *loop)
{
    return loop->backend_state;
}

/* Is that so, as the seed will have it? Never without a seed. */
static inline bool even__sim_perhaps(even_loop *loop)
{
    return loop->seeded && (even__random(&loop->random) & 1);
}

static inline void even__sim_done(struct even__sim_state *sim, even_op *op, int32_t result)
{
    sim->progress = true;
    even__op_done(op, result);
}

/* sim_net.c, sim_op.c */
extern const struct even__net even__sim_net;
void even__sim_net_open(struct even__sim_state *sim);
void even__sim_net_close(struct even__sim_state *sim);      /* ends what is pending, frees all */
bool even__sim_net_start(struct even__sim_state *sim, even_op *op);     /* false: no socket of ours */
void even__sim_net_cancel(struct even__sim_state *sim, even_op *op);
ssize_t even__sim_net_receive(struct even__sim_state *sim, int fd, void *buffer, size_t length);
int even__sim_net_watch(struct even__sim_state *sim, even_watch *watch);
void even__sim_net_unwatch(struct even__sim_state *sim, even_watch *watch);
void even__sim_net_run(struct even__sim_state *sim);        /* deliver what is due, serve the sockets */
int64_t even__sim_net_next(struct even__sim_state *sim);    /* when the next thing arrives; INT64_MAX: nothing does */

/* sim_check.c */
bool even__sim_is_valid(even_loop *loop);

/* sim_script.c: the seed of the options, or else of EVENLOOP_SEED; -EINVAL, with a report, for what is none. */
int even__sim_read_seed(even_loop *loop, const even_loop_options *options);

/* Knobs. The latency is that of each segment; with a seed, each takes between 1 ns and twice as long. */
void even__sim_set_latency(even_loop *loop, int64_t ns);
/* The next `count` accepts fail at once with -`error` (EMFILE, ...); what came in stays in the backlog. */
void even__sim_fail_accepts(even_loop *loop, uint32_t count, int error);

#endif
