"""Tests for L{gameservers.net.door}: who is recognised, and who gets the connection."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketResource, WebSocketTransport
from wsproto import ConnectionType, WSConnection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Request, TextMessage

from gameservers.net.door import CONTROL, HTTP, TLS, Behind, Door, acceptance, first_message
from gameservers.net.guard import DoorSettings, Guard
from gameservers.wire import Recogniser, Verdict, anything, begins, decide, never
from tests.net.visitors import Connection, Listener, Listeners, connect


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
        self.counters: Counter[str] = Counter()
        self.guard = Guard(Clock(), DoorSettings(**limits), self.counters)
        self.door = Door(self.guard, Behind(self.games, **(behind or {})))

    def say(self, data: bytes, size: int = 1 << 30) -> Connection:
        connection = connect(self.door)
        connection.say(data, size)
        return connection

    def assertCut(self, connection: Connection, why: str) -> None:
        self.assertTrue(connection.cut)
        self.assertEqual(self.counters, {f"door.cut.{why}": 1})
        self.assertEqual(len(self.guard), 0)


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
        self.assertCut(self.say(b"toe"), "unknown")

    def test_nonsense_that_hesitates(self) -> None:
        """Nobody may be undecided for ever."""
        self.games.append((lambda first: Verdict.MORE, Listeners()))
        self.open()
        connection = self.say(b"x" * 63, 1)
        self.assertFalse(connection.cut)
        connection.say(b"x")
        self.assertCut(connection, "unknown")

    def test_game_that_does_not_want_it(self) -> None:
        self.tic.buildProtocol = lambda addr: None
        self.assertCut(self.say(b"tic"), "unwelcome")

    def test_http_where_there_is_none(self) -> None:
        self.assertCut(self.say(b"GET / HTTP/1.1\r\n\r\n"), "unknown")

    def test_factories_run_as_long_as_the_door(self) -> None:
        """One that is behind two doors runs until both are closed."""
        other = Door(self.guard, Behind([(anything, self.tic)]))
        self.door.doStart()
        other.doStart()
        self.door.doStop()
        self.assertEqual((self.tic.running, self.tac.running), (True, False))
        other.doStop()
        self.assertFalse(self.tic.running)


class OnlyTLSTests(DoorTestCase):
    def test_plain(self) -> None:
        self.open({"tls": object(), "tls_only": True})
        self.assertCut(self.say(b"tic"), "plain")
        self.assertEqual(self.tic.built, [])

    def test_plain_and_tls(self) -> None:
        self.open({"tls": object()})
        self.assertFalse(self.say(b"tic").cut)


class Echo:
    """A WebSocket that repeats what it hears, and says something of its own first."""

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.transport.ping(b"first")

    def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        self.transport.sendBytesMessage(data)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: object) -> None:
        pass


class Echoes:
    def buildProtocol(self, request: object) -> Echo:
        return Echo()


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes | int:
        if request.getHeader("upgrade"):
            if request.getHeader("origin") == "https://elsewhere.example":
                request.setResponseCode(403)
                return b"no"
            return WebSocketResource(Echoes()).render_GET(request)
        return b"a page"


class HTTPTests(DoorTestCase):
    REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"

    def setUp(self) -> None:
        super().setUp()
        self.site = Site(Page(), reactor=Clock())
        self.binary = Listeners()
        self.open({"http": {"page": self.site, "text": self.site, "binary": self.binary}})

    def web_socket(self, origin: str = "") -> tuple[WSConnection, bytes]:
        client = WSConnection(ConnectionType.CLIENT)
        extra = [(b"origin", origin.encode())] if origin else []
        return client, client.send(Request(host="here", target="/any", extra_headers=extra))

    def events(self, client: WSConnection, connection: Connection) -> list[Event]:
        client.receive_data(connection.heard())
        return list(client.events())

    def test_page(self) -> None:
        for size in (1, 7, 1 << 30):
            connection = self.say(self.REQUEST, size)
            self.assertTrue(connection.heard().endswith(b"\r\n\r\na page"))

    def test_game_beside_http(self) -> None:
        self.say(b"tic", 1)
        self.assertEqual(len(self.tic.built), 1)

    def test_nonsense_beside_http(self) -> None:
        self.assertCut(self.say(b"GETTING"), "unknown")

    def test_long_head(self) -> None:
        connection = self.say(b"GET / HTTP/1.1\r\n")
        connection.say(b"a: " + b"b" * 20_000)
        self.assertCut(connection, "unknown")

    def test_text(self) -> None:
        """The client gets one answer, what was said to it, and then an echo."""
        for size in (1, 50, 1 << 30):
            client, request = self.web_socket()
            connection = connect(self.door)
            connection.say(request, size)
            (accepted,) = self.events(client, connection)
            self.assertEqual(accepted.extensions, [])
            connection.say(client.send(TextMessage("hello")), size)
            ping, echo = self.events(client, connection)
            self.assertEqual((ping.payload, echo.data), (b"first", "hello"))
            connection.say(client.send(TextMessage("again")), size)
            self.assertEqual([each.data for each in self.events(client, connection)], ["again"])

    def test_request_and_message_at_once(self) -> None:
        client, request = self.web_socket()
        peer = WSConnection(ConnectionType.SERVER)
        peer.receive_data(request)
        client.receive_data(acceptance(request))
        list(client.events())
        connection = self.say(request + client.send(TextMessage("hello")))
        answer = connection.heard()
        self.assertTrue(answer.startswith(acceptance(request)))
        self.assertTrue(answer.endswith(b"\x81\x05hello"))

    def test_binary(self) -> None:
        """The other game gets the request and the frames; its answer is what was said already."""
        client, request = self.web_socket()
        connection = self.say(request)
        answer = connection.value()
        self.events(client, connection)
        self.binary.buildProtocol = lambda addr: Answers(answer)
        message = client.send(BytesMessage(b"\1\2"))
        connection.say(message)
        self.assertEqual(connection.heard(), b"")
        self.assertEqual(connection.protocol.heard, [request, message])

    def test_control_frames_first(self) -> None:
        """They decide nothing, and whoever takes over sees them."""
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(Ping(b"there?")), 1)
        self.assertEqual(connection.heard(), b"")
        connection.say(client.send(TextMessage("hello")))
        events = self.events(client, connection)
        self.assertEqual([type(each).__name__ for each in events], ["Ping", "Pong", "TextMessage"])

    def test_only_control_frames(self) -> None:
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        for _ in range(200):
            connection.say(client.send(Ping(b"x" * 100)))
        self.assertCut(connection, "unknown")

    def test_closed_again(self) -> None:
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(CloseConnection(1000)))
        self.assertCut(connection, "unwelcome")

    def test_kind_that_nobody_takes(self) -> None:
        self.open({"http": {"page": self.site, "text": self.site}})
        client, request = self.web_socket()
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(BytesMessage(b"\1")))
        self.assertCut(connection, "unwelcome")

    def test_refused_by_the_game(self) -> None:
        """A game that would not have accepted the WebSocket does not get it."""
        client, request = self.web_socket("https://elsewhere.example")
        connection = self.say(request)
        self.events(client, connection)
        connection.say(client.send(TextMessage("hello")))
        self.assertEqual(connection.value(), b"")
        self.assertCut(connection, "unwelcome")

    def test_broken_handshake(self) -> None:
        """That is a request of the page like any other."""
        self.assertIsNone(acceptance(self.REQUEST))
        self.assertIsNone(acceptance(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"))
        self.assertIsNone(acceptance(b"GET nonsense\r\n\r\n"))

    def test_first_message(self) -> None:
        client, request = self.web_socket()
        client.receive_data(acceptance(request))
        list(client.events())
        control = client.send(Ping(b"abc"))
        text = client.send(TextMessage("x"))
        for end in range(len(control) + 1):
            self.assertIsNone(first_message(control[:end]))
        self.assertEqual(first_message(control + text), 1)
        self.assertEqual(first_message(text[:1]), 1)
        self.assertNotIn(8, CONTROL)


class Answers(Listener):
    """A game that accepts the WebSocket itself."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    def connectionMade(self) -> None:
        self.transport.write(self.answer[:10])
        self.transport.writeSequence([self.answer[10:]])
