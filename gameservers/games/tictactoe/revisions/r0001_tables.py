"""Players, sessions, friends, matches and results

What stands in C{users}, C{sessions}, C{friends}, C{matches} and C{results}, of the time when all
tables had one sequence of numbers, is brought over: the names, passwords and last log-ins of the
users to the house's accounts, their ratings to C{tictactoe_players}.
"""

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    false,
    inspect,
    text,
)

from gameservers.store.columns import TABLE_OPTIONS, ExactText, Moment
from gameservers.store.migrations import copy_rows

revision = "0001"
down_revision = None

PASSWORD = ["pw_scheme", "pw_hash", "pw_salt", "pw_parameters"]


def upgrade() -> None:
    op.create_table(
        "tictactoe_players",
        Column("name", ExactText(16), nullable=False),
        Column("elo", Integer, nullable=False),
        PrimaryKeyConstraint("name", name="pk_tictactoe_players"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "tictactoe_matches",
        Column("id", ExactText(32), nullable=False),
        Column("user_a", ExactText(16), nullable=False),
        Column("user_b", ExactText(16), nullable=False),
        Column("match_state", ExactText(4096), nullable=False),
        Column("active_user", ExactText(16)),
        Column("last_active", Moment, nullable=False),
        Column("ranked", Boolean, nullable=False),
        Column("version", Integer, nullable=False, server_default=text("0")),
        Column("ended", Boolean, nullable=False, server_default=false()),
        Column("seen_a", Boolean, nullable=False, server_default=false()),
        Column("seen_b", Boolean, nullable=False, server_default=false()),
        PrimaryKeyConstraint("id", name="pk_tictactoe_matches"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "tictactoe_sessions",
        Column("id", ExactText(32), nullable=False),
        Column("registered_user", ExactText(16)),
        Column("temp_user", ExactText(16)),
        Column("last_seen", Moment, nullable=False),
        PrimaryKeyConstraint("id", name="pk_tictactoe_sessions"),
        ForeignKeyConstraint(
            ["registered_user"],
            ["tictactoe_players.name"],
            "fk_tictactoe_sessions_registered_user",
        ),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "tictactoe_friends",
        Column("user", ExactText(16), nullable=False),
        Column("friend", ExactText(16), nullable=False),
        PrimaryKeyConstraint("user", "friend", name="pk_tictactoe_friends"),
        ForeignKeyConstraint(["user"], ["tictactoe_players.name"], "fk_tictactoe_friends_user"),
        ForeignKeyConstraint(
            ["friend"], ["tictactoe_players.name"], "fk_tictactoe_friends_friend"
        ),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "tictactoe_results",
        Column("match_id", ExactText(32), nullable=False),
        Column("user_a", ExactText(16), nullable=False),
        Column("user_b", ExactText(16), nullable=False),
        Column("winner", ExactText(16)),
        Column("outcome", ExactText(16), nullable=False),
        Column("match_state", ExactText(4096), nullable=False),
        Column("ended_at", Moment, nullable=False),
        Column("elo_a_before", Integer),
        Column("elo_b_before", Integer),
        Column("elo_a_after", Integer),
        Column("elo_b_after", Integer),
        PrimaryKeyConstraint("match_id", name="pk_tictactoe_results"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    for table, *columns in (
        ("players", "elo"),
        ("matches", "user_a"),
        ("matches", "user_b"),
        ("matches", "last_active"),
        ("sessions", "registered_user"),
        ("sessions", "last_seen"),
        ("friends", "friend"),
        ("results", "user_a", "ended_at"),
        ("results", "user_b", "ended_at"),
    ):
        name = f"ix_tictactoe_{table}_{'_'.join(columns)}"
        op.create_index(name, f"tictactoe_{table}", columns, if_not_exists=True)
    op.create_index(
        "uq_tictactoe_sessions_temp_user",
        "tictactoe_sessions",
        ["temp_user"],
        unique=True,
        if_not_exists=True,
    )

    look = inspect(op.get_bind())
    if not {"schema_version", "users"} <= set(look.get_table_names()):
        return
    copy_rows("users", "accounts", ["name", "last_seen", *PASSWORD], game="tictactoe")
    copy_rows("users", "tictactoe_players", ["name", "elo"])
    for each in ("matches", "sessions", "friends", "results"):
        if look.has_table(each):  # number 1 had no results
            names = [column["name"] for column in look.get_columns(each)]
            copy_rows(each, f"tictactoe_{each}", names)
