/* Files that go out on a socket without a copy in the program. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <stdlib.h>
#include <sys/mman.h>

enum { SIZE = 3 << 20 };
static char *content;

/* A file of random bytes. */
static int file_of(size_t size)
{
    uint64_t random = 11;
    int fd = memfd_create("even", MFD_CLOEXEC);
    assert_true(fd >= 0);
    content = malloc(size);
    for (size_t i = 0; i < size; i++)
        content[i] = (char)even__random(&random);
    assert_int_equal(write(fd, content, size), (ssize_t)size);
    assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
    return fd;
}

static void close_file(int fd)
{
    close(fd);
    free(content);
}

static int32_t sendfile_now(int fd, int file, int64_t offset, size_t count)
{
    struct wop s;
    even_op_sendfile(expect(&s), fd, file, offset, count);
    run_all();
    return s.op.result;
}

/* One sends the file, step by step, while the other receives it. */
static struct {
    even_op send, recv;
    char *in;
    size_t sent, received;
    int file, pair[2], steps;
    bool failed;
} big;

static void sent(even_handle *h)
{
    (void)h;
    if (big.send.result > 0) {
        assert_true(big.send.result <= EVEN_SENDFILE_MAX);
        big.sent += (size_t)big.send.result;
        big.steps++;
        even_op_sendfile(&big.send, big.pair[0], big.file, (int64_t)big.sent, SIZE);
    } else if (big.send.result < 0) {
        big.failed = true;
        even_loop_stop(loop);
    }
}

static void received(even_handle *h)
{
    (void)h;
    big.received += big.recv.result > 0 ? (size_t)big.recv.result : 0;
    if (big.recv.result <= 0 || big.received == SIZE)
        even_loop_stop(loop);
    else
        even_op_recv(&big.recv, big.pair[1], big.in + big.received, SIZE - big.received, 0);
}

