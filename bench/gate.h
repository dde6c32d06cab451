/* The protocol between a benchmark and its driver, so that every program, ours or a peer's in any language, is measured
 * from outside in the same way: it warms up, prints "ready" and waits for a line; does its work, prints
 * "done OPERATIONS [name=value ...]" and waits for another line. While it waits its CPU time stands still and can be read. */
#ifndef BENCH_GATE_H
#define BENCH_GATE_H

#include <stdio.h>
#include <time.h>

static struct timespec gate_began;

static inline void gate_wait(void)
{
    int c;
    while ((c = getchar()) != '\n' && c != EOF)
        ;
}

static inline void gate_open(void)
{
    puts("ready");
    fflush(stdout);
    gate_wait();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &gate_began);
}

/* `more` is what else the driver is told: "name=value name=value", or "". */
static inline void gate_close(unsigned long long operations, const char *more)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    double ns = (double)(now.tv_sec - gate_began.tv_sec) * 1e9 + (double)(now.tv_nsec - gate_began.tv_nsec);
    printf("done %llu ns=%.2f%s%s\n", operations, ns / (double)(operations ? operations : 1), *more ? " " : "", more);
    fflush(stdout);
    gate_wait();
}

#endif
