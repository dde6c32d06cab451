/* wait_for: a time-out around an await, that asks and then waits for the end. What depends on time runs in virtual time. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_SIM
#include "runs.h"

static double since(double start)
{
    return even_time(even_running_loop()) - start;
}
#define now() even_time(even_running_loop())

async(const char *, gives_text, (double, delay), (const char *, text))
{
    try_await(even_sleep(delay));
    return text;
}

async(int, fails, (double, delay), (int, status))
{
    try_await(even_sleep(delay));
    return status;
}

/* ---- in time, and not ---- */

async(int, both)
{
    double start = now();
    int n = await(wait_for(gives(1, 7), 2));
    say("%d/%d@%g", n, even_status(), since(start));
    n = await(wait_for(gives(5, 8), 2));
    say("%s/%s@%g", even_errname(n), even_errname(even_status()), since(start));
    const char *s = await(wait_for(gives_text(1, "text"), 2));
    say("%s/%d@%g", s, even_status(), since(start));
    s = await(wait_for(gives_text(5, "text"), 2));
    say("%d/%s@%g", s == NULL, even_errname(even_status()), since(start));
    n = await(wait_for(fails(1, -EPIPE), 2));
    say("%s@%g", even_errname(n), since(start));
    say("%u", even_cancelling(NULL));
    return 0;
}

TEST(a_result_in_time_or_a_time_out, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(both()), 0);
    assert_story("7/0@1 8:ECANCELED ETIMEDOUT/ETIMEDOUT@3 text/0@4 1/ETIMEDOUT@6 EPIPE@7 0");
    assert_no_report();
}

TEST(the_same_in_real_time, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(wait_for(gives(0, 7), 60)), 7);
    assert_int_equal(even_run(wait_for(gives(60, 7), 0.002)), -ETIMEDOUT);
    assert_story("7:ECANCELED");
}

async(int, all_kinds)
{
    int rc = await(wait_for(even_sleep(5), 1));
    say("%s", even_errname(rc));
    even_future *f = even_future_new(even_future);
    await(wait_for(even_ref(f), 1));
    say("%s %s", even_errname(even_status()), even_errname(even_status_of(&f->base)));
    even_detach(f);
    __auto_type t = create_task(gives(5, 1));
    rc = await(wait_for(even_ref(t), 1));
    say("%s %s", even_errname(rc), even_errname(even_status_of(&t->base)));
    even_detach(t);
    rc = await(wait_for(gather(gives(5, 2), gives(0, 3)), 1));
    say("%s", even_errname(rc));
    t = create_task(gives(5, 4));
    rc = await(wait_for(shield(t), 1));
    say("%s %d", even_errname(rc), even_done(t));
    even_cancel(t);
    await(t);
    return 0;
}

TEST(of_every_kind_of_awaitable, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(all_kinds()), 0);
    assert_story("ETIMEDOUT ETIMEDOUT ECANCELED 1:ECANCELED ETIMEDOUT ECANCELED 2:ECANCELED ETIMEDOUT ETIMEDOUT 0 4:ECANCELED");
    assert_no_report();
}

async(int, counts_tasks) { return (int)even_all_tasks(NULL, 0); }

TEST(a_coroutine_is_awaited_inline, .on = TEST_ALL, .clean = true)
{
    assert_int_equal(even_run(wait_for(counts_tasks(), 1)), 1);
}

struct large { char text[3000]; };
async(struct large, gives_large, (double, delay))
{
    struct large l;
    memset(&l, 'x', sizeof l);
    try_await(even_sleep(delay));
    return l;
}
struct medium { char text[200]; };
async(struct medium, gives_medium) { struct medium m; memset(&m, 'm', sizeof m); return m; }
async(void, gives_nothing, (double, delay)) { try_await(even_sleep(delay)); }
async(ssize_t, gives_ssize, (double, delay)) { try_await(even_sleep(delay)); return 1L << 40; }
async(int, gives_value) { return even_value(-5); }

