"""Tasks, futures and handles where they could differ from asyncio's."""
import asyncio
import contextvars
import gc
import socket
import unittest
import weakref

import evenloop
from support import LoopTest

variable = contextvars.ContextVar("variable", default=None)


class Calls(unittest.TestCase):
    def setUp(self):
        self.loop = evenloop.Loop()
        self.addCleanup(self.loop.close)

    def turn(self):
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def test_create_task_takes_what_asyncios_takes(self):
        async def what():
            return variable.get()

        context = contextvars.copy_context()
        context.run(variable.set, "inside")

        async def program():
            task = self.loop.create_task(what(), name="a name", context=context)
            self.assertEqual((type(task), task.get_name()), (asyncio.Task, "a name"))
            self.assertEqual(await task, "inside")
            self.assertIsNone(await self.loop.create_task(coro=what()))
            with self.assertRaises(TypeError):
                self.loop.create_task(what, name="no coroutine")
            coro = what()
            with self.assertRaises(TypeError):
                self.loop.create_task(coro, no_such=1)
            coro.close()
        self.loop.run_until_complete(program())

    def test_a_task_factory_is_asked(self):
        made = []

        def factory(loop, coro, **options):
            made.append(options)
            return asyncio.Task(coro, loop=loop, **options)

        async def nothing():
            pass

        self.loop.set_task_factory(factory)
        self.assertIs(self.loop.get_task_factory(), factory)
        self.loop.run_until_complete(nothing())
        self.assertEqual(len(made), 1)
        self.loop.set_task_factory(None)
        self.loop.run_until_complete(nothing())
        self.assertEqual(len(made), 1)

    def test_a_task_of_debug_mode_knows_where_it_was_made(self):
        async def nothing():
            pass

        self.loop.set_debug(True)

        async def program():
            task = self.loop.create_task(nothing())
            self.assertEqual(task._source_traceback[-1].name, "program")
            await task
        self.loop.run_until_complete(program())

    def test_a_closed_loop_makes_no_task(self):
        async def nothing():
            pass

        loop = evenloop.Loop()
        loop.close()
        coro = nothing()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            loop.create_task(coro)
        coro.close()

    def test_a_future_is_the_loops(self):
        future = self.loop.create_future()
        self.assertIs(type(future), asyncio.Future)
        self.assertIs(future.get_loop(), self.loop)

    def test_a_handle_has_nothing_of_the_one_before(self):
        called = []
        for make in (self.loop.call_soon, lambda f, *args: self.loop.call_later(0, f, *args)):
            for _ in range(3):                  # so that memory is used again
                handle = make(called.append, "never")
                handle.cancel()
                gone = weakref.ref(handle)
                del handle
                self.turn()
                self.assertIsNone(gone())
                handle = make(called.append, "once")
                self.assertFalse(handle.cancelled())
                self.assertIsInstance(handle, asyncio.Handle)
                while not called:
                    self.turn()
                self.assertEqual(called, ["once"])
                called.clear()

    def test_what_a_handle_held_is_let_go(self):
        class Thing:
            pass

        thing = Thing()
        gone = weakref.ref(thing)
        self.loop.call_soon(lambda thing: None, thing)
        del thing
        self.turn()
        self.assertIsNone(gone())

    def test_a_handle_that_outlives_its_loop(self):
        loop = evenloop.Loop()
        handle = loop.call_soon(print)
        timer = loop.call_later(60, print)
        loop.close()
        gone = weakref.ref(loop)
        del loop
        handle.cancel()
        timer.cancel()
        self.assertTrue(handle.cancelled() and timer.cancelled())
        del handle, timer
        gc.collect()
        self.assertIsNone(gone())


class Sockets(LoopTest):
    def pair(self):
        ours, theirs = socket.socketpair()
        for s in (ours, theirs):
            s.setblocking(False)
            self.addCleanup(s.close)
        return ours, theirs

    def test_a_receive_that_is_given_up_loses_nothing(self):
        async def program():
            loop = asyncio.get_running_loop()
            ours, theirs = self.pair()
            for _ in range(3):
                task = loop.create_task(loop.sock_recv(ours, 100))
                await asyncio.sleep(0)
                theirs.send(b"data")
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(await loop.sock_recv(ours, 100), b"data")
        self.on_both(program)

    def test_a_descriptor_that_a_transport_has(self):
        async def program():
            loop = asyncio.get_running_loop()
            ours, theirs = self.pair()
            task = loop.create_task(loop.sock_recv(ours, 100))      # before there is one
            await asyncio.sleep(0)
            theirs.send(b"x")
            await task
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            with self.assertRaisesRegex(RuntimeError, "used by transport"):
                await loop.sock_recv(ours, 100)
            transport.abort()
            await asyncio.sleep(0)
        self.on_both(program)

    def test_large_data_goes_both_ways(self):
        async def program():
            loop = asyncio.get_running_loop()
            ours, theirs = self.pair()
            data, got = bytes(range(256)) * 8000, bytearray()

            async def read():
                while part := await loop.sock_recv(theirs, 70000):
                    got.extend(part)
            reader = loop.create_task(read())
            await loop.sock_sendall(ours, bytearray(data))
            ours.close()
            await reader
            self.assertEqual(bytes(got), data)
        self.on_both(program)


if __name__ == "__main__":
    unittest.main()
