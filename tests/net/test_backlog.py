"""Tests for L{gameservers.net.backlog}, and for slowing down those who send too much."""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net.backlog import INTERVAL, Backlog, affordable
from gameservers.net.connection import Connections
from gameservers.net.turn import Turn
from tests.net.test_connection import Lines
from tests.transports import Network, Peer

MAX_UNREAD = 400_000


class Room(Lines):
    """Everybody hears what one says, itself too."""

    def lineReceived(self, line: bytes) -> None:
        hearers = [each.outbox for each in self.connections]
        for outbox in hearers:
            outbox.send(line + b"\n")
        self.spread(len(line), hearers)
        self.handled()


class BacklogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.open()

    def open(self, limit: int = 1 << 30, patience: float = 20, rate: float = 1_000) -> None:
        self.network = Network()
        self.metrics = Metrics()
        self.backlog = Backlog(self.network, limit, patience)
        self.connections = Connections(
            "chess",
            self.network,
            self.metrics,
            max_unread=MAX_UNREAD,
            login_timeout=0,
            rate=rate,
            burst=rate,
            turn=Turn(self.network, self.backlog),
        )

    def connect(self) -> Peer:
        return self.network.connect(Factory.forProtocol(lambda: Room(self.connections)))

    def flood(self, peer: Peer, lines: int = 1_000) -> None:
        peer.socket.incoming += b"".join(b"%0999d\n" % each for each in range(lines))

    @property
    def slow(self) -> int:
        return int(self.metrics.cuts["chess", "slow"])


class SpreadTests(BacklogTestCase):
    def test_everybody_keeps_up(self) -> None:
        """A sender may send any amount while all who hear it keep up."""
        sender, other = self.connect(), self.connect()
        self.flood(sender)
        self.network.turn()
        self.assertEqual(len(other.received()), 1_000_000)

    def test_slowed_down(self) -> None:
        """If one lags, the sender is slowed to its rate, and those who read stay."""
        sender, slow = self.connect(), self.connect()
        self.flood(sender, 10_000)
        slow.stall()
        for _ in range(100):
            self.network.turn(0.1)
            slow.socket.room = 10_000  # it reads ten times the guaranteed rate of one
            slow.socket.outgoing.clear()
        self.assertEqual(self.slow, 0)
        self.assertFalse(sender.reading)
        sent = 10_000_000 - len(sender.socket.incoming)
        self.assertGreater(sent, 10 * 1_000)

    def test_guaranteed(self) -> None:
        """Within its rate nobody is slowed down, although somebody lags."""
        sender, slow = self.connect(), self.connect()
        slow.stall()
        self.flood(self.connect(), 150)  # by another
        for number in range(50):
            sender.send(b"%0899d\n" % number)
            self.network.turn(1)
            if not slow.closed:
                self.assertGreater(self.backlog.total, 100_000)
            self.assertIn(b"%0899d\n" % number, sender.received())

    def test_in_order(self) -> None:
        """What waits comes later, in order, and nothing is lost."""
        sender, slow = self.connect(), self.connect()
        slow.stall()
        self.flood(sender, 200)
        for _ in range(30):
            self.network.turn(1)
        self.assertEqual(self.slow, 1)
        heard = sender.received()
        self.assertEqual(heard, b"".join(b"%0999d\n" % each for each in range(200)))

    def test_gone_while_slowed(self) -> None:
        sender, slow = self.connect(), self.connect()
        slow.stall()
        self.flood(sender, 300)
        self.network.turn()
        sender.break_off()
        slow.break_off()
        self.network.turn(0.1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_no_limit(self) -> None:
        """Without a rate the limit of the reader alone decides."""
        self.open(rate=0)
        sender, slow = self.connect(), self.connect()
        slow.stall()
        self.flood(sender, 500)
        self.network.turn()
        self.assertEqual(self.slow, 1)


class PatienceTests(BacklogTestCase):
    def test_takes_nothing(self) -> None:
        """A client that takes nothing of what waits is cut off as slow in time, not before."""
        self.open(patience=10)
        reader = self.connect()
        reader.stall()
        reader.send(b"x" * 500 + b"\n")
        self.network.turn(INTERVAL)
        self.network.turn(10 - INTERVAL)
        self.assertFalse(reader.closed)
        for _ in range(3):
            self.network.turn(INTERVAL)
        self.assertTrue(reader.closed)
        self.assertEqual(self.slow, 1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_takes_little(self) -> None:
        """One that takes a byte now and then is slow, but reads."""
        self.open(patience=10)
        reader = self.connect()
        reader.stall()
        reader.send(b"x" * 500 + b"\n")
        for _ in range(20):
            self.network.turn(8)
            reader.socket.room = 1
        self.assertFalse(reader.closed)

    def test_reads_all(self) -> None:
        """One that has read everything is not looked at any more."""
        self.open(patience=10)
        reader = self.connect()
        reader.stall()
        reader.send(b"x" * 500 + b"\n")
        reader.read_on()
        self.assertEqual((self.backlog.total, self.network.getDelayedCalls()), (0, []))


class TotalTests(BacklogTestCase):
    def test_most_goes_first(self) -> None:
        """Over the total, the client for which most waits is cut off, and no other."""
        self.open(limit=100_000, rate=0)
        readers = [self.connect() for _ in range(3)]
        for reader, lines in zip(readers, (30, 60, 20), strict=True):
            reader.stall()
            reader.protocol.outbox.send(b"x" * 1_000 * lines)
        self.network.turn()
        self.assertEqual([each.closed for each in readers], [False, True, False])
        self.assertEqual(self.backlog.total, 50_000)
        self.assertEqual(self.slow, 1)

    def test_default(self) -> None:
        """A quarter of the machine's memory."""
        self.assertEqual(Backlog(self.network).limit, affordable())
        self.assertGreater(affordable(), 1 << 26)
