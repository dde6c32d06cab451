import asyncio


async def say_after(delay, what):
    await asyncio.sleep(delay=delay)
    print(what)
    return what


async def say():
    things_to_do = [1,2,3]
    coroutines = [say_after(x, what=f"{x}s") for x in things_to_do]
    print("start")
    r = await asyncio.gather(
        *coroutines
    )
    print(f"end, {r}")  # end, ['1s', '2s', '3s']

asyncio.run(say())