async(int, result_types)
{
    struct large l = await(wait_for(gives_large(0), 1));
    say("%c%c", l.text[0], l.text[2999]);
    l = await(wait_for(gives_large(2), 1));
    say("%d%d %s", l.text[0], l.text[2999], even_errname(even_status()));
    struct medium m = await(wait_for(gives_medium(), 1));
    say("%c%c", m.text[0], m.text[199]);
    int rc = await(wait_for(gives_nothing(0), 1));
    say("%d", rc);
    rc = await(wait_for(gives_nothing(2), 1));
    say("%s", even_errname(rc));
    say("%d", await(wait_for(gives_ssize(0), 1)) == 1L << 40);
    say("%s", even_errname((int)await(wait_for(gives_ssize(2), 1))));
    int v = await(wait_for(gives_value(), 1));
    say("%d/%d", v, even_status());
    return 0;
}

TEST(results_of_every_type, .clean = true)
{
    assert_int_equal(even_run(result_types()), 0);
    assert_story("xx 00 ETIMEDOUT mm 0 ETIMEDOUT 1 ETIMEDOUT -5/0");
}

/* ---- limits ---- */

async(int, time_outs_of_nothing)
{
    double start = now();
    int rc = await(wait_for(gives(1, 1), 0));
    say("%s@%g", even_errname(rc), since(start));
    rc = await(wait_for(gives(1, 2), -5));
    say("%s@%g", even_errname(rc), since(start));
    __auto_type t = create_task(gives(0, 3));
    await(even_sleep(0));
    await(even_sleep(0));
    say("%d", await(wait_for(even_ref(t), 0)));     /* done: its result */
    say("%d", await(wait_for(t, -1)));
    even_future *f = even_future_new(even_future);
    even_set_result(f, 5);
    say("%zd", await(wait_for(f, 0)));
    rc = await(wait_for(gives(0, 6), 0.0 / 0.0));
    say("%s", even_errname(rc));
    say("%d", await(wait_for(gives(1, 7), 1e300)));
    say("%d", await(wait_for(gives(1, 8), 1.0 / 0.0)));
    return 0;
}

TEST(time_outs_of_zero_less_and_for_ever, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(time_outs_of_nothing()), 0);
    assert_story("ETIMEDOUT@0 ETIMEDOUT@0 3 3 5 EINVAL 7 8");    /* as asyncio: what has not begun never does */
}

/* Both come due in one pass; the inner one was armed first, so its result is there when the time-out looks. */
async(int, a_tie, (bool, inner_first))
{
    int rc;
    if (inner_first) {
        __auto_type s = create_task(even_sleep(1));
        await(even_sleep(0));
        rc = await(wait_for(s, 1));
    } else {
        rc = await(wait_for(even_sleep(1), 1));
    }
    say("%s/%u", even_errname(rc), even_cancelling(NULL));
    rc = await(even_sleep(1));
    say("%d", rc);
    return 0;
}

TEST(a_result_that_came_first_in_the_same_pass, .clean = true)
{
    assert_int_equal(even_run(a_tie(true)), 0);
    assert_story("0/0 0");
}

TEST(a_time_out_that_came_first_in_the_same_pass, .clean = true)
{
    assert_int_equal(even_run(a_tie(false)), 0);
    assert_story("ETIMEDOUT/0 0");
}

/* The same inside the cleanup of a cancelled task: the request that the time-out made must leave with it. */
async(int, tie_in_cleanup)
{
    int rc = await(even_sleep(50));
    say("%s", even_errname(rc));
    __auto_type s = create_task(even_sleep(1));
    await(even_sleep(0));
    int in_time = await(wait_for(s, 1));
    say("%s/%u", even_errname(in_time), even_cancelling(NULL));
    int after = await(even_sleep(1));
    say("%d", after);
    return rc;
}

async(int, cancels, (struct tie_in_cleanup_co *, t))
{
    await(even_sleep(0));
    even_cancel(t);
    return await(t);
}

async(int, main_of_tie_in_cleanup)
{
    __auto_type t = create_task(tie_in_cleanup());
    int rc = await(create_task(cancels(t)));
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_tie_in_the_cleanup_of_a_cancelled_task)
{
    assert_int_equal(even_run(main_of_tie_in_cleanup()), 0);
    assert_story("ECANCELED 0/1 0 ECANCELED");
}

/* ---- nested ---- */

