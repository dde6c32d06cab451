/* Receivers together: more bytes than buffers, more sockets than turns, less memory than sockets; and from thread to thread. */
#define TEST_ON TEST_ALL
#include "receivers.h"
#include <pthread.h>

/* ---- many ---- */

enum { MANY = 400 };

static int others;

static struct sink many[MANY];
static int many_pair[MANY][2];

static void many_open(void (*run)(even_handle *))
{
    open_loop();
    for (unsigned i = 0; i < MANY; i++) {
        unix_pair(many_pair[i]);
        sink_init(&many[i], many_pair[i][0], i);
        many[i].r.handle.run = run;
        even_receiver_start(&many[i].r);
    }
}

static void many_put(unsigned i, size_t n)
{
    unsigned char bytes[1000];
    assert_true(n <= sizeof bytes);
    for (size_t k = 0; k < n; k++)
        bytes[k] = byte_of(i, many[i].sent + k);
    assert_int_equal(write(many_pair[i][1], bytes, n), (ssize_t)n);
}

static void many_close(void)
{
    close_loop();
    for (int i = 0; i < MANY; i++)
        close_pair(many_pair[i]);
}

/* More pieces at once than there are buffers. */
TEST(more_at_once_than_buffers, .on = TEST_KERNEL)
{
    many_open(sink_run);
    for (int round = 0; round < 6; round++) {
        pump();
        for (unsigned i = 0; i < MANY; i++) {
            many[i].sent = many[i].got;
            many_put(i, 1 + (i + (unsigned)round) % 1000);
        }
        for (unsigned i = 0; i < MANY; i++)
            until_got(&many[i], many[i].sent + 1 + (i + (unsigned)round) % 1000, false);
    }
    many_close();
}

/* Owners that are receiving and never take must not keep others from it. */
TEST(who_does_not_take_starves_nobody, .on = TEST_KERNEL)
{
    many_open(sink_count);
    struct sink *last = &many[MANY - 1];
    last->r.handle.run = sink_run;
    pump();
    for (int round = 0; round < 5; round++)
        for (unsigned i = 0; i < MANY - 1; i++) {
            many_put(i, 1);
            many[i].sent++;
            if (i % 50 == 0)
                pump();
        }
    for (int round = 0; round < 20; round++) {
        last->sent = last->got;
        many_put(MANY - 1, 100);
        until_got(last, last->sent + 100, false);
    }
    for (unsigned i = 0; i < MANY - 1; i++)         /* and nothing of theirs is lost */
        until_got(&many[i], 5, true);
    many_close();
}

TEST(who_is_stopped_holds_no_buffer_of_others, .on = TEST_URING)
{
    many_open(sink_count);
    pump();
    many_put(0, 10);
    many_put(1, 10);
    pump();
    assert_non_null(many[0].r.first);
    void (*of_the_loop)(struct even__piece *) = many[0].r.first->release;
    assert_ptr_equal(many[1].r.first->release, of_the_loop);
    even_receiver_stop(&many[0].r);
    assert_ptr_not_equal(many[0].r.first->release, of_the_loop);
    many_put(2, 10);
    even_receiver_stop(&many[2].r);
    pump();                             /* what comes as it ends is copied as well */
    for (struct even__piece *p = many[2].r.first; p; p = p->next)
        assert_ptr_not_equal(p->release, of_the_loop);
    even_receiver_start(&many[0].r);
    even_receiver_start(&many[2].r);
    for (unsigned i = 0; i < 3; i++)
        until_got(&many[i], 10, true);
    /* One that was taken and is forgotten comes back by itself. */
    many[1].sent = 10;
    many_put(1, 10);
    pump();
    assert_true(sink_take(&many[1]) > 0);
    assert_non_null(many[1].r.lent);
    pump();
    assert_null(many[1].r.lent);
    many_close();
}

TEST(who_does_not_take_is_given_no_more, .on = TEST_URING)
{
    many_open(sink_count);
    for (int i = 0; i < 40; i++) {
        many_put(0, 1);
        many[0].sent++;
        pump();
    }
    assert_in_range(many[0].r.kept, 1, 12);     /* the rest waits in the socket */
    until_got(&many[0], 40, true);
    many_close();
}

