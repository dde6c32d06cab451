"""sendfile() over transports that end, or whose caller is cancelled, in the middle; and where it begins."""
import asyncio
import contextlib
import io
import socket
import tempfile
import unittest

from support import SANITIZED, LoopTest, Recorder, turns
from tls_peer import client_context, needs_certificate, server_context

LARGE = 64 << 20        # more than any buffers hold


class Sendfile(LoopTest):
    @contextlib.asynccontextmanager
    async def connected(self, tls=False, unix=False):
        """(transport, protocol, the peer's protocol)"""
        loop, accepted = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        class Peer(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.set_result(self)

            def data_received(self, data):
                super().data_received(data)
                if self.slow:
                    self.transport.pause_reading()

            slow = False

        with tempfile.TemporaryDirectory() as folder:
            secure = dict(ssl=client_context(), server_hostname="localhost", ssl_shutdown_timeout=0.2) if tls else {}
            context = server_context() if tls else None
            if unix:
                server = await loop.create_unix_server(Peer, folder + "/socket", ssl=context)
                transport, protocol = await loop.create_unix_connection(Recorder, folder + "/socket", **secure)
            else:
                server = await loop.create_server(Peer, "127.0.0.1", 0, ssl=context)
                transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname(), **secure)
            peer = await accepted
            yield transport, protocol, peer
            for one in (protocol, peer):
                if not one.lost.done():
                    one.transport.abort()
            await asyncio.gather(protocol.lost, peer.lost)
            server.close()

    @contextlib.contextmanager
    def file(self, data=None, size=LARGE):
        with tempfile.TemporaryFile() as file:
            if data is None:
                file.truncate(size)
            else:
                file.write(data)
                file.flush()
            yield file

    @contextlib.asynccontextmanager
    async def in_the_middle(self, transport, peer):
        """A task that sends a large file, of which much is left."""
        with self.file() as file:
            peer.slow = True
            task = asyncio.create_task(asyncio.get_running_loop().sendfile(transport, file))
            await peer.until(1)
            await turns()
            peer.slow = False
            self.assertFalse(task.done())
            yield task

    def test_an_end_of_the_transport_ends_it(self):
        async def program(end, unix):
            async with self.connected(unix=unix) as (transport, protocol, peer):
                async with self.in_the_middle(transport, peer) as task:
                    getattr(transport, end)()
                    with self.assertRaises(ConnectionError):
                        await asyncio.wait_for(task, 5)
                self.assertIsNone(await asyncio.wait_for(protocol.lost, 5))
                peer.transport.resume_reading()
                await asyncio.wait_for(peer.lost, 5)

        for end in ("abort", "close"):
            for unix in (False, True):
                self.on_both(program, end, unix)

    @needs_certificate
    def test_an_abort_ends_it_over_tls(self):
        async def program():
            async with self.connected(tls=True) as (transport, protocol, peer):
                async with self.in_the_middle(transport, peer) as task:
                    transport.abort()
                    with self.assertRaises((ConnectionError, RuntimeError)):
                        await asyncio.wait_for(task, 5)
                await asyncio.wait_for(protocol.lost, 5)

        self.on_both(program)

    def test_an_end_of_the_peer_ends_it(self):
        async def program(tls):
            async with self.connected(tls=tls) as (transport, protocol, peer):
                async with self.in_the_middle(transport, peer) as task:
                    peer.transport.abort()
                    with self.assertRaises(OSError):
                        await asyncio.wait_for(task, 5)
                await asyncio.wait_for(protocol.lost, 5)

        self.on_both(program, False)
        if not SANITIZED:      # asyncio's own code, and a matter of when the end is seen
            needs_certificate(self.on_both)(program, True)

    def test_a_transport_goes_on_after_a_cancel(self):
        async def program(tls, unix):
            async with self.connected(tls, unix) as (transport, protocol, peer):
                async with self.in_the_middle(transport, peer) as task:
                    task.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await asyncio.wait_for(task, 5)
                self.assertTrue(transport.is_reading())
                transport.write(b"goes on")
                peer.transport.resume_reading()
                while not peer.pieces or not peer.pieces[-1].endswith(b"goes on"):
                    peer.changed.clear()
                    await peer.changed.wait()
                peer.transport.write(b"both ways")
                await protocol.until(9)
                with self.file(b"again") as file:
                    self.assertEqual(await asyncio.get_running_loop().sendfile(transport, file), 5)

        for unix in (False, True):
            self.on_both(program, False, unix)
            needs_certificate(self.on_both)(program, True, unix)

    def test_it_begins_where_it_is_told(self):
        """At its beginning, if nothing is said: not where the file stands."""
        data = bytes(range(256)) * 400

        async def program(tls):
            async with self.connected(tls) as (transport, protocol, peer):
                loop, sent = asyncio.get_running_loop(), 0
                with self.file(data) as file:       # which stands at its end
                    for offset, count in ((0, None), (0, 5), (100, 50), (len(data), None), (len(data) - 3, 100)):
                        want = data[offset:] if count is None else data[offset:offset + count]
                        self.assertEqual(await loop.sendfile(transport, file, offset, count), len(want))
                        sent += len(want)
                        await peer.until(sent)
                        self.assertTrue(peer.data.endswith(want))
                        self.assertTrue(not want or file.tell() == offset + len(want))
                transport.write(b"tail")
                await peer.until(sent + 4)
                self.assertTrue(peer.data.endswith(b"tail"))

        self.on_both(program, False)
        needs_certificate(self.on_both)(program, True)

    def test_a_socket_begins_where_it_is_told(self):
        async def program(fallback):
            loop = asyncio.get_running_loop()
            here, there = socket.socketpair()
            with here, there, self.file(b"0123456789") as file:
                here.setblocking(False)
                there.setblocking(False)
                source = io.BytesIO(b"0123456789") if fallback else file
                source.seek(7)
                self.assertEqual(await loop.sock_sendfile(here, source), 10)
                self.assertEqual(await loop.sock_recv(there, 100), b"0123456789")
                self.assertEqual(await loop.sock_sendfile(here, source, 3, 4), 4)
                self.assertEqual(await loop.sock_recv(there, 100), b"3456")

        for fallback in (False, True):
            self.on_both(program, fallback)


if __name__ == "__main__":
    unittest.main()
