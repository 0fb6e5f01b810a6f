"""The outbox and the pipe on TLS connections."""

from __future__ import annotations

import socket
import ssl
from functools import cache

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DistinguishedName, KeyPair
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gameservers.net.outbox import Outbox
from gameservers.net.pipe import CoupledPipe, Ending, couple
from gameservers.net.turn import Turn

MIB = 1024 * 1024
TIMEOUT = 30  # seconds: for blocking calls of the players


@cache
def certificate():
    """A certificate that nobody has reason to trust."""
    key, name = KeyPair.generate(size=2048), DistinguishedName(CN="localhost")
    signed = key.signCertificateRequest(name, key.certificateRequest(name), lambda _: True, 1)
    return key.newCertificate(signed)


class Side(Protocol):
    """The server's side of a connection, which may begin TLS by itself."""

    def connectionMade(self):
        self.owner = None
        self.gone = Deferred()
        if self.factory.starts_tls:
            self.transport.startTLS(certificate().options())
        self.factory.sides.append(self)
        if len(self.factory.sides) == self.factory.awaited:
            self.factory.complete.callback(self.factory.sides)

    def dataReceived(self, data):
        self.owner.received(data)

    def connectionLost(self, reason):
        if isinstance(self.owner, Outbox):
            self.owner.lost()
        else:
            self.owner.lost(reason)
        self.gone.callback(None)


class TLSTests:
    """What holds however TLS has begun."""

    @inlineCallbacks
    def connect(self, count):
        self.factory = Factory.forProtocol(Side)
        self.factory.sides = []
        self.factory.awaited = count
        self.factory.complete = Deferred()
        port = self.listen()
        players = []
        for _ in range(count):
            players.append((yield deferToThread(self.player, port.getHost().port)))
        yield self.factory.complete
        yield port.stopListening()
        return players

    def player(self, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        return context.wrap_socket(plain, suppress_ragged_eofs=True)

    def receive(self, player):
        """Read to the end."""
        chunks = []
        while chunk := player.recv(MIB):
            chunks.append(chunk)
        return b"".join(chunks)

    @inlineCallbacks
    def test_outbox(self):
        """What is said arrives whole and in order, and then the end."""
        (player,) = yield self.connect(1)
        (side,) = self.factory.sides
        turn = Turn(reactor)
        side.owner = Outbox(
            side.transport, turn, limit=8 * MIB, overflowed=lambda: self.fail("slow"), cut=1400
        )
        lines = [b"%06d " % number * 20 for number in range(20_000)]
        for line in lines:
            side.owner.send(line)
        side.owner.close()
        heard = yield deferToThread(self.receive, player)
        self.assertTrue(heard == b"".join(lines))
        player.close()
        yield side.gone

    @inlineCallbacks
    def test_slow_reader(self):
        """What a player does not read is counted and, in the end, too much."""
        (player,) = yield self.connect(1)
        (side,) = self.factory.sides
        overflow = Deferred()
        side.owner = Outbox(
            side.transport,
            Turn(reactor),
            limit=MIB,
            overflowed=lambda: overflow.callback(None),
        )
        for _ in range(32):
            side.owner.send(bytes(MIB))
        yield overflow
        side.owner.abort()
        yield side.gone
        player.close()

    @inlineCallbacks
    def test_pipe(self):
        """A pipe passes everything both ways and ends with either side."""
        players = yield self.connect(2)
        done = Deferred()
        a, b = self.factory.sides
        pipe = couple(a.transport, b.transport, clock=reactor, done=done.callback)
        self.assertIsInstance(pipe, CoupledPipe)
        a.owner, b.owner = pipe.a, pipe.b
        payload = bytes(range(256)) * 8192

        def exchange(player, first):
            if first:
                player.sendall(payload)
            heard = b""
            while len(heard) < len(payload):
                received = player.recv(MIB)
                assert received, "the pipe ended too early"
                heard += received
            if not first:
                player.sendall(heard)
            return heard

        heard = yield gatherResults(
            [deferToThread(exchange, player, player is players[0]) for player in players]
        )
        self.assertTrue(heard[0] == heard[1] == payload)
        players[0].close()
        self.assertEqual((yield deferToThread(self.receive, players[1])), b"")
        players[1].close()
        self.assertIn((yield done), (Ending.ENDED, Ending.LOST))
        yield gatherResults([a.gone, b.gone])


class FromTheStartTests(TLSTests, TestCase):
    """The port speaks TLS."""

    def listen(self):
        self.factory.starts_tls = False
        return reactor.listenSSL(0, self.factory, certificate().options(), interface="127.0.0.1")


class StartedTests(TLSTests, TestCase):
    """TLS is begun on a connection that was plain."""

    def listen(self):
        self.factory.starts_tls = True
        return reactor.listenTCP(0, self.factory, interface="127.0.0.1")
