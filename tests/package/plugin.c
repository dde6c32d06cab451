/* Asks for a name, does not wait for the answer, and is unloaded by host.c. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <netdb.h>

int plugin_run(void);

async(int, look_up)
{
    struct addrinfo *list = NULL;
    return await(wait_for(even_getaddrinfo(&list, "some.name", NULL, NULL), 0.05));
}

static void say_nothing(void *data, const char *text) { (void)data, (void)text; }

int plugin_run(void)
{
    even_set_report_hook(say_nothing, NULL);        /* that the main task failed */
    return even_run(look_up()) == -ETIMEDOUT ? 0 : 1;
}