async(int, inner_wait, (double, inner))
{
    int rc = await(wait_for(gives(10, 1), inner));
    say("inner:%s", even_errname(rc));
    return rc;
}

async(int, nest, (double, outer), (double, inner))
{
    double start = now();
    int rc = await(wait_for(inner_wait(inner), outer));
    say("outer:%s@%g/%u", even_errname(rc), since(start), even_cancelling(NULL));
    rc = await(even_sleep(1));
    say("%d", rc);
    return 0;
}

TEST(nested_the_outer_one_is_first, .clean = true)
{
    assert_int_equal(even_run(nest(1, 2)), 0);
    assert_story("1:ECANCELED inner:ECANCELED outer:ETIMEDOUT@1/0 0");
}

TEST(nested_the_inner_one_is_first, .clean = true)
{
    assert_int_equal(even_run(nest(2, 1)), 0);
    assert_story("1:ECANCELED inner:ETIMEDOUT outer:ETIMEDOUT@1/0 0");
}

/* Both expire in one pass: one -ECANCELED at the await in progress, which is the outer one's, as it asked first. */
TEST(nested_of_equal_time_outs, .clean = true)
{
    assert_int_equal(even_run(nest(1, 1)), 0);
    assert_story("1:ECANCELED inner:ECANCELED outer:ETIMEDOUT@1/0 0");
}

async(int, cleanup_of_equal)
{
    int rc = await(wait_for(gives(10, 1), 1));
    int again = await(even_sleep(0.5));     /* cleanup: it is not told twice */
    say("%s,%d", even_errname(rc), again);
    return rc;
}

TEST(cleanup_between_two_time_outs_is_not_told_twice, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(wait_for(cleanup_of_equal(), 1)), -ETIMEDOUT);
    assert_story("1:ECANCELED ECANCELED,0");
    assert_reported("the main task");
    assert_int_equal(report_count(), 1);
}

/* ---- bodies with a mind of their own ---- */

async(int, swallows, (int, n))
{
    int rc = await(even_sleep(10));
    say("told:%s", even_errname(rc));
    rc = await(even_sleep(1));
    say("then:%d", rc);
    return n;
}

async(int, waits_for_swallower)
{
    double start = now();
    int n = await(wait_for(swallows(7), 1));
    say("%d/%d@%g/%u", n, even_status(), since(start), even_cancelling(NULL));
    return 0;
}

TEST(an_inner_body_that_swallows_the_request, .clean = true)
{
    capture_reports();      /* asyncio: the result is returned, late */
    assert_int_equal(even_run(waits_for_swallower()), 0);
    assert_story("told:ECANCELED then:0 7/0@2/0");
    assert_no_report();
}

async(int, fails_when_told)
{
    await(even_sleep(10));
    return -EPIPE;
}

async(int, waits_for_failer)
{
    int rc = await(wait_for(fails_when_told(), 1));
    say("%s/%u", even_errname(rc), even_cancelling(NULL));
    __auto_type t = create_task(fails_when_told());
    rc = await(wait_for(t, 1));
    say("%s/%u", even_errname(rc), even_cancelling(NULL));
    return 0;
}

TEST(an_inner_body_that_fails_as_it_is_told, .clean = true)
{
    assert_int_equal(even_run(waits_for_failer()), 0);
    assert_story("EPIPE/0 EPIPE/0");
}

/* ---- cancelled from outside ---- */

async(int, waits_long, (double, seconds))
{
    int rc = await(wait_for(gives(10, 1), seconds));
    say("%s/%u", even_errname(rc), even_cancelling(NULL));
    return rc;
}

