"""Tests for L{gameservers.net.rates}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.rates import Allowance, TokenBucket

moments = st.lists(
    st.tuples(st.floats(0, 10, allow_nan=False), st.integers(1, 2_000)), max_size=40
)


class TokenBucketTests(SynchronousTestCase):
    def test_full_at_first(self) -> None:
        bucket = TokenBucket(rate=10, burst=100, now=0)
        self.assertEqual(bucket.wait(100, 0), 0)
        self.assertGreater(bucket.wait(101, 0), 0)

    def test_fills(self) -> None:
        """It fills by its rate, and not above its burst."""
        bucket = TokenBucket(rate=10, burst=100, now=0)
        bucket.take(100)
        self.assertGreater(bucket.wait(50, 4.9), 0)
        self.assertEqual(bucket.wait(50, 5), 0)
        self.assertGreater(bucket.wait(101, 1_000), 0)

    def test_clock_set_back(self) -> None:
        bucket = TokenBucket(rate=10, burst=100, now=1_000)
        bucket.take(100)
        self.assertGreater(bucket.wait(1, 0), 0)
        self.assertEqual(bucket.wait(10, 1), 0)

    def test_no_limit(self) -> None:
        bucket = TokenBucket(rate=0, burst=100, now=0)
        for _ in range(10):
            self.assertEqual(bucket.wait(10**9, 0), 0)
            bucket.take(10**9)

    @settings(deadline=None)
    @given(moments)
    def test_never_more_than_its_rate(self, wishes: list[tuple[float, int]]) -> None:
        """Whatever is wished for and when, no more is paid than burst and rate allow."""
        bucket = TokenBucket(rate=100, burst=1_000, now=0)
        now = paid = 0.0
        for pause, amount in wishes:
            now += pause
            if not bucket.wait(amount, now):
                bucket.take(amount)
                paid += amount
            self.assertLessEqual(paid, 1_000 + 100 * now + 1e-4)

    def test_how_long(self) -> None:
        """It tells how long there is to wait."""
        bucket = TokenBucket(4, 2, 10.0)
        waits = []
        for _ in range(2):
            waits.append(bucket.wait(1, 10.0))
            bucket.take(1)
        self.assertEqual(waits, [0, 0])
        self.assertEqual(bucket.wait(1, 10.0), 0.25)
        self.assertEqual(bucket.wait(1, 10.25), 0)
        self.assertEqual(bucket.wait(1, 99.0), 0)
        bucket.take(1)
        bucket.take(1)
        self.assertEqual(bucket.wait(1, 99.0), 0.25)


class AllowanceTests(SynchronousTestCase):
    def test_burst_then_rate(self) -> None:
        allowance = Allowance(rate=10, burst=30, now=0)
        allowance.used = 30
        self.assertEqual(allowance.wait(0), 0)
        allowance.used = 5
        self.assertAlmostEqual(allowance.wait(0), 0.5)
        self.assertEqual(allowance.wait(0.5), 0)

    def test_debt(self) -> None:
        """Whatever was sent while it was free to, it waits no longer than for a burst."""
        allowance = Allowance(rate=10, burst=30, now=0)
        allowance.used = 1_000_000
        self.assertEqual(allowance.wait(1), 3)

    def test_long_ago(self) -> None:
        """What was sent within the rate is no debt, however long nobody asked."""
        allowance = Allowance(rate=10, burst=30, now=0)
        allowance.used = 9_000
        self.assertEqual(allowance.wait(1_000), 0)

    def test_rounding(self) -> None:
        """One that waits as long as it is told has nothing left to wait for."""
        for rate in (3, 7, 10, 262_144):
            allowance = Allowance(rate, rate, now=0)
            allowance.wait(1e6 + 0.1, 2 * rate + 1)
            now = 1e6 + 0.1 + allowance.wait(1e6 + 0.1)
            self.assertEqual(allowance.wait(now), 0)

    def test_no_limit(self) -> None:
        allowance = Allowance(rate=0, burst=0, now=0)
        allowance.used = 1e9
        self.assertEqual(allowance.wait(0), 0)

    @settings(max_examples=100, deadline=None)
    @given(moments)
    def test_guaranteed(self, sent: list[tuple[float, int]]) -> None:
        """One that waits as told has sent what the rate and a burst allow, and one message."""
        allowance, now, total = Allowance(rate=100, burst=500, now=0), 0.0, 0
        for pause, size in sent:
            now += pause + allowance.wait(now)
            allowance.wait(now, size)
            total += size
            self.assertLessEqual(total, 100 * now + 500 + 2_000 + 1)
