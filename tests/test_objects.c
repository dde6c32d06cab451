/* Objects and loops: what is pending is cancelled, completed, given up and waited for between the steps and the runs of its loop,
 * by another loop, in another thread, and once its loop is gone. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"
#include "loop/loop.h"
#include <errno.h>
#include <pthread.h>

static even_future *the_future;

async(int, sleeper) { return await(even_sleep(5)); }
async(int, waiter) { await(even_ref(the_future)); return even_status(); }
async(int, gatherer) { return await(gather(even_sleep(5), sleeper())); }
async(int, shielder) { return await(shield(sleeper())); }
async(int, timed) { return await(wait_for(even_sleep(5), 4)); }
async(int, asker) { struct addrinfo *l; return await(even_getaddrinfo(&l, "some.where.invalid", NULL, NULL)); }

/* Everything that a task may be in the middle of. */
enum kind { SLEEPS, WAITS, GATHERS, SHIELDS, IN_TIME, AN_OPERATION, ASKS, KINDS };

static even_awaitable *make(enum kind kind)
{
    switch (kind) {
    case SLEEPS: return &create_task(sleeper())->base;
    case WAITS: return &create_task(waiter())->base;
    case GATHERS: return &create_task(gatherer())->base;
    case SHIELDS: return &create_task(shielder())->base;
    case IN_TIME: return &create_task(timed())->base;
    case AN_OPERATION: return &create_task(even_sleep(5))->base;
    default: return &create_task(asker())->base;
    }
}

async(int, starter, (int, kind), (even_awaitable **, out))
{
    the_future = even_future_new(even_future);
    *out = make((enum kind)kind);
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

static even_loop *new_loop(void)
{
    even_loop *loop;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    return loop;
}

/* A task of that kind, begun, in a loop that does not run. */
static even_awaitable *begun(even_loop *loop, enum kind kind)
{
    even_awaitable *x = NULL;
    __auto_type s = starter((int)kind, &x);
    assert_int_equal(even_run_until_complete_any(loop, &s->base), 0);
    even_unref(&s->base);
    return x;
}

static void finish(even_awaitable *x)
{
    even_unref(x);
    even_detach(the_future);
}

/* ---- between two runs, between two steps ---- */

static void cancels_between(bool steps, enum kind kind)
{
    even_loop *loop = new_loop();
    even_awaitable *x = begun(loop, kind);
    assert_true(even_cancel_any(x) || kind == ASKS);    /* the answer may have come first */
    if (steps) {
        while (!even_is_done(x))
            assert_int_equal(even_loop_step(loop), 0);
    } else {
        assert_int_equal(even_run_until_complete_any(loop, x), 0);
    }
    if (kind == ASKS)
        assert_true(even_status_of(x) < 0);
    else
        assert_int_equal(even_status_of(x), -ECANCELED);
    finish(x);
    assert_int_equal(even_loop_close(loop), 0);
}

TEST(a_cancel_between_two_runs, .no_faults = true)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (kind != SHIELDS)
            cancels_between(false, (enum kind)kind);
}

TEST(a_cancel_between_two_steps, .no_faults = true)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (kind != SHIELDS && kind != ASKS)
            cancels_between(true, (enum kind)kind);
}

/* What was shielded is pending when the loop is closed: the frames of such a task are not unwound. */
TEST(a_cancel_of_a_shield_between_two_runs, .no_faults = true, TEST_LEAKS_OK)
{
    cancels_between(false, SHIELDS);
    cancels_between(true, SHIELDS);
}

TEST(a_result_between_two_runs, .no_faults = true)
{
    even_loop *loop = new_loop();
    even_awaitable *x = begun(loop, WAITS);
    capture_reports();
    assert_int_equal(even_set_result(the_future, 3), 0);
    assert_int_equal(even_loop_timeout(loop), 0);   /* the waiter is ready */
    assert_int_equal(even_run_until_complete_any(loop, x), 0);
    assert_int_equal(even_status_of(x), 0);
    assert_no_report();
    finish(x);
    even_loop_close(loop);
}

