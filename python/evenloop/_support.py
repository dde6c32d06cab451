"""The rare paths of handles and transports, as asyncio words them: what the C half leaves to Python."""
import inspect
import sys
from asyncio import base_events, format_helpers, futures
from asyncio.log import logger

_takes_debug = "debug" in inspect.signature(format_helpers._format_callback_source).parameters


def handle_failed(loop, handle, exc):
    """A callback raised: as asyncio.Handle._run tells it."""
    options = {"debug": loop.get_debug()} if _takes_debug else {}
    source = format_helpers._format_callback_source(handle._callback, handle._args, **options)
    context = {"message": f"Exception in callback {source}", "exception": exc, "handle": handle}
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    loop.call_exception_handler(context)


def callback_failed(loop, transport, exc):
    """A transport's callback raised, connection_lost() for one."""
    loop.call_exception_handler({"message": f"Exception in callback of {transport!r}", "exception": exc,
                                 "transport": transport, "protocol": transport.get_protocol()})


def run_debug(loop, handle):
    """Debug mode: call it, and tell if it took long."""
    try:
        loop._current_handle = handle
        began = loop.time()
        handle._run()
        took = loop.time() - began
        if took >= loop.slow_callback_duration:
            logger.warning("Executing %s took %.3f seconds", base_events._format_handle(handle), took)
    finally:
        loop._current_handle = None
        handle = None       # a traceback of the callback's has this frame: no cycle through it


def check_call(loop, callback, method):
    """Debug mode: the right thread, and something that can be called."""
    if method != "call_soon_threadsafe":
        loop._check_thread()
    loop._check_callback(callback, method)


def extract_stack():
    """Debug mode: where a handle was made; this function is not part of it."""
    return format_helpers.extract_stack(sys._getframe(1))


def transport_debug(transport, text):
    """Debug mode: what a transport does."""
    logger.debug("%r %s", transport, text)


# ---- what transports share ----

def call_soon_all(loop, waiter, *callbacks, context=None):
    """A transport begins: each (callback, *arguments), in this order, or none of them; then whoever waits for it hears."""
    if waiter is not None:
        callbacks += (futures._set_result_unless_cancelled, waiter, None),
    handles = [None] * len(callbacks)
    try:
        for i, call in enumerate(callbacks):
            handles[i] = loop.call_soon(*call, context=context)
    except BaseException:
        for handle in handles:
            if handle is not None:
                handle.cancel()
        raise


def tell_of_fatal_error(transport, exc, message, expected):
    """Of one that is expected only debug mode hears."""
    if not expected:
        transport._loop.call_exception_handler({"message": message, "exception": exc, "transport": transport,
                                                "protocol": transport._protocol})
    elif transport._loop.get_debug():
        logger.debug("%r: %s", transport, message, exc_info=True)
