"""Subprocesses, whose end the core hears of."""
import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import sys
import threading
import unittest
import warnings
from asyncio.subprocess import PIPE
from unittest import mock

import evenloop
from support import LoopTest, descriptors, no_collector, none_left, until

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

    def test_its_pipes_have_the_size_that_was_asked_for(self):
        async def program():
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE, pipesize=1 << 17)
            for fd in range(3):
                file = process._transport.get_pipe_transport(fd).get_extra_info("pipe")
                self.assertEqual(fcntl.fcntl(file, fcntl.F_GETPIPE_SZ), 1 << 17)
                self.assertFalse(os.get_inheritable(file.fileno()))
            self.assertEqual(await process.communicate(b"x" * 100_000), (b"x" * 100_000, b""))

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


PIPES = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}


@unittest.skipUnless(can_watch, "no pidfd here")
class Ends(LoopTest):
    """The end of a process, or of the attempt to begin one, as each version of asyncio is to have it."""

    def nobody(self):
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_wait_is_for_the_process_alone(self):
        """Not for a grandchild that has its pipes."""
        async def program(how):
            end = "exit 3" if how == "exit" else "exec sleep 60"
            process = await asyncio.create_subprocess_shell(f"exec 3<&0; cat <&3 & echo begun; {end}", **PIPES)
            self.assertEqual(await process.stdout.readline(), b"begun\n")
            if how == "kill":
                process.kill()
            waits = [asyncio.create_task(process.wait()) for _ in range(3)]
            waits.pop().cancel()
            code = 3 if how == "exit" else -signal.SIGKILL
            self.assertEqual(await asyncio.wait_for(asyncio.gather(*waits), 5), [code] * 2)
            self.assertEqual((process.returncode, await process.wait()), (code, code))
            self.assertFalse(process.stdout.at_eof())
            with mock.patch("os.kill") as kill:         # its number may be another's by now
                for call in (process.kill, process.terminate, lambda: process.send_signal(signal.SIGUSR1)):
                    with contextlib.suppress(ProcessLookupError):
                        call()
                kill.assert_not_called()
            out, _ = await asyncio.wait_for(process.communicate(b"said by the grandchild"), 5)
            self.assertEqual(out, b"said by the grandchild")

        for how in ("exit", "kill"):
            self.on_both(program, how)

    def test_one_that_was_polled_before_the_loop_heard(self):
        async def program(how):
            process = await asyncio.create_subprocess_exec("sh", "-c", "read line; exit 5", stdin=PIPE)
            transport = process._transport
            popen = transport.get_extra_info("subprocess")
            if how == "close":
                popen.kill()
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                transport.close()       # which polls
                code = -signal.SIGKILL
            else:
                os.write(popen.stdin.fileno(), b"\n")
                code = popen.wait()
                self.assertEqual(code, 5)
            self.assertEqual(await asyncio.wait_for(process.wait(), 5), code)
            self.assertEqual(transport.get_returncode(), code)
            self.nobody()

        for how in ("wait", "close"):
            self.on_both(program, how)

    def leaves_nothing(self, program, *args):
        with warnings.catch_warnings(record=True) as said, no_collector():
            warnings.simplefilter("always")
            self.on_both(program, *args)
        self.assertEqual([str(w.message) for w in said], [])

    def test_a_cancelled_beginning_leaves_nothing(self):
        async def program(steps):
            before = descriptors()
            task = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "60", **PIPES))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                process = await task
            except asyncio.CancelledError:
                pass
            else:
                process.kill()
                await process.wait()
                process._transport.close()
            await until(lambda: descriptors() <= before)
            self.nobody()

        for steps in range(1, 10):
            self.leaves_nothing(program, steps)

    def test_without_descriptors(self):
        async def program():
            before = descriptors()
            for free in range(12):
                process = None
                with none_left(free):
                    try:
                        process = await asyncio.wait_for(asyncio.create_subprocess_exec("true", **PIPES), 5)
                    except OSError as exc:
                        self.assertEqual(exc.errno, errno.EMFILE)
                if process is not None:
                    self.assertEqual(await process.wait(), 0)
                    process._transport.close()
                await until(lambda: descriptors() <= before)
                self.nobody()
            self.assertIsNotNone(process)

        self.leaves_nothing(program)


if __name__ == "__main__":
    unittest.main()
