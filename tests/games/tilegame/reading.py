"""
What a Tile-Game client reads, written without the codec that is tested.

The payloads are pickles; they are taken apart by hand, never loaded.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass, field

WORDS = {
    "RECOGNITION_REQ": "TILEGAME",
    "RECOGNITION_RES": "GAMETILE",
    "MAPDATA_REQ": "MAPDATA",
    "MAPDATA_RES": "DATAMAP",
    "MAPDATA_EOS": "MAPREADY",
    "PLAYERJOIN_REQ": "IWANTTOJOIN",
    "PLAYERJOIN_RES": "OKGIVEMEYOURNAME",
    "PLAYEROBJ_RES": "HEREISPLAYER",
    "NAMEALREXIST_ERR": "USERNAMEALREADYEXISTS",
    "MAXPLAYERS_ERR": "REACHEDMAXPLAYERS",
    "LCGAME_REQ": "CANISENDLOCALGAMESTATE",
    "GLGAME_REQ": "CANISENDGLOBALGAMESTATE",
    "GLGAME_RES": "YESSENDGLOBALGAMESTATE",
    "PACKETRECV_RES": "PACKETRECEIVED",
    "DISCONNECT_REQ": "BYEBYE",
}
TOKEN = {
    name: hashlib.shake_256(word.encode()).hexdigest(16).encode() for name, word in WORDS.items()
}
NAME = {token: name for name, token in TOKEN.items()}


class Unreadable(Exception):
    """The real client would be lost here."""


def unpickled(data: bytes) -> bytes:
    """The one bytes object of a pickle of protocol 3 or 4, or L{Unreadable}."""
    at = 0
    if data[:2] not in (b"\x80\x03", b"\x80\x04"):
        raise Unreadable("not a pickle")
    at = 2
    if data[at] == 0x95:  # FRAME
        if int.from_bytes(data[at + 1 : at + 9], "little") != len(data) - at - 9:
            raise Unreadable("a wrong frame")
        at += 9
    match data[at]:
        case 0x43:  # SHORT_BINBYTES
            start, size = at + 2, data[at + 1]
        case 0x42:  # BINBYTES
            start, size = at + 5, int.from_bytes(data[at + 1 : at + 5], "little")
        case _:
            raise Unreadable("no bytes")
    if data[start + size :].lstrip(b"\x94") != b".":
        raise Unreadable("more than bytes")
    return data[start : start + size]


def unpacked(payload: bytes) -> bytes:
    """The content of a payload with spaces around it, as the client takes it."""
    return unpickled(lzma.decompress(payload.strip()))


def expanded(runs: bytes, width: int) -> bytes:
    data = b""
    for at in range(0, len(runs), width + 2):
        count = int.from_bytes(runs[at + width : at + width + 2], "big")
        data += runs[at : at + width] * count
    return data


@dataclass(frozen=True)
class Map:
    """A whole map: three bytes for each tile, one bit for each broken one."""

    side: int
    tiles: bytes = field(repr=False)
    bits: bytes = field(repr=False)


def read_map(payload: bytes) -> Map:
    content = unpacked(payload)
    size = int.from_bytes(content[2:5], "big")
    bits = expanded(content[5 + size :], 1)
    if content[0] != content[1]:
        raise Unreadable("not square")
    return Map(content[0] + 1, expanded(content[5 : 5 + size], 3), bits)


@dataclass(frozen=True)
class State:
    """A state: players as (name, x, y, previous x, previous y), bits if there are any."""

    players: tuple[tuple[str, int, int, int, int], ...]
    bits: bytes | None = field(repr=False, default=None)


def read_state(packet: bytes) -> State:
    """A state packet without the spaces between its parts."""
    if int.from_bytes(packet[:2], "big") != len(packet) or len(packet) % 32:
        raise Unreadable("a wrong length")
    block, rest = packet[3 : 3 + packet[2]], packet[3 + packet[2] :].strip(b" ")
    lengths, _, records = block.partition(b"\0")
    players = []
    for length in lengths:
        record, records = records[:length], records[length:]
        coded, separator, numbers = record.partition(b"\x01")
        if not separator or len(numbers) != 10 or numbers[8:] != b"\x00\x64":
            raise Unreadable("half a player")
        name = "".join(chr(byte + 43) for byte in coded)
        where = (int.from_bytes(numbers[at : at + 2], "big", signed=True) for at in (0, 2, 4, 6))
        players.append((name, *where))
    if records:
        raise Unreadable("more than players")
    return State(tuple(players), expanded(unpacked(rest)[4:], 1) if rest else None)


def messages(stream: bytes) -> list[str | Map | State]:
    """Everything a server said: names of tokens, maps and states."""
    said: list[str | Map | State] = []
    while stream:
        token, stream = NAME.get(stream[:32], "?"), stream[32:]
        if token == "MAPDATA_RES":
            end = stream.find(TOKEN["MAPDATA_EOS"])
            if end < 0 or end % 32:
                raise Unreadable("a map without end")
            said.append(read_map(stream[:end]))
            stream = stream[end + 32 :]
        elif token == "GLGAME_RES" and stream:
            total = int.from_bytes(stream[:2], "big")
            said += [token, read_state(stream[:total])]
            stream = stream[total:]
        else:
            said.append(token)
    return said


def coded(name: str) -> bytes:
    return bytes(ord(character) - 43 for character in name)


def packet(content: bytes) -> bytes:
    return (b"SGPKT" + len(content).to_bytes(2, "big") + content).ljust(32)


def position(name: str, x: int, y: int) -> bytes:
    where = x.to_bytes(2, "big", signed=True) + y.to_bytes(2, "big", signed=True)
    return packet(b"\x1d" + coded(name) + b"\x01" + where)


def broken(name: str, x: int, y: int) -> bytes:
    return packet(b"\x1e" + coded(name) + b"\x01" + bytes([x, y]))
