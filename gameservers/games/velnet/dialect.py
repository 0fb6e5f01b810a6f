"""
What the server says to a client, whichever form it says it in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Dialect(Protocol):
    """
    Both codec modules are dialects: L{gameservers.games.velnet.text} and
    L{gameservers.games.velnet.binary}.
    """

    def rooms(self, listed: Iterable[tuple[str, int]]) -> bytes:
        """The rooms with the number of players in each."""

    def welcome(self, player: int, members: Iterable[int], room: str, master: int) -> bytes:
        """You have joined a room; these are its members, you included, and its master."""

    def joined(self, player: int, room: str) -> bytes:
        """Another player has joined your room."""

    def left(self, player: int, room: str) -> bytes:
        """Another player has left your room."""

    def you_left(self, player: int, room: str) -> bytes:
        """You have left your room."""

    def new_master(self, player: int) -> bytes:
        """Another player is the master of your room now."""

    def head(self, sender: int) -> bytes:
        """What stands before a frame, and in a datagram before a payload."""

    def known(self, player: int) -> bytes:
        """The datagram that answers a hello."""
