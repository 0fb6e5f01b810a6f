"""
Tables and queries of tic-tac-toe: accounts with ratings, sessions, friends, matches and results.

Names and ids are compared exactly, including case and trailing blanks.  Moments are aware and in
UTC.  A value longer than its column raises L{ValueError}.  The caller makes the ids of sessions
and matches, which must be unique.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import Column, Connection, ForeignKey, Index, Integer, bindparam
from sqlalchemy.exc import IntegrityError
from twisted.internet.defer import Deferred

from gameservers.store import (
    Account,
    Accounts,
    Conflict,
    NameTaken,
    NotFound,
    PasswordRecord,
    Records,
    Schema,
    change,
    question,
)
from gameservers.store.columns import EXACT, ExactText, Moment, chunks, new_metadata, new_table
from gameservers.store.worker import Batched

T = TypeVar("T")

#: Widths of columns, in characters.
MAX_NAME = 16
MAX_ID = 32
MAX_STATE = 4096
MAX_OUTCOME = 16
MAX_PLACE = 64

#: Addresses of an account that are remembered, the last ones from which it was used.
PLACES = 8

#: From the ratings of A and B before a match to those after it.  It must be pure: it is called in
#: the database's thread, inside the transaction, and again if that is repeated.
Rate = Callable[[int, int], tuple[int, int]]


class Stale(Conflict):
    """The match was changed or ended since it was read, and must be read again."""


class AlreadyPlaying(Conflict):
    """The two players have a match that is not over."""


class TooManyMatches(Conflict):
    """
    A player has the maximum number of matches.

    @ivar player: the name.
    """

    def __init__(self, player: str) -> None:
        super().__init__(player)
        self.player = player


class TooManyFriends(Conflict):
    """The account has the maximum number of friends."""


@dataclass(frozen=True, slots=True)
class LoginSession:
    """
    A log-in session, which survives disconnections and restarts of the server.

    @ivar registered: whether it is an account's; otherwise the session itself reserves the name.
    """

    id: str = field(repr=False)
    name: str
    registered: bool
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Match:
    """
    A match between two players.

    @ivar state: JSON; see L{gameservers.games.tictactoe.wire}.
    @ivar active: the player to move.
    @ivar last_active: the time of the last move, or of the creation.
    @ivar ranked: whether the result changes both ratings.
    @ivar version: incremented by each change, to detect outdated copies.
    @ivar ended: whether it is over; it is kept until both players have seen that.
    @ivar seen: the players that have seen the end.
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

    # Both are called at every move, and L{dataclasses.replace} takes three times as long.

    def changed(self, state: str, active: str | None, last_active: datetime) -> Match:
        """A copy with changes, for saving."""
        a, b = self.player_a, self.player_b
        return Match(self.id, a, b, state, active, self.ranked, last_active, self.version)

    def saved(self) -> Match:
        """The copy after it was saved."""
        a, b, version = self.player_a, self.player_b, self.version + 1
        return Match(
            self.id, a, b, self.state, self.active, self.ranked, self.last_active, version
        )


