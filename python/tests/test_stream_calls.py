"""What a stream's method is waiting for, as debuggers see it; and what comes between its wake-up and its step."""
import asyncio
import contextlib
import inspect
import io
import socket
import unittest

import evenloop
from support import LoopTest, until
from tls_peer import Peer, client_context, needs_certificate, server_context

CALLS = {"read": (10,), "readexactly": (10,), "readline": (), "readuntil": (b"|",)}


class Calls(LoopTest):
    def reader(self, streams):
        return streams.StreamReader(loop=asyncio.get_running_loop())

    def test_an_exception_between_a_wake_up_and_its_step(self):
        """It is for the next call; the woken one tells what came, as asyncio's does."""
        async def play(streams, name, arguments, data, eof):
            reader, seen = self.reader(streams), []
            task = asyncio.ensure_future(getattr(reader, name)(*arguments))
            await asyncio.sleep(0)
            reader.feed_data(data) if data else None
            reader.feed_eof() if eof else None
            reader.set_exception(LookupError("later"))
            for call in (task, asyncio.ensure_future(getattr(reader, name)(*arguments))):
                for _ in range(4):
                    await asyncio.sleep(0)
                if call.done() and not call.exception():
                    seen.append(call.result())
                elif call.done():
                    exc = call.exception()
                    seen.append((type(exc), str(exc), getattr(exc, "partial", None)))
                else:
                    seen.append("waits")
                    call.cancel()
                    await asyncio.wait([call])
            return seen, bytes(reader._buffer)

        async def program():
            for name, arguments in CALLS.items():
                for data, eof in ((b"abc", True), (b"abc\n|", False), (b"", True), (b"x" * 20, True), (b"ab", False)):
                    with self.subTest(name, data=data, eof=eof):
                        self.assertEqual(await play(evenloop, name, arguments, data, eof),
                                         await play(asyncio, name, arguments, data, eof))

        self.on_both(program)

    def test_what_a_call_is_made_of(self):
        async def program():
            for name, arguments in CALLS.items():
                reader = self.reader(evenloop)
                function = getattr(asyncio.StreamReader, name)
                call = getattr(reader, name)(*arguments)
                self.assertIs(call.cr_code, function.__code__)
                self.assertIs(call.cr_frame.f_code, function.__code__)
                self.assertIsNone(call.cr_await)
                task = asyncio.ensure_future(call)
                await asyncio.sleep(0)
                self.assertIs(call.cr_await, reader._waiter)
                self.assertIs(call.cr_frame.f_code, function.__code__)
                text = io.StringIO()
                task.print_stack(file=text)
                self.assertIn(f"in {name}", text.getvalue())
                self.assertIn(name, repr(task))
                reader.feed_data(b"0123456789\n|")
                await task
                self.assertIsNone(call.cr_frame)
                self.assertIsNone(call.cr_await)

        self.on_both(program)

    def test_drain(self):
        async def program():
            ours, theirs = socket.socketpair()
            with theirs:
                reader, writer = await evenloop.open_connection(sock=ours)
                writer.transport.set_write_buffer_limits(1000)
                while writer.transport.get_write_buffer_size() <= 1000:
                    writer.write(b"x" * 100_000)
                call = writer.drain()
                task = asyncio.ensure_future(call)
                await asyncio.sleep(0)
                self.assertIs(call.cr_code, asyncio.StreamWriter.drain.__code__)
                self.assertIsNotNone(call.cr_await)
                self.assertFalse(task.done())
                writer.transport.abort()
                self.assertIsNone(await asyncio.wait_for(task, 5))
                self.assertIsNone(call.cr_frame)

        self.on_both(program)

    @unittest.skipUnless(hasattr(asyncio, "format_call_graph"), "call graphs are printed since 3.14")
    def test_a_call_graph(self):
        async def reads(reader):
            return await reader.readline()

        async def program():
            reader = self.reader(evenloop)
            task = asyncio.create_task(reads(reader))
            await asyncio.sleep(0)
            graph = asyncio.format_call_graph(task)
            self.assertIn("StreamReader.readline()", graph)
            self.assertLess(graph.index("readline"), graph.index("reads"))
            reader.feed_data(b"x\n")
            await task

        self.on_both(program)

    def test_it_is_awaited_like_any_other(self):
        async def program():
            reader = self.reader(evenloop)
            call = reader.read(1)
            self.assertTrue(inspect.isawaitable(call))
            self.assertEqual(inspect.getcoroutinestate(call), inspect.CORO_CREATED)
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            self.assertEqual(inspect.getcoroutinestate(call), inspect.CORO_SUSPENDED)
            reader.feed_data(b"x")
            self.assertEqual(await task, b"x")
            self.assertEqual(inspect.getcoroutinestate(call), inspect.CORO_CLOSED)

        self.on_both(program)


@needs_certificate
class StartTLS(LoopTest):
    def test_data_that_comes_with_the_end_of_the_handshake(self):
        """More of it than the reader takes: it pauses, and goes on."""
        data = b"x" * 60_000 + b"\n"

        async def program(streams, pieces):
            ours, theirs = socket.socketpair()
            reader, writer = await streams.open_connection(sock=ours, limit=2000)
            peer = Peer(theirs, server_context("1.2"))
            peer.hold = True        # the server's is the last word, and what it sends then comes along
            with theirs:
                starts = asyncio.create_task(writer.start_tls(client_context("1.2"), server_hostname="localhost"))
                await peer.handshake()
                sends = asyncio.create_task(peer.send_raw(peer.outgoing.read() + b"".join(
                    peer.encrypt(data[at:at + pieces]) for at in range(0, len(data), pieces))))
                await asyncio.wait_for(starts, 5)
                self.assertEqual(await asyncio.wait_for(reader.readexactly(len(data)), 5), data)
                await sends
                writer.write(b"thanks")
                self.assertEqual(await peer.receive(6), b"thanks")
                await peer.send(b"bye")
                self.assertEqual(await asyncio.wait_for(reader.readexactly(3), 5), b"bye")
                writer.transport.abort()
                with contextlib.suppress(Exception):
                    await writer.wait_closed()

        for streams in (asyncio, evenloop):
            for pieces in (3000, 16_000):
                self.on_both(program, streams, pieces)

    def test_a_servers_bytes_that_came_before(self):
        """A whole ClientHello, or a part of it, came with the line before it."""
        async def program(streams, part):
            async def handle(reader, writer):
                self.assertEqual(await reader.readline(), b"PROXY\n")
                await until(lambda: reader._buffer or not part)
                await writer.start_tls(server_context())
                writer.write(b"you said " + await reader.readexactly(5))
                await writer.drain()
                writer.close()
                with contextlib.suppress(Exception):
                    await writer.wait_closed()
                served.set_result(None)

            loop = asyncio.get_running_loop()
            served = loop.create_future()
            server = await streams.start_server(handle, "127.0.0.1", 0)
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, server.sockets[0].getsockname())
                peer = Peer(sock, client_context(), False)
                try:
                    peer.tls.do_handshake()
                except Exception:
                    hello = peer.outgoing.read()
                await peer.send_raw(b"PROXY\n" + hello[:part])
                await asyncio.sleep(0.01)
                await peer.send_raw(hello[part:] if hello[part:] else b"")
                await peer.handshake()
                await peer.send(b"hello")
                self.assertEqual(await asyncio.wait_for(peer.receive(14), 5), b"you said hello")
            await served
            server.close()

        for streams in (asyncio, evenloop):
            for part in (3, 100, 10 ** 6):
                self.on_both(program, streams, part)


if __name__ == "__main__":
    unittest.main()
