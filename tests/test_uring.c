/* What only the io_uring backend can get wrong: rings that belong to threads, full rings, and the races of a cancel.
 * (It is over 800 lines because it is of one file, and its tests share how they fill a ring.) */
#define TEST_ON TEST_URING
#include "test.h"
#include "base/faults.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- helpers ---- */

struct act {
    even_op op;
    int ended;
    bool stops;
};

static void act_done(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, op.handle);
    a->ended++;
    if (a->stops)
        even_loop_stop(a->op.loop);
}

static void act_init(struct act *a, even_loop *loop, bool stops)
{
    memset(a, 0, sizeof *a);
    even_op_init(&a->op, loop, act_done);
    a->stops = stops;
}

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_string_equal(even_loop_backend(loop), "uring");
    return loop;
}

static void *run_forever(void *loop)
{
    return (void *)(intptr_t)even_loop_run_forever(loop);
}

static void *run_one_pass(void *loop)
{
    even_loop_stop(loop);
    return run_forever(loop);
}

static void *close_loop(void *loop)
{
    return (void *)(intptr_t)even_loop_close(loop);
}

static void *step_loop(void *loop)
{
    return (void *)(intptr_t)even_loop_step(loop);
}

static void *timeout_of_loop(void *loop)
{
    return (void *)(intptr_t)even_loop_timeout(loop);
}

static int in_thread(void *(*f)(void *), void *arg)
{
    pthread_t t;
    void *result;
    assert_int_equal(pthread_create(&t, NULL, f, arg), 0);
    assert_int_equal(pthread_join(t, &result), 0);
    return (int)(intptr_t)result;
}

static void pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static int listener(struct sockaddr_in *at, int backlog)
{
    socklen_t n = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
    return fd;
}

static int client(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
    return fd;
}

static int io_urings_open(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        char path[64], target[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "io_uring"))
            n++;
    }
    return n;
}

/* ---- threads ---- */

TEST(made_run_run_and_closed_in_four_threads, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct sockaddr_in at;
    char byte[8] = "";
    int fd[2], listening = listener(&at, 8);
    struct act receive, accepted;
    pair(fd);
    act_init(&receive, loop, true);
    act_init(&accepted, loop, true);
    even_op_recv(&receive.op, fd[0], byte, sizeof byte, 0);     /* before the first run: waits in user space */
    even_op_accept(&accepted.op, listening, NULL, NULL, 0);

    assert_int_equal(in_thread(run_one_pass, loop), 0);
    assert_true(even_op_is_pending(&receive.op) && even_op_is_pending(&accepted.op));
    assert_int_equal(write(fd[1], "one", 3), 3);                /* while nobody runs it */
    assert_int_equal(in_thread(run_forever, loop), 0);
    assert_int_equal(receive.ended, 1);
    assert_int_equal(receive.op.result, 3);
    assert_memory_equal(byte, "one", 3);
    assert_int_equal(accepted.ended, 0);

    even_op_recv(&receive.op, fd[0], byte, sizeof byte, 0);
    int peer = client(&at);
    assert_int_equal(in_thread(run_forever, loop), 0);
    assert_int_equal(accepted.ended, 1);
    assert_true(accepted.op.result >= 0);
    close(accepted.op.result);
    even_op_accept(&accepted.op, listening, NULL, NULL, 0);
    assert_int_equal(in_thread(run_one_pass, loop), 0);
    assert_int_equal(receive.ended, 1);
    assert_int_equal(io_urings_open(), 1);

    assert_int_equal(in_thread(close_loop, loop), 0);
    assert_int_equal(receive.op.result, -ECANCELED);
    assert_int_equal(accepted.op.result, -ECANCELED);
    assert_false(even_op_is_pending(&receive.op) || even_op_is_pending(&accepted.op));
    assert_int_equal(write(fd[1], "two", 3), 3);                /* and no byte is touched any more */
    assert_memory_equal(byte, "one", 3);
    close(peer), close(listening), close(fd[0]), close(fd[1]);
}