TEST(a_file_goes_out_whole)
{
    for (int i = 0; i < 2; i++) {
        open_loop();
        (i ? tcp_pair : unix_pair)(big.pair);
        big.file = file_of(SIZE);
        big.in = calloc(1, SIZE);
        big.sent = big.received = 0;
        big.steps = 0;
        big.failed = false;
        even_op_init(&big.send, loop, sent);
        even_op_init(&big.recv, loop, received);
        even_op_sendfile(&big.send, big.pair[0], big.file, 0, SIZE);
        pump();
        assert_false(big.failed);
        even_op_recv(&big.recv, big.pair[1], big.in, SIZE, 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        pump();     /* the sender asks for more, and hears that it is the end */
        assert_int_equal(big.received, SIZE);
        assert_int_equal(big.sent, SIZE);
        assert_true(big.steps >= 3);
        assert_int_equal(big.send.result, 0);
        assert_false(even_op_is_pending(&big.send));
        assert_memory_equal(big.in, content, SIZE);
        assert_int_equal(lseek(big.file, 0, SEEK_CUR), 7);      /* the file's own offset */
        free(big.in);
        close_loop();
        close_pair(big.pair);
        close_file(big.file);
    }
}

TEST(a_part_of_a_file)
{
    int pair[2];
    char got[64];
    open_loop();
    tcp_pair(pair);
    int file = file_of(1000);
    assert_int_equal(sendfile_now(pair[0], file, 100, 20), 20);
    assert_int_equal(recv_now(pair[1], got, sizeof got), 20);
    assert_memory_equal(got, content + 100, 20);
    assert_int_equal(sendfile_now(pair[0], file, 990, 20), 10);
    assert_int_equal(recv_now(pair[1], got, sizeof got), 10);
    assert_memory_equal(got, content + 990, 10);
    assert_int_equal(sendfile_now(pair[0], file, 1000, 20), 0);
    assert_int_equal(sendfile_now(pair[0], file, INT64_C(1) << 40, 20), 0);
    close_loop();
    close_pair(pair);
    close_file(file);
}

TEST(it_waits_for_room_and_is_canceled_without_a_loss)
{
    static char sink[1 << 16];
    for (int i = 0; i < 2; i++) {
        int pair[2];
        char got[16];
        struct wop first, middle, last;
        size_t drained = 0;
        open_loop();
        unix_pair(pair);
        int file = file_of(1000);
        size_t full = fill(pair[0]);
        even_op_send(expect(&first), pair[0], "<", 1, 0);
        even_op_sendfile(expect(&middle), pair[0], file, 0, 10);
        even_op_send(expect(&last), pair[0], ">", 1, 0);
        pump();
        assert_true(even_op_is_pending(&first.op) && even_op_is_pending(&middle.op) && even_op_is_pending(&last.op));
        if (i)
            even_op_cancel(&middle.op);
        pump();
        while (drained < full) {
            ssize_t n = read(pair[1], sink, full - drained < sizeof sink ? full - drained : sizeof sink);
            assert_true(n > 0);
            drained += (size_t)n;
        }
        run_all();
        assert_int_equal(first.op.result, 1);
        assert_int_equal(middle.op.result, i ? -ECANCELED : 10);
        assert_int_equal(last.op.result, 1);
        assert_true(first.place < last.place);
        assert_int_equal(read(pair[1], got, sizeof got), i ? 2 : 12);
        assert_int_equal(got[0], '<');
        if (!i) {
            assert_memory_equal(got + 1, content, 10);
            assert_true(first.place < middle.place && middle.place < last.place);
        }
        assert_int_equal(got[i ? 1 : 11], '>');
        close_loop();
        close_pair(pair);
        close_file(file);
    }
}

/* The first of its line, and already with the kernel. */
TEST(a_waiting_one_can_be_canceled)
{
    int pair[2];
    struct wop s;
    open_loop();
    unix_pair(pair);
    int file = file_of(1000);
    fill(pair[0]);
    even_op_sendfile(expect(&s), pair[0], file, 0, 1000);
    pump();
    assert_true(even_op_is_pending(&s.op));
    even_op_cancel(&s.op);
    run_all();
    assert_int_equal(s.op.result, -ECANCELED);
    even_op_sendfile(expect(&s), pair[0], file, 0, 1000);
    pump();
    assert_int_equal(s.place, 0);
    waiting = 0;
    close_loop();       /* ends it */
    assert_false(even_op_is_pending(&s.op));
    assert_int_equal(s.op.result, -ECANCELED);
    close_pair(pair);
    close_file(file);
}

TEST(it_goes_on_after_a_run_that_ended)
{
    static char sink[1 << 20];
    int pair[2];
    struct wop s;
    ssize_t n;
    open_loop();
    unix_pair(pair);
    int file = file_of(1000);
    fill(pair[0]);
    even_op_sendfile(expect(&s), pair[0], file, 0, 1000);
    for (int i = 0; i < 2; i++) {   /* the kernel has it, gives it back at the run's end, and gets it again */
        even_loop_stop(loop);
        assert_int_equal(even_loop_run_forever(loop), 0);
        assert_true(even_op_is_pending(&s.op));
    }
    while ((n = read(pair[1], sink, sizeof sink)) > 0)
        ;
    run_all();
    assert_int_equal(s.op.result, 1000);
    assert_int_equal(read(pair[1], sink, sizeof sink), 1000);
    assert_memory_equal(sink, content, 1000);
    close_loop();
    close_pair(pair);
    close_file(file);
}

TEST(failures_are_results)
{
    int pair[2], p[2];
    struct sigaction now;
    open_loop();
    signal(SIGPIPE, SIG_DFL);
    unix_pair(pair);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    int file = file_of(1000);
    assert_int_equal(sendfile_now(pair[0], -1, 0, 10), -EBADF);
    assert_int_equal(sendfile_now(-1, file, 0, 10), -EBADF);
    assert_int_equal(sendfile_now(pair[0], pair[1], 0, 10), -ESPIPE);
    assert_int_equal(sendfile_now(pair[0], p[0], 0, 10), -ESPIPE);
    assert_int_equal(sendfile_now(pair[0], file, -1, 10), -EINVAL);
    close(pair[1]);
    assert_int_equal(sendfile_now(pair[0], file, 0, 10), -EPIPE);   /* and no signal */
    close_loop();
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    close(pair[0]);
    close_pair(p);
    close_file(file);
}

TEST(sendfile_has_no_simulation, .on = TEST_SIM)
{
    open_loop();
    int file = file_of(10);
    int fd = loop->backend->net->socket(loop, AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(sendfile_now(fd, file, 0, 10), -EOPNOTSUPP);
    close_loop();
    close_file(file);
}
