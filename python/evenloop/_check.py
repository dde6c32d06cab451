"""python -m evenloop --check: which event loops a program runs, in all its processes.

The program runs in a process of its own, so that it may end as it likes (by a signal, by os._exit()); this one passes
signals on to it, waits, and prints. What runs in the program is this same file, as `sitecustomize`, in a folder that
PYTHONPATH names: each Python that the program starts reads it before anything else, and what it forks has it already.
There it puts itself around asyncio._set_running_loop(), which every loop calls when it starts to run, whatever it is
written in; the first start of each loop is recorded at once, as a line of a file in that folder. A process that gets no
such environment (-E, -I, an empty one) is not heard of.

As `sitecustomize` it is read by every Python, at its start: it imports nothing that such a one has not got already.
"""
import os
import sys

FOLDER = "EVENLOOP_CHECK"       # in the environment: where this file and that of the records are


# ---- in the program ----

class Finder:
    """Stands before the other finders until somebody imports asyncio.events, and then has a look at it."""

    def find_spec(self, name, path=None, target=None):
        if name != "asyncio.events":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        loader = spec.loader
        execute = loader.exec_module

        def exec_module(module):
            del loader.exec_module
            execute(module)
            watch(module)

        loader.exec_module = exec_module
        return spec


def watch(events):
    """Record each loop that starts in this process from now on. Nobody but asyncio has a copy of the function yet."""
    import weakref
    set_running_loop = events._set_running_loop
    recorded = weakref.WeakSet()
    os.register_at_fork(after_in_child=recorded.clear)

    def _set_running_loop(loop):
        set_running_loop(loop)
        if loop is None:
            return
        try:
            if loop in recorded:
                return
            recorded.add(loop)
        except TypeError:           # one that no weak reference can be made to: each of its runs counts
            pass
        record(loop)

    for name in ("asyncio.events", "asyncio", "_asyncio"):
        module = sys.modules.get(name)
        if getattr(module, "_set_running_loop", None) is set_running_loop:
            module._set_running_loop = _set_running_loop


def record(loop):
    import threading
    kind, ours = type(loop), sys.modules.get("evenloop._loop")
    is_ours = ours is not None and isinstance(loop, ours.Loop)
    thread = " ".join(threading.current_thread().name.split())
    line = f"{is_ours:d} {os.getpid()} {kind.__module__}.{kind.__qualname__} {thread}\n"
    try:
        records = os.path.join(os.environ[FOLDER], "records")
        file = os.open(records, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(file, line.encode(errors="replace"))
        finally:
            os.close(file)
    except (OSError, KeyError):     # the program is over, and left this behind; or it has emptied its environment
        pass


def as_sitecustomize():
    """Watch; and be gone: the program finds its path and its own sitecustomize as it would without this one."""
    events = sys.modules.get("asyncio.events")
    if events is not None:          # a .pth file wanted it
        watch(events)
    else:
        sys.meta_path.insert(0, Finder())
    sys.path.remove(os.path.dirname(__file__))
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401      (if there is none, its ImportError is what `site` expects)


# ---- outside ----

# Those that a process is sent; the others are of its own making, or the terminal's for each process of a job.
NOT_PASSED_ON = {"SIGKILL", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGPIPE", "SIGSEGV",
                 "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"}


def run(arguments):
    """Run Python with these arguments, print which loops that ran, and give the exit status."""
    import shutil
    import tempfile
    folder = tempfile.mkdtemp(prefix="evenloop-")
    try:
        os.chmod(folder, 0o755)     # a worker may run as another user than the one who started it
        os.symlink(os.path.abspath(__file__), os.path.join(folder, "sitecustomize.py"))
        records = os.path.join(folder, "records")
        with open(records, "x"):
            os.chmod(records, 0o666)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        code = run_and_wait([sys.executable, *arguments], {**os.environ, FOLDER: folder, "PYTHONPATH": path})
        with open(records, errors="replace") as file:
            lines = file.readlines()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not print_records(lines):
        return 1
    if code < 0:
        die_by(-code)
    return code


def run_and_wait(command, environment):
    """The exit code of the command, negative if a signal ended it; what this process is sent meanwhile goes to it."""
    import signal
    passed_on = {number for number in signal.valid_signals()
                 if not (isinstance(number, signal.Signals) and number.name in NOT_PASSED_ON)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on | {signal.SIGCHLD})
    try:
        child = os.posix_spawn(command[0], command, environment, setsigmask=before)
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            told = signal.sigwaitinfo(passed_on | {signal.SIGCHLD})
            # A terminal's Ctrl-C went to every process of the job; when it hangs up it may tell the first one only.
            if told.si_signo != signal.SIGCHLD and (told.si_code <= 0 or told.si_signo == signal.SIGHUP):
                os.kill(child, told.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def print_records(lines):
    """Print them, those that are alike as one; whether all loops were evenloop's."""
    alike = {}
    for line in lines:
        alike[line] = alike.get(line, 0) + 1
    print("evenloop: the event loops that ran:" if lines else "evenloop: no event loop ran", file=sys.stderr)
    all_ours = True
    for line, times in alike.items():
        is_ours, process, kind, thread = line.rstrip("\n").split(" ", 3)
        times = f", {times} of them" if times > 1 else ""
        all_ours = all_ours and is_ours == "1"
        print(f"  {kind}  process {process}  thread {thread}{times}" + ("" if is_ours == "1" else "  (not evenloop's)"),
              file=sys.stderr)
    return all_ours


def die_by(number):
    """End as the program did."""
    import signal
    sys.stderr.flush()
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


if __name__ == "sitecustomize":
    as_sitecustomize()
