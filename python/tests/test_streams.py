"""evenloop's StreamReader does what asyncio's does, step by step; what its methods give passes for a coroutine."""
import asyncio
import collections.abc
import gc
import inspect
import pathlib
import random
import subprocess
import sys
import unittest
import warnings
from unittest import mock

import evenloop

HERE = pathlib.Path(__file__).parent


class Transport:
    """What a reader sees of one; it notes what it is told."""

    def __init__(self, can_pause=True):
        self.told, self.can_pause = [], can_pause

    def pause_reading(self):
        if not self.can_pause:
            raise NotImplementedError
        self.told.append("pause")

    def resume_reading(self):
        self.told.append("resume")

    def __repr__(self):
        return "<transport>"


def outcome(task):
    """How a task ended, all that can be seen of it."""
    if task.cancelled():
        return "cancelled"
    exc = task.exception()
    if exc is None:
        return task.result()
    context = exc.__context__
    return (type(exc).__name__, str(exc), getattr(exc, "partial", None), getattr(exc, "expected", None),
            getattr(exc, "consumed", None), type(context).__name__)


class Script:
    """Steps on a reader without a connection; `seen` is what came of each."""

    def __init__(self, streams, limit=2 ** 16, transport=None):
        self.reader = streams.StreamReader(limit=limit, loop=asyncio.get_running_loop())
        self.transport = transport or Transport()
        self.reader.set_transport(self.transport)
        self.task, self.seen = None, []

    async def step(self, name, *arguments, **options):
        reader = self.reader
        if name == "cancel":
            self.task and self.task.cancel()
        elif name in ("feed_data", "feed_eof", "set_exception"):
            try:
                getattr(reader, name)(*arguments)
            except Exception as exc:
                self.seen.append((type(exc).__name__, str(exc)))
        elif name == "limit":
            reader._limit = arguments[0]
        elif name == "change":
            arguments[0](reader._buffer)
        elif self.task is None:
            method = getattr(reader, name)
            self.task = asyncio.ensure_future(self.wrap(method, arguments, options))
        for _ in range(4):
            await asyncio.sleep(0)
        if self.task is not None and self.task.done():
            self.seen.append(outcome(self.task))
            self.task = None
        self.seen.append((name, bytes(reader._buffer), reader._eof, reader._paused, reader.at_eof(), reader._waiter is None,
                          repr(reader.exception()), reader._transport is None, list(self.transport.told),
                          "waiter" if reader._waiter else repr(reader)))

    async def wrap(self, method, arguments, options):
        return await method(*arguments, **options)

    async def end(self):
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        return self.seen


