"""python -m evenloop FILE.py [ARGUMENTS], or -m MODULE [ARGUMENTS]: run a program of asyncio's on evenloop."""
import os
import runpy
import sys

import evenloop

USAGE = "usage: python -m evenloop (FILE.py | -m MODULE) [ARGUMENTS]"


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip(), "", USAGE, sep="\n")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print("evenloop", evenloop.__version__)
        return 0
    evenloop.install()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(USAGE, file=sys.stderr)
            return 2
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    if arguments[0].startswith("-"):
        print(f"evenloop: unknown option {arguments[0]}", USAGE, sep="\n", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
