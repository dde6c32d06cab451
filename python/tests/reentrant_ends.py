"""The ends of test_reentrant.py, each with its places and its story: here those with a transport."""
import os
import socket
import sys
import weakref

import tls_peer
from reentrant_base import Reading, TransportEnd, Writing
from reentrant_loop import LoopEnd, SockEnd
from reentrant_parts import (BUFFERS, CHUNKS, NUMBERS, Buffered, Datagrams, Disguised, Finalized, Peer, Pipe, PipePeer,
                             Plain, Socket, TLSPeer, number, pair)
from reentrant_program import BETWEEN
from reentrant_streams import OwnStreamsEnd, StreamsEnd


class SocketEnd(TransportEnd, Reading, Writing):
    tls = False
    protocol = Plain
    places = ("connection_made", "data_received", "data_received, bulk", "pause_writing", "resume_writing",
              "eof_received", "connection_lost", "exception handler", *CHUNKS, *(name + BETWEEN for name in CHUNKS),
              "number __float__", "number __float__" + BETWEEN, "protocol __del__",
              "protocol __del__" + BETWEEN, "protocol weakref", "protocol __class__", "protocol __class__" + BETWEEN)

    def exchange_buffered(self):
        self.transport.set_protocol(self.new(Buffered, "second "))

    def made(self, transport):
        super().made(transport)
        if self.cell.place in NUMBERS:
            transport.set_write_buffer_limits(number(self.cell, 32 * 1024), 0)
        elif self.tls:
            transport.set_write_buffer_limits(32 * 1024)

    def factory(self):
        cell = self.cell
        protocol = self.new(Finalized if cell.place == "protocol __del__" else self.protocol)
        if cell.place == "protocol weakref":
            self.reference = weakref.ref(protocol, lambda reference: cell.hit("protocol weakref"))
        return protocol

    def peer(self, sock):
        return Peer(sock)

    def connect(self, sock):
        return self.cell.loop.create_connection(self.factory, sock=sock)

    def story(self):
        cell = self.cell
        ours, theirs = pair(cell)
        cell.peer = self.peer(theirs)
        cell.task("connect", self.connect(ours))
        if self.transport:
            self.comes(b"d" * 1000)
            if cell.place.endswith("bulk"):
                self.comes(b"D" * 600_000, 2)
        if not self.ended():
            self.writes_chunk()
        if not self.ended():
            self.floods()
        if not self.ended() and cell.place.startswith("protocol"):
            cls = Disguised if cell.place == "protocol __class__" else Plain
            cell.call("set_protocol", lambda: self.transport.set_protocol(self.new(cls, "third ")))
            if not self.ended():
                self.comes(b"e" * 10)
        if not self.ended():
            self.goes_on()
            cell.quiet()
            cell.peer.shut()
            cell.run(self.ended)
        self.finish()


def buffered_places(places):
    more = {"data_received": ("get_buffer", "buffer_updated", *BUFFERS),
            "data_received, bulk": ("get_buffer, bulk", "buffer_updated, bulk")}
    return tuple(place for old in places for place in more.get(old, (old,)))


class BufferedEnd(SocketEnd):
    protocol = Buffered
    places = buffered_places(SocketEnd.places)

    def factory(self):
        if self.cell.place == "protocol __del__":
            return self.new(type("Finalized", (Buffered,), {"__del__": Finalized.__del__}))
        return super().factory()


class TLSEnd(SocketEnd):
    tls = True

    @classmethod
    def prepare(cls):
        cls.server, cls.client = tls_peer.server_context(), tls_peer.client_context()

    def peer(self, sock):
        return TLSPeer(sock, self.server)

    def connect(self, sock):
        return self.cell.loop.create_connection(self.factory, sock=sock, ssl=self.client, server_hostname="localhost",
                                                ssl_shutdown_timeout=0.3)


class TLSBufferedEnd(TLSEnd, BufferedEnd):
    places = BufferedEnd.places


# ---- pipes ----

