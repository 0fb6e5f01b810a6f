"""
One player's session, in either wire format.

A session receives decoded messages and sends encoded ones through its connection's outbox.  Of
other players it knows only the ids: what is sent to them goes through the lobby or
L{VelNetService}.  The two subclasses have what differs between text and binary clients.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from gameservers.games import NO_PLACE
from gameservers.games.velnet.generation import (
    HASTE,
    MAX_HELD,
    PATIENCE,
    READ,
    Generation,
    Sign,
)
from gameservers.games.velnet.wires import binary, text
from gameservers.games.velnet.wires.messages import (
    Broadcast,
    Codec,
    DefineGroup,
    Join,
    Leave,
    ListMembers,
    ListRooms,
    LogIn,
    Message,
    ToGroup,
    ToSelf,
)
from gameservers.lobby import Refused, RoomKey, RoomRules, Succession
from gameservers.names import visible
from gameservers.net.address import Address
from gameservers.net.connection import Connection, Reason

if TYPE_CHECKING:
    from gameservers.games.velnet.feed import Feed
    from gameservers.games.velnet.service import SendDatagram, VelNetService

#: The rules of rooms; the host is VelNet's master client.
RULES = RoomRules(succession=Succession.OLDEST)

#: Maximum number of groups of one player, and of ids in one group; a larger definition is ignored.
MAX_GROUPS = 64
MAX_GROUP = 1_000

#: How many copies of a message a player gets that is in a group several times: enough for any use,
#: and too few for a flood.
MAX_COPIES = 16


class Phase(enum.Enum):
    ARRIVED = "it has not logged in"
    ASKING = "its log-in is being checked; its input is ignored"
    UNDECIDED = "it has logged in, and its generation is not known"
    PLAYING = "it has logged in"


#: The function for each type of message.
Actions = dict[type[Message], Callable[[Any, Any], None]]

#: The functions in each phase, and the messages that are ignored.
Table = dict[Phase, Actions]
Ignored = dict[Phase, frozenset[type[Message]]]

_REQUESTS = frozenset({ListRooms, Join, Leave, Broadcast, ToGroup, DefineGroup})


class Session:
    """
    One player.

    @cvar codec: its wire format.
    @cvar TABLE: the function for each message, in each phase.
    @cvar IGNORED: the messages that are ignored, in each phase.
    @cvar DATAGRAMS: the function for each datagram.
    @ivar actions: the entry of C{TABLE} for the present phase.
    @ivar player: its id in the lobby; 0 until it has logged in.
    @ivar head: the header of its payloads.
    @ivar scope: the name space of its rooms.
    @ivar group_scope: the name space of players in which its groups can have members.
    @ivar max_datagram: bytes of the longest datagram that it accepts.
    @ivar feed: the feed of its room.
    @ivar udp: the address for datagrams, once it has sent a hello.
    @ivar send_datagram: sends them.
    @ivar warned: whether it was logged that another address was refused.
    @ivar heard: when the last datagram came from that address, in seconds.
    @ivar seed: whether its hello was in the seed spelling of text.
    """

    codec: ClassVar[Codec]
    TABLE: ClassVar[Table]
    IGNORED: ClassVar[Ignored]
    DATAGRAMS: ClassVar[Actions]
    actions: Actions
    scope: str
    group_scope: str
    max_datagram: int
    send_datagram: SendDatagram
    seed = False
    warned = False

    def __init__(self, service: VelNetService, connection: Connection) -> None:
        self.service = service
        self.connection = connection
        self.player = 0
        self.head = b""
        self.feed: Feed | None = None
        self.udp: Address | None = None
        self.heard = 0.0
        self._groups: dict[bytes, tuple[int, ...]] = {}
        self._begin(Phase.ARRIVED)

    def _begin(self, phase: Phase) -> None:
        self.phase = phase
        self.actions = self.TABLE[phase]

    def watch(self) -> None:
        """Start to limit how long the client may be silent."""
        self.connection.silence_limit(self._max_silence())

    def _max_silence(self) -> float:
        """How long the client may be silent, in seconds; 0: no limit."""
        settings = self.service.settings
        return settings.quiet_timeout if self.player else settings.login_timeout

    def left(self) -> None:
        """Remove the player, as its connection has ended."""
        if self.player:
            self.service.exit(self)

    def tell(self, message: bytes) -> None:
        """Send something to this client, after the earlier messages of its room."""
        if self.feed is not None:
            self.feed.catch_up(self.player)
        self.connection.outbox.send(message)

    def bind(self, address: Address, send: SendDatagram, *, seed: bool) -> None:
        """Note the address of the client's hello."""
        self.udp, self.send_datagram, self.seed = address, send, seed

    def miss_datagram(self, head: bytes, payload: bytes) -> None:
        """Handle a payload that cannot be sent to it in a datagram."""

    # --- the log-in ---------------------------------------------------------------------------

    def log_in(self, message: LogIn) -> None:
        """Check the password; until then nothing more is read."""
        if not self._fit(message.name.encode(), message.secret):
            return
        self._begin(Phase.ASKING)
        answer = Deferred.fromCoroutine(self.service.access.admits(message.name, message.secret))
        answer.addCallback(self._answered, message)
        answer.addErrback(self.connection.failed)
        if self.phase is Phase.ASKING and not self.connection.ended:
            self.connection.pauseProducing()

    def _answered(self, admitted: bool, message: LogIn) -> None:
        connection = self.connection
        if connection.ended:
            return
        if admitted:
            try:
                self._admit(message)
                connection.logged_in(visible(message.name))
                self.watch()
            except Refused as refused:
                connection.cut(NO_PLACE[refused.why], str(refused))
        else:
            connection.cut(Reason.REFUSED, "password")
        if connection.paused:
            connection.resumeProducing()

    def _admit(self, message: LogIn) -> None:
        """
        Enter the lobby.

        @raise Refused: the game is full.
        """
        if not self.player:
            self.player = self.service.enter(self, message.name)
            self.head = self.codec.head(self.player)
        self._begin(Phase.PLAYING)
        self.tell(self.codec.logged_in(self.player))

    # --- payloads -----------------------------------------------------------------------------

    def to_room(self, message: Broadcast) -> None:
        """Send payloads to the room, if it is in one."""
        feed = self.feed
        if feed is not None:
            head, frames, echo = self.head, message.frames, message.echo
            said = head + head.join(frames)
            feed.say(said, 0 if echo else self.player)
            self.connection.spread(len(said), feed.members.values())
            self.service.count(len(frames), len(feed.members) - (not echo))

    def to_group(self, message: ToGroup) -> None:
        """Send a payload to the members of a group."""
        members, said = self._members(message.group), self.head + message.frame
        self.service.tell(members, said)
        sessions = self.service.sessions
        self.connection.spread(len(said), [sessions[each].connection.outbox for each in members])

    def to_self(self, message: ToSelf) -> None:
        """Send a payload back to the client."""
        self.tell(self.head + message.frame)

    def room_datagram(self, message: Broadcast) -> None:
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
        """The members of a group that are connected; one that is in it twice, twice."""
        return self.service.reachable(self._groups.get(group, ()), self.group_scope)

    # --- rooms and groups ---------------------------------------------------------------------

    def join(self, message: Join) -> None:
        """
        Leave the room and join or open another.

        It is one step: a player that may not join stays where it is.  There is no message for a
        refusal, so it is not told.
        """
        service, password = self.service, message.password
        if not self._fit(message.room.encode(), password.encode("utf-8", "surrogateescape")):
            return
        try:
            service.lobby.move(
                self.player,
                self._key(message.room),
                RULES,
                capacity=service.settings.room_size,
                password=password,
                visible=not password,
            )
        except Refused:
            service.metrics.requests_refused[service.game] += 1

    def leave(self, message: Leave) -> None:
        """Leave the room, if it is in one."""
        with suppress(Refused):  # it is in no room
            self.service.lobby.leave_room(self.player)

    def list_rooms(self, message: ListRooms) -> None:
        """List the rooms that it can join with this password."""
        rooms = self.service.lobby.rooms(self.service.game, self.scope, password=message.password)
        self.tell(self.codec.rooms((room.key.name, len(room.members)) for room in rooms))

    def define(self, message: DefineGroup) -> None:
        """Set the members of a group; an empty group is removed."""
        groups, group, ids = self._groups, message.group, message.ids
        if not self._fit(group) or len(ids) > MAX_GROUP:
            return
        if not ids:
            groups.pop(group, None)
        elif group in groups or len(groups) < MAX_GROUPS:
            groups[group] = tuple(_few_copies(ids))

    def _fit(self, *names: bytes) -> bool:
        """Whether these names or passwords are all short enough."""
        return all(len(each) <= self.service.settings.max_name for each in names)

    def _key(self, room: str) -> RoomKey:
        return RoomKey(self.service.game, self.scope, room)


