"""
Ultimate tic-tac-toe: nine small boards that are the cells of a large one.

A cell is addressed by four numbers from 0 to 2: C{sub_x}, C{sub_y} name the column and row of a
small board, C{x}, C{y} the cell in it; x grows to the right, y downwards.

Player A begins, anywhere.  From then on the cell C{(x, y)} of the last move names the small board
in which the next player must play; if that one is decided, any other that is not will do.  A
small board is decided when it is won by three in a line or full (a draw).  The game is won by
three small boards of one player in a line, and drawn when all nine are decided without that.

A L{Game} is a value: L{Game.move} answers with the next one or raises L{IllegalMove}.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import NamedTuple


class Mark(enum.IntEnum):
    """What is in a cell or, of a small board, who has it."""

    EMPTY = 0
    A = 1
    B = 2
    DRAW = 3


class Cell(NamedTuple):
    """An address on the board; see the module for what the numbers mean."""

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
        """The index in the small board, row by row; and of the small board it sends to."""
        return self.y * 3 + self.x


class End(enum.Enum):
    """How a game came to its end."""

    WON = "won"
    DRAW = "draw"
    CLOSED = "closed"  # before it was decided: abandoned, rejected or out of time


class IllegalMove(Exception):
    """The rules forbid it; nothing has changed."""


#: The eight lines of a three by three board, as indices row by row.
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

#: For each place the two others of each line through it.
OTHERS = tuple(
    tuple(tuple(other for other in line if other != place) for line in LINES if place in line)
    for place in range(9)
)

Nine = tuple[Mark, ...]

EMPTY_NINE: Nine = (Mark.EMPTY,) * 9

_AXIS = frozenset((0, 1, 2))


def makes_line(nine: Nine, place: int) -> bool:
    """Whether the mark at a place is one of three in a line."""
    mark = nine[place]
    return any(nine[a] is mark is nine[b] for a, b in OTHERS[place])


@dataclass(frozen=True, slots=True)
class Game:
    """
    One position, and how it was reached.

    @ivar cells: the small boards, row by row, each nine marks row by row.
    @ivar subgrids: who has each small board, row by row.
    @ivar turn: whose turn it is; after the last move, whose it would be.
    @ivar winner: L{None} if nobody won, whether the game is over or not.
    @ivar end: L{None} while the game goes on.
    """

    cells: tuple[Nine, ...] = (EMPTY_NINE,) * 9
    subgrids: Nine = EMPTY_NINE
    turn: Mark = Mark.A
    last_move: Cell | None = None
    winner: Mark | None = None
    end: End | None = None

    @property
    def over(self) -> bool:
        return self.end is not None

    @property
    def under_way(self) -> bool:
        """Whether both players have made a mark: who leaves from here on loses."""
        marks = {mark for nine in self.cells for mark in nine}
        return Mark.A in marks and Mark.B in marks

    @property
    def forced(self) -> int | None:
        """The small board in which the next move must be; L{None} if there is a choice."""
        if self.last_move is None:
            return None
        place = self.last_move.place
        return place if self.subgrids[place] is Mark.EMPTY else None

    def move(self, mover: Mark, cell: Cell) -> Game:
        """The position after a move; L{IllegalMove} if the rules forbid it."""
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
            return Game(cells, subgrids, turn, cell, mover, End.WON)
        # Also a last small board that is won may leave the large one without a line.
        return Game(
            cells, subgrids, turn, cell, None, None if Mark.EMPTY in subgrids else End.DRAW
        )

    def close(self, winner: Mark | None = None) -> Game:
        """The same position, ended before it was decided."""
        return replace(self, winner=winner, end=End.CLOSED)


def _with(nine: Nine, place: int, mark: Mark) -> Nine:
    return (*nine[:place], mark, *nine[place + 1 :])
