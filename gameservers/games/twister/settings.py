"""
The options of TwisteR tanks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gameservers.config import common
from gameservers.config.vocabulary import Retired, networks, option, utf8
from gameservers.games.twister.wire import BUFFER, LARGEST_REPLY


@dataclass(frozen=True, slots=True)
class TwisterSettings:
    """The settings of the arena."""

    port: int = common.port(9265, description="UDP port of this game alone, besides --port")
    max_players: int = common.max_players(
        100,
        description="Clients at once; the next one is told that the server is full",
        minimum=0,
        maximum=10_000,
        aliases=("twister-max-conns", "max_conns"),
    )
    max_per_address: int = common.max_per_address()
    silence_timeout: float = common.silence_timeout(
        60.0,
        description="Time for which a client may be silent (any request with its id and key"
        " counts) before it is removed",
        minimum=10,
        off=None,
        aliases=("twister-timeout",),
    )
    chat_size: int = option(
        10,
        "Chat lines that are kept",
        unit="lines",
        minimum=0,
        maximum=1_000,
        aliases=("chat_size",),
    )
    chat_members_only: bool = option(
        False, "Refuse chat lines that do not come with a connected client's id and key"
    )
    map_seed: str = option("", "Seed of the map, any text; empty: at random", check=utf8)
    console: bool = option(False, "Draw a table of the clients on the terminal once a second")
    admin_key_file: str = option(
        "twister-admin-key",
        "File for the admin key while the server runs, readable only by its owner; empty: nobody"
        " has the key",
    )
    hide_addresses: bool = option(
        False, "Tell clients 0.0.0.0 port 0 in place of each other's addresses"
    )
    max_message: int = common.max_message(
        2_048,
        description="Longest request",
        minimum=1_024,
        maximum=8_191,
        aliases=("twister-request-bytes",),
    )
    max_chat: int = common.max_chat(256, maximum=1_000, aliases=("twister-text-length",))
    max_name: int = common.max_name(
        32,
        description="Longest nick in a chat line; the rest of a longer one is not sent on",
        maximum=64,
        aliases=("twister-nick-length",),
    )
    max_reply: int = option(
        BUFFER,
        "Longest list sent to a client that does not ask for more by max_bytes; the API receives"
        f" {BUFFER} bytes",
        unit="bytes",
        minimum=BUFFER,
        maximum=LARGEST_REPLY,
        aliases=("twister-reply-bytes",),
    )
    max_rate: int = option(
        2_097_152,
        "Replies that are larger than their requests, to all clients together, on average",
        unit="bytes per second",
        minimum=1_024,
        off=0,
        aliases=("twister-total-rate",),
    )
    max_burst: int = option(
        4_194_304,
        "Replies that are larger than their requests, to all clients together, at once after a"
        " pause",
        unit="bytes",
        minimum=LARGEST_REPLY,
        aliases=("twister-total-burst",),
    )
    max_rate_per_address: int = option(
        65_536,
        "Replies that are larger than their requests, to one connected client, on average; others"
        " get none",
        unit="bytes per second",
        minimum=1_024,
        off=0,
        aliases=("twister-address-rate",),
    )
    max_burst_per_address: int = option(
        131_072,
        "Replies that are larger than their requests to the same, at once after a pause (the map"
        " has about 32000 bytes)",
        unit="bytes",
        minimum=LARGEST_REPLY,
        aliases=("twister-address-burst",),
    )
    trusted: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1/128"),
        "Networks whose addresses cannot be forged from outside; replies to clients in them do not"
        " count",
        check=networks,
    )

    retired: ClassVar[Retired] = {
        "twister-stale": "an address can be taken over after 10 seconds of silence",
        "twister-request-nesting": "a request may have 8 levels",
        "twister-player-data-members": "player_data may have 16 members",
        "twister-player-data-bytes": "player_data may have 320 bytes",
        "twister-log-lines": "get_logs gives the last 100 lines",
        "twister-log-line-length": "a line of get_logs has 200 characters at most",
        "twister-sources": "the budgets of 4096 addresses are remembered",
    }
