"""Accounts of all games

Databases of earlier releases have a table C{schema_version} with 1, 2 or 3, one number for all
tables.  It is set to 4, so that those releases refuse the database; the revisions of each owner
migrate the rows.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

from gameservers.store.columns import ExactText, Moment, new_metadata, new_table
from gameservers.store.errors import BadDatabase
from gameservers.store.migrations import create_tables

revision = "0001"
down_revision = None

metadata = new_metadata()
new_table(
    "accounts",
    metadata,
    Column("game", ExactText(32), primary_key=True),
    Column("name", ExactText(64), primary_key=True),
    Column("last_seen", Moment, nullable=False),
    Column("pw_scheme", ExactText(16)),
    Column("pw_hash", ExactText(128)),
    Column("pw_salt", ExactText(32)),
    Column("pw_parameters", ExactText(64)),
    Column("cookie", ExactText(64)),
    sa.Index("ix_accounts_game_last_seen", "game", "last_seen"),
)


def upgrade() -> None:
    create_tables(metadata)
    db = op.get_bind()
    if sa.inspect(db).has_table("schema_version"):
        number = db.scalar(sa.text("SELECT max(version) FROM schema_version")) or 0
        if number > 4:
            raise BadDatabase(
                f"the database has tables of version {number}, this program knows 4: "
                "a newer one has used it"
            )
        db.execute(sa.text("UPDATE schema_version SET version = 4"))
