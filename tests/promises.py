"""
What every wire form promises, run over all of them.

The forms are described by the games' tests (C{tests/games/<game>/speaking.py}, see L{Form}); the
server is the whole one, in memory (L{tests.house}).  C{tests/test_promises.py} makes a test case
of each form.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unittest.mock import patch

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games import Carriage
from gameservers.net.turn import SHARE
from tests.house import House, Socket
from tests.transports import Peer

#: Bytes that may wait for a client that does not read, in these tests.
MAX_UNREAD = 65_536

#: The names of those who send too much, and how long another may wait for an answer meanwhile, in
#: seconds: the shares of six turns, where every question for the time takes a tenth of a slice.
FLOODERS = [f"flood{number}" for number in range(8)]
WAIT = 6 * SHARE

#: What stands for the sender's id in a datagram of a form whose clients log in on a stream.
PLAYER = b"<player>"


class Form(Protocol):
    """
    How a client speaks one wire form.

    @ivar name: of the wire, as its game's description has it.
    @ivar game: the name of the game.
    @ivar carriage: how it travels.
    @ivar options: of the server, for all promises.
    @ivar junk: bytes, or a message of a WebSocket, that break the wire format.
    @ivar full: words that are told to a client when the game is full; empty if there are none.
    @ivar farewell: words that are told when the server stops; empty if there are none.
    @ivar tables: those of the session, by phase and kind of message.
    @ivar stream: of datagrams, the form in which their clients log in, if not in datagrams; then
        C{player} is the id that an answer gives, as datagrams have it in place of L{PLAYER}.
    """

    name: str
    game: str
    carriage: Carriage
    options: tuple[str, ...]
    junk: bytes
    full: bytes
    farewell: bytes
    tables: Any

    def log_in(self, name: str) -> list[bytes]:
        """What a client sends to be fully in, message by message."""

    def answered(self, name: str) -> bytes:
        """Some bytes that are in what it is then told."""

    def talk(self, number: int) -> bytes:
        """A message of a client that is in, which the others hear; empty if there is none."""

    def heard(self, number: int) -> bytes:
        """What is in that which the others are told of it."""

    def provoke(self) -> bytes:
        """A message that the server answers to its sender with 20 bytes or more."""


class Client:
    """
    One client of a form, however it travels.

    @ivar size: bytes that it sends at once.
    """

    size = 1 << 30

    def __init__(self, house: House, form: Any, host: str = "192.0.2.1", port: int = 0) -> None:
        self.house = house
        self.form = form
        self.peer: Peer | None = None
        self._socket: Socket | None = None
        self._stream: Client | None = None
        self._player = b""
        if getattr(form, "stream", None) is not None:
            self._stream = Client(house, form.stream, host)
        self._address = (host, 40_000 + port)
        if form.carriage in (Carriage.TEXT, Carriage.BINARY):
            self._socket = house.open_socket(host)
            self.peer = self._socket.peer
        elif form.carriage is Carriage.STREAM:
            self.peer = house.connect(host)

    def send(self, message: bytes) -> None:
        if self.peer is not None:
            self.peer.send(self.framed(message), self.size)
        else:
            self.house.datagram(message.replace(PLAYER, self._player), self._address)

    def framed(self, message: bytes) -> bytes:
        """A message as it is on a stream."""
        if self._socket is None:
            return message
        text = self.form.carriage is Carriage.TEXT
        return self._socket.framed(message.decode() if text else message)

    def received(self) -> bytes:
        """All that has come since the last time, joined."""
        if self._socket is not None:
            messages = self._socket.received()
            return b"".join(m.encode() if isinstance(m, str) else m for m in messages)
        if self.peer is not None:
            return self.peer.received()
        return b"".join(self.house.datagrams(self._address))

    def log_in(self, name: str) -> bytes:
        """Log in, and return what was received by then."""
        if self._stream is not None:
            self._player = self.form.player(self._stream.log_in(name))
        for message in self.form.log_in(name):
            self.send(message)
        self.house.turn(1)
        return self.received()

    @property
    def gone(self) -> bool:
        """Whether the server has ended the connection."""
        return self.peer is not None and self.peer.ended


class Promises(SynchronousTestCase):
    """The promises, for one form."""

    form: Any

    clients = 0

    def start(self, *arguments: str) -> House:
        self.house = House(self, *self.form.options, *arguments)
        self.cuts = self.house.game(self.form.game).metrics.cuts
        return self.house

    def client(self, name: str = "", host: str = "") -> Client:
        """A client connects, from an address of its own or this one, and, with a name, logs in."""
        self.clients += 1
        host = host or f"192.0.2.{self.clients % 200}"
        client = Client(self.house, self.form, host, self.clients)
        if name:
            self.assertIn(self.form.answered(name), client.log_in(name))
        return client

    def lines(self, events: list[Any], *words: str) -> list[Any]:
        """The log lines of this game's log-ins or cuts, which must name whom they are about."""
        found = [
            each
            for each in events
            if each.get("log_namespace", "").endswith(".ConnectionLog")
            and each["game"] == self.form.game
            and all(word in formatEvent(each) for word in words)
        ]
        for each in found:
            self.assertEqual(each["log_level"], LogLevel.info)
            self.assertRegex(each["address"], r"^192\.0\.2\.\d+$")
            self.assertGreaterEqual(each["id"], self.form.carriage is not Carriage.DATAGRAM)
        return found

    def test_log_in_is_logged(self) -> None:
        """One line tells who has logged in from where, and no line ends early."""
        self.start()
        with capturedLogs() as events:
            self.client("anna")
        (line,) = self.lines(events, "has logged in as ")
        self.assertNotIn("\n", formatEvent(line))

    def cut(self, reason: str) -> int:
        """How many of this game were ended for this reason."""
        return int(self.cuts[self.form.game, reason])

    @contextmanager
    def bug(self) -> Iterator[None]:
        """Every rule of the game has a bug."""

        def fails(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        tables = [table for table in self.form.tables.values() if table]
        for table in tables:
            started = patch.dict(table, dict.fromkeys(table, fails))
            started.start()
            self.addCleanup(started.stop)
        yield
        patch.stopall()


class StreamPromises(Promises):
    """What forms on streams and WebSockets promise."""

    def test_every_split(self) -> None:
        """TCP may cut the stream anywhere; the answers are the same."""
        answers = set()
        for size in (1, 2, 3, 7, 1 << 30):
            self.start()
            client = self.client()
            client.size = size
            answers.add(self.same(client.log_in("anna")))
        self.assertEqual(len(answers), 1, answers)

    def same(self, answer: bytes) -> bytes:
        """What is the same in every conversation."""
        mask: Any = getattr(self.form, "same", bytes)
        return bytes(mask(answer))

    def test_slow(self) -> None:
        """A client that does not read is cut as slow, and nobody else is delayed."""
        self.start(f"--{self.form.game}-max-unread={MAX_UNREAD}")
        slow, other, third = self.client("anna"), self.client("bert"), self.client("cleo")
        for each in (slow, other, third):
            each.received()
        assert slow.peer is not None
        slow.peer.stall()
        for number in range(MAX_UNREAD // 20 + 100):
            if slow.gone:
                break
            slow.peer.socket.incoming += slow.framed(self.form.provoke())
            self.house.turn(getattr(self.form, "pace", 0))
            if number % 500 == 0:
                self.talk(other, third, number)
        for number in range(30):  # one that is not read from either has some time to read
            if not slow.gone:
                self.house.turn(2)
                self.talk(other, third, number)
        self.assertTrue(slow.gone)
        self.assertEqual(self.cut("slow"), 1)
        self.assertFalse(other.gone)

    def talk(self, one: Client, other: Client, number: int) -> None:
        """One client says something, and the other hears it at once."""
        for each in (one, other):
            each.send(self.form.provoke())
            self.assertGreater(len(each.received()), 0)
        if self.form.talk(number):
            one.send(self.form.talk(number))
            self.assertIn(self.form.heard(number), other.received())

    def test_silent(self) -> None:
        """A client that says nothing, or only begins to, is cut as silent."""
        self.start()
        nothing, little = self.client(), self.client()
        if self.form.carriage is Carriage.STREAM:
            little.send(self.form.log_in("anna")[0][:-1])
        for _ in range(75):
            self.house.turn(2)
        self.assertTrue(nothing.gone)
        self.assertTrue(little.gone)
        silent = self.cut("silent") + self.cuts["door", "silent"]
        self.assertEqual(silent, 2, self.cuts)

    def test_junk(self) -> None:
        """Bytes that break the wire format end that client as malformed, and nobody else."""
        self.start()
        client, other = self.client("anna"), self.client("bert")
        with capturedLogs() as events:
            client.send(self.form.junk)
            self.house.turn(5)
        self.assertEqual(len(self.lines(events, "is cut off as malformed")), 1, events)
        client.received()
        self.assertTrue(client.gone)
        self.assertEqual(self.cut("malformed"), 1, self.cuts)
        self.assertFalse(other.gone)

    def test_full(self) -> None:
        """A full game is full, in the wire's own words."""
        self.start(f"--{self.form.game}-max-players=1")
        self.client("anna")
        late = self.client()
        with capturedLogs() as events:
            self.assertIn(self.form.full, late.log_in("bert"))
            self.house.turn(10)
        self.assertEqual(len(self.lines(events, "is cut off as full")), 1, events)
        self.assertTrue(late.gone)
        self.assertEqual(self.cut("full"), 1, self.cuts)

    def test_crowded(self) -> None:
        """One address cannot take more than its share of the places."""
        self.start(f"--{self.form.game}-max-players=4")
        for name in ("anna", "bert", "cleo"):
            self.client(name, "192.0.2.1")
        late = self.client("", "192.0.2.1")
        with capturedLogs() as events:
            self.assertIn(self.form.full, late.log_in("dora"))
            self.house.turn(10)
        self.assertEqual(len(self.lines(events, "is cut off as crowded")), 1, events)
        self.assertTrue(late.gone)
        self.assertEqual((self.cut("crowded"), self.cut("full")), (1, 0), self.cuts)
        self.client("emma", "192.0.2.2")

    def test_trusted(self) -> None:
        """A trusted address may take all places."""
        self.start(f"--{self.form.game}-max-per-address=1", "--trusted=198.51.100.0/24")
        for name in ("anna", "bert", "cleo"):
            self.client(name, "198.51.100.7")
        self.assertEqual(self.cut("crowded"), 0)

    def test_bug(self) -> None:
        """An exception in a rule ends that client alone."""
        self.start()
        client, other, third = self.client("anna"), self.client("bert"), self.client("cleo")
        with self.bug():
            client.send(self.form.provoke())
            self.house.turn(5)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        client.received()
        self.assertTrue(client.gone)
        self.assertEqual(self.cut("failed"), 1, self.cuts)
        self.assertFalse(other.gone)
        self.talk(other, third, 1)

    def test_farewell(self) -> None:
        """At shutdown everybody is told what the wire has words for, and closed."""
        self.start()
        clients = [self.client("anna"), self.client("bert")]
        stopped = self.house.begin_stop()
        for each in clients:
            self.assertIn(self.form.farewell, each.received())
        self.house.turn(10)
        self.assertTrue(stopped.called)
        self.assertTrue(all(each.gone for each in clients))

    def test_flood(self) -> None:
        """The floods of many delay nobody: another is answered within a few shares of a turn."""
        self.start()
        floods, other = [self.client(name) for name in FLOODERS], self.client("zoe")
        other.received()
        for flood in floods:
            assert flood.peer is not None
            message = flood.framed(self.form.provoke())
            flood.peer.socket.incoming += message * (65_536 // len(message))
        assert other.peer is not None
        network = self.house.reactor
        began = network.seconds()
        network.price = 0.000_1  # work takes time
        other.peer.socket.incoming += other.framed(self.form.provoke())
        while not other.peer.socket.outgoing and network.seconds() < began + 10:
            network.once()
        network.price = 0
        self.assertLess(network.seconds() - began, WAIT + getattr(self.form, "pace", 0))

    def test_nothing_is_left(self) -> None:
        """Clients that are gone leave nothing behind: no ticket, no player, no connection."""
        self.start()
        service = self.house.game(self.form.game)
        clients = [self.client(), self.client("anna"), self.client("bert")]
        for each in clients:
            assert each.peer is not None
            each.peer.break_off()
        self.house.turn(1)
        self.assertEqual(len(service.connections), 0)
        self.assertEqual(list(service.lobby.players(self.form.game)), [])
        value = service.metrics.registry.get_sample_value("gameservers_connections")
        self.assertEqual(value, 0)


class DatagramPromises(Promises):
    """What forms in datagrams promise."""

    def test_junk(self) -> None:
        """A datagram that breaks the format harms nobody, and gets no more bytes than it had."""
        self.start()
        client = self.client("anna")
        client.send(self.form.junk)
        self.assertLessEqual(len(client.received()), len(self.form.junk))
        client.send(self.form.provoke())
        self.assertNotEqual(client.received(), b"")

    def test_bug(self) -> None:
        """An exception in a rule costs that datagram alone."""
        self.start()
        client, other = self.client("anna"), self.client("bert")
        with self.bug():
            client.send(self.form.provoke())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        other.received()
        other.send(self.form.provoke())
        self.assertNotEqual(other.received(), b"")


class DatagramLoginPromises(DatagramPromises):
    """What forms promise whose clients log in with a datagram."""

    def test_full(self) -> None:
        """A full game is full, in the wire's own words."""
        self.start(f"--{self.form.game}-max-players=1")
        self.client("anna")
        self.assertIn(self.form.full, self.client().log_in("bert"))

    def test_crowded(self) -> None:
        """One address cannot take more than its share of the places."""
        self.start(f"--{self.form.game}-max-players=4")
        for name in ("anna", "bert", "cleo"):
            self.client(name, "192.0.2.1")
        with capturedLogs() as events:
            self.assertIn(self.form.full, self.client("", "192.0.2.1").log_in("dora"))
        self.assertEqual(len(self.lines(events, "is cut off as crowded")), 1, events)
        self.assertEqual((self.cut("crowded"), self.cut("full")), (1, 0), self.cuts)
        self.client("emma", "192.0.2.2")
