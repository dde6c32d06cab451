"""The datagram transport: asyncio's, but that datagrams are received and sent by _core.Port."""
import asyncio
import socket
from asyncio import constants, selector_events
from asyncio.log import logger

from . import _core

FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)    # whose addresses the core can tell


class DatagramTransport(selector_events._SelectorDatagramTransport, asyncio.DatagramTransport):
    _paused = False     # only later versions of asyncio's can pause

    def __init__(self, loop, sock, protocol, address=None, waiter=None, extra=None):
        self._port = _core.Port(self, loop, sock, sock.fileno(), sock.family)
        super().__init__(loop, sock, protocol, address, waiter, extra)
        self._port.connected = bool(self._extra["peername"])
        self.sendto = self._port.sendto

    def __repr__(self):
        text = super().__repr__()       # looks for a reader in the selector
        return text.replace("read=idle", "read=polling") if self._port.reading else text

    def _send_slowly(self, data, addr):
        super().sendto(data, addr)

    def sendto(self, data, addr=None):
        """Once the transport is lost: until then the instance has the port's."""
        if self._sock is not None:
            super().sendto(data, addr)
            return
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("sendto() on a transport that was closed")
        self._conn_lost += 1

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
        super()._force_close(exc)
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
