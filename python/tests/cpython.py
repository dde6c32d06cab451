#!/usr/bin/env python3
"""CPython's own asyncio tests, run on evenloop: cpython.py [--backend NAME] [-j N] [--list] [--streams] [PART OF A NAME ...]

The tests are those of the `test` package of the Python that runs this. One process a test, forked from one that has
imported everything; each with a time-out. A test in which a loop of another type runs has failed, whatever it says.
What does not apply to another loop stands in not_applicable.toml, a reason a line; it is run all the same, and one that
passes is told, so that the list gets shorter.
"""
import argparse
import asyncio
import asyncio.sslproto
import asyncio.unix_events
import fnmatch
import importlib
import os
import pathlib
import select
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import unittest
import warnings

import evenloop._tls

HERE = pathlib.Path(__file__).parent
TIMEOUT = 60

# Those that run a loop; the others (futures, runners, base_events, selector_events, ...) look at a mock's insides.
MODULES = """test_events test_sock_lowlevel test_sendfile test_server test_buffered_proto test_sslproto test_ssl test_subprocess
test_streams test_tasks test_eager_task_factory test_free_threading test_futures2 test_taskgroups test_timeouts test_waitfor
test_locks test_queues test_threads test_context test_staggered""".split()

# The same tests over other selectors, of which there is none here.
TWICE = ("SelectEventLoopTests", "PollEventLoopTests", "SelectLoopTests", "PollLoopTests")


class TestedLoop(evenloop.Loop):
    """What the tests get when they ask for a selector's loop."""

    def __init__(self, selector=None):
        super().__init__()
        if selector is not None:
            selector.close()


class VirtualLoop(TestedLoop):
    """What they get when they ask for a mock with a clock of its own; `gen`, which would turn it, is not needed."""

    def __new__(cls, gen=None):
        return super().__new__(cls, backend="sim")

    def __init__(self, gen=None):
        super().__init__()

    def advance_time(self, seconds):
        self.run_until_complete(asyncio.sleep(seconds))


def redirect(streams):
    """Tests make their loops in many ways: all lead here. And whoever runs another one hears of it."""
    for module in (asyncio, asyncio.unix_events):
        module.SelectorEventLoop = TestedLoop
    for module in (asyncio, asyncio.unix_events):
        if hasattr(module, "EventLoop"):
            module.EventLoop = TestedLoop
    policy = getattr(asyncio.unix_events, "_UnixDefaultEventLoopPolicy", None)
    if policy:
        policy._loop_factory = TestedLoop
    else:
        asyncio.new_event_loop = asyncio.events.new_event_loop = TestedLoop

    # Tests that make a TLS protocol without a loop's help get ours.
    asyncio.sslproto.SSLProtocol = evenloop._tls.SSLProtocol
    if streams:
        for name in evenloop.__all__:
            if "stream" in name.lower() or name in ("open_connection", "start_server"):
                if hasattr(asyncio, name):
                    setattr(asyncio, name, getattr(evenloop, name))

    # The loop of asyncio's own unit tests, whose clock is turned by hand: ours in virtual time.
    from test.test_asyncio import utils
    utils.TestLoop = VirtualLoop

    run_forever = asyncio.base_events.BaseEventLoop.run_forever

    def checked(self):
        if not isinstance(self, evenloop.Loop):
            foreign.append(type(self).__name__)
        return run_forever(self)

    asyncio.base_events.BaseEventLoop.run_forever = checked


foreign = []


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def collect():
    tests = []
    for name in MODULES:
        try:
            module = importlib.import_module(f"test.test_asyncio.{name}")
        except ModuleNotFoundError:
            continue
        except unittest.SkipTest:
            continue
        for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
            short = test.id().removeprefix("test.test_asyncio.")
            if not any(part in TWICE for part in short.split(".")):
                tests.append((short, test))
    return tests


class Result(unittest.TestResult):
    def verdict(self):
        bad = self.errors + self.failures
        if bad:
            return "FAIL", "\n".join(text for _, text in bad)
        if foreign:
            return "FAIL", f"a loop of another type ran: {foreign[0]}"
        if self.unexpectedSuccesses:
            return "FAIL", "unexpected success"
        if self.skipped:
            return "SKIP", self.skipped[0][1]
        return "PASS", ""


def run_one(test, write):
    """In the child: the verdict goes through the pipe."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    out = os.memfd_create("output")
    os.dup2(out, 1)
    os.dup2(out, 2)
    result = Result()
    try:
        with tempfile.TemporaryDirectory() as folder:       # its own, for the files that tests make
            os.chdir(folder)
            unittest.TestSuite([test]).run(result)          # a suite, so that its class is set up as well
            os.chdir("/")
        verdict, text = result.verdict()
    except BaseException:
        verdict, text = "FAIL", traceback.format_exc()
    if verdict == "FAIL":
        os.lseek(out, 0, 0)
        text += "\n--- output\n" + os.read(out, 4000).decode(errors="replace")
    data = f"{verdict}\n{text}".encode()[:60000]
    while data:
        data = data[os.write(write, data):]
    os._exit(0)


def run_all(tests, jobs):
    """Yields (name, verdict, text)."""
    running, todo = {}, list(reversed(tests))
    while todo or running:
        while todo and len(running) < jobs:
            name, test = todo.pop()
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                os.close(read)
                run_one(test, write)
            os.close(write)
            running[read] = [name, pid, b"", time.monotonic() + TIMEOUT]
        ready, _, _ = select.select(list(running), [], [], 0.5)
        for fd in list(running):
            name, pid, data, end = running[fd]
            if fd in ready:
                more = os.read(fd, 65536)
                running[fd][2] += more
                if more:
                    continue
            elif time.monotonic() < end:
                continue
            del running[fd]
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            _, status = os.waitpid(pid, 0)
            os.close(fd)
            verdict, _, text = data.decode(errors="replace").partition("\n")
            if fd not in ready:
                verdict, text = "FAIL", f"no end after {TIMEOUT} s"
            elif not verdict:
                verdict, text = "FAIL", f"died with status {status:#x}"
            yield name, verdict, text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend")
    parser.add_argument("-j", type=int, default=os.cpu_count())
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--streams", action="store_true", help="asyncio's streams are evenloop's, too")
    parser.add_argument("-v", action="store_true", help="print why a test failed")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.backend:
        os.environ["EVENLOOP_BACKEND"] = options.backend
    warnings.simplefilter("ignore")

    redirect(options.streams)
    tests = [(n, t) for n, t in collect() if not options.names or any(part in n for part in options.names)]
    if options.list:
        print(*(n for n, _ in tests), sep="\n")
        return 0
    with open(HERE / "not_applicable.toml", "rb") as file:
        not_applicable = tomllib.load(file)["tests"]

    counts = {"PASS": 0, "FAIL": 0, "SKIP": 0, "N/A": 0}
    for name, verdict, text in run_all(tests, options.j):
        reason = next((r for pattern, r in not_applicable.items() if fnmatch.fnmatch(name, pattern)), None)
        if reason and verdict == "FAIL":
            verdict = "N/A"
        elif verdict == "FAIL":
            print(f"FAIL {name}", flush=True)
            if options.v:
                print("    " + text.strip().replace("\n", "\n    "), flush=True)
        elif verdict == "PASS" and reason:
            print(f"{name} passes: not_applicable.toml need not name it")
        counts[verdict] += 1
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"CPython {version}, {options.backend or 'default'}: {counts['PASS']} passed, {counts['FAIL']} failed, "
          f"{counts['SKIP']} skipped by the tests themselves, {counts['N/A']} do not apply")
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP'] + counts['N/A']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
