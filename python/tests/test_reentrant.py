"""After a call from C into Python, what was checked before it is looked at again: whatever the program did there.

Generated: each place where an end's C part calls the program, times each action that the program may do there, on each
kind of end (reentrant_ends.py). Such a cell is a small program with a record of all that could be observed
(reentrant_program.py). The record is to be that of the same cell on asyncio's own loop; and some things hold always
(`broken` in a record). Many cells share a process, and one that crashes or hangs is the last of its process.

EVENLOOP_REENTRANT=all does every action at every place; else only the cheap ends do, and of the others each place has
ALWAYS and some of the rest, another place others.
"""
import fnmatch
import functools
import json
import os
import re
import unittest

import reentrant_ends
from reentrant_program import BETWEEN
from support import python
from tls_peer import needs_certificate

PROGRAM = os.path.join(os.path.dirname(__file__), "reentrant_program.py")
EVERYTHING = os.environ.get("EVENLOOP_REENTRANT") == "all"
ALLOCATOR = os.environ.get("PYTHONMALLOC", "debug")     # debug: what was freed does not look as it did
ALWAYS = "close", "abort", "interrupt", "close the loop", "write a lot, abort"
CHEAP = "read pipe", "write pipe", "datagrams", "datagrams to an address"

COMPARED = "events", "handled", "left", "received", "peer", "unraisable", "warned"

# Where asyncio is not the measure: end, place and action, as patterns; what is not compared; why.
EXCEPTIONS = [
    ("*", "*, bulk*", "*", "received", "how much comes at once is the loop's"),
    ("tls*", "*, bulk*", "*", "events", "the same; what it has not read makes asyncio's end an SSLError"),
    ("*", "write __release_buffer__*", "*", COMPARED, "asyncio has sent it by then; we copy it"),
    ("*", "*write* __del__*", "*", COMPARED, "asyncio keeps what was written, in some versions; we copy it"),
    ("*", "write __buffer__*", "fail", COMPARED, "asyncio's connection fails of it; here write() raises it"),
    ("*", "write __buffer__*", "*", ("peer",), "what was written may be sent or not, once it closed the connection"),
    ("*", "write __*" + BETWEEN, "close the loop", "events", "asyncio's transport writes; ours: RuntimeError"),
    ("tls*", "write __buffer__*", "*", COMPARED, "asyncio's own send of TLS is not made for a second one inside of it"),
    ("buffered", "get_buffer*", "exchange*", COMPARED, "asyncio tells the new protocol of the old one's buffer"),
    ("*", "get_buffer __*", "*", COMPARED, "asyncio says TypeError, whatever it raises"),
    ("streams", "client_connected_cb", "fail", COMPARED, "as asyncio's since 3.14: the connection is closed"),
    ("write pipe", "*", "*write a lot*", "events", "asyncio's pipe resumes only when all of it is written"),
    ("datagrams*", "audit hook*", "fail", COMPARED, "asyncio's connection fails of it; here sendto() raises it"),
    ("tls*", "connection_made", "*interrupt", "events", "the handshake's last part was not sent: pieces decide"),
    ("tls*", "connection_made", "exit", "events", "the same"),
    ("tls*", "connection_lost", "close, *", "events", "asyncio's lets go of everything at the second close()"),
    ("*streams", "pause_reading", "fail", "events", "the data may be read before its failure, or not"),
    ("loop", "*", "*exchange*", "events", "in which turn a file is found to be ready"),
    ("loop", "*writer", "*abort*", "events", "the same"),
    ("loop", "reader's argument __del__*", "*", "events", "the same"),
    ("loop", "fileno of add_*, again*", "close the loop", "events", "asyncio goes on; ours: RuntimeError"),
    ("loop", "fileno of add_*, again*", "fail", "events", "asyncio finds a file it knows, though its fileno() raises"),
    ("loop", "handle weakref*", "*", COMPARED, "asyncio keeps a cancelled handle until its turn"),
    ("sock_recv", "*" + BETWEEN, "*", "peer", "how much goes at once is the loop's"),
    ("sock_recv", "number*" + BETWEEN, "abort", "events", "ours waits first, once it has taken all that was there"),
    ("sock_recv", "number*" + BETWEEN, "close the loop", "events", "asyncio goes on; ours: RuntimeError"),
    ("sock_recv", "fileno*", "*", COMPARED, "asyncio asks for it only to wait"),
]


