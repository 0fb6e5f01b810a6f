"""
Step 3: worlds that outlive a restart.
"""

from __future__ import annotations

from datetime import tzinfo

from sqlalchemy import Column, Connection, LargeBinary, MetaData, PrimaryKeyConstraint, Table

from gameservers.store.migrations.columns import MOMENT, OPTIONS, words

_metadata = MetaData()

_worlds = Table(
    "worlds",
    _metadata,
    Column("name", words(64), nullable=False),
    Column("description", words(4096), nullable=False),
    Column("content", LargeBinary(2**24 - 1), nullable=False),
    Column("saved_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("name", name="pk_worlds"),
    **OPTIONS,
)


def migrate(connection: Connection, zone: tzinfo | None) -> None:
    _metadata.create_all(connection)
