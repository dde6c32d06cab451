/* Coroutine functions and their objects: definitions, arguments, results, failures, the inline await, and every misuse.
 * (It is over 800 lines because its tests share the same small coroutines.) */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"
#include "loop/loop.h"

static size_t tasks_now(void)
{
    return even_all_tasks(NULL, 0);
}

/* ---- inert ---- */

async(int, speaks, (const char *, word))
{
    say("%s", word);
    return (int)strlen(word);
}

async(int, calls_first)
{
    __auto_type c = speaks("body");
    say("called");
    int n = await(c);
    say("%d", n);
    return 0;
}

TEST(calling_a_coroutine_function_runs_nothing, .clean = true)
{
    assert_int_equal(even_run(calls_first()), 0);
    assert_story("called body 4");
}

TEST(a_coroutine_object_may_be_made_before_the_run, .clean = true)
{
    __auto_type c = speaks("early");
    assert_story("");
    assert_int_equal(even_run(c), 5);
    assert_story("early");
}

/* ---- the inline await ---- */

async(int, counts_tasks)
{
    say("%zu", tasks_now());
    return 0;
}

static uint64_t passes(void)
{
    return even_running_loop()->passes;
}

async(int, inline_await)
{
    uint64_t before = passes();
    even_task *self = even_current_task();
    await(counts_tasks());
    await(speaks("x"));
    say("%d %d", passes() == before, even_current_task() == self);
    await(even_sleep(0));
    say("%d", passes() == before + 1);
    return 0;
}

TEST(await_of_a_coroutine_makes_no_task_and_does_not_ask_the_loop, .clean = true)
{
    assert_int_equal(even_run(inline_await()), 0);
    assert_story("1 x 1 1 1");
}

async(int, sums_to, (int, n))
{
    if (n == 0)
        return 0;
    if (n % 10 == 0)
        await(even_sleep(0));
    return n + await(sums_to(n - 1));
}

TEST(a_coroutine_may_await_itself_recursively, .clean = true)
{
    assert_int_equal(even_run(sums_to(100)), 5050);
}

/* ---- helper functions that await ---- */

static __attribute__((noinline)) int helper(int depth)
{
    char local[64];
    snprintf(local, sizeof local, "depth %d", depth);
    if (depth > 0)
        return helper(depth - 1) + 1;
    int rc = await(even_sleep(0.001));
    say("%s", local);
    return rc;
}

async(int, uses_a_helper)
{
    return helper(5);
}

TEST(a_helper_function_may_await, .clean = true)
{
    assert_int_equal(even_run(uses_a_helper()), 5);
    assert_story("depth 0");
}

/* ---- arguments ---- */

struct pair { int a; double b; };

async(int, no_arguments) { return 42; }

async(int, twelve, (char, a), (short, b), (int, c), (long, d), (float, e), (double, f), (const char *, g), (struct pair, h),
      (unsigned char, i), (long long, j), (bool, k), (void *, l))
{
    await(even_sleep(0));   /* they are still there afterwards */
    say("%c %d %d %ld %g %g %s %d/%g %d %lld %d %d", a, b, c, d, (double)e, f, g, h.a, h.b, i, j, k, l == NULL);
    return 12;
}

async(int, passes_arguments)
{
    int n = await(no_arguments());
    __auto_type c = twelve('a', 2, 3, 4L, 5.5f, 6.25, "seven", (struct pair){ 8, 8.5 }, 9, 10LL, true, NULL);
    return n + await(c);
}

TEST(twelve_arguments, .clean = true)
{
    assert_int_equal(even_run(passes_arguments()), 54);
    assert_story("a 2 3 4 5.5 6.25 seven 8/8.5 9 10 1 1");
}

async(int, changes, (int, n))
{
    n++;
    await(even_sleep(0));
    return n;
}

async(int, arguments_are_copies)
{
    int n = 1;
    __auto_type c = changes(n);
    n = 50;
    return await(c) + n;
}

