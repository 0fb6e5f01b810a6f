"""
The players in the world, and what they are told of each other.
"""

from __future__ import annotations

from collections.abc import Iterator

from gameservers.games.tilegame import wire

#: Players that fit a state packet if their names are as short as can be: nobody can be let in
#: beyond that and be seen.
MOST_PLAYERS = (wire.MAX_PLAYERS_BLOCK - 1) // (1 + len(wire.record("-", 0, 0, 0, 0, 0, 0)))


class Player:
    """
    One player; where he is only he himself knows, and says.

    @ivar x: pixels to the right of the middle of the map; C{y} those below it.
    @ivar previous_x: where he was before he last spoke of it, and so C{previous_y}.
    @ivar record: what all players are told of him.
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
        self.previous_x, self.previous_y = self.x, self.y
        self.x, self.y = x, y
        self.write()

    def distance(self, x: int, y: int) -> int:
        """How far he is from a point: pixels, squared."""
        return (self.x - x) ** 2 + (self.y - y) ** 2

    def write(self) -> None:
        """What is said of him from now on, after one of his attributes was set."""
        self.record = wire.record(
            self.name, self.x, self.y, self.previous_x, self.previous_y, self.lerp, self.health
        )


class Players:
    """All players, by name, in the order in which they joined."""

    def __init__(self) -> None:
        self._by_name: dict[str, Player] = {}
        self._told: list[bytes] = []  # the records of the last block that had them all
        self._block = wire.players_block([])

    def add(self, player: Player) -> None:
        self._by_name[player.name] = player

    def remove(self, name: str) -> None:
        self._by_name.pop(name, None)

    def get(self, name: str) -> Player | None:
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[Player]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def block(self, receiver: Player | None = None) -> bytes:
        """
        The players as one of them is told of them.

        What does not fit is left out, the farthest first, but never the receiver himself,
        without whom the game crashes.
        """
        records = [player.record for player in self._by_name.values()]
        if records == self._told:
            return self._block
        if wire.players_size(records) > wire.MAX_PLAYERS_BLOCK:
            return wire.players_block([each.record for each in self._nearest(receiver)])
        self._told = records
        self._block = wire.players_block(records)
        return self._block

    def _nearest(self, receiver: Player | None) -> list[Player]:
        players = list(self)
        x, y = (receiver.x, receiver.y) if receiver else (0, 0)
        near = sorted(players, key=lambda each: (each is not receiver, each.distance(x, y)))
        while wire.players_size(player.record for player in near) > wire.MAX_PLAYERS_BLOCK:
            near.pop()
        return [player for player in players if player in near]
