"""
A wire format that writes nothing: it keeps what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gameservers.lobby import Lobby, Player


class Wire:
    """
    The receiving end of C{deliver}.

    @ivar told: every delivery, as the ids that were told and the event.
    @ivar reaction: what is done once, when next something is told.
    """

    def __init__(self) -> None:
        self.told: list[tuple[tuple[int, ...], object]] = []
        self.reaction: Callable[[], object] | None = None

    def deliver(self, ids: Sequence[int], event: object) -> None:
        self.told.append((tuple(ids), event))
        reaction, self.reaction = self.reaction, None
        if reaction is not None:
            reaction()

    def heard(self, player: Player) -> list[object]:
        """What one player was told, in order."""
        return [event for ids, event in self.told for each in ids if each == player.id]

    def take(self) -> list[tuple[tuple[int, ...], object]]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return told

    def enter(self, lobby: Lobby, *names: str, game: str = "chess") -> list[Player]:
        """Players of this wire come in."""
        return [lobby.enter(name, game, self.deliver) for name in names]