class Rating(NamedTuple):
    """A name and its Elo."""

    name: str
    elo: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """
    A player's place in the ranking.  Equal ratings share a rank.

    @ivar elo: L{None} without an account.
    @ivar rank: 1 + the number of accounts with a higher Elo; L{None} without an account.
    @ivar top: the best, highest first, then by name.
    """

    elo: int | None
    rank: int | None
    top: tuple[Rating, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """
    The result of ending a match.

    @ivar match: its final state; it is deleted if both have seen the end.
    @ivar rated: whether both ratings have changed.
    """

    match: Match
    rated: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed with an account or a session, so that clients can be told."""

    sessions: tuple[LoginSession, ...]
    matches: tuple[Match, ...]


# Tables.  Their columns have the names of the values' fields, in the same order.

_metadata = new_metadata()

#: The ratings of accounts; everything else about an account is in the table C{accounts}.
players = new_table(
    "tictactoe_players",
    _metadata,
    Column("name", ExactText(MAX_NAME), primary_key=True),
    Column("elo", Integer, nullable=False, index=True),
)

matches = new_table(
    "tictactoe_matches",
    _metadata,
    Column("id", ExactText(MAX_ID), primary_key=True),
    Column("player_a", ExactText(MAX_NAME), nullable=False, index=True),
    Column("player_b", ExactText(MAX_NAME), nullable=False, index=True),
    Column("state", ExactText(MAX_STATE), nullable=False),
    Column("active", ExactText(MAX_NAME)),
    Column("ranked", sa.Boolean, nullable=False),
    Column("last_active", Moment, nullable=False, index=True),
    Column("version", Integer, nullable=False, server_default=sa.text("0")),
    Column("ended", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("seen_a", sa.Boolean, nullable=False, server_default=sa.false()),
    Column("seen_b", sa.Boolean, nullable=False, server_default=sa.false()),
)

sessions = new_table(
    "tictactoe_sessions",
    _metadata,
    Column("id", ExactText(MAX_ID), primary_key=True),
    Column("registered_user", ForeignKey(players.c.name), index=True),
    Column("temp_user", ExactText(MAX_NAME)),
    Column("last_seen", Moment, nullable=False, index=True),
    Index("uq_tictactoe_sessions_temp_user", "temp_user", unique=True),
)

#: Where accounts were used from: an IPv4 address or an IPv6 /64.
addresses = new_table(
    "tictactoe_addresses",
    _metadata,
    Column("player", ExactText(MAX_NAME), primary_key=True),
    Column("place", ExactText(MAX_PLACE), primary_key=True),
    Column("last_used", Moment, nullable=False),
)

friends = new_table(
    "tictactoe_friends",
    _metadata,
    Column("player", ForeignKey(players.c.name), primary_key=True),
    Column("friend", ForeignKey(players.c.name), primary_key=True, index=True),
)

#: The results of matches, which are kept for ever.  The C{outcome} is one of those in
#: L{gameservers.games.tictactoe.play}; the ratings are NULL if they were not changed.
results = new_table(
    "tictactoe_results",
    _metadata,
    Column("match_id", ExactText(MAX_ID), primary_key=True),
    Column("player_a", ExactText(MAX_NAME), nullable=False),
    Column("player_b", ExactText(MAX_NAME), nullable=False),
    Column("winner", ExactText(MAX_NAME)),
    Column("outcome", ExactText(MAX_OUTCOME), nullable=False),
    Column("state", ExactText(MAX_STATE), nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("elo_a_before", Integer),
    Column("elo_b_before", Integer),
    Column("elo_a_after", Integer),
    Column("elo_b_after", Integer),
    Index("ix_tictactoe_results_player_a_ended_at", "player_a", "ended_at"),
    Index("ix_tictactoe_results_player_b_ended_at", "player_b", "ended_at"),
)

accounts = Accounts("tictactoe")

SCHEMA = Schema("tictactoe", _metadata, Path(__file__).parent / "revisions")


# Rows to values


def _session(row: Any) -> LoginSession:
    registered = row.registered_user is not None
    return LoginSession(row.id, row.registered_user or row.temp_user, registered, row.last_seen)


def _match(row: Any) -> Match:
    players_and_saw = zip(row[1:3], row[9:], strict=True)
    seen = frozenset(name for name, saw in players_and_saw if saw)
    return Match(*[*row[:9], seen])


# Frequent statements, built once


def _plays(side: str) -> sa.ColumnElement[bool]:
    name: sa.BindParameter[str] = bindparam(side)
    return sa.or_(matches.c.player_a == name, matches.c.player_b == name)


def _open_count(side: str) -> sa.ColumnElement[int]:
    count = sa.select(sa.func.count()).where(matches.c.ended.is_(False), _plays(side))
    return count.scalar_subquery()


_ELO = sa.select(players.c.elo).where(players.c.name == bindparam("of"))
_RESERVED = sa.select(sessions.c.id).where(sessions.c.temp_user == bindparam("of"))
_SEEN = sa.update(sessions).where(sessions.c.id == bindparam("of"))
_SESSION = sa.select(sessions).where(sessions.c.id == bindparam("of"))
_KNOWN = sa.select(addresses.c.last_used).where(
    addresses.c.player == bindparam("of"), addresses.c.place == bindparam("at")
)
_USED = sa.update(addresses).where(
    addresses.c.player == bindparam("of"), addresses.c.place == bindparam("at")
)
_PLACES = (
    sa.select(addresses.c.place)
    .where(addresses.c.player == bindparam("of"))
    .order_by(addresses.c.last_used.desc(), addresses.c.place)
)
_FRIENDS = (
    sa.select(players)
    .join(friends, friends.c.friend == players.c.name)
    .where(friends.c.player == bindparam("of"))
    .order_by(players.c.name)
)
_IS_FRIEND = sa.select(friends.c.player).where(
    friends.c.player == bindparam("of"), friends.c.friend == bindparam("friend")
)
_FRIEND_COUNT = sa.select(sa.func.count()).where(friends.c.player == bindparam("of"))
_MATCH = sa.select(matches).where(matches.c.id == bindparam("of"))
_MATCHES_OF = (
    sa.select(matches)
    .where(
        sa.or_(
            sa.and_(matches.c.player_a == bindparam("of"), matches.c.seen_a.is_(False)),
            sa.and_(matches.c.player_b == bindparam("of"), matches.c.seen_b.is_(False)),
        )
    )
    .order_by(matches.c.last_active, matches.c.id)
)
#: All reasons against a match of C{a} against C{b}, in one query.
_OBSTACLES = sa.select(
    _open_count("a").label("open_a"),
    sa.or_(
        sa.exists().where(players.c.name == bindparam("b")),
        sa.exists().where(sessions.c.temp_user == bindparam("b")),
    ).label("known_b"),
    _open_count("b").label("open_b"),
    sa.exists().where(matches.c.ended.is_(False), _plays("a"), _plays("b")).label("playing"),
)
_UNCHANGED = sa.and_(
    matches.c.id == bindparam("of"),
    matches.c.version == bindparam("expected"),
    matches.c.ended.is_(False),
)
_END = sa.update(matches).where(_UNCHANGED).values(version=matches.c.version + 1, ended=True)
_DROP = sa.delete(matches).where(_UNCHANGED)
_RATE = sa.update(players).where(players.c.name == bindparam("of"))
#: Both ratings, locked against other processes, in an order that prevents deadlocks.
_BOTH = (
    sa.select(players)
    .where(players.c.name.in_([bindparam("a"), bindparam("b")]))
    .order_by(players.c.name)
    .with_for_update()
)
_BETTER = players.alias("better")
_AHEAD = sa.select(sa.func.count()).where(_BETTER.c.elo > players.c.elo).scalar_subquery()
_STANDING = sa.select(players.c.name, players.c.elo, (1 + _AHEAD).label("rank")).where(
    players.c.name.in_(bindparam("names", expanding=True))
)
_TOP = sa.select(players).order_by(players.c.elo.desc(), players.c.name).limit(bindparam("top"))

#: MariaDB: text as in these tables; the default is the database's, which may be latin1.
_TEXT = f"CHARACTER SET utf8mb4 COLLATE {EXACT}"

#: Any number of moves, in different matches, as one statement, with one JSON array as its
#: parameter.  One statement per move costs a round trip to a database server, and with SQLite a
#: release of the interpreter's lock, for which the reactor competes.  By the name of the dialect.
#: Only C{id} and C{version} are compared.
_SAVE_MOVES = {
    "sqlite": sa.text("""
        UPDATE tictactoe_matches AS matches SET
            state = json_extract(moved.value, '$.state'),
            active = json_extract(moved.value, '$.active'),
            last_active = json_extract(moved.value, '$.at'), version = matches.version + 1
        FROM json_each(:moves) AS moved
        WHERE matches.id = json_extract(moved.value, '$.id')
            AND matches.version = json_extract(moved.value, '$.version') AND NOT matches.ended
    """),
    "postgresql": sa.text("""
        UPDATE tictactoe_matches AS matches SET
            state = moved.state, active = moved.active,
            last_active = moved.at, version = matches.version + 1
        FROM json_to_recordset(CAST(:moves AS json)) AS moved
            (id varchar, version integer, state varchar, active varchar, at timestamp)
        WHERE matches.id = moved.id
            AND matches.version = moved.version AND NOT matches.ended
    """),
    "mariadb": sa.text(f"""
        UPDATE tictactoe_matches AS matches JOIN JSON_TABLE(:moves, '$[*]' COLUMNS (
            id varchar(64) {_TEXT} PATH '$.id', version integer PATH '$.version',
            state longtext {_TEXT} PATH '$.state', active varchar(64) {_TEXT} PATH '$.active',
            at datetime(6) PATH '$.at'
        )) AS moved
        ON matches.id = moved.id
            AND matches.version = moved.version AND NOT matches.ended
        SET matches.state = moved.state, matches.active = moved.active,
            matches.last_active = moved.at, matches.version = matches.version + 1
    """),
}
_STATE: Any = matches.c.state.type
_ACTIVE: Any = matches.c.active.type
_AT: Any = matches.c.last_active.type
_encode = json.JSONEncoder(separators=(",", ":")).encode


# Queries for several calls at once, or inside others


def _save_moves(db: Connection, moved: Sequence[Match]) -> list[Match]:
    rows = [
        {
            "id": match.id,
            "version": match.version,
            "state": _STATE.checked(match.state),
            "active": _ACTIVE.checked(match.active),
            "at": _AT.checked(match.last_active).isoformat(" ", "microseconds"),
        }
        for match in moved
    ]
    done = db.execute(_SAVE_MOVES[db.dialect.name], {"moves": _encode(rows)})
    if done.rowcount != len(moved):
        raise Stale(", ".join(match.id for match in moved))
    return [match.saved() for match in moved]


def _rankings(db: Connection, asked: Sequence[tuple[str | None, int]]) -> list[Ranking]:
    """Rankings by name and size of the top list, which is read once for all."""
    names = {name for name, _ in asked if name is not None}
    found = {
        row.name: (row.elo, row.rank)
        for chunk in chunks(names)
        for row in db.execute(_STANDING, {"names": chunk}).all()
    }
    most = max(top for _, top in asked)
    # One statement for all costs much less.
    best = [Rating(*row) for row in db.execute(_TOP, {"top": most}).all()]
    return [
        Ranking(*found.get(name or "", (None, None)), tuple(best[:top])) for name, top in asked
    ]


# What any client can ask for in vain returns the conflict: a query that raises it is run again,
# with all others of its transaction.


def _result(outcome: T | Conflict) -> T:
    if isinstance(outcome, Conflict):
        raise outcome
    return outcome


def _befriend(db: Connection, name: str, friend: str, limit: int) -> bool | Conflict:
    for each in (name, friend):
        if db.scalar(_ELO, {"of": each}) is None:
            return NotFound(each)
    if db.scalar(_IS_FRIEND, {"of": name, "friend": friend}) is not None:
        return False
    if (db.scalar(_FRIEND_COUNT, {"of": name}) or 0) >= limit:
        return TooManyFriends(name)
    db.execute(sa.insert(friends), {"player": name, "friend": friend})
    return True


def _open_match(db: Connection, match: Match, limit: int) -> Match | Conflict:
    a, b = match.players
    obstacles = db.execute(_OBSTACLES, {"a": a, "b": b}).one()
    if obstacles.open_a >= limit:
        return TooManyMatches(a)
    if not obstacles.known_b:
        return NotFound(b)
    if obstacles.open_b >= limit:
        return TooManyMatches(b)
    if obstacles.playing:
        return AlreadyPlaying(f"{a} and {b}")
    match = replace(match, version=0, ended=False, seen=frozenset())
    names = matches.c.keys()[:9]
    db.execute(sa.insert(matches), {name: getattr(match, name) for name in names})
    return match


def _is_registered(db: Connection, name: str) -> bool | None:
    if db.scalar(_ELO, {"of": name}) is not None:
        return True
    return None if db.scalar(_RESERVED, {"of": name}) is None else False


def _remember_place(db: Connection, name: str, place: str, at: datetime) -> None:
    """Record an account's address; of more than L{PLACES} those used longest ago are removed."""
    it = {"of": name, "at": place}
    if db.execute(_USED, it | {"last_used": at}).rowcount:
        return
    db.execute(sa.insert(addresses), {"player": name, "place": place, "last_used": at})
    old = db.scalars(_PLACES, {"of": name}).all()[PLACES:]
    if old:
        theirs = sa.and_(addresses.c.player == name, addresses.c.place.in_(old))
        db.execute(sa.delete(addresses).where(theirs))


def _remove_sessions(db: Connection, chosen: sa.ColumnElement[bool]) -> tuple[LoginSession, ...]:
    gone = tuple(map(_session, db.execute(sa.select(sessions).where(chosen))))
    if gone:
        db.execute(sa.delete(sessions).where(chosen))
    return gone


def _remove_matches_of(db: Connection, name: str) -> tuple[Match, ...]:
    theirs = sa.or_(matches.c.player_a == name, matches.c.player_b == name)
    gone = tuple(map(_match, db.execute(sa.select(matches).where(theirs))))
    if gone:
        db.execute(sa.delete(matches).where(theirs))
    return gone


class TicTacToeRecords(Records):
    """All queries of the game."""

    # Accounts

    @question
    def account(self, db: Connection, name: str) -> Account | None:
        """Find the account of this name."""
        return accounts.find(db, name)

    @question
    def is_known(self, db: Connection, name: str, place: str) -> bool:
        """Whether an account has been used from this address."""
        return db.scalar(_KNOWN, {"of": name, "at": place}) is not None

    @question
    def is_registered(self, db: Connection, name: str) -> bool | None:
        """
        Whether the name is an account's, rather than a temporary session's; L{None} if unused.
        """
        return _is_registered(db, name)

    @change
    def create_account(self, db: Connection, account: Account, elo: int) -> None:
        """
        Create an account; raises L{NameTaken} if an account or a temporary session has the name.
        """
        if _is_registered(db, account.name) is not None:
            raise NameTaken(account.name)
        accounts.create(db, account)
        db.execute(sa.insert(players), {"name": account.name, "elo": elo})

    @change
    def change_password(self, db: Connection, name: str, password: PasswordRecord) -> None:
        """Replace the password; raises L{NotFound}."""
        accounts.change_password(db, name, password)

    @change
    def remove_account(
        self, db: Connection, name: str, unseen_since: datetime | None = None
    ) -> Removal | None:
        """
        Remove an account with its addresses, sessions, matches and friendships (in both
        directions).

        @param unseen_since: only if the account was last seen before this moment.
        @return: L{None} if nothing was removed.
        """
        if not accounts.remove(db, name, unseen_since):
            return None
        gone_sessions = _remove_sessions(db, sessions.c.registered_user == name)
        gone_matches = _remove_matches_of(db, name)
        db.execute(
            sa.delete(friends).where(sa.or_(friends.c.player == name, friends.c.friend == name))
        )
        db.execute(sa.delete(addresses).where(addresses.c.player == name))
        db.execute(sa.delete(players).where(players.c.name == name))
        return Removal(gone_sessions, gone_matches)

    # Sessions

    @question
    def session(self, db: Connection, session_id: str) -> LoginSession | None:
        """Find the session with this id."""
        row = db.execute(_SESSION, {"of": session_id}).one_or_none()
        return None if row is None else _session(row)

    @change
    def open_session(
        self, db: Connection, session_id: str, name: str, at: datetime, place: str = ""
    ) -> tuple[str, ...]:
        """
        Open a session of an account, which counts as seen; raises L{NotFound}.

        @param place: the address from which the account is used.
        @return: the ids of the account's older sessions, which are removed.
        """
        if not accounts.touch(db, [name], at):
            raise NotFound(name)
        void = _remove_sessions(db, sessions.c.registered_user == name)
        row = {"id": session_id, "registered_user": name, "last_seen": at}
        db.execute(sa.insert(sessions), row)
        _remember_place(db, name, place, at)
        return tuple(older.id for older in void)

    @change
    def resume_session(
        self, db: Connection, session: LoginSession, at: datetime, place: str
    ) -> None:
        """Record that a session, if it still exists, and its account were used from an address."""
        db.execute(_SEEN, {"of": session.id, "last_seen": at})
        if session.registered and accounts.touch(db, [session.name], at):
            _remember_place(db, session.name, place, at)

    @change
    def open_temporary_session(
        self, db: Connection, session_id: str, name: str, at: datetime
    ) -> None:
        """Reserve a name without an account; raises L{NameTaken} like L{create_account}."""
        if _is_registered(db, name) is not None:
            raise NameTaken(name)
        row = {"id": session_id, "temp_user": name, "last_seen": at}
        try:
            db.execute(sa.insert(sessions), row)
        except IntegrityError as problem:  # by another process
            raise NameTaken(name) from problem

    @change
    def touch(self, db: Connection, session_ids: Sequence[str], at: datetime) -> None:
        """Record when these sessions and their accounts were seen; unknown ids are ignored."""
        for ids in chunks(session_ids):
            these = sessions.c.id.in_(ids)
            db.execute(sa.update(sessions).where(these).values(last_seen=at))
            owners = sa.select(sessions.c.registered_user).where(these)
            names = [name for name in db.scalars(owners) if name is not None]
            accounts.touch(db, names, at)

    @change
    def remove_session(
        self, db: Connection, session_id: str, unseen_since: datetime | None = None
    ) -> Removal | None:
        """
        Remove a session; a temporary one is removed with all its matches.

        @param unseen_since: only if the session was last seen before this moment.
        @return: L{None} if nothing was removed.
        """
        chosen = sessions.c.id == session_id
        if unseen_since is not None:
            chosen = sa.and_(chosen, sessions.c.last_seen < unseen_since)
        gone = _remove_sessions(db, chosen)
        if not gone:
            return None
        (it,) = gone
        return Removal(gone, () if it.registered else _remove_matches_of(db, it.name))

    # Friends

    @question
    def friends(self, db: Connection, name: str) -> tuple[Rating, ...]:
        """The friends of an account, by name."""
        return tuple(Rating(*row) for row in db.execute(_FRIENDS, {"of": name}))

    def befriend(self, name: str, friend: str, limit: int) -> Deferred[bool]:
        """
        Add a friend; returns L{False} if it was one already, raises L{NotFound} without both
        accounts and L{TooManyFriends}.

        @param limit: maximum number of friends, including this one.
        """
        return self.store.change(_befriend, name, friend, limit).addCallback(_result)

    @change
    def unfriend(self, db: Connection, name: str, friend: str) -> bool:
        """Remove a friend; returns L{False} if it was none."""
        it = sa.and_(friends.c.player == name, friends.c.friend == friend)
        return db.execute(sa.delete(friends).where(it)).rowcount > 0

    # Matches

    @question
    def match(self, db: Connection, match_id: str) -> Match | None:
        """Find the match with this id."""
        row = db.execute(_MATCH, {"of": match_id}).one_or_none()
        return None if row is None else _match(row)

    @question
    def matches_of(self, db: Connection, name: str) -> tuple[Match, ...]:
        """
        A player's matches that are not over or whose end the player has not seen, by last
        activity.
        """
        return tuple(map(_match, db.execute(_MATCHES_OF, {"of": name})))

    def open_match(self, match: Match, limit: int) -> Deferred[Match]:
        """
        Open a match.

        It raises, checked in this order: L{TooManyMatches} for A; L{NotFound} if B has neither an
        account nor a session; L{TooManyMatches} for B; L{AlreadyPlaying}.

        @param limit: maximum number of unfinished matches of each player, including this one.
        """
        return self.store.change(_open_match, match, limit).addCallback(_result)

    def save_move(self, match: Match) -> Deferred[Match]:
        """
        Replace C{state}, C{active} and C{last_active} of a match that is not over.

        It raises L{Stale} if the match was changed, ended or removed since it was read.

        @param match: the new state, with the version that was read.
        @return: the same with its new version.
        """
        return self.store.writer.submit(Batched(_save_moves, match))

    @change
    def finish_match(
        self,
        db: Connection,
        match: Match,
        outcome: str,
        winner: str | None,
        *,
        rate: Rate | None = None,
        seen: Sequence[str] = (),
    ) -> Finished:
        """
        End a match: its last state, its result and both ratings change together.

        It raises L{Stale} like L{save_move}.

        @param match: as in L{save_move}; it ended at its C{last_active}.
        @param rate: L{None} leaves the ratings unchanged.  It is called only if the match is
            ranked and both accounts still exist.
        @param seen: the players that see the end now.  When both have, the match is deleted.
        """
        a, b = match.players
        row: dict[str, Any] = {"of": match.id, "expected": match.version}
        if {a, b} <= set(seen):
            done = db.execute(_DROP, row)
        else:
            row |= {"state": match.state, "active": match.active, "last_active": match.last_active}
            done = db.execute(_END, row | {"seen_a": a in seen, "seen_b": b in seen})
        if not done.rowcount:
            raise Stale(match.id)
        ratings: tuple[int, ...] = ()
        if rate is not None and match.ranked:
            found: dict[str, int] = dict(db.execute(_BOTH, {"a": a, "b": b}).all())
            if a in found and b in found:
                before = found[a], found[b]
                after = rate(*before)
                new = zip(match.players, after, strict=True)
                db.execute(_RATE, [{"of": name, "elo": elo} for name, elo in new])
                ratings = before + after
        values = (match.id, a, b, winner, outcome, match.state, match.last_active, *ratings)
        db.execute(sa.insert(results), dict(zip(results.c.keys(), values, strict=False)))
        saw = frozenset(match.players).intersection(seen)
        over = replace(match, version=match.version + 1, ended=True, seen=saw)
        return Finished(over, bool(ratings))

    @change
    def mark_seen(self, db: Connection, name: str, match_ids: Sequence[str]) -> None:
        """
        Record that a player has seen the end of these matches; if both have, they are deleted.
        """
        for ids in chunks(match_ids):
            these = sa.and_(matches.c.id.in_(ids), matches.c.ended.is_(True))
            for player_column, seen_column in (("player_a", "seen_a"), ("player_b", "seen_b")):
                theirs = sa.and_(these, matches.c[player_column] == name)
                db.execute(sa.update(matches).where(theirs).values({seen_column: True}))
            by_both = sa.and_(these, matches.c.seen_a.is_(True), matches.c.seen_b.is_(True))
            db.execute(sa.delete(matches).where(by_both))

    @change
    def remove_match(self, db: Connection, match: Match) -> bool:
        """
        Remove a match without a result; returns L{False} if it was changed or removed meanwhile.
        """
        it = sa.and_(matches.c.id == match.id, matches.c.version == match.version)
        return db.execute(sa.delete(matches).where(it)).rowcount > 0

    # Ratings

    def ranking(self, name: str | None, top: int = 100) -> Deferred[Ranking]:
        """The ranking of an account, with the C{top} best of all."""
        return self.store.reader.submit(Batched(_rankings, (name, top)))

    # For the cleanup: what was last active before a moment, oldest first

    @question
    def matches_before(
        self, db: Connection, moment: datetime, limit: int = 100
    ) -> tuple[Match, ...]:
        """Matches, including ended ones."""
        old = sa.select(matches).where(matches.c.last_active < moment)
        old = old.order_by(matches.c.last_active, matches.c.id).limit(limit)
        return tuple(map(_match, db.execute(old)))

    @question
    def sessions_before(
        self, db: Connection, moment: datetime, registered: bool, limit: int = 100
    ) -> tuple[LoginSession, ...]:
        """Sessions, either of accounts or temporary."""
        owner = sessions.c.registered_user
        kind = owner.is_not(None) if registered else owner.is_(None)
        old = sa.select(sessions).where(sessions.c.last_seen < moment, kind)
        old = old.order_by(sessions.c.last_seen, sessions.c.id).limit(limit)
        return tuple(map(_session, db.execute(old)))

    @question
    def accounts_before(
        self, db: Connection, moment: datetime, limit: int = 100
    ) -> tuple[str, ...]:
        """Names of accounts."""
        return accounts.seen_before(db, moment, limit)
