"""Accounts of bytes, and a memory that does not grow."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister.budget import Bucket, Recent

moments = st.lists(
    st.tuples(st.floats(0, 10, allow_nan=False), st.integers(1, 2_000)), max_size=40
)


class BucketTests(SynchronousTestCase):
    def test_full_at_first(self) -> None:
        bucket = Bucket(rate=10, burst=100, now=0)
        self.assertTrue(bucket.affords(100, 0))
        self.assertFalse(bucket.affords(101, 0))

    def test_fills(self) -> None:
        """It fills by its rate, and not above its burst."""
        bucket = Bucket(rate=10, burst=100, now=0)
        bucket.spend(100)
        self.assertFalse(bucket.affords(50, 4.9))
        self.assertTrue(bucket.affords(50, 5))
        self.assertFalse(bucket.affords(101, 1_000))

    def test_clock_set_back(self) -> None:
        bucket = Bucket(rate=10, burst=100, now=1_000)
        bucket.spend(100)
        self.assertFalse(bucket.affords(1, 0))
        self.assertTrue(bucket.affords(10, 1))

    def test_no_limit(self) -> None:
        bucket = Bucket(rate=0, burst=100, now=0)
        for _ in range(10):
            self.assertTrue(bucket.affords(10**9, 0))
            bucket.spend(10**9)

    @settings(deadline=None)
    @given(moments)
    def test_never_more_than_its_rate(self, wishes: list[tuple[float, int]]) -> None:
        """Whatever is wished for and when, no more is paid than burst and rate allow."""
        bucket = Bucket(rate=100, burst=1_000, now=0)
        now = paid = 0.0
        for pause, amount in wishes:
            now += pause
            if bucket.affords(amount, now):
                bucket.spend(amount)
                paid += amount
            self.assertLessEqual(paid, 1_000 + 100 * now + 1e-6)


class RecentTests(SynchronousTestCase):
    def test_forgets_what_was_not_asked_for(self) -> None:
        recent: Recent[str, int] = Recent(2, lambda: 0)
        recent["a"] = 1
        recent["b"] = 2
        self.assertEqual(recent["a"], 1)
        self.assertEqual(recent["c"], 0)
        self.assertEqual(recent["a"], 1)
        self.assertEqual(recent["b"], 0)
        self.assertEqual(len(recent), 2)

    def test_remembers(self) -> None:
        recent: Recent[str, list[int]] = Recent(2, list)
        recent["a"].append(1)
        self.assertEqual(recent["a"], [1])
