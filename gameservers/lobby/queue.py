"""
The matchmaking queue: players who wait for any opponent.

A queue holds player ids in order of coming, each at most once.  The game decides who can be
paired with whom, and may have to ask a database first; so the game looks through the queue and
takes out the players it has paired.
"""

from __future__ import annotations

from collections.abc import Iterator


class Queue:
    """The players of one game who wait for an opponent, the longest first."""

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, player_id: int) -> bool:
        return player_id in self._waiting

    def __iter__(self) -> Iterator[int]:
        """Those who wait now: the queue may change meanwhile."""
        return iter(tuple(self._waiting))

    def add(self, player_id: int) -> None:
        """A player waits, behind the others; one who waits already keeps the place."""
        self._waiting.setdefault(player_id)

    def discard(self, player_id: int) -> None:
        """A player waits no longer."""
        self._waiting.pop(player_id, None)
