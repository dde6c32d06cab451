/* The worker pool: who runs what and when, what becomes of jobs that nobody waits for, and of those that no thread can
 * be had for. */
#define TEST_ON TEST_KERNEL
#include "test.h"
#include "loop/loop.h"
#include "thread/pool.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- threads that cannot be made, and seconds of idleness that are over at once ---- */

static atomic_int created;
static atomic_bool no_threads, idleness_is_over, watches;

#if defined(EVEN__ASAN) || defined(EVEN__TSAN)
#define NEEDS_OWN_THREADS test_skip("a sanitizer has its own pthread_create()")
#else
#define NEEDS_OWN_THREADS (void)0
#include <dlfcn.h>
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *data)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (no_threads)
        return EAGAIN;
    created++;
    return real(thread, attributes, start, data);
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    watches = end->tv_sec - now.tv_sec > 100;               /* for a tenant's patience to end, very late */
    if (end->tv_sec - now.tv_sec > 5 && !watches)           /* no watcher: idle */
        return idleness_is_over ? ETIMEDOUT : pthread_cond_wait(cond, mutex);
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, end);
}
#endif

/* ---- jobs ---- */

struct work {
    struct even__job job;
    int number;
    bool gated;                 /* it waits for a post on `at`: `gate`, if nothing else is said */
    sem_t *at;
    bool stops;                 /* done() stops the loop */
    pthread_t ran_in;
    sigset_t mask;
    atomic_int ran, done, dropped;
    void (*inside)(struct work *self);
};

static sem_t begun, gate;
static int order[16];
static atomic_int ordered;

static void work_run(struct even__job *job)
{
    struct work *w = even__container_of(job, struct work, job);
    w->ran_in = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &w->mask);
    int place = ordered++;
    if (place < 16)
        order[place] = w->number;
    w->ran++;
    sem_post(&begun);
    if (w->inside)
        w->inside(w);
    if (w->gated)
        while (sem_wait(w->at) < 0)
            ;
}

static void work_done(struct even__job *job)
{
    struct work *w = even__container_of(job, struct work, job);
    w->done++;
    if (w->stops)
        even_loop_stop(job->loop);
}

static void work_drop(struct even__job *job)
{
    even__container_of(job, struct work, job)->dropped++;
}

static struct work *work(struct work *w, int number, bool gated)
{
    memset(w, 0, sizeof *w);
    w->job.run = work_run;
    w->job.done = work_done;
    w->job.drop = work_drop;
    w->number = number;
    w->gated = gated;
    w->at = &gate;
    w->stops = true;
    return w;
}

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    ordered = 0;
    return loop;
}

static void close_loop(even_loop *loop)
{
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_loop_close(loop), 0);
}

static void wait_until_begun(int n)
{
    while (n > 0)
        if (sem_wait(&begun) == 0)
            n--;
}

static void open_gate(int n)
{
    while (n-- > 0)
        sem_post(&gate);
}

static void wait_for_workers(void)
{
    while (even__pool_busy())
        sched_yield();
}

/* ---- running ---- */

TEST(a_job_runs_elsewhere_and_is_told_here, .on = TEST_ALL)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 4, 0);
    even_loop *loop = new_loop();
    const bool sim = strcmp(even_loop_backend(loop), "sim") == 0;
    struct work w;
    assert_int_equal(even__job_start(&work(&w, 1, false)->job, &tenant, loop), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w.ran, 1);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.dropped, 0);
    assert_int_equal(pthread_equal(w.ran_in, pthread_self()) != 0, sim);
    for (int sig = 1; sig < 32 && !sim; sig++)
        assert_true(sig == SIGKILL || sig == SIGSTOP || sigismember(&w.mask, sig));
    close_loop(loop);
}

