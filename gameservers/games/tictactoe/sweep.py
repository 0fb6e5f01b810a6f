"""
The cleanup: removes matches without moves, and unused sessions and accounts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gameservers.games.tictactoe.play import Play
from gameservers.games.tictactoe.presence import Presence
from gameservers.games.tictactoe.records import Removal, Stale, TicTacToeRecords
from gameservers.games.tictactoe.settings import TicTacToeSettings

Item = TypeVar("Item")


class Sweep:
    """Removes what has expired; a connected user is in use, but its matches need moves."""

    _log = Logger()

    def __init__(
        self,
        records: TicTacToeRecords,
        presence: Presence,
        play: Play,
        settings: TicTacToeSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._presence = presence
        self._play = play
        self._settings = settings
        self._now = now

    async def run(self) -> None:
        """Run the cleanup, in the order matches, sessions, temporary sessions, accounts."""
        settings, now = self._settings, self._now()
        await self._records.touch([user.session_id for user in self._presence], now)

        moment = now - timedelta(seconds=settings.match_lifetime)
        async for match in _each(partial(self._records.matches_before, moment)):
            if match.ended:
                await self._records.remove_match(match)
                continue
            with suppress(Stale):  # a move was just made
                await self._play.time_out(match)

        for registered, lifetime in (
            (True, settings.session_lifetime),
            (False, settings.temporary_lifetime),
        ):
            moment = now - timedelta(seconds=lifetime)
            async for session in _each(partial(self._records.sessions_before, moment, registered)):
                self._tell(await self._records.remove_session(session.id, moment))

        moment = now - timedelta(seconds=settings.account_lifetime)
        async for name in _each(partial(self._records.accounts_before, moment)):
            self._tell(await self._records.remove_account(name, moment))

    def _tell(self, removal: Removal | None) -> None:
        if removal is None:
            return
        # A client may just have logged in with a session that was removed.
        for session in removal.sessions:
            self._log.info("the session of {player} has expired", player=session.name)
            self._presence.expire(session)
        self._play.vanished(removal.matches)


async def _each(ask: Callable[[], Deferred[tuple[Item, ...]]]) -> AsyncIterator[Item]:
    """Iterate over the results, batch by batch, until a batch has nothing new."""
    done: set[Item] = set()
    while batch := [item for item in await ask() if item not in done]:
        for item in batch:
            done.add(item)
            yield item
