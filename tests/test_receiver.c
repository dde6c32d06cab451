/* Receivers: a stream's bytes in their order, whatever stops, resumes or ends meanwhile. */
#define TEST_ON TEST_ALL
#include "receivers.h"

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

TEST(taken_into_a_buffer_piece_by_piece)
{
    int pair[2];
    struct sink in;
    char have[8] = "";
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 1);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    say(pair[1], "one two three");
    until_runs(&in, 1);
    assert_int_equal(even_receiver_take_into(&in.r, have, 4), 4);
    assert_string_equal(have, "one ");
    assert_int_equal(even_receiver_take_into(&in.r, have, 4), 4);
    assert_string_equal(have, "two ");
    expect_piece(&in, "three");
    assert_int_equal(even_receiver_take_into(&in.r, have, 4), -EAGAIN);
    assert_string_equal(have, "two ");
    even_receiver_stop(&in.r);
    until_runs(&in, in.runs + 1);
    even_receiver_clear(&in.r);
    close_loop();
    close_both(pair);
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
        ssize_t n;
        say(pair[1], "abcdefghij");
        while ((n = even_receiver_take(&in.r, &data)) == -EAGAIN)
            until_runs(&in, in.runs + 1);
        assert_int_equal(n, 10);
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
    }
    close_loop();
    close_both(pair);
}

TEST(taken_again_from_a_buffer)
{
    for (int i = 0; i < 4; i++) {
        int pair[2];
        struct sink in;
        char have[16];
        open_loop();
        open_pair(pair);
        sink_init(&in, pair[0], 0);
        in.r.handle.run = watched_run;
        in.r.direct = i & 1;
        even_receiver_start(&in.r);
        say(pair[1], "abcdefgh");
        ssize_t n;
        while ((n = even_receiver_take_into(&in.r, have, 4)) == -EAGAIN)
            until_runs(&in, in.runs + 1);
        assert_int_equal(n, 4);
        if (i & 2)
            even_receiver_stop(&in.r);
        assert_int_equal(even_receiver_untake(&in.r, 0), 0);
        if (even_receiver_untake(&in.r, 2) < 0)
            fail_msg("no memory");
        memset(have, '#', sizeof have);
        if (i & 2)
            even_receiver_start(&in.r);
        assert_int_equal(even_receiver_take_into(&in.r, have, 1), 1);       /* a part of what was given back, */
        assert_int_equal(have[0], 'c');
        if (even_receiver_untake(&in.r, 1) < 0)                             /* and again */
            fail_msg("no memory");
        expect_piece(&in, "cdefgh");
        expect_nothing(&in);
        even_receiver_clear(&in.r);
        close_loop();
        close_both(pair);
    }
}

TEST(the_memory_may_go_with_the_last_bytes)
{
    int pair[2];
    struct sink in;
    char have[16];
    ssize_t n;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    say(pair[1], "abc");
    until_runs(&in, 1);
    even_receiver_stop(&in.r);
    while (even_receiver_is_active(&in.r))
        until_runs(&in, in.runs + 1);
    even_handle_cancel(&in.r.handle);
    while ((n = even_receiver_take_into(&in.r, have, sizeof have)) > 0 && in.r.first)
        continue;
    if (n > 0) {            /* nothing is kept: no list has it */
        assert_null(in.r.all.next);
        assert_null(in.r.lending.next);
        memset(&in.r, 0xa5, sizeof in.r);
    }
    pump();
    close_loop();
    close_both(pair);
}

static char report[1024];
static int reports;

static void keep_report(void *data, const char *text)
{
    (void)data;
    reports++;
    snprintf(report, sizeof report, "%s", text);
}

static void refused(struct sink *s, size_t n, const char *words)
{
    int before = reports;
    assert_int_equal(even_receiver_untake(&s->r, n), -EINVAL);
    assert_int_equal(reports, before + 1);
    assert_non_null(strstr(report, "; at test_receiver"));
    assert_non_null(strstr(report, words));
}

