"""The actions of test_reentrant.py, and what its ends have in common."""
import gc

from reentrant_parts import Plain, chunk
from reentrant_program import TOLD, describe, mortal

LOT = 128 * 1024        # over the high-water mark, and over what the kernel takes

# What is done at a place: methods of the end's, in this order. An end without one of them has no such action.
ACTIONS = {
    "close": ["close"], "abort": ["abort"], "write": ["write"], "write a lot": ["write_lot"],
    "pause": ["pause"], "resume": ["resume"], "pause, resume": ["pause", "resume"],
    "exchange": ["exchange"], "exchange to buffered": ["exchange_buffered"],
    "stop": ["stop"], "close the loop": ["close_loop"], "collect": ["collect"],
    "fail": ["fail"], "interrupt": ["interrupt"], "exit": ["exit"],
    "close, write": ["close", "write"], "abort, collect": ["abort", "collect"], "close, abort": ["close", "abort"],
    "write a lot, abort": ["write_lot", "abort"], "exchange, close, collect": ["exchange", "close", "collect"],
    "stop, interrupt": ["stop", "interrupt"],
}


class End:
    places = ()
    bulk = flow_paused = paused = fails_paused = False
    transport = None

    def __init__(self, cell):
        self.cell = cell

    @classmethod
    def prepare(cls):
        """Once in a process."""

    @classmethod
    def actions(cls):
        return [name for name, steps in ACTIONS.items() if all(getattr(cls, step, None) for step in steps)]

    def act(self, action):
        for step in ACTIONS[action]:
            try:
                getattr(self, step)()
            except BaseException as exc:
                if str(exc) == TOLD:
                    raise
                self.cell.say(f"{step}: {describe(exc)}")

    def drop(self):
        """What stands between it and the collector."""

    # actions that every end has

    def stop(self):
        self.cell.loop.stop()

    def close_loop(self):
        self.cell.loop.close()

    def collect(self):
        gc.collect()

    def fail(self):
        raise ValueError(TOLD)

    def interrupt(self):
        raise KeyboardInterrupt(TOLD)

    def exit(self):
        raise SystemExit(TOLD)


class TransportEnd(End):
    def made(self, transport):
        self.transport = mortal(self.cell, "transport", transport)

    def drop(self):
        self.transport = None

    def new(self, cls, name=""):
        return mortal(self.cell, "protocol", cls(self.cell, name))

    def close(self):
        self.transport.close()

    def abort(self):
        self.transport.abort()

    def exchange(self):
        self.transport.set_protocol(self.new(Plain, "second "))

    def ended(self):
        return self.cell.lost or self.transport is None or self.transport.is_closing()

    def finish(self):
        """The end of each story."""
        if not self.ended():
            self.cell.call("close", self.transport.close)
        self.cell.run(lambda: self.cell.lost or not self.transport, 3)
        if self.transport and not self.cell.lost:
            self.cell.broken.append("connection_lost never came")
        self.cell.settle()


class Reading:
    def pause(self):
        self.transport.pause_reading()
        self.paused = True

    def resume(self):
        self.paused = False
        self.transport.resume_reading()

    def comes(self, data, patience=0.5):
        """The peer sends it; it comes, unless the end does. A pause of the action's is over once nothing more comes."""
        self.cell.peer.send(data)
        all_of_it = self.cell.received + len(data)
        self.cell.run(lambda: self.cell.received >= all_of_it or self.paused or self.ended(), patience)
        if self.paused and not self.ended():
            self.cell.settle()
            self.goes_on()
            self.cell.run(lambda: self.cell.received >= all_of_it or self.ended(), patience)

    def goes_on(self):
        """A pause is over."""
        if self.paused and not self.ended():
            self.cell.call("resume", self.resume)


class Writing:
    def write(self):
        self.transport.write(b"w" * 20)

    def write_lot(self):
        self.transport.write(b"L" * LOT)

    def arrives(self, n):
        """The peer got so much more."""
        self.cell.run(lambda: len(self.cell.peer.got) >= n or self.ended())

    def send(self, data):
        self.transport.write(data)

    def writes_chunk(self):
        n = len(self.cell.peer.got) + 10
        if self.cell.call("write", lambda: self.send(chunk(self.cell, b"c" * 10))):
            self.arrives(n)

    def floods(self):
        """Over the high-water mark, while the peer does not read; and back."""
        peer, before = self.cell.peer, len(self.cell.peer.got)
        peer.reading = False
        written = sum(self.cell.call("write", lambda: self.transport.write(byte * LOT)) for byte in (b"F", b"G"))
        self.cell.run(lambda: self.flow_paused or self.ended())
        peer.reading = True
        self.arrives(before + written * LOT)
        self.cell.run(lambda: not self.flow_paused or self.ended())
