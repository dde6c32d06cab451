/* What C's own loops and tasks raise, in the narrator's terms; and whether they raise anything. */
#include "trace.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool even__trace_on;

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

/* even_read is called "read", as the others of the library are. */
static const char *kind_name(const even_awaitable *x)
{
    return strncmp(x->kind->name, "even_", 5) == 0 ? x->kind->name + 5 : x->kind->name;
}

static even_thing thing(const even_awaitable *x)
{
    if (!x)
        return (even_thing){ .id = NULL };
    bool task = x->flags & EVEN__TASK && x->state != EVEN_SPENT;
    return (even_thing){
        .id = x,
        .name = task ? even_name_any(x) : NULL,
        .kind = task ? x->kind->name : kind_name(x),
        .role = x->kind->enter ? EVEN_ROLE_COROUTINE : x->kind->borrows ? EVEN_ROLE_SHARED : EVEN_ROLE_ITS_OWN,
        .done = x->state == EVEN_DONE,
        .canceled = x->status == -ECANCELED,
        .kept = !x->waiters && x->refs > 1,
    };
}

void even__trace_emit(const struct even__trace_event *e)
{
    char where[EVEN__SITE_MAX + 16] = "", file[EVEN__SITE_MAX];
    int saved = errno, line;

    if (!e->loop)
        return;
    if (e->site && (line = even__site_line(e->site, file, sizeof file)) > 0)
        snprintf(where, sizeof where, "%s:%d", file, line);
    even_tale tale = { .event = e->event, .loop = e->loop, .task = thing(e->task), .object = thing(e->object),
                                     .where = where, .value = e->value, .status = e->status };
    if (e->event == EVEN_EVENT_RETURNED && e->object->by.parent)
        tale.object.parent = e->object->by.parent->kind->name;
    even_tell(&tale);
    errno = saved;
}

bool even_explains(void)
{
    even__trace_open();
    return even__trace_on;
}

enum even_event even_event_named(const char *name)
{
#define NAME(event, sentence) #event,
    static const char *const names[] = { EVEN_EVENTS(NAME) };
#undef NAME
    unsigned i = 0;
    while (i < EVEN_EVENT_COUNT && strcmp(names[i], name) != 0)
        i++;
    return (enum even_event)i;
}
