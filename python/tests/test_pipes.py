"""Pipes and subprocesses, where they could differ from asyncio's."""
import asyncio
import contextlib
import fcntl
import gc
import hashlib
import os
import pty
import signal
import socket
import sys
import tempfile
import threading
import tty
import unittest
import weakref

import evenloop
from support import LoopTest, turns, until

# What a child does, in Python; -S and -E, so that it begins quickly.
PYTHON = [sys.executable, "-S", "-E", "-c"]


class Recorder(asyncio.Protocol):
    """Writes down each call; what came in one after the other is one entry."""

    def __init__(self, log=None, name=""):
        self.log, self.name = [] if log is None else log, name
        self.data, self.sizes = bytearray(), []
        self.lost = asyncio.get_running_loop().create_future()

    def note(self, what, *args):
        self.log.append((self.name + what, *args))

    def connection_made(self, transport):
        self.transport = transport
        self.note("connection_made")

    def data_received(self, data):
        self.data += data
        self.sizes.append(len(data))
        if self.log and self.log[-1][0] == self.name + "data_received":
            data = self.log.pop()[1] + data
        self.note("data_received", bytes(data))

    def eof_received(self):
        self.note("eof_received")

    def pause_writing(self):
        self.note("pause_writing")

    def resume_writing(self):
        self.note("resume_writing")

    def connection_lost(self, exc):
        # a BrokenPipeError has an errno if it was the write that told of it
        self.note("connection_lost", type(exc), None if isinstance(exc, BrokenPipeError) else getattr(exc, "errno", None))
        self.lost.set_result(exc)


class File:
    """A pipe's end, which tells how often it was closed."""

    def __init__(self, fd, mode):
        self.file, self.fd, self.closed = open(fd, mode, 0), fd, 0

    def fileno(self):
        return self.fd

    def close(self):
        self.closed += 1
        self.file.close()


