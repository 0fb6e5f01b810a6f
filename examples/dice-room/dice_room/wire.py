"""
A message is one line of UTF-8, at most L{MAX_LINE} bytes, and LF::

    client to server            server to all players in the room
    DICE <name>     come in     <name> is here
    ROLL <sides>    2 to 100    <name> rolls <number>
    (the connection ends)       <name> is gone

    client to server            server to this client
    BEST            ask         the best is <number> by <name>

A refused request is answered with C{! <why>}; any other line ends the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gameservers.names import is_legible
from gameservers.wire import WireError, begins

MAX_LINE = 100


@dataclass(frozen=True, slots=True)
class Enter:
    name: str


@dataclass(frozen=True, slots=True)
class Roll:
    sides: int


@dataclass(frozen=True, slots=True)
class Best:
    pass


Message = Enter | Roll | Best
MESSAGES: tuple[type[Message], ...] = (Enter, Roll, Best)

recognise = begins(b"DICE ")


def parse(line: bytes) -> Message:
    """Decode one line, without its LF, or raise L{WireError}."""
    match line.decode("utf-8", "replace").split(" "):
        case ["DICE", name] if re.fullmatch(r"\w+", name) and is_legible(name):
            return Enter(name)
        case ["ROLL", sides] if re.fullmatch(r"[2-9]|[1-9]\d|100", sides):
            return Roll(int(sides))
        case ["BEST"]:
            return Best()
        case _:
            raise WireError("no such line")


def line(text: str) -> bytes:
    """Encode one line."""
    return text.encode() + b"\n"
