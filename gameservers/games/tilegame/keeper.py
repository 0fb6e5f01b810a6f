"""
Where the world is kept while the server is down.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from gameservers import store
from gameservers.games.tilegame.world import Kept


class Keeper(Protocol):
    """Keeps one world.  How the store fails is how both methods do."""

    def load(self) -> Deferred[Kept | None]:
        """What was saved last; L{None} if nothing ever was."""

    def save(self, world: Kept) -> Deferred[None]:
        """Keep this instead, or fail and keep what was."""


class StoreKeeper:
    """A row of the store."""

    def __init__(self, store: store.Store, name: str, clock: IReactorTime) -> None:
        """
        @param name: the row's.
        """
        self._store = store
        self._name = name
        self._clock = clock

    def load(self) -> Deferred[Kept | None]:
        return Deferred.fromCoroutine(self._load())

    async def _load(self) -> Kept | None:
        await self._store.ready()
        world = await self._store.world(self._name)
        return None if world is None else Kept(world.description, world.content)

    def save(self, world: Kept) -> Deferred[None]:
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        return self._store.save_world(
            store.World(self._name, world.description, world.content, now)
        )
