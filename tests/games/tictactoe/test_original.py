"""
What becomes of an original server's database.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text
from twisted.internet import reactor
from twisted.python.usage import UsageError
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe import game, original
from gameservers.games.tictactoe.original import import_original
from gameservers.games.tictactoe.records import LoginSession, Rating, TicTacToeRecords
from gameservers.store import (
    BadDatabase,
    PasswordRecord,
    Store,
    StoreSettings,
    migrate_database,
)
from gameservers.store.backends import find_backend
from tests.games.tictactoe.kept import rating_of
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
#: Where the rows go.
OURS = (
    "accounts",
    "tictactoe_players",
    "tictactoe_matches",
    "tictactoe_sessions",
    "tictactoe_friends",
)
ZONE = ("--zone=Europe/Berlin",)
ROWS = {"users": USERS, "matches": MATCHES, "sessions": SESSIONS, "friends": FRIENDS}


class Cut(Exception):
    """The process ends here."""


class OriginalTests:
    """The mixin: C{original} makes the original's database, C{database} ours; both empty."""

    original: databases.Database
    database: databases.Database

    def setUp(self) -> None:
        self.source, self.url = (
            self.make(each) for each in (type(self).original, type(self).database)
        )
        self.settings = StoreSettings(database=self.url)
        self.engine: Engine = find_backend(StoreSettings(database=self.source)).engine(timeout=10)
        self.addCleanup(self.engine.dispose)

    def make(self, database: databases.Database) -> str:
        made = database()
        url: str = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        return url

    def command(self, *arguments: str) -> list[str]:
        """What C{tictactoe-import} says."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            import_original(self.settings, None, arguments or (self.source, *ZONE))
        return said.getvalue().splitlines()

    def refused(self, *arguments: str, settings: StoreSettings | None = None) -> str:
        kinds = (BadDatabase, UsageError)
        try:
            import_original(settings or self.settings, None, arguments or (self.source, *ZONE))
        except kinds as problem:
            return str(problem)
        raise self.failureException("it was done")

    def fill(self) -> None:
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

    def counts(self, url: str, *tables: str) -> dict[str, int]:
        engine = find_backend(StoreSettings(database=url)).engine(timeout=10)
        with engine.begin() as connection:
            counts = {
                name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in tables
            }
        engine.dispose()
        return counts

    def ours(self) -> list[int]:
        return [*self.counts(self.url, *OURS).values()]

    async def records(self) -> TicTacToeRecords:
        store = Store(self.settings, reactor, [game.schema])
        store.startService()
        self.addCleanup(store.stopService)
        await store.ready()
        return TicTacToeRecords(store)

    async def test_taken_over(self) -> None:
        """Everything is in our tables, and the original's are as they were."""
        self.fill()
        said = self.command()
        for line in (
            "accounts: took over 3 of 3 rows",
            "tictactoe_matches: took over 6 of 7 rows",
            "tictactoe_sessions: took over 2 of 3 rows",
            "tictactoe_friends: took over 3 of 4 rows",
        ):
            self.assertIn(line, said)
        self.assertEqual(
            self.counts(self.source, *ROWS), {n: len(rows) for n, rows in ROWS.items()}
        )
        records = await self.records()

        ann = await records.account("ann")
        self.assertEqual(ann.password, PasswordRecord("sha512", HASH, SALT))
        self.assertEqual(await rating_of(records, "ann"), 1010)
        # Berlin has daylight saving time in April and none in January.
        self.assertEqual(ann.last_seen, datetime(2019, 4, 5, 10, tzinfo=UTC))
        bob = await records.account("bob")
        self.assertEqual(bob.last_seen, datetime(2019, 1, 5, 22, 30, tzinfo=UTC))
        self.assertIsNotNone(await records.account("bob\n"))
        self.assertEqual(
            await records.session("a" * 32),
            LoginSession("a" * 32, "ann", True, datetime(2019, 4, 5, 10, tzinfo=UTC)),
        )
        self.assertIsNone(await records.session("A" * 32))
        self.assertIs(await records.is_registered("tim"), False)
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
        self.fill()
        self.command()
        records = await self.records()
        running = await records.match("1" * 32)
        await records.finish_match(running, "won", "ann", rate=lambda a, b: (a + 1, b - 1))
        await records.store.stopService()
        self.assertIn("tictactoe_players already; nothing was taken over", self.refused())
        again = await self.records()
        self.assertEqual(await rating_of(again, "ann"), 1011)

    def test_cut_off(self) -> None:
        """Cut off while it writes, it has written nothing, and can be started again."""
        self.fill()
        last = original._refers

        def cut(row: dict[str, Any], names: set[str]) -> bool:
            if "friend" in row:
                raise Cut
            return last(row, names)

        patch = self.patch(original, "_refers", cut)
        self.assertRaises(Cut, self.command)
        self.assertEqual(self.ours(), [0] * 5)
        patch.restore()
        self.command()
        self.assertEqual(self.ours(), [3, 3, 6, 2, 3])

    def test_progress(self) -> None:
        """While it takes long, it says how far it is."""
        self.fill()
        self.patch(original, "CHUNK", 1)
        self.patch(original, "REPORTED", 2)
        said = self.command()
        self.assertIn("matches: 7 rows read", said)
        self.assertIn("tictactoe_matches: 2 of 6 rows written", said)
        self.assertIn("tictactoe_matches: 4 of 6 rows written", said)

    def test_zone(self) -> None:
        """Without a zone it is this machine's; one that does not exist is a sentence."""
        self.fill()
        self.assertIn("Moon/Tycho", self.refused(self.source, "--zone=Moon/Tycho"))
        self.assertIn("../etc/passwd", self.refused(self.source, "--zone=../etc/passwd"))
        self.command(self.source)
        local = datetime(2019, 4, 5, 12).astimezone(UTC)
        with find_backend(self.settings).engine(timeout=10).begin() as connection:
            found = connection.scalar(text("SELECT last_seen FROM accounts WHERE name = 'ann'"))
        self.assertEqual(datetime.fromisoformat(str(found)), local.replace(tzinfo=None))

    def test_missing_accounts(self) -> None:
        """Sessions and friendships of accounts that are not there are left out."""
        self.fill()
        with self.engine.begin() as connection:
            for constrained in ("friends", "sessions"):
                rows = connection.execute(text(f"SELECT * FROM {constrained}")).all()
                connection.execute(text(f"DROP TABLE {constrained}"))
                columns = ORIGINAL[{"friends": 3, "sessions": 2}[constrained]].split(", FOREIGN")
                quoted = '"user"' if self.engine.dialect.name == "postgresql" else "user"
                made = columns[0].format(user=quoted) + ")"
                if self.engine.dialect.name == "postgresql":
                    made = made.replace("datetime", "timestamp")
                connection.execute(text(made))
                for row in rows:
                    slots = {f"v{number}": value for number, value in enumerate(row)}
                    names = ", ".join(f":{name}" for name in slots)
                    connection.execute(text(f"INSERT INTO {constrained} VALUES ({names})"), slots)
            connection.execute(text("DELETE FROM users WHERE name = 'bob'"))
        self.command()
        self.assertEqual(self.ours(), [2, 2, 6, 2, 1])

    # What it refuses

    def test_no_original(self) -> None:
        """Somebody else's database, or an empty one, is left alone."""
        self.engine.connect().close()
        self.assertIn("no table users", self.refused())
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE users (login varchar(16))"))
        self.assertIn("users is not an original tic-tac-toe server's: it lacks", self.refused())
        self.assertEqual(self.ours(), [0] * 5)

    def test_odd_row(self) -> None:
        """A row that makes no sense is a sentence, and nothing is taken over."""
        self.fill()
        if self.engine.dialect.name != "sqlite":
            return  # the others do not take such rows
        for column, odd in (("last_seen", "soon"), ("pw_salt", "x" * 33), ("elo", "many")):
            with self.engine.begin() as connection:
                before = connection.scalar(text(f"SELECT {column} FROM users WHERE name = 'ann'"))
                change = text(f"UPDATE users SET {column} = :value WHERE name = 'ann'")
                connection.execute(change, {"value": odd})
            self.assertIn("table users has an odd row: ", self.refused())
            with self.engine.begin() as connection:
                connection.execute(change, {"value": before})
        self.assertEqual(self.ours(), [0] * 5)
        self.command()

    def test_arguments(self) -> None:
        """What is wrong with them is a sentence."""
        self.assertIn("usage: ", self.refused("--zone=Europe/Berlin"))
        self.assertIn("usage: ", self.refused(self.source, "more"))
        self.assertIn("--moon", self.refused(self.source, "--moon=1"))
        self.assertIn("--database is neither", self.refused("nonsense"))
        self.assertIn("there is no database", self.refused("sqlite:////none/there.sqlite3"))
        memory = StoreSettings(database="memory")
        self.assertIn("keeps nothing", self.refused(self.source, settings=memory))

    # In place

    async def test_in_place(self) -> None:
        """A server does not start on an original's database; the command takes it over there."""
        self.url, self.settings = self.source, StoreSettings(database=self.source)
        self.fill()
        problem = self.assertRaises(BadDatabase, migrate_database, self.settings, [game.schema])
        self.assertIn("gameserver tictactoe-import URL", str(problem))
        try:
            await self.records()
        except BadDatabase as refusal:
            self.assertEqual(str(refusal), str(problem))
        else:
            self.fail("it started")
        self.command()
        records = await self.records()
        self.assertEqual(await rating_of(records, "ann"), 1010)
        self.assertEqual(
            self.counts(self.source, *ROWS), {n: len(rows) for n, rows in ROWS.items()}
        )

    async def test_in_place_cut_off(self) -> None:
        """Cut off when our tables were made, the server still does not start."""
        self.url, self.settings = self.source, StoreSettings(database=self.source)
        self.fill()
        patch = self.patch(original, "_write", lambda *_: 1 / 0)
        self.assertRaises(ZeroDivisionError, self.command)
        patch.restore()
        self.assertRaises(BadDatabase, migrate_database, self.settings, [game.schema])
        self.command()
        migrate_database(self.settings, [game.schema])

    def test_renamed_by_an_earlier_version(self) -> None:
        """An earlier version renamed the tables first; if it was cut off then, it goes on here."""
        self.url, self.settings = self.source, StoreSettings(database=self.source)
        self.fill()
        with self.engine.begin() as connection:
            for name in ROWS:
                connection.execute(text(f"ALTER TABLE {name} RENAME TO original_{name}"))
        self.assertRaises(BadDatabase, migrate_database, self.settings, [game.schema])
        self.command()
        self.assertEqual(self.ours(), [3, 3, 6, 2, 3])


class SqliteTests(OriginalTests, TestCase):
    original = database = databases.sqlite


class FromPostgresqlTests(OriginalTests, TestCase):
    original, database = databases.postgresql_new, databases.sqlite


class FromPostgresqlWithoutEncodingTests(OriginalTests, TestCase):
    original, database = databases.postgresql_without_encoding, databases.sqlite


class FromMariadbTests(OriginalTests, TestCase):
    original, database = databases.mariadb_new, databases.sqlite


class ToPostgresqlTests(OriginalTests, TestCase):
    original, database = databases.sqlite, databases.postgresql_new


class ToMariadbTests(OriginalTests, TestCase):
    original, database = databases.sqlite, databases.mariadb_new
