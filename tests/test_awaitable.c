/* Awaitables that a program defines for itself: the header, a start, a cancel and a drop. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"

/* A number that somebody hands over later. */
struct parcel {
    even_awaitable base;
    long result;
    int starts, cancels;
    enum { HONEST, DEAF, SLOW, LUCKY } manner;
    even_handle later;
};

static unsigned drops;

static void parcel_start(even_awaitable *x)
{
    ((struct parcel *)(void *)x)->starts++;
    say("start");
}

static void ends_canceled(even_handle *h)
{
    even_complete(&even_container_of(h, struct parcel, later)->base, -ECANCELED);
}

static bool parcel_cancel(even_awaitable *x)
{
    struct parcel *p = (struct parcel *)(void *)x;
    p->cancels++;
    say("cancel");
    switch (p->manner) {
    case HONEST:
        even_complete(x, -ECANCELED);
        return true;
    case SLOW:
        p->later = (even_handle)EVEN_HANDLE(ends_canceled);
        even_call_soon(even_running_loop(), &p->later);
        return true;
    case LUCKY:         /* it had come already */
        p->result = 77;
        even_complete(x, 0);
        return true;
    default:
        return false;
    }
}

static void parcel_drop(even_awaitable *x)
{
    (void)x;
    drops++;
}

static const even_kind parcel_kind = {
    .name = "parcel",
    .size = sizeof(struct parcel),
    .result_size = sizeof(long),
    .result_class = EVEN_RESULT_LONG,
    .start = parcel_start,
    .cancel = parcel_cancel,
    .drop = parcel_drop,
};

static struct parcel *parcel_new(int manner)
{
    static struct parcel failed = { .base = EVEN_AWAITABLE_FAILED(&parcel_kind, -ENOMEM), .result = -ENOMEM };
    struct parcel *p = (struct parcel *)(void *)even_awaitable_new(&parcel_kind);
    if (!p)
        return &failed;
    p->manner = manner;
    return p;
}

static void parcel_deliver(struct parcel *p, long n)
{
    if (p->base.state == EVEN_ACTIVE) {
        p->result = n;
        even_complete(&p->base, 0);
    }
}

async(int, takes, (struct parcel *, p))
{
    long n = await(p);
    say("%ld/%s", n, even_errname(even_status()));
    return 0;
}

async(int, takes_twice, (struct parcel *, p))
{
    long n = await(p);
    say("%ld/%s", n, even_errname(even_status()));
    int rc = await(even_sleep(0));
    say("then:%s", even_errname(rc));
    return rc;
}

/* ---- */

async(int, delivers)
{
    struct parcel *p = parcel_new(HONEST);
    __auto_type t = create_task(takes(p));
    await(even_sleep(0));
    parcel_deliver(p, 5);
    say("delivered");
    await(t);
    return 0;
}

TEST(it_is_started_completed_and_dropped, .no_faults = true)
{
    assert_int_equal(even_run(delivers()), 0);
    assert_story("start delivered 5/0");
    assert_int_equal(drops, 1);
}

async(int, fails_it)
{
    struct parcel *p = parcel_new(HONEST);
    __auto_type t = create_task(takes(p));
    await(even_sleep(0));
    int rc = even_complete(&p->base, -EPIPE);
    int again = even_complete(&p->base, 0);
    say("%d %s", rc, even_errname(again));
    await(t);
    return 0;
}

TEST(it_fails_once, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(fails_it()), 0);
    assert_story("start 0 EVEN_ESTATE -32/EPIPE");
    assert_reported("'parcel' (made at ");
    assert_reported(") cannot be completed: it has failed already");
    assert_int_equal(drops, 1);
}

