"""
Column types that behave the same on every database.

Text is compared exactly, including trailing blanks, and sorted by code points.  Moments are UTC
without a zone in the database and aware in Python.

Released revisions use these types too, so their definitions must not change any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, MetaData, String, Table, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import SchemaItem

#: The collation of MariaDB in which C{a} differs from C{A} and from C{a } with a blank.
EXACT = "utf8mb4_nopad_bin"

#: Ids in one statement; databases limit the number of parameters.
CHUNK = 500


def new_metadata() -> MetaData:
    """
    Metadata for the tables of one owner; names of constraints are the same on every database.
    """
    return MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


def new_table(name: str, metadata: MetaData, *columns: SchemaItem) -> Table:
    """Define a table; on MariaDB with transactions and all of Unicode."""
    return Table(
        name,
        metadata,
        *columns,
        mariadb_engine="InnoDB",
        mariadb_default_charset="utf8mb4",
        mariadb_collate=EXACT,
    )


def chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    """Split into lists of at most L{CHUNK}."""
    everything = list(ids)
    for start in range(0, len(everything), CHUNK):
        yield everything[start : start + CHUNK]


class Moment(TypeDecorator[datetime]):
    """An aware L{datetime} in Python; UTC without a zone, to the microsecond, in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mariadb", "mysql"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def checked(self, value: datetime) -> datetime:
        """Convert to what is stored; raises L{ValueError}."""
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else self.checked(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class ExactText(TypeDecorator[str]):
    """
    Text whose length is checked, also for databases that do not.

    It is sorted by code points everywhere; PostgreSQL needs the collation C{C} for that.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(self._length, collation=collation))

    def checked(self, value: str | None) -> str | None:
        """Return the text; raises L{ValueError} if the column cannot hold it."""
        if value is not None and (len(value) > self._length or "\0" in value):
            raise ValueError(f"not a text of at most {self._length} characters")
        return value

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return self.checked(value)
