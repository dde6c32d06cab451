/* Streams: both ends of a connection in one loop, over the kernel's loopback and over sim's network. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "streams.h"
#include "backend/sim.h"
#include <netinet/in.h>
#include <stdio.h>

static char report[2048];
static int reports;

static void keep_report(void *data, const char *text)
{
    (void)data;
    reports++;
    snprintf(report, sizeof report, "%s", text);
}

/* A task that reads once. */
async(ssize_t, read_once, (even_stream *, s), (char *, buffer), (size_t, n))
{
    return await(even_read(s, buffer, n));
}

async(int, send_later, (even_stream *, s), (const char *, text))
{
    await(even_sleep(0.01));
    send_all(s, text);
    return 0;
}

/* ---- reading and writing ---- */

STREAM_TEST(what_is_written_is_read, V4)
{
    char got[16];
    send_all(e->client, "hello");
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(await(even_write(e->peer, "you", 3)), 3);
    expect(e->client, "you");
    assert_int_equal(await(even_read(e->client, got, 0)), 0);
    assert_int_equal(await(even_write(e->client, got, 0)), 0);
    assert_int_equal(await(even_write_all(e->client, got, 0)), 0);
    assert_int_equal(await(even_read_exactly(e->client, got, 0)), 0);
    return 0;
}

STREAM_TEST(over_ipv6, "::1")
{
    struct sockaddr_storage a;
    socklen_t n;
    send_all(e->client, "six");
    expect(e->peer, "six");
    assert_int_equal(even_peer_name(e->client, &a, &n), 0);
    assert_int_equal(a.ss_family, AF_INET6);
    assert_int_equal(n, sizeof(struct sockaddr_in6));
    return 0;
}

STREAM_TEST(names_agree, V4)
{
    struct sockaddr_storage a, b;
    socklen_t na, nb;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    assert_int_equal(even_peer_name(e->client, &a, &na), 0);
    assert_int_equal(even_local_name(e->peer, &b, &nb), 0);
    assert_int_equal(na, sizeof(struct sockaddr_in));
    assert_int_equal(na, nb);
    assert_memory_equal(&a, &b, na);
    assert_int_equal(ntohs(((struct sockaddr_in *)&a)->sin_port), even_server_port(e->server));
    assert_true(even_stream_fd(e->client) >= 0);
    return 0;
}

STREAM_TEST(exactly_takes_pieces, V4)
{
    send_all(e->peer, "abc");
    __auto_type later = begun(send_later(e->peer, "defg"));
    expect(e->client, "abcdefg");
    await(later);
    return 0;
}

STREAM_TEST(exactly_at_the_end, V4)
{
    char got[16];
    send_all(e->peer, "abc");
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    assert_int_equal(await(even_read_exactly(e->client, got, 7)), -EVEN_EINCOMPLETE);
    assert_int_equal(await(even_read(e->client, got, 2)), 2);
    assert_memory_equal(got, "ab", 2);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 1);
    assert_memory_equal(got, "c", 1);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 0);
    assert_int_equal(await(even_read_exactly(e->client, got, 1)), -EVEN_EINCOMPLETE);
    return 0;
}

STREAM_TEST(exactly_canceled_keeps_what_came, V4)
{
    char got[16];
    __auto_type reading = create_task(even_read_exactly(e->client, got, 7));
    send_all(e->peer, "abc");
    await(even_sleep(0.01));
    even_cancel(reading);
    assert_int_equal(await(reading), -ECANCELED);
    send_all(e->peer, "defg");
    expect(e->client, "abcdefg");
    return 0;
}

STREAM_TEST(until_across_reads, V4)
{
    char got[32];
    send_all(e->peer, "ab\r");
    __auto_type later = begun(send_later(e->peer, "\ncd\r\nrest"));
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\r\n", 2)), 4);
    assert_memory_equal(got, "ab\r\n", 4);
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\r\n", 2)), 4);
    assert_memory_equal(got, "cd\r\n", 4);
    await(later);
    send_all(e->peer, "+more");
    expect(e->client, "rest+more");     /* from what was read ahead, and from the socket */
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "", 0)), -EINVAL);
    return 0;
}

