"""Tests for L{gameservers.net.bypass}."""

from __future__ import annotations

import errno
import socket
from typing import Any
from unittest import skipUnless
from unittest.mock import patch

from twisted.internet.address import IPv6Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net import bypass
from gameservers.net.bypass import (
    LARGEST_SEGMENT,
    PROBES,
    SAFE_SEGMENT,
    TCP_OPTIONS,
    Entrance,
    follow_monotonic_clock,
    has_ended,
    has_left,
    is_plain,
    keep_alive,
    make_prompt,
    segment_size,
    send_some,
)
from tests.net.transports import SocketlessServer
from tests.transports import MemorySocket


class Socket:
    """A socket that knows one option."""

    def __init__(self, size):
        self.size = size

    def getsockopt(self, level, option):
        if self.size is None:
            raise OSError("no such option")
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        return self.size


class SocketOfState:
    """A TCP socket in a state, or what is no TCP socket."""

    def __init__(self, state):
        self.state = state
        self.first = b""

    def getsockopt(self, level, option, size):
        if self.state is None:
            raise OSError("no such option")
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return bytes([self.state])[:size]

    def recv(self, size, flags):
        assert flags == socket.MSG_PEEK | socket.MSG_DONTWAIT
        if isinstance(self.first, bytes):
            return self.first[:size]
        raise self.first


class Door:
    """The socket of a listening port."""

    def __init__(self) -> None:
        self.arrived: list[Any] = []

    def accept(self) -> Any:
        if not self.arrived:
            raise BlockingIOError
        found = self.arrived.pop(0)
        if isinstance(found, OSError):
            raise found
        return found


class ListeningPort:
    """What Twisted's C{tcp.Port} has."""

    connected = True
    reactor = None
    sessionno = 0
    numberAccepts = 100

    def __init__(self) -> None:
        self.socket = Door()
        self.factory = Factory.forProtocol(Protocol)
        self.made: list[Any] = []
        self.own_reads: list[int] = []

    def _buildAddr(self, address: Any) -> Any:
        return IPv6Address("TCP", *address)

    def transport(self, accepted: Any, protocol: Any, address: Any, *rest: Any) -> Any:
        self.made.append((accepted, address, *rest))
        return StringTransport()

    def doRead(self) -> None:
        self.own_reads.append(self.numberAccepts)


class EntranceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.port = ListeningPort()
        self.ready: list[Entrance] = []
        self.entrance = Entrance(self.port, self.ready.append)

    def test_ready(self) -> None:
        """What arrives is left to the new owner."""
        self.port.doRead()
        self.assertEqual((self.ready, self.port.own_reads), ([self.entrance], []))
        self.assertIs(self.entrance.factory, self.port.factory)

    def test_accept(self) -> None:
        """As long as there is something; the interface of a link-local address is named."""
        self.port.socket.arrived = [
            ("a", ("192.0.2.1", 7)),
            ("b", ("2001:db8::1", 7, 0, 0)),
            ("c", ("fe80::1", 7, 0, 1)),
        ]
        found = [self.entrance.accept() for _ in range(4)]
        self.assertEqual(found[0], ("a", ("192.0.2.1", 7)))
        self.assertEqual(found[1], ("b", ("2001:db8::1", 7, 0, 0)))
        self.assertRegex(found[2][1][0], r"^fe80::1%\w+$")
        self.assertIsNone(found[3])

    def test_failure(self) -> None:
        """Twisted keeps a descriptor for the time when there are none left."""
        self.port.socket.arrived = [OSError(errno.EMFILE, "too many open files")]
        self.assertIsNone(self.entrance.accept())
        self.assertEqual(self.port.own_reads, [1])

    def test_admit(self) -> None:
        one, other = Visitor(), Visitor()
        self.entrance.admit(one, ("2001:db8::1", 7, 0, 0))
        self.entrance.admit(other, ("2001:db8::2", 7, 0, 0))
        self.assertEqual(
            self.port.made,
            [
                (one, ("2001:db8::1", 7, 0, 0), self.port, 0, None),
                (other, ("2001:db8::2", 7, 0, 0), self.port, 1, None),
            ],
        )
        self.assertFalse(one.closed or other.closed)

    def test_nobody_is_admitted(self) -> None:
        """The port was closed meanwhile, or the factory does not want anybody."""
        for self.port.connected, wants in ((False, Factory.buildProtocol), (True, None)):
            visitor = Visitor()
            if wants is None:
                self.port.factory.buildProtocol = lambda address: None
            self.entrance.admit(visitor, ("2001:db8::1", 7, 0, 0))
            self.assertTrue(visitor.closed)
        self.assertEqual(self.port.made, [])


class Visitor:
    """A connection that was accepted."""

    closed = False

    def close(self) -> None:
        self.closed = True


