/* gather: results in order, the first failure, statuses, cancelling, and targets that are let go. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"

async(int, gives, (double, delay), (int, n))
{
    int rc = await(even_sleep(delay));
    say("%d%s", n, rc < 0 ? "-" : "");
    return rc < 0 ? rc : n;
}

async(const char *, gives_text, (double, delay), (const char *, text))
{
    try_await(even_sleep(delay));
    return text;
}

async(int, fails, (double, delay), (int, status))
{
    try_await(even_sleep(delay));
    say("%s", even_errname(status));
    return status;
}

/* ---- results ---- */

async(int, in_order)
{
    int a = 0, b = 0, c = 0;
    int rc = await(gather(into(&a, gives(0.004, 1)), into(&b, gives(0.002, 2)), into(&c, gives(0, 3))));
    say("%d:%d,%d,%d", rc, a, b, c);
    return 0;
}

TEST(results_go_where_they_belong, .on = TEST_SIM, .clean = true)
{
    assert_int_equal(even_run(in_order()), 0);
    assert_story("3 2 1 0:1,2,3");
}

struct pair { double a, b; };
async(struct pair, gives_pair) { await(even_sleep(0)); return (struct pair){ 1, 2 }; }
async(void, gives_nothing) { await(even_sleep(0)); }
async(ssize_t, gives_long) { return 1L << 40; }
EVEN_FUTURE(byte_future, char);
struct three { char text[3]; };
async(struct three, gives_three) { return (struct three){ "ab" }; }

/* Each target between two canaries: no more is written than the type has. */
#define GUARDED(type) struct { unsigned long before; type target; unsigned char after[64]; }
#define GUARD(g) (memset(&(g), 0xA5, sizeof (g)))
#define INTACT(g) (intact(&(g).before, sizeof (g).before) && intact((g).after, sizeof (g).after))

static bool intact(const void *memory, size_t size)
{
    const unsigned char *c = memory;
    for (size_t i = 0; i < size; i++)
        if (c[i] != 0xA5)
            return false;
    return true;
}

async(int, every_type)
{
    GUARDED(const char *) text;
    GUARDED(struct pair) pair;
    GUARDED(int) nothing;
    GUARDED(ssize_t) number;
    GUARDED(char) byte;
    GUARDED(ssize_t) future;
    GUARDED(const char *) timed;
    GUARDED(int) shielded;
    GUARDED(struct three) three;
    GUARD(text), GUARD(pair), GUARD(nothing), GUARD(number), GUARD(byte), GUARD(future), GUARD(timed), GUARD(shielded);
    GUARD(three);
    struct byte_future *b = even_future_new(struct byte_future);
    even_set_result(b, 'b');
    even_future *f = even_future_new(even_future);
    even_set_result(f, 9);
    int rc = await(gather(into(&text.target, gives_text(0, "text")), into(&pair.target, gives_pair()),
                          into(&nothing.target, gives_nothing()), into(&number.target, gives_long()),
                          into(&byte.target, b), into(&future.target, f),
                          into(&timed.target, wait_for(gives_text(0, "timed"), 1)),
                          into(&shielded.target, shield(gives(0, 4))),
                          into(&three.target, wait_for(gives_three(), 1))));
    if (rc < 0)
        return rc;
    say("%d %s %g,%g %d %d %c %zd %s %d %s", rc, text.target, pair.target.a, pair.target.b, nothing.target,
        number.target == 1L << 40, byte.target, future.target, timed.target, shielded.target, three.target.text);
    say("%d%d%d%d%d%d%d%d%d", INTACT(text), INTACT(pair), INTACT(nothing), INTACT(number), INTACT(byte), INTACT(future),
        INTACT(timed), INTACT(shielded), INTACT(three));
    return 0;
}

TEST(a_target_gets_what_its_type_holds_and_no_byte_more, .clean = true)
{
    assert_int_equal(even_run(every_type()), 0);
    assert_story("4 0 text 1,2 0 1 b 9 timed 4 ab 111111111");
}

