"""Tests for L{gameservers.net.arrivals}: whose new connection is made next."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net.arrivals import FEW, MAX_WAITING, SHARE, Arrivals, Line
from gameservers.net.bypass import CLOSED, ESTABLISHED
from gameservers.net.guard import DoorSettings, Guard
from gameservers.net.proxy import ProxiedFactory
from gameservers.net.turn import SHARE as TURN
from gameservers.net.turn import SLICE, Turn
from tests.transports import Network

#: What it takes to make a connection, and to accept one, in seconds.
MAKE = 0.000_500
ACCEPT = 0.000_010


class Visitor:
    """A connection that was accepted."""

    def __init__(self, host: str, state: int = ESTABLISHED) -> None:
        self.host = host
        self.state = state
        self.closed = False

    def getsockopt(self, *option: int) -> bytes:
        return bytes([self.state])

    def close(self) -> None:
        self.closed = True


class Entrance:
    """A listening port; time passes as it is used."""

    def __init__(self, clock: Clock, factory: Any) -> None:
        self.factory = factory
        self.arrived: deque[Visitor] = deque()
        self.admitted: list[Visitor] = []
        self.faulty: set[Visitor] = set()
        self._clock = clock

    def accept(self) -> tuple[Visitor, tuple[str, int]] | None:
        if not self.arrived:
            return None
        self._clock.rightNow += ACCEPT
        visitor = self.arrived.popleft()
        return visitor, (visitor.host, 7)

    def admit(self, accepted: Visitor, address: tuple[str, int]) -> None:
        self._clock.rightNow += MAKE
        assert address == (accepted.host, 7)
        if accepted in self.faulty:
            raise ValueError("a bug")
        self.admitted.append(accepted)


class ArrivalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Network()
        self.metrics = Metrics()
        self.guard = Guard(self.clock, DoorSettings(max_per_address=20), self.metrics)
        self.arrivals = Arrivals(Turn(self.clock), self.guard)
        self.entrance = self.open()

    def open(self, factory: Any = None) -> Entrance:
        entrance = Entrance(self.clock, ServerFactory() if factory is None else factory)
        self.arrivals._unlimited[entrance] = Line(self.arrivals)
        return entrance

    def arrive(self, host: str, size: int = 1, state: int = ESTABLISHED) -> list[Visitor]:
        visitors = [Visitor(host, state) for _ in range(size)]
        self.entrance.arrived += visitors
        return visitors

    def turn(self, entrance: Entrance | None = None) -> float:
        """One turn of the reactor; how long it took, in seconds."""
        begun = self.clock.seconds()
        self.arrivals.accept(entrance or self.entrance)
        self.clock.once()
        return self.clock.seconds() - begun

    def turns(self) -> int:
        """All turns until nobody waits; their number."""
        number = 0
        while self.entrance.arrived or self.arrivals.waiting:
            self.turn()
            number += 1
        return number

    def assertTurnedAway(self, size: int) -> None:
        self.assertEqual(self.metrics.cuts["door", "crowded"], size)

    def test_at_once(self) -> None:
        """As long as there is time nobody waits, not even for the end of the turn."""
        visitors = self.arrive("192.0.2.1", 3) + self.arrive("2001:db8::1")
        self.arrivals.accept(self.entrance)
        self.assertEqual(self.entrance.admitted, visitors)

    def test_a_crowd_is_nobodys_delay(self) -> None:
        """Twenty that came first, and the turn is as short, and one of another address next."""
        crowd = self.arrive("192.0.2.1", 20)
        (other,) = self.arrive("192.0.2.2")
        self.assertLess(self.turn(), 2 * TURN + MAKE)
        self.assertIn(other, self.entrance.admitted)
        self.assertLess(len(self.entrance.admitted), 21)
        self.turns()
        self.assertEqual(self.entrance.admitted[-1], crowd[-1])
        self.assertEqual(len(self.entrance.admitted), 21)
        self.assertTurnedAway(0)

    def test_neighbours(self) -> None:
        """The addresses of an IPv6 /64 have one line, and an IPv4 address has one."""
        self.arrive("2001:db8::1", 10)
        self.arrive("2001:db8::2", 10)
        self.arrive("::ffff:192.0.2.1")
        self.arrivals.accept(self.entrance)
        self.assertEqual(set(self.arrivals._lines), {"2001:db8::/64", "192.0.2.1"})

    def test_never_longer_than_the_share(self) -> None:
        """A crowd of a thousand is accepted in several turns."""
        self.arrive("192.0.2.1", 1_000)
        self.assertLess(self.turn(), SHARE + 2 * TURN + 2 * MAKE)
        self.assertTrue(self.entrance.arrived)

    def test_too_many_of_an_address(self) -> None:
        """No more wait than could be connected; the others do not wait for it to be refused."""
        visitors = self.arrive("192.0.2.1", 100)
        self.arrivals.accept(self.entrance)
        away = sum(visitor.closed for visitor in visitors)
        self.assertEqual(self.arrivals.waiting, 20)
        self.assertEqual(away, 100 - 20 - len(self.entrance.admitted))
        self.assertTurnedAway(away)

    def test_too_many_in_all(self) -> None:
        """When too many wait, no more of those do who have many in line, and a few of others."""
        for number in range(80):
            self.arrive(f"192.0.2.{number}", 18)
            self.arrivals.accept(self.entrance)
        while self.entrance.arrived:
            self.arrivals.accept(self.entrance)
        self.assertTrue(MAX_WAITING <= self.arrivals.waiting <= MAX_WAITING + 80 * FEW)
        before = self.metrics.cuts["door", "crowded"]
        again = self.arrive("192.0.2.0", FEW)
        some = self.arrive("198.51.100.1", FEW)
        while self.entrance.arrived:
            self.arrivals.accept(self.entrance)
        self.assertTurnedAway(before + FEW)
        self.assertTrue(all(visitor.closed for visitor in again))
        self.turns()
        self.assertLessEqual(set(some), set(self.entrance.admitted))

    def test_trusted(self) -> None:
        """A trusted host has no limit: what there is no room for waits in the kernel."""
        visitors = self.arrive("127.0.0.1", 2 * MAX_WAITING)
        while len(self.arrivals._unlimited[self.entrance].waiting) < MAX_WAITING:
            self.arrivals.accept(self.entrance)
        left = len(self.entrance.arrived)
        self.arrivals.accept(self.entrance)
        self.assertEqual(len(self.entrance.arrived), left)
        self.turns()
        self.assertEqual(self.entrance.admitted, visitors)
        self.assertTurnedAway(0)

    def test_balancer(self) -> None:
        """Whose connections a balancer forwards is not known yet."""
        self.entrance = self.open(ProxiedFactory(ServerFactory()))
        visitors = self.arrive("192.0.2.1", 200)
        self.turns()
        self.assertEqual(self.entrance.admitted, visitors)
        self.assertTurnedAway(0)

    def test_gone(self) -> None:
        """Who has left before its turn costs nobody a connection, in line or before."""
        gone = self.arrive("192.0.2.1", 500, CLOSED)
        self.arrive("192.0.2.2", 20)
        late = self.arrive("192.0.2.2")[0]
        self.arrivals.accept(self.entrance)
        late.state = CLOSED
        self.turns()
        self.assertTrue(all(visitor.closed for visitor in [*gone, late]))
        self.assertEqual(len(self.entrance.admitted), 20)
        self.assertTurnedAway(0)

    def test_bug(self) -> None:
        """A connection that cannot be made keeps nobody else out."""
        first, second = self.arrive("192.0.2.1", 2)
        self.entrance.faulty = {first}
        self.turns()
        self.assertEqual(self.entrance.admitted, [second])
        self.assertTrue(first.closed)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_comes_and_goes(self) -> None:
        """One who comes again and again has used its time: whoever is new comes before it."""
        for _ in range(10):
            self.arrive("192.0.2.1", 20)
            self.turn()
        self.arrive("192.0.2.1", 20)
        (other,) = self.arrive("192.0.2.2")
        before = len(self.entrance.admitted)
        self.turn()
        self.assertLess(self.entrance.admitted.index(other) - before, (TURN + SLICE) / MAKE)
        self.turns()
