"""The package: what it is, what it leaves alone, and the ways into it."""
import asyncio
import pathlib
import py_compile
import signal
import socket
import tempfile
import textwrap
import threading
import time
import unittest
import zipapp

import evenloop
from support import OURS, outcome, python

HERE = pathlib.Path(__file__).parent


def program(text):
    return python("-c", textwrap.dedent(text))


class Package(unittest.TestCase):
    def test_importing_it_changes_nothing_in_asyncio(self):
        done = program("""
            import asyncio, asyncio.unix_events, sys
            def look():
                return {(m, name): id(value) for m, module in sys.modules.items() if m.startswith("asyncio")
                        for name, value in vars(module).items()}
            policy = type(asyncio.get_event_loop_policy()) if sys.version_info < (3, 14) else None
            before = look()
            import evenloop
            after = look()
            for key in after:
                if key not in before or before[key] != after[key]:
                    print("changed", key)
            if policy and type(asyncio.get_event_loop_policy()) is not policy:
                print("changed the policy")
        """)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_run(self):
        async def main():
            return type(asyncio.get_running_loop())

        self.assertIs(evenloop.run(main()), evenloop.Loop)

    def test_a_failure_comes_out_of_run(self):
        async def main():
            raise LookupError("gone")

        with self.assertRaisesRegex(LookupError, "gone"):
            evenloop.run(main())

    def test_backends(self):
        for name in ("uring", "epoll", "sim"):
            with self.subTest(name):
                loop = evenloop.Loop(backend=name)
                self.assertEqual(loop.backend, name)
                self.assertEqual(loop.run_until_complete(asyncio.sleep(0.001, 7)), 7)
                loop.close()
                self.assertIsNone(loop.backend)
        with self.assertRaises(RuntimeError):
            evenloop.Loop(backend="no such")

    def test_virtual_time(self):
        began = time.monotonic()
        loop = evenloop.Loop(backend="sim")
        before = loop.time()
        loop.run_until_complete(asyncio.sleep(3600))
        self.assertAlmostEqual(loop.time() - before, 3600, 3)
        self.assertLess(time.monotonic() - began, 60)
        loop.close()

    def test_virtual_time_waits_for_threads(self):
        go = threading.Event()

        async def main(loop):
            future = loop.run_in_executor(None, go.wait, 20)
            began = loop.time()
            timer = loop.call_later(3600, go.set)           # not before the thread is through: it would never be
            loop.call_soon(go.set)
            self.assertTrue(await future)
            self.assertLess(loop.time() - began, 3600)
            timer.cancel()
            self.assertEqual(await asyncio.to_thread(str, 1), "1")
            await asyncio.sleep(3600)
            self.assertGreaterEqual(loop.time() - began, 3600)

        loop = evenloop.Loop(backend="sim")
        loop.run_until_complete(main(loop))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def test_install(self):
        done = program("""
            import asyncio, evenloop
            evenloop.install()
            async def main():
                print(type(asyncio.get_running_loop()).__module__, type(asyncio.new_event_loop()).__name__)
            asyncio.run(main())
        """)
        self.assertEqual(done.stdout, "evenloop._loop Loop\n", done.stderr)

    def test_it_is_what_asyncio_has(self):
        loop = evenloop.new_event_loop()
        self.assertIsInstance(loop, asyncio.AbstractEventLoop)
        handle, timer = loop.call_soon(print), loop.call_later(1, print)
        self.assertIsInstance(handle, asyncio.Handle)
        self.assertIsInstance(timer, asyncio.TimerHandle)
        for name, method in vars(asyncio.AbstractEventLoop).items():
            if callable(method) and not name.startswith("__"):
                self.assertIsNot(getattr(type(loop), name), method, f"{name}() is left to raise NotImplementedError")
        loop.close()


