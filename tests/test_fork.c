/* The child of a fork, and the loop that it has a copy of. */
#include "test.h"
#include "loop/loop.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static even_loop *new_loop(void)
{
    even_loop *loop = NULL;
    assert_int_equal(even_loop_new(&loop, NULL), 0);
    assert_non_null(loop);
    return loop;
}

static void close_loop(even_loop *loop)
{
    assert_true(even__loop_is_valid(loop));
    assert_int_equal(even_loop_close(loop), 0);
}

static void op_stop(even_handle *h) { even_loop_stop(even_container_of(h, even_op, handle)->loop); }
static void watch_stop_loop(even_handle *h) { even_loop_stop(even_container_of(h, even_watch, handle)->loop); }

TEST(the_child_of_a_fork_may_only_close, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    int pair[2], watched[2], status = 0;
    char byte = 0;
    even_op op;
    even_watch watch;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, watched), 0);
    even_op_init(&op, loop, op_stop);
    even_op_recv(&op, pair[0], &byte, 1, 0);
    assert_int_equal(even_watch_start(loop, &watch, watched[0], POLLIN, watch_stop_loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_true(even_op_is_pending(&op));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int wrong = 0;
        wrong |= even_loop_run_forever(loop) != -EVEN_EFORK;
        wrong |= (even_loop_step(loop) != -EVEN_EFORK) << 1;
        wrong |= (even_loop_close(loop) != 0) << 2;
        wrong |= even_op_is_pending(&op) << 3;
        _exit(wrong);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(write(pair[1], "z", 1), 1);            /* the parent's have not suffered */
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(op.result, 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(write(watched[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    even_watch_stop(&watch);
    close_loop(loop);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(watched[i]);
    }
}

/* Forked in the middle of a run, and going on as if it were not: it starts, cancels and stops what it likes. */
struct forking {
    even_handle handle;
    even_loop *loop;
    even_op *receive, *other;
    even_watch *watch;
    int fd;
    pid_t child;
    bool in_child;
};

static void fork_in_a_run(even_handle *h)
{
    struct forking *f = even_container_of(h, struct forking, handle);
    even_watch more;
    fflush(NULL);
    f->child = fork();
    if (f->child == 0) {
        f->in_child = true;
        even_op_poll(f->other, f->fd, POLLIN);
        even_op_cancel(f->receive);
        even_watch_stop(f->watch);
        if (even_watch_start(f->loop, &more, f->fd, POLLOUT, watch_stop_loop) != -EVEN_EFORK)
            _exit(9);
    }
    even_loop_stop(f->loop);
}

static void nothing(even_handle *h) { (void)h; }

TEST(a_child_forked_in_a_run_leaves_what_the_parent_has, .on = TEST_KERNEL)
{
    even_loop *loop = new_loop();
    int pair[2], watched[2], status = 0;
    char byte = 0;
    even_op op, other;
    even_watch watch;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, watched), 0);
    even_op_init(&op, loop, op_stop);
    even_op_init(&other, loop, nothing);
    even_op_recv(&op, pair[0], &byte, 1, 0);
    assert_int_equal(even_watch_start(loop, &watch, watched[0], POLLIN, watch_stop_loop), 0);
    assert_int_equal(even_loop_step(loop), 0);
    assert_true(even_op_is_pending(&op));
    struct forking f = { .handle = EVEN_HANDLE(fork_in_a_run), .loop = loop, .receive = &op, .other = &other,
                         .watch = &watch, .fd = pair[1] };
    even_call_soon(loop, &f.handle);
    int rc = even_loop_run_forever(loop);
    if (f.in_child) {
        int wrong = rc != 0;
        wrong |= (even_loop_run_forever(loop) != -EVEN_EFORK) << 1;
        wrong |= (other.result != -EVEN_EFORK) << 2;
        wrong |= (even_loop_close(loop) != 0) << 3;
        wrong |= even_op_is_pending(&op) << 4;
        _exit(wrong);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(waitpid(f.child, &status, 0), f.child);
    assert_int_equal(status, 0);
    assert_int_equal(write(pair[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(op.result, 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(write(watched[1], "z", 1), 1);
    assert_int_equal(even_loop_run_forever(loop), 0);
    even_watch_stop(&watch);
    close_loop(loop);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(watched[i]);
    }
}
