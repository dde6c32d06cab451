/* Sinks: what is put arrives in its order, whole, joined where that pays; with an end behind it, or given up. */
#define TEST_ON TEST_SIM
#include "receivers.h"
#include "flow/sink.h"

/* ---- an end in memory ---- */

struct memory {
    struct even__sink s;
    char sent[1000];
    size_t length, asked;       /* bytes sent; of the put in progress */
    const void *data;
    int puts, shuts, cancels, told;
    int shut_result;
};

static struct memory *memory_of(struct even__sink *s) { return even_container_of(s, struct memory, s); }

static void memory_put(struct even__sink *s, const void *data, size_t n)
{
    struct memory *m = memory_of(s);
    assert_true(m->data == NULL && n > 0);
    m->puts++;
    m->data = data;
    m->asked = n;
}

static int memory_shutdown(struct even__sink *s)
{
    memory_of(s)->shuts++;
    return memory_of(s)->shut_result;
}

static void memory_cancel(struct even__sink *s)
{
    memory_of(s)->cancels++;
}

static const struct even__end memory_end = { .what = "memory", .put = memory_put, .shutdown = memory_shutdown,
                                             .cancel = memory_cancel };

static void memory_told(even_handle *h)
{
    even_container_of(h, struct memory, s.handle)->told++;
}

static void memory_init(struct memory *m)
{
    memset(m, 0, sizeof *m);
    even__sink_init(&m->s, loop, &memory_end, memory_told);
    m->s.at_once = true;
}

/* The end has sent so much; n > 0. */
static void goes(struct memory *m, size_t n)
{
    assert_true(m->data && n <= m->asked);
    if (m->length + n <= sizeof m->sent)
        memcpy(m->sent + m->length, m->data, n);
    m->length += n;
    m->data = NULL;
    even__sink_went(&m->s, (int32_t)n);
}

static void put_text(struct memory *m, const char *text)
{
    assert_int_equal(even__sink_put_copy(&m->s, text, strlen(text)), 0);
}

static void has_sent(struct memory *m, const char *text)
{
    assert_int_equal(m->length, strlen(text));
    assert_memory_equal(m->sent, text, m->length);
}

static int released;

static void chunk_release(struct even__chunk *c)
{
    released++;
    c->data = NULL;
}

/* ---- order, joining ---- */

TEST(what_a_pass_puts_goes_as_one)
{
    struct memory m;
    open_loop();
    memory_init(&m);
    put_text(&m, "head");
    put_text(&m, "");
    put_text(&m, "er, body");
    assert_int_equal(m.puts, 0);            /* at the end of the pass */
    pump();
    assert_int_equal(m.puts, 1);
    assert_int_equal(m.asked, 12);
    put_text(&m, "; ");
    put_text(&m, "more");
    pump();
    assert_int_equal(m.puts, 1);            /* one at a time */
    assert_int_equal(m.s.size, 18);
    goes(&m, 5);
    assert_int_equal(m.asked, 13);          /* what was left, and what came behind it */
    assert_int_equal(m.told, 0);
    goes(&m, 13);
    has_sent(&m, "header, body; more");
    assert_int_equal(m.told, 1);
    assert_int_equal(m.s.size, 0);
    assert_false(even__sink_is_active(&m.s));
    close_loop();
}

TEST(a_large_chunk_is_sent_from_where_it_lies)
{
    static char large[200 * 1000];
    struct memory m;
    struct even__chunk chunk = { .release = chunk_release, .data = large, .length = sizeof large };
    open_loop();
    memory_init(&m);
    put_text(&m, "small");
    assert_int_equal(even__sink_put(&m.s, &chunk), 0);
    pump();
    assert_int_equal(m.asked, 5);
    goes(&m, 5);
    assert_ptr_equal(m.data, large);
    goes(&m, 150 * 1000);
    assert_ptr_equal(m.data, large + 150 * 1000);
    assert_int_equal(released, 0);
    goes(&m, 50 * 1000);
    assert_int_equal(released, 1);
    close_loop();
}

/* ---- marks ---- */

/* A peer that takes little at a time costs no copy of all the rest each time. */
TEST(a_large_rest_stays_where_it_lies)
{
    static char large[60 * 1000];
    struct memory m;
    struct even__chunk chunk = { .release = chunk_release, .data = large, .length = sizeof large };
    size_t sent = 0;
    open_loop();
    memory_init(&m);
    released = 0;
    assert_int_equal(even__sink_put(&m.s, &chunk), 0);
    pump();
    for (; sent < 50 * 1000; sent += 1000) {
        assert_ptr_equal(m.data, large + sent);
        put_text(&m, "and more");
        goes(&m, 1000);
    }
    while (m.s.size > 0)
        goes(&m, m.asked);
    assert_int_equal(released, 1);
    assert_int_equal(m.length, sizeof large + 50 * strlen("and more"));
    assert_true(m.puts <= 55);              /* and the many small ones went as one */
    close_loop();
}

