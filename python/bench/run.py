#!/usr/bin/env python3
"""Runs the Python benchmarks: evenloop's loop on both backends, asyncio's and others', alternately, and prints one table.

run.py BUILD [options], by the Python of the environment in which evenloop and the others are installed; BUILD is where
bench/load was built. As bench/run.py: CPU time of the server for each operation, ratios in the same run; below 1 we use less,
but where a row says MB a second.
"""
import argparse
import contextlib
import importlib.util
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import typing

import evenloop

import bare_server
from loops import NO_TLS, OURS, PEERS, version

HERE = pathlib.Path(__file__).resolve().parent


def load_module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load_module("bench_run", HERE.parent.parent / "bench" / "run.py")

BARE = {"bare, multishot": "multishot", "bare, single-shot": "single", "bare, epoll": "epoll"}
BACKENDS = {"io_uring": "ours on io_uring", "epoll": "ours on epoll"}
TRANSFER, MB = 10_000_000, 1_000_000


class Python(bench.Bench):
    """The runner, with the loops that are here."""

    def __init__(self, build, rounds, quick, against=None):
        super().__init__(build, rounds, quick)
        # uvloop is what the targets speak of: where it is not installed its rows say so. Others are left out.
        self.peers = against or [name for name in PEERS if name in ("asyncio", "uvloop") or version(name)]
        self.bares, self.no_bare = [], None
        try:
            self.bares = bare_server.build(os.path.join(self.build, "bench"))
        except FileNotFoundError as lacking:
            self.no_bare = bench.Missing(lacking)
        except RuntimeError as complaint:
            self.no_bare = bench.Failed(complaint)

    def contenders(self, make, peers=None):
        """{name: make(loop)}, ours first."""
        peers = self.peers if peers is None else peers
        return {name: make(loop) for name, loop in {**OURS, **{name: name for name in peers}}.items()}

    def alternate(self, group, contenders):
        def guarded(once):
            def run():
                try:
                    return once()
                except (OSError, subprocess.SubprocessError) as error:
                    raise bench.Failed(repr(error)) from None
            return run
        return super().alternate(group, {name: guarded(once) for name, once in contenders.items()})

    def command(self, program, loop, *arguments):
        if loop in PEERS and loop != "asyncio" and not version(loop):
            raise bench.Missing(loop)
        return [sys.executable, str(HERE / program), loop, *arguments]

    def bare_command(self, backend):
        if backend not in self.bares:
            raise self.no_bare or bench.Missing("liburing")
        return [sys.executable, str(HERE / "bare_server.py"), os.path.join(self.build, "bench"), backend]

    def under_load(self, command, count, load=(), connections=50, size=64, value=None):
        """CPU ns of the server for each operation, or what value(ns, told) makes of it. `command` is a function."""
        def once():
            with bench.Echo(self, command(), connections, count, size=size, load=load) as echo:
                ns, told = echo.measure()
                return (value(ns, told) if value else ns), told
        return once

    def bare(self, **more):
        """The limits, as contenders."""
        return {name: self.under_load(lambda backend=backend: self.bare_command(backend), **more)
                for name, backend in BARE.items()}

    def compare_all(self, what, v, unit, uring=None, epoll=None, peers=None, compare=None):
        """A row for each backend of ours and each peer; judged by uvloop."""
        for peer in self.peers if peers is None else peers:
            for (backend, ours), target in zip(BACKENDS.items(), (uring, epoll)):
                (compare or self.compare)(f"{what}, {backend} / {peer}", v[ours], v[peer], unit,
                                          target if peer == "uvloop" else None)

    def compare_bare(self, what, v, unit, uring=None):
        """What the limits leave to win, and what they themselves would be; on io_uring the better of both is the limit."""
        multishot, single, epoll = (v[bare] for bare in BARE)
        best = min(filter(None, (multishot, single)), key=bench.Values.median, default=multishot)
        self.compare(f"{what}, io_uring / bare", v["ours on io_uring"], best, unit, uring)
        self.compare(f"{what}, epoll / bare", v["ours on epoll"], epoll, unit)
        if "uvloop" in self.peers:
            for bare in BARE:
                self.compare(f"{what}, {bare} / uvloop", v[bare], v["uvloop"], unit)

    def compare_rates(self, name, ours, peer, unit, target):
        """As compare(), of values of which more is better."""
        if not ours or not peer:
            self.compare(name, ours, peer, unit, target)
            self.rows[-1]["target"] = target and f">= {target:g}" or ""
            return
        best = max(ours.values) / max(peer.values)
        median = statistics.median(a / b for a, b in zip(ours.values, peer.values))
        self.row(name, ours.show(unit), f"{peer.name}: {peer.show(unit)}", f"{best:.3f}", f"{median:.3f}",
                 "" if target is None else f">= {target:g}", None if target is None else median >= target)


