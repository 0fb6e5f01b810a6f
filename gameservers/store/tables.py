"""
The tables as they are now.

C{users}, C{matches}, C{sessions} and C{friends} bear the names of the original tic-tac-toe
server, table by table and column by column, so that its data can be taken over; what it did not
have follows its columns.  L{gameservers.store.migrations} is how a database gets here.

Text is compared exactly on every database, trailing blanks included.  Moments are UTC without a
zone in the database and aware on our side.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.dialects import mysql

from gameservers.store.interface import (
    MAX_ID,
    MAX_NAME,
    MAX_OUTCOME,
    MAX_PASSWORD_HASH,
    MAX_PASSWORD_PARAMETERS,
    MAX_PASSWORD_SALT,
    MAX_PASSWORD_SCHEME,
    MAX_STATE,
    MAX_WORLD_NAME,
)

#: The one collation of MariaDB that tells C{a} from C{A} and from C{a } with a blank.
EXACT = "utf8mb4_nopad_bin"

#: MariaDB: transactions, and room for every character.
MARIADB_OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": EXACT,
}

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


class Moment(TypeDecorator[datetime]):
    """An aware L{datetime} here, UTC to the microsecond without a zone there."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mariadb", "mysql"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def checked(self, value: datetime) -> datetime:
        """As it is kept; L{ValueError} if it cannot be."""
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else self.checked(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Words(TypeDecorator[str]):
    """
    Text no longer than its column, on databases that do not look, too.

    It is sorted by code points everywhere; PostgreSQL has to be told so.
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
        """The same; L{ValueError} if the column cannot hold it."""
        if value is not None and (len(value) > self._length or "\0" in value):
            raise ValueError(f"not a text of at most {self._length} characters")
        return value

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return self.checked(value)


metadata = MetaData(naming_convention=NAMING)

users = Table(
    "users",
    metadata,
    Column("name", Words(MAX_NAME), primary_key=True),
    Column("pw_hash", Words(MAX_PASSWORD_HASH), nullable=False),
    Column("pw_salt", Words(MAX_PASSWORD_SALT), nullable=False),
    Column("last_seen", Moment, nullable=False, index=True),
    Column("elo", Integer, nullable=False, index=True),
    Column("pw_scheme", Words(MAX_PASSWORD_SCHEME), nullable=False),
    Column("pw_parameters", Words(MAX_PASSWORD_PARAMETERS), nullable=False),
    **MARIADB_OPTIONS,
)

matches = Table(
    "matches",
    metadata,
    Column("id", Words(MAX_ID), primary_key=True),
    Column("user_a", Words(MAX_NAME), nullable=False, index=True),
    Column("user_b", Words(MAX_NAME), nullable=False, index=True),
    Column("match_state", Words(MAX_STATE), nullable=False),
    Column("active_user", Words(MAX_NAME)),
    Column("last_active", Moment, nullable=False, index=True),
    Column("ranked", Boolean, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("ended", Boolean, nullable=False, server_default=false()),
    Column("seen_a", Boolean, nullable=False, server_default=false()),
    Column("seen_b", Boolean, nullable=False, server_default=false()),
    **MARIADB_OPTIONS,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Words(MAX_ID), primary_key=True),
    Column("registered_user", Words(MAX_NAME), ForeignKey("users.name"), index=True),
    Column("temp_user", Words(MAX_NAME)),
    Column("last_seen", Moment, nullable=False, index=True),
    Index("uq_sessions_temp_user", "temp_user", unique=True),
    **MARIADB_OPTIONS,
)

friends = Table(
    "friends",
    metadata,
    Column("user", Words(MAX_NAME), ForeignKey("users.name"), primary_key=True),
    Column("friend", Words(MAX_NAME), ForeignKey("users.name"), primary_key=True, index=True),
    **MARIADB_OPTIONS,
)

results = Table(
    "results",
    metadata,
    Column("match_id", Words(MAX_ID), primary_key=True),
    Column("user_a", Words(MAX_NAME), nullable=False),
    Column("user_b", Words(MAX_NAME), nullable=False),
    Column("winner", Words(MAX_NAME)),
    Column("outcome", Words(MAX_OUTCOME), nullable=False),
    Column("match_state", Words(MAX_STATE), nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("elo_a_before", Integer),
    Column("elo_b_before", Integer),
    Column("elo_a_after", Integer),
    Column("elo_b_after", Integer),
    Index("ix_results_user_a_ended_at", "user_a", "ended_at"),
    Index("ix_results_user_b_ended_at", "user_b", "ended_at"),
    **MARIADB_OPTIONS,
)

worlds = Table(
    "worlds",
    metadata,
    Column("name", Words(MAX_WORLD_NAME), primary_key=True),
    Column("description", Words(MAX_STATE), nullable=False),
    Column("content", LargeBinary(2**24 - 1), nullable=False),
    Column("saved_at", Moment, nullable=False),
    **MARIADB_OPTIONS,
)

#: One row: the number of the last migration that was made.
schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    **MARIADB_OPTIONS,
)
