"""The socket transport: what is rare of it. Receiving and sending are its base's, in C.

Follows asyncio's selector_events._SelectorSocketTransport, in the order of its calls and in its messages.
"""
import asyncio
import collections.abc
import inspect
import socket
import sys
import warnings
import weakref
from asyncio import constants, trsock
from asyncio.log import logger

from . import _core, _sendfile
from ._support import call_soon_all, tell_of_fatal_error

# 3.12 and later tell the server which transport it is.
_attach_takes_transport = len(inspect.signature(asyncio.base_events.Server._attach).parameters) > 1

_PlainSocket = socket.socket        # as it is now: tests of programs put something else there


class _Socket(trsock.TransportSocket):
    """What get_extra_info("socket") gives: whoever shuts it down means after what was written."""

    __slots__ = ("_transport",)

    def __init__(self, sock, transport):
        super().__init__(sock)
        self._transport = weakref.ref(transport)

    def shutdown(self, how):
        transport = self._transport()
        if transport is not None:
            transport._flush_now()
        super().shutdown(how)


class Transports(collections.abc.MutableMapping):
    """A loop's transports by descriptor, as long as somebody has them: ours, which it knows itself, and asyncio's."""

    __slots__ = ("_loop", "_others")

    def __init__(self, loop, others):
        self._loop, self._others = loop, others

    def __getitem__(self, fd):
        transport = self._loop._transport_of(fd)
        return self._others[fd] if transport is None else transport

    def __setitem__(self, fd, transport):
        if isinstance(transport, SocketTransport):
            self._loop._set_transport(fd, transport)
        else:
            self._loop._set_transport(fd, None)
            self._others[fd] = transport

    def __delitem__(self, fd):
        if fd not in self:
            raise KeyError(fd)
        self._loop._set_transport(fd, None)
        self._others.pop(fd, None)

    def __iter__(self):
        return iter({**dict.fromkeys(self._loop._transports_known()), **dict.fromkeys(self._others)})

    def __len__(self):
        return sum(1 for _ in self)


class SocketTransport(_core.SocketTransport):
    """asyncio's transport of a connected stream socket."""

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    _sendfile_task = None

    def __init__(self, loop, sock, protocol, waiter=None, extra=None, server=None, context=None):
        super().__init__(extra, loop)
        self._context = context         # what all is called in; None: as asyncio before 3.15 does it
        if server is not None:
            server._attach(self) if _attach_takes_transport else server._attach()
            self._server = server
        try:
            self._open(loop, sock.fileno(), context)
        except BaseException:
            self._leave_server()
            raise
        self._sock = sock
        if type(sock) is not _PlainSocket or extra and extra.keys() != {"peername"} or not self._keep_addresses(
                extra["peername"] if extra else None):
            self._ask_for_extra(sock)
        self.set_protocol(protocol)
        asyncio.base_events._set_nodelay(sock)

        try:
            # It reads only once connection_made() has been called.
            call_soon_all(loop, waiter, (protocol.connection_made, self), (self._begin_reading,), context=context)
        except BaseException:
            self._leave_server()
            raise

    # ---- what get_extra_info() knows ----

    def _make_extra(self, sock, sockname, peername):
        """When somebody asks."""
        return {"peername": peername, "socket": _Socket(sock, self), "sockname": sockname}

    def _ask_for_extra(self, sock):
        """At once: of a socket whose addresses are not the internet's, or whose class is the program's."""
        extra = self._extra
        extra["socket"] = _Socket(sock, self)
        try:
            extra["sockname"] = sock.getsockname()
        except OSError:
            extra["sockname"] = None
        if "peername" not in extra:
            try:
                extra["peername"] = sock.getpeername()
            except OSError:
                extra["peername"] = None

    def __repr__(self):
        info = [type(self).__name__]
        if self._sock is None:
            info.append("closed")
        elif self._closing:
            info.append("closing")
        info.append(f"fd={self._sock_fd}")
        if self._loop is not None and not self._loop.is_closed():
            info.append("read=polling" if self.is_reading() else "read=idle")
            size = self.get_write_buffer_size()
            info.append(f"write=<{'polling' if size else 'idle'}, bufsize={size}>")
        return f"<{' '.join(info)}>"

    def __del__(self, _warn=warnings.warn):
        if self._sock is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._sock.close()
            if sys.version_info >= (3, 12):     # 3.11's server counts what is forgotten for ever
                self._leave_server()

    def _leave_server(self):
        server, self._server = self._server, None
        if server is not None:
            server._detach(self) if _attach_takes_transport else server._detach()

    # ---- reading ----

    def _on_eof(self):
        if self._loop.get_debug():
            logger.debug("%r received EOF", self)
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    # ---- writing ----

    def writelines(self, list_of_data):
        self.write(b"".join(list_of_data))

    def write_eof(self):
        if self._closing or self._eof:
            return
        self._eof = True
        if self._flush_now():
            self._tell_flushed = True
        else:
            self._sock.shutdown(socket.SHUT_WR)

    def can_write_eof(self):
        return True

    def _write_after_loss(self):
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("socket.send() raised exception.")
        self._conn_lost += 1

    def _on_flushed(self):
        self._tell_flushed = False
        if self._empty_waiter is not None and not self._empty_waiter.done():
            self._empty_waiter.set_result(None)
        if self._closing:
            self._conn_lost += 1
            self._call_connection_lost(None)
        elif self._eof:
            self._sock.shutdown(socket.SHUT_WR)

    def _make_empty_waiter(self):
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._empty_waiter = self._loop.create_future()
        self._sendfile = True
        if self.get_write_buffer_size():
            self._tell_flushed = True
        else:
            self._empty_waiter.set_result(None)
        return self._empty_waiter

    def _reset_empty_waiter(self):
        self._empty_waiter = None
        self._sendfile = False

    # ---- the end ----

    def close(self):
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if self._sendfile_task is not None:
            _sendfile.cut(self)
        if self._flush_now():
            self._tell_flushed = True
        else:
            self._conn_lost += 1
            self._loop.call_soon(self._call_connection_lost, None, context=self._context)

    def abort(self):
        self._force_close(None)

    def _fatal_error(self, exc, message="Fatal error on transport"):
        tell_of_fatal_error(self, exc, message, isinstance(exc, OSError))
        self._force_close(exc)

    def _force_close(self, exc):
        if self._conn_lost:
            return
        if self._sendfile_task is not None:
            _sendfile.cut(self)
        if self.get_write_buffer_size():
            self._send_last()        # asyncio would have sent it when it was written
        self._stop_writing()
        if not self._closing:
            self._closing = True
            self._stop_reading()
        self._conn_lost += 1
        self._loop.call_soon(self._call_connection_lost, exc, context=self._context)

    def _call_connection_lost(self, exc):
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(exc)
        finally:
            self._sock.close()
            self._let_go_of_socket()
            self._protocol = None
            self._loop = None
            self._leave_server()
            if self._empty_waiter is not None and not self._empty_waiter.done():
                self._empty_waiter.set_exception(ConnectionError("Connection is closed by peer"))
