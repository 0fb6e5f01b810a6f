"""The page's reading of a match, by Node.js where it is there, against the rules."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import service, wire
from gameservers.games.tictactoe.rules import Cell, Game
from tests.games.tictactoe.moves import legal_moves

PAGE = Path(service.__file__).parent / "page"

SCRIPT = """
import * as board from "./board.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const states = JSON.parse(readFileSync(0, "utf-8"));
writeFileSync(1, JSON.stringify(states.map((state) => {
  const cells = [];
  for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) for (let c = 0; c < 3; c++)
    for (let d = 0; d < 3; d++)
      if (board.canPlay(state, state.active_player, a, b, c, d)) cells.push([a, b, c, d]);
  return {
    cells,
    headline: board.headline(state, "ann"),
    ending: board.ending(state, "ann", true).text,
    marks: board.marks(state),
    other: board.opponentOf(state, "ann"),
    left: board.timeLeft(state.seconds ?? 0),
  };
})));
"""


class BoardTests(SynchronousTestCase):
    def ask(self, states: list[dict[str, Any]]) -> list[dict[str, Any]]:
        node = shutil.which("node")
        if node is None:
            raise SkipTest("there is no Node.js")
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "board.mjs").write_bytes((PAGE / "board.js").read_bytes())
        (folder / "ask.mjs").write_text(SCRIPT)
        done = subprocess.run(
            [node, "ask.mjs"],
            cwd=folder,
            input=json.dumps(states),
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.stderr, "")
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def test_allowed_moves(self) -> None:
        """In every position of some games the page offers exactly what the rules allow."""
        random, games = Random(5), []
        for _ in range(10):
            game = Game()
            while not game.over:
                games.append(game)
                game = game.move(game.turn, random.choice(list(legal_moves(game))))
            games.append(game)
        answers = self.ask([json.loads(wire.encode_state(("ann", "bob"), game)) for game in games])
        for game, answer in zip(games, answers, strict=True):
            self.assertEqual({Cell(*cell) for cell in answer["cells"]}, set(legal_moves(game)))

    def test_words(self) -> None:
        start = Game()
        one = start.move(start.turn, Cell(1, 1, 0, 0))
        two = one.move(one.turn, Cell(0, 0, 0, 0))
        cases = [
            (start, "Your turn, in any marked board", "Decline"),
            (one, "Waiting for bob", "Take back"),
            (two, "Your turn, in the marked board", "Give up"),
            (two.close(), "The match was ended.", "Close"),
            (two.close(one.turn), "bob has won.", "Close"),
            (two.close(two.turn), "You have won!", "Close"),
        ]
        answers = self.ask(
            [json.loads(wire.encode_state(("ann", "bob"), game)) for game, _, _ in cases]
        )
        for (_, headline, ending), answer in zip(cases, answers, strict=True):
            self.assertEqual((answer["headline"], answer["ending"]), (headline, ending))
            self.assertEqual(answer["other"], "bob")
        self.assertEqual(answers[2]["marks"], [1, 1])

    def test_time_left(self) -> None:
        state = json.loads(wire.encode_state(("ann", "bob"), Game()))
        seconds = (601_200, 11_100, 240, -5)
        answers = self.ask([{**state, "seconds": each} for each in seconds])
        self.assertEqual([a["left"] for a in answers], ["6 d 23 h", "3 h 5 min", "4 min", "0 min"])

    def test_nothing_from_elsewhere(self) -> None:
        """The page needs nothing that this server does not serve, and inserts no HTML."""
        for path in PAGE.iterdir():
            text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://(?!\$)", path.name)
            self.assertNotIn("innerHTML", text)
