/* Cancellation: a request, delivered once, at the await in progress, through what is awaited. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_SIM
#include "story.h"

static void turns(int n)
{
    while (n--)
        await(even_sleep(0));
}

async(const char *, say_after, (double, delay), (const char *, what))
{
    try_await(even_sleep(delay));
    say("%s", what);
    return what;
}

async(int, sleeps, (double, seconds))
{
    int rc = await(even_sleep(seconds));
    say("sleeps:%s", even_errname(rc));
    return rc;
}

/* ---- the plain case ---- */

async(int, cancels_say_after)
{
    __auto_type t = create_task(say_after(2, "never"));
    turns(1);
    double start = even_time(even_running_loop());
    say("%d", even_cancel(t));
    const char *s = await(t);
    say("%d %s %g", s == NULL, even_errname(even_status()), even_time(even_running_loop()) - start);
    return 0;
}

TEST(the_cancelled_say_after, .on = TEST_ALL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_say_after()), 0);
    assert_non_null(strstr(story, "1 1 ECANCELED "));
    assert_null(strstr(story, "never"));
    assert_no_report();
}

async(int, before_the_first_step)
{
    __auto_type t = create_task(say_after(2, "never"));
    __auto_type u = create_task(sleeps(2));
    say("%d%d", even_cancel(t), even_cancel(u));
    say("%d%d", even_done(t), even_done(u));
    const char *s = await(t);
    say("%d %s", s == NULL, even_errname(even_status()));
    int rc = await(u);
    say("%s %s", even_errname(rc), even_errname(even_status()));
    return 0;
}

TEST(cancelled_before_its_first_step, .on = TEST_ALL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(before_the_first_step()), 0);
    assert_story("11 00 1 ECANCELED ECANCELED ECANCELED");
    assert_no_report();
}

async(int, operation_before_its_first_step)
{
    __auto_type s = create_task(even_sleep(5));
    even_cancel(s);
    int rc = await(s);
    say("%s", even_errname(rc));
    s = create_task(even_sleep(5));
    turns(1);
    even_cancel(s);
    rc = await(s);
    say("%s", even_errname(rc));
    return 0;
}

TEST(an_operation_as_a_task, .on = TEST_ALL, .clean = true)
{
    assert_int_equal(even_run(operation_before_its_first_step()), 0);
    assert_story("ECANCELED ECANCELED");
}

async(int, cancels_what_is_done)
{
    __auto_type t = create_task(sleeps(0));
    turns(3);
    say("%d %d", even_done(t), even_cancel(t));
    say("%d", await(t));
    return 0;
}

TEST(cancelling_what_is_done_is_nothing, .on = TEST_ALL, .clean = true)
{
    assert_int_equal(even_run(cancels_what_is_done()), 0);
    assert_story("sleeps:0 1 0 0");
}

/* ---- twice ---- */

async(int, told_and_goes_on)
{
    for (int i = 0; i < 4; i++) {
        int rc = await(even_sleep(i == 3 ? 0 : 10));
        say("%s", even_errname(rc));
        if (rc == 0)
            break;
        if (i == 1)
            break;
    }
    return -ECANCELED;
}

async(int, cancels_twice_at_once)
{
    __auto_type t = create_task(told_and_goes_on());
    turns(1);
    even_cancel(t);
    even_cancel(t);
    say("%u", even_cancelling((even_task *)t));
    turns(3);
    say("%d", even_done(t));        /* it sleeps again: both requests came in one */
    even_cancel(t);
    await(t);
    return 0;
}

TEST(two_requests_before_it_wakes_are_delivered_once, .clean = true)
{
    assert_int_equal(even_run(cancels_twice_at_once()), 0);
    assert_story("2 ECANCELED 0 ECANCELED");
}

