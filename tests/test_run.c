/* even_run: from its main coroutine to the end of all; several runs, in a row and in several threads. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "runs.h"
#include "base/heap.h"
#include "loop/loop.h"
#include <pthread.h>
#include <unistd.h>

/* ---- results, and running again ---- */

async(const char *, gives_text) { await(even_sleep(0)); return "text"; }
struct pair { long a, b; };
async(struct pair, gives_pair) { await(even_sleep(0)); return (struct pair){ 1, 2 }; }
async(void, gives_nothing) { await(even_sleep(0)); }

TEST(results_of_a_run, .clean = true)
{
    assert_int_equal(even_run(gives(0, 3)), 3);
    const char *text = even_run(gives_text());
    assert_non_null(text);
    assert_string_equal(text, "text");
    struct pair p = even_run(gives_pair());
    assert_int_equal(p.a + p.b, 3);
    assert_int_equal(even_run(gives_nothing()), 0);
    assert_int_equal(even_run(even_sleep(0)), 0);
    assert_int_equal(even_run(gather(gives(0, 1))), -EVEN_ENOLOOP);
}

TEST(a_hundred_runs_in_a_row, .clean = true, .no_faults = true)
{
    for (int i = 0; i < 100; i++)
        assert_int_equal(even_run(gives(0, i)), i);
}

async(int, says_backend)
{
    say("%s", even_loop_backend(even_running_loop()));
    return 0;
}

TEST(a_backend_by_name, .clean = true, .on = TEST_PLAIN)
{
    assert_int_equal(even_run(says_backend(), .backend = "epoll"), 0);
    assert_int_equal(even_run(says_backend(), .backend = "sim", .seed = 3), 0);
    assert_story("epoll sim");
    capture_reports();
    assert_int_equal(even_run(says_backend(), .backend = "kqueue"), -EVEN_EBACKEND);
    assert_story("epoll sim");
    assert_reported("kqueue");
}

TEST(another_abi, .on = TEST_PLAIN, .clean = true)
{
    capture_reports();
    __auto_type c = gives(0, 1);
    assert_int_equal(even_run_any(&c->base, NULL, EVEN_ABI + 1), -EVEN_EABI);
    assert_int_equal(c->result, -EVEN_EABI);
    even_unref(&c->base);
    assert_int_equal(report_count(), 1);
}

TEST(nothing_is_left_that_could_wake_main, .on = TEST_SIM, .clean = true)
{
    capture_reports();
    even_future *f = even_future_new(even_future);
    even_ref(f);
    await(f);       /* outside of a task: only to make the first message */
    assert_reported("await outside a task");
    ssize_t n = even_run(f);
    assert_int_equal(even_status(), -EVEN_EDEADLOCK);
    assert_int_equal(n, -EVEN_EDEADLOCK);
}

/* ---- the end ---- */

async(int, leaves_tasks)
{
    even_detach(create_task(gives(50, 1)));
    even_detach(create_task(gives(50, 2)));
    even_detach(create_task(even_sleep(50)));
    even_detach(create_task(even_sleep(60)));
    even_detach(create_task(gives(50, 3)));
    await(even_sleep(0));
    return 7;
}

TEST(what_still_runs_is_cancelled_and_awaited_in_order, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_tasks()), 7);
    assert_story("1:ECANCELED 2:ECANCELED 3:ECANCELED");
    assert_no_report();
}

async(int, awaits_sleep_task, (even_int_aw *, s))
{
    int rc = await(s);
    say("%s", even_errname(rc));
    return rc;
}

async(int, leaves_tasks_that_wait_for_each_other)
{
    __auto_type s = create_task(even_sleep(50));
    even_detach(create_task(awaits_sleep_task(even_ref(s))));
    even_detach(create_task(awaits_sleep_task(s)));
    even_detach(create_task(even_sleep(50)));
    even_detach(create_task(gather(even_sleep(50), gives(50, 1), even_sleep(50))));
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

TEST(tasks_that_wait_for_operations_at_the_end, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_tasks_that_wait_for_each_other()), 0);
    assert_no_report();
}

static int cleanups;

