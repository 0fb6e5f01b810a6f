"""
The session of one client: handles its messages, before and after the log-in.

Messages are handled one after the other, even if one waits for the database: then the next one
waits, and those after it are not read.  So there is no phase between the two: while a log-in is
being checked, nothing else is handled.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games import NO_PLACE
from gameservers.games.tictactoe import wire, words
from gameservers.games.tictactoe.login import BAD_LOGIN, FULL, NO_SESSION, Admitted, Denied
from gameservers.games.tictactoe.presence import Superseded, User
from gameservers.games.tictactoe.service import TicTacToeService
from gameservers.lobby import Refused
from gameservers.net.connection import Reason
from gameservers.net.rates import TokenBucket
from gameservers.net.websocket import CloseReason, WebSocket
from gameservers.store import StoreError
from gameservers.wire import WireError

#: Maximum number of messages held back for a client while its log-in is being checked.
HELD = 1000

#: Number of malformed messages after which a connection is closed.
MAX_SENSELESS = 50


class Phase(enum.Enum):
    """Whether the client is logged in."""

    NEW = "not logged in"
    PLAYING = "logged in"


class TicTacToeSession:
    """
    One connection and its user.

    @ivar phase: whether it is logged in.
    """

    _log = Logger()
    _user: User  # once it is logged in

    def __init__(self, service: TicTacToeService, connection: WebSocket) -> None:
        self.phase = Phase.NEW
        self._service = service
        self._connection = connection
        self._waiting: deque[str | bytes] = deque()
        self._handling = False
        self._senseless = 0
        self._held: list[str] | None = None
        rate, burst = service.settings.request_rate, service.settings.request_burst
        self._requests = TokenBucket(rate, burst, service.clock.seconds())
        self._pause: Deferred[None] | None = None  # until the next request may be handled

    # --- called by the connection -------------------------------------------------------------

    def received(self, message: str | bytes) -> None:
        """Handle a message, or keep it until the one before has been handled."""
        self._waiting.append(message)
        if self._handling:
            self._connection.pauseProducing()
        else:
            Deferred.fromCoroutine(self._handle_all())

    def left(self) -> None:
        """Remove the client, as its connection has ended."""
        self._waiting.clear()
        if self._pause is not None:
            self._pause.cancel()
        service = self._service
        if self.phase is Phase.PLAYING and service.presence.leave(self._user, self):
            self._log.info("{player} has left", player=self._user.name)
            seen = service.records.touch([self._user.session_id], service.now())
            seen.addErrback(lambda failure: failure.trap(StoreError) and None)

    # --- gameservers.games.tictactoe.presence.Client ------------------------------------------

    def send(self, message: str) -> None:
        if self._held is None:
            self._connection.send(message)
        elif len(self._held) < HELD:
            self._held.append(message)
        else:
            self.cut(Reason.SLOW, "too many messages for it during its log-in")

    def cut(self, reason: Reason, detail: str) -> None:
        self._connection.cut(reason, detail)

    # --- handling messages --------------------------------------------------------------------

    async def _handle_all(self) -> None:
        self._handling = True
        while self._waiting:
            try:
                await self._handle(self._waiting.popleft())
            except StoreError as problem:
                code = CloseReason.TRY_AGAIN_LATER
                self._connection.cut(Reason.FAILED, f"the store: {problem}", code=code)
            except Exception:
                self._connection.failed(Failure())
        self._handling = False
        self._connection.resumeProducing()

    async def _handle(self, encoded: str | bytes) -> None:
        try:
            message = wire.parse(encoded)
        except WireError as fault:
            self._complain(str(fault))
            return
        handle = TABLE[self.phase].get(type(message))
        if type(message) in REQUESTS:
            await self._wait_for_rate()
            await self._service.requests.run(Deferred.fromCoroutine, self._request(message))
        elif handle is not None and not self._connection.ended:
            await handle(self, message)

    async def _request(self, message: wire.Message) -> None:
        """Carry out a request, when it is its turn."""
        handle = TABLE[self.phase].get(type(message))
        if handle is not None and not self._connection.ended:
            await handle(self, message)

    async def _wait_for_rate(self) -> None:
        """Wait until this connection may make one more request."""
        clock, requests = self._service.clock, self._requests
        wait = requests.wait(1, clock.seconds())
        if wait:
            self._pause = deferLater(clock, wait)
            with suppress(CancelledError):
                await self._pause
            self._pause = None
            requests.wait(1, clock.seconds())
        requests.take(1)

    def _complain(self, fault: str) -> None:
        """Count a malformed message; the first message must be valid, and most of the others."""
        self._senseless += 1
        if self.phase is Phase.NEW or self._senseless >= MAX_SENSELESS:
            self.cut(Reason.MALFORMED, fault)

    def _send_all(self, messages: Iterable[str]) -> None:
        for message in messages:
            self.send(message)

    # --- before the log-in --------------------------------------------------------------------

    async def _log_in(self, message: wire.LogIn) -> None:
        logins, address = self._service.logins, self._connection.address
        await self._enter(logins.log_in(message, address))

    async def _reconnect(self, message: wire.Reconnect) -> None:
        await self._enter(self._service.logins.reconnect(message, self._connection.address))

    async def _malformed_login(self, message: wire.Malformed) -> None:
        match message.type:
            case "login" | "temp_session":
                self._deny(BAD_LOGIN)
            case "reconnect":
                self._deny(NO_SESSION)
            case _:
                await self._too_early(message)

    async def _too_early(self, message: wire.Message) -> None:
        self._complain("not logged in")

    async def _enter(self, asked: Awaitable[Admitted | Denied]) -> None:
        self._connection.time_limit(None)
        answer = await asked
        if self._connection.ended:
            return  # it must not count as present
        if isinstance(answer, Admitted):
            answer = self._arrive(answer)
        if isinstance(answer, Denied):
            self._deny(answer)
            return
        self.send(answer.response)
        self._held = []
        try:
            greeting = await self._service.play.greeting(self._user, back=not answer.new)
        finally:
            held, self._held = self._held, None
        self._send_all(greeting + held)

    def _arrive(self, admitted: Admitted) -> Admitted | Denied:
        try:
            self._user = self._service.presence.arrive(
                admitted.session, self, self._connection.address, new=admitted.new
            )
        except Superseded:
            return NO_SESSION
        except Refused as refused:
            return replace(FULL, reason=NO_PLACE[refused.why], detail=str(refused))
        self.phase = Phase.PLAYING
        self._connection.logged_in(self._user.name)
        return admitted

    def _deny(self, denied: Denied) -> None:
        self.send(denied.response)
        code = CloseReason.NORMAL_CLOSURE  # the message has told why
        self._connection.cut(denied.reason, denied.detail, code=code)

    # --- after the log-in ---------------------------------------------------------------------

    async def _move(self, message: wire.Move) -> None:
        await self._service.play.move(self._user, self, message.match_id, message.cell)

    async def _end_match(self, message: wire.EndMatch) -> None:
        await self._service.play.end_match(self._user, message.match_id)

    async def _request_match(self, message: wire.MatchRequest) -> None:
        self.send(await self._service.play.request_match(self._user, message.player))

    async def _cancel_search(self, message: wire.CancelRequest) -> None:
        await self._service.play.cancel_search(self._user, self)

    async def _befriend(self, message: wire.FriendRequest) -> None:
        self._send_all(await self._service.play.befriend(self._user, message.user))

    async def _unfriend(self, message: wire.UnfriendRequest) -> None:
        self._send_all(await self._service.play.unfriend(self._user, message.user))

    async def _show_matches(self, message: wire.MatchStatesRequest) -> None:
        self._send_all(await self._service.play.match_states(self._user))

    async def _pong(self, message: wire.Ping) -> None:
        self.send(wire.PONG)

    async def _malformed(self, message: wire.Malformed) -> None:
        if message.type in words.MALFORMED:
            self.send(words.MALFORMED[message.type])
        self._complain(f"bad {message.type}")

    async def _logged_in_already(self, message: wire.LogIn | wire.Reconnect) -> None:
        self._complain("logged in already")


Obey = Callable[[TicTacToeSession, Any], Awaitable[None]]

#: The function for each kind of message.
TABLE: Mapping[Phase, Mapping[type[wire.Message], Obey]] = {
    Phase.NEW: dict.fromkeys(wire.MESSAGES, TicTacToeSession._too_early)
    | {
        wire.LogIn: TicTacToeSession._log_in,
        wire.Reconnect: TicTacToeSession._reconnect,
        wire.Malformed: TicTacToeSession._malformed_login,
    },
    Phase.PLAYING: {
        wire.Move: TicTacToeSession._move,
        wire.EndMatch: TicTacToeSession._end_match,
        wire.MatchRequest: TicTacToeSession._request_match,
        wire.CancelRequest: TicTacToeSession._cancel_search,
        wire.FriendRequest: TicTacToeSession._befriend,
        wire.UnfriendRequest: TicTacToeSession._unfriend,
        wire.MatchStatesRequest: TicTacToeSession._show_matches,
        wire.Ping: TicTacToeSession._pong,
        wire.Malformed: TicTacToeSession._malformed,
        wire.LogIn: TicTacToeSession._logged_in_already,
        wire.Reconnect: TicTacToeSession._logged_in_already,
    },
}

#: The messages of which a connection may send only so many: all but moves that the store has to
#: answer.
REQUESTS: frozenset[type[wire.Message]] = frozenset(
    {
        wire.EndMatch,
        wire.MatchRequest,
        wire.FriendRequest,
        wire.UnfriendRequest,
        wire.MatchStatesRequest,
    }
)

#: The messages that are ignored.
IGNORED: Mapping[Phase, frozenset[type[wire.Message]]] = {
    Phase.NEW: frozenset(),
    Phase.PLAYING: frozenset({wire.EndGame}),
}
