"""Tests for L{gameservers.lobby.service}: who is here, and who is told in which order."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import (
    Departure,
    Listing,
    Lobby,
    Player,
    Refused,
    Room,
    RoomKey,
    RoomRules,
    Succession,
    ToChannel,
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
    RoomChanged,
    RoomClosed,
    RoomOpened,
    RoomStarted,
    Spoken,
)
from gameservers.lobby.rooms import RoomRecord
from gameservers.metrics import Metrics
from gameservers.names import skeleton
from tests.lobby.wires import Wire

#: Names of which many look alike.
ALIKE = st.text("a\u0430\uff41o\u043e0Oe\u0451\u200b", min_size=1, max_size=3)

DEN = RoomKey("chess", "", "den")


class LobbyTestCase(SynchronousTestCase):
    """A lobby, a wire, and three players of it in one room, of which the first is the host."""

    rules = RoomRules()

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.wire = Wire()
        self.ann, self.bob, self.cid = self.wire.enter(self.lobby, "ann", "bob", "cid")
        self.lobby.open_room(self.ann.id, DEN, self.rules, capacity=4)
        self.lobby.join(self.bob.id, DEN)
        self.lobby.join(self.cid.id, DEN)
        self.wire.take()
        self.public: list[object] = []
        self.unsubscribe = self.lobby.subscribe(self.public.append)

    @property
    def room(self) -> Room | None:
        return self.lobby.room(DEN)

    def now(self, player: Player) -> Player:
        """The player as of now."""
        return self.lobby.player(player.id)

    def where(self, *players: Player) -> list[RoomKey | None]:
        return [self.now(each).room for each in players]

    def ids(self, key: RoomKey = DEN) -> list[int]:
        """Who is in a room."""
        room = self.lobby.room(key)
        return [each.id for each in room.members] if room else []

    def assertRefused(self, why: Why, wish: object, *args: object, **kwargs: object) -> None:
        """The wish is refused for this reason, and nobody hears of it."""
        refused = self.assertRaises(Refused, wish, *args, **kwargs)
        self.assertIs(refused.why, why)
        self.assertEqual(self.wire.told, [])
        self.assertEqual(self.public, [])


class PresenceTests(LobbyTestCase):
    """Who is here."""

    def test_player(self) -> None:
        """A player is found by id and by name, and shows since when it is here."""
        self.clock.advance(5)
        dot = self.lobby.enter("dot", "go", self.wire.deliver, address="192.0.2.1")
        self.assertEqual(self.lobby.player(dot.id), dot)
        self.assertEqual(self.lobby.find("go", "dot"), dot)
        self.assertIsNone(self.lobby.find("chess", "dot"))
        self.assertEqual((dot.name, dot.game, dot.address), ("dot", "go", "192.0.2.1"))
        self.assertEqual(dot.since, 5)
        three = [self.now(each) for each in (self.ann, self.bob, self.cid)]
        self.assertEqual(list(self.lobby.players()), [*three, dot])
        self.assertEqual(list(self.lobby.players("go")), [dot])
        self.assertEqual((self.lobby.present("go"), self.lobby.present("chess")), (1, 3))

    def test_unique_names(self) -> None:
        """A unique name is its game's only one, to the letter, until the player is gone."""
        self.assertRefused(Why.NAME_TAKEN, self.lobby.enter, "ann", "chess", self.wire.deliver)
        self.wire.enter(self.lobby, "ann", game="go")
        self.wire.enter(self.lobby, "Ann")
        self.lobby.exit(self.ann.id)
        (again,) = self.wire.enter(self.lobby, "ann")
        self.assertEqual(self.lobby.find("chess", "ann"), again)

    def test_names_that_look_alike(self) -> None:
        """No two unique names of a game look alike, however a player comes by its name."""
        zoe, _ = self.wire.enter(self.lobby, "Zo\u00eb", "Bob")
        self.public.clear()
        for name in ("\u0430nn", "ann\u3164", "Zoe\u0308"):
            self.assertTrue(self.lobby.looks_taken("chess", name))
            self.assertFalse(self.lobby.looks_taken("go", name))
            self.assertRefused(Why.NAME_TAKEN, self.lobby.enter, name, "chess", self.wire.deliver)
            self.assertIsNone(self.lobby.find("chess", name))
            self.assertRefused(Why.NAME_TAKEN, self.lobby.rename, self.bob.id, name)
        self.assertEqual(self.lobby.find("chess", "bob").id, self.bob.id)
        self.lobby.rename(zoe.id, "Zoe\u0308")
        self.lobby.rename(zoe.id, "Eve")
        self.lobby.rename(self.bob.id, "Zo\u00eb")
        self.lobby.exit(self.ann.id)
        self.wire.enter(self.lobby, "\u0430nn", "bob")

    def test_registered_names(self) -> None:
        """Who has a name of old may use it beside one that looks like it."""
        deliver = self.wire.deliver
        one = self.lobby.enter("tom1", "chess", deliver, registered=True)
        two = self.lobby.enter("toml", "chess", deliver, registered=True)
        self.public.clear()
        self.assertRefused(
            Why.NAME_TAKEN, self.lobby.enter, "tom1", "chess", deliver, registered=True
        )
        self.assertEqual(self.lobby.find("chess", "tom1"), one)
        self.assertEqual(self.lobby.find("chess", "toml"), two)
        self.lobby.exit(one.id)
        self.public.clear()
        self.assertRefused(Why.NAME_TAKEN, self.lobby.enter, "tomI", "chess", deliver)
        self.lobby.exit(two.id)
        self.wire.enter(self.lobby, "tomI")

    def test_unique_names_leave_nothing(self) -> None:
        for player in (self.ann, self.bob, self.cid):
            self.lobby.exit(player.id)
        self.assertEqual((self.lobby._names, self.lobby._looks), ({}, {}))

    @given(st.lists(st.tuples(st.booleans(), ALIKE), max_size=20))
    def test_no_two_look_alike(self, wishes: list[tuple[bool, str]]) -> None:
        """Whoever comes, goes or is renamed, in whatever order."""
        lobby, deliver = Lobby(self.clock, self.metrics), self.wire.deliver
        for coming, name in wishes:
            present = list(lobby.players("chess"))
            with contextlib.suppress(Refused):
                if coming or not present:
                    lobby.enter(name, "chess", deliver)
                elif name[0] == "a":
                    lobby.rename(present[0].id, name)
                else:
                    lobby.exit(present[0].id)
            looks = [skeleton(player.name) for player in lobby.players("chess")]
            self.assertEqual(len(set(looks)), len(looks))
            for player in lobby.players("chess"):
                self.assertEqual(lobby.find("chess", player.name), player)

    def test_shared_names(self) -> None:
        """Names that need not be unique are not found by, and free nobody's name."""
        one, two = (self.lobby.enter("x", "go", self.wire.deliver, unique=False) for _ in range(2))
        self.assertIsNone(self.lobby.find("go", "x"))
        (unique,) = self.wire.enter(self.lobby, "x", game="go")
        self.lobby.exit(one.id)
        self.lobby.exit(two.id)
        self.assertEqual(self.lobby.find("go", "x"), unique)

    def test_limit(self) -> None:
        """A game has places for so many players at once; other games have theirs."""
        self.lobby.limit("chess", 4)
        self.lobby.limit("go", 0)
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.public.clear()
        self.assertRefused(Why.LOBBY_FULL, self.lobby.enter, "eve", "chess", self.wire.deliver)
        self.assertRefused(Why.LOBBY_FULL, self.lobby.enter, "eve", "go", self.wire.deliver)
        self.wire.enter(self.lobby, "eve", game="checkers")
        self.lobby.exit(dot.id)
        self.wire.enter(self.lobby, "eve")
        self.assertEqual(self.lobby.present("chess"), 4)

    def test_limit_per_address(self) -> None:
        """So many may come from one address; some addresses may have any number."""
        place_of = {"near": "", "far": "there", "farther": "there"}.get
        self.lobby.limit("go", 9, per_address=2, place_of=lambda host: str(place_of(host)))

        def enter(address: str) -> int:
            deliver = self.wire.deliver
            return self.lobby.enter("x", "go", deliver, address=address, unique=False).id

        ids = [enter(address) for address in ("far", "farther", "near", "near", "near")]
        self.public.clear()
        self.assertRefused(Why.ADDRESS_FULL, enter, "far")
        self.lobby.exit(ids[0])
        enter("farther")
        self.public.clear()
        self.assertRefused(Why.ADDRESS_FULL, enter, "far")

    def test_refused_leaves_no_trace(self) -> None:
        """Who is not let in uses up no id and is not counted."""
        self.lobby.limit("chess", 3)
        before = dict(self.metrics.players_entered)
        self.assertRefused(Why.LOBBY_FULL, self.lobby.enter, "eve", "chess", self.wire.deliver)
        self.assertEqual(dict(self.metrics.players_entered), before)
        (dot,) = self.wire.enter(self.lobby, "dot", game="go")
        self.assertEqual(dot.id, self.cid.id + 1)

    def test_ids_rise(self) -> None:
        """An id is never used twice."""
        self.lobby.exit(self.cid.id)
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.assertGreater(dot.id, self.cid.id)
        self.assertRaises(KeyError, self.lobby.player, self.cid.id)
        self.assertRaises(KeyError, self.lobby.exit, self.cid.id)

    def test_rename(self) -> None:
        """A player takes another name, in the room too, but not one that is taken."""
        self.assertRefused(Why.NAME_TAKEN, self.lobby.rename, self.bob.id, "ann")
        self.lobby.rename(self.bob.id, "rob")
        self.lobby.rename(self.ann.id, "ann")
        self.assertEqual(self.lobby.find("chess", "rob").id, self.bob.id)
        self.assertIsNone(self.lobby.find("chess", "bob"))
        self.assertEqual(self.room.member(self.bob.id).name, "rob")
        twins = [self.lobby.enter("t", "go", self.wire.deliver, unique=False) for _ in range(2)]
        self.lobby.rename(twins[0].id, "u")
        self.assertEqual([self.now(twin).name for twin in twins], ["u", "t"])

    def test_gone(self) -> None:
        """Who is gone is in no room and no channel, and hears nothing."""
        self.lobby.listen(self.cid.id, "english")
        self.lobby.exit(self.cid.id)
        self.lobby.say(self.ann.id, "bye", ToChannel("english"))
        self.assertEqual(self.public[-1], Spoken(self.ann.id, "chess", 0))
        self.lobby.say(self.ann.id, "bye", ToRoom())
        self.assertEqual(self.wire.heard(self.cid), [])
        self.assertEqual(self.ids(), [self.ann.id, self.bob.id])


