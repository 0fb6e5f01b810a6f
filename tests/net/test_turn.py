"""Tests for L{gameservers.net.turn}: the reactor turn, shared fairly."""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics
from gameservers.net import connection
from gameservers.net.connection import BLOCK, Connections, Hold
from gameservers.net.turn import LITTLE, MODEST, SHARE, SLICE, Turn
from tests.net.test_connection import Lines
from tests.transports import Network, Peer

#: How long each line takes to handle.
COST = 0.000_1

#: Lines in a slice.
IN_SLICE = round(SLICE / COST)


class Working(Lines):
    """Lines that take time to handle."""

    def lineReceived(self, line: bytes) -> None:
        self.clock.advance(COST)  # type: ignore[attr-defined]
        super().lineReceived(line)
        self.outbox.send(line + b"\n")
        self.handled()


class Plain(Network):
    """A network whose time can be advanced by what is done in it."""

    def advance(self, amount: float) -> None:
        if amount == COST:
            self.rightNow += amount
        else:
            super().advance(amount)


class SharedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Plain()
        self.connections = Connections(
            "chess",
            self.network,
            Metrics(),
            max_unread=1 << 20,
            login_timeout=60,
            turn=Turn(self.network),
        )

    def connect(self) -> tuple[Peer, Working]:
        peer = self.network.connect(Factory.forProtocol(lambda: Working(self.connections)))
        return peer, peer.protocol

    def hand_over(self, protocol: Working, lines: int) -> None:
        """So many lines arrive in one read."""
        protocol.dataReceived(b"".join(b"%d\n" % each for each in range(lines)))


