/* Tests in C, on cmocka's assertions. A test registers itself and runs in a process of its own:
 *
 *     #include "test.h"
 *
 *     TEST(timers_come_in_order)
 *     {
 *         assert_int_equal(1 + 1, 2);
 *     }
 *     TEST(a_server_in_memory, .on = TEST_SIM, .seconds = 5) { ... }
 *
 * It runs once on each backend of `.on` (EVENLOOP_BACKEND names the one), TEST_ON of the file if it says nothing. After it,
 * no descriptor and no heap object may be left that was not there before. The options:
 *
 *     .on         TEST_URING | TEST_EPOLL | TEST_SIM, or TEST_PLAIN: once, for what concerns no backend
 *     .seeds      on sim, run it for each seed of EVENLOOP_TEST_SEEDS (1-200): EVENLOOP_SEED, and test_seed(), have it
 *     .seconds    ended after so long (30)
 *     .clean      it has released everything by the time that it asserts (even_run() does so): when a system call or an
 *                 allocation was made to fail and an assertion fails for it, nothing may be left either
 *     .no_valgrind  not under it: it is too slow there, or sees something else than is asked (EVENLOOP_TEST_VALGRIND)
 *     .no_faults  not for the runs in which the Nth system call or allocation fails
 *     TEST_LEAKS_OK
 *
 * The program's options: --list; NAME, NAME[VARIANT] or [VARIANT], ...: those alone; --nth: with the Nth call failing, for
 * every N.
 */
#ifndef EVEN_TEST_H
#define EVEN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#undef stop      /* a macro of cmocka 2 */

enum { TEST_PLAIN = 1, TEST_URING = 2, TEST_EPOLL = 4, TEST_SIM = 8, TEST_KERNEL = TEST_URING | TEST_EPOLL,
       TEST_ALL = TEST_KERNEL | TEST_SIM };

/* Defined before this header: what the file's tests run on that do not say it themselves. */
#ifndef TEST_ON
#define TEST_ON TEST_KERNEL
#endif

struct test {
    const char *name;
    void (*run)(void);
    unsigned on, file_on;
    unsigned seconds;
    bool seeds, clean, no_faults, no_valgrind, leaks_ok;
    struct test *next;
};

#define TEST_LEAKS_OK .leaks_ok = true

#define TEST(test_name, ...)                                                                                           \
    static void test__##test_name(void);                                                                               \
    __attribute__((constructor)) static void test__register_##test_name(void)                                          \
    {                                                                                                                  \
        static struct test self = { .name = #test_name, .run = test__##test_name, .file_on = TEST_ON, __VA_ARGS__ };   \
        test_register(&self);                                                                                          \
    }                                                                                                                  \
    static void test__##test_name(void)

void test_register(struct test *test);

/* The seed of this run; 0 if the test has no `.seeds`, or does not run on sim. */
uint64_t test_seed(void);

/* End the test here: it cannot run on this machine. */
void test_skip(const char *reason) __attribute__((noreturn));
#undef skip
#define skip() test_skip("no reason given")

/* True in a run in which a call was made to fail, once it has. */
bool test_fault_fired(void);

#endif