TEST(arguments_are_copied_by_the_call, .clean = true)
{
    assert_int_equal(even_run(arguments_are_copies()), 52);
}

/* ---- results ---- */

async(void, gives_nothing, (int *, out))
{
    await(even_sleep(0));
    *out = 7;
}

async(void, returns_early, (bool, yes))
{
    if (yes)
        return;
    say("late");
}

async(void, fails_void)
{
    even_fail(-EPERM);
}

async(struct pair, gives_struct) { await(even_sleep(0)); return (struct pair){ 3, 0.5 }; }
async(const char *, gives_pointer) { return "pointer"; }
async(double, gives_double) { return 2.5; }
async(bool, gives_bool) { return true; }
async(unsigned, gives_unsigned) { return UINT32_MAX; }
async(size_t, gives_size) { return SIZE_MAX; }
async(long long, gives_long_long) { return -5; }
struct large { char text[1000]; };
async(struct large, gives_large) { struct large l; memset(&l, 'l', sizeof l); await(even_sleep(0)); return l; }

async(int, results)
{
    int n = 0;
    int rc = await(gives_nothing(&n));
    say("%d/%d", n, rc);
    rc = await(returns_early(true));
    say("%d", rc);
    rc = await(fails_void());
    say("%s/%s", even_errname(rc), even_errname(even_status()));
    struct pair p = await(gives_struct());
    say("%d,%g", p.a, p.b);
    say("%s", await(gives_pointer()));
    say("%g", await(gives_double()));
    say("%d", await(gives_bool()));
    unsigned u = await(gives_unsigned());
    say("%u/%d", u, even_status());
    size_t z = await(gives_size());
    say("%d/%d", z == SIZE_MAX, even_status());
    long long ll = await(gives_long_long());
    say("%lld/%d", ll, even_status());      /* neither int nor ssize_t: a value */
    struct large l = await(gives_large());
    say("%c%c", l.text[0], l.text[999]);
    return 0;
}

TEST(results_of_every_type, .clean = true)
{
    assert_int_equal(even_run(results()), 0);
    assert_story("7/0 0 EPERM/EPERM 3,0.5 pointer 2.5 1 4294967295/0 1/0 -5/0 ll");
}

/* ---- failing ---- */

async(int, returns_int, (int, n)) { return n; }
async(ssize_t, returns_ssize, (ssize_t, n)) { return n; }
async(int, returns_value, (int, n)) { return even_value(n); }
async(ssize_t, returns_awaited_value, (ssize_t, n)) { return even_value(await(returns_ssize(n))); }

async(int, negative_results)
{
    static const int numbers[] = { 0, 1, INT32_MAX, -1, -4095, -4096, INT32_MIN };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int n = await(returns_int(numbers[i]));
        say("%d:%d", n == numbers[i], even_status());
        ssize_t m = await(returns_ssize(numbers[i]));
        say("%d:%d", m == numbers[i], even_status());
        n = await(returns_value(numbers[i]));
        say("%d:%d", n == numbers[i], even_status());
    }
    ssize_t m = await(returns_awaited_value(-9));
    say("%zd:%d", m, even_status());
    return 0;
}

TEST(an_int_fails_by_a_negative_errno_and_no_other_number, .clean = true)
{
    assert_int_equal(even_run(negative_results()), 0);
    assert_story("1:0 1:0 1:0 1:0 1:0 1:0 1:0 1:0 1:0 1:-1 1:-1 1:0 1:-4095 1:-4095 1:0 1:0 1:0 1:0 1:0 1:0 1:0 -9:0");
}

async(const char *, fails_pointer, (int, status))
{
    if (status == 0)
        return "fine";
    even_fail(status);
}

async(struct pair, fails_struct) { even_fail(-ENOENT); }
async(int, fails_int) { even_fail(-ENOENT); }
async(ssize_t, fails_ssize) { even_fail(-ENOENT); }
async(const char *, fails_wrongly) { even_fail(17); }

