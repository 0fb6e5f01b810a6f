"""The world that outlives a restart

The rows of C{worlds}, of the releases with one version number for all tables, are copied.
"""

from alembic import op
from sqlalchemy import Column, LargeBinary, inspect

from gameservers.store.columns import ExactText, Moment, new_metadata, new_table
from gameservers.store.migrations import copy_rows, create_tables

revision = "0001"
down_revision = None

metadata = new_metadata()
worlds = new_table(
    "tilegame_worlds",
    metadata,
    Column("name", ExactText(64), primary_key=True),
    Column("description", ExactText(4096), nullable=False),
    Column("content", LargeBinary(2**24 - 1), nullable=False),
    Column("saved_at", Moment, nullable=False),
)


def upgrade() -> None:
    create_tables(metadata)
    if {"schema_version", "worlds"} <= set(inspect(op.get_bind()).get_table_names()):
        copy_rows("worlds", "tilegame_worlds", {each.name: each.name for each in worlds.c})
