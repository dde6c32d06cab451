/* What a loop says of its backend is what a program sees. */
#define TEST_ON TEST_ALL
#include "sockets.h"
#include <time.h>

TEST(a_start_makes_its_call_at_once_where_the_loop_says_so)
{
    int p[2];
    char byte;
    struct wop w;
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    even_op_write(expect(&w), p[1], "x", 1);
    bool there = read(p[0], &byte, 1) == 1;
    assert_int_equal(there, (even_loop_properties(loop) & EVEN_LOOP_TRIES_FIRST) != 0);
    run_all();
    assert_int_equal(w.op.result, 1);
    assert_int_equal(read(p[0], &byte, 1), there ? -1 : 1);
    close_loop();
    close_pair(p);
}

TEST(a_pipe_is_waited_for_where_the_loop_says_so)
{
    int p[2];
    struct wop w;
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    even_op_poll(expect(&w), p[0], POLLIN);
    pump();
    bool waits = even_op_is_pending(&w.op);
    assert_int_equal(waits, (even_loop_properties(loop) & EVEN_LOOP_REAL_FILES) != 0);
    if (waits)
        put(p[1], "x");
    run_all();
    assert_int_equal(w.op.result, waits ? POLLIN : -EOPNOTSUPP);
    close_loop();
    close_pair(p);
}

static void rings(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

TEST(an_hour_is_no_time_where_the_loop_says_so)
{
    even_timer t = EVEN_TIMER(rings);
    struct timespec before, after;
    open_loop();
    bool is_virtual = even_loop_properties(loop) & EVEN_LOOP_VIRTUAL_TIME;
    double hour = is_virtual ? 3600 : 0.01, began = even_time(loop);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(even_call_later(loop, &t, hour), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    double waited = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    assert_true(even_time(loop) - began >= hour);
    assert_true(is_virtual ? waited < hour : waited >= hour);
    close_loop();
}
