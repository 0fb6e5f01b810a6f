"""
What players are told: nothing of the lobby's events, for which the wire has no words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameservers.games.tilegame.wire import MAXPLAYERS_ERR, NAMEALREXIST_ERR
from gameservers.lobby import Why
from gameservers.lobby.events import Expelled
from gameservers.net.connection import Connection, Reason

#: How a client hears that it may not play, and as what that is counted.
REFUSALS = {
    Why.NAME_TAKEN: (NAMEALREXIST_ERR, Reason.REFUSED),
    Why.ROOM_FULL: (MAXPLAYERS_ERR, Reason.FULL),
}


def deliver(connections: Mapping[int, Connection], players: Sequence[int], event: object) -> None:
    """Cut off players that are expelled; all else the client sees in its states, or never."""
    if isinstance(event, Expelled):
        for player in players:
            connections[player].cut(Reason.BANNED, event.why)
