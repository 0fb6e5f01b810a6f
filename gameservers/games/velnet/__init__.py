"""
VelNet, the relay for Unity apps: text clients of January 2022 and binary clients up to today.
"""

from __future__ import annotations

from zope.interface import implementer

from gameservers.games import Carriage, Dependencies, IGame, Wire
from gameservers.games.velnet.protocol import (
    VelNetBinaryDatagrams,
    VelNetBinaryProtocol,
    VelNetTextDatagrams,
    VelNetTextProtocol,
    VelNetWebSocketProtocol,
)
from gameservers.games.velnet.service import VelNetService
from gameservers.games.velnet.settings import VelNetSettings
from gameservers.games.velnet.wires import binary, text


@implementer(IGame)
class VelNet:
    """The plugin object; see L{IGame}."""

    name = "velnet"
    title = "VelNet, text and binary, with WebSocket"
    settings = VelNetSettings
    wires = (
        Wire(
            "text",
            Carriage.STREAM,
            VelNetTextProtocol,
            text.recognises_stream,
            text.recognises_own,
        ),
        Wire(
            "binary",
            Carriage.STREAM,
            VelNetBinaryProtocol,
            binary.recognises_stream,
            binary.recognises_own,
        ),
        Wire("binary in a WebSocket", Carriage.BINARY, VelNetWebSocketProtocol),
        Wire(
            "text in datagrams",
            Carriage.DATAGRAM,
            VelNetTextDatagrams,
            text.recognises_datagram,
            text.recognises_datagram,
        ),
        Wire(
            "binary in datagrams",
            Carriage.DATAGRAM,
            VelNetBinaryDatagrams,
            binary.recognises_datagram,
            binary.recognises_datagram,
        ),
    )

    def build(self, dependencies: Dependencies) -> VelNetService:
        return VelNetService(dependencies)


game = VelNet()