class SocketsTests(SynchronousTestCase):
    def test_is_plain(self):
        """Only TCP without TLS is plain."""
        transport = SocketlessServer(room=0)
        self.assertTrue(is_plain(transport))
        transport.TLS = True
        self.assertFalse(is_plain(transport))
        self.assertFalse(is_plain(StringTransport()))

    @skipUnless(hasattr(socket, "TCP_INFO"), "no TCP_INFO here")
    def test_has_ended(self):
        """The kernel knows of an end that nobody has read."""
        transport = SocketlessServer(room=0)
        for state, ended in ((1, False), (7, True), (8, True), (None, False)):
            transport.socket = SocketOfState(state)
            for transport.TLS in (False, True):  # below it is the same connection
                self.assertIs(has_ended(transport), ended)
        self.assertFalse(has_ended(StringTransport()))

    @skipUnless(hasattr(socket, "TCP_INFO"), "no TCP_INFO here")
    def test_has_left(self):
        """Reset, or closed in silence; who has closed after a request waits for the answer."""
        for state, first, left in (
            (1, BlockingIOError, False),
            (7, b"x", True),
            (8, b"", True),
            (8, b"x", False),
            (8, ConnectionResetError, True),
        ):
            accepted = SocketOfState(state)
            accepted.first = first
            self.assertIs(has_left(accepted), left, (state, first))

    def test_segment_size(self):
        """A segment is what the connection says, or what is safe where nobody knows."""
        transport = SocketlessServer(room=0)
        for size, segment in (
            (1448, 1448 - TCP_OPTIONS),
            (9_000, 9_000 - TCP_OPTIONS),
            (65_483, LARGEST_SEGMENT),
            (TCP_OPTIONS, 1),
            (None, SAFE_SEGMENT),
        ):
            transport.socket = Socket(size)
            self.assertEqual(segment_size(transport), segment)
        transport.TLS = True
        self.assertEqual(segment_size(transport), SAFE_SEGMENT)
        self.assertEqual(segment_size(StringTransport()), SAFE_SEGMENT)

    def test_make_prompt(self):
        """TCP is asked not to delay, what is no TCP is left alone."""
        transport = SocketlessServer(room=0)
        make_prompt(transport)
        self.assertEqual(transport.events, ["no delay"])
        make_prompt(StringTransport())

    def test_keep_alive(self):
        """The kernel is told when to ask, and when a peer is lost; other transports are not."""
        for seconds, interval, limit in ((60, 10, 90_000), (2, 1, 5_000)):
            transport = SocketlessServer(room=0)
            transport.socket = MemorySocket()
            keep_alive(transport, seconds)
            self.assertEqual(transport.events, ["keep alive"])
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            values = dict(zip(names, (seconds, interval, PROBES, limit), strict=True))
            wanted = {
                (socket.IPPROTO_TCP, getattr(socket, name)): value
                for name, value in values.items()
                if hasattr(socket, name)
            }
            self.assertEqual(transport.socket.options, transport.socket.options | wanted)
        keep_alive(StringTransport(), 60)

    def test_no_keep_alive(self):
        transport = SocketlessServer(room=0)
        keep_alive(transport, 0)
        self.assertEqual(transport.events, [])


class SendSomeTests(SynchronousTestCase):
    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.theirs.settimeout(5)
        self.transport = Connection(ours, Protocol(), MemoryReactor())  # type: ignore[arg-type]

    def test_at_once(self) -> None:
        """It has left before the reactor goes round."""
        self.assertEqual(send_some(self.transport, b"now"), 3)
        self.assertEqual(self.theirs.recv(10), b"now")

    def test_full(self) -> None:
        """What does not fit is for the caller to send later."""
        big = memoryview(bytes(8 * 1024 * 1024))
        sent = 0
        while taken := send_some(self.transport, big[sent:]):
            sent += taken
        self.assertTrue(0 < sent < len(big))
        self.assertEqual(send_some(self.transport, b"more"), 0)

    def test_lost(self) -> None:
        """That a connection is lost is for the transport to find out."""
        self.theirs.close()
        self.assertEqual(send_some(self.transport, b"nobody"), 0)


class ClockTests(SynchronousTestCase):
    def test_monotonic(self):
        """Timers that are set keep their time, and none asks for the wall clock any more."""
        reactor = MemoryReactorClock()
        reactor.advance(1_800_000_000)
        called = []
        early = reactor.callLater(10, called.append, "early")
        late = reactor.callLater(20, called.append, "late")
        uptime = Clock()
        uptime.advance(100)
        with patch.object(bypass.time, "monotonic", uptime.seconds):
            follow_monotonic_clock(reactor)
        self.assertEqual(reactor.seconds(), 100)
        self.assertEqual([early.getTime(), late.getTime()], [110, 120])
        late.reset(5)
        self.assertEqual(
            [late.getTime(), reactor.callLater(1, called.append, 0).getTime()], [105, 101]
        )