/* A stream of bytes through a loop that moves from thread to thread every few passes. */
struct stream {
    struct act act;
    even_timer pause;
    int fd;
    uint32_t expected, stop_after;
    uint8_t buffer[512];
    bool broken, over;
};

enum { STREAM_BYTES = 400000 };

static void stream_received(even_handle *h)
{
    struct stream *s = even_container_of(h, struct stream, act.op.handle);
    int n = s->act.op.result;
    if (n <= 0) {
        s->over = true;
        s->broken |= n < 0;
        even_loop_stop(s->act.op.loop);
        return;
    }
    for (int i = 0; i < n; i++)
        s->broken |= s->buffer[i] != (uint8_t)(s->expected++ * 7);
    memset(s->buffer, 0xee, sizeof s->buffer);
    even_op_recv(&s->act.op, s->fd, s->buffer, 1 + s->expected % sizeof s->buffer, 0);
    if (s->expected >= s->stop_after) {
        s->stop_after = s->expected + 900;
        even_loop_stop(s->act.op.loop);
    }
}

static void *write_stream(void *arg)
{
    int fd = *(int *)arg;
    uint8_t chunk[97];
    for (uint32_t sent = 0; sent < STREAM_BYTES;) {
        size_t n = sizeof chunk < STREAM_BYTES - sent ? sizeof chunk : STREAM_BYTES - sent;
        for (size_t i = 0; i < n; i++)
            chunk[i] = (uint8_t)((sent + i) * 7);
        ssize_t w = write(fd, chunk, n);
        if (w > 0)
            sent += (uint32_t)w;
        else
            poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, -1);
    }
    shutdown(fd, SHUT_WR);
    return NULL;
}

TEST(no_byte_is_lost_when_the_loop_moves, .no_faults = true)
{
    even_loop *loop = new_loop();
    static struct stream s;
    int fd[2];
    pthread_t writer;
    pair(fd);
    s.fd = fd[0];
    even_op_init(&s.act.op, loop, stream_received);
    even_op_recv(&s.act.op, s.fd, s.buffer, sizeof s.buffer, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_stream, &fd[1]), 0);
    for (int i = 0; !s.over; i++)
        assert_int_equal(i % 3 ? in_thread(run_forever, loop) : (int)(intptr_t)run_forever(loop), 0);
    pthread_join(writer, NULL);
    assert_false(s.broken);
    assert_int_equal(s.expected, STREAM_BYTES);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

TEST(a_connect_goes_on_in_another_thread, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct sockaddr_in at;
    int listening = listener(&at, 0), first = client(&at);      /* its queue is full now: the next one hangs */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct act connecting;
    act_init(&connecting, loop, true);
    even_op_connect(&connecting.op, fd, (struct sockaddr *)&at, sizeof at);
    for (int i = 0; i < 3; i++)
        assert_int_equal(in_thread(run_one_pass, loop), 0);
    assert_int_equal(connecting.ended, 0);
    int accepted = accept(listening, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(in_thread(run_forever, loop), 0);          /* the kernel asks again after a second */
    assert_int_equal(connecting.ended, 1);
    assert_int_equal(connecting.op.result, 0);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd), close(first), close(accepted), close(listening);
}

TEST(a_connect_fails_in_another_thread, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct sockaddr_in at;
    int listening = listener(&at, 0), first = client(&at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct act connecting;
    act_init(&connecting, loop, true);
    even_op_connect(&connecting.op, fd, (struct sockaddr *)&at, sizeof at);
    assert_int_equal(in_thread(run_one_pass, loop), 0);
    close(first), close(listening);
    assert_int_equal(in_thread(run_forever, loop), 0);
    assert_int_equal(connecting.op.result, -ECONNREFUSED);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd);
}

