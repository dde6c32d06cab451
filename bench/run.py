#!/usr/bin/env python3
"""Runs the benchmarks of a build folder, ours and the peers alternately, and prints one table.

What is compared is CPU time for each operation: user and system time of all threads, read from
/proc/PID/task/*/schedstat while the program waits at a gate (gate.h), so that starting and warming up do not count. The
program that is measured has one core, the load generator another one. A ratio below 1 means that we use less.

  best     our best round divided by the peer's best round
  median   the median over the rounds of (ours / peer's), each round's two taken one soon after the other
"""
import argparse
import glob
import json
import os
import platform
import re
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """A benchmark that did not run to its end."""


class Missing(Exception):
    """A program that is not here."""


# ---- Programs -------------------------------------------------------------------------------------------------------

class Program:
    """A program pinned to a core; talks through the gate, if it has one."""

    def __init__(self, command, core, environment=None):
        if not os.access(command[0], os.X_OK):
            raise Missing(os.path.basename(command[0]))
        self.name = os.path.basename(command[0])
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, **(environment or {})}, preexec_fn=lambda: self.prepare(core))
        self.buffer = b""

    @staticmethod
    def prepare(core):
        os.sched_setaffinity(0, {core})
        signal.signal(signal.SIGINT, signal.SIG_DFL)    # a shell's background jobs ignore it, and so would the server

    def __enter__(self):
        return self

    def __exit__(self, kind=None, value=None, _=None):
        """Ends it. A failure that passes by is told what the program said on standard error."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        self.process.wait()
        if isinstance(value, Failed):
            said = self.said()
            if said:
                value.args = (f"{value} [{self.name}: {said}]",)
        self.errors.close()

    def said(self):
        self.errors.seek(0)
        return " ".join(self.errors.read().decode(errors="replace").split())[-400:]

    def cpu_ns(self):
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path) as f:
                total += int(f.read().split()[0])
        return total

    def read_line(self, timeout, other=None):
        """Of its output; no longer than `other`, a program that it needs, runs."""
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                left = end - time.monotonic()
                if left <= 0:
                    raise Failed(f"{self.name}: no answer for {timeout} s")
                if not selector.select(min(left, 0.1)):
                    if other and other.process.poll() is not None:
                        raise Failed(f"{other.name}: ended with status {other.process.returncode}")
                    continue
                part = os.read(self.process.stdout.fileno(), 4096)
                if not part:
                    raise Failed(f"{self.name}: ended early")
                self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def go(self):
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}: ended early") from None

    def until_ready(self, other=None):
        if self.read_line(120, other) != "ready":
            raise Failed(f"{self.name}: is not ready")

    def until_done(self):
        """Operations, and the values that were told beside them."""
        words = self.read_line(300).split()
        if len(words) < 2 or words[0] != "done":
            raise Failed(f"{self.name}: is not done")
        return int(words[1]), {k: float(v) for k, v in (w.split("=") for w in words[2:])}

    def finish(self):
        self.go()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name}: does not end") from None
        if status != 0:
            raise Failed(f"{self.name}: ended with status {status}")


def measure(command, core, environment=None):
    """CPU ns for each operation of a gated program, and what it told."""
    with Program(command, core, environment) as program:
        program.until_ready()
        before = program.cpu_ns()
        program.go()
        operations, told = program.until_done()
        after = program.cpu_ns()
        program.finish()
    return (after - before) / operations, told


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Echo:
    """An echo server under load, stopped at the gate of the load generator: warm, all connections open. `server` is a program,
    or a command with its first arguments; `load`, further options of the load generator."""

    def __init__(self, bench, server, connections, count, ours=False, environment=None, size=64, load=()):
        port = str(free_port())
        self.ours = ours
        command = [server] if isinstance(server, str) else server
        self.server = Program([*command, "127.0.0.1", port], bench.server_core, environment)
        try:
            self.load = Program([bench.path("load"), "--gate", "--connections", str(connections), "--count", str(count),
                                 "--size", str(size), "--warmup", str(max(count // 10, 2 * connections)),
                                 *load, "127.0.0.1", port], bench.load_core)
        except BaseException:
            self.server.__exit__()
            raise

    def __enter__(self):
        try:
            self.load.until_ready(self.server)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, _):
        self.load.__exit__(kind, value)
        status = None
        if self.ours and kind is None:
            self.server.process.send_signal(signal.SIGINT)
            try:
                status = self.server.process.wait(30)
            except subprocess.TimeoutExpired:
                status = "none: it did not end"
        self.server.__exit__(kind, value)
        if status not in (None, 0):
            raise Failed(f"{self.server.name}: after SIGINT its exit status was {status}")

    def run(self):
        self.load.go()
        operations, told = self.load.until_done()
        return operations, told

    def measure(self):
        before = self.server.cpu_ns()
        operations, told = self.run()
        after = self.server.cpu_ns()
        self.load.finish()
        return (after - before) / operations, told


# ---- Rows -----------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, build, rounds, quick):
        self.build, self.rounds, self.quick = build, rounds, quick
        cores = sorted(os.sched_getaffinity(0))
        self.load_core, self.server_core = cores[0], cores[-1]
        self.rows, self.samples, self.failures = [], {}, []

    def path(self, name):
        return os.path.join(self.build, "bench", name)

    def size(self, full, quick):
        return quick if self.quick else full

    def row(self, name, ours, peer="", best="", median="", target="", met=None):
        """`met` is None where there is no target."""
        verdict = "" if met is None else "not judged" if self.quick else "met" if met else "NOT MET"
        self.rows.append(dict(row=name, ours=ours, peer=peer, best=best, median=median, target=target, verdict=verdict))

    def failed(self, name, why):
        self.failures.append(f"{name}: {why}")
        self.rows.append(dict(row=name, ours="failed", peer="", best="", median="", target="", verdict=str(why)))

    def alternate(self, group, contenders):
        """Run each contender once a round, in turning order: {name: [(value, told), ...]}. A contender of ours that is
        missing or fails is a failure; a peer that is not here is left out."""
        results = {name: [] for name in contenders}
        out = {}
        for number in range(self.rounds):
            names = list(contenders)
            for name in names if number % 2 == 0 else reversed(names):
                if name in out:
                    continue
                progress(f"{group}: round {number + 1} of {self.rounds}: {name}")
                try:
                    results[name].append(contenders[name]())
                except Missing as missing:
                    out[name] = "not built" if name.startswith("ours") else "not installed"
                    if name.startswith("ours"):
                        self.failures.append(f"{group}: {missing} is not built")
                except Failed as failure:
                    out[name] = "failed"
                    self.failures.append(f"{group}: {name}: {failure}")
        progress("")
        for name in out:
            results[name] = []
        self.samples[group] = {name: [value for value, _ in r] for name, r in results.items()}
        return {name: Values(name, r, out.get(name)) for name, r in results.items()}

    def compare(self, name, ours, peer, unit, target=None):
        """One row: ours / peer, both in ns."""
        if not ours or not peer:
            lacking = ours if not ours else peer
            self.row(name, ours.show(unit), f"{peer.name}: {peer.show(unit)}", target=limit(target),
                     met=None if lacking.why == "not installed" or target is None else False)
            return
        best = min(ours.values) / min(peer.values)
        median = statistics.median(a / b for a, b in zip(ours.values, peer.values))
        self.row(name, ours.show(unit), f"{peer.name}: {peer.show(unit)}", f"{best:.3f}", f"{median:.3f}", limit(target),
                 None if target is None else median <= target)

    def absolute(self, name, ours, unit, target, shown):
        if not ours:
            self.row(name, ours.why, target=shown, met=False)
            return
        scale = UNITS[unit]
        self.row(name, ours.show(unit), "", f"{min(ours.values) / scale:.4g} {unit}", f"{ours.median() / scale:.4g} {unit}",
                 shown, ours.median() <= target)


UNITS = {"ns": 1, "us": 1000, "ms": 1e6, "B": 1}


class Values:
    def __init__(self, name, results, why):
        self.name, self.why = name, why
        self.values = [value for value, _ in results]
        self.told = [told for _, told in results]

    def __bool__(self):
        return bool(self.values)

    def median(self):
        return statistics.median(self.values)

    def show(self, unit):
        return f"{self.median() / UNITS[unit]:.4g} {unit}" if self.values else self.why

    def most(self, key):
        return max(told[key] for told in self.told)


def limit(target):
    return "" if target is None else f"<= {target:g}"


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---- The benchmarks ---------------------------------------------------------------------------------------------------

def bench_echo(b):
    """TCP echo of 64 bytes, CPU of the server for each round trip."""
    servers = {
        "ours on io_uring": (os.path.join(b.build, "examples", "echo"), "uring"),
        "limit, single-shot": (b.path("limit_uring_single"), None),
        "limit, multishot": (b.path("limit_uring_multishot"), None),
        "ours on epoll": (os.path.join(b.build, "examples", "echo"), "epoll"),
        "limit, epoll": (b.path("limit_epoll"), None),
        "libuv": (b.path("peer_libuv_echo"), None),
        "Go": (b.path("peer_go_echo"), None),
        "Tokio": (b.path("peer_tokio_echo"), None),
    }
    count = b.size(200000, 2000)

    def contender(path, backend, connections):
        def once():
            environment = {"EVENLOOP_BACKEND": backend} if backend else None
            with Echo(b, path, connections, count, backend is not None, environment) as echo:
                return echo.measure()
        return once

    for connections in (50, 500):
        v = b.alternate(f"echo {connections}", {name: contender(*s, connections) for name, s in servers.items()})
        limits = [x for x in (v["limit, single-shot"], v["limit, multishot"]) if x]
        best_limit = min(limits, key=Values.median) if limits else v["limit, single-shot"]
        ours, libuv = v["ours on io_uring"], v["libuv"]
        what = f"echo, {connections} connections"
        b.compare(f"{what}, io_uring / limit", ours, best_limit, "us", 1.05)
        b.compare(f"{what}, io_uring / libuv", ours, libuv, "us", 0.65)
        b.compare(f"{what}, io_uring / Go", ours, v["Go"], "us", 0.45)
        b.compare(f"{what}, io_uring / Tokio", ours, v["Tokio"], "us")
        b.compare(f"{what}, epoll / limit", v["ours on epoll"], v["limit, epoll"], "us", 1.10)
        b.compare(f"{what}, epoll / libuv", v["ours on epoll"], libuv, "us")
        b.compare(f"{what}, the io_uring limit / libuv", best_limit, libuv, "us", 0.65)
        b.compare(f"{what}, the epoll limit / libuv", v["limit, epoll"], libuv, "us")


FORBIDDEN = re.compile(r"^(recv|send|read|write|epoll)")


def strace_counts(path):
    counts = {}
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
                counts[words[-1]] = int(words[3])
    return counts


def count_calls(b, command, output, server, count, ours=False, environment=None):
    """Runs `command`, which attaches to the echo server and writes to the file `output`, for `count` round trips: how many."""
    with Echo(b, server, 50, count, ours, environment) as echo:
        counter = subprocess.Popen(command + ["-p", str(echo.server.process.pid)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            wait_attached(counter, echo.server.process.pid, command[0])
            operations, _ = echo.run()
        finally:
            counter.send_signal(signal.SIGINT)
            counter.wait(30)
        echo.load.finish()
    with open(output) as f:
        if not f.read(1):
            raise Failed(f"{command[0]} told nothing")
    return operations


def bench_syscalls(b):
    """System calls of the io_uring echo, attached to while it serves."""
    name = "echo, 50 connections, io_uring"
    server, count = os.path.join(b.build, "examples", "echo"), b.size(50000, 1000)
    environment = {"EVENLOOP_BACKEND": "uring"}

    def counted(command, output):
        return count_calls(b, command, output, server, count, True, environment)

    if not shutil.which("strace"):
        b.row(f"{name}: system calls", "strace is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "counts")
        progress("system calls")
        try:
            operations = counted(["strace", "-f", "-c", "-o", output], output)
        except Missing:
            b.row(f"{name}: system calls", "not built", met=False)
            b.failures.append("system calls: examples/echo is not built")
            return
        except Failed as failure:
            b.failed(f"{name}: system calls", failure)
            return
        counts = strace_counts(output)
        bad = {call: n for call, n in counts.items() if FORBIDDEN.match(call)}
        # A completion that tells of another thread's wake-up may be read; a round trip may cost nothing of the kind.
        b.row(f"{name}: recv, send, read, write, epoll calls", ", ".join(f"{n} {c}" for c, n in bad.items()) or "none",
              target="none", met=not bad)
        enters = counts.get("io_uring_enter", 0) / operations
        b.row(f"{name}: enters a round trip (strace)", f"{enters:.3f}", target="<= 0.2", met=enters <= 0.2)
        # strace slows the server down, so that more comes together in a pass: perf, where it may, tells the undisturbed number.
        if shutil.which("perf"):
            try:
                event = "syscalls:sys_enter_io_uring_enter"
                operations = counted(["perf", "stat", "-x", ",", "-e", event, "-o", output], output)
                with open(output) as f:
                    found = re.search(r"^(\d+),.*" + event, f.read(), re.M)
                if found:
                    enters = int(found.group(1)) / operations
                    b.row(f"{name}: enters a round trip (perf, undisturbed)", f"{enters:.3f}", target="", met=None)
            except Failed:
                pass    # not allowed here
        progress("")


def wait_attached(counter, pid, name):
    """Until strace traces the process; perf says nothing, and needs a moment."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if counter.poll() is not None:
            raise Failed(f"{name} cannot attach")
        if name == "strace":
            with open(f"/proc/{pid}/status") as f:
                if not re.search(r"^TracerPid:\s+0$", f.read(), re.M):
                    return
        elif time.monotonic() > end - 9.5:
            return
        time.sleep(0.02)
    raise Failed(f"{name} does not attach")


