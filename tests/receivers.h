/* What the tests of receivers share: who sends a stream, and who receives and checks it. */
#ifndef EVEN_TEST_RECEIVERS_H
#define EVEN_TEST_RECEIVERS_H

#include "sockets.h"
#include <stdio.h>

static uint64_t dice;

static inline size_t roll(size_t n)
{
    return (size_t)(even__random(&dice) % n);
}

static inline bool is_sim(void) { return strcmp(even_loop_backend(loop), "sim") == 0; }

/* Byte `at` of the stream number `id`. */
static inline unsigned char byte_of(unsigned id, uint64_t at)
{
    uint64_t state = (at >> 3) + ((uint64_t)id << 40);
    return (unsigned char)(even__random(&state) >> (8 * (at & 7)));
}

/* Two connected sockets, on whatever the loop stands on. */
static inline void open_pair(int pair[2])
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

static inline void shut(int fd) { assert_int_equal(loop->backend->net->shutdown(loop, fd, SHUT_WR), 0); }

/* After the loop, what was the kernel's. */
static inline void close_both(int pair[2])
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

static inline void source_go_on(struct source *s)
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

static inline void source_sent(even_handle *h)
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

static inline void source_start(struct source *s, int fd, unsigned id, uint64_t total, size_t piece_max)
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

static inline void sink_check(struct sink *s, const unsigned char *data, size_t n)
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

static inline void sink_resume(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, again.handle);
    s->paused = false;
    even_receiver_start(&s->r);
    assert_true(even_receiver_is_active(&s->r) || s->r.over);
}

static inline void sink_pause(struct sink *s)
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

static inline ssize_t sink_take(struct sink *s)
{
    static unsigned char own[40000];
    const void *data;
    if (s->fickle && roll(3) == 0) {                /* into memory of its own */
        size_t room = 1 + roll(roll(2) ? 100 : sizeof own);
        ssize_t n = even_receiver_take_into(&s->r, own, room);
        assert_true(n <= (ssize_t)room);
        if (n <= 0)
            return n;
        size_t back = roll(3) == 0 ? roll((size_t)n + 1) : 0;
        sink_check(s, own, (size_t)n - back);
        if (!s->paused && roll(4) == 0)
            sink_pause(s);
        if (even_receiver_untake(&s->r, back) < 0) {
            assert_true(test_fault_fired());
            sink_check(s, own + n - back, back);
        }
        return n;
    }
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

static inline void sink_run(even_handle *h)
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

/* Until it has got so much; `takes`: its run does not. */
static inline void until_got(struct sink *s, uint64_t total, bool takes)
{
    for (;;) {
        while (takes && sink_take(s) > 0)
            ;
        if (s->got >= total)
            return;
        assert_false(s->r.over);
        assert_int_equal(even_loop_step(loop), 0);
    }
}

/* A run that counts how the loop called it, and takes nothing. */
static inline void sink_count(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    s->runs++;
    s->inactive_runs += !even_receiver_is_active(&s->r);
}

static inline void sink_init(struct sink *s, int fd, unsigned id)
{
    memset(s, 0, sizeof *s);
    s->id = id;
    s->again = (even_timer)EVEN_TIMER(sink_resume);
    even_receiver_init(&s->r, loop, fd, sink_run);
}

static inline void sink_start(struct sink *s, int fd, unsigned id)
{
    sink_init(s, fd, id);
    waiting++;
    even_receiver_start(&s->r);
    assert_true(even_receiver_is_active(&s->r));
    assert_int_equal(s->runs, 0);
}

static inline void sink_is_at_its_end(struct sink *s, uint64_t total)
{
    const void *data;
    assert_true(s->ended);
    assert_int_equal(s->result, 0);
    assert_int_equal(s->got, total);
    assert_false(even_receiver_is_active(&s->r));
    assert_int_equal(even_receiver_take(&s->r, &data), 0);
}

#endif
