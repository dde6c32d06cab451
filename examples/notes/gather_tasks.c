/* gather waits for tasks, and puts each result where `into` says: 2 seconds. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

async(const char *, say_after, (double, delay), (const char *, what))
{
    try_await(even_sleep(delay));
    puts(what);
    return what;
}

async(int, say_gathered)
{
    const char *r1 = NULL, *r2 = NULL;
    puts("start");
    __auto_type task1 = create_task(say_after(2, "2s"));
    __auto_type task2 = create_task(say_after(1, "1s"));
    int rc = await(gather(into(&r1, task1), into(&r2, task2)));
    if (rc == 0)
        printf("end, r1='%s', r2='%s'\n", r1, r2);
    return rc;
}

int main(void)
{
    return even_run(say_gathered());
}
