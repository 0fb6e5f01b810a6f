"""
Ultimate tic-tac-toe as a service: its parts, joined, and its clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import cast

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games import Surroundings
from gameservers.games.tictactoe.entrance import MAX_WAITING, Entrance, PasswordService
from gameservers.games.tictactoe.play import Play
from gameservers.games.tictactoe.presence import GAME, Farewell, Presence
from gameservers.games.tictactoe.protocol import (
    LINGER,
    Clients,
    Ground,
    Root,
    TicTacToeSite,
)
from gameservers.games.tictactoe.records import TicTacToeRecords
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.games.tictactoe.sweep import Sweep
from gameservers.store import StoreError
from gameservers.store.passwords import Passwords

#: The page: path to file and content type.
PAGE = {
    b"/": ("index.html", "text/html; charset=utf-8"),
    b"/page.css": ("page.css", "text/css; charset=utf-8"),
    b"/board.js": ("board.js", "text/javascript; charset=utf-8"),
    b"/page.js": ("page.js", "text/javascript; charset=utf-8"),
    b"/icon.svg": ("icon.svg", "image/svg+xml"),
}


#: Time between two removals of what is out of date, in seconds.
SWEEP_INTERVAL = 600.0


class TicTacToe(MultiService):
    """
    The game.

    @ivar site: what listens.
    @ivar now: the moment, aware.
    @ivar play: what users can do.
    @ivar records: what is kept.
    """

    name = GAME
    _log = Logger()

    def __init__(
        self, surroundings: Surroundings, passwords: PasswordService | None = None
    ) -> None:
        """@param passwords: L{None} makes those that work in threads."""
        super().__init__()
        settings: TicTacToeSettings = surroundings.settings
        lobby, clock = surroundings.lobby, surroundings.clock
        if surroundings.store is None:
            raise ValueError("tic-tac-toe needs a store")
        records = self.records = TicTacToeRecords(surroundings.store)

        def now() -> datetime:
            return datetime.fromtimestamp(clock.seconds(), UTC)

        if passwords is None:
            own = Passwords(
                cast(IReactorFromThreads, clock),
                cost=settings.password_cost,
                threads=settings.password_threads,
                waiting=MAX_WAITING,
            )
            own.setServiceParent(self)
            passwords = own
        lobby.limit(GAME, settings.max_players)
        presence = Presence(lobby, connections=settings.max_per_player)
        play = self.play = Play(records, presence, settings, now, surroundings.metrics)
        entrance = Entrance(records, passwords, settings, now, surroundings.place_of)
        self.now = now
        self._clock = clock
        self._clients = Clients(
            Ground(settings, clock, records, presence, entrance, play, surroundings.logged_in)
        )
        self._sweep = Sweep(records, presence, play, settings, now)
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = clock
        self.site = TicTacToeSite(
            Root(self._clients, settings.origins, read_page()),
            timeout=settings.login_timeout,
            reactor=clock,
        )

    def startService(self) -> None:
        super().startService()
        # Not at once: after a long pause, clients have time to come back.
        self._sweeping.start(SWEEP_INTERVAL, now=False)

    def stopService(self) -> Deferred[None]:
        """Say farewell to everybody, and wait until they have heard it, but not for long."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._sweeping.running:
            self._sweeping.stop()
        self._clients.close(Farewell.GOING_AWAY)
        for _ in range(int(LINGER / 0.1)):
            if not len(self._clients):
                break
            pause: Deferred[None] = Deferred()
            self._clock.callLater(0.1, pause.callback, None)
            await pause
        stopped = MultiService.stopService(self)
        if stopped is not None:
            await stopped

    def sweep(self) -> Deferred[None]:
        """Remove what is out of date, now."""

        def failed(failure: Failure) -> None:
            if failure.check(StoreError):
                self._log.warn("The sweep was cut short: {why}", why=failure.value)
            else:
                self._log.failure("The sweep was cut short", failure)

        return Deferred.fromCoroutine(self._sweep.run()).addErrback(failed)


def read_page() -> Mapping[bytes, tuple[str, bytes]]:
    """The page's files, as path to content type and content."""
    folder = files(__package__) / "page"
    return {
        path: (content_type, (folder / name).read_bytes())
        for path, (name, content_type) in PAGE.items()
    }
