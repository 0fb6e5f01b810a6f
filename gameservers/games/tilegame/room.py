"""
The rules of the world's one room: who is in it, what players may do, what they are told.

Players report where they are and which tiles they have broken; the room takes their word for
it as far as it is possible.  It changes nothing for a report that is not: another's name, a
tile that is not there, cannot be broken or is out of reach, more tiles than a shovel breaks, a
leap that nobody can make.  A position beyond the edge counts as one at the edge.

It knows no clock: C{now} is in seconds, from wherever it counts.
"""

from __future__ import annotations

import math

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.avatars import Avatar, Avatars
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import BreakTile, Position
from gameservers.games.tilegame.world import World
from gameservers.net.rates import TokenBucket

#: How long a player's reports may be held up on their way and then come at once, in seconds.
LAG = 1.0


class Visit:
    """
    A player's stay in the room.

    @ivar settled: when it last said where it is; C{None} until it has left the place where
        everybody begins, which it does with a leap.
    @ivar seen: the revision of the world up to which it was told what is broken.
    """

    __slots__ = ("avatar", "breaks", "seen", "settled")

    def __init__(self, avatar: Avatar, settings: TileGameSettings, now: float) -> None:
        self.avatar = avatar
        self.breaks = TokenBucket(settings.break_rate, settings.break_burst, now)
        self.settled: float | None = None
        self.seen: int | None = None


class WorldRoom:
    """The room: a world and the players in it."""

    def __init__(
        self, world: World, settings: TileGameSettings, avatars: Avatars | None = None
    ) -> None:
        self.world = world
        self.avatars = Avatars() if avatars is None else avatars
        self._settings = settings

    def enter(self, name: str, now: float) -> Visit:
        """A player comes in, in the middle of the map.  Its name is nobody else's."""
        avatar = Avatar(name)
        self.avatars.add(avatar)
        return Visit(avatar, self._settings, now)

    def leave(self, visit: Visit) -> None:
        self.avatars.remove(visit.avatar.name)

    def report(self, visit: Visit, packet: Position | BreakTile, now: float) -> bool:
        """
        A player says where it is or what it has broken.

        @return: whether it is so from now on.
        """
        if packet.name != visit.avatar.name:
            return False
        match packet:
            case Position(_, x, y):
                return self._move(visit, self.world.clamp(x), self.world.clamp(y), now)
            case BreakTile(_, x, y):
                return self._break(visit, x, y, now)

    def state(self, visit: Visit) -> bytes:
        """The state packet for a player: the changes only if it does not know them."""
        changes = b""
        if visit.seen != self.world.revision:
            visit.seen = self.world.revision
            changes = self.world.changes_payload()
        return wire.state(self.avatars.block(visit.avatar), changes)

    def _move(self, visit: Visit, x: int, y: int, now: float) -> bool:
        avatar = visit.avatar
        if visit.settled is not None and self._settings.max_speed:
            possible = self._settings.max_speed * (now - visit.settled + LAG)
            if math.sqrt(avatar.distance(x, y)) > possible:
                return False
        if visit.settled is not None or (x, y) != (0, 0):
            visit.settled = now
        avatar.move(x, y)
        return True

    def _break(self, visit: Visit, x: int, y: int, now: float) -> bool:
        if not self._reaches(visit.avatar, x, y) or visit.breaks.wait(1, now):
            return False
        if not self.world.break_tile(x, y):
            return False
        visit.breaks.take(1)
        return True

    def _reaches(self, avatar: Avatar, x: int, y: int) -> bool:
        across = abs(self.world.tile_at(avatar.x) - x)
        down = abs(self.world.tile_at(avatar.y) - y)
        return not self._settings.reach or max(across, down) <= self._settings.reach
