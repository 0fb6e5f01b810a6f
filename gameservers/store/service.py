"""
The store as a service: each call becomes a function of L{gameservers.store.work} for a worker.

Changes go to one writer, questions to one reader with a connection of its own; a database in
memory answers at once, in the caller's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.store import work
from gameservers.store.backends import Backend, create_file, find_backend
from gameservers.store.interface import (
    Account,
    BadDatabase,
    Finished,
    Match,
    PasswordRecord,
    Player,
    Ranking,
    Rate,
    Rating,
    Removal,
    Result,
    Session,
    Store,
    StoreError,
    Unavailable,
    World,
)
from gameservers.store.migrations import migrate
from gameservers.store.moves import save_moves
from gameservers.store.settings import StoreSettings
from gameservers.store.worker import Alike, Inline, IReactor, Work, Worker, is_locked

T = TypeVar("T")

_log = Logger()


class Lane(Protocol):
    """Where calls are carried out."""

    def submit(self, work: Work[T]) -> Deferred[T]: ...


class Closed:
    """Before the start and after the end."""

    def submit(self, work: Work[T]) -> Deferred[T]:
        return fail(Unavailable("the store is not open"))


class SqlStore(Service, Store):
    """
    The store on an SQL database.

    A database in memory is there from the beginning; any other is opened when the service
    starts, and takes calls from then until it stops.
    """

    def __init__(self, settings: StoreSettings, reactor: IReactor) -> None:
        self._settings = settings
        self._reactor = reactor
        self._backend = find_backend(settings)
        self._workers: list[Worker] = []
        self._reader: Lane = Closed()
        self._writer: Lane = Closed()
        self._opened = False
        self._problem: StoreError | None = None
        self._waiting: list[Deferred[None]] = []
        if self._backend.inline:
            engine = self._backend.engine(timeout=settings.database_timeout)
            migrate(engine)
            self._reader = self._writer = Inline(engine)
            self._opened = True

    # Life

    def startService(self) -> None:
        Service.startService(self)
        if self._backend.inline:
            return
        self._opened, self._problem = False, None
        writer = self._worker("database writer", writes=True, prepare=self._prepare)
        reader = self._worker("database reader", writes=False)
        self._writer, self._reader = writer, reader
        self._workers = [writer, reader]

        def opened(_: None) -> None:
            if self._writer is not writer:  # stopped meanwhile
                return
            _log.info("opened the database {database}", database=self._backend.title)
            reader.start()
            self._opened = True
            self._tell()

        def broken(failure: Failure) -> None:
            self._problem = problem = BadDatabase(failure.getErrorMessage())
            _log.critical("{problem}", problem=problem)
            reader.refuse(problem)
            self._tell()

        writer.start().addCallbacks(opened, broken)

    def stopService(self) -> Deferred[None]:
        """Let the calls that wait be carried out, and end, in bounded time."""
        Service.stopService(self)
        workers, self._workers = self._workers, []
        if workers:
            self._reader = self._writer = Closed()
            self._problem = Unavailable("the store is stopped")
            self._tell()
        return gatherResults([worker.stop() for worker in workers]).addCallback(lambda _: None)

    def ready(self) -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        self._tell()
        return deferred

    def _tell(self) -> None:
        if not self._opened and self._problem is None:
            return
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if self._problem is not None:
                deferred.errback(copy(self._problem))
            else:
                deferred.callback(None)

    def _worker(
        self, name: str, *, writes: bool, prepare: Callable[[Engine], None] | None = None
    ) -> Worker:
        settings = self._settings
        return Worker(
            name,
            self._backend.engine(timeout=settings.database_timeout, writes=writes),
            self._reactor,
            prepare=prepare,
            limit=settings.database_queue,
            batch=settings.database_batch,
            timeout=settings.database_timeout,
            longest_pause=settings.database_backoff,
            writes=writes,
        )

    def _prepare(self, engine: Engine) -> None:
        try:
            _bring_up_to_date(self._backend, engine, self._settings)
        except DBAPIError as problem:
            # A server may come back; a file that cannot be opened stays so.
            if self._backend.is_sqlite and not is_locked(problem):
                raise _unusable(self._backend, problem) from problem
            raise

    def _ask(self, work: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return self._reader.submit(lambda connection: work(connection, *arguments))

    def _change(self, work: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return self._writer.submit(lambda connection: work(connection, *arguments))

    # Accounts

    def account(self, name: str) -> Deferred[Account | None]:
        return self._ask(work.account, name)

    def player(self, name: str) -> Deferred[Player | None]:
        return self._ask(work.player, name)

    def create_account(self, account: Account) -> Deferred[Account]:
        return self._change(work.create_account, account)

    def change_password(self, name: str, password: PasswordRecord) -> Deferred[None]:
        return self._change(work.change_password, name, password)

    def remove_account(
        self, name: str, unseen_since: datetime | None = None
    ) -> Deferred[Removal | None]:
        return self._change(work.remove_account, name, unseen_since)

    # Sessions

    def session(self, session_id: str) -> Deferred[Session | None]:
        return self._ask(work.session, session_id)

    def open_session(self, session_id: str, name: str, at: datetime) -> Deferred[tuple[str, ...]]:
        return self._change(work.open_session, session_id, name, at)

    def open_temporary_session(self, session_id: str, name: str, at: datetime) -> Deferred[None]:
        return self._change(work.open_temporary_session, session_id, name, at)

    def touch(self, session_ids: Iterable[str], at: datetime) -> Deferred[None]:
        return self._change(work.touch, tuple(session_ids), at)

    def remove_session(
        self, session_id: str, unseen_since: datetime | None = None
    ) -> Deferred[Removal | None]:
        return self._change(work.remove_session, session_id, unseen_since)

    # Friends

    def friends(self, name: str) -> Deferred[tuple[Rating, ...]]:
        return self._ask(work.friends_of, name)

    def befriend(self, name: str, friend: str) -> Deferred[bool]:
        return self._change(work.befriend, name, friend)

    def unfriend(self, name: str, friend: str) -> Deferred[bool]:
        return self._change(work.unfriend, name, friend)

    # Matches

    def match(self, match_id: str) -> Deferred[Match | None]:
        return self._ask(work.match, match_id)

    def matches_of(self, name: str) -> Deferred[tuple[Match, ...]]:
        return self._ask(work.matches_of, name)

    def open_match(self, match: Match, limit: int) -> Deferred[Match]:
        return self._change(work.open_match, match, limit)

    def save_move(self, match: Match) -> Deferred[Match]:
        return self._writer.submit(Alike(save_moves, match))

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
        return self._change(work.finish_match, match, outcome, winner, at, rate, tuple(seen))

    def mark_seen(self, name: str, match_ids: Iterable[str]) -> Deferred[None]:
        return self._change(work.mark_seen, name, tuple(match_ids))

    def remove_match(self, match: Match) -> Deferred[bool]:
        return self._change(work.remove_match, match)

    # Ratings and results

    def ranking(self, name: str | None, top: int = 100) -> Deferred[Ranking]:
        return self._reader.submit(Alike(work.rankings, (name, top)))

    def results(self, name: str, limit: int = 100) -> Deferred[tuple[Result, ...]]:
        return self._ask(work.results_of, name, limit)

    # For the sweep

    def matches_before(self, moment: datetime, limit: int = 100) -> Deferred[tuple[Match, ...]]:
        return self._ask(work.matches_before, moment, limit)

    def sessions_before(
        self, moment: datetime, registered: bool, limit: int = 100
    ) -> Deferred[tuple[Session, ...]]:
        return self._ask(work.sessions_before, moment, registered, limit)

    def accounts_before(self, moment: datetime, limit: int = 100) -> Deferred[tuple[str, ...]]:
        return self._ask(work.accounts_before, moment, limit)

    # Worlds

    def world(self, name: str) -> Deferred[World | None]:
        return self._ask(work.world, name)

    def save_world(self, world: World) -> Deferred[None]:
        if len(world.content) > self._settings.database_world:
            return fail(ValueError(f"a world of {len(world.content)} bytes is too large"))
        return self._change(work.save_world, world)

    def remove_world(self, name: str) -> Deferred[bool]:
        return self._change(work.remove_world, name)


def migrate_database(settings: StoreSettings) -> tuple[int, int]:
    """
    Bring the database up to date, blocking: for a command line.

    @return: the version found and the version now.  L{BadDatabase} with a sentence otherwise.
    """
    backend = find_backend(settings)
    engine = backend.engine(timeout=settings.database_timeout)
    try:
        return _bring_up_to_date(backend, engine, settings)
    except SQLAlchemyError as problem:
        raise _unusable(backend, problem) from problem
    finally:
        engine.dispose()


def _bring_up_to_date(
    backend: Backend, engine: Engine, settings: StoreSettings
) -> tuple[int, int]:
    create_file(backend)
    return migrate(engine, settings.zone)


def _unusable(backend: Backend, problem: SQLAlchemyError) -> BadDatabase:
    cause = problem.orig if isinstance(problem, DBAPIError) else problem
    words = " ".join(str(cause).split())  # drivers write several lines
    return BadDatabase(f"{backend.title} cannot be used: {words}")
