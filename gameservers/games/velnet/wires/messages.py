"""
The messages of VelNet in both wire formats.

A I{frame} is what follows the header with the sender in a message that is relayed over a stream:
the payload with the LF after it in the text format, or with the length before it in the binary
one.  Relaying a run of messages is therefore C{head + head.join(frames)}.  In a datagram the frame
is the bare payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

#: Characters not allowed in a room's name: separators of the room lists, and control characters.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f,:]")


@dataclass(frozen=True, slots=True)
class LogIn:
    """
    Log in.

    @ivar secret: the second field: the password in the text format, the application's name in
        the binary one.
    """

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListRooms:
    """List the public rooms, and the private ones with this password."""

    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Join:
    room: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Leave:
    pass


@dataclass(slots=True)
class Broadcast:
    """
    Payloads for the sender's room, and for the sender if C{echo}; the codec may append to them.
    """

    echo: bool
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class ToGroup:
    group: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class DefineGroup:
    """Set the members of the sender's group of this name."""

    group: bytes
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListMembers:
    room: str


@dataclass(frozen=True, slots=True)
class ToSelf:
    frame: bytes


InRoom = Broadcast | ToGroup | DefineGroup | ToSelf
Message = LogIn | ListRooms | Join | Leave | ListMembers | InRoom


@dataclass(frozen=True, slots=True)
class Hello:
    """
    A datagram that binds its source address to this player.

    @ivar seed: whether it is in the spelling of the text format whose later datagrams have no id.
    """

    player: int
    seed: bool = False


def fit(room: str) -> bool:
    """Whether a room may have this name."""
    return bool(room) and _UNFIT.search(room) is None


class Codec(Protocol):
    """
    Encodes the server's messages; each codec module provides it.
    """

    def logged_in(self, player: int) -> bytes:
        """You have logged in."""

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
        """The header of a frame; in a datagram, of a payload."""

    def known(self, player: int) -> bytes:
        """The datagram that answers a hello."""

    def parse_datagram(
        self, datagram: bytes, player: int | None, seed: bool = False
    ) -> Hello | Broadcast | ToGroup | ToSelf | None:
        """
        Decode one datagram of a client; L{None} if it is ignored.

        @param player: the player whose address it came from; L{None} if unknown.
        @param seed: whether that player's hello was in the seed spelling of text.
        """
