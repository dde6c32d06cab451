"""The limit: the protocol echo on a bare extension, bench/limit/bare: bare_server.py FOLDER uring|epoll HOST PORT.

FOLDER has the module, put there by build()."""
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import sysconfig

SOURCES = pathlib.Path(__file__).resolve().parent.parent.parent / "bench" / "limit" / "bare"


def build(folder):
    """None, or why not."""
    include = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(include, "Python.h")):
        return "Python's headers are not installed"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    uring = subprocess.run(["pkg-config", "--cflags", "--libs", "liburing >= 2.3"], capture_output=True, text=True)
    names, more = ["bare.c", "epoll.c"], []
    if uring.returncode == 0:
        names.append("uring.c")
        more = ["-DBARE_URING", *uring.stdout.split()]
    target = os.path.join(folder, "bare" + sysconfig.get_config_var("EXT_SUFFIX"))
    done = subprocess.run([*compiler, "-O2", "-std=gnu17", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-fPIC", "-shared",
                           "-fvisibility=hidden", f"-I{include}", *(str(SOURCES / name) for name in names), *more,
                           "-o", target], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import bare
    from server import Echo, many_files

    many_files()
    with socket.create_server((sys.argv[3], int(sys.argv[4])), backlog=1024) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)      # inherited by what it accepts
        bare.serve(listener.fileno(), Echo, sys.argv[2])
