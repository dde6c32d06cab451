"""Pipes and subprocesses make the same calls as asyncio's, in the same order, with the same arguments: a table of scenarios,
run on asyncio's loop and on ours."""
import asyncio
import contextlib
import logging
import os
import pty
import socket
import tty
import unittest

from support import OURS, turns, until
from test_pipes import PYTHON, File, Recorder


class Case:
    """What a scenario has: pipes, and one record of all calls."""

    def __init__(self, stack):
        self.stack, self.log, self.told, self.files = stack, [], [], []
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda loop, context: self.told.append(type(context["exception"])))

    def pipe(self):
        read, write = os.pipe()
        return read, write

    def own(self, fd):
        """A file that the scenario's end closes."""
        file = os.fdopen(fd, "rb", 0)
        self.stack.callback(file.close)
        return file

    async def read_all(self, fd, left):
        """By a thread: what others see of a write."""
        file = self.own(fd)
        while left:
            left -= len(await self.loop.run_in_executor(None, file.read, min(left, 65536)))

    async def until_it_resumes(self):
        while ("w.resume_writing",) not in self.log:
            await asyncio.sleep(0)

    async def read(self, fd, make=Recorder, name="r."):
        file = File(fd, "rb")
        self.files.append(file)
        return await self.loop.connect_read_pipe(lambda: make(self.log, name), file)

    async def write(self, fd, make=Recorder, name="w."):
        file = File(fd, "wb")
        self.files.append(file)
        return await self.loop.connect_write_pipe(lambda: make(self.log, name), file)


# ---- the table ----------------------------------------------------------------------------------------------------------

async def data_then_the_end(case):
    r, w = case.pipe()
    transport, protocol = await case.read(r)
    os.write(w, b"one")
    await until(lambda: protocol.data == b"one")
    os.write(w, b"two" * 3000)
    os.close(w)
    await protocol.lost
    return transport.is_closing(), transport.get_protocol()