async(int, failures)
{
    const char *s = await(fails_pointer(0));
    say("%s/%d", s, even_status());
    s = await(fails_pointer(-EACCES));
    say("%d/%s", s == NULL, even_errname(even_status()));
    struct pair p = await(fails_struct());
    say("%d,%g/%s", p.a, p.b, even_errname(even_status()));
    int n = await(fails_int());
    say("%s", even_errname(n));
    ssize_t z = await(fails_ssize());
    say("%s", even_errname((int)z));
    await(fails_wrongly());
    say("%s", even_errname(even_status()));
    return 0;
}

TEST(even_fail_ends_the_body_with_a_zero_of_its_type, .clean = true)
{
    assert_int_equal(even_run(failures()), 0);
    assert_story("fine/0 1/EACCES 0,0/ENOENT ENOENT ENOENT EINVAL");
}

async(int, fails_in_the_middle, (int, depth))
{
    if (depth == 0)
        even_fail(-EXDEV);
    await(fails_in_the_middle(depth - 1));
    say("%d:%s", depth, even_errname(even_status()));
    return depth;
}

TEST(even_fail_is_of_the_innermost_coroutine, .clean = true)
{
    assert_int_equal(even_run(fails_in_the_middle(3)), 3);
    assert_story("1:EXDEV 2:0 3:0");
}

/* ---- try_await ---- */

static void released(const char **what)
{
    say("release-%s", *what);
}

async(const char *, tries, (int, status))
{
    __attribute__((cleanup(released))) const char *outer = "outer";
    for (;;) {
        __attribute__((cleanup(released))) const char *inner = "inner";
        (void)outer, (void)inner;
        int n = try_await(returns_int(status));
        say("got-%d", n);
        break;
    }
    return "value";
}

async(int, tries_both)
{
    const char *s = await(tries(5));
    say("%s/%d", s, even_status());
    s = await(tries(-EBUSY));
    say("%d/%s", s == NULL, even_errname(even_status()));
    return 0;
}

TEST(try_await_returns_the_failure_and_releases_locals, .clean = true)
{
    assert_int_equal(even_run(tries_both()), 0);
    assert_story("got-5 release-inner release-outer value/0 release-inner release-outer 1/EBUSY");
}

static void awaits_at_the_end(int *unused)
{
    (void)unused;
    int n = await(returns_int(3));
    await(even_sleep(0));
    say("cleaned-%d", n);
}

async(int, cleanup_that_awaits)
{
    __attribute__((cleanup(awaits_at_the_end))) int local = 0;
    (void)local;
    try_await(returns_int(-EDOM));
    return 1;
}

async(int, outer_of_cleanup)
{
    int rc = await(cleanup_that_awaits());
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_cleanup_attribute_may_await, .clean = true)
{
    assert_int_equal(even_run(outer_of_cleanup()), 0);
    assert_story("cleaned-3 EDOM");
}

async(int, statement_forms)
{
    if (await(returns_int(1)))
        say("if");
    while (await(returns_int(0)))
        say("never");
    int sum = await(returns_int(1)) + 0;
    sum += await(returns_int(await(returns_int(2))));
    await(returns_int(await(returns_int(await(returns_int(9))))));
    say("%d", sum);
    switch (await(returns_int(4))) {
    case 4:
        say("four");
    }
    return 0;
}

TEST(await_is_an_expression, .clean = true)
{
    assert_int_equal(even_run(statement_forms()), 0);
    assert_story("if 3 four");
}

/* ---- the status ---- */

async(int, statuses)
{
    await(returns_int(-EIO));
    say("%d", even_status() == -EIO);
    await(returns_int(1));
    say("%d", even_status());
    await(even_sleep(0));
    say("%d", even_status());
    return 0;
}

TEST(even_status_is_that_of_the_last_await, .clean = true)
{
    assert_int_equal(even_run(statuses()), 0);
    assert_story("1 0 0");
}

async(int, fails_a_lot)
{
    for (int i = 0; i < 3; i++) {
        await(returns_int(-EIO));
        await(even_sleep(0));
    }
    return 0;
}

