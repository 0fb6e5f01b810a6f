"""
The rules of the world: its players, what they may do, and what they see.

Players report their position and the tiles they have broken, and the room accepts what is
possible.  It ignores other reports: the name of another player, a tile that does not exist, cannot
be broken or is out of reach, more tiles or a longer move than possible in the time.  A position
beyond the edge counts as one at the edge.

It has no clock: C{now} is in seconds since any fixed moment.
"""

from __future__ import annotations

import math

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.avatars import Avatar, Avatars
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import BreakTile, Position
from gameservers.games.tilegame.world import World
from gameservers.net.rates import TokenBucket

#: How long a player's reports may be delayed and then arrive at once, in seconds.
LAG = 1.0


class Participant:
    """
    A player in the room.

    @ivar settled: when it last reported its position; C{None} until it has left the start, from
        where the client jumps to its place.
    @ivar seen: the revision of the world that it was sent last.
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

    def enter(self, name: str, now: float) -> Participant:
        """Add a player, in the middle of the map.  Its name must be unique."""
        avatar = Avatar(name)
        self.avatars.add(avatar)
        return Participant(avatar, self._settings, now)

    def leave(self, participant: Participant) -> None:
        self.avatars.remove(participant.avatar.name)

    def report(self, participant: Participant, packet: Position | BreakTile, now: float) -> bool:
        """
        Handle a player's report of its position or of a broken tile.

        @return: whether it was accepted.
        """
        if packet.name != participant.avatar.name:
            return False
        match packet:
            case Position(_, x, y):
                return self._move(participant, self.world.clamp(x), self.world.clamp(y), now)
            case BreakTile(_, x, y):
                return self.may_break(participant, packet, now) and self.world.break_tile(x, y)

    def may_break(self, participant: Participant, packet: BreakTile, now: float) -> bool:
        """Whether a player may break a tile now; if so, it counts as one that it has broken."""
        x, y = packet.x, packet.y
        if packet.name != participant.avatar.name or not self.world.is_breakable(x, y):
            return False
        if not self._reaches(participant.avatar, x, y) or participant.breaks.wait(1, now):
            return False
        participant.breaks.take(1)
        return True

    def state(self, participant: Participant) -> bytes:
        """The state packet for a player, with changes only if it does not know them."""
        changes = b""
        if participant.seen != self.world.revision:
            participant.seen = self.world.revision
            changes = self.world.changes_payload()
        return wire.state(self.avatars.block(participant.avatar), changes)

    def _move(self, participant: Participant, x: int, y: int, now: float) -> bool:
        avatar = participant.avatar
        if participant.settled is not None and self._settings.max_speed:
            possible = self._settings.max_speed * (now - participant.settled + LAG)
            if math.sqrt(avatar.distance(x, y)) > possible:
                return False
        if participant.settled is not None or (x, y) != (0, 0):
            participant.settled = now
        avatar.move(x, y)
        return True

    def _reaches(self, avatar: Avatar, x: int, y: int) -> bool:
        across = abs(self.world.tile_at(avatar.x) - x)
        down = abs(self.world.tile_at(avatar.y) - y)
        return not self._settings.reach or max(across, down) <= self._settings.reach