class RoomsTests(LobbyTestCase):
    """Which rooms there are."""

    def test_rooms(self) -> None:
        """Rooms are listed by game and scope, hidden ones too, in order of opening."""
        dot, eve = self.wire.enter(self.lobby, "dot", "eve", game="go")
        rules = RoomRules()
        hidden = self.lobby.open_room(
            dot.id, RoomKey("go", "v1", "den"), rules, capacity=2, visible=False
        )
        other = self.lobby.open_room(eve.id, RoomKey("go", "v2", "den"), rules, capacity=2)
        self.assertEqual(list(self.lobby.rooms()), [self.room, hidden, other])
        self.assertEqual(list(self.lobby.rooms("go")), [hidden, other])
        self.assertEqual(list(self.lobby.rooms("go", "v2")), [other])
        self.assertEqual([room.visible for room in self.lobby.rooms()], [True, False, True])
        self.assertIsNone(self.lobby.room(RoomKey("go", "", "den")))

    def test_one_of_a_name(self) -> None:
        """A name is given once, and a player is in one room."""
        dot, *_ = self.wire.enter(self.lobby, "dot")
        self.public.clear()
        open_room, rules = self.lobby.open_room, RoomRules()
        self.assertRefused(Why.ROOM_EXISTS, open_room, dot.id, DEN, rules, capacity=2)
        self.assertRefused(Why.ROOM_EXISTS, self.lobby.provide_room, DEN, rules, capacity=2)
        attic = RoomKey("chess", "", "attic")
        self.assertRefused(Why.IN_A_ROOM, open_room, self.bob.id, attic, rules, capacity=2)
        self.assertRefused(Why.IN_A_ROOM, self.lobby.join, self.bob.id, DEN)
        self.assertRefused(Why.NO_SUCH_ROOM, self.lobby.join, dot.id, attic)

    def test_distinct_rooms(self) -> None:
        """Rooms with distinct names do not look alike; others may."""
        dot, eve = self.wire.enter(self.lobby, "dot", "eve")
        open_room = partial(self.lobby.open_room, capacity=2)
        distinct = RoomRules(distinct=True)
        for scope in ("a", "b"):
            key, like = RoomKey("chess", scope, "coco"), RoomKey("chess", scope, "\u0441oco")
            open_room(dot.id, key, distinct)
            self.wire.take()
            self.public.clear()
            self.assertRefused(Why.ROOM_EXISTS, open_room, eve.id, like, distinct)
            open_room(eve.id, like, RoomRules())
            self.assertEqual(len(list(self.lobby.rooms("chess", scope))), 2)
            self.lobby.leave_room(eve.id)
            self.lobby.leave_room(dot.id)
            open_room(eve.id, like, distinct)
            self.lobby.leave_room(eve.id)
        self.assertEqual(self.lobby._room_looks, set())

    def test_outside(self) -> None:
        """Who is in no room has no wishes for one."""
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.public.clear()
        lobby = self.lobby
        for wish, *args in (
            (lobby.leave_room,),
            (lobby.kick, self.bob.id),
            (lobby.set_ready, True),
            (lobby.start,),
            (lobby.set_password, "sesame"),
            (lobby.set_property, "map", 1),
            (lobby.say, "hello", ToRoom()),
        ):
            self.assertRefused(Why.NOT_IN_A_ROOM, wish, dot.id, *args)

    def test_password(self) -> None:
        """Who joins knows the password, which the host alone changes and nobody is told."""
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.public.clear()
        self.assertRefused(Why.NOT_HOST, self.lobby.set_password, self.bob.id, "x")
        self.lobby.set_password(self.ann.id, "sesame")
        self.assertEqual((self.wire.told, self.public), ([], []))
        self.assertRefused(Why.WRONG_PASSWORD, self.lobby.join, dot.id, DEN)
        self.assertEqual(self.lobby.join(dot.id, DEN, "sesame"), self.room)

    def test_provided(self) -> None:
        """A room that a game provides belongs to nobody and stays when it is empty."""
        key = RoomKey("chess", "", "lounge")
        rules = RoomRules(hosted=False, permanent=True)
        lounge = self.lobby.provide_room(key, rules, capacity=2)
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.lobby.join(dot.id, key)
        self.assertEqual(lounge.host, 0)
        self.assertRaises(Refused, self.lobby.start, dot.id)
        self.lobby.exit(dot.id)
        self.assertEqual(self.lobby.room(key), lounge)
        self.assertRaises(Refused, self.lobby.close_room, key)
        self.assertEqual(
            [each for each in self.public if isinstance(each, RoomChanged)],
            [
                RoomChanged(key, Change.OPENED),
                RoomChanged(key, Change.JOINED, dot.id),
                RoomChanged(key, Change.LEFT, dot.id),
            ],
        )

    def test_kick(self) -> None:
        """Who is kicked is told with the others, hears no more, and is free to come back."""
        self.assertRefused(Why.NOT_HOST, self.lobby.kick, self.bob.id, self.cid.id)
        self.assertRefused(Why.NO_SUCH_PLAYER, self.lobby.kick, self.ann.id, self.ann.id)
        self.assertRefused(Why.NO_SUCH_PLAYER, self.lobby.kick, self.ann.id, 999)
        self.lobby.kick(self.ann.id, self.bob.id)
        ((ids, event),) = self.wire.take()
        self.assertEqual(ids, (self.ann.id, self.cid.id, self.bob.id))
        self.assertIs(event.why, Departure.KICKED)
        self.assertEqual(self.where(self.bob), [None])
        self.assertEqual(self.public, [RoomChanged(DEN, Change.LEFT, self.bob.id)])
        self.lobby.say(self.ann.id, "at last", ToRoom())
        self.assertEqual(self.wire.heard(self.bob), [])
        self.lobby.join(self.bob.id, DEN)
        self.assertEqual(self.ids(), [self.ann.id, self.cid.id, self.bob.id])

    def test_empty(self) -> None:
        """The room is gone with its last member, and its name is free."""
        for each in (self.ann, self.bob, self.cid):
            self.lobby.exit(each.id)
        self.assertEqual(list(self.lobby.rooms()), [])
        (dot,) = self.wire.enter(self.lobby, "dot")
        opened = self.lobby.open_room(dot.id, DEN, RoomRules(), capacity=1)
        self.assertEqual((opened.capacity, self.ids()), (1, [dot.id]))


