"""loop.sendfile() over a socket transport: it ends when the transport does.

Follows asyncio's BaseSelectorEventLoop._sendfile_native.
"""
import asyncio


async def send(loop, transport, file, offset, count):
    """As loop.sendfile(), by the system call. ConnectionError: close() or abort() came before its end."""
    if transport._sendfile_task is not None:
        raise RuntimeError("sendfile() is in progress")
    fd = transport._sock_fd
    current = asyncio.current_task()
    asked = current.cancelling() if current is not None else 0
    resume_reading = transport.is_reading()
    sent = transport._make_empty_waiter()       # from now on nothing else is written
    del loop._transports[fd]                    # sock_sendfile() takes no socket of a transport's
    task = None
    try:
        transport.pause_reading()
        task = transport._sendfile_task = loop.create_task(_send(loop, transport, sent, file, offset, count))
        return await task
    except asyncio.CancelledError:
        was_cut = task is not None and transport._sendfile_task is not task
        if was_cut and (current is None or current.cancelling() == asked):
            raise ConnectionAbortedError("the transport was closed during sendfile()") from None
        raise
    finally:
        transport._sendfile_task = None
        transport._reset_empty_waiter()
        if not sent.cancel() and not sent.cancelled():
            sent.exception()        # which has been told by now, or is nobody's
        if not transport.is_closing():
            loop._transports[fd] = transport
            if resume_reading:
                transport.resume_reading()


async def _send(loop, transport, sent, file, offset, count):
    await sent
    return await loop.sock_sendfile(transport._sock, file, offset, count, fallback=False)


def cut(transport):
    """The transport ends: so does what goes on in send()."""
    task, transport._sendfile_task = transport._sendfile_task, None
    if task is not None:
        task.cancel()
        transport._loop._remove_writer(transport._sock_fd)      # by which it waits for room
