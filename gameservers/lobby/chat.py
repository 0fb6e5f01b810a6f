"""
Chat channels, and the targets a chat line can have.

A channel belongs to one game and exists while it has listeners.  Listening and speaking are
independent: a line goes to its target's listeners, whether or not the speaker is one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToChannel:
    """The listeners of this channel of the speaker's game."""

    channel: str


@dataclass(frozen=True, slots=True)
class ToRoom:
    """The members of the speaker's room, including the speaker."""


@dataclass(frozen=True, slots=True)
class ToPlayer:
    """One player of the speaker's game, and the speaker, if C{within} reaches that player."""

    name: str
    within: ToChannel | ToRoom


class Channels:
    """
    The listeners of all channels, in the order in which they subscribed.

    A channel is named by (game, name).
    """

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str], tuple[int, ...]] = {}

    def listen(self, game: str, channel: str, player: int) -> None:
        listeners = self._listeners.get((game, channel), ())
        if player not in listeners:
            self._listeners[game, channel] = (*listeners, player)

    def unlisten(self, game: str, channel: str, player: int) -> None:
        listeners = self._listeners.get((game, channel), ())
        if player in listeners:
            rest = tuple(each for each in listeners if each != player)
            if rest:
                self._listeners[game, channel] = rest
            else:
                del self._listeners[game, channel]

    def forget(self, game: str, channels: Iterable[str], player: int) -> None:
        """Remove a player that has left from these channels."""
        for channel in channels:
            self.unlisten(game, channel, player)

    def listeners(self, game: str, channel: str) -> tuple[int, ...]:
        return self._listeners.get((game, channel), ())
