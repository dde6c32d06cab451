"""Servers without descriptors or closed in an accept, and protocols that cannot be made: nothing leaks."""
import asyncio
import contextlib
import gc
import os
import socket
import tempfile
import unittest
import warnings
from unittest import mock

from support import LoopTest, Recorder, descriptors, none_left, until
from tls_peer import client_context, needs_certificate, server_context


class Factory:
    """Makes protocols, or raises."""

    class Error(Exception):
        pass

    def __init__(self, failing=True):
        self.failing, self.made = failing, []

    def __call__(self):
        if self.failing:
            raise self.Error("no protocol")
        self.made.append(Recorder())
        return self.made[-1]

    def connected(self):
        """How many have a transport: one is made a pass of the loop before."""
        return sum(hasattr(protocol, "transport") for protocol in self.made)


class Accept(LoopTest):
    def setUp(self):
        # Half a second would be long here.
        patch = mock.patch.object(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.01)
        patch.start()
        self.addCleanup(patch.stop)

    @contextlib.contextmanager
    def clients(self, address, n):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(n)]
            for client in clients:
                client.setblocking(False)
            yield clients, lambda: [client.connect_ex(address) for client in clients]

    def test_a_crowd_is_accepted_by_and_by(self):
        async def program():
            loop, protocols, most = asyncio.get_running_loop(), Factory(False), 0
            server = await loop.create_server(protocols, "127.0.0.1", 0, backlog=400)
            with self.clients(server.sockets[0].getsockname(), 300) as (clients, connect):
                connect()
                while protocols.connected() < 300:
                    await asyncio.sleep(0)
                    most = max(most, len(asyncio.all_tasks()))
                for protocol in protocols.made:
                    protocol.transport.abort()
                await asyncio.gather(*(protocol.lost for protocol in protocols.made))
            server.close()
            self.assertLess(most, 250)      # tasks: each lives for three turns, and takes memory
        self.on_both(program)

    def test_without_descriptors_it_tells_once_and_goes_on_later(self):
        async def program():
            loop, protocols = asyncio.get_running_loop(), Factory(False)
            server = await loop.create_server(protocols, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            with self.clients(address, 5) as (clients, connect):
                with none_left():
                    connect()
                    await until(lambda: self.problems)
                    self.assertEqual(len(self.problems), 1)
                    await until(lambda: len(self.problems) == 2)        # it tries again: one report of that
                    self.assertEqual(protocols.made, [])
                self.assertEqual(self.told(), ["socket.accept() out of system resource"] * 2)
                await until(lambda: protocols.connected() == 5)
                server.close()
                for protocol in protocols.made:
                    protocol.transport.abort()
                    await protocol.lost
            self.problems.clear()       # one more may have come at the end of the lack

        self.on_both(program)

    def test_those_for_whom_there_is_room_are_taken(self):
        async def program():
            loop, protocols = asyncio.get_running_loop(), Factory(False)
            server = await loop.create_server(protocols, "127.0.0.1", 0)
            with self.clients(server.sockets[0].getsockname(), 5) as (clients, connect):
                with none_left(2):
                    connect()
                    await until(lambda: self.problems)
                    await until(lambda: protocols.connected() == 2)
                    protocols.made[0].transport.abort()                 # makes room for another
                    await until(lambda: protocols.connected() == 3)
                await until(lambda: protocols.connected() == 5)
                server.close()
                for protocol in protocols.made:
                    protocol.transport.abort()
                    await protocol.lost
            self.assertLess(len(self.told()), 30)       # one for each time that it tried

        self.on_both(program)

    def test_a_server_that_is_closed_before_it_goes_on(self):
        async def program(unix):
            loop = asyncio.get_running_loop()
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "socket")
                server = await (loop.create_unix_server(Recorder, path) if unix
                                else loop.create_server(Recorder, "127.0.0.1", 0))
                with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client:
                    client.setblocking(False)
                    with none_left():
                        client.connect_ex(path if unix else server.sockets[0].getsockname())
                        await until(lambda: self.problems)
                        server.close()
                    self.told()
                    await asyncio.sleep(0.03)       # the time of the retry comes
                    self.assertEqual(self.problems, [])

        for unix in (False, True):
            self.on_both(program, unix)

    def test_a_server_that_is_closed_in_an_accept(self):
        """Whoever was accepted by then is let go; nothing is told of it."""
        async def program(tls, when):
            loop = asyncio.get_running_loop()
            server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context() if tls else None)
            with self.clients(server.sockets[0].getsockname(), 3) as (clients, connect):
                connect()
                for _ in range(when):
                    await asyncio.sleep(0)
                server.close()
                for _ in range(5):
                    await asyncio.sleep(0.001)
                if when < 3:        # later there are connections, which a server leaves open
                    for client in clients:
                        with contextlib.suppress(ConnectionResetError):
                            self.assertEqual(await asyncio.wait_for(loop.sock_recv(client, 10), 5), b"")
            await asyncio.sleep(0.01)
            gc.collect()

        for tls in (False, True):
            for when in range(4):
                gc.collect()        # what other tests have left
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    before = descriptors()
                    self.on_both(program, tls, when)
                    gc.collect()
                    self.assertEqual([str(w.message) for w in said], [])
                    self.assertLessEqual(descriptors(), before)


