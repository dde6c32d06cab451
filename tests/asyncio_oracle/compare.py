#!/usr/bin/env python3
"""compare.py PROGRAM: runs scenarios.py on asyncio and PROGRAM (scenarios.c) on each backend; their lines must be the same.

Ends with 77 (skipped) where Python is older than 3.11: Task.cancelling() is missing there.
"""
import difflib
import os
import pathlib
import subprocess
import sys


def events(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    if result.returncode:
        sys.exit(f"{command} ended with {result.returncode}:\n{result.stdout[-2000:]}\n{result.stderr}")
    return result.stdout.splitlines()


def main():
    if sys.version_info < (3, 11):
        print("skipped: this Python is older than 3.11")
        return 77
    program = sys.argv[1]
    asyncio = [sys.executable, str(pathlib.Path(__file__).with_name("scenarios.py"))]
    expected = events(asyncio)
    failed = False
    wanted = os.environ.get("EVENLOOP_BACKEND")
    for backend in [wanted] if wanted else ["epoll", "sim", ""]:
        environment = {"EVENLOOP_BACKEND": backend} if backend else {}
        got = events([program], **environment)
        # Real timers are 10 ms apart, and a busy machine may stop for longer, with asyncio or with us: another two times, then.
        for _ in range(2):
            if got == expected or backend == "sim":
                break
            expected, got = events(asyncio), events([program], **environment)
        if got != expected:
            failed = True
            name = f"evenloop on {backend or 'its own choice'}"
            for line in difflib.unified_diff(expected, got, "asyncio", name, n=30, lineterm=""):
                print(line)
    count = sum(line.startswith("== ") for line in expected)
    print(f"{count} scenarios, {len(expected)} lines:", "they differ" if failed else "as on asyncio")
    return 1 if failed else 0


sys.exit(main())