def bench_switch(b):
    """The raw switch, there and back."""
    n = str(b.size(50_000_000, 1000))
    v = b.alternate("switch", {
        "ours": lambda: measure([b.path("bench_switch"), n], b.server_core),
        "jump_fcontext": lambda: measure([b.path("peer_boost_switch"), n], b.server_core),
    })
    b.compare("raw switch pair", v["ours"], v["jump_fcontext"], "ns", 1.05)


def tasks_against_peers(b, mode, what, full, target):
    n = str(b.size(full, 2000))
    v = b.alternate(what, {
        "ours": lambda: measure([b.path("bench_tasks"), mode, n], b.server_core),
        "Tokio": lambda: measure([b.path("peer_tokio_tasks"), mode, n], b.server_core),
        "Go": lambda: measure([b.path("peer_go_tasks"), mode, n], b.server_core, {"GOMAXPROCS": "1"}),
    })
    for peer in ("Tokio", "Go"):
        b.compare(f"{what} / {peer}", v["ours"], v[peer], "ns", target)
    return v["ours"]


def bench_yield(b):
    """Two tasks that let each other run."""
    tasks_against_peers(b, "yield", "yield through the loop, two tasks", 5_000_000, 0.7)


def bench_spawn(b):
    """Create a task and await it."""
    for mode, what in (("spawn", "create a task and await it"), ("spawn1000", "the same, 1,000 at once")):
        ours = tasks_against_peers(b, mode, what, 2_000_000, 0.6)
        if ours:
            n = ours.most("allocations")
            b.row(f"{what}: allocations after the warm-up", f"{n:.0f}", target="0", met=n == 0)


