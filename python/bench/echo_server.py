"""An echo server on some loop: echo_server.py LOOP protocol|streams|sock HOST PORT. Runs until SIGINT."""
import asyncio
import signal
import socket
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


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


async def main(mode, host, port):
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, end.set)
    if mode == "protocol":
        await loop.create_server(Echo, host, port, backlog=1024)
    elif mode == "streams":
        await asyncio.start_server(stream, host, port, backlog=1024)
    else:
        listener = socket.create_server((host, port), backlog=1024)
        listener.setblocking(False)

        async def accept():
            while True:
                client, _ = await loop.sock_accept(listener)
                client.setblocking(False)
                tasks.add(loop.create_task(sock_client(loop, client)))
        tasks = set()
        tasks.add(loop.create_task(accept()))
    await end.wait()


def factory(name):
    if name == "asyncio":
        return asyncio.new_event_loop
    if name == "uvloop":
        import uvloop
        return uvloop.new_event_loop
    if name == "rloop":
        import rloop
        return rloop.new_event_loop
    import evenloop
    return lambda: evenloop.Loop(backend=name)      # "uring", "epoll"


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=factory(sys.argv[1])) as runner:
        try:
            runner.run(main(sys.argv[2], sys.argv[3], int(sys.argv[4])))
        except asyncio.CancelledError:
            pass
