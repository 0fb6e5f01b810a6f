"""Tests for L{gameservers.net.pipe} on real sockets."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import struct
from unittest import skipUnless

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from gameservers.net import pipe
from gameservers.net.pipe import CoupledPipe, Ending, SplicedPipe, couple

MIB = 1024 * 1024
TIMEOUT = 30  # seconds: for blocking calls of the players


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One side of the pipe in the server."""

    end = None

    def connectionMade(self):
        self.losses = 0
        self.gone = Deferred()
        self.factory.connected(self)

    def dataReceived(self, data):
        self.end.received(data)

    def readConnectionLost(self):
        self.end.read_lost()

    def writeConnectionLost(self):
        pass

    def connectionLost(self, reason):
        self.losses += 1
        if self.end is not None:
            self.end.lost(reason)
        self.gone.callback(None)


class Server(Factory):
    """Couples every two connections."""

    protocol = Side

    def __init__(self, **how):
        self.how = how
        self.sides = []
        self.coupled = Deferred()
        self.endings = []
        self.done = Deferred()

    def connected(self, side):
        self.sides.append(side)
        side.transport.pauseProducing()
        if len(self.sides) == 2:
            a, b = self.sides
            self.pipe = couple(
                a.transport, b.transport, clock=reactor, done=self.ended, **self.how
            )
            a.end, b.end = self.pipe.a, self.pipe.b
            self.coupled.callback(self.pipe)

    def ended(self, ending):
        self.endings.append(ending)
        if len(self.endings) == 1:
            self.done.callback(ending)


def receive(player, size=None):
    """Read C{size} bytes or to the end."""
    chunks = []
    missing = size
    while missing is None or missing:
        chunk = player.recv(MIB if missing is None else min(missing, MIB))
        if not chunk:
            break
        chunks.append(chunk)
        if missing is not None:
            missing -= len(chunk)
    return b"".join(chunks)


