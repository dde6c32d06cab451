#!/usr/bin/env python3
"""test_instructions.py BENCH_TASKS BENCH_SWITCH BENCH_ECHO: instructions of the hot paths, counted with callgrind, against
their budgets.

A count is the same whatever else the machine does. It is the difference of two runs, so that starting up does not count;
it includes the benchmark's own loop. A budget leaves some 5 % for another compiler's taste: lower it when a path gets
shorter, and raise it only with a reason, here. They are those of gcc 12 at -O2 on x86-64.
"""
import os
import re
import shutil
import subprocess
import sys

BUDGETS = {                             # operation: (program, mode, instructions, backend)
    "switch, there and back": (1, None, 23),
    "await of a coroutine inline": (0, "await", 126),
    "yield through the loop": (0, "yield", 313),        # 310 before a pass had its sixth step
    "wake-up of a task by another": (0, "handover", 556),   # 550 before an object knew its loop
    "create a task and await it": (0, "spawn", 880),
    "the same, 1,000 at once": (0, "spawn1000", 555),
}
for backend, read, piece, frames in ("uring", 3720, 3700, 4830), ("epoll", 3690, 3790, 5010):
    BUDGETS[f"a round trip of two streams, {backend}"] = (2, "read", read, backend)
    BUDGETS[f"the same, echoed from the library's buffer, {backend}"] = (2, "piece", piece, backend)
    BUDGETS[f"the same, of a frame read in two parts, {backend}"] = (2, "frames", frames, backend)
FEW, MANY = (10_000, 10_000, 1_000), (40_000, 40_000, 4_000)     # by program
UNAVAILABLE = 77


def count(command, n, backend):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command, str(n)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "EVENLOOP_BACKEND": backend})
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} under callgrind ended with {done.returncode}:\n{done.stderr[-1000:]}")
    return int(found.group(1))


def is_available(command, backend):
    done = subprocess.run([*command, "1"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                          env={**os.environ, "EVENLOOP_BACKEND": backend})
    return done.returncode != UNAVAILABLE


def main():
    if not shutil.which("valgrind"):
        sys.exit(77)
    failed = False
    for name, (program, mode, budget, *on) in BUDGETS.items():
        command, backend = [sys.argv[1 + program]] + ([mode] if mode else []), on[0] if on else "epoll"
        few, many = FEW[program], MANY[program]
        if not is_available(command, backend):
            print(f"{name}: not here")
            continue
        used = (count(command, many, backend) - count(command, few, backend)) / (many - few)
        failed |= used > budget
        print(f"{name}: {used:.1f} instructions of {budget}{'' if used <= budget else '   TOO MANY'}")
    sys.exit(1 if failed else 0)


main()
