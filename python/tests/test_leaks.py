"""What was opened and dropped is gone: memory, descriptors, objects. EVENLOOP_LEAK_ROUNDS says how often (2,000)."""
import asyncio
import gc
import os
import socket
import ssl
import unittest

import evenloop
import test_tls

ROUNDS = int(os.environ.get("EVENLOOP_LEAK_ROUNDS", "2000"))


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class Leaks(unittest.TestCase):
    streams = asyncio

    def check(self, once, rounds=ROUNDS, together=20):
        """`once` is a coroutine function; it is run so often, some at a time, after a warm-up."""
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                async def many(n):
                    for _ in range(0, n, together):
                        await asyncio.gather(*(once() for _ in range(together)))
                    for _ in range(5):
                        await asyncio.sleep(0.001)
                    gc.collect()
                    return resident(), descriptors(), len(gc.get_objects())

                async def main():
                    await self.begin()
                    await many(max(rounds // 4, together * 10))
                    before, after = await many(together * 10), await many(rounds)
                    await self.end()
                    return before, after

                with asyncio.Runner(loop_factory=lambda: evenloop.Loop(backend=backend)) as runner:
                    before, after = runner.run(main())
                self.assertLess(after[0] - before[0], 3 << 20, "bytes of memory")
                self.assertLessEqual(after[1] - before[1], together, "descriptors")
                self.assertLess(after[2] - before[2], 500, "objects")

    secure = None       # the server's context

    async def begin(self):
        async def handle(reader, writer):
            try:
                while data := await reader.read(1000):
                    writer.write(data)
                    await writer.drain()
            except ConnectionError:
                pass
            writer.close()
        self.server = await self.streams.start_server(handle, "127.0.0.1", 0, backlog=256, ssl=self.secure)
        self.address = self.server.sockets[0].getsockname()

    async def end(self):
        self.server.close()
        await self.server.wait_closed()

    def test_connections(self):
        async def once():
            reader, writer = await self.streams.open_connection(*self.address)
            writer.write(b"hello")
            self.assertEqual(await reader.readexactly(5), b"hello")
            writer.close()
            await writer.wait_closed()
        self.check(once)

    def test_connections_that_are_reset(self):
        async def once():
            reader, writer = await self.streams.open_connection(*self.address)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.write(b"x" * 100)
            writer.transport.abort()
        self.check(once)

    def test_cancelled_reads(self):
        async def once():
            reader, writer = await self.streams.open_connection(*self.address)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0):
                    await reader.read(1)
            writer.close()
            await writer.wait_closed()
        self.check(once, ROUNDS // 2)

    def test_handshakes_that_fail(self):
        async def once():
            with self.assertRaises(OSError):
                await self.streams.open_connection(*self.address, ssl=ssl.create_default_context(), server_hostname="nobody")
        self.check(once, ROUNDS // 10)

    def test_tls_connections(self):
        test_tls.setUpModule()
        self.secure, context, strict = test_tls.server_context(), test_tls.client_context(), ssl.create_default_context()

        async def once():
            nonlocal n
            n += 1
            if n % 4 == 0:
                with self.assertRaises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection(*self.address, ssl=strict, server_hostname="localhost")
                return
            reader, writer = await asyncio.open_connection(*self.address, ssl=context, server_hostname="localhost")
            writer.write(b"x" * 20_000)
            await reader.readexactly(20_000)
            writer.write(b"x")
            if n % 4 == 1:
                return writer.transport.abort()
            writer.close()
            await writer.wait_closed()
        n = 0
        self.check(once, ROUNDS // 10)

    def test_pipes(self):
        async def once():
            loop, (r, w) = asyncio.get_running_loop(), os.pipe()
            reader = asyncio.StreamReader()
            incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(r, "rb", 0))
            outgoing, _ = await loop.connect_write_pipe(asyncio.Protocol, open(w, "wb", 0))
            outgoing.write(b"hello")
            self.assertEqual(await reader.readexactly(5), b"hello")
            outgoing.write(b"x" * 100_000)
            incoming.close()        # with data on the way: each end ends differently
            outgoing.close() if r % 2 else outgoing.abort()
        self.check(once, 500)

    def test_children(self):
        async def once():
            child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, stderr=-1)
            self.assertEqual(await child.communicate(b"hello"), (b"hello", b""))
        self.check(once, 50, together=5)

    def test_timers(self):
        async def once():
            loop = asyncio.get_running_loop()
            for i in range(50):
                handle = loop.call_later(0.0001 if i % 2 else 3600, int)
                if i % 2 == 0:
                    handle.cancel()
        self.check(once)


class StreamsOfOurs(Leaks):
    streams = evenloop
    test_handshakes_that_fail = test_timers = None


if __name__ == "__main__":
    unittest.main()
