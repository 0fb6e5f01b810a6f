"""Tests for L{gameservers.lobby.rooms}: a room alone, without a lobby."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import Departure, Member, Refused, Room, RoomKey, RoomRules, Succession, Why
from gameservers.lobby.events import (
    Envelope,
    HostChanged,
    MemberJoined,
    MemberLeft,
    PropertyChanged,
    ReadinessChanged,
    RoomClosed,
    RoomOpened,
    RoomStarted,
)
from gameservers.lobby.rooms import RoomRecord

KEY = RoomKey("chess", "", "den")
ANN, BOB, CID = Member(1, "ann"), Member(2, "bob"), Member(3, "cid")

#: A room that its host holds together until the game starts, and that is over then.
SESSION = RoomRules(
    succession=Succession.CLOSE,
    leaving_resets_readiness=True,
    starts_when_ready=2,
    ends_when_started=True,
)


def room_of(*members: Member, rules: RoomRules = RoomRules(), capacity: int = 4) -> RoomRecord:  # noqa: B008
    """A room which these have joined; the first of them has opened it."""
    room = RoomRecord(KEY, rules, capacity)
    for member in members:
        if room.members:
            room.join(member.id, member.name)
        else:
            room.open(member.id, member.name)
    for member in members:
        if member.ready:
            room._set(member)
    return room


def ready(member: Member) -> Member:
    return replace(member, ready=True)


class RoomTestCase(SynchronousTestCase):
    def assertRefused(self, room: RoomRecord, why: Why, wish: object, *args: object) -> None:
        """The room refuses for this reason, and stays as it was."""

        def picture() -> dict[str, object]:
            return vars(room) | {"current": room.view(), "members": list(room.members.items())}

        before = picture()
        refused = self.assertRaises(Refused, wish, *args)
        self.assertIs(refused.why, why)
        self.assertEqual(str(refused), why.value)
        self.assertEqual(picture(), before)


class JoiningTests(RoomTestCase):
    """Coming in."""

    def test_open(self) -> None:
        """Who opens a room is its host and hears that it stands."""
        room = RoomRecord(KEY, RoomRules(), 2)
        self.assertEqual(room.open(1, "ann"), [Envelope((1,), RoomOpened(KEY, (ANN,)))])
        self.assertEqual((room.host, room.started, room.ended), (1, False, False))

    def test_open_unhosted(self) -> None:
        """A room that belongs to nobody does not belong to the one who opened it."""
        room = RoomRecord(KEY, RoomRules(hosted=False), 2)
        room.open(1, "ann")
        self.assertEqual(room.host, 0)
        (joined,) = room.join(2, "bob")
        self.assertEqual(joined.event, MemberJoined(KEY, 2, 0, (ANN, BOB)))
        (left,) = room.leave(1, Departure.LEFT)
        self.assertEqual(left.event, MemberLeft(KEY, ANN, Departure.LEFT, 0, (BOB,)))

    def test_join(self) -> None:
        """All hear of a new member, this one too, and know all the others by it."""
        room = room_of(ANN, BOB)
        joined = MemberJoined(KEY, 3, 1, (ANN, BOB, CID))
        self.assertEqual(room.join(3, "cid"), [Envelope((1, 2, 3), joined)])

    def test_capacity(self) -> None:
        """Nobody comes in beyond the capacity, and a place that is left is free."""
        room = room_of(ANN, BOB, capacity=2)
        self.assertTrue(room.view().full)
        self.assertRefused(room, Why.ROOM_FULL, room.join, 3, "cid")
        room.leave(2, Departure.LEFT)
        self.assertFalse(room.view().full)
        room.join(3, "cid")
        self.assertEqual(list(room.members), [1, 3])

    def test_password(self) -> None:
        """A protected room lets in who knows the password exactly, whatever its alphabet."""
        for password in ("sesame", "пароль", "\udcff", " "):
            room = room_of(ANN)
            self.assertFalse(room.view().protected)
            room.set_password(1, password)
            self.assertTrue(room.view().protected)
            for wrong in ("", password + " ", password[:-1], password.swapcase() + "x"):
                self.assertRefused(room, Why.WRONG_PASSWORD, room.join, 2, "bob", wrong)
            room.join(2, "bob", password)
            self.assertIn(2, room.members)

    def test_admit(self) -> None:
        """A room says beforehand what it would have against a further member."""
        room = room_of(ANN, capacity=2)
        room.admit()
        room.set_password(1, "sesame")
        self.assertTrue(room.opens_to("sesame"))
        self.assertFalse(room.opens_to(""))
        room.admit("sesame")
        self.assertRefused(room, Why.WRONG_PASSWORD, room.admit, "guess")
        room.join(2, "bob", "sesame")
        self.assertRefused(room, Why.ROOM_FULL, room.admit, "sesame")

    def test_open_door(self) -> None:
        """Where no password is needed, any will do."""
        room = room_of(ANN)
        room.set_password(1, "sesame")
        room.set_password(1, "")
        room.join(2, "bob", "anything")
        self.assertIn(2, room.members)

    def test_started(self) -> None:
        """Nobody comes in once the game has started, not even with the password."""
        room = room_of(ANN)
        room.start(1)
        self.assertRefused(room, Why.ROOM_STARTED, room.join, 2, "bob")

    def test_permanent(self) -> None:
        """The first to come into an empty room that has a host is the host."""
        room = RoomRecord(KEY, RoomRules(permanent=True), 2)
        (joined,) = room.join(1, "ann")
        self.assertEqual(joined.event, MemberJoined(KEY, 1, 1, (ANN,)))
        room.leave(1, Departure.LEFT)
        self.assertEqual((room.host, room.ended), (0, False))
        room.join(2, "bob")
        self.assertEqual(room.host, 2)


class LeavingTests(RoomTestCase):
    """Going."""

    def test_told(self) -> None:
        """Those who stay hear of it, and the one who goes unless lost."""
        for why, to in (
            (Departure.LEFT, (1, 3, 2)),
            (Departure.KICKED, (1, 3, 2)),
            (Departure.LOST, (1, 3)),
        ):
            room = room_of(ANN, BOB, CID)
            left = MemberLeft(KEY, BOB, why, 1, (ANN, CID))
            self.assertEqual(room.leave(2, why), [Envelope(to, left)])

    def test_succession(self) -> None:
        """The host's place falls to the longest-standing member, again and again."""
        room = room_of(ANN, BOB, CID)
        room.leave(2, Departure.LEFT)
        room.join(2, "bob")
        left = MemberLeft(KEY, ANN, Departure.LOST, 3, (CID, BOB))
        self.assertEqual(
            room.leave(1, Departure.LOST),
            [Envelope((3, 2), left), Envelope((3, 2), HostChanged(KEY, 3))],
        )
        room.leave(3, Departure.LEFT)
        self.assertEqual((room.host, room.ended), (2, False))

    def test_last(self) -> None:
        """The room ends with its last member."""
        room = room_of(ANN)
        left = MemberLeft(KEY, ANN, Departure.LEFT, 0, ())
        self.assertEqual(room.leave(1, Departure.LEFT), [Envelope((1,), left)])
        self.assertTrue(room.ended)
        room = room_of(ANN)
        self.assertEqual(room.leave(1, Departure.LOST), [])
        self.assertTrue(room.ended)

    def test_close(self) -> None:
        """By rule the room ends with its host; all hear of it, the host too unless lost."""
        for why, to in ((Departure.LEFT, (1, 2)), (Departure.LOST, (2,))):
            room = room_of(ANN, BOB, rules=SESSION)
            closed = RoomClosed(KEY, (ANN, BOB))
            self.assertEqual(room.leave(1, why), [Envelope(to, closed)])
            self.assertEqual((room.host, room.ended, room.members), (0, True, {}))
        room = room_of(ANN, rules=SESSION)
        self.assertEqual(room.leave(1, Departure.LOST), [])
        self.assertTrue(room.ended)

    def test_closed_by_an_operator(self) -> None:
        """An operator ends a room, and all hear of it, but no permanent one."""
        room = room_of(ANN, BOB)
        self.assertEqual(room.close(), [Envelope((1, 2), RoomClosed(KEY, (ANN, BOB)))])
        self.assertTrue(room.ended)
        room = room_of(ANN, rules=RoomRules(permanent=True))
        self.assertRefused(room, Why.PERMANENT, room.close)

    def test_kick(self) -> None:
        """The host removes another member, nobody else does, and not the host itself."""
        room = room_of(ANN, BOB, CID)
        self.assertRefused(room, Why.NOT_HOST, room.kick, 2, 3)
        self.assertRefused(room, Why.NO_SUCH_PLAYER, room.kick, 1, 1)
        self.assertRefused(room, Why.NO_SUCH_PLAYER, room.kick, 1, 9)
        left = MemberLeft(KEY, CID, Departure.KICKED, 1, (ANN, BOB))
        self.assertEqual(room.kick(1, 3), [Envelope((1, 2, 3), left)])