async(int, status_is_per_task)
{
    __auto_type t = create_task(fails_a_lot());
    for (int i = 0; i < 3; i++) {
        await(returns_int(-EPERM));
        say("%s", even_errname(even_status()));
        await(even_sleep(0));       /* the other one fails meanwhile */
        say("%d", even_status());
    }
    return await(t);
}

TEST(the_status_belongs_to_the_task, .clean = true)
{
    assert_int_equal(even_run(status_is_per_task()), 0);
    assert_story("EPERM 0 EPERM 0 EPERM 0");
}

TEST(the_status_of_a_run, .clean = true)
{
    const char *s = even_run(fails_pointer(-EACCES));
    assert_null(s);
    assert_int_equal(even_status(), -EACCES);
    s = even_run(fails_pointer(0));
    assert_int_equal(even_status(), 0);
    assert_string_equal(s, "fine");
}

/* ---- definitions apart from their declarations ---- */

async_decl(int, declared_first, (int, n));
static async_decl(int, even_number, (int, n));
static async_decl(int, odd_number, (int, n));

async(int, uses_declared)
{
    even_co(declared_first) *c = declared_first(20);
    struct declared_first_co *d = declared_first(1);
    say("%d", await(c) + await(d));
    say("%d%d", await(even_number(10)), await(even_number(7)));
    return 0;
}

async_def(int, declared_first, (int, n)) { await(even_sleep(0)); return n * 2; }
async_def(int, even_number, (int, n)) { return n == 0 ? 1 : await(odd_number(n - 1)); }
async_def(int, odd_number, (int, n)) { return n == 0 ? 0 : await(even_number(n - 1)); }

TEST(a_declaration_and_its_definition, .clean = true)
{
    assert_int_equal(even_run(uses_declared()), 0);
    assert_story("42 10");
}

/* ---- long names ---- */

EVEN_ASYNC(int, in_long, (int, n))
{
    even_try_await(even_sleep(0));
    return n;
}

EVEN_ASYNC(int, long_names)
{
    int a = 0, b = 0;
    int rc = even_await(even_gather(even_into(&a, in_long(1)), even_into(&b, even_create_task(in_long(2)))));
    int c = even_await(even_wait_for(in_long(3), 1));
    __auto_type t = even_create_task(in_long(4));
    int d = even_await(even_shield(t));
    return rc + a + b + c + d + even_await(t);
}

TEST(every_name_has_its_long_form, .clean = true)
{
    assert_int_equal(even_run(long_names()), 14);
}

/* ---- a template, cloned ---- */

static char placeholder;

async(int, handler, (const char *, name), (void *, stream), (int, n), (void *, again))
{
    say("%s-%s-%d-%d", name, (char *)stream, n, stream == again);
    return 0;
}

async(int, clones)
{
    __auto_type template = handler("h", &placeholder, 3, &placeholder);
    for (int i = 0; i < 2; i++) {
        struct handler_co *c =
            (struct handler_co *)(void *)even__clone(&template->base, &placeholder, i ? "second" : "first");
        if (!c)
            return -ENOMEM;
        await(c);
    }
    even_cancel(template);
    even_detach(template);
    return 0;
}

TEST(a_template_is_cloned, .clean = true)
{
    assert_int_equal(even_run(clones()), 0);
    assert_story("h-first-3-1 h-second-3-1");
}

/* ---- never awaited ---- */

async(int, forgotten) { return 0; }
async(int, dropped_later) { return 0; }

static int line_of_call;

async(int, drops_one)
{
    __auto_type c = forgotten(); line_of_call = __LINE__;
    even_detach(c);
    say("dropped");
    return 0;
}

TEST(never_awaited_is_reported_with_the_line_of_the_call, .clean = true)
{
    char where[100];
    capture_reports();
    assert_int_equal(even_run(drops_one()), 0);
    assert_reported("coroutine 'forgotten' was never awaited");
    assert_int_equal(report_count(), 1);
#if defined(EVEN_HAVE_LIBDW) && !defined(__aarch64__)
    snprintf(where, sizeof where, "test_coroutine.c:%d", line_of_call);
    assert_reported(where);
#endif
    (void)where;
}

