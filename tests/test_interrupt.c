/* SIGINT, SIGTERM and SIGPIPE in a run. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "child.h"
#include "runs.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* ---- the first one ---- */

async(int, interrupted, (bool, handles))
{
    raise(SIGINT);
    int rc = await(even_sleep(60));
    say("%s", even_errname(rc));
    if (!handles)
        return rc;
    even_uncancel(NULL);
    rc = await(even_sleep(0.001));
    say("%d", rc);
    return 4;
}

TEST(the_first_sigint_cancels_main, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(interrupted(false)), -EINTR);
    assert_int_equal(even_status(), -EINTR);
    assert_story("ECANCELED");
}

TEST(a_body_may_handle_it, .on = TEST_KERNEL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(interrupted(true)), 4);
    assert_story("ECANCELED 0");
    assert_no_report();
}

TEST(sigint_in_each_of_two_runs, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(interrupted(false)), -EINTR);
    assert_int_equal(even_run(interrupted(false)), -EINTR);
    assert_int_equal(even_run(gives(0, 3)), 3);
}

/* ---- a second one, SIGTERM ---- */

async(int, terminated) { raise(SIGTERM); int rc = await(even_sleep(60)); say("%s", even_errname(rc)); return rc; }

TEST(sigterm_is_as_sigint, .on = TEST_KERNEL, .clean = true)
{
    capture_reports();
    assert_int_equal(even_run(terminated()), -EINTR);
    assert_story("ECANCELED");
    assert_reported("was interrupted by SIGTERM");
}

async(int, interrupted_twice)
{
    raise(SIGINT);
    await(even_sleep(60));
    say("%s", even_errname(even_status()));
    await(even_sleep(0.001));
    say("%d", even_status());
    raise(SIGTERM);
    await(even_sleep(60));
    say("%s", even_errname(even_status()));
    await(even_sleep(60));
    say("%s", even_errname(even_status()));
    return -ECANCELED;
}

static char *shared_story;

static void run_twice_interrupted(void)
{
    even_run(interrupted_twice());
}

async(int, tells_the_parent)
{
    int rc = await(interrupted_twice());
    memcpy(shared_story, story, sizeof story);
    return rc;
}

static void run_and_tell(void)
{
    even_run(tells_the_parent());
}

/* It is told at each await, and when the run is over the program dies of the second signal. */
TEST(the_second_signal_is_urgent, .on = TEST_KERNEL, .no_faults = true)
{
    shared_story = mmap(NULL, sizeof story, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = status_of_child(run_and_tell);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_string_equal(shared_story, "ECANCELED 0 ECANCELED ECANCELED");
    munmap(shared_story, sizeof story);
    status = status_of_child(run_twice_interrupted);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

async(int, cleans_up_long) { await(even_sleep(60)); await(even_sleep(60)); say("%s", even_errname(even_status())); return 0; }
async(int, raises_late) { await(even_sleep(60)); raise(SIGINT); return -ECANCELED; }
async(int, leaves_long_cleanup)
{
    even_detach(create_task(cleans_up_long()));
    even_detach(create_task(raises_late()));
    await(even_sleep(0));
    return 3;
}

TEST(a_signal_after_the_end_of_main_is_urgent_at_once, .on = TEST_KERNEL, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(leaves_long_cleanup()), 3);
    assert_story("ECANCELED");
}

async(int, goes_on_for_a_while)
{
    raise(SIGINT);
    await(even_sleep(60));
    even_uncancel(NULL);
    int rc = await(even_sleep(0.02));      /* longer than the time of grace */
    raise(SIGINT);                          /* as a first one */
    rc = rc ? rc : await(even_sleep(60));
    say("%s", even_errname(rc));
    return rc;
}

TEST(a_request_that_main_took_back_ends_nothing, .on = TEST_KERNEL, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(goes_on_for_a_while(), .grace = 0.001), -EINTR);
    assert_story("ECANCELED");
}

async(int, main_never_ends) { for (;;) await(even_sleep(60)); return 0; }
async(int, raises_and_never_ends) { raise(SIGTERM); return await(main_never_ends()); }

TEST(a_main_task_that_never_ends_is_given_up, .on = TEST_KERNEL, .leaks_ok = true, .no_faults = true)
{
    capture_reports();
    assert_int_equal(even_run(raises_and_never_ends(), .grace = 0.001), -EVEN_ESTUCK);
    assert_reported("went on through a hundred cancellations and is given up");
}

async(int, raises_sigterm) { raise(SIGTERM); return await(even_sleep(0.001)); }
static void run_without_sigterm(void) { even_run(raises_sigterm(), .stop_on = EVEN_STOP_ON_SIGINT); }
static void run_without_any(void) { even_run(raises_sigterm(), .stop_on = EVEN_STOP_ON_NONE); }

TEST(a_signal_that_is_not_wanted_is_as_before, .on = TEST_KERNEL, .no_faults = true)
{
    int status = status_of_child(run_without_sigterm);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = status_of_child(run_without_any);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

async(int, interrupted_while_it_blocks)
{
    raise(SIGINT);
    raise(SIGINT);
    return 0;
}

static void run_interrupted_twice(void)
{
    even_run(interrupted_while_it_blocks());
}

TEST(a_second_sigint_that_the_loop_does_not_hear_ends_the_program, .on = TEST_KERNEL, .no_faults = true)
{
    int status = status_of_child(run_interrupted_twice);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static void run_and_raise(void)
{
    even_run(gives(0, 1));
    raise(SIGINT);
}

TEST(after_a_run_sigint_is_as_before, .on = TEST_KERNEL, .no_faults = true)
{
    int status = status_of_child(run_and_raise);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static volatile sig_atomic_t handled;
static void own_handler(int number) { handled = number; }

async(int, raises) { raise(SIGINT); return await(even_sleep(0.001)); }

TEST(a_programs_own_handler_stays, .on = TEST_KERNEL, .clean = true)
{
    signal(SIGINT, own_handler);
    assert_int_equal(even_run(raises()), 0);
    assert_int_equal(handled, SIGINT);
}

async(int, writes_to_nobody)
{
    int fds[2];
    if (pipe(fds) < 0)
        return 1;
    close(fds[0]);
    long n = write(fds[1], "x", 1);
    int error = errno;
    close(fds[1]);
    return n < 0 && error == EPIPE ? 0 : 2;
}

TEST(sigpipe_never_kills, .clean = true)
{
    assert_int_equal(even_run(writes_to_nobody()), 0);
}

static pthread_barrier_t both_run, first_over;

async(int, short_run) { pthread_barrier_wait(&both_run); return 0; }
async(int, long_run)
{
    pthread_barrier_wait(&both_run);
    pthread_barrier_wait(&first_over);
    return await(writes_to_nobody());
}

static void *runs_longer(void *result)
{
    *(int *)result = even_run(long_run());
    return NULL;
}

TEST(sigpipe_does_not_kill_while_any_loop_runs, .no_faults = true)
{
    pthread_t thread;
    int result = -1;
    pthread_barrier_init(&both_run, NULL, 2);
    pthread_barrier_init(&first_over, NULL, 2);
    pthread_create(&thread, NULL, runs_longer, &result);
    int mine = even_run(short_run());
    pthread_barrier_wait(&first_over);
    pthread_join(thread, NULL);
    assert_int_equal(mine, 0);
    assert_int_equal(result, 0);
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    assert_true(now.sa_handler == SIG_DFL);
}
