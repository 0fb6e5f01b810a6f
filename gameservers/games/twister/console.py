"""
C{--twister-console}: the status table of the original server, without its key commands.
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

#: Escape sequence: move to the upper left corner and clear the rest.
CLEAR = "\x1b[H\x1b[2J"


def table(arena: Arena, port: int, max_players: int, sent: int, received: int) -> str:
    """Format the table; C{sent} and C{received} are in bytes."""
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
    """Write to the process's standard output, even if logging has replaced C{sys.stdout}."""
    if sys.__stdout__ is not None:
        sys.__stdout__.write(text)
        sys.__stdout__.flush()


class Console:
    """
    Draws the table in a thread, because a stopped terminal blocks.

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
        """Draw the table; the result fires when it is written."""
        return self._in_thread(self._write, CLEAR + self._draw())
