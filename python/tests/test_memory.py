"""What an idle connection takes of Python's memory, once it has spoken."""
import asyncio
import contextlib
import gc
import socket
import sys
import tracemalloc
import unittest

import evenloop
from support import SANITIZED, LoopTest, turns

COUNT = 300


class Echo(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def streams_echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@unittest.skipIf(SANITIZED or sys.version_info[:2] != (3, 11), "the figures are those of one version's objects")
class Memory(LoopTest):
    async def idle(self, server, loop):
        """Bytes a connection, of what the server's end of it has."""
        address, clients = server.sockets[0].getsockname(), []

        async def talk(n):
            for _ in range(n):
                client = socket.socket()
                clients.append(client)
                client.connect(address)     # a server need not accept it for that
                client.setblocking(False)
                client.send(b"x")
            for client in clients[-n:]:
                while True:
                    with contextlib.suppress(BlockingIOError):
                        self.assertEqual(client.recv(2), b"x")
                        break
                    await asyncio.sleep(0)
            await turns()
            gc.collect()

        await talk(40)
        tracemalloc.start()
        try:
            await talk(COUNT)
            traced, _ = tracemalloc.get_traced_memory()
            here = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)])
        finally:
            tracemalloc.stop()
        for transport in list(loop._transports.values()):
            transport.abort()
        for client in clients:
            client.close()
        server.close()
        await turns()
        return (traced - sum(trace.size for trace in here.traces)) / COUNT

    def check(self, serve, most):
        async def program():
            loop = asyncio.get_running_loop()
            self.assertLess(await self.idle(await serve(loop), loop), most)
        self.on_both(program)

    def test_of_a_protocol(self):
        self.check(lambda loop: loop.create_server(Echo, "127.0.0.1", 0, backlog=500), 1450)

    def test_of_streams(self):
        self.check(lambda loop: asyncio.start_server(streams_echo, "127.0.0.1", 0, backlog=500), 4250)

    def test_of_our_streams(self):
        self.check(lambda loop: evenloop.start_server(streams_echo, "127.0.0.1", 0, backlog=500), 4850)


if __name__ == "__main__":
    unittest.main()
