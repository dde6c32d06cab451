"""What was opened and dropped is gone: memory, descriptors, objects. EVENLOOP_LEAK_ROUNDS says how often (5,000)."""
import asyncio
import collections
import gc
import os
import socket
import ssl
import unittest
import warnings

import evenloop
from support import OURS, SANITIZED, descriptors, resident, turns
from tls_peer import client_context, needs_certificate, server_context

ROUNDS = int(os.environ.get("EVENLOOP_LEAK_ROUNDS", "5000"))


def objects():
    return collections.Counter(type(o).__qualname__ for o in gc.get_objects())


class Leaks(unittest.TestCase):
    streams = asyncio

    def check(self, once, rounds=ROUNDS, together=20, megabytes=3):
        """`once` is a coroutine function; it is run so often, some at a time, after a warm-up. `megabytes`: what the process
        may grow by, more where buffers of a quarter of one wait for the collector."""
        for backend, make in OURS.items():
            with self.subTest(backend), warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)

                async def many(n):
                    for _ in range(0, n, together):
                        await asyncio.gather(*(once() for _ in range(together)))
                    await turns()
                    gc.collect()
                    return resident(), descriptors(), objects()

                async def main():
                    await self.begin()
                    await many(max(rounds // 4, together * 10))
                    before, after = await many(together * 10), await many(rounds)
                    await self.end()
                    return before, after

                with asyncio.Runner(loop_factory=make) as runner:
                    runner.get_loop().set_exception_handler(lambda loop, context: None)
                    before, after = runner.run(main())
                if not SANITIZED:
                    self.assertLess(after[0] - before[0], megabytes << 20, "bytes of memory")
                self.assertLessEqual(after[1] - before[1], together, "descriptors")
                more = after[2] - before[2]
                self.assertLess(after[2].total() - before[2].total(), 500, f"objects: {more.most_common(5)}")

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
        self.tls = ssl.create_default_context()

    async def end(self):
        self.server.close()
        await self.server.wait_closed()

    # ---- connections ----

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

    def test_connections_that_are_forgotten(self):
        """Neither closed nor read: the collector finds them."""
        async def once():
            ours, theirs = socket.socketpair()
            with theirs:
                await asyncio.open_connection(sock=ours)
        self.check(once, ROUNDS // 2, megabytes=8)

    def test_connections_that_are_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()

        async def once():
            with self.assertRaises(ConnectionRefusedError):
                await asyncio.open_connection(*address)
        self.check(once, ROUNDS // 2)

    # ---- what is cancelled ----

    def test_cancelled_reads(self):
        async def once():
            reader, writer = await self.streams.open_connection(*self.address)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0):
                    await reader.read(1)
            writer.close()
            await writer.wait_closed()
        self.check(once, ROUNDS // 2)

    def test_cancelled_writes(self):
        async def once():
            ours, theirs = socket.socketpair()
            with theirs:
                _, writer = await asyncio.open_connection(sock=ours)
                writer.write(b"x" * 500_000)
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(0):
                        await writer.drain()
                writer.transport.abort()
        self.check(once, ROUNDS // 2)

    def test_cancelled_connections(self):
        async def once():
            task = asyncio.create_task(asyncio.open_connection(*self.address))
            for _ in range(2):
                await asyncio.sleep(0)
            if not task.cancel():
                (await task)[1].close()
            else:
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()[1].close()
        self.check(once, ROUNDS // 2)

    def test_cancelled_socket_calls(self):
        async def once():
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.setblocking(False)
                into = bytearray(10)
                calls = [loop.sock_recv(ours, 10), loop.sock_recv_into(ours, into), loop.sock_sendall(ours, b"x" * 500_000)]
                for call in calls:
                    task = asyncio.create_task(call)
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                    self.assertTrue(task.cancelled())
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.setblocking(False)
                task = asyncio.create_task(loop.sock_accept(listener))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                self.assertTrue(task.cancelled())
        self.check(once, ROUNDS // 5)

    # ---- TLS ----

    def test_handshakes_that_fail(self):
        async def once():           # what comes is no TLS
            with self.assertRaises(OSError):
                await self.streams.open_connection(*self.address, ssl=self.tls, server_hostname="nobody")
        self.check(once, ROUNDS // 10, megabytes=30)

    @needs_certificate
    def test_handshakes_that_are_refused(self):
        self.secure = server_context()

        async def once():
            with self.assertRaises(ssl.SSLCertVerificationError):
                await self.streams.open_connection(*self.address, ssl=self.tls, server_hostname="nobody")
        self.check(once, ROUNDS // 10, megabytes=30)

    def test_handshakes_that_are_cancelled(self):
        async def once():
            ours, theirs = socket.socketpair()
            with theirs:
                task = asyncio.create_task(self.streams.open_connection(sock=ours, ssl=self.tls, server_hostname="nobody"))
                for _ in range(3):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                self.assertTrue(task.cancelled())
        self.check(once, ROUNDS // 10, megabytes=30)

    @needs_certificate
    def test_tls_connections(self):
        self.secure, context = server_context(), client_context()

        async def once():
            nonlocal n
            n += 1
            if n % 4 == 0:
                with self.assertRaises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection(*self.address, ssl=self.tls, server_hostname="localhost")
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

    # ---- pipes and children ----

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

    # ---- timers ----

    def test_timers(self):
        async def once():
            loop = asyncio.get_running_loop()
            for i in range(20):
                handle = loop.call_later(0.0001 if i % 2 else 3600, int)
                if i % 2 == 0:
                    handle.cancel()
            await asyncio.sleep(0.0001)
        self.check(once)

    def test_sleeps_that_are_cancelled(self):
        async def once():
            task = asyncio.create_task(asyncio.sleep(3600))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        self.check(once)


class StreamsOfOurs(Leaks):
    streams = evenloop
    test_handshakes_that_fail = test_timers = None


if __name__ == "__main__":
    unittest.main()
