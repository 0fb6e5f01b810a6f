"""
Imports the database of an original server (ultimate_tictactoe_server at 77e1237).

Its four tables are only read::

    users     name PK, pw_hash, pw_salt, last_seen, elo
    matches   id (no key), user_a, user_b, match_state, active_user, last_active, ranked
    sessions  id PK, registered_user, temp_user, last_seen
    friends   user, friend (no key)

The rows are converted as follows, in one transaction:

  - moments are the original machine's local time, and become UTC;
  - of several matches with one id the last active one is kept, of equal friendships one, and of
    several sessions with one temporary name the one seen last;
  - password hashes are L{SHA512};
  - a finished match counts as seen by the player that made the last move, and was kept for the
    other one;
  - C{match_state} without C{is_draw} gets one;
  - an open match in which all small boards are decided, a draw that the original did not notice,
    becomes a finished draw that neither player has seen; ratings do not change;
  - sessions and friendships of missing accounts are dropped.

An earlier version of this server imported the tables when it started, and renamed them to
C{original_users} and so on.  If it was interrupted, they are found under these names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from getopt import GetoptError, gnu_getopt
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Table, column, insert, inspect, select, table
from twisted.python.usage import UsageError

from gameservers.games.tictactoe.records import SCHEMA, friends, matches, players, sessions
from gameservers.store import BadDatabase, StoreSettings, migrate_database
from gameservers.store.accounts import accounts
from gameservers.store.backends import find_backend, require_file
from gameservers.store.exclusive import connected
from gameservers.store.passwords import SHA512
from gameservers.store.worker import answer

#: Columns of the original's tables, in the order of their references.
ORIGINAL = {
    "users": ["name", "pw_hash", "pw_salt", "last_seen", "elo"],
    "matches": ["id", "user_a", "user_b", "match_state", "active_user", "last_active", "ranked"],
    "sessions": ["id", "registered_user", "temp_user", "last_seen"],
    "friends": ["user", "friend"],
}

#: How a match ended: recognised by the original, or missed by it.
NOTICED, MISSED = "noticed", "missed"

#: Rows that are written at once, and rows between two progress reports.
CHUNK = 500
REPORTED = 10_000

USAGE = "usage: gameserver [options] tictactoe-import URL [--zone=Europe/Berlin]"


def import_original(store: StoreSettings, settings: object, arguments: Sequence[str]) -> None:
    """Import the database of an original server: URL [--zone=Europe/Berlin]"""
    try:
        options, words = gnu_getopt(list(arguments), "", ["zone=", "database="])
    except GetoptError as problem:
        raise UsageError(f"{problem}; {USAGE}") from problem
    if len(words) != 1:
        raise UsageError(USAGE)
    given = dict(options)
    store = replace(store, database=given.get("--database", store.database))
    name = given.get("--zone")
    try:
        zone = None if name is None else ZoneInfo(name)
    except Exception as problem:
        raise UsageError(f"--zone must be one such as Europe/Berlin, not {name!r}") from problem
    take_over(StoreSettings(database=words[0]), store, zone)


def take_over(source: StoreSettings, target: StoreSettings, zone: tzinfo | None) -> None:
    """
    Copy all rows, atomically, and print the progress.

    It raises L{BadDatabase} with a sentence if the source is not an original's, or the target has
    rows.

    @param zone: the time zone of the original's moments; L{None} for this machine's.
    """
    if find_backend(target).inline:
        raise BadDatabase("--database=memory keeps nothing")
    require_file(find_backend(source))
    migrate_database(target, [SCHEMA])
    with connected(source, writes=False, lock=False) as db:
        rows = _read(db)
    with connected(target, writes=True) as db:
        _write(db, rows, zone)


def refuse_original(db: Connection) -> None:
    """Raise L{BadDatabase} if the database has an original's users that were not imported."""
    look = inspect(db)
    if look.has_table("schema_version"):  # imported by an earlier version of this server
        return
    try:
        original = _tables(db)
    except BadDatabase:
        return
    taken = look.has_table(players.name) and _has_rows(db, players)
    if not taken and _has_rows(db, original["users"]):
        raise BadDatabase(
            "the database has the tables of an original tic-tac-toe server: take them over with "
            "gameserver tictactoe-import URL, where URL may be that of this same database"
        )


