/* Operations, over real sockets, pipes and files: the same on each backend that stands on the kernel. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <stdio.h>
#include <sys/un.h>

/* ---- each kind ---- */

static void exchange(int pair[2])
{
    struct wop r, s;
    char buffer[16] = "";
    put(pair[1], "ready");                  /* even where it can be done at once, it ends in a pass */
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    assert_true(even_op_is_pending(&r.op));
    assert_int_equal(r.place, 0);
    run_all();
    assert_false(even_op_is_pending(&r.op));
    assert_int_equal(r.op.result, 5);
    assert_string_equal(buffer, "ready");

    memset(buffer, 0, sizeof buffer);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    pump();
    assert_int_equal(r.place, 0);
    even_op_send(expect(&s), pair[1], "later", 5, 0);
    assert_int_equal(s.place, 0);
    run_all();
    assert_int_equal(s.op.result, 5);
    assert_int_equal(r.op.result, 5);
    assert_string_equal(buffer, "later");

    for (int i = 0; i < 100; i++) {         /* there and back, on a registration that stands */
        char c = (char)i, d = 0;
        even_op_recv(expect(&r), pair[i & 1], &d, 1, 0);
        pump();
        even_op_send(expect(&s), pair[~i & 1], &c, 1, 0);
        run_all();
        assert_int_equal(r.op.result, 1);
        assert_int_equal(d, c);
    }

    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    pump();
    assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
    run_all();
    assert_int_equal(r.op.result, 0);
    assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 0);      /* and so it stays */
}

TEST(recv_and_send_on_unix)
{
    int pair[2];
    open_loop();
    unix_pair(pair);
    exchange(pair);
    close_loop();
    close_pair(pair);
}

TEST(recv_and_send_on_tcp)
{
    int pair[2];
    open_loop();
    tcp_pair(pair);
    exchange(pair);
    close_loop();
    close_pair(pair);
}

TEST(accept_and_connect)
{
    struct sockaddr_in address, peer, own;
    socklen_t n = sizeof peer, own_n = sizeof own;
    struct wop a, c;
    open_loop();
    int fd = listener(&address, 8), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memset(&peer, 0, sizeof peer);
    even_op_accept(expect(&a), fd, (struct sockaddr *)&peer, &n, 0);
    pump();
    assert_true(even_op_is_pending(&a.op));
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, sizeof address);
    assert_true(even_op_is_pending(&c.op));
    run_all();
    assert_int_equal(c.op.result, 0);
    assert_true(a.op.result >= 0);
    assert_true(fcntl(a.op.result, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(a.op.result, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &own_n), 0);
    assert_int_equal(n, sizeof peer);
    assert_int_equal(peer.sin_port, own.sin_port);

    for (int i = 0; i < 5; i++) {           /* without an address, and already there */
        int other = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(other, (struct sockaddr *)&address, sizeof address), 0);
        struct wop b;
        even_op_accept(expect(&b), fd, NULL, NULL, 0);
        run_all();
        assert_true(b.op.result >= 0);
        close(b.op.result);
        close(other);
    }
    close_loop();
    close(a.op.result);
    close(client);
    close(fd);
}

