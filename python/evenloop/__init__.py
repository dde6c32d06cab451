"""evenloop: a faster event loop for asyncio.

    import asyncio, evenloop

    async def main(): ...

    evenloop.run(main())

Importing it changes nothing in asyncio. install() makes asyncio.run() and asyncio.new_event_loop() use it.
"""
import asyncio as _asyncio
import sys as _sys

from ._core import version as __version__
from ._loop import Loop, new_event_loop
from ._streams import (StreamReader, StreamReaderProtocol, StreamWriter, open_connection, open_unix_connection, start_server,
                       start_unix_server)

__all__ = ["Loop", "new_event_loop", "run", "install", "open_connection", "start_server", "open_unix_connection",
           "start_unix_server", "StreamReader", "StreamWriter", "StreamReaderProtocol", "__version__"]


def run(main, *, debug=None):
    """Run a coroutine on a new Loop, and give its result. (asyncio.run)"""
    if _sys.version_info >= (3, 12):
        return _asyncio.run(main, debug=debug, loop_factory=new_event_loop)
    with _asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)


if _sys.version_info < (3, 14):
    __all__ += ["EventLoopPolicy"]

    class EventLoopPolicy(_asyncio.DefaultEventLoopPolicy):
        """asyncio's policy, whose loops are ours."""

        def _loop_factory(self):
            return Loop()

    def install():
        """Make Loop what asyncio.run() and asyncio.new_event_loop() use, from now on."""
        _asyncio.set_event_loop_policy(EventLoopPolicy())
else:

    def install():
        """Make Loop what asyncio.run() and asyncio.new_event_loop() use, from now on."""
        _asyncio.events.new_event_loop = _asyncio.new_event_loop = new_event_loop
        _asyncio.runners.events.new_event_loop = new_event_loop
