"""The limit: the protocol echo on a bare extension, bench/limit/bare: bare_server.py FOLDER multishot|single|epoll HOST PORT.

FOLDER has the module, put there by build()."""
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig

SOURCES = pathlib.Path(__file__).resolve().parent.parent.parent / "bench" / "limit" / "bare"


def build(folder):
    """The backends it has. FileNotFoundError: something is not installed; RuntimeError: the compiler's complaint."""
    include = sysconfig.get_path("include")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for what, there in (("a C compiler", shutil.which(compiler[0])), ("pkg-config", shutil.which("pkg-config")),
                        ("Python's headers", os.path.exists(os.path.join(include, "Python.h")))):
        if not there:
            raise FileNotFoundError(what)
    backends, sources, more = ["epoll"], ["bare.c", "epoll.c"], []
    uring = subprocess.run(["pkg-config", "--cflags", "--libs", "liburing >= 2.3"], capture_output=True, text=True)
    if uring.returncode == 0:
        backends += ["multishot", "single"]
        sources.append("uring.c")
        more = ["-DBARE_URING", *uring.stdout.split()]
    target = os.path.join(folder, "bare" + sysconfig.get_config_var("EXT_SUFFIX"))
    done = subprocess.run([*compiler, "-O2", "-std=gnu17", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-fPIC", "-shared",
                           "-fvisibility=hidden", f"-I{include}", *(str(SOURCES / name) for name in sources), *more,
                           "-o", target], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return backends


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import bare
    from server import Echo, many_files

    many_files()
    with socket.create_server((sys.argv[3], int(sys.argv[4])), backlog=1024) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)      # inherited by what it accepts
        bare.serve(listener.fileno(), Echo, sys.argv[2])
