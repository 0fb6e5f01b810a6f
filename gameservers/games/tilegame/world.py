"""
The world: a square of tiles; some kinds of tiles can be broken.

A tile is a 24-bit number on the wire; in memory it is one byte, a L{Tile}, so that the largest map
takes 36 KiB and its runs can be found by a regular expression.  A broken tile is C{DIRT} and has
its bit set among the broken ones.

A world on the wire::

    map       side-1 (u8)  side-1 (u8)  length of tile runs (u24)  tile runs  broken runs
    changes   side-1 (u8)  side-1 (u8)  length of broken runs (u16)           broken runs

    tile runs     tile (u24)  count (u16, at least 1), row by row from the top left
    broken runs   byte (u8)   count (u16, at least 1), of a bit map in the same order: first
                  tile in the most significant bit, as many bytes as it needs

All integers are big-endian.  A world is stored as its map and a description in JSON: its seed,
theme and side; and as the tiles that were broken since, one by one.  L{World.restore} raises
L{ValueError} for anything else.

The middle of the map is the origin of the players' coordinates, which are in pixels and refer to
the upper left corner of a player, which is as large as a tile.
"""

from __future__ import annotations

import enum
import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gameservers.games.tilegame.wire import payload

#: Pixels along the side of a tile, and of a player.
TILE = 32

#: Tiles along the side of the largest world.
LARGEST = 192

_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_MAP_HEAD = struct.Struct(">BBBH")  # the u24 as u8 and u16
_CHANGES_HEAD = struct.Struct(">BBH")


class Tile(enum.IntEnum):
    """The kinds of tiles, numbered as in memory; L{WIRE} has their numbers on the wire."""

    VOID = 0
    GRASS = 1
    PLAINS = 2
    DIRT = 3
    COBBLESTONE = 4
    SAND = 5
    COBBLESTONE_STAIRS = 6
    FIRESTONE = 7
    WATER = 8
    LAVA = 9


#: From the top: texture x (3 bits) and y (3), resistance in 1/16 s (6), damage (7), damage
#: delay in 1/10 s (3), unused (2).
WIRE = {
    Tile.VOID: 0x000000,
    Tile.GRASS: 0x200000,
    Tile.PLAINS: 0x400000,
    Tile.DIRT: 0x600000,
    Tile.COBBLESTONE: 0x80A000,
    Tile.SAND: 0xA00000,
    Tile.COBBLESTONE_STAIRS: 0xC00000,
    Tile.FIRESTONE: 0xE19000,
    Tile.WATER: 0x040000,
    Tile.LAVA: 0x240074,
}

BREAKABLE = frozenset({Tile.COBBLESTONE, Tile.FIRESTONE})

_TO_WIRE = [number.to_bytes(3, "big") for number in WIRE.values()]
_FROM_WIRE = {number: tile for tile, number in enumerate(_TO_WIRE)}
_AS_IT_IS = {bytes([value]): value for value in range(256)}


