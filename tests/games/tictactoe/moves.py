"""The moves that a position allows, found without L{Game.move}."""

from __future__ import annotations

from collections.abc import Iterator

from gameservers.games.tictactoe.rules import Cell, Game, Mark


def legal_moves(game: Game) -> Iterator[Cell]:
    """Everything that L{Game.move} should take."""
    if game.over:
        return
    for subgrid in range(9):
        if game.subgrids[subgrid] is Mark.EMPTY and game.forced in (None, subgrid):
            for place in range(9):
                if game.cells[subgrid][place] is Mark.EMPTY:
                    yield Cell(subgrid % 3, subgrid // 3, place % 3, place // 3)
