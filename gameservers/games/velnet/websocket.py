"""
A WebSocket that carries VelNet's binary stream, for headsets that get out over HTTP alone.

The stream is cut into binary messages anywhere, in both directions; a message is no unit of
meaning.  No sub-protocol and no extension is agreed on, whatever is offered, and any path and
origin is welcome.  A text message ends the connection with code 1003, a message longer than the
limit with 1009.  Pings are answered as long as the peer reads.

It stands on any stream transport, TLS included, and is itself the transport of the protocol that
it carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IProducer,
    IProtocol,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError
from zope.interface import implementer

from gameservers.net.bypass import is_plain

#: How long a peer who is told the end may take to send what he was at, and his own end; a
#: client that sees the connection close in the middle of a message may never learn why.
PARTING = 1.0

#: How long a peer may take to read the last of it once the connection is closed, in seconds.
LINGER = 5.0


@implementer(IPushProducer)
class _Congestion:
    """
    Whether the peer is slow to read; passes the word on to whoever produces for him.
    """

    def __init__(self) -> None:
        self.full = False
        self.producer: Any = None

    def pauseProducing(self) -> None:
        self.full = True
        if IPushProducer.providedBy(self.producer):
            self.producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.full = False
        if self.producer is not None:
            self.producer.resumeProducing()

    def stopProducing(self) -> None:
        if self.producer is not None:
            self.producer.stopProducing()


@implementer(ITransport, IConsumer, IPushProducer)
class WebSocketCarriage(TimeoutMixin, Protocol):
    """
    The server's end of one WebSocket.

    To the outside it is a protocol, to what it carries it is a transport.
    """

    transport: Any  # a stream transport

    def __init__(
        self, carried: IProtocol, clock: IReactorTime, *, max_message: int, patience: float
    ) -> None:
        """
        @param max_message: bytes in one message.
        @param patience: silence before the WebSocket is open that ends it, in seconds; later
            on that is the concern of what it carries.
        """
        self._carried = carried
        self._max_message = max_message
        self._patience = patience
        self._socket = WSConnection(ConnectionType.SERVER)
        self._congestion = _Congestion()
        self._open = False
        self._over = False  # nothing is said any more, and nothing heard but the peer's end
        self._closed = False
        self._received = 0  # bytes of the message that is coming in
        self._clock = clock

    def callLater(self, period: float, call: Callable[[], None]) -> IDelayedCall:
        return self._clock.callLater(period, call)

    # --- a protocol ---------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.transport.registerProducer(self._congestion, True)
        self.setTimeout(self._patience)

    def dataReceived(self, data: bytes) -> None:
        if self._closed:
            return
        if not self._open and not self._over:
            self.resetTimeout()
        try:
            self._socket.receive_data(data)
            for event in self._socket.events():
                self._handle(event)
        except RemoteProtocolError as error:
            self._end(error.event_hint or CloseConnection(CloseReason.PROTOCOL_ERROR))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        self.setTimeout(None)
        self._let_go(reason)

    def timeoutConnection(self) -> None:
        if self._over and not self._closed:
            self._close()
        else:
            self.abortConnection()

    def _handle(self, event: Event) -> None:
        match event:
            case CloseConnection():
                self._end(event.response())
                self._close()
            case _ if self._over:
                pass
            case Request():
                self.transport.write(self._socket.send(AcceptConnection()))
                self.setTimeout(None)
                self._open = True
                self._carried.makeConnection(self)
            case BytesMessage(data=data):
                self._received += len(data)
                if self._received > self._max_message:
                    self._end(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
                    return
                if event.message_finished:
                    self._received = 0
                if data:
                    self._carried.dataReceived(bytes(data))
            case TextMessage():
                self._end(CloseConnection(CloseReason.UNSUPPORTED_DATA))
            case Ping():
                if not self._congestion.full:
                    self.transport.write(self._socket.send(event.response()))

    def _end(self, last: Event) -> None:
        """Say a last thing, if it can still be said; the peer has a moment to say his."""
        if self._over:
            return
        self._over = True
        self.setTimeout(PARTING)
        with suppress(LocalProtocolError):
            self.transport.write(self._socket.send(last))
        self._let_go(connectionDone)
        self.transport.resumeProducing()  # what it carried may have paused it

    def _close(self) -> None:
        """
        Close what it stands on.

        Plain TCP is half-closed: closing a socket that has unread input would throw the last
        thing away.
        """
        if self._closed:
            return
        self._closed = True
        self.setTimeout(LINGER)
        self.transport.unregisterProducer()
        if is_plain(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _let_go(self, reason: Failure) -> None:
        """What is carried has no transport any more."""
        if self._open:
            self._open = False
            self._carried.connectionLost(reason)

    # --- a transport --------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self._over:
            self.transport.write(self._socket.send(BytesMessage(data)))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self._end(CloseConnection(CloseReason.NORMAL_CLOSURE))

    def abortConnection(self) -> None:
        self._over = True
        self.transport.abortConnection()

    def getPeer(self) -> IAddress:
        peer: IAddress = self.transport.getPeer()
        return peer

    def getHost(self) -> IAddress:
        host: IAddress = self.transport.getHost()
        return host

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self._congestion.producer = producer
        if self._congestion.full and IPushProducer.providedBy(producer):
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._congestion.producer = None

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.loseConnection()
