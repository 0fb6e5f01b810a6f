"""
A worker by itself: the clock is ours, and its thread goes as far as a test lets it.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gameservers.store import (
    BadDatabase,
    NameTaken,
    Overloaded,
    StoreSettings,
    Unavailable,
    Uncertain,
)
from gameservers.store.backends import find_backend
from gameservers.store.worker import LONGEST_STOP, MAX_SPOILT, Batched, Worker

#: So long a test waits for a thread before it fails, in seconds.
PATIENCE = 30


class PumpedClock(Clock):
    """A clock that a thread can call into, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        self._calls.put(lambda: function(*arguments))

    def idle(self) -> bool:
        """Whether no thread wants anything."""
        return self._calls.empty()

    def pump(self) -> None:
        """Let a turn of the reactor happen, and then the next call of a thread."""
        self.advance(0)
        self._calls.get(timeout=PATIENCE)()


class Gate:
    """Work that stops in the middle until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self, connection: Connection) -> str:
        self.reached.set()
        assert self.released.wait(PATIENCE)
        return "passed"


def transient(invalidated: bool = False) -> OperationalError:
    problem = OperationalError("statement", None, Exception("out of reach"))
    problem.connection_invalidated = invalidated
    return problem


class Flaky:
    """Work that meets a transient error some times and then succeeds."""

    def __init__(self, times: int, invalidated: bool = False) -> None:
        self.left = times
        self.invalidated = invalidated

    def __call__(self, connection: Connection) -> str:
        if self.left:
            self.left -= 1
            raise transient(self.invalidated)
        return "done"


def write(word: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
        return word

    return work


def refuse(connection: Connection) -> None:
    write("refused")(connection)
    raise NameTaken("bob")


class Together:
    """
    Writes words, and keeps an account of which were written together.

    @ivar poison: a word that cannot be written.
    """

    def __init__(self, poison: str = "", problem: Exception | None = None) -> None:
        self.poison = poison
        self.problem = problem or NameTaken(poison)
        self.rounds: list[tuple[str, ...]] = []

    def __call__(self, connection: Connection, words: Sequence[str]) -> list[str]:
        self.rounds.append(tuple(words))
        if self.poison in words:
            raise self.problem
        return [write(word)(connection).upper() for word in words]


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "worker.sqlite3"
        self.settings = StoreSettings(database=f"sqlite:///{self.path}")
        self.engine = find_backend(self.settings).engine(timeout=1)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE words (word TEXT)"))
        self.clock = PumpedClock()
        self.commits = 0
        event.listen(self.engine, "commit", self.count)

    def count(self, connection: Connection) -> None:
        self.commits += 1

    def worker(self, start: bool = True, **changes: Any) -> Worker:
        options = {"prepare": None, "writes": True} | changes
        settings = StoreSettings(
            database_queue=options.pop("limit", 100),
            database_batch=options.pop("batch", 100),
            database_timeout=options.pop("timeout", 10.0),
            database_backoff=options.pop("longest_pause", 0.01),
        )
        made = Worker("test worker", self.engine, self.clock, settings, **options)
        if start:
            made.start()
            self.addCleanup(self.end, made)
        return made

    def end(self, worker: Worker) -> None:
        self.result(worker.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def held(self, worker: Worker) -> Gate:
        """The worker, in the middle of a call."""
        gate = Gate()
        worker.submit(gate).addErrback(lambda failure: failure.trap(Unavailable))
        self.reach(gate)
        self.addCleanup(gate.released.set)
        return gate

    def reach(self, gate: Gate) -> None:
        self.clock.advance(0)
        self.assertTrue(gate.reached.wait(PATIENCE))

    def result(self, deferred: Deferred[Any]) -> Any:
        """What it fires with, as soon as the thread has got there."""
        while not deferred.called:
            self.clock.pump()
        if isinstance(deferred.result, Failure):
            self.failureResultOf(deferred).raiseException()
        return self.successResultOf(deferred)

    def words(self) -> list[str]:
        """What any other connection sees now."""
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.connect() as connection:
            found = list(connection.scalars(text("SELECT word FROM words")))
        engine.dispose()
        return found

    # Group commit

    def test_result(self) -> None:
        """A result comes on the reactor's thread, after the commit."""
        worker = self.worker()
        written = worker.submit(write("a"))
        self.assertNoResult(written)
        self.assertEqual(self.result(written), "a")
        self.assertEqual(self.words(), ["a"])

    def test_not_before_the_commit(self) -> None:
        """While the commit is under way there is no answer."""
        gate = Gate()
        self.addCleanup(gate.released.set)
        event.listen(self.engine, "commit", gate)
        worker = self.worker()
        written = worker.submit(write("a"))
        self.reach(gate)
        self.assertTrue(self.clock.idle())
        gate.released.set()
        self.assertEqual(self.result(written), "a")

    def test_together(self) -> None:
        """What waits meanwhile is committed together, in order."""
        worker = self.worker()
        gate = self.held(worker)
        written = [worker.submit(write(str(number))) for number in range(20)]
        gate.released.set()
        last = self.result(written.pop())
        self.assertEqual([*map(self.successResultOf, written), last], self.words())
        self.assertEqual(self.commits, 2)

    def test_turn(self) -> None:
        """What is asked in one turn of the reactor is committed together, also by an idle one."""
        worker = self.worker()
        self.result(worker.submit(write("before")))
        written = [worker.submit(write(str(number))) for number in range(20)]
        self.result(written[-1])
        self.assertEqual(self.commits, 2)

    def test_batch(self) -> None:
        """No more than C{batch} calls are committed together."""
        worker = self.worker(batch=4)
        gate = self.held(worker)
        written = [worker.submit(write(str(number))) for number in range(10)]
        gate.released.set()
        self.result(written[-1])
        self.assertEqual(self.commits, 1 + 3)

    def test_refused_among_others(self) -> None:
        """One that is refused is undone; the others of its transaction are not."""
        worker = self.worker()
        gate = self.held(worker)
        before, refused, after = map(worker.submit, (write("a"), refuse, write("b")))
        gate.released.set()
        self.assertEqual(self.result(after), "b")
        self.assertEqual(self.successResultOf(before), "a")
        self.failureResultOf(refused, NameTaken)
        self.assertEqual(self.words(), ["a", "b"])

    def test_refused_alone(self) -> None:
        worker = self.worker()
        self.assertRaises(NameTaken, self.result, worker.submit(refuse))
        self.assertEqual(self.result(worker.submit(write("a"))), "a")
        self.assertEqual(self.words(), ["a"])

    # Calls of a kind

    def alike(self, together: Together, words: str, worker: Worker) -> list[Deferred[str]]:
        """Calls that wait together, one for each letter; then they are carried out."""
        gate = self.held(worker)
        calls = [worker.submit(Batched(together, word)) for word in words]
        gate.released.set()
        self.result(worker.submit(write("last")))
        return calls

    def test_alike(self) -> None:
        """Neighbours of a kind are carried out in one go, and each has its own result."""
        together = Together()
        calls = self.alike(together, "abc", self.worker())
        self.assertEqual(together.rounds, [("a", "b", "c")])
        self.assertEqual([*map(self.successResultOf, calls)], ["A", "B", "C"])
        self.assertEqual(self.words(), ["a", "b", "c", "last"])

    def test_alike_alone(self) -> None:
        together = Together()
        self.assertEqual(self.result(self.worker().submit(Batched(together, "a"))), "A")
        self.assertEqual(together.rounds, [("a",)])

    def test_alike_in_order(self) -> None:
        """What is called between calls of a kind is carried out between them."""
        worker, together = self.worker(), Together()
        gate = self.held(worker)
        for work in (Batched(together, "a"), write("b"), Batched(together, "c")):
            last = worker.submit(work)
        gate.released.set()
        self.result(last)
        self.assertEqual(together.rounds, [("a",), ("c",)])
        self.assertEqual(self.words(), ["a", "b", "c"])

    def test_alike_refused(self) -> None:
        """One of a kind that is refused takes nothing of its neighbours with it."""
        together = Together("b")
        a, b, c = self.alike(together, "abc", self.worker())
        self.assertEqual(together.rounds, [("a", "b", "c"), ("a",), ("b",), ("c",)])
        self.assertEqual([self.successResultOf(a), self.successResultOf(c)], ["A", "C"])
        self.failureResultOf(b, NameTaken)
        self.assertEqual(self.words(), ["a", "c", "last"])

    def test_one_spoils_for_its_kind(self) -> None:
        """One of a kind that the database never can carry out fails alone."""
        together = Together("b", transient())
        a, b, c = self.alike(together, "abc", self.worker())
        self.assertEqual([self.successResultOf(a), self.successResultOf(c)], ["A", "C"])
        self.failureResultOf(b, Unavailable)
        self.assertEqual(self.words(), ["a", "c", "last"])

    # Limits

    def test_overloaded(self) -> None:
        """A full queue refuses at once, and takes calls again when there is room."""
        worker = self.worker(limit=3)
        gate = self.held(worker)
        taken = [worker.submit(write("a")), worker.submit(write("b"))]
        self.failureResultOf(worker.submit(write("c")), Overloaded)
        gate.released.set()
        self.result(taken[-1])
        self.result(worker.submit(write("d")))
        self.assertEqual(self.words(), ["a", "b", "d"])

    def test_time_is_up_waiting(self) -> None:
        """A call that has waited too long is never carried out."""
        worker = self.worker(timeout=10)
        gate = self.held(worker)
        self.clock.advance(4)
        late = worker.submit(write("late"))
        self.clock.advance(4)
        patient = worker.submit(write("patient"))
        self.clock.advance(5.9)
        self.assertNoResult(late)
        self.clock.advance(0.1)
        self.assertNotIsInstance(self.failureResultOf(late).value, Uncertain)
        gate.released.set()
        self.assertEqual(self.result(patient), "patient")
        self.assertEqual(self.words(), ["patient"])

    def test_time_is_up_under_way(self) -> None:
        """Nobody can know what became of a change that was under way."""
        for writes, kind in ((True, Uncertain), (False, Unavailable)):
            worker = self.worker(writes=writes)
            gate = Gate()
            asked = worker.submit(gate)
            self.reach(gate)
            self.clock.advance(10)
            self.assertIs(type(self.failureResultOf(asked).value), kind)
            gate.released.set()
            self.assertEqual(self.result(worker.submit(lambda connection: 1)), 1)

    # Transient errors

    def test_flaky(self) -> None:
        """Calls of a transaction that was given up are tried again, in order."""
        worker = self.worker()
        gate = self.held(worker)
        calls = (write("a"), Flaky(MAX_SPOILT - 1), write("b"))
        first, flaky, last = map(worker.submit, calls)
        gate.released.set()
        self.assertEqual(self.result(last), "b")
        self.assertEqual(self.successResultOf(first), "a")
        self.assertEqual(self.successResultOf(flaky), "done")
        self.assertEqual(self.words(), ["a", "b"])

    def test_one_spoils_for_all(self) -> None:
        """A call that the database never can carry out fails alone."""
        worker = self.worker()
        gate = self.held(worker)
        calls = (write("a"), Flaky(1000), write("b"))
        first, flaky, last = map(worker.submit, calls)
        gate.released.set()
        self.assertEqual(self.result(last), "b")
        self.successResultOf(first)
        self.failureResultOf(flaky, Unavailable)
        self.assertEqual(self.words(), ["a", "b"])

    def test_disconnected(self) -> None:
        """A lost connection is no call's fault, however often; it is logged once."""
        worker = self.worker()
        with capturedLogs() as logs:
            lost = worker.submit(Flaky(MAX_SPOILT + 2, invalidated=True))
            self.assertEqual(self.result(lost), "done")
            self.result(worker.submit(write("after")))
        warnings = [each for each in logs if each["log_level"] is LogLevel.warn]
        self.assertEqual([each["problem"] for each in warnings], ["out of reach"])
        self.assertEqual(
            [each["log_format"] for each in logs][1:], ["{worker}: the database is back"]
        )

    def test_disconnected_too_long(self) -> None:
        """A call whose time is up meanwhile fails, and is not carried out later."""
        worker = self.worker()
        gate = self.held(worker)
        away = threading.Event()

        @event.listens_for(self.engine, "do_connect")
        def refuse_connection(*arguments: Any) -> None:
            if not away.is_set():
                raise transient()

        lost = worker.submit(Flaky(1, invalidated=True))
        gate.released.set()
        late = worker.submit(write("late"))
        self.clock.advance(10)
        away.set()
        for each in (lost, late):
            self.failureResultOf(each, Unavailable)
        self.assertEqual(self.result(worker.submit(write("back"))), "back")
        self.assertEqual(self.words(), ["back"])

    def test_transient_error_at_commit(self) -> None:
        """If COMMIT fails nobody knows, and nothing is tried twice."""
        worker = self.worker()

        @event.listens_for(self.engine, "commit")
        def fail(connection: Connection) -> None:
            event.remove(self.engine, "commit", fail)
            raise transient()

        self.assertRaises(Uncertain, self.result, worker.submit(write("a")))
        self.assertEqual(self.result(worker.submit(write("b"))), "b")
        self.assertEqual(self.words(), ["b"])

    def test_locked(self) -> None:
        """While somebody else holds SQLite's lock nothing is under way."""
        holder = create_engine(f"sqlite:///{self.path}").connect()
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        worker = self.worker()
        late = worker.submit(write("late"))
        self.clock.advance(10)
        self.assertIs(type(self.failureResultOf(late).value), Unavailable)
        written = worker.submit(write("a"))
        holder.exec_driver_sql("ROLLBACK")
        holder.close()
        self.assertEqual(self.result(written), "a")
        self.assertEqual(self.words(), ["a"])

    def test_bug(self) -> None:
        """A bug in one call is that call's failure."""
        worker = self.worker()
        self.assertRaises(ZeroDivisionError, self.result, worker.submit(lambda connection: 1 // 0))
        self.assertEqual(self.result(worker.submit(write("a"))), "a")

    # Beginning and end

    def test_prepare(self) -> None:
        """Calls wait until all is prepared, which is tried again after transient errors."""
        errors = [transient(), transient()]

        def prepare() -> None:
            if errors:
                raise errors.pop()

        worker = self.worker(start=False, prepare=prepare)
        written = worker.submit(write("a"))
        prepared = worker.start()
        self.addCleanup(self.end, worker)
        self.assertEqual(self.result(written), "a")
        self.successResultOf(prepared)
        self.assertEqual(errors, [])

    def test_prepare_fails(self) -> None:
        """A database that will not do fails every call, before and after."""

        def prepare() -> None:
            raise BadDatabase("too new")

        worker = self.worker(start=False, prepare=prepare)
        written = worker.submit(write("a"))
        prepared = worker.start()
        self.addCleanup(self.end, worker)
        self.assertRaises(BadDatabase, self.result, prepared)
        self.failureResultOf(written, BadDatabase)
        self.failureResultOf(worker.submit(write("b")), BadDatabase)

    def test_stop(self) -> None:
        """What waits is carried out first; nothing more is taken."""
        worker = self.worker(start=False)
        worker.start()
        gate = self.held(worker)
        written = worker.submit(write("a"))
        stopped = worker.stop()
        self.failureResultOf(worker.submit(write("b")), Unavailable)
        gate.released.set()
        self.result(stopped)
        self.successResultOf(written)
        self.assertEqual(self.words(), ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_is_bounded(self) -> None:
        """A call that never comes back does not hold up the end."""
        worker = self.worker(start=False, timeout=10)
        worker.start()
        gate = self.held(worker)
        stuck = worker.submit(write("a"))
        stopped = worker.stop()
        self.clock.advance(LONGEST_STOP - 1)
        self.assertNoResult(stopped)
        self.clock.advance(1)
        self.failureResultOf(stuck, Unavailable)
        self.successResultOf(stopped)
        gate.released.set()
        self.clock.pump()  # what was under way
        self.clock.pump()  # the thread's end: too late to matter
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_start(self) -> None:
        worker = self.worker(start=False)
        waiting = worker.submit(write("a"))
        self.successResultOf(worker.stop())
        self.failureResultOf(waiting, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
