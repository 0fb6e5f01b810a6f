"""
What the store promises, kept by every database.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from gameservers.store import (
    Account,
    AlreadyPlaying,
    Match,
    NameTaken,
    NotFound,
    Overloaded,
    PasswordRecord,
    Player,
    Rating,
    Removal,
    Result,
    Session,
    SqlStore,
    Stale,
    StoreSettings,
    TooManyMatches,
    Unavailable,
    World,
)
from gameservers.store.settings import MAX_WORLD
from tests.store import databases

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PASSWORD = PasswordRecord("scrypt", "ab" * 64, "cd" * 16, "n=16384,r=8,p=1")


def account(name: str, elo: int = 1000, last_seen: datetime = NOON) -> Account:
    return Account(name, PASSWORD, elo, last_seen)


def session_id(seed: str) -> str:
    return seed.encode().hex().ljust(32, "0")


def match(name: str, a: str, b: str, **changes: Any) -> Match:
    return replace(Match(session_id(name), a, b, '{"moves": 0}', a, True, NOON), **changes)


def winner_takes_ten(a: int, b: int) -> tuple[int, int]:
    return a + 10, b - 10


class StoreTests:
    """The mixin: C{database} makes one and gives its URL."""

    database: databases.Database

    async def setUp(self) -> None:
        made = type(self).database()
        self.url = made.__enter__()
        self.addCleanup(made.__exit__, None, None, None)
        self.store = self.open()
        await self.store.ready()

    def open(self, **settings: Any) -> SqlStore:
        store = SqlStore(StoreSettings(database=self.url, **settings), reactor)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def accounts(self, *names: str) -> None:
        for name in names:
            await self.store.create_account(account(name))

    async def refused(self, kind: type[Exception], deferred: Any) -> Exception:
        try:
            answer = await deferred
        except kind as problem:
            return problem
        raise self.failureException(f"{answer!r} instead of {kind.__name__}")

    # Accounts

    async def test_account(self) -> None:
        """An account comes back as it was made, to the microsecond."""
        made = await self.store.create_account(account("ann", 1234))
        self.assertEqual(made, account("ann", 1234))
        self.assertEqual(await self.store.account("ann"), made)
        self.assertIsNone(await self.store.account("bob"))

    async def test_moments_are_utc(self) -> None:
        """A moment of another zone is the same moment in UTC; without a zone it is refused."""
        east = timezone(timedelta(hours=5))
        await self.store.create_account(account("ann", last_seen=NOON.astimezone(east)))
        found = await self.store.account("ann")
        self.assertEqual(found.last_seen, NOON)
        self.assertIs(found.last_seen.tzinfo, UTC)
        naive = account("bob", last_seen=NOON.replace(tzinfo=None))
        await self.refused(ValueError, self.store.create_account(naive))

    async def test_names_are_exact(self) -> None:
        """Case, accents and trailing blanks make another name."""
        names = ["ann", "Ann", "ann ", "änn", "ann\n"]
        await self.accounts(*names)
        for name in names:
            self.assertEqual((await self.store.account(name)).name, name)
        for name in ("ANN", "an", " ann", "ann  ", "anñ"):
            self.assertIsNone(await self.store.account(name), name)

    async def test_session_ids_are_exact(self) -> None:
        """No variant of a valid id is accepted."""
        await self.accounts("ann")
        await self.store.open_session("abcdef", "ann", NOON)
        for variant in ("ABCDEF", "abcdef ", "abcde", "0", ""):
            self.assertIsNone(await self.store.session(variant), variant)

    async def test_too_long(self) -> None:
        """What no column holds is refused, not cut, and nothing comes of it."""
        await self.refused(ValueError, self.store.create_account(account("x" * 17)))
        await self.refused(ValueError, self.store.create_account(account("a\0b")))
        await self.refused(ValueError, self.store.create_account(account("\ud800")))
        await self.refused(ValueError, self.store.account("\ud800"))
        await self.refused(ValueError, self.store.create_account(account("ann", 2**70)))
        await self.accounts("ann", "bob")
        await self.refused(
            ValueError, self.store.open_match(match("m", "ann", "bob", state="x" * 4097), 5)
        )
        full = match("m", "ann", "bob", state="ü" * 4096)
        await self.store.open_match(full, 5)
        self.assertEqual(await self.store.match(full.id), full)
        self.assertEqual(
            (await self.store.ranking(None)).top, (Rating("ann", 1000), Rating("bob", 1000))
        )

    async def test_name_taken(self) -> None:
        """A name belongs to one account or one temporary session."""
        await self.accounts("ann")
        await self.refused(NameTaken, self.store.create_account(account("ann", 2000)))
        await self.refused(NameTaken, self.store.open_temporary_session("1", "ann", NOON))
        await self.store.open_temporary_session("2", "tim", NOON)
        await self.refused(NameTaken, self.store.create_account(account("tim")))
        await self.refused(NameTaken, self.store.open_temporary_session("3", "tim", NOON))
        self.assertEqual((await self.store.account("ann")).elo, 1000)
        self.assertIsNone(await self.store.session("3"))

    async def test_player(self) -> None:
        """Whoever can be invited is found."""
        await self.accounts("ann")
        await self.store.open_temporary_session("2", "tim", NOON)
        self.assertEqual(await self.store.player("ann"), Player("ann", True, 1000))
        self.assertEqual(await self.store.player("tim"), Player("tim", False, None))
        self.assertIsNone(await self.store.player("bob"))

    async def test_change_password(self) -> None:
        await self.accounts("ann", "bob")
        other = PasswordRecord("scrypt", "ff", "ee", "n=2")
        await self.store.change_password("ann", other)
        self.assertEqual((await self.store.account("ann")).password, other)
        self.assertEqual((await self.store.account("bob")).password, PASSWORD)
        await self.refused(NotFound, self.store.change_password("tim", other))

    async def test_remove_account(self) -> None:
        """Everything of an account goes with it and nothing else."""
        await self.accounts("ann", "bob", "cat")
        await self.store.open_session("1", "ann", NOON)
        await self.store.open_session("2", "bob", NOON)
        hers = await self.store.open_match(match("m1", "bob", "ann"), 5)
        other = await self.store.open_match(match("m2", "bob", "cat"), 5)
        for name, friend in (("ann", "bob"), ("bob", "ann"), ("bob", "cat")):
            await self.store.befriend(name, friend)
        self.assertEqual(
            await self.store.remove_account("ann"),
            Removal((Session("1", "ann", True, NOON),), (hers,)),
        )
        self.assertIsNone(await self.store.player("ann"))
        self.assertIsNone(await self.store.session("1"))
        self.assertEqual(await self.store.matches_of("bob"), (other,))
        self.assertEqual(await self.store.friends("bob"), (Rating("cat", 1000),))
        self.assertIsNone(await self.store.remove_account("ann"))

    async def test_remove_account_seen_again(self) -> None:
        """Somebody who came back between the sweep's question and its answer stays."""
        await self.accounts("ann")
        self.assertEqual(await self.store.accounts_before(LATER), ("ann",))
        await self.store.open_session("1", "ann", LATER)
        self.assertIsNone(await self.store.remove_account("ann", unseen_since=LATER))
        self.assertIsNotNone(await self.store.account("ann"))

    # Sessions

    async def test_open_session(self) -> None:
        """A log-in is a session and a sign of life, and voids the older session."""
        await self.accounts("ann", "bob")
        self.assertEqual(await self.store.open_session("1", "ann", NOON), ())
        await self.store.open_session("2", "bob", NOON)
        self.assertEqual(await self.store.open_session("3", "ann", LATER), ("1",))
        self.assertIsNone(await self.store.session("1"))
        self.assertEqual(await self.store.session("3"), Session("3", "ann", True, LATER))
        self.assertIsNotNone(await self.store.session("2"))
        self.assertEqual((await self.store.account("ann")).last_seen, LATER)
        await self.refused(NotFound, self.store.open_session("4", "tim", NOON))
        self.assertIsNone(await self.store.session("4"))

    async def test_touch(self) -> None:
        """Sessions of both kinds and accounts are seen; the others are not."""
        await self.accounts("ann", "bob")
        await self.store.open_session("1", "ann", NOON)
        await self.store.open_session("2", "bob", NOON)
        await self.store.open_temporary_session("3", "tim", NOON)
        await self.store.touch(["1", "3", "unknown"], LATER)
        for each, seen in (("1", LATER), ("2", NOON), ("3", LATER)):
            self.assertEqual((await self.store.session(each)).last_seen, seen, each)
        self.assertEqual((await self.store.account("ann")).last_seen, LATER)
        self.assertEqual((await self.store.account("bob")).last_seen, NOON)

    async def test_touch_many(self) -> None:
        """More sessions than one statement can name, and none at all."""
        await self.accounts("ann")
        await self.store.open_session("1", "ann", NOON)
        await self.store.touch([*map(session_id, map(str, range(2000))), "1"], LATER)
        self.assertEqual((await self.store.session("1")).last_seen, LATER)
        await self.store.touch([], LATER)

    async def test_remove_session(self) -> None:
        """A temporary session takes its matches with it; one of an account does not."""
        await self.accounts("ann")
        await self.store.open_session("1", "ann", NOON)
        await self.store.open_temporary_session("2", "tim", NOON)
        opened = await self.store.open_match(match("m", "ann", "tim", ranked=False), 5)
        self.assertIsNone(await self.store.remove_session("1", unseen_since=NOON))
        self.assertEqual(
            await self.store.remove_session("1", unseen_since=LATER),
            Removal((Session("1", "ann", True, NOON),), ()),
        )
        self.assertEqual(await self.store.matches_of("ann"), (opened,))
        self.assertEqual(
            await self.store.remove_session("2"),
            Removal((Session("2", "tim", False, NOON),), (opened,)),
        )
        self.assertEqual(await self.store.matches_of("ann"), ())
        self.assertIsNone(await self.store.remove_session("2"))
        await self.accounts("tim")  # the name is free again

    # Friends

    async def test_friends(self) -> None:
        """One-sided, each once, listed by name with the Elo of now."""
        await self.store.create_account(account("ann"))
        await self.store.create_account(account("zoe", 1100))
        await self.store.create_account(account("bob", 900))
        self.assertTrue(await self.store.befriend("ann", "zoe"))
        self.assertTrue(await self.store.befriend("ann", "bob"))
        self.assertFalse(await self.store.befriend("ann", "bob"))
        self.assertEqual(
            await self.store.friends("ann"), (Rating("bob", 900), Rating("zoe", 1100))
        )
        self.assertEqual(await self.store.friends("bob"), ())
        self.assertTrue(await self.store.unfriend("ann", "bob"))
        self.assertFalse(await self.store.unfriend("ann", "bob"))
        self.assertEqual(await self.store.friends("ann"), (Rating("zoe", 1100),))

    async def test_friends_need_accounts(self) -> None:
        await self.accounts("ann")
        await self.store.open_temporary_session("2", "tim", NOON)
        await self.refused(NotFound, self.store.befriend("ann", "tim"))
        await self.refused(NotFound, self.store.befriend("tim", "ann"))

    # Matches

    async def test_match(self) -> None:
        await self.accounts("ann", "bob", "cat")
        wanted = match("m", "ann", "bob")
        self.assertEqual(await self.store.open_match(wanted, 5), wanted)
        self.assertEqual(await self.store.match(wanted.id), wanted)
        self.assertIsNone(await self.store.match("unknown"))
        for name, found in (("ann", (wanted,)), ("bob", (wanted,)), ("cat", ())):
            self.assertEqual(await self.store.matches_of(name), found)

    async def test_matches_in_order(self) -> None:
        await self.accounts("ann", "bob", "cat")
        late = await self.store.open_match(match("1", "ann", "bob", last_active=LATER), 5)
        early = await self.store.open_match(match("2", "cat", "ann"), 5)
        self.assertEqual(await self.store.matches_of("ann"), (early, late))

    async def test_match_limit(self) -> None:
        """The limit counts matches of both roles that are not over."""
        await self.accounts("ann", "bob", "cat", "dan")
        first = await self.store.open_match(match("1", "ann", "bob"), 2)
        await self.store.open_match(match("2", "cat", "ann"), 2)
        for players in (("ann", "dan"), ("dan", "ann")):
            problem = await self.refused(
                TooManyMatches, self.store.open_match(match("3", *players), 2)
            )
            self.assertEqual(problem.player, "ann")
        await self.store.finish_match(first, "won", "ann", at=LATER, seen=["ann"])
        await self.store.open_match(match("3", "ann", "dan"), 2)

    async def test_match_limit_holds_when_asked_at_once(self) -> None:
        """Two wishes of the same moment cannot both take the last place."""
        await self.accounts("ann", "bob", "cat")
        both = [
            self.store.open_match(match("1", "ann", "bob"), 1),
            self.store.open_match(match("2", "ann", "cat"), 1),
        ]
        await both[0]
        await self.refused(TooManyMatches, both[1])
        self.assertEqual(len(await self.store.matches_of("ann")), 1)

    async def test_already_playing(self) -> None:
        """One match between two at a time, whoever began it; a finished one is none."""
        await self.accounts("ann", "bob")
        first = await self.store.open_match(match("1", "ann", "bob"), 5)
        for players in (("ann", "bob"), ("bob", "ann")):
            await self.refused(AlreadyPlaying, self.store.open_match(match("2", *players), 5))
        await self.store.finish_match(first, "won", "ann", at=LATER, seen=["ann"])
        await self.store.open_match(match("2", "bob", "ann"), 5)

    async def test_match_with_nobody(self) -> None:
        await self.accounts("ann")
        await self.refused(NotFound, self.store.open_match(match("1", "ann", "ghost"), 5))
        await self.store.open_temporary_session("2", "tim", NOON)
        await self.store.open_match(match("1", "ann", "tim"), 5)

    async def test_move(self) -> None:
        """A move changes state, turn and time, and raises the version."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        wanted = replace(opened, state='{"moves": 1}', active="bob", last_active=LATER)
        moved = await self.store.save_move(wanted)
        self.assertEqual(moved, replace(wanted, version=1))
        self.assertEqual(await self.store.match(opened.id), moved)

    async def test_two_moves_at_once(self) -> None:
        """Of two moves made from the same position one is refused."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        first = self.store.save_move(replace(opened, state="first"))
        second = self.store.save_move(replace(opened, state="second"))
        await first
        await self.refused(Stale, second)
        self.assertEqual((await self.store.match(opened.id)).state, "first")
        await self.refused(Stale, self.store.save_move(match("gone", "ann", "bob")))

    async def test_moves_in_many_matches(self) -> None:
        """Moves that are saved together are saved each for itself, but for one that is stale."""
        await self.accounts("ann", "bob", "cid", "dan")
        opened = [
            await self.store.open_match(match(other, "ann", other), 5)
            for other in ("bob", "cid", "dan")
        ]
        await self.store.save_move(replace(opened[1], state="before"))
        moves = [self.store.save_move(replace(each, state=each.player_b)) for each in opened]
        await self.refused(Stale, moves[1])
        self.assertEqual([(await moves[n]).state for n in (0, 2)], ["bob", "dan"])
        kept = [(await self.store.match(each.id)).state for each in opened]
        self.assertEqual(kept, ["bob", "before", "dan"])

    async def test_no_move_after_the_end(self) -> None:
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        over = (await self.store.finish_match(opened, "draw", None, at=LATER)).match
        await self.refused(Stale, self.store.save_move(over))
        await self.refused(Stale, self.store.finish_match(over, "draw", None, at=LATER))
        self.assertEqual(len(await self.store.results("ann")), 1)

    async def test_finish(self) -> None:
        """State, result and both ratings change together."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        final = replace(opened, state="won", last_active=LATER)
        finished = await self.store.finish_match(
            final, "won", "ann", at=LATER, rate=winner_takes_ten, seen=["ann"]
        )
        result = Result(
            opened.id, "ann", "bob", "ann", "won", "won", LATER, (1000, 1000), (1010, 990)
        )
        self.assertEqual(finished.result, result)
        self.assertEqual(
            finished.match,
            replace(final, version=1, ended=True, seen=frozenset(["ann"])),
        )
        self.assertEqual((await self.store.account("ann")).elo, 1010)
        self.assertEqual((await self.store.account("bob")).elo, 990)
        self.assertEqual(await self.store.results("bob"), (result,))

    async def test_finish_rates_what_is_there(self) -> None:
        """The ratings are those of the transaction, not of an older question."""
        await self.accounts("ann", "bob", "cat")
        one = await self.store.open_match(match("1", "ann", "bob"), 5)
        two = await self.store.open_match(match("2", "cat", "ann"), 5)
        await gatherResults(
            [
                self.store.finish_match(one, "won", "ann", at=LATER, rate=winner_takes_ten),
                self.store.finish_match(two, "won", "cat", at=LATER, rate=winner_takes_ten),
            ]
        )
        self.assertEqual((await self.store.account("ann")).elo, 1000)
        last = next(r for r in await self.store.results("ann") if r.match_id == two.id)
        self.assertEqual((last.elo_before, last.elo_after), ((1000, 1010), (1010, 1000)))

    async def test_finish_unrated(self) -> None:
        """Unranked matches and matches with somebody who is gone change no rating."""
        await self.accounts("ann", "bob")
        casual = await self.store.open_match(match("1", "ann", "bob", ranked=False), 5)
        finished = await self.store.finish_match(
            casual, "won", "ann", at=LATER, rate=winner_takes_ten
        )
        self.assertIsNone(finished.result.elo_before)
        await self.store.open_temporary_session("2", "tim", NOON)
        odd = await self.store.open_match(match("2", "ann", "tim"), 5)
        finished = await self.store.finish_match(
            odd, "won", "ann", at=LATER, rate=winner_takes_ten
        )
        self.assertIsNone(finished.result.elo_after)
        self.assertEqual((await self.store.account("ann")).elo, 1000)

    async def test_finish_fails_whole(self) -> None:
        """If the ratings cannot be made, the match is not over."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)

        def broken(a: int, b: int) -> tuple[int, int]:
            raise ZeroDivisionError

        await self.refused(
            ZeroDivisionError,
            self.store.finish_match(opened, "won", "ann", at=LATER, rate=broken),
        )
        self.assertEqual(await self.store.match(opened.id), opened)
        self.assertEqual(await self.store.results("ann"), ())

    async def test_seen(self) -> None:
        """A finished match is kept for whoever has not seen its end."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        over = (await self.store.finish_match(opened, "won", "ann", at=LATER, seen=["ann"])).match
        self.assertEqual(await self.store.matches_of("ann"), ())
        self.assertEqual(await self.store.matches_of("bob"), (over,))
        await self.store.mark_seen("ann", [over.id])
        self.assertEqual(await self.store.match(over.id), over)
        await self.store.mark_seen("bob", [over.id])
        self.assertIsNone(await self.store.match(over.id))
        self.assertEqual(len(await self.store.results("bob")), 1)

    async def test_seen_at_once(self) -> None:
        """What both see end is not kept."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        await self.store.finish_match(opened, "draw", None, at=LATER, seen=["bob", "ann", "cat"])
        self.assertIsNone(await self.store.match(opened.id))

    async def test_seen_too_early(self) -> None:
        """The end of a match that is not over cannot have been seen."""
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        await self.store.mark_seen("ann", [opened.id])
        await self.store.mark_seen("bob", [opened.id])
        self.assertEqual(await self.store.match(opened.id), opened)

    async def test_remove_match(self) -> None:
        await self.accounts("ann", "bob")
        opened = await self.store.open_match(match("1", "ann", "bob"), 5)
        moved = await self.store.save_move(replace(opened, state="moved"))
        self.assertFalse(await self.store.remove_match(opened))
        self.assertTrue(await self.store.remove_match(moved))
        self.assertFalse(await self.store.remove_match(moved))
        self.assertEqual(await self.store.results("ann"), ())

    # Ratings and results

    async def test_ranking(self) -> None:
        """Equal ratings share a rank; the list is by Elo and then by name, code point wise."""
        for name, elo in (("b_b", 1000), ("b-b", 1000), ("ann", 1100), ("bab", 1000), ("z", 5)):
            await self.store.create_account(account(name, elo))
        ranking = await self.store.ranking("bab")
        self.assertEqual((ranking.elo, ranking.rank), (1000, 2))
        self.assertEqual([r.name for r in ranking.top], ["ann", "b-b", "b_b", "bab", "z"])
        self.assertEqual((await self.store.ranking("z")).rank, 5)
        short = await self.store.ranking("nobody", top=2)
        self.assertEqual((short.elo, short.rank), (None, None))
        self.assertEqual(short.top, (Rating("ann", 1100), Rating("b-b", 1000)))

    async def test_results_newest_first(self) -> None:
        await self.accounts("ann", "bob")
        for number in range(3):
            opened = await self.store.open_match(match(str(number), "ann", "bob"), 5)
            at = NOON + timedelta(minutes=number)
            await self.store.finish_match(opened, "won", "ann", at=at)
        found = await self.store.results("ann", 2)
        self.assertEqual([r.match_id for r in found], [session_id("2"), session_id("1")])

    # The sweep

    async def test_sweep_questions(self) -> None:
        """Each finds what is older than the moment, the oldest first, so many at most."""
        moments = {"ann": NOON, "bob": NOON - timedelta(days=1), "cat": LATER}
        for number, (name, seen) in enumerate(moments.items()):
            await self.store.create_account(account(name))
            await self.store.open_session(f"s{name}", name, seen)
            await self.store.open_temporary_session(f"t{name}", f"t{name}", seen)
            wanted = match(str(number), name, f"t{name}", last_active=seen)
            await self.store.open_match(wanted, 5)
        self.assertEqual(await self.store.accounts_before(LATER), ("bob", "ann"))
        self.assertEqual(await self.store.accounts_before(LATER, 1), ("bob",))
        self.assertEqual(await self.store.accounts_before(NOON), ("bob",))
        for registered, prefix in ((True, "s"), (False, "t")):
            found = await self.store.sessions_before(LATER, registered)
            self.assertEqual([s.id for s in found], [f"{prefix}bob", f"{prefix}ann"])
            found = await self.store.sessions_before(LATER, registered, 1)
            self.assertEqual([s.id for s in found], [f"{prefix}bob"])
        found = await self.store.matches_before(LATER)
        self.assertEqual([m.player_a for m in found], ["bob", "ann"])
        self.assertEqual(len(await self.store.matches_before(LATER, 1)), 1)

    # Worlds

    async def test_world(self) -> None:
        """A world comes back byte for byte and is replaced whole."""
        content = bytes(range(256)) * 400
        await self.store.save_world(World("dirt", '{"seed": "x"}', content, NOON))
        self.assertEqual(
            await self.store.world("dirt"), World("dirt", '{"seed": "x"}', content, NOON)
        )
        await self.store.save_world(World("dirt", "{}", b"", LATER))
        self.assertEqual(await self.store.world("dirt"), World("dirt", "{}", b"", LATER))
        self.assertIsNone(await self.store.world("Dirt"))
        self.assertTrue(await self.store.remove_world("dirt"))
        self.assertFalse(await self.store.remove_world("dirt"))

    async def test_world_too_large(self) -> None:
        """The limit can be set up to what every database takes."""
        store = self.open(database_world=10)
        await store.ready()
        await self.refused(ValueError, store.save_world(World("a", "", bytes(11), NOON)))
        await store.save_world(World("a", "", bytes(10), NOON))
        store = self.open(database_world=MAX_WORLD)
        largest = World("a", "", b"'" * MAX_WORLD, NOON)
        await store.save_world(largest)
        self.assertEqual(await store.world("a"), largest)


