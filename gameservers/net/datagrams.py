"""
The front door for datagrams: each goes to the game that recognises it.

A datagram is judged by itself, and nothing is remembered about who sent it.  One that is
nobody's is counted and forgotten; nothing is answered, because its sender may be somebody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IUDPTransport
from twisted.internet.protocol import DatagramProtocol

from gameservers.wire import Recogniser, decide

#: Bytes of a datagram that are read: all that there can be, for what is longer would be cut, and
#: a game could not tell.
MAX_DATAGRAM = 65_535


class DatagramDoor(DatagramProtocol):
    """
    A port of every game that speaks in datagrams.

    The games' protocols share its transport, so that answers leave from the port that was
    spoken to.
    """

    noisy = False

    def __init__(
        self, games: Sequence[tuple[Recogniser, DatagramProtocol]], counters: Counter[str]
    ) -> None:
        self._games = games
        self._counters = counters

    transport: IUDPTransport

    def startProtocol(self) -> None:
        for _, protocol in self._games:
            protocol.makeConnection(self.transport)

    def stopProtocol(self) -> None:
        for _, protocol in self._games:
            protocol.doStop()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        _, protocol = decide(datagram, self._games)
        if protocol is None:
            self._counters["door.datagrams.unknown"] += 1
        else:
            protocol.datagramReceived(datagram, addr)
