"""
Connection limits of the whole server: in all, per address, and before the log-in.

Every connection has a L{Ticket} as long as it is open.  The door hands it to the protocol that
takes over, which reports when the client has logged in (L{Ticket.logged_in}) and when the
connection is lost (L{Ticket.lost}).  A connection over a limit is cut off at once, and counted
under the game C{door}:

==================  ===========================================================================
C{crowded}          the limit of connections is reached: of all, or of those from this address; an
                    IPv6 /64 counts as one address; or the limit of those that have not logged
                    in, and of these it has waited longest
C{silent}           not recognised, or no log-in, in time
C{malformed}        the first bytes of no wire format
C{refused}          recognised, but not taken here; or no TLS where only TLS is spoken
==================  ===========================================================================

Addresses in the C{trusted} networks are exempt from limits per address.  With the PROXY protocol,
the client's address is known only when the first data has arrived; until then no limit per address
applies.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gameservers.config.vocabulary import Retired, networks, option
from gameservers.metrics import Metrics
from gameservers.net.address import REMEMBERED, host_of
from gameservers.net.backlog import PATIENCE
from gameservers.net.bypass import keep_alive
from gameservers.net.connection_log import LINES, ConnectionLog
from gameservers.net.proxy import Proxied

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """The settings of every port: encryption and limits."""

    tls_cert: str = option(
        "", "PEM file with the certificate, and its chain; with it every port speaks TLS, too"
    )
    tls_key: str = option("", "PEM file with the certificate's private key, unencrypted")
    tls_only: bool = option(False, "Refuse connections that are not encrypted (UDP never is)")
    max_connections: int = option(
        20_000,
        "connections at once, of all games; one process serves the default well, if the system"
        " allows as many open files",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
    )
    max_pending_logins: int = option(
        5_000,
        "connections at once that have not logged in; one more makes the one that has waited"
        " longest go; the default has room for a rush of players and leaves most of"
        " --max-connections free during a flood",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
        aliases=("max-strangers",),
    )
    max_per_address: int = option(
        200,
        "connections at once from one IPv4 address or one IPv6 /64; the default is enough for a"
        " school behind one router, and one machine cannot fill the server",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
    )
    max_datagrams: int = option(
        1_000,
        "datagrams from one sender (host and port) that are always handled; more only while the"
        " server keeps up",
        unit="datagrams/s",
        minimum=10,
        maximum=1_000_000,
    )
    max_datagrams_burst: int = option(
        500,
        "how many of them at once after a pause",
        unit="datagrams",
        minimum=1,
        maximum=1_000_000,
    )
    max_datagrams_per_address: int = option(
        10_000,
        "the same as --max-datagrams for all senders of one IPv4 address or one IPv6 /64, and as"
        " many at once",
        unit="datagrams/s",
        minimum=10,
        maximum=1_000_000,
    )
    first_byte_timeout: int = option(
        10,
        "time limit for the first bytes of a connection, by which it is recognised; in every game"
        " the client sends first",
        unit="seconds",
        minimum=1,
        maximum=3_600,
    )
    login_timeout: int = option(
        120,
        "time limit for logging in to a game; a last resort, since each game has a shorter limit"
        " of its own",
        unit="seconds",
        minimum=1,
        maximum=86_400,
    )
    max_unread_total: int = option(
        0,
        "What may wait for clients that are slow to read, of all games together; then those for"
        " which most waits are disconnected; 0 is a quarter of the machine's memory",
        unit="bytes",
        minimum=0,
        maximum=1 << 50,
    )
    unread_timeout: int = option(
        PATIENCE,
        "time after which a client that takes nothing of what waits for it is disconnected",
        unit="seconds",
        minimum=1,
        maximum=3_600,
    )
    keepalive: int = option(
        60,
        "silence of a TCP connection after which its peer is asked whether it still exists; one"
        " that has not answered for 1.5 times as long, or acknowledged what it was sent, is lost",
        unit="seconds",
        minimum=1,
        maximum=32_767,
        off=0,
    )
    max_log_lines: int = option(
        LINES,
        "log-ins and cuts of one IPv4 address or one IPv6 /64 that have a line in the log of their"
        " own, in 10 seconds; further ones are counted in one line",
        unit="lines",
        minimum=1,
        maximum=1_000_000,
    )
    trusted: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1"),
        "networks that are exempt from the limits per address",
        check=networks,
    )

    retired: ClassVar[Retired] = {
        "max-first-bytes": "64 bytes that no game recognises end a connection"
    }


class Reason(enum.StrEnum):
    """Why the server ends a connection; one list for all games."""

    SLOW = "slow"  # it does not read what it is sent
    SILENT = "silent"  # it sent nothing, or not enough, in time
    MALFORMED = "malformed"  # it broke its wire format, or is in no known one
    FULL = "full"  # its game has no room for another player
    CROWDED = "crowded"  # too many connections: in all, or from its address
    REFUSED = "refused"  # it is not accepted: wrong password, version or origin
    FLOOD = "flood"  # it sent too much
    BANNED = "banned"  # an operator banned or expelled it
    FAILED = "failed"  # a bug of the server, or a failure of something it needs


@dataclass(eq=False, slots=True)
class Ticket:
    """
    One connection, as the guard sees it.

    @ivar id: its number, unique while the process lives.
    @ivar transport: its transport, which knows the address.
    @ivar timer: its time limit.
    @ivar place: the address under which it is counted; L{None} until that is known.
    @ivar recognised: whether it is known what it speaks.
    """

    guard: Guard
    id: int
    transport: Any
    timer: IDelayedCall | None = None
    place: str | None = None
    recognised: bool = field(default=False, init=False)

    @property
    def address(self) -> str:
        """The peer's host as text, without its port."""
        return host_of(self.transport)

    def logged_in(self) -> None:
        """Note that the client has logged in, which lifts the door's time limits."""
        self.guard.logged_in(self)

    def lost(self) -> None:
        """The connection is lost."""
        self.guard.left(self)


