/* Futures: a result that somebody sets, waiters, and done-callbacks that are scheduled. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"

struct point { double x, y, z; };
struct page { char text[4096]; };
EVEN_FUTURE(point_future, struct point);
EVEN_FUTURE(page_future, struct page);
EVEN_FUTURE(name_future, const char *);
EVEN_FUTURE(char_future, char);

async(int, waits, (even_future *, f), (const char *, name))
{
    say("%s:waits", name);
    ssize_t n = await(f);
    say("%s:%zd/%d", name, n, even_status());
    return 0;
}

/* ---- results ---- */

async(int, one_result)
{
    even_future *f = even_future_new(even_future);
    say("%d %d", even_done(f), even_status_of(&f->base));
    int rc = even_set_result(f, 7);
    say("%d %d %d", rc, even_done(f), even_status_of(&f->base));
    ssize_t n = await(f);
    say("%zd %d", n, even_status());
    return 0;
}

TEST(a_result_set_before_the_await, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(one_result()), 0);
    assert_story("0 -115 0 1 0 7 0");
    assert_no_report();
}

async(int, wakes_its_waiter)
{
    even_future *f = even_future_new(even_future);
    __auto_type t = create_task(waits(even_ref(f), "a"));
    await(even_sleep(0));
    even_set_result(f, 5);
    say("set");
    even_detach(f);
    await(t);
    return 0;
}

TEST(a_result_wakes_the_waiter_but_does_not_run_it)
{
    assert_int_equal(even_run(wakes_its_waiter()), 0);
    assert_story("a:waits set a:5/0");
}

async(int, typed_results)
{
    struct point_future *p = even_future_new(struct point_future);
    even_set_result(p, ((struct point){ 1, 2, 3 }));
    struct point got = await(p);
    say("%g,%g,%g", got.x, got.y, got.z);

    struct name_future *n = even_future_new(struct name_future);
    even_set_result(n, "hello");
    say("%s", await(n));

    struct char_future *c = even_future_new(struct char_future);
    even_set_result(c, 'x');
    say("%c", await(c));

    struct page_future *large = even_future_new(struct page_future);
    static struct page page;
    memset(page.text, 'p', sizeof page.text);
    even_set_result(large, page);
    static struct page back;
    back = await(large);
    say("%d", memcmp(&back, &page, sizeof page));
    return even_status();
}

TEST(results_have_their_types, .clean = true)
{
    assert_int_equal(even_run(typed_results()), 0);
    assert_story("1,2,3 hello x 0");
}

/* ---- failures ---- */

async(int, fails_and_is_fetched)
{
    even_future *f = even_future_new(even_future);
    int rc = even_set_error(f, -EPIPE);
    say("%d", rc);
    ssize_t n = await(f);
    say("%zd %s", n, even_errname(even_status()));
    return 0;
}

TEST(a_failed_future_gives_the_failure, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(fails_and_is_fetched()), 0);
    assert_story("0 -32 EPIPE");
    assert_no_report();
}

/* However it fails, and whatever stands between: an int or a ssize_t is the negative number, any other type zero. */
EVEN_FUTURE(int_future, int);
EVEN_FUTURE(long_future, long);
EVEN_FUTURE(unsigned_future, unsigned);
EVEN_FUTURE(const_future, const int);

async(int, ends_with_an_int_future, (struct int_future *, f)) { return await(f); }

async(int, failures_by_type)
{
    struct int_future *i = even_future_new(struct int_future);
    even_set_error(i, -EIO);
    say("%d", await(i) == -EIO);
    struct const_future *c = even_future_new(struct const_future);
    even_set_error(c, -EIO);
    say("%d", await(c) == -EIO);
    struct long_future *l = even_future_new(struct long_future);
    even_set_error(l, -EIO);
    say("%d", await(shield(l)) == -EIO);
    say("%d", await(l) == -EIO);
    struct unsigned_future *u = even_future_new(struct unsigned_future);
    even_set_error(u, -EIO);
    unsigned zero = await(u);
    say("%u %s", zero, even_errname(even_status()));
    struct name_future *n = even_future_new(struct name_future);
    even_cancel(n);
    const char *none = await(n);
    say("%d %s", none == NULL, even_errname(even_status()));
    return 0;
}

