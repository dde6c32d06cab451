"""Pipes, read and written: what is rare of them. Reading and writing are their bases', in C.

Follows asyncio's unix_events._UnixReadPipeTransport and _UnixWritePipeTransport, in the order of their calls and in their
messages.
"""
import errno
import fcntl
import os
import socket
import stat
import warnings
from asyncio import constants
from asyncio.log import logger

from . import _core
from ._support import call_soon_all, tell_of_fatal_error

_Socket = socket.socket         # as it is now, as in _loop.py


def _kind(fd):
    """"pipe", "socket" or "device", and whether what is read or written at once counts; None: it cannot be waited for."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode):
        return "pipe", bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
    if stat.S_ISSOCK(mode):
        sock = _Socket(fileno=fd)
        sock.detach()       # it is still the pipe's to close
        return "socket", sock.type != socket.SOCK_STREAM
    return ("device", True) if stat.S_ISCHR(mode) else (None, False)


def _describe(transport, *more):
    info = [type(transport).__name__]
    if transport._pipe is None:
        info.append("closed")
    elif transport._closing:
        info.append("closing")
    info.append(f"fd={transport._fileno}")
    if transport._pipe is None:
        info.append("closed")
    elif transport._loop.is_closed():
        info.append("open")
    else:
        info += more
    return f"<{' '.join(info)}>"


class _Ending:
    """The end of either."""

    __slots__ = ()

    def __del__(self, _warn=warnings.warn):
        if self._pipe is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._pipe.close()

    def _end(self, exc):
        if not self._ended:
            self._ended = True
            self._loop.call_soon(self._call_connection_lost, exc)

    def _call_connection_lost(self, exc):
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._pipe.close()
            self._pipe = None
            self._protocol = None
            self._loop = None


class ReadPipeTransport(_Ending, _core.ReadPipe):
    """asyncio's transport of a pipe's reading end."""

    def __init__(self, loop, pipe, protocol, waiter=None, extra=None):
        super().__init__(extra)
        self._extra["pipe"] = pipe
        fd = pipe.fileno()
        kind, messages = _kind(fd)
        if kind is None:
            raise ValueError("Pipe transport is for pipes/sockets only.")
        os.set_blocking(fd, False)
        self._open(loop, fd, messages)
        loop._pipe_transports[fd] = self
        self._loop = loop
        self._pipe = pipe
        self._ended = False
        self.set_protocol(protocol)

        # It reads only once connection_made() has been called.
        call_soon_all(loop, waiter, (protocol.connection_made, self), (self._begin_reading,))

    def __repr__(self):
        return _describe(self, "polling" if self.is_reading() else "idle")

    def _on_eof(self):
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        self._closing = True
        self._loop.call_soon(self._protocol.eof_received)
        self._end(None)

    def close(self):
        if not self._closing:
            self._close(None)

    def _fatal_error(self, exc, message="Fatal error on pipe transport"):
        tell_of_fatal_error(self, exc, message, isinstance(exc, OSError) and exc.errno == errno.EIO)
        self._close(exc)

    def _close(self, exc):
        self._closing = True
        self._stop_reading()
        self._end(exc)


class WritePipeTransport(_Ending, _core.WritePipe):
    """asyncio's transport of a pipe's writing end."""

    def __init__(self, loop, pipe, protocol, waiter=None, extra=None):
        super().__init__(extra, loop)
        self._extra["pipe"] = pipe
        fd = pipe.fileno()
        kind, messages = _kind(fd)
        if kind is None:
            raise ValueError("Pipe transport is only for pipes, sockets and character devices")
        os.set_blocking(fd, False)
        self._open(loop, fd, messages)
        loop._pipe_transports[fd] = self
        self._pipe = pipe
        self._ended = False
        self.set_protocol(protocol)

        # A device has no peer that may go.
        watch = [(self._watch_peer,)] if kind != "device" else []
        call_soon_all(loop, waiter, (protocol.connection_made, self), *watch)

    def __repr__(self):
        size = self.get_write_buffer_size()
        return _describe(self, "polling" if size else "idle", f"bufsize={size}")

    # ---- writing ----

    def can_write_eof(self):
        return True

    def write_eof(self):
        if self._closing:
            return
        self._closing = True
        if self._flush_now():
            self._tell_flushed = True
        else:
            self._unwatch_peer()
            self._end(None)

    def _write_after_loss(self):
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
        self._conn_lost += 1

    def _on_flushed(self):
        self._tell_flushed = False
        self._unwatch_peer()
        if not self._ended:
            self._ended = True
            self._call_connection_lost(None)

    # ---- the end ----

    def _on_peer_gone(self):
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        # asyncio would have tried when it was written
        self._send_last()
        self._close(BrokenPipeError() if self.get_write_buffer_size() else None)

    def close(self):
        if self._pipe is not None and not self._closing:
            self.write_eof()

    def abort(self):
        if self.get_write_buffer_size():
            self._send_last()
        self._close(None)

    def _fatal_error(self, exc, message="Fatal error on pipe transport"):
        self._conn_lost += 1
        tell_of_fatal_error(self, exc, message, isinstance(exc, OSError))
        self._close(exc)

    def _close(self, exc):
        self._closing = True
        self._stop_writing()
        self._unwatch_peer()
        self._end(exc)
