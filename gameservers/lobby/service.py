"""
The lobby: one service object that all games share.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gameservers.lobby import events
from gameservers.lobby.chat import Channels, ToChannel, ToPlayer, ToRoom
from gameservers.lobby.events import NOTHING, Change, Departure, Envelope, Member, RoomKey
from gameservers.lobby.queue import Queue
from gameservers.lobby.rooms import Refused, RoomRecord, RoomRules, Why
from gameservers.lobby.views import Listing, Player, Room
from gameservers.metrics import Metrics
from gameservers.names import skeleton

#: How a wire format receives events: with the ids of its players concerned, and the event.  It is
#: called once per event, however many players are concerned, so that it can encode once.
Deliver = Callable[[Sequence[int], object], None]

#: Maximum number of groups of players whose wire format is cached.
REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits of L{Lobby.limit} for one game."""

    players: int
    per_address: int | None
    place_of: Callable[[str], str]


@dataclass(eq=False, slots=True)
class PlayerRecord:
    """
    One player, internal to the lobby; callers get its L{view}.

    @ivar unique: whether the name is unique in its game.
    @ivar channels: names of the chat channels that the player listens to.
    """

    id: int
    name: str
    game: str
    address: str
    place: str  # that the player is counted under; empty if it is not
    since: float
    unique: bool
    traits: Mapping[str, Any]
    muted: bool = False
    room: RoomRecord | None = None
    channels: set[str] = field(default_factory=set)
    current: Player | None = None

    def view(self) -> Player:
        """The player's current state as a value; built once after each change."""
        view = self.current
        if view is None:
            view = self.current = Player(
                self.id,
                self.name,
                self.game,
                self.address,
                self.since,
                None if self.room is None else self.room.key,
                self.traits,
                self.muted,
            )
        return view

    def be_in(self, room: RoomRecord | None) -> None:
        self.room = room
        self.current = None


