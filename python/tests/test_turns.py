"""What is written arrives as soon as on asyncio's loop, counted in turns: programs let things settle with sleep(0)."""
import asyncio
import os
import socket
import unittest

from support import Recorder, until
from tls_peer import TLS, client_context, server_context


class Turns(TLS):
    async def turns(self, write, protocol, most):
        """Until each of ten messages is there."""
        for _ in range(10):
            protocol.pieces.clear()
            write(b"a message")
            turns = 0
            while protocol.data != b"a message":
                await asyncio.sleep(0)
                turns += 1
                self.assertLessEqual(turns, most)

    def test_sockets(self):
        async def program():
            loop = asyncio.get_running_loop()
            here, there = socket.socketpair()
            transport, protocol = await loop.create_connection(Recorder, sock=here)
            peer, other = await loop.create_connection(Recorder, sock=there)
            await self.turns(transport.write, other, 2)
            await self.turns(peer.write, protocol, 2)
            transport.close()
            peer.close()
            await asyncio.gather(protocol.lost, other.lost)
        self.on_both(program)

    def test_pipes(self):
        async def program():
            loop = asyncio.get_running_loop()
            read, write = os.pipe()
            peer, protocol = await loop.connect_read_pipe(Recorder, os.fdopen(read, "rb", 0))
            transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write, "wb", 0))
            await self.turns(transport.write, protocol, 2)
            transport.close()
            await protocol.lost
        self.on_both(program)

    def test_tls(self):
        async def program():
            loop = asyncio.get_running_loop()
            here, there = socket.socketpair()
            (transport, protocol), (peer, other) = await asyncio.gather(
                loop.create_connection(Recorder, sock=here, ssl=client_context(), server_hostname="localhost"),
                loop.connect_accepted_socket(Recorder, there, ssl=server_context()))
            await asyncio.sleep(0.01)
            await self.turns(transport.write, other, 2)
            await self.turns(peer.write, protocol, 2)
            transport.close()
            await asyncio.gather(protocol.lost, other.lost)
        self.on_both(program)

    def test_what_the_kernel_took_is_out_of_the_buffer_in_the_next_turn(self):
        async def program():
            here, there = socket.socketpair()
            transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=here)
            for _ in range(10):
                transport.write(b"x" * 1000)
                self.assertEqual(transport.get_write_buffer_size(), 1000)
                await asyncio.sleep(0)
                self.assertEqual(transport.get_write_buffer_size(), 0)
            self.assertEqual(len(there.recv(100_000)), 10_000)
            transport.set_write_buffer_limits(1 << 30)
            transport.write(bytes(1 << 22))             # more than it takes
            await until(lambda: transport.get_write_buffer_size() < 1 << 22)
            before = transport.get_write_buffer_size()
            self.assertGreater(before, 0)
            there.settimeout(10)
            left = 1 << 22
            while left:                                 # and all of it is counted
                left -= len(await asyncio.to_thread(there.recv, 1 << 20))
            await until(lambda: transport.get_write_buffer_size() == 0)
            transport.abort()
            there.close()
            await protocol.lost
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
