"""
The promises of the lobby, held under any sequence of wishes.

The L{Model} is the same lobby written down once more, as plainly as can be and without
looking at the first: who is where, and for each wish either why it is refused or exactly who
is told what.  What every player hears is moreover held against what a player can rely on, with
no regard to the model: see L{Client} and the invariants of L{LobbyMachine}.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import (
    Departure,
    Lobby,
    Member,
    Refused,
    RoomKey,
    RoomRules,
    Succession,
    ToChannel,
    ToPlayer,
    ToRoom,
    Why,
)
from gameservers.lobby.events import (
    Announced,
    Change,
    ChatSaid,
    Expelled,
    HostChanged,
    MemberJoined,
    MemberLeft,
    PlayerEntered,
    PlayerExited,
    PropertyChanged,
    ReadinessChanged,
    RoomChanged,
    RoomClosed,
    RoomOpened,
    RoomStarted,
    Spoken,
)
from gameservers.metrics import Metrics

#: The rules of each game's rooms.
RULES = {
    "session": RoomRules(
        succession=Succession.CLOSE,
        leaving_resets_readiness=True,
        starts_when_ready=2,
        ends_when_started=True,
    ),
    "den": RoomRules(succession=Succession.OLDEST),
    "table": RoomRules(starts_when_ready=2),
    "yard": RoomRules(hosted=False),
}

#: A room that a game provides, which belongs to nobody and stays.
LOUNGE = RoomKey("den", "", "lounge")
PERMANENT = RoomRules(hosted=False, permanent=True)

#: Players of one game at once.
LIMIT = 5


@dataclass
class Guest:
    """A player, in the model."""

    id: int
    name: str
    game: str
    unique: bool
    at: RoomKey | None = None
    ready: bool = False
    muted: bool = False
    hears: set[str] = field(default_factory=set)


@dataclass
class Place:
    """A room, in the model."""

    rules: RoomRules
    capacity: int
    password: str
    inside: list[int] = field(default_factory=list)
    host: int = 0
    started: bool = False
    properties: dict[str, object] = field(default_factory=dict)


class Model:
    """The lobby as it should be; C{told} and C{public} are what one wish should bring about."""

    def __init__(self) -> None:
        self.guests: dict[int, Guest] = {}
        self.places: dict[RoomKey, Place] = {LOUNGE: Place(PERMANENT, 3, "")}
        self.listening: dict[tuple[str, str], list[int]] = {}
        self.told: list[tuple[set[int], object]] = []
        self.public: list[object] = []

    def tell(self, to: Iterable[int], event: object) -> None:
        if recipients := set(to):
            self.told.append((recipients, event))

    def faces(self, ids: Iterable[int]) -> tuple[Member, ...]:
        guests = [self.guests[each] for each in ids]
        return tuple(Member(each.id, each.name, each.ready) for each in guests)

    def where(self, guest: Guest) -> tuple[RoomKey, Place]:
        if guest.at is None:
            raise Refused(Why.NOT_IN_A_ROOM)
        return guest.at, self.places[guest.at]

    def hosted(self, guest: Guest) -> tuple[RoomKey, Place]:
        key, place = self.where(guest)
        if place.host != guest.id:
            raise Refused(Why.NOT_HOST)
        return key, place

    def enter(self, next_id: int, name: str, game: str, unique: bool) -> None:
        here = [each for each in self.guests.values() if each.game == game]
        if unique and name in [each.name for each in here if each.unique]:
            raise Refused(Why.NAME_TAKEN)
        if len(here) == LIMIT:
            raise Refused(Why.LOBBY_FULL)
        self.guests[next_id] = Guest(next_id, name, game, unique)
        self.public.append(PlayerEntered(next_id, name, game))

    def exit(self, guest: Guest) -> None:
        if guest.at is not None:
            self.part(guest, Departure.LOST)
        del self.guests[guest.id]
        for listeners in self.listening.values():
            if guest.id in listeners:
                listeners.remove(guest.id)
        self.public.append(PlayerExited(guest.id, guest.name, guest.game))

    def open(self, guest: Guest, key: RoomKey, capacity: int, password: str) -> None:
        if guest.at is not None:
            raise Refused(Why.IN_A_ROOM)
        if key in self.places:
            raise Refused(Why.ROOM_EXISTS)
        rules = RULES[key.game]
        host = guest.id if rules.hosted else 0
        self.places[key] = Place(rules, capacity, password, [guest.id], host)
        guest.at, guest.ready = key, False
        self.tell([guest.id], RoomOpened(key, self.faces([guest.id])))
        self.public.append(RoomChanged(key, Change.OPENED, guest.id))

    def join(self, guest: Guest, key: RoomKey, password: str) -> None:
        if guest.at is not None:
            raise Refused(Why.IN_A_ROOM)
        if key not in self.places:
            raise Refused(Why.NO_SUCH_ROOM)
        place = self.places[key]
        if place.started:
            raise Refused(Why.ROOM_STARTED)
        if len(place.inside) == place.capacity:
            raise Refused(Why.ROOM_FULL)
        if place.password not in ("", password):
            raise Refused(Why.WRONG_PASSWORD)
        guest.at, guest.ready = key, False
        place.inside.append(guest.id)
        faces = self.faces(place.inside)
        self.tell(place.inside, MemberJoined(key, guest.id, place.host, faces))
        self.public.append(RoomChanged(key, Change.JOINED, guest.id))

    def move(self, guest: Guest, key: RoomKey, capacity: int, password: str) -> None:
        place = self.places.get(key)
        if place is not None:
            # What becomes of the room in which the guest is already, without the guest.
            rest = [each for each in place.inside if each != guest.id]
            closes = place.host == guest.id and place.rules.succession is Succession.CLOSE
            stays = place.rules.permanent or (rest and not closes)
            if stays or guest.at != key:
                willing = [each for each in rest if self.guests[each].ready]
                needed = (
                    0 if place.rules.leaving_resets_readiness else place.rules.starts_when_ready
                )
                starts = guest.at == key and 0 < needed <= len(rest) == len(willing)
                if place.started or starts:
                    raise Refused(Why.ROOM_STARTED)
                if len(rest) == place.capacity:
                    raise Refused(Why.ROOM_FULL)
                if place.password not in ("", password):
                    raise Refused(Why.WRONG_PASSWORD)
        if guest.at is not None:
            self.part(guest, Departure.LEFT)
        if key in self.places:
            self.join(guest, key, password)
        else:
            self.open(guest, key, capacity, password)

    def leave(self, guest: Guest) -> None:
        self.where(guest)
        self.part(guest, Departure.LEFT)

    def kick(self, guest: Guest, target: int) -> None:
        _, place = self.hosted(guest)
        if target == guest.id or target not in place.inside:
            raise Refused(Why.NO_SUCH_PLAYER)
        self.part(self.guests[target], Departure.KICKED)

    def part(self, guest: Guest, why: Departure) -> None:
        key, place = self.where(guest)
        before = self.faces(place.inside)
        (gone,) = self.faces([guest.id])
        rest = [each for each in place.inside if each != guest.id]
        to = rest if why is Departure.LOST else [*rest, guest.id]
        was_host = place.host == guest.id
        self.public.append(RoomChanged(key, Change.LEFT, guest.id))
        if was_host and place.rules.succession is Succession.CLOSE:
            self.tell(to, RoomClosed(key, before))
            self.end(key)
            return
        guest.at = None
        place.inside = rest
        if was_host:
            place.host = rest[0] if rest else 0
        if why is Departure.LEFT and place.rules.leaving_resets_readiness:
            for each in rest:
                self.guests[each].ready = False
        self.tell(to, MemberLeft(key, gone, why, place.host, self.faces(rest)))
        if was_host:
            self.tell(rest, HostChanged(key, place.host))
        if rest:
            self.consider_start(key)
        elif not place.rules.permanent:
            self.end(key)

    def ready(self, guest: Guest, ready: bool) -> None:
        key, place = self.where(guest)
        guest.ready = ready
        self.tell(place.inside, ReadinessChanged(key, guest.id, self.faces(place.inside)))
        self.consider_start(key)

    def consider_start(self, key: RoomKey) -> None:
        place = self.places[key]
        needed = place.rules.starts_when_ready
        willing = [each for each in place.inside if self.guests[each].ready]
        enough = needed and len(place.inside) >= needed
        if enough and not place.started and willing == place.inside:
            self.begin(key)

    def start(self, guest: Guest) -> None:
        key, place = self.hosted(guest)
        if place.started:
            raise Refused(Why.ROOM_STARTED)
        self.begin(key)

    def begin(self, key: RoomKey) -> None:
        place = self.places[key]
        place.started = True
        self.tell(place.inside, RoomStarted(key, place.host, self.faces(place.inside)))
        self.public.append(RoomChanged(key, Change.STARTED, place.host))
        if place.rules.ends_when_started:
            self.end(key)

    def end(self, key: RoomKey) -> None:
        for each in self.places.pop(key).inside:
            self.guests[each].at = None
        self.public.append(RoomChanged(key, Change.ENDED))

    def expel(self, guest: Guest, why: str) -> None:
        self.tell([guest.id], Expelled(why))

    def announce(self, text: str, game: str | None) -> None:
        here = [each.id for each in self.guests.values() if game in (None, each.game)]
        self.tell(here, Announced(text))

    def close(self, key: RoomKey) -> None:
        if key not in self.places:
            raise Refused(Why.NO_SUCH_ROOM)
        place = self.places[key]
        if place.rules.permanent:
            raise Refused(Why.PERMANENT)
        self.tell(place.inside, RoomClosed(key, self.faces(place.inside)))
        self.end(key)

    def set_password(self, guest: Guest, password: str) -> None:
        self.hosted(guest)[1].password = password

    def set_property(self, guest: Guest, value: int) -> None:
        key, place = self.hosted(guest)
        place.properties["map"] = value
        self.tell(place.inside, PropertyChanged(key, "map", value))

    def listen(self, guest: Guest, channel: str, on: bool) -> None:
        listeners = self.listening.setdefault((guest.game, channel), [])
        if on and channel not in guest.hears:
            guest.hears.add(channel)
            listeners.append(guest.id)
        elif not on and channel in guest.hears:
            guest.hears.remove(channel)
            listeners.remove(guest.id)

    def say(self, guest: Guest, text: str, to: ToChannel | ToRoom | ToPlayer) -> None:
        if guest.muted:
            raise Refused(Why.MUTED)
        reach = to.within if isinstance(to, ToPlayer) else to
        if isinstance(reach, ToRoom):
            audience = list(self.where(guest)[1].inside)
        else:
            audience = list(self.listening.get((guest.game, reach.channel), ()))
        if isinstance(to, ToPlayer):
            audience = [
                each
                for each in audience
                if self.guests[each].name == to.name
                and self.guests[each].unique
                and self.guests[each].game == guest.game
            ]
            if not audience:
                raise Refused(Why.NO_SUCH_PLAYER)
            audience = list({*audience, guest.id})
        channel = to.channel if isinstance(to, ToChannel) else None
        self.tell(audience, ChatSaid(guest.id, guest.name, text, channel))
        self.public.append(Spoken(guest.id, guest.game, len(audience)))


class Client:
    """
    What one player knows only from what it is told, and what it may never be told.

    @ivar room: the room it believes to be in.
    """

    def __init__(self, player: int) -> None:
        self.id = player
        self.room: RoomKey | None = None
        self.members: tuple[Member, ...] = ()
        self.host = 0
        self.started = False
        self.last = -1

    def hear(self, serial: int, event: object) -> None:
        """
        One event.

        @param serial: which event of all this is; everybody hears them in rising order.
        """
        assert serial > self.last, f"{event} came twice, or late"
        self.last = serial
        match event:
            case RoomOpened(room, members):
                assert self.room is None
                self.room, self.members, self.started = room, members, False
                self.host = self.id if RULES[room.game].hosted else 0
            case MemberJoined(room, player, host, members):
                assert (self.room is None) == (player == self.id)
                if player == self.id:
                    self.room, self.started = room, False
                assert room == self.room
                self.members, self.host = members, host
            case ChatSaid() | Announced() | Expelled():
                pass
            case _:
                assert event.room == self.room, "told of a room it is not in"  # type: ignore
                self.follow(event)

    def follow(self, event: object) -> None:
        match event:
            case MemberLeft(_, gone, _, host, members):
                assert gone in self.members
                if gone.id == self.id:
                    self.room = None
                else:
                    assert gone.id not in [each.id for each in members]
                self.members, self.host = members, host
            case HostChanged(_, host):
                self.host = host
            case RoomClosed():
                self.room = None
            case ReadinessChanged(_, _, members):
                self.members = members
            case RoomStarted(room, _, members):
                assert members == self.members
                assert not self.started
                self.started = True
                if RULES[room.game].ends_when_started:
                    self.room = None


class Public:
    """What a subscriber makes of the public stream."""

    def __init__(self) -> None:
        self.players: dict[int, str] = {}
        self.rooms: dict[RoomKey, set[int]] = {}
        self.started: set[RoomKey] = set()

    def hear(self, event: object) -> None:
        match event:
            case PlayerEntered(player, name, _):
                assert player not in self.players
                self.players[player] = name
            case PlayerExited(player, name, _):
                assert self.players.pop(player) == name
            case RoomChanged(room, Change.OPENED, player):
                assert room not in self.rooms
                self.rooms[room] = {player} - {0}
            case RoomChanged(room, Change.JOINED, player):
                assert player not in self.rooms[room]
                self.rooms[room].add(player)
            case RoomChanged(room, Change.LEFT, player):
                self.rooms[room].remove(player)
            case RoomChanged(room, Change.STARTED):
                assert room not in self.started
                self.started.add(room)
            case RoomChanged(room, Change.ENDED):
                del self.rooms[room]
                self.started.discard(room)
            case Spoken(player):
                assert player in self.players
            case _:
                raise AssertionError(f"{event} is not for the public")


def picture(lobby: Lobby) -> object:
    """Everything that can be seen of a lobby, and its passwords."""
    return (
        lobby.listing(),
        {key: room.password for key, room in lobby._rooms.items()},
        dict(lobby._channels._listeners),
        [dict(counted) for _, _, _, counted in lobby.metrics._counters],
    )


players = st.integers(0, 20)
games = st.sampled_from(sorted(RULES))
passwords = st.sampled_from(["", "", "sesame"])
channels = st.sampled_from(["english", "german"])
names = st.sampled_from(["ann", "bob", "cid", "dot", "eve", "fay"])


class LobbyMachine(RuleBasedStateMachine):
    """Players of four games and, in each game, of two wire formats wish for anything."""

    def __init__(self) -> None:
        super().__init__()
        self.lobby = Lobby(Clock(), Metrics())
        self.model = Model()
        self.clients: dict[int, Client] = {}
        self.wire_of: dict[int, int] = {}
        self.told: list[tuple[set[int], object]] = []
        self.events: list[object] = []  # by serial; kept, so that no identity is used twice
        self.heard: list[object] = []
        self.public = Public()
        self.reaction: tuple[Callable[[], object], Callable[[], object]] | None = None
        self.reacting: tuple[Callable[[], object], Callable[[], object]] | None = None
        self.lines = 0
        self.lobby.provide_room(LOUNGE, PERMANENT, capacity=3)
        self.public.hear(RoomChanged(LOUNGE, Change.OPENED))
        self.lobby.subscribe(self.overhear)
        for game in RULES:
            self.lobby.limit(game, LIMIT)
        self.wires = [self.first, self.second]

    # --- the fake wires -------------------------------------------------------------------

    def first(self, ids: Sequence[int], event: object) -> None:
        self.deliver(0, ids, event)

    def second(self, ids: Sequence[int], event: object) -> None:
        self.deliver(1, ids, event)

    def deliver(self, wire: int, ids: Sequence[int], event: object) -> None:
        assert ids, "a wire was told, but none of its players"
        assert len(set(ids)) == len(ids)
        if not self.events or self.events[-1] is not event:
            self.events.append(event)
            self.told.append((set(), event))
        for each in ids:
            assert self.wire_of[each] == wire
            assert each in self.clients, "told after it was gone"
            self.clients[each].hear(len(self.events), event)
        assert self.told[-1][0].isdisjoint(ids)
        self.told[-1][0].update(ids)
        if self.reaction is not None:
            self.reacting, self.reaction = self.reaction, None
            self.attempt(self.reacting[0])

    def overhear(self, event: object) -> None:
        assert "secret" not in repr(event)
        self.heard.append(event)
        self.public.hear(event)

    # --- a wish, and what it should bring about -------------------------------------------

    def attempt(self, wish: Callable[[], object]) -> Why | None:
        try:
            wish()
        except Refused as refused:
            return refused.why
        return None

    def check(self, real: Callable[[], object], ideal: Callable[[], object]) -> None:
        """Wish for the same in the lobby and in the model, and compare."""
        before = picture(self.lobby)
        why = self.attempt(real)
        assert why == self.attempt(ideal)
        if why is not None:
            assert picture(self.lobby) == before, "a refused wish changed something"
            assert self.told == [] and self.heard == [], "a refused wish was told"
        if self.reacting is not None:
            self.attempt(self.reacting[1])
        assert self.told == self.model.told
        assert self.heard == self.model.public
        self.told, self.heard, self.reacting = [], [], None
        self.model.told, self.model.public = [], []

    def pick(self, number: int) -> Guest:
        guests = list(self.model.guests.values())
        return guests[number % len(guests)]

    def somebody(self) -> bool:
        return bool(self.model.guests)

    @initialize(game=games)
    def begin_with_company(self, game: str) -> None:
        """Four players of one game, most of them in one room: full rooms are rare otherwise."""
        for number, name in enumerate(("ann", "bob", "cid", "dot")):
            self.enter(name, game, number % 2, True)
        self.open(0, "one", 3, "")
        self.come_together(0)

    @rule(
        name=names,
        game=games,
        wire=st.integers(0, 1),
        unique=st.sampled_from([True] * 3 + [False]),
    )
    def enter(self, name: str, game: str, wire: int, unique: bool) -> None:
        next_id = max(self.wire_of, default=0) + 1

        def real() -> None:
            player = self.lobby.enter(name, game, self.wires[wire], unique=unique)
            assert player.id == next_id
            self.wire_of[next_id] = wire
            self.clients[next_id] = Client(next_id)

        self.check(real, lambda: self.model.enter(next_id, name, game, unique))

    @precondition(somebody)
    @rule(player=players)
    def exit(self, player: int) -> None:
        guest = self.pick(player)
        del self.clients[guest.id]
        self.check(lambda: self.lobby.exit(guest.id), lambda: self.model.exit(guest))

    @precondition(somebody)
    @rule(
        player=players,
        name=st.sampled_from(["one", "one", "two", "lounge"]),
        capacity=st.integers(1, 4),
        password=passwords,
    )
    def open(self, player: int, name: str, capacity: int, password: str) -> None:
        guest = self.pick(player)
        key = RoomKey(guest.game, "", name)
        rules = RULES[guest.game]
        self.check(
            lambda: self.lobby.open_room(
                guest.id, key, rules, capacity=capacity, password=password
            ),
            lambda: self.model.open(guest, key, capacity, password),
        )

    @precondition(somebody)
    @rule(player=players, name=st.sampled_from(["one", "one", "two", "lounge"]), word=passwords)
    def join(self, player: int, name: str, word: str) -> None:
        guest = self.pick(player)
        key = RoomKey(guest.game, "", name)
        self.check(
            lambda: self.lobby.join(guest.id, key, word),
            lambda: self.model.join(guest, key, word),
        )

    @precondition(somebody)
    @rule(player=players)
    def come_together(self, player: int) -> None:
        """All who are free join a room of their game, so that rooms fill up."""
        guest = self.pick(player)
        for each in [each for each in self.model.guests.values() if each.game == guest.game]:
            # Looked up anew: a reaction may have ended the room.
            keys = [key for key in self.model.places if key.game == guest.game]
            for key in keys[-1:]:
                password = self.model.places[key].password
                self.check(
                    lambda each=each, key=key, password=password: self.lobby.join(
                        each.id, key, password
                    ),
                    lambda each=each, key=key, password=password: self.model.join(
                        each, key, password
                    ),
                )

    @precondition(somebody)
    @rule(player=players)
    def leave(self, player: int) -> None:
        guest = self.pick(player)
        self.check(lambda: self.lobby.leave_room(guest.id), lambda: self.model.leave(guest))

    @precondition(somebody)
    @rule(player=players, second=players)
    def kick(self, player: int, second: int) -> None:
        guest, other = self.pick(player), self.pick(second)
        self.check(
            lambda: self.lobby.kick(guest.id, other.id),
            lambda: self.model.kick(guest, other.id),
        )

    @precondition(somebody)
    @rule(
        player=players,
        name=st.sampled_from(["one", "one", "two", "lounge"]),
        capacity=st.integers(1, 4),
        password=passwords,
    )
    def move(self, player: int, name: str, capacity: int, password: str) -> None:
        guest = self.pick(player)
        key = RoomKey(guest.game, "", name)
        rules = RULES[guest.game]
        self.check(
            lambda: self.lobby.move(guest.id, key, rules, capacity=capacity, password=password),
            lambda: self.model.move(guest, key, capacity, password),
        )

    @precondition(somebody)
    @rule(player=players)
    def expel(self, player: int) -> None:
        """The wire of the one who is expelled ends the connection at once."""
        guest = self.pick(player)

        def leave() -> None:
            if guest.id in self.clients:
                del self.clients[guest.id]
                self.lobby.exit(guest.id)

        def ideal() -> None:
            if guest.id in self.model.guests:
                self.model.exit(guest)

        self.reaction = leave, ideal
        self.check(
            lambda: self.lobby.expel(guest.id, "secret"),
            lambda: self.model.expel(guest, "secret"),
        )

    @rule(game=st.none() | games)
    def announce(self, game: str | None) -> None:
        self.check(
            lambda: self.lobby.announce("secret", game),
            lambda: self.model.announce("secret", game),
        )

    @rule(game=games, name=st.sampled_from(["one", "two", "lounge"]))
    def close_room(self, game: str, name: str) -> None:
        key = RoomKey(game, "", name)
        self.check(lambda: self.lobby.close_room(key), lambda: self.model.close(key))

    @precondition(somebody)
    @rule(
        player=players,
        muted=st.sampled_from([True, True, False]),
        to=st.builds(ToChannel, channels) | st.just(ToRoom()),
    )
    def mute(self, player: int, muted: bool, to: ToChannel | ToRoom) -> None:
        """Whether a player can speak changes, and the player tries."""
        guest = self.pick(player)
        self.lobby.mute(guest.id, muted)
        guest.muted = muted
        self.speak(guest, to)

    @precondition(somebody)
    @rule(player=players, ready=st.sampled_from([True, True, False]))
    def ready(self, player: int, ready: bool) -> None:
        guest = self.pick(player)
        self.check(
            lambda: self.lobby.set_ready(guest.id, ready),
            lambda: self.model.ready(guest, ready),
        )

    @precondition(somebody)
    @rule(player=players)
    def start(self, player: int) -> None:
        guest = self.pick(player)
        self.check(lambda: self.lobby.start(guest.id), lambda: self.model.start(guest))

    @precondition(somebody)
    @rule(player=players, password=passwords)
    def lock(self, player: int, password: str) -> None:
        guest = self.pick(player)
        self.check(
            lambda: self.lobby.set_password(guest.id, password),
            lambda: self.model.set_password(guest, password),
        )

    @precondition(somebody)
    @rule(player=players, value=st.integers(0, 2))
    def furnish(self, player: int, value: int) -> None:
        guest = self.pick(player)
        self.check(
            lambda: self.lobby.set_property(guest.id, "map", value),
            lambda: self.model.set_property(guest, value),
        )

    @precondition(somebody)
    @rule(player=players, channel=channels, on=st.sampled_from([True, True, False]))
    def listen(self, player: int, channel: str, on: bool) -> None:
        guest = self.pick(player)
        change = self.lobby.listen if on else self.lobby.unlisten
        self.check(
            lambda: change(guest.id, channel), lambda: self.model.listen(guest, channel, on)
        )

    @precondition(somebody)
    @rule(player=players, within=st.builds(ToChannel, channels) | st.just(ToRoom()))
    def say(self, player: int, within: ToChannel | ToRoom) -> None:
        self.speak(self.pick(player), within)

    @precondition(somebody)
    @rule(
        player=players,
        within=st.builds(ToChannel, channels) | st.just(ToRoom()),
        name=names,
    )
    def whisper(self, player: int, within: ToChannel | ToRoom, name: str) -> None:
        self.speak(self.pick(player), ToPlayer(name, within))

    def speak(self, guest: Guest, to: ToChannel | ToRoom | ToPlayer) -> None:
        self.lines += 1
        text = f"secret {self.lines}"
        self.check(
            lambda: self.lobby.say(guest.id, text, to), lambda: self.model.say(guest, text, to)
        )

    @precondition(somebody)
    @rule(
        player=players,
        what=st.sampled_from(["say", "leave", "ready", "start", "kick", "join", "move"]),
        second=players,
    )
    def react(self, player: int, what: str, second: int) -> None:
        """When next anybody is told anything, somebody at once wishes for something."""
        guest, other = self.pick(player), self.pick(second)
        lobby, model, me = self.lobby, self.model, guest.id
        key = RoomKey(guest.game, "", "one")
        wishes: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "say": (
                lambda: lobby.say(me, "secret", ToRoom()),
                lambda: model.say(guest, "secret", ToRoom()),
            ),
            "leave": (lambda: lobby.leave_room(me), lambda: model.leave(guest)),
            "ready": (lambda: lobby.set_ready(me, True), lambda: model.ready(guest, True)),
            "start": (lambda: lobby.start(me), lambda: model.start(guest)),
            "kick": (lambda: lobby.kick(me, other.id), lambda: model.kick(guest, other.id)),
            "join": (lambda: lobby.join(me, key), lambda: model.join(guest, key, "")),
            "move": (
                lambda: lobby.move(me, key, RULES[key.game], capacity=2),
                lambda: model.move(guest, key, 2, ""),
            ),
        }
        real, ideal = wishes[what]

        def present(wish: Callable[[], object]) -> Callable[[], object]:
            return lambda: wish() if {me, other.id} <= set(self.clients) else None

        self.reaction = present(real), present(ideal)

    # --- what holds at any time -----------------------------------------------------------

    @invariant()
    def rooms_keep_their_rules(self) -> None:
        for room in self.lobby.rooms():
            assert len(room.members) <= room.capacity
            rules = self.model.places[room.key].rules
            assert room.members or rules.permanent, "an empty room stands"
            if rules.hosted:
                assert room.host in [each.id for each in room.members]
            else:
                assert room.host == 0

    @invariant()
    def players_and_rooms_agree(self) -> None:
        inside = [(each.id, room.key) for room in self.lobby.rooms() for each in room.members]
        assert dict(inside) == {
            player.id: player.room for player in self.lobby.players() if player.room
        }
        assert len(dict(inside)) == len(inside), "a player is in two rooms"
        for room in self.lobby.rooms():
            assert self.lobby.room(room.key) == room
            for member in room.members:
                assert self.lobby.room_of(member.id) == room
                assert self.lobby.player(member.id).name == member.name

    @invariant()
    def views_are_of_now(self) -> None:
        """What is shown from a cache is what would be built from the records."""
        for record in [*self.lobby._players.values(), *self.lobby._rooms.values()]:
            fresh = copy.copy(record)
            fresh.current = None
            assert record.view() == fresh.view()

    @invariant()
    def clients_know_their_rooms(self) -> None:
        assert set(self.clients) == {player.id for player in self.lobby.players()}
        for player in self.lobby.players():
            client = self.clients[player.id]
            assert client.room == player.room
            if room := self.lobby.room_of(player.id):
                assert client.members == room.members
                assert (client.host, client.started) == (room.host, room.started)

    @invariant()
    def the_public_knows_the_house(self) -> None:
        assert self.public.players == {each.id: each.name for each in self.lobby.players()}
        assert self.public.rooms == {
            room.key: {each.id for each in room.members} for room in self.lobby.rooms()
        }
        assert self.public.started == {each.key for each in self.lobby.rooms() if each.started}

    @invariant()
    def the_model_agrees(self) -> None:
        places = {
            key: (list(room.members), room.host, room.started, room.password)
            for key, room in self.lobby._rooms.items()
        }
        assert places == {
            key: (place.inside, place.host, place.started, place.password)
            for key, place in self.model.places.items()
        }
        assert [room.properties for room in self.lobby.rooms()] == [
            place.properties for place in self.model.places.values()
        ]
        assert {key: list(ids) for key, ids in self.lobby._channels._listeners.items()} == {
            key: ids for key, ids in self.model.listening.items() if ids
        }
        assert {each.id: each.muted for each in self.lobby.players()} == {
            each.id: each.muted for each in self.model.guests.values()
        }
        for game in RULES:
            here = [each for each in self.model.guests.values() if each.game == game]
            assert self.lobby.present(game) == len(here) <= LIMIT
            assert {each.name: each.id for each in here if each.unique} == {
                name: player.id
                for name in ("ann", "bob", "cid", "dot", "eve", "fay")
                if (player := self.lobby.find(game, name))
            }


class LobbyTests(SynchronousTestCase):
    """The lobby keeps its promises."""

    def test_any_wishes(self) -> None:
        """Whatever is wished for, in whatever order."""
        run_state_machine_as_test(
            LobbyMachine,
            settings=settings(max_examples=100, stateful_step_count=50, deadline=None),
        )