S = 2 ** 16
SCENARIOS = {
    "what is there": (S, ["feed_data", b"abcdef\nxyz"], ["read", 3], ["readline"], ["readexactly", 2], ["read", 100]),
    "what comes": (S, ["read", 4], ["feed_data", b"abcdef"], ["readexactly", 4], ["feed_data", b"g"], ["feed_data", b"hij"],
                   ["readline"], ["feed_data", b"k"], ["feed_data", b"l\nm"], ["readline"], ["feed_eof"], ["readline"],
                   ["readline"]),
    "numbers": (S, ["read", 0], ["readexactly", 0], ["readexactly", -1], ["feed_data", b"abc"], ["read", True],
                ["read", 2 ** 70], ["read", "x"], ["read", 1.5], ["readexactly", None], ["readexactly", 2 ** 70], ["cancel"]),
    "all": (S, ["feed_data", b"abc"], ["read"], ["feed_data", b"def"], ["feed_eof"], ["read"], ["read", -1]),
    "all, more than the limit": (4, ["read", -5], ["feed_data", b"0123456789" * 3], ["feed_data", b"more"], ["feed_eof"]),
    "end in a line": (S, ["feed_data", b"half a li"], ["feed_eof"], ["readline"], ["readline"]),
    "end in a line, waited for": (S, ["readline"], ["feed_data", b"half a li"], ["feed_eof"], ["readline"]),
    "end before a separator": (S, ["readuntil", b"--"], ["feed_data", b"abc-"], ["feed_eof"], ["readuntil"]),
    "end before enough": (S, ["readexactly", 5], ["feed_data", b"abc"], ["feed_eof"], ["readexactly", 1], ["readexactly", 0]),
    "after the end": (S, ["feed_eof"], ["feed_data", b"x"], ["feed_eof"], ["read", 1]),
    "a separator in parts": (S, ["readuntil", b"\r\n\r\n"], ["feed_data", b"a\r"], ["feed_data", b"\n\r"], ["feed_data", b"\nb"],
                             ["readuntil", b"b"]),
    "separators": (S, ["readuntil", b""], ["readuntil", "x"], ["readuntil", 5], ["feed_data", b"abcxyz"],
                   ["readuntil", bytearray(b"c")], ["readuntil", memoryview(b"x")], ["readuntil", (b"z", b"yz")],
                   ["cancel"], ["readuntil", ()]),
    "a line over the limit, ended": (4, ["feed_data", b"12345\nnext\n"], ["readline"], ["readline"]),
    "a line over the limit": (4, ["feed_data", b"123456789"], ["readline"], ["feed_data", b"0\n"], ["readline"]),
    "a line over the limit that comes": (4, ["readline"], ["feed_data", b"1234"], ["feed_data", b"5"], ["feed_data", b"\n"],
                                         ["readline"]),
    "until over the limit": (4, ["feed_data", b"123456789"], ["readuntil", b"ab"], ["feed_data", b"ab"], ["readuntil", b"ab"],
                             ["limit", 20], ["readuntil", b"ab"]),
    "at the limit": (4, ["feed_data", b"1234\n123"], ["readline"], ["readuntil", b"3"], ["feed_data", b"12345678"], ["read", 4]),
    "paused and resumed": (4, ["feed_data", b"12345678"], ["feed_data", b"9"], ["feed_data", b"0"], ["read", 5], ["read", 1],
                           ["feed_data", b"x" * 20], ["readexactly", 30], ["feed_data", b"x" * 20], ["read", 9]),
    "paused, and the end": (4, ["feed_data", b"123456789"], ["feed_eof"], ["readline"], ["read", 9]),
    "an exception": (S, ["feed_data", b"abc\n"], ["set_exception", OSError("gone")], ["readline"], ["read", 1],
                     ["readexactly", 1],
                     ["readuntil", b"c"], ["read", 0], ["readexactly", -1], ["readexactly", 0]),
    "an exception for who waits": (S, ["readexactly", 5], ["feed_data", b"abc"], ["set_exception", LookupError("gone")],
                                   ["read", 1]),
    "cancelled, and nothing lost": (S, ["readexactly", 5], ["feed_data", b"abc"], ["cancel"], ["readline"], ["cancel"],
                                    ["read", 2], ["readuntil", b"z"], ["cancel"], ["feed_data", b"z"], ["read", 9]),
    "the buffer changed by hand": (S, ["feed_data", b"abcdef"], ["change", lambda b: b.__delitem__(slice(0, 2))], ["read", 2],
                                   ["change", lambda b: b.extend(b"\n12")], ["readline"], ["change", bytearray.clear],
                                   ["read", 5], ["feed_data", b"z"]),
    "limits of another kind": (S, ["limit", 2.5], ["feed_data", b"12345"], ["feed_data", b"6"], ["readline"], ["read", 9],
                               ["limit", 2 ** 80], ["feed_data", b"12345\n"], ["readline"]),
    "data of other kinds": (S, ["feed_data", bytearray(b"ab")], ["feed_data", memoryview(b"cd")], ["feed_data", b""],
                            ["feed_data", [101, 102]], ["feed_data", "x"], ["read", 9]),
    "not enough arguments": (S, ["readexactly"], ["read", 1, 2], ["readuntil", b"a", b"b"]),
}


