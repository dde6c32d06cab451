"""The end of child processes, as asyncio's subprocess transports want to be told of it."""
import fcntl
import os
import subprocess
import sys
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


class SubprocessTransport(unix_events._UnixSubprocessTransport):
    """asyncio's, but that wait() waits for the process alone, in every version: not for who else has its pipes."""

    def __init__(self, loop, *args, **kwargs):
        self._pipe_transports = loop._pipe_transports
        super().__init__(loop, *args, **kwargs)

    def _process_exited(self, returncode):
        super()._process_exited(returncode)
        waiters = self._exit_waiters        # None, or empty, in versions that have done it
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(returncode)
        if waiters:
            waiters.clear()

    if sys.version_info < (3, 12):
        def _start(self, args, shell, stdin, stdout, stderr, bufsize, **kwargs):
            # Popen forgets the pipes that it has made when it cannot make the next one. So they are made here, as files.
            theirs = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            files, ours = [], []
            try:
                for name, which in theirs.items():
                    if which == subprocess.PIPE:
                        pipe = self._loop._pipe()
                        files.append(pipe)
                        end, theirs[name] = pipe if name != "stdin" else reversed(pipe)
                        ours.append((name, end))
                        if kwargs.get("pipesize", -1) > 0:
                            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, kwargs["pipesize"])
                super()._start(args, shell, theirs["stdin"], theirs["stdout"], theirs["stderr"], bufsize, **kwargs)
                for name, end in ours:
                    setattr(self._proc, name, end)
            finally:
                for pipe in files:
                    for file in pipe:
                        if self._proc is None or file in theirs.values():
                            file.close()

    # The pipes are connected, all of them, or closed. asyncio's leave them to the collector, in older versions.

    async def _connect_pipes(self, waiter):
        try:
            if self._closed:            # its end could not be watched
                waiter.cancel()
            else:
                await super()._connect_pipes(waiter)
        finally:
            if self._pending_calls is not None:
                self._close_pipes()

    def _close_pipes(self):
        proc = self._extra["subprocess"]
        for pipe in (proc.stdin, proc.stdout, proc.stderr):
            if pipe is None or pipe.closed:
                continue
            transport = self._pipe_transports.get(pipe.fileno())    # perhaps of one that is just being connected
            if transport is not None and transport._pipe is pipe:
                transport.close()
            else:
                pipe.close()

    def send_signal(self, signal):
        if self._proc is not None and self._returncode is not None:     # its number may be another process's
            return
        super().send_signal(signal)


def watch_child(loop, transport):
    """Tell the transport of its process's end; and a future, which is returned."""
    gone = loop.create_future()

    def ended(pid, returncode):
        if returncode is None:
            proc = transport._proc
            returncode = None if proc is None else proc.returncode      # close(), or a signal's sender, has polled it
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
        transport._close_pipes()
        raise
    return gone
