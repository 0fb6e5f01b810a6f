"""What a request may cost, whoever sends it how often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import words
from gameservers.games.tictactoe.play import LISTED
from gameservers.games.tictactoe.rules import Cell
from tests.games.tictactoe.arena import GAME, Arena, Browser, start_match


class PriceTests(SynchronousTestCase):
    def arena(self, **settings: Any) -> Arena:
        """A game whose calls to the store are counted by name."""
        arena = Arena(**settings)
        self.calls: Counter[str] = Counter()
        for name in ("matches_of", "open_match"):
            self.patch(arena.records, name, self.counted(name, getattr(arena.records, name)))
        return arena

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            self.calls[name] += 1
            return call(*arguments)

        return count

    def states(self, player: Browser) -> list[str]:
        """Whose turn it is in each match, as the player is told on request."""
        heard = player.say("match_states_request")
        return [message["data"]["match_state"]["active_player"] for message in heard]

    def test_states(self) -> None:
        """One question to the store for many requests; and another one after each change."""
        arena = self.arena()
        alice, bob = arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        self.calls.clear()
        for _ in range(100):
            self.assertEqual(self.states(alice), ["alice"])
        self.assertEqual(self.calls["matches_of"], 1)
        alice.move(match_id, Cell(0, 0, 1, 1))
        bob.heard()
        self.assertEqual((self.states(alice), self.states(bob)), (["bob"], ["bob"]))
        carl = arena.player("carl")
        start_match(carl, alice, "alice")
        self.assertEqual(len(self.states(alice)), 2)
        bob.say("end_match", id=match_id)
        alice.heard()
        self.assertEqual((self.states(alice), self.states(bob)), (["carl"], []))

    def test_missed_change(self) -> None:
        """What the store did although it said that it failed is seen after a moment."""
        arena = self.arena()
        alice = arena.player("alice")
        self.calls.clear()
        self.states(alice)
        arena.clock.advance(LISTED)
        self.states(alice)
        self.assertEqual(self.calls["matches_of"], 1)

    def test_changed_while_it_is_read(self) -> None:
        """A list that was read before a change is not used after it."""
        arena = self.arena()
        alice, bob = arena.players("alice", "bob")
        arena.clock.advance(LISTED)
        before: Deferred[Any] = Deferred()
        patch = self.patch(arena.records, "matches_of", lambda name: before)
        self.assertEqual(self.states(alice), [])
        patch.restore()
        bob.say("match_request", player="alice")
        before.callback(())
        alice.heard()
        self.assertEqual(self.states(alice), ["bob"])

    def test_search_among_players_without_room(self) -> None:
        """Who waits and has too many matches is asked about once, until one of them ends."""
        arena = self.arena(max_matches=1)
        ids = []
        for n in range(10):
            waits, invites = arena.players(f"waits{n}", f"invites{n}")
            waits.say("match_request", player=None)
            ids.append((invites, start_match(invites, waits, f"waits{n}")))
        self.assertLessEqual(self.calls["open_match"], 10 + 9)  # invitations and vain attempts
        self.calls.clear()
        alice, bob = arena.players("alice", "bob")
        alice.say("match_request", player=None)
        self.assertEqual(self.calls["open_match"], 1)
        alice.say("cancel_request")
        invites, match_id = ids[4]
        invites.say("end_match", id=match_id)
        [update, answer] = bob.say("match_request", player=None)
        self.assertEqual(update["data"]["match_state"]["player_a"], "waits4")
        self.assertEqual(answer["data"]["msg"], words.SEARCHING)

    def test_set_aside(self) -> None:
        """Whoever is set aside waits still, until they cancel that or leave."""
        arena = self.arena(max_matches=1)
        waits, invites = arena.players("waits", "invites")
        waits.say("match_request", player=None)
        match_id = start_match(invites, waits, "waits")
        seeker = arena.player("seeker")
        for _ in range(2):
            seeker.say("match_request", player=None)
            seeker.say("cancel_request")
        [answer] = waits.say("cancel_request")
        self.assertEqual(answer["data"]["msg"], words.CANCELLED)
        invites.say("end_match", id=match_id)
        self.assertEqual(list(arena.lobby.queue(GAME)), [])

    def test_friends(self) -> None:
        """Their number is bounded, because all are sent after each change."""
        arena = Arena(max_friends=2)
        arena.players("bob", "carl", "dora")
        alice = arena.player("alice")
        for name, success in (("bob", True), ("carl", True), ("dora", False)):
            answer, *_ = alice.say("friend_request", user=name)
            self.assertEqual(answer["data"]["success"], success)
        self.assertEqual(answer["data"]["msg"], words.TOO_MANY_FRIENDS)
        answer, *_ = alice.say("friend_request", user="bob")
        self.assertEqual(answer["data"]["msg"], words.ALREADY_FRIEND.format("bob"))
        alice.say("unfriend_request", user="bob")
        self.assertTrue(alice.say("friend_request", user="dora")[0]["data"]["success"])


STATES = json.dumps({"type": "match_states_request", "data": {}})


class RateTests(SynchronousTestCase):
    """How many requests one connection may make."""

    def test_rate(self) -> None:
        """After a burst the requests of one connection are answered at the rate, in order."""
        arena = Arena(request_rate=5, request_burst=10)
        alice, bob = arena.players("alice", "bob")
        start_match(alice, bob, "bob")
        for _ in range(100):
            alice.send(STATES)
        self.assertEqual(len(alice.heard()), 9)  # the match was a request, too
        for _ in range(10):
            arena.clock.turn(1)
            self.assertEqual(len(alice.heard()), 5)

    def test_moves(self) -> None:
        """Moves never wait for requests of others, nor do they count."""
        arena = Arena(request_rate=1, request_burst=1)
        alice, bob = arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        bob.say("friend_request", user="alice")
        self.assertEqual(len(alice.move(match_id, Cell(0, 0, 1, 1))), 1)

    def test_gone(self) -> None:
        """A request that waits is dropped with its connection."""
        arena = Arena(request_rate=1, request_burst=1)
        alice, _ = arena.players("alice", "bob")
        for _ in range(100):
            alice.send(STATES)
        alice.hang_up()
        arena.clock.turn(arena.settings.ping_interval)
        self.assertEqual(arena.here, ["bob"])
        self.assertEqual(self.flushLoggedErrors(), [])
