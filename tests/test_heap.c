/* The heap of awaitables: type-stable cells, held back, remote frees, heaps that outlive their threads. */
#define TEST_ON TEST_PLAIN
#include "test.h"
#include "base/heap.h"
#include <evenloop.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

TEST(cells_are_aligned_and_apart)
{
    static const size_t sizes[] = { 1, 16, 17, 48, 64, 100, 511, 512, 513, 1024, 5000, 16384, 65000, 65536, 200000 };
    enum { KINDS = sizeof sizes / sizeof *sizes, EACH = 20 };
    unsigned char *cells[KINDS][EACH];
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < EACH; i++) {
            cells[k][i] = even__heap_alloc(sizes[k]);
            assert_non_null(cells[k][i]);
            assert_int_equal((uintptr_t)cells[k][i] % 16, 0);
            memset(cells[k][i], k * EACH + i, sizes[k]);
        }
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < EACH; i++) {
            for (size_t b = 0; b < sizes[k]; b++)
                if (cells[k][i][b] != (unsigned char)(k * EACH + i))
                    fail_msg("a cell of %zu bytes was written over at byte %zu", sizes[k], b);
            even__heap_free(cells[k][i]);
        }
}

TEST(live_cells_are_counted)
{
    size_t before = even__heap_live();
    void *a = even__heap_alloc(40), *b = even__heap_alloc(4000), *c = even__heap_alloc(100000);
    assert_true(a && b && c);
    assert_int_equal(even__heap_live(), before + 3);
    even__heap_free(a);
    even__heap_free(b);
    even__heap_free(c);
    assert_int_equal(even__heap_live(), before);
}

TEST(a_freed_cell_is_held_back_and_keeps_its_content)
{
    struct cell { const void *kind; void *link; char rest[16]; } *a = even__heap_alloc(sizeof *a);
    assert_non_null(a);
    static const int kind;
    a->kind = &kind;
    snprintf(a->rest, sizeof a->rest, "still here");
    even__heap_free(a);
    for (int i = 0; i < 60; i++) {
        void *p = even__heap_alloc(sizeof *a);
        assert_ptr_not_equal(p, a);
        if (p)
            even__heap_free(p);
    }
    assert_ptr_equal(a->kind, &kind);
    assert_string_equal(a->rest, "still here");
}

TEST(cells_are_used_again)
{
    static void *seen[1000];
    int distinct = 0;
    for (int i = 0; i < 1000; i++) {
        void *p = even__heap_alloc(128);
        assert_non_null(p);
        even__heap_free(p);
        bool known = false;
        for (int j = 0; j < distinct && !known; j++)
            known = seen[j] == p;
        if (!known)
            seen[distinct++] = p;
    }
    assert_true(distinct <= 70);
}

/* Large ones, too: a loop that makes and frees them must not grow for ever. */
TEST(large_cells_are_used_again)
{
    static void *seen[2000];
    int distinct = 0;
    for (int i = 0; i < 2000; i++) {
        void *p = even__heap_alloc(10000);
        assert_non_null(p);
        even__heap_free(p);
        bool known = false;
        for (int j = 0; j < distinct && !known; j++)
            known = seen[j] == p;
        if (!known)
            seen[distinct++] = p;
    }
    assert_true(distinct <= 70);
}

static void count_cells(void *cell, void *data)
{
    size_t *n = data;
    (void)cell;
    ++*n;
}

struct find { void *cell; int found; };
static void find_cell(void *cell, void *data)
{
    struct find *f = data;
    f->found += cell == f->cell;
}

TEST(each_visits_every_cell_once_and_no_record)
{
    void *cells[300], *record = even__heap_alloc_record(160);
    static const size_t sizes[] = { 40, 400, 4000 };
    assert_non_null(record);
    for (int i = 0; i < 300; i++)
        assert_non_null(cells[i] = even__heap_alloc(sizes[i % 3]));
    for (int i = 0; i < 300; i++) {
        struct find f = { cells[i], 0 };
        even__heap_each(find_cell, &f);
        assert_int_equal(f.found, 1);
    }
    struct find f = { record, 0 };
    even__heap_each(find_cell, &f);
    assert_int_equal(f.found, 0);
    size_t n = 0;
    even__heap_each(count_cells, &n);
    assert_true(n >= 300);
    for (int i = 0; i < 300; i++)
        even__heap_free(cells[i]);
    even__heap_free(record);
}

/* ---- threads ---- */

static void *frees_it(void *cell)
{
    even__heap_free(cell);
    return NULL;
}

