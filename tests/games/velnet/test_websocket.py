"""Tests for VelNet on a WebSocket."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from gameservers.net.guard import DoorSettings
from gameservers.net.outbox import LINGER
from gameservers.net.websocket import PARTING
from tests.games.velnet.world import (
    HERE,
    KEEP_ALIVE,
    Peer,
    WebSocketPeer,
    World,
    binary_player,
    data,
    join,
    log_in,
    u32,
)

NEW = b"\x00" + u32(1, 2)
JOINED = b"\x05" + u32(1, 1) + b"\x02r1\x04" + u32(1)


class WebSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def connect(self, **settings: Any) -> WebSocketPeer:
        if settings:
            self.world = World(**settings)
        return WebSocketPeer(self.world, HERE, 39_999)

    def test_accepted_bare(self) -> None:
        """Neither sub-protocol nor extension is agreed on, whatever a browser offers."""
        peer = self.world.connect()
        browser = WSConnection(ConnectionType.CLIENT)
        request = Request(
            host="velnet.example",
            target="/any/path?query",
            subprotocols=["chat"],
            extensions=[PerMessageDeflate()],
            extra_headers=[(b"Origin", b"https://elsewhere.example")],
        )
        browser.receive_data(peer.ask(browser.send(request)))
        self.assertEqual(list(browser.events()), [AcceptConnection()])

    def test_generation_2_at_once(self) -> None:
        """Nothing older speaks WebSocket."""
        self.assertEqual(self.connect().ask(log_in()), NEW)
        self.assertEqual(self.connect(generation="1").ask(log_in()), NEW)

    @given(st.lists(st.integers(0, 60), max_size=5).map(sorted), st.integers(1, 40))
    def test_cut_anywhere(self, cuts: list[int], size: int) -> None:
        """Neither messages nor segments mean anything."""
        self.world = World()
        peer = self.connect()
        stream = log_in("d" * 20) + join("r1") + KEEP_ALIVE
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        raw = b"".join(peer.socket.send(BytesMessage(piece)) for piece in pieces)
        for start in range(0, len(raw), size):
            Peer.say(peer, raw[start : start + size])
        self.assertEqual(peer.hear(), NEW + JOINED + b"\x03" + u32(1) + KEEP_ALIVE[1:])

    def test_fragments(self) -> None:
        peer = self.connect()
        peer.send(BytesMessage(log_in()[:5], message_finished=False))
        peer.send(BytesMessage(b"", message_finished=False))
        peer.send(BytesMessage(log_in()[5:], message_finished=True))
        self.assertEqual(peer.hear(), NEW)

    def test_with_others(self) -> None:
        """One on a WebSocket and one on TCP are in one room; datagrams come over the stream."""
        peer = self.connect()
        peer.ask(log_in() + join("r1"))
        other = binary_player(self.world, "r1")
        other.fly(b"\x00" + u32(2))
        peer.ask(b"\x03" + data(b"hi"))
        self.assertEqual(other.hear(), b"\x03" + u32(1) + data(b"hi"))
        other.fly(b"\x03" + u32(2) + b"voice")
        self.assertEqual(peer.hear(), b"\x03" + u32(2) + data(b"voice"))
        other.drop()
        self.assertEqual(peer.hear(), b"\x06" + u32(2) + b"\x02r1")

    def test_text_frame(self) -> None:
        peer = self.connect()
        peer.send(TextMessage("hello"))
        peer.hear()
        self.assertEqual(peer.close_code, 1003)
        self.assertFalse(peer.connected)

    def test_long_message(self) -> None:
        """The limit is on what is assembled, and nothing is assembled to find out."""
        peer = self.connect(max_message=2_000)
        for _ in range(4):
            peer.send(BytesMessage(b"", message_finished=False))
            peer.send(BytesMessage(log_in("x" * 200, "y" * 200) * 2, message_finished=False))
        peer.hear()
        self.assertEqual(peer.close_code, 1009)
        self.assertFalse(peer.connected)

    def test_long_frame(self) -> None:
        """A huge length is no reason to wait for it."""
        peer = self.connect(max_message=2_000)
        header = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
        Peer.say(peer, header + bytes(4_000))
        peer.hear()
        self.assertEqual(peer.close_code, 1009)
        self.world.turn(PARTING)
        self.assertFalse(peer.connected)

    def test_broken_frame(self) -> None:
        peer = self.connect()
        Peer.say(peer, b"\xff\xff\xff")
        peer.hear()
        self.assertEqual(peer.close_code, 1002)
        self.assertFalse(peer.connected)

    def test_ping_and_pong(self) -> None:
        """Pings are answered while the peer reads; pongs nobody asked for are welcome."""
        peer = self.connect()
        peer.ask(log_in() + join("r1"))
        peer.send(Pong(b"unasked"))
        peer.send(Ping(b"you?"))
        peer.hear()
        self.assertEqual(peer.events[-1], Pong(b"you?"))
        other = binary_player(self.world, "r1")
        peer.hear()
        peer.end.stall()
        other.ask(b"\x03" + data(b"something that waits"))
        for _ in range(10):
            peer.send(Ping(b"again?"))
        self.world.turn()
        self.assertEqual(peer.end.protocol.outbox.pending, 31)  # a frame, and no answer

    def test_client_closes(self) -> None:
        peer = self.connect()
        peer.ask(log_in() + join("r1"))
        peer.send(CloseConnection(1000))
        peer.hear()
        self.assertEqual(peer.close_code, 1000)
        self.assertFalse(peer.connected)
        self.assertEqual(self.world.lobby.present("velnet"), 0)

    def test_server_closes(self) -> None:
        """What breaks the stream inside closes the WebSocket outside."""
        peer = self.connect()
        peer.ask(b"\x7f")
        self.assertEqual(peer.close_code, 1000)
        self.assertFalse(peer.connected)

    def test_not_a_websocket(self) -> None:
        for request in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET nonsense\r\n\r\n",
        ):
            peer = self.world.connect()
            answer = peer.ask(request)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertFalse(peer.connected)

    def test_endless_request(self) -> None:
        peer = self.world.connect()
        peer.ask(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000)
        self.assertFalse(peer.connected)

    def test_slow_handshake(self) -> None:
        peer = self.world.connect()
        peer.say(b"GET / HTTP/1.1\r\n")
        self.world.turn(DoorSettings().login_timeout)
        self.assertFalse(peer.connected)

    def test_does_not_read(self) -> None:
        """A client on a WebSocket has the same limit as all others."""
        peer = self.connect(max_unread=65_536, rate=0)
        peer.ask(log_in() + join("r1"))
        other = binary_player(self.world, "r1")
        peer.stop_reading()
        for _ in range(140):
            other.ask(b"\x03" + data(b"x" * 1000))
        self.assertFalse(peer.connected)
        self.assertEqual(self.world.cuts("slow"), 1)

    def test_end_in_the_middle_of_a_message(self) -> None:
        """A client that is still sending is heard out, in vain, until its own end has come."""
        peer = self.connect()
        peer.answers = False
        peer.ask(log_in() + join("r1"))
        peer.send(TextMessage("hello"))
        self.assertEqual(self.world.lobby.present("velnet"), 0)
        peer.ask(b"\x04" + data(b"unheard"))
        self.assertEqual(peer.close_code, 1003)
        self.world.turn(PARTING - 0.1)
        self.assertTrue(peer.connected)
        peer.send(peer.events[-1].response())
        self.world.turn()
        self.assertFalse(peer.connected)

    def test_end_while_reading_is_paused(self) -> None:
        """The client's end is noticed, whatever was yet to be done for it."""
        peer = self.connect()
        requests = peer.socket.send(BytesMessage(log_in() + b"\x01" * 100))
        self.world.network.price = 0.000_1
        Peer.say(peer, requests)
        Peer.say(peer, peer.socket.send(TextMessage("hello")))
        self.assertFalse(peer.reading)
        self.world.network.price = 0
        heard = peer.hear()
        self.assertEqual(heard, NEW + (b"\x01" + u32(0)) * 100)
        self.assertEqual(peer.close_code, 1003)
        self.assertFalse(peer.connected)

    def test_end_without_an_answer(self) -> None:
        """A client that does not answer the end has a moment to do so, and one to read it."""
        peer = self.connect()
        peer.answers = False
        peer.send(TextMessage("hello"))
        self.world.turn()
        self.world.turn(PARTING - 0.1)
        self.assertTrue(peer.connected)
        self.world.turn(0.1)
        self.assertFalse(peer.connected)
        self.world.turn(LINGER - PARTING - 0.1)
        self.assertFalse(peer.end.closed)
        self.world.turn(0.1)
        self.assertTrue(peer.end.closed)
