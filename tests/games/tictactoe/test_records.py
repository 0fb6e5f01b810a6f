"""
What is kept of tic-tac-toe, on every database.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Engine, event
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from gameservers.games.tictactoe.records import (
    PLACES,
    SCHEMA,
    AlreadyPlaying,
    LoginSession,
    Match,
    Rating,
    Removal,
    Stale,
    TicTacToeRecords,
    TooManyFriends,
    TooManyMatches,
)
from gameservers.store import (
    Account,
    NameTaken,
    NotFound,
    Overloaded,
    PasswordRecord,
    Store,
    StoreSettings,
    Unavailable,
)
from tests.games.tictactoe.kept import Result, rating_of, results_of
from tests.store import databases

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PASSWORD = PasswordRecord("scrypt", "ab" * 64, "cd" * 16, "n=16384,r=8,p=1")


def account(name: str, last_seen: datetime = NOON) -> Account:
    return Account(name, last_seen, PASSWORD)


def session_id(seed: str) -> str:
    return seed.encode().hex().ljust(32, "0")


def match(name: str, a: str, b: str, **changes: Any) -> Match:
    return replace(Match(session_id(name), a, b, '{"moves": 0}', a, True, NOON), **changes)


def winner_takes_ten(a: int, b: int) -> tuple[int, int]:
    return a + 10, b - 10


class RecordsTests:
    """The mixin: C{database} makes one and gives its URL."""

    database: databases.Database

    async def setUp(self) -> None:
        made = type(self).database()
        self.url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.records = self.open()
        await self.records.store.ready()

    def open(self, **settings: Any) -> TicTacToeRecords:
        store = Store(StoreSettings(database=self.url, **settings), reactor, [SCHEMA])
        store.startService()
        self.addCleanup(store.stopService)
        return TicTacToeRecords(store)

    def create(self, name: str, elo: int = 1000, last_seen: datetime = NOON) -> Deferred[None]:
        return self.records.create_account(account(name, last_seen), elo)

    async def elo(self, name: str) -> int | None:
        return await rating_of(self.records, name)

    async def accounts(self, *names: str) -> None:
        for name in names:
            await self.create(name)

    async def refused(self, kind: type[Exception], deferred: Any) -> Exception:
        try:
            answer = await deferred
        except kind as problem:
            return problem
        raise self.failureException(f"{answer!r} instead of {kind.__name__}")

    # Accounts

    async def test_account(self) -> None:
        """An account comes back as it was made, to the microsecond."""
        await self.create("ann", 1234)
        self.assertEqual(await self.records.account("ann"), account("ann"))
        self.assertEqual(await self.elo("ann"), 1234)
        self.assertIsNone(await self.records.account("bob"))

    async def test_moments_are_utc(self) -> None:
        """A moment of another zone is the same moment in UTC; without a zone it is refused."""
        east = timezone(timedelta(hours=5))
        await self.create("ann", last_seen=NOON.astimezone(east))
        found = await self.records.account("ann")
        self.assertEqual(found.last_seen, NOON)
        self.assertIs(found.last_seen.tzinfo, UTC)
        naive = self.create("bob", last_seen=NOON.replace(tzinfo=None))
        await self.refused(ValueError, naive)

    async def test_names_are_exact(self) -> None:
        """Case, accents and trailing blanks make another name."""
        names = ["ann", "Ann", "ann ", "änn", "ann\n"]
        await self.accounts(*names)
        for name in names:
            self.assertEqual((await self.records.account(name)).name, name)
        for name in ("ANN", "an", " ann", "ann  ", "anñ"):
            self.assertIsNone(await self.records.account(name), name)

    async def test_session_ids_are_exact(self) -> None:
        """No variant of a valid id is accepted."""
        await self.accounts("ann")
        await self.records.open_session("abcdef", "ann", NOON)
        for variant in ("ABCDEF", "abcdef ", "abcde", "0", ""):
            self.assertIsNone(await self.records.session(variant), variant)

    async def test_too_long(self) -> None:
        """What no column holds is refused, not cut, and nothing comes of it."""
        await self.refused(ValueError, self.create("x" * 17))
        await self.refused(ValueError, self.create("a\0b"))
        await self.refused(ValueError, self.create("\ud800"))
        await self.refused(ValueError, self.records.account("\ud800"))
        await self.refused(ValueError, self.create("ann", 2**70))
        await self.accounts("ann", "bob")
        await self.refused(
            ValueError, self.records.open_match(match("m", "ann", "bob", state="x" * 4097), 5)
        )
        full = match("m", "ann", "bob", state="ü" * 4096)
        await self.records.open_match(full, 5)
        self.assertEqual(await self.records.match(full.id), full)
        self.assertEqual(
            (await self.records.ranking(None)).top, (Rating("ann", 1000), Rating("bob", 1000))
        )

    async def test_name_taken(self) -> None:
        """A name belongs to one account or one temporary session."""
        await self.accounts("ann")
        await self.refused(NameTaken, self.create("ann", 2000))
        await self.refused(NameTaken, self.records.open_temporary_session("1", "ann", NOON))
        await self.records.open_temporary_session("2", "tim", NOON)
        await self.refused(NameTaken, self.create("tim"))
        await self.refused(NameTaken, self.records.open_temporary_session("3", "tim", NOON))
        self.assertEqual(await self.elo("ann"), 1000)
        self.assertIsNone(await self.records.session("3"))

    async def test_player(self) -> None:
        """Everybody who can be invited is found."""
        await self.accounts("ann")
        await self.records.open_temporary_session("2", "tim", NOON)
        self.assertIs(await self.records.is_registered("ann"), True)
        self.assertIs(await self.records.is_registered("tim"), False)
        self.assertIsNone(await self.records.is_registered("bob"))

    async def test_change_password(self) -> None:
        await self.accounts("ann", "bob")
        other = PasswordRecord("scrypt", "ff", "ee", "n=2")
        await self.records.change_password("ann", other)
        self.assertEqual((await self.records.account("ann")).password, other)
        self.assertEqual((await self.records.account("bob")).password, PASSWORD)
        await self.refused(NotFound, self.records.change_password("tim", other))

    async def test_remove_account(self) -> None:
        """Everything of an account goes with it and nothing else."""
        await self.accounts("ann", "bob", "cat")
        await self.records.open_session("1", "ann", NOON, "192.0.2.1")
        await self.records.open_session("2", "bob", NOON, "192.0.2.1")
        hers = await self.records.open_match(match("m1", "bob", "ann"), 5)
        other = await self.records.open_match(match("m2", "bob", "cat"), 5)
        for name, friend in (("ann", "bob"), ("bob", "ann"), ("bob", "cat")):
            await self.records.befriend(name, friend, 100)
        self.assertEqual(
            await self.records.remove_account("ann"),
            Removal((LoginSession("1", "ann", True, NOON),), (hers,)),
        )
        self.assertIsNone(await self.records.is_registered("ann"))
        self.assertIsNone(await self.records.session("1"))
        self.assertEqual(await self.records.matches_of("bob"), (other,))
        self.assertEqual(await self.records.friends("bob"), (Rating("cat", 1000),))
        self.assertFalse(await self.records.is_known("ann", "192.0.2.1"))
        self.assertTrue(await self.records.is_known("bob", "192.0.2.1"))
        self.assertIsNone(await self.records.remove_account("ann"))

    async def test_remove_account_seen_again(self) -> None:
        """Somebody who came back between the sweep's question and its answer stays."""
        await self.accounts("ann")
        self.assertEqual(await self.records.accounts_before(LATER), ("ann",))
        await self.records.open_session("1", "ann", LATER)
        self.assertIsNone(await self.records.remove_account("ann", unseen_since=LATER))
        self.assertIsNotNone(await self.records.account("ann"))

    # Sessions

    async def test_open_session(self) -> None:
        """A log-in is a session and a sign of life, and voids the older session."""
        await self.accounts("ann", "bob")
        self.assertEqual(await self.records.open_session("1", "ann", NOON), ())
        await self.records.open_session("2", "bob", NOON)
        self.assertEqual(await self.records.open_session("3", "ann", LATER), ("1",))
        self.assertIsNone(await self.records.session("1"))
        self.assertEqual(await self.records.session("3"), LoginSession("3", "ann", True, LATER))
        self.assertIsNotNone(await self.records.session("2"))
        self.assertEqual((await self.records.account("ann")).last_seen, LATER)
        await self.refused(NotFound, self.records.open_session("4", "tim", NOON))
        self.assertIsNone(await self.records.session("4"))

    async def test_places(self) -> None:
        """The addresses used last are known, of each account, and no more than a few."""
        await self.accounts("ann", "bob")
        places = [f"2001:db8:0:{n:x}::/64" for n in range(PLACES + 1)]
        for n, place in enumerate(places[:PLACES]):
            await self.records.open_session(str(n), "ann", NOON + timedelta(hours=n), place)
        again = LoginSession("7", "ann", True, NOON)
        for place in (places[0], places[PLACES]):
            await self.records.resume_session(again, NOON + timedelta(days=1), place)
        known = [await self.records.is_known("ann", place) for place in places]
        self.assertEqual(known, [place != places[1] for place in places])
        self.assertFalse(await self.records.is_known("bob", places[0]))

    async def test_resume_session(self) -> None:
        """It is a sign of life, of what is still there; only accounts have addresses."""
        await self.accounts("ann")
        await self.records.open_session("1", "ann", NOON)
        await self.records.open_temporary_session("2", "tim", NOON)
        for number, name, registered in (("1", "ann", True), ("2", "tim", False)):
            session = LoginSession(number, name, registered, NOON)
            await self.records.resume_session(session, LATER, "192.0.2.1")
            self.assertEqual((await self.records.session(number)).last_seen, LATER)
        self.assertEqual((await self.records.account("ann")).last_seen, LATER)
        self.assertTrue(await self.records.is_known("ann", "192.0.2.1"))
        self.assertFalse(await self.records.is_known("tim", "192.0.2.1"))
        await self.records.remove_account("ann")
        await self.records.resume_session(LoginSession("1", "ann", True, NOON), LATER, "192.0.2.1")
        self.assertFalse(await self.records.is_known("ann", "192.0.2.1"))

    async def test_touch(self) -> None:
        """Sessions of both kinds and accounts are seen; the others are not."""
        await self.accounts("ann", "bob")
        await self.records.open_session("1", "ann", NOON)
        await self.records.open_session("2", "bob", NOON)
        await self.records.open_temporary_session("3", "tim", NOON)
        await self.records.touch(["1", "3", "unknown"], LATER)
        for each, seen in (("1", LATER), ("2", NOON), ("3", LATER)):
            self.assertEqual((await self.records.session(each)).last_seen, seen, each)
        self.assertEqual((await self.records.account("ann")).last_seen, LATER)
        self.assertEqual((await self.records.account("bob")).last_seen, NOON)

    async def test_touch_many(self) -> None:
        """More sessions than one statement can name, and none at all."""
        await self.accounts("ann")
        await self.records.open_session("1", "ann", NOON)
        await self.records.touch([*map(session_id, map(str, range(2000))), "1"], LATER)
        self.assertEqual((await self.records.session("1")).last_seen, LATER)
        await self.records.touch([], LATER)

    async def test_remove_session(self) -> None:
        """A temporary session takes its matches with it; one of an account does not."""
        await self.accounts("ann")
        await self.records.open_session("1", "ann", NOON)
        await self.records.open_temporary_session("2", "tim", NOON)
        opened = await self.records.open_match(match("m", "ann", "tim", ranked=False), 5)
        self.assertIsNone(await self.records.remove_session("1", unseen_since=NOON))
        self.assertEqual(
            await self.records.remove_session("1", unseen_since=LATER),
            Removal((LoginSession("1", "ann", True, NOON),), ()),
        )
        self.assertEqual(await self.records.matches_of("ann"), (opened,))
        self.assertEqual(
            await self.records.remove_session("2"),
            Removal((LoginSession("2", "tim", False, NOON),), (opened,)),
        )
        self.assertEqual(await self.records.matches_of("ann"), ())
        self.assertIsNone(await self.records.remove_session("2"))
        await self.accounts("tim")  # the name is free again

    # Friends

    async def test_friends(self) -> None:
        """One-sided, each once, listed by name with the Elo of now."""
        await self.create("ann")
        await self.create("zoe", 1100)
        await self.create("bob", 900)
        self.assertTrue(await self.records.befriend("ann", "zoe", 100))
        self.assertTrue(await self.records.befriend("ann", "bob", 100))
        self.assertFalse(await self.records.befriend("ann", "bob", 100))
        self.assertEqual(
            await self.records.friends("ann"), (Rating("bob", 900), Rating("zoe", 1100))
        )
        self.assertEqual(await self.records.friends("bob"), ())
        self.assertTrue(await self.records.unfriend("ann", "bob"))
        self.assertFalse(await self.records.unfriend("ann", "bob"))
        self.assertEqual(await self.records.friends("ann"), (Rating("zoe", 1100),))

    async def test_friends_need_accounts(self) -> None:
        await self.accounts("ann")
        await self.records.open_temporary_session("2", "tim", NOON)
        await self.refused(NotFound, self.records.befriend("ann", "tim", 100))
        await self.refused(NotFound, self.records.befriend("tim", "ann", 100))

    async def test_friends_are_few(self) -> None:
        await self.accounts("ann", "bob", "cat", "dan")
        for friend in ("bob", "cat"):
            self.assertTrue(await self.records.befriend("ann", friend, 2))
        await self.refused(TooManyFriends, self.records.befriend("ann", "dan", 2))
        self.assertFalse(await self.records.befriend("ann", "bob", 2))

    async def test_vain_wishes(self) -> None:
        """A wish that is refused costs the others of its transaction nothing."""
        await self.accounts("ann", "bob")
        await self.records.open_match(match("m1", "ann", "bob"), 5)
        rolled_back: list[object] = []

        def note(connection: object) -> None:
            rolled_back.append(connection)

        event.listen(Engine, "rollback", note)
        self.addCleanup(event.remove, Engine, "rollback", note)
        for problem, vain in (
            (NotFound, self.records.befriend("ann", "tim", 5)),
            (TooManyFriends, self.records.befriend("ann", "bob", 0)),
            (NotFound, self.records.open_match(match("m2", "ann", "tim"), 5)),
            (AlreadyPlaying, self.records.open_match(match("m2", "ann", "bob"), 5)),
            (TooManyMatches, self.records.open_match(match("m2", "ann", "bob"), 1)),
        ):
            await self.refused(problem, vain)
        self.assertEqual(rolled_back, [])

    # Matches

    async def test_match(self) -> None:
        await self.accounts("ann", "bob", "cat")
        wanted = match("m", "ann", "bob")
        self.assertEqual(await self.records.open_match(wanted, 5), wanted)
        self.assertEqual(await self.records.match(wanted.id), wanted)
        self.assertIsNone(await self.records.match("unknown"))
        for name, found in (("ann", (wanted,)), ("bob", (wanted,)), ("cat", ())):
            self.assertEqual(await self.records.matches_of(name), found)

    async def test_matches_in_order(self) -> None:
        await self.accounts("ann", "bob", "cat")
        late = await self.records.open_match(match("1", "ann", "bob", last_active=LATER), 5)
        early = await self.records.open_match(match("2", "cat", "ann"), 5)
        self.assertEqual(await self.records.matches_of("ann"), (early, late))

    async def test_match_limit(self) -> None:
        """The limit counts matches of both roles that are not over."""
        await self.accounts("ann", "bob", "cat", "dan")
        first = await self.records.open_match(match("1", "ann", "bob"), 2)
        await self.records.open_match(match("2", "cat", "ann"), 2)
        for players in (("ann", "dan"), ("dan", "ann")):
            problem = await self.refused(
                TooManyMatches, self.records.open_match(match("3", *players), 2)
            )
            self.assertEqual(problem.player, "ann")
        await self.records.finish_match(first, "won", "ann", seen=["ann"])
        await self.records.open_match(match("3", "ann", "dan"), 2)

    async def test_match_limit_holds_when_asked_at_once(self) -> None:
        """Two wishes of the same moment cannot both take the last place."""
        await self.accounts("ann", "bob", "cat")
        both = [
            self.records.open_match(match("1", "ann", "bob"), 1),
            self.records.open_match(match("2", "ann", "cat"), 1),
        ]
        await both[0]
        await self.refused(TooManyMatches, both[1])
        self.assertEqual(len(await self.records.matches_of("ann")), 1)

    async def test_already_playing(self) -> None:
        """One match between two at a time, no matter who began it; a finished one is none."""
        await self.accounts("ann", "bob")
        first = await self.records.open_match(match("1", "ann", "bob"), 5)
        for players in (("ann", "bob"), ("bob", "ann")):
            await self.refused(AlreadyPlaying, self.records.open_match(match("2", *players), 5))
        await self.records.finish_match(first, "won", "ann", seen=["ann"])
        await self.records.open_match(match("2", "bob", "ann"), 5)

    async def test_match_with_nobody(self) -> None:
        await self.accounts("ann")
        await self.refused(NotFound, self.records.open_match(match("1", "ann", "ghost"), 5))
        await self.records.open_temporary_session("2", "tim", NOON)
        await self.records.open_match(match("1", "ann", "tim"), 5)

    async def test_move(self) -> None:
        """A move changes state, turn and time, and raises the version."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        wanted = replace(opened, state='{"moves": 1}', active="bob", last_active=LATER)
        moved = await self.records.save_move(wanted)
        self.assertEqual(moved, replace(wanted, version=1))
        self.assertEqual(await self.records.match(opened.id), moved)

    async def test_two_moves_at_once(self) -> None:
        """Of two moves made from the same position one is refused."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        first = self.records.save_move(replace(opened, state="first"))
        second = self.records.save_move(replace(opened, state="second"))
        await first
        await self.refused(Stale, second)
        self.assertEqual((await self.records.match(opened.id)).state, "first")
        await self.refused(Stale, self.records.save_move(match("gone", "ann", "bob")))

    async def test_moves_in_many_matches(self) -> None:
        """Moves that are saved together are saved each for itself, but for one that is stale."""
        await self.accounts("ann", "bob", "cid", "dan")
        opened = [
            await self.records.open_match(match(other, "ann", other), 5)
            for other in ("bob", "cid", "dan")
        ]
        await self.records.save_move(replace(opened[1], state="before"))
        moves = [self.records.save_move(replace(each, state=each.player_b)) for each in opened]
        await self.refused(Stale, moves[1])
        self.assertEqual([(await moves[n]).state for n in (0, 2)], ["bob", "dan"])
        kept = [(await self.records.match(each.id)).state for each in opened]
        self.assertEqual(kept, ["bob", "before", "dan"])

    async def test_no_move_after_the_end(self) -> None:
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        over = (await self.records.finish_match(opened, "draw", None)).match
        await self.refused(Stale, self.records.save_move(over))
        await self.refused(Stale, self.records.finish_match(over, "draw", None))
        self.assertEqual(len(await results_of(self.records, "ann")), 1)

    async def test_finish(self) -> None:
        """State, result and both ratings change together."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        final = replace(opened, state="won", last_active=LATER)
        finished = await self.records.finish_match(
            final, "won", "ann", rate=winner_takes_ten, seen=["ann"]
        )
        result = Result(
            opened.id, "ann", "bob", "ann", "won", "won", LATER, (1000, 1000), (1010, 990)
        )
        self.assertTrue(finished.rated)
        self.assertEqual(
            finished.match,
            replace(final, version=1, ended=True, seen=frozenset(["ann"])),
        )
        self.assertEqual(await self.elo("ann"), 1010)
        self.assertEqual(await self.elo("bob"), 990)
        self.assertEqual(await results_of(self.records, "bob"), (result,))

    async def test_finish_rates_what_is_there(self) -> None:
        """The ratings are those of the transaction, not of an older question."""
        await self.accounts("ann", "bob", "cat")
        one = await self.records.open_match(match("1", "ann", "bob"), 5)
        two = await self.records.open_match(match("2", "cat", "ann"), 5)
        await gatherResults(
            [
                self.records.finish_match(one, "won", "ann", rate=winner_takes_ten),
                self.records.finish_match(two, "won", "cat", rate=winner_takes_ten),
            ]
        )
        self.assertEqual(await self.elo("ann"), 1000)
        last = next(r for r in await results_of(self.records, "ann") if r.match_id == two.id)
        self.assertEqual((last.elo_before, last.elo_after), ((1000, 1010), (1010, 1000)))

    async def test_finish_unrated(self) -> None:
        """Unranked matches and matches with somebody who is gone change no rating."""
        await self.accounts("ann", "bob")
        casual = await self.records.open_match(match("1", "ann", "bob", ranked=False), 5)
        finished = await self.records.finish_match(casual, "won", "ann", rate=winner_takes_ten)
        self.assertFalse(finished.rated)
        await self.records.open_temporary_session("2", "tim", NOON)
        odd = await self.records.open_match(match("2", "ann", "tim"), 5)
        finished = await self.records.finish_match(odd, "won", "ann", rate=winner_takes_ten)
        self.assertFalse(finished.rated)
        self.assertEqual(await self.elo("ann"), 1000)
        for result in await results_of(self.records, "ann"):
            self.assertEqual((result.elo_before, result.elo_after), (None, None))

    async def test_finish_fails_whole(self) -> None:
        """If the ratings cannot be made, the match is not over."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)

        def broken(a: int, b: int) -> tuple[int, int]:
            raise ZeroDivisionError

        await self.refused(
            ZeroDivisionError,
            self.records.finish_match(opened, "won", "ann", rate=broken),
        )
        self.assertEqual(await self.records.match(opened.id), opened)
        self.assertEqual(await results_of(self.records, "ann"), ())

    async def test_seen(self) -> None:
        """A finished match is kept for a player who has not seen its end."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        finished = await self.records.finish_match(opened, "won", "ann", seen=["ann"])
        over = finished.match
        self.assertEqual(await self.records.matches_of("ann"), ())
        self.assertEqual(await self.records.matches_of("bob"), (over,))
        await self.records.mark_seen("ann", [over.id])
        self.assertEqual(await self.records.match(over.id), over)
        await self.records.mark_seen("bob", [over.id])
        self.assertIsNone(await self.records.match(over.id))
        self.assertEqual(len(await results_of(self.records, "bob")), 1)

    async def test_seen_at_once(self) -> None:
        """What both see end is not kept."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        await self.records.finish_match(opened, "draw", None, seen=["bob", "ann", "cat"])
        self.assertIsNone(await self.records.match(opened.id))

    async def test_seen_too_early(self) -> None:
        """The end of a match that is not over cannot have been seen."""
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        await self.records.mark_seen("ann", [opened.id])
        await self.records.mark_seen("bob", [opened.id])
        self.assertEqual(await self.records.match(opened.id), opened)

    async def test_remove_match(self) -> None:
        await self.accounts("ann", "bob")
        opened = await self.records.open_match(match("1", "ann", "bob"), 5)
        moved = await self.records.save_move(replace(opened, state="moved"))
        self.assertFalse(await self.records.remove_match(opened))
        self.assertTrue(await self.records.remove_match(moved))
        self.assertFalse(await self.records.remove_match(moved))
        self.assertEqual(await results_of(self.records, "ann"), ())

    # Ratings

    async def test_ranking(self) -> None:
        """Equal ratings share a rank; the list is by Elo and then by name, code point wise."""
        for name, elo in (("b_b", 1000), ("b-b", 1000), ("ann", 1100), ("bab", 1000), ("z", 5)):
            await self.create(name, elo)
        ranking = await self.records.ranking("bab")
        self.assertEqual((ranking.elo, ranking.rank), (1000, 2))
        self.assertEqual([r.name for r in ranking.top], ["ann", "b-b", "b_b", "bab", "z"])
        self.assertEqual((await self.records.ranking("z")).rank, 5)
        short = await self.records.ranking("nobody", top=2)
        self.assertEqual((short.elo, short.rank), (None, None))
        self.assertEqual(short.top, (Rating("ann", 1100), Rating("b-b", 1000)))

    # The sweep

    async def test_sweep_questions(self) -> None:
        """Each finds what is older than the moment, the oldest first, so many at most."""
        moments = {"ann": NOON, "bob": NOON - timedelta(days=1), "cat": LATER}
        for number, (name, seen) in enumerate(moments.items()):
            await self.create(name)
            await self.records.open_session(f"s{name}", name, seen)
            await self.records.open_temporary_session(f"t{name}", f"t{name}", seen)
            wanted = match(str(number), name, f"t{name}", last_active=seen)
            await self.records.open_match(wanted, 5)
        self.assertEqual(await self.records.accounts_before(LATER), ("bob", "ann"))
        self.assertEqual(await self.records.accounts_before(LATER, 1), ("bob",))
        self.assertEqual(await self.records.accounts_before(NOON), ("bob",))
        for registered, prefix in ((True, "s"), (False, "t")):
            found = await self.records.sessions_before(LATER, registered)
            self.assertEqual([s.id for s in found], [f"{prefix}bob", f"{prefix}ann"])
            found = await self.records.sessions_before(LATER, registered, 1)
            self.assertEqual([s.id for s in found], [f"{prefix}bob"])
        found = await self.records.matches_before(LATER)
        self.assertEqual([m.player_a for m in found], ["bob", "ann"])
        self.assertEqual(len(await self.records.matches_before(LATER, 1)), 1)