class ReadinessTests(RoomTestCase):
    """Getting ready, and what starts a game."""

    def test_told(self) -> None:
        """All hear who is ready, and who is no longer."""
        room = room_of(ANN, BOB)
        for member in (ready(BOB), BOB):
            changed = ReadinessChanged(KEY, 2, (ANN, member))
            self.assertEqual(room.set_ready(2, member.ready), [Envelope((1, 2), changed)])

    def test_all_ready(self) -> None:
        """The game starts when all are ready, and it starts once."""
        room = room_of(ANN, BOB, rules=RoomRules(starts_when_ready=2))
        self.assertEqual(len(room.set_ready(1, True)), 1)
        started = RoomStarted(KEY, 1, (ready(ANN), ready(BOB)))
        self.assertEqual(room.set_ready(2, True)[1:], [Envelope((1, 2), started)])
        self.assertEqual(list(room.members), [1, 2])
        self.assertEqual(len(room.set_ready(2, True)), 1)

    def test_not_enough(self) -> None:
        """Too few do not start a game, even if all are ready; and by default nobody does."""
        room = room_of(ANN, rules=SESSION)
        room.set_ready(1, True)
        self.assertFalse(room.started)
        room = room_of(ANN, BOB)
        room.set_ready(1, True)
        room.set_ready(2, True)
        self.assertFalse(room.started)

    def test_newcomer(self) -> None:
        """A newcomer is not ready, so the game waits for it."""
        room = room_of(ready(ANN), rules=SESSION)
        room.join(2, "bob")
        room.join(3, "cid")
        room.set_ready(2, True)
        self.assertFalse(room.started)
        room.set_ready(3, True)
        self.assertTrue(room.started)

    def test_ends_when_started(self) -> None:
        """By rule the room is over when the game starts."""
        room = room_of(ready(ANN), BOB, rules=SESSION)
        room.set_ready(2, True)
        self.assertEqual((room.started, room.ended, room.members), (True, True, {}))

    def test_departure_starts(self) -> None:
        """Where the one who is kicked or lost was not ready, the others may start."""
        for why in (Departure.KICKED, Departure.LOST):
            room = room_of(ready(ANN), ready(BOB), CID, rules=SESSION)
            started = RoomStarted(KEY, 1, (ready(ANN), ready(BOB)))
            self.assertEqual(room.leave(3, why)[1:], [Envelope((1, 2), started)])

    def test_leaving_resets(self) -> None:
        """By rule nobody is ready any more when somebody leaves by choice."""
        room = room_of(ready(ANN), ready(BOB), CID, rules=SESSION)
        (left,) = room.leave(3, Departure.LEFT)
        self.assertEqual(left.event, MemberLeft(KEY, CID, Departure.LEFT, 1, (ANN, BOB)))
        self.assertFalse(room.started)

    def test_leaving_does_not_reset(self) -> None:
        """Without that rule the others stay ready, and may start."""
        room = room_of(ready(ANN), ready(BOB), CID, rules=RoomRules(starts_when_ready=2))
        room.leave(3, Departure.LEFT)
        self.assertTrue(room.started)

    def test_too_few_remain(self) -> None:
        """The one who remains does not start alone."""
        room = room_of(ready(ANN), BOB, rules=SESSION)
        room.leave(2, Departure.LOST)
        self.assertFalse(room.started)

    def test_successor_starts(self) -> None:
        """Where the host's loss starts the game, it is the successor's."""
        room = room_of(ANN, ready(BOB), ready(CID), rules=RoomRules(starts_when_ready=2))
        events = [envelope.event for envelope in room.leave(1, Departure.LOST)]
        self.assertEqual([type(each) for each in events], [MemberLeft, HostChanged, RoomStarted])
        self.assertEqual(events[-1], RoomStarted(KEY, 2, (ready(BOB), ready(CID))))

    def test_start(self) -> None:
        """The host starts, no matter who is ready, and only once; the others do not."""
        room = room_of(ANN, ready(BOB))
        self.assertRefused(room, Why.NOT_HOST, room.start, 2)
        started = RoomStarted(KEY, 1, (ANN, ready(BOB)))
        self.assertEqual(room.start(1), [Envelope((1, 2), started)])
        self.assertRefused(room, Why.ROOM_STARTED, room.start, 1)


