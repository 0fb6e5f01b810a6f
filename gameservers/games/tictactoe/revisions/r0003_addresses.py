"""The addresses from which accounts were used"""

from sqlalchemy import Column

from gameservers.store.columns import ExactText, Moment, new_metadata, new_table
from gameservers.store.migrations import create_tables

revision = "0003"
down_revision = "0002"

metadata = new_metadata()
new_table(
    "tictactoe_addresses",
    metadata,
    Column("player", ExactText(16), primary_key=True),
    Column("place", ExactText(64), primary_key=True),
    Column("last_used", Moment, nullable=False),
)


def upgrade() -> None:
    create_tables(metadata)
