/* The same over a list, however long: 3 seconds, the longest of its sleeps. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

async(const char *, say_after, (double, delay), (const char *, what))
{
    try_await(even_sleep(delay));
    puts(what);
    return what;
}

enum { THINGS = 3 };

async(int, say_list)
{
    const int things_to_do[THINGS] = { 1, 2, 3 };
    char what[THINGS][8];
    even_co(say_after) *coroutines[THINGS];
    const char *r[THINGS];

    for (int i = 0; i < THINGS; i++) {
        snprintf(what[i], sizeof what[i], "%ds", things_to_do[i]);
        coroutines[i] = say_after(things_to_do[i], what[i]);
    }
    puts("start");
    int rc = await(gather_n(THINGS, coroutines, r));
    if (rc == 0)
        printf("end, ['%s', '%s', '%s']\n", r[0], r[1], r[2]);
    return rc;
}

int main(void)
{
    return even_run(say_list());
}
