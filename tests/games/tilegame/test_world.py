"""
The world: its runs, what can be broken in it, how it is kept.
"""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.world import (
    BREAKABLE,
    LARGEST,
    SavedWorld,
    Tile,
    World,
    decode_bits,
    decode_tiles,
    encode_bits,
    encode_tiles,
)
from tests.games.tilegame.reading import expanded, unpacked
from tests.games.tilegame.support import tiles_of


def a_world(*tiles: Tile, side: int = 2) -> World:
    return World("seed", "default", bytes(tiles or [Tile.GRASS] * side**2))


squares = st.integers(1, 12).flatmap(
    lambda side: st.lists(st.sampled_from(Tile), min_size=side**2, max_size=side**2)
)


class RunsTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(squares)
    def test_tiles(self, tiles: list[Tile]) -> None:
        data = bytes(tiles)
        self.assertEqual(decode_tiles(encode_tiles(data), len(data)), data)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(b"\x00\x01\x80\xff"), max_size=80).map(bytes))
    def test_bits(self, bits: bytes) -> None:
        encoded = encode_bits(bits)
        self.assertEqual(decode_bits(encoded, len(bits)), bits)
        self.assertEqual(expanded(encoded, 1), bits)

    @settings(deadline=None)
    @given(st.binary(max_size=60), st.integers(0, 400))
    def test_junk(self, junk: bytes, size: int) -> None:
        """Whatever is kept, it is a map of this size or a L{ValueError}."""
        for decode in (decode_tiles, decode_bits):
            with contextlib.suppress(ValueError):
                self.assertEqual(len(decode(junk, size)), size)

    def test_known_runs(self) -> None:
        """An unbroken small world, and one row of two kinds."""
        self.assertEqual(encode_bits(bytes(512)), bytes.fromhex("000200"))
        tiles = bytes([Tile.GRASS] * 3 + [Tile.LAVA])
        self.assertEqual(encode_tiles(tiles), bytes.fromhex("2000000003 2400740001"))

    def test_largest_run(self) -> None:
        """The largest map of one tile is one run."""
        data = bytes(LARGEST**2)
        self.assertEqual(encode_tiles(data), bytes.fromhex("0000009000"))
        self.assertEqual(decode_tiles(encode_tiles(data), len(data)), data)


class WorldTests(SynchronousTestCase):
    def test_break(self) -> None:
        """A broken tile is dirt, and its bit is set."""
        world = a_world(Tile.GRASS, Tile.COBBLESTONE, Tile.FIRESTONE, Tile.WATER)
        self.assertTrue(world.break_tile(1, 0))
        self.assertEqual(world.tile(1, 0), Tile.DIRT)
        self.assertEqual(world.bits, b"\x40")
        self.assertTrue(world.is_broken(1, 0))
        self.assertFalse(world.is_broken(0, 0))
        self.assertEqual(world.revision, 1)

    def test_cannot_break(self) -> None:
        """What is no stone, broken already or not on the map does not break."""
        world = a_world(Tile.GRASS, Tile.COBBLESTONE, Tile.FIRESTONE, Tile.WATER)
        world.break_tile(1, 0)
        before = world.keep()
        for place in ((0, 0), (1, 1), (1, 0), (2, 0), (0, 2), (3, 0), (-1, 1)):
            self.assertFalse(world.break_tile(*place), place)
        self.assertEqual(world.keep(), before)
        self.assertEqual(world.revision, 1)

    def test_changes(self) -> None:
        world = a_world(*[Tile.COBBLESTONE] * 16)
        self.assertEqual(world.changes(), bytes.fromhex("0303 0003 000002"))
        world.break_tile(0, 1)
        self.assertEqual(world.changes(), bytes.fromhex("0303 0006 080001 000001"))

    def test_changes_are_packed_once(self) -> None:
        """Nothing is compressed per tick: only a broken tile makes another payload."""
        world = a_world(*[Tile.COBBLESTONE] * 16)
        packed = world.changes_payload()
        self.assertIs(world.changes_payload(), packed)
        world.break_tile(3, 3)
        self.assertEqual(unpacked(world.changes_payload()), world.changes())
        self.assertNotEqual(world.changes_payload(), packed)

    def test_sizes_of_the_payloads(self) -> None:
        """An unbroken large world has changes of 76 bytes; the whole fits three pieces."""
        world = World("abc", "default", tiles_of("abc", "default", 192))
        self.assertLessEqual(len(world.changes_payload()), 76)

    def test_places(self) -> None:
        """The middle of the map is 0, 0; a player is wholly on it."""
        world = a_world(side=64)
        self.assertEqual((world.clamp(-5000), world.clamp(5000)), (-1024, 992))
        self.assertEqual((world.clamp(-7), world.clamp(991)), (-7, 991))
        self.assertEqual((world.tile_at(-1024), world.tile_at(0), world.tile_at(992)), (0, 32, 63))

    @settings(deadline=None)
    @given(
        squares, st.text(max_size=20), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)))
    )
    def test_kept(self, tiles: list[Tile], seed: str, breaks: list[tuple[int, int]]) -> None:
        """A world that was kept is the same world."""
        world = World(seed, "hell", bytes(tiles))
        for place in breaks:
            world.break_tile(*place)
        again = World.restore(world.keep())
        self.assertEqual((again.seed, again.theme), (seed, "hell"))
        self.assertEqual((again.tiles, again.bits), (world.tiles, world.bits))
        self.assertFalse(BREAKABLE & {again.tile(*each) for each in breaks if each in again})

    @settings(deadline=None)
    @given(st.integers(0, 200), st.text(min_size=1, max_size=3), st.binary(max_size=3))
    def test_damaged(self, at: int, text: str, junk: bytes) -> None:
        """What is damaged is a world still, or a L{ValueError}: nothing else."""
        kept = a_world(*[Tile.COBBLESTONE, Tile.LAVA] * 8).keep()
        about, content = kept.description, kept.content
        for damaged in (
            SavedWorld(about[:at], content),
            SavedWorld(about[:at] + text + about[at + len(text) :], content),
            SavedWorld(about, content[:at]),
            SavedWorld(about, content[:at] + junk + content[at + len(junk) :]),
        ):
            with contextlib.suppress(ValueError):
                self.assertEqual(World.restore(damaged).side, 4)

    def test_not_a_world(self) -> None:
        kept = a_world(*[Tile.COBBLESTONE] * 16).keep()
        for description in (
            "",
            "{}",
            "null",
            '{"seed": "x", "theme": "hell"}',
            '{"seed": 1, "theme": "hell", "side": 4}',
            '{"seed": "x", "theme": "hell", "side": 5}',
        ):
            damaged = SavedWorld(description, kept.content)
            self.assertRaises(ValueError, World.restore, damaged)
        for content in (b"", b"\x03\x03", b"\x03\x02" + kept.content[2:]):
            damaged = SavedWorld(kept.description, content)
            self.assertRaises(ValueError, World.restore, damaged)
        for size in (0, 2, 200**2):
            self.assertRaises(ValueError, World, "", "", bytes(size))
