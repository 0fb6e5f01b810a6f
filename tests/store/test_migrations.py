"""
How a database gets its tables, and what becomes of those of earlier versions.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import Inspector
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import LoginSession, Match, TicTacToeRecords
from gameservers.games.tilegame.records import TileGameRecords
from gameservers.games.tilegame.world import SavedWorld
from gameservers.store import (
    BadDatabase,
    PasswordRecord,
    Store,
    StoreSettings,
    migrate_database,
)
from gameservers.store.accounts import SCHEMA as SERVER
from gameservers.store.backends import Backend, find_backend
from gameservers.store.schema import installed
from tests.games.tictactoe.kept import Result, rating_of, results_of
from tests.store import databases, numbered

#: Where all are when they are up to date.
NOW = ["server 0001", "tictactoe 0003", "tilegame 0003"]


class Cut(BaseException):
    """The process ends here."""


class MigrationTests:
    """The mixin: C{database} makes one without tables."""

    database: databases.Database

    def setUp(self) -> None:
        made = type(self).database()
        url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.settings = StoreSettings(database=url)
        self.engine: Engine = create_engine(find_backend(self.settings).url)
        self.addCleanup(self.engine.dispose)

    def migrate(self) -> list[str]:
        return [str(each) for each in migrate_database(self.settings, installed())]

    def shape(self, look: Inspector) -> dict[str, Any]:
        return {
            name: (
                [
                    (
                        c["name"],
                        str(c["type"]),
                        getattr(c["type"], "collation", None),
                        c["nullable"],
                    )
                    for c in look.get_columns(name)
                ],
                look.get_pk_constraint(name)["constrained_columns"],
                sorted(
                    (key["constrained_columns"], key["referred_table"])
                    for key in look.get_foreign_keys(name)
                ),
                sorted(
                    (index["name"], index["column_names"], bool(index["unique"]))
                    for index in look.get_indexes(name)
                ),
            )
            for name in look.get_table_names()
            if not name.endswith("_version")
        }

    def rows(self) -> dict[str, list[str]]:
        with self.engine.begin() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table))))
                for schema in (SERVER, *installed())
                for table in schema.metadata.sorted_tables
            }

    def clear(self) -> None:
        with self.engine.begin() as connection:
            databases.drop_all(connection)

    def test_new(self) -> None:
        """The revisions lead to exactly the tables that are used."""
        self.assertEqual(self.migrate(), [f"{each} (was new)" for each in NOW])
        migrated = self.shape(inspect(self.engine))
        self.clear()
        with self.engine.begin() as connection:
            for schema in (SERVER, *installed()):
                schema.metadata.create_all(connection)
        self.assertEqual(migrated, self.shape(inspect(self.engine)))

    def test_twice(self) -> None:
        """A database that is up to date stays as it is."""
        self.migrate()
        self.assertEqual(self.migrate(), NOW)

    async def test_newer(self) -> None:
        """Tables of a newer program are not touched: the start fails, and every call."""
        self.migrate()
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE tilegame_version SET version_num = '0099'"))
        problem = self.assertRaises(BadDatabase, self.migrate)
        self.assertEqual(
            str(problem),
            "the tables of tilegame are of revision 0099, and this program knows 0003: "
            "a newer one has used the database",
        )
        store = Store(self.settings, reactor, installed())
        store.startService()
        self.addCleanup(store.stopService)
        for deferred in (store.ready(), store.ask(touch), store.change(touch)):
            try:
                await deferred
            except BadDatabase as problem:
                self.assertIn("newer", str(problem))
            else:
                self.fail("it works")

    def test_somebody_elses(self) -> None:
        """Tables that are nobody's here are left alone."""
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE users (login varchar(16))"))
            connection.execute(text("INSERT INTO users VALUES ('root')"))
        self.migrate()
        with self.engine.begin() as connection:
            self.assertEqual(connection.scalar(text("SELECT login FROM users")), "root")

    def test_version_lost(self) -> None:
        """Tables with rows, but without a version, are not emptied."""
        numbered.create(self.engine, 3)
        self.migrate()
        before = self.rows()
        with self.engine.begin() as connection:
            for each in ("server", "tictactoe", "tilegame"):
                connection.execute(text(f"DROP TABLE {each}_version"))
        self.migrate()
        self.assertEqual(self.rows(), before)

    # Tables of the time of one sequence of numbers

    async def test_brought_over(self) -> None:
        """Everything of such a database is there."""
        numbered.create(self.engine, 3)
        store = Store(self.settings, reactor, installed())
        store.startService()
        self.addCleanup(store.stopService)
        await store.ready()
        records = TicTacToeRecords(store)
        noon = numbered.NOON.replace(tzinfo=UTC)
        password = PasswordRecord("scrypt", "ab" * 64, "cd" * 16, "14:8:1")
        for name, elo in (("ann", 1010), ("Ann", 990), ("ann ", 1000), ("änn", 1000)):
            account = await records.account(name)
            self.assertEqual((account.last_seen, account.password), (noon, password))
            self.assertEqual(await rating_of(records, name), elo)
            self.assertIs(await records.is_registered(name), True)
        self.assertIs(await records.is_registered("tim"), False)
        self.assertEqual(
            await records.session("a" * 32), LoginSession("a" * 32, "ann", True, noon)
        )
        self.assertEqual([each.name for each in await records.friends("ann")], ["Ann"])
        self.assertEqual(
            await records.match("1" * 32),
            Match("1" * 32, "ann", "Ann", numbered.STATE, "Ann", True, noon, 7),
        )
        self.assertEqual((await records.match("2" * 32)).seen, {"ann"})
        won, draw = await results_of(records, "ann")
        self.assertEqual(
            won,
            Result(
                "0" * 32,
                "ann",
                "Ann",
                "ann",
                "won",
                numbered.STATE,
                noon,
                (1000,) * 2,
                (1010, 990),
            ),
        )
        self.assertEqual((draw.outcome, draw.elo_before), ("draw", None))
        world = await TileGameRecords(store).load()
        self.assertEqual(world, SavedWorld(numbered.STATE, bytes(range(256))))

        present = set(inspect(self.engine).get_table_names())
        self.assertEqual(present & set(numbered.metadata.tables), set())
        with self.engine.begin() as connection:  # what a program of that time refuses
            self.assertEqual(connection.scalar(text("SELECT version FROM schema_version")), 4)

    def test_brought_over_from_each_number(self) -> None:
        numbered.create(self.engine, 3)
        self.migrate()
        everything = self.rows()
        for number, missing in ((2, {"tilegame_worlds"}),
                                (1, {"tilegame_worlds", "tictactoe_results"})):  # fmt: skip
            self.clear()
            numbered.create(self.engine, number)
            self.assertEqual(self.migrate(), [f"{each} (was new)" for each in NOW])
            expected = everything | {table: [] for table in missing}
            self.assertEqual(self.rows(), expected)

    def test_unknown_number(self) -> None:
        numbered.create(self.engine, 3)
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE schema_version SET version = 99"))
        problem = self.assertRaises(BadDatabase, self.migrate)
        self.assertIn("version 99", str(problem))
        with self.engine.begin() as connection:
            self.assertEqual(len(connection.execute(select(numbered.users)).all()), 4)

    def test_cut_off(self) -> None:
        """Wherever the process ends while it brings rows over, the next start goes on."""
        numbered.create(self.engine, 3)
        self.migrate()
        everything, shape = self.rows(), self.shape(inspect(self.engine))
        statements = 0
        while True:
            self.clear()
            numbered.create(self.engine, 3)
            if not self.cut_at(statements):
                break
            self.migrate()
            self.assertEqual(self.rows(), everything, statements)
            self.assertEqual(self.shape(inspect(self.engine)), shape, statements)
            statements += 1
        self.assertGreater(statements, 30)

    def cut_at(self, statement: int) -> bool:
        """Migrate, and end before this statement that changes something; L{False}: none came."""
        left = statement

        def execute(
            connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
        ) -> None:
            nonlocal left
            if sql.split()[0] in ("CREATE", "INSERT", "UPDATE", "DROP", "DELETE"):
                left -= 1
                if left < 0:
                    raise Cut

        engine = Backend.engine

        def watched(backend: Backend, **options: Any) -> Engine:
            made = engine(backend, **options)
            event.listen(made, "before_cursor_execute", execute)
            return made

        patch = self.patch(Backend, "engine", watched)
        try:
            self.migrate()
        except Cut:
            return True
        finally:
            patch.restore()
        return False


def touch(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


class SqliteTests(MigrationTests, TestCase):
    database = databases.sqlite


class PostgresqlTests(MigrationTests, TestCase):
    database = databases.postgresql_new


class MariadbTests(MigrationTests, TestCase):
    database = databases.mariadb_new
