"""
The options of VelNet and its limits: each with unit, default and reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twisted.cred.strcred import InvalidAuthArgumentString, StrcredException, makeChecker

from gameservers.settings import Listening, option


def are_checkers(specifications: tuple[str, ...]) -> None:
    """Raise L{ValueError} unless Twisted can make a checker of each."""
    for each in specifications:
        kind, _, path = each.partition(":")
        try:
            if kind == "file" and path and not Path(path).is_file():  # Twisted would go on
                raise InvalidAuthArgumentString(f"there is no file {path}")
            makeChecker(each)
        except (StrcredException, ValueError) as error:
            raise ValueError(f"cannot make a credentials checker: {error or each}") from None


@dataclass(frozen=True, slots=True)
class VelNetSettings:
    """How VelNet is served."""

    velnet_port: Listening = option(
        5000,
        "TCP and UDP port of VelNet alone, or a TCP server endpoint",
        minimum=1,
        maximum=65535,
        off=0,
    )
    velnet_generation: str = option(
        "auto",
        "generation of the binary clients: 1 (up to version 1.3), 2 (from 1.4), or auto to tell"
        " them apart by what they do, which may cost generation 2 two seconds to log in",
        choices=("auto", "1", "2"),
    )
    auth: tuple[str, ...] = option(
        (),
        "credentials checkers of VelNet, as Twisted spells them (file:/path); the password is"
        " the second field of a log-in, which binary clients fill with their application's name;"
        " without a checker anybody may come in",
        check=are_checkers,
    )
    velnet_clients: int = option(
        5_000,
        "VelNet players at once; the next one is closed",
        unit="players",
        minimum=1,
        maximum=1_000_000,
    )
    velnet_room_size: int = option(
        1_000,
        "players in one room; the next one does not get in",
        unit="players",
        minimum=1,
        maximum=1_000_000,
    )
    velnet_login_timeout: float = option(
        10.0,
        "silence of a connection that has not logged in, before it is closed",
        unit="seconds",
        minimum=1,
        maximum=86_400,
    )
    velnet_timeout: float = option(
        30.0,
        "silence of a client of generation 2, which speaks every 2 seconds, before it is closed;"
        " 0 turns it off",
        unit="seconds",
        minimum=1,
        maximum=86_400,
        off=0,
    )
    velnet_quiet_timeout: float = option(
        0.0,
        "silence of a text client or one of generation 1, which say nothing by themselves,"
        " before it is closed; 0 turns it off",
        unit="seconds",
        minimum=1,
        maximum=604_800,
        off=0,
    )
    max_pending: int = option(
        4_194_304,
        "what may wait for one VelNet player who does not read, before his connection is cut",
        unit="bytes",
        minimum=65_536,
        maximum=1_073_741_824,
    )
    velnet_max_data: int = option(
        1_048_576,
        "longest payload or group definition of a binary client; more ends the connection",
        unit="bytes",
        minimum=1_400,
        maximum=67_108_864,
    )
    velnet_max_line: int = option(
        65_536,
        "longest line of a text client; more ends the connection",
        unit="bytes",
        minimum=1_024,
        maximum=67_108_864,
    )
    velnet_max_name: int = option(
        255,
        "longest name of a player, an application, a room or a group, and longest password;"
        " what has a longer one is ignored",
        unit="bytes",
        minimum=32,
        maximum=255,
    )
    velnet_max_groups: int = option(
        64,
        "groups of one player; further ones are ignored",
        unit="groups",
        minimum=1,
        maximum=10_000,
    )
    velnet_max_group: int = option(
        1_000,
        "ids in one group; a definition with more is ignored",
        unit="ids",
        minimum=1,
        maximum=100_000,
    )
    velnet_max_datagrams: int = option(
        10_000,
        "datagrams that may wait for the network; the oldest is dropped for the newest",
        unit="datagrams",
        minimum=1,
        maximum=1_000_000,
    )
    velnet_any_address: bool = option(
        False,
        "accept datagrams from another address than the TCP connection's, for clients behind a"
        " proxy; then who guesses an id can take over another player's voice",
    )
    velnet_wide_groups: bool = option(False, "let groups reach players of other applications")
