"""
Writing as the client reads: whole blocks, never more at once than fits every segment.

Twisted joins what is written within a turn, the system what has to wait for a slow network, and
both cut it into segments again, of 1448 bytes perhaps, which end inside a block; the client
takes the half for a message and is lost.  So each piece is one call of the system, which is told
to keep it apart (L{APART}), and what does not find room there follows piece by piece when it is
asked for.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

from gameservers.games.tilegame.wire import BLOCK, PIECE

#: The flag with which Linux does not fill up a segment that has to wait, be it new or to be sent
#: again, with what is written later.  Other systems know none for TCP.
APART = socket.MSG_EOR if sys.platform == "linux" else 0


@implementer(IPullProducer)
class Pieces:
    """
    What one client is to be sent, in pieces.

    C{drained} is called when all of it has left after some of it had to wait.
    """

    def __init__(self, transport: Any, limit: int, drained: Callable[[], None]) -> None:
        self._transport = transport
        self._limit = limit
        self._drained = drained
        self._direct = isinstance(transport, Connection) and not transport.TLS
        self._waiting = bytearray()
        self._sent = 0
        self._asked = False  # the transport asks for each piece

    @property
    def full(self) -> bool:
        """Whether more bytes wait than may: nothing more should be given cause to be written."""
        return len(self._waiting) > self._limit

    def write(self, data: bytes) -> None:
        """Send whole blocks."""
        free = self._transport.connected and not self._asked
        if free and self._direct:
            data = self._send(data)
        self._waiting += data
        if free and self._waiting:
            self._asked = True
            self._transport.registerProducer(self, False)

    def _send(self, data: bytes) -> bytes:
        """Send what the network takes at once; the rest is returned."""
        while data:
            piece = data[: self._room()]
            try:
                written = self._transport.socket.send(piece, APART)
            except BlockingIOError:
                break
            except OSError:  # the connection is lost
                self._transport.abortConnection()
                return b""
            self._sent += written
            data = data[written:]
            if written < len(piece):
                break
        return data

    def resumeProducing(self) -> None:
        if self._waiting:
            piece = bytes(self._waiting[: self._room()])
            del self._waiting[: len(piece)]
            self._sent += len(piece)
            self._transport.write(piece)
        else:
            self._asked = False
            self._transport.unregisterProducer()
            self._drained()

    def stopProducing(self) -> None:
        self._waiting.clear()

    def _room(self) -> int:
        """Up to where a piece may go: the end of a block, however many the network took last."""
        return PIECE - self._sent % BLOCK
