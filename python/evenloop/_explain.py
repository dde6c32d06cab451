"""Explain: finds out what asyncio's own tasks do, and tells the core's narrator, in the events of src/trace/trace.h.

The loop's C half calls an Explainer at its choke points: a callback is queued, a timer is set, a handle begins and is over,
a run begins and ends. Tasks, futures and coroutines stay as they are, and are only looked at: what a task waits for is
its _fut_waiter, and the coroutines that it awaits inline are those on the way there, from one cr_await to the next. No
reference is kept to any of them.
"""
import asyncio
import contextlib
import dis
import errno
import functools
import gc
import inspect
import os
import sys
import types
import weakref
from asyncio import base_events, futures, runners, tasks

ITS_OWN, SHARED, COROUTINE, GENERATOR = range(4)        # enum even_role
PROGRAM = (1, "the program", "", ITS_OWN, None, False, False, False)
NOTHING = (1, None, "nothing", ITS_OWN, None, True, False, False)       # what a task waits for that only yields

# asyncio's functions that are looked for on the stack.
GATHER = tasks.gather.__code__
GATHERING_FUTURE = tasks._GatheringFuture.__init__.__code__
RUN_FOREVER = base_events.BaseEventLoop.run_forever.__code__
RUN_UNTIL_COMPLETE = base_events.BaseEventLoop.run_until_complete.__code__
RUNNER_RUN = runners.Runner.run.__code__
RUNNER_CLOSE = runners.Runner.close.__code__
CANCEL_ALL = runners._cancel_all_tasks.__code__
WAKE_SLEEPER = futures._set_result_unless_cancelled
FUTURES = (asyncio.Future, futures._PyFuture)
TASKS = (asyncio.Task, tasks._PyTask)
STEP_METHODS = {getattr(tasks._PyTask, name, None): wakes
                for name, wakes in (("_Task__step", False), ("_Task__wakeup", True))}