async(int, never_runs, (int *, ran)) { *ran = 1; return 0; }
async(int, makes_one, (struct never_runs_co **, out), (int *, ran)) { *out = create_task(never_runs(ran)); return 0; }

TEST(a_task_that_has_not_begun_is_cancelled_between_two_runs, .no_faults = true)
{
    int ran = 0;
    struct never_runs_co *x;
    even_loop *loop = new_loop();
    __auto_type s = makes_one(&x, &ran);
    even_loop_stop(loop);
    even_run_until_complete_any(loop, &s->base);
    even_unref(&s->base);
    assert_true(even_cancel(x));
    assert_int_equal(even_run_until_complete_any(loop, &x->base), 0);
    assert_int_equal(even_status_of(&x->base), -ECANCELED);
    assert_int_equal(ran, 0);
    even_detach(x);
    even_loop_close(loop);
}

/* ---- two loops in one thread ---- */

struct act {
    even_handle handle;
    even_awaitable *task;       /* to be cancelled; NULL: the future gets its result */
};

static void act(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, handle);
    if (a->task)
        assert_true(even_cancel_any(a->task));
    else
        assert_int_equal(even_set_result(the_future, 1), 0);
}

static even_loop *seen;
async(int, notes_its_loop) { int n = (int)await(even_ref(the_future)); seen = even_running_loop(); return n; }
async(int, notes_sleeping) { int rc = await(even_sleep(5)); seen = even_running_loop(); return rc; }
async(int, notes_gathering) { int rc = await(gather(even_sleep(5), sleeper())); seen = even_running_loop(); return rc; }

