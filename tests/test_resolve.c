/* Names: what is answered at once, what the threads answer, and who goes away meanwhile. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "test.h"
#include "thread/pool.h"
#include <arpa/inet.h>
#include <evenloop.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
/* It has threads of its own, and does not follow a process with threads into its child. */
static const bool thread_sanitizer =
#ifdef __SANITIZE_THREAD__
    true;
#else
    __has_feature(thread_sanitizer);
#endif

#ifdef EVEN_EMULATED
static const bool emulated = true;
#else
static const bool emulated = false;
#endif

static bool threads_are(unsigned least, unsigned most)
{
    char line[128];
    unsigned n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Threads: %u", &n) == 1)
            break;
    if (f)
        fclose(f);
    return (n >= least && n <= most) || thread_sanitizer || emulated;  /* which have threads of their own */
}

/* Until the threads are done with what they look up for nobody: the runner counts descriptors. */
static void wait_for_threads(void)
{
    while (even__pool_busy())
        sched_yield();
}

static bool on_sim(void)
{
    return strcmp(even_loop_backend(even_running_loop()), "sim") == 0;
}

static const struct addrinfo tcp = { .ai_socktype = SOCK_STREAM };

static void check_v4(const struct addrinfo *a, const char *text, int port)
{
    char got[INET_ADDRSTRLEN];
    assert_int_equal(a->ai_family, AF_INET);
    assert_int_equal(a->ai_addrlen, sizeof(struct sockaddr_in));
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ai_addr;
    assert_string_equal(inet_ntop(AF_INET, &in->sin_addr, got, sizeof got), text);
    assert_int_equal(ntohs(in->sin_port), port);
    assert_int_equal(a->ai_socktype, SOCK_STREAM);
    assert_int_equal(a->ai_protocol, IPPROTO_TCP);
}

async(int, literals)
{
    struct addrinfo *list = NULL, hints = tcp;
    try_await(even_getaddrinfo(&list, "192.0.2.1", "80", &tcp));
    check_v4(list, "192.0.2.1", 80);
    assert_null(list->ai_next);
    even_freeaddrinfo(list);

    try_await(even_getaddrinfo(&list, "2001:db8::1", NULL, &tcp));
    assert_int_equal(list->ai_family, AF_INET6);
    assert_null(list->ai_next);
    even_freeaddrinfo(list);

    try_await(even_getaddrinfo(&list, NULL, "7000", &tcp));
    assert_non_null(list->ai_next);
    check_v4(list->ai_family == AF_INET ? list : list->ai_next, "127.0.0.1", 7000);
    even_freeaddrinfo(list);

    hints.ai_flags = AI_PASSIVE;
    hints.ai_family = AF_INET;
    try_await(even_getaddrinfo(&list, NULL, "7000", &hints));
    check_v4(list, "0.0.0.0", 7000);
    assert_null(list->ai_next);
    even_freeaddrinfo(list);
    even_freeaddrinfo(NULL);
    assert_true(threads_are(1, 1));     /* nobody was asked */
    return 0;
}

TEST(literals_are_answered_at_once) { assert_int_equal(even_run(literals()), 0); }

async(int, localhost)
{
    struct addrinfo *list, hints = tcp;
    hints.ai_family = AF_INET;
    try_await(even_getaddrinfo(&list, "localhost", "7", &hints));
    check_v4(list, "127.0.0.1", 7);
    even_freeaddrinfo(list);
    assert_true(on_sim() ? threads_are(1, 1) : threads_are(2, 2));
    return 0;
}

TEST(a_name) { assert_int_equal(even_run(localhost()), 0); }

async(int, unknown)
{
    struct addrinfo *list = (struct addrinfo *)&list, hints = tcp;
    int rc = await(even_getaddrinfo(&list, "no.such.host.invalid", "7", &tcp));
    assert_true(rc == -EVEN_EAI_NONAME || rc == -EVEN_EAI_AGAIN || rc == -EVEN_EAI_NODATA || rc == -EVEN_EAI_FAIL ||
                test_fault_fired());
    hints.ai_flags = AI_NUMERICHOST;
    rc = await(even_getaddrinfo(&list, "localhost.", "7", &hints));
    assert_true(rc == -EVEN_EAI_NONAME || test_fault_fired());
    rc = await(even_getaddrinfo(&list, "127.0.0.1", "no-such-service", &tcp));
    assert_true(rc == -EVEN_EAI_SERVICE || test_fault_fired());
    rc = await(even_getaddrinfo(&list, NULL, NULL, &tcp));
    assert_true(rc == -EVEN_EAI_NONAME || test_fault_fired());
    assert_ptr_equal(list, &list);      /* untouched */
    even_stream *s;
    rc = await(even_open_connection(&s, "no.such.host.invalid", 7));
    assert_true(rc <= -EVEN_EAI_ADDRFAMILY && rc >= -EVEN_EAI_SOCKTYPE);
    return 0;
}

TEST(a_name_that_does_not_resolve) { assert_int_equal(even_run(unknown()), 0); }

