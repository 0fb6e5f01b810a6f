"""Tests for L{gameservers.games.velnet.feed}."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.velnet.feed import Feed
from gameservers.games.velnet.wires import text
from gameservers.lobby import RoomKey
from gameservers.net.outbox import Outbox
from gameservers.net.turn import Turn
from tests.net.transports import SlowTransport

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "spare", "own", "join", "leave", "turn"]),
        st.integers(1, 4),
    ),
    max_size=40,
)


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        turn = Turn(self.clock)
        self.feed = Feed(RoomKey("velnet", "text", "r1"), text, turn)
        self.wires: dict[int, Any] = {each: SlowTransport(1 << 20) for each in range(1, 5)}
        self.outboxes = {
            each: Outbox(wire, turn, limit=1 << 20, overflowed=self.fail)
            for each, wire in self.wires.items()
        }

    def heard(self, player: int) -> bytes:
        value: bytes = self.wires[player].value()
        return value

    @given(STEPS)
    def test_everybody_hears_everything_in_order(self, steps: list[tuple[str, int]]) -> None:
        """What each member hears is what happened while it was there, in its order."""
        self.setUp()
        feed, expected = self.feed, dict.fromkeys(self.wires, b"")
        for number, (step, player) in enumerate(steps):
            message = b"%d;" % number
            if step in ("say", "spare"):
                spare = player if step == "spare" and player in feed.members else 0
                feed.say(message, spare)
                for each in feed.members:
                    expected[each] += b"" if each == spare else message
            elif step == "join" and player not in feed.members:
                feed.join(player, self.outboxes[player])
            elif step == "leave" and player in feed.members:
                feed.leave(player)
            elif step == "own":
                if player in feed.members:
                    feed.catch_up(player)
                self.outboxes[player].send(message)
                expected[player] += message
            elif step == "turn":
                self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual({each: self.heard(each) for each in self.wires}, expected)

    def test_one_write_a_turn(self) -> None:
        """However much is said in a turn, each member is written to once."""
        for player, outbox in self.outboxes.items():
            self.feed.join(player, outbox)
        for player in self.outboxes:
            self.feed.say(b"from %d;" % player, player)
            self.feed.say(b"to all;")
        self.clock.advance(0)
        for player, wire in self.wires.items():
            self.assertEqual(len(wire.writes), 1)
            self.assertNotIn(b"from %d;" % player, wire.writes[0])

    def test_the_same_bytes(self) -> None:
        """Members that are told the same are written the very same bytes, without a copy."""
        for player, outbox in self.outboxes.items():
            self.feed.join(player, outbox)
        self.feed.say(b"one;", 1)
        self.feed.say(b"two;", 1)
        self.clock.advance(0)
        self.assertEqual(self.heard(1), b"")
        written = {id(self.wires[each].writes[0]) for each in (2, 3, 4)}
        self.assertEqual(len(written), 1)

    def test_catching_up_is_linear(self) -> None:
        """What a member has been told is not looked at again: else this would take minutes."""
        self.feed.join(1, self.outboxes[1])
        number = 50_000
        for _ in range(number):
            self.feed.say(b"its own;", 1)
            self.feed.say(b".")
            self.feed.catch_up(1)
        self.clock.advance(0)
        self.assertEqual(self.heard(1), b"." * number)
