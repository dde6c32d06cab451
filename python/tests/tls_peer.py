"""What tests of TLS have in common: a certificate; and a peer, TLS by hand over a socket, which decides which bytes come when
and sees which records came."""
import asyncio
import atexit
import functools
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

from support import LoopTest, Recorder

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

needs_certificate = unittest.skipUnless(shutil.which("openssl"), "the openssl command is missing")


@functools.cache
def certificate():
    """(Its file, its key's); of localhost, and nobody trusts it who is not told to."""
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key", "-out", folder / "certificate"],
                   check=True, capture_output=True)
    return folder / "certificate", folder / "key"


def server_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def client_context(version=None):
    context = ssl.create_default_context(cafile=certificate()[0])
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


class Peer:
    """TLS by hand."""

    def __init__(self, sock, context, server_side=True):
        sock.setblocking(False)
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, None if server_side else "localhost")
        self.raw, self.loop = bytearray(), asyncio.get_running_loop()
        self.hold = False           # do not send what the handshake leaves: tickets

    async def send_raw(self, data=b""):
        if data := data or self.outgoing.read():
            await self.loop.sock_sendall(self.sock, data)

    async def call(self, function, *args):
        while True:
            try:
                result = function(*args)
            except ssl.SSLWantReadError:
                await self.send_raw()
                data = await self.loop.sock_recv(self.sock, 1 << 20)
                self.raw += data
                self.incoming.write(data) if data else self.incoming.write_eof()
                continue
            if not self.hold:
                await self.send_raw()
            return result

    async def handshake(self):
        await self.call(self.tls.do_handshake)
        self.raw.clear()

    def encrypt(self, data):
        """The records, not sent."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view):]
        return self.outgoing.read()

    async def send(self, data):
        await self.send_raw(self.encrypt(data))

    async def receive(self, n):
        data = bytearray()
        while len(data) < n and (more := await self.call(self.tls.read, 65536)):
            data += more
        return bytes(data)

    def records(self):
        """Lengths of the records that came since the handshake."""
        at, lengths = 0, []
        while at < len(self.raw):
            lengths.append(int.from_bytes(self.raw[at + 3:at + 5], "big"))
            at += 5 + lengths[-1]
        return lengths


@needs_certificate
class TLS(LoopTest):
    """Connections on both backends, the other end of them a Peer."""

    async def connected(self, factory=Recorder, version=None, server_side=False, hold=False, **options):
        """(transport, protocol, peer): ours is the client, if nothing else is said."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        loop = asyncio.get_running_loop()
        peer = Peer(theirs, client_context(version) if server_side else server_context(version), not server_side)
        peer.hold = hold
        if server_side:
            connecting = loop.connect_accepted_socket(factory, ours, ssl=server_context(version), **options)
        else:
            options.setdefault("server_hostname", "localhost")
            options.setdefault("ssl", client_context(version))
            connecting = loop.create_connection(factory, sock=ours, **options)
        (transport, protocol), _ = await asyncio.gather(connecting, peer.handshake())
        peer.hold = False
        return transport, protocol, peer
