"""
One player's session: what it may do and what comes of it, in either wire format.

A session is handed decoded messages and says encoded ones through its connection's outbox.  Of
other players it knows their ids alone: what is sent to them goes by way of the lobby or of
L{VelNetService}.  What text and binary clients do not have in common is in the two subclasses.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from gameservers.games.velnet.generation import PATIENCE, READ, Generation, Sign
from gameservers.games.velnet.wires import binary, text
from gameservers.games.velnet.wires.messages import (
    DefineGroup,
    Dialect,
    Join,
    Leave,
    ListMembers,
    ListRooms,
    LogIn,
    Message,
    ToGroup,
    ToRoom,
    ToSelf,
)
from gameservers.lobby import Refused, RoomKey, RoomRules, Succession
from gameservers.net.address import Address
from gameservers.net.connection import Connection, Reason

if TYPE_CHECKING:
    from gameservers.games.velnet.feed import Feed
    from gameservers.games.velnet.service import SendDatagram, VelNetService

#: The host of a room is VelNet's master client.
RULES = RoomRules(succession=Succession.OLDEST)

#: Groups of one player, and ids in one group; a definition beyond that is ignored.
MAX_GROUPS = 64
MAX_GROUP = 1_000

#: How often one message reaches a player that stands in a group again and again: often enough
#: for any use, and too seldom to flood it.
MAX_COPIES = 16


class Phase(enum.Enum):
    ARRIVED = "it has not logged in"
    ASKING = "its log-in is being decided; it is not listened to"
    UNDECIDED = "it has logged in, and its generation is not known"
    PLAYING = "it has logged in"


#: What a session does, by the type of the message.
Actions = dict[type[Message], Callable[[Any, Any], None]]

#: That in each phase, and what is ignored.
Table = dict[Phase, Actions]
Ignored = dict[Phase, frozenset[type[Message]]]

_WISHES = frozenset({ListRooms, Join, Leave, ToRoom, ToGroup, DefineGroup})


class Session:
    """
    One player.

    @cvar dialect: what it is told in.
    @cvar TABLE: what it does about a message, in each phase.
    @cvar IGNORED: messages that it ignores, in each phase.
    @cvar DATAGRAMS: what it does about a datagram.
    @ivar actions: those of C{TABLE} in its present phase.
    @ivar player: its id in the lobby; 0 until it has logged in.
    @ivar head: what stands before its payloads.
    @ivar scope: the name space of its rooms.
    @ivar group_scope: the name space of players in which its groups can have members.
    @ivar max_datagram: bytes in the longest datagram that it has room for.
    @ivar feed: that of the room it is in.
    @ivar udp: where datagrams reach it, once it has said hello.
    @ivar send_datagram: how they leave.
    @ivar seed: whether it said hello in the seed spelling of text.
    """

    dialect: ClassVar[Dialect]
    TABLE: ClassVar[Table]
    IGNORED: ClassVar[Ignored]
    DATAGRAMS: ClassVar[Actions]
    actions: Actions
    scope: str
    group_scope: str
    max_datagram: int
    send_datagram: SendDatagram
    seed = False

    def __init__(self, service: VelNetService, connection: Connection) -> None:
        self.service = service
        self.connection = connection
        self.player = 0
        self.head = b""
        self.feed: Feed | None = None
        self.udp: Address | None = None
        self._groups: dict[bytes, tuple[int, ...]] = {}
        self._begin(Phase.ARRIVED)

    def _begin(self, phase: Phase) -> None:
        self.phase = phase
        self.actions = self.TABLE[phase]

    def watch(self) -> None:
        """From now on, end a connection that is silent for too long."""
        self.connection.silence_limit(self._max_silence())

    def _max_silence(self) -> float:
        """Seconds; 0: any."""
        settings = self.service.settings
        return settings.quiet_timeout if self.player else settings.login_timeout

    def left(self) -> None:
        """The client is gone."""
        if self.player:
            self.service.exit(self)

    def tell(self, message: bytes) -> None:
        """Send something of its own, after what its room was told before."""
        if self.feed is not None:
            self.feed.catch_up(self.player)
        self.connection.outbox.send(message)

    def bind(self, address: Address, send: SendDatagram, *, seed: bool) -> None:
        """It has said hello from an address that can be its own."""
        self.udp, self.send_datagram, self.seed = address, send, seed

    def miss_datagram(self, head: bytes, payload: bytes) -> None:
        """A datagram cannot reach it."""

    # --- the log-in ---------------------------------------------------------------------------

    def log_in(self, wish: LogIn) -> None:
        """Ask whether it may; until that is decided nothing more is read."""
        if not self._fit(wish.name.encode(), wish.secret):
            return
        self._begin(Phase.ASKING)
        answer = Deferred.fromCoroutine(self.service.access.admits(wish.name, wish.secret))
        answer.addCallback(self._answered, wish)
        answer.addErrback(self.connection.failed)
        if self.phase is Phase.ASKING and not self.connection.ended:
            self.connection.pauseProducing()

    def _answered(self, admitted: bool, wish: LogIn) -> None:
        connection = self.connection
        if connection.ended:
            return
        if admitted:
            try:
                self._admit(wish)
                connection.logged_in()
                self.watch()
            except Refused:
                connection.cut(Reason.FULL)
        else:
            connection.cut(Reason.REFUSED, "password")
        if connection.paused:
            connection.resumeProducing()

    def _admit(self, wish: LogIn) -> None:
        """
        It is a player now.

        @raise Refused: the game is full.
        """
        if not self.player:
            self.player = self.service.enter(self, wish.name)
            self.head = self.dialect.head(self.player)
        self._begin(Phase.PLAYING)
        self.tell(self.dialect.logged_in(self.player))

    # --- payloads -----------------------------------------------------------------------------

    def to_room(self, message: ToRoom) -> None:
        """Send payloads to its room, if it is in one."""
        feed = self.feed
        if feed is not None:
            head, frames, echo = self.head, message.frames, message.echo
            feed.say(head + head.join(frames), 0 if echo else self.player)
            self.service.count(len(frames), len(feed.members) - (not echo))

    def to_group(self, message: ToGroup) -> None:
        """Send a payload to the members of one of its groups."""
        self.service.tell(self._members(message.group), self.head + message.frame)

    def to_self(self, message: ToSelf) -> None:
        """Send a payload back."""
        self.tell(self.head + message.frame)

    def room_datagram(self, message: ToRoom) -> None:
        """As L{to_room}, in datagrams."""
        feed = self.feed
        if feed is not None:
            spare = 0 if message.echo else self.player
            ids = [each for each in feed.members if each != spare]
            self.service.tell_by_datagram(ids, self.head, message.frames[0])

    def group_datagram(self, message: ToGroup) -> None:
        """As L{to_group}, in datagrams."""
        self.service.tell_by_datagram(self._members(message.group), self.head, message.frame)

    def self_datagram(self, message: ToSelf) -> None:
        """As L{to_self}, in a datagram."""
        self.service.tell_by_datagram([self.player], self.head, message.frame)

    def _members(self, group: bytes) -> list[int]:
        """The members of a group that are here now; one that stands in it twice, twice."""
        return self.service.reachable(self._groups.get(group, ()), self.group_scope)

    # --- rooms and groups ---------------------------------------------------------------------

    def join(self, wish: Join) -> None:
        """
        Leave its room and join another, or open it.

        It is one step: a player that may not join stays where it is.  The wire has no word for a
        refusal, so it is not told.
        """
        if not self._fit(wish.room.encode(), wish.password.encode("utf-8", "surrogateescape")):
            return
        service = self.service
        try:
            service.lobby.move(
                self.player,
                self._key(wish.room),
                RULES,
                capacity=service.settings.room_size,
                password=wish.password,
                visible=not wish.password,
            )
        except Refused:
            service.metrics.requests_refused[service.game] += 1

    def leave(self, wish: Leave) -> None:
        """Leave its room, if it is in one."""
        with suppress(Refused):  # it is in no room
            self.service.lobby.leave_room(self.player)

    def list_rooms(self, wish: ListRooms) -> None:
        """Tell it the rooms that it could join with this password."""
        rooms = self.service.lobby.rooms(self.service.game, self.scope, password=wish.password)
        self.tell(self.dialect.rooms((room.key.name, len(room.members)) for room in rooms))

    def define(self, wish: DefineGroup) -> None:
        """Its group of this name has these members from now on; without any it is forgotten."""
        groups, group, ids = self._groups, wish.group, wish.ids
        if not self._fit(group) or len(ids) > MAX_GROUP:
            return
        if not ids:
            groups.pop(group, None)
        elif group in groups or len(groups) < MAX_GROUPS:
            groups[group] = tuple(_few_copies(ids))

    def _fit(self, *names: bytes) -> bool:
        """Whether none of these names or passwords is too long."""
        return all(len(each) <= self.service.settings.max_name for each in names)

    def _key(self, room: str) -> RoomKey:
        return RoomKey(self.service.game, self.scope, room)


def _few_copies(ids: Iterable[int]) -> Iterator[int]:
    """The same in their order, but none of them more than L{MAX_COPIES} times."""
    seen: Counter[int] = Counter()
    for each in ids:
        seen[each] += 1
        if seen[each] <= MAX_COPIES:
            yield each


class TextSession(Session):
    """A client of January 2022."""

    dialect: ClassVar[Dialect] = text
    scope = group_scope = "text"
    max_datagram = text.MAX_DATAGRAM

    def join(self, wish: Join) -> None:
        """As all do; a player that is in the room already is not told so again."""
        room = self.service.lobby.room_of(self.player)
        if room is None or room.key.name != wish.room:
            super().join(wish)

    TABLE: ClassVar[Table] = {
        Phase.ARRIVED: {LogIn: Session.log_in},
        Phase.ASKING: {},
        Phase.UNDECIDED: {},  # there is but one generation
        Phase.PLAYING: {
            ToRoom: Session.to_room,
            ToGroup: Session.to_group,
            Join: join,
            Leave: Session.leave,
            ListRooms: Session.list_rooms,
            DefineGroup: Session.define,
        },
    }
    IGNORED: ClassVar[Ignored] = {
        Phase.ARRIVED: _WISHES,
        Phase.ASKING: _WISHES | {LogIn},
        Phase.UNDECIDED: _WISHES | {LogIn},
        Phase.PLAYING: frozenset({LogIn}),
    }
    DATAGRAMS: ClassVar[Actions] = {ToRoom: Session.room_datagram, ToGroup: Session.group_datagram}


class BinarySession(Session):
    """
    A client of 2022 to 2026.

    @ivar application: rooms of different applications have nothing to do with each other.
    @ivar generation: which answer it expects to its log-in.
    """

    dialect: ClassVar[Dialect] = binary

    def __init__(
        self, service: VelNetService, connection: Connection, generation: Generation
    ) -> None:
        super().__init__(service, connection)
        self.application = ""
        self.generation = generation
        self._silence: IDelayedCall | None = None
        self._find_scope()

    def _max_silence(self) -> float:
        if self.player and self.generation is Generation.SECOND:
            return self.service.settings.silence_timeout
        return super()._max_silence()

    def left(self) -> None:
        self._stop_waiting()
        super().left()

    def bind(self, address: Address, send: SendDatagram, *, seed: bool) -> None:
        super().bind(address, send, seed=seed)
        self._show(Sign.HELLO)

    def miss_datagram(self, head: bytes, payload: bytes) -> None:
        """What cannot reach it over UDP reaches it over the stream."""
        self.tell(head + binary.frame(payload))

    def _admit(self, wish: LogIn) -> None:
        self.application = wish.secret.decode()
        self._find_scope()
        if self.player:
            self._show(Sign.OTHER)
            self.service.lobby.rename(self.player, wish.name)
        super()._admit(wish)
        if self.generation is Generation.SECOND:
            self.connection.outbox.send(binary.VERSION)
        elif self.generation is Generation.OPEN:
            self._begin(Phase.UNDECIDED)
            clock = self.service.clock
            self._silence = clock.callLater(PATIENCE, self._show, Sign.SILENCE)

    def show_early(self, message: ToSelf) -> None:
        """It says a keep-alive before it has logged in, which is not answered."""
        self._show(Sign.KEEP_ALIVE)

    def show_itself(self, message: Message) -> None:
        """It says what tells its generation, and means it, too."""
        self._show(Sign.KEEP_ALIVE if isinstance(message, ToSelf) else Sign.OTHER)
        self.actions[type(message)](self, message)

    def _show(self, sign: Sign) -> None:
        """It does what may tell its generation."""
        if self.generation is not Generation.OPEN:
            return
        self.generation = READ[sign]
        self._find_scope()
        self._stop_waiting()
        if self.phase is Phase.UNDECIDED:
            self._begin(Phase.PLAYING)
        if self.player and self.generation is Generation.SECOND:
            self.connection.outbox.send(binary.VERSION)
        self.watch()

    def _stop_waiting(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None and silence.active():
            silence.cancel()

    def _find_scope(self) -> None:
        """Its name spaces follow from its application and generation."""
        generation = self.generation.value
        self.scope = f"{generation}:{self.application}"
        self.group_scope = generation if self.service.settings.wide_groups else self.scope
        self.max_datagram = binary.MAX_DATAGRAM[self.generation is Generation.SECOND]

    def define(self, wish: DefineGroup) -> None:
        """As all do, but it hears itself once, and last, however often it stands in its group."""
        ids = wish.ids
        if self.player in ids:
            ids = (*(each for each in ids if each != self.player), self.player)
        super().define(DefineGroup(wish.group, ids))

    def list_members(self, wish: ListMembers) -> None:
        """Tell it the members of a room, unless that is private or there is none."""
        room = self.service.lobby.room(self._key(wish.room))
        if room is not None and not room.protected:
            present = [(member.id, member.name) for member in room.members]
            self.tell(binary.members(wish.room, present))

    TABLE: ClassVar[Table] = {
        Phase.ARRIVED: {LogIn: Session.log_in, ToSelf: show_early},
        Phase.ASKING: {},
        Phase.UNDECIDED: {
            LogIn: Session.log_in,
            **dict.fromkeys([*_WISHES, ListMembers, ToSelf], show_itself),
        },
        Phase.PLAYING: {
            LogIn: Session.log_in,
            ToRoom: Session.to_room,
            ToGroup: Session.to_group,
            ToSelf: Session.to_self,
            Join: Session.join,
            Leave: Session.leave,
            ListRooms: Session.list_rooms,
            ListMembers: list_members,
            DefineGroup: define,
        },
    }
    IGNORED: ClassVar[Ignored] = {
        Phase.ARRIVED: _WISHES | {ListMembers},
        Phase.ASKING: _WISHES | {LogIn, ListMembers, ToSelf},
        Phase.UNDECIDED: frozenset(),
        Phase.PLAYING: frozenset(),
    }
    DATAGRAMS: ClassVar[Actions] = {
        ToRoom: Session.room_datagram,
        ToGroup: Session.group_datagram,
        ToSelf: Session.self_datagram,
    }
