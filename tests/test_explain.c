/* The narrator, beyond the notes' programs (tests/test_golden.py has those): failures, cancellation, time-outs, futures,
 * descriptors. */
#define TEST_ON TEST_SIM
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include "test.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char narration[8192];
static int real_stderr, captured;

/* Standard error into memory. The narrator asks for EVENLOOP_EXPLAIN once in a process; each test has its own. */
static void listen_to(const char *value)
{
    setenv("EVENLOOP_EXPLAIN", value, 1);
    fflush(stderr);
    real_stderr = dup(2);
    captured = memfd_create("narration", MFD_CLOEXEC);
    assert_true(real_stderr >= 0 && captured >= 0 && dup2(captured, 2) == 2);
}

/* What was told, without the lines of source. */
static void stop_listening(void)
{
    fflush(stderr);
    assert_int_equal(dup2(real_stderr, 2), 2);
    close(real_stderr);
    ssize_t n = pread(captured, narration, sizeof narration - 1, 0);
    assert_true(n >= 0);
    narration[n] = 0;
    close(captured);
    for (char *at; (at = strstr(narration, "  ("));) {
        char *end = strchr(at, '\n');
        memmove(at, end, strlen(end) + 1);
    }
}

#define assert_told(main, text)                                                                                        \
    do {                                                                                                               \
        listen_to("1");                                                                                                \
        (void)even_run(main);                                                                                          \
        stop_listening();                                                                                              \
        if (test_fault_fired())                                                                                        \
            return;                                                                                                    \
        assert_string_equal(narration, text);                                                                          \
    } while (0)

async(int, nap, (double, delay))
{
    try_await(even_sleep(delay));
    return 0;
}

async(int, fail_after, (double, delay), (int, status))
{
    try_await(even_sleep(delay));
    return status;
}

async(int, nothing)
{
    return 0;
}

TEST(off_unless_asked_for)
{
    listen_to("0");
    assert_int_equal(even_run(nothing()), 0);
    stop_listening();
    assert_string_equal(narration, "");
}

TEST(the_least)
{
    assert_told(nothing(),
        "   0.000  the loop begins, with one task: Task-1 (nothing)\n"
        "   0.000  Task-1 (nothing) begins\n"
        "   0.000  Task-1 (nothing) ends\n"
        "   0.000  the loop ends: 1 task, 1 turn; it slept for 0 of 0 s\n");
}

async(int, awaits_a_failure)
{
    await(fail_after(0.5, -EIO));
    __auto_type t = create_task(fail_after(0.5, -ECONNRESET), .name = "reader");
    await(t);
    return 0;
}

TEST(failures_and_names)
{
    assert_told(awaits_a_failure(),
        "   0.000  the loop begins, with one task: Task-1 (awaits_a_failure)\n"
        "   0.000  Task-1 (awaits_a_failure) begins\n"
        "   0.000  Task-1 awaits the coroutine fail_after: a call on its own stack; no task is made, the loop is not"
        " asked\n"
        "   0.000  Task-1 sets a timer for 0.5 s, and waits for it: it leaves a \"wake me up\" there, and gives"
        " control to the"
        " loop\n"
        "   0.000  nothing is ready: the loop sleeps until the first timer, 0.5 s from now, at no cost\n"
        "   0.500  Task-1's timer is due: its wake-up is scheduled, not called (it queues with all that is ready),"
        " and it goes"
        " on in its turn\n"
        "   0.500  the coroutine fail_after returns to awaits_a_failure, with a failure: Input/output error\n"
        "   0.500  Task-1 creates reader (fail_after): registered with the loop; it does not run yet, and its maker"
        " goes on\n"
        "   0.500  Task-1 waits for reader\n"
        "   0.500  reader (fail_after) begins\n"
        "   0.500  reader sets a timer for 0.5 s, and waits for it\n"
        "   0.500  nothing is ready: the loop sleeps until the first timer, 0.5 s from now\n"
        "   1.000  reader's timer is due: its wake-up is scheduled, and it goes on in its turn\n"
        "   1.000  reader (fail_after) ends, with a failure: Connection reset by peer\n"
        "   1.000  Task-1 waited for reader: its wake-up is scheduled, and it goes on in its turn\n"
        "   1.000  Task-1 (awaits_a_failure) ends\n"
        "   1.000  the loop ends: 2 tasks, 5 turns; it slept for 1 of 1 s\n");
}

