"""Tests for L{gameservers.net.connection}: what all stream protocols have in common."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net.connection import FAREWELL, Connection, Connections, Reason
from gameservers.net.outbox import LINGER
from gameservers.wire import WireError
from tests.transports import Network, Peer


class Lines(Connection, LineReceiver):
    """A wire format of lines, some of which ask for trouble."""

    gentle = (Reason.FLOOD,)
    delimiter = b"\n"

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.heard: list[bytes] = []
        self.lefts = 0

    def lineReceived(self, line: bytes) -> None:
        self.heard.append(line)
        match line:
            case b"break":
                raise WireError("no such line")
            case b"fail":
                raise RuntimeError("a bug")
            case b"login":
                self.logged_in()
                self.silence_limit(10)
            case b"wait":
                self.give_way()
            case b"leave":
                self.outbox.send(b"bye\n")
                self.close()
            case b"flood" | b"ban" as reason:
                self.outbox.send(b"heard\n")
                self.cut(Reason(reason.decode().replace("ban", "banned")))
            case b"full":
                self.cut(Reason.FULL, "no place", b"sorry\n")

    def left(self) -> None:
        self.lefts += 1


class ConnectionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.open()

    def open(self, **limits: Any) -> None:
        self.network = Network()
        self.metrics = Metrics()
        limits = {"max_unread": 1_000, "login_timeout": 60} | limits
        self.connections = Connections("chess", self.network, self.metrics, **limits)
        self.factory = Factory.forProtocol(lambda: Lines(self.connections))

    def connect(self, host: str = "192.0.2.1") -> tuple[Peer, Lines]:
        peer = self.network.connect(self.factory, host)
        return peer, peer.protocol

    def assertCut(self, peer: Peer, reason: str, times: int = 1) -> None:
        self.network.turn()
        self.assertTrue(peer.closed)
        self.assertEqual(self.metrics.cuts, {("chess", reason): times})
        self.assertEqual(len(self.connections), 0)


class LifeTests(ConnectionTestCase):
    def test_every_split(self) -> None:
        for size in range(1, 8):
            peer, lines = self.connect()
            peer.send(b"one\ntwo\n", size)
            self.assertEqual(lines.heard, [b"one", b"two"])

    def test_lost(self) -> None:
        """Its player leaves once, and nothing is left of it."""
        for lose in (Peer.end, Peer.break_off):
            peer, lines = self.connect()
            lose(peer)
            self.assertEqual((lines.lefts, len(self.connections)), (1, 0))
            self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(self.metrics.cuts, {})

    def test_closed_after_the_last_word(self) -> None:
        """What was said before leaves, what comes after is not listened to, nobody is counted."""
        peer, lines = self.connect()
        peer.send(b"leave\nmore\n")
        self.assertEqual(peer.received(), b"bye\n")
        self.assertTrue(peer.ended and not peer.closed)
        peer.send(b"still here\n")
        self.assertEqual((lines.lefts, lines.heard[0]), (1, b"leave"))
        self.assertNotIn(b"still here", lines.heard)
        peer.end()
        self.assertTrue(peer.closed)
        self.assertEqual(self.metrics.cuts, {})

    def test_does_not_close(self) -> None:
        """A client that never closes its side is cut off when its time is up."""
        peer, _ = self.connect()
        peer.send(b"leave\n")
        self.network.turn(LINGER)
        self.assertTrue(peer.closed)

    def test_last_word(self) -> None:
        peer, lines = self.connect()
        peer.send(b"full\n")
        self.assertEqual(peer.received(), b"sorry\n")
        peer.end()
        self.assertCut(peer, "full")
        self.assertEqual(lines.lefts, 1)

    def test_gentle(self) -> None:
        """For some reasons a client is told first what was said to it before; not for others."""
        for reason, heard in ((b"flood", b"heard\n"), (b"ban", b"")):
            self.open()
            peer, lines = self.connect()
            peer.send(reason + b"\n")
            self.assertEqual(peer.received(), heard)
            self.assertTrue(peer.ended)
            self.assertEqual(lines.lefts, 1)
            peer.end()
            self.assertCut(peer, "flood" if heard else "banned")

    def test_logged_in(self) -> None:
        """A log-in has a line, another name one line a second, and the same name none."""
        _, lines = self.connect()
        with capturedLogs() as events:
            for name in ("anna", "anna", "bert"):
                lines.logged_in(name)
            self.network.turn(1)
            for name in ("anna", "bert", "cleo"):
                lines.logged_in(name)
        self.assertEqual([each["name"] for each in events], ["anna", "bert"])

    def test_cut_twice(self) -> None:
        """Only the first reason counts."""
        peer, lines = self.connect()
        lines.cut(Reason.REFUSED)
        lines.cut(Reason.FLOOD)
        self.assertCut(peer, "refused")

    def test_malformed(self) -> None:
        peer, _ = self.connect()
        peer.send(b"break\n")
        self.assertCut(peer, "malformed")

    def test_bug(self) -> None:
        """It ends the client that met it, and nobody else."""
        other, others = self.connect()
        peer, _ = self.connect()
        peer.send(b"fail\n")
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(str(failure.value), "a bug")
        self.assertTrue(peer.closed)
        other.send(b"hello\n")
        self.assertEqual(others.heard, [b"hello"])
        self.assertEqual(self.metrics.cuts, {("chess", "failed"): 1})

    def test_bug_at_the_end(self) -> None:
        """A bug on the way out does not keep the connection."""
        for end in (lambda lines: lines.cut(Reason.FLOOD), Lines.close, Lines.abort):
            peer, lines = self.connect()
            lines.left = lambda: 1 / 0  # type: ignore[method-assign]
            end(lines)
            self.network.turn(LINGER)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertTrue(peer.closed)
            self.assertEqual(len(self.connections), 0)


class LimitTests(ConnectionTestCase):
    def test_login(self) -> None:
        """The time to log in does not begin anew with what is said."""
        peer, _ = self.connect()
        self.network.turn(59)
        peer.send(b"hello\n")
        self.assertFalse(peer.closed)
        self.network.turn(1)
        self.assertCut(peer, "silent")

    def test_silence(self) -> None:
        """The time of silence does."""
        peer, _ = self.connect()
        peer.send(b"login\n")
        for _ in range(5):
            self.network.turn(9)
            peer.send(b"hello\n")
        self.network.turn(9)
        self.assertFalse(peer.closed)
        self.network.turn(1)
        self.assertCut(peer, "silent")

    def test_slow(self) -> None:
        """A client that does not read is cut when more waits for it than may."""
        peer, lines = self.connect()
        other, others = self.connect()
        peer.stall()
        for _ in range(10):
            lines.outbox.send(b"x" * 100)
            others.outbox.send(b"x")
            self.network.turn()
        self.assertFalse(peer.closed)
        lines.outbox.send(b"x")
        self.network.turn()
        self.assertTrue(peer.closed)
        self.assertEqual(lines.lefts, 1)
        self.assertEqual(self.metrics.cuts, {("chess", "slow"): 1})
        self.assertEqual(other.received(), b"x" * 10)

    def test_crowded(self) -> None:
        """Those who have logged in stay, and one more is refused."""
        self.open(max_open=2)
        players = [self.connect() for _ in range(2)]
        for _, player in players:
            player.logged_in("anna")
        peers = [*(peer for peer, _ in players), self.connect()[0]]
        self.network.turn()
        self.assertEqual([peer.closed for peer in peers], [False, False, True])
        self.assertTrue(self.connections.full)
        self.assertEqual(self.metrics.cuts, {("chess", "crowded"): 1})
        peers[0].end()
        self.assertFalse(self.connect()[0].closed)

    def test_strangers_make_room(self) -> None:
        """Of those who have not logged in the one that has waited longest goes."""
        self.open(max_open=3)
        (first, player), (second, _), (third, closing) = (self.connect() for _ in range(3))
        player.logged_in("anna")
        self.assertFalse(self.connections.full)
        fourth, _ = self.connect()
        closing.close()
        fifth, _ = self.connect()
        self.network.turn()
        peers = [first, second, third, fourth, fifth]
        self.assertEqual([each.closed for each in peers], [False, True, True, False, False])
        self.assertEqual(self.metrics.cuts, {("chess", "crowded"): 1})
        self.assertEqual(len(self.connections), 3)

    def test_crowded_address(self) -> None:
        self.open(max_per_address=1)
        first, _ = self.connect()
        second, _ = self.connect()
        self.network.turn()
        self.assertTrue(second.closed)
        self.assertFalse(self.connect("192.0.2.2")[0].closed)
        first.end()
        third, _ = self.connect()
        self.network.turn()
        self.assertFalse(third.closed)


class GivingWayTests(ConnectionTestCase):
    def test_others_first(self) -> None:
        """The rest waits for the end of the turn, in order, with what is read until then."""
        peer, lines = self.connect()
        lines.dataReceived(b"wait\none\ntwo\n")
        self.assertEqual(lines.heard, [b"wait"])
        lines.dataReceived(b"three\n")
        self.assertFalse(peer.reading)
        self.network.advance(0)
        self.assertEqual(lines.heard, [b"wait", b"one", b"two", b"three"])
        self.assertTrue(peer.reading)

    def test_gone_meanwhile(self) -> None:
        _, lines = self.connect()
        lines.dataReceived(b"wait\none\n")
        lines.cut(Reason.FLOOD)
        self.network.turn()
        self.assertEqual(lines.heard, [b"wait"])


class FarewellTests(ConnectionTestCase):
    def test_nobody(self) -> None:
        self.assertIsNone(self.successResultOf(self.connections.close()))

    def test_everybody(self) -> None:
        """It is over when the last one has gone, and nobody polls."""
        peers = [self.connect()[0] for _ in range(3)]
        for peer in peers:
            peer.protocol.outbox.send(b"farewell\n")
        closed = self.connections.close()
        self.assertEqual([peer.received() for peer in peers], [b"farewell\n"] * 3)
        for peer in peers:
            self.assertNoResult(closed)
            peer.end()
        self.successResultOf(closed)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_somebody_stays(self) -> None:
        peer, _ = self.connect()
        closed = self.connections.close()
        self.network.turn(FAREWELL)
        self.successResultOf(closed)
        self.assertTrue(peer.closed)
