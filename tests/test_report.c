/* Reports: how often the same is told, and what a mistake of the program's is answered with. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "story.h"
#include "base/base.h"
#include "loop/loop.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- how often ---- */

async(int, forgotten) { return 0; }

static __attribute__((noinline)) void forget(int times)
{
    for (int i = 0; i < times; i++)
        even_unref(&forgotten()->base);
}

async(int, forgets, (int, here), (int, there))
{
    forget(here);
    for (int i = 0; i < there; i++)
        even_unref(&forgotten()->base);
    return 0;
}

static unsigned lines_with(const char *words)
{
    unsigned n = 0;
    for (const char *at = reports; (at = strstr(at, words)); at++)
        n++;
    return n;
}

TEST(the_same_is_told_ten_times_then_counted, .clean = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets(1213, 0)), 0);
    assert_int_equal(lines_with("'forgotten' was never awaited; it was made at "), 11);
    assert_reported("1203 more like this were not told: coroutine 'forgotten' was never awaited; it was made at ");
    assert_int_equal(report_count(), 11);
}

TEST(each_place_for_itself, .clean = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets(12, 3)), 0);
    assert_int_equal(report_count(), 10 + 3 + 1);
    assert_reported("2 more like this were not told: coroutine 'forgotten'");
}

TEST(the_end_tells_what_was_left_once, .clean = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(forgets(11, 0)), 0);
    assert_int_equal(report_count(), 11);
    reports[0] = '\0';
    assert_int_equal(even_run(forgets(0, 0)), 0);
    assert_no_report();
}

async(int, forgets_and_forks, (pid_t *, child))
{
    forget(12);
    fflush(NULL);
    *child = fork();
    if (*child == 0) {
        reports[0] = '\0';
        _exit(even_run(forgets(0, 0)) == 0 && report_count() == 0 ? 0 : 1);
    }
    return 0;
}

TEST(what_was_left_is_the_parents_to_tell, .on = TEST_KERNEL, .clean = true, .no_faults = true)
{
    int status = -1;
    pid_t child = -1;
    capture_reports();
    assert_int_equal(even_run(forgets_and_forks(&child)), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_reported("2 more like this were not told: coroutine 'forgotten'");
}

async(int, fails_like_the_others) { return -EPIPE; }

async(int, a_crowd_fails)
{
    for (int i = 0; i < 1000; i++)
        even_detach(create_task(fails_like_the_others()));
    return await(even_sleep(0.001));
}

TEST(a_crowd_of_tasks_that_fail_is_no_flood, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(a_crowd_fails()), 0);
    assert_int_equal(lines_with("failed with EPIPE"), 11);
    assert_reported("990 more like this were not told: ");
}

/* ---- mistakes that would have been crashes ---- */

async(int, naps) { return await(even_sleep(0.001)); }

async(int, gives_up_too_often)
{
    __auto_type anna = create_task(naps(), .name = "Anna");
    even_detach(anna);
    even_detach(anna);
    even_unref(&anna->base);
    say("%s", even_name(anna));
    return await(even_sleep(0.002));
}

TEST(a_task_given_up_too_often_goes_on, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(gives_up_too_often()), 0);
    assert_story("Anna");
    assert_reported("task 'Anna' (naps) was given up once too often");
    assert_int_equal(report_count(), 2);
}

async(int, gives_up_what_is_spent)
{
    __auto_type t = create_task(naps());
    await(t);
    even_detach(t);
    __auto_type twice = create_task(naps());
    say("%d", await(gather(twice, twice)) == -EVEN_ESPENT);
    return 0;
}

TEST(what_is_spent_is_given_up_too_often, .clean = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(gives_up_what_is_spent()), 0);
    assert_story("1");
    assert_reported("'naps' was given up once too often (even_detach()): it is spent");
    assert_reported("was given to a gather twice");
    assert_int_equal(report_count(), 2);
}

async(int, waits_on, (even_future *, f)) { return (int)await(f); }

async(int, gives_up_what_is_awaited)
{
    even_future *f = even_future_new(even_future);
    __auto_type waiter = create_task(waits_on(f));      /* has the one reference */
    await(even_sleep(0));
    even_detach(f);
    even_set_result(f, 7);
    say("%d", await(waiter));
    return 0;
}

TEST(a_future_given_up_under_its_waiter_stays, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(gives_up_what_is_awaited()), 0);
    assert_story("7");
    assert_reported("'future' (made at ");
    assert_reported("while somebody waits for it");
}

async(int, gives_up_a_read, (even_int_aw *, sleep)) { return await(sleep); }

async(int, gives_up_an_operation)
{
    even_int_aw *sleep = even_sleep(0.002);
    __auto_type t = create_task(gives_up_a_read(sleep));
    await(even_sleep(0));
    even_unref(&sleep->base);
    return await(t);
}