TEST(a_share_is_kept_and_jobs_begin_in_turn)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 4, 0);
    even_loop *loop = new_loop();
    struct work w[6];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &tenant, loop), 0);
        w[i].stops = i == 5;
    }
    wait_until_begun(2);
    assert_false(even__job_withdraw(&w[0].job));
    assert_false(even__job_withdraw(&w[1].job));
    assert_true(even__job_withdraw(&w[3].job));     /* for it has not begun */
    for (int i = 2; i < 6; i++)
        assert_int_equal(w[i].ran, 0);
    open_gate(1);
    wait_until_begun(1);
    assert_int_equal(w[2].ran, 1);
    open_gate(4);
    while (!w[5].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    wait_for_workers();
    assert_int_equal(even_loop_step(loop), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w[i].ran, i != 3);
        assert_int_equal(w[i].done, i != 3);
        assert_int_equal(w[i].dropped, 0);
    }
    assert_int_equal(order[2], 2);
    close_loop(loop);
}

TEST(a_worker_takes_one_job_after_the_other, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 3, 6, 0);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    static struct work w[100];
    created = 0;
    for (int i = 0; i < 100; i++) {     /* one by one: a single worker */
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, &tenant, loop), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        assert_int_equal(w[i].done, 1);
    }
    assert_int_equal(created, 1);
    for (int i = 0; i < 100; i++) {     /* all at once: as many as the share */
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, &tenant, loop), 0);
        w[i].stops = false;
    }
    for (int i = 0; i < 100; i++)
        while (!w[i].done)
            assert_int_equal(even_loop_step(loop), 0);
    assert_in_range(created, 1, 3);
    close_loop(loop);
}

TEST(idle_workers_end, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 4, 0);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    struct work w;
    idleness_is_over = true;
    created = 0;
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(even__job_start(&work(&w, i, false)->job, &tenant, loop), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        wait_for_workers();     /* it is not busy now: so it has ended, or ends before it can be called */
        assert_int_equal(created, i);
    }
    close_loop(loop);
}

/* ---- withdrawing, abandoning ---- */

enum { MANY = 10000 };

TEST(thousands_that_wait_are_withdrawn, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 1, 1, 0);
    even_loop *loop = new_loop();
    static struct work w[MANY], first;
    assert_int_equal(even__job_start(&work(&first, -1, true)->job, &tenant, loop), 0);
    first.stops = false;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, &tenant, loop), 0);
    wait_until_begun(1);
    for (int i = 0; i < 3000; i++)                  /* from the front, */
        assert_true(even__job_withdraw(&w[i].job));
    for (int i = MANY - 1; i >= 7000; i--)          /* from the end, */
        assert_true(even__job_withdraw(&w[i].job));
    for (int i = 3000; i < 7000; i++) {             /* and all but two in the middle, abandoned for a change */
        w[i].stops = i == 6000;
        if (i != 4000 && i != 6000)
            even__job_abandon(&w[i].job);
    }
    open_gate(1);
    while (!w[6000].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    for (int i = 0; i < MANY; i++) {
        bool kept = i == 4000 || i == 6000;
        assert_int_equal(w[i].ran, kept);
        assert_int_equal(w[i].done, kept);
        assert_int_equal(w[i].dropped, i >= 3000 && i < 7000 && !kept);
    }
    assert_int_equal(order[1], 4000);
    assert_int_equal(order[2], 6000);
    close_loop(loop);
}

TEST(a_job_that_was_abandoned_does_not_count_up_to_a_limit, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 1, 3, 1000000000000), other = EVEN__TENANT(other, 1, 2, 0);
    even_loop *loop = new_loop();
    struct work w[5], stuck, healthy;
    for (int i = 0; i < 2; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &tenant, loop), 0);
    wait_until_begun(1);
    even__job_abandon(&w[0].job);       /* one that waits begins */
    wait_until_begun(1);
    assert_int_equal(w[1].ran, 1);
    even__job_abandon(&w[1].job);       /* and so does a new one */
    assert_int_equal(even__job_start(&work(&w[2], 2, true)->job, &tenant, loop), 0);
    wait_until_begun(1);
    even__job_abandon(&w[2].job);
    assert_int_equal(even__pool_busy(), 3);
    /* The limit: now they wait for one to return. */
    assert_int_equal(even__job_start(&work(&w[3], 3, false)->job, &tenant, loop), 0);
    assert_int_equal(even__job_start(&work(&w[4], 4, false)->job, &tenant, loop), 0);
    /* Another tenant is not concerned. What it abandons later loses its place later than those above. */
    assert_int_equal(even__job_start(&work(&stuck, 8, true)->job, &other, loop), 0);
    assert_int_equal(even__job_start(&work(&healthy, 9, false)->job, &other, loop), 0);
    wait_until_begun(1);
    even__job_abandon(&stuck.job);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(healthy.done, 1);
    assert_int_equal(w[3].ran, 0);
    assert_true(even__job_withdraw(&w[4].job));
    for (int i = 0; i < 3; i++)
        assert_int_equal(w[i].dropped, 0);          /* it is at work */
    while (!w[3].done) {
        open_gate(1);                               /* the other tenant's may be the first to return */
        assert_int_equal(even_loop_step(loop), 0);
    }
    open_gate(4);
    wait_for_workers();
    assert_int_equal(even_loop_step(loop), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w[i].dropped, 1);
        assert_int_equal(w[i].done, 0);
    }
    close_loop(loop);
}

