"""
The reactor turn, the unit of work, and how the connections share it.

A turn is shared by everybody, so the input of one connection must not delay the others:

  - What a connection has received is handled for at most a L{SLICE}.  What is left waits, unread,
    and is handled at the end of the turn, slice by slice in turn with that of other connections,
    until all of them together have used their L{SHARE} of the turn; then in the next turn.
  - The share includes the first slices.  When it is used up, only a connection that has used less
    than its fair part of late is heard at once, for L{LITTLE}.  All others queue.
  - Who has used least is next (start-time fair queueing: Goyal, Vin and Cheng, 1996).  Each
    connection counts the time that it has used, and begins where the queue is, so what it did not
    use before is not saved up.

  - The time to write what a message produces is estimated (L{WRITE}) and counts as time of its
    sender's: a message of 60 kB to a room of a hundred is read in no time.

So any number of busy connections delay each other, and a connection with little to say waits for
two shares, at most.

What a turn produces for one recipient is collected in its L{gameservers.net.outbox.Outbox} and is
sent in one go: ten lines to each of forty players cost forty system calls and not four hundred.
Answers to those that were heard at once do not wait for the share of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gameservers.net.backlog import Backlog

if TYPE_CHECKING:
    from gameservers.net.outbox import Outbox

#: How long one connection's input is handled before others have their turn, in seconds.
SLICE = 0.001

#: How long input of busy connections is handled in one turn, all together, in seconds.
SHARE = 0.0025

#: How long a connection is heard although the share is used up, in seconds.
LITTLE = 0.000_25

#: The most that a connection is charged at once, in seconds.  What takes longer is time in which
#: the process did not run, as the price of every message is bounded.
MOST = 2 * SLICE

#: The part of its time that a connection is charged when nothing more of it waits then: one that
#: says little and often has ten times the part of one that floods.
MODEST = 1 / 10


#: What it takes to write a byte that the turn has produced, in seconds: a copy in the kernel, and
#: its part of what goes with that.
WRITE = 0.5e-9


class Waiting(Protocol):
    """
    A connection, as the turn sees it.

    @ivar used: the time that it has used, in seconds; only the turn changes it.
    """

    used: float

    def go_on(self, time: float) -> None:
        """Handle waiting input, for this many seconds."""


class Turn:
    """
    The current reactor turn: whose input waits for a slice, and what is due when it ends.

    @ivar backlog: what waits for clients that are slow to read.
    @ivar output: the bytes that will be written when the turn ends, for all recipients; who sends
        to them adds to it.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, backlog: Backlog | None = None) -> None:
        self.clock = clock
        self.output = 0
        self.backlog = Backlog(clock) if backlog is None else backlog
        self._calls: list[Callable[[], None]] = []
        self._outboxes: list[Outbox] = []
        self._scheduled = False
        self._spent = 0.0  # seconds of the share
        self._queue: list[tuple[float, int, Waiting]] = []  # a heap: who has used least is next
        self._numbers = count()
        self._reached = 0.0  # what the connection that was served last had used

    # --- input --------------------------------------------------------------------------------

    def slice_for(self, connection: Waiting) -> float:
        """How long this connection's input may be handled now, in seconds; 0: it has to queue."""
        reached, used = self._reached, connection.used
        if used <= reached:
            connection.used = reached
            return SLICE if self._spent < SHARE else LITTLE
        if self._spent >= SHARE:
            return 0.0
        if not self._queue:
            self._reached = used
        return SLICE

    def spend(self, connection: Waiting, time: float, *, more: bool, writing: float = 0.0) -> None:
        """
        Note that a connection's input has been handled for this time.

        @param more: whether more of it waits.
        @param writing: how long it will take to write what this has produced.
        """
        self._spent += time + writing
        charged = (time if time < MOST else MOST) + writing
        connection.used += charged if more else charged * MODEST
        if self._spent >= SHARE:
            self._schedule()

    def queue(self, connection: Waiting) -> None:
        """Let a connection go on when it is next."""
        connection.used = max(connection.used, self._reached)
        heappush(self._queue, (connection.used, next(self._numbers), connection))
        self._schedule()

    def _serve(self) -> None:
        """Serve those that wait until the share is used up, of which half is theirs at least."""
        queue, end = self._queue, max(SHARE, self._spent + SHARE / 2)
        while queue and self._spent < end:
            self._reached, _, connection = heappop(queue)
            connection.go_on(SLICE)

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
        if self._queue:
            self._serve()
            self._flush()
        self._spent = 0.0
        self._scheduled = False
        if self._queue or self._calls or self._outboxes:
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
        self.output = 0
        for outbox, messages in [(outbox, outbox.take()) for outbox in outboxes]:
            try:
                outbox.flush(messages)
            except Exception:
                self._log.failure("an outbox could not be flushed")
                outbox.abort()
