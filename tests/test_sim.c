/* The simulated backend at the callback level: virtual time, the network in memory, seeds. */
#define TEST_ON TEST_SIM
#include "test.h"
#include "backend/jobs.h"
#include "backend/sim.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
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

static void act_done(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, op.handle);
    a->done = true;
    if (a == awaited)
        even_loop_stop(a->op.loop);
}

static struct act *act(even_loop *loop, struct act *a)
{
    even_op_init(&a->op, loop, act_done);
    a->done = false;
    return a;
}

/* Run the loop until it is over. */
static int end_of(struct act *a)
{
    awaited = a;
    if (!a->done)
        assert_int_equal(even_loop_run_forever(a->op.loop), 0);
    awaited = NULL;
    assert_true(a->done);
    return a->op.result;
}

static int do_connect(even_loop *loop, int fd, const struct sockaddr_storage *address, socklen_t length)
{
    struct act a;
    even_op_connect(&act(loop, &a)->op, fd, (const struct sockaddr *)address, length);
    return end_of(&a);
}

static int do_accept(even_loop *loop, int fd)
{
    struct act a;
    even_op_accept(&act(loop, &a)->op, fd, NULL, NULL, 0);
    return end_of(&a);
}

static int do_recv(even_loop *loop, int fd, void *buffer, size_t size)
{
    struct act a;
    even_op_recv(&act(loop, &a)->op, fd, buffer, size, 0);
    return end_of(&a);
}

static int do_send(even_loop *loop, int fd, const void *buffer, size_t size)
{
    struct act a;
    even_op_send(&act(loop, &a)->op, fd, buffer, size, 0);
    return end_of(&a);
}

static int do_close(even_loop *loop, int fd)
{
    struct act a;
    even_op_close(&act(loop, &a)->op, fd);
    return end_of(&a);
}

static even_loop *new_loop(uint64_t seed)
{
    even_loop *loop;
    assert_int_equal(even_loop_new(&loop, &(even_loop_options){ .backend = "sim", .seed = seed }), 0);
    return loop;
}

static const struct even__net *net_of(even_loop *loop)
{
    return loop->backend->net;
}

static int new_socket(even_loop *loop, int family)
{
    int fd = net_of(loop)->socket(loop, family, SOCK_STREAM, 0);
    assert_true(fd >= EVEN__SIM_FD);
    return fd;
}

static const struct sockaddr *v4(struct sockaddr_in *in, const char *ip, int port)
{
    *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    unsigned part[4];
    assert_int_equal(sscanf(ip, "%u.%u.%u.%u", part, part + 1, part + 2, part + 3), 4);
    in->sin_addr.s_addr = htonl(part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3]);
    return (const struct sockaddr *)in;
}

/* A listener on a port of its own; its address comes back. */
static int new_listener(even_loop *loop, int family, int backlog, struct sockaddr_storage *address, socklen_t *length)
{
    int fd = new_socket(loop, family);
    assert_int_equal(net_of(loop)->listen(loop, fd, backlog), 0);
    assert_int_equal(net_of(loop)->name(loop, fd, false, address, length), 0);
    return fd;
}

/* Two connected sockets. */
static void new_pair(even_loop *loop, int *client, int *server)
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

static struct even__sim_state *state(even_loop *loop)
{
    return even__sim_of(loop);
}

/* ---- time ---- */

struct tick {
    even_timer timer;
    even_loop *loop;
    int id;
    bool last;
};
static int ticks[8], ticked;
static int64_t tick_times[8];

static void tick(even_handle *h)
{
    struct tick *t = even_container_of(h, struct tick, timer.handle);
    tick_times[ticked] = even_time_ns(t->loop);
    ticks[ticked++] = t->id;
    if (t->last)
        even_loop_stop(t->loop);
}

TEST(sleeps_take_no_time_and_come_in_order)
{
    even_loop *loop = new_loop(0);
    struct tick t[4];
    static const double delays[] = { 3600 * 24 * 365.0, 1, 2, 1 };
    assert_int_equal(even_time_ns(loop), 0);
    for (int i = 0; i < 4; i++) {
        t[i] = (struct tick){ EVEN_TIMER(tick), loop, i, i == 0 };
        assert_int_equal(even_call_later(loop, &t[i].timer, delays[i]), 0);
    }
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(ticked, 4);
    static const int order[] = { 1, 3, 2, 0 };
    assert_memory_equal(ticks, order, sizeof order);
    assert_int_equal(tick_times[0], 1000000000);
    assert_int_equal(tick_times[1], 1000000000);
    assert_int_equal(tick_times[2], 2000000000);
    assert_int_equal(even_time_ns(loop), INT64_C(31536000) * 1000000000);
    even_loop_close(loop);
}

TEST(a_seed_permutes_equal_deadlines_and_nothing_else)
{
    bool seen[6] = { false };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        even_loop *loop = new_loop(seed);
        struct tick t[4];
        ticked = 0;
        for (int i = 0; i < 4; i++) {
            t[i] = (struct tick){ EVEN_TIMER(tick), loop, i, i == 3 };
            assert_int_equal(even_call_later(loop, &t[i].timer, i == 3 ? 2 : 1), 0);
        }
        assert_int_equal(even_loop_run_forever(loop), 0);
        assert_int_equal(ticked, 4);
        assert_int_equal(ticks[3], 3);
        seen[ticks[0] * 2 + (ticks[1] > ticks[2])] = true;
        even_loop_close(loop);
    }
    for (int i = 0; i < 6; i++)
        assert_true(seen[i]);
}

TEST(nothing_to_wait_for_is_a_deadlock)
{
    even_loop *loop = new_loop(0);
    struct act a;
    char byte;
    int client, server;
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    new_pair(loop, &client, &server);
    even_op_recv(&act(loop, &a)->op, client, &byte, 1, 0);
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_true(even_op_is_pending(&a.op));
    assert_int_equal(do_send(loop, server, "x", 1), 1);     /* the loop is as good as before */
    assert_int_equal(end_of(&a), 1);
    even_loop_close(loop);
}

