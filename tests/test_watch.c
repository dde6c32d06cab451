/* What is remembered of a descriptor: watches, and numbers that are used again. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"

/* ---- watches ---- */

struct look {
    even_watch watch;
    int times, ready;
    void (*then)(struct look *self);
    struct look *other;
};

static void look_run(even_handle *h)
{
    struct look *l = even_container_of(h, struct look, watch.handle);
    l->times++;
    l->ready |= l->watch.ready;
    if (l->then)
        l->then(l);
}

static int look_at(struct look *l, int fd, int events)
{
    l->times = l->ready = 0;
    return even_watch_start(loop, &l->watch, fd, events, look_run);
}

static void steps(int n)
{
    while (n--)
        assert_int_equal(even_loop_step(loop), 0);
}

static void look_read(struct look *l)
{
    char c;
    (void)!read(l->watch.fd, &c, 1);
}
static void look_stop(struct look *l) { even_watch_stop(&l->watch); }
static void look_stop_other(struct look *l)
{
    if (l->other->times == 0)
        even_watch_stop(&l->other->watch);
}

TEST(a_watch_is_level_triggered)
{
    int pair[2];
    struct look in = { .then = NULL };
    open_loop();
    unix_pair(pair);
    assert_int_equal(look_at(&in, pair[0], POLLIN), 0);
    steps(5);
    assert_int_equal(in.times, 0);
    put(pair[1], "12");
    steps(20);
    assert_in_range(in.times, 18, 20);      /* each pass, while nobody reads */
    assert_int_equal(in.ready, POLLIN);
    in.then = look_read;
    steps(6);
    int times = in.times;
    steps(6);
    assert_int_equal(in.times, times);      /* and no longer, once it is read */
    close(pair[1]);
    steps(6);
    assert_true(in.times > times);
    assert_true(in.ready & POLLHUP);
    even_watch_stop(&in.watch);
    even_watch_stop(&in.watch);
    times = in.times;
    steps(3);
    assert_int_equal(in.times, times);
    assert_int_equal(look_at(&in, pair[0], POLLIN), 0);     /* and once more */
    steps(3);
    assert_in_range(in.times, 2, 3);
    even_watch_stop(&in.watch);
    close_loop();
    close(pair[0]);
}

TEST(both_directions_can_be_watched)
{
    int pair[2];
    struct look in = { .then = NULL }, out = { .then = NULL }, more = { .then = NULL };
    open_loop();
    unix_pair(pair);
    assert_int_equal(look_at(&in, pair[0], POLLIN), 0);
    assert_int_equal(look_at(&out, pair[0], POLLOUT), 0);
    assert_int_equal(look_at(&more, pair[0], POLLIN), -EEXIST);
    assert_int_equal(look_at(&more, pair[0], POLLOUT), -EEXIST);
    assert_int_equal(look_at(&more, pair[0], POLLIN | POLLOUT), -EEXIST);
    even_watch_stop(&more.watch);           /* it never began */
    steps(10);
    assert_int_equal(in.times, 0);
    assert_in_range(out.times, 8, 10);
    even_watch_stop(&out.watch);
    int times = out.times;
    put(pair[1], "x");
    steps(10);
    assert_int_equal(out.times, times);
    assert_in_range(in.times, 8, 10);
    even_watch_stop(&in.watch);
    assert_int_equal(look_at(&more, pair[0], POLLIN | POLLOUT), 0);
    steps(10);
    assert_in_range(more.times, 8, 10);     /* one handle, once a pass */
    assert_int_equal(more.ready, POLLIN | POLLOUT);
    assert_int_equal(look_at(&in, pair[0], POLLIN), -EEXIST);
    even_watch_stop(&more.watch);
    close_loop();
    close_pair(pair);
}

TEST(what_cannot_be_watched)
{
    char name[] = "/tmp/even-test-XXXXXX";
    struct look l = { .then = NULL };
    open_loop();
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(look_at(&l, fd, POLLIN), -EPERM);
    assert_int_equal(look_at(&l, fd, POLLIN), -EPERM);
    assert_int_equal(look_at(&l, -1, POLLIN), -EBADF);
    assert_int_equal(look_at(&l, 1000, POLLIN), -EBADF);
    assert_int_equal(look_at(&l, 1 << 30, POLLIN), -EBADF);
    assert_int_equal(look_at(&l, fd + 1, POLLIN), -EBADF);
    close_loop();
    close(fd);
}

