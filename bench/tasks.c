/* The primitives of tasks, one a mode: `bench_tasks MODE N`.
 *
 *   yield      two tasks that let each other run (even_sleep(0)), N turns in all
 *   spawn      create a task and await it, N times, one at a time
 *   spawn1000  the same, 1,000 at once
 *   await      await a coroutine inline, N times
 *   handover   two tasks that wake each other through futures, N wake-ups in all
 *
 * After the warm-up every mode reports how often it asked for memory and how many pages it touched first. */
#define EVEN_SHORT_NAMES
#include "gate.h"
#include <evenloop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BATCH = 1000 };

static unsigned long long allocations;

static void *count_malloc(size_t size)
{
    allocations++;
    return malloc(size);
}

static void *count_realloc(void *memory, size_t size)
{
    allocations++;
    return realloc(memory, size);
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

async(int, nothing, (int, value))
{
    return value;
}

async(int, yielder, (unsigned long long, n))
{
    for (unsigned long long i = 0; i < n; i++)
        await(even_sleep(0));
    return 0;
}

async(int, yield, (unsigned long long, n))
{
    __auto_type a = create_task(yielder(n / 2));
    __auto_type b = create_task(yielder(n - n / 2));
    await(a);
    await(b);
    return 0;
}

async(int, spawn, (unsigned long long, n))
{
    for (unsigned long long i = 0; i < n; i++)
        if (await(create_task(nothing((int)(i & 0xff)))) != (int)(i & 0xff))
            return -EVEN_ESTATE;
    return 0;
}

async(int, spawn1000, (unsigned long long, n))
{
    static even_co(nothing) *tasks[BATCH];
    for (unsigned long long done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            tasks[i] = create_task(nothing(i));
        for (int i = 0; i < BATCH; i++)
            if (await(tasks[i]) != i)
                return -EVEN_ESTATE;
    }
    return 0;
}

async(int, await_inline, (unsigned long long, n))
{
    for (unsigned long long i = 0; i < n; i++)
        if (await(nothing((int)(i & 0xff))) != (int)(i & 0xff))
            return -EVEN_ESTATE;
    return 0;
}

/* Each waits for its own future, and the other one sets it. */
static even_future *waits[2];

async(int, hander, (int, me), (unsigned long long, n))
{
    for (unsigned long long i = 0; i < n; i++) {
        if (waits[!me])
            even_set_result(waits[!me], 1);
        waits[me] = even_future_new(even_future);
        await(waits[me]);
        waits[me] = NULL;
    }
    if (waits[!me])
        even_set_result(waits[!me], 1);
    return 0;
}

async(int, handover, (unsigned long long, n))
{
    waits[0] = waits[1] = NULL;
    __auto_type a = create_task(hander(0, n / 2));
    __auto_type b = create_task(hander(1, n / 2));
    await(a);
    await(b);
    return 0;
}

static const char *mode;

async(int, work, (unsigned long long, n))
{
    if (strcmp(mode, "yield") == 0)
        return try_await(yield(n));
    if (strcmp(mode, "spawn") == 0)
        return try_await(spawn(n));
    if (strcmp(mode, "spawn1000") == 0)
        return try_await(spawn1000(n));
    if (strcmp(mode, "await") == 0)
        return try_await(await_inline(n));
    if (strcmp(mode, "handover") == 0)
        return try_await(handover(n));
    return -EINVAL;
}

async(int, measured, (unsigned long long, n))
{
    try_await(work(10 * BATCH));
    gate_open();
    allocations = 0;
    long before = faults();
    try_await(work(n));
    char more[80];
    snprintf(more, sizeof more, "allocations=%llu faults=%ld", allocations, faults() - before);
    gate_close(n, more);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s yield|spawn|spawn1000|await|handover N\n", argv[0]);
        return 2;
    }
    mode = argv[1];
    even_set_allocator(count_malloc, count_realloc, free);
    int rc = even_run(measured(strtoull(argv[2], NULL, 10)));
    if (rc < 0)
        fprintf(stderr, "bench_tasks: %s\n", even_strerror(rc));
    return rc < 0;
}
