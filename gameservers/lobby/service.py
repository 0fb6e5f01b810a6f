"""
The lobby as one service object that the factories of all wire formats share.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gameservers.lobby.chat import Channels, ToChannel, ToPlayer, ToRoom
from gameservers.lobby.events import (
    Change,
    ChatSaid,
    Departure,
    Envelope,
    Member,
    PlayerEntered,
    PlayerExited,
    RoomChanged,
    RoomClosed,
    RoomKey,
    RoomStarted,
    Spoken,
)
from gameservers.lobby.queue import Queue
from gameservers.lobby.rooms import Refused, Room, RoomRules, Why

#: How a wire format is told: the ids of its players who are concerned, and the event.  It is
#: called once per event, however many players are concerned, so that a wire can encode once.
Deliver = Callable[[Sequence[int], object], None]

#: Distinct names and addresses that are remembered, for counting alone; more are not counted.
MAX_DISTINCT = 100_000

#: Groups of players whose wire is kept in mind.
REMEMBERED = 1_000


@dataclass(eq=False, slots=True)
class Player:
    """
    Somebody who is here: one session of one wire format.

    @ivar id: positive, rising, never used twice while the process lives.
    @ivar address: the peer's host, as text, without its port.
    @ivar since: when he came, in seconds of the lobby's clock.
    @ivar room: the exclusive room he is in.
    @ivar tables: the other rooms he is in.
    @ivar channels: names of the chat channels he listens to.
    """

    id: int
    name: str
    game: str
    address: str
    since: float
    unique: bool = True
    room: Room | None = None
    tables: dict[RoomKey, Room] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)

    def sits_in(self, room: Room) -> None:
        if room.rules.exclusive:
            self.room = room
        else:
            self.tables[room.key] = room

    def left(self, room: Room) -> None:
        if room.rules.exclusive:
            self.room = None
        else:
            self.tables.pop(room.key, None)


class Lobby(Service):
    """
    Who is here, which rooms there are, and who may do what.

    A method that is a player's wish either does it and tells everybody concerned, or raises
    L{Refused} and changes nothing.  Whoever is told is told through his wire's C{deliver}.
    An unknown player id is a bug of the caller (L{KeyError}).

    @ivar counters: what has happened so far; keys are C{"<game>.<what>"}.
    """

    name = "lobby"
    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next_id = 1
        self._players: dict[int, Player] = {}
        self._names: dict[tuple[str, str], Player] = {}
        self._wires: dict[int, Deliver] = {}
        self._one_wire: dict[tuple[int, ...], Deliver] = {}
        self._rooms: dict[RoomKey, Room] = {}
        self._channels = Channels()
        self._queues: dict[str, Queue] = {}
        self._capacities: dict[str, int] = {}
        self._present: Counter[str] = Counter()
        self._subscribers: list[Callable[[object], None]] = []
        self._distinct: dict[str, set[str]] = {}
        self._outgoing: deque[Envelope | object] = deque()
        self._telling = False
        self.counters: Counter[str] = Counter()

    # --- who is here --------------------------------------------------------------------------

    def limit(self, game: str, capacity: int) -> None:
        """Let at most C{capacity} players of this game in at once."""
        self._capacities[game] = capacity

    def enter(
        self, name: str, game: str, deliver: Deliver, *, address: str = "", unique: bool = True
    ) -> Player:
        """
        A player comes in.  Names are compared exactly; a C{unique} one is its game's only one.

        @raise Refused: C{NAME_TAKEN} or C{LOBBY_FULL}.
        """
        if unique and (game, name) in self._names:
            raise Refused(Why.NAME_TAKEN)
        if self._present[game] >= self._capacities.get(game, self._present[game] + 1):
            raise Refused(Why.LOBBY_FULL)
        player = Player(self._next_id, name, game, address, self._clock.seconds(), unique)
        self._next_id += 1
        self._players[player.id] = player
        self._wires[player.id] = deliver
        if unique:
            self._names[game, name] = player
        self._present[game] += 1
        self.counters[f"{game}.players"] += 1
        self.count_distinct(f"{game}.names", name)
        self._publish(PlayerEntered(player.id, name, game))
        return player

    def exit(self, player_id: int) -> None:
        """A player is gone; his rooms hear that his connection is lost."""
        # Gone before anybody is told, who may at once wish for something that concerns him.
        player = self._players.pop(player_id)
        del self._wires[player_id]
        self._one_wire.clear()
        if player.unique:
            del self._names[player.game, player.name]
        self._present[player.game] -= 1
        self._channels.forget(player.game, player.channels, player_id)
        for queue in self._queues.values():
            queue.discard(player_id)
        # All of this is told before anything that comes of it.
        telling, self._telling = self._telling, True
        for room in [*player.tables.values(), player.room]:
            if room is not None:
                self._depart(player, room, Departure.LOST)
        self._telling = telling
        self._tell((), PlayerExited(player_id, player.name, player.game))

    def rename(self, player_id: int, name: str) -> None:
        """
        A player takes another name; nobody is told.

        @raise Refused: C{NAME_TAKEN}.
        """
        player = self._players[player_id]
        if player.unique:
            if self._names.get((player.game, name), player) is not player:
                raise Refused(Why.NAME_TAKEN)
            del self._names[player.game, player.name]
            self._names[player.game, name] = player
        player.name = name
        if player.room is not None:
            player.room.rename(player_id, name)

    def player(self, player_id: int) -> Player:
        return self._players[player_id]

    def find(self, game: str, name: str) -> Player | None:
        """The player of this name, where the game's names are unique."""
        return self._names.get((game, name))

    def players(self, game: str | None = None) -> Iterator[Player]:
        """Everybody (of one game), in order of coming."""
        return (each for each in self._players.values() if game in (None, each.game))

    def present(self, game: str) -> int:
        """How many players of a game are here."""
        return self._present[game]

    # --- rooms --------------------------------------------------------------------------------

    def rooms(self, game: str | None = None, scope: str | None = None) -> Iterator[Room]:
        """The rooms (of a game, of a scope) in order of opening, hidden ones included."""
        return (
            room
            for room in self._rooms.values()
            if game in (None, room.key.game) and scope in (None, room.key.scope)
        )

    def room(self, key: RoomKey) -> Room | None:
        return self._rooms.get(key)

    def open_room(
        self,
        player_id: int,
        key: RoomKey,
        rules: RoomRules,
        *,
        capacity: int,
        password: str = "",
        visible: bool = True,
    ) -> Room:
        """
        A player opens a room and is its first member and host.

        @raise Refused: C{IN_A_ROOM} or C{ROOM_EXISTS}.
        """
        player = self._players[player_id]
        if rules.exclusive and player.room is not None:
            raise Refused(Why.IN_A_ROOM)
        room = self._new_room(key, rules, capacity, password, visible)
        player.sits_in(room)
        self._tell(room.open(player_id, player.name), RoomChanged(key, Change.OPENED, player_id))
        return room

    def provide_room(
        self, key: RoomKey, rules: RoomRules, *, capacity: int, visible: bool = True
    ) -> Room:
        """
        The house itself opens a permanent room that belongs to no player.

        @raise Refused: C{ROOM_EXISTS}.
        """
        room = self._new_room(key, rules, capacity, "", visible)
        self._publish(RoomChanged(key, Change.OPENED))
        return room

    def join(self, player_id: int, key: RoomKey, password: str = "") -> Room:
        """@raise Refused: C{IN_A_ROOM}, C{NO_SUCH_ROOM} or what the room has against it."""
        player = self._players[player_id]
        room = self._rooms.get(key)
        # Whoever is in a room is told that first, whatever room he wants.
        if key in player.tables or (
            player.room is not None and (room is None or room.rules.exclusive)
        ):
            raise Refused(Why.IN_A_ROOM)
        if room is None:
            raise Refused(Why.NO_SUCH_ROOM)
        envelopes = room.join(player_id, player.name, password)
        player.sits_in(room)
        self._tell(envelopes, RoomChanged(key, Change.JOINED, player_id))
        return room

    def leave_room(self, player_id: int) -> None:
        """
        A player leaves the exclusive room he is in.

        @raise Refused: C{NOT_IN_A_ROOM}.
        """
        room = self._room_of(player_id)
        self._depart(self._players[player_id], room, Departure.LEFT)

    def close_room(self, key: RoomKey) -> None:
        """
        The house ends a room.

        @raise Refused: C{NO_SUCH_ROOM}.
        """
        room = self._rooms.get(key)
        if room is None:
            raise Refused(Why.NO_SUCH_ROOM)
        self._settle(room, room.close())

    def kick(self, player_id: int, target: int) -> None:
        """@raise Refused: C{NOT_IN_A_ROOM}, C{NOT_HOST} or C{NO_SUCH_PLAYER}."""
        room = self._room_of(player_id)
        envelopes = room.kick(player_id, target)
        self._players[target].left(room)
        self._settle(room, envelopes, RoomChanged(room.key, Change.LEFT, target))

    def set_ready(self, player_id: int, ready: bool) -> None:
        """@raise Refused: C{NOT_IN_A_ROOM}."""
        room = self._room_of(player_id)
        self._settle(room, room.set_ready(player_id, ready))

    def start(self, player_id: int) -> None:
        """@raise Refused: C{NOT_IN_A_ROOM}, C{NOT_HOST} or C{ROOM_STARTED}."""
        room = self._room_of(player_id)
        self._settle(room, room.start(player_id))

    def set_password(self, player_id: int, password: str) -> None:
        """@raise Refused: C{NOT_IN_A_ROOM} or C{NOT_HOST}."""
        room = self._room_of(player_id)
        self._tell(room.set_password(player_id, password))

    def set_property(self, player_id: int, name: str, value: object) -> None:
        """@raise Refused: C{NOT_IN_A_ROOM} or C{NOT_HOST}."""
        room = self._room_of(player_id)
        self._tell(room.set_property(player_id, name, value))

    # --- matchmaking --------------------------------------------------------------------------

    def queue(self, game: str) -> Queue:
        """Who waits for any opponent in this game; whoever exits waits no longer."""
        return self._queues.setdefault(game, Queue())

    # --- chat ---------------------------------------------------------------------------------

    def listen(self, player_id: int, channel: str) -> None:
        """A player hears from now on what is said in a channel of his game."""
        player = self._players[player_id]
        player.channels.add(channel)
        self._channels.listen(player.game, channel, player_id)

    def unlisten(self, player_id: int, channel: str) -> None:
        player = self._players[player_id]
        player.channels.discard(channel)
        self._channels.unlisten(player.game, channel, player_id)

    def say(self, player_id: int, text: str, to: ToChannel | ToRoom | ToPlayer) -> None:
        """
        A player speaks.

        @raise Refused: C{NOT_IN_A_ROOM}; or C{NO_SUCH_PLAYER}, and then nobody has heard it.
        """
        player = self._players[player_id]
        within = to.within if isinstance(to, ToPlayer) else to
        audience = self._audience(player_id, within)
        if isinstance(to, ToPlayer):
            target = self._names.get((player.game, to.name))
            if target is None or target.id not in audience:
                raise Refused(Why.NO_SUCH_PLAYER)
            audience = (player_id,) if target is player else (target.id, player_id)
        channel = to.channel if isinstance(to, ToChannel) else None
        said = ChatSaid(player_id, player.name, text, channel)
        self.counters[f"{player.game}.lines"] += 1
        self._tell([Envelope(audience, said)], Spoken(player_id, player.game, len(audience)))

    def _audience(self, player_id: int, to: ToChannel | ToRoom) -> tuple[int, ...]:
        if isinstance(to, ToRoom):
            return tuple(self._room_of(player_id).members)
        return self._channels.listeners(self._players[player_id].game, to.channel)

    # --- counting and telling -----------------------------------------------------------------

    def count_distinct(self, what: str, value: str) -> None:
        """Remember that C{value} was seen, for L{distinct}; bounded by L{MAX_DISTINCT}."""
        seen = self._distinct.setdefault(what, set())
        if len(seen) < MAX_DISTINCT:
            seen.add(value)

    def distinct(self, what: str) -> int:
        """How many different values were counted under this name."""
        return len(self._distinct.get(what, ()))

    def subscribe(self, subscriber: Callable[[object], None]) -> Callable[[], None]:
        """
        Hear the public stream (see L{gameservers.lobby.events}).

        @return: what to call to hear no more.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def _new_room(
        self, key: RoomKey, rules: RoomRules, capacity: int, password: str, visible: bool
    ) -> Room:
        if key in self._rooms:
            raise Refused(Why.ROOM_EXISTS)
        room = self._rooms[key] = Room(key, rules, capacity, password, visible=visible)
        self.counters[f"{key.game}.rooms"] += 1
        return room

    def _room_of(self, player_id: int) -> Room:
        room = self._players[player_id].room
        if room is None:
            raise Refused(Why.NOT_IN_A_ROOM)
        return room

    def _depart(self, player: Player, room: Room, why: Departure) -> None:
        envelopes = room.leave(player.id, why)
        player.left(room)
        self._settle(room, envelopes, RoomChanged(room.key, Change.LEFT, player.id))

    def _settle(self, room: Room, envelopes: list[Envelope], *public: object) -> None:
        """Tell what came of a wish over which the room may have started or ended."""
        told = list(public)
        for envelope in envelopes:
            match envelope.event:
                case RoomStarted(key, host, members):
                    told.append(RoomChanged(key, Change.STARTED, host))
                    self.counters[f"{key.game}.started"] += 1
                    self._dismiss(room, members)
                case RoomClosed(_, members):
                    self._dismiss(room, members)
        if room.ended:
            del self._rooms[room.key]
            told.append(RoomChanged(room.key, Change.ENDED))
        self._tell(envelopes, *told)

    def _dismiss(self, room: Room, members: Iterable[Member]) -> None:
        if room.ended:
            for member in members:
                player = self._players.get(member.id)
                if player is not None:  # the one whose connection is lost is gone already
                    player.left(room)

    def _publish(self, event: object) -> None:
        if self._subscribers:
            self._tell((), event)

    def _tell(self, envelopes: Iterable[Envelope], *public: object) -> None:
        """
        Tell players and subscribers, in order.

        Whoever is told may at once wish for something himself; what comes of that is told
        after what is being told now, so that everybody hears everything in one order.
        """
        outgoing = self._outgoing
        outgoing.extend(envelopes)
        if self._subscribers:
            outgoing.extend(public)
        if self._telling:
            return
        self._telling = True
        try:
            while outgoing:
                item = outgoing.popleft()
                if isinstance(item, Envelope):
                    self._hand_over(item)
                else:
                    self._announce(item)
        finally:
            self._telling = False

    def _hand_over(self, envelope: Envelope) -> None:
        # The same players are told things again and again, and as a rule all are of one wire.
        deliver = self._one_wire.get(envelope.to)
        if deliver is not None:
            self._hand_to(deliver, envelope.to, envelope.event)
            return
        wire_of = self._wires.get
        wires = dict.fromkeys(map(wire_of, envelope.to))
        for deliver in wires:
            if deliver is None:  # the wire of those who are gone by now
                continue
            ids = envelope.to
            if len(wires) > 1:  # looked up anew: being told may have made others go
                ids = tuple(each for each in ids if wire_of(each) == deliver)
            else:
                if len(self._one_wire) >= REMEMBERED:
                    self._one_wire.clear()
                self._one_wire[ids] = deliver
            if ids:
                self._hand_to(deliver, ids, envelope.event)

    def _hand_to(self, deliver: Deliver, ids: tuple[int, ...], event: object) -> None:
        try:
            deliver(ids, event)
        except Exception:
            self._log.failure("A wire format failed to deliver an event")

    def _announce(self, event: object) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:
                self._log.failure("A subscriber of the lobby failed")
