/* Tasks: create_task, the first step, order, names, references, failures that nobody fetched. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"
#include "loop/loop.h"

async(int, steps, (const char *, name), (int, n))
{
    for (int i = 0; i < n; i++) {
        say("%s%d", name, i);
        await(even_sleep(0));
    }
    return n;
}

/* ---- order ---- */

async(int, registers)
{
    __auto_type t = create_task(steps("t", 1));
    say("created");
    await(even_sleep(0));
    say("slept");
    return await(t);
}

TEST(create_task_neither_runs_it_nor_waits, .clean = true)
{
    assert_int_equal(even_run(registers()), 1);
    assert_story("created t0 slept");
}

async(int, turns)
{
    __auto_type a = create_task(steps("a", 3));
    __auto_type b = create_task(steps("b", 3));
    __auto_type c = create_task(steps("c", 3));
    return await(a) + await(b) + await(c);
}

TEST(tasks_take_turns, .clean = true)
{
    assert_int_equal(even_run(turns()), 9);
    assert_story("a0 b0 c0 a1 b1 c1 a2 b2 c2");
}

static void note(even_handle *h)
{
    (void)h;
    say("handle");
}

async(int, spawns)
{
    say("spawn");
    __auto_type t = create_task(steps("child", 1));
    static even_handle h = EVEN_HANDLE(note);
    even_call_soon(even_running_loop(), &h);
    uint64_t pass = even_running_loop()->passes;
    await(even_sleep(0));
    say("%d", (int)(even_running_loop()->passes - pass));
    return await(t);
}

TEST(a_first_step_is_a_call_soon, .clean = true)
{
    assert_int_equal(even_run(spawns()), 1);
    assert_story("spawn child0 handle 1");
}

async(int, returns_at_once, (int, n)) { say("r%d", n); return n; }

async(int, wakes_later)
{
    /* The end of a task schedules its waiter: what was queued before goes first. */
    __auto_type a = create_task(returns_at_once(1));
    __auto_type b = create_task(returns_at_once(2));
    int n = await(a);
    say("woke");
    n += await(b);
    return n;
}

TEST(the_end_of_a_task_schedules_its_waiter, .clean = true)
{
    assert_int_equal(even_run(wakes_later()), 3);
    assert_story("r1 r2 woke");
}

async(int, fetches)
{
    __auto_type t = create_task(returns_at_once(7));
    await(even_sleep(0));
    uint64_t pass = even_running_loop()->passes;
    int n = await(t);
    say("%d %d", n, (int)(even_running_loop()->passes - pass));
    return 0;
}

TEST(await_of_a_done_task_only_fetches_the_result, .clean = true)
{
    assert_int_equal(even_run(fetches()), 0);
    assert_story("r7 7 0");
}

/* ---- any awaitable can be a task ---- */

async(int, makes_tasks_of_all)
{
    __auto_type s = create_task(even_sleep(0.001));
    __auto_type z = create_task(even_sleep(0));
    even_future *f = even_future_new(even_future);
    __auto_type same = create_task(f);
    say("%d", same == f);
    even_set_result(f, 6);
    __auto_type w = create_task(wait_for(returns_at_once(1), 1));
    __auto_type g = create_task(gather(returns_at_once(2), returns_at_once(3)));
    __auto_type again = create_task(w);
    say("%d", again == w);
    say("%d", await(s));
    say("%d", await(z));
    say("%zd", await(same));
    say("%d", await(w));
    say("%d", await(g));
    return 0;
}

TEST(every_awaitable_can_be_made_a_task, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(makes_tasks_of_all()), 0);
    assert_story("1 1 r1 r2 r3 0 0 6 1 0");
    assert_no_report();
}

async(int, many_sleeps)
{
    enum { N = 1000 };
    static even_int_aw *t[N];
    for (int i = 0; i < N; i++)
        t[i] = create_task(even_sleep(i % 10 * 0.0001));
    int bad = 0;
    for (int i = 0; i < N; i++)
        bad += await(t[i]) != 0;
    return bad;
}

TEST(a_thousand_sleeps_as_tasks, .clean = true)
{
    assert_int_equal(even_run(many_sleeps()), 0);
}

async(int, operations_let_go)
{
    even_detach(create_task(even_sleep(0)));            /* the loop's reference is the last */
    even_detach(create_task(even_sleep(0.001)));
    even_detach(create_task(returns_at_once(1)));
    __auto_type t = create_task(returns_at_once(2));
    even_cancel(t);
    even_detach(t);
    __auto_type s = create_task(even_sleep(5));
    even_cancel(s);
    even_detach(s);
    for (int i = 0; i < 3; i++)
        await(even_sleep(0.002));
    return 0;
}

