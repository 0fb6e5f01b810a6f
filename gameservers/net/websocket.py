"""
WebSocket (RFC 6455, version 13), the server side, for text and binary messages.

A game's protocol has L{WebSocket} as its base and is given whole messages.  The upgrade is done by
the door (L{gameservers.net.door}), without sub-protocol and extensions.  Input is limited
(C{max_message}, bytes), output goes through the outbox, and a client that does not read is not
read from.  Pings are answered as long as the client reads.

=====  ==========================================================================================
1000   closed normally, after pending output (L{CloseReason} has the names)
1001   the server shuts down
1002   the input breaks the WebSocket protocol
1003   a kind of message (text, binary) that the game does not use
1007   a text that is not UTF-8
1008   refused, or not logged in in time
1009   a message of more than C{max_message} bytes
1011   no answer to our ping, or a bug of the server
1013   the server cannot answer now
=====  ==========================================================================================

wsproto encodes and decodes frames.  Messages that arrive whole, in one read, are decoded here
without it, which takes a sixth of the time: it gives tic-tac-toe 1.1 times the moves per
CPU-second (C{python -m benchmarks.tictactoe}).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason, Opcode
from wsproto.utilities import ProtocolError

from gameservers.net.bypass import has_ended
from gameservers.net.connection import Connection, Connections, Hold, Reason
from gameservers.net.outbox import LINGER, Outbox

__all__ = ["CloseReason", "Upgrade", "WebSocket", "binary_frame", "text_frame"]

#: Bits of a frame's first byte: last frame of its message; control frame.
FINAL, CONTROL = 0x80, 0x08

#: Bit of the second byte: the payload is masked, as in all frames of a client.
MASKED = 0x80

#: The other bits of the second byte are the size, or one of these: 2 or 8 bytes of size follow.
SIZE_2, SIZE_8 = 126, 127

MASK_SIZE = 4

#: The header of an upgrade request.
_ASKED_FOR = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)

#: Bytes that are read after our close frame, besides a message, in search of the client's.
MAX_LATE = 64 * 1024

#: Bytes of pings and pongs that may come before the first message.
MAX_FIRST_PINGS = 4 * 1024

#: A header that names a longer host than there is (253 characters and a port).  Decoding such a
#: name as IDNA takes a time that grows with its square.
_LONG_HOST = re.compile(rb"\r\nhost:[^\r\n]{264}", re.IGNORECASE)

#: Maximum number of lines in the head of an upgrade request: parsing each takes some microseconds.
MAX_LINES = 100

#: How long a client may take to answer our close frame, in seconds.
PARTING = 1.0

#: The HTTP status of an upgrade when the limit of connections is reached.
SERVICE_UNAVAILABLE = 503

#: The close code for each reason; a client that does not read gets no close frame.
CODES: dict[Reason, int] = {
    Reason.SILENT: CloseReason.POLICY_VIOLATION,
    Reason.MALFORMED: CloseReason.POLICY_VIOLATION,
    Reason.FULL: CloseReason.TRY_AGAIN_LATER,
    Reason.CROWDED: CloseReason.TRY_AGAIN_LATER,
    Reason.REFUSED: CloseReason.POLICY_VIOLATION,
    Reason.FLOOD: CloseReason.POLICY_VIOLATION,
    Reason.BANNED: CloseReason.POLICY_VIOLATION,
    Reason.FAILED: CloseReason.INTERNAL_ERROR,
}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    The HTTP request that asked for a WebSocket.

    @ivar path: with its query, as received.
    @ivar headers: by name in lower case.
    """

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_same_origin(self) -> bool:
        """Whether the request came from a page of this server, or from no page at all."""
        origin = self.headers.get("origin")
        return origin is None or origin.partition("://")[2] == self.headers.get("host")