TEST(its_owner_is_told_when_to_go_on)
{
    struct memory m;
    open_loop();
    memory_init(&m);
    m.s.high = 10;
    m.s.low = 4;
    put_text(&m, "0123456789");
    assert_false(m.s.full);
    put_text(&m, "abc");
    assert_true(m.s.full);
    pump();
    goes(&m, 8);
    assert_int_equal(m.told, 0);
    goes(&m, 1);
    assert_int_equal(m.told, 1);            /* 4 are left */
    goes(&m, 1);
    assert_int_equal(m.told, 1);            /* once */
    goes(&m, 3);
    assert_int_equal(m.told, 2);            /* all is sent */
    close_loop();
}

/* ---- ends ---- */

TEST(the_end_comes_behind_all_that_was_put)
{
    struct memory m;
    open_loop();
    memory_init(&m);
    put_text(&m, "last");
    even__sink_end(&m.s);
    even__sink_end(&m.s);
    assert_int_equal(even__sink_put_copy(&m.s, "x", 1), -EPIPE);
    pump();
    goes(&m, 2);
    assert_int_equal(m.shuts, 0);
    goes(&m, 2);
    assert_int_equal(m.shuts, 1);
    has_sent(&m, "last");
    pump();
    assert_int_equal(m.shuts, 1);
    memory_init(&m);
    even__sink_end(&m.s);                   /* behind nothing */
    m.shut_result = -ENOTCONN;
    pump();
    assert_int_equal(m.shuts, 1);
    assert_int_equal(m.s.failure, -ENOTCONN);
    assert_int_equal(m.told, 1);
    close_loop();
}

TEST(a_failure_stays_and_nothing_more_is_taken)
{
    struct memory m;
    struct even__chunk chunk = { .release = chunk_release, .data = "abc", .length = 3 };
    open_loop();
    memory_init(&m);
    assert_int_equal(even__sink_put(&m.s, &chunk), 0);
    put_text(&m, "more");
    pump();
    even__sink_went(&m.s, -ECONNRESET);
    assert_int_equal(m.told, 1);
    assert_true(released == 1 || m.puts == 1);
    assert_int_equal(m.s.size, 0);
    for (int i = 0; i < 2; i++) {
        chunk = (struct even__chunk){ .release = chunk_release, .data = "abc", .length = 3 };
        int before = released;
        assert_int_equal(even__sink_put(&m.s, &chunk), -ECONNRESET);
        assert_int_equal(released, before);         /* it stays its owner's */
    }
    even__sink_end(&m.s);
    pump();
    assert_int_equal(m.puts, 1);
    assert_int_equal(m.shuts, 0);
    close_loop();
}

TEST(an_end_that_was_interrupted_is_asked_again)
{
    struct memory m;
    open_loop();
    memory_init(&m);
    put_text(&m, "abc");
    pump();
    m.data = NULL;
    even__sink_went(&m.s, -EINTR);
    assert_int_equal(m.puts, 2);
    goes(&m, 3);
    has_sent(&m, "abc");
    close_loop();
}

TEST(a_stop_waits_for_what_the_end_has)
{
    struct memory m;
    struct even__chunk chunk = { .release = chunk_release, .data = "abc", .length = 3 };
    open_loop();
    memory_init(&m);
    assert_int_equal(even__sink_put(&m.s, &chunk), 0);
    pump();
    even__sink_stop(&m.s);
    assert_int_equal(m.cancels, 1);
    assert_int_equal(released, 0);          /* the end has it still */
    assert_true(even__sink_is_active(&m.s));
    assert_int_equal(even__sink_put_copy(&m.s, "x", 1), -EPIPE);
    even__sink_went(&m.s, -ECANCELED);
    assert_int_equal(released, 1);
    assert_int_equal(m.told, 1);
    assert_int_equal(m.s.failure, 0);
    even__sink_stop(&m.s);
    memory_init(&m);                        /* with nothing in its hands: in the handle's turn */
    put_text(&m, "never sent");
    even__sink_stop(&m.s);
    assert_int_equal(m.told, 0);
    pump();
    assert_int_equal(m.told, 1);
    assert_int_equal(m.puts, 0);
    close_loop();
}

/* ---- over sockets ---- */

struct sender {
    struct even__sink s;
    even_timer again;
    uint64_t sent, total;
    bool over;
};

