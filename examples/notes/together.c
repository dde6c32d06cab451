/* Together: 2 seconds. Both tasks are registered before anyone waits, so their sleeps overlap. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

async(const char *, say_after, (double, delay), (const char *, what))
{
    try_await(even_sleep(delay));
    puts(what);
    return what;
}

async(int, say_together)
{
    puts("start");
    __auto_type task1 = create_task(say_after(2, "2s"));    /* registers; it neither runs nor makes anyone wait */
    __auto_type task2 = create_task(say_after(1, "1s"));
    await(task1);                       /* typed: a const char *, because say_after returns one */
    await(task2);                       /* already done: await only fetches the result */
    puts("end");
    return 0;
}

int main(void)
{
    return even_run(say_together());
}
