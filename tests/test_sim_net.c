/* The simulated network at the callback level. */
#include "simulated.h"

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
    new_pair(loop, &server, &client);
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
    even_op_recv(&act(loop, &started_inside)->op, op->fd, (char *)op->args.bytes.buffer + 2, 1, 0);
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
    struct act act;
    int fd, passes;
    char byte;
};

static void be_busy(even_handle *h)
{
    struct busy *b = even_container_of(h, struct busy, handle);
    if (b->passes++ == 3)
        even_op_recv(&act(b->loop, &b->act)->op, b->fd, &b->byte, 1, 0);
    even_call_soon(b->loop, h);
}

TEST(a_busy_loop_still_sees_the_network)
{
    even_loop *loop = new_loop(0);
    int client, server;
    new_pair(loop, &client, &server);
    struct busy b = { .handle = EVEN_HANDLE(be_busy), .loop = loop, .fd = server };
    even__sim_set_latency(loop, 0);
    even_call_soon(loop, &b.handle);
    act(loop, &b.act);
    assert_int_equal(do_send(loop, client, "x", 1), 1);
    assert_int_equal(end_of(&b.act), 1);
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
    even_op_poll(&act(loop, &stray)->op, STDIN_FILENO, POLLIN);
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

/* ---- numbers ---- */

TEST(an_operation_on_no_socket_is_cancelled_when_the_number_is_a_sockets)
{
    even_loop *loop = new_loop(0);
    struct act stray, a;
    char byte;
    int fd = new_socket(loop, AF_INET);
    assert_int_equal(net_of(loop)->close(loop, fd), 0);
    even_op_recv(&act(loop, &stray)->op, fd, &byte, 1, 0);
    assert_int_equal(new_socket(loop, AF_INET), fd);
    even_op_cancel(&stray.op);
    assert_true(even__loop_is_valid(loop));
    even_op_close(&act(loop, &a)->op, fd);
    assert_int_equal(end_of(&a), 0);
    assert_true(stray.done);
    assert_int_equal(stray.op.result, -ECANCELED);
    even_loop_close(loop);
}
