"""A web server of others on some loop: web.py LOOP aiohttp|uvicorn HOST PORT. Says "Hello, world!"; no log of accesses."""
import asyncio
import sys

from loops import factory


async def serve_aiohttp(host, port):
    from aiohttp import web

    async def hello(request):
        return web.Response(text="Hello, world!")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    await asyncio.Event().wait()


async def serve_uvicorn(host, port):
    import uvicorn

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")]})
        await send({"type": "http.response.body", "body": b"Hello, world!"})

    await uvicorn.Server(uvicorn.Config(app, host, port, http="httptools", ws="none", lifespan="off", backlog=1024,
                                        access_log=False, log_level="error")).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=factory(sys.argv[1])) as the_runner:
        the_runner.run({"aiohttp": serve_aiohttp, "uvicorn": serve_uvicorn}[sys.argv[2]](sys.argv[3], int(sys.argv[4])))
