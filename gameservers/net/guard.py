"""
Connection limits, for all games alike: how many may be connected, from where, and how long a
stranger may take to say who he is.

Every connection has a L{Ticket} from its first moment to its last.  Its holder is a stranger
until his game says that he has logged in (L{Guard.logged_in}).  What is over a limit is cut off
at once and counted as C{door.cut.<why>}:

==================  ===========================================================================
C{crowded}          the server holds as many connections as it may
C{strangers}        as many of them have not logged in as may
C{address}          as many are from this address as may; an IPv6 /64 is one address
C{silent}           no first byte in time
C{late}             not logged in in time
C{unknown}          nobody's first bytes
C{unwelcome}        recognised, but nobody here takes it
C{plain}            no TLS where only TLS is spoken
==================  ===========================================================================

Addresses in the C{trusted} networks are bound by no limit per address.  Behind a balancer that
speaks the PROXY protocol a connection's address is known only when it has said something; until
then no limit per address touches it.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
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


@dataclass(eq=False, slots=True)
class Ticket:
    """
    One connection, as the guard sees it.

    @ivar id: its number, never used twice while the process lives.
    @ivar transport: through which it came, with its address.
    @ivar timer: ends its patience.
    @ivar place: the address under which it is counted; L{None} until that is known.
    @ivar spoke: whether its first byte has come.
    @ivar stranger: whether it has not logged in.
    """

    guard: Guard
    id: int
    transport: Any
    timer: IDelayedCall | None = None
    place: str | None = None
    spoke: bool = field(default=False, init=False)
    stranger: bool = field(default=True, init=False)

    @property
    def address(self) -> str:
        """The peer's host as text, without its port."""
        return host_of(self.transport)

    def logged_in(self) -> None:
        """It is known who the client is."""
        self.guard.logged_in(self.transport)

    def lost(self) -> None:
        """The connection is lost."""


class Guard:
    """
    Who is connected, of all games and all ports, and whether one more may be.

    @ivar strangers: how many have not logged in.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, settings: DoorSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.strangers = 0
        self._ids = count(1)
        self._clock = clock
        self._metrics = metrics
        self._tickets: dict[Any, Ticket] = {}  # by the transport that holds the socket
        self._from: Counter[str] = Counter()  # connections, by place
        self._trusted = tuple(ipaddress.ip_network(text) for text in settings.trusted)

    def __len__(self) -> int:
        return len(self._tickets)

    def arrived(self, transport: Any) -> Ticket | None:
        """A connection is made: its ticket, or L{None} if there is no room for it."""
        if len(self._tickets) >= self.settings.max_connections:
            self._cut("crowded", transport)
            return None
        if self.strangers >= self.settings.max_pending_logins:
            self._cut("strangers", transport)
            return None
        ticket = Ticket(self, next(self._ids), transport)
        if _knows_its_peer(transport) and not self._find_room(ticket):
            return None
        holder = _socket_holder(transport)
        self._tickets[holder] = ticket
        self.strangers += 1
        self._limit(ticket, self.settings.first_byte_timeout)
        _when_lost(holder, self._left)
        return ticket

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

    def logged_in(self, transport: Any) -> None:
        """A game says that whoever is behind this transport has logged in."""
        ticket = self._tickets.get(_socket_holder(transport))
        if ticket is not None and ticket.stranger:
            ticket.stranger = False
            self.strangers -= 1
            self._limit(ticket, None)

    def place_of(self, host: str) -> str:
        """What a host counts as; C{""} if no limit per address touches it."""
        return place_of(host, self._trusted)

    def cut(self, ticket: Ticket, why: str) -> None:
        """End a connection now, for a reason that is counted."""
        self._cut(why, ticket.transport)

    def _cut(self, why: str, transport: Any) -> None:
        self._metrics.cuts["door", why] += 1
        self._log.debug(
            "A connection from {address} is cut off at the door: {why}",
            address=host_of(transport),
            why=why,
        )
        transport.abortConnection()

    def _find_room(self, ticket: Ticket) -> bool:
        """Count a connection where it comes from, or cut it off."""
        place = self.place_of(host_of(ticket.transport))
        if place and self._from[place] >= self.settings.max_per_address:
            self.cut(ticket, "address")
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
        self.cut(ticket, "late" if ticket.spoke else "silent")

    def _left(self, holder: Any) -> None:
        ticket = self._tickets.pop(holder)
        self._limit(ticket, None)
        self.strangers -= ticket.stranger
        if ticket.place:
            self._from[ticket.place] -= 1
            if not self._from[ticket.place]:
                del self._from[ticket.place]


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


def _socket_holder(transport: Any) -> Any:
    """The transport that holds the socket, below TLS, PROXY protocol or WebSocket."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


def _when_lost(transport: Any, call: Callable[[Any], None]) -> None:
    # A connection changes protocols (it is handed over whole), so its end is heard of where it
    # is found out: in the transport.
    lost = transport.connectionLost

    def connection_lost(reason: Any) -> None:
        del transport.connectionLost
        call(transport)
        lost(reason)

    transport.connectionLost = connection_lost
