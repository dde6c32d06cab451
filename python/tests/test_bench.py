"""The benchmarks run: each program once, tiny sizes; and what fails in one is told."""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
RUN = ROOT / "python" / "bench" / "run.py"
GROUPS = ["^protocol echo, 64 B, 50", "buffered", "streams", "sock_recv", "answer", "TLS", "calls$", "uvicorn", "ping-pong",
          "upload", "download", "memory"]
UNAVAILABLE = re.compile("not installed|not there|built without")


class Bench(unittest.TestCase):
    def run_it(self, *options):
        return subprocess.run([sys.executable, RUN, BUILD, *options], capture_output=True, text=True, timeout=300)

    @unittest.skipUnless(os.access(BUILD / "bench" / "load", os.X_OK), "build/bench/load was not built: `make build`")
    def test_every_program(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "results")
            patterns = [word for pattern in GROUPS for word in ("--only", pattern)]
            done = self.run_it("--quick", "--against", "asyncio", "--json", file, *patterns)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(file) as f:
                results = json.load(f)
        self.assertEqual(results["failures"], [])
        rows = {row["row"]: row for row in results["rows"]}
        for pattern in GROUPS:
            if pattern != "calls$":
                self.assertTrue(any(re.search(pattern, name) for name in rows), f"no row of {pattern}")
        for call in ("call_soon", "call_later and cancel", "call_soon_threadsafe", "create_task and await",
                     "gather of 1,000, each"):
            for backend in ("io_uring", "epoll"):
                self.assertIn(f"{call}, {backend} / asyncio", rows)
        for name, row in rows.items():
            with self.subTest(name):
                if not UNAVAILABLE.search(row["ours"] + row["peer"]):
                    self.assertRegex(row["ours"], r"^[\d.e+]+ (us|ns|B|MB/s)$")
                    self.assertGreaterEqual(float(row["median"]), 0)

    def test_no_such_group(self):
        self.assertEqual(self.run_it("--only", "no such group").returncode, 2)


class Failures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        spec = importlib.util.spec_from_file_location("bench_run", ROOT / "bench" / "run.py")
        cls.bench = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(cls.bench)

    def test_what_a_program_says_is_told(self):
        with self.assertRaises(self.bench.Failed) as caught:
            with self.bench.Program([sys.executable, "-c", "raise SystemExit('out of ideas')"], 0) as program:
                program.until_ready()
        self.assertIn("out of ideas", str(caught.exception))

    @unittest.skipUnless(os.access(BUILD / "bench" / "load", os.X_OK), "build/bench/load was not built: `make build`")
    def test_a_server_that_ends_is_noticed_at_once(self):
        b = self.bench.Bench(str(BUILD), 1, True)
        began = time.monotonic()
        with self.assertRaisesRegex(self.bench.Failed, "no such loop"):
            with self.bench.Echo(b, [sys.executable, "-c", "raise SystemExit('no such loop')"], 1, 10):
                pass
        self.assertLess(time.monotonic() - began, 10)       # the load would try for 20 seconds

    def test_the_others_go_on(self):
        def fails():
            raise self.bench.Failed("no luck")
        b = self.bench.Bench(str(BUILD), 2, True)
        v = b.alternate("group", {"ours": lambda: (1.0, {}), "one": fails, "two": lambda: (2.0, {})})
        b.compare("ours / two", v["ours"], v["two"], "ns", 0.6)
        b.compare("ours / one", v["ours"], v["one"], "ns", 0.6)
        self.assertEqual(b.failures, ["group: one: no luck"])
        self.assertEqual([row["median"] for row in b.rows], ["0.500", ""])
        self.assertEqual(b.rows[1]["peer"], "one: failed")


if __name__ == "__main__":
    unittest.main()
