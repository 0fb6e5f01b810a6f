"""
The service of ultimate tic-tac-toe: joins its parts, and runs the cleanup.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gameservers.games import Dependencies, GameService
from gameservers.games.tictactoe.login import MAX_WAITING, SPARE_THREADS, Authenticator
from gameservers.games.tictactoe.play import Play
from gameservers.games.tictactoe.presence import Presence
from gameservers.games.tictactoe.records import Removal, Stale, TicTacToeRecords
from gameservers.store import StoreError
from gameservers.store.passwords import Passwords
from gameservers.web.site import Pages

#: The pages: name to file and content type; the empty name is the index page.
PAGES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "board.js": ("board.js", "text/javascript; charset=utf-8"),
    "link.js": ("link.js", "text/javascript; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}

#: Requests other than moves that wait for the store at once, of all users together: more would
#: keep log-ins and moves waiting.
AT_ONCE = 16

#: Interval of the cleanup, in seconds.
SWEEP_INTERVAL = 600.0

Item = TypeVar("Item")


class TicTacToeService(GameService):
    """
    The service.

    @ivar records: tables and queries.
    @ivar logins: checks log-ins.
    @ivar presence: the users present.
    @ivar play: carries out the users' actions.
    @ivar requests: lets so many requests at once wait for the store; the others wait in line.
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
                threads=settings.password_threads + SPARE_THREADS,
                waiting=MAX_WAITING,
            )
            passwords.setServiceParent(self)
        self.limit_players(settings.max_players, settings.max_per_address)
        records = self.records = TicTacToeRecords(self.store)
        self.presence = Presence(self.lobby, self.game, max_per_player=settings.max_per_player)
        self.logins = Authenticator(
            records,
            passwords,
            settings,
            self.now,
            self.clock.seconds,
            dependencies.place_of,
            self.presence.resembles,
        )
        self.play = Play(
            records, self.presence, settings, self.now, self.clock.seconds, self.metrics, self.game
        )
        self.requests = DeferredSemaphore(AT_ONCE)
        self.pages = Pages(__package__, PAGES)
        # Not at once, so that clients have time to reconnect after a long downtime.
        self.every(SWEEP_INTERVAL, self.sweep)

    def sweep(self) -> Deferred[None]:
        """
        Run the cleanup now: remove matches without moves, and unused sessions and accounts.

        A connected user is in use, but its matches need moves.
        """
        return Deferred.fromCoroutine(self._sweep()).addErrback(self._cut_short)

    def _cut_short(self, failure: Failure) -> None:
        failure.trap(StoreError)
        self._log.warn("The cleanup was interrupted: {why}", why=failure.value)

    async def _sweep(self) -> None:
        """Run the cleanup in the order matches, sessions, temporary sessions, accounts."""
        records, settings, now = self.records, self.settings, self.now()
        await records.touch([user.session_id for user in self.presence], now)

        moment = now - timedelta(seconds=settings.match_lifetime)
        async for match in _each(partial(records.matches_before, moment)):
            if match.ended:
                await records.remove_match(match)
                continue
            with suppress(Stale):  # a move was just made
                await self.play.time_out(match)

        for registered, lifetime in (
            (True, settings.session_lifetime),
            (False, settings.temporary_lifetime),
        ):
            moment = now - timedelta(seconds=lifetime)
            async for session in _each(partial(records.sessions_before, moment, registered)):
                self._tell(await records.remove_session(session.id, moment))

        moment = now - timedelta(seconds=settings.account_lifetime)
        async for name in _each(partial(records.accounts_before, moment)):
            self._tell(await records.remove_account(name, moment))

    def _tell(self, removal: Removal | None) -> None:
        if removal is None:
            return
        # A client may just have logged in with a session that was removed.
        for session in removal.sessions:
            self._log.info("the session of {player} has expired", player=session.name)
            self.presence.expire(session)
        self.play.vanished(removal.matches)


async def _each(ask: Callable[[], Deferred[tuple[Item, ...]]]) -> AsyncIterator[Item]:
    """Iterate over the results, batch by batch, until a batch has nothing new."""
    done: set[Item] = set()
    while batch := [item for item in await ask() if item not in done]:
        for item in batch:
            done.add(item)
            yield item