async(int, cancels_twice_before_start)
{
    __auto_type t = create_task(sleeps(1));
    even_cancel(t);
    even_cancel(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(two_requests_before_its_first_step, .clean = true)
{
    assert_int_equal(even_run(cancels_twice_before_start()), 0);
    assert_story("ECANCELED");
}

/* ---- through what is awaited ---- */

async(int, awaits_task, (struct sleeps_co *, t))
{
    int rc = await(t);
    say("awaits:%s", even_errname(rc));
    return rc;
}

async(int, passes_on)
{
    __auto_type inner = create_task(sleeps(5));
    __auto_type outer = create_task(awaits_task(even_ref(inner)));
    turns(2);
    even_cancel(outer);
    int rc = await(outer);
    say("%s %s", even_errname(rc), even_errname(even_status_of(&inner->base)));
    say("%u%u", even_cancelling((even_task *)outer), even_cancelling((even_task *)inner));
    even_detach(inner);
    return 0;
}

TEST(a_task_that_waits_for_a_task_passes_it_on)
{
    capture_reports();
    assert_int_equal(even_run(passes_on()), 0);
    assert_non_null(strstr(story, "sleeps:ECANCELED awaits:ECANCELED ECANCELED ECANCELED"));
    assert_no_report();
}

async(int, swallows)
{
    int rc = await(even_sleep(5));
    say("inner:%s", even_errname(rc));
    even_uncancel(NULL);
    return 9;
}

async(int, awaits_swallower)
{
    __auto_type t = create_task(swallows());
    int n = await(t);
    say("outer:%d", n);
    int rc = await(even_sleep(1));
    say("then:%d", rc);
    even_uncancel(NULL);
    return 0;
}

async(int, cancels_outer_of_swallower)
{
    __auto_type t = create_task(awaits_swallower());
    turns(3);
    even_cancel(t);
    return await(t);
}

TEST(a_child_that_swallows_it_swallows_it_for_both, .clean = true)
{
    assert_int_equal(even_run(cancels_outer_of_swallower()), 0);     /* as in asyncio */
    assert_story("inner:ECANCELED outer:9 then:0");
}

async(int, deep, (int, depth))
{
    if (depth > 0)
        return await(deep(depth - 1));
    int rc = await(even_sleep(5));
    say("bottom:%s", even_errname(rc));
    return rc;
}

async(int, cancels_deep)
{
    __auto_type t = create_task(deep(20));
    turns(1);
    even_cancel(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(inline_awaits_are_one_task, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_deep()), 0);
    assert_story("bottom:ECANCELED ECANCELED");
    assert_no_report();
}

async(int, link_of_chain, (int, n))
{
    if (n == 0)
        return await(even_sleep(100));
    return await(create_task(link_of_chain(n - 1)));
}

async(int, cancels_a_chain)
{
    __auto_type t = create_task(link_of_chain(3000));
    await(even_sleep(1));
    even_cancel(t);
    int rc = await(t);
    say("%s %zu", even_errname(rc), even_all_tasks(NULL, 0));
    return 0;
}

TEST(a_chain_of_three_thousand_tasks, .clean = true)
{
    assert_int_equal(even_run(cancels_a_chain()), 0);
    assert_story("ECANCELED 1");
}

static even_awaitable *cycle[2];
async(int, awaits_the_other, (int, me))
{
    even_awaitable *other = cycle[!me];
    even_ref_any(other);
    int rc = even_await_any(other);
    even_unref(other);
    say("%d:%s", me, even_errname(rc));
    return rc;
}

async(int, makes_a_cycle)
{
    __auto_type a = create_task(awaits_the_other(0));
    __auto_type b = create_task(awaits_the_other(1));
    cycle[0] = &a->base;
    cycle[1] = &b->base;
    turns(2);
    even_cancel(a);
    turns(3);
    even_detach(a);
    even_detach(b);
    return 0;
}

TEST(two_tasks_that_await_each_other, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    int rc = even_run(makes_a_cycle());     /* whatever it says: it neither hangs nor crashes */
    (void)rc;
}

async(int, gathers_itself)
{
    even_awaitable *self = &even_current_task()->base;
    even_ref_any(self);
    int rc = await(gather((even_int_aw *)(void *)self, even_sleep(0)));
    say("%s", even_errname(rc));
    return rc;
}

async(int, cancels_who_gathers_itself)
{
    __auto_type t = create_task(gathers_itself());
    turns(3);
    even_cancel(t);
    turns(3);
    even_detach(t);
    return 0;
}

TEST(a_task_that_gathers_itself, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    int rc = even_run(cancels_who_gathers_itself());    /* likewise */
    (void)rc;
}

/* ---- when the awaited thing is done already ---- */

async(int, result_then_request, (even_future *, f))
{
    ssize_t n = await(f);
    say("%zd/%d", n, even_status());
    int rc = await(even_sleep(1));
    say("%s", even_errname(rc));
    return rc;
}

async(int, done_but_not_awake)
{
    even_future *f = even_future_new(even_future);
    __auto_type t = create_task(result_then_request(even_ref(f)));
    turns(1);
    even_set_result(f, 7);
    say("%d", even_cancel(t));
    int rc = await(t);
    say("%s", even_errname(rc));
    even_detach(f);
    return 0;
}

TEST(a_result_that_was_there_is_returned_and_the_request_comes_next, .on = TEST_ALL)
{
    capture_reports();
    assert_int_equal(even_run(done_but_not_awake()), 0);
    assert_story("1 7/0 ECANCELED ECANCELED");
    assert_no_report();
}

async(int, ends_after_one_await, (even_future *, f))
{
    return (int)await(f);
}

async(int, no_next_await)
{
    even_future *f = even_future_new(even_future);
    __auto_type t = create_task(ends_after_one_await(even_ref(f)));
    turns(1);
    even_set_result(f, 7);
    even_cancel(t);
    say("%d", await(t));
    even_detach(f);
    return 0;
}

TEST(without_a_next_await_it_ends_well, .on = TEST_ALL)
{
    capture_reports();      /* it was told nothing, so it did not go on */
    assert_int_equal(even_run(no_next_await()), 0);
    assert_story("7");
    assert_no_report();
}

/* ---- oneself ---- */

async(int, cancels_itself)
{
    say("%d", even_cancel(even_current_task()));
    say("on");
    int rc = await(even_sleep(1));
    say("%s", even_errname(rc));
    int again = await(even_sleep(1));
    say("%d", again);
    return rc;
}

TEST(a_task_cancels_itself, .on = TEST_ALL, .clean = true)
{
    int rc = even_run(cancels_itself());
    assert_int_equal(rc, -ECANCELED);
    assert_story("1 on ECANCELED 0");
}

async(int, cancels_itself_then_a_future)
{
    even_future *f = even_future_new(even_future);
    even_cancel(even_current_task());
    await(even_ref(f));
    say("%s %s", even_errname(even_status()), even_errname(even_status_of(&f->base)));
    even_detach(f);
    even_uncancel(NULL);
    __auto_type t = create_task(sleeps(5));
    even_cancel(even_current_task());
    int rc = await(t);
    say("%s", even_errname(rc));
    even_uncancel(NULL);
    return 0;
}

TEST(a_pending_request_reaches_whatever_is_awaited_next, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_itself_then_a_future()), 0);
    assert_story("ECANCELED ECANCELED ECANCELED");
    assert_no_report();
}

