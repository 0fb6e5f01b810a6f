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

#: Characters of a seed.
MAX_SEED = 256


def a_seed(seed: str) -> None:
    """Raise L{ValueError} unless a world can be made of this."""
    utf8(seed)
    if len(seed) > MAX_SEED:
        raise ValueError(f"must have at most {MAX_SEED} characters")


def one_of(names: Iterable[str]) -> Callable[[str], None]:
    """A check that knows these names, in lower case or not."""

    def check(name: str) -> None:
        if name.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")

    return check


@dataclass(frozen=True, slots=True)
class TileGameSettings:
    """How Tile-Game is served."""

    port: Listening = common.port(35000)
    tps: int = option(
        20,
        "How often each player is told the state of the world",
        unit="states per second",
        minimum=1,
        maximum=100,
    )
    max_players: int = common.max_players(
        10,
        description="Players at once; they see each other as far as their names fit one packet",
        maximum=MOST_PLAYERS,
    )
    seed: str = option(
        "", "Text that a new world is made from; empty for a random one", check=a_seed
    )
    theme: str = option(
        "default", f"Theme of a new world: {', '.join(THEMES)}", check=one_of(THEMES)
    )
    size: str = option(
        "small",
        f"Size of a new world: {', '.join(SIZES)}, which is 64, 128 or 192 tiles square",
        check=one_of(SIZES),
    )
    new_world: bool = option(False, "Make a new world at this start; one that was kept is lost")
    save_interval: float = option(
        30.0,
        "Time between two savings of a world in which tiles are broken",
        unit="seconds",
        minimum=1,
        aliases=("tilegame-save-every",),
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
        "How many tiles a player can break; the quickest take 0.625 seconds each",
        unit="tiles per second",
        minimum=0.1,
    )
    break_burst: int = option(
        10,
        "How many tiles a player can break at once after a rest or a delay",
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
        description="Time that a client has for each step before it plays",
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
        "Packets of a client that are handled; it waits with more",
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
        16, aliases=("tilegame-max-connections-per-address",)
    )
    stop_when_empty: float = option(
        0.0,
        "Stop the whole server this long after the last Tile-Game player left, as the game's own"
        " server does after 5; 0 to go on",
        unit="seconds",
        minimum=1,
        off=0,
    )

    retired: ClassVar[Retired] = {
        "tilegame-farewell": "a client that is refused gets 2 seconds to read why",
        "tilegame-max-odd-packets": "16 packets without meaning end a connection",
        "tilegame-read-ahead": "a client waits when 1024 of its bytes are not handled yet",
    }
