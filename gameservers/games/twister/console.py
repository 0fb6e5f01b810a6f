"""
C{--twister-console}: the table that the original server draws on its terminal, without keys.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gameservers.games.twister.arena import Arena
from gameservers.net.address import authority

#: Widths of the columns, in characters.
ID, ADDRESS, PING = 7, 22, 7

#: To the upper left corner, and clear from there on.
CLEAR = "\x1b[H\x1b[2J"


def table(arena: Arena, port: int, max_players: int, sent: int, received: int) -> str:
    """The table; C{sent} and C{received} are in bytes."""
    rule = f"+{'-' * ID}+{'-' * ADDRESS}+{'-' * PING}+"
    cells = [("ID", "Client IP:PORT", "Ping")]
    cells += [(str(each.id), authority(*each.address), f"{each.ping:.0f}") for each in arena]
    head, *rows = (f"|{a:^{ID}}|{b:^{ADDRESS}}|{c:^{PING}}|" for a, b, c in cells)
    return "\n".join(
        [
            "TwisteR tanks",
            f"Port: {port}",
            f"Max connections: {max_players}",
            f"{len(arena)} clients online!",
            rule,
            head,
            rule,
            *rows,
            *([rule] if rows else []),
            f"Total data sent: {sent // 1024}KB.",
            f"Total data received: {received // 1024}KB.",
            "",
        ]
    )


def print_on_terminal(text: str) -> None:
    """Write to the process's own output, even where a logger has taken its place."""
    if sys.__stdout__ is not None:
        sys.__stdout__.write(text)
        sys.__stdout__.flush()


class Console:
    """
    Draws, in a thread: a terminal may be stopped for as long as its user likes.

    @param draw: makes the table.
    """

    def __init__(
        self,
        draw: Callable[[], str],
        write: Callable[[str], None] = print_on_terminal,
        in_thread: Callable[..., Deferred[Any]] = deferToThread,
    ) -> None:
        self._draw = draw
        self._write = write
        self._in_thread = in_thread

    def redraw(self) -> Deferred[Any]:
        """@return: fires when the table is on the terminal."""
        return self._in_thread(self._write, CLEAR + self._draw())