TEST(patience_ends_with_jobs_that_hang, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 5, 20000000);
    even_loop *loop = new_loop();
    struct work w[6];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &tenant, loop), 0);
        w[i].stops = i == 5;
    }
    wait_until_begun(5);                /* two, two more when those lose their places, and the fifth */
    assert_true(even__job_withdraw(&w[5].job));
    assert_int_equal(even__job_start(&w[5].job, &tenant, loop), 0);
    even__job_abandon(&w[1].job);       /* it has no place to lose */
    open_gate(1);
    wait_until_begun(1);                /* the limit of five: one had to return */
    open_gate(5);
    while (!w[5].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    wait_for_workers();
    assert_int_equal(even_loop_step(loop), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w[i].ran, 1);
        assert_int_equal(w[i].done, i != 1);
        assert_int_equal(w[i].dropped, i == 1);
    }
    close_loop(loop);
}

/* Two tenants, and one worker that watches both: the sooner of the two times counts, also when it comes later. */
TEST(a_watcher_looks_at_all_tenants, .no_faults = true)
{
    static struct even__tenant slow = EVEN__TENANT(slow, 1, 2, 1000000000000),
                               quick = EVEN__TENANT(quick, 1, 2, 20000000);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    struct work w[4];
    for (int i = 0; i < 2; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &slow, loop), 0);
    while (!watches)
        sched_yield();
    watches = false;
    assert_int_equal(even__job_start(&work(&w[2], 2, true)->job, &quick, loop), 0);
    while (!watches)
        sched_yield();
    assert_int_equal(even__job_start(&work(&w[3], 3, false)->job, &quick, loop), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w[3].done, 1);
    assert_true(even__job_withdraw(&w[1].job));
    open_gate(2);
    while (!w[0].done || !w[2].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    close_loop(loop);
}

/* While a tenant has all its threads there is nothing to watch; then one returns, and the other is still at it. */
TEST(a_watcher_looks_again_when_a_job_returns, .no_faults = true)
{
    static struct even__tenant slow = EVEN__TENANT(slow, 1, 2, 1000000000000),
                               quick = EVEN__TENANT(quick, 1, 2, 20000000);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    struct work w[5];
    sem_t own;
    sem_init(&own, 0, 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &slow, loop), 0);
    for (int i = 2; i < 5; i++)
        work(&w[i], i, i != 4)->at = i == 2 ? &own : &gate;
    for (int i = 2; i < 5; i++)
        assert_int_equal(even__job_start(&w[i].job, &quick, loop), 0);
    wait_until_begun(3);
    assert_int_equal(w[3].ran, 1);
    sem_post(&own);
    while (!w[4].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w[3].done, 0);
    assert_true(even__job_withdraw(&w[1].job));
    open_gate(2);
    while (!w[0].done || !w[3].done)
        assert_int_equal(even_loop_step(loop), 0);
    close_loop(loop);
}

TEST(a_job_is_abandoned_on_its_way_back)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 2, 0);
    even_loop *loop = new_loop();
    struct work w[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, &tenant, loop), 0);
    wait_until_begun(2);
    wait_for_workers();
    assert_false(even__job_withdraw(&w[0].job));    /* it is too late for this */
    even__job_abandon(&w[0].job);
    assert_int_equal(w[0].dropped, 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w[0].done, 0);
    assert_int_equal(w[1].done, 1);
    close_loop(loop);
}

