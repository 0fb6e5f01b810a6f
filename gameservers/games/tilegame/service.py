"""
The service of Tile-Game: its world, its players, and their room in the lobby.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from gameservers.games import Dependencies, GameService
from gameservers.games.tilegame import words
from gameservers.games.tilegame.pacing import Schedule
from gameservers.games.tilegame.worlds import WorldService
from gameservers.lobby import Player, Refused, RoomKey, RoomRules
from gameservers.net.connection import Connection

ROOM_RULES = RoomRules(hosted=False, permanent=True)


class TileGameService(GameService):
    """
    The service.

    @ivar worlds: has the world and its map.
    @ivar schedule: the times of the players' next states.
    @ivar room: the key of the lobby's room.
    """

    _log = Logger()

    def __init__(
        self,
        dependencies: Dependencies,
        worlds: WorldService,
        stop: Callable[[], None] | None = None,
    ) -> None:
        """Serve this world; C{stop} stops the whole server."""
        settings = dependencies.settings
        super().__init__(dependencies, max_open=settings.max_connections)
        self.limit_players(settings.max_players, settings.max_per_address)
        self.worlds = worlds
        worlds.setServiceParent(self)
        self.schedule = Schedule(self.clock)
        self.room = RoomKey(self.game, "", "world")
        self.lobby.provide_room(self.room, ROOM_RULES, capacity=settings.max_players)
        self.every(settings.save_interval, worlds.save)
        self._playing: dict[int, Connection] = {}
        self._deliver = partial(words.deliver, self._playing)
        self._stop_server = stop
        self._stopping: IDelayedCall | None = None

    def say_farewell(self) -> None:
        """Reset all connections, which clients notice, before the world is saved."""
        self._stop_server = None
        for connection in self.connections:
            connection.abort()

    def admit(self, name: str, connection: Connection) -> Player:
        """
        Enter a player.

        @raise Refused: C{NAME_TAKEN}, C{LOBBY_FULL} or C{ADDRESS_FULL}.
        """
        player = self.lobby.enter(name, self.game, self._deliver, address=connection.address)
        try:
            self.lobby.join(player.id, self.room)
        except Refused:
            self.lobby.exit(player.id)
            raise
        self._playing[player.id] = connection
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None
        return player

    def depart(self, player: Player) -> None:
        """Remove a player."""
        del self._playing[player.id]
        self.lobby.exit(player.id)
        self._log.info("{player} left {room}", player=player.name, room=self.room.name)
        wait = self.settings.stop_when_empty
        if not self._playing and wait and self._stop_server is not None:
            self._stopping = self.clock.callLater(wait, self._stop_empty, self._stop_server)

    def _stop_empty(self, stop: Callable[[], None]) -> None:
        self._stopping = None
        self._log.info("No player is left: the server stops")
        stop()
