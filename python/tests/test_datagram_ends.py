"""Datagram endpoints: to whom they send, what waits, and what becomes of them where the protocol ends them."""
import asyncio
import contextlib
import os
import socket
import tempfile
import unittest

from support import LoopTest, until


class Protocol(asyncio.DatagramProtocol):
    def __init__(self):
        self.got, self.errors, self.events = [], [], []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.append((data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


class Datagrams(LoopTest):
    @contextlib.asynccontextmanager
    async def endpoint(self, factory=Protocol, **options):
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            factory, **(options or {"local_addr": ("127.0.0.1", 0)}))
        try:
            yield transport, protocol
        finally:
            transport.abort()
            await asyncio.wait_for(protocol.lost, 5)

    def pair(self, small=False):
        """Of sockets without names."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in ends:
            end.setblocking(False)
            self.addCleanup(end.close)
        if small:
            ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return ends

    def drain(self, sock, got):
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(sock.recv(1000))

    def test_a_socket_that_is_connected_already(self):
        async def program():
            async with self.endpoint() as (there, other), self.endpoint() as (third, stranger):
                peer = there.get_extra_info("sockname")
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sock.connect(peer)
                async with self.endpoint(sock=sock) as (here, one):
                    here.sendto(b"1")
                    here.sendto(b"2", None)
                    here.sendto(b"3", peer)
                    with self.assertRaisesRegex(ValueError, "Invalid address"):
                        here.sendto(b"4", third.get_extra_info("sockname"))
                    here.sendto(b"5")
                    await until(lambda: len(other.got) == 4)
                    self.assertEqual([data for data, _ in other.got], [b"1", b"2", b"3", b"5"])
                    there.sendto(b"back", here.get_extra_info("sockname"))
                    await until(lambda: one.got)
                    self.assertEqual((one.got, one.errors, stranger.got), ([(b"back", peer)], [], []))

        self.on_both(program)

    def test_a_unix_socket_that_is_connected_already(self):
        async def program():
            with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                path = os.path.join(folder, "peer")
                peer.bind(path)
                peer.setblocking(False)
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                sock.connect(path)
                async with self.endpoint(sock=sock) as (here, one):
                    for address in (None, path, os.fsencode(path)):
                        here.sendto(b"x", address)
                    with self.assertRaises(ValueError):
                        here.sendto(b"x", path + "2")
                    got = []
                    self.drain(peer, got)
                    self.assertEqual(got, [b"x"] * 3)

        self.on_both(program)

    def test_a_peer_without_a_name(self):
        async def program():
            ours, theirs = self.pair()
            async with self.endpoint(sock=ours) as (here, one):
                for data in (b"one", b"", b"two"):
                    here.sendto(data)
                got = []
                self.drain(theirs, got)
                self.assertEqual(got, [b"one", b"", b"two"])
                theirs.send(b"back")
                await until(lambda: one.got)
                self.assertEqual(one.got[0][0], b"back")
                self.assertFalse(here.is_closing())

        self.on_both(program)

    def test_an_empty_one_is_sent(self):
        async def program(connected):
            async with self.endpoint() as (there, other):
                name = there.get_extra_info("sockname")
                async with self.endpoint(**{"remote_addr": name} if connected else {}) as (here, _):
                    for data in (b"", b"behind"):
                        here.sendto(data, None if connected else name)
                    await until(lambda: len(other.got) == 2)
                    self.assertEqual([data for data, _ in other.got], [b"", b"behind"])

        for connected in (False, True):
            self.on_both(program, connected)

    def test_the_size_of_what_waits_returns_to_nothing(self):
        async def program():
            ours, theirs = self.pair(small=True)
            async with self.endpoint(sock=ours) as (here, one):
                here.set_write_buffer_limits(2000, 500)
                got, sent = [], 0
                for _ in range(5):
                    while not here.get_write_buffer_size():
                        here.sendto(b"%07d" % sent + b"." * 93)
                        sent += 1
                    for data in (b"%07d" % n for n in range(sent, sent + 40)):
                        here.sendto(data if sent % 2 else bytearray(data))
                    here.sendto(b"")
                    sent += 40
                    self.assertGreater(here.get_write_buffer_size(), 0)
                    while here.get_write_buffer_size():
                        self.drain(theirs, got)
                        await asyncio.sleep(0)
                    self.assertEqual(here.get_write_buffer_size(), 0)
                await until(lambda: self.drain(theirs, got) or len(got) == sent + 5)
                self.assertEqual([int(data[:7]) for data in got if data], list(range(sent)))
                self.assertEqual(one.events, ["pause", "resume"] * (len(one.events) // 2))
                while not here.get_write_buffer_size():
                    here.sendto(b"x" * 100)
                here.abort()
                self.assertEqual(here.get_write_buffer_size(), 0)

        self.on_both(program)

    def test_an_end_in_error_received(self):
        class Ends(Protocol):
            how = "abort"

            def error_received(self, exc):
                super().error_received(exc)
                self.transport.sendto(b"once more") if len(self.errors) < 3 else None
                getattr(self.transport, self.how)()

        async def program(how):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
                nobody.bind(("127.0.0.1", 0))
                name = nobody.getsockname()
            async with self.endpoint(Ends, remote_addr=name) as (here, one):
                one.how = how
                for _ in range(5):
                    here.sendto(b"x")       # the second finds that nobody is there
                self.assertIsNone(await asyncio.wait_for(one.lost, 5))
                self.assertIsInstance(one.errors[0], ConnectionRefusedError)

        for how in ("abort", "close"):
            self.on_both(program, how)

    def test_an_abort_while_what_waited_is_sent(self):
        """In error_received() of one that cannot be sent, and in resume_writing(): the rest is dropped in silence."""
        class Ends(Protocol):
            def error_received(self, exc):
                super().error_received(exc)
                self.transport.abort()

            def resume_writing(self):
                super().resume_writing()
                self.transport.abort()

        async def program(where):
            ours, theirs = self.pair(small=True)
            async with self.endpoint(Ends, sock=ours) as (here, one):
                if where == "resume_writing":
                    here.set_write_buffer_limits(1000, 900)
                else:
                    here.set_write_buffer_limits(1 << 20)
                while here.get_write_buffer_size() < 3000:
                    here.sendto(b"x" * 100)
                if where == "error_received":
                    theirs.close()
                while not one.lost.done():
                    if theirs.fileno() >= 0:
                        self.drain(theirs, [])
                    await asyncio.sleep(0)
                self.assertIsNone(one.lost.result())
                self.assertEqual(len(one.errors), where == "error_received")
                self.assertEqual(here.get_write_buffer_size(), 0)

        for where in ("resume_writing", "error_received"):
            self.on_both(program, where)


if __name__ == "__main__":
    unittest.main()
