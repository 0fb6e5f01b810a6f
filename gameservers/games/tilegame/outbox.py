"""
The outbox of Tile-Game: whole blocks, never more at once than fit into any segment.

Twisted joins what is written within a turn, the kernel what waits for a slow network, and the
result is sent in segments of perhaps 1448 bytes, which end inside a block; the client takes the
half for a message and hangs.  So each chunk is one system call, with a flag that keeps it separate
(L{gameservers.net.bypass.send_apart}).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import ITransport

from gameservers.games.tilegame.wire import BLOCK, MAX_STATE, PIECE
from gameservers.net.bypass import send_apart
from gameservers.net.outbox import Outbox
from gameservers.net.turn import Turn


class BlockOutbox(Outbox):
    """
    The output to one client.

    A client is sent only answers, so one that does not read need not be cut off for a full
    outbox: when it is L{full<BlockOutbox.full>}, the connection handles nothing more until the
    client reads.  So C{max_unread} bytes and one answer may wait; more would be a bug.
    """

    __slots__ = ("_max_unread",)

    def __init__(
        self,
        transport: ITransport,
        turn: Turn,
        *,
        max_unread: int,
        overflowed: Callable[[], None],
        flow: Callable[[bool], None],
    ) -> None:
        """
        As L{Outbox}.

        @param max_unread: bytes that may wait for a client that does not read.
        """
        super().__init__(
            transport,
            turn,
            limit=max_unread + MAX_STATE,
            overflowed=overflowed,
            flow=flow,
            send=send_apart,
        )
        self._max_unread = max_unread

    @property
    def full(self) -> bool:
        """Whether one more block would exceed C{max_unread}."""
        return self._backlog_size + self._given + BLOCK > self._max_unread

    def send(self, message: bytes) -> None:
        """
        Send whole blocks, at once.

        Usually there is one answer in a turn: sent at its end, a state takes 1.1 times the CPU
        (C{python -m benchmarks.tilegame}).
        """
        for start in range(0, len(message), PIECE):
            self.interject(message[start : start + PIECE])

    def shut(self) -> None:
        """Leave the connection open, because the client notices only a reset."""
