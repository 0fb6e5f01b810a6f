"""
The rules of a room: a request returns envelopes, or raises L{Refused} and changes nothing.

A room holds player ids, not connections, and knows neither clock nor lobby.  Its states::

    open --(the last member or, by rule, the host leaves)--> ended
    open --(start)--> started --(as above; by rule at once)--> ended

An ordinary room has exactly one host while it is open, never more members than its capacity,
and is ended when it is empty.
"""

from __future__ import annotations

import copy
import enum
import hmac
from dataclasses import dataclass, replace
from types import MappingProxyType

from gameservers.lobby import events
from gameservers.lobby.events import NOTHING, Departure, Envelope, Member, RoomKey
from gameservers.lobby.views import Room


class Why(enum.Enum):
    """Why a request was refused.  Each wire format has its own text for it."""

    LOBBY_FULL = "the lobby is full"
    ADDRESS_FULL = "too many players from this address"
    NAME_TAKEN = "this name is taken"
    NO_SUCH_PLAYER = "no such player"
    ROOM_EXISTS = "a room of this name exists"
    NO_SUCH_ROOM = "no such room"
    ROOM_FULL = "the room is full"
    ROOM_STARTED = "the room has started"
    WRONG_PASSWORD = "wrong password"
    IN_A_ROOM = "already in a room"
    NOT_IN_A_ROOM = "not in a room"
    NOT_HOST = "only the host may do that"
    PERMANENT = "the room is permanent"
    MUTED = "you may not speak"


