"""Token buckets, and a memory of them that does not grow."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.twister import budget
from gameservers.games.twister.budget import Budgets
from gameservers.games.twister.settings import TwisterSettings


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
