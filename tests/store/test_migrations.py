"""
How a database gets its tables, and what becomes of the original server's.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import Inspector
from twisted.internet import reactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import Opponent, Rating, Session, TicTacToeRecords
from gameservers.store import (
    BadDatabase,
    PasswordRecord,
    Store,
    StoreSettings,
    migrate_database,
    migrations,
)
from gameservers.store.backends import find_backend
from gameservers.store.migrations import STEPS, Step, s0001_original
from gameservers.store.schema import installed
from tests.store import databases

#: The original's own statements, in the dialect they were written for.
ORIGINAL = (
    "CREATE TABLE users (name varchar(16) NOT NULL, pw_hash varchar(128) NOT NULL, "
    "pw_salt varchar(32) NOT NULL, last_seen datetime NOT NULL, elo int NOT NULL, "
    "PRIMARY KEY (name))",
    "CREATE TABLE matches (id varchar(32) NOT NULL, user_a varchar(16) NOT NULL, "
    "user_b varchar(16) NOT NULL, match_state varchar(4096) NOT NULL, "
    "active_user varchar(16), last_active datetime NOT NULL, ranked boolean NOT NULL)",
    "CREATE TABLE sessions (id varchar(32) NOT NULL, registered_user varchar(16), "
    "temp_user varchar(16), last_seen datetime NOT NULL, PRIMARY KEY (id), "
    "FOREIGN KEY (registered_user) REFERENCES users(name))",
    "CREATE TABLE friends ({user} varchar(16) NOT NULL, friend varchar(16) NOT NULL, "
    "FOREIGN KEY ({user}) REFERENCES users(name), FOREIGN KEY (friend) REFERENCES users(name))",
)

SALT = "0123456789abcdef0123456789abcdef"
HASH = hashlib.sha512(("secret" + SALT).encode()).hexdigest()


def state(over: bool = False, won: str | None = None, full: bool = False, **more: Any) -> str:
    """A match's state as the original writes it; very old ones have no C{is_draw}."""
    return json.dumps(
        {
            "complete_field": [[0] * 9] * 9,
            "global_field": [[3 if full else 0] * 3] * 3,
            "last_move": None,
            "game_over": over,
            "player_won": won,
            "active_player": "bob",
            "player_a": "ann",
            "player_b": "bob",
        }
        | more
    )


USERS = [
    ("ann", HASH, SALT, "2019-04-05 12:00:00", 1010),
    ("bob", HASH, SALT, "2019-01-05 23:30:00", 990),
    ("bob\n", HASH, SALT, "2019-04-05 12:00:00", 1000),
]
MATCHES = [
    ("1" * 32, "ann", "bob", state(is_draw=False), "bob", "2019-04-04 10:00:00", 1),
    ("2" * 32, "ann", "bob", state(), "ann", "2019-04-03 10:00:00", 0),
    ("2" * 32, "ann", "bob", state(), "bob", "2019-04-03 10:00:01", 0),
    ("3" * 32, "ann", "bob", state(True, "ann"), "bob", "2019-04-03 11:00:00", 1),
    ("4" * 32, "ann", "bob", state(True, full=True), "ann", "2019-04-03 12:00:00", 1),
    ("5" * 32, "bob", "tim", "not JSON", None, "2019-04-03 13:00:00", 0),
    ("6" * 32, "ann", "bob", state(full=True, is_draw=False), "bob", "2019-04-03 14:00:00", 1),
]
SESSIONS = [
    ("a" * 32, "ann", None, "2019-04-05 12:00:00"),
    ("b" * 32, None, "tim", "2019-04-05 12:00:00"),
    ("c" * 32, None, "tim", "2019-04-05 13:00:00"),
]
FRIENDS = [("ann", "bob"), ("ann", "bob"), ("bob", "ann"), ("ann", "ann")]
ROWS = {"users": USERS, "matches": MATCHES, "sessions": SESSIONS, "friends": FRIENDS}


