"""
The options of VelNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from twisted.cred.strcred import InvalidAuthArgumentString, StrcredException, makeChecker

from gameservers.config import common
from gameservers.config.vocabulary import Listening, Retired, option


def are_checkers(specifications: tuple[str, ...]) -> None:
    """Raise L{ValueError} unless Twisted can make a checker from each."""
    for each in specifications:
        kind, _, path = each.partition(":")
        try:
            if kind == "file" and path and not Path(path).is_file():  # Twisted would not notice
                raise InvalidAuthArgumentString(f"there is no file {path}")
            makeChecker(each)
        except (StrcredException, ValueError) as error:
            raise ValueError(f"cannot make a credentials checker: {error or each}") from None


@dataclass(frozen=True, slots=True)
class VelNetSettings:
    """The settings of VelNet."""

    port: Listening = common.port(
        5000, description="TCP and UDP port of this game alone, besides --port, or a TCP endpoint"
    )
    generation: str = option(
        "auto",
        "Generation of the binary clients: 1 (up to version 1.3), 2 (from 1.4), or auto: by"
        " their behaviour, which may delay the log-in of generation 2 by two seconds",
        choices=("auto", "1", "2"),
    )
    auth: tuple[str, ...] = option(
        (),
        "Credentials checkers in Twisted's syntax (file:/path); the password is the second"
        " field of a log-in, which is the application's name in binary clients; without a"
        " checker every password is accepted",
        check=are_checkers,
        aliases=("auth",),
    )
    max_players: int = common.max_players(5_000, aliases=("velnet-clients",))
    max_per_address: int = common.max_per_address()
    room_size: int = option(
        1_000,
        "Players in one room; the next one cannot join",
        unit="players",
        minimum=1,
        maximum=1_000_000,
    )
    max_unread: int = common.max_unread(4_194_304, aliases=("max-pending",))
    rate: int = option(
        16_384,
        "What a client may always send to others, four times what a voice takes; it is slowed down"
        " to this while one of them does not keep up, and may send any amount otherwise",
        unit="bytes per second",
        minimum=1_024,
        maximum=1_073_741_824,
        off=0,
    )
    login_timeout: float = common.login_timeout(10.0)
    silence_timeout: float = common.silence_timeout(
        30.0,
        description="Time for which a client of generation 2, which sends every 2 seconds, may be"
        " silent before it is disconnected",
        aliases=("velnet-timeout",),
    )
    quiet_timeout: float = common.silence_timeout(
        0.0,
        description="The same for text clients and those of generation 1, which send nothing by"
        " themselves",
    )
    max_message: int = common.max_message(
        1_048_576,
        description="Longest payload or group definition of a binary client; a longer one ends"
        " the connection",
        minimum=1_400,
        maximum=67_108_864,
        aliases=("velnet-max-data",),
    )
    max_line: int = common.max_message(
        65_536,
        description="Longest line of a text client; a longer one ends the connection",
        minimum=1_024,
        maximum=67_108_864,
    )
    max_name: int = common.max_name(
        255,
        description="Longest name of a player, an application, a room or a group, and longest"
        " password; a message with a longer one is ignored",
        unit="bytes",
        minimum=32,
        maximum=255,
    )
    takeover_timeout: float = option(
        5.0,
        "Time for which a player's address for datagrams must have been silent before a hello from"
        " another one takes its place",
        unit="seconds",
        minimum=1,
        maximum=3_600,
    )
    any_address: bool = option(
        False,
        "Accept datagrams from another address than the TCP connection's, for clients behind a"
        " proxy; then a client that guesses an id can take over another player's voice",
    )
    wide_groups: bool = option(False, "Let groups reach players of other applications")

    retired: ClassVar[Retired] = {
        "velnet-max-groups": "a player may have 64 groups",
        "velnet-max-group": "a group may have 1000 ids",
        "velnet-max-datagrams": "10000 datagrams may wait for the network",
    }
