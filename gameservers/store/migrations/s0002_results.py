"""
Step 2: the results of ended matches.
"""

from __future__ import annotations

from datetime import tzinfo

from sqlalchemy import Column, Connection, Index, Integer, MetaData, PrimaryKeyConstraint, Table

from gameservers.store.migrations.columns import MOMENT, OPTIONS, words

_metadata = MetaData()

_results = Table(
    "results",
    _metadata,
    Column("match_id", words(32), nullable=False),
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
    PrimaryKeyConstraint("match_id", name="pk_results"),
    Index("ix_results_user_a_ended_at", "user_a", "ended_at"),
    Index("ix_results_user_b_ended_at", "user_b", "ended_at"),
    **OPTIONS,
)


def migrate(connection: Connection, zone: tzinfo | None) -> None:
    _metadata.drop_all(connection)  # cut off between a table and its indexes: still empty
    _metadata.create_all(connection)
