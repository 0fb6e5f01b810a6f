"""
One client on a WebSocket, and the web site around it.

Twisted's WebSocket answers pings without looking at what the peer reads, and has no time limits:
these are here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN, NOT_FOUND, SERVICE_UNAVAILABLE
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.websocket import WebSocketResource, WebSocketTransport
from wsproto.connection import Connection, ConnectionState
from wsproto.utilities import LocalProtocolError
from zope.interface import implementer

from gameservers.games.tictactoe import texts, wire
from gameservers.games.tictactoe.entrance import (
    BAD_LOGIN,
    FULL,
    NO_SESSION,
    Admitted,
    Denied,
    Entrance,
)
from gameservers.games.tictactoe.frames import Bounded, Shortcut, text_frame
from gameservers.games.tictactoe.play import Play
from gameservers.games.tictactoe.presence import Farewell, Presence, Superseded, User
from gameservers.games.tictactoe.records import TicTacToeRecords
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.lobby import Refused
from gameservers.net.address import host_of
from gameservers.net.bypass import send_at_once
from gameservers.store import StoreError

#: How long a client may take to read our farewell and to close his side, in seconds.
LINGER = 5.0

#: How much may be told to a client while his log-in is being answered, in messages.
HELD = 1000

#: How many messages of a connection may wait before it is read no further.
BACKLOG = 16

#: How many messages without meaning a connection may send; it is closed with the last.
MAX_SENSELESS = 50


@dataclass(frozen=True, slots=True)
class Ground:
    """What all clients stand on."""

    settings: TicTacToeSettings
    clock: IReactorTime
    records: TicTacToeRecords
    presence: Presence
    entrance: Entrance
    play: Play
    logged_in: Callable[[Any], None]


@implementer(IPushProducer)
class Client:
    """
    One connection: a L{twisted.web.websocket.WebSocketProtocol}.

    Messages are obeyed one after the other, also while one waits for the database.
    """

    _log = Logger()

    def __init__(self, ground: Ground, request: Request, forget: Callable[[Client], None]) -> None:
        self._ground = ground
        self._settings = ground.settings
        self._clock = ground.clock
        self._forget = forget
        # The transport below the WebSocket's: it alone can be cut, and be read no further.
        self._raw: Any = request.channel.transport
        self._address = host_of(self._raw)
        self._transport: WebSocketTransport
        self._connection: Connection
        self._user: User | None = None
        # The first is being obeyed.
        self._waiting: deque[str | bytes | bytearray] = deque()
        self._bad = 0
        self._held: list[str] | None = None
        self._unread: int | None = None
        self._pinged = False
        self._closing = False
        self._lost = False
        self._timers: dict[str, IDelayedCall] = {}

    # What Twisted calls

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport
        limit = self._settings.max_message
        wire_protocol: Any = transport
        self._connection = wire_protocol._wsconn
        wire_protocol._wsconn = Shortcut(self._connection)
        wire_protocol._textBuffer = Bounded("", limit, self._too_big)
        wire_protocol._bytesBuffer = Bounded(b"", limit, self._too_big)

    def negotiationFinished(self) -> None:
        self._transport.detachProducer()  # the HTTP channel's
        self._transport.attachProducer(self)
        self._start("login", self._settings.login_timeout, self._too_late)
        self._start("ping", self._settings.ping_interval, self._ping)

    def textMessageReceived(self, message: str) -> None:
        self._received(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._received(data)

    def pongReceived(self, payload: bytes) -> None:
        self._pinged = False

    def connectionLost(self, reason: Failure) -> None:
        self._lost = self._closing = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._forget(self)
        user = self._user
        if user is not None and self._ground.presence.leave(user, self):
            self._log.info("{player} has gone", player=user.name)
            seen = self._ground.records.touch([user.session_id], self._ground.play.now())
            seen.addErrback(lambda failure: failure.trap(StoreError) and None)

    def pauseProducing(self) -> None:
        """He does not read; then we read him no further, so that nothing more is asked for."""
        if self._unread is None:
            self._unread = 0
            self._regulate()

    def resumeProducing(self) -> None:
        self._unread = None
        self._regulate()

    def stopProducing(self) -> None:
        """The connection is lost; L{connectionLost} sees to it."""

    # gameservers.games.tictactoe.presence.Connection

    def send(self, message: str) -> None:
        if self._held is None:
            self._write(message)
        elif len(self._held) < HELD:
            self._held.append(message)
        elif not self._closing:
            self._cut("is told too much")

    def close(self, why: Farewell) -> None:
        if self._closing:
            return
        self._closing = True
        # Later, because the rest of what has just been received is still being looked at, and
        # Twisted cannot answer a ping in it once it has said farewell.
        self._start("farewell", 0, lambda: self._say_farewell(why))

    # Inside

    def _write(self, message: str) -> None:
        if self._closing:
            return
        if self._unread is not None:
            self._unread += len(message)
            if self._unread > self._settings.max_unread:
                self._cut("does not read")
                return
        if self._connection.state is ConnectionState.OPEN:  # else he has said farewell already
            send_at_once(self._raw, text_frame(message))

    def _say_farewell(self, why: Farewell) -> None:
        self._start("linger", LINGER, self._raw.abortConnection)
        with suppress(LocalProtocolError):  # he was quicker
            self._transport.loseConnection(why)

    def _cut(self, why: str) -> None:
        self._closing = True
        self._log.info("{player} is dropped: {why}", player=self._who, why=why)
        self._start("farewell", 0, self._raw.abortConnection)

    @property
    def _who(self) -> str:
        return self._user.name if self._user else self._address

    def _start(self, name: str, delay: float, call: Callable[[], None]) -> None:
        self._timers[name] = self._clock.callLater(delay, call)

    def _regulate(self) -> None:
        if self._lost:
            return
        if self._blocked:
            self._raw.pauseProducing()
        else:
            self._raw.resumeProducing()

    @property
    def _blocked(self) -> bool:
        return self._unread is not None or len(self._waiting) >= BACKLOG

    def _too_late(self) -> None:
        if self._user is None and not self._waiting:
            self.close(Farewell.POLICY)

    def _too_big(self) -> None:
        if not self._closing:
            self._log.info("{player} is dropped: message too big", player=self._who)
        self.close(Farewell.TOO_BIG)

    def _ping(self) -> None:
        if self._pinged and not self._blocked:
            self._log.info("{player} is dropped: no pong", player=self._who)
            self.close(Farewell.NO_PONG)
            return
        if not self._pinged:
            self._pinged = True
            try:
                self._transport.ping(b"ping")
            except LocalProtocolError:
                return
        self._start("ping", self._settings.ping_interval, self._ping)

    def _received(self, message: str | bytes | bytearray) -> None:
        if self._closing:
            return
        self._waiting.append(message)
        if self._blocked:
            self._regulate()
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._obey_all())

    async def _obey_all(self) -> None:
        while self._waiting:
            try:
                await self._obey(self._waiting[0])
            except Exception:
                self._failed(Failure())
            blocked = self._blocked
            self._waiting.popleft()
            if blocked and not self._blocked:
                self._regulate()

    def _failed(self, failure: Failure) -> None:
        if failure.check(StoreError):
            self._log.warn("{player} is not served: {why}", player=self._who, why=failure.value)
            self.close(Farewell.TRY_LATER)
        else:
            self._log.failure("{player} met a mistake of ours", failure, player=self._who)
            self.close(Farewell.NO_PONG)

    async def _obey(self, encoded: str | bytes | bytearray) -> None:
        if self._closing:
            return
        try:
            message = wire.parse(encoded)
        except wire.WireError as problem:
            self._senseless(str(problem))
            return
        if self._user is None:
            await self._enter(message)
        else:
            await self._act(self._user, message)

    def _senseless(self, why: str) -> None:
        self._bad += 1
        self._log.debug("{player} sent a bad message: {why}", player=self._who, why=why)
        if self._user is None or self._bad >= MAX_SENSELESS:
            self._log.info("{player} is dropped: {why}", player=self._who, why=why)
            self.close(Farewell.POLICY)

    async def _enter(self, message: wire.Message) -> None:
        entrance = self._ground.entrance
        match message:
            case wire.LogIn():
                answer: Admitted | Denied = await entrance.log_in(message, self._address)
            case wire.Reconnect():
                answer = await entrance.reconnect(message)
            case wire.Malformed("login" | "temp_session"):
                answer = BAD_LOGIN
            case wire.Malformed("reconnect"):
                answer = NO_SESSION
            case _:
                self._senseless("not logged in")
                return
        if self._closing:
            return  # he has gone meanwhile: nobody must think that he is here
        if isinstance(answer, Admitted):
            answer = self._arrive(answer)
        self._write(answer.response)
        if isinstance(answer, Denied) or self._user is None:
            self.close(Farewell.DONE)
            return
        self._log.info("{player} has come", player=self._user.name)
        self._held = []
        try:
            greeting = await self._ground.play.greeting(self._user, back=not answer.new)
        finally:
            held, self._held = self._held, None
        for each in greeting + held:
            self._write(each)

    def _arrive(self, admitted: Admitted) -> Admitted | Denied:
        try:
            self._user = self._ground.presence.arrive(
                admitted.session, self, self._address, new=admitted.new
            )
        except Superseded:
            return NO_SESSION
        except Refused:
            return FULL
        self._ground.logged_in(self._raw)
        return admitted

    async def _act(self, user: User, message: wire.Message) -> None:
        play = self._ground.play
        match message:
            case wire.Move(match_id, cell):
                await play.move(user, self, match_id, cell)
            case wire.EndMatch(match_id):
                await play.end_match(user, match_id)
            case wire.MatchRequest(player):
                self._write(await play.request_match(user, player))
            case wire.FriendRequest(name):
                self._write_all(await play.befriend(user, name))
            case wire.UnfriendRequest(name):
                self._write_all(await play.unfriend(user, name))
            case wire.MatchStatesRequest():
                self._write_all(await play.match_states(user))
            case wire.EndGame():
                pass
            case wire.Malformed(kind):
                if kind in _BAD:
                    self._write(_BAD[kind])
                self._senseless(f"bad {kind}")
            case wire.LogIn() | wire.Reconnect():
                self._senseless("logged in already")

    def _write_all(self, messages: list[str]) -> None:
        for message in messages:
            self._write(message)


#: The answers to messages whose data will not do, where there is one.
_BAD: Mapping[str, str] = {
    "match_request": wire.match_request_response(False, texts.BAD_REQUEST),
    "friend_request": wire.friend_request_response(False, texts.FRIEND_ERROR),
    "unfriend_request": wire.unfriend_request_response(False, texts.UNFRIEND_ERROR),
}


class Clients:
    """
    A L{twisted.web.websocket.WebSocketServerFactory}: makes the clients and knows them.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def full(self) -> bool:
        return len(self._clients) >= self._ground.settings.max_connections

    def buildProtocol(self, request: Request) -> Client:
        client = Client(self._ground, request, self._clients.discard)
        self._clients.add(client)
        return client

    def close(self, why: Farewell) -> None:
        for client in tuple(self._clients):
            client.close(why)


