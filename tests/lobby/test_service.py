"""Tests for L{gameservers.lobby.service}: who is here, and who is told in which order."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import (
    Departure,
    Lobby,
    Refused,
    RoomKey,
    RoomRules,
    Succession,
    ToChannel,
    ToRoom,
    Why,
    service,
)
from gameservers.lobby.events import (
    Change,
    ChatSaid,
    HostChanged,
    MemberJoined,
    MemberLeft,
    PlayerEntered,
    PlayerExited,
    RoomChanged,
    RoomClosed,
    RoomStarted,
    Spoken,
)
from tests.lobby.wires import Wire

DEN = RoomKey("chess", "", "den")


class LobbyTestCase(SynchronousTestCase):
    """A lobby, a wire, and three players of it in one room, of which the first is the host."""

    rules = RoomRules()

    def setUp(self) -> None:
        self.clock = Clock()
        self.lobby = Lobby(self.clock)
        self.wire = Wire()
        self.ann, self.bob, self.cid = self.wire.enter(self.lobby, "ann", "bob", "cid")
        self.room = self.lobby.open_room(self.ann.id, DEN, self.rules, capacity=4)
        self.lobby.join(self.bob.id, DEN)
        self.lobby.join(self.cid.id, DEN)
        self.wire.take()
        self.public: list[object] = []
        self.unsubscribe = self.lobby.subscribe(self.public.append)

    def assertRefused(self, why: Why, wish: object, *args: object, **kwargs: object) -> None:
        """The wish is refused for this reason, and nobody hears of it."""
        refused = self.assertRaises(Refused, wish, *args, **kwargs)
        self.assertIs(refused.why, why)
        self.assertEqual(self.wire.told, [])
        self.assertEqual(self.public, [])


class PresenceTests(LobbyTestCase):
    """Who is here."""

    def test_player(self) -> None:
        """A player is found by id and by name, and knows since when he is here."""
        self.clock.advance(5)
        dot = self.lobby.enter("dot", "go", self.wire.deliver, address="192.0.2.1")
        self.assertIs(self.lobby.player(dot.id), dot)
        self.assertIs(self.lobby.find("go", "dot"), dot)
        self.assertIsNone(self.lobby.find("chess", "dot"))
        self.assertEqual((dot.name, dot.game, dot.address), ("dot", "go", "192.0.2.1"))
        self.assertEqual(dot.since, 5)
        self.assertEqual(list(self.lobby.players()), [self.ann, self.bob, self.cid, dot])
        self.assertEqual(list(self.lobby.players("go")), [dot])
        self.assertEqual((self.lobby.present("go"), self.lobby.present("chess")), (1, 3))

    def test_unique_names(self) -> None:
        """A unique name is its game's only one, to the letter, until the player is gone."""
        self.assertRefused(Why.NAME_TAKEN, self.lobby.enter, "ann", "chess", self.wire.deliver)
        self.wire.enter(self.lobby, "ann", game="go")
        self.wire.enter(self.lobby, "Ann")
        self.lobby.exit(self.ann.id)
        (again,) = self.wire.enter(self.lobby, "ann")
        self.assertIs(self.lobby.find("chess", "ann"), again)

    def test_shared_names(self) -> None:
        """Names that need not be unique are not found by, and free nobody's name."""
        one, two = (self.lobby.enter("x", "go", self.wire.deliver, unique=False) for _ in range(2))
        self.assertIsNone(self.lobby.find("go", "x"))
        (unique,) = self.wire.enter(self.lobby, "x", game="go")
        self.lobby.exit(one.id)
        self.lobby.exit(two.id)
        self.assertIs(self.lobby.find("go", "x"), unique)

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

    def test_refused_leaves_no_trace(self) -> None:
        """Who is not let in uses up no id and is not counted."""
        self.lobby.limit("chess", 3)
        before = dict(self.lobby.counters)
        self.assertRefused(Why.LOBBY_FULL, self.lobby.enter, "eve", "chess", self.wire.deliver)
        self.assertEqual(dict(self.lobby.counters), before)
        self.assertEqual(self.lobby.distinct("chess.names"), 3)
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
        """A player takes another name, in his room too, but not one that is taken."""
        self.assertRefused(Why.NAME_TAKEN, self.lobby.rename, self.bob.id, "ann")
        self.lobby.rename(self.bob.id, "rob")
        self.lobby.rename(self.ann.id, "ann")
        self.assertIs(self.lobby.find("chess", "rob"), self.bob)
        self.assertIsNone(self.lobby.find("chess", "bob"))
        self.assertEqual(self.room.members[self.bob.id].name, "rob")
        twins = [self.lobby.enter("t", "go", self.wire.deliver, unique=False) for _ in range(2)]
        self.lobby.rename(twins[0].id, "u")
        self.assertEqual([twin.name for twin in twins], ["u", "t"])

    def test_gone(self) -> None:
        """Who is gone is in no room and no channel, and hears nothing."""
        self.lobby.listen(self.cid.id, "english")
        self.lobby.exit(self.cid.id)
        self.lobby.say(self.ann.id, "bye", ToChannel("english"))
        self.assertEqual(self.public[-1], Spoken(self.ann.id, "chess", 0))
        self.lobby.say(self.ann.id, "bye", ToRoom())
        self.assertEqual(self.wire.heard(self.cid), [])
        self.assertEqual(list(self.room.members), [self.ann.id, self.bob.id])


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
        self.assertIs(self.lobby.join(dot.id, DEN, "sesame"), self.room)

    def test_provided(self) -> None:
        """A room of the house belongs to nobody and stays when it is empty."""
        key = RoomKey("chess", "", "lounge")
        rules = RoomRules(hosted=False, permanent=True)
        lounge = self.lobby.provide_room(key, rules, capacity=2)
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.lobby.join(dot.id, key)
        self.assertEqual(lounge.host, 0)
        self.assertRaises(Refused, self.lobby.start, dot.id)
        self.lobby.exit(dot.id)
        self.assertIs(self.lobby.room(key), lounge)
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
        self.assertIsNone(self.bob.room)
        self.assertEqual(self.public, [RoomChanged(DEN, Change.LEFT, self.bob.id)])
        self.lobby.say(self.ann.id, "at last", ToRoom())
        self.assertEqual(self.wire.heard(self.bob), [])
        self.lobby.join(self.bob.id, DEN)
        self.assertEqual(list(self.room.members), [self.ann.id, self.cid.id, self.bob.id])

    def test_empty(self) -> None:
        """The room is gone with its last member, and its name is free."""
        for each in (self.ann, self.bob, self.cid):
            self.lobby.exit(each.id)
        self.assertEqual(list(self.lobby.rooms()), [])
        (dot,) = self.wire.enter(self.lobby, "dot")
        self.assertIsNot(self.lobby.open_room(dot.id, DEN, RoomRules(), capacity=1), self.room)


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
        self.assertEqual((self.bob.room, self.cid.room), (None, None))
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
            self.assertIsNotNone(each.room)
            self.lobby.set_ready(each.id, True)
        ids, event = self.wire.told[-1]
        self.assertEqual(ids, (self.ann.id, self.bob.id, self.cid.id))
        self.assertIsInstance(event, RoomStarted)
        self.assertEqual([each.room for each in self.lobby.players()], [None] * 3)
        self.assertEqual(
            self.public,
            [RoomChanged(DEN, Change.STARTED, self.ann.id), RoomChanged(DEN, Change.ENDED)],
        )
        self.assertEqual(self.lobby.counters["chess.started"], 1)

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
        self.assertEqual((self.ann.room, self.bob.room), (None, None))


