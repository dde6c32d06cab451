"""Runs a suite in a network and a tree of processes of its own, of which it is the first: inside.py [--redis] -- COMMAND.

`unshare` has made both. Here the loop-back device comes up, the server starts that the tests talk to, and the suite runs as
a user without rights, which PostgreSQL insists on. As this process ends, the kernel ends all others; it does so, too, when
its input ends, which is a pipe from the one who started it.
"""
import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1


def loop_back_up():
    """Up, and with two addresses more, of those for documents: name resolution takes no notice of ::1 and 127.0.0.1 when it
    asks itself which kinds of address this machine has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags, = struct.unpack_from("h", request, 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
        address = struct.pack("=Hxx4s8x", socket.AF_INET, socket.inet_aton("192.0.2.1"))
        fcntl.ioctl(sock, SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", address))
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        address = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        fcntl.ioctl(sock, SIOCSIFADDR, struct.pack("=16sIi", address, 128, socket.if_nametoindex("lo")))


def names():
    """The names of this machine, in its files alone: those of some machines know no localhost of IPv6."""
    hosts = os.path.join(os.environ["HOME"], ".hosts")
    with open(hosts, "x") as file:
        file.write(f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost ip6-localhost ip6-loopback\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], stdin=subprocess.DEVNULL, check=True)


def as_user():
    """What makes a command one of a user without rights, who is in the list of users: `daemon` is in every one."""
    user = pwd.getpwnam("daemon")
    os.environ.update(USER=user.pw_name, LOGNAME=user.pw_name)
    return ["unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"]


def start_redis(prefix):
    """A server, and three sentinels that watch it: the ports are those that the suite takes for granted."""
    server = shutil.which("redis-server", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if server is None:
        sys.exit("there is no redis-server")
    folder = os.environ["TMPDIR"]
    texts = {6379: 'save ""\nenable-debug-command yes\n'}
    for port in (26379, 26380, 26381):
        texts[port] = "sentinel monitor redis-py-test 127.0.0.1 6379 2\n"
    for port, text in texts.items():
        home = os.path.join(folder, f"redis-{port}")
        os.mkdir(home)
        with open(f"{home}/redis.conf", "x") as file:
            file.write(f"port {port}\nbind 127.0.0.1 ::1\ndir {home}\nlogfile {home}/log\n{text}")
        options = [] if port == 6379 else ["--sentinel"]
        subprocess.Popen([*prefix, server, f"{home}/redis.conf", *options], stdin=subprocess.DEVNULL)
        wait_for(port)


def wait_for(port):
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                sys.exit(f"redis-server does not answer on port {port}")
            time.sleep(0.05)


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(1)


def main():
    where = sys.argv.index("--")
    options, command = sys.argv[1:where], sys.argv[where + 1:]
    loop_back_up()
    names()
    prefix = as_user()
    if "--redis" in options:
        start_redis(prefix)
    threading.Thread(target=end_with_input, daemon=True).start()
    suite = subprocess.Popen(prefix + command, stdin=subprocess.DEVNULL)
    while True:         # the first process is the parent of those that others left behind
        pid, status = os.waitpid(-1, 0)
        if pid == suite.pid:
            sys.exit(os.waitstatus_to_exitcode(status) & 255)


if __name__ == "__main__":
    main()
