/* How far a cancellation goes: through what is nested deeply, through what many wait for, around rings; and to a task that awaits
 * nothing but what is done already. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"
#include <errno.h>

enum { DEEP = 20000, LAYERS = 40 };

async(int, sleeps) { return await(even_sleep(1000)); }

async(int, turns, (int, n))
{
    while (n-- > 0)
        await(even_sleep(0));
    return 0;
}

/* ---- depth ---- */

async(int, cancels_deep)
{
    __auto_type s = create_task(sleeps());
    even_int_aw *g = gather(even_ref(s));
    for (int i = 1; i < DEEP; i++)
        g = gather(g);
    await(turns(1));
    say("%d", even_cancel(g));
    int rc = await(g);
    say("%s %s", even_errname(rc), even_errname(await(s)));
    return 0;
}

TEST(gathers_nested_deeply_are_cancelled, .no_faults = true, .no_valgrind = true)
{
    assert_int_equal(even_run(cancels_deep()), 0);
    assert_story("1 ECANCELED ECANCELED");
}

async(int, drops_deep)
{
    __auto_type s = create_task(sleeps());
    even_int_aw *g = gather(even_ref(s));
    for (int i = 1; i < DEEP; i++)
        g = gather(g);
    even_detach(g);                 /* and with it all that it alone held */
    say("%d", even_done(s));
    even_cancel(s);
    return await(s) == -ECANCELED ? 0 : 1;
}

TEST(gathers_nested_deeply_are_given_up, .no_faults = true, .no_valgrind = true)
{
    assert_int_equal(even_run(drops_deep()), 0);
    assert_story("0");
}

/* ---- width: all of a layer wait for all of the next ---- */

static unsigned told;

async(int, leaf)
{
    int rc = await(sleeps());
    told++;
    return rc;
}

async(int, layer, (even_int_aw *, a), (even_int_aw *, b))
{
    int rc = await(gather(a, b));
    told++;
    return rc;
}

#define AS_INT(x) ((even_int_aw *)(void *)even_ref(x))

async(int, cancels_layers)
{
    struct layer_co *x, *y;
    __auto_type a = create_task(leaf());
    __auto_type b = create_task(leaf());
    x = create_task(layer(AS_INT(a), AS_INT(b)));
    y = create_task(layer(AS_INT(a), AS_INT(b)));
    even_detach(a);
    even_detach(b);
    for (int i = 1; i < LAYERS; i++) {
        struct layer_co *nx = create_task(layer(AS_INT(x), AS_INT(y))), *ny = create_task(layer(AS_INT(x), AS_INT(y)));
        even_detach(x);
        even_detach(y);
        x = nx;
        y = ny;
    }
    even_detach(y);
    await(turns(3));
    even_cancel(x);
    int rc = await(x);
    say("%s %u", even_errname(rc), told);
    return 0;
}

/* One that is reached on two ways is asked once, and nobody is woken before what he waits for has ended. */
TEST(each_is_asked_once, .no_faults = true)
{
    told = 0;
    capture_reports();
    assert_int_equal(even_run(cancels_layers()), 0);
    assert_story("ECANCELED 82");           /* also y of the last layer: what it gathers has been cancelled */
}

async(int, waits_for_two, (even_int_aw *, a), (even_int_aw *, b), (int *, ended))
{
    int rc = await(gather(a, b));
    say("%d", *ended);
    return rc;
}

async(int, ends_late, (int *, ended))
{
    int rc = await(even_sleep(1000));
    await(turns(5));
    ++*ended;
    return rc;
}

async(int, awaits_task, (struct ends_late_co *, t)) { return await(t); }

async(int, cancels_a_diamond)
{
    int ended = 0;
    __auto_type bottom = create_task(ends_late(&ended));
    struct awaits_task_co *left = create_task(awaits_task(even_ref(bottom))), *right = create_task(awaits_task(even_ref(bottom)));
    __auto_type top = create_task(waits_for_two(AS_INT(left), AS_INT(right), &ended));
    even_detach(left);
    even_detach(right);
    await(turns(2));
    even_cancel(top);
    say("%u", even_cancelling((even_task *)(void *)bottom));
    say("%s", even_errname(await(top)));
    even_detach(bottom);
    return 0;
}

TEST(a_diamond_is_no_ring, .no_faults = true)
{
    assert_int_equal(even_run(cancels_a_diamond()), 0);
    assert_story("1 1 ECANCELED");
}

/* ---- rings ---- */

static even_awaitable *ring[3];

async(int, awaits_next, (int, i), (bool, by_gather))
{
    even_int_aw *next = (even_int_aw *)(void *)even_ref_any(ring[(i + 1) % 3]);
    int rc = by_gather ? await(gather(next)) : await(next);
    say("%d:%s", i, even_errname(rc));
    return rc;
}

async(int, makes_a_ring, (bool, by_gather))
{
    for (int i = 0; i < 3; i++)
        ring[i] = &create_task(awaits_next(i, by_gather && i == 1))->base;
    await(turns(3));
    even_cancel_any(ring[0]);
    for (int i = 0; i < 3; i++) {
        even_await_any(ring[i]);
        even_unref(ring[i]);
    }
    return 0;
}

TEST(a_ring_is_broken, .no_faults = true, TEST_LEAKS_OK)
{
    capture_reports();
    assert_int_equal(even_run(makes_a_ring(false)), 0);
    assert_story("2:ECANCELED 1:ECANCELED 0:ECANCELED");
}

TEST(a_ring_through_a_gather_is_broken, .no_faults = true, TEST_LEAKS_OK)
{
    capture_reports();
    assert_int_equal(even_run(makes_a_ring(true)), 0);
    assert_non_null(strstr(story, "0:ECANCELED"));
    assert_non_null(strstr(story, "1:ECANCELED"));
    assert_non_null(strstr(story, "2:ECANCELED"));
}

