"""
Tile-Game: players walk in one world of tiles and break some of them.

    - L{gameservers.games.tilegame.wire}: the blocks, tokens, packets and payloads;
    - L{gameservers.games.tilegame.protocol}, L{gameservers.games.tilegame.outbox},
      L{gameservers.games.tilegame.session} and L{gameservers.games.tilegame.words}: a client;
    - L{gameservers.games.tilegame.pacing}: how often its messages are handled and answered;
    - L{gameservers.games.tilegame.room} and L{gameservers.games.tilegame.avatars}: the rules;
    - L{gameservers.games.tilegame.world} and L{gameservers.games.tilegame.generation}: the
      world, and its generation from a seed;
    - L{gameservers.games.tilegame.service}, L{gameservers.games.tilegame.worlds} and
      L{gameservers.games.tilegame.records}: the service, and the storage of the world.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from gameservers.games import Carriage, Dependencies, IGame, Wire
from gameservers.games.tilegame.protocol import TileGameProtocol
from gameservers.games.tilegame.records import SCHEMA, TileGameRecords
from gameservers.games.tilegame.service import TileGameService
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import recognise
from gameservers.games.tilegame.worlds import WorldService, terrain_of, threads_of

__all__ = ["TileGame", "TileGameSettings", "game"]


@implementer(IPlugin, IGame)
class TileGame:
    """The description of the game."""

    name = "tilegame"
    title = "Tile-Game"
    settings = TileGameSettings
    schema = SCHEMA
    wires = (Wire("blocks", Carriage.STREAM, TileGameProtocol, recognise),)

    def build(self, dependencies: Dependencies) -> TileGameService:
        settings, clock = dependencies.settings, dependencies.clock
        if dependencies.store is None:
            raise ValueError(f"{self.title} needs a store")
        records = TileGameRecords(dependencies.store, dependencies.now)
        make = partial(terrain_of, settings)
        worlds = WorldService(dependencies, make, records, threads_of(clock))
        stop = clock.stop if IReactorCore.providedBy(clock) else None
        return TileGameService(dependencies, worlds, stop)


game = TileGame()