class SessionTests(LobbyTestCase):
    """Rooms that end with their host, and when their game starts."""

    rules = RoomRules(
        succession=Succession.CLOSE,
        leaving_resets_readiness=True,
        starts_when_ready=2,
        ends_when_started=True,
    )

    def test_host_lost(self) -> None:
        """The room ends; its members are told and free, the host is gone and not told."""
        self.lobby.exit(self.ann.id)
        ((ids, event),) = self.wire.told
        self.assertEqual(ids, (self.bob.id, self.cid.id))
        self.assertIsInstance(event, RoomClosed)
        self.assertEqual(self.where(self.bob, self.cid), [None, None])
        self.assertEqual(
            self.public,
            [
                RoomChanged(DEN, Change.LEFT, self.ann.id),
                RoomChanged(DEN, Change.ENDED),
                PlayerExited(self.ann.id, "ann", "chess"),
            ],
        )

    def test_start(self) -> None:
        """All are ready: the game starts, the room is gone and everybody is free."""
        for each in (self.ann, self.bob, self.cid):
            self.assertEqual(self.where(each), [DEN])
            self.lobby.set_ready(each.id, True)
        ids, event = self.wire.told[-1]
        self.assertEqual(ids, (self.ann.id, self.bob.id, self.cid.id))
        self.assertIsInstance(event, RoomStarted)
        self.assertEqual([each.room for each in self.lobby.players()], [None] * 3)
        self.assertEqual(
            self.public,
            [RoomChanged(DEN, Change.STARTED, self.ann.id), RoomChanged(DEN, Change.ENDED)],
        )
        self.assertEqual(self.metrics.rooms_started, {"chess": 1})

    def test_start_without_the_last(self) -> None:
        """The loss of the one who was not ready starts the game of the others."""
        self.lobby.set_ready(self.ann.id, True)
        self.lobby.set_ready(self.bob.id, True)
        self.wire.take()
        self.lobby.exit(self.cid.id)
        self.assertEqual(
            [(ids, type(event)) for ids, event in self.wire.told],
            [((self.ann.id, self.bob.id), MemberLeft), ((self.ann.id, self.bob.id), RoomStarted)],
        )
        self.assertEqual(
            [each.change for each in self.public[:3]],
            [Change.LEFT, Change.STARTED, Change.ENDED],
        )
        self.assertEqual(self.where(self.ann, self.bob), [None, None])


