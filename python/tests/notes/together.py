import asyncio


async def say_after(delay, what):
    await asyncio.sleep(delay=delay)
    print(what)

async def say():
    print("start")
    task1 = asyncio.create_task(say_after(2, what="2s"))
    task2 = asyncio.create_task(say_after(1, what="1s"))
    await task1
    await task2
    print("end")

asyncio.run(say())
