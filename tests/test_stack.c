/* Stacks: deep ones, large locals, an overflow's message, guards, reuse, many at once. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_PLAIN
#include "story.h"
#include "stack/stack.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- using them ---- */

static __attribute__((noinline)) int recurse(int depth)
{
    volatile char frame[1000];
    memset((char *)frame, depth, sizeof frame);
    if (depth == 0)
        return await(even_sleep(0));
    int n = recurse(depth - 1);
    return frame[500] == (char)depth ? n + 1 : -1000000;
}

async(int, deep, (int, depth)) { return recurse(depth); }

async(int, spawns_deep, (int, depth), (size_t, size))
{
    __auto_type t = create_task(deep(depth), .stack_size = size);
    return await(t);
}

TEST(deep_recursion, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(deep(40)), 40);                           /* in the 64 KiB that all have */
    assert_int_equal(even_run(spawns_deep(400, 1 << 20)), 400);         /* a sanitizer's frames are large */
    assert_int_equal(even_run(spawns_deep(3200, 8 << 20)), 3200);
}

async(int, large_local)
{
    volatile unsigned char local[100 * 1024];
    for (size_t i = 0; i < sizeof local; i++)
        local[i] = (unsigned char)(i * 7);
    await(even_sleep(0));
    for (size_t i = 0; i < sizeof local; i++)
        if (local[i] != (unsigned char)(i * 7))
            return 1;
    return 0;
}

async(int, spawns_large_local)
{
    __auto_type t = create_task(large_local(), .stack_size = 128 * 1024);
    __auto_type u = create_task(large_local(), .stack_size = 200 * 1024);
    return await(t) + await(u);
}

TEST(a_local_of_100_kib, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(spawns_large_local()), 0);
}

async(int, uses_floats, (int, n))
{
    double x = n, y = n * 0.5;
    __extension__ long double z = n;
    for (int i = 0; i < 50; i++) {
        x = x * 1.5 + y;
        y = y * 0.25 + 1;
        z = z / 3 + i;
        await(even_sleep(0));
    }
    double a = n, b = n * 0.5;
    __extension__ long double c = n;
    for (int i = 0; i < 50; i++) {
        a = a * 1.5 + b;
        b = b * 0.25 + 1;
        c = c / 3 + i;
    }
    return !(x == a && y == b && z == c);
}

async(int, many_floats)
{
    enum { N = 20 };
    struct uses_floats_co *objects[N];
    int results[N], bad = 0;
    for (int i = 0; i < N; i++)
        objects[i] = uses_floats(i);
    await(gather_n(N, objects, results));
    for (int i = 0; i < N; i++)
        bad += results[i];
    return bad;
}

TEST(registers_survive_a_switch, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(many_floats()), 0);
}

async(int, prints_a_float) { char text[64]; snprintf(text, sizeof text, "%.3f %s", 1.5, "x"); say("%s", text); return 0; }

TEST(the_stack_is_aligned, .on = TEST_KERNEL, .clean = true)
{
    assert_int_equal(even_run(prints_a_float()), 0);    /* aligned vector stores in snprintf */
    assert_story("1.500 x");
}

/* ---- many ---- */

