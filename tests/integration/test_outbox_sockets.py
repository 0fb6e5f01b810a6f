"""Tests for L{gameservers.net.outbox} on real sockets."""

from __future__ import annotations

import socket

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gameservers.net.bypass import segment_size
from gameservers.net.outbox import Outbox
from gameservers.net.turn import Turn

MIB = 1024 * 1024
TIMEOUT = 30  # seconds: for blocking calls of the player


class Side(Protocol):
    """The server's side of a connection."""

    outbox = None

    def connectionMade(self):
        self.gone = Deferred()
        self.factory.made.callback(self)

    def connectionLost(self, reason):
        self.outbox.lost()
        self.gone.callback(reason.type)


class OutboxTests(TestCase):
    @inlineCallbacks
    def connect(self, **how):
        factory = Factory.forProtocol(Side)
        factory.made = Deferred()
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        player = socket.create_connection(("127.0.0.1", port.getHost().port), TIMEOUT)
        side = yield factory.made
        yield port.stopListening()
        self.overflow = Deferred()
        side.outbox = Outbox(
            side.transport,
            Turn(reactor),
            overflowed=lambda: self.overflow.callback(None),
            cut=segment_size(side.transport),
            **how,
        )
        return side, player

    def receive(self, player):
        """Read to the end."""
        chunks = []
        while chunk := player.recv(MIB):
            chunks.append(chunk)
        return b"".join(chunks)

    @inlineCallbacks
    def test_farewell(self):
        """A player is told everything before the end, though what he says is not read."""
        side, player = yield self.connect(limit=32 * MIB)
        side.transport.pauseProducing()
        player.sendall(b"not read")
        lines = [b"%07d" % number * 100 for number in range(20_000)]
        for line in lines:
            side.outbox.send(line)
        side.outbox.close()
        heard = yield deferToThread(self.receive, player)
        self.assertTrue(heard == b"".join(lines))
        self.assertEqual(side.outbox.pending, 0)
        player.close()
        side.transport.resumeProducing()
        yield side.gone

    @inlineCallbacks
    def test_does_not_read(self):
        """A player who does not read is cut when the limit is passed."""
        side, player = yield self.connect(limit=MIB)
        for _ in range(32):
            side.outbox.send(bytes(MIB))
        yield self.overflow
        side.outbox.abort()
        self.assertIs((yield side.gone), ConnectionAborted)
        player.close()

    @inlineCallbacks
    def test_vanishes(self):
        """A player who goes while much is on its way is just gone."""
        side, player = yield self.connect(limit=32 * MIB)
        for _ in range(16):
            side.outbox.send(bytes(MIB))
        side.outbox.close()
        yield deferToThread(player.recv, 1000)
        player.close()
        yield side.gone
        side.outbox.send(b"too late")
        self.assertEqual(self.overflow.called, False)
