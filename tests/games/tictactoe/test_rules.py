"""Tests for the rules and the ratings, against a slow referee and the recorded figures."""

from __future__ import annotations

import json
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import elo
from gameservers.games.tictactoe.rules import Cell, Game, IllegalMove, Mark, Outcome
from tests.games.tictactoe.moves import legal_moves
from tests.games.tictactoe.replay import lines_of, moves_of

EVERYWHERE = [Cell(*numbers) for numbers in product(range(3), repeat=4)]


class Referee:
    """
    The rules told a second time, slowly: everything is found out anew from the list of moves, on
    one board of nine by nine.
    """

    def __init__(self) -> None:
        self.moves: list[Cell] = []

    def marks(self, player: int) -> set[tuple[int, int]]:
        return {(3 * m.sub_x + m.x, 3 * m.sub_y + m.y) for m in self.moves[player::2]}

    @staticmethod
    def three(places: set[tuple[int, int]]) -> bool:
        """Whether three of these places of a small board make a line."""
        lines = [{(i, j) for j in range(3)} for i in range(3)]
        lines += [{(j, i) for j in range(3)} for i in range(3)]
        lines += [{(i, i) for i in range(3)}, {(i, 2 - i) for i in range(3)}]
        return any(line <= places for line in lines)

    def inside(self, player: int, sub_x: int, sub_y: int) -> set[tuple[int, int]]:
        return {
            (x % 3, y % 3) for x, y in self.marks(player) if (x // 3, y // 3) == (sub_x, sub_y)
        }

    def owner(self, sub_x: int, sub_y: int) -> str:
        mine, theirs = (self.inside(player, sub_x, sub_y) for player in (0, 1))
        if self.three(mine):
            return "A"
        if self.three(theirs):
            return "B"
        return "=" if len(mine) + len(theirs) == 9 else "."

    def owners(self) -> dict[tuple[int, int], str]:
        return {(x, y): self.owner(x, y) for x in range(3) for y in range(3)}

    def verdict(self) -> str:
        """Who has won, C{"="} for a draw, C{"."} if it goes on."""
        owners = self.owners()
        for who in "AB":
            if self.three({place for place, owner in owners.items() if owner == who}):
                return who
        return "." if "." in owners.values() else "="

    def allowed(self) -> set[Cell]:
        if self.verdict() != ".":
            return set()
        open_boards = {place for place, owner in self.owners().items() if owner == "."}
        if self.moves:
            sent = self.moves[-1].x, self.moves[-1].y
            if sent in open_boards:
                open_boards = {sent}
        taken = set(self.moves)
        return {c for c in EVERYWHERE if (c.sub_x, c.sub_y) in open_boards and c not in taken}


OWNERS = {Mark.EMPTY: ".", Mark.A: "A", Mark.B: "B", Mark.DRAW: "="}


def play(choices: list[int]) -> tuple[Game, Referee]:
    """A random game; at the end of the choices the first allowed move is made."""
    game, referee = Game(), Referee()
    for choice in [*choices, *[0] * 81]:
        allowed = sorted(legal_moves(game))
        if not allowed:
            break
        cell = allowed[choice % len(allowed)]
        game = game.move(game.turn, cell)
        referee.moves.append(cell)
    return game, referee


class RandomGameTests(SynchronousTestCase):
    @settings(max_examples=12, deadline=None)
    @given(st.lists(st.integers(0, 80), max_size=81))
    def test_every_position(self, choices: list[int]) -> None:
        """At every move both agree on what is allowed, who has what, and whether it is over."""
        game, referee = Game(), Referee()
        while True:
            allowed = set(legal_moves(game))
            self.assertEqual(allowed, referee.allowed())
            owners = [referee.owner(n % 3, n // 3) for n in range(9)]
            self.assertEqual([OWNERS[mark] for mark in game.subgrids], owners)
            verdict = referee.verdict()
            self.assertEqual(game.over, verdict != ".")
            self.assertEqual(game.end is Outcome.DRAW, verdict == "=")
            winner = {None: None, Mark.A: "A", Mark.B: "B"}[game.winner]
            self.assertEqual(winner, verdict if verdict in "AB" else None)
            if game.over:
                break
            choice = choices[len(referee.moves)] if len(referee.moves) < len(choices) else 0
            cell = sorted(allowed)[choice % len(allowed)]
            game = game.move(game.turn, cell)
            referee.moves.append(cell)
        self.assertEqual(list(legal_moves(game)), [])

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.integers(0, 80), max_size=60),
        st.tuples(*[st.integers(-1, 3)] * 4),
        st.sampled_from([Mark.A, Mark.B]),
    )
    def test_any_move(self, choices: list[int], numbers: tuple[int, ...], mover: Mark) -> None:
        """A move is taken if and only if it is allowed and made by the player to move."""
        game = Game()
        for choice in choices:
            allowed = sorted(legal_moves(game))
            if not allowed:
                break
            game = game.move(game.turn, allowed[choice % len(allowed)])
        cell = Cell(*numbers)
        if mover is game.turn and cell in set(legal_moves(game)):
            self.assertEqual(game.move(mover, cell).last_move, cell)
        else:
            self.assertRaises(IllegalMove, game.move, mover, cell)


class EndTests(SynchronousTestCase):
    def replay(self, scenario: str) -> Game:
        game = Game()
        for data in moves_of(scenario):
            if game.over:
                break
            cell = Cell(*(int(data[axis]) for axis in Cell._fields))
            game = game.move(game.turn, cell)
        return game

    def test_win(self) -> None:
        game = self.replay("full_game_win")
        self.assertEqual((game.end, game.winner), (Outcome.WON, Mark.A))

    def test_draw(self) -> None:
        game = self.replay("draw")
        self.assertEqual((game.end, game.winner), (Outcome.DRAW, None))

    def test_draw_by_a_won_subgrid(self) -> None:
        """The draw that the original misses: the last small board is won, without a line."""
        game = self.replay("draw_missed")
        self.assertEqual((game.end, game.winner), (Outcome.DRAW, None))
        assert game.last_move is not None
        self.assertIsNot(game.subgrids[game.last_move.subgrid], Mark.DRAW)

    def test_under_way(self) -> None:
        """Leaving costs nothing before both have moved."""
        game = Game()
        self.assertFalse(game.under_way)
        game = game.move(Mark.A, Cell(0, 0, 1, 1))
        self.assertFalse(game.under_way)
        self.assertTrue(game.move(Mark.B, Cell(1, 1, 0, 0)).under_way)

    def test_closed(self) -> None:
        """A match that was ended takes no more moves."""
        game = Game().close()
        self.assertTrue(game.over)
        self.assertRaises(IllegalMove, game.move, Mark.A, Cell(0, 0, 0, 0))
        self.assertIs(Game().close(Mark.B).winner, Mark.B)


class EloTests(SynchronousTestCase):
    def test_recorded_series(self) -> None:
        """Six ranked games of the original, figure by figure."""
        ratings = elo.START, elo.START
        for score, wanted in (
            (1, (1010, 990)),
            (1, (1019, 981)),
            (1, (1028, 972)),
            (1, (1036, 964)),
            (0, (1024, 976)),
            (0, (1013, 987)),
        ):
            ratings = elo.rated(*ratings, score)
            self.assertEqual(ratings, wanted)

    def test_draws(self) -> None:
        self.assertEqual(elo.rated(1060, 940, elo.DRAWN), (1057, 943))
        self.assertEqual(elo.rated(1028, 972, elo.DRAWN), (1026, 974))
        self.assertEqual(elo.rated(1000, 1000, elo.DRAWN), (1000, 1000))

    @given(
        st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31), st.sampled_from([0, 0.5, 1])
    )
    def test_bounds(self, a: int, b: int, score: float) -> None:
        """Nobody gains more than K or loses by winning; what one gains the other loses, nearly."""
        new_a, new_b = elo.rated(a, b, score)
        self.assertLessEqual(abs(new_a - a), elo.K)
        self.assertLessEqual(abs((new_a - a) + (new_b - b)), 1)
        if score == 1:
            self.assertGreaterEqual(new_a, a)
            self.assertLessEqual(new_b, b)

    def test_recorded_updates(self) -> None:
        """The ratings of the recorded series are among those we would give."""
        seen = {
            json.loads(line["text"])["data"]["elo"]
            for line in lines_of("elo_series")
            if line["dir"] == "s2c" and '"elo_update"' in line["text"]
        }
        self.assertEqual(
            seen, {1000, 1010, 990, 1019, 981, 1028, 972, 1036, 964, 1024, 976, 1013, 987}
        )
