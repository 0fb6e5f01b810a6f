"""Tests for the frames of a WebSocket, against those of wsproto."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import Event, TextMessage
from wsproto.utilities import RemoteProtocolError

from gameservers.games.tictactoe.frames import (
    Bounded,
    Shortcut,
    ends_a_message,
    text_frame,
    whole_text,
)

OPCODE_TEXT, OPCODE_MORE, OPCODE_BYTES, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG = 1, 0, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, *, last: bool, mask: bytes = bytes(4)) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | size])
    elif size < 65536:
        head = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([(0x80 if last else 0) | opcode]) + head + mask + masked


SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 90, 124, 125, 126, 127, 128, 300, 65_535, 65_536])
TEXTS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=8),
    SIZES.map(lambda size: b"x" * size),
)
FRAMES = st.builds(
    frame,
    st.sampled_from([OPCODE_TEXT] * 6 + [OPCODE_MORE, OPCODE_BYTES, OPCODE_PING, OPCODE_PONG, 3]),
    TEXTS,
    last=st.sampled_from([True, True, True, False]),
    mask=st.binary(min_size=4, max_size=4),
)


def heard(connection: Connection | Shortcut, pieces: list[bytes]) -> list[list[Event] | str]:
    """The events after each piece, as Twisted asks for them, until there are no more."""
    all_events: list[list[Event] | str] = []
    for piece in pieces:
        events: list[Event] = []
        all_events.append(events)
        try:
            connection.receive_data(piece)
            events.extend(connection.events())
        except RemoteProtocolError as problem:
            all_events.append(str(problem))
            break
    return all_events


class ShortcutTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_like_wsproto(self, data: st.DataObject) -> None:
        """Whatever frames come, in whatever pieces: it says what wsproto says, then and there."""
        pieces: list[bytes] = []
        for group in data.draw(st.lists(st.lists(FRAMES, min_size=1, max_size=3), max_size=8)):
            stream = b"".join(group)
            cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=2).map(sorted))
            borders = [0, *cuts, len(stream)]
            pieces += [stream[a:b] for a, b in pairwise(borders)]
        pieces.append(data.draw(st.one_of(st.just(b""), st.binary(max_size=12))))
        plain = Connection(ConnectionType.SERVER)
        shortcut = Shortcut(Connection(ConnectionType.SERVER))
        self.assertEqual(heard(shortcut, pieces), heard(plain, pieces))
        self.assertIs(shortcut.state, plain.state)

    def test_way_round(self) -> None:
        """wsproto sees nothing of a whole message, after other messages too; all after a part."""
        seen: list[bytes] = []

        class Watched(Connection):
            def receive_data(self, data: bytes | None) -> None:
                seen.append(data or b"")
                super().receive_data(data)

        shortcut = Shortcut(Watched(ConnectionType.SERVER))
        seen.clear()
        text = frame(OPCODE_TEXT, b"text", last=True, mask=b"abcd")
        pong = frame(OPCODE_PONG, b"ping", last=True)
        heard(shortcut, [text, pong, text, text + text, text])
        self.assertEqual(seen, [pong, text + text])
        heard(shortcut, [text[:5], text[5:], text])
        self.assertEqual(seen[2:], [text[:5], text[5:], text])

    def test_closing(self) -> None:
        """After a farewell there are no more messages."""
        shortcut = Shortcut(Connection(ConnectionType.SERVER))
        farewell = frame(OPCODE_CLOSE, b"\x03\xe8", last=True)
        text = frame(OPCODE_TEXT, b"text", last=True)
        self.assertEqual(heard(shortcut, [farewell, text])[1], [])
        self.assertIs(shortcut.state, ConnectionState.REMOTE_CLOSING)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=20))
    @example(b"")
    @example(b"\x81")
    @example(b"\x81\x80")
    @example(b"\x81\xff" + bytes(131))
    @example(b"\x81\x04abcdtext")
    @example(b"\x81\xfe\x00\x01abcdx")
    @example(frame(OPCODE_TEXT, b"\xff", last=True))
    def test_junk(self, junk: bytes) -> None:
        """What is not a text as clients send it is none; asking costs nothing else."""
        ends_a_message(junk)
        text = whole_text(junk)
        if text is not None:
            mask = junk[2:6]
            self.assertEqual(frame(OPCODE_TEXT, text.encode(), last=True, mask=mask), junk)


class TextFrameTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """A frame of every form of size is what another implementation reads and writes."""
        for size in (0, 1, 125, 126, 65_535, 65_536, 100_000):
            text = "x" * size
            sent = Connection(ConnectionType.SERVER).send(TextMessage(text))
            self.assertEqual(text_frame(text), sent, size)

    def test_bytes_count(self) -> None:
        """The size is that of the bytes, not of the characters."""
        self.assertEqual(text_frame("\N{SNOWMAN}"), b"\x81\x03\xe2\x98\x83")


class BoundedTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """The next message has the whole limit again; what is too big is not kept."""
        calls: list[None] = []
        bounded = Bounded("", 4, lambda: calls.append(None))
        for text in ("ab", "cd"):
            bounded.add(text)
        self.assertEqual(bounded.done(), "abcd")
        bounded.add("abc")
        self.assertEqual(bounded.done(), "abc")
        bounded.add("abc")
        bounded.add("de")
        self.assertEqual((bounded.done(), len(calls)), ("", 1))
