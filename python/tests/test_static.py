"""What the extension keeps for the process: nothing that anybody writes. Interpreters with locks of their own share it, and so
do threads without a lock. And what it takes of the library: what any program may.

Tables that the interpreter only reads are constant, so that a write to them would end the process: what is left in memory that
can be written is looked for in the objects that python/core compiles to."""
import concurrent.futures
import os
import pathlib
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "python" / "core"
COMPILER = shlex.split(os.environ.get("CC", "cc"))
PYTHON_H = pathlib.Path(sysconfig.get_path("include"), "Python.h")

# Name: why it may be written to.
ALLOWED = {
    "even__module": "the interpreter counts its references, and numbers it, under a lock of its own",
}


def compile_all(folder):
    def one(source):
        target = pathlib.Path(folder, source.stem + ".o")
        subprocess.run([*COMPILER, "-std=gnu17", "-D_GNU_SOURCE", "-fPIC", "-fvisibility=hidden", "-O1",
                        "-I", ROOT / "include", "-I", PYTHON_H.parent, "-c", source, "-o", target],
                       check=True)
        return target

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sorted(CORE.glob("*.c"))))


def symbols(path):
    """(name, section) of each; for one that is defined elsewhere: *UND*."""
    table = subprocess.run(["objdump", "-t", path], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        address, _, rest = line.partition(" ")
        if "\t" in rest:
            words = rest[7:].split()        # behind seven columns of flags
            yield words[-1], words[0], rest[:7]


@unittest.skipUnless(shutil.which(COMPILER[0]) and shutil.which("objdump") and PYTHON_H.exists(),
                     "needs a compiler, and Python.h")
class Static(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.symbols = {path.stem: list(symbols(path)) for path in compile_all(folder.name)}

    def test_nothing_is_written_to(self):
        found = {}
        for name, all_of_it in self.symbols.items():
            for symbol, section, flags in all_of_it:
                writable = section.startswith((".data", ".bss", ".tdata", ".tbss", "*COM*"))
                if writable and not section.startswith(".data.rel.ro") and "d" not in flags:
                    found[symbol] = f"{name}.c, {section}"
        self.assertIn("even__module", found, "it is looked for in the wrong place")
        self.assertEqual({symbol: where for symbol, where in found.items() if symbol not in ALLOWED}, {})


    def test_the_library_is_known_by_its_interface(self):
        exported = set((ROOT / "scripts" / "exported-symbols.txt").read_text().split())
        own = {name for symbols in self.symbols.values() for name, section, _ in symbols if section != "*UND*"}
        used = {name: file for file, symbols in self.symbols.items() for name, section, _ in symbols
                if section == "*UND*" and name.startswith("even_") and name not in own}
        self.assertIn("even_loop_new", used, "it is looked for in the wrong place")
        self.assertEqual({name: file for name, file in used.items() if name not in exported}, {})


if __name__ == "__main__":
    unittest.main()