TEST(a_cell_may_be_freed_by_another_thread)
{
    size_t before = even__heap_live();
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *p = even__heap_alloc(64);
        assert_non_null(p);
        if (pthread_create(&thread, NULL, frees_it, p) != 0)
            test_skip("no thread");
        pthread_join(thread, NULL);
    }
    assert_int_equal(even__heap_live(), before);
}

static void *makes_some(void *out)
{
    void **cells = out;
    for (int i = 0; i < 100; i++)
        cells[i] = even__heap_alloc(64);
    return NULL;
}

TEST(a_heap_outlives_its_thread)
{
    void *cells[100];
    pthread_t thread;
    if (pthread_create(&thread, NULL, makes_some, cells) != 0)
        test_skip("no thread");
    pthread_join(thread, NULL);
    for (int i = 0; i < 100; i++) {
        if (!cells[i])
            test_skip("no memory");
        memset(cells[i], i, 64);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(*(unsigned char *)cells[i], i);
        even__heap_free(cells[i]);
    }
}

enum { RING = 64, ROUNDS = 20000 };
static void *ring[RING];
static pthread_barrier_t start;

/* Each takes what the other left, frees it, and leaves one of its own. */
static void *trades(void *seed)
{
    uint64_t state = (uintptr_t)seed;
    pthread_barrier_wait(&start);
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = 32 + even__random(&state) % 400;
        unsigned char *mine = even__heap_alloc(size);
        if (mine)
            memset(mine, 7, size);
        void *other = __atomic_exchange_n(&ring[even__random(&state) % RING], mine, __ATOMIC_ACQ_REL);
        if (other) {
            if (*(unsigned char *)other != 7)
                abort();
            even__heap_free(other);
        }
    }
    return NULL;
}

TEST(threads_free_each_others_cells, .no_faults = true)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, trades, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < RING; i++)
        if (ring[i])
            even__heap_free(ring[i]);
}

static void count_all(void *cell, void *data)
{
    (void)cell;
    ++*(size_t *)data;
}

static size_t walked(void)
{
    size_t n = 0;
    even__heap_each(count_all, &n);
    return n;
}

/* What a peak leaves behind is not walked over for ever; what lives stays as it is, and the memory is used again. */
TEST(a_peak_is_settled)
{
    enum { PEAK = 60000, KEPT_EACH = 6000 };
    static unsigned char *cells[PEAK];
    static const size_t sizes[] = { 48, 96, 304, 1000, 70000 };
    for (int i = 0; i < PEAK; i++) {
        size_t size = i % 5000 == 4999 ? sizes[4] : sizes[i % 4];
        assert_non_null(cells[i] = even__heap_alloc(size));
        memset(cells[i], i % 251, size);
    }
    for (int i = 0; i < PEAK; i++)
        if (i % KEPT_EACH)
            even__heap_free(cells[i]);
    assert_true(walked() >= PEAK);
    even__heap_settle();
    assert_true(walked() < PEAK / 3);          /* the ten that live, each in a chunk with others */
    const char *last = even__thread.heap->region;
    unsigned char *again[PEAK / 2];
    for (int i = 0; i < PEAK / 2; i++) {
        assert_non_null(again[i] = even__heap_alloc(sizes[i % 4]));
        memset(again[i], 252, sizes[i % 4]);
    }
    assert_ptr_equal(even__thread.heap->region, last);      /* nothing was mapped */
    for (int i = 0; i < PEAK; i += KEPT_EACH)
        for (size_t k = 0; k < 48; k++)
            assert_int_equal(cells[i][k], i % 251);
    for (int i = 0; i < PEAK / 2; i++)
        even__heap_free(again[i]);
    for (int i = 0; i < PEAK; i += KEPT_EACH)
        even__heap_free(cells[i]);
}

/* ---- without memory ---- */

static bool denies;
static void *allocate(size_t size) { return denies ? NULL : malloc(size); }
static void *resize(void *p, size_t size) { return denies ? NULL : realloc(p, size); }

static void *allocates_in_vain(void *unused)
{
    (void)unused;
    denies = true;
    for (int i = 0; i < 20; i++)
        if (even__heap_alloc(48))
            return "there was memory";
    denies = false;
    void *p = even__heap_alloc(48);
    if (!p)
        return "there was none";
    even__heap_free(p);
    return NULL;
}

TEST(a_thread_that_got_no_heap_asks_again, .no_faults = true)
{
    pthread_t thread;
    void *wrong;
    even_set_allocator(allocate, resize, free);
    assert_int_equal(pthread_create(&thread, NULL, allocates_in_vain, NULL), 0);
    pthread_join(thread, &wrong);
    even_set_allocator(NULL, NULL, NULL);
    assert_null(wrong);
}
