"""
The rules of the room, with a clock that is a number.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.avatars import MOST_PLAYERS, Avatar, Avatars
from gameservers.games.tilegame.room import LAG, WorldRoom
from gameservers.games.tilegame.settings import TileGameSettings
from gameservers.games.tilegame.wire import BreakTile, Position
from gameservers.games.tilegame.world import Tile, World
from tests.games.tilegame.reading import expanded, read_state


def a_room(side: int = 64, tile: Tile = Tile.COBBLESTONE, **options) -> WorldRoom:
    world = World("seed", "default", bytes([tile]) * side**2)
    return WorldRoom(world, TileGameSettings(**options))


class MovingTests(SynchronousTestCase):
    def test_move(self) -> None:
        """A position is the player's, and the one before it the previous one."""
        room = a_room()
        alice = room.enter("alice", 0)
        self.assertTrue(room.report(alice, Position("alice", 30, -40), 0))
        self.assertTrue(room.report(alice, Position("alice", 31, -41), 0))
        state = read_state(room.state(alice))
        self.assertEqual(state.players, (("alice", 31, -41, 30, -40),))

    def test_edge(self) -> None:
        """Beyond the edge is at the edge."""
        room = a_room()
        alice = room.enter("alice", 0)
        room.report(alice, Position("alice", -32768, 32767), 0)
        self.assertEqual((alice.avatar.x, alice.avatar.y), (-1024, 992))

    def test_another(self) -> None:
        """Nobody moves another, nor breaks in another's name."""
        room = a_room()
        alice, bob = room.enter("alice", 0), room.enter("bob", 0)
        self.assertFalse(room.report(alice, Position("bob", 5, 5), 0))
        self.assertFalse(room.report(alice, BreakTile("bob", 32, 32), 0))
        self.assertEqual((bob.avatar.x, bob.avatar.y), (0, 0))
        self.assertEqual(room.world.revision, 0)

    def test_any_speed(self) -> None:
        """By default nobody measures."""
        room = a_room()
        alice = room.enter("alice", 0)
        for x in (-900, 900, -900):
            self.assertTrue(room.report(alice, Position("alice", x, 0), 0))

    def test_max_speed(self) -> None:
        """With a limit only the leap to the place of birth is free; delays are forgiven."""
        room = a_room(max_speed=350.0)
        alice = room.enter("alice", 0)
        self.assertTrue(room.report(alice, Position("alice", 0, 0), 1))
        self.assertTrue(room.report(alice, Position("alice", -900, 900), 1))
        self.assertFalse(room.report(alice, Position("alice", -900, 900 - round(351 * LAG)), 1))
        self.assertTrue(room.report(alice, Position("alice", -900, 900 - round(350 * LAG)), 1))
        self.assertFalse(room.report(alice, Position("alice", 0, 550), 2))
        self.assertTrue(room.report(alice, Position("alice", 0, 550), 3))


class BreakingTests(SynchronousTestCase):
    def test_break(self) -> None:
        room = a_room()
        alice = room.enter("alice", 0)
        self.assertTrue(room.report(alice, BreakTile("alice", 32, 33), 0))
        self.assertTrue(room.world.is_broken(32, 33))
        self.assertFalse(room.report(alice, BreakTile("alice", 32, 33), 0))

    def test_reach(self) -> None:
        """A tile as far as the reach breaks, in any direction; the next one does not."""
        room = a_room(reach=3)
        alice = room.enter("alice", 0)  # stands on 32, 32
        self.assertTrue(room.report(alice, BreakTile("alice", 35, 29), 0))
        self.assertFalse(room.report(alice, BreakTile("alice", 36, 32), 0))
        self.assertFalse(room.report(alice, BreakTile("alice", 32, 28), 0))
        room.report(alice, Position("alice", 32, 0), 0)
        self.assertTrue(room.report(alice, BreakTile("alice", 36, 32), 0))

    def test_any_reach(self) -> None:
        room = a_room(side=192, reach=0)
        alice = room.enter("alice", 0)
        self.assertTrue(room.report(alice, BreakTile("alice", 0, 191), 0))

    def test_rate(self) -> None:
        """After a burst tiles break at the rate, and what does not break costs nothing."""
        room = a_room(break_rate=2.0, break_burst=3)
        alice = room.enter("alice", 0)
        broke = [room.report(alice, BreakTile("alice", x, 30), 0) for x in range(30, 35)]
        self.assertEqual(broke, [True] * 3 + [False] * 2)
        self.assertFalse(room.report(alice, BreakTile("alice", 40, 30), 0.49))
        self.assertFalse(room.report(alice, BreakTile("alice", 30, 30), 0.5))  # broken already
        self.assertTrue(room.report(alice, BreakTile("alice", 41, 30), 0.5))
        self.assertFalse(room.report(alice, BreakTile("alice", 42, 30), 0.5))

    def test_changes_are_told_once(self) -> None:
        """The first state has them, and then each one after a tile broke."""
        room = a_room()
        alice, bob = room.enter("alice", 0), room.enter("bob", 0)
        self.assertEqual(read_state(room.state(alice)).bits, bytes(512))
        self.assertIsNone(read_state(room.state(alice)).bits)
        room.report(bob, BreakTile("bob", 0, 0), 0)
        for participant in (alice, bob):
            self.assertEqual(read_state(room.state(participant)).bits, b"\x80" + bytes(511))
            self.assertIsNone(read_state(room.state(participant)).bits)

    def test_one_block(self) -> None:
        """A state of one player without changes is one block."""
        room = a_room()
        alice = room.enter("alice", 0)
        room.state(alice)
        self.assertEqual(len(room.state(alice)), 32)


