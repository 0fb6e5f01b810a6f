"""One client of every wire format, on blocking sockets: it connects, logs in, and is answered."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import ClassVar

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Event, Message, Request, TextMessage

from tests.games.tilegame.reading import TOKEN
from tests.games.twister import api
from tests.games.velnet.world import KEEP_ALIVE, join, log_in
from tests.integration.processes import PATIENCE

#: Makes a connection to the server.
Connect = Callable[[], socket.socket]


class Stream:
    """
    A client on a stream.

    @cvar game: what the lobby calls its game; C{""} for one that is no player.
    """

    game: ClassVar[str]

    def __init__(self, connect: Connect, name: str) -> None:
        self.name = name
        self.received = b""
        self.socket = connect()
        self.socket.settimeout(PATIENCE)
        self.enter()

    def enter(self) -> None:
        """Log in."""
        raise AssertionError("each client has its own way")

    def receive(self, size: int = 65_536) -> bytes:
        received = self.socket.recv(size)
        if not received:
            raise ConnectionError(f"{self.name} was cut off after {self.received!r}")
        self.received += received
        return received

    def wait(self, for_this: bytes) -> bytes:
        """Read until this has come; what has come before it."""
        while for_this not in self.received:
            self.receive()
        before, _, self.received = self.received.partition(for_this)
        return before

    def close(self) -> None:
        self.socket.close()


class VcmiLauncher(Stream):
    game = "vcmi"

    def enter(self) -> None:
        self.say(b"\x04\x04utf8<GREETINGS>" + self.name.encode() + b"<VER>VCMI 1.2.0")
        self.wait(b"Here available")

    def say(self, frame: bytes) -> None:
        self.socket.sendall(struct.pack("<I", len(frame)) + frame)


class VcmiPipes(Stream):
    """Two players who start a game, and the two ends of its pipe."""

    game = ""

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        super().__init__(connect, name)

    def enter(self) -> None:
        host, guest = (VcmiLauncher(self._connect, self.name + end) for end in ("-h", "-g"))
        host.say(b"<NEW>" + self.name.encode() + b"<PSWD><COUNT>2")
        host.wait(b":>>CREATED:")
        guest.say(b"<JOIN>" + self.name.encode() + b"<PSWD>")
        guest.wait(b":>>JOIN:")
        for each in (guest, host):
            each.say(b"<READY>" + self.name.encode())
        host.wait(b":>>HOST:")
        host_uuid = host.wait(b":")[:36]
        guest.wait(b":>>START:")
        while len(guest.received) < 36:
            guest.receive()
        host.close()
        guest.close()
        self.speak(self.socket, b"client", guest.received[:36])
        self.partner = self._connect()
        self.partner.settimeout(PATIENCE)
        self.speak(self.partner, b"server", host_uuid)
        self.wait(b"(server)")
        self.partner.sendall(b"from the partner")
        self.wait(b"from the partner")

    def speak(self, end: socket.socket, role: bytes, uuid: bytes) -> None:
        frames = (b"Aiya!\n", b"VCMI 1.2.0 (%s)" % role, uuid)
        end.sendall(b"".join(struct.pack("<I", len(each)) + each for each in frames))

    def close(self) -> None:
        super().close()
        self.partner.close()


class VelNetText(Stream):
    game = "velnet"

    def enter(self) -> None:
        self.socket.sendall(b"0:%s:pw\n2:class\n" % self.name.encode())
        self.wait(b"\n2:")


class VelNetBinary(Stream):
    game = "velnet"

    def enter(self) -> None:
        self.socket.sendall(log_in(self.name) + KEEP_ALIVE + join("class"))
        self.wait(b"class")


class TileGame(Stream):
    game = "tilegame"

    def enter(self) -> None:
        for said, answer in (
            (TOKEN["RECOGNITION_REQ"], "RECOGNITION_RES"),
            (TOKEN["MAPDATA_REQ"], "MAPDATA_EOS"),
            (TOKEN["PLAYERJOIN_REQ"], "PLAYERJOIN_RES"),
            (self.name.encode(), "PLAYEROBJ_RES"),
        ):
            self.socket.sendall(said)
            self.wait(TOKEN[answer])


class WebPage(Stream):
    """A browser that asks for the page."""

    game = ""

    def enter(self) -> None:
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert self.wait(b"\r\n").endswith(b" 200 OK")
        self.wait(b"</html>")
        while self.socket.recv(4096):
            """Nothing more is expected than the end."""


class WebSocket(Stream):
    """A WebSocket; what it says is a game's."""

    def enter(self) -> None:
        self.web_socket = WSConnection(ConnectionType.CLIENT)
        self.send(Request(host="localhost", target="/"))
        assert isinstance(self.event(), AcceptConnection)
        self.greet()

    def greet(self) -> None:
        raise AssertionError("each client has its own way")

    def send(self, event: Event) -> None:
        self.socket.sendall(self.web_socket.send(event))

    def event(self) -> Event:
        while True:
            for event in self.web_socket.events():
                return event
            self.web_socket.receive_data(self.receive())

    def message(self) -> Message:
        event = self.event()
        assert isinstance(event, Message), event
        return event


class TicTacToe(WebSocket):
    game = "tictactoe"

    def greet(self) -> None:
        self.send(TextMessage(json.dumps({"type": "temp_session", "data": {"name": self.name}})))
        answer = json.loads(self.message().data)
        assert answer["type"] == "login_response" and answer["data"]["success"], answer


class VelNetWebSocket(WebSocket):
    game = "velnet"

    def greet(self) -> None:
        self.send(BytesMessage(log_in(self.name) + KEEP_ALIVE + join("class")))
        heard = b""
        while b"class" not in heard:
            heard += self.message().data


#: Every format of a stream.
STREAMS: tuple[type[Stream], ...] = (
    VcmiLauncher,
    VcmiPipes,
    VelNetText,
    VelNetBinary,
    VelNetWebSocket,
    TileGame,
    TicTacToe,
    WebPage,
)


class Tank:
    """A TwisteR client, in datagrams."""

    game = "twister"

    def __init__(self, connect: Connect) -> None:
        self.socket = connect()
        self.socket.settimeout(PATIENCE)
        self.api = api.Connection(self._exchange)
        self.api.connect()

    def _exchange(self, datagram: bytes, buffer: int) -> bytes:
        self.socket.send(datagram)
        return self.socket.recv(buffer)

    def close(self) -> None:
        self.socket.close()
