"""The end of child processes, as asyncio's subprocess transports want to be told of it."""
import os
from asyncio import events, unix_events
from asyncio.log import logger

# What asyncio takes by itself, where a version of it has watchers at all: one that the program chose keeps its work.
_DEFAULTS = tuple(getattr(unix_events, name) for name in ("ThreadedChildWatcher", "PidfdChildWatcher")
                  if hasattr(unix_events, name))


def can_watch_children():
    """False if the program has its own watcher, or the kernel (or a filter) has no pidfd: then asyncio does it."""
    watcher = getattr(getattr(events, "_event_loop_policy", None), "_watcher", None)
    if watcher is not None and type(watcher) not in _DEFAULTS:
        return False
    if hasattr(unix_events, "can_use_pidfd"):       # since 3.12
        return unix_events.can_use_pidfd()
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def watch_child(loop, transport):
    """Tell the transport of its process's end; and a future, which is returned."""
    gone = loop.create_future()

    def ended(pid, returncode):
        if returncode is None:
            logger.warning("The status of child process %d was taken by somebody else: its return code will be 255", pid)
            returncode = 255
        loop.call_soon(exited, returncode)      # a turn later, for what is ready by now

    def exited(returncode):
        try:
            transport._process_exited(returncode)
        finally:
            if not gone.done():
                gone.set_result(None)

    pid = transport.get_pid()
    try:
        loop._watch_child(pid, ended)
    except ChildProcessError:       # somebody waits for all children, and was quicker
        loop.call_soon(ended, pid, None)
    except BaseException:           # no descriptor is left, say: the process would end unheard
        transport.close()
        transport._process_exited(transport._proc.wait())
        raise
    return gone
