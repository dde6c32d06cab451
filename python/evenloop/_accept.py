"""A listening socket is ready: asyncio's way from there to a transport, without what goes wrong on it.

Follows asyncio's BaseSelectorEventLoop._accept_connection.
"""
import errno
from asyncio import constants, trsock
from asyncio.log import logger

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


# In one turn: each has a task until it has its transport, so that memory for so many of them stays behind; what is left has not
# long to wait.
TOGETHER = 64


def accept_connections(loop, protocol_factory, sock, sslcontext=None, server=None, backlog=100, *rest):
    """Accept what waits, a backlog of it at most. `rest`: two time-outs, and since 3.15 the server's context."""
    for _ in range(min(backlog + 1, TOGETHER)):
        if sock.fileno() < 0:       # an eager task closed the server
            return
        try:
            conn, addr = sock.accept()
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionAbortedError:
            continue
        except OSError as exc:
            if exc.errno not in OUT_OF_RESOURCES:
                raise
            # It would be ready again at once, and fail again. asyncio's goes on trying, and reports each failure.
            loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": exc,
                                         "socket": trsock.TransportSocket(sock)})
            loop._remove_reader(sock.fileno())
            loop.call_later(constants.ACCEPT_RETRY_DELAY, _go_on, loop, protocol_factory, sock, sslcontext, server, backlog,
                            *rest)
            return
        if loop.get_debug():
            logger.debug("%r got a new connection from %r: %r", server, addr, conn)
        conn.setblocking(False)
        options = {"context": rest[2].copy()} if len(rest) > 2 and rest[2] is not None else {}
        accept = loop._accept_connection2(protocol_factory, conn, {"peername": addr}, sslcontext, server, *rest[:2], **options)
        loop.create_task(accept, **options)


def _go_on(loop, protocol_factory, sock, *rest):
    if sock.fileno() >= 0:          # else the server was closed meanwhile
        loop._start_serving(protocol_factory, sock, *rest)


class Failed:
    """In place of a protocol whose factory raised."""

    __slots__ = ("exc",)

    def __init__(self, exc):
        self.exc = exc


def failing_later(protocol_factory):
    """A factory that does not raise, so that asyncio's code goes on to where the loop can close the socket."""
    def factory():
        try:
            return protocol_factory()
        except BaseException as exc:
            return Failed(exc)
    return factory


def check_protocol(protocol, sock):
    """Before a transport is made: raise what the factory raised, with the socket closed."""
    if type(protocol) is Failed:
        sock.close()
        try:
            raise protocol.exc
        finally:
            protocol.exc = None     # no cycle through the traceback
