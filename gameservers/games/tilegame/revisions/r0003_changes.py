"""The tiles that were broken since the world was saved"""

from sqlalchemy import Column, Integer

from gameservers.store.columns import ExactText, new_metadata, new_table
from gameservers.store.migrations import create_tables

revision = "0003"
down_revision = "0002"

metadata = new_metadata()
new_table(
    "tilegame_changes",
    metadata,
    Column("name", ExactText(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
)


def upgrade() -> None:
    create_tables(metadata)