def _few_copies(ids: Iterable[int]) -> Iterator[int]:
    """Limit repeated ids to L{MAX_COPIES} occurrences, keeping the order."""
    seen: Counter[int] = Counter()
    for each in ids:
        seen[each] += 1
        if seen[each] <= MAX_COPIES:
            yield each


class TextSession(Session):
    """A client of January 2022."""

    codec: ClassVar[Codec] = text
    scope = group_scope = "text"
    max_datagram = text.MAX_DATAGRAM

    def join(self, message: Join) -> None:
        """Join, unless the player is in the room already, which is ignored."""
        room = self.service.lobby.room_of(self.player)
        if room is None or room.key.name != message.room:
            super().join(message)

    TABLE: ClassVar[Table] = {
        Phase.ARRIVED: {LogIn: Session.log_in},
        Phase.ASKING: {},
        Phase.UNDECIDED: {},  # there is only one generation
        Phase.PLAYING: {
            Broadcast: Session.to_room,
            ToGroup: Session.to_group,
            Join: join,
            Leave: Session.leave,
            ListRooms: Session.list_rooms,
            DefineGroup: Session.define,
        },
    }
    IGNORED: ClassVar[Ignored] = {
        Phase.ARRIVED: _REQUESTS,
        Phase.ASKING: _REQUESTS | {LogIn},
        Phase.UNDECIDED: _REQUESTS | {LogIn},
        Phase.PLAYING: frozenset({LogIn}),
    }
    DATAGRAMS: ClassVar = {Broadcast: Session.room_datagram, ToGroup: Session.group_datagram}


