/* Runs the tests of one program: see test.h.
 *
 * cmocka's runner stays in the parent and sees one wrapper a test, which forks; the test's body runs in the child. An
 * assertion that fails in a child must not jump (it may stand on a task's stack): CMOCKA_TEST_ABORT makes cmocka
 * print and abort instead, and our print_error() ends the child before it aborts, so that an abort is always a crash.
 */
#include "test.h"
#include "base/faults.h"
#include "base/heap.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A child's exit status; sanitizers end with 1 and 23, valgrind with 99. */
enum { PASSED = 0, FAILED = 1, LEFT_BEHIND = 2, ASSERTED = 3, SKIPPED = 77 };
enum { SECONDS = 30, NTH_SECONDS = 20 };

static const struct {
    unsigned bit;
    const char *name;
} variants[] = { { TEST_PLAIN, "plain" }, { TEST_URING, "uring" }, { TEST_EPOLL, "epoll" }, { TEST_SIM, "sim" } };
enum { VARIANTS = sizeof variants / sizeof *variants };

/* A test on one backend. */
struct variant {
    const struct test *test;
    const char *backend;
};

/* What a child is to do, besides the test. */
struct order {
    uint64_t seed;
    enum even__fault_kind fault;
    unsigned long nth;          /* 0: no fault */
    int output;                 /* where its output goes; -1: where ours does */
};

/* What it tells. */
static struct {
    unsigned long calls[2];
    char fired[EVEN__FAULT_NOTE];
} *shared;

static struct test *tests;
static const struct test *in_child;
static uint64_t seed_of_child;
static bool fds_before[1 << 16];
static size_t heap_before;

void test_register(struct test *test)
{
    struct test **at = &tests;
    while (*at)
        at = &(*at)->next;
    *at = test;
}

uint64_t test_seed(void)
{
    return seed_of_child;
}

void test_skip(const char *reason)
{
    printf("[   NOTE   ] skipped: %s\n", reason);
    fflush(NULL);
    _exit(SKIPPED);
}

bool test_fault_fired(void)
{
    return even__fault_fired() != NULL;
}

/* ---- in the child ---- */

static void each_fd(void (*visit)(int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < (int)sizeof fds_before)
            visit(fd);
    }
    closedir(dir);
}

static unsigned fds_left;

static void remember(int fd)
{
    fds_before[fd] = true;
}

static void count_left(int fd)
{
    fds_left += !fds_before[fd];
}

static void complain(int fd)
{
    char path[64], target[256];
    if (fds_before[fd])
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    fprintf(stderr, "[   LEFT   ] descriptor %d is left open: %s\n", fd, target);
}

__attribute__((weak)) int __lsan_do_recoverable_leak_check(void);

static int what_is_left(void)
{
    if (in_child->leaks_ok)
        return PASSED;
    /* A thread that is at work on what was cancelled may hold a descriptor (a file of the resolver's) for a moment yet. */
    for (int i = 0; i < 100; i++) {
        fds_left = 0;
        each_fd(count_left);
        if (fds_left == 0)
            break;
        nanosleep(&(struct timespec){ 0, 10 * 1000 * 1000 }, NULL);
    }
    if (fds_left)
        each_fd(complain);
    size_t heap = even__heap_live();
    if (heap != heap_before)
        fprintf(stderr, "[   LEFT   ] %zu heap objects are alive, %zu were before\n", heap, heap_before);
    return fds_left || heap != heap_before ? LEFT_BEHIND : PASSED;
}

static void tell(void)
{
    shared->calls[EVEN__FAULT_SYSCALL] = even__fault_count(EVEN__FAULT_SYSCALL);
    shared->calls[EVEN__FAULT_MEMORY] = even__fault_count(EVEN__FAULT_MEMORY);
}

