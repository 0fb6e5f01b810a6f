"""Any sequence of wishes of a few users, against a model of what must hold."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe.rules import Cell
from tests.games.tictactoe.arena import GAME, Arena, Browser

NAMES = ("alice", "bob", "carl", "tess")
LIMIT = 2


class Wishes(RuleBasedStateMachine):
    """
    The model: who is connected, which matches run, who waits.

    @ivar matches: id to both players and whether both have moved, of those that are not over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(max_matches=LIMIT, login_attempts_per_address=10_000)
        self.browsers: dict[str, Browser] = {}
        self.matches: dict[str, dict[str, Any]] = {}

    def listen(self) -> None:
        """What is pushed changes the model; only those concerned are told."""
        for name, browser in self.browsers.items():
            for message in browser.heard():
                self.take(name, message)

    def take(self, name: str, message: dict[str, Any]) -> None:
        if message["type"] != "match_update":
            return
        data = message["data"]
        state = data["match_state"]
        assert name in (state["player_a"], state["player_b"])
        assert data["ranked"] == ("tess" not in (state["player_a"], state["player_b"]))
        if state["game_over"]:
            self.matches.pop(data["id"], None)
        else:
            self.matches[data["id"]] = state

    def of(self, name: str) -> list[str]:
        return [i for i, s in self.matches.items() if name in (s["player_a"], s["player_b"])]

    @rule(name=st.sampled_from(NAMES))
    def come(self, name: str) -> None:
        if name not in self.browsers:
            browser = self.arena.browser()
            if name == "tess" and getattr(self, "tess", None):
                heard = browser.say("reconnect", id=self.tess)
            else:
                heard = browser.log_in(name, "" if name == "tess" else "secret")
            assert heard[0]["data"]["success"], heard
            if name == "tess":
                self.tess = heard[0]["data"]["id"]
            self.browsers[name] = browser
            shown = {m["data"]["id"] for m in heard if m["type"] == "match_update"}
            assert set(self.of(name)) <= shown

    @rule(name=st.sampled_from(NAMES))
    def go(self, name: str) -> None:
        browser = self.browsers.pop(name, None)
        if browser is not None:
            browser.hang_up()

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from([*NAMES, None]))
    def request(self, name: str, other: str | None) -> None:
        browser = self.browsers.get(name)
        if browser is None:
            return
        before = {each: len(self.of(each)) for each in NAMES}
        together = any(set(self.players(i)) == {name, other} for i in self.matches)
        heard = browser.say("match_request", player=other)
        for message in heard:
            self.take(name, message)
        response = heard[-1]
        assert response["type"] == "match_request_response"
        if other is None:
            if before[name] >= LIMIT:
                assert not response["data"]["success"]
        elif name == other or together or before[name] >= LIMIT or before[other] >= LIMIT:
            assert not response["data"]["success"]

    def players(self, match_id: str) -> tuple[str, str]:
        state = self.matches[match_id]
        return state["player_a"], state["player_b"]

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def move(self, name: str, data: st.DataObject) -> None:
        browser = self.browsers.get(name)
        if browser is None or not self.matches:
            return
        match_id = data.draw(st.sampled_from(sorted(self.matches)))
        cell = Cell(*(data.draw(st.integers(0, 2)) for _ in range(4)))
        state = self.matches[match_id]
        heard = browser.move(match_id, cell)
        if name not in self.players(match_id):
            assert heard == []
            return
        after = heard[0]["data"]["match_state"]
        if state["active_player"] != name:
            assert after == state
        for message in heard:
            self.take(name, message)

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def end(self, name: str, data: st.DataObject) -> None:
        browser = self.browsers.get(name)
        if browser is None or not self.matches:
            return
        match_id = data.draw(st.sampled_from(sorted(self.matches)))
        mine = name in self.players(match_id)
        heard = browser.say("end_match", id=match_id)
        assert bool(heard) == mine
        for message in heard:
            self.take(name, message)

    @rule()
    def restart(self) -> None:
        """A new process: connections and queue are gone, all else is there."""
        for browser in self.browsers.values():
            browser.hang_up()
        self.browsers.clear()
        self.arena.restart()

    @invariant()
    def all_holds(self) -> None:
        self.listen()
        assert sorted(self.arena.here) == sorted(self.browsers)
        queue = self.arena.lobby.queue(GAME)
        here = {player.id for player in self.arena.lobby.players(GAME)}
        assert set(queue) <= here
        for name in NAMES:
            assert len(self.of(name)) <= LIMIT
        pairs = [frozenset(self.players(i)) for i in self.matches]
        assert len(pairs) == len(set(pairs))


class WishesTests(SynchronousTestCase):
    def test_any_history(self) -> None:
        run_state_machine_as_test(
            Wishes, settings=settings(max_examples=12, stateful_step_count=30, deadline=None)
        )
