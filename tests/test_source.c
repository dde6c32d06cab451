/* Sources over memory: what an end hands over, or is fetched from it, is taken in its order, whichever way it is taken. */
#define TEST_ON TEST_SIM
#include "sockets.h"
#include "flow/pieces.h"
#include "flow/source.h"

/* ---- an end in memory ---- */

struct memory {
    even_receiver r;
    const char *data;           /* what there is to be fetched, */
    size_t length;
    int32_t then;               /* and what comes after it: -EAGAIN, 0, or a failure */
    void *fetched_to;
    size_t room;
    bool stays;                 /* at work when there is something: where not, it is started again for each */
    int starts, stops, told;
};

static struct memory *memory_of(even_receiver *r) { return even_container_of(r, struct memory, r); }

static void memory_start(even_receiver *r)
{
    struct memory *m = memory_of(r);
    m->starts++;
    if (m->length || m->then != -EAGAIN) {
        if (m->stays)
            even__source_ready(r);
        else
            even__source_over(r, 1);
    }
}

static void memory_stop(even_receiver *r)
{
    memory_of(r)->stops++;
    even__source_over(r, -ECANCELED);
}

static ssize_t memory_take(even_receiver *r, void *buffer, size_t size)
{
    struct memory *m = memory_of(r);
    m->fetched_to = buffer;
    m->room = size;
    if (m->length == 0) {
        if (m->then != -EAGAIN)
            r->working = false;
        return m->then;
    }
    size_t n = m->length < size ? m->length : size;
    memcpy(buffer, m->data, n);
    m->data += n;
    m->length -= n;
    return (ssize_t)n;
}

static const struct even__end memory_end = { .what = "memory", .start = memory_start, .stop = memory_stop, .take = memory_take };

static void memory_told(even_handle *h)
{
    even_container_of(h, struct memory, r.handle)->told++;
}

static void memory_init(struct memory *m, const char *text)
{
    memset(m, 0, sizeof *m);
    even__source_init(&m->r, loop, &memory_end, memory_told);
    m->r.at_once = true;
    m->data = text;
    m->length = strlen(text);
    m->then = -EAGAIN;
}

/* A piece of an end's own memory. */
static int released;

static void static_release(struct even__piece *p)
{
    released++;
    free(p);
}

static void hand_over(struct memory *m, const char *text)
{
    struct even__piece *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->release = static_release;
    p->data = (unsigned char *)(uintptr_t)text;
    p->length = strlen(text);
    p->size = 16 * 1024;
    even__source_piece(&m->r, p);
}

static void reads(struct memory *m, size_t n, const char *text)
{
    char got[256] = "";
    assert_int_equal(even__source_read(&m->r, got, n), strlen(text));
    assert_string_equal(got, text);
}

static void reads_nothing(struct memory *m, ssize_t why)
{
    char got[4];
    assert_int_equal(even__source_read(&m->r, got, sizeof got), why);
}

static void has_kept(struct memory *m, int pieces)
{
    assert_int_equal(m->r.kept, pieces);
    assert_true(even__loop_is_valid(loop));
}

static void memory_over(struct memory *m)
{
    even_receiver_stop(&m->r);
    even_receiver_clear(&m->r);
    even_handle_cancel(&m->r.handle);
    assert_false(even_receiver_is_active(&m->r));
    close_loop();
}

/* ---- reading ---- */

TEST(a_source_that_was_not_started_fetches_nothing)
{
    struct memory m;
    open_loop();
    memory_init(&m, "abc");
    reads_nothing(&m, -EAGAIN);
    assert_int_equal(m.starts, 0);
    assert_ptr_equal(m.fetched_to, NULL);
    even_receiver_start(&m.r);
    assert_int_equal(m.told, 1);
    reads(&m, 10, "abc");
    memory_over(&m);
}

TEST(small_reads_are_served_from_one_fetch)
{
    struct memory m;
    open_loop();
    memory_init(&m, "abcdefgh");
    even_receiver_start(&m.r);
    reads(&m, 2, "ab");
    assert_int_equal(m.length, 0);          /* all of it was fetched */
    m.fetched_to = NULL;
    reads(&m, 3, "cde");
    reads(&m, 9, "fgh");
    assert_ptr_equal(m.fetched_to, NULL);   /* and no more was asked for */
    reads_nothing(&m, -EAGAIN);
    has_kept(&m, 0);
    assert_int_equal(loop->blocks_out, 0);  /* nothing is held for one who has all */
    memory_over(&m);
}

