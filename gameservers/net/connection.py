"""
What all stream protocols have in common, written once.

A wire format's protocol class has L{Connection} as its first base and, behind it, the class that
cuts its stream: C{class VelNetTextProtocol(Connection, LineReceiver)}.  It is left to say what a
message means.  A connection's life::

    open ----> closing: what was said to it leaves, it is not listened to any more
      |           |
      +-----------+----> lost

From the moment it is no longer open, L{Connection.ended} is true and L{Connection.left} has been
called, once, so that nobody counts the player as present any more.

A connection that the server cuts off is cut off for one of the L{Reason}s, which is logged and
counted as C{gameservers_cuts_total{game, reason}}; the detail is in the log.

All connections of a game share its L{Connections}, which hold the limits and the resources that
are the same for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from gameservers.metrics import Metrics
from gameservers.net.address import host_of
from gameservers.net.bypass import make_prompt
from gameservers.net.guard import Reason as Reason
from gameservers.net.guard import Ticket, place_of
from gameservers.net.outbox import LINGER, Outbox, Turn
from gameservers.wire import WireError

#: How long connections may take at the end of the server to read what they are owed, in seconds.
FAREWELL = 3.0


class Connections:
    """
    The open connections of one game, and what is the same for each of them.

    @ivar game: the game's short name.
    @ivar turn: the reactor turn at whose end outboxes are flushed.
    @ivar max_unread: bytes that may wait for a client that does not read.
    @ivar login_timeout: seconds a client has to log in.
    @ivar max_open: connections at once; 0 is any number.
    @ivar max_per_address: connections at once from one address; 0 is any number.
    """

    def __init__(
        self,
        game: str,
        clock: IReactorTime,
        metrics: Metrics,
        *,
        max_unread: int,
        login_timeout: float,
        max_open: int = 0,
        max_per_address: int = 0,
        place_of: Callable[[str], str] = place_of,
    ) -> None:
        """@param place_of: what a host counts as; C{""} if no limit per address touches it."""
        self.game = game
        self.clock = clock
        self.metrics = metrics
        self.turn = Turn(clock)
        self.max_unread = max_unread
        self.login_timeout = login_timeout
        self.max_open = max_open
        self.max_per_address = max_per_address
        self._place_of = place_of
        self._open: dict[Connection, str] = {}  # with the place that each counts for
        self._from: Counter[str] = Counter()
        self._empty: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """Those that are open now; they may close meanwhile."""
        return iter(tuple(self._open))

    @property
    def full(self) -> bool:
        """Whether there may be no further one."""
        return bool(self.max_open) and len(self._open) >= self.max_open

    def add(self, connection: Connection) -> bool:
        """Count a new connection, unless there are too many."""
        place = self._place_of(connection.address) if self.max_per_address else ""
        if self.full or (place and self._from[place] >= self.max_per_address):
            return False
        self._open[connection] = place
        self._from[place] += 1
        return True

    def discard(self, connection: Connection) -> None:
        """A connection is lost, or is another game's from now on."""
        place = self._open.pop(connection, None)
        if place is None:
            return
        self._from[place] -= 1
        if not self._from[place]:
            del self._from[place]
        if not self._open and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def close(self, patience: float = FAREWELL) -> Deferred[None]:
        """
        Close all connections after what they were told.

        @return: fires when they are lost, or in C{patience} seconds.
        """
        for connection in self:
            connection.close(patience)
        if not self._open:
            return succeed(None)
        empty = self._empty = Deferred[None]()
        return empty.addTimeout(patience, self.clock, lambda _, __: None)


