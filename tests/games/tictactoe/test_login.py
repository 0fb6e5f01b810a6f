"""Tests for passwords, for the limits on attempts, and for who is swept."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gameservers.games.tictactoe import attempts, login, words
from gameservers.games.tictactoe.attempts import KEYS, AdmissionQueue, Attempts, PerMinute
from gameservers.games.tictactoe.login import SPARE_THREADS, Authenticator
from gameservers.games.tictactoe.records import SCHEMA, TicTacToeRecords
from gameservers.games.tictactoe.rules import Cell
from gameservers.games.tictactoe.settings import TicTacToeSettings
from gameservers.games.tictactoe.wire import LogIn, Reconnect
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


class PerMinuteTests(SynchronousTestCase):
    @settings(max_examples=50, deadline=None)
    @given(
        st.integers(6, 60),
        st.lists(st.tuples(st.floats(0, 40), st.integers(0, 40), st.booleans()), max_size=30),
    )
    def test_bounded(self, most: int, steps: list[tuple[float, int, bool]]) -> None:
        """However it goes, no minute has more than may be; what is given back does not count."""
        clock = Clock()
        limit = PerMinute(most, clock.seconds)
        made: list[float] = []
        for pause, wanted, good in steps:
            clock.advance(pause)
            for _ in range(wanted):
                if limit.wait("k"):
                    break
                limit.begin("k")
                if good:
                    limit.give_back("k")
                else:
                    made.append(clock.seconds())
            last = [each for each in made if each > clock.seconds() - 60]
            self.assertLessEqual(len(last), most)

    def test_wait(self) -> None:
        """What is left to wait is told exactly, and others do not wait."""
        clock = Clock()
        limit = PerMinute(30, clock.seconds)
        for _ in range(15):
            self.assertEqual(limit.wait("k"), 0)
            limit.begin("k")
        self.assertAlmostEqual(limit.wait("k"), 4)
        self.assertEqual(limit.wait("other"), 0)
        clock.advance(limit.wait("k"))
        self.assertEqual(limit.wait("k"), 0)

    def test_keys(self) -> None:
        limit = PerMinute(30, Clock().seconds)
        for n in range(KEYS + 10):
            limit.begin(n)
        self.assertEqual(len(limit._buckets), KEYS)


class AdmissionQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue = AdmissionQueue(3, 2, 10)
        self.begun: list[str] = []
        self.busy: list[str] = []

    def want(self, place: str, name: str = "", *, known: bool = False) -> None:
        turn = self.queue.turn(place, name, known=known)
        turn.addCallbacks(
            lambda _: self.begun.append(place + name),
            lambda failure: (failure.trap(Busy), self.busy.append(place + name)),
        )

    def test_others_first(self) -> None:
        """One address does not use all there is, and does not come before others."""
        for n in range(5):
            self.want("a", str(n))
        self.assertEqual(self.begun, ["a0", "a1"])
        self.want("b")
        self.want("c")
        self.assertEqual(self.begun[2:], ["b"])
        self.queue.done("a")
        self.assertEqual(self.begun[3:], ["c"])
        self.queue.done("b")
        self.want("b")
        self.assertEqual(self.begun[4:], ["a2"])
        self.queue.done("a")
        self.assertEqual(self.begun[5:], ["b"])

    def test_names_of_one_address(self) -> None:
        """A name that had no turn for long comes before one that wants many."""
        for _ in range(4):
            self.want("a", "x")
        self.want("a", "y")
        self.assertEqual(self.begun, ["ax", "ax"])
        self.queue.done("a")
        self.assertEqual(self.begun[2:], ["ay"])

    def test_guesses_from_everywhere(self) -> None:
        """Of one name: others log in from new addresses, too, without waiting for them all."""
        for n in range(6):
            self.want(f"guess{n}", "-victim")
        self.want("new", "-other")
        self.want("home", "-victim", known=True)
        for n in range(3):
            self.queue.done(f"guess{n}")
        victims = [f"guess{n}-victim" for n in range(4)]
        self.assertEqual(self.begun, [*victims[:3], "home-victim", "new-other", victims[3]])

    def test_who_comes_back(self) -> None:
        """Guesses from many addresses do not keep them out, nor they the others."""
        for n in range(3):
            self.want(f"guess{n}")
            self.queue.done(f"guess{n}")
        self.begun.clear()
        for n in range(6):
            self.want(f"new{n}")
        for place in ("home", "home", "guess0"):
            self.want(place, known=True)
        for place in ("new0", "new1", "new2", "home", "new3", "guess0", "new4"):
            self.queue.done(place)
        expected = ["new0", "new1", "new2", "home", "new3", "guess0", "new4", "home", "new5"]
        self.assertEqual(self.begun, expected)

    def test_too_many(self) -> None:
        """The newest of the address with most of them is refused, and nobody else."""
        for n in range(14):
            self.want("a", str(n))
        self.assertEqual(self.busy, ["a12", "a13"])
        self.want("b")
        self.assertEqual(self.begun[2:], ["b"])
        self.want("b")
        self.want("c")
        self.assertEqual(self.busy[2:], ["a11", "a10"])
        self.assertEqual(len(self.queue._waiting), 10)

    def test_empty(self) -> None:
        """Nothing is left of an address that is done."""
        self.want("a")
        self.queue.done("a")
        self.assertEqual((dict(self.queue._under_way), dict(self.queue._waiting_of)), ({}, {}))


class Held:
    """Passwords whose checks take their time."""

    def __init__(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.checks = 0

    def make(self, password: str) -> Deferred[PasswordRecord]:
        return self.hold(lambda: make_record(password, 1))

    def check(self, record: PasswordRecord, password: str) -> Deferred[Checked]:
        self.checks += 1
        return self.hold(lambda: check(record, password, 1))

    def hold(self, work: Callable[[], Any]) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.held.append((deferred, work))
        return deferred

    def go(self) -> None:
        """Do what is held, and what comes of it."""
        while self.held:
            deferred, work = self.held.pop(0)
            deferred.callback(work())


class Logins:
    """The log-ins of a server, and its clock."""

    def __init__(self, **kwargs: Any) -> None:
        self.clock = Clock()
        self.passwords = Held()
        self.records = TicTacToeRecords(
            Store(StoreSettings(database="memory"), Clock(), [SCHEMA])  # type: ignore[arg-type]
        )
        self.settings = TicTacToeSettings(**kwargs)
        self.restart()

    def restart(self) -> None:
        """A new process on the same store."""
        self.logins = Authenticator(
            self.records,
            self.passwords,  # type: ignore[arg-type]
            self.settings,
            lambda: DAWN + timedelta(seconds=self.clock.seconds()),
            self.clock.seconds,
            lambda host: "" if host == "127.0.0.1" else host,
        )

    def begin(self, name: str, password: str, host: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.logins.log_in(LogIn(name, password), host))

    def try_(self, name: str, password: str, host: str) -> str:
        """What a client is told."""
        answer = self.begin(name, password, host)
        self.passwords.go()
        return told(answer)


def told(answer: Deferred[Any]) -> str:
    text: str = json.loads(answer.result.response)["data"]["msg"]
    return text


def is_too_many(text: str) -> bool:
    return text.startswith(words.TOO_MANY_ATTEMPTS.partition("{}")[0])


class CrowdTests(SynchronousTestCase):
    """Many from one address at the same moment, whose passwords take their time."""

    def crowd(self, logins: Logins, password: str, size: int = 30) -> list[str]:
        """What clients are told that log in at the same moment, each with a name of its own."""
        answers = [logins.begin(f"user{n}", password, "127.0.0.1") for n in range(size)]
        self.assertLessEqual(len(logins.passwords.held), logins.settings.password_threads)
        logins.passwords.go()
        return [told(each) for each in answers]

    def test_right(self) -> None:
        """All get in, however few may fail; names that are new cost a trusted address nothing."""
        logins = Logins(login_attempts_per_address=6, new_names_per_address=1)
        names = [f"user{n}" for n in range(30)]
        self.assertEqual(self.crowd(logins, "pw"), [words.REGISTERED.format(n) for n in names])
        self.assertEqual(self.crowd(logins, "pw"), [words.LOGGED_IN.format(n) for n in names])

    def test_wrong(self) -> None:
        """Guesses end at the limit, also when they come at the same moment."""
        logins = Logins(login_attempts_per_address=10)
        self.crowd(logins, "pw", 900)
        told = self.crowd(logins, "guess", 900)
        guessed = [words.WRONG_PASSWORD.format(f"user{n}") for n in range(900)]
        wrong = sum(text == guess for text, guess in zip(told, guessed, strict=True))
        self.assertEqual(wrong, 5)
        self.assertEqual(told[-1], words.TOO_MANY_ATTEMPTS.format(12))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_queue(self) -> None:
        """The queue has an end."""
        self.patch(login, "MAX_WAITING", 20)
        logins = Logins()
        told = self.crowd(logins, "pw")
        self.assertEqual(told.count(words.UNAVAILABLE), 30 - 20 - logins.settings.password_threads)

    def test_others_do_not_wait(self) -> None:
        """Whatever one address asks for, others' passwords are checked at once."""
        logins = Logins()
        for n in range(100):
            logins.begin(f"user{n}", "pw", "192.0.2.1")
        self.assertEqual(len(logins.passwords.held), logins.settings.password_threads)
        alice = logins.begin("alice", "pw", "198.51.100.1")
        self.assertEqual(
            len(logins.passwords.held), logins.settings.password_threads + SPARE_THREADS
        )
        deferred, work = logins.passwords.held.pop()
        deferred.callback(work())
        self.assertEqual(told(alice), words.REGISTERED.format("alice"))
        logins.passwords.go()


