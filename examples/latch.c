/* An awaitable of one's own: a latch, which is done when it has been counted down to zero. The header, a start, a cancel and a
 * drop function are all it takes; await, create_task, gather, wait_for and shield then work on it. See docs/own-awaitables.md. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <errno.h>
#include <stdio.h>

struct latch {
    int count;
    struct latch_wait *waiting;         /* one waiter is enough for this example */
};

/* The awaitable: the header first, its result next, then what it needs. */
struct latch_wait {
    even_awaitable base;
    int result;
    struct latch *latch;
};

static void wait_start(even_awaitable *x)
{
    struct latch_wait *w = (struct latch_wait *)x;
    if (w->latch->count == 0)
        even_complete(x, 0);
    else if (w->latch->waiting)
        even_complete(x, -EBUSY);
    else
        w->latch->waiting = w;
}

static bool wait_cancel(even_awaitable *x)
{
    struct latch_wait *w = (struct latch_wait *)x;
    w->latch->waiting = NULL;
    even_complete(x, -ECANCELED);
    return true;
}

static void wait_drop(even_awaitable *x)
{
    struct latch_wait *w = (struct latch_wait *)x;
    if (w->latch->waiting == w)
        w->latch->waiting = NULL;
}

static const even_kind wait_kind = {
    .name = "latch_wait",
    .size = sizeof(struct latch_wait),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = wait_start,
    .cancel = wait_cancel,
    .drop = wait_drop,
};

static struct latch_wait *latch_wait(struct latch *l)
{
    static struct latch_wait failed = { EVEN_AWAITABLE_FAILED(&wait_kind, -ENOMEM), -ENOMEM, NULL };
    struct latch_wait *w = (struct latch_wait *)even_awaitable_new(&wait_kind);
    if (!w)
        return &failed;
    w->latch = l;
    return w;
}

static void latch_count_down(struct latch *l)
{
    if (--l->count == 0 && l->waiting) {
        struct latch_wait *w = l->waiting;
        l->waiting = NULL;
        even_complete(&w->base, 0);     /* schedules whoever waits; runs nothing */
    }
}

async(int, worker, (struct latch *, l), (double, seconds))
{
    try_await(even_sleep(seconds));
    puts("a worker is done");
    latch_count_down(l);
    return 0;
}

async(int, work)
{
    struct latch l = { .count = 2 };
    even_detach(create_task(worker(&l, 0.01)));
    even_detach(create_task(worker(&l, 0.02)));
    int rc = await(wait_for(latch_wait(&l), 1.0));
    puts(rc == 0 ? "both are" : even_strerror(rc));
    return rc;
}

int main(void)
{
    return even_run(work());
}
