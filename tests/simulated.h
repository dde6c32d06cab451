/* What the tests of the simulation share: operations whose end stops the run, and sockets. */
#ifndef EVEN_TEST_SIMULATED_H
#define EVEN_TEST_SIMULATED_H

#define TEST_ON TEST_SIM
#include "test.h"
#include "backend/jobs.h"
#include "backend/sim.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LATENCY = EVEN__SIM_LATENCY, WINDOW = EVEN__SIM_WINDOW };

/* ---- helpers: an operation whose end stops the run ---- */

struct act {
    even_op op;
    bool done;
};

static const struct act *awaited;

static inline void act_done(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, op.handle);
    a->done = true;
    if (a == awaited)
        even_loop_stop(a->op.loop);
}

static inline struct act *act(even_loop *loop, struct act *a)
{
    even_op_init(&a->op, loop, act_done);
    a->done = false;
    return a;
}

/* Run the loop until it is over. */
static inline int end_of(struct act *a)
{
    awaited = a;
    if (!a->done)
        assert_int_equal(even_loop_run_forever(a->op.loop), 0);
    awaited = NULL;
    assert_true(a->done);
    return a->op.result;
}

static inline int do_connect(even_loop *loop, int fd, const struct sockaddr_storage *address, socklen_t length)
{
    struct act a;
    even_op_connect(&act(loop, &a)->op, fd, (const struct sockaddr *)address, length);
    return end_of(&a);
}

static inline int do_accept(even_loop *loop, int fd)
{
    struct act a;
    even_op_accept(&act(loop, &a)->op, fd, NULL, NULL, 0);
    return end_of(&a);
}

static inline int do_recv(even_loop *loop, int fd, void *buffer, size_t size)
{
    struct act a;
    even_op_recv(&act(loop, &a)->op, fd, buffer, size, 0);
    return end_of(&a);
}

static inline int do_send(even_loop *loop, int fd, const void *buffer, size_t size)
{
    struct act a;
    even_op_send(&act(loop, &a)->op, fd, buffer, size, 0);
    return end_of(&a);
}

static inline int do_close(even_loop *loop, int fd)
{
    struct act a;
    even_op_close(&act(loop, &a)->op, fd);
    return end_of(&a);
}

static inline even_loop *new_loop(uint64_t seed)
{
    even_loop *loop;
    assert_int_equal(even_loop_new(&loop, &(even_loop_options){ .backend = "sim", .seed = seed }), 0);
    return loop;
}

static inline const struct even__net *net_of(even_loop *loop)
{
    return loop->backend->net;
}

static inline int new_socket(even_loop *loop, int family)
{
    int fd = net_of(loop)->socket(loop, family, SOCK_STREAM, 0);
    assert_true(fd >= EVEN__SIM_FD);
    return fd;
}

static inline const struct sockaddr *v4(struct sockaddr_in *in, const char *ip, int port)
{
    *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    unsigned part[4];
    assert_int_equal(sscanf(ip, "%u.%u.%u.%u", part, part + 1, part + 2, part + 3), 4);
    in->sin_addr.s_addr = htonl(part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3]);
    return (const struct sockaddr *)in;
}

/* A listener on a port of its own; its address comes back. */
static inline int new_listener(even_loop *loop, int family, int backlog, struct sockaddr_storage *address,
                               socklen_t *length)
{
    int fd = new_socket(loop, family);
    assert_int_equal(net_of(loop)->listen(loop, fd, backlog), 0);
    assert_int_equal(net_of(loop)->name(loop, fd, false, address, length), 0);
    return fd;
}

/* Two connected sockets. */
static inline void new_pair(even_loop *loop, int *client, int *server)
{
    struct sockaddr_storage address;
    socklen_t length;
    int listener = new_listener(loop, AF_INET, 1, &address, &length);
    *client = new_socket(loop, AF_INET);
    assert_int_equal(do_connect(loop, *client, &address, length), 0);
    *server = do_accept(loop, listener);
    assert_true(*server >= EVEN__SIM_FD);
    assert_int_equal(net_of(loop)->close(loop, listener), 0);
}

static inline struct even__sim_state *state(even_loop *loop)
{
    return even__sim_of(loop);
}

#endif