/* Waiting, running, on its way back: the loop may be closed and freed, whatever the worker does then. */
TEST(a_loop_is_closed_over_jobs, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 100, 0);
    static struct work w[40];
    for (int round = 0; round < 40; round += 4) {
        even_loop *loop = new_loop();
        for (int i = round; i < round + 4; i++)
            assert_int_equal(even__job_start(&work(&w[i], i, i == round)->job, &tenant, loop), 0);
        wait_until_begun(3);        /* they share the second worker */
        for (int i = round; i < round + 4; i++)
            even__job_abandon(&w[i].job);
        close_loop(loop);
        open_gate(1);
        wait_for_workers();
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(w[i].done, 0);
        assert_int_equal(w[i].dropped, 1);
    }
}

/* ---- no threads ---- */

TEST(without_a_thread_the_job_fails_not_the_process, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 4, 0);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    struct work w[3];
    no_threads = true;
    for (int i = 0; i < 3; i++)
        assert_int_equal(even__job_start(&work(&w[0], 0, true)->job, &tenant, loop), -EAGAIN);
    assert_int_equal(even__pool_busy(), 0);
    no_threads = false;
    assert_int_equal(even__job_start(&w[0].job, &tenant, loop), 0);
    wait_until_begun(1);
    no_threads = true;              /* there is one now: the others wait for it */
    assert_int_equal(even__job_start(&work(&w[1], 1, false)->job, &tenant, loop), 0);
    even__job_abandon(&w[0].job);
    assert_int_equal(even__job_start(&work(&w[2], 2, false)->job, &tenant, loop), 0);
    assert_int_equal(w[1].ran + w[2].ran, 0);
    open_gate(1);
    while (!w[2].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w[0].dropped, 1);
    assert_int_equal(w[1].done, 1);
    close_loop(loop);
}

/* Short of threads, no tenant has them all. */
TEST(tenants_take_turns, .no_faults = true)
{
    static struct even__tenant one = EVEN__TENANT(one, 8, 8, 0), other = EVEN__TENANT(other, 8, 8, 0);
    NEEDS_OWN_THREADS;
    even_loop *loop = new_loop();
    struct work w[9];
    assert_int_equal(even__job_start(&work(&w[0], 0, true)->job, &one, loop), 0);
    wait_until_begun(1);
    no_threads = true;
    for (int i = 1; i <= 8; i++) {
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, i <= 4 ? &one : &other, loop), 0);
        w[i].stops = i == 8;
    }
    w[0].stops = false;
    open_gate(1);
    while (!w[8].done)
        assert_int_equal(even_loop_run_forever(loop), 0);
    for (int i = 1; i < 8; i++)
        assert_int_equal((order[i] <= 4) != (order[i + 1] <= 4), true);
    close_loop(loop);
}

/* ---- forks ---- */

#define NEEDS_FORKS                                                                                                    \
    do {                                                                                                               \
        if (getenv("EVENLOOP_TEST_EMULATED"))                                                                          \
            test_skip("qemu-user dies in the child of a program with threads");                                        \
    } while (0)
#ifdef EVEN__TSAN
#undef NEEDS_FORKS
#define NEEDS_FORKS test_skip("ThreadSanitizer's children start no threads")
#endif

static int in_the_child(even_loop *loop, struct work *w, struct even__tenant *tenant)
{
    struct work own;
    int wrong = 0;
    wrong |= even__pool_busy() != 0;
    wrong |= (!even__job_withdraw(&w[3].job)) << 1;         /* it waited: as if it had not begun */
    wrong |= (!even__job_withdraw(&w[1].job)) << 2;         /* so is one that the parent's worker has */
    even__job_abandon(&w[2].job);
    even__job_abandon(&w[4].job);
    even__job_abandon(&w[0].job);                           /* on its way back */
    wrong |= (w[0].dropped != 1 || w[2].dropped != 1 || w[4].dropped != 1) << 3;
    wrong |= (even_loop_close(loop) != 0) << 4;
    loop = new_loop();
    for (int i = 0; i < 3; i++) {
        wrong |= (even__job_start(&work(&own, 7, false)->job, tenant, loop) != 0) << 5;
        wrong |= (even_loop_run_forever(loop) != 0 || own.done != 1) << 6;
    }
    close_loop(loop);
    return wrong;
}

