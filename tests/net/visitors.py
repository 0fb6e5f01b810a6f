"""Connections to a door, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


def address(host: str) -> IAddress:
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 40000)


class Connection(StringTransport):
    """
    The server's end of a connection, which knows its protocol as a real one does.

    @ivar cut: whether the server cut it off.
    """

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__(peerAddress=address(host))
        self.protocol: Protocol
        self.cut = False

    def abortConnection(self) -> None:
        if not self.cut:
            self.cut = True
            self.connectionLost(Failure(ConnectionAborted()))

    def hang_up(self) -> None:
        """The peer ends it."""
        self.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure) -> None:
        self.protocol.connectionLost(reason)

    def say(self, data: bytes, size: int = 1 << 30) -> None:
        """The peer says something, in pieces of this size."""
        for start in range(0, len(data), size):
            if not self.cut:
                self.protocol.dataReceived(data[start : start + size])

    def heard(self) -> bytes:
        """What the peer has been told since the last time."""
        said = self.value()
        self.clear()
        return said


def connect(factory: IProtocolFactory, host: str = "192.0.2.1") -> Connection:
    connection = Connection(host)
    protocol = factory.buildProtocol(address(host))
    connection.protocol = protocol
    protocol.makeConnection(connection)
    return connection


class Listener(Protocol):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost = False
        self.ticket: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True
        self.ticket.lost()


class Listeners(ServerFactory):
    """A game of listeners."""

    noisy = False
    protocol = Listener

    def __init__(self) -> None:
        self.built: list[Listener] = []
        self.running = False

    def startFactory(self) -> None:
        self.running = True

    def stopFactory(self) -> None:
        self.running = False

    def buildProtocol(self, addr: IAddress | None) -> Listener:
        self.built.append(Listener())
        return self.built[-1]