def bench_await(b):
    """Await a coroutine inline."""
    n = str(b.size(50_000_000, 2000))
    v = b.alternate("await", {"ours": lambda: measure([b.path("bench_tasks"), "await", n], b.server_core)})
    b.absolute("await of a coroutine inline", v["ours"], "ns", 10, "<= 10 ns")


def bench_timers(b):
    """Schedule, cancel half, expire."""
    n = b.size(1_000_000, 1000)
    v = b.alternate("timers", {
        "ours": lambda: measure([b.path("bench_timers"), str(n)], b.server_core),
        "libuv": lambda: measure([b.path("peer_libuv_timers"), str(n)], b.server_core),
    })
    b.compare(f"{n:,} timers: schedule, cancel half, expire; each", v["ours"], v["libuv"], "ns", 0.7)


def bench_memory(b):
    """Tasks that have run and sleep two calls deep."""
    n = b.size(100_000, 200)

    def once():
        _, told = measure([b.path("bench_sleepers"), str(n)], b.server_core)
        return (told["rss_kb"] + told["pte_kb"]) * 1024 / n, told

    v = b.alternate("memory", {"ours": once})["ours"]
    b.absolute(f"{n:,} sleeping tasks: memory and page tables, each", v, "B", 4700, "<= 4.7 KB")
    if v:
        with open("/proc/sys/vm/max_map_count") as f:
            most = int(f.read())
        maps = v.most("maps")
        b.row(f"{n:,} sleeping tasks: mappings", f"{maps:.0f}", f"vm.max_map_count: {most}", target=f"< {most}",
              met=maps < most)


