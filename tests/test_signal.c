/* Signals that are told in the loop's thread. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <evenloop/process.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

static volatile sig_atomic_t noted;

static void note(int number)
{
    (void)number;
    noted++;
}

/* A watch that counts, and stops its loop when it has been told as often as wanted. */
struct told {
    even_signal signal;
    int count, stop_at, place;
    bool raise_again;
};

static void told(even_handle *h)
{
    struct told *t = even_container_of(h, struct told, signal.handle);
    t->place = __atomic_add_fetch(&over, 1, __ATOMIC_RELAXED);    /* by several threads, in one test */
    if (t->raise_again) {
        t->raise_again = false;
        raise(t->signal.number);
    }
    if (++t->count == t->stop_at)
        even_loop_stop(t->signal.loop);
}

static void start(struct told *t, int number)
{
    *t = (struct told){ .stop_at = 1 };
    assert_int_equal(even_signal_start(loop, &t->signal, number, told), 0);
}

static void *kill_later(void *data)
{
    while (!atomic_load_explicit(&loop->door.asleep, memory_order_acquire))
        sched_yield();
    kill(getpid(), *(int *)data);
    return NULL;
}

TEST(a_signal_wakes_the_loop)
{
    struct told t;
    int number = SIGUSR1;
    pthread_t thread;
    open_loop();
    start(&t, number);
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &number), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    pthread_join(thread, NULL);
    assert_int_equal(t.count, 1);
    even_signal_stop(&t.signal);
    close_loop();
}

TEST(one_that_came_before_the_run_is_told_in_it)
{
    struct told t;
    open_loop();
    start(&t, SIGTERM);
    raise(SIGTERM);
    assert_int_equal(t.count, 0);       /* never from inside the handler */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(t.count, 1);
    even_signal_stop(&t.signal);
    close_loop();
}

TEST(what_comes_before_it_is_told_is_one)
{
    struct told t;
    open_loop();
    start(&t, SIGUSR1);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    pump();
    assert_int_equal(t.count, 1);
    t.raise_again = true;       /* while it is being told: that is another one */
    raise(SIGUSR1);
    pump();
    assert_int_equal(t.count, 3);
    even_signal_stop(&t.signal);
    close_loop();
}

TEST(several_watches_are_told_in_the_order_of_their_starts)
{
    struct told t[4];
    open_loop();
    for (int i = 0; i < 3; i++)
        start(&t[i], SIGUSR1);
    start(&t[3], SIGUSR2);
    raise(SIGUSR1);
    pump();
    assert_true(t[0].place < t[1].place && t[1].place < t[2].place);
    assert_int_equal(t[3].count, 0);
    even_signal_stop(&t[1].signal);
    raise(SIGUSR1);
    raise(SIGUSR2);
    pump();
    assert_int_equal(t[0].count, 2);
    assert_int_equal(t[1].count, 1);
    assert_int_equal(t[2].count, 2);
    assert_int_equal(t[3].count, 1);
    for (int i = 0; i < 4; i++)
        even_signal_stop(&t[i].signal);     /* one of them for the second time */
    close_loop();
}

static struct {
    pthread_barrier_t started;
    int rc, count;
} second;

static void *second_loop(void *data)
{
    even_loop *l = NULL;
    struct told t = { .stop_at = 1 };
    (void)data;
    second.rc = even_loop_new(&l, NULL);
    if (second.rc == 0)
        second.rc = even_signal_start(l, &t.signal, SIGUSR1, told);
    pthread_barrier_wait(&second.started);
    if (second.rc == 0) {
        second.rc = even_loop_run_forever(l);
        even_signal_stop(&t.signal);
    }
    second.count = t.count;
    even_loop_close(l);
    return NULL;
}

TEST(the_loops_of_several_threads_are_told)
{
    struct told t;
    pthread_t thread;
    open_loop();
    start(&t, SIGUSR1);
    pthread_barrier_init(&second.started, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, second_loop, NULL), 0);
    pthread_barrier_wait(&second.started);
    kill(getpid(), SIGUSR1);
    int rc = even_loop_run_forever(loop);
    pthread_join(thread, NULL);
    even_signal_stop(&t.signal);
    close_loop();
    assert_int_equal(rc, 0);
    assert_int_equal(t.count, 1);
    assert_int_equal(second.rc, 0);
    assert_int_equal(second.count, 1);
}

TEST(a_stopped_watch_is_not_told)
{
    struct told t[2];
    open_loop();
    for (int i = 0; i < 3; i++) {
        start(&t[0], SIGUSR1);
        start(&t[1], SIGUSR1);
        raise(SIGUSR1);     /* it is on its way */
        if (i == 1)
            (void)even_loop_timeout(loop);
        if (i == 2)
            even__door_take(loop);     /* or stands in the queue */
        even_signal_stop(&t[0].signal);
        pump();
        assert_int_equal(t[0].count, 0);
        assert_int_equal(t[1].count, 1);
        even_signal_stop(&t[1].signal);
    }
    close_loop();
}

