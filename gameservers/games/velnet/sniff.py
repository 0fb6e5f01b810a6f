"""
Which of VelNet's forms is being spoken, from the first bytes alone.

Every client speaks first.  On a stream::

    first bytes                         form
    digit                               text: a log-in is C{0:}, and any line starts with a digit
    00, u8 length not 0, then not 00    binary: a log-in (a frame of another game that begins so
                                        is a little-endian length, whose third byte is 00)
    0A 00 00 00 09                      binary: a client of generation 2 that has not logged in
    01 to 0A                            binary: other messages, on a port that is VelNet's alone
    C{GET }                             an HTTP request: a WebSocket that carries the binary form

In a datagram the first byte is a digit in the text form and at most 0A in the binary form;
blanks with a brace behind them are another game's JSON.
"""

from __future__ import annotations

import enum

from gameservers.games import Verdict

_KEEP_ALIVE = b"\x0a\x00\x00\x00\x09"
_GET = b"GET "


class Form(enum.Enum):
    TEXT = "text"
    BINARY = "binary"
    WEBSOCKET = "websocket"
    UNKNOWN = "unknown"


def form_of_stream(first: bytes) -> Form | None:
    """What is spoken on VelNet's own port; L{None}: too few bytes to tell."""
    if not first:
        return None
    if first[:1].isdigit():
        return Form.TEXT
    if first[0] <= 0x0A:
        return Form.BINARY
    if first[:4] == _GET[: len(first)]:
        return Form.WEBSOCKET if len(first) >= 4 else None
    return Form.UNKNOWN


def form_of_datagram(datagram: bytes) -> Form:
    if datagram[:1].isdigit():
        return Form.TEXT
    return Form.BINARY if datagram and datagram[0] <= 0x0A else Form.UNKNOWN


def recognises_stream(first: bytes) -> Verdict:
    """Whether a stream is VelNet's, on a port that it shares with the other games."""
    if not first:
        return Verdict.MORE
    known: bool | None = None
    if first[:1].isdigit():
        known = first[1:2] in (b":", b"\n") if len(first) > 1 else None
    elif first[0] == 0x0A:
        if len(first) >= len(_KEEP_ALIVE) or not _KEEP_ALIVE.startswith(first):
            known = first.startswith(_KEEP_ALIVE)
    elif first[0] == 0x00:
        known = False if 0 in first[1:3] else True if len(first) > 2 else None
    else:
        known = False
    return Verdict.MORE if known is None else Verdict.YES if known else Verdict.NO


def recognises_datagram(datagram: bytes) -> Verdict:
    """Whether a datagram is VelNet's, on a port that it shares with the other games."""
    # Tab and line feed are also types, but no id is so large that a brace could follow them.
    if datagram.lstrip(b" \t\r\n").startswith(b"{"):
        return Verdict.NO
    return Verdict.NO if form_of_datagram(datagram) is Form.UNKNOWN else Verdict.YES