class SliceTests(SharedTestCase):
    def test_writing_is_part_of_the_slice(self) -> None:
        """What a line makes the server write counts as time, though it is written later."""
        self.patch(connection, "WRITE", COST)  # a byte takes as long as to handle a line
        _, busy = self.connect()
        busy.dataReceived(b"x\n" * 100)  # each is answered by two bytes
        self.assertEqual(len(busy.heard), -(-IN_SLICE // 3))
        self.assertAlmostEqual(busy.used, 3 * COST * len(busy.heard))
        self.network.turn()
        self.assertEqual(len(busy.heard), 100)
        self.assertEqual(busy.turn.output, 0)

    def test_waiting_for_an_answer_is_modest(self) -> None:
        """Who has to wait for something else has not sent more than can be handled."""
        _, client = self.connect()
        receive = client.lineReceived

        def ask(line: bytes) -> None:
            receive(line)
            client.hold(Hold.SESSION)

        client.lineReceived = ask  # type: ignore[method-assign]
        client.dataReceived(b"one\n")
        self.assertTrue(client.paused)
        self.assertAlmostEqual(client.used, COST * MODEST)

    def test_slice(self) -> None:
        """What was read at once is handled for a slice; the rest waits, and is not lost."""
        _, busy = self.connect()
        self.hand_over(busy, 1_000)
        self.assertEqual(len(busy.heard), IN_SLICE)
        self.network.turn()
        self.assertEqual(busy.heard, [b"%d" % each for each in range(1_000)])

    def test_share(self) -> None:
        """All that have more to say use no more than the share of a turn, and one slice."""
        others = [self.connect()[1] for _ in range(50)]
        for each in others:
            self.hand_over(each, 1_000)
        before = self.network.rightNow
        self.network.once()
        most = SHARE + SLICE + 50 * (LITTLE + COST)
        self.assertLessEqual(self.network.rightNow - before, most)
        before = self.network.rightNow
        self.network.once()  # nobody has credit any more
        self.assertLessEqual(self.network.rightNow - before, SHARE + SLICE + COST)

    def test_first_slices(self) -> None:
        """Fifty that are readable at once do not have fifty slices, but the share."""
        before = self.network.rightNow
        for each in [self.connect()[1] for _ in range(50)]:
            self.hand_over(each, 100)
        self.assertLessEqual(self.network.rightNow - before, SHARE + SLICE + 50 * (LITTLE + COST))

    def test_round_robin(self) -> None:
        """Those who wait advance alike, slice by slice."""
        busy = [self.connect()[1] for _ in range(4)]
        for each in busy:
            self.hand_over(each, 2_000)
        for _ in range(6):
            self.network.once()
            heard = [len(each.heard) for each in busy]
            self.assertLessEqual(max(heard) - min(heard), 2 * IN_SLICE)
        self.assertLess(max(heard), 2_000)

    def test_little_is_heard_at_once(self) -> None:
        """A client with a few words is heard although the share is used up, and answered first."""
        flooders = [self.connect()[1] for _ in range(50)]
        _, modest = self.connect()
        for each in flooders:
            self.hand_over(each, 1_000)
        modest.dataReceived(b"ping\n")
        self.assertEqual(modest.heard, [b"ping"])
        before = self.network.rightNow
        sent: list[float] = []
        modest.outbox._send = lambda transport, data: sent.append(self.network.rightNow) or 5
        self.network.once()
        self.assertEqual(sent, [before])

    def test_credit(self) -> None:
        """One that talks all the time queues with the others, until it has been quiet."""
        _, talker = self.connect()
        flooders = [self.connect()[1] for _ in range(20)]
        for each in flooders:
            self.hand_over(each, 1_000)
        for _ in range(10):
            talker.dataReceived(b"again\n")
        self.assertLess(len(talker.heard), 10)
        self.network.turn()
        self.assertEqual(len(talker.heard), 10)
        for each in flooders:
            self.hand_over(each, 1_000)
        talker.dataReceived(b"later\n")
        self.assertEqual(talker.heard[-1], b"later")

    def test_regular(self) -> None:
        """One that talks regularly, less than its fair part, is heard at once, for hours."""
        flooders = [self.connect()[1] for _ in range(50)]
        _, regular = self.connect()
        regular.dataReceived(b"ping\n" * 500)  # what it said in calm is not held against it
        self.network.turn()
        for each in flooders:
            self.hand_over(each, 5_000)
        for number in range(300):
            self.network.once()
            if number % 2:
                before = len(regular.heard)
                regular.dataReceived(b"ping\n")
                self.assertEqual(len(regular.heard), before + 1, number)

    def test_order(self) -> None:
        """What has to queue from the start is handled in order, however long it is."""
        _, late = self.connect()
        late.used = 1.0
        for each in [self.connect()[1] for _ in range(20)]:
            self.hand_over(each, 100)
        self.hand_over(late, 2_000)
        self.assertEqual(late.heard, [])
        self.network.turn()
        self.assertEqual(late.heard, [b"%d" % each for each in range(2_000)])

    def test_reading(self) -> None:
        """Of a client whose input waits one more read is taken, and then nothing."""
        peer, busy = self.connect()
        self.hand_over(busy, 5_000)
        busy.dataReceived(b"more\n")
        self.assertFalse(peer.reading)
        self.network.turn()
        self.assertTrue(peer.reading)
        self.assertEqual(busy.heard[-1], b"more")

    def test_price_per_byte(self) -> None:
        """A line splitter that copies the rest for each line is given little at once."""
        _, busy = self.connect()
        self.hand_over(busy, 10_000)
        self.assertLess(len(busy._buffer), BLOCK)

    def test_alone(self) -> None:
        """Nothing is scheduled when nobody has anything left to say."""
        peer, _ = self.connect()
        peer.send(b"one\n")
        self.assertEqual(len(self.network.getDelayedCalls()), 1)  # its time limit

    def test_gone(self) -> None:
        """One that has gone while its input waited is not served any more."""
        peer, busy = self.connect()
        self.hand_over(busy, 1_000)
        peer.break_off()
        heard = len(busy.heard)
        self.network.turn()
        self.assertEqual(len(busy.heard), heard)