TEST(a_seed_that_is_no_number_is_refused)
{
    even_loop *loop = NULL;
    setenv("EVENLOOP_SEED", "seven", 1);
    assert_int_equal(even_loop_new(&loop, NULL), -EINVAL);
    assert_null(loop);
    setenv("EVENLOOP_SEED", "", 1);
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_false(loop->seeded);
    even_loop_close(loop);
}

/* ---- another thread ---- */

struct thread_job {
    even_handle done;
    even_loop *loop;
    int gate;               /* a pipe's end: it works until something comes */
    bool came;
};

static void thread_job_done(even_handle *h)
{
    struct thread_job *j = even_container_of(h, struct thread_job, done);
    j->came = true;
    even__sim_jobs(j->loop, -1);
    assert_int_equal(even_time_ns(j->loop), 0);     /* time stood still meanwhile */
}

static void *thread_job_run(void *argument)
{
    struct thread_job *j = argument;
    char byte;
    if (read(j->gate, &byte, 1) != 1)
        abort();
    even_call_soon_threadsafe(j->loop, &j->done);
    return NULL;
}

static void open_gate(even_handle *h)
{
    struct tick *t = even_container_of(h, struct tick, timer.handle);
    assert_int_equal(write(t->id, "x", 1), 1);
}

TEST(time_stands_still_while_a_job_runs_in_another_thread)
{
    even_loop *loop = new_loop(0);
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    struct thread_job j = { .done = EVEN_HANDLE(thread_job_done), .loop = loop, .gate = gate[0] };
    struct tick end = { EVEN_TIMER(tick), loop, 1, true }, open = { EVEN_TIMER(open_gate), loop, gate[1], false };
    pthread_t thread;
    uint64_t one = 1;
    even__sim_jobs(loop, 1);
    assert_int_equal(pthread_create(&thread, NULL, thread_job_run, &j), 0);
    even_call_later(loop, &end.timer, 1);
    /* It waits on the wake-up descriptor for real, though a timer is set; and comes back from one that says nothing. */
    assert_int_equal(write(loop->wake_fd, &one, sizeof one), sizeof one);
    assert_int_equal(even__loop_enter(loop), 0);
    assert_int_equal(even__loop_pass(loop, true), 0);
    even__loop_leave(loop);
    assert_int_equal(loop->wake_value, 1);
    assert_int_equal(ticked, 0);
    even_call_soon(loop, &open.timer.handle);       /* the loop is on its way to sleep when the job may end */
    int rc = even_loop_run_forever(loop);
    pthread_join(thread, NULL);
    assert_int_equal(rc, 0);
    assert_true(j.came);
    assert_int_equal(even_time_ns(loop), 1000000000);
    even_loop_close(loop);
    close(gate[0]);
    close(gate[1]);
}

TEST(a_push_from_a_thread_that_is_not_announced_is_still_taken)
{
    even_loop *loop = new_loop(0);
    struct tick t = { EVEN_TIMER(tick), loop, 1, true };
    assert_int_equal(even_call_soon_threadsafe(loop, &t.timer.handle), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(ticked, 1);
    even_loop_close(loop);
}

/* ---- the network ---- */

TEST(a_connection_takes_its_time_and_echoes)
{
    even_loop *loop = new_loop(0);
    struct sockaddr_storage address, name;
    socklen_t length, name_length, peer_length = sizeof name;
    struct act a;
    char buffer[16];
    int listener = new_listener(loop, AF_INET, 1, &address, &length), client = new_socket(loop, AF_INET);
    even_op_accept(&act(loop, &a)->op, listener, (struct sockaddr *)&name, &peer_length, 0);
    assert_int_equal(do_connect(loop, client, &address, length), 0);
    assert_int_equal(even_time_ns(loop), 2 * LATENCY);      /* SYN, and back */
    int server = end_of(&a);

    struct sockaddr_storage mine;
    assert_int_equal(net_of(loop)->name(loop, client, false, &mine, &name_length), 0);
    assert_int_equal(peer_length, sizeof(struct sockaddr_in));
    assert_memory_equal(&mine, &name, peer_length);
    assert_int_equal(net_of(loop)->name(loop, client, true, &name, &name_length), 0);
    assert_int_equal(((struct sockaddr_in *)&name)->sin_port, ((struct sockaddr_in *)&address)->sin_port);
    assert_int_equal(ntohl(((struct sockaddr_in *)&name)->sin_addr.s_addr), INADDR_LOOPBACK);

    int64_t before = even_time_ns(loop);
    assert_int_equal(do_send(loop, client, "hello", 5), 5);
    assert_int_equal(even_time_ns(loop), before);
    assert_int_equal(do_recv(loop, server, buffer, 3), 3);
    assert_int_equal(even_time_ns(loop), before + LATENCY);
    assert_int_equal(do_recv(loop, server, buffer + 3, sizeof buffer - 3), 2);
    assert_int_equal(do_send(loop, server, buffer, 5), 5);
    assert_int_equal(do_recv(loop, client, buffer, sizeof buffer), 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(even_time_ns(loop), before + 2 * LATENCY);
    assert_int_equal(do_close(loop, client), 0);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 0);
    assert_int_equal(do_close(loop, server), 0);
    assert_int_equal(do_close(loop, listener), 0);
    assert_int_equal(do_close(loop, listener), -EBADF);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(both_families_meet_on_a_dual_listener)
{
    even_loop *loop = new_loop(0);
    struct sockaddr_storage address, name;
    socklen_t length;
    struct sockaddr_in in;
    int listener = new_listener(loop, AF_INET6, 4, &address, &length);
    int port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    int six = new_socket(loop, AF_INET6), four = new_socket(loop, AF_INET);
    assert_int_equal(do_connect(loop, six, &address, length), 0);
    memcpy(&address, v4(&in, "127.0.0.1", port), sizeof in);
    assert_int_equal(do_connect(loop, four, &address, sizeof in), 0);
    int six_server = do_accept(loop, listener), four_server = do_accept(loop, listener);
    assert_int_equal(net_of(loop)->name(loop, six_server, true, &name, &length), 0);
    assert_true(IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&name)->sin6_addr));
    assert_int_equal(net_of(loop)->name(loop, four_server, true, &name, &length), 0);
    assert_true(IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&name)->sin6_addr));

    int only = new_socket(loop, AF_INET6);
    assert_int_equal(net_of(loop)->set_option(loop, only, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(99) };
    assert_int_equal(net_of(loop)->bind(loop, only, (struct sockaddr *)&in6, sizeof in6), 0);
    assert_int_equal(net_of(loop)->listen(loop, only, 4), 0);
    int other = new_socket(loop, AF_INET);
    assert_int_equal(net_of(loop)->bind(loop, other, v4(&in, "0.0.0.0", 99), sizeof in), 0);
    int refused = new_socket(loop, AF_INET);
    memcpy(&address, v4(&in, "127.0.0.1", 99), sizeof in);
    assert_int_equal(do_connect(loop, refused, &address, sizeof in), -ECONNREFUSED);
    even_loop_close(loop);
}

