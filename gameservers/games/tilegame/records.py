"""
Storage of the world: one row of C{tilegame_worlds}.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Column, Connection, LargeBinary, insert, select, update
from twisted.internet.defer import Deferred

from gameservers.games import utc_now
from gameservers.games.tilegame.world import SavedWorld
from gameservers.store import Records, Schema, Store, change, question
from gameservers.store.columns import ExactText, Moment, new_metadata, new_table

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

SCHEMA = Schema("tilegame", _metadata, Path(__file__).parent / "revisions")

_ROW = worlds.c.name == NAME


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
        return None if row is None else SavedWorld(row.description, row.content)

    @change
    def save(self, connection: Connection, world: SavedWorld) -> None:
        """Replace the saved world; raises L{ValueError} if it is too large."""
        if len(world.content) > MAX_CONTENT:
            raise ValueError(f"a world of {len(world.content)} bytes is too large")
        columns = {
            "description": world.description,
            "content": world.content,
            "saved_at": self._now(),
        }
        if not connection.execute(update(worlds).where(_ROW).values(columns)).rowcount:
            connection.execute(insert(worlds), {"name": NAME} | columns)