def instructions(b, command):
    """For each operation: the difference of two runs divided by the difference of their counts."""
    def run(n):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command, str(n)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "EVENLOOP_BACKEND": "epoll"}, timeout=300)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or not found:
            raise Failed(f"{os.path.basename(command[0])} under valgrind: {done.stderr.strip()[-200:]}")
        return int(found.group(1))
    if not os.access(command[0], os.X_OK):
        raise Missing(os.path.basename(command[0]))
    few, many = 10_000, b.size(60_000, 20_000)
    return (run(many) - run(few)) / (many - few)


def bench_instructions(b):
    """Counted with callgrind: the same on every machine."""
    if not shutil.which("valgrind"):
        b.row("instructions", "valgrind is not installed")
        return
    for name, command in (("raw switch pair", [b.path("bench_switch")]),
                          ("await of a coroutine inline", [b.path("bench_tasks"), "await"]),
                          ("yield through the loop", [b.path("bench_tasks"), "yield"]),
                          ("wake-up of a task by another", [b.path("bench_tasks"), "handover"]),
                          ("create a task and await it", [b.path("bench_tasks"), "spawn"]),
                          ("the same, 1,000 at once", [b.path("bench_tasks"), "spawn1000"])):
        progress(f"instructions: {name}")
        try:
            ours = instructions(b, command)
        except Missing as missing:
            b.failed(f"{name}: instructions", f"{missing} is not built")
            continue
        except (Failed, subprocess.TimeoutExpired) as failure:
            b.failed(f"{name}: instructions", failure)
            continue
        b.samples[f"instructions: {name}"] = ours
        if name != "raw switch pair":
            b.row(f"{name}: instructions", f"{ours:.1f}")
            continue
        try:
            peer = instructions(b, [b.path("peer_boost_switch")])
            b.row(f"{name}: instructions", f"{ours:.1f}", f"jump_fcontext: {peer:.1f}", "", f"{ours / peer:.3f}", "<= 1",
                  ours <= peer)
        except Missing:
            b.row(f"{name}: instructions", f"{ours:.1f}", "jump_fcontext: not installed")
        except (Failed, subprocess.TimeoutExpired) as failure:
            b.failed(f"{name}: instructions of the peer", failure)
    progress("")


