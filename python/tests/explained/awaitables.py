"""Awaitables of other kinds: async generators, context managers, __await__, old coroutines, foreign futures, mistakes."""
import asyncio
import contextlib
import types


async def ticker(n):
    for i in range(n):
        await asyncio.sleep(0.1)
        yield i


@contextlib.asynccontextmanager
async def context():
    await asyncio.sleep(0.1)
    yield 1
    await asyncio.sleep(0.1)


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0.1).__await__()
        return 5


class Bad:
    def __await__(self):
        yield 42


@types.coroutine
def old():
    yield from asyncio.sleep(0.1)
    yield


class Foreign:
    """A future that is none of asyncio's."""
    _asyncio_future_blocking = False

    def __init__(self, loop):
        self.loop, self.callbacks = loop, []

    def get_loop(self):
        return self.loop

    def add_done_callback(self, callback, *, context=None):
        self.callbacks.append(callback)

    def cancel(self, msg=None):
        return False

    def result(self):
        return 3

    def __await__(self):
        self._asyncio_future_blocking = True
        yield self
        return 3

    def complete(self):
        for callback in self.callbacks:
            self.loop.call_soon(callback, self)


class Own(asyncio.Task):
    """A task of a factory's."""


async def main():
    loop = asyncio.get_running_loop()
    async for i in ticker(2):
        print(i)
    async with context() as c:
        print(c)
    print(await Awaitable())
    await old()
    print(await anext(ticker(1)))
    foreign = Foreign(loop)
    loop.call_later(0.1, foreign.complete)
    print(await foreign)
    async for _ in ticker(3):
        break
    try:
        await Bad()
    except RuntimeError as e:
        print(e)
    loop.set_task_factory(lambda loop, coro, **keywords: Own(coro, loop=loop, **keywords))
    print(type(asyncio.current_task()).__name__, type(asyncio.ensure_future(asyncio.sleep(1))).__name__)
    asyncio.sleep(1)    # never awaited

asyncio.run(main())
