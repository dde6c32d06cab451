import asyncio


async def say_after(delay, what):
    await asyncio.sleep(delay=delay)
    print(what)

async def say():
    print("start")
    await say_after(2, what="2s")
    await say_after(1, what="1s")
    print("end")

asyncio.run(say())
