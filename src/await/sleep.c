/* even_sleep: a timer that ends an awaitable. */
#include "await.h"
#include "../base/sys.h"

#define NAN_NS INT64_MIN

struct sleep {
    even_int_aw pub;
    even_timer timer;               /* inert: its deadline is how long to sleep; NAN_NS: no number */
};

static void is_due(even_handle *h)
{
    struct sleep *s = even__container_of(h, struct sleep, timer.handle);
    even__trace(TIMER, .loop = even__thread.loop, .object = &s->pub.base);
    s->pub.result = 0;
    even__complete(&s->pub.base, 0);
}

static void start(even_awaitable *x)
{
    struct sleep *s = (struct sleep *)(void *)x;
    int64_t ns = s->timer.deadline;
    int rc = -EINVAL;

    if (ns != NAN_NS) {
        even__trace(SLEEP, .loop = even__thread.loop, .task = even__current_object(), .object = x, .value = ns);
        rc = even_call_at_ns(even__thread.loop, &s->timer, even__thread.loop->backend->now(even__thread.loop) + ns);
        if (rc == 0)
            return;
    }
    even__complete(x, rc);
}

static bool cancel(even_awaitable *x)
{
    struct sleep *s = (struct sleep *)(void *)x;
    even_loop *loop = even__loop_of(x);
    if (loop)
        even_timer_cancel(loop, &s->timer);
    even__complete(x, -ECANCELED);
    return true;
}

static const even_kind sleep_kind = {
    .name = "sleep",
    .size = sizeof(struct sleep),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = start,
    .cancel = cancel,
};

/* No time at all: nothing to begin, the others run first. */
static bool never(even_awaitable *x)
{
    (void)x;
    return false;
}

static const even_kind yield_kind = {
    .name = "sleep",
    .size = sizeof(even_int_aw),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .yields = 1,
    .cancel = never,
};

even_int_aw *even_sleep(double seconds)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&sleep_kind, -ENOMEM), -ENOMEM };
    if (seconds <= 0) {
        even_int_aw *yield = (even_int_aw *)(void *)even__operation_new(&yield_kind, __builtin_return_address(0));
        if (even__unlikely(!yield))
            return &failed;
        yield->result = 0;
        return yield;
    }
    struct sleep *s = (struct sleep *)(void *)even__operation_new(&sleep_kind, __builtin_return_address(0));
    if (even__unlikely(!s))
        return &failed;
    s->pub.result = 0;
    s->timer = (even_timer)EVEN_TIMER(is_due);
    if (even__seconds_to_ns(seconds, &s->timer.deadline) < 0)
        s->timer.deadline = NAN_NS;
    return &s->pub;
}