class ReadPipeEnd(TransportEnd, Reading):
    places = ("connection_made", "data_received", "data_received, bulk", "eof_received", "connection_lost",
              "exception handler", "protocol __del__", "protocol __del__" + BETWEEN, "protocol weakref")
    abort = None
    factory = SocketEnd.factory
    protocol = Plain

    def story(self):
        cell = self.cell
        fd, theirs = os.pipe()
        file = Pipe(fd, "rb")
        file.cell = cell
        cell.watch_number(file)
        cell.peer = PipePeer(theirs)
        cell.peer.reading = False
        cell.task("connect", cell.loop.connect_read_pipe(self.factory, file))
        if self.transport:
            self.comes(b"d" * 1000)
            if cell.place.endswith("bulk"):
                self.comes(b"D" * 600_000, 2)
        if not self.ended() and cell.place.startswith("protocol"):
            cell.call("set_protocol", lambda: self.transport.set_protocol(self.new(Plain, "third ")))
            self.comes(b"e" * 10)
        if not self.ended():
            self.goes_on()
            cell.quiet()
            cell.peer.shut()
            cell.run(self.ended)
        self.finish()


class WritePipeEnd(TransportEnd, Writing):
    places = ("connection_made", "pause_writing", "resume_writing", "connection_lost", "exception handler", *CHUNKS,
              *(name + BETWEEN for name in CHUNKS), "number __float__", "number __float__" + BETWEEN,
              "protocol __del__", "protocol __del__" + BETWEEN, "protocol weakref")
    factory = SocketEnd.factory
    protocol = Plain
    fails_paused = True

    def made(self, transport):
        super().made(transport)
        if self.cell.place in NUMBERS:
            transport.set_write_buffer_limits(number(self.cell, 32 * 1024), 0)

    def story(self):
        cell = self.cell
        theirs, fd = os.pipe()
        file = Pipe(fd, "wb")
        file.cell = cell
        cell.watch_number(file)
        cell.peer = PipePeer(theirs)
        cell.task("connect", cell.loop.connect_write_pipe(self.factory, file))
        if not self.ended():
            self.writes_chunk()
        if not self.ended():
            self.floods()
        if not self.ended() and cell.place.startswith("protocol"):
            cell.call("set_protocol", lambda: self.transport.set_protocol(self.new(Plain, "third ")))
        self.finish()


# ---- datagrams ----

class DatagramEnd(TransportEnd, Writing):
    """Connected to its peer."""
    places = ("connection_made", "datagram_received", "error_received", "connection_lost", "exception handler", *CHUNKS,
              *(name + BETWEEN for name in CHUNKS))
    connected = True
    write_lot = None

    def write(self):
        self.send(b"w" * 20)

    def exchange(self):
        self.transport.set_protocol(self.new(Datagrams, "second "))

    def send(self, data):
        if self.connected:
            self.transport.sendto(data)
        else:
            self.transport.sendto(data, ("127.0.0.1", self.port))

    def story(self):
        cell = self.cell
        ours, theirs = (cls(socket.AF_INET, socket.SOCK_DGRAM) for cls in (Socket, socket.socket))
        ours.cell = cell
        for sock in ours, theirs:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        self.port = theirs.getsockname()[1]
        if self.connected:
            ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
        cell.watch_number(ours)
        cell.peer = Peer(theirs)
        cell.task("connect", cell.loop.create_datagram_endpoint(lambda: self.new(Datagrams), sock=ours))
        for _ in range(2):
            if not self.ended():
                wanted = cell.received + 100
                theirs.send(b"d" * 100)
                cell.run(lambda: cell.received >= wanted or self.ended())
        if not self.ended():
            self.writes_chunk()
        if not self.ended() and self.connected:
            theirs.close()
            cell.call("write", lambda: self.send(b"e"))
            cell.run(lambda: any("error" in event for event in cell.events) or self.ended())
        self.finish()


class SentDatagramEnd(DatagramEnd):
    """Not connected: each datagram says where to."""
    places = (*(place for place in DatagramEnd.places if place != "error_received"), "audit hook",
              "audit hook" + BETWEEN)
    connected = False

    @classmethod
    def prepare(cls):
        import reentrant_program

        def hook(event, arguments):
            if event == "socket.sendto" and reentrant_program.current:
                reentrant_program.current.hit("audit hook")
        sys.addaudithook(hook)


ENDS = {"stream": SocketEnd, "buffered": BufferedEnd, "tls": TLSEnd, "tls buffered": TLSBufferedEnd,
        "asyncio's streams": StreamsEnd, "streams": OwnStreamsEnd, "read pipe": ReadPipeEnd, "write pipe": WritePipeEnd,
        "datagrams": DatagramEnd, "datagrams to an address": SentDatagramEnd, "sock_recv": SockEnd, "loop": LoopEnd}