def cells(end, places):
    """Of an end: [(place, action)]."""
    kind = reentrant_ends.ENDS[end]
    actions = kind.actions()
    rest = [action for action in actions if action not in ALWAYS]
    for i, place in enumerate(kind.places):
        if place in places:
            for action in actions:
                if EVERYTHING or end in CHEAP or action in ALWAYS or rest.index(action) % 12 == i % 12:
                    yield place, action


@functools.cache
def records(loop, end):
    """{(place, action): its record} of an end, on a loop; of a crash: {"crashed": what the interpreter said}."""
    todo = [f"{place}={action}" for place, action in cells(end, reentrant_ends.ENDS[end].places)]
    found = {}
    while todo:
        done = python(PROGRAM, loop, end, *todo, PYTHONMALLOC=ALLOCATOR)
        begun = None
        for line in done.stdout.splitlines():
            if line.startswith("> "):
                begun = line[2:]
            elif line.startswith("= "):
                found[begun], begun = json.loads(line[2:]), None
        if begun is None:
            if done.returncode or todo[-1] not in found:
                raise RuntimeError(f"exit {done.returncode}, after its cells: {done.stderr}")
            break
        found[begun] = {"crashed": f"exit {done.returncode}\n{done.stderr[-3000:]}"}
        todo = todo[todo.index(begun) + 1:]
    return found


def sent(peer):
    """What the peer got, from its summary."""
    return "".join(piece[-1] * int(piece[:-1]) for piece in peer.split())


class Reentrant(unittest.TestCase):
    def check(self, backend, end, place):
        for _, action in cells(end, {place}):
            with self.subTest(action=action):
                cell = f"{place}={action}"
                ours, theirs = records(backend, end)[cell], records("asyncio", end)[cell]
                self.assertNotIn("crashed", ours, ours.get("crashed"))
                if "crashed" in theirs:
                    continue
                forgiven = theirs["broken"]
                self.assertEqual([what for what in ours["broken"] if what not in forgiven], [])
                if ours["hit"] and theirs["hit"]:
                    self.compare(ours, theirs, end, place, action)

    def compare(self, ours, theirs, end, place, action):
        skipped = set()
        for *patterns, what, _ in EXCEPTIONS:
            if all(map(fnmatch.fnmatchcase, (end, place, action), patterns)):
                skipped |= {what} if isinstance(what, str) else set(what)
        for what in COMPARED:
            if what in skipped:
                continue
            a, b = theirs[what], ours[what]
            if what == "peer":      # what is cut off may be cut off anywhere
                a, b = sent(a), sent(b)
                if re.search("abort|fail|interrupt|exit", action):
                    a, b = a[:len(b)], b[:len(a)]
                self.assertTrue(a == b, f"the peer got {ours[what]!r}, from asyncio {theirs[what]!r}")
            elif what == "events":
                self.assertEqual(coming(own_failures(a, b), end), coming(b, end))
                self.assertEqual(going(own_failures(a, b)), going(b))
            else:
                self.assertEqual(own_failures(a, b) if isinstance(a, list) else a, b, what)


def own_failures(theirs, ours):
    """Without asyncio's stumbling, of which we need not have an equal: on a transport that let go of everything."""
    return [what for what in theirs if not what.endswith(("AttributeError", "writelines: TypeError")) or what in ours]


# What comes and what goes have no order between them; nor has what is ready with what is called.

def coming(events, end):
    events = [event for event in events if event.split()[-1] not in ("pause", "resume")]
    return sorted(set(events)) if end == "loop" else [a for a, b in zip(events, [*events[1:], None]) if a != b]


def going(events):
    return [event for event in events if event.split()[-1] not in ("data", "eof", "reader", "writer")]


def generate():
    for end, kind in reentrant_ends.ENDS.items():
        for place in kind.places:
            for backend in "uring", "epoll":
                def test(self, arguments=(backend, end, place)):
                    self.check(*arguments)
                name = re.sub(r"\W+", "_", f"test_{end}_{place}_{backend}")
                setattr(Reentrant, name, needs_certificate(test) if end.startswith("tls") else test)


generate()