TEST(a_childs_pool_is_empty_and_works, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 2, 0);
    NEEDS_FORKS;
    even_loop *loop = new_loop();
    struct work w[5];
    int status = -1;
    assert_int_equal(even__job_start(&work(&w[0], 0, false)->job, &tenant, loop), 0);
    wait_until_begun(1);
    wait_for_workers();
    for (int i = 1; i < 5; i++)
        assert_int_equal(even__job_start(&work(&w[i], i, true)->job, &tenant, loop), 0);
    wait_until_begun(2);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(in_the_child(loop, w, &tenant));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    open_gate(4);                   /* the parent's have not suffered */
    for (int i = 0; i < 5; i++)
        while (!w[i].done)
            assert_int_equal(even_loop_step(loop), 0);
    close_loop(loop);
}

static pid_t forked;

static void fork_inside(struct work *w)
{
    (void)w;
    forked = fork();
    if (forked == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);       /* it gets no alarm: its signals are blocked */
}

TEST(a_job_that_forks_returns_twice, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 2, 2, 0);
    NEEDS_FORKS;
#ifdef EVEN__ASAN
    test_skip("LeakSanitizer does not see the parent's stack in the child");
#endif
    even_loop *loop = new_loop();
    struct work w;
    int status = -1;
    work(&w, 1, false)->inside = fork_inside;
    fflush(NULL);
    assert_int_equal(even__job_start(&w.job, &tenant, loop), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w.done, 1);
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);    /* the child's only thread returned, and ended it */
    close_loop(loop);
}

/* ---- the end of the process ---- */

static pthread_key_t key;
static int told[2];

static void thread_ends(void *value)
{
    (void)!write(told[1], value, 1);
}

static void leave_a_mark(struct work *w)
{
    (void)w;
    pthread_setspecific(key, "x");
}

TEST(idle_workers_are_gone_when_the_process_ends, .no_faults = true)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 3, 3, 0);
    NEEDS_FORKS;
    char marks[8];
    int status = -1;
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pthread_key_create(&key, thread_ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        even_loop *loop = new_loop();
        static struct work w[3];
        for (int i = 0; i < 3; i++) {
            work(&w[i], i, true)->inside = leave_a_mark;
            (void)even__job_start(&w[i].job, &tenant, loop);
        }
        wait_until_begun(3);
        open_gate(2);               /* the third hangs for ever: the process does not */
        while (even__pool_busy() > 1)
            sched_yield();
        exit(0);
    }
    close(told[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(told[0], marks, sizeof marks), 2);
    close(told[0]);
}

/* ---- virtual time ---- */

static void abandon_itself(struct work *w)
{
    even__job_abandon(&w->job);
}

TEST(under_sim_jobs_take_their_turn_in_the_loop, .on = TEST_SIM)
{
    static struct even__tenant tenant = EVEN__TENANT(tenant, 1, 1, 0);
    even_loop *loop = new_loop();
    struct work w[5];
    for (int i = 0; i < 5; i++) {
        assert_int_equal(even__job_start(&work(&w[i], i, false)->job, &tenant, loop), 0);
        w[i].stops = i == 4;
    }
    w[3].inside = abandon_itself;
    assert_true(even__job_withdraw(&w[1].job));
    even__job_abandon(&w[2].job);
    assert_int_equal(w[2].dropped, 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    static const int ran[] = { 1, 0, 0, 1, 1 }, done[] = { 1, 0, 0, 0, 1 }, dropped[] = { 0, 0, 1, 1, 0 };
    for (int i = 0; i < 5; i++) {
        assert_int_equal(w[i].ran, ran[i]);
        assert_int_equal(w[i].done, done[i]);
        assert_int_equal(w[i].dropped, dropped[i]);
    }
    assert_int_equal(order[0] * 100 + order[1] * 10 + order[2], 34);
    assert_int_equal(even_time_ns(loop), 0);
    assert_int_equal(even__pool_busy(), 0);
    close_loop(loop);
}
