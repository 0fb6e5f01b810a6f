"""
The rules of ultimate tic-tac-toe: nine small boards are the cells of a large one.

A cell is addressed by four numbers from 0 to 2: C{sub_x}, C{sub_y} are the column and row of a
small board, C{x}, C{y} those of the cell in it; x grows to the right, y downwards.

Player A begins, anywhere.  From then on the cell C{(x, y)} of the last move determines the small
board in which the next player must play; if that one is decided, any undecided one is allowed.  A
small board is decided when it is won by three in a line or full (a draw).  The game is won by
three small boards of one player in a line, and drawn when all nine are decided without that.

A L{Game} is a value: L{Game.move} returns the next one or raises L{IllegalMove}.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import NamedTuple


class Mark(enum.IntEnum):
    """The mark in a cell, or the owner of a small board."""

    EMPTY = 0
    A = 1
    B = 2
    DRAW = 3


class Cell(NamedTuple):
    """A cell's address; the module explains the numbers."""

    sub_x: int
    sub_y: int
    x: int
    y: int

    @property
    def subgrid(self) -> int:
        """The index of the small board, row by row."""
        return self.sub_y * 3 + self.sub_x

    @property
    def place(self) -> int:
        """
        The index in the small board, row by row, and that of the small board for the next move.
        """
        return self.y * 3 + self.x


class Outcome(enum.Enum):
    """How a game ended."""

    WON = "won"
    DRAW = "draw"
    CLOSED = "closed"  # undecided: abandoned, rejected or out of time


class IllegalMove(Exception):
    """The rules forbid the move."""


#: The eight lines of a three by three board, as indices row by row.
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

#: For each place, the two other places of each line through it.
OTHERS = tuple(
    tuple(tuple(other for other in line if other != place) for line in LINES if place in line)
    for place in range(9)
)

Nine = tuple[Mark, ...]

EMPTY_NINE: Nine = (Mark.EMPTY,) * 9

_AXIS = frozenset((0, 1, 2))


def makes_line(nine: Nine, place: int) -> bool:
    """Whether a place is part of three equal marks in a line."""
    mark = nine[place]
    return any(nine[a] is mark is nine[b] for a, b in OTHERS[place])


@dataclass(frozen=True, slots=True)
class Game:
    """
    A position, with its last move.

    @ivar cells: the small boards, row by row, each nine marks row by row.
    @ivar subgrids: the owner of each small board, row by row.
    @ivar turn: the player to move; after the end, the one that would be next.
    @ivar winner: L{None} if no player has won, whether the game is over or not.
    @ivar end: L{None} while the game is running.
    """

    cells: tuple[Nine, ...] = (EMPTY_NINE,) * 9
    subgrids: Nine = EMPTY_NINE
    turn: Mark = Mark.A
    last_move: Cell | None = None
    winner: Mark | None = None
    end: Outcome | None = None

    @property
    def over(self) -> bool:
        return self.end is not None

    @property
    def under_way(self) -> bool:
        """Whether both players have moved: from then on a player that leaves loses."""
        marks = {mark for nine in self.cells for mark in nine}
        return Mark.A in marks and Mark.B in marks

    @property
    def forced(self) -> int | None:
        """The small board for the next move; L{None} if there is a choice."""
        if self.last_move is None:
            return None
        place = self.last_move.place
        return place if self.subgrids[place] is Mark.EMPTY else None

    def move(self, mover: Mark, cell: Cell) -> Game:
        """The position after a move; raises L{IllegalMove}."""
        if self.over:
            raise IllegalMove("the game is over")
        if mover is not self.turn:
            raise IllegalMove("it is the other player's turn")
        if not _AXIS.issuperset(cell):
            raise IllegalMove("there is no such cell")
        subgrid, place = cell.subgrid, cell.place
        if self.forced not in (None, subgrid):
            raise IllegalMove("the move must be in another small board")
        if self.subgrids[subgrid] is not Mark.EMPTY:
            raise IllegalMove("this small board is decided")
        if self.cells[subgrid][place] is not Mark.EMPTY:
            raise IllegalMove("this cell is taken")
        nine = _with(self.cells[subgrid], place, mover)
        cells = (*self.cells[:subgrid], nine, *self.cells[subgrid + 1 :])
        turn = Mark.B if mover is Mark.A else Mark.A
        if makes_line(nine, place):
            subgrids = _with(self.subgrids, subgrid, mover)
        elif Mark.EMPTY not in nine:
            subgrids = _with(self.subgrids, subgrid, Mark.DRAW)
        else:
            return Game(cells, self.subgrids, turn, cell)
        if subgrids[subgrid] is mover and makes_line(subgrids, subgrid):
            return Game(cells, subgrids, turn, cell, mover, Outcome.WON)
        # Even if the last small board is won, the large one may have no line.
        return Game(
            cells, subgrids, turn, cell, None, None if Mark.EMPTY in subgrids else Outcome.DRAW
        )

    def close(self, winner: Mark | None = None) -> Game:
        """The same position, ended undecided."""
        return replace(self, winner=winner, end=Outcome.CLOSED)


def _with(nine: Nine, place: int, mark: Mark) -> Nine:
    return (*nine[:place], mark, *nine[place + 1 :])
