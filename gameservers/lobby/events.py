"""
What the lobby tells: events to players in envelopes, and the public stream.

Two kinds of listeners exist:

  - players, who are told what concerns them (their room, chat addressed to them) in an
    L{Envelope}; a wire format's factory renders these events in its own words;
  - subscribers of L{gameservers.lobby.Lobby.subscribe} (a room list, an operator's page, a
    metrics counter), who see the whole house: who came, which room changed, that somebody
    spoke, but never what was said.

Events are values: they carry all that is needed to render them and hold no reference into the
lobby, so that a room may one day live in another process.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, NamedTuple


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
    """A player as the other members of a room see him."""

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
    """To the player who opened it: the room stands, and he is its host if it has one."""

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
    To those who remain, then to the one who left (unless his connection is lost).

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
    C{name} said C{text}.  C{channel} is where (C{None}: to a room or a person).

    The text is as the sender typed it: each wire makes it harmless in its own words.
    """

    sender: int
    name: str
    text: str
    channel: str | None


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
    """Somebody said something to C{listeners} players.  What he said is nobody's business."""

    player: int
    game: str
    listeners: int
