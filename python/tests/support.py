"""What many of the tests use: loops to run programs on, protocols and functions to wait with, Python in another process."""
import asyncio
import contextlib
import functools
import gc
import os
import resource
import signal
import subprocess
import sys
import unittest

import evenloop

SANITIZED = "EVENLOOP_SANITIZED" in os.environ      # what was freed is kept for a while: memory tells nothing
OURS = {name: functools.partial(evenloop.Loop, backend=name) for name in ("uring", "epoll")}
LOOPS = {"asyncio": asyncio.SelectorEventLoop} | OURS


class LoopTest(unittest.TestCase):
    def on_each(self, loops, function, *args, **options):
        """The coroutine function on each of the loops; `options` are Runner's. What a loop tells its exception handler is a
        failure, unless told() takes it."""
        for name, make in loops.items():
            with self.subTest(name, args=args):
                self.problems = []
                with asyncio.Runner(loop_factory=make, **options) as runner:
                    runner.get_loop().set_exception_handler(lambda loop, context: self.problems.append(context))
                    runner.run(asyncio.wait_for(function(*args), 40))
                    runner.run(asyncio.sleep(0))
                self.assertEqual(self.problems, [])

    def on_both(self, function, *args, **options):
        self.on_each(OURS, function, *args, **options)

    def told(self, key="message"):
        """That of each problem so far."""
        told, self.problems = [context[key] for context in self.problems], []
        return told


class Recorder(asyncio.Protocol):
    def __init__(self):
        self.pieces, self.events = [], []
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.pieces.append(data)
        self.changed.set()

    @property
    def data(self):
        return b"".join(self.pieces)

    async def until(self, n):
        """n bytes came."""
        while sum(map(len, self.pieces)) < n:
            self.changed.clear()
            await self.changed.wait()

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")
        self.changed.set()

    def eof_received(self):
        self.events.append("eof")

    def connection_lost(self, exc):
        self.lost.set_result(exc)
        self.changed.set()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def turns(n=5):
    for _ in range(n):
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def no_collector():
    """What goes, goes at once: it is in no cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def none_left(but=0):
    """No descriptor is free in here, but so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open("/dev/null", os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 20, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        for _ in range(but):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


def python(*arguments, together=False, cwd=None, **environment):
    """Python run so, its errors together with its output or apart. Its environment says of loops what is given, no more."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVENLOOP_", "PYTHONASYNCIODEBUG"))}
    return subprocess.run([sys.executable, *map(str, arguments)], timeout=60, text=True, cwd=cwd, env={**kept, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT if together else subprocess.PIPE)


def outcome(*arguments, signals=(), **environment):
    """(exit status, output, errors) of Python run so. A signal is sent whenever it says "ready"."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))    # a shell's background jobs ignore it: not this one
    said = ""
    try:
        for number in signals:
            for line in process.stdout:
                said += line
                if line == "ready\n":
                    process.send_signal(number)
                    break
        rest, errors = process.communicate(timeout=60)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, said + rest, errors