TEST(more_than_was_taken)
{
    int pair[2];
    struct sink in;
    char have[16];
    const void *data;
    ssize_t n;
    even_set_report_hook(keep_report, NULL);
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    refused(&in, 1, "nothing was taken");
    even_receiver_start(&in.r);
    refused(&in, 1, "nothing was taken");
    say(pair[1], "abcdef");
    while ((n = even_receiver_take(&in.r, &data)) == -EAGAIN)
        until_runs(&in, in.runs + 1);
    assert_int_equal(n, 6);
    refused(&in, 7, "7 bytes, but the last take brought 6");
    assert_int_equal(even_receiver_untake(&in.r, 6), 0);        /* which changed nothing */
    refused(&in, 1, "nothing was taken");
    assert_int_equal(even_receiver_take_into(&in.r, have, 2), 2);
    refused(&in, 3, "3 bytes, but the last take brought 2");
    if (even_receiver_untake(&in.r, 2) < 0)
        fail_msg("no memory");
    refused(&in, 2, "nothing was taken");
    expect_piece(&in, "abcdef");
    expect_nothing(&in);
    refused(&in, 1, "nothing was taken");                       /* a take that brings nothing is the last one, too */
    say(pair[1], "gh");
    while ((n = even_receiver_take_into(&in.r, have, 2)) == -EAGAIN)
        until_runs(&in, in.runs + 1);
    assert_int_equal(n, 2);
    even_receiver_clear(&in.r);
    refused(&in, 1, "nothing was taken");
    say(pair[1], "ij");
    while ((n = even_receiver_take_into(&in.r, have, 2)) == -EAGAIN)
        until_runs(&in, in.runs + 1);
    pump();
    refused(&in, 1, "nothing was taken");                       /* since then the loop had its turn */
    say(pair[1], "kl");
    while ((n = even_receiver_take_into(&in.r, have, 2)) == -EAGAIN)
        until_runs(&in, in.runs + 1);
    close_loop();
    refused(&in, 1, "nothing was taken");
    close_both(pair);
    even_set_report_hook(NULL, NULL);
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

/* ---- others on its descriptor ---- */

TEST(who_does_not_wait_is_not_held_up_by_a_receiver)
{
    int pair[2];
    struct sink in;
    struct wop now;
    char byte;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    for (int i = 0; i < 2; i++) {
        pump();
        even_op_recv(expect(&now), pair[0], &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        run_all();
        assert_int_equal(now.op.result, -EAGAIN);
        say(pair[1], "text");
        expect_piece(&in, "text");
        expect_nothing(&in);
    }
    close_loop();
    close_both(pair);
}

static void count_ready(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

TEST(a_watch_beside_a_receiver, .on = TEST_KERNEL)
{
    int pair[2];
    struct sink in;
    even_watch room;
    open_loop();
    open_pair(pair);
    for (int i = 0; i < 4; i++) {
        sink_init(&in, pair[0], 0);
        in.r.handle.run = watched_run;
        even_receiver_start(&in.r);
        pump();
        if (i & 1) {
            say(pair[1], "one");
            until_runs(&in, 1);         /* it leaves that where it is */
        }
        assert_int_equal(even_watch_start(loop, &room, pair[0], POLLOUT, count_ready), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        if (i & 2)
            even_watch_stop(&room);
        if (i & 1)
            expect_piece(&in, "one");
        expect_nothing(&in);
        for (int n = 0; n < 3; n++) {
            say(pair[1], "two");
            expect_piece(&in, "two");
        }
        even_watch_stop(&room);
        say(pair[1], "three");
        expect_piece(&in, "three");
        even_receiver_stop(&in.r);
        while (even_receiver_is_active(&in.r))
            pump();
        even_handle_cancel(&in.r.handle);
    }
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

/* Whoever runs first stops the other, whose handle stands in the queue already. */
static struct sink *rivals[2], *stopped;

static void rival_run(even_handle *h)
{
    sink_count(h);
    struct sink *s = even_container_of(h, struct sink, r.handle);
    if (!stopped) {
        stopped = rivals[s == rivals[0]];
        even_receiver_stop(&stopped->r);
    }
    if (!even_receiver_is_active(&s->r))
        even_loop_stop(loop);
}

TEST(who_is_stopped_is_not_run_for_what_came)
{
    int one[2], two[2];
    struct sink a, b;
    open_loop();
    open_pair(one);
    open_pair(two);
    sink_init(&a, one[0], 0);
    sink_init(&b, two[0], 0);
    a.r.handle.run = b.r.handle.run = rival_run;
    rivals[0] = &a;
    rivals[1] = &b;
    stopped = NULL;
    even_receiver_start(&a.r);
    even_receiver_start(&b.r);
    pump();
    struct wop s[2];
    even_op_send(expect(&s[0]), one[1], "x", 1, 0);
    even_op_send(expect(&s[1]), two[1], "x", 1, 0);
    while (waiting || b.inactive_runs + a.inactive_runs == 0)
        assert_int_equal(even_loop_run_forever(loop), 0);
    pump();
    assert_false(even_receiver_is_active(&stopped->r));
    assert_int_equal(stopped->inactive_runs, 1);
    assert_int_equal(stopped->runs, 1);
    close_loop();
    close_both(one);
    close_both(two);
}

static int released;

static void count_released(struct even__piece *p)
{
    (void)p;
    released++;
}

/* A backend may hand over what it has while the stop is on its way. */
TEST(what_comes_after_a_stop_is_kept_elsewhere)
{
    int pair[2];
    struct sink in;
    open_loop();
    open_pair(pair);
    sink_init(&in, pair[0], 0);
    in.r.handle.run = watched_run;
    even_receiver_start(&in.r);
    even_receiver_stop(&in.r);
    released = 0;
    struct even__piece late = { .release = count_released, .data = (unsigned char *)"late", .length = 4 };
    even__receiver_piece(&in.r.op, &late);
    assert_true(released == 1 || test_fault_fired());
    assert_false(even_handle_is_queued(&in.r.handle));
    expect_piece(&in, "late");
    expect_nothing(&in);
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
        while ((i & 16) && even_receiver_is_active(&in.r))
            pump();
        if (i & 32)
            sink_take(&in);
        even_receiver_start(&in.r);
        if (i & 64)
            sink_take(&in);
        if (i % 5 == 0)
            until_got(&in, sent, true);
    }
    until_got(&in, sent, true);
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
