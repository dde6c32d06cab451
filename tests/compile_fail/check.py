#!/usr/bin/env python3
"""A typical mistake is one readable compile error: check.py INCLUDE COMPILER FILE ...

The first line of each file has the words expected (one of several: a|b); the first error must stand in the line that is
marked `/* here */`, and have them. Without the marked line's mistake the files compile, which the header's own tests show.
(For the macros of combine.h, which is no header of the system, gcc names the line in a note to the error: "in expansion of".)
"""
import os
import re
import shutil
import subprocess
import sys

include, compiler, *files = sys.argv[1:]
if not shutil.which(compiler):
    print(f"{compiler} is not installed")
    sys.exit(77)
bad = 0
for file in files:
    with open(file) as f:
        lines = f.read().split("\n")
    words = lines[0].removeprefix("/* ").removesuffix(" */").split("|")
    line = next(i for i, text in enumerate(lines, 1) if text.endswith("/* here */"))
    command = [compiler, "-std=gnu17", "-fsyntax-only", "-Wall", "-Werror=int-conversion",
               "-Werror=incompatible-pointer-types", "-I", include, file]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    errors = [text for text in run.stderr.split("\n") if re.search(r"\berror: ", text)]
    first = errors[0] if errors else ""
    if first.startswith("<evenloop/combine.h>:"):
        after = run.stderr[run.stderr.index(first):].split(" error: ", 2)[1]
        where = re.search(r"^(\S*" + re.escape(os.path.basename(file)) + r"):(\d+):\d+: note: in expansion of macro", after, re.M)
    else:
        where = re.match(r"(.*?):(\d+):", first)
    if run.returncode == 0:
        problem = "it compiles"
    elif not where or os.path.basename(where[1]) != os.path.basename(file) or int(where[2]) != line:
        problem = f"the first error is not at line {line}"
    elif not any(word in first.replace("\\'", "'") for word in words):
        problem = f"the first error does not say '{' or '.join(words)}'"
    else:
        print(f"{os.path.basename(file)}: {first.split('error: ', 1)[1]}")
        continue
    print(f"FAILED: {file} with {compiler}: {problem}:\n{run.stderr}")
    bad += 1
sys.exit(bad != 0)