class MoveTests(LobbyTestCase):
    """Leaving one room and joining or opening another, in one step."""

    ATTIC = RoomKey("chess", "", "attic")

    def move(self, player: Player, key: RoomKey, password: str = "", capacity: int = 2) -> Room:
        return self.lobby.move(player.id, key, self.rules, capacity=capacity, password=password)

    def test_open(self) -> None:
        """A room that is not there is opened; the old one hears first."""
        room = self.move(self.bob, self.ATTIC, "sesame")
        self.assertEqual((room.host, room.protected, room.capacity), (self.bob.id, True, 2))
        self.assertEqual(self.where(self.ann, self.bob), [DEN, self.ATTIC])
        self.assertEqual(
            [type(each) for each in self.wire.heard(self.bob)], [MemberLeft, RoomOpened]
        )
        self.assertEqual([type(each) for each in self.wire.heard(self.ann)], [MemberLeft])
        self.assertEqual(
            self.public,
            [
                RoomChanged(DEN, Change.LEFT, self.bob.id),
                RoomChanged(self.ATTIC, Change.OPENED, self.bob.id),
            ],
        )

    def test_join(self) -> None:
        """A room that is there is joined; nobody is told before both is done."""
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.move(dot, self.ATTIC)
        self.wire.take()
        self.wire.reaction = lambda: self.assertEqual(self.where(self.ann), [self.ATTIC])
        room = self.move(self.ann, self.ATTIC)
        self.assertEqual([each.id for each in room.members], [dot.id, self.ann.id])
        self.assertEqual(
            [type(event) for _, event in self.wire.told], [MemberLeft, HostChanged, MemberJoined]
        )
        self.assertEqual(self.ids(), [self.bob.id, self.cid.id])

    def test_refused(self) -> None:
        """Who cannot join stays, and nobody is told."""
        dot, eve = self.wire.enter(self.lobby, "dot", "eve")
        self.move(dot, self.ATTIC, "sesame")
        before = self.lobby.listing()
        self.wire.take()
        self.public.clear()
        self.assertRefused(Why.WRONG_PASSWORD, self.move, self.ann, self.ATTIC, "guess")
        self.assertEqual(self.lobby.listing(), before)
        self.move(eve, self.ATTIC, "sesame")
        self.wire.take()
        self.public.clear()
        self.assertRefused(Why.ROOM_FULL, self.move, self.ann, self.ATTIC, "sesame")
        self.lobby.start(dot.id)
        self.wire.take()
        self.public.clear()
        self.assertRefused(Why.ROOM_STARTED, self.move, self.ann, self.ATTIC, "sesame")
        self.assertEqual(self.where(self.ann), [DEN])

    def test_again(self) -> None:
        """Who moves to the room it is in leaves it and joins as the last, if it may."""
        self.lobby.set_password(self.ann.id, "sesame")
        self.assertRefused(Why.WRONG_PASSWORD, self.move, self.ann, DEN, "guess")
        self.move(self.ann, DEN, "sesame")
        self.assertEqual(self.ids(), [self.bob.id, self.cid.id, self.ann.id])
        self.assertEqual(self.room.host, self.bob.id)

    def test_again_alone(self) -> None:
        """Who is alone opens the room anew, whatever password the old one had."""
        self.move(self.ann, self.ATTIC, "old")
        self.move(self.ann, self.ATTIC, "new", capacity=3)
        self.assertEqual(list(self.lobby.rooms(password="old")), [self.room])
        self.assertEqual(self.lobby.room(self.ATTIC).capacity, 3)


