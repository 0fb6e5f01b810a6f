"""
One player's session: what he may do and what comes of it, whichever form he speaks.

A session is handed decoded messages and puts encoded ones into its outbox; it knows neither
bytes' origin nor transport.  What text and binary clients do not have in common is in the two
subclasses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from twisted.internet.interfaces import IDelayedCall

from gameservers.games.velnet import binary, text
from gameservers.games.velnet.dialect import Dialect
from gameservers.games.velnet.feed import Feed
from gameservers.games.velnet.generation import PATIENCE, READ, Generation, Sign
from gameservers.games.velnet.messages import (
    DefineGroup,
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
from gameservers.net.outbox import Outbox

if TYPE_CHECKING:
    from gameservers.games.velnet.relay import Relay

#: Where datagrams reach a player: host and port.
Address = tuple[str, int]

#: Sends a datagram there, from the port that it is spoken to through.
SendDatagram = Callable[[bytes, Address], None]

#: Groups of one player, and ids in one group; a definition beyond that is ignored.
MAX_GROUPS = 64
MAX_GROUP = 1_000

#: How often one message reaches somebody who stands in a group again and again: often enough for
#: any use, and too seldom to drown him.
MAX_COPIES = 16


class Session:
    """
    One player.

    @cvar dialect: the form in which he is spoken to.
    @ivar player: his id in the lobby; 0 until he has logged in.
    @ivar scope: the name space of his rooms.
    @ivar circle: what a player must have in common with him to be reached by his groups.
    @ivar max_datagram: bytes in the longest datagram he has room for.
    @ivar feed: that of the room he is in.
    @ivar udp: where datagrams reach him, once he has said hello.
    @ivar send_datagram: how they leave.
    @ivar seed: whether he said hello in the seed form of text.
    """

    dialect: ClassVar[Dialect]
    scope: str
    circle: str
    max_datagram: int
    send_datagram: SendDatagram

    def __init__(self, relay: Relay, outbox: Outbox, address: str) -> None:
        self.relay = relay
        self.outbox = outbox
        self.address = address
        self.player = 0
        self.feed: Feed | None = None
        self.head = b""
        self.groups: dict[bytes, tuple[int, ...]] = {}
        self.udp: Address | None = None
        self.seed = False

    @property
    def silence(self) -> float:
        """Seconds without a word from him after which he is closed; 0: any."""
        settings = self.relay.settings
        return settings.quiet_timeout if self.player else settings.login_timeout

    def may_log_in(self) -> bool:
        """Whether a log-in means anything now."""
        return not self.player

    def log_in(self, wish: LogIn) -> None:
        """He is who he says; C{Refused} if there is no place for him."""
        self.player = self.relay.enter(self, wish.name)
        self.head = self.dialect.head(self.player)

    def overhear(self, message: Message) -> None:
        """He says something before he has logged in, which nobody obeys."""

    def say_hello(self) -> None:
        """He said hello from an address that can be his."""

    def forget(self) -> None:
        """He is gone."""

    def tell(self, message: bytes) -> None:
        """Send him something of his own, after what his room was told before."""
        if self.feed is not None:
            self.feed.catch_up(self.player)
        self.outbox.send(message)

    def obey(self, message: Message) -> None:
        """He has logged in, and wishes something."""
        match message:
            case ToRoom(echo, frames):
                feed = self.feed
                if feed is not None:
                    head = self.head
                    feed.say(head + head.join(frames), 0 if echo else self.player)
                    hearers = len(feed.members) - (not echo)
                    self.relay.count_payloads(len(frames), hearers)
            case ToGroup(group, frame):
                receivers = self._receivers(group)
                relayed = self.head + frame
                for each in receivers:
                    each.tell(relayed)
                self.relay.count_payloads(1, len(receivers))
            case ToSelf(frame):
                self.tell(self.head + frame)
            case Join():
                self.relay.join(self, message)
            case Leave():
                self.relay.leave(self)
            case DefineGroup(group, ids):
                self._define(group, ids)
            case ListRooms(password):
                self.tell(self.dialect.rooms(self.relay.rooms(self.scope, password)))
            case ListMembers(room):
                self._list_members(room)

    def obey_datagram(self, message: ToRoom | ToGroup | ToSelf) -> None:
        """What he says over UDP is heard over UDP, where a hearer can."""
        match message:
            case ToRoom(echo, [payload]) if self.feed is not None:
                sessions = self.relay.sessions
                hearers = [
                    sessions[each] for each in self.feed.members if echo or each != self.player
                ]
            case ToGroup(group, payload):
                hearers = self._receivers(group)
            case ToSelf(payload):
                hearers = [self]
            case _:
                return
        datagram = self.head + payload
        size = len(datagram)
        self.relay.count_payloads(1, len(hearers))
        for each in hearers:
            if each.udp is not None and size <= each.max_datagram:
                each.send_datagram(datagram, each.udp)
            else:
                each.miss_datagram(self.head, payload)

    def miss_datagram(self, head: bytes, payload: bytes) -> None:
        """A datagram cannot reach him."""

    def _define(self, group: bytes, ids: tuple[int, ...]) -> None:
        settings = self.relay.settings
        if len(group) > settings.max_name or len(ids) > MAX_GROUP:
            return
        if not ids:
            self.groups.pop(group, None)
        elif group in self.groups or len(self.groups) < MAX_GROUPS:
            self.groups[group] = tuple(_few_copies(ids))

    def _receivers(self, group: bytes) -> list[Session]:
        """The members of a group who are here now; one who stands in it twice, twice."""
        sessions = self.relay.sessions
        found = (sessions.get(each) for each in self.groups.get(group, ()))
        return [each for each in found if each is not None and each.circle == self.circle]

    def _list_members(self, room: str) -> None:
        """Only the binary form has a word for this."""


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

    scope = circle = "text"
    max_datagram = text.MAX_DATAGRAM

    def log_in(self, wish: LogIn) -> None:
        super().log_in(wish)
        self.outbox.send(text.logged_in(self.player))

    def obey(self, message: Message) -> None:
        if isinstance(message, Join) and self.relay.room_of(self) == message.room:
            return  # who is in the room already is not told so again
        super().obey(message)


class BinarySession(Session):
    """
    A client of 2022 to 2026.

    @ivar application: rooms of different applications have nothing to do with each other.
    @ivar generation: which answer he expects to his log-in.
    """

    dialect: ClassVar[Dialect] = binary

    def __init__(
        self,
        relay: Relay,
        outbox: Outbox,
        address: str,
        generation: Generation,
        settled: Callable[[], None],
    ) -> None:
        """@param settled: called when the generation is known that was not."""
        super().__init__(relay, outbox, address)
        self.application = ""
        self.generation = generation
        self._settled = settled
        self._patience: IDelayedCall | None = None
        self._find_place()

    @property
    def silence(self) -> float:
        if self.player and self.generation is Generation.SECOND:
            return self.relay.settings.silence_timeout
        return super().silence

    def may_log_in(self) -> bool:
        return True

    def log_in(self, wish: LogIn) -> None:
        self.application = wish.secret.decode()
        self._find_place()
        if self.player:
            self.show(Sign.OTHER)
            self.relay.rename(self, wish.name)
        else:
            super().log_in(wish)
        self.tell(binary.logged_in(self.player))
        if self.generation is Generation.SECOND:
            self.outbox.send(binary.VERSION)
        elif self.generation is Generation.OPEN:
            self._patience = self.relay.clock.callLater(PATIENCE, self.show, Sign.SILENCE)

    def overhear(self, message: Message) -> None:
        if isinstance(message, ToSelf):
            self.show(Sign.KEEP_ALIVE)

    def say_hello(self) -> None:
        self.show(Sign.HELLO)

    def show(self, sign: Sign) -> None:
        """He does what may tell his generation."""
        if self.generation is not Generation.OPEN:
            return
        self.generation = READ[sign]
        self._find_place()
        self.forget()
        if self.player and self.generation is Generation.SECOND:
            self.outbox.send(binary.VERSION)
        self._settled()

    def forget(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()

    def obey(self, message: Message) -> None:
        if self.generation is Generation.OPEN:
            self.show(Sign.KEEP_ALIVE if isinstance(message, ToSelf) else Sign.OTHER)
        super().obey(message)

    def miss_datagram(self, head: bytes, payload: bytes) -> None:
        """What cannot reach him over UDP reaches him over the stream."""
        self.tell(head + binary.frame(payload))

    def _find_place(self) -> None:
        """Follow from his application and generation whom he can have to do with."""
        generation = self.generation.value
        self.scope = f"{generation}:{self.application}"
        self.circle = generation if self.relay.settings.wide_groups else self.scope
        self.max_datagram = binary.MAX_DATAGRAM[self.generation is Generation.SECOND]

    def _define(self, group: bytes, ids: tuple[int, ...]) -> None:
        """He hears himself once, and last, however often he stands in his group."""
        if self.player in ids:
            ids = (*(each for each in ids if each != self.player), self.player)
        super()._define(group, ids)

    def _list_members(self, room: str) -> None:
        present = self.relay.members(self.scope, room)
        if present:
            self.tell(binary.members(room, present))
