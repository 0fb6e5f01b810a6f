"""Tests for L{gameservers.net.websocket}: against wsproto, and what it does not do by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from gameservers.metrics import Metrics
from gameservers.net.connection import Connections, Reason
from gameservers.net.websocket import (
    PARTING,
    Borders,
    WebSocket,
    binary_frame,
    text_frame,
    whole_message,
)
from tests.transports import Network

TEXT, MORE, BINARY, CLOSE, PING, PONG = 1, 0, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, *, last: bool = True, mask: bytes = b"abcd") -> bytes:
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


class Listener(WebSocket):
    """A WebSocket that keeps what it hears."""

    max_message = 1 << 20
    ping_interval = 20.0
    pausing = False

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self.heard: list[str | bytes] = []
        self.lefts = 0

    def messageReceived(self, message: str | bytes) -> None:
        self.heard.append(message)
        if self.pausing:
            self.pauseProducing()
        if message == "fail":
            raise RuntimeError("a bug")

    def left(self) -> None:
        self.lefts += 1


class WebSocketTestCase(SynchronousTestCase):
    kind: type[Listener] = Listener

    def setUp(self) -> None:
        self.open()

    def open(self, **attributes: Any) -> None:
        self.network = Network()
        self.metrics = Metrics()
        connections = Connections(
            "chess", self.network, self.metrics, max_unread=1_000, login_timeout=60
        )
        kind = type("Kind", (Listener,), attributes)
        self.peer = self.network.connect(Factory.forProtocol(lambda: kind(connections)))
        self.socket: Listener = self.peer.protocol
        self.client = Connection(ConnectionType.CLIENT)

    def events(self) -> list[Any]:
        """What the client has been told since the last time."""
        self.client.receive_data(self.peer.received())
        return list(self.client.events())

    def assertClosed(
        self, code: int, reason: str = "", text: str = "", *, at_once: bool = False
    ) -> None:
        """The client is told this code, and the connection ends, if need be when it answers."""
        *_, last = self.events()
        self.assertEqual((type(last), last.code), (CloseConnection, code))
        self.assertEqual(last.reason or "", text)
        self.assertEqual(self.peer.ended, at_once)
        if not at_once and self.client.state is ConnectionState.REMOTE_CLOSING:
            self.peer.send(self.client.send(last.response()))
        self.network.turn()
        self.assertTrue(self.peer.ended)
        self.peer.end()
        self.assertTrue(self.peer.closed)
        self.assertEqual(self.socket.lefts, 1)
        self.assertEqual(self.metrics.cuts, {("chess", reason): 1} if reason else {})
        self.assertEqual(self.network.getDelayedCalls(), [])


SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 90, 124, 125, 126, 127, 128, 300, 65_535, 65_536])
PAYLOADS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=8),
    SIZES.map(lambda size: b"x" * size),
)
FRAMES = st.builds(
    frame,
    st.sampled_from([TEXT] * 4 + [BINARY] * 4 + [MORE, PING, PONG, CLOSE, 3]),
    PAYLOADS,
    last=st.sampled_from([True, True, True, False]),
    mask=st.binary(min_size=4, max_size=4),
)


def heard_by_wsproto(pieces: list[bytes]) -> tuple[list[str | bytes], bytes]:
    """The messages in these pieces of a stream, and what answers the control frames."""
    connection = Connection(ConnectionType.SERVER)
    messages: list[str | bytes] = []
    parts: list[Any] = []
    answers = b""
    for piece in pieces:
        connection.receive_data(piece)
        for event in connection.events():
            match event:
                case TextMessage() | BytesMessage():
                    parts.append(event.data)
                    if event.message_finished:
                        messages.append(type(event.data)().join(parts))
                        parts.clear()
                case Ping():
                    answers += connection.send(event.response())
                case CloseConnection():
                    peers = connection.state is ConnectionState.REMOTE_CLOSING
                    fault = CloseConnection(event.code, event.reason)
                    last = event.response() if peers else fault
                    return messages, answers + connection.send(last)
    return messages, answers


class FramesTests(WebSocketTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_like_wsproto(self, data: st.DataObject) -> None:
        """Whatever frames come, in whatever pieces: what wsproto hears is heard and answered."""
        self.setUp()
        pieces: list[bytes] = []
        for group in data.draw(st.lists(st.lists(FRAMES, min_size=1, max_size=3), max_size=8)):
            stream = b"".join(group)
            cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=2).map(sorted))
            borders = [0, *cuts, len(stream)]
            pieces += [stream[a:b] for a, b in pairwise(borders)]
        pieces.append(data.draw(st.one_of(st.just(b""), st.binary(max_size=12))))
        for piece in pieces:
            if not self.socket.ended:
                self.socket.dataReceived(piece)
        messages, answers = heard_by_wsproto(pieces)
        self.assertEqual(self.socket.heard, messages)
        self.assertEqual(self.peer.received(), answers)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_paused(self, data: st.DataObject) -> None:
        """Who pauses after each message hears the same, one at a time."""
        self.open(pausing=True)
        stream = b"".join(data.draw(st.lists(FRAMES.filter(lambda f: f[0] & 8 == 0), max_size=8)))
        pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
        for piece in pieces:
            before = len(self.socket.heard)
            self.socket.dataReceived(piece)
            self.assertLessEqual(len(self.socket.heard), before + 1)
            while self.socket.paused:
                before = len(self.socket.heard)
                self.socket.resumeProducing()
                self.network.advance(0)
                self.assertLessEqual(len(self.socket.heard), before + 1)
        self.assertEqual(self.socket.heard, heard_by_wsproto(pieces)[0])

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=20))
    @example(b"")
    @example(b"\x81")
    @example(b"\x81\x80")
    @example(b"\x81\xff" + bytes(131))
    @example(b"\x81\x04abcdtext")
    @example(b"\x81\xfe\x00\x01abcdx")
    @example(frame(TEXT, b"\xff"))
    def test_junk(self, junk: bytes) -> None:
        """What is not a message as clients send it is none; asking costs nothing else."""
        Borders().pass_by(junk)
        message = whole_message(junk)
        if isinstance(message, str):
            self.assertEqual(frame(TEXT, message.encode(), mask=junk[2:6]), junk)
        elif message is not None:
            self.assertEqual(frame(BINARY, message, mask=junk[2:6]), junk)

    def test_sent(self) -> None:
        """A frame of every form of size is what another implementation writes."""
        for size in (0, 1, 125, 126, 65_535, 65_536, 100_000):
            server = Connection(ConnectionType.SERVER)
            self.assertEqual(text_frame("x" * size), server.send(TextMessage("x" * size)), size)
            data = b"x" * size
            self.assertEqual(binary_frame(data), server.send(BytesMessage(data)), size)
        self.assertEqual(text_frame("\N{SNOWMAN}"), b"\x81\x03\xe2\x98\x83")


class ContinuationTests(WebSocketTestCase):
    def test_empty_frames(self) -> None:
        """A message that goes on with empty frames takes no memory, however long it does."""
        self.peer.send(frame(TEXT, b"", last=False) + frame(MORE, b"", last=False) * 100_000)
        self.assertEqual(self.socket._parts, [])
        self.peer.send(frame(MORE, b"x") + frame(TEXT, b"y"))
        self.assertEqual(self.socket.heard, ["x", "y"])

    def test_borders(self) -> None:
        """Whether a frame begins here is known without decoding, however the stream is split."""
        stream = frame(TEXT, b"abc", last=False) + frame(PING, b"p") + frame(MORE, b"d" * 300)
        for size in (1, 2, 3, 5, 7, 100, 1_000):
            borders = Borders()
            for start in range(0, len(stream), size):
                borders.pass_by(stream[start : start + size])
                end = start + size >= len(stream)
                self.assertEqual(borders.between, end, (size, start))
            self.assertFalse(borders.closes)
            borders.pass_by(frame(CLOSE, b""))
            self.assertTrue(borders.closes and borders.between)


class EndTests(WebSocketTestCase):
    def test_client_closes(self) -> None:
        self.peer.send(
            self.client.send(TextMessage("bye")) + self.client.send(CloseConnection(1000))
        )
        self.assertEqual(self.socket.heard, ["bye"])
        self.assertClosed(1000, at_once=True)

    def test_server_closes(self) -> None:
        """After everything that was said, and not before the client has said its end."""
        self.socket.send("bye")
        self.socket.say_goodbye(1008)
        self.assertEqual(self.events()[0].data, "bye")
        self.network.turn(PARTING / 2)
        self.assertFalse(self.peer.ended)
        self.network.turn(PARTING / 2)
        self.assertTrue(self.peer.ended)

    def test_server_goes_away(self) -> None:
        self.socket.close()
        self.assertClosed(1001)

    def test_both_close(self) -> None:
        self.socket.say_goodbye(1000)
        self.peer.send(self.client.send(CloseConnection(1000)))
        self.network.turn()
        self.assertTrue(self.peer.ended)

    def test_cut(self) -> None:
        self.socket.cut(Reason.REFUSED, last=text_frame("no"))
        self.assertClosed(1008, "refused")

    def test_bug(self) -> None:
        self.peer.send(self.client.send(TextMessage("fail")))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertClosed(1011, "failed")

    def test_no_websocket(self) -> None:
        self.peer.send(frame(3, b"", mask=bytes(4)))
        self.assertClosed(1002, "malformed", "Invalid opcode 0x3", at_once=True)

    def test_no_text(self) -> None:
        self.peer.send(frame(TEXT, b"\xff"))
        fault = "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
        self.assertClosed(1007, "malformed", fault, at_once=True)

    def test_other_kind(self) -> None:
        self.open(takes=(bytes,))
        self.peer.send(frame(TEXT, b"hello"))
        self.assertEqual(self.socket.heard, [])
        self.assertClosed(1003, "malformed")

    def test_too_big(self) -> None:
        """Whole or in parts, a message has a limit; one just as big is taken."""
        for frames in (
            [frame(TEXT, b"x" * 101)],
            [frame(TEXT, b"x" * 60, last=False), frame(MORE, b"x" * 41)],
            [frame(TEXT, "\N{SNOWMAN}".encode() * 34)],
        ):
            self.open(max_message=100)
            self.peer.send(frame(TEXT, b"x" * 100))
            for each in frames:
                self.peer.send(each)
            self.assertEqual(self.socket.heard, ["x" * 100])
            self.assertClosed(1009, "malformed")

    def test_late_login(self) -> None:
        self.open(ping_interval=0)
        self.network.turn(60)
        self.assertClosed(1008, "silent")

    def test_lost(self) -> None:
        self.peer.break_off()
        self.assertEqual((self.socket.lefts, self.network.getDelayedCalls()), (1, []))


class LifeTests(WebSocketTestCase):
    def test_pings(self) -> None:
        """A client that answers lives on; one that does not is closed."""
        self.socket.time_limit(None)
        for _ in range(3):
            self.network.turn(20)
            (ping,) = self.events()
            self.peer.send(self.client.send(ping.response()))
        self.network.turn(20)
        self.network.turn(20)
        self.assertClosed(1011, "silent")

    def test_slow(self) -> None:
        """A client that does not read is not listened to; it goes on when it reads again."""
        self.peer.stall()
        self.socket.send("x" * 500)
        self.network.turn()
        self.peer.send(self.client.send(TextMessage("hello")))
        self.assertFalse(self.peer.reading)
        self.assertEqual(self.socket.heard, [])
        self.peer.read_on()
        self.assertEqual(self.socket.heard, ["hello"])
        self.assertEqual(self.events()[0].data, "x" * 500)

    def test_too_slow(self) -> None:
        self.peer.stall()
        self.socket.send("x" * 1_001)
        self.network.turn()
        self.assertTrue(self.peer.closed)
        self.assertEqual(self.metrics.cuts, {("chess", "slow"): 1})

    def test_control_frames_between(self) -> None:
        """What answers a ping never stands inside a message."""
        self.peer.stall(10)
        self.socket.send("x" * 100)
        self.network.turn()
        self.socket.outbox.interject(b"\x8a\x00")
        self.peer.read_on()
        self.assertEqual([type(each).__name__ for each in self.events()], ["TextMessage", "Pong"])

    def test_stream_in_parts(self) -> None:
        """Of a stream each part is heard when it comes; of a message it has its limit still."""
        self.open(streams=True, max_message=100)
        self.peer.send(frame(BINARY, b"x" * 60, last=False))
        self.assertEqual(b"".join(self.socket.heard), b"x" * 60)
        self.peer.send(frame(MORE, b"y" * 40) + frame(BINARY, b"z" * 100)[:50])
        self.assertEqual(len(b"".join(self.socket.heard)), 100 + 44)
        self.peer.send(frame(BINARY, b"z" * 100)[50:] + frame(BINARY, b"z" * 101))
        self.assertEqual(self.socket.lefts, 1)
        self.assertClosed(1009, "malformed")

    def test_stream(self) -> None:
        """What a turn says to a client of a stream is one message."""
        self.open(streams=True)
        self.socket.outbox.send(b"one")
        self.socket.outbox.send(b"two")
        self.assertEqual(self.peer.received(), binary_frame(b"onetwo"))
        self.socket.outbox.pass_on(b"three")
        self.assertEqual(self.peer.received(), binary_frame(b"three"))
