/* Reading from streams: what is read ahead, what is lent, and what is held back. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "streams.h"
#include "base/base.h"
#include "io/stream.h"
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

/* Bytes that were taken from the kernel and not read. */
static size_t bytes_ahead(even_stream *s)
{
    size_t n = 0;
    for (const struct even__piece *p = s->source.first; p; p = p->next)
        n += p->length;
    return n;
}

/* ---- pieces ---- */

static void expect_piece(even_stream *s, const char *text)
{
    const void *data;
    assert_int_equal(await(even_read_piece(s, &data)), strlen(text));
    assert_memory_equal(data, text, strlen(text));
}

STREAM_TEST(a_piece_is_what_came, V4)
{
    const void *data = "untouched";
    send_all(e->peer, "hello");
    expect_piece(e->client, "hello");
    send_all(e->peer, "you");
    expect_piece(e->client, "you");
    assert_int_equal(await(even_shutdown(e->peer)), 0);
    for (int i = 0; i < 3; i++) {
        const void *before = data;
        assert_int_equal(await(even_read_piece(e->client, &data)), 0);
        assert_ptr_equal(data, before);
    }
    return 0;
}

/* It is its reader's, over awaits, whatever comes meanwhile, on this connection and others. */
STREAM_TEST(a_piece_stays_until_the_next_read, V4)
{
    const void *data, *other;
    send_all(e->peer, "this one stays");
    assert_int_equal(await(even_read_piece(e->client, &data)), 14);
    for (int i = 0; i < 50; i++) {
        send_all(e->peer, "more ");
        send_all(e->client, "and back");
        assert_int_equal(await(even_read_piece(e->peer, &other)), 8);
        assert_memory_equal(other, "and back", 8);
        assert_memory_equal(data, "this one stays", 14);
        assert_ptr_not_equal(data, other);
    }
    for (int i = 0; i < 50; i++)
        expect(e->client, "more ");
    return 0;
}

STREAM_TEST(all_reads_take_turns, V4)
{
    char got[32];
    send_all(e->peer, "one two\nthree four five");
    await(even_sleep(0.01));
    assert_int_equal(await(even_read(e->client, got, 4)), 4);
    assert_int_equal(await(even_read_until(e->client, got, sizeof got, "\n", 1)), 4);
    assert_memory_equal(got, "two\n", 4);
    expect(e->client, "three ");
    expect_piece(e->client, "four five");
    send_all(e->peer, "six");
    expect(e->client, "six");
    return 0;
}

STREAM_TEST(a_piece_that_nobody_waits_for_any_more, V4)
{
    const void *data = NULL;
    for (int i = 0; i < 3; i++) {
        __auto_type reading = begun(even_read_piece(e->client, &data));
        even_cancel(reading);
        assert_int_equal(await(reading), -ECANCELED);
        assert_int_equal(await(wait_for(even_read_piece(e->client, &data), 0.005)), -ETIMEDOUT);
        assert_ptr_equal(data, NULL);
        send_all(e->peer, "late");
        expect(e->client, "late");
    }
    return 0;
}

STREAM_TEST(a_close_takes_the_piece, V4)
{
    const void *data;
    even_loop *loop = even_running_loop();
    send_all(e->peer, "held, and more");
    assert_int_equal(await(even_read_piece(e->client, &data)), 14);
    assert_true(loop->lent_bytes > 0);
    send_all(e->peer, "unread");
    await(even_sleep(0.01));
    assert_int_equal(await(even_close(e->client)), 0);
    e->client = NULL;
    assert_int_equal(loop->lent_bytes, 0);
    return 0;
}

STREAM_TEST(a_reset_behind_a_piece, V4)
{
    const void *data;
    even_loop *loop = even_running_loop();
    send_all(e->peer, "half");
    assert_int_equal(await(even_read_piece(e->client, &data)), 4);
    assert_int_equal(loop->backend->net->set_option(loop, even_stream_fd(e->peer), SOL_SOCKET, SO_LINGER, 0), 0);
    assert_int_equal(await(even_close(e->peer)), 0);
    await(even_sleep(0.01));
    assert_memory_equal(data, "half", 4);
    for (int i = 0; i < 3; i++)
        assert_int_equal(await(even_read_piece(e->client, &data)), -ECONNRESET);
    assert_int_equal(await(even_write(e->client, "x", 1)), -ECONNRESET);    /* whoever heard of it first */
    return 0;
}