TEST(a_watch_can_be_stopped_in_callbacks)
{
    int pair[2], other[2];
    struct look a = { .then = look_stop }, b = { .then = look_stop_other }, c = { .then = look_stop_other };
    open_loop();
    unix_pair(pair);
    unix_pair(other);
    put(pair[1], "x");
    put(other[1], "x");
    assert_int_equal(look_at(&a, pair[0], POLLIN), 0);
    steps(6);
    assert_int_equal(a.times, 1);
    b.other = &c;       /* both are queued in one pass: whichever runs first stops the other one */
    c.other = &b;
    assert_int_equal(look_at(&b, pair[0], POLLIN), 0);
    assert_int_equal(look_at(&c, other[0], POLLIN), 0);
    while (b.times + c.times == 0)
        steps(1);
    steps(6);
    assert_true((b.times == 0) != (c.times == 0));
    even_watch_stop(&b.watch);
    even_watch_stop(&c.watch);
    close_loop();
    close_pair(pair);
    close_pair(other);
}

TEST(close_stops_watches)
{
    int pair[2];
    struct look a = { .then = NULL };
    open_loop();
    unix_pair(pair);
    assert_int_equal(look_at(&a, pair[0], POLLIN | POLLOUT), 0);
    steps(2);
    close_loop();
    even_watch_stop(&a.watch);      /* it was stopped with its loop: nothing */
    close_pair(pair);
}

static void is_at_rest(void)
{
    struct pollfd p = { even_loop_fd(loop), POLLIN, 0 };
    pump();
    assert_int_equal(even_loop_timeout(loop), -1);
    assert_int_equal(poll(&p, 1, 0), 0);
}

TEST(operations_and_watches_on_one_descriptor)
{
    int pair[2];
    struct wop r, p;
    struct look out = { .then = NULL }, in = { .then = NULL };
    char buffer[16];
    open_loop();
    unix_pair(pair);
    for (int round = 0; round < 2; round++) {
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        pump();
        assert_int_equal(look_at(&out, pair[0], POLLOUT), 0);
        steps(5);
        assert_in_range(out.times, 3, 5);
        put(pair[1], "one");
        run_all();
        assert_int_equal(r.op.result, 3);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);    /* begun beside a watch */
        pump();
        put(pair[1], "three");
        run_all();
        assert_int_equal(r.op.result, 5);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);    /* outlives the watch */
        pump();
        even_watch_stop(&out.watch);
        int times = out.times;
        put(pair[1], "four");
        run_all();
        assert_int_equal(r.op.result, 4);
        assert_int_equal(out.times, times);
    }
    /* What an operation wanted is no longer told when it is over: the loop comes to rest. */
    assert_int_equal(look_at(&in, pair[0], POLLIN), 0);
    static char sink[1 << 16];
    fill(pair[0]);
    even_op_poll(expect(&p), pair[0], POLLOUT | POLLIN);
    pump();
    assert_int_equal(p.place, 0);
    while (read(pair[1], sink, sizeof sink) > 0)
        ;
    run_all();
    assert_int_equal(p.op.result, POLLOUT);
    is_at_rest();
    even_op_poll(expect(&p), pair[0], POLLIN);
    pump();
    even_op_cancel(&p.op);
    run_all();
    is_at_rest();
    even_watch_stop(&in.watch);
    close_loop();
    close_pair(pair);
}

/* ---- numbers that are used again ---- */

static void recv_works(int fd, int peer)
{
    struct wop r;
    char buffer[16];
    even_op_recv(expect(&r), fd, buffer, sizeof buffer, 0);
    pump();
    assert_int_equal(r.place, 0);
    put(peer, "fresh");
    run_all();
    assert_int_equal(r.op.result, 5);
}

static void renumber(int *fd)
{
    assert_int_equal(dup3(*fd, 100, O_CLOEXEC), 100);
    close(*fd);
    *fd = 100;
}

TEST(a_number_closed_through_the_loop_starts_anew)
{
    int pair[2];
    struct wop c;
    open_loop();
    for (int i = 0; i < 12; i++) {
        (i % 3 ? unix_pair : tcp_pair)(pair);
        renumber(&pair[0]);
        recv_works(pair[0], pair[1]);
        recv_works(pair[0], pair[1]);
        if (i & 1)
            put(pair[1], "unread");
        if (i & 2)
            pump();
        if (i & 4) {
            assert_int_equal(loop->backend->net->close(loop, pair[0]), 0);
        } else {
            even_op_close(expect(&c), pair[0]);
            run_all();
        }
        close(pair[1]);
    }
    close_loop();
}

