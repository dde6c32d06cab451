/* Servers: handlers and how they end, many connections, shortages, the end of a server. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "test.h"
#include "backend/sim.h"
#include <arpa/inet.h>
#include <evenloop.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define V4 "127.0.0.1"

static char report[2048];
static int reports;

static void keep_report(void *data, const char *text)
{
    (void)data;
    reports++;
    snprintf(report, sizeof report, "%s", text);
}

async(int, echo, (even_stream *, s))
{
    char buffer[4096];
    ssize_t n;
    while ((n = await(even_read(s, buffer, sizeof buffer))) > 0)
        if ((n = await(even_write_all(s, buffer, (size_t)n))) < 0)
            break;
    return (int)n;
}

async(int, end_server, (even_server *, server))
{
    even_server_close(server);
    int rc = await(even_server_wait_closed(server));
    even_server_free(server);
    return rc;
}

/* A client: connect, send, and read until the end; what came is compared. */
async(int, ask, (even_server *, server), (const char *, text), (const char *, answer))
{
    even_stream *s;
    char got[128];
    size_t at = 0;
    ssize_t n;
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    if ((n = await(even_write_all(s, text, strlen(text)))) >= 0)
        n = await(even_shutdown(s));
    while (n >= 0 && (n = await(even_read(s, got + at, sizeof got - at))) > 0)
        at += (size_t)n;
    await(even_close(s));
    if (n == 0 && answer) {
        assert_int_equal(at, strlen(answer));
        assert_memory_equal(got, answer, at);
    }
    return (int)n;
}

