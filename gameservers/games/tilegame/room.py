"""
The rules of the world's one room: who is in it, what he may do, what he is told.

Players report where they are and which tiles they have broken; the room takes their word for
it as far as it is possible.  It changes nothing for a report that is not: another's name, a
tile that is not there, cannot be broken or is out of reach, more tiles than a shovel breaks, a
leap that nobody can make.  A position beyond the edge counts as one at the edge.

It knows no clock: C{now} is in seconds, from wherever it counts.
"""

from __future__ import annotations

import math

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.players import Player, Players
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import BreakTile, Position
from gameservers.games.tilegame.world import World

#: How long a player's reports may be held up on their way and then come at once, in seconds.
LAG = 1.0


#: Less than this is rounding, of times in seconds and of what is missing of one.
ROUNDING = 1e-6


class Allowance:
    """Something there is so much of per second, and a little more after a rest."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._since = now

    def wait(self, now: float) -> float:
        """Seconds until there is one to take; 0 if there is."""
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        short = 1 - self._left
        return short / self._rate if short > ROUNDING else 0.0

    def take(self) -> None:
        self._left -= 1


class Visit:
    """
    A player's stay in the room.

    @ivar settled: when he last said where he is; C{None} until he has left the place where
        everybody begins, which he does with a leap.
    @ivar seen: the revision of the world up to which he was told what is broken.
    """

    __slots__ = ("breaks", "player", "seen", "settled")

    def __init__(self, player: Player, settings: TileGameSettings, now: float) -> None:
        self.player = player
        self.breaks = Allowance(settings.break_rate, settings.break_burst, now)
        self.settled: float | None = None
        self.seen: int | None = None


class WorldRoom:
    """The room: a world and the players in it."""

    def __init__(
        self, world: World, settings: TileGameSettings, players: Players | None = None
    ) -> None:
        self.world = world
        self.players = Players() if players is None else players
        self._settings = settings

    def enter(self, name: str, now: float) -> Visit:
        """A player comes in, in the middle of the map.  His name is nobody else's."""
        player = Player(name)
        self.players.add(player)
        return Visit(player, self._settings, now)

    def leave(self, visit: Visit) -> None:
        self.players.remove(visit.player.name)

    def report(self, visit: Visit, packet: Position | BreakTile, now: float) -> bool:
        """
        A player says where he is or what he has broken.

        @return: whether it is so from now on.
        """
        if packet.name != visit.player.name:
            return False
        match packet:
            case Position(_, x, y):
                return self._move(visit, self.world.clamp(x), self.world.clamp(y), now)
            case BreakTile(_, x, y):
                return self._break(visit, x, y, now)

    def state(self, visit: Visit) -> bytes:
        """The state packet for a player: the changes only if he does not know them."""
        changes = b""
        if visit.seen != self.world.revision:
            visit.seen = self.world.revision
            changes = self.world.changes_payload()
        return wire.state(self.players.block(visit.player), changes)

    def _move(self, visit: Visit, x: int, y: int, now: float) -> bool:
        player = visit.player
        if visit.settled is not None and self._settings.max_speed:
            possible = self._settings.max_speed * (now - visit.settled + LAG)
            if math.sqrt(player.distance(x, y)) > possible:
                return False
        if visit.settled is not None or (x, y) != (0, 0):
            visit.settled = now
        player.move(x, y)
        return True

    def _break(self, visit: Visit, x: int, y: int, now: float) -> bool:
        if not self._reaches(visit.player, x, y) or visit.breaks.wait(now):
            return False
        if not self.world.break_tile(x, y):
            return False
        visit.breaks.take()
        return True

    def _reaches(self, player: Player, x: int, y: int) -> bool:
        across = abs(self.world.tile_at(player.x) - x)
        down = abs(self.world.tile_at(player.y) - y)
        return not self._settings.reach or max(across, down) <= self._settings.reach
