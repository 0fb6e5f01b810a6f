"""Tests for L{gameservers.net.guard}: who may connect, for how long, and how it is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.config.vocabulary import networks
from gameservers.metrics import Metrics
from gameservers.net.door import Door, Routes
from gameservers.net.guard import DoorSettings, Guard, place_of
from gameservers.net.proxy import ProxiedFactory
from gameservers.wire import anything, begins
from tests.net.visitors import Connection, Listener, Listeners, connect


class GuardTestCase(SynchronousTestCase):
    def open(self, **limits: object) -> None:
        """Open a door with these limits, behind which there is one game."""
        self.clock = Clock()
        self.metrics = Metrics()
        self.guard = Guard(self.clock, DoorSettings(**limits), self.metrics)
        self.game = Listeners()
        self.door = Door(self.guard, Routes([(anything, self.game)]))
        #: A door that needs more bytes than one.
        self.unsure = Door(self.guard, Routes([(begins(b"hello"), self.game)]))

    def connect(self, host: str = "192.0.2.1") -> Connection:
        return connect(self.door, host)

    def enter(self, host: str = "192.0.2.1") -> Connection:
        """Somebody connects and logs in."""
        connection = self.connect(host)
        connection.say(b"hello")
        connection.protocol.ticket.logged_in()
        return connection

    def assertCut(self, connection: Connection, why: str, times: int = 1) -> None:
        self.assertTrue(connection.cut)
        self.assertEqual(self.metrics.cuts, {("door", why): times})


class LimitTests(GuardTestCase):
    def test_defaults(self) -> None:
        """The limits that operators are told of."""
        self.assertEqual(
            {field.name: field.default for field in fields(DoorSettings)},
            {
                "tls_cert": "",
                "tls_key": "",
                "tls_only": False,
                "max_connections": 20_000,
                "max_pending_logins": 5_000,
                "max_per_address": 200,
                "max_datagrams": 1_000,
                "max_datagrams_burst": 500,
                "max_datagrams_per_address": 10_000,
                "first_byte_timeout": 10,
                "login_timeout": 120,
                "max_unread_total": 0,
                "unread_timeout": 20,
                "keepalive": 60,
                "max_log_lines": 30,
                "trusted": ("127.0.0.0/8", "::1"),
            },
        )

    def test_crowded(self) -> None:
        self.open(max_connections=2)
        inside = [self.enter(), self.enter()]
        self.assertCut(self.connect("192.0.2.2"), "crowded")
        self.assertEqual([each.cut for each in inside], [False, False])
        inside[0].hang_up()
        self.assertFalse(self.enter("192.0.2.2").cut)
        self.assertEqual(len(self.guard), 2)

    def test_pending_logins(self) -> None:
        """Of those that have not logged in the oldest makes room; who has logged in stays."""
        self.open(max_pending_logins=2)
        inside, first, second = self.enter(), self.connect(), self.connect()
        third = self.connect()
        self.assertCut(first, "crowded")
        second.say(b"hello")
        second.protocol.ticket.logged_in()
        self.assertFalse(self.connect().cut)
        self.assertFalse(third.cut)
        self.assertFalse(self.connect().cut)
        self.assertCut(third, "crowded", 2)
        self.assertFalse(inside.cut or second.cut)
        self.assertEqual((self.guard.pending, len(self.guard)), (2, 4))

    def test_strangers_keep_nobody_out(self) -> None:
        """Those that say one byte and nothing more go when others come, within one turn, too."""
        self.open(max_pending_logins=5)
        made = [connect(self.unsure, f"192.0.2.{number}") for number in range(50)]
        aborted: list[Connection] = []
        for each in made:
            each.say(b"h")
        for each in made[-5:]:  # a real connection is lost in the next turn
            each.abortConnection = partial(aborted.append, each)  # type: ignore[method-assign]
        newcomers = [self.enter(f"198.51.100.{number}") for number in range(5)]
        self.assertFalse(any(each.cut for each in newcomers))
        newcomers = [self.connect(f"198.51.100.{number}") for number in range(5)]
        self.assertEqual(aborted, made[-5:])
        self.assertEqual((self.guard.pending, len(self.guard)), (5, 10))
        for each in aborted:
            each.hang_up()
        self.assertEqual(len(self.guard), 10)

    def test_no_room_is_made_for_the_refused(self) -> None:
        """Who may not come in anyway drives nobody out."""
        self.open(max_pending_logins=1, max_per_address=1)
        self.enter("192.0.2.1")
        waiting = self.connect("192.0.2.2")
        self.assertCut(self.connect("192.0.2.1"), "crowded")
        self.assertFalse(waiting.cut)

    def test_per_address(self) -> None:
        self.open(max_per_address=2)
        first, second = self.enter("192.0.2.1"), self.connect("192.0.2.1")
        self.assertCut(self.connect("192.0.2.1"), "crowded")
        self.assertFalse(self.connect("192.0.2.2").cut)
        self.assertFalse(first.cut or second.cut)
        second.hang_up()
        self.assertFalse(self.connect("192.0.2.1").cut)

    def test_one_network_of_ipv6(self) -> None:
        self.open(max_per_address=1)
        self.connect("2001:db8:0:1::1")
        self.assertCut(self.connect("2001:db8:0:1:ffff::2"), "crowded")
        self.assertFalse(self.connect("2001:db8:0:2::1").cut)

    def test_ipv4_on_ipv6(self) -> None:
        """A port for both sees IPv4 peers in IPv6 clothes, each in the same /64."""
        self.open(max_per_address=1)
        self.connect("::ffff:192.0.2.1")
        self.assertFalse(self.connect("::ffff:192.0.2.2").cut)
        self.assertCut(self.connect("192.0.2.1"), "crowded")

    def test_trusted(self) -> None:
        self.open(max_per_address=1, trusted=("198.51.100.0/24", "2001:db8::/32"))
        for host in ("198.51.100.7", "2001:db8::1"):
            self.assertEqual([self.connect(host).cut for _ in range(3)], [False] * 3)
        self.connect("127.0.0.1")
        self.assertCut(self.connect("127.0.0.1"), "crowded")

    def test_not_recognised(self) -> None:
        """The time for the first bytes lasts until they are enough."""
        self.open(first_byte_timeout=7, login_timeout=50)
        silent, talks, hesitates = self.connect(), self.connect(), connect(self.unsure)
        hesitates.say(b"h")
        self.clock.advance(6.9)
        self.assertFalse(silent.cut)
        hesitates.say(b"e")
        talks.say(b"h")
        self.clock.advance(0.1)
        self.assertCut(silent, "silent", 2)
        self.assertTrue(hesitates.cut)
        self.assertFalse(talks.cut)

    def test_no_login(self) -> None:
        """The time for a login runs from when the connection is recognised."""
        self.open(first_byte_timeout=7, login_timeout=50)
        late, inside = self.connect(), self.enter()
        self.clock.advance(6)
        late.say(b"h")
        self.clock.advance(49.9)
        self.assertFalse(late.cut)
        self.clock.advance(0.1)
        self.assertCut(late, "silent")
        self.clock.advance(10_000)
        self.assertFalse(inside.cut)

    def test_nothing_is_left(self) -> None:
        self.open()
        connections = [self.enter("192.0.2.1"), self.connect("2001:db8::1"), self.connect()]
        for each in connections:
            each.hang_up()
        self.assertEqual((len(self.guard), self.guard.pending), (0, 0))
        self.assertEqual(self.guard._from, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(all(each.lost for each in self.game.built))

    def test_what_comes_after_the_end_is_ignored(self) -> None:
        self.open(max_pending_logins=1)
        refused = self.connect()
        self.connect()
        refused.protocol.dataReceived(b"hello")
        self.assertEqual(self.game.built, [])

    def test_logged_in_twice(self) -> None:
        self.open()
        connection = self.enter()
        connection.protocol.ticket.logged_in()
        self.assertEqual(self.guard.pending, 0)

    def test_logged_in_too_late(self) -> None:
        """A connection that is lost already is not counted again."""
        self.open()
        connection = self.connect()
        connection.say(b"hello")
        (game,) = self.game.built
        connection.hang_up()
        game.ticket.logged_in()
        game.ticket.lost()
        self.assertEqual((len(self.guard), self.guard.pending), (0, 0))

    def test_gauge(self) -> None:
        """How many connections are open is a metric."""
        self.open()
        self.connect()
        value = self.metrics.registry.get_sample_value("gameservers_connections")
        self.assertEqual(value, 1)

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("connect", "say", "log in", "hang up", "wait")),
                st.integers(0, 5),
                st.sampled_from(("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")),
            ),
            max_size=40,
        )
    )
    def test_any_order(self, deeds: list[tuple[str, int, str]]) -> None:
        """Whatever happens, the guard counts who is there, and no limit is exceeded."""
        self.open(max_connections=5, max_pending_logins=3, max_per_address=2)
        made: list[Connection] = []
        for deed, which, host in deeds:
            here = [each for each in made if not each.cut and each.connected]
            each = here[which % len(here)] if here else None
            if deed == "connect":
                made.append(self.connect(host))
            elif deed == "wait":
                self.clock.advance(8 * which)
            elif each is None:
                continue
            elif deed == "say":
                each.say(b"hello")
            elif deed == "log in":
                if isinstance(each.protocol, Listener):
                    each.protocol.ticket.logged_in()
            else:
                each.connected = False
                each.hang_up()
            here = [each for each in made if not each.cut and each.connected]
            self.assertEqual(len(self.guard), len(here))
            self.assertLessEqual(len(here), 5)
            self.assertLessEqual(self.guard.pending, 3)
            places = Counter(place_of(each.getPeer().host) for each in here)
            self.assertEqual(self.guard._from, places)
            self.assertLessEqual(max(places.values(), default=0), 2)


class ProxyTests(GuardTestCase):
    """Behind a balancer the address is what the PROXY protocol says."""

    HEADER = b"PROXY TCP4 %s 192.0.2.100 40000 5002\r\n"

    def connect_through(self, host: bytes, *said: bytes) -> Connection:
        connection = connect(ProxiedFactory(self.door), "203.0.113.1")
        for each in (self.HEADER % host, *said):
            if not connection.cut:
                connection.say(each)
        return connection

    def test_real_address(self) -> None:
        self.open(max_per_address=1)
        self.assertFalse(self.connect_through(b"192.0.2.1", b"hello").cut)
        self.assertFalse(self.connect_through(b"192.0.2.2", b"hello").cut)
        self.assertCut(self.connect_through(b"192.0.2.1", b"hello"), "crowded")
        self.assertEqual(
            [game.transport.getPeer().host for game in self.game.built], ["192.0.2.1", "192.0.2.2"]
        )

    def test_a_balancer_that_says_nothing_more(self) -> None:
        self.open(first_byte_timeout=7)
        connection = self.connect_through(b"192.0.2.1")
        self.clock.advance(7)
        self.assertCut(connection, "silent")

    def test_log_in(self) -> None:
        self.open()
        self.connect_through(b"192.0.2.1", b"hello")
        self.game.built[0].ticket.logged_in()
        self.assertEqual(self.guard.pending, 0)


class PlaceTests(SynchronousTestCase):
    def test_places(self) -> None:
        for host, place in (
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("", ""),
        ):
            self.assertEqual(place_of(host), place)

    def test_networks(self) -> None:
        networks(("192.0.2.0/24", "::1", "127.0.0.1"))
        for wrong in ("192.0.2.1/24", "localhost", ""):
            error = self.assertRaises(ValueError, networks, ("::1", wrong))
            self.assertIn(repr(wrong), str(error))
