"""evenloop.Loop: asyncio's loop, with the core of libevenloop in place of its selector."""
import asyncio
import selectors
import signal
import sys
import threading
from asyncio import base_events, unix_events

from . import _core, _tls
from ._children import can_watch_children, watch_child
from ._datagram import FAMILIES, DatagramTransport
from ._pipe import ReadPipeTransport, WritePipeTransport
from ._transport import SocketTransport


class _Selector:
    """What asyncio's code asks its selector, answered from the core's watches."""

    def __init__(self, loop):
        self._loop = loop

    def get_key(self, fileobj):
        watched = self._loop._watched(fileobj)
        if watched is None:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        events = (selectors.EVENT_READ if watched[0] else 0) | (selectors.EVENT_WRITE if watched[1] else 0)
        return selectors.SelectorKey(fileobj, fd, events, watched)

    def close(self):
        pass


class Loop(_core.Loop, asyncio.SelectorEventLoop):
    """An asyncio event loop on libevenloop.

    backend: "uring", "epoll" or "sim" (virtual time); None: EVENLOOP_BACKEND, else the best that works here.
    seed: with "sim", permutes what is free to come in any order.
    """

    def __init__(self, *, backend=None, seed=0):
        try:
            super().__init__(selector=_Selector(self))
        except BaseException:
            self._close_core()      # there is nothing else yet; and __del__ does not look at what is missing
            raise

    def _make_self_pipe(self):
        self._ssock = self._csock = None
        if self.backend != "sim":       # whose descriptors are its own
            super()._make_self_pipe()

    def _close_self_pipe(self):
        if self._ssock is not None:
            super()._close_self_pipe()

    def _make_socket_transport(self, sock, protocol, waiter=None, *, extra=None, server=None):
        return SocketTransport(self, sock, protocol, waiter, extra, server)

    def _make_datagram_transport(self, sock, *args, **options):
        self._forget_fd(sock)
        return super()._make_datagram_transport(sock, *args, **options)

    def _make_read_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        return WritePipeTransport(self, pipe, protocol, waiter, extra)

    def _make_ssl_transport(self, rawsock, protocol, sslcontext, waiter=None, *, server_side=False, server_hostname=None,
                            extra=None, server=None, **timeouts):
        tls = _tls.SSLProtocol(self, protocol, sslcontext, waiter, server_side, server_hostname, **timeouts)
        SocketTransport(self, rawsock, tls, extra=extra, server=server)
        return tls._app_transport

    def _make_datagram_transport(self, sock, protocol, address=None, waiter=None, extra=None):
        if sock.family not in FAMILIES or self.backend == "sim":
            return super()._make_datagram_transport(sock, protocol, address, waiter, extra)
        return DatagramTransport(self, sock, protocol, address, waiter, extra)

    # ---- processes ----

    async def _make_subprocess_transport(self, *args, **kwargs):
        if not can_watch_children():
            return await super()._make_subprocess_transport(*args, **kwargs)
        started = self.create_future()
        transport = unix_events._UnixSubprocessTransport(self, *args, waiter=started, **kwargs)
        gone = watch_child(self, transport)
        try:
            await started
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await gone          # transport._wait() would wait for pipes that were never made, in some versions of asyncio
            raise
        return transport

    async def start_tls(self, transport, protocol, sslcontext, *, server_side=False, server_hostname=None,
                        ssl_handshake_timeout=None, ssl_shutdown_timeout=None):
        """Go on in TLS: the transport that the protocol is to use from now on. (asyncio's loop.start_tls)"""
        return await _tls.start(self, transport, protocol, sslcontext, server_side=server_side,
                                server_hostname=server_hostname, ssl_handshake_timeout=ssl_handshake_timeout,
                                ssl_shutdown_timeout=ssl_shutdown_timeout)

    # ---- sockets ----

    def _check_sock(self, sock):
        base_events._check_ssl_socket(sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")

    async def sock_recv(self, sock, n):
        """Receive up to n bytes; b"" is the end."""
        data = self._recv(sock, n, False)
        while data.__class__ is not bytes:
            try:
                await data
            except BaseException:
                data.close()
                raise
            data = self._recv(sock, n, True)
        return data

    async def sock_sendall(self, sock, data):
        """Send all of it."""
        done = self._send(sock, data, 0)
        while done is not True:
            try:
                await done
            except BaseException:
                done.close()
                raise
            done = self._send(sock, data, done.sent)

    def run_in_executor(self, executor, func, *args):
        """Call it in a thread of the executor: a future. Virtual time stands still until it is done, or given up."""
        if self.backend != "sim":
            return super().run_in_executor(executor, func, *args)
        self._jobs(1)
        try:
            future = super().run_in_executor(executor, func, *args)
        except BaseException:
            self._jobs(-1)
            raise
        future.add_done_callback(lambda future: self._jobs(-1))
        return future

    async def _shutdown_default_executor(self, *timeout):
        change = int(self.backend == "sim")     # one waits for them in a thread of its own
        self._jobs(change)
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._jobs(-change)

    if sys.version_info >= (3, 12):
        async def shutdown_default_executor(self, timeout=None):
            """Wait for the threads of the default executor to end, for `timeout` seconds at most."""
            await self._shutdown_default_executor(timeout)
    else:
        async def shutdown_default_executor(self):
            """Wait for the threads of the default executor to end."""
            await self._shutdown_default_executor()

    def run_forever(self):
        """Run until stop() is called. Ctrl-C and other signals wake it, in the main thread."""
        if threading.current_thread() is not threading.main_thread() or self._csock is None:
            return super().run_forever()
        try:
            before = signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        except ValueError:          # another interpreter's main thread
            return super().run_forever()
        try:
            return super().run_forever()
        finally:
            # With handlers of ours, what comes between two runs is for the next one.
            if self._csock is None or not self._signal_handlers:
                signal.set_wakeup_fd(-1 if self._csock is not None and before == self._csock.fileno() else before)

    def remove_signal_handler(self, sig):
        removed = super().remove_signal_handler(sig)
        if removed and self.is_running() and not self._signal_handlers:
            signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        return removed

    def close(self):
        if self.is_closed():
            return
        super().close()
        self._close_core()


def new_event_loop():
    """A new evenloop.Loop. (asyncio.new_event_loop)"""
    return Loop()
