"""The tables that the present ones were brought over from go"""

from alembic import op
from sqlalchemy import inspect

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if inspect(op.get_bind()).has_table("schema_version"):
        for table in ("friends", "sessions", "matches", "results", "users"):
            op.drop_table(table, if_exists=True)
