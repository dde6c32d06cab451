/* The loop: its queue, its timers, its ends, and the ways into it from outside.
 * (It is over 800 lines because it is of one function, and its tests share one kind of note of what ran when.) */
#define TEST_ON TEST_ALL
#include "note.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_non_null(loop);
    return loop;
}

static void close_loop(even_loop *loop)
{
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_loop_close(loop), 0);
}

static void cancel_other(struct note *n) { even_handle_cancel(&n->other->handle); }

/* ---- handles ---- */

TEST(call_soon_runs_what_is_queued_now_in_order)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', queue_other), b = note(loop, 'b', NULL), c = note(loop, 'c', NULL),
                d = note(loop, 'd', NULL);
    a.other = &d;
    begin_story();
    even_call_soon(loop, &a.handle);
    even_call_soon(loop, &b.handle);
    even_call_soon(loop, &c.handle);
    assert_true(even_handle_is_queued(&b.handle));
    assert_string_equal(story, "");
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "abc");
    assert_true(even_handle_is_queued(&d.handle));
    assert_false(even_handle_is_queued(&b.handle));
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "abcd");
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "abcd");
    close_loop(loop);
}

TEST(a_queued_handle_can_be_canceled)
{
    for (int which = 0; which < 3; which++) {   /* the first, the middle, the last */
        static const char *const left[] = { "bc", "ac", "ab" };
        even_loop *loop = new_loop();
        struct note n[] = { note(loop, 'a', NULL), note(loop, 'b', NULL), note(loop, 'c', NULL) };
        begin_story();
        for (int i = 0; i < 3; i++)
            even_call_soon(loop, &n[i].handle);
        even_handle_cancel(&n[which].handle);
        even_handle_cancel(&n[which].handle);   /* it stands in no queue: nothing */
        assert_false(even_handle_is_queued(&n[which].handle));
        assert_int_equal(even_loop_step(loop), 0);
        assert_string_equal(story, left[which]);
        close_loop(loop);
    }
}

TEST(a_handle_can_be_canceled_during_the_pass)
{
    for (int which = 1; which < 3; which++) {
        even_loop *loop = new_loop();
        struct note n[] = { note(loop, 'a', cancel_other), note(loop, 'b', NULL), note(loop, 'c', NULL) };
        begin_story();
        n[0].other = &n[which];
        for (int i = 0; i < 3; i++)
            even_call_soon(loop, &n[i].handle);
        assert_int_equal(even_loop_step(loop), 0);
        assert_string_equal(story, which == 1 ? "ac" : "ab");
        close_loop(loop);
    }
}

static void queue_and_cancel_other(struct note *n)
{
    queue_other(n);
    cancel_other(n);
}

TEST(a_handle_for_the_next_pass_can_be_canceled)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', queue_and_cancel_other), b = note(loop, 'b', NULL);
    a.other = &b;
    begin_story();
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "a");
    close_loop(loop);
}

TEST(close_drops_what_is_queued)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), t = note(loop, 't', NULL), i = note(loop, 'i', NULL);
    begin_story();
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_call_later(loop, &t.timer, 0), 0);
    assert_int_equal(even_call_soon_threadsafe(loop, &i.handle), 0);
    assert_int_equal(even_loop_close(loop), 0);
    assert_string_equal(story, "");
    assert_false(even_handle_is_queued(&a.handle));
    assert_int_equal(t.timer.index, 0);
    assert_int_equal(even_loop_close(NULL), 0);
}

/* ---- a busy queue does not starve the rest ---- */

struct busy {
    even_loop *loop;
    struct note again;
    even_op ready, always;
    char byte;
    int pair[2], file;
    uint64_t sent_at, seen_at;
    int turns;
};

static void busy_again(struct note *n)
{
    struct busy *b = even_container_of(n, struct busy, again);
    if (++b->turns % 200 == 100) {      /* often enough to meet the count at every phase of its cycle */
        b->sent_at = b->loop->passes;
        (void)!write(b->pair[1], "x", 1);
    }
    even_call_soon(b->loop, &n->handle);
}

static void busy_seen(even_handle *h)
{
    struct busy *b = even_container_of(h, struct busy, ready.handle);
    uint64_t waited = b->loop->passes - b->sent_at;
    if (waited > b->seen_at)
        b->seen_at = waited;
    if (b->turns > 2000)
        even_loop_stop(b->loop);
    even_op_recv(&b->ready, b->pair[0], &b->byte, 1, 0);
}

