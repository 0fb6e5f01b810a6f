"""The best roll of each player"""

from sqlalchemy import Column, Integer

from gameservers.store.columns import ExactText, new_metadata, new_table
from gameservers.store.migrations import create_tables

revision = "0001"
down_revision = None

metadata = new_metadata()
new_table(
    "dice_scores",
    metadata,
    Column("name", ExactText(100), primary_key=True),
    Column("best", Integer, nullable=False),
)


def upgrade() -> None:
    create_tables(metadata)