HOME, AWAY = "192.0.2.1", "198.51.100.1"
MANY = [f"198.51.{n}.1" for n in range(100)]


class LockoutTests(SynchronousTestCase):
    """Who guesses passwords, and whom that concerns."""

    def setUp(self) -> None:
        self.logins = Logins()
        self.assertEqual(self.logins.try_("alice", "pw", HOME), words.REGISTERED.format("alice"))

    def attack(self, seconds: int, names: list[str], hosts: list[str], rate: int = 5) -> int:
        """Guess at this rate per host: the guesses that were checked."""
        before = self.logins.passwords.checks
        for second in range(seconds):
            self.logins.clock.advance(1)
            for n in range(rate):
                for host in hosts:
                    self.logins.try_(names[(second * rate + n) % len(names)], "guess", host)
        return self.logins.passwords.checks - before

    def test_owner_of_a_name(self) -> None:
        """Guesses from elsewhere, from one address or from hundreds, concern nobody at home."""
        for hosts in ([AWAY], MANY):
            for _ in range(2):
                self.attack(2, ["alice"], hosts)
                self.assertTrue(is_too_many(self.logins.try_("alice", "guess", hosts[0])))
                self.assertEqual(
                    self.logins.try_("alice", "pw", HOME), words.LOGGED_IN.format("alice")
                )
                self.logins.restart()

    def test_everybody_behind_an_address(self) -> None:
        """Guesses from one's own address concern nobody whose name is not guessed."""
        others = [f"user{n}" for n in range(40)]
        for name in others:
            self.logins.try_(name, "pw", AWAY)
        self.attack(20, others, [HOME])
        self.assertTrue(is_too_many(self.logins.try_("user0", "pw", HOME)))
        self.assertEqual(self.logins.try_("alice", "pw", HOME), words.LOGGED_IN.format("alice"))
        self.assertEqual(
            self.logins.try_("newcomer", "pw", HOME), words.REGISTERED.format("newcomer")
        )

    def test_guesses_of_many_names(self) -> None:
        """One address guesses at most thirty times a minute, wherever its victims live."""
        names = [f"user{n}" for n in range(40)]
        for home in (HOME, AWAY):
            self.logins = Logins()
            for name in names:
                self.logins.try_(name, "pw", home)
            for _ in range(2):
                self.assertLessEqual(self.attack(60, names, [HOME], rate=2), 30)

    def test_guesses_of_one_name(self) -> None:
        """All addresses together guess at most three hundred times a minute."""
        homes = [f"192.0.{n}.1" for n in range(10)]
        for host in homes:
            self.logins.try_("alice", "pw", host)
        for first, last in ((0, 60), (60, 100)):
            hosts = homes + MANY[first:last]
            self.assertLessEqual(self.attack(60, ["alice"], hosts, rate=1), 300)

    def test_success_does_not_count(self) -> None:
        """However often somebody logs in, a wrong password is still forgiven."""
        for _ in range(100):
            self.assertEqual(
                self.logins.try_("alice", "pw", HOME), words.LOGGED_IN.format("alice")
            )
        self.assertEqual(
            self.logins.try_("alice", "guess", HOME), words.WRONG_PASSWORD.format("alice")
        )

    def test_reconnecting_makes_an_address_known(self) -> None:
        """A session proves as much as a password does."""
        answer = self.logins.begin("alice", "pw", HOME)
        self.logins.passwords.go()
        session = self.successResultOf(answer).session
        back = self.logins.logins.reconnect(Reconnect(session.id), "203.0.113.7")
        self.successResultOf(Deferred.fromCoroutine(back))
        self.attack(1, ["alice"], MANY)
        self.assertEqual(
            self.logins.try_("alice", "pw", "203.0.113.7"), words.LOGGED_IN.format("alice")
        )
        self.assertTrue(is_too_many(self.logins.try_("alice", "pw", "203.0.113.8")))

    def test_reserved_name(self) -> None:
        """Passwords for a name that a temporary session has are guesses, too."""
        answer = self.logins.begin("tess", "", HOME)
        self.successResultOf(answer)
        texts = [self.logins.try_("tess", "pw", AWAY) for _ in range(8)]
        self.assertEqual(texts[0], words.NAME_RESERVED.format("tess"))
        self.assertEqual(texts[-1], words.TOO_MANY_ATTEMPTS.format(1))