def touch(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


class Cut(Exception):
    """The process ends here."""


class MigrationTests:
    """The mixin: C{database} makes one without tables."""

    database: databases.Database

    def setUp(self) -> None:
        made = type(self).database()
        url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.settings = StoreSettings(database=url, database_original_zone="Europe/Berlin")
        self.engine: Engine = create_engine(find_backend(self.settings).url)
        self.addCleanup(self.engine.dispose)

    def original(self) -> None:
        """What the original left."""
        postgresql = self.engine.dialect.name == "postgresql"
        with self.engine.begin() as connection:
            for statement in ORIGINAL:
                if postgresql:
                    statement = statement.replace("datetime", "timestamp")
                user = '"user"' if postgresql else "user"
                connection.execute(text(statement.format(user=user)))
            for table, rows in ROWS.items():
                for row in rows:
                    values = [
                        bool(value) if table == "matches" and number == 6 else value
                        for number, value in enumerate(row)
                    ]
                    names = [f"v{number}" for number in range(len(row))]
                    slots = ", ".join(f":{name}" for name in names)
                    connection.execute(
                        text(f"INSERT INTO {table} VALUES ({slots})"),
                        dict(zip(names, values, strict=True)),
                    )

    def counts(self, prefix: str = "") -> dict[str, int]:
        with self.engine.begin() as connection:
            return {
                name: connection.scalar(text(f"SELECT count(*) FROM {prefix}{name}"))
                for name in ROWS
            }

    async def records(self) -> TicTacToeRecords:
        store = Store(self.settings, reactor)
        store.startService()
        self.addCleanup(store.stopService)
        await store.ready()
        return TicTacToeRecords(store)

    # A database of our own

    def test_new(self) -> None:
        """The steps lead to exactly the tables that the store uses."""
        self.assertEqual(migrate_database(self.settings), (0, len(STEPS)))
        migrated = self.shape(inspect(self.engine))
        with self.engine.begin() as connection:
            for schema in installed():
                schema.metadata.drop_all(connection)
                schema.metadata.create_all(connection)
        self.assertEqual(migrated, self.shape(inspect(self.engine)))

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
        }

    def test_twice(self) -> None:
        """A database that is up to date stays as it is."""
        migrate_database(self.settings)
        self.assertEqual(migrate_database(self.settings), (len(STEPS), len(STEPS)))

    def test_newer(self) -> None:
        """Tables of a newer program are not touched."""
        migrate_database(self.settings)
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE schema_version SET version = 99"))
        problem = self.assertRaises(BadDatabase, migrate_database, self.settings)
        self.assertIn("version 99", str(problem))

    async def test_newer_in_service(self) -> None:
        """Such a database fails the start and every call."""
        migrate_database(self.settings)
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE schema_version SET version = 99"))
        store = Store(self.settings, reactor)
        store.startService()
        self.addCleanup(store.stopService)
        for deferred in (store.ready(), store.ask(touch), store.change(touch)):
            try:
                await deferred
            except BadDatabase as problem:
                self.assertIn("newer", str(problem))
            else:
                self.fail("it works")

    def test_cut_off(self) -> None:
        """Wherever the process ends while it migrates, the next start goes on."""
        for number in range(len(STEPS)):
            for after in (False, True):
                cut = partial(self.cut, STEPS[number] if after else None)
                steps = (*STEPS[:number], cut, *STEPS[number + 1 :])
                self.patch(migrations, "STEPS", steps)
                self.assertRaises(Cut, migrate_database, self.settings)
                self.patch(migrations, "STEPS", STEPS)
                found, now = migrate_database(self.settings)
                self.assertEqual((found, now), (number, len(STEPS)))
                with self.engine.begin() as connection:
                    for schema in installed():
                        schema.metadata.drop_all(connection)
                    connection.execute(text("DROP TABLE schema_version"))

    def cut(self, step: Step | None, connection: Connection, zone: tzinfo | None) -> None:
        if step is not None:
            step(connection, zone)
        raise Cut

    def test_somebody_elses(self) -> None:
        """Tables that are neither ours nor the original's are left alone."""
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE users (login varchar(16))"))
            connection.execute(text("INSERT INTO users VALUES ('root')"))
        problem = self.assertRaises(BadDatabase, migrate_database, self.settings)
        self.assertIn("users", str(problem))
        with self.engine.begin() as connection:
            self.assertEqual(connection.scalar(text("SELECT login FROM users")), "root")

    def test_version_lost(self) -> None:
        """Tables with rows of ours, but without a version, are not emptied."""
        migrate_database(self.settings)
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE schema_version"))
            connection.execute(
                text("INSERT INTO users VALUES ('ann', '', '', '2026-11-21 12:00:00', 1, '', '')")
            )
        self.assertRaises(BadDatabase, migrate_database, self.settings)
        self.assertEqual(self.counts()["users"], 1)

    # The original's

    async def test_taken_over(self) -> None:
        """Everything is there, in the new tables and in the old ones."""
        self.original()
        with capturedLogs() as logs:
            records = await self.records()
        told = {each["table"]: (each["taken"], each["found"]) for each in logs if "taken" in each}
        self.assertEqual(
            told, {"users": (3, 3), "matches": (6, 7), "sessions": (2, 3), "friends": (3, 4)}
        )
        self.assertEqual(self.counts("original_"), {n: len(rows) for n, rows in ROWS.items()})

        ann = await records.account("ann")
        self.assertEqual(ann.password, PasswordRecord("sha512", HASH, SALT))
        self.assertEqual((await records.opponent("ann")).elo, 1010)
        # Berlin has daylight saving time in April and none in January.
        self.assertEqual(ann.last_seen, datetime(2019, 4, 5, 10, tzinfo=UTC))
        bob = await records.account("bob")
        self.assertEqual(bob.last_seen, datetime(2019, 1, 5, 22, 30, tzinfo=UTC))
        self.assertIsNotNone(await records.account("bob\n"))
        self.assertEqual(
            await records.session("a" * 32),
            Session("a" * 32, "ann", True, datetime(2019, 4, 5, 10, tzinfo=UTC)),
        )
        self.assertIsNone(await records.session("A" * 32))
        self.assertEqual(await records.opponent("tim"), Opponent("tim", False, None))
        self.assertIsNotNone(await records.session("c" * 32))
        both = (Rating("ann", 1010), Rating("bob", 990))
        self.assertEqual(await records.friends("ann"), both)
        self.assertEqual(await records.friends("bob"), (Rating("ann", 1010),))

        running, newest, won, drawn, odd, missed = [await records.match(c * 32) for c in "123456"]
        self.assertEqual((running.active, running.ranked, running.ended), ("bob", True, False))
        self.assertEqual(running.state, MATCHES[0][3])
        self.assertEqual(running.last_active, datetime(2019, 4, 4, 8, tzinfo=UTC))
        self.assertEqual((newest.active, newest.ranked), ("bob", False))
        self.assertEqual((won.ended, won.seen), (True, {"ann"}))
        self.assertEqual((drawn.ended, drawn.seen), (True, {"bob"}))
        self.assertEqual((odd.state, odd.active, odd.ended), ("not JSON", None, False))
        self.assertEqual((missed.ended, missed.seen), (True, frozenset()))
        ends = {
            each.id[0]: (kept["game_over"], kept["is_draw"])
            for each in (newest, won, drawn, missed)
            for kept in [json.loads(each.state)]
        }
        self.assertEqual(
            ends,
            {"2": (False, False), "3": (True, False), "4": (True, True), "6": (True, True)},
        )

    async def test_taken_over_is_in_use(self) -> None:
        """What was taken over can be played on, and is not taken over again."""
        self.original()
        records = await self.records()
        running = await records.match("1" * 32)
        await records.finish_match(
            running, "won", "ann", at=running.last_active, rate=lambda a, b: (a + 1, b - 1)
        )
        await records.store.stopService()
        self.assertEqual(migrate_database(self.settings), (len(STEPS), len(STEPS)))
        again = await self.records()
        self.assertEqual((await again.opponent("ann")).elo, 1011)

    def test_take_over_cut_off(self) -> None:
        """Cut off between the old tables and the new, it starts again and loses nothing."""
        self.original()
        copied = s0001_original._copy

        def cut_before(*arguments: Any) -> None:
            raise Cut

        def cut_after(*arguments: Any) -> None:
            copied(*arguments)
            raise Cut

        for cut in (cut_before, cut_after):
            self.patch(s0001_original, "_copy", cut)
            self.assertRaises(Cut, migrate_database, self.settings)
        self.patch(s0001_original, "_copy", copied)
        self.assertEqual(migrate_database(self.settings), (0, len(STEPS)))
        self.assertEqual(self.counts(), {"users": 3, "matches": 6, "sessions": 2, "friends": 3})
        self.assertEqual(self.counts("original_"), {n: len(rows) for n, rows in ROWS.items()})


class SqliteTests(MigrationTests, TestCase):
    database = databases.sqlite


class PostgresqlTests(MigrationTests, TestCase):
    database = databases.postgresql_new


class MariadbTests(MigrationTests, TestCase):
    database = databases.mariadb_new
