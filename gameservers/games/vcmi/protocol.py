"""
VCMI's wire formats on TCP: frames for the text lobby, a handshake and then bytes for a game pipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from gameservers.games.vcmi.pipe_session import PipeSession
from gameservers.games.vcmi.session import TextSession
from gameservers.games.vcmi.wires import pipe, text
from gameservers.net.bypass import has_ended, segment_size
from gameservers.net.connection import Connection, Reason
from gameservers.net.outbox import Outbox
from gameservers.net.pipe import End, Ending, Pipe, couple

if TYPE_CHECKING:
    from gameservers.games.vcmi.service import VcmiService

#: How long a client may take to read the rest and close its side, in seconds.
LINGER = 3.0

#: How often a paused game pipe is checked for having ended, in seconds.
LOOK = 5.0


class FramedProtocol(Connection, Int32StringReceiver):
    """The base of both: frames preceded by their length."""

    structFormat = "<I"
    block = 0  # which is joined to the beginning of a frame again and again

    def __init__(self, service: VcmiService) -> None:
        super().__init__(service.connections)
        self._service = service

    def connectionMade(self) -> None:
        super().connectionMade()
        self._service.count_login(self.address)


class TextLobbyProtocol(FramedProtocol):
    """A launcher of protocols 1 to 5."""

    def __init__(self, service: VcmiService) -> None:
        super().__init__(service)
        self.MAX_LENGTH = service.settings.max_message
        self._session: TextSession | None = None

    def make_outbox(self) -> Outbox:
        """Split output between messages: the client takes each read for whole messages."""
        return Outbox(
            self.transport,
            self.connections.turn,
            limit=self.connections.max_unread,
            overflowed=self.overflowed,
            cut=segment_size(self.transport),
        )

    def receive(self, data: bytes) -> None:
        session = self._session
        if session is not None:
            session.asked = False
            session.go_on()
        super().receive(data)

    def stringReceived(self, frame: bytes) -> None:
        if self.ended:
            return
        if frame:
            if self._session is None:
                dialect, frame = text.greeting(frame)
                self._session = TextSession(self, self._service, dialect)
            self._session.received(frame)
        self.handled()

    def lengthLimitExceeded(self, length: int) -> None:
        self.malformed(text.MALFORMED)

    def malformed(self, fault: str) -> None:
        self.cut(Reason.MALFORMED, fault, text.error(fault).encode("ascii"))

    def close(self, linger: float = LINGER) -> None:
        super().close(linger)

    def left(self) -> None:
        if self._session is not None:
            self._session.left()


@implementer(IHalfCloseableProtocol)
class PipeProtocol(FramedProtocol):
    """One side of a game pipe, which is sent only what its partner sends."""

    MAX_LENGTH = pipe.MAX_HANDSHAKE

    _pipe: Pipe | None = None
    _end: End | None = None

    def __init__(self, service: VcmiService) -> None:
        super().__init__(service)
        self.session = PipeSession(self, service)

    # --- what Twisted calls -------------------------------------------------------------------

    def stringReceived(self, frame: bytes) -> None:
        if not self.ended:
            self.session.received(frame)

    def lengthLimitExceeded(self, length: int) -> None:
        self.malformed("a frame that is too long for a handshake")

    def timeoutConnection(self) -> None:
        if self.session.waiting:
            self.time_limit(LOOK)
            self.abort_if_lost()
        else:
            super().timeoutConnection()

    def readConnectionLost(self) -> None:
        if self._end is not None:
            self._end.read_lost()
        else:
            self.abort()

    def writeConnectionLost(self) -> None:
        """The server closed this side; the pipe handles what is still read."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._end is not None:
            self._end.lost(reason)
        super().connectionLost(reason)

    # --- the connection -----------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Forward data at once when there is a partner; it takes no time that has to be shared."""
        if self._end is None or self._unread:
            super().dataReceived(data)
        elif not self.ended:
            self._end.received(data)

    def receive(self, data: bytes) -> None:
        if self.session.shaking_hands:
            super().receive(data)
        else:
            self.session.received(data)

    def close(self, linger: float = LINGER) -> None:
        """Close it through its pipe, or abort it, as nothing is pending."""
        if self._pipe is not None:
            self._pipe.close()
        else:
            self.abort()

    def left(self) -> None:
        self.session.left()

    # --- what the session asks for ------------------------------------------------------------

    def take_rest(self) -> bytes:
        """The bytes received after the last frame."""
        rest: bytes
        rest, self.recvd = self.recvd, b""
        return rest

    def wait_for_partner(self) -> None:
        """Pause reading until there is a partner."""
        self.stop_reading()
        self.time_limit(LOOK)

    def read_on(self) -> None:
        """Read on, unless there is no partner yet; with one, the pipe reads."""
        if not self.session.waiting:
            super().read_on()

    def abort_if_lost(self) -> None:
        """End this side if its peer has gone, which is not noticed while reading is paused."""
        if has_ended(self.transport):
            self.abort()

    def couple(self, partner: PipeProtocol, to_self: bytes, to_partner: bytes) -> None:
        """Join this side and its partner, after sending them these bytes."""
        self._pipe = partner._pipe = joined = couple(
            self.transport,
            partner.transport,
            clock=self.clock,
            done=self._over,
            to_a=to_self,
            to_b=to_partner,
        )
        for side, end in ((self, joined.a), (partner, joined.b)):
            side.time_limit(None)
            side._end = end

    def pass_on(self, data: bytes) -> None:
        """Forward received bytes to the partner."""
        if self._end is not None:
            self._end.received(data)

    def _over(self, ending: Ending) -> None:
        self._log.debug("A VCMI game pipe has ended: {ending}", ending=ending.value)
