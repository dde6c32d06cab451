"""What nth.py runs while an allocation fails: each program arms it, and says what it gives if none does."""
import asyncio
import contextvars
import gc
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import threading
import time

import evenloop
from evenloop import _core
from tls_peer import client_context, server_context

try:
    import _testcapi
except ImportError:         # some distributions keep it elsewhere
    _testcapi = None

STUCK = 2                   # the loop does: what it waited for was lost
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


class Run:
    """One run of a scenario: `nth` None: without a failure."""

    def __init__(self, backend, nth=None, burst=1):
        self.backend, self.nth, self.burst = backend, nth, burst
        self.told = []          # exceptions that were reported, not raised
        self.stuck = False

    def arm(self):
        if self.nth is not None:
            _testcapi.set_nomemory(self.nth, self.nth + self.burst)

    def loop(self):
        loop = evenloop.Loop(backend=self.backend)
        loop.set_exception_handler(lambda loop, context: self.told.append(context.get("exception") or context["message"]))
        loop.call_later(STUCK, self.give_up, loop)
        return loop

    def give_up(self, loop):
        self.stuck = True
        loop.stop()

    def until_complete(self, loop, coroutine):
        """As loop.run_until_complete(), armed once it runs; None if it is stuck."""
        async def main():
            self.arm()
            return await coroutine

        task = loop.create_task(main())
        task.add_done_callback(lambda task: loop.stop())
        loop.run_forever()
        return task.result() if task.done() else None


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r}, not {wanted!r}")


# ---- the loop ----

@scenario
def the_module(run):
    spec = _core.__spec__
    run.arm()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    equal(module.version, evenloop.__version__)


@scenario
def made_and_closed(run):
    run.arm()
    evenloop.Loop(backend=run.backend).close()


@scenario
def soon(run):
    loop, said, variable = run.loop(), [], contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, 5)
    run.arm()
    loop.call_soon(said.append, 1)
    loop.call_soon(lambda a, b, c: said.append(a + b + c), 0, 1, 1)
    loop.call_soon(lambda: said.append(variable.get()), context=context)
    loop.call_soon(lambda: loop.call_soon(said.append, 7)).cancel()
    handle = loop.call_soon(said.append, 8)
    loop.call_soon(said.append, 9)
    handle.cancel()
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    loop.run_forever()
    equal(said, [1, 2, 5, 9])
    loop.close()


@scenario
def timers(run):
    loop, said = run.loop(), []
    run.arm()
    for i in range(30):         # the heap grows
        loop.call_later(3600 + i, said.append, -1).cancel()
        loop.call_later(3600 + i, said.append, -1)
    loop.call_at(loop.time() - 1, said.append, 0)
    loop.call_later(0.002, said.append, 2)
    loop.call_later(0.001, said.append, 1)
    loop.call_later(0.003, loop.stop)
    loop.run_forever()
    equal(said, [0, 1, 2])
    loop.close()


@scenario
def debug_mode(run):
    loop, said = run.loop(), []
    loop.set_debug(True)
    run.arm()
    loop.call_soon(said.append, 1)
    loop.call_later(0, said.append, 2)
    loop.call_later(10, said.append, 3).cancel()
    loop.call_soon(said.append, 4).cancel()
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    equal(said, [1, 2])
    loop.close()


@scenario
def callbacks_that_raise(run):
    loop = run.loop()
    wrong = LookupError("wrong")

    def bad():
        raise wrong

    run.arm()
    loop.call_soon(bad)
    loop.call_later(0, bad)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    equal(run.told, [wrong, wrong])
    loop.close()


