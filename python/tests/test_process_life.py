"""Ctrl-C, signals, forks and the end of a process: each program on asyncio's loop and on ours, with one outcome."""
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest

from support import LOOPS, OURS, outcome

PRELUDE = '''\
import asyncio, os, signal, socket, sys, threading
if os.environ["EVENLOOP_BACKEND"] == "asyncio":
    new_loop = asyncio.SelectorEventLoop
else:
    from evenloop import new_event_loop as new_loop

def run(main):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)

def say(*words):        # not print(): a handler that says something while that writes would reenter it
    os.write(1, f"{' '.join(map(str, words))}\\n".encode())

async def ready():
    """A signal may come, and is waited for."""
    say("ready")
    await asyncio.sleep(3600)

def interrupted(function, *args):
    """What it gives, or the word that it was."""
    try:
        return function(*args)
    except KeyboardInterrupt:
        say("interrupted")

def fork(function):
    """What a child ends with that ends with what the function gives."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def echoing():
    """A transport, and a function that says what comes back from it."""
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    transport, _ = await loop.create_connection(Echo, sock=ours)
    async def echo():
        await loop.sock_sendall(peer, b"hello")
        say(await asyncio.wait_for(loop.sock_recv(peer, 10), 10))
    return transport, echo

'''


class Life(unittest.TestCase):
    maxDiff = None

    def each(self, check, text, *, signals=(), loops=LOOPS, options=()):
        """check(exit status, output, errors) of the program on each loop."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "program.py")       # a file: multiprocessing imports it
            path.write_text(PRELUDE + textwrap.dedent(text))
            for loop in loops:
                with self.subTest(loop, options=options):
                    try:
                        result = outcome(*options, path, signals=signals, EVENLOOP_BACKEND=loop)
                    except subprocess.TimeoutExpired:
                        if loop != "asyncio":
                            raise
                        # Asyncio's loop, once in some ten thousand times, sleeps on: the signal came right before it slept.
                        result = outcome(*options, path, signals=signals, EVENLOOP_BACKEND=loop)
                    check(*result)

    def same(self, text, says, status=0, error="", **options):
        """The program ends so on each loop; `error` is the last line of the errors."""
        def check(code, said, errors):
            lines = [line for line in errors.splitlines() if "DeprecationWarning" not in line and not line.startswith("  ")]
            self.assertEqual((code, said, lines[-1] if lines else ""), (status, says, error))
        self.each(check, text, **options)


class CtrlC(Life):
    INTERRUPTED = {"status": -signal.SIGINT, "error": "KeyboardInterrupt"}

    def ctrl_c(self, text, says, **ends):
        self.same(text, says, signals=[signal.SIGINT] * says.count("ready"), **ends)

    def test_it_cancels_the_main_task(self):
        self.ctrl_c("""
            async def main():
                try:
                    await ready()
                except asyncio.CancelledError:
                    say("cancelled")
                    raise
                finally:
                    await asyncio.sleep(0)
                    say("cleaned up")
            run(main())
            """, "ready\ncancelled\ncleaned up\n", **self.INTERRUPTED)

    def test_a_second_one_does_not_wait(self):
        self.ctrl_c("""
            async def main():
                try:
                    await ready()
                finally:
                    await ready()
            interrupted(run, main())
            """, "ready\nready\ninterrupted\n")

    def test_a_main_task_may_survive_it(self):
        self.ctrl_c("""
            async def main():
                try:
                    await ready()
                except asyncio.CancelledError:
                    asyncio.current_task().uncancel()
                    return "survived"
            say(interrupted(run, main()))
            """, "ready\nsurvived\n")

    def test_in_a_callback_that_computes(self):
        self.ctrl_c("""
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
            interrupted(loop.run_until_complete, main())
            say(loop.is_running())
            say(loop.run_until_complete(asyncio.sleep(0, "and ran again")))
            loop.close()
            """, "ready\ninterrupted\nFalse\nand ran again\ncancelled\n")

    def test_in_a_callback_that_blocks(self):
        self.ctrl_c("""
            import time
            loop = new_loop()
            def block():
                say("ready")
                time.sleep(3600)
            loop.call_soon(block)
            loop.call_soon(say, "the next one")
            interrupted(loop.run_forever)
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            """, "ready\ninterrupted\nthe next one\n")

    def test_in_a_loop_that_waits_without_end(self):
        self.ctrl_c("""
            loop = new_loop()
            loop.call_soon(say, "ready")
            interrupted(loop.run_forever)
            loop.close()
            """, "ready\ninterrupted\n")

    def test_in_a_loop_that_never_waits(self):
        self.ctrl_c("""
            loop = new_loop()
            def again(n):
                if n == 100:
                    say("ready")
                loop.call_soon(again, n + 1)
            again(0)
            interrupted(loop.run_forever)
            loop.close()
            """, "ready\ninterrupted\n")

    def test_while_a_thread_works(self):
        self.ctrl_c("""
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
            """, "ready\nreleased\n", **self.INTERRUPTED)


class Signals(Life):
    def test_one_that_is_not_handled_kills(self):
        self.same("""
            async def main():
                try:
                    await ready()
                finally:
                    say("never")
            run(main())
            """, "ready\n", -signal.SIGTERM, signals=[signal.SIGTERM])

    def test_handlers_of_the_loop(self):
        self.same("""
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Queue()
                for number in signal.SIGTERM, signal.SIGUSR1, signal.SIGINT:
                    loop.add_signal_handler(number, got.put_nowait, number.name)
                for _ in range(3):
                    say("ready")
                    say(await got.get())
                loop.remove_signal_handler(signal.SIGINT)
                await ready()
            run(main())
            """, "ready\nSIGTERM\nready\nSIGINT\nready\nSIGUSR1\nready\n", -signal.SIGINT, "KeyboardInterrupt",
            signals=[signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGINT])

    def test_handlers_of_python(self):
        self.same("""
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
            """, "ready\nhandled\nready\nwoken\n", signals=[signal.SIGUSR1] * 2)

    def test_a_handler_that_raises(self):
        self.same("""
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
            """, "ready\nfrom a handler\n", signals=[signal.SIGUSR1])

    def test_ignored_ones(self):
        self.same("""
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Event()
                loop.add_signal_handler(signal.SIGUSR1, got.set)
                say("ready")
                say("ready")
                await got.wait()
                say("still here")
            run(main())
            """, "ready\nready\nstill here\n", signals=[signal.SIGINT, signal.SIGUSR1])


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
            """, "begun\n", 5)

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
            """, "cancelled True\n", 3, "SystemExit: 3")    # that of the task, which nobody asked for

    def test_sys_exit_in_a_callback(self):
        self.same("""
            async def main():
                asyncio.get_running_loop().call_later(0.001, sys.exit, "that was it")
                try:
                    await asyncio.sleep(3600)
                finally:
                    say("cancelled")
            run(main())
            """, "cancelled\n", 1, "that was it")

    def test_an_exception(self):
        self.same("""
            async def main():
                raise LookupError("wrong")
            run(main())
            """, "", 1, "LookupError: wrong")

    def test_a_loop_that_is_not_closed(self):
        for warned, options in ((False, ()), (True, ("-W", "default"))):
            def check(status, said, errors):
                self.assertEqual((status, said), (0, "done\n"), errors)
                self.assertNotIn("Traceback", errors)
                if warned:
                    self.assertIn("ResourceWarning", errors)
                else:
                    self.assertEqual(errors, "")

            self.each(check, """
                loop = new_loop()
                loop.run_until_complete(asyncio.sleep(0))
                loop.call_later(10, print)
                loop.call_soon(print, loop)
                say("done")
                """, options=options)

    def test_a_transport_that_is_not_closed(self):
        self.same("""
            loop = new_loop()
            a, b = socket.socketpair()
            async def main():
                transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
                transport.write(b"x")
                return transport
            kept = loop.run_until_complete(main())
            say(b.recv(1))
            """, "b'x'\n")

    def test_threads_that_call_while_the_interpreter_ends(self):
        self.same("""
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
            """, "done\n")

    def test_loops_of_threads_while_the_interpreter_ends(self):
        self.same("""
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
            """, "done\n")


class Forks(Life):
    def test_the_child_makes_a_loop_of_its_own_and_the_parent_goes_on(self):
        self.same("""
            async def main():
                transport, echo = await echoing()
                await echo()
                say("the child ended with", fork(lambda: run(asyncio.sleep(0.001, 7))))
                await echo()
                await asyncio.sleep(0.001)
                transport.close()
                return "went on"
            say(run(main()))
            """, "b'hello'\nthe child ended with 7\nb'hello'\nwent on\n")

    def test_a_child_that_leaves_by_the_front_door(self):
        """Its interpreter lets go of all that it has of the parent's, whose loop must not notice."""
        self.same("""
            async def main():
                loop = asyncio.get_running_loop()
                transport, echo = await echoing()
                timer = loop.call_later(3600, print)
                receiving = [asyncio.create_task(loop.sock_recv(end, 1)) for end in socket.socketpair()
                             if end.setblocking(False) is None]
                await asyncio.sleep(0.001)
                if not os.fork():
                    os.close(2)
                    sys.exit(7)             # of the Runner: it would run the loop once more, and must not
                os.wait()
                await echo()
                transport.close()
                for task in receiving:
                    task.cancel()
                await asyncio.sleep(0.001)
                return "went on"
            say(run(main()))
            """, "b'hello'\nwent on\n", loops=OURS)

    def test_a_child_that_touches_the_parents_loop(self):
        self.same("""
            async def main():
                loop = asyncio.get_running_loop()
                transport, echo = await echoing()
                b, other = socket.socketpair()
                timer = loop.call_later(0.01, int)
                handle = loop.call_soon(int)
                loop.add_reader(b, int)
                def touches():
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
                    return 7
                say("the child ended with", fork(touches))
                await echo()
                await asyncio.sleep(0.02)
                loop.remove_reader(b)
                transport.close()
                return "went on"
            say(run(main()))
            """, "the child ended with 7\nb'hello'\nwent on\n", loops=OURS)     # asyncio's epoll set is shared

    def test_a_child_cannot_run_the_parents_loop(self):
        self.same("""
            loop = new_loop()
            loop.run_until_complete(asyncio.sleep(0.001))
            def runs():
                try:
                    loop.run_until_complete(asyncio.sleep(0))
                except RuntimeError as exc:
                    say(exc)
                    return 7
            say(fork(runs))
            say(loop.run_until_complete(asyncio.sleep(0.001, "the parent can")))
            loop.close()
            """, "the loop belongs to the parent process (EVEN_EFORK)\n7\nthe parent can\n", loops=OURS)

    def test_a_fork_in_a_thread(self):
        self.same("""
            async def main():
                transport, echo = await echoing()
                say("the child ended with", await asyncio.to_thread(fork, lambda: run(asyncio.sleep(0.001, 7))))
                await echo()
                transport.close()
            run(main())
            """, "the child ended with 7\nb'hello'\n")

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
            """, "fork 1 a loop of the child's\nspawn 1 a loop of the child's\nforkserver 1 a loop of the child's\n")


@unittest.skipIf(sys.version_info < (3, 12), "subinterpreters with a lock of their own")
class Subinterpreters(Life):
    def test_a_run_in_each(self):
        self.same("""
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
            """, "\ndone\ndone\ndone\n", loops=OURS)


if __name__ == "__main__":
    unittest.main()
