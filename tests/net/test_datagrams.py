"""Tests for L{gameservers.net.datagrams}: each datagram goes to one game."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net.datagrams import DatagramPort
from gameservers.wire import begins

BOB = ("192.0.2.1", 40000)


class Port:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, Any]] = []

    def write(self, datagram: bytes, addr: Any) -> None:
        self.written.append((datagram, addr))


class Echo(DatagramProtocol):
    noisy = False
    running = False

    def startProtocol(self) -> None:
        self.running = True

    def stopProtocol(self) -> None:
        self.running = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram.upper(), addr)


class DatagramTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()
        self.tic, self.tac = Echo(), Echo()
        games = [(begins(b"tic"), self.tic), (begins(b"tac"), self.tac)]
        self.door = DatagramPort(games, self.metrics)
        self.port = Port()
        self.door.makeConnection(self.port)

    def test_answers_leave_by_the_same_port(self) -> None:
        self.door.datagramReceived(b"tic", BOB)
        self.door.datagramReceived(b"tac", BOB)
        self.assertEqual(self.port.written, [(b"TIC", BOB), (b"TAC", BOB)])

    def test_nobodys(self) -> None:
        for datagram in (b"toe", b"", b"t"):  # a datagram has no more to come
            self.door.datagramReceived(datagram, BOB)
        self.assertEqual(self.port.written, [])
        self.assertEqual(self.metrics.datagrams_dropped, {("door", "unknown"): 3})

    def test_start_and_stop(self) -> None:
        self.assertTrue(self.tic.running and self.tac.running)
        self.door.doStop()
        self.assertFalse(self.tic.running or self.tac.running)