async(int, start_noting, (int, kind), (even_awaitable **, out))
{
    the_future = even_future_new(even_future);
    *out = kind == 0 ? &create_task(notes_its_loop())->base
         : kind == 1 ? &create_task(notes_sleeping())->base : &create_task(notes_gathering())->base;
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

static void from_another_loop(int kind, bool cancel, int status)
{
    even_loop *a = new_loop(), *b = new_loop();
    even_awaitable *x = NULL;
    struct act do_it = { EVEN_HANDLE(act), NULL };
    __auto_type s = start_noting(kind, &x);
    assert_int_equal(even_run_until_complete_any(a, &s->base), 0);
    even_unref(&s->base);
    do_it.task = cancel ? x : NULL;
    seen = NULL;
    even_call_soon(b, &do_it.handle);
    for (int i = 0; i < 4; i++)
        assert_int_equal(even_loop_step(b), 0);
    assert_null(seen);                              /* not by b */
    while (!even_is_done(x))
        assert_int_equal(even_loop_step(a), 0);
    assert_ptr_equal(seen, a);
    assert_int_equal(even_status_of(x), status);
    finish(x);
    even_loop_close(b);
    even_loop_close(a);
}

TEST(another_loop_of_the_thread_sets_the_result, .no_faults = true) { from_another_loop(0, false, 0); }
TEST(another_loop_of_the_thread_cancels_a_waiter, .no_faults = true) { from_another_loop(0, true, -ECANCELED); }
TEST(another_loop_of_the_thread_cancels_a_sleeper, .no_faults = true) { from_another_loop(1, true, -ECANCELED); }
TEST(another_loop_of_the_thread_cancels_a_gather, .no_faults = true) { from_another_loop(2, true, -ECANCELED); }

static even_awaitable *foreign;

static void note_called(even_handle *h) { (void)h; say("called"); }

async(int, uses_foreign)
{
    even_handle h = EVEN_HANDLE(note_called);
    await(even_ref(the_future));
    say("%s", even_errname(even_status()));
    say("%s", even_errname(await(gather(even_ref(the_future)))));
    await(shield(the_future));
    say("%s", even_errname(even_status()));
    await(wait_for(even_ref(the_future), 1));
    say("%s", even_errname(even_status()));
    say("%s", even_errname(even_add_done_callback(the_future, &h)));
    even_ref_any(foreign);
    even_await_any(foreign);
    say("%s", even_errname(even_status()));
    even_unref(foreign);
    return 0;
}

TEST(what_is_pending_in_another_loop_is_not_awaited, .no_faults = true)
{
    even_loop *a = new_loop(), *b = new_loop();
    foreign = begun(a, WAITS);
    capture_reports();
    __auto_type u = uses_foreign();
    assert_int_equal(even_run_until_complete_any(b, &u->base), 0);
    even_unref(&u->base);
    assert_story("EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP");
    assert_reported("awaitable 'future' (made at test_objects.c:");
    assert_reported("the object is pending in another loop; at test_objects.c:");
    assert_int_equal(even_run_until_complete_any(b, foreign), -EVEN_EOTHERLOOP);
    /* And it goes on where it is. */
    assert_int_equal(even_set_result(the_future, 9), 0);
    assert_int_equal(even_run_until_complete_any(a, foreign), 0);
    assert_int_equal(even_status_of(foreign), 0);
    finish(foreign);
    even_loop_close(a);
    even_loop_close(b);
}

async(int, awaits_done) { return (int)await(even_ref(the_future)) + (even_await_any(foreign) == 0 ? 10 : 0); }
async(int, gathers_done)
{
    int n = 0;
    try_await(gather(into(&n, (struct waiter_co *)(void *)even_ref_any(foreign))));
    return 7;
}

TEST(what_is_done_is_awaited_in_any_loop, .no_faults = true)
{
    even_loop *a = new_loop();
    foreign = begun(a, WAITS);
    even_set_result(the_future, 4);
    assert_int_equal(even_run_until_complete_any(a, foreign), 0);
    even_loop_close(a);                             /* and once its own is gone */
    even_loop *b = new_loop();
    __auto_type u = awaits_done();
    assert_int_equal(even_run_until_complete_any(b, &u->base), 0);
    assert_int_equal(u->result, 14);
    even_unref(&u->base);
    __auto_type g = gathers_done();
    assert_int_equal(even_run_until_complete_any(b, &g->base), 0);
    assert_int_equal(g->result, 7);
    even_unref(&g->base);
    finish(foreign);
    even_loop_close(b);
}

TEST(a_future_that_was_made_outside_of_a_run_is_of_the_loop_that_awaits_it, .no_faults = true)
{
    the_future = even_future_new(even_future);
    even_loop *a = new_loop();
    __auto_type w = waiter();
    even_loop_stop(a);
    assert_int_equal(even_run_until_complete_any(a, &w->base), -EVEN_ESTOPPED);
    assert_int_equal(even_set_result(the_future, 1), 0);
    assert_int_equal(even_run_until_complete_any(a, &w->base), 0);
    assert_int_equal(even_status_of(&w->base), 0);
    even_unref(&w->base);
    even_detach(the_future);
    even_loop_close(a);
}

/* A task that is pending in another loop may end in a run, and is none that the run leaves behind. */
static even_int_aw *the_sleep;

async(int, begins_a_sleep)
{
    the_sleep = create_task(even_sleep(5));
    await(even_sleep(0));
    return 0;
}

async(int, cancels_the_sleep) { return even_cancel(the_sleep) ? 0 : -EINVAL; }

TEST(a_task_of_another_loop_ends_in_a_run_and_stays, .no_faults = true)
{
    even_loop *loop = new_loop();
    __auto_type b = begins_a_sleep();
    assert_int_equal(even_run_until_complete_any(loop, &b->base), 0);
    even_unref(&b->base);
    assert_int_equal(even_run(cancels_the_sleep()), 0);
    assert_int_equal(even_status_of(&the_sleep->base), -ECANCELED);
    even_unref(&the_sleep->base);
    even_loop_close(loop);
}

/* ---- the loop is gone ---- */

async(int, makes_shared, (even_awaitable **, future), (even_awaitable **, gathered), (even_awaitable **, shielded),
      (even_handle *, h))
{
    __auto_type f = even_future_new(even_future);
    __auto_type g = gather(even_sleep(4), even_sleep(5));
    __auto_type s = shield(f);
    even_add_done_callback(f, h);
    *future = &f->base;
    *gathered = &g->base;
    *shielded = &s->base;
    return 0;
}

static void leave_behind(even_awaitable **f, even_awaitable **g, even_awaitable **s, even_handle *h)
{
    capture_reports();
    even_loop *a = new_loop();
    __auto_type m = makes_shared(f, g, s, h);
    assert_int_equal(even_run_until_complete_any(a, &m->base), 0);
    even_unref(&m->base);
    even_loop_close(a);
}

async(int, awaits_orphan) { even_await_any(even_ref_any(foreign)); int rc = even_status(); even_unref(foreign); return rc; }

TEST(what_was_pending_when_its_loop_was_closed, .no_faults = true)
{
    even_awaitable *f, *g, *s;
    even_handle h = EVEN_HANDLE(note_called);
    leave_behind(&f, &g, &s, &h);
    foreign = f;
    __auto_type again = awaits_orphan();
    assert_int_equal(even_run(again), -EVEN_EOTHERLOOP);
    assert_true(even_cancel_any(g));
    assert_int_equal(even_status_of(g), -ECANCELED);
    assert_true(even_cancel_any(s));
    assert_int_equal(even_complete(f, 0), 0);
    assert_false(even_handle_is_queued(&h));        /* nobody runs it any more, and it stands nowhere */
    assert_int_equal(even_status_of(f), 0);
    assert_story("");
    even_unref(s);
    even_unref(g);
    even_unref(f);
}

async(int, begins_what_has_a_timeout)
{
    even_detach(create_task(wait_for(even_sleep(5), 4)));
    even_detach(create_task(timed()));
    await(even_sleep(0));
    return 0;
}

/* Their memory is that of others by then. */
TEST(timeouts_end_with_the_tasks_of_a_loop_that_is_closed, .no_faults = true, TEST_LEAKS_OK)
{
    capture_reports();
    even_loop *loop = new_loop();
    __auto_type b = begins_what_has_a_timeout();
    assert_int_equal(even_run_until_complete_any(loop, &b->base), 0);
    even_unref(&b->base);
    even_loop_close(loop);
    assert_reported("(wait_for) was still pending when its loop was closed");
    assert_reported("(timed) was still pending when its loop was closed");
}

TEST(what_was_pending_is_given_up_after_its_loop, .no_faults = true)
{
    even_awaitable *f, *g, *s;
    even_handle h = EVEN_HANDLE(note_called);
    leave_behind(&f, &g, &s, &h);
    even_remove_done_callback_any(f, &h);
    even_unref(g);
    even_unref(s);
    even_unref(f);
    assert_story("");
}

/* ---- another thread ---- */

static even_awaitable *theirs;
static int cancelled = -1, completed, awaited, named;
static even_handle theirs_is_done = EVEN_HANDLE(note_called);

async(int, awaits_theirs) { even_await_any(even_ref_any(theirs)); int rc = even_status(); even_unref(theirs); return rc; }

static void *meddle(void *unused)
{
    cancelled = even_cancel_any(theirs);
    completed = even_set_result(the_future, 1);
    named = even_set_name_any(theirs, "mine");
    even_uncancel((even_task *)theirs);
    even_remove_done_callback_any(theirs, &theirs_is_done);
    even_detach_any(theirs);
    even_detach(the_future);
    awaited = even_run(awaits_theirs());
    return unused;
}

async(int, lets_others_meddle)
{
    pthread_t thread;
    the_future = even_future_new(even_future);
    theirs = &create_task(waiter(), .name = "theirs")->base;
    await(even_sleep(0));
    even_add_done_callback_any(theirs, &theirs_is_done);
    pthread_create(&thread, NULL, meddle, NULL);
    pthread_join(thread, NULL);
    say("%d %s", even_is_done(theirs), even_name_any(theirs));
    even_set_result(the_future, 2);
    even_await_any(theirs);
    say("%d", even_status());
    await(even_sleep(0));
    even_unref(theirs);
    even_detach(the_future);
    return 0;
}

TEST(another_thread_is_told_and_nothing_else_happens, .on = TEST_KERNEL, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(lets_others_meddle()), 0);
    assert_int_equal(cancelled, 0);
    assert_int_equal(completed, -EVEN_ETHREAD);
    assert_int_equal(awaited, -EVEN_EOTHERLOOP);
    assert_reported("(waiter) cannot be cancelled: it belongs to the loop of another thread; at test_objects.c:");
    assert_reported("cannot be completed: it belongs to the loop of another thread; at test_objects.c:");
    assert_int_equal(named, -EVEN_ETHREAD);
    assert_reported("'theirs' (waiter) cannot be given a name: it belongs to the loop of another thread");
    assert_reported("'theirs' (waiter) cannot be uncancelled: it belongs to the loop of another thread");
    assert_reported("'theirs' (waiter) cannot be freed of a callback: it belongs to the loop of another thread");
    assert_reported("'theirs' (waiter) cannot be given up: it belongs to the loop of another thread");
    assert_story("0 theirs called 0");
}

