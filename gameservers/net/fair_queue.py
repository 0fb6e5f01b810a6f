"""
Fair turns for the datagrams of all ports.

A port reads everything that has arrived, because a full socket buffer would lose the datagrams of
all senders alike.  They are handled at once, for at most L{SHARE} in a reactor turn.  What is
left then is an overload: it waits for the next turn, and so does what arrives until nothing waits
any more.  In an overload

  - of each sender (host and port) L{MAX_AHEAD} datagrams are queued.  One more is queued only
    within two budgets, its sender's and its address's (an IPv4 address or an IPv6 /64), and
    otherwise dropped before anything of it is parsed, as C{flood}.  So a sender may always send
    at C{--max-datagrams}, and faster as long as the server keeps up;
  - what waits is handled address by address: next is the one whose datagrams have taken least of
    the time (start-time fair queueing, as in L{gameservers.net.turn}), because a datagram for a
    room takes fifty times as long as a ping.  An address of which nothing waited begins where the
    others are, or L{GRACE} before, so who sends little does not wait for those who send much.
    Within an address the senders take turns.  Every sender of a trusted host (this machine, or a
    relay) counts as an address of its own;
  - addresses can be forged in such numbers that one datagram of each would take long.  So those
    that a game knows (L{gameservers.net.datagrams.Datagrams.knows}) wait apart from all others,
    and the two groups advance alternately, each with memory of its own.  When that is full,
    L{RESERVED} datagrams of each known sender still find room, and as many of an address that is
    not known as long as the L{SPARE} memory lasts: who fills it takes it from nobody else.

A datagram that seems to come from one of the server's own ports is dropped as C{forged}: its
answer would be a datagram to the server, and that one's answer another.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from cachetools import LRUCache
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gameservers.net.address import Address, is_own, unmapped
from gameservers.net.guard import DoorSettings
from gameservers.net.rates import TokenBucket

#: How long datagrams are handled in a reactor turn, in seconds; a single one may take longer.
SHARE = 0.003

#: The time by which an address may be ahead of the others and still be next when it sends again,
#: in seconds.
GRACE = 0.0005

#: The most that an address is charged for a datagram, in seconds.  What takes longer is mostly
#: time in which the process did not run, and would keep it waiting for all the others.
MOST = 0.0005

#: Number of datagrams of a sender that wait without regard to its rate: the server may just have
#: been interrupted.
MAX_AHEAD = 64

#: Memory for datagrams that wait, in bytes: for those of senders that a game knows, and as much
#: for those of all others; and what a datagram takes besides its payload.
MAX_HELD = 4 * 1024 * 1024
OVERHEAD = 200

#: Datagrams of a known sender, or of another address, that find room when the memory is full; and
#: the additional memory for those of other addresses, in bytes.
RESERVED = 4
SPARE = 1024 * 1024

#: Senders that are remembered: between this many and twice as many, the most recent ones.
MAX_SENDERS = 4_096


class Drop(enum.StrEnum):
    """Why a datagram is dropped; one list for all games."""

    UNKNOWN = "unknown"  # no wire format recognises it
    MALFORMED = "malformed"  # it breaks its wire format
    FLOOD = "flood"  # the budget of its sender or receiver is used up
    FORGED = "forged"  # it seems to come from a port of the server's own
    REFUSED = "refused"  # a hello for a player that speaks from another address
    CONGESTED = "congested"  # too many wait for the network
    UNREACHABLE = "unreachable"  # there is no route to its receiver
    FAILED = "failed"  # a bug of the server


class Receiver(Protocol):
    """What the queue needs of a port."""

    def knows(self, address: Address) -> bool:
        """Whether one of its games knows this sender."""

    def handle(self, datagram: bytes, address: Address) -> None:
        """Handle a datagram; never raises."""

    def drop(self, reason: Drop) -> None:
        """Count a datagram that is dropped unseen."""


class _Line:
    """
    What waits of an address.

    @ivar used: the time that its datagrams have taken, in seconds.
    @ivar senders: those of which something waits, in turn.
    @ivar waiting: the number of datagrams.
    """

    __slots__ = ("senders", "used", "waiting")

    def __init__(self) -> None:
        self.used = 0.0
        self.senders: deque[_Sender] = deque()
        self.waiting = 0


class _Place:
    """
    An address.

    @ivar lines: what waits of its senders that are known, and of its others.
    """

    __slots__ = ("budget", "lines")

    def __init__(self, budget: TokenBucket) -> None:
        self.budget = budget
        self.lines = {True: _Line(), False: _Line()}


class _Sender:
    """
    A host and port.

    @ivar waiting: the datagrams that wait, with the port that received each.
    @ivar known: whether it was known when the first of them came.
    """

    __slots__ = ("address", "budget", "known", "place", "waiting")

    def __init__(self, address: Address, place: _Place, budget: TokenBucket) -> None:
        self.address = address
        self.place = place
        self.budget = budget
        self.known = False
        self.waiting: deque[tuple[Receiver, bytes]] = deque()


class _Lines:
    """
    Those who wait: a heap of lines, of which who has used least is next.

    @ivar held: the memory that they take, in bytes.
    """

    __slots__ = ("_heap", "_numbers", "_reached", "held")

    def __init__(self) -> None:
        self.held = 0
        self._heap: list[tuple[float, int, _Line]] = []
        self._numbers = count()
        self._reached = 0.0  # what the line that was served last had used

    def __bool__(self) -> bool:
        return bool(self._heap)

    def put(self, line: _Line, grace: float = 0.0) -> None:
        """Queue a line of which something waits now."""
        line.used = max(line.used, self._reached)
        heappush(self._heap, (line.used - grace, next(self._numbers), line))

    def take(self) -> _Line:
        """Take the next line out of the queue."""
        used, _, line = heappop(self._heap)
        self._reached = max(self._reached, used)
        return line


class FairQueue:
    """
    Handles the datagrams of all ports.

    @ivar own_ports: the numbers of the server's own UDP ports.
    """

    def __init__(
        self, clock: IReactorTime, settings: DoorSettings, place_of: Callable[[str], str]
    ) -> None:
        """
        Be empty.

        @param place_of: what a host is counted under; C{""} if it has no limit per address.
        """
        self.own_ports: set[int] = set()
        self._clock = clock
        self._settings = settings
        self._place_of = place_of
        self._recent: dict[Address, _Sender] = {}
        self._older: dict[Address, _Sender] = {}
        self._places: LRUCache[str, _Place] = LRUCache(MAX_SENDERS)
        self._lines = {True: _Lines(), False: _Lines()}
        self._is_own = lru_cache(MAX_SENDERS)(is_own)
        self._end = 0.0
        self._next_turn: IDelayedCall | None = None  # in an overload

    def __len__(self) -> int:
        """The number of senders that are remembered."""
        return len(self._recent) + len(self._older)

    def begin(self) -> None:
        """Note that a port begins to read: what it reads is handled for at most L{SHARE}."""
        self._end = self._clock.seconds() + SHARE

    def take(self, port: Receiver, datagram: bytes, address: Address) -> None:
        """Handle, queue or drop a datagram that this port has received."""
        if address[1] in self.own_ports and self._is_own(unmapped(address[0])):
            port.drop(Drop.FORGED)
        elif self._next_turn is None:
            port.handle(datagram, address)
            if self._clock.seconds() >= self._end:
                self._next_turn = self._clock.callLater(0, self._work)
        else:
            self._put(port, datagram, address)

    def _put(self, port: Receiver, datagram: bytes, address: Address) -> None:
        sender = self._recent.get(address) or self._meet(address)
        if len(sender.waiting) >= MAX_AHEAD and not self._pays(sender):
            port.drop(Drop.FLOOD)
            return
        if not sender.waiting:
            sender.known = port.knows(address)
        known, lines, line = (
            sender.known,
            self._lines[sender.known],
            sender.place.lines[sender.known],
        )
        held = lines.held + len(datagram) + OVERHEAD
        if held > MAX_HELD:
            waiting = len(sender.waiting) if known else line.waiting
            if waiting >= RESERVED or not (known or held <= MAX_HELD + SPARE):
                port.drop(Drop.FLOOD)
                return
        lines.held = held
        if not sender.waiting:
            line.senders.append(sender)
        if not line.waiting:
            lines.put(line, GRACE)
        line.waiting += 1
        sender.waiting.append((port, datagram))

    def _work(self) -> None:
        known, strangers = self._lines[True], self._lines[False]
        self._next_turn = None
        now = self._clock.seconds()
        end = now + SHARE
        while known or strangers:
            if now >= end:
                self._next_turn = self._clock.callLater(0, self._work)
                return
            for lines in (known, strangers):
                if lines:
                    now = self._serve(lines, now)

    def _serve(self, lines: _Lines, now: float) -> float:
        """Handle the next datagram; returns the time afterwards."""
        line = lines.take()
        sender = line.senders.popleft()
        port, datagram = sender.waiting.popleft()
        if sender.waiting:
            line.senders.append(sender)
        line.waiting -= 1
        lines.held -= len(datagram) + OVERHEAD
        port.handle(datagram, sender.address)
        later = self._clock.seconds()
        line.used += min(later - now, MOST)
        if line.waiting:
            lines.put(line)
        return later

    def _pays(self, sender: _Sender) -> bool:
        """Whether the sender is within its budgets, from which one datagram is taken then."""
        now, budget, shared = self._clock.seconds(), sender.budget, sender.place.budget
        if budget.wait(1, now) or shared.wait(1, now):
            return False
        budget.take(1)
        shared.take(1)
        return True

    def _meet(self, address: Address) -> _Sender:
        """Look for a sender among those that were not heard of recently, or make it."""
        sender = self._older.get(address) or self._make(address)
        if len(self._recent) >= MAX_SENDERS:
            self._recent, self._older = {}, self._recent
        self._recent[address] = sender
        return sender

    def _make(self, address: Address) -> _Sender:
        settings, now = self._settings, self._clock.seconds()
        name = self._place_of(unmapped(address[0]))
        place = self._places.get(name)
        if place is None:
            rate = settings.max_datagrams_per_address if name else 0
            place = _Place(TokenBucket(rate, rate, now))
            if name:
                self._places[name] = place
        return _Sender(
            address, place, TokenBucket(settings.max_datagrams, settings.max_datagrams_burst, now)
        )
