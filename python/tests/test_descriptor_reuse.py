"""A descriptor's number that is another file's by now: nothing that was begun under it before concerns the new one."""
import asyncio
import contextlib
import os
import socket
import sys
import unittest
from asyncio.subprocess import PIPE

from support import LoopTest, Recorder, turns
from tls_peer import client_context, needs_certificate, server_context


def pair(kind=socket.SOCK_STREAM):
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        end.setblocking(False)
    return ends


class Reuse(LoopTest):
    def again(self, number):
        """A pair, the first of which has this number, which is free."""
        ends = pair()
        if ends[0].fileno() != number:      # the lowest is taken first; it may be the other's
            ends = ends[::-1]
        self.assertEqual(ends[0].fileno(), number)
        return ends

    @contextlib.contextmanager
    def full(self):
        """The address of a listener that takes no more connections."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(listener.getsockname())
            yield listener.getsockname()

    def test_a_connect_that_was_cancelled(self):
        async def program(steps):
            loop = asyncio.get_running_loop()
            server = await asyncio.start_server(lambda reader, writer: writer.write(b"hello"), "127.0.0.1", 0)
            with self.full() as full:
                sock = socket.socket()
                sock.setblocking(False)
                task = asyncio.create_task(loop.sock_connect(sock, full))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                number = sock.fileno()
                sock.close()
                other = socket.socket()
                other.setblocking(False)
                self.assertEqual(other.fileno(), number)
                await asyncio.wait_for(loop.sock_connect(other, server.sockets[0].getsockname()), 5)
                reader, writer = await asyncio.open_connection(sock=other)
                self.assertEqual(await asyncio.wait_for(reader.readexactly(5), 5), b"hello")
                writer.close()
                await asyncio.wait([task])
                self.assertTrue(task.cancelled())
            server.close()

        for steps in range(3):
            self.on_both(program, steps)

    def test_a_call_on_a_socket_that_was_closed(self):
        async def program(call, steps):
            loop = asyncio.get_running_loop()
            here, there = pair()
            task = asyncio.create_task(call(loop, here))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            number = here.fileno()
            here.close()
            ours, theirs = self.again(number)
            with there, ours, theirs:
                receives = asyncio.create_task(loop.sock_recv(ours, 100))
                await turns(2)
                self.assertFalse(receives.done())
                theirs.send(b"mine")
                self.assertEqual(await asyncio.wait_for(receives, 5), b"mine")
                with self.assertRaises(BlockingIOError):
                    theirs.recv(10)
            await asyncio.wait([task])
            self.assertTrue(task.cancelled())

        for call in (lambda loop, sock: loop.sock_recv(sock, 100),
                     lambda loop, sock: loop.sock_sendall(sock, b"x" * 3_000_000),
                     lambda loop, sock: loop.sock_recv_into(sock, bytearray(10))):
            for steps in (1, 2, 4):
                self.on_both(program, call, steps)

    def test_a_reader_or_writer_that_was_forgotten(self):
        async def program(wait, direction):
            loop, called = asyncio.get_running_loop(), []
            here, there = pair()
            if direction != "writer":
                loop.add_reader(here, called.append, "old")
            if direction != "reader":
                loop.add_writer(here, called.append, "old")
            if wait and direction == "reader":
                await asyncio.sleep(0.001)
            number = here.fileno()
            here.close()
            ours, theirs = self.again(number)
            with there, ours, theirs:
                called.clear()
                came = asyncio.Event()
                loop.add_reader(number, lambda: (called.append(ours.recv(10)), came.set()))
                if direction != "reader":
                    loop.remove_writer(number)
                await turns(2)
                self.assertEqual(called, [])
                theirs.send(b"hi")
                await asyncio.wait_for(came.wait(), 5)
                self.assertEqual(called, [b"hi"])
                written = asyncio.Event()
                loop.add_writer(number, lambda: (loop.remove_writer(number), written.set()))
                await asyncio.wait_for(written.wait(), 5)
                loop.remove_reader(number)

        for wait in (False, True):
            for direction in ("reader", "writer", "both"):
                self.on_both(program, wait, direction)

    def test_a_transport_on_a_number_with_a_forgotten_reader(self):
        async def program(datagrams):
            loop = asyncio.get_running_loop()
            kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
            here, there = pair(kind)
            loop.add_reader(here, self.fail, "the old one's")
            await asyncio.sleep(0.001)
            number = here.fileno()
            here.close()
            ours, theirs = pair(kind)
            self.assertEqual(ours.fileno(), number)

            class Protocol(Recorder):
                def datagram_received(self, data, addr):
                    self.data_received(data)

            with there, theirs:
                if datagrams:
                    transport, protocol = await loop.create_datagram_endpoint(Protocol, sock=ours)
                else:
                    transport, protocol = await loop.create_connection(Protocol, sock=ours)
                theirs.send(b"hi")
                await asyncio.wait_for(protocol.until(2), 5)
                transport.sendto(b"ho") if datagrams else transport.write(b"ho")
                self.assertEqual(await asyncio.wait_for(loop.sock_recv(theirs, 10), 5), b"ho")
                transport.close()
                await protocol.lost

        for datagrams in (False, True):
            self.on_both(program, datagrams)


@unittest.skipIf(sys.version_info < (3, 12), "classes can be buffers since 3.12")
class Buffers(LoopTest):
    """What closes the transport, or the socket, while its bytes are taken: they go to nobody else."""

    @staticmethod
    def buffer(base, act):
        class Buffer(base):
            def __buffer__(self, flags):
                act()
                return memoryview(b"strange")

        return Buffer(b"strange")

    def nothing_came(self, strangers):
        for stranger in strangers:
            with self.assertRaises(BlockingIOError):
                stranger.recv(10)
        for stranger in strangers:
            stranger.close()

    async def written(self, transport, lost, number, write, end):
        for base in (bytes, bytearray):
            with contextlib.suppress(RuntimeError, BufferError, TypeError):
                write(self.buffer(base, getattr(transport, end)))
        strangers = []
        while number not in [stranger.fileno() for stranger in strangers]:      # who has it as soon as it is free
            self.assertLess(len(strangers), 500)
            await asyncio.sleep(0)
            strangers += pair()
        await asyncio.wait_for(lost, 5)
        await turns()
        self.nothing_came(strangers)

    def test_a_write_to_a_socket(self):
        async def program(end, tls):
            loop = asyncio.get_running_loop()
            ours, theirs = pair()
            with contextlib.ExitStack() as stack:
                if tls:
                    (transport, protocol), (peer, other) = await asyncio.gather(
                        loop.create_connection(Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"),
                        loop.connect_accepted_socket(Recorder, theirs, ssl=server_context()))
                    stack.callback(peer.abort)
                else:
                    stack.enter_context(theirs)
                    transport, protocol = await loop.create_connection(Recorder, sock=ours)
                transport.write(b"first")
                await self.written(transport, protocol.lost, ours.fileno(), transport.write, end)
                if tls:
                    await other.until(5)
                    self.assertTrue(other.data.startswith(b"first"))
                else:
                    self.assertTrue(theirs.recv(100).startswith(b"first"))

        for end in ("close", "abort"):
            self.on_both(program, end, False)
            needs_certificate(self.on_both)(program, end, True)

    def test_a_write_to_a_pipe(self):
        async def program(end):
            read, write = os.pipe()
            file = os.fdopen(write, "wb", 0)
            transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Recorder, file)
            with os.fdopen(read, "rb", 0) as reader:
                transport.write(b"first")
                await self.written(transport, protocol.lost, write, transport.write, end)
                self.assertTrue(reader.read(100).startswith(b"first"))

        for end in ("close", "abort"):
            self.on_both(program, end)

    def test_a_childs_standard_input(self):
        async def program(end):
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            pipe = process.stdin.transport
            await self.written(pipe, process.stdin.wait_closed(), pipe.get_extra_info("pipe").fileno(), pipe.write, end)
            self.assertIn(await process.stdout.read(), (b"", b"strange"))
            self.assertEqual(await process.wait(), 0)

        for end in ("close", "abort"):
            self.on_both(program, end)

    def test_a_datagram(self):
        async def program(end):
            loop = asyncio.get_running_loop()

            class Datagrams(asyncio.DatagramProtocol):
                def __init__(self):
                    self.lost = loop.create_future()

                def connection_lost(self, exc):
                    self.lost.set_result(exc)

            ours, theirs = pair(socket.SOCK_DGRAM)
            with theirs:
                transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=ours)
                await self.written(transport, protocol.lost, ours.fileno(), transport.sendto, end)

        for end in ("close", "abort"):
            self.on_both(program, end)

    def test_sock_sendall(self):
        async def program():
            loop, taken = asyncio.get_running_loop(), []
            ours, theirs = pair()
            number = ours.fileno()

            def act():
                if not taken:
                    ours.close()
                    taken.append(pair())

            with theirs:
                with contextlib.suppress(OSError, ValueError):
                    await asyncio.wait_for(loop.sock_sendall(ours, self.buffer(bytes, act)), 5)
                await turns()
                self.assertIn(number, [end.fileno() for end in taken[0]])
                self.nothing_came(taken[0])

        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