/* While nobody read, the source heard of it: the write that comes next is told the same. */
STREAM_TEST(a_reset_that_only_the_source_heard_of, V4)
{
    char got[8];
    even_loop *loop = even_running_loop();
    __auto_type reading = begun(even_read(e->client, got, 4));
    send_all(e->peer, "half");
    assert_int_equal(await(reading), 4);
    assert_int_equal(loop->backend->net->set_option(loop, even_stream_fd(e->peer), SOL_SOCKET, SO_LINGER, 0), 0);
    assert_int_equal(await(even_close(e->peer)), 0);
    await(even_sleep(0.01));
    for (int i = 0; i < 2; i++)
        assert_int_equal(await(even_write_all(e->client, "x", 1)), -ECONNRESET);
    assert_int_equal(await(even_shutdown(e->client)), -ECONNRESET);
    assert_int_equal(await(even_read(e->client, got, 4)), -ECONNRESET);
    return 0;
}

/* ---- what is read ahead, and what is not ---- */

/* Who hands the descriptor to somebody else loses nothing of what comes. */
STREAM_TEST(a_stream_that_nobody_reads_takes_nothing, V4, .on = TEST_KERNEL)
{
    char got[16];
    send_all(e->client, "outgoing");
    expect(e->peer, "outgoing");
    send_all(e->peer, "incoming");
    await(even_sleep(0.02));
    assert_int_equal(bytes_ahead(e->client), 0);
    assert_int_equal(recv(even_stream_fd(e->client), got, sizeof got, MSG_DONTWAIT), 8);
    assert_memory_equal(got, "incoming", 8);
    return 0;
}

enum { AHEAD_MAX = 1024 * 1024, FLOOD = 64 * 1000 * 1000 };

async(int, flood, (even_stream *, s), (unsigned char *, data))
{
    for (size_t i = 0; i < FLOOD; i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
    ssize_t n = await(even_write_all(s, data, FLOOD));
    return n < 0 ? (int)n : 0;
}

/* A reader that pauses holds the peer back: what is taken ahead has a bound. */
STREAM_TEST(a_flood_is_held_back, V4, .no_faults = true)
{
    unsigned char *data = malloc(FLOOD), *got = malloc(FLOOD);
    __auto_type flooding = begun(flood(e->peer, data));
    size_t at = 0;
    for (int i = 0; i < 8; i++) {
        await(even_sleep(0.02));
        if (bytes_ahead(e->client) > AHEAD_MAX)
            fail_msg("%zu bytes were taken ahead", bytes_ahead(e->client));
        assert_false(even_done(flooding));
        assert_int_equal(await(even_read_exactly(e->client, got + at, 10)), 10);
        at += 10;
    }
    assert_int_equal(await(even_read_exactly(e->client, got + at, FLOOD - at)), FLOOD - at);
    assert_memory_equal(got, data, FLOOD);
    assert_int_equal(await(flooding), 0);
    free(got);
    free(data);
    return 0;
}

/* Many small messages of one peer do not keep others from running. */
async(int, count_turns, (int *, turns))
{
    for (;;) {
        if (await(even_sleep(0)) < 0)
            return 0;
        ++*turns;
    }
}

STREAM_TEST(small_reads_let_others_run, V4, .on = TEST_KERNEL, .no_faults = true)
{
    enum { N = 1000 * 1000 };
    char got[100];
    int turns = 0;
    char *data = calloc(1, N);
    __auto_type sending = begun(even_write_all(e->peer, data, N));
    __auto_type other = begun(count_turns(&turns));
    for (int i = 0; i < N / 100; i++)
        assert_int_equal(await(even_read_exactly(e->client, got, 100)), 100);
    assert_true(turns >= 3);
    even_cancel(other);
    await(other);
    assert_int_equal(await(sending), N);
    free(data);
    return 0;
}

/* A line may be longer than all that is read ahead otherwise, and come byte by byte. */
async(int, dribble, (even_stream *, s), (int, n))
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(await(even_write_all(s, i == n - 1 ? "\n" : "x", 1)), 1);
        if (i % 3 == 0)
            await(even_sleep(0));
    }
    return 0;
}

STREAM_TEST(a_line_that_dribbles_in, V4)
{
    enum { N = 3000 };
    static char line[N];
    __auto_type dribbling = begun(dribble(e->peer, N));
    assert_int_equal(await(even_read_until(e->client, line, N, "\n", 1)), N);
    for (int i = 0; i < N - 1; i++)
        assert_int_equal(line[i], 'x');
    assert_int_equal(await(dribbling), 0);
    return 0;
}