bench.UNITS["MB/s"] = 1


# ---- Servers under bench/load ------------------------------------------------------------------------------------------

class Served(typing.NamedTuple):
    """Of the targets: io_uring and epoll x uvloop, io_uring x the bare extension."""
    mode: str
    size: int = 64
    connections: int = 50
    uring: float | None = None
    epoll: float | None = None
    bare: float | None = None
    load: tuple = ()


def served(row):
    def group(b, name):
        count = b.size(60000, 1000)
        more = dict(count=count, load=row.load, connections=row.connections, size=row.size)
        contenders = b.contenders(lambda loop: b.under_load(lambda: b.command("server.py", loop, row.mode), **more))
        if row.bare:
            contenders |= b.bare(**more)
        v = b.alternate(name, contenders)
        b.compare_all(name, v, "us", row.uring, row.epoll)
        if row.bare:
            b.compare_bare(name, v, "us", row.bare)
    return group


def streams(b, name):
    """asyncio's functions on every loop, and ours beside them, in the same rounds."""
    def contender(loop, mode):
        return b.under_load(lambda: b.command("server.py", loop, mode), b.size(60000, 1000))
    contenders = b.contenders(lambda loop: contender(loop, "streams"))
    there = hasattr(evenloop, "start_server")
    if there:
        contenders |= {f"{ours}, own": contender(loop, "own-streams") for ours, loop in OURS.items()}
    v = b.alternate(name, contenders)
    b.compare_all(name, v, "us", 0.65)
    if there:
        own = {ours: v[f"{ours}, own"] for ours in OURS}
        b.compare_all(f"{name}, by evenloop.start_server", {**v, **own}, "us", 0.55)
    else:
        b.row(f"{name}, by evenloop.start_server, io_uring / uvloop", "not there", target="<= 0.55", met=False)


def tls(b, name):
    """The protocol's echo behind TLS 1.3, with a certificate made here."""
    known = subprocess.run([b.path("load"), "--help"], capture_output=True, text=True).stdout
    if "--tls" not in known or not shutil.which("openssl"):
        b.row(name, "openssl is not installed" if "--tls" in known else "the load was built without OpenSSL")
        return
    file = b.path("tls.pem")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                           "-days", "2", "-subj", "/CN=localhost", "-keyout", "-", "-out", "-"], capture_output=True)
    if made.returncode:
        b.failed(name, made.stderr.decode(errors="replace").strip())
        return
    with open(file, "wb") as f:
        f.write(made.stdout)
    peers = [peer for peer in b.peers if peer not in NO_TLS]
    v = b.alternate(name, b.contenders(lambda loop: b.under_load(
        lambda: b.command("server.py", loop, f"tls:{file}"), b.size(30000, 500), ("--tls",), size=1024), peers))
    b.compare_all(name, v, "us", 0.70, peers=peers)


def ping_pong(b, name):
    """How long a round trip of one connection takes, where all else is still."""
    def p50(_, told):
        return told["p50_us"] * 1000
    more = dict(count=b.size(30000, 500), connections=1, value=p50)
    v = b.alternate(name, b.contenders(lambda loop: b.under_load(lambda: b.command("server.py", loop, "protocol"), **more))
                    | b.bare(**more))
    b.compare_all(name, v, "us", 1.05, 1.05)
    b.compare_bare(name, v, "us")


def transfer(mode, *load):
    """10 MB at a time, for each second of the server's processor and for each second on the clock."""
    def group(b, name):
        def rates(ns, told):
            return TRANSFER / MB / (ns / 1e9)
        v = b.alternate(name, b.contenders(lambda loop: b.under_load(
            lambda: b.command("server.py", loop, f"{mode}:{TRANSFER}"), b.size(100, 8), load, 4,
            TRANSFER if mode == "upload" else 64, rates)))
        b.compare_all(f"{name}, each CPU second", v, "MB/s", 1, 1, compare=b.compare_rates)
        count = b.size(100, 8)
        wall = {who: bench.Values(who, [(count * TRANSFER / MB / told["seconds"], told) for told in x.told], x.why)
                for who, x in v.items()}
        b.compare_all(f"{name}, each second", wall, "MB/s", 1, 1, compare=b.compare_rates)
    return group


