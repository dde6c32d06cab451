#!/usr/bin/env python3
"""The Nth allocation fails, for every N: nth.py [--backend NAME] [--every K] [--burst K] [-j N] [-v] [PART OF A NAME ...]

Every allocation counts, the interpreter's, the extension's and the core's (_testcapi.set_nomemory). A scenario may end well, or
with a MemoryError that somebody hears of: whoever called, the loop's exception handler, or sys.unraisablehook. It may not crash,
hang, raise a SystemError, lose something without a word, or leave a descriptor open. One process an N, forked from one in which
the scenario has run before.

For 3.11: 3.12.1 and 3.13.0 crash in dictionaries of their own, whatever the loop.
"""
import argparse
import asyncio
import faulthandler
import gc
import linecache
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
import warnings
from asyncio.log import logger

import evenloop
from nth_scenarios import LONG, SCENARIOS, Run, _testcapi

TIMEOUT = 20                # seconds: the process hangs


# ---- a process for each N ----

def descriptors():
    """{number: what it is}"""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:       # that which listed them
            pass
    return found


STANDARD = (sysconfig.get_path("stdlib"), "<frozen")


def chain(exceptions):
    """All of them, with what they came from."""
    for exc in exceptions:
        while isinstance(exc, BaseException):
            yield exc
            exc = exc.__cause__ or exc.__context__


def files(exc):
    """Those of the functions that it came through."""
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(exc.__traceback__)]


def tells_of_memory(exc):
    """A MemoryError; or what the interpreter made of it when it could not call a function written in Python."""
    return isinstance(exc, MemoryError) or is_pythons_own(exc)


def is_pythons_own(exc):
    if not isinstance(exc, SystemError):
        return isinstance(exc, RuntimeError) and str(exc) == "can't allocate lock"
    return (str(exc).startswith("<function ") or str(exc) == "error return without exception set"
            and (sys.version_info < (3, 12) or "".join(files(exc)[-1:]).startswith(STANDARD)))


def let_go(exceptions):
    """What was in the middle of something is held by their tracebacks."""
    for exc in exceptions:
        traceback.clear_frames(exc.__traceback__)
        exc.__traceback__ = None
    exceptions.clear()


def close_what_is_held():
    """A failed call of a coroutine function leaks its arguments, in some versions of Python: so what a program could still
    close is closed. What is left has no owner. A child that nobody waits for is kept, with its pipes, by subprocess."""
    for o in gc.get_objects():
        files = [o.stdin, o.stdout] if type(o) is subprocess.Popen and hasattr(o, "stdout") else []
        for file in files if files else [o] if isinstance(o, (evenloop.Loop, socket.socket)) else []:
            try:
                file.close()
            except Exception:
                pass        # half made