class Factories(LoopTest):
    """Whose error leaves no socket open, even while it is kept."""

    def leaves_nothing(self, program):
        gc.collect()
        before = descriptors()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.on_both(program)
            gc.collect()
        self.assertEqual([str(w.message) for w in said], [])
        self.assertLessEqual(descriptors(), before)

    async def fails(self, call):
        before = descriptors()
        with self.assertRaises(Factory.Error) as caught:
            await call
        self.assertLessEqual(descriptors(), before)
        return caught.exception

    def test_of_connections(self):
        async def program():
            loop = asyncio.get_running_loop()
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "socket")
                for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, path)):
                    with socket.create_server(address, family=family) if family == socket.AF_INET else \
                            socket.socket(family) as listener:
                        if family == socket.AF_UNIX:
                            listener.bind(path)
                            listener.listen()
                        for options in ({}, {"ssl": client_context(), "server_hostname": "localhost"}):
                            await self.fails(
                                loop.create_unix_connection(Factory(), path, **options) if family == socket.AF_UNIX
                                else loop.create_connection(Factory(), *listener.getsockname(), **options))

        needs_certificate(self.leaves_nothing)(program)

    def test_of_a_socket_that_is_given(self):
        async def program():
            loop = asyncio.get_running_loop()
            for call in (loop.create_connection, loop.create_unix_connection, loop.connect_accepted_socket):
                ours, theirs = socket.socketpair()
                with theirs:
                    with self.assertRaises(Factory.Error):
                        await (call(Factory(), ours) if call == loop.connect_accepted_socket
                               else call(Factory(), sock=ours))
                    self.assertEqual(ours.fileno(), -1)
                    self.assertEqual(theirs.recv(10), b"")

        self.leaves_nothing(program)

    def test_of_datagram_endpoints(self):
        async def program():
            loop = asyncio.get_running_loop()
            for options in ({"local_addr": ("127.0.0.1", 0)}, {"remote_addr": ("127.0.0.1", 9)},
                            {"sock": socket.socket(socket.AF_INET, socket.SOCK_DGRAM)}):
                before = descriptors() - ("sock" in options)
                with self.assertRaises(Factory.Error):
                    await loop.create_datagram_endpoint(Factory(), **options)
                self.assertEqual(descriptors(), before)

        self.leaves_nothing(program)

    def test_of_servers(self):
        """Only debug mode tells of it; the next one is served."""
        async def program(tls):
            loop, factory = asyncio.get_running_loop(), Factory()
            server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context() if tls else None)
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(await asyncio.wait_for(loop.sock_recv(client, 10), 5), b"")
            factory.failing = False
            options = {"ssl": client_context(), "server_hostname": "localhost"} if tls else {}
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **options)
            writer.close()
            await writer.wait_closed()
            await factory.made[0].lost
            server.close()

        self.leaves_nothing(lambda: program(False))
        needs_certificate(self.leaves_nothing)(lambda: program(True))


if __name__ == "__main__":
    unittest.main()
