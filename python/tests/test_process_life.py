"""Ctrl-C, signals, forks and the end of a process: each program on asyncio's loop and on ours, with one outcome."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

PRELUDE = """\
import asyncio, os, sys
if os.environ["EVENLOOP_BACKEND"] == "asyncio":
    new_loop = asyncio.SelectorEventLoop
else:
    from evenloop import new_event_loop as new_loop

def run(main):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)

def say(*words):
    print(*words, flush=True)

"""
LOOPS = ("asyncio", "uring", "epoll")
TIMEOUT = 60


def outcome(path, loop, signals, options=()):
    """(exit status, output, the last line of the errors). A signal is sent whenever the program says "ready"."""
    process = subprocess.Popen(
        [sys.executable, *options, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "EVENLOOP_BACKEND": loop},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))    # a shell's background jobs ignore it: not this one
    said = ""
    try:
        for number in signals:
            for line in process.stdout:
                said += line
                if line == "ready\n":
                    process.send_signal(number)
                    break
        rest, errors = process.communicate(timeout=TIMEOUT)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    errors = [line for line in errors.splitlines() if "DeprecationWarning" not in line and not line.startswith("  ")]
    return process.returncode, said + rest, errors[-1] if errors else ""


class Life(unittest.TestCase):
    maxDiff = None

    def same(self, text, status, says, *, signals=(), error="", loops=LOOPS, options=()):
        """The program ends so on each loop."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "program.py")       # a file: multiprocessing imports it
            path.write_text(PRELUDE + textwrap.dedent(text))
            for loop in loops:
                with self.subTest(loop):
                    self.assertEqual(outcome(path, loop, signals, options), (status, textwrap.dedent(says), error))


class CtrlC(Life):
    def test_it_cancels_the_main_task(self):
        self.same("""
            async def main():
                try:
                    say("ready")
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    say("cancelled")
                    raise
                finally:
                    await asyncio.sleep(0)
                    say("cleaned up")
            run(main())
            """, -signal.SIGINT, "ready\ncancelled\ncleaned up\n", signals=[signal.SIGINT], error="KeyboardInterrupt")

    def test_a_second_one_does_not_wait(self):
        self.same("""
            async def main():
                try:
                    say("ready")
                    await asyncio.sleep(3600)
                finally:
                    say("ready")
                    await asyncio.sleep(3600)
            try:
                run(main())
            except KeyboardInterrupt:
                say("interrupted")
            """, 0, "ready\nready\ninterrupted\n", signals=[signal.SIGINT] * 2)

    def test_a_main_task_may_survive_it(self):
        self.same("""
            async def main():
                try:
                    say("ready")
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    asyncio.current_task().uncancel()
                    return "survived"
            try:
                say(run(main()))
            except KeyboardInterrupt:
                say("interrupted")
            """, 0, "ready\nsurvived\n", signals=[signal.SIGINT])

    def test_in_a_callback_that_computes(self):
        self.same("""
            async def main():
                asyncio.get_running_loop().call_soon(spin)
                try:
                    await asyncio.sleep(3600)
                finally:
                    say("cancelled")
            def spin():
                say("ready")
                while True:
                    pass
            loop = new_loop()
            try:
                loop.run_until_complete(main())
            except KeyboardInterrupt:
                say("interrupted", loop.is_running())
            say(loop.run_until_complete(asyncio.sleep(0, "and ran again")))
            loop.close()
            """, 0, "ready\ninterrupted False\nand ran again\ncancelled\n", signals=[signal.SIGINT])

    def test_in_a_callback_that_blocks(self):
        self.same("""
            import time
            loop = new_loop()
            def block():
                say("ready")
                time.sleep(3600)
            loop.call_soon(block)
            loop.call_soon(say, "the next one")
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                say("interrupted")
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            """, 0, "ready\ninterrupted\nthe next one\n", signals=[signal.SIGINT])

    def test_in_a_loop_that_waits_without_end(self):
        self.same("""
            loop = new_loop()
            loop.call_soon(say, "ready")
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                say("interrupted")
            loop.close()
            """, 0, "ready\ninterrupted\n", signals=[signal.SIGINT])

    def test_in_a_loop_that_never_waits(self):
        self.same("""
            loop = new_loop()
            def again(n):
                if n == 100:
                    say("ready")
                loop.call_soon(again, n + 1)
            again(0)
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                say("interrupted")
            loop.close()
            """, 0, "ready\ninterrupted\n", signals=[signal.SIGINT])

    def test_while_a_thread_works(self):
        self.same("""
            import threading
            release = threading.Event()
            async def main():
                work = asyncio.get_running_loop().run_in_executor(None, release.wait)
                say("ready")
                try:
                    await work
                finally:
                    release.set()
                    say("released")
            run(main())
            """, -signal.SIGINT, "ready\nreleased\n", signals=[signal.SIGINT], error="KeyboardInterrupt")


