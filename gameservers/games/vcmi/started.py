"""
The started games, in which sides of pipes are paired; see L{gameservers.games.vcmi.wires.pipe}.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.games.vcmi.wires.pipe import Role
from gameservers.metrics import Metrics
from gameservers.net.connection import Reason

if TYPE_CHECKING:
    from gameservers.games.vcmi.pipe_session import PipeSession

#: Maximum number of connections of one started game; beyond it the one that waited longest is cut.
MAX_CONNECTIONS = 64


class StartedGame:
    """
    One started game: its uuids and its connections.

    @ivar place: the address of the one who started it; C{""} if that has no limit.
    @ivar host: the uuid of the game's server.
    @ivar clients: the uuids of the players, in joining order.
    """

    def __init__(self, players: int, place: str) -> None:
        self.place = place
        self.host = str(uuid4())
        self.clients = [str(uuid4()) for _ in range(players)]
        self.sides: dict[PipeSession, None] = {}
        self.waiting: dict[Role, dict[PipeSession, None]] = {Role.CLIENT: {}, Role.SERVER: {}}
        self.expiry: IDelayedCall | None = None

    @property
    def uuids(self) -> list[str]:
        return [self.host, *self.clients]

    def keep(self) -> None:
        """Keep its uuids from expiring."""
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None


class StartedGames:
    """
    All started games, at most C{--vcmi-max-games}, of one address C{--vcmi-max-games-per-address}.

    @ivar playing: the number of connections, of both roles, paired or not.
    """

    _log = Logger()

    def __init__(
        self, game: str, clock: IReactorTime, metrics: Metrics, settings: VcmiSettings
    ) -> None:
        self._game = game
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._by_uuid: dict[str, StartedGame] = {}
        self._kept = 0
        self._from: Counter[str] = Counter()  # games, by place
        self.playing = 0

    def full(self, place: str) -> bool:
        """Whether no other game can be started from this place."""
        if self._kept >= self._settings.max_games:
            return True
        return bool(place) and self._from[place] >= self._settings.max_games_per_address

    def open(self, players: int, place: str) -> StartedGame:
        """
        Register a started game.

        @param players: their number, including the host.
        @param place: the host's; C{""} if it has no limit.
        """
        started = StartedGame(players, place)
        self._kept += 1
        self._from[place] += 1
        self._by_uuid |= dict.fromkeys(started.uuids, started)
        self._let_expire(started)
        return started

    def find(self, role: Role, uuid: str) -> StartedGame | None:
        """The game in which this uuid has this role."""
        started = self._by_uuid.get(uuid)
        if started is None or (role is Role.SERVER) != (uuid == started.host):
            return None
        return started

    def attach(self, started: StartedGame, side: PipeSession) -> PipeSession | None:
        """
        Add a connection to its game.

        @return: the partner it is paired with; L{None} if it must wait, or was cut.
        """
        waiting = started.waiting[side.role]
        if side.role is Role.CLIENT:
            for older in [each for each in waiting if each.uuid == side.uuid]:
                older.connection.cut(Reason.REFUSED, "its client has come again")
        opposite = started.waiting[side.role.opposite]
        for other in tuple(opposite):
            other.connection.abort_if_lost()
        partner = next(iter(opposite), None)
        if len(started.sides) >= MAX_CONNECTIONS:
            spare = (each for each in started.sides if each.waiting and each is not partner)
            oldest = next(spare, side)
            oldest.connection.cut(Reason.CROWDED, "too many for one game")
            if oldest is side:
                return None
        started.sides[side] = None
        started.keep()
        self.playing += 1
        self._metrics.pipes_opened[self._game] += 1
        if partner is None:
            waiting[side] = None
        else:
            del opposite[partner]
            self._metrics.pipes_paired[self._game] += 1
        return partner

    def detach(self, started: StartedGame, side: PipeSession) -> None:
        """Remove a connection that has ended, if it was attached."""
        if side in started.sides:
            del started.sides[side]
            started.waiting[side.role].pop(side, None)
            self.playing -= 1
            if not started.sides:
                self._let_expire(started)

    def forget(self) -> None:
        """Invalidate all uuids, at shutdown."""
        for started in self._by_uuid.values():
            started.keep()
        self._by_uuid.clear()
        self._kept = 0
        self._from.clear()

    def _let_expire(self, started: StartedGame) -> None:
        if started.host in self._by_uuid:
            started.expiry = self._clock.callLater(
                self._settings.pipe_lifetime, self._expire, started
            )

    def _expire(self, started: StartedGame) -> None:
        started.expiry = None
        for uuid in started.uuids:
            del self._by_uuid[uuid]
        self._kept -= 1
        self._from[started.place] -= 1
        if not self._from[started.place]:
            del self._from[started.place]
        self._log.debug("The uuids of a started game have expired")