static void busy_always(even_handle *h)
{
    struct busy *b = even_container_of(h, struct busy, always.handle);
    even_op_write(&b->always, b->file, "y", 1);
}

static uint64_t busy(bool with_operations, bool asks)
{
    even_loop *loop = new_loop();
    even_loop_ask_each_pass(loop, asks);
    struct busy b = { .loop = loop, .again = note(loop, 0, busy_again) };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b.pair), 0);
    b.file = open("/dev/null", O_WRONLY);
    even_op_init(&b.ready, loop, busy_seen);
    even_op_init(&b.always, loop, busy_always);
    even_op_recv(&b.ready, b.pair[0], &b.byte, 1, 0);
    even_call_soon(loop, &b.again.handle);
    if (with_operations)
        even_op_write(&b.always, b.file, "y", 1);
    int rc = even_loop_run_forever(loop);
    close(b.file);
    close(b.pair[1]);
    even_loop_close(loop);
    close(b.pair[0]);
    assert_int_equal(rc, 0);
    return b.seen_at;
}

enum { STARVED_MOST = 62 };     /* 60, the pass that looks, and the one that runs it */
TEST(a_busy_queue_does_not_starve_operations, .on = TEST_KERNEL) { assert_in_range(busy(false, false), 1, STARVED_MOST); }
TEST(operations_always_ready_do_not_starve_others, .on = TEST_KERNEL) { assert_in_range(busy(true, false), 1, STARVED_MOST); }
TEST(a_loop_that_asks_in_each_pass_sees_it_in_the_next_one, .on = TEST_KERNEL) { assert_in_range(busy(false, true), 1, 3); }

/* ---- the end of a pass ---- */

static void collect(struct note *n)
{
    if (!even_handle_is_queued(&n->other->handle))
        even_call_before_wait(n->loop, &n->other->handle);
}
static void hand_over(struct note *n)
{
    if (n->left-- > 0)
        even_call_before_wait(n->loop, &n->handle);
}

TEST(what_a_pass_collected_is_handed_over_at_its_end)
{
    even_loop *loop = new_loop();
    struct note f = note(loop, 'f', hand_over), a = note(loop, 'a', collect), b = note(loop, 'b', collect),
                c = note(loop, 'c', queue_other), d = note(loop, 'd', NULL);
    a.other = b.other = &f;
    c.other = &d;
    begin_story();
    even_call_soon(loop, &a.handle);
    even_call_soon(loop, &b.handle);
    even_call_soon(loop, &c.handle);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "abcf");     /* once, behind all of the pass; d is the next one's */
    f.left = 1;
    even_call_before_wait(loop, &f.handle); /* outside of a pass */
    assert_int_equal(even_loop_timeout(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "abcfdf");
    assert_int_equal(even_loop_timeout(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);      /* what a flush adds is for the next one */
    assert_string_equal(story, "abcfdff");
    assert_int_equal(even_loop_timeout(loop), -1);
    even_call_before_wait(loop, &f.handle);
    even_handle_cancel(&f.handle);
    assert_int_equal(even_loop_timeout(loop), -1);
    even_call_before_wait(loop, &f.handle); /* dropped with the loop */
    close_loop(loop);
    assert_false(even_handle_is_queued(&f.handle));
    assert_string_equal(story, "abcfdff");
}

struct sender {
    struct note note;
    even_op op;
    int fd;
};

static void sent(even_handle *h) { (void)h; }
static void send_it(struct note *n)
{
    struct sender *s = even_container_of(n, struct sender, note);
    even_op_send(&s->op, s->fd, "x", 1, 0);
}

/* Bytes that the end of the last pass handed over are on their way when the run is over. */
TEST(what_the_last_pass_collected_is_sent, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    struct sender s = { .note = note(loop, 's', send_it) };
    struct note a = note(loop, 'a', collect);
    char byte = 0;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    s.fd = pair[0];
    even_op_init(&s.op, loop, sent);
    a.other = &s.note;
    even_call_soon(loop, &a.handle);
    even_loop_stop(loop);
    int rc = even_loop_run_forever(loop);
    ssize_t n = recv(pair[1], &byte, 1, MSG_DONTWAIT);
    even_loop_close(loop);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(rc, 0);
    assert_int_equal(n, 1);
}

static void requeue(struct note *n) { even_call_soon(n->loop, &n->handle); }

TEST(a_busy_queue_does_not_starve_timers_and_other_threads)
{
    even_loop *loop = new_loop();
    struct note again = note(loop, 0, requeue), t = note(loop, 't', stop), i = note(loop, 'i', stop);
    begin_story();
    even_call_soon(loop, &again.handle);
    assert_int_equal(even_call_later(loop, &t.timer, 0), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "t");
    assert_int_equal(even_call_soon_threadsafe(loop, &i.handle), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "ti");
    close_loop(loop);
}

/* ---- timers ---- */

static void later(even_loop *loop, struct note *n, double seconds)
{
    assert_int_equal(even_call_later(loop, &n->timer, seconds), 0);
}

TEST(timers_come_by_deadline_and_equal_ones_in_order)
{
    even_loop *loop = new_loop();
    int64_t t0 = even_time_ns(loop);
    static const struct { char name; int at; } plan[] = {
        { 'f', 3 }, { 'c', 2 }, { 'a', 1 }, { 'd', 2 }, { 'g', 3 }, { 'b', 1 }, { 'e', 2 }, { 'h', 4 },
    };
    struct note n[8];
    begin_story();
    for (int i = 0; i < 8; i++) {
        n[i] = note(loop, plan[i].name, plan[i].name == 'h' ? stop : NULL);
        assert_int_equal(even_call_at_ns(loop, &n[i].timer, t0 + plan[i].at * 1000000), 0);
    }
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "abcdefgh");
    assert_true(even_time_ns(loop) >= t0 + 4000000);
    close_loop(loop);
}

