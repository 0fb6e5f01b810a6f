"""Tests for L{gameservers.lobby.queue}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gameservers.lobby import Lobby
from gameservers.metrics import Metrics
from tests.lobby.wires import Wire


class QueueTests(SynchronousTestCase):
    def test_order(self) -> None:
        """The longest first; who asks again keeps the place."""
        queue = Lobby(Clock(), Metrics()).queue("chess")
        for player in (3, 1, 2, 3):
            queue.add(player)
        queue.discard(1)
        queue.discard(7)
        self.assertEqual(list(queue), [3, 2])
        self.assertEqual((len(queue), 3 in queue, 1 in queue), (2, True, False))

    def test_exit(self) -> None:
        """Who is gone waits no longer."""
        lobby = Lobby(Clock(), Metrics())
        [ann] = Wire().enter(lobby, "ann")
        lobby.queue("chess").add(ann.id)
        lobby.exit(ann.id)
        self.assertEqual(list(lobby.queue("chess")), [])