class Signals(Life):
    def test_one_that_is_not_handled_kills(self):
        self.same("""
            async def main():
                try:
                    say("ready")
                    await asyncio.sleep(3600)
                finally:
                    say("never")
            run(main())
            """, -signal.SIGTERM, "ready\n", signals=[signal.SIGTERM])

    def test_handlers_of_the_loop(self):
        self.same("""
            import signal
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Queue()
                for number in signal.SIGTERM, signal.SIGUSR1, signal.SIGINT:
                    loop.add_signal_handler(number, got.put_nowait, number.name)
                for _ in range(3):
                    say("ready")
                    say(await got.get())
                loop.remove_signal_handler(signal.SIGINT)
                say("ready")
                await asyncio.sleep(3600)
            run(main())
            """, -signal.SIGINT, "ready\nSIGTERM\nready\nSIGINT\nready\nSIGUSR1\nready\n",
            signals=[signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGINT], error="KeyboardInterrupt")

    def test_handlers_of_python(self):
        self.same("""
            import signal
            got = []
            def handler(number, frame):
                got.append(number)
                say("handled")
            signal.signal(signal.SIGUSR1, handler)
            async def main():
                say("ready")
                while not got:                      # a handler does not wake who waits for a future: it is called all the same
                    await asyncio.sleep(0.001)
                future = asyncio.get_running_loop().create_future()
                signal.signal(signal.SIGUSR1, lambda *_: future.get_loop().call_soon_threadsafe(future.set_result, "woken"))
                say("ready")
                say(await future)
            run(main())
            """, 0, "ready\nhandled\nready\nwoken\n", signals=[signal.SIGUSR1] * 2)

    def test_a_handler_that_raises(self):
        self.same("""
            import signal
            def handler(number, frame):
                raise LookupError("from a handler")
            signal.signal(signal.SIGUSR1, handler)
            loop = new_loop()
            def told(loop, context):        # it came while the callback still ran: that has raised it, then
                say(context["exception"])
                loop.stop()
            loop.set_exception_handler(told)
            loop.call_soon(say, "ready")
            try:
                loop.run_forever()
            except LookupError as exc:
                say(exc)
            loop.close()
            """, 0, "ready\nfrom a handler\n", signals=[signal.SIGUSR1])

    def test_ignored_ones(self):
        self.same("""
            import signal
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Event()
                loop.add_signal_handler(signal.SIGUSR1, got.set)
                say("ready")
                say("ready")
                await got.wait()
                say("still here")
            run(main())
            """, 0, "ready\nready\nstill here\n", signals=[signal.SIGINT, signal.SIGUSR1])


