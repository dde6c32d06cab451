"""What asyncio's own functions wait for: time-outs, groups, queues, locks, events, shields; and failures."""
import asyncio


async def slow():
    await asyncio.sleep(5)


async def fails(seconds):
    await asyncio.sleep(seconds)
    raise ValueError("bad")


async def consume(queue):
    while True:
        print("got", await queue.get())


async def locked(lock):
    async with lock:
        await asyncio.sleep(0.1)


async def completes(future):
    future.set_result(1)


async def main():
    try:
        async with asyncio.timeout(1):
            await slow()
    except TimeoutError:
        print("timeout")
    try:
        await asyncio.wait_for(slow(), 1)
    except TimeoutError:
        print("wait_for")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            group.create_task(fails(0.5))
    except* ValueError:
        print("group")
    future = asyncio.get_running_loop().create_future()
    asyncio.create_task(completes(future))
    await future
    queue = asyncio.Queue()
    task = asyncio.create_task(consume(queue))
    await queue.put(1)
    await asyncio.sleep(0.1)
    lock = asyncio.Lock()
    await asyncio.gather(locked(lock), locked(lock))
    await asyncio.shield(asyncio.sleep(0.1))
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(1, event.set)
    await event.wait()
    del task
    await fails(1)

asyncio.run(main())