class Guessing(RuleBasedStateMachine):
    """
    Attackers at any addresses but one's own, for any name and in any order: the owner gets in at
    every moment, and the number of guesses that are checked is bounded.
    """

    homes = ("192.0.2.1", "2001:db8:1::5", "127.0.0.1")

    def __init__(self) -> None:
        super().__init__()
        self.logins = Logins(
            login_attempts=3, login_attempts_per_address=12, login_attempts_per_name=30
        )
        self.guesses: list[tuple[float, str, str]] = []

    @initialize()
    def move_in(self) -> None:
        for home in self.homes:
            self.logins.try_("alice", "pw", home)
        for name in ("bob", "carol"):
            self.logins.try_(name, "pw", "203.0.113.1")

    @rule(
        first=st.integers(1, 50),
        hosts=st.integers(1, 30),
        name=st.sampled_from(["alice", "bob", "carol"]),
        times=st.integers(1, 2),
    )
    def guess(self, first: int, hosts: int, name: str, times: int) -> None:
        for n in range(first, first + hosts):
            host = f"198.51.{n % 256}.1" if n % 2 else f"2001:db8:2:{n}::1"
            for _ in range(times):
                before = self.logins.passwords.checks
                self.logins.try_(name, "guess", host)
                if self.logins.passwords.checks > before:
                    self.guesses.append((self.logins.clock.seconds(), host, name))

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.logins.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.logins.restart()
        self.guesses.clear()  # what was counted is forgotten

    @rule(home=st.sampled_from(homes), wrong=st.integers(0, 3))
    def owner(self, home: str, wrong: int) -> None:
        for _ in range(wrong):
            assert self.logins.try_("alice", "oops", home) == words.WRONG_PASSWORD.format("alice")
        assert self.logins.try_("alice", "pw", home) == words.LOGGED_IN.format("alice")
        self.logins.clock.advance(60 if wrong else 0)  # for mistakes do count at home

    @invariant()
    def bounded(self) -> None:
        since = self.logins.clock.seconds() - 60
        last = [(host, name) for at, host, name in self.guesses if at > since]
        assert all(count <= 12 for count in Counter(host for host, _ in last).values())
        assert all(count <= 30 for count in Counter(name for _, name in last).values())


class GuessingTests(SynchronousTestCase):
    def test_any_history(self) -> None:
        run_state_machine_as_test(
            Guessing,
            settings=settings(max_examples=40, stateful_step_count=12, deadline=None),
        )


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