class Root(Resource):
    """The whole site: a WebSocket at any path, and the page."""

    isLeaf = True

    def __init__(
        self, clients: Clients, origins: tuple[str, ...], page: Mapping[bytes, tuple[str, bytes]]
    ) -> None:
        """
        @param origins: web origins that may connect, besides our own; none: any.
        @param page: path to content type and content.
        """
        super().__init__()
        self._clients = clients
        self._sockets = WebSocketResource(clients)
        self._origins = origins
        self._page = page

    def render_GET(self, request: Request) -> bytes | int:
        upgrade = request.getHeader("upgrade") or ""
        if upgrade.lower() == "websocket":
            if not self._is_welcome(request):
                return _plain(request, FORBIDDEN, b"This origin may not connect.\n")
            if self._clients.full:
                return _plain(request, SERVICE_UNAVAILABLE, b"Too many are connected.\n")
            return self._sockets.render_GET(request)
        if request.path not in self._page:
            return _plain(request, NOT_FOUND, b"There is no such page.\n")
        content_type, content = self._page[request.path]
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        request.setHeader("content-type", content_type)
        return content

    def _is_welcome(self, request: Request) -> bool:
        origin = request.getHeader("origin")
        if not self._origins or origin is None or origin in self._origins:
            return True
        return origin.partition("://")[2] == request.getHeader("host")


_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def _plain(request: Request, code: int, text: bytes) -> bytes:
    request.setResponseCode(code)
    request.setHeader("content-type", "text/plain; charset=utf-8")
    return text


class TicTacToeSite(Site):
    """The factory that listens."""

    def log(self, request: HttpRequest) -> None:
        """Not every request: what matters is logged where it happens."""