def syscalls(b, name):
    """What a round trip costs in system calls. strace slows a server down, so that more comes together in a pass."""
    if not shutil.which("strace"):
        b.row(name, "strace is not installed")
        return
    commands = b.contenders(lambda loop: lambda: b.command("server.py", loop, "protocol"))
    commands |= {who: lambda backend=backend: b.bare_command(backend) for who, backend in BARE.items()}
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "counts")
        for who, command in commands.items():
            bench.progress(f"{name}: {who}")
            try:
                n = bench.count_calls(b, ["strace", "-f", "-c", "-o", output], output, command(), b.size(20000, 1000))
            except bench.Missing as missing:
                b.row(f"{name}: {who}", f"not installed: {missing}")
                continue
            except bench.Failed as failure:
                b.failed(f"{name}: {who}", failure)
                continue
            counts = sorted(bench.strace_counts(output).items(), key=lambda item: -item[1])
            shown = ", ".join(f"{calls / n:.2f} {call}" for call, calls in counts if calls / n >= 0.005)
            b.row(f"{name}: {who}", f"{sum(calls for _, calls in counts) / n:.2f}")
            b.rows[-1]["verdict"] = shown       # the last column has room
    bench.progress("")


# ---- The loop's own calls, programs of others, memory ---------------------------------------------------------------------

CALLS = {       # what is to be reached, x uvloop
    "call_soon": ("call_soon", 0.80),
    "call_later_and_cancel": ("call_later and cancel", 0.80),
    "threadsafe": ("call_soon_threadsafe", 0.80),
    "tasks": ("create_task and await", 0.95),
    "gather": ("gather of 1,000, each", 0.95),
}


def calls(b, name):
    def contender(loop):
        def once():
            command = b.command("calls.py", loop, str(b.size(100_000, 1000)), str(b.size(7, 1)))
            done = subprocess.run(command, capture_output=True, text=True, timeout=300,
                                  preexec_fn=lambda: os.sched_setaffinity(0, {b.server_core}))
            if done.returncode:
                raise bench.Failed(" ".join(done.stderr.split())[-400:])
            return 0, {what: float(ns) for what, ns in (line.split() for line in done.stdout.splitlines())}
        return once
    v = b.alternate(name, b.contenders(contender))
    for key, (what, target) in CALLS.items():
        values = {who: bench.Values(who, [(told[key], told) for told in x.told], x.why) for who, x in v.items()}
        b.compare_all(what, values, "ns", target, target)


@contextlib.contextmanager
def started(b, command):
    """A server, once it answers on its port: (program, port)."""
    port = bench.free_port()
    with bench.Program([*command, "127.0.0.1", str(port)], b.server_core) as program:
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if program.process.poll() is not None:
                    raise bench.Failed("ended early") from None
                time.sleep(0.01)
        else:
            raise bench.Failed("does not listen")
        yield program, port


def web(server):
    def group(b, name):
        """CPU of the server for each request of wrk's."""
        def requests(port, seconds):
            done = subprocess.run(["wrk", "-t1", "-c50", f"-d{seconds}", f"http://127.0.0.1:{port}/"], capture_output=True,
                                  text=True, timeout=60, preexec_fn=lambda: os.sched_setaffinity(0, {b.load_core}))
            found = re.search(r"(\d+) requests in", done.stdout)
            if done.returncode or not found or re.search("Socket errors|Non-2xx", done.stdout):
                raise bench.Failed("wrk: " + " ".join((done.stdout + done.stderr).split())[-400:])
            return int(found[1])

        def contender(loop):
            def once():
                with started(b, b.command("web.py", loop, server)) as (program, port):
                    if not b.quick:
                        requests(port, 1)
                    before = program.cpu_ns()
                    n = requests(port, b.size(3, 1))
                    return (program.cpu_ns() - before) / n, {}
            return once
        lacking = [what for what in (server, "httptools") if not version(what)] or (not shutil.which("wrk") and ["wrk"])
        if lacking:
            b.row(name, f"not installed: {', '.join(lacking)}")
            return
        b.compare_all(name, b.alternate(name, b.contenders(contender)), "us", 0.85)
    return group