class Guard:
    """
    Counts the connections of all games and ports, and enforces the limits.

    @ivar log: has the lines of log-ins and cuts, of all games.
    """

    def __init__(self, clock: IReactorTime, settings: DoorSettings, metrics: Metrics) -> None:
        self.settings = settings
        #: Those that have not logged in, the one that has waited longest first.
        self._pending: OrderedDict[Ticket, None] = OrderedDict()
        self._ids = count(1)
        self._clock = clock
        self._metrics = metrics
        self._tickets: set[Ticket] = set()
        self._from: Counter[str] = Counter()  # connections, by place
        trusted = tuple(ipaddress.ip_network(text) for text in settings.trusted)
        #: What a host is counted under; C{""} if it is exempt from limits per address.
        self.place_of = lru_cache(REMEMBERED)(partial(place_of, trusted=trusted))
        self.log = ConnectionLog(clock, self.place_of, settings.max_log_lines)
        metrics.connections.read = lambda: {(): len(self._tickets)}

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        """The tickets of all open connections."""
        return iter(tuple(self._tickets))

    @property
    def pending(self) -> int:
        """The number of connections that have not logged in."""
        return len(self._pending)

    def arrived(self, transport: Any) -> Ticket | None:
        """
        Register a new connection: its ticket, or L{None} if there is no room for it.

        If too many have not logged in, the one that has waited longest makes room: if the newcomer
        were refused, a few that never log in would keep everybody out.
        """
        ticket = Ticket(self, next(self._ids), transport)
        keep_alive(transport, self.settings.keepalive)
        if len(self._tickets) >= self.settings.max_connections:
            self.cut(ticket, Reason.CROWDED, "too many connections")
        elif isinstance(transport, Proxied) or self._find_room(ticket):
            while len(self._pending) >= self.settings.max_pending_logins:
                oldest = next(iter(self._pending))
                self.left(oldest)  # at once, as more may arrive before the connection is lost
                self.cut(oldest, Reason.CROWDED, "waited longest of too many without a log-in")
            self._tickets.add(ticket)
            self._pending[ticket] = None
            self._limit(ticket, self.settings.first_byte_timeout)
            return ticket
        return None

    def turned_away(self, host: str) -> None:
        """Note that a connection was closed before it was made, as too many arrive at once."""
        self._metrics.cuts["door", Reason.CROWDED.value] += 1
        detail = "too many arrive at once"
        self.log.cut("door", next(self._ids), host, Reason.CROWDED.value, detail)

    def has_room_for(self, ticket: Ticket) -> bool:
        """
        Count a connection under its address, which is known now, as data has arrived.

        @return: whether there is room for one more connection from this address, and this one
            has not been cut off.
        """
        if ticket.place is None and ticket in self._tickets:
            return self._find_room(ticket)
        return ticket in self._tickets

    def recognised(self, ticket: Ticket) -> None:
        """Note that it is known what a connection speaks."""
        if not ticket.recognised and ticket in self._pending:
            ticket.recognised = True
            self._limit(ticket, self.settings.login_timeout)

    def logged_in(self, ticket: Ticket) -> None:
        """Note that the client of this connection has logged in."""
        if ticket in self._pending:
            del self._pending[ticket]
            self._limit(ticket, None)

    def left(self, ticket: Ticket) -> None:
        """Forget a connection that is lost."""
        if ticket not in self._tickets:
            return
        self._tickets.remove(ticket)
        self._limit(ticket, None)
        self._pending.pop(ticket, None)
        if ticket.place:
            self._from[ticket.place] -= 1
            if not self._from[ticket.place]:
                del self._from[ticket.place]

    def cut(self, ticket: Ticket, reason: Reason, detail: str) -> None:
        """End a connection now; the reason is logged and counted."""
        self.count(ticket, reason, detail)
        ticket.transport.abortConnection()

    def count(self, ticket: Ticket, reason: Reason, detail: str) -> None:
        """Log and count the reason why a connection is ended."""
        self._metrics.cuts["door", reason.value] += 1
        self.log.cut("door", ticket.id, ticket.address, reason.value, detail)

    def _find_room(self, ticket: Ticket) -> bool:
        """Count a connection under its address, or cut it off."""
        place = self.place_of(ticket.address)
        if place and self._from[place] >= self.settings.max_per_address:
            self.cut(ticket, Reason.CROWDED, "too many from its address")
            return False
        ticket.place = place
        if place:
            self._from[place] += 1
        return True

    def _limit(self, ticket: Ticket, seconds: float | None) -> None:
        """Replace the ticket's time limit; it counts from now on."""
        if ticket.timer is not None and ticket.timer.active():
            ticket.timer.cancel()
        late = self._too_late
        ticket.timer = None if seconds is None else self._clock.callLater(seconds, late, ticket)

    def _too_late(self, ticket: Ticket) -> None:
        self.cut(ticket, Reason.SILENT, "no log-in" if ticket.recognised else "not recognised")


def place_of(host: str, trusted: Iterable[Network] = ()) -> str:
    """
    Normalise a host for counting: an IPv4 address, or the /64 of an IPv6 address.

    @return: C{""} for a trusted address and for what is no IP address.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if any(address in network for network in trusted):
        return ""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
