"""
The options that several games share, each described once.

A game gives its default, and whatever else differs::

    max_players: int = common.max_players(50, aliases=("capacity",))
"""

from __future__ import annotations

from functools import partial

from gameservers.config.vocabulary import option


def share(places: int) -> int:
    """How much of something scarce one address may take: three quarters, but at least one."""
    return max(1, places * 3 // 4)


port = partial(
    option,
    description="TCP port of this game alone, besides --port, or a TCP endpoint",
    minimum=1,
    maximum=65_535,
    off=0,
)
max_players = partial(
    option,
    description="Players at once; the next one is refused",
    unit="players",
    minimum=1,
    maximum=1_000_000,
)
max_connections = partial(
    option,
    description="Connections at once, logged in or not; the next one is closed",
    unit="connections",
    minimum=1,
    maximum=1_000_000,
)
max_per_address = partial(
    option,
    default=0,
    description="Players at once from one IPv4 address or IPv6 /64 that is not --trusted; the next"
    " one is refused as if the game were full; 0 stands for three quarters of the game's"
    " -max-players",
    unit="players",
    minimum=1,
    maximum=1_000_000,
    off=0,
    off_means="3/4",
)
max_unread = partial(
    option,
    description="What may wait for a client that does not read; with more it is disconnected",
    unit="bytes",
    minimum=65_536,
    maximum=1_073_741_824,
)
login_timeout = partial(
    option,
    description="Time limit for logging in",
    unit="seconds",
    minimum=1,
    maximum=86_400,
)
silence_timeout = partial(
    option,
    description="Time for which a client may be silent before it is disconnected",
    unit="seconds",
    minimum=1,
    maximum=604_800,
    off=0,
)
ping_interval = partial(
    option,
    description="Time between two pings of a client; one that has not answered by the next is"
    " disconnected",
    unit="seconds",
    minimum=1,
    maximum=86_400,
)
max_message = partial(
    option,
    description="Longest message that a client may send; a longer one ends the connection",
    unit="bytes",
)
max_name = partial(option, description="Longest name", unit="characters", minimum=1)
max_chat = partial(
    option,
    description="Longest chat line; the rest of a longer one is not sent on",
    unit="characters",
    minimum=1,
    maximum=10_000,
)
