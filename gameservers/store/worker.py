"""
One thread with one connection and a bounded queue: blocking work off the reactor's thread.

Group commit: all calls in the queue when a transaction has begun are run in it, one after the
other; consecutive calls of one kind (L{Batched}) are combined.  The thread is notified once per
reactor turn, so that it finds all calls of that turn.  If one of them fails, the transaction is
rolled back and repeated with a savepoint for each call, so that the others are not undone with it;
savepoints cost more than calls, and most calls do not fail.  The results are delivered after the
commit, all at once.

A transient error (a lock held by another process, an unreachable server, a full disk) does not
fail the calls.  The transaction is rolled back, its calls go back to the head of the queue and are
tried again, after a growing pause, until their time is up::

    waits ----> in progress --> committed, or an error of the call: answered
      | ^            | transient error before COMMIT was sent: waits again
      | +------------+ transient error at COMMIT: Uncertain
      |              | its time is up: Uncertain, if it changes something
      + its time is up: Unavailable

While another process holds SQLite's lock, calls still wait: they are taken from the queue only
when the transaction has begun.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.store.backends import is_locked
from gameservers.store.errors import BadDatabase, Overloaded, StoreError, Unavailable, Uncertain
from gameservers.store.settings import StoreSettings

A = TypeVar("A")
T = TypeVar("T")

#: The function of a call, run in the database's thread.
Work = Callable[[Connection], T]

#: The pause after the first transient error, in seconds; it doubles with each further one.
FIRST_PAUSE = 0.05

#: How long a stop may take, in seconds.
LONGEST_STOP = 3.0

#: How long to be silent between two messages that the database is unreachable, in seconds.
REMINDER = 60.0

#: How many transactions one call may break before it fails.
MAX_SPOILT = 3

_log = Logger()


@dataclass(frozen=True, slots=True)
class Batched(Generic[A, T]):
    """
    A call that is cheaper when several of its kind are combined.

    @ivar query: runs any number of them, in order; the results are in that order. It raises if one
        of them fails.
    """

    query: Callable[[Connection, Sequence[A]], list[T]]
    argument: A

    def __call__(self, connection: Connection) -> T:
        (result,) = self.query(connection, (self.argument,))
        return result


class IReactor(IReactorTime, IReactorFromThreads):
    """The parts of a reactor that a worker uses."""


class Connector(Protocol):
    """What opens connections: an L{Engine}, or L{gameservers.store.exclusive.DatabaseLock}."""

    def connect(self) -> Connection:
        """Open a connection; blocks.  A L{BadDatabase} is final."""


@dataclass(eq=False, slots=True)
class Call:
    """
    A call that waits or is in progress.

    @ivar due: when its time is up, in seconds of the reactor's clock.
    @ivar abandoned: its time was up.
    @ivar spoilt: the number of transactions that failed because of it.
    """

    work: Work[Any]
    deferred: Deferred[Any]
    due: float
    abandoned: bool = False
    spoilt: int = 0

    @property
    def kind(self) -> Hashable:
        """
        The key of calls that may be combined.

        A call that broke a transaction is run alone, to find out if it was the cause.
        """
        return self.work.query if isinstance(self.work, Batched) and not self.spoilt else self


def is_transient(problem: Exception) -> TypeGuard[DBAPIError]:
    """Whether an error is the database's and not the call's, so that a retry may help."""
    return isinstance(problem, (OperationalError, InternalError, InterfaceError))


def answer(problem: Exception) -> Exception:
    """Convert an error for the caller: L{ValueError} for a value that no column can hold."""
    cause = problem.orig if isinstance(problem, StatementError) else problem
    if isinstance(problem, DataError) or isinstance(cause, (ValueError, OverflowError)):
        return ValueError(str(cause))
    return problem


class Inline:
    """Runs calls at once, in the calling thread: for a database in memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, work: Work[T]) -> Deferred[T]:
        try:
            with self._engine.begin() as connection:
                return succeed(work(connection))
        except Exception as problem:
            return fail(answer(problem))


