"""The loops that are compared, by name: a backend of ours, "asyncio", or the package of another."""
import asyncio
import importlib
import importlib.metadata

OURS = {"ours on io_uring": "uring", "ours on epoll": "epoll"}
# What installs is measured; zuvloop and talyn want a newer Python than some.
PEERS = ("uvloop", "rloop", "rsloop", "zuvloop", "talyn", "asyncio")
NO_TLS = ("rloop",)         # as its documentation says


def version(name):
    """Of the package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def factory(name):
    if name in OURS.values():
        import evenloop
        return lambda: evenloop.Loop(backend=name)
    if name == "asyncio":
        return asyncio.new_event_loop
    module = importlib.import_module(name)
    return getattr(module, "new_event_loop", None) or module.Loop