TEST(timers_never_come_early)
{
    even_loop *loop = new_loop();
    struct note n = note(loop, 'n', stop);
    for (int i = 1; i <= 20; i++) {
        int64_t deadline = even_time_ns(loop) + i * 10007;
        assert_int_equal(even_call_at_ns(loop, &n.timer, deadline), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        assert_true(even_time_ns(loop) >= deadline);
    }
    close_loop(loop);
}

TEST(a_timer_can_be_canceled_and_moved)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), b = note(loop, 'b', NULL), c = note(loop, 'c', NULL),
                end = note(loop, '.', stop);
    begin_story();
    later(loop, &a, 0.001);
    later(loop, &b, 0.002);
    later(loop, &c, 0.003);
    later(loop, &end, 0.5);
    even_timer_cancel(loop, &b.timer);
    even_timer_cancel(loop, &b.timer);
    assert_int_equal(b.timer.index, 0);
    later(loop, &a, 0.1);       /* behind c */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "ca.");
    close_loop(loop);
}

static void again_thrice(struct note *n)
{
    if (++n->left < 3)
        later(n->loop, n, 0.0005);
    else
        even_loop_stop(n->loop);
}

TEST(a_timer_can_be_armed_again_by_its_callback)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', again_thrice);
    begin_story();
    later(loop, &a, 0.0005);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "aaa");
    close_loop(loop);
}

static void cancel_others_timer(struct note *n) { even_timer_cancel(n->loop, &n->other->timer); }
static void move_others_timer(struct note *n) { later(n->loop, n->other, 0.001); }

TEST(a_due_timer_can_be_canceled_or_moved_by_one_before_it)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', cancel_others_timer), b = note(loop, 'b', NULL),
                c = note(loop, 'c', move_others_timer), d = note(loop, 'd', stop), e = note(loop, 'e', NULL);
    a.other = &b;
    c.other = &d;
    begin_story();
    int64_t now = even_time_ns(loop);
    struct note *const all[] = { &a, &b, &c, &d, &e };
    for (int i = 0; i < 5; i++)
        assert_int_equal(even_call_at_ns(loop, &all[i]->timer, now), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "aced");
    close_loop(loop);
}

/* Parts of a pass, from inside a handle: what is due is queued behind what is queued already, and nothing runs. */
static void arm_and_look(struct note *n)
{
    assert_int_equal(even_call_later(n->loop, &n->other->timer, -1), 0);
    even__loop_queue_due(n->loop);
    assert_int_equal(even__loop_look(n->loop, 0), 0);
    assert_string_equal(story, "a");
    assert_true(even_handle_is_queued(&n->other->timer.handle));
}

