"""
The store as a service, and what an owner of tables builds its queries on.

A query is a function of an open connection.  L{Store.ask} has it carried out by the reader,
L{Store.change} by the one writer, each in a thread with a connection of its own; a database in
memory answers at once, in the caller's thread.

What holds for every call:

  - It returns a Deferred and never blocks.  It fires on the reactor's thread, and a change has
    been committed durably before it fires.
  - A call is one transaction: it is done whole or not at all.  It may be carried out again if the
    transaction has to be repeated, so a query changes nothing but the database.
  - Changes are carried out one after the other in the order of the calls.  A question sees every
    change that has been acknowledged; one that is still under way it may or may not see.
  - L{gameservers.store.errors} says how it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.store.accounts import SCHEMA as HOUSE
from gameservers.store.backends import PATIENCE, Backend, create_file, find_backend, unusable
from gameservers.store.errors import BadDatabase, StoreError, Unavailable
from gameservers.store.migrations import Upgrade, migrate
from gameservers.store.schema import Schema
from gameservers.store.settings import StoreSettings
from gameservers.store.worker import Batched, Inline, IReactor, Work, Worker, is_locked

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R", bound="Records")
T = TypeVar("T")

_log = Logger()


class Executor(Protocol):
    """Where calls are carried out."""

    def submit(self, work: Work[T]) -> Deferred[T]: ...


class Closed:
    """Before the start and after the end."""

    def submit(self, work: Work[T]) -> Deferred[T]:
        return fail(Unavailable("the store is not open"))


class Store(Service):
    """
    The store on one database.

    A database in memory is there from the beginning; any other is opened when the service
    starts, and takes calls from then until it stops.
    """

    def __init__(
        self, settings: StoreSettings, reactor: IReactor, schemas: Sequence[Schema] = ()
    ) -> None:
        """@param schemas: of those who have tables, besides the house."""
        self._settings = settings
        self._schemas = schemas
        self._reactor = reactor
        self._backend = find_backend(settings)
        self._workers: list[Worker] = []
        self._reader: Executor = Closed()
        self._writer: Executor = Closed()
        self._opened = False
        self._problem: StoreError | None = None
        self._waiting: list[Deferred[None]] = []
        if self._backend.inline:
            engine = self._backend.engine(timeout=settings.database_timeout)
            for schema in (HOUSE, *schemas):
                schema.metadata.create_all(engine)
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
        """
        Fires when the database is there and its tables are up to date.

        It fails with L{BadDatabase} if that can never be, as does then every call, and with
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
        """Have a query carried out that only reads; what it gives."""
        return self._reader.submit(lambda connection: query(connection, *args, **named))

    def change(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> Deferred[T]:
        """Have a query carried out that may write; what it gives."""
        return self._writer.submit(lambda connection: query(connection, *args, **named))

    def ask_batched(
        self, query: Callable[[Connection, Sequence[A]], list[T]], argument: A
    ) -> Deferred[T]:
        """
        As L{ask}, for a query that costs less when several calls of it are carried out together.

        @param query: takes the arguments of any number of calls, and gives their results in the
            same order.
        """
        return self._reader.submit(Batched(query, argument))

    def change_batched(
        self, query: Callable[[Connection, Sequence[A]], list[T]], argument: A
    ) -> Deferred[T]:
        """
        As L{change}, for a query that costs less when several calls are carried out together.

        @param query: as in L{ask_batched}; it raises if one of the calls cannot be done.
        """
        return self._writer.submit(Batched(query, argument))

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

    def _prepare(self) -> None:
        try:
            _upgrade(self._backend, self._settings, self._schemas)
        except DBAPIError as problem:
            # A server may come back; a file that cannot be opened stays so.
            if self._backend.is_sqlite and not is_locked(problem):
                raise unusable(self._backend, problem) from problem
            raise


class Records:
    """
    The queries of one owner: methods with one of the decorators below.

    A decorated method is the one place of its query.  It is written for an open connection, and
    called without it, from the reactor's thread.
    """

    def __init__(self, store: Store) -> None:
        self.store = store


def question(
    query: Callable[Concatenate[R, Connection, P], T],
) -> Callable[Concatenate[R, P], Deferred[T]]:
    """A method that reads."""

    @wraps(query)
    def ask(self: R, /, *arguments: P.args, **named: P.kwargs) -> Deferred[T]:
        return self.store.ask(lambda connection: query(self, connection, *arguments, **named))

    return ask


def change(
    query: Callable[Concatenate[R, Connection, P], T],
) -> Callable[Concatenate[R, P], Deferred[T]]:
    """A method that writes."""

    @wraps(query)
    def make(self: R, /, *arguments: P.args, **named: P.kwargs) -> Deferred[T]:
        return self.store.change(lambda connection: query(self, connection, *arguments, **named))

    return make


def migrate_database(settings: StoreSettings, schemas: Iterable[Schema]) -> list[Upgrade]:
    """
    Bring the tables of the house and of these owners up to date, blocking.

    @return: what was done, owner by owner.  L{BadDatabase} with a sentence otherwise.
    """
    backend = find_backend(settings)
    try:
        return _upgrade(backend, settings, schemas)
    except SQLAlchemyError as problem:
        raise unusable(backend, problem) from problem


def _upgrade(
    backend: Backend, settings: StoreSettings, schemas: Iterable[Schema]
) -> list[Upgrade]:
    create_file(backend)
    engine = backend.engine(timeout=settings.database_timeout, patience=PATIENCE)
    try:
        return migrate(engine, [HOUSE, *schemas])
    finally:
        engine.dispose()
