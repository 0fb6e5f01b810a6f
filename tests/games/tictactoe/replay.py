"""
Recorded sessions with the original server, played again to ours.

What the clients of a recording said is said again, in order; what each connection then hears is
compared with what it heard then, line by line in a canonical form: ids are replaced by names,
C{revoke_time} and what only we send is left out (their form is checked), C{ranked} is a bool.

Where we mean to differ, C{<scenario>.differs.json} beside the recording has every difference and
its reason: a list of objects with C{on} (a connection; C{#2} is its second life), C{then} (lines
that only the original said), C{now} (lines that only we say) and C{why}.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from gameservers.games.tictactoe import records
from gameservers.store.accounts import accounts
from tests.games.tictactoe.arena import Arena, Browser

FOLDER = Path(__file__).parents[2] / "transcripts" / "tictactoe"

SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))

_CLOSED = re.compile(r"closed by server: code (\d+)")


def lines_of(scenario: str) -> list[dict[str, Any]]:
    """The recording, without its heading."""
    text = (FOLDER / f"{scenario}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()[1:]]


def moves_of(scenario: str) -> list[dict[str, Any]]:
    """The data of every move of a recording."""
    return [
        json.loads(line["text"])["data"]
        for line in lines_of(scenario)
        if line["dir"] == "c2s" and '"move"' in line["text"]
    ]


@dataclass(slots=True)
class Side:
    """
    What was heard on each connection, then or now, as canonical lines.

    @ivar matches: canonical name of a match to its id.
    """

    heard: dict[str, list[str]] = field(default_factory=dict)
    matches: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def hear(self, life: str, message: dict[str, Any]) -> None:
        self.heard.setdefault(life, []).append(self._line(life, message["type"], message["data"]))

    def closed(self, life: str, code: int) -> None:
        self.heard.setdefault(life, []).append(f"closed {code}")

    def _line(self, life: str, kind: str, data: dict[str, Any]) -> str:
        if kind == "match_update":
            return f"match_update {self._match(data)}"
        data = dict(data)
        if data.get("id") is not None:
            self.sessions[life] = data["id"]
            data["id"] = "<session>"
        return f"{kind} {json.dumps(data, sort_keys=True)}"

    def _match(self, data: dict[str, Any]) -> str:
        state = data["match_state"]
        if data["id"] not in self._names:
            players = f"{state['player_a']}-{state['player_b']}"
            number = 1 + sum(name.startswith(f"{players} ") for name in self.matches)
            self._names[data["id"]] = f"{players} {number}"
            self.matches[f"{players} {number}"] = data["id"]
        board = "/".join("".join(map(str, row)) for row in state["complete_field"])
        large = "/".join("".join(map(str, row)) for row in state["global_field"])
        last = state["last_move"]
        where = "none" if last is None else "".join(str(last[axis]) for axis in last)
        return (
            f"<{self._names[data['id']]}> {board} {large} last={where}"
            f" ranked={bool(data['ranked'])} over={state['game_over']} won={state['player_won']}"
            f" active={state['active_player']} draw={state['is_draw']}"
        )

    def name_of(self, match_id: object) -> str | None:
        return self._names.get(match_id) if isinstance(match_id, str) else None


def _age(table: Any, column: str, by: timedelta) -> Callable[[Arena], None]:
    def act(arena: Arena) -> None:
        old = arena.game.now() - by
        arena.store.change(lambda c: c.execute(update(table).values({column: old})))
        arena.sweep()

    return act


def _set_elo(arena: Arena) -> None:
    for name, elo in (("alice", 1060), ("bob", 940)):
        statement = update(records.players).where(records.players.c.name == name).values(elo=elo)
        arena.store.change(lambda c, statement=statement: c.execute(statement))


def _wait(seconds: float) -> Callable[[Arena], None]:
    return lambda arena: arena.clock.advance(seconds)


#: What the operator did just before a line.
OPERATOR: dict[tuple[str, int], Callable[[Arena], None]] = {
    ("expiry", 27): _age(records.matches, "last_active", timedelta(days=7, minutes=1)),
    ("expiry", 37): _age(records.sessions, "last_seen", timedelta(minutes=61)),
    ("expiry", 52): _age(records.sessions, "last_seen", timedelta(days=21)),
    ("expiry", 74): _age(accounts, "last_seen", timedelta(days=46)),
    ("name_takeover", 12): _age(records.sessions, "last_seen", timedelta(minutes=61)),
    ("keepalive", 6): _wait(20),
    ("keepalive", 7): _wait(20),
}


class Replay:
    """
    One scenario.

    @ivar then: what was heard from the original.
    @ivar now: what is heard from us.
    """

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.arena = Arena()
        self.then = Side()
        self.now = Side()
        self._browsers: dict[str, Browser] = {}
        self._lives: dict[str, int] = {}
        self._over: set[str] = set()
        self._match_ids: dict[str, str] = {}

    def run(self) -> list[dict[str, Any]]:
        """Play it; how we differ, as in the file, without reasons."""
        lines = lines_of(self.scenario)
        for number, line in enumerate(lines):
            action = OPERATOR.get((self.scenario, line["seq"]))
            if action is not None:
                action(self.arena)
            following = lines[number + 1]["text"] if number + 1 < len(lines) else ""
            self._line(line, closes_too="same segment" in following)
            self._listen()
            self.arena.clock.advance(0.01)  # matches are told in the order of their last moves
        return self._differences()

    def _life(self, conn: str) -> str:
        return f"{conn}#{self._lives[conn]}" if self._lives.get(conn, 0) > 1 else conn

    def _line(self, line: dict[str, Any], *, closes_too: bool) -> None:
        conn, text = line["conn"], line["text"]
        match line["dir"]:
            case "s2c":
                self.then.hear(self._life(conn), json.loads(text))
            case "c2s":
                self._say(conn, text, closes_too)
            case "event" if conn != "-":
                self._event(conn, text)
            case _:
                if text.startswith("operator sets elo"):
                    _set_elo(self.arena)
                if text.startswith("40.0 s: close frame"):
                    self.then.closed("mute", 1011)

    def _event(self, conn: str, text: str) -> None:
        if text.startswith("open"):
            if conn in self._browsers:
                self._browsers[conn].hang_up()
            self._lives[conn] = self._lives.get(conn, 0) + 1
            elsewhere = "foreign Origin" in text
            self._browsers[conn] = Browser(
                self.arena,
                path="/any/path?x=1" if elsewhere else "/",
                headers=("Origin: https://elsewhere.example",) if elsewhere else (),
                answers_pings=conn != "mute",
            )
        elif found := _CLOSED.match(text):
            self.then.closed(self._life(conn), int(found[1]))
        elif text.startswith("client closes") or text == "closed":
            self._browsers[conn].hang_up()
        elif text.startswith("client drops TCP"):
            self._browsers[conn].vanish()

    def _say(self, conn: str, text: str, closes_too: bool) -> None:
        browser = self._browsers[conn]
        if not browser.connected:
            return
        if text == "(1048577 bytes of text)":
            browser.send("x" * 1_048_577)
        elif text == "(binary frame ff fe)":
            browser.send(b"\xff\xfe")
        elif text.startswith("(binary frame) "):
            browser.send(text.removeprefix("(binary frame) ").encode("utf-8"))
        else:
            browser.send(self._translated(text), closes_too=closes_too)

    def _translated(self, text: str) -> str:
        """The same with our ids."""
        for then, now in self._ids().items():
            # Also where the recording spoils an id on purpose.
            text = text.replace(then, now).replace(then.upper(), now.upper())
        return text

    def _ids(self) -> dict[str, str]:
        matches = {
            then: self.now.matches[name]
            for name, then in self.then.matches.items()
            if name in self.now.matches
        }
        sessions = {
            then: self.now.sessions[life]
            for life, then in self.then.sessions.items()
            if life in self.now.sessions
        }
        return {**matches, **sessions}

    def _listen(self) -> None:
        for conn, browser in self._browsers.items():
            life = self._life(conn)
            for message in browser.heard():
                self._check(message)
                self.now.hear(life, message)
            if browser.closed is not None and life not in self._over:
                self._over.add(life)
                self.now.closed(life, browser.closed)

    def _check(self, message: dict[str, Any]) -> None:
        """What is left out of the canonical form has its form, too."""
        if message["type"] == "match_update":
            data = message["data"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["revoke_time"]), data
            assert isinstance(data["ranked"], bool), data
            assert data["revoke_time_utc"] >= self.arena.clock.seconds(), data
            state = data["match_state"]
            current = None if state["game_over"] else state["active_player"]
            assert state["current_player"] == current, state

    def _differences(self) -> list[dict[str, Any]]:
        differences = []
        for life in sorted({*self.then.heard, *self.now.heard}):
            then, now = self.then.heard.get(life, []), self.now.heard.get(life, [])
            if self.scenario == "web_client_tour":  # there, no codes were recorded
                now = [line for line in now if not line.startswith("closed")]
            blocks = difflib.SequenceMatcher(None, then, now, autojunk=False).get_opcodes()
            differences += [
                {"on": life, "then": then[a:b], "now": now[c:d]}
                for tag, a, b, c, d in blocks
                if tag != "equal"
            ]
        return differences


def expected(scenario: str) -> list[dict[str, Any]]:
    """How we mean to differ, with reasons."""
    path = FOLDER / f"{scenario}.differs.json"
    differences: list[dict[str, Any]] = []
    if path.exists():
        differences = json.loads(path.read_text("utf-8"))
    return differences