TEST(a_registration_that_outlives_its_number_is_ignored)
{
    int pair[2], next[2], copy;
    struct wop c, r, p;
    char buffer[16];
    open_loop();
    unix_pair(pair);
    renumber(&pair[0]);
    recv_works(pair[0], pair[1]);
    copy = dup(pair[0]);
    even_op_close(expect(&c), pair[0]);
    run_all();
    unix_pair(next);
    renumber(&next[0]);
    even_op_recv(expect(&r), next[0], buffer, sizeof buffer, 0);
    pump();
    even_op_poll(expect(&p), next[0], POLLIN);
    put(pair[1], "for the copy");
    pump();
    assert_int_equal(r.place, 0);
    assert_int_equal(p.place, 0);
    put(next[1], "new");
    run_all();
    assert_int_equal(r.op.result, 3);
    close_loop();
    close_pair(next);
    close(pair[1]);
    close(copy);
}

TEST(a_number_closed_elsewhere_can_be_adopted)
{
    int pair[2];
    open_loop();
    for (int i = 0; i < 6; i++) {
        (i % 2 ? unix_pair : tcp_pair)(pair);
        renumber(&pair[0]);
        even_loop_adopt(loop, pair[0]);
        recv_works(pair[0], pair[1]);
        even_loop_adopt(loop, pair[0]);     /* though it is no other */
        recv_works(pair[0], pair[1]);
        close_pair(pair);
    }
    even_loop_adopt(loop, 4000);            /* never heard of */
    close_loop();
}

/* Closed behind the loop's back: accept, poll and watch see to it that the number's past does not count. */
TEST(a_number_closed_elsewhere_starts_anew_where_the_loop_can_tell)
{
    struct sockaddr_in address;
    struct wop a, p;
    struct look in = { .then = NULL };
    int pair[2];
    open_loop();
    int fd = listener(&address, 8), client = socket(AF_INET, SOCK_STREAM, 0);
    unix_pair(pair);
    recv_works(pair[0], pair[1]);
    int number = pair[0];
    close_pair(pair);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    even_op_accept(expect(&a), fd, NULL, NULL, 0);
    run_all();
    assert_int_equal(a.op.result, number);
    recv_works(number, client);
    close(number);

    unix_pair(pair);
    assert_int_equal(pair[0], number);
    even_op_poll(expect(&p), number, POLLIN);
    pump();
    assert_int_equal(p.place, 0);
    put(pair[1], "x");
    run_all();
    assert_int_equal(p.op.result, POLLIN);
    char c;
    assert_int_equal(read(number, &c, 1), 1);
    recv_works(number, pair[1]);
    close_pair(pair);

    unix_pair(pair);
    assert_int_equal(pair[0], number);
    assert_int_equal(look_at(&in, number, POLLIN), 0);
    put(pair[1], "x");
    steps(4);
    assert_true(in.times > 0);
    even_watch_stop(&in.watch);
    close_pair(pair);
    close_loop();
    close(client);
    close(fd);
}

static void forgotten(even_op *op)
{
    (void)op;
}

/* Its registration changes when it is gone already: closed by close(2) under those who wait, which is the program's mistake. They
 * are told all the same. */
TEST(a_registration_that_is_refused_is_told, .on = TEST_EPOLL, .no_faults = true)
{
    int pair[2];
    struct wop sends;
    struct look in = { .then = NULL };
    even_op urgent;
    open_loop();
    unix_pair(pair);
    fill(pair[0]);
    assert_int_equal(look_at(&in, pair[0], POLLIN), 0);
    even_op_send(expect(&sends), pair[0], "x", 1, 0);
    even_op_init(&urgent, loop, NULL);
    urgent.complete = forgotten;
    even_op_poll(&urgent, pair[0], POLLPRI);
    steps(2);
    close(pair[0]);
    even_op_cancel(&urgent);
    assert_true(even__loop_is_valid(loop));
    steps(2);
    assert_int_equal(sends.op.result, -EBADF);
    assert_int_equal(waiting, 0);
    assert_int_equal(in.times, 1);
    even_watch_stop(&in.watch);
    close_loop();
    close(pair[1]);
}
