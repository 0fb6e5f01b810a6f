"""Tests for L{gameservers.net.pipe} on transports without sockets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.pipe import LINGER, CoupledPipe, Ending, couple
from tests.net.transports import SlowTransport, SocketlessServer

ROOM = 10  # bytes a transport of these tests takes before it asks for a pause


class CoupledPipeTests(SynchronousTestCase):
    """Two transports, each the other's producer."""

    def setUp(self):
        self.clock = Clock()
        self.endings = []
        self.a, self.b = SlowTransport(ROOM), SlowTransport(ROOM)

    def couple(self, **how):
        return couple(self.a, self.b, clock=self.clock, done=self.endings.append, **how)

    def test_both_ways(self):
        """Bytes go unchanged to the other side, the first ones first, and are counted."""
        pipe = self.couple(to_a=b"from ", to_b=b"to ")
        self.assertIsInstance(pipe, CoupledPipe)
        pipe.a.received(b"b")
        pipe.b.received(b"b")
        pipe.b.received(b"!")
        self.assertEqual((self.a.value(), self.b.value()), (b"from b!", b"to b"))
        self.assertEqual((pipe.a.carried, pipe.b.carried), (1, 2))

    def test_paused_before(self):
        """A side that had to wait for the other is read again."""
        self.a.pauseProducing()
        self.couple()
        self.assertEqual(self.a.producerState, "producing")

    def test_first_bytes_pause(self):
        """A slow reader of the first bytes slows the writer at once."""
        self.couple(to_a=bytes(ROOM + 1))
        self.assertEqual((self.a.producerState, self.b.producerState), ("producing", "paused"))
        self.a.drain(ROOM)
        self.assertEqual(self.b.producerState, "producing")

    def test_lost(self):
        """When one side is gone, the other is closed and the pipe ends once."""
        for reason, ending in ((ConnectionDone(), Ending.ENDED), (ConnectionLost(), Ending.LOST)):
            self.setUp()
            pipe = self.couple()
            pipe.a.received(b"rest")
            pipe.a.lost(Failure(reason))
            self.assertEqual(self.b.value(), b"rest")
            self.assertTrue(self.b.disconnecting)
            self.assertIsNone(self.b.producer)
            pipe.b.received(b"too late")
            pipe.b.lost(Failure(ConnectionDone()))
            self.assertEqual(self.a.value(), b"")
            self.assertEqual(self.endings, [ending])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_half_close(self):
        """A side whose transport cannot be half-closed is closed."""
        pipe = self.couple()
        pipe.a.read_lost()
        self.assertTrue(self.b.disconnecting)
        self.assertEqual(self.endings, [Ending.ENDED])

    def test_does_not_go(self):
        """A connection that does not take its rest is cut off when the time is up."""
        self.couple().close()
        self.assertEqual(self.endings, [Ending.CLOSED])
        self.clock.advance(LINGER - 1)
        self.assertFalse(self.a.disconnected)
        self.clock.advance(1)
        self.assertTrue(self.a.disconnected)
        self.assertTrue(self.b.disconnected)

    def test_half_close(self):
        """A plain TCP side is told of the end and may go on for a while."""
        self.b = SocketlessServer(room=1000)
        pipe = self.couple()
        pipe.a.read_lost()
        pipe.a.read_lost()
        self.b.drain(1000)
        self.assertEqual(self.b.events, ["no delay", "read", "half-close"])
        pipe.b.received(b"answer")
        self.assertEqual(self.a.value(), b"answer")
        self.clock.advance(LINGER - 1)
        self.assertEqual(self.endings, [])
        self.clock.advance(1)
        self.assertEqual(self.endings, [Ending.LINGERED])
        self.assertTrue(self.a.disconnecting)

    @given(
        st.lists(
            st.tuples(
                st.booleans(),
                st.one_of(
                    st.binary(min_size=1, max_size=2 * ROOM),
                    st.integers(min_value=0, max_value=ROOM),
                    st.sampled_from(["end", "lost"]),
                ),
            ),
            max_size=40,
        ),
        st.binary(max_size=2 * ROOM),
    )
    @settings(deadline=None)
    def test_any_order(self, steps, first):
        """Whatever happens, bytes keep their order and no more wait than may."""
        self.setUp()
        pipe = self.couple(to_a=first)
        sides = {True: (pipe.a, self.a), False: (pipe.b, self.b)}
        heard = {True: first, False: b""}  # what each side is to hear
        unread = {True: [], False: []}  # what each side has sent while it was paused

        def deliver(which):
            end, transport = sides[which]
            while unread[which] and transport.producerState == "producing":
                if not self.endings:
                    heard[not which] += unread[which][0]
                end.received(unread[which].pop(0))

        for which, step in steps:
            end, transport = sides[which]
            if isinstance(step, bytes):
                unread[which].append(step)
                deliver(which)
            elif step == "end":
                end.read_lost()
            elif step == "lost":
                transport.producer = None  # as a transport does first
                end.lost(Failure(ConnectionLost()))
            else:
                transport.drain(step)
                deliver(not which)
            for _, each in sides.values():
                self.assertGreaterEqual(each.room, -2 * ROOM)
        for which, (_, transport) in sides.items():
            self.assertEqual(transport.value(), heard[which])
        self.assertLessEqual(len(self.endings), 1)
