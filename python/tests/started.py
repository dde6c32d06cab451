"""Programs of others, started as their users start them: what they say, what they answer, and how they end."""
import contextlib
import functools
import http.client
import importlib.util
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from support import SANITIZED

PATIENCE = 200 if SANITIZED else 60         # seconds for anything that will come
EVENLOOP = "evenloop._loop.Loop"
ASYNCIO = "asyncio.unix_events._UnixSelectorEventLoop"
UVLOOP = "uvloop.Loop"

# What each of the servers serves says on which loop it is asked.
NAMED = """
import asyncio
def loop_of_this():
    kind = type(asyncio.get_running_loop())
    return f"{kind.__module__}.{kind.__qualname__}"
"""
ASGI = NAMED + """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": loop_of_this().encode()})
"""


# (What is run, its line) as in the manual's tables, each with a test that starts it. Those of other loops have no name.
STARTED = set()


def line(what, text):
    """The test gets this line, and starts it."""
    STARTED.add((what, text))
    return lambda test: functools.wraps(test)(lambda self, *others: test(self, text, *others))


def is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:             # not even what it is a part of
        return False


def installed(*modules):
    """A test needs these; it is skipped where one is missing."""
    missing = [name for name in modules if not is_there(name)]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def words(command):
    """Of a command line: `python` and the commands beside it are those of the environment that runs this."""
    first, *rest = shlex.split(command)
    return [sys.executable if first == "python" else os.path.join(os.path.dirname(sys.executable), first), *rest]


class Started:
    """A process with all that it starts; what it writes on standard output and standard error comes together."""

    def __init__(self, command, folder, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVENLOOP_", "PYTHONASYNCIODEBUG"))}
        self.deadline = time.monotonic() + PATIENCE
        self.said = ""
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, env={**kept, "PYTHONUNBUFFERED": "1", "HOME": str(folder), **environment},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))    # a shell's background jobs ignore it

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def _read(self):
        """More of what it says; False: that was all."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0, self.deadline - time.monotonic())):
                raise TimeoutError(f"{self.process.args} has said in {PATIENCE} s:\n{self.said}")
        data = os.read(self.process.stdout.fileno(), 65536)
        self.said += data.decode(errors="replace")
        return bool(data)

    def until(self, pattern):
        """It says this: the match."""
        while True:
            match = re.search(pattern, self.said)
            if match:
                return match
            if not self._read():
                raise EOFError(f"{self.process.args} ended with {self.process.wait()} and had said:\n{self.said}")

    def port(self):
        """That of 127.0.0.1 which it says it listens on; it does soon, if not now."""
        return int(self.until(r"http://(?:127\.0\.0\.1|0\.0\.0\.0|localhost):([1-9][0-9]*)")[1])

    def get(self, port):
        """What it answers to GET /."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()
            except ConnectionError:
                if self.process.poll() is not None or time.monotonic() > self.deadline:
                    raise AssertionError(f"{self.process.args} does not listen, and said:\n{self.said}") from None
                time.sleep(0.02)
            finally:
                connection.close()

    def end(self, number=signal.SIGTERM):
        """It is told to end (None: it does so by itself): the exit status, and all that it ever said."""
        if number is not None:
            self.process.send_signal(number)
        while self._read():
            pass
        return self.process.wait(PATIENCE), self.said


class StartedTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def start(self, command, **environment):
        """A command, or the line of one."""
        started = Started(words(command) if isinstance(command, str) else command, self.folder, **environment)
        self.enterContext(started)
        return started

    def assertChecked(self, said, *loops):
        """--check has printed these, and no others: types of loops, one for each process or thread."""
        self.assertIn("evenloop: the event loops that ran:\n", said)
        said = said.split("evenloop: the event loops that ran:\n")[1]
        printed = re.findall(r"^  (\S+)  process \d+  thread .*$", said, re.M)
        self.assertEqual(sorted(printed), sorted(loops), said)
