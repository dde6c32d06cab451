"""The lines of docs/python.md, "What you run: its line": each is started, and asked on which loop it runs."""
import importlib.util
import pathlib
import re
import signal
import textwrap
import unittest

import test_kernels
from started import ASGI, ASYNCIO, EVENLOOP, NAMED, STARTED, UVLOOP, StartedTest, free_port, installed, line
from support import python

AIOHTTP = NAMED + """
from aiohttp import web
async def hello(request):
    return web.Response(text=loop_of_this())
app = web.Application()
app.router.add_get("/", hello)
def init(arguments):
    return app
"""
QUART = NAMED + """
from quart import Quart
app = Quart(__name__)
@app.get("/")
async def hello():
    return loop_of_this()
"""
UVICORNS = UVLOOP if importlib.util.find_spec("uvloop") else ASYNCIO


def with_defaults(function, **options):
    """What a program starts with so that the line may leave out where to listen."""
    return f"import functools\n{function} = functools.partial({function}, **{options!r})\n"


class ServerTest(StartedTest):
    def serves(self, command, kind=EVENLOOP):
        """It answers on such a loop, and ends when it is told to: what it said."""
        server = self.start(command)
        self.assertEqual(server.get(server.port()), kind, server.said)
        return server.end()[1]

    def program_serves(self, text):
        self.write("program.py", text)
        self.serves("python program.py")

    def check_serves(self, command, *loops, kind=EVENLOOP):
        """The same, of a line that begins with `python -m evenloop`: these are all of the loops."""
        self.assertTrue(command.startswith("python -m evenloop -m "))
        said = self.serves(command.replace("-m evenloop", "-m evenloop --check", 1), kind)
        self.assertChecked(said, *loops)


