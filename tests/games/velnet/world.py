"""
A VelNet server in memory, and connections to it whose clock and wires a test holds.
"""

from __future__ import annotations

from contextlib import suppress
from errno import EAGAIN
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Request
from wsproto.utilities import LocalProtocolError

from gameservers.games import Surroundings
from gameservers.games.velnet import VelNet
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics

HERE = "192.0.2.1"


class Wire(StringTransport):
    """
    A stream transport that closes in the next turn, as real ones do.

    @ivar room: bytes that the peer has room for, before writing him asks for a pause.
    """

    protocol: Any

    def __init__(self, clock: Clock, host: str, port: int) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, port), lenient=True)
        self._clock = clock
        self.room = 1 << 30

    def write(self, data: bytes) -> None:
        if self.connected:
            super().write(data)
            self.room -= len(data)
            if self.room < 0 and self.producer is not None:
                self.producer.pauseProducing()

    def loseConnection(self) -> None:
        super().loseConnection()
        self._clock.callLater(0, self.lose)

    def lose(self) -> None:
        """The connection is gone, whoever wanted it."""
        if self.connected:
            self.connected = False
            self.disconnecting = True
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(ConnectionDone()))


class Air:
    """Where datagrams go; C{full} is a network that takes none."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.full = False

    def write(self, datagram: bytes, address: tuple[str, int]) -> None:
        if self.full:
            raise OSError(EAGAIN, "full")
        self.sent.append((datagram, address))


class World:
    """The server."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.settings = VelNetSettings(**settings)
        wires = VelNet().build(
            Surroundings(self.lobby, self.clock, self.settings, metrics=self.metrics)
        )
        self.factory: Any = wires.stream
        self.relay = self.factory.relay
        self.make_port: Any = wires.datagram
        self.datagrams: Any = self.make_port()
        self.air = Air()
        self.datagrams.makeConnection(self.air)
        self._port = 40_000

    def turn(self, seconds: float = 0) -> None:
        """Let a reactor turn end, and another, in which connections are lost."""
        self.clock.advance(seconds)
        self.clock.advance(0)

    def connect(self, host: str = HERE) -> Peer:
        self._port += 1
        return Peer(self, host, self._port)

    def datagram(self, datagram: bytes, address: tuple[str, int]) -> list[bytes]:
        """Send one datagram; what comes back to its sender at once."""
        seen = len(self.air.sent)
        self.datagrams.datagramReceived(datagram, address)
        return [each for each, to in self.air.sent[seen:] if to == address]

    def cuts(self, why: str) -> int:
        return self.metrics.cuts["velnet", why]


class Peer:
    """One client's end of a stream, and the address its datagrams come from."""

    def __init__(self, world: World, host: str, port: int) -> None:
        self.world = world
        self.udp = (host, port)
        self.wire = Wire(world.clock, host, port)
        self.wire.protocol = world.factory.buildProtocol(None)
        self.wire.protocol.makeConnection(self.wire)

    @property
    def connected(self) -> bool:
        return bool(self.wire.connected)

    def say(self, data: bytes) -> None:
        """Send bytes; the turn goes on."""
        if self.wire.connected:
            self.wire.protocol.dataReceived(data)

    def hear(self) -> bytes:
        """End the turn; what has come since the last time."""
        self.world.turn()
        heard = self.wire.value()
        self.wire.clear()
        return heard

    def ask(self, data: bytes) -> bytes:
        self.say(data)
        return self.hear()

    def drop(self) -> None:
        self.wire.lose()

    def fly(self, datagram: bytes) -> None:
        self.world.datagrams.datagramReceived(datagram, self.udp)

    def caught(self) -> list[bytes]:
        """The datagrams that have come since the last time."""
        sent = self.world.air.sent
        mine = [each for each, to in sent if to == self.udp]
        sent[:] = [each for each in sent if each[1] != self.udp]
        return mine


class WebSocketPeer(Peer):
    """
    A client whose stream is in a WebSocket.

    @ivar answers: whether it answers the server's end of the WebSocket with its own.
    """

    answers = True

    def __init__(self, world: World, host: str, port: int) -> None:
        super().__init__(world, host, port)
        self.socket = WSConnection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        super().say(self.socket.send(Request(host="velnet.example", target="/")))
        self.hear()

    def say(self, data: bytes) -> None:
        super().say(self.socket.send(BytesMessage(data)))

    def send(self, event: Event) -> None:
        super().say(self.socket.send(event))

    def hear(self) -> bytes:
        self.socket.receive_data(super().hear())
        heard = list(self.socket.events())
        self.events += heard
        for event in heard:
            if isinstance(event, CloseConnection) and self.answers:
                with suppress(LocalProtocolError):  # it may be the answer to ours
                    self.send(event.response())
                    self.world.turn()
        return b"".join(bytes(each.data) for each in heard if isinstance(each, BytesMessage))

    @property
    def close_code(self) -> int | None:
        codes = [int(each.code) for each in self.events if isinstance(each, CloseConnection)]
        return codes[0] if codes else None


def data(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def text(name: str | bytes) -> bytes:
    encoded = name.encode() if isinstance(name, str) else name
    return bytes([len(encoded)]) + encoded


def u32(*numbers: int) -> bytes:
    return b"".join(each.to_bytes(4, "big") for each in numbers)


def log_in(name: str = "dev", application: str = "App") -> bytes:
    return b"\x00" + text(name) + text(application)


def join(room: str) -> bytes:
    return b"\x02" + text(room)


KEEP_ALIVE = b"\x0a" + data(b"\x09--------")


def text_player(world: World, room: str = "") -> Peer:
    peer = world.connect()
    peer.ask(b"0:name:\n")
    if room:
        peer.ask(f"2:{room}\n".encode())
    return peer


def binary_player(world: World, room: str = "", application: str = "App") -> Peer:
    """One of generation 2."""
    peer = world.connect()
    peer.say(log_in(application=application))
    peer.ask(KEEP_ALIVE)
    if room:
        peer.ask(join(room))
    return peer