TEST(another_thread_may_step_it, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act receive;
    char byte = 0;
    int fd[2];
    pair(fd);
    act_init(&receive, loop, true);
    even_op_recv(&receive.op, fd[0], &byte, 1, 0);
    assert_int_equal(even_loop_step(loop), 0);                  /* this thread lives on */
    assert_int_equal(in_thread(step_loop, loop), 0);            /* and this one has ended */
    assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(in_thread(timeout_of_loop, loop), -1);
    assert_int_equal(receive.ended, 0);
    assert_int_equal(write(fd[1], "xy", 2), 2);
    assert_int_equal(in_thread(run_forever, loop), 0);
    assert_int_equal(receive.ended, 1);
    assert_int_equal(receive.op.result, 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(recv(fd[0], &byte, 1, 0), 1);              /* no ring of before took the other one */
    assert_int_equal(byte, 'y');
    assert_int_equal(io_urings_open(), 1);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

TEST(a_thread_that_only_stepped_is_gone, .no_faults = true)
{
    even_loop *loop = new_loop();
    char byte;
    int fd[2];
    struct act receive;
    pair(fd);
    act_init(&receive, loop, false);
    even_op_recv(&receive.op, fd[0], &byte, 1, 0);
    assert_int_equal(in_thread(step_loop, loop), 0);
    assert_int_equal(even_loop_close(loop), 0);
    assert_int_equal(receive.op.result, -ECANCELED);
    close(fd[0]), close(fd[1]);
}

static void *push(void *arg)
{
    even_handle *h = arg;
    even_call_soon_threadsafe(even_container_of(h, struct act, op.handle)->op.loop, h);
    return NULL;
}

TEST(a_push_wakes_it_in_any_thread, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act woken;
    for (int i = 0; i < 200; i++) {
        pthread_t runner;
        act_init(&woken, loop, true);
        assert_int_equal(pthread_create(&runner, NULL, run_forever, loop), 0);
        if (i % 2)
            while (!atomic_load(&loop->door.asleep))
                sched_yield();
        push(&woken.op.handle);
        pthread_join(runner, NULL);
        assert_int_equal(woken.ended, 1);
    }
    assert_int_equal(io_urings_open(), 1);
    assert_int_equal(even_loop_close(loop), 0);
}

/* ---- runs in one thread ---- */

TEST(a_short_run_asks_the_kernel_for_little)
{
    even_loop *loop = new_loop();
    even_loop_stop(loop);
    assert_int_equal(even_loop_run_forever(loop), 0);
#ifdef EVEN_FAULTS
    unsigned long before = even__fault_count(EVEN__FAULT_SYSCALL);
    for (int i = 0; i < 100; i++) {
        even_loop_stop(loop);
        assert_int_equal(even_loop_run_forever(loop), 0);
    }
    assert_int_equal(even__fault_count(EVEN__FAULT_SYSCALL) - before, 0);
#endif
    assert_int_equal(even_loop_close(loop), 0);
}

/* ---- full rings ---- */

enum { MANY = 10000 };

/* The kernel completes some twenty of them a call when it is not made to wait. */
static void step_until_over(even_loop *loop, const struct act *acts)
{
    int steps = 0;
    for (int i = 0; i < MANY; i++)
        while (!acts[i].ended && steps++ < MANY)
            assert_int_equal(even_loop_step(loop), 0);
}

TEST(ten_thousand_starts_in_one_pass, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act *polls = calloc(MANY, sizeof *polls);
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);    /* readable: all of them end at once, far more than fit */
    for (int i = 0; i < MANY; i++) {
        act_init(&polls[i], loop, false);
        even_op_poll(&polls[i].op, fd, POLLIN);
    }
    step_until_over(loop, polls);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(polls[i].ended, 1);
        assert_int_equal(polls[i].op.result, POLLIN);
    }
    assert_int_equal(even_loop_close(loop), 0);
    free(polls), close(fd);
}

TEST(ten_thousand_cancels_in_one_pass, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act *polls = calloc(MANY, sizeof *polls);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < MANY; i++) {
        act_init(&polls[i], loop, false);
        even_op_poll(&polls[i].op, fd, POLLIN);
    }
    assert_int_equal(even_loop_step(loop), 0);
    for (int i = 0; i < MANY; i++) {
        even_op_cancel(&polls[i].op);
        even_op_cancel(&polls[i].op);                           /* once more says nothing new */
        assert_true(even_op_is_pending(&polls[i].op));          /* never from inside the call */
    }
    step_until_over(loop, polls);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(polls[i].ended, 1);
        assert_int_equal(polls[i].op.result, -ECANCELED);
    }
    assert_int_equal(even_loop_close(loop), 0);
    free(polls), close(fd);
}

