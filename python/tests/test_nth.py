"""A failed allocation is a MemoryError: nth.py, here with some of the allocations; EVENLOOP_NTH_EVERY=1 makes it all of them."""
import os
import pathlib
import subprocess
import sys
import unittest

EVERY = os.environ.get("EVENLOOP_NTH_EVERY", "25")


# 3.12.1 and 3.13.0 crash by themselves when a dictionary cannot grow, on asyncio's own loop as well: there a crash says nothing.
@unittest.skipIf(sys.version_info >= (3, 12), "the interpreter does not survive it")
class Nth(unittest.TestCase):
    def test_it_is_a_memory_error(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                done = subprocess.run(
                    [sys.executable, pathlib.Path(__file__).with_name("nth.py"), "--backend", backend, "--every", EVERY],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if "has no _testcapi" in done.stdout:
                    self.skipTest(done.stdout)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertRegex(done.stdout, r"(?m)^\d\d passed, 0 failed")


if __name__ == "__main__":
    unittest.main()