TEST(large_reads_are_fetched_where_they_go)
{
    static char large[100 * 1000];
    struct memory m;
    open_loop();
    memory_init(&m, "abcdefgh");
    even_receiver_start(&m.r);
    assert_int_equal(even__source_read(&m.r, large, sizeof large), 8);
    assert_memory_equal(large, "abcdefgh", 8);
    assert_ptr_equal(m.fetched_to, large);
    assert_int_equal(m.room, sizeof large);
    memory_over(&m);
}

static void comes(struct memory *m, const char *text)
{
    m->data = text;
    m->length = strlen(text);
    even__source_ready(&m->r);
}

TEST(an_end_that_stays_at_work_is_started_once)
{
    struct memory m;
    open_loop();
    memory_init(&m, "first");
    m.stays = true;
    even_receiver_start(&m.r);
    for (int i = 0; i < 5; i++) {
        if (i > 0)
            comes(&m, "other");
        assert_int_equal(m.told, i + 1);
        even__source_ready(&m.r);       /* once more before that was taken: it is no news */
        assert_int_equal(m.told, i + 1);
        reads(&m, 100, i ? "other" : "first");
        reads_nothing(&m, -EAGAIN);
        assert_true(even_receiver_is_active(&m.r));
        assert_true(even__loop_is_valid(loop));
    }
    assert_int_equal(m.starts, 1);
    even_receiver_stop(&m.r);
    assert_int_equal(m.stops, 1);
    assert_false(even_receiver_is_active(&m.r));
    m.data = "again";
    m.length = 5;
    even_receiver_start(&m.r);
    reads(&m, 100, "again");
    comes(&m, "last");
    m.then = -ECONNRESET;
    reads(&m, 100, "last");
    even__source_ready(&m.r);
    reads_nothing(&m, -ECONNRESET);
    assert_false(even_receiver_is_active(&m.r));        /* without a stop */
    assert_int_equal(m.starts, 2);
    memory_over(&m);
}

TEST(what_an_end_at_work_told_survives_a_stop)
{
    struct memory m;
    open_loop();
    memory_init(&m, "text");
    m.stays = true;
    even_receiver_start(&m.r);
    even_receiver_stop(&m.r);
    assert_false(even_receiver_is_active(&m.r));
    reads_nothing(&m, -EAGAIN);         /* nothing is fetched while it is stopped */
    even_receiver_start(&m.r);
    reads(&m, 100, "text");
    memory_over(&m);
}

TEST(a_read_takes_from_all_pieces_that_are_there)
{
    struct memory m;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    hand_over(&m, "abc");
    hand_over(&m, "def");
    hand_over(&m, "ghi");
    assert_int_equal(m.told, 3);
    reads(&m, 4, "abcd");
    assert_int_equal(released, 1);
    reads(&m, 9, "efghi");
    assert_int_equal(released, 3);
    reads_nothing(&m, -EAGAIN);
    memory_over(&m);
}

TEST(the_end_comes_behind_what_is_kept)
{
    static const int32_t ends[] = { 0, -ECONNRESET };
    for (int i = 0; i < 2; i++) {
        struct memory m;
        open_loop();
        memory_init(&m, "");
        even_receiver_start(&m.r);
        hand_over(&m, "abc");
        even__source_over(&m.r, ends[i]);
        reads(&m, 2, "ab");
        reads(&m, 2, "c");
        for (int again = 0; again < 3; again++)
            reads_nothing(&m, ends[i]);
        assert_false(even_receiver_is_active(&m.r));
        memory_over(&m);
    }
}

TEST(what_was_taken_comes_again_first)
{
    struct memory m;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    hand_over(&m, "abc");
    reads(&m, 2, "ab");
    assert_int_equal(even__source_give_back(&m.r, "ab", 2), 0);
    has_kept(&m, 2);
    reads(&m, 9, "abc");
    assert_int_equal(even__source_give_back(&m.r, "xyz", 3), 0);    /* with nothing else there */
    assert_int_equal(even__source_give_back(&m.r, "", 0), 0);
    has_kept(&m, 1);
    hand_over(&m, "d");
    reads(&m, 9, "xyzd");
    memory_over(&m);
}

