"""
The service of ultimate tic-tac-toe: joins its parts, and runs the cleanup.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gameservers.games import Dependencies, GameService
from gameservers.games.tictactoe.login import MAX_WAITING, Authenticator
from gameservers.games.tictactoe.play import Play
from gameservers.games.tictactoe.presence import Presence
from gameservers.games.tictactoe.records import TicTacToeRecords
from gameservers.games.tictactoe.sweep import Sweep
from gameservers.store import StoreError
from gameservers.store.passwords import Passwords
from gameservers.web.site import Pages

#: The pages: name to file and content type; the empty name is the index page.
PAGES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "board.js": ("board.js", "text/javascript; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}

#: Interval of the cleanup, in seconds.
SWEEP_INTERVAL = 600.0


class TicTacToeService(GameService):
    """
    The service.

    @ivar records: tables and queries.
    @ivar logins: checks log-ins.
    @ivar presence: the users present.
    @ivar play: carries out the users' actions.
    """

    def __init__(self, dependencies: Dependencies, passwords: Passwords | None = None) -> None:
        """Build the game; without C{passwords} they are hashed in threads."""
        settings = dependencies.settings
        super().__init__(dependencies, max_open=settings.max_connections)
        if self.store is None:
            raise ValueError(f"{self.game} needs a store")
        if passwords is None:
            passwords = Passwords(
                cast(IReactorFromThreads, self.clock),
                cost=settings.password_cost,
                threads=settings.password_threads,
                waiting=MAX_WAITING,
            )
            passwords.setServiceParent(self)
        self.lobby.limit(self.game, settings.max_players)
        records = self.records = TicTacToeRecords(self.store)
        self.presence = Presence(self.lobby, self.game, max_per_player=settings.max_per_player)
        self.logins = Authenticator(records, passwords, settings, self.now, dependencies.place_of)
        self.play = Play(records, self.presence, settings, self.now, self.metrics, self.game)
        self._sweep = Sweep(records, self.presence, self.play, settings, self.now)
        self.pages = Pages(__package__, PAGES)
        # Not at once, so that clients have time to reconnect after a long downtime.
        self.every(SWEEP_INTERVAL, self.sweep)

    def now(self) -> datetime:
        """The present moment, aware."""
        return datetime.fromtimestamp(self.clock.seconds(), UTC)

    def sweep(self) -> Deferred[None]:
        """Run the cleanup now."""
        return Deferred.fromCoroutine(self._sweep.run()).addErrback(self._cut_short)

    def _cut_short(self, failure: Failure) -> None:
        failure.trap(StoreError)
        self._log.warn("The cleanup was interrupted: {why}", why=failure.value)
