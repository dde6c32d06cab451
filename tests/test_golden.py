#!/usr/bin/env python3
"""The programs of examples/notes: what they print, how long they take, and what the narrator tells of them.

    tests/test_golden.py BUILD_FOLDER [NAME...]     check
    tests/test_golden.py BUILD_FOLDER --update      write tests/golden/NAME.txt, and docs/the-notes.md, anew; read the
                                                    difference!

On `sim` a narration is compared to the byte with tests/golden/NAME.txt, and what it says with the facts below, which
are written by hand. Where the library knows no lines (no libdw, no debug information) it is compared without them. On
each backend that works here the program runs without narration, in real time. EVEN_EMULATOR goes before each command.
"""
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
AT = r"  \([\w.]+:\d+\)"

# What each program prints, how long it takes, and what happens in it: tasks created, coroutines awaited inline, who
# waits for whom, each wake-up with its time and cause, and what was only fetched.
PROGRAMS = {
    "in_turn": dict(
        prints="start\n2s\n1s\nend\n", seconds=3,
        created={"Task-1": "say_in_turn"},
        inline=[("Task-1", "say_after"), ("Task-1", "say_after")],
        waits=[("Task-1", "timer"), ("Task-1", "timer")],
        woken=[("2.000", "Task-1", "timer"), ("3.000", "Task-1", "timer")],
        ended=[("3.000", "Task-1")],
        sleeps=["2", "1"]),
    "together": dict(
        prints="start\n1s\n2s\nend\n", seconds=2,
        created={"Task-1": "say_together", "Task-2": "say_after", "Task-3": "say_after"},
        waits=[("Task-1", "Task-2"), ("Task-2", "timer"), ("Task-3", "timer")],
        woken=[("1.000", "Task-3", "timer"), ("2.000", "Task-2", "timer"), ("2.000", "Task-1", "Task-2")],
        fetched=[("Task-1", "Task-3")],
        ended=[("1.000", "Task-3"), ("2.000", "Task-2"), ("2.000", "Task-1")],
        sleeps=["1", "1"]),
    "gather_tasks": dict(
        prints="start\n1s\n2s\nend, r1='2s', r2='1s'\n", seconds=2,
        created={"Task-1": "say_gathered", "Task-2": "say_after", "Task-3": "say_after"},
        gathered=[("Task-1", "2")],
        waits=[("Task-1", "the gather"), ("Task-2", "timer"), ("Task-3", "timer")],
        woken=[("1.000", "Task-3", "timer"), ("2.000", "Task-2", "timer"), ("2.000", "Task-1", "the gather")],
        ended=[("1.000", "Task-3"), ("2.000", "Task-2"), ("2.000", "Task-1")],
        sleeps=["1", "1"]),
    "gather_list": dict(
        prints="start\n1s\n2s\n3s\nend, ['1s', '2s', '3s']\n", seconds=3,
        created={"Task-1": "say_list", "Task-2": "say_after", "Task-3": "say_after", "Task-4": "say_after"},
        gathered=[("Task-1", "3")],
        waits=[("Task-1", "the gather"), ("Task-2", "timer"), ("Task-3", "timer"), ("Task-4", "timer")],
        woken=[("1.000", "Task-2", "timer"), ("2.000", "Task-3", "timer"), ("3.000", "Task-4", "timer"),
               ("3.000", "Task-1", "the gather")],
        ended=[("1.000", "Task-2"), ("2.000", "Task-3"), ("3.000", "Task-4"), ("3.000", "Task-1")],
        sleeps=["1", "1", "1"]),
    "await_or_task": dict(
        prints="one task, two coroutines\ntwo tasks\n", seconds=0.2,
        created={"Task-1": "using_create_task", "Task-2": "nap"},       # Task-1 twice: of two runs
        inline=[("Task-1", "nap")],
        waits=[("Task-1", "timer"), ("Task-1", "Task-2"), ("Task-2", "timer")],
        woken=[("0.100", "Task-1", "timer"), ("0.100", "Task-2", "timer"), ("0.100", "Task-1", "Task-2")],
        ended=[("0.100", "Task-1"), ("0.100", "Task-2"), ("0.100", "Task-1")],
        sleeps=["0.1", "0.1"]),
    "one_cashier": dict(
        prints=None, seconds=0.6,       # its figures depend on the machine, but not on sim: see the golden file
        created={"Task-1": "open_the_shop", "Task-2": "card_queue", "Task-3": "card_queue", "Task-4": "coin_queue",
                 "Task-5": "coin_queue"},
        gathered=[("Task-1", "2"), ("Task-1", "2")],
        inline=[("Task-2", "pay_by_card"), ("Task-3", "pay_by_card")] * 3
               + [("Task-4", "pay_in_coins"), ("Task-5", "pay_in_coins")] * 3,
        waits=[("Task-1", "the gather")] + [("Task-2", "timer"), ("Task-3", "timer")] * 3 + [("Task-1", "the gather")],
        woken=[(at, task, "timer") for at in ("0.200", "0.400", "0.600") for task in ("Task-2", "Task-3")]
              + [("0.600", "Task-1", "the gather")] * 2,
        ended=[("0.600", "Task-%d" % n) for n in (2, 3, 4, 5, 1)],
        sleeps=["0.2", "0.2", "0.2"]),
}
PROGRAMS["gather"] = PROGRAMS["gather_tasks"]       # coroutines given to gather become the same two tasks


