"""
The server as a process: order of start and stop, the ready message, and signals.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from twisted.application.service import IServiceCollection, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from gameservers import __version__
from gameservers.net.ports import CannotStart
from gameservers.store import Store, StoreError


class Server(MultiService):
    """
    The root of the service tree.

    The store is started before all other services, and stopped when they have stopped.

    @ivar observer: the log observer of the application that twistd runs.
    """

    _log = Logger()
    observer: ILogObserver | None = None

    def __init__(self, reactor: Any, store: Store) -> None:
        super().__init__()
        self._reactor = reactor
        self._store = store

    def setServiceParent(self, parent: IServiceCollection) -> None:
        if self.observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Open the ports, or raise L{CannotStart}."""
        try:
            super().privilegedStartService()
        except CannotStart as error:
            self._log.critical("{why}", why=error.why)
            if sys.__stderr__ is not None:
                print(f"gameserver: {error.why}", file=sys.__stderr__)
            raise

    def startService(self) -> None:
        self._store.startService()
        super().startService()
        self._reactor.callWhenRunning(self._running)

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when the store has stopped, too."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await maybeDeferred(super().stopService)
        await maybeDeferred(self._store.stopService)

    def _running(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        ready = self._store.ready()
        ready.addCallback(self._is_ready)
        ready.addErrback(lambda failure: failure.trap(StoreError))  # which the store has logged

    def _is_ready(self, _: object) -> None:
        self._log.info("gameservers {version} is ready", version=__version__)

    def _terminate(self, number: int, frame: object) -> None:
        """
        Let SIGTERM end the server with exit status 0; a second one ends it at once.

        twistd itself would stop the services and then let the signal kill the process, which a
        supervisor may take for a crash.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._reactor.callFromThread(self._reactor.stop)
