"""
The tables of the session: what each message does in each phase.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tilegame.session import IGNORED, TABLE, Phase
from gameservers.games.tilegame.wire import MESSAGES


class TableTests(SynchronousTestCase):
    def test_every_message_in_every_phase(self) -> None:
        """Each is either handled or ignored, and no other is known."""
        self.assertEqual(set(TABLE), set(Phase))
        self.assertEqual(set(IGNORED), set(Phase))
        for phase in Phase:
            self.assertEqual(TABLE[phase].keys() | IGNORED[phase], set(MESSAGES), phase)
            self.assertFalse(TABLE[phase].keys() & IGNORED[phase], phase)