TEST(a_look_from_inside_a_handle_runs_nothing)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', arm_and_look), b = note(loop, 'b', NULL), due = note(loop, 't', NULL);
    begin_story();
    a.other = &due;
    even_call_soon(loop, &a.handle);
    even_call_soon(loop, &b.handle);
    even_loop_step(loop);
    assert_string_equal(story, "ab");
    even_loop_step(loop);
    assert_string_equal(story, "abt");
    close_loop(loop);
}

TEST(odd_times)
{
    even_loop *loop = new_loop();
    struct note n = note(loop, 'n', NULL), m = note(loop, 'm', NULL), l = note(loop, 'l', NULL);
    begin_story();
    assert_int_equal(even_call_later(loop, &n.timer, (double)NAN), -EINVAL);
    assert_int_equal(even_call_at(loop, &n.timer, (double)NAN), -EINVAL);
    assert_int_equal(n.timer.index, 0);
    later(loop, &n, 1e300);
    assert_int_equal(even_loop_timeout(loop), INT32_MAX);
    later(loop, &n, (double)INFINITY);
    assert_int_equal(even_loop_timeout(loop), INT32_MAX);
    assert_int_equal(even_call_at_ns(loop, &n.timer, INT64_MAX), 0);
    assert_int_equal(even_loop_timeout(loop), INT32_MAX);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "");

    later(loop, &n, -(double)INFINITY);
    later(loop, &m, -1);
    assert_int_equal(even_call_at_ns(loop, &l.timer, INT64_MIN), 0);
    assert_int_equal(even_loop_timeout(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "lnm");
    assert_int_equal(even_call_at(loop, &n.timer, even_time(loop) - 5), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "lnmn");
    assert_int_equal(even_loop_timeout(loop), -1);
    close_loop(loop);
}

struct many {
    even_timer timer;
    even_loop *loop;
};
static uint32_t many_ran, many_wrong;
static int64_t many_last;

static void many_run(even_handle *h)
{
    struct many *m = even_container_of(h, struct many, timer.handle);
    many_ran++;
    many_wrong += m->timer.deadline < many_last || m->timer.deadline > even_time_ns(m->loop);
    many_last = m->timer.deadline;
}

/* Not on sim, where each deadline is a pass of its own, and a debug build walks the heap after each pass. */
TEST(a_million_timers, .on = TEST_KERNEL, .seconds = 120, .no_faults = true)
{
    enum { N = 1000000 };
    even_loop *loop = new_loop();
    struct many *m = calloc(N, sizeof *m);
    uint64_t random = 1;
    int64_t t0 = even_time_ns(loop);
    struct note end = note(loop, '.', stop);
    assert_non_null(m);
    many_ran = many_wrong = 0;
    many_last = 0;
    for (uint32_t i = 0; i < N; i++) {
        m[i] = (struct many){ .timer = EVEN_TIMER(many_run), .loop = loop };
        assert_int_equal(even_call_at_ns(loop, &m[i].timer, t0 + (int64_t)(even__random(&random) % 50000000)), 0);
    }
    assert_true(even__loop_is_valid(loop));
    for (uint32_t i = 0; i < N; i += 2)
        even_timer_cancel(loop, &m[i].timer);
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_call_at_ns(loop, &end.timer, t0 + 60000000), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(many_ran, N / 2);
    assert_int_equal(many_wrong, 0);
    close_loop(loop);
    free(m);
}

/* ---- stop, and what may not be done ---- */

TEST(stop_finishes_the_pass)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', stop), b = note(loop, 'b', queue_other), c = note(loop, 'c', stop);
    b.other = &c;
    begin_story();
    even_call_soon(loop, &a.handle);
    even_call_soon(loop, &b.handle);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "ab");
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "abc");
    close_loop(loop);
}

/* Around what may block, and around nothing else; another thread's push is allowed in between. */
static int waits, depth;

static void before_wait(void *data)
{
    struct note *pushed = data;
    assert_int_equal(depth++, 0);
    if (waits++ == 0)
        assert_int_equal(even_call_soon_threadsafe(pushed->loop, &pushed->handle), 0);
}

static void after_wait(void *data)
{
    (void)data;
    assert_int_equal(--depth, 0);
}

