"""
The game in memory: the real door, store and lobby, with a clock in the test's hands, and clients
that speak WebSocket to Twisted's real transport.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred, execute
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import Opcode

from gameservers.games import Dependencies
from gameservers.games.tictactoe.protocol import TicTacToeProtocol
from gameservers.games.tictactoe.records import SCHEMA, TicTacToeRecords
from gameservers.games.tictactoe.rules import Cell
from gameservers.games.tictactoe.service import TicTacToeService
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.door import Door, Routes, WireFactory
from gameservers.net.guard import DoorSettings, Guard
from gameservers.store import PasswordRecord, Store, StoreSettings
from gameservers.store.passwords import Checked, check, make_record
from gameservers.web.site import WebSite
from tests.transports import Network

#: The game's name, as its service is told it.
GAME = "tictactoe"

#: The cheapest hash: tests make thousands.
COST = 1

#: When the clock of an arena begins.
DAWN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class InlinePasswords:
    """Hashes made at once."""

    def __init__(self) -> None:
        self.calls = 0

    def make(self, password: str) -> Deferred[PasswordRecord]:
        self.calls += 1
        return execute(make_record, password, COST)

    def check(self, record: PasswordRecord, password: str) -> Deferred[Checked]:
        self.calls += 1
        return execute(check, record, password, COST)


class Browser:
    """
    A client.

    @ivar closed: the code of the server's close frame.
    @ivar refused: the status line, if there was no WebSocket.
    @ivar pings: what the server's pings carried.
    """

    def __init__(
        self,
        arena: Arena,
        host: str = "192.0.2.1",
        *,
        path: str = "/",
        headers: tuple[str, ...] = (),
        answers_pings: bool = True,
    ) -> None:
        self.arena = arena
        self.peer = arena.clock.connect(arena.door, host)
        self.closed: int | None = None
        self.refused: str | None = None
        self.pings: list[bytes] = []
        self.pongs = 0
        self.session_id: str | None = None
        self._answers_pings = answers_pings
        self._heard: list[dict[str, Any]] = []
        self._text = ""
        self._left = False
        self._ws = Connection(ConnectionType.CLIENT)
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: games.example.org",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        ]
        self.peer.send("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer, _, rest = self.peer.received().partition(b"\r\n\r\n")
        status = answer.split(b"\r\n")[0].decode("ascii")
        if "101" not in status:
            self.refused = status
        else:
            assert not rest

    # What a client does

    def say(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Send a message; what comes back at once."""
        return self.say_text(json.dumps({"type": kind, "data": data}))

    def say_text(self, text: str | bytes) -> list[dict[str, Any]]:
        self.send(text)
        return self.heard()

    def send(self, message: str | bytes, *, closes_too: bool = False) -> None:
        """Send a message, with a close frame in the same segment if wanted."""
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        segment = self._ws.send(event)
        if closes_too:
            self._left = True
            segment += self._ws.send(CloseConnection(1000))
        self.write(segment)

    def write(self, data: bytes) -> None:
        """Send raw bytes."""
        self.peer.send(data)

    def log_in(self, name: str, password: str = "secret") -> list[dict[str, Any]]:
        heard = self.say("login", name=name, pw=password)
        self.session_id = heard[0]["data"]["id"]
        return heard

    def log_in_quietly(self, name: str) -> None:
        """Send the log-in and do not wait."""
        self.send(json.dumps({"type": "login", "data": {"name": name, "pw": "secret"}}))

    def ping(self, payload: bytes = b"?") -> None:
        self.write(self._ws.send(Ping(payload)))
        self._heard = self.heard() + self._heard

    def move(self, match_id: str, cell: Cell | tuple[int, ...]) -> list[dict[str, Any]]:
        numbers = dict(zip(Cell._fields, map(str, cell), strict=True))
        return self.say("move", id=match_id, **numbers)

    def hang_up(self) -> None:
        """Close as a browser does."""
        if self._ws.state is ConnectionState.OPEN and not self.peer.closed:
            self._left = True
            self.write(self._ws.send(CloseConnection(1000)))
        self.peer.end()

    def vanish(self) -> None:
        """Be gone without a word."""
        self.peer.break_off()

    # What a client hears

    def heard(self) -> list[dict[str, Any]]:
        """The messages since the last time."""
        data = self.peer.received()
        if data and self._ws.state is not ConnectionState.CLOSED:
            self._ws.receive_data(data)
            for event in self._ws.events():
                self._hear(event)
        heard, self._heard = self._heard, []
        return heard

    def types(self) -> list[str]:
        return [message["type"] for message in self.heard()]

    def _hear(self, event: object) -> None:
        match event:
            case TextMessage(data=data, message_finished=finished):
                self._text += data
                if finished:
                    self._heard.append(json.loads(self._text))
                    self._text = ""
            case Ping():
                self.pings.append(bytes(event.payload))
                if self._answers_pings:
                    self.write(self._ws.send(event.response()))
            case Pong():
                self.pongs += 1
            case CloseConnection(code=code) if not self._left:
                self.closed = int(code)
                self.write(self._ws.send(event.response()))
                self.peer.end()

    @property
    def connected(self) -> bool:
        self._heard = self.heard() + self._heard
        return not self.peer.ended

    @property
    def aborted(self) -> bool:
        """Whether the server ended the connection without a word."""
        return not self.connected and self.closed is None


class Arena:
    """The whole game, its clock, and its store in memory."""

    def __init__(self, **settings: Any) -> None:
        generous = {"new_names_per_address": 1000, "request_rate": 0, **settings}
        self.settings = TicTacToeSettings(**generous)
        self.clock = Network()
        self.clock.advance(DAWN.timestamp())
        self.store = Store(StoreSettings(database="memory"), self.clock, [SCHEMA])  # type: ignore[arg-type]
        self.passwords = InlinePasswords()
        self.restart()

    def restart(self) -> None:
        """A new process on the same store."""
        self.metrics = Metrics()
        self.lobby = Lobby(self.clock, self.metrics)
        self.game = TicTacToeService(
            Dependencies(
                GAME,
                self.lobby,
                self.clock,
                self.settings,
                self.metrics,
                self.store,
                now=self.clock.now,
            ),
            self.passwords,
        )
        routes = Routes(
            sockets={Opcode.TEXT: WireFactory(lambda: TicTacToeProtocol(self.game))},
            site=WebSite([(GAME, self.game.pages)], self.clock),
        )
        self.door = Door(Guard(self.clock, DoorSettings(), self.metrics), routes)

    def browser(self, host: str = "192.0.2.1", **kwargs: Any) -> Browser:
        return Browser(self, host, **kwargs)

    def player(self, name: str, password: str = "secret") -> Browser:
        """A browser that is logged in and has read what came of it."""
        browser = self.browser()
        browser.log_in(name, password)
        return browser

    def players(self, *names: str) -> list[Browser]:
        return [self.player(name) for name in names]

    def sweep(self) -> None:
        self.game.sweep()

    @property
    def records(self) -> TicTacToeRecords:
        return self.game.records

    @property
    def here(self) -> list[str]:
        return [player.name for player in self.lobby.players(GAME)]


def start_match(inviter: Browser, opponent: Browser, name: str) -> str:
    """An invitation, read by both; the match's id."""
    heard = inviter.say("match_request", player=name)
    opponent.heard()
    match_id: str = heard[0]["data"]["id"]
    return match_id
