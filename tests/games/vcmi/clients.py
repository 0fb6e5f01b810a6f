"""
A house with one VCMI factory in memory, and launchers that talk to it.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

from gameservers.games.vcmi.protocol import VcmiFactory
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics


def frame(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


class MemoryTransport(StringTransportWithDisconnection):
    """
    A transport whose other end can end or break, and which remembers each write.

    @ivar writes: what was written, write by write.
    """

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 40000))
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    def abortConnection(self) -> None:
        self.aborting = True
        self.break_off(Failure(ConnectionLost()))

    def loseConnection(self) -> None:
        self.break_off(Failure(ConnectionDone()))

    def break_off(self, reason: Failure) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(reason)


class SlowTransport(MemoryTransport):
    """A transport whose other end reads nothing: it asks for a pause at the first byte."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()


class DeafTransport(MemoryTransport):
    """A transport whose other end never closes its side: only an abort ends it."""

    def loseConnection(self) -> None:
        self.disconnecting = True


class House:
    """The factory under test with its lobby and clock."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.settings = VcmiSettings(**settings)
        self.factory = VcmiFactory(self.lobby, self.clock, self.settings, self.metrics)

    def connect(
        self, host: str = "192.0.2.1", kind: type[MemoryTransport] | None = None
    ) -> Client:
        return Client(self, host, kind or MemoryTransport)

    def launcher(
        self,
        name: str,
        version: int = 4,
        program: str = "VCMI 1.3.2",
        kind: type[MemoryTransport] | None = None,
    ) -> Client:
        """Somebody who is in the lobby; what he was told so far is forgotten."""
        client = self.connect(kind=kind)
        client.greet(name, version, program)
        self.settle()
        for each in self.clients:
            each.forget()
        return client

    @property
    def clients(self) -> list[Client]:
        return list(self._clients)

    @property
    def cuts(self) -> dict[str, int]:
        """How many connections were cut off, by reason."""
        return {why: count for (game, why), count in self.metrics.cuts.items() if game == "vcmi"}

    _clients: list[Client]

    def __new__(cls, **settings: Any) -> House:
        house = super().__new__(cls)
        house._clients = []
        return house

    def settle(self) -> None:
        """Let the turn end, and the broadcasts that wait for their interval."""
        for _ in range(3):
            self.clock.advance(0.1)

    def room(self, name: str, *members: Client, places: int = 8, password: str = "") -> None:
        """The first of these launchers opens a room, the others join."""
        host, *guests = members
        host.send(f"<NEW>{name}<PSWD>{password}<COUNT>{places}<MODS>vcmi&1")
        for guest in guests:
            guest.send(f"<JOIN>{name}<PSWD>{password}<MODS>vcmi&1")
        for each in self.clients:
            each.forget()


class Client:
    """One connection and what it was sent."""

    def __init__(
        self, house: House, host: str = "192.0.2.1", kind: type[MemoryTransport] = MemoryTransport
    ) -> None:
        self.house = house
        self.protocol: Any = house.factory.buildProtocol(None)
        self.transport: Any = kind(host)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        house._clients.append(self)

    @property
    def connected(self) -> bool:
        return bool(self.transport.connected)

    def send_bytes(self, data: bytes) -> None:
        """What arrives in one segment; nothing else happens in this turn."""
        if self.transport.connected:
            self.transport.protocol.dataReceived(data)

    def send_frame(self, data: bytes) -> None:
        self.send_bytes(frame(data))
        self.house.settle()

    def send(self, text: str) -> None:
        self.send_frame(text.encode())

    def greet(self, name: str, version: int = 4, program: str = "VCMI 1.3.2") -> None:
        self.send_frame(
            bytes((version, 4)) + b"utf8" + f"<GREETINGS>{name}<VER>{program}".encode()
        )

    def messages(self) -> list[str]:
        """What was received since the last call, message by message."""
        text = self.transport.value().decode()
        self.forget()
        return [each for each in re.split("(?=:>>)", text) if each]

    def of_kind(self, kind: str) -> list[str]:
        return [each for each in self.messages() if each.startswith(f":>>{kind}:")]

    def forget(self) -> None:
        self.transport.clear()
        self.transport.writes.clear()

    def lose(self) -> None:
        """The connection breaks."""
        self.transport.break_off(Failure(ConnectionLost()))
        self.house.settle()


def pipe_hello(role: str, uuid: str, magic: bytes = b"Aiya!\n") -> bytes:
    """The three frames with which a game connection begins."""
    return frame(magic) + frame(role.encode()) + frame(uuid.encode())


def started_game(house: House, *names: str) -> tuple[str, list[str]]:
    """
    Players of these names have met and started a game.

    @return: the uuid of the game's server, and those of the players.
    """
    players = [house.launcher(name) for name in names]
    house.room("Arena", *players)
    players[0].send("<FORCESTART>Arena")
    told = [each.messages() for each in players]
    host = next(each for each in told[0] if each.startswith(":>>HOST:")).split(":")[2]
    starts = [next(each for each in one if each.startswith(":>>START:")) for one in told]
    return host, [each.split(":")[2] for each in starts]
