"""
The sessions of all games are tables: every message of every wire has an entry in every phase, or
is listed as ignored there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gameservers.games.tictactoe import session as tictactoe
from gameservers.games.tictactoe import wire as tictactoe_wire
from gameservers.games.tilegame import session as tilegame
from gameservers.games.tilegame import wire as tilegame_wire
from gameservers.games.twister import session as twister
from gameservers.games.twister import wire as twister_wire
from gameservers.games.vcmi import pipe_session
from gameservers.games.vcmi import session as vcmi
from gameservers.games.vcmi.wires import text as vcmi_text
from gameservers.games.velnet import session as velnet
from gameservers.games.velnet.wires import binary, text


class SessionTests(SynchronousTestCase):
    def assertWalked(
        self,
        phases: type[Enum],
        messages: Collection[Any],
        table: Mapping[Any, Mapping[Any, Any]],
        ignored: Mapping[Any, Collection[Any]],
    ) -> None:
        """Every message is handled or ignored in every phase, and not both."""
        self.assertEqual(set(table), set(phases))
        self.assertEqual(set(ignored), set(phases))
        for phase in phases:
            self.assertEqual(set(table[phase]) | set(ignored[phase]), set(messages), phase)
            self.assertEqual(set(table[phase]) & set(ignored[phase]), set(), phase)
            for message, action in table[phase].items():
                self.assertTrue(callable(action), (phase, message))

    def test_tictactoe(self) -> None:
        session, messages = tictactoe, tictactoe_wire.MESSAGES
        self.assertWalked(session.Phase, messages, session.TABLE, session.IGNORED)

    def test_tilegame(self) -> None:
        session, messages = tilegame, tilegame_wire.MESSAGES
        self.assertWalked(session.Phase, messages, session.TABLE, session.IGNORED)

    def test_twister(self) -> None:
        session, messages = twister, twister_wire.MESSAGES
        self.assertWalked(session.Phase, messages, session.TABLE, session.IGNORED)

    def test_vcmi(self) -> None:
        self.assertWalked(vcmi.Phase, vcmi_text.MESSAGES, vcmi.TABLE, vcmi.IGNORED)

    def test_vcmi_pipe(self) -> None:
        """What a pipe's frames mean follows from their place alone."""
        self.assertEqual(set(pipe_session.TABLE), set(pipe_session.Phase))

    def test_velnet(self) -> None:
        for session, messages in (
            (velnet.TextSession, text.MESSAGES),
            (velnet.BinarySession, binary.MESSAGES),
        ):
            self.assertWalked(velnet.Phase, messages, session.TABLE, session.IGNORED)