def run(folder, name, backend, explain):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVENLOOP_")}
    if backend:
        environment["EVENLOOP_BACKEND"] = backend
    if explain:
        environment["EVENLOOP_EXPLAIN"] = "1"
    # ThreadSanitizer's programs sleep for a second as they end.
    environment["TSAN_OPTIONS"] = environment.get("TSAN_OPTIONS", "") + " atexit_sleep_ms=0"
    command = os.environ.get("EVEN_EMULATOR", "").split() + [os.path.join(folder, "examples", "notes", name)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def facts_of(narration):
    """What the narration says, without its asides."""
    facts = dict(created={}, inline=[], waits=[], woken=[], fetched=[], ended=[], gathered=[], sleeps=[])
    for line in narration.splitlines():
        m = re.match(r" *(\d+\.\d{3})  (.*?)(%s)?$" % AT, line)
        if not m:
            continue
        at, words = m[1], m[2]
        task = r"(Task-\d+)"
        if m := re.match(task + r" creates %s \((\w+)\)" % task, words):
            facts["created"][m[2]] = m[3]
        elif m := re.match(r"the loop begins, with one task: %s \((\w+)\)" % task, words):
            facts["created"][m[1]] = m[2]
        elif m := re.match(task + r" awaits the coroutine (\w+)", words):
            facts["inline"].append((m[1], m[2]))
        elif m := re.match(task + r" awaits (Task-\d+), which is done already", words):
            facts["fetched"].append((m[1], m[2]))
        elif m := re.match(task + r" sets a timer for", words):
            facts["waits"].append((m[1], "timer"))
        elif m := re.match(task + r" waits for (Task-\d+|the gather)", words):
            facts["waits"].append((m[1], m[2]))
        elif m := re.match(task + r"'s timer is due: its wake-up is scheduled", words):
            facts["woken"].append((at, m[1], "timer"))
        elif m := re.match(task + r" waited for (Task-\d+|the gather): its wake-up is scheduled", words):
            facts["woken"].append((at, m[1], m[2]))
        elif m := re.match(task + r" \(\w+\) ends", words):
            facts["ended"].append((at, m[1]))
        elif m := re.match(task + r" gathers (\d+)", words):
            facts["gathered"].append((m[1], m[2]))
        elif m := re.match(r"nothing is ready: the loop sleeps until the first timer, ([\d.]+) s", words):
            facts["sleeps"].append(m[1])
    return facts


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, ok, more=""):
        self.passed += bool(ok)
        self.failed += not ok
        if not ok:
            print("FAILED: %s%s" % (what, "\n" + more if more else ""))


def difference(got, wanted):
    import difflib
    return "".join(difflib.unified_diff(wanted.splitlines(True), got.splitlines(True), "golden", "narrated"))


def works(folder, backend):
    """Is that backend one that runs here?"""
    p = run(folder, "await_or_task", backend, False)
    return "backend" not in p.communicate()[0]


def main():
    folder, names = sys.argv[1], [a for a in sys.argv[2:] if not a.startswith("-")] or sorted(PROGRAMS)
    update = "--update" in sys.argv
    checks = Checks()

    for name in names:
        expected = PROGRAMS[name]
        process = run(folder, name, "sim", True)
        got = process.communicate()[0]
        checks.that(name + " ends well", process.returncode == 0, got)
        path = os.path.join(HERE, "golden", name + ".txt")
        if update:
            with open(path, "w", encoding="utf-8") as f:
                f.write(got)
        with open(path, encoding="utf-8") as f:
            golden = f.read()
        if not re.search(AT + "$", got, re.M):
            golden = re.sub(AT + "$", "", golden, flags=re.M)
        checks.that(name + ": its narration", got == golden, difference(got, golden))
        told = "".join(line for line in got.splitlines(True) if not re.match(r" *\d+\.\d{3}  ", line))
        if expected["prints"]:
            checks.that(name + ": its own lines", told == expected["prints"], told)
        facts = facts_of(got)
        for key in facts:
            wanted = expected.get(key, type(facts[key])())
            checks.that("%s: %s" % (name, key), facts[key] == wanted, "%r\nexpected %r" % (facts[key], wanted))

    # docs/the-notes.md tells these stories; --update puts the new ones there.
    path = os.path.join(HERE, "..", "docs", "the-notes.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    for name, story in re.findall(r"<!-- tests/golden/(\w+)\.txt -->\n```\n(.*?)```\n", page, re.S):
        if name not in names:
            continue
        with open(os.path.join(HERE, "golden", name + ".txt"), encoding="utf-8") as f:
            golden = f.read()
        if update:
            page = page.replace(story, golden)
        else:
            checks.that(name + ": docs/the-notes.md", story == golden, difference(story, golden))
    if update:
        with open(path, "w", encoding="utf-8") as f:
            f.write(page)

    # In real time, all at once: they sleep most of it.
    for backend in [] if update else [b for b in ("uring", "epoll") if works(folder, b)]:
        begun = time.monotonic()
        running = [(name, run(folder, name, backend, False)) for name in names]
        running.sort(key=lambda pair: PROGRAMS[pair[0]]["seconds"])
        for name, process in running:
            got = process.communicate()[0]
            took = time.monotonic() - begun
            expected = PROGRAMS[name]
            what = "%s on %s" % (name, backend)
            checks.that(what + " ends well", process.returncode == 0, got)
            if expected["prints"]:
                checks.that(what + ": what it prints", got == expected["prints"], got)
            checks.that("%s takes its time (%.2f s)" % (what, took), took >= expected["seconds"])
            if "EVEN_EMULATOR" not in os.environ:
                checks.that("%s takes no more (%.2f s)" % (what, took), took < expected["seconds"] + 0.9)

    print("%d passed, %d failed" % (checks.passed, checks.failed))
    return checks.failed > 0


sys.exit(main())
