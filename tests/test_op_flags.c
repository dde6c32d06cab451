/* The flags of recv(2) and send(2) mean the same on each backend. */
#define TEST_ON TEST_ALL
#include "receivers.h"

enum { LARGE = 3 * 1000 * 1000 };

/* 0: TCP (the simulation's is its own); 1: a Unix stream, where there is one. */
static void stream_pair(int pair[2], int which)
{
    if (is_sim() || which == 1)
        open_pair(pair);
    else
        tcp_pair(pair);
    for (int i = 0; i < 2; i++) {       /* or the kernel would take megabytes at once */
        assert_int_equal(loop->backend->net->set_option(loop, pair[i], SOL_SOCKET, SO_SNDBUF, 50000), 0);
        assert_int_equal(loop->backend->net->set_option(loop, pair[i], SOL_SOCKET, SO_RCVBUF, 50000), 0);
    }
    over = 0;
}

static int kinds(void)
{
    const char *backend = getenv("EVENLOOP_BACKEND");   /* asked before there is a loop */
    return backend && strcmp(backend, "sim") == 0 ? 1 : 2;
}

/* Other operations may be pending meanwhile. The run ends with it, so they are taken back from the kernel and given again. */
struct lone {
    even_op op;
    bool over;
};

static void lone_over(even_handle *h)
{
    even_container_of(h, struct lone, op.handle)->over = true;
    even_loop_stop(loop);
}

static even_op *lone(struct lone *l)
{
    even_op_init(&l->op, loop, lone_over);
    l->over = false;
    return &l->op;
}

static int32_t end_of(struct lone *l)
{
    while (!l->over)
        assert_int_equal(even_loop_run_forever(loop), 0);
    return l->op.result;
}

static void say_with(int fd, const char *text, int flags)
{
    for (size_t n = strlen(text), at = 0; at < n;) {    /* a seed makes some short */
        struct lone s;
        even_op_send(lone(&s), fd, text + at, n - at, flags);
        int32_t rc = end_of(&s);
        if (rc <= 0)
            fail_msg("send: %d", rc);
        at += (size_t)rc;
    }
}

static void say(int fd, const char *text) { say_with(fd, text, 0); }

static int32_t hear(int fd, void *buffer, size_t n, int flags)
{
    struct lone r;
    even_op_recv(lone(&r), fd, buffer, n, flags);
    return end_of(&r);
}

static int32_t tell(int fd, const void *buffer, size_t n, int flags)
{
    struct lone s;
    even_op_send(lone(&s), fd, buffer, n, flags);
    return end_of(&s);
}

static void reset(int fd)
{
    const struct even__net *net = loop->backend->net;
    assert_int_equal(net->set_option(loop, fd, SOL_SOCKET, SO_LINGER, 0), 0);
    assert_int_equal(net->close(loop, fd), 0);
}

static void close_one(int fd)
{
    if (fd < 1 << 20)
        close(fd);
}

static void settled(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

/* Passes, and time for what is on its way. */
static void settle(void)
{
    pump();
    if (is_sim()) {
        even_timer t = EVEN_TIMER(settled);
        assert_int_equal(even_call_later(loop, &t, 0.01), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        even_timer_cancel(loop, &t);
    } else {
        poll(NULL, 0, 3);
        pump();
    }
}

/* ---- MSG_WAITALL ---- */

TEST(all_of_a_recv, .seeds = true)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        char buffer[16] = "";
        struct lone r;
        open_loop();
        stream_pair(pair, k);
        even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
        settle();
        say(pair[1], "he");         /* a run each, that is */
        settle();
        assert_false(r.over);
        say(pair[1], "llo");
        settle();
        assert_false(r.over);
        say(pair[1], "world!");
        assert_int_equal(end_of(&r), 10);
        assert_string_equal(buffer, "helloworld");
        assert_ptr_equal(r.op.args.bytes.buffer, buffer);
        assert_int_equal(r.op.args.bytes.length, 10);
        assert_int_equal(hear(pair[0], buffer, 1, MSG_WAITALL), 1);     /* there already */
        assert_int_equal(buffer[0], '!');
        close_loop();
        close_both(pair);
    }
}

