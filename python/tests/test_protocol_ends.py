"""Protocols that close, abort, pause or exchange themselves in get_buffer(), buffer_updated(), data_received()."""
import asyncio
import contextlib
import os
import unittest

from support import LoopTest, until
from tls_peer import client_context, needs_certificate, server_context

DATA = bytes(range(256)) * 800


class Base:
    """Acts once, in the method of this name, when it has had some bytes."""

    def __init__(self, acts=None):
        self.acts, self.acted, self.data, self.events = acts, False, bytearray(), []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def act(self, where):
        if self.acts and self.acts[0] == where and len(self.data) > 3000 and not self.acted:
            self.acted = True
            self.acts[1](self)

    def check(self, what):
        """Nothing comes after the end, or in a pause."""
        if self.lost.done() or not self.transport.is_closing() and not self.transport.is_reading():
            self.events.append(what)

    def connection_lost(self, exc):
        self.events += ["lost again"] if self.lost.done() else []
        self.lost.set_result(exc)


class Plain(Base, asyncio.Protocol):
    def data_received(self, data):
        self.check("data_received")
        self.data += data
        self.act("data_received")


class Buffered(Base, asyncio.BufferedProtocol):
    buffer = None

    def get_buffer(self, hint):
        self.check("get_buffer")
        self.act("get_buffer")
        self.buffer = self.buffer or bytearray(700)
        return self.buffer

    def buffer_updated(self, n):
        if self.lost.done():
            self.events.append("buffer_updated")
        self.data += self.buffer[:n]
        self.act("buffer_updated")


def pause(protocol):
    protocol.transport.pause_reading()
    asyncio.get_running_loop().call_later(0.001, protocol.transport.resume_reading)


def pause_and_resume(protocol):
    protocol.transport.pause_reading()
    protocol.transport.resume_reading()


def exchange(kind):
    def act(protocol):
        other = kind()
        other.transport, other.data, other.lost = protocol.transport, protocol.data, protocol.lost
        protocol.transport.set_protocol(other)
    act.__name__ = f"exchange for {kind.__name__}"
    return act


def write_and_close(protocol):
    protocol.transport.write(b"x" * 100_000)
    protocol.transport.close()


ENDS = (lambda protocol: protocol.transport.close(), lambda protocol: protocol.transport.abort(), write_and_close)
GOES_ON = (pause, pause_and_resume, exchange(Plain), exchange(Buffered))


class Reentrant(LoopTest):
    @contextlib.asynccontextmanager
    async def receiving(self, factory, kind):
        """The protocol of one that receives DATA, and then the end."""
        loop = asyncio.get_running_loop()

        class Sender(Plain):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.write(DATA)
                transport.close()

        if kind == "pipe":
            read, write = os.pipe()
            protocol = factory()
            await loop.connect_read_pipe(lambda: protocol, os.fdopen(read, "rb", 0))
            sender, _ = await loop.connect_write_pipe(Plain, os.fdopen(write, "wb", 0))
            sender.write(DATA)
            sender.close()
            yield protocol
            return
        server = await loop.create_server(Sender, "127.0.0.1", 0, ssl=server_context() if kind == "tls" else None)
        secure = {}
        if kind == "tls":
            secure = {"ssl": client_context(), "server_hostname": "localhost", "ssl_shutdown_timeout": 0.2}
        _, protocol = await loop.create_connection(factory, *server.sockets[0].getsockname(), **secure)
        yield protocol
        server.close()

    def each(self, program, kinds=("tcp", "tls")):
        for kind in kinds:
            on_both = needs_certificate(self.on_both) if kind == "tls" else self.on_both
            for protocol, where in ((Plain, "data_received"), (Buffered, "get_buffer"), (Buffered, "buffer_updated")):
                if kind != "pipe" or protocol is Plain:
                    on_both(program, kind, protocol, where)

    def test_an_end(self):
        async def program(kind, protocol, where):
            for act in ENDS:
                if kind == "pipe" and act is not ENDS[0]:
                    continue
                async with self.receiving(lambda: protocol((where, act)), kind) as one:
                    await asyncio.wait_for(one.lost, 5)
                    await asyncio.sleep(0.001)
                    self.assertTrue(one.acted)
                    self.assertEqual(one.events, [])
                    if kind != "pipe":      # of which one read takes all
                        self.assertLess(len(one.data), len(DATA))
                self.problems = [c for c in self.problems if not isinstance(c.get("exception"), ConnectionError)]

        self.each(program, ("tcp", "tls", "pipe"))

    def test_what_goes_on_loses_nothing(self):
        async def program(kind, protocol, where):
            for act in GOES_ON:
                if where == "get_buffer" and act not in (pause, pause_and_resume):
                    continue        # nobody says whose the bytes would be
                if kind == "pipe" and "Buffered" in act.__name__:
                    continue        # pipes have no such protocols
                with self.subTest(act=act.__name__):
                    async with self.receiving(lambda: protocol((where, act)), kind) as one:
                        await asyncio.wait_for(one.lost, 5)
                        self.assertTrue(one.acted)
                        self.assertEqual(one.events if act is not pause or where != "get_buffer" else [], [])
                        self.assertTrue(one.data == DATA, f"{len(one.data)} of {len(DATA)} bytes")

        self.each(program, ("tcp", "tls", "pipe"))

    def test_a_failure(self):
        def fail(protocol):
            raise LookupError("bad")

        async def program(kind, protocol, where):
            async with self.receiving(lambda: protocol((where, fail)), kind) as one:
                self.assertIsInstance(await asyncio.wait_for(one.lost, 5), LookupError)
                await until(lambda: self.problems)
                self.assertEqual({type(exc) for exc in self.told("exception")}, {LookupError})
                self.assertEqual(one.events, [])

        self.each(program)


if __name__ == "__main__":
    unittest.main()
