"""
The accounts, on every database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from gameservers.store import (
    Account,
    Accounts,
    NameTaken,
    NotFound,
    PasswordRecord,
    Store,
    StoreSettings,
)
from gameservers.store.accounts import MAX_NAME, has_cookie, hash_of
from tests.store import databases

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PASSWORD = PasswordRecord("scrypt", "ab" * 64, "cd" * 16, "14:8:1")


class AccountTests:
    """The mixin: C{database} makes one and gives its URL."""

    database: databases.Database

    async def setUp(self) -> None:
        made = type(self).database()
        url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.store = Store(StoreSettings(database=url), reactor)
        self.store.startService()
        self.addCleanup(self.store.stopService)
        self.chess = Accounts("chess")
        await self.store.ready()

    def create(self, account: Account) -> Deferred[None]:
        return self.store.change(self.chess.create, account)

    def find(self, name: str) -> Deferred[Account | None]:
        return self.store.ask(self.chess.find, name)

    async def refused(self, kind: type[Exception], deferred: Deferred[Any]) -> None:
        try:
            await deferred
        except kind:
            return
        raise self.failureException("it was done")

    async def test_account(self) -> None:
        """With a password, a cookie, both or neither, it comes back as it was made."""
        cookie = hash_of("secret")
        for name, password, its_cookie in (
            ("neither", None, None),
            ("password", PASSWORD, None),
            ("cookie", None, cookie),
            ("x" * MAX_NAME, PASSWORD, cookie),
        ):
            made = Account(name, NOON, password, its_cookie)
            await self.create(made)
            self.assertEqual(await self.find(name), made)
        self.assertIsNone(await self.find("ann"))
        await self.refused(ValueError, self.create(Account("x" * (MAX_NAME + 1), NOON)))

    async def test_games(self) -> None:
        """A name in one game says nothing in another."""
        await self.create(Account("ann", NOON))
        await self.refused(NameTaken, self.create(Account("ann", LATER)))
        other = Accounts("go")
        self.assertIsNone(await self.store.ask(other.find, "ann"))
        await self.store.change(other.create, Account("ann", NOON, PASSWORD))
        await self.store.change(other.touch, ["ann"], LATER)
        await self.store.change(other.change_cookie, "ann", hash_of("x"))
        self.assertEqual(await self.find("ann"), Account("ann", NOON))
        self.assertEqual(await self.store.ask(other.seen_before, LATER), ())
        self.assertTrue(await self.store.change(other.remove, "ann"))
        self.assertIsNotNone(await self.find("ann"))

    async def test_change(self) -> None:
        """A password and a cookie are replaced, or taken away, each for itself."""
        await self.create(Account("ann", NOON))
        await self.create(Account("bob", NOON))
        await self.store.change(self.chess.change_password, "ann", PASSWORD)
        await self.store.change(self.chess.change_cookie, "ann", hash_of("one"))
        found = await self.find("ann")
        self.assertEqual(found, Account("ann", NOON, PASSWORD, hash_of("one")))
        self.assertTrue(has_cookie(found, "one"))
        self.assertFalse(has_cookie(found, "two"))
        await self.store.change(self.chess.change_password, "ann", None)
        await self.store.change(self.chess.change_cookie, "ann", None)
        for name in ("ann", "bob"):
            found = await self.find(name)
            self.assertEqual(found, Account(name, NOON))
            self.assertFalse(has_cookie(found, ""))
        for change, to in (
            (self.chess.change_password, PASSWORD),
            (self.chess.change_cookie, hash_of("x")),
        ):
            await self.refused(NotFound, self.store.change(change, "tim", to))

    async def test_seen(self) -> None:
        """Those that were seen are no longer among the old; the oldest come first."""
        for name, at in (("ann", NOON), ("bob", NOON - timedelta(days=1)), ("cat", LATER)):
            await self.create(Account(name, at))
        self.assertEqual(await self.store.ask(self.chess.seen_before, LATER), ("bob", "ann"))
        self.assertEqual(await self.store.ask(self.chess.seen_before, LATER, 1), ("bob",))
        many = ["bob", *(f"nobody{number}" for number in range(1200))]
        self.assertEqual(await self.store.change(self.chess.touch, many, LATER), 1)
        self.assertEqual(await self.store.ask(self.chess.seen_before, LATER), ("ann",))
        self.assertEqual((await self.find("bob")).last_seen, LATER)

    async def test_remove(self) -> None:
        """One who came back in time stays."""
        await self.create(Account("ann", NOON))
        self.assertFalse(await self.store.change(self.chess.remove, "ann", unseen_since=NOON))
        self.assertTrue(await self.store.change(self.chess.remove, "ann", unseen_since=LATER))
        self.assertFalse(await self.store.change(self.chess.remove, "ann"))
        self.assertIsNone(await self.find("ann"))


class MemoryTests(AccountTests, TestCase):
    database = databases.memory


class SqliteTests(AccountTests, TestCase):
    database = databases.sqlite


class PostgresqlTests(AccountTests, TestCase):
    database = databases.postgresql


class MariadbTests(AccountTests, TestCase):
    database = databases.mariadb
