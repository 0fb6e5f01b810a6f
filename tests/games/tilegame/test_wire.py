"""
The codec: tokens, packets, states and payloads, one by one and cut anywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import unittest

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame import wire
from gameservers.games.tilegame.wire import BreakTile, EmptyPacket, Inbox, Position
from gameservers.wire import Verdict, WireError
from tests.games.tilegame import reading

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
names = st.text(LETTERS, min_size=1, max_size=wire.MAX_NAME)
shorts = st.integers(-32768, 32767)
bytes_ = st.integers(0, 255)
packets = st.builds(Position, names, shorts, shorts) | st.builds(BreakTile, names, bytes_, bytes_)


def encoded(packet: Position | BreakTile) -> bytes:
    """The block that a client sends."""
    encode = reading.position if isinstance(packet, Position) else reading.broken
    return encode(packet.name, packet.x, packet.y)


class TokenTests(SynchronousTestCase):
    def test_words(self) -> None:
        """Every token is the one of its word; two are spelt out."""
        for name, token in reading.TOKEN.items():
            self.assertEqual(getattr(wire, name), token, name)
            self.assertEqual(len(token), wire.BLOCK)
        self.assertEqual(wire.RECOGNITION_REQ, b"f377cd7d535000b11b0c25f802896e8d")
        self.assertEqual(wire.MAXPLAYERS_ERR, b"018f2bd4c6ac0a78070954ee19b52e8b")


class NameTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(names)
    def test_names(self, name: str) -> None:
        self.assertEqual(wire.parse_name(name.encode()), name)
        self.assertEqual(wire.encode_name(name), reading.coded(name))

    def test_no_names(self) -> None:
        for name in (
            b"",
            b"a" * 17,
            b"a b",
            b"a+b",
            "Īé".encode(),
            b"a\n",
            b"\xff",
            b"a,b",
            b"a\0",
        ):
            self.assertIsNone(wire.parse_name(name), name)


class PacketTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(packets)
    @example(Position("alice", 0, 0))
    @example(BreakTile("a", 1, 1))
    @example(Position("-" * 16, 257, 257))
    def test_round_trip(self, packet: Position | BreakTile) -> None:
        block = encoded(packet)
        self.assertEqual(len(block), wire.BLOCK)
        self.assertEqual(wire.parse_packet(block), packet)

    def test_known_bytes(self) -> None:
        block = bytes.fromhex("5347504b54000b1d36413e383a0100000000") + b" " * 14
        self.assertEqual(encoded(Position("alice", 0, 0)), block)

    def test_empty(self) -> None:
        """A packet of length 0 is one that says nothing."""
        self.assertEqual(wire.parse_packet(b"SGPKT".ljust(32, b"\0")), EmptyPacket())

    def test_longest(self) -> None:
        """A content of 25 bytes is read, one of 26 is not, whatever its length says."""
        content = b"\x1d" + b"\x14" * 19 + b"\x01\0\0\0\0"
        self.assertIsInstance(wire.parse_packet(reading.packet(content)), Position)
        for length in (26, 32, 0xFFFF):
            block = b"SGPKT" + length.to_bytes(2, "big") + b"\x1d\x14\x01".ljust(25)
            self.assertRaises(WireError, wire.parse_packet, block)

    def test_odd(self) -> None:
        """What no client sends is a L{WireError}."""
        for content in (
            b"\x1f\x36\x01abcd",  # an unknown command
            b"\x1d\x37\x44",  # no separator
            b"\x1d\x01\0\0\0\0",  # no name
            b"\x1d\x00\x36\x01\0\0\0\0",  # no character
            b"\x1d\x36\x01\0\0\0",  # too few arguments
            b"\x1e\x36\x01\0\0\0",  # too many
            b"\x1d",
        ):
            self.assertRaises(WireError, wire.parse_packet, reading.packet(content))
        for block in (b"x" * 32, b"CGPKT".ljust(32, b"\0"), wire.GLGAME_REQ):
            self.assertRaises(WireError, wire.parse_packet, block)

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_junk(self, junk: bytes) -> None:
        """Nothing but a L{WireError} comes of junk, with or without the magic."""
        for data in (junk, b"SGPKT" + junk, b"SGPKT\0\x0b\x1d" + junk):
            with contextlib.suppress(WireError):
                wire.parse_packet(data)


class KindTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """What a packet is decoded to is of a kind that stands among the messages."""
        blocks = [encoded(each) for each in (Position("a", 0, 0), BreakTile("a", 0, 0))]
        blocks.append(b"SGPKT".ljust(32, b"\0"))
        kinds = {type(wire.parse_packet(block)) for block in blocks}
        self.assertEqual(kinds | wire.TOKENS | {wire.Name}, set(wire.MESSAGES))

    def test_recognised(self) -> None:
        """Its first four characters are no other wire's."""
        token = wire.RECOGNITION_REQ
        for end in range(4):
            self.assertIs(wire.recognise(token[:end]), Verdict.MORE)
        for end in range(4, 33):
            self.assertIs(wire.recognise(token[:end]), Verdict.YES)
        for other in (b"GET ", b"f3\x00\x00", b"0:a:b", b"\x16\x03", b"\x06\0\0\0", b"f378"):
            self.assertIs(wire.recognise(other), Verdict.NO)


class InboxTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.lists(packets, max_size=5), st.lists(st.integers(0, 160), max_size=8))
    def test_cut_anywhere(self, sent: list[Position | BreakTile], cuts: list[int]) -> None:
        """However the stream is cut, the blocks are the same."""
        stream = b"".join(map(encoded, sent))
        inbox, got = Inbox(), []
        bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        for first, end in itertools.pairwise(bounds):
            inbox.receive_data(stream[first:end])
            while block := inbox.block():
                self.assertEqual(inbox.take(wire.BLOCK), block)
                got.append(wire.parse_packet(block))
        self.assertEqual(got, sent)
        self.assertEqual(len(inbox), 0)


class PayloadTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.binary(max_size=600))
    def test_round_trip(self, content: bytes) -> None:
        """The client unpacks what was packed, with spaces around it or not."""
        packed = wire.payload(content)
        self.assertEqual(reading.unpacked(packed), content)
        self.assertEqual(reading.unpacked(wire.fill(packed)), content)
        self.assertTrue(packed.startswith(b"\xfd7zXZ") and packed.endswith(b"YZ"))

    def test_pickle(self) -> None:
        """The pickle is of one form, whatever its size."""
        for size in (0, 7, 255, 256, 70_000):
            content = b"\x07" * size
            pickle = reading.lzma.decompress(wire.payload(content))
            self.assertEqual(pickle, b"\x80\x03B" + struct.pack("<I", size) + content + b".")


class StateTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(names, shorts, shorts, shorts, shorts), max_size=9),
        st.none() | st.binary(min_size=1, max_size=40),
    )
    def test_round_trip(self, players: list[tuple[str, int, int, int, int]], bits: bytes | None):
        changes = b""
        if bits is not None:
            runs = b"".join(bytes([byte]) + b"\0\x01" for byte in bits)
            changes = wire.payload(b"\x3f\x3f" + struct.pack(">H", len(runs)) + runs)
        block = wire.players_block([wire.record(*player, 0, 100) for player in players])
        packet = wire.state(block, changes)
        self.assertEqual(len(packet) % wire.BLOCK, 0)
        self.assertEqual(reading.read_state(packet), reading.State(tuple(players), bits))

    def test_known_bytes(self) -> None:
        """One player at 0, 0 takes 18 bytes; without changes the packet is one block."""
        block = wire.players_block([wire.record("alice", 0, 0, 0, 0, 0, 100)])
        self.assertEqual(block.hex(), "100036413e383a0100000000000000000064")
        self.assertEqual(wire.state(block), b"\x00\x20\x12" + block + b" " * 11)

    def test_longest(self) -> None:
        """A packet that cannot be framed is never made."""
        self.assertEqual(len(wire.state(b"\0", b"x" * (65504 - 4))), 65504)
        self.assertRaises(ValueError, wire.state, b"\0", b"x" * (65504 - 3))
        self.assertRaises(ValueError, wire.state, b"x" * 256)


class DocumentationTests(unittest.TestCase):
    def test_every_token_is_described(self) -> None:
        for name, word in reading.WORDS.items():
            self.assertRegex(wire.__doc__, rf"{name} +{word} ")