async(int, cleans_up, (int, n))
{
    int rc = await(even_sleep(50));
    for (int i = 0; i < 20; i++) {
        int again = await(even_sleep(0.0001));
        if (again == 0)
            cleanups++;
    }
    say("clean%d", n);
    return rc;
}

async(int, leaves_cleaners)
{
    even_detach(create_task(cleans_up(1)));
    even_detach(create_task(cleans_up(2)));
    await(even_sleep(0));
    return 0;
}

/* As in asyncio.run(): each task is asked once. */
TEST(cleanup_at_the_end_may_await, .clean = true)
{
    capture_reports();
    cleanups = 0;
    assert_int_equal(even_run(leaves_cleaners()), 0);
    assert_non_null(strstr(story, "clean1"));
    assert_non_null(strstr(story, "clean2"));
    if (!test_fault_fired())
        assert_int_equal(cleanups, 40);
}

TEST(without_time_for_it_each_await_is_told, .clean = true)
{
    capture_reports();
    cleanups = 0;
    assert_int_equal(even_run(leaves_cleaners(), .grace = -1), 0);
    assert_non_null(strstr(story, "clean1"));
    assert_non_null(strstr(story, "clean2"));
    assert_int_equal(cleanups, 0);
}

async(int, never_ends)
{
    for (;;)
        await(even_sleep(1));
    return 0;
}

async(int, leaves_one_that_never_ends)
{
    even_detach(create_task(never_ends(), .name = "for ever"));
    even_detach(create_task(gives(50, 2)));
    await(even_sleep(0));
    return 7;
}

TEST(a_task_that_goes_on_for_ever_is_named, .leaks_ok = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_one_that_never_ends(), .grace = 0.01), -EVEN_ESTUCK);
    assert_int_equal(even_status(), -EVEN_ESTUCK);
    assert_reported("'for ever' (never_ends)");
    assert_story("2:ECANCELED");
    assert_int_equal(even_run(gives(0, 5)), 5);     /* the next run is as new */
}

async(int, waits_for_ever, (struct never_ends_co *, t))
{
    int rc = await(t);
    say("waiter:%s", even_errname(rc));
    return rc;
}

async(int, leaves_a_waiter_of_it)
{
    __auto_type t = create_task(never_ends());
    even_detach(create_task(waits_for_ever(t)));
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

TEST(who_waits_for_a_task_that_is_given_up_ends, .leaks_ok = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_a_waiter_of_it(), .grace = 0.01), -EVEN_ESTUCK);
    assert_story("waiter:EVEN_ESTUCK");
}

async(int, spawns_at_the_end)
{
    await(even_sleep(50));
    __auto_type t = create_task(gives(0, 9));
    __auto_type s = create_task(even_sleep(30));
    int rc = await(gather(t, s, gives(0, 10)));
    say("%s", even_errname(rc));
    return -ECANCELED;
}

async(int, leaves_a_spawner)
{
    even_detach(create_task(spawns_at_the_end()));
    await(even_sleep(0));
    return 0;
}

TEST(tasks_made_after_the_time_of_grace_never_begin, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_a_spawner(), .grace = -1), 0);
    assert_story("ECANCELED");
}

async(int, cleans_up_with_tasks)
{
    await(even_sleep(50));
    int rc = await(gather(gives(0.001, 9), create_task(even_sleep(0.002)), gives(0, 10)));
    say("%s", even_errname(rc));
    return -ECANCELED;
}

async(int, leaves_one_that_makes_tasks)
{
    even_detach(create_task(cleans_up_with_tasks()));
    await(even_sleep(0));
    return 0;
}

TEST(cleanup_at_the_end_may_make_tasks, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_one_that_makes_tasks()), 0);
    assert_story("0");
    assert_no_report();
}

/* What waits inside of something that cannot be cancelled is neither told nor counted: it has twice the time. */
static void never_started(even_awaitable *x) { (void)x; }
static const even_kind stubborn_kind = { .name = "stubborn", .size = sizeof(even_int_aw), .result_size = sizeof(int),
                                         .result_class = EVEN_RESULT_INT, .start = never_started };
