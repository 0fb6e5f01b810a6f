"""Tests for passwords, for the limits on attempts, and for who is swept."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gameservers.games.tictactoe import attempts, login, words
from gameservers.games.tictactoe.attempts import Attempts
from gameservers.games.tictactoe.login import AT_ONCE, Authenticator
from gameservers.games.tictactoe.records import SCHEMA, TicTacToeRecords
from gameservers.games.tictactoe.rules import Cell
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.games.tictactoe.wire import LogIn
from gameservers.store import PasswordRecord, Store, StoreSettings
from gameservers.store.passwords import (
    SHA512,
    Busy,
    Checked,
    Passwords,
    check,
    make_record,
)
from tests.games.tictactoe.arena import DAWN, Arena, start_match
from tests.games.tictactoe.test_weaknesses import ArenaTestCase

_DAY = 86_400


class RecordTests(SynchronousTestCase):
    @settings(max_examples=25, deadline=None)
    @given(st.text(min_size=1, max_size=32), st.text(min_size=1, max_size=32))
    def test_right_and_wrong(self, password: str, other: str) -> None:
        record = make_record(password, 1)
        self.assertTrue(check(record, password, 1).right)
        self.assertEqual(check(record, other, 1).right, other == password)

    def test_halves_of_surrogate_pairs(self) -> None:
        """JSON can carry them, UTF-8 cannot."""
        record = make_record("\ud800", 1)
        self.assertTrue(check(record, "\ud800", 1).right)

    def test_known_answer(self) -> None:
        """The hash is plain scrypt: another program can check it."""
        record = make_record("pleaseletmein", 14, "SodiumChloride")
        self.assertEqual((record.scheme, record.parameters), ("scrypt", "14:8:1"))
        wanted = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1)
        self.assertEqual(record.hash, wanted.hex())

    def test_salted(self) -> None:
        self.assertNotEqual(make_record("x", 1).hash, make_record("x", 1).hash)

    def test_fits_its_columns(self) -> None:
        record = make_record("x", 1)
        self.assertLessEqual(len(record.hash), 128)
        self.assertLessEqual(len(record.salt), 32)

    def test_another_cost(self) -> None:
        """A right password under another cost is kept under today's from now on."""
        record = make_record("secret", 1)
        self.assertIsNone(check(record, "wrong", 2).replacement)
        replacement = check(record, "secret", 2).replacement
        assert replacement is not None
        self.assertEqual(replacement.parameters, "2:8:1")
        self.assertTrue(check(replacement, "secret", 2).right)

    def test_original_hash(self) -> None:
        salt = "0" * 32
        record = PasswordRecord(
            SHA512, hashlib.sha512(b"secret" + salt.encode()).hexdigest(), salt
        )
        self.assertFalse(check(record, "wrong", 1).right)
        checked = check(record, "secret", 1)
        assert checked.replacement is not None
        self.assertTrue(check(checked.replacement, "secret", 1).right)

    def test_unusable_records(self) -> None:
        """No password is right for a record that cannot be, or is too dear to check."""
        for scheme, parameters in (
            ("md5", ""),
            ("scrypt", ""),
            ("scrypt", "30:8:1"),
            ("scrypt", "x:y:z"),
        ):
            record = PasswordRecord(scheme, make_record("x", 1, "s").hash, "s", parameters)
            self.assertFalse(check(record, "x", 1).right)

    def test_not_shown(self) -> None:
        record = make_record("x", 1)
        self.assertNotIn(record.hash, repr(record))


class ThreadTests(TestCase):
    """The one place with threads: real ones."""

    def setUp(self) -> None:
        self.passwords = Passwords(reactor, cost=1, threads=2, waiting=3)  # type: ignore[arg-type]
        self.passwords.startService()
        self.addCleanup(self.passwords.stopService)

    async def test_off_the_reactor(self) -> None:
        record = await self.passwords.make("secret")
        self.assertTrue((await self.passwords.check(record, "secret")).right)
        self.assertFalse((await self.passwords.check(record, "wrong")).right)
        threads = await gatherResults(
            [self.passwords._run(threading.current_thread) for _ in range(3)]
        )
        self.assertNotIn(threading.main_thread(), threads)

    async def test_bounded(self) -> None:
        """No more wait than may; afterwards there is room again."""
        go = threading.Event()
        waiting = [self.passwords._run(go.wait) for _ in range(5)]
        self.failureResultOf(self.passwords.make("x"), Busy)
        go.set()
        await gatherResults(waiting)
        await self.passwords.make("x")


class AttemptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(attempts, "LONGEST_PAUSE", 8.0)
        self.patch(attempts, "FORGET", 100.0)
        self.patch(attempts, "KEYS", 4)
        self.clock = Clock()
        self.tries = Attempts(3, self.clock.seconds)

    def test_growing_delay(self) -> None:
        """Three are free; then the pauses are 1, 2, 4, 8 and never more seconds."""
        waits = []
        for _ in range(9):
            self.tries.begin("k")
            wait = self.tries.wait("k")
            waits.append(wait)
            self.clock.advance(wait)
        self.assertEqual(waits, [0, 0, 0, 1, 2, 4, 8, 8, 8])

    def test_forgotten(self) -> None:
        for _ in range(5):
            self.tries.begin("k")
        self.clock.advance(100.5)
        self.assertEqual(self.tries.wait("k"), 0)
        self.tries.begin("k")
        self.assertEqual(self.tries.wait("k"), 0)

    def test_given_back(self) -> None:
        """Good attempts do not add up, and do not wash off bad ones."""
        for _ in range(3):
            self.tries.begin("k")
        for _ in range(10):
            self.tries.begin("k")
            self.tries.give_back("k")
        self.assertEqual(self.tries.wait("k"), 0)
        self.tries.begin("k")
        self.assertEqual(self.tries.wait("k"), 1)
        self.tries.clear("k")
        self.assertEqual((self.tries.wait("k"), len(self.tries._tries)), (0, 0))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 50), st.booleans())))
    def test_bounded(self, steps: list[tuple[str, float, bool]]) -> None:
        """However it goes, few keys are remembered and no pause is longer than the longest."""
        tries = Attempts(3, self.clock.seconds)
        for key, pause, good in steps:
            self.clock.advance(pause)
            if tries.wait(key) == 0:
                tries.begin(key)
                if good:
                    tries.give_back(key)
            self.assertLessEqual(tries.wait(key), 8.0)
            self.assertLessEqual(len(tries._tries), 4)


