"""
Ultimate tic-tac-toe: JSON over WebSocket, for its existing web client and for our own page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from twisted.plugin import IPlugin
from zope.interface import implementer

from gameservers.games import IGame, Surroundings, Wires, never
from gameservers.games.tictactoe.original import import_original, refuse_original
from gameservers.games.tictactoe.records import SCHEMA
from gameservers.games.tictactoe.service import TicTacToe
from gameservers.games.tictactoe.settings import TicTacToeSettings


@implementer(IGame, IPlugin)
class TicTacToeGame:
    """See L{gameservers.games.tictactoe.wire} for what is spoken."""

    name = "tictactoe"
    title = "Ultimate tic-tac-toe"
    settings = TicTacToeSettings
    schema = replace(SCHEMA, check=refuse_original)
    commands: ClassVar = {"import": import_original}
    recognises_stream = staticmethod(never)  # HTTP is the front door's own
    recognises_datagram = staticmethod(never)

    def build(self, surroundings: Surroundings) -> Wires:
        service = TicTacToe(surroundings)
        port = surroundings.settings.port
        return Wires(stream=service.site, port=port, service=service, http=("page", "text"))


game = TicTacToeGame()