class OrderTests(LobbyTestCase):
    """Everybody hears everything once and in one order."""

    def test_wish_while_told(self) -> None:
        """A wish that is made while being told comes true at once and is told afterwards."""
        self.wire.reaction = lambda: (
            self.lobby.say(self.cid.id, "already?", ToRoom()),
            self.lobby.leave_room(self.bob.id),
            self.assertIsNone(self.bob.room),
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
        """Whoever is told that a player is lost can have his name and place at once."""
        self.lobby.limit("chess", 3)
        self.wire.reaction = lambda: self.wire.enter(self.lobby, "cid")
        self.lobby.exit(self.cid.id)
        self.assertIsNot(self.lobby.find("chess", "cid"), self.cid)
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
        """That somebody spoke is public, to how many, but not what he said."""
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
        self.assertEqual(
            dict(self.lobby.counters),
            {"chess.players": 3, "chess.rooms": 1, "chess.lines": 1, "chess.started": 1},
        )

    def test_distinct(self) -> None:
        """Different values are counted once each, and no more than are remembered."""
        self.assertEqual(self.lobby.distinct("addresses"), 0)
        with mock.patch.object(service, "MAX_DISTINCT", 3):
            for value in ("a", "b", "a", "c", "d", "e", "a"):
                self.lobby.count_distinct("addresses", value)
        self.assertEqual(self.lobby.distinct("addresses"), 3)
        self.lobby.exit(self.cid.id)
        self.wire.enter(self.lobby, "cid", "dot")
        self.assertEqual(self.lobby.distinct("chess.names"), 4)