class Lines(ServerTest):
    @installed("uvicorn")
    @line("uvicorn", "uvicorn --loop evenloop:new_event_loop app:app")
    def test_uvicorn(self, command):
        self.write("app.py", ASGI)
        for more in ("", " --workers 2", " --reload"):
            with self.subTest(more):
                self.serves(f"{command} --port 0{more}")

    @installed("uvicorn")
    @line("uvicorn, in a program", 'uvicorn.run("app:app", loop="evenloop:new_event_loop")')
    def test_uvicorn_in_a_program(self, text):
        self.write("app.py", ASGI)
        self.program_serves(f"import uvicorn\n{with_defaults('uvicorn.run', port=0)}{text}\n")

    @installed("hypercorn")
    @line("hypercorn", "python -m evenloop -m hypercorn --workers 0 app:app")
    def test_hypercorn(self, command):
        self.write("app.py", ASGI)
        self.check_serves(f"{command} --bind 127.0.0.1:0", EVENLOOP)

    @installed("hypercorn")
    @line("hypercorn, more workers", "evenloop.install()")
    def test_hypercorn_with_workers(self, text):
        self.write("app.py", f"import evenloop\n{text}\n{ASGI}")
        self.check_serves("python -m evenloop -m hypercorn --workers 2 app:app --bind 127.0.0.1:0", EVENLOOP, EVENLOOP)
        self.serves("hypercorn --workers 1 app:app --bind 127.0.0.1:0")

    @installed("hypercorn")
    @line("hypercorn, in a program", "evenloop.run(hypercorn.asyncio.serve(app, config))")
    def test_hypercorn_in_a_program(self, text):
        self.program_serves(ASGI + textwrap.dedent("""
            import evenloop, hypercorn.asyncio, hypercorn.config
            config = hypercorn.config.Config()
            config.bind = ["127.0.0.1:0"]
        """) + text)

    @installed("gunicorn", "uvicorn_worker")
    @line("gunicorn, ASGI", "gunicorn -k evenloop.gunicorn.Worker app:app")
    def test_gunicorn(self, command):
        self.write("app.py", ASGI)
        for more in ("", " --preload"):
            with self.subTest(more):
                self.serves(f"{command} --bind 127.0.0.1:0{more}")

    @installed("gunicorn", "uvicorn_worker")
    def test_gunicorn_with_workers(self):
        self.write("app.py", ASGI)
        options = "-k evenloop.gunicorn.Worker -w 2 -b 127.0.0.1:0"
        server = self.start(f"python -m evenloop --check -m gunicorn {options} app:app")
        self.assertEqual(server.get(server.port()), EVENLOOP)
        server.until(r"(?s)startup complete.*startup complete")
        code, said = server.end()
        self.assertEqual(code, 0, said)
        self.assertEqual(len(re.findall(f"  {EVENLOOP}  process .*  thread MainThread\n", said)), 2, said)

    @installed("gunicorn", "aiohttp")
    @line("gunicorn, aiohttp", "python -m evenloop -m gunicorn -k aiohttp.GunicornWebWorker app:app")
    def test_gunicorn_with_aiohttp(self, command):
        self.write("app.py", AIOHTTP)
        self.serves(f"{command} --bind 127.0.0.1:0")

    @installed("aiohttp")
    @line("aiohttp", "web.run_app(app, loop=evenloop.new_event_loop())")
    def test_aiohttp(self, text):
        where = with_defaults("web.run_app", host="127.0.0.1", port=0)
        self.program_serves(f"import evenloop\n{AIOHTTP}{where}{text}\n")

    @installed("aiohttp")
    @line("aiohttp, its command", "python -m evenloop -m aiohttp.web app:init")
    def test_aiohttps_command(self, command):
        self.write("app.py", AIOHTTP)
        self.check_serves(f"{command} --hostname 127.0.0.1 --port 0", EVENLOOP)

    @installed("aiohttp")
    @line("aiohttp, as a library", "evenloop.run(main())")
    def test_aiohttp_as_a_library(self, text):
        self.write("program.py", AIOHTTP + textwrap.dedent("""
            import aiohttp, evenloop
            async def main():
                runner = web.AppRunner(app)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, port = runner.addresses[0]
                async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
                    print(loop_of_this(), await response.text())
                await runner.cleanup()
        """) + text)
        done = python("program.py", cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (0, f"{EVENLOOP} {EVENLOOP}\n"), done.stderr)

    @installed("quart")
    @line("Quart", "app.run(loop=evenloop.new_event_loop())")
    def test_quart(self, text):
        where = with_defaults("app.run", port=free_port(), use_reloader=False)
        self.program_serves(f"import evenloop\n{QUART}{where}{text}\n")

    @installed("quart")
    @line("Quart, its command", "python -m evenloop -m quart --app app:app run")
    def test_quarts_command(self, command):
        self.write("app.py", QUART)
        self.check_serves(f"{command} --port {free_port()}", EVENLOOP)

    @installed("anyio")
    @line("anyio", 'anyio.run(main, backend_options={"loop_factory": evenloop.new_event_loop})')
    def test_anyio(self, text):
        self.write("program.py", NAMED + textwrap.dedent("""
            import anyio, evenloop
            async def main():
                async def serve(stream):
                    async with stream:
                        await stream.send(loop_of_this().encode())
                listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
                async with listener, anyio.create_task_group() as group:
                    group.start_soon(listener.serve, serve)
                    port = listener.extra(anyio.abc.SocketAttribute.local_port)
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        print((await stream.receive()).decode())
                    group.cancel_scope.cancel()
        """) + text)
        done = python("program.py", cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (0, f"{EVENLOOP}\n"), done.stderr)

    @installed("anyio", "pytest")
    @line("anyio, under pytest", 'def anyio_backend(): return "asyncio", {"loop_factory": evenloop.new_event_loop}')
    def test_anyio_under_pytest(self, text):
        self.passes_pytest("anyio", "python -m pytest", f"import evenloop, pytest\n@pytest.fixture\n{text}\n")

    @installed("pytest_asyncio")
    @line("pytest-asyncio",
          'def pytest_asyncio_loop_factories(config, item): return {"evenloop": evenloop.new_event_loop}')
    def test_pytest_asyncio(self, text):
        self.passes_pytest("asyncio", "python -m pytest", f"import evenloop\n{text}\n")

    @installed("pytest_asyncio")
    @line("pytest-asyncio, any version", "python -m evenloop -m pytest")
    def test_pytest_asyncio_of_any_version(self, command):
        self.passes_pytest("asyncio", command)

    def passes_pytest(self, mark, command, conftest=""):
        self.write("conftest.py", conftest)
        self.write("test_it.py", NAMED + textwrap.dedent(f"""
            import pytest
            @pytest.mark.{mark}
            async def test_it():
                assert loop_of_this() == "{EVENLOOP}"
        """))
        code, said = self.start(command).end(None)
        self.assertEqual(code, 0, said)
        self.assertIn(" 1 passed", said)


# A client of Dask's that asks a worker on which loop it runs.
ASK_DASK = NAMED + """
def of_the_worker():
    from distributed import get_worker
    kind = type(get_worker().loop.asyncio_loop)
    return f"{kind.__module__}.{kind.__qualname__}"
"""


