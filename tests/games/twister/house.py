"""An arena in memory: its clock, its lobby, and datagrams that go nowhere."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock

from gameservers.games.twister.arena import Address
from gameservers.games.twister.protocol import Desk, TwisterProtocol
from gameservers.games.twister.service import TwisterService
from gameservers.games.twister.settings import TwisterSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from tests.games.twister.api import Connection

ADMIN_KEY = "ad" * 16

#: Hosts: one of the machine itself, and some from outside, which are not trusted.
LOOPBACK = "127.0.0.1"
ALICE: Address = ("192.0.2.1", 40001)
BOB: Address = ("192.0.2.2", 40002)
CAROL: Address = ("198.51.100.3", 40003)


class Transport:
    """A UDP port and its socket: keeps what is sent."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, Address]] = []
        self.fails: OSError | None = None

    def getHandle(self) -> Transport:
        return self

    def sendto(self, datagram: bytes, addr: Address) -> None:
        if self.fails is not None:
            raise self.fails
        self.written.append((datagram, addr))


class House:
    """A server with nothing but the arena, unless told otherwise by settings."""

    def __init__(self, admin_key: str = ADMIN_KEY, **settings: Any) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.settings = TwisterSettings(**{"admin_key_file": "", **settings})
        self.desk = Desk(self.lobby, self.clock, self.settings, admin_key, self.metrics)
        self.protocol = TwisterProtocol(self.desk)
        self.arena = self.desk.arena
        self.transport = Transport()
        self.protocol.transport = self.transport  # type: ignore[assignment]
        self.service = TwisterService(self.desk, self.clock, self.settings, admin_key)

    def exchange(self, datagram: bytes, address: Address = ALICE) -> bytes | None:
        """Send one datagram and return the reply, which must go where it came from."""
        before = len(self.transport.written)
        self.protocol.datagramReceived(datagram, address)
        replies = self.transport.written[before:]
        assert len(replies) <= 1, replies
        for reply, target in replies:
            assert target == address, target
            return reply
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
