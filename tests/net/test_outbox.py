"""Tests for L{gameservers.net.outbox}."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.outbox import (
    INTERVAL,
    LINGER,
    MAX_PIECE,
    Audience,
    Outbox,
    Topic,
    Turn,
    pieces,
)
from tests.net.transports import SlowTransport, SocketlessServer


class TurnTests(SynchronousTestCase):
    """What is due at the end of a turn."""

    def test_once_per_turn(self) -> None:
        """One call ends a turn, however much is due; nothing due, no call."""
        clock = Clock()
        turn = Turn(clock)
        self.assertEqual(clock.getDelayedCalls(), [])
        told: list[int] = []
        turn.at_end(lambda: told.append(1))
        turn.at_end(lambda: told.append(2))
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        self.assertEqual(told, [])
        clock.advance(0)
        self.assertEqual(told, [1, 2])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_due_at_the_end(self) -> None:
        """What a call at the end has done at the end is done in the same turn, and sent."""
        clock = Clock()
        turn = Turn(clock)
        transport = StringTransport()
        outbox = Outbox(transport, turn, limit=100, overflowed=self.fail)
        turn.at_end(lambda: turn.at_end(lambda: outbox.send(b"late")))
        clock.advance(0)
        self.assertEqual(transport.value(), b"late")
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_bug_is_contained(self) -> None:
        """A call that fails is logged; the others are made and what was said is sent."""
        clock = Clock()
        turn = Turn(clock)
        transport = StringTransport()
        outbox = Outbox(transport, turn, limit=100, overflowed=self.fail)
        turn.at_end(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        turn.at_end(lambda: outbox.send(b"said"))
        with capturedLogs() as events:
            clock.advance(0)
        self.assertEqual(len(events), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(transport.value(), b"said")

    def test_a_broken_outbox_is_contained(self) -> None:
        """An outbox that cannot be flushed ends its own connection only."""
        clock = Clock()
        turn = Turn(clock)
        first, second = StringTransport(), StringTransport()
        broken = Outbox(first, turn, limit=100, overflowed=self.fail)
        outbox = Outbox(second, turn, limit=100, overflowed=self.fail)
        broken.send("no bytes")  # type: ignore[arg-type]
        outbox.send(b"bytes")
        with capturedLogs():
            clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertTrue(first.disconnected)
        self.assertEqual(second.value(), b"bytes")


class PassOnTests(SynchronousTestCase):
    """Bytes that were put together for many recipients."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)

    def outbox(self, transport: object, limit: int = 100) -> Outbox:
        return Outbox(transport, self.turn, limit=limit, overflowed=lambda: self.cut.append(1))

    cut: list[int]

    def test_as_it_stands(self) -> None:
        """Where nothing waits it goes out at once, and later bytes after it."""
        transport = SocketlessServer(1000)
        outbox = self.outbox(transport)
        outbox.pass_on(b"whole")
        self.assertEqual(transport.writes, [b"whole"])
        outbox.send(b"own")
        outbox.pass_on(b"after")
        self.assertEqual(transport.writes, [b"whole"])
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"whole", b"ownafter"])

    def test_what_does_not_fit(self) -> None:
        """The rest waits, in its order, and counts."""
        transport = SocketlessServer(5)
        outbox = self.outbox(transport)
        outbox.pass_on(b"0123456789")
        outbox.pass_on(b"abc")
        self.clock.advance(0)
        self.assertEqual(outbox.pending, 8)
        transport.drain(100)
        self.assertEqual(b"".join(transport.writes), b"0123456789abc")
        self.assertEqual(outbox.pending, 0)

    def test_limit(self) -> None:
        self.cut = []
        outbox = self.outbox(SocketlessServer(0), limit=9)
        outbox.pass_on(b"0123456789")
        self.assertEqual(self.cut, [1])

    def test_lost(self) -> None:
        """Nothing is sent to one who is gone."""
        transport = SocketlessServer(100)
        transport.connected = 0
        self.outbox(transport).pass_on(b"late")
        self.assertEqual(transport.writes, [])

    def test_other_transports(self) -> None:
        transport = StringTransport()
        self.outbox(transport).pass_on(b"whole")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"whole")


