"""Every call from the core into Python says what makes the use of state after it right; others are found."""
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "check-calls.py"


@unittest.skipUnless(SCRIPT.exists(), "not in the source tree")
class CheckCalls(unittest.TestCase):
    def check(self, *arguments):
        done = subprocess.run([sys.executable, SCRIPT, *arguments], text=True, capture_output=True, timeout=60)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def found(self, body):
        """The lines that are named, of a function with this body."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "one.c")
            body = textwrap.indent(body, "    ")
            file.write_text(f"static PyObject *one(struct loop *loop, PyObject *o)\n{{\n{body}\n}}\n")
            code, said = self.check(folder)
            lines = [int(line.split(":")[1]) for line in said.splitlines() if line.startswith(str(file))]
            self.assertEqual(code, bool(lines))
            return lines

    def test_the_core(self):
        code, said = self.check()
        self.assertEqual(code, 0, said)
        calls = int(said.split()[0])
        self.assertGreater(calls, 100)
        code, said = self.check("--all")
        self.assertEqual((code, len(said.splitlines())), (0, calls + 1))

    def test_a_call_that_says_nothing_is_found(self):
        for call in ("PyObject *x = PyObject_CallNoArgs(o);", "int n = PyObject_IsTrue(o);", "Py_CLEAR(loop->raised);",
                     "if (PyErr_CheckSignals() < 0)\n    return NULL;"):
            with self.subTest(call):
                self.assertEqual(self.found(f"{call}\nloop->stopping = true;\nreturn NULL;"), [3])
        body = "held_tell(\n    o);     /* and more */\nPyObject_Str(o);\nuse(loop);\nreturn o;"
        self.assertEqual(self.found(body), [3, 5])

    def test_one_that_says_it_is_not(self):
        for call in ("PyObject_CallNoArgs(o);   /* again: below */", "PyObject_CallNoArgs(o);   /* only: new */",
                     "int rc = call_checked(loop->count, PyObject_CallNoArgs(o));",
                     "/* only: as above */\nPyObject_CallNoArgs(o);",
                     '/* PyObject_CallNoArgs(o); */', 'puts("PyObject_CallNoArgs(o);");'):
            with self.subTest(call):
                self.assertEqual(self.found(f"{call}\nloop->stopping = true;\nreturn NULL;"), [])
        self.assertEqual(self.found("return PyObject_CallNoArgs(o);"), [])
        self.assertEqual(self.found("loop->stopping = true;\nPyObject_CallNoArgs(o);\nreturn o;"), [])


if __name__ == "__main__":
    unittest.main()
