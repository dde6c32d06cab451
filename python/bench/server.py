"""A server on some loop: server.py LOOP MODE[:ARGUMENT] HOST PORT. Runs until SIGINT.

Echoes: protocol, buffered, streams, own-streams (evenloop's functions), sock, tls:FILE (with certificate and key).
Others:  answer:BYTES    to each request of 64 bytes two writes: the request, and so many bytes
         upload:BYTES    takes so many bytes, then gives the first eight back
         download:BYTES  to each request of 64 bytes, itself and so many bytes in pieces, no faster than they go
"""
import asyncio
import resource
import signal
import socket
import ssl
import sys

from loops import factory

REQUEST = 64
PIECE = bytes(range(256)) * 256     # the load knows these bytes


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = memoryview(bytearray(65536))

    def get_buffer(self, size):
        return self.buffer

    def buffer_updated(self, n):
        self.transport.write(bytes(self.buffer[:n]))


class Answer(asyncio.Protocol):
    def __init__(self, size):
        self.body = (PIECE * (size // len(PIECE) + 1))[:size]
        self.request = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.request += data
        if len(self.request) == REQUEST:
            self.transport.write(self.request)
            self.transport.write(self.body)
            self.request = b""


class Upload(asyncio.Protocol):
    def __init__(self, size):
        self.size = self.left = size
        self.first = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if len(self.first) < 8:
            self.first += data[:8 - len(self.first)]
        self.left -= len(data)
        if not self.left:
            self.transport.write(self.first)
            self.left, self.first = self.size, b""


class Download(asyncio.Protocol):
    def __init__(self, size):
        self.size, self.left, self.paused, self.requested = size, 0, False, 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.requested += len(data)
        if self.requested == REQUEST:
            self.requested, self.left = 0, self.size
            self.more()

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False
        self.more()

    def more(self):
        while self.left and not self.paused:
            piece = PIECE if self.left >= len(PIECE) else PIECE[:self.left]
            self.left -= len(piece)
            self.transport.write(piece)


async def stream(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def sock_client(loop, client):
    with client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := await loop.sock_recv(client, 65536):
            await loop.sock_sendall(client, data)


async def sock_server(loop, host, port, tasks):
    listener = socket.create_server((host, port), backlog=1024)
    listener.setblocking(False)
    while True:
        client, _ = await loop.sock_accept(listener)
        client.setblocking(False)
        tasks.add(loop.create_task(sock_client(loop, client)))


PROTOCOLS = {"answer": Answer, "upload": Upload, "download": Download}


async def main(mode, host, port):
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, end.set)
    mode, _, argument = mode.partition(":")
    tasks = set()
    if mode == "protocol":
        await loop.create_server(Echo, host, port, backlog=1024)
    elif mode == "buffered":
        await loop.create_server(BufferedEcho, host, port, backlog=1024)
    elif mode == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(argument)
        await loop.create_server(Echo, host, port, backlog=1024, ssl=context)
    elif mode in PROTOCOLS:
        size = int(argument)
        await loop.create_server(lambda: PROTOCOLS[mode](size), host, port, backlog=1024)
    elif mode == "streams":
        await asyncio.start_server(stream, host, port, backlog=1024)
    elif mode == "own-streams":
        import evenloop
        await evenloop.start_server(stream, host, port, backlog=1024)
    elif mode == "sock":
        tasks.add(loop.create_task(sock_server(loop, host, port, tasks)))
    else:
        sys.exit(f"no mode '{mode}'")
    await end.wait()


def many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    many_files()
    with asyncio.Runner(loop_factory=factory(sys.argv[1])) as runner:
        try:
            runner.run(main(sys.argv[2], sys.argv[3], int(sys.argv[4])))
        except asyncio.CancelledError:
            pass