TEST(accepts_wait_in_line)
{
    struct sockaddr_in address;
    struct wop a[4];
    int client[4];
    open_loop();
    int fd = listener(&address, 8);
    for (int i = 0; i < 4; i++)
        even_op_accept(expect(&a[i]), fd, NULL, NULL, 0);
    pump();
    for (int i = 0; i < 4; i++) {
        client[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(client[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    run_all();
    for (int i = 0; i < 4; i++) {
        assert_true(a[i].op.result >= 0);
        close(a[i].op.result);
        close(client[i]);
    }
    close_loop();
    close(fd);
}

TEST(connect_refused)
{
    struct sockaddr_in address;
    struct wop c;
    open_loop();
    close(listener(&address, 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    even_op_connect(expect(&c), fd, (struct sockaddr *)&address, sizeof address);
    run_all();
    assert_int_equal(c.op.result, -ECONNREFUSED);
    close_loop();
    close(fd);
}

TEST(connect_on_unix)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "" };
    struct wop c, a;
    open_loop();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t n = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);    /* the kernel picks a name */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    assert_int_equal(listen(fd, 4), 0);
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, n);
    even_op_accept(expect(&a), fd, NULL, NULL, 0);
    run_all();
    assert_int_equal(c.op.result, 0);
    assert_true(a.op.result >= 0);
    close_loop();
    close(a.op.result);
    close(client);
    close(fd);
}

static char report[1024];
static int reports;

static void keep_report(void *data, const char *text)
{
    (void)data;
    reports++;
    snprintf(report, sizeof report, "%s", text);
}

/* A mistake of the caller's, who is named; the operation goes on as if nothing had been. */
static void is_refused(even_op *op, const char *name, int fd)
{
    char byte = 0, words[64];
    struct iovec v = { &byte, 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *const starts[] = { "accept", "connect", "recv", "send", "recvmsg", "sendmsg", "sendfile", "read", "write", "poll",
                                   "close" };
    for (int i = 0; i < 11; i++) {
        reports = 0;
        switch (i) {
        case 0: even_op_accept(op, fd, NULL, NULL, 0); break;
        case 1: even_op_connect(op, fd, (struct sockaddr *)&address, sizeof address); break;
        case 2: even_op_recv(op, fd, &byte, 1, 0); break;
        case 3: even_op_send(op, fd, &byte, 1, 0); break;
        case 4: even_op_recvmsg(op, fd, &m, MSG_PEEK | MSG_WAITALL); break;
        case 5: even_op_sendmsg(op, fd, &m, 0); break;
        case 6: even_op_sendfile(op, fd, fd, 0, 1); break;
        case 7: even_op_read(op, fd, &byte, 1); break;
        case 8: even_op_write(op, fd, &byte, 1); break;
        case 9: even_op_poll(op, fd, POLLOUT); break;
        case 10: even_op_close(op, fd); break;
        }
        assert_int_equal(reports, 1);
        snprintf(words, sizeof words, "even_op_%s: ", starts[i]);
        assert_non_null(strstr(report, words));
        assert_non_null(strstr(report, "; at test_op"));
        assert_non_null(strstr(report, name));
    }
}

TEST(started_before_it_is_over)
{
    int pair[2];
    struct wop r;
    char buffer[16] = "";
    even_set_report_hook(keep_report, NULL);
    open_loop();
    unix_pair(pair);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    is_refused(&r.op, "is pending already", pair[1]);
    pump();
    is_refused(&r.op, "is pending already", pair[1]);
    put(pair[1], "first");
    run_all();
    assert_int_equal(r.op.result, 5);
    assert_string_equal(buffer, "first");

    even_op_poll(expect(&r), pair[0], POLLOUT);
    do
        assert_int_equal(even__loop_look(loop, 0), 0);
    while (even_op_is_pending(&r.op));
    assert_int_equal(r.place, 0);
    is_refused(&r.op, "its handle has not run yet", pair[1]);
    run_all();
    assert_int_equal(r.op.result, POLLOUT);
    close_loop();
    close_pair(pair);
    even_set_report_hook(NULL, NULL);
}

TEST(read_and_write_on_pipes)
{
    int p[2];
    struct wop r, w;
    char buffer[16] = "";
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK), 0);
    even_op_read(expect(&r), p[0], buffer, sizeof buffer);
    pump();
    even_op_write(expect(&w), p[1], "pipe", 4);
    run_all();
    assert_int_equal(w.op.result, 4);
    assert_int_equal(r.op.result, 4);
    assert_string_equal(buffer, "pipe");
    even_op_read(expect(&r), p[0], buffer, sizeof buffer);
    pump();
    close(p[1]);
    run_all();
    assert_int_equal(r.op.result, 0);
    close(p[0]);

    assert_int_equal(pipe2(p, O_NONBLOCK), 0);      /* the reader goes away */
    static char block[4096];
    while (write(p[1], block, sizeof block) > 0)
        ;
    even_op_write(expect(&w), p[1], "x", 1);
    pump();
    assert_true(even_op_is_pending(&w.op));
    close(p[0]);
    run_all();
    assert_int_equal(w.op.result, -EPIPE);
    close_loop();
    close(p[1]);
}

TEST(read_and_write_on_files)
{
    char name[] = "/tmp/even-test-XXXXXX", buffer[8] = "";
    struct wop op;
    open_loop();
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    even_op_write(expect(&op), fd, "file", 4);
    run_all();
    assert_int_equal(op.op.result, 4);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    even_op_read(expect(&op), fd, buffer, sizeof buffer);
    run_all();
    assert_int_equal(op.op.result, 4);
    assert_string_equal(buffer, "file");
    even_op_read(expect(&op), fd, buffer, sizeof buffer);
    run_all();
    assert_int_equal(op.op.result, 0);
    close_loop();
    close(fd);
}

TEST(poll_operations)
{
    int pair[2];
    struct wop p, q;
    char c;
    open_loop();
    unix_pair(pair);
    even_op_poll(expect(&p), pair[0], POLLOUT);
    run_all();
    assert_int_equal(p.op.result, POLLOUT);
    for (int i = 0; i < 3; i++) {
        even_op_poll(expect(&p), pair[0], POLLIN);
        even_op_poll(expect(&q), pair[0], POLLIN);
        pump();
        assert_int_equal(p.place, 0);
        put(pair[1], "x");
        run_all();
        assert_int_equal(p.op.result, POLLIN);
        assert_int_equal(q.op.result, POLLIN);
        even_op_poll(expect(&p), pair[0], POLLIN);      /* still there: one shot each, and no edge is needed */
        run_all();
        assert_int_equal(p.op.result, POLLIN);
        assert_int_equal(read(pair[0], &c, 1), 1);      /* behind the loop's back */
    }
    even_op_poll(expect(&p), pair[0], POLLIN);
    pump();
    close(pair[1]);
    run_all();
    assert_true(p.op.result & POLLHUP);
    close_loop();
    close(pair[0]);
}

TEST(close_operations)
{
    int pair[2];
    struct wop c;
    open_loop();
    unix_pair(pair);
    even_op_close(expect(&c), pair[0]);
    assert_int_equal(c.place, 0);
    run_all();
    assert_int_equal(c.op.result, 0);
    assert_int_equal(fcntl(pair[0], F_GETFD), -1);
    even_op_close(expect(&c), pair[0]);
    run_all();
    assert_int_equal(c.op.result, -EBADF);
    close_loop();
    close(pair[1]);
}

TEST(bad_descriptors)
{
    static const int bad[] = { -1, 1000, 1 << 30 };
    struct sockaddr_in address = { .sin_family = AF_INET };
    char c;
    open_loop();
    for (int i = 0; i < 3; i++) {
        struct wop op[7];
        even_op_recv(expect(&op[0]), bad[i], &c, 1, 0);
        even_op_send(expect(&op[1]), bad[i], "x", 1, 0);
        even_op_read(expect(&op[2]), bad[i], &c, 1);
        even_op_write(expect(&op[3]), bad[i], "x", 1);
        even_op_accept(expect(&op[4]), bad[i], NULL, NULL, 0);
        even_op_connect(expect(&op[5]), bad[i], (struct sockaddr *)&address, sizeof address);
        even_op_poll(expect(&op[6]), bad[i], POLLIN);
        run_all();
        for (int k = 0; k < 7; k++)
            assert_int_equal(op[k].op.result, -EBADF);
    }
    close_loop();
}

TEST(a_reset_is_an_error)
{
    for (int pending = 0; pending < 2; pending++) {
        int pair[2];
        struct linger linger = { 1, 0 };
        struct wop r;
        char c;
        open_loop();
        tcp_pair(pair);
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
        if (!pending) {
            close(pair[1]);
            until(pair[0], POLLIN);
        }
        even_op_recv(expect(&r), pair[0], &c, 1, 0);
        if (pending) {
            pump();
            close(pair[1]);
        }
        run_all();
        assert_int_equal(r.op.result, -ECONNRESET);
        even_op_send(expect(&r), pair[0], "x", 1, 0);
        run_all();
        assert_int_equal(r.op.result, -EPIPE);
        close_loop();
        close(pair[0]);
    }
}

/* ---- order, fullness, ends ---- */

/* Not on io_uring: it keeps no order among receives of one socket that wait at the same time. */
TEST(two_receives_come_in_order, .on = TEST_EPOLL)
{
    for (int i = 0; i < 20; i++) {
        int pair[2];
        struct wop a, b;
        char first[2] = "", second[2] = "";
        open_loop();
        (i & 1 ? tcp_pair : unix_pair)(pair);
        even_op_recv(expect(&a), pair[0], first, 1, 0);
        even_op_recv(expect(&b), pair[0], second, 1, 0);
        pump();
        put(pair[1], "1");
        if (i & 2)
            pump();
        put(pair[1], "2");
        run_all();
        assert_string_equal(first, "1");
        assert_string_equal(second, "2");
        assert_true(a.place < b.place);
        close_loop();
        close_pair(pair);
    }
}

TEST(two_sends_leave_in_order)
{
    for (int i = 0; i < 20; i++) {
        int pair[2];
        struct wop a, b;
        static char sink[1 << 16];
        char last[8];
        size_t full, got = 0;
        open_loop();
        unix_pair(pair);
        full = fill(pair[0]);
        even_op_send(expect(&a), pair[0], "aaaa", 4, 0);
        if (i & 1)
            pump();
        even_op_send(expect(&b), pair[0], "bbbb", 4, 0);
        pump();
        while (got < full) {
            ssize_t n = read(pair[1], sink, full - got < sizeof sink ? full - got : sizeof sink);
            assert_true(n > 0);
            got += (size_t)n;
        }
        run_all();
        assert_int_equal(a.op.result, 4);
        assert_int_equal(b.op.result, 4);
        assert_true(a.place < b.place);
        assert_int_equal(read(pair[1], last, 8), 8);
        assert_memory_equal(last, "aaaabbbb", 8);
        close_loop();
        close_pair(pair);
    }
}

enum { BIG = 8 << 20 };
static struct {
    even_op send, recv;
    char *out, *in;
    size_t sent, received;
    int fd[2], wrong;
} big;

static void big_sent(even_handle *h)
{
    (void)h;
    if (big.send.result <= 0) {
        big.wrong = big.send.result;
        even_loop_stop(loop);
        return;
    }
    big.sent += (size_t)big.send.result;
    if (big.sent < BIG)
        even_op_send(&big.send, big.fd[0], big.out + big.sent, BIG - big.sent, 0);
}

static void big_received(even_handle *h)
{
    (void)h;
    if (big.recv.result <= 0) {
        big.wrong = big.recv.result;
        even_loop_stop(loop);
        return;
    }
    big.received += (size_t)big.recv.result;
    if (big.received < BIG)
        even_op_recv(&big.recv, big.fd[1], big.in + big.received, BIG - big.received, 0);
    else
        even_loop_stop(loop);
}

static void big_transfer(void)
{
    uint64_t random = 7;
    big.out = malloc(BIG);
    big.in = calloc(1, BIG);
    big.sent = big.received = 0;
    big.wrong = 0;
    for (size_t i = 0; i < BIG / 8; i++)
        ((uint64_t *)(void *)big.out)[i] = even__random(&random);
    even_op_init(&big.send, loop, big_sent);
    even_op_init(&big.recv, loop, big_received);
    even_op_send(&big.send, big.fd[0], big.out, BIG, 0);
    pump();     /* the buffer is full before anybody reads */
    assert_int_equal(big.wrong, 0);
    assert_true(big.sent < BIG);
    even_op_recv(&big.recv, big.fd[1], big.in, BIG, 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(big.wrong, 0);
    assert_int_equal(big.received, BIG);
    assert_memory_equal(big.in, big.out, BIG);
    free(big.in);
    free(big.out);
}

TEST(a_send_larger_than_the_socket_buffer)
{
    for (int i = 0; i < 2; i++) {
        open_loop();
        (i ? tcp_pair : unix_pair)(big.fd);
        big_transfer();
        close_loop();
        close_pair(big.fd);
    }
}

/* Under an edge-triggered registration, an end that came with the bytes has no edge of its own. */
TEST(a_short_read_does_not_hide_the_end)
{
    for (int i = 0; i < 16; i++) {
        int pair[2];
        struct wop r;
        char buffer[64] = "";
        open_loop();
        (i & 1 ? tcp_pair : unix_pair)(pair);
        if (i & 2) {    /* a registration that stands, and was dry */
            even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
            pump();
            put(pair[1], "one");
            run_all();
            assert_int_equal(r.op.result, 3);
        }
        if (i & 4) {
            even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
            pump();
        }
        put(pair[1], "two");
        if (i & 8)
            shutdown(pair[1], SHUT_WR);
        else
            close(pair[1]);
        until(pair[0], POLLRDHUP);
        if (!(i & 4))
            even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        run_all();
        assert_int_equal(r.op.result, 3);
        assert_memory_equal(buffer, "two", 3);
        assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 0);
        close_loop();
        close(pair[0]);
        if (i & 8)
            close(pair[1]);
    }
}

/* Reads that stop short although more is there: what is behind must not wait for the next edge. */
TEST(datagrams_are_short_and_not_the_last)
{
    int pair[2];
    char buffer[64];
    struct wop r;
    open_loop();
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    pump();
    for (int i = 0; i < 3; i++)
        put(pair[1], "dgram");
    run_all();
    assert_int_equal(r.op.result, 5);
    assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 5);
    assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 5);
    close_loop();
    close_pair(pair);
}

