"""Tests for the codecs in L{gameservers.games.velnet.wires}."""

from __future__ import annotations

import contextlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.velnet.wires import binary, text
from gameservers.games.velnet.wires.messages import (
    Broadcast,
    DefineGroup,
    Hello,
    Join,
    Leave,
    ListMembers,
    ListRooms,
    LogIn,
    Message,
    ToGroup,
    ToSelf,
)
from gameservers.wire import WireError
from tests.games.velnet.world import data, u32
from tests.games.velnet.world import text as name

NAMES = st.text(max_size=20).map(lambda each: each.replace(":", "").replace("\n", ""))
PAYLOADS = st.binary(min_size=1, max_size=40)
SHORT = st.binary(max_size=20)

#: Messages of the binary form: how a client spells one, and what it means.
SPELLED = st.one_of(
    st.tuples(NAMES, NAMES).map(
        lambda each: (b"\x00" + name(each[0]) + name(each[1]), LogIn(each[0], each[1].encode()))
    ),
    st.just((b"\x01", ListRooms())),
    st.sampled_from(["", "  ", "-1", "\u2003"]).map(lambda each: (b"\x02" + name(each), Leave())),
    st.just((b"\x02" + name("den"), Join("den"))),
    st.tuples(st.sampled_from([3, 4, 7, 8]), PAYLOADS).map(
        lambda each: (
            bytes([each[0]]) + data(each[1]),
            Broadcast(each[0] in (4, 8), [data(each[1])]),
        )
    ),
    st.tuples(PAYLOADS, SHORT).map(
        lambda each: (
            b"\x05" + data(each[0]) + name(each[1]),
            ToGroup(each[1], data(each[0])),
        )
    ),
    st.tuples(SHORT, st.lists(st.integers(0, 2**32 - 1), max_size=5)).map(
        lambda each: (
            b"\x06" + name(each[0]) + data(u32(*each[1])),
            DefineGroup(each[0], tuple(each[1])),
        )
    ),
    NAMES.map(lambda each: (b"\x09" + name(each), ListMembers(each))),
    st.binary(max_size=20).map(lambda each: (b"\x0a" + data(each), ToSelf(data(each)))),
)


def decoded(*pieces: bytes, max_data: int = 1000) -> list[Message]:
    """What a decoder makes of a stream, runs of messages for the room taken apart."""
    decoder = binary.Decoder(max_data)
    found: list[Message] = []
    for piece in pieces:
        decoder.receive_data(piece)
        for message in decoder.messages():
            if isinstance(message, Broadcast):
                found += [Broadcast(message.echo, [each]) for each in message.frames]
            else:
                found.append(message)
    return found