async(int, inner_of_self_cancelled) { say("inner"); return 4; }

async(int, cancels_itself_then_inline)
{
    even_cancel(even_current_task());
    int n = await(inner_of_self_cancelled());       /* does not suspend: a plain call */
    say("%d", n);
    int rc = await(even_sleep(0));
    say("%s", even_errname(rc));
    return rc;
}

TEST(an_inline_await_that_does_not_suspend_is_no_await_in_progress, .clean = true)
{
    assert_int_equal(even_run(cancels_itself_then_inline()), -ECANCELED);
    assert_story("inner 4 ECANCELED");
}

/* ---- counting ---- */

async(int, uncancels)
{
    int rc = await(even_sleep(10));
    say("%s %u", even_errname(rc), even_cancelling(NULL));
    unsigned left = even_uncancel(NULL);
    say("%u", left);
    say("%u", even_uncancel(NULL));
    rc = await(even_sleep(1));
    return rc;
}

async(int, cancels_uncanceller)
{
    __auto_type t = create_task(uncancels());
    turns(1);
    even_cancel(t);
    return await(t);
}

TEST(uncancel_takes_the_request_back, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_uncanceller()), 0);
    assert_story("ECANCELED 1 0 0");
    assert_no_report();
}

async(int, uncancel_in_time)
{
    even_cancel(even_current_task());
    say("%u", even_uncancel(NULL));
    int rc = await(even_sleep(1));
    say("%d", rc);
    __auto_type t = create_task(sleeps(1));
    even_cancel(t);
    say("%u", even_uncancel((even_task *)t));
    say("%d", await(t));
    return rc;
}

TEST(a_request_that_was_not_delivered_can_be_withdrawn, .clean = true)
{
    assert_int_equal(even_run(uncancel_in_time()), 0);
    assert_story("0 0 0 sleeps:0 0");
}

TEST(counting_outside_of_a_task)
{
    assert_int_equal(even_cancelling(NULL), 0);
    assert_int_equal(even_uncancel(NULL), 0);
}

/* ---- cleanup, and going on ---- */

async(int, cleans_up)
{
    int rc = await(even_sleep(10));
    for (int i = 0; i < 3; i++)
        say("clean:%d", await(even_sleep(1)));
    int n = await(wait_for(even_sleep(10), 1));
    say("%s", even_errname(n));
    n = await(gather(even_sleep(1), even_sleep(1)));
    say("%d", n);
    return rc;
}

async(int, cancels_cleaner)
{
    __auto_type t = create_task(cleans_up());
    turns(1);
    even_cancel(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(cleanup_may_await_again, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_cleaner()), 0);
    assert_story("clean:0 clean:0 clean:0 ETIMEDOUT 0 ECANCELED");
    assert_no_report();
}

static int line_of_await;

async(int, ignores)
{
    line_of_await = __LINE__ + 1;
    await(even_sleep(10));
    await(even_sleep(1));
    return 3;
}