TEST(ten_thousand_move_to_another_thread, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act *polls = calloc(MANY, sizeof *polls);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < MANY; i++) {
        act_init(&polls[i], loop, i == MANY - 1);
        even_op_poll(&polls[i].op, fd, POLLIN);
    }
    assert_int_equal(in_thread(run_one_pass, loop), 0);
    assert_int_equal(polls[0].ended, 0);
    assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
    assert_int_equal(in_thread(run_forever, loop), 0);
    assert_int_equal(even_loop_close(loop), 0);
    for (int i = 0; i < MANY; i++)
        assert_true(polls[i].ended + (polls[i].op.result == POLLIN) >= 1 && !even_op_is_pending(&polls[i].op));
    free(polls), close(fd);
}

/* ---- cancelling ---- */

TEST(cancelled_before_the_kernel_knew)
{
    even_loop *loop = new_loop();
    char byte = 'x';
    int fd[2];
    struct act receive;
    pair(fd);
    assert_int_equal(write(fd[1], "a", 1), 1);
    act_init(&receive, loop, false);
    even_op_recv(&receive.op, fd[0], &byte, 1, 0);
    even_op_cancel(&receive.op);
    assert_true(even_op_is_pending(&receive.op));
    assert_int_equal(receive.ended, 0);
    int rc = even_loop_step(loop);
    if (rc == 0) {
        assert_int_equal(receive.ended, 1);
        assert_int_equal(receive.op.result, -ECANCELED);
        assert_int_equal(byte, 'x');
        assert_int_equal(read(fd[0], &byte, 1), 1);             /* it had not been read */
    }
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
    assert_int_equal(rc, 0);
}

