"""
Moving from one database to another.
"""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import create_engine, select, text
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import Match, TicTacToeRecords
from gameservers.games.tilegame.records import TileGameRecords
from gameservers.games.tilegame.world import SavedWorld
from gameservers.store import Account, BadDatabase, PasswordRecord, Store, StoreSettings
from gameservers.store import __main__ as command
from gameservers.store.accounts import SCHEMA as SERVER
from gameservers.store.backends import find_backend
from gameservers.store.schema import installed
from tests.store import databases

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def rows(url: str) -> dict[str, list[Any]]:
    engine = create_engine(find_backend(StoreSettings(database=url)).url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for schema in (SERVER, *installed())
            for table in schema.metadata.sorted_tables
        }
    engine.dispose()
    return found


class CopyTests:
    """The mixin: C{database} is the database that is moved to."""

    database: databases.Database

    async def setUp(self) -> None:
        self.patch(command, "CHUNK", 2)
        self.old = self.make(databases.sqlite)
        self.new = self.make(type(self).database)
        store = Store(StoreSettings(database=self.old), reactor, installed())
        store.startService()
        records = TicTacToeRecords(store)
        password = PasswordRecord("scrypt", "ab" * 64, "cd" * 16, "n=2")
        for name in ("ann", "bob", "änn"):
            await records.create_account(Account(name, NOON, password), 1000)
        await records.open_session("1", "ann", NOON)
        await records.open_temporary_session("2", "tim", NOON)
        await records.befriend("ann", "bob", 100)
        for number in range(5):
            match = Match(str(number), "ann", "bob", "{}", None, True, NOON)
            await records.open_match(match, 1)
            await records.finish_match(match, "won", "ann", seen=["ann"])
        await TileGameRecords(store).save(SavedWorld("{}", bytes(range(256))))
        await store.stopService()

    def make(self, database: databases.Database) -> str:
        made = database()
        url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        return url

    def test_copy(self) -> None:
        """Every row arrives, and goes the other way as well."""
        copied = command.copy(self.old, self.new)
        self.assertEqual((copied["accounts"], copied["tictactoe_matches"]), (3, 5))
        self.assertEqual(rows(self.new), rows(self.old))
        back = self.make(databases.sqlite)
        command.copy(self.new, back)
        self.assertEqual(rows(back), rows(self.old))

    def test_not_twice(self) -> None:
        """A database with rows is left as it is."""
        command.copy(self.old, self.new)
        before = rows(self.new)
        self.assertRaises(BadDatabase, command.copy, self.old, self.new)
        self.assertEqual(rows(self.new), before)

    def test_not_installed(self) -> None:
        """Tables of a game that is not installed stay behind, which is said."""
        with find_backend(StoreSettings(database=self.old)).engine(timeout=1).begin() as db:
            db.execute(text("CREATE TABLE dice_version (version_num VARCHAR(32))"))
        with contextlib.redirect_stderr(io.StringIO()) as said:
            command.copy(self.old, self.new)
        self.assertEqual(said.getvalue(), "not copied: dice, which is not installed\n")

    def test_command(self) -> None:
        """What a shell sees: the counts, or a sentence and a status."""
        for arguments, status, said in (
            ([], 2, "usage: "),
            (["copy", self.old], 2, "usage: "),
            (["copy", "nonsense", self.new], 1, "--database is neither"),
            (["copy", self.old + ".not", self.new], 1, "there is no database"),
            (["copy", self.old, self.old], 1, "both are the same database"),
            (["copy", self.old, self.new], 0, "accounts: 3 rows\n"),
            (["copy", self.old, self.new], 1, "the new database has rows"),
        ):
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(io.StringIO()) as err,
            ):
                self.assertEqual(command.main(arguments), status)
            self.assertIn(said, (err if status else out).getvalue())


class SqliteTests(CopyTests, TestCase):
    database = databases.sqlite


class PostgresqlTests(CopyTests, TestCase):
    database = databases.postgresql


class MariadbTests(CopyTests, TestCase):
    database = databases.mariadb
