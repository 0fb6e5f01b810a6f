"""
The base class of all UDP protocols, and the port that they share.

A L{DatagramPort} reads what has arrived, and hands each datagram, in its turn (L{FairQueue}), to
the wire format that recognises it.  A datagram that no format recognises is counted and dropped
without an answer, because the sender's address may be forged.

A game's protocol has L{Datagrams} as its base.  An exception while one datagram is handled is
logged, and that datagram is dropped.  Datagrams that the network does not take are queued; if too
many wait, the oldest are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from errno import EAGAIN, ENOBUFS, EWOULDBLOCK
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from gameservers.metrics import Metrics
from gameservers.net.address import Address
from gameservers.net.bypass import datagram_sender
from gameservers.net.fair_queue import Drop as Drop
from gameservers.net.fair_queue import FairQueue
from gameservers.wire import Recogniser, Verdict

#: Maximum size of a received datagram, in bytes: the maximum of UDP, because a longer datagram
#: would be truncated without notice.
MAX_DATAGRAM = 65_535

#: Maximum number of datagrams that a port reads in a reactor turn.
MAX_READ = 4_000

#: Pause before retrying when the network takes no more datagrams, in seconds, and the maximum
#: number of those that waited which are sent then.
RETRY = 0.005
MAX_RESENT = 500


class DatagramPort(DatagramProtocol):
    """
    A UDP port of one or more wire formats.

    Their protocols share its transport, so that replies come from the port that received the
    request.
    """

    noisy = False
    transport: Any

    def __init__(
        self,
        protocols: Sequence[tuple[Recogniser, Datagrams]],
        queue: FairQueue,
        metrics: Metrics,
    ) -> None:
        self._protocols = protocols
        self._queue = queue
        self._metrics = metrics
        games = {protocol.game for _, protocol in protocols}
        self._game = games.pop() if len(games) == 1 else "door"

    def startProtocol(self) -> None:
        self._queue.own_ports.add(self.transport.getHost().port)
        for _, protocol in self._protocols:
            protocol.makeConnection(self.transport)

    def stopProtocol(self) -> None:
        stopped, self._protocols = self._protocols, ()
        for _, protocol in stopped:
            protocol.doStop()

    def arrived(self, receive: Callable[[int], tuple[bytes, Any]]) -> None:
        """
        Read what has arrived, and handle it in fair turns.

        @param receive: reads a datagram of at most this size; L{OSError} if there is none.
        """
        take = self._queue.take
        self._queue.begin()
        for _ in range(MAX_READ):
            try:
                datagram, address = receive(MAX_DATAGRAM)
            except OSError:
                return
            take(self, datagram, address[:2])  # IPv6 has more

    def knows(self, address: Address) -> bool:
        """Whether one of its games knows this sender."""
        return any(protocol.knows(address) for _, protocol in self._protocols)

    def handle(self, datagram: bytes, address: Address) -> None:
        """Hand a datagram over to the wire format that recognises it."""
        for recognises, protocol in self._protocols:
            if recognises(datagram) is Verdict.YES:
                protocol.datagramReceived(datagram, address)
                return
        self._metrics.datagrams_dropped["door", Drop.UNKNOWN.value] += 1

    def drop(self, reason: Drop) -> None:
        """Count a datagram that is dropped unseen."""
        self._metrics.datagrams_dropped[self._game, reason.value] += 1


class Datagrams(DatagramProtocol):
    """
    One wire format on one UDP port.

    @ivar bytes_sent: bytes of all datagrams that were sent.
    @ivar game: the game's short name.
    @cvar max_waiting: datagrams that may wait for the network.
    """

    noisy = False
    transport: Any
    max_waiting = 1_000
    _log = Logger()

    def __init__(self, game: str, clock: IReactorTime, metrics: Metrics) -> None:
        self.game = game
        self._clock = clock
        self._metrics = metrics
        self.bytes_sent = 0
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._retry: IDelayedCall | None = None

    def startProtocol(self) -> None:
        self._put = datagram_sender(self.transport)

    def stopProtocol(self) -> None:
        self._waiting.clear()
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()

    def received(self, datagram: bytes, address: Address) -> None:
        """Handle a datagram; its sender's address may be forged."""

    def knows(self, address: Address) -> bool:
        """Whether this address is a player's, which takes precedence in an overload."""
        return False

    def send(self, datagram: bytes, address: Address) -> None:
        """Send a datagram, or queue it until the network takes more; the oldest is dropped."""
        if not self._waiting:
            try:  # as L{_write}, for what happens a hundred thousand times a second
                self._put(datagram, address)
                self.bytes_sent += len(datagram)
                return
            except OSError:
                if self._write(datagram, address):
                    return
        if len(self._waiting) >= self.max_waiting:
            self._waiting.popleft()
            self._drop(Drop.CONGESTED)
        self._waiting.append((datagram, address))
        if self._retry is None:
            self._retry = self._clock.callLater(RETRY, self._resume)

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        try:
            self.received(datagram, addr)
        except Exception:
            self._drop(Drop.FAILED)
            self._log.failure("{game} met a bug in a datagram", game=self.game)

    def _resume(self) -> None:
        self._retry = None
        waiting = self._waiting
        for _ in range(min(len(waiting), MAX_RESENT)):
            if not self._write(*waiting[0]):
                break
            waiting.popleft()
        if waiting:
            self._retry = self._clock.callLater(RETRY, self._resume)

    def _write(self, datagram: bytes, address: Address) -> bool:
        """Whether the datagram is done with: sent, or impossible to send."""
        try:
            self._put(datagram, address)
        except OSError as error:
            if error.errno in (EAGAIN, EWOULDBLOCK, ENOBUFS):
                return False
            self._drop(Drop.UNREACHABLE)
        else:
            self.bytes_sent += len(datagram)
        return True

    def _drop(self, reason: Drop) -> None:
        self._metrics.datagrams_dropped[self.game, reason.value] += 1
