"""
The database backends: from the C{database} option to configured connections.

=============== ======================= ===============================================
database        driver                  set on each connection
=============== ======================= ===============================================
SQLite          sqlite3                 WAL, synchronous=FULL, foreign keys, busy timeout
PostgreSQL      psycopg 3 (extra)       lock and statement timeouts, TCP keepalives
MariaDB         PyMySQL (extra)         strict mode, READ COMMITTED, lock and socket timeouts
=============== ======================= ===============================================

A transaction that writes takes SQLite's lock when it begins (C{BEGIN IMMEDIATE}), so that it waits
for another process's lock before there is anything to repeat.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool
from twisted.logger import Logger

from gameservers.store.errors import BadDatabase
from gameservers.store.settings import StoreSettings

#: How long one attempt waits for another process's SQLite lock, in milliseconds.  Attempts are
#: repeated; between them the thread checks whether it should stop.
BUSY_TIMEOUT = 250

#: How long a statement may wait for a lock in a database server, in seconds.
LOCK_TIMEOUT = 5

#: After how many seconds PostgreSQL asks whether a silent client is still there, how often it asks
#: again, and how many times; a session that holds the lock must not outlive its client for long.
KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"

#: How often an idle writer makes sure that its connection, and so its lock, is still there, in
#: seconds; and after how much silence MariaDB, which has no such option, ends the session.
HEARTBEAT = 15
SILENCE = 4 * HEARTBEAT

#: How long commands and migrations may wait for a lock or one statement, in seconds.
PATIENCE = 3600

#: The classes of PostgreSQL's errors that another attempt may not meet: connection lost, deadlock,
#: out of resources, locked, stopping.
POSTGRESQL_AWAY = frozenset({"08", "40", "53", "55", "57"})

#: The same of MariaDB: too many connections, stopping, locked, deadlock, and the driver's own for
#: a server that cannot be reached or is lost.
MARIADB_AWAY = frozenset({0, 1040, 1053, 1203, 1205, 1213, 1226, 2002, 2003, 2006, 2013, 2014})

FILE_NAME = "gameservers.sqlite3"

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mariadb+pymysql",
}

_log = Logger()


@dataclass(frozen=True, slots=True)
class Backend:
    """
    A database chosen by the settings; nothing is opened yet.

    @ivar title: its URL without the password, for logs.
    @ivar inline: whether it is used in the caller's thread, since it never blocks.
    """

    url: URL
    inline: bool = False

    @property
    def title(self) -> str:
        return self.url.set(drivername=self.url.get_backend_name()).render_as_string()

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file, if it is one."""
        if not self.is_sqlite or self.inline:
            return None
        return Path(self.url.database or "")

    def engine(
        self, *, timeout: float, writes: bool = True, patience: float | None = None
    ) -> Engine:
        """
        Make an SQLAlchemy engine for it.

        @param timeout: how long to wait for a server, in seconds.
        @param writes: whether its transactions write.
        @param patience: how long to wait for a statement or a lock, in seconds, instead of the
            short times of the running server.
        """
        lock = patience or LOCK_TIMEOUT
        longest = (patience or 3 * timeout) + timeout
        if self.is_sqlite:
            engine = create_engine(
                self.url,
                hide_parameters=True,  # which errors would show, and the log with them
                poolclass=StaticPool if self.inline else NullPool,
                connect_args={
                    "check_same_thread": False,
                    "timeout": patience or BUSY_TIMEOUT / 1000,
                },
            )
            begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
            event.listen(engine, "connect", _prepare_writer if writes else _prepare_reader)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
            return engine
        seconds = max(1, round(timeout))
        if self.url.get_backend_name() == "postgresql":
            return create_engine(
                self.url,
                hide_parameters=True,
                poolclass=NullPool,
                connect_args={
                    # A database with the encoding SQL_ASCII would give bytes otherwise.
                    "client_encoding": "utf8",
                    "connect_timeout": max(2, seconds),  # the minimum of libpq
                    "keepalives_idle": seconds,
                    "keepalives_interval": seconds,
                    "keepalives_count": 3,
                    "tcp_user_timeout": 4 * seconds * 1000,
                    "options": f"-c lock_timeout={lock:.0f}s -c timezone=UTC "
                    f"-c statement_timeout={longest:.0f}s {KEEPALIVE}",
                },
            )
        silence = f",wait_timeout={SILENCE}" if writes and patience is None else ""
        return create_engine(
            self.url,
            hide_parameters=True,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",
            connect_args={
                "charset": "utf8mb4",
                "connect_timeout": seconds,
                "read_timeout": longest,
                "write_timeout": longest,
                "init_command": "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
                f"innodb_lock_wait_timeout={lock:.0f},foreign_key_checks=1{silence}",
            },
        )

    def is_away(self, problem: DBAPIError) -> bool:
        """
        Whether an error at the start may go away without an operator.

        It does if the database server cannot be reached, is starting or stopping, or has too much
        to do, or if another process holds SQLite's lock.  It does not if the server refuses the
        user or has no such database.
        """
        if self.is_sqlite:
            return is_locked(problem)
        if problem.connection_invalidated:
            return True
        if self.url.get_backend_name() == "mariadb":
            code = problem.orig.args[0] if problem.orig is not None and problem.orig.args else 0
            return code in MARIADB_AWAY
        state = getattr(problem.orig, "sqlstate", None)
        if state is not None:
            return state[:2] in POSTGRESQL_AWAY
        return self._is_silent() or "too many" in str(problem) or "slots" in str(problem)

    def _is_silent(self) -> bool:
        """
        Whether PostgreSQL accepts no connections at all now.

        Its refusals have no code that a client could see, and a text in any language.
        """
        from psycopg.conninfo import make_conninfo
        from psycopg.pq import PGconn, Ping

        dialect = self.url.get_dialect()()
        _, options = dialect.create_connect_args(self.url)
        answer = PGconn.ping(make_conninfo(**{"connect_timeout": 5, **options}).encode())
        return answer in (Ping.REJECT, Ping.NO_RESPONSE)