class Dask(ServerTest):
    def scheduler(self, command):
        server = self.start(f"{command} --host 127.0.0.1 --port 0 --no-dashboard")
        return server, server.until(r"Scheduler at: +(tcp://\S+)")[1]

    def worker(self, command, address):
        worker = self.start(command.replace("tcp://127.0.0.1:8786", address) + " --no-dashboard")
        worker.until("Registered to:")
        return worker

    def of_a_worker(self, address):
        self.write("client.py", ASK_DASK + textwrap.dedent(f"""
            from distributed import Client
            if __name__ == "__main__":
                with Client("{address}") as client:
                    print(client.submit(of_the_worker).result(timeout=60))
        """))
        done = python("client.py", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    @installed("distributed")
    @line("Dask, scheduler", "python -m evenloop -m dask scheduler")
    @line("Dask, worker", "python -m evenloop -m dask worker --no-nanny tcp://127.0.0.1:8786")
    def test_scheduler_and_worker(self, worker_command, scheduler_command):
        checked = "python -m evenloop --check"
        scheduler, address = self.scheduler(scheduler_command.replace("python -m evenloop", checked))
        worker = self.worker(worker_command.replace("python -m evenloop", checked), address)
        self.assertEqual(self.of_a_worker(address), EVENLOOP)
        for process in (worker, scheduler):
            code, said = process.end(signal.SIGINT)
            self.assertEqual(code, 0, said)
            self.assertChecked(said, EVENLOOP)

    @installed("distributed")
    @line("Dask, in a program", "evenloop.install()")
    def test_in_a_program(self, text):
        self.write("program.py", f"import evenloop\n{text}\n{ASK_DASK}" + textwrap.dedent("""
            from distributed import Client, LocalCluster
            if __name__ == "__main__":
                options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
                with LocalCluster(**options) as cluster, Client(cluster) as client:
                    print(client.submit(of_the_worker).result(timeout=60))
        """))
        code, said = self.start("python -m evenloop --check program.py").end(None)
        self.assertEqual((code, said.count(f"{EVENLOOP}\n")), (0, 1), said)
        self.assertChecked(said, EVENLOOP, EVENLOOP)

    @installed("distributed")
    @line("", "python -m evenloop -m dask worker tcp://127.0.0.1:8786")
    def test_a_nanny_spawns_another_loop(self, command):
        scheduler, address = self.scheduler("python -m evenloop -m dask scheduler")
        worker = self.worker(command.replace("-m evenloop", "-m evenloop --check"), address)
        self.assertEqual(self.of_a_worker(address), ASYNCIO)
        code, said = worker.end(signal.SIGINT)
        self.assertEqual(code, 1, said)
        self.assertChecked(said, EVENLOOP, ASYNCIO)


class Others(ServerTest):
    """The lines that run another loop do."""

    def setUp(self):
        super().setUp()
        self.write("app.py", ASGI)

    @installed("uvicorn")
    @line("", "python -m evenloop -m uvicorn app:app")
    def test_uvicorn(self, command):
        self.check_serves(f"{command} --port 0", UVICORNS, kind=UVICORNS)

    @installed("uvicorn")
    @line("", "python -m evenloop -m uvicorn --loop none --workers 2 app:app")
    def test_uvicorns_workers(self, command):
        self.serves(f"{command} --port 0", ASYNCIO)
        self.serves(command.replace("--workers 2", "--workers 1") + " --port 0", EVENLOOP)

    @installed("hypercorn")
    @line("", "python -m evenloop -m hypercorn app:app")
    def test_hypercorn(self, command):
        self.check_serves(f"{command} --bind 127.0.0.1:0", ASYNCIO, kind=ASYNCIO)

    @installed("gunicorn", "uvicorn_worker")
    @line("", "python -m evenloop -m gunicorn -k uvicorn_worker.UvicornWorker app:app")
    def test_gunicorn_with_uvicorns_worker(self, command):
        self.serves(f"{command} --bind 127.0.0.1:0", UVICORNS)

    @installed("gunicorn.workers.gasgi")
    @line("", "python -m evenloop -m gunicorn -k asgi app:app")
    def test_gunicorns_own(self, command):
        self.serves(f"{command} --bind 127.0.0.1:0", UVLOOP if UVICORNS == UVLOOP else EVENLOOP)
        self.serves(f"{command} --bind 127.0.0.1:0 --asgi-loop asyncio", EVENLOOP)


class Worker(unittest.TestCase):
    """evenloop.gunicorn"""

    def test_importing_evenloop_imports_no_gunicorn(self):
        done = python("-c", "import evenloop, sys; print([name for name in sys.modules if 'gunicorn' in name])")
        self.assertEqual(done.stdout, "[]\n", done.stderr)

    def test_what_it_needs_is_named(self):
        done = python("-c", "import sys; sys.modules.update({'uvicorn_worker': None, 'uvicorn.workers': None}); "
                            "import evenloop.gunicorn")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.splitlines()[-1], r"^ImportError: .* pip install gunicorn uvicorn uvicorn-worker$")

    @installed("gunicorn", "uvicorn.workers")
    def test_uvicorns_older_worker(self):
        done = python("-c", "import sys; sys.modules['uvicorn_worker'] = None\n"
                            "import evenloop.gunicorn; print(evenloop.gunicorn.Worker.__mro__[1].__module__)")
        self.assertEqual(done.stdout, "uvicorn.workers\n", done.stderr)


class Manual(unittest.TestCase):
    def test_its_lines_are_those_that_are_started(self):
        """Its first table: what, the line, a remark. Its second: a line that runs another loop, which loop."""
        text = pathlib.Path(__file__).parent.parent.parent.joinpath("docs", "python.md").read_text()
        section = text.split("\n## What you run: its line\n")[1].split("\n## ")[0]
        rows = [row.strip("|").split(" | ") for row in section.splitlines() if row.startswith("| ")]
        rows = [[cell.strip(" `") for cell in row] for row in rows]
        lines = {(row[0], row[1]) if len(row) == 3 else ("", row[0]) for row in rows if row[0]}
        self.assertEqual(lines, STARTED)
        self.assertGreaterEqual(STARTED, {("Jupyter", test_kernels.LINE)})


if __name__ == "__main__":
    unittest.main()
