/* Seeds: the same one is the same run, and whatever is free happens in some of them. */
#include "simulated.h"

/* ---- a small world whose every completion is written down ---- */

enum { CLIENTS = 5, BYTES = 20000 };

struct flow {
    struct world *world;
    int id, fd;
    even_op op;
    char *data;
    size_t at;
    void (*next)(struct flow *f);
};

struct world {
    even_loop *loop;
    struct flow out[CLIENTS], echo[CLIENTS], in[CLIENTS];
    struct flow listener;
    struct sockaddr_storage address;
    socklen_t length;
    char sent[CLIENTS][BYTES], got[CLIENTS][BYTES + 1], buffer[CLIENTS][5000];
    size_t buffered[CLIENTS];
    int accepted, ended;
    uint64_t hash, short_moves;
};

static void note(struct world *w, uint64_t what)
{
    w->hash = (w->hash ^ what) * 0x100000001b3u;
    w->hash = (w->hash ^ (uint64_t)even_time_ns(w->loop)) * 0x100000001b3u;
}

static void flow_done(even_handle *h)
{
    struct flow *f = even_container_of(h, struct flow, op.handle);
    note(f->world, (uint64_t)f->id << 32 | (uint32_t)f->op.result);
    if ((f->op.kind == EVEN_OP_SEND || f->op.kind == EVEN_OP_RECV) && (size_t)f->op.result < f->op.args.bytes.length)
        f->world->short_moves++;
    f->next(f);
}

static void flow_init(struct world *w, struct flow *f, int id, int fd, void (*next)(struct flow *f))
{
    *f = (struct flow){ .world = w, .id = id, .fd = fd, .next = next };
    even_op_init(&f->op, w->loop, flow_done);
}

static void sent_some(struct flow *f)
{
    assert_true(f->op.result > 0);
    f->at += (size_t)f->op.result;
    if (f->at < BYTES)
        even_op_send(&f->op, f->fd, f->data + f->at, BYTES - f->at, 0);
    else
        assert_int_equal(net_of(f->world->loop)->shutdown(f->world->loop, f->fd, SHUT_WR), 0);
}

static void got_some(struct flow *f)
{
    if (f->op.result <= 0) {
        assert_int_equal(f->op.result, 0);
        assert_int_equal(net_of(f->world->loop)->close(f->world->loop, f->fd), 0);
        if (++f->world->ended == CLIENTS)
            even_loop_stop(f->world->loop);
        return;
    }
    f->at += (size_t)f->op.result;
    even_op_recv(&f->op, f->fd, f->data + f->at, BYTES + 1 - f->at, 0);
}

static void connected(struct flow *f)
{
    struct world *w = f->world;
    int i = f->id;
    assert_int_equal(f->op.result, 0);
    flow_init(w, &w->in[i], 100 + i, f->fd, got_some);
    w->in[i].data = w->got[i];
    even_op_recv(&w->in[i].op, f->fd, w->got[i], BYTES + 1, 0);
    f->next = sent_some;
    f->data = w->sent[i];
    even_op_send(&f->op, f->fd, f->data, BYTES, 0);
}

static void echo_next(struct flow *f)
{
    struct world *w = f->world;
    int i = f->id - 200;
    assert_true(f->op.result >= 0);
    if (f->op.kind == EVEN_OP_RECV && f->op.result == 0) {
        assert_int_equal(net_of(w->loop)->close(w->loop, f->fd), 0);
        return;
    }
    if (f->op.kind == EVEN_OP_RECV) {
        w->buffered[i] = (size_t)f->op.result;
        f->at = 0;
    } else if (f->op.kind == EVEN_OP_SEND) {
        f->at += (size_t)f->op.result;
    }
    if (f->at < w->buffered[i])
        even_op_send(&f->op, f->fd, w->buffer[i] + f->at, w->buffered[i] - f->at, 0);
    else
        even_op_recv(&f->op, f->fd, w->buffer[i], sizeof w->buffer[i], 0);
}

static void accepted(struct flow *f)
{
    struct world *w = f->world;
    int i = w->accepted++;
    assert_true(f->op.result >= EVEN__SIM_FD);
    flow_init(w, &w->echo[i], 200 + i, f->op.result, echo_next);
    echo_next(&w->echo[i]);
    if (w->accepted < CLIENTS)
        even_op_accept(&f->op, f->fd, NULL, NULL, 0);
}

