/* shield: takes the cancellation in another's stead. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_SIM
#include "story.h"

async(int, gives, (double, delay), (int, n))
{
    int rc = await(even_sleep(delay));
    say("%d:%s", n, rc < 0 ? even_errname(rc) : "done");
    return rc < 0 ? rc : n;
}

async(const char *, gives_text) { try_await(even_sleep(0)); return "text"; }
async(int, fails, (double, delay), (int, status)) { try_await(even_sleep(delay)); return status; }
struct triple { long a, b, c; };
async(struct triple, gives_triple) { try_await(even_sleep(0)); return (struct triple){ 1, 2, 3 }; }

async(int, passes_on)
{
    int n = await(shield(gives(1, 4)));
    say("%d", n);
    say("%s", await(shield(gives_text())));
    struct triple t = await(shield(gives_triple()));
    say("%ld%ld%ld", t.a, t.b, t.c);
    n = await(shield(fails(0, -EPIPE)));
    say("%s/%s", even_errname(n), even_errname(even_status()));
    even_future *f = even_future_new(even_future);
    even_set_result(f, 6);
    say("%zd", await(shield(f)));
    even_detach(f);
    n = await(shield(even_sleep(0)));
    say("%d", n);
    __auto_type inner = shield(gives(0, 5));    /* a future, and so borrowed */
    n = await(shield(inner));
    even_detach(inner);
    say("%d", n);
    return 0;
}

TEST(it_ends_as_the_inner_one_does, .on = TEST_ALL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(passes_on()), 0);
    assert_story("4:done 4 text 123 EPIPE/EPIPE 6 0 5:done 5");
}

async(int, borrows)
{
    __auto_type t = create_task(gives(1, 4));
    int a = await(shield(t));
    int b = await(shield(t));       /* done: it is still ours */
    int c = await(t);
    say("%d%d%d", a, b, c);
    return 0;
}

TEST(it_borrows_a_task, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(borrows()), 0);
    assert_story("4:done 444");
    assert_no_report();
}

async(int, awaits_shield, (struct gives_co *, t))
{
    int rc = await(shield(t));
    say("shield:%s", rc < 0 ? even_errname(rc) : "result");
    return rc;
}

async(int, cancels_outer)
{
    __auto_type t = create_task(gives(2, 4));
    __auto_type outer = create_task(awaits_shield(t));
    await(even_sleep(1));
    even_cancel(outer);
    int rc = await(outer);
    say("%s %d", even_errname(rc), even_done(t));
    say("%d", await(t));
    return 0;
}

TEST(cancelling_it_does_not_cancel_the_inner_one, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_outer()), 0);
    assert_story("shield:ECANCELED ECANCELED 0 4:done 4");
    assert_no_report();
}

async(int, shields_a_coroutine)
{
    int rc = await(shield(gives(2, 4)));
    say("shield:%s", even_errname(rc));
    return rc;
}

async(int, cancels_outer_of_coroutine)
{
    __auto_type outer = create_task(shields_a_coroutine());
    await(even_sleep(1));
    even_cancel(outer);
    int rc = await(outer);
    say("%s %zu", even_errname(rc), even_all_tasks(NULL, 0));
    await(even_sleep(2));
    return 0;
}

TEST(a_shielded_coroutine_goes_on_by_itself, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_outer_of_coroutine()), 0);
    assert_story("shield:ECANCELED ECANCELED 2 4:done");
    assert_no_report();
}

async(int, cancels_inner)
{
    __auto_type t = create_task(gives(2, 4));
    __auto_type outer = create_task(awaits_shield(t));
    await(even_sleep(1));
    even_cancel(t);
    int rc = await(outer);
    say("%s %u", even_errname(rc), even_cancelling(NULL));
    even_detach(t);
    return 0;
}

TEST(an_inner_one_that_is_cancelled_ends_it, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_inner()), 0);
    assert_story("4:ECANCELED shield:ECANCELED ECANCELED 0");
    assert_no_report();
}

async(int, inner_fails_later)
{
    __auto_type outer = create_task(wait_for(shield(fails(2, -EPIPE)), 1));
    int rc = await(outer);
    say("%s", even_errname(rc));
    await(even_sleep(2));
    return 0;
}

TEST(a_failure_after_the_shield_is_gone_is_reported, .clean = true)
{
    capture_reports();      /* nobody can fetch it any more */
    assert_int_equal(even_run(inner_fails_later()), 0);
    assert_story("ETIMEDOUT");
    assert_reported("(fails) failed with EPIPE");
}

async(int, two_shields)
{
    __auto_type t = create_task(gives(2, 4));
    __auto_type a = create_task(awaits_shield(t));
    __auto_type b = create_task(awaits_shield(t));
    await(even_sleep(1));
    even_cancel(a);
    int rc = await(a);
    say("%s", even_errname(rc));
    say("%d", await(b));
    say("%d", await(t));
    return 0;
}

TEST(two_shields_of_one_task, .clean = true)
{
    assert_int_equal(even_run(two_shields()), 0);
    assert_story("shield:ECANCELED ECANCELED 4:done shield:result 4 4");
}

async(int, unawaited_shield)
{
    __auto_type t = create_task(gives(1, 4));
    even_detach(shield(t));
    say("%d", await(t));
    return 0;
}

TEST(a_shield_that_is_let_go, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(unawaited_shield()), 0);
    assert_story("4:done 4");
    assert_no_report();
}

async(int, shields_at_the_end)
{
    even_detach(shield(gives(100, 4)));
    await(even_sleep(1));
    return 0;
}

TEST(the_end_cancels_what_was_shielded, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(shields_at_the_end()), 0);
    assert_story("4:ECANCELED");
}

async(int, cancel_and_result_together)
{
    __auto_type t = create_task(gives(1, 4));
    __auto_type outer = create_task(awaits_shield(t));
    await(even_sleep(0));
    await(even_sleep(1));       /* t's sleep is over; t itself wakes in the next pass */
    even_cancel(outer);
    int rc = await(outer);
    say("%s", even_errname(rc));
    say("%d", await(t));
    return 0;
}

TEST(cancelled_as_the_inner_one_ends, .clean = true)
{
    assert_int_equal(even_run(cancel_and_result_together()), 0);
    assert_non_null(strstr(story, "shield:ECANCELED ECANCELED"));
    assert_non_null(strstr(story, "4:done"));
}

TEST(shield_outside_of_a_run, .clean = true)
{
    capture_reports();
    __auto_type s = shield(gives(0, 1));
    assert_true(even_status_of(&s->base) < 0);
    assert_story("");
}
