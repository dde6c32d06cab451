from typing import Any

# Derived from the worker of uvicorn-worker, or of an older uvicorn: what it has, this one has.
class Worker(Any):
    CONFIG_KWARGS: dict[str, Any]
    def init_process(self) -> None: ...
