"""
What the lobby tells: events to players in envelopes, and the public stream.

Two kinds of listeners exist:

  - players, who are told what concerns them (their room, chat addressed to them) in an
    L{Envelope}; each wire format puts these events into its own words;
  - subscribers of L{gameservers.lobby.Lobby.subscribe} (a room list, an operator's page), who
    see all games: who came, which room changed, that somebody spoke, but never what was said.

Events are values: they carry all that is needed to render them and hold no reference into the
lobby, so that a room may one day live in another process.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event and the ids of the players who are told of it, each exactly once."""

    to: tuple[int, ...]
    event: object


# --- told to the members of a room -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoomOpened:
    """To the player who opened it, who is its host if it has one: the room stands."""

    room: RoomKey
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """To all members, the new one included: C{player} came in.  C{host} is 0 if there is none."""

    room: RoomKey
    player: int
    host: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """
    To those who remain, then to the one who left (unless the connection is lost).

    C{members} are those who remain, C{host} the host from now on (0: none).
    """

    room: RoomKey
    player: Member
    why: Departure
    host: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class HostChanged:
    """To all members: C{host} has succeeded a host who left."""

    room: RoomKey
    host: int


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """To all who were members (but not to one whose connection is lost): the room is gone."""

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
    """To all members: the game begins.  C{members} are in joining order, the host's id apart."""

    room: RoomKey
    host: int
    members: tuple[Member, ...]


# --- told to those who are spoken to ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChatSaid:
    """
    C{name} said C{text}.  C{channel} is where (C{None}: to a room or a single player).

    The text is as the sender typed it: each wire makes it harmless in its own words.
    C{traits} are the sender's.
    """

    sender: int
    name: str
    text: str
    channel: str | None
    traits: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


# --- told by the operators of the server -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expelled:
    """To one player, whose game ends the connection now: an operator wants it gone."""

    why: str


@dataclass(frozen=True, slots=True)
class Announced:
    """To all players (of a game): the server has something to say."""

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
    A room looks different in a list.  C{player} is who did it (0: nobody in particular).

    A room that ends because it starts is announced twice: C{STARTED}, then C{ENDED}.
    """

    room: RoomKey
    change: Change
    player: int = 0


@dataclass(frozen=True, slots=True)
class Spoken:
    """A player said something to C{listeners} players.  What was said is not public."""

    player: int
    game: str
    listeners: int
