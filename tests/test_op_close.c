/* A close is carried out exactly once, whenever it was started and whatever becomes of its loop. */
#define TEST_ON TEST_ALL
#include "sockets.h"
#include <sys/wait.h>

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void open_pipe(int p[2])
{
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
}

/* The number is another file's from now on: nobody else may close it. */
static void take_number(int fd)
{
    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(other >= 0);
    if (other != fd) {
        assert_int_equal(dup2(other, fd), fd);
        close(other);
    }
}

TEST(a_close_outside_of_a_run_is_carried_out_with_the_loop)
{
    int p[2];
    struct wop c;
    open_loop();
    open_pipe(p);
    even_op_close(expect(&c), p[0]);
    even_op_cancel(&c.op);                  /* there is no way back */
    close_loop();
    assert_false(is_open(p[0]));
    assert_int_equal(c.op.result, 0);
    assert_false(even_op_is_pending(&c.op));
    close(p[1]);
}

struct closer {
    even_handle handle;
    int fd;
    struct wop c;
};

static void start_close(even_handle *h)
{
    struct closer *k = even_container_of(h, struct closer, handle);
    even_op_close(expect(&k->c), k->fd);
    even_loop_stop(loop);
}

TEST(a_close_in_the_last_pass_is_carried_out_with_the_loop)
{
    for (int stepped = 0; stepped < 2; stepped++) {
        int p[2];
        open_loop();
        open_pipe(p);
        struct closer k = { EVEN_HANDLE(start_close), p[0], { .place = 0 } };
        even_call_soon(loop, &k.handle);
        if (stepped)
            assert_int_equal(even_loop_step(loop), 0);
        else
            assert_int_equal(even_loop_run_forever(loop), 0);
        close_loop();
        assert_false(is_open(p[0]));
        assert_int_equal(k.c.op.result, 0);
        close(p[1]);
    }
}

static int number;
static even_op second;

/* As a stream does, whose last operation ends with the loop. */
static void close_now(even_op *op)
{
    (void)op;
    even_op_close(&second, number);
}

TEST(a_close_that_is_started_by_the_loops_end_is_carried_out)
{
    int p[2];
    even_op op;
    open_loop();
    open_pipe(p);
    number = p[0];
    even_op_init(&second, loop, NULL);
    even_op_init(&op, loop, NULL);
    op.complete = close_now;
    even_op_poll(&op, p[0], POLLIN);
    close_loop();
    assert_int_equal(op.result, -ECANCELED);
    assert_false(is_open(p[0]));
    assert_int_equal(second.result, 0);
    close(p[1]);
}

TEST(a_close_that_was_carried_out_is_not_repeated)
{
    int p[2];
    struct wop c;
    open_loop();
    open_pipe(p);
    even_op_close(expect(&c), p[0]);
    if (even_loop_timeout(loop) >= 0 && is_open(p[0]))      /* hands it over, where that is needed, and reaps nothing */
        assert_int_equal(even_loop_step(loop), 0);
    assert_false(is_open(p[0]));
    take_number(p[0]);
    close_loop();
    assert_true(is_open(p[0]));
    assert_int_equal(c.op.result, 0);
    close(p[0]);
    close(p[1]);
}

/* The child's numbers are its own: what the parent closes is its copy no longer, and what stands there may be a stranger. */
TEST(a_childs_copy_of_the_loop_closes_nothing)
{
    for (int handed_over = 0; handed_over < 2; handed_over++) {
        int p[2], status;
        struct wop c;
        open_loop();
        open_pipe(p);
        even_op_close(expect(&c), p[0]);
        if (handed_over)
            (void)even_loop_timeout(loop);
        pid_t child = fork();
        if (child == 0) {
            take_number(p[0]);
            even_loop_close(loop);
            _exit(is_open(p[0]) && !even_op_is_pending(&c.op) ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        run_all();
        assert_int_equal(c.op.result, 0);
        assert_false(is_open(p[0]));
        close_loop();
        close(p[1]);
    }
}

/* ---- a descriptor that is closed by other means, once what waited for it was asked to end ---- */

static even_op waits;
static even_watch watches;
static int the_fd;

static void ignore(even_handle *h) { (void)h; }

static void run_a_pass(void)
{
    even_loop_stop(loop);
    assert_int_equal(even_loop_run_forever(loop), 0);
}

static void nobody_listens(const struct sockaddr_in *address)
{
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int rc = connect(client, (const struct sockaddr *)address, sizeof *address);
    close(client);
    assert_int_equal(rc, -1);
}

TEST(a_listener_is_closed_between_two_runs, .on = TEST_KERNEL)
{
    struct sockaddr_in address;
    open_loop();
    int fd = listener(&address, 8);
    even_op_init(&waits, loop, ignore);
    even_op_accept(&waits, fd, NULL, NULL, 0);
    run_a_pass();
    even_op_cancel(&waits);
    close(fd);
    nobody_listens(&address);
    close_loop();
}

TEST(a_watched_listener_is_closed_between_two_runs, .on = TEST_KERNEL)
{
    struct sockaddr_in address;
    open_loop();
    int fd = listener(&address, 8);
    assert_int_equal(even_watch_start(loop, &watches, fd, POLLIN, ignore), 0);
    run_a_pass();
    even_watch_stop(&watches);
    close(fd);
    nobody_listens(&address);
    close_loop();
}

static void cancel_and_close(even_handle *h)
{
    (void)h;
    even_op_cancel(&waits);
    close(the_fd);
}

TEST(a_listener_is_closed_in_the_last_pass, .on = TEST_KERNEL)
{
    struct sockaddr_in address;
    even_handle h = EVEN_HANDLE(cancel_and_close);
    open_loop();
    the_fd = listener(&address, 8);
    even_op_init(&waits, loop, ignore);
    even_op_accept(&waits, the_fd, NULL, NULL, 0);
    run_a_pass();
    even_call_soon(loop, &h);
    run_a_pass();
    nobody_listens(&address);
    close_loop();
}

TEST(a_peer_sees_the_end_between_two_runs, .on = TEST_KERNEL)
{
    char byte;
    int pair[2];
    open_loop();
    tcp_pair(pair);
    even_op_init(&waits, loop, ignore);
    even_op_recv(&waits, pair[0], &byte, 1, 0);
    run_a_pass();
    even_op_cancel(&waits);
    close(pair[0]);
    until(pair[1], POLLIN);
    assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
    close(pair[1]);
    close_loop();
}
