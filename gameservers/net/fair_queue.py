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
  - what waits is handled in rounds, address by address, each for L{QUANTUM}: a deficit round robin
    of time, because a datagram for a room takes fifty times as long as a ping.  Within an address
    the senders take turns.  Every sender of a trusted host (this machine, or a relay) counts as
    an address of its own.  An address that was not in the last round comes first, as in FQ-CoDel
    (RFC 8290, section 4.2): who sends little does not wait for those who send much;
  - addresses can be forged in such numbers that a round over all of them takes long.  So those
    that a game knows (L{gameservers.net.datagrams.Datagrams.knows}) have one round and all others
    another, and the two advance alternately.

A datagram that seems to come from one of the server's own ports is dropped as C{forged}: its
answer would be a datagram to the server, and that one's answer another.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from cachetools import LRUCache
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gameservers.net.address import Address, is_own, unmapped
from gameservers.net.guard import DoorSettings
from gameservers.net.rates import TokenBucket

#: How long datagrams are handled in a reactor turn, in seconds; a single one may take longer.
SHARE = 0.003

#: How long datagrams of one address are handled in a round, in seconds; what one of them takes
#: more is made up for in the next rounds.
QUANTUM = 0.0003

#: Number of datagrams of a sender that wait without regard to its rate: the server may just have
#: been interrupted.
MAX_AHEAD = 64

#: Memory for datagrams that wait, in bytes, and what one takes besides its payload.  Senders that
#: no game knows can take half of it.
MAX_HELD = 8 * 1024 * 1024
OVERHEAD = 200

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


class _Place:
    """
    An address.

    @ivar senders: those of which something waits, in turn.
    @ivar in_round: whether it has a place in a round.
    @ivar credit: how long its datagrams may be handled in this round, in seconds.
    """

    __slots__ = ("budget", "credit", "in_round", "senders")

    def __init__(self, budget: TokenBucket) -> None:
        self.budget = budget
        self.senders: deque[_Sender] = deque()
        self.in_round = False
        self.credit = 0.0


class _Sender:
    """A host and port, and what waits of it: datagrams with the port that received them."""

    __slots__ = ("address", "budget", "place", "waiting")

    def __init__(self, address: Address, place: _Place, budget: TokenBucket) -> None:
        self.address = address
        self.place = place
        self.budget = budget
        self.waiting: deque[tuple[Receiver, bytes]] = deque()


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
        self._fresh: deque[_Place] = deque()  # known, and not in the last round
        self._known: deque[_Place] = deque()
        self._strangers: deque[_Place] = deque()
        self._held = 0
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
        known = port.knows(address)
        size = len(datagram) + OVERHEAD
        if self._held + size > (MAX_HELD if known else MAX_HELD // 2):
            port.drop(Drop.FLOOD)
            return
        self._held += size
        if not sender.waiting:
            place = sender.place
            place.senders.append(sender)
            if not place.in_round:
                place.in_round = True
                place.credit = QUANTUM
                (self._fresh if known else self._strangers).append(place)
        sender.waiting.append((port, datagram))

    def _work(self) -> None:
        fresh, known, strangers = self._fresh, self._known, self._strangers
        self._next_turn = None
        now = self._clock.seconds()
        end = now + SHARE
        while fresh or known or strangers:
            if now >= end:
                self._next_turn = self._clock.callLater(0, self._work)
                return
            if fresh:
                now = self._serve(fresh, known, now)
            elif known:
                now = self._serve(known, known, now)
            if strangers:
                now = self._serve(strangers, strangers, now)

    def _serve(self, ring: deque[_Place], after: deque[_Place], now: float) -> float:
        """
        Handle a datagram of the first place in a round, or go on to the next.

        @param after: the ring in which it is last then.
        @return: the time afterwards.
        """
        place = ring[0]
        senders = place.senders
        if place.credit <= 0 or not senders:
            ring.popleft()
            place.credit += QUANTUM
            place.in_round = bool(senders) or ring is not after
            if place.in_round:
                after.append(place)
            return now
        sender = senders.popleft()
        port, datagram = sender.waiting.popleft()
        if sender.waiting:
            senders.append(sender)
        self._held -= len(datagram) + OVERHEAD
        port.handle(datagram, sender.address)
        later = self._clock.seconds()
        place.credit = max(place.credit - (later - now), -SHARE)
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
