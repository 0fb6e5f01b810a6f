"""How VelNet's clients speak, for L{tests.promises}."""

from __future__ import annotations

import re
from typing import ClassVar

from gameservers.games import Carriage
from gameservers.games.velnet import game
from gameservers.games.velnet.session import BinarySession, TextSession
from tests.games.velnet.world import KEEP_ALIVE, data, join, log_in
from tests.promises import PLAYER

ROOM = "room"


class Text:
    """A client of January 2022."""

    name = "text"
    game = game.name
    carriage = Carriage.STREAM
    options: tuple[str, ...] = ()
    junk = b"x" * 65_537  # any shorter line is ignored
    full = b""
    farewell = b""
    tables = TextSession.TABLE

    def log_in(self, name: str) -> list[bytes]:
        return [b"0:%b:\n" % name.encode(), b"2:%b\n" % ROOM.encode()]

    def answered(self, name: str) -> bytes:
        return b":%b\n4:" % ROOM.encode()

    def talk(self, number: int) -> bytes:
        return b"3:0:hello %d\n" % number

    def heard(self, number: int) -> bytes:
        return b":hello %d\n" % number

    def provoke(self) -> bytes:
        return b"3:1:%b\n" % (b"x" * 20)

    def same(self, answer: bytes) -> bytes:
        """Without ids."""
        return re.sub(rb"\d+", b"#", answer)


class Binary:
    """A client of generation 2."""

    name = "binary"
    game = game.name
    carriage = Carriage.STREAM
    options: tuple[str, ...] = ()
    junk = b"\x7f"
    full = b""
    farewell = b""
    tables = BinarySession.TABLE

    def log_in(self, name: str) -> list[bytes]:
        return [log_in(name), KEEP_ALIVE, join(ROOM)]

    def answered(self, name: str) -> bytes:
        return b"\x04%b\x04\0" % ROOM.encode()

    def talk(self, number: int) -> bytes:
        return b"\x03" + data(b"hello %d" % number)

    def heard(self, number: int) -> bytes:
        return data(b"hello %d" % number)

    def provoke(self) -> bytes:
        return b"\x04" + data(b"x" * 20)

    def same(self, answer: bytes) -> bytes:
        """Without ids, and all that looks like one."""
        return re.sub(rb"\0{3,}[^\0]", b"#", answer)


class WebSocket(Binary):
    """The same on a WebSocket."""

    name = "binary in a WebSocket"
    carriage = Carriage.BINARY


class TextDatagrams:
    """Datagrams of a text client."""

    name = "text datagrams"
    game = game.name
    carriage = Carriage.DATAGRAM
    options: tuple[str, ...] = ()
    stream = Text()
    junk = b"99:3:1:hello"  # in the name of another player
    tables: ClassVar = {"datagrams": TextSession.DATAGRAMS}

    def player(self, answer: bytes) -> bytes:
        return answer.split(b":")[1]

    def log_in(self, name: str) -> list[bytes]:
        return [PLAYER + b":0:hello"]

    def answered(self, name: str) -> bytes:
        return b"0:"

    def provoke(self) -> bytes:
        return b"%b:3:1:%b" % (PLAYER, b"x" * 20)


class BinaryDatagrams:
    """Datagrams of a binary client."""

    name = "binary datagrams"
    game = game.name
    carriage = Carriage.DATAGRAM
    options: tuple[str, ...] = ()
    stream = Binary()
    junk = b"\x05\0\0\0\1"
    tables: ClassVar = {"datagrams": BinarySession.DATAGRAMS}

    def player(self, answer: bytes) -> bytes:
        return answer[1:5]

    def log_in(self, name: str) -> list[bytes]:
        return [b"\0" + PLAYER]

    def answered(self, name: str) -> bytes:
        return b"\0"

    def provoke(self) -> bytes:
        return b"\x0a%b%b" % (PLAYER, b"x" * 20)


FORMS = (Text(), Binary(), WebSocket(), TextDatagrams(), BinaryDatagrams())
