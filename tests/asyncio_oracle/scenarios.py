"""What asyncio does: each scenario prints its events in order. scenarios.c says the same in C; compare.py runs both.

Left out, since evenloop differs on purpose:
 - a task that is cancelled when what it awaits has succeeded already: asyncio throws the result away, evenloop returns it and
   delivers the cancellation at the next await;
 - a cancelled gather: asyncio's fails as soon as the first child is cancelled, evenloop's waits for all of them;
 - a gather of children that are all done: asyncio 3.11's takes a pass of the loop, as evenloop's does; 3.12's does not;
 - several tasks that are left at the end: asyncio cancels them in no certain order, evenloop in that of their making;
 - sleep(0) as the await in progress of a cancellation (it is over already: the first point again).
"""
import asyncio
import sys

CancelledError = asyncio.CancelledError


def say(*words):
    print(*words, flush=True)


async def steps(name, n):
    for i in range(n):
        say(name, i)
        await asyncio.sleep(0)
    say(name, "end")
    return n


async def sleeps(name, seconds, result=0):
    try:
        await asyncio.sleep(seconds)
    except CancelledError:
        say(name, "canceled")
        raise
    say(name, "done")
    return result


async def fails(name, seconds):
    await asyncio.sleep(seconds)
    say(name, "fails")
    raise BrokenPipeError


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def interleaving():
    a = asyncio.create_task(steps("a", 3))
    b = asyncio.create_task(steps("b", 1))
    c = asyncio.create_task(steps("c", 2))
    say("created")
    await c
    say("c")
    await a
    say("a")
    await b
    say("b")


async def call_soon_order():
    loop = asyncio.get_running_loop()
    t = asyncio.create_task(steps("t", 1))
    loop.call_soon(say, "handle 1")
    u = asyncio.create_task(steps("u", 1))
    loop.call_soon(say, "handle 2")
    await asyncio.sleep(0)
    say("main")
    loop.call_soon(say, "handle 3")
    await t
    await u


async def inline_await():
    t = asyncio.create_task(steps("t", 1))
    say("before")
    say(await sleeps("inline", 0, 3))
    say("after")
    await t


async def returns_at_once(name):
    say(name)
    return 1


async def ends_wake_waiters():
    a = asyncio.create_task(returns_at_once("a"))
    b = asyncio.create_task(returns_at_once("b"))
    c = asyncio.create_task(steps("c", 2))
    await a
    say("woke a")
    await b
    say("woke b")
    await c
    say("woke c")


async def waits(name, f):
    say(name, "waits")
    try:
        say(name, "got", await f)
    except CancelledError:
        say(name, "canceled")


async def future_waiters():
    f = asyncio.get_running_loop().create_future()
    ts = [asyncio.create_task(waits(n, f)) for n in "abc"]
    await asyncio.sleep(0)
    d = asyncio.create_task(steps("d", 1))
    f.set_result(7)
    say("set")
    for t in ts:
        await t
    await d


async def done_callbacks():
    loop = asyncio.get_running_loop()
    f = loop.create_future()
    t = asyncio.create_task(waits("t", f))
    f.add_done_callback(lambda _: say("callback 1"))
    await asyncio.sleep(0)
    f.add_done_callback(lambda _: say("callback 2"))
    loop.call_soon(say, "soon 1")
    f.set_result(1)
    loop.call_soon(say, "soon 2")
    f.add_done_callback(lambda _: say("callback 3"))
    say("set")
    await asyncio.sleep(0)
    say("one pass")
    await t


async def callback_on_task():
    t = asyncio.create_task(steps("t", 1))
    t.add_done_callback(lambda _: say("callback"))
    await t
    say("awaited")


async def future_canceled():
    f = asyncio.get_running_loop().create_future()
    a = asyncio.create_task(waits("a", f))
    b = asyncio.create_task(waits("b", f))
    await asyncio.sleep(0)
    say(f.cancel(), f.cancel())
    await a
    await b


async def timers():
    loop = asyncio.get_running_loop()
    loop.call_later(0.03, say, "30")
    loop.call_later(0.01, say, "10")
    a = asyncio.create_task(sleeps("20", 0.02))
    loop.call_later(0.02, say, "20 too")
    await a
    await sleeps("40", 0.02)


async def gather_order():
    rs = await asyncio.gather(sleeps("slow", 0.02, 1), steps("a", 2), steps("b", 1), sleeps("fast", 0.01, 2))
    say("gathered", *rs)


