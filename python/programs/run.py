#!/usr/bin/env python3
"""The tests of programs that use asyncio, on asyncio's loop and on ours: run.py [--jobs N] [PROGRAM ...]

Each suite that programs.toml names runs three times, on asyncio's loop, on ours over io_uring and on ours over epoll: the
same tests, in an environment, a network and a tree of processes of their own. What fails on ours, but passes on asyncio's,
runs again up to three times, when nothing else runs. It counts if it fails again on ours, and never in as many tries on
asyncio's. The exit status is 1 if there is such a test, or a suite that did not run as it should.
"""
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

import sources

LOOPS = {"asyncio": ("asyncio", None), "io_uring": ("evenloop", "uring"), "epoll": ("evenloop", "epoll")}
OURS = ["io_uring", "epoll"]
AGAIN = 3
LIMIT = 60              # seconds for a test
DEATHS = 30             # that a suite survives

Result = collections.namedtuple("Result", "outcome why")
printing = threading.Lock()
folders = set()         # of those that run now


def say(*words):
    with printing:
        print(time.strftime("%H:%M:%S"), *words, flush=True)


class Run:
    """A suite, or some of its tests, once through on one loop."""

    def __init__(self, suite, loop):
        self.suite, self.loop = suite, loop
        self.results, self.left_out, self.problems = {}, 0, []
        self.loops = collections.Counter()

    def environment(self, folder):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("EVEN", "PYTHON", "PYTEST", "PG", "VIRTUAL_ENV", "CI", "LC_", "LANG"))}
        name, backend = LOOPS[self.loop]
        kept.update(EVEN_SUITE_LOOP=name, EVEN_SUITE_RESULTS=f"{folder}/results", EVEN_SUITE_CHOICE=f"{folder}/choice",
                    EVENLOOP_CHECK=folder, TMPDIR=f"{folder}/tmp", HOME=f"{folder}/home", LC_ALL="C.UTF-8",
                    PYTHONDONTWRITEBYTECODE="1", **self.suite.program.get("environment", {}))
        if backend:
            kept["EVENLOOP_BACKEND"] = backend
        servers = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        if servers:
            kept["PGINSTALLATION"] = servers[-1]
        return kept

    def command(self):
        program = self.suite.program
        limit = ["--timeout", str(program.get("limit", LIMIT))]
        service = ["--redis"] if program.get("service") == "redis" else []
        return ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                sys.executable, str(sources.HERE / "inside.py"), *service, "--",
                str(self.suite.python), "-m", "pytest", "-p", "even_suite_results", "-p", "no:cacheprovider", "-o", "addopts=",
                "--rootdir", str(self.suite.tests),
                "--continue-on-collection-errors", "--tb=short", "-q", *limit, *program.get("options", ()), *program["tests"]]

    def go(self, only=None):
        """Run all, or only these; one in which the suite dies is noted, and the rest run without it."""
        log = self.suite.folder / f"{self.loop}.log"
        if only is None:
            log.unlink(missing_ok=True)
        for _ in range(DEATHS):
            if self.once(only, log):
                return self
        self.problems.append(f"died {DEATHS} times")
        return self

    def once(self, only, log):
        """Whether it came to its end."""
        # In /tmp, not in TMPDIR: the paths of local sockets may not be long.
        folder = tempfile.mkdtemp(prefix="even-", dir="/tmp")
        folders.add(folder)
        try:
            for name in ("tmp", "home"):
                os.mkdir(f"{folder}/{name}")
            for name in ("records", "results"):
                open(f"{folder}/{name}", "x").close()
            with open(f"{folder}/choice", "w") as file:
                json.dump({"only": only, "done": list(self.results),
                           "silent": self.suite.program.get("silent", []),
                           "left_out": list(self.suite.program.get("left_out", {}))}, file)
            with open(log, "a") as output:
                # Its input is a pipe that nothing is written to: it ends when this process does, whatever ends that.
                with subprocess.Popen(self.command(), cwd=self.suite.tests, env=self.environment(folder),
                                      stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT) as process:
                    ended = self.watch(process, f"{folder}/results")
            return self.read(folder, ended, log)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            folders.discard(folder)

    def watch(self, process, results):
        """Its exit status; None if it said nothing for too long."""
        patience = self.suite.program.get("limit", LIMIT) + 60
        size, since = 0, time.monotonic()
        while True:
            try:
                return process.wait(2)
            except subprocess.TimeoutExpired:
                pass
            if os.path.getsize(results) != size:
                size, since = os.path.getsize(results), time.monotonic()
            elif time.monotonic() - since > patience:
                process.kill()
                process.wait()
                return None

    def read(self, folder, ended, log):
        begun, finished, any_new = None, None, False
        with open(f"{folder}/results") as file:
            for line in map(json.loads, file):
                if "begun" in line:
                    begun = line["begun"]
                elif "test" in line:
                    self.results[line["test"]] = Result(line["outcome"], line["why"])
                    begun, any_new = None, True
                elif "left_out" in line:
                    self.left_out = line["left_out"]
                else:
                    finished = line["finished"]
        with open(f"{folder}/records", errors="replace") as file:
            for line in file:
                ours, _, kind, _ = line.split(" ", 3)
                self.loops["evenloop" if ours == "1" else kind] += 1
        if begun is not None:
            tail = "".join(open(log, errors="replace").readlines()[-30:])
            how = "hung" if ended is None else f"ended its process ({ended})"
            self.results[begun] = Result("failed", f"E it {how}\n{tail}")
            return False
        if finished is None or finished not in (0, 1, 5):
            if any_new:
                return False
            self.problems.append(f"the suite ended with {ended}, between two tests: see {log}")
        return True

    def passed(self):
        return {test for test, result in self.results.items() if result.outcome == "passed"}

    def check_loops(self):
        """The loops that ran are those that were wanted."""
        allowed = {"evenloop"} if self.loop in OURS else set()
        if self.loop == "asyncio" and self.loops["evenloop"]:
            self.problems.append(f"{self.loops['evenloop']} of our loops ran")
        if self.loop in OURS:
            if not self.loops["evenloop"]:
                self.problems.append("none of our loops ran")
            for kind, count in self.loops.items():
                if kind not in allowed and kind not in self.suite.program.get("other_loops", {}):
                    self.problems.append(f"{count} loops of {kind} ran")


