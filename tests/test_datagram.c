/* Datagrams with their addresses: recvmsg and sendmsg as operations. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"

/* A message of one part, with room for an address. */
struct message {
    struct msghdr header;
    struct iovec part;
    struct sockaddr_storage address;
    char buffer[64];
};

static struct msghdr *empty_message(struct message *m)
{
    memset(m, 0, sizeof *m);
    m->part = (struct iovec){ m->buffer, sizeof m->buffer };
    m->header = (struct msghdr){ .msg_name = &m->address, .msg_namelen = sizeof m->address, .msg_iov = &m->part,
                                 .msg_iovlen = 1 };
    return &m->header;
}

static struct msghdr *message_to(struct message *m, const char *text, const struct sockaddr *to, socklen_t length)
{
    empty_message(m);
    memcpy(m->buffer, text, strlen(text));
    m->part.iov_len = strlen(text);
    if (to)
        memcpy(&m->address, to, length);
    m->header.msg_name = to ? &m->address : NULL;
    m->header.msg_namelen = to ? length : 0;
    return &m->header;
}

static int udp(struct sockaddr_storage *address, socklen_t *length, bool v6)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (v6 && bind(fd, (struct sockaddr *)&in6, sizeof in6) < 0)
        test_skip("no IPv6 here");
    if (!v6)
        assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    *length = sizeof *address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, length), 0);
    return fd;
}

static void exchange(bool v6)
{
    struct sockaddr_storage here, there;
    socklen_t here_length, there_length;
    open_loop();
    int a = udp(&here, &here_length, v6), b = udp(&there, &there_length, v6);
    for (int i = 0; i < 4; i++) {
        struct message in, out;
        struct wop r, s;
        if (i & 1) {
            even_op_recvmsg(expect(&r), b, empty_message(&in), 0);
            if (i & 2)
                pump();
        }
        even_op_sendmsg(expect(&s), a, message_to(&out, "ahoy", (struct sockaddr *)&there, there_length), 0);
        if (!(i & 1)) {
            run_all();
            assert_int_equal(s.op.result, 4);
            if (i & 2)
                until(b, POLLIN);
            even_op_recvmsg(expect(&r), b, empty_message(&in), 0);
        }
        run_all();
        assert_int_equal(s.op.result, 4);
        assert_int_equal(r.op.result, 4);
        assert_memory_equal(in.buffer, "ahoy", 4);
        assert_int_equal(in.header.msg_namelen, here_length);
        assert_memory_equal(&in.address, &here, here_length);
        assert_int_equal(in.header.msg_flags, 0);
    }
    close_loop();
    close(a);
    close(b);
}

TEST(a_datagram_comes_with_its_sender)
{
    exchange(false);
}

TEST(a_datagram_comes_with_its_sender_over_ipv6)
{
    exchange(true);
}

TEST(datagrams_come_in_order_and_whole)
{
    static const char *const text[] = { "one", "", "three", "a datagram of thirty-one bytes." };
    struct sockaddr_storage here, there;
    socklen_t here_length, there_length;
    struct message in[4], out[4];
    struct wop r[4], s[4];
    open_loop();
    int a = udp(&here, &here_length, false), b = udp(&there, &there_length, false);
    for (int i = 0; i < 4; i++)
        even_op_recvmsg(expect(&r[i]), b, empty_message(&in[i]), 0);
    in[3].part.iov_len = 8;     /* too short for it */
    pump();
    for (int i = 0; i < 4; i++)
        even_op_sendmsg(expect(&s[i]), a, message_to(&out[i], text[i], (struct sockaddr *)&there, there_length), 0);
    run_all();
    for (int i = 0; i < 4; i++) {
        size_t n = strlen(text[i]), got = i == 3 ? 8 : n;
        assert_int_equal(s[i].op.result, n);
        assert_int_equal(r[i].op.result, got);
        assert_memory_equal(in[i].buffer, text[i], got);
        assert_int_equal(in[i].header.msg_flags & MSG_TRUNC, i == 3 ? MSG_TRUNC : 0);
        if (i)
            assert_true(r[i].place > r[i - 1].place);
    }
    close_loop();
    close(a);
    close(b);
}

TEST(a_message_may_have_many_parts)
{
    int pair[2];
    char head[3], body[16];
    struct iovec from[] = { { (void *)(uintptr_t)"he", 2 }, { (void *)(uintptr_t)"ad", 2 }, { (void *)(uintptr_t)"body", 4 } };
    struct iovec into[] = { { head, sizeof head }, { body, sizeof body } };
    struct msghdr out = { .msg_iov = from, .msg_iovlen = 3 }, in = { .msg_iov = into, .msg_iovlen = 2 };
    struct wop r, s;
    open_loop();
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    even_op_recvmsg(expect(&r), pair[0], &in, 0);
    even_op_sendmsg(expect(&s), pair[1], &out, 0);
    run_all();
    assert_int_equal(s.op.result, 8);
    assert_int_equal(r.op.result, 8);
    assert_memory_equal(head, "hea", 3);
    assert_memory_equal(body, "dbody", 5);
    close_loop();
    close_pair(pair);
}

