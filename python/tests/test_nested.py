"""Passes that a program makes itself, as nest_asyncio does, inside of a run and in place of one."""
import asyncio
import contextlib
import heapq
import socket
import unittest

from support import OURS, LoopTest, python

try:
    import nest_asyncio
except ImportError:
    nest_asyncio = None

NESTED = '''\
import asyncio, nest_asyncio, os, socket
import evenloop

async def ask(reader, writer):
    writer.write(b"x")
    return await reader.readexactly(1)

async def main():
    loop = asyncio.get_running_loop()
    assert loop is made
    here, there = socket.socketpair()
    mine, theirs = await asyncio.open_connection(sock=here), await asyncio.open_connection(sock=there)
    both = asyncio.gather(ask(*mine), ask(*theirs))
    print(loop.run_until_complete(both), loop.run_until_complete(asyncio.sleep(0.001, "slept")))
    print(asyncio.run(asyncio.wait_for(asyncio.sleep(0, "deeper"), 5)))
    process = loop.run_until_complete(asyncio.create_subprocess_exec("true"))
    print(loop.run_until_complete(process.wait()))
    for _, writer in (mine, theirs):
        writer.close()
        await writer.wait_closed()
    return "done"

made = asyncio.SelectorEventLoop() if os.environ["EVENLOOP_BACKEND"] == "asyncio" else evenloop.Loop()
nest_asyncio.apply(made)
asyncio.set_event_loop(made)
print(made.run_until_complete(main()), made.run_until_complete(asyncio.sleep(0, "again")))
made.close()
'''


def make_pass(loop, most=1):
    """As asyncio's _run_once(), without what it does for cancelled timers."""
    timeout = 0 if loop._ready else most
    if loop._scheduled:
        timeout = min(max(0, loop._scheduled[0].when() - loop.time()), timeout)
    loop._process_events(loop._selector.select(timeout))
    scheduled = loop._scheduled
    end = loop.time() + loop._clock_resolution
    while scheduled and scheduled[0].when() < end:
        loop._ready.append(heapq.heappop(scheduled))
    for _ in range(len(loop._ready)):
        handle = loop._ready.popleft()
        if not handle.cancelled():
            handle._run()


def passes_until(loop, condition):
    """As many as it takes; an AssertionError after 5 s."""
    end = loop.time() + 5
    while not condition():
        if loop.time() > end:
            raise AssertionError("passes go on and nothing comes of them")
        make_pass(loop)


def run_nested(loop, coroutine):
    """What it gives; by passes inside of a task's step."""
    outer = asyncio.current_task()
    asyncio.tasks._leave_task(loop, outer)
    inner = loop.create_task(coroutine)
    try:
        passes_until(loop, inner.done)
    finally:
        asyncio.tasks._enter_task(loop, outer)
    return inner.result()


async def sockets_and_streams():
    loop = asyncio.get_running_loop()

    async def echo(reader, writer):
        while data := await reader.read(100_000):
            writer.write(data)
        writer.close()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            came.set_result(data)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    got = []
    for _ in range(3):
        writer.write(b"x" * SIZE)
        got.append(len(await reader.readexactly(SIZE)))
    writer.close()
    await writer.wait_closed()
    server.close()
    here, there = socket.socketpair()
    with here, there:
        for end in (here, there):
            end.setblocking(False)
        receives = asyncio.create_task(loop.sock_recv(there, 10))
        await asyncio.sleep(0.001)
        await loop.sock_sendall(here, b"raw")
        got.append(await receives)
        read = asyncio.Event()
        loop.add_reader(there, lambda: (loop.remove_reader(there), read.set()))
        here.send(b"x")
        await asyncio.wait_for(read.wait(), 5)
    came = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0))
    transport.sendto(b"datagram", transport.get_extra_info("sockname"))
    got.append(await came)
    transport.close()
    got.append(await loop.run_in_executor(None, int, "7"))
    await asyncio.sleep(0)
    return got


