#!/usr/bin/env python3
"""A compiler warns where an await is forgotten: forgotten.py COMPILER FLAG ...

The flags are where the header is looked for: -I, or -isystem, as for an installed one, of whose macros gcc is silent. The lines
of forgotten.c that are marked, and no others, are to be warned of; gcc may name the line in a note ("in expansion of").
"""
import os
import re
import subprocess
import sys

file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "forgotten.c")
with open(file) as f:
    marked = {i for i, line in enumerate(f, 1) if "/* forgotten */" in line}
run = subprocess.run([sys.argv[1], "-std=gnu17", "-c", "-o", "/dev/null", "-Wall", "-Wextra", *sys.argv[2:], file],
                     capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
warned = {int(line) for line in re.findall(r"forgotten\.c:(\d+):\d+: (?:warning: |note: in expansion of macro)", run.stderr)}
if run.returncode != 0 or warned != marked:
    print(f"{' '.join(sys.argv[1:])}: no warning for {sorted(marked - warned)}, needless ones for {sorted(warned - marked)}:\n"
          f"{run.stderr}")
    sys.exit(1)
