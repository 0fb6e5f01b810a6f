"""
What can be set of Tile-Game.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gameservers.games.tilegame.generation import SIZES, THEMES
from gameservers.games.tilegame.players import MOST_PLAYERS
from gameservers.games.tilegame.wire import PIECE
from gameservers.settings import Listening, option, utf8

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
    """Every limit and every choice, with its unit."""

    port: Listening = option(
        35000,
        "Port of Tile-Game, besides the one for every game, or a TCP server endpoint",
        minimum=1,
        maximum=65535,
        off=0,
        name="tilegame-port",
    )
    tps: int = option(
        20,
        "How often each player is told the state of the world",
        unit="states per second",
        minimum=1,
        maximum=100,
        name="tilegame-tps",
    )
    max_players: int = option(
        10,
        "How many may play at once; they see each other as far as their names fit one packet",
        unit="players",
        minimum=1,
        maximum=MOST_PLAYERS,
        name="tilegame-max-players",
    )
    seed: str = option(
        "",
        "Text that a new world is made from; empty for a random one",
        check=a_seed,
        name="tilegame-seed",
    )
    theme: str = option(
        "default",
        f"Theme of a new world: {', '.join(THEMES)}",
        check=one_of(THEMES),
        name="tilegame-theme",
    )
    size: str = option(
        "small",
        f"Size of a new world: {', '.join(SIZES)}, which is 64, 128 or 192 tiles square",
        check=one_of(SIZES),
        name="tilegame-size",
    )
    new_world: bool = option(
        False,
        "Make a new world at this start, though one is kept, which is lost",
        name="tilegame-new-world",
    )
    save_every: float = option(
        30.0,
        "Time between two savings of a world in which tiles are broken",
        unit="seconds",
        minimum=1,
        name="tilegame-save-every",
    )
    reach: int = option(
        64,
        "How far away a player can break a tile; the default is a screen of 4096 pixels",
        unit="tiles",
        minimum=1,
        off=0,
        name="tilegame-reach",
    )
    break_rate: float = option(
        2.0,
        "How many tiles a player can break; the quickest take 0.625 seconds each",
        unit="tiles per second",
        minimum=0.1,
        name="tilegame-break-rate",
    )
    break_burst: int = option(
        10,
        "How many tiles a player can break at once after a rest or a delay",
        unit="tiles",
        minimum=1,
        name="tilegame-break-burst",
    )
    max_speed: float = option(
        0.0,
        "How fast a player can move, 0 for any speed; the game's own is 350",
        unit="pixels per second",
        minimum=1,
        off=0,
        name="tilegame-max-speed",
    )
    handshake_timeout: float = option(
        60.0,
        "How long a client may take for each step before it plays",
        unit="seconds",
        minimum=1,
        name="tilegame-handshake-timeout",
    )
    silence_timeout: float = option(
        15.0,
        "How long a playing client may be silent; a live one never is for more than a moment",
        unit="seconds",
        minimum=1,
        name="tilegame-silence-timeout",
    )
    farewell: float = option(
        2.0,
        "How long a client that is refused gets to read why",
        unit="seconds",
        minimum=0.1,
        name="tilegame-farewell",
    )
    packet_rate: float = option(
        400.0,
        "How many packets of a client are handled; it waits with more",
        unit="packets per second",
        minimum=40,
        name="tilegame-packet-rate",
    )
    max_odd_packets: int = option(
        16,
        "How many messages without meaning a playing client may send",
        unit="messages",
        minimum=0,
        name="tilegame-max-odd-packets",
    )
    read_ahead: int = option(
        PIECE,
        "How much a client may send before what it sent has been handled; it waits with more",
        unit="bytes",
        minimum=64,
        name="tilegame-read-ahead",
    )
    write_behind: int = option(
        64 * 1024,
        "How much may wait for a client to read it; nothing more is handled for it then",
        unit="bytes",
        minimum=PIECE,
        name="tilegame-write-behind",
    )
    max_connections: int = option(
        64,
        "How many connections there may be at once, players' included",
        unit="connections",
        minimum=1,
        name="tilegame-max-connections",
    )
    max_connections_per_address: int = option(
        16,
        "How many of them from one IPv4 address or IPv6 /64 that is not --trusted",
        unit="connections",
        minimum=1,
        name="tilegame-max-connections-per-address",
    )
    stop_when_empty: float = option(
        0.0,
        "Stop the whole server this long after the last Tile-Game player left, as the game's own "
        "server does after 5; 0 to go on",
        unit="seconds",
        minimum=1,
        off=0,
        name="tilegame-stop-when-empty",
    )
