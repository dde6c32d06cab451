"""Runs cells of test_reentrant.py, one after another: python reentrant_program.py LOOP END PLACE=ACTION...

Each is told before it runs ("> PLACE=ACTION"), so that a crash or a hang names its cell, and its record, as JSON, after
it ("= {...}"). LOOP is asyncio, uring or epoll.
"""
import asyncio
import contextlib
import faulthandler
import gc
import json
import logging
import os
import re
import socket
import sys
import time
import traceback
import warnings
import weakref

LIMIT = float(os.environ.get("REENTRANT_LIMIT", "15"))      # seconds for a cell, before it counts as a hang
AGAIN, BETWEEN = ", again", ", between runs"    # of a place: its second call; what calls it is called outside of a run
TOLD = "told to"            # the text of what an action raises


class Over(Exception):
    """The loop was closed: the story ends here."""


class Cell:
    """One loop, one story, in which the action is done at the place's first call, or at its second; and its record."""

    def __init__(self, loop, place, action):
        self.loop = loop
        self.between = place.endswith(BETWEEN)
        self.place = place.removesuffix(BETWEEN).removesuffix(AGAIN)
        self.before = int(AGAIN in place)   # calls of the place that come before that in which the action is done
        self.action = action
        self.acted = False
        self.end = self.peer = None         # given by main
        self.events, self.handled, self.left, self.unraisable, self.warned, self.broken = [], [], [], [], [], []
        self.received = 0                   # bytes, by the protocols
        self.lost = 0                       # calls of connection_lost()
        self.waited = 0                     # times that patience ran out
        self.mortal = []                    # (name, weak reference) of what has to be gone at the end
        self.fd = self.file = None          # of the end; whose number a stranger gets once it is free
        self.stranger = None
        self.ticking = False
        loop.set_exception_handler(self.handle)

    # ---- the record ----

    def say(self, event, called=False):
        """`called`: it is a call of a protocol's."""
        if self.lost and called:
            self.broken.append(f"{event} after connection_lost")
        if not (self.events and event == self.events[-1] and event.endswith("data")):
            self.events.append(event)

    def say_lost(self, name, exc):
        self.say(f"{name}lost {describe(exc)}")
        self.lost += 1
        if self.lost > 1:
            self.broken.append("connection_lost twice")

    def handle(self, loop, context):
        message = re.sub(r"(Exception in callback|Task) .*", r"\1", context["message"], flags=re.S)
        self.handled.append(f"{message}: {describe(context.get('exception'))}")
        self.hit("exception handler")

    # ---- the place ----

    def hit(self, place, fails=False):
        """The program is called from the loop; `fails`: it is one whose failure is the exception handler's."""
        if fails and self.place == "exception handler" and "failed once" not in self.events:
            self.say("failed once")
            raise LookupError("failed")
        if place != self.place or self.acted:
            return
        self.before -= 1
        if self.before < 0:
            self.acted = True
            self.say(f"{place}: {self.action}")
            try:
                self.end.act(self.action)
            finally:
                self.give_number_away()

    # ---- the stranger ----

    def watch_number(self, file):
        """The file's descriptor, once it is closed, is soon somebody else's."""
        self.fd, self.file = file.fileno(), os.fstat(file.fileno())

    def give_number_away(self):
        if self.fd is None or self.stranger:
            return
        with contextlib.suppress(OSError):
            if os.fstat(self.fd).st_ino == self.file.st_ino:
                return
        self.stranger = pair = socket.socketpair()
        if pair[0].fileno() != self.fd:
            fd = os.dup2(pair[0].fileno(), self.fd) if self.fd != pair[1].fileno() else None
            self.stranger = (pair if fd is None else (socket.socket(fileno=fd), pair[1]))
            if fd is not None:
                pair[0].close()
        self.stranger[1].send(b"for the stranger")

    def ask_stranger(self):
        if not self.stranger:
            return
        for sock, expected, what in zip(self.stranger, (b"for the stranger", b""), ("read from", "written to")):
            sock.setblocking(False)
            try:
                data = sock.recv(1000)
            except BlockingIOError:
                data = b""
            if data != expected:
                self.broken.append(f"a stranger's socket was {what}: {data[:40]!r}")
            sock.close()

    # ---- running ----

    def run(self, until, patience=0.5):
        """Run the loop until it holds; what does not come within the patience, does not come."""
        stop_at = time.monotonic() + (patience / 2 if self.acted and patience < 1 else patience)

        def tick():
            nonlocal ticks, held
            self.ticking, ticks = False, ticks + 1
            if self.peer and self.peer.poll():
                ticks = 0
            held = held + 1 if until() else 0   # the run goes on for a while: its end sends what waits
            if held > 2 or time.monotonic() > stop_at:
                self.loop.stop()
            else:
                self.ticking = True
                self.loop.call_soon(tick) if held or ticks < 5 else self.loop.call_later(0.0003, tick)
        ticks = held = 0
        while True:
            if self.loop.is_closed():
                raise Over
            if until():
                return
            if time.monotonic() > stop_at:
                self.waited += 1
                return
            if not self.ticking:
                self.ticking = True
                self.loop.call_soon(tick)
            try:
                self.loop.run_forever()
            except BaseException as exc:
                self.left.append(describe(exc))

    def settle(self, turns=4):
        def over():
            nonlocal turns
            turns -= 1
            return turns < 0
        self.run(over)

    def quiet(self):
        """Until the peer gets no more."""
        got, turns = 0, 0

        def still():
            nonlocal got, turns
            turns, got = turns + 1 if got == len(self.peer.got) else 0, len(self.peer.got)
            return turns > 6
        self.run(still)

    def call(self, what, function, *args):
        """What the story itself calls: from a callback, or between two runs. False if it failed."""
        done, good = False, True

        def call():
            nonlocal done, good
            try:
                function(*args)
            except BaseException as exc:
                self.say(f"{what}: {describe(exc, text=False)}")
                good = False
            done = True
        if self.between:
            call()
            self.give_number_away()
        else:
            self.loop.call_soon(call)
            self.run(lambda: done)
        return good

    def task(self, what, coroutine, patience=0.5):
        """The result of a coroutine, or None; how it failed is told."""
        try:
            task = self.loop.create_task(coroutine)
        except BaseException as exc:
            coroutine.close()
            self.say(f"{what}: {describe(exc, text=False)}")
            return None
        self.run(task.done, patience)
        if not task.done():
            task.cancel()
            self.run(task.done)
        if not task.done():
            self.say(f"{what}: never ends")
        elif task.cancelled():
            self.say(f"{what}: waits")
        elif task.exception():
            self.say(f"{what}: {describe(task.exception(), text=False)}")
        else:
            return task.result()

    # ---- the end ----

    def finish(self):
        """Nothing may be left of it. The record."""
        closed = self.loop.is_closed()      # by the action: what was open is as closed as asyncio's would be
        if not closed:
            self.loop.close()
        end, self.end, self.loop = self.end, None, None
        gc.collect()
        del end
        gc.collect()
        self.ask_stranger()
        if self.peer:
            self.peer.close()
        alive = [name for name, reference in self.mortal if reference() is not None]
        if alive:
            self.broken.append(f"not collected: {', '.join(alive)}")
        if not closed:
            self.broken += [f"warned: {warning}" for warning in self.warned]
        return {"hit": self.acted, "events": self.events, "handled": self.handled, "left": self.left,
                "received": self.received, "peer": self.peer.summary() if self.peer else "",
                "unraisable": self.unraisable, "warned": self.warned,
                "broken": self.broken, "closed": closed, "waited": self.waited}