async(int, sixteen)
{
    int r[16];
    memset(r, 0, sizeof r);
    int rc = await(gather(into(&r[0], gives(0, 0)), into(&r[1], gives(0, 1)), into(&r[2], gives(0, 2)), into(&r[3], gives(0, 3)),
                          into(&r[4], gives(0, 4)), into(&r[5], gives(0, 5)), into(&r[6], gives(0, 6)), into(&r[7], gives(0, 7)),
                          into(&r[8], gives(0, 8)), into(&r[9], gives(0, 9)), into(&r[10], gives(0, 10)),
                          into(&r[11], gives(0, 11)), into(&r[12], gives(0, 12)), into(&r[13], gives(0, 13)),
                          into(&r[14], gives(0, 14)), into(&r[15], gives(0, 15))));
    for (int i = 0; i < 16; i++)
        rc += r[i] != i;
    return rc;
}

TEST(sixteen_entries, .clean = true)
{
    assert_int_equal(even_run(sixteen()), 0);
    assert_story("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
}

async(int, mixed)
{
    int a = 0;
    ssize_t f = 0;
    even_future *future = even_future_new(even_future);
    __auto_type task = create_task(gives(0.001, 1));
    __auto_type g = gather(into(&a, task), into(&f, future), even_sleep(0.001), gives(0, 5), even_sleep(0));
    say("called");
    even_set_result(future, 8);
    int rc = await(g);
    say("%d %d %zd", rc, a, f);
    return 0;
}

TEST(coroutines_tasks_futures_and_operations, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(mixed()), 0);
    assert_story("called 5 1 0 1 8");
    assert_no_report();
}

async(int, nested)
{
    int a = 0, b = 0, c = 0, inner = -1;
    int rc = await(gather(into(&inner, gather(into(&a, gives(0.002, 1)), into(&b, gives(0, 2)))), into(&c, gives(0.001, 3))));
    say("%d %d %d%d%d", rc, inner, a, b, c);
    return 0;
}

TEST(gathers_nest, .on = TEST_SIM, .clean = true)
{
    assert_int_equal(even_run(nested()), 0);
    assert_story("2 3 1 0 0 123");
}

enum { MANY = 1000 };

async(int, a_list, (int, n))
{
    static struct gives_co *objects[MANY];
    static int results[MANY + 2];
    results[0] = results[n + 1] = 0x5A5A;
    for (int i = 0; i < n; i++)
        objects[i] = gives((i * 7 % 11) * 0.0001, i);
    int rc = await(gather_n((size_t)n, objects, results + 1));
    story[0] = '\0';
    for (int i = 0; i < n; i++)
        rc += results[i + 1] != i;
    say("%d %d", rc, results[0] == 0x5A5A && results[n + 1] == 0x5A5A);
    return 0;
}

TEST(gather_n_of_a_thousand, .clean = true)
{
    assert_int_equal(even_run(a_list(MANY)), 0);
    assert_story("0 1");
}

TEST(gather_n_of_one, .clean = true)
{
    assert_int_equal(even_run(a_list(1)), 0);
    assert_story("0 1");
}

TEST(gather_n_of_none, .clean = true)
{
    assert_int_equal(even_run(a_list(0)), 0);
    assert_story("0 1");
}

async(int, list_of_futures)
{
    enum { N = 5 };
    even_future *f[N];
    ssize_t results[N + 1];
    for (int i = 0; i < N; i++) {
        f[i] = even_future_new(even_future);
        even_set_result(f[i], i + 1);
    }
    results[N] = 99;
    int rc = await(gather_n(N, f, results));
    say("%d %zd%zd%zd%zd%zd %zd", rc, results[0], results[1], results[2], results[3], results[4], results[N]);
    return 0;
}

TEST(gather_n_of_futures, .clean = true)
{
    assert_int_equal(even_run(list_of_futures()), 0);
    assert_story("0 12345 99");
}

async(int, without_results)
{
    struct gives_co *objects[] = { gives(0, 1), gives(0, 2) };
    return await(gather_n(2, objects, (void *)NULL));
}

TEST(gather_n_without_results, .clean = true)
{
    assert_int_equal(even_run(without_results()), 0);
    assert_story("1 2");
}

async(int, same_twice)
{
    int a = 0, b = 0;
    __auto_type t = create_task(gives(0.001, 6));
    int rc = await(gather(into(&a, even_ref(t)), into(&b, t)));
    say("%d %d %d", rc, a, b);
    return 0;
}