class Suite:
    def __init__(self, name, program, built):
        self.name, self.program = name, program
        self.folder = sources.BUILD / name
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "install.log"
        log.unlink(missing_ok=True)
        archive = sources.source(name, program, log)
        self.tests = sources.lay_out(name, program, archive)
        self.python = sources.environment(name, program, archive, log)
        sources.put_in(self.python, built, log)
        self.runs, self.alone, self.sometimes = {}, {}, {}

    def first(self):
        """Each loop once."""
        for loop in LOOPS:
            begin = time.monotonic()
            run = self.runs[loop] = Run(self, loop).go()
            run.check_loops()
            say(f"{self.name} on {loop}: {len(run.passed())} of {len(run.results)} passed, {time.monotonic() - begin:.0f} s; "
                "loops:", ", ".join(f"{n} {kind}" for kind, n in run.loops.items()), *run.problems)
        return self

    def doubtful(self, loop):
        return self.runs["asyncio"].passed() - self.runs[loop].passed()

    def again(self):
        """What failed on ours alone: does it again, and never on asyncio's?"""
        why, failed_again, suspects = {}, {}, {}
        for loop in OURS:
            open_ = suspects[loop] = self.doubtful(loop)
            failed_again[loop] = set()
            for _ in range(AGAIN):
                left = sorted(open_ - failed_again[loop])
                if not left:
                    break
                say(f"{self.name} on {loop}, again: {len(left)} tests")
                run = Run(self, loop).go(left)
                for test in left:
                    result = run.results.get(test, Result("failed", "it did not run"))
                    if result.outcome != "passed":
                        failed_again[loop].add(test)
                        why[loop, test] = result.why
        on_asyncio = set().union(*failed_again.values())
        for _ in range(AGAIN):
            if on_asyncio:
                say(f"{self.name} on asyncio, again: {len(on_asyncio)} tests")
                on_asyncio &= Run(self, "asyncio").go(sorted(on_asyncio)).passed()
        for loop in OURS:
            self.alone[loop] = {test: why[loop, test] for test in sorted(failed_again[loop] & on_asyncio)}
            self.sometimes[loop] = {test: self.runs[loop].results.get(test, Result("failed", "it did not run")).why
                                    for test in sorted(suspects[loop] - set(self.alone[loop]))}

    def save(self):
        """For whoever wants to know more."""
        with open(self.folder / "results.json", "w") as file:
            json.dump({"runs": {loop: {"results": run.results, "loops": run.loops, "problems": run.problems}
                                for loop, run in self.runs.items()},
                       "alone": self.alone, "sometimes": self.sometimes}, file, indent=1)


