"""
Any number of moves, in different matches, as one statement: they travel as one JSON array.

A statement for each move costs a round trip to a database server; and in SQLite's case the
interpreter's lock is let go and fetched back for each, while the reactor wants it too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from gameservers.store.interface import Match, Stale
from gameservers.store.tables import EXACT, matches

#: MariaDB: text as in our tables; it would be as the database has it, which may be latin1.
_TEXT = f"CHARACTER SET utf8mb4 COLLATE {EXACT}"

#: By the name of the dialect.  None of it compares anything but C{id} and C{version}.
_SAVE = {
    "sqlite": text("""
        UPDATE matches SET
            match_state = json_extract(moved.value, '$.state'),
            active_user = json_extract(moved.value, '$.active'),
            last_active = json_extract(moved.value, '$.at'), version = matches.version + 1
        FROM json_each(:moves) AS moved
        WHERE matches.id = json_extract(moved.value, '$.id')
            AND matches.version = json_extract(moved.value, '$.version') AND NOT matches.ended
    """),
    "postgresql": text("""
        UPDATE matches SET
            match_state = moved.state, active_user = moved.active,
            last_active = moved.at, version = matches.version + 1
        FROM json_to_recordset(CAST(:moves AS json)) AS moved
            (id varchar, version integer, state varchar, active varchar, at timestamp)
        WHERE matches.id = moved.id
            AND matches.version = moved.version AND NOT matches.ended
    """),
    "mariadb": text(f"""
        UPDATE matches JOIN JSON_TABLE(:moves, '$[*]' COLUMNS (
            id varchar(64) {_TEXT} PATH '$.id', version integer PATH '$.version',
            state longtext {_TEXT} PATH '$.state', active varchar(64) {_TEXT} PATH '$.active',
            at datetime(6) PATH '$.at'
        )) AS moved
        ON matches.id = moved.id
            AND matches.version = moved.version AND NOT matches.ended
        SET match_state = moved.state, active_user = moved.active,
            last_active = moved.at, matches.version = matches.version + 1
    """),
}


def save_moves(connection: Connection, moved: Sequence[Match]) -> list[Match]:
    """Moves in any matches; L{Stale} if one of them was changed or ended since it was read."""
    rows = _encode([_row(match) for match in moved])
    done = connection.execute(_SAVE[connection.dialect.name], {"moves": rows})
    if done.rowcount != len(moved):
        raise Stale(", ".join(match.id for match in moved))
    return [match.saved() for match in moved]


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _row(match: Match) -> dict[str, Any]:
    return {
        "id": match.id,
        "version": match.version,
        "state": _STATE.checked(match.state),
        "active": _ACTIVE.checked(match.active),
        "at": _AT.checked(match.last_active).isoformat(" ", "microseconds"),
    }


_STATE: Any = matches.c.match_state.type
_ACTIVE: Any = matches.c.active_user.type
_AT: Any = matches.c.last_active.type