class AvatarsTests(SynchronousTestCase):
    def some(self, count: int, length: int) -> Avatars:
        players = Avatars()
        for number in range(count):
            players.add(Avatar(str(number % 10) * length, 100 * number))
        return players

    def shown(self, players: Avatars, receiver: Avatar | None) -> list[str]:
        block = players.block(receiver)
        self.assertLessEqual(len(block), 255)
        return [each[0] for each in read_state(wire.state(block)).players]

    def test_nine_long_names(self) -> None:
        """Nine names of 16 characters fit, in joining order."""
        players = self.some(9, 16)
        self.assertEqual(len(players.block()), 253)
        self.assertEqual(self.shown(players, None), [str(each) * 16 for each in range(9)])

    def test_the_farthest_is_left_out(self) -> None:
        """Ten do not: oneself is always there, the farthest is not."""
        players = self.some(10, 16)
        for receiver, missing in ((0, 9), (9, 0), (5, 0), (4, 9)):
            shown = self.shown(players, players.get(str(receiver) * 16))
            expected = [str(each) * 16 for each in range(10) if each != missing]
            self.assertEqual(shown, expected, receiver)

    def test_most_players(self) -> None:
        """As many as an option allows are shown, if their names are short."""
        players = Avatars()
        for letter in "abcdefghijklmnopqrstuvwxyz"[:MOST_PLAYERS]:
            players.add(Avatar(letter))
        self.assertEqual(MOST_PLAYERS, 19)
        self.assertEqual(len(self.shown(players, players.get("a"))), MOST_PLAYERS)
        players.add(Avatar("zz"))
        self.assertNotIn("zz", self.shown(players, players.get("a")))


class RoomMachine(RuleBasedStateMachine):
    """Anybody reports anything; the room stays possible, and all see the same."""

    names = st.sampled_from(["a", "bob", "x" * 16, "y" * 16, "z" * 16, *map(str, range(8))])
    numbers = st.integers(-32768, 32767)
    bytes_ = st.integers(0, 255)

    def __init__(self) -> None:
        super().__init__()
        self.room = a_room(reach=40, break_burst=5, side=64)
        for at in range(0, 64**2, 3):
            self.room.world.tiles[at] = Tile.WATER
        self.before = bytes(self.room.world.tiles)
        self.now = 0.0
        self.visits: dict[str, object] = {}
        self.where: dict[str, tuple[int, int]] = {}
        self.knows: dict[str, bytes] = {}
        self.broken: set[tuple[int, int]] = set()

    @rule(name=names)
    def enter(self, name: str) -> None:
        if name not in self.visits:
            self.visits[name] = self.room.enter(name, self.now)
            self.where[name] = (0, 0)

    @rule(name=names)
    def leave(self, name: str) -> None:
        if name in self.visits:
            self.room.leave(self.visits.pop(name))
            del self.where[name]
            self.knows.pop(name, None)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.visits)
    @rule(data=st.data(), name=names, x=numbers, y=numbers)
    def move(self, data, name: str, x: int, y: int) -> None:
        mover = data.draw(st.sampled_from(sorted(self.visits)))
        moved = self.room.report(self.visits[mover], Position(name, x, y), self.now)
        self.check(moved == (mover == name))
        if moved:
            self.where[name] = (max(-1024, min(x, 992)), max(-1024, min(y, 992)))

    @precondition(lambda self: self.visits)
    @rule(data=st.data(), own=st.booleans(), name=names, x=bytes_, y=bytes_)
    def break_tile(self, data, own: bool, name: str, x: int, y: int) -> None:
        breaker = data.draw(st.sampled_from(sorted(self.visits)))
        name = breaker if own else name
        if self.room.report(self.visits[breaker], BreakTile(name, x % 80, y % 80), self.now):
            place = (x % 80, y % 80)
            self.check(breaker == name and max(place) < 64 and place not in self.broken)
            self.check(self.before[place[1] * 64 + place[0]] == Tile.COBBLESTONE)
            self.broken.add(place)

    @precondition(lambda self: self.visits)
    @rule(data=st.data())
    def look(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.visits)))
        state = read_state(self.room.state(self.visits[name]))
        seen = {each[0]: each[1:3] for each in state.players}
        self.check(name in seen)
        self.check(list(seen) == [each for each in self.where if each in seen])
        self.check(all(self.where[each] == place for each, place in seen.items()))
        if state.bits is not None:
            self.knows[name] = state.bits
        self.check(self.knows[name] == self.bits())

    @invariant()
    def world_is_what_was_broken(self) -> None:
        self.check(bytes(self.room.world.bits) == self.bits())
        for x, y in self.broken:
            self.check(self.room.world.tile(x, y) is Tile.DIRT)
        self.check([each.name for each in self.room.avatars] == list(self.where))

    def bits(self) -> bytes:
        bits = [["0"] * 64 for _ in range(64)]
        for x, y in self.broken:
            bits[y][x] = "1"
        return int("".join(map("".join, bits)), 2).to_bytes(512, "big")

    def check(self, holds: bool) -> None:
        assert holds


class RoomMachineTests(SynchronousTestCase):
    def test_anything(self) -> None:
        few = settings(deadline=None, max_examples=40, stateful_step_count=30)
        run_state_machine_as_test(RoomMachine, settings=few)


class ExpandedTests(SynchronousTestCase):
    def test_state_bits_are_the_worlds(self) -> None:
        """The changes that are sent say the same as the bits that are kept."""
        room = a_room()
        for place in ((0, 0), (63, 63), (17, 40)):
            room.world.break_tile(*place)
        self.assertEqual(expanded(room.world.changes()[4:], 1), room.world.bits)
