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
    outcome: board.outcome(state.change, state.ranked ?? true),
  };
})));
"""


#: Runs a connection on a clock and a network of its own: each step is something that happens, and
#: what is printed is the state after it and what the server was sent.
LINK_SCRIPT = """
import { Link } from "./link.mjs";
import { readFileSync, writeFileSync } from "node:fs";
let now = 1000, again = true;
const [sockets, sent, heard] = [[], [], []];
globalThis.WebSocket = class {
  static OPEN = 1;
  readyState = 0;
  constructor() { sockets.push(this); }
  send(message) { sent.push(JSON.parse(message).type); }
  close() { this.readyState = 3; }
};
const link = new Link("ws://here/", {
  open() {}, changed() {}, again: () => again,
  hear: (type) => heard.push(type),
  gone: () => heard.push("gone"),
}, () => now);
const steps = {
  connect: () => link.connect(),
  open: (n = sockets.length) => { sockets[n - 1].readyState = 1; sockets[n - 1].onopen(); },
  tell: (type, data = {}) => sockets.at(-1).onmessage({ data: JSON.stringify({ type, data }) }),
  lose: (n = sockets.length) => { sockets[n - 1].readyState = 3; sockets[n - 1].onclose(); },
  send: (type, data = {}) => link.send(type, data),
  pass: (ms) => { for (const end = now + ms; now < end;) { now += 500; link.tick(true); } },
  sleep: (ms) => { now += ms; link.tick(true); },
  hurry: () => link.hurry(),
  close: () => link.close(),
  forbid: () => { again = false; },
};
const results = JSON.parse(readFileSync(0, "utf-8")).map(([step, ...more]) => {
  steps[step](...more);
  return [link.state, sockets.length, ...sent.splice(0), ...heard.splice(0)].join(" ");
});
writeFileSync(1, JSON.stringify(results));
"""


class NodeTestCase(SynchronousTestCase):
    def run_node(self, script: str, told: object) -> Any:
        """What a script prints, which finds the page's modules beside it."""
        node = shutil.which("node")
        if node is None:
            raise SkipTest("there is no Node.js")
        folder = Path(self.mktemp())
        folder.mkdir()
        for name in ("board", "link"):
            (folder / f"{name}.mjs").write_bytes((PAGE / f"{name}.js").read_bytes())
        (folder / "ask.mjs").write_text(script)
        done = subprocess.run(
            [node, "ask.mjs"],
            cwd=folder,
            input=json.dumps(told),
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)


class LinkTests(NodeTestCase):
    """When the page says that nobody answers, and what it does about it."""

    def check(self, *steps: tuple[Any, ...]) -> None:
        """Each step has what happens and, last, the state and the number of sockets after it."""
        wanted = [each[-1] for each in steps]
        self.assertEqual(self.run_node(LINK_SCRIPT, [each[:-1] for each in steps]), wanted)

    def test_answered(self) -> None:
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("send", "login", "open 1 login"),
            ("pass", 3000, "open 1"),
            ("tell", "login_response", "open 1 login_response"),
            ("pass", 9000, "open 1"),
        )

    def test_late(self) -> None:
        """An answer is late after 3 s; what answers something else changes nothing."""
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("send", "move", {"id": "a"}, "open 1 move"),
            ("pass", 3000, "open 1"),
            ("pass", 500, "late 1"),
            ("tell", "match_update", {"id": "b"}, "late 1 match_update"),
            ("tell", "elo_update", "late 1 elo_update"),
            ("tell", "match_update", {"id": "a"}, "open 1 match_update"),
        )

    def test_dead(self) -> None:
        """Without an answer there is a new connection in the end."""
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("send", "move", {"id": "a"}, "open 1 move"),
            ("pass", 15_000, "late 1"),
            ("pass", 500, "opening 2 gone"),
            ("lose", 1, "opening 2"),
            ("open", "open 2"),
            ("pass", 9000, "open 2"),
        )

    def test_quiet(self) -> None:
        """A server that says nothing is asked whether it is there."""
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("pass", 10_000, "open 1"),
            ("pass", 500, "open 1 ping"),
            ("tell", "pong", "open 1 pong"),
            ("pass", 10_500, "open 1 ping"),
            ("pass", 3500, "late 1"),
            ("pass", 12_000, "opening 2 gone"),
        )

    def test_nobody_is_there(self) -> None:
        """A connection that does not come about is late, and tried anew."""
        self.check(
            ("connect", "opening 1"),
            ("pass", 3500, "late 1"),
            ("pass", 12_000, "opening 2 gone"),
        )

    def test_lost(self) -> None:
        """The pauses between attempts grow; one can be cut short."""
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("lose", "waiting 1 gone"),
            ("pass", 1000, "opening 2"),
            ("lose", "waiting 2 gone"),
            ("pass", 1500, "waiting 2"),
            ("pass", 500, "opening 3"),
            ("lose", "waiting 3 gone"),
            ("hurry", "opening 4"),
            ("hurry", "opening 4"),
        )

    def test_not_wanted(self) -> None:
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("forbid", "open 1"),
            ("lose", "closed 1 gone"),
            ("pass", 60_000, "closed 1"),
            ("connect", "opening 2"),
            ("close", "closed 2 gone"),
            ("pass", 60_000, "closed 2"),
        )

    def test_sleep(self) -> None:
        """A machine that slept has not read what came; that is not the server's fault."""
        self.check(
            ("connect", "opening 1"),
            ("open", "open 1"),
            ("send", "move", {"id": "a"}, "open 1 move"),
            ("sleep", 3_600_000, "open 1"),
            ("tell", "match_update", {"id": "a"}, "open 1 match_update"),
        )


class BoardTests(NodeTestCase):
    def ask(self, states: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = self.run_node(SCRIPT, states)
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

    def test_outcome(self) -> None:
        """What a match did to the rating."""
        state = json.loads(wire.encode_state(("ann", "bob"), Game()))
        cases = [
            ({"before": 1000, "after": 1010, "of": 1}, True, "Elo 1000 → 1010 (+10)"),
            ({"before": 1000, "after": 972, "of": 1}, True, "Elo 1000 → 972 (−28)"),
            ({"before": 1000, "after": 1000, "of": 1}, True, "Elo 1000, unchanged"),
            (
                {"before": 1000, "after": 1019, "of": 2},
                True,
                "Elo 1000 → 1019 (+19), in 2 matches",
            ),
            (None, True, ""),
            (None, False, "Not ranked."),
        ]
        answers = self.ask([{**state, "change": each, "ranked": on} for each, on, _ in cases])
        self.assertEqual([each["outcome"] for each in answers], [each for _, _, each in cases])

    def test_nothing_from_elsewhere(self) -> None:
        """The page needs nothing that this server does not serve, and inserts no HTML."""
        for path in PAGE.iterdir():
            text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://(?!\$)", path.name)
            self.assertNotIn("innerHTML", text)