/* In place of cmocka's: in a child, cmocka calls it only to say that an assertion failed. */
void print_error(const char *const format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (!in_child)
        return;
    fputc('\n', stderr);
    tell();
    int verdict = ASSERTED;
    if (in_child->clean && test_fault_fired()) {
        if (what_is_left() != PASSED)
            verdict = LEFT_BEHIND;
        else if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
            verdict = LEFT_BEHIND;
    }
    fflush(NULL);
    _exit(verdict);
}

/* cmocka takes over some signals; a child has them as they were, for the library's own handler and the sanitizers'. */
static const int taken[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
static struct sigaction untaken[sizeof taken / sizeof *taken];

static void child(const struct variant *v, const struct order *order, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaction(taken[i], &untaken[i], NULL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (order->output >= 0) {
        dup2(order->output, 1);
        dup2(order->output, 2);
    }
    if (strcmp(v->backend, "plain") == 0)
        unsetenv("EVENLOOP_BACKEND");
    else
        setenv("EVENLOOP_BACKEND", v->backend, 1);
    if (order->seed) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)order->seed);
        setenv("EVENLOOP_SEED", text, 1);
    }
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    seed_of_child = order->seed;
    in_child = v->test;
    each_fd(remember);
    heap_before = even__heap_live();
    even__fault_arm(order->fault, order->nth, shared->fired);
    v->test->run();
    tell();
    even__fault_arm(order->fault, 0, NULL);
    int verdict = what_is_left();
    fflush(NULL);
    exit(verdict);      /* not _exit: the leak sanitizer looks at the end */
}

/* ---- in the parent ---- */

static unsigned slower(void)
{
    const char *text = getenv("EVENLOOP_TEST_SLOWER");
    return text && atoi(text) > 0 ? (unsigned)atoi(text) : 1;
}

static unsigned seconds_of(const struct test *t)
{
    return (t->seconds ? t->seconds : SECONDS) * slower();
}

/* Run it in a child, for at most `seconds`. The verdict, and in words what was wrong. */
static int run_in_child(const struct variant *v, const struct order *order, unsigned seconds, char *words, size_t size)
{
    sigset_t chld, mask;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &mask);
    sigdelset(&mask, SIGCHLD);
    memset(shared, 0, sizeof *shared);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(v, order, &mask);
    if (pid < 0) {
        snprintf(words, size, "fork: %s", strerror(errno));
        return FAILED;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end = now.tv_sec + (time_t)seconds + 1;
    int status;
    bool in_time = true;
    while (waitpid(pid, &status, in_time ? WNOHANG : 0) != pid) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        in_time = now.tv_sec < end;
        if (in_time)
            sigtimedwait(&chld, NULL, &(struct timespec){ end - now.tv_sec, 0 });
        else
            kill(pid, SIGKILL);
    }
    if (!in_time)
        snprintf(words, size, "it was not over after %u seconds", seconds);
    else if (WIFSIGNALED(status))
        snprintf(words, size, "died of signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == LEFT_BEHIND)
        snprintf(words, size, "something was left behind");
    else if (WEXITSTATUS(status) == ASSERTED)
        snprintf(words, size, "an assertion failed, see above");
    else
        snprintf(words, size, "exit status %d", WEXITSTATUS(status));
    return in_time && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Skip only where the kernel itself refuses: if the library fails on a kernel that does not, that is a failure. */
static bool kernel_refuses_uring(void)
{
    char params[120] = { 0 };
    uint32_t flags = 1u << 12 | 1u << 13;   /* IORING_SETUP_SINGLE_ISSUER, DEFER_TASKRUN: Linux 6.1 */
    memcpy(params + 8, &flags, sizeof flags);
    int fd = (int)syscall(425, 4, params);
    if (fd >= 0)
        close(fd);
    return fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL);
}

static unsigned skipped;

static bool skip_here(const struct variant *v)
{
    const char *why = NULL;
    if (strcmp(v->backend, "uring") == 0) {
#ifndef EVEN_HAVE_URING
        why = "this build is without io_uring";
#endif
        if (!why && kernel_refuses_uring())
            why = "this kernel refuses io_uring, or is older than Linux 6.1";
    }
    if (why) {
        printf("[   NOTE   ] skipped: %s\n", why);
        skipped++;
    }
    return why != NULL;
}