TEST(an_operation_given_up_while_it_is_awaited_stays, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(gives_up_an_operation()), 0);
    assert_reported("'sleep' (made at ");
    assert_int_equal(report_count(), 1);
}

static int runs;
static void count(even_handle *h) { (void)h; runs++; }

async(int, queues_twice)
{
    static even_handle h = EVEN_HANDLE(count), i = EVEN_HANDLE(count), j = EVEN_HANDLE(count);
    even_loop *loop = even_running_loop();
    even_call_soon(loop, &h);
    even_call_soon(loop, &h);
    say("%d", even_call_soon_threadsafe(loop, &h) == -EVEN_ESTATE);
    say("%d", even_call_soon_threadsafe(loop, &i));
    say("%d", even_call_soon_threadsafe(loop, &i) == -EVEN_ESTATE);
    even_call_soon(loop, &i);
    even_call_soon_threadsafe(loop, &j);
    say("%d", even_call_soon_threadsafe(loop, &i) == -EVEN_ESTATE);
    await(even_sleep(0.001));
    say("%d", runs);
    even_call_soon_threadsafe(loop, &i);    /* it has run, and may be used again */
    even_call_soon(loop, &h);
    await(even_sleep(0.001));
    say("%d", runs);
    return 0;
}

TEST(a_handle_queued_twice_runs_once, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(queues_twice()), 0);
    assert_story("1 0 1 1 3 5");
    assert_reported("even_call_soon: the handle is queued already");
    assert_reported("even_call_soon_threadsafe: the handle is queued already");
    assert_int_equal(report_count(), 5);
}

TEST(a_timer_of_another_loop_is_refused)
{
    even_loop *one = NULL, *other = NULL;
    even_timer t = EVEN_TIMER(count);
    capture_reports();
    assert_int_equal(even_loop_new(&one, NULL), 0);
    assert_int_equal(even_loop_new(&other, NULL), 0);
    assert_int_equal(even_call_later(one, &t, 0.001), 0);
    assert_int_equal(even_call_later(other, &t, 0.001), -EVEN_ESTATE);
    even_timer_cancel(other, &t);
    assert_reported("the timer is set in another loop");
    assert_int_equal(report_count(), 2);
    assert_true(even__loop_is_valid(one) && even__loop_is_valid(other));
    even_timer_cancel(one, &t);
    even_loop_close(one);
    even_loop_close(other);
}

TEST(a_timers_handle_queued_by_hand_runs_once)
{
    even_loop *loop = NULL;
    even_timer t = EVEN_TIMER(count);
    capture_reports();
    runs = 0;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_int_equal(even_call_later(loop, &t, 0), 0);
    even_call_soon(loop, &t.handle);
    for (int i = 0; i < 3; i++)
        assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(runs, 1);
    assert_reported("a timer that is due: the handle is queued already");
    assert_int_equal(report_count(), 1);
    assert_true(even__loop_is_valid(loop));
    even_loop_close(loop);
}

async(int, talks_to_the_template)
{
    char c[4];
    say("%d", await(even_read(EVEN_STREAM, c, 4)) == -EBADF);
    say("%d", await(even_read_exactly(EVEN_STREAM, c, 4)) == -EBADF);
    say("%d", await(even_read_until(EVEN_STREAM, c, 4, "\n", 1)) == -EBADF);
    say("%d", await(even_write(EVEN_STREAM, "a", 1)) == -EBADF);
    say("%d", await(even_write_all(EVEN_STREAM, "a", 1)) == -EBADF);
    say("%d", await(even_shutdown(EVEN_STREAM)) == -EBADF);
    say("%d", await(even_close(EVEN_STREAM)) == -EBADF);
    struct sockaddr_storage address;
    socklen_t length;
    say("%d %d", even_peer_name(EVEN_STREAM, &address, &length) == -EBADF, even_stream_fd(EVEN_STREAM));
    return 0;
}

TEST(the_template_of_a_stream_is_no_stream, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(talks_to_the_template()), 0);
    assert_story("1 1 1 1 1 1 1 1 -1");
    assert_int_equal(lines_with("EVEN_STREAM stands for a connection's stream"), 7);
}

async(int, handles, (even_stream *, s)) { return await(even_close(s)); }

async(int, uses_a_server_that_was_freed)
{
    even_server *s;
    struct sockaddr_storage address;
    socklen_t length;
    try_await(even_start_server(&s, handles(EVEN_STREAM), "127.0.0.1", 0));
    even_server_free(s);
    await(even_sleep(0.001));
    say("%d", even_server_port(s) == -EVEN_ESPENT);
    say("%d", even_server_name(s, &address, &length) == -EVEN_ESPENT);
    say("%zu", even_server_connections(s));
    even_server_close(s);
    even_server_close_clients(s);
    even_server_free(s);
    say("%d", await(even_server_wait_closed(s)) == -EVEN_ESPENT);
    say("%d", await(even_serve_forever(s)) == -EVEN_ESPENT);
    return 0;
}

