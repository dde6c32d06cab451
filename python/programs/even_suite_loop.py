"""Puts a suite on the loop that EVEN_SUITE_LOOP names, `asyncio` or `evenloop`, in every Python that the suite starts.

A .pth file of the suite's environment imports it, before the suite runs any code of its own. Every way to make a loop
(a policy, a Runner, asyncio.new_event_loop(), the loop's class itself) leads to the class that is replaced here; and each
loop that starts to run, whatever its class, is recorded by the machinery of `python -m evenloop --check`.
"""
import importlib.util
import os
import types


def watch():
    """Record which loops run. Before evenloop is imported: it takes the function that is watched along."""
    import asyncio.events
    folder = importlib.util.find_spec("evenloop").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("even_suite_check", os.path.join(folder, "_check.py"))
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    check.os = types.SimpleNamespace(**vars(os))        # as it is now: suites put a watch on calls that block
    check.watch(asyncio.events)


def replace():
    """Give whoever asks asyncio for a loop one of ours."""
    import asyncio.unix_events

    import evenloop

    class Loop(evenloop.Loop):
        """With the parameter of asyncio's class."""

        def __init__(self, selector=None):
            super().__init__()
            if selector is not None:
                selector.close()

    # The same name: some suites make the names of their tests of it.
    Loop.__name__ = Loop.__qualname__ = asyncio.SelectorEventLoop.__name__
    for module in (asyncio, asyncio.unix_events):
        for name in ("SelectorEventLoop", "EventLoop", "_UnixSelectorEventLoop"):
            if hasattr(module, name):
                setattr(module, name, Loop)
    policies = [getattr(asyncio.unix_events, name, None) for name in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy")]
    for policy in filter(None, policies):
        policy._loop_factory = Loop
    if not any(policies):       # a Python that has none any more
        asyncio.new_event_loop = asyncio.events.new_event_loop = Loop


chosen = os.environ.get("EVEN_SUITE_LOOP")
if chosen in ("asyncio", "evenloop"):
    watch()
    if chosen == "evenloop":
        replace()
    else:
        import evenloop  # noqa: F401       (both runs import the same)
elif chosen:
    raise SystemExit(f"EVEN_SUITE_LOOP={chosen}?")