STREAM_TEST(until_at_the_limit, V4)
{
    char got[32];
    memset(got, '#', sizeof got);
    send_all(e->peer, "abcd\nef\n");
    assert_int_equal(await(even_read_until(e->client, got, 4, "\n", 1)), -EVEN_ELIMIT);
    assert_int_equal(got[0], '#');
    assert_int_equal(await(even_read_until(e->client, got, 5, "\n", 1)), 5);
    assert_memory_equal(got, "abcd\n#", 6);
    assert_int_equal(await(even_read_until(e->client, got, 3, "\n", 1)), 3);
    assert_memory_equal(got, "ef\n", 3);
    assert_int_equal(await(even_read_until(e->client, got, 0, "\n", 1)), -EVEN_ELIMIT);
    return 0;
}

STREAM_TEST(until_at_the_end, V4)
{
    char got[32];
    send_all(e->peer, "abc");
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), -EVEN_EINCOMPLETE);
    expect(e->client, "abc");
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 0);
    return 0;
}

STREAM_TEST(until_canceled_keeps_what_came, V4)
{
    char got[32];
    __auto_type reading = create_task(even_read_until(e->client, got, sizeof got, "\n", 1));
    send_all(e->peer, "abc");
    await(even_sleep(0.01));
    even_cancel(reading);
    assert_int_equal(await(reading), -ECANCELED);
    send_all(e->peer, "d\n");
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), 5);
    assert_memory_equal(got, "abcd\n", 5);
    return 0;
}

enum { LONG = 300 * 1000 };

async(int, send_long_lines, (even_stream *, s))
{
    char *line = malloc(LONG);
    memset(line, 'x', LONG);
    for (int i = 0; i < 3; i++) {
        send_all(s, "<");
        assert_int_equal(await(even_write_all(s, line, LONG)), LONG);
        send_all(s, ">short>");
    }
    free(line);
    return 0;
}

STREAM_TEST(until_of_long_and_short_lines, V4)
{
    __auto_type sending = begun(send_long_lines(e->peer));
    char *got = malloc(LONG + 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(await(even_read_until(e->client, got, LONG + 2, ">", 1)), LONG + 2);
        assert_int_equal(got[0], '<');
        for (int j = 1; j <= LONG; j++)
            if (got[j] != 'x')
                fail_msg("byte %d is %d", j, got[j]);
        assert_int_equal(got[LONG + 1], '>');
        assert_int_equal(await(even_read_until(e->client, got, LONG + 2, ">", 1)), 6);
        assert_memory_equal(got, "short>", 6);
    }
    free(got);
    assert_int_equal(await(sending), 0);
    return 0;
}

async(int, send_much, (even_stream *, s), (size_t, total))
{
    unsigned char *data = malloc(total);
    for (size_t i = 0; i < total; i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
    assert_int_equal(await(even_write_all(s, data, total)), total);
    free(data);
    assert_int_equal(await(even_shutdown(s)), 0);
    return 0;
}

STREAM_TEST(megabytes_arrive_in_order, V4)
{
    size_t total = 5 * 1000 * 1000, at = 0;
    static unsigned char got[70 * 1000];
    ssize_t n;
    __auto_type sending = begun(send_much(e->peer, total));
    while ((n = await(even_read(e->client, got, sizeof got))) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            if (got[i] != (unsigned char)(at * 7 + at / 251))
                fail_msg("byte %zu is wrong", at);
    assert_int_equal(n, 0);
    assert_int_equal(at, total);
    assert_int_equal(await(sending), 0);
    return 0;
}

/* ---- ends of streams ---- */

STREAM_TEST(half_closed, V4)
{
    char got[16];
    send_all(e->client, "last words");
    assert_int_equal(await(even_shutdown(e->client)), 0);
    expect(e->peer, "last words");
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), 0);
    send_all(e->peer, "answer");
    expect(e->client, "answer");
    assert_int_equal(await(even_write(e->client, "x", 1)), -EPIPE);
    assert_int_equal(await(even_write_all(e->client, "x", 1)), -EPIPE);
    return 0;
}

