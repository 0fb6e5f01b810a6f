"""
What VelNet's clients say, whatever the form they say it in: the vocabulary of both codecs.

A I{frame} is what follows the sender's head in a message that is relayed over a stream: the
payload and the LF after it in the text form, the payload and the length before it in the
binary form.  Relaying a run of messages is therefore C{head + head.join(frames)}.  In a
datagram the frame is the bare payload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: What a room's name may not hold: the marks of both room lists, and control characters.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f,:]")


class WireError(Exception):
    """Bytes that break the wire format; they end the client who sent them."""


@dataclass(frozen=True, slots=True)
class LogIn:
    """
    C{secret} is what stands where the password is: the password in the text form, the name
    of the application in the binary form.
    """

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListRooms:
    """With the name of every private room whose password this is."""

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
    """Payloads for the sender's room, and for himself too if C{echo}; more may be added."""

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

    C{seed}: of the text form that gives no id in later datagrams.
    """

    player: int
    seed: bool = False


def fit(room: str) -> bool:
    """Whether a room may have this name."""
    return bool(room) and _UNFIT.search(room) is None