static void poll_over(even_op *op)
{
    (void)op;
    others++;
}

/* The kernel ends a receive that finds no room for its completion. */
TEST(more_completions_than_room, .on = TEST_URING, .no_faults = true)
{
    enum { POLLS = 6000 };
    static even_op op[POLLS];
    many_open(sink_run);
    pump();
    others = 0;
    for (int i = 0; i < POLLS; i++) {
        even_op_init(&op[i], loop, NULL);
        op[i].complete = poll_over;
        even_op_poll(&op[i], many_pair[0][1], POLLOUT);
    }
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 20; i++) {
            many_put(i, 100);
            many[i].sent += 100;
        }
        for (unsigned i = 0; i < 20; i++)
            until_got(&many[i], many[i].sent, false);
    }
    while (others < POLLS)
        pump();
    many_close();
}

/* ---- memory ---- */

static size_t allocated;

static void *count_allocate(size_t n)
{
    size_t *p = malloc(n + 16);
    if (!p)
        return NULL;
    *p = n;
    allocated += n;
    return (char *)p + 16;
}

static void count_release(void *memory)
{
    size_t *p = (size_t *)(void *)((char *)memory - 16);
    allocated -= *p;
    free(p);
}

static void *count_resize(void *memory, size_t n)
{
    void *p = count_allocate(n);
    if (p && memory) {
        size_t old = *(size_t *)(void *)((char *)memory - 16);
        memcpy(p, memory, old < n ? old : n);
        count_release(memory);
    }
    return p;
}

TEST(idle_receivers_hold_no_memory, .on = TEST_KERNEL)
{
    even_set_allocator(count_allocate, count_resize, count_release);
    many_open(sink_run);
    many_put(0, 500);
    until_got(&many[0], 500, false);
    pump();
    size_t before = allocated;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            many[i].sent = many[i].got;
            many_put(i, 500);
        }
        for (unsigned i = 0; i < MANY; i++)
            until_got(&many[i], many[i].sent + 500, false);
    }
    pump();
    for (unsigned i = 0; i < MANY; i++) {
        assert_null(many[i].r.first);
        assert_null(many[i].r.lent);
    }
    assert_in_range(allocated, 0, before + 256 * 1024 + 64);    /* the one large buffer may have been made meanwhile */
    many_close();
    assert_int_equal(allocated, 0);
    even_set_allocator(NULL, NULL, NULL);
}

/* ---- much ---- */

TEST(much_comes_in_large_pieces, .no_faults = true, .no_valgrind = true)
{
    enum { TOTAL = 10 << 20 };
    int pair[2];
    static struct sink in;
    static struct source out;
    open_loop();
    if (is_sim())
        open_pair(pair);
    else
        tcp_pair(pair);
    sink_start(&in, pair[0], 1);
    source_start(&out, pair[1], 1, TOTAL, 1);
    out.piece_max = 1 << 20;
    run_all();
    sink_is_at_its_end(&in, TOTAL);
    assert_in_range(in.in_pass_max, 1, 512 * 1024);
    if (!is_sim())                      /* how large they can be is the socket's; but not those of 16 KiB */
        assert_in_range(in.pieces, TOTAL / (256 * 1024), 40 + TOTAL / (32 * 1024));
    close_loop();
    close_both(pair);
}

static struct source endless;