@scenario
def other_threads(run):
    loop, said = run.loop(), []
    read, write = os.pipe()         # threading.Event is not made for this

    def other():
        os.read(read, 1)
        time.sleep(0.002)           # the loop waits by now, or not yet: all the same
        for i in range(5):
            loop.call_soon_threadsafe(said.append, i)
        loop.call_later(0, said.append, 9)
        loop.call_soon(said.append, 5).cancel()
        loop.call_soon_threadsafe(loop.call_later, 0.001, loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.call_soon(os.write, write, b"x")
    run.arm()
    try:
        loop.run_forever()
    finally:
        try:
            os.write(write, b"x")
            thread.join()
        finally:
            os.close(read)
            os.close(write)
    equal(sorted(said), [0, 1, 2, 3, 4, 9])
    loop.close()


@scenario
def runs(run):
    loop, said = run.loop(), []

    def leave():
        raise SystemExit(3)

    run.arm()
    loop.stop()
    loop.run_forever()
    loop.call_soon(leave)
    loop.call_soon(said.append, 1)
    try:
        loop.run_forever()
    except SystemExit:
        said.append(0)
    equal(loop.run_until_complete(asyncio.sleep(0, 7)), 7)
    equal(said, [0, 1])
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@scenario
def tasks(run):
    loop = run.loop()

    async def part(n):
        await asyncio.sleep(0)
        await asyncio.sleep(0.0001)
        return n

    async def program():
        equal(await asyncio.gather(*(part(i) for i in range(5))), [0, 1, 2, 3, 4])
        task = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        try:
            await asyncio.wait_for(asyncio.sleep(10), 0.001)
        except TimeoutError:
            return 1

    equal(run.until_complete(loop, program()), 1)
    loop.close()


@scenario
def closed_with_things_queued(run):
    loop = run.loop()
    a, b = socket.socketpair()
    a.setblocking(False)
    with a, b:
        run.arm()
        loop.call_soon(print, 1)
        loop.call_later(0, print, 2)
        loop.call_later(3, print, 3)
        loop.call_soon_threadsafe(print, 4)
        loop.add_reader(a, print, 5)
        loop.add_writer(b, print, 6)
        equal(len(loop._ready) + len(loop._scheduled), 5)
        loop.close()


@scenario
def forgotten(run):
    loop = run.loop()
    loop.call_soon(print, loop)
    loop.call_later(3600, print, loop)
    a, b = socket.socketpair()
    a.setblocking(False)
    loop.add_reader(b, print, loop)
    task = loop.create_task(loop.sock_recv(a, 1))
    loop.call_soon(loop.stop)
    loop.run_forever()
    del loop, task, a, b
    run.arm()
    gc.collect()


@scenario
def signals(run):
    loop, said = run.loop(), []
    run.arm()
    loop.add_signal_handler(signal.SIGUSR1, said.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, lambda: loop.call_later(0.001, loop.stop))
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR2)
    loop.run_forever()
    equal(said, [1])
    equal(loop.remove_signal_handler(signal.SIGUSR1), True)
    loop.close()


# ---- descriptors ----

@scenario
def readers_and_writers(run):
    loop, said = run.loop(), []
    a, b = socket.socketpair()
    a.setblocking(False)

    def read():
        said.append(a.recv(10))
        loop.remove_reader(a)
        loop.call_soon(loop.stop)

    def write():
        b.send(b"x")
        loop.remove_writer(b.fileno())

    with a, b:
        run.arm()
        loop.add_reader(a, print, 1)
        loop.add_reader(a, read)
        loop.add_writer(a.fileno(), print)
        equal(loop.remove_writer(a), True)
        loop.add_writer(b, write)
        loop.run_forever()
        equal(said, [b"x"])
        equal((loop.remove_reader(a), loop.remove_writer(b)), (False, False))
        loop.close()


@scenario
def sock_calls(run):
    loop = run.loop()
    a, b = socket.socketpair()
    for end in a, b:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def program():
        sending = asyncio.create_task(loop.sock_sendall(a, b"x" * 30000))
        got = 0
        while got < 30000:
            got += len(await loop.sock_recv(b, 5000))
        await sending
        into = bytearray(10)
        waiting = asyncio.create_task(loop.sock_recv_into(b, into))
        await asyncio.sleep(0)
        a.send(b"yz")
        equal(await waiting, 2)
        cancelled = asyncio.create_task(loop.sock_recv(b, 1))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        a.shutdown(socket.SHUT_WR)
        return await loop.sock_recv(b, 1)

    with a, b:
        equal(run.until_complete(loop, program()), b"")
        loop.close()


@scenario
def sock_connections(run):
    loop = run.loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    client = socket.socket()
    client.setblocking(False)

    async def program():
        accepting = asyncio.create_task(loop.sock_accept(listener))
        await loop.sock_connect(client, listener.getsockname())
        server, _ = await accepting
        with server:
            await loop.sock_sendall(client, b"hello")
            return await loop.sock_recv(server, 10)

    with listener, client:
        equal(run.until_complete(loop, program()), b"hello")
        loop.close()


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(asyncio.Protocol):
    def __init__(self, loop, wanted):
        self.wanted, self.got, self.ended, self.lost = wanted, 0, loop.create_future(), False

    def data_received(self, data):
        self.got += len(data)
        if self.got >= self.wanted and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc):
        self.lost = True
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("lost"))


