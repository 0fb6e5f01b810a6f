"""
What the house keeps: accounts, sessions, matches, friends, ratings, results, worlds.

This module is the whole agreement between a game and the store: the rows as the domain sees
them, what can go wrong, and the calls of L{Store}.  No SQL and no threads here.

Rules that hold for every call:

  - It returns a Deferred and never blocks.  It fires on the reactor's thread, and a change has
    been committed durably before it fires.
  - A call is one transaction: it is done whole or not at all.
  - Changes are carried out one after the other in the order of the calls.  A question sees every
    change that has been acknowledged; one that is still under way it may or may not see.
  - Moments are aware L{datetime}s in UTC; a naive one is a L{ValueError}.
  - Names and ids are compared exactly: case and trailing blanks count.  The store does not check
    their alphabet; it refuses what is longer than its columns (L{ValueError}).

How a call fails: with a L{Refused} when it was understood and the state of things forbids it,
with L{Overloaded} or L{Unavailable} when the database cannot be asked now, and with L{ValueError}
for what no table could hold.  Ids of sessions and matches are the caller's to make, and to make
so that no two are alike; one that is there already is a bug and fails as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from twisted.internet.defer import Deferred

#: Widths of columns, in characters.
MAX_NAME = 16
MAX_ID = 32
MAX_PASSWORD_HASH = 128
MAX_PASSWORD_SALT = 32
MAX_PASSWORD_SCHEME = 16
MAX_PASSWORD_PARAMETERS = 64
MAX_STATE = 4096
MAX_OUTCOME = 16
MAX_WORLD_NAME = 64


class StoreError(Exception):
    """A call to the store came to nothing."""


class Refused(StoreError):
    """The state of things forbids it; nothing was changed."""


class NameTaken(Refused):
    """An account or a temporary session has this name."""


class NotFound(Refused):
    """There is no such account, session or match."""


class Stale(Refused):
    """The match was changed or ended since it was read: read it again."""


class AlreadyPlaying(Refused):
    """The two have a match that is not over."""


class TooManyMatches(Refused):
    """
    @ivar player: who has as many matches as he may.
    """

    def __init__(self, player: str) -> None:
        super().__init__(player)
        self.player = player


class Overloaded(StoreError):
    """Too many calls wait already; this one was not taken.  Nothing was changed."""


class Unavailable(StoreError):
    """The database did not answer in time or the store is stopped.  Nothing was changed."""


class Uncertain(Unavailable):
    """As L{Unavailable}, but the change was under way: only asking again shows if it was made."""


class BadDatabase(StoreError):
    """The database cannot be used as it is; the text is a sentence for whoever starts us."""


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """
    What is kept instead of a password; making and checking it is the caller's business.

    @ivar scheme: L{SHA512} for rows of the original server, else a name of the caller's.
    @ivar hash: hexadecimal text.
    @ivar salt: text, used as the scheme says.
    @ivar parameters: the scheme's cost parameters, as text.
    """

    scheme: str
    hash: str = field(repr=False)
    salt: str = field(repr=False)
    parameters: str = ""


#: The scheme of the original's rows: SHA-512, once, over the password's UTF-8 and then the salt.
SHA512 = "sha512"


@dataclass(frozen=True, slots=True)
class Account:
    """A name that is somebody's for good: as long as he comes back from time to time."""

    name: str
    password: PasswordRecord
    elo: int
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """
    A log-in that survives its connections and our restarts.

    @ivar registered: of an account; otherwise the session itself is what reserves the name.
    """

    id: str = field(repr=False)
    name: str
    registered: bool
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody who can be invited: an account, or a temporary session without a rating."""

    name: str
    registered: bool
    elo: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """
    A game between two.

    @ivar state: the game's own text (JSON); the store does not look inside.
    @ivar active: whose turn it is.
    @ivar last_active: the last move, or the creation.
    @ivar ranked: the result will change both ratings.
    @ivar version: rises by one with each change; protects against acting on an old copy.
    @ivar ended: it is over, and is kept until both players have seen that.
    @ivar seen: the players who have seen the end.
    """

    id: str
    player_a: str
    player_b: str
    state: str = field(repr=False)
    active: str | None
    ranked: bool
    last_active: datetime
    version: int = 0
    ended: bool = False
    seen: frozenset[str] = frozenset()

    @property
    def players(self) -> tuple[str, str]:
        return self.player_a, self.player_b

    # Both are made at every move, and L{dataclasses.replace} takes three times as long.

    def changed(self, state: str, active: str | None, last_active: datetime) -> Match:
        """As it shall be, if nobody was quicker."""
        a, b = self.player_a, self.player_b
        return Match(self.id, a, b, state, active, self.ranked, last_active, self.version)

    def saved(self) -> Match:
        """As it is now that it has been saved."""
        a, b, version = self.player_a, self.player_b, self.version + 1
        return Match(
            self.id, a, b, self.state, self.active, self.ranked, self.last_active, version
        )


@dataclass(frozen=True, slots=True)
class Rating:
    """A name and its Elo."""

    name: str
    elo: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """
    Where a player stands.  Equal ratings share a rank.

    @ivar elo: L{None} without an account.
    @ivar rank: 1 + the number of accounts with a higher Elo; L{None} without an account.
    @ivar top: the best, highest first, then by name.
    """

    elo: int | None
    rank: int | None
    top: tuple[Rating, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """
    How a match ended; kept for good.

    @ivar outcome: the game's word for it, such as C{won}, C{draw}, C{abandoned}, C{timeout}.
    @ivar elo_before: ratings of both players, C{(a, b)}; L{None} if they were not changed.
    @ivar elo_after: the same after the match.
    """

    match_id: str
    player_a: str
    player_b: str
    winner: str | None
    outcome: str
    state: str = field(repr=False)
    ended_at: datetime
    elo_before: tuple[int, int] | None = None
    elo_after: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """
    A match that has just been ended.

    @ivar match: as it is now; if both have seen the end, it is no longer kept.
    """

    match: Match
    result: Result


@dataclass(frozen=True, slots=True)
class Removal:
    """What went when an account or a session was removed, so that others can be told."""

    sessions: tuple[Session, ...]
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class World:
    """
    A world that outlives a restart.

    @ivar description: the game's own text (JSON): seed, theme, size and the like.
    @ivar content: the game's own bytes.
    """

    name: str
    description: str
    content: bytes = field(repr=False)
    saved_at: datetime


#: The ratings of A and B before a match -> after it.  A pure function: it is called in the
#: database's thread, inside the transaction, and once more if that has to be repeated.
Rate = Callable[[int, int], tuple[int, int]]


class Store(Protocol):
    """All calls.  See the module for what holds for every one of them."""

    # Accounts

    def account(self, name: str) -> Deferred[Account | None]:
        """The account of this name."""

    def player(self, name: str) -> Deferred[Player | None]:
        """Whoever has this name: an account or a temporary session."""

    def create_account(self, account: Account) -> Deferred[Account]:
        """A new account; L{NameTaken} if an account or a temporary session has the name."""

    def change_password(self, name: str, password: PasswordRecord) -> Deferred[None]:
        """Replace the record; L{NotFound} without such an account."""

    def remove_account(
        self, name: str, unseen_since: datetime | None = None
    ) -> Deferred[Removal | None]:
        """
        Remove an account, its sessions, matches and friendships (in both directions).

        @param unseen_since: only if the account was last seen before this moment.
        @return: L{None} if there was nothing to remove.
        """

    # Sessions

    def session(self, session_id: str) -> Deferred[Session | None]:
        """The session of this id."""

    def open_session(self, session_id: str, name: str, at: datetime) -> Deferred[tuple[str, ...]]:
        """
        A new session of an account, which is thereby seen.  L{NotFound} without the account.

        @return: ids of the account's older sessions; they are void now.
        """

    def open_temporary_session(self, session_id: str, name: str, at: datetime) -> Deferred[None]:
        """Reserve a name without an account; L{NameTaken} as in L{create_account}."""

    def touch(self, session_ids: Iterable[str], at: datetime) -> Deferred[None]:
        """These sessions and their accounts were seen.  Unknown ids are passed over."""

    def remove_session(
        self, session_id: str, unseen_since: datetime | None = None
    ) -> Deferred[Removal | None]:
        """
        Remove a session; a temporary one goes with all its matches.

        @param unseen_since: only if the session was last seen before this moment.
        @return: L{None} if there was nothing to remove.
        """

    # Friends

    def friends(self, name: str) -> Deferred[tuple[Rating, ...]]:
        """Whom this account calls friends, by name."""

    def befriend(self, name: str, friend: str) -> Deferred[bool]:
        """L{False} if it was so already; L{NotFound} unless both have accounts."""

    def unfriend(self, name: str, friend: str) -> Deferred[bool]:
        """L{False} if it was so already."""

    # Matches

    def match(self, match_id: str) -> Deferred[Match | None]:
        """The match of this id."""

    def matches_of(self, name: str) -> Deferred[tuple[Match, ...]]:
        """
        A player's matches, the oldest activity first: those that are not over, and those whose
        end he has not seen.
        """

    def open_match(self, match: Match, limit: int) -> Deferred[Match]:
        """
        A new match.

        @param limit: matches that are not over that each player may have, this one counted.

        What forbids it, in this order: A has L{TooManyMatches}; B is L{NotFound}, having neither
        an account nor a session; B has L{TooManyMatches}; they are L{AlreadyPlaying}.
        """

    def save_move(self, match: Match) -> Deferred[Match]:
        """
        Replace C{state}, C{active} and C{last_active} of a match, which is not over.

        @param match: as it shall be, with the version that was read.
        @return: the same with its new version.

        L{Stale} if the match has changed or ended since, or is gone.
        """

    def finish_match(
        self,
        match: Match,
        outcome: str,
        winner: str | None,
        *,
        at: datetime,
        rate: Rate | None = None,
        seen: Iterable[str] = (),
    ) -> Deferred[Finished]:
        """
        End a match: its last state, its L{Result} and both ratings change together.

        @param match: as in L{save_move}.
        @param rate: L{None} leaves the ratings alone.  It is not asked unless the match is
            ranked and both accounts are still there.
        @param seen: players who see the end now.  When both have, the match is no longer kept.

        L{Stale} as in L{save_move}.
        """

    def mark_seen(self, name: str, match_ids: Iterable[str]) -> Deferred[None]:
        """A player has seen the end of these; what both have seen is no longer kept."""

    # Ratings and results

    def ranking(self, name: str | None, top: int = 100) -> Deferred[Ranking]:
        """Where this account stands, and the C{top} best of all."""

    def results(self, name: str, limit: int = 100) -> Deferred[tuple[Result, ...]]:
        """A player's ended matches, newest first."""

    # For the sweep: what was last active before a moment, oldest first

    def matches_before(self, moment: datetime, limit: int = 100) -> Deferred[tuple[Match, ...]]:
        """Matches, ended ones too."""

    def remove_match(self, match: Match) -> Deferred[bool]:
        """Remove it without a result; L{False} if it has changed since it was read, or is gone."""

    def sessions_before(
        self, moment: datetime, registered: bool, limit: int = 100
    ) -> Deferred[tuple[Session, ...]]:
        """Sessions of accounts, or temporary ones."""

    def accounts_before(self, moment: datetime, limit: int = 100) -> Deferred[tuple[str, ...]]:
        """Names of accounts."""

    # Worlds

    def world(self, name: str) -> Deferred[World | None]:
        """The world of this name."""

    def save_world(self, world: World) -> Deferred[None]:
        """Keep a world, in place of the one of this name."""

    def remove_world(self, name: str) -> Deferred[bool]:
        """L{False} if there was none."""

    # Life

    def ready(self) -> Deferred[None]:
        """
        Fires when the database is there and its tables are up to date.

        It fails with L{BadDatabase} if that can never be, as does then every call, and with
        L{Unavailable} if the store is stopped before.
        """
