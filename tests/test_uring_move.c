/* A loop on io_uring that goes from thread to thread while both live: what it waits for goes with it, and nothing happens twice
 * or is lost. */
#define TEST_ON TEST_URING
#include "sockets.h"
#include "backend/uring.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a second thread, that lives as long as the test and works at call ---- */

static sem_t called, returned;
static void (*job)(void);
static bool ends;

static void *worker(void *unused)
{
    for (;;) {
        sem_wait(&called);
        if (ends)
            return unused;
        job();
        sem_post(&returned);
    }
}

static pthread_t thread;

static void thread_begins(void)
{
    ends = false;
    sem_init(&called, 0, 0);
    sem_init(&returned, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, worker, NULL), 0);
}

static void thread_ends(void)
{
    ends = true;
    sem_post(&called);
    pthread_join(thread, NULL);
    sem_destroy(&called);
    sem_destroy(&returned);
}

static void there(void (*what)(void))
{
    job = what;
    sem_post(&called);
    sem_wait(&returned);
}

/* ---- what is asked of the kernel ---- */

enum { KINDS = 4, BYTES = 60000, CLIENTS = 60, CHUNK = 300 };

/* A stream of bytes through each way in which they come. */
struct flow {
    even_op op;
    even_receiver receiver;
    struct msghdr message;
    struct iovec vector;
    int kind, from, to;
    uint32_t sent, got;
    uint8_t buffer[CHUNK];
    bool wrong;
};

static struct flow flow[KINDS];
static int flows;           /* that are not over */
static even_op accepting, given_up, cut_off;
static int accepted, listening;
static bool given_up_over;

static void next_of(struct flow *f)
{
    memset(f->buffer, 0xee, sizeof f->buffer);
    switch (f->kind) {
    case 0: even_op_recv(&f->op, f->from, f->buffer, 1 + f->got % CHUNK, 0); break;
    case 1: even_op_read(&f->op, f->from, f->buffer, 1 + f->got % CHUNK); break;
    case 2:
        f->vector = (struct iovec){ f->buffer, 1 + f->got % CHUNK };
        if (f->vector.iov_len > BYTES - f->got)     /* there is no more to be waited for */
            f->vector.iov_len = BYTES - f->got;
        f->message = (struct msghdr){ .msg_iov = &f->vector, .msg_iovlen = 1 };
        even_op_recvmsg(&f->op, f->from, &f->message, f->got % 3 ? 0 : MSG_WAITALL);
        break;
    default: break;
    }
}

static void came(struct flow *f, const uint8_t *data, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++)
        f->wrong |= data[i] != (uint8_t)(f->got++ * 7);
    f->wrong |= n < 0;
    if (f->got >= BYTES || n <= 0)
        flows--;
}

static void flow_over(even_handle *h)
{
    struct flow *f = even_container_of(h, struct flow, op.handle);
    int n = f->op.result;
    came(f, f->buffer, n);
    if (n > 0 && f->got < BYTES)
        next_of(f);
}

static void flow_received(even_handle *h)
{
    struct flow *f = even_container_of(h, struct flow, receiver.handle);
    const void *data;
    ssize_t n;
    while (f->got < BYTES && (n = even_receiver_take(&f->receiver, &data)) != -EAGAIN)
        came(f, data, n);
    if (f->got >= BYTES)
        even_receiver_stop(&f->receiver);
}

static void accept_over(even_handle *h)
{
    (void)h;
    if (accepting.result >= 0) {
        accepted++;
        close(accepting.result);
    }
    if (accepted < CLIENTS)
        even_op_accept(&accepting, listening, NULL, NULL, 0);
}

static void given_up_ends(even_handle *h)
{
    (void)h;
    given_up_over = true;
}

static void feed(struct flow *f)
{
    uint8_t chunk[97];
    size_t n = sizeof chunk < BYTES - f->sent ? sizeof chunk : BYTES - f->sent;
    for (size_t i = 0; i < n; i++)
        chunk[i] = (uint8_t)((f->sent + i) * 7);
    ssize_t w = n ? write(f->to, chunk, n) : 0;
    f->sent += w > 0 ? (uint32_t)w : 0;
}

static void step_once(void)
{
    assert_int_equal(even_loop_step(loop), 0);
}

