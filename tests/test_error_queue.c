/* Something lies in the socket's queue of errors, which nobody reads: poll(2) says POLLERR of it for ever. What waits for the
 * bytes waits for them all the same, and does not turn round and round. */
#include "sockets.h"
#include <linux/net_tstamp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* The queue has the time at which a byte left: such is an error, too. */
static void spoil(int fd, int peer)
{
    int what = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE;
    char byte;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &what, sizeof what), 0);
    put(fd, "!");
    what = 0;
    until(peer, POLLIN);
    assert_int_equal(recv(peer, &byte, 1, 0), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &what, sizeof what), 0);
    until(fd, POLLERR);
}

static void late(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

static double used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Run for a while in which nothing happens: the loop sleeps through it. */
static void rest(void)
{
    even_timer t = EVEN_TIMER(late);
    even_call_later(loop, &t, 0.2);
    double before = used();
    uint64_t passes = loop->passes;
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_true(loop->passes - passes < 20);
    assert_true(used() - before < 0.05);
}

static int pair[2];

static void begin(void)
{
    open_loop();
    tcp_pair(pair);
    spoil(pair[0], pair[1]);
}

static void end(void)
{
    close_loop();
    close_pair(pair);
}

/* Room for nothing more. Then some for much. */
static void drain(void)
{
    char buffer[65536];
    while (recv(pair[1], buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        continue;
}

TEST(a_receive_of_all, .no_faults = true)
{
    struct wop r;
    char buffer[9] = "";
    begin();
    even_op_recv(expect(&r), pair[0], buffer, 8, MSG_WAITALL);
    rest();
    put(pair[1], "1234");
    rest();
    assert_true(even_op_is_pending(&r.op));
    put(pair[1], "5678");
    run_all();
    assert_int_equal(r.op.result, 8);
    assert_string_equal(buffer, "12345678");
    even_op_recv(expect(&r), pair[0], buffer, 8, MSG_WAITALL);
    put(pair[1], "ab");
    rest();
    even_op_cancel(&r.op);
    run_all();
    assert_int_equal(r.op.result, 2);
    even_op_recv(expect(&r), pair[0], buffer, 8, MSG_WAITALL);
    rest();
    shutdown(pair[1], SHUT_WR);
    run_all();
    assert_int_equal(r.op.result, 0);
    end();
}

TEST(a_receive_of_all_ends_with_its_loop, .no_faults = true)
{
    struct wop r, behind;
    char buffer[8];
    begin();
    even_op_recv(expect(&r), pair[0], buffer, 8, MSG_WAITALL);
    even_op_recv(expect(&behind), pair[0], buffer, 8, MSG_WAITALL);
    rest();
    even_op_cancel(&r.op);
    rest();
    assert_int_equal(r.op.result, -ECANCELED);
    rest();
    end();
    assert_int_equal(behind.op.result, -ECANCELED);
}

TEST(a_receive, .no_faults = true)
{
    struct wop r;
    char buffer[8];
    begin();
    even_op_recv(expect(&r), pair[0], buffer, 8, 0);
    rest();
    put(pair[1], "x");
    run_all();
    assert_int_equal(r.op.result, 1);
    end();
}

TEST(a_send_of_all, .no_faults = true)
{
    enum { LENGTH = 8 << 20 };
    struct wop w;
    char *much = calloc(1, LENGTH);
    begin();
    even_op_send(expect(&w), pair[0], much, LENGTH, MSG_WAITALL);
    rest();
    assert_true(even_op_is_pending(&w.op));
    while (even_op_is_pending(&w.op)) {
        drain();
        assert_int_equal(even_loop_step(loop), 0);
    }
    assert_int_equal(w.op.result, LENGTH);
    end();
    free(much);
}

TEST(a_sendfile, .no_faults = true)
{
    struct wop w;
    int file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(ftruncate(file, 4096), 0);
    begin();
    fill(pair[0]);
    even_op_sendfile(expect(&w), pair[0], file, 0, 4096);
    rest();
    assert_true(even_op_is_pending(&w.op));
    drain();
    run_all();
    assert_true(w.op.result > 0);
    end();
    close(file);
}

static ssize_t got, last;

static void take(even_handle *h)
{
    even_receiver *r = even_container_of(h, even_receiver, handle);
    const void *data;
    while ((last = even_receiver_take(r, &data)) > 0)
        got += last;
}

static void receive(bool direct)
{
    even_receiver r;
    begin();
    got = 0;
    last = -EAGAIN;
    even_receiver_init(&r, loop, pair[0], take);
    r.direct = direct;
    even_receiver_start(&r);
    rest();
    rest();
    put(pair[1], "xy");
    rest();
    assert_int_equal(got, 2);
    put(pair[1], "xyz");
    rest();
    assert_int_equal(got, 5);
    assert_int_equal(last, -EAGAIN);
    shutdown(pair[1], SHUT_WR);
    rest();
    assert_int_equal(last, 0);
    end();
}

TEST(a_receiver, .no_faults = true) { receive(false); }
TEST(a_receiver_that_fetches, .no_faults = true) { receive(true); }
