import asyncio


async def say_after(delay, what):
    await asyncio.sleep(delay=delay)
    print(what)
    return what


async def say():
    r1, r2 = None, None
    print("start")
    task1 = asyncio.create_task(say_after(2, what="2s"))
    task2 = asyncio.create_task(say_after(1, what="1s"))
    r1, r2 = await asyncio.gather(task1, task2)
    print(f"end, {r1=}, {r2=}")

asyncio.run(say())
