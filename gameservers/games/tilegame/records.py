"""
Storage of the world: one row of C{tilegame_worlds}, and a row of C{tilegame_changes} for each tile
that was broken since that one was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    and_,
    delete,
    insert,
    select,
    update,
)
from twisted.internet.defer import Deferred

from gameservers.games import utc_now
from gameservers.games.tilegame.world import Change, SavedWorld
from gameservers.store import Records, Schema, Store, change, question
from gameservers.store.columns import ExactText, Moment, new_metadata, new_table
from gameservers.store.worker import Batched

#: Maximum size of a stored map, in bytes; the largest world takes a fifth of it.
MAX_CONTENT = 1024 * 1024

#: The name of the row.
NAME = "tilegame"

_metadata = new_metadata()

worlds = new_table(
    "tilegame_worlds",
    _metadata,
    Column("name", ExactText(64), primary_key=True),
    Column("description", ExactText(4096), nullable=False),
    Column("content", LargeBinary(2**24 - 1), nullable=False),
    Column("saved_at", Moment, nullable=False),
)

changes = new_table(
    "tilegame_changes",
    _metadata,
    Column("name", ExactText(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
)

SCHEMA = Schema("tilegame", _metadata, Path(__file__).parent / "revisions")

_ROW = worlds.c.name == NAME
_CHANGES = changes.c.name == NAME


def _append(connection: Connection, new: Sequence[Change]) -> list[None]:
    rows = [{"name": NAME} | change._asdict() for change in new]
    connection.execute(insert(changes), rows)
    return [None] * len(new)


class TileGameRecords(Records):
    """Stores one world."""

    def __init__(self, store: Store, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(store)
        self._now = now

    def load(self) -> Deferred[SavedWorld | None]:
        """Load the saved world, or L{None}, after waiting until the store is ready."""
        return self.store.ready().addCallback(lambda _: self._load())

    @question
    def _load(self, connection: Connection) -> SavedWorld | None:
        row = connection.execute(select(worlds).where(_ROW)).one_or_none()
        if row is None:
            return None
        columns = changes.c.number, changes.c.x, changes.c.y
        found = connection.execute(select(*columns).where(_CHANGES).order_by(changes.c.number))
        return SavedWorld(row.description, row.content, tuple(Change(*each) for each in found))

    def append(self, change: Change) -> Deferred[None]:
        """Save a change; those of one moment are one statement and one commit."""
        return self.store.writer.submit(Batched(_append, change))

    @change
    def save(
        self, connection: Connection, world: SavedWorld, contained: int | None = None
    ) -> None:
        """
        Replace the saved world; raises L{ValueError} if it is too large.

        @param contained: the number of the last change that it contains.  Changes up to that are
            removed; L{None}: all, which were made to another world.
        """
        if len(world.content) > MAX_CONTENT:
            raise ValueError(f"a world of {len(world.content)} bytes is too large")
        columns = {
            "description": world.description,
            "content": world.content,
            "saved_at": self._now(),
        }
        if not connection.execute(update(worlds).where(_ROW).values(columns)).rowcount:
            connection.execute(insert(worlds), {"name": NAME} | columns)
        old = _CHANGES if contained is None else and_(_CHANGES, changes.c.number <= contained)
        connection.execute(delete(changes).where(old))