async(int, sleeps, (int *, running))
{
    ++*running;
    await(even_sleep(0.01));
    return 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EVEN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EVEN_SANITIZED 1
#endif
#endif
#ifdef EVEN_SANITIZED
enum { MANY = 2000 };       /* their own account of each stack is large */
#else
enum { MANY = 20000 };
#endif

async(int, twenty_thousand)
{
    enum { N = MANY };
    static struct sleeps_co *t[N];
    int running = 0, bad = 0;
    for (int i = 0; i < N; i++)
        t[i] = create_task(sleeps(&running));
    await(even_sleep(0));
    say("%d %zu", running, even_all_tasks(NULL, 0));
    for (int i = 0; i < N; i++)
        bad += await(t[i]) != 0;
    return bad;
}

TEST(twenty_thousand_tasks_at_once, .no_valgrind = true, .on = TEST_ALL, .no_faults = true)
{
    assert_int_equal(even_run(twenty_thousand()), 0);
    char expected[32];
    snprintf(expected, sizeof expected, "%d %d", MANY, MANY + 1);
    assert_story(expected);
}

/* ---- overflow ---- */

#ifndef EVEN_SANITIZED      /* a sanitizer has SIGSEGV for itself */

static volatile int endless = 1;

static __attribute__((noinline)) int runs_away(int depth)
{
    volatile char frame[3000];
    memset((char *)frame, depth, sizeof frame);
    return endless ? runs_away(depth + 1) + frame[9] : 0;
}

async(int, overflows) { return runs_away(0); }
async(int, spawns_overflow, (bool, named))
{
    __auto_type t = named ? create_task(overflows(), .name = "greedy", .stack_size = 100000) : create_task(overflows());
    return await(t);
}

async(int, large_local_on_small_stack)
{
    volatile char local[100 * 1024];        /* jumps over a guard of one page; -fstack-clash-protection, and 64 KiB of guard */
    local[0] = 1;
    __asm__ volatile("" : : "r"(local) : "memory");     /* all of it is there */
    await(even_sleep(0));
    return local[0];
}

/* Its standard error goes to `text`. */
static int child(void (*body)(void), char *text, size_t size)
{
    int fds[2], status = -1;
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(fds[1], 2);
        body();
        _exit(99);
    }
    close(fds[1]);
    while ((got = read(fds[0], text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(fds[0]);
    waitpid(pid, &status, 0);
    return status;
}

static void run_overflow(void) { even_run(spawns_overflow(false)); }
static void run_named_overflow(void) { even_run(spawns_overflow(true)); }
static void run_large_local(void) { even_run(large_local_on_small_stack()); }

TEST(an_overflow_names_the_task_and_its_stack, .no_faults = true)
{
    char text[4096];
    int status = child(run_overflow, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "task 'Task-2' (overflows) overflowed its stack of 64 KiB"));
    status = child(run_named_overflow, text, sizeof text);
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "task 'greedy' (overflows) overflowed its stack of 256 KiB"));
}