class Lobby(Service):
    """
    All players and rooms, and the rules for what players may do.

    A method for a player's request either carries it out and tells all players concerned, or
    raises L{Refused} and changes nothing.  Players are told through the C{deliver} of their wire
    format. An unknown player id is a bug of the caller (L{KeyError}).

    An exception in a rule, a C{deliver} or a subscriber does not keep others from being told.

    @ivar metrics: counts players, rooms and chat lines.
    """

    name = "lobby"
    _log = Logger()

    def __init__(self, clock: IReactorTime, metrics: Metrics) -> None:
        self._clock = clock
        self.metrics = metrics
        self._next_id = 1
        self._players: dict[int, PlayerRecord] = {}
        self._names: dict[tuple[str, str], PlayerRecord] = {}
        self._looks: Counter[tuple[str, str]] = Counter()  # of unique names, by game
        self._wires: dict[int, Deliver] = {}
        self._one_wire: dict[tuple[int, ...], Deliver] = {}
        self._rooms: dict[RoomKey, RoomRecord] = {}
        self._room_looks: set[RoomKey] = set()  # of those with distinct names
        self._channels = Channels()
        self._queues: dict[str, Queue] = {}
        self._capacities: dict[str, Capacity] = {}
        self._present: Counter[str] = Counter()
        self._present_from: Counter[tuple[str, str]] = Counter()  # by game and place
        self._subscribers: list[Callable[[object], None]] = []
        self._outgoing: deque[object] = deque()
        self._telling = False
        metrics.players.read = lambda: self._present
        metrics.rooms.read = lambda: Counter(key.game for key in self._rooms)

    # --- players ------------------------------------------------------------------------------

    def limit(
        self,
        game: str,
        capacity: int,
        *,
        per_address: int | None = None,
        place_of: Callable[[str], str] = str,
    ) -> None:
        """
        Limit the number of players of this game at once.

        @param per_address: how many of them may come from one address; L{None} is any number.
        @param place_of: what an address is counted under; C{""} if it may have any number.
        """
        self._capacities[game] = Capacity(capacity, per_address, place_of)

    def enter(
        self,
        name: str,
        game: str,
        deliver: Deliver,
        *,
        address: str = "",
        unique: bool = True,
        registered: bool = False,
        traits: Mapping[str, Any] = NOTHING,
    ) -> Player:
        """
        Add a player.  A C{unique} name may exist only once per game, and no other may look like it
        (L{gameservers.names.skeleton}).

        @param registered: the name is kept for this player, so it may look like another's.
        @raise Refused: C{NAME_TAKEN}, C{LOBBY_FULL} or C{ADDRESS_FULL}.
        """
        if unique and (
            (game, name) in self._names if registered else self.looks_taken(game, name)
        ):
            raise Refused(Why.NAME_TAKEN)
        capacity, place = self._capacities.get(game), ""
        if capacity is not None:
            if self._present[game] >= capacity.players:
                raise Refused(Why.LOBBY_FULL)
            if capacity.per_address is not None:
                place = capacity.place_of(address)
                if place and self._present_from[game, place] >= capacity.per_address:
                    raise Refused(Why.ADDRESS_FULL)
        player_id = self._next_id
        if traits is not NOTHING:
            traits = MappingProxyType(dict(traits))
        now = self._clock.seconds()
        player = PlayerRecord(player_id, name, game, address, place, now, unique, traits)
        self._next_id += 1
        self._players[player_id] = player
        self._wires[player_id] = deliver
        if unique:
            self._hold_name(player)
        self._present[game] += 1
        if place:
            self._present_from[game, place] += 1
        self.metrics.players_entered[game] += 1
        view = player.view()
        self._tell((), events.PlayerEntered(player_id, name, game))
        return view

    def exit(self, player_id: int) -> None:
        """Remove a player; its room is told that the connection is lost."""
        # Removed before others are told, because those may send requests at once.
        player = self._players.pop(player_id)
        del self._wires[player_id]
        self._one_wire.clear()
        if player.unique:
            self._drop_name(player)
        self._present[player.game] -= 1
        if player.place:
            key = (player.game, player.place)
            self._present_from[key] -= 1
            if not self._present_from[key]:
                del self._present_from[key]
        self._channels.forget(player.game, player.channels, player_id)
        for queue in self._queues.values():
            queue.discard(player_id)
        # All of this is told before the results of any such request.
        telling, self._telling = self._telling, True
        try:
            if player.room is not None:
                self._depart(player, player.room, Departure.LOST)
        finally:
            self._telling = telling
            self._tell((), events.PlayerExited(player_id, player.name, player.game))

    def rename(self, player_id: int, name: str) -> None:
        """
        Change a player's name, without an event.

        @raise Refused: C{NAME_TAKEN}.
        """
        player = self._players[player_id]
        if player.unique:
            self._drop_name(player)
            if self.looks_taken(player.game, name):
                self._hold_name(player)
                raise Refused(Why.NAME_TAKEN)
        player.name = name
        if player.unique:
            self._hold_name(player)
        player.current = None
        if player.room is not None:
            player.room.rename(player_id, name)

    def set_trait(self, player_id: int, name: str, value: object) -> None:
        """Set a property of a player that its game can read, without an event."""
        player = self._players[player_id]
        player.traits = MappingProxyType({**player.traits, name: value})
        player.current = None

    def player(self, player_id: int) -> Player:
        """The player's current state."""
        return self._players[player_id].view()

    def find(self, game: str, name: str) -> Player | None:
        """The player of this name, in a game where names are unique."""
        player = self._names.get((game, name))
        return None if player is None else player.view()

    def looks_taken(self, game: str, name: str) -> bool:
        """Whether a player has this name or one that looks like it, where names are unique."""
        return self._looks[game, skeleton(name)] > 0

    def players(self, game: str | None = None) -> Iterator[Player]:
        """All players (of one game), in order of arrival."""
        return (each.view() for each in self._players.values() if game in (None, each.game))

    def present(self, game: str) -> int:
        """The number of players of a game."""
        return self._present[game]

    def listing(self, game: str | None = None) -> Listing:
        """All players and all rooms (of one game)."""
        return Listing(tuple(self.players(game)), tuple(self.rooms(game)))

    # --- rooms --------------------------------------------------------------------------------

    def rooms(
        self, game: str | None = None, scope: str | None = None, *, password: str | None = None
    ) -> Iterator[Room]:
        """
        The rooms (of a game, of a scope) in order of opening, including hidden ones.

        @param password: if given, only rooms that it opens and rooms without a password.
        """
        for key, room in self._rooms.items():
            if (
                (game is None or key.game == game)
                and (scope is None or key.scope == scope)
                and (password is None or not room.password or room.opens_to(password))
            ):
                yield room.view()

    def room(self, key: RoomKey) -> Room | None:
        """The room's current state, if it exists."""
        room = self._rooms.get(key)
        return None if room is None else room.view()

    def room_of(self, player_id: int) -> Room | None:
        """The room that a player is in."""
        room = self._players[player_id].room
        return None if room is None else room.view()

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
        Let a player open a room, as its first member and host.

        @raise Refused: C{IN_A_ROOM} or C{ROOM_EXISTS}.
        """
        player = self._players[player_id]
        if player.room is not None:
            raise Refused(Why.IN_A_ROOM)
        return self._open(player, self._new_room(key, rules, capacity, password, visible))

    def provide_room(
        self, key: RoomKey, rules: RoomRules, *, capacity: int, visible: bool = True
    ) -> Room:
        """
        Open a permanent room on behalf of the game itself.

        @raise Refused: C{ROOM_EXISTS}.
        """
        room = self._new_room(key, rules, capacity, "", visible)
        self._tell((), events.RoomChanged(key, Change.OPENED))
        return room.view()

    def join(self, player_id: int, key: RoomKey, password: str = "") -> Room:
        """
        Let a player join a room.

        @raise Refused: C{IN_A_ROOM}, C{NO_SUCH_ROOM}, C{ROOM_STARTED}, C{ROOM_FULL} or
            C{WRONG_PASSWORD}.
        """
        player = self._players[player_id]
        # This comes first, no matter whether the room exists.
        if player.room is not None:
            raise Refused(Why.IN_A_ROOM)
        room = self._rooms.get(key)
        if room is None:
            raise Refused(Why.NO_SUCH_ROOM)
        return self._join(player, room, password)

    def move(
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
        Let a player leave its room, if any, and join or open another, in one step.

        A player that moves to its own room leaves it and joins again, as the last member.

        @raise Refused: C{ROOM_STARTED}, C{ROOM_FULL} or C{WRONG_PASSWORD}; then the player stays
            where it is.
        """
        player = self._players[player_id]
        old, room = player.room, self._rooms.get(key)
        if room is not None:
            then = room if room is not old else room.without(player_id)
            if not then.ended:
                then.admit(password)
        # Both steps are taken before any event is delivered.
        telling, self._telling = self._telling, True
        try:
            if old is not None:
                self._depart(player, old, Departure.LEFT)
            room = self._rooms.get(key)
            if room is not None:
                return self._join(player, room, password)
            return self._open(player, self._new_room(key, rules, capacity, password, visible))
        finally:
            self._telling = telling
            self._tell(())

    def leave_room(self, player_id: int) -> None:
        """
        Let a player leave its room.

        @raise Refused: C{NOT_IN_A_ROOM}.
        """
        room = self._room_of(player_id)
        self._depart(self._players[player_id], room, Departure.LEFT)

    def kick(self, player_id: int, target: int) -> None:
        """
        Let the host of a room remove another member.

        @raise Refused: C{NOT_IN_A_ROOM}, C{NOT_HOST} or C{NO_SUCH_PLAYER}.
        """
        room = self._room_of(player_id)
        envelopes = room.kick(player_id, target)
        self._players[target].be_in(None)
        self._settle(room, envelopes, events.RoomChanged(room.key, Change.LEFT, target))

    def set_ready(self, player_id: int, ready: bool) -> None:
        """
        Change a player's readiness.

        @raise Refused: C{NOT_IN_A_ROOM}.
        """
        room = self._room_of(player_id)
        self._settle(room, room.set_ready(player_id, ready))

    def start(self, player_id: int) -> None:
        """
        Let the host start the game of its room.

        @raise Refused: C{NOT_IN_A_ROOM}, C{NOT_HOST} or C{ROOM_STARTED}.
        """
        room = self._room_of(player_id)
        self._settle(room, room.start(player_id))

    def set_password(self, player_id: int, password: str) -> None:
        """
        Let the host change the password of its room, without an event.

        @raise Refused: C{NOT_IN_A_ROOM} or C{NOT_HOST}.
        """
        self._room_of(player_id).set_password(player_id, password)

    def set_property(self, player_id: int, name: str, value: object) -> None:
        """
        Let the host set a property of its room.

        @param value: an immutable value.
        @raise Refused: C{NOT_IN_A_ROOM} or C{NOT_HOST}.
        """
        self._tell(self._room_of(player_id).set_property(player_id, name, value))

    # --- matchmaking --------------------------------------------------------------------------

    def queue(self, game: str) -> Queue:
        """The matchmaking queue of a game; a player that exits is removed from it."""
        return self._queues.setdefault(game, Queue())

    # --- chat ---------------------------------------------------------------------------------

    def listen(self, player_id: int, channel: str) -> None:
        """Subscribe a player to a chat channel of its game."""
        player = self._players[player_id]
        player.channels.add(channel)
        self._channels.listen(player.game, channel, player_id)

    def unlisten(self, player_id: int, channel: str) -> None:
        """End a player's subscription to a channel, if it has one."""
        player = self._players[player_id]
        player.channels.discard(channel)
        self._channels.unlisten(player.game, channel, player_id)

    def say(self, player_id: int, text: str, to: ToChannel | ToRoom | ToPlayer) -> None:
        """
        Deliver a player's chat line.

        @raise Refused: C{MUTED}, C{NOT_IN_A_ROOM} or C{NO_SUCH_PLAYER}; then it is delivered to no
            one.
        """
        player = self._players[player_id]
        if player.muted:
            raise Refused(Why.MUTED)
        game, channel = player.game, None
        audience: tuple[int, ...]
        if isinstance(to, ToPlayer):
            within = self._audience(player, to.within)
            target = self._names.get((game, to.name))
            if target is None or target.id not in within:
                raise Refused(Why.NO_SUCH_PLAYER)
            audience = (player_id,) if target is player else (target.id, player_id)
        else:
            audience = self._audience(player, to)
            if isinstance(to, ToChannel):
                channel = to.channel
        said = events.ChatSaid(player_id, player.name, text, channel, player.traits)
        self.metrics.chat_lines[game] += 1
        self._tell((Envelope(audience, said),), events.Spoken(player_id, game, len(audience)))

    def _audience(self, player: PlayerRecord, to: ToChannel | ToRoom) -> tuple[int, ...]:
        if isinstance(to, ToChannel):
            return self._channels.listeners(player.game, to.channel)
        return tuple(self._room_of(player.id).members)

    # --- operators' actions -------------------------------------------------------------------

    def expel(self, player_id: int, why: str) -> None:
        """
        Have a player's connection ended by its game, with a message if the wire format has one.

        The player remains until its game reports the end of the connection (L{exit}).
        """
        self._players[player_id]
        self._tell((Envelope((player_id,), events.Expelled(why)),))

    def close_room(self, key: RoomKey) -> None:
        """
        End a room; its members are told.

        @raise Refused: C{NO_SUCH_ROOM} or C{PERMANENT}.
        """
        room = self._rooms.get(key)
        if room is None:
            raise Refused(Why.NO_SUCH_ROOM)
        self._settle(room, room.close())

    def announce(self, text: str, game: str | None = None) -> None:
        """Send all players (of a game) a message from the server."""
        ids = tuple(each.id for each in self._players.values() if game in (None, each.game))
        self._tell((Envelope(ids, events.Announced(text)),))

    def mute(self, player_id: int, muted: bool = True) -> None:
        """Forbid or allow a player to chat, without an event."""
        player = self._players[player_id]
        player.muted = muted
        player.current = None

    # --- delivering events --------------------------------------------------------------------

    def subscribe(self, subscriber: Callable[[object], None]) -> Callable[[], None]:
        """
        Subscribe to the public stream (see L{gameservers.lobby.events}).

        @return: a function that ends the subscription.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def _hold_name(self, player: PlayerRecord) -> None:
        self._names[player.game, player.name] = player
        self._looks[player.game, skeleton(player.name)] += 1

    def _drop_name(self, player: PlayerRecord) -> None:
        del self._names[player.game, player.name]
        look = player.game, skeleton(player.name)
        self._looks[look] -= 1
        if not self._looks[look]:
            del self._looks[look]

    def _new_room(
        self, key: RoomKey, rules: RoomRules, capacity: int, password: str, visible: bool
    ) -> RoomRecord:
        look = key._replace(name=skeleton(key.name))
        if key in self._rooms or (rules.distinct and look in self._room_looks):
            raise Refused(Why.ROOM_EXISTS)
        if rules.distinct:
            self._room_looks.add(look)
        room = RoomRecord(key, rules, capacity, password, visible=visible)
        self._rooms[key] = room
        self.metrics.rooms_opened[key.game] += 1
        return room

    def _room_of(self, player_id: int) -> RoomRecord:
        room = self._players[player_id].room
        if room is None:
            raise Refused(Why.NOT_IN_A_ROOM)
        return room

    def _open(self, player: PlayerRecord, room: RoomRecord) -> Room:
        envelopes = room.open(player.id, player.name)
        player.be_in(room)
        view = room.view()
        self._tell(envelopes, events.RoomChanged(room.key, Change.OPENED, player.id))
        return view

    def _join(self, player: PlayerRecord, room: RoomRecord, password: str) -> Room:
        envelopes = room.join(player.id, player.name, password)
        player.be_in(room)
        view = room.view()
        self._tell(envelopes, events.RoomChanged(room.key, Change.JOINED, player.id))
        return view

    def _depart(self, player: PlayerRecord, room: RoomRecord, why: Departure) -> None:
        envelopes = room.leave(player.id, why)
        player.be_in(None)
        self._settle(room, envelopes, events.RoomChanged(room.key, Change.LEFT, player.id))

    def _settle(self, room: RoomRecord, envelopes: list[Envelope], *public: object) -> None:
        """Deliver the results of a request that may have started or ended the room."""
        told = list(public)
        for envelope in envelopes:
            match envelope.event:
                case events.RoomStarted(key, host, members):
                    told.append(events.RoomChanged(key, Change.STARTED, host))
                    self.metrics.rooms_started[key.game] += 1
                    self._dismiss(room, members)
                case events.RoomClosed(_, members):
                    self._dismiss(room, members)
        if room.ended:
            del self._rooms[room.key]
            if room.rules.distinct:
                self._room_looks.discard(room.key._replace(name=skeleton(room.key.name)))
            told.append(events.RoomChanged(room.key, Change.ENDED))
        self._tell(envelopes, *told)

    def _dismiss(self, room: RoomRecord, members: Iterable[Member]) -> None:
        if room.ended:
            for member in members:
                player = self._players.get(member.id)
                if player is not None:  # one whose connection is lost has been removed already
                    player.be_in(None)

    def _tell(self, envelopes: Iterable[Envelope], *public: object) -> None:
        """
        Deliver events to players and subscribers, in order.

        A recipient may send requests at once; their results are delivered after the present
        events, so that all recipients see the same order.
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
                    self._publish(item)
        finally:
            self._telling = False

    def _hand_over(self, envelope: Envelope) -> None:
        # The same groups are told again and again, and usually all are of one wire format.
        deliver = self._one_wire.get(envelope.to)
        if deliver is not None:
            self._hand_to(deliver, envelope.to, envelope.event)
            return
        wire_of = self._wires.get
        wires = dict.fromkeys(map(wire_of, envelope.to))
        for deliver in wires:
            if deliver is None:  # players that have exited meanwhile
                continue
            ids = envelope.to
            if len(wires) > 1:  # looked up again: a delivery may have made others exit
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

    def _publish(self, event: object) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:
                self._log.failure("A subscriber of the lobby failed")
