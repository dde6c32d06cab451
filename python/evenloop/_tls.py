"""TLS: what is rare of it. Records come in and go out in _core.TLS.

Follows asyncio's sslproto, whose SSLProtocol does the handshake, the end and the errors, in its order and with its messages.
"""
from asyncio import sslproto, streams

from . import _core

try:
    import ssl
except ImportError:         # then sslproto says so
    ssl = None


class SSLTransport(sslproto._SSLProtocolTransport):
    """What the program has for a transport."""

    _closed = True          # until it is made: __del__() tells of others

    def __init__(self, loop, protocol):
        super().__init__(loop, protocol)
        self.write = protocol._write

    def close(self):
        super().close()
        if self._ssl_protocol is None:      # closed a second time: asyncio's lets go of everything
            self.__dict__.pop("write", None)

    # What may still be called then: asyncio's would fail.

    def write(self, data):
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")

    def writelines(self, list_of_data):
        if self._ssl_protocol is not None:
            super().writelines(list_of_data)

    def abort(self):
        if self._ssl_protocol is not None:
            super().abort()

    def get_extra_info(self, name, default=None):
        return default if self._ssl_protocol is None else super().get_extra_info(name, default)

    def _test__append_write_backlog(self, data):
        self._ssl_protocol._write_appdata([data])


class SSLProtocol(_core.TLS, sslproto.SSLProtocol):
    max_size = 0            # of a buffer that asyncio's __init__() makes, and that the core does not use
    _again = getattr(sslproto, "SSLAgainErrors", ())

    def _get_app_transport(self):
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating _SSLProtocolTransport twice")
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport_created = True
        return self._app_transport

    def _ssl_calls(self):
        """Whose read(), write() and pending() the core calls: ssl's own C object, if nobody changed the one around it."""
        return self._sslobj._sslobj if type(self._sslobj) is ssl.SSLObject else self._sslobj

    def _write_after_close(self):
        super(_core.TLS, self)._write_appdata(())       # asyncio's: it counts, and warns

    # asyncio's would have sent at once what the core defers to the end of the turn.

    def _start_shutdown(self):
        self._flush()
        super()._start_shutdown()

    def _abort(self, *args):
        self._flush()
        super()._abort(*args)

    def _fatal_error(self, exc, message="Fatal error on transport"):
        self._flush()
        super()._fatal_error(exc, message)

    def _on_shutdown_complete(self, shutdown_exc):
        # The goodbye goes out now: the close that comes then waits for no operation, and a run that ends has ended it.
        flush = getattr(self._transport, "_flush_now", None)
        if flush is not None:
            flush()
        super()._on_shutdown_complete(shutdown_exc)

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._release()


async def start(loop, transport, protocol, sslcontext, *, server_side, server_hostname, **timeouts):
    """Loop.start_tls()"""
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    waiter = loop.create_future()
    tls = SSLProtocol(loop, protocol, sslcontext, waiter, server_side, server_hostname, call_connection_made=False, **timeouts)
    # The handshake begins in connection_made(): nothing may come in before that.
    transport.pause_reading()
    reader = getattr(protocol, "_stream_reader", None) if isinstance(protocol, streams.StreamReaderProtocol) else None
    if server_side and reader is not None and reader._buffer:
        tls._take_leftover(reader._buffer)      # what an eager client has sent already; a client trusts no such bytes
        reader._buffer.clear()
    if reader is not None and reader._transport is transport:
        # Data may come with the end of the handshake, before asyncio's streams exchange it: what pauses then is what is resumed.
        reader._transport = tls._get_app_transport()
    transport.set_protocol(tls)
    calls = loop.call_soon(tls.connection_made, transport), loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        transport.close()
        for call in calls:
            call.cancel()
        waiter = None           # it has the exception, whose traceback has this frame
        raise
    return tls._app_transport