TEST(packets_in_a_pipe_are_short_and_not_the_last)
{
    int p[2];
    char buffer[64];
    struct wop r;
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK | O_DIRECT), 0);
    even_op_read(expect(&r), p[0], buffer, sizeof buffer);
    pump();
    for (int i = 0; i < 3; i++)
        put(p[1], "packet");
    run_all();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r.op.result, 6);
        even_op_read(expect(&r), p[0], buffer, sizeof buffer);
        run_all();
    }
    assert_int_equal(r.op.result, 6);
    close_loop();
    close_pair(p);
}

TEST(a_message_with_descriptors_is_short_and_not_the_last)
{
    int pair[2];
    char buffer[64], control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct wop r;
    open_loop();
    unix_pair(pair);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    pump();
    struct iovec part = { (void *)(uintptr_t)"with", 4 };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(c), &pair[0], sizeof(int));
    assert_int_equal(sendmsg(pair[1], &m, 0), 4);
    put(pair[1], "more");
    run_all();
    size_t got = (size_t)r.op.result;
    while (got < 8) {
        int32_t n = recv_now(pair[0], buffer, sizeof buffer);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, 8);
    close_loop();
    close_pair(pair);
}

TEST(bytes_behind_urgent_data_are_not_lost)
{
    int pair[2], mark = 0;
    char buffer[64];
    struct wop r;
    open_loop();
    tcp_pair(pair);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    pump();
    put(pair[1], "x");
    run_all();      /* registered, and dry */
    put(pair[1], "ab");
    assert_int_equal(send(pair[1], "!", 1, MSG_OOB), 1);
    put(pair[1], "cd");
    until(pair[0], POLLPRI);
    until_bytes(pair[0], 2);
    even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
    run_all();
    assert_int_equal(r.op.result, 2);
    assert_int_equal(ioctl(pair[0], SIOCATMARK, &mark), 0);
    assert_int_equal(mark, 1);
    assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 2);
    assert_memory_equal(buffer, "cd", 2);
    close_loop();
    close_pair(pair);
}

TEST(a_peek_takes_nothing)
{
    int pair[2];
    char buffer[64];
    struct wop r;
    open_loop();
    tcp_pair(pair);
    for (int i = 0; i < 3; i++) {
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, MSG_PEEK);
        if (i)
            pump();
        put(pair[1], "peek");
        run_all();
        assert_int_equal(r.op.result, 4);
        assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 4);
    }
    close_loop();
    close_pair(pair);
}
