"""The socket transport where it could differ from asyncio's."""
import asyncio
import gc
import os
import signal
import socket
import threading
import unittest
import weakref

import evenloop
from support import LoopTest, Recorder, until


class Transport(LoopTest):
    async def connected(self, factory=Recorder):
        ours, theirs = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        return transport, protocol, theirs

    def test_a_mark_beyond_all_numbers_pauses_nobody(self):
        class Paused(Recorder):
            def pause_writing(self):
                self.events.append("paused")

        async def program():
            transport, protocol, peer = await self.connected(Paused)
            transport.set_write_buffer_limits(high=10**400)
            transport.write(bytes(4 << 20))
            self.assertGreater(transport.get_write_buffer_size(), 0)
            self.assertEqual(protocol.events, [])
            transport.abort()
            peer.close()
            await protocol.lost
        self.on_both(program)

    def test_paused_and_resumed_while_a_large_read_is_delivered(self):
        class Restless(Recorder):
            def data_received(self, data):
                self.transport.pause_reading()
                self.transport.resume_reading()
                super().data_received(data)

        async def program():
            transport, protocol, peer = await self.connected(Restless)
            data = os.urandom(4 << 20)
            await asyncio.get_running_loop().sock_sendall(peer, data)
            await protocol.until(len(data))
            self.assertEqual(protocol.data, data)
            transport.close()
            await protocol.lost
        self.on_both(program)

    def test_a_buffered_protocol_that_pauses_gets_the_rest_later(self):
        class Small(asyncio.BufferedProtocol):
            def __init__(self):
                self.buffer, self.got = bytearray(4), []

            def connection_made(self, transport):
                self.transport = transport

            def get_buffer(self, hint):
                return self.buffer

            def buffer_updated(self, n):
                self.got.append(bytes(self.buffer[:n]))
                self.transport.pause_reading()

        async def program():
            transport, protocol, peer = await self.connected(Small)
            peer.send(b"one two three")
            for want in (1, 2, 3, 4):
                await until(lambda: len(protocol.got) >= want)
                await asyncio.sleep(0.005)
                self.assertEqual(len(protocol.got), want)
                if want == 2:           # what is left is another protocol's
                    plain = Recorder()
                    transport.set_protocol(plain)
                    transport.resume_reading()
                    await plain.until(5)
                    self.assertEqual(plain.data, b"three")
                    break
                transport.resume_reading()
            transport.abort()
            await plain.lost
        self.on_both(program)

    def test_much_comes_into_the_buffers_of_a_protocol_that_rests(self):
        class Resting(asyncio.BufferedProtocol):
            def __init__(self):
                self.buffer, self.data, self.calls = bytearray(100_000), bytearray(), 0

            def connection_made(self, transport):
                self.transport = transport

            def get_buffer(self, hint):
                return memoryview(self.buffer)[:1 + self.calls * 7919 % len(self.buffer)]

            def buffer_updated(self, n):
                self.data += self.buffer[:n]
                self.calls += 1
                if self.calls % 3 == 0:
                    self.transport.pause_reading()
                    asyncio.get_running_loop().call_soon(self.transport.resume_reading)

        async def program():
            transport, protocol, peer = await self.connected(Resting)
            data = os.urandom(4 << 20)
            await asyncio.get_running_loop().sock_sendall(peer, data)
            await until(lambda: len(protocol.data) >= len(data))
            self.assertEqual(protocol.data, data)
            transport.abort()
            await asyncio.sleep(0)
        self.on_both(program)

    def test_what_goes_out_during_the_turn_resumes_the_protocol(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.set_write_buffer_limits(high=1000.0)
            size = 0
            while protocol.events != ["pause"]:
                transport.write(b"x" * 10000)
                size += 10000
            got = 0
            while got < size - transport.get_write_buffer_size():
                got += len(peer.recv(1 << 20))
            transport.write(b"y" * 10000)       # the same turn: all of it finds room now
            await until(lambda: protocol.events == ["pause", "resume"])
            transport.close()
            await protocol.lost
        self.on_both(program)

    def test_a_protocol_that_is_paused_goes_on_before_the_end(self):
        class More(Recorder):
            def resume_writing(self):
                super().resume_writing()
                self.transport.write(b"the end")

        async def program():
            transport, protocol, peer = await self.connected(More)
            transport.set_write_buffer_limits(high=1000)
            size = 0
            while protocol.events != ["pause"]:
                transport.write(b"x" * 10000)
                size += 10000
            got = bytearray()
            while len(got) < size - transport.get_write_buffer_size():
                got += peer.recv(1 << 20)
            transport.close()                   # the same turn: all of it finds room now
            while True:
                try:
                    part = peer.recv(1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0)
                    continue
                if not part:
                    break
                got += part
            await protocol.lost
            self.assertEqual(protocol.events, ["pause", "resume"])
            self.assertEqual(len(got), size + len(b"the end"))
            self.assertTrue(got.endswith(b"the end"))
        self.on_both(program)

    def test_what_was_written_goes_out_before_an_abort(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.write(b"bye")
            transport.abort()
            await protocol.lost
            self.assertEqual(peer.recv(10), b"bye")
        self.on_both(program)

    def test_what_was_written_goes_out_before_the_socket_is_shut_down(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.write(b"last words")
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            peer.setblocking(True)
            self.assertEqual(peer.recv(100), b"last words")
            self.assertEqual(peer.recv(100), b"")
            transport.abort()
            await protocol.lost
        self.on_both(program)

    def test_it_is_what_asyncio_has(self):
        async def program():
            transport, protocol, peer = await self.connected()
            self.assertIsInstance(transport, asyncio.Transport)
            self.assertIsInstance(transport, asyncio.transports._FlowControlMixin)
            self.assertIs(transport.get_protocol(), protocol)
            self.assertTrue(transport.is_reading())
            transport.abort()
            self.assertTrue(transport.is_closing())
            await protocol.lost
            self.assertEqual(transport.get_write_buffer_size(), 0)
            transport.write(b"nobody reads this")
            with self.assertRaises(TypeError):
                transport.write("text")
        self.on_both(program)

    def test_one_that_is_forgotten_is_collected_with_its_cycles(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.itself = transport
            gone = weakref.ref(transport)
            transport.abort()
            await protocol.lost
            del transport, protocol
            gc.collect()
            self.assertIsNone(gone())
        self.on_both(program)

    def test_a_connection_lost_that_fails(self):
        class Bad(Recorder):
            def connection_lost(self, exc):
                super().connection_lost(exc)
                raise LookupError("bad")

        async def program():
            transport, protocol, peer = await self.connected(Bad)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            transport.write(b"x" * 4_000_000)
            transport.close()
            while peer.fileno() >= 0 and not protocol.lost.done():
                try:
                    peer.recv(1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            self.assertIsInstance(self.told("exception")[0], LookupError)
        self.on_both(program)

    def test_a_write_after_the_loop_was_closed(self):
        for backend in ("uring", "epoll"):
            loop = evenloop.Loop(backend=backend)
            ours, theirs = socket.socketpair()

            async def begin():
                return await loop.create_connection(Recorder, sock=ours)

            transport, _ = loop.run_until_complete(begin())
            loop.close()
            with self.assertRaisesRegex(RuntimeError, "closed"):
                transport.write(b"x")
            theirs.close()
            ours.close()

    def test_a_write_before_the_run_ends_goes_out_and_another_thread_may_go_on(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                loop = evenloop.Loop(backend=backend)
                ours, theirs = socket.socketpair()
                theirs.settimeout(10)

                async def begin():
                    transport, protocol = await loop.create_connection(Recorder, sock=ours)
                    transport.write(b"last words")
                    return transport, protocol

                transport, protocol = loop.run_until_complete(begin())
                self.assertEqual(theirs.recv(100), b"last words")
                transport.close()
                thread = threading.Thread(target=loop.run_until_complete, args=(protocol.lost,))
                thread.start()
                thread.join()
                self.assertTrue(protocol.lost.done())
                loop.close()
                theirs.close()

    def test_a_signal_between_two_runs_is_for_the_next_one(self):
        loop, got = evenloop.Loop(), []

        async def begin():
            loop.add_signal_handler(signal.SIGUSR1, got.append, 1)

        loop.run_until_complete(begin())
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0.01))
        self.assertEqual(got, [1])
        loop.close()
        self.assertEqual(signal.set_wakeup_fd(-1), -1)


if __name__ == "__main__":
    unittest.main()