/* What only the C library knows to read. */
async(int, odd_forms)
{
    struct addrinfo *list, hints = tcp;
    try_await(even_getaddrinfo(&list, "127.1", "7", &tcp));
    check_v4(list, "127.0.0.1", 7);
    even_freeaddrinfo(list);
    try_await(even_getaddrinfo(&list, "::1", "7", NULL));   /* each type of socket */
    assert_non_null(list->ai_next);
    even_freeaddrinfo(list);
    hints.ai_flags = AI_CANONNAME;
    try_await(even_getaddrinfo(&list, "127.0.0.1", "7", &hints));
    assert_string_equal(list->ai_canonname, "127.0.0.1");
    even_freeaddrinfo(list);
    if (await(even_getaddrinfo(&list, "fe80::1%lo", "7", &tcp)) == 0) {
        assert_true(((struct sockaddr_in6 *)(void *)list->ai_addr)->sin6_scope_id > 0);
        even_freeaddrinfo(list);
    }
    return 0;
}

TEST(odd_forms_go_to_the_library, .on = TEST_KERNEL) { assert_int_equal(even_run(odd_forms()), 0); }

async(int, look_up, (int *, done))
{
    struct addrinfo *list;
    try_await(even_getaddrinfo(&list, "localhost", "7", &tcp));
    even_freeaddrinfo(list);
    ++*done;
    return 0;
}

enum { LOOKUPS = 100 };

async(int, many)
{
    even_co(look_up) *tasks[LOOKUPS];
    int done = 0;
    for (int i = 0; i < LOOKUPS; i++)
        tasks[i] = create_task(look_up(&done));
    for (int i = 0; i < LOOKUPS; i++)
        assert_int_equal(await(tasks[i]), 0);
    assert_int_equal(done, LOOKUPS);
    assert_true(threads_are(1, 6));     /* four, and one that looks whether they hang; and this one */
    return 0;
}

TEST(many_names_on_few_threads, .no_faults = true) { assert_int_equal(even_run(many()), 0); }

/* Waiting for a thread, with a thread, and on its way back: each may be cancelled. */
async(int, cancel_some)
{
    even_co(look_up) *tasks[LOOKUPS];
    int done = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < LOOKUPS; i++)
            tasks[i] = create_task(look_up(&done));
        for (int i = 0; i < round % 5; i++)
            await(even_sleep(i * 0.0002));
        for (int i = 0; i < LOOKUPS; i += 1 + round % 3)
            even_cancel(tasks[i]);
        for (int i = 0; i < LOOKUPS; i++) {
            int rc = await(tasks[i]);
            assert_true(rc == 0 || rc == -ECANCELED);
        }
    }
    return 0;
}

TEST(canceled_lookups, .no_faults = true)
{
    assert_int_equal(even_run(cancel_some()), 0);
    wait_for_threads();
}

async(int, leave_some)
{
    static int done;
    for (int i = 0; i < 20; i++)
        even_detach(create_task(look_up(&done)));
    await(even_sleep(0));
    return 0;
}

/* The loop is gone, and another one there, while threads still look for the first one's names. */
TEST(lookups_that_outlive_their_loop, .no_faults = true)
{
    for (int i = 0; i < 50; i++)
        assert_int_equal(even_run(leave_some()), 0);
    wait_for_threads();
}

async(int, nobody, (even_stream *, s))
{
    (void)s;
    return 0;
}

/* Cancelled at every pass of its start: there is a server, or nothing is left. */
async(int, starts_that_are_canceled)
{
    for (int i = 0; i < 8; i++) {
        even_server *server = NULL;
        even_stream *s = NULL;
        __auto_type starting = create_task(even_start_server(&server, nobody(EVEN_STREAM), "localhost", 0));
        __auto_type connecting = create_task(even_open_connection(&s, "localhost", 1));
        for (int j = 0; j < i; j++)
            await(even_sleep(0));
        even_cancel(starting);
        even_cancel(connecting);
        int rc = await(starting);
        assert_true(rc == 0 || rc == -ECANCELED);
        assert_true((rc == 0) == (server != NULL));
        rc = await(connecting);
        assert_true(rc == -ECONNREFUSED || rc == -ECANCELED);
        even_server_free(server);
    }
    return 0;
}

TEST(a_start_that_is_canceled, .no_faults = true)
{
    assert_int_equal(even_run(starts_that_are_canceled()), 0);
    wait_for_threads();
}

async(int, look_up_once)
{
    int done = 0;
    try_await(look_up(&done));
    return done;
}

TEST(a_name_in_the_child_of_a_fork, .no_faults = true)
{
    if (thread_sanitizer || emulated)
        test_skip("not under the thread sanitizer; qemu-user fails an assertion of its own in a new thread of the child");
    int status;
    assert_int_equal(even_run(look_up_once()), 1);      /* there is a thread now: not in the child */
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        _exit(even_run(look_up_once()));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

async(int, looks_up_for_a_closed_loop)
{
    struct addrinfo *list;
    return await(even_getaddrinfo(&list, "localhost.invalid", "7", &tcp));
}

static void keep_quiet(void *data, const char *text)
{
    (void)data, (void)text;     /* "was still pending when its loop was closed" */
}

/* The thread must not tell a loop that is gone. */
TEST(a_loop_closed_over_a_lookup, .on = TEST_KERNEL, .no_faults = true, .leaks_ok = true)
{
    even_set_report_hook(keep_quiet, NULL);
    for (int i = 0; i < 20; i++) {
        even_loop *loop;
        assert_int_equal(even_loop_new(&loop, NULL), 0);
        __auto_type look_up = looks_up_for_a_closed_loop();
        even_loop_stop(loop);
        assert_int_equal(even_run_until_complete_any(loop, &look_up->base), -EVEN_ESTOPPED);
        assert_int_equal(even_loop_close(loop), 0);
        assert_int_equal(even_status_of(&look_up->base), -EVEN_ECLOSED);
        even_detach(look_up);
    }
    wait_for_threads();
}
