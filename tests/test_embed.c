/* Passes of the program's own (evenloop/embed.h), in place of a run and inside of one. */
#define TEST_ON TEST_ALL
#include "note.h"
#include <evenloop/embed.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    begin_story();
    return loop;
}

/* Those with a capital letter are "wanted". */
static bool is_wanted(const even_handle *h, void *data)
{
    (void)data;
    return h->run == note_run && even_container_of((even_handle *)h, struct note, handle)->name < 'a';
}

static bool any(const even_handle *h, void *data)
{
    (void)h;
    (void)data;
    return true;
}

/* The names of what is queued. */
static const char *queued(even_loop *loop)
{
    static char names[64];
    size_t n = 0;
    for (even_handle *h = NULL; (h = even_loop_next_handle(loop, h));)
        if (h->run == note_run || h->run == note_timer)
            names[n++] = h->run == note_run ? even_container_of(h, struct note, handle)->name
                                            : even_container_of(h, struct note, timer.handle)->name;
    names[n] = 0;
    return names;
}

TEST(the_wanted_run_and_the_others_stay)
{
    even_loop *loop = new_loop();
    struct note notes[] = { note(loop, 'a', NULL), note(loop, 'B', queue_other), note(loop, 'c', NULL), note(loop, 'D', NULL),
                            note(loop, 'E', NULL) };
    notes[1].other = &notes[4];
    for (int i = 0; i < 4; i++)
        even_call_soon(loop, &notes[i].handle);
    assert_string_equal(queued(loop), "aBcD");
    assert_int_equal(even_loop_run_queued(loop, is_wanted, NULL), 0);
    assert_string_equal(story, "BD");
    assert_string_equal(queued(loop), "acE");
    assert_false(even_loop_is_running(loop));
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "BDacE");
    assert_int_equal(even_loop_close(loop), 0);
}

static void look_and_run(struct note *n)
{
    const uint64_t pass = even_loop_passes(n->loop);
    assert_ptr_equal(even_running_loop(), n->loop);
    assert_int_equal(even_loop_look(n->loop, INFINITY), 0);     /* does not wait: something is queued */
    assert_int_equal(even_loop_run_queued(n->loop, is_wanted, NULL), 0);
    assert_int_equal(even_loop_passes(n->loop), pass);
    assert_ptr_equal(even_running_loop(), n->loop);
}

/* A pass inside of another runs what that has yet to run; each handle runs once, the outer pass goes on. */
TEST(a_pass_inside_of_a_pass_goes_on_with_it)
{
    for (int outer = 0; outer < 2; outer++) {       /* a pass of a run; a half pass */
        even_loop *loop = new_loop();
        struct note a = note(loop, 'A', look_and_run), b = note(loop, 'b', NULL), c = note(loop, 'C', queue_other),
                    d = note(loop, 'D', NULL), e = note(loop, 'e', stop);
        c.other = &d;
        even_call_soon(loop, &a.handle);
        even_call_soon(loop, &b.handle);
        even_call_soon(loop, &c.handle);
        if (outer == 0)
            even_call_soon(loop, &e.handle);
        assert_int_equal(outer ? even_loop_run_queued(loop, is_wanted, NULL) : even_loop_run_forever(loop), 0);
        assert_string_equal(story, outer ? "AC" : "ACbe");
        assert_string_equal(queued(loop), outer ? "bD" : "D");
        assert_int_equal(even_loop_close(loop), 0);
    }
}

/* All levels down, each handle once. */
static void run_any(struct note *n) { assert_int_equal(even_loop_run_queued(n->loop, any, NULL), 0); }

TEST(passes_inside_of_each_other)
{
    even_loop *loop = new_loop();
    struct note notes[8];
    for (int i = 0; i < 8; i++) {
        notes[i] = note(loop, (char)('a' + i), i < 6 ? run_any : NULL);
        even_call_soon(loop, &notes[i].handle);
    }
    assert_int_equal(even_loop_run_queued(loop, any, NULL), 0);
    assert_string_equal(story, "abcdefgh");
    assert_string_equal(queued(loop), "");
    assert_int_equal(even_loop_close(loop), 0);
}

/* What was collected for the end of a pass: it counts as queued, no look waits while it stands, and half passes have that end. */
TEST(what_was_collected_is_handed_over)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), b = note(loop, 'B', NULL);
    even_call_before_wait(loop, &b.handle);
    even_call_soon(loop, &a.handle);
    assert_string_equal(queued(loop), "aB");
    even_handle_cancel(&a.handle);
    assert_int_equal(even_loop_look(loop, INFINITY), 0);
    assert_string_equal(story, "");
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_loop_run_queued(loop, is_wanted, NULL), 0);
    assert_string_equal(story, "B");
    assert_string_equal(queued(loop), "a");
    assert_int_equal(even_loop_close(loop), 0);
}

