/* Pipes, terminals and devices: read and write as operations. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>

/* SIGPIPE as a program has it that has done nothing about it. */
static void open_loop_as_is(void)
{
    open_loop();
    signal(SIGPIPE, SIG_DFL);
}

static void pipe_pair(int p[2])
{
    assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
}

static size_t fill_pipe(int fd)
{
    static char block[4096];
    size_t total = 0;
    ssize_t n;
    memset(block, '.', sizeof block);
    while ((n = write(fd, block, sizeof block)) > 0)
        total += (size_t)n;
    return total;
}

TEST(a_read_waits_and_sees_the_end)
{
    for (int i = 0; i < 4; i++) {
        int p[2];
        struct wop r;
        char got[16] = "";
        open_loop();
        pipe_pair(p);
        if (i & 1) {
            even_op_read(expect(&r), p[0], got, sizeof got);
            pump();
            assert_true(even_op_is_pending(&r.op));
        }
        put(p[1], "bytes");
        if (!(i & 1))
            even_op_read(expect(&r), p[0], got, sizeof got);
        run_all();
        assert_int_equal(r.op.result, 5);
        assert_memory_equal(got, "bytes", 5);
        even_op_read(expect(&r), p[0], got, sizeof got);
        if (i & 2)
            pump();
        close(p[1]);
        run_all();
        assert_int_equal(r.op.result, 0);
        close_loop();
        close(p[0]);
    }
}

TEST(a_write_without_a_reader_is_epipe_and_no_signal)
{
    int p[2];
    struct wop w;
    struct sigaction now;
    open_loop_as_is();
    pipe_pair(p);
    close(p[0]);
    even_op_write(expect(&w), p[1], "nobody", 6);
    run_all();
    assert_int_equal(w.op.result, -EPIPE);
    close_loop();
    close(p[1]);
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);     /* given back */
}

/* Whoever has taken SIGPIPE keeps it. */
static volatile sig_atomic_t signals;

static void note(int number)
{
    (void)number;
    signals++;
}

TEST(a_handler_of_the_programs_own_stays)
{
    int p[2];
    struct wop w;
    struct sigaction now;
    open_loop();
    signal(SIGPIPE, note);
    pipe_pair(p);
    close(p[0]);
    even_op_write(expect(&w), p[1], "nobody", 6);
    run_all();
    assert_int_equal(w.op.result, -EPIPE);
    close_loop();
    close(p[1]);
    assert_int_equal(signals, 1);
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == note);
}

TEST(a_pending_write_sees_its_reader_go)
{
    int p[2];
    struct wop w;
    open_loop_as_is();
    pipe_pair(p);
    fill_pipe(p[1]);
    even_op_write(expect(&w), p[1], "no room", 7);
    pump();
    assert_true(even_op_is_pending(&w.op));
    close(p[0]);
    run_all();
    assert_int_equal(w.op.result, -EPIPE);
    close_loop();
    close(p[1]);
}

TEST(a_poll_for_nothing_sees_the_reader_go)
{
    for (int i = 0; i < 2; i++) {
        int p[2];
        struct wop w;
        open_loop();
        pipe_pair(p);
        even_op_poll(expect(&w), p[1], 0);
        if (i) {
            pump();
            put(p[1], "unread");
            pump();
            assert_true(even_op_is_pending(&w.op));
        }
        close(p[0]);
        run_all();
        assert_true(w.op.result & POLLERR);
        close_loop();
        close(p[1]);
    }
}