class Refused(Exception):
    """The rules forbid it.  The connection stays up and nothing has changed."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Succession(enum.Enum):
    """What happens to a room when its host leaves."""

    CLOSE = "the room ends"
    OLDEST = "the longest-standing member becomes host"


@dataclass(frozen=True, slots=True)
class RoomRules:
    """
    The rules in which the rooms of different games differ.

    C{starts_when_ready} is the number of members from which a room starts by itself once all are
    ready (0: never).  A C{hosted} room has a host while it is open; others never have one.  A
    C{permanent} room stays when it is empty, and cannot be closed.  The names of C{distinct} rooms
    do not look alike in one scope (L{gameservers.names.skeleton}).
    """

    succession: Succession = Succession.OLDEST
    hosted: bool = True
    permanent: bool = False
    distinct: bool = False
    leaving_resets_readiness: bool = False
    starts_when_ready: int = 0
    ends_when_started: bool = False


class RoomRecord:
    """
    One room, internal to the lobby; callers get its L{view}.

    @ivar members: player id to L{Member}, in joining order.
    @ivar ended: whether the room no longer exists.
    """

    def __init__(
        self,
        key: RoomKey,
        rules: RoomRules,
        capacity: int,
        password: str = "",
        *,
        visible: bool = True,
    ) -> None:
        self.key = key
        self.rules = rules
        self.capacity = capacity
        self.password = password
        self.visible = visible
        self.members: dict[int, Member] = {}
        self.host = 0
        self.properties = NOTHING
        self.started = False
        self.ended = False
        self.current: Room | None = None

    def view(self) -> Room:
        """The room's current state as a value; built once after each change."""
        view = self.current
        if view is None:
            view = self.current = Room(
                self.key,
                self.capacity,
                tuple(self.members.values()),
                self.host,
                bool(self.password),
                self.visible,
                self.started,
                self.properties,
            )
        return view

    def without(self, player: int) -> RoomRecord:
        """A copy of the room as it would be if this member left."""
        other = copy.copy(self)
        other.members = dict(self.members)
        other.leave(player, Departure.LEFT)
        return other

    def opens_to(self, password: str) -> bool:
        """Whether the room needs no password, or this one is right."""
        return not self.password or hmac.compare_digest(
            self.password.encode("utf-8", "surrogatepass"),
            password.encode("utf-8", "surrogatepass"),
        )

    def admit(self, password: str = "") -> None:
        """
        Check that a player with this password may join.

        @raise Refused: C{ROOM_STARTED}, C{ROOM_FULL} or C{WRONG_PASSWORD}.
        """
        if self.started:
            raise Refused(Why.ROOM_STARTED)
        if len(self.members) >= self.capacity:
            raise Refused(Why.ROOM_FULL)
        if not self.opens_to(password):
            raise Refused(Why.WRONG_PASSWORD)

    def open(self, player: int, name: str) -> list[Envelope]:
        """Add the first member, which becomes the host if the room is hosted."""
        self._set(Member(player, name))
        if self.rules.hosted:
            self.host = player
        return self._to_all(events.RoomOpened(self.key, self._snapshot()))

    def join(self, player: int, name: str, password: str = "") -> list[Envelope]:
        """Add a member that knows the password, if there is one; or raise L{Refused}."""
        self.admit(password)
        self._set(Member(player, name))
        if self.rules.hosted and not self.host:
            self.host = player
        return self._to_all(events.MemberJoined(self.key, player, self.host, self._snapshot()))

    def leave(self, player: int, why: Departure) -> list[Envelope]:
        """Remove a member, whatever the reason; the room may end or start as a result."""
        gone = self.members[player]
        was_host = player == self.host
        if was_host and self.rules.succession is Succession.CLOSE:
            return self._close(but=player if why is Departure.LOST else 0)
        del self.members[player]
        if why is Departure.LEFT and self.rules.leaving_resets_readiness:
            for each in tuple(self.members.values()):
                self.members[each.id] = replace(each, ready=False)
        if was_host:
            self.host = next(iter(self.members), 0)
        self.current = None
        told = list(self.members)
        if why is not Departure.LOST:
            told.append(player)
        left = events.MemberLeft(self.key, gone, why, self.host, self._snapshot())
        envelopes = [Envelope(tuple(told), left)] if told else []
        if not self.members:
            self.ended = not self.rules.permanent
        elif was_host:
            envelopes += self._to_all(events.HostChanged(self.key, self.host))
        return envelopes + self._start_if_ready()

    def rename(self, player: int, name: str) -> None:
        """Change a member's name, without an event."""
        self._set(replace(self.members[player], name=name))

    def kick(self, by: int, player: int) -> list[Envelope]:
        """Let the host remove a member; raises L{Refused}: C{NOT_HOST} or C{NO_SUCH_PLAYER}."""
        self._demand_host(by)
        if player == by or player not in self.members:
            raise Refused(Why.NO_SUCH_PLAYER)
        return self.leave(player, Departure.KICKED)

    def set_ready(self, player: int, ready: bool) -> list[Envelope]:
        """Change a member's readiness; the room may start as a result."""
        self._set(replace(self.members[player], ready=ready))
        changed = events.ReadinessChanged(self.key, player, self._snapshot())
        return self._to_all(changed) + self._start_if_ready()

    def set_password(self, by: int, password: str) -> None:
        """Let the host change the password (C{""}: none), without an event."""
        self._demand_host(by)
        self.password = password
        self.current = None

    def set_property(self, by: int, name: str, value: object) -> list[Envelope]:
        """Let the host set a property, which all members are told."""
        self._demand_host(by)
        self.properties = MappingProxyType({**self.properties, name: value})
        self.current = None
        return self._to_all(events.PropertyChanged(self.key, name, value))

    def start(self, by: int) -> list[Envelope]:
        """Let the host start the game, whoever is ready; raises L{Refused}."""
        self._demand_host(by)
        if self.started:
            raise Refused(Why.ROOM_STARTED)
        return self._start()

    def close(self) -> list[Envelope]:
        """End the room on behalf of the server; raises L{Refused}: C{PERMANENT}."""
        if self.rules.permanent:
            raise Refused(Why.PERMANENT)
        return self._close(but=0)

    def _set(self, member: Member) -> None:
        self.members[member.id] = member
        self.current = None

    def _demand_host(self, player: int) -> None:
        if player != self.host:
            raise Refused(Why.NOT_HOST)

    def _start_if_ready(self) -> list[Envelope]:
        enough = self.rules.starts_when_ready
        if self.started or not enough or len(self.members) < enough:
            return []
        if not all(member.ready for member in self.members.values()):
            return []
        return self._start()

    def _start(self) -> list[Envelope]:
        self.started = True
        envelopes = self._to_all(events.RoomStarted(self.key, self.host, self._snapshot()))
        self.current = None
        if self.rules.ends_when_started:
            self.members.clear()
            self.ended = True
        return envelopes

    def _close(self, but: int) -> list[Envelope]:
        members = self._snapshot()
        told = tuple(member.id for member in members if member.id != but)
        self.members.clear()
        self.host = 0
        self.ended = True
        self.current = None
        return [Envelope(told, events.RoomClosed(self.key, members))] if told else []

    def _snapshot(self) -> tuple[Member, ...]:
        return tuple(self.members.values())

    def _to_all(self, event: object) -> list[Envelope]:
        return [Envelope(tuple(self.members), event)] if self.members else []
