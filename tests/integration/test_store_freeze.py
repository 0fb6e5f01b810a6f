"""
The database stands still for two seconds: nobody else notices, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection, create_engine
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import SCHEMA, TicTacToeRecords
from gameservers.store import Account, Store, StoreSettings
from gameservers.store.backends import find_backend
from tests.games.tictactoe.kept import rating_of
from tests.store import databases

#: How long the database is frozen, in seconds.
FROZEN = 2.0

#: The longest that anything else may be kept waiting, in seconds.
LONGEST_GAP = 0.05

#: A busy machine can keep us waiting too; a call that blocks does so every time.
ATTEMPTS = 10

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class FreezeTests:
    """The mixin: C{database} makes a database, C{lock} freezes it for everybody else."""

    database: databases.Database
    lock: str
    unlock = "ROLLBACK"

    def setUp(self) -> None:
        made = type(self).database()
        self.url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)

    @contextmanager
    def frozen(self) -> Iterator[Connection]:
        engine = create_engine(
            find_backend(StoreSettings(database=self.url)).url, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            for statement in self.lock.split(";"):
                connection.exec_driver_sql(statement)
            yield connection
            connection.exec_driver_sql(self.unlock)
        engine.dispose()

    async def test_frozen(self) -> None:
        """The reactor ticks on, and the calls of meanwhile succeed afterwards."""
        store = Store(StoreSettings(database=self.url), reactor, [SCHEMA])
        store.startService()
        self.addCleanup(store.stopService)
        await store.ready()
        gap = 0.0
        for attempt in range(ATTEMPTS):
            gap = await self.longest_gap(TicTacToeRecords(store), f"n{attempt}")
            if gap < LONGEST_GAP:
                return
        self.fail(f"the reactor stood still for {gap * 1000:.0f} ms")

    async def longest_gap(self, records: TicTacToeRecords, prefix: str) -> float:
        ticks: list[float] = []
        ticking = LoopingCall(lambda: ticks.append(reactor.seconds()))
        with self.frozen():
            ticking.start(0.005)
            waiting = [
                records.create_account(Account(f"{prefix}_{number}", NOON), 1000)
                for number in range(100)
            ]
            asked = records.ranking(f"{prefix}_0")
            await deferLater(reactor, FROZEN, lambda: None)
            ticking.stop()
            self.assertEqual([each for each in waiting if each.called], [])
        await gatherResults([*waiting, asked])
        self.assertEqual(await rating_of(records, f"{prefix}_99"), 1000)
        return max(b - a for a, b in pairwise(ticks))


class SqliteTests(FreezeTests, TestCase):
    database = databases.sqlite
    lock = "BEGIN EXCLUSIVE"


class PostgresqlTests(FreezeTests, TestCase):
    database = databases.postgresql
    lock = "BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"


class MariadbTests(FreezeTests, TestCase):
    database = databases.mariadb
    lock = "LOCK TABLES accounts WRITE"
    unlock = "UNLOCK TABLES"