TEST(a_look_waits_for_what_it_is_asked_to)
{
    even_loop *loop = new_loop();
    struct note near = note(loop, 'n', NULL), far = note(loop, 'f', NULL);
    assert_int_equal(even_call_later(loop, &near.timer, 0.01), 0);
    assert_int_equal(even_call_later(loop, &far.timer, 3600), 0);
    const double began = even_time(loop);
    assert_int_equal(even_loop_look(loop, 0), 0);
    assert_int_equal(even_loop_look(loop, -1), 0);
    assert_int_equal(even_loop_look(loop, (double)NAN), 0);
    assert_string_equal(queued(loop), "");
    assert_true(even_time(loop) - began < 0.01);
    while (!*queued(loop))
        assert_int_equal(even_loop_look(loop, INFINITY), 0);
    assert_true(even_time(loop) - began >= 0.01);
    assert_string_equal(queued(loop), "n");         /* and none has run */
    assert_string_equal(story, "");
    assert_int_equal(even_loop_look(loop, INFINITY), 0);    /* one is queued already */
    assert_int_equal(even_loop_run_queued(loop, any, NULL), 0);
    assert_string_equal(story, "n");
    assert_int_equal(even_loop_look(loop, 0.01), 0);
    assert_true(even_time(loop) - began < 3600);
    assert_int_equal(even_loop_close(loop), 0);
}

static void look_and_stop(struct note *n)
{
    even_loop_stop(n->loop);
    while (!*queued(n->loop))           /* the stop is the run's: this one waits all the same */
        assert_int_equal(even_loop_look(n->loop, INFINITY), 0);
    assert_string_equal(queued(n->loop), "t");
}

TEST(a_stop_is_of_the_run_around_it)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', look_and_stop), t = note(loop, 't', NULL);
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_call_later(loop, &t.timer, 0.001), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "a");
    assert_int_equal(even_loop_close(loop), 0);
}

static void *push(void *data)
{
    struct note *n = data;
    assert_int_equal(even_call_soon_threadsafe(n->loop, &n->handle), 0);
    return NULL;
}

TEST(what_others_push_is_taken_in)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), b = note(loop, 'b', NULL);
    assert_int_equal(even_call_soon_threadsafe(loop, &b.handle), 0);
    even_call_soon(loop, &a.handle);
    assert_string_equal(queued(loop), "a");
    even_loop_take_pushed(loop);
    assert_string_equal(queued(loop), "ab");
    even_handle_cancel(&b.handle);
    assert_string_equal(queued(loop), "a");
    even_handle_cancel(&a.handle);
    assert_int_equal(even_loop_close(loop), 0);
}

TEST(a_push_wakes_a_look, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    struct note b = note(loop, 'b', NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, push, &b) == 0) {
        while (!*queued(loop))
            assert_int_equal(even_loop_look(loop, INFINITY), 0);
        pthread_join(thread, NULL);
        assert_string_equal(queued(loop), "b");
    }
    assert_int_equal(even_loop_close(loop), 0);
    assert_false(even_handle_is_queued(&b.handle));
}

TEST(timers_are_enumerated)
{
    even_loop *loop = new_loop();
    struct note notes[20];
    unsigned seen = 0;
    assert_null(even_loop_next_timer(loop, NULL));
    for (int i = 0; i < 20; i++) {
        notes[i] = note(loop, (char)('a' + i), NULL);
        assert_int_equal(even_call_later(loop, &notes[i].timer, 100 - i), 0);
    }
    even_timer_cancel(loop, &notes[7].timer);
    for (even_timer *t = NULL; (t = even_loop_next_timer(loop, t));)
        seen ^= 1u << (even_container_of(t, struct note, timer)->name - 'a');
    assert_int_equal(seen, 0xfffffu & ~(1u << 7));
    assert_int_equal(even_loop_close(loop), 0);
}

/* ---- time ---- */

static double stands_at(void *data)
{
    return *(double *)data;
}

TEST(timers_go_by_another_clock)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', NULL), b = note(loop, 'b', NULL), c = note(loop, 'c', NULL);
    double now = 3599;
    even_loop_set_clock(loop, stands_at, &now);
    assert_int_equal(even_call_at(loop, &a.timer, 3600), 0);
    assert_int_equal(even_call_at(loop, &b.timer, 7200), 0);
    assert_int_equal(even_call_at(loop, &c.timer, 3600), 0);
    assert_int_equal(even_loop_timeout(loop), 1000);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "");
    now = 3600;
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "ac");
    now = (double)NAN;
    assert_int_equal(even_loop_step(loop), 0);
    now = -(double)INFINITY;
    assert_int_equal(even_loop_timeout(loop), INT32_MAX);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "ac");
    now = (double)INFINITY;
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "acb");
    now = 0;
    assert_int_equal(even_call_at_ns(loop, &a.timer, INT64_MAX), 0);
    now = -1e18;
    assert_int_equal(even_loop_timeout(loop), INT32_MAX);
    assert_int_equal(even_loop_step(loop), 0);
    even_loop_set_clock(loop, NULL, NULL);
    assert_int_equal(even_call_at(loop, &c.timer, even_time(loop)), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_string_equal(story, "acbc");
    assert_int_equal(even_loop_close(loop), 0);
}

