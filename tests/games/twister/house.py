"""An arena in memory: its clock, its lobby, and a UDP port whose socket is a list."""

from __future__ import annotations

import json
from typing import Any

from gameservers.games import Dependencies
from gameservers.games.twister import game
from gameservers.games.twister.protocol import TwisterProtocol
from gameservers.games.twister.service import TwisterService
from gameservers.games.twister.settings import TwisterSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.address import Address
from gameservers.net.datagrams import MAX_DATAGRAM, DatagramPort
from gameservers.net.fair_queue import FairQueue
from gameservers.net.guard import DoorSettings, place_of
from gameservers.wire import anything
from tests.games.twister.api import Connection
from tests.transports import MemoryPort, Network

ADMIN_KEY = "ad" * 16

#: Hosts: one of the machine itself, and some from outside, which are not trusted.
LOOPBACK = "127.0.0.1"
ALICE: Address = ("192.0.2.1", 40001)
BOB: Address = ("192.0.2.2", 40002)
CAROL: Address = ("198.51.100.3", 40003)


class House:
    """A server with nothing but the arena, unless told otherwise by settings."""

    def __init__(self, admin_key: str = ADMIN_KEY, **settings: Any) -> None:
        self.clock = Network()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        # Here most clients come from one address.
        usual = {"admin_key_file": "", "max_per_address": 10_000}
        self.settings = TwisterSettings(**{**usual, **settings})
        dependencies = Dependencies(game.name, self.lobby, self.clock, self.settings, self.metrics)
        self.service = TwisterService(dependencies, admin_key)
        self.session = self.service.session
        self.arena = self.session.arena
        self.protocol = TwisterProtocol(self.service)
        queue = FairQueue(self.clock, DoorSettings(), place_of)
        port = DatagramPort([(anything, self.protocol)], queue, self.metrics)
        self.port = MemoryPort(9265, port, "", MAX_DATAGRAM, self.clock)
        self.port.startListening()
        self.socket = self.port.socket

    def exchange(self, datagram: bytes, address: Address = ALICE) -> bytes | None:
        """Send one datagram and return the reply, which must go where it came from."""
        before = len(self.socket.sent)
        self.socket.incoming.append((datagram, address))
        self.port.doRead()
        replies = self.socket.sent[before:]
        assert len(replies) <= 1, replies
        for reply, target in replies:
            assert target == address, target
            return bytes(reply)
        return None

    def ask(self, address: Address = ALICE, **request: Any) -> Any:
        """Send one request and return the reply, decoded."""
        reply = self.exchange(json.dumps(request).encode(), address)
        assert reply is not None, request
        return json.loads(reply)

    def status(self, address: Address = ALICE, **request: Any) -> int:
        status: int = self.ask(address, **request)["status"]
        return status

    def client(self, address: Address = ALICE, *, connected: bool = True) -> Connection:
        """The API client, at an address."""

        def exchange(datagram: bytes, buffer: int) -> bytes:
            reply = self.exchange(datagram, address)
            assert reply is not None, "the API client hangs"
            return reply[:buffer]

        connection = Connection(exchange)
        if connected:
            connection.connect()
        return connection
