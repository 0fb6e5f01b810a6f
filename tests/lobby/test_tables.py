"""Tests for rooms of which a player may be in several, and for the queue."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import Lobby, Refused, RoomKey, RoomRules, Why
from gameservers.lobby.events import Change, MemberLeft, PlayerExited, RoomChanged, RoomClosed
from tests.lobby.wires import Wire

TABLE = RoomRules(hosted=False, exclusive=False)


def key(name: str) -> RoomKey:
    return RoomKey("chess", "", name)


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lobby = Lobby(Clock())
        self.wire = Wire()
        self.ann, self.bob = self.wire.enter(self.lobby, "ann", "bob")
        for name in ("one", "two"):
            self.lobby.open_room(self.ann.id, key(name), TABLE, capacity=2)
            self.lobby.join(self.bob.id, key(name))
        self.wire.take()

    def test_several_beside_the_exclusive_one(self) -> None:
        """A player sits at several tables and still finds an exclusive room."""
        self.lobby.open_room(self.ann.id, key("den"), RoomRules(), capacity=2)
        self.lobby.open_room(self.ann.id, key("three"), TABLE, capacity=2)
        self.assertEqual(set(self.ann.tables), {key("one"), key("two"), key("three")})
        self.assertEqual(self.ann.room, self.lobby.room(key("den")))

    def test_not_twice_at_one(self) -> None:
        refused = self.assertRaises(Refused, self.lobby.join, self.ann.id, key("one"))
        self.assertIs(refused.why, Why.IN_A_ROOM)

    def test_closed_by_the_house(self) -> None:
        """All members are told, and none of them sits there any more."""
        self.lobby.close_room(key("one"))
        [(ids, event)] = self.wire.take()
        self.assertEqual(ids, (self.ann.id, self.bob.id))
        self.assertIsInstance(event, RoomClosed)
        self.assertEqual(set(self.ann.tables), {key("two")})
        self.assertIsNone(self.lobby.room(key("one")))
        refused = self.assertRaises(Refused, self.lobby.close_room, key("one"))
        self.assertIs(refused.why, Why.NO_SUCH_ROOM)

    def test_exit(self) -> None:
        """Whoever is lost leaves all his tables; with the last player a table ends."""
        self.lobby.exit(self.ann.id)
        left = [event.room for _, event in self.wire.take() if isinstance(event, MemberLeft)]
        self.assertEqual(left, [key("one"), key("two")])
        self.lobby.exit(self.bob.id)
        self.assertEqual(list(self.lobby.rooms()), [])

    def test_exit_is_told_whole(self) -> None:
        """What somebody does on hearing of a loss is told after all of the loss."""
        public: list[object] = []
        self.lobby.subscribe(public.append)
        self.wire.reaction = lambda: self.lobby.close_room(key("two"))
        self.lobby.exit(self.ann.id)
        self.assertEqual(
            public,
            [
                RoomChanged(key("one"), Change.LEFT, self.ann.id),
                RoomChanged(key("two"), Change.LEFT, self.ann.id),
                PlayerExited(self.ann.id, "ann", "chess"),
                RoomChanged(key("two"), Change.ENDED),
            ],
        )


class QueueTests(SynchronousTestCase):
    def test_order(self) -> None:
        """The longest first; who asks again keeps his place."""
        queue = Lobby(Clock()).queue("chess")
        for player in (3, 1, 2, 3):
            queue.add(player)
        queue.discard(1)
        queue.discard(7)
        self.assertEqual(list(queue), [3, 2])
        self.assertEqual((len(queue), 3 in queue, 1 in queue), (2, True, False))

    def test_exit(self) -> None:
        """Whoever is gone waits no longer."""
        lobby = Lobby(Clock())
        [ann] = Wire().enter(lobby, "ann")
        lobby.queue("chess").add(ann.id)
        lobby.exit(ann.id)
        self.assertEqual(list(lobby.queue("chess")), [])