# What stands between two coroutines, and has no attributes: the one that it wraps is found among its referents.
WRAPPERS = {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"}
SUSPENDABLE = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
AWAITABLE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR

LIBRARIES = tuple({os.path.dirname(RUN_UNTIL_COMPLETE.co_filename) + os.sep,
                   os.path.dirname(sys._getframe().f_code.co_filename) + os.sep,
                   contextlib.contextmanager.__code__.co_filename, "<frozen "})


# ---- where ----

@functools.lru_cache(maxsize=1024)
def of_library(filename):
    """asyncio's and our own code is not what is explained: it is passed over."""
    return filename.startswith(LIBRARIES)


def at(code, line):
    return f"{os.path.basename(code.co_filename)}:{line}" if line else ""


def callers(frame, down_to=RUN_FOREVER):
    """The program's innermost frame, or None; and the library's frames below it."""
    passed = []
    while frame is not None and of_library(frame.f_code.co_filename):
        if frame.f_code is down_to:     # what a callback of the library does is of no line of the program's
            return None, passed
        passed.append(frame)
        frame = frame.f_back
    return frame, passed


def site(frame):
    return at(frame.f_code, frame.f_lineno) if frame is not None else ""


# ---- tasks and futures ----

class Known:
    """What is known of a task."""
    __slots__ = ("ref", "kind", "begun", "settled", "waited_for", "held", "name", "chain", "ahead", "waits", "asked",
                 "undelivered")

    def __init__(self, task, forget, coroutine=None):
        self.ref = weakref.ref(task, forget)
        self.kind = kind_of(coroutine or task.get_coro())
        self.name = None            # which it will be given, once it is made
        self.begun = False
        self.settled = False        # of the turn in progress it is told what it led to
        self.waited_for = False     # somebody's callback was queued as it ended
        self.held = False
        self.chain = []             # where it was last suspended
        self.ahead = []             # and what it fetches if it only runs to its end from there
        self.waits = (0, "", SHARED)
        self.asked = task.cancelling()      # how many requests to cancel were told
        self.undelivered = False


def plain(text):
    """As the core takes it."""
    return str(text).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def kind_of(coroutine):
    named = "__name__" in vars(type(coroutine))
    return plain(coroutine.__name__ if named else type(coroutine).__name__)


def is_canceled(future):
    """Also a gather, which then has failed with that."""
    return future._state == "CANCELLED" or isinstance(future._exception, asyncio.CancelledError)


def failure_of(exception):
    """Its name, and its text if that is not the program's own code to make."""
    name, text = type(exception).__name__, ""
    if isinstance(type(exception).__str__, types.WrapperDescriptorType) and \
            all(type(a) in (str, int, float, bytes, types.NoneType) for a in exception.args):
        text = str(exception)
    return plain(f"{name}: {text}" if text else name)


def status_of(future):
    """Its status and what a failure is called, without marking it as retrieved."""
    if is_canceled(future):
        return -errno.ECANCELED, None
    if future._exception is not None:
        return -errno.EIO, failure_of(future._exception)
    return 0, None


def step_of(callback):
    """(task, False) for a task's first or next step, (task, True) for its wake-up by a future; else (None, False)."""
    kind = type(callback)
    if kind is types.BuiltinMethodType:
        task, wakes = (callback.__self__, True) if callback.__name__ == "task_wakeup" else (None, False)
    elif kind is types.MethodType:
        wakes = STEP_METHODS.get(callback.__func__) if isinstance(callback.__self__, TASKS) else None
        task, wakes = (None, False) if wakes is None else (callback.__self__, wakes)
    else:
        task, wakes = (callback.__self__, False) if kind.__name__ == "TaskStepMethWrapper" else (None, False)
    return (task, wakes) if isinstance(task, TASKS) else (None, False)


def waiters_of(future):
    """The tasks that wait for it, also through a gather."""
    for callback, _ in future._callbacks or ():
        task, _ = step_of(callback)
        if task is not None:
            yield task
        elif isinstance(callback, types.FunctionType):
            for cell in callback.__closure__ or ():
                try:
                    inner = cell.cell_contents
                except ValueError:
                    continue
                if type(inner) is tasks._GatheringFuture and inner is not future:
                    yield from waiters_of(inner)


class Thing:
    __slots__ = ("__weakref__",)


def references(ref):
    thing = ref()
    return sys.getrefcount(thing)


alone = [Thing()]
ALONE = references(weakref.ref(alone[0]))       # what that says of an object to which there is one other reference


# ---- coroutines, from the task's to what it waits for ----

class Link:
    """One of the coroutines, suspended; or running, where a frame of the stack is all that is seen of it."""
    __slots__ = ("ref", "frame", "code", "line", "position", "of_program")

    def __init__(self, coroutine, frame):
        self.ref = weakref.ref(coroutine) if coroutine is not None else None
        self.frame = id(frame)
        self.code = frame.f_code
        self.line = frame.f_lineno
        self.position = frame.f_lasti if coroutine is not None else -1
        self.of_program = not of_library(self.code.co_filename)

    def is_same(self, other):
        if self.ref is None:
            return self.frame == other.frame and self.code is other.code
        coroutine = self.ref()
        return coroutine is not None and (other.ref is None or coroutine is other.ref()) and \
            self.frame == other.frame

    @property
    def name(self):
        return plain(self.code.co_name)

    @property
    def role(self):
        return GENERATOR if self.code.co_flags & inspect.CO_ASYNC_GENERATOR else COROUTINE

    @property
    def is_guarded(self):
        """What it awaits may fail there, and it goes on."""
        return is_guarded(self.code, self.position)

    def thing(self, parent=None):
        return (id(self), None, self.name, self.role, parent, False, False, False)


def chain_of(task):
    chain, x = [], task.get_coro()
    for _ in range(sys.getrecursionlimit()):
        if isinstance(x, types.CoroutineType):
            frame, inner = x.cr_frame, x.cr_await
        elif isinstance(x, types.GeneratorType):
            frame, inner = x.gi_frame, x.gi_yieldfrom
        elif isinstance(x, types.AsyncGeneratorType):
            frame, inner = x.ag_frame, x.ag_await
        elif type(x).__name__ in WRAPPERS and type(x).__module__ == "builtins":
            x = next((r for r in gc.get_referents(x)
                      if isinstance(r, SUSPENDABLE) or type(r).__name__ in WRAPPERS), None)
            continue
        else:
            break
        if frame is None:
            break
        if frame.f_code.co_flags & AWAITABLE:       # an __await__ that is a generator is passed over
            chain.append(Link(x, frame))
        x = inner
    return chain


def running_chain(task, frame):
    """The same while it runs; frame: the innermost."""
    chain, root = [], getattr(task.get_coro(), "cr_frame", None)
    while frame is not None and root is not None:
        if frame.f_code.co_flags & AWAITABLE:
            chain.append(Link(None, frame))
        if frame is root:
            return chain[::-1]
        frame = frame.f_back
    return []


def innermost(chain):
    """The program's innermost link, or None; and the library's below it."""
    for i in range(len(chain), 0, -1):
        if chain[i - 1].of_program:
            return chain[i - 1], chain[i:]
    return None, chain


def called(links):
    """What the program called, of the library: "sleep", "Queue.get", "TaskGroup"."""
    link = next((x for x in links if not x.code.co_name.startswith("_")), links[0])
    owner, _, name = link.code.co_qualname.rpartition("<locals>.")[2].rpartition(".")
    if name.startswith("_"):
        return name.strip("_") if owner.endswith("Loop") else owner.lstrip("_") or name.strip("_")
    return name if not owner or owner.endswith("Loop") else f"{owner.lstrip('_')}.{name}"


# ---- what was awaited and was done already ----
#
# Such an await asks nobody, so nothing is seen of it. But where a coroutine can only have come straight from where it was
# suspended to where it is now, it has run all that stands between; and an await of a local variable there tells what it
# fetched. Anything else (loops, branches, handlers) is left untold.

ENDS = {"RETURN_VALUE", "RETURN_CONST"}
AWAITING = {"SEND", "JUMP_BACKWARD_NO_INTERRUPT"}       # an await's own jumps
LEAVES = {"RAISE_VARARGS", "RERAISE", "PUSH_EXC_INFO", "CLEANUP_THROW"}
JUMPS = set(dis.hasjrel) | set(dis.hasjabs)
LOOKS = {"locals", "vars", "eval", "exec", "dir"}       # would see that somebody else looks, too


@functools.lru_cache(maxsize=256)
def awaits_between(code, begin, end):
    """(name, line) of each await of a local variable between two positions; end None: up to the return."""
    if not code.co_flags & inspect.CO_OPTIMIZED or LOOKS & set(code.co_names):
        return ()
    found, changed, last, line, awaited = [], set(), None, 0, 0
    for i in dis.get_instructions(code):
        line = getattr(getattr(i, "positions", None), "lineno", None) or line
        if i.offset <= begin:
            continue
        if i.offset == end or (end is None and i.opname in ENDS):
            if end is None and any(e.start < i.offset and e.end > begin for e in handlers(code)):
                return ()
            # The last await of all is the one that it is suspended in.
            return tuple(f[:2] for f in found if end is None or f[2] != awaited)
        if i.opname in ENDS or i.opname in LEAVES or (i.opcode in JUMPS and i.opname not in AWAITING):
            return ()
        if i.opname == "GET_AWAITABLE":
            awaited = i.offset
            if last and last.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and isinstance(last.argval, str) and \
                    last.argval not in changed:
                found.append((last.argval, line, awaited))
        elif i.opname.startswith(("STORE_", "DELETE_")):
            # Variables are looked up where it is suspended, after what stands here, or before.
            if end is not None:
                found = [f for f in found if f[0] != i.argval]
            else:
                changed.add(i.argval)
        last = i
    return ()


@functools.lru_cache(maxsize=1024)
def is_guarded(code, position):
    return any(e.start <= position < e.end and (e in handlers(code) or (e.target != position and is_guarded(code, e.target)))
               for e in dis._parse_exception_table(code))


@functools.lru_cache(maxsize=256)
def handlers(code):
    """Where an exception does not just leave the function."""
    catching = {i.offset for i in dis.get_instructions(code) if i.opname == "PUSH_EXC_INFO"}
    return tuple(e for e in dis._parse_exception_table(code) if e.target in catching)


def fetched_between(link, begin, end):
    """The futures that were fetched there, with the lines."""
    try:
        wanted = awaits_between(link.code, begin, end) if link.ref is not None else ()
    except Exception:       # a bytecode that dis does not know, say
        wanted = ()
    if not wanted:
        return []
    frame = getattr(link.ref(), "cr_frame", None)
    if frame is None:
        return []
    variables = frame.f_locals
    found = [(variables.get(name), line) for name, line in wanted]
    if type(variables) is dict:
        variables.clear()       # before 3.13 a copy, that the frame would keep
    return [(x, line) for x, line in found if isinstance(x, FUTURES)]


# ---- telling ----

class Explainer:
    def __init__(self, loop):
        self._tasks = {}        # id: Known
        self._turns = []        # of the handles that run, one in the other: whose they are, or None
        self._eager = []        # those whose first step is going on, in another's turn
        self._unborn = []       # tasks made while the loop did not run, and where
        self._running = False
        self._is_off = False
        self._muted = False     # the runner cleans up
        self._end_is_due = False
        self._gathering = 0     # the frame of the gather that was told, and is still making its tasks
        self._callback = None   # the callback of the library's that runs, if it is no task's
        self._completed = 0     # the future whose end was told in this turn
        if sys.version_info >= (3, 12):     # an eager task does not queue its first step
            loop.create_task = functools.partial(self._create_task, weakref.ref(loop))
        try:
            sys.stdout.reconfigure(line_buffering=True)     # the program's own lines fall in place
        except (AttributeError, ValueError, OSError):
            pass

    def _tell(self, loop, event, task=None, object=None, where="", value=0, status=0, failure=None):
        if not self._muted:
            loop._tell(event, task, object, where, value, status, failure)

    def _thing(self, task, kept=False):
        known = self._know(task)
        return (id(task), plain(known.name or task.get_name()), known.kind, ITS_OWN, None, False, is_canceled(task), kept)

    def _know(self, task, coroutine=None):
        known = self._tasks.get(id(task))
        if known is None:
            def forget(ref, tasks=self._tasks, key=id(task)):
                tasks.pop(key, None)
            known = self._tasks[id(task)] = Known(task, forget, coroutine)
        return known

    def _current(self, loop, frame, catch_up=True):
        """The task that acts, or None. What was called and has returned since its turn began is told first."""
        task = asyncio.current_task(loop)
        if not isinstance(task, TASKS):
            return self._callback
        if id(task) not in self._tasks:     # an eager one, in its first step
            outer, root = frame, getattr(task.get_coro(), "cr_frame", None)
            while outer is not None and outer is not root:
                outer = outer.f_back
            by = (self._eager or self._turns or [None])[-1]
            by = by.ref() if by is not None else None
            self._create(loop, self._thing(by) if by is not None else None, task, outer.f_back if outer else frame, True)
            self._eager.append(self._know(task))
        known, thing = self._know(task), self._thing(task)
        if catch_up and known.begun and not known.settled:
            running = running_chain(task, frame)
            if running:
                self._tell_calls(loop, known, thing, running)
        return thing

    # ---- the loop's calls ----

    def off(self, loop):
        """It has failed: no more is told."""
        self._muted = self._is_off = True
        loop.__dict__.pop("create_task", None)

    def run_begins(self, loop):
        frame, passed = callers(sys._getframe().f_back, None)
        passed = {f.f_code: f for f in passed}
        if self._end_is_due and CANCEL_ALL in passed:
            self._running = True
            return
        self._end(loop, RUNNER_CLOSE in passed)
        self._running, born, self._unborn = True, self._unborn, []
        if RUNNER_CLOSE in passed:
            self._muted = True
            return
        self._muted = False
        until = passed.get(RUN_UNTIL_COMPLETE)
        main = until.f_locals.get("future") if until is not None else None
        born = [(task, where) for task, where in ((ref(), where) for ref, where in born) if task is not None]
        is_new = any(task is main for task, where in born)
        thing = None
        if isinstance(main, TASKS):
            thing = self._thing(main)
        elif main is not None:
            thing = self._future_thing(main, [])
        self._tell(loop, "RUN", None, thing, site(frame), not is_new)
        if is_new:
            self._tell(loop, "CREATED", None, thing)
        for task, where in born:
            if task is not main:
                self._tell(loop, "CREATED", PROGRAM, self._thing(task), where)

    def run_ends(self, loop):
        self._running = False
        self._end_is_due = not self._muted
        codes = [f.f_code for f in callers(sys._getframe().f_back, None)[1]]
        if RUNNER_RUN not in codes and CANCEL_ALL not in codes:
            self._end(loop, False)

    def closed(self, loop):
        self._end(loop, True)
        loop.__dict__.pop("create_task", None)

    def _end(self, loop, silent):
        if self._end_is_due:
            self._end_is_due = False
            self._tell(loop, "RUN_END", value=silent)

    def made(self, loop):
        """A future is made, or anything else that asks for the loop's debug mode."""
        frame = sys._getframe().f_back
        if frame is not None and frame.f_code is GATHERING_FUTURE and frame.f_back is not None and frame.f_back.f_code is GATHER:
            self._gather(loop, self._current(loop, frame), frame.f_back)
            self._gathering = 0

    def _gather(self, loop, by, frame):
        """A gather has begun to make its tasks, or has none to make."""
        caller = frame.f_back
        if self._gathering != id(frame) and caller is not None and not of_library(caller.f_code.co_filename) and \
                self._running:
            self._gathering = id(frame)
            things = frame.f_locals.get("coros_or_futures", ())
            self._tell(loop, "GATHERED", by, None, site(caller), len(things))

    def later(self, loop, delay, callback, argument=None):
        if callback is WAKE_SLEEPER and argument is not None:
            ns = min(max(round(float(delay) * 1e9), 0), 2 ** 63 - 1) if float(delay) != float("inf") else 2 ** 63 - 1
            self._tell(loop, "SLEEP", self._current(loop, sys._getframe().f_back, False), self._sleep_thing(argument), value=ns)

    def soon(self, loop, callback, argument=None):
        known = self._turns[-1] if self._turns else None
        if known is not None and argument is not None and known.ref() is argument:
            known.waited_for = True
            if not known.settled and argument.done():
                self._over(loop, known, argument)
        task, wakes = step_of(callback)
        if task is None:
            return
        if wakes:
            self._woken(loop, task, argument, sys._getframe().f_back)
        elif asyncio.current_task(loop) is task:
            self._current(loop, sys._getframe().f_back)     # eager, and it yields
        elif id(task) not in self._tasks:
            self._created(loop, task, sys._getframe().f_back)

    def begins(self, loop, handle):
        self._turns.append(None)
        self._gathering = self._completed = 0
        self._callback = None
        callback, args = handle._callback, handle._args
        task, wakes = step_of(callback)
        if task is None or task.done():
            owner = type(getattr(callback, "__self__", None))
            if isinstance(handle, asyncio.TimerHandle):
                self._tell(loop, "TIMER", None,
                           self._sleep_thing(args[0]) if callback is WAKE_SLEEPER and args else None)
            elif owner.__module__.startswith("asyncio.") and task is None:
                self._callback = (1, None, plain(owner.__name__), SHARED, None, False, False, False)
            return
        known = self._know(task)
        self._turns[-1] = known
        known.settled = known.waited_for = known.held = False
        known.name = None
        self._tell(loop, "STEP", self._thing(task), value=known.begun)
        known.begun = True
        must = bool(task._must_cancel)
        cause = args[0] if wakes and args and isinstance(args[0], FUTURES) else None
        if must or (known.undelivered and cause is not None and is_canceled(cause)):
            known.undelivered = False
            known.asked = task.cancelling()
            link, _ = innermost(known.chain)
            self._tell(loop, "CANCELED", self._thing(task), where=at(link.code, link.line) if link else "")

    def ended(self, loop):
        self._callback = None
        known = self._turns.pop() if self._turns else None
        if known is not None:
            known.held = not known.waited_for and references(known.ref) > ALONE
            task = known.ref()
            if task is not None:
                self._settle(loop, known, task)

    def _settle(self, loop, known, task):
        """Its turn is over: what did it lead to?"""
        if known.settled:
            pass
        elif task.done():
            self._over(loop, known, task)
        else:
            self._suspended(loop, known, task, task._fut_waiter)
        known.asked = min(known.asked, task.cancelling())

    # ---- creating ----

    def _create_task(self, loop_ref, *args, **keywords):
        loop, frame = loop_ref(), sys._getframe().f_back
        try:
            by = self._current(loop, frame)
        except Exception as problem:
            self._failed(loop, problem)
        task = type(loop).create_task(loop, *args, **keywords)
        try:
            if isinstance(task, TASKS) and not self._is_off:
                if id(task) not in self._tasks:
                    self._know(task, args[0] if args else keywords.get("coro"))
                    self._create(loop, by, task, frame, True)
                known = self._know(task)
                if known.begun and known not in self._turns:
                    self._settle(loop, known, task)
                if known in self._eager:
                    self._eager.remove(known)
                known.name = None
        except Exception as problem:
            self._failed(loop, problem)
        return task

    def _failed(self, loop, problem):
        self.off(loop)
        sys.unraisablehook(types.SimpleNamespace(exc_type=type(problem), exc_value=problem, object=self,
                                                 exc_traceback=problem.__traceback__, err_msg=None))

    def _created(self, loop, task, frame):
        if self._running:
            self._create(loop, self._current(loop, frame), task, frame)
        else:
            self._unborn.append((self._know(task).ref, site(callers(frame)[0])))

    def _create(self, loop, by, task, frame, eager=False):
        user, passed = callers(frame)
        known = self._know(task)
        known.begun = eager
        for f in passed:
            if f.f_code is GATHER:
                self._gather(loop, by, f)
            elif f.f_code.co_name == "create_task":
                known.name = f.f_locals.get("name")
        self._tell(loop, "CREATED", by if by is not self._callback else None, self._thing(task), site(user), eager)

    # ---- waiting ----

    def _suspended(self, loop, known, task, future):
        known.settled = True
        chain = chain_of(task)
        thing = self._thing(task)
        self._tell_calls(loop, known, thing, chain)
        link, below = innermost(chain)
        where = at(link.code, link.line) if link else ""
        known.ahead = []
        if chain and chain[0].of_program:
            known.ahead = self._fetched(chain[0], chain[0].position, None)
        if future is None:
            self._tell(loop, "WAITS", thing, NOTHING, where)
            return
        if isinstance(future, TASKS):
            self._ask(loop, future, thing)
        what = self._future_thing(future, below)
        known.waits = (what[0], what[2], what[3])
        self._tell(loop, "WAITS", thing, what, where)

    def _tell_calls(self, loop, known, thing, chain):
        """Which coroutines returned in this turn, what they fetched, and which were called."""
        before, same = known.chain, 0
        while same < min(len(before), len(chain)) and before[same].is_same(chain[same]):
            same += 1
        self._tell_returns(loop, before, same)
        for i, link in enumerate(chain):
            if not link.of_program:
                continue
            if i >= same and i > 0:
                above, _ = innermost(chain[:i])
                self._tell(loop, "INLINE", thing, link.thing(), at(above.code, above.line) if above else "")
            begin = before[i].position if i < same else -1
            if begin < link.position:
                self._tell_fetched(loop, thing, self._fetched(link, begin, link.position))
        known.chain = [old if new.ref is None else new for old, new in zip(before[:same], chain)] + chain[same:]

    def _tell_returns(self, loop, chain, same, status=0, failure=None, codes=()):
        """Those above are over. Whether they returned is only known where a failure would not have been caught."""
        for i in range(len(chain) - 1, max(same, 1) - 1, -1):
            if not chain[i].of_program:
                continue
            above, _ = innermost(chain[:i])
            failed = bool(status) and chain[i].code in codes
            caught = not failed and any(link.is_guarded for link in chain[max(same - 1, 0):i])
            self._tell(loop, "RETURNED", None, chain[i].thing(above.name if above else None), "", caught,
                       status if failed else 0, failure if failed else None)

    def _fetched(self, link, begin, end):
        """What was fetched between these positions, and where; end None: what will be, if it only runs to its return."""
        return [(self._future_thing(x, []), at(link.code, line)) for x, line in fetched_between(link, begin, end)
                if end is None or x.done()]

    def _tell_fetched(self, loop, thing, fetched):
        for future, where in fetched:
            self._tell(loop, "FETCHED", thing, future, where)

    def _future_thing(self, future, below):
        """What a task waits for; below: the library's coroutines that it is in."""
        if isinstance(future, TASKS):
            return self._thing(future)
        canceled = isinstance(future, FUTURES) and is_canceled(future)
        role, kind = SHARED, "gather" if isinstance(future, tasks._GatheringFuture) else "future"
        if kind == "future" and below:
            role, kind = ITS_OWN, called(below)
        elif not isinstance(future, FUTURES):
            kind = type(future).__name__
        return (id(future), None, plain(kind), role, None, False, canceled, False)

    def _sleep_thing(self, future):
        return (id(future), None, "sleep", ITS_OWN, None, False, False, False)

    def _woken(self, loop, task, future, frame):
        known = self._know(task)
        if known.begun and not known.settled and known in self._turns:
            self._suspended(loop, known, task, future)      # while its turn is not over yet: it is done already
        by = self._current(loop, frame)
        what = self._future_thing(future, [])
        if what[1] is None and known.waits[0] == what[0]:
            what = (*what[:2], *known.waits[1:], *what[4:])
        if what[1] is None and isinstance(future, FUTURES) and self._completed != id(future):
            self._completed = id(future)
            status, failure = status_of(future)
            if status != -errno.ECANCELED or what[2] == "gather":
                self._tell(loop, "DONE", by, what, "", 0, status, failure)
        if isinstance(future, FUTURES) and is_canceled(future):
            self._ask(loop, task, by)
        self._tell(loop, "WOKEN", self._thing(task), what)

    # ---- the end ----

    def _over(self, loop, known, task):
        known.settled = True
        status, failure = status_of(task)
        codes, exception = set(), task._exception
        traceback = exception.__traceback__ if exception is not None else None
        while traceback is not None:
            codes.add(traceback.tb_frame.f_code)
            traceback = traceback.tb_next
        if status == -errno.ECANCELED:      # what it went through is not kept
            codes = {link.code for link in known.chain}
        self._tell_returns(loop, known.chain, 0, status, failure, codes)
        if not status:
            self._tell_fetched(loop, self._thing(task), known.ahead)
        known.chain, known.ahead = [], []
        self._tell(loop, "DONE", None, self._thing(task, known.held), "", 0, status, failure)

    def _ask(self, loop, task, by):
        """Was it asked to cancel? Then those that wait for it were, before."""
        known = self._know(task)
        if task.cancelling() > known.asked:
            known.asked = task.cancelling()
            known.undelivered = True
            for waiter in waiters_of(task):
                self._ask(loop, waiter, by)
            self._tell(loop, "CANCEL", self._thing(task), by)
