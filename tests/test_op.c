/* Operations, over real sockets, pipes and files: the same on each backend that stands on the kernel. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <pthread.h>
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
    char buffer[64], control[CMSG_SPACE(sizeof(int))];
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

/* ---- cancel ---- */

static bool is_filled_with(const char *buffer, char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (buffer[i] != c)
            return false;
    return true;
}

TEST(a_canceled_recv_lets_go_of_its_buffer)
{
    for (int i = 0; i < 4; i++) {
        int pair[2];
        struct wop r;
        char buffer[64];
        open_loop();
        (i & 1 ? tcp_pair : unix_pair)(pair);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        if (i & 2)
            pump();
        even_op_cancel(&r.op);
        assert_int_equal(r.place, 0);       /* never from inside */
        even_op_cancel(&r.op);              /* once is enough */
        run_all();
        assert_int_equal(r.op.result, -ECANCELED);
        assert_false(even_op_is_pending(&r.op));
        even_op_cancel(&r.op);              /* nothing is pending: nothing */
        memset(buffer, 'P', sizeof buffer);
        put(pair[1], "later");
        until(pair[0], POLLIN);
        pump();
        assert_true(is_filled_with(buffer, 'P', sizeof buffer));
        assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 5);
        assert_memory_equal(buffer, "later", 5);
        close_loop();
        close_pair(pair);
    }
}

TEST(a_recv_canceled_as_its_bytes_arrive_loses_nothing)
{
    int pair[2];
    unsigned char next = 0, expected = 0;
    open_loop();
    tcp_pair(pair);
    for (int i = 0; i < 400; i++) {
        struct wop r;
        unsigned char buffer[64], send[3] = { next, (unsigned char)(next + 1), (unsigned char)(next + 2) };
        next = (unsigned char)(next + 3);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        if (i & 1)
            pump();
        if (i & 2) {
            assert_int_equal(write(pair[1], send, 3), 3);
            if (i & 4)
                until(pair[0], POLLIN);
            if (i & 8)
                assert_int_equal(even_loop_step(loop), 0);
            even_op_cancel(&r.op);
        } else {
            even_op_cancel(&r.op);
            assert_int_equal(write(pair[1], send, 3), 3);
        }
        run_all();
        int32_t n = r.op.result;
        assert_true(n == -ECANCELED || n == 3);
        if (n == -ECANCELED) {
            even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
            run_all();
            n = r.op.result;
            assert_int_equal(n, 3);
        }
        for (int k = 0; k < 3; k++)
            assert_int_equal(buffer[k], expected++);
    }
    close_loop();
    close_pair(pair);
}

TEST(a_canceled_accept_loses_no_connection)
{
    struct sockaddr_in address;
    open_loop();
    int fd = listener(&address, 64);
    for (int i = 0; i < 64; i++) {
        struct wop a;
        int client = socket(AF_INET, SOCK_STREAM, 0);
        even_op_accept(expect(&a), fd, NULL, NULL, 0);
        if (i & 1)
            pump();
        if (i & 2)
            assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
        if (i & 4)
            assert_int_equal(even_loop_step(loop), 0);
        even_op_cancel(&a.op);
        if (!(i & 2))
            assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
        run_all();
        if (!(i & 2) || a.op.result < 0) {
            assert_int_equal(a.op.result, -ECANCELED);
            even_op_accept(expect(&a), fd, NULL, NULL, 0);
            run_all();
        }
        assert_true(a.op.result >= 0);
        close(a.op.result);
        close(client);
    }
    close_loop();
    close(fd);
}

TEST(a_connect_can_be_canceled)
{
    struct sockaddr_in address;
    int filler[4];
    struct wop c;
    open_loop();
    int fd = listener(&address, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    for (int i = 0; i < 4; i++) {   /* a full backlog answers nobody */
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&address, sizeof address);
    }
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, sizeof address);
    pump();
    assert_true(even_op_is_pending(&c.op));
    even_op_cancel(&c.op);
    run_all();
    assert_int_equal(c.op.result, -ECANCELED);
    close_loop();
    for (int i = 0; i < 4; i++)
        close(filler[i]);
    close(client);
    close(fd);
}

