/* Names that are asked for and never answered, and the healthy ones beside them. The C library's resolver is ours here.
 * */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_KERNEL
#include "test.h"
#include "thread/pool.h"
#include <arpa/inet.h>
#include <evenloop.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

static sem_t dead_asked, end_of_dead;
static atomic_int asked;

/* A name that begins with "dead" is not answered before a post on end_of_dead; all others are this machine. */
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list)
{
    static struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { 0x0100007f } };
    static struct addrinfo answer = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP,
                                      .ai_addrlen = sizeof address, .ai_addr = (struct sockaddr *)&address };
    (void)service, (void)hints;
    asked++;
    if (host && strncmp(host, "dead", 4) == 0) {
        sem_post(&dead_asked);
        while (sem_wait(&end_of_dead) < 0)
            ;
        return EAI_AGAIN;
    }
    *list = &answer;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static void end_dead(int n)
{
    while (n-- > 0)
        sem_post(&end_of_dead);
}

static void wait_for_workers(void)
{
    while (even__pool_busy())
        sched_yield();
}

/* Until n more of them are asked: their threads hang now. */
static void wait_for_dead(int n)
{
    while (n > 0)
        if (sem_wait(&dead_asked) == 0)
            n--;
}

async(int, look_up, (const char *, host))
{
    struct addrinfo *list = NULL;
    try_await(even_getaddrinfo(&list, host, "80", NULL));
    even_freeaddrinfo(list);
    return 0;
}

enum { SHARE = 4, MOST = 32 };      /* as resolver.c has them */

async(int, gives_up_dead_names)
{
    even_co(look_up) *tasks[SHARE];
    int n = 0;
    for (int round = 0; round < MOST / SHARE; round++) {
        assert_int_equal(await(look_up("healthy")), 0);     /* however many of the others hang */
        for (int i = 0; i < SHARE; i++, n++)
            tasks[i] = create_task(look_up("dead"));
        await(even_sleep(0));
        wait_for_dead(SHARE);
        __auto_type waits = create_task(look_up("healthy"));
        await(even_sleep(0));
        assert_false(even_done(waits));
        for (int i = 0; i < SHARE; i++) {
            even_cancel(tasks[i]);
            assert_int_equal(await(tasks[i]), -ECANCELED);
        }
        if (n == MOST)      /* as many as may hang: a healthy one waits for one of them */
            end_dead(1);
        assert_int_equal(await(waits), 0);
    }
    return 0;
}

TEST(dead_names_that_were_given_up_stop_nobody, .no_faults = true)
{
    assert_int_equal(even_run(gives_up_dead_names()), 0);
    assert_int_equal(even__pool_busy(), MOST - 1);
    end_dead(MOST - 1);
    wait_for_workers();
}

/* Lookups are not asked for by name alone. */
async(int, nobody, (even_stream *, s))
{
    (void)s;
    return 0;
}

async(int, gives_up_connections_and_servers)
{
    even_stream *s[SHARE];
    even_server *server[SHARE];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SHARE; i++) {
            const char *host = "dead.example";
            int rc = round ? await(wait_for(even_open_connection(&s[i], host, 80), 0.001)) :
                             await(wait_for(even_start_server(&server[i], nobody(EVEN_STREAM), host, 0), 0.001));
            assert_int_equal(rc, -ETIMEDOUT);
        }
        assert_int_equal(await(look_up("healthy")), 0);
    }
    return 0;
}

TEST(nor_do_connections_and_servers_that_were_given_up, .no_faults = true)
{
    assert_int_equal(even_run(gives_up_connections_and_servers()), 0);
    end_dead(2 * SHARE);
    wait_for_workers();
}

async(int, waits_for_dead_names)
{
    even_co(look_up) *dead[SHARE];
    for (int i = 0; i < SHARE; i++)
        dead[i] = create_task(look_up("dead"));
    assert_int_equal(await(look_up("healthy")), 0);
    for (int i = 0; i < SHARE; i++)
        assert_false(even_done(dead[i]));
    assert_int_equal(await(look_up("healthy")), 0);
    end_dead(SHARE);
    for (int i = 0; i < SHARE; i++)
        assert_int_equal(await(dead[i]), -EVEN_EAI_AGAIN);
    return 0;
}