class BinarySession(Session):
    """
    A client of 2022 to 2026.

    @ivar application: its application; each has rooms of its own.
    @ivar generation: which answer it expects to its log-in.
    """

    codec: ClassVar[Codec] = binary

    def __init__(
        self, service: VelNetService, connection: Connection, generation: Generation
    ) -> None:
        super().__init__(service, connection)
        self.application = ""
        self.generation = generation
        self._silence: IDelayedCall | None = None
        self._admitted = 0.0  # when it logged in
        self._held: list[Message] = []
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
        """Send the payload over the stream instead."""
        self.tell(head + binary.frame(payload))

    def _admit(self, message: LogIn) -> None:
        self.application = message.secret.decode()
        self._find_scope()
        if self.player:
            self._show(Sign.OTHER)
            self.service.lobby.rename(self.player, visible(message.name))
        super()._admit(message)
        if self.generation is Generation.SECOND:
            self.connection.outbox.send(binary.VERSION)
        elif self.generation is Generation.OPEN:
            self._begin(Phase.UNDECIDED)
            clock = self.service.clock
            self._admitted = clock.seconds()
            self._silence = clock.callLater(PATIENCE, self._lose_patience)

    def show_early(self, message: ToSelf) -> None:
        """Note a keep-alive before the log-in, which is not answered."""
        self._show(Sign.KEEP_ALIVE)

    def show_itself(self, message: Message) -> None:
        """Note a message that reveals the generation, and handle it."""
        self._show(Sign.KEEP_ALIVE if isinstance(message, ToSelf) else Sign.OTHER)
        if not self.connection.ended:
            self.actions[type(message)](self, message)

    def hold_back(self, message: Message) -> None:
        """Keep a message that comes too soon to reveal the generation; others do reveal it."""
        early = self.service.clock.seconds() - self._admitted < HASTE
        if (early or self._held) and len(self._held) < MAX_HELD:
            self._held.append(message)
        else:
            self.show_itself(message)

    def _show(self, sign: Sign) -> None:
        """Note behaviour that may reveal the generation."""
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
        held, self._held = self._held, []
        for message in held:
            if not self.connection.ended:
                self.actions[type(message)](self, message)

    def _lose_patience(self) -> None:
        self._show(Sign.OTHER if self._held else Sign.SILENCE)

    def _stop_waiting(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None and silence.active():
            silence.cancel()

    def _find_scope(self) -> None:
        """Set the name spaces, which depend on application and generation."""
        generation = self.generation.value
        self.scope = f"{generation}:{self.application}"
        self.group_scope = generation if self.service.settings.wide_groups else self.scope
        self.max_datagram = binary.MAX_DATAGRAM[self.generation is Generation.SECOND]

    def define(self, message: DefineGroup) -> None:
        """Set the members, with the player itself once and last if it is among them."""
        ids = message.ids
        if self.player in ids:
            ids = (*(each for each in ids if each != self.player), self.player)
        super().define(DefineGroup(message.group, ids))

    def list_members(self, message: ListMembers) -> None:
        """List the members of a room, unless it is private or does not exist."""
        room = self.service.lobby.room(self._key(message.room))
        if room is not None and not room.protected:
            present = [(member.id, member.name) for member in room.members]
            self.tell(binary.members(message.room, present))

    TABLE: ClassVar[Table] = {
        Phase.ARRIVED: {LogIn: Session.log_in, ToSelf: show_early},
        Phase.ASKING: {},
        Phase.UNDECIDED: {
            **dict.fromkeys([LogIn, Broadcast, ToGroup, DefineGroup, ToSelf], show_itself),
            **dict.fromkeys([ListRooms, Join, Leave, ListMembers], hold_back),
        },
        Phase.PLAYING: {
            LogIn: Session.log_in,
            Broadcast: Session.to_room,
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
        Phase.ARRIVED: _REQUESTS | {ListMembers},
        Phase.ASKING: _REQUESTS | {LogIn, ListMembers, ToSelf},
        Phase.UNDECIDED: frozenset(),
        Phase.PLAYING: frozenset(),
    }
    DATAGRAMS: ClassVar[Actions] = {
        Broadcast: Session.room_datagram,
        ToGroup: Session.group_datagram,
        ToSelf: Session.self_datagram,
    }
