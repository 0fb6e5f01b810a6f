"""
What the lobby says, in the words of the tanks.

The wire pushes nothing.  What is said is therefore kept in the arena until a client asks for it,
and a client that is expelled finds its id unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gameservers.games.twister.arena import Arena
from gameservers.games.twister.wire import Status
from gameservers.lobby import Why
from gameservers.lobby.events import Announced, ChatSaid, Expelled

#: The nick under which the server speaks.
SERVER = "SERVER"

#: The trait of a player that is the nick it spoke under last.
NICK = "nick"


class Words:
    """
    Puts the lobby's events into the arena.

    @ivar expel: is called with the id of a player that an operator wants gone.
    """

    def __init__(self, arena: Arena, expel: Callable[[int], None]) -> None:
        self._arena = arena
        self._expel = expel

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """The lobby tells these players something."""
        match event:
            case ChatSaid(_, name, text):
                self._arena.hear(text, event.traits.get(NICK, name))
            case Announced(text):
                self._arena.hear(text, SERVER)
            case Expelled():
                for player in ids:
                    self._expel(player)
            case _:  # players that come and go are seen in C{get_data}
                pass


def status_of(why: Why) -> Status:
    """How a client is told that the lobby has refused its wish."""
    return Status.FULL if why in (Why.LOBBY_FULL, Why.ROOM_FULL) else Status.DENIED