TEST(all_of_it_comes_before_what_was_started_later, .seeds = true)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        char one[8] = "", two[8] = "";
        struct wop a, b;
        open_loop();
        stream_pair(pair, k);
        even_op_recv(expect(&a), pair[0], one, 4, MSG_WAITALL);
        even_op_recv(expect(&b), pair[0], two, 4, MSG_WAITALL);
        settle();
        say(pair[1], "abc");
        settle();
        say(pair[1], "defgh");
        run_all();
        assert_int_equal(a.place, 1);
        assert_string_equal(one, "abcd");
        assert_string_equal(two, "efgh");
        close_loop();
        close_both(pair);
    }
}

/* Started as a run ends, where it is over at once, and what is behind it, too. */
static struct wop first, second;
static char first_bytes[3], second_bytes[3];
static int of_both[2];

static void start_both(even_handle *h)
{
    even_loop_stop(loop);
    even_op_recv(expect(&first), of_both[0], first_bytes, 3, MSG_WAITALL);
    even_op_recv(expect(&second), of_both[0], second_bytes, 3, 0);
    (void)h;
}

TEST(the_order_of_what_is_over_at_once_as_a_run_ends, .on = TEST_KERNEL, .no_faults = true)
{
    even_handle start = EVEN_HANDLE(start_both);
    open_loop();
    unix_pair(of_both);
    put(of_both[1], "abcdef");
    even_call_soon(loop, &start);
    assert_int_equal(even_loop_run_forever(loop), 0);
    run_all();
    assert_int_equal(first.place, 1);
    assert_int_equal(second.place, 2);
    assert_memory_equal(first_bytes, "abc", 3);
    assert_memory_equal(second_bytes, "def", 3);
    close_loop();
    close_pair(of_both);
}

TEST(what_came_before_the_end)
{
    for (int k = 0; k < kinds(); k++)
        for (int late = 0; late < 2; late++) {
            int pair[2];
            char buffer[16] = "";
            struct lone r;
            open_loop();
            stream_pair(pair, k);
            if (late) {
                even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
                settle();
            }
            say(pair[1], "abc");
            settle();
            shut(pair[1]);
            settle();
            if (!late)
                even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
            assert_int_equal(end_of(&r), 3);
            assert_string_equal(buffer, "abc");
            assert_int_equal(hear(pair[0], buffer, 10, MSG_WAITALL), 0);
            assert_int_equal(hear(pair[0], buffer, 10, MSG_WAITALL), 0);
            close_loop();
            close_both(pair);
        }
}

/* The kernel tells a reset once: it may not be spent on an operation whose result is the bytes before it. */
TEST(what_came_before_a_reset)
{
    for (int late = 0; late < 2; late++) {
        int pair[2];
        char buffer[16] = "";
        struct lone r;
        open_loop();
        stream_pair(pair, 0);
        if (late) {
            even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
            settle();
        }
        say(pair[1], "abc");
        settle();
        reset(pair[1]);
        settle();
        if (!late)
            even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
        assert_int_equal(end_of(&r), 3);
        assert_string_equal(buffer, "abc");
        assert_int_equal(hear(pair[0], buffer, 10, MSG_WAITALL), -ECONNRESET);
        close_loop();
        close_one(pair[0]);
    }
}

TEST(a_cancel_leaves_what_came)
{
    for (int k = 0; k < kinds(); k++)
        for (int i = 0; i < 4; i++) {
            int pair[2];
            char buffer[16] = "";
            struct lone r;
            open_loop();
            stream_pair(pair, k);
            even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
            if (i & 1)
                settle();
            if (i & 2) {
                say(pair[1], "abc");
                settle();
            }
            even_op_cancel(&r.op);
            assert_int_equal(end_of(&r), i & 2 ? 3 : -ECANCELED);
            assert_string_equal(buffer, i & 2 ? "abc" : "");
            say(pair[1], "def");
            assert_int_equal(hear(pair[0], buffer, 3, MSG_WAITALL), 3);
            assert_memory_equal(buffer, "def", 3);
            close_loop();
            close_both(pair);
        }
}

TEST(the_loop_is_closed_halfway)
{
    int pair[2];
    char buffer[16] = "";
    struct lone r;
    open_loop();
    stream_pair(pair, 0);
    even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
    say(pair[1], "abc");
    settle();
    close_loop();
    assert_int_equal(r.op.result, 3);
    close_both(pair);
}

