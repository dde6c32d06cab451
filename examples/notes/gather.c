/* gather takes coroutines as well: it makes tasks of them itself. 2 seconds. */
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
    int rc = await(gather(into(&r1, say_after(2, "2s")), into(&r2, say_after(1, "1s"))));
    if (rc == 0)
        printf("end, r1='%s', r2='%s'\n", r1, r2);
    return rc;
}

int main(void)
{
    return even_run(say_gathered());
}