TEST(writes_leave_in_order_as_there_is_room)
{
    int p[2];
    struct wop w[3];
    static char sink[1 << 17];
    size_t got = 0;
    open_loop();
    pipe_pair(p);
    size_t full = fill_pipe(p[1]);
    for (int i = 0; i < 3; i++)
        even_op_write(expect(&w[i]), p[1], (const char *[]){ "one", "two", "three" }[i], i == 2 ? 5 : 3);
    pump();
    even_op_cancel(&w[1].op);
    while (waiting) {
        ssize_t n = read(p[0], sink + got, sizeof sink - got);
        got += n > 0 ? (size_t)n : 0;
        pump();
    }
    assert_int_equal(w[0].op.result, 3);
    assert_int_equal(w[1].op.result, -ECANCELED);
    assert_int_equal(w[2].op.result, 5);
    while (got < full + 8) {
        ssize_t n = read(p[0], sink + got, sizeof sink - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(sink + full, "onethree", 8);
    close_loop();
    close_pair(p);
}

TEST(a_canceled_read_loses_nothing)
{
    for (int i = 0; i < 64; i++) {
        int p[2];
        struct wop r;
        char got[16];
        memset(got, 'P', sizeof got);
        open_loop();
        pipe_pair(p);
        even_op_read(expect(&r), p[0], got, sizeof got);
        if (i & 1)
            pump();
        if (i & 2)
            put(p[1], "here");
        even_op_cancel(&r.op);
        run_all();
        if (r.op.result == -ECANCELED) {
            for (size_t k = 0; k < sizeof got; k++)
                assert_int_equal(got[k], 'P');
            if (!(i & 2))
                put(p[1], "here");
            pump();
            assert_int_equal(got[0], 'P');
            even_op_read(expect(&r), p[0], got, sizeof got);
            run_all();
        }
        assert_int_equal(r.op.result, 4);
        assert_memory_equal(got, "here", 4);
        close_loop();
        close_pair(p);
    }
}

TEST(a_named_pipe)
{
    char folder[] = "/tmp/even-pipe-XXXXXX", path[64], got[8];
    struct wop r;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    open_loop();
    int in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), out = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    even_op_read(expect(&r), in, got, sizeof got);
    pump();
    assert_true(even_op_is_pending(&r.op));
    put(out, "fifo");
    run_all();
    assert_int_equal(r.op.result, 4);
    close_loop();
    close(in);
    close(out);
    unlink(path);
    rmdir(folder);
}

TEST(devices_that_never_wait)
{
    struct wop r, w, end;
    char got[16];
    memset(got, 'P', sizeof got);
    open_loop();
    int null = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    even_op_write(expect(&w), null, "nowhere", 7);
    even_op_read(expect(&end), null, got, sizeof got);
    run_all();
    assert_int_equal(w.op.result, 7);
    assert_int_equal(end.op.result, 0);
    even_op_read(expect(&r), zero, got, sizeof got);
    run_all();
    assert_int_equal(r.op.result, sizeof got);
    for (size_t k = 0; k < sizeof got; k++)
        assert_int_equal(got[k], 0);
    close_loop();
    close(null);
    close(zero);
}

TEST(a_terminal_and_its_hang_up)
{
    struct wop r, w;
    char got[32], path[64];
    struct termios raw;
    open_loop();
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, path, sizeof path) != 0)
        test_skip("no terminals here");
    int slave = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(slave >= 0);
    assert_int_equal(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    for (int i = 0; i < 3; i++) {   /* either way, and what stops short is not the last */
        even_op_read(expect(&r), i ? slave : master, got, i == 2 ? 2 : sizeof got);
        pump();
        assert_true(even_op_is_pending(&r.op));
        even_op_write(expect(&w), i ? master : slave, "typed", 5);
        run_all();
        assert_int_equal(w.op.result, 5);
        for (size_t n = 0; n < 5;) {
            assert_true(r.op.result > 0);
            assert_memory_equal(got, &"typed"[n], (size_t)r.op.result);
            n += (size_t)r.op.result;
            if (n < 5) {
                even_op_read(expect(&r), i ? slave : master, got, sizeof got);
                run_all();
            }
        }
    }
    even_op_read(expect(&r), master, got, sizeof got);
    pump();
    close(slave);
    run_all();
    assert_int_equal(r.op.result, -EIO);    /* how a terminal says that nobody is there any more */
    close_loop();
    close(master);
}
