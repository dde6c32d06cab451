"""Programs of others, unchanged, on evenloop: servers and clients as their documentation writes them."""
import asyncio
import contextlib
import socket
import unittest

from support import LoopTest

try:
    import aiohttp
    import aiohttp.web
    import anyio
    import httpx
    import uvicorn
    import websockets
except ImportError as why:
    raise unittest.SkipTest(f"from PyPI: {why}") from None


def free_socket():
    return socket.create_server(("127.0.0.1", 0))


class Programs(LoopTest):
    def test_aiohttp(self):
        async def program():
            async def hello(request):
                return aiohttp.web.json_response({"path": request.path, "body": await request.text()})

            async def echo(request):
                ws = aiohttp.web.WebSocketResponse()
                await ws.prepare(request)
                async for message in ws:
                    await ws.send_str(message.data + "!")
                return ws

            app = aiohttp.web.Application(client_max_size=64 << 20)
            app.router.add_post("/big", hello)
            app.router.add_get("/ws", echo)
            app.router.add_get("/{name}", hello)
            runner = aiohttp.web.AppRunner(app)
            await runner.setup()
            sock = free_socket()
            await aiohttp.web.SockSite(runner, sock).start()
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            async with aiohttp.ClientSession() as session:
                answers = await asyncio.gather(*(self.fetch(session, f"{url}/{i}") for i in range(50)))
                self.assertEqual([a["path"] for a in answers], [f"/{i}" for i in range(50)])
                async with session.post(f"{url}/big", data="x" * 5_000_000) as response:
                    self.assertEqual(len((await response.json())["body"]), 5_000_000)
                async with session.ws_connect(f"{url}/ws") as ws:
                    await ws.send_str("a")
                    self.assertEqual(await ws.receive_str(), "a!")
            await runner.cleanup()
        self.on_both(program)

    async def fetch(self, session, url):
        async with session.get(url) as response:
            return await response.json()

    def test_uvicorn_and_httpx(self):
        async def app(scope, receive, send):
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": scope["path"].encode() + body, "more_body": False})

        async def program():
            sock = free_socket()
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
            with contextlib.ExitStack() as stack:
                stack.callback(sock.close)
                task = asyncio.create_task(server.serve(sockets=[sock]))
                while not server.started:
                    await asyncio.sleep(0.01)
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}") as client:
                    answers = await asyncio.gather(*(client.post(f"/{i}", content=b"x" * i) for i in range(20)))
                    self.assertEqual([a.text for a in answers], [f"/{i}" + "x" * i for i in range(20)])
                server.should_exit = True
                await task
        self.on_both(program)

    def test_websockets(self):
        async def program():
            async def echo(connection):
                async for message in connection:
                    await connection.send(message)

            async with websockets.serve(echo, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with websockets.connect(f"ws://127.0.0.1:{port}") as client:
                    for size in (1, 1000, 500_000):
                        await client.send("x" * size)
                        self.assertEqual(len(await client.recv()), size)
        self.on_both(program)

    def test_anyio(self):
        async def program():
            async def handle(stream):
                async with stream:
                    async for data in stream:
                        await stream.send(data.upper())

            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, handle)
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"hello")
                    self.assertEqual(await stream.receive(), b"HELLO")
                self.assertEqual(await anyio.to_thread.run_sync(lambda: 7), 7)
                process = await anyio.run_process(["echo", "said"])
                self.assertEqual(process.stdout, b"said\n")
                group.cancel_scope.cancel()
            await listener.aclose()
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