async def gather_wakes():
    g = asyncio.gather(steps("a", 1), steps("b", 2))
    c = asyncio.create_task(steps("c", 5))
    say("called")
    say(*await g)
    await c


async def gather_of_none():
    c = asyncio.create_task(steps("c", 1))
    await asyncio.gather()
    say("gathered")
    await c


async def gather_failure():
    slow = asyncio.create_task(sleeps("slow", 0.03, 1))
    try:
        await asyncio.gather(slow, fails("f", 0.01), sleeps("fast", 0, 2))
    except BrokenPipeError:
        say("failed")
    say(await slow)


async def gather_failure_at_once():
    c = asyncio.create_task(steps("c", 4))
    try:
        await asyncio.gather(steps("a", 2), fails("f", 0), steps("b", 1))
    except BrokenPipeError:
        say("failed")
    await c


async def gather_statuses():
    rs = await asyncio.gather(sleeps("a", 0.01, 1), fails("f", 0), sleeps("c", 0, 3), return_exceptions=True)
    say("gathered", *("EPIPE" if isinstance(r, BrokenPipeError) else r for r in rs))


async def gather_child_canceled():
    child = asyncio.create_task(sleeps("child", 5))
    other = asyncio.create_task(sleeps("other", 0.02, 2))
    g = asyncio.gather(child, other)
    await asyncio.sleep(0)
    child.cancel()
    try:
        await g
    except CancelledError:
        say("canceled")
    say(await other)


async def cancel_sleeping():
    t = asyncio.create_task(sleeps("t", 5))
    u = asyncio.create_task(steps("u", 3))
    await asyncio.sleep(0)
    say(t.cancel())
    say("requested")
    try:
        await t
    except CancelledError:
        say("awaited", t.cancelled())
    await u


async def cancel_before_start():
    t = asyncio.create_task(sleeps("t", 5))
    u = asyncio.create_task(steps("u", 1))
    t.cancel()
    try:
        await t
    except CancelledError:
        say("awaited")
    await u


async def told_twice():
    for _ in range(2):
        try:
            await asyncio.sleep(0.01)
            say("slept")
        except CancelledError:
            say("told")


async def cancel_twice():
    t = asyncio.create_task(told_twice())
    await asyncio.sleep(0)
    t.cancel()
    t.cancel()
    say(t.cancelling())
    await t
    say(t.cancelling(), t.cancelled())


async def awaits_task(name, t):
    try:
        say(name, await t)
    except CancelledError:
        say(name, "canceled")
        raise


async def cancel_passes_on():
    inner = asyncio.create_task(sleeps("inner", 5))
    outer = asyncio.create_task(awaits_task("outer", inner))
    third = asyncio.create_task(awaits_task("third", inner))
    await turns(2)
    outer.cancel()
    for t in outer, third:
        try:
            await t
        except CancelledError:
            say("awaited")
    say(inner.cancelled(), inner.cancelling(), third.cancelling())


async def swallows():
    try:
        await asyncio.sleep(5)
    except CancelledError:
        say("swallowed")
    return 9


async def cancel_swallowed():
    inner = asyncio.create_task(swallows())
    outer = asyncio.create_task(awaits_task("outer", inner))
    await turns(2)
    outer.cancel()
    await outer
    say(outer.cancelled())


async def cleans_up():
    try:
        await asyncio.sleep(5)
    finally:
        await asyncio.sleep(0.01)
        say("clean")


async def cancel_cleanup():
    t = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    t.cancel()
    u = asyncio.create_task(steps("u", 2))
    try:
        await t
    except CancelledError:
        say("awaited")
    await u


async def wait_for_in_time():
    u = asyncio.create_task(steps("u", 3))
    say(await asyncio.wait_for(sleeps("x", 0.01, 5), 1))
    await u


async def wait_for_expires():
    try:
        await asyncio.wait_for(sleeps("x", 5), 0.01)
    except asyncio.TimeoutError:
        say("timed out")


async def wait_for_of_task():
    t = asyncio.create_task(sleeps("t", 5))
    try:
        await asyncio.wait_for(t, 0.01)
    except asyncio.TimeoutError:
        say("timed out", t.cancelled())


async def wait_for_swallowed():
    say(await asyncio.wait_for(swallows(), 0.01))


async def wait_for_failure():
    try:
        await asyncio.wait_for(fails("f", 0.01), 1)
    except BrokenPipeError:
        say("failed")


async def wait_for_zero():
    try:
        await asyncio.wait_for(sleeps("x", 0), 0)
    except asyncio.TimeoutError:
        say("timed out")
    t = asyncio.create_task(returns_at_once("t"))
    await asyncio.sleep(0)
    say(await asyncio.wait_for(t, 0))