/* The clock is the program's code: what it queues, stops or cancels counts in the very pass that asked it. */
struct meddler {
    struct note note;
    int what;
};

static double meddles(void *data)
{
    struct meddler *m = data;
    switch (m->what++) {
    case 0:
        even_call_soon(m->note.loop, &m->note.handle);
        return -1;                      /* a long wait, if that were not queued */
    case 2:
        even_timer_cancel(m->note.loop, &m->note.timer);
        even_loop_set_clock(m->note.loop, NULL, NULL);
        even_loop_stop(m->note.loop);
        return -1;
    default:
        return -1;
    }
}

TEST(a_clock_may_change_the_loop)
{
    even_loop *loop = new_loop();
    struct meddler m = { .note = note(loop, 'm', NULL) };
    even_loop_set_clock(loop, meddles, &m);
    assert_int_equal(even_call_at(loop, &m.note.timer, 3600), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_string_equal(story, "m");
    assert_int_equal(m.what, 3);
    assert_null(even_loop_next_timer(loop, NULL));
    assert_int_equal(even_loop_close(loop), 0);
}

TEST(virtual_time_waits_for_a_job, .on = TEST_SIM)
{
    even_loop *loop = new_loop();
    struct note t = note(loop, 't', NULL), b = note(loop, 'b', NULL);
    pthread_t thread;
    assert_int_equal(even_call_later(loop, &t.timer, 10), 0);
    even_loop_count_jobs(loop, 1);
    if (pthread_create(&thread, NULL, push, &b) == 0) {
        while (!*queued(loop))
            assert_int_equal(even_loop_look(loop, INFINITY), 0);
        assert_string_equal(queued(loop), "b");
        assert_true(even_time(loop) < 10);
        pthread_join(thread, NULL);
    }
    even_loop_count_jobs(loop, -1);
    even_handle_cancel(&b.handle);
    while (!*queued(loop))
        assert_int_equal(even_loop_look(loop, INFINITY), 0);
    assert_string_equal(queued(loop), "t");
    assert_int_equal(even_loop_close(loop), 0);
}

/* ---- operations ---- */

static void sent(even_handle *h)
{
    even_op *op = even_container_of(h, even_op, handle);
    assert_int_equal(op->result, 5);
    even_loop_stop(op->loop);
}

static int ends[2];
static even_op op;

static void send_and_submit(struct note *n)
{
    char text[8] = "";
    even_op_send(&op, ends[0], "hello", 5, 0);
    assert_int_equal(even_loop_submit(n->loop), 0);
    assert_int_equal(recv(ends[1], text, sizeof text, MSG_DONTWAIT), 5);    /* it is there, before anything else runs */
    assert_string_equal(text, "hello");
    assert_false(even_op_is_pending(&op));
    assert_true(even_handle_is_queued(&op.handle));
}

TEST(what_was_started_is_submitted, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', send_and_submit);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    even_op_init(&op, loop, sent);
    even_call_soon(loop, &a.handle);
    assert_int_equal(even_loop_run_forever(loop), 0);
    send_and_submit(&a);                /* between two runs, too */
    assert_int_equal(even_loop_run_queued(loop, any, NULL), 0);
    assert_int_equal(even_loop_close(loop), 0);
    close(ends[0]);
    close(ends[1]);
}

/* ---- threads, forks ---- */

static void *run_there(void *data)
{
    assert_int_equal(even_loop_run_forever(data), 0);
    return NULL;
}

TEST(another_thread_runs_it_once_this_one_has_left, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    struct note a = note(loop, 'a', stop);
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    even_op_init(&op, loop, sent);
    char text[5];
    even_op_recv(&op, ends[1], text, sizeof text, 0);       /* pending all the while */
    assert_int_equal(even_loop_look(loop, 0), 0);
    even_loop_leave_thread(loop);
    if (pthread_create(&thread, NULL, run_there, loop) == 0) {
        assert_int_equal(write(ends[0], "hello", 5), 5);
        pthread_join(thread, NULL);
        assert_false(even_op_is_pending(&op));
        even_call_soon(loop, &a.handle);
        assert_int_equal(even_loop_run_forever(loop), 0);   /* and this one again */
        assert_string_equal(story, "a");
    }
    assert_int_equal(even_loop_close(loop), 0);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_child_knows_its_parents_loop, .on = TEST_KERNEL, .no_faults = true)
{
    even_loop *loop = new_loop();
    assert_false(even_loop_is_parents(loop));
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        even_loop *own = NULL;
        const bool ok = even_loop_is_parents(loop) && even_loop_look(loop, 0) == -EVEN_EFORK &&
                        even_loop_submit(loop) == -EVEN_EFORK && even_loop_run_queued(loop, any, NULL) == -EVEN_EFORK &&
                        even_loop_new(&own, NULL) == 0 && !even_loop_is_parents(own);
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(even_loop_close(loop), 0);
}
