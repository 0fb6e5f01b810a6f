"""VelNet from end to end: a real process, players of every kind, on real sockets."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Request,
    TextMessage,
)

from gameservers.games import Dependencies
from gameservers.games.velnet import game
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from tests.games.velnet.clients import BinaryClient, Client, TextClient
from tests.games.velnet.world import KEEP_ALIVE, data, door, join, log_in, u32
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port
from tests.integration.test_tls import certificate

LOCAL = "127.0.0.1"


class Player:
    """A client on real sockets; what comes over its stream is fed to a model of the real one."""

    model: Client
    wish_to_join: bytes

    def __init__(self, port: int) -> None:
        self.stream = self.connect(port)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.settimeout(PATIENCE)
        self.datagrams.connect((LOCAL, port))

    def connect(self, port: int) -> socket.socket:
        return socket.create_connection((LOCAL, port), PATIENCE)

    def say(self, message: bytes) -> None:
        self.stream.sendall(message)

    def join(self) -> None:
        self.say(self.wish_to_join)

    def receive(self) -> None:
        received = self.stream.recv(1 << 16)
        assert received, "the server closed the connection"
        self.model.receive(received)

    def until(self, **known: object) -> None:
        """Listen until the model knows this."""
        end = time.monotonic() + PATIENCE
        while any(getattr(self.model, name) != value for name, value in known.items()):
            assert time.monotonic() < end, (known, vars(self.model))
            self.receive()

    def until_heard(self, sender: int, payload: bytes) -> None:
        end = time.monotonic() + PATIENCE
        while (sender, payload) not in self.model.heard:
            assert time.monotonic() < end, self.model.heard
            self.receive()

    def hello(self, datagram: bytes) -> bytes:
        self.datagrams.send(datagram)
        return self.datagrams.recv(2048)

    def reset(self) -> None:
        """Vanish with a TCP reset."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.stream.close()
        self.datagrams.close()


class TextPlayer(Player):
    wish_to_join = b"2:class\n"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.model = TextClient()
        self.say(b"0:name:pw\n")
        while not self.model.me:
            self.receive()


class BinaryPlayer(Player):
    wish_to_join = join("class")

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.model = BinaryClient(2)
        self.open()
        self.say(log_in() + KEEP_ALIVE)
        while not self.model.heard:  # the keep-alive comes back
            self.receive()

    def open(self) -> None:
        """Get the stream ready."""


class WebSocketPlayer(BinaryPlayer):
    def open(self) -> None:
        self.websocket = WSConnection(ConnectionType.CLIENT)
        Player.say(self, self.websocket.send(Request(host=LOCAL, target="/")))
        self.accepted = False
        self.close_code: int | None = None
        while not self.accepted:
            self.receive()

    def say(self, message: bytes) -> None:
        super().say(self.websocket.send(BytesMessage(message)))

    def receive(self) -> None:
        received = self.stream.recv(1 << 16)
        assert received, "the server closed the connection"
        self.websocket.receive_data(received)
        for event in self.websocket.events():
            if isinstance(event, AcceptConnection):
                self.accepted = True
            elif isinstance(event, BytesMessage):
                self.model.receive(bytes(event.data))
            elif isinstance(event, CloseConnection):
                self.close_code = int(event.code)


class SecureTests(TestCase):
    """The same port behind TLS, as headsets reach it that get out over 443 alone."""

    @inlineCallbacks
    def test_wss(self) -> Generator[Deferred[Any], Any, None]:
        lobby = Lobby(reactor, Metrics())
        service = game.build(Dependencies(game.name, lobby, reactor, VelNetSettings()))
        port = reactor.listenSSL(0, door(service), certificate().options(), interface=LOCAL)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        def headset() -> Client:
            class Headset(WebSocketPlayer):
                def connect(self, number: int) -> socket.socket:
                    return context.wrap_socket(super().connect(number))

            player = Headset(port.getHost().port)
            player.join()
            player.until(room="class", master=player.model.me)
            player.close()
            return player.model

        model = yield deferToThread(headset)
        self.assertEqual(model.players, [model.me])
        while list(lobby.players()):  # until the server has noticed, too, that it is gone
            yield deferLater(reactor, 0)
        yield port.stopListening()


