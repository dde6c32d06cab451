"""Streams over sockets: asyncio's own, whose readers a transport of ours feeds from C, and evenloop's; and what they leave."""
import asyncio
import gc
import os
import random
import socket
import ssl
import sys
import tempfile
import unittest
import warnings
import weakref
from unittest import mock

import evenloop
from support import SANITIZED, LoopTest, no_collector, resident, until
from tls_peer import client_context, needs_certificate, server_context


class Connections(LoopTest):
    """Over sockets, asyncio's functions and ours."""

    def each(self, function, **options):
        for streams in (asyncio, evenloop):
            self.on_both(function, streams, **options)

    async def pair(self, streams, **options):
        """(reader, writer, the peer's reader, the peer's writer)"""
        accepted = asyncio.get_running_loop().create_future()
        server = await streams.start_server(lambda *pair: accepted.set_result(pair), "127.0.0.1", 0, **options)
        reader, writer = await streams.open_connection(*server.sockets[0].getsockname(), **options)
        peer = await accepted
        server.close()
        return reader, writer, *peer

    async def finish(self, *writers):
        for writer in writers:
            writer.close()
        for writer in writers:
            await writer.wait_closed()

    def test_types(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            for r, w in ((reader, writer), (peer_reader, peer_writer)):
                self.assertIs(type(r), streams.StreamReader)
                self.assertIs(type(w), streams.StreamWriter)
                self.assertIsInstance(r, asyncio.StreamReader)
                self.assertIsInstance(w, asyncio.StreamWriter)
                self.assertIsInstance(w.transport.get_protocol(), asyncio.StreamReaderProtocol)
                self.assertRegex(repr(w), "^<StreamWriter transport=<.*> reader=<StreamReader .*>>$")
            self.assertEqual(writer.get_extra_info("peername"), peer_writer.get_extra_info("sockname"))
            self.assertEqual(writer.get_extra_info("nothing", 5), 5)
            self.assertFalse(writer.is_closing())
            await self.finish(writer, peer_writer)
            self.assertTrue(writer.is_closing())
        self.each(program)

    def test_chunks_of_any_size_come_out_as_they_went_in(self):
        async def program(streams):
            for seed in range(5):
                chance = random.Random(seed)
                data = chance.randbytes(300_000)
                reader, writer, peer_reader, peer_writer = await self.pair(streams, limit=chance.choice([100, 5000, 65536]))

                async def send():
                    at = 0
                    while at < len(data):
                        size = chance.choice([1, 10, 1000, 70000])
                        if chance.random() < 0.3:
                            writer.writelines([data[at:at + size // 2], bytearray(data[at + size // 2:at + size])])
                        else:
                            writer.write(data[at:at + size])
                        at += size
                        if chance.random() < 0.5:
                            await writer.drain()
                    writer.write_eof()

                sending, got = asyncio.create_task(send()), b""
                while True:
                    how, size = chance.randrange(4), chance.choice([1, 10, 1000, 70000])
                    try:
                        part = await (peer_reader.read(size) if how == 0 else peer_reader.readexactly(size) if how == 1 else
                                      peer_reader.readuntil(b"ab") if how == 2 else asyncio.wait_for(peer_reader.read(size), 5))
                    except asyncio.IncompleteReadError as exc:
                        part = exc.partial
                    except asyncio.LimitOverrunError as exc:
                        part = await peer_reader.readexactly(exc.consumed)
                    if not part and how != 1:
                        break
                    got += part
                await sending
                self.assertTrue(got == data)
                self.assertTrue(peer_reader.at_eof())
                await self.finish(writer, peer_writer)
        self.each(program)

    def test_lines(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams, limit=10000)
            writer.write(b"one\ntwo\n" + b"x" * 9999 + b"\n" + b"y" * 30000 + b"\nlast\nunfinished")
            writer.write_eof()
            self.assertEqual(await peer_reader.readline(), b"one\n")
            self.assertEqual(await peer_reader.readline(), b"two\n")
            self.assertEqual(await peer_reader.readline(), b"x" * 9999 + b"\n")
            with self.assertRaisesRegex(ValueError, "chunk"):
                while not (await peer_reader.readline()).endswith(b"last\n"):
                    pass
            rest = b"".join([line async for line in peer_reader])
            self.assertTrue(rest.endswith(b"unfinished"))
            await self.finish(writer, peer_writer)
        self.each(program)

    def test_a_reader_that_is_not_read_stops_its_peer(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams, limit=20000)

            async def flood():
                sent = 0
                while sent < 40_000_000:
                    writer.write(b"x" * 100_000)
                    sent += 100_000
                    await writer.drain()
                writer.write_eof()
            flooding = asyncio.create_task(flood())
            await until(lambda: peer_reader._paused)
            done, pending = await asyncio.wait([flooding], timeout=0.2)
            self.assertTrue(pending, "drain() waits for the peer")
            self.assertFalse(peer_writer.transport.is_reading())
            self.assertLess(len(peer_reader._buffer), 40000 + 300_000)
            got = 0
            while data := await peer_reader.read(50000):
                got += len(data)
            self.assertEqual(got, 40_000_000)
            await flooding
            await self.finish(writer, peer_writer)
        self.each(program)

    def test_cancelled_reads_lose_nothing(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            sent, got, chance = b"", b"", random.Random(1)
            for i in range(200):
                task = asyncio.create_task(peer_reader.readexactly(3) if i % 2 else peer_reader.read(2))
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                writer.write(data := chance.randbytes(chance.randrange(4)))
                sent += data
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    got += await task
                except asyncio.CancelledError:
                    pass
            writer.write_eof()
            got += await peer_reader.read()
            self.assertEqual(got, sent)
            await self.finish(writer, peer_writer)
        self.each(program)

    def test_writing_to_a_peer_that_is_gone(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            peer_writer.transport.abort()
            with self.assertRaises(ConnectionError):
                for _ in range(1000):
                    writer.write(b"x" * 100_000)
                    await writer.drain()
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass
            with self.assertRaises(ConnectionError):
                await writer.drain()
        self.each(program)

    def test_a_drain_after_close_lets_the_loop_run(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            writer.close()
            with self.assertRaises(ConnectionResetError) as caught:
                while True:
                    writer.write(b"x")
                    await writer.drain()
            self.assertEqual(str(caught.exception), "Connection lost")
            await self.finish(peer_writer)
        self.each(program)

    def test_several_that_drain(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(bytes(64_000_000))         # more than the kernel takes
            size = len(writer.transport.get_protocol()._drain_waiters)
            tasks = [asyncio.create_task(writer.drain()) for _ in range(3)]
            await asyncio.sleep(0.01)
            tasks.pop().cancel()
            await asyncio.sleep(0)
            self.assertEqual([task.done() for task in tasks], [False, False])
            self.assertEqual(len(writer.transport.get_protocol()._drain_waiters), size + 2)
            writer.write_eof()
            reading = asyncio.create_task(peer_reader.read())
            await asyncio.gather(*tasks)
            await reading
            await self.finish(writer, peer_writer)
        self.each(program)

    def test_a_handler_that_is_no_coroutine_and_fails_is_told_of_and_the_connection_closed(self):
        async def program(streams):
            if streams is asyncio and sys.version_info < (3, 14):
                return
            told = []
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
            failure = LookupError("wrong")

            def handle(reader, writer):
                raise failure

            server = await streams.start_server(handle, "127.0.0.1", 0)
            reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
            self.assertEqual(await reader.read(), b"")
            self.assertEqual(told, [failure])
            server.close()
            await self.finish(writer)
        self.each(program)

    @needs_certificate
    def test_start_tls(self):
        async def program(streams):
            served = asyncio.get_running_loop().create_future()

            async def handle(reader, writer):
                self.assertEqual(await reader.readline(), b"STARTTLS\n")
                writer.write(b"go\n")
                await writer.drain()
                await writer.start_tls(server_context())
                self.assertIsNotNone(writer.get_extra_info("sslcontext"))
                self.assertEqual(await reader.readexactly(6), b"secret")
                writer.write(b"x" * 200_000 + b"\n")
                await writer.drain()
                writer.close()
                served.set_result(None)
            server = await streams.start_server(handle, "127.0.0.1", 0)
            reader, writer = await streams.open_connection(*server.sockets[0].getsockname(), limit=10 ** 6)
            writer.write(b"STARTTLS\n")
            self.assertEqual(await reader.readline(), b"go\n")
            await writer.start_tls(client_context(), server_hostname="localhost")
            writer.write(b"secret")
            self.assertEqual(len(await reader.readline()), 200_001)
            self.assertEqual(await reader.read(), b"")
            await served
            writer.close()
            try:
                await writer.wait_closed()
            except (ssl.SSLError, ConnectionError):
                pass
            server.close()
        self.each(program)

    def test_unix_sockets(self):
        async def program(streams):
            async def handle(reader, writer):
                async for line in reader:
                    writer.write(line.upper())
                writer.close()
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "socket")
                server = await streams.start_unix_server(handle, path, limit=100)
                reader, writer = await streams.open_unix_connection(path, limit=200)
                self.assertEqual(reader._limit, 200)
                self.assertIs(type(reader), streams.StreamReader)
                writer.write(b"hello\nworld\n")
                writer.write_eof()
                self.assertEqual(await reader.read(), b"HELLO\nWORLD\n")
                await self.finish(writer)
                server.close()
        self.each(program)

    def test_a_handler_that_fails(self):
        async def program(streams):
            told, theirs = [], []
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

            async def handle(reader, writer):
                theirs.append(writer)
                raise LookupError("bad")
            server = await streams.start_server(handle, "127.0.0.1", 0)
            reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
            if sys.version_info >= (3, 12):
                self.assertEqual(await reader.read(), b"")
                self.assertEqual(told[0]["message"], "Unhandled exception in client_connected_cb")
                self.assertIsInstance(told[0]["transport"], asyncio.Transport)
            await until(lambda: theirs)
            await self.finish(writer, theirs.pop())
            await until(lambda: told)   # up to 3.11 it is the task's, which goes with the connection
            self.assertIsInstance(told[0]["exception"], LookupError)
            server.close()
        self.each(program)

    def test_on_asyncios_own_loop(self):
        async def main():
            reader, writer, peer_reader, peer_writer = await self.pair(evenloop)
            writer.write(b"hello\n")
            self.assertEqual(await asyncio.wait_for(peer_reader.readline(), 10), b"hello\n")
            await self.finish(writer, peer_writer)
        asyncio.run(main())

    def test_debug_mode(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            self.assertIsNotNone(reader._source_traceback)
            task = asyncio.create_task(peer_reader.readline())
            await asyncio.sleep(0.001)
            writer.write(b"hello\n")
            await writer.drain()
            self.assertEqual(await task, b"hello\n")
            await self.finish(writer, peer_writer)
        self.each(program, debug=True)

    # ---- patched ----

    async def patched(self, streams, patch, method):
        """Data, then a patch, then data: who gets them?"""
        reader, writer, peer_reader, peer_writer = await self.pair(streams)
        writer.write(b"first")
        self.assertEqual(await peer_reader.readexactly(5), b"first")
        seen = asyncio.get_running_loop().create_future()
        with patch(peer_reader, peer_writer.transport.get_protocol(), seen):
            writer.write(b"second")
            self.assertEqual(await seen, b"second")
        writer.write(b"third")
        self.assertEqual(await peer_reader.readexactly(5), b"third")
        await self.finish(writer, peer_writer)

    def test_methods_that_are_patched_are_called(self):
        def in_instance(reader, protocol, seen):
            return mock.patch.object(reader, "feed_data", seen.set_result)

        def in_class(reader, protocol, seen):
            return mock.patch.object(type(reader), "feed_data", lambda self, data: seen.set_result(bytes(data)))

        def in_protocol(reader, protocol, seen):
            return mock.patch.object(protocol, "data_received", seen.set_result)

        def in_protocols_class(reader, protocol, seen):
            return mock.patch.object(type(protocol), "data_received", lambda self, data: seen.set_result(bytes(data)))

        for patch in (in_instance, in_class, in_protocol, in_protocols_class):
            with self.subTest(patch.__name__):
                self.each(lambda streams: self.patched(streams, patch, None))

    def test_a_transport_that_is_patched_is_used(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            transport = writer.transport
            with mock.patch.object(transport, "write") as write:
                writer.write(b"1")
                write.assert_called_once_with(b"1")
            with mock.patch.object(type(transport), "write") as write:
                writer.write(b"2")
                self.assertEqual(write.call_args.args[-1:], (b"2",))
            with mock.patch.object(type(transport), "is_closing", return_value=True) as is_closing:
                await writer.drain()
                is_closing.assert_called()
            writer.write(b"3")
            self.assertEqual(await peer_reader.readexactly(1), b"3")
            with mock.patch.object(peer_writer.transport, "is_closing", return_value=True) as is_closing:
                await peer_writer.drain()
                is_closing.assert_called()
            await self.finish(writer, peer_writer)
        self.each(program)

    def test_methods_that_are_patched_are_used_by_others(self):
        async def program():
            reader = evenloop.StreamReader()

            async def readuntil(separator):
                return b"patched"
            with mock.patch.object(reader, "readuntil", readuntil):
                self.assertEqual(await reader.readline(), b"patched")
                async for line in reader:
                    self.assertEqual(line, b"patched")
                    break
            with mock.patch.object(evenloop.StreamReader, "readuntil", lambda self, separator: readuntil(separator)):
                self.assertEqual(await evenloop.StreamReader().readline(), b"patched")

            class Mine(evenloop.StreamReader):
                async def read(self, n=-1):
                    return (await super().read(n)).upper()

                def feed_data(self, data):
                    super().feed_data(data + b"!")
            mine = Mine()
            mine.feed_data(b"abc")
            mine.feed_eof()
            self.assertEqual(await mine.read(2), b"AB")
            self.assertEqual(await mine.read(), b"C!")
        evenloop.run(asyncio.wait_for(program(), 20))

    def test_a_subclass_is_fed_as_it_wants(self):
        class Mine(evenloop.StreamReader):
            def feed_data(self, data):
                super().feed_data(data.upper())

        async def program():
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            for base in (asyncio.StreamReaderProtocol, evenloop.StreamReaderProtocol):
                for kind in (Mine, evenloop.StreamReader):
                    reader = kind()
                    transport, _ = await loop.create_connection(lambda: base(reader), sock=ours.dup())
                    theirs.send(b"abc")
                    self.assertEqual(await reader.readexactly(3), b"ABC" if kind is Mine else b"abc")
                    transport.abort()
            ours.close()
            theirs.close()
        evenloop.run(asyncio.wait_for(program(), 20))

    def test_data_after_an_end_that_somebody_fed(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            peer_reader.feed_eof()
            writer.write(b"abc")
            with self.assertRaisesRegex(AssertionError, "feed_data after feed_eof"):
                await peer_writer.wait_closed()
            self.assertEqual(self.told(), ["Fatal error: protocol.data_received() call failed."])
            await self.finish(writer)
        self.each(program)

    def test_feeding_that_fails_is_the_protocols_failure(self):
        async def program(streams):
            reader, writer, peer_reader, peer_writer = await self.pair(streams)
            view = memoryview(peer_reader._buffer)      # it cannot grow
            writer.write(b"abc")
            with self.assertRaises(BufferError):
                await peer_reader.read(1)
            self.assertIsInstance(self.problems[0]["exception"], BufferError)
            self.assertEqual(self.told(), ["Fatal error: protocol.data_received() call failed."])
            view.release()
            writer.close()
            for each in (writer, peer_writer):
                try:
                    await each.wait_closed()
                except (BufferError, ConnectionError):
                    pass
        self.each(program)


class Gone(unittest.TestCase):
    """What is over is freed, at once where asyncio's is."""

    def test_no_cycle_is_left(self):
        async def program():
            accepted = asyncio.get_running_loop().create_future()
            server = await evenloop.start_server(lambda *pair: accepted.set_result(pair), "127.0.0.1", 0)
            reader, writer = await evenloop.open_connection(*server.sockets[0].getsockname())
            peer_reader, peer_writer = await accepted
            accepted = None
            writer.write(b"abc\n")
            await writer.drain()
            task = asyncio.create_task(peer_reader.readline())
            await task
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(peer_reader.read(1), 0.001)
            peer_reader.feed_eof()
            writer.close()
            peer_writer.close()
            await writer.wait_closed()
            await peer_writer.wait_closed()
            server.close()
            seen = [weakref.ref(o) for o in (reader, writer, peer_reader, peer_writer, writer.transport, peer_writer.transport)]
            reader = writer = peer_reader = peer_writer = task = server = None
            await asyncio.sleep(0)
            self.assertEqual([ref() for ref in seen], [None] * len(seen))
        with no_collector():
            evenloop.run(program())

    def test_a_reader_that_is_dropped_drops_what_comes(self):
        async def program(streams):
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            reader = streams.StreamReader()
            protocol = streams.StreamReaderProtocol(reader)
            transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
            seen = weakref.ref(reader)
            reader._transport = None
            del reader
            self.assertIsNone(seen())
            theirs.send(b"abc")
            theirs.close()
            while protocol._transport is not None:
                await asyncio.sleep(0.001)
                transport.close()
        for streams in (asyncio, evenloop):
            evenloop.run(program(streams))

    def test_a_forgotten_loop_with_a_reader(self):
        loop = evenloop.Loop()

        async def begin():
            reader = evenloop.StreamReader()
            task = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0)
            return reader, task
        pair = loop.run_until_complete(begin())
        seen = weakref.ref(pair[0])
        pair[1]._log_destroy_pending = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            del loop, pair
            gc.collect()
        self.assertIsNone(seen())

    def test_memory(self):
        """Neither calls nor data are kept."""
        async def program():
            reader = evenloop.StreamReader()

            async def many(n):
                for _ in range(n):
                    reader.feed_data(b"x" * 100_000 + b"\n")
                    await reader.readexactly(50_000)
                    await reader.readline()
                    call = reader.read(1)
                    call.send(None)
                    call.close()
                    with self.assertRaises(ValueError):
                        await reader.readexactly(-1)
                gc.collect()
                return resident(), len(gc.get_objects())
            await many(200)
            before = await many(200)
            after = await many(2000)
            if not SANITIZED:
                self.assertLess(after[0] - before[0], 2 << 20)
            self.assertLess(after[1] - before[1], 100)
        evenloop.run(program())

    def test_without_memory(self):
        """Whichever allocation fails: MemoryError, and what was there is still there."""
        try:
            import _testcapi
        except ImportError:
            self.skipTest("no _testcapi")

        async def program():
            for n in range(1, 60):
                reader = evenloop.StreamReader()
                reader.feed_data(b"abc\ndef")
                failed = 0
                for step in (lambda: reader.feed_data(b"ghi"), lambda: reader.readline().send(None), lambda: reader._buffer,
                             lambda: reader.read(2).send(None), lambda: reader.readexactly(90).send(None)):
                    exc = None
                    _testcapi.set_nomemory(n, n + 1)
                    try:
                        step()
                    except (MemoryError, StopIteration) as caught:
                        exc = caught
                    finally:
                        _testcapi.remove_mem_hooks()
                    failed += isinstance(exc, MemoryError)
                    reader._waiter = None
                    exc = None
                rest = bytes(reader._buffer)
                self.assertTrue(b"abc\ndefghi".endswith(rest) or b"abc\ndef".endswith(rest), rest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evenloop.run(program())


if __name__ == "__main__":
    unittest.main()