TEST(wait_hooks)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), b = note(loop, 'b', NULL), end = note(loop, '.', stop), last = note(loop, '!', stop);
    begin_story();
    waits = depth = 0;
    even_loop_set_wait_hooks(loop, before_wait, after_wait, &b);
    even_call_soon(loop, &a.handle);
    later(loop, &end, 0.01);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "ab.");
    assert_int_equal(depth, 0);
    assert_true(waits >= 1);
    int before = waits;
    even_call_soon(loop, &last.handle);     /* ready: nobody waits */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(waits, before);
    even_loop_set_wait_hooks(loop, NULL, NULL, NULL);
    later(loop, &end, 0.001);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(waits, before);
    assert_string_equal(story, "ab.!.");
    close_loop(loop);
}

TEST(stop_before_a_run_makes_it_one_pass)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', queue_other), b = note(loop, 'b', NULL), far = note(loop, 'f', NULL);
    a.other = &b;
    begin_story();
    later(loop, &far, 1000);
    even_call_soon(loop, &a.handle);
    even_loop_stop(loop);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "a");
    even_loop_stop(loop);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "ab");
    even_loop_stop(loop);       /* nothing is ready, and yet it does not sleep */
    assert_int_equal(even_loop_run_forever(loop), 0);
    close_loop(loop);
}

static even_loop *second;
static int inner[5];

static void misuse(struct note *n)
{
    inner[0] = even_loop_run_forever(n->loop);
    inner[1] = even_loop_run_forever(second);
    inner[2] = even_loop_step(n->loop);
    inner[3] = even_loop_close(n->loop);
    inner[4] = even_running_loop() == n->loop && even_loop_is_running(n->loop) && !even_loop_is_running(second);
    even_loop_stop(n->loop);
}

TEST(a_loop_does_not_run_inside_a_loop)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', misuse);
    second = new_loop();
    even_call_soon(loop, &a.handle);
    assert_null(even_running_loop());
    assert_int_equal(even_loop_run_forever(loop), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(inner[i], -EVEN_ERUNNING);
    assert_int_equal(inner[4], 1);
    assert_null(even_running_loop());
    assert_false(even_loop_is_running(loop));
    close_loop(second);
    close_loop(loop);
}

/* ---- other threads, signals: not on sim, which says that nothing is left to wait for rather than sleep ---- */

enum { THREADS = 4, PUSHES = 25000 };
struct push {
    even_handle handle;
    uint16_t thread;
    uint16_t number;
};
struct pusher {
    even_loop *loop;
    struct push *push;
    int failures;
};
static uint32_t push_next[THREADS], push_wrong, push_count;
static even_loop *push_loop;

static void push_run(even_handle *h)
{
    struct push *p = even_container_of(h, struct push, handle);
    push_wrong += p->number != push_next[p->thread]++;
    if (++push_count == THREADS * PUSHES)
        even_loop_stop(push_loop);
}

static void *push_thread(void *data)
{
    struct pusher *p = data;
    for (int i = 0; i < PUSHES; i++) {
        p->failures += even_call_soon_threadsafe(p->loop, &p->push[i].handle) != 0;
        if (i % 64 == 63)
            sched_yield();      /* so that the loop falls asleep now and then */
    }
    return NULL;
}

TEST(pushes_of_several_threads_keep_their_order, .on = TEST_KERNEL, .seconds = 120, .no_faults = true)
{
    struct pusher p[THREADS];
    pthread_t thread[THREADS];
    push_loop = new_loop();
    push_wrong = push_count = 0;
    for (int t = 0; t < THREADS; t++) {
        push_next[t] = 0;
        p[t] = (struct pusher){ push_loop, calloc(PUSHES, sizeof(struct push)), 0 };
        assert_non_null(p[t].push);
        for (int i = 0; i < PUSHES; i++)
            p[t].push[i] = (struct push){ EVEN_HANDLE(push_run), (uint16_t)t, (uint16_t)i };
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&thread[t], NULL, push_thread, &p[t]), 0);
    assert_int_equal(even_loop_run_forever(push_loop), 0);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(thread[t], NULL);
        assert_int_equal(p[t].failures, 0);
        free(p[t].push);
    }
    assert_int_equal(push_count, THREADS * PUSHES);
    assert_int_equal(push_wrong, 0);
    close_loop(push_loop);
}

