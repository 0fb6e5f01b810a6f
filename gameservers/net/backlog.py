"""
What waits for clients that are slow to read, of all games together.

Each outbox reports how much waits for its client.  From that follow three rules:

  - A client that I{lags}, for which more than a quarter of its limit waits, is a reason to slow
    down those that send to it (L{gameservers.net.connection.Connection.spread}).
  - A client that has taken nothing for L{Backlog.patience} seconds while something waits does not
    read: it is cut off as slow.
  - When more than L{Backlog.limit} bytes wait in all, the client for which most waits is cut off
    as slow, and so on until it is less.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from gameservers.net.outbox import Outbox

#: A client lags when this part of its limit waits.
LAG = 1 / 4

#: Interval at which clients that take nothing are looked for, in seconds.
INTERVAL = 1.0

#: The default of L{Backlog.patience}, in seconds.
PATIENCE = 20


def affordable() -> int:
    """A quarter of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


class Backlog:
    """
    The outboxes for which something waits.

    @ivar total: bytes that wait, of all of them.
    @ivar limit: bytes that may wait.
    @ivar patience: seconds for which a client may take nothing.
    @ivar lagging: the outboxes that lag.
    """

    def __init__(self, clock: IReactorTime, limit: int = 0, patience: float = PATIENCE) -> None:
        """Start empty; a C{limit} of 0 is what the machine can afford."""
        self.total = 0
        self.limit = limit or affordable()
        self.patience = patience
        self.lagging: set[Outbox] = set()
        self._clock = clock
        self._sizes: dict[Outbox, int] = {}
        #: When each last took something, and its L{Outbox.taken} then.
        self._moved: dict[Outbox, tuple[float, int]] = {}
        self._check: IDelayedCall | None = None

    def update(self, outbox: Outbox, size: int, limit: int) -> None:
        """Note how many bytes wait for a client, and how many may."""
        if not size:
            self.discard(outbox)
            return
        self.total += size - self._sizes.get(outbox, 0)
        self._sizes[outbox] = size
        if size > limit * LAG:
            self.lagging.add(outbox)
        else:
            self.lagging.discard(outbox)
        if self._check is None:
            self._check = self._clock.callLater(INTERVAL, self._cut_idle)
        while self.total > self.limit:
            max(self._sizes, key=self._sizes.__getitem__).overflow()

    def discard(self, outbox: Outbox) -> None:
        """Forget an outbox for which nothing waits any more."""
        self.total -= self._sizes.pop(outbox, 0)
        self._moved.pop(outbox, None)
        self.lagging.discard(outbox)
        if not self._sizes and self._check is not None:
            self._check.cancel()
            self._check = None

    def _cut_idle(self) -> None:
        now = self._clock.seconds()
        self._check = self._clock.callLater(INTERVAL, self._cut_idle)
        for outbox in tuple(self._sizes):
            taken = outbox.taken
            since, before = self._moved.get(outbox, (now, -1))
            if taken != before:
                self._moved[outbox] = now, taken
            elif now - since >= self.patience:
                outbox.overflow()