#define SERVER_TEST(test_name, ...)                                                                                    \
    static async_decl(int, test_name##_main);                                                                          \
    TEST(test_name, __VA_ARGS__)                                                                                       \
    {                                                                                                                  \
        even_set_report_hook(keep_report, NULL);                                                                       \
        assert_int_equal(even_run(test_name##_main()), 0);                                                             \
    }                                                                                                                  \
    async_def(int, test_name##_main)

/* ---- handlers ---- */

SERVER_TEST(an_echo)
{
    even_server *server;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    assert_int_equal(await(ask(server, "hello", "hello")), 0);
    assert_int_equal(await(ask(server, "again", "again")), 0);
    try_await(end_server(server));
    assert_int_equal(reports, 0);
    return 0;
}

struct counts { int begun, ended; };

async(int, counted, (struct counts *, c), (const char *, greeting), (even_stream *, s), (int, times))
{
    c->begun++;
    for (int i = 0; i < times; i++)
        try_await(even_write_all(s, greeting, strlen(greeting)));
    c->ended++;
    return 0;
}

/* It returns and closes nothing: the server does. */
SERVER_TEST(a_handler_with_arguments_that_just_returns)
{
    struct counts c = { 0, 0 };
    even_server *server;
    try_await(even_start_server(&server, counted(&c, "ha", EVEN_STREAM, 3), V4, 0));
    for (int i = 0; i < 5; i++)
        assert_int_equal(await(ask(server, "", "hahaha")), 0);
    try_await(end_server(server));
    assert_int_equal(c.begun, 5);
    assert_int_equal(c.ended, 5);
    assert_int_equal(reports, 0);
    return 0;
}

async(int, closes, (even_stream *, s))
{
    try_await(even_write_all(s, "bye", 3));
    return await(even_close(s));
}

SERVER_TEST(a_handler_that_closes)
{
    even_server *server;
    try_await(even_start_server(&server, closes(EVEN_STREAM), V4, 0));
    assert_int_equal(await(ask(server, "", "bye")), 0);
    assert_int_equal(await(ask(server, "", "bye")), 0);
    try_await(end_server(server));
    assert_int_equal(reports, 0);
    return 0;
}

async(int, fails, (even_stream *, s))
{
    char c;
    await(even_read(s, &c, 1));
    return -EPROTO;
}

SERVER_TEST(a_handler_that_fails)
{
    even_server *server;
    try_await(even_start_server(&server, fails(EVEN_STREAM), V4, 0));
    assert_int_equal(await(ask(server, "x", "")), 0);
    try_await(end_server(server));
    assert_int_equal(reports, 1);
    assert_non_null(strstr(report, "'fails'"));
    assert_non_null(strstr(report, "EPROTO"));
    return 0;
}

/* Its stream is still being read, by a task of its own, when the handler returns. */
async(int, leaves_a_reader, (even_stream *, s))
{
    static char got[16];
    even_detach(create_task(even_read(s, got, sizeof got)));
    await(even_sleep(0.001));
    return 0;
}

SERVER_TEST(a_handler_that_leaves_a_reader_behind)
{
    even_server *server;
    even_stream *s;
    char c;
    try_await(even_start_server(&server, leaves_a_reader(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    assert_int_equal(await(even_read(s, &c, 1)), 0);
    try_await(even_close(s));
    try_await(end_server(server));
    return 0;
}

SERVER_TEST(a_handler_with_a_large_stack)
{
    even_server *server;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0, .stack_size = 256 * 1024, .backlog = 5));
    assert_int_equal(await(ask(server, "hello", "hello")), 0);
    try_await(end_server(server));
    return 0;
}

/* ---- many ---- */

enum { MANY = 1000 };

async(int, one_of_many, (int, port), (int, number), (int *, connected), (even_future *, all_are))
{
    even_stream *s;
    int got = -1;
    try_await(even_open_connection(&s, V4, port));
    ssize_t n = await(even_write_all(s, &number, sizeof number));
    if (n >= 0)
        n = await(even_read_exactly(s, &got, sizeof got));
    if (n >= 0 && ++*connected == MANY)
        even_set_result(all_are, 0);
    await(even_ref(all_are));
    await(even_close(s));
    assert_true(n < 0 || got == number);
    return n < 0 ? (int)n : 0;
}

SERVER_TEST(a_thousand_connections, .no_faults = true)
{
    struct rlimit limit;
    even_server *server;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * MANY + 100)
        test_skip("too few descriptors are allowed here");
    int connected = 0;
    __auto_type all_are = even_future_new(even_future);
    even_co(one_of_many) *clients[MANY];
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0, .backlog = 4096));
    for (int i = 0; i < MANY; i++)
        clients[i] = create_task(one_of_many(even_server_port(server), i, &connected, all_are));
    await(even_ref(all_are));
    assert_int_equal(even_server_connections(server), MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(await(clients[i]), 0);
    even_unref(&all_are->base);
    try_await(end_server(server));
    assert_int_equal(reports, 0);
    return 0;
}

/* ---- shortages ---- */

/* The next descriptor is the last one that may be had. */
static struct rlimit allow_one_more(void)
{
    struct rlimit before, now;
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    now.rlim_cur = (rlim_t)next + 1;
    setrlimit(RLIMIT_NOFILE, &now);
    return before;
}

SERVER_TEST(no_descriptor_for_an_accept, .no_faults = true, .no_valgrind = true)
{
    struct counts c = { 0, 0 };
    even_loop *loop = even_running_loop();
    bool sim = strcmp(even_loop_backend(loop), "sim") == 0;
    struct rlimit before;
    even_server *server;
    even_stream *s;
    char got[2];
    try_await(even_start_server(&server, counted(&c, "hi", EVEN_STREAM, 1), V4, 0));
    if (sim)
        even__sim_fail_accepts(loop, 2, EMFILE);
    else
        before = allow_one_more();
    double begin = even_time(loop);
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    if (!sim) {
        while (reports == 0)
            await(even_sleep(0.001));
        setrlimit(RLIMIT_NOFILE, &before);
    }
    assert_int_equal(await(even_read_exactly(s, got, 2)), 2);
    double took = even_time(loop) - begin;
    if (took < 0.99)
        fail_msg("accepted after %f s", took);
    if (sim && (took < 1.99 || took > 2.01))
        fail_msg("accepted after %f s, not after two rests", took);
    assert_int_equal(reports, 1);
    assert_non_null(strstr(report, "rests"));
    try_await(even_close(s));
    assert_int_equal(await(ask(server, "", "hi")), 0);
    assert_int_equal(reports, 1);
    try_await(end_server(server));
    return 0;
}

SERVER_TEST(closed_while_accepting_rests, .on = TEST_SIM)
{
    even_loop *loop = even_running_loop();
    even_server *server;
    even_stream *s;
    char c;
    even__sim_fail_accepts(loop, 1000, ENFILE);
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    await(even_sleep(0.5));
    assert_int_equal(reports, 1);
    try_await(end_server(server));
    assert_int_equal(await(even_read(s, &c, 1)), -ECONNRESET);
    try_await(even_close(s));
    return 0;
}

/* ---- addresses ---- */

SERVER_TEST(a_port_in_use)
{
    even_server *server, *other = NULL;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    int port = even_server_port(server);
    assert_int_equal(await(even_start_server(&other, echo(EVEN_STREAM), V4, port)), -EADDRINUSE);
    assert_null(other);
    assert_int_equal(await(even_start_server(&other, echo(EVEN_STREAM), V4, 65536)), -EINVAL);
    try_await(end_server(server));
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, port));     /* it is free again */
    assert_int_equal(even_server_port(server), port);
    try_await(end_server(server));
    assert_int_equal(reports, 0);       /* of templates that were never awaited, for one */
    return 0;
}

SERVER_TEST(a_port_for_two, .on = TEST_KERNEL)
{
    even_server *server, *other;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0, .reuse_port = true));
    try_await(even_start_server(&other, echo(EVEN_STREAM), V4, even_server_port(server), .reuse_port = true));
    try_await(end_server(server));
    assert_int_equal(await(ask(other, "x", "x")), 0);
    try_await(end_server(other));
    return 0;
}

