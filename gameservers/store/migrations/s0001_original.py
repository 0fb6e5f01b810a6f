"""
Step 1: users, matches, sessions and friends; the original server's data, if it is there.

The original (ultimate_tictactoe_server at 77e1237) has tables of the same names with fewer
columns::

    users     name PK, pw_hash, pw_salt, last_seen, elo
    matches   id (no key), user_a, user_b, match_state, active_user, last_active, ranked
    sessions  id PK, registered_user, temp_user, last_seen
    friends   user, friend (no key)

They are renamed to C{original_users} and so on, left as they are, and copied:

  - moments are the original machine's local time there, and UTC here;
  - of several matches with one id the last active one counts, a friendship counts once, a
    temporary name belongs to the session seen last;
  - password hashes are C{sha512};
  - a finished match is one whose end the player to move has not seen: it was kept for him, as
    the other one made the last move;
  - C{match_state} without C{is_draw} gets one;
  - a match that goes on although all small boards are decided, in which the original missed the
    draw, is a finished draw that neither has seen; nobody could move, and ratings stay.

If this is cut off on MariaDB, it starts again from the renamed tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    column,
    false,
    insert,
    inspect,
    select,
    table,
    text,
)
from twisted.logger import Logger

from gameservers.store.errors import BadDatabase
from gameservers.store.migrations.columns import MOMENT, OPTIONS, words

#: Columns of the original's tables, each table after those it refers to.
ORIGINAL = {
    "users": ("name", "pw_hash", "pw_salt", "last_seen", "elo"),
    "matches": (
        "id",
        "user_a",
        "user_b",
        "match_state",
        "active_user",
        "last_active",
        "ranked",
    ),
    "sessions": ("id", "registered_user", "temp_user", "last_seen"),
    "friends": ("user", "friend"),
}

KEPT = "original_"

#: How a match is over: the original knew it, or should have.
NOTICED, MISSED = "noticed", "missed"

#: Rows that are written at once.
CHUNK = 500

_log = Logger()

_metadata = MetaData()

_users = Table(
    "users",
    _metadata,
    Column("name", words(16), nullable=False),
    Column("pw_hash", words(128), nullable=False),
    Column("pw_salt", words(32), nullable=False),
    Column("last_seen", MOMENT, nullable=False),
    Column("elo", Integer, nullable=False),
    Column("pw_scheme", words(16), nullable=False),
    Column("pw_parameters", words(64), nullable=False),
    PrimaryKeyConstraint("name", name="pk_users"),
    Index("ix_users_last_seen", "last_seen"),
    Index("ix_users_elo", "elo"),
    **OPTIONS,
)

_matches = Table(
    "matches",
    _metadata,
    Column("id", words(32), nullable=False),
    Column("user_a", words(16), nullable=False),
    Column("user_b", words(16), nullable=False),
    Column("match_state", words(4096), nullable=False),
    Column("active_user", words(16)),
    Column("last_active", MOMENT, nullable=False),
    Column("ranked", Boolean, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("ended", Boolean, nullable=False, server_default=false()),
    Column("seen_a", Boolean, nullable=False, server_default=false()),
    Column("seen_b", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("id", name="pk_matches"),
    Index("ix_matches_user_a", "user_a"),
    Index("ix_matches_user_b", "user_b"),
    Index("ix_matches_last_active", "last_active"),
    **OPTIONS,
)

_sessions = Table(
    "sessions",
    _metadata,
    Column("id", words(32), nullable=False),
    Column("registered_user", words(16)),
    Column("temp_user", words(16)),
    Column("last_seen", MOMENT, nullable=False),
    PrimaryKeyConstraint("id", name="pk_sessions"),
    ForeignKeyConstraint(["registered_user"], ["users.name"], "fk_sessions_registered_user"),
    Index("ix_sessions_registered_user", "registered_user"),
    Index("uq_sessions_temp_user", "temp_user", unique=True),
    Index("ix_sessions_last_seen", "last_seen"),
    **OPTIONS,
)

_friends = Table(
    "friends",
    _metadata,
    Column("user", words(16), nullable=False),
    Column("friend", words(16), nullable=False),
    PrimaryKeyConstraint("user", "friend", name="pk_friends"),
    ForeignKeyConstraint(["user"], ["users.name"], "fk_friends_user"),
    ForeignKeyConstraint(["friend"], ["users.name"], "fk_friends_friend"),
    Index("ix_friends_friend", "friend"),
    **OPTIONS,
)


def migrate(connection: Connection, zone: tzinfo | None) -> None:
    _set_aside(connection)
    kept = [name for name in ORIGINAL if inspect(connection).has_table(KEPT + name)]
    if not kept:
        _refuse_rows(connection)
    _metadata.drop_all(connection)  # MariaDB: of this step, cut off
    _metadata.create_all(connection)
    if kept:
        _copy(connection, kept, zone)


def _set_aside(connection: Connection) -> None:
    """Rename the original's tables, if they are there; all of them at once."""
    look = inspect(connection)
    present = {name: {c["name"] for c in look.get_columns(name)}
               for name in ORIGINAL if look.has_table(name)}  # fmt: skip
    if not present or look.has_table(KEPT + "users"):
        return
    if "pw_scheme" in present.get("users", ()):
        return  # ours: MariaDB was cut off between two tables
    for name, columns in present.items():
        missing = sorted(set(ORIGINAL[name]) - columns)
        if missing:
            raise BadDatabase(
                f"the database has a table {name} that is neither ours nor the original "
                f"server's: it lacks {', '.join(missing)}"
            )
    if connection.dialect.name == "mariadb":
        renames = ", ".join(f"{name} TO {KEPT}{name}" for name in present)
        connection.execute(text(f"RENAME TABLE {renames}"))
    else:
        for name in present:
            connection.execute(text(f"ALTER TABLE {name} RENAME TO {KEPT}{name}"))