TEST(addresses_are_refused_as_the_kernel_does)
{
    even_loop *loop = new_loop(0);
    const struct even__net *net = net_of(loop);
    struct sockaddr_in in;
    struct sockaddr_storage address;
    int a = new_socket(loop, AF_INET), b = new_socket(loop, AF_INET);
    assert_int_equal(net->socket(loop, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
    assert_int_equal(net->socket(loop, AF_INET, SOCK_DGRAM, 0), -EPROTONOSUPPORT);
    assert_int_equal(net->bind(loop, a, v4(&in, "192.0.2.1", 80), sizeof in), -EADDRNOTAVAIL);
    assert_int_equal(net->bind(loop, a, v4(&in, "127.0.0.1", 80), 3), -EINVAL);
    assert_int_equal(net->bind(loop, a, v4(&in, "127.0.0.1", 80), sizeof in), 0);
    assert_int_equal(net->bind(loop, a, v4(&in, "127.0.0.1", 81), sizeof in), -EINVAL);
    assert_int_equal(net->bind(loop, b, v4(&in, "0.0.0.0", 80), sizeof in), -EADDRINUSE);
    net->set_option(loop, a, SOL_SOCKET, SO_REUSEADDR, 1);
    net->set_option(loop, b, SOL_SOCKET, SO_REUSEADDR, 1);
    assert_int_equal(net->bind(loop, b, v4(&in, "0.0.0.0", 80), sizeof in), 0);
    assert_int_equal(net->listen(loop, a, 1), 0);
    assert_int_equal(net->listen(loop, b, 1), -EADDRINUSE);
    int c = new_socket(loop, AF_INET);
    net->set_option(loop, c, SOL_SOCKET, SO_REUSEADDR, 1);
    assert_int_equal(net->bind(loop, c, v4(&in, "127.0.0.1", 80), sizeof in), -EADDRINUSE);
    assert_int_equal(net->bind(loop, c, v4(&in, "127.0.0.2", 80), sizeof in), 0);
    memcpy(&address, v4(&in, "192.0.2.1", 80), sizeof in);
    assert_int_equal(do_connect(loop, new_socket(loop, AF_INET), &address, sizeof in), -ENETUNREACH);
    assert_int_equal(net->close(loop, a), 0);
    assert_int_equal(net->close(loop, b), 0);
    a = new_socket(loop, AF_INET);
    assert_int_equal(net->bind(loop, a, v4(&in, "127.0.0.1", 80), sizeof in), 0);
    assert_int_equal(net->set_option(loop, a, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    assert_int_equal(net->set_option(loop, a, SOL_SOCKET, SO_REUSEPORT, 1), -ENOPROTOOPT);
    assert_int_equal(net->listen(loop, 0, 1), -EOPNOTSUPP);
    assert_int_equal(net->listen(loop, -1, 1), -EBADF);
    even_loop_close(loop);
}

TEST(nobody_listens)
{
    even_loop *loop = new_loop(0);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = new_listener(loop, AF_INET, 1, &address, &length), client = new_socket(loop, AF_INET);
    assert_int_equal(net_of(loop)->close(loop, listener), 0);
    assert_int_equal(do_connect(loop, client, &address, length), -ECONNREFUSED);
    assert_int_equal(even_time_ns(loop), 2 * LATENCY);
    char byte;
    assert_int_equal(do_recv(loop, client, &byte, 1), -ENOTCONN);
    assert_int_equal(do_send(loop, client, "x", 1), -EPIPE);
    assert_int_equal(net_of(loop)->shutdown(loop, client, SHUT_WR), -ENOTCONN);
    assert_int_equal(net_of(loop)->close(loop, client), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(a_full_backlog_keeps_connections_waiting)
{
    even_loop *loop = new_loop(0);
    struct sockaddr_storage address;
    socklen_t length;
    struct act a[4];
    int fd[4], listener = new_listener(loop, AF_INET, 1, &address, &length);
    for (int i = 0; i < 4; i++) {
        fd[i] = new_socket(loop, AF_INET);
        even_op_connect(&act(loop, &a[i])->op, fd[i], (struct sockaddr *)&address, length);
    }
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);     /* a backlog of 1 holds 2, as in Linux */
    assert_true(a[0].done && a[1].done && !a[2].done && !a[3].done);
    int server = do_accept(loop, listener);
    assert_int_equal(end_of(&a[2]), 0);
    assert_false(a[3].done);
    assert_int_equal(net_of(loop)->close(loop, listener), 0);
    assert_int_equal(end_of(&a[3]), -ECONNREFUSED);
    char byte;
    assert_int_equal(do_recv(loop, fd[1], &byte, 1), -ECONNRESET);      /* it was in the backlog */
    assert_int_equal(do_send(loop, server, "x", 1), 1);
    assert_int_equal(do_recv(loop, fd[0], &byte, 1), 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(net_of(loop)->close(loop, fd[i]), 0);
    assert_int_equal(net_of(loop)->close(loop, server), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(a_half_close_lets_the_other_half_go_on)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char buffer[16];
    new_pair(loop, &client, &server);
    assert_int_equal(do_send(loop, client, "last words", 10), 10);
    assert_int_equal(net_of(loop)->shutdown(loop, client, SHUT_WR), 0);
    assert_int_equal(do_send(loop, client, "x", 1), -EPIPE);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 10);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 0);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 0);
    assert_int_equal(do_send(loop, server, "answer", 6), 6);
    assert_int_equal(do_recv(loop, client, buffer, sizeof buffer), 6);
    assert_int_equal(do_close(loop, server), 0);
    assert_int_equal(do_recv(loop, client, buffer, sizeof buffer), 0);
    assert_int_equal(do_close(loop, client), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(a_reset_comes_after_the_bytes_and_is_told_once)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char buffer[16];
    new_pair(loop, &client, &server);
    assert_int_equal(do_send(loop, client, "bytes", 5), 5);
    assert_int_equal(net_of(loop)->set_option(loop, client, SOL_SOCKET, SO_LINGER, 0), 0);
    assert_int_equal(do_close(loop, client), 0);
    assert_int_equal(do_send(loop, server, "lost", 4), 4);          /* it has not heard yet */
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 5);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), -ECONNRESET);
    assert_int_equal(do_recv(loop, server, buffer, sizeof buffer), 0);
    assert_int_equal(do_send(loop, server, "x", 1), -EPIPE);
    assert_int_equal(do_close(loop, server), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(closing_over_unread_bytes_resets)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char byte;
    new_pair(loop, &client, &server);
    assert_int_equal(do_send(loop, client, "unread", 6), 6);
    assert_int_equal(do_recv(loop, server, &byte, 1), 1);
    assert_int_equal(do_close(loop, server), 0);
    struct act a;
    even_op_recv(&act(loop, &a)->op, client, &byte, 1, 0);          /* one that waits already */
    assert_int_equal(end_of(&a), -ECONNRESET);
    assert_int_equal(do_close(loop, client), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(bytes_to_a_closed_socket_are_answered_by_a_reset)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char byte;
    new_pair(loop, &client, &server);
    assert_int_equal(do_close(loop, server), 0);
    assert_int_equal(do_recv(loop, client, &byte, 1), 0);
    assert_int_equal(do_send(loop, client, "x", 1), 1);             /* that is allowed: it could be a half-close */
    struct sockaddr_storage address;
    socklen_t length;
    int again = new_socket(loop, AF_INET);          /* and its port is free */
    assert_int_equal(net_of(loop)->name(loop, client, true, &address, &length), 0);
    assert_int_equal(net_of(loop)->bind(loop, again, (struct sockaddr *)&address, length), 0);
    assert_int_equal(net_of(loop)->close(loop, again), 0);
    struct act a;
    even_op_poll(&act(loop, &a)->op, client, 0);
    assert_int_equal(end_of(&a), POLLERR | POLLHUP);
    assert_int_equal(do_send(loop, client, "x", 1), -EPIPE);
    assert_int_equal(do_close(loop, client), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(who_does_not_read_makes_the_sender_wait)
{
    even_loop *loop = new_loop(0);
    int client, server, n;
    static char out[WINDOW + 1000], in[WINDOW + 1000];
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (char)(i * 7 / 3);
    new_pair(loop, &client, &server);
    assert_int_equal(do_send(loop, client, out, sizeof out), WINDOW);
    struct act a;
    even_op_send(&act(loop, &a)->op, client, out + WINDOW, 1000, 0);
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_int_equal(do_recv(loop, server, in, 400), 400);
    assert_int_equal(end_of(&a), 400);                              /* as much as there is room for */
    size_t got = 400;
    while (got < WINDOW + 400) {
        assert_true((n = do_recv(loop, server, in + got, sizeof in - got)) > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, WINDOW + 400);
    assert_memory_equal(in, out, got);

    assert_int_equal(net_of(loop)->set_option(loop, server, SOL_SOCKET, SO_RCVBUF, 10), 0);
    assert_int_equal(do_send(loop, client, out, sizeof out), 10);
    assert_int_equal(net_of(loop)->set_option(loop, server, SOL_SOCKET, SO_RCVBUF, 5), 0);
    even_op_send(&act(loop, &a)->op, client, out, 1, MSG_DONTWAIT);
    assert_int_equal(end_of(&a), -EAGAIN);
    even_op_send(&act(loop, &a)->op, client, out, 1, 0);            /* the peer's end wakes it */
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_int_equal(net_of(loop)->close(loop, server), 0);
    assert_int_equal(end_of(&a), -ECONNRESET);
    even_loop_close(loop);
}

TEST(operations_of_one_direction_end_in_their_order)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char buffer[3];
    struct act r[3], s[3];
    new_pair(loop, &client, &server);
    for (int i = 0; i < 3; i++)
        even_op_recv(&act(loop, &r[i])->op, server, buffer + i, 1, 0);
    for (int i = 0; i < 3; i++)
        even_op_send(&act(loop, &s[i])->op, client, &"abc"[i], 1, 0);
    assert_int_equal(end_of(&r[2]), 1);
    assert_true(r[0].done && r[1].done);
    assert_memory_equal(buffer, "abc", 3);
    even_op_recv(&act(loop, &r[0])->op, server, buffer, 1, MSG_PEEK);
    assert_int_equal(do_send(loop, client, "z", 1), 1);
    assert_int_equal(end_of(&r[0]), 1);
    assert_int_equal(buffer[0], 'z');
    assert_int_equal(do_recv(loop, server, buffer + 1, 2), 1);
    assert_int_equal(buffer[1], 'z');
    even_loop_close(loop);
}

static struct act started_inside;

static void start_another(even_op *op)
{
    even_loop *loop = op->loop;
    even_op_recv(&act(loop, &started_inside)->op, op->fd, (char *)op->buffer + 2, 1, 0);
    even__call_soon(loop, &op->handle);
}

TEST(what_a_completion_starts_comes_behind_what_waits)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char buffer[3];
    struct act first, second;
    new_pair(loop, &client, &server);
    even_op_recv(&act(loop, &first)->op, server, buffer, 1, 0);
    first.op.complete = start_another;
    even_op_recv(&act(loop, &second)->op, server, buffer + 1, 1, 0);
    assert_int_equal(do_send(loop, client, "a", 1), 1);
    assert_int_equal(end_of(&first), 1);
    assert_int_equal(do_send(loop, client, "bc", 2), 2);
    assert_int_equal(end_of(&started_inside), 1);
    assert_true(second.done);
    assert_memory_equal(buffer, "abc", 3);
    even_loop_close(loop);
}

struct busy {
    even_handle handle;
    even_loop *loop;
    int passes;
};

static void be_busy(even_handle *h)
{
    struct busy *b = even_container_of(h, struct busy, handle);
    b->passes++;
    even_call_soon(b->loop, h);
}

TEST(a_busy_loop_still_sees_the_network)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char byte;
    struct busy b = { EVEN_HANDLE(be_busy), loop, 0 };
    new_pair(loop, &client, &server);
    even__sim_set_latency(loop, 0);
    even_call_soon(loop, &b.handle);
    assert_int_equal(do_send(loop, client, "x", 1), 1);
    assert_int_equal(do_recv(loop, server, &byte, 1), 1);
    assert_true(b.passes < 8);
    even_loop_close(loop);
}

TEST(what_is_cancelled_loses_nothing)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char byte = 'u';
    struct act a, b;
    new_pair(loop, &client, &server);
    even_op_recv(&act(loop, &a)->op, server, &byte, 1, 0);
    even_op_recv(&act(loop, &b)->op, server, &byte, 1, 0);
    even_op_cancel(&a.op);
    assert_true(even_op_is_pending(&a.op));         /* it is over in a poll, not before */
    even_op_cancel(&a.op);
    assert_int_equal(end_of(&a), -ECANCELED);
    assert_false(b.done);
    assert_int_equal(do_send(loop, client, "xy", 2), 2);
    assert_int_equal(end_of(&b), 1);
    assert_int_equal(byte, 'x');
    even_op_recv(&act(loop, &a)->op, server, &byte, 1, 0);
    even_op_cancel(&a.op);                          /* before any poll has seen it */
    assert_int_equal(end_of(&a), -ECANCELED);
    assert_int_equal(byte, 'x');
    assert_int_equal(do_recv(loop, server, &byte, 1), 1);
    assert_int_equal(byte, 'y');

    /* One behind another that waits; and an accept. */
    even_op_recv(&act(loop, &a)->op, server, &byte, 1, 0);
    even_op_recv(&act(loop, &b)->op, server, &byte, 1, 0);
    even_op_cancel(&b.op);
    assert_int_equal(end_of(&b), -ECANCELED);
    assert_true(even_op_is_pending(&a.op));
    assert_int_equal(net_of(loop)->close(loop, server), -EBUSY);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = new_listener(loop, AF_INET, 1, &address, &length);
    even_op_accept(&act(loop, &b)->op, listener, NULL, NULL, 0);
    even_op_cancel(&b.op);
    assert_int_equal(end_of(&b), -ECANCELED);
    even_op_poll(&act(loop, &b)->op, listener, POLLIN);
    even_op_cancel(&b.op);
    assert_int_equal(end_of(&b), -ECANCELED);

    /* Closing the loop ends the rest. */
    struct act stray;
    even_op_poll(&act(loop, &stray)->op, loop->wake_fd, POLLIN);
    even_op_connect(&act(loop, &b)->op, new_socket(loop, AF_INET), (struct sockaddr *)&address, length);
    even_loop_close(loop);
    assert_false(even_op_is_pending(&a.op) || even_op_is_pending(&b.op) || even_op_is_pending(&stray.op));
    assert_int_equal(a.op.result, -ECANCELED);
    assert_int_equal(stray.op.result, -ECANCELED);
    assert_int_equal(b.op.result, -ECANCELED);
}

TEST(a_connection_given_up_leaves_nothing)
{
    even_loop *loop = new_loop(0);
    const struct even__net *net = net_of(loop);
    struct sockaddr_storage address;
    socklen_t length;
    struct act a;
    int listener = new_listener(loop, AF_INET, 0, &address, &length);
    for (int i = 0; i < 3; i++) {       /* one in the backlog, one that waits for room, one whose SYN is on its way */
        int fd = new_socket(loop, AF_INET);
        even_op_connect(&act(loop, &a)->op, fd, (struct sockaddr *)&address, length);
        if (i < 2)
            assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
        even_op_cancel(&a.op);
        if (!a.done)
            assert_int_equal(end_of(&a), -ECANCELED);
        assert_int_equal(net->close(loop, fd), 0);
    }
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_int_equal(state(loop)->sockets, 3);      /* the listener and what stands in its backlog */
    int server = do_accept(loop, listener);
    char byte;
    assert_int_equal(do_recv(loop, server, &byte, 1), 0);
    assert_int_equal(net->close(loop, server), 0);
    assert_int_equal(net->close(loop, listener), 0);
    assert_int_equal(state(loop)->sockets, 0);
    even_loop_close(loop);
}

TEST(accepts_fail_as_told_and_lose_no_connection)
{
    even_loop *loop = new_loop(0);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = new_listener(loop, AF_INET, 1, &address, &length), client = new_socket(loop, AF_INET);
    assert_int_equal(do_connect(loop, client, &address, length), 0);
    even__sim_fail_accepts(loop, 2, EMFILE);
    assert_int_equal(do_accept(loop, listener), -EMFILE);
    assert_int_equal(do_accept(loop, listener), -EMFILE);
    assert_true(do_accept(loop, listener) >= EVEN__SIM_FD);
    even_loop_close(loop);
}

TEST(latency_is_what_it_was_set_to)
{
    even_loop *loop = new_loop(0);
    int client, server;
    char byte;
    new_pair(loop, &client, &server);
    even__sim_set_latency(loop, 3000000000);
    int64_t before = even_time_ns(loop);
    assert_int_equal(do_send(loop, client, "x", 1), 1);
    assert_int_equal(do_recv(loop, server, &byte, 1), 1);
    assert_int_equal(even_time_ns(loop) - before, 3000000000);
    assert_int_equal(do_send(loop, client, "x", 1), 1);
    even__sim_set_latency(loop, 0);
    assert_int_equal(do_send(loop, client, "y", 1), 1);     /* may not overtake */
    assert_int_equal(do_recv(loop, server, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(even_time_ns(loop) - before, 6000000000);
    even_loop_close(loop);
}

TEST(real_descriptors_are_refused_where_they_would_wait)
{
    even_loop *loop = new_loop(0);
    struct act a;
    even_watch w;
    char buffer[4];
    int p[2];
    assert_int_equal(pipe(p), 0);
    even_op_read(&act(loop, &a)->op, p[0], buffer, 4);
    assert_int_equal(end_of(&a), -EOPNOTSUPP);
    even_op_write(&act(loop, &a)->op, p[1], "abcd", 4);
    assert_int_equal(end_of(&a), 4);
    even_op_read(&act(loop, &a)->op, p[0], buffer, 4);
    assert_int_equal(end_of(&a), 4);
    even_op_recv(&act(loop, &a)->op, p[0], buffer, 4, 0);
    assert_int_equal(end_of(&a), -EOPNOTSUPP);
    even_op_poll(&act(loop, &a)->op, p[0], POLLIN);
    even_op_cancel(&a.op);
    assert_int_equal(end_of(&a), -ECANCELED);
    assert_int_equal(even_watch_start(loop, &w, p[0], POLLIN, act_done), -EOPNOTSUPP);
    assert_int_equal(even_loop_fd(loop), -EOPNOTSUPP);
    assert_int_equal(do_close(loop, p[0]), 0);
    assert_int_equal(net_of(loop)->close(loop, p[1]), 0);
    assert_int_equal(do_close(loop, p[1]), -EBADF);
    even_loop_close(loop);
}

/* ---- readiness ---- */

struct reader {
    even_watch watch;
    int calls;
};

static void reader_ready(even_handle *h)
{
    struct reader *r = even_container_of(h, struct reader, watch.handle);
    if (++r->calls == 3)
        even_watch_stop(&r->watch);
    even_loop_stop(even_running_loop());
}

TEST(watches_are_level_triggered)
{
    even_loop *loop = new_loop(0);
    int client, server;
    struct reader r = { .calls = 0 };
    struct reader w = { .calls = 0 };
    new_pair(loop, &client, &server);
    assert_int_equal(even_watch_start(loop, &r.watch, server, POLLIN, reader_ready), 0);
    assert_int_equal(even_watch_start(loop, &w.watch, server, POLLIN, reader_ready), -EEXIST);
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_int_equal(do_send(loop, client, "x", 1), 1);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(even_loop_run_forever(loop), 0);
        assert_int_equal(r.calls, i);
        assert_int_equal(r.watch.ready, POLLIN);
    }
    assert_int_equal(even_loop_run_forever(loop), -EVEN_EDEADLOCK);
    assert_int_equal(even_watch_start(loop, &w.watch, server, POLLOUT, reader_ready), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w.watch.ready, POLLOUT);
    even_watch_stop(&w.watch);
    even_loop_close(loop);
}

/* ---- seeds: a small world whose every completion is written down ---- */

enum { CLIENTS = 5, BYTES = 20000 };

struct flow {
    struct world *world;
    int id, fd;
    even_op op;
    char *data;
    size_t at;
    void (*next)(struct flow *f);
};

struct world {
    even_loop *loop;
    struct flow out[CLIENTS], echo[CLIENTS], in[CLIENTS];
    struct flow listener;
    struct sockaddr_storage address;
    socklen_t length;
    char sent[CLIENTS][BYTES], got[CLIENTS][BYTES + 1], buffer[CLIENTS][5000];
    size_t buffered[CLIENTS];
    int accepted, ended;
    uint64_t hash, short_moves;
};

static void note(struct world *w, uint64_t what)
{
    w->hash = (w->hash ^ what) * 0x100000001b3u;
    w->hash = (w->hash ^ (uint64_t)even_time_ns(w->loop)) * 0x100000001b3u;
}

static void flow_done(even_handle *h)
{
    struct flow *f = even_container_of(h, struct flow, op.handle);
    note(f->world, (uint64_t)f->id << 32 | (uint32_t)f->op.result);
    if ((f->op.kind == EVEN_OP_SEND || f->op.kind == EVEN_OP_RECV) && (size_t)f->op.result < f->op.length)
        f->world->short_moves++;
    f->next(f);
}

static void flow_init(struct world *w, struct flow *f, int id, int fd, void (*next)(struct flow *f))
{
    *f = (struct flow){ .world = w, .id = id, .fd = fd, .next = next };
    even_op_init(&f->op, w->loop, flow_done);
}

static void sent_some(struct flow *f)
{
    assert_true(f->op.result > 0);
    f->at += (size_t)f->op.result;
    if (f->at < BYTES)
        even_op_send(&f->op, f->fd, f->data + f->at, BYTES - f->at, 0);
    else
        assert_int_equal(net_of(f->world->loop)->shutdown(f->world->loop, f->fd, SHUT_WR), 0);
}

static void got_some(struct flow *f)
{
    if (f->op.result <= 0) {
        assert_int_equal(f->op.result, 0);
        assert_int_equal(net_of(f->world->loop)->close(f->world->loop, f->fd), 0);
        if (++f->world->ended == CLIENTS)
            even_loop_stop(f->world->loop);
        return;
    }
    f->at += (size_t)f->op.result;
    even_op_recv(&f->op, f->fd, f->data + f->at, BYTES + 1 - f->at, 0);
}

static void connected(struct flow *f)
{
    struct world *w = f->world;
    int i = f->id;
    assert_int_equal(f->op.result, 0);
    flow_init(w, &w->in[i], 100 + i, f->fd, got_some);
    w->in[i].data = w->got[i];
    even_op_recv(&w->in[i].op, f->fd, w->got[i], BYTES + 1, 0);
    f->next = sent_some;
    f->data = w->sent[i];
    even_op_send(&f->op, f->fd, f->data, BYTES, 0);
}

static void echo_next(struct flow *f)
{
    struct world *w = f->world;
    int i = f->id - 200;
    assert_true(f->op.result >= 0);
    if (f->op.kind == EVEN_OP_RECV && f->op.result == 0) {
        assert_int_equal(net_of(w->loop)->close(w->loop, f->fd), 0);
        return;
    }
    if (f->op.kind == EVEN_OP_RECV) {
        w->buffered[i] = (size_t)f->op.result;
        f->at = 0;
    } else if (f->op.kind == EVEN_OP_SEND) {
        f->at += (size_t)f->op.result;
    }
    if (f->at < w->buffered[i])
        even_op_send(&f->op, f->fd, w->buffer[i] + f->at, w->buffered[i] - f->at, 0);
    else
        even_op_recv(&f->op, f->fd, w->buffer[i], sizeof w->buffer[i], 0);
}

static void accepted(struct flow *f)
{
    struct world *w = f->world;
    int i = w->accepted++;
    assert_true(f->op.result >= EVEN__SIM_FD);
    flow_init(w, &w->echo[i], 200 + i, f->op.result, echo_next);
    echo_next(&w->echo[i]);
    if (w->accepted < CLIENTS)
        even_op_accept(&f->op, f->fd, NULL, NULL, 0);
}

/* Clients that send, and close their half; a server that echoes: a hash of all that happened, in its order. */
static uint64_t run_world(uint64_t seed, uint64_t *short_moves)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->loop = new_loop(seed);
    flow_init(w, &w->listener, 300, new_listener(w->loop, AF_INET, 2, &w->address, &w->length), accepted);
    even_op_accept(&w->listener.op, w->listener.fd, NULL, NULL, 0);
    for (int i = 0; i < CLIENTS; i++) {
        for (size_t k = 0; k < BYTES; k++)
            w->sent[i][k] = (char)(k * 31 / 7 + (size_t)i);
        flow_init(w, &w->out[i], i, new_socket(w->loop, AF_INET), connected);
        even_op_connect(&w->out[i].op, w->out[i].fd, (struct sockaddr *)&w->address, w->length);
    }
    assert_int_equal(even_loop_run_forever(w->loop), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(w->in[i].at, BYTES);
        assert_memory_equal(w->got[i], w->sent[i], BYTES);
    }
    uint64_t hash = w->hash;
    if (short_moves)
        *short_moves = w->short_moves;
    assert_int_equal(net_of(w->loop)->close(w->loop, w->listener.fd), 0);
    assert_int_equal(state(w->loop)->sockets, 0);
    even_loop_close(w->loop);
    free(w);
    return hash;
}

TEST(every_byte_arrives_whatever_the_seed, .seeds = true)
{
    uint64_t plain, seeded;
    run_world(0, &seeded);          /* the seed of the environment */
    unsetenv("EVENLOOP_SEED");
    run_world(0, &plain);
    assert_true(test_seed() ? seeded > plain : seeded == plain);
}

TEST(the_same_seed_is_the_same_run)
{
    enum { SEEDS = 20 };
    uint64_t hash[SEEDS + 1];
    unsetenv("EVENLOOP_SEED");
    for (uint64_t seed = 0; seed <= SEEDS; seed++) {
        hash[seed] = run_world(seed, NULL);
        assert_int_equal(run_world(seed, NULL), hash[seed]);
        for (uint64_t other = 0; other < seed; other++)
            assert_true(hash[other] != hash[seed]);
    }
}

static int first_ended;

static void note_first(even_op *op)
{
    first_ended = first_ended ? first_ended : op->fd;
    even__call_soon(op->loop, &op->handle);
}

TEST(a_seed_permutes_latencies_and_the_completions_of_one_wait)
{
    int firsts = 0;
    int64_t earliest = INT64_MAX, latest = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        even_loop *loop = new_loop(seed);
        int client[2], server[2];
        char byte;
        struct act a[2];
        new_pair(loop, &client[0], &server[0]);
        int64_t now = even_time_ns(loop);       /* a SYN, and the answer */
        assert_true(now >= 2 && now <= 4 * LATENCY);
        earliest = now < earliest ? now : earliest;
        latest = now > latest ? now : latest;
        new_pair(loop, &client[1], &server[1]);
        even__sim_set_latency(loop, 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(do_send(loop, client[i], "x", 1), 1);
            even_op_poll(&act(loop, &a[i])->op, server[i], POLLIN);
            assert_int_equal(end_of(&a[i]), POLLIN);
        }
        first_ended = 0;
        for (int i = 0; i < 2; i++) {
            even_op_recv(&act(loop, &a[i])->op, server[i], &byte, 1, 0);
            a[i].op.complete = note_first;
        }
        assert_int_equal(end_of(&a[0]), 1);
        firsts += first_ended == server[0];
        even_loop_close(loop);
    }
    assert_true(firsts > 0 && firsts < 40);
    assert_true(earliest < LATENCY && latest > 3 * LATENCY);
}

TEST(a_cancel_may_come_too_late_with_a_seed)
{
    int late = 0, in_time = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        even_loop *loop = new_loop(seed);
        int client, server;
        char byte = 0, next;
        struct act a;
        new_pair(loop, &client, &server);
        even__sim_set_latency(loop, 0);
        assert_int_equal(do_send(loop, client, "x", 1), 1);
        even_op_poll(&act(loop, &a)->op, server, POLLIN);
        assert_int_equal(end_of(&a), POLLIN);
        even_op_recv(&act(loop, &a)->op, server, &byte, 1, 0);
        even_op_cancel(&a.op);
        if (end_of(&a) == 1) {
            assert_int_equal(byte, 'x');
            late++;
        } else {
            assert_int_equal(a.op.result, -ECANCELED);
            assert_int_equal(byte, 0);
            assert_int_equal(do_recv(loop, server, &next, 1), 1);
            in_time++;
        }
        even_loop_close(loop);
    }
    assert_true(late > 0 && in_time > 0);
}

/* ---- anything at any time: nothing may be left, nothing may stand still that could go on ---- */

enum { CHAOS_SOCKETS = 12, CHAOS_STEPS = 400 };

struct chaos {
    even_timer timer;
    even_loop *loop;
    uint64_t random;
    int fd[CHAOS_SOCKETS];              /* the first two listen */
    struct sockaddr_storage address[2];
    socklen_t length;
    struct act act[CHAOS_SOCKETS][3];   /* for reading, for writing, polls */
    even_watch watch[CHAOS_SOCKETS];
    char buffer[CHAOS_SOCKETS][3][3000];
    int steps;
};

static void chaos_watched(even_handle *h)
{
    even_watch_stop(even_container_of(h, even_watch, handle));
}

static void chaos_close(struct chaos *c, int i)
{
    if (c->fd[i] < 0)
        return;
    for (int k = 0; k < 3; k++)
        if (even_op_is_pending(&c->act[i][k].op))
            return;
    even_watch_stop(&c->watch[i]);
    assert_int_equal(net_of(c->loop)->close(c->loop, c->fd[i]), 0);
    c->fd[i] = -1;
}

static void chaos_accepted(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, op.handle);
    struct chaos *c = even_container_of(awaited, struct chaos, act[0][2]);
    a->done = true;
    for (int i = 2; a->op.result >= 0 && i < CHAOS_SOCKETS; i++)
        if (c->fd[i] < 0) {
            c->fd[i] = a->op.result;
            return;
        }
    if (a->op.result >= 0)
        assert_int_equal(net_of(c->loop)->close(c->loop, a->op.result), 0);
}

