#!/usr/bin/env python3
"""The rules of the house that a program can check.

    scripts/check-rules.py [LIBRARY.a]      names (with the static library), layers, banned functions, length, formatting
    scripts/check-rules.py --format         put the files into the format
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
problems = []


def complain(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def files(*patterns):
    return sorted(p for pattern in patterns for p in ROOT.glob(pattern) if "build" not in p.relative_to(ROOT).parts)


SOURCES = files("include/**/*.h", "src/**/*.[ch]", "cli/*.[ch]", "tests/**/*.[ch]", "bench/**/*.[ch]", "examples/**/*.c")

# ---- who includes whom -------------------------------------------------------------------------------------------------

# Each room of src/, and the rooms whose headers it may include besides its own. backend.h is the seam: the loop stands on it,
# and a backend's own files see the loop's structure; the trace's events name loops and awaitables but call neither.
MAY_INCLUDE = {
    "base": set(),
    "backend": {"base", "loop"},
    "loop": {"base", "backend", "trace"},
    "trace": {"base", "loop", "await"},
    "stack": {"base"},
    "await": {"base", "loop", "backend", "stack", "trace"},
    "io": {"base", "loop", "backend", "await", "trace"},
    "sync": {"base", "loop", "await", "trace"},
    "thread": {"base", "loop", "await", "trace"},
}
# What two rooms that look at each other may see there: a header, no more.
ONLY = {("trace", "await"): {"await.h", "kinds.h"}, ("await", "backend"): {"backend.h"}, ("io", "backend"): {"backend.h", "jobs.h"},
        ("loop", "backend"): {"backend.h"}, ("backend", "loop"): {"loop.h", "queue.h"}, ("loop", "trace"): {"trace.h"},
        ("await", "trace"): {"trace.h"}, ("io", "await"): {"await.h", "kinds.h"}}


def check_layers():
    for path in files("src/*/*.[ch]"):
        room = path.parent.name
        if room not in MAY_INCLUDE:
            complain(path, 1, f"src/{room} has no place in the order of the layers")
            continue
        for number, text in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
            if not match:
                continue
            other = (path.parent / match[1]).resolve()
            if not other.exists():
                complain(path, number, f"includes '{match[1]}', which is not there")
                continue
            if other.parent.parent != ROOT / "src":
                complain(path, number, f"includes '{match[1]}', which is outside of src/")
                continue
            name = other.parent.name
            if name != room and name not in MAY_INCLUDE[room]:
                complain(path, number, f"src/{room} may not know src/{name}")
            elif name != room and (room, name) in ONLY and other.name not in ONLY[room, name]:
                complain(path, number, f"src/{room} may see {', '.join(sorted(ONLY[room, name]))} of src/{name}, no {other.name}")


# ---- functions that we do without --------------------------------------------------------------------------------------

BANNED = {
    "strcpy": "snprintf", "strcat": "snprintf", "sprintf": "snprintf", "vsprintf": "vsnprintf", "gets": "fgets",
    "strtok": "strtok_r", "alloca": "an array of fixed size: a task's stack is small", "localtime": "localtime_r",
    "gmtime": "gmtime_r", "asctime": "strftime", "ctime": "strftime", "strerror": "even_strerror", "rand": "even__random",
    "gethostbyname": "getaddrinfo", "sleep": "a timer", "usleep": "a timer", "system": "exec", "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
}
IN_LIBRARY = {"malloc": "even__malloc", "calloc": "even__calloc", "realloc": "even__realloc", "free": "even__free",
              "strdup": "even__strdup", "signal": "sigaction", "printf": "even__report"}
# base.c is where the C library's memory comes in, heap and explain do their own output, with the reason in the file.
EXCEPT = {"src/base/base.c": {"malloc", "realloc", "free"}}


def strip(text):
    """Without comments and strings, lines kept."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', lambda m: "\n" * m[0].count("\n"), text, flags=re.S)


def check_banned():
    for path in SOURCES:
        relative = str(path.relative_to(ROOT))
        banned = dict(BANNED)
        if relative.startswith("src/"):
            banned |= IN_LIBRARY
        else:
            banned.pop("strerror")      # programs of their own
            if relative.startswith(("tests/", "bench/")):
                banned.pop("rand")
        original = path.read_text().splitlines()
        for number, text in enumerate(strip(path.read_text()).splitlines(), 1):
            for name in re.findall(r"(?<![\w.>])(\w+)\s*\(", text):
                if name in banned and name not in EXCEPT.get(relative, ()) and "allowed because" not in original[number - 1]:
                    complain(path, number, f"{name}(): use {banned[name]} (or say `allowed because ...` in the line)")


# ---- length and width --------------------------------------------------------------------------------------------------

def check_size():
    for path in SOURCES + files("scripts/*", "cmake/*", "tests/**/*.py", "tests/**/*.sh", "src/**/*.S", "bench/**/*.py", "Makefile",
                                "CMakeLists.txt"):
        if not path.is_file():
            continue
        lines = path.read_text().split("\n")
        if len(lines) > 801 and not any("over 800 lines because" in text for text in lines[:30]):
            complain(path, 1, f"{len(lines)} lines: split it, or say `over 800 lines because ...` at its top")
        for number, text in enumerate(lines, 1):
            if len(text) > 130 and "tests/compile_fail" not in str(path):
                complain(path, number, f"{len(text)} columns; 120 are meant")
            if text != text.rstrip() or "\t" in text.lstrip("\t") and path.suffix in (".c", ".h"):
                complain(path, number, "blanks at the end, or a tab")
            if re.search(r"\b(TODO|FIXME|XXX)\b", text) and path.name != "check-rules.py" and "mkdtemp" not in text and "XXXXXX" not in text:
                complain(path, number, "do it, or leave it")
        if lines[-1] != "":
            complain(path, len(lines), "no newline at the end")


# ---- names -------------------------------------------------------------------------------------------------------------

def check_names(library):
    output = subprocess.run(["nm", "-g", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3 and not words[2].startswith(("even_", "__asan", "__odr_asan", "__tsan", "__ubsan", "DW.ref.")):
            problems.append(f"{library}: '{words[2]}' is neither even_..., even__... nor static")


# ---- formatting --------------------------------------------------------------------------------------------------------

# A formatter cannot lay these out: macros and tables in columns, assembly.
UNFORMATTED = {"include/evenloop/async.h", "include/evenloop/error.h", "include/evenloop/await.h", "include/evenloop/io.h",
               "include/evenloop/loop.h", "src/trace/trace.h", "tests/test.h"}


def check_format(write):
    if not shutil.which("clang-format"):
        print("clang-format is not installed: the format is not checked")
        return
    paths = [p for p in files("src/**/*.[ch]", "cli/*.[ch]") if str(p.relative_to(ROOT)) not in UNFORMATTED]
    if write:
        subprocess.run(["clang-format", "-i", *map(str, paths)], check=True)
        return
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, paths)], capture_output=True, text=True)
    if run.returncode:
        problems.append(run.stderr)


if "--format" in sys.argv:
    check_format(write=True)
    sys.exit()
check_layers()
check_banned()
check_size()
for argument in sys.argv[1:]:
    check_names(argument)
print("\n".join(problems) or "the rules hold")
sys.exit(bool(problems))
