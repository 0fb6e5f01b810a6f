"""
The events of the lobby: those sent to players, in envelopes, and the public stream.

There are two kinds of recipients:

  - players receive what concerns them (their room, chat addressed to them) in an L{Envelope}; each
    wire format translates these events into its own messages;
  - subscribers of L{gameservers.lobby.Lobby.subscribe} (a room list, an operator's page) see all
    games: players that enter and exit, rooms that change, the fact that a player spoke, but never
    the text.

Events are values: they contain everything needed to render them and refer to no object of the
lobby, so that a room may one day live in another process.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

#: No traits, or no properties.
NOTHING: Mapping[str, Any] = MappingProxyType({})


class RoomKey(NamedTuple):
    """
    What identifies a room: the game, a name space inside the game, and the name.

    Two rooms of one name may exist in different scopes (VelNet: one per application and
    generation); most games use the scope C{""}.
    """

    game: str
    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A player as the members of a room see each other."""

    id: int
    name: str
    ready: bool = False


class Departure(enum.Enum):
    """Why a member is no longer in a room."""

    LEFT = "left"
    KICKED = "kicked"
    LOST = "connection lost"


# What is made for each line of chat is a named tuple, which takes a third of the time.


class Envelope(NamedTuple):
    """An event and the ids of the players that receive it, each exactly once."""

    to: tuple[int, ...]
    event: object


# --- sent to the members of a room -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoomOpened:
    """To the player that opened a room, which is its host if it has one."""

    room: RoomKey
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """To all members, including the new one: C{player} has joined.  C{host} is 0 for no host."""

    room: RoomKey
    player: int
    host: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """
    To the remaining members, then to the one that left (unless the connection is lost).

    C{members} are those that remain, C{host} is the host from now on (0: none).
    """

    room: RoomKey
    player: Member
    why: Departure
    host: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class HostChanged:
    """To all members: C{host} has succeeded a host that left."""

    room: RoomKey
    host: int


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """To all former members (except one whose connection is lost): the room is closed."""

    room: RoomKey
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class ReadinessChanged:
    """To all members: C{player} is ready now, or no longer."""

    room: RoomKey
    player: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PropertyChanged:
    """To all members: a property of the room has a new value."""

    room: RoomKey
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class RoomStarted:
    """To all members: the game begins.  C{members} are in joining order, including the host."""

    room: RoomKey
    host: int
    members: tuple[Member, ...]


# --- sent to the recipients of a chat line ---------------------------------------------------


class ChatSaid(NamedTuple):
    """
    C{name} said C{text}.  C{channel} is where (C{None}: to a room or a single player).

    The text is as the sender typed it: each wire format escapes it as it needs. C{traits} are the
    sender's.
    """

    sender: int
    name: str
    text: str
    channel: str | None
    traits: Mapping[str, Any] = NOTHING


# --- sent by the operators of the server -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expelled:
    """To one player, whose game ends the connection now, on behalf of an operator."""

    why: str


@dataclass(frozen=True, slots=True)
class Announced:
    """To all players (of a game): a message from the server."""

    text: str


# --- the public stream: what subscribers see -------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayerEntered:
    player: int
    name: str
    game: str


@dataclass(frozen=True, slots=True)
class PlayerExited:
    player: int
    name: str
    game: str


class Change(enum.Enum):
    """What happened to a room, for the public stream."""

    OPENED = "opened"
    JOINED = "joined"
    LEFT = "left"
    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """
    A room has changed in a way that a room list shows.  C{player} caused it (0: no player).

    A room that ends because it starts is announced twice: C{STARTED}, then C{ENDED}.
    """

    room: RoomKey
    change: Change
    player: int = 0


class Spoken(NamedTuple):
    """A player said something to C{listeners} players.  The text is not public."""

    player: int
    game: str
    listeners: int
