"""The context that protocols are called in: since CPython 3.15 a connection's own, and a copy of the server's."""
import asyncio
import contextvars
import os
import socket
import sys
import tempfile
import unittest

from support import LoopTest, until
from tls_peer import Peer, client_context, needs_certificate, server_context

variable = contextvars.ContextVar("variable", default=None)


class Protocol(asyncio.Protocol):
    """Says what it sees in each of its methods, and changes it in the first."""

    def __init__(self, seen, size):
        self.seen, self.size = seen, size

    def note(self):
        self.seen.append(variable.get())

    def connection_made(self, transport):
        self.transport = transport
        self.note()
        variable.set("the connection's")

    def data_received(self, data):
        self.note()
        if self.size > 100:
            self.transport.set_write_buffer_limits(100, 0)
        self.transport.write(b"x" * self.size)
        if self.size <= 100:
            self.transport.close()

    def pause_writing(self):
        self.note()

    def resume_writing(self):
        self.note()
        self.transport.close()

    def connection_lost(self, exc):
        self.note()


@unittest.skipIf(sys.version_info < (3, 15), "connections have contexts since 3.15")
class Contexts(LoopTest):
    def test_of_a_servers_connections(self):
        async def program(unix, tls):
            loop, connections, size = asyncio.get_running_loop(), [], 10 if tls else 20_000_000
            variable.set("the server's")

            def factory():
                self.assertEqual(variable.get(), "the server's")
                connections.append([])
                return Protocol(connections[-1], size)

            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "socket")
                options = {"ssl": server_context(), "ssl_shutdown_timeout": 0.2} if tls else {}
                server = await (loop.create_unix_server(factory, path, **options) if unix
                                else loop.create_server(factory, "127.0.0.1", 0, **options))
                variable.set("changed since")
                options = {"ssl": client_context(), "server_hostname": "localhost"} if tls else {}
                for _ in range(2):
                    reader, writer = await (asyncio.open_unix_connection(path, **options) if unix else
                                            asyncio.open_connection(*server.sockets[0].getsockname(), **options))
                    writer.write(b"x")
                    self.assertEqual(len(await asyncio.wait_for(reader.read(), 10)), size)
                    writer.close()
                    await writer.wait_closed()
                calls = 2 if tls else 4     # with a pause
                await until(lambda: all(len(seen) > calls for seen in connections))
                server.close()
            self.assertEqual(connections, [["the server's"] + ["the connection's"] * calls] * 2)

        for unix in (False, True):
            self.on_both(program, unix, False)
            needs_certificate(self.on_both)(program, unix, True)

    def test_of_a_clients_connection(self):
        async def program(tls):
            loop, seen, size = asyncio.get_running_loop(), [], 10 if tls else 20_000_000

            async def serve(reader, writer):
                writer.write(b"x")
                await reader.readexactly(size)
                writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context() if tls else None)
            variable.set("the client's")
            options = {"ssl": client_context(), "server_hostname": "localhost"} if tls else {}
            await loop.create_connection(lambda: Protocol(seen, size), *server.sockets[0].getsockname(), **options)
            variable.set("changed since")
            await until(lambda: len(seen) == (3 if tls else 5))
            self.assertEqual(seen, ["the client's"] + ["the connection's"] * (len(seen) - 1))
            self.assertEqual(variable.get(), "changed since")
            server.close()

        self.on_both(program, False)
        needs_certificate(self.on_both)(program, True)

    def test_of_start_tls_and_sendfile(self):
        async def program():
            loop, seen = asyncio.get_running_loop(), []
            ours, theirs = socket.socketpair()
            variable.set("the client's")
            transport, protocol = await loop.create_connection(lambda: Protocol(seen, 10), sock=ours)
            peer = Peer(theirs, server_context())
            with tempfile.TemporaryFile() as file:
                file.write(b"from a file")
                file.flush()
                self.assertEqual(await loop.sendfile(transport, file), 11)
            self.assertEqual(await loop.sock_recv(theirs, 100), b"from a file")
            transport, _ = await asyncio.gather(
                loop.start_tls(transport, protocol, client_context(), server_hostname="localhost"),
                peer.handshake())
            protocol.transport = transport
            await peer.send(b"x")
            self.assertEqual(await peer.receive(10), b"x" * 10)
            theirs.close()
            await until(lambda: len(seen) == 3)
            self.assertEqual(seen, ["the client's"] + ["the connection's"] * 2)

        needs_certificate(self.on_both)(program)


if __name__ == "__main__":
    unittest.main()
