"""
The outbox of this wire: whole blocks, never more at once than fits every segment.

Twisted joins what is written within a turn, the system what has to wait for a slow network, and
both cut it into segments again, of 1448 bytes perhaps, which end inside a block; the client
takes the half for a message and is lost.  So each piece is one call of the system, which is told
to keep it apart (L{gameservers.net.bypass.send_apart}).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import ITransport

from gameservers.games.tilegame.wire import BLOCK, MAX_STATE, PIECE
from gameservers.net.bypass import send_apart
from gameservers.net.outbox import Outbox, Turn


class BlockOutbox(Outbox):
    """
    What one client is told.

    A client is told nothing that it has not asked for, so one that does not read need not be cut
    off for having been told too much: when it L{full<BlockOutbox.full>}, the connection handles
    nothing more until it reads.  So C{max_unread} bytes and one answer may wait; more would be a
    mistake of ours.
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
        @param max_unread: bytes that may wait for a client that does not read.
        @param overflowed: as of L{Outbox}, and so is C{flow}.
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
        """Whether with one more block more bytes would wait than may."""
        return self._backlog_size + self._given + BLOCK > self._max_unread

    def send(self, message: bytes) -> None:
        """
        Send whole blocks, now.

        As a rule there is one answer in a turn: sent at its end, a state takes 1.1 times the CPU
        (C{python -m benchmarks.tilegame}).
        """
        for start in range(0, len(message), PIECE):
            self.interject(message[start : start + PIECE])

    def shut(self) -> None:
        """Leave the connection open: all that the client notices is the reset at its end."""