static void sender_put(struct sender *x)
{
    while (x->sent < x->total && x->s.size <= x->s.high && roll(8)) {
        unsigned char bytes[9000];
        size_t n = 1 + roll(roll(4) ? 50 : sizeof bytes);
        if (n > x->total - x->sent)
            n = x->total - x->sent;
        for (size_t i = 0; i < n; i++)
            bytes[i] = byte_of(1, x->sent + i);
        int rc = even__sink_put_copy(&x->s, bytes, n);
        assert_true(rc == 0 || test_fault_fired());
        x->sent += n;
    }
    if (x->sent == x->total)
        even__sink_end(&x->s);
    else if (roll(2) || x->s.size == 0)
        assert_int_equal(even_call_later(loop, &x->again, 1e-5 * (double)roll(5)), 0);
}

static void sender_again(even_handle *h) { sender_put(even_container_of(h, struct sender, again.handle)); }

static void sender_told(even_handle *h)
{
    struct sender *x = even_container_of(h, struct sender, s.handle);
    assert_true(x->s.failure == 0 || test_fault_fired());
    if (x->s.failure == 0 && !x->s.ending && !x->again.index && !x->again.handle.next)
        sender_put(x);
}

static void all_arrives(uint64_t total)
{
    int pair[2];
    static struct sink in;
    static struct sender out;
    dice = test_seed() + 5;
    open_loop();
    open_pair(pair);
    sink_start(&in, pair[0], 1);
    out = (struct sender){ .total = total, .again = EVEN_TIMER(sender_again) };
    even__sink_of_socket(&out.s, loop, pair[1], sender_told);
    sender_put(&out);
    run_all();
    if (test_fault_fired() && in.got < total)
        fail_msg("given up");
    sink_is_at_its_end(&in, total);
    assert_int_equal(out.s.size, 0);
    assert_true(out.s.ended);
    even_timer_cancel(loop, &out.again);
    close_loop();
    close_both(pair);
}

TEST(all_that_was_put_arrives, .on = TEST_ALL, .seeds = true, .no_faults = true) { all_arrives(300 * 1000); }

static void idle_told(even_handle *h) { (void)h; }

static void time_over(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

/* Let whatever is under way arrive. */
static void pass_time(void)
{
    even_timer t = EVEN_TIMER(time_over);
    assert_int_equal(even_call_later(loop, &t, 0.001), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
}

static struct even__sink *to_abort;

static void abort_run(even_handle *h)
{
    (void)h;
    even__sink_abort(to_abort);
    even_loop_stop(loop);
}

static void abort_in_a_pass(struct even__sink *s)
{
    even_handle h = EVEN_HANDLE(abort_run);
    to_abort = s;
    even_call_soon(loop, &h);
    assert_int_equal(even_loop_run_forever(loop), 0);
}

/* An abort sends what goes without waiting: what was put in this pass, and behind what is on its way. */
TEST(an_abort_sends_what_goes, .on = TEST_ALL, .no_faults = true)
{
    for (int kind = 0; kind < 2; kind++) {
        int pair[2];
        static struct sink in;
        struct sender out = { .total = 0 };
        open_loop();
        open_pair(pair);
        sink_start(&in, pair[0], 1);
        even__sink_of_socket(&out.s, loop, pair[1], idle_told);
        unsigned char bytes[3000];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = byte_of(1, i);
        assert_int_equal(even__sink_put_copy(&out.s, bytes, 1000), 0);
        if (kind > 0)
            pass_time();
        assert_int_equal(even__sink_put_copy(&out.s, bytes + 1000, 2000), 0);
        abort_in_a_pass(&out.s);
        while (in.got < 3000)
            pass_time();
        assert_false(even__sink_is_active(&out.s));
        even_receiver_stop(&in.r);
        pass_time();
        close_loop();
        waiting = 0;
        close_both(pair);
    }
}

TEST(an_abort_gives_up_what_waits, .on = TEST_ALL, .no_faults = true)
{
    static char large[8 * 1000 * 1000];
    int pair[2];
    struct even__chunk chunk = { .release = chunk_release, .data = large, .length = sizeof large };
    struct sender out = { .total = 0 };
    open_loop();
    open_pair(pair);
    even__sink_of_socket(&out.s, loop, pair[1], idle_told);
    assert_int_equal(even__sink_put(&out.s, &chunk), 0);
    pass_time();
    assert_true(even__sink_is_active(&out.s));      /* nobody reads */
    abort_in_a_pass(&out.s);
    while (even__sink_is_active(&out.s))
        pass_time();
    assert_int_equal(released, 1);
    assert_int_equal(out.s.failure, 0);
    close_loop();
    close_both(pair);
}