async(int, cancels)
{
    __auto_type t = create_task(nap(10));
    await(even_sleep(0));
    even_cancel(t);
    await(t);
    even_detach(create_task(nap(10)));
    await(even_sleep(0));
    return 0;       /* the last one still runs */
}

TEST(cancellations)
{
    assert_told(cancels(),
        "   0.000  the loop begins, with one task: Task-1 (cancels)\n"
        "   0.000  Task-1 (cancels) begins\n"
        "   0.000  Task-1 creates Task-2 (nap): registered with the loop; it does not run yet, and its maker goes on\n"
        "   0.000  Task-1 lets the others go first: it goes to the end of the queue of what is ready\n"
        "   0.000  Task-2 (nap) begins\n"
        "   0.000  Task-2 sets a timer for 10 s, and waits for it: it leaves a \"wake me up\" there, and gives"
        " control to the"
        " loop\n"
        "   0.000  Task-1 (cancels) goes on\n"
        "   0.000  Task-1 asks Task-2 to cancel: a request, delivered at the await that it is in\n"
        "   0.000  Task-2's sleep is canceled: its wake-up is scheduled, not called (it queues with all that is"
        " ready)\n"
        "   0.000  Task-1 waits for Task-2\n"
        "   0.000  Task-2 (nap) goes on\n"
        "   0.000  Task-2 is told that it is canceled\n"
        "   0.000  Task-2 (nap) ends, canceled\n"
        "   0.000  Task-1 waited for Task-2: its wake-up is scheduled, and it goes on in its turn\n"
        "   0.000  Task-1 creates Task-3 (nap)\n"
        "   0.000  Task-1 lets the others go first\n"
        "   0.000  Task-3 (nap) begins\n"
        "   0.000  Task-3 sets a timer for 10 s, and waits for it\n"
        "   0.000  Task-1 (cancels) goes on\n"
        "   0.000  Task-1 (cancels) ends\n"
        "   0.000  the end of the main task asks Task-3 to cancel\n"
        "   0.000  Task-3's sleep is canceled: its wake-up is scheduled, and it goes on in its turn\n"
        "   0.000  Task-3 is told that it is canceled\n"
        "   0.000  Task-3 (nap) ends, canceled\n"
        "   0.000  the loop ends: 3 tasks, 8 turns; it slept for 0 of 0 s\n");
}

async(int, times_out)
{
    await(wait_for(nap(10), 1.5));
    return 0;
}

TEST(a_time_out)
{
    assert_told(times_out(),
        "   0.000  the loop begins, with one task: Task-1 (times_out)\n"
        "   0.000  Task-1 (times_out) begins\n"
        "   0.000  Task-1 awaits the coroutine wait_for: a call on its own stack; no task is made, the loop is not"
        " asked\n"
        "   0.000  Task-1 awaits the coroutine nap\n"
        "   0.000  Task-1 sets a timer for 10 s, and waits for it: it leaves a \"wake me up\" there, and gives"
        " control to the"
        " loop\n"
        "   0.000  nothing is ready: the loop sleeps until the first timer, 1.5 s from now, at no cost\n"
        "   1.500  a timer is due, which asks Task-1 to cancel: a request, delivered at the await that it is in\n"
        "   1.500  Task-1's sleep is canceled: its wake-up is scheduled, not called (it queues with all that is"
        " ready), and it"
        " goes on in its turn\n"
        "   1.500  Task-1 is told that it is canceled\n"
        "   1.500  the coroutine nap returns to wait_for, canceled\n"
        "   1.500  the coroutine wait_for returns to times_out, with a failure: Connection timed out\n"
        "   1.500  Task-1 (times_out) ends\n"
        "   1.500  the loop ends: 1 task, 2 turns; it slept for 1.5 of 1.5 s\n");
}

async(int, completes, (even_future *, f))
{
    even_set_result(f, 42);
    return 0;
}

async(int, waits_for_a_future)
{
    even_future *f = even_ref(even_future_new(even_future));
    even_detach(create_task(completes(f)));
    int rc = await(f) == 42 ? 0 : -EINVAL;
    even_detach(f);
    await(create_task(even_sleep(0.25)));
    return rc;
}

