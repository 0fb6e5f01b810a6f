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
from twisted.python.failure import Failure

from gameservers.store.accounts import SCHEMA as SERVER
from gameservers.store.backends import PATIENCE, Backend, create_file, find_backend, unusable
from gameservers.store.errors import BadDatabase, StoreError, Unavailable
from gameservers.store.migrations import migrate
from gameservers.store.schema import Schema
from gameservers.store.settings import StoreSettings
from gameservers.store.worker import Inline, IReactor, Work, Worker, is_locked

P = ParamSpec("P")
R = TypeVar("R", bound="Records")
T = TypeVar("T")

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
        writer = self._worker("database writer", writes=True, prepare=self._prepare)
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

        def broken(failure: Failure) -> None:
            self._problem = problem = BadDatabase(failure.getErrorMessage())
            _log.critical("{problem}", problem=problem)
            reader.refuse(problem)
            self._tell()

        writer.start().addCallbacks(opened, broken)

    def stopService(self) -> Deferred[None]:
        """Run the calls that wait, then close, in bounded time."""
        Service.stopService(self)
        workers, self._workers = self._workers, []
        if workers:
            self.reader = self.writer = Closed()
            self._problem = Unavailable("the store is stopped")
            self._tell()
        return gatherResults([worker.stop() for worker in workers]).addCallback(lambda _: None)

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

    def _worker(
        self, name: str, *, writes: bool, prepare: Callable[[], None] | None = None
    ) -> Worker:
        settings = self._settings
        engine = self._backend.engine(timeout=settings.database_timeout, writes=writes)
        return Worker(name, engine, self._reactor, settings, prepare=prepare, writes=writes)

    def _prepare(self) -> None:
        try:
            _upgrade(self._backend, self._settings, self._schemas)
        except DBAPIError as problem:
            # A database server may recover; a file that cannot be opened will not.
            if self._backend.is_sqlite and not is_locked(problem):
                raise unusable(self._backend, problem) from problem
            raise


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
        return _upgrade(backend, settings, schemas)
    except SQLAlchemyError as problem:
        raise unusable(backend, problem) from problem


def _upgrade(backend: Backend, settings: StoreSettings, schemas: Iterable[Schema]) -> list[str]:
    create_file(backend)
    engine = backend.engine(timeout=settings.database_timeout, patience=PATIENCE)
    try:
        return migrate(engine, [SERVER, *schemas])
    finally:
        engine.dispose()