static unsigned char *pattern(void)
{
    static unsigned char bytes[LARGE];
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = byte_of(7, i);
    return bytes;
}

static size_t hear_all(int fd, size_t from, size_t most)
{
    static unsigned char buffer[100 * 1000];
    while (from < most) {
        int32_t n = hear(fd, buffer, most - from < sizeof buffer ? most - from : sizeof buffer, 0);
        if (n <= 0)
            break;
        for (int32_t i = 0; i < n; i++)
            if (buffer[i] != byte_of(7, from + (size_t)i))
                fail_msg("byte %zu is wrong", from + (size_t)i);
        from += (size_t)n;
    }
    return from;
}

TEST(all_of_a_send, .no_faults = true)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        struct lone s;
        open_loop();
        stream_pair(pair, k);
        even_op_send(lone(&s), pair[0], pattern(), LARGE, MSG_WAITALL);
        settle();
        assert_false(s.over);
        assert_int_equal(hear_all(pair[1], 0, LARGE), LARGE);
        assert_int_equal(end_of(&s), LARGE);
        close_loop();
        close_both(pair);
    }
}

TEST(a_canceled_send_tells_how_much, .no_faults = true)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        struct lone s;
        open_loop();
        stream_pair(pair, k);
        even_op_send(lone(&s), pair[0], pattern(), LARGE, MSG_WAITALL);
        settle();
        assert_int_equal(hear_all(pair[1], 0, 1000), 1000);
        even_op_cancel(&s.op);
        int32_t sent = end_of(&s);
        assert_true(sent >= 1000 && sent < LARGE);
        shut(pair[0]);
        assert_int_equal(hear_all(pair[1], 1000, LARGE), sent);
        close_loop();
        close_both(pair);
    }
}

TEST(a_send_that_meets_a_reset)
{
    int pair[2];
    struct lone s;
    open_loop();
    stream_pair(pair, 0);
    even_op_send(lone(&s), pair[0], pattern(), LARGE, MSG_WAITALL);
    settle();
    reset(pair[1]);
    int32_t sent = end_of(&s);
    assert_true(sent > 0 && sent < LARGE);
    assert_int_equal(tell(pair[0], "x", 1, MSG_WAITALL), -ECONNRESET);
    assert_int_equal(tell(pair[0], "x", 1, MSG_WAITALL), -EPIPE);
    close_loop();
    close_one(pair[0]);
}

/* ---- MSG_DONTWAIT ---- */

TEST(dontwait_does_not_wait)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        char buffer[16] = "";
        struct lone r;
        open_loop();
        stream_pair(pair, k);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(hear(pair[0], buffer, 10, MSG_DONTWAIT), -EAGAIN);
            assert_int_equal(hear(pair[0], buffer, 10, MSG_DONTWAIT | MSG_WAITALL), -EAGAIN);
            assert_int_equal(hear(pair[0], buffer, 10, MSG_DONTWAIT | MSG_PEEK), -EAGAIN);
            even_op_recv(lone(&r), pair[0], buffer, 10, 0);     /* waits, and is remembered to */
            settle();
            say(pair[1], "abc");
            assert_int_equal(end_of(&r), 3);
            say(pair[1], "abc");
            settle();
            assert_int_equal(hear(pair[0], buffer, 2, MSG_DONTWAIT), 2);
            assert_int_equal(hear(pair[0], buffer, 10, MSG_DONTWAIT | MSG_WAITALL), 1);
        }
        for (int flags = 0; flags <= MSG_WAITALL; flags += MSG_WAITALL) {
            int32_t n;
            for (int i = 0; (n = tell(pair[0], pattern(), LARGE, MSG_DONTWAIT | flags)) > 0; i++)
                assert_true(i < 10000);
            assert_int_equal(n, -EAGAIN);
        }
        close_loop();
        close_both(pair);
    }
}