GROUPS = {"echo": bench_echo, "syscalls": bench_syscalls, "switch": bench_switch, "yield": bench_yield,
          "spawn": bench_spawn, "await": bench_await, "timers": bench_timers, "memory": bench_memory,
          "instructions": bench_instructions}


# ---- The machine, the table ---------------------------------------------------------------------------------------------

def output_of(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else None


def search(path, pattern):
    try:
        with open(path) as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def machine_facts(b):
    compiler = search(os.path.join(b.build, "CMakeCache.txt"), r"^CMAKE_C_COMPILER:\w+=(.*)$")
    facts = {
        "CPU": f"{search('/proc/cpuinfo', r'^model name.*: (.*)$') or platform.machine()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "compiler": compiler and output_of([compiler, "--version"]),
        "liburing": output_of(["pkg-config", "--modversion", "liburing"]),
        "libuv": output_of([b.path("peer_libuv_echo"), "--version"]),
        "Boost": output_of([b.path("peer_boost_switch"), "--version"]),
        "Go": output_of([b.path("peer_go_echo"), "--version"]),
        "Tokio": search(os.path.join(HERE, "peers", "tokio", "Cargo.lock"), r'name = "tokio"\nversion = "(.*)"')
        if os.path.exists(b.path("peer_tokio_echo")) else None,
        "Rust": output_of(["rustc", "--version"]),
        "congestion control": search("/proc/sys/net/ipv4/tcp_congestion_control", r"(.*)"),
        "rounds": b.rounds,
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }
    return {name: fact if fact is not None else "not installed" for name, fact in facts.items()}


def busy_seconds():
    """CPU time of the whole machine, and of what was started here."""
    with open("/proc/stat") as f:
        ticks = [int(word) for word in f.readline().split()[1:9]]
    ours = os.times()
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(ours[:4])


COLUMNS = ("row", "ours", "peer", "best", "median", "target", "verdict")


def print_table(rows):
    widths = [max([len(c)] + [len(str(r[c])) for r in rows]) for c in COLUMNS]
    for line in [dict(zip(COLUMNS, COLUMNS)), {c: "-" * w for c, w in zip(COLUMNS, widths)}] + rows:
        print("  ".join(str(line[c]).ljust(w) for c, w in zip(COLUMNS, widths)).rstrip())


def introduce(b, facts):
    """Prints them; gives what conclude() compares with."""
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if b.load_core == b.server_core:
        print("note: one core only, the load generator and the server share it")
    if os.getloadavg()[0] > 0.5 and not b.quick:
        print("note: the machine is not idle, the figures will be noisy")
    print(flush=True)
    return busy_seconds()


def conclude(b, facts, before, path):
    """Prints the table and what else there is to say, and gives the exit status; all of it goes to the file `path`, if given."""
    machine, own = (after - then for after, then in zip(busy_seconds(), before))
    other = max(0, machine - own) / max(machine, 0.01)
    facts["CPU time of other work meanwhile"] = f"{other:.0%}"
    print_table(b.rows)
    print(f"\nCPU time of other work meanwhile: {other:.0%}" +
          (": too much, measure again on an idle machine" if other > 0.1 and not b.quick else ""))
    missed = sum(row["verdict"] == "NOT MET" for row in b.rows)
    met = sum(row["verdict"] == "met" for row in b.rows)
    print(f"{met} targets met, {missed} not met, {len(b.failures)} failures")
    for failure in b.failures:
        print(f"failure: {failure}")
    if path:
        with open(path, "w") as f:
            json.dump({"facts": facts, "rows": b.rows, "samples": b.samples, "failures": b.failures}, f, indent=1)
    return 1 if b.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build", help="the build folder (build)")
    parser.add_argument("--rounds", type=int, help="how often each is measured (11; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that everything runs")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="NAME",
                        help="only this group, may be repeated: " + ", ".join(GROUPS))
    parser.add_argument("--json", metavar="FILE", help="write rows, samples and facts there")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    bench = Bench(os.path.abspath(arguments.build), arguments.rounds or (1 if arguments.quick else 11), arguments.quick)
    facts = machine_facts(bench)
    before = introduce(bench, facts)
    for name in arguments.only or GROUPS:
        GROUPS[name](bench)
    return conclude(bench, facts, before, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
