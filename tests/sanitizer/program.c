/* Built with a sanitizer, against a library that was built without: program WHAT. check.sh knows how each one ends. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <evenloop/process.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEED(condition) ((condition) ? (void)0 : (printf("line %d: " #condition "\n", __LINE__), fflush(stdout), _Exit(3)))

static __attribute__((noinline)) void fill(volatile char *text, size_t n, int depth)
{
    volatile char mine[512];
    memset((char *)(uintptr_t)text, 'x', n);
    if (depth > 0)
        fill(mine, sizeof mine, depth - 1);
}

/* It sleeps deep in frames that have arrays. */
static __attribute__((noinline)) int sleep_deep(double seconds, int depth)
{
    volatile char mine[512];
    fill(mine, sizeof mine, 2);
    int rc = depth == 0 ? await(even_sleep(seconds)) : sleep_deep(seconds, depth - 1);
    NEED(mine[depth] == 'x');
    return rc;
}

async(int, sleeps, (double, seconds), (int, depth)) { return sleep_deep(seconds, depth); }

async(int, starts_a_process)
{
    even_process_options o = { .arguments = (char *[]){ "true", NULL } };
    int status;
    pid_t pid = even_process_spawn(&o, NULL);
    NEED(pid > 0);
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
    return 0;
}

/* What `*known` gets is in no other place. */
static __attribute__((noinline)) void learn(char *volatile *known, size_t n)
{
    *known = malloc(n);
    memset(*known, 'x', n);
}

__attribute__((noinline, no_sanitize("address"))) static void forget(void)
{
    volatile char below[10000];
    for (size_t i = 0; i < sizeof below; i++)
        below[i] = 0;
}

/* While others sleep, wait, or have not begun, and what they, main() and the library know is no leak. */
async(int, knows, (bool, for_ever))
{
    char *volatile known;
    learn(&known, 1000);
    forget();
    await(even_sleep(for_ever ? 1000 : 0));
    NEED(known[999] == 'x');
    free(known);
    return 0;
}

async(int, is_given, (char *, text))
{
    int length = (int)strlen(text);
    free(text);
    return length;
}

async(int, waits)
{
    int results[2];
    return await(gather(into(&results[0], knows(true)), into(&results[1], knows(true))));
}

async(int, exits, (int, status))
{
    for (int i = 0; i < 10; i++)
        even_detach(create_task(knows(true), .name = "one that knows something"));
    even_detach(create_task(waits()));
    even_detach(create_task(knows(false)));
    await(even_sleep(0.01));
    even_detach(create_task(sleeps(1000, 10)));
    await(even_sleep(0));
    even_detach(create_task(is_given(strdup("what nobody has seen"))));
    exit(status);
}

async(int, exits_in_a_child)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        NEED(even_run(sleeps(0.001, 10)) == 0);
        exit(0);
    }
    NEED(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}

static jmp_buf back;

static __attribute__((noinline)) void jumps(int depth)
{
    volatile char mine[300];
    fill(mine, sizeof mine, 1);
    if (depth > 0)
        jumps(depth - 1);
    else if (mine[0] == 'x')
        longjmp(back, 1);
    NEED(mine[0] == 'y');
}

async(int, jumps_in_a_task)
{
    for (volatile int i = 0; i < 20; i++) {
        if (setjmp(back) == 0)
            jumps(8);
        volatile char mine[6000];
        fill(mine, sizeof mine, 4);
        await(even_sleep(0));
        NEED(mine[5999] == 'x');
    }
    return 0;
}

static volatile int eleven = 11;

async(int, writes_past_its_array)
{
    volatile char array[10];
    await(even_sleep(0));
    array[eleven] = 1;
    return array[0];
}

static volatile int *volatile kept;

static __attribute__((noinline)) void keep_a_local(void)
{
    volatile int local = 1;
    kept = (volatile int *)((uintptr_t)&local | (uintptr_t)(eleven == 12));
}

async(int, uses_after_a_return)
{
    keep_a_local();
    await(even_sleep(0));
    return *kept;
}

async(int, leaks)
{
    await(even_sleep(0));
    void *volatile lost = malloc(777);
    lost = NULL;
    return lost != NULL;
}

async(int, many, (int, n), (int, depth))
{
    for (int i = 0; i < n; i++)
        even_detach(create_task(sleeps(1000, depth)));
    await(even_sleep(0));
    return 0;
}

async(int, many_that_end, (int, n))
{
    struct sleeps_co *t[100];
    for (int i = 0; i < n; i++)
        t[i] = create_task(sleeps(0.001, i % 40));
    for (int i = 0; i < n; i++)
        NEED(await(t[i]) == 0);
    return 0;
}

/* Tasks that are pending as their loop is closed leave their frames as they are; others come onto these stacks. */
static void abandon(int n, int depth)
{
    even_loop *loop;
    NEED(even_loop_new(&loop, NULL) == 0);
    struct many_co *m = many(n, depth);
    NEED(even_run_until_complete_any(loop, &m->base) == 0);
    even_unref(&m->base);
    NEED(even_loop_close(loop) == 0);
}

static void say_nothing(void *data, const char *text)
{
    (void)data;
    NEED(strstr(text, "pending"));
}

static void *in_a_thread(void *unused)
{
    abandon(40, 20);
    NEED(even_run(many_that_end(40)) == 0);
    return unused;
}

static void reuse(void)
{
    even_set_report_hook(say_nothing, NULL);
    for (int i = 0; i < 30; i++) {
        abandon(100, 20 + i);
        NEED(even_run(many_that_end(100)) == 0);
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, in_a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    even_set_report_hook(NULL, NULL);
}

static __attribute__((noinline)) int run(const char *what)
{
    char *volatile known;       /* not to be a leak if a task exits */
    learn(&known, 2000);
    forget();
    if (strcmp(what, "process") == 0)
        NEED(even_run(starts_a_process()) == 0);
    else if (strcmp(what, "exit") == 0)
        even_run(exits(0));
    else if (strcmp(what, "child") == 0)
        NEED(even_run(exits_in_a_child()) == 0);
    else if (strcmp(what, "jump") == 0)
        NEED(even_run(jumps_in_a_task()) == 0);
    else if (strcmp(what, "overflow") == 0)
        even_run(writes_past_its_array());
    else if (strcmp(what, "return") == 0)
        even_run(uses_after_a_return());
    else if (strcmp(what, "leak") == 0)
        even_run(leaks());
    else if (strcmp(what, "reuse") == 0)
        reuse();
    else
        return 2;
    free(known);
    return 0;
}

int main(int argc, char **argv)
{
    return argc == 2 ? run(argv[1]) : 2;
}
