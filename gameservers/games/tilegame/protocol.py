"""
The connections of Tile-Game clients.

A client notices a reset of the connection, but never that it was closed.  So every connection
ends with a reset, and a client that is told why first has a moment to read it.

A client that does not read is handled no further when C{max_unread} bytes wait for it, since all
it is told are answers.  The real one never comes to that: it says nothing before it has read the
last answer.  A client that is not handled is silent; if something waits for it when the limit of
silence is up, it is cut off as slow.
"""

from __future__ import annotations

from gameservers.games.tilegame.outbox import BlockOutbox
from gameservers.games.tilegame.service import TileGameService
from gameservers.games.tilegame.session import Session
from gameservers.games.tilegame.wire import PIECE, Inbox
from gameservers.net.connection import Connection, Reason

#: Bytes that a client may send before they are handled; with more it is not read from.
READ_AHEAD = PIECE

#: How long a client that is refused gets to read why, in seconds.
FAREWELL = 2.0


class TileGameProtocol(Connection):
    """One client: its stream is cut into blocks, which are handled when they may be."""

    outbox: BlockOutbox

    def __init__(self, service: TileGameService) -> None:
        super().__init__(service.connections)
        self._inbox = Inbox()
        self._session = Session(service, self)

    def make_outbox(self) -> BlockOutbox:
        return BlockOutbox(
            self.transport,
            self.connections.turn,
            max_unread=self.connections.max_unread,
            overflowed=self.overflowed,
            flow=self._flow,
        )

    def receive(self, data: bytes) -> None:
        inbox, session, outbox = self._inbox, self._session, self.outbox
        inbox.receive_data(data)
        while not (self.ended or session.waiting or outbox.full):
            message = inbox.whole() if session.expects_name else inbox.block()
            if not message or not session.admits(message):
                break
            inbox.take(len(message))
            session.receive(message)
        if self.ended:
            return
        if len(inbox) > READ_AHEAD:
            if not self.paused:
                self.pauseProducing()
        elif self.paused:
            self.resumeProducing()

    def left(self) -> None:
        self._session.left()

    def close(self, linger: float | None = None) -> None:
        """Say nothing more, and reset the connection in so many seconds."""
        super().close(FAREWELL if linger is None else linger)

    def timeoutConnection(self) -> None:
        # What waits has waited since the limit began: nothing is said but in answer.
        self.cut(Reason.SLOW if self.outbox.congested else Reason.SILENT)

    def _flow(self, congested: bool) -> None:
        if not congested:
            self.dataReceived(b"")