SIZE = 1_000_000     # more than one pass takes
GOT = [SIZE] * 3 + [b"raw", b"datagram", 7]


class Nested(LoopTest):
    def test_inside_of_a_run(self):
        async def program():
            loop, order = asyncio.get_running_loop(), []
            self.assertEqual(run_nested(loop, asyncio.sleep(0.002, "inner")), "inner")
            self.assertEqual(run_nested(loop, sockets_and_streams()), GOT)
            loop.call_soon(order.append, 1)
            loop.call_later(0, order.append, 3)
            cancelled = loop.call_later(0, order.append, "never")
            loop.call_soon(order.append, 2)
            cancelled.cancel()
            passes_until(loop, lambda: len(order) >= 3)
            self.assertEqual(order, [1, 2, 3])
            later = asyncio.create_task(asyncio.sleep(0.005, "later"))
            self.assertEqual(run_nested(loop, asyncio.sleep(0, "first")), "first")
            self.assertEqual(await later, "later")      # the run goes on with what it had

        self.on_both(program)

    def test_in_place_of_a_run(self):
        async def running():
            self.assertEqual(await asyncio.sleep(0, 5), 5)

        for name, make in OURS.items():
            with self.subTest(name), contextlib.closing(make()) as loop:
                for _ in range(2):
                    asyncio._set_running_loop(loop)
                    try:
                        task = loop.create_task(sockets_and_streams())
                        passes_until(loop, task.done)
                        self.assertEqual(task.result(), GOT)
                    finally:
                        asyncio._set_running_loop(None)
                    loop.run_until_complete(running())
                loop.run_until_complete(loop.shutdown_default_executor())

    def test_a_select_waits_no_longer_than_it_is_told(self):
        for name, make in OURS.items():
            with self.subTest(name), contextlib.closing(make()) as loop:
                self.assertEqual(loop._selector.select(0), [])
                loop.call_later(3600, print)
                self.assertEqual(loop._selector.select(0.001), [])
                self.assertEqual(len(loop._ready), 0)
                loop.call_soon(print, "never")
                self.assertEqual(loop._selector.select(), [])       # something is ready
                self.assertEqual(len(loop._ready), 1)
                loop._ready.clear()
                self.assertEqual(len(loop._ready), 0)
                with self.assertRaises(IndexError):
                    loop._ready.popleft()

    def test_an_exception_leaves_the_pass(self):
        def fail():
            raise KeyboardInterrupt

        async def program():
            loop = asyncio.get_running_loop()
            loop.call_soon(fail)
            with self.assertRaises(KeyboardInterrupt):
                for _ in range(3):
                    make_pass(loop)

        class Interrupting(asyncio.Protocol):
            def data_received(self, data):
                raise KeyboardInterrupt

        async def core():
            loop = asyncio.get_running_loop()
            here, there = socket.socketpair()
            transport, _ = await loop.create_connection(Interrupting, sock=here)
            there.send(b"x")
            with there, self.assertRaises(KeyboardInterrupt):
                for _ in range(5):
                    make_pass(loop)
            transport.abort()
            await asyncio.sleep(0)

        self.on_both(program)
        self.on_both(core)

    @unittest.skipUnless(nest_asyncio, "nest_asyncio is not installed")
    def test_nest_asyncio(self):
        if python("-c", NESTED, EVENLOOP_BACKEND="asyncio").returncode != 0:
            self.skipTest("nest_asyncio does not do on asyncio's own loop: it knows no Python from 3.14 on")
        for name in OURS:
            with self.subTest(name):
                done = python("-c", NESTED, EVENLOOP_BACKEND=name)
                self.assertEqual((done.stdout, done.stderr),
                                 ("[b'x', b'x'] slept\ndeeper\n0\ndone again\n", ""))


if __name__ == "__main__":
    unittest.main()
