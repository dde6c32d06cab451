import asyncio


async def say_after(delay, what):
    await asyncio.sleep(delay=delay)
    print(what)
    return what


async def say():
    r1, r2 = None, None
    print("start")
    r1, r2 = await asyncio.gather(
        say_after(2, what="2s"),
        say_after(1, what="1s"),
    )
    print(f"end, {r1=}, {r2=}")

asyncio.run(say())
