"""Loops by hand: several runs, tasks made between them, a runner, an exit."""
import asyncio


async def f(n):
    await asyncio.sleep(n)
    return n


async def leaves():
    await asyncio.sleep(1)
    raise SystemExit(3)

loop = asyncio.new_event_loop()
print(loop.run_until_complete(f(1)))
task = loop.create_task(f(5))
loop.create_task(f(2)).add_done_callback(lambda _: loop.stop())
loop.run_forever()
print("stopped", loop.run_until_complete(task))
loop.close()
with asyncio.Runner() as runner:
    print(runner.run(f(1)), runner.run(f(2)))
asyncio.run(leaves())
