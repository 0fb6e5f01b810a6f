"""
A VelNet server in memory, and connections to it whose clock and network a test holds.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Request
from wsproto.frame_protocol import Opcode
from wsproto.utilities import LocalProtocolError

from gameservers.games import Carriage, Dependencies
from gameservers.games.velnet import game
from gameservers.games.velnet.service import VelNetService
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramPort
from gameservers.net.door import Door, Routes, WireFactory
from gameservers.net.fair_queue import FairQueue
from gameservers.net.guard import DoorSettings, Guard, place_of
from tests.transports import MemoryPort, Network

HERE = "192.0.2.1"

PORT = 5000


def door(service: VelNetService) -> Door:
    """A port of VelNet's own."""
    streams, sockets = [], {}
    for wire in game.wires:
        factory = WireFactory(partial(wire.make, service))
        if wire.carriage is Carriage.STREAM:
            streams.append((wire.alone, factory))
        elif wire.carriage is Carriage.BINARY:
            sockets[Opcode.BINARY] = factory
    guard = Guard(service.clock, DoorSettings(), service.metrics)
    return Door(guard, Routes(streams, sockets))


class World:
    """The server, with a port of its own for each transport."""

    def __init__(self, **settings: Any) -> None:
        self.network = Network()
        self.metrics = Metrics()
        self.lobby = Lobby(self.network, self.metrics)
        self.settings = VelNetSettings(**settings)
        self.service = game.build(
            Dependencies("velnet", self.lobby, self.network, self.settings, self.metrics)
        )
        self.door = door(self.service)
        self.queue = FairQueue(self.network, DoorSettings(), place_of)
        self.datagrams: list[Any] = []
        self.port = self.listen()
        self._next = 40_000

    def listen(self) -> MemoryPort:
        """A UDP port."""
        wires = [wire for wire in game.wires if wire.carriage is Carriage.DATAGRAM]
        made = [wire.make(self.service) for wire in wires]
        self.datagrams += made
        claims = [(wire.alone, protocol) for wire, protocol in zip(wires, made, strict=True)]
        protocol = DatagramPort(claims, self.queue, self.metrics)
        port = MemoryPort(PORT, protocol, "", MAX_DATAGRAM, self.network)
        port.startListening()
        return port

    def turn(self, seconds: float = 0) -> None:
        """Let time go by, until there is nothing left to do now."""
        self.network.turn(seconds)

    def connect(self, host: str = HERE) -> Peer:
        self._next += 1
        return Peer(self, host, self._next)

    def datagram(self, datagram: bytes, address: tuple[str, int]) -> list[bytes]:
        """Send one datagram; what comes back to its sender at once."""
        seen = len(self.port.socket.sent)
        self.port.socket.incoming.append((datagram, address))
        self.port.doRead()
        return [each for each, to in self.port.socket.sent[seen:] if to == address]

    def cuts(self, why: str, by: str = "velnet") -> int:
        return self.metrics.cuts[by, why]


class Peer:
    """One client's end of a stream, and the address its datagrams come from."""

    def __init__(self, world: World, host: str, port: int) -> None:
        self.world = world
        self.udp = (host, port)
        self.end = world.network.connect(world.door, host)
        self.slow = False

    @property
    def connected(self) -> bool:
        return not self.end.ended

    @property
    def reading(self) -> bool:
        """Whether the server reads what this client says."""
        return self.end.reading

    def say(self, data: bytes) -> None:
        """Send bytes; the turn goes on."""
        self.end.socket.incoming += data
        while self.end.socket.incoming and self.reading:
            if self.end.transport.doRead() is not None:
                break

    def hear(self) -> bytes:
        """End the turn; what has come since the last time."""
        heard = self.end.received()
        if self.slow:
            self.end.stall()
        return heard

    def ask(self, data: bytes) -> bytes:
        self.say(data)
        return self.hear()

    def stop_reading(self) -> None:
        """From now on the network takes nothing more for this client."""
        self.slow = True
        self.end.stall()

    def drop(self) -> None:
        self.end.break_off()

    def fly(self, datagram: bytes) -> None:
        self.world.datagram(datagram, self.udp)

    def caught(self) -> list[bytes]:
        """The datagrams that have come since the last time."""
        sent = self.world.port.socket.sent
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
