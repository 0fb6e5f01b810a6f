"""Tests for what each message does in each phase, and for the reasons of every end."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import wire, words
from gameservers.games.tictactoe.play import LISTED
from gameservers.games.tictactoe.session import IGNORED, MAX_SENSELESS, TABLE, Phase
from gameservers.store import Unavailable
from tests.games.tictactoe.arena import GAME, Arena, Browser


class TableTests(SynchronousTestCase):
    def test_every_message_in_every_phase(self) -> None:
        """Each kind of message does something, or is listed as ignored; none is both."""
        for phase in Phase:
            handled, ignored = set(TABLE[phase]), set(IGNORED[phase])
            self.assertEqual(handled | ignored, set(wire.MESSAGES))
            self.assertEqual(handled & ignored, set())

    def test_first_message(self) -> None:
        """All but a log-in end the connection; a malformed one is answered."""
        for kind, data, told in (
            ("login", {}, words.BAD_LOGIN),
            ("temp_session", {}, words.BAD_LOGIN),
            ("reconnect", {}, words.NO_SESSION),
            ("match_request", {}, None),
            ("match_request", {"player": None}, None),
            ("move", {}, None),
            ("end_game", {}, None),
            ("ping", {}, None),
            ("cancel_request", {}, None),
        ):
            browser = Arena().browser()
            heard = browser.say(kind, **data)
            self.assertEqual([m["data"]["msg"] for m in heard], [told] if told else [])
            self.assertEqual(browser.closed, 1000 if told else 1008, kind)

    def test_later_messages(self) -> None:
        """None ends the connection, and those that have a response get it."""
        alice = Arena().player("alice")
        for kind, data, told in (
            ("login", {"name": "bob", "pw": ""}, []),
            ("reconnect", {"id": "0" * 32}, []),
            ("end_game", {}, []),
            ("move", {}, []),
            ("match_request", {}, [words.BAD_REQUEST]),
            ("friend_request", {}, [words.FRIEND_ERROR]),
            ("unfriend_request", {}, [words.UNFRIEND_ERROR]),
        ):
            heard = alice.say(kind, **data)
            self.assertEqual([m["data"]["msg"] for m in heard], told, kind)
        self.assertTrue(alice.connected)

    def test_ping(self) -> None:
        """It is answered in its order."""
        alice = Arena().player("alice")
        alice.send('{"type":"match_request","data":{"player":null}}')
        alice.send('{"type":"ping","data":{}}')
        self.assertEqual(alice.types(), ["match_request_response", "pong"])

    def test_search_is_cancelled(self) -> None:
        """The player waits no longer, and sees it on all connections."""
        arena = Arena()
        alice, bob = arena.players("alice", "bob")
        again = arena.browser()
        again.say("reconnect", id=alice.session_id)
        self.assertEqual(
            alice.say("cancel_request")[0]["data"],
            {"success": False, "msg": words.NOT_SEARCHING},
        )
        alice.say("match_request", player=None)
        self.assertEqual(
            alice.say("cancel_request")[0]["data"], {"success": True, "msg": words.CANCELLED}
        )
        self.assertEqual(again.heard()[0]["data"]["msg"], words.CANCELLED)
        self.assertEqual(bob.say("match_request", player=None)[0]["data"]["msg"], words.SEARCHING)
        self.assertEqual(bob.heard(), [])
        self.assertEqual(alice.say("match_request", player=None)[0]["type"], "match_update")

    def test_bytes(self) -> None:
        """A message in bytes is one in text."""
        alice = Arena().player("alice")
        message = json.dumps({"type": "match_request", "data": {"player": None}})
        self.assertEqual(alice.say_text(message.encode())[0]["data"]["msg"], words.SEARCHING)


class ReasonTests(SynchronousTestCase):
    """Each connection that the server ends is counted under its reason, once."""

    def arena(self, **settings: Any) -> Arena:
        self.game = Arena(**settings)
        return self.game

    def assertEnded(self, browser: Browser, code: int | None, reason: str) -> None:
        browser.heard()
        self.assertFalse(browser.connected)
        self.assertEqual(browser.closed, code)
        self.assertEqual(self.game.metrics.cuts, {(GAME, reason): 1})

    def test_wrong_password(self) -> None:
        arena = self.arena()
        arena.player("alice")
        browser = arena.browser()
        browser.log_in("alice", "wrong")
        self.assertEnded(browser, 1000, "refused")

    def test_name_that_looks_like_anothers(self) -> None:
        """Nobody comes as a new player who looks like one that is here."""
        arena = self.arena()
        arena.player("tom1")
        for password, text in (
            ("secret", "the username toml is currently not available"),
            ("", "user 'toml' already exists"),
        ):
            browser = arena.browser()
            (told,) = browser.log_in("toml", password)
            self.assertEqual((told["data"]["success"], told["data"]["msg"]), (False, text))
            self.assertFalse(browser.connected)

    def test_accounts_that_look_alike(self) -> None:
        """Those that exist work as ever, at the same time, too."""
        arena = self.arena()
        arena.player("tom1").hang_up()
        players = [arena.player("toml"), arena.player("tom1")]
        for player in players:
            self.assertTrue(player.connected)
        players[0].hang_up()
        again = arena.player("toml")
        self.assertTrue(again.connected)

    def test_too_many_attempts(self) -> None:
        arena = self.arena(new_names_per_address=1)
        for name in ("alice", "bob"):
            arena.player(name)
        browser = arena.browser()
        browser.log_in("carl")
        self.assertEnded(browser, 1000, "flood")

    def test_full(self) -> None:
        arena = self.arena(max_players=1)
        arena.player("alice")
        browser = arena.browser()
        browser.log_in("bob")
        self.assertEnded(browser, 1000, "full")

    def test_replaced(self) -> None:
        arena = self.arena()
        first = arena.player("alice")
        arena.player("alice")
        self.assertEnded(first, 1000, "refused")

    def test_too_many_of_one_player(self) -> None:
        arena = self.arena(max_per_player=1)
        first = arena.player("alice")
        arena.browser().say("reconnect", id=first.session_id)
        self.assertEnded(first, 1000, "crowded")
        self.assertEqual(arena.here, ["alice"])

    def test_out_of_date(self) -> None:
        """Somebody comes back just before the session is removed."""
        arena = self.arena()
        tess = arena.player("tess", "")
        arena.game.presence.expire(
            self.successResultOf(arena.records.session(tess.session_id or ""))
        )
        self.assertEnded(tess, 1000, "refused")
        self.assertEqual(arena.here, [])

    def test_senseless(self) -> None:
        arena = self.arena()
        alice = arena.player("alice")
        for _ in range(MAX_SENSELESS):
            alice.say_text("hello")
        self.assertEnded(alice, 1008, "malformed")

    def test_silent(self) -> None:
        arena = self.arena()
        browser = arena.browser(answers_pings=False)
        arena.clock.turn(30)
        self.assertEnded(browser, 1008, "silent")

    def test_store_fails(self) -> None:
        arena = self.arena()
        alice = arena.player("alice")
        arena.clock.advance(LISTED)
        self.patch(arena.records, "matches_of", lambda name: fail(Unavailable("away")))
        alice.say("match_states_request")
        self.assertEnded(alice, 1013, "failed")

    def test_store_fails_a_log_in(self) -> None:
        """It is told so in words."""
        arena = self.arena()
        self.patch(arena.records, "account", lambda name: fail(Unavailable("away")))
        browser = arena.browser()
        [response] = browser.log_in("alice")
        self.assertEqual(response["data"]["msg"], words.UNAVAILABLE)
        self.assertEnded(browser, 1000, "failed")

    def test_bug(self) -> None:
        """It ends that client alone."""
        arena = self.arena()
        alice, bob = arena.players("alice", "bob")
        arena.clock.advance(LISTED)
        self.patch(arena.records, "matches_of", lambda name: 1 / 0)
        alice.say("match_states_request")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEnded(alice, 1011, "failed")
        self.assertTrue(bob.connected)

    def test_expelled(self) -> None:
        arena = self.arena()
        alice = arena.player("alice")
        arena.lobby.expel(arena.lobby.find(GAME, "alice").id, "enough")
        self.assertEnded(alice, 1008, "banned")
