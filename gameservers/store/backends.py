"""
The databases: from the C{database} option to connections that behave alike.

=============== ======================= ===============================================
database        driver                  set on each connection
=============== ======================= ===============================================
SQLite          sqlite3                 WAL, synchronous=FULL, foreign keys, busy timeout
PostgreSQL      psycopg 3 (extra)       lock and statement timeouts, TCP keepalives
MariaDB         PyMySQL (extra)         strict mode, READ COMMITTED, lock and socket timeouts
=============== ======================= ===============================================

A transaction that writes takes SQLite's lock when it begins (C{BEGIN IMMEDIATE}); so waiting for
another process's lock happens before there is anything to repeat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, StaticPool
from twisted.logger import Logger

from gameservers.store.errors import BadDatabase
from gameservers.store.settings import StoreSettings

#: How long a SQLite connection waits in one go for another process's lock, in milliseconds.  It
#: tries again and again; in between it notices that it shall stop.
BUSY_TIMEOUT = 250

#: How long a database server may keep us waiting for a lock of another process, in seconds.
LOCK_TIMEOUT = 5

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
    A database that was named by the settings; nothing is opened yet.

    @ivar title: what may stand in a log: no password.
    @ivar inline: to be used in the caller's thread, as it never waits for anything.
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
        """The file, if it is one."""
        if not self.is_sqlite or self.inline:
            return None
        return Path(self.url.database or "")

    def engine(self, *, timeout: float, writes: bool = True) -> Engine:
        """
        What makes connections, each of them set up alike.

        @param timeout: how long to wait for a server, in seconds.
        @param writes: its transactions change something.
        """
        if self.is_sqlite:
            engine = create_engine(
                self.url,
                poolclass=StaticPool if self.inline else NullPool,
                connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT / 1000},
            )
            begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
            return engine
        patience = max(1, round(timeout))
        if self.url.get_backend_name() == "postgresql":
            return create_engine(
                self.url,
                poolclass=NullPool,
                connect_args={
                    # What a database of no encoding at all would leave to us, as bytes.
                    "client_encoding": "utf8",
                    "connect_timeout": max(2, patience),  # libpq's least
                    "keepalives_idle": patience,
                    "keepalives_interval": patience,
                    "keepalives_count": 3,
                    "tcp_user_timeout": 4 * patience * 1000,
                    "options": f"-c lock_timeout={LOCK_TIMEOUT}s -c statement_timeout="
                    f"{4 * patience}s -c timezone=UTC",
                },
            )
        return create_engine(
            self.url,
            poolclass=NullPool,
            isolation_level="READ COMMITTED",
            connect_args={
                "charset": "utf8mb4",
                "connect_timeout": patience,
                "read_timeout": 4 * patience,
                "write_timeout": 4 * patience,
                "init_command": "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
                f"innodb_lock_wait_timeout={LOCK_TIMEOUT},foreign_key_checks=1",
            },
        )


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    # A database that was just made by a rollback-journal program may be locked for a moment.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The current user's directory for data (XDG Base Directory Specification), ours in it."""
    home = environment.get("XDG_DATA_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "share"
    return base / "gameservers"


def find_backend(settings: StoreSettings, environment: Mapping[str, str] = os.environ) -> Backend:
    """What the settings name; L{BadDatabase} with a sentence if there is no such thing."""
    match settings.database:
        case "memory":
            return Backend(URL.create("sqlite+pysqlite", database=":memory:"), inline=True)
        case "sqlite":
            path = data_directory(environment) / FILE_NAME
            return Backend(URL.create("sqlite+pysqlite", database=str(path)))
    try:
        url = make_url(settings.database)
    except ArgumentError:
        raise _no_such_thing() from None  # its text may hold a password
    name = url.get_backend_name()
    if name not in _DRIVERS:
        raise _no_such_thing()
    url = url.set(drivername=_DRIVERS[name])
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


def _no_such_thing() -> BadDatabase:
    return BadDatabase(
        "--database is neither sqlite, memory nor a URL such as postgresql://user@host/name"
    )


def create_file(backend: Backend) -> None:
    """See to the directory and the file of a SQLite database; others cannot read them."""
    path = backend.path
    if path is None:
        return
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as problem:
        raise BadDatabase(f"--database: cannot create {path}: {problem.strerror}") from problem
    _log.info("created the database {path}", path=str(path))
