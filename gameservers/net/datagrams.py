"""
The base class of all UDP protocols, and the port that they share.

A L{DatagramPort} gives each datagram to the wire format that recognises it; nothing is remembered
about its sender.  A datagram that no format recognises is counted and dropped without an answer,
because the sender's address may be forged.

A game's protocol has L{Datagrams} as its base.  An exception while one datagram is handled is
logged, and that datagram is dropped.  Datagrams that the network does not take are queued; if too
many wait, the oldest are dropped.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from errno import EAGAIN, ENOBUFS, EWOULDBLOCK
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from gameservers.metrics import Metrics
from gameservers.net.address import Address
from gameservers.net.bypass import datagram_sender
from gameservers.wire import Recogniser, Verdict

#: Maximum size of a received datagram, in bytes: the maximum of UDP, because a longer datagram
#: would be truncated without notice.
MAX_DATAGRAM = 65_535

#: Pause before retrying when the network takes no more datagrams, in seconds.
RETRY = 0.005


class Drop(enum.StrEnum):
    """Why a datagram is dropped; one list for all games."""

    UNKNOWN = "unknown"  # no wire format recognises it
    MALFORMED = "malformed"  # it breaks its wire format
    FLOOD = "flood"  # the budget of its sender or receiver is used up
    CONGESTED = "congested"  # too many wait for the network
    UNREACHABLE = "unreachable"  # there is no route to its receiver
    FAILED = "failed"  # a bug of the server


class DatagramPort(DatagramProtocol):
    """
    A UDP port of one or more wire formats.

    Their protocols share its transport, so that replies come from the port that received the
    request.
    """

    noisy = False
    transport: Any

    def __init__(
        self, protocols: Sequence[tuple[Recogniser, DatagramProtocol]], metrics: Metrics
    ) -> None:
        self._protocols = protocols
        self._metrics = metrics

    def startProtocol(self) -> None:
        limits = [getattr(each, "max_read", 0) for _, each in self._protocols]
        if all(limits):
            self.transport.maxThroughput = min(limits)
        for _, protocol in self._protocols:
            protocol.makeConnection(self.transport)

    def stopProtocol(self) -> None:
        for _, protocol in self._protocols:
            protocol.doStop()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        for recognises, protocol in self._protocols:
            if recognises(datagram) is Verdict.YES:
                protocol.datagramReceived(datagram, addr)
                return
        self._metrics.datagrams_dropped["door", Drop.UNKNOWN.value] += 1


class Datagrams(DatagramProtocol):
    """
    One wire format on one UDP port.

    @ivar bytes_sent: bytes of all datagrams that were sent.
    @cvar max_waiting: datagrams that may wait for the network.
    @cvar max_read: bytes that are read in a reactor turn, on ports of this game alone; 0 leaves
        that to Twisted.
    """

    noisy = False
    transport: Any
    max_waiting = 1_000
    max_read = 0
    _log = Logger()

    def __init__(self, game: str, clock: IReactorTime, metrics: Metrics) -> None:
        self._game = game
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
            self._log.failure("{game} met a bug in a datagram", game=self._game)

    def _resume(self) -> None:
        self._retry = None
        waiting = self._waiting
        while waiting:
            if not self._write(*waiting[0]):
                self._retry = self._clock.callLater(RETRY, self._resume)
                return
            waiting.popleft()

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
        self._metrics.datagrams_dropped[self._game, reason.value] += 1