TEST(tasks_that_nobody_holds, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(operations_let_go()), 0);
    assert_story("r1");
    assert_no_report();
}

/* ---- references ---- */

static struct steps_co *shared_task;

async(int, waits_for_shared, (const char *, name))
{
    int n = await(even_ref(shared_task));
    say("%s:%d", name, n);
    return 0;
}

async(int, two_waiters)
{
    shared_task = create_task(steps("s", 2));
    __auto_type a = create_task(waits_for_shared("a"));
    __auto_type b = create_task(waits_for_shared("b"));
    await(a);
    await(b);
    int n = await(even_ref(shared_task));     /* done long ago */
    n += await(shared_task);
    say("%d", n);
    return 0;
}

TEST(two_waiters_on_one_task, .clean = true)
{
    assert_int_equal(even_run(two_waiters()), 0);
    assert_story("s0 s1 a:2 b:2 4");
}

async(int, detaches)
{
    even_detach(create_task(steps("d", 2)));
    await(even_sleep(0));
    await(even_sleep(0));
    await(even_sleep(0));
    say("end");
    return 0;
}

TEST(a_detached_task_goes_on, .clean = true)
{
    assert_int_equal(even_run(detaches()), 0);
    assert_story("d0 d1 end");
}

async(int, spends_a_task)
{
    __auto_type t = create_task(returns_at_once(1));
    await(t);
    int rc = await(t);
    say("%s", even_errname(rc));
    say("%d %s %s", even_cancel(t), even_name(t), even_errname(even_status_of(&t->base)));
    return 0;
}

TEST(a_spent_task_awaited_again, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(spends_a_task()), 0);
    assert_story("r1 EVEN_ESPENT 0 returns_at_once EVEN_ESPENT");
    assert_reported("'returns_at_once': the object was awaited before and is spent");
}

/* ---- failures ---- */

async(int, fails, (int, status)) { await(even_sleep(0)); return status; }

async(int, forgets_a_failure)
{
    __auto_type t = create_task(fails(-EHOSTUNREACH), .name = "lost one");
    even_detach(t);
    await(even_sleep(0));
    await(even_sleep(0));
    await(even_sleep(0));
    return 0;
}

TEST(a_failure_that_nobody_fetched_is_reported, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets_a_failure()), 0);
    assert_reported("task 'lost one' (fails) failed with EHOSTUNREACH");
    assert_int_equal(report_count(), 1);
}

async(int, fetches_a_failure)
{
    __auto_type t = create_task(fails(-EHOSTUNREACH));
    int rc = await(t);
    say("%s", even_errname(rc));
    __auto_type u = create_task(fails(-EHOSTUNREACH));
    await(even_sleep(0));
    await(even_sleep(0));
    say("%s", even_errname(even_status_of(&u->base)));
    even_detach(u);
    return 0;
}

TEST(a_fetched_failure_is_not, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(fetches_a_failure()), 0);
    assert_story("EHOSTUNREACH EHOSTUNREACH");
    assert_no_report();
}

TEST(the_main_coroutines_failure_is_the_runs, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(fails(-EXDEV)), -EXDEV);
    assert_reported("the main task 'Task-1' (fails) failed with EXDEV");
    assert_int_equal(report_count(), 1);
}

/* ---- names, current_task, all_tasks ---- */

async(int, says_its_name)
{
    even_task *t = even_current_task();
    say("%s", even_name(t));
    int rc = even_set_name(t, "renamed");
    say("%d:%s", rc, even_name(t));
    return 0;
}

async(int, names)
{
    __auto_type a = create_task(says_its_name());
    __auto_type b = create_task(says_its_name(), .name = "named");
    say("%s", even_name(even_current_task()));
    __auto_type c = says_its_name();
    say("%s %s", even_name(c), even_errname(even_set_name(c, "x")));
    even_cancel(c);
    even_detach(c);
    await(a);
    await(b);
    return 0;
}

TEST(task_names, .clean = true)
{
    assert_int_equal(even_run(names()), 0);
    assert_story("Task-1 says_its_name EINVAL Task-2 0:renamed named 0:renamed");
}

async(int, name_is_copied)
{
    char text[] = "temporary";
    __auto_type t = create_task(steps("x", 1), .name = text);
    memset(text, '-', sizeof text - 1);
    say("%s", even_name(t));
    await(t);
    return 0;
}

