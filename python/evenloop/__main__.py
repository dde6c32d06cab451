"""python -m evenloop [OPTIONS] FILE.py [ARGUMENTS], or -m MODULE [ARGUMENTS]: run a program of asyncio's on evenloop."""
import builtins
import io
import os
import pkgutil
import runpy
import sys
import types
from importlib.machinery import SourceFileLoader

import evenloop
from evenloop import _check

USAGE = "usage: python -m evenloop [OPTIONS] (FILE.py | -m MODULE) [ARGUMENTS]"
OPTIONS = """\
  --explain        tell in plain words, on standard error, what the loop does
  --virtual-time   run on a simulated clock: sleeps take no time, each run is like the one before
  --seed N         with --virtual-time: vary what may come in any order; the same number, the same order
  --backend NAME   uring or epoll; without it, the best that works here
  --check          print at the end, on standard error, each event loop that ran in the program's processes;
                   the exit status is 1 if one was not evenloop's, else the program's
  -h, --help       this text
  -V, --version"""


class Wrong(Exception):
    """The command cannot be understood."""


def take_options(arguments):
    """Take the options from the front; they go into the environment, where each loop finds them. True: --check."""
    explain, virtual, backend, seed, check = False, False, None, None, False
    while arguments and arguments[0].startswith("--"):
        option, given, value = arguments.pop(0).partition("=")
        if option in ("--seed", "--backend") and not given:
            if not arguments:
                raise Wrong(f"{option} wants a value behind it")
            value = arguments.pop(0)
        if option == "--seed":
            seed = value
        elif option == "--backend":
            backend = value
        elif option == "--explain" and not given:
            explain = True
        elif option == "--virtual-time" and not given:
            virtual = True
        elif option == "--check" and not given:
            check = True
        else:
            raise Wrong(f"unknown option {option}")
    if virtual and backend:
        raise Wrong("--virtual-time is a backend of its own, so it cannot go with --backend")
    if backend not in (None, "uring", "epoll", "sim"):
        raise Wrong(f"no backend is called '{backend}'; there are uring and epoll, and --virtual-time")
    if seed is not None and not (seed.isascii() and seed.isdigit() and int(seed) < 1 << 64):
        raise Wrong(f"the seed '{seed}' is not a whole number")
    if check and (sys.flags.ignore_environment or sys.flags.no_site):
        raise Wrong("--check needs the environment and `site` in the program, so it goes with none of -E, -I, -S")
    if explain:
        os.environ["EVENLOOP_EXPLAIN"] = "1"
    if virtual or backend:
        os.environ["EVENLOOP_BACKEND"] = backend or "sim"
    if seed:
        os.environ["EVENLOOP_SEED"] = seed
    return check


def run_file(name):
    """Run it as `python FILE.py` does: __file__ is absolute, sys.argv[0] as written, and it is __main__ to the end."""
    path = os.path.join(os.getcwd(), name)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    if pkgutil.get_importer(path) is not None:      # a folder or an archive, with a __main__ inside
        runpy.run_path(name, run_name="__main__")
        return
    with io.open_code(path) as file:
        code = pkgutil.read_code(file)              # of a .pyc; else None
    if code is None:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
    module = types.ModuleType("__main__")
    module.__file__, module.__loader__, module.__builtins__ = path, SourceFileLoader("__main__", path), builtins
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip(), "", USAGE, "", OPTIONS, sep="\n")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print("evenloop", evenloop.__version__)
        return 0
    try:
        check = take_options(arguments)
        if not arguments:
            raise Wrong("which file, or which module?")
        if arguments[0].startswith("-") and arguments[0] != "-m":
            raise Wrong(f"unknown option {arguments[0]}")
        if arguments == ["-m"]:
            raise Wrong("which module?")
    except Wrong as why:
        print(f"evenloop: {why}", USAGE, sep="\n", file=sys.stderr)
        return 2
    if check:
        given = len(sys.argv) - 1
        options = [option for option in sys.argv[1:1 + given - len(arguments)] if option != "--check"]
        return _check.run(sys.orig_argv[1:len(sys.orig_argv) - given] + options + arguments)
    evenloop.install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    sys.argv = arguments
    run_file(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
