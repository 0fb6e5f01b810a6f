"""
VCMI in memory, behind a door of its own, and clients that talk to it.
"""

from __future__ import annotations

import re
import struct
from functools import partial
from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import Dependencies
from gameservers.games.vcmi import game
from gameservers.games.vcmi.service import VcmiService
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net import pipe
from gameservers.net.door import Door, Routes, WireFactory
from gameservers.net.guard import DoorSettings, Guard, place_of
from tests.transports import ROOM, MemoryKernelPipe, Network, Peer

#: The door has no limits that matter here.
DOOR = DoorSettings(first_byte_timeout=60, login_timeout=86_400, max_per_address=1_000_000)


#: Hosts without a limit per address.
TRUSTED = (ip_network("198.51.100.0/24"),)


def frame(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


class VcmiTestCase(SynchronousTestCase):
    """What moves bytes between two sockets does so in memory."""

    def setUp(self) -> None:
        self.patch(pipe, "KernelPipe", MemoryKernelPipe)


class House:
    """The service under test with its lobby, its door and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.network = self.clock = Network()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        # Here most launchers come from one address.
        self.settings = VcmiSettings(**{"max_per_address": 100_000, **settings})
        self.service: VcmiService = game.build(
            Dependencies(
                game.name,
                self.lobby,
                self.clock,
                self.settings,
                self.metrics,
                place_of=lambda host: place_of(host, TRUSTED),
            )
        )
        self.door = Door(
            Guard(self.clock, DOOR, self.metrics),
            Routes(
                [
                    (wire.alone, WireFactory(partial(wire.make, self.service)))
                    for wire in game.wires
                ]
            ),
        )
        self.clients: list[Client] = []

    def connect(self, host: str = "192.0.2.1", *, deaf: bool = False) -> Client:
        return Client(self, host, deaf)

    def launcher(
        self,
        name: str,
        version: int = 4,
        program: str = "VCMI 1.3.2",
        *,
        host: str = "192.0.2.1",
        deaf: bool = False,
    ) -> Client:
        """A client that is in the lobby; what it was told so far is forgotten."""
        client = self.connect(host, deaf=deaf)
        client.greet(name, version, program)
        self.settle()
        for each in self.clients:
            each.forget()
        return client

    @property
    def cuts(self) -> dict[str, int]:
        """How many connections were cut off, by reason."""
        return {why: count for (game, why), count in self.metrics.cuts.items() if game == "vcmi"}

    def turn(self, seconds: float = 0) -> None:
        """Let time go by; clients close their side when the server has closed its own."""
        self.network.turn(seconds)
        for each in self.clients:
            socket = each.peer.socket
            if socket.half_closed and not (socket.closed or each.deaf):
                each.peer.end()

    def settle(self) -> None:
        """Let the turn end, and the broadcasts that wait for their interval."""
        for _ in range(3):
            self.turn(0.1)

    def room(self, name: str, *members: Client, places: int = 8, password: str = "") -> None:
        """The first of these launchers opens a room, the others join."""
        host, *guests = members
        host.send(f"<NEW>{name}<PSWD>{password}<COUNT>{places}<MODS>vcmi&1")
        for guest in guests:
            guest.send(f"<JOIN>{name}<PSWD>{password}<MODS>vcmi&1")
        for each in self.clients:
            each.forget()


class Client:
    """
    One connection and what it was sent.

    @ivar deaf: whether it never closes its side: only an abort ends it.
    """

    def __init__(self, house: House, host: str, deaf: bool) -> None:
        self.house = house
        self.deaf = deaf
        self.peer: Peer = house.network.connect(house.door, host)
        house.clients.append(self)

    @property
    def connected(self) -> bool:
        return bool(self.peer.transport.connected)

    @property
    def protocol(self) -> Any:
        return self.peer.protocol

    @property
    def reading(self) -> bool:
        """Whether the server reads what it says."""
        number = self.peer.socket.fileno()
        return any(each.fileno() == number for each in self.house.network.readers)

    @property
    def heard(self) -> bytes:
        """What it was sent and has not forgotten."""
        return bytes(self.peer.socket.outgoing)

    @property
    def writes(self) -> list[bytes]:
        """The same, write by write."""
        writes: list[bytes] = self.peer.socket.sends
        return writes

    def send_bytes(self, data: bytes) -> None:
        """What arrives at once; nothing else happens in this turn."""
        socket = self.peer.socket
        socket.incoming += data
        while socket.incoming and self.peer.reading:
            self.peer.transport.doRead()

    def say(self, data: bytes) -> None:
        """The same, and the turn ends."""
        self.send_bytes(data)
        self.house.turn()

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
        text = self.heard.decode()
        self.forget()
        return [each for each in re.split("(?=:>>)", text) if each]

    def of_kind(self, kind: str) -> list[str]:
        return [each for each in self.messages() if each.startswith(f":>>{kind}:")]

    def forget(self) -> None:
        socket = self.peer.socket
        socket.room += len(socket.outgoing)
        socket.outgoing.clear()
        socket.sends.clear()

    def catch_up(self) -> None:
        """Read whatever there is, and then nothing more."""
        self.peer.socket.room = ROOM
        self.house.turn()
        self.peer.stall()

    def lose(self) -> None:
        """The connection breaks."""
        self.peer.break_off()
        self.house.settle()

    def end(self) -> None:
        """The client closes the connection."""
        self.peer.end()
        self.house.turn()


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
