"""
The options of the VCMI lobby and game pipe, and its limits: each with unit, default and reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from gameservers.settings import option


@dataclass(frozen=True, slots=True)
class VcmiSettings:
    """How VCMI is served."""

    capacity: int = option(
        50,
        "VCMI clients in the lobby at once; the next one is told so and closed"
        " (players in a game do not count)",
        unit="clients",
        minimum=1,
        maximum=100_000,
    )
    healthcheck: int = option(
        30,
        "how often clients of protocol 4 and later are asked for a sign of life;"
        " who gives none until the next time is closed",
        unit="seconds",
        minimum=1,
        maximum=86_400,
        off=0,
    )
    vcmi_login_timeout: int = option(
        60,
        "time from connecting to being in the lobby, or to the end of a pipe's handshake",
        unit="seconds",
        minimum=1,
        maximum=86_400,
    )
    vcmi_max_frame: int = option(
        65_536,
        "longest frame a lobby client may send",
        unit="bytes",
        minimum=1_024,
        maximum=16_777_216,
    )
    vcmi_max_commands: int = option(
        100, "commands in one frame", unit="commands", minimum=4, maximum=10_000
    )
    vcmi_max_name: int = option(
        64,
        "longest name of a user or a room, password or version text",
        unit="characters",
        minimum=16,
        maximum=256,
    )
    vcmi_max_chat: int = option(
        1_000,
        "longest chat line; the rest of a longer one is not sent on",
        unit="characters",
        minimum=100,
        maximum=10_000,
    )
    vcmi_max_mods: int = option(
        1_000, "mods one player may name", unit="mods", minimum=1, maximum=10_000
    )
    vcmi_max_pending: int = option(
        1_048_576,
        "what may wait for one lobby client that does not read, before it is closed",
        unit="bytes",
        minimum=65_536,
        maximum=1_073_741_824,
    )
    vcmi_max_early: int = option(
        65_536,
        "what one side of a game pipe may send before the other side has come;"
        " then it is not read from any more",
        unit="bytes",
        minimum=1_024,
        maximum=67_108_864,
    )
    vcmi_max_pipes: int = option(
        64,
        "connections of one started game at once; the oldest that waits makes place",
        unit="connections",
        minimum=16,
        maximum=10_000,
    )
    vcmi_pipe_lifetime: int = option(
        1_800,
        "how long a started game's connections may come back after the last one ended",
        unit="seconds",
        minimum=1,
        maximum=604_800,
    )