class Worker:
    """
    A queue of calls and the thread that runs them.

    All methods are called in the reactor's thread.  Calls are accepted from the beginning and wait
    until L{start}.

    @param connector: opens the connection; its L{BadDatabase} is final: every call fails with it.
    @param prepare: called in the thread when there is a connection, before the first call; it is
        tried again after a transient error.  Its L{BadDatabase} is final, too.
    @param writes: whether calls may write.
    @param judge: called in the thread with an error of the database before C{prepare} is done; it
        returns the final error, or L{None} if another attempt may succeed.
    @param broken: called with the final error, in the reactor's thread.
    @param heartbeat: how often to make sure that an idle connection is still there, in seconds;
        L{None} for never.
    """

    def __init__(
        self,
        name: str,
        connector: Connector,
        reactor: IReactor,
        settings: StoreSettings,
        *,
        prepare: Callable[[], object] | None = None,
        writes: bool,
        judge: Callable[[DBAPIError], BadDatabase | None] = lambda problem: None,
        broken: Callable[[BadDatabase], object] = lambda problem: None,
        heartbeat: float | None = None,
    ) -> None:
        self._name = name
        self._connector = connector
        self._reactor = reactor
        self._prepare = prepare
        self._judge = judge
        self._broken = broken
        self._heartbeat = heartbeat
        self._limit = settings.database_queue
        self._batch = settings.database_batch
        self._timeout = settings.database_timeout
        longest = settings.database_backoff
        self._backoff = backoffPolicy(FIRST_PAUSE, longest, 2.0, jitter=lambda: 0.0)
        self._writes = writes

        # Shared by both threads, under the condition's lock.
        self._changed = threading.Condition()
        self._queue: deque[Call] = deque()
        self._stopping = False

        # The reactor's thread alone.  The order of the calls is that of their due times.
        self._pending: dict[Call, None] = {}
        self._fresh: list[Call] = []  # of this reactor turn
        self._handing: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._thread: threading.Thread | None = None
        self._refusal: StoreError | None = None
        self._prepared: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()

        # The worker's thread alone.
        self._connection: Connection | None = None
        self._failures = 0  # in a row
        self._reminder = 0.0  # when to log them again, in seconds of the reactor's clock

    # The reactor's thread

    def submit(self, work: Work[T]) -> Deferred[T]:
        """Queue a call; L{gameservers.store.errors} has its errors."""
        if self._refusal is not None:
            return fail(copy(self._refusal))
        if len(self._pending) >= self._limit:
            return fail(Overloaded(f"{self._limit} calls wait for the database already"))
        deferred: Deferred[T] = Deferred()
        call = Call(work, deferred, self._reactor.seconds() + self._timeout)
        self._pending[call] = None
        self._set_timer()
        self._fresh.append(call)
        if self._handing is None:
            self._handing = self._reactor.callLater(0, self._hand_over)
        return deferred

    def _hand_over(self) -> None:
        self._handing = None
        with self._changed:
            self._queue.extend(self._fresh)
            self._changed.notify()
        self._fresh.clear()

    def start(self) -> Deferred[None]:
        """
        Start the thread.

        @return: fires when C{prepare} is done, or fails with its L{BadDatabase}.
        """
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        return self._prepared

    def stop(self) -> Deferred[None]:
        """Reject new calls, run those that wait, and end the thread, in bounded time."""
        if self._refusal is None:
            self._refusal = Unavailable("the store is stopped")
        if self._handing is not None:
            self._handing.cancel()
            self._hand_over()
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is None:
            self._end()
        else:
            # By then only a call in progress can block the thread, or a database that is away.
            late = self._reactor.callLater(min(self._timeout + 1, LONGEST_STOP), self._cut_short)
            self._ended.addCallback(lambda _: late.cancel() if late.active() else None)
        return self._ended

    def refuse(self, problem: StoreError) -> None:
        """Fail the waiting calls and all later ones."""
        if self._refusal is None:
            self._refusal = problem
        self._fresh.clear()
        with self._changed:
            self._queue.clear()
            self._changed.notify()
        self._deliver([(call, Failure(copy(self._refusal))) for call in self._pending])

    def _set_timer(self) -> None:
        if self._timer is None and self._pending:
            due = next(iter(self._pending)).due
            self._timer = self._reactor.callLater(
                max(0.0, due - self._reactor.seconds()), self._expire
            )

    def _expire(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        late: list[tuple[Call, Failure]] = []
        with self._changed:
            for call in self._pending:
                if call.due > now:
                    break
                call.abandoned = True
                # Both have the same order, so it waits at the head or is in progress.
                waiting = bool(self._queue) and self._queue[0] is call
                if waiting:
                    self._queue.popleft()
                kind = Uncertain if self._writes and not waiting else Unavailable
                problem = kind(f"no answer from the database in {self._timeout:g} seconds")
                late.append((call, Failure(problem)))
            self._changed.notify()
        self._deliver(late)
        self._set_timer()

    def _deliver(self, outcomes: list[tuple[Call, Any]]) -> None:
        for call, outcome in outcomes:
            if call in self._pending:
                del self._pending[call]
                call.deferred.callback(outcome)

    def _break(self, problem: BadDatabase) -> None:
        self.refuse(problem)
        if not self._prepared.called:
            self._prepared.errback(problem)
        self._broken(problem)

    def _cut_short(self) -> None:
        """End although the thread does not: the time of all calls is up."""
        if self._timer is not None:
            self._timer.cancel()
        for call in self._pending:
            call.due = 0.0
        self._expire()
        self._end()

    def _end(self) -> None:
        if not self._ended.called:
            self.refuse(Unavailable("the store is stopped"))
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._ended.callback(None)

    # The worker's thread

    def _run(self) -> None:
        broken = None
        try:
            while self._wait():
                try:
                    connection = self._connect()
                    self._prepare_once()
                    self._transact(connection)
                except BadDatabase:
                    raise
                except Exception as problem:
                    if self._prepare is not None:
                        self._give_up(problem)
                    self._back_off(problem)
                else:
                    self._clear_up()
        except BadDatabase as problem:
            broken = problem
        except Exception as problem:
            _log.failure("{worker} has failed", worker=self._name)
            cause = problem.orig if isinstance(problem, DBAPIError) else problem
            broken = BadDatabase(f"the database cannot be used: {cause}")
        self._disconnect()
        if broken is not None:
            self._reactor.callFromThread(self._break, broken)
        self._reactor.callFromThread(self._end)

    def _wait(self) -> bool:
        """Wait for something to do; returns L{False} when there will be nothing more."""
        pause = 0.0 if self._failures and self._heartbeat is not None else self._heartbeat
        with self._changed:
            self._changed.wait_for(lambda: self._prepare or self._queue or self._stopping, pause)
            return bool(self._queue) or not self._stopping

    def _give_up(self, problem: Exception) -> None:
        """Raise the final error, unless another attempt to prepare may succeed."""
        final = self._judge(problem) if isinstance(problem, DBAPIError) else problem
        if final is not None:
            raise final from problem

    def _prepare_once(self) -> None:
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
            self._reactor.callFromThread(self._prepared.callback, None)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._connector.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    def _transact(self, connection: Connection) -> None:
        """Take a batch from the queue and run it in one transaction."""
        connection.begin()
        batch = self._take()
        try:
            if not batch:  # is the connection still there?
                connection.exec_driver_sql("SELECT 1")
            outcomes = self._carry_out(connection, batch)
        except Exception:
            self._give_back(batch)
            raise
        try:
            connection.commit()
        except Exception as problem:
            if is_locked(problem):  # nothing was committed
                self._give_back(batch)
            else:
                self._fail(batch, Uncertain("the database failed at COMMIT"))
            raise
        self._reactor.callFromThread(self._deliver, list(zip(batch, outcomes, strict=True)))

    def _take(self) -> list[Call]:
        with self._changed:
            return [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]

    def _carry_out(self, connection: Connection, batch: list[Call]) -> list[Any]:
        """Run the calls and return their results or L{Failure}s; transient errors are raised."""
        try:
            return [
                outcome
                for _, calls in groupby(batch, key=lambda call: call.kind)
                for outcome in self._try(connection, list(calls))
            ]
        except Exception as problem:
            if is_transient(problem):
                raise
            connection.rollback()
            if len(batch) == 1:
                return [Failure(answer(problem))]
        connection.begin()
        return [self._try_apart(connection, call) for call in batch]

    def _try(self, connection: Connection, calls: list[Call]) -> list[Any]:
        """Run one call or several of a kind."""
        works = [call.work for call in calls]
        try:
            if len(works) == 1:
                return [works[0](connection)]
            batched = [work for work in works if isinstance(work, Batched)]
            return batched[0].query(connection, [work.argument for work in batched])
        except Exception as problem:
            if is_transient(problem) and not problem.connection_invalidated:
                for call in calls:
                    call.spoilt += 1
            raise

    def _try_apart(self, connection: Connection, call: Call) -> Any:
        """Run one call in a savepoint, which is rolled back if it fails."""
        connection.exec_driver_sql("SAVEPOINT one_call")
        try:
            (result,) = self._try(connection, [call])
        except Exception as problem:
            if is_transient(problem):
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one_call")
            result = Failure(answer(problem))
        connection.exec_driver_sql("RELEASE SAVEPOINT one_call")
        return result

    def _give_back(self, batch: list[Call]) -> None:
        """Return calls to the queue, except those that broke too many transactions."""
        given_up = [call for call in batch if call.spoilt >= MAX_SPOILT]
        self._fail(given_up, Unavailable("the database cannot do this"))
        with self._changed:
            self._queue.extendleft(
                call for call in reversed(batch) if not call.abandoned and call.spoilt < MAX_SPOILT
            )

    def _fail(self, calls: list[Call], problem: Unavailable) -> None:
        outcomes = [(call, Failure(copy(problem))) for call in calls]
        self._reactor.callFromThread(self._deliver, outcomes)

    def _back_off(self, problem: Exception) -> None:
        """Pause, except after waiting for SQLite's lock, which was a pause already."""
        locked = is_locked(problem)
        if not locked or (self._connection is not None and self._connection.in_transaction()):
            self._disconnect()
        if locked and self._prepare is None:
            return
        now = self._reactor.seconds()
        if not is_transient(problem):
            _log.failure("{worker}: an error that is not the database's", worker=self._name)
        elif not self._failures or now >= self._reminder:
            self._reminder = now + REMINDER
            _log.warn(
                "{worker}: waits for the database, which is unreachable: {problem}",
                worker=self._name,
                problem=" ".join(str(problem.orig).split()),
            )
        pause = self._backoff(self._failures)
        self._failures += 1
        with self._changed:
            self._changed.wait_for(lambda: self._stopping and not self._queue, pause)

    def _clear_up(self) -> None:
        if self._failures:
            _log.info("{worker}: the database is back", worker=self._name)
            self._failures = 0
