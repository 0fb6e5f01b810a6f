"""
The actions of users: finding opponents, moving, ending matches, friends.

Each action makes a few calls to the store and then sends messages: the answer on the connection it
came from, and what concerns both players of a match on all their connections. Answers are sent
only after the commit.

There are no locks.  The store refuses a change to a match that was changed since it was read
(L{Stale}), so of two moves at once one is made and the other one is checked again.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cachetools import LRUCache
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games.tictactoe import elo, wire, words
from gameservers.games.tictactoe.presence import Client, Presence, User
from gameservers.games.tictactoe.records import (
    AlreadyPlaying,
    Finished,
    Match,
    Stale,
    TicTacToeRecords,
    TooManyFriends,
    TooManyMatches,
)
from gameservers.games.tictactoe.rules import Cell, Game, IllegalMove, Mark
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.metrics import Metrics
from gameservers.store import NotFound

#: How often a change to a match is tried when it conflicts with others.
TRIES = 5

#: Maximum number of matches that are cached, as last read or written, and of lists of matches.
REMEMBERED = 10_000

#: How long the list of a player's matches is cached, in seconds.  It is read again after a change;
#: this bounds the time for which one is missed that was made though the store said that it failed.
LISTED = 1.0

#: How a match ended, for the store's records.
WON = "won"
DRAWN = "draw"
ABANDONED = "abandoned"
TIMEOUT = "timeout"

#: A match as it is stored, and its decoded state.
Played = tuple[Match, Game]


class Play:
    """
    Carries out the actions of all users.

    @ivar now: returns the present moment, aware.
    """

    _log = Logger()

    def __init__(
        self,
        records: TicTacToeRecords,
        presence: Presence,
        settings: TicTacToeSettings,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        metrics: Metrics,
        game: str,
    ) -> None:
        """Use these parts; C{seconds} is a monotonic clock, C{game} is the name for metrics."""
        self._records = records
        self._presence = presence
        self.now = now
        self._metrics = metrics
        self._game = game
        self._limit = settings.max_matches
        self._max_friends = settings.max_friends
        self._lifetime = timedelta(seconds=settings.match_lifetime)
        self._timeout_elo = settings.timeout_elo
        self._pairing = DeferredLock()
        self._matches: LRUCache[str, Played] = LRUCache(REMEMBERED)
        self._seconds = seconds
        #: The lists of players, each with the time until which it holds, the oldest first.
        self._listed: dict[str, tuple[float, tuple[Match, ...]]] = {}
        self._listing: dict[str, object] = {}  # which reading of a list is the last, by player

    # What a user sees

    async def greeting(self, user: User, *, back: bool) -> list[str]:
        """
        The messages that follow the answer to a log-in.

        @param back: whether the user has reconnected with a session.
        """
        messages = [await self._elo_update(user.name, user.registered)]
        if user.registered or not back:
            messages.append(await self._friends_update(user.name))
        self._changed_lists(user.name)  # here a failed change is looked for
        return messages + await self.match_states(user)

    async def match_states(self, user: User) -> list[str]:
        """One message per match, including those whose end the user had not seen before."""
        messages = []
        seen = []
        for read in await self._matches_of(user.name):
            played = self._remember(read)
            if played is not None:
                match, _ = played  # it may have changed since it was read
                messages.append(words.match_update(match, self._lifetime))
                if match.ended:
                    seen.append(match.id)
        if seen:
            try:
                await self._records.mark_seen(user.name, seen)
            finally:
                self._changed_lists(user.name)
        return messages

    # Opponents

    async def request_match(self, user: User, typed: str | None) -> str:
        """
        Invite a player, or find any opponent.

        @return: the response.
        """
        if typed is None:
            return await self._pairing.run(self._search, user)
        name = wire.fold_name(typed)
        registered = None
        if name is not None and name != user.name:
            registered = await self._records.is_registered(name)
        if name is None or registered is None:
            if await self._running(user.name) >= self._limit:
                return words.match_refused(words.TOO_MANY_MATCHES)
            if name == user.name:
                return words.match_refused(words.ONESELF)
            return words.match_refused(words.NO_USER, typed.lower())
        try:
            await self._open(user, name, registered)
        except TooManyMatches as full:
            if full.player == user.name:
                return words.match_refused(words.TOO_MANY_MATCHES)
            return words.match_refused(words.OPPONENT_TOO_MANY, name)
        except NotFound:
            return words.match_refused(words.NO_USER, name)
        except AlreadyPlaying:
            return words.match_refused(words.ALREADY_PLAYING, name)
        return wire.match_request_response(True, words.INVITED.format(name))

    async def _search(self, user: User) -> str:
        if await self._running(user.name) >= self._limit:
            return words.match_refused(words.TOO_MANY_MATCHES)
        for other in self._presence.waiting():
            if other is user:
                continue
            if self._presence.find(user.name) is not user:
                break  # it has left meanwhile
            try:
                await self._open(other, user.name, user.registered)
            except TooManyMatches as full:
                if full.player == user.name:
                    return words.match_refused(words.TOO_MANY_MATCHES)
                self._presence.set_aside(other)  # until a match of theirs has ended
            except (AlreadyPlaying, NotFound):
                pass  # these two cannot play; perhaps the next one can
            else:
                self._presence.wait_no_longer(other)
                self._presence.wait_no_longer(user)
                return wire.match_request_response(True, words.SEARCHING)
        # Players that wait could not be paired before, but perhaps they can be now.
        if self._presence.is_waiting(user):
            return words.match_refused(words.ALREADY_SEARCHING)
        self._presence.wait(user)
        return wire.match_request_response(True, words.SEARCHING)

    async def cancel_search(self, user: User, client: Client) -> None:
        """Look for any opponent no longer; all connections of a user that did are told."""
        await self._pairing.run(self._cancel_search, user, client)

    def _cancel_search(self, user: User, client: Client) -> None:
        if self._presence.is_waiting(user):
            self._presence.wait_no_longer(user)
            user.send(wire.match_request_response(True, words.CANCELLED))
        else:
            client.send(words.match_refused(words.NOT_SEARCHING))

    async def _open(self, user: User, opponent: str, registered: bool) -> None:
        """
        Open a match, in which the first of the two begins; both are told, the first one first.
        """
        players = user.name, opponent
        game = Game()
        match = Match(
            id=secrets.token_hex(16),
            player_a=user.name,
            player_b=opponent,
            state=wire.encode_state(players, game),
            active=user.name,
            ranked=user.registered and registered,
            last_active=self.now(),
        )
        try:
            match = await self._records.open_match(match, self._limit)
        finally:
            self._changed_lists(*players)
        self._keep(match, game)
        self._log.info("{player} plays against {opponent}", player=user.name, opponent=opponent)
        self._metrics.matches_opened[self._game] += 1
        self._push(players, match)

    async def _running(self, name: str) -> int:
        """The number of a user's matches that are not over."""
        return sum(not match.ended for match in await self._matches_of(name))

    # Matches

    async def move(self, user: User, client: Client, match_id: str, cell: Cell | None) -> None:
        """
        Make a move and tell both players, or tell the client that nothing has changed.

        A user that is not one of the two gets no answer.

        @raise Stale: the match was changed by others at every attempt.
        """
        for _ in range(TRIES):
            played = await self._find(match_id, user)
            if played is None:
                return
            match, game = played
            try:
                if cell is None or match.ended:
                    raise IllegalMove
                after = game.move(Mark.A if user.name == match.player_a else Mark.B, cell)
            except IllegalMove:
                client.send(words.match_update(match, self._lifetime))
                return
            try:
                await self._make(match, after)
                return
            except Stale:
                self._matches.pop(match_id, None)
        raise Stale

    async def _make(self, match: Match, game: Game) -> None:
        players = match.players if game.turn is Mark.B else match.players[::-1]
        moved = self._changed(match, game)
        self._metrics.moves_made[self._game] += 1
        if not game.over:
            try:
                moved = await self._records.save_move(moved)
            finally:
                self._changed_lists(*players)
            self._keep(moved, game)
            self._push(players, moved)
            return
        finished = await self._finish(moved, game, DRAWN if game.winner is None else WON)
        self._push(players, finished.match)
        await self._push_elos(players)

    async def end_match(self, user: User, match_id: str) -> None:
        """
        Leave a match, which is a defeat if both players have moved.

        A user that is not one of the two, or too late, gets no answer.
        """
        for _ in range(TRIES):
            played = await self._find(match_id, user)
            if played is None or played[0].ended:
                return
            match, game = played
            closed = game.close()
            other = match.player_b if user.name == match.player_a else match.player_a
            winner = other if game.under_way else None
            try:
                changed = self._changed(match, closed)
                finished = await self._finish(changed, closed, ABANDONED, winner=winner)
            except Stale:
                self._matches.pop(match_id, None)
                continue
            try:
                if finished.rated:
                    await self._push_elos((user.name, other))
            finally:  # they have seen the end, even if the ranks cannot be read
                self._push((other, user.name), finished.match)
            return

    async def time_out(self, match: Match) -> None:
        """
        End a match because the time of the player to move ran out, which loses if both have moved.

        @raise Stale: a move was just made.
        """
        played = self._remember(match)
        if played is None:
            await self._records.remove_match(match)
            self._has_ended(match)
            return
        game = played[1]
        late = wire.name_of(match.players, game.turn)
        winner = Mark.A if game.turn is Mark.B else Mark.B
        closed = game.close(winner if game.under_way else None)
        changed = self._changed(match, closed)
        finished = await self._finish(changed, closed, TIMEOUT, rated=self._timeout_elo)
        self._log.info("{player} let the time of a match run out", player=late)
        self._push(match.players, finished.match)
        if finished.rated:
            await self._push_elos(match.players)

    def vanished(self, matches: Sequence[Match]) -> None:
        """Tell the other player about matches that were removed with one of their players."""
        for match in matches:
            played = self._remember(match)
            self._matches.pop(match.id, None)
            self._has_ended(match)
            if played is not None and not match.ended:
                self._push(match.players, self._changed(match, played[1].close()))

    async def _finish(
        self,
        match: Match,
        game: Game,
        outcome: str,
        *,
        winner: str | None = None,
        rated: bool = True,
    ) -> Finished:
        """
        End a match.

        @param winner: the player that wins although the board is undecided.
        @param rated: whether ratings change.
        """
        winner = wire.name_of(match.players, game.winner) or winner
        score = elo.DRAWN
        if winner is not None:
            score = elo.A_WINS if winner == match.player_a else elo.B_WINS
        decided = winner is not None or outcome == DRAWN
        try:
            finished = await self._records.finish_match(
                match,
                outcome,
                winner,
                rate=(lambda a, b: elo.rated(a, b, score)) if decided and rated else None,
                seen=[name for name in match.players if name in self._presence],
            )
        finally:
            self._has_ended(match)
        # Even if the store has removed it: it may have been read a moment ago.
        self._keep(finished.match, game)
        return finished

    def _changed(self, match: Match, game: Game) -> Match:
        players = match.players
        state = wire.encode_state(players, game)
        return match.changed(state, wire.name_of(players, game.turn), self.now())

    def _has_ended(self, match: Match) -> None:
        self._changed_lists(*match.players)
        for name in match.players:
            self._presence.take_back(name)

    # Reading matches

    async def _matches_of(self, name: str) -> tuple[Match, ...]:
        """As L{TicTacToeRecords.matches_of}, which is asked once for many requests."""
        until, listed = self._listed.get(name, (-math.inf, ()))
        if self._seconds() < until:
            return listed
        reading = self._listing[name] = object()
        try:
            listed = await self._records.matches_of(name)
        finally:
            is_last = self._listing.get(name) is reading
            if is_last:
                del self._listing[name]
        if is_last:
            self._keep_list(name, listed)
        return listed

    def _keep_list(self, name: str, listed: tuple[Match, ...]) -> None:
        """Keep a list for L{LISTED} seconds, and no more than L{REMEMBERED} of them."""
        now, kept = self._seconds(), self._listed
        kept.pop(name, None)
        while kept and (len(kept) >= REMEMBERED or next(iter(kept.values()))[0] <= now):
            del kept[next(iter(kept))]
        kept[name] = now + LISTED, listed

    def _changed_lists(self, *names: str) -> None:
        """Forget the lists of these players, and those that are being read."""
        for name in names:
            self._listed.pop(name, None)
            self._listing.pop(name, None)

    async def _find(self, match_id: str, user: User) -> Played | None:
        """
        The present state of a match, if the user is one of the two and not both have seen its end.
        """
        played = self._matches.get(match_id)
        if played is None:
            match = await self._records.match(match_id)
            played = None if match is None else self._remember(match)
        if played is None or user.name not in played[0].players:
            return None
        return None if played[0].seen.issuperset(played[0].players) else played

    def _remember(self, match: Match) -> Played | None:
        """Decode and cache a match that was just read; L{None} if it is unreadable."""
        known = self._matches.get(match.id)
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
        # Encoded again, because it may have been stored by the original server.
        match = replace(match, state=wire.encode_state(players, game))
        if not match.ended:
            self._keep(match, game)
        return match, game

    def _keep(self, match: Match, game: Game) -> None:
        self._matches[match.id] = match, game

    # Friends

    async def befriend(self, user: User, typed: str) -> list[str]:
        """Add a friend; returns the response and, after a change, the list."""
        if not user.registered:
            return [wire.friend_request_response(False, words.NO_FRIENDS)]
        name = wire.fold_name(typed)
        if name is None:
            return [wire.friend_request_response(False, words.BAD_FRIEND)]
        try:
            if name == user.name:
                raise NotFound
            added = await self._records.befriend(user.name, name, self._max_friends)
        except NotFound:
            return [wire.friend_request_response(False, words.NO_PLAYER.format(name))]
        except TooManyFriends:
            return [wire.friend_request_response(False, words.TOO_MANY_FRIENDS)]
        if not added:
            return [wire.friend_request_response(False, words.ALREADY_FRIEND.format(name))]
        return [
            wire.friend_request_response(True, words.BEFRIENDED.format(name)),
            await self._friends_update(user.name),
        ]

    async def unfriend(self, user: User, typed: str) -> list[str]:
        """Remove a friend; returns the response and, after a change, the list."""
        name = wire.fold_name(typed)
        if name is None:
            return [wire.unfriend_request_response(False, words.UNFRIEND_ERROR)]
        if not await self._records.unfriend(user.name, name):
            return [wire.unfriend_request_response(False, words.NOT_A_FRIEND.format(name))]
        return [
            wire.unfriend_request_response(True, words.UNFRIENDED.format(name)),
            await self._friends_update(user.name),
        ]

    # Messages

    def _push(self, names: Sequence[str], match: Match) -> None:
        """Send these users, in this order, the state of a match."""
        update = words.match_update(match, self._lifetime)
        for name in names:
            self._presence.push(name, update)

    async def _push_elos(self, names: Sequence[str]) -> None:
        here = [user for user in map(self._presence.find, names) if user is not None]
        # All at once, so that the store combines the queries.
        updates = [self._elo_update(user.name, user.registered) for user in here]
        done = await DeferredList(map(Deferred.fromCoroutine, updates), consumeErrors=True)
        for user, (_, update) in zip(here, done, strict=True):
            if isinstance(update, Failure):
                update.raiseException()
            user.send(update)

    async def _elo_update(self, name: str, registered: bool) -> str:
        ranking = await self._records.ranking(name if registered else None, wire.TOP)
        return wire.elo_update(ranking.elo, ranking.rank, ranking.top)

    async def _friends_update(self, name: str) -> str:
        return wire.friends_update(await self._records.friends(name))
