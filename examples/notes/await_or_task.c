/* What does `await` really do? Awaited, a coroutine runs inside the task that awaits it; with create_task it is a task
 * of its own. The loop knows only tasks: so nap(), while it runs, asks the loop how many there are. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

static size_t coroutines;               /* that have begun and are not over */

static void tell(void)
{
    static const char *const number[] = { "no", "one", "two", "three" };
    size_t tasks = even_all_tasks(NULL, 0);
    printf("%s task%s", number[tasks], tasks == 1 ? "" : "s");
    if (coroutines > tasks)
        printf(", %s coroutines", number[coroutines]);
    printf("\n");
}

async(int, nap, (double, delay))
{
    coroutines++;
    tell();
    int rc = await(even_sleep(delay));
    coroutines--;
    return rc;
}

async(int, just_await)
{
    coroutines++;
    int rc = await(nap(0.1));
    coroutines--;
    return rc;
}

async(int, using_create_task)
{
    coroutines++;
    int rc = await(create_task(nap(0.1)));
    coroutines--;
    return rc;
}

int main(void)
{
    return even_run(just_await()) < 0 || even_run(using_create_task()) < 0;
}