static even_awaitable *stubborn;

async(int, waits_stubbornly)
{
    stubborn = even_awaitable_new(&stubborn_kind);
    even_ref_any(stubborn);
    even_await_any(stubborn);
    return 0;
}

async(int, leaves_a_stubborn_one)
{
    even_detach(create_task(waits_stubbornly(), .name = "old man"));
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

TEST(who_waits_for_what_cannot_be_cancelled_is_named_and_given_up, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_a_stubborn_one(), .grace = 0.01), -EVEN_ESTUCK);
    assert_reported("task 'old man' (waits_stubbornly) has not ended, waits for 'stubborn', and is given up");
}

async(int, spawns_for_ever, (int, depth))
{
    await(even_sleep(50));
    even_detach(create_task(spawns_for_ever(depth + 1)));
    return -ECANCELED;
}

async(int, leaves_a_breeder)
{
    even_detach(create_task(spawns_for_ever(0)));
    await(even_sleep(0));
    return 0;
}

TEST(a_task_that_makes_another_at_its_end, .clean = true)
{
    assert_int_equal(even_run(leaves_a_breeder(), .grace = 0.001), 0);
}

async(int, fails_at_the_end) { await(even_sleep(50)); return -EPIPE; }
async(int, leaves_a_failer)
{
    even_detach(create_task(fails_at_the_end()));
    await(even_sleep(0));
    return 0;
}

TEST(a_failure_at_the_end_is_reported, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_a_failer()), 0);
    assert_reported("(fails_at_the_end) failed with EPIPE");
}

async(int, fails_with_tasks)
{
    even_detach(create_task(gives(50, 1)));
    await(even_sleep(0));
    return -EDOM;
}

TEST(the_end_after_a_failure_of_main, .clean = true)
{
    assert_int_equal(even_run(fails_with_tasks()), -EDOM);
    assert_story("1:ECANCELED");
}

async(int, unstarted)
{
    even_detach(create_task(gives(0, 1)));
    return 0;
}

TEST(a_task_that_has_not_begun_when_main_ends, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(unstarted()), 0);
    assert_story("1:ECANCELED");        /* it begins in main's last pass, and is told where it lets others run */
    assert_no_report();
}

/* A timer of a wait_for in a task that is given up must not fire at a stranger. */
async(int, never_ends_in_wait_for)
{
    for (;;)
        await(wait_for(even_sleep(1), 0.5));
    return 0;
}

async(int, leaves_wait_for)
{
    even_detach(create_task(never_ends_in_wait_for()));
    even_detach(create_task(cleans_up(1)));
    await(even_sleep(0));
    return 0;
}

TEST(a_wait_for_that_goes_on_for_ever, .leaks_ok = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_wait_for(), .grace = 0.01), -EVEN_ESTUCK);
}

/* It is given up while another one still has time: its time-out must not come for what is there by then. */
async(int, never_ends_in_a_short_wait_for)
{
    for (;;)
        await(wait_for(even_sleep(1), 0.002));
    return 0;
}

async(int, leaves_a_short_wait_for)
{
    even_detach(create_task(never_ends_in_a_short_wait_for()));
    even_detach(create_task(waits_stubbornly()));
    await(even_sleep(0));
    return 0;
}

TEST(a_timeout_ends_with_the_task_that_is_given_up, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_a_short_wait_for(), .grace = 0.02), -EVEN_ESTUCK);
    assert_reported("(never_ends_in_a_short_wait_for) went on through a hundred cancellations");
    assert_reported("(waits_stubbornly) has not ended");
}

/* ---- several threads ---- */

async(int, work, (int, n))
{
    int sum = 0;
    for (int i = 0; i < 50; i++) {
        int a = 0, b = 0;
        await(gather(into(&a, gives(0, i)), into(&b, wait_for(gives(0, n), 60))));
        sum += a + b;
    }
    return sum;
}

static void *runs_work(void *argument)
{
    int n = *(int *)argument;
    *(int *)argument = even_run(work(n)) == 50 * 49 / 2 + 50 * n;
    return NULL;
}

