"""
Tile-Game's wire format: blocks of 32 bytes over TCP, to messages and back.

Both sides of the original read with single calls for 32 bytes and take the result of one call as
one message.  So everything but a player's name fills whole blocks, and a client must never receive
part of one: output is split only at multiples of 32 (see L{PIECE}).  Input may be split anywhere;
L{Inbox} joins it again.

There are three kinds of messages.  I{Tokens} are one block: 32 lower case hexadecimal digits, the
first 16 bytes of SHAKE-256 of a word.  The player's I{name} comes raw and has no length.
Everything else is I{filled} with spaces up to a whole number of blocks::

    token             word                      from
    RECOGNITION_REQ   TILEGAME                  client
    RECOGNITION_RES   GAMETILE                  server
    MAPDATA_REQ       MAPDATA                   client
    MAPDATA_RES       DATAMAP                   server, then a filled payload, then MAPDATA_EOS
    MAPDATA_EOS       MAPREADY                  server
    PLAYERJOIN_REQ    IWANTTOJOIN               client
    PLAYERJOIN_RES    OKGIVEMEYOURNAME          server
    PLAYEROBJ_RES     HEREISPLAYER              server: the name is accepted
    NAMEALREXIST_ERR  USERNAMEALREADYEXISTS     server: it is not
    MAXPLAYERS_ERR    REACHEDMAXPLAYERS         server: no place
    GLGAME_REQ        CANISENDGLOBALGAMESTATE   client
    GLGAME_RES        YESSENDGLOBALGAMESTATE    server, then a state packet
    LCGAME_REQ        CANISENDLOCALGAMESTATE    server: asks for a position packet
    PACKETRECV_RES    PACKETRECEIVED            server: the answer to every packet
    DISCONNECT_REQ    BYEBYE                    client, not answered

A connection begins RECOGNITION, MAPDATA, PLAYERJOIN, name; the first three in blocks, the name as
the first data after PLAYERJOIN_RES, since the client then waits.  A name is 1 to L{MAX_NAME} of
C{A-Z a-z 0-9 - _}.  In play the client asks GLGAME_REQ, and each state is followed by LCGAME_REQ.
Integers are big-endian from here on::

    packet      "SGPKT"  length (u16)  content, filled: one block
    content     command (u8)  name  01  arguments
    0x1D        x (i16)  y (i16)        position of the player, in pixels
    0x1E        x (u8)  y (u8)          a tile is broken, by column and row

    state       total (u16)  length of players (u8)  players  payload of changes, filled
    players     length of each record (u8 each)  00  the records
    record      name  01  x  y  previous x  previous y (i16 each)  lerp (u8)  health (u8)

C{total} counts the whole packet with itself and the filling.  In both a name has one byte for each
character, its code point minus 43.  A state's payload may be missing: the client then knows all
changes already.

A I{payload} is an XZ container (CRC32, a dictionary of 4 KiB) of a Python pickle of one C{bytes}
object, in one form: C{80 03 42}, u32 little-endian length, the bytes, C{2E}.  Pickles are only
written here, by hand, and never read: no client sends one.

A content of more than L{MAX_CONTENT} bytes, an unknown command, an invalid name or a missing
separator is a L{WireError}; the caller decides how many of them it tolerates.  A packet of length
0 is ignored.

Source: SammygoodTunes/Tile-Game at 72acf1a0.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gameservers.wire import WireError, begins

#: The unit of the wire, in bytes.
BLOCK = 32

#: Maximum size of one write, in bytes: a multiple of L{BLOCK} that fits into any segment, so that
#: no segment ends inside a block.
PIECE = 1024

#: Longest name, in characters.
MAX_NAME = 16

#: Maximum size of a packet's content, in bytes: what fits into one block after magic and length.
MAX_CONTENT = BLOCK - 7

#: Maximum size of a state packet, in bytes: the largest number of blocks that its length can
#: express.
MAX_STATE = 0xFFFF // BLOCK * BLOCK

#: Maximum size of the players in a state packet, in bytes: their length is one byte.
MAX_PLAYERS_BLOCK = 255

_NAME = re.compile(rb"[A-Za-z0-9_-]{1,%d}" % MAX_NAME)
_CODED_NAME = re.compile(rb"[^\x00\x01]+")
_NAME_OFFSET = 43
_ENCODED = dict(zip(range(_NAME_OFFSET, _NAME_OFFSET + 256), range(256), strict=True))
_DECODED = "".join(map(chr, _ENCODED))
_MAGIC = b"SGPKT"
_RECORD = struct.Struct(">hhhhBB")
_POSITION = struct.Struct(">hh")
_XZ = ({"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 4096},)


def token(word: str) -> bytes:
    """The block for a word."""
    return hashlib.shake_256(word.encode("utf-8")).hexdigest(BLOCK // 2).encode("ascii")


RECOGNITION_REQ = token("TILEGAME")
RECOGNITION_RES = token("GAMETILE")
MAPDATA_REQ = token("MAPDATA")
MAPDATA_RES = token("DATAMAP")
MAPDATA_EOS = token("MAPREADY")
PLAYERJOIN_REQ = token("IWANTTOJOIN")
PLAYERJOIN_RES = token("OKGIVEMEYOURNAME")
PLAYEROBJ_RES = token("HEREISPLAYER")
NAMEALREXIST_ERR = token("USERNAMEALREADYEXISTS")
MAXPLAYERS_ERR = token("REACHEDMAXPLAYERS")
GLGAME_REQ = token("CANISENDGLOBALGAMESTATE")
GLGAME_RES = token("YESSENDGLOBALGAMESTATE")
LCGAME_REQ = token("CANISENDLOCALGAMESTATE")
PACKETRECV_RES = token("PACKETRECEIVED")
DISCONNECT_REQ = token("BYEBYE")


#: The first bytes of a client, as many as distinguish it from all other wire formats.
recognise = begins(RECOGNITION_REQ[:4])


@dataclass(frozen=True, slots=True)
class Name:
    """The player's name; C{text} is L{None} if it is invalid."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """C{name} is at this position, in pixels."""

    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class BreakTile:
    """C{name} has broken the tile in this column and row."""

    name: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class EmptyPacket:
    """A packet of length 0."""


