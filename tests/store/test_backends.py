"""
From the C{database} option to a connection.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import text
from twisted.internet import reactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gameservers.store import BadDatabase, Store, StoreSettings, migrate_database
from gameservers.store.backends import create_file, find_backend
from gameservers.store.columns import ExactText
from tests.store import databases


class BackendTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def test_default(self) -> None:
        """The database is a file in the user's data directory, readable by that user alone."""
        with mock.patch.dict(os.environ, {"XDG_DATA_HOME": str(self.directory / "data")}):
            backend = find_backend(StoreSettings())
        path = self.directory / "data" / "gameservers" / "gameservers.sqlite3"
        self.assertEqual(backend.path, path)
        with capturedLogs() as logs:
            create_file(backend)
            create_file(backend)
        self.assertEqual([each["path"] for each in logs], [str(path)])
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)

    def test_data_directory(self) -> None:
        """Without XDG_DATA_HOME, or with a relative one, it is where the specification says."""
        usual = Path.home() / ".local" / "share" / "gameservers"
        for home in ("", "data"):
            with mock.patch.dict(os.environ, {"XDG_DATA_HOME": home}):
                found = find_backend(StoreSettings()).path
            self.assertEqual(found, usual / "gameservers.sqlite3")

    def test_drivers(self) -> None:
        """A URL needs no driver in it; a password does not get into the log."""
        for given, driver in (
            ("sqlite:////x/y.db", "sqlite+pysqlite"),
            ("postgresql://u:pw@h/n", "postgresql+psycopg"),
            ("postgres://u:pw@h/n", "postgresql+psycopg"),
            ("mariadb://u:pw@h/n", "mariadb+pymysql"),
            ("mysql://u:pw@h/n", "mariadb+pymysql"),
            ("mysql+mysqldb://u:pw@h/n", "mariadb+pymysql"),
        ):
            backend = find_backend(StoreSettings(database=given))
            self.assertEqual(backend.url.drivername, driver)
            self.assertNotIn("pw", backend.title)

    def test_parameters_are_hidden(self) -> None:
        """The text of an error, which may be logged, has no password or session id in it."""
        for given in ("memory", "postgresql://h/n", "mariadb://h/n"):
            self.assertTrue(
                find_backend(StoreSettings(database=given)).engine(timeout=1).hide_parameters
            )

    def test_database_of_a_server(self) -> None:
        """There is no file to make."""
        backend = find_backend(StoreSettings(database="mariadb://h/n"))
        self.assertIsNone(backend.path)
        create_file(backend)

    def test_memory(self) -> None:
        for given in ("memory", "sqlite://", "sqlite:///:memory:"):
            self.assertTrue(find_backend(StoreSettings(database=given)).inline, given)

    def test_nonsense(self) -> None:
        """What is no database is a sentence, without what was given: it may hold a password."""
        for given in ("", "hello", "oracle://u:pw@h/n", "nonsense://u:pw@h/n", "u:pw@h", "://"):
            problem = self.assertRaises(BadDatabase, find_backend, StoreSettings(database=given))
            self.assertIn("--database", str(problem))
            self.assertNotIn("pw", str(problem))

    def test_no_driver(self) -> None:
        """A driver that is not installed is named, and how to get it."""
        for url, module, extra in (
            ("postgresql://h/n", "psycopg", "gameservers[postgresql]"),
            ("mariadb://h/n", "pymysql", "gameservers[mariadb]"),
        ):
            with mock.patch.dict(sys.modules, {module: None}):
                problem = self.assertRaises(BadDatabase, find_backend, StoreSettings(database=url))
            self.assertIn(extra, str(problem))

    def test_directory_cannot_be_made(self) -> None:
        (self.directory / "file").write_text("in the way")
        settings = StoreSettings(database=f"sqlite:///{self.directory}/file/x.sqlite3")
        problem = self.assertRaises(BadDatabase, migrate_database, settings, [])
        self.assertIn("cannot create", str(problem))

    def test_not_a_database(self) -> None:
        path = self.directory / "letter.txt"
        path.write_text("Dear sir or madam, " * 100)
        problem = self.assertRaises(
            BadDatabase, migrate_database, StoreSettings(database=f"sqlite:///{path}"), []
        )
        self.assertIn("not a database", str(problem))

    def test_server_refuses(self) -> None:
        """Nobody listens: a sentence, without the password."""
        settings = StoreSettings(database="mariadb://u:pw-x@127.0.0.1:1/n", database_timeout=1)
        problem = self.assertRaises(BadDatabase, migrate_database, settings, [])
        self.assertNotIn("pw-x", str(problem))

    def test_sqlite_connection(self) -> None:
        """Each connection is durable and keeps foreign keys."""
        settings = StoreSettings(database=f"sqlite:///{self.directory}/x.sqlite3")
        for writes in (True, False):
            engine = find_backend(settings).engine(timeout=1, writes=writes)
            with engine.connect() as connection:
                for pragma, value in (
                    ("journal_mode", "wal"),
                    ("synchronous", 2),
                    ("foreign_keys", 1),
                    ("busy_timeout", 250),
                ):
                    found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
                    self.assertEqual(found, value, pragma)

    def test_settings(self) -> None:
        """Every setting is an option, and named as one of the database's."""
        for each in fields(StoreSettings):
            self.assertIn("option", each.metadata)
            self.assertTrue(each.name.startswith("database"), each.name)

    def test_longest_text(self) -> None:
        """C{ExactText} counts characters, not bytes."""
        words = ExactText(20)
        fits: Any = "ü" * 20
        self.assertEqual(words.process_bind_param(fits, None), fits)
        self.assertRaises(ValueError, words.process_bind_param, fits + "u", None)


class StartTests(TestCase):
    """The start of the service."""

    async def test_not_a_database(self) -> None:
        """A file that is no database fails C{ready}, with a sentence in the log."""
        with databases.sqlite() as url:
            Path(url.removeprefix("sqlite:///")).write_text("Dear sir or madam, " * 100)
            store = Store(StoreSettings(database=url), reactor)
            with capturedLogs() as logs:
                store.startService()
                try:
                    await store.ready()
                except BadDatabase as problem:
                    self.assertIn("not a database", str(problem))
                else:
                    self.fail("it is one")
            await store.stopService()
            told = [str(each["problem"]) for each in logs if "problem" in each]
            self.assertEqual(told, [f"{url} cannot be used: file is not a database"])

    async def test_no_encoding(self) -> None:
        """A PostgreSQL database that has none gives text all the same."""
        with databases.postgresql_without_encoding() as url:
            store = Store(StoreSettings(database=url), reactor)
            store.startService()
            self.assertEqual(await store.ask(lambda c: c.scalar(text("SELECT 'hills'"))), "hills")
            await store.stopService()

    async def test_file_of_nobody_else(self) -> None:
        """WAL, shared memory and lock beside the file are as private as the file."""
        with databases.sqlite() as url:
            store = Store(StoreSettings(database=url), reactor)
            store.startService()
            # A writer keeps all of them open.
            await store.change(lambda c: c.execute(text("CREATE TABLE hills (height INTEGER)")))
            directory = Path(url.removeprefix("sqlite:///")).parent
            modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
            self.assertEqual(set(modes.values()), {0o600}, modes)
            self.assertEqual(len(modes), 4)
            await store.stopService()
            files = {path.name for path in directory.iterdir()}
            self.assertEqual(files, {"store.sqlite3", "store.sqlite3.lock"})