static void handler_is(int number, void (*handler)(int))
{
    struct sigaction now;
    assert_int_equal(sigaction(number, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, handler);
}

TEST(the_last_watch_gives_the_disposition_back)
{
    struct told t[2];
    void (*const before[])(int) = { SIG_DFL, SIG_IGN, note };
    open_loop();
    for (int i = 0; i < 3; i++) {
        signal(SIGUSR1, before[i]);
        start(&t[0], SIGUSR1);
        start(&t[1], SIGUSR1);
        even_signal_stop(&t[0].signal);
        raise(SIGUSR1);
        pump();
        assert_int_equal(t[1].count, 1);
        even_signal_stop(&t[1].signal);
        handler_is(SIGUSR1, before[i]);
    }
    raise(SIGUSR1);
    assert_int_equal(noted, 1);
    start(&t[0], SIGUSR1);      /* and what somebody else set meanwhile is his */
    signal(SIGUSR1, SIG_IGN);
    even_signal_stop(&t[0].signal);
    handler_is(SIGUSR1, SIG_IGN);
    close_loop();
}

TEST(some_signals_are_refused)
{
    static const int numbers[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 0, -1, 65, 1000 };
    struct told t;
    open_loop();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(even_signal_start(loop, &t.signal, numbers[i], told), -EINVAL);
        even_signal_stop(&t.signal);    /* nothing */
    }
    close_loop();
}

/* A child of fork has a copy of the loop and its descriptors, not the loop: what is told there must not be told here. */
TEST(the_child_of_a_fork_does_not_wake_its_parent)
{
    struct told t;
    int status;
    open_loop();
    start(&t, SIGUSR1);
    pump();
    (void)even_loop_timeout(loop);      /* the loop says that it sleeps: a push would write to its descriptor */
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGUSR1);
        raise(SIGUSR1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct pollfd p = { even_loop_fd(loop), POLLIN, 0 };
    assert_int_equal(poll(&p, 1, 0), 0);
    pump();
    assert_int_equal(t.count, 0);
    raise(SIGUSR1);
    pump();
    assert_int_equal(t.count, 1);
    even_signal_stop(&t.signal);
    close_loop();
}

/* It may watch signals itself, with a loop of its own. */
TEST(the_child_of_a_fork_has_watches_of_its_own)
{
    struct told t;
    int status;
    open_loop();
    start(&t, SIGUSR1);
    pid_t pid = fork();
    if (pid == 0) {
        even_loop *parents = loop;
        struct told mine = { .stop_at = 1 };
        if (even_loop_new(&loop, NULL) < 0 || even_signal_start(loop, &mine.signal, SIGUSR1, told) < 0)
            _exit(1);
        raise(SIGUSR1);
        if (even_loop_run_forever(loop) < 0 || mine.count != 1 || t.count != 0)
            _exit(2);
        even_signal_stop(&mine.signal);
        even_loop_close(loop);
        even_signal_stop(&t.signal);
        even_loop_close(parents);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    even_signal_stop(&t.signal);
    close_loop();
}

static int quiet[2];

static void *blocked_in_a_read(void *data)
{
    char byte;
    *(ssize_t *)data = read(quiet[0], &byte, 1) == 1 ? 1 : -errno;
    return NULL;
}

TEST(calls_of_other_threads_are_not_interrupted)
{
    struct told t;
    pthread_t thread;
    ssize_t got = 0;
    open_loop();
    start(&t, SIGUSR1);
    t.stop_at = 0;
    assert_int_equal(pipe2(quiet, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&thread, NULL, blocked_in_a_read, &got), 0);
    for (int i = 0; i < 20; i++) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    put(quiet[1], "x");
    pthread_join(thread, NULL);
    assert_int_equal(got, 1);
    pump();
    assert_true(t.count >= 1);
    even_signal_stop(&t.signal);
    close_loop();
    close_pair(quiet);
}

/* Signals come while watches start and stop, here and in another thread. */
static volatile int storm_over;

static void *storm(void *data)
{
    (void)data;
    while (!__atomic_load_n(&storm_over, __ATOMIC_ACQUIRE)) {
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

TEST(watches_start_and_stop_in_a_storm)
{
    struct told steady, t;
    pthread_t thread;
    int last;
    open_loop();
    start(&steady, SIGUSR1);
    steady.stop_at = 0;
    assert_int_equal(pthread_create(&thread, NULL, storm, NULL), 0);
    int failed = 0;
    for (int i = 0; i < 2000 && !failed; i++) {
        t = (struct told){ .stop_at = 0 };
        failed |= even_signal_start(loop, &t.signal, SIGUSR1, told);
        failed |= even_loop_step(loop);
        even_signal_stop(&t.signal);
        if (i % 100 == 0) {
            pid_t pid = fork();
            if (pid == 0)
                _exit(0);
            failed |= pid < 0 || waitpid(pid, NULL, 0) != pid;
        }
    }
    __atomic_store_n(&storm_over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(failed, 0);
    pump();
    assert_true(steady.count > 0);
    last = steady.count;
    raise(SIGUSR1);
    pump();
    assert_int_equal(steady.count, last + 1);
    even_signal_stop(&steady.signal);
    close_loop();
}

TEST(signals_have_no_simulation, .on = TEST_SIM)
{
    struct told t;
    open_loop();
    assert_int_equal(even_signal_start(loop, &t.signal, SIGUSR1, told), -EOPNOTSUPP);
    even_signal_stop(&t.signal);
    close_loop();
}