#: A token or another message.
Message = bytes | Name | Position | BreakTile | EmptyPacket

#: A token, or the class of other messages.
Kind = bytes | type[Any]

#: The tokens that a client can send.
TOKENS = frozenset((RECOGNITION_REQ, MAPDATA_REQ, PLAYERJOIN_REQ, GLGAME_REQ, DISCONNECT_REQ))

#: All messages that a client can send.
MESSAGES: tuple[Kind, ...] = (*TOKENS, Name, Position, BreakTile, EmptyPacket)


class Inbox:
    """The input buffer, read in whole blocks or, for the name, as received."""

    def __init__(self) -> None:
        self._data = bytearray()

    def receive_data(self, data: bytes) -> None:
        self._data += data

    def __len__(self) -> int:
        return len(self._data)

    def block(self) -> bytes:
        """The next block, or nothing if it is incomplete; it is not removed."""
        return bytes(self._data[:BLOCK]) if len(self._data) >= BLOCK else b""

    def whole(self) -> bytes:
        """Everything; it is not removed."""
        return bytes(self._data)

    def take(self, size: int) -> bytes:
        """Remove the next bytes and return them."""
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken


def fill(data: bytes) -> bytes:
    """Pad to whole blocks."""
    return data + b" " * (-len(data) % BLOCK)


def parse_name(data: bytes) -> str | None:
    """Decode a player's name; L{None} if it is invalid."""
    return data.decode("ascii") if _NAME.fullmatch(data) else None


def encode_name(name: str) -> bytes:
    """Encode a name inside a packet."""
    return name.translate(_ENCODED).encode("latin-1")


def parse_packet(block: bytes) -> Position | BreakTile | EmptyPacket:
    """
    Decode a block that is not a token.

    @raise WireError: it is not a packet of the game.
    """
    if not is_packet(block):
        raise WireError("not a packet")
    length = int.from_bytes(block[5:7], "big")
    if not length:
        return EmptyPacket()
    if length > MAX_CONTENT:
        raise WireError("a packet of more than one block")
    coded, separator, arguments = block[8 : 7 + length].partition(b"\x01")
    if not separator or not _CODED_NAME.fullmatch(coded):
        raise WireError("a packet without a name")
    name = coded.decode("latin-1").translate(_DECODED)
    match block[7], len(arguments):
        case 0x1D, 4:
            return Position(name, *_POSITION.unpack(arguments))
        case 0x1E, 2:
            return BreakTile(name, *arguments)
    raise WireError("an unknown packet")


def is_packet(block: bytes) -> bool:
    """Whether it begins like a packet."""
    return block.startswith(_MAGIC)


def payload(content: bytes) -> bytes:
    """Encode a payload."""
    pickle = b"\x80\x03B%b%b." % (len(content).to_bytes(4, "little"), content)
    return lzma.compress(pickle, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_XZ)


def record(
    name: str, x: int, y: int, previous_x: int, previous_y: int, lerp: int, health: int
) -> bytes:
    """Encode one player's record."""
    rest = _RECORD.pack(x, y, previous_x, previous_y, lerp, health)
    return b"%b\x01%b" % (encode_name(name), rest)


def players_size(records: Iterable[bytes]) -> int:
    """The encoded size of these players; at most L{MAX_PLAYERS_BLOCK} fits."""
    return 1 + sum(1 + len(each) for each in records)


def players_block(records: list[bytes]) -> bytes:
    """Encode all players of a state."""
    return b"%b\x00%b" % (bytes(map(len, records)), b"".join(records))


def state(players: bytes, changes: bytes = b"") -> bytes:
    """
    Encode a state packet.

    @param players: from L{players_block}, at most L{MAX_PLAYERS_BLOCK} bytes.
    @param changes: a payload, or nothing if the client knows all changes.
    @raise ValueError: it does not fit, which cannot happen with a world of the game.
    """
    body = fill(b"\x00\x00" + bytes([len(players)]) + players + changes)
    if len(body) > MAX_STATE:
        raise ValueError("a state that cannot be framed")
    return len(body).to_bytes(2, "big") + body[2:]


def map_messages(content: bytes) -> bytes:
    """Encode the answer to MAPDATA_REQ, with the payload of the map."""
    return MAPDATA_RES + fill(content) + MAPDATA_EOS
