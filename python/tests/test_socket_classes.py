"""Sockets whose class sends and receives by itself, as a proxy does: its methods are called."""
import asyncio
import socket
import unittest
import unittest.mock

from support import LOOPS, LoopTest, Recorder, until
from tls_peer import Peer, client_context, needs_certificate, server_context


class Counted(socket.socket):
    """Notes what was called, and changes what comes and goes: so it cannot be passed by."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.calls = set()

    def send(self, data, *flags):
        self.calls.add("send")
        return super().send(data, *flags)

    def sendto(self, *args):
        self.calls.add("sendto")
        return super().sendto(*args)

    def recv(self, *args):
        self.calls.add("recv")
        return super().recv(*args)

    def recv_into(self, *args):
        self.calls.add("recv_into")
        return super().recv_into(*args)

    def recvfrom(self, *args):
        self.calls.add("recvfrom")
        return super().recvfrom(*args)

    def sendmsg(self, *args):
        self.calls.add("send")
        return super().sendmsg(*args)


class Classes(LoopTest):
    def pair(self, kind=socket.SOCK_STREAM):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        sock = Counted(fileno=ours.detach())
        for end in (sock, theirs):
            end.setblocking(False)
            self.addCleanup(end.close)
        return sock, theirs

    def test_transports(self):
        async def program(accepted):
            loop = asyncio.get_running_loop()
            sock, peer = self.pair()
            transport, protocol = await (loop.connect_accepted_socket(Recorder, sock) if accepted
                                         else loop.create_connection(Recorder, sock=sock))
            transport.write(b"ours")
            self.assertEqual(await loop.sock_recv(peer, 10), b"ours")
            peer.send(b"theirs")
            await protocol.until(6)
            self.assertEqual(sock.calls, {"send", "recv"})
            transport.close()
            await protocol.lost

        for accepted in (False, True):
            self.on_both(program, accepted)

    def test_a_buffered_protocol(self):
        class Buffered(asyncio.BufferedProtocol):
            def get_buffer(self, hint):
                self.buffer = bytearray(10)
                return self.buffer

            def buffer_updated(self, n):
                got.append(bytes(self.buffer[:n]))

        async def program():
            sock, peer = self.pair()
            got.clear()
            transport, _ = await asyncio.get_running_loop().create_connection(Buffered, sock=sock)
            peer.send(b"theirs")
            await until(lambda: got)
            self.assertIn("recv_into", sock.calls)
            transport.abort()
            await asyncio.sleep(0)

        got = []
        self.on_both(program)

    @needs_certificate
    def test_tls(self):
        async def program():
            loop = asyncio.get_running_loop()
            sock, theirs = self.pair()
            peer = Peer(theirs, server_context())
            (transport, protocol), _ = await asyncio.gather(
                loop.create_connection(Recorder, sock=sock, ssl=client_context(), server_hostname="localhost"),
                peer.handshake())
            sock.calls.clear()
            transport.write(b"ours")
            self.assertEqual(await peer.receive(4), b"ours")
            await peer.send(b"theirs")
            await protocol.until(6)
            self.assertIn("send", sock.calls)
            self.assertTrue(sock.calls & {"recv", "recv_into"})
            transport.abort()
            await protocol.lost

        self.on_both(program)

    def test_streams_and_an_instance_with_methods_of_its_own(self):
        async def program():
            class Plain(socket.socket):
                """Whose instances may have attributes."""

            ours, theirs = socket.socketpair()
            sock, called = Plain(fileno=ours.detach()), []
            sock.setblocking(False)
            sock.recv = lambda n: (called.append("recv"), socket.socket.recv(sock, n))[1]
            reader, writer = await asyncio.open_connection(sock=sock)
            with theirs:
                theirs.send(b"theirs")
                self.assertEqual(await reader.readexactly(6), b"theirs")
                self.assertIn("recv", called)
                writer.close()
                await writer.wait_closed()

        self.on_both(program)

    def test_calls_of_the_loop(self):
        async def program():
            loop = asyncio.get_running_loop()
            sock, peer = self.pair()
            receives = asyncio.create_task(loop.sock_recv(sock, 10))
            await asyncio.sleep(0)
            peer.send(b"theirs")
            self.assertEqual(await receives, b"theirs")
            await loop.sock_sendall(sock, b"ours")
            self.assertEqual(await loop.sock_recv(peer, 10), b"ours")
            self.assertEqual(sock.calls, {"send", "recv"})
            peer.send(b"more")
            self.assertEqual(await loop.sock_recv_into(sock, bytearray(10)), 4)
            self.assertIn("recv_into", sock.calls)

        self.on_both(program)

    def test_datagrams(self):
        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                got.append(data)

        async def program():
            loop = asyncio.get_running_loop()
            sock = Counted(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            transport, _ = await loop.create_datagram_endpoint(Datagrams, sock=sock)
            got.clear()
            transport.sendto(b"one", sock.getsockname())
            await until(lambda: got)
            self.assertEqual(sock.calls, {"sendto", "recvfrom"})
            transport.close()
            await asyncio.sleep(0)

        got = []
        self.on_both(program)

    def test_a_program_that_puts_something_else_in_the_place_of_the_class(self):
        """Its tests do that with a function, for some kinds of socket. Others are still sockets."""
        async def program():
            loop = asyncio.get_running_loop()
            with unittest.mock.patch("socket.socket", mocked):
                server = await loop.create_server(Recorder, "127.0.0.1", 0)
                transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
                transport.close()
                await protocol.lost
                server.close()

                ours, theirs = socket.socketpair()
                for end in (ours, theirs):
                    end.setblocking(False)
                await loop.sock_sendall(ours, b"sent")
                self.assertEqual(await loop.sock_recv(theirs, 10), b"sent")
                reader, protocol = await loop.connect_read_pipe(Recorder, theirs)
                ours.close()
                await protocol.lost

                transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
                transport.close()
                await asyncio.sleep(0)

        original = socket.socket

        def mocked(family=-1, type=-1, proto=-1, fileno=None):
            return original(family, type, proto, fileno)

        self.on_each(LOOPS, program)


if __name__ == "__main__":
    unittest.main()
