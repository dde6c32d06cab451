/* What evenloop does: scenarios.py, said in C, line by line. compare.py runs both. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>
#include <string.h>

#define say(...) (printf(__VA_ARGS__), putchar('\n'))
#define truth(condition) ((condition) ? "True" : "False")

/* loop.call_soon(say, text), and done-callbacks that say something */
struct saying {
    even_timer timer;
    const char *text;
};
#define SAYING(text) { EVEN_TIMER(say_it), (text) }

static void say_it(even_handle *h)
{
    say("%s", even_container_of(h, struct saying, timer.handle)->text);
}

#define call_soon(saying) even_call_soon(even_running_loop(), &(saying)->timer.handle)
#define call_later(seconds, saying) even_call_later(even_running_loop(), &(saying)->timer, seconds)
#define was_canceled(x) truth(even_status_of(&(x)->base) == -ECANCELED)

async(int, steps, (const char *, name), (int, n))
{
    for (int i = 0; i < n; i++) {
        say("%s %d", name, i);
        await(even_sleep(0));
    }
    say("%s end", name);
    return n;
}

async(int, sleeps, (const char *, name), (double, seconds), (int, result))
{
    int rc = await(even_sleep(seconds));
    if (rc == -ECANCELED) {
        say("%s canceled", name);
        return rc;
    }
    say("%s done", name);
    return result;
}

async(int, fails, (const char *, name), (double, seconds))
{
    try_await(even_sleep(seconds));
    say("%s fails", name);
    return -EPIPE;
}

static void turns(int n)
{
    while (n-- > 0)
        await(even_sleep(0));
}

async(int, interleaving)
{
    __auto_type a = create_task(steps("a", 3));
    __auto_type b = create_task(steps("b", 1));
    __auto_type c = create_task(steps("c", 2));
    say("created");
    await(c);
    say("c");
    await(a);
    say("a");
    await(b);
    say("b");
    return 0;
}

async(int, call_soon_order)
{
    struct saying one = SAYING("handle 1"), two = SAYING("handle 2"), three = SAYING("handle 3");
    __auto_type t = create_task(steps("t", 1));
    call_soon(&one);
    __auto_type u = create_task(steps("u", 1));
    call_soon(&two);
    await(even_sleep(0));
    say("main");
    call_soon(&three);
    await(t);
    await(u);
    return 0;
}

async(int, inline_await)
{
    __auto_type t = create_task(steps("t", 1));
    say("before");
    int n = await(sleeps("inline", 0, 3));
    say("%d", n);
    say("after");
    await(t);
    return 0;
}

async(int, returns_at_once, (const char *, name))
{
    say("%s", name);
    return 1;
}

async(int, ends_wake_waiters)
{
    __auto_type a = create_task(returns_at_once("a"));
    __auto_type b = create_task(returns_at_once("b"));
    __auto_type c = create_task(steps("c", 2));
    await(a);
    say("woke a");
    await(b);
    say("woke b");
    await(c);
    say("woke c");
    return 0;
}

async(int, waits, (const char *, name), (even_future *, f))
{
    say("%s waits", name);
    ssize_t n = await(f);
    if (even_status() == -ECANCELED)
        say("%s canceled", name);
    else
        say("%s got %zd", name, n);
    return 0;
}

async(int, future_waiters)
{
    static const char *const names[] = { "a", "b", "c" };
    struct waits_co *ts[3];
    even_future *f = even_future_new(even_future);
    for (int i = 0; i < 3; i++)
        ts[i] = create_task(waits(names[i], even_ref(f)));
    await(even_sleep(0));
    __auto_type d = create_task(steps("d", 1));
    even_set_result(f, 7);
    say("set");
    for (int i = 0; i < 3; i++)
        await(ts[i]);
    await(d);
    even_detach(f);
    return 0;
}

async(int, done_callbacks)
{
    struct saying one = SAYING("callback 1"), two = SAYING("callback 2"), three = SAYING("callback 3"), soon1 = SAYING("soon 1"),
                  soon2 = SAYING("soon 2");
    even_future *f = even_future_new(even_future);
    __auto_type t = create_task(waits("t", even_ref(f)));
    even_add_done_callback(f, &one.timer.handle);
    await(even_sleep(0));
    even_add_done_callback(f, &two.timer.handle);
    call_soon(&soon1);
    even_set_result(f, 1);
    call_soon(&soon2);
    even_add_done_callback(f, &three.timer.handle);
    say("set");
    await(even_sleep(0));
    say("one pass");
    await(t);
    even_detach(f);
    return 0;
}

async(int, callback_on_task)
{
    struct saying callback = SAYING("callback");
    __auto_type t = create_task(steps("t", 1));
    even_add_done_callback(t, &callback.timer.handle);
    await(t);
    say("awaited");
    return 0;
}

