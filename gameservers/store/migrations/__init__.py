"""
Numbered migrations: how a database gets the tables of L{gameservers.store.tables}.

Each step is a module here with a C{migrate(connection, zone)} function and stands for ever as it
was released; it writes its tables out instead of borrowing the present ones.  C{schema_version}
holds the number of the last step that was made.

A step and its number are one transaction on SQLite and PostgreSQL.  MariaDB commits at each
change of a table, so every step can be started again after it was cut off anywhere.  One process
at a time migrates; another waits for it and finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo

from sqlalchemy import Connection, Engine, inspect, text
from twisted.logger import Logger

from gameservers.store.errors import BadDatabase
from gameservers.store.migrations import s0001_original, s0002_results, s0003_worlds

Step = Callable[[Connection, tzinfo | None], None]

#: All steps in their order; the first has number 1.
STEPS: tuple[Step, ...] = (
    s0001_original.migrate,
    s0002_results.migrate,
    s0003_worlds.migrate,
)

#: A number of our own, for the lock of a database server.
LOCK = 0x67616D65

_log = Logger()


def migrate(engine: Engine, zone: tzinfo | None = None) -> tuple[int, int]:
    """
    Bring the tables up to date.

    @param zone: of the original server's moments; L{None} is this machine's.
    @return: the version found and the version now.
    """
    with engine.connect() as connection, _alone(connection):
        found = _version(connection)
        if found > len(STEPS):
            raise BadDatabase(
                f"the database has tables of version {found}, this program knows {len(STEPS)}; "
                "it was used by a newer one"
            )
        for number in range(found + 1, len(STEPS) + 1):
            with connection.begin():
                # SQLite: another process may have been quicker before we had the lock.
                if _version_inside(connection) >= number:
                    continue
                STEPS[number - 1](connection, zone)
                _set_version(connection, number)
            _log.info("database migrated to version {version}", version=number)
    return found, len(STEPS)


def _version(connection: Connection) -> int:
    with connection.begin():
        return _version_inside(connection)


def _version_inside(connection: Connection) -> int:
    if not inspect(connection).has_table("schema_version"):
        return 0
    return connection.scalar(text("SELECT max(version) FROM schema_version")) or 0


def _set_version(connection: Connection, number: int) -> None:
    if not inspect(connection).has_table("schema_version"):
        connection.execute(
            text("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        )
    connection.execute(text("DELETE FROM schema_version"))
    connection.execute(text("INSERT INTO schema_version VALUES (:n)"), {"n": number})


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Keep other processes that would migrate waiting; SQLite's own lock does it by itself."""
    match connection.dialect.name:
        case "postgresql":
            take, leave = f"SELECT pg_advisory_lock({LOCK})", f"SELECT pg_advisory_unlock({LOCK})"
        case "mariadb":
            name = "concat('gameservers:', database())"
            take, leave = f"SELECT get_lock({name}, 60)", f"SELECT release_lock({name})"
        case _:
            yield
            return
    with connection.begin():
        connection.execute(text(take))
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(text(leave))
