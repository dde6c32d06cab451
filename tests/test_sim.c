/* The simulated backend at the callback level: virtual time, other threads, real descriptors. */
#include "simulated.h"
#include <pthread.h>

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
    even__sim_jobs(loop, 1);
    assert_int_equal(pthread_create(&thread, NULL, thread_job_run, &j), 0);
    even_call_later(loop, &end.timer, 1);
    /* It waits on the wake-up descriptor for real, though a timer is set; and comes back from one that says nothing. */
    loop->backend->wake(loop);
    assert_int_equal(even__loop_enter(loop), 0);
    assert_int_equal(even__loop_pass(loop, true), 0);
    even__loop_leave(loop);
    assert_int_equal(loop->passes, 1);
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

/* ---- real descriptors ---- */

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