TEST(the_same_task_twice, .clean = true)
{
    assert_int_equal(even_run(same_twice()), 0);
    assert_story("6 0 6 6");
}

async(int, all_done_before)
{
    int a = 0, b = 0;
    __auto_type s = create_task(gives(0, 1));
    __auto_type t = create_task(gives(0, 2));
    for (int i = 0; i < 3; i++)
        await(even_sleep(0));
    int rc = await(gather(into(&a, s), into(&b, t)));
    say("%d %d %d", rc, a, b);
    return 0;
}

TEST(children_that_are_done_already, .clean = true)
{
    assert_int_equal(even_run(all_done_before()), 0);
    assert_story("1 2 0 1 2");
}

/* ---- the first failure ---- */

async(int, first_failure)
{
    int a = 100, b = 100, c = 100;
    __auto_type slow = create_task(gives(0.006, 1));
    int rc = await(gather(into(&a, even_ref(slow)), into(&b, fails(0.002, -EPIPE)), into(&c, gives(0, 3))));
    say("%s %d %d %d", even_errname(rc), a, b, c);
    int n = await(slow);
    say("%d %d", n, a);
    return 0;
}

TEST(the_first_failure_ends_it_while_the_others_go_on, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(first_failure()), 0);
    assert_story("3 EPIPE EPIPE 100 100 3 1 1 100");
    assert_no_report();
}

async(int, two_failures)
{
    int rc = await(gather(fails(0.001, -EPIPE), fails(0.003, -EXDEV)));
    say("%s", even_errname(rc));
    await(even_sleep(0.006));
    return 0;
}

TEST(a_second_failure_is_swallowed, .on = TEST_SIM, .clean = true)
{
    capture_reports();      /* asyncio: it was a child of a gather, so it is not "never retrieved" */
    assert_int_equal(even_run(two_failures()), 0);
    assert_story("EPIPE EPIPE EXDEV");
    assert_no_report();
}

/* The gather's caller returns; then a child that goes on must not write into its frame. */
static __attribute__((noinline)) int gathers_and_returns(struct gives_co *slow)
{
    volatile unsigned long before[16];
    int target = 5;
    volatile unsigned long after[16];
    for (int i = 0; i < 16; i++)
        before[i] = after[i] = 0xDEADBEEF;
    int rc = await(gather(into(&target, slow), fails(0.001, -EPIPE)));
    for (int i = 0; i < 16; i++)
        if (before[i] != 0xDEADBEEF || after[i] != 0xDEADBEEF)
            return 0;
    return rc;
}

static __attribute__((noinline)) int dead_frame_is_untouched(void)
{
    volatile unsigned char canaries[4096];
    memset((unsigned char *)canaries, 0xC3, sizeof canaries);
    await(even_sleep(0.008));           /* the slow child ends meanwhile */
    for (size_t i = 0; i < sizeof canaries; i++)
        if (canaries[i] != 0xC3)
            return 0;
    return 1;
}

async(int, caller_has_returned)
{
    __auto_type slow = create_task(gives(0.004, 1));
    int rc = gathers_and_returns(even_ref(slow));
    int ok = dead_frame_is_untouched();
    say("%s %d %d", even_errname(rc), ok, await(slow));
    return 0;
}

TEST(a_gather_whose_caller_has_returned, .on = TEST_SIM, .clean = true)
{
    assert_int_equal(even_run(caller_has_returned()), 0);
    assert_story("EPIPE 1 EPIPE 1 1");
}

/* The same while somebody else still holds the gather. */
async(int, gather_outlives_its_end)
{
    int a = 100, statuses[2] = { 50, 50 };
    __auto_type g = gather(into(&a, gives(0.003, 1)), fails(0.001, -EPIPE));
    int rc = await(even_ref(g));
    a = 200;
    await(even_sleep(0.005));
    say("%s %d", even_errname(rc), a);
    say("%s", even_errname(await(g)));

    __auto_type h = gather_statuses(statuses, gives(0.002, 2), fails(0, -EPIPE));
    even_detach(h);
    await(even_sleep(0.005));
    say("%d %d", statuses[0], statuses[1]);
    return 0;
}

TEST(targets_are_let_go_even_if_the_gather_is_held, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(gather_outlives_its_end()), 0);
    assert_story("EPIPE 1 EPIPE 200 EPIPE EPIPE 2 50 50");
    assert_no_report();
}

