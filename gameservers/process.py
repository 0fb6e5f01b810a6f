"""
The server as a process: order of start and stop, the ready message, signals and the exit status.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from gameservers import __version__
from gameservers.net.ports import CannotStart
from gameservers.store import BadDatabase, Store, StoreError

#: How long the games and ports may take to stop, in seconds; then the store stops all the same.
LONGEST_STOP = 4.0

#: How long a thread that computes may keep the reactor waiting when it has made a system call, in
#: seconds.  Python's own 5 ms would be added to each of the dozens of calls of a turn while a
#: thread of the database is busy.
SWITCH_INTERVAL = 0.002


#: After how many new objects the youngest are collected, and after how many of these collections
#: the next generations are.  Python's own 700 objects are those of a dozen connections.
COLLECT = 2_000, 10, 20


class Server(MultiService):
    """
    The root of the service tree.

    The store is started before all other services, and stopped when they have stopped.

    @ivar observer: the log observer of the application that twistd runs.
    @ivar reload: what SIGHUP does.
    @ivar reopen_log: what SIGUSR1 does.
    """

    _log = Logger()
    observer: ILogObserver | None = None

    def __init__(self, reactor: Any, store: Store) -> None:
        super().__init__()
        self._reactor = reactor
        self._store = store
        self.reload: Callable[[], object] = lambda: None
        self.reopen_log: Callable[[], object] = lambda: None

    def setServiceParent(self, parent: IServiceCollection) -> None:
        if self.observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Take SIGHUP and SIGUSR1 and open the ports, or raise L{CannotStart}."""
        # They are never given back: by default they would end the process, while it stops, too.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        signal.signal(signal.SIGUSR1, lambda *_: self._reactor.callFromThread(self.reopen_log))
        try:
            super().privilegedStartService()
        except CannotStart as error:
            self._log.critical("{why}", why=error.why)
            complain(error.why)
            raise

    def startService(self) -> None:
        self._store.broken().addCallback(self._give_up)
        self._store.startService()
        super().startService()
        self._reactor.callWhenRunning(self._running)

    def stopService(self) -> Deferred[None]:
        """Stop everything, in bounded time; fires when the store has stopped, too."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        done: Deferred[object] = Deferred()

        def finish(_: object) -> None:
            if not done.called:
                done.callback(None)

        late = self._reactor.callLater(LONGEST_STOP, finish, None)
        stopped: Deferred[Any] = maybeDeferred(super().stopService)
        stopped.addErrback(lambda failure: self._log.failure("A service cannot stop", failure))
        stopped.addCallback(finish)
        await done
        if late.active():
            late.cancel()
        await maybeDeferred(self._store.stopService)

    def _running(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see gameservers.__main__
        ready = self._store.ready()
        ready.addCallback(self._is_ready)
        ready.addErrback(lambda failure: failure.trap(StoreError))  # which the store has logged

    def _is_ready(self, _: object) -> None:
        set_apart()
        self._log.info("gameservers {version} is ready", version=__version__)

    def _give_up(self, problem: BadDatabase) -> None:
        """Stop, with a sentence and exit status 1, because the database cannot be used."""
        complain(str(problem))
        atexit.register(end_with_failure)
        self._reactor.stop()

    def _terminate(self, number: int, frame: object) -> None:
        """
        Let SIGTERM end the server with exit status 0; a second one ends it at once.

        twistd itself would stop the services and then let the signal kill the process, which a
        supervisor may take for a crash.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._reactor.callFromThread(self._reactor.stop)


def set_apart() -> None:
    """
    Keep the garbage collector from walking what was made so far.

    All modules are hundreds of thousands of objects, and each full collection would walk them,
    which stops everybody for a tenth of a second: whoever connects often could bring that about
    at will.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def complain(sentence: str) -> None:
    """Say on standard error why the server ends."""
    if sys.__stderr__ is not None:
        print(f"gameserver: {sentence.rstrip('.')}.", file=sys.__stderr__)


def end_with_failure() -> None:
    """End the process with status 1 as it exits; twistd offers no way to give a status."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
