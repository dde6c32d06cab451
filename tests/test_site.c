/* Code addresses in words. */
#define TEST_ON TEST_PLAIN
#include "test.h"
#include "base/base.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The return address of a call that stands alone in its line. */
static const void *noted;
static __attribute__((noinline)) void note(void)
{
    noted = __builtin_return_address(0);
    __asm__ volatile("" ::: "memory");
}

static void need_lines(void)
{
#ifndef EVEN_HAVE_LIBDW
    test_skip("built without libdw");
#endif
    char file[EVEN__SITE_MAX];
    note();
    if (even__site_line(noted, file, sizeof file) == 0)
        test_skip("built without debug information");
}

TEST(the_line_is_that_of_the_call)
{
    char file[EVEN__SITE_MAX], text[EVEN__SITE_MAX], expected[64];
    need_lines();
    note();
    int line = __LINE__ - 1;
    for (int i = 0; i < 2; i++) {   /* looked up, then remembered */
        memset(file, 0, sizeof file);
        assert_int_equal(even__site_line(noted, file, sizeof file), line);
        assert_string_equal(file, "test_site.c");
    }
    snprintf(expected, sizeof expected, "test_site.c:%d", line);
    assert_string_equal(even__site_name(noted, text, sizeof text), expected);
}

TEST(the_text_is_cut_to_its_room_and_errno_stays)
{
    char text[8];
    note();
    memset(text, '#', sizeof text);
    errno = EDOM;
    assert_ptr_equal(even__site_name(noted, text, 5), text);
    assert_int_equal(errno, EDOM);
    assert_int_equal(strlen(text), 4);
    assert_int_equal(text[5], '#');
}

TEST(what_has_no_line_is_named_by_its_module_or_its_address)
{
    char text[EVEN__SITE_MAX], expected[64], file[4] = "abc";
    static int data;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    snprintf(expected, sizeof expected, "%p", (void *)((char *)page + 16));
    assert_string_equal(even__site_name((char *)page + 16, text, sizeof text), expected);
    assert_int_equal(even__site_line((char *)page + 16, file, sizeof file), 0);
    assert_string_equal(file, "abc");   /* untouched */
    munmap(page, 4096);

    assert_ptr_equal(strstr(even__site_name(&data, text, sizeof text), "test_site+0x"), text);
    even__site_name(NULL, text, sizeof text);
    assert_int_equal(even__site_line(NULL, file, sizeof file), 0);
}

TEST(the_cache_may_overflow, .no_faults = true)
{
    char file[EVEN__SITE_MAX];
    need_lines();
    note();
    const char *here = noted;
    int line = __LINE__ - 2;
    for (int i = 1; i <= 400; i++)      /* more addresses than it has places */
        even__site_line(here + i, file, sizeof file);
    assert_int_equal(even__site_line(here, file, sizeof file), line);
}

static const void *shared_site;
static int shared_line, wrong;

static void *ask_often(void *unused)
{
    char file[EVEN__SITE_MAX];
    for (int i = 0; i < 2000; i++)
        if (even__site_line(shared_site, file, sizeof file) != shared_line || strcmp(file, "test_site.c") != 0)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    return unused;
}

TEST(threads_ask_at_the_same_time, .no_faults = true)
{
    pthread_t thread[4];
    need_lines();
    note();
    shared_line = __LINE__ - 1;
    shared_site = noted;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(wrong, 0);
}

static void *ask_once(void *line)
{
    char file[EVEN__SITE_MAX];
    *(int *)line = even__site_line(shared_site, file, sizeof file);
    return NULL;
}

/* A task's stack is much smaller than what libdw takes. */
TEST(a_small_stack_is_enough, .no_faults = true)
{
    pthread_t thread;
    pthread_attr_t small;
    int line = 0;
    need_lines();
    note();
    shared_line = __LINE__ - 1;
    shared_site = noted;
    pthread_attr_init(&small);
    if (pthread_attr_setstacksize(&small, 32 * 1024) != 0 || pthread_create(&thread, &small, ask_once, &line) != 0)
        test_skip("no such small threads here");
    pthread_join(thread, NULL);
    pthread_attr_destroy(&small);
    assert_int_equal(line, shared_line);
}
