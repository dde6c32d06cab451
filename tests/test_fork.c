/* The child of a fork, and the loop that it has a copy of. */
#define EVEN_SHORT_NAMES
#include "test.h"
#include "loop/loop.h"
#include "thread/pool.h"
#include <evenloop.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_non_null(loop);
    return loop;
}

static void close_loop(even_loop *loop)
{
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_loop_close(loop), 0);
}

static void op_stop(even_handle *h) { even_loop_stop(even_container_of(h, even_op, handle)->loop); }
static void watch_stop_loop(even_handle *h) { even_loop_stop(even_container_of(h, even_watch, handle)->loop); }

TEST(the_child_of_a_fork_may_only_close, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    int pair[2], watched[2], status = 0;
    char byte = 0;
    even_op op;
    even_watch watch;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, watched), 0);
    even_op_init(&op, loop, op_stop);
    even_op_recv(&op, pair[0], &byte, 1, 0);
    assert_int_equal(even_watch_start(loop, &watch, watched[0], POLLIN, watch_stop_loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_true(even_op_is_pending(&op));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int wrong = 0;
        wrong |= even_loop_run_forever(loop) != -EVEN_EFORK;
        wrong |= (even_loop_step(loop) != -EVEN_EFORK) << 1;
        wrong |= (even_loop_close(loop) != 0) << 2;
        wrong |= even_op_is_pending(&op) << 3;
        _exit(wrong);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(write(pair[1], "z", 1), 1);            /* the parent's have not suffered */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(op.result, 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(write(watched[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    even_watch_stop(&watch);
    close_loop(loop);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(watched[i]);
    }
}

/* Forked in the middle of a run, and going on as if it were not: it starts, cancels and stops what it likes. */
struct forking {
    even_handle handle;
    even_loop *loop;
    even_op *receive, *other;
    even_watch *watch;
    int fd;
    pid_t child;
    bool in_child;
};

static void fork_in_a_run(even_handle *h)
{
    struct forking *f = even_container_of(h, struct forking, handle);
    even_watch more;
    fflush(NULL);
    f->child = fork();
    if (f->child == 0) {
        f->in_child = true;
        even_op_poll(f->other, f->fd, POLLIN);
        even_op_cancel(f->receive);
        even_watch_stop(f->watch);
        if (even_watch_start(f->loop, &more, f->fd, POLLOUT, watch_stop_loop) != -EVEN_EFORK)
            _exit(9);
    }
    even_loop_stop(f->loop);
}

static void nothing(even_handle *h) { (void)h; }

TEST(a_child_forked_in_a_run_leaves_what_the_parent_has, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    int pair[2], watched[2], status = 0;
    char byte = 0;
    even_op op, other;
    even_watch watch;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, watched), 0);
    even_op_init(&op, loop, op_stop);
    even_op_init(&other, loop, nothing);
    even_op_recv(&op, pair[0], &byte, 1, 0);
    assert_int_equal(even_watch_start(loop, &watch, watched[0], POLLIN, watch_stop_loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_true(even_op_is_pending(&op));
    struct forking f = { .handle = EVEN_HANDLE(fork_in_a_run), .loop = loop, .receive = &op, .other = &other,
                         .watch = &watch, .fd = pair[1] };
    even_call_soon(loop, &f.handle);
    int rc = even_loop_run_forever(loop);
    if (f.in_child) {
        int wrong = rc != 0;
        wrong |= (even_loop_run_forever(loop) != -EVEN_EFORK) << 1;
        wrong |= (other.result != -EVEN_EFORK) << 2;
        wrong |= (even_loop_close(loop) != 0) << 3;
        wrong |= even_op_is_pending(&op) << 4;
        _exit(wrong);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(waitpid(f.child, &status, 0), f.child);
    assert_int_equal(status, 0);
    assert_int_equal(write(pair[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(op.result, 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(write(watched[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    even_watch_stop(&watch);
    close_loop(loop);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(watched[i]);
    }
}

/* ---- forked while other threads are at anything: the child finds every lock of ours free ---- */

static volatile bool forks_are_over, slow_names;

async(int, look_up)
{
    struct addrinfo *list = NULL;
    int rc = await(even_getaddrinfo(&list, "localhost", NULL, NULL));
    even_freeaddrinfo(list);
    return rc < 0 ? 0 : rc;     /* where there is no such name, asking was all that was wanted */
}

async(int, with_a_task) { return await(even_sleep(0)); }
async(int, a_bit_of_all, (bool, names))
{
    __auto_type task = create_task(with_a_task(), .name = "Anna");
    int rc = await(gather(with_a_task(), even_sleep(0.0001)));
    if (rc == 0 && names)
        rc = await(look_up());
    await(task);
    return rc;
}

static void signals_on_and_off(void)
{
    even_loop *loop;
    even_signal usr1;
    if (even_loop_new(&loop, NULL) < 0)
        return;
    if (even_signal_start(loop, &usr1, SIGUSR1, nothing) == 0)
        even_signal_stop(&usr1);
    even_loop_close(loop);
}

static int one_life(bool names)
{
    signals_on_and_off();
    return even_run(a_bit_of_all(names));
}

static void *short_lives(void *names)
{
    while (!forks_are_over)
        (void)!one_life(names != NULL);
    return NULL;
}

/* Its first object, and the end of its thread: the list of heaps without one. */
static void *first_object(void *unused)
{
    even_awaitable *x = &with_a_task()->base;
    even_cancel_any(x);
    even_unref(x);
    return unused;
}

static void *short_threads(void *unused)
{
    pthread_t thread;
    while (!forks_are_over)
        if (pthread_create(&thread, NULL, first_object, NULL) == 0)
            pthread_join(thread, NULL);
    return unused;
}

static void fork_at_random(int forks)
{
    pthread_t threads[3];
    char yes;
    uint64_t random = 1;
#if defined(EVEN__ASAN) || defined(EVEN__TSAN)
    test_skip("a sanitizer's own locks are not made for this");
#endif
    if (getenv("EVENLOOP_TEST_EMULATED"))
        test_skip("qemu-user dies in the child of a program with threads");
    assert_int_equal(pthread_create(&threads[0], NULL, short_lives, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, short_lives, &yes), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, short_threads, NULL), 0);
    for (int i = 0; i < forks; i++) {
        int status = -1;
        struct timespec a_moment = { 0, (long)(even__random(&random) % 400000) };
        nanosleep(&a_moment, NULL);
        pid_t child = fork();
        if (child == 0) {
            alarm(10);          /* ends it where it hangs */
            first_object(NULL);
            _exit(one_life(true) == 0 ? 0 : 1);
        }
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    forks_are_over = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

TEST(a_fork_at_any_moment_leaves_no_lock_taken, .on = TEST_KERNEL, .seconds = 60, .no_faults = true, .no_valgrind = true)
{
    fork_at_random(300);
}

TEST(nor_while_the_narrator_speaks, .on = TEST_KERNEL, .seconds = 60, .no_faults = true, .no_valgrind = true)
{
    assert_non_null(freopen("/dev/null", "w", stderr));
    setenv("EVENLOOP_EXPLAIN", "1", 1);
    fork_at_random(150);
}

/* ---- what a child has a copy of ---- */

/* The resolver's threads ask ours, which takes its time. */
static int names_asked_for;
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list)
{
    (void)host, (void)service, (void)hints, (void)list;
    if (!slow_names)
        return EAI_NONAME;
    __atomic_add_fetch(&names_asked_for, 1, __ATOMIC_SEQ_CST);
    while (slow_names)
        usleep(1000);       /* allowed because this is a thread of the resolver's */
    return EAI_NONAME;
}

enum { NAMES = 10 };
async(int, ask_for_names, (struct look_up_co **, tasks))
{
    for (int i = 0; i < NAMES; i++)
        tasks[i] = create_task(look_up());
    while (__atomic_load_n(&names_asked_for, __ATOMIC_SEQ_CST) == 0)
        await(even_sleep(0.001));
    return 0;
}

static void say_nothing(void *data, const char *text) { (void)data, (void)text; }

TEST(a_child_closes_its_copy_of_a_loop_that_waits_for_names, .on = TEST_KERNEL, .no_faults = true, TEST_LEAKS_OK)
{
    struct look_up_co *tasks[NAMES];
    even_loop *loop = new_loop();
    int status = -1;
#ifdef EVEN__TSAN
    test_skip("ThreadSanitizer's children start no threads");
#endif
#ifdef EVEN__ASAN
    test_skip("a thread may hold AddressSanitizer's own lock at the fork: its child waits for it without end");
#endif
    if (getenv("EVENLOOP_TEST_EMULATED"))
        test_skip("qemu-user dies in the child of a program with threads");
    even_set_report_hook(say_nothing, NULL);    /* that they were pending */
    slow_names = true;
    __auto_type asking = ask_for_names(tasks);
    assert_int_equal(even_run_until_complete_any(loop, &asking->base), 0);
    even_unref(&asking->base);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        int rc = even_loop_close(loop);
        for (int i = 0; i < NAMES; i++)
            even_unref(&tasks[i]->base);
        slow_names = false;
        _exit(rc == 0 && even_run(look_up()) == 0 ? 0 : 1);     /* and asks by itself, with threads of its own */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    slow_names = false;
    close_loop(loop);
    for (int i = 0; i < NAMES; i++)
        even_unref(&tasks[i]->base);
    while (even__pool_busy() > 0)
        usleep(1000);       /* allowed because their threads have no loop */
}

async(int, runs_in_a_child)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        int wrong = even_run(a_bit_of_all(false)) != 0;
        wrong |= (even_current_task() == NULL) << 1;        /* what it goes on in is the parent's task */
        wrong |= (even_run(with_a_task()) != 0) << 2;
        _exit(wrong);
    }
    waitpid(child, &status, 0);
    return status == 0 ? await(even_sleep(0.001)) : 1;
}

TEST(a_child_forked_in_a_task_runs_a_loop_of_its_own, .on = TEST_KERNEL)
{
    assert_int_equal(even_run(runs_in_a_child()), 0);
}

/* The same by a loop of its own, which is no even_run(); and it returns to its parent's task, whose loop is none to it. */
async(int, steps_in_a_child, (int *, of_child))
{
    int status = -1;
    fflush(NULL);
    await(even_sleep(0));
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        even_loop *parents = even_running_loop(), *loop = new_loop();
        even_task *self = even_current_task();
        __auto_type x = a_bit_of_all(false);
        int wrong = even_run_until_complete_any(loop, &x->base) != 0;
        wrong |= (even_status_of(&x->base) != 0) << 1;
        even_unref(&x->base);
        wrong |= (even_loop_timeout(loop) != -1) << 2;
        wrong |= (even_loop_step(loop) != 0) << 3;
        close_loop(loop);
        wrong |= (even_current_task() != self || even_running_loop() != parents) << 4;
        *of_child = wrong;
        return 0;
    }
    waitpid(child, &status, 0);
    return status;
}

TEST(a_child_forked_in_a_task_comes_back_to_it, .on = TEST_KERNEL, .no_faults = true)
{
#ifdef EVEN__TSAN
    test_skip("ThreadSanitizer knows nothing of locks and stacks that a child has from its parent");
#endif
    int of_child = -1;
    even_set_report_hook(say_nothing, NULL);    /* the child's run cannot go on */
    int rc = even_run(steps_in_a_child(&of_child));
    if (of_child >= 0)
        _exit(of_child);
    assert_int_equal(rc, 0);
}

static bool is_the_child;
static int never_closed;

static void count_never_closed(void *unused, const char *text)
{
    (void)unused;
    never_closed += strstr(text, "never closed") != NULL;
}

async(int, reads, (even_stream *, s))
{
    char byte;
    ssize_t n = await(even_read(s, &byte, 1));
    return n < 0 ? (int)n : byte;
}

/* The child leaves the run, which is the parent's, with a read in progress at each end of a connection. */
async(int, forks_while_streams_read)
{
    even_server *server;
    even_stream *s;
    int status = -1;
    try_await(even_start_server(&server, reads(EVEN_STREAM), "127.0.0.1", 0));
    try_await(even_open_connection(&s, "127.0.0.1", even_server_port(server)));
    __auto_type reading = create_task(reads(s));
    while (even_server_connections(server) == 0)
        try_await(even_sleep(0.001));
    try_await(even_sleep(0.001));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        is_the_child = true;
        even_set_report_hook(count_never_closed, NULL);
        return 0;
    }
    waitpid(child, &status, 0);
    try_await(even_write_all(s, "x", 1));
    even_cancel(reading);
    (void)await(reading);
    (void)await(even_close(s));
    even_server_close(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    return status;
}

TEST(a_child_leaves_the_run_that_it_was_forked_in, .on = TEST_KERNEL, .no_faults = true)
{
#ifdef EVEN__TSAN
    test_skip("ThreadSanitizer knows nothing of locks and stacks that a child has from its parent");
#endif
    int status = even_run(forks_while_streams_read());
    if (is_the_child)
        _exit(even_run(with_a_task()) == 0 && never_closed == 0 ? 0 : 1);       /* it is the parent's to close */
    assert_int_equal(status, 0);
}

/* Ctrl-C reaches parent and child: each hears of it by itself. */
static void raise_interrupt(even_handle *h)
{
    (void)h;
    raise(SIGINT);
}

async(int, sleeps_and_is_interrupted, (even_timer *, timer))
{
    int rc = even_call_later(even_running_loop(), timer, 0.001);
    return rc < 0 ? rc : await(even_sleep(100));
}

async(int, interrupted_in_a_child)
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        raise(SIGINT);          /* no run of its own: it dies of it */
        _exit(1);
    }
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGINT)
        return 1;
    child = fork();
    if (child == 0) {
        even_timer interrupt = EVEN_TIMER(raise_interrupt);
        alarm(10);
        _exit(even_run(sleeps_and_is_interrupted(&interrupt)) == -EINTR ? 0 : 1);
    }
    waitpid(child, &status, 0);
    return status == 0 ? await(even_sleep(0.001)) : 2;
}

TEST(a_childs_interrupt_is_its_own, .on = TEST_KERNEL)
{
#ifdef EVEN__TSAN
    test_skip("ThreadSanitizer puts signals off");
#endif
    assert_int_equal(even_run(interrupted_in_a_child()), 0);
}

/* ---- a signal comes to a thread that has one of the locks, in the middle of a fork ---- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
EVEN__AT_FORK(.lock = &held);
static volatile bool is_held, is_forking;

static void forking_begins(void)
{
    is_forking = true;
}

static void *holds_a_lock(void *unused)
{
    pthread_mutex_lock(&held);
    is_held = true;
    while (!is_forking)
        usleep(1000);       /* allowed because this thread has no loop */
    usleep(50000);          /* allowed because it gives the fork time to wait for us */
    raise(SIGUSR1);
    pthread_mutex_unlock(&held);
    return unused;
}

TEST(a_signal_is_handled_by_a_thread_that_a_fork_waits_for, .on = TEST_KERNEL, .no_faults = true)
{
    even_loop *loop = new_loop();
    even_signal usr1;
    pthread_t thread;
    int status = -1;
#ifdef EVEN__TSAN
    test_skip("ThreadSanitizer puts signals off");
#endif
    assert_int_equal(even_signal_start(loop, &usr1, SIGUSR1, nothing), 0);
    assert_int_equal(pthread_atfork(forking_begins, NULL, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, holds_a_lock, NULL), 0);
    while (!is_held)
        usleep(1000);       /* allowed because nothing else is to be done here */
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pthread_join(thread, NULL);
    even_signal_stop(&usr1);
    close_loop(loop);
}