async(int, uses_a_server_at_once_after_its_free)
{
    even_server *s;
    try_await(even_start_server(&s, handles(EVEN_STREAM), "127.0.0.1", 0));
    even_server_free(s);
    say("%d", even_server_port(s) == -EVEN_ESPENT);
    even_server_free(s);
    return 0;
}

TEST(a_server_is_given_up_at_once, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(uses_a_server_at_once_after_its_free()), 0);
    assert_story("1");
    assert_int_equal(lines_with("the server was given up before, by even_server_free()"), 2);
}

TEST(a_server_that_was_freed_is_named)
{
    capture_reports();
    assert_int_equal(even_run(uses_a_server_that_was_freed()), 0);
    assert_story("1 1 0 1 1");
    assert_int_equal(lines_with("the server was given up before, by even_server_free()"), 8);
}

/* ---- the end of main ---- */

async(int, gives, (int, n)) { return n; }
async(void, gives_nothing) {}
async(void, fails_with_nothing) { even_fail(-EIO); }
async(const char *, gives_text) { return "text"; }
async(ssize_t, gives_bytes) { return 300; }
async(int, gives_a_value) { return even_value(-2); }

TEST(even_main_gives_an_exit_status)
{
    capture_reports();
    assert_int_equal(even_main(gives(0)), 0);
    assert_int_equal(even_main(gives(3)), 3);
    assert_int_equal(even_main(gives_nothing()), 0);
    assert_int_equal(even_main(gives_text()), 0);
    assert_int_equal(even_main(gives_bytes()), 0);
    assert_int_equal(even_main(gives_a_value()), -2);
    assert_no_report();
    assert_int_equal(even_main(gives(-ECONNREFUSED)), 1);
    assert_reported("the main task 'Task-1' (gives) failed with ECONNREFUSED (Connection refused)");
    assert_int_equal(even_main(fails_with_nothing()), 1);
    assert_int_equal(even_main(wait_for(even_sleep(1), 0.001)), 1);
    assert_reported("failed with ETIMEDOUT");
    assert_int_equal(even_main(gives(0), .backend = "kqueue"), 1);
    assert_reported("kqueue");
}

static void interrupt(even_handle *h)
{
    (void)h;
    raise(SIGINT);
}

async(int, is_interrupted, (even_timer *, timer))
{
    int rc = even_call_later(even_running_loop(), timer, 0.001);
    return rc < 0 ? rc : await(even_sleep(100));
}

static bool left_by_exit;
static void leave_a_byte(void)
{
    if (left_by_exit)
        (void)!write(1, "x", 1);
}

/* A program that ends so; what it leaves: its status, and whether its atexit() functions ran and stdout was written. */
static int status_of_a_program(bool ignores, char *out, size_t size)
{
    int fds[2], status = -1;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        even_timer timer = EVEN_TIMER(interrupt);
        dup2(fds[1], 1);
        left_by_exit = true;
        atexit(leave_a_byte);
        printf("buffered");
        int code = even_main(is_interrupted(&timer));
        exit(code != 130 ? 9 : ignores ? 0 : code);
    }
    close(fds[1]);
    ssize_t n = 0, part;
    while ((part = read(fds[0], out + n, size - 1 - (size_t)n)) > 0)
        n += part;
    out[n] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

TEST(a_program_that_sigint_ended_dies_of_it, .on = TEST_KERNEL, .no_faults = true)
{
    char out[100];
    int status = status_of_a_program(false, out, sizeof out);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
    assert_true(strstr(out, "buffered") && strchr(out, 'x'));
    status = status_of_a_program(true, out, sizeof out);    /* its main() gives another status */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

TEST(an_interrupt_is_told_as_one, .on = TEST_KERNEL)
{
    even_timer timer = EVEN_TIMER(interrupt);
    capture_reports();
    assert_int_equal(even_main(is_interrupted(&timer)), 130);
    assert_reported("was interrupted by SIGINT");
    assert_int_equal(report_count(), 1);
}

async(ssize_t, gives_many) { return 42; }

TEST(a_run_of_what_is_spent_fails, .clean = true)
{
    capture_reports();
    __auto_type x = gives(42);
    assert_int_equal(even_run(x), 42);
    assert_int_equal(even_run(x), -EVEN_ESPENT);
    __auto_type y = gives_many();
    assert_int_equal(even_run(y), 42);
    assert_int_equal(even_run(y), -EVEN_ESPENT);
    assert_int_equal(even_main(y), 1);
    assert_int_equal(lines_with("cannot be run here"), 3);
}

async(int, wants_too_large_a_stack) { return await(create_task(gives(1), .stack_size = (size_t)65 << 20)); }

TEST(too_large_a_stack_is_named)
{
    capture_reports();
    assert_int_equal(even_run(wants_too_large_a_stack()), -EINVAL);
    assert_reported("(gives) wants a stack of 68157440 bytes; the largest has 64 MiB");
}
