"""Tests for one client on a WebSocket: its limits, its order, its end; and for the site."""

from __future__ import annotations

import json
from typing import Any

from cachetools import LRUCache
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gameservers.games import Carriage, Dependencies, IGame
from gameservers.games.tictactoe import game, session
from gameservers.games.tictactoe.records import SCHEMA
from gameservers.games.tictactoe.rules import Cell
from gameservers.games.tictactoe.settings import TicTacToeSettings, check_origins
from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from gameservers.net.outbox import LINGER
from gameservers.store import Store, StoreSettings, Unavailable
from gameservers.wire import Verdict
from tests.games.tictactoe.arena import GAME, Arena, start_match
from tests.net.test_websocket import BINARY, MORE, PING, TEXT, frame


class SizeTests(SynchronousTestCase):
    def test_limit(self) -> None:
        """A message of the limit is taken, one byte more is not."""
        for extra, closed in ((0, None), (1, 1009)):
            arena = Arena(max_message=1000)
            alice = arena.player("alice")
            alice.say_text('{"type":"end_game","data":""}'.ljust(1000 + extra))
            self.assertEqual(alice.closed, closed)

    def test_bytes_are_counted(self) -> None:
        arena = Arena(max_message=1000)
        alice = arena.player("alice")
        alice.say_text(json.dumps({"type": "end_game", "data": "é" * 500}, ensure_ascii=False))
        self.assertEqual(alice.closed, 1009)

    def test_fragments_are_not_joined_without_end(self) -> None:
        """Small fragments that never end are cut off at the limit, and nothing of them is kept."""
        for opcode in (TEXT, BINARY):
            arena = Arena()
            alice = arena.player("alice")
            alice.write(frame(opcode, b"x" * 1000, last=False))
            for _ in range(15):
                alice.write(frame(MORE, b"x" * 1000, last=False))
            self.assertTrue(alice.connected)
            alice.write(frame(MORE, b"x" * 1000, last=False) * 3)
            alice.heard()
            self.assertEqual(alice.closed, 1009)

    def test_one_huge_frame(self) -> None:
        """What is announced as 100 MB is refused after 16 KiB of it."""
        alice = Arena().player("alice")
        head = bytes([0x81, 0x80 | 127]) + (10**8).to_bytes(8, "big") + bytes(4)
        alice.write(head + b"x" * 16384)
        self.assertTrue(alice.connected)
        alice.write(b"x")
        alice.heard()
        self.assertEqual(alice.closed, 1009)

    def test_what_follows_in_the_same_segment(self) -> None:
        """A ping behind a message that is too big is no mistake of ours."""
        alice = Arena().player("alice")
        alice.write(frame(TEXT, b"x" * 20000) + frame(PING, b"?"))
        alice.heard()
        self.assertEqual(alice.closed, 1009)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=15, deadline=None)
    @given(st.binary(max_size=300))
    def test_junk_on_the_wire(self, junk: bytes) -> None:
        """Whatever bytes come, they end at most this client, and are no mistake of ours."""
        arena = Arena()
        alice, bob = arena.players("alice", "bob")
        alice.write(junk)
        alice.arena.clock.advance(0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(
            [m["type"] for m in bob.say("match_request", player=None)], ["match_request_response"]
        )

    def test_every_split(self) -> None:
        """TCP may cut the stream anywhere."""
        stream = frame(TEXT, b'{"type":"friend_request",', last=False)
        stream += frame(MORE, b'"data":{"user":"nobody"}}')
        for cut in range(len(stream)):
            alice = Arena().player("alice")
            alice.write(stream[:cut])
            alice.write(stream[cut:])
            self.assertEqual(alice.types(), ["friend_request_response"], cut)


class TimeTests(SynchronousTestCase):
    def test_silent_client(self) -> None:
        """A client that does not log in is dropped when its time is up, not before."""
        arena = Arena(ping_interval=1000.0)
        browser = arena.browser()
        arena.clock.advance(29.9)
        self.assertTrue(browser.connected)
        arena.clock.advance(0.2)
        browser.heard()
        self.assertEqual(browser.closed, 1008)

    def test_logged_in_client(self) -> None:
        """A client that has logged in may be silent for as long as it answers pings."""
        arena = Arena()
        alice = arena.player("alice")
        for _ in range(10):
            arena.clock.advance(20)
            self.assertTrue(alice.connected)
        self.assertEqual(len(alice.pings), 10)

    def test_no_pong(self) -> None:
        arena = Arena()
        mute = arena.browser(answers_pings=False)
        mute.log_in("mute")
        arena.clock.advance(20)
        self.assertTrue(mute.connected)
        arena.clock.advance(20)
        mute.heard()
        self.assertEqual(mute.closed, 1011)
        self.assertEqual(arena.here, [])

    def test_close_is_not_waited_for_without_end(self) -> None:
        """A client that does not close its side is cut."""
        arena = Arena()
        alice = arena.player("alice")
        alice.write(frame(TEXT, b"x" * 20000))
        arena.clock.turn(LINGER)
        self.assertTrue(alice.peer.closed)


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.arena = Arena()
        self.alice, self.bob = self.arena.players("alice", "bob")
        self.match_id = start_match(self.alice, self.bob, "bob")

    def hold(self, call: str) -> Deferred[Any]:
        """The store's next answer to a call comes when the result is called back."""
        original = getattr(self.arena.records, call)
        held: Deferred[Any] = Deferred()

        def wait(*args: Any, **kwargs: Any) -> Deferred[Any]:
            setattr(self.arena.records, call, original)
            return held.addCallback(lambda _: original(*args, **kwargs))

        setattr(self.arena.records, call, wait)
        return held

    def test_in_order(self) -> None:
        """A message waits for the one before it, which waits for the store."""
        held = self.hold("save_move")
        self.assertEqual(self.alice.move(self.match_id, Cell(0, 0, 1, 1)), [])
        self.assertEqual(self.alice.say("friend_request", user="bob"), [])
        held.callback(None)
        wanted = ["match_update", "friend_request_response", "friends_update"]
        self.assertEqual(self.alice.types(), wanted)

    def test_answered_when_committed(self) -> None:
        """Neither player hears of a move before the store has it."""
        held = self.hold("save_move")
        self.alice.move(self.match_id, Cell(0, 0, 1, 1))
        self.assertEqual(self.alice.heard() + self.bob.heard(), [])
        held.callback(None)
        self.assertEqual(self.alice.types() + self.bob.types(), ["match_update"] * 2)

    def test_two_at_once(self) -> None:
        """Of two moves at the same time one is made; the other sees what it came to."""
        second = self.arena.browser()
        second.say("reconnect", id=self.alice.session_id)
        held = self.hold("save_move")
        self.alice.move(self.match_id, Cell(0, 0, 1, 1))
        made = second.move(self.match_id, Cell(2, 2, 0, 0))
        self.assertEqual(len(made), 1)
        held.callback(None)
        self.assertEqual(self.alice.heard(), made * 2)  # the push, and the refusal
        self.assertEqual(len(self.bob.heard()), 1)

    def test_backlog(self) -> None:
        """A client that sends on while it is served is read no further, until there is room."""
        held = self.hold("save_move")
        self.alice.move(self.match_id, Cell(0, 0, 1, 1))
        for count in range(2):
            self.assertTrue(self.alice.peer.reading, count)
            self.alice.say("end_game")
        self.assertFalse(self.alice.peer.reading)
        held.callback(None)
        self.arena.clock.turn()
        self.assertTrue(self.alice.peer.reading)

    def test_pushes_wait_for_the_greeting(self) -> None:
        """What happens during a log-in is told after what was there before."""
        self.alice.hang_up()
        held = self.hold("friends")
        alice = self.arena.browser()
        heard = alice.log_in("alice")
        self.assertEqual([m["type"] for m in heard], ["login_response"])
        carl = self.arena.player("carl")
        carl.say("match_request", player="alice")
        self.assertEqual(alice.heard(), [])
        held.callback(None)
        wanted = ["elo_update", "friends_update", "match_update", "match_update", "match_update"]
        self.assertEqual(alice.types(), wanted)

    def test_pushes_wait_not_without_end(self) -> None:
        """A client that is told too much during its log-in is dropped."""
        self.patch(session, "HELD", 2)
        self.alice.hang_up()
        held = self.hold("friends")
        alice = self.arena.browser()
        alice.log_in("alice")
        carl = self.arena.player("carl")
        for dropped in (False, True):
            match_id = start_match(carl, alice, "alice")
            carl.say("end_match", id=match_id)
            self.assertEqual(alice.aborted, dropped)
        held.callback(None)
        self.assertEqual(self.arena.here, ["bob", "carl"])

    def test_end_without_ranks(self) -> None:
        """A match that has ended is told to both even if the store fails to say the ranks."""
        self.alice.move(self.match_id, Cell(0, 0, 1, 1))
        self.bob.move(self.match_id, Cell(1, 1, 1, 1))
        self.alice.heard()
        self.bob.heard()
        self.patch(self.arena.records, "ranking", lambda *_: fail(Unavailable("no answer")))
        self.alice.say("end_match", id=self.match_id)
        [update] = self.bob.heard()
        self.assertTrue(update["data"]["match_state"]["game_over"])

    def test_nothing_older_after_the_end(self) -> None:
        """Matches read just before one of them ended are not told as if it went on."""
        matches_of = self.arena.records.matches_of
        held: Deferred[Any] = Deferred()

        def read_and_wait(name: str) -> Deferred[Any]:
            read = matches_of(name)
            return held.addCallback(lambda _: read)

        self.patch(self.arena.records, "matches_of", read_and_wait)
        self.assertEqual(self.bob.say("match_states_request"), [])
        self.alice.say("end_match", id=self.match_id)
        held.callback(None)
        ends = [update["data"]["match_state"]["game_over"] for update in self.bob.heard()]
        self.assertEqual(set(ends), {True})

    def test_matches_in_memory(self) -> None:
        """Only so many matches are kept in memory; the others are read again."""
        self.arena.game.play._matches = LRUCache(1)
        carl = self.arena.player("carl")
        second = start_match(carl, self.bob, "bob")
        for match_id, mover in ((self.match_id, self.alice), (second, carl)):
            [update] = mover.move(match_id, Cell(0, 0, 1, 1))
            self.assertEqual(update["data"]["match_state"]["current_player"], "bob")
        self.assertEqual(len(self.arena.game.play._matches), 1)


class SlowReaderTests(SynchronousTestCase):
    def test_dropped(self) -> None:
        """Who does not read is told no more than the limit, and then nothing; others go on."""
        arena = Arena(max_unread=65536)
        alice, bob = arena.players("alice", "bob")
        alice.peer.stall()
        for number in range(100):
            match_id = start_match(bob, alice, "alice")
            bob.say("end_match", id=match_id)
            if alice.peer.closed:
                break
            alice.say("match_states_request")
            alice.say("match_states_request")
            self.assertFalse(alice.peer.reading, number)  # asks for nothing more
        self.assertTrue(alice.aborted)
        self.assertEqual(arena.here, ["bob"])
        self.assertEqual(arena.metrics.cuts, {(GAME, "slow"): 1})

    def test_reads_again(self) -> None:
        arena = Arena(max_unread=65536)
        alice, bob = arena.players("alice", "bob")
        for _ in range(60):
            alice.peer.stall()
            match_id = start_match(bob, alice, "alice")
            bob.say("end_match", id=match_id)
            alice.peer.read_on()
            self.assertEqual(alice.types(), ["match_update"] * 2)
        self.assertTrue(alice.connected)


class UserTests(SynchronousTestCase):
    def test_password_login_voids_the_older_session(self) -> None:
        arena = Arena()
        first = arena.player("alice")
        second = arena.browser()
        second.say("reconnect", id=first.session_id)
        third = arena.player("alice")
        for old in (first, second):
            old.heard()
            self.assertEqual(old.closed, 1000)
        self.assertTrue(third.connected)
        [response] = arena.browser().say("reconnect", id=first.session_id)
        self.assertFalse(response["data"]["success"])
        self.assertEqual(arena.here, ["alice"])

    def test_sockets_of_one_user(self) -> None:
        """With too many connections the oldest goes."""
        arena = Arena(max_per_player=2)
        first = arena.player("alice")
        second, third = arena.browser(), arena.browser()
        for browser in (second, third):
            browser.say("reconnect", id=first.session_id)
        first.heard()
        self.assertEqual(first.closed, 1000)
        self.assertTrue(second.connected and third.connected)

    def test_capacity(self) -> None:
        arena = Arena(max_players=1)
        arena.player("alice")
        bob = arena.browser()
        self.assertFalse(bob.log_in("bob")[0]["data"]["success"])
        self.assertEqual(bob.closed, 1000)

    def test_sessions_survive_a_restart(self) -> None:
        arena = Arena()
        alice, bob = arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        arena.restart()
        back = arena.browser()
        heard = back.say("reconnect", id=alice.session_id)
        wanted = ["reconnect_response", "elo_update", "friends_update", "match_update"]
        self.assertEqual([m["type"] for m in heard], wanted)
        self.assertEqual(len(back.move(match_id, Cell(0, 0, 1, 1))), 1)

    def test_expired_session(self) -> None:
        """A session out of date is none, whether it was swept or not."""
        arena = Arena()
        alice = arena.player("alice")
        alice.hang_up()
        arena.clock.advance(20 * 86400 + 1)
        [response] = arena.browser().say("reconnect", id=alice.session_id)
        self.assertFalse(response["data"]["success"])

    def test_counters(self) -> None:
        arena = Arena()
        alice, bob = arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        alice.move(match_id, Cell(0, 0, 1, 1))
        metrics = arena.metrics
        self.assertEqual(metrics.matches_opened, {"tictactoe": 1})
        self.assertEqual(metrics.moves_made, {"tictactoe": 1})

    def test_expelled(self) -> None:
        """All connections of a player who is expelled are closed, and nobody else's."""
        arena = Arena()
        alice, bob = arena.players("alice", "bob")
        second = arena.browser()
        second.say("reconnect", id=alice.session_id)
        arena.lobby.announce("hello")
        arena.lobby.expel(arena.lobby.find("tictactoe", "alice").id, "enough")
        arena.clock.advance(0)
        for each in (alice, second, bob):
            each.heard()
        self.assertEqual((alice.closed, second.closed, bob.closed), (1008, 1008, None))
        self.assertEqual(arena.here, ["bob"])

    def test_no_secrets_in_the_log(self) -> None:
        with capturedLogs() as events:
            arena = Arena()
            alice = arena.player("alice", "very secret")
            arena.browser().log_in("alice", "also secret")
            alice.say_text("hello")
            alice.hang_up()
        self.assertNotIn("secret", repr(events))
        self.assertNotIn(alice.session_id, repr(events))

    def test_stop(self) -> None:
        """When the server stops, everybody is told; sessions stay."""
        arena = Arena()
        alice = arena.player("alice")
        arena.game.startService()
        stopped = arena.game.stopService()
        self.assertNoResult(stopped)
        alice.heard()
        arena.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(alice.closed, 1001)


class SiteTests(SynchronousTestCase):
    def request(self, lines: str) -> tuple[str, bytes]:
        arena = Arena()
        peer = arena.clock.connect(arena.door, "192.0.2.9")
        peer.send(lines.encode() + b"\r\n\r\n")
        head, _, body = peer.received().partition(b"\r\n\r\n")
        return head.decode(), body

    def test_page(self) -> None:
        for path, content_type in (
            ("/", "text/html"),
            ("/page.js", "text/javascript"),
            ("/board.js", "text/javascript"),
            ("/link.js", "text/javascript"),
            ("/page.css", "text/css"),
            ("/icon.svg", "image/svg+xml"),
        ):
            head, body = self.request(f"GET {path} HTTP/1.1\r\nHost: x")
            self.assertIn("200 OK", head)
            self.assertIn(content_type, head)
            self.assertIn("default-src 'none'", head)
            self.assertGreater(len(body), 100, path)

    def test_under_its_name(self) -> None:
        """The same page, which connects its WebSocket to where it lies."""
        self.assertEqual(
            self.request("GET /tictactoe/ HTTP/1.1\r\nHost: x")[1],
            self.request("GET / HTTP/1.1\r\nHost: x")[1],
        )
        head, _ = self.request("GET /tictactoe HTTP/1.1\r\nHost: x")
        self.assertIn("\r\nLocation: /tictactoe/\r\n", head)
        browser = Arena().browser(path="/tictactoe/")
        self.assertTrue(browser.log_in("alice")[0]["data"]["success"])

    def test_nothing_else(self) -> None:
        for path in ("/x", "/../settings.py", "/page", "//", "/icon.svg/x", "/tictactoe//"):
            self.assertIn("404", self.request(f"GET {path} HTTP/1.1\r\nHost: x")[0])
        self.assertIn("405", self.request("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0")[0])

    def test_connections(self) -> None:
        """With too many players a further one is refused, until one has gone."""
        arena = Arena(max_connections=2)
        first, second = arena.player("anna"), arena.browser("192.0.2.2")
        second.log_in("bert")
        self.assertIn("503", arena.browser().refused or "")
        first.hang_up()
        self.assertIsNone(arena.browser().refused)
        self.assertTrue(second.connected)

    def test_broken_upgrade(self) -> None:
        head, _ = self.request("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket")
        self.assertIn("400", head)
        self.assertIn("\r\nX-Content-Type-Options: nosniff\r\n", head)
        self.assertIn("\r\nContent-Security-Policy: default-src 'none'", head)
        self.assertEqual(self.flushLoggedErrors(), [])


class GameTests(SynchronousTestCase):
    def dependencies(self, store: Store | None) -> Dependencies:
        self.clock = Clock()
        lobby = Lobby(self.clock, Metrics())
        return Dependencies("chess", lobby, self.clock, TicTacToeSettings(), store=store)

    def test_is_a_game(self) -> None:
        verifyObject(IGame, game)
        store = Store(StoreSettings(database="memory"), Clock(), [SCHEMA])  # type: ignore[arg-type]
        service = game.build(self.dependencies(store))
        self.assertEqual((service.game, service.settings.port), ("chess", 5556))
        self.assertIsNotNone(service.pages)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_needs_a_store(self) -> None:
        self.assertRaises(ValueError, game.build, self.dependencies(None))

    def test_wire(self) -> None:
        """WebSockets are the door's own: those with text are passed on to us."""
        (wire,) = game.wires
        self.assertIs(wire.carriage, Carriage.TEXT)
        self.assertIs(wire.recognise(b"GET / HTTP/1.1"), Verdict.NO)

    def test_origins(self) -> None:
        check_origins(("https://a.example", "http://b.example:8080"))
        for wrong in ("a.example", "https://a.example/", "https://", "*"):
            self.assertRaises(ValueError, check_origins, (wrong,))
