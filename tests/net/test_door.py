"""Tests for L{gameservers.net.door}: who is recognised, and who gets the connection."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Request, TextMessage

from gameservers.metrics import Metrics
from gameservers.net import door
from gameservers.net.connection import Connections
from gameservers.net.door import HTTP, TLS, Door, Routes, WireFactory
from gameservers.net.guard import DoorSettings, Guard
from gameservers.net.websocket import (
    MAX_FIRST_PINGS,
    Upgrade,
    WebSocket,
    accepted,
    first_opcode,
)
from gameservers.web.site import WebSite
from gameservers.wire import Recogniser, Verdict, anything, begins, decide, never
from tests.net.visitors import Connection, Listeners, address, connect
from tests.transports import Network


class RecogniseTests(SynchronousTestCase):
    def test_begins(self) -> None:
        recognises = begins(b"abc", b"ad")
        for first, verdict in (
            (b"", Verdict.MORE),
            (b"a", Verdict.MORE),
            (b"ab", Verdict.MORE),
            (b"ad", Verdict.YES),
            (b"abcd", Verdict.YES),
            (b"ac", Verdict.NO),
            (b"b", Verdict.NO),
        ):
            self.assertIs(recognises(first), verdict, first)

    def test_anything(self) -> None:
        self.assertIs(anything(b""), Verdict.MORE)
        self.assertIs(anything(b"\0"), Verdict.YES)

    def test_decide(self) -> None:
        claims: list[tuple[Recogniser, str]] = [
            (begins(b"abc"), "first"),
            (begins(b"abd"), "second"),
            (never, "nobody"),
        ]
        self.assertEqual(decide(b"ab", claims), (Verdict.MORE, None))
        self.assertEqual(decide(b"abd", claims), (Verdict.YES, "second"))
        self.assertEqual(decide(b"x", claims), (Verdict.NO, None))
        self.assertEqual(decide(b"x", []), (Verdict.NO, None))

    def test_the_doors_own(self) -> None:
        for first, http, tls in (
            (b"", Verdict.MORE, Verdict.MORE),
            (b"GE", Verdict.MORE, Verdict.NO),
            (b"HEAD /", Verdict.YES, Verdict.NO),
            (b"GETTING", Verdict.NO, Verdict.NO),
            (b"\x16", Verdict.NO, Verdict.MORE),
            (b"\x16\x03\x01", Verdict.NO, Verdict.YES),
            (b"\x16\x03\x00", Verdict.NO, Verdict.NO),
        ):
            self.assertEqual((HTTP(first), TLS(first)), (http, tls), first)


class DoorTestCase(SynchronousTestCase):
    """A door with two games behind it: one begins with C{tic}, one with C{tac}."""

    def setUp(self) -> None:
        self.tic, self.tac = Listeners(), Listeners()
        self.games = [(begins(b"tic"), self.tic), (begins(b"tac"), self.tac)]
        self.open()

    def open(self, behind: dict[str, Any] | None = None, **limits: Any) -> None:
        self.metrics = Metrics()
        self.guard_clock = Clock()
        self.guard = Guard(self.guard_clock, DoorSettings(**limits), self.metrics)
        self.door = Door(self.guard, Routes(self.games, **(behind or {})))

    def say(self, data: bytes, size: int = 1 << 30) -> Connection:
        connection = connect(self.door)
        connection.say(data, size)
        return connection

    def assertCut(self, connection: Connection, why: str, *, others: int = 0) -> None:
        self.assertTrue(connection.cut)
        self.assertEqual(self.metrics.cuts, {("door", why): 1})
        self.assertEqual(len(self.guard), others)


class StreamTests(DoorTestCase):
    def test_every_split(self) -> None:
        said = b"tac and so on"
        for cut in range(len(said)):
            self.setUp()
            connection = connect(self.door)
            connection.say(said[:cut])
            connection.say(said[cut:])
            (game,) = self.tac.built
            self.assertEqual(b"".join(game.heard), said)
            self.assertEqual(self.tic.built, [])
            self.assertIs(connection.protocol, game)

    def test_handed_over_with_the_fewest_bytes(self) -> None:
        connection = self.say(b"ti")
        self.assertEqual(self.tic.built, [])
        connection.say(b"c")
        self.assertEqual(self.tic.built[0].heard, [b"tic"])

    def test_nothing_stays_in_between(self) -> None:
        connection = self.say(b"tic")
        (game,) = self.tic.built
        self.assertIs(connection.protocol, game)
        self.assertIs(game.transport, connection)
        self.assertEqual(vars(connection).keys() & {"write", "writeSequence"}, set())

    def test_nonsense(self) -> None:
        self.assertCut(self.say(b"toe"), "malformed")

    def test_nonsense_that_hesitates(self) -> None:
        """Nobody may be undecided for ever."""
        self.games.append((lambda first: Verdict.MORE, Listeners()))
        self.open()
        connection = self.say(b"x" * 63, 1)
        self.assertFalse(connection.cut)
        connection.say(b"x")
        self.assertCut(connection, "malformed")

    def test_game_that_does_not_want_it(self) -> None:
        self.tic.buildProtocol = lambda addr: None
        self.assertCut(self.say(b"tic"), "refused")

    def test_protocol_that_is_no_connection(self) -> None:
        """It would never tell that the connection is lost, so it does not get it."""
        self.tic.buildProtocol = lambda addr: Protocol()  # type: ignore[method-assign]
        connection = connect(self.door)
        self.assertRaises(TypeError, connection.say, b"tic")
        connection.hang_up()
        self.assertEqual(len(self.guard), 0)

    def test_http_where_there_is_none(self) -> None:
        self.assertCut(self.say(b"GET / HTTP/1.1\r\n\r\n"), "malformed")

    def test_factories_run_as_long_as_the_door(self) -> None:
        """One that is behind two doors runs until both are closed."""
        other = Door(self.guard, Routes([(anything, self.tic)]))
        self.door.doStart()
        other.doStart()
        self.door.doStop()
        self.assertEqual((self.tic.running, self.tac.running), (True, False))
        other.doStop()
        self.assertFalse(self.tic.running)


class OnlyTLSTests(DoorTestCase):
    def test_plain(self) -> None:
        self.open({"tls": object(), "tls_only": True})
        self.assertCut(self.say(b"tic"), "refused")
        self.assertEqual(self.tic.built, [])

    def test_plain_and_tls(self) -> None:
        self.open({"tls": object()})
        self.assertFalse(self.say(b"tic").cut)


class Text(WebSocket):
    """A WebSocket that repeats what it hears, and says something of its own first."""

    takes = (str,)

    def status(self, upgrade: Upgrade) -> int:
        return 0 if upgrade.is_same_origin else 403

    def connectionMade(self) -> None:
        super().connectionMade()
        self.send("first")

    def messageReceived(self, message: str | bytes) -> None:
        self.send(message)


class Binary(Text):
    takes = (bytes,)


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"a page"


#: What the lines of an upgrade request are made of: what belongs there, and what does not.
PARTS = (
    *(b"GET ", b"POST ", b"/", b"/\xff", b" HTTP/1.1", b" HTTP/1.0", b"Host: ", b"here", b"xn--"),
    *(
        b"Upgrade: ",
        b"websocket",
        b"h2c",
        b"Connection: ",
        b"Upgrade",
        b"close",
        b", ",
        b";",
        b"=",
    ),
    *(b"Sec-WebSocket-Key: ", b"dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: ", b"13"),
    *(b"Sec-WebSocket-Protocol: ", b"Sec-WebSocket-Extensions: ", b"permessage-deflate"),
    *(b"Content-Length: ", b"9", b"Transfer-Encoding: ", b"chunked", b"\xe9", b"\0", b" ", b'"'),
)

UPGRADE = (
    b"GET / HTTP/1.1",
    b"Host: here",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)


@st.composite
def head(draw: st.DrawFn) -> bytes:
    """The head of a request that is nearly an upgrade."""
    lines = list(UPGRADE)
    for _ in range(draw(st.integers(0, 3))):
        parts = draw(st.lists(st.sampled_from(PARTS) | st.binary(max_size=3), max_size=5))
        line = b"".join(parts).replace(b"\n", b"")
        where = draw(st.integers(0, len(lines)))
        lines[where : where + draw(st.integers(0, 1))] = [line]
    if not lines[0].startswith(b"GET "):
        lines[0] = b"GET " + lines[0]
    return b"\r\n".join([*lines, b"", b""])


class HTTPTests(DoorTestCase):
    REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        games = Connections("chess", self.clock, Metrics(), max_unread=1 << 20, login_timeout=60)
        self.site = WebSite([("chess", Page())], self.clock)
        self.text = WireFactory(lambda: Text(games))
        self.binary = WireFactory(lambda: Binary(games))
        self.open({"sockets": {1: self.text, 2: self.binary}, "site": self.site})

    def web_socket(self, origin: str = "") -> tuple[WSConnection, bytes]:
        client = WSConnection(ConnectionType.CLIENT)
        extra = [(b"origin", origin.encode())] if origin else []
        return client, client.send(Request(host="here", target="/any", extra_headers=extra))

    def events(self, client: WSConnection, connection: Connection) -> list[Event]:
        self.clock.advance(0)
        client.receive_data(connection.heard())
        return list(client.events())

    def said(self, client: WSConnection, connection: Connection) -> list[Any]:
        return [getattr(each, "data", each) for each in self.events(client, connection)]

    def test_page(self) -> None:
        for size in (1, 7, 1 << 30):
            connection = self.say(self.REQUEST, size)
            self.assertTrue(connection.heard().endswith(b"\r\n\r\na page"))
            connection.hang_up()
            self.assertEqual(len(self.guard), 0)

    def test_bad_request_over_tls(self) -> None:
        """TLS closes later: what came with a request that is refused is not looked at."""

        class Encrypted(Connection):
            @property
            def disconnecting(self) -> bool:
                return False

            @disconnecting.setter
            def disconnecting(self, closing: bool) -> None:
                self.closing = closing

        connection = Encrypted()
        channel = self.site.buildProtocol(address("192.0.2.1"))
        channel.makeConnection(connection)
        channel.dataReceived(b"GET /\r\nHost: here\r\n\r\n")
        self.assertEqual(connection.heard().count(b"HTTP/1.1 400 Bad Request\r\n"), 1)
        self.assertTrue(connection.closing)

    def test_game_beside_http(self) -> None:
        self.say(b"tic", 1)
        self.assertEqual(len(self.tic.built), 1)

    def test_nonsense_beside_http(self) -> None:
        self.assertCut(self.say(b"GETTING"), "malformed")

    def test_long_head(self) -> None:
        connection = self.say(b"GET / HTTP/1.1\r\n")
        connection.say(b"a: " + b"b" * 20_000)
        self.assertCut(connection, "malformed")

    def test_text(self) -> None:
        """The client gets one answer, what was said to it, and then an echo."""
        for size in (1, 50, 1 << 30):
            client, request = self.web_socket()
            connection = connect(self.door)
            connection.say(request, size)
            (answer,) = self.events(client, connection)
            self.assertEqual(answer.extensions, [])
            connection.say(client.send(TextMessage("hello")), size)
            self.assertEqual(self.said(client, connection), ["first", "hello"])
            connection.say(client.send(TextMessage("again")), size)
            self.assertEqual(self.said(client, connection), ["again"])
            self.assertEqual(connection.protocol.upgrade.path, "/any")

    def test_binary(self) -> None:
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(BytesMessage(b"\1\2")))
        self.assertEqual(self.said(client, connection), ["first", b"\1\2"])
        self.assertIsInstance(connection.protocol, Binary)

    def test_request_and_message_at_once(self) -> None:
        client, request = self.web_socket()
        peer = WSConnection(ConnectionType.SERVER)
        peer.receive_data(request)
        found = accepted(request)
        assert found is not None
        client.receive_data(found[1])
        list(client.events())
        connection = self.say(request + client.send(TextMessage("hello")))
        self.clock.advance(0)
        answer = connection.heard()
        self.assertTrue(answer.startswith(found[1]))
        self.assertTrue(answer.endswith(b"\x81\x05first\x81\x05hello"))

    def test_answer_comes_first(self) -> None:
        """What the game says at once does not overtake the answer to the request."""
        network = Network()
        games = Connections("chess", network, Metrics(), max_unread=1 << 20, login_timeout=60)
        text = WireFactory(lambda: Text(games))
        for sockets in ({1: text}, {1: text, 2: self.binary}):
            self.open({"sockets": sockets})
            client, request = self.web_socket()
            found = accepted(request)
            assert found is not None
            client.receive_data(found[1])
            list(client.events())
            peer = network.connect(self.door)
            peer.send(request + client.send(Ping(b"")) + client.send(TextMessage("hello")))
            self.assertEqual(peer.received(), found[1] + b"\x8a\x00\x81\x05first\x81\x05hello")

    def test_control_frames_first(self) -> None:
        """They decide nothing, and the protocol that takes over sees them."""
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(Ping(b"there?")), 1)
        self.assertEqual(connection.heard(), b"")
        connection.say(client.send(TextMessage("hello")))
        events = self.events(client, connection)
        self.assertEqual(
            [type(each).__name__ for each in events], ["Pong", "TextMessage", "TextMessage"]
        )

    def test_only_control_frames(self) -> None:
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        for _ in range(200):
            connection.say(client.send(Ping(b"x" * 100)))
        self.assertCut(connection, "malformed")

    def test_closed_again(self) -> None:
        """A WebSocket that ends before its first message gets its answer, too."""
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(CloseConnection(1000)))
        *_, closed = self.events(client, connection)
        self.assertEqual(closed, CloseConnection(1000, ""))

    def test_kind_that_nobody_takes(self) -> None:
        self.open({"sockets": {1: self.text, 8: self.binary}})
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(BytesMessage(b"\1")))
        self.assertCut(connection, "refused")

    def test_refused_by_the_game(self) -> None:
        """A game that would not have accepted the WebSocket does not get it."""
        client, request = self.web_socket("https://elsewhere.example")
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(TextMessage("hello")))
        self.assertEqual(connection.value(), b"")
        self.assertCut(connection, "refused")

    def test_one_wire_format(self) -> None:
        """Where there is one, it need not wait for a message, and may refuse the upgrade."""
        self.open({"sockets": {1: self.text}})
        client, request = self.web_socket()
        connection = self.say(request)
        self.assertEqual(self.said(client, connection)[1:], ["first"])
        _, request = self.web_socket("https://elsewhere.example")
        connection = self.say(request)
        self.assertTrue(connection.heard().startswith(b"HTTP/1.1 403 Forbidden\r\n"))
        self.assertTrue(connection.disconnecting)

    def test_http_alone(self) -> None:
        """Where nothing else is spoken the site answers methods that are no page's, too."""
        self.games = []
        self.open({"sockets": {1: self.text}, "site": self.site})
        connection = self.say(b"DELETE / HTTP/1.1\r\nHost: here\r\n\r\n")
        self.assertTrue(connection.heard().startswith(b"HTTP/1.1 405 Method Not Allowed\r\n"))

    def test_no_site(self) -> None:
        """Where there are WebSockets and no pages, other requests are answered as such."""
        self.open({"sockets": {1: self.text}})
        connection = self.say(self.REQUEST)
        self.assertTrue(connection.heard().startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertTrue(connection.disconnecting)

    def test_broken_handshake(self) -> None:
        """That is a request of the page like any other."""
        self.assertIsNone(accepted(self.REQUEST))
        self.assertIsNone(accepted(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"))
        self.assertIsNone(accepted(b"GET nonsense\r\n\r\n"))

    def test_upgrade_that_is_refused(self) -> None:
        """It is answered, and nothing is raised."""
        request = self.web_socket()[1]
        host = b"\r\nHost: here\r\n"
        self.assertIn(host, request)
        for headers in (
            b"\r\nHost: here\r\nHost: there\r\n",
            b"\r\nHost: h\xe9re\r\n",
            b"\r\nHost: xn--%s\r\n" % (b"a" * 300),
            b"\r\nHost: here\r\nSec-WebSocket-Protocol: \xff\r\n",
            b"\r\nHost: here\r\nSec-WebSocket-Extensions: \xff\r\n",
            b"\r\nHost: here\r\n%s" % (b"a: b\r\n" * 100),
        ):
            connection = self.say(request.replace(host, headers))
            self.assertTrue(connection.heard().startswith(b"HTTP/1.1 400 "), headers)
            self.assertTrue(connection.disconnecting)
        connection = self.say(request.replace(b"/any", b"/\xff"))
        self.assertTrue(connection.heard().startswith(b"HTTP/1.1 400 "))

    @given(head())
    def test_any_head(self, head: bytes) -> None:
        """Whatever a request is, it is answered or refused, and nothing is raised."""
        found = accepted(head)
        if found is not None:
            self.assertTrue(found[1].startswith(b"HTTP/1.1 101 "))
        self.open({"sockets": {1: self.text, 2: self.binary}, "site": self.site})
        connection = self.say(head)
        self.assertTrue(connection.cut or connection.heard() or found is None)

    def test_first_opcode(self) -> None:
        client, request = self.web_socket()
        found = accepted(request)
        assert found is not None
        client.receive_data(found[1])
        list(client.events())
        control = client.send(Ping(b"abc"))
        text = client.send(TextMessage("x"))
        size = len(control)
        for end in range(size + 1):
            self.assertEqual(first_opcode(control[:end]), (None, 0 if end < 2 else size))
        self.assertEqual(first_opcode(control + text), (1, size))
        self.assertEqual(first_opcode(control + text, size), (1, size))
        self.assertEqual(first_opcode(text[:1]), (1, 0))
        self.assertEqual(first_opcode(control * 2), (None, 2 * size))
        self.assertEqual(first_opcode(control, 2 * size), (None, 2 * size))

    def test_dripping(self) -> None:
        """However the bytes are cut, each is looked at once: a drip costs what it sends."""
        asked: list[int] = []
        looked: list[int] = []

        def counting(frames: bytes, begin: int) -> tuple[int | None, int]:
            looked.append(len(frames) - begin)
            return first_opcode(frames, begin)

        def undecided(first: bytes) -> Verdict:
            asked.append(len(first))
            return Verdict.NO

        self.games.append((undecided, Listeners()))
        self.open({"sockets": {1: self.text, 2: self.binary}, "site": self.site})
        self.patch(door, "first_opcode", counting)
        client, request = self.web_socket("https://" + "a" * 5_000)
        connection = self.say(request, 1)
        self.events(client, connection)
        connection.say(client.send(Ping(b"x" * 120)) * 30, 1)
        self.assertFalse(connection.cut)
        self.assertLess(len(asked), 10)
        self.assertLess(sum(looked), 2 * 126 * 30)

    def test_many_pings(self) -> None:
        """So many that nobody sends them before a message; no more than that are looked at."""
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        pings = client.send(Ping(b"")) * 100_000
        self.assertEqual(first_opcode(pings), (None, MAX_FIRST_PINGS // 6 * 6 + 6))
        connection.say(pings)
        self.assertCut(connection, "malformed")

    def test_a_head_in_pieces(self) -> None:
        """The blank line may be cut anywhere, and much may follow."""
        for cut in range(1, 5):
            connection = self.say(self.REQUEST[:-cut])
            connection.say(self.REQUEST[-cut:] + b"x" * 20_000)
            self.assertIn(b"a page", connection.heard())

    def test_pings_for_ever(self) -> None:
        """They are no message: the time for the log-in runs."""
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        for _ in range(12):
            self.assertFalse(connection.cut)
            self.guard_clock.advance(10)
            connection.say(client.send(Ping(b"")))
        self.assertCut(connection, "silent")

    def test_recognised(self) -> None:
        """A request must be whole in the time for the first bytes; a page has time after that."""
        dripping, waiting = self.say(self.REQUEST[:-1]), self.say(self.web_socket()[1])
        self.guard_clock.advance(9.9)
        dripping.say(b"x")
        self.assertFalse(dripping.cut)
        self.guard_clock.advance(0.1)
        self.assertCut(dripping, "silent", others=1)
        self.assertFalse(waiting.cut)
