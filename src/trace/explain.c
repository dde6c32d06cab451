/* The narrator: EVENLOOP_EXPLAIN=1 ./program tells on standard error, in plain words, what the loop does.
 *
 * A line is a time in seconds since the loop began, one sentence, and the line of source that it is about. An idea is
 * explained where it comes up for the first time, and only named afterwards. A task's turn that comes right after its
 * wake-up is told in the wake-up's line, so that line is held back until the next event.
 */
#include "trace.h"
#include "../loop/loop.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool even__trace_on;

enum idea {
    CREATING, WAITING, WAKING, INLINING, RETURNING, FETCHING, GATHERING, SLEEPING, KEEPING, YIELDING, CANCELING, IDEAS
};

/* What is known about a loop. */
static struct narrator {
    even_loop *loop;
    int64_t began, asleep_since, slept;     /* ns; -1: not asleep */
    unsigned long tasks, turns;
    const even_awaitable *sleep;            /* the last that set its timer, and for how long */
    int64_t sleep_ns;
    const even_awaitable *due;              /* the sleep whose timer was due just now */
    bool timer_fired;                       /* a timer that is no sleep's, just now */
    int started_on;                         /* the descriptor of the operation that was started just now, or -1 */
    const even_awaitable *main;             /* what the run is for, and the line that said so */
    char main_at[EVEN__SITE_MAX];
    bool main_is_over;
    const even_awaitable *woken;            /* whom the line below is about */
    char line[400];
} narrators[16];
/* Which descriptors are waited for. More than this at a time are not told. */
static struct { const even_awaitable *object; int fd; } operations[256];
static bool told[IDEAS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* of all that stands above */

static void open_once(void)
{
    const char *value = getenv("EVENLOOP_EXPLAIN");
    even__trace_on = value && *value && strcmp(value, "0") != 0;
    if (even__trace_on)
        setvbuf(stdout, NULL, _IOLBF, 0);   /* the program's own lines fall in place */
}

void even__trace_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_once);
}

/* ---- words ---- */

struct words { char text[160]; };

/* even_read is called "read", as the others of the library are. */
static const char *kind_name(const even_awaitable *x)
{
    return strncmp(x->kind->name, "even_", 5) == 0 ? x->kind->name + 5 : x->kind->name;
}

/* "Task-2", and where it comes into view "Task-2 (say_after)". */
#define brief(x) name_of(x, false, &(struct words){ { 0 } })
#define full(x) name_of(x, true, &(struct words){ { 0 } })
static const char *name_of(const even_awaitable *x, bool with_kind, struct words *w)
{
    if (!x)
        return "the loop";
    if (!(x->flags & EVEN__TASK) || x->state == EVEN_SPENT)
        snprintf(w->text, sizeof w->text, "%s %s", x->kind->enter ? "the coroutine" : x->kind->borrows ? "the" : "its",
                 kind_name(x));
    else if (with_kind)
        snprintf(w->text, sizeof w->text, "%s (%s)", even_name_any(x), x->kind->name);
    else
        snprintf(w->text, sizeof w->text, "%s", even_name_any(x));
    return w->text;
}

/* "2", "0.1", "1.25": seconds, as a program would write them. */
#define seconds(ns) seconds_in(ns, &(struct words){ { 0 } })
static const char *seconds_in(int64_t ns, struct words *w)
{
    int n = snprintf(w->text, sizeof w->text, "%.3f", (double)ns * 1e-9);
    while (w->text[n - 1] == '0')
        w->text[--n] = 0;
    if (w->text[n - 1] == '.')
        w->text[n - 1] = 0;
    return w->text;
}

/* The words, the first time that their idea comes up. */
static const char *first_time(enum idea idea, const char *words)
{
    if (told[idea])
        return "";
    told[idea] = true;
    return words;
}

static const char *outcome(int status, struct words *w)
{
    if (status == 0)
        return "";
    if (status == -ECANCELED)
        return ", canceled";
    snprintf(w->text, sizeof w->text, ", with a failure: %s", even_strerror(status));
    return w->text;
}

/* ---- lines ---- */

static void put_line(const char *line)
{
    fwrite(line, 1, strlen(line), stderr);
}

/* Say what was held back. */
static void let_go(struct narrator *n, const char *rest)
{
    if (!n->woken)
        return;
    size_t length = strlen(n->line);
    snprintf(n->line + length, sizeof n->line - length, "%s\n", rest);
    n->woken = NULL;
    put_line(n->line);
}

static size_t begin_line(const struct narrator *n, char *line, size_t size)
{
    return (size_t)snprintf(line, size, "%8.3f  ", (double)(n->loop->backend->now(n->loop) - n->began) * 1e-9);
}

static void say(struct narrator *n, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct narrator *n, const char *where, const char *format, ...)
{
    char line[sizeof n->line];
    va_list args;
    size_t length = begin_line(n, line, sizeof line);
    va_start(args, format);
    vsnprintf(line + length, sizeof line - length, format, args);
    va_end(args);
    length = strlen(line);
    if (*where)
        length += (size_t)snprintf(line + length, sizeof line - length, "  (%s)", where);
    snprintf(line + (length < sizeof line - 2 ? length : sizeof line - 2), 2, "\n");
    put_line(line);
}

