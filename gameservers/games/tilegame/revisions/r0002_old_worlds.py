"""The table that the present one was brought over from goes"""

from alembic import op
from sqlalchemy import inspect

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if inspect(op.get_bind()).has_table("schema_version"):
        op.drop_table("worlds", if_exists=True)