/* Clients that send, and close their half; a server that echoes: a hash of all that happened, in its order. */
static uint64_t run_world(uint64_t seed, uint64_t *short_moves)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->loop = new_loop(seed);
    flow_init(w, &w->listener, 300, new_listener(w->loop, AF_INET, 2, &w->address, &w->length), accepted);
    even_op_accept(&w->listener.op, w->listener.fd, NULL, NULL, 0);
    for (int i = 0; i < CLIENTS; i++) {
        for (size_t k = 0; k < BYTES; k++)
            w->sent[i][k] = (char)(k * 31 / 7 + (size_t)i);
        flow_init(w, &w->out[i], i, new_socket(w->loop, AF_INET), connected);
        even_op_connect(&w->out[i].op, w->out[i].fd, (struct sockaddr *)&w->address, w->length);
    }
    assert_int_equal(even_loop_run_forever(w->loop), 0);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(w->in[i].at, BYTES);
        assert_memory_equal(w->got[i], w->sent[i], BYTES);
    }
    uint64_t hash = w->hash;
    if (short_moves)
        *short_moves = w->short_moves;
    assert_int_equal(net_of(w->loop)->close(w->loop, w->listener.fd), 0);
    assert_int_equal(state(w->loop)->sockets, 0);
    even_loop_close(w->loop);
    free(w);
    return hash;
}

TEST(every_byte_arrives_whatever_the_seed, .seeds = true)
{
    uint64_t plain, seeded;
    run_world(0, &seeded);          /* the seed of the environment */
    unsetenv("EVENLOOP_SEED");
    run_world(0, &plain);
    assert_true(test_seed() ? seeded > plain : seeded == plain);
}

TEST(the_same_seed_is_the_same_run)
{
    enum { SEEDS = 20 };
    uint64_t hash[SEEDS + 1];
    unsetenv("EVENLOOP_SEED");
    for (uint64_t seed = 0; seed <= SEEDS; seed++) {
        hash[seed] = run_world(seed, NULL);
        assert_int_equal(run_world(seed, NULL), hash[seed]);
        for (uint64_t other = 0; other < seed; other++)
            assert_true(hash[other] != hash[seed]);
    }
}

static int first_ended;

static void note_first(even_op *op)
{
    first_ended = first_ended ? first_ended : op->fd;
    even__call_soon(op->loop, &op->handle);
}

TEST(a_seed_permutes_latencies_and_the_completions_of_one_wait)
{
    int firsts = 0;
    int64_t earliest = INT64_MAX, latest = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        even_loop *loop = new_loop(seed);
        int client[2], server[2];
        char byte;
        struct act a[2];
        new_pair(loop, &client[0], &server[0]);
        int64_t now = even_time_ns(loop);       /* a SYN, and the answer */
        assert_true(now >= 2 && now <= 4 * LATENCY);
        earliest = now < earliest ? now : earliest;
        latest = now > latest ? now : latest;
        new_pair(loop, &client[1], &server[1]);
        even__sim_set_latency(loop, 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(do_send(loop, client[i], "x", 1), 1);
            even_op_poll(&act(loop, &a[i])->op, server[i], POLLIN);
            assert_int_equal(end_of(&a[i]), POLLIN);
        }
        first_ended = 0;
        for (int i = 0; i < 2; i++) {
            even_op_recv(&act(loop, &a[i])->op, server[i], &byte, 1, 0);
            a[i].op.complete = note_first;
        }
        assert_int_equal(end_of(&a[0]), 1);
        firsts += first_ended == server[0];
        even_loop_close(loop);
    }
    assert_true(firsts > 0 && firsts < 40);
    assert_true(earliest < LATENCY && latest > 3 * LATENCY);
}

TEST(a_cancel_may_come_too_late_with_a_seed)
{
    int late = 0, in_time = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        even_loop *loop = new_loop(seed);
        int client, server;
        char byte = 0, next;
        struct act a;
        new_pair(loop, &client, &server);
        even__sim_set_latency(loop, 0);
        assert_int_equal(do_send(loop, client, "x", 1), 1);
        even_op_poll(&act(loop, &a)->op, server, POLLIN);
        assert_int_equal(end_of(&a), POLLIN);
        even_op_recv(&act(loop, &a)->op, server, &byte, 1, 0);
        even_op_cancel(&a.op);
        if (end_of(&a) == 1) {
            assert_int_equal(byte, 'x');
            late++;
        } else {
            assert_int_equal(a.op.result, -ECANCELED);
            assert_int_equal(byte, 0);
            assert_int_equal(do_recv(loop, server, &next, 1), 1);
            in_time++;
        }
        even_loop_close(loop);
    }
    assert_true(late > 0 && in_time > 0);
}

/* ---- anything at any time: nothing may be left, nothing may stand still that could go on ---- */

enum { CHAOS_SOCKETS = 12, CHAOS_STEPS = 400 };

struct chaos {
    even_timer timer;
    even_loop *loop;
    uint64_t random;
    int fd[CHAOS_SOCKETS];              /* the first two listen */
    struct sockaddr_storage address[2];
    socklen_t length;
    struct act act[CHAOS_SOCKETS][3];   /* for reading, for writing, polls */
    even_watch watch[CHAOS_SOCKETS];
    char buffer[CHAOS_SOCKETS][3][3000];
    int steps;
};

static void chaos_watched(even_handle *h)
{
    even_watch_stop(even_container_of(h, even_watch, handle));
}

