"""
What VelNet's clients say and are told, in either wire format: the vocabulary of both codecs.

A I{frame} is what follows the sender's head in a message that is relayed over a stream: the
payload and the LF after it in the text format, the payload and the length before it in the
binary one.  Relaying a run of messages is therefore C{head + head.join(frames)}.  In a datagram
the frame is the bare payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

#: What a room's name may not hold: the marks of both room lists, and control characters.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f,:]")


@dataclass(frozen=True, slots=True)
class LogIn:
    """
    C{secret} is what stands where the password is: the password in the text format, the name of
    the application in the binary one.
    """

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListRooms:
    """List the rooms, and the private ones whose password this is."""

    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Join:
    room: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Leave:
    pass


@dataclass(slots=True)
class ToRoom:
    """
    Payloads for the sender's room, for the sender too if C{echo}; a codec may add more to them.
    """

    echo: bool
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class ToGroup:
    group: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class DefineGroup:
    """The sender's group of this name consists of these ids from now on."""

    group: bytes
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListMembers:
    room: str


@dataclass(frozen=True, slots=True)
class ToSelf:
    frame: bytes


Message = LogIn | ListRooms | Join | Leave | ToRoom | ToGroup | DefineGroup | ListMembers | ToSelf


@dataclass(frozen=True, slots=True)
class Hello:
    """
    A datagram that asks to be known as this player's address.

    C{seed}: it is in that spelling of the text format whose later datagrams have no id.
    """

    player: int
    seed: bool = False


def fit(room: str) -> bool:
    """Whether a room may have this name."""
    return bool(room) and _UNFIT.search(room) is None


class Dialect(Protocol):
    """
    What the server says to a client, as each codec module spells it.
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
        """What stands before a frame, and in a datagram before a payload."""

    def known(self, player: int) -> bytes:
        """The datagram that answers a hello."""

    def parse_datagram(
        self, datagram: bytes, player: int | None, seed: bool = False
    ) -> Hello | ToRoom | ToGroup | ToSelf | None:
        """
        Decode one datagram of a client; L{None} if it is ignored.

        @param player: whose address it came from; L{None}: nobody's.
        @param seed: whether that player said hello in the seed spelling of text.
        """