async(int, failures_by_other_ways)
{
    say("%s", even_errname((int)await(wait_for(even_future_new(even_future), 0.01))));
    struct int_future *f = even_future_new(struct int_future);
    even_cancel(f);
    say("%s", even_errname(await(f)));
    __auto_type t = create_task(ends_with_an_int_future(even_future_new(struct int_future)));
    try_await(even_sleep(0));       /* it has begun, and gives back what it was given */
    even_cancel(t);
    say("%s", even_errname(await(t)));
    int into = 5;
    struct int_future *g = even_future_new(struct int_future);
    even_set_error(g, -EPIPE);
    say("%s %d", even_errname(await(gather(into(&into, g)))), into);
    struct int_future *value = even_future_new(struct int_future);
    even_set_result(value, -5);         /* a result, be it negative */
    say("%d", await(value));
    say("%d", even_status());
    return 0;
}

TEST(a_failure_is_told_as_its_type_can, .clean = true)
{
    assert_int_equal(even_run(failures_by_type()), 0);
    assert_story("1 1 1 1 0 EIO 1 ECANCELED");
}

TEST(a_failure_is_told_whatever_it_came_from)
{
    assert_int_equal(even_run(failures_by_other_ways()), 0);
    assert_story("ETIMEDOUT ECANCELED ECANCELED EPIPE 5 -5 0");
}

async(int, fails_and_is_dropped, (int, status))
{
    even_future *f = even_future_new(even_future);
    even_set_error(f, status);
    even_detach(f);
    return 0;
}

TEST(a_failure_that_nobody_fetched_is_reported, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(fails_and_is_dropped(-ECONNRESET)), 0);
    assert_reported("'future' (made at ");
    assert_reported(") failed with ECONNRESET");
    assert_int_equal(report_count(), 1);
}

TEST(a_cancelled_future_that_nobody_fetched_is_no_news, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(fails_and_is_dropped(-ECANCELED)), 0);
    assert_no_report();
}

async(int, asks_for_the_status)
{
    even_future *f = even_future_new(even_future);
    even_set_error(f, -ECONNRESET);
    say("%s", even_errname(even_status_of(&f->base)));
    even_detach(f);
    return 0;
}

TEST(asking_for_the_status_fetches_the_failure, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(asks_for_the_status()), 0);
    assert_story("ECONNRESET");
    assert_no_report();
}

async(int, sets_twice)
{
    even_future *f = even_future_new(even_future);
    even_set_result(f, 1);
    int second = even_set_result(f, 2), third = even_set_error(f, -EIO);
    say("%s %s", even_errname(second), even_errname(third));
    say("%zd", await(f));
    return 0;
}

TEST(a_result_is_set_once, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(sets_twice()), 0);
    assert_story("EVEN_ESTATE EVEN_ESTATE 1");
    assert_reported("'future'");
}

async(int, sets_what_is_no_failure)
{
    even_future *f = even_future_new(even_future);
    int positive = even_set_error(f, 5), beyond = even_set_error(f, -5000);
    say("%s %s %d", even_errname(positive), even_errname(beyond), even_done(f));
    even_set_result(f, 9);
    say("%zd", await(f));
    return 0;
}

TEST(an_error_is_a_negative_errno, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(sets_what_is_no_failure()), 0);
    assert_story("EINVAL EINVAL 0 9");
}

/* ---- cancelling ---- */

async(int, cancels_a_future)
{
    even_future *f = even_future_new(even_future);
    __auto_type a = create_task(waits(even_ref(f), "a"));
    __auto_type b = create_task(waits(even_ref(f), "b"));
    await(even_sleep(0));
    bool first = even_cancel(f), second = even_cancel(f);
    say("%d%d %s", first, second, even_errname(even_set_result(f, 1)));
    even_detach(f);
    await(a);
    await(b);
    say("%u", even_cancelling((even_task *)a));
    return 0;
}

TEST(a_cancelled_future_ends_the_waits)
{
    capture_reports();
    assert_int_equal(even_run(cancels_a_future()), 0);
    assert_story("a:waits b:waits 10 EVEN_ESTATE a:-125/-125 b:-125/-125 0");
}