TEST(nor_do_dead_names_that_are_waited_for, .no_faults = true)
{
    assert_int_equal(even_run(waits_for_dead_names()), 0);
    assert_int_equal(asked, SHARE + 2);
}

enum { MANY = 10000 };

async(int, queues_very_many)
{
    static even_int_aw *lookups[MANY];          /* tasks without a stack, for ThreadSanitizer counts stacks */
    static struct addrinfo *lists[MANY];
    even_co(look_up) *dead[SHARE];
    for (int i = 0; i < SHARE; i++)
        dead[i] = create_task(look_up("dead"));
    for (int i = 0; i < MANY; i++)
        create_task(lookups[i] = even_getaddrinfo(&lists[i], "healthy", "80", NULL));
    await(even_sleep(0));
    wait_for_dead(SHARE);
    for (int i = 0; i < MANY / 2 - 1; i++) {    /* from the front and from the end, up to the two in the middle */
        even_cancel(lookups[i]);
        even_cancel(lookups[MANY - 1 - i]);
    }
    for (int i = 0; i < SHARE; i++)
        even_cancel(dead[i]);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(await(lookups[i]), i == MANY / 2 - 1 || i == MANY / 2 ? 0 : -ECANCELED);
        even_freeaddrinfo(lists[i]);
    }
    for (int i = 0; i < SHARE; i++)
        assert_int_equal(await(dead[i]), -ECANCELED);
    assert_int_equal(asked, SHARE + 2);         /* nobody was asked for what had been cancelled */
    return 0;
}

TEST(ten_thousand_lookups_wait_and_are_canceled, .no_faults = true)
{
    assert_int_equal(even_run(queues_very_many()), 0);
    end_dead(SHARE);
    wait_for_workers();
}

async(int, leaves_lookups_behind)
{
    for (int i = 0; i < 3 * SHARE; i++)
        even_detach(create_task(look_up("dead")));
    await(even_sleep(0));
    wait_for_dead(SHARE);
    return 0;
}

/* Some hang and some wait when the run is over: it does not wait for them. Those that hang are given up first, and
 * those that wait are not asked for meanwhile, just to be given up in their turn: they would hang as well. (Unless this
 * thread has to pause in between; but that does not happen each time.) */
TEST(a_run_ends_over_dead_names, .no_faults = true)
{
    enum { RUNS = 5 };
    int more = 0;
    for (int i = 0; i < RUNS; i++) {
        asked = 0;
        assert_int_equal(even_run(leaves_lookups_behind()), 0);
        end_dead(3 * SHARE);
        wait_for_workers();
        more += asked > SHARE;
        while (sem_trywait(&end_of_dead) == 0 || sem_trywait(&dead_asked) == 0)
            ;
    }
    assert_in_range(more, 0, RUNS - 1);
}

static void keep_quiet(void *data, const char *text)
{
    (void)data, (void)text;     /* "was still pending when its loop was closed" */
}

async(int, asks_and_leaves, (even_co(look_up) **, tasks))
{
    for (int i = 0; i < 2 * SHARE; i++)
        tasks[i] = create_task(look_up("dead"));
    await(even_sleep(0));
    wait_for_dead(SHARE);
    return 0;
}

TEST(a_loop_is_closed_over_dead_names, .no_faults = true, TEST_LEAKS_OK)
{
    even_co(look_up) *tasks[2 * SHARE];
    even_loop *loop;
    even_set_report_hook(keep_quiet, NULL);
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    __auto_type asking = asks_and_leaves(tasks);
    assert_int_equal(even_run_until_complete_any(loop, &asking->base), 0);
    even_unref(&asking->base);
    assert_int_equal(even_loop_close(loop), 0);
    for (int i = 0; i < 2 * SHARE; i++) {
        assert_int_equal(even_status_of(&tasks[i]->base), -EVEN_ECLOSED);
        even_unref(&tasks[i]->base);
    }
    assert_int_equal(even_run(look_up("healthy")), 0);      /* in a loop of its own */
    end_dead(2 * SHARE);
    wait_for_workers();
}
