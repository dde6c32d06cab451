/* What the loop and the tasks tell: each event is declared once, in evenloop/trace.h, and raised at the few choke points of
 * src/loop and src/await; nowhere else. Off, a hook costs one predicted branch. A face with tasks of its own tells the same
 * events of them, by even_tell(). */
#ifndef EVEN__TRACE_H
#define EVEN__TRACE_H

#include "../base/base.h"
#include <evenloop/await.h>
#include <evenloop/trace.h>

struct even__trace_event {
    enum even_event event;
    even_loop *loop;
    const even_awaitable *task, *object;
    const void *site;
    int64_t value;
    int status;
};

extern bool even__trace_on;

/* Read EVENLOOP_EXPLAIN, once. */
void even__trace_open(void);
/* Goes to the narrator. Must not change anything of the loop. */
void even__trace_emit(const struct even__trace_event *e);

/* WOKEN, for each task whose wake-up stands in the ring of x's waiters. (task.c) */
void even__trace_woken(even_loop *loop, const even_awaitable *x, const even_handle *first);

#define even__trace(name, ...)                                                                                         \
    (even__likely(!even__trace_on)                                                                                     \
         ? (void)0                                                                                                     \
         : even__trace_emit(&(struct even__trace_event){ .event = EVEN_EVENT_##name, __VA_ARGS__ }))

/* Out of line: the pass is to stay small. */
static even__noinline __attribute__((unused)) void even__trace_poll_emit(even_loop *loop, int64_t timeout)
{
    even__trace(POLL, .loop = loop, .value = timeout);
}
#define even__trace_poll(l, timeout) (even__likely(!even__trace_on) ? (void)0 : even__trace_poll_emit(l, timeout))

#endif
