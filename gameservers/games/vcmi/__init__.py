"""
VCMI (Heroes III) of 1.1 to 1.4: the lobby in which players meet and the pipe they play through.
"""

from __future__ import annotations

from zope.interface import implementer

from gameservers.games import IGame, Surroundings, Verdict, Wires, never
from gameservers.games.vcmi.protocol import VcmiFactory, VcmiService
from gameservers.games.vcmi.rules import GAME
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.games.vcmi.wire import recognises


@implementer(IGame)
class Vcmi:
    """The plugin object; see L{IGame}."""

    name = GAME
    title = "VCMI 1.1 to 1.4, lobby and game pipe"
    settings = VcmiSettings
    recognises_datagram = staticmethod(never)

    def recognises_stream(self, first: bytes) -> Verdict:
        match recognises(first):
            case None:
                return Verdict.MORE
            case known:
                return Verdict.YES if known else Verdict.NO

    def build(self, surroundings: Surroundings) -> Wires:
        factory = VcmiFactory(
            surroundings.lobby,
            surroundings.clock,
            surroundings.settings,
            surroundings.metrics,
            surroundings.logged_in,
        )
        return Wires(stream=factory, port=surroundings.settings.port, service=VcmiService(factory))


game = Vcmi()
