/* What a task costs that sleeps: N tasks that have run and sleep two calls deep, on stacks of the default size.
 * `bench_sleepers [N]` reports resident memory and page tables, of the whole process. */
#define EVEN_SHORT_NAMES
#include "gate.h"
#include <evenloop.h>
#include <stdlib.h>
#include <string.h>

async(int, inner, (double, seconds))
{
    return try_await(even_sleep(seconds));
}

async(int, sleeper)
{
    try_await(inner(0));        /* it has run ... */
    return try_await(inner(86400));     /* ... and sleeps */
}

/* A line of /proc/self/status, in kB. */
static unsigned long long status_kb(const char *name)
{
    char line[256];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtoull(line + strlen(name), NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

static unsigned long long mappings(void)
{
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    for (int c; f && (c = getc(f)) != EOF;)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

async(int, crowd, (size_t, n))
{
    even_co(sleeper) **tasks = malloc(n * sizeof *tasks);
    if (!tasks)
        return -ENOMEM;
    gate_open();
    for (size_t i = 0; i < n; i++)
        tasks[i] = create_task(sleeper());
    for (int pass = 0; pass < 4; pass++)
        await(even_sleep(0));
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (even_done(tasks[i]))
            rc = even_status_of(&tasks[i]->base);
    char more[160];
    snprintf(more, sizeof more, "rss_kb=%llu pte_kb=%llu maps=%llu", status_kb("VmRSS:"), status_kb("VmPTE:"), mappings());
    if (rc == 0)
        gate_close(n, more);
    for (size_t i = 0; i < n; i++) {
        even_cancel(tasks[i]);
        await(tasks[i]);
    }
    free(tasks);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = even_run(crowd(argc > 1 ? strtoull(argv[1], NULL, 10) : 100000));
    if (rc < 0)
        fprintf(stderr, "bench_sleepers: %s\n", even_strerror(rc));
    return rc < 0;
}
