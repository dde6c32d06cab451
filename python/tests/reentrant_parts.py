"""What the ends of test_reentrant.py are made of: objects whose methods are places, protocols, the other side."""
import asyncio
import io
import os
import re
import socket
import ssl
import sys

# ---- objects whose methods are places ----


def method(base, name, place, before=True):
    """A class like `base`, a method of which is a place."""
    def called(self, *args):
        self.cell.hit(place)
        return getattr(super(cls, self), name)(*args)
    cls = type(base.__name__.title(), (base,), {name: called})
    return cls


def finalized(base, place):
    return type(base.__name__.title(), (base,), {"__del__": lambda self: self.cell.hit(place)})


CHUNKS = {"write __len__": method(bytes, "__len__", "write __len__"),
          "write __del__": finalized(bytearray, "write __del__"),
          "write memoryview __del__": finalized(bytearray, "write memoryview __del__")}
BUFFERS = {"get_buffer __len__": method(bytearray, "__len__", "get_buffer __len__"),
           "get_buffer __del__": finalized(bytearray, "get_buffer __del__")}
if sys.version_info >= (3, 12):
    for table, what in (CHUNKS, "write"), (BUFFERS, "get_buffer"):
        for name in "__buffer__", "__release_buffer__":
            table[f"{what} {name}"] = method(bytearray, name, f"{what} {name}")

NUMBERS = {f"number {name}": method(int, name, f"number {name}")
           for name in ("__lt__", "__gt__", "__le__", "__eq__", "__float__", "__add__", "__radd__", "__mul__")}


class Index:
    """A number, but no int."""

    def __init__(self, n):
        self.n = n

    def __index__(self):
        self.cell.hit("number __index__")
        return self.n


NUMBERS["number __index__"] = Index


def chunk(cell, data):
    """What the story writes."""
    if cell.place not in CHUNKS:
        return data
    o = CHUNKS[cell.place](data)
    o.cell = cell
    return memoryview(o) if cell.place == "write memoryview __del__" else o


def number(cell, n):
    if cell.place not in NUMBERS:
        return n
    o = NUMBERS[cell.place](n)
    o.cell = cell
    return o


class File:
    """Something with a fileno()."""

    def __init__(self, cell, sock):
        self.cell, self.sock, self.what = cell, sock, "fileno"

    def fileno(self):
        self.cell.hit(self.what)
        return self.sock.fileno()


class Socket(socket.socket):
    """The end's. The moment it is closed, a stranger has its number."""
    cell = None

    def fileno(self):
        if self.cell:
            self.cell.hit("fileno")
        return super().fileno()

    def close(self):
        super().close()
        if self.cell:
            self.cell.give_number_away()


class Pipe(io.FileIO):
    cell = None

    def close(self):
        super().close()
        if self.cell:
            self.cell.give_number_away()


def pair(cell):
    """(The end's socket, the peer's.)"""
    ours, theirs = socket.socketpair()
    ours = Socket(fileno=ours.detach())
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    ours.setblocking(False)
    cell.watch_number(ours)
    ours.cell = cell
    return ours, theirs


# ---- protocols ----

class Base:
    def __init__(self, cell, name=""):
        self.cell, self.name = cell, name

    def connection_made(self, transport):
        self.cell.say(f"{self.name}made", called=True)
        self.cell.end.made(transport)
        self.cell.hit("connection_made")

    def pause_writing(self):
        self.cell.say(f"{self.name}pause", called=True)
        self.cell.end.flow_paused = True
        self.cell.hit("pause_writing", fails=self.cell.end.fails_paused)

    def resume_writing(self):
        self.cell.say(f"{self.name}resume", called=True)
        self.cell.end.flow_paused = False
        self.cell.hit("resume_writing")

    def eof_received(self):
        self.cell.say(f"{self.name}eof", called=True)
        self.cell.hit("eof_received")

    def connection_lost(self, exc):
        self.cell.say_lost(self.name, exc)
        self.cell.hit("connection_lost")

    def came(self, n, place):
        self.cell.say(f"{self.name}data", called=True)
        self.cell.received += n
        bulk, self.cell.end.bulk = self.cell.end.bulk, n >= 32 * 1024
        self.cell.hit(f"{place}, bulk" if bulk else place, fails=True)