class OperatorTests(LobbyTestCase):
    """What operators can do to players and rooms of any game."""

    def test_expel(self) -> None:
        """The player's wire is told, nobody else; the player is here until it has gone."""
        self.lobby.expel(self.bob.id, "enough")
        self.assertEqual(self.wire.take(), [((self.bob.id,), Expelled("enough"))])
        self.assertEqual((self.public, self.where(self.bob)), ([], [DEN]))
        self.wire.reaction = lambda: self.lobby.exit(self.bob.id)
        self.lobby.expel(self.bob.id, "enough")
        self.assertEqual(self.ids(), [self.ann.id, self.cid.id])
        self.assertRaises(KeyError, self.lobby.expel, self.bob.id, "enough")

    def test_announce(self) -> None:
        """Everybody of a game, or of all games, is told."""
        other = Wire()
        (dot,) = other.enter(self.lobby, "dot", game="go")
        self.public.clear()
        three = (self.ann.id, self.bob.id, self.cid.id)
        self.lobby.announce("soon", "chess")
        self.assertEqual((self.wire.take(), other.take()), ([(three, Announced("soon"))], []))
        self.lobby.announce("now")
        self.assertEqual(self.wire.take(), [(three, Announced("now"))])
        self.assertEqual(other.take(), [((dot.id,), Announced("now"))])
        self.lobby.announce("nobody", "checkers")
        self.assertEqual((self.wire.take(), other.take(), self.public), ([], [], []))

    def test_close_room(self) -> None:
        """All members are told and free; a room that is not there is refused."""
        self.lobby.close_room(DEN)
        [(ids, event)] = self.wire.take()
        self.assertEqual(ids, (self.ann.id, self.bob.id, self.cid.id))
        self.assertIsInstance(event, RoomClosed)
        self.assertEqual(self.where(self.ann, self.bob, self.cid), [None, None, None])
        self.assertEqual(self.public, [RoomChanged(DEN, Change.ENDED)])
        self.public.clear()
        self.assertRefused(Why.NO_SUCH_ROOM, self.lobby.close_room, DEN)

    def test_listing(self) -> None:
        """All players and all rooms, hidden ones too, as values that stay as they are."""
        (dot,) = self.wire.enter(self.lobby, "dot", game="go")
        yard = self.lobby.open_room(
            dot.id, RoomKey("go", "", "yard"), RoomRules(), capacity=1, visible=False
        )
        dot = self.now(dot)
        everything, den = self.lobby.listing(), self.room
        three = tuple(self.now(each) for each in (self.ann, self.bob, self.cid))
        self.assertEqual(everything, Listing((*three, dot), (den, yard)))
        self.assertEqual(self.lobby.listing("go"), Listing((dot,), (yard,)))
        self.lobby.exit(self.ann.id)
        self.lobby.rename(dot.id, "pip")
        self.assertEqual(everything, Listing((*three, dot), (den, yard)))


