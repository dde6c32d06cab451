"""The ends of test_reentrant.py that are streams: asyncio's, and evenloop's."""
import asyncio

from reentrant_base import LOT, Reading, TransportEnd, Writing
from reentrant_parts import CHUNKS, NUMBERS, Peer, chunk, number, pair
from reentrant_program import describe


class StreamsEnd(TransportEnd, Reading, Writing):
    """open_connection()'s, asyncio's; and a server's handler."""
    exchanged = False
    places = ("waiter set_result", "waiter cancelled", "create_future", "pause_reading", "resume_reading", "is_closing",
              *(name for name in NUMBERS if name not in ("number __float__", "number __index__")),
              "separator __len__", "lines __iter__", "client_connected_cb", "task factory", "exception handler",
              *CHUNKS)

    def made(self, transport):
        super().made(transport)
        transport.set_write_buffer_limits(LOT * 4)
        self.patch("pause_reading", "resume_reading")

    def patch(self, *names):
        """If one of them is the place: the transport's method, in the instance."""
        cell, transport = self.cell, self.transport
        if cell.place in names:
            original = getattr(type(transport), cell.place)

            def called():
                cell.hit(cell.place)
                return original(transport)
            setattr(transport, cell.place, called)

    def streams(self):
        return asyncio

    def exchange(self):
        super().exchange()
        self.exchanged = True       # nothing comes any more

    def drop(self):
        super().drop()
        self.writer = self.reader = None

    async def open(self, sock):
        """(reader, writer), of a client; of a server's handler, if that is the place."""
        streams, loop = self.streams(), self.cell.loop
        if self.cell.place not in ("client_connected_cb", "task factory", "exception handler"):
            return await streams.open_connection(sock=sock, limit=number(self.cell, 1000))
        handled = loop.create_future()

        async def handler(reader, writer):
            if self.cell.place == "exception handler":
                raise LookupError("failed")

        def connected(reader, writer):
            handled.set_result((reader, writer))
            self.made(writer.transport)
            self.cell.hit("client_connected_cb")
            return handler(reader, writer)
        if self.cell.place == "task factory":
            loop.set_task_factory(self.task_factory)
        reader = streams.StreamReader(limit=1000, loop=loop)
        protocol = streams.StreamReaderProtocol(reader, connected, loop=loop)
        del reader
        await loop.connect_accepted_socket(lambda: protocol, sock)
        return await handled

    def task_factory(self, loop, coroutine, **options):
        self.cell.hit("task factory")
        return asyncio.Task(coroutine, loop=loop, **options)

    def create_future(self):
        self.cell.hit("create_future")
        return Future(self.cell)

    def step(self, what, coroutine, data=b""):
        """Await it; if it waits, the peer sends."""
        task = self.cell.loop.create_task(coroutine)
        self.cell.settle(3)
        self.cell.peer.send(data)
        patience = 0.1 if self.cell.acted else 0.5
        self.cell.run(lambda: task.done() or self.exchanged or self.paused and not self.ended(), patience)
        if self.paused:
            self.goes_on()
            self.cell.run(task.done, patience)
        if self.exchanged:
            self.cell.settle()
        if not task.done():
            task.cancel()
            self.cell.run(task.done, 0.3)
        try:
            self.cell.say(f"{what}: {describe_data(task.result())}" if task.done() else f"{what}: never ends")
        except BaseException as exc:
            self.cell.say(f"{what}: {describe(exc)}")

    def story(self):
        cell = self.cell
        ours, theirs = pair(cell)
        cell.peer = Peer(theirs)
        opened = cell.task("connect", self.open(ours))
        if not opened:
            ours.close()
            return self.finish_streams() if self.transport else None
        self.reader, self.writer = opened
        if not self.transport:
            self.made(self.writer.transport)
        if cell.place.startswith(("waiter", "create_future")):
            cell.loop.create_future = self.create_future
        reader, writer = self.reader, self.writer
        separator = b"\n"
        if cell.place == "separator __len__":
            separator = Separator(b"\n")
            separator.cell = cell
        self.step("read", reader.read(number(cell, 100)), b"a" * 10)
        self.step("readexactly", reader.readexactly(number(cell, 10)), b"b" * 10)
        self.step("readline", reader.readline(), b"c" * 10 + b"\n")
        self.step("readuntil", reader.readuntil(separator), b"d" * 10 + b"\n")
        cell.peer.send(b"e" * 5000)         # over twice the limit: it pauses, and a read resumes it
        cell.settle(6)
        self.step("the rest", reader.readexactly(number(cell, 5000)))
        got, written = len(cell.peer.got), 10 * cell.call("write", lambda: self.writer.write(chunk(cell, b"c" * 10)))
        written += 20 * cell.call("writelines", lambda: self.writer.writelines(self.lines()))
        self.patch("is_closing")
        self.step("drain", writer.drain())
        if not self.ended():
            self.arrives(got + written)
            cell.peer.shut()
            self.step("the end", reader.read())
        del reader, writer
        self.finish_streams()

    def lines(self):
        for line in b"f" * 10, b"g" * 10:
            self.cell.hit("lines __iter__")
            yield line

    def finish_streams(self):
        if not self.ended():
            self.cell.call("close", self.transport.close)
        self.cell.run(lambda: self.cell.peer.ended, 3)
        if not self.cell.peer.ended:
            self.cell.broken.append("the peer heard of no end")
        self.cell.settle()
        self.cell.loop.__dict__.pop("create_future", None)


class OwnStreamsEnd(StreamsEnd):
    """evenloop's; on asyncio's loop they are asyncio's: what they do is to be the same."""

    def streams(self):
        if type(self.cell.loop).__module__.startswith("asyncio"):
            return asyncio
        import evenloop
        return evenloop


class Future(asyncio.Future):
    def __init__(self, cell):
        super().__init__(loop=cell.loop)
        self.cell = cell

    def set_result(self, result):
        self.cell.hit("waiter set_result")
        super().set_result(result)

    def cancelled(self):
        self.cell.hit("waiter cancelled")
        return super().cancelled()


class Separator(bytes):
    def __len__(self):
        self.cell.hit("separator __len__")
        return super().__len__()


def describe_data(data):
    return data if data is None else f"{data[:1].decode()} {len(data)}"
