"""
What the arena does without being asked: it removes the silent, keeps the admin key where the
operator finds it, and draws its table.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gameservers.games.twister.console import Console, table
from gameservers.games.twister.protocol import Desk
from gameservers.games.twister.settings import TwisterSettings

#: Seconds between two looks for silent clients, and between two drawings of the table.
PACE = 1.0


class TwisterService(Service):
    """Runs the arena from the start of the server to its stop."""

    name = "twister"
    _log = Logger()

    def __init__(
        self,
        desk: Desk,
        clock: IReactorTime,
        settings: TwisterSettings,
        admin_key: str,
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._admin_key = admin_key
        self._key_file = settings.admin_key_file
        self.console = Console(self._table)
        self._loops = [LoopingCall(desk.expire)]
        if settings.console:
            self._loops.append(LoopingCall(lambda: self.console.redraw()))
        for loop in self._loops:
            loop.clock = clock

    def startService(self) -> None:
        super().startService()
        self._log.info("The admin key of the tank arena is {key}", key=self._admin_key)
        if self._key_file:
            try:
                keep(self._admin_key, Path(self._key_file))
            except OSError as error:
                self._log.warn(
                    "The admin key cannot be kept in {path}: {reason}",
                    path=self._key_file,
                    reason=error.strerror,
                )
        for loop in self._loops:
            loop.start(PACE).addErrback(self._failed)

    def stopService(self) -> None:
        super().stopService()
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._desk.close()
        if self._key_file:
            with suppress(OSError):
                Path(self._key_file).unlink()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("The arena no longer looks after itself", failure)

    def _table(self) -> str:
        desk = self._desk
        port = self._settings.port
        max_conns = self._settings.max_players
        return table(desk.arena, port, max_conns, desk.sent, desk.received)


def keep(key: str, path: Path) -> None:
    """Write a key to a new file that only its owner may read or write."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as writable:
        writable.write(f"{key}\n")
