"""
Ultimate tic-tac-toe: JSON over WebSocket, for its existing web client and for the server's page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from twisted.plugin import IPlugin
from zope.interface import implementer

from gameservers.games import Carriage, Dependencies, IGame, Wire
from gameservers.games.tictactoe.original import import_original, refuse_original
from gameservers.games.tictactoe.protocol import TicTacToeProtocol
from gameservers.games.tictactoe.records import SCHEMA
from gameservers.games.tictactoe.service import TicTacToeService
from gameservers.games.tictactoe.settings import TicTacToeSettings


@implementer(IGame, IPlugin)
class TicTacToeGame:
    """The description of the game; L{gameservers.games.tictactoe.wire} has its messages."""

    name = "tictactoe"
    title = "Ultimate tic-tac-toe"
    settings = TicTacToeSettings
    schema = replace(SCHEMA, check=refuse_original)
    commands: ClassVar = {"import": import_original}
    wires = (Wire("JSON", Carriage.TEXT, TicTacToeProtocol),)

    def build(self, dependencies: Dependencies) -> TicTacToeService:
        return TicTacToeService(dependencies)


game = TicTacToeGame()