class PropertiesTests(RoomTestCase):
    """What the host sets."""

    def test_property(self) -> None:
        """All hear of a new value; only the host sets it."""
        room = room_of(ANN, BOB)
        changed = PropertyChanged(KEY, "map", "arena")
        self.assertEqual(room.set_property(1, "map", "arena"), [Envelope((1, 2), changed)])
        self.assertEqual(room.properties, {"map": "arena"})
        self.assertRefused(room, Why.NOT_HOST, room.set_property, 2, "map", "den")

    def test_password(self) -> None:
        """Nobody is told a password; only the host sets it."""
        room = room_of(ANN, BOB)
        room.set_password(1, "sesame")
        self.assertRefused(room, Why.NOT_HOST, room.set_password, 2, "mine")

    def test_unhosted(self) -> None:
        """Where there is no host, nobody does what a host does."""
        room = room_of(ANN, BOB, rules=RoomRules(hosted=False))
        for wish, *args in (
            (room.start,),
            (room.kick, 2),
            (room.set_password, "mine"),
            (room.set_property, "map", "den"),
        ):
            self.assertRefused(room, Why.NOT_HOST, wish, 1, *args)


class ViewTests(RoomTestCase):
    """How a room is shown."""

    def test_view(self) -> None:
        room = room_of(ANN, BOB, capacity=3)
        room.set_property(1, "map", "arena")
        room.set_password(1, "sesame")
        self.assertEqual(
            room.view(), Room(KEY, 3, (ANN, BOB), 1, True, True, False, {"map": "arena"})
        )
        self.assertNotIn("sesame", repr(room.view()))

    def test_member(self) -> None:
        view = room_of(ANN, BOB).view()
        self.assertEqual(view.member(2), BOB)
        self.assertRaises(KeyError, view.member, 3)

    def test_built_once(self) -> None:
        """The view is kept until something changes; the old one stays as it was."""
        room = room_of(ANN, BOB, CID)
        seen = [room.view()]
        for change in (
            lambda: room.leave(3, Departure.LEFT),
            lambda: room.join(3, "cid"),
            lambda: room.rename(3, "dot"),
            lambda: room.set_ready(2, True),
            lambda: room.set_password(1, "sesame"),
            lambda: room.set_property(1, "map", "arena"),
            lambda: room.start(1),
            lambda: room.leave(1, Departure.LOST),
            lambda: room.close(),
        ):
            self.assertIs(room.view(), seen[-1])
            change()
            self.assertNotEqual(room.view(), seen[-1])
            seen.append(room.view())
        self.assertEqual(seen[0], room_of(ANN, BOB, CID).view())

    def test_without(self) -> None:
        """The room as it would be without a member; it stays as it is."""
        room = room_of(ANN, BOB)
        before = room.view()
        self.assertEqual(room.without(1).view(), room_of(BOB).view())
        self.assertEqual((room.view(), room.ended), (before, False))
        self.assertTrue(room_of(ANN).without(1).ended)
        room = room_of(ANN, BOB, rules=SESSION)
        self.assertTrue(room.without(1).ended)
        self.assertEqual(list(room.members), [1, 2])
