"""The session of a launcher: every command in every phase, and what operators can do to it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.vcmi.session import IGNORED, TABLE, Phase
from gameservers.games.vcmi.wires import text
from tests.games.vcmi.clients import House


class TableTests(SynchronousTestCase):
    def test_every_command_in_every_phase(self) -> None:
        """It does something, or it is known to do nothing."""
        self.assertEqual(set(TABLE), set(Phase))
        self.assertEqual(set(IGNORED), set(Phase))
        for phase in Phase:
            self.assertFalse(TABLE[phase].keys() & IGNORED[phase], phase)
            self.assertEqual(TABLE[phase].keys() | IGNORED[phase], set(text.MESSAGES), phase)

    def test_ignored_commands(self) -> None:
        """Whatever their value, nobody is told anything, and nothing has changed."""
        for phase in Phase:
            house = House()
            alice, bobby = house.launcher("alice"), house.launcher("bobby")
            client = alice
            if phase is Phase.GREETING:
                client = house.connect()
                client.greet("x")
            elif phase is Phase.GUEST:
                house.room("Arena", bobby, alice)
            elif phase is Phase.HOST:
                house.room("Arena", alice, bobby)
            before = house.lobby.listing()
            for tag in IGNORED[phase]:
                for value in ("", "Arena", "alice", "bobby", "2"):
                    for each in house.clients:
                        each.forget()
                    client.send(f"<{tag}>{value}")
                    told = [each.messages() for each in house.clients]
                    self.assertEqual(told, [[] for _ in house.clients], (phase, tag, value))
            self.assertEqual(house.lobby.listing(), before)
