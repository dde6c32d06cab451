"""Eager tasks, of Python 3.12 and later."""
import asyncio


async def quick():
    return 1


async def slow():
    await asyncio.sleep(0.1)


async def nests():
    await asyncio.create_task(slow())


async def yields():
    await asyncio.sleep(0)


async def main():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    print(await asyncio.create_task(quick(), name="quick"))
    t = asyncio.create_task(nests(), name="nests")
    await asyncio.create_task(yields(), name="yields")
    await t
    await asyncio.gather(slow(), quick())
    await asyncio.Task(slow(), loop=loop, eager_start=True)

asyncio.run(main())
