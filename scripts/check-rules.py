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


SOURCES = files("include/**/*.h", "src/**/*.[ch]", "cli/*.[ch]", "python/core/*.[ch]", "tests/**/*.[ch]", "bench/**/*.[ch]",
                "examples/**/*.c")

# ---- who includes whom -------------------------------------------------------------------------------------------------

# Each room of src/, and the rooms whose headers it may include besides its own. backend.h is the seam: the loop stands on
# it, and a backend's own files see the loop's structure; the trace's events name loops and awaitables but call neither.
MAY_INCLUDE = {
    "base": set(),
    "backend": {"base", "loop"},
    "loop": {"base", "backend", "trace"},
    "flow": {"base", "loop", "backend"},
    "trace": {"base", "loop", "await"},
    "stack": {"base"},
    "await": {"base", "loop", "backend", "stack", "trace"},
    "thread": {"base", "loop"},
    "io": {"base", "loop", "flow", "backend", "thread", "await", "trace"},
    "sync": {"base", "loop", "await", "trace"},
}
# What two rooms that look at each other may see there: a header, no more.
ONLY = {
    ("backend", "loop"): {"loop.h", "queue.h"}, ("loop", "backend"): {"backend.h", "jobs.h"}, ("loop", "trace"): {"trace.h"},
    ("trace", "await"): {"await.h", "kinds.h"}, ("await", "backend"): {"backend.h"}, ("await", "trace"): {"trace.h"},
    ("io", "backend"): {"backend.h", "jobs.h"}, ("io", "await"): {"await.h", "kinds.h"},
    ("io", "thread"): {"pool.h"},
}


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
    # The Python face stands on the public callback level, and knows none of src/.
    for path in files("python/core/*.[ch]"):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+["<]([^">]+)', text)
            if match and ("/" in match[1] and match[1].split("/")[0] not in ("sys", "netinet", "arpa")
                          and match[1] not in ("evenloop/loop.h", "evenloop/embed.h", "evenloop/process.h",
                                               "evenloop/trace.h")):
                complain(path, number, f"python/core may not know {match[1]}")


def check_circles(pattern):
    """No file includes itself, by way of others."""
    includes = {path.resolve(): [(number, (path.parent / match[1]).resolve())
                                 for number, text in enumerate(path.read_text().splitlines(), 1)
                                 if (match := re.match(r'\s*#\s*include\s+"([^"]+)"', text))]
                for path in files(pattern)}

    def walk(path, way):
        for number, other in includes.get(path, ()):
            if other in way:
                complain(path, number, f"includes {other.name}, which includes it: " + ", ".join(p.name for p in way))
            elif other not in seen:
                walk(other, [*way, other])
        seen.add(path)

    seen = set()
    for path in includes:
        walk(path, [path])


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
# Where the C library's memory comes in.
EXCEPT = {"src/base/base.c": {"malloc", "realloc", "free"}}


def strip(text):
    """Without comments and strings, lines kept."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: '""' * (m[0][0] == '"') + "\n" * m[0].count("\n"), text, flags=re.S)


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
    for path in SOURCES + files("scripts/*", "cmake/*", "tests/**/*.py", "tests/**/*.sh", "src/**/*.S", "bench/**/*.py",
                                "python/**/*.py", "python/**/*.pyi",
                                "Makefile", "CMakeLists.txt"):
        if not path.is_file():
            continue
        lines = path.read_text().split("\n")
        if len(lines) > 900 and not any("over 800 lines because" in text for text in lines[:30]):
            complain(path, 1, f"{len(lines)} lines: split it, or say `over 800 lines because ...` at its top")
        for number, text in enumerate(lines, 1):
            if len(text) > 130 and "tests/compile_fail" not in str(path):
                complain(path, number, f"{len(text)} columns; 120 are meant")
            if text != text.rstrip() or "\t" in text.lstrip("\t") and path.suffix in (".c", ".h"):
                complain(path, number, "blanks at the end, or a tab")
            if re.search(r"\b(TODO|FIXME|XXX)\b", text) and path.name != "check-rules.py":
                complain(path, number, "do it, or leave it")
        if lines[-1] != "":
            complain(path, len(lines), "no newline at the end")


# ---- names -------------------------------------------------------------------------------------------------------------

RETURN_THUNK = "__x86_return_thunk"     # the compiler's name; hidden in the shared library


def check_names(library):
    output = subprocess.run(["nm", "-g", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3 and not words[2].startswith(
                ("even_", "__asan", "__odr_asan", "__tsan", "__ubsan", "DW.ref.", RETURN_THUNK)):
            problems.append(f"{library}: '{words[2]}' is neither even_..., even__... nor static")


# ---- formatting --------------------------------------------------------------------------------------------------------

# Macros in columns, and assembly: the formatter has no sense for them.
UNFORMATTED = {"src/trace/trace.h", "src/stack/switch.h"}


# Where it takes a cast for a product, a macro for an operand, or C for C++.
FOOLED = re.compile(r"\bclass\b|\} \* \w+;|\) ~\(|\bURING &|\)-offsetof")


def differences(text, formatted):
    """What a formatter would change, but for what is the writer's own: columns, and where a line is broken."""
    def marks(content):
        """Each character that is no blank, with what is before it: nothing, a blank, or the end of a line."""
        content = re.sub(r" *\\$", "", content, flags=re.M)
        return [(m[2], "\n" if "\n" in m[1] else m[1][:1], m.start(2)) for m in re.finditer(r"(\s*)(\S)", content)]

    old, new = marks(text), marks(formatted)
    if [m[0] for m in old] != [m[0] for m in new]:      # it added or took a character: a broken string
        return
    plain = re.sub(r" *\\$", "", text, flags=re.M)
    lines, formatted_plain = set(), re.sub(r" *\\$", "", formatted, flags=re.M)
    for (_, before, at), (_, wanted, place) in zip(old, new):
        line = plain.count("\n", 0, at) + 1
        shown = formatted_plain[formatted_plain.rfind("\n", 0, place) + 1:].split("\n", 1)[0].strip()
        if {before, wanted} == {"", " "} and line not in lines and not FOOLED.search(shown):
            lines.add(line)
            yield line, f"the format has: {shown}"
    code = strip(text).split("\n")
    for number, line in enumerate(code, 1):
        blanks = len(line) - len(line.lstrip(" "))
        previous = code[number - 2].rstrip() if number > 1 else ""
        if blanks % 4 and line.strip() and previous.endswith((";", "{")) and previous.count("(") <= previous.count(")"):
            yield number, f"indented by {blanks}"
        if re.match(r"[a-z][^=#]*\)\s*\{$", line):
            yield number, "a function's brace stands on a line of its own"


def check_format(write):
    if not shutil.which("clang-format"):
        print("clang-format is not installed: the format is not checked")
        return
    for path in files("src/**/*.[ch]", "cli/*.[ch]", "python/core/*.[ch]"):
        if str(path.relative_to(ROOT)) in UNFORMATTED:
            continue
        text = path.read_text()
        formatted = subprocess.run(["clang-format", str(path)], capture_output=True, text=True, check=True).stdout
        found = list(differences(text, formatted))
        if found and write:
            path.write_text(formatted)
            continue
        for line, what in found:
            complain(path, line, what)


if "--format" in sys.argv:
    check_format(write=True)
    sys.exit()
check_layers()
check_circles("python/core/*.[ch]")
check_banned()
check_size()
check_format(write=False)
for argument in sys.argv[1:]:
    check_names(argument)
print("\n".join(problems) or "the rules hold")
sys.exit(bool(problems))
