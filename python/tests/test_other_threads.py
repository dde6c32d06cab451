"""What other threads ask of a loop that waits: readers and writers take effect at once, floods leave it time."""
import asyncio
import contextlib
import errno
import itertools
import os
import socket
import tempfile
import threading
import time
import unittest

from support import OURS

WITHIN = 10     # seconds


class OtherThreads(unittest.TestCase):
    @contextlib.contextmanager
    def waiting(self, make):
        """A loop that waits in a thread of its own."""
        loop, begun = make(), threading.Event()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            loop.call_soon_threadsafe(begun.set)
            self.assertTrue(begun.wait(WITHIN))
            time.sleep(0.01)        # nothing to do: it waits by now
            yield loop
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(WITHIN)
            self.assertFalse(thread.is_alive())
            loop.close()

    def on_both(self, function):
        for name, make in OURS.items():
            with self.subTest(name), self.waiting(make) as loop:
                function(loop)

    def pair(self):
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
            self.addCleanup(end.close)
        return ends

    def test_readers_and_writers_come_and_go(self):
        def program(loop):
            here, there = self.pair()
            read, written = threading.Event(), threading.Event()
            loop.add_reader(there, lambda: (there.recv(10), read.set()))
            here.send(b"x")
            self.assertTrue(read.wait(WITHIN))
            loop.add_writer(here, lambda: (loop.remove_writer(here), written.set()))
            self.assertTrue(written.wait(WITHIN))
            self.assertFalse(loop.remove_writer(here))
            self.assertTrue(loop.remove_reader(there))
            self.assertFalse(loop.remove_reader(there))
            read.clear()
            here.send(b"y")
            answered = threading.Event()
            loop.call_soon_threadsafe(loop.call_later, 0.01, answered.set)
            self.assertTrue(answered.wait(WITHIN))
            self.assertFalse(read.is_set())

        self.on_both(program)

    def test_one_is_replaced(self):
        def program(loop):
            here, there = self.pair()
            read = threading.Event()
            loop.add_reader(there, self.fail)
            loop.add_reader(there, lambda: (there.recv(10), read.set()))
            here.send(b"x")
            self.assertTrue(read.wait(WITHIN))
            loop.remove_reader(there)

        self.on_both(program)

    def test_errors_are_raised_in_the_thread_that_calls(self):
        def program(loop):
            with tempfile.TemporaryFile() as file:
                closed = os.dup(0)
                os.close(closed)
                for add in (loop.add_reader, loop.add_writer):
                    with self.assertRaises(PermissionError):
                        add(file, print)
                    with self.assertRaises(OSError) as caught:
                        add(closed, print)
                    self.assertEqual(caught.exception.errno, errno.EBADF)
                for remove in (loop.remove_reader, loop.remove_writer):
                    self.assertFalse(remove(file))
                    self.assertFalse(remove(closed))

        self.on_both(program)

    def test_several_threads_at_once(self):
        def program(loop):
            read, failures = [], []

            def work():
                try:
                    for _ in range(20):
                        here, there = socket.socketpair()
                        with here, there:
                            came = threading.Event()
                            loop.add_reader(there, lambda: (loop.remove_reader(there), came.set()))
                            here.send(b"x")
                            if came.wait(WITHIN):
                                read.append(1)
                except Exception as exc:
                    failures.append(exc)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            self.assertEqual(len(read), 80)

        self.on_both(program)

    def test_calls_without_pause_leave_time_for_the_loop(self):
        """Timers and sockets get their turn, and what is queued does not grow without end."""
        most = 300_000      # of each thread

        def work():             # it takes longer than the call that asks for it
            sum(range(50))

        def call(loop):
            for _ in itertools.takewhile(lambda _: going, range(most)):
                loop.call_soon_threadsafe(work)

        async def program():
            loop = asyncio.get_running_loop()
            here, there = self.pair()
            threads = [threading.Thread(target=call, args=(loop,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            here.send(b"x")
            await loop.sock_recv(there, 1)
            await asyncio.sleep(0.01)
            alive, queued = sum(thread.is_alive() for thread in threads), len(loop._ready)
            going.clear()
            return threads, alive, queued

        for name, make in OURS.items():
            with self.subTest(name):
                going = {True}
                with asyncio.Runner(loop_factory=make) as runner:
                    threads, alive, queued = runner.run(program())
                for thread in threads:
                    thread.join()
                self.assertEqual(alive, 3, "the loop went on only once all had been called")
                self.assertLess(queued, most)


if __name__ == "__main__":
    unittest.main()