static void ask_for_timeout(void)
{
    (void)even_loop_timeout(loop);
}

static void run_once(void)
{
    even_loop_stop(loop);
    assert_int_equal(even_loop_run_forever(loop), 0);
}

static void quiet(even_handle *h)
{
    (void)h;
}

TEST(two_threads_take_turns_with_it, .no_faults = true, .no_valgrind = true)
{
    void (*const ways[])(void) = { step_once, ask_for_timeout, run_once };
    struct sockaddr_in at;
    socklen_t n = sizeof at;
    int clients = 0, dialed[CLIENTS], idle[2];
    char byte;
    open_loop();
    thread_begins();
    flows = KINDS;
    accepted = 0;
    for (int i = 0; i < KINDS; i++) {
        struct flow *f = &flow[i];
        int fd[2];
        if (i == 1)
            assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
        else
            unix_pair(fd);
        *f = (struct flow){ .kind = i, .from = fd[0], .to = fd[1] };
        even_op_init(&f->op, loop, flow_over);
        even_receiver_init(&f->receiver, loop, f->from, flow_received);
        if (i == 3)
            even_receiver_start(&f->receiver);
        else
            next_of(f);
    }
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listening, 64), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&at, &n), 0);
    even_op_init(&accepting, loop, accept_over);
    even_op_accept(&accepting, listening, NULL, NULL, 0);
    unix_pair(idle);
    even_op_init(&given_up, loop, given_up_ends);
    even_op_init(&cut_off, loop, quiet);

    for (unsigned turn = 0; flows > 0 || accepted < CLIENTS; turn++) {
        assert_true(turn < 200000);
        for (int i = 0; i < KINDS; i++)
            if ((turn + (unsigned)i) % 3)
                feed(&flow[i]);
        if (turn % 5 == 0 && clients < CLIENTS) {
            dialed[clients] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(dialed[clients++], (struct sockaddr *)&at, sizeof at), 0);
        }
        if (turn % 7 == 0 && !even_op_is_pending(&given_up) && !even_handle_is_queued(&given_up.handle)) {
            given_up_over = false;
            even_op_recv(&given_up, idle[0], &byte, 1, 0);
        } else if (turn % 7 == 3) {
            even_op_cancel(&given_up);
        }
        void (*way)(void) = ways[turn / 2 % 3];
        if (turn % 2)
            there(way);
        else
            way();
    }
    for (int i = 0; i < KINDS; i++) {
        assert_false(flow[i].wrong);
        assert_int_equal(flow[i].got, BYTES);
    }
    assert_int_equal(accepted, CLIENTS);
    even_op_cancel(&given_up);
    pump();
    close_loop();
    thread_ends();
    for (int i = 0; i < KINDS; i++)
        close(flow[i].from), close(flow[i].to);
    while (clients)
        close(dialed[--clients]);
    close_pair(idle);
    close(listening);
}

/* A file is read by one of the kernel's threads, and its offset moves once. */
TEST(a_files_offset_moves_once_a_read, .no_faults = true)
{
    char name[] = "/tmp/evenloop-test-XXXXXX", numbers[4096], got[4096];
    size_t done = 0;
    open_loop();
    thread_begins();
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < sizeof numbers; i++)
        numbers[i] = (char)(i * 13);
    assert_int_equal(write(fd, numbers, sizeof numbers), sizeof numbers);
    lseek(fd, 0, SEEK_SET);
    for (unsigned turn = 0; done < sizeof numbers; turn++) {
        struct wop w;
        even_op_read(expect(&w), fd, got + done, 64);
        for (unsigned k = 0; w.place == 0; k++)
            if ((turn + k) % 2)
                there(k % 3 ? step_once : ask_for_timeout);
            else
                step_once();
        assert_int_equal(w.op.result, 64);
        done += 64;
    }
    assert_memory_equal(got, numbers, sizeof numbers);
    close_loop();
    thread_ends();
    close(fd);
}

static struct wop held[3];
static char first[4];

