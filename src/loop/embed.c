/* Parts of a pass, and a look into the loop, for those who make passes of their own (evenloop/embed.h). */
#include "../backend/jobs.h"
#include "loop.h"
#include <evenloop/embed.h>
#include <math.h>

/* Outside of a run, as a step that does not detach: the next one comes soon, most likely from here. */
static int begin(even_loop *loop, bool *inside)
{
    *inside = even__thread.loop == loop;
    return *inside ? 0 : even__loop_enter(loop);
}

static void end(even_loop *loop, bool inside)
{
    if (inside)
        return;
    loop->running = loop->stopping = false;
    even__thread.loop = NULL;
}

int even_loop_look(even_loop *loop, double seconds)
{
    bool inside;
    int rc = begin(loop, &inside);
    if (rc < 0)
        return rc;
    const bool stops = loop->stopping;
    loop->stopping = false;
    int64_t timeout = even__queue_is_empty(&loop->batch) ? even__loop_timeout_ns(loop) : 0, most = 0;
    if (seconds > 0 && !isinf(seconds))
        (void)even__seconds_to_ns(seconds, &most);
    if (!(seconds > 0) || (!isinf(seconds) && (timeout < 0 || timeout > most)))
        timeout = most;
    if (timeout != 0 && !even__door_sleep(loop))
        timeout = 0;
    if (!inside) {      /* else what is lent is in use further out */
        even__receivers_return(loop);
        loop->passes++;
    }
    loop->turns++;
    rc = even__loop_look(loop, timeout);
    even__door_awake(loop);
    even__door_take(loop);
    if (rc == 0 && loop->timers.count)
        even__loop_queue_due(loop);
    loop->stopping |= stops;
    end(loop, inside);
    return rc;
}

/* Stands behind the handles that were chosen. */
static void mark(even_handle *self)
{
    (void)self;
}

static void choose(even_handle *chosen, even_handle *queue, bool (*wanted)(const even_handle *, void *), void *data)
{
    for (even_handle *h = queue->next, *next; h != queue; h = next) {
        next = h->next;
        if (h->run != mark && wanted(h, data)) {
            even__queue_remove(h);
            even__queue_append(chosen, h);
        }
    }
}

int even_loop_run_queued(even_loop *loop, bool (*wanted)(const even_handle *h, void *data), void *data)
{
    bool inside;
    even_handle chosen, last = EVEN_HANDLE(mark);
    int rc = begin(loop, &inside);
    if (rc < 0)
        return rc;
    even__queue_init(&chosen);
    choose(&chosen, &loop->batch, wanted, data);
    choose(&chosen, &loop->ready, wanted, data);
    /* They stand before all else, so that a pass inside of this one finds them, too. */
    even__queue_append(&chosen, &last);
    even__queue_splice(&chosen, &loop->batch);
    even__queue_splice(&loop->batch, &chosen);
    while (loop->batch.next != &last) {     /* bounded: what they queue stands behind the mark */
        even_handle *h = loop->batch.next;
        even__queue_remove(h);
        h->run(h);
    }
    even__queue_remove(&last);
    even__loop_flush(loop);
    end(loop, inside);
    return 0;
}

void even_loop_leave_thread(even_loop *loop)
{
    if (!loop->running && even__loop_enter(loop) == 0)
        even__loop_leave(loop);
}

uint64_t even_loop_passes(const even_loop *loop)
{
    return loop->passes;
}

even_handle *even_loop_next_handle(even_loop *loop, const even_handle *after)
{
    even_handle *h = after ? after->next : loop->batch.next;
    while (h == &loop->batch || h == &loop->ready || h->run == mark)
        h = h == &loop->batch ? loop->ready.next : h == &loop->ready ? loop->flushing.next : h->next;
    return h == &loop->flushing ? NULL : h;
}

even_timer *even_loop_next_timer(even_loop *loop, const even_timer *after)
{
    const uint32_t i = after ? after->index + 1 : 1;
    return i <= loop->timers.count ? loop->timers.slot[i].timer : NULL;
}

void even_loop_take_pushed(even_loop *loop)
{
    even__door_take(loop);
}

void even_loop_set_clock(even_loop *loop, double (*now)(void *data), void *data)
{
    loop->clock = now;
    loop->clock_data = data;
}

int64_t even__loop_clock_ns(even_loop *loop)
{
    int64_t ns;
    return even__seconds_to_ns(loop->clock(loop->clock_data), &ns) == 0 ? ns : -EVEN__FOREVER_NS;
}

void even_loop_count_jobs(even_loop *loop, int change)
{
    even__sim_jobs(loop, change);
}

int even_loop_submit(even_loop *loop)
{
    bool inside;
    int rc = begin(loop, &inside);
    if (rc < 0)
        return rc;
    rc = even__loop_look(loop, 0);
    end(loop, inside);
    return rc;
}

bool even_loop_is_parents(const even_loop *loop)
{
    return even__loop_is_parents(loop);
}