async(int, leaves_some_lying)
{
    (void)!forgotten();
    for (int i = 0; i < 3; i++)
        (void)!dropped_later();
    return 0;
}

TEST(what_lies_about_at_the_end_of_a_run_is_reported, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_some_lying()), 0);
    assert_reported("'forgotten' was never awaited");
    assert_reported("'dropped_later' was never awaited");
    assert_int_equal(report_count(), 4);
}

TEST(what_was_made_before_a_run_is_still_usable_after_it)
{
    capture_reports();
    __auto_type kept = speaks("kept");
    assert_int_equal(even_run(speaks("first")), 5);
    assert_no_report();
    assert_int_equal(even_run(kept), 4);
    assert_story("first kept");
    assert_no_report();
}

async(int, forgets_an_operation)
{
    even_detach(even_sleep(1));
    return 0;
}

TEST(an_operation_that_was_never_awaited, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets_an_operation()), 0);
    assert_reported("'sleep' was never awaited");
}

async(int, forgets_combinators)
{
    (void)!wait_for(forgotten(), 1);
    return 0;
}

TEST(a_wait_for_that_was_never_awaited, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets_combinators()), 0);
    assert_reported("never awaited");
}

async(int, cancels_inert)
{
    __auto_type c = speaks("never");
    say("%d", even_cancel(c));
    int rc = await(c);
    say("%s", even_errname(rc));
    c = speaks("never");
    even_cancel(c);
    even_detach(c);     /* it was closed: no "never awaited" */
    return 0;
}

TEST(a_cancelled_inert_coroutine_never_runs, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(cancels_inert()), 0);
    assert_story("1 ECANCELED");
    assert_no_report();
}

/* ---- misuse: each a message, never a crash ---- */

TEST(await_outside_a_task, .clean = true)
{
    capture_reports();
    int rc = await(speaks("no"));
    assert_story("");
    assert_int_equal(rc, -EVEN_ENOTASK);
    assert_int_equal(even_status(), -EVEN_ENOTASK);
    assert_reported("'speaks'");
    assert_reported("await outside a task");
    assert_int_equal(report_count(), 1);
}

static struct slow_co *shared_co;
async(int, slow)
{
    await(even_sleep(0.001));
    return 5;
}

static void awaits_in_a_callback(even_handle *h)
{
    (void)h;
    int rc = await(speaks("callback"));
    say("%s", even_errname(rc));
}

async(int, callback_awaits)
{
    static even_handle h = EVEN_HANDLE(awaits_in_a_callback);
    even_call_soon(even_running_loop(), &h);
    await(even_sleep(0));
    return 0;
}

TEST(await_in_a_callback_of_the_loop, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(callback_awaits()), 0);
    assert_story("EVEN_ENOTASK");
    assert_reported("await outside a task");
}

async(int, awaits_shared)
{
    int rc = await(shared_co);
    say("second:%s/%s", even_errname(rc), even_errname(even_status()));
    return 0;
}

async(int, awaited_by_two)
{
    shared_co = slow();
    __auto_type t = create_task(awaits_shared());
    int rc = await(shared_co);
    say("first:%d", rc);
    await(t);
    return 0;
}

TEST(a_coroutine_awaited_by_two, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(awaited_by_two()), 0);
    assert_story("second:EVEN_EAWAITED/EVEN_EAWAITED first:5");
    assert_reported("coroutine 'slow': the object is already being awaited");
    assert_int_equal(report_count(), 1);
}

static even_int_aw *shared_sleep;
async(int, awaits_shared_sleep)
{
    int rc = await(shared_sleep);
    say("second:%s", even_errname(rc));
    return 0;
}

async(int, sleep_awaited_by_two)
{
    shared_sleep = even_sleep(0.001);
    __auto_type t = create_task(awaits_shared_sleep());
    int rc = await(shared_sleep);
    say("first:%d", rc);
    await(t);
    return 0;
}