TEST(dontwait_keeps_its_place)
{
    for (int k = 0; k < kinds(); k++)
        for (int i = 0; i < 3; i++) {
            int pair[2];
            char one[16], two[16];
            struct wop a, b;
            open_loop();
            stream_pair(pair, k);
            even_op_recv(expect(&a), pair[0], one, sizeof one, 0);
            even_op_recv(expect(&b), pair[0], two, i == 2 ? 2 : sizeof two, MSG_DONTWAIT);
            settle();
            assert_int_equal(a.place + b.place, 0);
            if (i == 0)
                even_op_cancel(&a.op);
            else
                say(pair[1], i == 2 ? "0123456789abcdefgh" : "abc");
            run_all();
            assert_int_equal(a.op.result, i == 0 ? -ECANCELED : i == 1 ? 3 : 16);
            assert_int_equal(b.op.result, i == 2 ? 2 : -EAGAIN);
            assert_int_equal(a.place, 1);
            close_loop();
            close_both(pair);
        }
}

/* ---- the others ---- */

TEST(a_look_ahead)
{
    for (int k = 0; k < kinds(); k++) {
        int pair[2];
        char buffer[16] = "";
        struct lone r;
        open_loop();
        stream_pair(pair, k);
        even_op_recv(lone(&r), pair[0], buffer, 10, MSG_PEEK);
        settle();
        assert_false(r.over);
        say(pair[1], "peek!");
        assert_int_equal(end_of(&r), 5);
        for (int i = 0; i < 3; i++) {
            memset(buffer, 0, sizeof buffer);
            assert_int_equal(hear(pair[0], buffer, 10, MSG_PEEK), 5);
            assert_string_equal(buffer, "peek!");
        }
        assert_int_equal(hear(pair[0], buffer, 10, MSG_PEEK | MSG_WAITALL), -EOPNOTSUPP);
        assert_int_equal(hear(pair[0], buffer, 10, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT), 5);
        assert_int_equal(hear(pair[0], buffer, 2, 0), 2);
        assert_int_equal(hear(pair[0], buffer, 10, 0), 3);
        close_loop();
        close_both(pair);
    }
}

TEST(thrown_away)
{
    int pair[2];
    char buffer[16] = "";
    struct lone r;
    open_loop();
    stream_pair(pair, 0);
    say(pair[1], "abcdefgh");
    settle();
    assert_int_equal(hear(pair[0], buffer, 3, MSG_TRUNC), 3);
    assert_string_equal(buffer, "");
    even_op_recv(lone(&r), pair[0], buffer, 7, MSG_TRUNC | MSG_WAITALL);
    settle();
    say(pair[1], "ijkl");
    assert_int_equal(end_of(&r), 7);
    assert_string_equal(buffer, "");
    assert_int_equal(hear(pair[0], buffer, 10, 0), 2);
    assert_string_equal(buffer, "kl");
    close_loop();
    close_both(pair);
}

TEST(urgent_data, .on = TEST_KERNEL, .no_faults = true)     /* a mark that cannot be asked for is none: it would wait on */
{
    int pair[2];
    char buffer[16] = "";
    struct lone r;
    open_loop();
    tcp_pair(pair);
    assert_int_equal(hear(pair[0], buffer, 1, MSG_OOB), -EINVAL);
    even_op_recv(lone(&r), pair[0], buffer, 10, 0);
    settle();
    say(pair[1], "abc");
    assert_int_equal(end_of(&r), 3);
    assert_int_equal(hear(pair[0], buffer, 1, MSG_OOB), -EINVAL);       /* whatever is known of the bytes */
    say_with(pair[1], "!", MSG_OOB);
    settle();
    assert_int_equal(hear(pair[0], buffer, 1, MSG_OOB | MSG_WAITALL), 1);
    assert_int_equal(buffer[0], '!');

    for (int late = 0; late < 2; late++) {      /* all, but not past its mark */
        memset(buffer, 0, sizeof buffer);
        if (late) {
            even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
            settle();
        }
        say(pair[1], "abc");
        settle();
        say_with(pair[1], "!", MSG_OOB);
        settle();
        if (!late)
            even_op_recv(lone(&r), pair[0], buffer, 10, MSG_WAITALL);
        assert_int_equal(end_of(&r), 3);
        say(pair[1], "def");
        settle();
        assert_int_equal(hear(pair[0], buffer, 10, 0), 3);
        assert_string_equal(buffer, "def");
    }
    close_loop();
    close_pair(pair);
}

