/* Operations that end before their time: canceled, or with their loop; and a loop that takes them from thread to thread. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <pthread.h>

/* ---- cancel ---- */

static bool is_filled_with(const char *buffer, char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (buffer[i] != c)
            return false;
    return true;
}

TEST(a_canceled_recv_lets_go_of_its_buffer)
{
    for (int i = 0; i < 4; i++) {
        int pair[2];
        struct wop r;
        char buffer[64];
        open_loop();
        (i & 1 ? tcp_pair : unix_pair)(pair);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        if (i & 2)
            pump();
        even_op_cancel(&r.op);
        assert_int_equal(r.place, 0);       /* never from inside */
        even_op_cancel(&r.op);              /* once is enough */
        run_all();
        assert_int_equal(r.op.result, -ECANCELED);
        assert_false(even_op_is_pending(&r.op));
        even_op_cancel(&r.op);              /* nothing is pending: nothing */
        memset(buffer, 'P', sizeof buffer);
        put(pair[1], "later");
        until(pair[0], POLLIN);
        pump();
        assert_true(is_filled_with(buffer, 'P', sizeof buffer));
        assert_int_equal(recv_now(pair[0], buffer, sizeof buffer), 5);
        assert_memory_equal(buffer, "later", 5);
        close_loop();
        close_pair(pair);
    }
}

TEST(a_recv_canceled_as_its_bytes_arrive_loses_nothing)
{
    int pair[2];
    unsigned char next = 0, expected = 0;
    open_loop();
    tcp_pair(pair);
    for (int i = 0; i < 400; i++) {
        struct wop r;
        unsigned char buffer[64], send[3] = { next, (unsigned char)(next + 1), (unsigned char)(next + 2) };
        next = (unsigned char)(next + 3);
        even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
        if (i & 1)
            pump();
        if (i & 2) {
            assert_int_equal(write(pair[1], send, 3), 3);
            if (i & 4)
                until(pair[0], POLLIN);
            if (i & 8)
                assert_int_equal(even_loop_step(loop), 0);
            even_op_cancel(&r.op);
        } else {
            even_op_cancel(&r.op);
            assert_int_equal(write(pair[1], send, 3), 3);
        }
        run_all();
        int32_t n = r.op.result;
        assert_true(n == -ECANCELED || n == 3);
        if (n == -ECANCELED) {
            even_op_recv(expect(&r), pair[0], buffer, sizeof buffer, 0);
            run_all();
            n = r.op.result;
            assert_int_equal(n, 3);
        }
        for (int k = 0; k < 3; k++)
            assert_int_equal(buffer[k], expected++);
    }
    close_loop();
    close_pair(pair);
}

TEST(a_canceled_accept_loses_no_connection)
{
    struct sockaddr_in address;
    open_loop();
    int fd = listener(&address, 64);
    for (int i = 0; i < 64; i++) {
        struct wop a;
        int client = socket(AF_INET, SOCK_STREAM, 0);
        even_op_accept(expect(&a), fd, NULL, NULL, 0);
        if (i & 1)
            pump();
        if (i & 2)
            assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
        if (i & 4)
            assert_int_equal(even_loop_step(loop), 0);
        even_op_cancel(&a.op);
        if (!(i & 2))
            assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
        run_all();
        if (!(i & 2) || a.op.result < 0) {
            assert_int_equal(a.op.result, -ECANCELED);
            even_op_accept(expect(&a), fd, NULL, NULL, 0);
            run_all();
        }
        assert_true(a.op.result >= 0);
        close(a.op.result);
        close(client);
    }
    close_loop();
    close(fd);
}

TEST(a_connect_can_be_canceled)
{
    struct sockaddr_in address;
    int filler[4];
    struct wop c;
    open_loop();
    int fd = listener(&address, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    for (int i = 0; i < 4; i++) {   /* a full backlog answers nobody */
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(filler[i], (struct sockaddr *)&address, sizeof address);
    }
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, sizeof address);
    pump();
    assert_true(even_op_is_pending(&c.op));
    even_op_cancel(&c.op);
    run_all();
    assert_int_equal(c.op.result, -ECANCELED);
    close_loop();
    for (int i = 0; i < 4; i++)
        close(filler[i]);
    close(client);
    close(fd);
}

TEST(polls_and_sends_can_be_canceled)
{
    int pair[2];
    struct wop p, s, last;
    static char sink[1 << 16];
    open_loop();
    unix_pair(pair);
    even_op_poll(expect(&p), pair[0], POLLIN);
    pump();
    even_op_cancel(&p.op);
    run_all();
    assert_int_equal(p.op.result, -ECANCELED);

    size_t full = fill(pair[0]), got = 0;
    even_op_send(expect(&s), pair[0], "no", 2, 0);
    even_op_send(expect(&last), pair[0], "yes", 3, 0);
    pump();
    even_op_cancel(&s.op);      /* the first of the line */
    while (got < full) {
        pump();
        ssize_t n = read(pair[1], sink, full - got < sizeof sink ? full - got : sizeof sink);
        assert_true(n > 0);
        got += (size_t)n;
    }
    run_all();
    assert_int_equal(s.op.result, -ECANCELED);
    assert_int_equal(last.op.result, 3);
    assert_int_equal(read(pair[1], sink, sizeof sink), 3);
    assert_memory_equal(sink, "yes", 3);
    close_loop();
    close_pair(pair);
}

