"""The lobby's events as messages of this game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gameservers.lobby.events import Announced, ChatSaid, Expelled, MemberJoined, MemberLeft

if TYPE_CHECKING:
    from dice_room.session import Session


class Words:
    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}

    def listen(self, player: int, session: Session) -> None:
        self._sessions[player] = session

    def forget(self, player: int) -> None:
        del self._sessions[player]

    def deliver(self, players: Sequence[int], event: object) -> None:
        """Send an event to these players."""
        match event:
            case MemberJoined(player=player, members=members):
                name = next(member.name for member in members if member.id == player)
                self._tell(players, f"{name} is here")
            case MemberLeft(player=member):
                self._tell(players, f"{member.name} is gone")
            case ChatSaid(name=name, text=text):
                self._tell(players, f"{name} {text}")
            case Announced(text):
                self._tell(players, f"* {text}")
            case Expelled(why):
                for player in players:
                    self._sessions[player].expelled(why)
            case _:
                pass  # this game has no message for anything else

    def _tell(self, players: Sequence[int], text: str) -> None:
        for player in players:
            self._sessions[player].tell(text)
