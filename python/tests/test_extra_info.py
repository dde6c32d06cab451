"""What get_extra_info() says of a connection is what asyncio says, whether it is asked first while that is open or afterwards."""
import asyncio
import gc
import os
import socket
import struct
import tempfile
import unittest
import weakref

from support import LOOPS, LoopTest, Recorder, until


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Plain(socket.socket):
    """A program's own class, which knows better."""

    def getsockname(self):
        return ("somewhere", 1)


class ExtraInfo(LoopTest):
    def on_loops(self, function, *args):
        async def program():
            self.opened = []
            await function(*args)
            for protocol in self.opened:
                protocol.transport.abort()
                await protocol.lost
        self.on_each(LOOPS, program)

    async def connected(self, family=socket.AF_INET, cls=socket.socket):
        """A transport of a server's, and the socket of its client."""
        loop, protocol = asyncio.get_running_loop(), Recorder()
        address = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}.get(family)
        if address is None:
            folder = tempfile.TemporaryDirectory()
            self.addCleanup(folder.cleanup)
            address = os.path.join(folder.name, "socket")
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen()
        self.addCleanup(listener.close)
        client = socket.socket(family)
        self.addCleanup(client.close)
        client.connect(listener.getsockname())
        if cls is socket.socket:
            make = loop.create_unix_server if family == socket.AF_UNIX else loop.create_server
            server = await make(lambda: protocol, sock=listener)
            await until(lambda: hasattr(protocol, "transport"))
            server.close()
            there = protocol.transport
        else:
            accepted, _ = listener.accept()
            there, _ = await loop.create_connection(lambda: protocol, sock=cls(fileno=accepted.detach()))
        self.opened.append(protocol)
        return there, client

    def check(self, transport, client):
        self.assertEqual(transport.get_extra_info("peername"), client.getsockname())
        self.assertEqual(transport.get_extra_info("sockname"), client.getpeername())
        self.assertEqual(transport.get_extra_info("peername"), client.getsockname())
        self.assertEqual(type(transport.get_extra_info("sockname")), type(client.getpeername()))
        sock = transport.get_extra_info("socket")
        self.assertIs(sock, transport.get_extra_info(name="socket"))
        self.assertEqual((sock.fileno(), sock.family, sock.type),
                         (transport._sock_fd, client.family, socket.SOCK_STREAM))
        self.assertIsNone(transport.get_extra_info("nothing"))
        self.assertEqual(transport.get_extra_info("nothing", 5), 5)
        self.assertEqual(transport.get_extra_info("nothing", default=6), 6)
        self.assertEqual(set(transport._extra), {"peername", "sockname", "socket"})

    def test_of_each_family(self):
        async def program():
            for family in (socket.AF_INET, socket.AF_UNIX) + (socket.AF_INET6,) * has_ipv6():
                self.check(*await self.connected(family))
        self.on_loops(program)

    def test_addresses_as_they_are_written(self):
        async def program():
            for host in "127.0.0.1", "127.10.200.9", "127.255.99.100":
                with socket.create_server((host, 0)) as listener:
                    transport, protocol = await asyncio.get_running_loop().create_connection(
                        Recorder, *listener.getsockname(), local_addr=("127.3.20.104", 0))
                    self.opened.append(protocol)
                    there, address = listener.accept()
                    there.close()
                    self.assertEqual(transport.get_extra_info("peername"), listener.getsockname())
                    self.assertEqual(transport.get_extra_info("sockname"), address)
                    await until(lambda: hasattr(self.opened[-1], "transport"))
        self.on_loops(program)

    def test_of_a_client(self):
        async def program():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                transport, _ = await asyncio.get_running_loop().create_connection(Recorder, *listener.getsockname())
                there, _ = listener.accept()
                with there:
                    self.check(transport, there)
                    self.opened.append(transport.get_protocol())
                    await until(lambda: hasattr(self.opened[0], "transport"))
        self.on_loops(program)

    def test_is_remembered_after_the_end(self):
        async def program(reset):
            transport, client = await self.connected()
            ours, theirs = client.getpeername(), client.getsockname()
            lost = transport.get_protocol().lost
            if reset:       # from now on the kernel does not know its peer
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            else:
                transport.close()
            await lost
            self.assertEqual([transport.get_extra_info(name) for name in ("peername", "sockname")], [theirs, ours])
            sock = transport.get_extra_info("socket")
            self.assertEqual((sock.fileno(), sock.family), (-1, socket.AF_INET))
            self.assertIsNone(transport._sock)
        self.on_loops(program, True)
        self.on_loops(program, False)

    def test_a_peer_that_is_gone_before_it_is_accepted(self):
        async def program():
            protocol = Recorder()
            with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
                client.connect(listener.getsockname())
                theirs = client.getsockname()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                server = await asyncio.get_running_loop().create_server(lambda: protocol, sock=listener)
                await protocol.lost
                self.assertEqual(protocol.transport.get_extra_info("peername"), theirs)
                server.close()
        self.on_loops(program)

    def test_a_class_of_the_programs_is_asked(self):
        async def program():
            transport, _ = await self.connected(cls=Plain)
            self.assertEqual(transport.get_extra_info("sockname"), ("somewhere", 1))
        self.on_loops(program)

    def test_what_the_program_puts_there(self):
        async def program():
            transport, client = await self.connected()
            transport._extra["nothing"] = 1
            self.assertEqual(transport.get_extra_info("nothing"), 1)
            self.assertEqual(transport.get_extra_info("peername"), client.getsockname())
            transport._extra = {"peername": 2}
            self.assertEqual([transport.get_extra_info(name) for name in ("peername", "sockname")], [2, None])
        self.on_loops(program)

    def test_wrong_calls(self):
        async def program():
            transport, _ = await self.connected()
            for call in (transport.get_extra_info, lambda: transport.get_extra_info("socket", 1, 2),
                         lambda: transport.get_extra_info("socket", other=1),
                         lambda: transport.get_extra_info("socket", name="socket")):
                self.assertRaises(TypeError, call)
        self.on_loops(program)

    def test_a_loop_knows_who_has_a_descriptor(self):
        async def program():
            transport, _ = await self.connected()
            loop, fd = asyncio.get_running_loop(), transport._sock_fd
            self.assertRaisesRegex(RuntimeError, "is used by transport", loop.add_reader, fd, print)
            self.assertIs(loop._transports[fd], transport)
            self.assertIn(transport, list(loop._transports.values()))
            del loop._transports[fd]
            self.assertNotIn(fd, loop._transports)
            self.assertRaises(KeyError, loop._transports.__delitem__, fd)
            loop._transports[fd] = transport
            asked = []
            gone = weakref.ref(transport, lambda gone: asked.append(loop._transports.get(fd)))
            transport.abort()
            await transport.get_protocol().lost
            self.opened.clear()
            del transport
            await until(lambda: (gc.collect(), gone())[1] is None)
            self.assertEqual(asked, [None])
            self.assertNotIn(fd, loop._transports)
        self.on_loops(program)

    def test_the_socket_does_not_hold_the_transport(self):
        async def program():
            transport, client = await self.connected()
            sock, gone = transport.get_extra_info("socket"), weakref.ref(transport)
            transport.abort()
            await self.opened.pop().lost
            del transport
            await until(lambda: (gc.collect(), gone())[1] is None)
            self.assertRaises(OSError, sock.shutdown, socket.SHUT_WR)
            client.close()
        self.on_loops(program)


if __name__ == "__main__":
    unittest.main()