TEST(a_failure_of_the_moment_is_forgiven)
{
    struct memory m;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    even__source_over(&m.r, -ENOMEM);
    reads_nothing(&m, -ENOMEM);
    even__source_forgive(&m.r);
    reads_nothing(&m, -EAGAIN);
    m.data = "abc";
    m.length = 3;
    even_receiver_start(&m.r);
    reads(&m, 9, "abc");
    memory_over(&m);
}

/* Others have their turn: a pass takes a bounded amount, however fast the end is. */
TEST(a_pass_takes_so_much_and_no_more)
{
    static char large[64 * 1024], text[2 * 1000 * 1000];
    struct memory m;
    size_t got = 0;
    ssize_t n;
    open_loop();
    memset(text, 'x', sizeof text - 1);
    memory_init(&m, text);
    even_receiver_start(&m.r);
    while ((n = even__source_read(&m.r, large, sizeof large)) > 0)
        got += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_in_range(got, 256 * 1024, 320 * 1024);
    int told = m.told;
    pump();
    assert_true(m.told > told);
    assert_true(even__source_read(&m.r, large, sizeof large) > 0);
    memory_over(&m);
}

/* ---- searching ---- */

static void finds(struct memory *m, size_t from, size_t limit, const char *bytes, ssize_t at, size_t all)
{
    size_t have = 999;
    assert_int_equal(even__source_find(&m->r, from, limit, bytes, strlen(bytes), &have), at);
    assert_int_equal(have, at < 0 ? all : 999);
}

TEST(a_search_goes_across_pieces)
{
    struct memory m;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    finds(&m, 0, 100, "a", -1, 0);
    hand_over(&m, "ab\r");
    hand_over(&m, "\r");
    hand_over(&m, "\n\r\ncd");
    finds(&m, 0, 100, "a", 0, 0);
    finds(&m, 1, 100, "a", -1, 9);
    finds(&m, 0, 100, "\r\n", 3, 0);
    finds(&m, 4, 100, "\r\n", 5, 0);
    finds(&m, 0, 100, "\r\r", 2, 0);        /* begins in a piece that is longer than it */
    finds(&m, 0, 3, "\r\r", -1, 3);
    finds(&m, 0, 100, "\r\r\n\r\nc", 2, 0);
    finds(&m, 0, 100, "d", 8, 0);
    finds(&m, 0, 8, "d", -1, 8);
    finds(&m, 0, 5, "\r\n", 3, 0);
    finds(&m, 0, 4, "\r\n", -1, 4);         /* it does not end within the limit */
    finds(&m, 0, 100, "d!", -1, 9);
    finds(&m, 9, 100, "d", -1, 9);
    finds(&m, 50, 100, "d", -1, 9);
    finds(&m, 0, 0, "a", -1, 0);
    memory_over(&m);
}

TEST(more_is_fetched_behind_what_is_there)
{
    struct memory m;
    open_loop();
    memory_init(&m, "one ");
    even_receiver_start(&m.r);
    assert_true(even__source_more(&m.r) > 0);
    m.data = "line";
    m.length = 4;
    even__source_over(&m.r, 1);
    assert_true(even__source_more(&m.r) > 0);
    has_kept(&m, 1);                        /* in the same memory */
    finds(&m, 0, 100, "e l", 2, 0);
    assert_int_equal(even__source_more(&m.r), -EAGAIN);
    m.then = 0;
    even__source_over(&m.r, 1);
    assert_int_equal(even__source_more(&m.r), 0);
    reads(&m, 100, "one line");
    reads_nothing(&m, 0);
    memory_over(&m);
}

/* Small pieces of an end's are joined, so that a line that dribbles in needs no buffer a byte. */
TEST(what_dribbles_in_is_joined)
{
    struct memory m;
    open_loop();
    memory_init(&m, "a");
    even_receiver_start(&m.r);
    assert_true(even__source_more(&m.r) > 0);
    for (int i = 0; i < 100; i++)
        hand_over(&m, "b");
    has_kept(&m, 1);
    assert_int_equal(released, 100);
    assert_int_equal(m.stops, 0);
    memory_over(&m);
}