SERVER_TEST(all_interfaces_on_one_port)
{
    even_server *server;
    even_stream *s;
    struct sockaddr_storage a;
    socklen_t n;
    char c;
    try_await(even_start_server(&server, echo(EVEN_STREAM), NULL, 0));
    assert_int_equal(await(ask(server, "four", "four")), 0);
    assert_int_equal(even_server_name(server, &a, &n), 0);
    int rc = await(even_open_connection(&s, "::1", even_server_port(server)));
    if (rc == 0) {
        assert_int_equal(await(even_write(s, "6", 1)), 1);
        assert_int_equal(await(even_read(s, &c, 1)), 1);
        assert_int_equal(c, '6');
        try_await(even_close(s));
    } else {
        assert_true(rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT || test_fault_fired());
    }
    try_await(end_server(server));
    return 0;
}

SERVER_TEST(a_host_that_is_none)
{
    even_server *server = NULL;
    int rc = await(even_start_server(&server, echo(EVEN_STREAM), "no.such.host.invalid", 0));
    assert_true(rc < 0);
    assert_null(server);
    assert_int_equal(await(even_start_server(&server, echo(EVEN_STREAM), "203.0.113.77", 0)), -EADDRNOTAVAIL);
    assert_int_equal(reports, 0);
    return 0;
}

SERVER_TEST(a_handler_that_is_none)
{
    even_server *server = NULL;
    assert_int_equal(await(even_start_server(&server, even_sleep(1), V4, 0)), -EINVAL);
    assert_int_equal(reports, 1);
    assert_null(server);
    return 0;
}

/* ---- the end of a server ---- */

SERVER_TEST(connections_outlive_the_listening)
{
    even_server *server;
    even_stream *s;
    char c;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    int port = even_server_port(server);
    try_await(even_open_connection(&s, V4, port));
    assert_int_equal(await(even_write(s, "a", 1)), 1);
    assert_int_equal(await(even_read(s, &c, 1)), 1);
    even_server_close(server);
    even_server_close(server);
    assert_int_equal(await(wait_for(even_server_wait_closed(server), 0.01)), -ETIMEDOUT);
    even_stream *late;
    assert_int_equal(await(even_open_connection(&late, V4, port)), -ECONNREFUSED);
    assert_int_equal(even_server_port(server), -EBADF);
    assert_int_equal(await(even_write(s, "b", 1)), 1);
    assert_int_equal(await(even_read(s, &c, 1)), 1);
    assert_int_equal(c, 'b');
    assert_int_equal(even_server_connections(server), 1);
    even_server_close_clients(server);
    assert_int_equal(await(even_server_wait_closed(server)), 0);
    assert_int_equal(even_server_connections(server), 0);
    assert_int_equal(await(even_server_wait_closed(server)), 0);
    assert_int_equal(await(even_read(s, &c, 1)), 0);
    try_await(even_close(s));
    even_server_free(server);
    assert_int_equal(reports, 0);
    return 0;
}

async(int, forever, (even_server *, server))
{
    return await(even_serve_forever(server));
}

SERVER_TEST(serving_for_ever_until_canceled)
{
    even_server *server;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    __auto_type serving = create_task(forever(server));
    assert_int_equal(await(ask(server, "x", "x")), 0);
    even_cancel(serving);
    assert_int_equal(await(serving), -ECANCELED);
    assert_int_equal(even_server_port(server), -EBADF);
    try_await(end_server(server));
    return 0;
}

SERVER_TEST(serving_for_ever_until_closed)
{
    even_server *server;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    __auto_type serving = create_task(forever(server));
    __auto_type waiting = create_task(even_server_wait_closed(server));
    await(even_sleep(0));
    even_server_close(server);
    assert_int_equal(await(serving), 0);
    assert_int_equal(await(waiting), 0);
    assert_int_equal(await(even_serve_forever(server)), 0);
    even_server_free(server);
    return 0;
}

/* Given up at once: it goes by itself, after its connections. */
SERVER_TEST(freed_with_connections)
{
    even_server *server;
    even_stream *s;
    char c;
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    assert_int_equal(await(even_write(s, "a", 1)), 1);
    assert_int_equal(await(even_read(s, &c, 1)), 1);
    even_server_free(server);
    even_server_free(NULL);
    try_await(even_close(s));
    return 0;
}

/* The main coroutine leaves it all behind: the end of the run closes it. */
static even_server *left_server;