class CrowdTests(SynchronousTestCase):
    """Many from one address at the same moment, whose passwords take their time."""

    def setUp(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def logins(self, **kwargs: Any) -> Authenticator:
        return Authenticator(
            TicTacToeRecords(
                Store(StoreSettings(database="memory"), Clock(), [SCHEMA])  # type: ignore[arg-type]
            ),
            self,
            TicTacToeSettings(**kwargs),
            lambda: DAWN,
            lambda host: "" if host == "127.0.0.1" else host,
        )

    def make(self, password: str) -> Deferred[PasswordRecord]:
        return self.hold(lambda: make_record(password, 1))

    def check(self, record: PasswordRecord, password: str) -> Deferred[Checked]:
        return self.hold(lambda: check(record, password, 1))

    def hold(self, work: Callable[[], Any]) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.held.append((deferred, work))
        return deferred

    def crowd(self, logins: Authenticator, password: str, size: int = 30) -> list[str]:
        """What clients are told that log in at the same moment, each with a name of its own."""
        wishes = [LogIn(f"user{n}", password) for n in range(size)]
        answers = [Deferred.fromCoroutine(logins.log_in(w, "127.0.0.1")) for w in wishes]
        while self.held:
            self.assertLessEqual(len(self.held), AT_ONCE)
            deferred, work = self.held.pop(0)
            deferred.callback(work())
        return [json.loads(self.successResultOf(a).response)["data"]["msg"] for a in answers]

    def test_right(self) -> None:
        """All get in, however few may fail; names that are new cost a trusted address nothing."""
        logins = self.logins(login_attempts_per_address=8, new_names_per_address=1)
        names = [f"user{n}" for n in range(30)]
        self.assertEqual(self.crowd(logins, "pw"), [words.REGISTERED.format(n) for n in names])
        self.assertEqual(self.crowd(logins, "pw"), [words.LOGGED_IN.format(n) for n in names])

    def test_wrong(self) -> None:
        """Guesses end at the limit, also when they come at the same moment."""
        logins = self.logins(login_attempts_per_address=10)
        self.crowd(logins, "pw", 900)
        told = self.crowd(logins, "guess", 900)
        guessed = [words.WRONG_PASSWORD.format(f"user{n}") for n in range(900)]
        wrong = sum(text == guess for text, guess in zip(told, guessed, strict=True))
        self.assertEqual(wrong, 11)
        self.assertEqual(told[-1], words.TOO_MANY_ATTEMPTS.format(1))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_queue(self) -> None:
        """The queue has an end."""
        self.patch(login, "MAX_WAITING", 20)
        told = self.crowd(self.logins(), "pw")
        self.assertEqual(told.count(words.UNAVAILABLE), 10)


class SweepTests(ArenaTestCase):
    def gone(self, name: str) -> bool:
        return self.successResultOf(self.arena.records.is_registered(name)) is None

    def test_accounts(self) -> None:
        """An account out of use goes, with its matches; the opponent is told."""
        self.arena = Arena(account_lifetime=3.0 * _DAY)
        alice, bob = self.arena.players("alice", "bob")
        start_match(alice, bob, "bob")
        alice.hang_up()
        for days, gone in ((2, False), (1.1, True)):
            self.arena.clock.advance(days * _DAY)
            bob.heard()
            self.arena.sweep()
            self.assertEqual((self.gone("alice"), self.gone("bob")), (gone, False))
        [update] = bob.heard()
        self.assertTrue(update["data"]["match_state"]["game_over"])

    def test_temporary_sessions(self) -> None:
        """A temporary session goes after an hour, with its matches; the opponent is told."""
        alice, tess = self.arena.player("alice"), self.arena.player("tess", "")
        start_match(alice, tess, "tess")
        tess.hang_up()
        self.arena.clock.advance(3599)
        self.arena.sweep()
        self.assertFalse(self.gone("tess"))
        alice.heard()
        self.arena.clock.advance(2)
        self.arena.sweep()
        self.assertTrue(self.gone("tess"))
        [update] = alice.heard()
        self.assertTrue(update["data"]["match_state"]["game_over"])

    def test_lifetimes_count_from_the_end_of_use(self) -> None:
        """An hour after the last connection has gone, not after the log-in."""
        tess = self.arena.player("tess", "")
        self.arena.clock.advance(3000)
        tess.heard()
        tess.hang_up()
        self.arena.clock.advance(3000)
        self.arena.sweep()
        self.assertTrue(
            self.arena.browser().say("reconnect", id=tess.session_id)[0]["data"]["success"]
        )

    def test_time_out_without_elo(self) -> None:
        """The option is off: the match is lost, the ratings stay."""
        self.arena = Arena(timeout_elo=False)
        alice, bob, _ = self.two()
        self.arena.clock.advance(7 * _DAY + 1)
        alice.heard(), bob.heard()
        self.arena.sweep()
        self.assertEqual([alice.types(), bob.types()], [["match_update"]] * 2)
        self.assertEqual((self.elo("alice"), self.elo("bob")), (1000, 1000))

    def test_time_out_before_both_have_moved(self) -> None:
        """Then nobody has lost."""
        alice, bob = self.arena.players("alice", "bob")
        match_id = start_match(alice, bob, "bob")
        alice.move(match_id, Cell(0, 0, 0, 0))
        bob.heard()
        self.arena.clock.advance(7 * _DAY + 1)
        alice.heard(), bob.heard()
        self.arena.sweep()
        [update] = bob.heard()
        state = update["data"]["match_state"]
        self.assertEqual((state["game_over"], state["player_won"]), (True, None))
        self.assertEqual(self.elo("alice"), 1000)

    def test_time_out_while_away(self) -> None:
        """A player who was away is shown the end once, after coming back; and not for ever."""
        alice, bob, match_id = self.two()
        alice.hang_up()
        self.arena.clock.advance(7 * _DAY + 1)
        bob.heard()
        self.arena.sweep()
        heard = self.arena.browser().log_in("alice")
        self.assertEqual(
            [m["data"]["id"] for m in heard if m["type"] == "match_update"], [match_id]
        )
        heard = self.arena.browser().log_in("alice")
        self.assertEqual([m["type"] for m in heard if m["type"] == "match_update"], [])

    def test_many(self) -> None:
        """More than one batch; some stay."""
        for n in range(120):
            self.arena.player(f"user{n}", "").hang_up()
        stays = self.arena.player("stays", "")
        self.arena.clock.advance(3601)
        stays.heard()
        self.arena.sweep()
        self.assertFalse(self.gone("stays"))
        self.assertTrue(all(self.gone(f"user{n}") for n in range(120)))