class BinaryTests(SynchronousTestCase):
    @given(st.lists(SPELLED, max_size=8), st.data())
    def test_any_split(self, messages: list[tuple[bytes, Message]], draw: st.DataObject) -> None:
        """However a stream is cut, the same messages come out."""
        stream = b"".join(spelled for spelled, _ in messages)
        cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        self.assertEqual(decoded(*pieces), [meant for _, meant in messages])

    @given(st.lists(SPELLED, max_size=5))
    def test_byte_by_byte(self, messages: list[tuple[bytes, Message]]) -> None:
        stream = b"".join(spelled for spelled, _ in messages)
        pieces = [stream[index : index + 1] for index in range(len(stream))]
        self.assertEqual(decoded(*pieces), [meant for _, meant in messages])

    @given(st.binary(max_size=200))
    def test_junk(self, junk: bytes) -> None:
        """Junk is messages or a broken stream, and nothing worse."""
        with contextlib.suppress(WireError):
            decoded(junk)
        for player in (None, 7):
            for codec in (text, binary):
                codec.parse_datagram(junk, player)
                codec.parse_datagram(junk, player, True)
        text.parse(junk)

    def test_stopped_in_between(self) -> None:
        """What was not taken is there later, before what comes then."""
        decoder = binary.Decoder()
        decoder.receive_data(b"\x01" + b"\x02\x00" + b"\x01")
        self.assertEqual(next(decoder.messages()), ListRooms())
        decoder.receive_data(b"\x02\x01a")
        self.assertEqual(list(decoder.messages()), [Leave(), ListRooms(), Join("a")])

    def test_run(self) -> None:
        """Messages of one type that stand in a row come as one."""
        stream = b"\x03" + data(b"a") + b"\x03" + data(b"b") + b"\x04" + data(b"c")
        decoder = binary.Decoder()
        decoder.receive_data(stream)
        self.assertEqual(
            list(decoder.messages()),
            [Broadcast(False, [data(b"a"), data(b"b")]), Broadcast(True, [data(b"c")])],
        )

    def test_before_what_breaks(self) -> None:
        """What stands before the bytes that break the stream still counts."""
        for broken in (b"\x7f", b"\x03" + u32(1001), b"\x02\x01\xff"):
            decoder = binary.Decoder(1000)
            decoder.receive_data(b"\x01\x03" + data(b"hi") + broken)
            messages = decoder.messages()
            self.assertEqual(next(messages), ListRooms())
            self.assertEqual(next(messages), Broadcast(False, [data(b"hi")]))
            self.assertRaises(WireError, next, messages)

    def test_longest(self) -> None:
        """Data may be exactly as long as the limit."""
        for kind in (3, 5, 10):
            end = b"\x00" if kind == 5 else b""
            self.assertEqual(len(decoded(bytes([kind]) + data(b"x" * 1000) + end)), 1)
            self.assertRaises(WireError, decoded, bytes([kind]) + u32(1001))

    def test_drip_is_cheap(self) -> None:
        """A long message that comes byte by byte is not looked at again and again."""
        decoder = binary.Decoder()
        decoder.receive_data(b"\x03" + u32(100_000))
        self.assertEqual(list(decoder.messages()), [])
        tracemalloc.start()
        for _ in range(1000):
            decoder.receive_data(b"x")
            list(decoder.messages())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertLess(peak, 100_000)

    @given(st.integers(1, 2**31 - 1), NAMES, st.lists(st.integers(1, 2**31 - 1), max_size=4))
    def test_to_the_client(self, player: int, room: str, ids: list[int]) -> None:
        """The examples of the specification, spelled out."""
        self.assertEqual(binary.logged_in(player), b"\x00" + u32(player))
        self.assertEqual(binary.joined(player, room), b"\x02" + u32(player) + name(room))
        self.assertEqual(binary.left(player, room), b"\x06" + u32(player) + name(room))
        self.assertEqual(binary.you_left(player, room), b"\x07" + name(room))
        self.assertEqual(binary.new_master(player), b"\x04" + u32(player))
        self.assertEqual(
            binary.welcome(player, ids, room, player),
            b"\x05" + u32(len(ids), *ids) + name(room) + b"\x04" + u32(player),
        )
        self.assertEqual(binary.rooms([(room, 2)]), b"\x01" + data(f"{room}:2".encode()))
        self.assertEqual(
            binary.members(room, [(player, room)]),
            b"\x08" + name(room) + u32(1, player) + name(room),
        )

    def test_datagrams(self) -> None:
        for datagram, meant in {
            b"\x00" + u32(7): Hello(7),
            b"\x03" + u32(7) + b"hi": Broadcast(False, [b"hi"]),
            b"\x07" + u32(7) + b"hi": Broadcast(False, [b"hi"]),
            b"\x04" + u32(7) + b"hi": Broadcast(True, [b"hi"]),
            b"\x08" + u32(7) + b"hi": Broadcast(True, [b"hi"]),
            b"\x05" + u32(7) + b"\x01ghi": ToGroup(b"g", b"hi"),
            b"\x0a" + u32(7) + b"hi": ToSelf(b"hi"),
            b"\x03" + u32(8) + b"hi": None,
            b"\x03" + u32(7): None,
            b"\x01" + u32(7) + b"hi": None,
        }.items():
            self.assertEqual(binary.parse_datagram(datagram, 7), meant, datagram)