def is_locked(problem: Exception) -> bool:
    """Whether another connection holds SQLite's lock, so that nothing was done."""
    cause = problem.orig if isinstance(problem, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def _prepare_reader(connection: Any, record: object) -> None:
    connection.isolation_level = None  # BEGIN is sent explicitly
    connection.execute("PRAGMA foreign_keys=ON")


def _prepare_writer(connection: Any, record: object) -> None:
    _prepare_reader(connection, record)
    # A database just created by a program with a rollback journal may be locked for a moment.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def find_backend(settings: StoreSettings) -> Backend:
    """The database that the settings name; raises L{BadDatabase} with a sentence."""
    match settings.database:
        case "memory":
            return Backend(URL.create("sqlite+pysqlite", database=":memory:"), inline=True)
        case "sqlite":
            path = user_data_path("gameservers") / FILE_NAME
            return Backend(URL.create("sqlite+pysqlite", database=str(path)))
    try:
        url = make_url(settings.database)
        name = url.get_backend_name()
        url = url.set(drivername=_DRIVERS[name])
    except (ArgumentError, KeyError):
        raise BadDatabase(
            "--database is neither sqlite, memory nor a URL such as postgresql://user@host/name"
        ) from None  # its text may contain a password
    try:
        url.get_dialect().import_dbapi()
    except ImportError as problem:
        extra = "postgresql" if name.startswith("postgres") else "mariadb"
        raise BadDatabase(
            f"--database: the driver is not installed: pip install gameservers[{extra}]"
        ) from problem
    if name == "sqlite" and url.database in (None, "", ":memory:"):
        return Backend(url.set(database=":memory:"), inline=True)
    return Backend(url)


def require_file(backend: Backend) -> None:
    """Raise L{BadDatabase} for a SQLite database that does not exist."""
    if backend.path is not None and not backend.path.exists():
        raise BadDatabase(f"there is no database {backend.path}")


def unusable(backend: Backend, problem: SQLAlchemyError) -> BadDatabase:
    """Wrap a database's error message."""
    cause = problem.orig if isinstance(problem, DBAPIError) else problem
    words = " ".join(str(cause).split())  # some drivers' messages have several lines
    return BadDatabase(f"{backend.title} cannot be used: {words}")


def create_file(backend: Backend) -> None:
    """Create the directory and file of a SQLite database, which other users cannot read."""
    path = backend.path
    if path is None or path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise BadDatabase(f"--database: cannot create {path}: {problem.strerror}") from problem
    _log.info("created the database {path}", path=str(path))
