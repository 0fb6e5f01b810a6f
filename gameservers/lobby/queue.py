"""
The matchmaking queue: players that wait for any opponent.

A queue holds player ids in order of arrival, each at most once.  The game decides which players
can be paired, and may have to ask a database first; so the game iterates over the queue and
removes the players it has paired.
"""

from __future__ import annotations

from collections.abc import Iterator


class Queue:
    """The players of one game that wait for an opponent, the longest wait first."""

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, player_id: int) -> bool:
        return player_id in self._waiting

    def __iter__(self) -> Iterator[int]:
        """The ids that wait now; the queue may change during the iteration."""
        return iter(tuple(self._waiting))

    def add(self, player_id: int) -> None:
        """Append a player; one that waits already keeps its place."""
        self._waiting.setdefault(player_id)

    def discard(self, player_id: int) -> None:
        """Remove a player, if it waits."""
        self._waiting.pop(player_id, None)
