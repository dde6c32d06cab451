/* The end of a run where it is not as usual: a request that is taken back, a stop meanwhile, who cannot be cancelled. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "child.h"
#include "story.h"
#include <signal.h>

async(int, main_never_ends) { for (;;) await(even_sleep(60)); return 0; }

/* Its time-out asks it to end, too, and that is no business of the signal's. */
async(int, is_interrupted_while_it_is_late)
{
    await(even_sleep(60));
    raise(SIGINT);
    int rc = await(even_sleep(60));
    say("%s", even_errname(rc));
    return rc;
}

async(int, is_late_after_a_signal)
{
    raise(SIGINT);
    await(even_sleep(60));
    even_uncancel(NULL);
    int rc = await(wait_for(is_interrupted_while_it_is_late(), 0.01));
    say("%s", even_errname(rc));
    return rc;
}

TEST(a_signal_is_the_first_after_one_that_was_taken_back, .on = TEST_SIM, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(is_late_after_a_signal(), .grace = 0.001), -EINTR);
    assert_story("ECANCELED ECANCELED");
}

async(int, main_sleeps_twice)
{
    await(even_sleep(60));
    int rc = await(even_sleep(0.3));
    say("%s", even_errname(rc));
    return -ECANCELED;
}

async(int, goes_on_while_it_is_late)
{
    raise(SIGINT);
    await(even_sleep(60));
    even_uncancel(NULL);
    int rc = await(wait_for(main_sleeps_twice(), 0.9));
    say("%s", even_errname(rc));
    return 3;
}

TEST(a_time_out_at_the_end_of_a_grace_that_was_taken_back_ends_nothing, .on = TEST_SIM, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(goes_on_while_it_is_late(), .grace = 1), 3);
    assert_story("0 ETIMEDOUT");
}

async(int, stops_the_loop_in_its_cleanup)
{
    await(even_sleep(60));
    even_loop_stop(even_running_loop());
    even_uncancel(NULL);
    int rc = await(even_sleep(0.01));
    say("%s", even_errname(rc));
    return 0;
}

async(int, leaves_one_that_stops)
{
    even_detach(create_task(stops_the_loop_in_its_cleanup()));
    return await(even_sleep(0.001));
}

TEST(a_stop_while_the_run_ends_is_nothing_new, .on = TEST_ALL, .no_faults = true, .seconds = 5)
{
    assert_int_equal(even_run(leaves_one_that_stops()), 0);
    assert_story("0");
}

/* ---- a main operation that cannot be cancelled ---- */

static void raises_a_term(even_awaitable *x) { (void)x; raise(SIGTERM); }
static const even_kind unmoved_kind = {
    .name = "unmoved", .size = sizeof(even_int_aw), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT,
    .start = raises_a_term,
};

TEST(a_main_operation_that_never_ends_is_given_up, .on = TEST_KERNEL, .no_faults = true)
{
    even_int_aw *x = (even_int_aw *)even_awaitable_new(&unmoved_kind);
    capture_reports();
    assert_int_equal(even_run(x, .grace = 0.001), -EVEN_ESTUCK);
    assert_reported("(unmoved) has not ended, and is given up");
    assert_int_equal(even_complete(&x->base, 0), 0);        /* for the loop's reference */
}

static int raised;

/* Each in a step of its own, so that the loop hears it. */
static void raise_again(even_handle *h)
{
    if (++raised > 5)
        _exit(raised);
    raise(SIGINT);
    even_call_later(even_running_loop(), even_container_of(h, even_timer, handle), 0.001);
}

static even_timer again = EVEN_TIMER(raise_again);
static void begins_to_raise(even_awaitable *x) { (void)x; raise_again(&again.handle); }
static const even_kind raising_kind = {
    .name = "raising", .size = sizeof(even_int_aw), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT,
    .start = begins_to_raise,
};

static void run_what_hears_no_signal(void)
{
    even_run((even_int_aw *)even_awaitable_new(&raising_kind), .grace = 60);
}

TEST(the_third_signal_ends_a_program_whose_main_operation_does_not, .on = TEST_KERNEL, .no_faults = true)
{
    int status = status_of_child(run_what_hears_no_signal);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

async(int, cleans_up_for_some_time)
{
    await(even_sleep(60));
    await(even_sleep(0.3));
    say("%s", even_errname(even_status()));
    return 0;
}

async(int, takes_it_back_and_ends)
{
    capture_reports();              /* that the other one goes on */
    even_detach(create_task(cleans_up_for_some_time()));
    raise(SIGINT);
    await(even_sleep(60));
    even_uncancel(NULL);
    return await(even_sleep(0.3));
}

TEST(a_request_that_main_took_back_takes_nothing_of_the_grace, .on = TEST_SIM, .no_faults = true)
{
    assert_int_equal(even_run(takes_it_back_and_ends(), .grace = 0.5), 0);
    assert_story("0");
}

struct slow { even_int_aw pub; even_timer timer; };

static void slow_is_over(even_handle *h) { even_complete(&even_container_of(h, struct slow, timer.handle)->pub.base, 0); }
static void slow_begins(even_awaitable *x)
{
    struct slow *s = (struct slow *)x;
    s->timer = (even_timer)EVEN_TIMER(slow_is_over);
    even_call_later(even_running_loop(), &s->timer, 1.5);
}
static const even_kind slow_kind = {
    .name = "slow", .size = sizeof(struct slow), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT,
    .start = slow_begins,
};

async(int, goes_on_in_time) { return await(wait_for(main_never_ends(), 1.2)); }
async(int, keeps_the_loop_busy) { return await((even_int_aw *)even_awaitable_new(&slow_kind)); }
async(int, leaves_two)
{
    even_detach(create_task(goes_on_in_time()));
    even_detach(create_task(keeps_the_loop_busy()));
    return await(even_sleep(0.01));
}

TEST(a_time_out_comes_after_its_task_was_given_up, .on = TEST_SIM, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_two(), .grace = 1), -EVEN_ESTUCK);
    assert_reported("went on through a hundred cancellations and is given up");
}