/* ---- statuses ---- */

async(int, with_statuses)
{
    int a = 100, b = 100, c = 100, statuses[3] = { 9, 9, 9 };
    int rc = await(gather_statuses(statuses, into(&a, gives(0.001, 1)), into(&b, fails(0, -EPIPE)), into(&c, gives(0, 3))));
    say("%d %d %d %d %d %s %d", rc, a, b, c, statuses[0], even_errname(statuses[1]), statuses[2]);
    return 0;
}

TEST(failures_as_statuses, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(with_statuses()), 0);
    assert_story("EPIPE 3 1 0 1 100 3 0 EPIPE 0");
    assert_no_report();
}

async(int, n_with_statuses)
{
    struct fails_co *objects[3] = { fails(0, -EPIPE), fails(0, 0), fails(0, -EXDEV) };
    int results[3] = { 7, 7, 7 }, statuses[3] = { 9, 9, 9 };
    int rc = await(gather_n_statuses(statuses, 3, objects, results));
    story[0] = '\0';
    say("%d %d,%d,%d %s,%d,%s", rc, results[0], results[1], results[2], even_errname(statuses[0]), statuses[1],
        even_errname(statuses[2]));
    return 0;
}

TEST(statuses_of_a_list, .clean = true)
{
    assert_int_equal(even_run(n_with_statuses()), 0);
    assert_story("0 7,0,7 EPIPE,0,EXDEV");
}

async(int, all_fail)
{
    int statuses[2];
    int rc = await(gather_statuses(statuses, fails(0, -EPIPE), fails(0.001, -EXDEV)));
    say("%d %s %s", rc, even_errname(statuses[0]), even_errname(statuses[1]));
    return 0;
}

TEST(all_of_them_fail, .on = TEST_SIM, .clean = true)
{
    assert_int_equal(even_run(all_fail()), 0);
    assert_story("EPIPE EXDEV 0 EPIPE EXDEV");
}

/* ---- cancelling ---- */

async(int, gathers_two, (int *, a), (int *, b))
{
    int rc = await(gather(into(a, gives(5, 1)), into(b, gives(6, 2))));
    say("gather:%s", even_errname(rc));
    return rc;
}

async(int, cancels_the_awaiter)
{
    int a = 100, b = 100;
    __auto_type t = create_task(gathers_two(&a, &b));
    await(even_sleep(0));
    await(even_sleep(0));
    even_cancel(t);
    say("requested");
    int rc = await(t);
    say("%s %d %d %zu", even_errname(rc), a, b, even_all_tasks(NULL, 0));
    return 0;
}

TEST(cancelling_a_gather_cancels_its_children, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_the_awaiter()), 0);
    assert_story("requested 1- 2- gather:ECANCELED ECANCELED 100 100 1");
    assert_no_report();
}

async(int, cancels_the_gather_itself)
{
    __auto_type g = gather(gives(5, 1), gives(6, 2));
    await(even_sleep(0));
    say("%d", even_cancel(g));
    int rc = await(g);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_gather_is_cancelled_like_a_future, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_the_gather_itself()), 0);
    assert_story("1 1- 2- ECANCELED");
    assert_no_report();
}

/* Ends in its own time: its memory may be in use until then. */
async(int, ends_slowly, (int *, ended))
{
    int rc = await(even_sleep(5));
    say("told:%s", even_errname(rc));
    await(even_sleep(0.003));
    *ended = 1;
    return rc;
}

async(int, gathers_a_slow_one)
{
    int ended = 0;
    int rc = await(gather(ends_slowly(&ended), gives(5, 1)));
    say("%s %d", even_errname(rc), ended);
    return rc;
}

async(int, cancels_a_slow_one)
{
    __auto_type t = create_task(gathers_a_slow_one());
    await(even_sleep(0));
    await(even_sleep(0));
    even_cancel(t);
    await(t);
    return 0;
}

TEST(a_cancelled_gather_waits_for_all_its_children, .clean = true)
{
    assert_int_equal(even_run(cancels_a_slow_one()), 0);
    assert_story("told:ECANCELED 1- ECANCELED 1");
}