TEST(a_name_is_copied, .clean = true)
{
    assert_int_equal(even_run(name_is_copied()), 0);
    assert_story("temporary x0");
}

async(int, lists_tasks)
{
    even_task *list[8];
    __auto_type a = create_task(steps("a", 1));
    __auto_type b = create_task(even_sleep(0.001));
    size_t n = even_all_tasks(list, 8);
    say("%zu %d %d %d", n, list[0] == even_current_task(), (void *)list[1] == (void *)a, (void *)list[2] == (void *)b);
    list[1] = NULL;
    say("%zu %d", even_all_tasks(list, 1), list[1] == NULL);
    await(b);
    say("%zu", even_all_tasks(NULL, 0));
    await(a);
    return 0;
}

TEST(all_tasks_that_are_not_done, .clean = true)
{
    assert_int_equal(even_run(lists_tasks()), 0);
    assert_story("3 1 1 1 3 1 a0 1");
    assert_null(even_current_task());
    assert_int_equal(even_all_tasks(NULL, 0), 0);
}

static void looks(even_handle *h)
{
    (void)h;
    say("%d", even_current_task() == NULL);
}

async(int, callback_has_no_task)
{
    static even_handle h = EVEN_HANDLE(looks);
    even_call_soon(even_running_loop(), &h);
    await(even_sleep(0));
    say("%d", even_current_task() != NULL);
    return 0;
}

TEST(no_task_is_current_in_a_callback, .clean = true)
{
    assert_int_equal(even_run(callback_has_no_task()), 0);
    assert_story("1 1");
}

/* ---- misuse ---- */

TEST(create_task_outside_of_a_run, .clean = true)
{
    capture_reports();
    __auto_type t = create_task(returns_at_once(1));
    assert_int_equal(even_status_of(&t->base), -EVEN_ENOLOOP);
    assert_true(even_done(t));
    even_detach(t);
    assert_reported("'returns_at_once' cannot become a task: no loop is running in this thread");
    assert_int_equal(report_count(), 1);
    assert_story("");
}

async(int, too_large)
{
    __auto_type t = create_task(returns_at_once(1), .stack_size = (size_t)1 << 40);
    int rc = await(t);
    say("%s", even_errname(rc));
    return 0;
}

TEST(a_stack_of_a_terabyte_is_refused, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(too_large()), 0);
    assert_story("EINVAL");
}

async(int, inside) { await(even_sleep(0.001)); return 1; }
static struct inside_co *running_inline;

async(int, makes_a_task_of_it)
{
    __auto_type t = create_task(running_inline);
    say("%d", t == running_inline);
    int rc = await(even_ref(t));
    say("%s", even_errname(rc));
    even_detach(t);
    return 0;
}

async(int, awaited_and_made_a_task)
{
    running_inline = inside();
    __auto_type t = create_task(makes_a_task_of_it());
    int n = await(running_inline);
    say("%d", n);
    return await(t);
}

TEST(create_task_of_a_coroutine_that_is_being_awaited, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(awaited_and_made_a_task()), 0);
    assert_non_null(strstr(story, "1 EVEN_EAWAITED"));
    assert_reported("coroutine 'inside' cannot become a task: the object is already being awaited");
}

/* ---- errno ---- */

async(int, keeps_errno, (int, value))
{
    int bad = 0;
    for (int i = 0; i < 20; i++) {
        errno = value + i;
        await(even_sleep(i % 3 ? 0 : 0.0005));
        bad += errno != value + i;
    }
    return bad;
}

async(int, errnos)
{
    int a, b, c;
    await(gather(into(&a, keeps_errno(100)), into(&b, keeps_errno(200)), into(&c, keeps_errno(300))));
    return a + b + c;
}

TEST(errno_belongs_to_the_task, .clean = true)
{
    assert_int_equal(even_run(errnos()), 0);
}

/* ---- many ---- */

async(int, spawn_tree, (int, depth))
{
    if (depth == 0)
        return 1;
    __auto_type a = create_task(spawn_tree(depth - 1));
    __auto_type b = create_task(spawn_tree(depth - 1));
    return await(a) + await(b);
}

TEST(a_tree_of_tasks, .clean = true)
{
    assert_int_equal(even_run(spawn_tree(10)), 1024);
}

async(int, counts_down, (int, n))
{
    if (n == 0)
        return 0;
    __auto_type t = create_task(counts_down(n - 1));
    return await(t) + 1;
}

TEST(a_chain_of_two_thousand_tasks, .clean = true)
{
    assert_int_equal(even_run(counts_down(2000)), 2000);
}
