/* What a test's program did, in order, and what the library reported meanwhile: so that a test tells its story in one string,
 * and asserts when the run is over. Most of these tests are `.clean`; those are not in which a coroutine is given a reference
 * as an argument: if it never begins, for want of memory, nobody gives that back. */
#ifndef EVEN_TEST_STORY_H
#define EVEN_TEST_STORY_H

#include "test.h"
#include <evenloop.h>
#include <stdio.h>
#include <string.h>

static char story[8192], reports[8192];

/* Append a word. */
__attribute__((unused, format(printf, 1, 2))) static void tell_story(const char *format, ...)
{
    size_t n = strlen(story);
    va_list args;
    if (n && n + 1 < sizeof story) {
        story[n++] = ' ';
        story[n] = '\0';
    }
    va_start(args, format);
    vsnprintf(story + n, sizeof story - n, format, args);
    va_end(args);
}
#define say(...) tell_story(__VA_ARGS__)

#define assert_story(expected) assert_string_equal(story, expected)

static void keep_report(void *data, const char *text)
{
    size_t n = strlen(reports);
    (void)data;
    snprintf(reports + n, sizeof reports - n, "%s\n", text);
}

/* Reports go into `reports`, a line each. */
__attribute__((unused)) static void capture_reports(void)
{
    reports[0] = '\0';
    even_set_report_hook(keep_report, NULL);
}

__attribute__((unused)) static unsigned report_count(void)
{
    unsigned n = 0;
    for (const char *c = reports; *c; c++)
        n += *c == '\n';
    return n;
}

#define assert_reported(words)                                                                                         \
    do {                                                                                                               \
        if (!strstr(reports, words))                                                                                   \
            fail_msg("nothing was reported with \"%s\", but:\n%s", words, reports);                                    \
    } while (0)
#define assert_no_report() assert_string_equal(reports, "")

#endif
