"""
Databases of the time when all tables had one sequence of numbers, 1 to 3, in C{schema_version}.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    false,
    text,
)
from sqlalchemy.dialects import mysql

OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
MOMENT = DateTime().with_variant(mysql.DATETIME(fsp=6), "mariadb")


def words(length: int) -> Any:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", words(16), primary_key=True),
    Column("pw_hash", words(128), nullable=False),
    Column("pw_salt", words(32), nullable=False),
    Column("last_seen", MOMENT, nullable=False),
    Column("elo", Integer, nullable=False),
    Column("pw_scheme", words(16), nullable=False),
    Column("pw_parameters", words(64), nullable=False),
    Index("ix_users_last_seen", "last_seen"),
    Index("ix_users_elo", "elo"),
    **OPTIONS,
)
matches = Table(
    "matches",
    metadata,
    Column("id", words(32), primary_key=True),
    Column("user_a", words(16), nullable=False),
    Column("user_b", words(16), nullable=False),
    Column("match_state", words(4096), nullable=False),
    Column("active_user", words(16)),
    Column("last_active", MOMENT, nullable=False),
    Column("ranked", Boolean, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("ended", Boolean, nullable=False, server_default=false()),
    Column("seen_a", Boolean, nullable=False, server_default=false()),
    Column("seen_b", Boolean, nullable=False, server_default=false()),
    Index("ix_matches_user_a", "user_a"),
    Index("ix_matches_user_b", "user_b"),
    Index("ix_matches_last_active", "last_active"),
    **OPTIONS,
)
sessions = Table(
    "sessions",
    metadata,
    Column("id", words(32), primary_key=True),
    Column(
        "registered_user",
        words(16),
        ForeignKey("users.name", name="fk_sessions_registered_user"),
    ),
    Column("temp_user", words(16)),
    Column("last_seen", MOMENT, nullable=False),
    Index("ix_sessions_registered_user", "registered_user"),
    Index("uq_sessions_temp_user", "temp_user", unique=True),
    Index("ix_sessions_last_seen", "last_seen"),
    **OPTIONS,
)
friends = Table(
    "friends",
    metadata,
    Column("user", words(16), ForeignKey("users.name"), primary_key=True),
    Column("friend", words(16), ForeignKey("users.name"), primary_key=True),
    Index("ix_friends_friend", "friend"),
    **OPTIONS,
)
results = Table(
    "results",
    metadata,
    Column("match_id", words(32), primary_key=True),
    Column("user_a", words(16), nullable=False),
    Column("user_b", words(16), nullable=False),
    Column("winner", words(16)),
    Column("outcome", words(16), nullable=False),
    Column("match_state", words(4096), nullable=False),
    Column("ended_at", MOMENT, nullable=False),
    Column("elo_a_before", Integer),
    Column("elo_b_before", Integer),
    Column("elo_a_after", Integer),
    Column("elo_b_after", Integer),
    Index("ix_results_user_a_ended_at", "user_a", "ended_at"),
    Index("ix_results_user_b_ended_at", "user_b", "ended_at"),
    **OPTIONS,
)
worlds = Table(
    "worlds",
    metadata,
    Column("name", words(64), primary_key=True),
    Column("description", words(4096), nullable=False),
    Column("content", LargeBinary(2**24 - 1), nullable=False),
    Column("saved_at", MOMENT, nullable=False),
    **OPTIONS,
)

#: The tables that came with each number.
STEPS = ([users, matches, sessions, friends], [results], [worlds])

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456)
STATE = '{"state": "äöü 🎲"}'

#: A row or two of each table.
ROWS: dict[Table, list[dict[str, Any]]] = {
    users: [
        {"name": name, "pw_hash": "ab" * 64, "pw_salt": "cd" * 16, "last_seen": NOON, "elo": elo,
         "pw_scheme": "scrypt", "pw_parameters": "14:8:1"}
        for name, elo in (("ann", 1010), ("Ann", 990), ("ann ", 1000), ("änn", 1000))
    ],
    matches: [
        {"id": "1" * 32, "user_a": "ann", "user_b": "Ann", "match_state": STATE,
         "active_user": "Ann", "last_active": NOON, "ranked": True, "version": 7},
        {"id": "2" * 32, "user_a": "tim", "user_b": "ann", "match_state": STATE,
         "active_user": None, "last_active": NOON, "ranked": False, "version": 1,
         "ended": True, "seen_b": True},
    ],
    sessions: [
        {"id": "a" * 32, "registered_user": "ann", "last_seen": NOON},
        {"id": "b" * 32, "temp_user": "tim", "last_seen": NOON},
    ],
    friends: [{"user": "ann", "friend": "Ann"}, {"user": "Ann", "friend": "ann"}],
    results: [
        {"match_id": "0" * 32, "user_a": "ann", "user_b": "Ann", "winner": "ann",
         "outcome": "won", "match_state": STATE, "ended_at": NOON, "elo_a_before": 1000,
         "elo_b_before": 1000, "elo_a_after": 1010, "elo_b_after": 990},
        {"match_id": "2" * 32, "user_a": "tim", "user_b": "ann", "winner": None,
         "outcome": "draw", "match_state": STATE, "ended_at": NOON},
    ],
    worlds: [{"name": "tilegame", "description": STATE, "content": bytes(range(256)),
              "saved_at": NOON}],
}  # fmt: skip


def create(engine: Engine, number: int) -> None:
    """The tables of this number, with rows."""
    with engine.begin() as connection:
        for tables in STEPS[:number]:
            metadata.create_all(connection, tables)
            for table in tables:
                for row in ROWS[table]:
                    connection.execute(table.insert(), row)
        connection.execute(
            text("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO schema_version VALUES (:n)"), {"n": number})