/* Hold a line back until it is known whether its task's turn comes next. */
static void hold(struct narrator *n, const even_awaitable *task, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void hold(struct narrator *n, const even_awaitable *task, const char *format, ...)
{
    va_list args;
    size_t length = begin_line(n, n->line, sizeof n->line);
    va_start(args, format);
    vsnprintf(n->line + length, sizeof n->line - length, format, args);
    va_end(args);
    n->woken = task;
}

/* ---- sentences ---- */

static void created(struct narrator *n, const struct even__trace_event *e, const char *where)
{
    n->tasks++;
    if (e->object == n->main)
        say(n, n->main_at, "the loop begins, with one task: %s", full(e->object));
    else
        say(n, where, "%s creates %s%s", brief(e->task), full(e->object),
            first_time(CREATING, ": registered with the loop; it does not run yet, and its maker goes on"));
}

static int remember(const even_awaitable *x, int fd)
{
    unsigned i = 0;
    while (i < sizeof operations / sizeof *operations && operations[i].object)
        i++;
    if (i < sizeof operations / sizeof *operations) {
        operations[i].object = x;
        operations[i].fd = fd;
    }
    return fd;
}

/* Its descriptor, and no more of it; -1: it has none. */
static int forget(const even_awaitable *x)
{
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].object == x) {
            operations[i].object = NULL;
            return operations[i].fd;
        }
    return -1;
}

static void waits(struct narrator *n, const struct even__trace_event *e, const char *where)
{
    const even_awaitable *x = e->object;

    if (x->state == EVEN_DONE) {
        say(n, where, "%s lets the others go first%s", brief(e->task),
            first_time(YIELDING, ": it goes to the end of the queue of what is ready"));
        return;
    }
    const char *control = first_time(WAITING, ": it leaves a \"wake me up\" there, and gives control to the loop");
    if (x == n->sleep)
        say(n, where, "%s sets a timer for %s s, and waits for it%s", brief(e->task), seconds(n->sleep_ns), control);
    else if (n->started_on >= 0 && !(x->flags & EVEN__TASK) && !x->kind->borrows)
        say(n, where, "%s waits for %s on descriptor %d%s", brief(e->task), brief(x), remember(x, n->started_on),
            control);
    else
        say(n, where, "%s waits for %s%s", brief(e->task), brief(x), control);
    n->sleep = NULL;
}

static void done(struct narrator *n, const struct even__trace_event *e)
{
    const even_awaitable *x = e->object;
    const char *how = outcome(e->status, &(struct words){ { 0 } });

    if (x->flags & EVEN__TASK) {
        bool kept = !x->waiters && x->refs > 1 && x != n->main;
        say(n, "", "%s ends%s%s%s", full(x), how, kept ? "; nobody waits for it yet" : "",
            kept ? first_time(KEEPING, ": its result is kept until somebody asks") : "");
        n->main_is_over |= x == n->main;
    } else if (strcmp(x->kind->name, "gather") == 0) {
        say(n, "", "the gather is done%s", *how ? how : ": it has all its results");
    } else if (x->kind->borrows && e->task) {
        say(n, "", "%s completes %s%s", brief(e->task), brief(x), how);
    }
}

static void woken(struct narrator *n, const struct even__trace_event *e)
{
    const even_awaitable *x = e->object;
    const char *how = first_time(WAKING, ", not called (it queues with all that is ready)");

    int fd = forget(x);

    if (x->status == -ECANCELED && !(x->flags & EVEN__TASK))
        hold(n, e->task, "%s's %s is canceled: its wake-up is scheduled%s", brief(e->task), kind_name(x), how);
    else if (fd >= 0)
        hold(n, e->task, "%s's %s on descriptor %d is done: its wake-up is scheduled%s", brief(e->task), kind_name(x),
             fd, how);
    else if (x == n->due)
        hold(n, e->task, "%s's timer is due: its wake-up is scheduled%s", brief(e->task), how);
    else
        hold(n, e->task, "%s waited for %s: its wake-up is scheduled%s", brief(e->task), brief(x), how);
}

static void canceled_by(struct narrator *n, const struct even__trace_event *e, const char *where)
{
    const char *who = e->object ? brief(e->object) : n->timer_fired ? "a timer is due, which"
                      : n->main_is_over ? "the end of the main task" : "the loop";
    say(n, where, "%s asks %s to cancel%s", who, brief(e->task),
        first_time(CANCELING, ": a request, delivered at the await that it is in"));
}

static void poll_begins(struct narrator *n, int64_t timeout)
{
    if (timeout == 0)
        return;
    n->asleep_since = n->loop->backend->now(n->loop);
    if (timeout > 0)
        say(n, "", "nothing is ready: the loop sleeps until the first timer, %s s from now%s", seconds(timeout),
            first_time(SLEEPING, ", at no cost"));
    else
        say(n, "", "nothing is ready and no timer is set: the loop sleeps until a descriptor wakes it");
}