/* The answer to a datagram that nobody wanted is an error of its socket, told once; the socket goes on. */
TEST(a_refused_datagram_is_told_and_the_socket_goes_on)
{
    struct sockaddr_storage here, there;
    socklen_t here_length, there_length;
    struct message in, out;
    struct wop r, s;
    open_loop();
    int a = udp(&here, &here_length, false), b = udp(&there, &there_length, false);
    assert_int_equal(connect(a, (struct sockaddr *)&there, there_length), 0);
    close(b);
    even_op_recvmsg(expect(&r), a, empty_message(&in), 0);
    pump();
    even_op_sendmsg(expect(&s), a, message_to(&out, "anybody?", NULL, 0), 0);
    run_all();
    assert_int_equal(s.op.result, 8);
    assert_int_equal(r.op.result, -ECONNREFUSED);

    b = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(b, (struct sockaddr *)&there, there_length), 0);
    even_op_recvmsg(expect(&r), a, empty_message(&in), 0);
    pump();
    assert_int_equal(sendto(b, "now", 3, 0, (struct sockaddr *)&here, here_length), 3);
    run_all();
    assert_int_equal(r.op.result, 3);
    close_loop();
    close(a);
    close(b);
}

TEST(a_datagram_that_cannot_be_sent_fails)
{
    static char large[70000];
    struct sockaddr_storage here;
    socklen_t length;
    struct iovec part = { large, sizeof large };
    struct wop s;
    open_loop();
    int a = udp(&here, &length, false);
    struct msghdr m = { .msg_name = &here, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1 };
    even_op_sendmsg(expect(&s), a, &m, 0);
    run_all();
    assert_int_equal(s.op.result, -EMSGSIZE);
    part.iov_len = 1;
    m.msg_name = NULL;
    m.msg_namelen = 0;
    even_op_sendmsg(expect(&s), a, &m, 0);
    run_all();
    assert_int_equal(s.op.result, -EDESTADDRREQ);
    close_loop();
    close(a);
}

/* Unix datagrams are not dropped when the receiver's queue is full: the sender waits, its next ones behind it. */
TEST(a_send_waits_for_room_and_keeps_its_order)
{
    int pair[2], queued = 0;
    char got[8];
    struct message out[3];
    struct wop s[3];
    open_loop();
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    while (send(pair[0], "x", 1, 0) == 1)
        queued++;
    for (int i = 0; i < 3; i++)
        even_op_sendmsg(expect(&s[i]), pair[0], message_to(&out[i], (const char *[]){ "a", "b", "c" }[i], NULL, 0), 0);
    pump();
    for (int i = 0; i < 3; i++)
        assert_true(even_op_is_pending(&s[i].op));
    even_op_cancel(&s[1].op);
    pump();
    assert_int_equal(s[1].op.result, -ECANCELED);
    for (int i = 0; i < queued; i++) {
        assert_int_equal(recv(pair[1], got, sizeof got, 0), 1);
        assert_int_equal(got[0], 'x');
    }
    run_all();
    assert_int_equal(s[0].op.result, 1);
    assert_int_equal(s[2].op.result, 1);
    assert_int_equal(recv(pair[1], got, sizeof got, 0), 1);
    assert_int_equal(got[0], 'a');
    assert_int_equal(recv(pair[1], got, sizeof got, 0), 1);
    assert_int_equal(got[0], 'c');
    close_loop();
    close_pair(pair);
}

TEST(a_canceled_receive_lets_go_of_its_message)
{
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct message in, untouched;
        struct wop r;
        open_loop();
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
        even_op_recvmsg(expect(&r), pair[0], empty_message(&in), 0);
        if (i)
            pump();
        even_op_cancel(&r.op);
        run_all();
        assert_int_equal(r.op.result, -ECANCELED);
        memset(&in, 'P', sizeof in);
        memset(&untouched, 'P', sizeof untouched);
        put(pair[1], "later");
        pump();
        assert_memory_equal(&in, &untouched, sizeof in);
        even_op_recvmsg(expect(&r), pair[0], empty_message(&in), 0);
        run_all();
        assert_int_equal(r.op.result, 5);
        assert_memory_equal(in.buffer, "later", 5);
        close_loop();
        close_pair(pair);
    }
}

TEST(datagrams_have_no_simulation, .on = TEST_SIM)
{
    struct message m;
    struct wop r, s;
    open_loop();
    int fd = loop->backend->net->socket(loop, AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    even_op_recvmsg(expect(&r), fd, empty_message(&m), 0);
    even_op_sendmsg(expect(&s), fd, &m.header, 0);
    run_all();
    assert_int_equal(r.op.result, -EOPNOTSUPP);
    assert_int_equal(s.op.result, -EOPNOTSUPP);
    close_loop();
}
