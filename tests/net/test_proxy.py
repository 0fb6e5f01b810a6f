"""Tests for L{gameservers.net.proxy}: whose connection a balancer forwards."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.proxy import LINE, MAX_REST, SIGNATURE, Header, ProxiedFactory, parse
from gameservers.wire import WireError
from tests.net.test_guard import GuardTestCase
from tests.net.visitors import connect

V4 = b"\xc0\0\2\7" + b"\xc0\0\2\1" + struct.pack("!HH", 40_000, 5_002)


def binary(command: int, kind: int, rest: bytes, size: int | None = None) -> bytes:
    """A header of version 2."""
    return (
        SIGNATURE + struct.pack("!BBH", command, kind, len(rest) if size is None else size) + rest
    )


#: Pieces of headers, right and wrong.
PIECES = st.sampled_from(
    (
        *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b" ", b"192.0.2.7 ", b"::1 ", b"1.2.3 "),
        *(b"40000 ", b"5002", b"port", b"99999", b"\r\n", b"\xff", SIGNATURE, b"\x21", b"\x20"),
        *(b"\x11", b"\x13", b"\x31", b"\0\x0c", b"\xff\xff", V4),
    )
)


class ParseTests(SynchronousTestCase):
    def test_version_1(self) -> None:
        for line, source, destination in (
            (
                b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5002\r\n",
                IPv4Address("TCP", "192.0.2.7", 40_000),
                IPv4Address("TCP", "192.0.2.1", 5_002),
            ),
            (
                b"PROXY TCP6 2001:db8:0::7 ::1 40000 5002\r\n",
                IPv6Address("TCP", "2001:db8::7", 40_000),
                IPv6Address("TCP", "::1", 5_002),
            ),
            (b"PROXY UNKNOWN\r\n", None, None),
            (b"PROXY UNKNOWN ffff::1 whatever\r\n", None, None),
        ):
            self.assertEqual(parse(line + b"rest"), Header(len(line), source, destination))
            for end in range(len(line)):
                self.assertIsNone(parse(line[:end]), line[:end])

    def test_version_2(self) -> None:
        v6 = ipaddress.ip_address("2001:db8::7").packed * 2 + struct.pack("!HH", 1, 2)
        unix = b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")
        four = (IPv4Address("TCP", "192.0.2.7", 40_000), IPv4Address("TCP", "192.0.2.1", 5_002))
        six = (IPv6Address("TCP", "2001:db8::7", 1), IPv6Address("TCP", "2001:db8::7", 2))
        for header, addresses in (
            (binary(0x21, 0x11, V4), four),
            (binary(0x21, 0x12, V4 + b"an extension"), four),
            (binary(0x21, 0x21, v6), six),
            (binary(0x21, 0x31, unix), (UNIXAddress(b"/a"), UNIXAddress(b"/b"))),
            (binary(0x20, 0x11, V4), (None, None)),
            (binary(0x21, 0x00, b""), (None, None)),
            (binary(0x21, 0x10, b"abc"), (None, None)),
        ):
            self.assertEqual(parse(header + b"rest"), Header(len(header), *addresses))
            for end in range(len(header)):
                self.assertIsNone(parse(header[:end]), header[:end])

    def test_malformed(self) -> None:
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"PROXZ",
            b"PROXY\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 port 5002\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 4_0 5002\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 65536\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n",
            b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5002 more\r\n",
            b"PROXY TCP4 192.0.2 192.0.2.1 40000 5002\r\n",
            b"PROXY TCP4 ::1 ::1 40000 5002\r\n",
            b"PROXY TCP6 192.0.2.7 ::1 40000 5002\r\n",
            b"PROXY TCP4 192.0.2.\xff 192.0.2.1 40000 5002\r\n",
            b"PROXY UDP4 192.0.2.7 192.0.2.1 40000 5002\r\n",
            b"PROXY " + b"x" * (LINE - 6),
            binary(0x11, 0x11, V4),
            binary(0x22, 0x11, V4),
            binary(0x21, 0x13, V4),
            binary(0x21, 0x41, V4),
            binary(0x21, 0x11, V4[:-1]),
            binary(0x21, 0x31, V4),
            binary(0x21, 0x11, V4, MAX_REST + 1),
        ):
            self.assertRaises(WireError, parse, data)

    @given(st.binary() | st.lists(PIECES, max_size=12).map(b"".join))
    def test_any_bytes(self, data: bytes) -> None:
        """There is a header, or none yet, or an error; what has begun well is not refused."""
        try:
            header = parse(data)
        except WireError:
            return
        if header is None:
            self.assertLess(len(data), max(LINE, len(SIGNATURE) + 4 + MAX_REST))
            return
        self.assertLessEqual(header.size, len(data))
        for end in range(0, header.size, 7):
            self.assertIsNone(parse(data[:end]))
        self.assertEqual(parse(data[: header.size]), header)


class ConnectionTests(GuardTestCase):
    """Connections of a balancer, at a door."""

    HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5002\r\n"

    def test_every_split(self) -> None:
        said = self.HEADER + b"hello"
        for size in (1, 2, 7, len(self.HEADER), 1 << 30):
            self.open()
            connection = connect(ProxiedFactory(self.door), "203.0.113.1")
            connection.say(said, size)
            (game,) = self.game.built
            self.assertEqual(b"".join(game.heard), b"hello")
            self.assertEqual(game.transport.getPeer().host, "192.0.2.7")
            self.assertEqual(game.transport.getHost().host, "192.0.2.1")

    def test_own_connection(self) -> None:
        self.open()
        connection = connect(ProxiedFactory(self.door), "203.0.113.1")
        connection.say(binary(0x20, 0, b"") + b"hello")
        self.assertEqual(self.game.built[0].transport.getPeer().host, "203.0.113.1")

    def test_malformed(self) -> None:
        """It is cut off with one line in the log, and nothing is raised."""
        for header in (b"hello", self.HEADER.replace(b"40000", b"port"), b"PROXY \xff" * 20):
            self.open()
            connection = connect(ProxiedFactory(self.door), "203.0.113.1")
            with capturedLogs() as events:
                connection.say(header)
            self.assertEqual(len(events), 1, events)
            self.assertCut(connection, "malformed")

    @given(st.lists(PIECES, max_size=12).map(b"".join))
    def test_any_bytes(self, data: bytes) -> None:
        self.open()
        connect(ProxiedFactory(self.door), "203.0.113.1").say(data)