def in_a_line(why):
    lines = [line for line in why.splitlines() if line.strip() and not re.match(r"^[=_ -]+$", line)]
    errors = [line.removeprefix("E ") for line in lines if line.startswith("E ")]
    return (errors[:1] or lines[-1:] or ["?"])[0].strip()[:200]


def tell(suites):
    """The lists, and whether all is well."""
    well = True
    for suite in suites:
        base = suite.runs["asyncio"]
        print(f"\n== {suite.name}")
        for loop, run in suite.runs.items():
            for problem in run.problems:
                well = False
                print(f"{loop}: {problem}")
        for pattern, reason in suite.program.get("left_out", {}).items():
            print(f"left out: {pattern}  ({reason})")
        too = sorted(test for test, result in base.results.items() if result.outcome == "failed")
        for test in too:
            print(f"fails on asyncio, too: {test}: {in_a_line(base.results[test].why)}")
        for text, found in (("fails now and then, or on asyncio as well", suite.sometimes),
                            ("FAILS ON OURS ALONE", suite.alone)):
            for test in sorted(set().union(*found.values())):
                on = [loop for loop in OURS if test in found[loop]]
                print(f"{text} ({', '.join(on)}): {test}: {in_a_line(found[on[0]][test])}")
        well = well and not any(suite.alone.values())
    print("\n| program | version | tests | passed on asyncio | on ours, io_uring | on ours, epoll | fail on ours alone |")
    print("|---|---|---|---|---|---|---|")
    for suite in suites:
        counts = [len(run.passed()) for run in suite.runs.values()]
        alone = set().union(*suite.alone.values())
        print(f"| {suite.name} | {suite.program['version']} | {len(suite.runs['asyncio'].results)} | "
              + " | ".join(map(str, counts)) + f" | {len(alone)} |")
    return well


def interrupted(number, frame):
    """At once, whatever the threads wait for. The suites' processes end by themselves."""
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + number)


def main():
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="suites at once, on the first time through")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    arguments = parser.parse_args()
    with open(sources.HERE / "programs.toml", "rb") as file:
        programs = tomllib.load(file)
    chosen = arguments.programs or list(programs)
    for name in chosen:
        if name not in programs:
            parser.error(f"programs.toml has no {name}")
    sources.BUILD.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "true"]).returncode:
        sys.exit("the suites run in namespaces of their own, and this machine makes none for this user")
    try:
        built = sources.wheel()
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            suites = list(pool.map(lambda name: Suite(name, programs[name], built).first(), chosen))
    except sources.Missing as why:
        sys.exit(f"make test-programs: {why}")
    for suite in suites:
        suite.again()
        suite.save()
    well = tell(suites)
    passed = sum(len(run.passed()) for suite in suites for loop, run in suite.runs.items() if loop in OURS)
    alone = sum(len(tests) for suite in suites for tests in suite.alone.values())
    print(f"\n{passed} passed, {alone} failed")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