static void reset_on_close(even_stream *s)
{
    even_loop *loop = even_running_loop();
    assert_int_equal(loop->backend->net->set_option(loop, even_stream_fd(s), SOL_SOCKET, SO_LINGER, 0), 0);
}

/* It is told to whoever asks. */
static void is_broken(even_stream *s, int failure)
{
    char got[4];
    assert_int_equal(await(even_read(s, got, 1)), failure);
    assert_int_equal(await(even_read_exactly(s, got, 2)), failure);
    assert_int_equal(await(even_read_until(s, got, 2, "\n", 1)), failure);
    assert_int_equal(await(even_write(s, "x", 1)), failure);
    assert_int_equal(await(even_write_all(s, "x", 1)), failure);
    assert_int_equal(await(even_shutdown(s)), failure);
}

STREAM_TEST(a_peer_that_resets, V4)
{
    char got[16];
    __auto_type reading = create_task(read_once(e->client, got, sizeof got));
    await(even_sleep(0));
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    assert_int_equal(await(reading), -ECONNRESET);
    for (int i = 0; i < 2; i++)
        is_broken(e->client, -ECONNRESET);
    return 0;
}

/* What had come may be read first, by whichever read; then a reset is no clean end, however often it is asked. */
STREAM_TEST(a_reset_behind_some_bytes, V4)
{
    char got[16];
    __auto_type reading = begun(even_read_exactly(e->client, got, 10));
    send_all(e->peer, "half");
    await(even_sleep(0.01));
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    assert_int_equal(await(reading), -ECONNRESET);
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), -ECONNRESET);
    assert_int_equal(await(even_read_exactly(e->client, got, 5)), -ECONNRESET);
    assert_int_equal(await(even_read(e->client, got, 1)), 1);
    assert_int_equal(await(even_read_exactly(e->client, got, 4)), -ECONNRESET);
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "l", 1)), 2);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 1);
    assert_int_equal(got[0], 'f');
    is_broken(e->client, -ECONNRESET);
    return 0;
}

STREAM_TEST(a_reset_in_a_line, V4)
{
    char got[16];
    __auto_type reading = begun(even_read_until(e->client, got, sizeof got, "\n", 1));
    send_all(e->peer, "half");
    await(even_sleep(0.01));
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    assert_int_equal(await(reading), -ECONNRESET);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 4);
    is_broken(e->client, -ECONNRESET);
    return 0;
}

/* The write takes the failure away from the read, as far as the kernel is concerned. */
STREAM_TEST(a_reset_that_a_write_is_told, V4)
{
    char got[16];
    send_all(e->peer, "half");
    await(even_sleep(0.01));
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    await(even_sleep(0.01));
    assert_int_equal(await(even_write(e->client, "x", 1)), -ECONNRESET);
    assert_int_equal(await(even_write(e->client, "x", 1)), -ECONNRESET);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 4);
    is_broken(e->client, -ECONNRESET);
    return 0;
}

STREAM_TEST(a_reset_while_a_task_writes, V4)
{
    size_t n = 64 * 1000 * 1000;
    char *much = calloc(1, n);
    __auto_type writing = begun(even_write_all(e->client, much, n));
    await(even_sleep(0.01));
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    assert_int_equal(await(writing), -ECONNRESET);
    is_broken(e->client, -ECONNRESET);
    free(much);
    return 0;
}

/* The peer ended first: that is what reads are told, whatever becomes of our writes. */
STREAM_TEST(an_end_stays_an_end, V4)
{
    char got[16];
    send_all(e->peer, "all");
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    expect(e->client, "all");
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 0);
    reset_on_close(e->peer);
    assert_int_equal(await(even_close(e->peer)), 0);
    await(even_sleep(0.01));
    for (int i = 0; i < 3; i++) {
        assert_true(await(even_write(e->client, "x", 1)) < 0);
        assert_int_equal(await(even_read(e->client, got, sizeof got)), 0);
        assert_int_equal(await(even_read_exactly(e->client, got, 1)), -EVEN_EINCOMPLETE);
    }
    return 0;
}

