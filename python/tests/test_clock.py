"""Timers go by the loop's time(), whoever overrides it: a subclass, the instance, a patch of the class."""
import asyncio
import contextlib
import math
import time
import unittest
from unittest import mock

import evenloop
from support import OURS

HOUR = 3600


class Shifted(evenloop.Loop):
    ahead = 0.0

    def time(self):
        return super().time() + self.ahead


async def passes(n=4):
    for _ in range(n):
        await asyncio.sleep(0)


class Clock(unittest.TestCase):
    def on_both(self, program, make=None):
        for name in OURS:
            with self.subTest(name), contextlib.closing((make or evenloop.Loop)(backend=name)) as loop:
                loop.run_until_complete(program(loop))

    def test_of_a_subclass(self):
        async def program(loop):
            fired = []
            loop.call_later(HOUR, fired.append, "later")
            loop.call_at(loop.time() + 2 * HOUR, fired.append, "at")
            await passes()
            self.assertEqual(fired, [])
            loop.ahead = HOUR + 1.0
            await passes()
            self.assertEqual(fired, ["later"])
            loop.call_later(-1, fired.append, "past")
            loop.ahead = 0.0                # it may go back
            loop.call_later(HOUR + 2, fired.append, "after")
            await passes()
            self.assertEqual(fired, ["later"])
            loop.ahead = 2 * HOUR + 1.0
            await passes()
            self.assertEqual(fired, ["later", "past", "after", "at"])

        self.on_both(program, Shifted)

    def test_time_outs_follow_it(self):
        async def program(loop):
            waits = asyncio.create_task(asyncio.wait_for(loop.create_future(), HOUR))
            sleeps = asyncio.create_task(asyncio.sleep(HOUR, "slept"))

            async def within():
                async with asyncio.timeout(HOUR):
                    await loop.create_future()

            scoped = asyncio.create_task(within())
            await passes()
            self.assertFalse(waits.done() or sleeps.done() or scoped.done())
            loop.ahead = HOUR + 1.0
            await passes(6)
            self.assertEqual(sleeps.result(), "slept")
            self.assertIsInstance(waits.exception(), TimeoutError)
            self.assertIsInstance(scoped.exception(), TimeoutError)

        self.on_both(program, Shifted)

    def test_of_the_instance_before_and_in_a_run(self):
        async def program(loop, now):
            fired = []
            loop.call_later(HOUR, fired.append, 1)
            self.clock.return_value = now + HOUR + 1
            await passes()
            self.assertEqual(fired, [1])

        for name, make in OURS.items():
            with self.subTest(name), contextlib.closing(make()) as loop:
                fired, now = [], loop.time()
                loop.call_later(HOUR, fired.append, "before")
                with mock.patch.object(loop, "time", return_value=now) as self.clock:
                    loop.run_until_complete(program(loop, now))
                self.assertEqual(fired, ["before"])

    def test_a_patch_that_begins_and_ends_in_a_run(self):
        async def program(loop, what):
            fired, now = [], loop.time()
            loop.call_later(HOUR, fired.append, "before")
            with mock.patch.object(what, "time", return_value=now) as clock:
                loop.call_later(2 * HOUR, fired.append, "in it")
                await passes()
                self.assertEqual(fired, [])
                clock.return_value = now + HOUR + 1
                await passes()
                self.assertEqual(fired, ["before"])
                cancelled = loop.call_later(HOUR, fired.append, "never")
                clock.return_value = now + 2 * HOUR - 1
                await passes()
                self.assertEqual(fired, ["before"])
                cancelled.cancel()
                loop.call_later(4 * HOUR, fired.append, "late")
            self.assertLess(loop.time(), now + HOUR)
            await passes()
            self.assertEqual(fired, ["before"])
            await asyncio.sleep(0.001)      # the real one goes on
            with mock.patch.object(what, "time", return_value=now + 7 * HOUR):
                loop.call_at(now, fired.append, "again")
                await passes()
            self.assertEqual(fired, ["before", "again", "in it", "late"])

        for what in ("instance", "class"):
            with self.subTest(what):
                self.on_both(lambda loop: program(loop, loop if what == "instance" else evenloop.Loop))

    def test_a_class_that_is_patched_while_timers_wait(self):
        async def program(loop):
            fired = []
            loop.call_later(HOUR, fired.append, 1)
            await passes()
            with mock.patch.object(evenloop.Loop, "time", return_value=loop.time() + HOUR + 1):
                await loop.run_in_executor(None, time.sleep, 0.01)       # no timer is set meanwhile; the loop waits
                await passes()
            self.assertEqual(fired, [1])

        self.on_both(program)

    def test_a_frozen_one_holds_timers(self):
        async def program(loop):
            fired, now = [], loop.time()
            with mock.patch.object(loop, "time", return_value=now) as clock:
                loop.call_later(0.001, fired.append, 1)
                loop.call_at(now, fired.append, 0)      # due by now
                for _ in range(3):
                    time.sleep(0.001)
                    await passes()
                self.assertEqual(fired, [0])
                clock.return_value = now + 0.001        # at that very time
                await passes()
                self.assertEqual(fired, [0, 1])

        self.on_both(program)

    def test_it_may_be_far_off_or_odd(self):
        async def program(loop):
            fired = []
            with mock.patch.object(loop, "time", return_value=0) as clock:      # an int
                loop.call_at(1e9, fired.append, 2)
                loop.call_at(1, fired.append, 1)
                await passes()
                clock.return_value = 1
                await passes()
                self.assertEqual(fired, [1])
                for odd in (math.nan, -1e300):
                    clock.return_value = odd
                    await passes()
                self.assertEqual(fired, [1])
                clock.return_value = 1e9 + 1
                await passes()
                self.assertEqual(fired, [1, 2])
                clock.return_value = math.inf
                loop.call_at(1e10, fired.append, 3)
                await passes()
                self.assertEqual(fired, [1, 2, 3])
            await asyncio.sleep(0.001)

        self.on_both(program)

    def test_one_that_raises_ends_the_run(self):
        async def sleeps():
            await asyncio.sleep(HOUR)

        for error in (LookupError, KeyboardInterrupt):
            for name in OURS:
                with self.subTest(name, error=error), contextlib.closing(evenloop.Loop(backend=name)) as loop:
                    task = loop.create_task(sleeps())
                    loop.run_until_complete(asyncio.sleep(0))
                    loop.call_later(1, loop.stop)
                    with mock.patch.object(loop, "time", side_effect=error("no clock")), \
                            self.assertRaisesRegex(error, "no clock"):
                        loop.run_forever()
                    task.cancel()
                    loop.run_until_complete(asyncio.wait([task]))       # it goes on afterwards
                    self.assertTrue(task.cancelled())


if __name__ == "__main__":
    unittest.main()
