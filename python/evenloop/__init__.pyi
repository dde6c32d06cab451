import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from os import PathLike
from typing import Any, TypeVar

_T = TypeVar("_T")

__version__: str

class Loop(asyncio.SelectorEventLoop):
    def __init__(self, *, backend: str | None = None, seed: int = 0) -> None: ...
    @property
    def backend(self) -> str | None: ...

def new_event_loop() -> Loop: ...
def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T: ...
def install() -> None: ...

class StreamReader(asyncio.StreamReader): ...
class StreamWriter(asyncio.StreamWriter): ...
class StreamReaderProtocol(asyncio.StreamReaderProtocol): ...

_Connected = Callable[[StreamReader, StreamWriter], Awaitable[None] | None]

async def open_connection(
    host: str | None = None, port: int | str | None = None, *, limit: int = 65536, **options: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def start_server(
    client_connected_cb: _Connected,
    host: str | Iterable[str] | None = None,
    port: int | str | None = None,
    *,
    limit: int = 65536,
    **options: Any,
) -> asyncio.Server: ...
async def open_unix_connection(
    path: str | bytes | PathLike[Any] | None = None, *, limit: int = 65536, **options: Any
) -> tuple[StreamReader, StreamWriter]: ...
async def start_unix_server(
    client_connected_cb: _Connected, path: str | bytes | PathLike[Any] | None = None, *, limit: int = 65536, **options: Any
) -> asyncio.Server: ...

if sys.version_info < (3, 14):
    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy): ...