class Exits(Life):
    def test_os_exit_in_a_callback(self):
        self.same("""
            import atexit
            atexit.register(say, "never")
            async def main():
                try:
                    asyncio.get_running_loop().call_soon(os._exit, 5)
                    await asyncio.sleep(3600)
                finally:
                    say("never")
            say("begun")
            run(main())
            """, 5, "begun\n")

    def test_sys_exit_in_a_task(self):
        self.same("""
            async def other():
                sys.exit(3)
            async def main():
                task = asyncio.create_task(other())
                try:
                    await asyncio.sleep(3600)
                finally:
                    say("cancelled", task.done())
            run(main())
            """, 3, "cancelled True\n", error="SystemExit: 3")     # that of the task, which nobody asked for

    def test_sys_exit_in_a_callback(self):
        self.same("""
            async def main():
                asyncio.get_running_loop().call_later(0.001, sys.exit, "that was it")
                try:
                    await asyncio.sleep(3600)
                finally:
                    say("cancelled")
            run(main())
            """, 1, "cancelled\n", error="that was it")

    def test_an_exception(self):
        self.same("""
            async def main():
                raise LookupError("wrong")
            run(main())
            """, 1, "", error="LookupError: wrong")

    def test_a_loop_that_is_not_closed(self):
        for wanted, options in (("", []), ("ResourceWarning", ["-W", "default"])):
            with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
                file.write(PRELUDE + "loop = new_loop()\nloop.run_until_complete(asyncio.sleep(0))\n"
                           "loop.call_later(10, print)\nloop.call_soon(print, loop)\nsay('done')\n")
                file.flush()
                for loop in LOOPS:
                    with self.subTest(loop, options=options):
                        done = subprocess.run([sys.executable, *options, file.name], capture_output=True, text=True,
                                              timeout=TIMEOUT, env={**os.environ, "EVENLOOP_BACKEND": loop})
                        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)
                        self.assertIn(wanted, done.stderr)
                        self.assertNotIn("Traceback", done.stderr)
                        if not wanted:
                            self.assertEqual(done.stderr, "")

    def test_a_transport_that_is_not_closed(self):
        self.same("""
            import socket
            loop = new_loop()
            a, b = socket.socketpair()
            async def main():
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
                transport.write(b"x")
                return transport
            kept = loop.run_until_complete(main())
            say(b.recv(1))
            """, 0, "b'x'\n")

    def test_threads_that_call_while_the_interpreter_ends(self):
        self.same("""
            import threading
            going = threading.Event()
            loop = new_loop()
            def call():
                going.set()
                while True:
                    try:
                        loop.call_soon_threadsafe(int)
                    except RuntimeError:        # closed
                        pass
            for _ in range(3):
                threading.Thread(target=call, daemon=True).start()
            going.wait()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
            say("done")
            """, 0, "done\n")

    def test_loops_of_threads_while_the_interpreter_ends(self):
        self.same("""
            import threading
            going = threading.Barrier(4)
            def work(busy):
                loop = new_loop()
                def again():
                    loop.call_soon(again)
                if busy:
                    again()
                loop.call_soon(going.wait)
                loop.run_forever()
            for busy in (False, True, False):       # they wait, or run, as the interpreter ends
                threading.Thread(target=work, args=(busy,), daemon=True).start()
            going.wait()
            say("done")
            """, 0, "done\n")


