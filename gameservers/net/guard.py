"""
Connection limits, for all games alike: how many may be connected, from where, and for how long
without logging in.

Every connection has a L{Ticket} from its first moment to its last.  The door hands it to the
protocol that gets the connection, which tells it when its client has logged in
(L{Ticket.logged_in}) and when the connection is lost (L{Ticket.lost}).  A connection over a limit
is cut off at once, and counted as the game C{door}'s:

==================  ===========================================================================
C{crowded}          the server holds as many connections as it may, or as many that have not
                    logged in, or as many from this address; an IPv6 /64 is one address
C{silent}           no first byte in time, or not logged in in time
C{malformed}        no wire format's first bytes
C{refused}          recognised, but not taken here; or no TLS where only TLS is spoken
==================  ===========================================================================

Addresses in the C{trusted} networks are bound by no limit per address.  Behind a balancer that
speaks the PROXY protocol a connection's address is known only when it has said something; until
then no limit per address touches it.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol

from gameservers.config.vocabulary import Retired, networks, option
from gameservers.metrics import Metrics
from gameservers.net.address import host_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What holds at every port: encryption, and the limits."""

    tls_cert: str = option(
        "", "PEM file with the certificate, and its chain; with it every port speaks TLS, too"
    )
    tls_key: str = option("", "PEM file with the certificate's private key, unencrypted")
    tls_only: bool = option(False, "Refuse connections that are not encrypted (UDP never is)")
    max_connections: int = option(
        20_000,
        "connections at once, of all games: what one process serves well, if the system lets it"
        " have as many open files",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
    )
    max_pending_logins: int = option(
        5_000,
        "connections at once that have not logged in: a moment's rush of players fits, and a"
        " flood leaves most of the room to them",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
        aliases=("max-strangers",),
    )
    max_per_address: int = option(
        200,
        "connections at once from one IPv4 address or one IPv6 /64: a school behind one router"
        " fits, one machine cannot fill the server",
        unit="connections",
        minimum=1,
        maximum=1_000_000,
    )
    first_byte_timeout: int = option(
        10,
        "time a connection has for its first byte: every client speaks first, and at once",
        unit="seconds",
        minimum=1,
        maximum=3_600,
    )
    login_timeout: int = option(
        120,
        "time a connection has to log in to its game: a backstop, since each game has a shorter"
        " one of its own",
        unit="seconds",
        minimum=1,
        maximum=86_400,
    )
    trusted: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1"),
        "networks whose addresses no limit per address touches",
        check=networks,
    )

    retired: ClassVar[Retired] = {
        "max-first-bytes": "64 bytes that no game recognises end a connection"
    }


class Reason(enum.StrEnum):
    """Why the server ends a connection; one list for all games."""

    SLOW = "slow"  # it does not read what it is told
    SILENT = "silent"  # it said nothing, or not enough, in time
    MALFORMED = "malformed"  # it broke its wire format, or was none that is known
    FULL = "full"  # its game has no place for another player
    CROWDED = "crowded"  # there are too many connections: in all, or from its address
    REFUSED = "refused"  # it may not come in: a wrong password, version or origin
    FLOOD = "flood"  # it said too much
    BANNED = "banned"  # it is kept out, or was put out
    FAILED = "failed"  # a mistake of ours, or something that the server depends on


@dataclass(eq=False, slots=True)
class Ticket:
    """
    One connection, as the guard sees it.

    @ivar id: its number, never used twice while the process lives.
    @ivar transport: through which it came, with its address.
    @ivar timer: ends its patience.
    @ivar place: the address under which it is counted; L{None} until that is known.
    @ivar spoke: whether its first byte has come.
    @ivar pending: whether it has not logged in.
    """

    guard: Guard
    id: int
    transport: Any
    timer: IDelayedCall | None = None
    place: str | None = None
    spoke: bool = field(default=False, init=False)
    pending: bool = field(default=True, init=False)

    @property
    def address(self) -> str:
        """The peer's host as text, without its port."""
        return host_of(self.transport)

    def logged_in(self) -> None:
        """It is known who the client is: no time limit of the door's holds any more."""
        self.guard.logged_in(self)

    def lost(self) -> None:
        """The connection is lost."""
        self.guard.left(self)