/* Nor is a read that was canceled, or came too late, a failure of the stream. */
STREAM_TEST(a_cancel_breaks_nothing, V4)
{
    char got[16];
    for (int i = 0; i < 3; i++) {
        __auto_type reading = begun(even_read(e->client, got, sizeof got));
        even_cancel(reading);
        assert_int_equal(await(reading), -ECANCELED);
        assert_int_equal(await(wait_for(even_read_exactly(e->client, got, 7), 0.005)), -ETIMEDOUT);
        assert_int_equal(await(wait_for(even_read_until(e->client, got, 7, "\n", 1), 0.005)), -ETIMEDOUT);
        send_all(e->peer, "x");
        expect(e->client, "x");
    }
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    assert_int_equal(await(even_read(e->client, got, sizeof got)), 0);
    return 0;
}

STREAM_TEST(a_peer_that_never_reads, V4)
{
    size_t n = 64 * 1000 * 1000;
    char *much = calloc(1, n);
    assert_int_equal(await(wait_for(even_write_all(e->client, much, n), 0.05)), -ETIMEDOUT);
    ssize_t some = 0;
    while (some >= 0)
        some = await(wait_for(even_write(e->client, much, n), 0.05));
    assert_int_equal(some, -ETIMEDOUT);
    free(much);     /* the kernel has let go of it */
    return 0;
}

STREAM_TEST(close_ends_a_read, V4)
{
    char got[16];
    __auto_type reading = create_task(read_once(e->client, got, sizeof got));
    await(even_sleep(0));
    assert_int_equal(await(even_close(e->client)), 0);
    e->client = NULL;
    assert_int_equal(await(reading), -ECANCELED);
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), 0);
    return 0;
}

async(ssize_t, read_on, (even_stream *, s))
{
    char got[8];
    ssize_t n;
    while ((n = await(even_read_exactly(s, got, 3))) > 0)
        continue;
    return n;
}

async(ssize_t, write_on, (even_stream *, s), (const char *, data), (size_t, n))
{
    ssize_t rc;
    while ((rc = await(even_write_all(s, data, n))) > 0)
        continue;
    return rc;
}

/* Both directions busy, and in the instant in which bytes come: whoever reads finds no freed stream. */
STREAM_TEST(close_ends_all_that_is_going_on, V4)
{
    size_t n = 1000 * 1000;
    char *much = calloc(1, n);
    __auto_type reading = create_task(read_on(e->client));
    __auto_type writing = create_task(write_on(e->client, much, n));
    await(even_sleep(0.01));
    send_all(e->peer, "abcd");
    assert_int_equal(await(even_close(e->client)), 0);
    e->client = NULL;
    assert_int_equal(await(reading), -ECANCELED);
    assert_int_equal(await(writing), -ECANCELED);
    free(much);
    return 0;
}

STREAM_TEST(close_is_not_canceled, V4)
{
    char got[4];
    __auto_type closing = create_task(even_close(e->client));
    e->client = NULL;
    even_cancel(closing);
    assert_int_equal(await(closing), 0);
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), 0);
    return 0;
}

async(int, close_one, (even_stream *, s))
{
    int rc = await(even_close(s));
    assert_int_equal(rc, 0);
    return await(even_sleep(0));        /* the cancel comes here */
}

STREAM_TEST(a_cancel_comes_after_the_close, V4)
{
    char got[4];
    __auto_type closing = begun(close_one(e->client));
    e->client = NULL;
    even_cancel(closing);
    assert_int_equal(await(closing), -ECANCELED);
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), 0);
    return 0;
}

