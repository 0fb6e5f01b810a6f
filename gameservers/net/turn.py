"""
The reactor turn, the unit of work, and how the connections share it.

A turn is shared by everybody, so the input of one connection must not delay the others:

  - What a connection has received is handled for at most a L{SLICE}.  What is left waits, unread,
    and is handled at the end of the turn, round robin with the other connections that have more,
    until all of them together have used their L{SHARE} of the turn; then in the next turn.
  - The share includes the first slices.  When it is used up, only connections with L{CREDIT} are
    heard at once: those that have used little time of late.  All others queue.

So any number of busy connections delay each other, and a connection with little to say waits for
one share and what that has to write, at most.

What a turn produces for one recipient is collected in its L{gameservers.net.outbox.Outbox} and is
sent in one go: ten lines to each of forty players cost forty system calls and not four hundred.
Answers to those that were heard at once do not wait for the share of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gameservers.net.backlog import Backlog

if TYPE_CHECKING:
    from gameservers.net.outbox import Outbox

#: How long one connection's input is handled before others have their turn, in seconds.
SLICE = 0.001

#: How long input of busy connections is handled in one turn, all together, in seconds.
SHARE = 0.010

#: How much time a connection may use at once although the share is used up, in seconds, and how
#: much of that it regains per second.
CREDIT = 0.000_25
REGAINED = 0.01


class Waiting(Protocol):
    """
    A connection, as the turn sees it.

    @ivar credit: seconds it may use at once although the share is used up.
    @ivar credited: when that was computed.
    """

    credit: float
    credited: float

    def go_on(self, time: float) -> None:
        """Handle waiting input, for this many seconds."""


class Turn:
    """
    The current reactor turn: whose input waits for a slice, and what is due when it ends.

    @ivar backlog: what waits for clients that are slow to read.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, backlog: Backlog | None = None) -> None:
        self.clock = clock
        self.backlog = Backlog(clock) if backlog is None else backlog
        self._calls: list[Callable[[], None]] = []
        self._outboxes: list[Outbox] = []
        self._scheduled = False
        self._spent = 0.0  # seconds of the share
        self._modest: deque[Waiting] = deque()  # with credit
        self._busy: deque[Waiting] = deque()

    # --- input --------------------------------------------------------------------------------

    def slice_for(self, connection: Waiting, now: float) -> float:
        """How long this connection's input may be handled now, in seconds; 0: it has to queue."""
        if self._spent < SHARE:
            return SLICE
        return max(0.0, self._credit(connection, now))

    def spend(self, connection: Waiting, begun: float) -> None:
        """Note that a connection's input has been handled since C{begun}."""
        now = self.clock.seconds()
        self._spent += now - begun
        connection.credit = self._credit(connection, now) - (now - begun)
        if self._spent >= SHARE:
            self._schedule()

    def queue(self, connection: Waiting) -> None:
        """Let a connection go on when those before it have had their slices."""
        has_credit = self._credit(connection, self.clock.seconds()) > 0
        (self._modest if has_credit else self._busy).append(connection)
        self._schedule()

    def _credit(self, connection: Waiting, now: float) -> float:
        regained = (now - connection.credited) * REGAINED
        connection.credited = now
        connection.credit = min(CREDIT, connection.credit + regained)
        return connection.credit

    def _serve(self) -> None:
        """
        Let those with credit use it, and the others have slices until the share is used up, one
        at least.
        """
        for _ in range(len(self._modest)):
            self._modest.popleft().go_on(CREDIT)
        while self._busy:
            self._busy.popleft().go_on(SLICE)
            if self._spent >= SHARE:
                break

    # --- output -------------------------------------------------------------------------------

    def at_end(self, call: Callable[[], None]) -> None:
        """Call C{call} when the turn ends, when messages can still be added to it."""
        self._calls.append(call)
        self._schedule()

    def flush_at_end(self, outbox: Outbox) -> None:
        """Flush an outbox, after the last message of the turn; called by the outbox itself."""
        self._outboxes.append(outbox)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.clock.callLater(0, self._end)

    def _end(self) -> None:
        self._flush()
        if self._modest or self._busy:
            self._serve()
            self._flush()
        self._spent = 0.0
        self._scheduled = False
        if self._modest or self._busy or self._calls or self._outboxes:
            self._schedule()

    def _flush(self) -> None:
        for call in self._calls:  # a call may append further ones
            try:
                call()
            except Exception:
                self._log.failure("{call} failed at the end of a turn", call=call)
        # Sending may lose connections, which others are told of in the next turn: so every
        # queue is taken before the first byte is sent.
        outboxes, self._outboxes, self._calls = self._outboxes, [], []
        for outbox, messages in [(outbox, outbox.take()) for outbox in outboxes]:
            try:
                outbox.flush(messages)
            except Exception:
                self._log.failure("an outbox could not be flushed")
                outbox.abort()
