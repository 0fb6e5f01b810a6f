"""Accounts of all games

A database of the time when all tables had one sequence of numbers has C{schema_version}, with 1,
2 or 3.  It is set to 4, so that a program of that time refuses the database; the owners of the
tables bring their rows over.
"""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint, inspect, text

from gameservers.store.columns import TABLE_OPTIONS, ExactText, Moment
from gameservers.store.errors import BadDatabase

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        Column("game", ExactText(32), nullable=False),
        Column("name", ExactText(64), nullable=False),
        Column("last_seen", Moment, nullable=False),
        Column("pw_scheme", ExactText(16)),
        Column("pw_hash", ExactText(128)),
        Column("pw_salt", ExactText(32)),
        Column("pw_parameters", ExactText(64)),
        Column("cookie", ExactText(64)),
        PrimaryKeyConstraint("game", "name", name="pk_accounts"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_index(
        "ix_accounts_game_last_seen", "accounts", ["game", "last_seen"], if_not_exists=True
    )
    connection = op.get_bind()
    if inspect(connection).has_table("schema_version"):
        number = connection.scalar(text("SELECT max(version) FROM schema_version")) or 0
        if number > 4:
            raise BadDatabase(
                f"the database has tables of version {number}, this program knows 4: "
                "a newer one has used it"
            )
        connection.execute(text("UPDATE schema_version SET version = 4"))
