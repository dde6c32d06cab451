"""python -m evenloop --check: which loops a program ran, in whatever process."""
import os
import pathlib
import pty
import re
import signal
import sys
import textwrap
import unittest

from started import ASGI, ASYNCIO, EVENLOOP, UVLOOP, StartedTest, installed, words
from support import python

RUN = """
import asyncio, os, signal, sys
async def nothing():
    pass
"""
CHILD = """
import multiprocessing
def child():
    asyncio.run(nothing())
    os._exit(0)
if __name__ == "__main__":
    asyncio.run(nothing())
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
    sys.exit(5)
"""


class Check(StartedTest):
    def check(self, text, *arguments, **environment):
        """It ends so: (exit status, output, what --check printed)."""
        self.write("program.py", RUN + textwrap.dedent(text))
        done = python("-m", "evenloop", "--check", "program.py", *arguments, cwd=self.folder, **environment)
        return done.returncode, done.stdout, done.stderr

    def test_evenloops_own(self):
        code, said, told = self.check("""
            asyncio.run(nothing())
            asyncio.run(nothing())
            print("said", file=sys.stderr)
            print(os.getpid())
        """)
        self.assertEqual(code, 0, told)
        self.assertEqual(told, "said\nevenloop: the event loops that ran:\n"
                               f"  {EVENLOOP}  process {said.strip()}  thread MainThread, 2 of them\n")

    def test_a_module(self):
        self.write("module.py", RUN + "asyncio.run(nothing())\nprint(sys.argv[1:], sys.warnoptions)\nsys.exit(4)\n")
        options = ("--check", "--backend", "epoll")
        done = python("-W", "error", "-m", "evenloop", *options, "-m", "module", "--check", cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (4, "['--check'] ['error']\n"), done.stderr)
        self.assertChecked(done.stderr, EVENLOOP)

    def test_another_loop_in_a_thread(self):
        code, said, told = self.check("""
            import threading
            asyncio.run(nothing())
            other = asyncio.SelectorEventLoop()
            thread = threading.Thread(target=other.run_until_complete, args=(nothing(),), name="of  mine")
            thread.start()
            thread.join()
        """)
        self.assertEqual(code, 1, told)
        self.assertChecked(told, EVENLOOP, ASYNCIO)
        self.assertRegex(told, rf"{ASYNCIO}  process \d+  thread of mine  \(not evenloop's\)\n")

    @installed("uvloop")
    def test_a_loop_in_c(self):
        code, said, told = self.check("import uvloop; uvloop.new_event_loop().run_until_complete(nothing())")
        self.assertEqual(code, 1, told)
        self.assertChecked(told, UVLOOP)

    def test_a_loop_derived_from_ours(self):
        code, said, told = self.check("""
            import evenloop
            class Mine(evenloop.Loop):
                pass
            Mine().run_until_complete(nothing())
        """)
        self.assertEqual(code, 0, told)
        self.assertChecked(told, "__main__.Mine")

    def test_no_loop(self):
        code, said, told = self.check("raise SystemExit(3)")
        self.assertEqual((code, told), (3, "evenloop: no event loop ran\n"))

    def test_children(self):
        for method, loop, status in (("fork", EVENLOOP, 5), ("spawn", ASYNCIO, 1), ("forkserver", ASYNCIO, 1)):
            with self.subTest(method):
                code, said, told = self.check(CHILD, method)
                self.assertEqual(code, status, told)
                self.assertChecked(told, EVENLOOP, loop)
                self.assertEqual(len(set(re.findall(r"process (\d+)", told))), 2, told)

    def test_a_loop_that_ran_before_a_fork_and_goes_on_in_the_child(self):
        code, said, told = self.check("""
            loop = asyncio.SelectorEventLoop()
            loop.run_until_complete(nothing())
            if os.fork() == 0:
                loop.run_until_complete(nothing())
                os._exit(0)
            os.wait()
        """)
        self.assertChecked(told, ASYNCIO, ASYNCIO)
        self.assertEqual(len(set(re.findall(r"process (\d+)", told))), 2, told)

    def test_asyncio_that_was_there_before(self):
        """`site` reads what a .pth file wants before it reads a sitecustomize."""
        code, said, told = self.check("""
            import subprocess
            late = "import asyncio, site; site.main(); asyncio.run(asyncio.sleep(0))"
            subprocess.run([sys.executable, "-S", "-c", late], check=True)
        """)
        self.assertEqual(code, 1, told)
        self.assertChecked(told, ASYNCIO)

    def test_the_program_sees_no_more_than_without(self):
        other = pathlib.Path(self.folder, "other")
        other.mkdir()
        other.joinpath("sitecustomize.py").write_text("customized = True\n")
        code, checked, told = self.check("""
            import sitecustomize
            print(sitecustomize.customized, sitecustomize.__file__, sys.argv, sys.path)
            print(sorted(sys.modules), len(sys.meta_path))
        """, "a", PYTHONPATH=str(other))
        self.assertEqual(code, 0, told)
        done = python("-m", "evenloop", "program.py", "a", cwd=self.folder, PYTHONPATH=str(other))
        self.assertEqual(checked, done.stdout, told)

    def test_a_program_without_a_sitecustomize(self):
        """Some distributions have one of their own; nobody is told of ours."""
        code, said, told = self.check("print(getattr(sys.modules.get('sitecustomize'), '__file__', ''))")
        self.assertEqual(code, 0)
        self.assertNotIn("evenloop", said)
        self.assertEqual(told, "evenloop: no event loop ran\n")

    def test_mistakes(self):
        for option in ("-E", "-I", "-S"):
            done = python(option, "-m", "evenloop", "--check", "program.py", cwd=self.folder,
                          PYTHONPATH=os.pathsep.join(sys.path))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--check", done.stderr)