TEST(polls_and_sends_can_be_canceled)
{
    int pair[2];
    struct wop p, s, last;
    static char sink[1 << 16];
    open_loop();
    unix_pair(pair);
    even_op_poll(expect(&p), pair[0], POLLIN);
    pump();
    even_op_cancel(&p.op);
    run_all();
    assert_int_equal(p.op.result, -ECANCELED);

    size_t full = fill(pair[0]), got = 0;
    even_op_send(expect(&s), pair[0], "no", 2, 0);
    even_op_send(expect(&last), pair[0], "yes", 3, 0);
    pump();
    even_op_cancel(&s.op);      /* the first of the line */
    while (got < full) {
        pump();
        ssize_t n = read(pair[1], sink, full - got < sizeof sink ? full - got : sizeof sink);
        assert_true(n > 0);
        got += (size_t)n;
    }
    run_all();
    assert_int_equal(s.op.result, -ECANCELED);
    assert_int_equal(last.op.result, 3);
    assert_int_equal(read(pair[1], sink, sizeof sink), 3);
    assert_memory_equal(sink, "yes", 3);
    close_loop();
    close_pair(pair);
}

/* ---- the loop's life ---- */

static int completed;

static void count_completion(even_op *op)
{
    (void)op;
    completed++;
}

TEST(close_ends_all_that_is_pending)
{
    struct sockaddr_in address;
    int pair[2], p[2];
    even_op op[6];
    char buffer[64];
    open_loop();
    unix_pair(pair);
    assert_int_equal(pipe2(p, O_NONBLOCK), 0);
    int fd = listener(&address, 1);
    completed = 0;
    fill(pair[1]);
    for (int i = 0; i < 6; i++) {
        even_op_init(&op[i], loop, NULL);
        op[i].complete = count_completion;
    }
    even_op_send(&op[0], pair[1], "x", 1, 0);
    even_op_recv(&op[1], pair[1], buffer, sizeof buffer, 0);
    even_op_accept(&op[2], fd, NULL, NULL, 0);
    even_op_read(&op[3], p[0], buffer, sizeof buffer);
    even_op_poll(&op[4], p[0], POLLIN);
    pump();
    assert_int_equal(completed, 0);
    even_op_poll(&op[5], p[0], POLLIN);     /* not even submitted */
    even_op_cancel(&op[4]);                 /* and one that was asked to end, and has not yet */
    memset(buffer, 'P', sizeof buffer);
    close_loop();
    assert_int_equal(completed, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(op[i].result, -ECANCELED);
        assert_false(even_op_is_pending(&op[i]));
    }
    put(pair[0], "late");
    put(p[1], "late");
    assert_true(is_filled_with(buffer, 'P', sizeof buffer));
    close_pair(pair);
    close_pair(p);
    close(fd);
}

/* Made in one thread, run in two others, closed in a fourth, with an operation pending throughout. */
static struct {
    even_op op, other;
    char byte, other_byte;
    int pair[2], pending[2];
    int got, rc;
} traveler;

static void traveler_got(even_handle *h)
{
    (void)h;
    traveler.got += traveler.op.result == 1;
    even_op_recv(&traveler.op, traveler.pair[0], &traveler.byte, 1, 0);
    even_loop_stop(loop);
}

static void *traveler_new(void *data)
{
    traveler.rc = even_loop_new(&loop, NULL);
    if (traveler.rc < 0)
        return data;
    even_op_init(&traveler.op, loop, traveler_got);
    even_op_init(&traveler.other, loop, NULL);
    even_op_recv(&traveler.op, traveler.pair[0], &traveler.byte, 1, 0);
    even_op_recv(&traveler.other, traveler.pending[0], &traveler.other_byte, 1, 0);
    return data;
}

static void *traveler_run(void *data)
{
    traveler.rc = even_loop_run_forever(loop);
    return data;
}

static void *traveler_close(void *data)
{
    traveler.rc = even_loop_close(loop);
    return data;
}

static void in_a_thread(void *(*function)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(traveler.rc, 0);
}

TEST(a_loop_may_change_its_thread)
{
    unix_pair(traveler.pair);
    unix_pair(traveler.pending);
    traveler.got = 0;
    in_a_thread(traveler_new);
    put(traveler.pair[1], "1");
    in_a_thread(traveler_run);
    assert_int_equal(traveler.got, 1);
    put(traveler.pair[1], "2");         /* arrives between the runs */
    in_a_thread(traveler_run);
    assert_int_equal(traveler.got, 2);
    assert_true(even_op_is_pending(&traveler.op));
    assert_true(even_op_is_pending(&traveler.other));
    in_a_thread(traveler_close);
    assert_false(even_op_is_pending(&traveler.op));
    assert_int_equal(traveler.other.result, -ECANCELED);
    close_pair(traveler.pair);
    close_pair(traveler.pending);
}
