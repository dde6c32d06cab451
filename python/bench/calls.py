"""The loop's own calls, ns each: calls.py LOOP N ROUNDS. CPU time of the process; best of so many rounds of N."""
import asyncio
import sys
import time

from loops import factory

N, ROUNDS = int(sys.argv[2]), int(sys.argv[3])


def best(function):
    function()
    result = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        function()
        result.append((time.process_time_ns() - began) / N)
    return min(result)


def main(loop):
    def nothing():
        pass

    def call_soon():
        def again(left):
            if left:
                for _ in range(100):
                    loop.call_soon(nothing)
                loop.call_soon(again, left - 1)
            else:
                loop.stop()
        loop.call_soon(again, N // 100)
        loop.run_forever()

    def call_later_and_cancel():
        def go():
            for _ in range(N):
                loop.call_later(10, nothing).cancel()
            loop.stop()
        loop.call_soon(go)
        loop.run_forever()

    def threadsafe():
        def again(left):
            if left:
                for _ in range(100):
                    loop.call_soon_threadsafe(nothing)
                loop.call_soon_threadsafe(again, left - 1)
            else:
                loop.stop()
        loop.call_soon(again, N // 100)
        loop.run_forever()

    def tasks():
        async def nothing_more():
            pass

        async def go():
            for _ in range(N):
                await loop.create_task(nothing_more())
        loop.run_until_complete(go())

    def gather():
        async def nothing_more():
            pass

        async def go():
            for _ in range(N // 1000):
                await asyncio.gather(*(nothing_more() for _ in range(1000)))
        loop.run_until_complete(go())

    for function in (call_soon, call_later_and_cancel, threadsafe, tasks, gather):
        print(f"{function.__name__} {best(function):.1f}", flush=True)


if __name__ == "__main__":
    the_loop = factory(sys.argv[1])()
    asyncio.set_event_loop(the_loop)
    main(the_loop)
    the_loop.close()
