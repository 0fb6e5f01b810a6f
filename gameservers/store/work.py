"""
What the calls of the store do: each is one function on an open connection, inside a transaction.

They run in the database's thread (or, for C{memory}, where they are called) and may be run again
if the transaction has to be repeated: nothing but the connection is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from gameservers.store.interface import (
    Account,
    AlreadyPlaying,
    Finished,
    Match,
    NameTaken,
    NotFound,
    PasswordRecord,
    Player,
    Ranking,
    Rate,
    Rating,
    Removal,
    Result,
    Session,
    Stale,
    TooManyMatches,
    World,
)
from gameservers.store.tables import friends, matches, results, sessions, users, worlds

#: Ids in one statement; databases limit the number of parameters.
CHUNK = 500


# Rows to what the domain knows


def _account(row: Row[Any]) -> Account:
    password = PasswordRecord(row.pw_scheme, row.pw_hash, row.pw_salt, row.pw_parameters)
    return Account(row.name, password, row.elo, row.last_seen)


def _session(row: Row[Any]) -> Session:
    registered = row.registered_user is not None
    name = row.registered_user if registered else row.temp_user
    return Session(row.id, name, registered, row.last_seen)


def _match(row: Row[Any]) -> Match:
    pairs = ((row.user_a, row.seen_a), (row.user_b, row.seen_b))
    return Match(
        id=row.id,
        player_a=row.user_a,
        player_b=row.user_b,
        state=row.match_state,
        active=row.active_user,
        ranked=row.ranked,
        last_active=row.last_active,
        version=row.version,
        ended=row.ended,
        seen=frozenset(name for name, seen in pairs if seen),
    )


def _result(row: Row[Any]) -> Result:
    rated = row.elo_a_before is not None
    return Result(
        match_id=row.match_id,
        player_a=row.user_a,
        player_b=row.user_b,
        winner=row.winner,
        outcome=row.outcome,
        state=row.match_state,
        ended_at=row.ended_at,
        elo_before=(row.elo_a_before, row.elo_b_before) if rated else None,
        elo_after=(row.elo_a_after, row.elo_b_after) if rated else None,
    )


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    everything = list(ids)
    for start in range(0, len(everything), CHUNK):
        yield everything[start : start + CHUNK]


# Accounts

_ACCOUNT = select(users).where(users.c.name == bindparam("of"))
_ELO = select(users.c.elo).where(users.c.name == bindparam("of"))
_RESERVED = select(sessions.c.id).where(sessions.c.temp_user == bindparam("of"))


def account(connection: Connection, name: str) -> Account | None:
    row = connection.execute(_ACCOUNT, {"of": name}).one_or_none()
    return None if row is None else _account(row)


def player(connection: Connection, name: str) -> Player | None:
    elo = connection.scalar(_ELO, {"of": name})
    if elo is not None:
        return Player(name, True, elo)
    if connection.scalar(_RESERVED, {"of": name}) is not None:
        return Player(name, False, None)
    return None


def _password_columns(password: PasswordRecord) -> dict[str, str]:
    return {
        "pw_hash": password.hash,
        "pw_salt": password.salt,
        "pw_scheme": password.scheme,
        "pw_parameters": password.parameters,
    }


def create_account(connection: Connection, account: Account) -> Account:
    if player(connection, account.name) is not None:
        raise NameTaken(account.name)
    row = {"name": account.name, "elo": account.elo, "last_seen": account.last_seen}
    try:
        connection.execute(insert(users), row | _password_columns(account.password))
    except IntegrityError as problem:  # another process was quicker
        raise NameTaken(account.name) from problem
    return account


def change_password(connection: Connection, name: str, password: PasswordRecord) -> None:
    columns = _password_columns(password)
    done = connection.execute(update(users).where(users.c.name == name).values(columns))
    if not done.rowcount:
        raise NotFound(name)


def remove_account(
    connection: Connection, name: str, unseen_since: datetime | None
) -> Removal | None:
    locked = select(users.c.last_seen).where(users.c.name == name).with_for_update()
    last_seen = connection.scalar(locked)
    if last_seen is None or (unseen_since is not None and last_seen >= unseen_since):
        return None
    gone_sessions = _remove_sessions(connection, sessions.c.registered_user == name)
    gone_matches = _remove_matches_of(connection, name)
    connection.execute(
        delete(friends).where(or_(friends.c.user == name, friends.c.friend == name))
    )
    connection.execute(delete(users).where(users.c.name == name))
    return Removal(gone_sessions, gone_matches)


# Sessions


def session(connection: Connection, session_id: str) -> Session | None:
    row = connection.execute(_SESSION, {"of": session_id}).one_or_none()
    return None if row is None else _session(row)


_SESSION = select(sessions).where(sessions.c.id == bindparam("of"))


def open_session(
    connection: Connection, session_id: str, name: str, at: datetime
) -> tuple[str, ...]:
    seen = connection.execute(update(users).where(users.c.name == name).values(last_seen=at))
    if not seen.rowcount:
        raise NotFound(name)
    void = _remove_sessions(connection, sessions.c.registered_user == name)
    row = {"id": session_id, "registered_user": name, "last_seen": at}
    connection.execute(insert(sessions), row)
    return tuple(older.id for older in void)


def open_temporary_session(
    connection: Connection, session_id: str, name: str, at: datetime
) -> None:
    if player(connection, name) is not None:
        raise NameTaken(name)
    row = {"id": session_id, "temp_user": name, "last_seen": at}
    try:
        connection.execute(insert(sessions), row)
    except IntegrityError as problem:  # another process was quicker
        raise NameTaken(name) from problem


def touch(connection: Connection, session_ids: tuple[str, ...], at: datetime) -> None:
    for ids in _chunks(session_ids):
        these = sessions.c.id.in_(ids)
        names = select(sessions.c.registered_user).where(
            these, sessions.c.registered_user.is_not(None)
        )
        connection.execute(update(sessions).where(these).values(last_seen=at))
        connection.execute(update(users).where(users.c.name.in_(names)).values(last_seen=at))


def remove_session(
    connection: Connection, session_id: str, unseen_since: datetime | None
) -> Removal | None:
    chosen = sessions.c.id == session_id
    if unseen_since is not None:
        chosen = and_(chosen, sessions.c.last_seen < unseen_since)
    gone = _remove_sessions(connection, chosen)
    if not gone:
        return None
    (it,) = gone
    return Removal(gone, () if it.registered else _remove_matches_of(connection, it.name))


def _remove_sessions(connection: Connection, chosen: ColumnElement[bool]) -> tuple[Session, ...]:
    gone = tuple(map(_session, connection.execute(select(sessions).where(chosen))))
    if gone:
        connection.execute(delete(sessions).where(chosen))
    return gone


# Friends


def friends_of(connection: Connection, name: str) -> tuple[Rating, ...]:
    rows = connection.execute(_FRIENDS, {"of": name})
    return tuple(Rating(row.name, row.elo) for row in rows)


_FRIENDS = (
    select(users.c.name, users.c.elo)
    .join(friends, friends.c.friend == users.c.name)
    .where(friends.c.user == bindparam("of"))
    .order_by(users.c.name)
)


def befriend(connection: Connection, name: str, friend: str) -> bool:
    for who in (name, friend):
        if connection.scalar(_ELO, {"of": who}) is None:
            raise NotFound(who)
    already = select(friends.c.user).where(friends.c.user == name, friends.c.friend == friend)
    if connection.scalar(already) is not None:
        return False
    connection.execute(insert(friends), {"user": name, "friend": friend})
    return True


def unfriend(connection: Connection, name: str, friend: str) -> bool:
    it = and_(friends.c.user == name, friends.c.friend == friend)
    return connection.execute(delete(friends).where(it)).rowcount > 0


# Matches

_MATCH = select(matches).where(matches.c.id == bindparam("of"))


def _plays(side: str) -> ColumnElement[bool]:
    name: BindParameter[str] = bindparam(side)
    return or_(matches.c.user_a == name, matches.c.user_b == name)


def _open_count(side: str) -> ColumnElement[int]:
    count = select(func.count()).where(matches.c.ended.is_(False), _plays(side))
    return count.scalar_subquery()


#: What may forbid a match of C{a} against C{b}, asked in one go.
_OBSTACLES = select(
    _open_count("a").label("open_a"),
    or_(
        exists().where(users.c.name == bindparam("b")),
        exists().where(sessions.c.temp_user == bindparam("b")),
    ).label("known_b"),
    _open_count("b").label("open_b"),
    exists().where(matches.c.ended.is_(False), _plays("a"), _plays("b")).label("playing"),
)
_MATCHES_OF = (
    select(matches)
    .where(
        or_(
            and_(matches.c.user_a == bindparam("of"), matches.c.seen_a.is_(False)),
            and_(matches.c.user_b == bindparam("of"), matches.c.seen_b.is_(False)),
        )
    )
    .order_by(matches.c.last_active, matches.c.id)
)
_UNCHANGED = and_(
    matches.c.id == bindparam("of"),
    matches.c.version == bindparam("expected"),
    matches.c.ended.is_(False),
)
_END = (
    update(matches)
    .where(_UNCHANGED)
    .values(
        match_state=bindparam("state"),
        active_user=bindparam("active"),
        last_active=bindparam("moved_at"),
        version=matches.c.version + 1,
        ended=True,
        seen_a=bindparam("a_saw"),
        seen_b=bindparam("b_saw"),
    )
)
_DROP = delete(matches).where(_UNCHANGED)
_RECORD = insert(results)
_RATE = update(users).where(users.c.name == bindparam("of")).values(elo=bindparam("after"))
_BOTH = (
    select(users.c.name, users.c.elo)
    .where(or_(users.c.name == bindparam("a"), users.c.name == bindparam("b")))
    .order_by(users.c.name)
    .with_for_update()
)


def match(connection: Connection, match_id: str) -> Match | None:
    row = connection.execute(_MATCH, {"of": match_id}).one_or_none()
    return None if row is None else _match(row)


def matches_of(connection: Connection, name: str) -> tuple[Match, ...]:
    return tuple(map(_match, connection.execute(_MATCHES_OF, {"of": name})))


def open_match(connection: Connection, match: Match, limit: int) -> Match:
    a, b = match.players
    obstacles = connection.execute(_OBSTACLES, {"a": a, "b": b}).one()
    if obstacles.open_a >= limit:
        raise TooManyMatches(a)
    if not obstacles.known_b:
        raise NotFound(b)
    if obstacles.open_b >= limit:
        raise TooManyMatches(b)
    if obstacles.playing:
        raise AlreadyPlaying(f"{a} and {b}")
    row = {
        "id": match.id,
        "user_a": a,
        "user_b": b,
        "match_state": match.state,
        "active_user": match.active,
        "last_active": match.last_active,
        "ranked": match.ranked,
        "version": 0,
    }
    connection.execute(insert(matches), row)
    return replace(match, version=0, ended=False, seen=frozenset())


def finish_match(
    connection: Connection,
    match: Match,
    outcome: str,
    winner: str | None,
    at: datetime,
    rate: Rate | None,
    seen: tuple[str, ...],
) -> Finished:
    a, b = match.players
    row: dict[str, Any] = {"of": match.id, "expected": match.version}
    if {a, b} <= set(seen):
        done = connection.execute(_DROP, row)
    else:
        row |= {"state": match.state, "active": match.active, "moved_at": match.last_active}
        done = connection.execute(_END, row | {"a_saw": a in seen, "b_saw": b in seen})
    if not done.rowcount:
        raise Stale(match.id)
    before = after = None
    if rate is not None and match.ranked:
        before = _ratings(connection, match.players)
    if rate is not None and before is not None:
        after = rate(*before)
        new = zip(match.players, after, strict=True)
        connection.execute(_RATE, [{"of": name, "after": elo} for name, elo in new])
    connection.execute(
        _RECORD,
        {
            "match_id": match.id,
            "user_a": match.player_a,
            "user_b": match.player_b,
            "winner": winner,
            "outcome": outcome,
            "match_state": match.state,
            "ended_at": at,
            "elo_a_before": before[0] if before else None,
            "elo_b_before": before[1] if before else None,
            "elo_a_after": after[0] if after else None,
            "elo_b_after": after[1] if after else None,
        },
    )
    over = replace(
        match,
        version=match.version + 1,
        ended=True,
        seen=frozenset(match.players).intersection(seen),
    )
    result = Result(match.id, a, b, winner, outcome, match.state, at, before, after)
    return Finished(over, result)


def _ratings(connection: Connection, names: tuple[str, str]) -> tuple[int, int] | None:
    """Both ratings, locked against other processes in an order that cannot deadlock."""
    a, b = names
    found = {row.name: row.elo for row in connection.execute(_BOTH, {"a": a, "b": b})}
    return (found[a], found[b]) if a in found and b in found else None


def mark_seen(connection: Connection, name: str, match_ids: tuple[str, ...]) -> None:
    for ids in _chunks(match_ids):
        these = and_(matches.c.id.in_(ids), matches.c.ended.is_(True))
        for player_column, seen_column in (("user_a", "seen_a"), ("user_b", "seen_b")):
            his = and_(these, matches.c[player_column] == name)
            connection.execute(update(matches).where(his).values({seen_column: True}))
        by_both = and_(these, matches.c.seen_a.is_(True), matches.c.seen_b.is_(True))
        connection.execute(delete(matches).where(by_both))


def remove_match(connection: Connection, match: Match) -> bool:
    it = and_(matches.c.id == match.id, matches.c.version == match.version)
    return connection.execute(delete(matches).where(it)).rowcount > 0


def _remove_matches_of(connection: Connection, name: str) -> tuple[Match, ...]:
    his = or_(matches.c.user_a == name, matches.c.user_b == name)
    gone = tuple(map(_match, connection.execute(select(matches).where(his))))
    if gone:
        connection.execute(delete(matches).where(his))
    return gone


# Ratings and results


def rankings(connection: Connection, asked: Sequence[tuple[str | None, int]]) -> list[Ranking]:
    """Several at once, by name and how many of the best: all look at one list of the best."""
    names = {name for name, _ in asked if name is not None}
    found = {
        row.name: (row.elo, row.rank)
        for chunk in _chunks(names)
        for row in connection.execute(_STANDING, {"names": chunk}).all()
    }
    most = max(top for _, top in asked)
    # At once: one by one costs much more.
    best = [Rating(*row) for row in connection.execute(_TOP, {"top": most}).all()]
    return [
        Ranking(*found.get(name or "", (None, None)), tuple(best[:top])) for name, top in asked
    ]


_BETTER = users.alias("better")
_STANDING = select(
    users.c.name,
    users.c.elo,
    (1 + select(func.count()).where(_BETTER.c.elo > users.c.elo).scalar_subquery()).label("rank"),
).where(users.c.name.in_(bindparam("names", expanding=True)))
_TOP = (
    select(users.c.name, users.c.elo)
    .order_by(users.c.elo.desc(), users.c.name)
    .limit(bindparam("top"))
)


def results_of(connection: Connection, name: str, limit: int) -> tuple[Result, ...]:
    his = or_(results.c.user_a == name, results.c.user_b == name)
    newest = select(results).where(his)
    newest = newest.order_by(results.c.ended_at.desc(), results.c.match_id).limit(limit)
    return tuple(map(_result, connection.execute(newest)))


# For the sweep


def matches_before(connection: Connection, moment: datetime, limit: int) -> tuple[Match, ...]:
    old = select(matches).where(matches.c.last_active < moment)
    old = old.order_by(matches.c.last_active, matches.c.id).limit(limit)
    return tuple(map(_match, connection.execute(old)))


def sessions_before(
    connection: Connection, moment: datetime, registered: bool, limit: int
) -> tuple[Session, ...]:
    owner = sessions.c.registered_user
    kind = owner.is_not(None) if registered else owner.is_(None)
    old = select(sessions).where(sessions.c.last_seen < moment, kind)
    old = old.order_by(sessions.c.last_seen, sessions.c.id).limit(limit)
    return tuple(map(_session, connection.execute(old)))


def accounts_before(connection: Connection, moment: datetime, limit: int) -> tuple[str, ...]:
    old: Select[tuple[str]] = select(users.c.name).where(users.c.last_seen < moment)
    return tuple(connection.scalars(old.order_by(users.c.last_seen, users.c.name).limit(limit)))


# Worlds


def world(connection: Connection, name: str) -> World | None:
    row = connection.execute(select(worlds).where(worlds.c.name == name)).one_or_none()
    return None if row is None else World(row.name, row.description, row.content, row.saved_at)


def save_world(connection: Connection, world: World) -> None:
    columns = {
        "description": world.description,
        "content": world.content,
        "saved_at": world.saved_at,
    }
    it = worlds.c.name == world.name
    if not connection.execute(update(worlds).where(it).values(columns)).rowcount:
        connection.execute(insert(worlds), {"name": world.name} | columns)


def remove_world(connection: Connection, name: str) -> bool:
    return connection.execute(delete(worlds).where(worlds.c.name == name)).rowcount > 0
