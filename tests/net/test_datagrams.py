"""Tests for L{gameservers.net.datagrams}: each datagram goes to one game."""

from __future__ import annotations

from errno import ECONNREFUSED

from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net import datagrams
from gameservers.net.address import Address
from gameservers.net.datagrams import MAX_DATAGRAM, RETRY, DatagramPort, Datagrams
from gameservers.net.fair_queue import FairQueue
from gameservers.net.guard import DoorSettings, place_of
from gameservers.wire import begins
from tests.transports import MemoryPort, Network

BOB = ("192.0.2.1", 40000)


class Echo(Datagrams):
    running = False

    def startProtocol(self) -> None:
        super().startProtocol()
        self.running = True

    def stopProtocol(self) -> None:
        super().stopProtocol()
        self.running = False

    def received(self, datagram: bytes, address: Address) -> None:
        self.send(datagram.upper(), address)


class DatagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.metrics = Metrics()
        self.tic, self.tac = (Echo(name, self.network, self.metrics) for name in ("tic", "tac"))
        games = [(begins(b"tic"), self.tic), (begins(b"tac"), self.tac)]
        queue = FairQueue(self.network, DoorSettings(), place_of)
        door = DatagramPort(games, queue, self.metrics)
        self.port = MemoryPort(5002, door, "", MAX_DATAGRAM, self.network)
        self.port.startListening()
        self.socket = self.port.socket

    def arrive(self, *datagrams: bytes) -> None:
        self.socket.incoming += [(each, BOB) for each in datagrams]
        self.port.doRead()

    def test_answers_leave_by_the_same_port(self) -> None:
        self.arrive(b"tic", b"tac")
        self.assertEqual(self.socket.sent, [(b"TIC", BOB), (b"TAC", BOB)])

    def test_nobodys(self) -> None:
        self.arrive(b"toe", b"", b"t")  # a datagram has no more to come
        self.assertEqual(self.socket.sent, [])
        self.assertEqual(self.metrics.datagrams_dropped, {("door", "unknown"): 3})

    def test_start_and_stop(self) -> None:
        self.assertTrue(self.tic.running and self.tac.running)
        self.port.stopListening()
        self.network.turn()
        self.assertFalse(self.tic.running or self.tac.running)

    def test_empty_datagrams(self) -> None:
        """A port that is sent datagrams without a byte for ever does not read for ever."""
        reads = 0

        def receive(size: int) -> tuple[bytes, Address]:
            nonlocal reads
            reads += 1
            return b"", BOB

        self.patch(self.socket, "recvfrom", receive)
        self.port.doRead()
        self.assertEqual(reads, datagrams.MAX_READ)

    def test_nothing_to_read(self) -> None:
        """What the network says of an earlier answer is no reason to stop."""

        def receive(size: int) -> tuple[bytes, Address]:
            raise ConnectionRefusedError(ECONNREFUSED, "refused")

        with_error = self.patch(self.socket, "recvfrom", receive)
        self.port.doRead()
        with_error.restore()
        self.arrive(b"tic")
        self.assertEqual(self.socket.sent, [(b"TIC", BOB)])

    def test_what_waited_for_the_network(self) -> None:
        """It is sent in parts, so that a long queue holds up nobody."""
        self.patch(datagrams, "MAX_RESENT", 2)
        self.socket.full = True
        self.arrive(*[b"tic"] * 5)
        self.socket.full = False
        for sent in (2, 4, 5):
            self.network.advance(RETRY)
            self.assertEqual(len(self.socket.sent), sent)
        self.assertEqual(self.network.getDelayedCalls(), [])