/* ---- streams and servers ---- */

static even_stream *the_stream;
static even_server *the_server;

async(int, takes_nothing, (even_stream *, s)) { return await(even_close(s)); }

async(int, opens_a_stream)
{
    try_await(even_start_server(&the_server, takes_nothing(EVEN_STREAM), "127.0.0.1", 0));
    return await(even_open_connection(&the_stream, "127.0.0.1", even_server_port(the_server)));
}

async(int, closes_all)
{
    int rc = await(even_close(the_stream));
    even_server_close(the_server);
    rc = rc ? rc : await(even_server_wait_closed(the_server));
    even_server_free(the_server);
    return rc;
}

async(int, uses_the_stream)
{
    char b[4];
    say("%s", even_errname((int)await(even_read(the_stream, b, 4))));
    say("%s", even_errname((int)await(even_read_exactly(the_stream, b, 4))));
    say("%s", even_errname((int)await(even_write_all(the_stream, b, 4))));
    say("%s", even_errname(await(even_shutdown(the_stream))));
    return 0;
}

TEST(the_stream_of_another_loop, .no_faults = true)
{
    even_loop *a = new_loop(), *b = new_loop();
    __auto_type o = opens_a_stream();
    assert_int_equal(even_run_until_complete_any(a, &o->base), 0);
    assert_int_equal(o->result, 0);
    even_unref(&o->base);
    capture_reports();
    __auto_type u = uses_the_stream();
    assert_int_equal(even_run_until_complete_any(b, &u->base), 0);
    even_unref(&u->base);
    assert_story("EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP EVEN_EOTHERLOOP");
    assert_reported("belongs to another loop; at test_objects.c:");
    __auto_type c = closes_all();
    assert_int_equal(even_run_until_complete_any(a, &c->base), 0);
    assert_int_equal(c->result, 0);
    even_unref(&c->base);
    even_loop_close(b);
    even_loop_close(a);
}

