"""
TwisteR tanks: an arena of tanks that ask for everything, in JSON over UDP.
"""

from __future__ import annotations

import secrets

from zope.interface import implementer

from gameservers.games import Carriage, Dependencies, IGame, Wire
from gameservers.games.twister.protocol import TwisterProtocol
from gameservers.games.twister.service import TwisterService
from gameservers.games.twister.settings import TwisterSettings
from gameservers.games.twister.wire import recognise


@implementer(IGame)
class Twister:
    """The plugin object; see L{IGame}."""

    name = "twister"
    title = "TwisteR tanks"
    settings = TwisterSettings
    wires = (Wire("JSON", Carriage.DATAGRAM, TwisterProtocol, recognise),)

    def build(self, dependencies: Dependencies) -> TwisterService:
        return TwisterService(dependencies, secrets.token_hex(16))


game = Twister()
