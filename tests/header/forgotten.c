/* What lacks its await: check.sh wants a warning for each line that is marked, and for no other. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, f) { return 0; }
async(int, handle, (even_stream *, s)) { return await(even_close(s)); }

async(int, main_co)
{
    struct f_co *many[2] = { f(), f() };
    int a, statuses[2];
    even_server *server;
    f();                                                                    /* forgotten */
    even_sleep(1);                                                          /* forgotten */
    wait_for(f(), 1);                                                       /* forgotten */
    shield(f());                                                            /* forgotten */
    gather(f(), f());                                                       /* forgotten */
    gather(into(&a, f()));                                                  /* forgotten */
    gather_statuses(statuses, f(), wait_for(f(), 1));                       /* forgotten */
    gather_n(2, many, NULL);                                                /* forgotten */
    gather_n_statuses(statuses, 2, many, NULL);                             /* forgotten */
    even_start_server(&server, handle(EVEN_STREAM), NULL, 0);               /* forgotten */
    if (a)
        even_wait_for(even_shield(f()), 1);                                 /* forgotten */
    create_task(f());
    await(wait_for(shield(f()), 1));
    __auto_type both = gather(f(), f());
    return await(both);
}

int start(void);
int start(void)
{
    return even_run(main_co());
}