static void seeds(unsigned long long *first, unsigned long long *last)
{
    const char *text = getenv("EVENLOOP_TEST_SEEDS");
    char *end;
    *first = 1;
    *last = 200;
    if (text && *text) {
        *first = strtoull(text, &end, 10);
        *last = *end == '-' ? strtoull(end + 1, NULL, 10) : *first;
    }
}

static void run_variant(void **state)
{
    const struct variant *v = *state;
    struct order order = { .output = -1 };
    unsigned long long first = 0, last = 0;
    char words[200];

    if (skip_here(v) || (v->test->no_valgrind && getenv("EVENLOOP_TEST_VALGRIND")))
        _skip(__FILE__, __LINE__);
    if (v->test->seeds && strcmp(v->backend, "sim") == 0)
        seeds(&first, &last);
    for (order.seed = first; order.seed <= last; order.seed++) {
        int verdict = run_in_child(v, &order, seconds_of(v->test), words, sizeof words);
        if (verdict == SKIPPED) {
            skipped++;
            _skip(__FILE__, __LINE__);
        }
        if (verdict == PASSED)
            continue;
        if (order.seed)
            fail_msg("%s (again with: EVENLOOP_TEST_SEEDS=%llu)", words, (unsigned long long)order.seed);
        fail_msg("%s", words);
    }
}

/* ---- the Nth failure ---- */

static void print_output(int fd)
{
    char buffer[4096];
    ssize_t n;
    lseek(fd, 0, SEEK_SET);
    fflush(stderr);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        (void)!write(2, buffer, (size_t)n);
}

static bool output_has(int fd, const char *words)
{
    static char buffer[1 << 16];
    ssize_t n = pread(fd, buffer, sizeof buffer - 1, 0);
    buffer[n > 0 ? n : 0] = '\0';
    return strstr(buffer, words) != NULL;
}

/* Every N up to 100, then ever wider steps: a bound on the time. The output tells how many runs there were. */
static unsigned long next_nth(unsigned long nth)
{
    return nth < 100 ? nth + 1 : nth + nth / 20;
}

/* With the Nth call failing a test may cope (exit 0) or give up (an assertion fails). It may not crash, hang, report a bug
 * of the library's, or leave anything behind; giving up may leave things behind unless the test is `.clean`. */
static void run_nth(void **state)
{
    static const char *const kind_names[] = { "system call", "allocation" };
    const struct variant *v = *state;
    int output = memfd_create("output", MFD_CLOEXEC);
    unsigned long calls[2], runs = 0, gave_up = 0, bad = 0;
    char words[200];

    if (v->test->no_faults)
        _skip(__FILE__, __LINE__);
    if (skip_here(v))
        _skip(__FILE__, __LINE__);
    uint64_t seed = v->test->seeds && strcmp(v->backend, "sim") == 0;
    int verdict = run_in_child(v, &(struct order){ .seed = seed, .output = output }, seconds_of(v->test), words, sizeof words);
    if (verdict == SKIPPED) {
        skipped++;
        _skip(__FILE__, __LINE__);
    }
    if (verdict != PASSED) {
        print_output(output);
        fail_msg("without any failure: %s", words);
    }
    memcpy(calls, shared->calls, sizeof calls);

    for (int kind = 0; kind < 2 && bad < 5; kind++)
        for (unsigned long n = 1; n <= calls[kind] && bad < 5; n = next_nth(n)) {
            (void)!ftruncate(output, 0);
            lseek(output, 0, SEEK_SET);
            struct order order = { .seed = seed, .fault = (enum even__fault_kind)kind, .nth = n, .output = output };
            verdict = run_in_child(v, &order, NTH_SECONDS * slower(), words, sizeof words);
            runs++;
            bool bug = output_has(output, "this is a bug in the library");
            if (!bug && (verdict == PASSED || verdict == SKIPPED))
                continue;
            if (!bug && verdict == ASSERTED) {
                gave_up++;
                continue;
            }
            print_output(output);
            fprintf(stderr, "[   NTH    ] %s, %s %lu of %lu (%s): %s; again with: EVENLOOP_FAIL_%s=%lu EVENLOOP_BACKEND=%s\n",
                    v->test->name, kind_names[kind], n, calls[kind], shared->fired, words,
                    kind == EVEN__FAULT_SYSCALL ? "SYSCALL" : "MEMORY", n, v->backend);
            bad += verdict == -1 && strstr(words, "not over") ? 5 : 1;
        }
    close(output);
    printf("[   NTH    ] %s[%s]: %lu system calls, %lu allocations: %lu runs, %lu coped, %lu gave up\n", v->test->name,
           v->backend, calls[0], calls[1], runs, runs - gave_up - bad, gave_up);
    if (bad)
        fail_msg("%lu runs went wrong", bad);
}

