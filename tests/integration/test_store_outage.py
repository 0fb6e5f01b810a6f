"""
The database server goes away and comes back, seen through a forwarded port.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import make_url
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import SCHEMA, TicTacToeRecords
from gameservers.store import (
    Account,
    Store,
    StoreSettings,
    Unavailable,
    Uncertain,
)
from tests.integration.processes import free_port
from tests.store import databases

#: How long a call to the database may take, in seconds: what has to succeed does so in time on a
#: busy machine, too.
TIMEOUT = 4.0

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Line(ProxyServer):
    """One forwarded connection, which its factory knows."""

    def connectionMade(self) -> None:
        self.factory.lines.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any) -> None:
        self.factory.lines.discard(self)
        super().connectionLost(reason)


class Forward(ProxyFactory):
    protocol = Line
    noisy = False

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.lines: set[Line] = set()


class OutageTests:
    """The mixin: C{database} makes a database on a server."""

    database: databases.Database

    async def setUp(self) -> None:
        made = type(self).database()
        url = make_url(made.__enter__())
        self.addCleanup(made.__exit__, None, None, None)
        self.forward = Forward(url.host, {"postgresql": 5432, "mariadb": 3306}[url.drivername])
        self.number = free_port()
        self.port: IListeningPort = reactor.listenTCP(
            self.number, self.forward, interface="127.0.0.1"
        )
        self.addCleanup(self.cut)
        settings = StoreSettings(
            database=url.set(port=self.number).render_as_string(hide_password=False),
            database_timeout=TIMEOUT,
            database_backoff=0.1,
        )
        store = Store(settings, reactor, [SCHEMA])
        store.startService()
        self.addCleanup(store.stopService)
        await store.ready()
        self.records = TicTacToeRecords(store)

    async def cut(self) -> None:
        """Nobody listens any more, and open connections end."""
        for line in list(self.forward.lines):
            line.transport.abortConnection()
        await self.port.stopListening()

    def create(self, name: str) -> Deferred[None]:
        return self.records.create_account(Account(name, NOON), 1000)

    async def unavailable(self, deferred: Deferred[Any]) -> Unavailable:
        began = reactor.seconds()
        try:
            await deferred
        except Unavailable as problem:
            # The drivers would have waited four times as long.
            self.assertLess(reactor.seconds() - began, 3 * TIMEOUT)
            return problem
        raise self.failureException("it was available")

    async def test_away(self) -> None:
        """Calls fail after their time; as soon as the server is back they succeed."""
        await self.create("before")
        await self.cut()
        change, question = self.create("meanwhile"), self.records.account("before")
        problem = await self.unavailable(change)
        self.assertNotIsInstance(problem, Uncertain)
        await self.unavailable(question)
        late = self.create("late")
        self.port = reactor.listenTCP(self.number, self.forward, interface="127.0.0.1")
        await late
        names = [each.name for each in (await self.records.ranking(None)).top]
        self.assertEqual(names, ["before", "late"])

    async def test_short_cut(self) -> None:
        """A lost connection alone is noticed by nobody."""
        await self.create("before")
        for line in list(self.forward.lines):
            line.transport.abortConnection()
        await self.create("after")
        self.assertIsNotNone(await self.records.account("before"))

    async def test_silent(self) -> None:
        """A server that says nothing: what became of the change is uncertain."""
        await self.create("before")
        await self.records.account("before")
        lines = list(self.forward.lines)
        for line in lines:
            line.transport.pauseProducing()
        change, question = self.create("meanwhile"), self.records.account("before")
        self.assertIsInstance(await self.unavailable(change), Uncertain)
        await self.unavailable(question)
        for line in lines:
            line.transport.resumeProducing()
        await self.create("after")
        # The server had heard of it after all.
        self.assertIsNotNone(await self.records.account("meanwhile"))


class PostgresqlTests(OutageTests, TestCase):
    database = databases.postgresql


class MariadbTests(OutageTests, TestCase):
    database = databases.mariadb