def describe(exc, text=True):
    """Type and text, of what was told to fail; of others the text is asyncio's version's."""
    if exc is None:
        return "None"
    return f"{type(exc).__name__}({exc})" if text and str(exc) == TOLD else type(exc).__name__


def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


class Log(logging.Handler):
    def emit(self, record):
        current.warned.append("log: " + record.getMessage().split("\n")[0][:80])


current = None


def run_cell(make_loop, end_type, place, action):
    """A cell's record."""
    global current
    before = descriptors()
    current = cell = Cell(make_loop(), place, action)
    sys.unraisablehook = lambda u: cell.unraisable.append(describe(u.exc_value))
    cell.end = end_type(cell)
    try:
        cell.end.story()
    except Over:
        pass
    except Exception:
        cell.broken.append("the story failed: " + traceback.format_exc(limit=-2).replace("\n", " "))
    cell.end.drop()
    record = cell.finish()
    left = [what for fd, what in descriptors().items() if fd not in before]
    if left:
        record["broken"].append(f"descriptors left open: {left}")
        for fd in descriptors().keys() - before.keys():
            os.close(fd)
    return record


def main(loop_name, end_name, *cells):
    import reentrant_ends
    if loop_name == "asyncio":
        make_loop = asyncio.SelectorEventLoop
    else:
        import evenloop
        import functools
        make_loop = functools.partial(evenloop.Loop, backend=loop_name)
    end_type = reentrant_ends.ENDS[end_name]
    end_type.prepare()
    make_loop().close()
    faulthandler.enable()
    logging.getLogger("asyncio").addHandler(Log(logging.WARNING))
    logging.getLogger("asyncio").propagate = False
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, *more: current.warned.append(
        f"{category.__name__}: {str(message).split('<')[0]}")
    gc.collect()
    gc.freeze()             # so that a collection of a cell's is quick
    gc.disable()
    for cell in cells:
        place, _, action = cell.rpartition("=")
        print(">", cell, flush=True)
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        record = run_cell(make_loop, end_type, place, action)
        faulthandler.cancel_dump_traceback_later()
        print("=", json.dumps(record), flush=True)


def mortal(cell, name, o):
    cell.mortal.append((name, weakref.ref(o)))
    return o


if __name__ == "__main__":
    sys.modules["reentrant_program"] = sys.modules["__main__"]
    main(*sys.argv[1:])
