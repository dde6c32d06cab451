/* The macros of async.h and combine.h as expressions: how long what stands in them lives, how often it is evaluated. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_SIM
#include "story.h"

/* ---- compound literals among the arguments: they live as long as the block ---- */

async(int, sum, (const int *, p))
{
    int first = p[0];
    await(even_sleep(0));
    return first + p[1] + p[2];
}

EVEN_FUTURE(numbers_future, const int *);

/* Overwrites what lies below on the stack, were it given back. */
static __attribute__((noinline)) void scribble(void)
{
    volatile char space[2000];
    for (size_t i = 0; i < sizeof space; i++)
        space[i] = (char)0xee;
}

async(int, into_b, (int *, b), (const int *, p))
{
    await(even_sleep(0));
    *b = p[0] + p[1] + p[2];
    return 0;
}

async(int, literals_everywhere)
{
    int a = 0, b = 0;
    assert_int_equal(await(sum((const int[]){ 1, 2, 3 })), 6);
    assert_int_equal(await(wait_for(sum((const int[]){ 1, 2, 3 }), 1)), 6);
    __auto_type shielded = shield(sum((const int[]){ 1, 2, 3 }));
    scribble();
    assert_int_equal(await(shielded), 6);
    __auto_type task = create_task(sum((const int[]){ 1, 2, 3 }), .name = (char[]){ "named by a literal" });
    __auto_type again = even_ref(task);
    scribble();
    assert_int_equal(await(task), 6);
    assert_int_equal(await(again), 6);
    __auto_type both = gather(into(&a, sum((const int[]){ 1, 2, 3 })), wait_for(into_b(&b, (const int[]){ 4, 5, 6 }), 1));
    scribble();
    assert_int_equal(await(both), 0);
    assert_int_equal(a, 6);
    assert_int_equal(b, 15);
    int *results = NULL;
    __auto_type many = gather_n(2, ((struct sum_co *[]){ sum((const int[]){ 1, 1, 1 }), sum((const int[]){ 2, 2, 2 }) }),
                                (results = (int[2]){ 0 }));
    scribble();
    assert_int_equal(await(many), 0);
    assert_int_equal(results[0] + results[1], 9);
    struct numbers_future *future = even_future_new(struct numbers_future);
    even_set_result(future, ((const int[]){ 7, 8, 9 }));
    scribble();
    assert_int_equal(await(future)[2], 9);
    return 0;
}

TEST(compound_literals_live_as_long_as_their_block, .no_faults = true)
{
    assert_int_equal(even_run(literals_everywhere()), 0);
}

/* What a macro is given is evaluated once. */
static int made;
async(int, counted, (int, n)) { return n; }
static struct counted_co *make(void) { return counted(++made); }
async(int, evaluated_once)
{
    int a = 0, b = 0, results[2], *target = &a;
    assert_int_equal(await(wait_for(make(), 1)), 1);
    assert_int_equal(await(shield(make())), 2);
    assert_int_equal(await(create_task(make())), 3);
    assert_int_equal(await(gather(into(target++, make()), make(), wait_for(gather(into(&b, make())), 1))), 0);
    assert_ptr_equal(target, &a + 1);
    assert_true(made == 6 && a != b);
    assert_int_equal(await(gather_n(2, ((struct counted_co *[]){ make(), counted(0) }), results)), 0);
    __auto_type one = make();
    even_cancel(even_ref(one));
    even_unref(&one->base);
    even_unref(&one->base);
    struct even_future *f = even_future_new(struct even_future);
    even_set_result(f, ++made);
    assert_int_equal(await(f), 9);
    assert_int_equal(made, 9);
    return 0;
}

TEST(what_a_macro_is_given_is_evaluated_once)
{
    assert_int_equal(even_run(evaluated_once()), 0);
}

struct pair { int x, y; };
async(int, with_constants, (const int, n), (const char *const, text), (const struct pair, p))
{
    await(even_sleep(0));
    return n + text[0] - 'a' + p.x + p.y;
}

TEST(arguments_may_be_const)
{
    assert_int_equal(even_run(with_constants(1, "c", (struct pair){ 3, 4 })), 10);
}