/* ---- the loop's life ---- */

static int completed;

static void count_completion(even_op *op)
{
    (void)op;
    completed++;
}

TEST(close_ends_all_that_is_pending)
{
    struct sockaddr_in address;
    int pair[2], p[2];
    even_op op[6];
    char buffer[64];
    open_loop();
    unix_pair(pair);
    assert_int_equal(pipe2(p, O_NONBLOCK), 0);
    int fd = listener(&address, 1);
    completed = 0;
    fill(pair[1]);
    for (int i = 0; i < 6; i++) {
        even_op_init(&op[i], loop, NULL);
        op[i].complete = count_completion;
    }
    even_op_send(&op[0], pair[1], "x", 1, 0);
    even_op_recv(&op[1], pair[1], buffer, sizeof buffer, 0);
    even_op_accept(&op[2], fd, NULL, NULL, 0);
    even_op_read(&op[3], p[0], buffer, sizeof buffer);
    even_op_poll(&op[4], p[0], POLLIN);
    pump();
    assert_int_equal(completed, 0);
    even_op_poll(&op[5], p[0], POLLIN);     /* not even submitted */
    even_op_cancel(&op[4]);                 /* and one that was asked to end, and has not yet */
    memset(buffer, 'P', sizeof buffer);
    close_loop();
    assert_int_equal(completed, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(op[i].result, -ECANCELED);
        assert_false(even_op_is_pending(&op[i]));
    }
    put(pair[0], "late");
    put(p[1], "late");
    assert_true(is_filled_with(buffer, 'P', sizeof buffer));
    close_pair(pair);
    close_pair(p);
    close(fd);
}

/* Made in one thread, run in two others, closed in a fourth, with an operation pending throughout. */
static struct {
    even_op op, other;
    char byte, other_byte;
    int pair[2], pending[2];
    int got, rc;
} traveler;

static void traveler_got(even_handle *h)
{
    (void)h;
    traveler.got += traveler.op.result == 1;
    even_op_recv(&traveler.op, traveler.pair[0], &traveler.byte, 1, 0);
    even_loop_stop(loop);
}

static void *traveler_new(void *data)
{
    traveler.rc = even_loop_new(&loop, NULL);
    if (traveler.rc < 0)
        return data;
    even_op_init(&traveler.op, loop, traveler_got);
    even_op_init(&traveler.other, loop, NULL);
    traveler.other.complete = count_completion;
    even_op_recv(&traveler.op, traveler.pair[0], &traveler.byte, 1, 0);
    even_op_recv(&traveler.other, traveler.pending[0], &traveler.other_byte, 1, 0);
    return data;
}

static void *traveler_run(void *data)
{
    traveler.rc = even_loop_run_forever(loop);
    return data;
}

static void *traveler_close(void *data)
{
    traveler.rc = even_loop_close(loop);
    return data;
}

static void in_a_thread(void *(*function)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(traveler.rc, 0);
}

/* Started in the pass that is the run's last: bytes that were sent just before a stop are not kept for the next run. */
struct last_words {
    even_handle handle;
    struct wop send;
    int fd;
};

static void say_last_words(even_handle *h)
{
    struct last_words *w = even_container_of(h, struct last_words, handle);
    even_op_send(expect(&w->send), w->fd, "bye", 3, 0);
    even_loop_stop(loop);
}

TEST(what_the_last_pass_starts_is_handed_over)
{
    int pair[2];
    char got[8];
    open_loop();
    unix_pair(pair);
    struct last_words w = { .handle = EVEN_HANDLE(say_last_words), .fd = pair[0] };
    even_call_soon(loop, &w.handle);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 3);
    run_all();
    assert_int_equal(w.send.op.result, 3);
    assert_int_equal(recv(pair[1], got, sizeof got, MSG_DONTWAIT), -1);     /* once */
    close_loop();
    close_pair(pair);
}

TEST(a_loop_may_change_its_thread)
{
    unix_pair(traveler.pair);
    unix_pair(traveler.pending);
    traveler.got = 0;
    in_a_thread(traveler_new);
    put(traveler.pair[1], "1");
    in_a_thread(traveler_run);
    assert_int_equal(traveler.got, 1);
    put(traveler.pair[1], "2");         /* arrives between the runs */
    in_a_thread(traveler_run);
    assert_int_equal(traveler.got, 2);
    assert_true(even_op_is_pending(&traveler.op));
    assert_true(even_op_is_pending(&traveler.other));
    in_a_thread(traveler_close);
    assert_false(even_op_is_pending(&traveler.op));
    assert_int_equal(traveler.other.result, -ECANCELED);
    close_pair(traveler.pair);
    close_pair(traveler.pending);
}