static int closed_there;

static void *closes_from_there(void *unused)
{
    even_int_aw *x = even_close(the_stream);
    closed_there = x->result;
    even_unref(&x->base);
    even_server_close(the_server);
    even_server_close_clients(the_server);
    even_server_free(the_server);
    return unused;
}

async(int, lets_others_close)
{
    pthread_t thread;
    try_await(opens_a_stream());
    pthread_create(&thread, NULL, closes_from_there, NULL);
    pthread_join(thread, NULL);
    return await(closes_all());
}

TEST(another_thread_closes_nothing, .on = TEST_KERNEL, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(lets_others_close()), 0);
    assert_int_equal(closed_there, -EVEN_ETHREAD);
    assert_reported("even_close: the stream (descriptor ");
    assert_reported("even_server_close: the server belongs to the loop of another thread; at test_objects.c:");
    assert_reported("even_server_close_clients: the server belongs");
    assert_reported("even_server_free: the server belongs");
    assert_int_equal(report_count(), 4);
}

/* ---- doors ---- */

TEST(a_door_outlives_its_loop, .no_faults = true)
{
    even_loop *loop = new_loop();
    even_door *door = even_loop_door(loop), *same = even_door_ref(door);
    even_handle h = EVEN_HANDLE(note_called), late = EVEN_HANDLE(note_called);
    assert_int_equal(even_door_call_soon(door, &h), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_story("called");
    assert_int_equal(even_door_call_soon(door, &h), 0);
    even_loop_close(loop);                          /* drops it */
    assert_false(even_handle_is_queued(&h));
    for (int i = 0; i < 200; i++) {                 /* other loops do not take its place */
        even_loop *other = new_loop();
        assert_int_equal(even_door_call_soon(door, &late), -EVEN_ECLOSED);
        assert_int_equal(even_loop_step(other), 0);
        even_loop_close(other);
    }
    even_door_unref(same);
    assert_int_equal(even_door_call_soon(door, &late), -EVEN_ECLOSED);
    even_door_unref(door);
    even_door_unref(NULL);
    assert_story("called");
}

struct pusher {
    even_loop *loop;
    even_door *door;
    _Atomic bool go, refused;
    even_handle handles[10000];
};

static void nothing(even_handle *h) { (void)h; }

static void *push_until_closed(void *data)
{
    struct pusher *p = data;
    p->go = true;
    for (unsigned i = 0; i < 10000; i++) {
        int rc = p->door ? even_door_call_soon(p->door, &p->handles[i]) : even_call_soon_threadsafe(p->loop, &p->handles[i]);
        if (rc == -EVEN_ECLOSED) {
            p->refused = true;
            break;
        }
    }
    return NULL;
}

static void close_against_a_push(bool with_door)
{
    enum { ROUNDS = 100 };
    static struct pusher p[2];
    unsigned refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        even_loop *loop = new_loop();
        pthread_t thread[2];
        for (int t = 0; t < 2; t++) {
            p[t] = (struct pusher){ .loop = loop, .door = with_door ? even_loop_door(loop) : NULL };
            for (unsigned i = 0; i < 10000; i++)
                p[t].handles[i] = (even_handle)EVEN_HANDLE(nothing);
            pthread_create(&thread[t], NULL, push_until_closed, &p[t]);
        }
        while (!p[0].go || !p[1].go)
            (void)even_loop_timeout(loop);          /* which makes it sleep, so that a push wakes it */
        even_loop_close(loop);
        for (int t = 0; t < 2; t++) {
            pthread_join(thread[t], NULL);
            refused += p[t].refused;
            even_door_unref(p[t].door);
        }
    }
    (void)refused;
}

