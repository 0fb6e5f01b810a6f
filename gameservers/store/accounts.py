"""
The accounts of players, kept per game: the same name in two games is two accounts.

An account may have a password, a cookie, both or neither.  Only hashes are stored: a password is
hashed by L{gameservers.store.passwords}, a cookie with SHA-256.  (A cookie is made by the server
from at least 128 random bits, so it needs no slow hash against guessing.)

The queries are functions of an open connection, so that a game can use them inside its own queries
or by themselves: C{store.ask(accounts.find, name)}.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import astuple, dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Column, Connection
from sqlalchemy.exc import IntegrityError

from gameservers.store.columns import ExactText, Moment, chunks, new_metadata, new_table
from gameservers.store.errors import NameTaken, NotFound
from gameservers.store.schema import Schema

#: Longest name, in characters.
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """
    What is stored instead of a password; L{gameservers.store.passwords} makes and checks it.

    @ivar scheme: how the hash was made.
    @ivar hash: hexadecimal text.
    @ivar salt: text, used as the scheme says.
    @ivar parameters: the scheme's cost parameters, as text.
    """

    scheme: str
    hash: str = field(repr=False)
    salt: str = field(repr=False)
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """
    A name reserved for one person, as long as they log in from time to time.

    @ivar cookie: the cookie's hash (L{hash_of}).
    """

    name: str
    last_seen: datetime
    password: PasswordRecord | None = None
    cookie: str | None = field(default=None, repr=False)


def hash_of(cookie: str) -> str:
    """What is stored instead of a cookie: 64 hexadecimal digits."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def has_cookie(account: Account, cookie: str) -> bool:
    """Whether this is the account's cookie, in constant time."""
    return hmac.compare_digest(account.cookie or "", hash_of(cookie))


_metadata = new_metadata()

accounts = new_table(
    "accounts",
    _metadata,
    Column("game", ExactText(32), primary_key=True),
    Column("name", ExactText(MAX_NAME), primary_key=True),
    Column("last_seen", Moment, nullable=False),
    Column("pw_scheme", ExactText(16)),
    Column("pw_hash", ExactText(128)),
    Column("pw_salt", ExactText(32)),
    Column("pw_parameters", ExactText(64)),
    Column("cookie", ExactText(64)),
    sa.Index("ix_accounts_game_last_seen", "game", "last_seen"),
)

SCHEMA = Schema("server", _metadata, Path(__file__).parent / "revisions")

#: The columns of a password, in the order of L{PasswordRecord}.
_PASSWORD = ("pw_scheme", "pw_hash", "pw_salt", "pw_parameters")

_TOUCH = sa.update(accounts).where(
    accounts.c.game == sa.bindparam("of_game"),
    accounts.c.name.in_(sa.bindparam("names", expanding=True)),
)


def _columns(password: PasswordRecord | None) -> dict[str, str | None]:
    values = (None,) * 4 if password is None else astuple(password)
    return dict(zip(_PASSWORD, values, strict=True))


class Accounts:
    """The accounts of one game."""

    def __init__(self, game: str) -> None:
        self._game = game

    def _named(self, name: str) -> sa.ColumnElement[bool]:
        return sa.and_(accounts.c.game == self._game, accounts.c.name == name)

    def find(self, db: Connection, name: str) -> Account | None:
        """Find the account of this name."""
        row = db.execute(sa.select(accounts).where(self._named(name))).one_or_none()
        if row is None:
            return None
        password = None if row.pw_scheme is None else PasswordRecord(*row[3:7])
        return Account(row.name, row.last_seen, password, row.cookie)

    def create(self, db: Connection, account: Account) -> None:
        """Create an account; raises L{NameTaken}."""
        row = {
            "game": self._game,
            "name": account.name,
            "last_seen": account.last_seen,
            "cookie": account.cookie,
        }
        try:
            db.execute(sa.insert(accounts), row | _columns(account.password))
        except IntegrityError as problem:
            raise NameTaken(account.name) from problem

    def change_password(self, db: Connection, name: str, password: PasswordRecord | None) -> None:
        """Replace the password; raises L{NotFound}."""
        self._change(db, name, _columns(password))

    def change_cookie(self, db: Connection, name: str, cookie: str | None) -> None:
        """Replace the cookie's hash; raises L{NotFound}."""
        self._change(db, name, {"cookie": cookie})

    def _change(self, db: Connection, name: str, columns: dict[str, str | None]) -> None:
        done = db.execute(sa.update(accounts).where(self._named(name)).values(columns))
        if not done.rowcount:
            raise NotFound(name)

    def touch(self, db: Connection, names: Collection[str], at: datetime) -> int:
        """Record when these accounts were seen, and return how many of them exist."""
        row = {"of_game": self._game, "last_seen": at}
        return sum(db.execute(_TOUCH, row | {"names": chunk}).rowcount for chunk in chunks(names))

    def remove(self, db: Connection, name: str, unseen_since: datetime | None = None) -> bool:
        """
        Remove an account; returns L{False} if there is none.

        @param unseen_since: only if it was last seen before this moment.
        """
        chosen = self._named(name)
        if unseen_since is not None:
            chosen = sa.and_(chosen, accounts.c.last_seen < unseen_since)
        return db.execute(sa.delete(accounts).where(chosen)).rowcount > 0

    def seen_before(self, db: Connection, moment: datetime, limit: int = 100) -> tuple[str, ...]:
        """The names of accounts that were last seen before a moment, the oldest first."""
        old = sa.select(accounts.c.name).where(
            accounts.c.game == self._game, accounts.c.last_seen < moment
        )
        old = old.order_by(accounts.c.last_seen, accounts.c.name).limit(limit)
        return tuple(db.scalars(old))