class Listener(logging.Handler):
    """What asyncio logs, when an exception handler fails for one."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def emit(self, record):
        self.told.append(record.exc_info[1] if record.exc_info else record.getMessage())


def run_one(function, backend, nth, burst, every=1):
    """In the child: what is wrong (or ""), and whether there was an Nth allocation."""
    run = Run(backend, nth, burst)
    sys.unraisablehook = lambda unraisable: run.told.append(unraisable.exc_value)
    threading.excepthook = lambda args: run.told.append(args.exc_value)
    logger.addHandler(Listener(run.told))
    before, raised = descriptors(), None
    try:
        function(run)
    except BaseException as exc:
        raised = exc
    reached = True
    try:
        for _ in range(100 * burst + every):        # as far as the next N is from one that was reached
            bytearray(600)
    except MemoryError:
        reached = False
    _testcapi.remove_mem_hooks()

    everything = list(chain([raised, *run.told]))
    story = "".join("".join(traceback.format_exception(exc)) for exc in everything) or "nothing"
    # A descriptor that has no object yet, in socket.socketpair() and accept(), or in Popen(): asyncio loses it as well.
    ownerless = [kind for module, kind in ((socket, "socket:"), (subprocess, "pipe:"))
                 if any(module.__file__ in files(exc) for exc in everything)]
    wrong, heard = [], False
    for exc in everything:
        if tells_of_memory(exc):
            heard = True
        elif isinstance(exc, SystemError):
            wrong.append("a SystemError")
    failed = raised is not None or run.stuck
    # From here on, tasks tell what nobody asked them for.
    run.told.clear()
    let_go(everything)
    raised = exc = None
    # What run_forever() and add_signal_handler() of asyncio's leave set, when it is them that fail.
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    signal.set_wakeup_fd(-1)
    for number in signal.SIGUSR1, signal.SIGUSR2:
        signal.signal(number, signal.SIG_DFL)
    gc.collect()
    close_what_is_held()
    for _ in range(3):
        late = list(chain(run.told))
        heard = heard or any(map(tells_of_memory, late))
        let_go(late)
        del late
        gc.collect()
    if failed and not heard:
        wrong.append(f"nobody heard of a failed allocation, told late: {run.told}")
    left = {number: what for number, what in descriptors().items() if number not in before}
    left = {number: what for number, what in left.items()
            if not what.startswith(tuple(ownerless))}
    if left:
        wrong.append(f"descriptors are left open: {left}")
    if wrong:
        wrong.append(f"told: {story}")
    return "\n".join(wrong), reached


def crashed_by_itself(output):
    """Until 3.12, the interpreter crashes if it has no memory for an iterator over items()."""
    place = re.search(r'most recent call first\):\n  File "(.*)", line (\d+)', output)
    return (sys.version_info < (3, 13) and place and place[1].startswith(STANDARD)
            and ".items()" in linecache.getline(place[1], int(place[2])))


def child(function, backend, nth, burst, every, write, out):
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(null)
    faulthandler.enable()
    try:
        wrong, reached = run_one(function, backend, nth, burst, every)
    except BaseException:
        wrong, reached = traceback.format_exc(), True
    os.write(write, f"{int(reached)}{wrong}".encode(errors="replace")[:4000])
    os._exit(0)


def verdicts(name, backend, every=1, burst=1, jobs=8):
    """Yields (N, what is wrong or "") until a scenario has fewer than N allocations."""
    function, every = SCENARIOS[name], every * LONG.get(name, 1)
    for _ in range(2):
        run = Run(backend)
        function(run)           # imports, caches
    del run
    gc.collect()
    running, nth, over = {}, 0, False
    while running or not over:
        while not over and len(running) < jobs:
            read, write = os.pipe()
            out = os.memfd_create("output")
            pid = os.fork()
            if pid == 0:
                os.close(read)
                child(function, backend, nth, burst, every, write, out)
            os.close(write)
            running[read] = (nth, pid, out, time.monotonic() + TIMEOUT)
            nth += every
        ready, _, _ = select.select(list(running), [], [], 0.5)
        for fd, (n, pid, out, end) in list(running.items()):
            if fd not in ready and time.monotonic() < end:
                continue
            data = os.read(fd, 5000) if fd in ready else b""
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            os.lseek(out, 0, 0)
            output = os.read(out, 20000).decode(errors="replace")
            os.close(out)
            os.close(fd)
            del running[fd]
            if fd not in ready:
                yield n, f"no end after {TIMEOUT} s\n{output}"
            elif not data:
                yield n, "" if crashed_by_itself(output) else f"died with status {status:#x}\n{output}"
            else:
                if data[:1] == b"0":
                    over = True
                yield n, data[1:].decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend")
    parser.add_argument("--every", type=int, default=1, help="only every Kth N")
    parser.add_argument("--burst", type=int, default=1, help="K allocations fail, one after the other")
    parser.add_argument("-j", type=int, default=4 * os.cpu_count())
    parser.add_argument("-v", action="store_true", help="say how each scenario went")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if _testcapi is None:
        print("this Python has no _testcapi: nothing was tested")
        return 0
    warnings.simplefilter("ignore")
    passed = failed = 0
    for backend in [options.backend] if options.backend else ["uring", "epoll"]:
        for name in SCENARIOS:
            if options.names and not any(part in name for part in options.names):
                continue
            began, count, bad = time.monotonic(), 0, 0
            for n, wrong in verdicts(name, backend, options.every, options.burst, options.j):
                count += 1
                if wrong:
                    bad += 1
                    print(f"FAIL {name} ({backend}), N = {n}: {wrong.strip()}", flush=True)
            if options.v:
                print(f"{name} ({backend}): {count} failures of an allocation, {time.monotonic() - began:.1f} s", flush=True)
            passed, failed = passed + (not bad), failed + bool(bad)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
