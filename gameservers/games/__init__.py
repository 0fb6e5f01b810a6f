"""
The interface between the server and its games.

A game is a plugin: an object that provides L{IGame} in a module of C{twisted.plugins}.  The
built-in games use the same mechanism as those of other packages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from zope.interface import Attribute

from gameservers.config.common import share
from gameservers.lobby import Lobby, Why
from gameservers.metrics import Metrics
from gameservers.net.connection import Connections, Reason
from gameservers.net.connection_log import ConnectionLog
from gameservers.net.door import Carriage, Wire
from gameservers.net.guard import place_of
from gameservers.net.turn import Turn
from gameservers.store import Store

__all__ = ["NO_PLACE", "Carriage", "Dependencies", "GameService", "IGame", "Wire"]

#: How a client counts that cannot enter because there is no place for it, for each refusal.
NO_PLACE = {
    Why.LOBBY_FULL: Reason.FULL,
    Why.ROOM_FULL: Reason.FULL,
    Why.ADDRESS_FULL: Reason.CROWDED,
}

#: Limits of games without an option of their own: unread bytes, and seconds to log in.
MAX_UNREAD = 1024 * 1024
LOGIN_TIMEOUT = 60.0


def utc_now() -> datetime:
    """The present date and time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """
    What the server provides to a game.

    @ivar game: its name, from its description.
    @ivar clock: the reactor or, in tests, a L{twisted.internet.task.Clock}.  Its seconds are for
        durations only: they do not count from 1970.
    @ivar settings: an instance of its settings class.
    @ivar store: the database.
    @ivar place_of: normalises a host for the game's own limits per address: an IPv4 address, an
        IPv6 /64, or C{""} for a trusted host, which has no such limits.
    @ivar now: the present date and time, aware.
    @ivar turn: the reactor turn, which all games share; without it the game has one of its own.
    @ivar log: has the lines of log-ins and cuts; likewise.
    """

    game: str
    lobby: Lobby
    clock: IReactorTime
    settings: Any
    metrics: Metrics = field(default_factory=Metrics)
    store: Store | None = None
    place_of: Callable[[str], str] = place_of
    now: Callable[[], datetime] = utc_now
    turn: Turn | None = None
    log: ConnectionLog | None = None


class GameService(MultiService):
    """
    A running game: the state that the protocols of all its wire formats share.

    @ivar game: its name.
    @ivar connections: its clients on streams and WebSockets.
    @ivar turn: the reactor turn at whose end outboxes are flushed.
    @ivar pages: its pages on the web site, if any.
    @ivar place_of: what a host is counted under for limits per address (see L{Dependencies}).
    """

    _log = Logger()
    pages: IResource | None = None

    def __init__(
        self,
        dependencies: Dependencies,
        *,
        max_open: int = 0,
        rate: float = 0,
        burst: float = 0,
    ) -> None:
        """
        Set up.

        @param max_open: connections at once, a L{share} of them from one address; 0 is any number.
        @param rate: what a client may always send to others per second, in the unit that the game
            uses for L{Connection.spread<gameservers.net.connection.Connection.spread>}.
        @param burst: what it may send at once.
        """
        super().__init__()
        self.game = dependencies.game
        self.lobby = dependencies.lobby
        self.clock = dependencies.clock
        self.now = dependencies.now
        self.settings: Any = dependencies.settings
        self.metrics = dependencies.metrics
        self.store = dependencies.store
        self.connections = Connections(
            self.game,
            self.clock,
            self.metrics,
            max_unread=getattr(self.settings, "max_unread", MAX_UNREAD),
            login_timeout=getattr(self.settings, "login_timeout", LOGIN_TIMEOUT),
            max_open=max_open,
            max_per_address=share(max_open) if max_open else 0,
            rate=rate,
            burst=burst,
            place_of=dependencies.place_of,
            turn=dependencies.turn,
            log=dependencies.log,
        )
        self.place_of = dependencies.place_of
        self.turn = self.connections.turn
        self._loops: list[tuple[LoopingCall, float, bool]] = []
        self.setName(self.game)

    def limit_players(self, places: int, per_address: int = 0) -> None:
        """
        Limit the number of players at once, in all and from one address.

        @param per_address: 0 for a L{share} of the places; trusted addresses may have any number.
        """
        self.lobby.limit(
            self.game,
            places,
            per_address=per_address or share(places),
            place_of=self.place_of,
        )

    def every(self, seconds: float, call: Callable[[], object], *, at_once: bool = False) -> None:
        """Call something at this interval while the game runs; 0 is never."""
        if seconds:
            loop = LoopingCall(self._contained, call)
            loop.clock = self.clock
            self._loops.append((loop, seconds, at_once))

    def say_farewell(self) -> None:
        """Announce the shutdown to all clients, if the wire format has a message for it."""

    def startService(self) -> None:
        super().startService()
        for loop, seconds, at_once in self._loops:
            loop.start(seconds, now=at_once)

    def stopService(self) -> Deferred[None]:
        """
        Say farewell, close all connections, and stop.

        @return: fires when all connections are closed, or their time is up.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for loop, _, _ in self._loops:
            if loop.running:
                loop.stop()
        try:
            self.say_farewell()
        except Exception:
            self._log.failure("{game} could not say farewell", game=self.game)
        await self.connections.close()
        await maybeDeferred(super().stopService)

    def _contained(self, call: Callable[[], object]) -> Deferred[object]:
        """Call it, and log a failure without ending the repetition."""

        def failed(failure: Failure) -> None:
            self._log.failure("{game} failed at a repeated call", failure, game=self.game)

        return maybeDeferred(call).addErrback(failed)


class IGame(IPlugin):
    """
    The description of one game: name, settings, wire formats and how to build it.

    A game with tables in the database has C{schema}, its L{gameservers.store.Schema}.

    It may also have C{commands}, a mapping from a word to a function: C{gameserver <game>-<word>
    ARGUMENTS} calls it with the store's settings, the game's and the arguments, and exits.  Errors
    are raised as L{twisted.python.usage.UsageError} or L{gameservers.store.StoreError}.
    """

    name: str = Attribute("Short name, C{[a-z0-9]+}: used in logs, room keys and options.")
    title: str = Attribute("One line for users.")
    settings: type[Any] = Attribute(
        "Frozen dataclass of L{gameservers.config.vocabulary.option} fields."
    )
    wires: Sequence[Wire] = Attribute("The wire formats of its clients.")

    def build(dependencies: Dependencies) -> GameService:
        """Build the game's service; no port is open and no timer runs before it starts."""