class ViewTests(LobbyTestCase):
    """How players are shown."""

    def test_traits(self) -> None:
        """What a game says of its players, for others to read."""
        said = {"program": "1.4"}
        dot = self.lobby.enter("dot", "go", self.wire.deliver, traits=said)
        said["program"] = "changed"
        self.assertEqual((dot.traits, self.ann.traits), ({"program": "1.4"}, {}))
        self.lobby.set_trait(dot.id, "channel", "english")
        self.assertEqual(dot.traits, {"program": "1.4"})
        self.assertEqual(self.now(dot).traits, {"program": "1.4", "channel": "english"})
        self.assertEqual((self.wire.told, self.public[1:]), ([], []))

    def test_built_once(self) -> None:
        """A view is kept until something changes; the old one stays as it was."""
        seen = [self.now(self.bob)]
        for change in (
            lambda: self.lobby.leave_room(self.bob.id),
            lambda: self.lobby.join(self.bob.id, DEN),
            lambda: self.lobby.rename(self.bob.id, "rob"),
            lambda: self.lobby.mute(self.bob.id),
            lambda: self.lobby.set_trait(self.bob.id, "program", "1.4"),
            lambda: self.lobby.close_room(DEN),
        ):
            self.assertIs(self.now(self.bob), seen[-1])
            change()
            self.assertNotEqual(self.now(self.bob), seen[-1])
            seen.append(self.now(self.bob))
        self.assertEqual(seen[0], seen[2])

    def test_rooms_a_password_opens(self) -> None:
        """Rooms can be listed as somebody with a password may see them."""
        dot, eve = self.wire.enter(self.lobby, "dot", "eve")
        one, two = (RoomKey("chess", "", name) for name in ("one", "two"))
        for player, key in ((dot, one), (eve, two)):
            self.lobby.open_room(
                player.id, key, self.rules, capacity=2, password=f"of {player.name}"
            )
        for password, wanted in (("", [DEN]), ("of dot", [DEN, one]), ("of eve", [DEN, two])):
            rooms = self.lobby.rooms("chess", "", password=password)
            self.assertEqual([room.key for room in rooms], wanted)


