"""TLS, where it could differ from asyncio's: records cut anywhere, what is written in one turn, flow control."""
import asyncio
import os
import ssl
import unittest

from support import Recorder, until
from tls_peer import TLS, VERSIONS, client_context, server_context


class Data(TLS):
    def test_echo_and_what_is_told_about_the_connection(self):
        class Echo(Recorder):
            def data_received(self, data):
                self.transport.write(data)

        async def program(version):
            server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=server_context(version))
            address = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*address, ssl=client_context(), server_hostname="localhost")
            for size in (1, 1024, 16384, 16385, 100_000):
                data = os.urandom(size)
                writer.write(data)
                self.assertEqual(await reader.readexactly(size), data)
            tls = writer.get_extra_info("ssl_object")
            self.assertIsInstance(tls, ssl.SSLObject)
            self.assertEqual(tls.version(), "TLSv" + version)
            self.assertEqual(writer.get_extra_info("cipher"), tls.cipher())
            self.assertEqual(writer.get_extra_info("peercert")["subject"], ((("commonName", "localhost"),),))
            self.assertIsNone(writer.get_extra_info("compression"))
            self.assertEqual(writer.get_extra_info("peername"), address)
            self.assertIsInstance(writer.get_extra_info("sslcontext"), ssl.SSLContext)
            self.assertIsInstance(writer.transport, asyncio.Transport)
            writer.close()
            await writer.wait_closed()
            server.close()
        for version in VERSIONS:
            self.on_both(program, version)

    def test_ten_megabytes_each_way_at_once(self):
        async def program(version):
            data = os.urandom(1 << 20) * 10

            async def exchange(reader, writer):
                async def send():
                    for at in range(0, len(data), 1_000_003):
                        writer.write(data[at:at + 1_000_003])
                        await writer.drain()
                _, got = await asyncio.gather(send(), reader.readexactly(len(data)))
                self.assertTrue(got == data)
                writer.close()
                await writer.wait_closed()
                done.append(True)

            done = []
            server = await asyncio.start_server(exchange, "127.0.0.1", 0, ssl=server_context(version))
            await exchange(*await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client_context(),
                                                          server_hostname="localhost"))
            await until(lambda: len(done) >= 2)
            server.close()
        for version in VERSIONS:
            self.on_both(program, version)

    def test_one_large_write(self):
        async def program():
            transport, protocol, peer = await self.connected()
            data = os.urandom(10 << 20)
            transport.write(data)
            self.assertTrue(await peer.receive(len(data)) == data)
            transport.close()
            peer.sock.close()
            await protocol.lost
        self.on_both(program)

    def test_what_one_turn_writes_is_joined_into_records(self):
        async def program():
            transport, protocol, peer = await self.connected()
            parts = [os.urandom(100) for _ in range(100)]
            mutable = bytearray(parts[0])
            transport.write(mutable)
            mutable[:] = b"!" * 100         # what was written is what it was then
            transport.writelines(parts[1:50])
            for part in parts[50:]:
                transport.write(memoryview(part))
            self.assertEqual(await peer.receive(10_000), b"".join(parts))
            self.assertEqual(len(peer.records()), 1)
            peer.raw.clear()
            for _ in range(40):             # more than a record holds
                transport.write(b"y" * 1000)
            self.assertEqual(await peer.receive(40_000), b"y" * 40_000)
            self.assertEqual(len(peer.records()), 3, peer.records())
            with self.assertRaisesRegex(TypeError, "str"):
                transport.write("text")
            transport.write(b"")
            transport.abort()
            await protocol.lost
        self.on_both(program)

    def test_an_answer_is_one_record_though_written_in_two(self):
        class Server(Recorder):
            def data_received(self, data):
                self.transport.write(b"head")
                self.transport.write(b"body")

        async def program():
            transport, protocol, peer = await self.connected(Server, "1.2", server_side=True)    # no tickets
            await peer.send(b"ask")
            self.assertEqual(await peer.receive(8), b"headbody")
            self.assertEqual(len(peer.records()), 1)
            transport.abort()
            await protocol.lost
        self.on_both(program)

    def test_records_cut_anywhere(self):
        async def program(version):
            transport, protocol, peer = await self.connected(version=version)
            small, large = os.urandom(50), os.urandom(30_000)
            for byte in peer.encrypt(small):
                await peer.send_raw(bytes([byte]))
                await asyncio.sleep(0)
            await protocol.until(50)
            self.assertEqual(protocol.pieces, [small])
            # Two and a half: the two come at once, as one.
            raw = peer.encrypt(small) + peer.encrypt(small) + peer.encrypt(large)
            protocol.pieces.clear()
            await peer.send_raw(raw[:200])
            await protocol.until(100)
            self.assertEqual(protocol.pieces, [small + small])
            await peer.send_raw(raw[200:])
            await protocol.until(30_100)
            self.assertEqual(protocol.data, small + small + large)
            # An empty record, that says nothing, between two.
            protocol.pieces.clear()
            await peer.send(b"after it")
            await protocol.until(8)
            transport.abort()
            await protocol.lost
        for version in VERSIONS:
            self.on_both(program, version)

    def test_session_tickets_come_with_the_first_data(self):
        async def program():
            transport, protocol, peer = await self.connected(version="1.3", hold=True)
            tickets = peer.outgoing.read()
            self.assertTrue(tickets)
            await peer.send_raw(tickets[:10])
            await asyncio.sleep(0.01)
            await peer.send_raw(tickets[10:] + peer.encrypt(b"data"))
            await protocol.until(4)
            self.assertEqual(protocol.pieces, [b"data"])
            self.assertIsNotNone(transport.get_extra_info("ssl_object").session)
            transport.abort()
            await protocol.lost
        self.on_both(program)

    def test_an_ssl_object_of_somebodys_own(self):
        class Counting(ssl.SSLObject):
            def read(self, *args):
                counts.append("read")
                return super().read(*args)

            def write(self, data):
                counts.append("write")
                return super().write(data)

        async def program():
            counts.clear()
            context = client_context()
            context.sslobject_class = Counting
            transport, protocol, peer = await self.connected(ssl=context)
            transport.write(b"out")
            self.assertEqual(await peer.receive(3), b"out")
            await peer.send(b"in")
            await protocol.until(2)
            self.assertEqual(set(counts), {"read", "write"})
            transport.abort()
            await protocol.lost
        counts = []
        self.on_both(program)

    # ---- protocols ----

    def test_a_buffered_protocol_with_a_small_buffer_then_another_kind(self):
        class Small(asyncio.BufferedProtocol):
            def __init__(self):
                self.buffer, self.got = bytearray(7), bytearray()

            def connection_made(self, transport):
                self.transport = transport

            def get_buffer(self, hint):
                return self.buffer

            def buffer_updated(self, n):
                self.got += self.buffer[:n]
                if len(self.got) >= 70:
                    self.transport.set_protocol(after)

        async def program():
            nonlocal after
            after = Recorder()
            transport, protocol, peer = await self.connected(Small)
            after.transport = transport
            data = os.urandom(20_000)
            await peer.send(data)
            await after.until(len(data) - 70)
            self.assertEqual(protocol.got + after.data, data)
            again = Small()
            again.transport = transport
            transport.set_protocol(again)
            await peer.send(b"x" * 10)
            await until(lambda: len(again.got) >= 10)
            transport.set_protocol(after)
            transport.abort()
            await after.lost
        after = None
        self.on_both(program)

    def test_an_empty_buffer_is_fatal(self):
        class Empty(asyncio.BufferedProtocol):
            def get_buffer(self, hint):
                return bytearray()

            def connection_lost(self, exc):
                lost.set_result(exc)

        async def program():
            nonlocal lost
            lost = asyncio.get_running_loop().create_future()
            transport, protocol, peer = await self.connected()
            transport.set_protocol(Empty())
            await peer.send(b"x")
            self.assertIsInstance(await lost, RuntimeError)
            self.assertEqual(self.told(), ["Fatal error on SSL protocol"])
        lost = None
        self.on_both(program)

    # ---- flow control ----

    def test_reading_paused(self):
        async def program():
            transport, protocol, peer = await self.connected()
            data = os.urandom(4 << 20)
            transport.pause_reading()
            self.assertFalse(transport.is_reading())
            sending = asyncio.ensure_future(peer.send(data))
            # Not all is taken: the peer has to wait.
            done, _ = await asyncio.wait([sending], timeout=0.3)
            self.assertFalse(done)
            self.assertEqual(protocol.pieces, [])
            self.assertLess(transport.get_read_buffer_size(), 1 << 20)
            transport.resume_reading()
            await protocol.until(len(data))
            self.assertTrue(protocol.data == data)
            await sending
            # Paused in a delivery: the rest comes later.
            protocol.pieces.clear()
            protocol.data_received = lambda data: (protocol.pieces.append(data), transport.pause_reading())
            await peer.send(b"one")
            await until(lambda: protocol.pieces)
            await peer.send(b"two")
            await asyncio.sleep(0.02)
            self.assertEqual(protocol.pieces, [b"one"])
            transport.resume_reading()
            await until(lambda: len(protocol.pieces) >= 2)
            self.assertEqual(protocol.pieces, [b"one", b"two"])
            transport.abort()
            await protocol.lost
        self.on_both(program)

    def test_writing_paused_and_resumed(self):
        async def program(high, size):
            transport, protocol, peer = await self.connected()
            transport.set_write_buffer_limits(high=high)
            self.assertEqual(transport.get_write_buffer_limits(), (high // 4, high))
            written = 0
            while not protocol.events:
                transport.write(b"x" * size)
                written += size
                self.assertLess(written, 8 << 20)
            self.assertEqual(protocol.events, ["pause"])
            # Exactly when the mark is reached, though writes are joined.
            self.assertGreaterEqual(transport.get_write_buffer_size(), high)
            self.assertLess(transport.get_write_buffer_size(), high + size + 22)
            got = await peer.receive(written)
            self.assertEqual(len(got), written)
            await until(lambda: len(protocol.events) >= 2)
            self.assertEqual(protocol.events, ["pause", "resume"])
            self.assertEqual(transport.get_write_buffer_size(), 0)
            transport.abort()
            await protocol.lost
        self.on_both(program, 100_000, 5000)
        self.on_both(program, 2000, 500)

    def test_a_protocol_that_fails_to_pause_is_reported(self):
        class Failing(Recorder):
            def pause_writing(self):
                raise ZeroDivisionError

        async def program():
            transport, protocol, peer = await self.connected(Failing)
            transport.write(bytes(3 << 20))      # the transport's
            transport.write(bytes(1 << 20))
            self.assertEqual(self.told(), ["protocol.pause_writing() failed"])
            self.assertEqual(len(await peer.receive(4 << 20)), 4 << 20)
            transport.abort()
            await protocol.lost
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