async(int, cancelled_from_outside, (double, after))
{
    __auto_type t = create_task(waits_long(2));
    int rc = await(even_sleep(after));
    say("%d", even_cancel(t));
    rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(cancelled_before_it_expires, .clean = true)
{
    assert_int_equal(even_run(cancelled_from_outside(1)), 0);
    assert_story("1 1:ECANCELED ECANCELED/1 ECANCELED");
}

/* Its timer was armed a pass later than ours: we ask first. */
TEST(cancelled_at_the_moment_it_expires, .clean = true)
{
    assert_int_equal(even_run(cancelled_from_outside(2)), 0);
    assert_story("1 1:ECANCELED ECANCELED/1 ECANCELED");
}

struct canceller {
    even_timer timer;
    struct waits_long_co *task;
};

static void cancel_it(even_handle *h)
{
    struct canceller *c = even_container_of(h, struct canceller, timer.handle);
    bool taken = even_cancel(c->task);
    say("%d%u", taken, even_cancelling((even_task *)c->task));
}

async(int, expires_then_cancelled)
{
    __auto_type t = create_task(waits_long(2));
    await(even_sleep(0));
    static struct canceller c = { EVEN_TIMER(cancel_it), NULL };
    c.task = t;
    even_call_at(even_running_loop(), &c.timer, 2);     /* in the same pass, behind the time-out: which is not yet awake */
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(cancelled_as_it_has_expired, .clean = true)
{
    assert_int_equal(even_run(expires_then_cancelled()), 0);
    assert_story("12 1:ECANCELED ECANCELED/1 ECANCELED");
}

async(int, times_out_and_goes_on)
{
    int rc = await(wait_for(gives(10, 1), 2));
    say("%s/%u", even_errname(rc), even_cancelling(NULL));
    if (rc == -ECANCELED)
        return rc;
    rc = await(even_sleep(50));
    say("then:%s", even_errname(rc));
    return rc;
}

async(int, awaits_it, (struct times_out_and_goes_on_co *, t)) { return await(even_ref(t)); }

async(int, cancels_the_parent)
{
    __auto_type t = create_task(times_out_and_goes_on());
    __auto_type parent = create_task(awaits_it(t));
    await(even_sleep(0));
    static struct canceller c = { EVEN_TIMER(cancel_it), NULL };
    c.task = (struct waits_long_co *)(void *)parent;
    even_call_at(even_running_loop(), &c.timer, 2);
    int rc = await(parent);
    say("%s@%g", even_errname(rc), now());
    even_detach(t);
    return 0;
}

/* A request that comes through a parent is one more, beside the time-out's: it must not be lost with that one. */
TEST(cancelled_through_a_parent_as_it_has_expired, .clean = true)
{
    assert_int_equal(even_run(cancels_the_parent()), 0);
    assert_story("11 1:ECANCELED ECANCELED/1 ECANCELED@2");
}

async(int, outer_catches)
{
    int rc = await(wait_for(gives(10, 1), 1));
    say("%s", even_errname(rc));
    rc = await(wait_for(gives(10, 2), 1));
    say("%s", even_errname(rc));
    for (int i = 0; i < 5; i++)
        rc |= await(wait_for(gives(0.5, 3), 1)) != 3;
    say("%d/%u", rc < 0, even_cancelling(NULL));
    return 0;
}

TEST(one_after_the_other, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(outer_catches()), 0);
    assert_story("1:ECANCELED ETIMEDOUT 2:ECANCELED ETIMEDOUT 1/0");
    assert_no_report();
}

async(int, shields_and_times_out)
{
    __auto_type t = create_task(gives(3, 9));
    int rc = await(wait_for(shield(t), 1));
    say("%s %d", even_errname(rc), even_done(t));
    say("%d", await(t));
    return 0;
}

TEST(shield_time_out_then_await, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(shields_and_times_out()), 0);
    assert_story("ETIMEDOUT 0 9");
    assert_no_report();
}

async(int, many)
{
    enum { N = 500 };
    static struct gives_co *objects[N];
    static int results[N], statuses[N];
    for (int i = 0; i < N; i++)
        objects[i] = wait_for(gives(i % 2 ? 10 : 1, i), 2);
    double start = now();
    await(gather_n_statuses(statuses, N, objects, results));
    int bad = 0;
    for (int i = 0; i < N; i++)
        bad += i % 2 ? statuses[i] != -ETIMEDOUT : results[i] != i || statuses[i] != 0;
    return bad + (since(start) != 2);
}

TEST(five_hundred_at_once, .clean = true)
{
    assert_int_equal(even_run(many()), 0);
}

TEST(a_wait_for_as_main, .clean = true)
{
    assert_int_equal(even_run(wait_for(gives(1, 3), 2)), 3);
    assert_int_equal(even_run(wait_for(gives(3, 3), 2)), -ETIMEDOUT);
}