def accepted(head: bytes) -> tuple[Upgrade, bytes] | None:
    """
    Parse the head of an HTTP request, including its blank line.

    @param head: any bytes.
    @return: the upgrade, and the response that accepts it; L{None} if it is not a valid upgrade.
    """
    if head.count(b"\n") > MAX_LINES or _LONG_HOST.search(head):
        return None
    connection = WSConnection(ConnectionType.SERVER)
    try:
        connection.receive_data(head)
        for event in connection.events():
            if isinstance(event, Request):
                headers = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in event.extra_headers
                }
                headers["host"] = event.host
                return Upgrade(event.target, headers), connection.send(AcceptConnection())
    except (ProtocolError, UnicodeError):  # the latter for bytes above 0x7F
        pass
    return None


def is_asked_for(head: bytes) -> bool:
    """Whether the head of an HTTP request asks for a WebSocket, even if in an invalid way."""
    return _ASKED_FOR.search(head) is not None


def first_opcode(frames: bytes | bytearray, begin: int = 0) -> tuple[int | None, int]:
    """
    Find the first frame that is not a ping or pong, after at most L{MAX_FIRST_PINGS} bytes.

    @param begin: where to look, which is the start of a frame.
    @return: its opcode, L{None} if it has not arrived; and where to look then, so that nothing is
        looked at twice.
    """
    while begin < min(len(frames), MAX_FIRST_PINGS):
        opcode = frames[begin] & 0x0F
        if opcode not in (Opcode.PING, Opcode.PONG):
            return opcode, begin
        if begin + 1 == len(frames):
            break
        # A client's control frame: two bytes, a mask of four, a payload of at most 125.
        begin += 2 + MASK_SIZE + (frames[begin + 1] & ~MASKED)
    return None, begin


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < SIZE_2:
        return b"%c%c%b" % (FINAL | opcode, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (FINAL | opcode, SIZE_2, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (FINAL | opcode, SIZE_8, size.to_bytes(8, "big"), payload)


@lru_cache(maxsize=1)
def text_frame(message: str) -> bytes:
    """Encode a text message, once for all recipients of the same text."""
    return _frame(Opcode.TEXT, message.encode("utf-8"))


def binary_frame(message: bytes) -> bytes:
    """Encode a binary message."""
    return _frame(Opcode.BINARY, message)


class WebSocket(Connection):
    """
    The server's end of one WebSocket.

    Subclasses choose the kind of messages, and say what a message means.

    @cvar takes: the kinds of message that are accepted, L{str} and L{bytes}.
    @cvar streams: whether binary messages carry a stream that may be split anywhere: then each
        chunk of the outbox is one message, and each part of a message is taken when it comes.
    @cvar waits: whether reading is paused while the client does not read; then its requests cannot
        add to what it leaves unread, and it is cut when it has not read for as long as a ping may
        take.
    @cvar codes: the close code for each reason; without one the connection is aborted.
    @ivar upgrade: the HTTP request.
    @ivar max_message: maximum size of a message, in bytes.
    @ivar ping_interval: seconds between two pings, also the time limit for the answer; 0: no
        pings.
    """

    takes: tuple[type, ...] = (str, bytes)
    streams = False
    waits = True
    codes: Mapping[Reason, int] = CODES
    upgrade = Upgrade("/")
    max_message = 64 * 1024
    ping_interval = 0.0

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self._frames = Frames(ConnectionType.SERVER)
        self._borders = Borders()
        self._behind = False  # some input has not been decoded
        self._parts: list[Any] = []  # of the message that is being received
        self._size = 0  # bytes of it
        self._pinged = False
        self._stalled = False  # it has read nothing since the last check
        self._ping: IDelayedCall | None = None
        self._sent_all = self._heard_end = False
        self._late = 0  # bytes after the end

    # --- what subclasses may override ---------------------------------------------------------

    def status(self, upgrade: Upgrade) -> int:
        """The HTTP status for refusing this upgrade; 0 to accept it."""
        return SERVICE_UNAVAILABLE if self.connections.full else 0

    def messageReceived(self, message: str | bytes) -> None:
        """Handle a whole message."""

    # --- what a session may ask for -----------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """Send one message when the turn ends."""
        self.outbox.send(
            text_frame(message) if isinstance(message, str) else binary_frame(message)
        )

    def cut(
        self, reason: Reason, detail: str = "", last: bytes = b"", code: int | None = None
    ) -> None:
        """As L{Connection.cut}; C{code} is the close code, L{None} for the one in C{codes}."""
        code = self.codes.get(reason) if code is None else code
        if self.ended or code is None:
            super().cut(reason, detail, last)
            return
        self._count(reason, detail)
        if last:
            self.outbox.send(last)
        self.say_goodbye(code)

    def close(self, linger: float = LINGER) -> None:
        """As L{Connection.close}, with a close frame that says that the server is going away."""
        self.say_goodbye(CloseReason.GOING_AWAY, linger)

    def say_goodbye(self, code: int, linger: float = LINGER, why: str = "") -> None:
        """
        Close after pending output, with a close frame of this code and text.

        The client has a moment to send the rest of its message and its own close frame: if the
        connection closes while it is sending a message, it may never see the code.
        """
        if not self.ended:
            self._part(self._frames.send(CloseConnection(code, why or None)), linger)

    # --- a connection -------------------------------------------------------------------------

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.ping_interval and not self.ended:
            self._ping = self.clock.callLater(self.ping_interval, self._send_ping)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
        if self._ping is not None and self._ping.active():
            self._ping.cancel()
        super().connectionLost(reason)

    def make_outbox(self) -> Outbox:
        return Outbox(
            self.transport,
            self.connections.turn,
            limit=self.connections.max_unread,
            overflowed=self.overflowed,
            frame=binary_frame if self.streams else None,
            flow=self._congested,
        )

    def timeoutConnection(self) -> None:
        if self.ended:
            self._heard_end = True
            self._shut()
        else:
            super().timeoutConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.ended and not self._heard_end:
            self._late += len(data)
            self._borders.pass_by(data)
            if self._borders.closes or self._late > self.max_message + MAX_LATE:
                self._heard_end = True
                self._shut()
        else:
            super().dataReceived(data)

    def receive(self, data: bytes) -> None:
        if self._borders.between and not self._behind and len(data) <= self.max_message:
            message = whole_message(data)
            if message is not None:
                self._take(message)
                self.handled()
                return
        self._borders.pass_by(data)
        self._frames.receive_data(data)
        self._behind = True
        for event in () if self.paused else self._frames.events():
            self._heard(event)
            self.handled()
            if self.paused:
                return
        self._behind = self.paused

    # --- implementation -----------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        match event:
            case CloseConnection() if self.ended:
                self._heard_end = True
                self._shut()
            case _ if self.ended:
                pass
            case CloseConnection() if self._frames.state is ConnectionState.REMOTE_CLOSING:
                self._heard_end = True
                self._part(self._frames.send(event.response()), LINGER)
            case CloseConnection(code=code, reason=fault):
                self._heard_end = True  # what follows cannot be decoded
                self._count(Reason.MALFORMED, fault or "")
                self.say_goodbye(code, why=fault or "")
            case Message():
                self._take_part(event)
            case Ping():
                if not self.outbox.congested:
                    self.outbox.interject(self._frames.send(event.response()))
            case Pong():
                self._pinged = False

    def _take_part(self, event: Message[Any]) -> None:
        data = event.data
        # A character is up to four bytes, but usually one.
        plain = not isinstance(data, str) or data.isascii()
        self._size += len(data) if plain else len(data.encode("utf-8"))
        if self._size > self.max_message:
            self._parts.clear()
            self.cut(Reason.MALFORMED, "message too big", code=CloseReason.MESSAGE_TOO_BIG)
            return
        if event.message_finished:
            self._size = 0
        if self.streams:
            self._take(data if isinstance(data, str) else bytes(data))
            return
        if data:  # a client may send any number of empty parts
            self._parts.append(data)
        if event.message_finished:
            parts, self._parts = self._parts, []
            self._take("".join(parts) if isinstance(event, TextMessage) else b"".join(parts))

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, self.takes):
            self.messageReceived(message)
        else:
            code = CloseReason.UNSUPPORTED_DATA
            self.cut(Reason.MALFORMED, f"{type(message).__name__} is not spoken here", code=code)

    def _part(self, frame: bytes, linger: float) -> None:
        self._leave()
        self.outbox.close(linger, frame, self._all_sent)
        self.read_on()  # for the client's close frame

    def _all_sent(self) -> None:
        self._sent_all = True
        if not self._heard_end:
            self.setTimeout(PARTING)
        self._shut()

    def _shut(self) -> None:
        """Close our side when everything is sent and the client's close frame has arrived."""
        if self._sent_all and self._heard_end:
            self.setTimeout(None)
            self.outbox.shut()

    def _congested(self, congested: bool) -> None:
        self._stalled = False
        if self.waits and congested:
            self.hold(Hold.READER)
        elif self.waits:
            self.release(Hold.READER)

    def _send_ping(self) -> None:
        if self.ended:
            return
        if self.outbox.congested:
            if self._stalled:
                self.overflowed()
                return
            self._stalled = True
        elif self.paused and has_ended(self.transport):  # which is not read from
            self.abort()
            return
        elif self._pinged and not self.paused:
            self.cut(Reason.SILENT, "no pong", code=CloseReason.INTERNAL_ERROR)
            return
        elif not self._pinged:
            self._pinged = True
            self.outbox.interject(self._frames.send(Ping(b"ping")))
        self._ping = self.clock.callLater(self.ping_interval, self._send_ping)


def _size_and_head(data: bytes, begin: int = 0) -> tuple[int, int]:
    """The size of a frame's payload, and of its header before the mask."""
    size = int.from_bytes(data[begin + 1 : begin + 2], "big") & ~MASKED
    if size < SIZE_2:
        return size, 2
    head = 4 if size == SIZE_2 else 10
    return int.from_bytes(data[begin + 2 : begin + head], "big"), head


def whole_message(data: bytes) -> str | bytes | None:
    """Decode a client's message of less than 64 KiB; L{None} if this is not exactly one."""
    size, head = _size_and_head(data)
    begin = head + MASK_SIZE
    if len(data) != begin + size or data[1] & MASKED == 0:
        return None
    if head != (2 if size < SIZE_2 else 4):  # not the shortest form, or 64 KiB and more
        return None
    opcode = data[0] ^ FINAL
    if opcode not in (Opcode.TEXT, Opcode.BINARY):
        return None
    mask = data[head:begin] * (size // MASK_SIZE + 1)
    number = int.from_bytes(data[begin:], "big") ^ int.from_bytes(mask[:size], "big")
    payload = number.to_bytes(size, "big")
    if opcode == Opcode.BINARY:
        return payload
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:  # wsproto has the error for that
        return None


class Borders:
    """
    Where the frames of a client begin, without decoding them.

    @ivar between: whether the next byte begins a message.
    @ivar closes: whether there was a close frame.
    """

    __slots__ = ("_head", "_left", "_whole", "between", "closes")

    def __init__(self) -> None:
        self.between = True
        self.closes = False
        self._head = b""  # an incomplete header
        self._left = 0  # bytes of a frame that have not come
        self._whole = True  # the last message is complete

    def pass_by(self, data: bytes) -> None:
        """Take note of received bytes."""
        if self._head:
            data, self._head = self._head + data, b""
        begin, end = self._left, len(data)
        while begin < end:
            size, head = _size_and_head(data, begin)
            if end - begin < head:
                self._head = data[begin:]
                begin = end
                break
            opcode = data[begin] & 0x0F
            if not opcode & CONTROL:
                self._whole = bool(data[begin] & FINAL)
            elif opcode == Opcode.CLOSE:
                self.closes = True
            begin += head + MASK_SIZE + size
        self._left = begin - end
        self.between = self._whole and not self._left and not self._head