class PiecesTests(SynchronousTestCase):
    """How messages are joined into writes."""

    @given(
        st.lists(st.binary(max_size=30), max_size=30),
        st.integers(min_value=1, max_value=60),
    )
    @settings(deadline=None)
    def test_cut(self, messages: list[bytes], cut: int) -> None:
        """Pieces keep every byte, end where messages end and are as few as can be."""
        result = pieces(messages, cut)
        self.assertEqual(b"".join(result), b"".join(messages))
        borders = {sum(map(len, messages[:n])) for n in range(len(messages) + 1)}
        for n, piece in enumerate(result):
            self.assertIn(sum(map(len, result[: n + 1])), borders)
            if len(piece) > cut:
                self.assertIn(piece, messages)
            self.assertTrue(piece)
        for one, other in pairwise(result):
            self.assertGreater(len(one) + len(other), cut)

    def test_no_cut(self) -> None:
        """Without a cut there is one piece, up to what is written at once."""
        self.assertEqual(pieces([b"a", b"b"]), [b"ab"])
        self.assertEqual(pieces([]), [])
        self.assertEqual(pieces([b"", b""]), [])
        half = b"x" * (MAX_PIECE // 2 + 1)
        self.assertEqual(list(map(len, pieces([half, half]))), [MAX_PIECE, 2])

    def test_huge_message(self) -> None:
        """A message over the cut stands alone and whole, however large it is."""
        huge = b"x" * (MAX_PIECE + 10)
        self.assertEqual(
            list(map(len, pieces([b"aa", huge, b"bb", b"cc"], 4))), [2, MAX_PIECE + 10, 4]
        )


class OutboxTests(SynchronousTestCase):
    """An outbox on a transport that is written to (TLS, tests)."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.overflows = 0

    def overflowed(self) -> None:
        self.overflows += 1

    def outbox(self, transport: StringTransport, cut: int | None = None) -> Outbox:
        return Outbox(transport, self.turn, limit=100, overflowed=self.overflowed, cut=cut)

    def test_one_write_per_turn(self) -> None:
        """Nothing is written before the turn ends, and then everything in one write."""
        transport = SlowTransport(room=1000)
        outbox = self.outbox(transport)
        outbox.send(b"one ")
        outbox.send(b"two")
        self.assertEqual(transport.writes, [])
        self.assertEqual(outbox.pending, 7)
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"one two"])
        self.assertEqual(outbox.pending, 0)
        self.assertIsNone(transport.producer)

    def test_cut(self) -> None:
        """With a cut each piece is a write of its own."""
        transport = SlowTransport(room=1000)
        outbox = self.outbox(transport, cut=8)
        for message in (b"alpha", b"be", b"gamma", b"epsilon-zeta"):
            outbox.send(message)
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"alphabe", b"gamma", b"epsilon-zeta"])

    def test_audience(self) -> None:
        """Speaking to an audience is sending to each of it, in order with all else."""
        transports = [SlowTransport(room=1000) for _ in range(3)]
        outboxes = [self.outbox(transport) for transport in transports]
        everybody, two = Audience(outboxes), Audience(outboxes[:2])
        outboxes[0].send(b"first ")
        everybody.send(b"all ")
        everybody.send(b"hear ")
        outboxes[1].send(b"aside ")
        everybody.send(b"this ")
        two.send(b"two ")
        everybody.send(b"end")
        self.assertEqual([each.pending for each in outboxes], [27, 27, 17])
        self.clock.advance(0)
        everybody.send(b".")
        self.clock.advance(0)
        self.assertEqual(
            [t.value() for t in transports],
            [
                b"first all hear this two end.",
                b"all hear aside this two end.",
                b"all hear this end.",
            ],
        )

    def test_audience_after_close(self) -> None:
        """Who is closed hears what was said before, and nothing said after."""
        transports = [SlowTransport(room=1000) for _ in range(2)]
        outboxes = [self.outbox(transport) for transport in transports]
        everybody = Audience(outboxes)
        everybody.send(b"before ")
        outboxes[0].close()
        everybody.send(b"after")
        self.clock.advance(0)
        self.assertEqual([t.value() for t in transports], [b"before ", b"before after"])

    def test_audience_is_cut_at_borders(self) -> None:
        """What is joined once for all is cut as for one."""
        transports = [SlowTransport(room=1000) for _ in range(2)]
        everybody = Audience([self.outbox(transport, cut=8) for transport in transports])
        for message in (b"alpha", b"be", b"gamma", b"epsilon-zeta"):
            everybody.send(message)
        self.clock.advance(0)
        for transport in transports:
            self.assertEqual(transport.writes, [b"alphabe", b"gamma", b"epsilon-zeta"])

    def test_slow_reader(self) -> None:
        """What a paused transport does not take waits, in order, and goes on later."""
        transport = SlowTransport(room=3)
        outbox = self.outbox(transport, cut=4)
        for message in (b"aaaa", b"bbbb", b"cc"):
            outbox.send(message)
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"aaaa"])
        self.assertEqual(outbox.pending, 6)
        outbox.send(b"dd")
        self.clock.advance(0)
        self.assertEqual(outbox.pending, 8)
        transport.drain(room=3)
        self.assertEqual(transport.value(), b"aaaabbbb")
        transport.drain(room=100)
        self.assertEqual(transport.value(), b"aaaabbbbccdd")
        self.assertIsNone(transport.producer)
        self.assertEqual((outbox.pending, self.overflows), (0, 0))

    def test_overflow(self) -> None:
        """Beyond the limit the owner is told once, and nothing more is kept or sent."""
        transport = SlowTransport()
        outbox = self.outbox(transport)
        outbox.send(b"taken")
        self.clock.advance(0)
        outbox.send(b"x" * 100)
        self.clock.advance(0)
        self.assertEqual((outbox.pending, self.overflows), (100, 0))
        outbox.send(b"y")
        self.clock.advance(0)
        self.assertEqual((outbox.pending, self.overflows), (0, 1))
        outbox.send(b"z")
        transport.drain(room=1000)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"taken")
        self.assertEqual(self.overflows, 1)

    def test_told_while_flushing(self) -> None:
        """What is said because an outbox overflows leaves in the next turn, in order."""
        other = StringTransport()
        witness = self.outbox(other)

        def tell() -> None:
            place = witness.reserve()
            self.turn.at_end(lambda: witness.fill(place, b" gone"))

        outbox = Outbox(SlowTransport(), self.turn, limit=0, overflowed=tell)
        outbox.send(b"a")
        self.clock.advance(0)
        outbox.send(b"b")
        witness.send(b"before")
        self.clock.advance(0)
        self.assertEqual(other.value(), b"before gone")

    def test_close(self) -> None:
        """Closing sends what was said, ignores what is said later, then closes."""
        transport = StringTransport()
        outbox = self.outbox(transport)
        outbox.send(b"last words")
        outbox.close()
        outbox.send(b" and more")
        self.assertFalse(transport.disconnecting)
        self.clock.advance(0)
        outbox.send(b" and again")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"last words")
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.disconnected)

    def test_close_waits(self) -> None:
        """The connection is closed after the last byte, not before."""
        transport = SlowTransport()
        outbox = self.outbox(transport, cut=2)
        outbox.send(b"aa")
        outbox.send(b"bb")
        outbox.close()
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"aa")
        self.assertFalse(transport.disconnecting)
        transport.drain(room=10)
        self.assertEqual(transport.value(), b"aabb")
        self.assertTrue(transport.disconnecting)

    def test_linger(self) -> None:
        """A peer that does not close is cut off when its time is up, not before."""
        transport = StringTransport()
        self.outbox(transport).close()
        self.clock.advance(LINGER - 0.5)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.5)
        self.assertTrue(transport.disconnected)

    def test_closed_and_lost(self) -> None:
        """A connection that is lost in time leaves no clock running."""
        outbox = self.outbox(StringTransport())
        outbox.close()
        self.clock.advance(0)
        outbox.lost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort(self) -> None:
        """Aborting drops everything, also what this turn has said."""
        transport = StringTransport()
        outbox = self.outbox(transport)
        outbox.send(b"never")
        outbox.abort()
        self.assertTrue(transport.disconnected)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"")

    def test_lost(self) -> None:
        """After the connection is lost sending does nothing and keeps nothing."""
        transport = SlowTransport()
        outbox = self.outbox(transport)
        outbox.send(b"a")
        self.clock.advance(0)
        outbox.send(b"b")
        self.clock.advance(0)
        self.assertIsNotNone(transport.producer)
        transport.producer.stopProducing()
        self.assertEqual(outbox.pending, 0)
        outbox.send(b"c")
        self.clock.advance(0)
        self.assertEqual((transport.value(), outbox.pending), (b"a", 0))


class PlainTCPTests(SynchronousTestCase):
    """An outbox on a plain TCP connection, which is sent to at once."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.overflows = 0

    def overflowed(self) -> None:
        self.overflows += 1

    def outbox(self, transport: SocketlessServer, limit: int = 1000, cut: int = 4) -> Outbox:
        return Outbox(transport, self.turn, limit=limit, overflowed=self.overflowed, cut=cut)

    def test_at_once(self) -> None:
        """When there is room each piece is one system call, and the reactor is not asked."""
        transport = SocketlessServer(room=100)
        outbox = self.outbox(transport)
        for message in (b"aaa", b"bbb", b"c"):
            outbox.send(message)
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"aaa", b"bbbc"])
        self.assertFalse(transport.written)
        self.assertIsNone(transport.producer)

    def test_rest_goes_on(self) -> None:
        """What does not fit is known to the byte and goes on when there is room."""
        transport = SocketlessServer(room=5)
        outbox = self.outbox(transport)
        for message in (b"aaaa", b"bbbb", b"cccc"):
            outbox.send(message)
        self.clock.advance(0)
        self.assertEqual(transport.writes, [b"aaaa", b"b"])
        self.assertEqual(outbox.pending, 7)
        self.assertTrue(transport.written)
        outbox.send(b"dd")
        self.clock.advance(0)
        self.assertEqual(outbox.pending, 9)
        transport.drain(room=5)
        self.assertEqual(b"".join(transport.writes), b"aaaabbbbcc")
        transport.drain(room=100)
        self.assertEqual(b"".join(transport.writes), b"aaaabbbbccccdd")
        self.assertEqual(outbox.pending, 0)
        self.assertFalse(transport.written)
        self.assertIsNone(transport.producer)

    def test_overflow(self) -> None:
        """The limit counts the bytes that the transport was given, too."""
        transport = SocketlessServer(room=0)
        outbox = self.outbox(transport, limit=8)
        for message in (b"aaaa", b"bbbb"):
            outbox.send(message)
        self.clock.advance(0)
        self.assertEqual((outbox.pending, self.overflows), (8, 0))
        outbox.send(b"c")
        self.clock.advance(0)
        self.assertEqual((outbox.pending, self.overflows), (0, 1))
        self.assertIsNone(transport.producer)

    def test_half_close(self) -> None:
        """Closing half-closes after the last byte and aborts when the time is up."""
        transport = SocketlessServer(room=2)
        outbox = self.outbox(transport)
        outbox.send(b"aaaa")
        outbox.close()
        self.clock.advance(0)
        self.assertEqual(transport.events, [])
        transport.drain(room=10)
        transport.drain(room=10)
        self.assertEqual(b"".join(transport.writes), b"aaaa")
        self.assertEqual(transport.events, ["half-close"])
        outbox.send(b"late")
        self.clock.advance(0)
        transport.drain(room=10)
        self.clock.advance(LINGER)
        self.assertEqual(transport.events, ["half-close", "abort"])
        self.assertEqual(b"".join(transport.writes), b"aaaa")

    def test_lost_unnoticed(self) -> None:
        """A connection that was lost in this turn is not written to."""
        transport = SocketlessServer(room=100)
        outbox = self.outbox(transport)
        outbox.send(b"aaaa")
        outbox.close()
        transport.connected = 0
        self.clock.advance(0)
        self.assertEqual((transport.writes, transport.events, outbox.pending), ([], [], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(
        st.lists(
            st.one_of(
                st.binary(min_size=1, max_size=9),  # some over the cut
                st.integers(min_value=0, max_value=12),
                st.none(),
            ),
            max_size=40,
        ),
        st.integers(min_value=0, max_value=10),
    )
    @settings(deadline=None)
    def test_any_order(self, steps: list[bytes | int | None], room: int) -> None:
        """Whatever the reader does, bytes keep their order and C{pending} is exact."""
        clock = Clock()
        transport = SocketlessServer(room)
        outbox = Outbox(transport, Turn(clock), limit=10_000, overflowed=self.fail, cut=6)
        said = b""
        for step in steps:
            if isinstance(step, bytes):
                outbox.send(step)
                said += step
            elif step is None:
                clock.advance(0)
            else:
                transport.drain(step)
            sent = b"".join(transport.writes)
            self.assertTrue(said.startswith(sent))
            self.assertLessEqual(len(said) - len(sent), outbox.pending)
            self.assertLessEqual(outbox.pending, len(said) - len(sent) + 9)
        clock.advance(0)
        transport.drain(10_000)
        self.assertEqual(b"".join(transport.writes), said)
        self.assertEqual(outbox.pending, 0)


class TopicTests(SynchronousTestCase):
    """Lists of which everybody knows the newest state."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.names: list[str] = []
        self.renderings = 0
        self.topic = Topic(self.turn, self.render)

    def render(self, form: str) -> bytes:
        self.renderings += 1
        return f"[{form}:{','.join(self.names)}]".encode()

    def subscriber(self, form: str = "utf8") -> tuple[Outbox, StringTransport]:
        transport = StringTransport()
        outbox = Outbox(transport, self.turn, limit=100_000, overflowed=self.fail)
        self.topic.subscribe(outbox, form)
        return outbox, transport

    def change(self, name: str) -> None:
        self.names.append(name)
        self.topic.touch()

    def test_keeps_its_place(self) -> None:
        """The newest state of the turn stands where the first change was."""
        outbox, transport = self.subscriber()
        outbox.send(b"before ")
        self.change("a")
        outbox.send(b" after")
        self.change("b")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"before [utf8:a,b] after")
        self.assertEqual(self.renderings, 1)

    def test_one_rendering_per_form(self) -> None:
        """Each form is rendered once, however many subscribers have it."""
        subscribers = [self.subscriber(form) for form in ("utf8", "cp1251", "utf8")]
        self.change("a")
        self.clock.advance(0)
        self.assertEqual(
            [transport.value() for _, transport in subscribers],
            [b"[utf8:a]", b"[cp1251:a]", b"[utf8:a]"],
        )
        self.assertEqual(self.renderings, 2)

    def test_interval(self) -> None:
        """After a broadcast the next waits until the interval is over."""
        outbox, transport = self.subscriber()
        self.change("a")
        self.clock.advance(0)
        transport.clear()
        self.change("b")
        outbox.send(b"chat ")
        self.clock.advance(INTERVAL / 2)
        self.assertEqual(transport.value(), b"chat ")
        self.change("c")
        self.clock.advance(INTERVAL / 2)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"chat [utf8:a,b,c]")
        self.clock.advance(1)
        self.assertEqual(transport.value(), b"chat [utf8:a,b,c]")

    def test_tell(self) -> None:
        """Who is told the newest state is not told it again by the broadcast."""
        self.subscriber()
        self.change("a")
        self.clock.advance(0)
        newcomer, transport = self.subscriber()
        self.change("b")
        self.topic.tell(newcomer)
        newcomer.send(b" welcome")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"[utf8:a,b] welcome")
        self.clock.advance(INTERVAL)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"[utf8:a,b] welcome")
        self.change("c")
        self.clock.advance(INTERVAL)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"[utf8:a,b] welcome[utf8:a,b,c]")

    def test_told_an_older_state(self) -> None:
        """Who was told before a later change of the turn hears of that change afterwards."""
        newcomer, transport = self.subscriber()
        self.change("a")
        self.topic.tell(newcomer)
        self.change("b")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"[utf8:a][utf8:a,b]")

    def test_came_after_the_place_was_kept(self) -> None:
        """A subscriber of the same turn hears of the changes after his coming."""
        self.subscriber()
        self.change("a")
        _, transport = self.subscriber()
        self.change("b")
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"[utf8:a,b]")

    def test_unsubscribed(self) -> None:
        """Who leaves hears no more, and with the last the clock stops."""
        outbox, transport = self.subscriber()
        self.change("a")
        self.topic.unsubscribe(outbox)
        self.clock.advance(0)
        self.assertEqual(transport.value(), b"")
        outbox, _ = self.subscriber()
        self.change("b")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.topic.unsubscribe(outbox)
        self.topic.unsubscribe(outbox)
        self.change("c")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_storm(self) -> None:
        """A thousand changes in a second are a dozen broadcasts, the last with the newest."""
        subscribers = [self.subscriber() for _ in range(100)]
        for n in range(1000):
            self.names = [str(n)]
            self.topic.touch()
            self.clock.advance(0.001)
        self.clock.advance(INTERVAL)
        self.clock.advance(0)
        self.assertLessEqual(self.renderings, 12)
        self.assertGreaterEqual(self.renderings, 9)
        for _, transport in subscribers:
            self.assertEqual(transport.value().count(b"["), self.renderings)
            self.assertTrue(transport.value().endswith(b"[utf8:999]"))

    @given(
        st.lists(
            st.sampled_from(["touch", "tell", "join", "leave", "chat", "end", "wait"]),
            max_size=40,
        )
    )
    @settings(deadline=None)
    def test_ends_with_the_newest(self, steps: list[str]) -> None:
        """Whatever happens, in the end everybody has the newest state, and chat in order."""
        self.setUp()
        subscribers: list[tuple[Outbox, StringTransport, list[str]]] = []
        for n, step in enumerate(steps):
            if step == "touch":
                self.change(str(n))
            elif step == "join":
                subscribers.append((*self.subscriber(), []))
                self.topic.tell(subscribers[-1][0])
            elif step == "tell" and subscribers:
                self.topic.tell(subscribers[0][0])
            elif step == "leave" and subscribers:
                self.topic.unsubscribe(subscribers.pop(0)[0])
            elif step == "chat":
                for outbox, _, said in subscribers:
                    outbox.send(f"<{n}>".encode())
                    said.append(f"<{n}>")
            elif step == "end":
                self.clock.advance(0)
            elif step == "wait":
                self.clock.advance(0.03)
        self.clock.advance(INTERVAL)
        self.clock.advance(0)
        newest = self.render("utf8").decode()
        for _, transport, said in subscribers:
            heard = transport.value().decode().replace("]", "]|").replace(">", ">|").split("|")
            self.assertEqual([word for word in heard if word.startswith("<")], said)
            self.assertEqual([word for word in heard if word.startswith("[")][-1], newest)
