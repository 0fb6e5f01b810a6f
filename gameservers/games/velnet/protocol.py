"""
VelNet's protocols: lines, a binary stream, the same in a WebSocket, and datagrams of both formats.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.protocols.basic import LineReceiver

from gameservers.games.velnet.generation import Generation
from gameservers.games.velnet.service import VelNetService
from gameservers.games.velnet.session import BinarySession, Session, TextSession
from gameservers.games.velnet.wires import binary, text
from gameservers.games.velnet.wires.messages import Broadcast, Codec, Hello, Message
from gameservers.net.address import Address
from gameservers.net.connection import Connection, Reason
from gameservers.net.datagrams import Datagrams
from gameservers.net.websocket import CloseReason, WebSocket

#: Bytes of a WebSocket message beyond the longest payload, for a message's other fields.
MARGIN = 1024

#: Bytes of a binary stream that are decoded at once, which can be thousands of tiny messages.
BLOCK = 16 * 1024

#: Reasons for which a client is closed after pending output, with the close code for WebSockets:
#: clients understand no other.
CODES = {
    Reason.MALFORMED: CloseReason.NORMAL_CLOSURE,
    Reason.REFUSED: CloseReason.NORMAL_CLOSURE,
    Reason.FULL: CloseReason.NORMAL_CLOSURE,
}


class VelNetConnection(Connection):
    """One client, in either format."""

    gentle = CODES
    session: Session

    def connectionMade(self) -> None:
        super().connectionMade()
        if not self.ended:
            self.session.watch()

    def left(self) -> None:
        self.session.left()

    def handle(self, message: Message) -> None:
        """Handle a message, which is ignored in some phases."""
        session = self.session
        action = session.actions.get(type(message))
        if action is not None and not self.ended:
            action(session, message)
            self.handled()


class VelNetTextProtocol(VelNetConnection, LineReceiver):
    """One text client on a stream."""

    delimiter = b"\n"

    def __init__(self, service: VelNetService) -> None:
        super().__init__(service.connections)
        self.session = TextSession(service, self)
        self.MAX_LENGTH = service.settings.max_line
        self._run: Broadcast | None = None  # consecutive lines for the room

    def receive(self, data: bytes) -> None:
        super().receive(data)
        self._end_run()

    def lineReceived(self, line: bytes) -> None:
        message = text.parse(line)
        run = self._run
        if isinstance(message, Broadcast):
            if run is not None and run.echo is message.echo:
                run.frames.extend(message.frames)
                return
            self._end_run()
            self._run = message
        elif message is not None:
            self._end_run()
            self.handle(message)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._end_run()
        self.malformed("line too long")

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self.handle(run)


class VelNetBinaryConnection(VelNetConnection):
    """One binary client, on a stream or a WebSocket."""

    block = BLOCK

    def __init__(self, service: VelNetService, generation: Generation) -> None:
        super().__init__(service.connections)
        self.session = BinarySession(service, self, generation)
        self._decoder = binary.Decoder(service.settings.max_message)

    def take(self, data: bytes) -> None:
        """Take part of the stream, and handle the complete messages, unless reading is paused."""
        decoder = self._decoder
        decoder.receive_data(data)
        if not self.paused:
            for message in decoder.messages():
                self.handle(message)
                if self.paused or self.ended:
                    return


class VelNetBinaryProtocol(VelNetBinaryConnection):
    """One binary client on a stream."""

    def __init__(self, service: VelNetService) -> None:
        super().__init__(service, Generation(service.settings.generation))

    def receive(self, data: bytes) -> None:
        self.take(data)


class VelNetWebSocketProtocol(VelNetBinaryConnection, WebSocket):
    """
    One binary client on a WebSocket, for headsets in networks that allow only HTTP.

    The stream is split into binary messages anywhere, in both directions.  Any path and origin is
    accepted.
    """

    takes = (bytes,)
    streams = True
    waits = False
    codes = CODES

    def __init__(self, service: VelNetService) -> None:
        super().__init__(service, Generation.SECOND)
        self.max_message = service.settings.max_message + MARGIN

    def receive(self, data: bytes) -> None:
        if not data:  # reading is resumed, beginning with what waits in the decoder
            self.take(data)
        super().receive(data)

    def messageReceived(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        self.take(message)


class VelNetDatagrams(Datagrams):
    """
    Datagrams of one format on one port.

    A player identifies itself in a hello; from then on its datagrams are recognised by their
    source address.  Datagrams from an unknown address, or with another player's id, are ignored.
    """

    codec: ClassVar[Codec]
    max_waiting = 10_000

    def __init__(self, service: VelNetService) -> None:
        super().__init__(service.game, service.clock, service.metrics)
        self._service = service

    def knows(self, address: Address) -> bool:
        return address in self._service.bound

    def received(self, datagram: bytes, address: Address) -> None:
        session = self._service.bound.get(address)
        codec = self.codec
        if session is None or session.codec is not codec:
            message = codec.parse_datagram(datagram, None)
        else:
            message = codec.parse_datagram(datagram, session.player, session.seed)
        if isinstance(message, Hello):
            self._service.bind(message, codec, address, self.send)
        elif message is not None and session is not None:
            session.heard = self._clock.seconds()
            session.DATAGRAMS[type(message)](session, message)


class VelNetTextDatagrams(VelNetDatagrams):
    """Text clients on one port."""

    codec: ClassVar[Codec] = text


class VelNetBinaryDatagrams(VelNetDatagrams):
    """Binary clients on one port."""

    codec: ClassVar[Codec] = binary
