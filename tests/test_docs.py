#!/usr/bin/env python3
"""test_docs.py BUILD: what the README shows is true. Its program compiles without a warning and prints what it says; its
`build/evenloop` commands run.

(The pkg-config and CMake forms are tested by package/check.sh, that what is named is there by test_names.py, `make test` by
whoever reads this.)
"""
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
command = str(pathlib.Path(sys.argv[1]) / "evenloop")
readme = (root / "README.md").read_text()


def run(*words):
    done = subprocess.run([command, "run", *words], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stderr}"
    return done


program = re.search(r"```c\n(.*?)```", readme, re.S).group(1)
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "program.c"
    file.write_text(program)
    done = run("--virtual-time", str(file))
    assert done.stdout.splitlines() == ["start", "1s", "2s", "end, r1='2s', r2='1s'"], done.stdout
    assert "warning" not in done.stderr, done.stderr

commands = re.findall(r"^build/evenloop run (.*)$", readme, re.M)
assert commands
for line in commands:
    assert "Task-1" in run(*line.split()).stderr, line

print(f"{len(commands) + 1} programs run")
