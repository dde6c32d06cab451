/* The runner itself: that one process a test, what it passes on, and its checks are there. */
#define TEST_ON TEST_PLAIN
#include "test.h"
#include <string.h>

static int runs;

TEST(each_test_has_its_own_process)
{
    assert_int_equal(runs++, 0);
}

TEST(nothing_of_another_test_is_seen)
{
    assert_int_equal(runs++, 0);
}

TEST(the_backend_is_in_the_environment, .on = TEST_ALL)
{
    assert_non_null(getenv("EVENLOOP_BACKEND"));
}

TEST(a_plain_test_has_no_backend)
{
    assert_null(getenv("EVENLOOP_BACKEND"));
}

TEST(a_seed_is_passed, .on = TEST_SIM, .seeds = true)
{
    assert_true(test_seed() >= 1);
    assert_int_equal(strtoull(getenv("EVENLOOP_SEED"), NULL, 10), test_seed());
}