ECHO = """
import socket

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def echo(peer):
    loop = asyncio.get_running_loop()
    peer.setblocking(False)
    await loop.sock_sendall(peer, b"hello")
    return await asyncio.wait_for(loop.sock_recv(peer, 10), 10)

def end(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


class Forks(Life):
    def test_the_child_makes_a_loop_of_its_own_and_the_parent_goes_on(self):
        self.same(ECHO + textwrap.dedent("""
            async def main():
                a, peer = socket.socketpair()
                transport, _ = await asyncio.get_running_loop().create_connection(Echo, sock=a)
                say(await echo(peer))
                pid = os.fork()
                if pid == 0:
                    code = 99
                    try:
                        code = run(asyncio.sleep(0.001, 7))
                    finally:
                        os._exit(code)
                say("the child ended with", end(pid))
                say(await echo(peer))
                await asyncio.sleep(0.001)
                transport.close()
                return "went on"
            say(run(main()))
            """), 0, "b'hello'\nthe child ended with 7\nb'hello'\nwent on\n")

    def test_a_child_that_leaves_by_the_front_door(self):
        """Its interpreter lets go of all that it has of the parent's, whose loop must not notice."""
        self.same(ECHO + textwrap.dedent("""
            async def main():
                loop = asyncio.get_running_loop()
                a, peer = socket.socketpair()
                transport, _ = await loop.create_connection(Echo, sock=a)
                timer = loop.call_later(3600, print)
                receiving = [asyncio.create_task(loop.sock_recv(end, 1)) for end in socket.socketpair()
                             if end.setblocking(False) is None]
                await asyncio.sleep(0.001)
                if not os.fork():
                    os.close(2)
                    sys.exit(7)             # of the Runner: it would run the loop once more, and must not
                end(-1)
                say(await echo(peer))
                transport.close()
                for task in receiving:
                    task.cancel()
                await asyncio.sleep(0.001)
                return "went on"
            say(run(main()))
            """), 0, "b'hello'\nwent on\n", loops=("uring", "epoll"))

    def test_a_child_that_touches_the_parents_loop(self):
        self.same(ECHO + textwrap.dedent("""
            async def main():
                loop = asyncio.get_running_loop()
                a, peer = socket.socketpair()
                b, other = socket.socketpair()
                transport, _ = await loop.create_connection(Echo, sock=a)
                timer = loop.call_later(0.01, int)
                handle = loop.call_soon(int)
                loop.add_reader(b, int)
                pid = os.fork()
                if pid == 0:
                    try:
                        for touch in (timer.cancel, handle.cancel, lambda: loop.call_soon(print),
                                      lambda: loop.call_later(0, print), lambda: loop.add_writer(b, print),
                                      lambda: loop.remove_reader(b), transport.pause_reading, transport.resume_reading,
                                      transport.abort, loop.stop):
                            try:
                                touch()
                            except RuntimeError:
                                pass
                        asyncio._set_running_loop(None)
                        loop2 = new_loop()
                        loop2.run_until_complete(asyncio.sleep(0.001))
                        loop2.close()
                    finally:
                        os._exit(7)
                say("the child ended with", end(pid))
                say(await echo(peer))
                await asyncio.sleep(0.02)
                loop.remove_reader(b)
                transport.close()
                return "went on"
            say(run(main()))
            """), 0, "the child ended with 7\nb'hello'\nwent on\n", loops=("uring", "epoll"))   # asyncio's epoll set is shared

    def test_a_child_cannot_run_the_parents_loop(self):
        self.same("""
            loop = new_loop()
            loop.run_until_complete(asyncio.sleep(0.001))
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    loop.run_until_complete(asyncio.sleep(0))
                except RuntimeError as exc:
                    say(exc)
                    code = 7
                finally:
                    os._exit(code)
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            say(loop.run_until_complete(asyncio.sleep(0.001, "the parent can")))
            loop.close()
            """, 0, "the loop belongs to the parent process (EVEN_EFORK)\n7\nthe parent can\n", loops=("uring", "epoll"))

    def test_a_fork_in_a_thread(self):
        self.same(ECHO + textwrap.dedent("""
            def forks():
                pid = os.fork()
                if pid == 0:
                    code = 99
                    try:
                        code = run(asyncio.sleep(0.001, 7))
                    finally:
                        os._exit(code)
                return end(pid)

            async def main():
                a, peer = socket.socketpair()
                transport, _ = await asyncio.get_running_loop().create_connection(Echo, sock=a)
                say("the child ended with", await asyncio.to_thread(forks))
                say(await echo(peer))
                transport.close()
            run(main())
            """), 0, "the child ended with 7\nb'hello'\n")

    def test_multiprocessing(self):
        self.same("""
            import concurrent.futures, multiprocessing
            def work(n):
                if n == 2:
                    return run(asyncio.sleep(0.001, "a loop of the child's"))
                return n
            async def main():
                loop = asyncio.get_running_loop()
                for method in "fork", "spawn", "forkserver":
                    context = multiprocessing.get_context(method)
                    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                        say(method, *[await loop.run_in_executor(pool, work, n) for n in (1, 2)])
            if __name__ == "__main__":
                run(main())
            """, 0, "fork 1 a loop of the child's\nspawn 1 a loop of the child's\nforkserver 1 a loop of the child's\n")


@unittest.skipIf(sys.version_info < (3, 12), "subinterpreters with a lock of their own")
class Subinterpreters(Life):
    def test_a_run_in_each(self):
        self.same("""
            import threading
            try:
                import _interpreters as interpreters
            except ImportError:
                import _xxsubinterpreters as interpreters

            program = '''if 1:
                import asyncio, os, socket, evenloop
                async def main():
                    a, b = socket.socketpair()
                    reader, writer = await asyncio.open_connection(sock=a)
                    b.send(b"hello")
                    got = await reader.readexactly(5)
                    writer.close()
                    await asyncio.sleep(0.001)
                    return got
                for _ in range(20):
                    assert evenloop.run(main()) == b"hello"
                os.write(1, b"done\\\\n")
            '''

            def one():
                new = interpreters.create()
                try:
                    failure = interpreters.run_string(new, program)
                    if failure is not None:
                        say(failure)
                finally:
                    interpreters.destroy(new)

            threads = [threading.Thread(target=one) for _ in range(3)]
            for thread in threads:
                thread.start()
            say(run(asyncio.sleep(0.01, "here as well")) and "")
            for thread in threads:
                thread.join()
            """, 0, "\ndone\ndone\ndone\n", loops=("uring", "epoll"))


if __name__ == "__main__":
    unittest.main()
