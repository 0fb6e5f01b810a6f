"""
TwisteR tanks: an arena of tanks that ask for everything, in JSON over UDP.
"""

from __future__ import annotations

import secrets
from functools import partial

from zope.interface import implementer

from gameservers.games import IGame, Surroundings, Verdict, Wires, never
from gameservers.games.twister.protocol import GAME, Desk, TwisterProtocol
from gameservers.games.twister.service import TwisterService
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import looks_like


@implementer(IGame)
class Twister:
    """The plugin object; see L{IGame}."""

    name = GAME
    title = "TwisteR tanks"
    settings = TwisterSettings
    recognises_stream = staticmethod(never)

    def recognises_datagram(self, datagram: bytes) -> Verdict:
        return Verdict.YES if looks_like(datagram) else Verdict.NO

    def build(self, surroundings: Surroundings) -> Wires:
        lobby, clock, settings = (surroundings.lobby, surroundings.clock, surroundings.settings)
        admin_key = secrets.token_hex(16)
        desk = Desk(lobby, clock, settings, admin_key, surroundings.metrics)
        return Wires(
            datagram=partial(TwisterProtocol, desk),
            port=settings.port,
            service=TwisterService(desk, clock, settings, admin_key),
        )


game = Twister()
