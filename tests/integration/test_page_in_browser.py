"""
The page of tic-tac-toe in a real browser: a server process, headless Chromium, some players.

What the players do is in C{browser/players.mjs}; what they must see of a game is worked out here,
from the rules.  Where Node.js, npm or Chromium is missing the tests are skipped, and so they are
where the npm registry cannot be reached when playwright-core is needed for the first time.
C{CHROMIUM} in the environment names the browser to use.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from gameservers.games.tictactoe import elo
from gameservers.games.tictactoe.rules import Cell, Game, Mark
from tests.games.tictactoe.moves import legal_moves
from tests.games.tictactoe.test_weaknesses import cells_of
from tests.integration.processes import PATIENCE, ProcessTestCase, free_port

BROWSER = Path(__file__).with_name("browser")

#: Names under which Chromium is installed.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

#: The first release of Node.js that playwright-core runs on.
NODE = 20

#: Seconds that npm may take, and a scenario, which ends itself before.
INSTALLING, PLAYING = 60, 110

NAMES = ("ann", "bob")


class PageInBrowserTests(ProcessTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.need("node")
        version = subprocess.check_output([self.node, "--version"], text=True, timeout=PATIENCE)
        if int(version.strip().removeprefix("v").partition(".")[0]) < NODE:
            self.skipTest(f"Node.js is {version.strip()}, and older than {NODE}")
        named = os.environ.get("CHROMIUM")
        self.environment["CHROMIUM"] = self.need(*([named] if named else CHROMIUM))
        problem = install_playwright(self.need("npm"))
        if problem is not None:
            self.skipTest(f"npm cannot install playwright-core: {problem}")
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
        self.arguments = (
            f"--port={free_port()}",
            "--interface=127.0.0.1",
            f"--tictactoe-port={port}",
            "--tictactoe-password-cost=10",
            f"--database=sqlite:///{self.directory.absolute()}/games.sqlite3",
        )
        self.server, _ = self.started(*self.arguments)

    def need(self, *names: str) -> str:
        """Where the first of these programs is that is there."""
        for found in map(shutil.which, names):
            if found is not None:
                return found
        raise SkipTest(f"there is no {' or '.join(names)}")

    def players(self, scenario: str, told: object = None) -> subprocess.Popen[str]:
        """Start this scenario."""
        process = subprocess.Popen(
            [self.node, str(BROWSER / "players.mjs"), scenario, self.address, json.dumps(told)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        # First gently: Node.js takes its browser along.
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            super().end(process)

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait until all has been seen that the scenario wants."""
        out, err = process.communicate(timeout=PLAYING)
        self.assertEqual((out, process.returncode), ("done\n", 0), err)
        self.stop(self.server)

    def test_games(self) -> None:
        """Two play a game that is won and one that is drawn; a reload in between."""
        ratings = dict.fromkeys(NAMES, elo.START)
        games = [
            script(cells_of("full_game_win"), NAMES, ratings),
            script(cells_of("draw"), NAMES[::-1], ratings),
        ]
        self.finish(self.players("games", {"names": NAMES, "games": games}))

    def test_lobby(self) -> None:
        """Guests, friends, invitations, any opponent, several matches, keys, giving up."""
        self.finish(self.players("lobby"))

    def test_outage(self) -> None:
        """The page comes back by itself when the server does, and says what it has missed."""
        process = self.players("outage")
        self.await_line(process, "stop")
        self.stop(self.server)
        self.go_on(process)
        self.await_line(process, "start")
        self.server, _ = self.started(*self.arguments)
        self.go_on(process)
        self.finish(process)

    def test_silence(self) -> None:
        """The page says that the server does not answer, whether it was asked something or not."""
        process = self.players("silence")
        self.await_line(process, "freeze")
        self.server.send_signal(signal.SIGSTOP)
        self.go_on(process)
        self.await_line(process, "thaw")
        self.server.send_signal(signal.SIGCONT)
        self.go_on(process)
        self.finish(process)

    def await_line(self, process: subprocess.Popen[str], line: str) -> None:
        """Wait until the scenario says this."""
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), f"{line}\n", "see the scenario's errors")

    def go_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


