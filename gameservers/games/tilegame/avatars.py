"""
Avatars: the players as they appear in the world.
"""

from __future__ import annotations

from collections.abc import Iterator

from gameservers.games.tilegame import wire

#: Maximum number of players in a state packet, with the shortest names.
MOST_PLAYERS = (wire.MAX_PLAYERS_BLOCK - 1) // (1 + len(wire.record("-", 0, 0, 0, 0, 0, 0)))


class Avatar:
    """
    One player in the world, whose position is reported by its client.

    @ivar x: pixels to the right of the middle of the map; C{y} those below it.
    @ivar previous_x: C{x} before the last move, and so C{previous_y}.
    @ivar record: its encoded entry in state packets.
    """

    __slots__ = ("health", "lerp", "name", "previous_x", "previous_y", "record", "x", "y")

    def __init__(self, name: str, x: int = 0, y: int = 0) -> None:
        self.name = name
        self.x = self.previous_x = x
        self.y = self.previous_y = y
        self.lerp = 0
        self.health = 100
        self.write()

    def move(self, x: int, y: int) -> None:
        """Change the position."""
        self.previous_x, self.previous_y = self.x, self.y
        self.x, self.y = x, y
        self.write()

    def distance(self, x: int, y: int) -> int:
        """The squared distance to a point, in pixels."""
        return (self.x - x) ** 2 + (self.y - y) ** 2

    def write(self) -> None:
        """Update the record, after an attribute was set."""
        self.record = wire.record(
            self.name, self.x, self.y, self.previous_x, self.previous_y, self.lerp, self.health
        )


class Avatars:
    """All avatars, by name, in order of arrival."""

    def __init__(self) -> None:
        self._by_name: dict[str, Avatar] = {}
        self._told: list[bytes] = []  # the records of the last complete block
        self._block = wire.players_block([])

    def add(self, avatar: Avatar) -> None:
        self._by_name[avatar.name] = avatar

    def remove(self, name: str) -> None:
        self._by_name.pop(name, None)

    def get(self, name: str) -> Avatar | None:
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Avatar]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def block(self, receiver: Avatar | None = None) -> bytes:
        """
        Encode the players for one of them.

        If not all fit, the farthest are omitted, but never the receiver's own avatar, without
        which its program crashes.
        """
        records = [avatar.record for avatar in self._by_name.values()]
        if records == self._told:
            return self._block
        if wire.players_size(records) > wire.MAX_PLAYERS_BLOCK:
            return wire.players_block([each.record for each in self._nearest(receiver)])
        self._told = records
        self._block = wire.players_block(records)
        return self._block

    def _nearest(self, receiver: Avatar | None) -> list[Avatar]:
        avatars = list(self)
        x, y = (receiver.x, receiver.y) if receiver else (0, 0)
        near = sorted(avatars, key=lambda each: (each is not receiver, each.distance(x, y)))
        while wire.players_size(avatar.record for avatar in near) > wire.MAX_PLAYERS_BLOCK:
            near.pop()
        return [avatar for avatar in avatars if avatar in near]