class SameAsAsyncio(unittest.TestCase):
    def same(self, seen, wanted):
        for ours, asyncios in zip(seen, wanted):
            self.assertEqual(ours, asyncios)
        self.assertEqual(len(seen), len(wanted))

    def both(self, script, steps, **options):
        async def play(streams):
            played = script(streams, **options)
            for name, *arguments in steps:
                named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
                await played.step(name, *arguments, **named)
            return await played.end()
        self.same(evenloop.run(play(evenloop)), evenloop.run(play(asyncio)))

    def test_scenarios(self):
        for name, (limit, *steps) in SCENARIOS.items():
            with self.subTest(name):
                self.both(Script, steps, limit=limit)

    def test_a_transport_that_cannot_be_paused(self):
        async def play(streams):
            script = Script(streams, 4, Transport(False))
            for step in (["feed_data", b"x" * 9], ["feed_data", b"x" * 9], ["read", 30], ["readexactly", 1]):
                await script.step(*step)
            return await script.end()
        self.same(evenloop.run(play(evenloop)), evenloop.run(play(asyncio)))

    def test_named_arguments(self):
        self.both(Script, [["feed_data", b"abcdefgh"], ["read", {"n": 2}], ["readexactly", {"n": 2}],
                           ["readuntil", {"separator": b"f"}], ["read", {"m": 2}], ["readuntil", {"n": 2}]])

    def test_at_random(self):
        """Steps of all kinds, in any order and with any sizes."""
        for seed in range(300):
            chance = random.Random(seed)
            limit = chance.choice([1, 4, 16, 64, 65536])
            alphabet = chance.choice([b"ab\n", b"a\n", b"abcdefgh\n"])

            def some(n):
                return bytes(chance.choices(alphabet, k=chance.randrange(n + 1)))

            def size():
                return chance.choice([0, 1, 2, chance.randrange(limit * 2 + 2), -1])
            steps = []
            for _ in range(chance.randrange(10, 60)):
                kind = chance.randrange(100)
                steps.append(
                    ["feed_data", some(chance.choice([2, limit, 3 * limit])) if limit < 100 else some(3000)] if kind < 45 else
                    ["read", max(size(), 0)] if kind < 57 else ["readline"] if kind < 69 else
                    ["readexactly", size()] if kind < 78 else ["readuntil", some(2) or b"\n"] if kind < 88 else
                    ["cancel"] if kind < 95 else ["change", lambda b: b.__delitem__(slice(0, 1))] if kind < 98 else
                    ["read"] if kind < 99 else ["feed_eof"])
            if chance.random() < 0.7:
                steps.append(["feed_eof"])
            with self.subTest(seed):
                self.both(Script, steps, limit=limit)

    def test_what_is_left_of_many_reads_stays_in_order(self):
        async def play(streams):
            for most in (100, 700, 30000):
                chance, reader, sent, got = random.Random(most), streams.StreamReader(), b"", b""
                for _ in range(300):
                    sent += (data := chance.randbytes(chance.randrange(most)))
                    reader.feed_data(data)
                    while len(sent) - len(got) > chance.randrange(most):
                        got += await reader.read(chance.randrange(1, most))
                reader.feed_eof()
                self.assertTrue(got + await reader.read() == sent)
        evenloop.run(play(evenloop))

    def test_iteration(self):
        async def play(streams):
            reader = streams.StreamReader(limit=10)
            reader.feed_data(b"one\ntwo\n\nthr")
            asyncio.get_running_loop().call_soon(reader.feed_data, b"ee\nfour")
            asyncio.get_running_loop().call_later(0.001, reader.feed_eof)
            lines = [line async for line in reader]
            with self.assertRaises(StopAsyncIteration):
                await reader.__anext__()
            return lines
        self.same(evenloop.run(play(evenloop)), evenloop.run(play(asyncio)))

    def test_constructors(self):
        def play(streams):
            loop, seen = asyncio.get_running_loop(), []
            for make in (lambda: streams.StreamReader(0), lambda: streams.StreamReader(limit=-5, loop=loop),
                         lambda: streams.StreamReader("x"), lambda: streams.StreamWriter(1, 2, 3, loop),
                         lambda: streams.StreamReader(1, loop, 5)):
                try:
                    make()
                except Exception as exc:
                    seen.append((type(exc), str(exc)))
            reader = streams.StreamReader()
            self.assertIs(reader._loop, loop)
            reader = streams.StreamReader(50)
            reader.set_transport(5)
            with self.assertRaisesRegex(AssertionError, "Transport already set"):
                reader.set_transport(6)
            seen += [repr(reader), reader._limit, reader._transport]
            return seen

        async def run(streams):
            return play(streams)
        self.same(evenloop.run(run(evenloop)), evenloop.run(run(asyncio)))

    def test_two_readers(self):
        async def play(streams):
            reader, seen = streams.StreamReader(), []
            for name, *arguments in (["read", 5], ["readline"], ["readuntil", b"x"], ["readexactly", 4]):
                first = asyncio.ensure_future(Script.wrap(None, reader.read, [5], {}))
                await asyncio.sleep(0)
                second = asyncio.ensure_future(Script.wrap(None, getattr(reader, name), arguments, {}))
                await asyncio.wait([second])
                reader.feed_data(b"hello")
                seen += [outcome(second), await first]
            return seen
        self.same(evenloop.run(play(evenloop)), evenloop.run(play(asyncio)))

    def test_cpythons_own_tests(self):
        for backend in ("uring", "epoll"):
            done = subprocess.run([sys.executable, HERE / "cpython.py", "--streams", "-v", "--backend", backend, "test_streams"],
                                  capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout[-5000:] + done.stderr[-2000:])
            self.assertRegex(done.stdout, r"(?m)^[5-9]\d passed, 0 failed")


