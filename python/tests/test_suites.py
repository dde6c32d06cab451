"""How `make test-programs` puts a suite on a loop, and what it makes of the results."""
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "programs"

WAYS = """
import even_suite_loop
import asyncio, unittest, warnings
import evenloop
warnings.simplefilter("ignore")

def kind(loop):
    loop.close()
    return isinstance(loop, evenloop.Loop)

async def running():
    return isinstance(asyncio.get_running_loop(), evenloop.Loop)

class Case(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        found.append(await running())

class Derived(asyncio.SelectorEventLoop):
    pass

found = [kind(asyncio.new_event_loop()), kind(asyncio.SelectorEventLoop()), kind(Derived()), asyncio.run(running())]
with asyncio.Runner() as runner:
    found.append(runner.run(running()))
policy = getattr(asyncio, "DefaultEventLoopPolicy", None)
if policy:
    class Policy(policy):
        pass
    found.append(kind(Policy().new_event_loop()))
    asyncio.set_event_loop_policy(Policy())
    found.append(asyncio.run(running()))
unittest.TextTestRunner(stream=open("/dev/null", "w")).run(Case("test"))
print(len(found) >= 6 and len(set(found)) == 1 and found[0])
"""


class Loops(unittest.TestCase):
    def run_on(self, loop):
        with tempfile.TemporaryDirectory() as folder:
            records = pathlib.Path(folder, "records")
            records.touch()
            environment = {**os.environ, "EVEN_SUITE_LOOP": loop, "EVENLOOP_CHECK": folder, "PYTHONPATH": str(PROGRAMS)}
            process = subprocess.run([sys.executable, "-c", WAYS], env=environment, capture_output=True, text=True)
            self.assertEqual("", process.stderr)
            return process.stdout.strip(), [line.split()[0] for line in records.read_text().splitlines()]

    def test_every_way_to_make_a_loop_makes_ours(self):
        answer, records = self.run_on("evenloop")
        self.assertEqual("True", answer)
        self.assertGreaterEqual(len(records), 3)
        self.assertEqual({"1"}, set(records))

    def test_asyncios_own_stays(self):
        answer, records = self.run_on("asyncio")
        self.assertEqual("False", answer)
        self.assertEqual({"0"}, set(records))


class Judgement(unittest.TestCase):
    """What counts as failing on ours alone. A suite is told here by the outcomes of its tests, one for each time."""

    def judge(self, **tests):
        sys.path.insert(0, str(PROGRAMS))
        self.addCleanup(sys.path.remove, str(PROGRAMS))
        run = importlib.import_module("run")
        times = {}

        class Run(run.Run):
            def go(self, only=None):
                turn = times[self.loop] = times.get(self.loop, -1) + 1
                for name, outcomes in tests.items():
                    if only is None or name in only:
                        told = outcomes.get(self.loop, "p")
                        outcome = told[min(turn, len(told) - 1)]
                        if outcome != "-":
                            self.results[name] = run.Result({"p": "passed", "f": "failed", "s": "skipped"}[outcome], "")
                return self

        suite = object.__new__(run.Suite)
        suite.name, suite.program, suite.runs, suite.alone, suite.sometimes = "fake", {}, {}, {}, {}
        original, run.Run, say, run.say = run.Run, Run, run.say, lambda *words: None
        try:
            for loop in run.LOOPS:
                suite.runs[loop] = Run(suite, loop).go()
            suite.again()
        finally:
            run.Run, run.say = original, say
        return {loop: set(found) for loop, found in suite.alone.items()}, {k: set(v) for k, v in suite.sometimes.items()}

    def test_one_that_always_fails_on_ours(self):
        alone, sometimes = self.judge(good={}, bad={"epoll": "f"}, worse={"epoll": "f", "io_uring": "f"})
        self.assertEqual({"io_uring": {"worse"}, "epoll": {"bad", "worse"}}, alone)
        self.assertEqual({"io_uring": set(), "epoll": set()}, sometimes)

    def test_one_that_fails_on_ours_again_later(self):
        alone, _ = self.judge(bad={"io_uring": "fppf"})
        self.assertEqual({"bad"}, alone["io_uring"])

    def test_one_that_fails_on_ours_once(self):
        alone, sometimes = self.judge(odd={"epoll": "fp"})
        self.assertEqual(set(), alone["epoll"])
        self.assertEqual({"odd"}, sometimes["epoll"])

    def test_one_that_fails_on_asyncio_too(self):
        alone, sometimes = self.judge(bad={"epoll": "f", "io_uring": "f", "asyncio": "f"})
        self.assertEqual({"io_uring": set(), "epoll": set()}, alone)
        self.assertEqual({"io_uring": set(), "epoll": set()}, sometimes)

    def test_one_that_fails_on_asyncio_later(self):
        alone, sometimes = self.judge(odd={"epoll": "f", "asyncio": "pppf"})
        self.assertEqual(set(), alone["epoll"])
        self.assertEqual({"odd"}, sometimes["epoll"])

    def test_one_that_does_not_run_or_is_skipped_on_ours(self):
        alone, _ = self.judge(gone={"epoll": "-"}, skipped={"io_uring": "s"})
        self.assertEqual({"io_uring": {"skipped"}, "epoll": {"gone"}}, alone)


if __name__ == "__main__":
    unittest.main()
