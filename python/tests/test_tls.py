"""TLS, where it could differ from asyncio's: records cut anywhere, flow control, the end, errors.

The peer is most often TLS by hand over a socket: it decides which bytes come when, and sees which records came.
"""
import asyncio
import gc
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import weakref

import evenloop

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def setUpModule():
    global folder
    if not shutil.which("openssl"):
        raise unittest.SkipTest("the openssl command is missing")
    folder = pathlib.Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key", "-out", folder / "certificate"],
                   check=True, capture_output=True)


def server_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def client_context(version=None):
    context = ssl.create_default_context(cafile=folder / "certificate")
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


class Recorder(asyncio.Protocol):
    def __init__(self):
        self.pieces, self.events = [], []
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.pieces.append(data)
        self.changed.set()

    @property
    def data(self):
        return b"".join(self.pieces)

    async def until(self, n):
        """n bytes came."""
        while sum(map(len, self.pieces)) < n:
            self.changed.clear()
            await self.changed.wait()

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")
        self.changed.set()

    def eof_received(self):
        self.events.append("eof")

    def connection_lost(self, exc):
        self.lost.set_result(exc)
        self.changed.set()


class Peer:
    """TLS by hand."""

    def __init__(self, sock, context, server_side=True):
        sock.setblocking(False)
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, None if server_side else "localhost")
        self.raw, self.loop = bytearray(), asyncio.get_running_loop()
        self.hold = False           # do not send what the handshake leaves: tickets

    async def send_raw(self, data=b""):
        if data := data or self.outgoing.read():
            await self.loop.sock_sendall(self.sock, data)

    async def call(self, function, *args):
        while True:
            try:
                result = function(*args)
            except ssl.SSLWantReadError:
                await self.send_raw()
                data = await self.loop.sock_recv(self.sock, 1 << 20)
                self.raw += data
                self.incoming.write(data) if data else self.incoming.write_eof()
                continue
            if not self.hold:
                await self.send_raw()
            return result

    async def handshake(self):
        await self.call(self.tls.do_handshake)
        self.raw.clear()

    def encrypt(self, data):
        """The records, not sent."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view):]
        return self.outgoing.read()

    async def send(self, data):
        await self.send_raw(self.encrypt(data))

    async def receive(self, n):
        data = bytearray()
        while len(data) < n and (more := await self.call(self.tls.read, 65536)):
            data += more
        return bytes(data)

    def records(self):
        """Lengths of the records that came since the handshake."""
        at, lengths = 0, []
        while at < len(self.raw):
            lengths.append(int.from_bytes(self.raw[at + 3:at + 5], "big"))
            at += 5 + lengths[-1]
        return lengths


class TLS(unittest.TestCase):
    def on_both(self, function, *args):
        for backend in ("uring", "epoll"):
            with self.subTest(backend, args=args):
                self.problems = []
                with asyncio.Runner(loop_factory=lambda: evenloop.Loop(backend=backend)) as runner:
                    runner.get_loop().set_exception_handler(lambda loop, context: self.problems.append(context))
                    runner.run(asyncio.wait_for(function(*args), 40))
                    runner.run(asyncio.sleep(0))
                self.assertEqual(self.problems, [])

    async def connected(self, factory=Recorder, version=None, server_side=False, hold=False, **options):
        """(transport, protocol, peer): ours is the client, if nothing else is said."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        loop = asyncio.get_running_loop()
        peer = Peer(theirs, client_context(version) if server_side else server_context(version), not server_side)
        peer.hold = hold
        if server_side:
            connecting = loop.connect_accepted_socket(factory, ours, ssl=server_context(version), **options)
        else:
            options.setdefault("server_hostname", "localhost")
            options.setdefault("ssl", client_context(version))
            connecting = loop.create_connection(factory, sock=ours, **options)
        (transport, protocol), _ = await asyncio.gather(connecting, peer.handshake())
        peer.hold = False
        return transport, protocol, peer

    # ---- data ----

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
            while len(done) < 2:
                await asyncio.sleep(0.001)
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
            while len(again.got) < 10:
                await asyncio.sleep(0.001)
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
            self.assertEqual([p["message"] for p in self.problems], ["Fatal error on SSL protocol"])
            self.problems.clear()
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
            while not protocol.pieces:
                await asyncio.sleep(0.001)
            await peer.send(b"two")
            await asyncio.sleep(0.02)
            self.assertEqual(protocol.pieces, [b"one"])
            transport.resume_reading()
            while len(protocol.pieces) < 2:
                await asyncio.sleep(0.001)
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
            while len(protocol.events) < 2:
                await asyncio.sleep(0.001)
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
            self.assertEqual([p["message"] for p in self.problems], ["protocol.pause_writing() failed"])
            self.problems.clear()
            self.assertEqual(len(await peer.receive(4 << 20)), 4 << 20)
            transport.abort()
            await protocol.lost
        self.on_both(program)

    # ---- the end ----

    def test_close_sends_what_was_written_and_says_goodbye(self):
        async def program(version):
            transport, protocol, peer = await self.connected(version=version)
            transport.write(b"last ")
            transport.pause_reading()
            transport.write(b"words")
            transport.close()
            self.assertTrue(transport.is_closing())
            self.assertEqual(await peer.receive(100), b"last words")       # and a clean end: no exception
            await peer.call(peer.tls.unwrap)
            self.assertIsNone(await protocol.lost)
            self.assertEqual(await peer.loop.sock_recv(peer.sock, 10), b"")
        for version in VERSIONS:
            self.on_both(program, version)

    def test_close_in_a_delivery(self):
        class Answer(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.write(b"answer")
                self.transport.close()
                self.transport.write(b"too late")

        async def program():
            transport, protocol, peer = await self.connected(Answer)
            await peer.send(b"ask")
            self.assertEqual(await peer.receive(100), b"answer")
            await peer.call(peer.tls.unwrap)
            self.assertIsNone(await protocol.lost)
            self.assertEqual(protocol.pieces, [b"ask"])
        self.on_both(program)

    def test_abort_sends_what_was_written_before(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.write(b"before")
            transport.abort()
            self.assertEqual(await peer.receive(6), b"before")
            self.assertIsNone(await protocol.lost)
        self.on_both(program)

    def test_writes_after_the_end_are_dropped_and_warned_of(self):
        async def program():
            transport, protocol, peer = await self.connected()
            transport.close()
            transport.write(b"x")
            peer.sock.close()
            await protocol.lost
            with self.assertLogs("asyncio", "WARNING") as log:
                for _ in range(8):
                    transport.write(b"x")
                transport.writelines([b"y"])
            self.assertIn("SSL connection is closed", log.output[0])
            self.assertIsNotNone(transport.get_extra_info("cipher"))
            # Closed a second time it has let go of everything; to use it is no error all the same.
            transport.close()
            transport.close()
            transport.write(b"x")
            transport.writelines([b"y"])
            transport.abort()
            self.assertEqual(transport.get_extra_info("cipher", "none"), "none")
            with self.assertRaises(TypeError):
                transport.write("text")
        self.on_both(program)

    def test_close_while_the_peer_goes_on_sending(self):
        async def program(paused):
            transport, protocol, peer = await self.connected()

            async def send():
                try:
                    while True:
                        await peer.send(bytes(100_000))
                except OSError:
                    return time.monotonic()

            sending = asyncio.ensure_future(send())
            if paused:
                transport.pause_reading()
                await asyncio.sleep(0.05)
            else:
                await protocol.until(1)
            closed = time.monotonic()
            transport.close()
            await protocol.lost
            self.assertLess(await sending - closed, 10)        # the shutdown's time-out would be 30 s
        self.on_both(program, False)
        self.on_both(program, True)

    def test_the_peers_end(self):
        class Open(Recorder):
            def eof_received(self):
                super().eof_received()
                self.transport.write(b"bye")
                return True

        async def program(factory, clean):
            transport, protocol, peer = await self.connected(factory, "1.3")
            last = peer.encrypt(b"data")
            if clean:
                with self.assertRaises(ssl.SSLWantReadError):
                    peer.tls.unwrap()
            await peer.send_raw(last + peer.outgoing.read())
            if not clean:
                peer.sock.shutdown(socket.SHUT_WR)
            if factory is Open:
                with self.assertLogs("asyncio", "WARNING") as log:
                    self.assertIsNone(await protocol.lost)
                self.assertIn("has no effect when using ssl", log.output[0])
            else:
                self.assertIsNone(await protocol.lost)
            self.assertEqual(protocol.pieces, [b"data"])
            self.assertEqual(protocol.events, ["eof"])
            while data := await peer.loop.sock_recv(peer.sock, 1000):
                peer.raw += data
            # What was still written, and an answer to the goodbye; asyncio writes nothing after an end without one.
            self.assertEqual(peer.records(), [3 + 17] * (factory is Open) + [2 + 17] if clean else [])
        for factory in (Recorder, Open):
            for clean in (True, False):
                self.on_both(program, factory, clean)

    def test_a_peer_that_does_not_say_goodbye(self):
        async def program():
            transport, protocol, peer = await self.connected(ssl_shutdown_timeout=0.1)
            transport.close()
            self.assertIsInstance(await protocol.lost, TimeoutError)
        self.on_both(program)

    def test_what_was_written_before_the_run_ends_goes_out(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend), asyncio.Runner(loop_factory=lambda: evenloop.Loop(backend=backend)) as runner:
                loop = runner.get_loop()
                transport, protocol, peer = runner.run(self.connected())
                loop.call_soon(transport.writelines, [b"last ", b"words"])
                loop.call_soon(loop.stop)
                loop.run_forever()
                peer.sock.setblocking(True)
                peer.sock.settimeout(10)
                peer.incoming.write(peer.sock.recv(1000))
                self.assertEqual(peer.tls.read(100), b"last words")

                async def end():
                    transport.abort()
                    await protocol.lost
                runner.run(end())

    def test_a_loop_closed_with_something_to_write(self):
        loop = evenloop.Loop()

        async def begin():
            return await self.connected()
        transport, protocol, peer = loop.run_until_complete(begin())
        transport.write(b"never sent")
        loop.close()
        self.assertGreater(transport.get_write_buffer_size(), 0)
        gone = weakref.ref(transport._ssl_protocol)
        transport._closed = True
        with self.assertWarns(ResourceWarning):
            del transport, protocol, peer
            gc.collect()
        self.assertIsNone(gone())

    # ---- errors ----

    def test_a_damaged_record(self):
        async def program(version):
            transport, protocol, peer = await self.connected(version=version)
            good, bad = peer.encrypt(b"good"), bytearray(peer.encrypt(b"bad"))
            bad[-1] ^= 1
            await peer.send_raw(good + bad)
            self.assertIsInstance(await protocol.lost, ssl.SSLError)
            self.assertEqual(protocol.pieces, [b"good"])
        for version in VERSIONS:
            self.on_both(program, version)

    def test_what_is_no_record(self):
        async def program(data):
            transport, protocol, peer = await self.connected()
            await peer.send_raw(peer.encrypt(b"good") + data)
            self.assertIsInstance(await protocol.lost, ssl.SSLError)
            self.assertEqual(protocol.pieces, [b"good"])
        self.on_both(program, b"GET / HTTP/1.1\r\n\r\n")
        self.on_both(program, b"\x17\x03\x03\xff\xff")          # too long

    def test_an_exception_of_the_protocol_s(self):
        class Failing(Recorder):
            def data_received(self, data):
                self.transport.write(b"before")
                raise ZeroDivisionError

        async def program():
            transport, protocol, peer = await self.connected(Failing)
            await peer.send(b"x")
            self.assertEqual(await peer.receive(6), b"before")
            self.assertIsInstance(await protocol.lost, ZeroDivisionError)
            self.assertEqual([p["message"] for p in self.problems], ["Fatal error on SSL protocol"])
            self.problems.clear()
        self.on_both(program)

    def test_an_exit_in_a_delivery_leaves_the_run(self):
        class Exits(Recorder):
            def data_received(self, data):
                self.transport.write(b"answer")
                raise SystemExit(3)

        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                loop = evenloop.Loop(backend=backend)

                async def program():
                    nonlocal transport, protocol, peer
                    transport, protocol, peer = await self.connected(Exits)
                    await peer.send(b"x")
                    await asyncio.sleep(10)
                transport = protocol = peer = None
                task = loop.create_task(program())
                with self.assertRaises(SystemExit):
                    loop.run_until_complete(task)
                task.cancel()

                async def go_on():
                    self.assertEqual(await peer.receive(6), b"answer")
                    transport.abort()
                    await protocol.lost
                loop.run_until_complete(asyncio.wait_for(go_on(), 10))
                loop.close()

    def test_handshakes_that_fail(self):
        async def program():
            made = []

            def factory():
                made.append(Recorder())
                return made[-1]

            async def closed(send):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(send)
                await reader.read()
                writer.close()

            loop = asyncio.get_running_loop()
            loop.set_debug(False)       # in which the server tells of each
            server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context(), ssl_handshake_timeout=0.2)
            address = server.sockets[0].getsockname()
            await asyncio.gather(closed(b"GET / HTTP/1.1\r\n\r\n"), closed(b""), closed(b"\x16\x03\x01\x02\x00"))
            with self.assertRaises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(*address, ssl=ssl.create_default_context(), server_hostname="localhost")
            with self.assertRaises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(*address, ssl=client_context(), server_hostname="elsewhere")
            self.assertTrue(all(not hasattr(protocol, "transport") for protocol in made[:3]))
            server.close()
            # A server that says nothing.
            ours, theirs = socket.socketpair()
            with self.assertRaisesRegex(ConnectionAbortedError, "SSL handshake is taking longer than 0.1 seconds"):
                await loop.create_connection(Recorder, sock=ours, ssl=client_context(), server_hostname="localhost",
                                             ssl_handshake_timeout=0.1)
            theirs.close()
            self.assertEqual(ours.fileno(), -1)
            for bad in ({"ssl_handshake_timeout": 0}, {"ssl_shutdown_timeout": -1}):
                ours, theirs = socket.socketpair()
                with self.assertRaisesRegex(ValueError, "positive number"):
                    await loop.create_connection(Recorder, sock=ours, ssl=client_context(), server_hostname="localhost",
                                                 **bad)
                ours.close()
                theirs.close()
        self.on_both(program)

    def test_nothing_is_left_in_cycles(self):
        async def program(end):
            transport, protocol, peer = await self.connected()
            gc.collect()
            gc.disable()
            try:
                gone = [weakref.ref(o) for o in (transport, protocol, transport._ssl_protocol,
                                                 transport.get_extra_info("ssl_object"))]
                transport.write(b"x" * 1000)
                await peer.receive(1000)
                await peer.send(b"x" * 1000)
                await protocol.until(1000)
                if end == "abort":
                    transport.abort()
                elif end == "peer":
                    peer.sock.close()
                else:
                    transport.close()
                    await peer.call(peer.tls.unwrap)
                await protocol.lost
                del transport, protocol
                for _ in range(3):
                    await asyncio.sleep(0)
                self.assertEqual([ref() for ref in gone], [None] * 4)
            finally:
                gc.enable()
        for end in ("close", "abort", "peer"):
            self.on_both(program, end)

    # ---- start_tls ----

    def test_start_tls_with_what_came_early(self):
        async def program():
            loop = asyncio.get_running_loop()

            async def handle(reader, writer):
                self.assertEqual(await reader.readline(), b"STARTTLS\n")
                # The client does not wait: its first bytes are in the reader, or in the transport, already.
                while not reader._buffer:
                    await asyncio.sleep(0.001)
                await writer.start_tls(server_context())
                writer.write(await reader.readexactly(5))
                await writer.drain()
                writer.close()
                done.set_result(None)

            done = loop.create_future()
            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, server.sockets[0].getsockname())
            peer = Peer(sock, client_context(), False)
            with self.assertRaises(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            await peer.send_raw(b"STARTTLS\n" + peer.outgoing.read())
            await peer.handshake()
            await peer.send(b"hello")
            self.assertEqual(await peer.receive(5), b"hello")
            await done
            sock.close()
            server.close()
            for wrong in ({"sslcontext": None}, {"transport": object()}):
                with self.assertRaises(TypeError):
                    await loop.start_tls(**{"transport": None, "protocol": None, "sslcontext": client_context()} | wrong)
        self.on_both(program)

    def test_tls_in_tls(self):
        class Upgrades(Recorder):
            def data_received(self, data):
                self.transport.write(data)

        async def program():
            loop = asyncio.get_running_loop()
            outer, protocol, peer = await self.connected()
            inner = Peer(peer.sock, server_context())

            async def relay(function, *args):
                """The inner handshake and its data, inside of the outer's records."""
                while True:
                    try:
                        result = function(*args)
                    except ssl.SSLWantReadError:
                        result = None
                    if data := inner.outgoing.read():
                        await peer.send(data)
                    if result is not None:
                        return result
                    inner.incoming.write(await peer.call(peer.tls.read, 65536))

            transport, _ = await asyncio.gather(
                loop.start_tls(outer, protocol, client_context(), server_hostname="localhost"),
                relay(lambda: inner.tls.do_handshake() or True))
            transport.write(b"deep")
            self.assertEqual(await relay(inner.tls.read, 100), b"deep")
            data = os.urandom(50_000)
            await peer.send(inner.encrypt(data))
            await protocol.until(50_000)
            self.assertEqual(protocol.data, data)
            transport.abort()
            await protocol.lost
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
