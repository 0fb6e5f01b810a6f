"""
VCMI (Heroes III) of 1.1 to 1.4: the lobby of its launchers, and the pipe for started games.

    - L{gameservers.games.vcmi.wires}: the bytes of the text lobby and of the game pipe;
    - L{gameservers.games.vcmi.protocol}: their connections;
    - L{gameservers.games.vcmi.session}, L{gameservers.games.vcmi.words} and
      L{gameservers.games.vcmi.rules}: a launcher in the text lobby: its commands, the messages to
      it, and the rules;
    - L{gameservers.games.vcmi.pipe_session} and L{gameservers.games.vcmi.started}: one side of a
      game pipe, and the games in which sides are paired.
"""

from __future__ import annotations

from zope.interface import implementer

from gameservers.games import Carriage, Dependencies, IGame, Wire
from gameservers.games.vcmi.protocol import PipeProtocol, TextLobbyProtocol
from gameservers.games.vcmi.service import VcmiService
from gameservers.games.vcmi.settings import VcmiSettings
from gameservers.games.vcmi.wires import pipe, text


@implementer(IGame)
class Vcmi:
    """The plugin object; see L{IGame}."""

    name = "vcmi"
    title = "VCMI 1.1 to 1.4, lobby and game pipe"
    settings = VcmiSettings
    wires = (
        Wire("text lobby", Carriage.STREAM, TextLobbyProtocol, text.recognises, text.alone),
        Wire("pipe", Carriage.STREAM, PipeProtocol, pipe.recognises, pipe.recognises),
    )

    def build(self, dependencies: Dependencies) -> VcmiService:
        return VcmiService(dependencies)


game = Vcmi()