STREAM_TEST(a_line_as_long_as_memory_allows, V4, .no_faults = true)
{
    enum { N = 20 * 1000 * 1000 };      /* more than may be lent */
    char *line = malloc(N), *got = calloc(1, N);
    memset(line, 'x', N);
    memcpy(line + N - 3, "end", 3);
    __auto_type sending = begun(even_write_all(e->peer, line, N));
    assert_int_equal(await(even_read_until(e->client, got, N - 1, "end", 3)), -EVEN_ELIMIT);
    assert_int_equal(got[0], 0);
    assert_int_equal(await(even_read_until(e->client, got, N, "end", 3)), N);
    assert_memory_equal(got, line, N);
    assert_int_equal(await(sending), N);
    free(got);
    free(line);
    return 0;
}

/* A read of a megabyte that is given up: all of it is there for the next one. */
STREAM_TEST(a_large_read_given_up, V4, .no_faults = true)
{
    enum { N = 1000 * 1000, PART = 700 * 1000 };
    unsigned char *data = malloc(N), *got = calloc(1, N);
    for (size_t i = 0; i < N; i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
    __auto_type sending = begun(even_write_all(e->peer, data, PART));
    assert_int_equal(await(wait_for(even_read_exactly(e->client, got, N), 0.1)), -ETIMEDOUT);
    assert_int_equal(await(sending), PART);
    memset(got, 0, N);
    __auto_type rest = begun(even_write_all(e->peer, data + PART, N - PART));
    assert_int_equal(await(even_read_exactly(e->client, got, N)), N);
    assert_memory_equal(got, data, N);
    assert_int_equal(await(rest), N - PART);
    free(got);
    free(data);
    return 0;
}

/* ---- many ---- */

enum { STALLED = 2000 };

struct crowd {
    even_future *let_go, *all_hold;
    int holding;
    size_t held_max;
};

/* Reads a piece and holds it, as one that is stuck in a write does. */
async(int, stall, (struct crowd *, c), (even_stream *, s))
{
    const void *data;
    char copy[16];
    ssize_t n = await(even_read_piece(s, &data));
    assert_int_equal(n, 8);
    memcpy(copy, data, 8);
    if (++c->holding == STALLED)
        even_set_result(c->all_hold, 0);
    if (strncmp(copy, "pass", 4) != 0)
        await(shield(c->let_go));
    assert_memory_equal(data, copy, 8);
    n = await(even_write_all(s, data, 8));
    return n < 0 ? (int)n : 0;
}

async(int, stalled)
{
    static even_stream *s[STALLED + 1];
    static struct crowd c;
    even_loop *loop = even_running_loop();
    even_server *server;
    char text[16], got[16];
    int without = 0;
    c.let_go = even_future_new(even_future);
    c.all_hold = even_future_new(even_future);
    try_await(even_start_server(&server, stall(&c, EVEN_STREAM), V4, 0, .backlog = STALLED));
    for (int i = 0; i < STALLED; i++) {
        try_await(even_open_connection(&s[i], V4, even_server_port(server)));
        snprintf(text, sizeof text, "%08d", i);
        send_all(s[i], text);
    }
    assert_int_equal(await(c.all_hold), 0);
    assert_true(loop->lent_bytes <= loop->lent_max);
    assert_true(loop->lent_bytes > loop->lent_max / 2);
    /* Buffers are there for others all the same: on io_uring the ring has them, but for those that found it dry. */
    for (int i = 0; i < 300; i++) {
        try_await(even_open_connection(&s[STALLED], V4, even_server_port(server)));
        send_all(s[STALLED], "passing!");
        expect(s[STALLED], "passing!");
        without += s[STALLED]->source.direct;
        try_await(even_close(s[STALLED]));
    }
    assert_true(without < 50);
    even_set_result(c.let_go, 0);
    for (int i = 0; i < STALLED; i++) {
        snprintf(text, sizeof text, "%08d", i);
        assert_int_equal(await(even_read_exactly(s[i], got, 8)), 8);
        assert_memory_equal(got, text, 8);
        try_await(even_close(s[i]));
    }
    even_server_close(server);
    try_await(even_server_wait_closed(server));
    even_server_free(server);
    even_detach(c.let_go);
    assert_int_equal(loop->lent_bytes, 0);
    assert_int_equal(loop->blocks_out, 0);
    return 0;
}

TEST(two_thousand_that_hold_their_pieces, .no_faults = true, .no_valgrind = true)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * STALLED + 100)
        test_skip("too few descriptors may be open");
    assert_int_equal(even_run(stalled()), 0);
}