class Ends(StartedTest):
    """However it ends, what ran is printed, and the exit status is the program's."""

    def start_program(self, text):
        self.write("program.py", RUN + textwrap.dedent(text))
        program = self.start("python -m evenloop --check program.py")
        program.until("ready\n")
        return program

    def test_killed_by_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP):
            with self.subTest(number.name):
                self.write("program.py", RUN + f"asyncio.run(nothing())\nos.kill(os.getpid(), {int(number)})\n")
                done = python("-m", "evenloop", "--check", "program.py", cwd=self.folder)
                self.assertEqual(done.returncode, -number, done.stderr)
                self.assertChecked(done.stderr, EVENLOOP)

    def test_left_at_once(self):
        self.write("program.py", RUN + "asyncio.run(nothing())\nos._exit(7)\n")
        done = python("-m", "evenloop", "--check", "program.py", cwd=self.folder)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertChecked(done.stderr, EVENLOOP)

    def test_a_signal_that_nothing_handles(self):
        program = self.start_program("""
            async def main():
                print("ready")
                await asyncio.sleep(3600)
            asyncio.run(main())
        """)
        code, said = program.end(signal.SIGTERM)
        self.assertEqual(code, -signal.SIGTERM, said)
        self.assertChecked(said, EVENLOOP)

    def test_signals_that_the_program_handles(self):
        program = self.start_program("""
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Queue()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
                    loop.add_signal_handler(number, got.put_nowait, number)
                print("ready")
                while (number := await got.get()) != signal.SIGTERM:
                    print("got", number.name)
                return 6
            sys.exit(asyncio.run(main()))
        """)
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT):
            program.process.send_signal(number)
            program.until(f"got {number.name}\n")
        code, said = program.end(signal.SIGTERM)
        self.assertEqual((code, said.count("got ")), (6, 3), said)
        self.assertChecked(said, EVENLOOP)

    def test_ctrl_c_of_a_terminal_comes_once(self):
        """It goes to every process of the job; one that is passed on besides would come before the SIGTERM."""
        self.write("program.py", RUN + textwrap.dedent("""
            async def main():
                loop, got = asyncio.get_running_loop(), asyncio.Queue()
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, got.put_nowait, number)
                print("ready", flush=True)
                print("got", (await got.get()).name)
                os.kill(os.getppid(), signal.SIGTERM)
                print("and", (await got.get()).name)
            asyncio.run(main())
        """))
        child, terminal = pty.fork()
        if child == 0:
            try:
                os.chdir(self.folder)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                command = words("python -m evenloop --check program.py")
                os.execv(command[0], command)
            finally:
                os._exit(127)
        said, sent = "", False
        try:
            while True:
                try:
                    data = os.read(terminal, 4096)
                except OSError:         # its other end is closed
                    break
                said += data.decode()
                if "ready" in said and not sent:
                    sent = os.write(terminal, b"\x03")
        finally:
            status = os.waitpid(child, 0)[1]
            os.close(terminal)
        self.assertIn("got SIGINT\r\nand SIGTERM\r\n", said)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, said)
        self.assertIn(f"  {EVENLOOP}  process ", said)

    @installed("uvicorn")
    def test_workers_of_a_server(self):
        self.write("app.py", ASGI)
        for loop, kind in (("evenloop:new_event_loop", EVENLOOP), ("asyncio", ASYNCIO)):
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(loop, signal=number.name):
                    options = f"--loop {loop} --workers 2 --port 0"
                    server = self.start(f"python -m evenloop --check -m uvicorn {options} app:app")
                    self.assertEqual(server.get(server.port()), kind)
                    server.until(r"(?s)startup complete.*startup complete")
                    code, said = server.end(number)
                    self.assertEqual(code, 0 if kind == EVENLOOP else 1, said)
                    self.assertChecked(said, kind, kind)


if __name__ == "__main__":
    unittest.main()
