"""A worker for gunicorn, in which an ASGI application runs on evenloop: gunicorn -k evenloop.gunicorn.Worker MODULE:APP

It is uvicorn's worker: what that can do, and how it is set up, holds for this one.
"""
import evenloop

try:
    from uvicorn_worker import UvicornWorker
except ImportError:
    try:
        from uvicorn.workers import UvicornWorker       # older versions of uvicorn have it themselves
    except ImportError as why:
        raise ImportError("evenloop.gunicorn.Worker is built on uvicorn's worker, which cannot be imported here "
                          f"({why}): pip install gunicorn uvicorn uvicorn-worker") from why

__all__ = ["Worker"]


class Worker(UvicornWorker):
    CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "loop": "none"}     # none of uvicorn's own: asyncio.run() decides

    def init_process(self):
        evenloop.install()      # this process is the worker's alone
        super().init_process()