TEST(a_future_and_a_sleep_as_a_task)
{
    assert_told(waits_for_a_future(),
        "   0.000  the loop begins, with one task: Task-1 (waits_for_a_future)\n"
        "   0.000  Task-1 (waits_for_a_future) begins\n"
        "   0.000  Task-1 creates Task-2 (completes): registered with the loop; it does not run yet, and its maker"
        " goes on\n"
        "   0.000  Task-1 waits for the future: it leaves a \"wake me up\" there, and gives control to the loop\n"
        "   0.000  Task-2 (completes) begins\n"
        "   0.000  Task-2 completes the future\n"
        "   0.000  Task-1 waited for the future: its wake-up is scheduled, not called (it queues with all that is"
        " ready)\n"
        "   0.000  Task-2 (completes) ends\n"
        "   0.000  Task-1 (waits_for_a_future) goes on\n"
        "   0.000  Task-1 creates Task-3 (sleep)\n"
        "   0.000  Task-1 waits for Task-3\n"
        "   0.000  Task-3 (sleep) begins\n"
        "   0.000  Task-3 sets a timer for 0.25 s\n"
        "   0.000  nothing is ready: the loop sleeps until the first timer, 0.25 s from now, at no cost\n"
        "   0.250  Task-3's timer is due\n"
        "   0.250  Task-3 (sleep) ends\n"
        "   0.250  Task-1 waited for Task-3: its wake-up is scheduled, and it goes on in its turn\n"
        "   0.250  Task-1 (waits_for_a_future) ends\n"
        "   0.250  the loop ends: 3 tasks, 5 turns; it slept for 0.25 of 0.25 s\n");
}

async(int, echo, (even_stream *, s))
{
    char buffer[64];
    ssize_t n;
    while ((n = await(even_read(s, buffer, sizeof buffer))) > 0)
        if ((n = await(even_write_all(s, buffer, (size_t)n))) < 0)
            break;
    return (int)n;
}

async(int, talks)
{
    even_server *server;
    even_stream *s;
    char buffer[64];
    try_await(even_start_server(&server, echo(EVEN_STREAM), "127.0.0.1", 0));
    int rc = await(even_open_connection(&s, "127.0.0.1", even_server_port(server)));
    if (rc == 0) {
        ssize_t n = await(even_write_all(s, "hello\n", 6));
        if (n == 6)
            n = await(even_read_until(s, buffer, sizeof buffer, "\n", 1));
        rc = n == 6 ? 0 : -EIO;
        await(even_close(s));
    }
    even_server_free(server);
    return rc;
}

TEST(which_descriptor_woke_whom, .on = TEST_ALL)
{
    listen_to("1");
    int rc = even_run(talks());
    stop_listening();
    if (test_fault_fired())
        return;
    assert_int_equal(rc, 0);
    int client;
    const char *waits = strstr(narration, "Task-1 waits for its open_connection on descriptor ");
    assert_non_null(waits);
    assert_int_equal(sscanf(waits, "Task-1 waits for its open_connection on descriptor %d", &client), 1);
    char line[128];
    snprintf(line, sizeof line, "Task-1's read_until on descriptor %d is done: its wake-up is scheduled", client);
    assert_non_null(strstr(narration, line));
    const char *reads = strstr(narration, "Task-3 waits for its read on descriptor ");
    assert_non_null(reads);
    snprintf(line, sizeof line, "Task-3's read on descriptor %d is done: its wake-up is scheduled",
             atoi(reads + strlen("Task-3 waits for its read on descriptor ")));
    assert_non_null(strstr(reads, line));
}

TEST(two_runs_explain_an_idea_once)
{
    listen_to("1");
    (void)even_run(nap(1));
    (void)even_run(nap(1));
    stop_listening();
    if (test_fault_fired())
        return;
    const char *first = strstr(narration, "wake me up");
    assert_non_null(first);
    assert_null(strstr(first + 1, "wake me up"));
    const char *second = strstr(first, "   0.000  the loop begins, with one task: Task-1 (nap)\n");
    assert_non_null(second);
}

async(int, long_name)
{
    char name[1000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    even_set_name(even_current_task(), name);
    return await(even_sleep(1));
}

TEST(long_names_do_not_break_lines)
{
    listen_to("1");
    (void)even_run(long_name());
    stop_listening();
    for (const char *line = narration, *end; *line; line = end + 1) {
        int decimals = 0;
        assert_non_null(end = strchr(line, '\n'));
        assert_int_equal(sscanf(line, "%*d.%*3d%n", &decimals), 0);
        assert_int_equal(decimals, 8);
        assert_true(end - line < 500);
    }
}
