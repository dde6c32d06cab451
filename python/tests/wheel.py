"""What is handed out: the source distribution and the wheel in the folder EVENLOOP_DIST, and the wheel in an environment of its
own. Run by `scripts/python.sh wheel`, in an environment that has mypy and not evenloop."""
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import unittest
import venv
import zipfile

DIST = pathlib.Path(os.environ.get("EVENLOOP_DIST", "dist")).resolve()

ECHO = """
import asyncio, evenloop, pathlib, sys

async def handle(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
    writer.close()

async def main():
    assert isinstance(asyncio.get_running_loop(), evenloop.Loop)
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    print(await reader.readexactly(5))
    writer.close()
    await writer.wait_closed()
    server.close()

assert pathlib.Path(evenloop.__file__).is_relative_to(sys.prefix), evenloop.__file__
evenloop.run(main())
"""


def one(pattern):
    found = list(DIST.glob(pattern))
    assert len(found) == 1, found
    return found[0]


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.wheel = one("*.whl")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        venv.create(cls.folder.name, with_pip=True)
        cls.python = pathlib.Path(cls.folder.name, "bin", "python")
        subprocess.run([cls.python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-index", cls.wheel],
                       check=True, cwd="/")

    def run_python(self, *arguments, **environment):
        """From another folder, and with nothing in the environment that leads to this one."""
        return subprocess.run([self.python, "-I", *arguments], capture_output=True, text=True, cwd="/", timeout=120,
                              env={"PATH": os.environ["PATH"], **environment})

    def test_what_is_in_it(self):
        names = zipfile.ZipFile(self.wheel).namelist()
        package = {name.removeprefix("evenloop/") for name in names if name.startswith("evenloop/")}
        self.assertLessEqual({"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}, package)
        self.assertEqual(len([name for name in package if name.startswith("_core.") and name.endswith(".so")]), 1)
        self.assertTrue(any(name.rpartition("/")[2] == "LICENSE" for name in names), names)
        for name in names:
            self.assertRegex(name, r"^evenloop(-[0-9.]+\.dist-info)?/")         # no header, library or pkg-config file
            self.assertNotRegex(name, r"test|bench|\.(c|h|a|o|cmake|pyc)$")

    def test_an_echo(self):
        for backend in ("uring", "epoll"):
            done = self.run_python("-c", ECHO, EVENLOOP_BACKEND=backend)
            self.assertEqual((done.returncode, done.stdout), (0, "b'hello'\n"), done.stderr)

    def test_the_command(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("import asyncio, evenloop\n"
                       "async def main(): print(isinstance(asyncio.get_running_loop(), evenloop.Loop))\n"
                       "asyncio.run(main())\n")
            file.flush()
            done = self.run_python("-m", "evenloop", file.name)
        self.assertEqual((done.returncode, done.stdout), (0, "True\n"), done.stderr)

    def test_what_it_needs(self):
        """The extension needs the system's libraries, and none of a build's folders."""
        done = self.run_python("-c", "import evenloop._core as c; print(c.__file__)")
        dynamic = subprocess.run(["readelf", "-d", done.stdout.strip()], capture_output=True, text=True, check=True).stdout
        self.assertNotRegex(dynamic, "RUNPATH|RPATH")
        self.assertNotIn("libevenloop", dynamic)

    def test_its_types(self):
        """The stubs say what there is (mypy's stubtest), and a program that uses them passes a strict check."""
        try:
            import mypy  # noqa: F401
        except ImportError:
            self.skipTest("mypy is not installed")
        site = self.run_python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "program.py")
            program.write_text(textwrap.dedent("""
                import asyncio
                import evenloop

                async def main() -> int:
                    loop = asyncio.get_running_loop()
                    assert isinstance(loop, evenloop.Loop)
                    name: str | None = loop.backend
                    return len(name or "")

                n: int = evenloop.run(main(), debug=True)
                evenloop.install()
                loop: asyncio.AbstractEventLoop = evenloop.Loop(backend="epoll", seed=1)
                with asyncio.Runner(loop_factory=evenloop.new_event_loop) as runner:
                    runner.run(main())
            """))
            # What is private has no stubs, and no need of them.
            config = pathlib.Path(folder, "mypy.ini")
            private = [f"evenloop.{path.stem}" for path in pathlib.Path(site, "evenloop").glob("_[a-z]*.py")]
            config.write_text(f"[mypy]\n[mypy-{','.join(private)}]\nignore_errors = True\n")
            allowed = pathlib.Path(folder, "allowed")
            allowed.write_text("evenloop\\._[a-z]+\\..*\nevenloop\\.gunicorn\n")      # that needs gunicorn to be imported
            for arguments in (["mypy", "--strict", program],
                              ["mypy.stubtest", "evenloop", "--ignore-missing-stub", "--mypy-config-file", config,
                               "--allowlist", allowed, "--ignore-unused-allowlist"]):
                done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=folder,
                                      env={**os.environ, "PYTHONPATH": site, "MYPYPATH": site})
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Source(unittest.TestCase):
    def test_what_is_in_it(self):
        with tarfile.open(one("*.tar.gz")) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        self.assertLessEqual({"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "PKG-INFO", "include/evenloop.h",
                              "python/core/module.c", "python/evenloop/__init__.py", "src/loop/loop.c"}, names)
        for name in names:
            self.assertFalse(name.startswith(("build/", ".git/")) or name.endswith((".o", ".so", ".pyc")), name)


if __name__ == "__main__":
    unittest.main()