/* ---- back-pressure ---- */

TEST(an_end_is_stopped_when_nobody_takes)
{
    static char text[16 * 1024 + 1];
    struct memory m;
    open_loop();
    memset(text, 'x', sizeof text - 1);
    memory_init(&m, "");
    even_receiver_start(&m.r);
    for (int i = 0; i < 2; i++)
        hand_over(&m, text);
    assert_int_equal(m.stops, 1);
    assert_true(m.r.direct);                /* it goes on in the other way: fetched as it is taken */
    assert_int_equal(m.starts, 2);
    m.data = text;
    m.length = 5;
    even__source_over(&m.r, 1);
    assert_int_equal(m.fetched_to ? 1 : 0, 0);
    memory_over(&m);
}

/* ---- lending ---- */

static const void *lends(struct memory *m, const char *text)
{
    const void *data = NULL;
    assert_int_equal(even__source_lend(&m->r, &data), strlen(text));
    assert_memory_equal(data, text, strlen(text));
    return data;
}

TEST(a_lent_piece_stays_until_the_next_take)
{
    struct memory m;
    const void *data;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    hand_over(&m, "abc");
    hand_over(&m, "def");
    data = lends(&m, "abc");
    assert_int_equal(loop->lent_bytes, 16 * 1024);
    pump();
    assert_int_equal(released, 0);
    assert_memory_equal(data, "abc", 3);
    data = lends(&m, "def");
    assert_int_equal(released, 1);
    reads_nothing(&m, -EAGAIN);
    assert_int_equal(released, 2);
    assert_int_equal(loop->lent_bytes, 0);
    m.data = "ghi";
    m.length = 3;
    even__source_over(&m.r, 1);
    lends(&m, "ghi");                       /* fetched into a block */
    assert_int_equal(loop->blocks_out, 1);
    assert_true(loop->lent_bytes > 0);
    even_receiver_clear(&m.r);
    assert_int_equal(loop->blocks_out, 0);
    assert_int_equal(loop->lent_bytes, 0);
    memory_over(&m);
}

TEST(beyond_the_limit_pieces_are_copied)
{
    enum { MANY = 6 };
    static struct memory m[MANY];
    open_loop();
    loop->lent_max = 40 * 1024;
    for (int i = 0; i < MANY; i++) {
        memory_init(&m[i], "");
        even_receiver_start(&m[i].r);
        hand_over(&m[i], "abc");
        lends(&m[i], "abc");
    }
    assert_int_equal(loop->lent_bytes, 32 * 1024);
    assert_int_equal(released, MANY - 2);
    assert_int_equal(loop->blocks_out, 0);
    m[0].data = "def";
    m[0].length = 3;
    even__source_over(&m[0].r, 1);
    lends(&m[0], "def");                    /* no block may be had: a copy, too */
    assert_int_equal(loop->blocks_out, 0);
    for (int i = 0; i < MANY; i++) {
        even_receiver_stop(&m[i].r);
        even_receiver_clear(&m[i].r);
        even_handle_cancel(&m[i].r.handle);
    }
    assert_int_equal(released, MANY);
    assert_int_equal(loop->lent_bytes, 0);
    close_loop();
}

/* ---- the loop's end ---- */

TEST(a_source_is_told_that_its_loop_ends)
{
    struct memory m;
    open_loop();
    memory_init(&m, "");
    even_receiver_start(&m.r);
    hand_over(&m, "abc");
    lends(&m, "abc");
    hand_over(&m, "def");
    int told = m.told;
    close_loop();
    assert_int_equal(released, 2);
    assert_int_equal(m.told, told + 1);
    assert_true(m.r.over);
    assert_false(even_receiver_is_active(&m.r));
}

TEST(a_run_ends_with_no_source_at_work)
{
    struct memory m, idle;
    open_loop();
    memory_init(&m, "");
    memory_init(&idle, "");
    even_receiver_start(&m.r);
    even_receiver_start(&idle.r);
    hand_over(&m, "abc");
    lends(&m, "abc");
    even__receivers_end(loop);
    assert_false(even_receiver_is_active(&m.r));
    assert_false(even_receiver_is_active(&idle.r));
    assert_int_equal(released, 1);
    assert_false(even_handle_is_queued(&m.r.handle));
    close_loop();
}