async(int, write_piece, (even_stream *, s), (const void *, data), (size_t, n))
{
    return (int)await(even_write_all(s, data, n));
}

/* As in an echo that is closed from elsewhere. A cancelled write may still send: it must not find another connection's bytes. */
STREAM_TEST(a_piece_stays_until_the_write_of_it_is_over, V4)
{
    const void *data;
    char got[8];
    even_loop *loop = even_running_loop();
    send_all(e->client, "a piece");
    assert_int_equal(await(even_read_piece(e->peer, &data)), 7);
    __auto_type writing = begun(write_piece(e->peer, data, 7));
    const bool writes = e->peer->writer != NULL;
    assert_true(writes || (even_loop_properties(loop) & EVEN_LOOP_TRIES_FIRST));
    __auto_type closing = even_close(e->peer);
    assert_true(!e->peer->writer || (e->peer->source.lent && memcmp(data, "a piece", 7) == 0));
    assert_int_equal(await(closing), 0);
    const int rc = await(writing);
    assert_true(rc == 7 || (writes && rc == -ECANCELED));
    assert_int_equal(loop->lent_bytes, 0);
    const ssize_t n = await(even_read(e->client, got, sizeof got));
    assert_int_equal(n, rc == 7 ? 7 : 0);
    return 0;
}

/* ---- at random, against a model ---- */

enum { ALPHABET = 5 };

struct model {
    uint64_t dice;
    unsigned char *data;        /* all that the peer sends, */
    size_t total, at;           /* and where the reader is */
    unsigned char *buffer;
    int reads, given_up, lines, pieces;
};

static struct { int given_up, lines, pieces; } all;     /* of all runs of a test */

static size_t roll(struct model *m, size_t n)
{
    return (size_t)(even__random(&m->dice) % n);
}

/* Small ones mostly, and large ones. */
static size_t roll_size(struct model *m, size_t max)
{
    size_t bound = roll(m, 8) == 0 ? max : roll(m, 3) == 0 ? 3000 : 20;
    return 1 + roll(m, bound < max ? bound : max);
}

async(int, model_send, (struct model *, m), (even_stream *, s))
{
    uint64_t dice = m->dice ^ 77;
    for (size_t at = 0; at < m->total;) {
        size_t bound = even__random(&dice) % 8 == 0 ? 90000 : even__random(&dice) % 3 ? 30 : 4000;
        size_t n = 1 + even__random(&dice) % bound;
        if (n > m->total - at)
            n = m->total - at;
        assert_int_equal(await(even_write_all(s, m->data + at, n)), n);
        at += n;
        if (even__random(&dice) % 4 == 0)
            await(even_sleep((double)(even__random(&dice) % 3) * 1e-4));
    }
    assert_int_equal(await(even_shutdown(s)), 0);
    return 0;
}

/* Wait for a read, or give it up after a while. */
static ssize_t finish(struct model *m, even_ssize_aw *read)
{
    size_t how = roll(m, 4);
    if (how > 1)
        return await(read);
    if (how == 1) {
        ssize_t n = await(wait_for(read, (double)roll(m, 4) * 3e-5));
        return n == -ETIMEDOUT ? -ECANCELED : n;
    }
    __auto_type task = create_task(read);
    for (size_t i = roll(m, 4); i > 0; i--)
        await(even_sleep(0));
    even_cancel(task);
    return await(task);
}

static void came(struct model *m, const unsigned char *data, ssize_t n, ssize_t expected)
{
    m->reads++;
    if (n == -ECANCELED) {
        m->given_up++;
        return;
    }
    if (n != expected)
        fail_msg("at %zu of %zu: %zd, not %zd", m->at, m->total, n, expected);
    if (n > 0) {
        if (memcmp(data, m->data + m->at, (size_t)n) != 0)
            fail_msg("at %zu of %zu: other bytes", m->at, m->total);
        m->at += (size_t)n;
    }
}

static void read_some(struct model *m, even_stream *s)
{
    size_t n = roll_size(m, 40000), left = m->total - m->at;
    ssize_t got = finish(m, even_read(s, m->buffer, n));
    assert_true(got <= (ssize_t)n && (got != 0 || left == 0));
    came(m, m->buffer, got, got > 0 ? got : 0);
}

static void read_exactly_some(struct model *m, even_stream *s)
{
    size_t n = roll_size(m, 60000), left = m->total - m->at;
    came(m, m->buffer, finish(m, even_read_exactly(s, m->buffer, n)), n <= left ? (ssize_t)n : -EVEN_EINCOMPLETE);
}

