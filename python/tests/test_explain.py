"""python -m evenloop --explain: what it tells, and that the program runs as it does without.

    python python/tests/test_explain.py --update    write golden/NAME.txt anew; read the difference!
"""
import functools
import pathlib
import re
import sys
import textwrap
import unittest

from support import python

HERE = pathlib.Path(__file__).parent
NOTES = sorted(path.stem for path in (HERE / "notes").glob("*.py"))
TOLD = re.compile(r" *\d+\.\d{3}  ")


evenloop = functools.partial(python, "-m", "evenloop")


def explained(name, folder="notes", options=("--virtual-time",), **environment):
    return evenloop("--explain", *options, HERE / folder / f"{name}.py", together=True, **environment).stdout


def told(text):
    """The narrator's lines, without the lines of source."""
    return [re.sub(r"  \([\w.]+:\d+\)$", "", line) for line in text.splitlines() if TOLD.match(line)]


def sentences(text):
    """And without the times and the asides that come only once."""
    return [re.sub(r": (registered|it leaves|a call on|a request|nothing to wait|it goes to).*|, not called \(.*?\)|, as any"
                   r" call does|, at no cost|: its result is kept.*", "", TOLD.sub("", line)) for line in told(text)]


class Notes(unittest.TestCase):
    maxDiff = None

    def test_the_stories(self):
        for name in NOTES:
            with self.subTest(name):
                self.assertEqual(explained(name), (HERE / "golden" / f"{name}.txt").read_text())

    def test_gather_is_told_as_in_c(self):
        c = (HERE.parent.parent / "tests" / "golden" / "gather.txt").read_text()
        self.assertEqual(told(explained("gather")), told(c.replace("say_gathered", "say")))

    def test_so_are_the_others_but_for_what_is_seen_late(self):
        """Python sees at the end of a turn what C tells within it: there the order differs from that of the prints."""
        for name, c_main in (("in_turn", "say_in_turn"), ("together", "say_together"), ("gather_tasks", "say_gathered"),
                             ("gather_list", "say_list")):
            with self.subTest(name):
                c = (HERE.parent.parent / "tests" / "golden" / f"{name}.txt").read_text()
                self.assertEqual(told(explained(name)), told(c.replace(c_main, "say")))

    def test_their_lines_of_source_are_right(self):
        for name in NOTES:
            source = (HERE / "notes" / f"{name}.py").read_text().splitlines()
            for line in explained(name).splitlines():
                where = re.search(r"  \((\w+)\.py:(\d+)\)$", line)
                if not where:
                    continue
                with self.subTest(line):
                    self.assertEqual(where[1], name)
                    text = source[int(where[2]) - 1]
                    sentence = line[:where.start()]
                    wanted = "asyncio.run(" if "the loop begins" in sentence else "gather(" if "gather" in sentence else "await "
                    if " creates " in sentence:
                        wanted = "gather(" if "gather(" in text else "create_task("
                    self.assertIn(wanted, text)

    def test_a_seed_gives_one_order(self):
        seeded = [explained("gather", options=("--virtual-time", "--seed", "7")) for _ in range(2)]
        self.assertEqual(*seeded)

    def test_real_time(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                text = explained("just_await", options=("--backend", backend))
                due = re.search(r"(?m)^ +(\d\.\d+)  Task-1's timer is due: ", text)
                self.assertGreaterEqual(float(due[1]), 0.1)
                self.assertRegex(text, r"the loop ends: 1 task, 2 turns; it slept for 0\.\d+ of \d\.\d+ s\n")

    def test_the_environment(self):
        self.assertEqual(explained("create_task", options=(), EVENLOOP_BACKEND="sim"), explained("create_task"))
        path = HERE / "notes" / "create_task.py"
        self.assertEqual(evenloop(path, EVENLOOP_EXPLAIN="1", EVENLOOP_BACKEND="sim").stderr, explained("create_task"))
        self.assertEqual(evenloop(path, EVENLOOP_EXPLAIN="0", EVENLOOP_BACKEND="sim").stderr, "")


class Unchanged(unittest.TestCase):
    """The program's output, its errors and its status are those that it has without."""

    def check(self, name, *options, **environment):
        path = HERE / "explained" / f"{name}.py"
        plain = evenloop(*options, path, **environment)
        told = evenloop("--explain", *options, path, **environment)
        lines = told.stderr.splitlines(keepends=True)
        self.assertEqual((told.returncode, told.stdout, "".join(line for line in lines if not TOLD.match(line))),
                         (plain.returncode, plain.stdout, plain.stderr))
        self.assertGreater(len([line for line in lines if TOLD.match(line)]), 5)
        self.assertNotIn("_explain", told.stderr)

    def test_in_virtual_time(self):
        for name in ("cancellation", "asyncios", "awaitables", "calls", "loops"):
            for debug in ({}, {"PYTHONASYNCIODEBUG": "1"}):
                if name == "awaitables" and debug:
                    continue        # its warnings name addresses
                with self.subTest(name, debug=debug):
                    self.check(name, "--virtual-time", **debug)

    @unittest.skipIf(sys.version_info < (3, 12), "there are no eager tasks")
    def test_eager_tasks(self):
        self.check("eager", "--virtual-time")

    def test_outside(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                self.check("outside", "--backend", backend)


class Sentences(unittest.TestCase):
    maxDiff = None

    def assert_in_order(self, wanted, text):
        lines = iter(text)
        for line in textwrap.dedent(wanted).strip().splitlines():
            self.assertTrue(any(line == other for other in lines), f"'{line}' is not told, or not there:\n" + "\n".join(text))

    def test_cancellation(self):
        self.assert_in_order("""
            Task-1 asks Task-2 to cancel
            Task-2's sleep is canceled: its wake-up is scheduled
            Task-1 waits for Task-2
            Task-2 (nap) goes on
            Task-2 is told that it is canceled
            Task-2 (nap) ends, canceled
            Task-1 waited for Task-2: its wake-up is scheduled, and it goes on in its turn
            Task-3 (nap) begins
            Task-3 is told that it is canceled
            Task-3 (nap) ends, canceled
            Task-4 creates inner (nap)
            Task-4 waits for inner
            Task-1 asks Task-4 to cancel
            Task-1 asks inner to cancel
            inner (nap) ends, canceled
            Task-4 is told that it is canceled
            Task-1 gathers 2
            the gather is done, canceled
            Task-1 (main) ends
        """, sentences(explained("cancellation", "explained")))
        self.assertRegex(explained("cancellation", "explained"), r"the end of the main task asks Task-\d to cancel\n")

    def test_asyncios_own_functions(self):
        text = sentences(explained("asyncios", "explained"))
        self.assert_in_order("""
            Task-1 awaits the coroutine slow
            Task-1 sets a timer for 5 s, and waits for it
            a timer is due, which asks Task-1 to cancel
            Task-1's sleep is canceled: its wake-up is scheduled, and it goes on in its turn
            Task-1 is told that it is canceled
            the coroutine slow is over, back in main
            Task-1 waits for its TaskGroup
            Task-1 waits for the future
            Task-1 waited for the future: its wake-up is scheduled
            Task-1 waited for its Event.wait: its wake-up is scheduled, and it goes on in its turn
            the coroutine fails returns to main, with a failure: ValueError: bad
            Task-1 (main) ends, with a failure: ValueError: bad
        """, text)
        numbered = "\n".join(text)
        for sentence in (r"Task-\d \(fails\) ends, with a failure: ValueError: bad\nthe TaskGroup asks Task-\d to cancel",
                         r"Task-\d completes the future\n", r"Task-\d waits for its Queue\.get\n",
                         r"Task-\d waited for its Lock\.acquire: its wake-up is scheduled\n",
                         r"the end of the main task asks Task-\d to cancel\nTask-\d's Queue\.get is canceled"):
            self.assertRegex(numbered, sentence)

    def test_calls(self):
        text = sentences(explained("calls", "explained"))
        self.assert_in_order("""
            Task-1 awaits the coroutine helper
            Task-1 creates Task-2 (leaf)
            Task-1 awaits the coroutine leaf
            the coroutine leaf returns to helper
            Task-1 creates Task-3 (leaf)
            Task-1 awaits the coroutine quick
            Task-1 creates fire (leaf)
            the coroutine quick returns to helper
            Task-1 waits for Task-2
            the coroutine helper returns to main
            Task-1 waits for Task-3
            Task-1 awaits Task-3, which is done already
            Task-1 awaits the coroutine caught
            Task-1 awaits the coroutine leaf
            the coroutine caught is over, back in main
        """, text)

    def test_runs(self):
        text = explained("loops", "explained")
        self.assert_in_order("""
            the loop begins, with one task: Task-1 (f)
            the loop ends: 1 task, 2 turns; it slept for 1 of 1 s
            the loop begins
            the program creates Task-2 (f)
            the loop begins, until Task-2 (f) is done
        """, sentences(text))
        self.assertIn("with a failure: SystemExit: 3\n", text)
        self.assertNotIn("shutdown", text)

    @unittest.skipIf(sys.version_info < (3, 12), "there are no eager tasks")
    def test_eager_tasks(self):
        self.assert_in_order("""
            Task-1 creates quick (quick): eager, it begins at once, in its maker's turn
            quick (quick) ends
            Task-1 creates nests (nests): eager, it begins at once, in its maker's turn
            Task-1 creates yields (yields): eager, it begins at once, in its maker's turn
            yields lets the others go first
        """, sentences(explained("eager", "explained")))

    def test_descriptors(self):
        text = explained("outside", "explained", options=())
        self.assertRegex(text, r"waits for its sock_recv on descriptor \d+\n(.*\n)+.*'s sock_recv on descriptor \d+ is done: ")
        self.assertIn("waits for its StreamReader.readline", text)


class Memory(unittest.TestCase):
    def test_what_is_gone_is_forgotten(self):
        program = textwrap.dedent("""
            import asyncio, gc, evenloop
            async def leaf():
                await asyncio.sleep(0.001)
            async def batch():
                for _ in range(4):
                    await asyncio.gather(*(leaf() for _ in range(100)))
            async def main():
                await batch()
                gc.collect()
                before = len(gc.get_objects())
                await batch()
                gc.collect()
                print(len(gc.get_objects()) - before < 20)
            evenloop.run(main())
        """)
        done = python("-c", program, EVENLOOP_EXPLAIN="1", EVENLOOP_BACKEND="sim")
        self.assertEqual(done.stdout, "True\n", done.stderr[-2000:])

    def test_a_loop_is_not_kept(self):
        program = textwrap.dedent("""
            import asyncio, evenloop, weakref
            loop = evenloop.Loop()
            ref = weakref.ref(loop)
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            del loop
            print(ref() is None)
        """)
        done = python("-c", program, EVENLOOP_EXPLAIN="1")
        self.assertEqual(done.stdout, "True\n", done.stderr)


class Command(unittest.TestCase):
    def test_a_module(self):
        done = evenloop("--virtual-time", "--explain", "-m", "gather", PYTHONPATH=str(HERE / "notes"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "start\n1s\n2s\nend, r1='2s', r2='1s'\n")
        self.assertIn("the loop ends: 3 tasks, 6 turns; it slept for 2 of 2 s\n", done.stderr)

    def test_mistakes(self):
        for arguments, says in ((("--seed",), "--seed wants a value"), (("--seed", "x", "a.py"), "'x' is not a whole number"),
                                (("--backend", "no", "a.py"), "no backend is called 'no'"), (("--explain",), "which file"),
                                (("--virtual-time", "--backend", "epoll", "a.py"), "cannot go with --backend"),
                                (("--explain", "-m"), "which module"), (("--explain", "-x", "a.py"), "-x")):
            with self.subTest(arguments):
                done = evenloop(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertIn(says, done.stderr)

    def test_help_names_the_options(self):
        text = evenloop("--help").stdout
        for option in ("--explain", "--virtual-time", "--seed N", "--backend NAME"):
            self.assertIn(option, text)

    def test_the_manual_tells_it_so(self):
        manual = (HERE.parent.parent / "docs" / "python.md").read_text()
        command, told = re.search(r"```\n\$ python -m evenloop (--explain .*)\n((?:.*\n)*?)```\n", manual).groups()
        self.assertEqual(command, "--explain --virtual-time together.py")
        self.assertEqual(told, explained("together"))


if __name__ == "__main__":
    if "--update" in sys.argv:
        for name in NOTES:
            (HERE / "golden" / f"{name}.txt").write_text(explained(name))
    else:
        unittest.main()