async(int, leave_open)
{
    even_server *server;
    even_stream *s;
    try_await(even_start_server(&server, hold(NULL, EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, V4, even_server_port(server)));
    even_server_free(server);
    return 0;
}

TEST(a_stream_that_nobody_closes)
{
    even_set_report_hook(keep_report, NULL);
    assert_int_equal(even_run(leave_open()), 0);
    assert_int_equal(reports, 1);
    assert_non_null(strstr(report, "'stream' was never closed"));
    assert_non_null(strstr(report, "test_stream"));
}

STREAM_TEST(closed_twice, V4)
{
    char got[4];
    even_set_report_hook(keep_report, NULL);
    assert_int_equal(await(even_close(e->peer)), 0);
    assert_false(e->over);
    assert_int_equal(await(even_close(e->peer)), -EBADF);   /* its handler has not ended: it is still there */
    assert_int_equal(reports, 1);
    assert_int_equal(await(even_read(e->peer, got, sizeof got)), -EBADF);
    assert_int_equal(reports, 2);
    assert_non_null(strstr(report, "even_read"));
    assert_int_equal(await(even_shutdown(e->peer)), -EBADF);
    struct sockaddr_storage a;
    socklen_t n;
    assert_int_equal(even_peer_name(e->peer, &a, &n), -EBADF);
    assert_int_equal(await(even_close(NULL)), 0);
    even_set_report_hook(NULL, NULL);
    return 0;
}

STREAM_TEST(two_readers, V4)
{
    char got[16], other[16];
    even_set_report_hook(keep_report, NULL);
    __auto_type reading = begun(read_once(e->client, got, sizeof got));
    __auto_type second = create_task(read_once(e->client, other, sizeof other), .name = "the second");
    assert_int_equal(await(wait_for(second, 5)), -EBUSY);
    assert_int_equal(reports, 1);
    assert_non_null(strstr(report, "even_read in the second"));
    send_all(e->peer, "for the first");
    assert_int_equal(await(reading), 13);
    even_set_report_hook(NULL, NULL);
    return 0;
}

STREAM_TEST(one_reads_while_another_writes, V4)
{
    char got[16];
    __auto_type reading = create_task(read_once(e->client, got, sizeof got));
    await(even_sleep(0));
    send_all(e->client, "ping");
    expect(e->peer, "ping");
    send_all(e->peer, "pong");
    assert_int_equal(await(reading), 4);
    return 0;
}

/* ---- cancelling ---- */

async(int, read_into, (even_stream *, s), (unsigned char *, all), (int *, at))
{
    unsigned char got[8];
    ssize_t n = await(even_read(s, got, sizeof got));
    if (n > 0) {
        memcpy(all + *at, got, (size_t)n);
        *at += (int)n;
    }
    return n < 0 ? (int)n : 0;
}

enum { ROUNDS = 300 };

/* Cancel reads just before, while and just after a byte comes: each byte is read once, in order. */
STREAM_TEST(a_canceled_read_loses_nothing, V4)
{
    unsigned char all[ROUNDS + 8], byte;
    int at = 0, canceled = 0;
    for (int i = 0; i < ROUNDS; i++) {
        while (i % 7 == 3 && at < i)        /* else the read would be over at once */
            assert_int_equal(await(read_into(e->client, all, &at)), 0);
        __auto_type reading = create_task(read_into(e->client, all, &at));
        byte = (unsigned char)i;
        if (i % 7 == 3) {
            await(even_sleep(0));
            even_cancel(reading);
        }
        assert_int_equal(await(even_write(e->peer, &byte, 1)), 1);
        for (int j = 0; j < i % 4; j++)
            await(even_sleep(0));
        if (i % 5 == 0)
            await(even_sleep(0.0001));
        even_cancel(reading);
        int rc = await(reading);
        assert_true(rc == 0 || rc == -ECANCELED);
        canceled += rc == -ECANCELED;
    }
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    while (at < ROUNDS)
        assert_int_equal(await(read_into(e->client, all, &at)), 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(all[i], (unsigned char)i);
    assert_true(canceled >= ROUNDS / 7);
    return 0;
}

STREAM_TEST(a_read_in_time_and_one_too_late, V4)
{
    char got[16];
    memset(got, '#', sizeof got);
    assert_int_equal(await(wait_for(even_read(e->client, got, sizeof got), 0.01)), -ETIMEDOUT);
    send_all(e->peer, "late");
    await(even_sleep(0.01));
    for (size_t i = 0; i < sizeof got; i++)     /* nothing is written into it any more */
        assert_int_equal(got[i], '#');
    assert_int_equal(await(wait_for(even_read(e->client, got, sizeof got), 5)), 4);
    return 0;
}

/* An operation whose owner has gone: it keeps itself until the kernel is done. */
STREAM_TEST(a_read_that_nobody_waits_for, V4)
{
    static char got[16];
    even_detach(create_task(even_read(e->client, got, sizeof got)));
    await(even_sleep(0.001));
    send_all(e->peer, "x");
    await(even_sleep(0.01));
    even_detach(create_task(even_read(e->client, got, sizeof got)));
    await(even_sleep(0.001));
    return 0;       /* the close ends it */
}

/* ---- connecting ---- */

async(int, refused)
{
    even_server *server;
    even_stream *s = (even_stream *)&server;    /* outputs are untouched on failure */
    try_await(even_start_server(&server, hold(NULL, EVEN_STREAM), V4, 0));
    int port = even_server_port(server);
    even_server_close(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    assert_int_equal(await(even_open_connection(&s, V4, port)), -ECONNREFUSED);
    assert_ptr_equal(s, &server);
    assert_int_equal(await(even_open_connection(&s, V4, 65536)), -EINVAL);
    assert_int_equal(await(even_open_connection(&s, V4, -1)), -EINVAL);
    return 0;
}

TEST(a_refused_connection) { assert_int_equal(even_run(refused()), 0); }

async(int, greet, (even_stream *, s))
{
    ssize_t n = await(even_write_all(s, "hi", 2));
    return n < 0 ? (int)n : 0;
}

/* NULL is ::1 and 127.0.0.1: nobody listens on the first. */
async(int, second_address)
{
    even_server *server;
    even_stream *s;
    try_await(even_start_server(&server, greet(EVEN_STREAM), V4, 0));
    try_await(even_open_connection(&s, NULL, even_server_port(server)));
    expect(s, "hi");
    try_await(even_close(s));
    even_server_close(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    return 0;
}

TEST(the_second_address_of_a_name) { assert_int_equal(even_run(second_address()), 0); }

/* A slow network: the second address is tried 250 ms after the first, beside it. */
async(int, head_start)
{
    even_loop *loop = even_running_loop();
    even_server *server;
    even_stream *s;
    even__sim_set_latency(loop, 400 * 1000 * 1000);
    try_await(even_start_server(&server, greet(EVEN_STREAM), V4, 0));
    double begin = even_time(loop);
    try_await(even_open_connection(&s, "localhost", even_server_port(server)));
    double took = even_time(loop) - begin;
    if (took < 1.049 || took > 1.051)
        fail_msg("took %f s, not 0.25 + 2 * 0.4", took);
    try_await(even_close(s));
    /* Given up with both of them in progress, and before the second. */
    assert_int_equal(await(wait_for(even_open_connection(&s, "localhost", even_server_port(server)), 0.3)), -ETIMEDOUT);
    assert_int_equal(await(wait_for(even_open_connection(&s, "localhost", even_server_port(server)), 0.1)), -ETIMEDOUT);
    even_server_close(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    return 0;
}

TEST(addresses_have_a_head_start, .on = TEST_SIM) { assert_int_equal(even_run(head_start()), 0); }

/* A race of a connect with its cancel, at every pass: it is there, or nothing stays open. */
async(int, connect_races)
{
    even_server *server;
    try_await(even_start_server(&server, greet(EVEN_STREAM), V4, 0));
    for (int i = 0; i < 40; i++) {
        even_stream *s = NULL;
        __auto_type connecting = create_task(even_open_connection(&s, V4, even_server_port(server)));
        for (int j = 0; j < i % 8; j++)
            await(even_sleep(0));
        even_cancel(connecting);
        int rc = await(connecting);
        assert_true(rc == 0 || rc == -ECANCELED);
        assert_true((rc == 0) == (s != NULL));
        if (s)
            try_await(even_close(s));
    }
    even_server_close(server);
    even_server_close_clients(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    return 0;
}

TEST(a_canceled_connect_leaves_nothing)
{
    even_set_report_hook(keep_report, NULL);    /* handlers whose client has gone */
    assert_int_equal(even_run(connect_races()), 0);
}

/* The same under each seed of sim: short reads and writes, other latencies. */
STREAM_TEST(lines_under_every_seed, V4, .on = TEST_SIM, .seeds = true)
{
    char got[64];
    __auto_type later = begun(send_later(e->peer, "one\ntwo\nthree\n"));
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), 4);
    expect(e->client, "two\nth");
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), 4);
    assert_memory_equal(got, "ree\n", 4);
    await(later);
    return 0;
}