/* That it is empty says nothing about the bytes. */
TEST(the_queue_of_errors, .on = TEST_KERNEL)
{
    int pair[2];
    char buffer[16], other[16];
    struct lone r;
    open_loop();
    tcp_pair(pair);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hear(pair[0], other, 10, MSG_ERRQUEUE), -EAGAIN);
        even_op_recv(lone(&r), pair[0], buffer, 10, 0);
        settle();
        say(pair[1], "abc");
        assert_int_equal(end_of(&r), 3);
        say(pair[1], "abc");
        settle();
        assert_int_equal(hear(pair[0], other, 10, MSG_ERRQUEUE), -EAGAIN);
        assert_int_equal(hear(pair[0], other, 1, MSG_OOB), -EINVAL);
        assert_int_equal(hear(pair[0], buffer, 10, 0), 3);
    }
    close_loop();
    close_pair(pair);
}

TEST(what_the_simulation_does_not_have, .on = TEST_SIM)
{
    int pair[2];
    char buffer[16];
    open_loop();
    open_pair(pair);
    assert_int_equal(hear(pair[0], buffer, 1, MSG_OOB), -EINVAL);
    assert_int_equal(tell(pair[0], "x", 1, MSG_OOB), -EOPNOTSUPP);
    assert_int_equal(hear(pair[0], buffer, 1, MSG_ERRQUEUE), -EOPNOTSUPP);
    assert_int_equal(tell(pair[0], "x", 1, MSG_ZEROCOPY), -EOPNOTSUPP);
    assert_int_equal(tell(pair[0], "x", 1, MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE), 1);
    assert_int_equal(hear(pair[1], buffer, sizeof buffer, MSG_CMSG_CLOEXEC | MSG_NOSIGNAL), 1);
    close_loop();
}

/* ---- messages ---- */

TEST(all_of_a_message, .on = TEST_KERNEL, .no_faults = true)
{
    for (int k = 0; k < 2; k++) {
        int pair[2];
        char one[3], two[8] = "", control[64];
        struct iovec v[4] = { { one, 2 }, { NULL, 0 }, { two, 5 }, { NULL, 0 } }, many[40];
        struct msghdr m = { .msg_iov = v, .msg_iovlen = 4, .msg_control = control, .msg_controllen = sizeof control };
        struct msghdr large = { .msg_iov = many, .msg_iovlen = 40 };
        struct lone r, s;
        open_loop();
        stream_pair(pair, k);
        even_op_recvmsg(lone(&r), pair[0], &m, MSG_WAITALL);
        settle();
        say(pair[1], "a");
        settle();
        say(pair[1], "bcd");
        settle();
        assert_false(r.over);
        say(pair[1], "efgh");
        assert_int_equal(end_of(&r), 7);
        assert_memory_equal(one, "ab", 2);
        assert_string_equal(two, "cdefg");
        assert_int_equal(v[0].iov_len, 2);
        assert_ptr_equal(v[2].iov_base, two);
        assert_int_equal(m.msg_controllen, 0);
        assert_int_equal(m.msg_flags, 0);

        m.msg_controllen = sizeof control;
        even_op_recvmsg(lone(&r), pair[0], &m, MSG_WAITALL);
        settle();
        even_op_cancel(&r.op);
        assert_int_equal(end_of(&r), 1);
        assert_int_equal(m.msg_controllen, 0);
        m.msg_controllen = sizeof control;
        even_op_recvmsg(lone(&r), pair[0], &m, MSG_PEEK | MSG_WAITALL);
        assert_int_equal(end_of(&r), -EOPNOTSUPP);
        even_op_recvmsg(lone(&r), pair[0], &m, MSG_DONTWAIT);
        assert_int_equal(end_of(&r), -EAGAIN);

        for (size_t i = 0; i < 40; i++)
            many[i] = (struct iovec){ pattern() + i * (LARGE / 40), LARGE / 40 };
        even_op_sendmsg(lone(&s), pair[1], &large, MSG_WAITALL);
        settle();
        assert_false(s.over);
        assert_int_equal(hear_all(pair[0], 0, LARGE), LARGE);
        assert_int_equal(end_of(&s), LARGE);
        close_loop();
        close_pair(pair);
    }
}