static void chaos_close(struct chaos *c, int i)
{
    if (c->fd[i] < 0)
        return;
    for (int k = 0; k < 3; k++)
        if (even_op_is_pending(&c->act[i][k].op))
            return;
    even_watch_stop(&c->watch[i]);
    assert_int_equal(net_of(c->loop)->close(c->loop, c->fd[i]), 0);
    c->fd[i] = -1;
}

static void chaos_accepted(even_handle *h)
{
    struct act *a = even_container_of(h, struct act, op.handle);
    struct chaos *c = even_container_of(awaited, struct chaos, act[0][2]);
    a->done = true;
    for (int i = 2; a->op.result >= 0 && i < CHAOS_SOCKETS; i++)
        if (c->fd[i] < 0) {
            c->fd[i] = a->op.result;
            return;
        }
    if (a->op.result >= 0)
        assert_int_equal(net_of(c->loop)->close(c->loop, a->op.result), 0);
}

static void chaos_step(even_handle *h)
{
    struct chaos *c = even_container_of(h, struct chaos, timer.handle);
    uint64_t dice = even__random(&c->random);
    int i = (int)(dice % CHAOS_SOCKETS), k = (int)((dice >> 8) % 3), what = (int)((dice >> 16) % 16);
    size_t n = 1 + (dice >> 32) % 3000;
    struct act *a = &c->act[i][k];
    if (c->steps++ == CHAOS_STEPS) {
        even_loop_stop(c->loop);
        return;
    }
    if (c->fd[i] < 0) {
        c->fd[i] = new_socket(c->loop, AF_INET);
        net_of(c->loop)->set_option(c->loop, c->fd[i], SOL_SOCKET, SO_RCVBUF, (int)n);
        if (i < 2) {
            assert_int_equal(net_of(c->loop)->listen(c->loop, c->fd[i], i), 0);
            assert_int_equal(net_of(c->loop)->name(c->loop, c->fd[i], false, &c->address[i], &c->length), 0);
        }
    } else if (even_op_is_pending(&a->op)) {
        if (what < 5)
            even_op_cancel(&a->op);
    } else if (a->op.handle.next) {
        /* it is over, but its handle has not run */
    } else if (what == 0) {
        chaos_close(c, i);
    } else if (what == 1) {
        net_of(c->loop)->shutdown(c->loop, c->fd[i], (int)(n % 3));
    } else if (what == 2) {
        net_of(c->loop)->set_option(c->loop, c->fd[i], SOL_SOCKET, SO_LINGER, 0);
    } else if (what == 3) {
        even_watch_stop(&c->watch[i]);
        assert_int_equal(even_watch_start(c->loop, &c->watch[i], c->fd[i], n % 2 ? POLLIN : POLLIN | POLLOUT,
                                          chaos_watched), 0);
    } else if (k == 2) {
        act(c->loop, a);
        even_op_poll(&a->op, c->fd[i], n % 2 ? POLLIN : POLLOUT);
    } else if (i < 2 && k == 0) {
        even_op_init(&a->op, c->loop, chaos_accepted);
        even_op_accept(&a->op, c->fd[i], NULL, NULL, 0);
    } else if (k == 1 && what < 8) {
        act(c->loop, a);
        even_op_connect(&a->op, c->fd[i], (struct sockaddr *)&c->address[n % 2], c->length);
    } else if (k == 1) {
        act(c->loop, a);
        even_op_send(&a->op, c->fd[i], c->buffer[i][k], n, 0);
    } else {
        act(c->loop, a);
        even_op_recv(&a->op, c->fd[i], c->buffer[i][k], n, 0);
    }
    even_call_later(c->loop, &c->timer, n % 4 ? 0 : (double)n * 1e-7);
}

TEST(anything_at_any_time_leaves_nothing, .seeds = true)
{
    struct chaos *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->loop = new_loop(0);
    c->timer = (even_timer)EVEN_TIMER(chaos_step);
    c->random = test_seed();
    for (int i = 0; i < CHAOS_SOCKETS; i++) {
        c->fd[i] = -1;
        for (int k = 0; k < 3; k++)
            act(c->loop, &c->act[i][k]);
    }
    awaited = &c->act[0][2];        /* how an accept finds the world */
    assert_int_equal(even_call_later(c->loop, &c->timer, 0), 0);
    do {                            /* an end that `awaited` stops is no end yet */
        assert_int_equal(even_loop_run_forever(c->loop), 0);
    } while (c->steps <= CHAOS_STEPS);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        for (int k = 0; k < 3; k++)
            even_op_cancel(&c->act[i][k].op);
    int rc;
    while ((rc = even_loop_run_forever(c->loop)) == 0) {    /* bounded: all is cancelled, only watches are left */
    }
    assert_int_equal(rc, -EVEN_EDEADLOCK);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        chaos_close(c, i);
    for (int i = 0; i < CHAOS_SOCKETS; i++)
        assert_int_equal(c->fd[i], -1);
    assert_int_equal(state(c->loop)->sockets, 0);
    awaited = NULL;
    even_loop_close(c->loop);
    free(c);
}