async(int, cancels_ignorer)
{
    __auto_type t = create_task(ignores());
    turns(1);
    even_cancel(t);
    return await(t);
}

TEST(a_body_that_ignores_its_cancellation_is_reported, .clean = true)
{
    char where[64];
    capture_reports();
    assert_int_equal(even_run(cancels_ignorer()), 3);
    assert_reported("(ignores) went on after its cancellation");
    assert_int_equal(report_count(), 1);
#if defined(EVEN_HAVE_LIBDW) && !defined(__aarch64__)
    snprintf(where, sizeof where, "test_cancel.c:%d", line_of_await);
    assert_reported(where);
#endif
    (void)where;
}

async(int, told_taken_back_and_asked_again)
{
    await(even_sleep(10));
    even_uncancel(NULL);
    await(even_sleep(1));
    even_cancel(even_current_task());       /* nothing is awaited any more: it is never told */
    return 3;
}

async(int, cancels_it_once)
{
    __auto_type t = create_task(told_taken_back_and_asked_again());
    turns(1);
    even_cancel(t);
    return await(t);
}

TEST(a_request_that_was_taken_back_is_no_reproach_later, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_it_once()), 3);
    assert_no_report();
}

async(int, fails_instead)
{
    await(even_sleep(10));
    return -EPIPE;
}

async(int, cancels_failer)
{
    __auto_type t = create_task(fails_instead());
    turns(1);
    even_cancel(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_body_that_fails_otherwise_fails_otherwise, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_failer()), 0);
    assert_story("EPIPE");
    assert_no_report();
}

/* ---- many at once ---- */

async(int, two_waiters_one_cancelled)
{
    __auto_type inner = create_task(sleeps(5));
    __auto_type a = create_task(awaits_task(even_ref(inner)));
    __auto_type b = create_task(awaits_task(even_ref(inner)));
    turns(2);
    even_cancel(a);
    int ra = await(a), rb = await(b);
    say("%s %s", even_errname(ra), even_errname(rb));
    even_detach(inner);
    return 0;
}

TEST(cancelling_one_of_two_waiters_ends_the_task_for_both)
{
    capture_reports();      /* asyncio's: who does not want that, shields */
    assert_int_equal(even_run(two_waiters_one_cancelled()), 0);
    assert_story("sleeps:ECANCELED awaits:ECANCELED awaits:ECANCELED ECANCELED ECANCELED");
    assert_no_report();
}

async(int, a_thousand)
{
    enum { N = 1000 };
    static struct deep_co *t[N];
    for (int i = 0; i < N; i++)
        t[i] = create_task(deep(2));
    turns(1);
    for (int i = 0; i < N; i++)
        even_cancel(t[i]);
    int bad = 0;
    for (int i = 0; i < N; i++)
        bad += await(t[i]) != -ECANCELED;
    return bad;
}

TEST(a_thousand_are_cancelled, .on = TEST_ALL, .clean = true)
{
    assert_int_equal(even_run(a_thousand()), 0);
}

static void cancels_from_a_callback(even_handle *h);
struct late { even_timer timer; struct sleeps_co *task; };
static void cancels_from_a_callback(even_handle *h)
{
    struct late *l = even_container_of(h, struct late, timer.handle);
    say("%d", even_cancel(l->task));
}

async(int, cancelled_by_a_timer)
{
    __auto_type t = create_task(sleeps(5));
    static struct late l = { EVEN_TIMER(cancels_from_a_callback), NULL };
    l.task = t;
    even_call_later(even_running_loop(), &l.timer, 1);
    int rc = await(t);
    say("%s@%g", even_errname(rc), even_time(even_running_loop()));
    return 0;
}

TEST(cancelled_by_a_callback, .clean = true)
{
    assert_int_equal(even_run(cancelled_by_a_timer()), 0);
    assert_story("1 sleeps:ECANCELED ECANCELED@1");
}

/* Cancelled in the very pass in which its sleep is over: the sleep is, so it gave 0, and the next await is told. */
async(int, sleeps_twice)
{
    int a = await(even_sleep(1));
    int b = await(even_sleep(1));
    say("%d %s", a, even_errname(b));
    return b;
}

async(int, cancelled_as_it_ends)
{
    __auto_type t = create_task(sleeps_twice());
    turns(1);
    static struct late l = { EVEN_TIMER(cancels_from_a_callback), NULL };
    l.task = (struct sleeps_co *)(void *)t;
    even_call_at(even_running_loop(), &l.timer, 1);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(cancelled_as_its_sleep_is_over, .clean = true)
{
    assert_int_equal(even_run(cancelled_as_it_ends()), 0);
    assert_story("1 0 ECANCELED ECANCELED");
}