class TextTests(SynchronousTestCase):
    def test_lines(self) -> None:
        for line, meant in {
            b"0:zo\xc3\xab:pw": LogIn("zoë", b"pw"),
            b"0::": LogIn("", b""),
            b"0:\xff:pw": LogIn("\ufffd", b"pw"),
            b"0:name": None,
            b"0:a:b:c": None,
            b"1": ListRooms(),
            b"1:": ListRooms(),
            b"1:pw": ListRooms("pw"),
            b"2:den": Join("den"),
            b"2:den\r": Join("den"),
            b"2:den:pw": Join("den", "pw"),
            b"2:-1": Leave(),
            b"2:-1:x": Leave(),
            b"2": None,
            b"2:": None,
            b"2:a,b": None,
            b"2:a\tb": None,
            b"3:0:hi": Broadcast(False, [b"hi\n"]),
            b"3:1:hi:ho\r": Broadcast(True, [b"hi:ho\r\n"]),
            b"3:2:\xff": Broadcast(False, [b"\xff\n"]),
            b"3:3:": Broadcast(True, [b"\n"]),
            b"3:1": None,
            b"3:7:x": None,
            b"4:g:hi:ho": ToGroup(b"g", b"hi:ho\n"),
            b"4:g": None,
            b"5:g:1:x::2:-3:1": DefineGroup(b"g", (1, 2, 1)),
            b"5:g:": DefineGroup(b"g", ()),
            b"5:g": None,
            b"5:g:" + b"9" * 5000: DefineGroup(b"g", ()),
            b"": None,
            b"9:x": None,
            b"garbage": None,
        }.items():
            self.assertEqual(text.parse(line), meant, line)

    def test_datagrams(self) -> None:
        """Both forms of hello, and what each form says after it."""
        nobody, client, seed = (None, False), (7, False), (7, True)
        for datagram, bound, meant in (
            (b"0:7", nobody, Hello(7, seed=True)),
            (b"7:0:Hello", nobody, Hello(7)),
            (b"7:0:Hello\n", client, Hello(7)),
            (b"0:7", client, Hello(7, seed=True)),
            (b"7:3:1:hi:ho", client, Broadcast(True, [b"hi:ho"])),
            (b"8:3:1:hi", client, None),
            (b"7:4:g:hi", client, ToGroup(b"g", b"hi")),
            (b"7:5:g:1", client, None),
            (b"3:0:hi", seed, Broadcast(False, [b"hi"])),
            (b"4:g:hi", seed, ToGroup(b"g", b"hi")),
            (b"7:3:1:hi", seed, None),
            (b"7:3:1:hi", nobody, None),
            (b"0:x", nobody, None),
            (b"7:3:1:a\nb", client, None),
            (b"", nobody, None),
        ):
            self.assertEqual(text.parse_datagram(datagram, *bound), meant, (datagram, bound))

    def test_to_the_client(self) -> None:
        self.assertEqual(text.logged_in(7), b"0:7:\n")
        self.assertEqual(text.rooms([]), b"1:\n")
        self.assertEqual(text.rooms([("a", 1), ("b-c", 2)]), b"1:a-1,b-c-2\n")
        self.assertEqual(text.welcome(3, [1, 2, 3], "a", 1), b"2:3:a\n2:1:a\n2:2:a\n4:1\n")
        self.assertEqual(text.joined(3, "zoë"), "2:3:zoë\n".encode())
        self.assertEqual(text.left(3, "a"), b"2:3:\n")
        self.assertEqual(text.you_left(3, "a"), b"2:3:\n")
        self.assertEqual(text.known(3), b"0:3:connected")
