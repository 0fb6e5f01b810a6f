"""Every game through one port, on real sockets: plain, in TLS, behind a balancer, over IPv6."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.plugin import getPlugins
from twisted.trial.unittest import TestCase

from gameservers import process, tap
from gameservers.config.command_line import options_for
from gameservers.games import IGame
from gameservers.lobby import Lobby
from gameservers.net.door import Door
from gameservers.net.ports import Listener
from tests.games.velnet.world import u32
from tests.integration.clients import (
    STREAMS,
    Connect,
    Tank,
    TileGame,
    VelNetBinary,
    VelNetText,
)
from tests.integration.processes import DEFAULTS, PATIENCE, free_port
from tests.net.test_tls import write_pair

NAME = "games.example.org"


def ipv6_works() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class ServerTestCase(TestCase):
    """A whole server in this process."""

    def serve(self, *options: str) -> None:
        """Start a server with these options, in a directory of its own."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        self.port = free_port()
        parsed = options_for(getPlugins(IGame))
        parsed.parseOptions(
            [
                f"--port={self.port}",
                "--interface=127.0.0.1",
                "--database=memory",
                "--twister-admin-key-file=",
                *DEFAULTS,
                *options,
            ]
        )
        self.patch(process, "set_apart", lambda: None)
        service = tap.makeService(parsed, reactor)
        (self.lobby,) = (each for each in service if isinstance(each, Lobby))
        doors = [each.factory for each in service if isinstance(each, Listener)]
        self.guard = next(door.guard for door in doors if isinstance(door, Door))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(maybeDeferred, service.stopService)

    def certify(self) -> list[str]:
        """The options for TLS, with a certificate for L{NAME}."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        self.certificate, key = write_pair(folder, NAME)
        return [f"--tls-cert={self.certificate}", f"--tls-key={key}"]

    def plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def secure(self) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return context.wrap_socket(self.plain(), server_hostname=NAME)

    def browse(self) -> tuple[str | None, bytes]:
        """What a browser speaks in TLS, of what it offers, and how it is answered."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(self.plain(), server_hostname=NAME) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            return client.selected_alpn_protocol(), client.recv(15)

    def udp(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(("127.0.0.1", self.port))
        return client

    def client(self, make: Callable[[], Any]) -> Deferred[Any]:
        """A client that connects in a thread and is closed in the end."""

        def keep(client: Any) -> Any:
            self.addCleanup(client.close)
            return client

        return deferToThread(make).addCallback(keep)

    def all_streams(self, connect: Connect, name: str) -> Deferred[list[Any]]:
        return gatherResults(
            [self.client(partial(kind, connect, f"{kind.__name__}{name}")) for kind in STREAMS],
            consumeErrors=True,
        )

    def cuts(self) -> dict[str, int]:
        cuts = self.lobby.metrics.cuts
        return {why: count for (where, why), count in cuts.items() if where == "door"}

    def refused(self, connect: Connect, said: bytes) -> Deferred[bytes]:
        """What somebody hears who says this, up to the end of his connection."""

        def speak() -> bytes:
            heard = b""
            with contextlib.suppress(ConnectionError), connect() as client:
                client.settimeout(PATIENCE)
                client.sendall(said)
                while data := client.recv(4096):
                    heard += data
            return heard

        return deferToThread(speak)


class AllTogetherTests(ServerTestCase):
    @inlineCallbacks
    def test_one_port(self):
        """
        A client of every format at the same time, plain and in TLS, and in datagrams: all of
        them are players in one lobby.
        """
        self.serve(*self.certify())
        yield gatherResults(
            [
                self.all_streams(self.plain, ""),
                self.all_streams(self.secure, "TLS"),
                *(self.client(lambda: Tank(self.udp)) for _ in range(2)),
            ],
            consumeErrors=True,
        )
        expected = Counter(kind.game for kind in STREAMS * 2 if kind.game)
        expected["twister"] = 2
        self.assertEqual(Counter(player.game for player in self.lobby.players()), expected)
        self.assertEqual({player.address for player in self.lobby.players()}, {"127.0.0.1"})
        self.assertEqual(self.cuts(), {})

    @inlineCallbacks
    def test_everybody_has_logged_in(self):
        """Every game tells the door when its clients have logged in."""
        self.serve()
        clients = yield self.all_streams(self.plain, "")
        self.assertGreater(len(self.guard), len(clients) - 1)
        self.assertEqual(self.guard.pending, 0)

    @skipUnless(hasattr(socket, "TCP_USER_TIMEOUT"), "there are other options here")
    @inlineCallbacks
    def test_keep_alive(self):
        """On every connection, a game pipe's included, the kernel finds out who has vanished."""
        self.serve("--keepalive=30", *self.certify())
        clients = yield self.all_streams(self.plain, "")
        clients += yield self.all_streams(self.secure, "TLS")
        sockets = [ticket.transport.socket for ticket in self.guard]
        self.assertGreater(len(sockets), len(clients))  # VCMI's pipes have two ends
        for each in sockets:
            self.assertTrue(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            numbers = [getattr(socket, option) for option in options]
            values = [each.getsockopt(socket.IPPROTO_TCP, number) for number in numbers]
            self.assertEqual(values, [30, 5, 3, 45_000])

    @inlineCallbacks
    def test_datagrams_of_a_stream(self):
        """VelNet's players say hello in datagrams, to the very port that has all the others."""
        self.serve()
        text = yield self.client(partial(VelNetText, self.plain, "text"))
        binary = yield self.client(partial(VelNetBinary, self.plain, "binary"))
        ids = {player.name: player.id for player in self.lobby.players()}

        def hello(datagram):
            with self.udp() as client:
                client.settimeout(PATIENCE)
                client.send(datagram)
                return client.recv(2048)

        self.assertTrue((yield deferToThread(hello, b"%d:0:Hello" % ids[text.name])))
        self.assertEqual((yield deferToThread(hello, b"\0" + u32(ids[binary.name]))), b"\0")

    @inlineCallbacks
    def test_nonsense(self):
        self.serve()
        heard = yield self.refused(self.plain, b"\xff\xff\xff\xff what?")
        self.assertEqual(heard, b"")
        self.assertEqual(self.cuts(), {"malformed": 1})

    @inlineCallbacks
    def test_rush(self):
        """Of a crowd of one address only those that stay are connected, and others get in."""
        self.serve("--trusted=10.0.0.0/8", "--max-per-address=50")

        def rush():
            linger = struct.pack("ii", 1, 0)
            with contextlib.ExitStack() as stack:
                for number in range(400):
                    with contextlib.suppress(ConnectionResetError):  # it was turned away
                        client = stack.enter_context(self.plain())
                        if number % 2:  # it is reset
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                            client.close()
                with socket.create_connection(
                    ("127.0.0.1", self.port), PATIENCE, source_address=("127.0.0.2", 0)
                ) as other:
                    other.sendall(b"0:other:pw\n")
                    return other.recv(100)

        self.assertTrue((yield deferToThread(rush)).startswith(b"0:"))
        self.assertGreaterEqual(self.cuts()["crowded"], 150)

    @inlineCallbacks
    def test_silence(self):
        self.serve("--first-byte-timeout=1")
        self.assertEqual((yield self.refused(self.plain, b"")), b"")
        self.assertEqual(self.cuts(), {"silent": 1})

    @inlineCallbacks
    def test_own_port(self):
        """A game's own port is its alone, has the same limits, and the same players."""
        front = free_port()
        self.serve(f"--velnet-port={front}", "--trusted=10.0.0.0/8", "--max-per-address=2")
        first = yield self.client(partial(VelNetText, self.plain, "front"))
        door, self.port = self.port, front
        yield self.client(partial(VelNetText, self.plain, "own"))
        self.assertEqual({player.name for player in self.lobby.players()}, {first.name, "own"})
        for self.port in (door, front):
            self.assertEqual((yield self.refused(self.plain, b"0:third:pw\n")), b"")
        self.assertEqual(self.cuts(), {"crowded": 2})


class TLSTests(ServerTestCase):
    @inlineCallbacks
    def test_only(self):
        self.serve("--tls-only", *self.certify())
        self.assertEqual((yield self.refused(self.plain, b"0:name:pw\n")), b"")
        self.assertEqual(self.cuts(), {"refused": 1})
        yield self.client(partial(VelNetText, self.secure, "name"))

    def connect(self, name: str) -> Deferred[Any]:
        """Connect as a Twisted client that knows whom it wants."""
        trusted = Certificate.loadPEM(self.certificate.read_bytes())
        plain = clientFromString(reactor, f"tcp:127.0.0.1:{self.port}")
        endpoint = wrapClientTLS(optionsForClientTLS(name, trusted), plain)
        return connectProtocol(endpoint, Asks())

    @inlineCallbacks
    def test_host_name(self):
        """The client's end verifies whom it speaks to."""
        self.serve(*self.certify())
        asked = yield self.connect(NAME)
        self.assertTrue((yield asked.answer).startswith(b"0:"))
        asked.transport.loseConnection()
        yield asked.lost
        asked = yield self.connect("elsewhere.example.org")
        self.assertIn("VerificationError", repr((yield asked.lost)))

    @inlineCallbacks
    def test_browser(self):
        """A browser offers HTTP/2 and HTTP/1.1, and gets the page over the latter."""
        self.serve(*self.certify())
        self.assertEqual((yield deferToThread(self.browse)), ("http/1.1", b"HTTP/1.1 200 OK"))

    @inlineCallbacks
    def test_renewal(self):
        """SIGHUP brings the new certificate to those who come from then on."""
        options = self.certify()
        self.serve(*options)
        first = yield self.client(partial(VelNetText, self.secure, "first"))
        write_pair(self.certificate.parent, NAME)
        yield self.assertFailure(deferToThread(self.secure), ssl.SSLError)
        os.kill(os.getpid(), signal.SIGHUP)
        yield deferLater(reactor, 0)
        yield self.client(partial(VelNetText, self.secure, "second"))
        first.socket.sendall(b"6:class\n")
        self.assertEqual(len(list(self.lobby.players())), 2)

    @inlineCallbacks
    def test_old_versions(self):
        self.serve(*self.certify())

        def connect(version):
            context = ssl.create_default_context(cafile=str(self.certificate))
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
            with context.wrap_socket(self.plain(), server_hostname=NAME) as client:
                return client.version()

        for version, spoken in (
            (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
            (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ):
            self.assertEqual((yield deferToThread(connect, version)), spoken)
        yield self.assertFailure(deferToThread(connect, ssl.TLSVersion.TLSv1_1), OSError)

    @inlineCallbacks
    def test_own_port(self):
        own = free_port()
        self.serve(f"--tilegame-port={own}", *self.certify())
        self.port = own
        yield self.client(partial(TileGame, self.secure, "name"))
        yield self.client(partial(TileGame, self.plain, "other"))


class Asks(Protocol):
    """Logs in to VelNet."""

    def connectionMade(self):
        self.answer, self.lost = Deferred(), Deferred()
        self.transport.write(b"0:name:pw\n")

    def dataReceived(self, data):
        if not self.answer.called:
            self.answer.callback(data)

    def connectionLost(self, reason):
        self.lost.callback(reason.value)


class BalancerTests(ServerTestCase):
    """Behind something that speaks the PROXY protocol."""

    CLIENT, SERVER = "203.0.113.7", "192.0.2.1"

    def version_1(self) -> bytes:
        return f"PROXY TCP4 {self.CLIENT} {self.SERVER} 40000 5002\r\n".encode()

    def version_2(self) -> bytes:
        addresses = socket.inet_aton(self.CLIENT) + socket.inet_aton(self.SERVER)
        ports = struct.pack("!HH", 40000, 5002)
        return b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\0\x0c" + addresses + ports

    def version_2_of_ipv6(self, client: str) -> bytes:
        addresses = socket.inet_pton(socket.AF_INET6, client) * 2
        ports = struct.pack("!HH", 40000, 5002)
        return b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x21\0\x24" + addresses + ports

    def serve_proxied(self, *options: str) -> None:
        port = free_port()
        self.serve(f"--port=haproxy:tcp:{port}:interface=127.0.0.1", *options)
        self.port = port

    def through(self, header: bytes) -> socket.socket:
        client = self.plain()
        client.sendall(header)
        return client

    def through_tls(self, header: bytes) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return context.wrap_socket(self.through(header), server_hostname=NAME)

    @inlineCallbacks
    def test_everybody(self):
        """The lobby knows everybody by the real address, plain and in TLS."""
        self.serve_proxied(*self.certify())
        yield gatherResults(
            [
                self.all_streams(partial(self.through, self.version_1()), "1"),
                self.all_streams(partial(self.through, self.version_2()), "2"),
                self.all_streams(partial(self.through_tls, self.version_2()), "TLS"),
            ],
            consumeErrors=True,
        )
        expected = Counter(kind.game for kind in STREAMS * 3 if kind.game)
        self.assertEqual(Counter(player.game for player in self.lobby.players()), expected)
        self.assertEqual({player.address for player in self.lobby.players()}, {self.CLIENT})

    @inlineCallbacks
    def test_limits(self):
        """The balancer is many; each of those behind it is one."""
        self.serve_proxied("--max-per-address=1", "--trusted=192.0.2.0/24")
        first = partial(self.through, self.version_1())
        yield self.client(partial(VelNetText, first, "one"))
        self.assertEqual((yield self.refused(first, b"0:two:pw\n")), b"")
        self.assertEqual(self.cuts(), {"crowded": 1})
        self.CLIENT = "203.0.113.8"
        yield self.client(partial(VelNetText, partial(self.through, self.version_1()), "other"))

    @inlineCallbacks
    def test_ipv6(self):
        """However an address is spelt in the header, it is the one that datagrams come from."""
        own = free_port()
        self.serve_proxied(f"--velnet-port={own}", "--max-per-address=1", "--trusted=::1")
        names = {"2001:db8::1": "2001:db8::1", "::ffff:203.0.113.7": "203.0.113.7"}
        names["::ffff:127.0.0.1"] = "127.0.0.1"
        for spelt in names:
            through = partial(self.through, self.version_2_of_ipv6(spelt))
            yield self.client(partial(VelNetText, through, spelt.replace(":", ".")))
        addresses = {player.address: player.id for player in self.lobby.players()}
        self.assertEqual(set(addresses), set(names.values()))
        self.port = own

        def hello():
            with self.udp() as client:
                client.settimeout(PATIENCE)
                client.send(b"%d:0:Hello" % addresses["127.0.0.1"])
                return client.recv(2048)

        self.assertTrue((yield deferToThread(hello)))


class EndpointTests(ServerTestCase):
    """Options that name an endpoint."""

    @inlineCallbacks
    def test_unix(self):
        folder = tempfile.TemporaryDirectory()  # a path of a socket must be short
        self.addCleanup(folder.cleanup)
        where = f"{folder.name}/socket"
        self.serve(f"--velnet-port=unix:{where}")

        def connect():
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(where)
            return client

        yield self.client(partial(VelNetText, connect, "name"))
        self.assertEqual([player.address for player in self.lobby.players()], [""])

    @inlineCallbacks
    def test_ssl(self):
        """A port that speaks TLS from the start needs no ClientHello of the door's."""
        options = self.certify()
        cert, key = (each.partition("=")[2] for each in options)
        port = free_port()
        self.serve(f"--port=ssl:{port}:privateKey={key}:certKey={cert}:interface=127.0.0.1")
        self.port = port
        yield self.all_streams(self.secure, "")
        self.assertEqual((yield deferToThread(self.browse)), ("http/1.1", b"HTTP/1.1 200 OK"))

    @inlineCallbacks
    def test_tcp6(self):
        if not ipv6_works():
            self.skipTest("this machine has no IPv6")
        port = free_port()
        self.serve(f"--port=tcp6:{port}:interface=\\:\\:1")

        def connect():
            return socket.create_connection(("::1", port), PATIENCE)

        yield self.all_streams(connect, "")
        self.assertEqual({player.address for player in self.lobby.players()}, {"::1"})


class IPv6Tests(ServerTestCase):
    @inlineCallbacks
    def test_streams_and_datagrams(self):
        if not ipv6_works():
            self.skipTest("this machine has no IPv6")
        self.serve("--interface=::1")

        def connect():
            return socket.create_connection(("::1", self.port), PATIENCE)

        def udp():
            client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            client.connect(("::1", self.port))
            return client

        yield self.all_streams(connect, "")
        yield self.client(lambda: Tank(udp))
        binary = yield self.client(partial(VelNetBinary, connect, "binary"))
        ids = {player.name: player.id for player in self.lobby.players()}

        def hello():
            with udp() as client:
                client.settimeout(PATIENCE)
                client.send(b"\0" + u32(ids[binary.name]))
                return client.recv(100)

        self.assertEqual((yield deferToThread(hello)), b"\0")
        self.assertEqual({player.address for player in self.lobby.players()}, {"::1"})
