"""
The lobby's events in the arena.

The protocol has no push.  Chat is therefore stored in the arena until a client asks for it, and a
client that is expelled finds its id unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gameservers.games import NO_PLACE
from gameservers.games.twister.arena import Arena
from gameservers.games.twister.wire import Status
from gameservers.lobby import Why
from gameservers.lobby.events import Announced, ChatSaid, Expelled

#: The nick of the server's chat lines.
SERVER = "SERVER"

#: The trait of a player with the nick of its last chat line.
NICK = "nick"


class Words:
    """
    Puts the lobby's events into the arena.

    @ivar expel: called with the id of a player that an operator expels.
    """

    def __init__(self, arena: Arena, expel: Callable[[int], None]) -> None:
        self._arena = arena
        self._expel = expel

    def deliver(self, ids: Sequence[int], event: object) -> None:
        """Handle an event for these players."""
        match event:
            case ChatSaid(_, name, text):
                self._arena.hear(text, event.traits.get(NICK, name))
            case Announced(text):
                self._arena.hear(text, SERVER)
            case Expelled():
                for player in ids:
                    self._expel(player)
            case _:  # clients see in C{get_data} who has joined and left
                pass


def status_of(why: Why) -> Status:
    """The status for a request that the lobby refused."""
    return Status.FULL if why in NO_PLACE else Status.DENIED
