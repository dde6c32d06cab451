/* A coroutine that many tests of runs have. */
#ifndef EVEN_TEST_RUNS_H
#define EVEN_TEST_RUNS_H

#include "story.h"

/* Waits, and gives n; says so if it is told otherwise. */
async(int, gives, (double, delay), (int, n))
{
    int rc = await(even_sleep(delay));
    if (rc < 0)
        say("%d:%s", n, even_errname(rc));
    return rc < 0 ? rc : n;
}

#endif