TEST(a_large_local_does_not_jump_over_the_guard, .no_faults = true)
{
    char text[4096];
    int status = child(run_large_local, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_non_null(strstr(text, "overflowed its stack"));
}

static volatile int *volatile nowhere;

async(int, faults_elsewhere)
{
    *nowhere = 1;
    return 0;
}

static void run_fault(void) { even_run(faults_elsewhere()); }

TEST(another_fault_is_no_overflow, .no_faults = true)
{
    char text[4096];
    int status = child(run_fault, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_null(strstr(text, "overflowed"));
}

static void own_handler(int number)
{
    (void)number;
    (void)!write(2, "mine", 4);
    _exit(3);
}

static void run_fault_with_own_handler(void)
{
    signal(SIGSEGV, own_handler);
    even_run(faults_elsewhere());
}

TEST(a_programs_own_handler_stays, .no_valgrind = true, .no_faults = true)
{
    char text[4096];
    int status = child(run_fault_with_own_handler, text, sizeof text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_string_equal(text, "mine");
}

static void raise_it(void)
{
    signal(SIGSEGV, SIG_DFL);
    even_run(deep(1));
    raise(SIGSEGV);
}

static pthread_key_t late;      /* its destructors come after the library's */
static stack_t in_run[2], at_end;
static char own_stack[64 * 1024];

static void *runs(void *unused)
{
    even_run(deep(1));
    sigaltstack(NULL, &in_run[0]);
    return unused;
}

static void *runs_and_has_its_own(void *unused)
{
    runs(NULL);
    sigaltstack(&(stack_t){ .ss_sp = own_stack, .ss_size = sizeof own_stack }, NULL);
    pthread_setspecific(late, &at_end);
    return unused;
}

static void *runs_again_at_its_end(void *unused)
{
    runs(NULL);
    pthread_setspecific(late, &in_run[1]);
    return unused;
}

static void ends_late(void *stack)
{
    if (stack == &in_run[1])
        even_run(deep(1));
    sigaltstack(NULL, stack);
}

static void end_thread(void *(*body)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static bool is_mapped(const stack_t *s)
{
    unsigned char there;
    assert_false(s->ss_flags & SS_DISABLE);
    return mincore(s->ss_sp, 1, &there) == 0;
}

TEST(a_thread_takes_its_alternate_stack_along, .on = TEST_ALL, .no_faults = true)
{
    end_thread(runs);
    assert_false(is_mapped(&in_run[0]));
    assert_int_equal(pthread_key_create(&late, ends_late), 0);
    end_thread(runs_and_has_its_own);
    assert_false(is_mapped(&in_run[0]));
    assert_ptr_equal(at_end.ss_sp, own_stack);
    end_thread(runs_again_at_its_end);
    assert_false(is_mapped(&in_run[0]));
    assert_false(is_mapped(&in_run[1]));
}

TEST(a_raised_sigsegv_kills, .no_faults = true)
{
    char text[4096];
    int status = child(raise_it, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

#endif

/* ---- the pool ---- */

/* Where its first frame begins. */
static char *top_of(const struct even__stack *s)
{
    return (char *)((uintptr_t)s & ~(uintptr_t)15);
}

/* Can the kernel read there? */
static bool is_readable(const char *p)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    bool yes = write(fds[1], p, 1) == 1;
    close(fds[0]);
    close(fds[1]);
    return yes;
}

TEST(every_stack_has_a_guard, .no_faults = true)
{
    static const size_t sizes[] = { 0, 1, 16 << 10, 64 << 10, 100000, 1 << 20, 8 << 20 };
    enum { N = 40 };
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        struct even__stack *stacks[N];
        int error = 0;
        for (int i = 0; i < N; i++) {
            stacks[i] = even__stack_get(sizes[c], &error);
            assert_non_null(stacks[i]);
            assert_true(stacks[i]->size >= sizes[c]);
            char *low = stacks[i]->low, *top = top_of(stacks[i]);
            assert_int_equal((uintptr_t)top % 16, 0);
            assert_true(top - low >= (ptrdiff_t)sizes[c] && top - low >= (ptrdiff_t)stacks[i]->size - 1100);
            assert_true(is_readable(low));
            low[0] = 1;
            assert_false(is_readable(low - 1));
            assert_false(is_readable(low - EVEN__GUARD / 2));
            assert_false(is_readable(low - EVEN__GUARD));
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < i; j++)
                assert_true(stacks[i]->low + stacks[i]->size <= stacks[j]->low ||
                            stacks[j]->low + stacks[j]->size <= stacks[i]->low);
        for (int i = 0; i < N; i++)
            even__stack_put(stacks[i]);
    }
}

#if !defined(EVEN__ASAN) && !defined(EVEN__TSAN)     /* they ask for it themselves before anything of ours may run */
/* The library asks for it here. */
static int page_size;
int getpagesize(void) { return page_size ? page_size : (int)sysconf(_SC_PAGESIZE); }

static void *stacks_lie_apart(void *size)
{
    uintptr_t wrong = 0;
    struct even__stack *stacks[3];
    int error = 0;
    for (unsigned i = 0; i < 3; i++)
        stacks[i] = even__stack_get(*(size_t *)size, &error);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            wrong |= (uintptr_t)(stacks[i]->low - stacks[0]->low) % (uintptr_t)page_size;
        even__stack_put(stacks[i]);
    }
    return (void *)wrong;
}

TEST(a_guard_begins_with_a_page_however_large_pages_are, .no_faults = true)
{
    size_t sizes[] = { 16 << 10, 64 << 10, 256 << 10 };
    for (page_size = (int)sysconf(_SC_PAGESIZE); page_size <= 64 << 10; page_size *= 2)
        for (unsigned i = 0; i < 3; i++) {
            pthread_t thread;
            void *wrong = NULL;
            assert_int_equal(pthread_create(&thread, NULL, stacks_lie_apart, &sizes[i]), 0);
            pthread_join(thread, &wrong);
            assert_null(wrong);
        }
    page_size = 0;
}
#endif

TEST(a_hot_stack_is_used_again)
{
    int error = 0;
    struct even__stack *a = even__stack_get(0, &error), *b = even__stack_get(0, &error);
    assert_non_null(a);
    assert_non_null(b);
    even__stack_put(a);
    even__stack_put(b);
    assert_ptr_equal(even__stack_get(0, &error), b);
    assert_ptr_equal(even__stack_get(0, &error), a);
    even__stack_put(a);
    even__stack_put(b);
}

TEST(a_size_beyond_the_classes)
{
    int error = 0;
    assert_null(even__stack_get(65u << 20, &error));
    assert_int_equal(error, -EINVAL);
    struct even__stack *s = even__stack_get(63u << 20, &error);
    assert_non_null(s);
    even__stack_put(s);
}

TEST(the_high_water_mark)
{
    int error = 0;
    struct even__stack *s = even__stack_get(256 << 10, &error);
    assert_non_null(s);
    size_t fresh = even__stack_high_water(s);
    assert_true(fresh < 8192);
    char *top = top_of(s);
    top[-50000] = 1;
    size_t used = even__stack_high_water(s);
    assert_in_range(used, 50000 - 64, 50000 + 64);
    even__stack_put(s);
}

static unsigned resident_pages(char *low, size_t size)
{
    unsigned char there[64];
    unsigned n = 0;
    long page = sysconf(_SC_PAGESIZE);
    size_t pages = size / (size_t)page;
    assert_true(pages <= sizeof there);
    assert_int_equal(mincore(low, size, there), 0);
    for (size_t i = 0; i < pages; i++)
        n += there[i] & 1;
    return n;
}

TEST(idle_stacks_are_trimmed)
{
    enum { N = 10 };
    struct even__stack *stacks[N];
    char *low[N];
    int error = 0;
    for (int i = 0; i < N; i++) {
        stacks[i] = even__stack_get(0, &error);
        assert_non_null(stacks[i]);
        low[i] = stacks[i]->low;
        memset(low[i], 1, 50000);
    }
    const size_t size = stacks[0]->size;
    for (int i = 0; i < N; i++)
        even__stack_put(stacks[i]);
    even__stacks_trim(2);
    unsigned kept = 0;
    for (int i = 0; i < N; i++)
        kept += resident_pages(low[i], size) > 4;
    assert_int_equal(kept, 2);
    assert_true(resident_pages(low[N - 1], size) > 4);      /* the hottest */
    for (int i = 0; i < N; i++) {
        stacks[i] = even__stack_get(0, &error);             /* the trimmed ones are as good as new */
        assert_non_null(stacks[i]);
        assert_int_equal(stacks[i]->size, size);
        stacks[i]->low[0] = 1;
        assert_false(is_readable(stacks[i]->low - 1));
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(stacks[i]->low, stacks[j]->low);
    }
    for (int i = 0; i < N; i++)
        even__stack_put(stacks[i]);
}

async(int, uses_much) { volatile char c[40000]; memset((char *)c, 1, sizeof c); await(even_sleep(0.001)); return c[0]; }

async(int, a_burst)
{
    enum { N = 2000 };
    static struct uses_much_co *t[N];
    for (int i = 0; i < N; i++)
        t[i] = create_task(uses_much());
    int n = 0;
    for (int i = 0; i < N; i++)
        n += await(t[i]);
    for (int i = 0; i < 20000; i++) {       /* ordinary work goes on: the many stacks are not wanted any more */
        __auto_type u = create_task(deep(1));
        await(u);
    }
    return n;
}

static long resident_kib(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

TEST(the_memory_of_a_burst_is_given_back, .no_valgrind = true, .on = TEST_KERNEL, .no_faults = true)
{
#ifdef EVEN_SANITIZED
    test_skip("a sanitizer has memory of its own");
#endif
    assert_int_equal(even_run(a_burst()), 2000);
    assert_true(resident_kib() < 60 * 1024);        /* of 90 MB that its stacks took */
}

/* ---- sizes, as documented ---- */

async(int, returns_7) { return 7; }

async(int, largest_and_larger)
{
    assert_int_equal(await(create_task(returns_7(), .stack_size = 64u << 20)), 7);
    return await(create_task(returns_7(), .stack_size = (64u << 20) + 1));
}

TEST(sizes_are_rounded_up_to_the_documented_ones, .on = TEST_KERNEL, .no_valgrind = true)
{
    static const size_t sizes[] = { 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20, 64 << 20 };
    int error = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct even__stack *s = even__stack_get(sizes[i], &error);
        assert_non_null(s);
        assert_in_range(top_of(s) - s->low, sizes[i], sizes[i] + 4095);
        even__stack_put(s);
        s = even__stack_get(i ? sizes[i - 1] + 1 : 1, &error);
        assert_non_null(s);
        assert_in_range(top_of(s) - s->low, sizes[i], sizes[i] + 4095);
        even__stack_put(s);
    }
    capture_reports();
    assert_int_equal(even_run(largest_and_larger()), -EINVAL);
}