/* ---- */

static unsigned variants_of(const struct test *t)
{
    return t->on ? t->on : t->file_on;
}

static int list(void)
{
    for (const struct test *t = tests; t; t = t->next) {
        unsigned seconds = t->seeds ? 3600 : seconds_of(t) + SECONDS;
        printf("%s %u", t->name, seconds);
        for (int i = 0; i < VARIANTS; i++)
            if (variants_of(t) & variants[i].bit)
                printf(" %s", variants[i].name);
        puts("");
    }
    return 0;
}

static bool is_asked_for(const struct test *t, const char *variant, char **names)
{
    size_t n = strlen(t->name), length = strlen(variant);
    if (!*names)
        return true;
    for (; *names; names++) {
        const char *rest = strncmp(*names, t->name, n) == 0 ? *names + n : *names;
        if ((!*rest && rest != *names) ||
            (*rest == '[' && strncmp(rest + 1, variant, length) == 0 && strcmp(rest + 1 + length, "]") == 0))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    bool nth = argc > 1 && strcmp(argv[1], "--nth") == 0;
    char **names = argv + 1 + nth;
    const char *only = getenv("EVENLOOP_BACKEND");
    size_t count = 0;

    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return list();
    if (argc > 1 && !nth && argv[1][0] == '-') {
        fprintf(stderr, "usage: %s [--list] [--nth] [NAME | NAME[VARIANT] | [VARIANT]]...\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaction(taken[i], NULL, &untaken[i]);
    setlinebuf(stdout);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (const struct test *t = tests; t; t = t->next)
        count++;
    struct variant *v = calloc(count * VARIANTS, sizeof *v);
    struct CMUnitTest *cases = calloc(count * VARIANTS, sizeof *cases);
    if (shared == MAP_FAILED || !v || !cases)
        return 2;
    count = 0;
    for (const struct test *t = tests; t; t = t->next)
        for (int i = 0; i < VARIANTS; i++) {
            if (!(variants_of(t) & variants[i].bit) || !is_asked_for(t, variants[i].name, names))
                continue;
            if (only && *only && variants[i].bit != TEST_PLAIN && strcmp(only, variants[i].name) != 0)
                continue;
            char *title = NULL;
            if (asprintf(&title, variants[i].bit == TEST_PLAIN ? "%s" : "%s[%s]", t->name, variants[i].name) < 0)
                return 2;
            v[count] = (struct variant){ t, variants[i].name };
            cases[count] = (struct CMUnitTest){ title, nth ? run_nth : run_variant, NULL, NULL, &v[count] };
            count++;
        }
    if (count == 0) {
        fprintf(stderr, "no test of that name, or not on that backend\n");
        return 2;
    }
    int failures = _cmocka_run_group_tests("tests", cases, count, NULL, NULL);
    return failures ? 1 : skipped == count ? SKIPPED : 0;
}
