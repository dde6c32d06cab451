/* Receivers: a stream's bytes in their order, whatever stops, resumes, ends or moves meanwhile. */
#define TEST_ON TEST_ALL
#include "sockets.h"
#include <pthread.h>
#include <stdio.h>

static uint64_t dice;

static size_t roll(size_t n)
{
    return (size_t)(even__random(&dice) % n);
}

static bool is_sim(void) { return strcmp(even_loop_backend(loop), "sim") == 0; }
static bool is_uring(void) { return strcmp(even_loop_backend(loop), "uring") == 0; }

/* Byte `at` of the stream number `id`. */
static unsigned char byte_of(unsigned id, uint64_t at)
{
    uint64_t state = (at >> 3) + ((uint64_t)id << 40);
    return (unsigned char)(even__random(&state) >> (8 * (at & 7)));
}

/* Two connected sockets, on whatever the loop stands on. */
static void open_pair(int pair[2])
{
    const struct even__net *net = loop->backend->net;
    struct sockaddr_storage address;
    socklen_t length;
    struct wop c, a;
    if (!is_sim()) {
        unix_pair(pair);
        return;
    }
    int fd = net->socket(loop, AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(net->listen(loop, fd, 1), 0);
    assert_int_equal(net->name(loop, fd, false, &address, &length), 0);
    pair[0] = net->socket(loop, AF_INET, SOCK_STREAM, 0);
    assert_true(pair[0] >= 0);
    even_op_connect(expect(&c), pair[0], (struct sockaddr *)&address, length);
    even_op_accept(expect(&a), fd, NULL, NULL, 0);
    run_all();
    assert_int_equal(c.op.result, 0);
    pair[1] = a.op.result;
    assert_true(pair[1] >= 0);
    assert_int_equal(net->close(loop, fd), 0);
}

static void shut(int fd) { assert_int_equal(loop->backend->net->shutdown(loop, fd, SHUT_WR), 0); }

/* After the loop, what was the kernel's. */
static void close_both(int pair[2])
{
    if (pair[0] < 1 << 20)
        close_pair(pair);
}

/* ---- who sends ---- */

struct source {
    even_op op;
    unsigned id;
    uint64_t sent, total;
    size_t piece_max;
    bool ends;
    unsigned char *space;
};

static void source_go_on(struct source *s)
{
    if (s->sent == s->total) {
        if (s->ends)
            shut(s->op.fd);
        return;
    }
    size_t n = 1 + roll(s->piece_max);
    if (n > s->total - s->sent)
        n = s->total - s->sent;
    for (size_t i = 0; i < n; i++)
        s->space[i] = byte_of(s->id, s->sent + i);
    even_op_send(&s->op, s->op.fd, s->space, n, 0);
}

static void source_sent(even_handle *h)
{
    struct source *s = even_container_of(h, struct source, op.handle);
    if (s->op.result < 0) {
        assert_true(test_fault_fired());
        even_loop_stop(loop);
        return;
    }
    s->sent += (uint64_t)s->op.result;
    source_go_on(s);
}

static void source_start(struct source *s, int fd, unsigned id, uint64_t total, size_t piece_max)
{
    static unsigned char space[64][1 << 20];
    even_op_init(&s->op, loop, source_sent);
    s->op.fd = fd;
    s->id = id;
    s->sent = 0;
    s->total = total;
    s->piece_max = piece_max;
    s->ends = true;
    s->space = space[id % 64];
    source_go_on(s);
}

/* ---- who receives ---- */

struct sink {
    even_receiver r;
    even_timer again;
    unsigned id;
    uint64_t sent, got, pieces;     /* bytes; how often */
    int runs, inactive_runs;        /* how often it was run; how often when it was not active */
    bool paused, fickle;            /* fickle: stops, resumes and gives back at random */
    bool ended;
    ssize_t result;                 /* what it ended with */
    uint64_t pass, in_pass, in_pass_max;
};

static void sink_check(struct sink *s, const unsigned char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (data[i] != byte_of(s->id, s->got + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(s->got + i));
    s->got += n;
    s->pieces++;
    if (s->pass != loop->passes)
        s->in_pass = 0;
    s->pass = loop->passes;
    s->in_pass += n;
    if (s->in_pass > s->in_pass_max)
        s->in_pass_max = s->in_pass;
}

static void sink_resume(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, again.handle);
    s->paused = false;
    even_receiver_start(&s->r);
    assert_true(even_receiver_is_active(&s->r) || s->r.over);
}

static void sink_pause(struct sink *s)
{
    s->paused = true;
    even_receiver_stop(&s->r);
    if (roll(3) == 0) {
        sink_resume(&s->again.handle);
        return;
    }
    if (roll(2))
        assert_int_equal(even_call_later(loop, &s->again, (double)roll(3) * 1e-5), 0);
    else
        even_call_soon(loop, &s->again.handle);
}

static ssize_t sink_take(struct sink *s)
{
    const void *data;
    ssize_t n = even_receiver_take(&s->r, &data);
    if (n <= 0)
        return n;
    size_t back = s->fickle && roll(3) == 0 ? roll((size_t)n + 1) : 0;
    sink_check(s, data, (size_t)n - back);
    if (s->fickle && !s->paused && roll(4) == 0)    /* with the piece in hands */
        sink_pause(s);
    if (back)
        even_receiver_untake(&s->r, back);
    return n;
}

static void sink_run(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    ssize_t n = -EAGAIN;
    s->runs++;
    s->inactive_runs += !even_receiver_is_active(&s->r);
    while (!(s->paused && roll(2)) && (n = sink_take(s)) > 0)
        ;
    if (s->fickle && !s->paused && roll(4) == 0)
        sink_pause(s);
    if (n > 0 || n == -EAGAIN)
        return;
    assert_true(!s->ended || s->result == n);
    if (!s->ended) {
        s->ended = true;
        s->result = n;
        if (--waiting == 0 || test_fault_fired())
            even_loop_stop(loop);
    }
}

/* A run that counts how the loop called it, and takes nothing. */
static void sink_count(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    s->runs++;
    s->inactive_runs += !even_receiver_is_active(&s->r);
}

static void sink_init(struct sink *s, int fd, unsigned id)
{
    memset(s, 0, sizeof *s);
    s->id = id;
    s->again = (even_timer)EVEN_TIMER(sink_resume);
    even_receiver_init(&s->r, loop, fd, sink_run);
}

static void sink_start(struct sink *s, int fd, unsigned id)
{
    sink_init(s, fd, id);
    waiting++;
    even_receiver_start(&s->r);
    assert_true(even_receiver_is_active(&s->r));
    assert_int_equal(s->runs, 0);
}

static void sink_is_at_its_end(struct sink *s, uint64_t total)
{
    const void *data;
    assert_true(s->ended);
    assert_int_equal(s->result, 0);
    assert_int_equal(s->got, total);
    assert_false(even_receiver_is_active(&s->r));
    assert_int_equal(even_receiver_take(&s->r, &data), 0);
}

/* ---- order ---- */

static void in_order(bool fickle, bool direct, size_t piece_max, uint64_t total)
{
    int pair[2];
    static struct sink in;
    static struct source out;
    dice = test_seed() + piece_max;
    open_loop();
    open_pair(pair);
    sink_start(&in, pair[0], 1);
    in.fickle = fickle;
    in.r.direct = direct;
    source_start(&out, pair[1], 1, total, piece_max);
    run_all();
    if (test_fault_fired() && in.got < total)
        fail_msg("given up");
    sink_is_at_its_end(&in, total);
    even_timer_cancel(loop, &in.again);
    close_loop();
    close_both(pair);
}

TEST(pieces_come_in_order, .seeds = true) { in_order(false, false, 20000, 300000); }
TEST(small_pieces_come_in_order) { in_order(false, false, 100, 30000); }
TEST(fetched_as_they_are_taken) { in_order(false, true, 20000, 300000); }
TEST(stopped_and_resumed_at_any_moment, .seeds = true) { in_order(true, false, 20000, 300000); }
TEST(large_pieces_stopped_and_resumed, .no_faults = true) { in_order(true, false, 400000, 20000000); }
TEST(small_pieces_stopped_and_resumed) { in_order(true, false, 100, 30000); }

static void say(int fd, const char *text)
{
    struct wop s;
    even_op_send(expect(&s), fd, text, strlen(text), 0);
    run_all();
    assert_int_equal(s.op.result, strlen(text));
}

/* Run until the handle has been called so often. */
static struct sink *watched;
static int wanted_runs;

static void watched_run(even_handle *h)
{
    sink_count(h);
    if (even_container_of(h, struct sink, r.handle) == watched && watched->runs >= wanted_runs)
        even_loop_stop(loop);
}

static void until_runs(struct sink *s, int n)
{
    watched = s;
    wanted_runs = n;
    if (s->runs < n)
        assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(s->runs, n);
}

static void expect_piece(struct sink *s, const char *text)
{
    const void *data;
    char have[64] = "";
    size_t n = 0;
    while (n < strlen(text)) {
        ssize_t rc = even_receiver_take(&s->r, &data);
        if (rc == -EAGAIN) {
            until_runs(s, s->runs + 1);
            continue;
        }
        assert_true(rc > 0 && n + (size_t)rc < sizeof have);
        memcpy(have + n, data, (size_t)rc);
        n += (size_t)rc;
    }
    assert_string_equal(have, text);
}

static void expect_nothing(struct sink *s)
{
    const void *data;
    assert_int_equal(even_receiver_take(&s->r, &data), -EAGAIN);
}

TEST(what_was_not_wanted_is_taken_again)
{
    int pair[2];
    struct sink in;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    for (int i = 0; i < 6; i++) {
        const void *data;
        say(pair[1], "abcdefghij");
        until_runs(&in, in.runs + (in.runs == i ? 1 : 0));
        assert_int_equal(even_receiver_take(&in.r, &data), 10);
        assert_memory_equal(data, "abcdefghij", 10);
        even_receiver_untake(&in.r, 0);
        if (i & 1)
            even_receiver_untake(&in.r, 10);
        else
            even_receiver_untake(&in.r, 4);
        if (i & 2)
            say(pair[1], "kl");         /* comes behind */
        assert_int_equal(even_receiver_take(&in.r, &data), i & 1 ? 10 : 4);
        even_receiver_untake(&in.r, 2);
        expect_piece(&in, "ij");
        if (i & 2)
            expect_piece(&in, "kl");
        expect_nothing(&in);
        in.runs = i + 1;
    }
    close_loop();
    close_both(pair);
}

TEST(what_is_dropped_does_not_come)
{
    int pair[2];
    struct sink in;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    say(pair[1], "first");
    until_runs(&in, 1);
    const void *data;
    assert_int_equal(even_receiver_take(&in.r, &data), 5);
    even_receiver_untake(&in.r, 3);
    even_receiver_stop(&in.r);
    even_receiver_clear(&in.r);
    expect_nothing(&in);
    until_runs(&in, 2);                 /* it has become inactive */
    assert_false(even_receiver_is_active(&in.r));
    even_receiver_start(&in.r);
    say(pair[1], "second");
    until_runs(&in, 3);
    expect_piece(&in, "second");
    close_loop();
    close_both(pair);
}

/* ---- stop and start ---- */

TEST(a_stop_is_told_once_it_is_over)
{
    int pair[2];
    struct sink in;
    open_loop();
    open_pair(pair);
    for (int i = 0; i < 4; i++) {
        sink_init(&in, pair[0], 0);
        in.r.handle.run = watched_run;
        even_receiver_stop(&in.r);      /* it has not begun: nothing */
        assert_false(even_receiver_is_active(&in.r));
        even_receiver_start(&in.r);
        even_receiver_start(&in.r);
        assert_true(even_receiver_is_active(&in.r));
        if (i & 1)
            pump();
        assert_int_equal(in.runs, 0);
        even_receiver_stop(&in.r);
        even_receiver_stop(&in.r);
        assert_int_equal(in.runs, 0);   /* never from inside */
        if (i & 2)
            say(pair[1], "kept");       /* by it, or by the socket */
        if (in.runs == 0)
            until_runs(&in, 1);
        assert_int_equal(in.runs, 1);
        assert_int_equal(in.inactive_runs, 1);
        assert_false(even_receiver_is_active(&in.r));
        pump();
        assert_int_equal(in.runs, 1);   /* once, and not for what came */
        if (i & 2) {
            even_receiver_start(&in.r);
            until_runs(&in, 2);
            expect_piece(&in, "kept");
            expect_nothing(&in);
            even_receiver_stop(&in.r);
            until_runs(&in, 3);
        }
        assert_false(even_handle_is_queued(&in.r.handle));
    }
    close_loop();
    close_both(pair);
}

TEST(a_start_before_the_stop_is_over_goes_on)
{
    int pair[2];
    struct sink in;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    for (int i = 0; i < 8; i++) {
        if (i & 1)
            pump();
        even_receiver_stop(&in.r);
        if (i & 2)
            even_handle_cancel(&in.r.handle);
        assert_true(even_receiver_is_active(&in.r));
        even_receiver_start(&in.r);
        assert_true(even_receiver_is_active(&in.r));
        if (i & 4) {
            even_receiver_stop(&in.r);
            even_receiver_start(&in.r);
        }
        pump();
        assert_int_equal(in.inactive_runs, 0);
        say(pair[1], "on");
        until_runs(&in, i + 1);
        expect_piece(&in, "on");
        expect_nothing(&in);
    }
    close_loop();
    close_both(pair);
}

/* Bytes that the kernel had handed over already, or is about to, when the stop came. */
TEST(a_stop_as_bytes_arrive_loses_none, .on = TEST_KERNEL)
{
    int pair[2];
    struct sink in;
    open_loop();
    tcp_pair(pair);
    sink_init(&in, pair[0], 3);
    in.r.handle.run = sink_count;
    even_receiver_start(&in.r);
    uint64_t sent = 0;
    for (int i = 0; i < 300; i++) {
        unsigned char bytes[3];
        for (int k = 0; k < 3; k++)
            bytes[k] = byte_of(3, sent++);
        if (i & 1)
            pump();
        if (i & 2)
            even_receiver_stop(&in.r);
        assert_int_equal(write(pair[1], bytes, 3), 3);
        if (i & 4)
            until(pair[0], POLLIN);
        if (i & 8)
            assert_int_equal(even_loop_step(loop), 0);
        even_receiver_stop(&in.r);
        if (i & 16)
            while (even_receiver_is_active(&in.r))
                pump();
        if (i & 32)
            sink_take(&in);
        even_receiver_start(&in.r);
        if (i & 64)
            sink_take(&in);
        while (i % 5 == 0 && in.got < sent) {
            pump();
            while (sink_take(&in) > 0)
                ;
        }
    }
    while (in.got < sent) {
        pump();
        while (sink_take(&in) > 0)
            ;
    }
    close_loop();
    close_pair(pair);
}

/* ---- ends ---- */

TEST(the_end_comes_after_the_bytes)
{
    for (int i = 0; i < 4; i++) {
        int pair[2];
        struct sink in;
        open_loop();
        open_pair(pair);
        sink_init(&in, pair[0], 0);
        in.r.handle.run = watched_run;
        in.r.direct = i & 1;
        even_receiver_start(&in.r);
        if (i & 2)
            pump();
        say(pair[1], "last words");
        shut(pair[1]);
        until_runs(&in, 1);
        expect_piece(&in, "last words");
        const void *data;
        ssize_t n;
        while ((n = even_receiver_take(&in.r, &data)) == -EAGAIN)
            until_runs(&in, in.runs + 1);
        assert_int_equal(n, 0);
        assert_int_equal(even_receiver_take(&in.r, &data), 0);
        assert_false(even_receiver_is_active(&in.r));
        pump();
        assert_int_equal(in.inactive_runs, 1);
        int runs = in.runs;
        even_receiver_start(&in.r);     /* it goes on wanting: nothing */
        pump();
        assert_int_equal(in.runs, runs);
        even_receiver_stop(&in.r);
        even_receiver_start(&in.r);     /* and is told again */
        until_runs(&in, runs + 1);
        assert_int_equal(even_receiver_take(&in.r, &data), 0);
        close_loop();
        close_both(pair);
    }
}

TEST(an_end_is_kept_while_it_is_stopped)
{
    int pair[2];
    struct sink in;
    const void *data;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    pump();
    say(pair[1], "bytes");
    shut(pair[1]);
    if (in.runs == 0)
        until_runs(&in, 1);
    even_receiver_stop(&in.r);
    pump();
    even_receiver_start(&in.r);
    expect_piece(&in, "bytes");
    ssize_t n;
    while ((n = even_receiver_take(&in.r, &data)) == -EAGAIN)
        until_runs(&in, in.runs + 1);
    assert_int_equal(n, 0);
    close_loop();
    close_both(pair);
}

TEST(a_reset_comes_after_the_bytes)
{
    for (int i = 0; i < 4; i++) {
        int pair[2];
        struct sink in;
        const void *data;
        ssize_t n;
        open_loop();
        if (is_sim())
            open_pair(pair);
        else
            tcp_pair(pair);
        sink_init(&in, pair[0], 0);
        in.r.handle.run = watched_run;
        in.r.direct = i & 1;
        even_receiver_start(&in.r);
        if (i & 2)
            pump();
        say(pair[1], "bytes");
        assert_int_equal(loop->backend->net->set_option(loop, pair[1], SOL_SOCKET, SO_LINGER, 0), 0);
        if (i & 2)
            until_runs(&in, 1);
        assert_int_equal(loop->backend->net->close(loop, pair[1]), 0);
        while ((n = even_receiver_take(&in.r, &data)) != -ECONNRESET) {
            if (n == -EAGAIN)
                until_runs(&in, in.runs + 1);
            else if (n <= 0)
                fail_msg("ended with %d", (int)n);
            else
                in.got += (uint64_t)n;
        }
        assert_int_equal(in.got, 5);
        assert_int_equal(even_receiver_take(&in.r, &data), -ECONNRESET);
        assert_false(even_receiver_is_active(&in.r));
        pump();
        assert_int_equal(in.inactive_runs, 1);
        close_loop();
        if (pair[0] < 1 << 20)
            close(pair[0]);
    }
}

TEST(what_is_no_socket_fails)
{
    struct sink in;
    const void *data;
    int p[2];
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    put(p[1], "x");
    for (int i = 0; i < 2; i++) {
        sink_init(&in, i ? p[0] : -1, 0);
        in.r.handle.run = watched_run;
        even_receiver_start(&in.r);
        ssize_t n;
        while ((n = even_receiver_take(&in.r, &data)) == -EAGAIN)
            until_runs(&in, in.runs + 1);
        if (is_sim())
            assert_true(n == -EOPNOTSUPP || n == -EBADF);
        else
            assert_int_equal(n, i ? -ENOTSOCK : -EBADF);
        assert_false(even_receiver_is_active(&in.r));
    }
    close_loop();
    close_pair(p);
}

TEST(the_loop_closes_with_receivers_active)
{
    for (int i = 0; i < 5; i++) {
        int pair[2], other[2];
        struct sink in, paused;
        const void *data;
        open_loop();
        open_pair(pair);
        open_pair(other);
        sink_init(&in, pair[0], 0);
        sink_init(&paused, other[0], 0);
        in.r.handle.run = paused.r.handle.run = watched_run;
        even_receiver_start(&in.r);
        even_receiver_start(&paused.r);
        if (i >= 1)
            pump();
        if (i >= 2) {
            say(pair[1], "not taken");
            say(other[1], "not taken");
            if (in.runs == 0)
                until_runs(&in, 1);
        }
        if (i >= 3) {
            assert_true(even_receiver_take(&in.r, &data) > 0);
            even_receiver_untake(&in.r, 2);
            even_receiver_stop(&paused.r);
        }
        if (i == 4)
            assert_true(even_receiver_take(&in.r, &data) > 0);      /* in its hands */
        int runs = in.runs + paused.runs;
        close_loop();
        assert_int_equal(in.runs + paused.runs, runs);
        struct sink *both[] = { &in, &paused };
        for (int k = 0; k < 2; k++) {
            assert_false(even_receiver_is_active(&both[k]->r));
            assert_false(even_handle_is_queued(&both[k]->r.handle));
            expect_nothing(both[k]);
            even_receiver_stop(&both[k]->r);
            even_receiver_clear(&both[k]->r);
        }
        close_both(pair);
        close_both(other);
    }
}

/* ---- many ---- */

enum { MANY = 400 };

static struct sink many[MANY];
static int many_pair[MANY][2];

static void many_open(void (*run)(even_handle *))
{
    open_loop();
    for (unsigned i = 0; i < MANY; i++) {
        unix_pair(many_pair[i]);
        sink_init(&many[i], many_pair[i][0], i);
        many[i].r.handle.run = run;
        even_receiver_start(&many[i].r);
    }
}

static void many_put(unsigned i, size_t n)
{
    unsigned char bytes[1000];
    assert_true(n <= sizeof bytes);
    for (size_t k = 0; k < n; k++)
        bytes[k] = byte_of(i, many[i].sent + k);
    assert_int_equal(write(many_pair[i][1], bytes, n), (ssize_t)n);
}

static void many_close(void)
{
    close_loop();
    for (int i = 0; i < MANY; i++)
        close_pair(many_pair[i]);
}

/* More pieces at once than there are buffers. */
TEST(more_at_once_than_buffers, .on = TEST_KERNEL)
{
    many_open(sink_run);
    for (int round = 0; round < 6; round++) {
        pump();
        for (unsigned i = 0; i < MANY; i++) {
            many[i].sent = many[i].got;
            many_put(i, 1 + (i + (unsigned)round) % 1000);
        }
        for (unsigned i = 0; i < MANY; i++)
            while (many[i].got < many[i].sent + 1 + (i + (unsigned)round) % 1000)
                assert_int_equal(even_loop_step(loop), 0);
    }
    many_close();
}

/* Owners that are receiving and never take must not keep others from it. */
TEST(who_does_not_take_starves_nobody, .on = TEST_KERNEL)
{
    many_open(sink_count);
    struct sink *last = &many[MANY - 1];
    last->r.handle.run = sink_run;
    pump();
    for (int round = 0; round < 5; round++)
        for (unsigned i = 0; i < MANY - 1; i++) {
            many_put(i, 1);
            many[i].sent++;
            if (i % 50 == 0)
                pump();
        }
    for (int round = 0; round < 20; round++) {
        last->sent = last->got;
        many_put(MANY - 1, 100);
        while (last->got < last->sent + 100)
            assert_int_equal(even_loop_step(loop), 0);
    }
    for (unsigned i = 0; i < MANY - 1; i++)         /* and nothing of theirs is lost */
        while (many[i].got < 5) {
            while (sink_take(&many[i]) > 0)
                ;
            assert_int_equal(even_loop_step(loop), 0);
        }
    many_close();
}

TEST(who_is_stopped_holds_no_buffer_of_others, .on = TEST_URING)
{
    many_open(sink_count);
    pump();
    many_put(0, 10);
    many_put(1, 10);
    pump();
    assert_non_null(many[0].r.first);
    void (*of_the_loop)(struct even__piece *) = many[0].r.first->release;
    assert_ptr_equal(many[1].r.first->release, of_the_loop);
    even_receiver_stop(&many[0].r);
    assert_ptr_not_equal(many[0].r.first->release, of_the_loop);
    many_put(2, 10);
    even_receiver_stop(&many[2].r);
    pump();                             /* what comes as it ends is copied as well */
    for (struct even__piece *p = many[2].r.first; p; p = p->next)
        assert_ptr_not_equal(p->release, of_the_loop);
    even_receiver_start(&many[0].r);
    even_receiver_start(&many[2].r);
    for (unsigned i = 0; i < 3; i++)
        while (many[i].got < 10) {
            while (sink_take(&many[i]) > 0)
                ;
            pump();
        }
    /* One that was taken and is forgotten comes back by itself. */
    many[1].sent = 10;
    many_put(1, 10);
    pump();
    assert_true(sink_take(&many[1]) > 0);
    assert_non_null(many[1].r.lent);
    pump();
    assert_null(many[1].r.lent);
    many_close();
}

/* ---- memory ---- */

static size_t allocated;

static void *count_allocate(size_t n)
{
    size_t *p = malloc(n + 16);
    if (!p)
        return NULL;
    *p = n;
    allocated += n;
    return (char *)p + 16;
}

static void count_release(void *memory)
{
    size_t *p = (size_t *)(void *)((char *)memory - 16);
    allocated -= *p;
    free(p);
}

static void *count_resize(void *memory, size_t n)
{
    void *p = count_allocate(n);
    if (p && memory) {
        size_t old = *(size_t *)(void *)((char *)memory - 16);
        memcpy(p, memory, old < n ? old : n);
        count_release(memory);
    }
    return p;
}

TEST(idle_receivers_hold_no_memory, .on = TEST_KERNEL)
{
    even_set_allocator(count_allocate, count_resize, count_release);
    many_open(sink_run);
    many_put(0, 500);
    while (many[0].got < 500)
        assert_int_equal(even_loop_step(loop), 0);
    pump();
    size_t before = allocated;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            many[i].sent = many[i].got;
            many_put(i, 500);
        }
        for (unsigned i = 0; i < MANY; i++)
            while (many[i].got < many[i].sent + 500)
                assert_int_equal(even_loop_step(loop), 0);
    }
    pump();
    for (unsigned i = 0; i < MANY; i++) {
        assert_null(many[i].r.first);
        assert_null(many[i].r.lent);
    }
    assert_in_range(allocated, 0, before + 256 * 1024 + 64);    /* the one large buffer may have been made meanwhile */
    many_close();
    assert_int_equal(allocated, 0);
    even_set_allocator(NULL, NULL, NULL);
}