static void chaos_step(even_handle *h)
{
    struct chaos *c = even_container_of(h, struct chaos, timer.handle);
    uint64_t dice = even__random(&c->random);
    int i = (int)(dice % CHAOS_SOCKETS), k = (int)((dice >> 8) % 3), what = (int)((dice >> 16) % 16);
    size_t n = 1 + (dice >> 32) % 3000;
    struct act *a = &c->act[i][k];
    if (c->steps++ == CHAOS_STEPS) {
        even_loop_stop(c->loop);
        return;
    }
    if (c->fd[i] < 0) {
        c->fd[i] = new_socket(c->loop, AF_INET);
        net_of(c->loop)->set_option(c->loop, c->fd[i], SOL_SOCKET, SO_RCVBUF, (int)n);
        if (i < 2) {
            assert_int_equal(net_of(c->loop)->listen(c->loop, c->fd[i], i), 0);
            assert_int_equal(net_of(c->loop)->name(c->loop, c->fd[i], false, &c->address[i], &c->length), 0);
        }
    } else if (even_op_is_pending(&a->op)) {
        if (what < 5)
            even_op_cancel(&a->op);
    } else if (a->op.handle.next) {
        /* it is over, but its handle has not run */
    } else if (what == 0) {
        chaos_close(c, i);
    } else if (what == 1) {
        net_of(c->loop)->shutdown(c->loop, c->fd[i], (int)(n % 3));
    } else if (what == 2) {
        net_of(c->loop)->set_option(c->loop, c->fd[i], SOL_SOCKET, SO_LINGER, 0);
    } else if (what == 3) {
        even_watch_stop(&c->watch[i]);
        assert_int_equal(even_watch_start(c->loop, &c->watch[i], c->fd[i], n % 2 ? POLLIN : POLLIN | POLLOUT,
                                          chaos_watched), 0);
    } else if (k == 2) {
        act(c->loop, a);
        even_op_poll(&a->op, c->fd[i], n % 2 ? POLLIN : POLLOUT);
    } else if (i < 2 && k == 0) {
        even_op_init(&a->op, c->loop, chaos_accepted);
        even_op_accept(&a->op, c->fd[i], NULL, NULL, 0);
    } else if (k == 1 && what < 8) {
        act(c->loop, a);
        even_op_connect(&a->op, c->fd[i], (struct sockaddr *)&c->address[n % 2], c->length);
    } else if (k == 1) {
        act(c->loop, a);
        even_op_send(&a->op, c->fd[i], c->buffer[i][k], n, 0);
    } else {
        act(c->loop, a);
        even_op_recv(&a->op, c->fd[i], c->buffer[i][k], n, 0);
    }
    even_call_later(c->loop, &c->timer, n % 4 ? 0 : (double)n * 1e-7);
}