TEST(lanes_connects_and_watches_go_with_it, .no_faults = true)
{
    int p[2], full[2];
    even_watch w;
    open_loop();
    thread_begins();
    unix_pair(p);
    unix_pair(full);
    for (int i = 0; i < 3; i++)
        even_op_recv(expect(&held[i]), p[0], first + i, 1, 0);
    assert_int_equal(even_watch_start(loop, &w, full[0], POLLIN, quiet), 0);
    there(step_once);
    even_op_cancel(&held[0].op);
    run_once();
    there(step_once);
    assert_int_equal(held[0].op.result, -ECANCELED);
    put(p[1], "ab");
    for (int i = 0; i < 100 && held[2].place == 0; i++)
        if (i % 2)
            there(step_once);
        else
            step_once();
    assert_int_equal(first[1], 'a');
    assert_int_equal(first[2], 'b');
    assert_true(held[1].place < held[2].place);
    put(full[1], "x");
    for (int i = 0; i < 100 && !(w.ready & POLLIN); i++)
        there(step_once);
    assert_true(w.ready & POLLIN);
    even_watch_stop(&w);
    there(step_once);
    close_loop();
    thread_ends();
    close_pair(p);
    close_pair(full);
}

TEST(what_is_over_with_the_last_call_of_a_run_is_not_pending_after_it, .no_faults = true)
{
    int p[2];
    struct wop w, s;
    open_loop();
    unix_pair(p);
    even_op_write(expect(&w), p[0], "x", 1);
    even_op_send(expect(&s), p[1], "y", 1, 0);
    run_once();
    assert_false(even_op_is_pending(&w.op) || even_op_is_pending(&s.op));
    even_op_init(&w.op, loop, wop_over);
    even_op_write(&w.op, p[0], "z", 1);
    (void)even_loop_timeout(loop);
    assert_false(even_op_is_pending(&w.op));
    assert_true(even_handle_is_queued(&w.op.handle));
    close_loop();
    close_pair(p);
}

static unsigned entries(void)
{
    const struct even__uring_state *s = loop->backend_state;
    return s->ring.sq.sqe_tail;
}

TEST(the_same_thread_again_asks_for_nothing_anew, .no_faults = true)
{
    enum { IDLE = 300 };
    static struct wop idle[IDLE];
    int fd[2];
    char byte[2];
    open_loop();
    unix_pair(fd);
    even_op_poll(expect(&idle[0]), fd[0], POLLPRI);
    even_op_recv(expect(&idle[1]), fd[0], byte, 2, 0);
    for (int i = 2; i < IDLE; i++)
        even_op_poll(expect(&idle[i]), fd[0], i % 2 ? POLLPRI : POLLIN);
    run_once();
    run_once();
    unsigned before = entries();
    for (int i = 0; i < 100; i++) {
        run_once();
        step_once();
        ask_for_timeout();
    }
    assert_int_equal(entries() - before, 0);
    put(fd[1], "x");
    for (int i = 0; i < IDLE && !idle[1].place; i++)
        step_once();
    assert_int_equal(idle[1].op.result, 1);
    close_loop();
    close_pair(fd);
}

static int for_all[2];

static void put_four(even_handle *unused)
{
    (void)unused;
    put(for_all[1], "1234");
    even_loop_stop(loop);
}

/* A run ends while a read waits in a pipe that may block, so that the kernel is asked to let go of it. What else comes meanwhile
 * goes on in the next run. */
TEST(a_receive_goes_on_that_got_a_part_as_a_run_ended, .no_faults = true)
{
    int pipe_ends[2];
    char ten[10], one;
    struct wop all, other;
    even_handle last = EVEN_HANDLE(put_four);
    open_loop();
    unix_pair(for_all);
    assert_int_equal(pipe(pipe_ends), 0);
    even_op_recv(expect(&all), for_all[0], ten, sizeof ten, MSG_WAITALL);
    even_op_read(expect(&other), pipe_ends[0], &one, 1);
    pump();
    even_call_soon(loop, &last);
    assert_int_equal(even_loop_run_forever(loop), 0);
    put(for_all[1], "567890");
    for (int i = 0; i < 100 && !all.place; i++)
        step_once();
    assert_int_equal(all.op.result, sizeof ten);
    assert_memory_equal(ten, "1234567890", sizeof ten);
    put(pipe_ends[1], "x");
    for (int i = 0; i < 100 && !other.place; i++)
        step_once();
    assert_int_equal(other.op.result, 1);
    close_loop();
    close_pair(for_all);
    close_pair(pipe_ends);
}
