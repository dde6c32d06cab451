"""evenloop.Loop: asyncio's loop, with the core of libevenloop in place of its selector."""
import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import weakref
from asyncio import base_events

from . import _accept, _core, _sendfile, _tls
from ._children import SubprocessTransport, can_watch_children, watch_child
from ._datagram import FAMILIES, DatagramTransport
from ._nested import Ready, Selector
from ._pipe import ReadPipeTransport, WritePipeTransport
from ._transport import SocketTransport, Transports


_Socket = socket.socket         # as it is now: tests of programs put something else there, which need not be a class


def _has_own(sock, *methods):
    """Does the program's class of sockets do some of these by itself? Then it is to be asked, not the descriptor."""
    cls = type(sock)
    return cls is not _Socket and any(
        getattr(cls, name, None) not in (None, getattr(_Socket, name)) or name in getattr(sock, "__dict__", ())
        for name in methods)


# In these versions a race for the first connection fails if its tasks begin at once.
_RACE_WANTS_PLAIN_TASKS = (3, 12) <= sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)


class Loop(_core.Loop, asyncio.SelectorEventLoop):
    """An asyncio event loop on libevenloop.

    backend: "uring", "epoll" or "sim" (virtual time); None: EVENLOOP_BACKEND, else the best that works here.
    seed: with "sim", permutes what is free to come in any order.
    """

    _wakeup_fd = None           # the end of its self-pipe by which signals wake it; None: they do not

    def __init__(self, *, backend=None, seed=0):
        try:
            self._pipe_transports = weakref.WeakValueDictionary()       # by descriptor
            super().__init__(selector=Selector(self))
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

    @property
    def _transports(self):
        return Transports(self, self._other_transports)

    @_transports.setter
    def _transports(self, value):   # asyncio's __init__() makes a dict, of weak references
        self._other_transports = value

    @property
    def _ready(self):
        return Ready(self)

    @_ready.setter
    def _ready(self, value):    # asyncio's __init__() makes a deque
        pass

    if _RACE_WANTS_PLAIN_TASKS:
        _chosen_factory = None

        def set_task_factory(self, factory):
            super().set_task_factory(factory)
            self._chosen_factory = factory

            def plain_for_races(loop, coro, **options):
                if getattr(coro, "__qualname__", None) == "staggered_race.<locals>.run_one_coro":
                    return asyncio.Task(coro, loop=loop, **options)
                return factory(loop, coro, **options)

            if factory is not None:
                super().set_task_factory(plain_for_races)

        def get_task_factory(self):
            return self._chosen_factory

    # ---- transports: a socket for which none can be made is closed ----

    def _make_socket_transport(self, sock, protocol, waiter=None, **options):
        _accept.check_protocol(protocol, sock)
        try:
            if _has_own(sock, "send", "recv", "recv_into", "sendmsg"):
                return super()._make_socket_transport(sock, protocol, waiter, **options)
            return SocketTransport(self, sock, protocol, waiter, **options)
        except BaseException:
            sock.close()
            raise

    def _make_ssl_transport(self, rawsock, protocol, sslcontext, waiter=None, *, server_side=False, server_hostname=None,
                            extra=None, server=None, context=None, **timeouts):
        _accept.check_protocol(protocol, rawsock)
        options = {} if context is None else {"context": context}
        try:
            if _has_own(rawsock, "send", "recv", "recv_into", "sendmsg"):
                return super()._make_ssl_transport(rawsock, protocol, sslcontext, waiter, server_side=server_side,
                                                   server_hostname=server_hostname, extra=extra, server=server, **options,
                                                   **timeouts)
            tls = _tls.SSLProtocol(self, protocol, sslcontext, waiter, server_side, server_hostname, **timeouts)
            SocketTransport(self, rawsock, tls, extra=extra, server=server, **options)
        except BaseException:
            rawsock.close()
            raise
        return tls._app_transport

    def _make_datagram_transport(self, sock, protocol, *args, **options):
        _accept.check_protocol(protocol, sock)
        self._forget_fd(sock)
        try:
            if sock.family not in FAMILIES or self.backend == "sim" or _has_own(sock, "send", "sendto", "recvfrom"):
                return super()._make_datagram_transport(sock, protocol, *args, **options)
            return DatagramTransport(self, sock, protocol, *args, **options)
        except BaseException:
            sock.close()
            raise

    async def _create_connection_transport(self, sock, protocol_factory, *args, **options):
        factory = _accept.failing_later(protocol_factory)
        return await super()._create_connection_transport(sock, factory, *args, **options)

    async def create_datagram_endpoint(self, protocol_factory, *args, **options):
        """Make a datagram transport and its protocol. (asyncio's loop.create_datagram_endpoint)"""
        return await super().create_datagram_endpoint(_accept.failing_later(protocol_factory), *args, **options)

    def _accept_connection(self, *args):
        _accept.accept_connections(self, *args)

    async def _accept_connection2(self, protocol_factory, conn, extra, sslcontext=None, server=None, *args, **options):
        if server is not None and server._sockets is None:      # it was closed meanwhile
            conn.close()
            return
        try:
            protocol = protocol_factory()
        except BaseException as exc:
            conn.close()
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            if self._debug:
                self.call_exception_handler({"message": "Error on transport creation for incoming connection",
                                             "exception": exc})
            return
        await super()._accept_connection2(lambda: protocol, conn, extra, sslcontext, server, *args, **options)

    def _make_read_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe, protocol, waiter=None, extra=None):
        return WritePipeTransport(self, pipe, protocol, waiter, extra)

    # ---- processes ----

    async def _make_subprocess_transport(self, *args, **kwargs):
        if not can_watch_children():
            return await super()._make_subprocess_transport(*args, **kwargs)
        started = self.create_future()
        transport = SubprocessTransport(self, *args, waiter=started, **kwargs)
        gone = watch_child(self, transport)
        try:
            await started
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            try:
                await gone      # transport._wait() would wait for pipes that were never made, in some versions of asyncio
            finally:
                transport._close_pipes()
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

    # Which watch it was tells the handle; the descriptor's number may be another socket's by now.

    def _sock_read_done(self, fd, fut, handle=None):
        if handle is None:
            super()._sock_read_done(fd, fut)
        elif (self._watched(fd) or (None,))[0] is handle:
            self._remove_reader(fd)

    def _sock_write_done(self, fd, fut, handle=None):
        if handle is None:
            super()._sock_write_done(fd, fut)
        elif (self._watched(fd) or (None, None))[1] is handle:
            self._remove_writer(fd)

    async def sock_recv(self, sock, n):
        """Receive up to n bytes; b"" is the end."""
        if sock.__class__ is not _Socket and _has_own(sock, "recv"):
            return await super().sock_recv(sock, n)
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
        if sock.__class__ is not _Socket and _has_own(sock, "send"):
            return await super().sock_sendall(sock, data)
        done = self._send(sock, data, 0)
        while done is not True:
            try:
                await done
            except BaseException:
                done.close()
                raise
            done = self._send(sock, data, done.sent)

    async def _sendfile_native(self, transp, file, offset, count):
        if isinstance(transp, SocketTransport):
            return await _sendfile.send(self, transp, file, offset, count)
        return await super()._sendfile_native(transp, file, offset, count)

    # Older versions take an offset of 0 for "where the file stands".

    async def _sendfile_fallback(self, transp, file, offset, count):
        if not offset and hasattr(file, "seek"):
            file.seek(0)
        return await super()._sendfile_fallback(transp, file, offset, count)

    async def _sock_sendfile_fallback(self, sock, file, offset, count):
        if not offset and hasattr(file, "seek"):
            file.seek(0)
        return await super()._sock_sendfile_fallback(sock, file, offset, count)

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
        if threading.current_thread() is not threading.main_thread():
            return super().run_forever()
        self._take_wakeup_fd()
        try:
            return super().run_forever()
        finally:
            # With handlers of ours, what comes between two runs is for the next one.
            if self._wakeup_fd is not None and not self._signal_handlers:
                self._leave_wakeup_fd()

    def _take_wakeup_fd(self):
        """Let signals wake the loop, unless the program has them wake something of its own: then they interrupt the loop's
        wait, as they do asyncio's."""
        if self._csock is None:
            return
        ours = self._csock.fileno()
        try:
            before = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        except (ValueError, OSError):       # another interpreter's main thread, or a self-pipe that was closed
            return
        if before not in (-1, ours):
            try:
                signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            except (ValueError, OSError):       # the program has closed it
                pass
            else:
                self._wakeup_fd = None
                with contextlib.suppress(OSError):
                    os.write(before, self._ssock.recv(4096))        # which came between these two calls
                return
        self._wakeup_fd = ours

    def _leave_wakeup_fd(self):
        ours, self._wakeup_fd = self._wakeup_fd, None
        now = signal.set_wakeup_fd(-1)
        if now not in (-1, ours):
            signal.set_wakeup_fd(now, warn_on_full_buffer=False)    # the program's, set in the run

    def _read_from_self(self):
        while True:
            try:
                data = self._ssock.recv(4096)
            except InterruptedError:
                continue
            except BlockingIOError:
                return
            if not data:            # somebody closed its other end: it would be ready for ever
                self._remove_reader(self._ssock.fileno())
                return
            self._process_self_data(data)

    def remove_signal_handler(self, sig):
        removed = super().remove_signal_handler(sig)
        if removed and self.is_running() and not self._signal_handlers:
            self._take_wakeup_fd()
        return removed

    def close(self):
        if self.is_closed():
            return
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        try:
            super().close()
        finally:
            self._close_core()


def new_event_loop():
    """A new evenloop.Loop. (asyncio.new_event_loop)"""
    return Loop()
