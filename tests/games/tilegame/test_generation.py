"""
The generator, against worlds that the game itself has made.
"""

from __future__ import annotations

import hashlib
import json

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.generation import SIZES, THEMES, Terrain, random_seed
from gameservers.games.tilegame.world import Tile, encode_tiles
from tests.games.tilegame.reading import Map, expanded, messages
from tests.games.tilegame.support import tiles_of
from tests.games.tilegame.test_transcripts import SCENARIOS, WORLDS

#: First half of the SHA-256 of the tiles, three bytes each, of worlds of the original.
ORIGINAL = {
    ("transcript1", "default", "small"): "ed5df858f1d80c644bd8430327bc8a7c",
    ("transcript1", "hell", "small"): "2f2107b8c698866c30cf0ca270f34222",
    ("transcript1", "islands", "small"): "527f6df511f2a5ca678a340699ab7374",
    ("transcript1", "hell_islands", "small"): "55abb3d5be21464a624dca68fed50b16",
    ("abc", "default", "small"): "462687fa62a7f770d72ad61152f2a280",
    ("abc", "default", "medium"): "a112c8e37acc2cf95a8d1d43aefecd60",
    ("abc", "default", "large"): "fec25a36fcd4d82fa91206587c2a1b4d",
    ("Zz9", "hell", "large"): "94d03a082db739517a2cccf793f3d1a3",
}


class GenerationTests(SynchronousTestCase):
    def test_worlds_of_the_original(self) -> None:
        """Equal seeds give equal worlds, bit for bit, in every theme and size."""
        for (seed, theme, size), digest in ORIGINAL.items():
            tiles = expanded(encode_tiles(tiles_of(seed, theme, SIZES[size])), 3)
            self.assertEqual(hashlib.sha256(tiles).hexdigest()[:32], digest, (seed, theme, size))

    def test_recorded_worlds(self) -> None:
        """The maps in the recordings are made again from their seeds."""
        usual = ("transcript1", "default", 64)
        for scenario, path in SCENARIOS.items():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
            for conn in {row["conn"] for row in rows}:
                said = b"".join(
                    bytes.fromhex(row["hex"])
                    for row in rows
                    if row["dir"] == "s2c" and row["conn"] == conn
                )
                for message in messages(said):
                    if isinstance(message, Map):
                        tiles = tiles_of(*WORLDS.get(scenario, usual))
                        self.assertEqual(message.tiles, expanded(encode_tiles(tiles), 3), scenario)

    def test_in_parts(self) -> None:
        """It does not matter in how many parts the rows are made."""
        terrain = Terrain("parts", "hell", 64)
        parts = b"".join(terrain.rows(first, first + 8) for first in range(0, 64, 8))
        self.assertEqual(parts, Terrain("parts", "hell", 64).rows(0, 64))

    def test_there_is_a_place_to_begin(self) -> None:
        """The four tiles in the centre are never in the way, nor lava."""
        changed = 0
        for seed in range(12):
            rows = Terrain(str(seed), "hell", 64).rows(31, 33)
            for at in (31, 32, 64 + 31, 64 + 32):
                self.assertNotIn(rows[at], (Tile.LAVA, Tile.FIRESTONE, Tile.COBBLESTONE), seed)
                height = Terrain(str(seed), "hell", 64).height(at % 64, 31 + at // 64)
                changed += THEMES["hell"].tile(height) != rows[at]
        self.assertGreater(changed, 0)

    def test_bounds_belong_to_the_next_layer(self) -> None:
        self.assertEqual(THEMES["default"].tile(-1500.0001), Tile.WATER)
        self.assertEqual(THEMES["default"].tile(-1500), Tile.SAND)
        self.assertEqual(THEMES["default"].tile(2000), Tile.LAVA)

    def test_random_seeds(self) -> None:
        """Nobody's seed is 64 letters and digits, and another one each time."""
        seed = random_seed()
        self.assertEqual(len(seed), 64)
        self.assertTrue(seed.isalnum() and seed.isascii())
        self.assertNotEqual(seed, random_seed())
