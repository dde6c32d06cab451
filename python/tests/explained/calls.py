"""Coroutines in coroutines, that make tasks, and end without having waited."""
import asyncio


async def leaf():
    await asyncio.sleep(0.1)


async def quick():
    asyncio.create_task(leaf(), name="fire")


async def helper():
    t = asyncio.create_task(leaf())
    await leaf()
    u = asyncio.create_task(leaf())
    await quick()
    await t
    return u


async def caught():
    await leaf()
    raise ValueError("bad")


async def main():
    u = await helper()
    await u
    await u
    try:
        await caught()
    except ValueError:
        print("caught")

asyncio.run(main())