def _tables(db: Connection) -> dict[str, Any]:
    """The original's tables; raises L{BadDatabase} if they are missing or different."""
    look = inspect(db)
    present = set(look.get_table_names())
    prefix = "original_" if "original_users" in present else ""
    found: dict[str, Any] = {}
    for name, columns in ORIGINAL.items():
        if prefix + name in present:
            there = {each["name"] for each in look.get_columns(prefix + name)}
            missing = sorted(set(columns) - there)
            if missing or "pw_scheme" in there:
                raise BadDatabase(
                    f"its table {name} is not an original tic-tac-toe server's"
                    + (f": it lacks {', '.join(missing)}" if missing else "")
                )
            found[name] = table(prefix + name, *map(column, columns))
    if "users" not in found:
        raise BadDatabase("it has no table users of an original tic-tac-toe server")
    return found


def _has_rows(db: Connection, where: Any) -> bool:
    return db.execute(select(where).limit(1)).first() is not None


Rows = dict[str, list[Row[Any]]]


def _read(db: Connection) -> Rows:
    rows: Rows = {name: [] for name in ORIGINAL}
    for name, original in _tables(db).items():
        rows[name] = list(db.execute(select(original)))
        print(f"{name}: {len(rows[name])} rows read", flush=True)
    return rows


def _write(db: Connection, rows: Rows, zone: tzinfo | None) -> None:
    for ours in (players, matches, sessions):
        if _has_rows(db, ours):
            raise BadDatabase(
                f"the database has rows in {ours.name} already; nothing was taken over"
            )
    accounts_there = {row.name for row in rows["users"]}
    made: dict[Table, Iterable[dict[str, Any]]] = {
        accounts: (_account(row, zone) for row in rows["users"]),
        players: ({"name": row.name, "elo": int(row.elo)} for row in rows["users"]),
        matches: _last((_match(row, zone) for row in rows["matches"]), "id", "last_active"),
        sessions: _last((_session(row, zone) for row in rows["sessions"]), "owner", "last_seen"),
        friends: (
            {"player": user, "friend": friend}
            for user, friend in sorted({(row.user, row.friend) for row in rows["friends"]})
        ),
    }
    for source, target in zip(("users", *ORIGINAL), made, strict=True):
        try:
            sound = [row for row in made[target] if _refers(row, accounts_there)]
            _insert(db, target, sound)
        except Exception as problem:
            odd = answer(problem)
            if not isinstance(odd, (TypeError, ValueError)):
                raise
            raise BadDatabase(f"the original's table {source} has an odd row: {odd}") from None
        print(f"{target.name}: took over {len(sound)} of {len(rows[source])} rows", flush=True)


def _insert(db: Connection, target: Table, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), CHUNK):
        if start and not start % REPORTED:
            print(f"{target.name}: {start} of {len(rows)} rows written", flush=True)
        db.execute(insert(target), rows[start : start + CHUNK])


def _moment(value: Any, zone: tzinfo | None) -> datetime:
    """Convert a local time, which is text on SQLite, to an aware moment."""
    local: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    if local.tzinfo is None and zone is not None:
        return local.replace(tzinfo=zone)
    return local.astimezone()


def _account(row: Row[Any], zone: tzinfo | None) -> dict[str, Any]:
    return {
        "game": SCHEMA.owner,
        "name": row.name,
        "last_seen": _moment(row.last_seen, zone),
        "pw_scheme": SHA512,
        "pw_hash": row.pw_hash,
        "pw_salt": row.pw_salt,
        "pw_parameters": "",
    }


def _match(row: Row[Any], zone: tzinfo | None) -> dict[str, Any]:
    state, end = _state(row.match_state)
    return {
        "id": row.id,
        "player_a": row.user_a,
        "player_b": row.user_b,
        "state": state,
        "active": row.active_user,
        "last_active": _moment(row.last_active, zone),
        "ranked": bool(row.ranked),
        "ended": end is not None,
        "seen_a": end == NOTICED and row.active_user != row.user_a,
        "seen_b": end == NOTICED and row.active_user != row.user_b,
    }


def _state(stored: str) -> tuple[str, str | None]:
    """Add C{is_draw} to a state, and say how it ended.  Invalid JSON stays unchanged."""
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


def _last(rows: Iterable[dict[str, Any]], key: str, by: str) -> Iterator[dict[str, Any]]:
    """Keep the latest of the rows with the same key."""
    chosen = {row[key]: row for row in sorted(rows, key=lambda row: row[by])}
    for row in chosen.values():
        yield {name: value for name, value in row.items() if name != "owner"}


def _refers(row: dict[str, Any], names: set[str]) -> bool:
    """Whether all accounts that the row refers to exist, and a session has an owner."""
    if "temp_user" in row and not (row["registered_user"] or row["temp_user"]):
        return False
    needed = [row[name] for name in ("registered_user", "player", "friend") if row.get(name)]
    return names.issuperset(needed)