class Awaitable(unittest.TestCase):
    """What a call of read() gives passes for a coroutine."""

    def run_with_reader(self, function):
        async def main():
            reader = evenloop.StreamReader()
            await function(reader)
        evenloop.run(main())

    def test_what_it_is(self):
        async def program(reader):
            for call in (reader.read(1), reader.readline(), reader.readuntil(), reader.readexactly(5), reader.__anext__()):
                self.assertTrue(asyncio.iscoroutine(call))
                self.assertIsInstance(call, collections.abc.Coroutine)
                self.assertTrue(inspect.isawaitable(call))
                self.assertRegex(repr(call), r"<coroutine object StreamReader\.\w+ at 0x")
                call.close()
            self.assertEqual(call.__qualname__, "StreamReader.__anext__")
        self.run_with_reader(program)

    def test_tasks_and_what_stands_on_them(self):
        async def program(reader):
            task = asyncio.create_task(reader.readexactly(3))
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(task), 0.001)
            self.assertIn("StreamReader.readexactly", repr(task))
            reader.feed_data(b"abcdef")
            self.assertEqual(await task, b"abc")
            self.assertEqual(await asyncio.gather(reader.read(2), reader.read(9)), [b"de", b"f"])
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.001)
            reader.feed_data(b"gh\n")
            self.assertEqual(await asyncio.wait_for(reader.readline(), 5), b"gh\n")
            future = asyncio.run_coroutine_threadsafe(reader.read(1), asyncio.get_running_loop())
            reader.feed_data(b"i")
            self.assertEqual(await asyncio.wrap_future(future), b"i")
        self.run_with_reader(program)

    def test_nothing_is_done_before_it_is_awaited(self):
        async def program(reader):
            reader.feed_data(b"abc")
            second, first = reader.read(1), reader.read(1)
            self.assertEqual(reader._buffer, b"abc")
            self.assertEqual((await first, await second), (b"a", b"b"))
        self.run_with_reader(program)

    def test_by_hand(self):
        async def program(reader):
            call = reader.read(5)
            with self.assertRaisesRegex(TypeError, "just-started"):
                call.send(1)
            future = call.send(None)
            self.assertIs(future, reader._waiter)
            self.assertIs(call.cr_await, future)
            with self.assertRaisesRegex(RuntimeError, "awaited already"):
                await call
            reader.feed_data(b"abc")
            with self.assertRaises(StopIteration) as caught:
                call.send(None)
            self.assertEqual(caught.exception.value, b"abc")
            with self.assertRaisesRegex(RuntimeError, "cannot reuse already awaited coroutine"):
                call.send(None)
            with self.assertRaisesRegex(RuntimeError, "cannot reuse already awaited coroutine"):
                await call

            async def through(call):
                return await call

            class Awaits:
                def __await__(self):
                    return (yield from reader.read(9).__await__())
            outer = through(reader.read(5))
            self.assertIs(outer.send(None), reader._waiter)
            outer.close()
            self.assertIsNone(reader._waiter)
            reader.feed_data(b"xyz")
            self.assertEqual(await Awaits(), b"xyz")
        self.run_with_reader(program)

    def test_thrown_into(self):
        async def program(reader):
            for start in (False, True):
                for arguments in ((LookupError("gone"),), (LookupError, "gone"), (LookupError, LookupError("gone"), None)):
                    call = reader.read(5)
                    if start:
                        call.send(None)
                    with self.assertRaisesRegex(LookupError, "gone"):
                        call.throw(*arguments)
                    self.assertIsNone(reader._waiter)
                    with self.assertRaisesRegex(RuntimeError, "cannot reuse"):
                        call.throw(LookupError)
            for arguments in ((), (5,), (LookupError("x"), LookupError("y")), (LookupError, None, 5)):
                call = reader.read(5)
                with self.assertRaises(TypeError):
                    call.throw(*arguments)
                call.close()
        self.run_with_reader(program)

    def test_what_asyncio_does_for_it_is_driven_too(self):
        async def program(reader):
            reader._buffer = held = bytearray(b"ab")        # somebody holds it: asyncio's code reads
            call = reader.readexactly(5)
            future = call.send(None)
            self.assertIs(future, reader._waiter)
            self.assertTrue(call.cr_suspended)
            with self.assertRaisesRegex(RuntimeError, "awaited already"):
                await call
            with self.assertRaisesRegex(LookupError, "gone"):
                call.throw(LookupError("gone"))
            self.assertIsNone(reader._waiter)
            call = reader.readexactly(5)
            call.send(None)
            call.close()
            self.assertIsNone(reader._waiter)
            call = reader.readexactly(4)
            call.send(None)
            reader.feed_data(b"cde")
            self.assertEqual(held, b"abcde")
            with self.assertRaises(StopIteration) as caught:
                call.send(None)
            self.assertEqual(caught.exception.value, b"abcd")
            self.assertEqual(held, b"e")
        self.run_with_reader(program)

    def test_forgotten(self):
        async def program(reader):
            writer = evenloop.StreamWriter(Transport(), None, reader, asyncio.get_running_loop())
            writer.transport.is_closing = lambda: True
            for make, name in ((lambda: reader.read(5), "StreamReader.read"), (reader.readline, "StreamReader.readline"),
                               (writer.drain, "StreamWriter.drain")):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    make()
                    make().close()
                    self.assertEqual([(w.category, str(w.message)) for w in caught],
                                     [(RuntimeWarning, f"coroutine '{name}' was never awaited")])
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    cycle = [make()]
                    cycle.append(cycle)
                    del cycle
                    gc.collect()
                    self.assertEqual([str(w.message) for w in caught], [f"coroutine '{name}' was never awaited"])
                with warnings.catch_warnings(), mock.patch.object(sys, "unraisablehook") as hook:
                    warnings.simplefilter("error")
                    make()
                    hook.assert_called_once()
        self.run_with_reader(program)

    def test_a_task_that_is_forgotten_while_it_reads(self):
        async def program(reader):
            call = reader.read(5)
            call.send(None)
            del call
            self.assertIsNone(reader._waiter)
        self.run_with_reader(program)


if __name__ == "__main__":
    unittest.main()
