"""
The options of the VCMI lobby and game pipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gameservers.config import common
from gameservers.config.vocabulary import Listening, Retired, option


@dataclass(frozen=True, slots=True)
class VcmiSettings:
    """The settings of VCMI."""

    port: Listening = common.port(0)
    max_players: int = common.max_players(
        50,
        description="Clients in the lobby at once; the next one gets an error and is closed"
        " (players in a game do not count)",
        maximum=100_000,
        aliases=("capacity",),
    )
    max_per_address: int = common.max_per_address()
    max_unread: int = common.max_unread(
        4_194_304,
        description="What may wait for a lobby client that does not read; with more it"
        " is disconnected",
        aliases=("vcmi-max-pending",),
    )
    login_timeout: float = common.login_timeout(
        60.0,
        description="Time from connecting to being in the lobby, or to the end of a game"
        " connection's handshake",
    )
    ping_interval: float = common.ping_interval(
        30.0,
        description="Time between two health checks of clients of protocol 4 and later; one that"
        " has not answered by the next is disconnected",
        off=0,
        aliases=("healthcheck",),
    )
    max_message: int = common.max_message(
        65_536,
        description="Longest frame of a lobby client; a longer one ends the connection",
        minimum=1_024,
        maximum=16_777_216,
        aliases=("vcmi-max-frame",),
    )
    max_name: int = common.max_name(
        64,
        description="Longest name of a user or a room, password or version text",
        minimum=16,
        maximum=256,
    )
    max_chat: int = common.max_chat(1_000, minimum=100)
    max_games: int = option(
        1_000,
        "Started games that are kept at once, played or waiting for connections; no other starts",
        unit="games",
        minimum=1,
        maximum=100_000,
    )
    max_games_per_address: int = option(
        50,
        "The same of hosts with one IPv4 address or IPv6 /64 that is not --trusted",
        unit="games",
        minimum=1,
        maximum=100_000,
    )
    chat_rate: int = option(
        10,
        "Chat lines that a client may always send; it is slowed down to this while one of those"
        " who hear it does not keep up, and may send any number otherwise",
        unit="lines per second",
        minimum=1,
        maximum=10_000,
        off=0,
    )
    chat_burst: int = option(
        30, "Chat lines that it may always send at once", unit="lines", minimum=1, maximum=10_000
    )
    pipe_lifetime: int = option(
        1_800,
        "Time for which a started game waits for reconnections after the last connection ended",
        unit="seconds",
        minimum=1,
        maximum=604_800,
    )

    retired: ClassVar[Retired] = {
        "vcmi-max-commands": "a frame may have 100 commands",
        "vcmi-max-mods": "a player may name 1000 mods",
        "vcmi-max-early": "one side of a game pipe may send 65536 bytes before the other comes",
        "vcmi-max-pipes": "a started game may have 64 connections at once",
    }
