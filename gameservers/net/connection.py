"""
The base class of all stream protocols.

A wire format's protocol class has L{Connection} as its first base, followed by the class that
splits the stream into messages: C{class VelNetTextProtocol(Connection, LineReceiver)}.  The
subclass only says what a message means.  The states of a connection::

    open ----> closing: pending output is sent, input is ignored
      |           |
      +-----------+----> lost

As soon as it is no longer open, L{Connection.ended} is true and L{Connection.left} has been
called, exactly once, so that the player no longer counts as present.

What is received is handled for a slice of time, then other connections have their turn
(L{gameservers.net.turn}).  Input waits as long as there is a L{Hold} on the connection; nothing
more is read from the network then, after one read at most.

When the server cuts a connection off, it does so for one of the L{Reason}s, which is logged with
details and counted as C{gameservers_cuts_total{game, reason}}.

All connections of a game share one L{Connections}, which holds their limits and resources.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from gameservers.metrics import Metrics
from gameservers.net.address import host_of
from gameservers.net.bypass import make_prompt
from gameservers.net.connection_log import ConnectionLog
from gameservers.net.guard import Reason as Reason
from gameservers.net.guard import Ticket, place_of
from gameservers.net.outbox import LINGER, Outbox
from gameservers.net.rates import Allowance
from gameservers.net.turn import WRITE, Turn
from gameservers.wire import WireError

#: How long clients have at shutdown to read what was sent to them, in seconds.
FAREWELL = 3.0

#: A log-in with another name on the same connection is logged if the last line is so old, in
#: seconds.
RENAMED = 1.0

#: The default of L{Connection.block}, in bytes: C{LineReceiver} copies for each line all that
#: follows.
BLOCK = 4096

#: Interval at which a sender that is slowed down looks whether everybody keeps up, in seconds.
SLOWED = 0.05


class Hold(enum.Enum):
    """Why the input of a connection waits."""

    TURN = "its slice of the turn is used up"
    SESSION = "its session waits for something"
    SPREAD = "it sends more than guaranteed, and not everybody keeps up"
    READER = "it has to read first"


#: The holds of a client that has sent more than could be handled, and not of one that waits for an
#: answer.
BUSY = frozenset({Hold.TURN, Hold.SPREAD})


class Hearer(Protocol):
    """
    A client, or several, to which others send.

    @ivar lags: whether it is too slow to read what it is sent.
    """

    @property
    def lags(self) -> bool: ...


class Connections:
    """
    The open connections of one game, and the limits and resources that they share.

    @ivar game: the game's short name.
    @ivar turn: the reactor turn at whose end outboxes are flushed.
    @ivar log: has the lines of log-ins and cuts.
    @ivar max_unread: bytes that may wait for a client that does not read.
    @ivar login_timeout: seconds a client has to log in.
    @ivar max_open: connections at once; 0 is any number.
    @ivar max_per_address: connections at once from one address; 0 is any number.
    @ivar rate: what one client may always send to others, per second; 0 is no limit.
    @ivar burst: what it may send at once.
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
        rate: float = 0,
        burst: float = 0,
        place_of: Callable[[str], str] = place_of,
        turn: Turn | None = None,
        log: ConnectionLog | None = None,
    ) -> None:
        """
        Give zero for no limit.

        @param place_of: what a host is counted under; C{""} if it has no limit per address.
        @param turn: the reactor turn that all games share.
        @param log: has the lines of log-ins and cuts, of all games.
        """
        self.game = game
        self.clock = clock
        self.metrics = metrics
        self.turn = Turn(clock) if turn is None else turn
        self.log = ConnectionLog(clock, place_of) if log is None else log
        self.max_unread = max_unread
        self.login_timeout = login_timeout
        self.max_open = max_open
        self.max_per_address = max_per_address
        self.rate = rate
        self.burst = burst
        self._place_of = place_of
        self._open: dict[Connection, str] = {}  # with the address that each counts for
        #: Those that have not logged in, the one that has waited longest first.
        self._strangers: dict[Connection, None] = {}
        self._from: Counter[str] = Counter()
        self._empty: Deferred[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """The connections that are open now; they may close during the iteration."""
        return iter(tuple(self._open))

    @property
    def full(self) -> bool:
        """Whether there is no room for another connection."""
        return self._is_crowded and not self._strangers

    @property
    def _is_crowded(self) -> bool:
        return bool(self.max_open) and len(self._open) >= self.max_open

    def add(self, connection: Connection) -> bool:
        """
        Count a new connection, unless there are too many.

        Who has waited longest without a log-in makes room, as at the door.
        """
        place = self._place_of(connection.address) if self.max_per_address else ""
        if self.full or (place and self._from[place] >= self.max_per_address):
            return False
        if self._is_crowded:
            oldest = next(iter(self._strangers))
            self.discard(oldest)
            oldest.make_room()
        self._open[connection] = place
        self._strangers[connection] = None
        self._from[place] += 1
        return True

    def logged_in(self, connection: Connection) -> None:
        """Note that the client of this connection has logged in."""
        self._strangers.pop(connection, None)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is lost, or that another game takes over."""
        self._strangers.pop(connection, None)
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
        Close all connections after sending what is pending.

        @return: fires when all are lost, or after C{patience} seconds.
        """
        for connection in self:
            connection.close(patience)
        if not self._open:
            return succeed(None)
        empty = self._empty = Deferred[None]()
        return empty.addTimeout(patience, self.clock, lambda _, __: None)


class Connection(TimeoutMixin, protocol.Protocol):
    """
    One client on a stream transport.

    @cvar gentle: reasons for which pending output is still sent before the connection is cut.
    @cvar block: bytes that the next base class is given at once; 0: all that was read.
        After each, other connections may have their turn.
    @ivar connections: all connections of the game, including this one.
    @ivar ticket: the guard's ticket, handed over by the door; L{None} where there is no door.
    @ivar address: the peer's host as text, without its port.
    @ivar outbox: takes what is sent to the client.
    @ivar ended: whether the connection is closing or lost: its input is ignored.
    @ivar paused: whether there is a hold; what was read already waits.
    @ivar used: see L{gameservers.net.turn.Waiting}.
    """

    _log = Logger()

    gentle: Collection[Reason] = ()
    block = BLOCK
    transport: Any  # a stream transport
    outbox: Outbox
    ticket: Ticket | None = None
    address = ""
    ended = False
    paused = False
    used = 0.0
    _is_silence_limit = False
    _handling = False
    _reads = True
    _until = 0.0  # when the present slice ends
    _release: IDelayedCall | None = None  # of L{Hold.SPREAD}
    _logged: str | None = None  # the name under which its log-in was logged
    _logged_at = 0.0

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.clock = connections.clock
        self.turn = connections.turn
        self._seconds = connections.clock.seconds
        self._holds: set[Hold] = set()
        self._unread: deque[bytes] = deque()  # received, but not given to the decoder yet
        self._allowance = Allowance(connections.rate, connections.burst, self._seconds())

    @property
    def id(self) -> int:
        """The connection's number, for logs; unique while the process lives."""
        return self.ticket.id if self.ticket is not None else 0

    # --- what Twisted calls -------------------------------------------------------------------

    def connectionMade(self) -> None:
        """
        Set up; subclasses call this first.  Afterwards L{ended} is true if there was no room.
        """
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
        unread = self._unread
        if self.block and len(data) > self.block:
            starts = range(0, len(data), self.block)
            unread.extend(data[start : start + self.block] for start in starts)
        elif unread or self.paused or not (time := self.turn.slice_for(self)):
            unread.append(data)
        else:  # nearly always
            self._handle_for(time, data)
            return
        if self.paused:
            self.stop_reading()
        elif time := self.turn.slice_for(self):
            self._handle_for(time, unread.popleft())
        else:
            self.give_way()

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
        """Handle nothing more until L{resumeProducing}."""
        self.hold(Hold.SESSION)

    def resumeProducing(self) -> None:
        """Handle what was read, and then read on."""
        self.release(Hold.SESSION)

    # --- what subclasses may override ---------------------------------------------------------

    def make_outbox(self) -> Outbox:
        """Make the outbox for what is sent to the client."""
        return Outbox(
            self.transport,
            self.connections.turn,
            limit=self.connections.max_unread,
            overflowed=self.overflowed,
        )

    def receive(self, data: bytes) -> None:
        """
        Handle data that was received.

        By default the next base class splits it into messages.  After each message, call
        L{handled}, and stop while the connection is C{paused}; it is called with C{b""} to go on.
        An exception ends this connection alone: L{WireError} as L{Reason.MALFORMED}, any other as
        a bug.
        """
        super().dataReceived(data)

    def left(self) -> None:
        """Remove the player; called once, whatever the reason."""

    def malformed(self, fault: str) -> None:
        """The client has broken its wire format."""
        self.cut(Reason.MALFORMED, fault)

    # --- what a session may ask for -----------------------------------------------------------

    def logged_in(self, name: str = "") -> None:
        """
        Note that the client has logged in, which lifts the door's time limit and is logged.

        It may be called again when the client has another name.
        """
        self.connections.logged_in(self)
        if self.ticket is not None:
            self.ticket.logged_in()
        now = self._seconds()
        if self._logged is None or (name != self._logged and now >= self._logged_at + RENAMED):
            self._logged, self._logged_at = name, now
            self.connections.log.logged_in(self.connections.game, self.id, self.address, name)

    def time_limit(self, seconds: float | None) -> None:
        """Cut the connection as silent after this many seconds; 0 or L{None}: never."""
        self._is_silence_limit = False
        self.setTimeout(seconds or None)

    def silence_limit(self, seconds: float | None) -> None:
        """Like L{time_limit}, but every read starts the time anew."""
        self.time_limit(seconds)
        self._is_silence_limit = bool(seconds)

    def handled(self) -> None:
        """Give way to other connections, if a message was the last one of this slice."""
        if self._seconds() + self.turn.output * WRITE >= self._until:
            self.give_way()

    def proceed(self) -> None:
        """Handle what waits in the decoder, as it need not wait any more."""
        if self.paused:
            self.release(Hold.SESSION)
        else:
            self.dataReceived(b"")

    def give_way(self) -> None:
        """Let other connections have their turn before this one continues."""
        if Hold.TURN not in self._holds:
            self._holds.add(Hold.TURN)
            self.paused = True
            if not self._handling:  # else when its time has been counted
                self.turn.queue(self)

    def hold(self, hold: Hold) -> None:
        """Handle nothing more until this hold is released."""
        self._holds.add(hold)
        self.paused = True

    def release(self, hold: Hold) -> None:
        """Go on in turn, if there is no other hold."""
        if hold in self._holds:
            self._holds.remove(hold)
            if not self._holds and not self.ended:
                self.give_way()

    def spread(self, amount: float, hearers: Iterable[Hearer]) -> None:
        """
        Note that the client has sent something to others.

        It is slowed down to the guaranteed rate while not all of them keep up.
        """
        if not self.turn.backlog.lagging:
            self._allowance.used += amount
        elif self._release is None and not self.ended:
            self._slow_down(hearers, amount)

    def cut(self, reason: Reason, detail: str = "", last: bytes = b"") -> None:
        """
        End the connection, for a reason that is logged and counted.

        @param detail: what the log says in addition.
        @param last: a last message to the client, sent after what is pending; the connection is
            closed when it has been delivered.  Without it, the connection is aborted, unless the
            reason is C{gentle}.
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

    def make_room(self) -> None:
        """End the connection, as there are too many and its client has not logged in."""
        self.cut(Reason.CROWDED, "waited longest of too many without a log-in")
        self.outbox.abort()

    def abort(self) -> None:
        """End the connection now and drop what is pending."""
        if not self.ended:
            self._leave()
            self.outbox.abort()

    def close(self, linger: float = LINGER) -> None:
        """Send nothing more, and close the connection when what is pending has been delivered."""
        if not self.ended:
            self._leave()
            self.read_on()  # to notice when the client closes its side
            self.outbox.close(linger)

    def failed(self, failure: Failure) -> None:
        """Log a bug of the server, and end this connection alone."""
        self._log.failure("{game} met a bug", failure, game=self.connections.game)
        self.cut(Reason.FAILED)

    def overflowed(self) -> None:
        """Cut off a client for which more than C{max_unread} bytes wait."""
        self._count(Reason.SLOW, "")
        self._leave()
        self.transport.abortConnection()

    # --- input --------------------------------------------------------------------------------

    def go_on(self, time: float) -> None:
        """Handle what waits for this many seconds, as it is this connection's turn."""
        self._holds.discard(Hold.TURN)
        if self._holds or self.ended:
            return
        self.paused = False
        self._handle_for(time, b"")
        if not self.paused:
            self.read_on()

    def stop_reading(self) -> None:
        """Read nothing more from the network."""
        if self._reads:
            self._reads = False
            self.transport.pauseProducing()

    def read_on(self) -> None:
        """Read from the network again."""
        if not self._reads:
            self._reads = True
            self.transport.resumeProducing()

    def _handle_for(self, time: float, data: bytes) -> None:
        """Handle received data, and then what waits, for this many seconds from now."""
        if self._is_silence_limit:  # while it is not read from it can give no sign of life
            self.resetTimeout()
        begun, output = self._seconds(), self.turn.output
        self._until = begun + time + output * WRITE
        self._handling = True
        unread = self._unread
        try:
            self.receive(data)
            while unread and not (self.paused or self.ended):
                self.handled()
                if not self.paused:
                    self.receive(unread.popleft())
        except WireError as fault:
            self.malformed(str(fault))
        except Exception:
            self.failed(Failure())
        self._handling = False
        writing = (self.turn.output - output) * WRITE
        more = bool(unread) or not self._holds.isdisjoint(BUSY)
        self.turn.spend(self, self._seconds() - begun, more=more, writing=writing)
        if self.paused and Hold.TURN in self._holds:
            self.turn.queue(self)

    def _slow_down(self, hearers: Iterable[Hearer], amount: float = 0) -> None:
        """Wait until the client has sent no more than guaranteed, or everybody keeps up."""
        wait = self._allowance.wait(self._seconds(), amount)
        if wait and any(hearer.lags for hearer in hearers):
            self.hold(Hold.SPREAD)
            again = partial(self._slow_down, hearers)
            self._release = self.callLater(min(wait, SLOWED), again)
        else:
            self._release = None
            self.release(Hold.SPREAD)

    def _leave(self) -> None:
        if not self.ended:
            self.ended = True
            self.setTimeout(None)
            self._unread.clear()
            if self._release is not None and self._release.active():
                self._release.cancel()
            try:
                self.left()
            except Exception:  # which must not keep the connection
                self._log.failure("{game} met a bug", game=self.connections.game)

    def _count(self, reason: Reason, detail: str) -> None:
        game = self.connections.game
        self.connections.metrics.cuts[game, reason.value] += 1
        self.connections.log.cut(game, self.id, self.address, reason.value, detail)