/* ---- much ---- */

TEST(much_comes_in_large_pieces, .no_faults = true, .no_valgrind = true)
{
    enum { TOTAL = 10 << 20 };
    int pair[2];
    static struct sink in;
    static struct source out;
    open_loop();
    if (is_sim())
        open_pair(pair);
    else
        tcp_pair(pair);
    sink_start(&in, pair[0], 1);
    source_start(&out, pair[1], 1, TOTAL, 1);
    out.piece_max = 1 << 20;
    run_all();
    sink_is_at_its_end(&in, TOTAL);
    assert_in_range(in.in_pass_max, 1, 512 * 1024);
    if (!is_sim())                      /* how large they can be is the socket's; but not those of 16 KiB */
        assert_in_range(in.pieces, TOTAL / (256 * 1024), 40 + TOTAL / (32 * 1024));
    close_loop();
    close_both(pair);
}

static struct source endless;
static int others;

static void endless_refill(even_handle *h)
{
    struct source *s = even_container_of(h, struct source, op.handle);
    static char block[1 << 20];
    (void)!send(s->op.fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
    others++;
    even_call_soon(loop, h);
}

static size_t endless_pass_max;

static void endless_run(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    static char block[1 << 20];
    const void *data;
    size_t got = 0;
    ssize_t n;
    s->runs++;
    while ((n = even_receiver_take(&s->r, &data)) > 0) {
        got += (size_t)n;
        (void)!send(endless.op.fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);    /* there is always more */
        if (got > 4 << 20)
            break;
    }
    s->got += got;
    if (got > endless_pass_max)
        endless_pass_max = got;
}

TEST(what_never_ends_leaves_others_their_turn, .on = TEST_KERNEL)
{
    int pair[2], other[2];
    static struct sink in, small;
    open_loop();
    unix_pair(pair);
    unix_pair(other);
    others = 0;
    endless_pass_max = 0;
    sink_init(&in, pair[0], 0);
    in.r.handle.run = endless_run;
    sink_init(&small, other[0], 2);
    endless.op.fd = pair[1];
    endless.op.handle = (even_handle)EVEN_HANDLE(endless_refill);
    even_call_soon(loop, &endless.op.handle);
    even_receiver_start(&in.r);
    even_receiver_start(&small.r);
    for (int round = 0; round < 20; round++) {
        unsigned char c = byte_of(2, (uint64_t)round);
        assert_int_equal(write(other[1], &c, 1), 1);
        int before = others;
        while (small.got <= (uint64_t)round)
            assert_int_equal(even_loop_step(loop), 0);
        assert_in_range(others - before, 0, 200);
    }
    while (in.got < 20 << 20)
        assert_int_equal(even_loop_step(loop), 0);
    assert_in_range(endless_pass_max, 1, 512 * 1024);
    even_handle_cancel(&endless.op.handle);
    close_loop();
    close_pair(pair);
    close_pair(other);
}

/* ---- threads ---- */

static void *travel_run(void *data)
{
    (void)data;
    return (void *)(intptr_t)even_loop_run_forever(loop);
}

static void *travel_close(void *data)
{
    (void)data;
    return (void *)(intptr_t)even_loop_close(loop);
}

static void in_a_thread(void *(*function)(void *))
{
    pthread_t thread;
    void *rc;
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    pthread_join(thread, &rc);
    assert_int_equal((int)(intptr_t)rc, 0);
}

static uint64_t travel_until;

static void travel_got(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    while (s->got < travel_until && sink_take(s) > 0)   /* what is left is for the next thread */
        ;
    if (s->got >= travel_until)
        even_loop_stop(loop);
}

TEST(from_thread_to_thread, .on = TEST_KERNEL, .no_faults = true)
{
    int pair[2];
    static struct sink in;
    uint64_t sent = 0;
    open_loop();
    tcp_pair(pair);
    sink_init(&in, pair[0], 9);
    in.r.handle.run = travel_got;
    even_receiver_start(&in.r);
    for (int i = 0; i < 40; i++) {
        unsigned char bytes[20000];
        size_t n = i % 4 == 3 ? sizeof bytes : 5;
        for (size_t k = 0; k < n; k++)
            bytes[k] = byte_of(9, sent++);
        for (size_t k = 0; k < n;) {
            ssize_t rc = write(pair[1], bytes + k, n - k);
            assert_true(rc > 0);
            k += (size_t)rc;
        }
        travel_until = i % 3 == 0 ? sent : sent - 3;
        if (in.got >= travel_until)
            continue;
        if ((in.r.first || in.r.readable) && !even_handle_is_queued(&in.r.handle))
            even_call_soon(loop, &in.r.handle);
        if (i % 2)
            in_a_thread(travel_run);
        else
            assert_int_equal(even_loop_run_forever(loop), 0);
        assert_true(in.got >= travel_until);
        assert_true(even_receiver_is_active(&in.r));
        if (i % 7 == 0) {               /* between two runs it may be stopped and resumed */
            even_receiver_stop(&in.r);
            even_receiver_start(&in.r);
        }
    }
    in_a_thread(travel_close);
    assert_false(even_receiver_is_active(&in.r));
    close_pair(pair);
}

/* Its buffers are there again, after the ring that knew them is gone. */
TEST(a_new_ring_knows_the_buffers, .on = TEST_URING, .no_faults = true)
{
    many_open(sink_count);
    for (int thread = 0; thread < 3; thread++) {
        even_loop_stop(loop);
        in_a_thread(travel_run);
        for (unsigned i = 0; i < MANY; i++) {
            many_put(i, 1);
            many[i].sent++;
        }
        even_loop_stop(loop);
        in_a_thread(travel_run);
    }
    for (unsigned i = 0; i < MANY; i++)
        many[i].r.handle.run = sink_run;
    for (unsigned i = 0; i < MANY; i++)
        while (many[i].got < 3) {
            while (sink_take(&many[i]) > 0)
                ;
            assert_int_equal(even_loop_step(loop), 0);
        }
    assert_true(is_uring());
    many_close();
}
