"""
The store as a service, and the base class for the queries of each owner of tables.

A query is a function of an open connection.  L{Store.ask} runs it in the reader's thread,
L{Store.change} in the writer's, each with its own connection; with a database in memory it runs at
once, in the caller's thread.

Every call has these properties:

  - It returns a Deferred and never blocks.  It fires on the reactor's thread, and a change has
    been committed durably before it fires.
  - A call is atomic.  It may be run again if the transaction has to be repeated, so a query must
    have no effect outside the database.
  - Changes are run one after the other in the order of the calls.  A question sees every change
    that has been acknowledged; a change in progress it may or may not see.
  - L{gameservers.store.errors} has its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger

from gameservers.store.accounts import SCHEMA as SERVER
from gameservers.store.backends import HEARTBEAT, PATIENCE, Backend, find_backend, unusable
from gameservers.store.errors import BadDatabase, StoreError, Unavailable
from gameservers.store.exclusive import DatabaseLock, locked
from gameservers.store.migrations import migrate
from gameservers.store.schema import Schema
from gameservers.store.settings import StoreSettings
from gameservers.store.worker import Inline, IReactor, Work, Worker

P = ParamSpec("P")
R = TypeVar("R", bound="Records")
T = TypeVar("T")

#: How long migrations wait for the lock, in seconds: others may be running them.
MIGRATION_WAIT = 20.0

_log = Logger()


class Closed:
    """The executor before the start and after the stop: every call fails."""

    def submit(self, work: Work[T]) -> Deferred[T]:
        return fail(Unavailable("the store is not open"))


#: Runs calls: in a worker thread or in the calling thread; or rejects them.
Executor = Worker | Inline | Closed


class Store(Service):
    """
    The store on one database.

    A database in memory is open from the beginning; any other is opened when the service starts,
    and takes calls until it stops.

    @ivar reader: runs what only reads; L{ask} is the usual way to it.  It takes also a
        L{gameservers.store.worker.Batched}, whose calls are combined.
    @ivar writer: the same for what may write, and for L{change}.
    """

    def __init__(
        self, settings: StoreSettings, reactor: IReactor, schemas: Sequence[Schema] = ()
    ) -> None:
        """Choose the database; C{schemas} are those of the games."""
        self._settings = settings
        self._schemas = schemas
        self._reactor = reactor
        self._backend = find_backend(settings)
        self._workers: list[Worker] = []
        self.reader: Executor = Closed()
        self.writer: Executor = Closed()
        self._opened = False
        self._problem: StoreError | None = None
        self._waiting: list[Deferred[None]] = []
        self._when_broken: list[Deferred[BadDatabase]] = []
        self._lock: DatabaseLock | None = None
        if self._backend.inline:
            engine = self._backend.engine(timeout=settings.database_timeout)
            for schema in (SERVER, *schemas):
                schema.metadata.create_all(engine)
            self.reader = self.writer = Inline(engine)
            self._opened = True

    # Life

    def startService(self) -> None:
        Service.startService(self)
        if self._backend.inline:
            return
        self._opened, self._problem = False, None
        writer = self._worker("database writer", writes=True)
        reader = self._worker("database reader", writes=False)
        self.writer, self.reader = writer, reader
        self._workers = [writer, reader]

        def opened(_: None) -> None:
            if self.writer is not writer:  # was stopped meanwhile
                return
            _log.info("opened the database {database}", database=self._backend.title)
            reader.start()
            self._opened = True
            self._tell()

        # What breaks it is reported to _is_broken.
        writer.start().addCallbacks(opened, lambda failure: failure.trap(BadDatabase))

    def stopService(self) -> Deferred[None]:
        """Run the calls that wait, then close, in bounded time."""
        Service.stopService(self)
        workers, self._workers = self._workers, []
        if workers:
            self.reader = self.writer = Closed()
            self._problem = Unavailable("the store is stopped")
            self._tell()
        return gatherResults([worker.stop() for worker in workers]).addCallback(self._release)

    def ready(self) -> Deferred[None]:
        """
        Fires when the database is open and its tables are up to date.

        It fails with L{BadDatabase} if the database is unusable, as does then every call, and with
        L{Unavailable} if the store is stopped before.
        """
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        self._tell()
        return deferred

    def broken(self) -> Deferred[BadDatabase]:
        """
        Fires with the reason when the database turns out to be unusable, so that every call fails:
        at the start, or when another server has taken it while it could not be reached.
        """
        deferred: Deferred[BadDatabase] = Deferred()
        self._when_broken.append(deferred)
        return deferred

    # Calls

    def ask(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> Deferred[T]:
        """Run a query that only reads, and return its result."""
        return self.reader.submit(lambda connection: query(connection, *args, **named))

    def change(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> Deferred[T]:
        """Run a query that may write, and return its result."""
        return self.writer.submit(lambda connection: query(connection, *args, **named))

    # Inside

    def _tell(self) -> None:
        if not self._opened and self._problem is None:
            return
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if self._problem is not None:
                deferred.errback(copy(self._problem))
            else:
                deferred.callback(None)

    def _release(self, _: object = None) -> None:
        if self._lock is not None:
            self._lock.release()

    def _worker(self, name: str, *, writes: bool) -> Worker:
        settings = self._settings
        settings, backend = self._settings, self._backend
        engine = backend.engine(timeout=settings.database_timeout, writes=writes)
        if not writes:
            return Worker(name, engine, self._reactor, settings, writes=False)
        self._lock = DatabaseLock(backend, engine)
        return Worker(
            name,
            self._lock,
            self._reactor,
            settings,
            writes=True,
            prepare=self._prepare,
            judge=self._judge,
            broken=self._is_broken,
            heartbeat=None if backend.is_sqlite else HEARTBEAT,
        )

    def _prepare(self) -> None:
        # On SQLite, what is locked is tried again, like all else.
        patience = None if self._backend.is_sqlite else PATIENCE
        _upgrade(self._backend, self._settings, self._schemas, patience)

    def _judge(self, problem: DBAPIError) -> BadDatabase | None:
        return None if self._backend.is_away(problem) else unusable(self._backend, problem)

    def _is_broken(self, problem: BadDatabase) -> None:
        if not self.running:
            return
        _log.critical("{problem}", problem=problem)
        self._problem = problem
        self._release()
        for worker in self._workers:
            worker.refuse(problem)
        self._tell()
        broken, self._when_broken = self._when_broken, []
        for deferred in broken:
            deferred.callback(problem)


class Records:
    """
    The queries of one owner: methods with one of the decorators below.

    A decorated method is written with an open connection as its first argument, and called without
    it, from the reactor's thread.
    """

    def __init__(self, store: Store) -> None:
        self.store = store


def question(
    query: Callable[Concatenate[R, Connection, P], T],
) -> Callable[Concatenate[R, P], Deferred[T]]:
    """Decorate a method that only reads."""

    @wraps(query)
    def ask(self: R, /, *arguments: P.args, **named: P.kwargs) -> Deferred[T]:
        return self.store.ask(lambda connection: query(self, connection, *arguments, **named))

    return ask


def change(
    query: Callable[Concatenate[R, Connection, P], T],
) -> Callable[Concatenate[R, P], Deferred[T]]:
    """Decorate a method that may write."""

    @wraps(query)
    def make(self: R, /, *arguments: P.args, **named: P.kwargs) -> Deferred[T]:
        return self.store.change(lambda connection: query(self, connection, *arguments, **named))

    return make


def migrate_database(settings: StoreSettings, schemas: Iterable[Schema]) -> list[str]:
    """
    Bring the tables of the server and of these owners up to date, blocking.

    @return: what was done, for each owner.
    @raise BadDatabase: with a sentence for the operator.
    """
    backend = find_backend(settings)
    try:
        with locked(settings, wait=MIGRATION_WAIT):
            return _upgrade(backend, settings, schemas, PATIENCE)
    except SQLAlchemyError as problem:
        raise unusable(backend, problem) from problem


def _upgrade(
    backend: Backend,
    settings: StoreSettings,
    schemas: Iterable[Schema],
    patience: float | None,
) -> list[str]:
    engine = backend.engine(timeout=settings.database_timeout, patience=patience)
    try:
        return migrate(engine, [SERVER, *schemas])
    finally:
        engine.dispose()