class Plain(Base, asyncio.Protocol):
    def data_received(self, data):
        self.came(len(data), "data_received")


class Buffered(Base, asyncio.BufferedProtocol):
    def get_buffer(self, hint):
        cell = self.cell
        if cell.place in BUFFERS:
            buffer = BUFFERS[cell.place](64 * 1024)
            buffer.cell = cell
        else:
            buffer = bytearray(64 * 1024)
        cell.hit("get_buffer, bulk" if cell.end.bulk else "get_buffer")
        return buffer

    def buffer_updated(self, n):
        self.came(n, "buffer_updated")


class Datagrams(Base, asyncio.DatagramProtocol):
    def datagram_received(self, data, address):
        self.came(len(data), "datagram_received")

    def error_received(self, exc):
        self.cell.say(f"{self.name}error {type(exc).__name__}", called=True)
        self.cell.hit("error_received")


class Finalized(Plain):
    """Is gone when another takes its place."""

    def __del__(self):
        self.cell.hit("protocol __del__")


class Disguised(Plain):
    """Code runs when somebody asks what it is."""

    @property
    def __class__(self):
        self.cell.hit("protocol __class__")
        return Plain


# ---- the other side ----

class Peer:
    """By hand, without a loop: what it is told to send, it sends at poll(); and it receives, unless told not to. poll()
    is true if anything went or came."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.to_send, self.got, self.reading, self.ended = sock, bytearray(), bytearray(), True, False

    def send(self, data):
        self.to_send += data

    def poll(self):
        before = len(self.to_send), len(self.got)
        try:
            while self.to_send:
                del self.to_send[:self.sock.send(self.to_send)]
        except BlockingIOError:
            pass
        except OSError:
            self.to_send.clear()
        try:
            while self.reading and not self.ended:
                data = self.sock.recv(1 << 18)
                self.ended = not data
                self.took(data)
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        return before != (len(self.to_send), len(self.got))

    def took(self, data):
        self.got += data

    def shut(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()

    def summary(self):
        """10w 3c: ten times w, three times c."""
        return " ".join(f"{len(m[0])}{m[0][:1].decode('latin-1')}" for m in re.finditer(rb"(.)\1*", self.got, re.S))


class PipePeer(Peer):
    def __init__(self, fd):
        os.set_blocking(fd, False)
        self.fd = fd
        self.sock, self.to_send, self.got, self.reading, self.ended = self, bytearray(), bytearray(), True, False

    def send(self, data):
        if data is self.to_send:
            return os.write(self.fd, data)
        self.to_send += data

    def recv(self, n):
        return os.read(self.fd, n)

    def shut(self):
        self.close()

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd, self.reading = None, False


class TLSPeer(Peer):
    def __init__(self, sock, context):
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, True)
        self.shaken, self.clear, self.said_goodbye = False, [], False

    def send(self, data):
        self.clear.append(data)

    def shut(self):
        self.clear.append(None)

    def took(self, data):
        self.incoming.write(data) if data else self.incoming.write_eof()

    def poll(self):
        before = len(self.got)
        moved = super().poll()
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while self.clear:
                data = self.clear.pop(0)
                self.said_goodbye = data is None
                self.tls.unwrap() if data is None else self.tls.write(data)
            while data := self.tls.read(1 << 16):
                self.got += data
            self.clear[:] = [None] * (not self.said_goodbye)    # an answer to the other's goodbye
        except OSError:     # SSLError is one; and what an old errno makes of an end
            pass
        self.to_send += self.outgoing.read()
        return super().poll() or moved or before != len(self.got)