class Lasting(StoreTests):
    """What only a database outside the process can promise."""

    async def test_restart(self) -> None:
        """What was acknowledged is there after a restart, sessions included."""
        await self.accounts("ann")
        await self.store.open_session("1", "ann", NOON)
        await self.store.stopService()
        again = self.open()
        self.assertEqual(await again.session("1"), Session("1", "ann", True, NOON))

    async def test_ready(self) -> None:
        """Each start is ready once more; one that is stopped first never is."""
        await self.store.stopService()
        await self.refused(Unavailable, self.store.ready())
        self.store.startService()
        ready = self.store.ready()
        stopped = self.store.stopService()
        await self.refused(Unavailable, ready)
        await stopped
        self.store.startService()
        await self.store.ready()
        self.assertIsNone(await self.store.account("ann"))

    async def test_stop_finishes_what_waits(self) -> None:
        """Calls of before the stop are carried out; later ones are refused."""
        waiting = [self.store.create_account(account(f"n{number}")) for number in range(50)]
        stopped = self.store.stopService()
        late = self.store.create_account(account("late"))
        await gatherResults(waiting)
        await stopped
        await self.refused(Unavailable, late)
        await self.refused(Unavailable, self.store.account("n1"))
        again = self.open()
        self.assertEqual(len((await again.ranking(None)).top), 50)

    async def test_one_of_many_fails(self) -> None:
        """Calls that are committed together do not undo each other."""
        names = ["a", "b", "a", "c", "x" * 17, "b", "d"]
        outcomes = [self.store.create_account(account(name)) for name in names]
        opened = self.store.open_match(match("m", "a", "nobody"), 5)
        for deferred, kind in ((2, NameTaken), (4, ValueError), (5, NameTaken)):
            await self.refused(kind, outcomes[deferred])
        await self.refused(NotFound, opened)
        await gatherResults([outcomes[number] for number in (0, 1, 3, 6)])
        self.assertEqual([r.name for r in (await self.store.ranking(None)).top], list("abcd"))

    async def test_overloaded(self) -> None:
        """The queue is as long as the settings say."""
        store = self.open(database_queue=3)
        taken = [store.create_account(account(name)) for name in "abc"]
        await self.refused(Overloaded, store.create_account(account("d")))
        await gatherResults(taken)
        await store.create_account(account("d"))

    async def test_answers_are_seen(self) -> None:
        """A question asked in the answer to a change sees the change."""
        for number in range(30):
            name = f"n{number}"
            asked = self.store.create_account(account(name))
            found = await asked.addCallback(lambda made: self.store.account(made.name))
            self.assertEqual(found.name, name)


class MemoryTests(StoreTests, TestCase):
    database = databases.memory

    def test_at_once(self) -> None:
        """A store in memory answers without a reactor."""
        self.successResultOf(SqlStore(StoreSettings(database="memory"), None).account("ann"))


class SqliteTests(Lasting, TestCase):
    database = databases.sqlite


class PostgresqlTests(Lasting, TestCase):
    database = databases.postgresql


class MariadbTests(Lasting, TestCase):
    database = databases.mariadb