def runs(data: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """Split into the longest runs of equal bytes, as the byte and its count as a u16."""
    for run in _RUN.finditer(data):
        start, end = run.span()
        yield data[start], (end - start).to_bytes(2, "big")


def encode_tiles(tiles: bytes | bytearray) -> bytes:
    """Encode a map of tiles."""
    return b"".join(_TO_WIRE[tile] + count for tile, count in runs(tiles))


def decode_tiles(encoded: bytes, size: int) -> bytearray:
    """Decode a map of C{size} tiles, or raise L{ValueError}."""
    return _expand(encoded, _FROM_WIRE, 3, size)


def encode_bits(bits: bytes | bytearray) -> bytes:
    """Encode a bit map."""
    return b"".join(b"%c%b" % run for run in runs(bits))


def decode_bits(encoded: bytes, size: int) -> bytearray:
    """Decode a bit map of C{size} bytes, or raise L{ValueError}."""
    return _expand(encoded, _AS_IT_IS, 1, size)


def _expand(encoded: bytes, known: dict[bytes, int], width: int, size: int) -> bytearray:
    data = bytearray()
    if len(encoded) % (width + 2):
        raise ValueError("half a run")
    for at in range(0, len(encoded), width + 2):
        value = known.get(encoded[at : at + width])
        count = int.from_bytes(encoded[at + width : at + width + 2], "big")
        if value is None or not 1 <= count <= size - len(data):
            raise ValueError("an impossible run")
        data += bytes([value]) * count
    if len(data) != size:
        raise ValueError("a map with too few tiles")
    return data


def encode_map(side: int, tiles: bytes, bits: bytes) -> bytes:
    """
    Encode a whole map, for a new player.

    It takes a few milliseconds for a large map, and only values, so that a thread can do it.
    """
    encoded = encode_tiles(tiles)
    head = _MAP_HEAD.pack(side - 1, side - 1, *divmod(len(encoded), 1 << 16))
    return head + encoded + encode_bits(bits)


class Change(NamedTuple):
    """
    A tile was broken.

    @ivar number: higher than those of all earlier changes that are stored.
    """

    number: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class SavedWorld:
    """
    A world as it is stored.

    @ivar description: seed, theme and side, in JSON.
    @ivar content: its map.
    @ivar changes: what was broken since, in this order.
    """

    description: str
    content: bytes
    changes: tuple[Change, ...] = ()


class World:
    """
    One world.

    @ivar side: tiles along each side.
    @ivar tiles: one byte each, row by row from the top left.
    @ivar bits: the broken tiles, one bit each.
    @ivar revision: the number of tiles broken since the map was stored that was loaded.
    """

    def __init__(
        self, seed: str, theme: str, tiles: bytes | bytearray, bits: bytes | bytearray = b""
    ) -> None:
        self.seed = seed
        self.theme = theme
        self.tiles = bytearray(tiles)
        self.side = math.isqrt(len(tiles))
        if self.side**2 != len(tiles) or not 1 <= self.side <= LARGEST:
            raise ValueError("a map that is not square, or of an impossible size")
        self.bits = bytearray(bits or -(-len(tiles) // 8))
        self.revision = 0
        self._packed: bytes | None = None

    @classmethod
    def restore(cls, kept: SavedWorld) -> World:
        """Decode the result of L{keep}, or raise L{ValueError}."""
        match json.loads(kept.description):
            case {"seed": str(seed), "theme": str(theme), "side": int(side)}:
                pass
            case _:
                raise ValueError("a world without seed, theme or side")
        content = kept.content
        if len(content) < _MAP_HEAD.size:
            raise ValueError("not a map")
        width, height, high, low = _MAP_HEAD.unpack_from(content)
        if not width + 1 == height + 1 == side:
            raise ValueError("a map that is not as large as it should be")
        size = side**2
        middle = _MAP_HEAD.size + (high << 16) + low
        tiles = decode_tiles(content[_MAP_HEAD.size : middle], size)
        world = cls(seed, theme, tiles, decode_bits(content[middle:], -(-size // 8)))
        for change in kept.changes:
            world.break_tile(change.x, change.y)  # unless the map contains it already
        return world

    def keep(self) -> SavedWorld:
        """Encode the whole world for storage."""
        about = {"seed": self.seed, "theme": self.theme, "side": self.side}
        return SavedWorld(json.dumps(about), encode_map(*self.snapshot()))

    def snapshot(self) -> tuple[int, bytes, bytes]:
        """The present arguments of L{encode_map}."""
        return self.side, bytes(self.tiles), bytes(self.bits)

    def changes(self) -> bytes:
        """Encode which tiles are broken, for a player that has the map."""
        encoded = encode_bits(self.bits)
        return _CHANGES_HEAD.pack(self.side - 1, self.side - 1, len(encoded)) + encoded

    def changes_payload(self) -> bytes:
        """The changes as the payload of a state packet, encoded once for each broken tile."""
        if self._packed is None:
            self._packed = payload(self.changes())
        return self._packed

    def __contains__(self, place: tuple[int, int]) -> bool:
        return all(0 <= tile < self.side for tile in place)

    def tile(self, x: int, y: int) -> Tile:
        return Tile(self.tiles[y * self.side + x])

    def is_broken(self, x: int, y: int) -> bool:
        at = y * self.side + x
        return bool(self.bits[at >> 3] & 0x80 >> (at & 7))

    def is_breakable(self, x: int, y: int) -> bool:
        """Whether a tile exists and can be broken."""
        return (x, y) in self and self.tile(x, y) in BREAKABLE

    def break_tile(self, x: int, y: int) -> bool:
        """Break a tile, if it exists and can be broken."""
        if not self.is_breakable(x, y):
            return False
        at = y * self.side + x
        self.tiles[at] = Tile.DIRT
        self.bits[at >> 3] |= 0x80 >> (at & 7)
        self.revision += 1
        self._packed = None
        return True

    def clamp(self, pixel: int) -> int:
        """The nearest coordinate at which a player is completely on the map."""
        half = TILE * self.side // 2
        return max(-half, min(pixel, half - TILE))

    def tile_at(self, pixel: int) -> int:
        """The column (or row) in which a player at this coordinate stands."""
        return round((pixel + TILE * self.side / 2) / TILE)
