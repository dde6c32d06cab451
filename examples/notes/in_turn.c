/* One after the other: 3 seconds. Awaiting a coroutine is a call: it makes no task, and nothing runs beside it. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

/* A coroutine function. Calling it runs nothing: it returns a coroutine object. */
async(const char *, say_after, (double, delay), (const char *, what))
{
    try_await(even_sleep(delay));       /* a failure (here: a cancellation) ends this body with it */
    puts(what);
    return what;
}

async(int, say_in_turn)
{
    puts("start");
    await(say_after(2, "2s"));          /* a call on this task's own stack: no new task, the loop is not asked */
    await(say_after(1, "1s"));
    puts("end");
    return 0;
}

int main(void)
{
    return even_run(say_in_turn());
}
