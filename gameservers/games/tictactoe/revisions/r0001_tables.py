"""Players, sessions, friends, matches and results

The rows of C{users}, C{sessions}, C{friends}, C{matches} and C{results}, of the releases with one
version number for all tables, are copied: names, passwords and last log-ins of the users to
C{accounts}, their ratings to C{tictactoe_players}.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column, ForeignKey, Index, Integer

from gameservers.store.columns import ExactText, Moment, new_metadata, new_table
from gameservers.store.migrations import copy_rows, create_tables

revision = "0001"
down_revision = None

metadata = new_metadata()
new_table(
    "tictactoe_players",
    metadata,
    Column("name", ExactText(16), primary_key=True),
    Column("elo", Integer, nullable=False, index=True),
)
new_table(
    "tictactoe_matches",
    metadata,
    Column("id", ExactText(32), primary_key=True),
    Column("player_a", ExactText(16), nullable=False, index=True),
    Column("player_b", ExactText(16), nullable=False, index=True),
    Column("state", ExactText(4096), nullable=False),
    Column("active", ExactText(16)),
    Column("ranked", sa.Boolean, nullable=False),
    Column("last_active", Moment, nullable=False, index=True),
    Column("version", Integer, nullable=False, server_default=sa.text("0")),
    Column("ended", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("seen_a", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("seen_b", sa.Boolean, nullable=False, server_default=sa.false()),
)
new_table(
    "tictactoe_sessions",
    metadata,
    Column("id", ExactText(32), primary_key=True),
    Column("registered_user", ForeignKey("tictactoe_players.name"), index=True),
    Column("temp_user", ExactText(16)),
    Column("last_seen", Moment, nullable=False, index=True),
    Index("uq_tictactoe_sessions_temp_user", "temp_user", unique=True),
)
new_table(
    "tictactoe_friends",
    metadata,
    Column("player", ForeignKey("tictactoe_players.name"), primary_key=True),
    Column("friend", ForeignKey("tictactoe_players.name"), primary_key=True, index=True),
)
new_table(
    "tictactoe_results",
    metadata,
    Column("match_id", ExactText(32), primary_key=True),
    Column("player_a", ExactText(16), nullable=False),
    Column("player_b", ExactText(16), nullable=False),
    Column("winner", ExactText(16)),
    Column("outcome", ExactText(16), nullable=False),
    Column("state", ExactText(4096), nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("elo_a_before", Integer),
    Column("elo_b_before", Integer),
    Column("elo_a_after", Integer),
    Column("elo_b_after", Integer),
    Index("ix_tictactoe_results_player_a_ended_at", "player_a", "ended_at"),
    Index("ix_tictactoe_results_player_b_ended_at", "player_b", "ended_at"),
)

#: Columns that had other names.
RENAMED = {
    "user_a": "player_a",
    "user_b": "player_b",
    "match_state": "state",
    "active_user": "active",
    "user": "player",
}
ACCOUNT = ("name", "last_seen", "pw_scheme", "pw_hash", "pw_salt", "pw_parameters")


def upgrade() -> None:
    create_tables(metadata)
    look = sa.inspect(op.get_bind())
    if not {"schema_version", "users"} <= set(look.get_table_names()):
        return
    copy_rows("users", "accounts", {name: name for name in ACCOUNT}, game="tictactoe")
    copy_rows("users", "tictactoe_players", {"name": "name", "elo": "elo"})
    for each in ("matches", "sessions", "friends", "results"):
        if look.has_table(each):  # number 1 had no results
            names = [column["name"] for column in look.get_columns(each)]
            copy_rows(each, f"tictactoe_{each}", {name: RENAMED.get(name, name) for name in names})