@functools.cache
def install_playwright(npm: str) -> str | None:
    """The locked playwright-core, beside the script that uses it; or why it is not there."""
    lock = json.loads((BROWSER / "package-lock.json").read_text())
    wanted = lock["packages"]["node_modules/playwright-core"]["version"]
    package = BROWSER / "node_modules" / "playwright-core" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == wanted:
        return None
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    patience = ("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    try:
        done = subprocess.run(
            [npm, "ci", *options, *patience],
            cwd=BROWSER,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALLING,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {INSTALLING} seconds"
    return done.stderr.strip()[:300] if done.returncode else None


def script(cells: list[Cell], order: tuple[str, ...], ratings: dict[str, int]) -> dict[str, Any]:
    """
    What the players of a game must see, move by move and at its end.

    @param order: the players, who begins first.
    @param ratings: theirs before the game, changed to those after it.
    """
    game, steps = Game(), []
    for cell in cells:
        if game.over:
            break
        steps.append(step(game, order) | {"move": label(cell)})
        game = game.move(game.turn, cell)
    steps.append(step(game, order))
    score = {Mark.A: elo.A_WINS, Mark.B: elo.B_WINS, None: elo.DRAWN}[game.winner]
    after = elo.rated(*(ratings[name] for name in order), score)
    outcomes = {name: outcome(ratings[name], new) for name, new in zip(order, after, strict=True)}
    ratings.update(zip(order, after, strict=True))
    ranked = sorted(ratings, key=lambda name: -ratings[name])
    return {
        "steps": steps,
        "line": sorted(next(filter(lambda line: is_won(game, line), LINES), ())),
        "ranks": [f"{place} {name} {ratings[name]}" for place, name in enumerate(ranked, 1)],
        "outcomes": outcomes,
        "ratings": {
            name: f"Elo {ratings[name]} · rank {place}" for place, name in enumerate(ranked, 1)
        },
    }


def step(game: Game, order: tuple[str, ...]) -> dict[str, Any]:
    """The board that both see, and what each of them reads above it."""
    moves = list(legal_moves(game))
    return {
        "board": {
            "open": sorted({move.subgrid for move in moves}),
            "free": sorted(map(label, moves)),
            "last": [label(game.last_move)] if game.last_move else [],
            "marks": sum(bool(mark) for nine in game.cells for mark in nine),
        },
        "turns": [headline(game, order, mark) for mark in (Mark.A, Mark.B)],
    }


def headline(game: Game, order: tuple[str, ...], mine: Mark) -> str:
    if game.winner is not None:
        return "You have won!" if game.winner is mine else f"{order[game.winner - 1]} has won."
    if game.over:
        return "A draw."
    if game.turn is not mine:
        return f"Waiting for {order[game.turn - 1]}"
    forced = len({move.subgrid for move in legal_moves(game)}) == 1
    return f"Your turn, in {'the' if forced else 'any'} marked board"


def outcome(before: int, after: int) -> str:
    if before == after:
        return f"Elo {after}, unchanged"
    return f"Elo {before} → {after} ({'+' if after > before else '−'}{abs(after - before)})"


def label(cell: Cell) -> str:
    return f"row {cell.sub_y * 3 + cell.y + 1}, column {cell.sub_x * 3 + cell.x + 1}"


def is_won(game: Game, line: tuple[int, ...]) -> bool:
    return game.winner is not None and all(game.subgrids[at] is game.winner for at in line)


LINES = (
    *((row, row + 1, row + 2) for row in (0, 3, 6)),
    *((column, column + 3, column + 6) for column in (0, 1, 2)),
    (0, 4, 8),
    (2, 4, 6),
)
