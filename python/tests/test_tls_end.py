"""TLS, where it could differ from asyncio's: the end, errors, and start_tls()."""
import asyncio
import gc
import os
import socket
import ssl
import time
import unittest
import weakref

import evenloop
from support import Recorder, no_collector, until
from tls_peer import TLS, VERSIONS, Peer, client_context, server_context


class End(TLS):
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
        gc.collect()      # since 3.15 what a warning is of goes with the warning, not before
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
            self.assertEqual(self.told(), ["Fatal error on SSL protocol"])
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
            with no_collector():
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
        for end in ("close", "abort", "peer"):
            self.on_both(program, end)

    # ---- start_tls ----

    def test_start_tls_with_what_came_early(self):
        async def program():
            loop = asyncio.get_running_loop()

            async def handle(reader, writer):
                self.assertEqual(await reader.readline(), b"STARTTLS\n")
                # The client does not wait: its first bytes are in the reader, or in the transport, already.
                await until(lambda: reader._buffer)
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
