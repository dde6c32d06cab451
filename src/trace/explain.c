/* The narrator: EVENLOOP_EXPLAIN=1 ./program tells on standard error, in plain words, what the loop does.
 *
 * A line is a time in seconds since the loop began, one sentence, and the line of source that it is about. An idea is
 * explained where it comes up for the first time, and only named afterwards. A task's turn that comes right after its
 * wake-up is told in the wake-up's line, so that line is held back until the next event.
 */
#include "trace.h"
#include "../base/fork.h"
#include "../loop/loop.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum idea {
    CREATING, WAITING, WAKING, INLINING, RETURNING, FETCHING, GATHERING, SLEEPING, KEEPING, YIELDING, CANCELING, IDEAS
};

/* What is known about a loop. */
static struct narrator {
    even_loop *loop;
    int64_t began, asleep_since, slept;     /* ns; -1: not asleep */
    unsigned long tasks, turns;
    const void *sleep;                      /* the last that set its timer, and for how long */
    int64_t sleep_ns;
    const void *due;                        /* the sleep whose timer was due just now */
    bool timer_fired;                       /* a timer that is no sleep's, just now */
    int started_on;                         /* the descriptor of the operation that was started just now, or -1 */
    const void *main;                       /* what the run is for, and the line that said so */
    char main_at[EVEN__SITE_MAX];
    bool main_is_over;
    bool silent;                            /* all is told, until the next run */
    const void *woken;                      /* whom the line below is about */
    char line[400];
} narrators[16];
/* Which descriptors are waited for. More than this at a time are not told. */
static struct { const void *object; int fd; } operations[256];
static bool told[IDEAS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* of all that stands above */
EVEN__AT_FORK(.lock = &lock);

/* ---- words ---- */

struct words { char text[160]; };

/* "Task-2", and where it comes into view "Task-2 (say_after)". */
#define brief(x) name_of(x, false, &(struct words){ { 0 } })
#define full(x) name_of(x, true, &(struct words){ { 0 } })
static const char *name_of(const even_thing *x, bool with_kind, struct words *w)
{
    static const char *const roles[] = { "its", "the", "the coroutine", "the generator" };
    if (!x->id)
        return "the loop";
    if (!x->name)
        snprintf(w->text, sizeof w->text, "%s %s", roles[x->role], x->kind);
    else if (with_kind)
        snprintf(w->text, sizeof w->text, "%s (%s)", x->name, x->kind);
    else
        snprintf(w->text, sizeof w->text, "%s", x->name);
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

#define outcome(e) outcome_in(e, &(struct words){ { 0 } })
static const char *outcome_in(const even_tale *e, struct words *w)
{
    if (e->status == 0)
        return "";
    if (e->status == -ECANCELED)
        return ", canceled";
    snprintf(w->text, sizeof w->text, ", with a failure: %s", e->failure ? e->failure : even_strerror(e->status));
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
static void hold(struct narrator *n, const void *task, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void hold(struct narrator *n, const void *task, const char *format, ...)
{
    va_list args;
    size_t length = begin_line(n, n->line, sizeof n->line);
    va_start(args, format);
    vsnprintf(n->line + length, sizeof n->line - length, format, args);
    va_end(args);
    n->woken = task;
}

/* ---- sentences ---- */

static void begins(struct narrator *n, const even_tale *e)
{
    n->main = e->object.id;
    snprintf(n->main_at, sizeof n->main_at, "%s", e->where);
    if (e->value && e->object.id)
        say(n, e->where, "the loop begins, until %s is done", full(&e->object));
    else if (e->value)
        say(n, e->where, "the loop begins");
    /* else it is told when the main task has become one, and has a name */
}

static void ends(struct narrator *n, const even_tale *e)
{
    say(n, "", "the loop ends: %lu task%s, %lu turn%s; it slept for %s of %s s", n->tasks, n->tasks == 1 ? "" : "s",
        n->turns, n->turns == 1 ? "" : "s", seconds(n->slept), seconds(n->loop->backend->now(n->loop) - n->began));
    n->silent = e->value;
    if (!n->silent)
        n->loop = NULL;
}

static void created(struct narrator *n, const even_tale *e)
{
    n->tasks++;
    if (e->object.id == n->main)
        say(n, n->main_at, "the loop begins, with one task: %s", full(&e->object));
    else if (e->value)
        say(n, e->where, "%s creates %s: eager, it begins at once, in its maker's turn", brief(&e->task), full(&e->object));
    else
        say(n, e->where, "%s creates %s%s", brief(&e->task), full(&e->object),
            first_time(CREATING, ": registered with the loop; it does not run yet, and its maker goes on"));
}

static int remember(const void *x, int fd)
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
static int forget(const void *x)
{
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].object == x) {
            operations[i].object = NULL;
            return operations[i].fd;
        }
    return -1;
}

static void waits(struct narrator *n, const even_tale *e)
{
    const even_thing *x = &e->object;

    if (x->done) {
        say(n, e->where, "%s lets the others go first%s", brief(&e->task),
            first_time(YIELDING, ": it goes to the end of the queue of what is ready"));
        return;
    }
    const char *control = first_time(WAITING, ": it leaves a \"wake me up\" there, and gives control to the loop");
    if (x->id == n->sleep)
        say(n, e->where, "%s sets a timer for %s s, and waits for it%s", brief(&e->task), seconds(n->sleep_ns), control);
    else if (n->started_on >= 0 && !x->name && x->role != EVEN_ROLE_SHARED)
        say(n, e->where, "%s waits for %s on descriptor %d%s", brief(&e->task), brief(x),
            remember(x->id, n->started_on), control);
    else
        say(n, e->where, "%s waits for %s%s", brief(&e->task), brief(x), control);
    n->sleep = NULL;
}

static void returned(struct narrator *n, const even_tale *e)
{
    const char *parent = e->object.parent ? e->object.parent : "its caller";

    if (e->value)
        say(n, "", "%s is over, back in %s", brief(&e->object), parent);
    else
        say(n, "", "%s returns to %s%s%s", brief(&e->object), parent, outcome(e),
            e->status ? "" : first_time(RETURNING, ", as any call does"));
}

static void done(struct narrator *n, const even_tale *e)
{
    const even_thing *x = &e->object;
    const char *how = outcome(e);

    if (x->name) {
        bool kept = x->kept && x->id != n->main;
        say(n, "", "%s ends%s%s%s", full(x), how, kept ? "; nobody waits for it yet" : "",
            kept ? first_time(KEEPING, ": its result is kept until somebody asks") : "");
        n->main_is_over |= x->id == n->main;
    } else if (strcmp(x->kind, "gather") == 0) {
        say(n, "", "the gather is done%s", *how ? how : ": it has all its results");
    } else if (x->role == EVEN_ROLE_SHARED && e->task.id) {
        say(n, "", "%s completes %s%s", brief(&e->task), brief(x), how);
    }
}

static void woken(struct narrator *n, const even_tale *e)
{
    const even_thing *x = &e->object;
    const char *how = first_time(WAKING, ", not called (it queues with all that is ready)");

    int fd = forget(x->id);

    if (x->canceled && !x->name)
        hold(n, e->task.id, "%s's %s is canceled: its wake-up is scheduled%s", brief(&e->task), x->kind, how);
    else if (fd >= 0)
        hold(n, e->task.id, "%s's %s on descriptor %d is done: its wake-up is scheduled%s", brief(&e->task), x->kind, fd,
             how);
    else if (x->id == n->due)
        hold(n, e->task.id, "%s's timer is due: its wake-up is scheduled%s", brief(&e->task), how);
    else
        hold(n, e->task.id, "%s waited for %s: its wake-up is scheduled%s", brief(&e->task), brief(x), how);
}

static void canceled_by(struct narrator *n, const even_tale *e)
{
    const char *who = e->object.id ? brief(&e->object) : n->timer_fired ? "a timer is due, which"
                      : n->main_is_over ? "the end of the main task" : "the loop";
    say(n, e->where, "%s asks %s to cancel%s", who, brief(&e->task),
        first_time(CANCELING, ": a request, delivered at the await that it is in"));
}

static void poll_begins(struct narrator *n, int64_t timeout)
{
    n->asleep_since = n->loop->backend->now(n->loop);
    if (timeout > 0)
        say(n, "", "nothing is ready: the loop sleeps until the first timer, %s s from now%s", seconds(timeout),
            first_time(SLEEPING, ", at no cost"));
    else
        say(n, "", "nothing is ready and no timer is set: the loop sleeps until a descriptor wakes it");
}

static void tell(struct narrator *n, const even_tale *e)
{
    const even_thing *task = &e->task, *x = &e->object;

    if (n->asleep_since >= 0) {
        n->slept += n->loop->backend->now(n->loop) - n->asleep_since;
        n->asleep_since = -1;
    }
    if (e->event == EVEN_EVENT_POLL && e->value == 0)
        return;                 /* it only looks, and goes on with what is ready */
    if (n->woken && !(e->event == EVEN_EVENT_STEP && n->woken == task->id))
        let_go(n, "");

    switch (e->event) {
    case EVEN_EVENT_RUN:
        begins(n, e);
        break;
    case EVEN_EVENT_RUN_END:
        ends(n, e);
        break;
    case EVEN_EVENT_CREATED:
        created(n, e);
        break;
    case EVEN_EVENT_GATHERED:
        say(n, e->where, "%s gathers %lld%s", brief(task), (long long)e->value,
            first_time(GATHERING, " into one future, done when they all are; coroutines among them become tasks"));
        break;
    case EVEN_EVENT_STEP:
        n->turns++;
        n->due = NULL;
        if (n->woken)
            let_go(n, ", and it goes on in its turn");
        else
            say(n, "", "%s %s", full(task), e->value ? "goes on" : "begins");
        break;
    case EVEN_EVENT_INLINE:
        say(n, e->where, "%s awaits %s%s", brief(task), brief(x),
            first_time(INLINING, ": a call on its own stack; no task is made, the loop is not asked"));
        break;
    case EVEN_EVENT_RETURNED:
        returned(n, e);
        break;
    case EVEN_EVENT_WAITS:
        waits(n, e);
        break;
    case EVEN_EVENT_FETCHED:
        say(n, e->where, "%s awaits %s, which is done already%s", brief(task), brief(x),
            first_time(FETCHING, ": nothing to wait for, it only fetches the result"));
        break;
    case EVEN_EVENT_DONE:
        done(n, e);
        break;
    case EVEN_EVENT_WOKEN:
        woken(n, e);
        break;
    case EVEN_EVENT_CANCEL:
        canceled_by(n, e);
        break;
    case EVEN_EVENT_CANCELED:
        say(n, e->where, "%s is told that it is canceled", brief(task));
        break;
    case EVEN_EVENT_POLL:
        poll_begins(n, e->value);
        break;
    case EVEN_EVENT_TIMER:
        n->timer_fired = !x->id;
        if (x->name)
            say(n, "", "%s's timer is due", brief(x));
        else
            n->due = x->id;
        return;
    case EVEN_EVENT_OPERATION:
        n->started_on = (int)e->value;
        return;
    case EVEN_EVENT_SLEEP:
        n->sleep = x->id;
        n->sleep_ns = e->value;
        if (x->name)
            say(n, "", "%s sets a timer for %s s", brief(x), seconds(e->value));
        break;
    case EVEN_EVENT_COUNT:      /* none */
        break;
    }
    n->timer_fired = false;
    n->started_on = -1;
}

static struct narrator *narrator_of(const even_tale *e)
{
    static unsigned next;       /* a loop that is no longer heard of gives way */
    enum { N = sizeof narrators / sizeof *narrators };
    struct narrator *n = NULL;
    for (unsigned i = 0; i < N; i++)
        if (narrators[i].loop == e->loop)
            n = &narrators[i];
    if (n && e->event != EVEN_EVENT_RUN)
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

void even_tell(const even_tale *tale)
{
    int saved = errno;
    pthread_mutex_lock(&lock);
    struct narrator *n = narrator_of(tale);
    if (!n->silent)
        tell(n, tale);
    pthread_mutex_unlock(&lock);
    errno = saved;
}