TEST(a_loop_is_closed_while_others_push, .no_faults = true, .no_valgrind = true) { close_against_a_push(false); }
TEST(a_loop_is_closed_while_others_push_through_its_door, .no_faults = true, .no_valgrind = true) { close_against_a_push(true); }

static void begins(even_awaitable *x) { (void)x; }
static const even_kind stubborn_kind = {
    .name = "stubborn", .size = sizeof(even_int_aw), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT, .start = begins,
};

async(int, makes_stubborn, (even_awaitable **, out))
{
    even_int_aw *x = create_task((even_int_aw *)even_awaitable_new(&stubborn_kind));
    *out = &x->base;
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

TEST(a_task_that_knew_no_cancel_is_completed_after_its_loop, .no_faults = true)
{
    even_awaitable *x;
    capture_reports();
    even_loop *a = new_loop();
    __auto_type m = makes_stubborn(&x);
    assert_int_equal(even_run_until_complete_any(a, &m->base), 0);
    even_unref(&m->base);
    even_loop_close(a);
    assert_reported("was still pending when its loop was closed");
    assert_int_equal(even_status_of(x), -EINPROGRESS);
    assert_false(even_cancel_any(x));
    assert_int_equal(even_complete(x, -EIO), 0);
    assert_int_equal(even_status_of(x), -EIO);
    even_unref(x);
}

/* ---- callbacks of what has not begun, or is no task ---- */

async(int, cancels_inert, (even_handle *, h))
{
    __auto_type s = even_sleep(1);
    say("%s", even_errname(even_add_done_callback(s, h)));
    even_cancel(s);
    await(even_sleep(0));
    even_unref(&s->base);
    return 0;
}

async(int, awaits_what_needs_no_begin, (even_handle *, h))
{
    __auto_type s = even_sleep(0);
    even_add_done_callback(s, h);
    await(s);
    await(even_sleep(0));
    return 0;
}

async(int, awaits_with_a_request, (even_handle *, h))
{
    __auto_type s = even_sleep(1);
    even_add_done_callback(s, h);
    even_cancel(even_current_task());
    say("%s", even_errname(await(s)));
    even_uncancel(NULL);
    await(even_sleep(0));
    return 0;
}

TEST(who_waits_for_what_never_begins_is_called, .no_faults = true)
{
    even_handle h = EVEN_HANDLE(note_called);
    assert_int_equal(even_run(cancels_inert(&h)), 0);
    assert_int_equal(even_run(awaits_what_needs_no_begin(&h)), 0);
    assert_int_equal(even_run(awaits_with_a_request(&h)), 0);
    assert_story("0 called called ECANCELED called");
}

async(int, hears_of, (even_awaitable *, x))
{
    even_handle h = EVEN_HANDLE(note_called);
    say("%s", even_errname(even_add_done_callback_any(x, &h)));
    return 0;
}

async(int, awaits_op, (even_awaitable *, x))
{
    even_await_any(x);
    even_unref(x);
    return 0;
}

async(int, begins_op, (even_awaitable *, x))
{
    even_detach(create_task(awaits_op(x)));
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

async(int, turns_of_two)
{
    await(even_sleep(0));
    return await(even_sleep(0));
}

TEST(an_operation_of_another_loop_calls_nobody, .no_faults = true)
{
    even_loop *a = new_loop(), *b = new_loop();
    __auto_type s = even_sleep(5);
    even_ref(s);
    __auto_type m = begins_op(&s->base);
    assert_int_equal(even_run_until_complete_any(a, &m->base), 0);
    even_unref(&m->base);
    capture_reports();
    __auto_type l = hears_of(&s->base);
    assert_int_equal(even_run_until_complete_any(b, &l->base), 0);
    even_unref(&l->base);
    assert_story("EVEN_EOTHERLOOP");
    assert_reported("awaitable 'sleep'");
    even_cancel(s);
    __auto_type n = turns_of_two();
    assert_int_equal(even_run_until_complete_any(a, &n->base), 0);
    even_unref(&n->base);
    even_unref(&s->base);
    even_loop_close(a);
    even_loop_close(b);
}

static even_task *kept;

async(int, keeps_a_task)
{
    kept = even_ref(even_current_task());
    even_cancel(kept);
    return 0;
}

TEST(a_request_is_taken_back_after_the_loop, .no_faults = true)
{
    assert_int_equal(even_run(keeps_a_task()), 0);
    assert_int_equal(even_cancelling(kept), 1);
    assert_int_equal(even_uncancel(kept), 0);
    even_unref(&kept->base);
}