class Pipes(LoopTest):
    async def connected(self, read=Recorder, write=Recorder):
        """A pipe of which both ends are transports: ((transport, protocol), (transport, protocol))."""
        r, w = os.pipe()
        loop = asyncio.get_running_loop()
        return await loop.connect_read_pipe(read, File(r, "rb")), await loop.connect_write_pipe(write, File(w, "wb"))

    async def reader(self, make=Recorder):
        r, w = os.pipe()
        transport, protocol = await asyncio.get_running_loop().connect_read_pipe(make, File(r, "rb"))
        return transport, protocol, w

    def test_they_are_what_asyncio_has(self):
        async def program():
            (reader, rp), (writer, wp) = await self.connected()
            self.assertIsInstance(reader, asyncio.ReadTransport)
            self.assertNotIsInstance(reader, asyncio.WriteTransport)
            self.assertIsInstance(writer, asyncio.WriteTransport)
            self.assertIsInstance(writer, asyncio.transports._FlowControlMixin)
            self.assertIsInstance(reader.get_extra_info("pipe"), File)
            self.assertEqual(writer.get_write_buffer_limits(), (16384, 65536))
            self.assertRegex(repr(reader), r"^<ReadPipeTransport fd=\d+ polling>$")
            self.assertRegex(repr(writer), r"^<WritePipeTransport fd=\d+ idle bufsize=0>$")
            self.assertTrue(reader.is_reading())
            for wrong in ("text", 1, None, [b"x"]):
                with self.assertRaises(TypeError):
                    writer.write(wrong)
            writer.close()
            self.assertRegex(repr(writer), r"^<WritePipeTransport closing fd=\d+ ")
            await rp.lost
            self.assertRegex(repr(reader), r"^<ReadPipeTransport closed fd=\d+ closed>$")
            self.assertFalse(reader.is_reading())
        self.on_both(program)

    def test_ten_megabytes_from_one_to_the_other(self):
        async def program():
            class Writer(Recorder):
                def __init__(self):
                    super().__init__()
                    self.may = asyncio.Event()
                    self.may.set()

                def pause_writing(self):
                    super().pause_writing()
                    self.may.clear()

                def resume_writing(self):
                    super().resume_writing()
                    self.may.set()

            (reader, rp), (writer, wp) = await self.connected(write=Writer)
            data, sent = os.urandom(10 << 20), 0
            for size in [1, 4095, 4096, 4097, 65536, 100_000, 3 << 20, 10 << 20]:
                await wp.may.wait()
                writer.write(data[sent:sent + size])
                sent += size
            writer.close()
            await rp.lost
            self.assertEqual(hashlib.sha256(rp.data).digest(), hashlib.sha256(data).digest())
            calls = [entry[0] for entry in wp.log]
            self.assertEqual(calls[1:-1], ["pause_writing", "resume_writing"] * (len(calls) // 2 - 1))
            self.assertGreater(len(calls), 3)
        self.on_both(program)

    def test_what_one_turn_writes_arrives_as_one(self):
        async def program():
            (reader, rp), (writer, wp) = await self.connected()
            for i in range(1000):
                writer.write(b"%d," % i)
            await until(lambda: rp.data)
            self.assertEqual(rp.sizes, [len(b"".join(b"%d," % i for i in range(1000)))])
            writer.close()
            await rp.lost
        self.on_both(program)

    def test_much_comes_in_large_parts(self):
        async def program():
            transport, protocol, w = await self.reader()
            fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 20)
            transport.pause_reading()
            data = os.urandom(300_000)
            self.assertEqual(os.write(w, data), len(data))
            transport.resume_reading()
            await until(lambda: len(protocol.data) == len(data))
            self.assertEqual(bytes(protocol.data), data)
            self.assertEqual(protocol.sizes[0], 256 * 1024)
            os.close(w)
            await protocol.lost
        self.on_both(program)

    def test_a_read_that_is_cancelled_loses_nothing(self):
        async def program():
            transport, protocol, w = await self.reader()
            sent = bytearray()
            for i in range(300):
                piece = bytes([i % 251]) * (5000 if i % 3 == 0 else 3)
                if i % 2:
                    await asyncio.sleep(0)      # the read that stands is in the kernel, or it is not yet
                os.write(w, piece)
                sent += piece
                transport.pause_reading()
                if i % 5 == 0:
                    before = len(protocol.data)
                    await turns(2)
                    self.assertEqual(len(protocol.data), before)
                transport.resume_reading()
                await until(lambda: len(protocol.data) == len(sent))
            self.assertEqual(protocol.data, sent)
            os.close(w)
            await protocol.lost
        self.on_both(program)

    def test_what_was_read_before_a_pause_is_kept(self):
        """Two pipes have something in the same pass: whichever comes first pauses the other, whose read is over."""
        class Pauses(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if data != b"begin":
                    self.other.pause_reading()

        async def program():
            for end in (False, True):
                one, two = await self.reader(Pauses), await self.reader(Pauses)
                one[1].other, two[1].other = two[0], one[0]
                for _, protocol, w in (one, two):
                    os.write(w, b"begin")
                    await until(lambda: protocol.data == b"begin")
                await turns()
                data = b"x" * 6000
                for _, _, w in (one, two):
                    os.write(w, data)
                    if end:
                        os.close(w)
                await turns()
                late = next(p for t, p, w in (one, two) if not t.is_reading() and not t.is_closing())
                self.assertEqual(late.data, b"begin")
                late.transport.resume_reading()
                await until(lambda: one[1].data == two[1].data == b"begin" + data)
                for transport, protocol, w in (one, two):
                    transport.resume_reading()
                    if not end:
                        os.close(w)
                    await protocol.lost
        self.on_both(program)

    def test_a_paused_pipe_is_left_to_whoever_reads_it(self):
        async def program():
            transport, protocol, w = await self.reader()
            os.write(w, b"for us")
            await until(lambda: protocol.data)
            await turns()
            transport.pause_reading()
            await turns()
            os.write(w, b"for another one")
            await turns()
            self.assertEqual(os.read(transport.get_extra_info("pipe").fileno(), 100), b"for another one")
            transport.close()
            await protocol.lost
            os.close(w)
        self.on_both(program)

    def test_paused_before_it_began(self):
        class Paused(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.pause_reading()

        async def program():
            r, w = os.pipe()
            os.write(w, b"early")
            transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Paused, File(r, "rb"))
            await turns()
            self.assertEqual(protocol.data, b"")
            transport.resume_reading()
            await until(lambda: protocol.data == b"early")
            os.close(w)
            await protocol.lost
        self.on_both(program)

    def test_messages_stay_what_they_are(self):
        async def program():
            for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                a, b = socket.socketpair(socket.AF_UNIX, kind)
                loop = asyncio.get_running_loop()
                writer, wp = await loop.connect_write_pipe(Recorder, a)
                reader, rp = await loop.connect_read_pipe(Recorder, b)
                for size in (1, 5000, 70_000, 2):
                    writer.write(b"m" * size)
                await until(lambda: len(rp.sizes) == 4)
                self.assertEqual(rp.sizes, [1, 5000, 70_000, 2])
                writer.close()
                reader.close()
                await wp.lost
                await rp.lost
            r, w = os.pipe2(os.O_DIRECT)
            reader, rp = await loop.connect_read_pipe(Recorder, File(r, "rb"))
            writer, wp = await loop.connect_write_pipe(Recorder, File(w, "wb"))
            writer.write(b"one")
            writer.write(b"two")
            writer.close()
            await rp.lost
            self.assertEqual(rp.sizes, [3, 3])
        self.on_both(program)

    def test_a_named_pipe_may_wait_for_its_writer(self):
        async def program():
            with tempfile.TemporaryDirectory() as folder:
                name = folder + "/pipe"
                os.mkfifo(name)
                loop = asyncio.get_running_loop()
                file = File(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb")
                reader, rp = await loop.connect_read_pipe(Recorder, file)
                await turns()
                self.assertEqual(rp.log, [("connection_made",)])
                writer, wp = await loop.connect_write_pipe(Recorder, File(os.open(name, os.O_WRONLY), "wb"))
                await turns()
                writer.write(b"x" * 200_000)
                await until(lambda: len(rp.data) == 200_000)
                writer.close()
                await rp.lost
                self.assertEqual([entry[0] for entry in rp.log][2:], ["eof_received", "connection_lost"])
        self.on_both(program)

    def test_a_terminal_echoes_both_ways(self):
        async def program():
            master, slave = pty.openpty()
            tty.setraw(slave)
            loop = asyncio.get_running_loop()
            ours = [await loop.connect_read_pipe(Recorder, File(master, "rb")),
                    await loop.connect_write_pipe(Recorder, File(os.dup(master), "wb"))]
            theirs = [await loop.connect_read_pipe(Recorder, File(slave, "rb")),
                      await loop.connect_write_pipe(Recorder, File(os.dup(slave), "wb"))]
            theirs[0][1].data_received = theirs[1][0].write
            data = bytes(range(256)) * 400          # more than a terminal keeps
            ours[1][0].write(data)
            await until(lambda: len(ours[0][1].data) == len(data))
            self.assertEqual(bytes(ours[0][1].data), data)
            for transport, protocol in theirs + ours:
                transport.close()
                self.assertIsNone(await protocol.lost)
        self.on_both(program)

    def test_devices_that_end_and_that_do_not(self):
        class Once(Recorder):
            def data_received(self, data):
                super().data_received(data)
                self.transport.pause_reading()

        async def program():
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.connect_read_pipe(Recorder, File(os.open("/dev/null", os.O_RDONLY), "rb"))
            self.assertIsNone(await protocol.lost)
            self.assertEqual([entry[0] for entry in protocol.log], ["connection_made", "eof_received", "connection_lost"])
            transport, protocol = await loop.connect_read_pipe(Once, File(os.open("/dev/zero", os.O_RDONLY), "rb"))
            await until(lambda: protocol.data)
            await turns()
            self.assertEqual(protocol.sizes, [256 * 1024])
            transport.close()
            await protocol.lost
        self.on_both(program)

    def test_it_may_be_watched_besides(self):
        """A device that is read by add_reader() and written to as a pipe."""
        async def program():
            master, slave = pty.openpty()
            tty.setraw(slave)
            loop, got = asyncio.get_running_loop(), bytearray()
            os.set_blocking(master, False)
            loop.add_reader(master, lambda: got.extend(os.read(master, 100)))
            transport, protocol = await loop.connect_write_pipe(Recorder, File(master, "wb"))
            os.write(slave, b"to us")
            transport.write(b"to them")
            await until(lambda: got == b"to us")
            self.assertEqual(os.read(slave, 100), b"to them")
            self.assertTrue(loop.remove_reader(master))
            transport.close()
            await protocol.lost
            os.close(slave)
        self.on_both(program)

    def test_a_number_that_was_another_pipe(self):
        async def program():
            for _ in range(20):         # the kernel gives the same numbers again
                (reader, rp), (writer, wp) = await self.connected()
                writer.write(b"x")
                await until(lambda: rp.data)
                reader.close()
                await wp.lost
                await rp.lost
        self.on_both(program)

    def test_between_two_runs_a_write_goes_out_at_once(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                loop = evenloop.Loop(backend=backend)
                r, w = os.pipe()
                os.set_blocking(r, False)

                async def begin():
                    writer, protocol = await loop.connect_write_pipe(Recorder, File(w, "wb"))
                    writer.write(b"before the end of a run, ")
                    return writer, protocol

                writer, protocol = loop.run_until_complete(begin())
                self.assertEqual(os.read(r, 100), b"before the end of a run, ")
                writer.write(b"after it, ")
                self.assertEqual(os.read(r, 100), b"after it, ")
                writer.write(b"and ")
                writer.close()
                self.assertEqual(os.read(r, 100), b"and ")
                loop.run_until_complete(protocol.lost)
                self.assertEqual(os.read(r, 100), b"")
                loop.close()
                os.close(r)

    def test_a_loop_that_is_closed_over_its_pipes(self):
        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                loop = evenloop.Loop(backend=backend)
                (reader, rp), (writer, wp) = loop.run_until_complete(self.connected())
                writer.write(bytes(1 << 20))
                loop.run_until_complete(asyncio.sleep(0))
                files = [transport.get_extra_info("pipe") for transport in (reader, writer)]
                loop.close()
                self.assertRegex(repr(reader), "open")
                with self.assertRaisesRegex(RuntimeError, "closed"):
                    writer.write(b"x")
                reader.pause_reading()
                reader.resume_reading()
                with self.assertWarns(ResourceWarning):
                    del reader, rp
                    gc.collect()
                with self.assertWarns(ResourceWarning):
                    del writer, wp
                    gc.collect()
                self.assertEqual([file.closed for file in files], [1, 1])

    def test_one_that_is_forgotten_while_it_is_paused_is_closed(self):
        async def program():
            transport, protocol, w = await self.reader()
            transport.itself, file, gone = transport, transport.get_extra_info("pipe"), weakref.ref(transport)
            transport.pause_reading()
            await turns()
            del transport, protocol.transport
            with self.assertWarns(ResourceWarning):
                gc.collect()
            gc.collect()      # since 3.15 what a warning is of goes with the warning, not before
            self.assertIsNone(gone())
            self.assertEqual(file.closed, 1)
            os.close(w)
        self.on_both(program)

    def test_an_exit_leaves_the_run_and_the_next_one_goes_on(self):
        class Leaves(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if data == b"leave":
                    raise SystemExit(3)

        for backend in ("uring", "epoll"):
            with self.subTest(backend):
                loop = evenloop.Loop(backend=backend)
                transport, protocol, w = loop.run_until_complete(self.reader(Leaves))
                loop.call_soon(os.write, w, b"leave")
                with self.assertRaises(SystemExit):
                    loop.run_forever()
                os.write(w, b"go on")
                loop.run_until_complete(until(lambda: protocol.data == b"leavego on"))
                os.close(w)
                self.assertIsNone(loop.run_until_complete(protocol.lost))
                loop.close()

    def test_another_thread(self):
        """It must not; what it does is done all the same, or refused."""
        async def program():
            (reader, rp), (writer, wp) = await self.connected()
            refused = []

            def meddle():
                reader.pause_reading()
                try:
                    writer.write(b"x")
                except RuntimeError as exc:
                    refused.append(exc)
                reader.resume_reading()
                writer.close()

            thread = threading.Timer(0.05, meddle)
            thread.start()
            await rp.lost
            await wp.lost
            thread.join()
            self.assertEqual(len(refused), 1)
        self.on_both(program)

    def test_a_write_end_that_ends_in_many_ways_is_closed_once(self):
        async def program():
            for end in ("abort", "close"):
                r, w = os.pipe()
                file = File(w, "wb")
                writer, protocol = await asyncio.get_running_loop().connect_write_pipe(Recorder, file)
                await turns()
                writer.write(bytes(1 << 20))
                await turns()
                os.close(r)
                getattr(writer, end)()
                writer.abort()
                writer.abort()
                await protocol.lost
                await turns()
                writer.abort()
                writer.close()
                self.assertEqual(file.closed, 1)
                self.assertEqual([entry[0] for entry in protocol.log if "lost" in entry[0]], ["connection_lost"])
        self.on_both(program)


class Children(LoopTest):
    def test_five_megabytes_in_and_out(self):
        async def program():
            data = os.urandom(5 << 20)
            child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            out, err = await child.communicate(data)
            self.assertEqual(hashlib.sha256(out).digest(), hashlib.sha256(data).digest())
            self.assertIsNone(err)
            self.assertEqual(child.returncode, 0)
        self.on_both(program)

    def test_all_three_at_once(self):
        async def program():
            code = ("import sys; data = sys.stdin.buffer.read(); sys.stderr.buffer.write(data[::-1]);"
                    "sys.stdout.buffer.write(data)")
            data = bytes(range(256)) * 4000
            child = await asyncio.create_subprocess_exec(*PYTHON, code, stdin=-1, stdout=-1, stderr=-1)
            self.assertEqual(await child.communicate(data), (data, data[::-1]))
        self.on_both(program)

    def test_killed_while_it_is_read_and_written(self):
        async def program():
            child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            child.stdin.write(b"hello")
            self.assertEqual(await child.stdout.readexactly(5), b"hello")
            reading = asyncio.ensure_future(child.stdout.read())
            child.send_signal(signal.SIGSTOP)
            child.stdin.write(bytes(1 << 20))
            await turns()
            child.kill()
            self.assertEqual(await reading, b"")
            self.assertEqual(await child.wait(), -signal.SIGKILL)
            with self.assertRaises((BrokenPipeError, ConnectionResetError)):
                while True:
                    child.stdin.write(b"x")
                    await child.stdin.drain()
                    await asyncio.sleep(0.001)
            with self.assertRaises(BrokenPipeError):
                await child.stdin.wait_closed()
        self.on_both(program)

    def test_a_child_that_does_not_read(self):
        async def program():
            child = await asyncio.create_subprocess_exec("true", stdin=-1, stdout=-1)
            self.assertEqual(await child.communicate(bytes(1 << 20)), (b"", None))
            with contextlib.suppress(BrokenPipeError):      # it may have gone before anything was written
                await child.stdin.wait_closed()
            self.assertEqual(child.returncode, 0)
        self.on_both(program)

    def test_a_line_for_a_line(self):
        async def program():
            child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            for i in range(200):
                child.stdin.write(b"line ")
                child.stdin.write(b"%d\n" % i)
                self.assertEqual(await child.stdout.readline(), b"line %d\n" % i)
            child.stdin.close()
            self.assertEqual(await child.stdout.read(), b"")
            self.assertEqual(await child.wait(), 0)
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
