"""
VelNet, the relay for Unity apps: text clients of January 2022 and binary clients up to today.
"""

from __future__ import annotations

from functools import partial

from zope.interface import implementer

from gameservers.games import IGame, Surroundings, Wires
from gameservers.games.velnet import sniff
from gameservers.games.velnet.protocol import VelNetFactory
from gameservers.games.velnet.relay import GAME, Relay
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.games.velnet.udp import VelNetDatagrams


@implementer(IGame)
class VelNet:
    """The plugin object; see L{IGame}."""

    name = GAME
    title = "VelNet, text and binary, with WebSocket"
    settings = VelNetSettings
    recognises_stream = staticmethod(sniff.recognises_stream)
    recognises_datagram = staticmethod(sniff.recognises_datagram)

    def build(self, surroundings: Surroundings) -> Wires:
        settings: VelNetSettings = surroundings.settings
        relay = Relay(
            surroundings.lobby,
            surroundings.clock,
            settings,
            surroundings.metrics,
            surroundings.logged_in,
        )
        return Wires(
            stream=VelNetFactory(relay),
            datagram=partial(VelNetDatagrams, relay),
            port=settings.port,
            http=("binary",),
        )


game = VelNet()