static void read_a_line(struct model *m, even_stream *s)
{
    unsigned char separator[4];
    size_t length = 1 + roll(m, sizeof separator), capacity = roll_size(m, 60000), left = m->total - m->at;
    for (size_t i = 0; i < length; i++)
        separator[i] = (unsigned char)('a' + roll(m, ALPHABET));
    const unsigned char *from = m->data + m->at, *found = memmem(from, left, separator, length);
    size_t end = found ? (size_t)(found - from) + length : SIZE_MAX;
    ssize_t expected = end <= capacity ? (ssize_t)end : capacity <= left ? -EVEN_ELIMIT : -EVEN_EINCOMPLETE;
    memset(m->buffer, '#', capacity);
    ssize_t got = finish(m, even_read_until(s, m->buffer, capacity, separator, length));
    if (got < 0)
        assert_int_equal(m->buffer[0], '#');
    m->lines += got > 0;
    came(m, m->buffer, got, expected);
}

static void read_a_piece(struct model *m, even_stream *s)
{
    const void *data = NULL;
    size_t left = m->total - m->at;
    ssize_t got = finish(m, even_read_piece(s, &data));
    assert_true(got != 0 || left == 0);
    for (size_t i = roll(m, 4); i > 0 && got > 0; i--)
        await(even_sleep(0));       /* it stays */
    m->pieces += got > 0;
    came(m, data, got, got > 0 ? got : 0);
}

async(int, model_read, (struct model *, m), (even_stream *, s))
{
    static void (*const kinds[])(struct model *m, even_stream *s) = { read_some, read_exactly_some, read_a_line, read_a_piece };
    char byte;
    while (m->at < m->total) {
        kinds[roll(m, 4)](m, s);
        if (roll(m, 50) == 0)
            await(even_sleep((double)roll(m, 20) * 1e-4));      /* what comes meanwhile is held back */
    }
    assert_int_equal(await(even_read(s, &byte, 1)), 0);
    return 0;
}

async(int, against_a_model, (uint64_t, seed), (size_t, total), (bool, both_ways))
{
    static struct ends ends;
    static struct model there, back;
    struct model *models[] = { &there, &back };
    try_await(open_ends(&ends, V4));
    for (int i = 0; i < 2; i++) {
        struct model *m = models[i];
        *m = (struct model){ .dice = seed * 2 + (uint64_t)i, .total = total, .data = malloc(total), .buffer = malloc(60000) };
        for (size_t at = 0; at < total; at++)
            m->data[at] = (unsigned char)('a' + roll(m, ALPHABET));
    }
    __auto_type sending = begun(model_send(&there, ends.peer));
    __auto_type reading = begun(model_read(&there, ends.client));
    if (both_ways) {
        __auto_type answering = begun(model_send(&back, ends.client));
        assert_int_equal(await(model_read(&back, ends.peer)), 0);
        assert_int_equal(await(answering), 0);
    }
    assert_int_equal(await(reading), 0);
    assert_int_equal(await(sending), 0);
    all.given_up += there.given_up;
    all.lines += there.lines;
    all.pieces += there.pieces;
    for (int i = 0; i < 2; i++) {
        free(models[i]->data);
        free(models[i]->buffer);
    }
    assert_int_equal(even_running_loop()->blocks_out, 0);
    return await(close_ends(&ends));
}

TEST(reads_of_all_kinds_under_every_seed, .on = TEST_SIM, .seeds = true, .no_faults = true)
{
    assert_int_equal(even_run(against_a_model(test_seed(), 150 * 1000, test_seed() % 2)), 0);
}

TEST(reads_of_all_kinds, .no_faults = true, .no_valgrind = true, .seconds = 60)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        assert_int_equal(even_run(against_a_model(seed, 1500 * 1000, seed % 2)), 0);
    assert_true(all.given_up > 100 && all.lines > 100 && all.pieces > 100);
}

/* The limit of what may be lent is the loop's own. */
TEST(reads_of_all_kinds_with_little_to_lend, .no_faults = true)
{
    even_loop *loop;
    assert_int_equal(even_loop_new(&loop, &(even_loop_options){ .lent_max = 40 * 1000 }), 0);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        __auto_type test = against_a_model(seed, 300 * 1000, true);
        assert_int_equal(even_run_until_complete_any(loop, &test->base), 0);
        even_unref(&test->base);
    }
    assert_int_equal(even_loop_close(loop), 0);
}
