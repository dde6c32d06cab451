/* Many operations behind others of their descriptor: each costs as little as the first. Where that is not so these tests take
 * minutes, and end at their time. */
#include "sockets.h"
#include <stdlib.h>

enum { MANY = 100 * 1000 };

static even_op *many(int n)
{
    even_op *ops = calloc((size_t)n, sizeof *ops);
    assert_non_null(ops);
    return ops;
}

static int ended;

static void count_end(even_op *op)
{
    (void)op;
    ended++;
}

static void start_reads(even_op *ops, int n, int fd, char *to)
{
    for (int i = 0; i < n; i++) {
        even_op_init(&ops[i], loop, NULL);
        ops[i].complete = count_end;
        even_op_read(&ops[i], fd, to + i, 1);
    }
}

/* Quadratic cost takes minutes. The sanitizers' builds walk over all lists, too. */
#if defined(EVEN__TSAN) || defined(EVEN__ASAN)
enum { SOON = 40 };
#else
enum { SOON = 8 };
#endif

TEST(those_behind_others_are_not_looked_for, .seconds = SOON, .no_valgrind = true, .no_faults = true)
{
    int still[2], busy[2];
    static char bytes[MANY], rest[MANY];
    open_loop();
    assert_int_equal(pipe2(still, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(pipe2(busy, O_NONBLOCK | O_CLOEXEC), 0);
    even_op *waits = many(MANY), *reads = many(MANY);
    ended = 0;
    start_reads(waits, MANY, still[0], rest);
    start_reads(reads, MANY, busy[0], bytes);
    for (int sent = 0; ended < MANY;) {
        char chunk[4096];
        for (int i = 0; i < (int)sizeof chunk; i++)
            chunk[i] = (char)(sent + i);
        ssize_t n = write(busy[1], chunk, MANY - sent < (int)sizeof chunk ? (size_t)(MANY - sent) : sizeof chunk);
        sent += n > 0 ? (int)n : 0;
        assert_int_equal(even_loop_step(loop), 0);
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(bytes[i], (char)i);
    close_loop();
    assert_int_equal(ended, 2 * MANY);
    free(waits), free(reads);
    close_pair(still), close_pair(busy);
}

TEST(those_behind_others_are_cancelled_anywhere, .seconds = SOON, .no_valgrind = true, .no_faults = true)
{
    int p[2];
    static char bytes[MANY];
    open_loop();
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    even_op *reads = many(MANY);
    ended = 0;
    start_reads(reads, MANY, p[0], bytes);
    pump();
    for (int i = MANY - 1; i > 2; i--)      /* the last one first, and one a pass at times */
        if (i != MANY / 2) {
            even_op_cancel(&reads[i]);
            if (i % 100 == 0)
                assert_int_equal(even_loop_step(loop), 0);
        }
    even_op_cancel(&reads[1]);
    pump();
    assert_int_equal(ended, MANY - 3);
    put(p[1], "abc");
    while (ended < MANY)
        assert_int_equal(even_loop_step(loop), 0);
    assert_int_equal(bytes[0], 'a');
    assert_int_equal(bytes[2], 'b');
    assert_int_equal(bytes[MANY / 2], 'c');
    assert_int_equal(reads[1].result, -ECANCELED);
    close_loop();
    free(reads);
    close_pair(p);
}

static void quiet(even_handle *h)
{
    (void)h;
}

/* What all polls of a watched descriptor want is not summed up for each of them. */
TEST(many_polls_of_a_watched_descriptor, .on = TEST_EPOLL, .seconds = SOON, .no_valgrind = true, .no_faults = true)
{
    int p[2];
    even_watch w;
    open_loop();
    unix_pair(p);
    assert_int_equal(even_watch_start(loop, &w, p[0], POLLIN, quiet), 0);
    even_op *polls = many(MANY);
    ended = 0;
    for (int i = 0; i < MANY; i++) {
        even_op_init(&polls[i], loop, NULL);
        polls[i].complete = count_end;
        even_op_poll(&polls[i], p[0], i % 2 ? POLLPRI : POLLIN);
    }
    pump();
    assert_int_equal(ended, 0);
    put(p[1], "x");
    while (ended < MANY / 2)
        assert_int_equal(even_loop_step(loop), 0);
    even_watch_stop(&w);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(even_op_is_pending(&polls[i]), i % 2);
    close_loop();
    free(polls);
    close_pair(p);
}