async(int, future_canceled)
{
    even_future *f = even_future_new(even_future);
    __auto_type a = create_task(waits("a", even_ref(f)));
    __auto_type b = create_task(waits("b", even_ref(f)));
    await(even_sleep(0));
    bool first = even_cancel(f), second = even_cancel(f);
    say("%s %s", truth(first), truth(second));
    await(a);
    await(b);
    even_detach(f);
    return 0;
}

async(int, timers)
{
    struct saying t30 = SAYING("30"), t10 = SAYING("10"), t20 = SAYING("20 too");
    call_later(0.03, &t30);
    call_later(0.01, &t10);
    __auto_type a = create_task(sleeps("20", 0.02, 0));
    call_later(0.02, &t20);
    await(a);
    await(sleeps("40", 0.02, 0));
    return 0;
}

async(int, gather_order)
{
    int a, b, c, d;
    await(gather(into(&a, sleeps("slow", 0.02, 1)), into(&b, steps("a", 2)), into(&c, steps("b", 1)),
                 into(&d, sleeps("fast", 0.01, 2))));
    say("gathered %d %d %d %d", a, b, c, d);
    return 0;
}

async(int, gather_wakes)
{
    int a, b;
    __auto_type g = gather(into(&a, steps("a", 1)), into(&b, steps("b", 2)));
    __auto_type c = create_task(steps("c", 5));
    say("called");
    await(g);
    say("%d %d", a, b);
    await(c);
    return 0;
}

async(int, gather_of_none)
{
    struct steps_co *none[1] = { NULL };
    __auto_type c = create_task(steps("c", 1));
    await(gather_n(0, none, (void *)NULL));
    say("gathered");
    await(c);
    return 0;
}

async(int, gather_failure)
{
    __auto_type slow = create_task(sleeps("slow", 0.03, 1));
    int rc = await(gather(even_ref(slow), fails("f", 0.01), sleeps("fast", 0, 2)));
    if (rc == -EPIPE)
        say("failed");
    say("%d", await(slow));
    return 0;
}

async(int, gather_failure_at_once)
{
    __auto_type c = create_task(steps("c", 4));
    int rc = await(gather(steps("a", 2), fails("f", 0), steps("b", 1)));
    if (rc == -EPIPE)
        say("failed");
    await(c);
    return 0;
}

async(int, gather_statuses_)
{
    int a = 0, c = 0, statuses[3];
    await(gather_statuses(statuses, into(&a, sleeps("a", 0.01, 1)), fails("f", 0), into(&c, sleeps("c", 0, 3))));
    say("gathered %d %s %d", a, even_errname(statuses[1]), c);
    return 0;
}

async(int, gather_child_canceled)
{
    __auto_type child = create_task(sleeps("child", 5, 0));
    __auto_type other = create_task(sleeps("other", 0.02, 2));
    __auto_type g = gather(even_ref(child), even_ref(other));
    await(even_sleep(0));
    even_cancel(child);
    int rc = await(g);
    if (rc == -ECANCELED)
        say("canceled");
    say("%d", await(other));
    even_detach(child);
    return 0;
}

async(int, cancel_sleeping)
{
    __auto_type t = create_task(sleeps("t", 5, 0));
    __auto_type u = create_task(steps("u", 3));
    await(even_sleep(0));
    say("%s", truth(even_cancel(t)));
    say("requested");
    if (await(even_ref(t)) == -ECANCELED)
        say("awaited %s", was_canceled(t));
    await(u);
    even_detach(t);
    return 0;
}

async(int, cancel_before_start)
{
    __auto_type t = create_task(sleeps("t", 5, 0));
    __auto_type u = create_task(steps("u", 1));
    even_cancel(t);
    if (await(t) == -ECANCELED)
        say("awaited");
    await(u);
    return 0;
}

async(int, told_twice)
{
    for (int i = 0; i < 2; i++)
        say("%s", await(even_sleep(0.01)) == -ECANCELED ? "told" : "slept");
    return 0;
}

async(int, cancel_twice)
{
    __auto_type t = create_task(told_twice());
    await(even_sleep(0));
    even_cancel(t);
    even_cancel(t);
    say("%u", even_cancelling((even_task *)t));
    await(even_ref(t));
    say("%u %s", even_cancelling((even_task *)t), was_canceled(t));
    even_detach(t);
    return 0;
}

async(int, awaits_task, (const char *, name), (even_int_aw *, t))
{
    int n = await(t);
    if (n == -ECANCELED)
        say("%s canceled", name);
    else
        say("%s %d", name, n);
    return n < 0 ? n : 0;
}
#define as_int(x) ((even_int_aw *)(void *)even_ref(x))

