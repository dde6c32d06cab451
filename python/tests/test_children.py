"""Subprocesses, whose end the core hears of."""
import asyncio
import os
import signal
import sys
import threading
import unittest

import evenloop
from support import LoopTest, descriptors

try:
    os.close(os.pidfd_open(os.getpid()))
    can_watch = True
except (AttributeError, OSError):
    can_watch = False


@unittest.skipUnless(can_watch, "no pidfd here")
class Children(LoopTest):
    def test_an_end_is_told_without_a_thread(self):
        async def program():
            threads = threading.active_count()
            handler = signal.getsignal(signal.SIGCHLD)
            process = await asyncio.create_subprocess_exec("sh", "-c", "read line; exit 3", stdin=asyncio.subprocess.PIPE)
            self.assertEqual(threading.active_count(), threads)
            self.assertIs(signal.getsignal(signal.SIGCHLD), handler)
            self.assertIsNone(process.returncode)
            process.stdin.write(b"\n")
            self.assertEqual(await process.wait(), 3)
            process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(await process.wait(), -signal.SIGTERM)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

        self.on_both(program)

    def test_many_at_once(self):
        async def one(i):
            process = await asyncio.create_subprocess_shell(f"exit {i}")
            return await process.wait()

        async def program():
            self.assertEqual(await asyncio.gather(*(one(i) for i in range(30))), list(range(30)))

        self.on_both(program)

    def test_one_that_somebody_else_took_is_told_as_255(self):
        async def program():
            process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
            with self.assertLogs("asyncio", "WARNING"):
                self.assertEqual(await process.wait(), 255)

        self.on_both(program)

    def test_one_that_cannot_be_started(self):
        async def program():
            with self.assertRaises(FileNotFoundError):
                await asyncio.create_subprocess_exec("/no/such/program")

        self.on_both(program)

    def test_one_whose_pipe_cannot_be_connected_is_killed_and_told(self):
        async def program():
            loop = asyncio.get_running_loop()

            async def fail(*args):
                raise OSError("no pipe")

            loop.connect_read_pipe = fail
            with self.assertRaisesRegex(OSError, "no pipe"):
                await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

        self.on_both(program)

    def test_a_loop_may_end_before_its_children(self):
        for backend in ("uring", "epoll"):
            loop = evenloop.Loop(backend=backend)

            async def program():
                transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat", stdin=asyncio.subprocess.PIPE,
                                                          stdout=None, stderr=None)
                return transport

            before = descriptors()
            transport = loop.run_until_complete(program())
            process = transport.get_extra_info("subprocess")
            loop.run_until_complete(asyncio.sleep(0))
            transport.close()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            self.assertIn(process.wait(), (0, -signal.SIGKILL))
            self.assertLessEqual(descriptors(), before)

    def test_a_watch_of_its_own(self):
        async def program():
            loop, told = asyncio.get_running_loop(), asyncio.Event()
            got = []
            pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(5)"], os.environ)
            loop._watch_child(pid, lambda *args: (got.append(args), told.set()))
            await told.wait()
            self.assertEqual(got, [(pid, 5)])
            for wrong in (pid, 0, -1, os.getppid(), 1 << 40):
                with self.assertRaises(ChildProcessError):
                    loop._watch_child(wrong, print)

        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
