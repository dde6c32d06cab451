"""The datagram transport: asyncio's, but that datagrams are received by _core.Port, and sent by it where it needs no thought.

What cannot be sent at once waits here. Follows asyncio's selector_events._SelectorDatagramTransport, of its latest version.
"""
import asyncio
import os
import socket
from asyncio import constants, selector_events
from asyncio.log import logger

from . import _core

FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)    # whose addresses the core can tell


def _is_same(address, peer):
    """Is it written as the peer of a connected socket, or nearly so: without what IPv6 adds, or a path in the other type?"""
    if isinstance(address, tuple) and isinstance(peer, tuple) and len(address) >= 2:
        return address == peer[:len(address)]
    if isinstance(address, (str, bytes)) and isinstance(peer, (str, bytes)):
        return os.fsencode(address) == os.fsencode(peer)
    return address == peer


class DatagramTransport(selector_events._SelectorDatagramTransport, asyncio.DatagramTransport):
    _paused = False     # only later versions of asyncio's can pause
    # What is counted of a datagram that waits, beside its bytes, since 3.13.
    _header_size = getattr(selector_events._SelectorDatagramTransport, "_header_size", 0)

    def __init__(self, loop, sock, protocol, address=None, waiter=None, extra=None):
        self._port = _core.Port(self, loop, sock, sock.fileno(), sock.family)
        super().__init__(loop, sock, protocol, address, waiter, extra)
        self._buffer_size = 0           # which 3.11 counts anew each time
        # The peer of a socketpair() has no name, but is one.
        self._port.connected = self._connected = self._extra["peername"] is not None
        self.sendto = self._port.sendto

    def __repr__(self):
        text = super().__repr__()       # looks for a reader in the selector
        return text.replace("read=idle", "read=polling") if self._port.reading else text

    # ---- sending ----

    def sendto(self, data, addr=None):
        """Once the transport is lost: until then the instance has the port's."""
        self._check(data)
        if self._sock is not None:
            self._send_slowly(data, addr)
            return
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("sendto() on a transport that was closed")
        self._conn_lost += 1

    @staticmethod
    def _check(data):
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")

    def _where(self, addr):
        """Where to, as the system is told; None to the peer of a connected socket."""
        peer = self._address or (self._extra["peername"] if self._connected else None)
        if addr is not None and peer is not None and not (addr == peer if self._address else _is_same(addr, peer)):
            raise ValueError(f"Invalid address: must be None or {peer}")
        return None if self._connected else addr if peer is None else peer

    def _send_now(self, data, addr):
        """True if that is done with, one way or another; False: there is no room."""
        try:
            if self._connected:
                self._sock.send(data)
            else:
                self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._protocol.error_received(exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal write error on datagram transport")
        return True

    def _send_slowly(self, data, addr):
        self._check(data)
        addr = self._where(addr)
        if self._conn_lost and self._address:
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        if not self._buffer:
            if self._send_now(data, addr):
                return
            if self._sock is None or self._conn_lost:       # aborted by what gave the bytes
                return
            self._loop._add_writer(self._sock_fd, self._sendto_ready)
        chunk = bytes(data)
        self._buffer.append((chunk, addr))
        self._buffer_size += len(chunk) + self._header_size
        self._maybe_pause_protocol()

    def _sendto_ready(self):
        while self._buffer:
            data, addr = self._buffer.popleft()
            self._buffer_size -= len(data) + self._header_size
            if not self._send_now(data, addr):
                self._buffer.appendleft((data, addr))
                self._buffer_size += len(data) + self._header_size
                break
            if self._conn_lost:         # aborted by a protocol that was told of an error
                return
        self._maybe_resume_protocol()   # who may write, or abort
        if self._buffer or self._conn_lost:
            return
        self._loop._remove_writer(self._sock_fd)
        if self._closing:
            self._call_connection_lost(None)

    def get_write_buffer_size(self):
        return self._buffer_size

    def _add_reader(self, fd, callback, *args):
        if not self._closing and not self._paused:
            self._port.begin()

    def pause_reading(self):
        super().pause_reading()
        if self._paused:
            self._port.stop()

    def close(self):
        super().close()
        self._stop()

    def _force_close(self, exc):
        if not self._conn_lost:
            self._loop._remove_writer(self._sock_fd)        # asyncio's does so only if something waits still
        super()._force_close(exc)
        self._buffer_size = 0
        self._stop()

    def _stop(self):
        self._port.closing = True
        self._port.stop()

    def _call_connection_lost(self, exc):
        self._conn_lost = self._conn_lost or 1      # what was buffered went out after close()
        try:
            super()._call_connection_lost(exc)
        finally:
            self._port.forget()
            self.__dict__.pop("sendto", None)