async(int, leave_it_all)
{
    even_stream *s;
    char c;
    try_await(even_start_server(&left_server, echo(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(left_server)));
    assert_int_equal(await(even_write(s, "a", 1)), 1);
    assert_int_equal(await(even_read(s, &c, 1)), 1);
    even_server_free(left_server);
    try_await(even_close(s));
    try_await(even_start_server(&left_server, echo(EVEN_STREAM), V4, 0));
    return 0;
}

TEST(left_to_the_end_of_the_run)
{
    even_set_report_hook(keep_report, NULL);
    assert_int_equal(even_run(leave_it_all()), 0);
    assert_non_null(left_server);
    even_server_close(left_server);
    even_server_free(left_server);
}

async(int, leave_it_resting)
{
    even_stream *s;
    even__sim_fail_accepts(even_running_loop(), 1000, ENFILE);
    try_await(even_start_server(&left_server, echo(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(left_server)));
    await(even_sleep(0.5));
    return await(even_close(s));
}

TEST(left_while_accepting_rests, .on = TEST_SIM)
{
    even_set_report_hook(keep_report, NULL);
    assert_int_equal(even_run(leave_it_resting()), 0);
    assert_non_null(left_server);
    even_server_free(left_server);
}

/* Clients that come, say something and go, while the server is closed under them; the order is the seed's. */
async(int, comes_and_goes, (int, port), (int, number))
{
    even_stream *s;
    char got[16];
    await(even_sleep(0.0001 * number));
    int rc = await(even_open_connection(&s, V4, port));
    if (rc < 0)
        return 0;
    ssize_t n = await(even_write_all(s, "0123456789", 10));
    if (n == 10 && number % 3)
        n = await(even_read_exactly(s, got, number % 3 == 1 ? 10 : 11));
    try_await(even_close(s));
    return 0;
}

SERVER_TEST(closed_amid_clients, .on = TEST_ALL, .seeds = true)
{
    even_server *server;
    even_co(comes_and_goes) *clients[30];
    try_await(even_start_server(&server, echo(EVEN_STREAM), V4, 0));
    for (int i = 0; i < 30; i++)
        clients[i] = create_task(comes_and_goes(even_server_port(server), i));
    await(even_sleep(0.0015));
    even_server_close(server);
    await(even_sleep(0.001));
    even_server_close_clients(server);
    assert_int_equal(await(even_server_wait_closed(server)), 0);
    even_server_free(server);
    for (int i = 0; i < 30; i++)
        assert_int_equal(await(clients[i]), 0);
    return 0;
}

/* ---- a loop that is closed over a server ---- */

static unsigned idle_handlers;

async(int, idles, (even_stream *, s))
{
    char b[4];
    idle_handlers++;
    return (int)await(even_read(s, b, sizeof b));
}

async(int, leaves_idle_connections, (even_server **, server), (even_stream **, mine), (bool, closes))
{
    try_await(even_start_server(server, idles(EVEN_STREAM), V4, 0));
    for (int i = 0; i < 3; i++)
        try_await(even_open_connection(&mine[i], V4, even_server_port(*server)));
    while (idle_handlers < 3)
        await(even_sleep(0));
    if (closes)
        even_server_close(*server);
    return 0;
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The descriptors of both ends go with the loop, and what nobody closed is named. What a handler's frames held stays. */
static void closes_a_loop_over_connections(bool closes, bool frees_first)
{
    even_loop *loop;
    even_server *server = NULL;
    even_stream *mine[3];
    const unsigned before = open_descriptors();
    even_set_report_hook(keep_report, NULL);
    idle_handlers = 0;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    __auto_type body = leaves_idle_connections(&server, mine, closes);
    assert_int_equal(even_run_until_complete_any(loop, &body->base), 0);
    assert_int_equal(body->result, 0);
    even_unref(&body->base);
    if (frees_first)
        even_server_free(server);
    assert_int_equal(even_loop_close(loop), 0);
    if (!frees_first) {
        assert_int_equal(even_server_connections(server), 0);
        even_server_free(server);
    }
    assert_int_equal(open_descriptors(), before);
    assert_non_null(strstr(report, "'stream' was never closed; it was made at test_server.c:"));
}

TEST(a_loop_is_closed_over_a_server, .no_faults = true, TEST_LEAKS_OK) { closes_a_loop_over_connections(false, false); }
TEST(a_loop_is_closed_over_a_server_that_was_given_up, .no_faults = true, TEST_LEAKS_OK)
{
    closes_a_loop_over_connections(false, true);
}
TEST(a_loop_is_closed_over_a_closed_server, .no_faults = true, TEST_LEAKS_OK) { closes_a_loop_over_connections(true, false); }