async def waits_for():
    try:
        await asyncio.wait_for(sleeps("x", 5), 3)
    except CancelledError:
        say("wait_for canceled")
        raise


async def wait_for_canceled():
    t = asyncio.create_task(waits_for())
    await turns(3)
    t.cancel()
    try:
        await t
    except CancelledError:
        say("awaited")


async def inner_wait():
    try:
        await asyncio.wait_for(sleeps("x", 5), 0.01)
    except asyncio.TimeoutError:
        say("inner timed out")
        raise


async def wait_for_nested():
    try:
        await asyncio.wait_for(inner_wait(), 1)
    except asyncio.TimeoutError:
        say("outer timed out")


async def outer_first():
    try:
        await asyncio.wait_for(sleeps("x", 5), 1)
    except CancelledError:
        say("inner canceled")
        raise


async def wait_for_nested_outer():
    try:
        await asyncio.wait_for(outer_first(), 0.01)
    except asyncio.TimeoutError:
        say("outer timed out")


async def awaits_shield(t):
    try:
        say("shield", await asyncio.shield(t))
    except CancelledError:
        say("shield canceled")
        raise


async def shield_canceled():
    t = asyncio.create_task(sleeps("t", 0.01, 4))
    outer = asyncio.create_task(awaits_shield(t))
    await turns(2)
    outer.cancel()
    try:
        await outer
    except CancelledError:
        say("awaited", t.done())
    say(await t)


async def shield_result():
    t = asyncio.create_task(steps("t", 1))
    outer = asyncio.create_task(awaits_shield(t))
    c = asyncio.create_task(steps("c", 5))
    say(await outer)
    await c


async def shield_inner_canceled():
    t = asyncio.create_task(sleeps("t", 5))
    outer = asyncio.create_task(awaits_shield(t))
    await turns(2)
    t.cancel()
    try:
        await outer
    except CancelledError:
        say("awaited")


async def shield_time_out():
    t = asyncio.create_task(sleeps("t", 0.02, 4))
    try:
        await asyncio.wait_for(asyncio.shield(t), 0.01)
    except asyncio.TimeoutError:
        say("timed out", t.done())
    say(await t)


async def cleans_and_says(name):
    try:
        await asyncio.sleep(5)
    finally:
        say(name, "cleans")


async def leftovers():      # one: asyncio cancels them in no certain order
    asyncio.create_task(cleans_and_says("a"))
    await asyncio.sleep(0)
    say("main ends")


async def leftover_that_has_not_begun():
    asyncio.create_task(cleans_and_says("a"))
    say("main ends")


async def spawns(name, depth):
    say(name, depth)
    if depth:
        a = asyncio.create_task(spawns(name + "l", depth - 1))
        b = asyncio.create_task(spawns(name + "r", depth - 1))
        await b
        await a
        say(name, "joined")


async def tree():
    await spawns("t", 3)


async def ping(f, g, name):
    for i in range(3):
        n = await f[i]
        say(name, n)
        g[i].set_result(n + 1)


async def ping_pong():
    loop = asyncio.get_running_loop()
    f = [loop.create_future() for _ in range(4)]
    g = [loop.create_future() for _ in range(4)]
    a = asyncio.create_task(ping(f, g, "ping"))
    b = asyncio.create_task(ping(g, f[1:], "pong"))
    f[0].set_result(0)
    await a
    say("a")
    await b
    say("b")


SCENARIOS = [
    interleaving, call_soon_order, inline_await, ends_wake_waiters, future_waiters, done_callbacks, callback_on_task,
    future_canceled, timers, gather_order, gather_wakes, gather_of_none, gather_failure,
    gather_failure_at_once, gather_statuses, gather_child_canceled, cancel_sleeping, cancel_before_start, cancel_twice,
    cancel_passes_on, cancel_swallowed, cancel_cleanup, wait_for_in_time, wait_for_expires, wait_for_of_task, wait_for_swallowed,
    wait_for_failure, wait_for_zero, wait_for_canceled, wait_for_nested, wait_for_nested_outer, shield_canceled, shield_result,
    shield_inner_canceled, shield_time_out, leftovers, leftover_that_has_not_begun, tree, ping_pong,
]

if __name__ == "__main__":
    for scenario in SCENARIOS:
        if len(sys.argv) > 1 and scenario.__name__ not in sys.argv[1:]:
            continue
        say("==", scenario.__name__)
        asyncio.run(scenario())
