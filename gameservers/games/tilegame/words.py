"""
The lobby's events: the wire format has messages for none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameservers.games import NO_PLACE
from gameservers.games.tilegame.wire import MAXPLAYERS_ERR, NAMEALREXIST_ERR
from gameservers.lobby import Why
from gameservers.lobby.events import Expelled
from gameservers.net.connection import Connection, Reason

#: The error for each refusal, and the reason under which it is counted.
REFUSALS = {
    Why.NAME_TAKEN: (NAMEALREXIST_ERR, Reason.REFUSED),
    **{why: (MAXPLAYERS_ERR, reason) for why, reason in NO_PLACE.items()},
}


def deliver(connections: Mapping[int, Connection], players: Sequence[int], event: object) -> None:
    """Cut off players that are expelled; other events are ignored."""
    if isinstance(event, Expelled):
        for player in players:
            connections[player].cut(Reason.BANNED, event.why)
