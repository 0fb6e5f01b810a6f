"""
One server or command at a time uses a database.

The lock dies with its holder, also when the holder is killed:

=============== ==========================================================================
SQLite          C{flock} on a file beside the database, C{<database>.lock}, which stays
PostgreSQL      an advisory lock of the session
MariaDB         C{GET_LOCK}, of the session, too
=============== ==========================================================================

With a database server the lock belongs to the connection on which the server writes, so what has
lost the lock cannot write.  A connection that replaces a lost one takes the lock again, after it
has ended the lost one's session, which the database server may believe alive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import SQLAlchemyError

from gameservers.store.backends import PATIENCE, Backend, create_file, find_backend, unusable
from gameservers.store.errors import BadDatabase
from gameservers.store.settings import StoreSettings

#: How long to wait for the lock, in seconds: a holder that was killed a moment ago may still have
#: it, since a database server has to notice.
LOCK_WAIT = 5.0

#: The pause between two attempts, in seconds.
PAUSE = 0.05

#: An arbitrary number for PostgreSQL's advisory lock, which is of one database.
KEY = 0x67616D65

#: Takes the lock, if it is free.
_TAKE = {
    "postgresql": f"SELECT pg_try_advisory_lock({KEY})",
    "mariadb": "SELECT get_lock(concat('gameservers:', database()), 0)",
}

#: What identifies this session for all time.
_SESSION = {
    "postgresql": "SELECT pid AS id, backend_start AS since FROM pg_stat_activity"
    " WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT id, host AS since FROM information_schema.processlist"
    " WHERE id = connection_id()",
}

#: Finds that session; ends it.
_FIND = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid = :id AND backend_start = :since",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE id = :id AND host = :since",
}
_END = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


class DatabaseLock:
    """
    The lock on one database, which is taken with each connection.

    All methods block.
    """

    def __init__(self, backend: Backend, engine: Engine, wait: float | None = None) -> None:
        """
        Nothing is opened yet.

        @param engine: makes the connections.
        @param wait: how long to wait for the lock, in seconds; L{None} for L{LOCK_WAIT}.
        """
        self._backend = backend
        self._engine = engine
        self._wait = LOCK_WAIT if wait is None else wait
        self._file: int | None = None
        self._session: Row[Any] | None = None

    def connect(self) -> Connection:
        """
        Open a connection that has the database for itself.

        @raise BadDatabase: another server or command uses it.
        """
        if self._backend.is_sqlite:
            self._lock_file()
            return self._engine.connect()
        connection = self._engine.connect()
        try:
            self._lock_session(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def release(self) -> None:
        """Give the lock up; connections must be closed."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _lock_file(self) -> None:
        import fcntl  # not on every system

        path = self._backend.path
        if path is None or self._file is not None:
            return
        create_file(self._backend)
        name = f"{path.resolve()}.lock"  # the same for all links to the database
        try:
            self._file = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as problem:
            raise BadDatabase(f"--database: cannot open {name}: {problem.strerror}") from problem
        file = self._file

        def take() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError as problem:
                raise BadDatabase(f"cannot lock {name}: {problem.strerror}") from problem
            return True

        try:
            self._take(take)
        except BaseException:
            self.release()
            raise

    def _lock_session(self, connection: Connection) -> None:
        kind = connection.dialect.name
        if self._session is not None:
            lost = connection.scalar(text(_FIND[kind]), dict(self._session._mapping))
            if lost is not None:
                connection.execute(text(_END[kind].format(int(lost))))
        self._take(lambda: bool(connection.scalar(text(_TAKE[kind]))))
        self._session = connection.execute(text(_SESSION[kind])).one()
        connection.commit()

    def _take(self, take: Callable[[], bool]) -> None:
        latest = time.monotonic() + self._wait
        while not take():
            if time.monotonic() >= latest:
                raise BadDatabase(f"{self._backend.title} is in use by another server or command")
            time.sleep(PAUSE)


@contextmanager
def locked(settings: StoreSettings, wait: float | None = None) -> Iterator[None]:
    """
    Hold the lock on a database; blocks, for commands only.

    @param wait: how long to wait for it, in seconds; L{None} for L{LOCK_WAIT}.
    @raise BadDatabase: it is in use, or cannot be used.
    """
    backend = find_backend(settings)
    engine = backend.engine(timeout=settings.database_timeout, patience=PATIENCE)
    lock = DatabaseLock(backend, engine, wait)
    try:
        connection = lock.connect()
    except SQLAlchemyError as problem:
        raise unusable(backend, problem) from problem
    try:
        yield
    finally:
        connection.close()
        lock.release()
        engine.dispose()


@contextmanager
def connected(settings: StoreSettings, *, writes: bool, lock: bool = True) -> Iterator[Connection]:
    """
    Open a connection in a transaction, which is committed at the end; blocks, for commands only.

    Errors of the database are raised as L{BadDatabase}.

    @param lock: whether nobody else may use the database meanwhile.
    """
    backend = find_backend(settings)
    engine = backend.engine(timeout=settings.database_timeout, writes=writes, patience=PATIENCE)
    try:
        with locked(settings) if lock else nullcontext(), engine.begin() as connection:
            yield connection
    except SQLAlchemyError as problem:
        raise unusable(backend, problem) from problem
    finally:
        engine.dispose()
