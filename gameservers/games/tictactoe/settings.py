"""
What can be set about ultimate tic-tac-toe.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gameservers.games.tictactoe import wire
from gameservers.settings import Listening, option

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
    """See each option's description."""

    tictactoe_port: Listening = option(
        5556,
        "Port of ultimate tic-tac-toe, besides the one for every game, or a TCP server endpoint",
        minimum=1,
        maximum=65535,
        off=0,
    )
    tictactoe_origins: tuple[str, ...] = option(
        (),
        "web origins from which tic-tac-toe may be played, besides this server's own; none: any",
        check=check_origins,
    )
    tictactoe_capacity: int = option(
        2000, "tic-tac-toe players at once", unit="players", minimum=1
    )
    tictactoe_connections: int = option(
        5000, "WebSockets at once, whether logged in or not", unit="connections", minimum=1
    )
    tictactoe_sockets: int = option(
        8, "connections of one tic-tac-toe player at once", unit="connections", minimum=1
    )
    tictactoe_matches: int = option(
        5, "matches under way of one tic-tac-toe player", unit="matches", minimum=1
    )
    tictactoe_visible: bool = option(True, "list running tic-tac-toe matches as rooms")
    tictactoe_message: int = option(
        wire.MAX_MESSAGE, "largest tic-tac-toe message taken", unit="bytes", minimum=256
    )
    tictactoe_backlog: int = option(
        16,
        "messages of one connection that may wait before it is read no further",
        unit="messages",
        minimum=1,
    )
    tictactoe_unread: int = option(
        1024 * 1024,
        "what a tic-tac-toe client may leave unread before it is dropped",
        unit="bytes",
        minimum=64 * 1024,
    )
    tictactoe_bad_messages: int = option(
        50, "senseless messages after which a client is dropped", unit="messages", minimum=1
    )
    tictactoe_login_timeout: float = option(
        30.0, "time for the first message of a connection", unit="seconds", minimum=1
    )
    tictactoe_ping: float = option(
        20.0,
        "between two pings of a tic-tac-toe client, and to wait for the answer",
        unit="seconds",
        minimum=1,
    )
    tictactoe_account_lifetime: float = option(
        45 * _DAY, "for which an account is kept unused", unit="seconds", minimum=60
    )
    tictactoe_session_lifetime: float = option(
        20 * _DAY, "for which a session of an account is kept unused", unit="seconds", minimum=60
    )
    tictactoe_temporary_lifetime: float = option(
        _HOUR, "for which a temporary session is kept unused", unit="seconds", minimum=60
    )
    tictactoe_match_lifetime: float = option(
        7 * _DAY, "in which a move must be made", unit="seconds", minimum=60
    )
    tictactoe_sweep: float = option(
        600.0, "between two sweeps of what is out of date", unit="seconds", minimum=1
    )
    tictactoe_timeout_elo: bool = option(
        True, "count a ranked match as lost for who lets the time run out"
    )
    tictactoe_attempts: int = option(
        5, "log-ins that may fail, per name, before there are pauses", unit="log-ins", minimum=1
    )
    tictactoe_address_attempts: int = option(
        50,
        "log-ins that may fail, per address, before there are pauses",
        unit="log-ins",
        minimum=1,
    )
    tictactoe_new_names: int = option(
        100, "new names, per address, before there are pauses", unit="names", minimum=1
    )
    tictactoe_pause: float = option(
        1.0,
        "first pause between failing log-ins; each is twice as long",
        unit="seconds",
        minimum=0,
    )
    tictactoe_longest_pause: float = option(
        60.0, "longest pause between failing log-ins", unit="seconds", minimum=0
    )
    tictactoe_forget: float = option(
        900.0, "after which failed log-ins are forgotten", unit="seconds", minimum=1
    )
    tictactoe_attempt_keys: int = option(
        10_000, "names, and addresses, whose attempts are remembered", unit="keys", minimum=1
    )
    tictactoe_password_cost: int = option(
        14, "scrypt's N for passwords, as a power of two", minimum=10, maximum=17
    )
    tictactoe_password_threads: int = option(
        2, "threads that check passwords", unit="threads", minimum=1, maximum=64
    )
    tictactoe_password_queue: int = option(
        1000, "passwords that may wait to be checked", unit="log-ins", minimum=1
    )
