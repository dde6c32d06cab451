"""The ends of test_reentrant.py that have no transport: sockets of the program's own, and the loop."""
import asyncio
import socket
import weakref

from reentrant_base import LOT, End
from reentrant_parts import CHUNKS, File, Peer, chunk, number, pair
from reentrant_program import AGAIN, BETWEEN
from reentrant_streams import describe_data


class SockEnd(End):
    places = ("number __index__", "number __index__" + BETWEEN, "fileno", "fileno" + BETWEEN,
              *(name + BETWEEN * between for name in CHUNKS for between in (0, 1)))

    def close(self):
        self.sock.close()

    def write(self):
        self.sock.send(b"w" * 20)

    def abort(self):
        self.sock.shutdown(socket.SHUT_RDWR)

    def drop(self):
        self.sock.close()

    def awaits(self, what, coroutine):
        """In a task; or begin it between two runs, and no more than that."""
        cell = self.cell
        if not cell.between:
            self.cell.say(f"{what}: {describe_data(cell.task(what, coroutine, 0.1))}")
            return
        cell.call(what, lambda: coroutine.send(None))
        if cell.loop.is_closed():
            coroutine.close()
        else:
            cell.settle()
            cell.call(f"{what} closed", coroutine.close)

    def story(self):
        cell, loop = self.cell, self.cell.loop
        self.sock, theirs = pair(cell)
        cell.peer = Peer(theirs)
        cell.peer.send(b"a" * 10)
        cell.peer.poll()
        self.awaits("read", loop.sock_recv(self.sock, number(cell, 100)))
        if loop.is_closed():
            return
        loop.call_later(0.005, cell.peer.send, b"b" * 10)
        self.awaits("read after waiting", loop.sock_recv(self.sock, 100))
        self.awaits("write", loop.sock_sendall(self.sock, chunk(cell, b"c" * 10)))
        self.awaits("write a lot", loop.sock_sendall(self.sock, chunk(cell, b"L" * LOT * 4)))
        cell.settle()


# ---- the loop itself ----

class LoopEnd(End):
    """Readers and writers, calls and timers."""
    places = tuple(place + BETWEEN * between for place in (
        *(f"fileno of {which}{again}" for which in ("add_reader", "add_writer", "remove_reader", "remove_writer")
          for again in ("", AGAIN)), "time", "number __float__",
        "number __radd__", "argument __del__ at cancel", "timer's argument __del__ at cancel",
        "reader's argument __del__", "handle weakref", "repr in debug mode") for between in (0, 1)) + (
        "argument __del__ at close" + BETWEEN, "call", "timer", "reader", "writer", "argument __del__ after the call",
        "task factory", "exception handler")

    handle = timer = None

    def close(self):
        for handle in self.handle, self.timer:
            if handle:
                handle.cancel()
        self.cell.loop.remove_reader(self.sock.fileno())
        self.cell.loop.remove_writer(self.sock.fileno())

    def abort(self):
        self.close()
        self.sock.close()

    def write(self):
        self.cell.loop.call_soon(self.cell.say, "another call")

    def write_lot(self):
        for _ in range(1000):
            self.cell.loop.call_soon(int)

    def exchange(self):
        fd, loop = self.sock.fileno(), self.cell.loop
        loop.add_reader(fd, lambda: (self.cell.say("another reader"), loop.remove_reader(fd)))
        loop.add_writer(fd, lambda: (self.cell.say("another writer"), loop.remove_writer(fd)))

    def drop(self):
        self.handle = self.timer = None
        self.sock.close()

    def place(self, name, *args):
        """A callback that is a place."""
        self.cell.say(name)
        self.cell.hit(name, fails=name == "call")

    def soon(self, *args):
        self.handle = self.cell.loop.call_soon(self.place, "call", *args)

    def later(self, delay, *args):
        self.timer = self.cell.loop.call_later(delay, self.place, "timer", *args)

    def cancel(self, name):
        handle = getattr(self, name)
        setattr(self, name, None)
        handle.cancel()

    def at_time(self):
        loop = self.cell.loop

        def time():
            self.cell.hit("time")
            return type(loop).time(loop)
        loop.time = time
        try:
            self.later(0)
        finally:
            del loop.time

    def readable(self, *args):
        self.sock.recv(10)
        self.cell.loop.remove_reader(self.sock.fileno())
        self.place("reader")

    def writable(self, *args):
        self.cell.loop.remove_writer(self.sock.fileno())
        self.place("writer")

    def task_factory(self, loop, coroutine, **options):
        self.cell.hit("task factory")
        return asyncio.Task(coroutine, loop=loop, **options)

    def story(self):
        cell, loop, place = self.cell, self.cell.loop, self.cell.place
        self.sock, theirs = pair(cell)
        cell.peer = Peer(theirs)
        cell.mortal += [("loop", weakref.ref(loop))]
        file = File(cell, self.sock)

        def argument(what):
            return Argument(cell, what) if place == what else None

        def known(o):
            return weakref.ref(o, lambda reference: cell.hit("handle weakref"))

        def with_file(what, *args):
            file.what = f"fileno of {what}"
            cell.call(what, lambda: getattr(loop, what)(file, *args))
        with_file("add_reader", self.readable, argument("reader's argument __del__"))
        with_file("add_writer", self.writable)
        with_file("add_reader", self.readable)
        cell.peer.send(b"x")
        cell.run(lambda: "reader" in cell.events and "writer" in cell.events, 0.05)
        with_file("add_reader", self.readable)
        with_file("add_writer", self.writable)
        with_file("remove_reader")
        with_file("remove_writer")
        cell.call("call_soon", lambda: self.soon(argument("argument __del__ after the call")))
        cell.settle()
        if place == "repr in debug mode":
            loop.set_debug(True)
        call = Described(cell)
        cell.call("cancel", lambda: (self.soon(argument("argument __del__ at cancel"), call), self.cancel("handle")))
        cell.call("cancel", lambda: (self.later(9, argument("timer's argument __del__ at cancel"), call),
                                     self.cancel("timer")))
        loop.set_debug(False)
        if place == "handle weakref":
            cell.call("weakref", lambda: (self.soon(), setattr(self, "reference", known(self.handle)),
                                          self.cancel("handle")))
        cell.call("call_later", lambda: self.later(Delay(cell)))
        cell.call("call_at", lambda: loop.call_at(number(cell, 1), self.place, "timer"))
        if place == "time":
            cell.call("call_later", self.at_time)
        cell.run(lambda: cell.events.count("timer") >= 2, 0.05)
        if place == "task factory":
            loop.set_task_factory(self.task_factory)
            cell.task("task", asyncio.sleep(0))
        if self.sock.fileno() >= 0:
            self.close()
        if place == "argument __del__ at close":
            loop.call_soon(int, argument(place))
            loop.call_later(9, int, argument(place))
            cell.call("close", loop.close)


class Argument:
    def __init__(self, cell, what):
        self.cell, self.what = cell, what

    def __del__(self):
        self.cell.hit(self.what)


class Described:
    def __init__(self, cell):
        self.cell = cell

    def __repr__(self):
        self.cell.hit("repr in debug mode")
        return "<described>"


class Delay:
    def __init__(self, cell):
        self.cell = cell

    def __radd__(self, now):
        self.cell.hit("number __radd__")
        return now