async(int, cancelled_waiter)
{
    even_future *f = even_future_new(even_future);
    __auto_type a = create_task(waits(even_ref(f), "a"));
    __auto_type b = create_task(waits(even_ref(f), "b"));
    await(even_sleep(0));
    even_cancel(a);
    say("%d", even_done(f));
    await(a);
    await(b);
    even_detach(f);
    return 0;
}

TEST(cancelling_a_waiter_cancels_its_future, .no_faults = true)
{
    capture_reports();      /* "went on": the bodies of `waits` do */
    assert_int_equal(even_run(cancelled_waiter()), 0);
    assert_story("a:waits b:waits 1 a:-125/-125 b:-125/-125");
    assert_no_report();     /* they return another result, and await nothing more */
}

/* ---- many waiters ---- */

async(int, many_waiters)
{
    enum { N = 100 };
    even_future *f = even_future_new(even_future);
    struct waits_co *t[N];
    static char names[N][8];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        t[i] = create_task(waits(even_ref(f), names[i]));
    }
    await(even_sleep(0));
    story[0] = '\0';
    even_set_result(f, 3);
    even_detach(f);
    for (int i = 0; i < N; i++)
        await(t[i]);
    return 0;
}

TEST(waiters_are_woken_in_the_order_in_which_they_came)
{
    char expected[4096] = "";
    assert_int_equal(even_run(many_waiters()), 0);
    for (int i = 0; i < 100; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%d:3/0", i ? " " : "", i);
    assert_story(expected);
}

/* ---- done-callbacks ---- */

struct callback {
    even_handle handle;
    const char *name;
    even_future *future;
};

static void called(even_handle *h)
{
    say("%s", even_container_of(h, struct callback, handle)->name);
}

async(int, callbacks)
{
    static struct callback a = { EVEN_HANDLE(called), "a", NULL }, b = { EVEN_HANDLE(called), "b", NULL },
                    c = { EVEN_HANDLE(called), "c", NULL }, d = { EVEN_HANDLE(called), "d", NULL };
    even_future *f = even_future_new(even_future);
    int rc = even_add_done_callback(f, &a.handle);
    rc |= even_add_done_callback(f, &b.handle);
    rc |= even_add_done_callback(f, &c.handle);
    even_remove_done_callback(f, &b.handle);
    even_remove_done_callback(f, &b.handle);        /* nothing */
    say("%d set", rc);
    even_set_result(f, 1);
    say("was-set");
    even_add_done_callback(f, &d.handle);           /* done: scheduled at once, not called */
    say("added");
    await(even_sleep(0));
    say("end");
    even_detach(f);
    return 0;
}

TEST(done_callbacks_are_scheduled_in_order, .clean = true)
{
    assert_int_equal(even_run(callbacks()), 0);
    assert_story("0 set was-set added a c d end");
}

async(int, taken_back)
{
    static struct callback a = { EVEN_HANDLE(called), "a", NULL }, b = { EVEN_HANDLE(called), "b", NULL },
                    c = { EVEN_HANDLE(called), "c", NULL };
    even_future *f = even_future_new(even_future);
    even_add_done_callback(f, &a.handle);
    even_add_done_callback(f, &b.handle);
    even_add_done_callback(f, &c.handle);
    even_remove_done_callback(f, &a.handle);        /* the first of the ring */
    even_set_result(f, 1);
    even_remove_done_callback(f, &c.handle);        /* scheduled already: taken out of the ready queue */
    await(even_sleep(0));
    even_detach(f);
    return 0;
}

TEST(a_done_callback_can_be_taken_back_until_it_runs, .clean = true)
{
    assert_int_equal(even_run(taken_back()), 0);
    assert_story("b");
}

async(int, same_handle_twice)
{
    static struct callback a = { EVEN_HANDLE(called), "a", NULL };
    even_future *f = even_future_new(even_future);
    int first = even_add_done_callback(f, &a.handle), second = even_add_done_callback(f, &a.handle);
    say("%d %d", first, second < 0);
    static struct callback b = { EVEN_HANDLE(called), "b", NULL };
    even_future *g = even_future_new(even_future);      /* alone in its ring: its links point to itself */
    first = even_add_done_callback(g, &b.handle), second = even_add_done_callback(g, &b.handle);
    say("%d %d", first, second < 0);
    even_set_result(f, 1);
    even_set_result(g, 1);
    await(even_sleep(0));
    even_detach(f);
    even_detach(g);
    return 0;
}

TEST(a_handle_stands_in_one_queue, .clean = true)
{
    assert_int_equal(even_run(same_handle_twice()), 0);
    assert_story("0 1 0 1 a b");
}

static void sets_next(even_handle *h)
{
    struct callback *c = even_container_of(h, struct callback, handle);
    say("%s", c->name);
    even_set_result(c->future, 2);
}

async(int, callback_chain)
{
    even_future *f = even_future_new(even_future), *g = even_future_new(even_future);
    static struct callback a = { EVEN_HANDLE(sets_next), "a", NULL }, b = { EVEN_HANDLE(called), "b", NULL };
    a.future = g;
    even_add_done_callback(f, &a.handle);
    even_add_done_callback(g, &b.handle);
    even_set_result(f, 1);
    say("%zd", await(g));       /* b was added first, so it runs before this wakes */
    even_detach(f);
    return 0;
}

TEST(a_callback_may_complete_another_future, .clean = true)
{
    assert_int_equal(even_run(callback_chain()), 0);
    assert_story("a b 2");
}

async(int, callback_of_task)
{
    static struct callback a = { EVEN_HANDLE(called), "callback", NULL };
    even_future *f = even_future_new(even_future);
    __auto_type t = create_task(waits(f, "t"));
    even_add_done_callback(t, &a.handle);
    await(even_sleep(0));
    even_set_result(f, 1);
    await(t);
    say("awaited");
    return 0;
}

TEST(a_task_has_done_callbacks_too)
{
    assert_int_equal(even_run(callback_of_task()), 0);
    assert_story("t:waits t:1/0 callback awaited");
}

async(int, nothing) { return 0; }

async(int, callback_of_what_cannot)
{
    static struct callback a = { EVEN_HANDLE(called), "a", NULL };
    __auto_type c = nothing();
    say("%s", even_errname(even_add_done_callback(c, &a.handle)));
    await(c);

    even_future *f = even_future_new(even_future);
    even_set_result(f, 1);
    await(f);
    int rc = even_add_done_callback(f, &a.handle);  /* spent */
    say("%d", rc < 0);
    return 0;
}

TEST(no_done_callback_of_a_coroutine_or_of_a_spent_object, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(callback_of_what_cannot()), 0);
    assert_story("EVEN_ESTATE 1");
}