TEST(several_loops_in_several_threads, .no_faults = true)
{
    enum { N = 6 };
    pthread_t threads[N];
    int arguments[N];
    for (int i = 0; i < N; i++) {
        arguments[i] = i;
        pthread_create(&threads[i], NULL, runs_work, &arguments[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(arguments[i], 1);
    }
}

/* ---- a loop of one's own ---- */

TEST(run_until_complete, .no_faults = true)
{
    even_loop *loop;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    __auto_type a = gives(0.001, 4);
    int rc = even_run_until_complete_any(loop, &a->base), result = a->result;
    even_detach(a);
    __auto_type b = gives(0, 5);
    int rc2 = even_run_until_complete_any(loop, &b->base), result2 = b->result;
    even_detach(b);
    even_loop_close(loop);
    assert_int_equal(rc, 0);
    assert_int_equal(result, 4);
    assert_int_equal(rc2, 0);
    assert_int_equal(result2, 5);
}

async(int, stops, (struct gives_co **, background))
{
    *background = create_task(gives(0.002, 8));
    even_loop_stop(even_running_loop());
    await(even_sleep(0.001));
    return 3;
}

TEST(a_loop_that_is_stopped_and_run_on, .no_faults = true)
{
    even_loop *loop;
    struct gives_co *background = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    __auto_type a = stops(&background);
    int first = even_run_until_complete_any(loop, &a->base);
    int second = even_run_until_complete_any(loop, &a->base), result = a->result;
    even_detach(a);
    int third = background ? even_run_until_complete_any(loop, &background->base) : -1;
    if (background)
        even_detach(background);
    even_loop_close(loop);
    assert_int_equal(first, -EVEN_ESTOPPED);
    assert_int_equal(second, 0);
    assert_int_equal(result, 3);
    assert_int_equal(third, 0);
}

struct elsewhere {
    even_loop *loop;
    int until_complete, for_ever, step;
};

static void *runs_elsewhere(void *data)
{
    struct elsewhere *e = data;
    __auto_type c = gives(0, 1);
    e->until_complete = even_run_until_complete_any(e->loop, &c->base);
    even_cancel(c);
    even_detach(c);
    even_loop_stop(e->loop);        /* if it does run, then for one pass */
    e->for_ever = even_loop_run_forever(e->loop);
    e->step = even_loop_step(e->loop);
    return NULL;
}

TEST(a_loop_with_pending_tasks_stays_in_its_thread, .on = TEST_KERNEL, .no_faults = true)
{
    struct elsewhere e = { 0 };
    struct gives_co *background = NULL;
    pthread_t thread;
    capture_reports();
    assert_int_equal(even_loop_new(&e.loop, NULL), 0);
    __auto_type a = stops(&background);
    even_run_until_complete_any(e.loop, &a->base);
    pthread_create(&thread, NULL, runs_elsewhere, &e);
    pthread_join(thread, NULL);
    int rc = even_run_until_complete_any(e.loop, &a->base);     /* here it goes on: the stop that was asked for, then the rest */
    if (rc == -EVEN_ESTOPPED)
        rc = even_run_until_complete_any(e.loop, &a->base);
    int rc2 = even_run_until_complete_any(e.loop, &background->base);
    even_detach(a);
    even_detach(background);
    even_loop_close(e.loop);
    assert_int_equal(rc, 0);
    assert_int_equal(rc2, 0);
    assert_int_equal(e.until_complete, -EVEN_ETHREAD);
    assert_reported("this belongs to another thread");
    assert_int_equal(e.for_ever, -EVEN_ETHREAD);
    assert_int_equal(e.step, -EVEN_ETHREAD);
}

static void *runs_idle_loop(void *data)
{
    struct elsewhere *e = data;
    __auto_type c = gives(0, 6);
    e->until_complete = even_run_until_complete_any(e->loop, &c->base);
    even_detach(c);
    return NULL;
}

TEST(a_loop_without_pending_tasks_may_move, .on = TEST_KERNEL, .no_faults = true)
{
    struct elsewhere e = { 0 };
    assert_int_equal(even_loop_new(&e.loop, NULL), 0);
    __auto_type c = gives(0, 1);
    assert_int_equal(even_run_until_complete_any(e.loop, &c->base), 0);
    even_detach(c);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        e.until_complete = -1;
        pthread_create(&thread, NULL, runs_idle_loop, &e);
        pthread_join(thread, NULL);
        assert_int_equal(e.until_complete, 0);
    }
    even_loop_close(e.loop);
}

TEST(a_loop_closed_over_pending_tasks, .leaks_ok = true)
{
    even_loop *loop;
    struct gives_co *background = NULL;
    capture_reports();
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    __auto_type a = stops(&background);
    even_run_until_complete_any(loop, &a->base);
    assert_int_equal(even_loop_close(loop), 0);
    assert_reported("was still pending when its loop was closed");
    even_cancel(a);         /* nothing can happen to it any more, and nothing does */
    even_detach(a);
    if (background)
        even_detach(background);
}

/* ---- without memory ---- */

static unsigned long allocations, fails_at;

static void *counted_malloc(size_t n)
{
    return ++allocations == fails_at ? NULL : malloc(n);
}

static void *counted_realloc(void *p, size_t n)
{
    return ++allocations == fails_at ? NULL : realloc(p, n);
}

async(int, program)
{
    int a = 0, b = 0;
    int rc = await(gather(into(&a, gives(0.0001, 1)), into(&b, wait_for(gives(0, 2), 60)), even_sleep(0)));
    if (rc < 0)
        return rc;
    __auto_type t = create_task(gives(0, 3), .name = "named");
    int c = await(shield(t));
    if (c < 0) {
        even_detach(t);
        return c;
    }
    int d = await(t);
    static struct gives_co *objects[100];
    for (int i = 0; i < 100; i++)
        objects[i] = gives(i * 1e-6, i);
    rc = await(gather_n(100, objects, (void *)NULL));
    return rc < 0 ? rc : a + b + c + d;
}

TEST(every_allocation_fails_once, .no_faults = true)
{
    capture_reports();
    even_set_allocator(counted_malloc, counted_realloc, free);
    assert_int_equal(even_run(program()), 9);       /* warms the heap, the stacks and the C library up, too */
    size_t live = even__heap_live();
    for (fails_at = 1; fails_at < 500; fails_at++) {
        allocations = 0;
        story[0] = '\0';
        int rc = even_run(program());
        assert_true(rc == 9 || rc == -ENOMEM);
        assert_int_equal(even__heap_live(), live);
        if (allocations < fails_at)
            break;
    }
    assert_in_range(fails_at, 5, 499);
    even_set_allocator(NULL, NULL, NULL);
}

/* ---- tasks that nobody kept ---- */

async(int, fails_later) { try_await(even_sleep(0.001)); return -EIO; }
async(int, ends_later) { return await(even_sleep(0.001)); }

async(int, forgets)
{
    create_task(fails_later());
    create_task(ends_later());
    create_task(even_sleep(0.001));
    return await(even_sleep(0.01));
}

TEST(a_task_that_was_forgotten_is_told_of_and_leaves_nothing, .on = TEST_ALL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets()), 0);
    if (!test_fault_fired()) {
        assert_reported("(fails_later) failed with EIO (Input/output error), and nobody fetched its failure");
        assert_int_equal(report_count(), 1);
    }
}

static struct gives_co *kept;

async(int, keeps_one)
{
    kept = create_task(gives(0, 6));
    even_ref(kept);
    await(even_sleep(0.001));
    even_detach(kept);
    return 0;
}

async(int, awaits_kept) { return await(kept); }
async(int, keeps_with_a_reference)
{
    kept = create_task(gives(0, 6));
    even_ref(kept);
    return await(even_sleep(0.001));
}

TEST(a_task_that_somebody_holds_outlives_its_run, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(keeps_one()), 0);
    __auto_type c = awaits_kept();
    assert_int_equal(even_run(c), 6);
    assert_int_equal(even_run(keeps_with_a_reference()), 0);
    even_detach(kept);
    even_detach(kept);
    assert_no_report();
}
