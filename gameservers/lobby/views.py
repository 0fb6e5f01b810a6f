"""
The values that the lobby returns: snapshots that never change.

They are named tuples because nearly every request makes one: a frozen dataclass takes three times
as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gameservers.lobby.events import Member, RoomKey


class Player(NamedTuple):
    """
    A player, which is one session of one game.

    @ivar id: positive, increasing, unique while the process lives.
    @ivar address: the peer's host, as text, without its port.
    @ivar since: when the player entered, in seconds of the lobby's clock.
    @ivar room: the room the player is in.
    @ivar traits: what the game has stored about the player, for others to read.
    @ivar muted: whether the player may not chat.
    """

    id: int
    name: str
    game: str
    address: str
    since: float
    room: RoomKey | None
    traits: Mapping[str, Any]
    muted: bool


class Room(NamedTuple):
    """
    A room.

    @ivar capacity: players, at least 1.
    @ivar members: in joining order.
    @ivar host: id of the host; 0 for none.
    @ivar protected: whether a password is needed to join.
    @ivar visible: whether public lists show it.
    @ivar properties: what the host has set, as name and value.
    """

    key: RoomKey
    capacity: int
    members: tuple[Member, ...]
    host: int
    protected: bool
    visible: bool
    started: bool
    properties: Mapping[str, Any]

    @property
    def full(self) -> bool:
        return len(self.members) >= self.capacity

    def member(self, player_id: int) -> Member:
        """
        The member with this id.

        @raise KeyError: there is none.
        """
        for member in self.members:
            if member.id == player_id:
                return member
        raise KeyError(player_id)


class Listing(NamedTuple):
    """
    All players in order of arrival, and all rooms in order of opening, including hidden ones.
    """

    players: tuple[Player, ...]
    rooms: tuple[Room, ...]