class ClassroomTests(ProcessTestCase):
    """Seven players in two rooms of one name: text clients and binary ones do not meet."""

    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.process, _ = self.started(
            f"--port={free_port()}",
            f"--velnet-port={self.port}",
            f"--interface={LOCAL}",
        )

    def enter(self, kind: type[Player]) -> Player:
        player = kind(self.port)
        self.addCleanup(player.close)
        return player

    def gather(self, *players: Player) -> list[int]:
        """Let them join one after the other, until all know all."""
        ids = []
        for player in players:
            player.join()
            ids.append(player.model.me)
            player.until(room="class")
            for each in players[: len(ids)]:
                while set(each.model.players) != set(ids):
                    each.receive()
        for player in players:
            player.until(master=ids[0])
        return ids

    def test_longest_datagram(self) -> None:
        """What has no room in the hearer's buffer comes over its stream, and whole."""
        one, two = self.enter(BinaryPlayer), self.enter(BinaryPlayer)
        sender, hearer = self.gather(one, two)
        for player, own in ((one, sender), (two, hearer)):
            player.hello(b"\x00" + u32(own))
        voice = b"x" * 65_502  # with its head of 5 bytes, all that fits into one over IPv4
        one.datagrams.send(b"\x03" + u32(sender) + voice)
        two.until_heard(sender, voice)

    def test_close_code_arrives(self) -> None:
        """Why a WebSocket is closed is told even to a client that is still sending."""
        player = self.enter(WebSocketPlayer)
        for _ in range(200):  # which a reset would interrupt, and lose the code
            Player.say(player, player.websocket.send(TextMessage("x" * 30_000)))
        while player.close_code is None:
            player.receive()
        self.assertEqual(player.close_code, 1003)

    def test_lesson(self) -> None:
        texts = [self.enter(TextPlayer) for _ in range(3)]
        binaries = [
            *(self.enter(BinaryPlayer) for _ in range(3)),
            self.enter(WebSocketPlayer),
        ]
        t = self.gather(*texts)
        b = self.gather(*binaries)

        # Text: over TCP to all, over UDP to those who said hello, in either form.
        texts[0].say(b"3:1:welcome: all\n")
        for player in texts:
            player.until_heard(t[0], b"welcome: all")
        self.assertEqual(texts[0].hello(b"%d:0:Hello" % t[0]), b"0:%d:connected" % t[0])
        self.assertEqual(texts[1].hello(b"0:%d" % t[1]), b"0:%d:connected" % t[1])
        for number in range(50):
            texts[0].datagrams.send(b"%d:3:0:voice %d" % (t[0], number))
            heard = texts[1].datagrams.recv(2048)
            self.assertEqual(heard, b"3:%d:voice %d" % (t[0], number))

        # Binary: over TCP, and over UDP with the stream for the one that has no UDP.
        binaries[0].say(b"\x04" + data(b"welcome"))
        for player in binaries:
            player.until_heard(b[0], b"welcome")
        for player, own in zip(binaries[:3], b, strict=False):
            self.assertEqual(player.hello(b"\x00" + u32(own)), b"\x00")
        for number in range(50):
            voice = b"voice %d" % number
            binaries[1].datagrams.send(b"\x03" + u32(b[1]) + voice)
            for player in (binaries[0], binaries[2]):
                self.assertEqual(player.datagrams.recv(2048), b"\x03" + u32(b[1]) + voice)
            binaries[3].until_heard(b[1], voice)
        binaries[3].say(b"\x07" + data(b"from the web"))
        for player in binaries[:3]:
            player.until_heard(b[3], b"from the web")

        # The masters leave, one of each kind is killed, and everybody still agrees.
        texts[0].say(b"2:-1\n")
        binaries[0].say(b"\x02\x00")
        for player in (texts[0], binaries[0]):
            player.until(room="", players=[])
        texts[1].until(players=[t[1], t[2]], master=t[1])
        binaries[3].until(players=b[1:], master=b[1])
        texts[1].reset()
        binaries[1].reset()
        texts[2].until(players=[t[2]], master=t[2])
        for player in binaries[2:]:
            player.until(players=b[2:], master=b[2])
        binaries[2].datagrams.send(b"\x04" + u32(b[2]) + b"still here")
        binaries[3].until_heard(b[2], b"still here")

        for player in (*texts, *binaries):
            player.close()
        log = self.stop(self.process)
        self.assertNotIn("Unhandled", log)