class Guard:
    """
    Who is connected, of all games and all ports, and whether one more may be.

    @ivar pending: how many have not logged in.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, settings: DoorSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.pending = 0
        self._ids = count(1)
        self._clock = clock
        self._metrics = metrics
        self._tickets: set[Ticket] = set()
        self._from: Counter[str] = Counter()  # connections, by place
        self._trusted = tuple(ipaddress.ip_network(text) for text in settings.trusted)
        metrics.connections.read = lambda: {(): len(self._tickets)}

    def __len__(self) -> int:
        return len(self._tickets)

    def arrived(self, transport: Any) -> Ticket | None:
        """A connection is made: its ticket, or L{None} if there is no room for it."""
        ticket = Ticket(self, next(self._ids), transport)
        if len(self._tickets) >= self.settings.max_connections:
            self.cut(ticket, Reason.CROWDED, "too many connections")
        elif self.pending >= self.settings.max_pending_logins:
            self.cut(ticket, Reason.CROWDED, "too many that have not logged in")
        elif not _knows_its_peer(transport) or self._find_room(ticket):
            self._tickets.add(ticket)
            self.pending += 1
            self._limit(ticket, self.settings.first_byte_timeout)
            return ticket
        return None

    def spoke(self, ticket: Ticket) -> bool:
        """
        The first byte has come.

        @return: whether there is room for one more from where it comes from.
        """
        ticket.spoke = True
        if ticket.place is None and not self._find_room(ticket):
            return False
        self._limit(ticket, self.settings.login_timeout)
        return True

    def logged_in(self, ticket: Ticket) -> None:
        """The client of this connection has logged in."""
        if ticket.pending and ticket in self._tickets:
            ticket.pending = False
            self.pending -= 1
            self._limit(ticket, None)

    def left(self, ticket: Ticket) -> None:
        """This connection is lost."""
        if ticket not in self._tickets:
            return
        self._tickets.remove(ticket)
        self._limit(ticket, None)
        self.pending -= ticket.pending
        if ticket.place:
            self._from[ticket.place] -= 1
            if not self._from[ticket.place]:
                del self._from[ticket.place]

    def place_of(self, host: str) -> str:
        """What a host counts as; C{""} if no limit per address touches it."""
        return place_of(host, self._trusted)

    def cut(self, ticket: Ticket, reason: Reason, detail: str) -> None:
        """End a connection now, for a reason that is counted."""
        self._metrics.cuts["door", reason.value] += 1
        self._log.debug(
            "connection {id} from {address} is cut off at the door as {reason}: {detail}",
            id=ticket.id,
            address=ticket.address,
            reason=reason.value,
            detail=detail,
        )
        ticket.transport.abortConnection()

    def _find_room(self, ticket: Ticket) -> bool:
        """Count a connection where it comes from, or cut it off."""
        place = self.place_of(ticket.address)
        if place and self._from[place] >= self.settings.max_per_address:
            self.cut(ticket, Reason.CROWDED, "too many from its address")
            return False
        ticket.place = place
        if place:
            self._from[place] += 1
        return True

    def _limit(self, ticket: Ticket, seconds: float | None) -> None:
        """A limit of time counts from now on, or none, instead of the one before."""
        if ticket.timer is not None and ticket.timer.active():
            ticket.timer.cancel()
        late = self._too_late
        ticket.timer = None if seconds is None else self._clock.callLater(seconds, late, ticket)

    def _too_late(self, ticket: Ticket) -> None:
        self.cut(ticket, Reason.SILENT, "not logged in" if ticket.spoke else "no first byte")


def place_of(host: str, trusted: Iterable[Network] = ()) -> str:
    """
    What counts as one address: an IPv4 address, or the /64 of an IPv6 one.

    @return: C{""} for a trusted address and for what has none.
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


def _knows_its_peer(transport: Any) -> bool:
    """Whether the address it gives is the peer's, before anything has come from there."""
    wrapped = isinstance(transport, ProtocolWrapper)  # that of the PROXY protocol is private
    return not wrapped or isinstance(transport, TLSMemoryBIOProtocol)