static void tell(struct narrator *n, const struct even__trace_event *e, const char *where)
{
    const even_awaitable *task = e->task, *x = e->object;

    if (n->woken && !(e->event == EVEN__EVENT_STEP && n->woken == task))
        let_go(n, "");
    if (n->asleep_since >= 0) {
        n->slept += n->loop->backend->now(n->loop) - n->asleep_since;
        n->asleep_since = -1;
    }

    switch (e->event) {
    case EVEN__EVENT_RUN:
        n->main = x;            /* told when it has become a task, and has a name */
        snprintf(n->main_at, sizeof n->main_at, "%s", where);
        break;
    case EVEN__EVENT_RUN_END:
        say(n, "", "the loop ends: %lu task%s, %lu turn%s; it slept for %s of %s s", n->tasks, n->tasks == 1 ? "" : "s",
            n->turns, n->turns == 1 ? "" : "s", seconds(n->slept), seconds(n->loop->backend->now(n->loop) - n->began));
        n->loop = NULL;
        break;
    case EVEN__EVENT_CREATED:
        created(n, e, where);
        break;
    case EVEN__EVENT_GATHERED:
        say(n, where, "%s gathers %lld%s", brief(task), (long long)e->value,
            first_time(GATHERING, " into one future, done when they all are; coroutines among them become tasks"));
        break;
    case EVEN__EVENT_STEP:
        n->turns++;
        n->due = NULL;
        if (n->woken)
            let_go(n, ", and it goes on in its turn");
        else
            say(n, "", "%s %s", full(task), e->value ? "goes on" : "begins");
        break;
    case EVEN__EVENT_INLINE:
        say(n, where, "%s awaits %s%s", brief(task), brief(x),
            first_time(INLINING, ": a call on its own stack; no task is made, the loop is not asked"));
        break;
    case EVEN__EVENT_RETURNED:
        say(n, "", "%s returns to %s%s%s", brief(x), x->by.parent ? x->by.parent->kind->name : "its caller",
            outcome(e->status, &(struct words){ { 0 } }), e->status ? "" : first_time(RETURNING, ", as any call does"));
        break;
    case EVEN__EVENT_WAITS:
        waits(n, e, where);
        break;
    case EVEN__EVENT_FETCHED:
        say(n, where, "%s awaits %s, which is done already%s", brief(task), brief(x),
            first_time(FETCHING, ": nothing to wait for, it only fetches the result"));
        break;
    case EVEN__EVENT_DONE:
        done(n, e);
        break;
    case EVEN__EVENT_WOKEN:
        woken(n, e);
        break;
    case EVEN__EVENT_CANCEL:
        canceled_by(n, e, where);
        break;
    case EVEN__EVENT_CANCELED:
        say(n, where, "%s is told that it is canceled", brief(task));
        break;
    case EVEN__EVENT_POLL:
        poll_begins(n, e->value);
        break;
    case EVEN__EVENT_TIMER:
        n->timer_fired = !x;
        if (x && x->flags & EVEN__TASK)
            say(n, "", "%s's timer is due", brief(x));
        else
            n->due = x;
        return;
    case EVEN__EVENT_OPERATION:
        n->started_on = (int)e->value;
        return;
    case EVEN__EVENT_SLEEP:
        n->sleep = x;
        n->sleep_ns = e->value;
        if (x->flags & EVEN__TASK)
            say(n, "", "%s sets a timer for %s s", brief(x), seconds(e->value));
        break;
    }
    n->timer_fired = false;
    n->started_on = -1;
}

static struct narrator *narrator_of(const struct even__trace_event *e)
{
    static unsigned next;       /* a loop that is no longer heard of gives way */
    enum { N = sizeof narrators / sizeof *narrators };
    struct narrator *n = NULL;
    for (unsigned i = 0; i < N; i++)
        if (narrators[i].loop == e->loop)
            n = &narrators[i];
    if (n && e->event != EVEN__EVENT_RUN)
        return n;
    for (unsigned i = 0; !n && i < N; i++)
        if (!narrators[i].loop)
            n = &narrators[i];
    if (!n)
        n = &narrators[next++ % N];
    *n = (struct narrator){ .loop = e->loop, .asleep_since = -1, .started_on = -1 };
    n->began = e->loop->backend->now(e->loop);
    return n;
}

void even__trace_emit(const struct even__trace_event *e)
{
    char where[EVEN__SITE_MAX + 16] = "", file[EVEN__SITE_MAX];
    int saved = errno, line;

    if (!e->loop)
        return;
    if (e->site && (line = even__site_line(e->site, file, sizeof file)) > 0)
        snprintf(where, sizeof where, "%s:%d", file, line);
    pthread_mutex_lock(&lock);
    tell(narrator_of(e), e, where);
    pthread_mutex_unlock(&lock);
    errno = saved;
}
