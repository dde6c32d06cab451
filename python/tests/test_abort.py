"""What was written before an abort() arrives, as far as there is room; and what an exit leaves of a transport."""
import asyncio
import contextlib
import os
import socket
import tempfile
import unittest

import evenloop
from support import LOOPS, LoopTest, Recorder, python
from tls_peer import Peer, client_context, needs_certificate, server_context

WORDS = (b"answer ", b"reason ", b"x" * 10_000)


class Abort(LoopTest):
    @contextlib.asynccontextmanager
    async def connected(self, kind):
        """(transport, its end, a coroutine function that reads all that comes to the other end)"""
        loop = asyncio.get_running_loop()
        if kind == "pipe":
            read, write = os.pipe()
            transport, protocol = await loop.connect_write_pipe(Recorder, os.fdopen(write, "wb", 0))
            _, other = await loop.connect_read_pipe(Recorder, os.fdopen(read, "rb", 0))

            async def read_all():
                await other.lost
                return other.data
            yield transport, protocol.lost, read_all
        elif kind == "tls":
            ours, theirs = socket.socketpair()
            with theirs:
                peer = Peer(theirs, server_context())
                (transport, protocol), _ = await asyncio.gather(
                    loop.create_connection(Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"),
                    peer.handshake())
                yield transport, protocol.lost, lambda: peer.receive(sum(map(len, WORDS)))
        else:
            accepted = loop.create_future()
            with tempfile.TemporaryDirectory() as folder:
                def accept(reader, writer):
                    accepted.set_result((reader, writer))

                path = os.path.join(folder, "socket")
                streams = evenloop if kind == "own streams" else asyncio
                server = await (streams.start_unix_server(accept, path) if kind == "unix"
                                else streams.start_server(accept, "127.0.0.1", 0))
                connected = await (streams.open_unix_connection(path) if kind == "unix"
                                   else streams.open_connection(*server.sockets[0].getsockname()))
                reader, theirs = await accepted
                yield connected[1].transport, connected[1].wait_closed(), reader.read
                theirs.close()
                await theirs.wait_closed()
                server.close()

    def test_all_that_was_written_arrives(self):
        async def program(kind, turns, late):
            async with self.connected(kind) as (transport, lost, read_all):
                for word in WORDS[:-1]:
                    transport.write(word)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                transport.write(WORDS[-1])
                for _ in range(late):
                    await asyncio.sleep(0)
                transport.abort()
                self.assertEqual(await asyncio.wait_for(read_all(), 5), b"".join(WORDS))
                await lost

        for kind in ("tcp", "unix", "own streams", "pipe", "tls"):
            on_both = needs_certificate(self.on_both) if kind == "tls" else self.on_both
            for turns in range(5):
                on_both(program, kind, turns, 0)
            on_both(program, kind, 0, 1)

    def test_an_exit_in_eof_received(self):
        """It leaves the run, and the next one ends the connection."""
        class Exits(Recorder):
            def eof_received(self):
                super().eof_received()
                if len(self.events) == 1:
                    raise KeyboardInterrupt

        async def begin(kind):
            loop = asyncio.get_running_loop()
            if kind == "pipe":
                read, write = os.pipe()
                _, protocol = await loop.connect_read_pipe(Exits, os.fdopen(read, "rb", 0))
                return protocol, lambda: os.close(write)
            else:
                ours, theirs = socket.socketpair()
                _, protocol = await loop.create_connection(Exits, sock=ours)
                theirs.send(b"last")
                return protocol, theirs.close

        async def ended(protocol):
            self.assertIsNone(await asyncio.wait_for(protocol.lost, 5))

        for name, make in LOOPS.items():
            for kind in ("socket", "pipe"):
                with self.subTest(name, kind=kind), contextlib.closing(make()) as loop:
                    protocol, end = loop.run_until_complete(begin(kind))
                    end()
                    with self.assertRaises(KeyboardInterrupt):
                        for _ in range(100):
                            loop.run_until_complete(asyncio.sleep(0.001))
                    loop.run_until_complete(ended(protocol))
                    self.assertEqual(protocol.data, b"last" if kind == "socket" else b"")
                    self.assertEqual(set(protocol.events), {"eof"})


CLOSED = '''\
import asyncio, socket, evenloop
here, there = socket.socketpair()
here.setblocking(False)

class Closing:
    def __init__(self, loop):
        self.loop = loop
    def fileno(self):
        self.loop.close()
        return here.fileno()

class Socket(socket.socket):
    loop = None
    def fileno(self):
        if self.loop:
            self.loop.close()
        return super().fileno()

def attempt(call, *args):
    try:
        print(call(*args), end=" ")
    except RuntimeError as exc:
        print(exc, end="; ")

def step(coroutine):
    try:
        coroutine.send(None)
    finally:
        coroutine.close()

for name in ("add_reader", "add_writer", "remove_reader", "remove_writer", "_watched"):
    loop = evenloop.Loop()
    attempt(getattr(loop, name), Closing(loop), *[print] * name.startswith("add"))
for name, rest in (("sock_recv", 10), ("sock_sendall", b"x" * 10_000_000)):
    loop = evenloop.Loop()
    sock = Socket(fileno=here.detach() if name == "sock_recv" else there.detach())
    sock.setblocking(False)
    sock.loop = loop
    attempt(lambda: step(getattr(loop, name)(sock, rest)))
print("end")
'''


class ClosedLoop(unittest.TestCase):
    def test_a_fileno_that_closes_the_loop(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                done = python("-c", CLOSED, EVENLOOP_BACKEND=backend)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(done.stdout, "Event loop is closed; Event loop is closed; False False None "
                                              "Event loop is closed; Event loop is closed; end\n")


if __name__ == "__main__":
    unittest.main()
