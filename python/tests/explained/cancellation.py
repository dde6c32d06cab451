"""Requests to cancel: of a task that sleeps, that has not begun, that waits for another, for a gather; at the end."""
import asyncio


async def nap(seconds):
    try:
        await asyncio.sleep(seconds)
    finally:
        print("nap over")


async def outer():
    await asyncio.create_task(nap(9), name="inner")


async def waits(future):
    await future


async def main():
    t = asyncio.create_task(nap(10))
    await asyncio.sleep(0)
    t.cancel()
    try:
        await t
    except asyncio.CancelledError:
        print("canceled")
    t = asyncio.create_task(nap(1))
    t.cancel()
    await asyncio.gather(t, return_exceptions=True)
    t = asyncio.create_task(outer())
    await asyncio.sleep(1)
    t.cancel()
    await asyncio.wait([t])
    g = asyncio.gather(nap(1), nap(2))
    t = asyncio.create_task(waits(g))
    await asyncio.sleep(0.5)
    t.cancel()
    await asyncio.wait([t])
    asyncio.create_task(nap(10))
    await asyncio.sleep(0)

asyncio.run(main())
