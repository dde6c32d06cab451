"""Threads, processes, sockets: what does not go with virtual time."""
import asyncio
import socket
import time


def work(n):
    time.sleep(n)
    return n


async def handle(reader, writer):
    while data := await reader.readline():
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    print(await asyncio.to_thread(work, 0.01), await loop.run_in_executor(None, work, 0.01))
    process = await asyncio.create_subprocess_exec("echo", "hi", stdout=asyncio.subprocess.PIPE)
    print(await process.communicate())
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    print(await reader.readline())
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    task = asyncio.create_task(loop.sock_recv(a, 10))
    await asyncio.sleep(0.01)
    await loop.sock_sendall(b, b"x")
    print(await task)
    a.close()
    b.close()

asyncio.run(main())