TEST(anything_at_any_time_leaves_nothing, .seeds = true)
{
    struct chaos *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->loop = new_loop(0);
    c->timer = (even_timer)EVEN_TIMER(chaos_step);
    c->random = test_seed();
    for (int i = 0; i < CHAOS_SOCKETS; i++) {
        c->fd[i] = -1;
        for (int k = 0; k < 3; k++)
            act(c->loop, &c->act[i][k]);
    }
    awaited = &c->act[0][2];        /* how an accept finds the world */
    assert_int_equal(even_call_later(c->loop, &c->timer, 0), 0);
    do {                            /* an end that `awaited` stops is no end yet */
        assert_int_equal(even_loop_run_forever(c->loop), 0);
    } while (c->steps <= CHAOS_STEPS);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        for (int k = 0; k < 3; k++)
            even_op_cancel(&c->act[i][k].op);
    int rc;
    while ((rc = even_loop_run_forever(c->loop)) == 0) {    /* bounded: all is cancelled, only watches are left */
    }
    assert_int_equal(rc, -EVEN_EDEADLOCK);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        chaos_close(c, i);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        assert_int_equal(c->fd[i], -1);
    assert_int_equal(state(c->loop)->sockets, 0);
    awaited = NULL;
    even_loop_close(c->loop);
    free(c);
}
