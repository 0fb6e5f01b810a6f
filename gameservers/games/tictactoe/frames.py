"""
WebSocket frames (RFC 6455), where Twisted and wsproto leave something to be wished.

Twisted joins the pieces of a message without a limit: L{Bounded} has one.  wsproto takes longer
to take a short message apart than it takes to obey it: with L{Shortcut} what arrives as one whole
text message is read at once, and all else takes its way through wsproto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from wsproto.connection import Connection, ConnectionState
from wsproto.events import CloseConnection, Event, TextMessage

#: A frame's first byte: the last, or only, piece of its message; a whole text; no message.
FINAL, TEXT, CONTROL = 0x80, 0x81, 0x08

#: In its second byte: the payload is masked, as all that a client sends.
MASKED = 0x80

#: The second byte without that bit is the size, or one of these: 2 or 8 bytes of size follow.
SIZE_2, SIZE_8 = 126, 127

MASK_SIZE = 4


@lru_cache(maxsize=1)
def text_frame(message: str) -> bytes:
    """A text message as a server sends it, made once for all who are told the same."""
    payload = message.encode("utf-8")
    size = len(payload)
    if size < SIZE_2:
        return b"%c%c%b" % (TEXT, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (TEXT, SIZE_2, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (TEXT, SIZE_8, size.to_bytes(8, "big"), payload)


def _size_and_head(data: bytes, begin: int = 0) -> tuple[int, int]:
    """The bytes of payload that a frame announces, and those before its mask."""
    size = int.from_bytes(data[begin + 1 : begin + 2], "big") & ~MASKED
    if size < SIZE_2:
        return size, 2
    head = 4 if size == SIZE_2 else 10
    return int.from_bytes(data[begin + 2 : begin + head], "big"), head


def whole_text(data: bytes) -> str | None:
    """The text, if this is one client's text message of less than 64 KiB and nothing else."""
    size, head = _size_and_head(data)
    begin = head + MASK_SIZE
    if len(data) != begin + size or data[0] != TEXT or data[1] & MASKED == 0:
        return None
    if head != (2 if size < SIZE_2 else 4):  # longer than it must be, or a very long one
        return None
    mask = data[head:begin] * (size // MASK_SIZE + 1)
    number = int.from_bytes(data[begin:], "big") ^ int.from_bytes(mask[:size], "big")
    try:
        return number.to_bytes(size, "big").decode("utf-8")
    except UnicodeDecodeError:  # for wsproto to say what that means
        return None


def ends_a_message(data: bytes) -> bool:
    """Whether a client's frames, the first byte being that of a frame, are whole messages."""
    begin, whole = 0, True
    while begin < len(data):
        if not data[begin] & CONTROL:
            whole = bool(data[begin] & FINAL)
        size, head = _size_and_head(data, begin)
        begin += head + MASK_SIZE + size
    return whole and begin == len(data)


class Shortcut:
    """
    Stands before a server's end of a WebSocket in L{twisted.web.websocket}.

    Once bytes have arrived that end within a message, wsproto is asked about all that follow.
    """

    def __init__(self, connection: Connection) -> None:
        self.send = connection.send
        self._connection = connection
        self._between_messages = True
        self._text: str | None = None

    @property
    def state(self) -> ConnectionState:
        return self._connection.state

    def receive_data(self, data: bytes) -> None:
        if self._between_messages:
            if self.state is ConnectionState.OPEN:
                self._text = whole_text(data)
                if self._text is not None:
                    return
            self._between_messages = ends_a_message(data)
        self._connection.receive_data(data)

    def events(self) -> Iterable[Event]:
        text, self._text = self._text, None
        return self._all_events() if text is None else (TextMessage(text),)

    def _all_events(self) -> Iterator[Event]:
        for event in self._connection.events():
            if isinstance(event, CloseConnection):  # also after a mistake of the client's
                self._between_messages = False
            yield event


class Bounded:
    """The pieces of one message, joined, up to a limit in bytes; C{too_big} is called beyond."""

    def __init__(self, empty: Any, limit: int, too_big: Callable[[], None]) -> None:
        self._empty = empty
        self._limit = limit
        self._too_big = too_big
        self._pieces: list[Any] = []
        self._size = 0

    def add(self, piece: Any) -> None:
        # One character is up to four bytes, but most often one.
        plain = not isinstance(piece, str) or piece.isascii()
        self._size += len(piece) if plain else len(piece.encode("utf-8"))
        if self._size > self._limit:
            self._pieces.clear()
            self._too_big()
        else:
            self._pieces.append(piece)

    def done(self) -> Any:
        joined = self._empty.join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return joined