static void *wake_when_asleep(void *data)
{
    struct note *n = data;
    for (int i = 0; i < 100; i++) {
        while (!atomic_load(&n->loop->door.asleep))
            sched_yield();
        even_call_soon_threadsafe(n->loop, &n[i].handle);
        while (__atomic_load_n(&n[i].left, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
    }
    return NULL;
}

static void mark(struct note *n) { __atomic_store_n(&n->left, 1, __ATOMIC_RELEASE); }
static void mark_and_stop(struct note *n)
{
    mark(n);
    even_loop_stop(n->loop);
}

TEST(another_thread_wakes_a_loop_that_sleeps, .on = TEST_KERNEL, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct note n[100];
    pthread_t thread;
    for (int i = 0; i < 100; i++)
        n[i] = note(loop, 0, i < 99 ? mark : mark_and_stop);
    assert_int_equal(pthread_create(&thread, NULL, wake_when_asleep, n), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    pthread_join(thread, NULL);
    close_loop(loop);
}

static struct note on_signal;
static int signal_rc;

static void push_from_signal(int number)
{
    int saved = errno;
    (void)number;
    errno = 12345;
    signal_rc |= even_call_soon_threadsafe(on_signal.loop, &on_signal.handle);
    signal_rc |= errno != 12345;
    errno = saved;
}

static void raise_alarm(struct note *n)
{
    (void)n;
    raise(SIGALRM);
}

TEST(a_signal_handler_wakes_the_loop, .on = TEST_KERNEL)
{
    struct sigaction action = { .sa_handler = push_from_signal }, old;
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', raise_alarm);
    on_signal = note(loop, 's', stop);
    signal_rc = 0;
    begin_story();
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    even_call_soon(loop, &a.handle);            /* while a handle runs */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "as");
    struct itimerval soon = { .it_value = { 0, 3000 } };
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);   /* while it sleeps: an interrupted wait is no failure */
    assert_string_equal(story, "ass");
    assert_int_equal(signal_rc, 0);
    sigaction(SIGALRM, &old, NULL);
    close_loop(loop);
}

static struct note in_close;
static int in_close_rc;

static void complete_in_close(even_op *op)
{
    (void)op;
    in_close_rc = even_call_soon_threadsafe(in_close.loop, &in_close.handle);
}

TEST(a_loop_that_closes_takes_nothing_more, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    int fd = eventfd(0, EFD_NONBLOCK);
    even_op op;
    in_close = note(loop, 'x', NULL);
    in_close_rc = 0;
    even_op_init(&op, loop, NULL);
    op.complete = complete_in_close;
    even_op_poll(&op, fd, POLLIN);
    assert_int_equal(even_loop_step(loop), 0);
    int rc = even_loop_close(loop);
    close(fd);
    assert_int_equal(rc, 0);
    assert_int_equal(in_close_rc, -EVEN_ECLOSED);
    assert_int_equal(op.result, -ECANCELED);
    assert_false(even_handle_is_queued(&in_close.handle));
}

/* ---- embedding ---- */

struct guest {
    even_loop *loop;
    struct note timer, pushed;
    even_op recv;
    even_watch watch;
    char byte;
    int pair[2], watched[2];
    int timers, bytes, watches;
};

static void guest_timer(struct note *n)
{
    struct guest *g = even_container_of(n, struct guest, timer);
    if (++g->timers < 5)
        later(g->loop, &g->timer, 0.004);
}

static void guest_recv(even_handle *h)
{
    struct guest *g = even_container_of(h, struct guest, recv.handle);
    if (g->recv.result == 1 && ++g->bytes < 5)
        even_op_recv(&g->recv, g->pair[0], &g->byte, 1, 0);
}

static void guest_watch(even_handle *h)
{
    struct guest *g = even_container_of(h, struct guest, watch.handle);
    char c;
    if (read(g->watched[0], &c, 1) == 1)
        g->watches++;
}

static void *guest_thread(void *data)
{
    struct guest *g = data;
    for (int i = 0; i < 5; i++) {
        (void)!write(g->pair[1], "x", 1);
        (void)!write(g->watched[1], "x", 1);
        struct pollfd p = { g->pair[0], POLLIN, 0 };    /* until the loop has it */
        while (poll(&p, 1, 0) == 1)
            sched_yield();
    }
    even_call_soon_threadsafe(g->loop, &g->pushed.handle);
    return NULL;
}

TEST(a_foreign_loop_runs_ours_without_spinning, .on = TEST_KERNEL, .no_faults = true)
{
    even_loop *loop = new_loop();
    struct guest g = { .loop = loop, .timer = note(loop, 't', guest_timer), .pushed = note(loop, 'p', mark) };
    pthread_t thread;
    int steps = 0, rc = 0;
    begin_story();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, g.pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, g.watched), 0);
    even_op_init(&g.recv, loop, guest_recv);
    even_op_recv(&g.recv, g.pair[0], &g.byte, 1, 0);
    assert_int_equal(even_watch_start(loop, &g.watch, g.watched[0], POLLIN, guest_watch), 0);
    later(loop, &g.timer, 0.004);
    assert_int_equal(pthread_create(&thread, NULL, guest_thread, &g), 0);
    struct pollfd p = { even_loop_fd(loop), POLLIN, 0 };
    assert_true(p.fd >= 0);
    while (rc == 0 && (g.timers < 5 || g.bytes < 5 || g.watches < 5 || !g.pushed.left)) {
        int n = poll(&p, 1, even_loop_timeout(loop));
        assert_true(n >= 0 || errno == EINTR);
        rc = even_loop_step(loop);
        steps++;
    }
    pthread_join(thread, NULL);
    assert_int_equal(rc, 0);
    /* 16 events, each worth a few steps (its completion, what that starts, a wait cut to whole milliseconds) */
    assert_in_range(steps, 1, 16 * 4);
    for (int i = 0; i < 10; i++)        /* at rest it stays at rest */
        even_loop_step(loop);
    assert_int_equal(even_loop_timeout(loop), -1);
    assert_int_equal(poll(&p, 1, 0), 0);
    even_watch_stop(&g.watch);
    close_loop(loop);
    for (int i = 0; i < 2; i++) {
        close(g.pair[i]);
        close(g.watched[i]);
    }
}

