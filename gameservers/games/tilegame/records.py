"""
Where the world is kept while the server is down: one row of C{tilegame_worlds}.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Column, Connection, LargeBinary, insert, select, update
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from gameservers.games.tilegame.world import Kept
from gameservers.store import Records, Schema, Store, change, question
from gameservers.store.columns import ExactText, Moment, new_metadata, new_table

#: The largest map that is stored, in bytes; the largest of all takes a fifth of it.
MAX_CONTENT = 1024 * 1024

#: The name of the one row.
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
    """Keeps one world."""

    def __init__(self, store: Store, clock: IReactorTime) -> None:
        super().__init__(store)
        self._clock = clock

    def load(self) -> Deferred[Kept | None]:
        """What was saved last; L{None} if nothing ever was.  It waits until the store is ready."""
        return self.store.ready().addCallback(lambda _: self._load())

    @question
    def _load(self, connection: Connection) -> Kept | None:
        row = connection.execute(select(worlds).where(_ROW)).one_or_none()
        return None if row is None else Kept(row.description, row.content)

    @change
    def save(self, connection: Connection, world: Kept) -> None:
        """Keep this instead, or fail and keep what was; L{ValueError} if it is too large."""
        if len(world.content) > MAX_CONTENT:
            raise ValueError(f"a world of {len(world.content)} bytes is too large")
        columns = {
            "description": world.description,
            "content": world.content,
            "saved_at": datetime.fromtimestamp(self._clock.seconds(), UTC),
        }
        if not connection.execute(update(worlds).where(_ROW).values(columns)).rowcount:
            connection.execute(insert(worlds), {"name": NAME} | columns)