TEST(descriptors_end_a_part, .on = TEST_KERNEL)
{
    int pair[2], got;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char buffer[16] = "";
    struct iovec v = { buffer, 10 }, w = { (char *)"de", 2 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    struct lone r;
    open_loop();
    unix_pair(pair);
    even_op_recvmsg(lone(&r), pair[0], &m, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    settle();
    say(pair[1], "abc");
    settle();
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } sent;
    memset(&sent, 0, sizeof sent);
    struct msghdr d = { .msg_iov = &w, .msg_iovlen = 1, .msg_control = &sent, .msg_controllen = sizeof sent };
    struct cmsghdr *c = CMSG_FIRSTHDR(&d);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
    struct lone s;
    even_op_sendmsg(lone(&s), pair[1], &d, MSG_WAITALL);
    assert_int_equal(end_of(&s), 2);
    assert_int_equal(end_of(&r), 5);
    assert_string_equal(buffer, "abcde");
    c = CMSG_FIRSTHDR(&m);
    assert_non_null(c);
    assert_int_equal(c->cmsg_type, SCM_RIGHTS);
    memcpy(&got, CMSG_DATA(c), sizeof got);
    assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
    close(got);
    close_loop();
    close_pair(pair);
}

TEST(what_is_wrong_is_told_at_once, .on = TEST_KERNEL)
{
    struct sockaddr_in address;
    int p[2];
    char buffer[4] = "";
    open_loop();
    int fd = listener(&address, 1);
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hear(fd, buffer, 4, i * MSG_WAITALL), -ENOTCONN);
        assert_int_equal(hear(p[0], buffer, 4, i * MSG_WAITALL), -ENOTSOCK);
        assert_int_equal(tell(p[1], buffer, 4, i * MSG_WAITALL), -ENOTSOCK);
        assert_int_equal(hear(-1, buffer, 4, i * MSG_WAITALL), -EBADF);
        assert_int_equal(hear(1 << 25, buffer, 4, i * MSG_WAITALL), -EBADF);
    }
    close_loop();
    close_pair(p);
    close(fd);
}

/* Over, but not told yet: even_loop_timeout() hands over, and reaps nothing. */
TEST(a_cancel_that_comes_too_late)
{
    int pair[2];
    char buffer[4];
    struct lone r;
    open_loop();
    stream_pair(pair, 0);
    say(pair[1], "abcd");
    settle();
    even_op_recv(lone(&r), pair[0], buffer, 2, MSG_WAITALL);
    assert_int_equal(even_loop_timeout(loop), 0);
    if (!is_sim()) {        /* whose operations move nothing before they end */
        even_op_cancel(&r.op);
        even_op_cancel(&r.op);
    }
    assert_int_equal(end_of(&r), 2);
    assert_int_equal(hear(pair[0], buffer, 2, MSG_WAITALL), 2);
    assert_memory_equal(buffer, "cd", 2);
    close_loop();
    close_both(pair);
}

TEST(a_datagram_is_all, .on = TEST_KERNEL)
{
    int pair[2];
    char buffer[16] = "";
    open_loop();
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(tell(pair[1], "abcdef", 6, MSG_WAITALL), 6);
    assert_int_equal(tell(pair[1], "ghi", 3, 0), 3);
    assert_int_equal(hear(pair[0], buffer, 10, MSG_WAITALL), 6);
    assert_int_equal(hear(pair[0], buffer, 2, MSG_WAITALL | MSG_TRUNC), 3);

    char out[] = "The quick brown fox jumps over the lazy dog.", in[sizeof out];        /* however many pieces it is in */
    struct iovec from[sizeof out], to[sizeof out];
    struct msghdr sent = { .msg_iov = from, .msg_iovlen = sizeof out }, got = { .msg_iov = to, .msg_iovlen = sizeof out };
    struct lone l;
    for (size_t i = 0; i < sizeof out; i++) {
        from[i] = (struct iovec){ &out[i], 1 };
        to[i] = (struct iovec){ &in[i], 1 };
    }
    even_op_sendmsg(lone(&l), pair[1], &sent, MSG_WAITALL);
    assert_int_equal(end_of(&l), sizeof out);
    even_op_recvmsg(lone(&l), pair[0], &got, MSG_WAITALL);
    assert_int_equal(end_of(&l), sizeof out);
    assert_int_equal(got.msg_flags, 0);
    assert_string_equal(in, out);
    close_loop();
    close_pair(pair);
}
