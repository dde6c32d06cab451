import asyncio
import sys
from collections.abc import Coroutine
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

if sys.version_info < (3, 14):
    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy): ...
