"""
Tile-Game: up to ten players walk on one world of tiles and break some of them.

    - L{gameservers.games.tilegame.wire}: the blocks, tokens, packets and payloads;
    - L{gameservers.games.tilegame.world} and L{gameservers.games.tilegame.generation}: the
      world and how it comes from a seed;
    - L{gameservers.games.tilegame.players} and L{gameservers.games.tilegame.room}: who is in
      the world and what he may do;
    - L{gameservers.games.tilegame.service} and L{gameservers.games.tilegame.records}: how the
      world comes and stays;
    - L{gameservers.games.tilegame.pieces} and L{gameservers.games.tilegame.protocol}: the
      connections;
    - L{gameservers.games.tilegame.api}: the names by which the game itself calls all that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorCore, IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.plugin import IPlugin
from zope.interface import implementer

from gameservers.games import IGame, Surroundings, Verdict, Wires, never
from gameservers.games.tilegame.generation import SIZES, Terrain, random_seed
from gameservers.games.tilegame.protocol import GAME, Doorkeeper, TileGameFactory
from gameservers.games.tilegame.records import SCHEMA, TileGameRecords
from gameservers.games.tilegame.service import InThread, WorldService
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import RECOGNITION_REQ

__all__ = ["TileGame", "TileGameSettings", "game"]

#: How many of its first characters tell the game from every other wire.
_TELLING = 4


@implementer(IPlugin, IGame)
class TileGame:
    """The game as the house knows it."""

    name = GAME
    title = "Tile-Game"
    settings = TileGameSettings
    schema = SCHEMA
    recognises_datagram = staticmethod(never)

    @staticmethod
    def recognises_stream(first: bytes) -> Verdict:
        telling = RECOGNITION_REQ[:_TELLING]
        if first.startswith(telling):
            return Verdict.YES
        return Verdict.MORE if telling.startswith(first) else Verdict.NO

    def build(self, surroundings: Surroundings) -> Wires:
        settings: TileGameSettings = surroundings.settings
        store, clock = surroundings.store, surroundings.clock
        if store is None:
            raise ValueError("Tile-Game needs a store")
        worlds = WorldService(
            lambda: a_terrain(settings),
            TileGameRecords(store, clock),
            settings,
            clock,
            threads_of(clock),
        )
        stop = clock.stop if IReactorCore.providedBy(clock) else None
        factory = TileGameFactory(
            surroundings.lobby,
            clock,
            worlds,
            settings,
            stop,
            surroundings.logged_in,
            surroundings.place_of,
        )
        service = MultiService()
        service.setName(GAME)
        worlds.setServiceParent(service)
        Doorkeeper(factory).setServiceParent(service)
        return Wires(stream=factory, port=settings.port, service=service)


def a_terrain(settings: TileGameSettings) -> Terrain:
    """What a new world is to be made of."""
    seed = settings.seed or random_seed()
    return Terrain(seed, settings.theme.lower(), SIZES[settings.size.lower()])


def threads_of(clock: Any) -> InThread:
    """How to do work in a thread of this reactor; at once, if it has none."""

    def in_thread(work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if IReactorThreads.providedBy(clock):
            return deferToThreadPool(clock, clock.getThreadPool(), work, *arguments)
        return maybeDeferred(work, *arguments)

    return in_thread


game = TileGame()