async(int, child_is_cancelled)
{
    int b = 100;
    __auto_type child = create_task(gives(5, 1));
    __auto_type g = gather(even_ref(child), into(&b, gives(0.003, 2)));
    await(even_sleep(0));
    even_cancel(child);
    int rc = await(g);
    say("%s %d %u", even_errname(rc), b, even_cancelling(NULL));
    rc = await(child);
    say("%s", even_errname(rc));
    await(even_sleep(0.006));
    say("%d", b);
    return 0;
}

TEST(a_child_cancelled_by_itself_is_a_failure_like_others, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(child_is_cancelled()), 0);
    assert_story("1- ECANCELED 100 0 ECANCELED 2 100");
    assert_no_report();
}

async(int, child_is_cancelled_with_statuses)
{
    int b = 100, statuses[2];
    __auto_type child = create_task(gives(5, 1));
    __auto_type g = gather_statuses(statuses, even_ref(child), into(&b, gives(0.001, 2)));
    await(even_sleep(0));
    even_cancel(child);
    int rc = await(g);
    say("%d %s %d %d", rc, even_errname(statuses[0]), statuses[1], b);
    even_detach(child);
    return 0;
}

TEST(a_cancelled_child_as_a_status, .clean = true)
{
    assert_int_equal(even_run(child_is_cancelled_with_statuses()), 0);
    assert_story("1- 2 0 ECANCELED 0 2");
}

async(int, swallows) { await(even_sleep(5)); even_uncancel(NULL); return 3; }

async(int, gathers_swallower)
{
    int a = 100;
    int rc = await(gather(into(&a, swallows()), gives(5, 1)));
    say("%s", even_errname(rc));
    return rc;
}

async(int, cancels_gather_of_swallower)
{
    __auto_type t = create_task(gathers_swallower());
    await(even_sleep(0));
    await(even_sleep(0));
    even_cancel(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_cancelled_gather_is_cancelled_even_if_a_child_swallows_it, .clean = true)
{
    assert_int_equal(even_run(cancels_gather_of_swallower()), 0);
    assert_story("1- ECANCELED ECANCELED");
}

async(int, cancels_a_nested_gather)
{
    __auto_type g = gather(gather(gives(5, 1), gather(gives(5, 2), gives(5, 3))), gives(5, 4));
    await(even_sleep(0));
    even_cancel(g);
    int rc = await(g);
    say("%s %zu", even_errname(rc), even_all_tasks(NULL, 0));
    return 0;
}

TEST(cancelling_reaches_nested_gathers, .clean = true)
{
    assert_int_equal(even_run(cancels_a_nested_gather()), 0);
    assert_story("1- 2- 3- 4- ECANCELED 1");
}

async(int, cancels_a_done_gather)
{
    __auto_type g = gather(gives(0, 1));
    for (int i = 0; i < 4; i++)
        await(even_sleep(0));
    say("%d %d", even_done(g), even_cancel(g));
    say("%d", await(g));
    return 0;
}

TEST(cancelling_a_done_gather_is_nothing, .clean = true)
{
    assert_int_equal(even_run(cancels_a_done_gather()), 0);
    assert_story("1 1 0 0");
}

/* ---- letting go ---- */

async(int, drops_a_gather)
{
    int a = 100;
    __auto_type g = gather(into(&a, gives(0.001, 1)), gives(0, 2));
    even_detach(g);
    await(even_sleep(0.004));
    say("%d", a);
    return 0;
}

TEST(children_of_a_dropped_gather_go_on, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(drops_a_gather()), 0);
    assert_story("2 1 100");
}

async(int, forgets_a_failed_gather)
{
    __auto_type g = gather(fails(0, -EPIPE));
    for (int i = 0; i < 5; i++)
        await(even_sleep(0));
    even_detach(g);
    return 0;
}

TEST(a_failed_gather_that_nobody_fetched, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets_a_failed_gather()), 0);
    assert_reported(") failed with EPIPE");
    assert_int_equal(report_count(), 1);
}

TEST(gather_outside_of_a_run, .clean = true)
{
    capture_reports();
    int rc = even_status_of(&({ __auto_type g = gather(gives(0, 1)); g; })->base);
    assert_int_equal(rc, -EVEN_ENOLOOP);
    assert_story("");
}