class OrderTests(LobbyTestCase):
    """Everybody hears everything once and in one order."""

    def test_wish_while_told(self) -> None:
        """A wish that is made while being told comes true at once and is told afterwards."""
        self.wire.reaction = lambda: (
            self.lobby.say(self.cid.id, "already?", ToRoom()),
            self.lobby.leave_room(self.bob.id),
            self.assertEqual(self.where(self.bob), [None]),
            self.assertEqual(len(self.wire.told), 1),
        )
        self.lobby.leave_room(self.ann.id)
        left, host, said, left_too, host_too = self.wire.heard(self.cid)
        self.assertEqual((left.player.id, host.host), (self.ann.id, self.bob.id))
        self.assertEqual(said.text, "already?")
        self.assertEqual((left_too.player.id, host_too.host), (self.bob.id, self.cid.id))
        self.assertEqual(self.wire.heard(self.bob), [left, host, said, left_too])
        self.assertEqual(self.wire.heard(self.ann), [left])
        self.assertEqual(
            self.public,
            [
                RoomChanged(DEN, Change.LEFT, self.ann.id),
                Spoken(self.cid.id, "chess", 2),
                RoomChanged(DEN, Change.LEFT, self.bob.id),
            ],
        )

    def test_many_wires(self) -> None:
        """Each wire is called once per event, with its own players in the event's order."""
        other = Wire()
        dot, eve = other.enter(self.lobby, "dot", "eve")
        self.lobby.join(dot.id, DEN)
        self.wire.take()
        other.take()
        for each in (eve, self.bob, dot, self.ann):
            self.lobby.listen(each.id, "english")
        self.lobby.say(self.ann.id, "hello", ToChannel("english"))
        said = ChatSaid(self.ann.id, "ann", "hello", "english")
        self.assertEqual(self.wire.take(), [((self.bob.id, self.ann.id), said)])
        self.assertEqual(other.take(), [((eve.id, dot.id), said)])

    def test_gone_while_others_are_told(self) -> None:
        """Who goes while the first are told is told nothing any more."""
        other = Wire()
        (dot,) = other.enter(self.lobby, "dot")
        self.lobby.join(dot.id, DEN)
        self.wire.take()
        other.take()
        self.wire.reaction = lambda: self.lobby.exit(dot.id)
        self.lobby.leave_room(self.ann.id)
        self.assertEqual(other.told, [])
        self.assertEqual(
            [type(each) for each in self.wire.heard(self.bob)],
            [MemberLeft, HostChanged, MemberLeft],
        )

    def test_gone_before_it_is_told(self) -> None:
        """Who is told that a player is lost can have the name and the place at once."""
        self.lobby.limit("chess", 3)
        self.wire.reaction = lambda: self.wire.enter(self.lobby, "cid")
        self.lobby.exit(self.cid.id)
        self.assertGreater(self.lobby.find("chess", "cid").id, self.cid.id)
        self.assertEqual(self.lobby.present("chess"), 3)
        self.assertEqual(
            [type(each) for each in self.public], [RoomChanged, PlayerExited, PlayerEntered]
        )

    def test_failing_wire(self) -> None:
        """A wire that fails is logged; the other wires, and later events, are as ever."""

        def fail(ids: Sequence[int], event: object) -> None:
            raise ValueError("this wire is broken")

        dot = self.lobby.enter("dot", "chess", fail)
        after = Wire()
        (eve,) = after.enter(self.lobby, "eve")
        for each in (dot, self.ann, eve):
            self.lobby.listen(each.id, "english")
        self.lobby.say(dot.id, "one", ToChannel("english"))
        self.lobby.say(dot.id, "two", ToChannel("english"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        for heard in (self.wire.heard(self.ann), after.heard(eve)):
            self.assertEqual([each.text for each in heard], ["one", "two"])

    def test_failing_subscriber(self) -> None:
        """A subscriber that fails is logged; players and other subscribers hear all."""
        self.unsubscribe()

        def fail(event: object) -> None:
            raise ValueError("this subscriber is broken")

        self.lobby.subscribe(fail)
        self.lobby.subscribe(self.public.append)
        self.lobby.say(self.ann.id, "hello", ToRoom())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(self.wire.heard(self.bob)), 1)
        self.assertEqual(self.public, [Spoken(self.ann.id, "chess", 3)])

    def test_exit_is_told_whole(self) -> None:
        """What somebody does on hearing of a loss is told after all of the loss."""
        self.wire.reaction = lambda: self.lobby.close_room(DEN)
        self.lobby.exit(self.ann.id)
        self.assertEqual(
            self.public,
            [
                RoomChanged(DEN, Change.LEFT, self.ann.id),
                PlayerExited(self.ann.id, "ann", "chess"),
                RoomChanged(DEN, Change.ENDED),
            ],
        )


class FailureTests(LobbyTestCase):
    """An exception silences nobody but, perhaps, the one it concerns."""

    def fail(self, *args: object, **kwargs: object) -> None:
        raise ValueError("a bug")

    def assertWorks(self) -> None:
        """The lobby tells what happens in it."""
        self.wire.take()
        self.public.clear()
        self.lobby.say(self.bob.id, "hello", ToRoom())
        self.assertEqual(len(self.wire.heard(self.cid)), 1)
        self.assertEqual(len(self.public), 1)

    def test_rules(self) -> None:
        """A rule that raises ends in the caller; what was done before is told."""
        attic = RoomKey("chess", "", "attic")
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.lobby.open_room(dot.id, attic, RoomRules(), capacity=4)
        for rule, wish, *args in (
            ("leave", self.lobby.leave_room, self.bob.id),
            ("kick", self.lobby.kick, self.ann.id, self.bob.id),
            ("set_ready", self.lobby.set_ready, self.bob.id, True),
            ("start", self.lobby.start, self.ann.id),
            ("close", self.lobby.close_room, DEN),
            ("set_property", self.lobby.set_property, self.ann.id, "map", 1),
        ):
            patch = self.patch(RoomRecord, rule, self.fail)
            self.assertRaises(ValueError, wish, *args)
            patch.restore()
            self.assertWorks()
        patch = self.patch(RoomRecord, "leave", self.fail)
        self.public.clear()
        self.assertRaises(ValueError, self.lobby.exit, dot.id)
        self.assertEqual(self.public, [PlayerExited(dot.id, "dot", "chess")])
        patch.restore()
        self.assertWorks()

    def test_rule_in_the_middle_of_a_move(self) -> None:
        """Those who were left are told."""
        patch = self.patch(RoomRecord, "open", self.fail)
        attic = RoomKey("chess", "", "attic")
        self.assertRaises(ValueError, self.lobby.move, self.ann.id, attic, RoomRules(), capacity=2)
        self.assertEqual(
            [type(each) for each in self.wire.heard(self.bob)], [MemberLeft, HostChanged]
        )
        patch.restore()
        self.assertWorks()

    def test_wish_of_one_who_is_told(self) -> None:
        """A rule that raises while somebody is told stops neither others nor later events."""
        other = Wire()
        (dot,) = other.enter(self.lobby, "dot")
        self.lobby.join(dot.id, DEN)
        other.take()
        patch = self.patch(RoomRecord, "leave", self.fail)
        self.wire.reaction = lambda: self.lobby.exit(self.ann.id)
        self.lobby.say(self.cid.id, "one", ToRoom())
        patch.restore()
        self.lobby.say(self.cid.id, "two", ToRoom())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([each.text for each in other.heard(dot)], ["one", "two"])
        self.assertIn(PlayerExited(self.ann.id, "ann", "chess"), self.public)


class PublicTests(LobbyTestCase):
    """The public stream, and what is counted."""

    def test_unsubscribe(self) -> None:
        """Who has unsubscribed hears no more; the others do."""
        others: list[object] = []
        self.lobby.subscribe(others.append)
        self.unsubscribe()
        self.lobby.say(self.ann.id, "hello", ToRoom())
        self.assertEqual((self.public, len(others)), ([], 1))

    def test_nothing_said(self) -> None:
        """That somebody spoke is public, to how many, but not what was said."""
        self.lobby.say(self.ann.id, "between us", ToRoom())
        self.assertEqual(self.public, [Spoken(self.ann.id, "chess", 3)])
        self.assertNotIn("between us", repr(self.public))

    def test_newcomer(self) -> None:
        """A player comes, joins and is lost."""
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.lobby.join(dot.id, DEN)
        (joined,) = self.wire.heard(dot)
        self.assertIsInstance(joined, MemberJoined)
        self.lobby.exit(dot.id)
        self.assertEqual(
            self.public,
            [
                PlayerEntered(dot.id, "dot", "chess"),
                RoomChanged(DEN, Change.JOINED, dot.id),
                RoomChanged(DEN, Change.LEFT, dot.id),
                PlayerExited(dot.id, "dot", "chess"),
            ],
        )

    def test_counters(self) -> None:
        """What has happened so far, per game."""
        self.lobby.say(self.ann.id, "hello", ToRoom())
        self.lobby.start(self.ann.id)
        metrics = self.metrics
        self.assertEqual(metrics.players_entered, {"chess": 3})
        self.assertEqual(metrics.rooms_opened, {"chess": 1})
        self.assertEqual(metrics.chat_lines, {"chess": 1})
        self.assertEqual(metrics.rooms_started, {"chess": 1})

    def test_gauges(self) -> None:
        """How many players and rooms there are now, per game."""
        self.wire.enter(self.lobby, "dot", game="go")
        self.lobby.exit(self.cid.id)

        def value(name: str, game: str) -> float | None:
            return self.metrics.registry.get_sample_value(f"gameservers_{name}", {"game": game})

        self.assertEqual([value("players", "chess"), value("players", "go")], [2, 1])
        self.assertEqual([value("rooms", "chess"), value("rooms", "go")], [1, None])