TEST(the_embedding_time_out)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), t = note(loop, 't', NULL);
    assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(even_loop_timeout(loop), -1);
    later(loop, &t, 100);
    int ms = even_loop_timeout(loop);
    assert_in_range(ms, 99000, 100000);
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_loop_timeout(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_true(even_loop_timeout(loop) > 90000);
    assert_int_equal(even_call_soon_threadsafe(loop, &a.handle), 0);
    assert_int_equal(even_loop_timeout(loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    even_timer_cancel(loop, &t.timer);
    close_loop(loop);
}

/* ---- the backend's name ---- */

static char reported[512];

static void keep_report(void *data, const char *text)
{
    (void)data;
    snprintf(reported, sizeof reported, "%s", text);
}

TEST(the_backend_has_a_name)
{
    even_loop *loop = new_loop();
    assert_string_equal(even_loop_backend(loop), getenv("EVENLOOP_BACKEND"));
    close_loop(loop);
}

TEST(an_unknown_backend_is_an_error_that_names_it, .on = TEST_PLAIN)
{
    even_loop *loop = (even_loop *)&reported;   /* untouched on failure */
    even_set_report_hook(keep_report, NULL);
    reported[0] = 0;
    setenv("EVENLOOP_BACKEND", "kqueue", 1);
    assert_int_equal(even_loop_new(&loop, NULL), -EVEN_EBACKEND);
    assert_ptr_equal(loop, &reported);
    assert_non_null(strstr(reported, "'kqueue'"));
    reported[0] = 0;
    setenv("EVENLOOP_BACKEND", "epoll", 1);
    assert_int_equal(even_loop_new(&loop, &(even_loop_options){ .backend = "iocp" }), -EVEN_EBACKEND);
    assert_non_null(strstr(reported, "'iocp'"));
    even_set_report_hook(NULL, NULL);

    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_string_equal(even_loop_backend(loop), "epoll");
    close_loop(loop);
    setenv("EVENLOOP_BACKEND", "kqueue", 1);    /* the call goes before the environment */
    assert_int_equal(even_loop_new(&loop, &(even_loop_options){ .backend = "epoll" }), 0);
    assert_string_equal(even_loop_backend(loop), "epoll");
    close_loop(loop);
    setenv("EVENLOOP_BACKEND", "", 1);          /* empty: as if unset */
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_string_not_equal(even_loop_backend(loop), "sim");
    close_loop(loop);
}
