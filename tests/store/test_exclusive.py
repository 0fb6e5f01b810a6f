"""
One server or command at a time uses a database.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs, globalLogPublisher
from twisted.trial.unittest import TestCase

from gameservers.store import BadDatabase, Store, StoreSettings, exclusive, migrate_database
from gameservers.store import store as store_module
from gameservers.store.backends import find_backend
from gameservers.store.exclusive import DatabaseLock, connected, locked
from tests.store import databases


class LockTests:
    """The mixin: C{database} makes one."""

    database: databases.Database

    def setUp(self) -> None:
        made = type(self).database()
        self.url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.settings = StoreSettings(database=self.url, database_backoff=0.05)
        self.patch(exclusive, "LOCK_WAIT", 0.0)

    def lock(self, wait: float = 0.0) -> DatabaseLock:
        backend = find_backend(self.settings)
        engine = backend.engine(timeout=30)
        self.addCleanup(engine.dispose)
        lock = DatabaseLock(backend, engine, wait)
        self.addCleanup(lock.release)
        return lock

    def test_one_holder(self) -> None:
        """Nobody else gets the lock before its holder has given it up."""
        first, second = self.lock(), self.lock(wait=30)
        connection = first.connect()
        impatient = self.lock()
        problem = self.assertRaises(BadDatabase, impatient.connect)
        title = find_backend(self.settings).title
        self.assertEqual(str(problem), f"{title} is in use by another server or command")
        with self.assertRaises(BadDatabase), locked(self.settings, wait=0):
            self.fail("it is not")
        connection.close()
        first.release()
        second.connect().close()
        second.release()

    def test_commands(self) -> None:
        """What is done beside a server is refused; what only reads another's database is not."""
        connection = self.lock().connect()
        self.addCleanup(connection.close)
        with (
            mock.patch("gameservers.store.store.MIGRATION_WAIT", 0.0),
            self.assertRaises(BadDatabase),
        ):
            migrate_database(self.settings, [])
        with self.assertRaises(BadDatabase), connected(self.settings, writes=True):
            self.fail("it is not")
        with connected(self.settings, writes=False, lock=False) as reading:
            self.assertEqual(reading.scalar(text("SELECT 1")), 1)

    async def test_store(self) -> None:
        """A store on a database that is in use is broken, which it says."""
        connection = self.lock().connect()
        self.addCleanup(connection.close)
        store = Store(self.settings, reactor)
        broken = store.broken()
        with capturedLogs() as logs:
            store.startService()
            self.addCleanup(store.stopService)
            problem = await broken
        self.assertIn("is in use by another", str(problem))
        self.assertEqual([each["problem"] for each in logs if "problem" in each], [problem])
        self.failureResultOf(store.ready(), BadDatabase)
        self.failureResultOf(store.change(touch), BadDatabase)

    async def test_released(self) -> None:
        """A store that has stopped leaves the database to the next."""
        for _ in range(2):
            store = Store(self.settings, reactor)
            store.startService()
            await store.change(touch)
            await store.stopService()


class SessionTests(LockTests):
    """The mixin for database servers: C{session} is the id of a session, C{end} ends one."""

    session: str
    end: str

    def test_lost(self) -> None:
        """
        A connection that replaces a lost one has the lock, although the database server believes
        the lost one alive.
        """
        lock = self.lock(wait=30)
        lost, found = lock.connect(), lock.connect()
        self.assertRaises(DBAPIError, lost.scalar, text("SELECT 1"))
        self.assertEqual(found.scalar(text("SELECT 1")), 1)
        self.assertRaises(BadDatabase, self.lock().connect)
        lost.close()
        found.close()

    async def running(self) -> tuple[Store, Deferred[BadDatabase]]:
        """A store that has just lost its connection, without knowing."""
        store = Store(self.settings, reactor)
        broken = store.broken()
        store.startService()
        self.addCleanup(store.stopService)
        session = await store.change(lambda connection: connection.scalar(text(self.session)))
        with find_backend(self.settings).engine(timeout=30).connect() as connection:
            connection.execute(text(self.end.format(session)))
        return store, broken

    async def test_taken_again(self) -> None:
        """With the next connection the store has the lock again."""
        store, broken = await self.running()
        await store.change(touch)
        self.assertRaises(BadDatabase, self.lock().connect)
        self.assertNoResult(broken)

    async def test_taken_by_another(self) -> None:
        """If another has it by then, nothing is written any more."""
        store, broken = await self.running()
        connection = self.lock(wait=30).connect()
        self.addCleanup(connection.close)
        written = store.change(touch)
        self.assertIn("is in use by another", str(await broken))
        self.failureResultOf(written, BadDatabase)

    async def test_heartbeat(self) -> None:
        """It has it again soon, also without a call."""
        self.patch(store_module, "HEARTBEAT", 0.01)
        back: Deferred[None] = Deferred()

        def observe(event: LogEvent) -> None:
            if "is back" in event.get("log_format", "") and not back.called:
                reactor.callFromThread(back.callback, None)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        _, broken = await self.running()
        await back
        self.assertRaises(BadDatabase, self.lock().connect)
        self.assertNoResult(broken)


def touch(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


class SqliteTests(LockTests, TestCase):
    database = databases.sqlite

    def test_links(self) -> None:
        """A link to a database is that database."""
        connection = self.lock().connect()
        self.addCleanup(connection.close)
        path = Path(self.mktemp()).absolute()
        path.symlink_to(self.url.removeprefix("sqlite:///"))
        self.settings = StoreSettings(database=f"sqlite:///{path}")
        self.assertRaises(BadDatabase, self.lock().connect)

    def test_no_lock_file(self) -> None:
        """A lock that cannot be opened is a sentence."""
        path = Path(self.url.removeprefix("sqlite:///"))
        path.with_name(path.name + ".lock").mkdir()
        problem = self.assertRaises(BadDatabase, self.lock().connect)
        self.assertIn("cannot open", str(problem))


class PostgresqlTests(SessionTests, TestCase):
    database = databases.postgresql
    session = "SELECT pg_backend_pid()"
    end = "SELECT pg_terminate_backend({})"


class MariadbTests(SessionTests, TestCase):
    database = databases.mariadb
    session = "SELECT connection_id()"
    end = "KILL {}"
