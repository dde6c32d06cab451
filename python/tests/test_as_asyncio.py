"""The same calls on asyncio's loop and on ours, with the same outcome; and nothing of asyncio's interface left out."""
import asyncio
import contextlib
import gc
import inspect
import os
import socket
import subprocess
import sys
import tempfile
import unittest
import warnings

from support import OURS


def outcome(call, *args):
    try:
        return call(*args)
    except Exception as exc:
        return type(exc).__name__, str(exc)


class ClosedFiles(unittest.TestCase):
    """Readers and writers whose file was closed, or never was one."""

    def closed(self, make, by_number, reader, writer):
        loop = make()
        a, b = socket.socketpair()
        with b, contextlib.closing(loop):
            a.setblocking(False)
            key = a.fileno() if by_number else a
            if reader:
                loop.add_reader(key, print)
            if writer:
                loop.add_writer(key, print)
            a.close()
            return [outcome(call, key) for call in (loop.remove_reader, loop.remove_writer, loop.remove_reader)]

    def others(self, make):
        loop = make()
        a, b = socket.socketpair()
        with a, b:
            outcomes = [outcome(loop.remove_reader, what) for what in (-1, "x", 10 ** 6, None, a.fileno())]
            loop.add_reader(a, print)
            number = a.detach()
            outcomes += [outcome(loop.remove_reader, what) for what in (a, number, number)]
            os.close(number)
            loop.close()
            return outcomes + [outcome(loop.remove_reader, 0), outcome(loop.remove_writer, 0)]

    def test_they_are_removed_as_from_asyncios(self):
        for name, make in OURS.items():
            for by_number in (False, True):
                for reader, writer in ((True, False), (False, True), (False, False), (True, True)):
                    with self.subTest(name, by_number=by_number, reader=reader, writer=writer):
                        self.assertEqual(self.closed(make, by_number, reader, writer),
                                         self.closed(asyncio.SelectorEventLoop, by_number, reader, writer))
            with self.subTest(name):
                self.assertEqual(self.others(make), self.others(asyncio.SelectorEventLoop))