/* ---- from elsewhere ---- */

struct setter {
    even_handle handle;
    even_future *future;
};

static void set_it(even_handle *h)
{
    even_set_result(even_container_of(h, struct setter, handle)->future, 11);
}

async(int, set_by_a_callback)
{
    even_future *f = even_future_new(even_future);
    static struct setter s = { EVEN_HANDLE(set_it), NULL };
    s.future = f;
    even_call_soon_threadsafe(even_running_loop(), &s.handle);
    say("%zd", await(f));
    return 0;
}

TEST(a_callback_of_the_loop_sets_a_future, .clean = true)
{
    assert_int_equal(even_run(set_by_a_callback()), 0);
    assert_story("11");
}

async(int, made_before, (even_future *, f))
{
    return (int)await(f);
}

TEST(a_future_made_before_the_run)
{
    even_future *f = even_future_new(even_future);
    even_set_result(f, 4);
    assert_int_equal(even_run(made_before(f)), 4);
}

TEST(a_spent_future_is_named, .clean = true)
{
    capture_reports();
    even_future *f = even_future_new(even_future);
    even_detach(f);
    assert_int_equal(even_set_error(f, -EIO), -EVEN_ESPENT);
    assert_reported("'future'");
    assert_reported("spent");
    assert_false(even_cancel(f));
    assert_int_equal(even_status_of(&f->base), -EVEN_ESPENT);
}

async(int, spent_awaited)
{
    even_future *f = even_future_new(even_future);
    even_set_result(f, 4);
    await(f);
    ssize_t n = await(f);
    say("%zd %s", n, even_errname(even_status()));
    return 0;
}

TEST(a_spent_future_awaited_again, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(spent_awaited()), 0);
    assert_story("-3505 EVEN_ESPENT");
    assert_reported("'future'");
}
