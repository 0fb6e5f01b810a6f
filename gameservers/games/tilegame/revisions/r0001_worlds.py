"""The world that outlives a restart

What stands in C{worlds}, of the time when all tables had one sequence of numbers, is brought over.
"""

from alembic import op
from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, inspect

from gameservers.store.columns import TABLE_OPTIONS, ExactText, Moment
from gameservers.store.migrations import copy_rows

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tilegame_worlds",
        Column("name", ExactText(64), nullable=False),
        Column("description", ExactText(4096), nullable=False),
        Column("content", LargeBinary(2**24 - 1), nullable=False),
        Column("saved_at", Moment, nullable=False),
        PrimaryKeyConstraint("name", name="pk_tilegame_worlds"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    tables = inspect(op.get_bind()).get_table_names()
    if {"schema_version", "worlds"} <= set(tables):
        copy_rows("worlds", "tilegame_worlds", ["name", "description", "content", "saved_at"])
