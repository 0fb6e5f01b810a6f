"""Tests for L{gameservers.net.fair_queue}: no sender of datagrams delays the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net import fair_queue
from gameservers.net.address import Address, is_own
from gameservers.net.fair_queue import SHARE, Drop, FairQueue
from gameservers.net.guard import DoorSettings, place_of

ALICE: Address = ("192.0.2.1", 40_001)
BOB: Address = ("192.0.2.2", 40_002)
FLOODER: Address = ("192.0.2.66", 40_066)

#: How long the handling of one datagram takes here, without rounding in sums of it: the fifth uses
#: up the share of a turn.
COST = 3 / 4096


class Reactor(Clock):
    """A clock with turns: what is called later is called in the next one."""

    def turn(self) -> None:
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Port:
    """
    A port whose game takes its time.

    @ivar known: the addresses of its players.
    @ivar handled: the sender of each datagram that was handled.
    """

    def __init__(self, clock: Clock) -> None:
        self.known: set[Address] = set()
        self.handled: list[Address] = []
        self.dropped: Counter[Drop] = Counter()
        self._clock = clock

    def knows(self, address: Address) -> bool:
        return address in self.known

    def handle(self, datagram: bytes, address: Address) -> None:
        self.handled.append(address)
        self._clock.rightNow += COST

    def drop(self, reason: Drop) -> None:
        self.dropped[reason] += 1


class FairQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.assertTrue(4 * COST < SHARE < 5 * COST)
        self.patch(fair_queue, "MAX_AHEAD", 0)
        self.patch(fair_queue, "GRACE", COST / 4)
        self.patch(fair_queue, "MOST", 4 * COST)
        self.make()

    def make(self, *, trusted: bool = False, **limits: Any) -> None:
        self.clock = Reactor()
        self.port = Port(self.clock)
        settings = DoorSettings(**limits)
        self.queue = FairQueue(self.clock, settings, (lambda host: "") if trusted else place_of)

    def arrive(self, *addresses: Address) -> list[Address]:
        """
        Let a datagram of each of these arrive, in one read.

        @return: the senders of those that are handled at once.
        """
        self.port.handled.clear()
        self.queue.begin()
        for address in addresses:
            self.queue.take(self.port, b"datagram", address)
        return self.port.handled.copy()

    def turn(self) -> list[Address]:
        """
        The next turn of the reactor.

        @return: the senders of those that are handled in it.
        """
        self.port.handled.clear()
        self.clock.turn()
        return self.port.handled.copy()

    def test_at_once(self) -> None:
        """What takes less than the share of a turn is handled in it, from whomever it comes."""
        self.assertEqual(self.arrive(ALICE, ALICE, BOB), [ALICE, ALICE, BOB])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_share(self) -> None:
        """Never more is handled in a turn, and nothing of what a sender may send is lost."""
        self.assertEqual(self.arrive(*[ALICE] * 12), [ALICE] * 5)
        self.assertEqual(self.arrive(ALICE), [])
        self.assertEqual([len(self.turn()) for _ in range(3)], [5, 3, 0])
        self.assertEqual(self.port.dropped, {})

    def test_rounds(self) -> None:
        """Who sends little waits for one datagram of each of the others, not for all."""
        self.arrive(*[FLOODER] * 100, ALICE, BOB, ALICE)
        self.assertEqual(self.turn(), [FLOODER, ALICE, BOB, FLOODER, ALICE])

    def test_players_that_send_little(self) -> None:
        """They do not wait for any datagram of the others, once in a round."""
        flooders = [(f"198.51.100.{number}", 5) for number in range(20)]
        self.port.known = {ALICE, *flooders}
        self.arrive(*[FLOODER] * 5, *flooders * 10)
        self.assertEqual([each for _ in range(4) for each in self.turn()], flooders)
        self.arrive(ALICE, ALICE, ALICE)
        self.assertEqual(self.turn(), [ALICE, *flooders[:4]])
        turns = [self.turn() for _ in range(8)]
        self.assertEqual([each.count(ALICE) for each in turns], [0, 0, 0, 1, 0, 0, 0, 1])
        while self.turn():
            pass
        self.assertEqual({lines.held for lines in self.queue._lines.values()}, {0})

    def test_player_that_pings(self) -> None:
        """It is answered at once each time, however many others send as much as they can."""
        flooders = [(f"198.51.100.{number}", 5) for number in range(20)]
        self.port.known = {ALICE, *flooders}
        handle = self.port.handle

        def handle_pings_quickly(datagram: bytes, address: Address) -> None:
            handle(datagram, address)
            if address == ALICE:
                self.clock.rightNow -= COST * 0.9

        self.patch(self.port, "handle", handle_pings_quickly)
        self.arrive(*flooders * 20)
        self.assertEqual(
            [each for _ in range(4) for each in self.turn()], [*flooders[5:], *flooders[:5]]
        )
        for _ in range(40):
            self.arrive(ALICE)
            self.assertIn(ALICE, self.turn())

    def test_time_that_nobody_used(self) -> None:
        """A pause of the process, in the middle of a datagram, is hardly charged to its sender."""
        flooders = [(f"198.51.100.{number}", 5) for number in range(20)]
        self.port.known = {ALICE, *flooders}
        handle = self.port.handle

        def handle_slowly(datagram: bytes, address: Address) -> None:
            handle(datagram, address)
            if address == ALICE:
                self.clock.rightNow += 100 * COST

        self.arrive(*flooders * 20)
        self.arrive(ALICE)
        self.patch(self.port, "handle", handle_slowly)
        while ALICE not in self.turn():
            pass
        self.patch(self.port, "handle", handle)
        self.arrive(ALICE)
        handled = [each for _ in range(18) for each in self.turn()]
        self.assertIn(ALICE, handled)

    def test_rounds_are_of_time(self) -> None:
        """Who sends what is quickly handled has many such datagrams in a round."""
        self.port.known = {ALICE, BOB, FLOODER}
        self.arrive(*[FLOODER] * 100)
        handle, cheap = self.port.handle, {ALICE: COST / 16, BOB: 3 * COST}

        def handle_at_other_cost(datagram: bytes, address: Address) -> None:
            handle(datagram, address)
            self.clock.rightNow += cheap.get(address, COST) - COST

        self.patch(self.port, "handle", handle_at_other_cost)
        self.arrive(*[ALICE] * 40, *[BOB] * 10)
        handled = [each for _ in range(20) for each in self.turn()]
        self.assertEqual(handled[:18], [FLOODER, ALICE, BOB, *[ALICE] * 15])
        first = handled[: handled.index(BOB, 60)]
        self.assertLess(abs(first.count(BOB) * 3 - first.count(FLOODER)), 4)

    def test_rounds_of_addresses(self) -> None:
        """Many ports of an address have one turn; those of a trusted host one each."""
        flood = [(FLOODER[0], port) for port in range(100)]
        self.arrive(*flood, ALICE)
        self.assertIn(ALICE, self.turn())
        self.make(trusted=True)
        self.arrive(*flood, ALICE)
        self.assertEqual(self.turn(), flood[5:10])

    def test_rounds_of_ports(self) -> None:
        """Within an address, each sender has its turn."""
        neighbour = (FLOODER[0], 7)
        self.arrive(*[FLOODER] * 100, neighbour)
        self.assertIn(neighbour, self.turn())

    def test_rounds_of_strangers(self) -> None:
        """However many addresses are forged in an overload, players have a round of their own."""
        self.port.known = {ALICE, BOB}
        self.arrive(*[FLOODER] * 6)
        forged = [(f"198.51.100.{number}", 5) for number in range(200)]
        self.arrive(*forged, ALICE, BOB)
        handled = self.turn()
        self.assertEqual(handled, [ALICE, FLOODER, BOB, forged[0], forged[1]])

    def test_guaranteed_rate(self) -> None:
        """In an overload a sender's datagrams are dropped beyond its rate, and never below."""
        self.make(max_datagrams=10, max_datagrams_burst=4)
        self.arrive(*[FLOODER] * 5)
        self.arrive(*[FLOODER] * 100, *[ALICE] * 4)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 96})
        handled = self.turn() + self.turn()
        self.assertEqual(Counter(handled), {FLOODER: 4, ALICE: 4})
        self.arrive(*[FLOODER] * 5)
        self.clock.rightNow += 0.2
        self.arrive(*[FLOODER] * 100)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 96 + 98})

    def test_what_may_wait(self) -> None:
        """A few datagrams of each sender wait whatever its rate, so that a pause loses nothing."""
        self.patch(fair_queue, "MAX_AHEAD", 7)
        self.make(max_datagrams=10, max_datagrams_burst=2, max_datagrams_per_address=10)
        for _ in range(10):
            self.assertEqual(len(self.arrive(*[ALICE] * 12)), 5)
            self.assertEqual([len(self.turn()) for _ in range(3)], [5, 2, 0])
        self.assertEqual(self.port.dropped, {})
        self.arrive(*[ALICE] * 20)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 20 - 5 - 7 - 2})

    def test_above_the_rate(self) -> None:
        """While the server keeps up, nothing is dropped, whatever the rate."""
        self.make(max_datagrams=10, max_datagrams_burst=1, max_datagrams_per_address=10)
        for _ in range(1_000):
            self.assertEqual(len(self.arrive(*[ALICE] * 4)), 4)
        self.assertEqual(self.port.dropped, {})

    def test_rate_of_an_address(self) -> None:
        """All senders of an address have one rate together; those of a trusted host have none."""
        flood = [(FLOODER[0], port) for port in range(105)]
        for trusted, dropped in ((False, 90), (True, 0)):
            self.make(trusted=trusted, max_datagrams_per_address=10)
            self.arrive(*flood)
            self.assertEqual(self.port.dropped[Drop.FLOOD], dropped)

    def test_rate_on_loopback(self) -> None:
        """A trusted host's senders have their own rates as all others."""
        self.make(trusted=True, max_datagrams_burst=4)
        self.arrive(*[FLOODER] * 105)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 96})

    def test_memory(self) -> None:
        """What waits has a limit; players have one of their own."""
        self.patch(fair_queue, "MAX_HELD", (len(b"datagram") + fair_queue.OVERHEAD) * 10)
        self.port.known = {ALICE}
        self.arrive(*[FLOODER] * 105)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 90})
        self.arrive(*[ALICE] * 20)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 100})
        handled = Counter(sender for _ in range(9) for sender in self.turn())
        self.assertEqual(handled, {FLOODER: 10, ALICE: 10})
        self.assertEqual({lines.held for lines in self.queue._lines.values()}, {0})

    def test_memory_of_newcomers(self) -> None:
        """Strangers that fill theirs leave some for a few datagrams of other addresses."""
        size = len(b"datagram") + fair_queue.OVERHEAD
        self.patch(fair_queue, "MAX_HELD", size * 10)
        self.patch(fair_queue, "SPARE", size * 6)
        self.arrive(*[FLOODER] * 105)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 90})
        self.arrive(*[ALICE] * 10, *[BOB] * 10)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 90 + 6 + 8})

    def test_memory_of_strangers(self) -> None:
        """Players that fill theirs leave room for those who want to become one."""
        self.patch(fair_queue, "MAX_HELD", (len(b"datagram") + fair_queue.OVERHEAD) * 10)
        self.port.known = {FLOODER}
        self.arrive(*[FLOODER] * 105, *[ALICE] * 3)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 90})
        self.assertEqual(self.turn().count(ALICE), 3)

    def test_room_for_everybody(self) -> None:
        """However much of one player waits, there is room for a few datagrams of another."""
        self.patch(fair_queue, "MAX_HELD", (len(b"datagram") + fair_queue.OVERHEAD) * 20)
        self.port.known = {ALICE, BOB}
        self.arrive(*[ALICE] * 105)
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 80})
        self.arrive(*[BOB] * (fair_queue.RESERVED + 2))
        self.assertEqual(self.port.dropped, {Drop.FLOOD: 82})
        handled = Counter(sender for _ in range(9) for sender in self.turn())
        self.assertEqual(handled, {ALICE: 20, BOB: fair_queue.RESERVED})
        self.assertEqual({lines.held for lines in self.queue._lines.values()}, {0})

    def test_senders_are_bounded(self) -> None:
        """However many senders there are, no more are remembered than that; the recent ones."""
        self.patch(fair_queue, "MAX_SENDERS", 16)
        self.make(max_datagrams_burst=1, max_datagrams=1)
        self.arrive(*[ALICE] * 6)
        for port in range(200):
            self.arrive((FLOODER[0], port), ALICE)
        self.assertEqual(self.port.dropped[Drop.FLOOD], 200)
        self.assertLessEqual(len(self.queue), 32)

    def test_several_ports(self) -> None:
        """They share the turns."""
        other = Port(self.clock)
        self.arrive(*[FLOODER] * 100)
        self.queue.begin()
        for _ in range(2):
            self.queue.take(other, b"datagram", BOB)
        self.assertEqual(self.turn(), [FLOODER] * 3)
        self.assertEqual(other.handled, [BOB] * 2)

    def test_own_ports(self) -> None:
        """A port of the server's own, on any address of the machine, is nobody's address."""
        self.queue.own_ports |= {5002, 9265}
        for host in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"):
            for port in (5002, 9265):
                self.assertEqual(self.arrive((host, port)), [], host)
        self.assertEqual(self.port.dropped, {Drop.FORGED: 6})
        others = (("127.0.0.1", 5003), ("192.0.2.1", 5002), ("2001:db8::1", 5002))
        for address in others:
            self.assertEqual(self.arrive(address), [address])

    def test_own_addresses(self) -> None:
        self.assertTrue(is_own("127.0.0.1"))
        self.assertFalse(is_own("192.0.2.1"))
        self.assertFalse(is_own("2001:db8::1"))
        self.assertFalse(is_own("no address"))

    @settings(deadline=None)
    @given(st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=20))
    def test_nothing_is_lost_or_doubled(self, reads: list[list[int]]) -> None:
        """Within the budgets everything is handled in the end, once, in each sender's order."""
        self.make()
        handled: dict[Address, list[bytes]] = {}

        def handle(datagram: bytes, address: Address) -> None:
            handled.setdefault(address, []).append(datagram)
            self.clock.rightNow += COST

        self.port.handle = handle  # type: ignore[method-assign]
        sent: dict[Address, list[bytes]] = {}
        for number, read in enumerate(reads):
            self.queue.begin()
            for sender in read:
                address = (f"192.0.2.{sender}", sender)
                datagram = b"%d" % number
                sent.setdefault(address, []).append(datagram)
                self.queue.take(self.port, datagram, address)
            self.clock.turn()
        while self.clock.getDelayedCalls():
            self.clock.turn()
        self.assertEqual(handled, sent)
        self.assertEqual(self.port.dropped, {})