class Buffered(asyncio.BufferedProtocol):
    def __init__(self):
        self.buffer = bytearray(100)

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, n):
        self.transport.write(memoryview(self.buffer)[:n])


async def talk(loop, ends, factory, size):
    """Two transports on a pair of sockets: what one writes, the other sends back."""
    server, _ = await loop.create_connection(factory, sock=ends[0])
    client, protocol = await loop.create_connection(lambda: Client(loop, size), sock=ends[1])
    try:
        client.write(b"h" * (size - 3))
        client.write(bytearray(b"t"))
        client.writelines([b"a", memoryview(b"l")])
        client.pause_reading()
        client.resume_reading()
        await protocol.ended
        equal(protocol.got, size)
    finally:
        client.close()
        server.abort()
    while not protocol.lost:
        await asyncio.sleep(0.001)
    client.write(b"too late")
    return 1


@scenario
def transports(run):
    loop = run.loop()
    equal(run.until_complete(loop, talk(loop, socket.socketpair(), Echo, 1000)), 1)
    loop.close()


@scenario
def transports_in_bulk(run):
    loop = run.loop()
    equal(run.until_complete(loop, talk(loop, socket.socketpair(), Echo, 900_000)), 1)
    loop.close()


@scenario
def buffered_protocols(run):
    loop = run.loop()
    equal(run.until_complete(loop, talk(loop, socket.socketpair(), Buffered, 1000)), 1)
    loop.close()


@scenario
def transports_left_open(run):
    loop = run.loop()
    ends = socket.socketpair()

    async def program():
        transport, _ = await loop.create_connection(Echo, sock=ends[0])
        transport.write(b"x" * 10)
        await asyncio.sleep(0)
        transport.write(b"y" * 10)
        return 1

    equal(run.until_complete(loop, program()), 1)
    loop.close()
    del program
    ends[1].close()


async def serve(loop, open_connection, **options):
    async def handle(reader, writer):
        try:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        finally:
            if not loop.is_closed():
                writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    writer = None
    try:
        reader, writer = await open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        await writer.drain()
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        if writer is not None:
            writer.close()
        server.close()


def served(run, got):
    """A server drops a connection that it has no memory for, and asyncio tells of it in debug mode only."""
    if run.nth is None or got != b"":
        equal(got, b"hello\n")


@scenario
def servers_and_streams(run):
    loop = run.loop()
    served(run, run.until_complete(loop, serve(loop, asyncio.open_connection)))
    loop.close()


@scenario
def tls(run):
    if not shutil.which("openssl"):
        return
    theirs, ours = server_context(), client_context()
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE    # CPython's getpeercert() raises SystemError without memory
    loop = run.loop()

    async def open_connection(host, port):
        return await asyncio.open_connection(host, port, ssl=ours, server_hostname="localhost")

    served(run, run.until_complete(loop, serve(loop, open_connection, ssl=theirs)))
    loop.close()


@scenario
def datagrams(run):
    loop = run.loop()

    class Receiver(asyncio.DatagramProtocol):
        def __init__(self):
            self.got = loop.create_future()

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            if not self.got.done():
                self.got.set_result(data)

    async def program():
        there, receiver = await loop.create_datagram_endpoint(Receiver, ("127.0.0.1", 0))
        here = None
        try:
            here, _ = await loop.create_datagram_endpoint(Receiver, remote_addr=there.get_extra_info("sockname"))
            here.sendto(b"hello")
            return await receiver.got
        finally:
            there.close()
            if here is not None:
                here.close()

    equal(run.until_complete(loop, program()), b"hello")
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@scenario
def pipes(run):
    loop = run.loop()
    read, write = os.pipe()
    source, sink = os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)

    async def program():
        reader = asyncio.StreamReader()
        incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        outgoing = None
        try:
            outgoing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sink)
            outgoing.write(b"hello\n")
            return await reader.readline()
        finally:
            incoming.close()
            if outgoing is not None:
                outgoing.abort()

    try:
        equal(run.until_complete(loop, program()), b"hello\n")
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    finally:
        source.close()
        sink.close()


@scenario
def children(run):
    loop = run.loop()

    async def program():
        process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate(b"hello\n")
        return said, process.returncode

    equal(run.until_complete(loop, program()), (b"hello\n", 0))
    loop.close()


LONG = {"signals": 20}      # most of its allocations are of an enumeration's: only every Kth
