/* What the tests of operations and watches share: a loop, operations that note their end, and sockets of the kernel. */
#ifndef EVEN_TEST_SOCKETS_H
#define EVEN_TEST_SOCKETS_H

#include "test.h"
#include "loop/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static even_loop *loop;
static int waiting, over;       /* operations that run_all() waits for; how many are over */

struct wop {
    even_op op;
    int place;                  /* when it ended, among all; 0: not yet */
};

static inline void wop_over(even_handle *h)
{
    struct wop *w = even_container_of(h, struct wop, op.handle);
    w->place = ++over;
    bool spoiled = w->op.result < 0 && test_fault_fired();  /* the others may wait for what will not happen now */
    if (--waiting == 0 || spoiled)
        even_loop_stop(loop);
}

static inline even_op *expect(struct wop *w)
{
    even_op_init(&w->op, loop, wop_over);
    w->place = 0;
    waiting++;
    return &w->op;
}

static inline void run_all(void)
{
    if (waiting)
        assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(waiting, 0);
}

/* Passes that do not wait: enough for whatever is ready to come through. */
static inline void pump(void)
{
    for (int i = 0; i < 8; i++)
        assert_int_equal(even_loop_step(loop), 0);
}

static inline void open_loop(void)
{
    waiting = over = 0;
    signal(SIGPIPE, SIG_IGN);       /* a write to a pipe has no flag for it */
    assert_int_equal(even_loop_new(&loop, NULL), 0);
}

static inline void close_loop(void) { assert_int_equal(even_loop_close(loop), 0); }

static inline void unix_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static inline int listener(struct sockaddr_in *address, int backlog)
{
    socklen_t n = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)address, n), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &n), 0);
    return fd;
}

static inline void tcp_pair(int pair[2])
{
    struct sockaddr_in address;
    int fd = listener(&address, 1), on = 1;
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&address, sizeof address), 0);
    pair[1] = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(pair[1] >= 0);
    assert_int_equal(fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK), 0);
    assert_int_equal(setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    close(fd);
}

static inline void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Wait, without the loop, until a descriptor is ready. */
static inline void until(int fd, short events)
{
    struct pollfd p = { fd, events, 0 };
    assert_int_equal(poll(&p, 1, 5000), 1);
}

/* Until `n` bytes have come: loopback is quick, but not instant. */
static inline void until_bytes(int fd, int n)
{
    int have = 0;
    do
        assert_int_equal(ioctl(fd, FIONREAD, &have), 0);
    while (have < n);
}

static inline int32_t recv_now(int fd, char *buffer, size_t n)
{
    struct wop r;
    memset(buffer, 0, n);
    even_op_recv(expect(&r), fd, buffer, n, 0);
    run_all();
    return r.op.result;
}

static inline size_t fill(int fd)
{
    static char block[65536];
    size_t total = 0;
    for (size_t size = sizeof block; size; size /= 16) {
        ssize_t n;
        while ((n = send(fd, block, size, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
            total += (size_t)n;
    }
    return total;
}

#endif