class Manual(unittest.TestCase):
    def test_its_programs_print_what_it_says(self):
        manual = HERE.parent.parent / "docs" / "python.md"
        programs = [part.split("```")[0] for part in manual.read_text().split("```python\n")[1:]]
        self.assertEqual(len(programs), 2)
        for text in programs:
            done = python("-c", text)
            says = text.split("# prints: ")[1]
            self.assertEqual((done.returncode, done.stdout), (0, says), done.stderr)

    def test_the_readme_runs_any_program_of_asyncios(self):
        readme = HERE.parent.parent / "README.md"
        lines = readme.read_text().split("```python\n")[1].split("```")[0]
        done = python("-c", "async def main(): print(type(__import__('asyncio').get_running_loop()).__module__)\n" + lines)
        self.assertEqual((done.returncode, done.stdout), (0, "evenloop._loop\n"), done.stderr)


class Main(unittest.TestCase):
    def test_a_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("import asyncio, sys\n"
                       "async def main(): print(type(asyncio.get_running_loop()).__module__, sys.argv[1:], __name__)\n"
                       "asyncio.run(main())\n")
            file.flush()
            done = python("-m", "evenloop", file.name, "a", "-b")
        self.assertEqual(done.stdout, "evenloop._loop ['a', '-b'] __main__\n", done.stderr)

    def test_a_file_finds_itself_and_its_classes(self):
        """As under `python FILE.py`: __file__ is absolute, sys.argv[0] as written, and __main__ stays to the end."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "program.py").write_text(textwrap.dedent("""
                import atexit, os, pickle, sys
                class Thing:
                    pass
                atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Thing()))) is Thing))
                print(__file__, sys.argv, sys.path[0], __spec__, type(__loader__).__name__, __builtins__.print is print)
            """))
            pathlib.Path(folder, "inner", "more").mkdir(parents=True)
            pathlib.Path(folder, "link").symlink_to("inner/more")
            pathlib.Path(folder, "inner", "program.py").symlink_to("../program.py")
            for name in ("program.py", "./program.py", "inner/program.py", "link/../program.py", f"{folder}/program.py"):
                said, ours = (python(*how, name, "a", cwd=folder) for how in ((), ("-m", "evenloop")))
                self.assertTrue(said.stdout.startswith("/") and said.stdout.endswith("True\n"), said)
                self.assertEqual((ours.returncode, ours.stdout), (0, said.stdout), ours.stderr)

    def test_what_else_may_be_run_as_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            inside = pathlib.Path(folder, "inside")
            inside.mkdir()
            inside.joinpath("__main__.py").write_text("print(__name__, __file__.rpartition('/')[2])\n")
            py_compile.compile(inside / "__main__.py", pathlib.Path(folder, "compiled.pyc"))
            zipapp.create_archive(inside, pathlib.Path(folder, "archive.pyz"))
            for name, says in (("inside", "__main__.py"), ("archive.pyz", "__main__.py"), ("compiled.pyc", "compiled.pyc")):
                done = python("-m", "evenloop", name, cwd=folder)
                self.assertEqual(done.stdout, f"__main__ {says}\n", done.stderr)

    def test_a_module(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "their_program.py").write_text(
                "import asyncio\nasync def main(): print(type(asyncio.get_running_loop()).__module__)\nasyncio.run(main())\n")
            done = python("-m", "evenloop", "-m", "their_program", cwd=folder)
        self.assertEqual(done.stdout, "evenloop._loop\n", done.stderr)

    def test_mistakes(self):
        self.assertEqual(python("-m", "evenloop").returncode, 2)
        done = python("-m", "evenloop", "--nothing")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--nothing", done.stderr)
        self.assertIn("usage", python("-m", "evenloop", "--help").stdout)


class Notes(unittest.TestCase):
    """The notes' programs print what the notes say, in the notes' time (and in none of it, in virtual time)."""

    SAY = {
        "in_turn": ("start 2s 1s end", 3),
        "together": ("start 1s 2s end", 2),
        "gather_tasks": ("start 1s 2s end, r1='2s', r2='1s'", 2),
        "gather": ("start 1s 2s end, r1='2s', r2='1s'", 2),
        "gather_list": ("start 1s 2s 3s end, ['1s', '2s', '3s']", 3),
        "just_await": ("", 0.1),
        "create_task": ("", 0.1),
    }

    def test_they_print_what_they_say(self):
        for backend in ("uring", "epoll", "sim"):
            for name, (says, seconds) in self.SAY.items():
                with self.subTest(name, backend=backend):
                    began = time.monotonic()
                    done = python("-m", "evenloop", HERE / "notes" / f"{name}.py", EVENLOOP_BACKEND=backend)
                    took = time.monotonic() - began
                    self.assertEqual(" ".join(done.stdout.split("\n")).strip(), says, done.stderr)
                    if backend != "sim":
                        self.assertGreaterEqual(took, seconds)


class Signals(unittest.TestCase):
    def check(self, text, signals, status, out):
        for backend in OURS:
            with self.subTest(backend):
                code, said, errors = outcome("-c", textwrap.dedent(text), signals=signals, EVENLOOP_BACKEND=backend)
                self.assertEqual((code, said), (status, "ready\n" + out), errors)

    def test_ctrl_c_ends_a_loop_that_sleeps(self):
        self.check("""
            import asyncio, evenloop
            async def main():
                print("ready", flush=True)
                try:
                    await asyncio.sleep(3600)
                finally:
                    print("cancelled")
            try:
                evenloop.run(main())
            except KeyboardInterrupt:
                print("interrupted")
        """, [signal.SIGINT], 0, "cancelled\ninterrupted\n")

    def test_ctrl_c_ends_a_loop_that_computes(self):
        self.check("""
            import evenloop
            loop = evenloop.Loop()
            def again():
                loop.call_soon(again)
            def spin():
                print("ready", flush=True)
                while True:
                    pass
            loop.call_soon(again)
            loop.call_soon(spin)
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                print("interrupted", loop.is_running())
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            print("and ran again")
        """, [signal.SIGINT], 0, "interrupted False\nand ran again\n")

    def test_a_signal_handler_of_the_loop(self):
        self.check("""
            import asyncio, evenloop, signal
            async def main():
                got = asyncio.Event()
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, got.set)
                print("ready", flush=True)
                await got.wait()
                print("terminated")
            evenloop.run(main())
        """, [signal.SIGTERM], 0, "terminated\n")


class Queue(unittest.TestCase):
    def setUp(self):
        self.loop = evenloop.Loop()
        self.addCleanup(self.loop.close)

    def test_an_exit_leaves_the_rest_for_the_next_run(self):
        said = []

        def leave():
            raise SystemExit(3)

        for callback in (lambda: said.append(1), leave, lambda: said.append(2), self.loop.stop):
            self.loop.call_soon(callback)
        with self.assertRaises(SystemExit):
            self.loop.run_forever()
        self.assertEqual(said, [1])
        self.loop.run_forever()
        self.assertEqual(said, [1, 2])

    def test_other_threads_wake_it(self):
        import threading
        said = []

        def other():
            for i in range(1000):
                self.loop.call_soon_threadsafe(said.append, i)
            self.loop.call_soon_threadsafe(self.loop.stop)

        thread = threading.Thread(target=other)
        self.loop.call_soon(thread.start)
        self.loop.run_forever()
        thread.join()
        self.assertEqual(said, list(range(1000)))

    def test_another_thread_that_forgets_threadsafe_breaks_nothing(self):
        import threading
        said, going = [], threading.Event()

        def other():
            going.wait()
            time.sleep(0.02)                        # the loop sleeps by then, or not: either is to work
            self.loop.call_soon(said.append, 1)
            self.loop.call_later(0.001, said.append, 2)
            self.loop.call_later(0.002, self.loop.stop)
            self.loop.call_later(0, said.append, 3).cancel()

        thread = threading.Thread(target=other)
        thread.start()
        self.loop.call_soon(going.set)
        self.loop.run_forever()
        thread.join()
        self.assertEqual(said, [1, 2])

    def test_what_is_queued_when_it_is_closed_is_let_go(self):
        class Thing:
            alive = 0

            def __init__(self):
                Thing.alive += 1

            def __del__(self):
                Thing.alive -= 1

        loop = evenloop.Loop()
        for delay in (0, 1, 2):
            loop.call_soon(print, Thing())
            loop.call_later(delay, print, Thing())
            loop.call_soon_threadsafe(print, Thing())
        loop.call_later(3, print, Thing()).cancel()
        self.assertEqual(Thing.alive, 9)
        loop.close()
        self.assertEqual(Thing.alive, 0)

    def pair(self):
        a, b = socket.socketpair()
        a.setblocking(False)
        self.addCleanup(a.close)
        self.addCleanup(b.close)
        return a, b

    def test_a_reader_of_a_file_that_was_closed_can_be_removed(self):
        a, b = self.pair()
        self.loop.add_reader(a, print)
        self.loop.add_writer(b, print)
        a.close()
        self.assertTrue(self.loop.remove_reader(a))
        with self.assertRaises(ValueError):         # as in asyncio: it is not known any more
            self.loop.remove_reader(a)
        self.assertTrue(self.loop.remove_writer(b))
        self.assertFalse(self.loop.remove_writer(b))

    def test_a_reader_whose_handle_was_cancelled_does_not_spin(self):
        a, b = self.pair()
        self.loop._add_reader(a.fileno(), self.fail).cancel()
        b.send(b"x")
        self.loop.call_later(0.02, self.loop.stop)
        self.loop.run_forever()
        self.assertIsNone(self.loop._watched(a.fileno())[0])
        said = []
        self.loop.add_reader(a, lambda: (said.append(a.recv(1)), self.loop.stop()))
        self.loop.run_forever()
        self.assertEqual(said, [b"x"])

    def test_a_loop_that_is_forgotten_is_collected(self):
        import gc
        import warnings
        import weakref
        loop = evenloop.Loop()
        loop.call_soon(print, loop)
        loop.call_later(3600, print, loop)
        a, b = socket.socketpair()
        a.setblocking(False)
        loop.create_task(loop.sock_recv(a, 1))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.call_soon(print, loop)
        gone = weakref.ref(loop)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            del loop
            gc.collect()
        texts = [str(w.message) for w in said]
        said.clear()      # since 3.15 what a warning is of goes with the warning, not before
        gc.collect()
        self.assertIsNone(gone())
        self.assertTrue(any("unclosed event loop" in text for text in texts), texts)
        a.close()
        b.close()

    def test_a_hundred_thousand_timers_leave_nothing(self):
        import gc
        gc.collect()
        before = len(gc.get_objects())
        for i in range(100_000):
            handle = self.loop.call_later(3600 + i, print, i)
            if i % 2:
                handle.cancel()
        for handle in self.loop._scheduled:
            handle.cancel()
        del handle
        gc.collect()
        self.assertLess(abs(len(gc.get_objects()) - before), 100)

    def test_bad_calls(self):
        with self.assertRaises(TypeError):
            self.loop.call_soon()
        with self.assertRaises(TypeError):
            self.loop.call_later(None, print)
        with self.assertRaises(ValueError):
            self.loop.call_later(float("nan"), print)
        with self.assertRaises(TypeError):
            self.loop.call_soon(print, nothing=1)
        self.loop.close()
        for call in (self.loop.call_soon, self.loop.call_soon_threadsafe):
            with self.assertRaisesRegex(RuntimeError, "closed"):
                call(print)
        with self.assertRaisesRegex(RuntimeError, "closed"):
            self.loop.call_later(1, print)


if __name__ == "__main__":
    unittest.main()
