"""The datagram transport: the same programs on asyncio's loop and on ours, with the same outcome."""
import asyncio
import contextvars
import errno
import gc
import os
import socket
import unittest
import weakref

import evenloop
from support import LOOPS, OURS, LoopTest, descriptors, no_collector

variable = contextvars.ContextVar("variable", default=None)


class Recorder(asyncio.DatagramProtocol):
    def __init__(self):
        self.got, self.errors, self.events = [], [], []
        self.lost = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")

    def datagram_received(self, data, addr):
        self.got.append((data, addr))
        self.news.set()

    def error_received(self, exc):
        self.errors.append(exc)
        self.news.set()

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, condition):
        while not condition():
            self.news.clear()
            await self.news.wait()

    async def datagrams(self, n):
        await self.until(lambda: len(self.got) >= n)
        return self.got


class Datagrams(LoopTest):
    def each(self, function, *args, loops=LOOPS):
        """On each loop; what it opened is closed."""
        async def whole(*args):
            self.opened = []
            try:
                await function(*args)
            finally:
                for transport in self.opened:
                    if not transport.is_closing():
                        transport.abort()
                for _ in range(3):
                    await asyncio.sleep(0)
                self.opened = []

        self.on_each(loops, whole, *args)

    async def endpoint(self, factory=Recorder, **options):
        options = options or {"local_addr": ("127.0.0.1", 0)}
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(factory, **options)
        self.opened.append(transport)
        return transport, protocol

    async def pair(self):
        """Of Unix sockets, whose sender waits while the receiver has enough; named, as asyncio wants its peers."""
        ours, theirs = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        for one in (ours, theirs):
            one.bind("")
            one.setblocking(False)
        ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
        self.addCleanup(theirs.close)
        transport, protocol = await self.endpoint(sock=ours)
        return transport, protocol, theirs

    def test_it_is_one_of_asyncios_and_ours(self):
        async def program():
            transport, protocol = await self.endpoint()
            self.assertIsInstance(transport, asyncio.DatagramTransport)
            self.assertIsInstance(transport, asyncio.transports._FlowControlMixin)
            self.assertEqual(type(transport).__module__, "evenloop._datagram")
            self.assertIn("read=polling", repr(transport))
            transport.close()
            await protocol.lost

        self.each(program, loops=OURS)

    def test_each_datagram_comes_once_with_its_sender(self):
        async def program(host):
            here, one = await self.endpoint(local_addr=(host, 0))
            there, other = await self.endpoint(local_addr=(host, 0))
            to_there, to_here = there.get_extra_info("sockname"), here.get_extra_info("sockname")
            for data in (b"one", bytearray(b"two"), memoryview(b"three")):
                here.sendto(data, to_there)
            here.sendto(data=b"four", addr=to_there)
            self.assertEqual(await other.datagrams(4), [(data, to_here) for data in (b"one", b"two", b"three", b"four")])
            for data, sender in other.got:      # as it came
                there.sendto(data, sender)
            there.sendto(b"by name", ("localhost" if host == "127.0.0.1" else host, to_here[1]))
            self.assertEqual([data for data, _ in await one.datagrams(5)], [b"one", b"two", b"three", b"four", b"by name"])
            self.assertEqual({sender for _, sender in one.got}, {to_there})
            large = os.urandom(65000)
            here.sendto(large, to_there)
            self.assertEqual((await other.datagrams(5))[4], (large, to_here))

        self.each(program, "127.0.0.1")
        if socket.has_ipv6:
            self.each(program, "::1")

    def test_several_senders_are_told_apart(self):
        async def program():
            here, one = await self.endpoint()
            others = [(await self.endpoint())[0] for _ in range(3)]
            names = [other.get_extra_info("sockname") for other in others]
            for i in range(9):
                others[i % 3].sendto(b"%d" % i, here.get_extra_info("sockname"))
            got = await one.datagrams(9)
            self.assertEqual(sorted(got), [(b"%d" % i, names[i % 3]) for i in range(9)])

        self.each(program)

    def test_a_connected_one_has_one_peer(self):
        async def program():
            there, other = await self.endpoint()
            name = there.get_extra_info("sockname")
            here, one = await self.endpoint(remote_addr=name)
            here.sendto(b"one")
            here.sendto(b"two", None)
            here.sendto(b"three", name)
            with self.assertRaises(ValueError):
                here.sendto(b"four", ("127.0.0.1", 9))
            self.assertEqual([data for data, _ in await other.datagrams(3)], [b"one", b"two", b"three"])
            there.sendto(b"back", here.get_extra_info("sockname"))
            self.assertEqual(await one.datagrams(1), [(b"back", name)])
            with self.assertRaises(TypeError):
                here.sendto("text")

        self.each(program)

    def test_a_refusal_is_told_and_it_goes_on(self):
        async def program():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
                nobody.bind(("127.0.0.1", 0))
                name = nobody.getsockname()
            here, one = await self.endpoint(remote_addr=name)
            here.sendto(b"anybody?")
            await one.until(lambda: one.errors)
            self.assertIsInstance(one.errors[0], ConnectionRefusedError)
            there, other = await self.endpoint(local_addr=name)
            here.sendto(b"now")
            await other.datagrams(1)
            there.sendto(b"yes", here.get_extra_info("sockname"))
            self.assertEqual(await one.datagrams(1), [(b"yes", name)])

        self.each(program)

    def test_what_cannot_be_sent_is_told_at_once(self):
        async def program():
            here, one = await self.endpoint()
            here.sendto(bytes(70000), here.get_extra_info("sockname"))
            self.assertEqual([e.errno for e in one.errors], [errno.EMSGSIZE])

        self.each(program)

    def test_an_impossible_address_ends_it(self):
        async def program(address, error):
            here, one = await self.endpoint()
            here.sendto(b"x", address)
            self.assertIsInstance(await one.lost, error)
            self.assertEqual(self.told(), ["Fatal write error on datagram transport"])

        for address, error in ((("127.0.0.1", 70000), OverflowError), (("127.0.0.1", -1), OverflowError),
                               (("127.0.0.1\0", 9), (ValueError, TypeError)), (("127.0.0.1", "9"), TypeError),
                               (("127.0.0.1",), TypeError), (None, TypeError)):
            self.each(program, address, error)

    def test_a_slow_receiver_pauses_the_writer(self):
        async def program():
            transport, protocol, peer = await self.pair()
            transport.set_write_buffer_limits(high=1000)
            sent = 0
            while "pause" not in protocol.events:
                transport.sendto(b"%099d" % sent)
                sent += 1
                self.assertLess(sent, 100000)
            self.assertGreater(transport.get_write_buffer_size(), 1000)
            transport.sendto(b"%099d" % sent)
            transport.close()       # what is buffered goes out all the same
            self.assertTrue(transport.is_closing())
            loop = asyncio.get_running_loop()
            got = [int(await loop.sock_recv(peer, 200)) for _ in range(sent + 1)]
            self.assertEqual(got, list(range(sent + 1)))
            self.assertIsNone(await protocol.lost)
            self.assertEqual(protocol.events, ["made", "pause", "resume", "lost"])

        self.each(program)

    def test_an_abort_drops_what_is_buffered(self):
        async def program():
            transport, protocol, peer = await self.pair()
            while not transport.get_write_buffer_size():
                transport.sendto(b"x")
                self.assertFalse(transport.is_closing())
            transport.abort()
            self.assertIsNone(await protocol.lost)
            peer.setblocking(False)
            with self.assertRaises(OSError):    # what had gone, then that nobody is there
                while True:
                    peer.send(peer.recv(10))

        self.each(program)

    def test_a_failing_protocol_is_told_and_goes_on(self):
        class Failing(Recorder):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                if data == b"bad":
                    raise ZeroDivisionError

        async def program():
            here, one = await self.endpoint(Failing)
            for data in (b"good", b"bad", b"good"):
                here.sendto(data, here.get_extra_info("sockname"))
            await one.datagrams(3)
            self.assertEqual([type(exc) for exc in self.told("exception")], [ZeroDivisionError])
            self.assertFalse(one.lost.done())

        self.each(program)

    def test_nothing_is_delivered_after_close(self):
        class Closing(Recorder):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.close()

        async def program():
            here, one = await self.endpoint(Closing)
            name = here.get_extra_info("sockname")
            for _ in range(3):
                here.sendto(b"x", name)
            self.assertIsNone(await one.lost)
            self.assertEqual(len(one.got), 1)
            for data in (b"x", b"y"):
                here.sendto(data, name)         # nobody hears it
            with self.assertRaises(TypeError):
                here.sendto("x", name)
            here.close()
            here.abort()
            there, _ = await self.endpoint(local_addr=name)     # the port is free
            there.close()
            await asyncio.sleep(0)

        self.each(program, loops=OURS)

    @unittest.skipUnless("pause_reading" in vars(asyncio.selector_events._SelectorTransport), "later versions pause")
    def test_a_pause_loses_nothing(self):
        async def program():
            transport, protocol, peer = await self.pair()
            for i in range(20):
                peer.send(b"%d" % i)
                if i % 2:
                    await asyncio.sleep(0)
                transport.pause_reading()
                before = len(protocol.got)
                for _ in range(3):
                    await asyncio.sleep(0)
                self.assertEqual(len(protocol.got), before)
                transport.resume_reading()
            self.assertEqual([int(data) for data, _ in await protocol.datagrams(20)], list(range(20)))

        self.each(program)

    def test_calls_are_made_in_the_context_of_the_endpoint(self):
        class Looking(Recorder):
            def datagram_received(self, data, addr):
                super().datagram_received(data, variable.get())

        async def program():
            variable.set("made")
            here, one = await self.endpoint(Looking)
            variable.set("later")
            here.sendto(b"x", here.get_extra_info("sockname"))
            self.assertEqual(await one.datagrams(1), [(b"x", "made")])

        self.each(program)

    def test_protocols_can_be_changed(self):
        async def program():
            here, one = await self.endpoint()
            second = Recorder()
            here.set_protocol(second)
            here.sendto(b"x", here.get_extra_info("sockname"))
            await second.datagrams(1)
            self.assertEqual(one.got, [])

        self.each(program)

    def test_a_closed_endpoint_leaves_nothing(self):
        async def program():
            alive = []
            for i in range(300):
                here, one = await self.endpoint()
                self.opened.pop()
                here.sendto(b"x", here.get_extra_info("sockname"))
                if i % 3:
                    await one.datagrams(1)
                here.close() if i % 2 else here.abort()
                await one.lost
                alive.append(weakref.ref(here))
                alive.append(weakref.ref(one))
                if i == 0:
                    before = descriptors()
            del here, one
            for _ in range(3):
                await asyncio.sleep(0)      # the last receive ends in a pass of its own
            self.assertEqual(descriptors(), before)
            self.assertEqual([r for r in alive if r() is not None], [])

        with no_collector():
            self.each(program, loops=OURS)

    def test_a_loop_that_is_closed_lets_go(self):
        for backend in ("uring", "epoll"):
            loop = evenloop.Loop(backend=backend)

            async def program():
                running = asyncio.get_running_loop()
                self.transport, _ = await running.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))

            loop.run_until_complete(program())
            transport = weakref.ref(self.transport)
            del self.transport
            loop.close()
            with self.assertWarns(ResourceWarning):
                del loop, program
                gc.collect()
            gc.collect()      # since 3.15 what a warning is of goes with the warning, not before
            self.assertIsNone(transport())


if __name__ == "__main__":
    unittest.main()