class Lasting(RecordsTests):
    """What only a database outside the process can promise."""

    async def test_restart(self) -> None:
        """What was acknowledged is there after a restart, sessions included."""
        await self.accounts("ann")
        await self.records.open_session("1", "ann", NOON)
        await self.records.store.stopService()
        again = self.open()
        self.assertEqual(await again.session("1"), LoginSession("1", "ann", True, NOON))

    async def test_ready(self) -> None:
        """Each start is ready once more; one that is stopped first never is."""
        await self.records.store.stopService()
        await self.refused(Unavailable, self.records.store.ready())
        self.records.store.startService()
        ready = self.records.store.ready()
        stopped = self.records.store.stopService()
        await self.refused(Unavailable, ready)
        await stopped
        self.records.store.startService()
        await self.records.store.ready()
        self.assertIsNone(await self.records.account("ann"))

    async def test_stop_finishes_what_waits(self) -> None:
        """Calls of before the stop are carried out; later ones are refused."""
        waiting = [self.create(f"n{number}") for number in range(50)]
        stopped = self.records.store.stopService()
        late = self.create("late")
        await gatherResults(waiting)
        await stopped
        await self.refused(Unavailable, late)
        await self.refused(Unavailable, self.records.account("n1"))
        again = self.open()
        self.assertEqual(len((await again.ranking(None)).top), 50)

    async def test_one_of_many_fails(self) -> None:
        """Calls that are committed together do not undo each other."""
        names = ["a", "b", "a", "c", "x" * 17, "b", "d"]
        outcomes = [self.create(name) for name in names]
        opened = self.records.open_match(match("m", "a", "nobody"), 5)
        for deferred, kind in ((2, NameTaken), (4, ValueError), (5, NameTaken)):
            await self.refused(kind, outcomes[deferred])
        await self.refused(NotFound, opened)
        await gatherResults([outcomes[number] for number in (0, 1, 3, 6)])
        self.assertEqual([r.name for r in (await self.records.ranking(None)).top], list("abcd"))

    async def test_overloaded(self) -> None:
        """The queue is as long as the settings say."""
        await self.records.store.stopService()
        self.records = self.open(database_queue=3)
        taken = [self.create(name) for name in "abc"]
        await self.refused(Overloaded, self.create("d"))
        await gatherResults(taken)
        await self.create("d")

    async def test_answers_are_seen(self) -> None:
        """A question asked in the answer to a change sees the change."""
        for number in range(30):
            name = f"n{number}"
            asked = self.create(name)
            found = await asked.addCallback(lambda _, name=name: self.records.account(name))
            self.assertEqual(found.name, name)


class MemoryTests(RecordsTests, TestCase):
    database = databases.memory

    def test_at_once(self) -> None:
        """A store in memory answers without a reactor."""
        records = TicTacToeRecords(Store(StoreSettings(database="memory"), None, [SCHEMA]))
        self.successResultOf(records.account("ann"))


class SqliteTests(Lasting, TestCase):
    database = databases.sqlite


class PostgresqlTests(Lasting, TestCase):
    database = databases.postgresql


class MariadbTests(Lasting, TestCase):
    database = databases.mariadb
