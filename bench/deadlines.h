/* The deadlines of the timer benchmark: whole milliseconds, because libuv knows no other, from 1 to 1000, the same numbers
 * on both sides. */
#ifndef BENCH_DEADLINES_H
#define BENCH_DEADLINES_H

#include <stdint.h>

#define DEADLINE_SEED 42

static inline uint64_t deadline_ms(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % 1000 + 1;
}

#endif