async(int, composes)
{
    struct parcel *p[6];
    for (int i = 0; i < 6; i++)
        p[i] = parcel_new(HONEST);
    long a = 0, b = 0;
    __auto_type g = gather(into(&a, p[0]), into(&b, wait_for(p[1], 60)));
    __auto_type t = create_task(p[2]);
    __auto_type s = shield(p[3]);
    for (int i = 0; i < 3; i++)
        await(even_sleep(0));
    for (int i = 0; i < 4; i++)
        parcel_deliver(p[i], i + 1);
    int rc = await(g);
    long c = await(t);
    long d = await(s);
    say("%d %ld%ld%ld%ld", rc, a, b, c, d);
    c = await(wait_for(p[4], 0.001));
    say("%s", even_errname((int)c));
    even_cancel(p[5]);
    d = await(p[5]);
    say("%s", even_errname((int)d));
    return 0;
}

TEST(it_composes_with_everything, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(composes()), 0);
    assert_story("start start start start 0 1234 start cancel ETIMEDOUT ECANCELED");
    assert_int_equal(drops, 6);
    assert_no_report();
}

async(int, cancels, (int, manner))
{
    struct parcel *p = parcel_new(manner);
    __auto_type t = create_task(takes_twice(p));
    await(even_sleep(0));
    say("%d", even_cancel(t));
    await(even_sleep(0));
    await(even_sleep(0));
    if (manner == DEAF)
        parcel_deliver(p, 8);
    int rc = await(t);
    say("%s", even_errname(rc));
    even_uncancel(NULL);
    return 0;
}

TEST(a_cancel_that_ends_it_at_once, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels(HONEST)), 0);
    assert_story("start cancel 1 -125/ECANCELED then:0 0");
    assert_reported("went on after its cancellation");
}

TEST(a_cancel_that_ends_it_soon, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels(SLOW)), 0);
    assert_story("start cancel 1 -125/ECANCELED then:0 0");
}

TEST(a_cancel_that_comes_too_late, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels(LUCKY)), 0);
    assert_story("start cancel 1 77/0 then:ECANCELED ECANCELED");
    assert_no_report();
}

TEST(one_that_cannot_be_cancelled, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels(DEAF)), 0);
    assert_story("start cancel 1 8/0 then:ECANCELED ECANCELED");
    assert_no_report();
}

async(int, forgets)
{
    even_detach(parcel_new(HONEST));
    return 0;
}

TEST(it_is_reported_if_never_awaited, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets()), 0);
    assert_reported("awaitable 'parcel' was never awaited");
    assert_int_equal(drops, 1);
}

async(int, completes_too_early)
{
    struct parcel *p = parcel_new(HONEST);
    say("%s", even_errname(even_complete(&p->base, 0)));
    even_cancel(p);
    even_detach(p);
    return 0;
}

TEST(it_cannot_be_completed_before_it_has_begun, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(completes_too_early()), 0);
    assert_story("EVEN_ESTATE");
    assert_reported(") cannot be completed: nobody has begun to await it");
}

/* ---- done before it waits ---- */

struct quick { even_awaitable base; int result; };
static void quick_start(even_awaitable *x)
{
    ((struct quick *)(void *)x)->result = 3;
    even_complete(x, 0);
}
static const even_kind quick_kind = {
    .name = "quick", .size = sizeof(struct quick), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT,
    .start = quick_start,
};
static const even_kind polite_kind = {
    .name = "polite", .size = sizeof(struct quick), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT,
    .start = quick_start, .yields = 1,
};

async(int, other) { say("other"); return 0; }

async(int, takes_quick, (const even_kind *, kind))
{
    __auto_type t = create_task(other());
    struct quick *q = (struct quick *)(void *)even_awaitable_new(kind);
    if (!q)
        return -ENOMEM;
    say("%d", await(q));
    return await(t);
}

TEST(a_start_may_complete_it)
{
    assert_int_equal(even_run(takes_quick(&quick_kind)), 0);
    assert_story("3 other");
}

TEST(one_that_yields_lets_the_others_run_first)
{
    assert_int_equal(even_run(takes_quick(&polite_kind)), 0);
    assert_story("other 3");
}