def _refuse_rows(connection: Connection) -> None:
    """Tables of ours without a version are empty ones, of this step when it was cut off."""
    for name in ORIGINAL:
        if (
            inspect(connection).has_table(name)
            and connection.execute(
                select(table(name, *map(column, ORIGINAL[name]))).limit(1)
            ).first()
        ):
            raise BadDatabase(f"the database has a table {name} in use, but no schema_version")


def _copy(connection: Connection, kept: Iterable[str], zone: tzinfo | None) -> None:
    rows = {name: _rows(connection, name) if name in kept else [] for name in ORIGINAL}
    names = {row.name for row in rows["users"]}
    fill = {
        _users: [_user(row, zone) for row in rows["users"]],
        _matches: _last(
            (_match(row, zone) for row in rows["matches"]), key="id", by="last_active"
        ),
        _sessions: _last(
            (_session(row, zone) for row in rows["sessions"]), key="owner", by="last_seen"
        ),
        _friends: [
            {"user": user, "friend": friend}
            for user, friend in sorted({(row.user, row.friend) for row in rows["friends"]})
        ],
    }
    for target, values in fill.items():
        sound = [row for row in values if _refers(row, names)]
        for start in range(0, len(sound), CHUNK):
            connection.execute(insert(target), sound[start : start + CHUNK])
        _log.info(
            "took over {taken} of {found} rows of {table} of the original server",
            taken=len(sound),
            found=len(rows[target.name]),
            table=target.name,
        )


def _rows(connection: Connection, name: str) -> list[Row[Any]]:
    source = table(KEPT + name, *map(column, ORIGINAL[name]))
    return list(connection.execute(select(source)))


def _moment(value: Any, zone: tzinfo | None) -> datetime:
    """A local time, as text on SQLite, to UTC without a zone."""
    local = datetime.fromisoformat(value) if isinstance(value, str) else value
    if local.tzinfo is None and zone is not None:
        local = local.replace(tzinfo=zone)
    return local.astimezone(UTC).replace(tzinfo=None)


def _user(row: Row[Any], zone: tzinfo | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "pw_hash": row.pw_hash,
        "pw_salt": row.pw_salt,
        "last_seen": _moment(row.last_seen, zone),
        "elo": row.elo,
        "pw_scheme": "sha512",
        "pw_parameters": "",
    }


def _match(row: Row[Any], zone: tzinfo | None) -> dict[str, Any]:
    state, end = _state(row.match_state)
    return {
        "id": row.id,
        "user_a": row.user_a,
        "user_b": row.user_b,
        "match_state": state,
        "active_user": row.active_user,
        "last_active": _moment(row.last_active, zone),
        "ranked": bool(row.ranked),
        "ended": end is not None,
        "seen_a": end == NOTICED and row.active_user != row.user_a,
        "seen_b": end == NOTICED and row.active_user != row.user_b,
    }


def _state(stored: str) -> tuple[str, str | None]:
    """The state with C{is_draw}, and how it is over.  What is not JSON stays as it is."""
    try:
        state = json.loads(stored)
    except ValueError:
        return stored, None
    if not isinstance(state, dict):
        return stored, None
    try:
        subgrids = [cell for row in state["global_field"] for cell in row]
    except (KeyError, TypeError):
        subgrids = []
    full = len(subgrids) == 9 and all(subgrids)
    end = NOTICED if state.get("game_over") is True else MISSED if full else None
    if "is_draw" in state and end != MISSED:
        return stored, end
    state["game_over"] = end is not None
    state["is_draw"] = full and state.get("player_won") is None
    return json.dumps(state), end


def _session(row: Row[Any], zone: tzinfo | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "registered_user": row.registered_user,
        "temp_user": row.temp_user,
        "last_seen": _moment(row.last_seen, zone),
        # A temporary name has one session; an account may have several.
        "owner": ("temporary", row.temp_user) if row.registered_user is None else row.id,
    }


def _last(rows: Iterable[dict[str, Any]], *, key: str, by: str) -> Iterator[dict[str, Any]]:
    """Of the rows with the same key, the one with the last moment."""
    chosen = {row[key]: row for row in sorted(rows, key=lambda row: row[by])}
    for row in chosen.values():
        yield {name: value for name, value in row.items() if name != "owner"}


def _refers(row: dict[str, Any], names: set[str]) -> bool:
    """Whether all accounts that the row needs are there, and a session is somebody's."""
    if "temp_user" in row and not (row["registered_user"] or row["temp_user"]):
        return False
    needed = [row[name] for name in ("registered_user", "user", "friend") if row.get(name)]
    return names.issuperset(needed)
