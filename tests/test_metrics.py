"""The metrics: counted in plain integers, read when they are collected."""

from __future__ import annotations

from prometheus_client import generate_latest
from twisted.trial.unittest import SynchronousTestCase

from gameservers.metrics import Metrics


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"gameservers_{name}", labels)

    def test_counter(self) -> None:
        """A counter has one value for each combination of its labels."""
        self.metrics.cuts["vcmi", "slow"] += 1
        self.metrics.cuts["vcmi", "slow"] += 1
        self.metrics.cuts["velnet", "silent"] += 1
        self.assertEqual(self.value("cuts_total", game="vcmi", reason="slow"), 2)
        self.assertEqual(self.value("cuts_total", game="velnet", reason="silent"), 1)
        self.assertIsNone(self.value("cuts_total", game="velnet", reason="slow"))

    def test_gauge(self) -> None:
        """A gauge asks its owner each time."""
        players = {"vcmi": 3}
        self.metrics.players.read = lambda: players
        self.assertEqual(self.value("players", game="vcmi"), 3)
        players["vcmi"] = 1
        self.assertEqual(self.value("players", game="vcmi"), 1)

    def test_gauge_without_labels(self) -> None:
        self.metrics.connections.read = lambda: {(): 7}
        self.assertEqual(self.value("connections"), 7)

    def test_declared_once(self) -> None:
        """Every metric has a name of its own, a help text, and is exposed before it counts."""
        families = list(self.metrics.describe())
        names = [family.name for family in families]
        self.assertEqual(len(names), len(set(names)))
        exposed = generate_latest(self.metrics.registry).decode()
        for family in families:
            self.assertTrue(family.documentation)
            self.assertIn(f"# HELP {family.name}", exposed)

    def test_two_servers(self) -> None:
        """The metrics of two servers in one process have nothing to do with each other."""
        Metrics().cuts["vcmi", "slow"] += 1
        self.assertIsNone(self.value("cuts_total", game="vcmi", reason="slow"))
