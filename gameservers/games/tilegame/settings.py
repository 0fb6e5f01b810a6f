"""
The options of Tile-Game.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from gameservers.config import common
from gameservers.config.vocabulary import Listening, Retired, option, utf8
from gameservers.games.tilegame.avatars import MOST_PLAYERS
from gameservers.games.tilegame.generation import SIZES, THEMES
from gameservers.games.tilegame.wire import PIECE

#: Longest seed, in characters.
MAX_SEED = 256


def a_seed(seed: str) -> None:
    """Raise L{ValueError} if this cannot be a seed."""
    utf8(seed)
    if len(seed) > MAX_SEED:
        raise ValueError(f"must have at most {MAX_SEED} characters")


def one_of(names: Iterable[str]) -> Callable[[str], None]:
    """Make a check that allows these names, in upper or lower case."""

    def check(name: str) -> None:
        if name.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")

    return check


@dataclass(frozen=True, slots=True)
class TileGameSettings:
    """The settings of Tile-Game."""

    port: Listening = common.port(35000)
    tps: int = option(
        20,
        "How often each player gets the state of the world",
        unit="states per second",
        minimum=1,
        maximum=100,
    )
    max_players: int = common.max_players(
        10,
        description="Players at once; they see each other as far as their names fit one packet",
        maximum=MOST_PLAYERS,
    )
    seed: str = option("", "Seed of a new world, any text; empty for a random one", check=a_seed)
    theme: str = option(
        "default", f"Theme of a new world: {', '.join(THEMES)}", check=one_of(THEMES)
    )
    size: str = option(
        "small",
        f"Size of a new world: {', '.join(SIZES)}, which is 64, 128 or 192 tiles square",
        check=one_of(SIZES),
    )
    new_world: bool = option(False, "Make a new world at this start; a saved one is lost")
    save_interval: float = option(
        30.0,
        "Interval for saving the whole world, if it has changed; broken tiles are saved at once",
        unit="seconds",
        minimum=1,
        aliases=("tilegame-save-every",),
    )
    save_timeout: float = option(
        1.0,
        "How long a broken tile may wait for the database; then players see it all the same, and"
        " it is saved with the whole world",
        unit="seconds",
        minimum=0.1,
        maximum=5,
    )
    reach: int = option(
        64,
        "How far away a player can break a tile; the default is a screen of 4096 pixels",
        unit="tiles",
        minimum=1,
        off=0,
    )
    break_rate: float = option(
        2.0,
        "How many tiles a player can break; the fastest takes 0.625 seconds",
        unit="tiles per second",
        minimum=0.1,
    )
    break_burst: int = option(
        10,
        "How many tiles a player can break at once after a pause or a delay",
        unit="tiles",
        minimum=1,
    )
    max_speed: float = option(
        0.0,
        "How fast a player can move, 0 for any speed; the game's own is 350",
        unit="pixels per second",
        minimum=1,
        off=0,
    )
    login_timeout: float = common.login_timeout(
        60.0,
        description="Time limit for each step of the handshake",
        aliases=("tilegame-handshake-timeout",),
    )
    silence_timeout: float = common.silence_timeout(
        15.0,
        description="Time for which a playing client may be silent; the game never is for more"
        " than a moment",
        off=None,
    )
    max_rate: float = option(
        400.0,
        "Packets of a client that are handled; further ones wait",
        unit="packets per second",
        minimum=40,
        aliases=("tilegame-packet-rate",),
    )
    max_unread: int = common.max_unread(
        64 * 1024,
        description="What may wait for a client that does not read; with more, its packets are"
        " not handled until it reads",
        minimum=PIECE,
        aliases=("tilegame-write-behind",),
    )
    max_connections: int = common.max_connections(64)
    max_per_address: int = common.max_per_address(
        aliases=("tilegame-max-connections-per-address",)
    )
    stop_when_empty: float = option(
        0.0,
        "Stop the whole server this long after the last Tile-Game player left; the game's own"
        " server does after 5 seconds; 0: never",
        unit="seconds",
        minimum=1,
        off=0,
    )

    retired: ClassVar[Retired] = {
        "tilegame-farewell": "a refused client has 2 seconds to read the reason",
        "tilegame-max-odd-packets": "more than 16 invalid packets end a connection",
        "tilegame-read-ahead": "a client is not read while 1024 bytes are not handled",
    }
