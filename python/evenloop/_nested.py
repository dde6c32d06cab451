"""What asyncio's loop has for its passes, and asyncio's code and others' look at: a selector, a queue, a heap of timers.

nest_asyncio, and whoever else runs a loop inside itself, makes passes of its own of them: selector.select(), what became of
that, then the handles that are ready. Here they stand for the core's.
"""
import collections.abc
import contextlib
import selectors
import sys


class Selector:
    """The loop's selector."""

    def __init__(self, loop):
        self._loop = loop

    def get_key(self, fileobj):
        watched = self._loop._watched(fileobj)
        if watched is None:
            raise KeyError(f"{fileobj!r} is not registered")
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        events = (selectors.EVENT_READ if watched[0] else 0) | (selectors.EVENT_WRITE if watched[1] else 0)
        return selectors.SelectorKey(fileobj, fd, events, watched)

    def select(self, timeout=None):
        """Wait until there is something to do, for `timeout` seconds at most. Whose handles are ready are queued then; there
        are no events for anybody else, so the list is empty."""
        self._loop._select(timeout)
        return []

    def close(self):
        pass


class Ready(collections.abc.Sequence):
    """The handles that are to be called, in their order, without the core's own."""

    __slots__ = ("_loop",)

    def __init__(self, loop):
        self._loop = loop

    def __len__(self):
        return self._loop._count_queued(sys.maxsize)

    def __bool__(self):
        return self._loop._count_queued(1) > 0

    def __getitem__(self, index):
        return self._loop._queued()[index]

    def __repr__(self):
        return f"<handles that are ready: {self._loop._queued()}>"

    def append(self, handle):
        """One of the loop's handles. A timer is due now."""
        self._loop._requeue(handle)

    def popleft(self):
        """Whoever takes one calls it."""
        return self._loop._unqueue()

    def clear(self):
        with contextlib.suppress(IndexError):       # what a handle had may have cancelled others, as it was dropped
            for _ in range(len(self)):
                self.popleft()