async def closed_in_data_received(case):
    class Once(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()
            self.transport.close()

    r, w = case.pipe()
    os.write(w, b"x" * 10)
    transport, protocol = await case.read(r, Once)
    await protocol.lost
    with contextlib.suppress(BrokenPipeError):
        os.write(w, b"y")
    await turns()
    transport.close()
    transport.pause_reading()
    transport.resume_reading()
    os.close(w)


async def closed_in_connection_made(case):
    class Never(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.close()

    r, w = case.pipe()
    os.write(w, b"nobody reads this")
    transport, protocol = await case.read(r, Never)
    await protocol.lost
    await turns()
    case.told.clear()       # asyncio watches a pipe that is closed already
    os.close(w)


async def paused_and_resumed(case):
    r, w = case.pipe()
    transport, protocol = await case.read(r)
    transport.pause_reading()
    transport.pause_reading()
    os.write(w, b"later")
    await turns()
    case.log.append("resumed")
    transport.resume_reading()
    transport.resume_reading()
    await until(lambda: protocol.data == b"later")
    transport.pause_reading()
    os.write(w, b", and the end")
    os.close(w)
    await turns()
    case.log.append("resumed again")
    transport.resume_reading()
    await protocol.lost


async def data_received_that_fails(case):
    class Bad(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if data == b"1":
                raise LookupError

    r, w = case.pipe()
    transport, protocol = await case.read(r, Bad)
    os.write(w, b"1")
    await until(lambda: case.told)
    os.write(w, b"2")
    await until(lambda: protocol.data == b"12")
    os.close(w)
    await protocol.lost


async def calls_that_fail_at_the_end(case):
    class Bad(Recorder):
        def eof_received(self):
            super().eof_received()
            raise LookupError

        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ArithmeticError

    r, w = case.pipe()
    transport, protocol = await case.read(r, Bad)
    os.close(w)
    await protocol.lost
    await turns()


async def another_protocol(case):
    r, w = case.pipe()
    transport, first = await case.read(r)
    os.write(w, b"first")
    await until(lambda: first.data)
    second = Recorder(case.log, "second.")
    transport.set_protocol(second)
    os.write(w, b"second")
    await until(lambda: second.data)
    os.close(w)
    await second.lost


async def a_terminal_that_hangs_up(case):
    master, slave = pty.openpty()
    tty.setraw(slave)
    transport, protocol = await case.read(master)
    os.write(slave, b"hello")
    await until(lambda: protocol.data == b"hello")
    os.close(slave)
    await protocol.lost


async def written_and_closed(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(b"bytes, ")
    transport.write(bytearray(b"an array, "))
    transport.writelines([b"lines, ", memoryview(b"memory")])
    transport.write(b"")
    transport.close()
    case.log.append(transport.is_closing())
    transport.close()
    transport.write(b"too late")
    await protocol.lost
    with case.own(r) as file:
        case.log.append(file.read())
    return transport.get_protocol(), transport.can_write_eof()


async def the_reader_goes(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    await turns()
    os.close(r)
    await protocol.lost
    for _ in range(8):
        transport.write(b"x")
    return transport._conn_lost


async def the_reader_goes_before_all_is_written(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(bytes(1 << 20))
    await turns()
    os.close(r)
    await protocol.lost
    return transport.get_write_buffer_size()


async def written_to_nobody(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    os.close(r)
    transport.write(b"x")
    await protocol.lost
    for _ in range(8):
        transport.write(b"x")


async def the_end_with_data_pending(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.set_write_buffer_limits(high=1 << 22)
    data = bytes(range(256)) * 4096
    transport.write(data)
    transport.write_eof()
    transport.write_eof()
    case.log.append(transport.is_closing())
    with case.own(r) as file:
        got = await case.loop.run_in_executor(None, file.read)
    await protocol.lost
    return got == data


async def aborted_with_data_pending(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(bytes(1 << 20))
    transport.abort()
    case.log.append(transport.get_write_buffer_size())
    await protocol.lost
    with case.own(r) as file:
        return len(file.read())


async def written_and_aborted(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(b"last words")
    transport.abort()
    await protocol.lost
    with case.own(r) as file:
        return file.read()


async def closed_then_aborted(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(bytes(1 << 20))
    transport.close()
    transport.abort()
    await protocol.lost
    case.own(r).close()


async def closed_then_the_reader_goes(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.write(bytes(1 << 20))
    transport.close()
    await turns()
    os.close(r)
    await protocol.lost


async def back_pressure(case):
    r, w = case.pipe()
    transport, protocol = await case.write(w)
    transport.set_write_buffer_limits(high=100_000, low=1000)
    transport.write(bytes(65536))           # what a pipe has room for
    for size in (50_000, 50_000, 1, 1):
        transport.write(bytes(size))
        case.log.append(size)
    case.log.append(transport.get_write_buffer_size())
    await case.read_all(r, 65536 + 100_002)
    await case.until_it_resumes()
    transport.close()
    await protocol.lost


async def pause_writing_that_fails(case):
    class Bad(Recorder):
        def pause_writing(self):
            super().pause_writing()
            raise LookupError

        def resume_writing(self):
            super().resume_writing()
            raise ArithmeticError

    r, w = case.pipe()
    transport, protocol = await case.write(w, Bad)
    transport.write(bytes(1 << 18))
    await case.read_all(r, 1 << 18)
    await case.until_it_resumes()
    transport.close()
    await protocol.lost


async def sockets(case):
    a, b = socket.socketpair()
    transport, protocol = await case.write(a.detach())
    b.setblocking(False)
    transport.write(b"question")
    case.log.append(await case.loop.sock_recv(b, 100))
    b.send(b"whoever writes does not read")
    await protocol.lost
    b.close()


async def a_socket_whose_peer_goes(case):
    a, b = socket.socketpair()
    c, d = socket.socketpair()
    transport, protocol = await case.write(a.detach())
    reader, other = await case.read(c.detach())
    d.send(b"bye")
    await until(lambda: other.data)
    b.close()
    d.close()
    await protocol.lost
    await other.lost
    case.log.sort(key=lambda entry: entry[0][:2])       # the one's and the other's


async def devices(case):
    transport, protocol = await case.write(os.open("/dev/null", os.O_WRONLY))
    transport.write(b"x" * 1000)
    await turns()
    transport.close()
    await protocol.lost
    transport, protocol = await case.write(os.open("/dev/full", os.O_WRONLY))
    transport.write(b"x")
    await protocol.lost


async def what_is_no_pipe(case):
    with open(__file__, "rb") as file:
        for connect in (case.loop.connect_read_pipe, case.loop.connect_write_pipe):
            try:
                await connect(Recorder, file)
            except ValueError as exc:
                case.log.append(str(exc))
        case.log.append(file.closed)


async def a_connect_that_is_cancelled(case):
    r, w = case.pipe()
    for connect, fd, mode in ((case.loop.connect_read_pipe, r, "rb"), (case.loop.connect_write_pipe, w, "wb")):
        file = File(fd, mode)
        case.files.append(file)
        protocol = Recorder(case.log)
        task = asyncio.ensure_future(connect(lambda: protocol, file))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await protocol.lost
        case.log.append(task.cancelled())


async def a_child(case):
    class Child(asyncio.SubprocessProtocol):
        def __init__(self):
            self.calls = {1: [], 2: [], None: []}
            self.over = case.loop.create_future()

        def connection_made(self, transport):
            self.calls[None].append("connection_made")

        def pipe_data_received(self, fd, data):
            if self.calls[fd]:
                data = self.calls[fd].pop() + data
            self.calls[fd].append(data)

        def pipe_connection_lost(self, fd, exc):
            self.calls.setdefault(fd, []).append(("lost", exc))

        def process_exited(self):
            self.calls[None].append("process_exited")

        def connection_lost(self, exc):
            self.calls[None].append(("connection_lost", exc))
            self.over.set_result(None)

    code = "import sys; data = sys.stdin.read(); print(data * 2); print(len(data), file=sys.stderr); sys.exit(3)"
    transport, protocol = await case.loop.subprocess_exec(Child, *PYTHON, code)
    stdin = transport.get_pipe_transport(0)
    stdin.write(b"abc" * 10_000)
    stdin.write_eof()
    await protocol.over
    transport.close()
    return protocol.calls, transport.get_returncode()


SCENARIOS = [value for value in list(globals().values())
             if asyncio.iscoroutinefunction(value) and value not in (turns, until)]


class Log(logging.Handler):
    """What is told at warning and above."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


class AsAsyncio(unittest.TestCase):
    def record(self, scenario, loop_factory, debug=False):
        async def program():
            with contextlib.ExitStack() as stack:
                case = Case(stack)
                result = await asyncio.wait_for(scenario(case), 5)
                await turns(2)
                return case.log, case.told, result, [file.closed for file in case.files]

        log = Log()
        logging.getLogger("asyncio").addHandler(log)
        self.addCleanup(logging.getLogger("asyncio").removeHandler, log)
        with asyncio.Runner(loop_factory=loop_factory, debug=debug) as runner:
            if debug:
                runner.get_loop().slow_callback_duration = 60
            result = runner.run(program())
        return (*result, "pipe closed by peer or os.write(pipe, data) raised exception." in log.lines)

    def test_the_same_calls_in_the_same_order(self):
        logger = logging.getLogger("asyncio")
        logger.propagate = False
        self.addCleanup(setattr, logger, "propagate", True)
        for scenario in SCENARIOS:
            wanted = self.record(scenario, asyncio.SelectorEventLoop)
            self.assertTrue(wanted[0] or wanted[2], "nothing was recorded")
            self.assertTrue(all(closed == 1 for closed in wanted[3]))
            for backend, make in OURS.items():
                for debug in (False, True):
                    with self.subTest(scenario=scenario.__name__, backend=backend, debug=debug):
                        self.assertEqual(self.record(scenario, make, debug), wanted)


if __name__ == "__main__":
    unittest.main()
