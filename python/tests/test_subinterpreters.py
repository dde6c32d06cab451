"""Interpreters of one process, each with a lock of its own: several at once import the package and run loops of it."""
import sys
import unittest

from support import python

PROGRAM = '''\
import faulthandler, os, sys, threading
faulthandler.dump_traceback_later(20, exit=True)

RUN = """
import asyncio, evenloop

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def main():
    loop = asyncio.get_running_loop()
    assert isinstance(loop, evenloop.Loop)
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    for _ in range(10):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for size in (1, 1000, 100000):
            writer.write(b"x" * size)
            assert await reader.readexactly(size) == b"x" * size
        writer.close()
        await writer.wait_closed()
    read, write = os.pipe()
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write, "wb", 0))
    transport.write(b"x")
    await asyncio.sleep(0.001)
    assert os.read(read, 10) == b"x"
    transport.close()
    os.close(read)
    endpoint, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    endpoint.sendto(b"x", endpoint.get_extra_info("sockname"))
    endpoint.close()
    server.close()
    await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(50)))
    await asyncio.sleep(0.001)

import os
for _ in range(3):
    with asyncio.Runner(loop_factory=evenloop.new_event_loop) as runner:
        runner.run(main())
os.write(%d, b".")
"""

try:
    from concurrent import interpreters
    def run(code):
        interpreter = interpreters.create()
        interpreter.exec(code)
        interpreter.close()
except ImportError:
    import _interpreters as interpreters
    def run(code):
        interpreter = interpreters.create()
        failed = interpreters.run_string(interpreter, code)
        if failed is not None:
            print(failed, file=sys.stderr)
        interpreters.destroy(interpreter)

told, tell = os.pipe()
for _ in range(3):
    threads = [threading.Thread(target=run, args=(RUN % tell,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    exec(RUN % tell) if sys.argv[1] == "too" else None      # the main one's, beside them
    for thread in threads:
        thread.join()
print(len(os.read(told, 100)))
'''


@unittest.skipIf(sys.version_info < (3, 13), "in 3.12 asyncio itself crashes here; before it, they have one lock")
class Subinterpreters(unittest.TestCase):
    def test_two_at_once(self):
        for backend in ("uring", "epoll"):
            for main in ("not", "too"):
                with self.subTest(backend, main=main):
                    done = python("-c", PROGRAM, main, EVENLOOP_BACKEND=backend)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertEqual(done.stdout, "6\n" if main == "not" else "9\n")


if __name__ == "__main__":
    unittest.main()
