#!/usr/bin/env python3
"""What the shared library exports: held by scripts/exported-symbols.txt, so that no change of it goes unseen.

    scripts/exported-symbols.py LIBRARY             print it; `make symbols` writes it into the list
    scripts/exported-symbols.py LIBRARY --check     compare: with the list, and with what the public headers declare
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "exported-symbols.txt"

output = subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]], capture_output=True, text=True, check=True).stdout
exported = sorted(line.split()[-1].split("@")[0] for line in output.splitlines())
if "--check" not in sys.argv:
    print("\n".join(exported))
    sys.exit()

headers = "\n".join(p.read_text() for p in [ROOT / "include/evenloop.h", *sorted((ROOT / "include/evenloop").glob("*.h"))])
headers = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)
# The declared name is the first one that is followed by its parameters, or ends a variable's declaration.
declared = {re.search(r"\b(even_\w+)\s*(?:\(|;|\[)", text)[1]
            for text in re.findall(r"\bEVEN_API\b[^;{]*;", headers)}
listed = LIST.read_text().split() if LIST.exists() else []

problems = [f"{name} is exported, but not listed: `make symbols`, if it is meant" for name in exported if name not in listed]
problems += [f"{name} is listed, but no longer exported: that breaks programs" for name in listed if name not in exported]
problems += [f"{name} is exported, but no public header declares it" for name in exported if name not in declared]
problems += [f"{name} is declared EVEN_API, but not exported" for name in sorted(declared) if name not in exported]
print("\n".join(problems) or f"{len(exported)} symbols, as listed and declared")
sys.exit(bool(problems))
