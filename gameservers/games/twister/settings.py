"""
The options of TwisteR tanks, and its limits: each with unit, default and reason.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gameservers.games.twister.wire import BUFFER, LARGEST_REPLY
from gameservers.settings import option, utf8


def networks(texts: tuple[str, ...]) -> None:
    """Raise L{ValueError} unless each text is a network like C{192.168.0.0/16}."""
    for text in texts:
        ipaddress.ip_network(text)


@dataclass(frozen=True, slots=True)
class TwisterSettings:
    """How the arena is run."""

    twister_port: int = option(
        9265, "UDP port of its own for TwisteR tanks", minimum=1, maximum=65_535, off=0
    )
    twister_max_conns: int = option(
        100,
        "clients connected at once; the next one is told that the server is full",
        unit="clients",
        minimum=0,
        maximum=10_000,
        aliases=("max_conns",),
    )
    twister_chat_size: int = option(
        10,
        "chat lines that are kept",
        unit="lines",
        minimum=0,
        maximum=1_000,
        aliases=("chat_size",),
    )
    twister_chat_members_only: bool = option(
        False, "refuse chat lines that do not come with a connected client's id and key"
    )
    twister_map_seed: str = option(
        "", "any text, from which the map is made; empty: at random", check=utf8
    )
    twister_console: bool = option(
        False, "draw a table of the clients on the terminal once a second"
    )
    twister_admin_key_file: str = option(
        "twister-admin-key",
        "file that holds the admin key while the server runs, for its owner alone to read;"
        " empty: none",
    )
    twister_hide_addresses: bool = option(
        False, "tell clients 0.0.0.0 port 0 in place of each other's addresses"
    )
    twister_timeout: int = option(
        60,
        "how long a client may be silent (any request with its id and key counts) before it"
        " is removed",
        unit="seconds",
        minimum=10,
        maximum=86_400,
    )
    twister_stale: int = option(
        10,
        "how long a client must be silent before another one may connect from its address",
        unit="seconds",
        minimum=1,
        maximum=86_400,
    )
    twister_reply_bytes: int = option(
        BUFFER,
        "longest list sent to who does not ask for more by max_bytes; the API client receives"
        f" {BUFFER} bytes",
        unit="bytes",
        minimum=BUFFER,
        maximum=LARGEST_REPLY,
    )
    twister_request_bytes: int = option(
        2_048, "longest request", unit="bytes", minimum=1_024, maximum=8_191
    )
    twister_request_nesting: int = option(
        8,
        "JSON objects and lists inside each other in a request",
        unit="levels",
        minimum=3,
        maximum=100,
    )
    twister_player_data_members: int = option(
        16, "members of player_data", unit="members", minimum=4, maximum=100
    )
    # Two of the longest entries must fit into one reply of BUFFER bytes: else two clients with
    # long data never see each other.
    twister_player_data_bytes: int = option(
        320, "longest player_data, encoded", unit="bytes", minimum=200, maximum=320
    )
    twister_text_length: int = option(
        256,
        "characters of a chat line; the rest of a longer one is cut off",
        unit="characters",
        minimum=1,
        maximum=1_000,
    )
    twister_nick_length: int = option(
        32,
        "characters of the nick in a chat line; the rest of a longer one is cut off",
        unit="characters",
        minimum=1,
        maximum=64,
    )
    twister_log_lines: int = option(
        100, "lines kept for get_logs", unit="lines", minimum=1, maximum=10_000
    )
    twister_log_line_length: int = option(
        200, "longest of these lines", unit="characters", minimum=80, maximum=400
    )
    twister_address_rate: int = option(
        65_536,
        "replies that are larger than their requests to one connected client, or to one address"
        " (or IPv6 /64) of those who are not connected, on average",
        unit="bytes per second",
        minimum=1_024,
        off=0,
    )
    twister_address_burst: int = option(
        131_072,
        "replies that are larger than their requests to the same, at once after a pause (the map"
        " has about 32000 bytes)",
        unit="bytes",
        minimum=LARGEST_REPLY,
    )
    twister_total_rate: int = option(
        2_097_152,
        "replies that are larger than their requests to all together, on average",
        unit="bytes per second",
        minimum=1_024,
        off=0,
    )
    twister_total_burst: int = option(
        4_194_304,
        "replies that are larger than their requests to all together, at once after a pause",
        unit="bytes",
        minimum=LARGEST_REPLY,
    )
    twister_trusted: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1/128"),
        "networks from which nobody outside can forge a sender; replies to them do not count",
        check=networks,
    )
    twister_sources: int = option(
        4_096,
        "addresses of which is remembered what was sent to them; the one silent longest is"
        " forgotten first",
        unit="addresses",
        minimum=16,
        maximum=1_000_000,
    )
