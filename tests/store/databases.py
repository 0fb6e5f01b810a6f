"""
The databases that the tests of the store run on, and that they leave no trace of.

Each is a context manager that gives a URL.  C{*_new} is a database without tables, the others
have up-to-date tables without rows.  Those of a server are made once for all tests, because that
takes long, and are dropped when the process ends.
"""

from __future__ import annotations

import atexit
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from unittest import SkipTest

import psycopg
import pymysql
from sqlalchemy import Connection, MetaData, create_engine

from gameservers.store import StoreSettings, migrate_database
from gameservers.store.backends import find_backend
from gameservers.store.schema import installed

#: How long a server may take to accept a connection, in seconds; if none is there, it is refused
#: at once.
PATIENCE = 30

Database = Callable[[], AbstractContextManager[str]]


@contextmanager
def memory() -> Iterator[str]:
    yield "memory"


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:
        yield f"sqlite:///{Path(directory) / 'store.sqlite3'}"


def _need(port: int, title: str) -> None:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        raise SkipTest(f"no {title} listens on 127.0.0.1:{port}") from None


def _administer_postgresql(statement: str) -> None:
    with psycopg.connect("host=127.0.0.1 user=postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def _administer_mariadb(statement: str) -> None:
    with pymysql.connect(host="127.0.0.1", user="root") as connection:
        connection.cursor().execute(statement)


def _make_postgresql(how: str = "") -> tuple[str, Callable[[], None]]:
    _need(5432, "PostgreSQL")
    name = f"gameservers_test_{secrets.token_hex(6)}"
    _administer_postgresql(f"CREATE DATABASE {name} {how}")
    url = f"postgresql://postgres@127.0.0.1/{name}"
    return url, lambda: _administer_postgresql(f"DROP DATABASE {name} WITH (FORCE)")


def _make_mariadb() -> tuple[str, Callable[[], None]]:
    _need(3306, "MariaDB")
    name = f"gameservers_test_{secrets.token_hex(6)}"
    # As a server makes them that was told nothing; our tables choose for themselves.
    _administer_mariadb(f"CREATE DATABASE {name} CHARACTER SET latin1")
    return f"mariadb://root@127.0.0.1/{name}", lambda: _administer_mariadb(f"DROP DATABASE {name}")


@cache
def _shared(make: Callable[[], tuple[str, Callable[[], None]]], with_tables: bool) -> str:
    url, drop = make()
    atexit.register(drop)
    if with_tables:
        migrate_database(StoreSettings(database=url), installed())
    return url


@contextmanager
def _emptied(make: Callable[[], tuple[str, Callable[[], None]]]) -> Iterator[str]:
    url = _shared(make, True)
    try:
        yield url
    finally:
        engine = create_engine(find_backend(StoreSettings(database=url)).url)
        with engine.begin() as connection:
            found = MetaData()
            found.reflect(connection)
            for table in reversed(found.sorted_tables):
                if not table.name.endswith("version"):
                    connection.execute(table.delete())
        engine.dispose()


@contextmanager
def _cleared(make: Callable[[], tuple[str, Callable[[], None]]]) -> Iterator[str]:
    url = _shared(make, False)
    try:
        yield url
    finally:
        engine = create_engine(find_backend(StoreSettings(database=url)).url)
        with engine.begin() as connection:
            drop_all(connection)
        engine.dispose()


def drop_all(connection: Connection) -> None:
    """Drop all tables, also those that the tests know nothing of."""
    found = MetaData()
    found.reflect(connection)
    found.drop_all(connection)


def postgresql() -> AbstractContextManager[str]:
    return _emptied(_make_postgresql)


def mariadb() -> AbstractContextManager[str]:
    return _emptied(_make_mariadb)


@contextmanager
def postgresql_without_encoding() -> Iterator[str]:
    """As a server makes them that was told no locale."""
    url, drop = _make_postgresql("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        yield url
    finally:
        drop()


def postgresql_new() -> AbstractContextManager[str]:
    return _cleared(_make_postgresql)


def mariadb_new() -> AbstractContextManager[str]:
    return _cleared(_make_mariadb)
