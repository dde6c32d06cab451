#!/usr/bin/env python3
"""Runs the Python benchmarks: evenloop's loop on both backends, asyncio's and others', alternately, and prints one table.

run.py BUILD [--rounds N] [--quick], by the Python of the environment in which evenloop and the others are installed; BUILD is
where bench/load was built. As bench/run.py: CPU time of the server for each round trip, ratios in the same run; below 1 we
use less.
"""
import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent


def load_module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load_module("bench_run", HERE.parent.parent / "bench" / "run.py")

OURS = {"ours on io_uring": "uring", "ours on epoll": "epoll"}
PEERS = {"uvloop": "uvloop", "rloop": "rloop", "asyncio": "asyncio"}

ECHOES = [      # mode, bytes, connections, what is to be reached on io_uring and on epoll, x uvloop
    ("protocol", 64, 50, 0.52, 0.90),
    ("protocol", 64, 500, 0.52, 0.90),
    ("protocol", 1024, 50, 0.52, 0.90),
    ("streams", 64, 50, 0.65, None),
    ("sock", 64, 50, 0.40, None),
]
CALLS = {       # what is to be reached, x uvloop
    "call_soon": 0.80, "call_later_and_cancel": 0.80, "threadsafe": 0.80, "tasks": 0.95, "gather": 0.95,
}


def installed(names):
    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None
    return {name: loop for name, loop in names.items() if name in ("asyncio", *OURS) or version(name)}


def echoes(b, loops):
    for mode, size, connections, uring, epoll in ECHOES:
        def contender(loop):
            command = [sys.executable, str(HERE / "echo_server.py"), loop, mode]

            def once():
                with bench.Echo(b, command, connections, b.size(60000, 2000), size=size) as echo:
                    return echo.measure()
            return once

        what = f"{mode}, {size} B, {connections} connections"
        v = b.alternate(what, {name: contender(loop) for name, loop in loops.items()})
        for peer in loops:
            if peer not in OURS:
                judged = peer == "uvloop"
                b.compare(f"{what}, io_uring / {peer}", v["ours on io_uring"], v[peer], "us", uring if judged else None)
                b.compare(f"{what}, epoll / {peer}", v["ours on epoll"], v[peer], "us", epoll if judged else None)


def calls(b, loops):
    figures = {}

    def contender(name, loop):
        def once():
            done = bench.subprocess.run([sys.executable, str(HERE / "calls.py"), loop], capture_output=True, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {b.server_core}))
            if done.returncode:
                raise bench.Failed(done.stderr.strip()[-300:])
            for line in done.stdout.splitlines():
                what, ns = line.split()
                figures.setdefault(what, {}).setdefault(name, []).append((float(ns), {}))
            return 0, {}
        return once

    names = {name: loop for name, loop in loops.items() if name != "ours on epoll"}
    b.alternate("calls", {name: contender(name, loop) for name, loop in names.items()})
    for what, target in CALLS.items():
        v = {name: bench.Values(name, r, "failed") for name, r in figures.get(what, {}).items()}
        for peer in names:
            if peer not in OURS and "ours on io_uring" in v and peer in v:
                b.compare(f"{what} / {peer}", v["ours on io_uring"], v[peer], "ns", target if peer == "uvloop" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that everything runs")
    options = parser.parse_args()
    b = bench.Bench(os.path.abspath(options.build), 1 if options.quick else options.rounds, options.quick)
    loops = {**OURS, **installed(PEERS)}
    print("interpreter:", platform.python_implementation(), platform.python_version(), sys.executable)
    print("built with:", sysconfig.get_config_var("CONFIG_ARGS"))
    for name in PEERS:
        if name != "asyncio":
            print(f"{name}:", importlib.metadata.version(name) if name in loops else "not installed")
    print("CPU:", bench.search("/proc/cpuinfo", r"^model name.*: (.*)$") or platform.machine())
    print("rounds:", b.rounds, flush=True)
    echoes(b, loops)
    calls(b, loops)
    bench.print_table(b.rows)
    met, missed = (sum(row["verdict"] == word for row in b.rows) for word in ("met", "NOT MET"))
    print(f"\n{met} targets met, {missed} not met, {len(b.failures)} failures")
    for failure in b.failures:
        print("failure:", failure)
    return 1 if b.failures else 0


if __name__ == "__main__":
    sys.exit(main())