static void endless_refill(even_handle *h)
{
    struct source *s = even_container_of(h, struct source, op.handle);
    static char block[1 << 20];
    (void)!send(s->op.fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
    others++;
    even_call_soon(loop, h);
}

static size_t endless_pass_max;

static void endless_run(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    static char block[1 << 20];
    const void *data;
    size_t got = 0;
    ssize_t n;
    s->runs++;
    while ((n = even_receiver_take(&s->r, &data)) > 0) {
        got += (size_t)n;
        (void)!send(endless.op.fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);    /* there is always more */
        if (got > 4 << 20)
            break;
    }
    s->got += got;
    if (got > endless_pass_max)
        endless_pass_max = got;
}

TEST(what_never_ends_leaves_others_their_turn, .on = TEST_KERNEL)
{
    int pair[2], other[2];
    static struct sink in, small;
    open_loop();
    unix_pair(pair);
    unix_pair(other);
    others = 0;
    endless_pass_max = 0;
    sink_init(&in, pair[0], 0);
    in.r.handle.run = endless_run;
    sink_init(&small, other[0], 2);
    endless.op.fd = pair[1];
    endless.op.handle = (even_handle)EVEN_HANDLE(endless_refill);
    even_call_soon(loop, &endless.op.handle);
    even_receiver_start(&in.r);
    even_receiver_start(&small.r);
    for (int round = 0; round < 20; round++) {
        unsigned char c = byte_of(2, (uint64_t)round);
        assert_int_equal(write(other[1], &c, 1), 1);
        int before = others;
        until_got(&small, (uint64_t)round + 1, false);
        assert_in_range(others - before, 0, 200);
    }
    until_got(&in, 20 << 20, false);
    assert_in_range(endless_pass_max, 1, 512 * 1024);
    even_handle_cancel(&endless.op.handle);
    close_loop();
    close_pair(pair);
    close_pair(other);
}

/* ---- threads ---- */

static void *travel_run(void *data)
{
    (void)data;
    return (void *)(intptr_t)even_loop_run_forever(loop);
}

static void *travel_close(void *data)
{
    (void)data;
    return (void *)(intptr_t)even_loop_close(loop);
}

static void in_a_thread(void *(*function)(void *))
{
    pthread_t thread;
    void *rc;
    assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
    pthread_join(thread, &rc);
    assert_int_equal((int)(intptr_t)rc, 0);
}

static uint64_t travel_until;

static void travel_got(even_handle *h)
{
    struct sink *s = even_container_of(h, struct sink, r.handle);
    while (s->got < travel_until && sink_take(s) > 0)   /* what is left is for the next thread */
        ;
    if (s->got >= travel_until)
        even_loop_stop(loop);
}

TEST(from_thread_to_thread, .on = TEST_KERNEL, .no_faults = true)
{
    int pair[2];
    static struct sink in;
    uint64_t sent = 0;
    open_loop();
    tcp_pair(pair);
    sink_init(&in, pair[0], 9);
    in.r.handle.run = travel_got;
    even_receiver_start(&in.r);
    for (int i = 0; i < 40; i++) {
        unsigned char bytes[20000];
        size_t n = i % 4 == 3 ? sizeof bytes : 5;
        for (size_t k = 0; k < n; k++)
            bytes[k] = byte_of(9, sent++);
        for (size_t k = 0; k < n;) {
            ssize_t rc = write(pair[1], bytes + k, n - k);
            assert_true(rc > 0);
            k += (size_t)rc;
        }
        travel_until = i % 3 == 0 ? sent : sent - 3;
        if (in.got >= travel_until)
            continue;
        if ((in.r.first || in.r.readable) && !even_handle_is_queued(&in.r.handle))
            even_call_soon(loop, &in.r.handle);
        if (i % 2)
            in_a_thread(travel_run);
        else
            assert_int_equal(even_loop_run_forever(loop), 0);
        assert_true(in.got >= travel_until);
        assert_true(even_receiver_is_active(&in.r));
        if (i % 7 == 0) {               /* between two runs it may be stopped and resumed */
            even_receiver_stop(&in.r);
            even_receiver_start(&in.r);
        }
    }
    in_a_thread(travel_close);
    assert_false(even_receiver_is_active(&in.r));
    close_pair(pair);
}

/* Its buffers are there again, after the ring that knew them is gone. */
TEST(a_new_ring_knows_the_buffers, .on = TEST_URING, .no_faults = true)
{
    enum { FEW = 10 };
    many_open(sink_count);
    for (int thread = 0; thread < 3; thread++) {
        even_loop_stop(loop);
        in_a_thread(travel_run);
        for (unsigned i = 0; i < FEW; i++) {
            many_put(i, 1);
            many[i].sent++;
        }
        even_loop_stop(loop);
        in_a_thread(travel_run);
    }
    for (unsigned i = 0; i < FEW; i++) {
        assert_int_equal(many[i].r.kept, 3);
        for (struct even__piece *p = many[i].r.first; p; p = p->next)
            assert_ptr_equal(p->release, many[0].r.first->release);
        assert_false(many[i].r.direct);
    }
    for (unsigned i = 0; i < FEW; i++)
        until_got(&many[i], 3, true);
    many_close();
}
