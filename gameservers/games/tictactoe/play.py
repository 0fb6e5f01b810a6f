"""
What users may do: find opponents, move, end matches, have friends.

Every wish of a user becomes a few calls to the store and then messages: the answer on the
connection it came from, and what concerns both players of a match to all their connections.
Whatever is answered has been committed before.

Nothing is locked.  The store refuses a change to a match that was changed since it was read
(L{Stale}), so of two moves at once one is made and the other one is looked at again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cachetools import LRUCache
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games.tictactoe import elo, texts, wire
from gameservers.games.tictactoe.presence import GAME, Connection, Presence, User
from gameservers.games.tictactoe.records import (
    AlreadyPlaying,
    Finished,
    Match,
    Opponent,
    Stale,
    TicTacToeRecords,
    TooManyMatches,
)
from gameservers.games.tictactoe.rules import Cell, Game, IllegalMove, Mark
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.metrics import Metrics
from gameservers.store import NotFound

#: How often a change to a match is tried that others change at the same time.
TRIES = 5

#: Matches that are kept in memory, as they were last read or written.
REMEMBERED = 10_000

#: How a match ended, for the store's records.
WON = "won"
DRAWN = "draw"
ABANDONED = "abandoned"
TIMEOUT = "timeout"

Table = tuple[Match, Game]


class Play:
    """
    The game, for all users.

    @ivar now: the moment, aware.
    """

    _log = Logger()

    def __init__(
        self,
        records: TicTacToeRecords,
        presence: Presence,
        settings: TicTacToeSettings,
        now: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._records = records
        self._metrics = metrics
        self._presence = presence
        self.now = now
        self._limit = settings.max_matches
        self._lifetime = timedelta(seconds=settings.match_lifetime)
        self._timeout_elo = settings.timeout_elo
        self._pairing = DeferredLock()
        self._tables: LRUCache[str, Table] = LRUCache(REMEMBERED)

    # What a user is shown

    async def greeting(self, user: User, *, back: bool) -> list[str]:
        """
        What follows the answer to a log-in.

        @param back: he has come back through a session.
        """
        messages = [await self._elo_update(user.name, user.registered)]
        if user.registered or not back:
            messages.append(await self._friends_update(user.name))
        return messages + await self.match_states(user)

    async def match_states(self, user: User) -> list[str]:
        """One message per match, also of those whose end he has not seen; now he has."""
        messages = []
        seen = []
        for read in await self._records.matches_of(user.name):
            table = self._remember(read)
            if table is None:
                continue
            match, _ = table  # it may have changed since it was read
            messages.append(self._match_update(table))
            if match.ended:
                seen.append(match.id)
        if seen:
            await self._records.mark_seen(user.name, seen)
        return messages

    # Opponents

    async def request_match(self, user: User, typed: str | None) -> str:
        """
        Invite somebody, or play against whoever wants to.

        @return: the response.
        """
        if typed is None:
            return await self._pairing.run(self._search, user)
        name = wire.fold_name(typed)
        opponent = None
        if name is not None and name != user.name:
            opponent = await self._records.opponent(name)
        if opponent is None:
            if await self._running(user.name) >= self._limit:
                return _refused(texts.TOO_MANY_MATCHES)
            if name == user.name:
                return _refused(texts.ONESELF)
            return _refused(texts.NO_USER.format(typed.lower()))
        try:
            await self._open(user, opponent)
        except TooManyMatches as full:
            if full.player == user.name:
                return _refused(texts.TOO_MANY_MATCHES)
            return _refused(texts.OPPONENT_TOO_MANY.format(opponent.name))
        except NotFound:
            return _refused(texts.NO_USER.format(opponent.name))
        except AlreadyPlaying:
            return _refused(texts.ALREADY_PLAYING.format(opponent.name))
        return wire.match_request_response(True, texts.INVITED.format(opponent.name))

    async def _search(self, user: User) -> str:
        if await self._running(user.name) >= self._limit:
            return _refused(texts.TOO_MANY_MATCHES)
        for other in self._presence.waiting():
            if other is user:
                continue
            if self._presence.find(user.name) is not user:
                break  # he has gone meanwhile
            try:
                await self._open(other, Opponent(user.name, user.registered, None))
            except TooManyMatches as full:
                if full.player == user.name:
                    return _refused(texts.TOO_MANY_MATCHES)
            except (AlreadyPlaying, NotFound):
                pass  # these two will not do; perhaps the next one
            else:
                self._presence.wait_no_longer(other)
                self._presence.wait_no_longer(user)
                return wire.match_request_response(True, texts.SEARCHING)
        # Those who wait already would not do for each other then, but they may do now.
        if self._presence.is_waiting(user):
            return _refused(texts.ALREADY_SEARCHING)
        self._presence.wait(user)
        return wire.match_request_response(True, texts.SEARCHING)

    async def _open(self, user: User, opponent: Opponent) -> None:
        """A new match, in which the first of the two begins; both are told, he first."""
        players = user.name, opponent.name
        game = Game()
        match = Match(
            id=secrets.token_hex(16),
            player_a=user.name,
            player_b=opponent.name,
            state=wire.encode_state(players, game),
            active=user.name,
            ranked=user.registered and opponent.registered,
            last_active=self.now(),
        )
        match = await self._records.open_match(match, self._limit)
        self._keep(match, game)
        self._log.info("{player} plays against {opponent}", player=players[0], opponent=players[1])
        self._metrics.matches_opened[GAME] += 1
        update = self._match_update((match, game))
        for name in players:
            self._presence.push(name, [update])

    async def _running(self, name: str) -> int:
        """How many matches a user has that are not over."""
        return sum(not match.ended for match in await self._records.matches_of(name))

    # Matches

    async def move(
        self, user: User, connection: Connection, match_id: str, cell: Cell | None
    ) -> None:
        """
        Move, and tell both; or tell the mover that nothing has changed.

        Who is not one of the two hears nothing.  L{Stale}: others change the match all the time.
        """
        for _ in range(TRIES):
            table = await self._table(match_id, user)
            if table is None:
                return
            match, game = table
            try:
                if cell is None or match.ended:
                    raise IllegalMove
                after = game.move(_mark(match, user), cell)
            except IllegalMove:
                connection.send(self._match_update(table))
                return
            try:
                await self._make(match, after)
                return
            except Stale:
                self._tables.pop(match_id, None)
        raise Stale

    async def _make(self, match: Match, game: Game) -> None:
        mover, other = match.players if game.turn is Mark.B else match.players[::-1]
        moved = self._changed(match, game)
        self._metrics.moves_made[GAME] += 1
        if not game.over:
            moved = await self._records.save_move(moved)
            self._keep(moved, game)
            update = [self._match_update((moved, game))]
            self._presence.push(mover, update)
            self._presence.push(other, update)
            return
        outcome = DRAWN if game.winner is None else WON
        finished = await self._finish(moved, game, outcome)
        update = [self._match_update((finished.match, game))]
        for name in (mover, other):
            self._presence.push(name, update)
        await self._push_elos(mover, other)

    async def end_match(self, user: User, match_id: str) -> None:
        """
        Leave a match.  That is a defeat once both have moved; before, nobody loses.

        Who is not one of the two, or comes too late, hears nothing.
        """
        for _ in range(TRIES):
            table = await self._table(match_id, user)
            if table is None or table[0].ended:
                return
            match, game = table
            other = match.player_b if user.name == match.player_a else match.player_a
            closed = game.close()
            try:
                finished = await self._finish(
                    self._changed(match, closed),
                    closed,
                    ABANDONED,
                    loser=user.name if game.under_way else None,
                )
            except Stale:
                self._tables.pop(match_id, None)
                continue
            update = [self._match_update((finished.match, closed))]
            try:
                if finished.result.elo_after is not None:
                    await self._push_elos(user.name, other)
            finally:  # they count as those who have seen the end, whatever becomes of the ranks
                self._presence.push(other, update)
                self._presence.push(user.name, update)
            return

    async def time_out(self, match: Match) -> None:
        """The player whose turn it is has let the time run out: he loses if both have moved."""
        table = self._remember(match)
        if table is None:
            await self._records.remove_match(match)
            return
        game = table[1]
        loser = wire.name_of((match.player_a, match.player_b), game.turn)
        winner = Mark.A if game.turn is Mark.B else Mark.B
        closed = game.close(winner if game.under_way else None)
        finished = await self._finish(
            self._changed(match, closed),
            closed,
            TIMEOUT,
            loser=loser if game.under_way else None,
            rated=self._timeout_elo,
        )
        self._log.info(
            "{player} let the time run out against {opponent}",
            player=loser,
            opponent=match.player_a if loser == match.player_b else match.player_b,
        )
        update = [self._match_update((finished.match, closed))]
        for name in match.players:
            self._presence.push(name, update)
        if finished.result.elo_after is not None:
            await self._push_elos(*match.players)

    def vanished(self, matches: Sequence[Match]) -> None:
        """These matches went with one of their players: tell the other one."""
        for match in matches:
            table = self._remember(match)
            self._tables.pop(match.id, None)
            if table is None or match.ended:
                continue
            closed = table[1].close()
            update = [self._match_update((self._changed(match, closed), closed))]
            for name in match.players:
                self._presence.push(name, update)

    async def _finish(
        self,
        match: Match,
        game: Game,
        outcome: str,
        *,
        loser: str | None = None,
        rated: bool = True,
    ) -> Finished:
        """
        End a match.

        @param loser: who loses although the board does not say so.
        @param rated: whether ratings change at all.
        """
        winner = wire.name_of((match.player_a, match.player_b), game.winner)
        if winner is None and loser is not None:
            winner = match.player_b if loser == match.player_a else match.player_a
        score = elo.DRAWN
        if winner is not None:
            score = elo.A_WINS if winner == match.player_a else elo.B_WINS
        decided = winner is not None or outcome == DRAWN
        finished = await self._records.finish_match(
            match,
            outcome,
            winner,
            at=match.last_active,
            rate=(lambda a, b: elo.rated(a, b, score)) if decided and rated else None,
            seen=[name for name in match.players if name in self._presence],
        )
        # Also if the store keeps it no longer: it may have been read a moment ago.
        self._keep(finished.match, game)
        return finished

    def _changed(self, match: Match, game: Game) -> Match:
        players = match.players
        state = wire.encode_state(players, game)
        return match.changed(state, wire.name_of(players, game.turn), self.now())

    # What is known of a match

    async def _table(self, match_id: str, user: User) -> Table | None:
        """A match as it is now, if the user is one of the two and one has not seen its end."""
        table = self._tables.get(match_id)
        if table is None:
            match = await self._records.match(match_id)
            table = None if match is None else self._remember(match)
        if table is None or user.name not in table[0].players:
            return None
        return None if table[0].seen.issuperset(table[0].players) else table

    def _remember(self, match: Match) -> Table | None:
        """A match that has just been read, and its game; L{None} if there is no making it out."""
        known = self._tables.get(match.id)
        if known is not None and known[0].version >= match.version:
            return known
        try:
            players, game = wire.decode_state(match.state)
            if players != match.players:
                raise wire.BadState("it is a match of others")
        except wire.BadState as problem:
            self._log.error(
                "Match {match} is unreadable: {problem}", match=match.id, problem=problem
            )
            return None
        # As we write it: a match may have been kept by the original.
        match = replace(match, state=wire.encode_state(players, game))
        if not match.ended:
            self._keep(match, game)
        return match, game

    def _keep(self, match: Match, game: Game) -> None:
        self._tables[match.id] = match, game

    # Friends

    async def befriend(self, user: User, typed: str) -> list[str]:
        """@return: the response and, if there is a new friend, the list."""
        if not user.registered:
            return [wire.friend_request_response(False, texts.NO_FRIENDS)]
        name = wire.fold_name(typed)
        if name is None:
            return [wire.friend_request_response(False, texts.BAD_FRIEND)]
        try:
            if name == user.name:
                raise NotFound
            added = await self._records.befriend(user.name, name)
        except NotFound:
            return [wire.friend_request_response(False, texts.NO_PLAYER.format(name))]
        if not added:
            return [wire.friend_request_response(False, texts.ALREADY_FRIEND.format(name))]
        return [
            wire.friend_request_response(True, texts.BEFRIENDED.format(name)),
            await self._friends_update(user.name),
        ]

    async def unfriend(self, user: User, typed: str) -> list[str]:
        """@return: the response and, if there is a friend less, the list."""
        name = wire.fold_name(typed)
        if name is None:
            return [wire.unfriend_request_response(False, texts.UNFRIEND_ERROR)]
        if not await self._records.unfriend(user.name, name):
            return [wire.unfriend_request_response(False, texts.NOT_A_FRIEND.format(name))]
        return [
            wire.unfriend_request_response(True, texts.UNFRIENDED.format(name)),
            await self._friends_update(user.name),
        ]

    # Messages

    def _match_update(self, table: Table) -> str:
        match, _ = table
        return wire.match_update(
            match.id, match.last_active + self._lifetime, match.ranked, match.state
        )

    async def _elo_update(self, name: str, registered: bool) -> str:
        ranking = await self._records.ranking(name if registered else None, wire.TOP)
        top = [(rating.name, rating.elo) for rating in ranking.top]
        return wire.elo_update(ranking.elo, ranking.rank, top)

    async def _push_elos(self, *names: str) -> None:
        here = [user for user in map(self._presence.find, names) if user is not None]
        # At the same time, so that the store looks once.
        updates = [self._elo_update(user.name, user.registered) for user in here]
        done = await DeferredList(map(Deferred.fromCoroutine, updates), consumeErrors=True)
        for user, (_, update) in zip(here, done, strict=True):
            if isinstance(update, Failure):
                update.raiseException()
            user.send(update)

    async def _friends_update(self, name: str) -> str:
        friends = await self._records.friends(name)
        return wire.friends_update([(friend.name, friend.elo) for friend in friends])


def _mark(match: Match, user: User) -> Mark:
    return Mark.A if user.name == match.player_a else Mark.B


def _refused(text: str) -> str:
    return wire.match_request_response(False, text)
