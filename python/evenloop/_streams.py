"""asyncio's streams with their frequent half in C: open_connection() and start_server(), and what they give.

The classes are asyncio's, and so is all that they do once in a while.
"""
import asyncio
import sys
from asyncio import coroutines, streams

from . import _core
from ._transport import SocketTransport


class StreamReader(_core.StreamReader, asyncio.StreamReader):
    """asyncio.StreamReader. A read of what has come already suspends nobody; a cancelled one loses nothing."""

    __module__ = "evenloop"


class StreamWriter(_core.StreamWriter, asyncio.StreamWriter):
    """asyncio.StreamWriter."""

    __module__ = "evenloop"


class StreamReaderProtocol(_core.StreamReaderProtocol, asyncio.StreamReaderProtocol):
    """asyncio.StreamReaderProtocol; a server's handler gets a StreamWriter of ours."""

    __module__ = "evenloop"

    def connection_made(self, transport):
        connected = self._client_connected_cb
        if connected is None or self._reject_connection:
            super().connection_made(transport)
            return
        self._client_connected_cb = None        # asyncio's would give it asyncio's writer
        try:
            super().connection_made(transport)
        finally:
            self._client_connected_cb = connected
        reader = self._stream_reader
        writer = StreamWriter(transport, self, reader, self._loop)
        if hasattr(self, "_stream_writer"):     # up to 3.12 the protocol keeps it
            self._stream_writer = writer
        try:
            result = connected(reader, writer)
        except Exception as exc:        # asyncio's, too, since 3.14; before, the connection stayed, and nobody had it
            self._handler_failed(exc, transport)
            result = None
        if coroutines.iscoroutine(result):
            self._task = self._loop.create_task(result)
            if sys.version_info >= (3, 12):
                self._task.add_done_callback(lambda task: self._handled(task, transport))
        self._strong_reader = None      # the reader is the handler's from now on

    def connection_lost(self, exc):
        super().connection_lost(exc)
        if exc is not None and not self._closed.cancelled():
            self._closed.exception()    # the reader has it; asyncio's __del__ may come after the future's, and it be reported

    def _handled(self, task, transport):
        if task.cancelled():
            transport.close()
        elif (exc := task.exception()) is not None:
            self._handler_failed(exc, transport)

    def _handler_failed(self, exc, transport):
        self._loop.call_exception_handler({"message": "Unhandled exception in client_connected_cb",
                                           "exception": exc, "transport": transport})
        transport.close()


def _callables(cls):
    return cls, {name: getattr(cls, name) for name in dir(cls) if not hasattr(object, name)}


_core._stream_classes(*map(_callables, (StreamReader, StreamWriter, StreamReaderProtocol, SocketTransport)))


async def open_connection(host=None, port=None, *, limit=streams._DEFAULT_LIMIT, **options):
    """Connect; gives a StreamReader and a StreamWriter. (asyncio.open_connection)

    limit: bytes, of a line, and half of what is held of what nobody reads; the other options are create_connection()'s.
    """
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **options)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(client_connected_cb, host=None, port=None, *, limit=streams._DEFAULT_LIMIT, **options):
    """Listen; calls client_connected_cb(reader, writer) for each connection, and makes a task of it if it is a coroutine.
    Gives an asyncio.Server. (asyncio.start_server)

    limit: as for open_connection(); the other options are create_server()'s.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(_factory(client_connected_cb, limit, loop), host, port, **options)


async def open_unix_connection(path=None, *, limit=streams._DEFAULT_LIMIT, **options):
    """open_connection() to a Unix socket. (asyncio.open_unix_connection)"""
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **options)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_unix_server(client_connected_cb, path=None, *, limit=streams._DEFAULT_LIMIT, **options):
    """start_server() on a Unix socket. (asyncio.start_unix_server)"""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(_factory(client_connected_cb, limit, loop), path, **options)


def _factory(connected, limit, loop):
    return lambda: StreamReaderProtocol(StreamReader(limit=limit, loop=loop), connected, loop=loop)