async(int, quick_as_task)
{
    struct quick *q = (struct quick *)(void *)even_awaitable_new(&quick_kind);
    if (!q)
        return -ENOMEM;
    __auto_type t = create_task(q);
    int a = await(t);
    q = (struct quick *)(void *)even_awaitable_new(&quick_kind);
    if (!q)
        return -ENOMEM;
    int b = 0;
    await(gather(into(&b, q)));
    say("%d %d", a, b);
    return 0;
}

TEST(one_that_is_done_at_once_as_a_task, .clean = true)
{
    assert_int_equal(even_run(quick_as_task()), 0);
    assert_story("3 3");
}

/* ---- shared ones: borrows, many waiters, pending from the beginning ---- */

static const even_kind gate_kind = {
    .name = "gate", .size = sizeof(struct quick), .result_size = sizeof(int), .result_class = EVEN_RESULT_INT, .borrows = 1,
    .drop = parcel_drop,
};

async(int, passes_the_gate, (struct quick *, gate), (int, n))
{
    int rc = await(gate);
    say("%d:%d", n, rc);
    return 0;
}

async(int, a_gate)
{
    struct quick *gate = (struct quick *)(void *)even_awaitable_new(&gate_kind);
    if (!gate)
        return -ENOMEM;
    __auto_type g = gather(passes_the_gate(even_ref(gate), 1), passes_the_gate(even_ref(gate), 2),
                           passes_the_gate(even_ref(gate), 3));
    await(even_sleep(0));
    gate->result = 6;
    say("%d", even_complete(&gate->base, 0));
    even_detach(gate);
    return await(g);
}

TEST(a_shared_awaitable)
{
    assert_int_equal(even_run(a_gate()), 0);
    assert_story("0 1:6 2:6 3:6");
    assert_int_equal(drops, 1);
}

async(int, waits_at_the_gate, (struct quick *, gate))
{
    int rc = await(gate);
    say("%d", rc);
    rc = await(even_sleep(0));
    say("%s", even_errname(rc));
    return rc;
}

async(int, cancels_at_the_gate)
{
    struct quick *gate = (struct quick *)(void *)even_awaitable_new(&gate_kind);
    if (!gate)
        return -ENOMEM;
    __auto_type t = create_task(waits_at_the_gate(even_ref(gate)));
    await(even_sleep(0));
    say("%d", even_cancel(t));
    gate->result = 6;
    even_complete(&gate->base, 0);
    even_detach(gate);
    await(t);
    return 0;
}

TEST(a_shared_awaitable_without_a_cancel)
{
    assert_int_equal(even_run(cancels_at_the_gate()), 0);
    assert_story("1 6 ECANCELED");
}

/* ---- the failed object of a constructor ---- */

async(int, failed_objects)
{
    static struct parcel failed = { .base = EVEN_AWAITABLE_FAILED(&parcel_kind, -ENOMEM), .result = -ENOMEM };
    long n = await(&failed);
    say("%s", even_errname((int)n));
    n = await(&failed);
    say("%s", even_errname((int)n));
    __auto_type t = create_task(&failed);
    n = await(t);
    say("%s", even_errname((int)n));
    long a = 55;
    int rc = await(gather(into(&a, &failed), even_sleep(0)));
    say("%s %ld", even_errname(rc), a);
    n = await(wait_for(&failed, 1));
    say("%s", even_errname((int)n));
    n = await(shield(&failed));
    say("%s", even_errname((int)n));
    even_detach(&failed);
    say("%d", even_cancel(&failed));
    return 0;
}

TEST(a_failed_object_is_accepted_everywhere, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(failed_objects()), 0);
    assert_story("ENOMEM ENOMEM ENOMEM ENOMEM 55 ENOMEM ENOMEM 0");
    assert_no_report();
    assert_int_equal(drops, 0);
}

TEST(a_failed_object_as_main, .clean = true)
{
    static struct parcel failed = { .base = EVEN_AWAITABLE_FAILED(&parcel_kind, -ENOMEM), .result = -ENOMEM };
    assert_int_equal(even_run(&failed), -ENOMEM);
    assert_int_equal(even_status(), -ENOMEM);
}