async(int, cancel_passes_on)
{
    __auto_type inner = create_task(sleeps("inner", 5, 0));
    __auto_type outer = create_task(awaits_task("outer", as_int(inner)));
    __auto_type third = create_task(awaits_task("third", as_int(inner)));
    turns(2);
    even_cancel(outer);
    if (await(outer) == -ECANCELED)
        say("awaited");
    if (await(even_ref(third)) == -ECANCELED)
        say("awaited");
    say("%s %u %u", was_canceled(inner), even_cancelling((even_task *)inner), even_cancelling((even_task *)third));
    even_detach(inner);
    even_detach(third);
    return 0;
}

async(int, swallows)
{
    if (await(even_sleep(5)) == -ECANCELED)
        say("swallowed");
    return 9;
}

async(int, cancel_swallowed)
{
    __auto_type inner = create_task(swallows());
    __auto_type outer = create_task(awaits_task("outer", as_int(inner)));
    turns(2);
    even_cancel(outer);
    await(even_ref(outer));
    say("%s", was_canceled(outer));
    even_detach(inner);
    even_detach(outer);
    return 0;
}

async(int, cleans_up)
{
    int rc = await(even_sleep(5));
    await(even_sleep(0.01));
    say("clean");
    return rc;
}

async(int, cancel_cleanup)
{
    __auto_type t = create_task(cleans_up());
    await(even_sleep(0));
    even_cancel(t);
    __auto_type u = create_task(steps("u", 2));
    if (await(t) == -ECANCELED)
        say("awaited");
    await(u);
    return 0;
}

async(int, wait_for_in_time)
{
    __auto_type u = create_task(steps("u", 3));
    int n = await(wait_for(sleeps("x", 0.01, 5), 1));
    say("%d", n);
    await(u);
    return 0;
}

async(int, wait_for_expires)
{
    if (await(wait_for(sleeps("x", 5, 0), 0.01)) == -ETIMEDOUT)
        say("timed out");
    return 0;
}

async(int, wait_for_of_task)
{
    __auto_type t = create_task(sleeps("t", 5, 0));
    if (await(wait_for(even_ref(t), 0.01)) == -ETIMEDOUT)
        say("timed out %s", was_canceled(t));
    even_detach(t);
    return 0;
}

async(int, wait_for_swallowed)
{
    int n = await(wait_for(swallows(), 0.01));
    say("%d", n);
    return 0;
}

async(int, wait_for_failure)
{
    if (await(wait_for(fails("f", 0.01), 1)) == -EPIPE)
        say("failed");
    return 0;
}

async(int, wait_for_zero)
{
    if (await(wait_for(sleeps("x", 0, 0), 0)) == -ETIMEDOUT)
        say("timed out");
    __auto_type t = create_task(returns_at_once("t"));
    await(even_sleep(0));
    int n = await(wait_for(t, 0));
    say("%d", n);
    return 0;
}

async(int, waits_for)
{
    int rc = await(wait_for(sleeps("x", 5, 0), 3));
    if (rc == -ECANCELED)
        say("wait_for canceled");
    return rc;
}

async(int, wait_for_canceled)
{
    __auto_type t = create_task(waits_for());
    turns(3);
    even_cancel(t);
    if (await(t) == -ECANCELED)
        say("awaited");
    return 0;
}

async(int, inner_wait)
{
    int rc = await(wait_for(sleeps("x", 5, 0), 0.01));
    if (rc == -ETIMEDOUT)
        say("inner timed out");
    return rc;
}

async(int, wait_for_nested)
{
    if (await(wait_for(inner_wait(), 1)) == -ETIMEDOUT)
        say("outer timed out");
    return 0;
}

async(int, outer_first)
{
    int rc = await(wait_for(sleeps("x", 5, 0), 1));
    if (rc == -ECANCELED)
        say("inner canceled");
    return rc;
}

async(int, wait_for_nested_outer)
{
    if (await(wait_for(outer_first(), 0.01)) == -ETIMEDOUT)
        say("outer timed out");
    return 0;
}

async(int, awaits_shield, (even_int_aw *, t))
{
    int n = await(shield(t));
    if (n == -ECANCELED)
        say("shield canceled");
    else
        say("shield %d", n);
    return n < 0 ? n : 0;
}
#define borrowed_int(x) ((even_int_aw *)(void *)(x))

async(int, shield_canceled)
{
    __auto_type t = create_task(sleeps("t", 0.01, 4));
    __auto_type outer = create_task(awaits_shield(borrowed_int(t)));
    turns(2);
    even_cancel(outer);
    if (await(outer) == -ECANCELED)
        say("awaited %s", truth(even_done(t)));
    say("%d", await(t));
    return 0;
}

async(int, shield_result)
{
    __auto_type t = create_task(steps("t", 1));
    __auto_type outer = create_task(awaits_shield(borrowed_int(t)));
    __auto_type c = create_task(steps("c", 5));
    await(outer);
    say("None");        /* what awaits_shield() returns in Python */
    await(c);
    even_detach(t);
    return 0;
}