class Whole(unittest.TestCase):
    """Every method of AbstractEventLoop, called: none is left to raise NotImplementedError."""

    @contextlib.contextmanager
    def calls(self, loop):
        """{name: a call or a coroutine function}"""
        with contextlib.ExitStack() as stack:
            def pair():
                ends = socket.socketpair()
                for end in ends:
                    end.setblocking(False)
                    stack.enter_context(end)
                return ends

            def tcp():
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                listener.setblocking(False)
                return listener

            def udp():
                one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                one.setblocking(False)
                one.bind(("127.0.0.1", 0))
                return one

            folder = stack.enter_context(tempfile.TemporaryDirectory())
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(b"x" * 10)
            file.flush()

            async def transport_of(call):
                transport = (await call)[0]
                transport.close()
                await asyncio.sleep(0.001)

            async def server_of(call):
                server = await call
                server.close()
                await server.wait_closed()

            async def create_connection():
                await transport_of(loop.create_connection(asyncio.Protocol, *tcp().getsockname()))

            async def create_server():
                await server_of(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))

            async def unix():
                path = os.path.join(folder, "socket")
                server = await loop.create_unix_server(asyncio.Protocol, path)
                await transport_of(loop.create_unix_connection(asyncio.Protocol, path))
                server.close()
                await server.wait_closed()

            async def connect_accepted_socket():
                await transport_of(loop.connect_accepted_socket(asyncio.Protocol, pair()[0]))

            async def create_datagram_endpoint():
                await transport_of(loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)))

            async def pipe(connect, mode):
                read, write = os.pipe()
                with os.fdopen(read, "rb", 0) as r, os.fdopen(write, "wb", 0) as w:
                    await transport_of(connect(asyncio.Protocol, r if mode == "r" else w))

            async def process(call, *args):
                transport, _ = await call(asyncio.SubprocessProtocol, *args, stdin=subprocess.DEVNULL)
                await transport._wait()
                transport.close()

            async def sendfile():
                a, b = pair()
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
                self.assertEqual(await loop.sendfile(transport, file), 10)
                self.assertEqual(b.recv(100), b"x" * 10)
                transport.close()
                await asyncio.sleep(0.001)

            async def sock_sendfile():
                a, b = pair()
                file.seek(0)
                self.assertEqual(await loop.sock_sendfile(a, file), 10)

            async def start_tls():
                a, b = pair()
                transport, protocol = await loop.create_connection(asyncio.Protocol, sock=a)
                import ssl
                b.send(b"this is no TLS, and long enough")
                with self.assertRaises(ssl.SSLError):
                    await loop.start_tls(transport, protocol, ssl.create_default_context(), server_hostname="nobody")

            async def sock_recv():
                a, b = pair()
                b.send(b"x")
                self.assertEqual(await loop.sock_recv(a, 10), b"x")

            async def sock_recv_into():
                a, b = pair()
                b.send(b"x")
                self.assertEqual(await loop.sock_recv_into(a, bytearray(10)), 1)

            async def sock_sendall():
                self.assertIsNone(await loop.sock_sendall(pair()[0], b"x"))

            async def sock_recvfrom():
                a, b = udp(), udp()
                await loop.sock_sendto(b, b"x", a.getsockname())
                self.assertEqual(await loop.sock_recvfrom(a, 10), (b"x", b.getsockname()))

            async def sock_recvfrom_into():
                a, b = udp(), udp()
                b.sendto(b"x", a.getsockname())
                self.assertEqual(await loop.sock_recvfrom_into(a, bytearray(10)), (1, b.getsockname()))

            async def sock_connect():
                listener, client = tcp(), stack.enter_context(socket.socket())
                client.setblocking(False)
                await loop.sock_connect(client, listener.getsockname())
                (await loop.sock_accept(listener))[0].close()

            async def executor():
                self.assertEqual(await loop.run_in_executor(None, int, "7"), 7)

            async def watch(add, remove):
                a, _ = pair()
                add(a, int)
                self.assertTrue(remove(a))

            async def signals():
                import signal
                loop.add_signal_handler(signal.SIGUSR1, int)
                self.assertTrue(loop.remove_signal_handler(signal.SIGUSR1))

            async def create_task():
                await loop.create_task(asyncio.sleep(0), name="one")

            async def exceptions():
                told = []
                loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
                self.assertIsNotNone(loop.get_exception_handler())
                loop.call_exception_handler({"message": "m"})
                self.assertEqual(told, ["m"])
                loop.set_exception_handler(None)

            async def factory():
                loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
                self.assertIsNotNone(loop.get_task_factory())
                await loop.create_task(asyncio.sleep(0))
                loop.set_task_factory(None)

            async def plain(call, *args):
                call(*args)

            async def awaited(call, *args):
                await call(*args)

            from concurrent.futures import ThreadPoolExecutor
            pool = stack.enter_context(ThreadPoolExecutor(1))
            yield {
                "call_soon": lambda: plain(loop.call_soon, int),
                "call_soon_threadsafe": lambda: plain(loop.call_soon_threadsafe, int),
                "call_later": lambda: plain(loop.call_later, 0, int), "call_at": lambda: plain(loop.call_at, 0, int),
                "time": lambda: plain(loop.time), "create_future": lambda: plain(loop.create_future),
                "create_task": create_task, "is_running": lambda: plain(loop.is_running),
                "is_closed": lambda: plain(loop.is_closed), "get_debug": lambda: plain(loop.get_debug),
                "set_debug": lambda: plain(loop.set_debug, False), "_timer_handle_cancelled": lambda: plain(
                    loop._timer_handle_cancelled, loop.call_later(1, int)),
                "run_in_executor": executor, "set_default_executor": lambda: plain(loop.set_default_executor, pool),
                "getaddrinfo": lambda: awaited(loop.getaddrinfo, "127.0.0.1", 1),
                "getnameinfo": lambda: awaited(loop.getnameinfo, ("127.0.0.1", 80)),
                "create_connection": create_connection, "create_server": create_server, "sendfile": sendfile,
                "start_tls": start_tls, "create_unix_connection": unix, "create_unix_server": unix,
                "connect_accepted_socket": connect_accepted_socket, "create_datagram_endpoint": create_datagram_endpoint,
                "connect_read_pipe": lambda: pipe(loop.connect_read_pipe, "r"),
                "connect_write_pipe": lambda: pipe(loop.connect_write_pipe, "w"),
                "subprocess_shell": lambda: process(loop.subprocess_shell, "true"),
                "subprocess_exec": lambda: process(loop.subprocess_exec, "true"),
                "add_reader": lambda: watch(loop.add_reader, loop.remove_reader),
                "remove_reader": lambda: watch(loop.add_reader, loop.remove_reader),
                "add_writer": lambda: watch(loop.add_writer, loop.remove_writer),
                "remove_writer": lambda: watch(loop.add_writer, loop.remove_writer),
                "sock_recv": sock_recv, "sock_recv_into": sock_recv_into, "sock_sendall": sock_sendall,
                "sock_recvfrom": sock_recvfrom, "sock_recvfrom_into": sock_recvfrom_into, "sock_sendto": sock_recvfrom,
                "sock_connect": sock_connect, "sock_accept": sock_connect, "sock_sendfile": sock_sendfile,
                "add_signal_handler": signals, "remove_signal_handler": signals,
                "set_task_factory": factory, "get_task_factory": factory, "get_exception_handler": exceptions,
                "set_exception_handler": exceptions, "call_exception_handler": exceptions,
                "default_exception_handler": lambda: plain(loop.default_exception_handler, {"message": "said by a test"}),
                "shutdown_asyncgens": lambda: awaited(loop.shutdown_asyncgens),
                # each of the others: what runs and ends a loop
                "stop": None, "run_forever": None, "run_until_complete": None, "close": None, "shutdown_default_executor": None,
            }

    def test_every_method(self):
        names = [name for name, method in vars(asyncio.AbstractEventLoop).items()
                 if inspect.isfunction(method) and not name.startswith("__")]
        for backend, make in OURS.items():
            loop = make()
            if sys.version_info < (3, 12):      # its watcher of children wants to know
                asyncio.set_event_loop(loop)
                self.addCleanup(asyncio.set_event_loop, None)
            with self.calls(loop) as calls, self.assertLogs("asyncio"):
                for name in names:
                    with self.subTest(name, backend=backend):
                        call = calls[name]
                        if call is not None:
                            loop.run_until_complete(asyncio.wait_for(call(), 20))
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.call_soon(loop.stop)
                loop.run_forever()
                loop.close()
                self.assertTrue(loop.is_closed())


class Servers(unittest.TestCase):
    @unittest.skipIf(sys.version_info < (3, 12), "servers wait for their connections since 3.12")
    def test_a_transport_that_is_forgotten_is_no_connection_of_its_server(self):
        """wait_closed() must not wait for what nobody can close any more."""
        class Quiet(asyncio.Protocol):
            def connection_made(self, transport):
                transport.pause_reading()       # nothing of the loop's holds it

        async def program():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(Quiet, "127.0.0.1", 0)
            with socket.create_connection(server.sockets[0].getsockname()), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                for _ in range(10):
                    await asyncio.sleep(0.001)
                gc.collect()
                server.close()
                await asyncio.wait_for(server.wait_closed(), 10)
                return [w.category for w in said if "unclosed transport" in str(w.message)]

        for make in OURS.values():
            with asyncio.Runner(loop_factory=make) as runner:
                self.assertEqual(runner.run(program()), [ResourceWarning])


if __name__ == "__main__":
    unittest.main()
