"""
What tic-tac-toe keeps: accounts with ratings, sessions, friends, matches and results.

Names and ids are compared exactly: case and trailing blanks count.  Moments are aware and in UTC.
What is longer than its column is a L{ValueError}.  Ids of sessions and matches are the caller's to
make, and to make unique.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

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

#: Widths of columns, in characters.
MAX_NAME = 16
MAX_ID = 32
MAX_STATE = 4096
MAX_OUTCOME = 16

#: The ratings of A and B before a match -> after it.  A pure function: it is called in the
#: database's thread, inside the transaction, and once more if that has to be repeated.
Rate = Callable[[int, int], tuple[int, int]]


class Stale(Conflict):
    """The match was changed or ended since it was read: read it again."""


class AlreadyPlaying(Conflict):
    """The two have a match that is not over."""


class TooManyMatches(Conflict):
    """
    A player has as many matches as they may.

    @ivar player: the name.
    """

    def __init__(self, player: str) -> None:
        super().__init__(player)
        self.player = player


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
class Match:
    """
    A game between two.

    @ivar state: JSON; see L{gameservers.games.tictactoe.wire}.
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
        """As it shall be, if no other change comes first."""
        a, b = self.player_a, self.player_b
        return Match(self.id, a, b, state, active, self.ranked, last_active, self.version)

    def saved(self) -> Match:
        """As it is now that it has been saved."""
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
    Where a player stands.  Equal ratings share a rank.

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
    A match that has just been ended.

    @ivar match: as it is now; if both have seen the end, it is no longer kept.
    @ivar rated: both ratings have changed.
    """

    match: Match
    rated: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """What went when an account or a session was removed, so that clients can be told."""

    sessions: tuple[Session, ...]
    matches: tuple[Match, ...]


# Tables.  Their columns have the names of the values' fields, in the same order.

_metadata = new_metadata()

#: The accounts' ratings; all else of an account is in the table C{accounts}.
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

friends = new_table(
    "tictactoe_friends",
    _metadata,
    Column("player", ForeignKey(players.c.name), primary_key=True),
    Column("friend", ForeignKey(players.c.name), primary_key=True, index=True),
)

#: How matches ended; kept for good.  The C{outcome} is one of those in
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


def _session(row: Any) -> Session:
    registered = row.registered_user is not None
    return Session(row.id, row.registered_user or row.temp_user, registered, row.last_seen)


def _match(row: Any) -> Match:
    players_and_saw = zip(row[1:3], row[9:], strict=True)
    seen = frozenset(name for name, saw in players_and_saw if saw)
    return Match(*[*row[:9], seen])


# Statements that are made often, put together once


def _plays(side: str) -> sa.ColumnElement[bool]:
    name: sa.BindParameter[str] = bindparam(side)
    return sa.or_(matches.c.player_a == name, matches.c.player_b == name)


def _open_count(side: str) -> sa.ColumnElement[int]:
    count = sa.select(sa.func.count()).where(matches.c.ended.is_(False), _plays(side))
    return count.scalar_subquery()


_ELO = sa.select(players.c.elo).where(players.c.name == bindparam("of"))
_RESERVED = sa.select(sessions.c.id).where(sessions.c.temp_user == bindparam("of"))
_SESSION = sa.select(sessions).where(sessions.c.id == bindparam("of"))
_FRIENDS = (
    sa.select(players)
    .join(friends, friends.c.friend == players.c.name)
    .where(friends.c.player == bindparam("of"))
    .order_by(players.c.name)
)
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
#: What may forbid a match of C{a} against C{b}, asked in one go.
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
#: Both ratings, locked against other processes in an order that cannot deadlock.
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

#: MariaDB: text as in our tables; it would be as the database has it, which may be latin1.
_TEXT = f"CHARACTER SET utf8mb4 COLLATE {EXACT}"

#: Any number of moves, in different matches, as one statement: they travel as one JSON array.  A
#: statement for each move costs a round trip to a database server; and in SQLite's case the
#: interpreter's lock is let go and fetched back for each, while the reactor wants it too.
#: By the name of the dialect.  None of it compares anything but C{id} and C{version}.
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


# Queries that are carried out for several calls at once, or inside others


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
    """By name and how many of the best: all look at one list of the best."""
    names = {name for name, _ in asked if name is not None}
    found = {
        row.name: (row.elo, row.rank)
        for chunk in chunks(names)
        for row in db.execute(_STANDING, {"names": chunk}).all()
    }
    most = max(top for _, top in asked)
    # At once: one by one costs much more.
    best = [Rating(*row) for row in db.execute(_TOP, {"top": most}).all()]
    return [
        Ranking(*found.get(name or "", (None, None)), tuple(best[:top])) for name, top in asked
    ]


def _is_registered(db: Connection, name: str) -> bool | None:
    if db.scalar(_ELO, {"of": name}) is not None:
        return True
    return None if db.scalar(_RESERVED, {"of": name}) is None else False


def _remove_sessions(db: Connection, chosen: sa.ColumnElement[bool]) -> tuple[Session, ...]:
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
        """The account of this name."""
        return accounts.find(db, name)

    @question
    def is_registered(self, db: Connection, name: str) -> bool | None:
        """Whether the name is an account's or a temporary session's; L{None} if nobody's."""
        return _is_registered(db, name)

    @change
    def create_account(self, db: Connection, account: Account, elo: int) -> None:
        """A new account; L{NameTaken} if an account or a temporary session has the name."""
        if _is_registered(db, account.name) is not None:
            raise NameTaken(account.name)
        accounts.create(db, account)
        db.execute(sa.insert(players), {"name": account.name, "elo": elo})

    @change
    def change_password(self, db: Connection, name: str, password: PasswordRecord) -> None:
        """Replace the record; L{NotFound} without such an account."""
        accounts.change_password(db, name, password)

    @change
    def remove_account(
        self, db: Connection, name: str, unseen_since: datetime | None = None
    ) -> Removal | None:
        """
        Remove an account, its sessions, matches and friendships (in both directions).

        @param unseen_since: only if the account was last seen before this moment.
        @return: L{None} if there was nothing to remove.
        """
        if not accounts.remove(db, name, unseen_since):
            return None
        gone_sessions = _remove_sessions(db, sessions.c.registered_user == name)
        gone_matches = _remove_matches_of(db, name)
        db.execute(
            sa.delete(friends).where(sa.or_(friends.c.player == name, friends.c.friend == name))
        )
        db.execute(sa.delete(players).where(players.c.name == name))
        return Removal(gone_sessions, gone_matches)

    # Sessions

    @question
    def session(self, db: Connection, session_id: str) -> Session | None:
        """The session of this id."""
        row = db.execute(_SESSION, {"of": session_id}).one_or_none()
        return None if row is None else _session(row)

    @change
    def open_session(
        self, db: Connection, session_id: str, name: str, at: datetime
    ) -> tuple[str, ...]:
        """
        A new session of an account, which is thereby seen.  L{NotFound} without the account.

        @return: ids of the account's older sessions; they are void now.
        """
        if not accounts.touch(db, [name], at):
            raise NotFound(name)
        void = _remove_sessions(db, sessions.c.registered_user == name)
        row = {"id": session_id, "registered_user": name, "last_seen": at}
        db.execute(sa.insert(sessions), row)
        return tuple(older.id for older in void)

    @change
    def open_temporary_session(
        self, db: Connection, session_id: str, name: str, at: datetime
    ) -> None:
        """Reserve a name without an account; L{NameTaken} as in L{create_account}."""
        if _is_registered(db, name) is not None:
            raise NameTaken(name)
        row = {"id": session_id, "temp_user": name, "last_seen": at}
        try:
            db.execute(sa.insert(sessions), row)
        except IntegrityError as problem:  # by another process
            raise NameTaken(name) from problem

    @change
    def touch(self, db: Connection, session_ids: Sequence[str], at: datetime) -> None:
        """These sessions and their accounts were seen.  Unknown ids are passed over."""
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
        Remove a session; a temporary one goes with all its matches.

        @param unseen_since: only if the session was last seen before this moment.
        @return: L{None} if there was nothing to remove.
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
        """The accounts that this one calls friends, by name."""
        rows = db.execute(_FRIENDS, {"of": name})
        return tuple(Rating(row.name, row.elo) for row in rows)

    @change
    def befriend(self, db: Connection, name: str, friend: str) -> bool:
        """L{False} if it was so already; L{NotFound} unless both have accounts."""
        for each in (name, friend):
            if db.scalar(_ELO, {"of": each}) is None:
                raise NotFound(each)
        already = sa.select(friends.c.player).where(
            friends.c.player == name, friends.c.friend == friend
        )
        if db.scalar(already) is not None:
            return False
        db.execute(sa.insert(friends), {"player": name, "friend": friend})
        return True

    @change
    def unfriend(self, db: Connection, name: str, friend: str) -> bool:
        """L{False} if it was so already."""
        it = sa.and_(friends.c.player == name, friends.c.friend == friend)
        return db.execute(sa.delete(friends).where(it)).rowcount > 0

    # Matches

    @question
    def match(self, db: Connection, match_id: str) -> Match | None:
        """The match of this id."""
        row = db.execute(_MATCH, {"of": match_id}).one_or_none()
        return None if row is None else _match(row)

    @question
    def matches_of(self, db: Connection, name: str) -> tuple[Match, ...]:
        """
        A player's matches, the oldest activity first: those that are not over, and those whose
        end the player has not seen.
        """
        return tuple(map(_match, db.execute(_MATCHES_OF, {"of": name})))

    @change
    def open_match(self, db: Connection, match: Match, limit: int) -> Match:
        """
        A new match.

        What forbids it, in this order: A has L{TooManyMatches}; B is L{NotFound}, having neither
        an account nor a session; B has L{TooManyMatches}; they are L{AlreadyPlaying}.

        @param limit: matches that are not over that each player may have, this one counted.
        """
        a, b = match.players
        obstacles = db.execute(_OBSTACLES, {"a": a, "b": b}).one()
        if obstacles.open_a >= limit:
            raise TooManyMatches(a)
        if not obstacles.known_b:
            raise NotFound(b)
        if obstacles.open_b >= limit:
            raise TooManyMatches(b)
        if obstacles.playing:
            raise AlreadyPlaying(f"{a} and {b}")
        match = replace(match, version=0, ended=False, seen=frozenset())
        names = matches.c.keys()[:9]
        db.execute(sa.insert(matches), {name: getattr(match, name) for name in names})
        return match

    def save_move(self, match: Match) -> Deferred[Match]:
        """
        Replace C{state}, C{active} and C{last_active} of a match, which is not over.

        L{Stale} if the match has changed or ended since it was read, or is gone.

        @param match: as it shall be, with the version that was read.
        @return: the same with its new version.
        """
        return self.store.change_batched(_save_moves, match)

    @change
    def finish_match(
        self,
        db: Connection,
        match: Match,
        outcome: str,
        winner: str | None,
        *,
        at: datetime,
        rate: Rate | None = None,
        seen: Sequence[str] = (),
    ) -> Finished:
        """
        End a match: its last state, its result and both ratings change together.

        L{Stale} as in L{save_move}.

        @param match: as in L{save_move}.
        @param rate: L{None} leaves the ratings alone.  It is not asked unless the match is
            ranked and both accounts are still there.
        @param seen: players who see the end now.  When both have, the match is no longer kept.
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
        values = (match.id, a, b, winner, outcome, match.state, at, *ratings)
        db.execute(sa.insert(results), dict(zip(results.c.keys(), values, strict=False)))
        saw = frozenset(match.players).intersection(seen)
        over = replace(match, version=match.version + 1, ended=True, seen=saw)
        return Finished(over, bool(ratings))

    @change
    def mark_seen(self, db: Connection, name: str, match_ids: Sequence[str]) -> None:
        """A player has seen the end of these; what both have seen is no longer kept."""
        for ids in chunks(match_ids):
            these = sa.and_(matches.c.id.in_(ids), matches.c.ended.is_(True))
            for player_column, seen_column in (("player_a", "seen_a"), ("player_b", "seen_b")):
                theirs = sa.and_(these, matches.c[player_column] == name)
                db.execute(sa.update(matches).where(theirs).values({seen_column: True}))
            by_both = sa.and_(these, matches.c.seen_a.is_(True), matches.c.seen_b.is_(True))
            db.execute(sa.delete(matches).where(by_both))

    @change
    def remove_match(self, db: Connection, match: Match) -> bool:
        """Remove it without a result; L{False} if it has changed since it was read, or is gone."""
        it = sa.and_(matches.c.id == match.id, matches.c.version == match.version)
        return db.execute(sa.delete(matches).where(it)).rowcount > 0

    # Ratings

    def ranking(self, name: str | None, top: int = 100) -> Deferred[Ranking]:
        """Where this account stands, and the C{top} best of all."""
        return self.store.ask_batched(_rankings, (name, top))

    # For the sweep: what was last active before a moment, oldest first

    @question
    def matches_before(
        self, db: Connection, moment: datetime, limit: int = 100
    ) -> tuple[Match, ...]:
        """Matches, ended ones too."""
        old = sa.select(matches).where(matches.c.last_active < moment)
        old = old.order_by(matches.c.last_active, matches.c.id).limit(limit)
        return tuple(map(_match, db.execute(old)))

    @question
    def sessions_before(
        self, db: Connection, moment: datetime, registered: bool, limit: int = 100
    ) -> tuple[Session, ...]:
        """Sessions of accounts, or temporary ones."""
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
