"""
The options of ultimate tic-tac-toe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from gameservers.config import common
from gameservers.config.vocabulary import Listening, Retired, option
from gameservers.games.tictactoe import wire

_HOUR = 3600.0
_DAY = 24 * _HOUR


def check_origins(origins: tuple[str, ...]) -> None:
    """Raise L{ValueError} unless each is an origin as browsers send it."""
    for origin in origins:
        parts = urlsplit(origin)
        if not parts.scheme or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{origin!r} is not an origin such as https://games.example.org")


@dataclass(frozen=True, slots=True)
class TicTacToeSettings:
    """The settings of ultimate tic-tac-toe."""

    port: Listening = common.port(5556)
    origins: tuple[str, ...] = option(
        (),
        "Web origins from which the game may be played, besides this server's own; none: any",
        check=check_origins,
    )
    max_players: int = common.max_players(2000, aliases=("tictactoe-capacity",))
    max_per_address: int = common.max_per_address()
    max_connections: int = common.max_connections(5000, aliases=("tictactoe-connections",))
    max_per_player: int = option(
        8,
        "Connections of one player at once",
        unit="connections",
        minimum=1,
        aliases=("tictactoe-sockets",),
    )
    max_matches: int = option(
        5,
        "Matches of one player under way",
        unit="matches",
        minimum=1,
        aliases=("tictactoe-matches",),
    )
    max_friends: int = option(
        100, "Friends of one player; all are sent after each change", unit="friends", minimum=1
    )
    request_rate: float = option(
        5.0,
        "Requests of one connection that change friends, matches or the search for an opponent,"
        " or list matches; further ones wait (moves never do)",
        unit="requests per second",
        minimum=0.1,
        off=0,
    )
    request_burst: int = option(20, "The same at once", unit="requests", minimum=1, maximum=10_000)
    max_message: int = common.max_message(
        wire.MAX_MESSAGE, minimum=256, aliases=("tictactoe-message",)
    )
    max_unread: int = common.max_unread(1024 * 1024, aliases=("tictactoe-unread",))
    login_timeout: float = common.login_timeout(
        30.0, description="Time that a connection has for its first message"
    )
    ping_interval: float = common.ping_interval(20.0, aliases=("tictactoe-ping",))
    account_lifetime: float = option(
        45 * _DAY, "Time for which an unused account is kept", unit="seconds", minimum=60
    )
    session_lifetime: float = option(
        20 * _DAY,
        "Time for which an unused session of an account is kept",
        unit="seconds",
        minimum=60,
    )
    temporary_lifetime: float = option(
        _HOUR, "Time for which an unused temporary session is kept", unit="seconds", minimum=60
    )
    match_lifetime: float = option(
        7 * _DAY, "Time in which a move must be made", unit="seconds", minimum=60
    )
    timeout_elo: bool = option(
        True, "Count a ranked match as lost for the player that lets the time run out"
    )
    login_attempts: int = option(
        5,
        "Log-ins that may fail, per name and address, before there are delays of 1 second, 2, 4,"
        " up to 60",
        unit="log-ins",
        minimum=1,
        aliases=("tictactoe-attempts",),
    )
    login_attempts_per_address: int = option(
        30,
        "Log-ins that may fail, per address; names that have not logged in from there before may"
        " have two thirds of them",
        unit="log-ins per minute",
        minimum=6,
        aliases=("tictactoe-address-attempts",),
    )
    login_attempts_per_name: int = option(
        300,
        "Log-ins that may fail, per name; two thirds of them may be from addresses from which it"
        " has not logged in before, the others have only the limit per name and address",
        unit="log-ins per minute",
        minimum=6,
    )
    new_names_per_address: int = option(
        100,
        "New names, per address, before there are such delays",
        unit="names",
        minimum=1,
        aliases=("tictactoe-new-names",),
    )
    password_cost: int = option(
        14, "scrypt's N for passwords, as a power of two", minimum=10, maximum=17
    )
    password_threads: int = option(
        2,
        "Threads that check passwords of one address; one more is for the other addresses",
        unit="threads",
        minimum=1,
        maximum=64,
    )

    retired: ClassVar[Retired] = {
        "tictactoe-visible": "matches are not listed as rooms",
        "tictactoe-backlog": "a connection is not read while 16 messages wait",
        "tictactoe-bad-messages": "50 malformed messages end a connection",
        "tictactoe-sweep": "the cleanup runs every 600 seconds",
        "tictactoe-pause": "the first delay between failing log-ins is 1 second",
        "tictactoe-longest-pause": "the longest delay between failing log-ins is 60 seconds",
        "tictactoe-forget": "failed log-ins are forgotten after 900 seconds",
        "tictactoe-attempt-keys": "the attempts of 10000 names and addresses are remembered",
        "tictactoe-password-queue": "1000 passwords may wait to be checked",
    }
