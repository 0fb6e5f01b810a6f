"""
The arena's service: removes silent clients, writes the admin key to a file, and draws the console
table.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gameservers.games import Dependencies, GameService
from gameservers.games.twister.console import Console, table
from gameservers.games.twister.session import Session
from gameservers.lobby import RoomKey, RoomRules
from gameservers.net.datagrams import Datagrams

#: Interval of the check for silent clients, and of redrawing the table, in seconds.
PACE = 1.0


class TwisterService(GameService):
    """
    The arena's service.

    @ivar ports: the protocols of its ports.
    """

    _log = Logger()

    def __init__(self, dependencies: Dependencies, admin_key: str) -> None:
        super().__init__(dependencies)
        settings = self.settings
        self.room = RoomKey(self.game, "", "arena")
        self.session = Session(self, self.room, admin_key)
        self.ports: list[Datagrams] = []
        self.console = Console(self._table)
        self._admin_key = admin_key
        self._key_file = settings.admin_key_file
        self.limit_players(settings.max_players, settings.max_per_address)
        rules = RoomRules(hosted=False, permanent=True)
        self.lobby.provide_room(self.room, rules, capacity=settings.max_players)
        self.every(PACE, self.session.expire)
        if settings.console:
            self.every(PACE, lambda: self.console.redraw(), at_once=True)

    def startService(self) -> None:
        super().startService()
        if self._key_file:
            path = Path(self._key_file).absolute()
            try:
                keep(self._admin_key, path)
            except OSError as error:
                self._log.warn(
                    "Cannot write the admin key of the tank arena to {path}, so nobody has it:"
                    " {reason}",
                    path=str(path),
                    reason=error.strerror,
                )
            else:
                self._log.info(
                    "The admin key of the tank arena is in the file {path}", path=str(path)
                )

    def stopService(self) -> Deferred[None]:
        if self._key_file:
            with suppress(OSError):
                Path(self._key_file).unlink()
        return super().stopService()

    def say_farewell(self) -> None:
        """Remove all clients; there is no message for it."""
        self.session.close()

    def _table(self) -> str:
        session, settings = self.session, self.settings
        sent = sum(port.bytes_sent for port in self.ports)
        return table(session.arena, settings.port, settings.max_players, sent, session.received)


def keep(key: str, path: Path) -> None:
    """Write a key to a new file that only its owner can read and write."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as writable:
        writable.write(f"{key}\n")
