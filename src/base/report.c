/* Reports: a line for people, to the report hook, else to standard error.
 *
 * One mistake in a busy program would be told a million times, and clients that misbehave could flood a log. So a report of one
 * kind about one place is told ten times in a row, then at most once a second; the next line says for how many it stands, and the
 * end of a loop tells what is left.
 */
#include "fork.h"
#include "thread.h"
#include <evenloop/loop.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    void (*call)(void *, const char *);
    void *data;
} hook;

void even_set_report_hook(void (*call)(void *, const char *), void *data)
{
    hook.call = call;
    hook.data = data;
}

static void put(const char *text)
{
    if (hook.call) {
        hook.call(hook.data, text);
    } else {
        fflush(stdout);
        fprintf(stderr, "evenloop: %s\n", text);
    }
}

/* ---- how often ---- */

enum { IN_A_ROW = 10, SLOTS = 64, PROBES = 4 };
#define INTERVAL INT64_C(1000000000)

static struct slot {
    const char *kind;           /* who reports: the name of a function; NULL: free */
    const void *place;
    int64_t credit;             /* when as much as was told would have been told at one line a second */
    unsigned long untold;
    char sample[120];           /* the beginning of the last line */
} slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The parent tells them. */
static void forget_untold(void)
{
    for (unsigned i = 0; i < SLOTS; i++)
        slots[i].untold = 0;
}

EVEN__AT_FORK(.lock = &lock, .in_child = forget_untold);

static int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INTERVAL + t.tv_nsec;
}

/* Locked. A new one takes the place of the one that has been silent for longest. */
static struct slot *slot_of(const char *kind, const void *place, bool make)
{
    uint64_t state = (uintptr_t)kind ^ ((uintptr_t)place << 7);
    uint64_t at = even__random(&state);
    struct slot *oldest = &slots[at % SLOTS];
    for (unsigned i = 0; i < PROBES; i++) {
        struct slot *s = &slots[(at + i) % SLOTS];
        if (s->kind == kind && s->place == place)
            return s;
        if (s->credit < oldest->credit)
            oldest = s;
    }
    if (!make)
        return NULL;
    *oldest = (struct slot){ .kind = kind, .place = place };
    return oldest;
}

bool even__report_is_wanted(const char *kind, const void *place)
{
    int64_t t = clock_now();
    pthread_mutex_lock(&lock);
    struct slot *s = slot_of(kind, place, true);
    if (s->credit < t)
        s->credit = t;
    bool wanted = s->credit - t <= (IN_A_ROW - 1) * INTERVAL;
    if (wanted) {
        s->credit += INTERVAL;
        even__thread.report.kind = kind;
        even__thread.report.place = place;
        even__thread.report.untold = s->untold;
        s->untold = 0;
    } else {
        s->untold++;
    }
    pthread_mutex_unlock(&lock);
    return wanted;
}

static void keep_sample(const char *text)
{
    pthread_mutex_lock(&lock);
    struct slot *s = slot_of(even__thread.report.kind, even__thread.report.place, false);
    if (s)
        snprintf(s->sample, sizeof s->sample, "%.*s", (int)sizeof s->sample - 1, text);
    pthread_mutex_unlock(&lock);
    even__thread.report.kind = NULL;
}

void even__report(const char *format, ...)
{
    char text[1024];
    va_list args;
    int saved = errno;

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (even__thread.report.kind) {
        if (n > 0 && (size_t)n < sizeof text && even__thread.report.untold)
            snprintf(text + n, sizeof text - (size_t)n, " (and %lu more like this)", even__thread.report.untold);
        keep_sample(text);
    }
    put(text);
    errno = saved;
}

void even__report_untold(void)
{
    char text[sizeof slots[0].sample + 64];
    int saved = errno;
    for (unsigned i = 0; i < SLOTS; i++) {
        pthread_mutex_lock(&lock);
        struct slot *s = &slots[i];
        unsigned long untold = s->kind ? s->untold : 0;
        if (untold)
            snprintf(text, sizeof text, "%lu more like this were not told: %s", untold, s->sample);
        s->untold = 0;
        pthread_mutex_unlock(&lock);
        if (untold)
            put(text);          /* unlocked: the hook may do what it likes */
    }
    errno = saved;
}

void even__bug(const char *what, const char *file, int line)
{
    fprintf(stderr, "evenloop: this is a bug in the library: %s does not hold at %s:%d\n", what, file, line);
    abort();
}
