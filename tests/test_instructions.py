#!/usr/bin/env python3
"""test_instructions.py BENCH_TASKS BENCH_SWITCH: instructions of the hot paths, counted with callgrind, against their budgets.

A count is the same whatever else the machine does. It is the difference of two runs, so that starting up does not count;
it includes the benchmark's own loop. A budget leaves some 5 % for another compiler's taste: lower it when a path gets
shorter, and raise it only with a reason, here. They are those of gcc 12 at -O2 on x86-64.
"""
import os
import re
import shutil
import subprocess
import sys

BUDGETS = {                             # operation: (program, mode, instructions)
    "switch, there and back": (1, None, 23),
    "await of a coroutine inline": (0, "await", 126),
    "yield through the loop": (0, "yield", 313),        # 310 before a pass had its sixth step
    "wake-up of a task by another": (0, "handover", 556),   # 550 before an object knew its loop
    "create a task and await it": (0, "spawn", 880),
    "the same, 1,000 at once": (0, "spawn1000", 555),
}
FEW, MANY = 10_000, 40_000


def count(command, n):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command, str(n)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "EVENLOOP_BACKEND": "epoll"})
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} under callgrind ended with {done.returncode}:\n{done.stderr[-1000:]}")
    return int(found.group(1))


def main():
    if not shutil.which("valgrind"):
        sys.exit(77)
    failed = False
    for name, (program, mode, budget) in BUDGETS.items():
        command = [sys.argv[1 + program]] + ([mode] if mode else [])
        used = (count(command, MANY) - count(command, FEW)) / (MANY - FEW)
        failed |= used > budget
        print(f"{name}: {used:.1f} instructions of {budget}{'' if used <= budget else '   TOO MANY'}")
    sys.exit(1 if failed else 0)


main()
