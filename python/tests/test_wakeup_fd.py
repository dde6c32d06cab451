"""Signals wake the loop by a descriptor of its own, unless the program has set one: that stays the program's."""
import asyncio
import contextlib
import os
import signal
import socket
import threading
import unittest

import evenloop
from support import OURS


def to_main(number):
    signal.pthread_kill(threading.main_thread().ident, number)


class WakeupFd(unittest.TestCase):
    def setUp(self):
        def put_back(number, handler=signal.SIG_DFL):
            self.addCleanup(signal.signal, number, signal.signal(number, handler))

        self.heard = []
        put_back(signal.SIGINT, signal.default_int_handler)
        put_back(signal.SIGUSR1, lambda number, frame: self.heard.append(number))
        self.addCleanup(signal.set_wakeup_fd, signal.set_wakeup_fd(-1))
        self.mine, self.theirs = socket.socketpair()
        for end in (self.mine, self.theirs):
            end.setblocking(False)
            self.addCleanup(end.close)

    def own(self):
        """The program's own, which is told of signals."""
        signal.set_wakeup_fd(self.theirs.fileno(), warn_on_full_buffer=False)

    def test_the_programs_own_hears_of_signals(self):
        async def program():
            os.kill(os.getpid(), signal.SIGUSR1)
            data = await asyncio.get_running_loop().sock_recv(self.mine, 10)
            self.assertEqual(data, bytes([signal.SIGUSR1]))
            self.assertEqual(self.heard, [signal.SIGUSR1])

        for name, make in OURS.items():
            with self.subTest(name), contextlib.closing(make()) as loop:
                for _ in range(2):
                    self.own()
                    self.heard.clear()
                    loop.run_until_complete(asyncio.wait_for(program(), 10))
                    self.assertEqual(signal.set_wakeup_fd(-1), self.theirs.fileno())

    def test_one_that_is_set_in_a_run_stays(self):
        async def program():
            self.own()

        for name, make in OURS.items():
            with self.subTest(name), contextlib.closing(make()) as loop:
                loop.run_until_complete(program())
                self.assertEqual(signal.set_wakeup_fd(-1), self.theirs.fileno())
                loop.run_until_complete(asyncio.sleep(0))
                self.assertEqual(signal.set_wakeup_fd(-1), -1)      # the loop's own is gone

    def test_handlers_run_while_it_waits(self):
        """With the loop's descriptor and with the program's: what signal.signal() has set, and what that raises."""
        def interrupt(loop):
            timer = threading.Timer(0.01, to_main, (signal.SIGINT,))
            timer.start()
            with self.assertRaises(KeyboardInterrupt):
                loop.run_forever()
            timer.join()

        for name, make in OURS.items():
            for own in (False, True):
                with self.subTest(name, own=own), contextlib.closing(make()) as loop:
                    if own:
                        self.own()
                    interrupt(loop)
                    ended = loop.create_future()
                    # It wakes the loop, though nothing else does.
                    signal.signal(signal.SIGUSR1, lambda *_: ended.set_result(None))
                    timer = threading.Timer(0.01, to_main, (signal.SIGUSR1,))
                    timer.start()
                    loop.run_until_complete(ended)
                    timer.join()
                    signal.set_wakeup_fd(-1)

    def test_add_signal_handler_beside_it(self):
        async def program():
            loop = asyncio.get_running_loop()
            for _ in range(2):
                told = asyncio.Event()
                loop.add_signal_handler(signal.SIGUSR2, told.set)
                to_main(signal.SIGUSR2)
                await told.wait()
                self.assertTrue(loop.remove_signal_handler(signal.SIGUSR2))
                self.assertFalse(loop.remove_signal_handler(signal.SIGUSR2))
            ended = loop.create_future()
            signal.signal(signal.SIGUSR1, lambda *_: ended.set_result(None))
            timer = threading.Timer(0.01, to_main, (signal.SIGUSR1,))
            timer.start()
            await ended         # which the loop hears of still
            timer.join()

        for name, make in OURS.items():
            for own in (False, True):
                with self.subTest(name, own=own), contextlib.closing(make()) as loop:
                    if own:
                        self.own()
                    loop.run_until_complete(asyncio.wait_for(program(), 10))
                    self.assertEqual(signal.set_wakeup_fd(-1), -1)

    def test_a_self_pipe_that_was_closed_is_read_once(self):
        class Counting(evenloop.Loop):
            reads = 0

            def _read_from_self(self):
                self.reads += 1
                super()._read_from_self()

        async def program(loop, close):
            close(loop._csock)
            await asyncio.sleep(0.01)

        for name in OURS:
            for close in (lambda sock: os.close(sock.detach()), socket.socket.close):
                with self.subTest(name), contextlib.closing(Counting(backend=name)) as loop:
                    loop.run_until_complete(program(loop, close))
                    self.assertLess(loop.reads, 4)
                    loop.run_until_complete(asyncio.sleep(0))
                    self.assertLess(loop.reads, 4)


if __name__ == "__main__":
    unittest.main()