/* ---- what is done already ---- */

static unsigned rounds;

async(int, spins, (even_future *, f), (int, kind))
{
    for (rounds = 0; rounds < 1000000000; rounds++) {
        if (kind == 0 && await(gather(even_ref(f), even_ref(f))) == -ECANCELED)
            break;
        if (kind == 1)
            try_await(even_ref(f));
        if (kind == 2) {
            await(even_ref(f));
            if (even_status() == -ECANCELED)
                break;
        }
        if (kind == 3) {
            try_await(shield(f));
        }
    }
    return -ECANCELED;
}

async(int, cancels_a_spinner, (int, kind))
{
    even_future *f = even_future_new(even_future);
    even_set_result(f, 1);
    __auto_type t = create_task(spins(f, kind));
    await(turns(4));
    say("%s", rounds < 1000 ? "others-run" : "alone");
    even_cancel(t);
    await(turns(4));
    say("%s", even_done(t) ? "told" : "spins");
    int rc = await(t);
    say("%s", even_errname(rc));
    say("%s", even_errname(await(wait_for(spins(f, kind), 0.01))));
    even_detach(f);
    return 0;
}

TEST(who_gathers_what_is_done_is_told, .on = TEST_KERNEL, .no_faults = true)
{
    assert_int_equal(even_run(cancels_a_spinner(0)), 0);
    assert_story("others-run told ECANCELED ETIMEDOUT");
}

TEST(who_awaits_what_is_done_is_told, .on = TEST_KERNEL, .no_faults = true)
{
    assert_int_equal(even_run(cancels_a_spinner(1)), 0);
    assert_story("others-run told ECANCELED ETIMEDOUT");
}

TEST(the_status_tells_where_the_value_is_anothers, .on = TEST_KERNEL, .no_faults = true)
{
    assert_int_equal(even_run(cancels_a_spinner(2)), 0);
    assert_story("others-run told ECANCELED ETIMEDOUT");
}

TEST(who_shields_what_is_done_is_told, .on = TEST_KERNEL, .no_faults = true)
{
    assert_int_equal(even_run(cancels_a_spinner(3)), 0);
    assert_story("others-run told ECANCELED ETIMEDOUT");
}

async(int, leaves_a_spinner, (int, kind))
{
    even_future *f = even_future_new(even_future);
    even_set_result(f, 1);
    even_detach(create_task(spins(even_ref(f), kind)));
    even_detach(f);
    return await(turns(3));
}

TEST(a_run_ends_who_awaits_what_is_done, .no_faults = true, TEST_LEAKS_OK)
{
    capture_reports();
    for (int kind = 0; kind < 4; kind++) {
        assert_int_equal(even_run(leaves_a_spinner(kind)), 0);
        assert_true(rounds < 10000);
    }
    assert_no_report();
}

async(int, counts_finished, (even_future *, f), (int *, at))
{
    for (*at = 0; *at < 1000; ++*at)
        await(even_ref(f));
    return 0;
}

async(int, watches_counting)
{
    int at = 0;
    even_future *f = even_future_new(even_future);
    even_set_result(f, 1);
    __auto_type t = create_task(counts_finished(f, &at));
    await(turns(1));
    say("%d", at);
    await(turns(1));
    say("%d", at);
    int rc = await(t);
    say("%d %d", rc, at);
    even_detach(f);
    return 0;
}

TEST(sixty_four_in_a_row_and_the_others_run)
{
    assert_int_equal(even_run(watches_counting()), 0);
    if (!test_fault_fired())
        assert_story("63 127 0 1000");
}

/* ---- a task that only lets others run ---- */

async(int, lets_others_run) { return await(even_sleep(0)); }

async(int, cancels_who_lets_others_run)
{
    __auto_type t = create_task(lets_others_run());
    await(even_sleep(0));
    even_cancel(t);
    return await(t);
}

TEST(who_lets_others_run_is_told_there)
{
    int rc = even_run(cancels_who_lets_others_run());
    if (!test_fault_fired())
        assert_int_equal(rc, -ECANCELED);
}

/* ---- a task that has a request before it closes a ring ---- */

static even_awaitable *first, *second;

async(int, waits_for_first)
{
    even_await_any(even_ref_any(first));
    say("second:%s", even_errname(even_status()));
    even_unref(first);
    return 0;
}

async(int, closes_a_ring, (bool, gathers))
{
    await(even_sleep(0));
    even_cancel_any(first);
    if (gathers) {
        await(even_gather_entries(&(even_gather_entry){ .object = even_ref_any(second) }, 1, NULL));
    } else {
        even_await_any(even_ref_any(second));
        even_unref(second);
    }
    say("first:%s", even_errname(even_status()));
    say("%u", even_cancelling(NULL));
    return 0;
}

async(int, makes_a_ring_with_a_request, (bool, gathers))
{
    __auto_type a = create_task(closes_a_ring(gathers));
    __auto_type b = create_task(waits_for_first());
    first = &a->base;
    second = &b->base;
    int rc = await(wait_for(gather(a, b), 10));
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_request_is_passed_on_into_a_ring, .no_faults = true)
{
    assert_int_equal(even_run(makes_a_ring_with_a_request(false)), 0);
    assert_story("second:ECANCELED first:0 1 0");
}

TEST(a_request_is_passed_on_into_a_ring_with_a_gather, .no_faults = true)
{
    assert_int_equal(even_run(makes_a_ring_with_a_request(true)), 0);
    assert_story("second:ECANCELED first:ECANCELED 1 0");
}