async(int, shield_inner_canceled)
{
    __auto_type t = create_task(sleeps("t", 5, 0));
    __auto_type outer = create_task(awaits_shield(borrowed_int(t)));
    turns(2);
    even_cancel(t);
    if (await(outer) == -ECANCELED)
        say("awaited");
    even_detach(t);
    return 0;
}

async(int, shield_time_out)
{
    __auto_type t = create_task(sleeps("t", 0.02, 4));
    if (await(wait_for(shield(t), 0.01)) == -ETIMEDOUT)
        say("timed out %s", truth(even_done(t)));
    say("%d", await(t));
    return 0;
}

async(int, cleans_and_says, (const char *, name))
{
    int rc = await(even_sleep(5));
    say("%s cleans", name);
    return rc;
}

async(int, leftovers)
{
    even_detach(create_task(cleans_and_says("a")));
    await(even_sleep(0));
    say("main ends");
    return 0;
}

async(int, leftover_that_has_not_begun)
{
    even_detach(create_task(cleans_and_says("a")));
    say("main ends");
    return 0;
}

async(int, spawns, (const char *, name), (int, depth))
{
    say("%s %d", name, depth);
    if (depth) {
        char left[16], right[16];
        snprintf(left, sizeof left, "%sl", name);
        snprintf(right, sizeof right, "%sr", name);
        __auto_type a = create_task(spawns(left, depth - 1));
        __auto_type b = create_task(spawns(right, depth - 1));
        await(b);
        await(a);
        say("%s joined", name);
    }
    return 0;
}

async(int, tree)
{
    return await(spawns("t", 3));
}

async(int, ping, (even_future **, f), (even_future **, g), (const char *, name))
{
    for (int i = 0; i < 3; i++) {
        ssize_t n = await(even_ref(f[i]));
        say("%s %zd", name, n);
        even_set_result(g[i], n + 1);
    }
    return 0;
}

async(int, ping_pong)
{
    even_future *f[4], *g[4];
    for (int i = 0; i < 4; i++) {
        f[i] = even_future_new(even_future);
        g[i] = even_future_new(even_future);
    }
    __auto_type a = create_task(ping(f, g, "ping"));
    __auto_type b = create_task(ping(g, f + 1, "pong"));
    even_set_result(f[0], 0);
    await(a);
    say("a");
    await(b);
    say("b");
    for (int i = 0; i < 4; i++) {
        even_detach(f[i]);
        even_detach(g[i]);
    }
    return 0;
}

static void ignore_report(void *data, const char *text)
{
    (void)data, (void)text;     /* "went on after its cancellation": asyncio does not say so */
}

int main(int argc, char **argv)
{
    static int rc;
    even_set_report_hook(ignore_report, NULL);
#define X(name, scenario)                                                                                              \
    if (argc < 2 || strcmp(argv[1], #name) == 0) {                                                                     \
        say("== %s", #name);                                                                                           \
        rc |= even_run(scenario());                                                                                    \
    }
    X(interleaving, interleaving) X(call_soon_order, call_soon_order) X(inline_await, inline_await)
    X(ends_wake_waiters, ends_wake_waiters) X(future_waiters, future_waiters) X(done_callbacks, done_callbacks)
    X(callback_on_task, callback_on_task) X(future_canceled, future_canceled) X(timers, timers) X(gather_order, gather_order)
    X(gather_wakes, gather_wakes) X(gather_of_none, gather_of_none)
    X(gather_failure, gather_failure) X(gather_failure_at_once, gather_failure_at_once) X(gather_statuses, gather_statuses_)
    X(gather_child_canceled, gather_child_canceled) X(cancel_sleeping, cancel_sleeping)
    X(cancel_before_start, cancel_before_start) X(cancel_twice, cancel_twice) X(cancel_passes_on, cancel_passes_on)
    X(cancel_swallowed, cancel_swallowed) X(cancel_cleanup, cancel_cleanup) X(wait_for_in_time, wait_for_in_time)
    X(wait_for_expires, wait_for_expires) X(wait_for_of_task, wait_for_of_task) X(wait_for_swallowed, wait_for_swallowed)
    X(wait_for_failure, wait_for_failure) X(wait_for_zero, wait_for_zero) X(wait_for_canceled, wait_for_canceled)
    X(wait_for_nested, wait_for_nested) X(wait_for_nested_outer, wait_for_nested_outer) X(shield_canceled, shield_canceled)
    X(shield_result, shield_result) X(shield_inner_canceled, shield_inner_canceled) X(shield_time_out, shield_time_out)
    X(leftovers, leftovers) X(leftover_that_has_not_begun, leftover_that_has_not_begun) X(tree, tree) X(ping_pong, ping_pong)
    return rc;
}