def noise(seed, size):
    """Bytes of which no two places look alike."""
    block = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(2048))
    return block * (size // len(block))


class PipeTests:
    """What any kind of pipe does."""

    kind = None
    block = noise(4, MIB)

    def setUp(self):
        self.players = []
        return deferLater(reactor, 0).addCallback(self.remember_descriptors)

    def open_descriptors(self):
        """The sockets and pipes that this process has open."""
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if os.path.exists(link)]
        return {target for target in targets if target.startswith(("socket:", "pipe:"))}

    def remember_descriptors(self, _):
        self.descriptors = self.open_descriptors()

    @inlineCallbacks
    def connect(self, **how):
        self.server = Server(**how)
        port = reactor.listenTCP(0, self.server, interface="127.0.0.1")
        for _ in range(2):
            player = socket.create_connection(("127.0.0.1", port.getHost().port), TIMEOUT)
            self.players.append(player)
            while len(self.server.sides) < len(self.players):
                yield deferLater(reactor, 0)
        yield self.server.coupled
        self.assertIs(type(self.server.pipe), self.kind)
        yield port.stopListening()

    @inlineCallbacks
    def fill(self, player):
        """Send until nothing moves any more; return how many bytes went."""
        player.setblocking(False)
        sent = idle = 0
        while idle < 20 and sent < 64 * MIB:
            try:
                sent += player.send(self.block[sent % MIB :])
                idle = 0
            except BlockingIOError:
                idle += 1
            yield deferLater(reactor, 0.002)
        player.settimeout(TIMEOUT)
        return sent

    @inlineCallbacks
    def finish(self, ending):
        """The pipe ends once for this reason, and nothing of it is left."""
        if ending is Ending.LINGERED:
            yield self.server.done
        for player in self.players:
            player.close()
        yield self.server.done
        for side in self.server.sides:
            yield side.gone
        yield deferLater(reactor, 0)
        self.assertEqual(self.server.endings, [ending])
        self.assertEqual([side.losses for side in self.server.sides], [1, 1])
        # Of what was open before, some may be gone: what other tests left is nobody's business.
        self.assertEqual(self.open_descriptors() - self.descriptors, set())

    @inlineCallbacks
    def test_bulk(self):
        """64 MiB each way at the same time arrive unchanged."""
        yield self.connect()
        payloads = [noise(n, 64 * MIB) for n in range(2)]

        def send(player, payload):
            player.sendall(payload)
            player.shutdown(socket.SHUT_WR)

        sent = [
            deferToThread(send, player, payload)
            for player, payload in zip(self.players, payloads, strict=True)
        ]
        received = yield gatherResults([deferToThread(receive, player) for player in self.players])
        yield gatherResults(sent)
        for payload, result in zip(payloads, reversed(received), strict=True):
            self.assertEqual(
                hashlib.sha256(result).hexdigest(), hashlib.sha256(payload).hexdigest()
            )
        self.assertEqual(
            (self.server.pipe.a.carried, self.server.pipe.b.carried), (64 * MIB, 64 * MIB)
        )
        yield self.finish(Ending.ENDED)

    @inlineCallbacks
    def test_first_bytes(self):
        """What was kept before the coupling comes first, however much it is."""
        first = noise(3, 8 * MIB)
        yield self.connect(to_a=first, to_b=b"for b, ")
        a, b = self.players
        b.sendall(b"the rest")
        a.sendall(b"then this")
        a.shutdown(socket.SHUT_WR)
        b.shutdown(socket.SHUT_WR)
        to_a = yield deferToThread(receive, a)
        to_b = yield deferToThread(receive, b)
        self.assertTrue(to_a == first + b"the rest")
        self.assertEqual(to_b, b"for b, then this")
        yield self.finish(Ending.ENDED)

    @inlineCallbacks
    def test_slow_reader(self):
        """A reader who does not read stops his writer; nothing is lost when he goes on."""
        yield self.connect()
        a, b = self.players
        sent = yield self.fill(a)
        self.assertLess(sent, 64 * MIB)
        a.shutdown(socket.SHUT_WR)
        received = yield deferToThread(receive, b)
        self.assertEqual(len(received), sent)
        self.assertTrue(received == (self.block * 64)[:sent])
        b.close()
        yield self.finish(Ending.ENDED)

    @inlineCallbacks
    def test_half_close(self):
        """Who has ended may still be answered."""
        yield self.connect()
        a, b = self.players
        a.sendall(b"question")
        a.shutdown(socket.SHUT_WR)
        self.assertEqual((yield deferToThread(receive, b)), b"question")
        b.sendall(b"answer")
        b.close()
        self.assertEqual((yield deferToThread(receive, a)), b"answer")
        yield self.finish(Ending.ENDED)

    @inlineCallbacks
    def test_linger(self):
        """A side that does not follow the other is closed when its time is up."""
        yield self.connect(linger=0.05)
        a, b = self.players
        a.sendall(b"goodbye")
        a.close()
        self.assertEqual((yield deferToThread(receive, b)), b"goodbye")
        yield self.finish(Ending.LINGERED)

    @inlineCallbacks
    def test_reset(self):
        """After a reset the other side is given what arrived and then the end."""
        yield self.connect()
        a, b = self.players
        a.sendall(b"last words")
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        a.close()
        self.assertEqual((yield deferToThread(receive, b)), b"last words")
        yield self.finish(Ending.LOST)

    @inlineCallbacks
    def test_reset_while_its_writer_waits(self):
        """A reader who resets without having read ends his writer, too."""
        yield self.connect()
        a, b = self.players
        yield self.fill(a)
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        b.close()
        yield self.finish(Ending.LOST)

    @inlineCallbacks
    def test_reset_while_both_wait(self):
        """A player who resets while neither reads: the other is given what arrived."""
        yield self.connect()
        a, b = self.players
        yield self.fill(a)
        sent = yield self.fill(b)
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        b.close()
        received = yield deferToThread(receive, a)
        self.assertGreater(len(received), 64 * 1024)
        self.assertTrue(received == (self.block * 64)[: len(received)])
        self.assertLessEqual(len(received), sent)
        yield self.finish(Ending.LOST)

    @inlineCallbacks
    def test_reset_and_no_answer(self):
        """Who does not end after a reset of the other is closed when the time is up."""
        yield self.connect(linger=0.05)
        a, _ = self.players
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        a.close()
        yield self.server.done
        yield self.finish(Ending.LOST)

    @inlineCallbacks
    def test_closed_while_one_waits(self):
        """Closing the pipe does not wait for who does not read."""
        yield self.connect(linger=0.1)
        a, _ = self.players
        yield self.fill(a)
        self.server.pipe.close()
        for side in self.server.sides:
            yield side.gone
        yield self.finish(Ending.CLOSED)

    @inlineCallbacks
    def test_closed_by_the_server(self):
        """Closing the pipe closes both connections."""
        yield self.connect()
        self.server.pipe.close()
        for player in self.players:
            self.assertEqual((yield deferToThread(receive, player)), b"")
        yield self.finish(Ending.CLOSED)

    @inlineCallbacks
    def test_aborted_by_the_server(self):
        """A transport that is aborted under the pipe ends it, once."""
        yield self.connect()
        self.server.sides[0].transport.abortConnection()
        self.assertEqual((yield deferToThread(receive, self.players[1])), b"")
        yield self.finish(Ending.LOST)

    @inlineCallbacks
    def test_slow_rest(self):
        """A side that takes its rest slowly is given all of it."""
        # Longer than a busy machine may keep b from reading, and less than b takes in all.
        yield self.connect(linger=1.0)
        a, b = self.players
        sent = yield self.fill(a)
        a.close()
        received = 0
        while received < sent:
            block = yield deferToThread(receive, b, min(sent // 8, sent - received))
            self.assertTrue(block)
            received += len(block)
            yield deferLater(reactor, 0.25)
        self.assertEqual((yield deferToThread(receive, b)), b"")
        yield self.finish(Ending.LINGERED)

    @inlineCallbacks
    def test_rest_of_a_read(self):
        """What its protocol had read of a side when the pipe was made may be given to it."""
        yield self.connect(to_b=b"one ")
        a, b = self.players
        self.server.pipe.a.received(b"two ")
        a.sendall(b"three")
        self.assertEqual((yield deferToThread(receive, b, 13)), b"one two three")
        self.assertEqual(self.server.pipe.a.carried, 9)
        self.server.pipe.close()
        yield self.finish(Ending.CLOSED)

    @inlineCallbacks
    def test_socket_options(self):
        """Small messages leave at once."""
        yield self.connect()
        for side in self.server.sides:
            self.assertTrue(side.transport.getTcpNoDelay())
        self.server.pipe.close()
        yield self.finish(Ending.CLOSED)


@skipUnless(hasattr(os, "splice"), "the kernel cannot move bytes between sockets")
class SplicedPipeTests(PipeTests, TestCase):
    """The kernel moves the bytes."""

    kind = SplicedPipe

    @inlineCallbacks
    def test_narrow(self):
        """Where the user may have no wide kernel pipe, a narrow one passes the same bytes."""

        real, refused = fcntl.fcntl, []

        def fcntl_(fd, command, *arguments):
            if command == fcntl.F_SETPIPE_SZ:
                refused.append(fd)
                raise PermissionError(1, "not permitted")
            return real(fd, command, *arguments)

        self.patch(fcntl, "fcntl", fcntl_)
        yield self.test_bulk()
        self.assertEqual(len(refused), 2)

    @inlineCallbacks
    def test_no_descriptors_left(self):
        """Without descriptors for a kernel pipe the bytes go through the process."""
        made, real = [], os.pipe2

        def pipe2(flags):
            if made:
                raise OSError(24, "too many open files")
            made.append(real(flags))
            return made[0]

        self.patch(pipe.os, "pipe2", pipe2)
        self.kind = CoupledPipe
        yield self.connect()
        self.server.pipe.close()
        yield self.finish(Ending.CLOSED)


class CoupledPipeTests(PipeTests, TestCase):
    """The transports are coupled, as on systems without C{splice}."""

    kind = CoupledPipe

    def setUp(self):
        self.patch(pipe, "_is_spliceable", lambda transport: False)
        return super().setUp()