class Connection(TimeoutMixin, Protocol):
    """
    One client on a stream transport.

    @cvar gentle: reasons for which a client that is cut is told first what was said to it before.
    @ivar connections: all of the game's, this one included.
    @ivar ticket: the guard's, handed over by the door; one of nobody's where there is no door.
    @ivar address: the peer's host as text, without its port.
    @ivar outbox: what the client is told.
    @ivar ended: whether the connection is closing or lost: it is not listened to any more.
    @ivar paused: whether what was read waits in the decoder.
    """

    _log = Logger()

    gentle: Collection[Reason] = ()
    transport: Any  # a stream transport
    outbox: Outbox
    ticket: Ticket | None = None
    address = ""
    ended = False
    paused = False
    _is_silence_limit = False

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.clock = connections.clock

    @property
    def id(self) -> int:
        """The connection's number, for logs: never used twice while the process lives."""
        return self.ticket.id if self.ticket is not None else 0

    # --- what Twisted calls -------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Subclasses call this first; afterwards L{ended} tells whether there is room."""
        self.address = self.ticket.address if self.ticket is not None else host_of(self.transport)
        make_prompt(self.transport)
        self.outbox = self.make_outbox()
        if self.connections.add(self):
            self.time_limit(self.connections.login_timeout)
        else:
            self.cut(Reason.CROWDED)

    def dataReceived(self, data: bytes) -> None:
        if self.ended:
            return
        if self._is_silence_limit:
            self.resetTimeout()
        try:
            self.receive(data)
        except WireError as fault:
            self.malformed(str(fault))
        except Exception:
            self.failed(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.ticket is not None:
            self.ticket.lost()
        self.outbox.lost()
        self._leave()
        self.connections.discard(self)

    def callLater(self, period: float, call: Callable[[], object]) -> IDelayedCall:
        """The hook that L{TimeoutMixin} offers."""
        return self.clock.callLater(period, call)

    def timeoutConnection(self) -> None:
        self.cut(Reason.SILENT)

    def pauseProducing(self) -> None:
        """Read no further, and obey nothing more of what was read."""
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on with what was read, and then read on."""
        self.paused = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    # --- what a wire format may do otherwise --------------------------------------------------

    def make_outbox(self) -> Outbox:
        """What the client is told goes into this."""
        return Outbox(
            self.transport,
            self.connections.turn,
            limit=self.connections.max_unread,
            overflowed=self.overflowed,
        )

    def receive(self, data: bytes) -> None:
        """
        Obey what has come in.

        By default the class behind this one cuts it into messages.  What it raises ends this
        connection alone: L{WireError} as L{Reason.MALFORMED}, anything else as a bug.
        """
        super().dataReceived(data)

    def left(self) -> None:
        """The player is gone, whatever the reason; called once."""

    def malformed(self, fault: str) -> None:
        """The client has broken its wire format."""
        self.cut(Reason.MALFORMED, fault)

    # --- what a session may ask for -----------------------------------------------------------

    def logged_in(self) -> None:
        """It is known who the client is: the door's time limit no longer holds."""
        if self.ticket is not None:
            self.ticket.logged_in()

    def time_limit(self, seconds: float | None) -> None:
        """Cut the connection as silent so many seconds from now; 0 or L{None}: never."""
        self._is_silence_limit = False
        self.setTimeout(seconds or None)

    def silence_limit(self, seconds: float | None) -> None:
        """As L{time_limit}, but the seconds begin anew with every read."""
        self.time_limit(seconds)
        self._is_silence_limit = bool(seconds)

    def give_way(self) -> None:
        """Let the other connections have their turn before this one is heard on."""
        self.pauseProducing()
        self.clock.callLater(0, self._go_on)

    def cut(self, reason: Reason, detail: str = "", last: bytes = b"") -> None:
        """
        End the connection, for a reason that is logged and counted.

        @param detail: what the log says besides.
        @param last: told to the client, after what it was told before; the connection closes
            when that has been delivered.  Without, it is aborted, unless the reason is C{gentle}.
        """
        if self.ended:
            return
        self._count(reason, detail)
        if last:
            self.outbox.send(last)
        if last or reason in self.gentle:
            self.close()
        else:
            self.abort()

    def abort(self) -> None:
        """End the connection now, whatever it is still owed."""
        if not self.ended:
            self._leave()
            self.outbox.abort()

    def close(self, linger: float = LINGER) -> None:
        """Say nothing more, and close the connection when what was said has been delivered."""
        if not self.ended:
            self._leave()
            self.outbox.close(linger)

    def failed(self, failure: Failure) -> None:
        """A bug of ours, at the cost of this connection alone."""
        self._log.failure("{game} met a bug", failure, game=self.connections.game)
        self.cut(Reason.FAILED)

    def overflowed(self) -> None:
        """More waits for the client than may."""
        self._count(Reason.SLOW, "")
        self._leave()
        self.transport.abortConnection()

    def _go_on(self) -> None:
        if not self.ended:
            self.resumeProducing()

    def _leave(self) -> None:
        if not self.ended:
            self.ended = True
            self.setTimeout(None)
            try:
                self.left()
            except Exception:  # which must not keep the connection
                self._log.failure("{game} met a bug", game=self.connections.game)

    def _count(self, reason: Reason, detail: str) -> None:
        game = self.connections.game
        self.connections.metrics.cuts[game, reason.value] += 1
        self._log.info(
            "{game} connection {id} from {address} is cut off as {reason}{detail}",
            game=game,
            id=self.id,
            address=self.address,
            reason=reason.value,
            detail=f": {detail}" if detail else "",
        )
