"""
Generation of a world from a seed: four octaves of smoothed noise, mapped to tiles by a theme.

The seed is a text for Python's random numbers, which give five numbers in this order: persistence
C{P} (15 to 20), stride C{K} (-65536 to 65536), frequency C{F} (0.40 and at most 0.04 more or
less), and the factors C{A} (1024 to 32768) and C{B} (65536 to 16777216).  Then, for whole x and
y::

    noise(x, y)   m = x + y*K;  m = (m << 13) xor m, in unbounded integers;
                  1 - ((m*(m*m*A + B) + 1376312589) and 0x7FFFFFFF) / 2**30
    smooth(x, y)  three corners / 16 + four neighbours / 8 + itself / 4 (the lower right corner
                  is not counted)

Between whole numbers C{smooth} is interpolated by cosine, first along x, then along y.  The height
of a tile is the sum of that at (x*F**o, y*F**o), times P**o, for the octaves o 0 to 3.  A theme
maps each height to a tile; of the four tiles in the centre, those on which a player cannot stand
become C{DIRT}, because players may have to start there.

The sums are in this order because the last bit of a height may decide a tile: equal seeds give
equal worlds, bit for bit, here and in the game itself.
"""

from __future__ import annotations

import math
import random
import secrets
import string
from bisect import bisect_right
from collections.abc import Mapping

from gameservers.games.tilegame.world import BREAKABLE, Tile

#: Tiles along the side of a world.
SIZES: Mapping[str, int] = {"small": 64, "medium": 128, "large": 192}

#: Length of a random seed, in characters.
_SEED_LENGTH = 64

_OCTAVES = 4
_ENDLESS = math.inf


class Theme:
    """
    A map from heights to tiles: each tile with the upper bound of its heights (exclusive).
    """

    def __init__(self, *layers: tuple[float, Tile]) -> None:
        self.bounds = [bound for bound, _ in layers]
        self.tiles = [tile for _, tile in layers]

    def tile(self, height: float) -> Tile:
        return self.tiles[bisect_right(self.bounds, height)]


def _islands(sea: Tile) -> Theme:
    return Theme(
        (-1500, sea),
        (-1150, Tile.SAND),
        (-1000, Tile.DIRT),
        (-900, Tile.PLAINS),
        (-650, Tile.GRASS),
        (-350, Tile.PLAINS),
        (-200, Tile.DIRT),
        (0, Tile.SAND),
        (2000, sea),
        (2300, Tile.SAND),
        (2500, Tile.DIRT),
        (2700, Tile.PLAINS),
        (_ENDLESS, Tile.COBBLESTONE),
    )


#: In the order of their numbers in the game.
THEMES: Mapping[str, Theme] = {
    "default": Theme(
        (-1500, Tile.WATER),
        (-1000, Tile.SAND),
        (-600, Tile.DIRT),
        (-300, Tile.PLAINS),
        (100, Tile.GRASS),
        (500, Tile.PLAINS),
        (2000, Tile.COBBLESTONE),
        (_ENDLESS, Tile.LAVA),
    ),
    "hell": Theme(
        (-1500, Tile.LAVA),
        (-1000, Tile.SAND),
        (-300, Tile.DIRT),
        (100, Tile.COBBLESTONE),
        (500, Tile.DIRT),
        (2000, Tile.FIRESTONE),
        (_ENDLESS, Tile.LAVA),
    ),
    "islands": _islands(Tile.WATER),
    "hell_islands": _islands(Tile.LAVA),
}


def random_seed() -> str:
    """Make a random seed."""
    return "".join(
        secrets.choice(string.ascii_letters + string.digits) for _ in range(_SEED_LENGTH)
    )


class Terrain:
    """
    The heights and tiles of one world, computed row by row on request.

    A row takes up to ten milliseconds, so this should be done in a thread.
    """

    def __init__(self, seed: str, theme: str, side: int) -> None:
        self.seed = seed
        self.theme = theme
        self.side = side
        draw = random.Random(seed)
        persistence = draw.randint(15, 20)
        self._stride = draw.randint(-65536, 65536)
        frequency = 0.40 + draw.uniform(-0.04, 0.04)
        self._a = draw.randint(1024, 32768)
        self._b = draw.randint(65536, 16777216)
        self._octaves = [(frequency**octave, persistence**octave) for octave in range(_OCTAVES)]
        self._tile = THEMES[theme].tile
        self._noise: dict[tuple[int, int], float] = {}
        self._smooth: dict[tuple[int, int], float] = {}

    def rows(self, first: int, end: int) -> bytes:
        """Compute the tiles of these rows."""
        centre = (self.side // 2 - 1, self.side // 2)
        tiles = bytearray()
        for y in range(first, end):
            for x in range(self.side):
                tile = self._tile(self.height(x, y))
                if x in centre and y in centre and (tile in BREAKABLE or tile is Tile.LAVA):
                    tile = Tile.DIRT
                tiles.append(tile)
        return bytes(tiles)

    def height(self, x: int, y: int) -> float:
        height = 0.0
        for frequency, amplitude in self._octaves:
            height += self._between(x * frequency, y * frequency) * amplitude
        return height

    def _between(self, x: float, y: float) -> float:
        i, j = int(x), int(y)
        towards = (1 - math.cos(math.pi * (x - i))) / 2
        upper = self._smoothed(i, j) * (1 - towards) + self._smoothed(i + 1, j) * towards
        lower = self._smoothed(i, j + 1) * (1 - towards) + self._smoothed(i + 1, j + 1) * towards
        towards = (1 - math.cos(math.pi * (y - j))) / 2
        return upper * (1 - towards) + lower * towards

    def _smoothed(self, x: int, y: int) -> float:
        value = self._smooth.get((x, y))
        if value is None:
            noise = self._noised
            corners = noise(x - 1, y - 1) + noise(x + 1, y - 1) + noise(x - 1, y + 1)
            sides = noise(x - 1, y) + noise(x + 1, y) + noise(x, y - 1) + noise(x, y + 1)
            value = corners / 16 + sides / 8 + noise(x, y) / 4
            self._smooth[x, y] = value
        return value

    def _noised(self, x: int, y: int) -> float:
        value = self._noise.get((x, y))
        if value is None:
            m = x + y * self._stride
            m = (m << 13) ^ m
            scrambled = (m * (m * m * self._a + self._b) + 1376312589) & 0x7FFFFFFF
            value = self._noise[x, y] = 1 - scrambled / 1073741824
        return value
