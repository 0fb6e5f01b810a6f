"""
The protocol of Tile-Game's clients.

A client notices a reset of the connection, but not that it was closed.  So every connection
ends with a reset, and a client that is sent a reason first has a moment to read it.

The messages of a client that does not read are not handled while C{max_unread} bytes wait for it,
since it is sent only answers.  The real client never gets there: it sends nothing before it has
read the last answer.  Such a client counts as silent; if something waits for it when the silence
limit expires, it is cut off as slow.
"""

from __future__ import annotations

from gameservers.games.tilegame.outbox import BlockOutbox
from gameservers.games.tilegame.service import TileGameService
from gameservers.games.tilegame.session import Session
from gameservers.games.tilegame.wire import PIECE, Inbox
from gameservers.net.connection import Connection, Reason

#: Maximum number of unhandled bytes of a client; with more, reading is paused.
READ_AHEAD = PIECE

#: How long a refused client has to read the reason, in seconds.
FAREWELL = 2.0


class TileGameProtocol(Connection):
    """One client: its stream is split into blocks, which are handled when they may be."""

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
        while not (self.ended or self.paused or session.waiting or outbox.full):
            message = inbox.whole() if session.expects_name else inbox.block()
            if not message or not session.admits(message):
                break
            inbox.take(len(message))
            session.receive(message)
            self.handled()
        if len(inbox) > READ_AHEAD:
            self.pauseProducing()

    def left(self) -> None:
        self._session.left()

    def close(self, linger: float | None = None) -> None:
        """Send nothing more, and reset the connection after C{linger} seconds."""
        super().close(FAREWELL if linger is None else linger)

    def timeoutConnection(self) -> None:
        # What waits has waited since the limit began, because only answers are sent.
        self.cut(Reason.SLOW if self.outbox.congested else Reason.SILENT)

    def _flow(self, congested: bool) -> None:
        if not congested:
            self.proceed()