TEST(cancelled_as_its_bytes_arrive, .no_faults = true)
{
    even_loop *loop = new_loop();
    static struct stream s;
    int fd[2], canceled = 0, received = 0;
    pthread_t writer;
    pair(fd);
    struct act receive;
    act_init(&receive, loop, false);
    assert_int_equal(pthread_create(&writer, NULL, write_stream, &fd[1]), 0);
    uint64_t random = 1;
    for (;;) {
        int ended = receive.ended;
        memset(s.buffer, 0xee, sizeof s.buffer);
        even_op_recv(&receive.op, fd[0], s.buffer, 64, 0);
        for (uint64_t n = even__random(&random) % 3; n > 0 && receive.ended == ended; n--)
            assert_int_equal(even_loop_step(loop), 0);
        sched_yield();                                          /* valgrind runs one thread at a time, and not fairly */
        even_op_cancel(&receive.op);
        while (receive.ended == ended)
            assert_int_equal(even_loop_step(loop), 0);
        int n = receive.op.result;
        if (n == 0)
            break;
        for (int i = 0; i < n; i++)
            assert_int_equal(s.buffer[i], (uint8_t)(s.expected++ * 7));
        if (n > 0) {
            received++;
            continue;
        }
        assert_int_equal(n, -ECANCELED);
        canceled++;
        for (size_t i = 0; i < sizeof s.buffer; i++)            /* nothing was written behind its back */
            assert_int_equal(s.buffer[i], 0xee);
    }
    pthread_join(writer, NULL);
    assert_int_equal(s.expected, STREAM_BYTES);
    assert_true(received > 0 && canceled > 0);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

/* The descriptor of an accept that was cancelled too late is its result: no connection that came is lost. */
TEST(a_cancelled_accept_loses_no_descriptor, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct sockaddr_in at;
    int listening = listener(&at, 128), accepted = 0;
    struct act a;
    act_init(&a, loop, false);
    for (int i = 0; i < 100; i++) {
        int ended = a.ended;
        even_op_accept(&a.op, listening, NULL, NULL, 0);
        assert_int_equal(even_loop_step(loop), 0);
        int peer = client(&at);
        if (i % 2)
            even_op_cancel(&a.op);
        while (a.ended == ended)
            assert_int_equal(even_loop_step(loop), 0);
        int got = a.op.result >= 0 ? a.op.result : accept(listening, NULL, NULL);
        assert_true(got >= 0);
        accepted += a.op.result >= 0;
        close(got), close(peer);
    }
    assert_true(accepted >= 50);
    assert_int_equal(even_loop_close(loop), 0);
    close(listening);
}

/* ---- sends ---- */

enum { SENDS = 64, SEND_SIZE = 9000 };

static void *drain(void *arg)
{
    struct stream *s = arg;
    uint8_t buffer[4096];
    ssize_t n;
    while (poll(&(struct pollfd){ s->fd, POLLIN, 0 }, 1, -1) == 1 && (n = read(s->fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            ((uint8_t *)s->pause.handle.run)[s->expected++] = buffer[i];
    return NULL;
}

TEST(sends_leave_in_the_order_of_their_starts, .no_faults = true)
{
    even_loop *loop = new_loop();
    static struct act sends[SENDS];
    static uint8_t data[SENDS][SEND_SIZE], got[SENDS * SEND_SIZE];
    int fd[2], small = 4096, over = 0;
    pair(fd);
    setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (int i = 0; i < SENDS; i++) {
        memset(data[i], i + 1, sizeof data[i]);
        act_init(&sends[i], loop, true);
        even_op_send(&sends[i].op, fd[1], data[i], sizeof data[i], 0);
    }
    for (int i = 0; i < 8; i++)         /* until the socket is full: they keep their order when they are taken back */
        assert_int_equal(in_thread(run_one_pass, loop), 0);
    static struct stream s;
    s.fd = fd[0];
    s.pause.handle.run = (void (*)(even_handle *))(void *)got;
    pthread_t drainer;
    assert_int_equal(pthread_create(&drainer, NULL, drain, &s), 0);
    while (over < SENDS) {
        assert_int_equal(in_thread(run_forever, loop), 0);
        over = 0;
        for (int i = 0; i < SENDS; i++)
            over += sends[i].ended;
    }
    shutdown(fd[1], SHUT_WR);
    pthread_join(drainer, NULL);
    uint32_t at = 0;
    for (int i = 0; i < SENDS; i++) {
        assert_true(sends[i].op.result > 0);
        for (int n = 0; n < sends[i].op.result; n++)
            assert_int_equal(got[at++], i + 1);
    }
    assert_int_equal(at, s.expected);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

/* Receives wait for each other; whichever of them is cancelled, wherever it is just then, the next one goes on. */
TEST(a_cancelled_receive_lets_the_next_one_go, .no_faults = true)
{
    for (int which = 0; which < 3; which++)
        for (int moved = 0; moved < 3; moved++) {
            even_loop *loop = new_loop();
            struct act receive[3];
            char in[3] = { '-', '-', '-' };
            int fd[2];
            pair(fd);
            for (int i = 0; i < 3; i++) {
                act_init(&receive[i], loop, false);
                even_op_recv(&receive[i].op, fd[0], &in[i], 1, 0);
            }
            if (moved == 1)
                assert_int_equal(in_thread(run_one_pass, loop), 0);     /* all in user space again */
            if (moved == 2)
                assert_int_equal(even_loop_step(loop), 0);
            even_op_cancel(&receive[which].op);
            for (int i = 0; i < 4; i++)
                assert_int_equal(even_loop_step(loop), 0);
            assert_int_equal(receive[which].op.result, -ECANCELED);
            assert_int_equal(write(fd[1], "12", 2), 2);
            for (int i = 0; i < 6; i++)
                assert_int_equal(even_loop_step(loop), 0);
            in[which] = in[which] == '-' ? '1' : '?';
            assert_memory_equal(in, which == 0 ? "112" : which == 1 ? "112" : "121", 3);
            assert_true(receive[0].ended + receive[1].ended + receive[2].ended == 3);
            assert_int_equal(even_loop_close(loop), 0);
            close(fd[0]), close(fd[1]);
        }
}

/* The first ends, so that the lane is the second one's, which is cancelled before it is handed over. */
static void cancel_second(even_handle *h)
{
    struct act *first = even_container_of(h, struct act, op.handle);
    act_done(h);
    even_op_cancel(&first[1].op);
}

TEST(the_next_receive_is_cancelled_as_its_turn_comes)
{
    even_loop *loop = new_loop();
    struct act receive[3];
    char in[3] = { '-', '-', '-' };
    int fd[2], rc = 0;
    pair(fd);
    for (int i = 0; i < 3; i++) {
        act_init(&receive[i], loop, false);
        if (i == 0)
            receive[i].op.handle.run = cancel_second;
        even_op_recv(&receive[i].op, fd[0], &in[i], 1, 0);
    }
    assert_int_equal(write(fd[1], "12", 2), 2);
    for (int i = 0; i < 6 && rc == 0; i++)
        rc = even_loop_step(loop);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
    assert_int_equal(rc, 0);
    assert_int_equal(receive[1].op.result, -ECANCELED);
    assert_memory_equal(in, "1-2", 3);
}

/* ---- watches ---- */

static int watch_runs;
static void watch_run(even_handle *h) { (void)h, watch_runs++; }

TEST(a_watch_leaves_nothing_when_stopped)
{
    even_loop *loop = new_loop();
    int fd[2];
    pair(fd);
    int rc = 0, started = 0;
    for (int i = 0; i < 50 && rc == 0; i++) {
        even_watch *w = malloc(sizeof *w);
        if ((rc = even_watch_start(loop, w, fd[0], POLLIN, watch_run)) == 0) {
            started++;
            if (i % 3 && (rc = even_loop_step(loop)) == 0 && i % 3 == 2)
                rc = write(fd[1], "x", 1) == 1 ? 0 : -errno;    /* it becomes ready as it is stopped */
            even_watch_stop(w);
        }
        memset(w, 0xee, sizeof *w);
        free(w);
        if (rc == 0 && i % 2)
            rc = even_loop_step(loop);
    }
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
    assert_int_equal(rc, 0);
    assert_int_equal(started, 50);
}

TEST(a_watch_is_level_triggered_across_threads, .no_faults = true)
{
    even_loop *loop = new_loop();
    even_watch w;
    int fd[2];
    watch_runs = 0;
    pair(fd);
    assert_int_equal(even_watch_start(loop, &w, fd[0], POLLIN, watch_run), 0);
    assert_int_equal(in_thread(run_one_pass, loop), 0);
    assert_int_equal(watch_runs, 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(in_thread(run_one_pass, loop), 0);
        assert_int_equal(watch_runs, i);
    }
    even_watch_stop(&w);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

TEST(what_cannot_be_watched)
{
    static const struct { const char *path; int rc; } cases[] = {
        { "/", -EPERM }, { "/proc/self/exe", -EPERM }, { "/dev/null", -EPERM }, { "/dev/ptmx", 0 },
    };
    even_loop *loop = new_loop();
    even_watch w, same, other;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = open(cases[i].path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            continue;
        int rc = even_watch_start(loop, &w, fd, POLLIN, watch_run);
        if (rc == 0)
            even_watch_stop(&w);
        close(fd);
        if (!test_fault_fired())
            assert_int_equal(rc, cases[i].rc);
    }
    int fd[2], rc;
    pair(fd);
    if ((rc = even_watch_start(loop, &w, fd[0], POLLIN, watch_run)) == 0) {
        int again = even_watch_start(loop, &same, fd[0], POLLIN, watch_run);
        int out = even_watch_start(loop, &other, fd[0], POLLOUT, watch_run);
        if (!test_fault_fired()) {
            assert_int_equal(again, -EEXIST);
            assert_int_equal(out, 0);
        }
        if (out == 0)
            even_watch_stop(&other);
        even_watch_stop(&w);
    }
    close(fd[0]), close(fd[1]);
    if (!test_fault_fired())
        assert_int_equal(even_watch_start(loop, &w, fd[0], POLLIN, watch_run), -EBADF);
    assert_int_equal(even_loop_close(loop), 0);
    assert_int_equal(rc, 0);
}

/* ---- a foreign poll loop ---- */

enum { LONG = 5000 };

/* The loop's turn in a foreign loop: true if poll() said that it is ready. */
static bool foreign_turn(even_loop *loop, int longest, int *wakeups)
{
    struct pollfd p = { even_loop_fd(loop), POLLIN, 0 };
    int timeout = even_loop_timeout(loop);
    if (timeout < 0 || timeout > longest)
        timeout = longest;
    int n;
    do
        n = poll(&p, 1, timeout);
    while (n < 0 && errno == EINTR);
    ++*wakeups;
    assert_true(n > 0 || timeout < LONG);                       /* never told */
    assert_int_equal(even_loop_step(loop), 0);
    return n > 0;
}

TEST(a_foreign_poll_loop_does_not_spin, .no_faults = true)
{
    enum { ROUNDS = 300 };
    even_loop *loop = new_loop();
    char in[8];
    int fd[2], wakeups = 0;
    struct act receive, send;
    pair(fd);
    act_init(&receive, loop, false);
    act_init(&send, loop, false);
    for (int i = 0; i < ROUNDS; i++) {
        even_op_recv(&receive.op, fd[0], in, sizeof in, 0);
        if (i % 2) {        /* bytes that come while we sleep in the foreign poll() are for the kernel's retry */
            foreign_turn(loop, 0, &(int){ 0 });
            assert_int_equal(write(fd[1], "x", 1), 1);
        } else {
            even_op_send(&send.op, fd[1], "x", 1, 0);
        }
        while (receive.ended == i)
            foreign_turn(loop, LONG, &wakeups);
        assert_int_equal(receive.op.result, 1);
    }
    assert_true(wakeups <= 2 * ROUNDS);

    /* With nothing to do it sleeps to the end of the time: a receive that waits is no reason to wake. */
    even_op_recv(&receive.op, fd[0], in, sizeof in, 0);
    foreign_turn(loop, 0, &wakeups);
    for (int i = 0; i < 3; i++)
        assert_false(foreign_turn(loop, 20, &wakeups));
    assert_int_equal(even_loop_timeout(loop), -1);

    /* A watch that stays ready is told once a turn, and then no more. */
    even_watch w;
    watch_runs = wakeups = 0;
    assert_int_equal(even_watch_start(loop, &w, fd[0], POLLOUT, watch_run), 0);
    while (watch_runs < 10)
        foreign_turn(loop, LONG, &wakeups);
    assert_true(wakeups <= 20);
    even_watch_stop(&w);
    foreign_turn(loop, 0, &wakeups);
    assert_false(foreign_turn(loop, 20, &wakeups));
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

static void *answer(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    while (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1) == 1 && read(fd, &byte, 1) == 1)
        if (write(fd, &byte, 1) != 1)
            break;
    return NULL;
}

TEST(an_answer_wakes_a_foreign_poll_loop, .no_faults = true)
{
    enum { ROUNDS = 2000 };
    even_loop *loop = new_loop();
    char in;
    int fd[2], wakeups = 0;
    struct act receive, send;
    pthread_t peer;
    pair(fd);
    act_init(&receive, loop, false);
    act_init(&send, loop, false);
    assert_int_equal(pthread_create(&peer, NULL, answer, &fd[1]), 0);
    for (int i = 0; i < ROUNDS; i++) {
        even_op_recv(&receive.op, fd[0], &in, 1, 0);
        even_op_send(&send.op, fd[0], "x", 1, 0);
        while (receive.ended == i || send.ended == i)
            foreign_turn(loop, LONG, &wakeups);
    }
    assert_true(wakeups <= 3 * ROUNDS);
    shutdown(fd[0], SHUT_WR);
    pthread_join(peer, NULL);
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

TEST(a_push_wakes_a_foreign_poll_loop, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct act woken;
    int wakeups = 0;
    for (int i = 0; i < 100; i++) {
        pthread_t pusher;
        act_init(&woken, loop, false);
        even_loop_timeout(loop);
        assert_int_equal(pthread_create(&pusher, NULL, push, &woken.op.handle), 0);
        while (!woken.ended)
            foreign_turn(loop, LONG, &wakeups);
        pthread_join(pusher, NULL);
    }
    assert_true(wakeups <= 300);
    assert_int_equal(even_loop_close(loop), 0);
}

static void *write_line(void *fd)
{
    if (write(*(int *)fd, "a\n", 2) != 2)
        abort();
    return NULL;
}

/* What one of the kernel's threads may do is taken back with each step, and stands in the kernel while the foreign loop waits. */
static void a_read_wakes_a_foreign_poll_loop(int reads, int writes)
{
    even_loop *loop = new_loop();
    struct act receive;
    char got[2] = "";
    int wakeups = 0;
    pthread_t writer;
    act_init(&receive, loop, false);
    even_op_read(&receive.op, reads, got, 1);
    foreign_turn(loop, 0, &wakeups);
    for (int i = 0; i < 3; i++)
        assert_false(foreign_turn(loop, 20, &wakeups));
    assert_int_equal(receive.ended, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_line, &writes), 0);
    for (int i = 0; i < 20 && !receive.ended; i++)
        foreign_turn(loop, LONG, &wakeups);
    assert_int_equal(receive.ended, 1);
    assert_int_equal(receive.op.result, 1);
    assert_string_equal(got, "a");
    pthread_join(writer, NULL);
    assert_int_equal(even_loop_close(loop), 0);
    close(reads);
    close(writes);
}

TEST(a_read_of_a_pipe_that_may_block_wakes_a_foreign_poll_loop, .no_faults = true)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    a_read_wakes_a_foreign_poll_loop(fd[0], fd[1]);
}

TEST(a_read_of_a_terminal_wakes_a_foreign_poll_loop, .no_faults = true)
{
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY);
    if (keyboard < 0 || grantpt(keyboard) < 0 || unlockpt(keyboard) < 0)
        test_skip("no pseudo-terminals");
    int terminal = open(ptsname(keyboard), O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(terminal >= 0);
    a_read_wakes_a_foreign_poll_loop(terminal, keyboard);
}

/* ---- fork ---- */

TEST(the_child_of_a_fork_leaves_the_ring_alone, .no_faults = true)
{
    even_loop *loop = new_loop();
    char byte = 'x';
    int fd[2], status;
    struct act receive, waiting;
    pair(fd);
    act_init(&receive, loop, false);
    act_init(&waiting, loop, false);
    even_op_recv(&receive.op, fd[0], &byte, 1, 0);
    assert_int_equal(even_loop_step(loop), 0);                  /* in the kernel */
    even_op_poll(&waiting.op, fd[0], POLLIN);                   /* not yet */
    pid_t child = fork();
    if (child == 0) {
        bool ok = even_loop_run_forever(loop) == -EVEN_EFORK && even_loop_step(loop) == -EVEN_EFORK;
        ok = ok && even_loop_close(loop) == 0;
        ok = ok && receive.op.result == -ECANCELED && waiting.op.result == -ECANCELED && io_urings_open() == 0;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(write(fd[1], "y", 1), 1);                  /* ours goes on */
    while (!receive.ended || !waiting.ended)
        assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(receive.op.result, 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(even_loop_close(loop), 0);
    close(fd[0]), close(fd[1]);
}

/* ---- files ---- */

TEST(a_file_is_read_and_written_where_it_stands)
{
    even_loop *loop = new_loop();
    char name[] = "/tmp/even-test-XXXXXX", in[16] = "";
    int fd = mkostemp(name, O_CLOEXEC);
    struct act a;
    unlink(name);
    act_init(&a, loop, true);
    even_op_write(&a.op, fd, "hello ", 6);
    int rc = even_loop_run_forever(loop);
    if (rc == 0) {
        even_op_write(&a.op, fd, "world", 5);
        rc = even_loop_run_forever(loop);
    }
    if (rc == 0) {
        lseek(fd, 0, SEEK_SET);
        even_op_read(&a.op, fd, in, sizeof in);
        rc = even_loop_run_forever(loop);
    }
    assert_int_equal(even_loop_close(loop), 0);
    close(fd);
    assert_int_equal(rc, 0);
    assert_int_equal(a.op.result, 11);
    assert_string_equal(in, "hello world");
}