TEST(an_operation_awaited_by_two, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(sleep_awaited_by_two()), 0);
    assert_story("second:EVEN_EAWAITED first:0");
    assert_reported("): the object is already being awaited");
}

async(int, awaits_twice)
{
    __auto_type c = speaks("once");
    int n = await(c);
    int rc = await(c);
    say("%d %s/%s", n, even_errname(rc), even_errname(even_status()));
    return 0;
}

TEST(a_spent_coroutine_awaited_again, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(awaits_twice()), 0);
    assert_story("once 4 EVEN_ESPENT/EVEN_ESPENT");
    assert_reported("coroutine 'speaks': the object was awaited before and is spent");
}

async(int, awaits_a_spent_one_after_many)
{
    __auto_type c = speaks("once");
    await(c);
    for (int i = 0; i < 60; i++)        /* fewer than are held back */
        await(returns_int(i));
    int rc = await(c);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_spent_coroutine_is_still_known_sixty_objects_later, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(awaits_a_spent_one_after_many()), 0);
    assert_story("once EVEN_ESPENT");
}

async(int, makes_spent_a_task)
{
    __auto_type c = speaks("once");
    await(c);
    __auto_type t = create_task(c);
    int rc = await(t);
    say("%s %zu", even_errname(rc), tasks_now());
    return 0;
}

TEST(create_task_of_a_spent_coroutine, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(makes_spent_a_task()), 0);
    assert_story("once EVEN_ESPENT 1");
    assert_reported("coroutine 'speaks' cannot become a task");
}

async(int, gathers_spent)
{
    __auto_type c = speaks("once");
    await(c);
    int a = 77, rc = await(gather(into(&a, c), returns_int(1)));
    say("%s %d", even_errname(rc), a);
    rc = await(wait_for(c, 1));
    say("%s", even_errname(rc));
    rc = await(shield(c));
    say("%s", even_errname(rc));
    return 0;
}

TEST(combinators_of_a_spent_coroutine, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(gathers_spent()), 0);
    assert_story("once EVEN_ESPENT 77 EVEN_ESPENT EVEN_ESPENT");
    assert_reported("'speaks'");
}

async(int, awaits_itself)
{
    even_awaitable *self = &even_current_task()->base;
    even_ref_any(self);
    int rc = even_await_any(self);
    even_unref(self);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_task_awaits_itself, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(awaits_itself()), 0);
    assert_story("EVEN_ESELF");
    assert_reported("(awaits_itself)");
    assert_reported("a task cannot await itself");
}

async(int, runs_a_loop)
{
    int rc = even_run(speaks("inner"));
    say("%s/%s", even_errname(rc), even_errname(even_status()));
    rc = even_loop_run_forever(even_running_loop());
    say("%s", even_errname(rc));
    __auto_type f = even_future_new(even_future);
    rc = even_run_until_complete_any(even_running_loop(), &f->base);
    say("%s", even_errname(rc));
    even_detach(f);
    return 0;
}

TEST(a_loop_run_inside_itself, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(runs_a_loop()), 0);
    assert_non_null(strstr(story, "EVEN_ERUNNING/"));
    assert_non_null(strstr(story, " EVEN_ERUNNING EVEN_ERUNNING"));
    assert_null(strstr(story, "inner"));
    assert_reported("'speaks' cannot be run here: the loop is already running");
}

static struct awaited_inside_co *own;
async(int, awaited_inside)
{
    int rc = await(own);        /* the coroutine object whose body this is */
    say("%s", even_errname(rc));
    return 1;
}

async(int, inline_awaits_itself)
{
    own = awaited_inside();
    int rc = await(own);
    say("%d", rc);
    return 0;
}

TEST(an_inline_coroutine_awaits_itself, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(inline_awaits_itself()), 0);
    assert_story("EVEN_EAWAITED 1");
    assert_reported("'awaited_inside'");
}
