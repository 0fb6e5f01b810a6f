"""
The twenty-one weaknesses that were found in the original server, each by its number, and what
happens here instead.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import select
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import words
from gameservers.games.tictactoe.rules import Cell
from gameservers.games.tictactoe.session import MAX_SENSELESS
from gameservers.store import Account, PasswordRecord, Unavailable
from gameservers.store.accounts import accounts
from gameservers.store.passwords import SHA512, Busy
from tests.games.tictactoe.arena import GAME, Arena, Browser, start_match
from tests.games.tictactoe.kept import rating_of, results_of
from tests.games.tictactoe.replay import moves_of

_DAY = 86_400


def cells_of(scenario: str) -> list[Cell]:
    """The moves of a recorded game of two."""
    return [Cell(*(int(data[axis]) for axis in Cell._fields)) for data in moves_of(scenario)]


class ArenaTestCase(SynchronousTestCase):
    settings: dict[str, Any] = {}  # noqa: RUF012

    def setUp(self) -> None:
        self.arena = Arena(**self.settings)

    def elo(self, name: str) -> int:
        rating = self.successResultOf(rating_of(self.arena.records, name))
        assert rating is not None
        return rating

    def play(self, match_id: str, cells: list[Cell], *players: Browser) -> None:
        """The players move in turn; they hear what they hear."""
        for number, cell in enumerate(cells):
            players[number % 2].move(match_id, cell)
        for player in players:
            player.heard()

    def two(self) -> tuple[Browser, Browser, str]:
        """Two players, and a match between them in which both have moved."""
        alice, bob = self.arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        self.play(match_id, [Cell(0, 0, 1, 1), Cell(1, 1, 0, 0)], alice, bob)
        return alice, bob, match_id


class WeaknessTests(ArenaTestCase):
    def test_01_turn_is_checked(self) -> None:
        """Only the player whose turn it is moves; the other one is shown the unchanged state."""
        alice, bob, match_id = self.two()
        [update] = bob.move(match_id, Cell(0, 0, 0, 0))
        self.assertEqual(update["data"]["match_state"]["active_player"], "alice")
        self.assertEqual(sum(map(sum, update["data"]["match_state"]["complete_field"])), 1 + 2)
        self.assertEqual(alice.heard(), [])

    def test_02_participants_only(self) -> None:
        """A stranger who knows the id neither moves, nor ends, nor sees the match."""
        alice, bob, match_id = self.two()
        for stranger in (self.arena.player("mallory"), self.arena.player("tess", "")):
            self.assertEqual(stranger.move(match_id, Cell(0, 0, 0, 0)), [])
            self.assertEqual(stranger.say("end_match", id=match_id), [])
            self.assertEqual(stranger.say("match_states_request"), [])
        self.assertEqual(alice.heard() + bob.heard(), [])
        self.assertEqual(self.elo("mallory"), 1000)
        self.assertEqual(len(alice.say("match_states_request")), 1)

    def test_03_reconnect_by_a_string_alone(self) -> None:
        """Numbers, lists, and ids in other letters are no session."""
        alice = self.arena.player("alice")
        assert alice.session_id is not None
        for odd in (0, 1, True, None, [alice.session_id], {}, "", alice.session_id + " ",
                    alice.session_id.upper().replace("0", "A")):  # fmt: skip
            browser = self.arena.browser()
            [response] = browser.say("reconnect", id=odd)
            self.assertFalse(response["data"]["success"])
            self.assertEqual(browser.closed, 1000)
        self.assertTrue(
            self.arena.browser().say("reconnect", id=alice.session_id)[0]["data"]["success"]
        )

    def test_04_name_takeover(self) -> None:
        """While a temporary user is connected the name is taken; afterwards nothing is left."""
        old = self.arena.player("tess", "")
        self.arena.clock.advance(2 * 3600)
        old.heard()
        self.arena.sweep()
        self.assertFalse(self.arena.browser().log_in("tess")[0]["data"]["success"])
        session_id = old.session_id
        old.hang_up()
        self.arena.clock.advance(2 * 3600)
        self.arena.sweep()
        self.assertTrue(self.arena.browser().log_in("tess")[0]["data"]["success"])
        [response] = self.arena.browser().say("reconnect", id=session_id)
        self.assertFalse(response["data"]["success"])

    def test_05_missed_draw(self) -> None:
        """When nine are decided the game is over, also when the last one was won."""
        alice, bob = self.arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        cells = cells_of("draw_missed")[:56]
        self.play(match_id, cells[:-1], alice, bob)
        update = (alice, bob)[(len(cells) - 1) % 2].move(match_id, cells[-1])[0]
        state = update["data"]["match_state"]
        self.assertEqual(
            (state["game_over"], state["is_draw"], state["player_won"]), (True, True, None)
        )

    def test_06_several_connections(self) -> None:
        """All connections of a user get pushes, whichever of them leaves."""
        alice, bob, match_id = self.two()
        second = self.arena.browser()
        second.say("reconnect", id=alice.session_id)
        alice.hang_up()
        third = self.arena.browser()
        third.say("reconnect", id=second.session_id or alice.session_id)
        update = third.move(match_id, Cell(0, 0, 0, 0))
        self.assertEqual(len(update), 1)
        self.assertEqual(second.heard(), update)
        self.assertEqual(bob.heard(), update)
        second.hang_up()
        third.hang_up()
        self.assertEqual(self.arena.here, ["bob"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_07_login_and_farewell_in_one_segment(self) -> None:
        """Nobody who is gone is taken to be here, and nobody else is hurt."""
        alice = self.arena.player("alice")
        bob = self.arena.browser()
        bob.send(
            json.dumps({"type": "login", "data": {"name": "bob", "pw": "x"}}), closes_too=True
        )
        self.arena.clock.advance(0)
        bob.vanish()
        self.assertEqual(self.arena.here, ["alice"])
        heard = alice.say("match_request", player="bob")
        self.assertEqual(
            [each["type"] for each in heard], ["match_update", "match_request_response"]
        )
        self.assertTrue(alice.say("match_request", player=None)[0]["data"]["success"])
        self.assertTrue(alice.connected)

    def test_07_gone_while_the_password_is_checked(self) -> None:
        """A client that leaves before it is let in is never here."""
        checked: Deferred[PasswordRecord] = Deferred()
        made = self.arena.passwords.make("x")
        self.arena.passwords.make = lambda password: checked  # type: ignore[method-assign]
        bob = self.arena.browser()
        bob.log_in_quietly("bob")
        bob.vanish()
        made.addCallback(checked.callback)
        self.assertEqual(self.arena.here, [])

    def test_08_refused_moves_are_answered(self) -> None:
        """With the unchanged state, so that the client goes on."""
        alice, bob, match_id = self.two()
        for cell in ((0, 0, 1, 1), (2, 2, 0, 0), (0, 0, 3, 0), (5, 0, 0, 0)):
            [update] = alice.move(match_id, cell)
            self.assertEqual(update["type"], "match_update")
            self.assertEqual(update["data"]["match_state"]["current_player"], "alice")
        [update] = alice.say("move", id=match_id, sub_x="x")
        self.assertEqual(update["type"], "match_update")
        self.assertEqual(bob.heard(), [])

    def test_09_malformed_messages(self) -> None:
        """They are ignored or answered; only many of them end the connection."""
        alice = self.arena.player("alice")
        for text in (
            "hello",
            "",
            "null",
            "[]",
            '{"type":"nope","data":1}',
            '{"type":"move","data":null}',
        ):
            self.assertEqual(alice.say_text(text), [])
        for kind in ("match_request", "friend_request", "unfriend_request"):
            [response] = alice.say(kind, user=5, player=5)
            self.assertEqual(
                (response["type"], response["data"]["success"]), (f"{kind}_response", False)
            )
        self.assertTrue(alice.connected)
        # Nine they were so far.
        for _ in range(MAX_SENSELESS - 9):
            self.assertTrue(alice.connected)
            alice.say_text("hello")
        self.assertEqual(alice.closed, 1008)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_10_time_out(self) -> None:
        """Whose turn it was has lost, with Elo, and both are told, by a timer."""
        alice, bob, _ = self.two()
        self.arena.game.startService()
        self.arena.clock.advance(7 * _DAY + 1)
        for browser, elo in ((alice, 990), (bob, 1010)):
            update, rating = browser.heard()
            state = update["data"]["match_state"]
            self.assertEqual((state["game_over"], state["player_won"]), (True, "bob"))
            self.assertEqual(rating["data"]["elo"], elo)
        self.assertEqual(alice.say("match_states_request"), [])

    def test_11_queue(self) -> None:
        """Who disconnects waits no longer; two who play already are not paired again."""
        alice, bob, carl = self.arena.players("alice", "bob", "carl")
        carl.say("match_request", player=None)
        carl.hang_up()
        self.assertEqual(len(self.arena.lobby.queue(GAME)), 0)
        alice.say("match_request", player=None)
        bob.say("match_request", player=None)
        alice.heard()
        for browser in (alice, bob):  # they wait both, and are not paired with each other
            heard = browser.say("match_request", player=None)
            self.assertEqual([each["type"] for each in heard], ["match_request_response"])
        carl = self.arena.player("carl")
        update = carl.say("match_request", player=None)[0]
        self.assertEqual(update["data"]["match_state"]["player_a"], "alice")

    def test_11_no_match_too_many(self) -> None:
        """The limit is checked again when two are paired."""
        alice = self.arena.player("alice")
        others = self.arena.players(*[f"user{n}" for n in range(6)])
        for n in range(4):
            start_match(alice, others[n], f"user{n}")
        alice.say("match_request", player=None)
        start_match(others[4], alice, "alice")
        heard = others[5].say("match_request", player=None)
        self.assertEqual([each["type"] for each in heard], ["match_request_response"])
        self.assertEqual(len(alice.say("match_states_request")), 5)

    def test_11_both_wait(self) -> None:
        """Two who could not be paired when they began to wait are when one asks again."""
        alice, bob = self.arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        for waiting in (alice, bob):
            [response] = waiting.say("match_request", player=None)
            self.assertEqual(response["data"], {"success": True, "msg": words.SEARCHING})
        [response] = bob.say("match_request", player=None)
        self.assertEqual(response["data"]["msg"], words.ALREADY_SEARCHING)
        alice.say("end_match", id=match_id)
        bob.heard()
        update, response = bob.say("match_request", player=None)
        self.assertEqual(update["data"]["match_state"]["player_a"], "alice")
        self.assertEqual(response["data"], {"success": True, "msg": words.SEARCHING})
        self.assertEqual(len(self.arena.lobby.queue(GAME)), 0)

    def test_12_finished_matches_do_not_block(self) -> None:
        """A match whose end one has not seen counts no more, and is shown to that player once."""
        alice, bob, match_id = self.two()
        bob.hang_up()
        alice.say("end_match", id=match_id)
        self.assertTrue(alice.say("match_request", player="bob")[-1]["data"]["success"])
        seen = []
        for _ in range(2):
            bob = self.arena.player("bob")
            bob.hang_up()
            bob = self.arena.browser()
            heard = bob.log_in("bob")
            seen.append([m["data"]["id"] for m in heard if m["type"] == "match_update"])
        self.assertNotIn(match_id, seen[1])

    def test_13_nothing_waits_for_the_database(self) -> None:
        """While a question to the store is open, another client's ping is answered."""
        alice, bob = self.arena.players("alice", "bob")
        never: Deferred[Any] = Deferred()
        self.arena.records.match = lambda match_id: never  # type: ignore[method-assign]
        alice.say("end_match", id="0" * 32)
        bob.ping()
        self.assertEqual(bob.pongs, 1)
        self.assertEqual(alice.say("match_states_request"), [])  # messages stay in order
        never.callback(None)
        alice.say("friend_request", user="bob")
        self.assertIn(
            "friends_update", [m["type"] for m in bob.say("friend_request", user="alice")]
        )

    def test_14_attempts_are_limited(self) -> None:
        """After some failures a name has to wait, and longer each time; so has an address."""
        self.arena.player("alice").hang_up()
        texts_heard = []
        for _ in range(8):
            response = self.arena.browser().log_in("alice", "wrong")[0]
            texts_heard.append(response["data"]["msg"])
        wrong = words.WRONG_PASSWORD.format("alice")
        self.assertEqual(texts_heard, [wrong] * 6 + [words.TOO_MANY_ATTEMPTS.format(1)] * 2)
        calls = self.arena.passwords.calls
        self.arena.browser().log_in("alice", "wrong")
        self.assertEqual(self.arena.passwords.calls, calls)
        self.arena.clock.advance(1)
        self.assertEqual(self.arena.browser().log_in("alice", "wrong")[0]["data"]["msg"], wrong)
        response = self.arena.browser().log_in("alice", "wrong")[0]
        self.assertEqual(response["data"]["msg"], words.TOO_MANY_ATTEMPTS.format(2))

    def test_14_new_names_are_limited(self) -> None:
        arena = Arena(new_names_per_address=2)
        made = []
        for n in range(5):
            response = arena.browser().log_in(f"user{n}", "" if n % 2 else "pw")[0]
            made.append(response["data"]["success"])
        self.assertEqual(made, [True, True, True, False, False])
        self.assertTrue(arena.browser("198.51.100.7").log_in("other")[0]["data"]["success"])

    def test_14_only_wrong_passwords_count(self) -> None:
        """An attempt that came to nothing for another reason makes nobody wait."""
        arena = Arena(new_names_per_address=1, login_attempts=1, login_attempts_per_address=6)
        for name in ("alice", "bob"):
            arena.player(name)
        for _ in range(3):
            refused = arena.browser().log_in("carl")[0]["data"]["msg"]
            self.assertEqual(refused, words.TOO_MANY_ATTEMPTS.format(1))
        busy = self.patch(arena.passwords, "check", lambda *_: fail(Busy()))
        for _ in range(3):
            refused = arena.browser().log_in("alice")[0]["data"]["msg"]
            self.assertEqual(refused, words.UNAVAILABLE)
        busy.restore()
        self.assertTrue(arena.browser().log_in("alice")[0]["data"]["success"])

    def test_15_scrypt(self) -> None:
        """Old hashes are good once and then replaced; an unknown name costs as much work."""
        salt = "ab" * 16
        old = hashlib.sha512(b"secret" + salt.encode()).hexdigest()
        record = PasswordRecord(SHA512, old, salt)
        self.arena.records.create_account(Account("old", self.arena.game.now(), record), 1000)
        self.assertFalse(self.arena.browser().log_in("old", "wrong")[0]["data"]["success"])
        for _ in range(2):
            self.assertTrue(self.arena.browser().log_in("old")[0]["data"]["success"])
            account = self.successResultOf(self.arena.records.account("old"))
            assert account is not None
            self.assertEqual(
                (account.password.scheme, account.password.parameters), ("scrypt", "1:8:1")
            )
        calls = self.arena.passwords.calls
        self.arena.browser().log_in("old", "wrong")
        self.arena.browser().log_in("unknown", "secret")
        self.assertEqual(self.arena.passwords.calls, calls + 2)

    def test_16_names_and_passwords_are_strict(self) -> None:
        for data in (
            {"name": "bob\n", "pw": "x"},
            {"name": "bob\N{KELVIN SIGN}", "pw": "x"},
            {"name": "bob", "pw": []},
            {"name": "bob", "pw": {}},
            {"name": "bob", "pw": None},
            {"name": "bob", "pw": "x" * 33},
        ):
            browser = self.arena.browser()
            [response] = browser.say("login", **data)
            self.assertEqual(response["data"]["msg"], words.BAD_LOGIN)
            self.assertEqual(browser.closed, 1000)
        response = self.arena.browser().log_in("bob", "😀" * 32)[0]
        self.assertEqual(response["data"]["msg"], words.REGISTERED.format("bob"))

    def test_17_times_are_fresh(self) -> None:
        """C{revoke_time} is of this move, and a log-in keeps the account."""
        alice, bob, match_id = self.two()
        self.arena.clock.advance(3600)
        alice.heard(), bob.heard()
        [update] = alice.move(match_id, Cell(0, 0, 0, 1))
        wanted = self.arena.clock.seconds() + 7 * _DAY
        self.assertAlmostEqual(update["data"]["revoke_time_utc"], wanted, delta=1)
        alice.hang_up()
        for _ in range(3):  # who comes every thirty days and only looks is not removed
            self.arena.clock.advance(30 * _DAY)
            self.arena.sweep()
            response = self.arena.browser().log_in("alice")[0]
            self.assertEqual(response["data"]["msg"], words.LOGGED_IN.format("alice"))

    def test_18_elo_and_result_together(self) -> None:
        """The end of a match is one call to the store: both ratings with it, or nothing."""
        alice, bob, match_id = self.two()
        finish = self.arena.records.finish_match

        def fails(*args: Any, **kwargs: Any) -> Deferred[Any]:
            failed: Deferred[Any] = Deferred()
            failed.errback(Unavailable("away"))
            return failed

        self.arena.records.finish_match = fails  # type: ignore[method-assign]
        alice.say("end_match", id=match_id)
        self.assertEqual(alice.closed, 1013)
        self.assertEqual((self.elo("alice"), self.elo("bob")), (1000, 1000))
        self.arena.records.finish_match = finish  # type: ignore[method-assign]
        alice = self.arena.player("alice")
        heard = [message["type"] for message in alice.say("end_match", id=match_id)]
        self.assertEqual(heard, ["elo_update", "match_update"])
        self.assertEqual([m["type"] for m in bob.heard()], ["elo_update", "match_update"])
        self.assertEqual((self.elo("alice"), self.elo("bob")), (990, 1010))
        [result] = self.successResultOf(results_of(self.arena.records, "bob"))
        self.assertEqual((result.outcome, result.winner), ("abandoned", "bob"))
        self.assertEqual((result.elo_before, result.elo_after), ((1000, 1000), (990, 1010)))

    def test_19_friends_of_a_temporary_user(self) -> None:
        """The user is told that it needs an account, and stays."""
        self.arena.player("alice")
        tess = self.arena.player("tess", "")
        for name in ("alice", "nobody", "!!"):
            [response] = tess.say("friend_request", user=name)
            self.assertEqual(response["data"], {"success": False, "msg": words.NO_FRIENDS})
        self.assertTrue(tess.connected)

    def test_20_origins(self) -> None:
        """With a list of origins, a browser elsewhere cannot connect; our own page can."""
        arena = Arena(origins=("https://play.example",))
        for origin, refused in (
            ("https://play.example", False),
            ("https://games.example.org", False),
            ("https://elsewhere.example", True),
            ("null", True),
            ("https://[", True),
        ):
            browser = arena.browser(headers=(f"Origin: {origin}",))
            self.assertEqual(browser.refused is not None, refused, origin)
            if refused:
                self.assertIn("403", browser.refused or "")
        self.assertIsNone(arena.browser().refused)

    def test_20_ids_cannot_be_guessed(self) -> None:
        """Thirty-two hexadecimal digits, another one at each log-in."""
        ids = {self.arena.player("alice").session_id for _ in range(5)}
        self.assertEqual(len(ids), 5)
        for session_id in ids:
            self.assertRegex(session_id or "", r"\A[0-9a-f]{32}\Z")

    def test_21_no_foreign_types_in_queries(self) -> None:
        """Whatever JSON stands in an id, no question reaches the database."""
        alice = self.arena.player("alice")

        def asked(*args: Any) -> Deferred[Any]:
            raise AssertionError(args)

        self.arena.records.match = asked  # type: ignore[method-assign]
        self.arena.records.session = asked  # type: ignore[method-assign]
        for odd in (0, 1.5, True, None, [], ["x"], {}, {"a": "x"}, "' OR 1=1 --", "x" * 32):
            self.assertEqual(alice.say("end_match", id=odd), [])
            self.assertEqual(alice.say("move", id=odd, sub_x=0, sub_y=0, x=0, y=0), [])
            self.arena.browser().say("reconnect", id=odd)
        self.assertEqual(self.flushLoggedErrors(), [])


class KeptTests(ArenaTestCase):
    """What is kept of passwords and ids."""

    def test_no_password_is_kept(self) -> None:
        self.arena.player("alice", "very secret")
        rows = self.successResultOf(
            self.arena.store.ask(lambda c: c.execute(select(accounts)).all())
        )
        self.assertNotIn("very secret", repr(rows))