def memory(b, name):
    """What a thousand connections add to the server's RSS, once each has sent a byte and got it back."""
    count = b.size(1000, 100)

    def opened(port, n):
        found = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
        for client in found:
            client.send(b"x")
        for client in found:
            client.settimeout(30)
            if client.recv(2) != b"x":
                raise bench.Failed("no echo")
        return found

    def resident(program):
        with open(f"/proc/{program.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def contender(command):
        def once():
            with started(b, command()) as (program, port), contextlib.ExitStack() as stack:
                for client in opened(port, 100):
                    stack.callback(client.close)
                before = resident(program)
                for client in opened(port, count):
                    stack.callback(client.close)
                return max(resident(program) - before, 1) / count, {}
        return once

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    v = b.alternate(name, b.contenders(lambda loop: contender(lambda: b.command("server.py", loop, "protocol"))))
    b.compare_all(name, v, "B")


# ---- The table ------------------------------------------------------------------------------------------------------------

GROUPS = {
    **{f"protocol echo, {shown}, {connections} connections":
       served(Served("protocol", size, connections, 0.52, 0.90, 1.15))
       for shown, size in (("64 B", 64), ("1 KiB", 1024)) for connections in (50, 500)},
    "system calls of a round trip, protocol echo, 64 B, 50 connections": syscalls,
    "buffered protocol echo, 64 B, 50 connections": served(Served("buffered")),
    "streams echo, 64 B, 50 connections": streams,
    "sock_recv of 64 KiB, sock_sendall, 64 B, 50 connections": served(Served("sock", uring=0.40)),
    "answer in two writes, 64 B and 1 KiB, 50 connections":
        served(Served("answer:1024", uring=0.50, load=("--body", "1024"))),
    "TLS echo, 1 KiB, 50 connections": tls,
    "calls": calls,
    "aiohttp, 50 connections": web("aiohttp"),
    "uvicorn, 50 connections": web("uvicorn"),
    "ping-pong, 64 B, one connection, p50": ping_pong,
    "upload, 10 MB, 4 connections": transfer("upload", "--echoed", "8"),
    "download, 10 MB, 4 connections": transfer("download", "--body", str(TRANSFER)),
    "memory, an idle connection": memory,
}


def python_facts(b):
    flags = " ".join((sysconfig.get_config_var("PY_CFLAGS") or "").split())
    facts = {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
                       f"{', debug build' if sysconfig.get_config_var('Py_DEBUG') else ''}"
                       f"{', free-threaded' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''}",
        "configured with": sysconfig.get_config_var("CONFIG_ARGS"),
        "compiled with": f"{sysconfig.get_config_var('CC')} {flags}",
        "evenloop": evenloop.__version__,
        **{name: version(name) or "not installed" for name in (*PEERS, "aiohttp", "uvicorn", "httptools") if name != "asyncio"},
        "wrk": "installed" if shutil.which("wrk") else "not installed",
    }
    shared = bench.machine_facts(b)
    kept = ("CPU", "kernel", "compiler", "liburing", "congestion control", "rounds", "load average at the start")
    return facts | {name: shared[name] for name in kept}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that everything runs")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="only the groups of rows whose name this regular expression finds; may be repeated")
    parser.add_argument("--against", action="append", choices=PEERS, metavar="NAME",
                        help="only this peer, may be repeated: " + ", ".join(PEERS))
    parser.add_argument("--list", action="store_true", help="print the groups' names, and end")
    parser.add_argument("--json", metavar="FILE", help="write rows, samples and facts there")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    chosen = {name: group for name, group in GROUPS.items()
              if not options.only or any(re.search(pattern, name, re.I) for pattern in options.only)}
    if options.list or not chosen:
        print(*GROUPS, sep="\n")
        return 0 if options.list else parser.error("no group has such a name")
    if not os.access(os.path.join(options.build, "bench", "load"), os.X_OK):
        parser.error(f"{options.build}/bench/load was not built")
    b = Python(os.path.abspath(options.build), options.rounds or (1 if options.quick else 5), options.quick,
               options.against)
    facts = python_facts(b)
    before = bench.introduce(b, facts)
    for name, group in chosen.items():
        group(b, name)
    return bench.conclude(b, facts, before, options.json)


if __name__ == "__main__":
    sys.exit(main())
