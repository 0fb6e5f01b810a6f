"""Token buckets, and a memory of them that does not grow."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import budget
from gameservers.games.twister.budget import Budgets, TokenBucket
from gameservers.games.twister.settings import TwisterSettings

moments = st.lists(
    st.tuples(st.floats(0, 10, allow_nan=False), st.integers(1, 2_000)), max_size=40
)


class TokenBucketTests(SynchronousTestCase):
    def test_full_at_first(self) -> None:
        bucket = TokenBucket(rate=10, burst=100, now=0)
        self.assertTrue(bucket.affords(100, 0))
        self.assertFalse(bucket.affords(101, 0))

    def test_fills(self) -> None:
        """It fills by its rate, and not above its burst."""
        bucket = TokenBucket(rate=10, burst=100, now=0)
        bucket.spend(100)
        self.assertFalse(bucket.affords(50, 4.9))
        self.assertTrue(bucket.affords(50, 5))
        self.assertFalse(bucket.affords(101, 1_000))

    def test_clock_set_back(self) -> None:
        bucket = TokenBucket(rate=10, burst=100, now=1_000)
        bucket.spend(100)
        self.assertFalse(bucket.affords(1, 0))
        self.assertTrue(bucket.affords(10, 1))

    def test_no_limit(self) -> None:
        bucket = TokenBucket(rate=0, burst=100, now=0)
        for _ in range(10):
            self.assertTrue(bucket.affords(10**9, 0))
            bucket.spend(10**9)

    @settings(deadline=None)
    @given(moments)
    def test_never_more_than_its_rate(self, wishes: list[tuple[float, int]]) -> None:
        """Whatever is wished for and when, no more is paid than burst and rate allow."""
        bucket = TokenBucket(rate=100, burst=1_000, now=0)
        now = paid = 0.0
        for pause, amount in wishes:
            now += pause
            if bucket.affords(amount, now):
                bucket.spend(amount)
                paid += amount
            self.assertLessEqual(paid, 1_000 + 100 * now + 1e-6)


class BudgetsTests(SynchronousTestCase):
    def test_each_and_all(self) -> None:
        """Receivers have budgets of their own, and one together."""
        settings = TwisterSettings(max_burst_per_address=70_000, max_burst=150_000)
        budgets = Budgets(settings, 0)
        self.assertTrue(budgets.pays("a", 70_000, 0))
        self.assertFalse(budgets.pays("a", 1, 0))
        self.assertTrue(budgets.pays(1, 70_000, 0))
        self.assertFalse(budgets.pays("b", 10_001, 0))
        self.assertTrue(budgets.pays("b", 10_000, 0))

    def test_forgets_the_longest_silent(self) -> None:
        self.patch(budget, "MAX_SENDERS", 2)
        budgets = Budgets(TwisterSettings(max_burst_per_address=70_000), 0)
        for receiver in "ab":
            self.assertTrue(budgets.pays(receiver, 70_000, 0))
        self.assertFalse(budgets.pays("a", 1, 0))
        self.assertTrue(budgets.pays("c", 70_000, 0))
        self.assertFalse(budgets.pays("a", 1, 0))
        self.assertTrue(budgets.pays("b", 70_000, 0))
        self.assertEqual(len(budgets), 2)
